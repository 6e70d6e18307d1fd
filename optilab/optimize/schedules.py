"""Learning-rate schedules: a factor as a function of the step number, for paths and trainings.

The learning rate of step t (0-based) of `total` is lr * schedule.factor(t, total). Past the end a schedule keeps
its last value.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from math import cos, pi
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt

from optilab.errors import UsageError
from optilab.optimize.formula import ONE, derivative, inlined
from optilab.optimize.objective import Floats, Objective
from optilab.optimize.rule import Rule, follows_schedule, quantities_for

if TYPE_CHECKING:
    import numpy as np


class Schedule(Protocol):
    """The factor of the learning rate per step."""

    name: ClassVar[str]

    def factor(self, t: int, total: int) -> float:
        """The factor of step t, 0 <= t < total."""


def _cosine(start: float, end: float, fraction: float) -> float:
    """A value between start (fraction 0) and end (fraction 1), along half a cosine."""
    return end + (start - end) * (1 + cos(pi * fraction)) / 2


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

    torch OneCycleLR with max_lr = lr, total_steps = total and cycle_momentum = False. Two phases of cosines are
    fastai's; the paper (arXiv:1708.07120) has straight lines and a third phase at the end.
    """

    name: ClassVar[str] = "one-cycle"
    warm_up: Annotated[float, Gt(0), Lt(1), Doc("fraction of the steps on the way up")] = 0.3
    start_div: Annotated[float, Ge(1), Doc("peak divided by the first factor")] = 25.0
    final_div: Annotated[float, Ge(1), Doc("first factor divided by the last")] = 1e4

    def factor(self, t: int, total: int) -> float:
        first, last = 1 / self.start_div, 1 / (self.start_div * self.final_div)
        # As in torch the peak is a real number of steps: it may lie between two of them, or before the first.
        peak, end = self.warm_up * total - 1, total - 1
        if t <= peak:
            return _cosine(first, 1.0, t / peak) if peak > 0 else 1.0
        return _cosine(1.0, last, min((t - peak) / (end - peak), 1.0))


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
        t = min(t, total)
        if t < self.steps:
            return self.start + (1 - self.start) * t / self.steps
        if self.then == "constant":
            return 1.0
        down = Cosine(self.final) if self.then == "cosine" else Polynomial(final=self.final)
        return down.factor(t - self.steps, total - self.steps)


SCHEDULES: dict[str, type[Any]] = {
    schedule.name: schedule for schedule in (Constant, Step, MultiStep, Polynomial, Cosine, OneCycle, WarmUp)
}


DecayStrength = Annotated[float, Ge(0), Doc("strength of the weight decay around the rule")]
DecayForm = Annotated[
    Literal["coupled", "decoupled"],
    Doc("decay added to the gradient (L2 penalty), or taken from the weights next to the rule"),
]
Clip = Annotated[float | None, Gt(0), Doc("longest gradient; longer ones are scaled down to it")]
ClipValue = Annotated[float | None, Gt(0), Doc("largest gradient of a coordinate; larger ones are cut off")]
Noise = Annotated[float, Ge(0), Doc("standard deviation of normal noise added to every gradient")]
Seed = Annotated[int, Ge(0), Doc("seed of the gradient noise")]


Stepper = Callable[[int, Floats, Floats, Any], tuple[Floats, Any]]

_CONSTANT = Constant()


@dataclass(frozen=True)
class Regime:
    """The conditions of a descent; the defaults change nothing.

    coupled decay:   g + weight_decay*w to the rule (torch's `weight_decay` of SGD and Adam)
    decoupled decay: w - lr*weight_decay*w next to the rule (Loshchilov & Hutter 2019)
    noise: g + noise*N(0, 1), the same draws for every rule with the same seed (Neelakantan et al. 2015; theirs
        decays)
    """

    schedule: Schedule = _CONSTANT
    weight_decay: DecayStrength = 0.0
    weight_decay_form: DecayForm = "coupled"
    clip_norm: Clip = None
    clip_value: ClipValue = None
    noise: Noise = 0.0
    seed: Seed = 0

    @property
    def changed(self) -> list[str]:
        """The names of the conditions that are not the default ones."""
        return [f.name for f in fields(self) if getattr(self, f.name) != f.default]


