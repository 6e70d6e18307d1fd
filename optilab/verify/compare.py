"""Compare an implementation with a rule: both are followed in float64, step by step.

A rule and a candidate are followed for 100 steps from seven starts on six functions, with three settings of the
hyperparameters in general position: no two of them coincide and none is a default, so code that confuses two of them,
or ignores the values it is given, is on another path. Rules on weight matrices are compared on matrices instead. Where
a path is so sensitive that rounding alone would separate two correct implementations, the comparison ends at that step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np

from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, descend
from optilab.optimize.objective import Floats
from optilab.optimize.rule import settings_of, with_settings
from optilab.verify.candidate import MAX_MAGNITUDE, STEPS, Candidate, Start

TOLERANCE = 1e-11
MAX_ROUNDING_RATIO = 30.0
"""The largest accepted distance of two implementations, in distances of two paths that start one ulp apart."""
EPSILON = 2.0**-52

SETTINGS: Mapping[str, tuple[float, float, float]] = {
    "lr": (0.07, 0.013, 0.11),
    "beta": (0.83, 0.71, 0.937),
    "beta1": (0.86, 0.73, 0.92),
    "beta2": (0.97, 0.79, 0.987),
    "beta3": (0.985, 0.94, 0.96),
    "decay": (0.88, 0.76, 0.953),
    "rho": (0.87, 0.78, 0.94),
    "nu": (0.64, 0.81, 0.37),
    "momentum": (0.43, 0.67, 0.79),
    "dampening": (0.31, 0.57, 0.22),
    "alpha": (4.1, 2.3, 6.7),
    "eps": (1.3e-3, 2.1e-2, 6e-4),
    "weight_decay": (0.134, 0.057, 0.24),
    "momentum_decay": (0.031, 0.017, 0.052),
    "initial_accumulator": (0.162, 0.278, 0.045),
    "lr_decay": (0.037, 0.188, 0.011),
    "l1": (31.3, 0.193, 0.044),
    "l2": (0.23, 0.033, 0.41),
    "eta_minus": (0.47, 0.62, 0.34),
    "eta_plus": (1.17, 1.31, 1.09),
    "step_min": (1.9e-3, 7e-4, 3.1e-3),
    "step_max": (0.37, 0.223, 0.53),
    "sync_period": (3, 4, 7),
    "slow_step_size": (0.632, 0.41, 0.772),
    "trust": (0.021, 0.0093, 0.034),
    "largest_norm": (0.72, 1.36, 3.7),
    "radius": (0.061, 0.027, 0.13),
    "d0": (1.7e-3, 4.3e-4, 6.1e-3),
    "d_coef": (1.3, 0.77, 1.9),
    "f_min": (-0.31, -0.12, -0.67),
    "damping": (1.7, 0.83, 2.9),
    "gamma": (0.91, 0.37, 1.6),
    "interval": (3, 4, 7),
    "memory": (3, 4, 7),
    "ns_steps": (3, 4, 6),
    "decay_exponent": (0.713, 0.647, 0.933),
    "eps_weights": (2.3e-3, 1.7, 0.6),
    "clip": (0.847, 1.43, 0.573),
    "largest_side": (4, 3, 6),
}
"""The three values of each hyperparameter; code that takes it gets them, unless the user has chosen another."""
VALUES_BY_RULE: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "muon": {"eps": (1.3e-3, 4.7, 0.31)},
    "adafactor": {"lr": (0.31, 0.083, 0.57), "eps": (0.17, 0.021, 0.94)},  # its limits act
}
"""Other values of settings, by rule."""


# --- where the two are compared ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ProblemInstance:
    """A function and a start, on which two implementations are compared."""

    function: Any
    """An objective, or a function of a matrix; paths on it are kept by its hash."""
    start: Start

    @property
    def neighbor_start(self) -> Start:
        """The start one rounding error away; a zero stays zero, because 1e-16 has another sign and quotient."""
        x = np.array(self.start)
        return as_start(np.where(x == 0, 0.0, x + EPSILON * np.maximum(np.abs(x), 1.0)))


class MatrixFunction:
    """sum(sin(W) + (A*W*B - C)^2/8) of one weight W, a matrix or a bias, with fixed A, B, C: smooth and not convex."""

    def __init__(self, start: Floats, left: Floats, right: Floats, goal: Floats) -> None:
        self.start, self._left, self._right, self._goal = start, left, right, goal

    @property
    def name(self) -> str:
        shape = "x".join(map(str, self.start.shape))
        return f"a matrix {shape}" if self.start.ndim == 2 else f"a bias of {shape}"

    def gradient(self, w: Floats) -> Floats:
        """The gradient at points, in their shape."""
        matrix = w.reshape(len(w), -1)
        rest = self._left @ matrix @ self._right - self._goal.reshape(matrix.shape)
        return np.asarray(np.cos(w) + (self._left.T @ rest @ self._right.T).reshape(w.shape) / 4)


def matrix_functions(seed: int, shapes: Sequence[tuple[int, ...]]) -> list[MatrixFunction]:
    """A function of one weight for each shape."""
    draw = np.random.default_rng(seed).standard_normal
    starts = [draw(shape) for shape in shapes]
    left = [draw((shape[0], shape[0])) for shape in shapes]
    right = [draw((shape[-1], shape[-1])) if len(shape) == 2 else np.eye(1) for shape in shapes]
    goals = [draw(shape) for shape in shapes]
    return [MatrixFunction(*parts) for parts in zip(starts, left, right, goals, strict=True)]


def as_start(point: Floats) -> Start:
    """A vector, or a matrix, as a start."""
    return tuple(tuple(row) for row in point.tolist()) if point.ndim == 2 else tuple(point.tolist())


@cache
def problems() -> tuple[ProblemInstance, ...]:
    """The functions and starts of a comparison.

    Gradients of both signs, curvature of both signs, a flat start, and paths on which clipping and switches act.
    """
    named = ("ravine", "himmelblau", "beale", "plateau", "saddle", "rosenbrock")
    instances = [ProblemInstance(function := OBJECTIVES[name](), tuple(function.start)) for name in named]
    return (*instances, ProblemInstance(instances[0].function, (3.0, 1.0)))


@cache
def zeros() -> tuple[ProblemInstance, ...]:
    """Starts at which a gradient, the whole gradient or w is exactly zero, and a start so close to a minimum that
    weight decay changes the sign of the gradient."""
    ravine, himmelblau, *_ = (problem.function for problem in problems())
    return (
        ProblemInstance(ravine, (0.0, 1.0)),
        ProblemInstance(ravine, (0.0, 0.0)),
        ProblemInstance(himmelblau, (0.0, 0.0)),
        ProblemInstance(himmelblau, (3.0 - 1e-7, 2.0 - 1e-7)),
    )


@cache
def matrices() -> tuple[ProblemInstance, ...]:
    """Functions of a matrix, and their starts: tall, wide and square ones."""
    shapes = ((5, 3), (3, 4), (4, 4))
    first, second = (matrix_functions(seed, shapes) for seed in range(2))
    return tuple(ProblemInstance(part, as_start(part.start)) for part in (*first, *second[1:], second[0]))


FEW_STEPS = 5
"""Steps from such a start: rounding hardly separates two paths in so few."""


@lru_cache(maxsize=8192)
def followed(rule: Any, function: Any, start: Start, steps: int) -> Floats:
    """The path of a rule, `padded`; of a class of submissions each is calculated once."""
    if isinstance(function, MatrixFunction):
        return padded(followed_on_matrix(rule, function, start, steps), steps)
    vector: Any = start
    return padded(descend(rule, function, vector, steps).points, steps)


def followed_on_matrix(rule: Any, function: MatrixFunction, start: Start, steps: int) -> Floats:
    """The points of a rule on one weight, (steps + 1, d): in NumPy, or on tensors where it asks for bfloat16."""
    array: Any = np.asarray
    if getattr(rule, "precision", "full") != "full":
        import torch

        array = torch.from_numpy
    w = np.array(start)
    state, points = rule.init(array(w)), [w]
    with np.errstate(all="ignore"):
        while len(points) <= steps and np.isfinite(w).all():
            after, state = rule.step(array(w), array(function.gradient(w)), len(points), state)
            w = np.asarray(after)
            points.append(w)
    return np.stack(points).reshape(len(points), -1)


@dataclass(frozen=True)
class PathComparison:
    """A rule from one starting point: its path (steps + 1, d), NaN after it left the numbers, and how far it counts."""

    rule: Any
    problem: ProblemInstance
    steps: int

    @cached_property
    def path(self) -> Floats:
        return followed(self.rule, self.problem.function, self.problem.start, self.steps)

    @cached_property
    def horizon(self) -> int:
        """The first step at which paths that start one ulp apart differ by more than the tolerance allows."""
        neighbor = followed(self.rule, self.problem.function, self.problem.neighbor_start, self.steps)
        return rounding_horizon(self.path, neighbor)

    @property
    def settings(self) -> dict[str, Any]:
        """The hyperparameters for the candidate, which keeps its defaults of others."""
        return hyperparameters(self.rule)

    @property
    def tells(self) -> bool:
        """True if the rule leaves its start in a step that counts; else any code that stays there, too, is equal."""
        counted = self.path[: self.horizon]
        return bool((np.isfinite(counted) & (counted != counted[0])).any())

    def differs(self, other: Floats) -> int | None:
        """The first step at which another path, (steps + 1, d), differs; None if none does."""
        return first_difference(other[: self.horizon], self.path[: self.horizon])

    def path_of(self, candidate: Candidate, **changed: Any) -> Floats:
        """The candidate's path from here, `padded`; `changed` are hyperparameters with other values."""
        settings, problem = self.settings | changed, self.problem
        return padded(candidate.path(settings, problem.function.gradient, problem.start, self.steps), self.steps)


