"""Find the edit of a rule's formula that explains the difference between an implementation and the rule.

A hypothesis counts only where its path is the code's everywhere, with every setting, as far as rounding allows. So an
explanation is never a guess, and nobody is told of a slip that was not made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import chain, islice, product
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from optilab.errors import UsageError
from optilab.optimize import RULES
from optilab.optimize.arrays import in_float64
from optilab.optimize.formula import simplified, text
from optilab.optimize.objective import Floats
from optilab.optimize.program import Program, evaluate
from optilab.optimize.rule import is_formula, quantities_for, settings_in_formula
from optilab.verify.candidate import Candidate, Start
from optilab.verify.compare import (
    SETTINGS,
    TOLERANCE,
    Explanation,
    PathComparison,
    first_difference,
    followed,
    padded,
    rounding_horizon,
    sizes,
)
from optilab.verify.edits import Edit, Statements, edits, named_edits

PREFIX = 1
"""Steps after the first difference that an explanation must reproduce before its whole path is computed."""
MAX_PAIRS = 8000
"""Pairs of edits that are tried."""
MAX_LINES = 2
"""Lines of a formula that are shown next to the name of an edit."""
NAMED_ALONE = "a weight decay of its own"
"""Edits whose number the path may not show: of a sum with w, a sign may be all that counts."""
MAX_EPS = 0.1
"""A larger eps would replace the quantity that it guards, which is another slip."""
MISSING = {"eps": 0.0, "clip": 1e9, "step_max": 1e9}
"""Values with which a constant does nothing."""
FORM_NAMES = {
    ("eps_placement", "inside"): "eps inside the root",
    ("eps_placement", "outside"): "eps outside the root",
    ("eps_placement", "added"): "eps added to the ratio",
}


Follow = Callable[[PathComparison, Start, int], Floats]
Hypothesis = tuple[Callable[[], Explanation], Follow]
"""A possible explanation of a difference, and the path from a start that it predicts for a comparison."""


def find_cause(
    candidate: Candidate, comparisons: Sequence[PathComparison], paths: Sequence[Floats]
) -> Explanation:
    """The smallest explanation of the difference between a rule and a candidate, whose paths are `paths`."""
    first = comparisons[0]
    if all(bool(np.isnan(path[1:]).all()) for path in paths):  # as of code that divides by 0: that fits every slip
        return Explanation()
    if _ignores_its_gradient(candidate, comparisons, paths):
        if all(bool((path == path[0]).all()) for path in paths):  # so does a step of zero
            return Explanation()
        return Explanation(("your code does not use the gradient it is given: it follows another function",))
    if not np.array_equal(first.path_of(candidate), paths[0], equal_nan=True):
        where = "its state is in the class or the module and not in the object, or it draws random numbers"
        return Explanation((f"your code takes another path when it starts again from the same point: {where}",))
    unused = _unused(candidate, comparisons, paths)
    base = statements_of(first.rule)
    settings = [name for name in settings_in_formula(first.rule) if name in Program(base).settings]
    numbers = [value for value in candidate.literals if value > 0]
    targets = sorted(map(_Target, comparisons, paths), key=lambda target: target.few)
    for explanation, path in chain(
        _forms(first),
        (_edit(first, base, edit) for edit in edits(base, settings, numbers)),
        _constants(candidate, first, unused),
        _other_rules(first.rule),
        _pairs(first, base, settings),
    ):
        if _is_the_code(path, targets):
            return explanation()
    different = next(target for target in targets if target.comparison.differs(target.path))
    return Explanation(statement=_first_statement(candidate, different))


class _Target:
    """The path that a hypothesis must reproduce: the candidate's, and its first steps, which are compared first."""

    def __init__(self, comparison: PathComparison, path: Floats) -> None:
        self.comparison, self.path = comparison, path
        self.few = min(comparison.steps, (comparison.differs(path) or 0) + PREFIX)
        self.counted = min(self.few + 1, comparison.horizon)
        self.size = sizes(path)[:, None]


