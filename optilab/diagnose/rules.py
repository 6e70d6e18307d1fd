"""Why a network does not learn, and what to change: the rules, each a cause with its sign and its threshold.

Rules stand in the order of causes: where two findings weigh the same, the earlier one explains the later. How often
they are right is measured on labelled trainings (tests/diagnosis; docs/diagnose.md).
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from optilab.config.fields import dump, load, override_from_text
from optilab.config.training import TrainConfig
from optilab.diagnose import before_training as setup
from optilab.diagnose import during_training as course
from optilab.diagnose.evidence import Evidence
from optilab.diagnose.sign import Seen, Sets, learned
from optilab.errors import ConfigError


class Severity(IntEnum):
    """How much a finding matters; a run is healthy below `WARNING`, and what is only `INFO` has no remedy."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True)
class Finding:
    """One cause: `text` has its number, `evidence` all of them, `remedies` are `key=value` settings, best first."""

    rule: str
    severity: Severity
    text: str
    threshold: str
    normal: str
    evidence: dict[str, Any] = field(default_factory=dict)
    remedies: tuple[Sets, ...] = ()
    advice: str = ""


@dataclass(frozen=True)
class Cause:
    """A cause, in the words of the docs' table; `look` returns None where the network does not show it."""

    name: str
    measures: str
    threshold: str
    normal: str
    remedy: str
    look: Callable[[Evidence], Seen | None]
    last: bool = False  # named only where no other cause is
    advice: str = ""  # where no setting helps, or may not


