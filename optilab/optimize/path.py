"""The path of one rule on one objective, as data; and one step of it worked out, every intermediate result shown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, islice
from typing import Any

import numpy as np

from optilab.errors import UsageError, shown
from optilab.optimize import formula as formulas
from optilab.optimize.arrays import in_float64
from optilab.optimize.expansion import moving_at_start, written_out
from optilab.optimize.functions import OBJECTIVES
from optilab.optimize.objective import Floats, Objective
from optilab.optimize.program import evaluate
from optilab.optimize.rule import RULES, Rule, State, quantities_for, settings_in_formula
from optilab.optimize.schedules import Regime, modified_step
from optilab.optimize.status import Status
from optilab.optimize.theory import is_unstable, memory_of
from optilab.optimize.user_rule import UserRule

DIVERGENCE_FACTOR = 10.0
"""A path that ends this many times higher above the minimum than it started has diverged. Without a known minimum: one
that has risen by this many times |f| of its start. One that theory calls unstable has diverged if it ends higher than
it started."""
CLOSE = 0.02
"""A path that has converged is at a minimum if it is within this fraction of the widest side of the box."""
MAX_ROUNDING_ERROR = 1e-9
"""The largest error of f at a minimum, relative to max(1, |f|): its coordinates are rounded."""

MIN_STEPS_WRITTEN_OUT = 200
"""Steps from which on writing a formula out (a millisecond) is faster than stepping on arrays."""


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
        """The distance from the last point to the nearest minimum, and that minimum; None without minima."""
        if not minima:
            return None
        return min((float(np.linalg.norm(self.points[-1] - np.array(m))), tuple(m)) for m in minima)


_PLAIN = Regime()


def descend(
    rule: Rule,
    function: Objective,
    start: Sequence[float] | None = None,
    steps: int = 30,
    tolerance: float = 1e-3,
    regime: Regime = _PLAIN,
) -> Trajectory:
    """Follow `rule` on `function` for `steps` updates from `start` (default: the function's own).

    `regime` is what happens around the rule: schedule, weight decay, clipping, noise; the gradients of the path
    are the function's own, before any of it. Stops early only where a point, a value or a gradient is not finite;
    overflow is a result, not a warning.
    """
    for argument, table, known in ((rule, "RULES", RULES), (function, "OBJECTIVES", OBJECTIVES)):
        if isinstance(argument, str | type):
            name = argument if argument in known else getattr(argument, "name", next(iter(known)))
            raise UsageError(f'expected {table}["{name}"](), got {shown(argument)}')
    start = function.start if start is None else start
    is_short = steps < MIN_STEPS_WRITTEN_OUT
    rows = None if regime.changed or is_short else _written_out(rule, function, start, steps)
    points, values, gradients = rows or _stepwise(rule, function, start, steps, regime)
    with np.errstate(all="ignore"):
        finite = np.isfinite(points).all(axis=-1) & np.isfinite(values) & np.isfinite(gradients).all(axis=-1)
        finite[0] = True  # a path has at least its start
        end = len(finite) if finite.all() else int(np.argmin(finite))
        diverged_at = None if end == len(finite) else end
        path = Trajectory(points[:end], values[:end], gradients[:end], Status.MOVING, diverged_at)
        return replace(path, status=_status(path, rule, function, tolerance, regime))


def from_rows(
    rows: Sequence[Mapping[str, Any]],
    rule: Rule,
    function: Objective,
    steps: int,
    tolerance: float,
    regime: Regime = _PLAIN,
) -> Trajectory:
    """The path of a run, from its rows of metrics.csv; they end before `steps` where the path was not finite."""
    points = np.array([[float(row[f"w{i + 1}"]) for i in range(len(function.start))] for row in rows])
    values = np.array([float(row["f"]) for row in rows])
    with np.errstate(all="ignore"):
        gradients = np.concatenate([function.gradient(point[None]) for point in points])
    path = Trajectory(points, values, gradients, Status.MOVING, len(rows) if len(rows) <= steps else None)
    return replace(path, status=_status(path, rule, function, tolerance, regime))


Rows = tuple[Floats, Floats, Floats]


def _written_out(rule: Rule, function: Objective, start: Sequence[float], steps: int) -> Rows | None:
    """The rows of `_stepwise` from a program of plain numbers, twenty times faster, those that are not finite included.

    None where there is no such program, or where Python's floats raise an exception (x/0) and NumPy has a value.
    """
    settings = {name: value for name, value in settings_in_formula(rule).items() if isinstance(value, float | int)}
    expansion = written_out(rule, function, {name: formulas.number(float(v)) for name, v in settings.items()})
    if expansion is None:
        return None
    d, x = len(start), np.array([start], dtype=np.float64)
    moving = [float(np.ravel(value)[0]) for value in moving_at_start(rule, x)]
    row = [*map(formulas.symbol, expansion.moving[:d]), expansion.value, *expansion.gradient]
    rows = islice(expansion.steps(row)((), *moving), steps + 1)
    try:
        with np.errstate(all="ignore"):
            table = np.fromiter(chain.from_iterable(rows), float).reshape(steps + 1, -1)
    except (ArithmeticError, ValueError, TypeError):  # x/0, sqrt(-1), a power that is complex
        return None
    return table[:, :d], table[:, d], table[:, d + 1 :]


def _stepwise(rule: Rule, function: Objective, start: Sequence[float], steps: int, regime: Regime) -> Rows:
    """One step after the other on arrays (1, d), up to the first that is not finite."""
    x = np.array([start], dtype=np.float64)  # NumPy rounds powers of arrays and of single numbers differently
    step = modified_step(rule, function, regime, steps)
    state = rule.init(x)
    points, values, gradients = [x], [function.value(x)], [function.gradient(x)]
    with np.errstate(all="ignore"):
        for t in range(steps):
            x, state = step(t, x, gradients[-1], state)
            points.append(x)
            values.append(function.value(x))
            gradients.append(function.gradient(x))
            if not (np.isfinite(x).all() and np.isfinite(values[-1]) and np.isfinite(gradients[-1]).all()):
                break
    return np.concatenate(points), np.concatenate(values), np.concatenate(gradients)


def _status(path: Trajectory, rule: Rule, function: Objective, tolerance: float, regime: Regime) -> Status:
    if path.diverged_at is not None:
        return Status.DIVERGED
    if path.gradient_norms[-1] < tolerance:
        return Status.CONVERGED
    unstable = not regime.changed and is_unstable(rule, function)
    risen = has_risen(function, path.values[0], path.values[-1], tolerance, unstable)
    return Status.DIVERGED if risen else Status.MOVING


def has_risen(function: Objective, first: Any, last: Any, tolerance: float, unstable: Any = False) -> Any:
    """True where f is much higher at the end of a path than at its start, or higher at all where theory calls the rule
    `unstable`; see DIVERGENCE_FACTOR."""
    floor = lowest(function)
    base, scale = (first, np.abs(first)) if floor is None else (floor, first - floor)
    risen = last - base > DIVERGENCE_FACTOR * np.maximum(scale, tolerance)
    return risen | (unstable & (last > first))


def status_note(path: Trajectory, function: Objective, tolerance: float) -> str:
    """A note to the status of a path: `not at the minimum`, `below f_min`; empty if there is nothing to add.

    A path that has converged is at a known minimum if the distance to it is at most CLOSE of the widest side of the
    box, and f - f_min at most tolerance times that distance, as it is wherever f is convex in between.
    """
    nearest, least = path.distance(function.minima), lowest(function)
    if nearest is None or least is None or path.status is Status.DIVERGED:
        return ""
    above, rounding = float(path.values[-1]) - least, MAX_ROUNDING_ERROR * max(1.0, abs(least))
    if path.status is Status.CONVERGED:
        is_far = nearest[0] > CLOSE * max(high - low for low, high in function.box)
        return "not at the minimum" if is_far or abs(above) > tolerance * nearest[0] + rounding else ""
    return "below f_min" if above < -rounding else ""


MAX_FORMULA_ERROR = 1e-9
"""The largest difference between a user's code and the formula that it states."""


@dataclass(frozen=True)
class EvaluatedStatement:
    """One statement of the formula at this step: `target` gets `value`, (d,) or a number.

    `known` are the values of its symbols before it: settings, states, w, g, t. `is_state` is true for a state and the
    point, false for an intermediate result. What code without a formula does to a state is that state itself.
    """

    target: str
    node: formulas.Node
    known: Mapping[str, Any]
    value: Any
    is_state: bool


@dataclass(frozen=True)
class WorkedStep:
    """Step `t` of a rule from `point` to `result`, both (d,), with the gradient (d,) in between.

    `statements` is empty for a line search, which has neither a formula nor states with a value for each coordinate.
    """

    rule: Rule
    function: Objective
    t: int
    point: Floats
    gradient: Floats
    statements: tuple[EvaluatedStatement, ...]
    result: Floats
    difference: float
    """The difference between the formula that a user's code states and the code, relative to max(1, |w|); else 0."""


def worked_steps(rule: Rule, function: Objective, start: Sequence[float] | None = None) -> Iterator[WorkedStep]:
    """The steps of `rule` on `function`, in order, without end.

    Raises UsageError where the path overflows.
    """
    w = np.array(function.start if start is None else start, dtype=np.float64)
    state, stated = rule.init(w), getattr(rule, "stated", None)
    formula_rule = stated or rule  # of a user's code the formula that it states, next to it
    formula_state = formula_rule.init(w)
    for t in count(1):
        with np.errstate(all="ignore"):
            point, before, gradient = w, state, function.gradient(w)
            quantities = quantities_for(rule, function, w)
            w, state = rule.step(point, gradient, t, before, **quantities)
            if not np.isfinite(w).all():
                raise UsageError(f"{rule.name} on {function.name} overflows at step {t}")
            if formula_rule.text:
                known = {
                    **settings_in_formula(formula_rule),
                    **quantities,
                    **dict(zip(formula_rule.states, formula_state, strict=True)),
                }
                known = {name: in_float64(value) for name, value in known.items()}
                known |= {"w": point, "g": gradient, "t": np.float64(t)}
                statements = tuple(_evaluated(formula_rule.program.body, known))
            else:
                statements = tuple(_changes(rule, before, state, w.shape))
            reached, formula_state = (
                formula_rule.step(point, gradient, t, formula_state, **quantities) if stated else (w, state)
            )
            gap = float(np.abs(reached - w).max() / max(1.0, np.abs(w).max()))
            if gap > MAX_FORMULA_ERROR:
                differs = f"at step {t} the formula reaches {reached}, the code {w}"
                raise UsageError(f"{rule.name}: `formula` does not match the code: {differs}")
        yield WorkedStep(rule, function, t, point, gradient, statements, w, gap)


def _evaluated(body: Sequence[formulas.Statement], known: Mapping[str, Any]) -> Iterator[EvaluatedStatement]:
    """The statements of a formula with their values, one after the other."""
    for statement in body:
        value = evaluate(statement.node, known)
        yield EvaluatedStatement(statement.target, statement.node, known, value, statement.arrow == "<-")
        known = {**known, statement.target: value}


def _changes(rule: Any, before: State, after: State, shape: tuple[int, ...]) -> Iterator[EvaluatedStatement]:
    """The states of a user's code before and after a step, those with a number for each coordinate."""
    if not isinstance(rule, UserRule):
        return
    known, renewed = (rule.interface.numbers(memories[0][0], shape) for memories in (before, after))
    for name, values in renewed.items():
        if name in known:
            yield EvaluatedStatement(name, formulas.symbol(name), known, np.array(values), is_state=True)


def lowest(function: Objective) -> float | None:
    """The value at the minimum; None where the function has none."""
    return float(function.value(np.array(function.minima[0]))) if function.minima else None


def measured_rate(path: Trajectory, function: Objective) -> float | None:
    """The mean factor per step of the distance to the minimum, over the later half of a path that moved enough.

    Steps within rounding of the minimum do not count; None where fewer than ten are left.
    """
    with np.errstate(over="ignore"):
        distances = np.min([np.linalg.norm(path.points - np.array(m), axis=-1) for m in function.minima], axis=0)
    moving = np.flatnonzero(distances > 1e-12 * max(distances[0], 1e-300))
    end = int(moving[-1]) if moving.size else 0
    if end < 10 or not np.isfinite(distances).all():
        return None
    # The largest distance of a few steps: complex eigenvalues make the distance swing.
    window = max(1, end // 8)
    early, late = distances[end // 2 - window : end // 2 + 1], distances[end - window : end + 1]
    return float((late.max() / early.max()) ** (1 / (end - end // 2)))


MIN_RISE = 10.0
"""f rises again if it gets this many times as far above its minimum as it has been."""


@dataclass(frozen=True)
class LateRise:
    """A step of an adaptive rule that goes too far, since its memory of gradients has forgotten."""

    epoch: int
    """The epoch at which f was lowest."""
    memory: str
    """The name of the state."""
    coordinate: int
    smallest: float
    """The smallest step per gradient along the coordinate, such as lr/sqrt(S) of RMSProp."""
    rate: float
    """That of the step whose result is farthest."""


def has_memory_alone(rule: Rule) -> bool:
    """True for a rule whose step is the gradient over its only state, such as RMSProp and Adagrad."""
    return len(rule.states) == 1 and memory_of(rule) == [*rule.states]


def late_rise(rule: Rule, path: Trajectory, function: Objective) -> LateRise | None:
    """Why f rises again after it was lowest: along a coordinate a step, longer per gradient than before, has turned the
    gradient's sign and enlarged it. None where f does not rise again, and for other rules than `has_memory_alone`.
    """
    floor, epoch = lowest(function), int(np.argmin(path.values))
    above = path.values - (path.values[epoch] if floor is None else floor)
    if epoch == 0 or not above[epoch:].max() > MIN_RISE * above[epoch] or not has_memory_alone(rule):
        return None
    with np.errstate(all="ignore"):
        rates = -np.diff(path.points, axis=0) / path.gradients[:-1]
        before, after = path.gradients[epoch:-1], path.gradients[epoch + 1 :]
        overshoots = (after * before < 0) & (np.abs(after) > np.abs(before)) & (rates[epoch:] > rates[epoch - 1])
    if not overshoots.any():
        return None
    size = np.where(overshoots, np.abs(after), -1)
    step, coordinate = np.unravel_index(int(size.argmax()), size.shape)
    smallest = float(np.nanmin(rates[:, coordinate]))
    return LateRise(epoch, rule.states[0], int(coordinate), smallest, float(rates[epoch + step, coordinate]))


NUDGE = 64 * np.finfo(float).eps
MIN_SEPARATION = 1e-6
"""Two paths have parted when they differ by this fraction of the largest |w| so far, or of the start's scale, about 1e8
times the nudge."""
MAX_CHECKED_STEPS = 10_000
"""Steps that are checked."""


def chaotic_from(rule: Rule, function: Objective, path: Trajectory, regime: Regime) -> int | None:
    """The first epoch at which `path` and its neighbor have parted; None if they stay together.

    The neighbor starts NUDGE away in every coordinate: 64 units in the last place, since the first step's rounding may
    absorb a single one.
    """
    start = path.points[0]
    scale = np.where(start == 0, 1.0, np.abs(start))
    shifted = start + NUDGE * scale
    steps = min(len(path.points) - 1, MAX_CHECKED_STEPS)
    # A schedule depends on the number of steps, so only a path of all its steps can be compared.
    if steps < 1 or (steps < len(path.points) - 1 and "schedule" in regime.changed):
        return None
    neighbor = descend(rule, function, shifted.tolist(), steps, regime=regime).points
    points = path.points[: len(neighbor)]
    with np.errstate(all="ignore"):
        distances = np.linalg.norm(points - neighbor[: len(points)], axis=-1)
        size = np.maximum.accumulate(np.linalg.norm(points, axis=-1))
        parted = np.flatnonzero(distances > MIN_SEPARATION * np.maximum(size, np.linalg.norm(scale)))
    return int(parted[0]) if parted.size else None
