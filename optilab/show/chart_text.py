"""Charts as text: curves in braille dots on a terminal or as letters in a pipe, points, and maps in shades.

A series has a letter everywhere, and a color as well. Of a chart with one series, every role of its lines has one.
Contours, bands and details need a file or a page.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from string import ascii_lowercase
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from optilab.show.chart import Band, Chart, Contour, Heatmap, Panel, Points, Polyline, ReferenceLine, Scale

COLORS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#f0e442", "#0072b2", "#999999")
"""Okabe & Ito (2008)."""
RAMP = " .:-=+*#%@"
SYMBOLS = {"start": ("●", "S"), "minimum": ("✚", "M"), "best": ("✚", "+")}
"""Symbols of points, in braille and in ASCII."""
LINES, PLANE, MAX_WIDTH, GUTTER = 12, 18, 160, 9
"""Lines of a panel and of a plane, columns of a row of panels at most, and columns left of a frame."""
WIDTH_FOR_CHARTS, MAX_PANEL_WIDTH = 72, 100
"""Columns that two panels next to each other need, and of a panel at most."""
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # of a braille cell, from its top left


def paint(chart: Chart, width: int, braille: bool) -> Group:
    """The rows of a chart, panels next to each other where there is room, and what the letters mean."""
    keys, rows = _legend_entries(chart), list[Any]()
    width = min(width, MAX_WIDTH)
    for row in chart.rows:
        panels = [panel for panel in row.panels if not panel.detail]
        has_room_for_two = width >= WIDTH_FOR_CHARTS
        columns = width // (len(panels) if has_room_for_two and panels else 1) - GUTTER - 3
        painted = [_panel(panel.autoscaled(), keys, min(columns, MAX_PANEL_WIDTH), braille) for panel in panels]
        if has_room_for_two and len(painted) > 1:
            grid = Table.grid(padding=(0, 2, 0, 0))
            grid.add_row(*painted)
            painted = [grid]  # type: ignore[list-item]
        rows += painted
    names = [(f"{_letter(i)} {name}", _color(i)) for i, name in enumerate(keys) if name]
    legend = Text("   ").join(Text(text, color) for text, color in names)
    return Group(*rows, *([Text(" " * (GUTTER + 1)) + legend] if names else []))


def _legend_entries(chart: Chart) -> tuple[str, ...]:
    """The legend's entries, each with a letter: the series, or the roles of the lines of a single one."""
    lines = [mark for panel in chart.panels for mark in panel.marks if isinstance(mark, Polyline)]
    roles = tuple(dict.fromkeys(line.role for line in lines if line.role and not line.detail))
    return roles if len(chart.series) == 1 and len(roles) > 1 else chart.series or ("",)


def _letter(number: int) -> str:
    return ascii_lowercase[number % 26]


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


