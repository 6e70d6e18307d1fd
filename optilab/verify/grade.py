"""Whether an implementation is the rule it is meant to be, and if not, which convention explains the difference.

Both are followed in float64 for 100 steps from several starts on several functions, chosen so that every form of a
rule differs from every other form on at least one of them. Where a path is so sensitive that rounding alone
would separate two correct implementations, the comparison ends at that step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from optilab.optimize import OBJECTIVES, Objective, Regime, descend
from optilab.optimize.functions import Floats
from optilab.verify.candidate import Candidate

STEPS = 100
TOLERANCE = 1e-11
ROUNDING = 30.0
"""How many times farther apart two correct implementations may be than two paths that start one ulp apart."""
EPSILON = 2.0**-52
FAR = 1e30
"""A path is over where a coordinate is larger: its values and gradients overflow soon."""
TELLING = {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.1, "gamma": 1.0}
"""Settings in which conventions differ visibly; a candidate that takes them gets them, unless others are given."""


@dataclass(frozen=True)
class Ground:
    """Where two implementations are compared."""

    function: Objective
    start: tuple[float, ...]

    @property
    def nudged(self) -> tuple[float, ...]:
        """The start one rounding error away."""
        return tuple(x + EPSILON * max(abs(x), 1.0) for x in self.start)


def grounds() -> tuple[Ground, ...]:
    """The functions and starts of a comparison.

    Gradients of both signs, curvature of both signs, a flat start, and paths on which clipping and switches act.
    """
    named = ("ravine", "himmelblau", "beale", "plateau", "saddle", "rosenbrock")
    own = [Ground(function := OBJECTIVES[name](), tuple(function.start)) for name in named]
    return (*own, Ground(own[0].function, (3.0, 1.0)))


@dataclass(frozen=True)
class GroundComparison:
    """A rule on one ground: its path (steps + 1, d), NaN after it left the numbers, and how far it can be compared."""

    rule: Any
    ground: Ground
    steps: int
    regime: Regime

    @cached_property
    def path(self) -> Floats:
        return self._descend(self.ground.start)

    @cached_property
    def horizon(self) -> int:
        """The first step at which paths that start one ulp apart differ by more than the tolerance allows."""
        return sensitive_from(self.path, self._descend(self.ground.nudged))

    def differs(self, other: Floats) -> int | None:
        """The first step at which another path, (steps + 1, d), differs; None if none does."""
        return first_difference(other[: self.horizon], self.path[: self.horizon])

    def _descend(self, start: Sequence[float]) -> Floats:
        points = descend(self.rule, self.ground.function, start, self.steps, regime=self.regime).points
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
    places: Sequence[Ground] = (),
    steps: int = STEPS,
    regime: Regime | None = None,
    given: Sequence[str] = (),
    exercise: Any = None,
) -> Verdict:
    """Compare a candidate with `rule`, both in float64, on `places` (default: `grounds()`).

    Differences are relative to the largest coordinate of the rule's path so far. Settings named in `given` are
    kept, the others are moved to where conventions show (`TELLING`) if the candidate takes them. A candidate that
    equals the rule with the published exercise's settings, `exercise`, is equal too, and the verdict says so.
    """
    regime = regime or Regime()
    readings = [("", rule)]
    if exercise is not None:
        own = {f.name: getattr(exercise, f.name) for f in fields(exercise)}
        changed = ", ".join(f"{key} {value}" for key, value in own.items() if value != getattr(rule, key))
        readings.append((f"the published exercise's settings ({changed})", exercise))
    verdicts = []
    for reading, variant in readings:
        verdicts.append(_compare(candidate, variant, places or grounds(), steps, regime, given, reading))
        if verdicts[-1].equal:
            return verdicts[-1]
    return verdicts[0]


def _compare(
    candidate: Candidate,
    rule: Any,
    places: Sequence[Ground],
    steps: int,
    regime: Regime,
    given: Sequence[str],
    reading: str,
) -> Verdict:
    takes = {f.name for f in fields(rule) if candidate.accepts(f.name, settings_of(rule))}
    rule = replace(rule, **{key: value for key, value in TELLING.items() if key in takes and key not in given})
    settings = settings_of(rule)
    # A decay around the rule is passed on only where it is asked for: the candidate's own default is part of it.
    passed = settings | ({"weight_decay": regime.weight_decay} if regime.weight_decay else {})
    fixed = tuple(key for key in settings if key not in takes and settings[key])
    comparisons = [GroundComparison(rule, place, steps, regime) for place in places]
    paths = [padded(candidate.path(passed, t.ground.function, t.ground.start, steps), steps) for t in comparisons]
    names = tuple(dict.fromkeys(place.function.name for place in places))
    verdict = Verdict(settings, steps, names, reading, fixed)
    parted = [
        (comparison, path, step)
        for comparison, path in zip(comparisons, paths, strict=True)
        if (step := comparison.differs(path))
    ]
    if not parted:
        return verdict
    from optilab.verify.explanation import explain

    comparison, path, step = min(parted, key=lambda item: item[2])
    explanation = explain(candidate, takes, comparisons, paths, passed)
    return replace(
        verdict,
        function=comparison.ground.function.name,
        start=comparison.ground.start,
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
