"""Paths as a chart: on the contours of their function, and their heights over the epochs."""

from collections.abc import Mapping, Sequence

import numpy as np

from optilab.errors import UsageError
from optilab.optimize import Status, Trajectory
from optilab.optimize.objective import Floats, Objective, label_of
from optilab.optimize.path import lowest
from optilab.show.chart import Chart, Contour, Mark, Panel, PanelRow, Points, Polyline, Scale

MAX_MARKED_POINTS = 60
"""Points of a path up to which each point has a marker."""


def paths_chart(function: Objective, named: Mapping[str, Trajectory], note: str = "") -> Chart:
    """The heights of the paths; next to them the contours, or the curve of a function of one variable, with all paths.

    `note` stands behind the title.
    """
    names = tuple(f"{n} (diverged)" if path.status is Status.DIVERGED else n for n, path in named.items())
    paths = list(named.values())
    flat = len(function.start) <= 2
    panels = (
        (_trajectory_panel(function, paths), _losses(function, paths)) if flat else (_losses(function, paths),)
    )
    return Chart(
        (PanelRow(panels, 4.4),),
        names,
        _title(function, 80 if flat else 40) + (f"; {note}" if note else ""),
    )


def require_plane(function: Objective) -> None:
    """UsageError for a function whose paths have no place in a moving picture."""
    if len(function.start) > 2:
        raise UsageError(
            f"--out needs a function of one or two variables; {label_of(function)} has {len(function.start)}"
        )


def _title(function: Objective, room: int) -> str:
    """The name, and the formula unless it is much longer than `room`."""
    formula = function.formula
    return function.name if len(formula) > 1.25 * room else f"{function.name}: f(w) = {formula}"


def _trajectory_panel(function: Objective, paths: list[Trajectory]) -> Panel:
    """Contours of a function of two variables, the curve of a function of one, under the paths."""
    plane = len(function.start) == 2
    (left, right), *rest = view(function, paths)
    x, marks = Scale("w1", left, right), list[Mark]()
    if plane:

        def height(x: Floats, y: Floats) -> Floats:
            return heights(function, np.stack(np.meshgrid(x, y), axis=-1))

        y = Scale("w2", *rest[0])
        marks.append(Contour(height))
    else:
        at = np.linspace(left, right, 481)
        with np.errstate(all="ignore"):
            values = function.value(at[:, None])
        finite = values[np.isfinite(values)]
        y = Scale("f", float(finite.min()), float(finite.max()), margin=0.05)
        marks.append(Polyline(at, values, width=1, alpha=0.6))
    for number, path in enumerate(paths):
        x_of, y_of = path.points[:, 0], path.points[:, 1] if plane else path.values
        marker = 3 if len(path.points) <= MAX_MARKED_POINTS else 0
        marks.append(Polyline(x_of, y_of, number, width=1.6, alpha=0.95, dash="series", marker=marker))
    start, *minima = (
        point if plane else (point[0], float(function.value(point)))
        for point in (paths[0].points[0], *map(np.array, function.minima))
    )
    marks.append(Points([start[0]], [start[1]], "start", name="start"))
    if minima:
        marks.append(Points([p[0] for p in minima], [p[1] for p in minima], "minimum", name="minimum"))
    return Panel(tuple(marks), x, y, detail=not plane)


def _losses(function: Objective, paths: list[Trajectory]) -> Panel:
    """f above its minimum, on a logarithmic scale, against the epoch."""
    curves, quantity = suboptimality(function, paths)
    low, high = span(curves, paths)
    epochs = max(map(len, curves)) - 1
    lines = tuple(
        Polyline(np.arange(len(curve)), curve, number, dash="series", marker=5)
        for number, curve in enumerate(curves)
    )
    x = Scale("epoch", 0, epochs, unit="whole")
    y = Scale(quantity, low, max(high, low * 10**1e-9), log=True, margin=0.05)
    return Panel(lines, x, y)


# --- the scales of the pictures --------------------------------------------------------------------------------


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


LIFT = 1e-3


def suboptimality(function: Objective, paths: Sequence[Trajectory]) -> tuple[list[Floats], str]:
    """f above its minimum along each path, and the name of that quantity, for a log scale.

    A gap of zero is NaN, since a log scale has no zero; where f_min is not zero, gaps end at its rounding error. Where
    no minimum is known, f above the lowest f reached, lifted by LIFT of the way there, so that a path that gets there
    neither plunges nor has a hole.
    """
    floor = lowest(function)
    if floor is None:
        reached = min(float(path.values.min()) for path in paths)
        if lift := LIFT * max(float(path.values[0]) - reached for path in paths):
            above = [path.values - reached + lift for path in paths]
            return [np.where(gap > 0, gap, np.nan) for gap in above], f"f - lowest f, + {LIFT:.1%}"
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
    not_diverged = [curve for curve, path in zip(curves, paths, strict=True) if path.status is not Status.DIVERGED]
    values_for_top = (
        np.concatenate(not_diverged) if not_diverged and np.isfinite(np.concatenate(not_diverged)).any() else seen
    )
    low, high = float(np.nanmin(seen)), float(np.nanmax(values_for_top))
    return min(low, high), min(high, 1e250)  # a margin fits above
