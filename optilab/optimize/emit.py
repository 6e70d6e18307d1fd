"""Fast code from a traced step: one path in plain floats, one block of a map in NumPy, one path in JavaScript.

The generated code does the arithmetic of the rule's own lines in their order, and calls NumPy's functions where an
operation is not correctly rounded (all but + - * / sqrt). The results of `scalar_source` are bit-identical to the
rule's; in JavaScript + - * / and sqrt have the same bits in every browser, and exp, sin, cos and powers are as good
as the browser's own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from optilab.optimize import theory
from optilab.optimize.formula import (
    OPERATORS,
    Node,
    Operation,
    compiled,
    line,
    number,
    operations,
    symbol,
    written,
)
from optilab.optimize.objective import Floats, Objective, is_near_minimum
from optilab.optimize.rule import Rule
from optilab.optimize.trace import (
    Program,
    Symbols,
    Untraceable,
    axes_of,
    trace,
    trace_measure,
    variable,
)

SCALARS = OPERATORS | {
    "sqrt": "sqrt({})",
    "absolute": "abs({})",
    "where": "{1} if {0} else {2}",
    "sign": "(1.0 if {0} > 0 else -1.0 if {0} < 0 else {0} - {0})",  # NaN of NaN
    "maximum": "{0} if {0} >= {1} or {0} != {0} else {1}",  # a NaN wins, as in NumPy
    "minimum": "{0} if {0} <= {1} or {0} != {0} else {1}",
    "logical_and": "{} and {}",
    "logical_or": "{} or {}",
    "logical_not": "not {}",
}
BOOLEAN = {op for op, text in SCALARS.items() if any(sign in text for sign in ("=", "<", ">"))} - {
    "sign",
    "maximum",
    "minimum",
} | {"logical_and", "logical_or", "logical_not"}
POWERS = {2: ("multiply", 2), 0.5: ("sqrt", 1), 1: ("copy", 1), -1: ("reciprocal", 1)}


def as_array_operation(operation: Operation) -> Operation:
    """NumPy computes x**2, x**0.5, x**1 and x**-1 of arrays by other operations; the one that it takes."""
    if operation.op == "power" and isinstance(operation.args[1], int | float) and operation.args[1] in POWERS:
        op, count = POWERS[operation.args[1]]
        return Operation(operation.name, op, operation.args[:1] * count)
    return operation


def listed(items: Sequence[Any]) -> str:
    """A tuple's inside: `a, b, `."""
    return "".join(f"{written(item)}, " for item in items)


def scalar_source(rule: Rule, function: Objective) -> str:
    """Source of `run(steps, w1, ..., wd)`, which returns w, f and the gradient of every step in one flat array."""
    program = trace(rule, function)
    start, first = operations(program.first, "first")
    body, ends = operations(
        [program.value, *program.gradient, *program.point_after, *program.state_after],
    )
    dimension = len(program.points)
    after = ends[1 + dimension :]
    axes = axes_of(program, body, after[dimension:], dict.fromkeys(program.points, frozenset("x")))
    moving = [*program.points, *program.states]
    lines = [f"def run(steps, {', '.join(program.points)}):"]
    lines += [f"    {line(operation, SCALARS)}" for operation in start]
    lines += [f"    {name} = {written(place)}" for name, place in zip(program.states, first, strict=True)]
    lines += ["    rows = array('d')", "    append = rows.extend", "    for _ in range(steps + 1):"]
    for operation in body:
        exact = as_array_operation(operation) if axes[operation.name] else operation
        templates = {k: v for k, v in SCALARS.items() if k != "power"} if axes[operation.name] else SCALARS
        lines.append(f"        {line(exact, templates, 'float({})')}")
    lines.append(f"        append(({listed([*program.points, *ends[: 1 + dimension]])}))")
    lines.append(f"        {listed(moving)} = {listed(after)}")
    return "\n".join([*lines, "    return rows", ""])


def follow(
    rule: Rule, function: Objective, start: Sequence[float], steps: int
) -> tuple[Floats, Floats, Floats] | None:
    """Points (T+1, d), values (T+1,) and gradients (T+1, d) of a path, rows that are not finite included.

    None where Python's floats raise an exception (x/0, sqrt(-1)) and NumPy has a value. Raises Untraceable.
    """
    run = compiled(scalar_source(rule, function))["run"]
    try:
        with np.errstate(all="ignore"):
            rows = np.frombuffer(run(steps, *map(float, start))).reshape(steps + 1, -1)
    except (ArithmeticError, ValueError, TypeError):  # x/0, sqrt(-1), a power that is complex
        return None
    d = len(start)
    return rows[:, :d], rows[:, d], rows[:, d + 1 :]


