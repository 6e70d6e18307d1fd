"""What a race may tune, and from where to where: one distribution per hyper-parameter, the same for every rule.

A rule is tuned in those of its fields that are named here, and keeps its defaults in the others. The ranges are wide
on purpose: what a rule needs to be told is part of its price (Choi et al. 2019; Sivaprasad et al. 2020).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from optilab.optimize.functions import Floats

Draw = Callable[[Floats], Floats]
"""From uniform numbers in [0, 1) to values."""


@dataclass(frozen=True)
class LogUniform:
    """10^u, u uniform between the logarithms of low and high."""

    low: float
    high: float

    def __call__(self, u: Floats) -> Floats:
        return np.asarray(self.low * (self.high / self.low) ** u)


@dataclass(frozen=True)
class OneMinus:
    """1 minus a log-uniform number: momenta are told apart by their distance from 1."""

    low: float
    high: float

    def __call__(self, u: Floats) -> Floats:
        return np.asarray(1 - self.high * (self.low / self.high) ** u)


@dataclass(frozen=True)
class Uniform:
    low: float
    high: float

    def __call__(self, u: Floats) -> Floats:
        return np.asarray(self.low + (self.high - self.low) * u)


_MOMENTUM = OneMinus(1e-3, 1)
_LONG_MEMORY = OneMinus(1e-4, 0.5)

SPACE: Mapping[str, Draw] = {
    "lr": LogUniform(1e-4, 10),
    "beta": _MOMENTUM,
    "beta1": _MOMENTUM,
    "beta2": _LONG_MEMORY,
    "beta3": _LONG_MEMORY,
    "decay": _LONG_MEMORY,
    "rho": _LONG_MEMORY,
    "nu": Uniform(0, 1),
    "damping": LogUniform(1e-4, 10),
    "eta_minus": Uniform(0.2, 0.9),
    "eta_plus": Uniform(1.05, 2),
}


def tuned(rule: Any) -> list[str]:
    """The fields of the rule that are searched."""
    return [field.name for field in fields(rule) if field.name in SPACE]


def draw(rule: Any, budget: int, generator: np.random.Generator) -> dict[str, Floats]:
    """`budget` random settings, one array (budget,) per tuned field."""
    return {name: SPACE[name](generator.random(budget)) for name in tuned(rule)}
