"""The same training from several seeds: mean and spread of every metric."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

from optilab.runs import best


class Spread(NamedTuple):
    """Mean and sample standard deviation (n - 1; 0 for one value) of a metric over the seeds."""

    mean: float
    std: float


def outcome(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The metrics of a run's last epoch, and its best validation accuracy."""
    last = {key: value for key, value in rows[-1].items() if isinstance(value, float)}
    return {**last, "best_val_acc": best(rows)["val_acc"]}


def spread(outcomes: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Mean and spread of every metric over the runs of several seeds."""
    values = {key: [outcome[key] for outcome in outcomes] for key in outcomes[0]}
    return {key: Spread(fmean(v), stdev(v) if len(v) > 1 else 0.0) for key, v in values.items()}
