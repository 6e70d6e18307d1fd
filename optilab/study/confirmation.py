"""A learning rate, confirmed: trainings at rates around the answer of a range test, with seeds, as a sweep."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optilab.config.load import dump
from optilab.config.study import SweepConfig
from optilab.config.training import TrainConfig
from optilab.diagnose import of_run, verdict
from optilab.runs import Record
from optilab.study import sweep
from optilab.study.comparison import RunComparison, compare_runs
from optilab.study.outcomes import Measure
from optilab.study.rates import MARGIN, RangeTest, short

COUNT = 5
REACH = 10.0
"""The lowest and the highest rate are so many times below and above the one in the middle."""
HELD_OUT = 10_000
SHARE = 6
"""One training image in so many is held out, but not more than HELD_OUT: rates are not chosen on the test set."""


@dataclass(frozen=True)
class RateRow:
    """A rate and the outcomes of its trainings; a diverged one has the worst."""

    rate: float
    outcomes: tuple[float, ...]


@dataclass(frozen=True)
class Confirmation:
    """What the trainings say."""

    key: str
    rows: tuple[RateRow, ...]
    """By rate."""
    side: RunComparison | None
    """None where no training ran through."""
    learned: bool
    """Whether a training knows more of the validation images than guessing does."""
    seeds: int
    epochs: int

    @property
    def measure(self) -> str:
        return "last val_acc"

    @property
    def possible(self) -> tuple[float, ...]:
        """The rates that no verdict excludes from being the best, the highest mean first."""
        if self.side is None or self.side.comparison is None or not self.learned:
            return ()
        return tuple(_rate(self.side, i, self.key) for i in self.side.comparison.possible_best)

    @property
    def rate(self) -> float | None:
        """The rate of the highest mean; None where nothing was learned."""
        return self.possible[0] if self.possible else None

    @property
    def at_edge(self) -> bool:
        """Whether the best rate is the lowest or the highest that was tried, so that a better one may lie beyond."""
        return len(self.rows) > 1 and self.rate in (self.rows[0].rate, self.rows[-1].rate)


def around(test: RangeTest) -> list[float]:
    """COUNT log-spaced rates around the answer of a range test.

    Where the network did not move, those below the highest that a race tunes in, and below where the ramp ended.
    """
    centre = test.rate
    if centre is None:
        centre = min(float(test.ladder.rates[-1]) / MARGIN, float(test.rates[-1])) / REACH
    return [short(centre * REACH**share) for share in np.linspace(-1, 1, COUNT)]


def plan(
    config: TrainConfig, key: str, rates: Sequence[float], seeds: int, epochs: int, images: int
) -> sweep.Sweep:
    """The trainings; some of the `images` are held out, unless the config holds out its own."""
    held = config.data.holdout or max(1, min(HELD_OUT, (config.data.images or images) // SHARE))
    changes = {
        "name": f"{config.name}-lr",
        "epochs": epochs,
        "data": config.data.model_copy(update={"holdout": held}),
    }
    tree = dump(config.model_copy(update=changes))
    return sweep.plan(sweep.resolve(SweepConfig(config=tree, over={key: list(rates)}, seeds=seeds)))


def confirm(planned: sweep.Sweep, records: Sequence[Record]) -> Confirmation:
    """What the trainings that ran through say."""
    (key,) = planned.asked.over
    size = planned.asked.seeds, planned.base.epochs
    if not records:
        return Confirmation(key, (), None, False, *size)
    side = compare_runs(records, Measure("val_acc"))
    rows = sorted(
        (RateRow(_rate(side, i, key), tuple(own.taken.values.values())) for i, own in enumerate(side.candidates)),
        key=lambda row: row.rate,
    )
    learned = any(verdict.learning(of_run(record))[1] for record in records)
    return Confirmation(key, tuple(rows), side, learned, *size)


def _rate(side: RunComparison, row: int, key: str) -> float:
    return float({**side.grouping.shared, **side.candidates[row].settings}[key])
