"""The number of a training: a metric at an epoch, at its best, its mean over the epochs, or the time to a target.

A training that diverged has learned nothing: it counts as the accuracy or the loss of the chance level, or as the
highest loss of its group if that is more; it is left out where no chance level is known. Times to a target are
compared between trainings of one length; a target that a training never reached, or that it diverged before, counts as
one epoch after the longest of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Literal, NamedTuple

from optilab.config.claims import MOMENTS, At, fraction_problem
from optilab.errors import DataError, UsageError, did_you_mean, shown, unknown
from optilab.judge.groups import Group
from optilab.judge.judge import UNLIMITED, Limits, Values
from optilab.numbers import short_percent
from optilab.runs import Record, Row, best, read_timings
from optilab.runs.metrics import TESTED, metric_of
from optilab.words import plural

DIVERGED, NEVER = "diverged", "never reached"


class Missing(NamedTuple):
    """The reason why a training has no number."""

    why: str
    ending: str = ""
    """DIVERGED or NEVER, for which another number stands; empty where nothing is known."""


@dataclass(frozen=True)
class Measure:
    """The measure of a comparison: a metric at an epoch, its mean over the epochs, or the time until a target."""

    metric: str = "val_acc"
    """A column of metrics.csv, `seconds` since the start, or `test_acc` and `test_loss`."""
    at: At = "last"
    target: float | None = None
    """The value of the metric whose time is the outcome: by isotonic regression over the epochs, so that a curve is not
    faster because it is noisier."""
    until: Literal["epochs", "seconds"] = "epochs"
    """The unit of that time."""

    @property
    def metric_higher_is_better(self) -> bool:
        """True if a higher metric is better."""
        return metric_of(self.metric).higher_is_better

    @property
    def higher_is_better(self) -> bool:
        """True if a higher outcome is better."""
        return self.target is None and self.metric_higher_is_better

    @property
    def is_fraction(self) -> bool:
        """True if the outcome is a fraction, shown in percent."""
        return self.target is None and metric_of(self.metric).is_fraction

    @property
    def limits(self) -> Limits:
        """The possible outcomes."""
        return (0.0, 1.0) if self.is_fraction else (0.0, inf) if self.target is not None else UNLIMITED

    def chance(self, classes: int) -> float | None:
        """The outcome of knowing nothing about that number of classes; None for a metric or a target without one."""
        return None if self.target is not None else metric_of(self.metric).quantity.chance(classes)

    @property
    def name(self) -> str:
        """`last val_acc`, `val_acc at epoch 5`, `epochs to 80%`."""
        if self.target is not None:
            goal = short_percent(self.target) if self.metric_higher_is_better else f"{self.metric} {self.target:g}"
            return f"{self.until} to {goal}"
        if self.at == "area":
            return f"mean {self.metric}"
        return f"{self.metric} at epoch {self.at}" if isinstance(self.at, int) else f"{self.at} {self.metric}"

    def value(self, record: Record, horizon: int) -> float | Missing:
        """The number of a training; the best epoch is one of the first `horizon`. DataError for a damaged table."""
        rows, name = _rows(record, self), record.name
        unfinished = Missing(f"{name}: {record.state} after epoch {len(rows)} of {length(record)}")
        diverged = Missing(f"{name}: diverged", DIVERGED) if record.state == DIVERGED else None
        number: float | None = None
        if self.target is not None:
            if not (diverged or record.has_ended(length(record))):
                return unfinished
            time = self._time_to(self.target, rows)
            return (diverged or Missing(f"{name}: {NEVER}", NEVER)) if time is None else time
        if diverged:
            return diverged
        if isinstance(self.at, int):
            if self.at > len(rows):
                return Missing(f"{name}: {plural(len(rows), 'epoch')}") if record.state == "done" else unfinished
            number = rows[self.at - 1].get(self.metric)
        elif not rows or not record.has_ended(length(record)):
            return unfinished
        elif self.metric in TESTED and self.at == "best":
            if (top := best(rows)["epoch"]) > horizon:
                return Missing(f"{name}: its best epoch is {top}")
            number = record.manifest.get(f"best_{self.metric}")
        elif self.metric in rows[-1]:
            values = {row["epoch"]: row[self.metric] for row in rows if self.metric in row}
            if self.at == "best":
                top = max if self.metric_higher_is_better else min
                number = top((value for epoch, value in values.items() if epoch <= horizon), default=None)
            else:
                number = rows[-1][self.metric] if self.at == "last" else sum(values.values()) / len(values)
        return Missing(f"{name}: no {self.metric}") if number is None else number

    def _time_to(self, target: float, rows: Sequence[Row]) -> float | None:
        """The epoch at which the isotonic regression of the metric crosses the target. On a curve that only rises
        it is the first epoch that reaches the target.

        That is the row after which the sum of (target - value) is largest: from it on, every mean up to a later
        row is at least the target.
        """
        most, total, reached, waiting = 0.0, 0.0, 0.0, True
        for row in rows:
            if (value := row.get(self.metric)) is None:
                continue
            if waiting:
                reached, waiting = float(row["seconds" if self.until == "seconds" else "epoch"]), False
            total += (target - value) * metric_of(self.metric).sign
            if total > most:
                most, waiting = total, True
        return None if waiting else reached


def read_measure(metric: str, at: str, target: float | None, until: str) -> Measure:
    """The measure of `--metric`, `--at`, `--target` and `--until`; UsageError for what they do not accept."""
    wrong = list[str]()
    if at not in MOMENTS and not (at.isdecimal() and int(at) > 0):
        near = did_you_mean(at, MOMENTS)
        wrong.append(f"--at: expected last, best, area or an epoch from 1, got {shown(at)}{near}")
        at = "last"
    if metric == "seconds" and at in ("best", "area"):
        wrong.append(f"--at {at}: seconds only grow; expected last or an epoch")
    if target is not None and at != "last":
        wrong.append("--target and --at cannot be combined")
    if target is not None and (metric == "seconds" or metric in TESTED):
        wrong.append(f"--target: expected a metric of every epoch, got {metric}")
    if metric in TESTED and at not in ("last", "best"):
        wrong.append(
            f"--at {at}: {metric} is measured at the last epoch and at the best one; expected last or best"
        )
    why = "" if target is None else fraction_problem(metric, target)
    if target == 0 and metric_of(metric).is_fraction:
        why = "expected more than 0, which every training has at once"
    if target is not None and not isfinite(target):
        why = f"expected a finite number, got {target}"
    wrong += [f"--target: {why}"] if why else []
    if wrong:
        raise UsageError("\n".join(wrong))
    return Measure(metric, int(at) if at.isdecimal() else at, target, until)  # type: ignore[arg-type]


def bounds(metric: str, values: Iterable[float]) -> Limits:
    """The limits of drawn intervals of a metric: 0 and 1 for accuracies, 0 for losses if none is negative."""
    if metric_of(metric).is_fraction:
        return 0.0, 1.0
    losses = metric_of(metric).quantity.unit == "nats"
    return (0.0, inf) if losses and all(value >= 0 for value in values) else UNLIMITED


def length(record: Record) -> int:
    """The epochs in the config of a training; for a watched loop, which has no config, the epochs that it made."""
    planned = record.manifest.get("config", {}).get("epochs", record.manifest.get("epoch"))
    return planned if isinstance(planned, int) and planned > 0 else len(record.rows())


def _rows(record: Record, measure: Measure) -> list[Row]:
    """metrics.csv, with the seconds since the start and, in the last row, the results of the test set."""
    rows = record.rows()
    if rows:
        rows[-1] |= {key: record.manifest[key] for key in TESTED if key in record.manifest}
    if measure.metric == "seconds" or measure.until == "seconds":
        total, path = 0.0, record.path / "timings.csv"
        took = {timing["epoch"]: timing["seconds"] for timing in read_timings(path)}
        for row in rows:
            if row["epoch"] not in took:
                raise DataError(f"{path} has no time of epoch {row['epoch']}")
            total += took[row["epoch"]]
            row["seconds"] = total
    return rows


# --- the numbers of groups ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class GroupValues:
    """The outcomes of one group."""

    values: Values
    """The outcome of each seed, those in `imputed` included."""
    imputed: Mapping[int, str] = field(default_factory=dict)
    """Trials that diverged or never reached the target, and which of the two. Their value is chance, or one epoch after
    the end, whatever the other groups did."""
    excluded: Mapping[int, str] = field(default_factory=dict)
    """Trials without an outcome, and why."""
    chance: float | None = None
    """The accuracy, or the loss, of knowing nothing; None for a metric or images without one."""

    @property
    def diverged(self) -> list[int]:
        return [seed for seed, why in self.imputed.items() if why != NEVER]


def values_of(groups: Sequence[Group], measure: Measure, where: str = "--metric") -> list[GroupValues]:
    """The outcomes of every group.

    The best epoch is among the epochs that all trainings were asked for. DataError for a damaged table, UsageError
    for a metric that no run has, and for times to a target of trainings that were asked for different numbers of
    epochs.
    """
    records = [record for group in groups for record in group.runs.values()]
    lengths = sorted({length(record) for record in records})
    if measure.target is not None and len(lengths) > 1:
        got = f"{', '.join(map(str, lengths[:-1]))} and {plural(lengths[-1], 'epoch')}"
        raise UsageError(f"--target: expected trainings of one length, got {got}")
    horizon = lengths[0] if lengths else 0
    numbers = [{seed: measure.value(run, horizon) for seed, run in group.runs.items()} for group in groups]
    every = [number for group in numbers for number in group.values()]
    if all(isinstance(number, Missing) for number in every):
        _require_known(records, measure, where)
    is_late = any(isinstance(number, Missing) and number.ending for number in every)
    late = _after_the_end(records, measure) if is_late else 0.0
    return [_outcomes_of(*pair, measure, late) for pair in zip(groups, numbers, strict=True)]


def _require_known(records: Sequence[Record], measure: Measure, where: str) -> None:
    """UsageError where the last rows of the runs have metrics, and none has this one."""
    last = [rows[-1] for record in records if (rows := _rows(record, measure))]
    known = list(dict.fromkeys(key for row in last for key in row if key != "epoch"))
    if known and measure.metric not in known:
        if measure.metric in TESTED:
            raise UsageError(f"{measure.metric} needs held-out images (data.holdout)", where)
        raise UsageError(unknown("metric", measure.metric, known), where)


def _after_the_end(records: Sequence[Record], measure: Measure) -> float:
    """One epoch after the end of the longest training, in the unit of the times to a target; 0 without a target."""
    if measure.target is None:
        return 0.0
    if measure.until == "epochs":
        return 1.0 + max(int(record.manifest.get("epoch", 0)) for record in records)
    ends = [(rows[-1]["seconds"], len(rows)) for record in records if (rows := _rows(record, measure))]
    return max((end + end / epochs for end, epochs in ends), default=0.0)


def _outcomes_of(
    group: Group, numbers: Mapping[int, float | Missing], measure: Measure, late: float
) -> GroupValues:
    values = {seed: number for seed, number in numbers.items() if not isinstance(number, Missing)}
    missing = {seed: number for seed, number in numbers.items() if isinstance(number, Missing)}
    classes = max((record.classes for record in group.runs.values()), default=0)
    chance = measure.chance(classes)
    worst = chance if measure.target is None else late
    if chance is not None and not measure.metric_higher_is_better:
        worst = max([chance, *values.values()])
    endings = {seed: number.ending for seed, number in missing.items() if number.ending and worst is not None}
    excluded = {seed: number.why for seed, number in missing.items() if seed not in endings}
    if worst is not None:
        values |= dict.fromkeys(endings, worst)
    return GroupValues({seed: values[seed] for seed in group.runs if seed in values}, endings, excluded, chance)
