"""Panels of a chart as data for the scripts of a page, which draw them by uPlot, as tables of their values, and as the
picture that stands in for them where scripts are switched off.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

from optilab.show.chart import Chart, Panel, Points, Polyline, Scale
from optilab.words import percent

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
    x, show = drawn["x"], percent if drawn["share"] else "{:.4g}".format
    places = [k for k in PLACES if k < x[-1]] + [x[-1]]
    columns = [max(i for i, value in enumerate(x) if value <= place * (1 + 1e-9)) for place in places]
    rows = zip(series, drawn["values"], strict=True)
    return {
        "title": drawn["title"],
        "label": drawn["x_label"],
        "places": [f"{place:g}" for place in places],
        "rows": [(name, [show(values[column]) for column in columns]) for name, values in rows if values],
    }


# --- without scripts ---------------------------------------------------------------------------------------

WIDE, HIGH = 460, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 26, 34
MOST_POINTS = 300


def still(chart: Chart, most: int = 2) -> str:
    """The lines of the first panels as SVG in the colors of the page, with their ends on the axes; the names below."""
    parts = [_panel(panel, number) for number, panel in enumerate(chart.panels[:most])]
    names = "".join(
        f'<tspan fill="var(--c{number % 6})">\u25a0</tspan> {escape(name)}   '
        for number, name in enumerate(chart.series)
    )
    parts.append(f'<text x="0" y="{HIGH + 22}" font-size="12" fill="currentColor">{names}</text>')
    box = f'viewBox="0 0 {WIDE * min(most, len(chart.panels))} {HIGH + 30}"'
    return f'<svg role="img" aria-label="{escape(chart.title)}" {box}>{"".join(parts)}</svg>'


def _panel(panel: Panel, number: int) -> str:
    lines = [
        mark for mark in panel.marks if isinstance(mark, Polyline) and len(mark.x) and mark.series is not None
    ]
    panel, drawn = panel.with_ends(), []
    (first, last), (low, high) = panel.x.ends, panel.y.ends
    for line in lines:
        shown = range(0, len(line.x), max(1, len(line.x) // MOST_POINTS))
        placed = [_place(panel, line.x[i], line.y[i]) for i in shown]
        pens = ["L" if i and placed[i - 1] else "M" for i in range(len(placed))]
        runs = " ".join(f"{pen}{at[0]:.1f} {at[1]:.1f}" for pen, at in zip(pens, placed, strict=True) if at)
        stroke = f'stroke="var(--c{(line.series or 0) % 6})" stroke-width="{line.width:g}"'
        drawn.append(f'<path d="{runs}" fill="none" {stroke} stroke-opacity="{line.alpha:g}"/>')
    minima = [mark for mark in panel.marks if isinstance(mark, Points) and mark.symbol == "minimum"]
    stars = [_place(panel, mark.x[0], mark.y[0]) for mark in minima]
    drawn += [
        f'<text x="{at[0]:.1f}" y="{at[1] + 5:.1f}" text-anchor="middle">\u2605</text>' for at in stars if at
    ]
    floor, right = HIGH - BOTTOM, WIDE - RIGHT
    texts = [
        (LEFT, 16, "start", panel.title or panel.y.label), (LEFT - 6, TOP + 8, "end", _text(panel.y, high)),
        (LEFT - 6, floor, "end", _text(panel.y, low)), (LEFT, floor + 16, "middle", _text(panel.x, first)),
        (right, floor + 16, "end", _text(panel.x, last)), ((LEFT + right) // 2, floor + 30, "middle", panel.x.label),
    ]  # fmt: skip
    written = "".join(
        f'<text x="{a}" y="{b}" text-anchor="{anchor}">{escape(text)}</text>' for a, b, anchor, text in texts
    )
    axes = f'<path d="M{LEFT} {TOP}V{floor}H{right}" fill="none" stroke="currentColor"/>'
    inside = f'<svg x="0" y="0" width="{WIDE}" height="{HIGH}">{axes}{"".join(drawn)}</svg>'
    return f'<g transform="translate({number * WIDE} 0)" font-size="12" fill="currentColor">{inside}{written}</g>'


def _place(panel: Panel, a: float, b: float) -> tuple[float, float] | None:
    """Pixels of a point; None of one that is outside or has no place on a logarithmic scale."""
    x, y = float(panel.x.place(a)), float(panel.y.place(b))
    if not (-0.001 <= x <= 1.001 and -0.001 <= y <= 1.001):
        return None
    return LEFT + x * (WIDE - RIGHT - LEFT), HIGH - BOTTOM - y * (HIGH - BOTTOM - TOP)


def _text(scale: Scale, value: float) -> str:
    return f"{100 * value:.3g}%" if scale.unit == "fraction" else f"{value:.3g}"