@dataclass
class _Canvas:
    """The dots of curves, each the number of its key, and single characters on top of them."""

    panel: Panel
    keys: Sequence[str]
    columns: int
    braille: bool
    dots: Any = field(init=False)
    lines: int = field(init=False)
    cells: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)
    below: str = ""
    """The legend of a map's shades."""

    def __post_init__(self) -> None:
        down, across = (4, 2) if self.braille else (1, 1)
        self.lines = min(LINES, 2 * len(self.panel.y.names)) or (PLANE if self.panel.has_map else LINES)
        self.dots = np.full((self.lines * down, self.columns * across), -1)

    def number(self, series: int | None, role: str = "") -> int:
        """The number of the key of a mark."""
        return self.keys.index(role) if role in self.keys else min(series or 0, len(self.keys) - 1)

    def place(self, x: Any, y: Any) -> tuple[Any, Any]:
        return self.panel.x.normalize(x).ravel(), self.panel.y.normalize(y).ravel()

    def dot(self, x: Any, y: Any, number: int) -> None:
        """Points in [0, 1] x [0, 1], y upwards; others are not drawn."""
        inside = (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
        rows, columns = self.dots.shape
        self.dots[
            np.rint((1 - y[inside]) * (rows - 1)).astype(int), np.rint(x[inside] * (columns - 1)).astype(int)
        ] = number

    def sign(self, x: float, y: float, sign: str, style: str) -> None:
        """One character on top of everything."""
        if 0 <= x <= 1 and 0 <= y <= 1:
            self.cells[round((1 - y) * (self.lines - 1)), round(x * (self.columns - 1))] = sign, style

    def rows(self) -> Iterator[Text]:
        down, across = self.dots.shape[0] // self.lines, self.dots.shape[1] // self.columns
        blocks = self.dots.reshape(self.lines, down, self.columns, across).swapaxes(1, 2)
        top = blocks.max(axis=(2, 3))
        codes = (DOTS[:down, :across] * (blocks == top[..., None, None])).sum(axis=(2, 3))
        for row in range(self.lines):
            line = Text()
            for column, number in enumerate(top[row].tolist()):
                if (row, column) in self.cells:
                    line.append(*self.cells[row, column])
                elif number < 0:
                    line.append(" ")
                else:
                    line.append(
                        chr(0x2800 + codes[row, column]) if self.braille else _letter(number), _color(number)
                    )
            yield line


# --- a panel -----------------------------------------------------------------------------------------------


def _panel(panel: Panel, keys: Sequence[str], columns: int, braille: bool) -> Text:
    """The marks in a frame with a title and the values at its ends; below a map what its shades mean."""
    canvas = _Canvas(panel, keys, columns, braille)
    marks = [mark for mark in panel.marks if not getattr(mark, "detail", False)]
    for mark in marks:
        PAINTERS[type(mark)](mark, canvas)
    edge, corner, floor = "│└─" if braille else "|+-"
    heats = [mark.scale.label for mark in marks if isinstance(mark, Heatmap)]
    title = ", ".join(filter(None, (panel.title, *heats))) or panel.y.label * (not panel.has_map)
    title += ", log scale" * (panel.y.log and not heats)
    named = [
        mark for mark in marks if isinstance(mark, Points | ReferenceLine) and mark.name and _sign(mark, braille)
    ]
    title = "   ".join(filter(None, (title, *(f"{_sign(mark, braille)} {mark.name}" for mark in named))))
    labels = _row_labels(panel.y, canvas.lines)
    if panel.has_map and not panel.y.names:
        labels[canvas.lines // 2] = panel.y.label
    lines = [Text(f"{'':{GUTTER}} {title}")]
    for row, line in enumerate(canvas.rows()):
        lines.append(Text(f"{labels.get(row, '')[: GUTTER - 1]:>{GUTTER - 1}} {edge}", "bright_black") + line)
    low, high = (panel.x.names[0], panel.x.names[-1]) if panel.x.names else _ends(panel.x)
    between = f"{panel.x.label}{', log scale' * panel.x.log}".center(max(columns - len(low) - len(high), 1))
    lines.append(Text(f"{'':{GUTTER}}{corner}{floor * columns}", "bright_black"))
    lines.append(Text(f"{'':{GUTTER}} {low}{between}{high}", "bright_black"))
    return Text("\n").join([*lines, *([Text(f"{'':{GUTTER}} {canvas.below}")] if canvas.below else [])])


def _sign(mark: Points | ReferenceLine, braille: bool) -> str:
    """The symbol of a place, or the first letter of its name; a line across at a value of x has a capital."""
    if isinstance(mark, ReferenceLine):
        return "" if mark.x is None else mark.name[:1].upper()
    return SYMBOLS.get(mark.symbol, (mark.name[:1],) * 2)[not braille]


def _row_labels(scale: Scale, lines: int) -> dict[int, str]:
    """The labels left of the lines: names in the middle of their rows, or the limits and the name of an axis."""
    if count := len(scale.names):
        return {lines - 1 - int((row + 0.5) / count * lines): name for row, name in enumerate(scale.names)}
    low, high = _ends(scale)
    return {0: high, lines - 1: low}


def _ends(scale: Scale) -> tuple[str, str]:
    is_fraction = scale.unit == "fraction"
    low, high = (f"{end * (100 if is_fraction else 1):.3g}{'%' * is_fraction}" for end in scale.limits)
    return low, high


def _polyline(line: Polyline, canvas: _Canvas) -> None:
    """Dots along straight lines from point to point, with gaps where a value is not finite, and the letter."""
    if line.series is None or not len(line.x):
        return
    number = canvas.number(line.series, line.role)
    positions = np.unique(np.linspace(0, len(line.x) - 1, min(len(line.x), 8 * canvas.columns)).astype(int))
    x, y = canvas.place(np.asarray(line.x)[positions], np.asarray(line.y)[positions])
    rows, columns = canvas.dots.shape
    canvas.dot(x, y, number)
    for a, b, c, d in zip(x[:-1], x[1:], y[:-1], y[1:], strict=True):
        if np.isfinite([a, b, c, d]).all():
            way = np.linspace(0, 1, int(min(4000, max(abs(b - a) * columns, abs(d - c) * rows))) + 2)
            canvas.dot(a + way * (b - a), c + way * (d - c), number)
    at = int((len(x) - 1) * (number + 1) / (len(canvas.keys) + 1))
    if canvas.keys[number] and line.dash != "dashed":
        canvas.sign(x[at], y[at], _letter(number), f"bold {_color(number)}")


def _points(points: Points, canvas: _Canvas) -> None:
    """A symbol, or the first letter of the name of a place."""
    sign = _sign(points, canvas.braille)
    style = "bold" if points.series is None else f"bold {_color(canvas.number(points.series))}"
    for x, y in zip(*canvas.place(points.x, points.y), strict=True):
        if sign:
            canvas.sign(x, y, sign, style)


def _reference_line(line: ReferenceLine, canvas: _Canvas) -> None:
    """Dots at a value of y; at one of x the capital of its name at the top."""
    if line.y is not None:
        for x in np.arange(0, 1, 4 / canvas.columns):
            canvas.sign(x, float(canvas.panel.y.normalize(line.y)), ".", "bright_black")
    elif line.x is not None:
        canvas.sign(float(canvas.panel.x.normalize(line.x)), 1.0, _sign(line, canvas.braille), "bold")


def _heatmap(heatmap: Heatmap, canvas: _Canvas) -> None:
    """A shade for the cell in the middle of a character, or the letter of its kind."""
    rows, columns = (
        ((np.arange(n) + 0.5) / n * size).astype(int)
        for n, size in zip((canvas.lines, canvas.columns), heatmap.values.shape, strict=True)
    )
    values = np.asarray(heatmap.values, float)
    name, gap = next(iter(heatmap.gaps.items()), ("", np.zeros(values.shape, bool)))
    low, high = heatmap.limits
    scale = replace(heatmap.scale, low=low, high=high)
    for (row, column), at in np.ndenumerate(scale.normalize(values[np.ix_(rows, columns)])):
        value, is_gap = values[rows[row], columns[column]], gap[rows[row], columns[column]]
        if heatmap.categorical:
            cell = (".", "bright_black") if value < 0 else (_letter(int(value)), _color(int(value)))
        elif is_gap or not np.isfinite(value):
            cell = ("x", "red") if is_gap else ("?", "bright_black")
        else:
            cell = RAMP[int(min(1.0, max(0.0, at)) * 9)], ""
        canvas.cells[canvas.lines - 1 - row, column] = cell
    if not heatmap.categorical:
        low_text, high_text = _ends(scale)
        canvas.below = f"'{RAMP[0]}' {low_text}   '{RAMP[-1]}' {high_text}" + f"   x {name}" * bool(gap.any())


def _nothing(mark: Any, canvas: _Canvas) -> None:
    """Needs a file or a page."""


PAINTERS: dict[type, Callable[[Any, _Canvas], None]] = {
    Polyline: _polyline,
    Band: _nothing,
    Points: _points,
    ReferenceLine: _reference_line,
    Contour: _nothing,
    Heatmap: _heatmap,
}