TINY = 1e-150
FLUSH_EVERY = 16
"""Every 16th step, numbers below TINY become zero: arithmetic on denormals is 30 times slower."""

Kernel = Callable[..., Any]
"""run(steps, limits, settings, *points) -> points, pending, count.

Points are arrays (rows, columns), which the kernel may overwrite. `pending` (bool): the watched quantity has not been
below `limits`; `count`: the epochs before it was."""


def block_source(rule: Rule, function: Objective, axes: tuple[tuple[str, str], ...], watch: str | None) -> str:
    """Source of the kernel; `axes` are (setting, the axes "x", "y" or "xy" along which it varies).

    The buffer of a result is reused after its last reader, so that the working set stays in the cache.
    """
    program = trace(rule, function, [name for name, _ in axes])
    axes = tuple((variable(name), along) for name, along in axes)
    plan = KernelPlan(program, dict(axes), watched_symbol(program, function, watch))
    body: list[str] = []
    full = plan.full
    last_use = {arg: i for i, operation in enumerate(plan.body) for arg in operation.args if isinstance(arg, str)}
    place = {name: name for name in plan.moving}
    pools: dict[bool, list[str]] = {False: [], True: []}  # free buffers of numbers, of booleans
    created: dict[bool, list[str]] = {False: [], True: []}

    def take(boolean: bool) -> str:
        if not pools[boolean]:
            created[boolean].append(f"{'c' if boolean else 'b'}{len(created[boolean]) + 1}")
            pools[boolean].append(created[boolean][-1])
        return pools[boolean].pop()

    for i, operation in enumerate(plan.body):
        dying = {arg for arg in operation.args if last_use.get(arg) == i and arg in place and arg not in plan.ends}
        args = [place.get(arg, written(arg)) for arg in operation.args]
        if operation.op == "watch":
            body += [f"np.less({args[0]}, limits, reached)", "np.greater(pending, reached, pending)"]
            body += ["np.add(count, pending, count)"]
        elif operation.name not in full:
            body.append(line(operation, OPERATORS if plan.axes[operation.name] else SCALARS))
        elif operation.op == "where":  # writes its target before it has read all arguments
            target = take(False)
            body += [f"np.copyto({target}, {args[2]})", f"np.copyto({target}, {args[1]}, where={args[0]})"]
        boolean = operation.op in BOOLEAN
        for arg in dying:
            pools[place[arg] in created[True]].append(place.pop(arg))
        if operation.name in full and operation.op not in ("watch", "where"):
            target = take(boolean)
            if operation.op == "copy":
                body.append(f"np.copyto({target}, {args[0]})")
            else:
                body.append(f"np.{operation.op}({', '.join(args)}, out={target})")
        if operation.name in full and operation.op != "watch":
            place[operation.name] = target
    after = []
    for end in plan.ends_of_full:
        if isinstance(end, str) and end in place and place[end] not in after:
            after.append(place[end])
        else:
            after.append(take(False))
            body.append(f"np.copyto({after[-1]}, {place.get(end, written(end))})")
    buffers = [*plan.moving, *created[False]]
    after += [buffer for buffer in buffers if buffer not in after]
    settings = "".join(f"{name}, " for name, _ in axes)
    lines = [f"def run(steps, limits, settings, {', '.join(program.points)}):"]
    lines += [f"    {settings}= settings"] if axes else []
    lines += [f"    {line(operation, OPERATORS)}" for operation in (*plan.start, *plan.fixed)]
    lines += [
        f"    {name} = np.empty_like(w1); np.copyto({name}, {written(start)})"
        if name in full
        else f"    {name} = {written(start)}"
        for name, start in zip(program.states, plan.first, strict=True)
    ]
    lines += [f"    {name} = np.empty_like(w1)" for name in ("scratch", *created[False])]
    lines += [f"    {name} = np.empty(w1.shape, bool)" for name in ("reached", *created[True])]
    lines += ["    pending = np.ones(w1.shape, bool); count = np.zeros(w1.shape, np.int32)"] if watch else []
    lines += ["    for step in range(steps):"]
    lines += [f"        if step % {FLUSH_EVERY} == {FLUSH_EVERY - 1}:"]
    lines += [f"            for array in ({listed(plan.moving)}):"]
    lines += [f"                np.less(np.absolute(array, scratch), {TINY!r}, reached)"]
    lines += ["                np.copyto(array, 0.0, where=reached)"]
    lines += [f"        {line}" for line in body]
    lines += [f"        {listed(buffers)} = {listed(after)}"]
    if plan.uniform:
        lines += [f"        {listed(plan.uniform)} = {listed(plan.ends_of_uniform)}"]
    counted = "pending, count" if watch else "None, None"
    return "\n".join([*lines, f"    return ({listed(program.points)}), {counted}", ""])


