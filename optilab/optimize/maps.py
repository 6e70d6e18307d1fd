"""Many paths at once: every cell of a grid has a start or settings of its own, and a map summarizes the ends.

Only the ends are kept. The grid is cut into blocks of rows that fit the cache.
"""

import operator
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property, reduce
from itertools import count, islice, repeat
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from optilab.errors import UsageError
from optilab.optimize import theory
from optilab.optimize.arrays import in_float64
from optilab.optimize.expansion import moving_at_start, written_out
from optilab.optimize.formula import ZERO, Node, symbol
from optilab.optimize.objective import Floats, Objective, is_near_minimum
from optilab.optimize.path import has_risen, lowest
from optilab.optimize.rule import (
    Rule,
    quantities_for,
    reject_matrix_rule,
    setting_of_axis,
    settings_in_formula,
    settings_of,
    with_settings,
)
from optilab.optimize.user_rule import UserRule

BLOCK = 32_768  # cells: 256 KiB an array, a handful of arrays in the L2 cache
USER_BLOCK = 64  # cells, where a user's code runs in each of them by itself
CHECKED_STEPS, MAX_DIFFERENCE = 30, 1e-6
"""Steps in which a user's code is compared with what it declares; the largest difference, as rounding grows."""

Quantity = Literal["gradient", "solved"]
Kernel = Callable[[Floats, Mapping[str, Floats]], Iterator[Sequence[Floats]]]
"""From starts (rows, columns, d) and settings: the watched quantity before each step, and the coordinates after it."""


@dataclass(frozen=True)
class GridResult:
    """The ends of the paths of a grid; `first_below` is -1 where no watched quantity was below its limit.

    points (rows, columns, d), values, gradient_norms and first_below (rows, columns).
    """

    points: Floats
    values: Floats
    gradient_norms: Floats
    first_below: NDArray[np.int32]

    def diverged(
        self, function: Objective, starts: Floats, tolerance: float = 1e-3, unstable: Any = False
    ) -> NDArray[np.bool_]:
        """True for paths that are not finite any more, or have risen as `has_risen` says."""
        before = function.value(starts)
        with np.errstate(all="ignore"):
            risen = has_risen(function, before, self.values, tolerance, unstable)
        return np.asarray(risen | ~np.isfinite(self.values) | ~np.isfinite(self.points).all(axis=-1))


