"""A map: one rule on one function over two axes: settings of the rule, or coordinates of the start."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optilab.config.axes import Axis
from optilab.errors import UsageError, unknown
from optilab.optimize import theory
from optilab.optimize.maps import GridResult, run_grid
from optilab.optimize.objective import Floats, Objective
from optilab.optimize.path import lowest
from optilab.optimize.rule import Rule, settings_of, with_settings

MAX_CELLS = 25_000_000
NEAR = 0.05
"""A start belongs to the basin of a minimum from which its path ends nearer than this fraction of the box."""


@dataclass(frozen=True)
class MapResult:
    """The results of all cells; rows along y, columns along x."""

    rule: Rule
    function: Objective
    x: Axis
    y: Axis
    steps: int
    tolerance: float
    starts: Floats
    ends: GridResult

    @property
    def first_below(self) -> Any:
        """The epoch at which |gradient| first was below the tolerance, -1 for never."""
        return self.ends.first_below

    @cached_property
    def diverged(self) -> Any:
        return self.ends.diverged(self.function, self.starts, self.tolerance)

    @property
    def settings(self) -> dict[str, Any]:
        """The rule's settings that are not an axis; of a rule that it wraps the name, and its settings as `base.lr`."""
        return {n: value for n, value in settings_of(self.rule).items() if n not in (self.x.field, self.y.field)}

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
        """log10 of the final f above the minimum (above the lowest end where none is known), not below 1e-16; NaN where
        it diverged."""
        floor = lowest(self.function)
        base = np.nanmin(self.ends.values) if floor is None else floor
        with np.errstate(all="ignore"):
            height = np.log10(np.maximum(self.ends.values - base, 1e-16))
        return np.where(self.diverged, np.nan, height)

    @property
    def of_starts(self) -> bool:
        """Whether both axes are coordinates of the start and there are minima to reach: a map of basins."""
        return self.x.field is None and self.y.field is None and bool(self.function.minima)

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
        reached = away.min(axis=0) < NEAR * np.linalg.norm(high - low) / np.sqrt(len(low))
        return np.where(reached & ~self.diverged, nearest, -1)

    @cached_property
    def best(self) -> tuple[int, int] | None:
        """(row, column) of the lowest end that did not diverge."""
        return None if self.diverged.all() else divmod(int(np.nanargmin(self.height)), self.x.count)

    @cached_property
    def limit(self) -> Floats | None:
        """Where lr is an axis: the largest stable lr by theory, per cell of the other axis."""
        eigenvalues = self._eigenvalues
        if eigenvalues is None or "lr" not in (self.x.field, self.y.field):
            return None
        other = self.y if self.x.field == "lr" else self.x
        rule = with_settings(self.rule, {other.field: other.points[:, None]} if other.field else {})
        return np.broadcast_to(np.ravel(theory.largest_lr(rule, eigenvalues)), other.count)

    def radius(self, x: Floats, y: Floats) -> Floats | None:
        """Over x (columns) and y (rows): the spectral radius of the update matrix, which is below 1 where it is stable.

        None without a theory, and where no axis is a setting.
        """
        eigenvalues = self._eigenvalues
        axes = ((self.x.field, x[:, None]), (self.y.field, y[:, None, None]))
        settings = {field: values for field, values in axes if field}
        if eigenvalues is None or not settings:
            return None
        matrices = theory.update_matrices(with_settings(self.rule, settings), eigenvalues)
        assert matrices is not None
        return np.broadcast_to(theory.spectral_radius(matrices).max(axis=-1), (len(y), len(x)))

    @property
    def _eigenvalues(self) -> Floats | None:
        """For the Hessian; None without a theory for the rule and the function."""
        eigenvalues = theory.curvatures(self.function)
        silent = eigenvalues is None or theory.update_matrices(self.rule, eigenvalues) is None
        return None if silent else eigenvalues

    @cached_property
    def optimum(self) -> tuple[float, float] | None:
        """(x, y) that is best in the long run by theory, where the axes are the settings that it optimizes."""
        prediction = theory.predict(self.rule, self.function)
        if prediction is None or {self.x.field, self.y.field} != prediction.best.keys():
            return None
        return prediction.best[self.x.field or ""], prediction.best[self.y.field or ""]


def chart(
    rule: Rule, function: Objective, x: Axis, y: Axis, start: Any, steps: int, tolerance: float
) -> MapResult:
    """Fill the map. UsageError for a key that the rule or the function does not have, or too many cells."""
    if x.count * y.count > MAX_CELLS:
        raise UsageError(f"expected at most {MAX_CELLS:,} cells, got {x.count:,} x {y.count:,} (--x, --y)")
    if x.key == y.key:
        key = x.key.removeprefix("algo.")
        raise UsageError(f"--x and --y are both {key}")
    shaped = {x.key: x.points[None, :], y.key: y.points[:, None]}
    settings = {axis.field: shaped[axis.key] for axis in (x, y) if axis.field}
    point = function.start if start is None else start
    coordinates = [shaped.get(f"w{i + 1}", np.full((1, 1), value)) for i, value in enumerate(point)]
    known = {f"w{i + 1}" for i in range(len(point))}
    for flag, axis in (("--x", x), ("--y", y)):
        if not axis.field and axis.key not in known:
            raise UsageError(unknown("variable", axis.key, sorted(known)), flag)
    starts = np.stack(np.broadcast_arrays(*coordinates), axis=-1)
    ends = run_grid(rule, function, starts, steps, settings, watch="gradient", limits=tolerance)
    return MapResult(rule, function, x, y, steps, tolerance, starts, ends)


def summary(found: MapResult) -> Mapping[str, Any]:
    """The map in a few numbers."""
    best = found.best
    row = {
        "cells": int(found.diverged.size),
        "diverged": int(found.diverged.sum()),
        "converged": int(np.sum((found.first_below >= 0) & ~found.diverged)),
        "best": None
        if best is None
        else {
            found.x.key: float(found.x.points[best[1]]),
            found.y.key: float(found.y.points[best[0]]),
            "f": float(found.ends.values[best]),
        },
        "theory": None
        if found.optimum is None
        else dict(zip((found.x.key, found.y.key), found.optimum, strict=True)),
    }
    if found.of_starts:
        counts = {str(list(m)): int(np.sum(found.basin == i)) for i, m in enumerate(found.function.minima)}
        row["basins"] = {**counts, "none": int(np.sum(found.basin == -1))}
    return row
