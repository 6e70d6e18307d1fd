"""The training conditions around any rule: schedule, weight decay, clipping, gradient noise.

The order of a step: noise on the gradient, clipping, coupled decay, the rule with the scheduled learning rate,
decoupled decay.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Gt

from optilab.errors import UsageError
from optilab.optimize.algorithms.rule import Rule, needed
from optilab.optimize.functions.test_function import Floats, Objective
from optilab.optimize.schedules import Constant, Schedule

DecayStrength = Annotated[float, Ge(0), Doc("strength of the weight decay around the rule")]
DecayForm = Annotated[
    Literal["coupled", "decoupled"],
    Doc("decay added to the gradient (L2 penalty), or taken from the weights beside the rule"),
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
    decoupled decay: w - lr*weight_decay*w beside the rule (Loshchilov & Hutter 2019)
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


def scheduled(rule: Rule, factor: float) -> Rule:
    """The rule with its learning rate multiplied; a wrapper passes it on to the rule it wraps.

    UsageError for a rule without a learning rate (it has a line search).
    """
    if factor == 1:
        return rule
    if hasattr(rule, "base"):
        return replace(rule, base=scheduled(rule.base, factor))  # type: ignore[type-var]
    if not hasattr(rule, "lr"):
        raise UsageError(f"{rule.name} chooses its step lengths itself: it has no lr for a schedule to change")
    return replace(rule, lr=rule.lr * factor)  # type: ignore[type-var]


def stepper(rule: Rule, function: Objective, regime: Regime, steps: int) -> Stepper:
    """`rule.update` under the regime, as a function of (t, x, gradient, state) that returns (step, state).

    UsageError where the regime does not fit the rule: decoupled decay, if the rule keeps x in its state and has no
    weight_decay of its own; clipping and noise, if the rule evaluates gradients itself.
    """
    coupled = beside = 0.0
    if regime.weight_decay and regime.weight_decay_form == "coupled":
        coupled = regime.weight_decay
        function = _Penalised(function, coupled)  # type: ignore[assignment]  # has all that a rule needs
    elif regime.weight_decay and hasattr(rule, "weight_decay"):
        rule = replace(rule, weight_decay=regime.weight_decay)  # type: ignore[type-var]
    elif regime.weight_decay:
        if "x" in getattr(rule.init(np.zeros(len(function.start))), "_fields", ()) or not hasattr(rule, "lr"):
            raise UsageError(
                f"decoupled weight decay does not fit around {rule.name}; use weight_decay_form coupled"
            )
        beside = regime.weight_decay
    changed = bool(regime.noise or regime.clip_norm or regime.clip_value)
    if changed and {"function", "gradient_at"} & set(rule.needs):
        raise UsageError(
            f"{rule.name} evaluates gradients itself, so clip_norm, clip_value and noise cannot apply"
        )
    # Importing numpy.random costs 15 ms.
    generator = np.random.default_rng(regime.seed) if regime.noise else None

    def step(t: int, x: Floats, gradient: Floats, state: Any) -> tuple[Floats, Any]:
        if changed:
            gradient = _changed(gradient, regime, generator)
        if coupled:
            gradient = gradient + coupled * x
        now = scheduled(rule, regime.schedule.factor(t, steps))
        taken, state = now.update(gradient, state, **needed(rule, function, x))
        if beside:
            taken = taken - now.lr * beside * x  # type: ignore[attr-defined]
        return taken, state

    return step


def _changed(gradient: Floats, regime: Regime, generator: "np.random.Generator | None") -> Floats:
    if generator is not None:
        gradient = gradient + regime.noise * generator.standard_normal(gradient.shape)
    if regime.clip_value is not None:
        gradient = np.clip(gradient, -regime.clip_value, regime.clip_value)
    if regime.clip_norm is not None:
        norm = np.linalg.norm(gradient, axis=-1, keepdims=True)
        gradient = gradient * np.minimum(1.0, regime.clip_norm / np.where(norm > 0, norm, 1.0))
    return gradient


@dataclass(frozen=True)
class _Penalised:
    """f(w) + strength/2*|w|^2: what coupled decay minimises, for rules that need more than the gradient."""

    function: Objective
    strength: float

    def value(self, x: Floats) -> Floats:
        return np.asarray(self.function.value(x) + self.strength / 2 * (x**2).sum(axis=-1))

    def gradient(self, x: Floats) -> Floats:
        return self.function.gradient(x) + self.strength * x

    def hessian(self, x: Floats) -> Floats:
        return self.function.hessian(x) + self.strength * np.eye(x.shape[-1])
