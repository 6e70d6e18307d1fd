"""Learning-rate schedules: a factor as a function of the step number, for paths and trainings.

The learning rate of step t (0-based) of `total` is lr * schedule.factor(t, total). Past the end a schedule keeps
its last value.
"""

from dataclasses import dataclass
from math import cos, pi
from typing import Annotated, Any, ClassVar, Literal, Protocol

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt


class Schedule(Protocol):
    """The factor of the learning rate per step."""

    name: ClassVar[str]

    def factor(self, t: int, total: int) -> float:
        """The factor of step t, 0 <= t < total."""


def _cosine(start: float, end: float, share: float) -> float:
    """From start (share 0) to end (share 1) along half a cosine."""
    return end + (start - end) * (1 + cos(pi * share)) / 2


@dataclass(frozen=True)
class Constant:
    """No change of the learning rate."""

    name: ClassVar[str] = "constant"

    def factor(self, t: int, total: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Step:
    """gamma^floor(t/every): a drop at every `every`-th step (torch StepLR)."""

    name: ClassVar[str] = "step"
    every: Annotated[int, Ge(1), Doc("steps between two drops")] = 30
    gamma: Annotated[float, Gt(0), Le(1), Doc("factor of one drop")] = 0.1

    def factor(self, t: int, total: int) -> float:
        return float(self.gamma ** (min(t, total) // self.every))


@dataclass(frozen=True)
class MultiStep:
    """gamma^(milestones <= t): a drop at each milestone, in whatever order they are listed (torch MultiStepLR)."""

    name: ClassVar[str] = "multi-step"
    milestones: Annotated[tuple[Annotated[int, Ge(1)], ...], Doc("steps with a drop")] = (30, 80)
    gamma: Annotated[float, Gt(0), Le(1), Doc("factor of one drop")] = 0.1

    def factor(self, t: int, total: int) -> float:
        return float(self.gamma ** sum(milestone <= min(t, total) for milestone in self.milestones))


@dataclass(frozen=True)
class Polynomial:
    """final + (1 - final)*(1 - t/steps)^power, then final; a straight line for power 1.

    torch PolynomialLR(total_iters=steps, power=power); LinearLR(1.0, final, total_iters=steps) for power 1.
    """

    name: ClassVar[str] = "polynomial"
    power: Annotated[float, Gt(0), Doc("1 is a straight line")] = 1.0
    final: Annotated[float, Ge(0), Le(1), Doc("factor after the last step")] = 0.0
    steps: Annotated[int | None, Ge(1), Doc("steps until the last factor; null: all")] = None

    def factor(self, t: int, total: int) -> float:
        steps = self.steps or max(total, 1)
        return float(self.final + (1 - self.final) * (1 - min(t, total, steps) / steps) ** self.power)


@dataclass(frozen=True)
class Cosine:
    """final + (1 - final)*(1 + cos(pi*t/steps))/2: half a cosine (Loshchilov & Hutter 2017).

    torch CosineAnnealingLR with T_max = steps and eta_min = final*lr, which goes up again after `steps`;
    CosineAnnealingWarmRestarts with T_0 = steps for `then: restart`.
    """

    name: ClassVar[str] = "cosine"
    final: Annotated[float, Ge(0), Le(1), Doc("factor after the last step")] = 0.0
    steps: Annotated[int | None, Ge(1), Doc("steps of the half cosine; null: all")] = None
    then: Annotated[Literal["return", "restart"], Doc("after `steps`: back up, or from the top")] = "return"

    def factor(self, t: int, total: int) -> float:
        t, steps = min(t, total), self.steps or max(total, 1)
        return _cosine(1.0, self.final, (t % steps if self.steps and self.then == "restart" else t) / steps)


@dataclass(frozen=True)
class OneCycle:
    """Up from 1/start_div to 1 and down to 1/(start_div*final_div), along cosines (Smith & Topin 2018).

    torch OneCycleLR with max_lr = lr and total_steps = total; `momentum` is what its cycle_momentum does. Two phases
    of cosines are fastai's; the paper (arXiv:1708.07120) has straight lines and a third phase at the end.
    """

    name: ClassVar[str] = "one-cycle"
    warm_up: Annotated[float, Gt(0), Lt(1), Doc("share of the steps on the way up")] = 0.3
    start_div: Annotated[float, Ge(1), Doc("peak divided by the first factor")] = 25.0
    final_div: Annotated[float, Ge(1), Doc("first factor divided by the last")] = 1e4

    def factor(self, t: int, total: int) -> float:
        return self._along(t, total, 1 / self.start_div, 1.0, 1 / (self.start_div * self.final_div))

    def momentum(self, t: int, total: int) -> float:
        """From 0.95 down to 0.85 while the learning rate goes up, and back."""
        return self._along(t, total, 0.95, 0.85, 0.95)

    def _along(self, t: int, total: int, first: float, middle: float, last: float) -> float:
        # As in torch the peak is a real number of steps: it may lie between two of them, or before the first.
        peak, end = self.warm_up * total - 1, total - 1
        if t <= peak:
            return _cosine(first, middle, t / peak) if peak > 0 else middle
        return _cosine(middle, last, min((t - peak) / (end - peak), 1.0))


@dataclass(frozen=True)
class WarmUp:
    """start + (1 - start)*t/steps for the first `steps`, then constant or down (Goyal et al. 2017).

    torch LinearLR(start, total_iters=steps), followed by CosineAnnealingLR or PolynomialLR over the rest with
    `then: cosine` or `linear`, which end at `final`. optax.warmup_cosine_decay_schedule is the former.
    """

    name: ClassVar[str] = "warm-up"
    steps: Annotated[int, Ge(1), Doc("steps until the learning rate is reached")] = 5
    start: Annotated[float, Ge(0), Le(1), Doc("factor of the first step")] = 1 / 3
    then: Annotated[Literal["constant", "cosine", "linear"], Doc("what follows the warm-up")] = "constant"
    final: Annotated[float, Ge(0), Le(1), Doc("factor after the last step on the way down")] = 0.0

    def factor(self, t: int, total: int) -> float:
        if t < self.steps:
            return self.start + (1 - self.start) * t / self.steps
        if self.then == "constant":
            return 1.0
        down = Cosine(self.final) if self.then == "cosine" else Polynomial(final=self.final)
        return down.factor(t - self.steps, total - self.steps)


SCHEDULES: dict[str, type[Any]] = {
    schedule.name: schedule for schedule in (Constant, Step, MultiStep, Polynomial, Cosine, OneCycle, WarmUp)
}