class KernelPlan:
    """The operations of a program sorted by how often they run: once, once per step, or once per step and cell."""

    def __init__(self, program: Program, axes: Mapping[str, str], watched: Node | None) -> None:
        self.start, self.first = operations(program.first, "first")
        roots = [*program.point_after, *program.state_after]
        body, ends = operations(roots if watched is None else [watched, *roots])
        watched_name = None if watched is None else ends.pop(0)
        after = dict(zip((*program.points, *program.states), ends, strict=True))
        self.ends = {end for end in ends if isinstance(end, str)}

        given = {name: frozenset(along) for name, along in axes.items()}
        known = given | dict.fromkeys(program.points, frozenset("xy"))
        for operation in self.start:
            known[operation.name] = frozenset().union(
                *(known[arg] for arg in operation.args if isinstance(arg, str))
            )
        known |= {
            name: known[start] if isinstance(start, str) else frozenset()
            for name, start in zip(program.states, self.first, strict=True)
        }
        self.axes = axes_of(program, body, [after[name] for name in program.states], known)
        varying = {*program.points, *program.states}
        self.fixed: list[Operation] = []
        self.body: list[Operation] = []
        for operation in body:
            exact = as_array_operation(operation) if self.axes[operation.name] else operation
            if varying.isdisjoint(exact.args):
                self.fixed.append(exact)
            else:
                varying.add(exact.name)
                self.body.append(exact)
            if exact.name == watched_name:
                self.body.append(Operation("watch", "watch", (exact.name,)))
        self.full = {name for name in varying if self.axes[name] == frozenset("xy")}
        self.moving = [name for name in after if name in self.full]
        self.uniform = [name for name in after if name not in self.full]
        self.ends_of_full = [after[name] for name in self.moving]
        self.ends_of_uniform = [after[name] for name in self.uniform]


def watched_symbol(program: Program, function: Objective, watch: str | None) -> Node | None:
    """The quantity that is compared with the limits at every step, see `run_grid`; |gradient|^2 for |gradient|."""
    if watch != "solved":
        return _square(program.gradient) if watch else None
    near: Any = is_near_minimum(function, Symbols([symbol(name) for name in program.points]))  # type: ignore[arg-type]
    return Node("where", (near.symbols.item(), program.value, number(inf)))


def _square(gradient: Sequence[Node]) -> Node:
    """|g|^2, added in the order of np.sum."""
    squares = [Node("multiply", (node, node)) for node in gradient]
    total = squares[0]
    for square in squares[1:]:
        total = total + square
    return total


def block_kernel(rule: Rule, function: Objective, axes: tuple[tuple[str, str], ...], watch: str | None) -> Kernel:
    """The compiled `block_source`; raises Untraceable."""
    kernel: Kernel = compiled(block_source(rule, function, axes, watch))["run"]
    return kernel


_OPERATIONS = {op: text for op, text in OPERATORS.items() if op != "power"} | {
    "where": "{} ? {} : {}",
    "sign": "{0} > 0 ? 1 : {0} < 0 ? -1 : {0} - {0}",
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
    "slope": "slope",
}


class Ground:
    """A function of `dimension` variables that is not known yet: its value is an input, and so is its gradient."""

    name = "ground"

    def __init__(self, dimension: int) -> None:
        self.start = (0.0,) * dimension

    def value(self, x: Symbols) -> Symbols:
        return Symbols(symbol("f"))

    def gradient(self, x: Symbols) -> Symbols:
        """g1, g2, ... at the point; elsewhere calls of `slope`."""
        places = tuple(x.symbols.ravel())
        if [place.value for place in places] == [f"w{i + 1}" for i in range(len(places))]:
            return Symbols([symbol(f"g{i + 1}") for i in range(len(places))])
        return Symbols([Node("slope", (number(i), *places)) for i in range(len(places))])

    def hessian(self, x: Symbols) -> Symbols:
        raise Untraceable("it needs the Hessian, which is computed with complex numbers")