def comparisons(
    candidate: Candidate, rule: Any, on: Sequence[ProblemInstance], steps: int, chosen: Sequence[str]
) -> list[PathComparison]:
    """The rule on these problems, or on all, with the settings in turn; on a single problem with each of the three."""
    known = hyperparameters(rule)
    names = [key for key in known if candidate.accepts(key, known) and key not in chosen]
    rules = [with_distinct_settings(rule, names, number) for number in range(3)]
    on_matrices = rule.weights == "matrices"
    all_problems = on or (matrices() if on_matrices else problems())
    turns = enumerate(all_problems) if len(on) != 1 else ((number, on[0]) for number in range(3))
    compared = [PathComparison(rules[number % 3], problem, steps) for number, problem in turns]
    if not on and not on_matrices:
        few = min(steps, FEW_STEPS)
        short = (PathComparison(rules[n % 3], problem, few) for n, problem in enumerate(zeros()))
        compared += [each for each in short if rule.text and np.isfinite(each.path).all()]  # nothing in it is 0/0
    return compared


def with_distinct_settings(rule: Any, names: Sequence[str], number: int) -> Any:
    """The rule with these hyperparameters in general position; `number` chooses one of the three settings.

    A hyperparameter that is usually 0, which turns a part of the rule off, is 0 in one of the three: in the second or,
    where the rule has several, not all in the same.
    """
    defaults, values = settings_of(rule), dict[str, Any]()
    settings = {**SETTINGS, **VALUES_BY_RULE.get(rule.original.name, {})}
    off = [key for key in names if not defaults[key]]
    for key in names:
        choices = settings.get(key.rpartition(".")[2], ())
        if (
            choices
            and type(defaults[key]) is not bool
            and not (key in off and (off.index(key) + 1) % 3 == number % 3)
        ):
            values[key] = choices[number % 3]
    return with_settings(rule, values)


