"""A block of a map as machine code, by Numba."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from optilab.optimize.algorithms import Algorithm
from optilab.optimize.codegen.blocks import FLUSH_EVERY, TINY, Kernel, Plan
from optilab.optimize.codegen.emit import SCALARS, compiled, line, listed, text
from optilab.optimize.codegen.trace import Operation, record
from optilab.optimize.functions import Floats, TestFunction

LANES = 256  # cells whose numbers stay in the first cache


def compiled_source(
    rule: Algorithm, function: TestFunction, axes: tuple[tuple[str, str], ...], watch: str | None
) -> str:
    """Loops for Numba: a row, a run of columns that fits the first cache, the steps, the cells."""
    program = record(rule, function, [name for name, _ in axes])
    plan = Plan(program, dict(axes), watch)
    inner = {name for name, along in plan.axes.items() if "x" in along}
    arrays = [name for name in (*program.points, *program.states) if name in inner]
    scalars = [name for name in program.states if name not in inner]
    after = dict(zip(plan.moving, plan.ends_of_full, strict=True)) | dict(
        zip(plan.uniform, plan.ends_of_uniform, strict=True)
    )
    starts = dict(zip(program.states, plan.first, strict=True))
    names = [name for name, _ in axes]

    def lines(operations: Sequence[Operation], along_x: bool) -> list[str]:
        return [
            line(operation, SCALARS)
            for operation in operations
            if operation.op != "watch" and (operation.name in inner) is along_x
        ]

    watched = [operation.args[0] for operation in plan.body if operation.op == "watch"]
    cell = [f"{name} = {name}_[i]" for name in (*arrays, *(name for name in names if name in inner))]
    begin = [f"{name} = {name}_[i]" for name in (*program.points, *(name for name in names if name in inner))]
    begin += [
        *lines(plan.start, True),
        *(f"{name}_[i] = {text(starts[name])}" for name in arrays if name in starts),
    ]
    cell += [*lines(plan.fixed, True), *lines(plan.body, True)]
    cell += [f"pending_[i] &= not {place} < limits_[i]" for place in watched] + ["count_[i] += pending_[i]"] * len(
        watched
    )
    cell += [f"{name}_[i] = {text(after[name])}" for name in arrays]
    row = [f"{name} = all_{name}[row if all_{name}.shape[0] > 1 else 0, 0]" for name in names if name not in inner]
    row += lines(plan.start, False)
    part = [f"{name}_ = all_{name}[row, left:right]" for name in program.points]
    part += [
        f"{name}_ = all_{name}[0 if all_{name}.shape[0] == 1 else row, left:right]"
        for name in names
        if name in inner
    ]
    part += [f"{name}_ = all_{name}[row, left:right]" for name in ("limits", "pending", "count")] if watch else []
    part += [
        f"{name} = {text(starts[name])} * 1.0" for name in scalars
    ]  # Numba raises to a whole power by multiplying
    everything = [f"all_{name}" for name in (*names, *program.points)]
    source = [f"def cells(steps, all_limits, all_pending, all_count, {', '.join(everything)}):"]
    source += [f"    {name}_ = np.empty({LANES})" for name in arrays if name in starts]
    source += [f"    for row in range(all_{program.points[0]}.shape[0]):"]
    source += [f"        {line}" for line in (*row, *lines(plan.fixed, False))]
    source += [f"        for left in range(0, all_{program.points[0]}.shape[1], {LANES}):"]
    source += [f"            right = min(left + {LANES}, all_{program.points[0]}.shape[1])"]
    source += [f"            {line}" for line in part]
    source += ["            for i in range(right - left):"]
    source += [f"                {line}" for line in begin]
    source += ["            for step in range(steps):"]
    source += [f"                if step % {FLUSH_EVERY} == {FLUSH_EVERY - 1}:"]
    source += ["                    for i in range(right - left):"]
    source += [
        f"                        {name}_[i] = 0.0 if abs({name}_[i]) < {TINY!r} else {name}_[i]"
        for name in arrays
    ]
    source += [f"                {line}" for line in lines(plan.body, False)]
    source += ["                for i in range(right - left):"]
    source += [f"                    {line}" for line in cell]
    source += (
        [f"                {listed(scalars)} = {listed([after[name] for name in scalars])}"] if scalars else []
    )
    return "\n".join([*source, ""])


def compiled_block(
    rule: Algorithm, function: TestFunction, axes: tuple[tuple[str, str], ...], watch: str | None
) -> Kernel:
    """The kernel of `compiled_source`; ImportError without Numba."""
    cells = _machine_code(compiled_source(rule, function, axes, watch))

    def run(steps: int, limits: Floats, settings: Sequence[Floats], *points: Floats) -> Any:
        shape = points[0].shape
        pending, count = np.ones(shape, bool), np.zeros(shape, np.int32)
        limits = np.array(np.broadcast_to(limits, shape))
        cells(steps, limits, pending, count, *map(np.ascontiguousarray, settings), *points)
        return points, pending, count

    return run


@lru_cache(maxsize=64)
def _machine_code(source: str) -> Any:
    """Seconds the first time. `arcp`: a division by what all cells share becomes a product, once rounded more."""
    from numba import njit

    return njit(nogil=True, error_model="numpy", fastmath={"arcp"})(compiled(source)["cells"])
