"""What a picture of a function needs: where to look, how high each point is above the minimum, in which band."""

from collections.abc import Sequence

import numpy as np

from optilab.optimize.functions import Floats, TestFunction
from optilab.optimize.trajectory import Status, Trajectory

BANDS_PER_DECADE = 2


def lowest(function: TestFunction) -> float | None:
    """The value at the minimum; None where the function has none."""
    return float(function.value(np.array(function.minima[0]))) if function.minima else None


def view(function: TestFunction, paths: Sequence[Trajectory]) -> tuple[tuple[float, float], tuple[float, float]]:
    """(left, right), (bottom, top) of the picture: the function's box, wider where a path starts outside it."""
    found = []
    for axis, (low, high) in enumerate(function.box[:2]):
        starts = [float(path.points[0, axis]) for path in paths]
        low, high = min(low, *starts), max(high, *starts)
        margin = 0.04 * (high - low)
        found.append((low - margin, high + margin))
    return found[0], found[1]


def heights(function: TestFunction, x: Floats) -> Floats:
    """f above its minimum at points (..., 2), or above the lowest of the points where there is no minimum."""
    with np.errstate(all="ignore"):
        values = function.value(x)
    floor = lowest(function)
    finite = values[np.isfinite(values)]
    return np.asarray(values - (float(finite.min()) if floor is None else floor))


def bands(function: TestFunction, x: Floats) -> Floats:
    """The number of the band of height each point lies in; bands are evenly spaced on a log scale."""
    above = heights(function, x)
    scale = float(np.nanmedian(np.where(np.isfinite(above), above, np.nan)))
    lift = 1e-3 * scale if scale > 0 else 1e-9
    with np.errstate(all="ignore"):
        return np.asarray(np.floor(np.log10(np.maximum(above, 0) + lift) * BANDS_PER_DECADE))


def gaps(function: TestFunction, paths: Sequence[Trajectory]) -> tuple[list[Floats], str]:
    """f above its minimum along each path, positive so that a log scale shows it, and what that is called.

    Where no minimum is known, the lowest f reached takes its place: there the gap is zero, and NaN stands for it, since
    a log scale would show a plunge that is none.
    """
    floor = lowest(function)
    if floor is None:
        reached = min(float(path.values.min()) for path in paths)
        above = [path.values - reached for path in paths]
        if any((gap > 0).any() for gap in above):
            return [np.where(gap > 0, gap, np.nan) for gap in above], "f - lowest f reached"
        floor = reached  # no path has moved
    scale = max(abs(float(paths[0].values[0]) - floor), 1e-300)
    return [np.maximum(path.values - floor, 1e-16 * scale) for path in paths], "f - f_min"


def span(curves: Sequence[Floats], paths: Sequence[Trajectory]) -> tuple[float, float]:
    """The lowest and highest gap that a picture shows: a path that diverged leaves it, unless there is no other."""
    seen = np.concatenate(curves)
    tame = [curve for curve, path in zip(curves, paths, strict=True) if path.status is not Status.DIVERGED]
    shown = np.concatenate(tame) if tame and np.isfinite(np.concatenate(tame)).any() else seen
    low, high = float(np.nanmin(seen)), float(np.nanmax(shown))
    return min(low, high), min(high, 1e250)  # a margin fits above
