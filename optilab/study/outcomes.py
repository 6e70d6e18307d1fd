"""The outcome of a training: one number, taken the same way from every run that is compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any, Literal

from optilab.errors import UsageError, did_you_mean, shown
from optilab.runs import Record, Row, read_timings
from optilab.study.groups import Group
from optilab.study.statistics import Outcomes

TESTED = ("test_loss", "test_acc")
"""Metrics of the test set, which a run with held-out images is measured on once, at the end."""


@dataclass(frozen=True)
class Measure:
    """What the runs are compared by: a metric at an epoch, its mean over the epochs, or the time until a target."""

    metric: str = "val_acc"
    """A column of metrics.csv, `seconds` since the start, or `test_acc` and `test_loss`."""
    at: Literal["last", "best", "area"] | int = "last"
    """The last epoch, the run's best one, the mean over all (the area under the curve), or an epoch from 1."""
    target: float | None = None
    """With a target, the outcome is when the metric first reached it."""
    until: Literal["epochs", "seconds"] = "epochs"
    """The unit of that time."""

    @property
    def rises(self) -> bool:
        """Whether a higher metric is better."""
        return self.metric.endswith("acc")

    @property
    def higher(self) -> bool:
        """Whether a higher outcome is better."""
        return self.target is None and self.rises

    @property
    def share(self) -> bool:
        """Whether the outcome is a share, shown in per cent."""
        return self.target is None and self.rises

    @property
    def name(self) -> str:
        """`last val_acc`, `val_acc at epoch 5`, `epochs to 80 %`."""
        if self.target is not None:
            goal = f"{100 * self.target:g} %" if self.rises else f"{self.metric} {self.target:g}"
            return f"{self.until} to {goal}"
        if self.at == "area":
            return f"mean {self.metric}"
        return f"{self.metric} at epoch {self.at}" if isinstance(self.at, int) else f"{self.at} {self.metric}"


def read_measure(metric: str, at: str, target: float | None, until: str) -> Measure:
    """The measure of `--metric`, `--at`, `--target` and `--until`; UsageError for what none of them accepts."""
    if at not in ("last", "best", "area") and not (at.isdecimal() and int(at) > 0):
        raise UsageError(f"--at: last, best, area or an epoch from 1 expected, got {shown(at)}")
    if until not in ("epochs", "seconds"):
        raise UsageError(f"--until: epochs or seconds expected, got {shown(until)}")
    if target is not None and at != "last":
        raise UsageError("--target and --at cannot be combined: a target is reached at an epoch of its own")
    if target is not None and (metric == "seconds" or metric in TESTED):
        raise UsageError(f"--target needs a metric of every epoch; {metric} is not one")
    if metric in TESTED and at != "last":
        raise UsageError(f"--at {at}: {metric} is measured once, at the end")
    if target is not None and metric.endswith("acc") and not 0 < target <= 1:
        raise UsageError(f"--target: an accuracy is a share from 0 to 1, as in 0.8; got {target:g}")
    return Measure(metric, int(at) if at.isdecimal() else at, target, until)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Taken:
    """The outcomes of one group."""

    values: Outcomes
    """By seed; the trials in `worst` are among them."""
    worst: Mapping[int, str] = field(default_factory=dict)
    """Trials that diverged or never reached the target, and which of the two; they count as the worst outcome."""
    absent: Mapping[int, str] = field(default_factory=dict)
    """Trials without an outcome, and why."""


def take(groups: Sequence[Group], measure: Measure) -> list[Taken]:
    """The outcomes of every group.

    A trial that diverged counts as the worst outcome: an accuracy of 0; a loss of guessing, or the highest of the
    table if that is more; the time of the whole table's longest trial, and one epoch more, where a target was not
    reached. DataError for a damaged table, UsageError for a metric that no run has.
    """
    found = [{seed: _Trial(record, measure) for seed, record in group.runs.items()} for group in groups]
    trials = [trial for group in found for trial in group.values()]
    known = list(dict.fromkeys(key for trial in trials for key in trial.metrics))
    if known and measure.metric not in known:
        near = did_you_mean(measure.metric, known) or f"; one of {', '.join(known)}"
        raise UsageError(f"--metric: no run has {shown(measure.metric)}{near}")
    worst = _worst(trials, measure)
    return [
        Taken(
            {s: worst if t.value is None else t.value for s, t in group.items() if not t.absent},
            {s: t.ending for s, t in group.items() if t.value is None and not t.absent},
            {s: t.absent for s, t in group.items() if t.absent},
        )
        for group in found
    ]


class _Trial:
    """One run: its outcome, None where it counts as the worst, or why it has none."""

    def __init__(self, record: Record, measure: Measure) -> None:
        rows = _rows(record, measure)
        self.rows = rows
        self.metrics = [key for key in (rows[-1] if rows else ()) if key != "epoch"]
        self.epochs = len(rows)
        self.classes = record.manifest.get("data", {}).get("classes", 10)
        self.value: float | None = None
        self.ending = self.absent = ""
        ended = record.state in ("done", "diverged")
        planned = record.manifest.get("config", {}).get("epochs", "?")
        unfinished = f"{record.name}: {record.state} after epoch {len(rows)} of {planned}"
        if measure.target is not None:
            self.value = _time(rows, measure)
            if self.value is None:
                self.ending = "diverged" if record.state == "diverged" else "never reached"
                self.absent = "" if ended else unfinished
        elif record.state == "diverged":
            self.ending = "diverged"
        elif isinstance(measure.at, int):
            if measure.at <= len(rows):
                self.value = rows[measure.at - 1].get(measure.metric)
            else:
                had = f"{len(rows)} epoch{'s' * (len(rows) != 1)}"
                self.absent = f"{record.name}: {had}" if ended else unfinished
        elif not ended or not rows:
            self.absent = unfinished
        elif measure.metric in rows[-1]:
            values = [row[measure.metric] for row in rows if measure.metric in row]
            choose = max if measure.rises else min
            self.value = {"last": values[-1], "best": choose(values), "area": sum(values) / len(values)}[
                str(measure.at)
            ]
        if self.value is None and not self.ending and not self.absent:
            self.absent = f"{record.name}: no {measure.metric}"


def _rows(record: Record, measure: Measure) -> list[Row]:
    """metrics.csv, with the seconds since the start and, in the last row, the results of the test set."""
    rows = record.rows()
    if rows:
        rows[-1] |= {key: record.manifest[key] for key in TESTED if key in record.manifest}
    if measure.metric == "seconds" or measure.until == "seconds":
        total = 0.0
        for row, timing in zip(rows, read_timings(record.path / "timings.csv"), strict=False):
            total += timing["seconds"]
            row["seconds"] = total
    return rows


def _time(rows: Sequence[Row], measure: Measure) -> float | None:
    """When the metric first reached the target."""
    for row in rows:
        value: Any = row.get(measure.metric)
        if value is not None and (value >= measure.target if measure.rises else value <= measure.target):
            return row.get("seconds") if measure.until == "seconds" else float(row["epoch"])
    return None


def _worst(trials: Sequence[_Trial], measure: Measure) -> float:
    if measure.target is not None:
        if measure.until == "epochs":
            return 1.0 + max((trial.epochs for trial in trials), default=0)
        return max((trial.rows[-1].get("seconds", 0.0) for trial in trials if trial.rows), default=0.0)
    if measure.higher:
        return 0.0
    guessing = [log(trial.classes) for trial in trials] if measure.metric.endswith("loss") else [0.0]
    return max([*guessing, *(trial.value for trial in trials if trial.value is not None)])
