"""Code for one block of a map in NumPy, in place."""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from optilab.optimize.algorithms import Rule
from optilab.optimize.codegen.emit import (
    BOOLEAN,
    OPERATORS,
    SCALARS,
    as_array_operation,
    compiled,
    line,
    listed,
    text,
)
from optilab.optimize.codegen.trace import (
    Operation,
    Program,
    Symbol,
    Symbols,
    axes_of,
    operations,
    trace,
    variable,
)
from optilab.optimize.functions import Objective
from optilab.optimize.functions.test_function import is_near_minimum

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
        args = [place.get(arg, text(arg)) for arg in operation.args]
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
            body.append(f"np.copyto({after[-1]}, {place.get(end, text(end))})")
    buffers = [*plan.moving, *created[False]]
    after += [buffer for buffer in buffers if buffer not in after]
    settings = "".join(f"{name}, " for name, _ in axes)
    lines = [f"def run(steps, limits, settings, {', '.join(program.points)}):"]
    lines += [f"    {settings}= settings"] if axes else []
    lines += [f"    {line(operation, OPERATORS)}" for operation in (*plan.start, *plan.fixed)]
    lines += [
        f"    {name} = np.empty_like(w1); np.copyto({name}, {text(start)})"
        if name in full
        else f"    {name} = {text(start)}"
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

    def __init__(self, program: Program, axes: Mapping[str, str], watched: Symbol | None) -> None:
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


def watched_symbol(program: Program, function: Objective, watch: str | None) -> Symbol | None:
    """The quantity that is compared with the limits at every step, see `explore`; |gradient|^2 for |gradient|."""
    if watch != "solved":
        return _square(program.gradient) if watch else None
    near: Any = is_near_minimum(function, Symbols([Symbol("input", name) for name in program.points]))  # type: ignore[arg-type]
    return Symbol("where", near.symbols.item(), program.value, Symbol("number", inf))


def _square(gradient: Sequence[Symbol]) -> Symbol:
    """|g|^2, added in the order of np.sum."""
    squares = [Symbol("multiply", node, node) for node in gradient]
    total = squares[0]
    for square in squares[1:]:
        total = total + square
    return total


def block_kernel(rule: Rule, function: Objective, axes: tuple[tuple[str, str], ...], watch: str | None) -> Kernel:
    """The compiled `block_source`; raises Untraceable."""
    kernel: Kernel = compiled(block_source(rule, function, axes, watch))["run"]
    return kernel