@dataclass(frozen=True)
class PathGrid:
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
    watch: Quantity | None
    limits: Floats

    @property
    def shape(self) -> tuple[int, ...]:
        """The numbers of rows and columns."""
        return np.broadcast_shapes(self.starts.shape[:-1], *(array.shape for array in self.settings.values()))

    def written_out(self) -> Kernel | None:
        """The rule's formula over coordinates; None where it or the function has none."""
        rule = with_settings(self.rule, self.settings)  # an array is not 0: it turns no part of a formula off
        fixed = settings_in_formula(self.rule)
        names = rule.program.settings if rule.text else ()
        symbols = {name: symbol(f"_{name}") for name in names}
        expansion = written_out(rule, self.function, symbols)
        if expansion is None:
            return None
        watched = {"solved": expansion.value, "gradient": _square(expansion.gradient), None: ZERO}[self.watch]
        outputs = [watched, *expansion.after[: self.starts.shape[-1]]]
        steps = expansion.steps(outputs, [str(node.value) for node in symbols.values()], on_arrays=True)

        def kernel(starts: Floats, settings: Mapping[str, Floats]) -> Iterator[Sequence[Floats]]:
            chosen = fixed | {key.rpartition(".")[2]: array for key, array in settings.items()}
            moving = moving_at_start(with_settings(rule, _by_cell(settings)), starts)
            numbers = [np.array(value) if np.ndim(value) else np.float64(value) for value in moving]
            return steps([in_float64(chosen[name]) for name in symbols], *numbers)

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
        """True where the watched quantity is below its limit; for "solved", the point must be near a minimum, too."""
        below = quantity < limits
        if self.watch == "solved" and below.any():
            below &= is_near_minimum(self.function, points)
        return below

    def kernel(self) -> tuple[Kernel, int]:
        """The function that runs a block, and the number of cells of a block. UsageError where a user's code takes
        other steps than it declares."""
        rule = self.rule
        if not isinstance(rule, UserRule):
            return self.written_out() or self.on_arrays(rule), BLOCK
        stated: Any = rule.stated
        if stated is not None and self.settings.keys() <= {field.name for field in fields(stated)}:
            grid, wrong = replace(self, rule=stated), "states a `formula` that takes other steps than the code"
            kernel = grid.written_out() or grid.on_arrays(stated)
        elif rule.pointwise:
            wrong = "declares `pointwise = True`, but does not treat each point of a block by itself"
            kernel = self.on_arrays(rule.on_blocks())
        else:
            return self.on_arrays(rule), USER_BLOCK
        with np.errstate(all="ignore"):
            self._require_equal(kernel, f"{rule.code.place} {wrong}")
        return kernel, BLOCK

    def _require_equal(self, kernel: Kernel, message: str) -> None:
        """UsageError unless some cells of the first block take the steps that a user's code takes in each alone."""
        shape = min(self.shape[0], max(1, BLOCK // self.shape[1])), self.shape[1]
        cells = np.ix_(*(np.unique(np.linspace(0, size - 1, 3, dtype=int)) for size in shape))
        starts, *arrays = (
            np.array(np.broadcast_to(array[: shape[0]], (*shape, *array.shape[2:])))
            for array in (self.starts, *self.settings.values())
        )

        def ends(kernel: Kernel, starts: Floats, arrays: Sequence[Floats]) -> Floats:
            settings, few = dict(zip(self.settings, arrays, strict=True)), min(self.steps, CHECKED_STEPS)
            points = self.follow(kernel, starts, settings, few, np.zeros((1, 1)))[0]
            return np.where(np.isfinite(points), points, np.nan)

        alone = ends(self.on_arrays(self.rule), starts[cells], [array[cells] for array in arrays])
        try:
            together = ends(kernel, starts, arrays)[cells]
        except UsageError as error:
            raise UsageError(f"{message}: {error}") from None
        if not np.allclose(together, alone, rtol=MAX_DIFFERENCE, atol=MAX_DIFFERENCE, equal_nan=True):
            raise UsageError(message)

    def ends(self, rows: slice, kernel: Kernel) -> GridResult:
        """The ends of the paths of some rows."""

        def cut(array: Floats) -> Floats:
            return array[rows] if len(array) > 1 else array

        settings, limits = {name: cut(array) for name, array in self.settings.items()}, cut(self.limits)
        shape = (rows.stop - rows.start, self.shape[1], self.starts.shape[-1])
        starts = np.array(np.broadcast_to(cut(self.starts), shape))
        with np.errstate(all="ignore"):
            w, never, before = self.follow(kernel, starts, settings, self.steps, limits)
            values, gradients = self.function.value(w), self.function.gradient(w)
            squares = np.sum(gradients * gradients, axis=-1)
            quantity = values if self.watch == "solved" else squares
            never &= ~self.reached([*np.moveaxis(w, -1, 0)], quantity, limits)
            return GridResult(w, values, np.sqrt(squares), np.where(never, -1, before).astype(np.int32))


def run_grid(
    rule: Rule,
    function: Objective,
    starts: Floats,
    steps: int,
    settings: Mapping[str, Floats] | None = None,
    watch: Quantity | None = None,
    limits: Floats | float = 0.0,
    workers: int | None = None,
) -> GridResult:
    """Follow `rule` for `steps` updates in every cell of a `PathGrid`; the numbers are those of `descend` in that cell,
    except that those of a formula that are smaller than `arrays.TINY` may be 0.

    `workers`: threads that share the blocks of a formula, by default one per core. A user's code runs in one.
    """
    reject_matrix_rule(rule)
    if "function" in rule.needs:  # SciPy's line search takes an array of starts for one long point
        raise UsageError(f"{rule.name} follows one path at a time, so it cannot fill a map or run in a race")
    shaped = {name: np.atleast_2d(np.asarray(array, float)) for name, array in (settings or {}).items()}
    below = np.atleast_2d(np.square(limits) if watch == "gradient" else np.asarray(limits, float))
    grid = PathGrid(rule, function, np.asarray(starts, float), steps, shaped, watch, below)
    kernel, block = grid.kernel()
    rows, columns = grid.shape
    height = max(1, block // columns)
    blocks = [slice(top, min(top + height, rows)) for top in range(0, rows, height)]
    workers = 1 if isinstance(rule, UserRule) else min(workers or os.cpu_count() or 1, len(blocks))
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            results = list(pool.map(grid.ends, blocks, repeat(kernel)))
    else:
        results = [grid.ends(block, kernel) for block in blocks]
    names = [field.name for field in fields(GridResult)]
    return GridResult(*(np.concatenate([getattr(result, name) for result in results]) for name in names))


def _by_cell(settings: Mapping[str, Floats]) -> dict[str, Floats]:
    """Settings (rows, columns) for points (rows, columns, d)."""
    return {name: array[..., None] for name, array in settings.items()}


def _square(gradient: Sequence[Node]) -> Node:
    """|g|^2, added in the order of np.sum."""
    return reduce(operator.add, [node * node for node in gradient])


# --- a map: one rule on one function over one axis or two -------------------------------------------------------------

BASIN = 0.05
"""A start belongs to the basin of a minimum from which its path ends nearer than this fraction of the box."""


@dataclass(frozen=True)
class MapResult:
    """The results of all cells; rows along y, columns along x; a single row where there is no y.

    `axes` are the keys and values of x, then of y: `algo.` and a setting of the rule, or a coordinate of the start, w1.
    """

    rule: Rule
    function: Objective
    axes: Mapping[str, Floats]
    steps: int
    tolerance: float
    starts: Floats
    ends: GridResult

    @cached_property
    def fields(self) -> list[str]:
        """The setting along each axis; empty for a coordinate."""
        return [setting_of_axis(key) for key in self.axes]

    @property
    def first_below(self) -> Any:
        """The epoch at which |gradient| first was below the tolerance, -1 for never."""
        return self.ends.first_below

    @cached_property
    def diverged(self) -> Any:
        rule = with_settings(self.rule, _by_cell(_settings_along(self.axes)))
        unstable = theory.is_unstable(rule, self.function)
        return self.ends.diverged(self.function, self.starts, self.tolerance, unstable)

    @property
    def settings(self) -> dict[str, Any]:
        """The rule's settings that are not an axis; of a rule that it wraps the name, and its settings as `base.lr`."""
        return {name: value for name, value in settings_of(self.rule).items() if name not in self.fields}

    @property
    def steps_to_tolerance(self) -> Floats:
        """The epoch at which |gradient| first was below the tolerance; NaN where it never was, or the path diverged."""
        return np.where(self.diverged | (self.first_below < 0), np.nan, self.first_below)

    @property
    def above(self) -> str:
        """The quantity whose logarithm is `height`."""
        return "f - f_min" if self.function.minima else "f - lowest f"

    @cached_property
    def height(self) -> Floats:
        """log10 of the final f above the minimum (where none is known: above the lowest end that did not diverge), not
        below 1e-16; NaN where it diverged."""
        floor = lowest(self.function)
        base = np.min(self.ends.values, where=~self.diverged, initial=np.inf) if floor is None else floor
        with np.errstate(all="ignore"):
            height = np.log10(np.maximum(self.ends.values - base, 1e-16))
        return np.where(self.diverged, np.nan, height)

    @property
    def of_starts(self) -> bool:
        """True for a map of basins: both axes are coordinates of the start, and the function has known minima."""
        return len(self.axes) == 2 and not any(self.fields) and bool(self.function.minima)

    @cached_property
    def basin(self) -> Any:
        """The number of the minimum that was reached, -1 for none."""
        minima = np.array(self.function.minima)
        if not minima.size:
            return np.full(self.diverged.shape, -1)
        low, high = np.array(self.function.box, dtype=float).T
        with np.errstate(all="ignore"):
            away = np.stack([np.linalg.norm(self.ends.points - m, axis=-1) for m in minima])
        nearest = np.argmin(np.where(np.isfinite(away), away, np.inf), axis=0)
        reached = away.min(axis=0) < BASIN * np.linalg.norm(high - low) / np.sqrt(len(low))
        return np.where(reached & ~self.diverged, nearest, -1)

    @cached_property
    def best(self) -> tuple[int, int] | None:
        """(row, column) of the lowest end that did not diverge."""
        return None if self.diverged.all() else divmod(int(np.nanargmin(self.height)), self.height.shape[1])

    @cached_property
    def limit(self) -> Floats | None:
        """The largest stable lr by theory, per cell of the other axis, or by itself; None where lr is not an axis."""
        eigenvalues = self._eigenvalues
        if eigenvalues is None or "lr" not in self.fields:
            return None
        others = [item for item in zip(self.fields, self.axes.values(), strict=True) if item[0] != "lr"]
        rule = with_settings(self.rule, {field: values[:, None] for field, values in others if field})
        step: Any = theory.linear_step(rule)
        cells = len(others[0][1]) if others else 1
        return np.broadcast_to(np.ravel(step.limit / eigenvalues[-1]), cells)

    def radius(self, x: Floats, y: Floats) -> Floats | None:
        """The spectral radius of the update matrix over the axes x (columns) and y (rows); below 1 the rule is stable.

        None without a theory, and where no axis is a setting.
        """
        eigenvalues = self._eigenvalues
        shaped = zip(self.fields, (x[:, None], y[:, None, None]), strict=True)
        settings = {field: values for field, values in shaped if field}
        if eigenvalues is None or not settings:
            return None
        rule = with_settings(self.rule, settings)
        step: Any = theory.linear_step(rule)
        matrices = step.matrices(rule.lr, eigenvalues)
        return np.broadcast_to(theory.spectral_radius(matrices).max(axis=-1), (len(y), len(x)))

    @property
    def _eigenvalues(self) -> Floats | None:
        """The eigenvalues of the Hessian; None without a theory for the rule and the function."""
        return None if theory.linear_step(self.rule) is None else theory.curvatures(self.function)

    @cached_property
    def optimum(self) -> tuple[float, ...] | None:
        """(x, y) that is best in the long run by theory, where the axes are the settings that it optimizes."""
        prediction = theory.predict(self.rule, self.function)
        if prediction is None or {*self.fields} != prediction.best.keys():
            return None
        return tuple(prediction.best[field] for field in self.fields)

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """The map in a few numbers."""
        best, points = self.best, [*self.axes.values()]
        row: dict[str, Any] = {
            "cells": int(self.diverged.size),
            "diverged": int(self.diverged.sum()),
            "converged": int(np.sum((self.first_below >= 0) & ~self.diverged)),
            "best": None,
            "theory": self.optimum and dict(zip(self.axes, self.optimum, strict=True)),
        }
        if best is not None:
            at = (float(values[i]) for values, i in zip(points, reversed(best), strict=False))  # column, row
            row["best"] = {**dict(zip(self.axes, at, strict=True)), "f": float(self.ends.values[best])}
        if self.of_starts:
            counts = {str(list(m)): int(np.sum(self.basin == i)) for i, m in enumerate(self.function.minima)}
            row["basins"] = {**counts, "none": int(np.sum(self.basin == -1))}
        return row


def fill_map(
    rule: Rule, function: Objective, axes: Mapping[str, Floats], start: Any, steps: int, tolerance: float
) -> MapResult:
    """The map over one or two `axes` (see `MapResult`) from a start, by default the function's."""
    shaped, settings = _shaped(axes), _settings_along(axes)
    point = function.start if start is None else start
    at = [shaped.get(f"w{i + 1}", np.full((1, 1), value)) for i, value in enumerate(point)]
    starts = np.stack(np.broadcast_arrays(*at), axis=-1)
    ends = run_grid(rule, function, starts, steps, settings, watch="gradient", limits=tolerance)
    return MapResult(rule, function, axes, steps, tolerance, starts, ends)


def _shaped(axes: Mapping[str, Floats]) -> dict[str, Floats]:
    """The values of x as columns (1, columns), and those of y as rows (rows, 1)."""
    return {key: values[None, :] if n == 0 else values[:, None] for n, (key, values) in enumerate(axes.items())}


def _settings_along(axes: Mapping[str, Floats]) -> dict[str, Floats]:
    """The axes that are settings of the rule, by their names there, in the shape of the grid."""
    return {setting_of_axis(key): values for key, values in _shaped(axes).items() if setting_of_axis(key)}
