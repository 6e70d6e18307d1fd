"""Many paths at once: every cell of a grid has its own start or its own settings.

Only the ends are kept. The grid is cut into blocks that fit the cache.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from optilab.errors import UsageError
from optilab.optimize.formula import Node, symbol
from optilab.optimize.objective import Floats, Objective, is_near_minimum
from optilab.optimize.own import UserRule
from optilab.optimize.path import DIVERGENCE_FACTOR
from optilab.optimize.program import block_source, executed, written_out
from optilab.optimize.rule import Rule, quantities_for, reject_matrix_rule, settings_in_formula, with_settings

BLOCK = 16_384  # cells: 128 KiB an array, a handful of arrays in the L2 cache
OWN_BLOCK = 64  # cells, where a user's code runs in each of them by itself
WORTH_A_PROCESS = 0.08  # seconds of work, a few times what starting processes takes
CHECKED_STEPS = 200

Watch = Literal["gradient", "solved"]
Part = tuple[slice, slice]
Kernel = Callable[..., Any]
"""run(steps, limits, near, settings, *points) -> points, pending, count; see `block_source`."""


@dataclass(frozen=True)
class GridResult:
    """Where the paths of a grid ended; `first_below` is -1 where the watched quantity never was below its limit.

    points (rows, columns, d), values, gradient_norms and first_below (rows, columns).
    """

    points: Floats
    values: Floats
    gradient_norms: Floats
    first_below: NDArray[np.int32] | None

    def diverged(self, function: Objective, starts: Floats, tolerance: float = 1e-3) -> NDArray[np.bool_]:
        """Where a path is no longer finite, or much higher above the minimum than it started."""
        before = function.value(starts)
        lowest = float(function.value(np.array(function.minima[0]))) if function.minima else -np.inf
        with np.errstate(all="ignore"):
            risen = self.values - lowest > DIVERGENCE_FACTOR * np.maximum(before - lowest, tolerance)
        return np.asarray(risen | ~np.isfinite(self.values) | ~np.isfinite(self.points).all(axis=-1))


@dataclass(frozen=True)
class Grid:
    """A rule on a function from every start and with every setting of a grid.

    `starts` (rows or 1, columns or 1, d) and each of `settings` (rows or 1, columns or 1), a field of the rule or, as
    `base.lr`, of the rule that it wraps, are broadcast against each other. With `watch`, the first epoch at which a
    quantity is below `limits` is recorded, too: |gradient|, or ("solved") the value, as far as the point is near a
    known minimum in the box.
    """

    rule: Rule
    function: Objective
    starts: Floats
    steps: int
    settings: Mapping[str, Floats]
    watch: Watch | None
    limits: Floats

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns)."""
        return np.broadcast_shapes(self.starts.shape[:-1], *(array.shape for array in self.settings.values()))

    def written_out(self) -> Kernel | None:
        """The rule's formula over coordinates; None where it or the function has none."""
        nodes = self.function.nodes() if self.rule.text else None
        if nodes is None:
            return None
        rule = with_settings(self.rule, self.settings)  # an array is not 0: it turns no part of a formula off
        program = rule.program
        symbols = {name: symbol(f"_{name}") for name in program.settings}
        step = written_out(program, nodes, symbols)
        if step is None:
            return None
        names = [str(node.value) for node in symbols.values()]
        watched = step.value if self.watch == "solved" else _square(step.gradient) if self.watch else None
        run = executed(block_source(step, names, watched))["run"]
        given = {
            name: np.float64(value) for name, value in settings_in_formula(self.rule).items() if name in symbols
        }
        keys = [key.rpartition(".")[2] for key in self.settings]

        def kernel(steps: int, limits: Floats, near: Any, settings: Sequence[Floats], *points: Floats) -> Any:
            chosen = given | dict(zip(keys, settings, strict=True))
            return run(steps, limits, near, [chosen[name] for name in program.settings], *points)

        return kernel

    def on_arrays(self, rule: Rule) -> Kernel:
        """The rule on whole arrays (rows, columns, d)."""

        def run(steps: int, limits: Floats, near: Any, settings: Sequence[Floats], *points: Floats) -> Any:
            chosen = with_settings(rule, {n: a[..., None] for n, a in zip(self.settings, settings, strict=True)})
            w = np.stack(points, axis=-1)
            pending, count = np.ones(w.shape[:-1], bool), np.zeros(w.shape[:-1], np.int32)
            try:
                state = chosen.init(w)
                for t in range(1, steps + 1):
                    gradient = self.function.gradient(w)
                    if self.watch:
                        pending &= ~self.reached(
                            w, self.function.value(w), np.sum(gradient * gradient, axis=-1), limits
                        )
                        count += pending
                    w, state = chosen.step(w, gradient, t, state, **quantities_for(rule, self.function, w))
            except (TypeError, ValueError) as error:
                raise UsageError(f"{rule.name} cannot fill this map: {error}") from error
            return [w[..., i] for i in range(w.shape[-1])], pending, count

        return run

    def reached(self, w: Floats, values: Floats, squares: Floats, limits: Floats) -> Any:
        """Whether the watched quantity is below its limit, as (rows, columns)."""
        if self.watch == "gradient":
            return squares < limits
        return (values < limits) & is_near_minimum(self.function, w)

    @property
    def near(self) -> Callable[..., Any] | None:
        """Whether points are near a minimum, as a function of their coordinates, where that is a condition."""
        if self.watch != "solved":
            return None
        return lambda *points: is_near_minimum(self.function, np.stack(points, axis=-1))

    def cut(self, array: Floats, part: Part) -> Floats:
        """The part of an array (rows or 1, columns or 1, ...)."""
        rows, columns = part
        return array[rows if array.shape[0] > 1 else slice(None), columns if array.shape[1] > 1 else slice(None)]

    def kernel(self) -> tuple[Kernel, int]:
        """What runs a block, and the number of its cells."""
        if not isinstance(self.rule, UserRule):
            return self.written_out() or self.on_arrays(self.rule), BLOCK
        whole, single = self.on_arrays(self.rule.on_blocks()), self.on_arrays(self.rule)
        return (whole, BLOCK) if self._agree(whole, single) else (single, OWN_BLOCK)

    def _agree(self, whole: Kernel, single: Kernel) -> bool:
        """Whether a user's code takes the same steps on a block as on each point by itself, in a few cells.

        Code that looks at the whole vector, or keeps a memory of its own, does not.
        """
        rows, columns = (np.unique([0, size // 2, size - 1]) for size in self.shape)
        cells, few = np.ix_(rows, columns), min(self.steps, CHECKED_STEPS)
        points = [np.broadcast_to(self.starts[..., i], self.shape)[cells] for i in range(self.starts.shape[-1])]
        chosen = [np.broadcast_to(array, self.shape)[cells] for array in self.settings.values()]
        limits = np.zeros((1, 1))
        with np.errstate(all="ignore"):
            expected = single(few, limits, None, chosen, *points)[0]
            try:
                found = whole(few, limits, None, chosen, *points)[0]
            except UsageError:
                return False
            return bool(np.allclose(np.stack(found), np.stack(expected), rtol=1e-9, atol=1e-12, equal_nan=True))

    def ends(self, part: Part, run: Kernel) -> GridResult:
        """Where the paths of a part ended."""
        rows, columns = part
        size = (rows.stop - rows.start, columns.stop - columns.start)
        points = [
            np.array(np.broadcast_to(self.cut(self.starts[..., i], part), size))
            for i in range(self.starts.shape[-1])
        ]
        limits = self.cut(self.limits, part)
        chosen = [self.cut(array, part) for array in self.settings.values()]
        with np.errstate(all="ignore"):
            moved, pending, count = run(self.steps, limits, self.near, chosen, *points)
            w = np.stack(moved, axis=-1)
            values, gradients = self.function.value(w), self.function.gradient(w)
            squares = np.sum(gradients * gradients, axis=-1)
            first = None
            if self.watch:
                pending = pending & ~self.reached(w, values, squares, limits)
                first = np.where(pending, -1, count).astype(np.int32)
            return GridResult(w, values, np.sqrt(squares), first)


def run_grid(
    rule: Rule,
    function: Objective,
    starts: Floats,
    steps: int,
    settings: Mapping[str, Floats] | None = None,
    watch: Watch | None = None,
    limits: Floats | float = 0.0,
    workers: int | None = None,
) -> GridResult:
    """Follow `rule` for `steps` updates in every cell of a `Grid`; the numbers are those of `descend` in that cell.

    `workers`: processes; by default one per core where the rest of the work takes longer than to start them.
    """
    reject_matrix_rule(rule)
    if "function" in rule.needs:  # SciPy's line search takes an array of starts for one long point
        raise UsageError(f"{rule.name} follows one path at a time, so it cannot fill a map or run in a race")
    shaped = {name: np.atleast_2d(np.asarray(array, float)) for name, array in (settings or {}).items()}
    below = np.atleast_2d(np.square(limits) if watch == "gradient" else np.asarray(limits, float))
    grid = Grid(rule, function, np.asarray(starts, float), steps, shaped, watch, below)
    run, block = grid.kernel()
    rows, columns = grid.shape
    parts = list(_blocks(rows, columns, block))
    began = perf_counter()
    found = [grid.ends(parts[0], run)]
    if workers is None:
        left = (perf_counter() - began) * (len(parts) - 1)
        workers = (os.cpu_count() or 1) if left > WORTH_A_PROCESS else 1
    if workers > 1 and parts[1:]:
        with ProcessPoolExecutor(workers, get_context("fork"), _inherited.extend, ([grid, run],)) as pool:
            found += pool.map(_ends, parts[1:])
    else:
        found += [grid.ends(part, run) for part in parts[1:]]
    points, first = np.empty((rows, columns, grid.starts.shape[-1])), np.empty((rows, columns), np.int32)
    values, norms = np.empty((rows, columns)), np.empty((rows, columns))
    for part, one in zip(parts, found, strict=True):
        points[part], values[part], norms[part] = one.points, one.values, one.gradient_norms
        if one.first_below is not None:
            first[part] = one.first_below
    return GridResult(points, values, norms, first if watch else None)


_inherited: list[Any] = []
"""The grid and its kernel, in a process that was forked: neither formulas nor a user's code can be sent."""


def _ends(part: Part) -> GridResult:
    grid, run = _inherited
    result: GridResult = grid.ends(part, run)
    return result


def _square(gradient: Sequence[Node]) -> Node:
    """|g|^2, added in the order of np.sum."""
    total = gradient[0] * gradient[0]
    for node in gradient[1:]:
        total = Node("add", (total, node * node))
    return total


def _blocks(rows: int, columns: int, block: int) -> Iterator[Part]:
    width = min(columns, block)
    height = max(1, block // width)
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            yield slice(top, min(top + height, rows)), slice(left, min(left + width, columns))
