"""The path of one algorithm on one function, as data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from optilab.optimize.algorithms import Rule
from optilab.optimize.functions import Floats, Objective
from optilab.optimize.own import OwnRule
from optilab.optimize.regime import Regime, stepper

DIVERGENCE_FACTOR = 10.0
"""A path that ends this many times higher above the minimum than it started has diverged."""


TRACE_FROM = 200
"""Steps from which on tracing a rule (a millisecond) and running the code is faster than stepping on arrays."""


class Status(StrEnum):
    """How a path ended."""

    CONVERGED = "converged"
    """The gradient's norm is below the tolerance."""
    MOVING = "moving"
    """Neither converged nor diverged: more steps would change the answer."""
    DIVERGED = "diverged"
    """Not finite any more, or much higher than the start: a smaller learning rate would help."""


@dataclass(frozen=True)
class Trajectory:
    """Every point of a path, the start included. A path ends at its last finite point.

    points (T+1, d), values (T+1,), gradients (T+1, d); `diverged_at` is the step whose result was not finite.
    """

    points: Floats
    values: Floats
    gradients: Floats
    status: Status
    diverged_at: int | None = None

    @property
    def gradient_norms(self) -> Floats:
        """|grad f| at every point, (T+1,)."""
        with np.errstate(over="ignore"):  # a finite gradient may have a square that is not
            return np.asarray(np.linalg.norm(self.gradients, axis=-1))

    def first_below(self, tolerance: float) -> int | None:
        """The first epoch whose gradient norm is below the tolerance, or None."""
        below = np.flatnonzero(self.gradient_norms < tolerance)
        return int(below[0]) if below.size else None

    def distance(self, minima: Sequence[Sequence[float]]) -> tuple[float, tuple[float, ...]] | None:
        """From the last point to the nearest of the minima: (distance, that minimum); None without minima."""
        if not minima:
            return None
        return min((float(np.linalg.norm(self.points[-1] - np.array(m))), tuple(m)) for m in minima)


_PLAIN = Regime()


def descend(
    algorithm: Rule,
    function: Objective,
    start: Sequence[float] | None = None,
    steps: int = 30,
    tolerance: float = 1e-3,
    regime: Regime = _PLAIN,
) -> Trajectory:
    """Follow `algorithm` on `function` for `steps` updates from `start` (default: the function's own).

    `regime` is what happens around the rule: schedule, weight decay, clipping, noise; the gradients of the path
    are the function's own, before any of it. Stops early only where a point, a value or a gradient is not finite;
    overflow is a result, not a warning.
    """
    start = function.start if start is None else start
    # A user's own code may do anything; one path is fast enough without tracing it.
    traceable = regime == _PLAIN and steps >= TRACE_FROM and not isinstance(algorithm, OwnRule)
    rows = _traced(algorithm, function, start, steps) if traceable else None
    points, values, gradients = rows or _stepwise(algorithm, function, start, steps, regime)
    with np.errstate(all="ignore"):
        finite = np.isfinite(points).all(axis=-1) & np.isfinite(values) & np.isfinite(gradients).all(axis=-1)
        finite[0] = True  # a path has at least its start
        end = len(finite) if finite.all() else int(np.argmin(finite))
        diverged_at = None if end == len(finite) else end
        path = Trajectory(points[:end], values[:end], gradients[:end], Status.MOVING, diverged_at)
        return replace(path, status=_status(path, function, tolerance))


Rows = tuple[Floats, Floats, Floats]


def _traced(algorithm: Rule, function: Objective, start: Sequence[float], steps: int) -> Rows | None:
    """The rows of `_stepwise` from generated code, twenty times faster; None where there is none."""
    from optilab.optimize.codegen import Untraceable
    from optilab.optimize.codegen.scalar import follow

    try:
        return follow(algorithm, function, start, steps)
    except Untraceable:
        return None


def _stepwise(algorithm: Rule, function: Objective, start: Sequence[float], steps: int, regime: Regime) -> Rows:
    """One step after the other on arrays (1, d), up to the first that is not finite."""
    x = np.array([start], dtype=np.float64)  # NumPy rounds powers of arrays and of single numbers differently
    update = stepper(algorithm, function, regime, steps)
    state = algorithm.init(x)
    points, values, gradients = [x], [function.value(x)], [function.gradient(x)]
    with np.errstate(all="ignore"):
        for epoch in range(steps):
            step, state = update(epoch, x, gradients[-1], state)
            x = x + step
            points.append(x)
            values.append(function.value(x))
            gradients.append(function.gradient(x))
            if not (np.isfinite(x).all() and np.isfinite(values[-1]) and np.isfinite(gradients[-1]).all()):
                break
    return np.concatenate(points), np.concatenate(values), np.concatenate(gradients)


def _status(path: Trajectory, function: Objective, tolerance: float) -> Status:
    if path.diverged_at is not None:
        return Status.DIVERGED
    if path.gradient_norms[-1] < tolerance:
        return Status.CONVERGED
    lowest = float(function.value(np.array(function.minima[0]))) if function.minima else min(path.values)
    if path.values[-1] - lowest > DIVERGENCE_FACTOR * max(path.values[0] - lowest, tolerance):
        return Status.DIVERGED
    return Status.MOVING