def hyperparameters(rule: Any) -> dict[str, Any]:
    """The numbers and switches of a rule, and of a rule that it wraps, as `base.lr`."""
    return {key: value for key, value in settings_of(rule).items() if isinstance(value, float | int)}


def padded(points: Floats, steps: int) -> Floats:
    """A path as (steps + 1, d), with NaN from its first point that is not finite or beyond `MAX_MAGNITUDE`."""
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(points) < MAX_MAGNITUDE).all(axis=1)
    end = int(np.argmax(bad)) if bad.any() else len(points)
    return np.concatenate([points[:end], np.full((steps + 1 - end, points.shape[1]), np.nan)])


def sizes(path: Floats) -> Floats:
    """The largest coordinate so far, (steps + 1,); 1 while all are zero."""
    largest = np.maximum.accumulate(np.nan_to_num(np.abs(path)).max(axis=1))
    return np.where(largest > 0, largest, 1.0)


def first_difference(a: Floats, b: Floats) -> int | None:
    """The first row in which two paths differ, relative to the size of `b` so far; None if none does."""
    with np.errstate(invalid="ignore"):
        close = np.abs(a - b) <= TOLERANCE * sizes(b)[:, None]
    same = (close | (np.isnan(a) & np.isnan(b))).all(axis=1)
    return None if same.all() else int(np.argmin(same))


