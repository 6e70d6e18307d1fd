"""Data for the pictures of a function: the view, heights above the minimum, bands, loss curves."""

from collections.abc import Sequence

import numpy as np

from optilab.optimize.functions import Floats, Objective
from optilab.optimize.trajectory import Status, Trajectory

BANDS_PER_DECADE = 2


def lowest(function: Objective) -> float | None:
    """The value at the minimum; None where the function has none."""
    return float(function.value(np.array(function.minima[0]))) if function.minima else None


def view(function: Objective, paths: Sequence[Trajectory]) -> list[tuple[float, float]]:
    """(left, right) and (bottom, top) of the picture: the function's box, wider where a path starts outside it."""
    sides = []
    for axis, (low, high) in enumerate(function.box[:2]):
        starts = [float(path.points[0, axis]) for path in paths]
        low, high = min(low, *starts), max(high, *starts)
        margin = 0.04 * (high - low)
        sides.append((low - margin, high + margin))
    return sides


def heights(function: Objective, x: Floats) -> Floats:
    """f above its minimum at points (..., 2), or above the lowest of the points where there is no minimum."""
    with np.errstate(all="ignore"):
        values = function.value(x)
    floor = lowest(function)
    finite = values[np.isfinite(values)]
    return np.asarray(values - (float(finite.min()) if floor is None else floor))


def bands(function: Objective, x: Floats) -> Floats:
    """The number of the band of height each point lies in; bands are evenly spaced on a log scale."""
    above = heights(function, x)
    scale = float(np.nanmedian(np.where(np.isfinite(above), above, np.nan)))
    lift = 1e-3 * scale if scale > 0 else 1e-9
    with np.errstate(all="ignore"):
        return np.asarray(np.floor(np.log10(np.maximum(above, 0) + lift) * BANDS_PER_DECADE))


def gaps(function: Objective, paths: Sequence[Trajectory]) -> tuple[list[Floats], str]:
    """f above its minimum along each path, and the name of that quantity, for a log scale.

    A gap of zero is NaN, since a log scale has no zero; where f_min is not zero, gaps end at its rounding error. Where
    no minimum is known, f above the lowest f reached.
    """
    floor = lowest(function)
    if floor is None:
        reached = min(float(path.values.min()) for path in paths)
        above = [path.values - reached for path in paths]
        if any((gap > 0).any() for gap in above):
            return [np.where(gap > 0, gap, np.nan) for gap in above], "f - lowest f reached"
        floor = reached  # no path has moved
    rounding = float(np.finfo(float).eps * abs(floor))
    above = [np.maximum(path.values - floor, rounding) for path in paths]
    above = [np.where(gap > 0, gap, np.nan) for gap in above]
    if not any(np.isfinite(gap).any() for gap in above):  # every path starts at the minimum and stays
        above = [np.full_like(gap, 1e-16) for gap in above]
    return above, "f - f_min"


def span(curves: Sequence[Floats], paths: Sequence[Trajectory]) -> tuple[float, float]:
    """The lowest and highest gap of a picture; the gaps of a diverged path count only if there is no other path."""
    seen = np.concatenate(curves)
    tame = [curve for curve, path in zip(curves, paths, strict=True) if path.status is not Status.DIVERGED]
    shown = np.concatenate(tame) if tame and np.isfinite(np.concatenate(tame)).any() else seen
    low, high = float(np.nanmin(seen)), float(np.nanmax(shown))
    return min(low, high), min(high, 1e250)  # a margin fits above
