"""What a picture of a function needs: where to look, how high each point is above the minimum, in which band."""

from collections.abc import Sequence

import numpy as np

from optilab.optimize.functions import Floats, TestFunction
from optilab.optimize.trajectory import Trajectory

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
    """f above its minimum along each path, positive so that a log scale shows it, and what that is called."""
    floor = lowest(function)
    reached = min(float(path.values.min()) for path in paths)
    base = reached if floor is None else floor
    scale = max(abs(float(paths[0].values[0]) - base), 1e-300)
    curves = [np.maximum(path.values - base, 1e-16 * scale) for path in paths]
    return curves, "f - f_min" if floor is not None else "f - lowest f reached"
