"""What explains the difference between an implementation and a rule: the smallest change of the rule that is the code.

A hypothesis counts only where its path is the code's everywhere, with every setting, as far as rounding allows. So an
explanation is never a guess, and nobody is told of a slip that was not made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import chain, islice, product
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from optilab.errors import UsageError
from optilab.optimize import RULES, Regime
from optilab.optimize.objective import Floats
from optilab.verify.candidate import Candidate, Start
from optilab.verify.paths import (
    SETTINGS,
    TOLERANCE,
    PathComparison,
    first_difference,
    followed,
    hyperparameters,
    padded,
    sensitive_from,
    sizes,
)
from optilab.verify.slips import Program, follow, mistakes, program_of, slips, with_decay, with_number

PREFIX = 1
"""Steps after the first difference that an explanation must reproduce before its whole path is computed."""
USUAL = {
    "eps": (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12, 1e-16, 0.0),
    "beta": (0.5, 0.8, 0.9, 0.95, 0.99, 0.0),
    "beta1": (0.5, 0.8, 0.9, 0.95, 0.99, 0.0),
    "beta2": (0.9, 0.95, 0.98, 0.99, 0.999, 0.9999),
    "decay": (0.9, 0.95, 0.99, 0.999),
}
"""Constants that implementations have written in."""


LARGEST_EPS = 0.1
"""An eps above it would take the place of what it guards, which is another slip."""
MISSING = {"eps": 0.0, "clip": 1e9, "step_max": 1e9}
"""Values with which a constant does nothing."""


@dataclass(frozen=True)
class Explanation:
    """In words, and as settings of the rule where those can say it; both empty where nothing known explains."""

    words: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


Follow = Callable[[PathComparison, Start, int], Floats]
Hypothesis = tuple[Explanation, Follow]
"""What may explain a difference, and the path from a start that it claims for a comparison."""


def explain(candidate: Candidate, comparisons: Sequence[PathComparison], paths: Sequence[Floats]) -> Explanation:
    """The smallest explanation of the difference between a rule and a candidate, whose paths are `paths`."""
    first = comparisons[0]
    # As of code that divides by 0, or that makes no step whatever the gradient: that fits every slip.
    if all(bool(np.isnan(path[1:]).all()) for path in paths) or _stands_still(candidate, first, paths):
        return Explanation()
    if _ignores_its_gradient(candidate, comparisons, paths):
        return Explanation(("your code does not use the gradient it is given: it follows a function of its own",))
    if not np.array_equal(first.path_of(candidate), paths[0], equal_nan=True):
        where = "its state is in the class or the module and not in the object, or it draws random numbers"
        return Explanation((f"your code takes another path when it starts again from the same point: {where}",))
    unused = _unused(candidate, comparisons, paths)
    known = first.passed
    written = {
        f.name: f.name in unused
        for f in fields(first.rule)
        if isinstance(known.get(f.name), float) and (f.name in unused or not candidate.accepts(f.name, known))
    }
    rule, regime, program = first.rule, first.regime, program_of(first.rule)
    base = _base(program, regime)
    families: list[Iterator[Hypothesis]] = [_forms(rule)]
    if base:
        families += [_changed(slips(base)), _changed(_around(candidate, rule, regime, program))]
    families += [_constants(candidate, first, written)]
    families += [_other_rules(rule)]
    if base:
        families += [_changed(mistakes(base))]
        families += [_with_eps(candidate, first, written, base)] if "eps" in written else []
        families += [_two_slips(base)]
    targets = sorted(map(_Target, comparisons, paths), key=lambda target: target.few)
    for explanation, path in chain.from_iterable(families):
        if _holds(path, targets):
            return explanation
    return _fitted(first, written, targets)


class _Target:
    """A path that a hypothesis must reproduce: the candidate's, and its first steps up to one that tells."""

    def __init__(self, comparison: PathComparison, path: Floats) -> None:
        self.comparison, self.path = comparison, path
        self.few = min(comparison.steps, (comparison.differs(path) or 0) + PREFIX)
        self.counted = min(self.few + 1, comparison.horizon)
        self.size = sizes(path)[:, None]


