"""A map as a chart: the final value, the epochs or the basin of every cell, with the theory drawn on top."""

from textwrap import wrap
from typing import Any

from optilab.show.chart import Chart, Contour, Heatmap, Mark, Panel, PanelRow, Points, Scale, TextSize
from optilab.study.maps import Map
from optilab.words import plural


def map_chart(found: Map, show: str = "value") -> Chart:
    """Final value (`value`) or epochs (`steps`) over the grid; basins where both axes are coordinates of the start."""
    x, y = (
        Scale(
            axis.key.removeprefix("algo."), axis.low, axis.high, axis.log,
            tex="" if axis.field else f"$w_{{{axis.key[1:]}}}$",
        )
        for axis in (found.x, found.y)
    )  # fmt: skip
    marks, short = _basins(found) if found.of_starts else _values(found, show)
    settings = ", ".join(f"{name} {_short(value)}" for name, value in found.settings.items())
    title = "\n".join(
        [f"{found.rule.name} on {found.function.name}, {plural(found.steps, 'epoch')}", *wrap(settings, 70)]
    )
    panel = Panel(tuple(marks), x, y, title, short)
    return Chart((PanelRow((panel,)),), width=7.4, height=5.2, columns=4, text=TextSize(20))


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(getattr(value, "name", value))


def _values(found: Map, show: str) -> tuple[list[Mark], str]:
    """The marks, and the title of text."""
    if show == "value":
        above = "f - f_{min}" if found.function.minima else r"f - \mathrm{lowest}\ f"
        values, short = found.height, f"log10 of {found.above}"
        scale = Scale(f"{short} after the last epoch", tex=rf"$\log_{{10}}({above})$ after the last epoch")
    else:
        values, short = found.steps_to_tolerance, f"epochs to |grad| < {found.tolerance:g}"
        scale = Scale(f"epochs to |gradient| < {found.tolerance:g}")
    exact = None
    if found.limit is not None:
        exact = (found.limit, found.y.points) if found.x.field == "lr" else (found.x.points, found.limit)
    marks: list[Mark] = [
        Heatmap(values, found.x.points, found.y.points, scale, gone=found.diverged),
        Contour(found.radius, level=1.0, exact=exact, label="limit of stability by theory"),
    ]
    if found.optimum is not None:
        x, y = found.optimum
        marks.append(Points([x], [y], "optimum", label="best in the long run by theory", detail=True))
    return marks, short


def _basins(found: Map) -> tuple[list[Mark], str]:
    marks: list[Mark] = [Heatmap(found.basin, found.x.points, found.y.points, kinds=True)]
    for number, (x, y) in enumerate(found.function.minima):
        marks.append(Points([x], [y], "minimum", number, label=f"({x:.3g}, {y:.3g})", detail=True))
    return marks, "the minimum that each start reaches; . is none"