CAUSES: tuple[Cause, ...] = (
    Cause(
        "one-class",
        "classes among the training labels",
        "1",
        "2 or more",
        "none; check the labels",
        setup.one_class,
        advice="check the labels",
    ),
    Cause(
        "inputs-out-of-scale",
        "root mean square of the first batch's inputs",
        f"below {setup.INPUTS[0]:g} or above {setup.INPUTS[1]:g}",
        "0.1 to 3",
        "pixels divided by 255",
        setup.inputs,
    ),
    Cause(
        "weight-decay-too-strong",
        "norm of a hidden layer's weights over the initial norm, with weight decay; skill on the training images",
        f"{course.SHRUNK:g} or less; {course.UNFIT:g} or less",
        "1 or more; above 0.8",
        "no weight decay",
        course.decay,
    ),
    Cause(
        "symmetric-init",
        "share of the squares of a hidden layer's weights that its units have in common",
        f"{setup.ALIKE:g} or more ({setup.ONE:g} if it has learned)",
        "near 1/units",
        "random initial weights",
        setup.alike,
    ),
    Cause(
        "dropout-too-strong",
        "share of a layer's outputs that dropout sets to zero, and, if it has learned, validation accuracy minus "
        "training accuracy",
        f"above {setup.DROPPED:g}, and {setup.HELD_BACK:g} or more",
        "0 to 0.5, and near 0",
        "no dropout",
        setup.dropout,
    ),
    Cause(
        "batch-norm-small-batch",
        "images over which batch norm computes mean and variance; validation accuracy minus training accuracy",
        f"{setup.PAIRS} or fewer; {setup.SMALL_BATCH} where the network has hardly learned, or with "
        f"{setup.NOISY:g} or more",
        "16 or more; near 0",
        "larger batches, or layer norm",
        setup.small_batch,
    ),
    Cause(
        "weights-too-large",
        "loss of the first batch over the prior's entropy; share of saturated outputs in a hidden layer",
        f"above {setup.LOUD:g}; {setup.SATURATED:g} or more",
        "1.0 to 1.3; below 0.3",
        "smaller initial weights",
        setup.weights_too_large,
    ),
    Cause(
        "dead-units",
        "share of units that are flat for every image; gradient of a layer over the output layer's, at initialisation",
        f"{setup.DEAD:g} or more; {setup.SILENT:g} or less",
        "below 0.5; above 0.01",
        "biases at zero, or leaky-relu",
        setup.dead,
    ),
    Cause(
        "eps-dominates",
        "share of the parameters whose sqrt(v) is below eps",
        f"{course.EPS:g} or more",
        "below 0.1",
        "eps 1e-8",
        course.eps,
    ),
    Cause(
        "learning-rate-decayed",
        "share of the last epochs with a learning rate below a hundredth of its largest; skill on the training images",
        f"{course.IDLE:g} or more; {course.UNFIT:g} or less",
        "below 0.2; above 0.8",
        "a constant learning rate",
        course.rate_decayed,
    ),
    Cause(
        "too-few-images",
        "training images per class, and training accuracy minus validation accuracy",
        f"below {course.FEW}, and {course.GAP:g} or more",
        "hundreds or more",
        "all images",
        course.few,
        advice="collect more images",
    ),
    Cause(
        "learning-rate-too-high",
        "training loss over the prior's entropy; accuracy lost; units that died; growth of weights; |dw|/|w| of a step",
        f"{course.ABOVE:g} (in a trial {course.TRIAL_ABOVE:g}), "
        f"{course.LOST:g}, {setup.DEAD:g}, {setup.GROWN:g} ({course.FAR:g} if it knows something), or {course.WILD:g}",
        "below 1; near 0; below 0.5; 1 to 2; near 0.001",
        "a tenth of the learning rate",
        course.rate_too_high,
    ),
    Cause(
        "vanishing-gradient",
        "gradient of layer 1 over the last hidden layer's, or spread of the outputs, and |dw|/|w| of layer 1",
        f"below {course.VANISHING:g}, or below {course.FADING:g}, "
        f"and below {course.STILL:g} (in a trial {course.TRIAL_STILL:g})",
        "0.1 to 10, 0.1 to 10, near 0.001",
        "batch norm, unit-gain weights, another activation",
        course.vanishing,
    ),
    Cause(
        "learning-rate-too-low",
        "sum of |dw|/|w| over all steps, of the layer that moves most",
        f"{course.PATH:g} or less, before step {course.PATH_STEPS} in proportion (in a trial {course.TRIAL_PATH:g})",
        "above 1",
        "a rate at which a step changes 0.1 % of the weights",
        course.rate_too_low,
    ),
    Cause(
        "overfitting",
        "validation loss above its best value, and training accuracy minus validation accuracy",
        f"{course.RISE:g} or more, and {course.BY_HEART:g} or more",
        "below 0.1; below 0.05",
        "early stopping, dropout, weight decay",
        course.overfitting,
    ),
    Cause(
        "labels-unrelated",
        "best validation loss over that of guessing, while the training images are learned, without another cause",
        f"{course.RELATED:g} or more",
        "below 0.8",
        "none; check the labels",
        course.labels,
        last=True,
        advice="check that images and labels belong together",
    ),
)
"""In the order of causes."""


def diagnose(e: Evidence) -> list[Finding]:
    """The findings, the most severe first; none above INFO means healthy."""
    findings: list[Finding] = []
    survives = learned(e)
    for rule in CAUSES:
        seen = rule.look(e)
        if seen is None or (rule.last and findings):
            continue
        harmless = survives and not seen.harm
        severity = Severity.INFO if harmless else Severity.WARNING if e.knows else Severity.CRITICAL
        findings.append(
            Finding(
                rule.name,
                severity,
                seen.text,
                seen.threshold or rule.threshold,
                seen.normal or rule.normal,
                seen.numbers,
                () if harmless else tuple(sets for sets in seen.remedies if _changes(e, sets)),
                "" if harmless else seen.advice or rule.advice,
            )
        )
    return sorted(findings, key=lambda finding: -min(finding.severity, Severity.WARNING))


def _changes(e: Evidence, sets: Sets) -> bool:
    """Whether these settings are not those that the training had."""
    try:
        return load(TrainConfig, dump(e.config), [override_from_text("--set", text) for text in sets]) != e.config
    except ConfigError:
        return True


def commands(finding: Finding, config: str) -> list[str]:
    """The remedies as commands to type; `config` is what their --config says."""
    start = f"optilab train --config {shlex.quote(config)}"
    return [" ".join([start, *(f"--set {shlex.quote(text)}" for text in sets)]) for sets in finding.remedies]