def rounding_horizon(path: Floats, neighbor: Floats) -> int:
    """The first step at which rounding may separate two correct implementations; `neighbor` started one ulp away."""
    with np.errstate(invalid="ignore"):
        distances = np.abs(path - neighbor).max(axis=1) * MAX_ROUNDING_RATIO
    bad = ~(distances <= TOLERANCE * sizes(path)) & np.isfinite(path).all(axis=1)
    return int(np.argmax(bad)) if bad.any() else len(path)


# --- the comparison ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CodeComparison:
    """The result of a comparison; `first_step` and what follows are None where the two agree.

    `settings`: the rule's numbers where the two differ first; where they agree, the first of the three settings.
    `fixed`: names of hyperparameters that the candidate does not take, because its code has their values.
    `unchecked`: names that only the candidate has; nothing but their defaults was compared. `reading`: the
    settings, if they are not the textbook's. `defaults`: the defaults of code that is equal, where the rule has
    another. `point`, `expected`: the candidate's and the rule's point after the first step at which they differ,
    on `function` from `start` (None for a matrix, whose points stand row by row). `explanation`: the changes that
    turn the rule into the candidate; () if none does. Then `statement` is the first statement of the formula with
    another value, if the candidate shows its values. `equal_with`: settings with which the two are equal, such as
    `algo.eps=1e-06`; () if there are none.
    """

    settings: Mapping[str, Any]
    steps: int
    functions: tuple[str, ...]
    reading: str = ""
    defaults: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    function: str | None = None
    start: tuple[float, ...] | None = None
    first_step: int | None = None
    point: tuple[float, ...] | None = None
    expected: tuple[float, ...] | None = None
    difference: float | None = None
    explanation: tuple[str, ...] = ()
    statement: str = ""
    equal_with: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return self.first_step is None


@dataclass(frozen=True)
class Explanation:
    """A cause in words, and as settings of the rule where settings can express it. Both are empty without a cause; then
    `statement` is the first of the formula whose value differs, if the candidate shows it."""

    explanation: tuple[str, ...] = ()
    equal_with: tuple[str, ...] = ()
    statement: str = ""


Explain = Callable[[Candidate, Sequence[PathComparison], Sequence[Floats]], Explanation]
"""A function that explains the difference between a rule and a candidate by its paths: `explain.explain`."""


