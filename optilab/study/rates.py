"""What `optilab lr` recommends: a range test, read, and its answer confirmed by trainings at rates around it.

In a learning-rate range test (Smith 2015, arXiv:1506.01186) the rate grows at every step. The loss is flat at first,
falls, reaches its lowest point and rises.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np

from optilab.config.section import dump
from optilab.config.study import SweepConfig
from optilab.config.training import TrainConfig
from optilab.errors import UsageError
from optilab.optimize.objective import Floats
from optilab.optimize.rule import learning_rates, rules_with_lr, with_settings
from optilab.runs import Record
from optilab.study import sweep
from optilab.study.comparison import RunComparison, compare_runs, learned_nothing
from optilab.study.groups import Measure
from optilab.study.search_space import network_space

STEPS = 1000
"""For a range test, if it is not asked for others."""
MARGIN = 10.0
"""The ramp begins and ends by this factor below and above the rates that a race tunes in."""
WINDOW = 1 / 40
"""For a ramp, over which losses are averaged: 0.15 decades of six."""
BLOCK = 10
FAR = 4.0
"""So many times the best loss ends a ramp, as in fastai and Lightning."""
GAINED = 1.25
MOVED = 0.98
"""A network has moved when its smoothed loss falls below this fraction of the chance level."""

RISE, BEGUN = 0.15, 0.25
"""The valley ends where the loss is higher than before by this fraction of the gain up to there, once that gain is the
second fraction of the whole one."""


@dataclass(frozen=True)
class RateRamp:
    """The rates of a range test: `key` is that of the config, `lr` its value there."""

    key: str
    lr: float
    rates: Floats


def rate_ramp(rule: Any, steps: int = STEPS) -> RateRamp:
    """`steps` log-spaced rates for an optimizer. UsageError where it has no learning rate."""
    key, inner = next(iter(rules_with_lr(rule).items()), ("", None))
    if inner is None:
        raise UsageError(f"{rule.name} has no learning rate `lr`: there is none to find")
    span = network_space(inner)["lr"]
    rates = np.geomspace(span.low / MARGIN, span.high * MARGIN, steps)
    return RateRamp(f"optimizer.{key}", inner.lr, rates)


def at_rate(rule: Any, ramp: RateRamp, rate: float) -> Any:
    """The rule at a rate of its ramp, which moves all of its learning rates by the same factor."""
    changed = {key: short(lr * rate / ramp.lr) for key, lr in learning_rates(rule).items()}
    return with_settings(rule, {**changed, ramp.key.removeprefix("optimizer."): rate})


# --- the curve ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RangeTest:
    """A range test and what it says. Places on the curve are rates; None where there is no such place."""

    ramp: RateRamp
    losses: Floats
    """For the batches, up to the last finite one."""
    smooth: Floats
    guessing: float
    """The chance-level loss by the fractions of the labels."""
    status: Literal["found", "unmoved"]
    rate: float | None
    """The recommendation."""
    half: float | None
    """Where half of the gain in the valley is made."""
    steepest: float | None
    """Where the smoothed loss falls fastest per factor of the rate."""
    lowest: float | None
    """Where it is lowest in the valley."""
    diverging: float | None
    """Where the valley ends, because the loss rises again or is not finite."""
    others: Mapping[str, float | None]
    """What the rules of fastai and Lightning say about the same losses."""

    @property
    def rates(self) -> Floats:
        """One per loss."""
        return self.ramp.rates[: len(self.losses)]

    @property
    def floor(self) -> float:
        """The lowest smoothed loss in the valley, or of all where there is none."""
        if self.lowest is None:
            return float(self.smooth.min())
        return float(self.smooth[np.searchsorted(self.rates, self.lowest)])


def runs_away(losses: Sequence[float], guessing: float) -> bool:
    """Whether the rest of a ramp would say nothing: the loss is far above its best, or back at the chance level after
    a gain.

    By the median of BLOCK losses, so that one bad batch ends nothing.
    """
    blocks = len(losses) // BLOCK
    if len(losses) % BLOCK or not blocks or not isfinite(losses[-1]):
        return False
    medians = np.median(np.reshape(losses, (blocks, BLOCK)), axis=1)
    best = float(medians.min())
    return bool(medians[-1] > FAR * best or medians[-1] >= guessing > GAINED * best)


def read_range_test(ramp: RateRamp, losses: Sequence[float], guessing: float) -> RangeTest:
    """What a ramp says. `losses` may end before the rates do, with one that is not finite.

    The recommendation is the middle of the valley on the logarithmic scale: between the rate at which half of the gain
    is made and the rate at which the loss rises again. The first depends on the length of the ramp, as a slower one
    has learned before it comes to the rates that train best; the second is about to diverge.
    """
    kept = np.array(losses if isfinite(losses[-1]) else losses[:-1])
    rates = ramp.rates[: len(kept)]
    smooth = smoothed(np.minimum(kept, FAR * guessing), len(ramp.rates))
    others = {
        "fastai valley": fastai(rates, kept, "valley"),
        "fastai steep": fastai(rates, kept, "steep"),
        "fastai minimum": fastai(rates, kept, "minimum"),
        "lightning": lightning(rates, kept),
    }
    if smooth.min() > MOVED * guessing:
        return RangeTest(ramp, kept, smooth, guessing, "unmoved", None, None, None, None, None, others)
    last = _end_of_valley(smooth, guessing)
    end = len(kept) - 1 if last is None else last
    bottom = int(np.argmin(smooth[: end + 1]))
    half = int(np.argmax(smooth <= (guessing + smooth[bottom]) / 2))
    steepest = int(np.argmin(np.gradient(smooth, np.log(rates))[: bottom + 1]))
    after = ramp.rates[len(kept) : len(losses)]  # that of a loss that is not finite
    diverging = float(rates[last]) if last is not None else float(after[0]) if len(after) else None
    middle = float(rates[half] * (rates[end] if diverging is None else diverging)) ** 0.5
    made, falls, lowest = (float(rates[place]) for place in (half, steepest, bottom))
    return RangeTest(ramp, kept, smooth, guessing, "found", short(middle), made, falls, lowest, diverging, others)


def _end_of_valley(smooth: Floats, guessing: float) -> int | None:
    """The first place at which the loss has risen again; None where it never does."""
    lowest = np.minimum.accumulate(smooth)
    gain = np.maximum(guessing - lowest, 0.0)
    risen = (smooth > lowest + RISE * gain) & (gain > BEGUN * gain[-1])
    return int(np.argmax(risen)) if risen.any() else None


def short(rate: float) -> float:
    """A rate with two digits: more would claim what no test can tell."""
    return float(f"{rate:.2g}")


def smoothed(losses: Floats, steps: int) -> Floats:
    """The mean over a window around each loss, WINDOW of a ramp of `steps` wide; narrower at the ends.

    Around, not before: an average over earlier steps shows every place at too high a rate.
    """
    half = max(2, round(WINDOW * steps / 2))
    sums = np.concatenate([[0.0], np.cumsum(losses)])
    places = np.arange(len(losses))
    reach = np.minimum(half, np.minimum(places, len(losses) - 1 - places))
    return np.asarray((sums[places + reach + 1] - sums[places - reach]) / (2 * reach + 1))


# --- the rules of others -----------------------------------------------------------------------------------


def running_mean(losses: Sequence[float] | Floats, offset: int = 0, keep: float = 0.98) -> Floats:
    """The exponential moving average by which fastai and Lightning smooth losses, free of the bias of its start.

    `offset`: steps by which the correction counts too many; Lightning's counts one.
    """
    mean, means = 0.0, []
    for count, loss in enumerate(losses, start=1):
        mean = keep * mean + (1 - keep) * loss
        means.append(mean / (1 - keep ** (count + offset)))
    return np.array(means)


def fastai(rates: Floats, losses: Floats, rule: str) -> float | None:
    """The suggestion of fastai's `lr_find` (2.8): `valley`, its default, `steep`, or `minimum`.

    The first tenth of the steps and the last five are left out.
    """
    kept = slice(len(rates) // 10, -5)
    rates, smooth = rates[kept], running_mean(losses)[kept]
    if len(rates) < 2:
        return None
    if rule == "steep":
        return float(rates[np.argmin(np.diff(smooth) / np.diff(np.log(rates)))])
    if rule == "minimum":
        return float(rates[np.argmin(smooth)]) / 10
    return float(rates[_valley(smooth)])


def _valley(losses: Floats) -> int:
    """The place in the middle third of the longest falling subsequence that fastai takes for the valley."""
    lengths = np.ones(len(losses), dtype=int)
    for i in range(1, len(losses)):
        lengths[i] += lengths[:i][losses[:i] > losses[i]].max(initial=0)
    end = int(np.argmax(lengths))
    length = int(lengths[end])
    return max(end - length, -1) + int(length / 3) + int(length / 3 / 2) if length > 1 else 0


def lightning(rates: Floats, losses: Floats) -> float | None:
    """The suggestion of Lightning's `lr_find` (2.6): the steepest fall of the loss over the rate, not its logarithm.

    The first ten steps and the last one are left out.
    """
    rates, smooth = rates[10:-1], running_mean(losses, offset=1)[10:-1]
    return float(rates[np.argmin(np.gradient(smooth, rates))]) if len(rates) > 1 else None


# --- trainings that confirm -----------------------------------------------------------------------------------


COUNT = 5
REACH = 10.0
"""The lowest and the highest rate are this factor below and above the one in the middle."""
HELD_OUT = 10_000
SHARE = 6
"""One of this number of training images is held out, but not more than HELD_OUT: rates are not chosen on the test
set."""


@dataclass(frozen=True)
class Confirmation:
    """What the trainings say."""

    key: str
    outcomes: Mapping[float, tuple[float, ...]]
    """The outcomes of the trainings at each rate, lowest first; a diverged one has the worst."""
    side: RunComparison | None
    """None where no training ran through."""
    learned: bool
    """Whether the trainings of a rate know more of the validation images than the chance level, in the mean."""
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
        """The rate of the highest mean, if possible of those where none diverged; None where nothing was learned."""
        return next(iter(sorted(self.possible, key=self.diverged.__contains__)), None)

    @property
    def diverged(self) -> dict[float, int]:
        """The rates at which trainings diverged, with their number."""
        if self.side is None:
            return {}
        failed = {i: len(own.outcomes.diverged) for i, own in enumerate(self.side.candidates)}
        return {_rate(self.side, i, self.key): count for i, count in failed.items() if count}

    @property
    def at_edge(self) -> bool:
        """Whether the best rate is the lowest or the highest that was tried, so that a better one may lie beyond."""
        return len(self.outcomes) > 1 and self.rate in (min(self.outcomes), max(self.outcomes))


def rates_near(test: RangeTest) -> list[float]:
    """COUNT log-spaced rates around the answer of a range test.

    Where the network did not move, those below the highest that a race tunes in, and below where the ramp ended.
    """
    center = test.rate
    if center is None:
        center = min(float(test.ramp.rates[-1]) / MARGIN, float(test.rates[-1])) / REACH
    return [short(center * REACH**share) for share in np.linspace(-1, 1, COUNT)]


def plan(
    config: TrainConfig, ramp: RateRamp, rates: Sequence[float], seeds: int, epochs: int, images: int
) -> sweep.SweepPlan:
    """The trainings; some of the `images` are held out, unless the config holds out its own.

    A second rate of the optimizer goes along, as in the ramp.
    """
    held = config.data.holdout or max(1, min(HELD_OUT, (config.data.images or images) // SHARE))
    changes = {
        "name": f"{config.name}-lr",
        "epochs": epochs,
        "data": config.data.model_copy(update={"holdout": held}),
    }
    tree = dump(config.model_copy(update=changes))
    at = [learning_rates(at_rate(config.optimizer, ramp, rate)) for rate in rates]
    over = {ramp.key: list(rates)} | {
        key: [short(one[name]) for one in at] for name in at[0] if (key := f"optimizer.{name}") != ramp.key
    }
    return sweep.plan(sweep.resolve(SweepConfig(config=tree, over=over, zip=len(over) > 1, seeds=seeds)))


def confirm(planned: sweep.SweepPlan, records: Sequence[Record], looks: int) -> Confirmation:
    """What the trainings that ran through say; `looks`: how often they were compared before."""
    key = next(iter(planned.asked.over))
    size = planned.asked.seeds, planned.base.epochs
    if not records:
        return Confirmation(key, {}, None, False, *size)
    side = compare_runs(records, Measure("val_acc"), looks=looks)
    found = {_rate(side, i, key): tuple(own.outcomes.values.values()) for i, own in enumerate(side.candidates)}
    learned = not learned_nothing([own.outcomes for own in side.candidates], side.measure.rises)
    return Confirmation(key, dict(sorted(found.items())), side, learned, *size)


def _rate(side: RunComparison, row: int, key: str) -> float:
    return float({**side.grouping.shared, **side.candidates[row].settings}[key])
