"""The learning rate range test of `optilab lr`: its reading, and the rates around its answer that a sweep confirms.

In a learning-rate range test (Smith 2015, arXiv:1506.01186) the rate grows at every step. The loss is flat at first,
falls, reaches its lowest point and rises.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np

from optilab.config.training import TrainConfig
from optilab.errors import UsageError
from optilab.optimize.objective import Floats
from optilab.optimize.rule import learning_rates, rules_with_lr, with_settings
from optilab.study.tuning_space import network_space

STEPS = 1000
"""Default number of steps of a range test."""
MARGIN = 10.0
"""The ramp begins and ends by this factor below and above the rates that a race tunes in."""
WINDOW = 1 / 40
"""Fraction of a ramp over which losses are averaged: 0.15 decades of six."""
BLOCK = 10
MAX_LOSS_RATIO = 4.0
"""A ramp ends where the loss is this many times the best one, as in fastai and Lightning."""
MIN_GAIN = 1.25
MAX_MOVED_LOSS = 0.98
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
    changed = {key: two_digits(lr * rate / ramp.lr) for key, lr in learning_rates(rule).items()}
    return with_settings(rule, {**changed, ramp.key.removeprefix("optimizer."): rate})


# --- the curve ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RangeTest:
    """The result of a range test. Places on the curve are rates; None where there is no such place."""

    ramp: RateRamp
    losses: Floats
    """The losses of the batches, up to the last finite one."""
    smooth: Floats
    chance_loss: float
    """The chance-level loss by the fractions of the labels."""
    status: Literal["found", "unmoved"]
    rate: float | None
    """The recommendation."""
    half: float | None
    """The rate at which half of the gain in the valley is made."""
    steepest: float | None
    """The rate at which the smoothed loss falls fastest per factor of the rate."""
    lowest: float | None
    """The rate of the lowest smoothed loss in the valley."""
    diverging: float | None
    """The rate at which the valley ends, because the loss rises again or is not finite."""

    @property
    def rates(self) -> Floats:
        """One per loss."""
        return self.ramp.rates[: len(self.losses)]

    @property
    def lowest_loss(self) -> float:
        """The lowest smoothed loss in the valley, or of all where there is none."""
        if self.lowest is None:
            return float(self.smooth.min())
        return float(self.smooth[np.searchsorted(self.rates, self.lowest)])


def runs_away(losses: Sequence[float], chance_loss: float) -> bool:
    """True if the rest of a ramp would be useless: the loss is far above its best, or back at the chance level
    after a gain.

    By the median of BLOCK losses, so that one bad batch ends nothing.
    """
    blocks = len(losses) // BLOCK
    if len(losses) % BLOCK or not blocks or not isfinite(losses[-1]):
        return False
    medians = np.median(np.reshape(losses, (blocks, BLOCK)), axis=1)
    best = float(medians.min())
    return bool(medians[-1] > MAX_LOSS_RATIO * best or medians[-1] >= chance_loss > MIN_GAIN * best)


def read_range_test(ramp: RateRamp, losses: Sequence[float], chance_loss: float) -> RangeTest:
    """The result of a ramp. `losses` may end before the rates do, with one that is not finite.

    The recommendation is the middle of the valley on the logarithmic scale: between the rate at which half of the gain
    is made and the rate at which the loss rises again. The first depends on the length of the ramp, as a slower one
    has learned before it comes to the rates that train best; the second is about to diverge.
    """
    finite = np.array(losses if isfinite(losses[-1]) else losses[:-1])
    if not len(finite):
        return RangeTest(ramp, finite, finite, chance_loss, "unmoved", None, None, None, None, None)
    rates = ramp.rates[: len(finite)]
    smooth = smoothed(np.minimum(finite, MAX_LOSS_RATIO * chance_loss), len(ramp.rates))
    if smooth.min() > MAX_MOVED_LOSS * chance_loss:
        return RangeTest(ramp, finite, smooth, chance_loss, "unmoved", None, None, None, None, None)
    last = _end_of_valley(smooth, chance_loss)
    end = len(finite) - 1 if last is None else last
    bottom = int(np.argmin(smooth[: end + 1]))
    half = int(np.argmax(smooth <= (chance_loss + smooth[bottom]) / 2))
    steepest = int(np.argmin(np.gradient(smooth, np.log(rates))[: bottom + 1]))
    after = ramp.rates[len(finite) : len(losses)]  # that of a loss that is not finite
    diverging = float(rates[last]) if last is not None else float(after[0]) if len(after) else None
    middle = float(rates[half] * (rates[end] if diverging is None else diverging)) ** 0.5
    made, falls, lowest = (float(rates[place]) for place in (half, steepest, bottom))
    return RangeTest(
        ramp, finite, smooth, chance_loss, "found", two_digits(middle), made, falls, lowest, diverging
    )


def _end_of_valley(smooth: Floats, chance_loss: float) -> int | None:
    """The first place at which the loss has risen again; None where it never does."""
    lowest = np.minimum.accumulate(smooth)
    gain = np.maximum(chance_loss - lowest, 0.0)
    risen = (smooth > lowest + RISE * gain) & (gain > BEGUN * gain[-1])
    return int(np.argmax(risen)) if risen.any() else None


def two_digits(rate: float) -> float:
    """A rate with two digits, the precision of the test."""
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


# --- the sweep that confirms ---------------------------------------------------------------------------------


RATE_COUNT = 5
REACH = 10.0
"""The lowest and the highest rate are this factor below and above the one in the middle."""
MAX_HELD_OUT = 10_000
HELD_OUT_PART = 6
"""One of this number of training images is held out, at most MAX_HELD_OUT: rates are not chosen on the test set."""


def rates_near(test: RangeTest) -> list[float]:
    """RATE_COUNT log-spaced rates around the answer of a range test.

    Where the network did not move, those below the highest that a race tunes in, and below where the ramp ended.
    """
    center = test.rate
    if center is None:
        center = min(float(test.ramp.rates[-1]) / MARGIN, float(test.rates[-1])) / REACH
    return [two_digits(center * REACH**exponent) for exponent in np.linspace(-1, 1, RATE_COUNT)]


def axes_near(rule: Any, test: RangeTest) -> dict[str, list[float]]:
    """The axes of a sweep over the rates near the answer; a second rate of the rule goes along, as in the ramp."""
    rates = rates_near(test)
    settings = [learning_rates(at_rate(rule, test.ramp, rate)) for rate in rates]
    others = [name for name in settings[0] if f"optimizer.{name}" != test.ramp.key]
    return {test.ramp.key: rates} | {
        f"optimizer.{name}": [two_digits(rates_[name]) for rates_ in settings] for name in others
    }


def held_out(config: TrainConfig, images: int) -> int:
    """The number of training images, of `images`, that are held out when rates are compared."""
    return max(1, min(MAX_HELD_OUT, (config.data.images or images) // HELD_OUT_PART))