def _is_the_code(path: Follow, targets: Sequence[_Target]) -> bool:
    """True if the path of a hypothesis is the path of the candidate everywhere, up to rounding."""
    try:
        for target in targets:
            comparison, counted = target.comparison, target.counted
            short = padded(path(comparison, comparison.problem.start, target.few), target.few)[:counted]
            code = target.path[:counted]
            with np.errstate(invalid="ignore"):
                close = np.abs(short - code) <= TOLERANCE * target.size[:counted]
            if not (close | (np.isnan(short) & np.isnan(code))).all():
                return False
        for target in targets:
            problem, steps = target.comparison.problem, target.comparison.steps
            whole = padded(path(target.comparison, problem.start, steps), steps)
            horizon = rounding_horizon(
                whole, padded(path(target.comparison, problem.neighbor_start, steps), steps)
            )
            if first_difference(target.path[:horizon], whole[:horizon]) is not None:
                return False
    except (UsageError, ValueError, KeyError, np.linalg.LinAlgError):  # the hypothesis does not apply here
        return False
    return True


# --- the code, without the rule ------------------------------------------------------------------------------


def _ignores_its_gradient(
    candidate: Candidate, comparisons: Sequence[PathComparison], paths: Sequence[Floats]
) -> bool:
    """True if random gradients, some of them infinite, change no path; even 0*g is a use: of inf it is nan."""
    draw = np.random.default_rng(0).standard_normal
    for comparison, path in zip(comparisons, paths, strict=True):
        settings, steps = comparison.settings, comparison.steps
        try:
            points = candidate.path(
                settings, lambda w: draw(w.shape) / (draw() > -1), comparison.problem.start, steps
            )
        except UsageError:
            return False
        if not np.array_equal(padded(points, steps), path, equal_nan=True):
            return False
    return True


def _unused(candidate: Candidate, comparisons: Sequence[PathComparison], paths: Sequence[Floats]) -> list[str]:
    """The hyperparameters that the code takes and that change nothing in any of its paths."""
    settings, pairs = comparisons[0].settings, list(zip(comparisons, paths, strict=True))
    finite = [(comparison, path) for comparison, path in pairs if np.isfinite(path[:2]).all()]

    def changes_nothing(key: str) -> bool:
        for comparison, path in finite:
            other = next(value for value in SETTINGS[key] if value != comparison.settings[key])
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


# --- other forms and constants ---------------------------------------------------------------------------------


def forms_of(rule: Any) -> Iterator[dict[str, Any]]:
    """Every combination of the fields that choose a rule's form."""
    hints = get_type_hints(type(rule))
    choices = {
        key: get_args(hint) if get_origin(hint) is Literal else (False, True)
        for key, hint in hints.items()
        if (get_origin(hint) is Literal or hint is bool) and hasattr(rule, key)
    }
    for values in product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def _as_rule(change: Callable[[Any], Any]) -> Follow:
    """The path of the rule after a change."""

    def path(comparison: PathComparison, start: Start, steps: int) -> Floats:
        return followed(change(comparison.rule), comparison.problem.function, start, steps)

    return path


def _forms(first: PathComparison) -> Iterator[Hypothesis]:
    """The rule's other forms, those with the fewest differences first."""
    rule = first.rule
    changed = [
        {key: value for key, value in form.items() if value != getattr(rule, key)} for form in forms_of(rule)
    ]
    for form in sorted(filter(None, changed), key=len):

        def explanation(form: dict[str, Any] = form) -> Explanation:
            values = {key: str(value).lower() for key, value in form.items()}
            name = ", ".join(FORM_NAMES.get(item, " ".join(item)) for item in values.items())
            lines = _lines(statements_of(rule), statements_of(replace(rule, **form)), rule) if rule.text else ""
            settings = tuple(f"algo.{key}={value}" for key, value in values.items())
            return Explanation((f"{name}: {lines}" if lines else name,), settings)

        yield explanation, _as_rule(partial(replace, **form))


