"""Many paths at once: every cell of a grid has its own start or its own settings.

Only the ends are kept. The grid is cut into blocks that fit the cache.
"""

import operator
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from itertools import count, islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from optilab.errors import UsageError
from optilab.optimize.arrays import in_float64
from optilab.optimize.formula import ZERO, Node, symbol
from optilab.optimize.objective import Floats, Objective, is_near_minimum
from optilab.optimize.own import UserRule
from optilab.optimize.path import DIVERGENCE_FACTOR
from optilab.optimize.program import coordinates, written_out
from optilab.optimize.rule import Rule, quantities_for, reject_matrix_rule, settings_in_formula, with_settings

BLOCK = 32_768  # cells: 256 KiB an array, a handful of arrays in the L2 cache
OWN_BLOCK = 64  # cells, where a user's code runs in each of them by itself
CHECKED_STEPS = 200

Watch = Literal["gradient", "solved"]
Part = tuple[slice, slice]
Kernel = Callable[[Floats, Mapping[str, Floats]], Iterator[Sequence[Floats]]]
"""From starts (rows, columns, d) and settings: the watched quantity before each step, and the coordinates after it."""


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
        program, fixed = rule.program, settings_in_formula(self.rule)
        symbols = {name: symbol(f"_{name}") for name in program.settings}
        expansion = written_out(program, nodes, symbols)
        if expansion is None:
            return None
        watched = {"solved": expansion.value, "gradient": _square(expansion.gradient), None: ZERO}[self.watch]
        outputs = [watched, *expansion.after[: self.starts.shape[-1]]]
        steps = expansion.steps(outputs, [str(node.value) for node in symbols.values()], on_arrays=True)

        def kernel(starts: Floats, settings: Mapping[str, Floats]) -> Iterator[Sequence[Floats]]:
            chosen = fixed | {key.rpartition(".")[2]: array for key, array in settings.items()}
            state = with_settings(rule, _by_cell(settings)).init(starts)
            moving = [
                np.array(one) if np.ndim(one) else np.float64(one) for one in coordinates(program, starts, state)
            ]
            return steps([in_float64(chosen[name]) for name in symbols], *moving)

        return kernel

    def on_arrays(self, rule: Rule) -> Kernel:
        """The rule on whole arrays (rows, columns, d)."""

        def kernel(w: Floats, settings: Mapping[str, Floats]) -> Iterator[Sequence[Floats]]:
            chosen = with_settings(rule, _by_cell(settings))
            state = chosen.init(w)
            for t in count(1):
                gradient = self.function.gradient(w)
                square = np.sum(gradient * gradient, axis=-1)
                watched = self.function.value(w) if self.watch == "solved" else square
                w, state = chosen.step(w, gradient, t, state, **quantities_for(rule, self.function, w))
                yield watched, *np.moveaxis(w, -1, 0)

        return kernel

    def follow(
        self, kernel: Kernel, starts: Floats, settings: Mapping[str, Floats], steps: int, limits: Floats
    ) -> tuple[Floats, Any, Any]:
        """The points after `steps`, whether the watched quantity was never below its limit, and the steps before it
        was."""
        never, before = np.ones(starts.shape[:-1], bool), np.zeros(starts.shape[:-1], np.int32)
        points: Sequence[Floats] = [*np.moveaxis(starts, -1, 0)]
        try:
            for quantity, *after in islice(kernel(starts, settings), steps):
                if self.watch:
                    np.greater(never, self.reached(points, quantity, limits), never)
                    before += never
                points = after
        except (TypeError, ValueError) as error:
            raise UsageError(f"{self.rule.name} cannot fill this map: {error}") from error
        return np.stack(points, axis=-1), never, before

    def reached(self, points: Sequence[Floats], quantity: Floats, limits: Floats) -> Any:
        """Whether the watched quantity is below its limit at points by coordinate, and near a minimum if need be."""
        below = quantity < limits
        if self.watch == "solved" and below.any():
            below &= is_near_minimum(self.function, points)
        return below

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
        starts = np.broadcast_to(self.starts, (*self.shape, self.starts.shape[-1]))[cells]
        settings = {name: np.broadcast_to(array, self.shape)[cells] for name, array in self.settings.items()}
        with np.errstate(all="ignore"):
            try:
                both = [
                    self.follow(kernel, starts, settings, few, np.zeros((1, 1)))[0] for kernel in (single, whole)
                ]
            except UsageError:
                return False
            return bool(np.allclose(both[1], both[0], rtol=1e-9, atol=1e-12, equal_nan=True))

    def ends(self, part: Part, kernel: Kernel) -> GridResult:
        """Where the paths of a part ended."""
        size = [one.stop - one.start for one in part]
        starts = np.array(np.broadcast_to(self.cut(self.starts, part), (*size, self.starts.shape[-1])))
        settings = {name: self.cut(array, part) for name, array in self.settings.items()}
        limits = self.cut(self.limits, part)
        with np.errstate(all="ignore"):
            w, never, before = self.follow(kernel, starts, settings, self.steps, limits)
            values, gradients = self.function.value(w), self.function.gradient(w)
            squares = np.sum(gradients * gradients, axis=-1)
            first = None
            if self.watch:
                quantity = values if self.watch == "solved" else squares
                never &= ~self.reached([*np.moveaxis(w, -1, 0)], quantity, limits)
                first = np.where(never, -1, before).astype(np.int32)
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

    `workers`: threads that share the blocks of a formula, by default one per core. A user's code runs in one.
    """
    reject_matrix_rule(rule)
    if "function" in rule.needs:  # SciPy's line search takes an array of starts for one long point
        raise UsageError(f"{rule.name} follows one path at a time, so it cannot fill a map or run in a race")
    shaped = {name: np.atleast_2d(np.asarray(array, float)) for name, array in (settings or {}).items()}
    below = np.atleast_2d(np.square(limits) if watch == "gradient" else np.asarray(limits, float))
    grid = Grid(rule, function, np.asarray(starts, float), steps, shaped, watch, below)
    kernel, block = grid.kernel()
    rows, columns = grid.shape
    parts = list(_blocks(rows, columns, block))
    workers = 1 if isinstance(rule, UserRule) else min(workers or os.cpu_count() or 1, len(parts))
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(lambda part: grid.ends(part, kernel), parts))
    else:
        found = [grid.ends(part, kernel) for part in parts]
    points, first = np.empty((rows, columns, grid.starts.shape[-1])), np.empty((rows, columns), np.int32)
    values, norms = np.empty((rows, columns)), np.empty((rows, columns))
    for part, one in zip(parts, found, strict=True):
        points[part], values[part], norms[part] = one.points, one.values, one.gradient_norms
        if one.first_below is not None:
            first[part] = one.first_below
    return GridResult(points, values, norms, first if watch else None)


def _by_cell(settings: Mapping[str, Floats]) -> dict[str, Floats]:
    """Settings (rows, columns) for points (rows, columns, d)."""
    return {name: array[..., None] for name, array in settings.items()}


def _square(gradient: Sequence[Node]) -> Node:
    """|g|^2, added in the order of np.sum."""
    return reduce(operator.add, [node * node for node in gradient])


def _blocks(rows: int, columns: int, block: int) -> Iterator[Part]:
    width = min(columns, block)
    height = max(1, block // width)
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            yield slice(top, min(top + height, rows)), slice(left, min(left + width, columns))