def scheduled(rule: Rule, factor: float) -> Rule:
    """The rule with all of its `learning_rates` multiplied; a wrapper passes it on to the rule it wraps."""
    if factor == 1:
        return rule
    if hasattr(rule, "base"):
        return replace(rule, base=scheduled(rule.base, factor))  # type: ignore[type-var]
    others = {"others": scheduled(rule.others, factor)} if hasattr(rule, "others") else {}
    return replace(rule, lr=rule.lr * factor, **others)  # type: ignore[attr-defined, type-var]


def modified_step(rule: Rule, function: Objective, regime: Regime, steps: int) -> Stepper:
    """`rule.step` under the regime, as a function of (t, w, gradient, state) with t from 0.

    UsageError where the regime does not fit the rule: a schedule, if no step reads a learning rate; decoupled decay, if
    the rule reads w or chooses its own step length, and has no setting weight_decay; clipping and noise, if the rule
    evaluates gradients itself.
    """
    import numpy as np

    if "schedule" in regime.changed and not follows_schedule(rule):
        raise UsageError(f"{rule.name} chooses its step lengths itself, so a schedule cannot change its lr")
    coupled = decoupled = 0.0
    if regime.weight_decay and regime.weight_decay_form == "coupled":
        coupled = regime.weight_decay
        function = _WithL2Penalty(function, coupled)  # type: ignore[assignment]  # has all that a rule needs
    elif regime.weight_decay and hasattr(rule, "weight_decay"):
        rule = replace(rule, weight_decay=regime.weight_decay)  # type: ignore[type-var]
    elif regime.weight_decay:
        moves_from_w = rule.text and derivative(inlined(rule.formula)["w"], "w") == ONE
        if not moves_from_w or not hasattr(rule, "lr"):
            raise UsageError(f"weight_decay_form: expected coupled for {rule.name}, got decoupled")
        decoupled = regime.weight_decay
    changed = [key for key in ("clip_norm", "clip_value", "noise") if getattr(regime, key)]
    if changed and {"function", "grad"} & set(rule.needs):
        keys = " and ".join(changed)
        raise UsageError(f"{rule.name} evaluates gradients itself, so {keys} cannot apply")
    # Importing numpy.random costs 15 ms.
    generator = np.random.default_rng(regime.seed) if regime.noise else None

    def step(t: int, w: Floats, gradient: Floats, state: Any) -> tuple[Floats, Any]:
        if changed:
            gradient = _changed(gradient, regime, generator)
        if coupled:
            gradient = gradient + coupled * w
        now = scheduled(rule, regime.schedule.factor(t, steps))
        after, state = now.step(w, gradient, t + 1, state, **quantities_for(rule, function, w))
        if decoupled:
            after = after - now.lr * decoupled * w  # type: ignore[attr-defined]
        return after, state

    return step


def _changed(gradient: Floats, regime: Regime, generator: "np.random.Generator | None") -> Floats:
    import numpy as np

    if generator is not None:
        gradient = gradient + regime.noise * generator.standard_normal(gradient.shape)
    if regime.clip_value is not None:
        gradient = np.clip(gradient, -regime.clip_value, regime.clip_value)
    if regime.clip_norm is not None:
        norm = np.linalg.norm(gradient, axis=-1, keepdims=True)
        gradient = gradient * np.minimum(1.0, regime.clip_norm / np.where(norm > 0, norm, 1.0))
    return gradient


@dataclass(frozen=True)
class _WithL2Penalty:
    """f(w) + strength/2*|w|^2: what coupled decay minimizes, for rules that need more than the gradient."""

    function: Objective
    strength: float

    def value(self, x: Floats) -> Floats:
        import numpy as np

        return np.asarray(self.function.value(x) + self.strength / 2 * (x**2).sum(axis=-1))

    def gradient(self, x: Floats) -> Floats:
        return self.function.gradient(x) + self.strength * x

    def hessian(self, x: Floats) -> Floats:
        import numpy as np

        return self.function.hessian(x) + self.strength * np.eye(x.shape[-1])
