"""Whether an implementation is the rule it is meant to be, and if not, which convention explains the difference.

Both are followed in float64 for 100 steps from several starts on several functions, chosen so that every form of a
rule differs from every other form on at least one of them. Where a path is so sensitive that rounding alone
would separate two correct implementations, the comparison ends at that step.
"""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import product
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, RULES, Objective, Regime, descend
from optilab.optimize.objective import Floats
from optilab.verify.candidate import Candidate
from optilab.verify.conventions import MOMENTS, MOST_DIFFERENCES, lattice
from optilab.verify.conventions import path as convention_path

STEPS = 100
TOLERANCE = 1e-11
ROUNDING = 30.0
"""How many times farther apart two correct implementations may be than two paths that start one ulp apart."""
EPSILON = 2.0**-52
FAR = 1e30
"""A path is over where a coordinate is larger: its values and gradients overflow soon."""
REVEALING_SETTINGS = {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.1, "gamma": 1.0}
"""Settings in which conventions differ visibly; a candidate that takes them gets them, unless others are given."""


@dataclass(frozen=True)
class StartingPoint:
    """Where two implementations are compared."""

    function: Objective
    start: tuple[float, ...]

    @property
    def nudged(self) -> tuple[float, ...]:
        """The start one rounding error away."""
        return tuple(x + EPSILON * max(abs(x), 1.0) for x in self.start)


def starting_points() -> tuple[StartingPoint, ...]:
    """The functions and starts of a comparison.

    Gradients of both signs, curvature of both signs, a flat start, and paths on which clipping and switches act.
    """
    named = ("ravine", "himmelblau", "beale", "plateau", "saddle", "rosenbrock")
    own = [StartingPoint(function := OBJECTIVES[name](), tuple(function.start)) for name in named]
    return (*own, StartingPoint(own[0].function, (3.0, 1.0)))


@dataclass(frozen=True)
class PathComparison:
    """A rule from one starting point: its path (steps + 1, d), NaN after it left the numbers, and how far it counts."""

    rule: Any
    place: StartingPoint
    steps: int
    regime: Regime

    @cached_property
    def path(self) -> Floats:
        return self._descend(self.place.start)

    @cached_property
    def horizon(self) -> int:
        """The first step at which paths that start one ulp apart differ by more than the tolerance allows."""
        return sensitive_from(self.path, self._descend(self.place.nudged))

    def differs(self, other: Floats) -> int | None:
        """The first step at which another path, (steps + 1, d), differs; None if none does."""
        return first_difference(other[: self.horizon], self.path[: self.horizon])

    def _descend(self, start: Sequence[float]) -> Floats:
        points = descend(self.rule, self.place.function, start, self.steps, regime=self.regime).points
        return padded(points, self.steps)


@dataclass(frozen=True)
class Verdict:
    """The result of a comparison; `first_step` and what follows are None where the two agree.

    `settings` are the rule's numbers in the comparison, `fixed` the names of those that the candidate does not take
    (it has them written in), `reading` names the settings when they are not the textbook's. `point` and `expected` are
    where the candidate and the rule are after the first step at which they differ, on `function` from `start`.
    `explanation` lists what turns the rule into the candidate, () where nothing known does; `equal_with` the
    settings, as `algo.eps=1e-06`, with which the two are equal, () where settings cannot say it.
    """

    settings: Mapping[str, Any]
    steps: int
    functions: tuple[str, ...]
    reading: str = ""
    fixed: tuple[str, ...] = ()
    function: str | None = None
    start: tuple[float, ...] | None = None
    first_step: int | None = None
    point: tuple[float, ...] | None = None
    expected: tuple[float, ...] | None = None
    difference: float | None = None
    explanation: tuple[str, ...] = ()
    equal_with: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return self.first_step is None


def grade(
    candidate: Candidate,
    rule: Any,
    places: Sequence[StartingPoint] = (),
    steps: int = STEPS,
    regime: Regime | None = None,
    given: Sequence[str] = (),
    exercise: Any = None,
) -> Verdict:
    """Compare a candidate with `rule`, both in float64, on `places` (default: `starting_points()`).

    Differences are relative to the largest coordinate of the rule's path so far. Settings named in `given` are
    kept, the others are moved to where conventions show (`REVEALING_SETTINGS`) if the candidate takes them. A
    candidate that equals the rule with the published exercise's settings, `exercise`, is equal too, and the verdict
    says so.
    """
    regime = regime or Regime()
    readings = [("", rule)]
    if exercise is not None:
        own = {f.name: getattr(exercise, f.name) for f in fields(exercise)}
        changed = ", ".join(f"{key} {value}" for key, value in own.items() if value != getattr(rule, key))
        readings.append((f"the published exercise's settings ({changed})", exercise))
    verdicts = []
    for reading, variant in readings:
        verdicts.append(_compare(candidate, variant, places or starting_points(), steps, regime, given, reading))
        if verdicts[-1].equal:
            return verdicts[-1]
    return verdicts[0]