def path_source(rule: Rule, dimension: int, settings: Sequence[str] = ()) -> str:
    """Source of `(steps, settings, point, rows, ground, slope) => count`, an expression: the rule on any function.

    `settings` are the values of the rule's fields of that name, in this order; the others are constants. Step k writes
    w1, ..., wd to `rows` (a Float64Array) from k*(2d + 1) on; `ground(step, rows, at)` adds f and the gradient there,
    and returns the gradient that the rule sees, or null where the path ends: behind its last finite point, as that of
    `descend`. `count` is the number of points. `slope(i, w1, ..., wd)` is component i of the gradient elsewhere.
    Raises Untraceable.
    """
    program = trace(rule, Ground(dimension), settings)  # type: ignore[arg-type]
    start, first = operations(program.first, "first")
    body, after = operations([*program.point_after, *program.state_after])
    moving, width = [*program.points, *program.states], 2 * dimension + 1
    read = {arg for operation in body for arg in operation.args} | set(after)
    text = _named(settings)
    lines = [f"const [{', '.join(map(text, settings))}] = settings;"] if settings else []
    lines += [f"let [{', '.join(program.points)}] = point;"]
    lines += [_line(operation, text) for operation in start]
    lines += [f"let {name} = {text(place)};" for name, place in zip(program.states, first, strict=True)]
    lines += ["for (let step = 0; ; step++) {", f"  const at = step * {width};"]
    lines += [f"  rows[at + {i}] = {name};" for i, name in enumerate(program.points)]
    lines += ["  const g = ground(step, rows, at);", "  if (!g) return step;"]
    lines += ["  if (step === steps) return steps + 1;"]
    lines += [f"  const f = rows[at + {dimension}];"] if "f" in read else []
    lines += [f"  const g{i + 1} = g[{i}];" for i in range(dimension) if f"g{i + 1}" in read]
    lines += [f"  {_line(operation, text)}" for operation in body]
    # An end that is another moving name has to be read before that name is assigned.
    kept = {name: f"next{i}" for i, name in enumerate(after) if name in moving}
    lines += [f"  const {new} = {old};" for old, new in kept.items()]
    lines += [f"  {n} = {kept.get(end, text(end))};" for n, end in zip(moving, after, strict=True) if n != end]
    return _function("steps, settings, point, rows, ground, slope", [*lines, "}"])


def switches(rule: Rule, settings: Sequence[str]) -> list[str]:
    """Those of the settings that are 0 by default and switch a part of the rule on where they are not.

    The rule does other operations without that part: at 0 such a setting is a constant of another `path_source`.
    """
    found = []
    for name in settings:
        if getattr(type(rule), name, None) == 0:
            off = replace(rule, **{name: 0.0})  # type: ignore[type-var]
            others = [other for other in settings if other != name]
            constant, moved = path_source(off, 1, others), path_source(off, 1, settings)
            if _steps(constant) != _steps(moved.replace(f"${name}", "0.0")):
                found.append(name)
    return found


def _steps(source: str) -> str:
    """What a path does after it has read its settings."""
    return source.partition("= point;")[2]


def value_source(function: Objective) -> str:
    """Source of `(w1, ..., wd) => f`. Raises Untraceable."""
    program = _traced(function)
    body, (value,) = operations([program.value])
    lines = [_line(operation, str) for operation in body]
    return _function(", ".join(program.points), [*lines, f"return {_text(value)};"])


def ground_source(function: Objective) -> str:
    """Source of `(w1, ..., wd, rows, at) => ...`, which writes f and the gradient from rows[at] on.

    Raises Untraceable.
    """
    program = _traced(function)
    body, ends = operations([program.value, *program.gradient])
    lines = [_line(operation, str) for operation in body]
    lines += [f"rows[at + {i}] = {_text(end)};" for i, end in enumerate(ends)]
    return _function(", ".join([*program.points, "rows", "at"]), lines)


def _traced(function: Objective) -> Program:
    from optilab.optimize.handwritten.momentum import SGD

    return trace(SGD(), function)


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
    if exact.op == "slope":
        args[0] = str(int(exact.args[0]))
    if exact.op in _FUNCTIONS:
        return f"const {exact.name} = {_FUNCTIONS[exact.op]}({', '.join(args)});"
    raise Untraceable(f"{exact.op} has no counterpart in JavaScript")
