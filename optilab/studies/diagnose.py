"""Why a network does not learn, and what to change: rules over what a run has recorded.

A rule looks at evidence and returns a finding, with the numbers that show it and the remedies that fit, best
first, each as the `--set`s of a command. Rules know the same few quantities: how far the loss is below the prior's
entropy, norms and ratios per layer, shares of saturated and dead units. Thresholds are named below, each with its
reason.
"""

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from statistics import median
from typing import Any

from optilab import runs
from optilab.config.load import load
from optilab.config.schema.train import TrainConfig
from optilab.studies.remedies import remedies

Row = Mapping[str, Any]
Record = Mapping[str, Any]

PLATEAU = 0.02
"""A loss within 2 % of the prior's entropy knows nothing but the classes' shares (chance alone leaves 0.1 %)."""
VANISHING, EXPLODING = 0.05, 1e2
"""Gradient of the first hidden layer's weights over the last one's; healthy networks are within a factor ten."""
STILL, WILD = 1e-5, 3e-2
"""|dw|/|w| of one step: about 1e-3 is the usual advice; below the first a layer stands still for thousands of
steps, above the second its weights are new after thirty."""
WRECKED = 100
"""Times the prior's entropy: a loss that no initialisation in use begins with."""
SATURATED, DEAD, HOPELESS = 0.9, 0.4, 0.9
"""Share of outputs on a flat part of the activation; share of units that are flat for every image, and how many
of them no network survives."""
OVERFIT = 0.25
"""The validation loss has risen by this share of its best value while the training loss went on falling."""
EPS = 0.5
"""Share of parameters whose sqrt(v) is below eps: an adaptive method is plain momentum there."""


