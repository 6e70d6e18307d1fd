"""One step of a rule worked out: every intermediate result of the printed formula.

The formula is executed statement by statement beside the rule itself, and both must agree at every step up to the
requested one. So the worked step is the step that runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import count, islice
from typing import Any

import numpy as np

from optilab.errors import UsageError
from optilab.optimize import formula as formulas
from optilab.optimize.algorithms import Rule
from optilab.optimize.algorithms.rule import needed
from optilab.optimize.functions import Floats, Objective
from optilab.optimize.own import OwnRule

AGREEMENT = 1e-9


@dataclass(frozen=True)
class Line:
    """One statement of the formula at this step: `target` gets `value`, (d,) or a number.

    `known` are the values of its symbols before it: hyper-parameters, state, w, g, t. `renews` is true for a state
    (or the point itself) and false for an intermediate result.
    """

    target: str
    node: formulas.Node
    known: Mapping[str, Any]
    value: Any
    renews: bool


@dataclass(frozen=True)
class WorkedStep:
    """Step `step` of a rule from `point` to `result`, both (d,), with the gradient (d,) in between.

    `lines` is empty for a rule without an executable formula (a line search). `state` and `next_state` are the
    rule's own. `difference` is the largest one between formula and rule over all steps, relative to max(1, |w|).
    """

    rule: Rule
    function: Objective
    step: int
    point: Floats
    gradient: Floats
    lines: tuple[Line, ...]
    result: Floats
    state: Any
    next_state: Any
    difference: float


def worked_step(
    rule: Rule, function: Objective, start: Sequence[float] | None = None, step: int = 1
) -> WorkedStep:
    """Step number `step` (from 1) of `rule` on `function`.

    Raises UsageError if the path overflows at or before that step.
    """
    return next(islice(worked_steps(rule, function, start), step - 1, None))


def worked_steps(rule: Rule, function: Objective, start: Sequence[float] | None = None) -> Iterator[WorkedStep]:
    """All steps in order, without end; as `worked_step`."""
    x = np.array(function.start if start is None else start, dtype=np.float64)
    state, difference = rule.init(x), 0.0
    remembered: dict[str, Any] = {}
    program = _program(rule)
    for t in count(1):
        with np.errstate(all="ignore"):
            point, before, gradient = x, state, function.gradient(x)
            extra = needed(rule, function, x)
            taken, state = rule.update(gradient, before, **extra)
            x = point + taken
            if not np.isfinite(x).all():
                raise UsageError(f"{rule.name} on {function.name} overflows at step {t}; try a smaller lr")
            known = {**_hyper_parameters(rule), **_symbols(point, gradient, t, extra)}
            lines, remembered = _execute(program, known, remembered)
            if lines:
                gap = np.abs(lines[-1].value - x)
                # The formula is 0/0 where the rule, by its docstring, does not move.
                difference = max(difference, float(np.nanmax(gap, initial=0.0) / max(1.0, np.abs(x).max())))
                if difference > AGREEMENT and isinstance(rule, OwnRule):
                    reached = f"the formula reaches {lines[-1].value}, the code {x}"
                    raise UsageError(f"{rule.name}: its formula is not what its code does: at step {t} {reached}")
                assert difference <= AGREEMENT, f"{rule.name}: the formula is not the rule, at step {t}"
        yield WorkedStep(rule, function, t, point, gradient, lines, x, before, state, difference)


def _program(rule: Rule) -> list[formulas.Statement]:
    try:
        return formulas.statements(rule.formula)
    except UsageError:  # a sentence instead of a formula
        return []


def _hyper_parameters(rule: Any) -> dict[str, Any]:
    values = {field.name: getattr(rule, field.name) for field in fields(rule)}
    return {**_hyper_parameters(values["base"]), **values} if "base" in values else values


def _symbols(point: Floats, gradient: Floats, t: int, quantities: Mapping[str, Any]) -> dict[str, Any]:
    letters = {"value": "f", "hessian": "H"}
    extra = {letters[name]: value for name, value in quantities.items() if name in letters}
    if ahead := quantities.get("gradient_at"):
        extra["grad"] = lambda x: ahead(x - point)
    if diagonal := quantities.get("hessian_diagonal"):
        extra["diagonal"] = lambda x: diagonal()
    return {"w": point, "g": gradient, "t": float(t), "I": np.eye(len(point)), **extra}


def _execute(
    program: Sequence[formulas.Statement], values: Mapping[str, Any], remembered: Mapping[str, Any]
) -> tuple[tuple[Line, ...], dict[str, Any]]:
    """Every statement in order; a state starts at zero or, with a statement `S0 = ...`, at that value."""
    renewed = {statement.target for statement in program if statement.arrow == "<-"} - {"w"}
    known = {**values, **{name: np.zeros_like(values["w"]) for name in renewed}, **remembered}
    starts = [s for s in program if s.arrow == "=" and s.target[:-1] in renewed and s.target.endswith("0")]
    if not remembered:
        known |= {s.target[:-1]: formulas.evaluate(s.node, known) for s in starts}
    lines = []
    for statement in program:
        if statement in starts:
            continue
        value = formulas.evaluate(statement.node, known)
        lines.append(Line(statement.target, statement.node, dict(known), value, statement.arrow == "<-"))
        known[statement.target] = value
    return tuple(lines), {name: known[name] for name in renewed}