def _holds(path: Follow, targets: Sequence[_Target]) -> bool:
    """Whether a hypothesis's path is the candidate's everywhere, as far as rounding allows."""
    try:
        for target in targets:
            comparison, counted = target.comparison, target.counted
            short = padded(path(comparison, comparison.place.start, target.few), target.few)[:counted]
            own = target.path[:counted]
            with np.errstate(invalid="ignore"):
                close = np.abs(short - own) <= TOLERANCE * target.size[:counted]
            if not (close | (np.isnan(short) & np.isnan(own))).all():
                return False
        for target in targets:
            place, steps = target.comparison.place, target.comparison.steps
            whole = padded(path(target.comparison, place.start, steps), steps)
            horizon = sensitive_from(whole, padded(path(target.comparison, place.nudged, steps), steps))
            if first_difference(target.path[:horizon], whole[:horizon]) is not None:
                return False
    except (UsageError, ValueError, KeyError, np.linalg.LinAlgError):  # the hypothesis does not apply here
        return False
    return True


def _as_rule(change: Callable[[Any], Any]) -> Follow:
    """The path of the rule after a change."""

    def path(comparison: PathComparison, start: Start, steps: int) -> Floats:
        return followed(change(comparison.rule), comparison.place.function, start, steps, comparison.regime)

    return path


def _as_program(program: Program, **changed: Any) -> Follow:
    """The path of a program with the rule's numbers, those in `changed` excepted."""

    def path(comparison: PathComparison, start: Start, steps: int) -> Floats:
        return follow(program, replace(comparison.rule, **changed), comparison.place.function, start, steps)

    return path


# --- the code, without the rule ------------------------------------------------------------------------------


def _ignores_its_gradient(
    candidate: Candidate, comparisons: Sequence[PathComparison], paths: Sequence[Floats]
) -> bool:
    """Whether its path stays the same on every ground when the gradients it is given are random: it has its own."""
    if all(bool(np.isnan(path[1:]).all() or (path == path[0]).all()) for path in paths):
        return False
    for comparison, path in zip(comparisons, paths, strict=True):
        draw = np.random.default_rng(0).standard_normal
        try:
            points = candidate.path(
                comparison.passed, partial(_random, draw), comparison.place.start, comparison.steps
            )
        except UsageError:
            return False
        if not np.array_equal(padded(points, comparison.steps), path, equal_nan=True):
            return False
    return True


def _stands_still(candidate: Candidate, comparison: PathComparison, paths: Sequence[Floats]) -> bool:
    """Whether it makes no step on any ground, and a gradient that is NaN does not reach w either."""
    if not all(bool((path == path[0]).all()) for path in paths):
        return False
    place, steps = comparison.place, comparison.steps
    try:
        points = candidate.path(comparison.passed, lambda w: np.full(np.shape(w), np.nan), place.start, steps)
    except UsageError:
        return False
    return bool((padded(points, steps) == points[0]).all())


def _random(draw: Callable[..., Floats], w: Floats) -> Floats:
    return draw(w.shape)


def _unused(candidate: Candidate, comparisons: Sequence[PathComparison], paths: Sequence[Floats]) -> list[str]:
    """The hyperparameters that the code takes and that change nothing in any of its paths."""
    settings, pairs = comparisons[0].passed, list(zip(comparisons, paths, strict=True))
    finite = [(comparison, path) for comparison, path in pairs if np.isfinite(path[:2]).all()]

    def changes_nothing(key: str) -> bool:
        for comparison, path in finite:
            other = next(value for value in SETTINGS[key] if value != comparison.passed[key])
            if not np.array_equal(comparison.path_of(candidate, **{key: other}), path, equal_nan=True):
                return False
        return bool(finite)

    try:
        return [
            key
            for key in settings
            if key in SETTINGS and candidate.accepts(key, settings) and changes_nothing(key)
        ]
    except UsageError:  # it fails with other values
        return []