def _constants(candidate: Candidate, first: PathComparison, unused: Sequence[str]) -> Iterator[Hypothesis]:
    """Other values of the constants that the candidate has written in, one at a time."""
    known, kind = first.settings, type(first.rule)
    written = {
        field.name: field.name in unused
        for field in fields(first.rule)
        if isinstance(known.get(field.name), float)
        and (field.name in unused or not candidate.accepts(field.name, known))
    }
    ignored = {key: getattr(kind, key) for key in written if written[key] and hasattr(kind, key)}
    if ignored:
        yield _constant(first, ignored, written)
    for key in written:
        for value in _numbers_for(candidate, key):
            if value or not written[key]:  # 0 is a part of the formula that is missing
                yield _constant(first, ignored | {key: value}, written)


def _numbers_for(candidate: Candidate, key: str) -> list[float]:
    """The numbers in its file; of a limit first that there is none, which any large number would be."""
    if key == "eps":
        return [value for value in candidate.literals if value <= MAX_EPS]
    return [*([MISSING[key]] if key in MISSING else []), *candidate.literals]


def _constant(first: PathComparison, values: Mapping[str, float], written: Mapping[str, bool]) -> Hypothesis:
    """`written`: name -> whether the candidate takes it, too, and does not use it."""
    changed = {key: value for key, value in values.items() if written[key] or value != getattr(first.rule, key)}

    def words(key: str, value: float) -> str:
        if value == MISSING.get(key):
            return f"{key} is taken and not used: there is no such limit" if written[key] else f"{key} is missing"
        if written[key]:
            return f"{key} is taken and not used: your code acts as with {value:g}"
        usual = getattr(type(first.rule), key, first.settings[key])
        return f"{key} {value:g} is written in; {first.rule.name} has {usual:g}"

    def explanation() -> Explanation:
        settings = tuple(f"algo.{key}={value:g}" for key, value in changed.items())
        return Explanation(tuple(words(*item) for item in changed.items()), settings)

    return explanation, _as_rule(lambda rule: replace(rule, **changed))


def _other_rules(rule: Any) -> Iterator[Hypothesis]:
    """Other rules, in every form, with the numbers that they share with this one."""
    for name in RULES:
        kind: Any = RULES[name]
        if name == rule.original.name or (kind.weights == "matrices") != (rule.weights == "matrices"):
            continue
        for form in forms_of(kind()):
            words = ", ".join([f"it is {name}", *(f"{key} {str(value).lower()}" for key, value in form.items())])

            def change(rule: Any, kind: Any = kind, form: dict[str, Any] = form) -> Any:
                shared = {f.name: getattr(rule, f.name, None) for f in fields(kind)}
                return kind(**{key: value for key, value in shared.items() if isinstance(value, float)}, **form)

            yield partial(Explanation, (words,)), _as_rule(change)


# --- edits of the formula --------------------------------------------------------------------------------------


def statements_of(rule: Any) -> Statements:
    """The statements of a rule; none of a rule in code."""
    return rule.program.statements if rule.text else ()


def _pairs(first: PathComparison, base: Statements, settings: Sequence[str]) -> Iterator[Hypothesis]:
    """Two edits that have a name."""
    pairs = (
        _edit(first, base, edit, other)
        for edit in named_edits(base, settings)
        for other in named_edits(edit.formula, settings)
        if edit.name and other.name and not {*other.formula} & ({*base} - {*edit.formula})  # which it takes back
    )
    yield from islice(pairs, MAX_PAIRS)


