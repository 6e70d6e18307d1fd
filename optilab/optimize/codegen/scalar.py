"""One path in plain Python floats: no array, no call, a third of a microsecond a step."""

from collections.abc import Sequence

import numpy as np

from optilab.optimize.algorithms import Algorithm
from optilab.optimize.codegen.emit import SCALARS, array_power, compiled, line, listed, text
from optilab.optimize.codegen.trace import axes_of, operations, record
from optilab.optimize.functions import Floats, TestFunction


def path_source(rule: Algorithm, function: TestFunction) -> str:
    """Plain Python that follows `rule` on `function`: `run(steps, w1, ..., wd)` gives rows of w, f, gradient."""
    program = record(rule, function)
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
        exact = array_power(operation) if axes[operation.name] else operation
        templates = {k: v for k, v in SCALARS.items() if k != "power"} if axes[operation.name] else SCALARS
        lines.append(f"        {line(exact, templates, 'float({})')}")
    lines.append(f"        append(({listed([*program.points, *ends[: 1 + dimension]])}))")
    lines.append(f"        {listed(moving)} = {listed(after)}")
    return "\n".join([*lines, "    return rows", ""])


def follow(
    rule: Algorithm, function: TestFunction, start: Sequence[float], steps: int
) -> tuple[Floats, Floats, Floats] | None:
    """Points (T+1, d), values (T+1,) and gradients (T+1, d) of a path; None where plain floats cannot follow it.

    NotRecordable where the rule cannot be written down. A number that is not finite stays in the rows.
    """
    run = compiled(path_source(rule, function))["run"]
    try:
        with np.errstate(all="ignore"):
            rows = np.array(run(steps, *map(float, start))).reshape(steps + 1, -1)
    except (ArithmeticError, ValueError):  # x/0, sqrt(-1): NumPy has an answer, floats have not
        return None
    d = len(start)
    return rows[:, :d], rows[:, d], rows[:, d + 1 :]
