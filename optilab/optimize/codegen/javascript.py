"""Code for one path in JavaScript, for pages that follow a rule while its settings are moved.

The same trace as for plain floats, and the same operations in the same order: + - * / and sqrt have the same bits in
every browser; exp, sin, cos and powers are as good as the browser's own.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from optilab.optimize import theory
from optilab.optimize.algorithms import Rule
from optilab.optimize.codegen.emit import OPERATORS, as_array_operation
from optilab.optimize.codegen.trace import Operation, Untraceable, operations, trace, trace_measure
from optilab.optimize.functions import Objective

_OPERATIONS = {op: text for op, text in OPERATORS.items() if op != "power"} | {
    "where": "{} ? {} : {}",
    "sign": "{0} > 0 ? 1 : {0} < 0 ? -1 : 0",
    "maximum": "{0} >= {1} || {0} != {0} ? {0} : {1}",  # a NaN wins, as in NumPy
    "minimum": "{0} <= {1} || {0} != {0} ? {0} : {1}",
    "logical_and": "{} && {}",
    "logical_or": "{} || {}",
    "logical_not": "!{}",
}
_FUNCTIONS = {op: f"Math.{op}" for op in ("sqrt", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh")} | {
    "absolute": "Math.abs",
    "power": "Math.pow",
    "arctan": "Math.atan",
    "expm1": "Math.expm1",
    "log1p": "Math.log1p",
}


def path_source(rule: Rule, function: Objective, settings: Sequence[str] = ()) -> str:
    """Source of `(steps, settings, point, rows, stride) => count`, an expression.

    `settings` are the values of the rule's fields of that name, in this order; the others are constants. Step k writes
    w1, ..., wd, f and the gradient to `rows` (a Float64Array) from k*stride on: a stride of 2d + 1 keeps the path, 0
    only its end. The path stops at its last finite point, as that of `descend`; `count` is the number of its points.
    Raises Untraceable.
    """
    program = trace(rule, function, settings)
    start, first = operations(program.first, "first")
    body, ends = operations([program.value, *program.gradient, *program.point_after, *program.state_after])
    dimension = len(program.points)
    row, after = [*program.points, *ends[: 1 + dimension]], ends[1 + dimension :]
    moving = [*program.points, *program.states]
    text = _named(settings)
    lines = [f"const [{', '.join(map(text, settings))}] = settings;"] if settings else []
    lines += [f"let [{', '.join(program.points)}] = point;"]
    lines += [_line(operation, text) for operation in start]
    lines += [f"let {name} = {text(place)};" for name, place in zip(program.states, first, strict=True)]
    lines += ["for (let step = 0; ; step++) {"]
    lines += [f"  {_line(operation, text)}" for operation in body]
    finite = " && ".join(f"isFinite({text(entry)})" for entry in row)
    lines += [f"  if (step > 0 && !({finite})) return step;"]
    lines += ["  const at = step * stride;"]
    lines += [f"  rows[at + {i}] = {text(entry)};" for i, entry in enumerate(row)]
    lines += ["  if (step === steps) return steps + 1;"]
    # An end that is another moving name has to be read before that name is assigned.
    kept = {name: f"next{i}" for i, name in enumerate(after) if name in moving}
    lines += [f"  const {new} = {old};" for old, new in kept.items()]
    lines += [f"  {n} = {kept.get(end, text(end))};" for n, end in zip(moving, after, strict=True) if n != end]
    return _function("steps, settings, point, rows, stride", [*lines, "}"])


def switches(rule: Rule, function: Objective, settings: Sequence[str]) -> list[str]:
    """Those of the settings that are 0 by default and switch a part of the rule on where they are not.

    The rule does other operations without that part: at 0 such a setting is a constant of another `path_source`.
    """
    found = []
    for name in settings:
        if getattr(type(rule), name, None) == 0:
            off = replace(rule, **{name: 0.0})  # type: ignore[type-var]
            others = [other for other in settings if other != name]
            constant, moved = path_source(off, function, others), path_source(off, function, settings)
            if _steps(constant) != _steps(moved.replace(f"${name}", "0.0")):
                found.append(name)
    return found


def _steps(source: str) -> str:
    """What a path does after it has read its settings."""
    return source.partition("= point;")[2]


def value_source(function: Objective) -> str:
    """Source of `(w1, ..., wd) => f`. Raises Untraceable."""
    from optilab.optimize.algorithms.momentum import SGD

    program = trace(SGD(), function)
    body, (value,) = operations([program.value])
    lines = [_line(operation, str) for operation in body]
    return _function(", ".join(program.points), [*lines, f"return {_text(value)};"])


def stability_source(rule: Rule, curvatures: int, settings: Sequence[str] = ()) -> str | None:
    """Source of `(settings, curvatures) => [largest lr, rate along the first curvature, ...]` by `theory`.

    `settings` as in `path_source`; the given number of curvatures comes in ascending order. None for a rule without a
    formula.
    """
    if getattr(rule, "recurrence", None) is None:
        return None
    names = [f"curvature{i + 1}" for i in range(curvatures)]

    def measure(traced: Any, eigenvalues: Any) -> Iterable[Any]:
        return theory.largest_lr(traced, eigenvalues), theory.spectral_radius(
            theory.update_matrices(traced, eigenvalues)  # type: ignore[arg-type]
        )

    symbols = trace_measure(rule, settings, names, measure)
    body, ends = operations(symbols)
    text = _named(settings)
    lines = [f"const [{', '.join(map(text, settings))}] = settings;"] if settings else []
    lines += [f"const [{', '.join(names)}] = curvatures;"]
    lines += [_line(operation, text) for operation in body]
    return _function("settings, curvatures", [*lines, f"return [{', '.join(map(text, ends))}];"])


def _function(parameters: str, lines: Sequence[str]) -> str:
    return "\n".join([f"({parameters}) => {{", *(f"  {line}" for line in lines), "}"])


def _text(arg: Any) -> str:
    """A name, or a number, in parentheses where it is negative."""
    if isinstance(arg, str):
        return arg
    number = float(arg)
    written = repr(number).replace("inf", "Infinity").replace("nan", "NaN")
    return f"({written})" if written.startswith("-") else written


def _named(settings: Sequence[str]) -> Callable[[Any], str]:
    """`_text`, with a dollar before the name of a setting: no reserved word begins with one."""
    names = {name: f"${name}" for name in settings}
    return lambda arg: names.get(arg, arg) if isinstance(arg, str) else _text(arg)


def _line(operation: Operation, text: Callable[[Any], str]) -> str:
    exact = as_array_operation(operation)  # of a plain number, too: x*x is what a good x**2 rounds to
    args = [text(arg) if isinstance(arg, str) else _text(arg) for arg in exact.args]
    if exact.op in _OPERATIONS:
        return f"const {exact.name} = {_OPERATIONS[exact.op].format(*args)};"
    if exact.op in _FUNCTIONS:
        return f"const {exact.name} = {_FUNCTIONS[exact.op]}({', '.join(args)});"
    raise Untraceable(f"{exact.op} has no counterpart in JavaScript")
