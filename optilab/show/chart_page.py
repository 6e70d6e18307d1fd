"""Panels of a chart as data for the scripts of a page, which draw them by uPlot, and as tables of their values."""

from collections.abc import Sequence
from typing import Any

from optilab.show.chart import Panel, Polyline

PLACES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""Columns of the tables."""


def curves(panel: Panel, series: Sequence[str]) -> dict[str, Any]:
    """The lines of a panel: the places on x, and the values of every series, empty for one without a line."""
    lines = [mark for mark in panel.marks if isinstance(mark, Polyline) and mark.series is not None]
    values = {line.series: [float(y) for y in line.y] for line in lines}
    low, high = panel.y.ends
    fraction = panel.y.unit == "fraction"
    if panel.y.margin and fraction:
        room = max(0.02 * (high - low), 0.01)
        low, high = low - room, high + room
    elif panel.y.margin and panel.y.log:
        low, high = low / 1.3, high * 1.3
    return {
        "title": panel.short or panel.title,
        "x_label": panel.x.label,
        "x": [float(x) for x in max((line.x for line in lines), key=len)],
        "values": [values.get(number, []) for number in range(len(series))],
        "share": fraction,
        "step": lines[0].step,
        "low": low,
        "high": high,
        "log": panel.y.log,
    }


def table(drawn: dict[str, Any], series: Sequence[str]) -> dict[str, Any]:
    """Headings and rows of some of the values of `curves`."""
    x, show = drawn["x"], "{:.1%}".format if drawn["share"] else "{:.4g}".format
    places = [k for k in PLACES if k < x[-1]] + [x[-1]]
    columns = [max(i for i, value in enumerate(x) if value <= place * (1 + 1e-9)) for place in places]
    rows = zip(series, drawn["values"], strict=True)
    return {
        "title": drawn["title"],
        "label": drawn["x_label"],
        "places": [f"{place:g}" for place in places],
        "rows": [(name, [show(values[column]) for column in columns]) for name, values in rows if values],
    }
