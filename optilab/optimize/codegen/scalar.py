"""Code for one path in plain Python floats: no arrays, no calls, 0.3 to 1 microseconds per step."""

from collections.abc import Sequence

import numpy as np

from optilab.optimize.algorithms import Rule
from optilab.optimize.codegen.emit import SCALARS, as_array_operation, compiled, line, listed, text
from optilab.optimize.codegen.trace import axes_of, operations, trace
from optilab.optimize.functions import Floats, Objective


def scalar_source(rule: Rule, function: Objective) -> str:
    """Source of `run(steps, w1, ..., wd)`, which returns w, f and the gradient of every step in one flat list."""
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
    lines += [f"    {name} = {text(place)}" for name, place in zip(program.states, first, strict=True)]
    lines += ["    rows = []", "    append = rows.extend", "    for _ in range(steps + 1):"]
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
            rows = np.array(run(steps, *map(float, start))).reshape(steps + 1, -1)
    except (ArithmeticError, ValueError):  # x/0, sqrt(-1)
        return None
    d = len(start)
    return rows[:, :d], rows[:, d], rows[:, d + 1 :]
