"""All checks, by their subject, and the order of causes: of two that weigh the same, the earlier explains the later.

How often they are right is measured on labeled trainings (tests/diagnosis, docs/measured.md).
"""

from optilab.diagnose.check import REGISTERED, Check
from optilab.diagnose.checks import gradients, inputs, labels, layers, loop, memory, outputs, rates, weights

__all__ = [
    "CHECKS",
    "ORDER",
    "gradients",
    "inputs",
    "labels",
    "layers",
    "loop",
    "memory",
    "outputs",
    "rates",
    "weights",
]

ORDER = (
    *("non-finite-data", "logits-as-probabilities", "loss-not-finite", "optimizer-of-another-model"),
    *("no-optimizer-step", "gradients-not-zeroed", "softmax-twice", "shapes-broadcast", "batch-as-time"),
    *("no-causal-mask", "constant-outputs", "targets-out-of-reach", "labels-out-of-range", "same-batch"),
    *("batches-sorted-by-class", "graph-cut", "parameters-not-in-optimizer"),
    *("eval-mode-in-training", "train-mode-in-validation", "validation-out-of-scale", "learning-rate-zero"),
    *("loss-is-a-sum", "loss-without-graph"),
    *(
        "one-class",
        "targets-out-of-scale",
        "labels-unrelated",
        "inputs-out-of-scale",
        "weight-decay-too-strong",
        "symmetric-init",
    ),
    *("dropout-too-strong", "batch-norm-small-batch", "weights-too-large", "dead-units", "eps-dominates"),
    *("learning-rate-decayed", "too-few-images", "vanishing-through-time", "learning-rate-too-high"),
    *("vanishing-gradient", "learning-rate-too-low", "overfitting"),
    *("training-too-short", "regression-of-classes", "no-nonlinearity"),
)
"""The names of all findings, in the order of causes. Of checks with one name the first that sees something answers."""
CHECKS: tuple[Check, ...] = tuple(sorted(REGISTERED, key=lambda check: ORDER.index(check.name)))