def _compare(
    candidate: Candidate,
    rule: Any,
    places: Sequence[StartingPoint],
    steps: int,
    regime: Regime,
    given: Sequence[str],
    reading: str,
) -> Verdict:
    takes = {f.name for f in fields(rule) if candidate.accepts(f.name, settings_of(rule))}
    moved = takes - set(given)
    rule = replace(rule, **{key: value for key, value in REVEALING_SETTINGS.items() if key in moved})
    settings = settings_of(rule)
    # A decay around the rule is passed on only where it is asked for: the candidate's own default is part of it.
    passed = settings | ({"weight_decay": regime.weight_decay} if regime.weight_decay else {})
    fixed = tuple(key for key in settings if key not in takes and settings[key])
    comparisons = [PathComparison(rule, place, steps, regime) for place in places]
    paths = [padded(candidate.path(passed, t.place.function, t.place.start, steps), steps) for t in comparisons]
    names = tuple(dict.fromkeys(place.function.name for place in places))
    verdict = Verdict(settings, steps, names, reading, fixed)
    parted = [
        (comparison, path, step)
        for comparison, path in zip(comparisons, paths, strict=True)
        if (step := comparison.differs(path))
    ]
    if not parted:
        return verdict

    comparison, path, step = min(parted, key=lambda item: item[2])
    explanation = explain(candidate, takes, comparisons, paths, passed)
    return replace(
        verdict,
        function=comparison.place.function.name,
        start=comparison.place.start,
        first_step=step,
        point=tuple(path[step].tolist()),
        expected=tuple(comparison.path[step].tolist()),
        difference=float(np.abs(path[step] - comparison.path[step]).max() / sizes(comparison.path)[step]),
        explanation=explanation.words,
        equal_with=explanation.settings,
    )


def settings_of(rule: Any) -> dict[str, Any]:
    """The numbers and switches of a rule."""
    return {f.name: v for f in fields(rule) if isinstance(v := getattr(rule, f.name), float | int)}


def padded(points: Floats, steps: int) -> Floats:
    """A path as (steps + 1, d), with NaN from its first point that is not finite or beyond `FAR`."""
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(points) < FAR).all(axis=1)
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