# --- the rule with other settings ----------------------------------------------------------------------------


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


_FORMS = {
    ("eps_placement", "inside"): "eps inside the root",
    ("eps_placement", "outside"): "eps outside the root",
    ("eps_placement", "added"): "eps added to the ratio",
}
"""Forms that have a name."""


def _forms(rule: Any) -> Iterator[Hypothesis]:
    """The rule's other forms, those with the fewest differences first."""
    found = []
    for form in forms_of(rule):
        changed = {key: str(value).lower() for key, value in form.items() if value != getattr(rule, key)}
        words = tuple(_FORMS.get((key, value), f"{key} {value}") for key, value in changed.items())
        settings = tuple(f"algo.{key}={value}" for key, value in changed.items())
        if changed:
            found.append((Explanation(words, settings), _as_rule(partial(replace, **form))))
    yield from sorted(found, key=lambda hypothesis: len(hypothesis[0].words))


def _values(candidate: Candidate, key: str) -> list[float]:
    """Constants that the candidate may have written in: those of its file first, then the usual ones."""
    return list(dict.fromkeys([*_own_values(candidate, key), *USUAL.get(key, ())]))


def _own_values(candidate: Candidate, key: str) -> list[float]:
    """The numbers in its file; of a limit first that there is none, which any large number would be."""
    if key == "eps":
        return [value for value in candidate.literals if value <= LARGEST_EPS]
    return [*([MISSING[key]] if key in MISSING else []), *candidate.literals]


def _constants(
    candidate: Candidate, comparison: PathComparison, written: Mapping[str, bool]
) -> Iterator[Hypothesis]:
    """Other values of the constants that the candidate has written in, one or two at a time.

    `written`: name -> whether the candidate takes it, too, and does not use it.
    """
    usual = type(comparison.rule)()
    unused = {key: getattr(usual, key) for key, ignored in written.items() if ignored}
    if unused:
        yield _constant(comparison, unused, written)
    for one in written:
        for value in _values(candidate, one):
            if value or not written[one]:  # 0 is a part of the formula that is missing
                yield _constant(comparison, unused | {one: value}, written)
    names, own = list(written), {key: _own_values(candidate, key)[:12] for key in written}
    for one, other in ((a, b) for i, a in enumerate(names) for b in names[i + 1 :]):
        for first, second in product(own[one], own[other]):
            yield _constant(comparison, unused | {one: first, other: second}, written)


def _constant(comparison: PathComparison, values: Mapping[str, float], written: Mapping[str, bool]) -> Hypothesis:
    usual = type(comparison.rule)()
    changed = {
        key: value for key, value in values.items() if written[key] or value != getattr(comparison.rule, key)
    }
    words = tuple(
        f"{key} is taken and not used: there is no such limit"
        if written[key] and value == MISSING.get(key)
        else f"{key} is missing"
        if value == MISSING.get(key)
        else f"{key} is taken and not used: the code acts as with {value:g}"
        if written[key]
        else f"{key} {value:g} is written in; the optimizer has {getattr(usual, key):g}"
        for key, value in changed.items()
    )
    settings = tuple(f"algo.{key}={value:g}" for key, value in changed.items())
    return Explanation(words, settings), _as_rule(lambda rule: replace(rule, **changed))


# --- the rule with slips -------------------------------------------------------------------------------------


def _base(program: Program, regime: Regime) -> Program:
    """The program under the regime's weight decay; empty where nothing follows a program."""
    around = regime != Regime(weight_decay=regime.weight_decay, weight_decay_form=regime.weight_decay_form)
    return () if around or not program else with_decay(program, regime.weight_decay, regime.weight_decay_form)


def _changed(lattice: Iterator[tuple[str, Program]]) -> Iterator[Hypothesis]:
    for words, program in lattice:
        yield Explanation((words,)), _as_program(program)