def _edit(first: PathComparison, base: Statements, *made: Edit) -> Hypothesis:
    """The formula after one edit, or after two."""

    def explanation() -> Explanation:
        names = tuple(edit.name for edit in made if edit.name)
        lines = _lines(base, made[-1].formula, first.rule)
        few = lines.count(" = ") + lines.count(" <- ") <= 2 * MAX_LINES * len(made)
        if names and (not few or not lines or names[0].startswith(NAMED_ALONE)):
            return Explanation(names)
        return Explanation((f"{names[0]}: {lines}",) if len(made) == 1 and names else (*names, lines))

    def path(comparison: PathComparison, start: Start, steps: int) -> Floats:
        w = np.array(start, dtype=np.float64)
        known = values_of_steps(made[-1].formula, comparison.rule, comparison.problem.function, w)
        return np.stack([w, *(values["w"] for values in islice(known, steps))])

    return explanation, path


def _lines(before: Statements, after: Statements, rule: Any) -> str:
    """The lines that changed, as a sentence; empty where only their order did."""

    def printed(formula: Statements, other: Statements) -> str:
        lines = (
            f"{statement.target} {statement.arrow} {text(simplified(statement.node))}"
            for statement in formula
            if statement not in other
        )
        return "; ".join(lines)

    code_lines, library_lines = printed(after, before), printed(before, after)
    name = "the formula" if is_formula(rule.name) else rule.name
    has = f"; {name} has {library_lines}" if library_lines else ""
    return f"your code acts as {code_lines}{has}" if code_lines else ""


def values_of_steps(formula: Statements, rule: Any, function: Any, w: Floats) -> Iterator[Mapping[str, Any]]:
    """The value of every name after each step of a formula, with the rule's numbers, until w is not finite."""
    program, t = Program(formula), 0
    fixed = {name: in_float64(value) for name, value in settings_in_formula(rule).items()}
    known: dict[str, Any] = {"w": w, **dict.fromkeys(program.states, np.zeros_like(w))}
    with np.errstate(all="ignore"):
        while np.isfinite(known["w"]).all():
            w, t = known["w"], t + 1
            g = function.gradient(w)
            known |= fixed | quantities_for(rule, function, w) | {"g": g, "t": np.float64(t)}
            if t == 1:
                known |= {"last_g": g, "late_g": np.zeros_like(g)}
                known.setdefault("size", w.size)  # unless a hyperparameter has this name
                known |= {name: evaluate(node, known) for name, node in program.starts.items()}
            try:
                for statement in program.body:
                    known[statement.target] = evaluate(statement.node, known)
                known["w"] = np.array(np.broadcast_to(known["w"], w.shape), dtype=np.float64)
            except ArithmeticError:  # of numbers in the formula alone
                known["w"] = np.full_like(w, np.nan)
            known |= {"last_g": g, "late_g": g}
            yield known


def _first_statement(candidate: Candidate, target: _Target) -> str:
    """The first statement whose value is off, as a sentence, of those whose values the candidate has under the names
    of the formula; empty where it has none."""
    comparison, problem = target.comparison, target.comparison.problem
    w, formula = np.array(problem.start, dtype=np.float64), statements_of(comparison.rule)
    if not formula:
        return ""
    walk = candidate.begin(candidate.values(comparison.settings), w)
    steps = values_of_steps(formula, comparison.rule, problem.function, w)
    for t, known in enumerate(islice(steps, comparison.differs(target.path)), 1):
        w = walk.advance(problem.function.gradient(w))
        yours: dict[str, Any] = {**walk.remembered()}
        yours |= {"w": w} if yours.keys() >= {*Program(formula).states} else {}
        last = {s.target: s for s in formula if s.arrow == "<-"}
        expected = {name: np.broadcast_to(known[name], w.shape) for name in last}
        for name, statement in last.items():
            close = (
                np.allclose(value, expected[name], rtol=1e-9, atol=0.0, equal_nan=True) for value in yours.values()
            )
            if name in yours and not any(close):
                wrong, right = (", ".join(f"{x:.12g}" for x in point) for point in (yours[name], expected[name]))
                line = f"{name} {statement.arrow} {text(statement.node)}"
                return f"the first value that is off is {name} at step {t}: ({wrong}), not ({right}), in: {line}"
    return ""