def sensitive_from(path: Floats, twin: Floats) -> int:
    """The first step at which rounding may separate two correct implementations; `twin` started one ulp away."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(path - twin).max(axis=1) * ROUNDING
    bad = ~(apart <= TOLERANCE * sizes(path)) & np.isfinite(path).all(axis=1)
    return int(np.argmax(bad)) if bad.any() else len(path)


PREFIX = 4
"""Steps after the first difference that an explanation must reproduce before its whole path is computed."""
USUAL = {
    "eps": (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12, 1e-16, 0.0),
    "beta": (0.5, 0.8, 0.9, 0.95, 0.99, 0.0),
    "beta1": (0.5, 0.8, 0.9, 0.95, 0.99, 0.0),
    "beta2": (0.9, 0.95, 0.98, 0.99, 0.999, 0.9999),
    "decay": (0.9, 0.95, 0.99, 0.999),
}
"""Constants that implementations have written in."""

Path = Callable[[Objective, Sequence[float], int], Floats]


@dataclass(frozen=True)
class Explanation:
    """In words, and as settings of the rule where those can say it; both empty where nothing known explains."""

    words: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    path: Path | None = None


def explain(
    candidate: Candidate,
    takes: set[str],
    comparisons: Sequence[PathComparison],
    paths: Sequence[Floats],
    passed: Mapping[str, Any],
) -> Explanation:
    """The smallest explanation of the difference between a rule and a candidate, whose paths are `paths`."""
    first = comparisons[0]
    if _ignores_its_gradient(candidate, passed, first, paths[0]):
        return Explanation(("your code does not use the gradient it is given: it follows a function of its own",))
    written = [
        f.name
        for f in fields(first.rule)
        if f.name not in takes and isinstance(getattr(first.rule, f.name), float)
    ]
    families = (
        _forms(first),
        _constants(candidate, first, written),
        _conventions(candidate, first, written),
        _other_rules(first),
    )
    for family in families:
        holding = [possible for possible in family if _holds(possible, comparisons, paths)]
        if holding:
            return min(holding, key=lambda possible: len(possible.words))
    return _fitted(first, written, comparisons, paths)


def _holds(possible: Explanation, comparisons: Sequence[PathComparison], paths: Sequence[Floats]) -> bool:
    """Whether the explanation's path is the candidate's everywhere, as far as rounding allows."""
    assert possible.path is not None
    for comparison, path in zip(comparisons, paths, strict=True):
        place, steps = comparison.place, comparison.steps
        few = min(steps, (comparison.differs(path) or 0) + PREFIX)
        try:
            short = padded(possible.path(place.function, place.start, few), few)
            if first_difference(path[: few + 1][: comparison.horizon], short[: comparison.horizon]) is not None:
                return False
        except (UsageError, ValueError):  # every coordinate is NaN, or the rule does not apply here
            return False
    for comparison, path in zip(comparisons, paths, strict=True):
        place, steps = comparison.place, comparison.steps
        whole = padded(possible.path(place.function, place.start, steps), steps)
        horizon = sensitive_from(whole, padded(possible.path(place.function, place.nudged, steps), steps))
        if first_difference(path[:horizon], whole[:horizon]) is not None:
            return False
    return True


def _follow(rule: Any, regime: Any) -> Path:
    return lambda function, start, steps: descend(rule, function, start, steps, regime=regime).points


def _choices(rule: Any) -> dict[str, tuple[Any, ...]]:
    hints = get_type_hints(type(rule))
    return {
        key: get_args(hint) if get_origin(hint) is Literal else (False, True)
        for key, hint in hints.items()
        if (get_origin(hint) is Literal or hint is bool) and hasattr(rule, key)
    }


def forms_of(rule: Any) -> Iterator[dict[str, Any]]:
    """Every combination of the fields that choose a rule's form."""
    choices = _choices(rule)
    for values in product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def _forms(comparison: PathComparison) -> Iterator[Explanation]:
    """The rule's other forms."""
    for form in forms_of(comparison.rule):
        changed = {
            key: str(value).lower() for key, value in form.items() if value != getattr(comparison.rule, key)
        }
        if changed and not (set(changed) == {"eps_placement"} and comparison.rule.name in MOMENTS):
            yield Explanation(
                tuple(f"{key} {value}" for key, value in changed.items()),
                tuple(f"algo.{key}={value}" for key, value in changed.items()),
                _follow(replace(comparison.rule, **form), comparison.regime),
            )


def _values(candidate: Candidate, field: str) -> list[float]:
    """Constants that the candidate may have written in: those of its file first, then the usual ones."""
    return list(dict.fromkeys([*literals(candidate), *USUAL.get(field, ())]))


def literals(candidate: Candidate) -> list[float]:
    """The numbers in the candidate's source, in order, each once."""
    tree = candidate.kind.origin.tree
    numbers = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return list(dict.fromkeys(float(n) for n in numbers if isinstance(n, int | float) and not isinstance(n, bool)))


def _constants(candidate: Candidate, comparison: PathComparison, written: Sequence[str]) -> Iterator[Explanation]:
    """Other values of the constants that the candidate has written in, one or two at a time."""
    usual = type(comparison.rule)()
    for one in written:
        for value in _values(candidate, one):
            yield _constant(comparison, {one: value}, usual)
    own = literals(candidate)[:12]
    for one, other in ((a, b) for i, a in enumerate(written) for b in written[i + 1 :]):
        for first, second in product(own, own):
            yield _constant(comparison, {one: first, other: second}, usual)


def _constant(comparison: PathComparison, values: Mapping[str, float], usual: Any) -> Explanation:
    changed = {key: value for key, value in values.items() if value != getattr(comparison.rule, key)}
    words = tuple(
        f"{key} {value:g} is written in; the rule has {getattr(usual, key):g}" for key, value in changed.items()
    )
    settings = tuple(f"algo.{key}={value:g}" for key, value in changed.items())
    return Explanation(words, settings, _follow(replace(comparison.rule, **changed), comparison.regime))