def compare(
    candidate: Candidate,
    rule: Any,
    on: Sequence[ProblemInstance] = (),
    steps: int = STEPS,
    chosen: Sequence[str] = (),
    other: Any = None,
    other_name: str = "the published exercise's settings",
    explain: Explain | None = None,
) -> CodeComparison:
    """Compare a candidate with `rule`, both in float64, on the problems `on` (default: `problems()`, or `matrices()`).

    Differences are relative to the largest coordinate of the rule's path so far. Hyperparameters that were `chosen`
    keep their values; the others get those of `SETTINGS` if the candidate takes them. A candidate that equals the rule
    with `other` settings is equal, too, and `reading` says so. `explain` gives the explanation of a difference.
    """
    results, textbook = list[CodeComparison](), None
    for variant in (rule, *([] if other is None else [other])):
        compared = comparisons(candidate, variant, on, steps, chosen)
        reading = "" if textbook is None else f"{other_name} ({_changed(textbook[0][0].rule, compared[0].rule)})"
        paths = [comparison.path_of(candidate) for comparison in compared]
        results.append(replace(_compared(candidate, compared, paths), reading=reading))
        if results[-1].equal:
            return replace(results[-1], defaults=_other_defaults(candidate, variant, [rule, other or rule]))
        textbook = textbook or (compared, paths)
    assert textbook is not None
    return replace(results[0], **vars(explain(candidate, *textbook))) if explain else results[0]


def _other_defaults(candidate: Candidate, rule: Any, variants: Sequence[Any]) -> tuple[str, ...]:
    """The candidate's defaults that are those of no variant, each as text with that of the rule."""
    known, accepted = hyperparameters(rule), [hyperparameters(variant) for variant in variants]
    return tuple(
        f"default {name} {candidate.defaults[name]:g}, {rule.name} has {known[key]:g}"
        for name, key in candidate.setting_by_parameter(known).items()
        if name in candidate.defaults
        and candidate.defaults[name] not in [settings.get(key) for settings in accepted]
    )


def _changed(rule: Any, variant: Any) -> str:
    """The settings in which a variant differs from the rule, as text."""
    values = {f.name: getattr(variant, f.name) for f in fields(variant)}
    return ", ".join(f"{key} {value}" for key, value in values.items() if value != getattr(rule, key))


def _nothing_compared(comparison: PathComparison) -> str:
    """Why equal paths show nothing here."""
    rule, problem = comparison.rule.name, comparison.problem
    start = ", ".join(f"{value:g}" for value in np.ravel(problem.start))
    moves = "does not move" if np.isfinite(comparison.path[1:]).any() else "leaves the numbers in its first step"
    if comparison.horizon < 2:
        moves = "goes where rounding sends it"
    return f"{rule} {moves} on {problem.function.name} from ({start}): there is nothing to compare"


def _compared(candidate: Candidate, compared: Sequence[PathComparison], paths: Sequence[Floats]) -> CodeComparison:
    """The comparison of a candidate by its paths, without an explanation."""
    first = compared[0]
    known = hyperparameters(first.rule)
    fixed = tuple(key for key in known if known[key] and not candidate.accepts(key, known))
    unchecked = tuple(name for name in candidate.parameters if name not in candidate.setting_by_parameter(known))
    names = tuple(dict.fromkeys(comparison.problem.function.name for comparison in compared))
    equal = CodeComparison(known, first.steps, names, fixed=fixed, unchecked=unchecked)
    different = [
        (step, comparison, path)
        for comparison, path in zip(compared, paths, strict=True)
        if (step := comparison.differs(path))
    ]
    if not different:
        if not any(comparison.tells for comparison in compared):
            raise UsageError(_nothing_compared(first))
        return equal
    step, comparison, path = min(different, key=lambda item: item[0])
    on_matrix = isinstance(comparison.problem.function, MatrixFunction)
    return replace(
        equal,
        settings=hyperparameters(comparison.rule),
        function=comparison.problem.function.name,
        start=None if on_matrix else tuple(np.array(comparison.problem.start).tolist()),
        first_step=step,
        point=tuple(path[step].tolist()),
        expected=tuple(comparison.path[step].tolist()),
        difference=float(np.abs(path[step] - comparison.path[step]).max() / sizes(comparison.path)[step]),
    )