class Severity(IntEnum):
    """How much a finding matters; a run is healthy below `WARNING`."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True)
class Finding:
    """One thing a rule saw: `evidence` are its numbers, `remedies` are `key=value` overrides, best first."""

    rule: str
    severity: Severity
    text: str
    evidence: dict[str, Any] = field(default_factory=dict)
    remedies: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What is known of a run: its config, its rows (none before training), its records, and how it ended.

    Of a `trial` the one row is about a few batches: that it does not learn in these says nothing.
    """

    config: TrainConfig
    rows: Sequence[Row]
    records: Sequence[Record]
    divergence: str = ""
    trial: bool = False

    @property
    def entropy(self) -> float:
        """Loss of a network that knows only the classes' shares, in nats; ln 10 where the images have one class."""
        return next((float(r["prior_entropy"]) for r in self.records if r.get("prior_entropy")), math.log(10))

    @property
    def epochs(self) -> Sequence[Record]:
        """The records of epochs, without the one from before training."""
        return [record for record in self.records if record["epoch"] > 0]

    @property
    def plateau(self) -> bool:
        """The loss has never left the prior's entropy."""
        known = bool(self.rows) and not self.trial
        return known and all(abs(row["train_loss"] / self.entropy - 1) < PLATEAU for row in self._tail())

    @property
    def learns(self) -> bool:
        """The validation accuracy is well above chance."""
        return bool(self.rows) and max(row["val_acc"] for row in self.rows) > 2 * math.exp(-self.entropy)

    def layer(self, name: str, number: int) -> float | None:
        """Median over the epochs of a quantity of one layer (from 0; -1 is the output layer)."""
        values = [
            record["layers"][number].get(name) for record in self.epochs if len(record["layers"]) > abs(number)
        ]
        known = [value for value in values if value is not None]
        return median(known) if known else None

    @property
    def hidden(self) -> int:
        """Hidden layers that have been seen."""
        return max((len(record["layers"]) - 1 for record in self.epochs), default=0)

    def worst(self, name: str) -> tuple[int, float]:
        """(layer from 1, value): the hidden layer with the largest last value of a quantity."""
        if not self.epochs:
            return 0, 0.0
        values = [layer.get(name) or 0.0 for layer in self.epochs[-1]["layers"][:-1]]
        number = max(range(len(values)), key=values.__getitem__, default=-1)
        return number + 1, values[number] if values else 0.0

    def gradient_ratio(self) -> float | None:
        """|g1|/|gL|, hidden layers, the median over the epochs; None with fewer than two hidden layers."""
        ratios = [ratio for record in self.epochs if (ratio := _ratio(record)) is not None]
        return median(ratios) if ratios else None

    def _tail(self) -> Sequence[Row]:
        return self.rows[-max(1, len(self.rows) // 2) :]


def _ratio(record: Record) -> float | None:
    norms = [layer["gradient_norm"] for layer in record["layers"][:-1]]
    trained = [norm for norm in norms if norm is not None and norm > 0]
    return trained[0] / trained[-1] if len(trained) > 1 else None


SIGMOIDAL = frozenset({"sigmoid", "hard-sigmoid", "tanh", "softsign"})

CLIP = ("clip_norm=1",)


def _study(*names: str) -> tuple[tuple[str, ...], ...]:
    """Remedies of the study, by name."""
    return tuple(remedies()[name].sets for name in names)


def _diverged(e: Evidence) -> Finding | None:
    if not e.divergence:
        return None
    rate = getattr(e.config.optimizer, "lr", None)
    text = f"numbers are not finite any more: {e.divergence}"
    return Finding(
        "not-finite", Severity.CRITICAL, text, {"lr": rate}, (*_rate(e, 0.1), CLIP, *_study("batchnorm"))
    )


def _identical(e: Evidence) -> Finding | None:
    number, share = e.worst("identical_units")
    if share < 0.99:
        return None
    text = f"all units of layer {number} have the same weights and get the same gradient: they stay one unit"
    return Finding(
        "symmetric-init",
        Severity.CRITICAL,
        text,
        {"layer": number, "identical": share},
        (("model.init=default",), *_study("xavier")),
    )


def _vanishing(e: Evidence) -> Finding | None:
    ratio = e.gradient_ratio()
    if ratio is None or ratio >= VANISHING:
        return None
    step = e.layer("update_to_weight", 0)
    numbers = {"gradient_ratio": ratio, "first_layer_update": step, "predicted_ratio": _predicted(e)}
    said = f"the gradient of layer 1 is {ratio:.1e} of layer {e.hidden}'s"
    if step is not None and step > STILL:
        text = f"{said}, but {e.config.optimizer.name} moves layer 1 all the same (|dw|/|w| {step:.1e} per step)"
        return Finding("vanishing-gradient", Severity.INFO, text, numbers)
    severity = Severity.WARNING if e.learns else Severity.CRITICAL
    moves = f"; one step moves it by {step:.1e} of its weights" if step is not None else ""
    flat = ("unit-gain", "tanh") if e.config.model.activation.name in ("sigmoid", "hard-sigmoid") else ()
    return Finding("vanishing-gradient", severity, f"{said}{moves}", numbers, _study(*flat, "batchnorm", "adam"))


def _predicted(e: Evidence) -> float | None:
    return next((r["predicted_ratio"] for r in e.records if r.get("predicted_ratio") is not None), None)


def _exploding(e: Evidence) -> Finding | None:
    ratio, norms = e.gradient_ratio(), [e.layer("gradient_to_weight", n) or 0.0 for n in range(-1, e.hidden)]
    if (ratio is None or ratio <= EXPLODING) and max(norms, default=0.0) < EXPLODING:
        return None
    severity = Severity.INFO if e.learns else Severity.WARNING
    said = (
        f"the gradient of layer 1 is {ratio:.1e} times layer {e.hidden}'s"
        if ratio and ratio > EXPLODING
        else (f"gradients reach {max(norms):.1e} times the weights")
    )
    return Finding(
        "exploding-gradient",
        severity,
        said,
        {"gradient_ratio": ratio},
        (CLIP, *_study("xavier", "batchnorm")),
    )


def _saturated(e: Evidence) -> Finding | None:
    number, share = e.worst("saturated")
    if share < SATURATED or e.config.model.activation.name not in SIGMOIDAL:
        return None
    severity = Severity.INFO if e.learns else Severity.WARNING
    text = f"{share:.0%} of layer {number}'s outputs lie where {e.config.model.activation.name} is flat"
    return Finding(
        "saturated", severity, text, {"layer": number, "share": share}, _study("unit-gain", "batchnorm", "xavier")
    )


def _dead(e: Evidence) -> Finding | None:
    number, share = e.worst("dead")
    if share < DEAD or e.config.model.activation.name in SIGMOIDAL:
        return None
    survivable = e.learns or (e.trial and share < HOPELESS)
    severity = Severity.INFO if survivable else Severity.WARNING
    text = f"{share:.0%} of layer {number}'s units are zero for every image: nothing reaches their weights"
    return Finding(
        "dead-units",
        severity,
        text,
        {"layer": number, "share": share},
        (("model.activation=leaky-relu",), ("model.init=kaiming",), *_rate(e, 0.1)),
    )


def _rate(e: Evidence, factor: float) -> tuple[tuple[str, ...], ...]:
    """The optimizer's learning rate times a factor, where it has one."""
    rate = getattr(e.config.optimizer, "lr", None)
    return ((f"optimizer.lr={rate * factor:g}",),) if rate else ()


def _rate_too_high(e: Evidence) -> Finding | None:
    steps = [e.layer("update_to_weight", n) or 0.0 for n in range(e.hidden)]
    largest = max(steps, default=0.0)
    losses = [row["train_loss"] for row in e.rows]
    rises = sum(b > a for a, b in pairwise(losses)) / max(1, len(losses) - 1)
    floor = min(losses[len(losses) // 2 :], default=0.0)
    # A loss above that of guessing may be that of the first weights, on its way down: then the steps are not to blame.
    thrown = rises > 0 or (e.layer("update_to_weight", -1) or 0.0) > WILD or floor > WRECKED * e.entropy
    above = floor > 1.2 * e.entropy and thrown
    restless = len(losses) > 3 and rises > 0.4 and not e.plateau
    if e.divergence or not (above or (largest > WILD and (restless or not e.learns))):
        return None
    said = (
        f"one step changes weights by {largest:.1%}"
        if largest > WILD
        else f"the loss, {losses[-1]:.3g}, stays above that of guessing, {e.entropy:.3g}"
    )
    rose = f"; the training loss rose in {rises:.0%} of the epochs" if len(losses) > 2 else ""
    return Finding(
        "learning-rate-too-high",
        Severity.CRITICAL if above else Severity.INFO if e.trial else Severity.WARNING,
        said + rose,
        {"update_to_weight": largest, "rising_epochs": rises},
        (*_rate(e, 0.1), CLIP),
    )


def _rate_too_low(e: Evidence) -> Finding | None:
    steps = [e.layer("update_to_weight", n) for n in range(-1, e.hidden)]
    known = [step for step in steps if step]
    if not known or max(known) > STILL * 10 or e.divergence:
        return None
    text = f"no layer moves by more than {max(known):.1e} of its weights in a step"
    slow = e.learns or (e.trial and max(known) > STILL / 10)
    return Finding(
        "learning-rate-too-low",
        Severity.INFO if slow else Severity.WARNING,
        text,
        {"update_to_weight": max(known)},
        (*_rate(e, 10), *_study("adam")),
    )


def _predicts_the_prior(e: Evidence) -> Finding | None:
    if not e.plateau or e.learns:
        return None
    last = e.rows[-1]
    text = (
        f"after epoch {last['epoch']} the loss is {last['train_loss']:.4f}, the prior's entropy {e.entropy:.4f}: "
        "the network knows how often each class occurs, nothing of the images"
    )
    return Finding(
        "predicts-the-prior",
        Severity.CRITICAL,
        text,
        {"train_loss": last["train_loss"], "entropy": e.entropy},
        _study("adam", "batchnorm"),
    )


def _overfitting(e: Evidence) -> Finding | None:
    if len(e.rows) < 5:
        return None
    best = min(e.rows, key=lambda row: row["val_loss"])
    # The median of the last epochs: a single spike of a noisy validation is no trend.
    last = median(row["val_loss"] for row in e.rows[-5:])
    rise, gap = last / best["val_loss"] - 1, e.rows[-1]["train_acc"] - e.rows[-1]["val_acc"]
    if rise < OVERFIT or gap < 0.05:
        return None
    since = f"the validation loss has risen by {rise:.0%} since epoch {best['epoch']}"
    text = f"{since}; training is {gap:.1%} more accurate"
    numbers = {"rise": rise, "gap": gap, "best_epoch": best["epoch"]}
    return Finding(
        "overfitting",
        Severity.INFO,
        text,
        numbers,
        (("early_stopping.patience=10",), ("model.dropout=0.2",), ("weight_decay=0.0001",)),
    )


def _small_batch(e: Evidence) -> Finding | None:
    size, norm = e.config.data.batch_size, e.config.model.norm
    if norm.name not in ("batch", "standardize") or size > 8:
        return None
    severity = Severity.CRITICAL if size == 1 else Severity.WARNING
    text = f"{norm.name} normalisation over {size} image{'s' * (size > 1)}: " + (
        "every feature becomes zero" if size == 1 else "mean and variance are mostly noise"
    )
    return Finding(
        "batch-norm-small-batch",
        severity,
        text,
        {"batch_size": size},
        (("data.batch_size=128",), *_study("layernorm")),
    )


def _eps(e: Evidence) -> Finding | None:
    shares = [record["eps_share"] for record in e.epochs if record.get("eps_share") is not None]
    if not shares or shares[-1] < EPS:
        return None
    eps = getattr(e.config.optimizer, "eps", None)
    severity = Severity.INFO if e.learns else Severity.WARNING
    where = f"for {shares[-1]:.0%} of the parameters sqrt(v) is below eps ({eps:g})"
    text = f"{where}: there {e.config.optimizer.name} does not adapt"
    return Finding("eps-dominates", severity, text, {"share": shares[-1], "eps": eps}, (("optimizer.eps=1e-08",),))


RULES: tuple[Callable[[Evidence], Finding | None], ...] = (
    _diverged,
    _identical,
    _rate_too_high,
    _vanishing,
    _exploding,
    _saturated,
    _dead,
    _rate_too_low,
    _predicts_the_prior,
    _overfitting,
    _small_batch,
    _eps,
)
"""In the order of causes: where two findings weigh the same, the earlier one explains the later."""


def diagnose(evidence: Evidence) -> list[Finding]:
    """What the rules find, the most severe first; none above INFO means healthy."""
    found = [finding for rule in RULES if (finding := rule(evidence)) is not None]
    return sorted(found, key=lambda finding: -finding.severity)


def of_run(record: runs.Record) -> Evidence:
    """What a run directory tells."""
    config = load(TrainConfig, str(record.path / "config.yaml"))
    divergence = str(record.manifest.get("reason", "")) if record.state == "diverged" else ""
    return Evidence(config, record.rows(), runs.read_records(record.path), divergence)


def commands(finding: Finding, config: str) -> list[str]:
    """The remedies as commands to type; `config` is what their --config says."""
    start = f"optilab train --config {shlex.quote(config)}"
    return [" ".join([start, *(f"--set {shlex.quote(text)}" for text in sets)]) for sets in finding.remedies]