def _conventions(
    candidate: Candidate, comparison: PathComparison, written: Sequence[str]
) -> Iterator[Explanation]:
    """The rule's lattice of conventions and slips, and with it another eps or weight decay that is written in."""
    rule = comparison.rule
    if rule.name not in MOMENTS:
        return
    own_decay = getattr(rule, "weight_decay", comparison.regime.weight_decay)
    variants: list[tuple[tuple[str, ...], Any, float]] = [((), rule, own_decay)]
    if "eps" in written:
        variants += [
            ((f"eps {value:g} is written in; the rule has {rule.eps:g}",), replace(rule, eps=value), own_decay)
            for value in _values(candidate, "eps")
        ]
    if not own_decay:
        variants += [
            ((f"weight_decay {value:g} of its own",), rule, value)
            for value in literals(candidate)
            if 0 < value < 1
        ]
    points = list(lattice(rule.name, decays=True))
    few = min(3, comparison.steps)
    target = comparison.path[: few + 1]
    own = next(
        (
            point
            for point in points
            if first_difference(_on(point, rule, own_decay, comparison.place, few), target) is None
        ),
        None,
    )
    if own is None:
        return
    for extra, changed, strength in variants:
        for point in points:
            distance = point.distance(own)
            if (not strength and point.decay != own.decay) or distance + len(extra) > MOST_DIFFERENCES:
                continue
            if (extra and distance > 1) or not (extra or distance):
                continue
            yield Explanation(
                (*point.differences(own), *extra),
                path=lambda f, s, n, p=point, r=changed, d=strength: convention_path(p, r, d, f, s, n),  # type: ignore[misc]
            )


def _on(point: Any, rule: Any, strength: float, place: StartingPoint, steps: int) -> Floats:
    return padded(convention_path(point, rule, strength, place.function, place.start, steps), steps)


def _other_rules(comparison: PathComparison) -> Iterator[Explanation]:
    """Other rules, in every form, with the numbers that they share with this one."""
    shared = {f.name: getattr(comparison.rule, f.name) for f in fields(comparison.rule)}
    for name in RULES:
        kind: Any = RULES[name]
        if name == comparison.rule.name or kind.weights == "matrices":
            continue
        same = {f.name: shared[f.name] for f in fields(kind) if isinstance(shared.get(f.name), float)}
        other = kind(**same)
        for form in forms_of(other):
            words = ", ".join([f"it is {name}", *(f"{key} {str(value).lower()}" for key, value in form.items())])
            yield Explanation((words,), path=_follow(replace(other, **form), comparison.regime))


def _ignores_its_gradient(
    candidate: Candidate, passed: Mapping[str, Any], comparison: PathComparison, path: Floats
) -> bool:
    """Whether its path stays the same when the gradients it is given are zero: it computes its own."""
    if bool(np.isnan(path[1:]).all()) or bool((path == path[0]).all()):
        return False

    class Flat:
        def __getattr__(self, name: str) -> Any:
            return getattr(comparison.place.function, name)

        def gradient(self, w: Floats) -> Floats:
            return np.zeros_like(w)

    flat: Any = Flat()
    return bool(
        np.array_equal(
            padded(candidate.path(passed, flat, comparison.place.start, comparison.steps), comparison.steps),
            path,
            equal_nan=True,
        )
    )


def _fitted(
    first: PathComparison,
    written: Sequence[str],
    comparisons: Sequence[PathComparison],
    paths: Sequence[Floats],
) -> Explanation:
    """One constant of any value, found as the root of the first coordinate's difference, and rounded if it may be."""
    from scipy.optimize import brentq

    target = paths[0]
    few = min(first.steps, max(first.differs(target) or 1, 2))
    if not np.isfinite(target[few]).all():
        return Explanation()
    usual = type(first.rule)()
    for field in written:
        grid = np.concatenate([np.logspace(-16, 0, 65), 1 - np.logspace(-4, -0.05, 40)])

        def apart(value: float, key: str = field) -> float:
            rule = replace(first.rule, **{key: float(value)})
            points = _follow(rule, first.regime)(first.place.function, first.place.start, few)
            return float((points[-1] - target[few])[0]) if len(points) == few + 1 else np.nan

        grid = np.unique(grid)
        differences = [apart(value) for value in grid]
        for low, high, a, b in zip(grid, grid[1:], differences, differences[1:], strict=False):
            if not (np.isfinite(a) and np.isfinite(b)) or a * b > 0:
                continue
            root = brentq(apart, low, high, xtol=1e-300, rtol=1e-14)
            for value in [*(float(f"{root:.{digits}g}") for digits in range(1, 13)), root]:
                possible = _constant(first, {field: value}, usual)
                if possible.words and _holds(possible, comparisons, paths):
                    return possible
    return Explanation()