def _around(candidate: Candidate, rule: Any, regime: Regime, program: Program) -> Iterator[tuple[str, Program]]:
    """Another weight decay around the rule, or a clip or factor, with the numbers of the candidate's source."""
    own = [value for value in candidate.literals if value > 0]
    usual = hyperparameters(rule)
    taken = [key for key in usual if candidate.accepts(key, usual) and type(usual[key]) is float]
    coupled, base = "added to the gradient (coupled)", _base(program, regime)
    if regime.weight_decay:
        other = "decoupled" if regime.weight_decay_form == "coupled" else "coupled"
        how = coupled if other == "coupled" else other
        yield f"weight decay {how}", with_decay(program, regime.weight_decay, other)
        yield "the weight decay is missing", program
    else:
        for value in (value for value in own if value < 1):  # which one the sign of a sum may not tell
            yield f"a weight decay of its own, {coupled}", with_decay(base, value, "coupled")
            if hasattr(rule, "lr"):
                yield "a weight decay of its own, decoupled", with_decay(base, value, "decoupled")
    for value in own:
        yield from with_number(base, value, taken)


def _with_eps(
    candidate: Candidate, comparison: PathComparison, written: Mapping[str, bool], base: Program
) -> Iterator[Hypothesis]:
    """One slip, and another eps that is written in."""
    for value in _values(candidate, "eps"):
        (constant, _) = _constant(comparison, {"eps": value}, written)
        for words, program in slips(base):
            yield Explanation((words, *constant.words)), _as_program(program, eps=value)


MOST_PAIRS = 8000
"""Pairs of slips that are tried."""


def _two_slips(base: Program) -> Iterator[Hypothesis]:
    pairs = (
        (Explanation((first, second)), _as_program(twice))
        for others in (slips, mistakes)
        for first, once in slips(base)
        for second, twice in others(once)
    )
    yield from islice(pairs, MOST_PAIRS)


def _other_rules(rule: Any) -> Iterator[Hypothesis]:
    """Other rules, in every form, with the numbers that they share with this one."""
    for name in RULES:
        kind: Any = RULES[name]
        if name == rule.name or (kind.weights == "matrices") != (rule.weights == "matrices"):
            continue
        for form in forms_of(kind()):
            words = ", ".join([f"it is {name}", *(f"{key} {str(value).lower()}" for key, value in form.items())])

            def change(rule: Any, kind: Any = kind, form: dict[str, Any] = form) -> Any:
                shared = {f.name: getattr(rule, f.name, None) for f in fields(kind)}
                return kind(**{key: value for key, value in shared.items() if isinstance(value, float)}, **form)

            yield Explanation((words,)), _as_rule(change)


def _fitted(first: PathComparison, written: Mapping[str, bool], targets: Sequence[_Target]) -> Explanation:
    """One constant of any value, found as the root of the first coordinate's difference, and rounded if it may be."""
    from scipy.optimize import brentq

    target = next(target.path for target in targets if target.comparison is first)
    few = min(first.steps, max(first.differs(target) or 1, 2))
    if not np.isfinite(target[few]).all():
        return Explanation()
    for key in written:
        grid = np.unique(np.concatenate([np.logspace(-16, 0, 65), 1 - np.logspace(-4, -0.05, 40)]))

        def apart(value: float, key: str = key) -> float:
            rule = replace(first.rule, **{key: float(value)})
            points = followed(rule, first.place.function, first.place.start, few, first.regime)
            return float((points[-1] - target[few])[0])

        differences = [apart(value) for value in grid]
        for low, high, a, b in zip(grid, grid[1:], differences, differences[1:], strict=False):
            if not (np.isfinite(a) and np.isfinite(b)) or a * b > 0:
                continue
            root = brentq(apart, low, high, xtol=1e-300, rtol=1e-14)
            for value in [*(float(f"{root:.{digits}g}") for digits in range(1, 13)), root]:
                explanation, path = _constant(first, {key: value}, written)
                if explanation.words and _holds(path, targets):
                    return explanation
    return Explanation()
