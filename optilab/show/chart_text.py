"""Charts as text: braille dots in color on a terminal, or ASCII letters.

ASCII is for pipes, for LANG=C and for terminals without UTF-8. A series has a letter everywhere, and a color as well.
What is drawn is all that is no detail: of a chart with one series, every role of its lines is a series of its own.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray

from optilab.show.chart import Chart, Contour, Heatmap, Panel, Points, Polyline, Scale, TextSize, Threshold

Floats = NDArray[np.float64]
Segment = tuple[str, str]
"""Text and its style: words and colors such as `bold #e69f00`, or none."""
Line = list[Segment]

COLORS = ["#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#f0e442", "#0072b2", "#999999"]
"""Okabe & Ito (2008)."""
RAMP = " .:-=+*#%@"
HEAT = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"]
"""viridis."""
SYMBOLS = {
    "start": ("●", "S"),
    "minimum": ("✚", "M"),
    "best": ("✚", "+"),
    "edge": ("┃", "|"),
    "ledge": ("━", "-"),
}
"""In braille and in ASCII."""
BARS = " ▏▎▍▌▋▊▉█"
DECADES = 4.0
"""A bar is empty for a norm of 1e-4 of the largest one, and full for the largest."""
GUTTER = 9
"""Columns left of a panel's frame."""
GAP = 2
"""Columns between panels."""
BESIDE, LAYERS = 120, 44
"""Columns that curves and layers side by side need, and those of the layers there."""
SHOWN = 12
"""Layers that are shown; of more, the middle ones are left out."""
BANDS_PER_DECADE = 2
"""For the heights of a plane; their edges are its contours."""
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # of a braille cell, from its top left


@dataclass(frozen=True)
class Screen:
    """What a terminal or a pipe shows."""

    width: int
    braille: bool = False
    blocks: bool = False
    """Whether bars are of Unicode's blocks, which are safe in a pipe that is UTF-8."""
    color: bool = False
    folds: bool = False
    """Whether names that are too long for a row are folded, as on a terminal; a row of a pipe is one line."""

    def symbol(self, name: str) -> str:
        return SYMBOLS[name][not self.braille]


@dataclass(frozen=True)
class Letter:
    """A series as it is told apart in text."""

    series: int
    role: str
    letter: str
    name: str
    color: str


def paint(chart: Chart, screen: Screen) -> list[Line]:
    """The chart with its legends, as lines of styled text."""
    keys = _keys(chart)
    layered = [row.panels[0] for row in chart.rows if row.panels[0].is_layered]
    beside = layered if screen.width >= BESIDE and len(chart.series) == 1 else []
    lines: list[Line] = []
    for row in chart.rows:
        if panels := [panel for panel in row.panels if not panel.detail and not panel.is_layered]:
            first = row is chart.rows[0]
            lines += [] if first else [[]]
            lines += _row(panels, beside if first else [], chart.text, keys, screen)
            lines += _legend(panels, keys, screen, whole=first)
    if layered and not beside:
        lines += [[], *_layers(layered, keys, screen.width, screen)]
    return lines


def _row(
    panels: Sequence[Panel], layered: Sequence[Panel], size: TextSize, keys: Sequence[Letter], screen: Screen
) -> list[Line]:
    """Panels side by side, with the layers to the right, or one below the other where there is no room."""
    if len(panels) < 2 or screen.width < size.beside:
        columns = min(screen.width, size.widest) - GUTTER - 1
        return [line for panel in panels for line in _panel(panel, keys, columns, size.lines, screen)]
    room = min(screen.width, size.widest_row) - size.unused - (LAYERS + GAP if layered else 0)
    columns = (room - GAP) // 2 - GUTTER - 1
    blocks = [_panel(panel, keys, columns, size.lines, screen) for panel in panels]
    if layered:
        blocks.append(_layers(layered, keys, screen.width - 2 * (columns + GUTTER + 1 + GAP), screen))
    return _side_by_side(blocks)


# --- series ------------------------------------------------------------------------------------------------


def _lines(panel: Panel) -> list[Polyline]:
    """The lines of a panel that text shows."""
    found = [mark for mark in panel.marks if isinstance(mark, Polyline)]
    return [line for line in found if line.series is not None and not line.detail and len(line.x)]


def _keys(chart: Chart) -> list[Letter]:
    roles = list(dict.fromkeys(line.role for line in _lines(chart.panels[0])))
    if len(chart.series) == 1 and len(roles) > 1:
        return [Letter(0, role, role[0], role, COLORS[i]) for i, role in enumerate(roles)]
    letters = [ascii_lowercase[i % 26] for i in range(len(chart.series))] or ["*"]
    names = chart.series or ("",)
    return [
        Letter(i, "", letter, name, COLORS[i % len(COLORS)])
        for i, (letter, name) in enumerate(zip(letters, names, strict=True))
    ]


def _number(keys: Sequence[Letter], series: int | None, role: str = "") -> int:
    """The number of the key of a mark: that of its role, or the last one of its series."""
    own = [i for i, key in enumerate(keys) if key.series == series]
    return next((i for i in own if keys[i].role == role), own[-1])


def _legend(panels: Sequence[Panel], keys: Sequence[Letter], screen: Screen, whole: bool) -> list[Line]:
    """What the letters stand for, with the notes of the lines; only the notes where the legend is not the `whole`."""
    if not keys[0].name:
        return []
    notes: dict[int, str] = {}
    for line in (line for panel in panels for line in _lines(panel)):
        if line.note:
            notes.setdefault(_number(keys, line.series, line.role), line.note)
    symbols = {mark.symbol for panel in panels for mark in panel.marks if isinstance(mark, Points)}
    sign = f"{screen.symbol('best')} " if "best" in symbols else ""
    if notes:
        rows, gap, indent = [], 3, " " * (GUTTER + 3)
        room = screen.width - gap - len(sign) - max(map(len, notes.values()))
        for number, key in enumerate(keys):
            if whole or number in notes:
                name = f"{' ' * GUTTER} {key.letter}" + (f" {key.name}" if whole else "")
                folded = wrap(name, room, subsequent_indent=indent) if screen.folds and room > len(indent) else []
                first, *more = folded or [name]
                rows.append([(first, key.color), (sign + notes[number] if number in notes else "", "")])
                rows += [[(line, key.color), ("", "")] for line in more]
        return _table(rows, gap)
    words: Line = [(" " * GUTTER, "")] if whole else []
    words += [(f"{key.letter} {key.name}   ", key.color) for key in keys if whole]
    return _wrapped(words, screen.width)


def _wrapped(line: Line, width: int) -> list[Line]:
    """The words of a line, wrapped to the lines that they need."""
    lines: list[Line] = [[]]
    used = 0
    for text, style in line:
        for word in re.findall(r"\s*\S+\s*|\s+$", text):
            if used and used + len(word.rstrip()) > width:
                lines.append([])
                used = 0
            last = lines[-1]
            if last and last[-1][1] == style:
                word = last.pop()[0] + word
            last.append((word, style))
            used = sum(len(text) for text, _ in last)
    return lines if line else []


def _table(rows: Sequence[Line], gap: int, right: Sequence[int] = ()) -> list[Line]:
    """Cells in columns; those of the columns in `right` end there."""
    widths = [max(len(text) for text, _ in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        line: Line = []
        for number, ((text, style), width) in enumerate(zip(row, widths, strict=True)):
            line.append((text.rjust(width) if number in right else text.ljust(width), style))
            if number < len(row) - 1:
                line.append((" " * gap, ""))
        lines.append(line)
    return lines


def _side_by_side(blocks: Sequence[Sequence[Line]]) -> list[Line]:
    lines: list[Line] = []
    widths = [max(sum(len(text) for text, _ in line) for line in block) for block in blocks]
    for number in range(max(map(len, blocks))):
        line: Line = []
        for block, width in zip(blocks, widths, strict=True):
            own = block[number] if number < len(block) else []
            line += [*own, (" " * (width - sum(len(text) for text, _ in own)), "")]
            if block is not blocks[-1]:
                line.append((" " * GAP, ""))
        lines.append(line)
    return lines


# --- a panel -----------------------------------------------------------------------------------------------


class Canvas:
    """Dots on a grid of character cells; a cell shows only the dots of its topmost layer."""

    def __init__(self, columns: int, rows: int, braille: bool) -> None:
        self.braille = braille
        across, down = (2, 4) if braille else (1, 1)
        self.layers = np.full((rows * down, columns * across), -1)
        self.marks: dict[tuple[int, int], Segment] = {}
        self.columns, self.rows = columns, rows

    def dots(self, x: Floats, y: Floats, layer: int) -> None:
        """Points in [0, 1] x [0, 1], y upwards; others are not drawn."""
        inside = (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
        down, across = self.layers.shape
        row = np.rint((1 - y[inside]) * (down - 1)).astype(int)
        self.layers[row, np.rint(x[inside] * (across - 1)).astype(int)] = layer

    def curve(self, x: Floats, y: Floats, layer: int) -> None:
        """Straight lines from point to point; a single point is a dot."""
        self.dots(x, y, layer)
        for i in range(len(x) - 1):
            lengths = np.abs([(x[i + 1] - x[i]) * self.layers.shape[1], (y[i + 1] - y[i]) * self.layers.shape[0]])
            if np.isfinite(lengths).all():
                way = np.linspace(0, 1, int(min(lengths.max(), 4000)) + 2)
                self.dots(x[i] + way * (x[i + 1] - x[i]), y[i] + way * (y[i + 1] - y[i]), layer)

    def mark(self, x: float, y: float, sign: str, style: str) -> None:
        """One character on top of everything."""
        if 0 <= x <= 1 and 0 <= y <= 1:
            row, column = round((1 - y) * (self.rows - 1)), round(x * (self.columns - 1))
            self.marks[row, column] = sign, style

    def lines(self, signs: Sequence[str], styles: Sequence[str]) -> Iterator[Line]:
        """The rows as text; `signs` and `styles` belong to the layers."""
        down, across = self.layers.shape[0] // self.rows, self.layers.shape[1] // self.columns
        cells = self.layers.reshape(self.rows, down, self.columns, across).swapaxes(1, 2)
        top = cells.max(axis=(2, 3))
        codes = (_DOTS[:down, :across] * (cells == top[..., None, None])).sum(axis=(2, 3))
        for row in range(self.rows):
            line: Line = []
            for column in range(self.columns):
                layer = top[row, column]
                if (row, column) in self.marks:
                    line.append(self.marks[row, column])
                elif layer < 0:
                    line.append((" ", ""))
                else:
                    sign = chr(0x2800 + codes[row, column]) if self.braille else signs[layer]
                    line.append((sign, styles[layer]))
            yield line


def _panel(panel: Panel, keys: Sequence[Letter], columns: int, rows: int, screen: Screen) -> list[Line]:
    """The marks in a frame with a title and the values at its ends; below a map what its signs mean."""
    panel, canvas = panel.with_ends(), Canvas(columns, rows, screen.braille)
    below: list[Line] = []
    for mark in panel.marks:
        if getattr(mark, "detail", False):
            continue
        if isinstance(mark, Contour) and mark.level is None:
            _contours(canvas, panel, mark)
        elif isinstance(mark, Heatmap):
            below = _map(canvas, panel, mark, keys, screen)
        elif isinstance(mark, Threshold):
            _threshold(canvas, panel, mark)
        elif isinstance(mark, Points):
            _points(canvas, panel, mark, keys, screen)
        elif isinstance(mark, Polyline) and mark.series is not None and len(mark.x):
            _line(canvas, panel, mark, keys)
    signs, styles = [".", *(key.letter for key in keys)], ["bright_black", *(key.color for key in keys)]
    return [*_framed(canvas, panel, [*canvas.lines(signs, styles)], _title(panel, screen)), *below]


def _title(panel: Panel, screen: Screen) -> str:
    """The title, or what the symbols of a plane mean."""
    if panel.short:
        return panel.short
    if panel.y.names and (heats := [mark for mark in panel.marks if isinstance(mark, Heatmap)]):
        return f"{heats[0].scale.label}; rows: {panel.y.label}"  # whose names are on the left
    if panel.is_plane:
        named = [mark for mark in panel.marks if isinstance(mark, Points) and mark.name]
        return "   ".join(f"{screen.symbol(mark.symbol)} {mark.name}" for mark in named)
    return (panel.title or panel.y.label) + ", %" * (panel.y.unit == "fraction") + ", log scale" * panel.y.log


def _framed(canvas: Canvas, panel: Panel, drawn: Sequence[Line], title: str) -> list[Line]:
    side, corner, floor = ("│", "└", "─") if canvas.braille else ("|", "+", "-")
    name = panel.y.label if panel.is_plane else ""
    name = name if len(name) < GUTTER else name.rpartition(".")[2][: GUTTER - 1]
    if count := len(panel.y.names):
        middles = [len(drawn) - 1 - int((row + 0.5) / count * len(drawn)) for row in range(count)]
        labels = dict(zip(middles, (own[: GUTTER - 1] for own in panel.y.names), strict=True))
    else:
        low, high = _ends(panel.y)
        labels = {0: high, len(drawn) // 2: name, len(drawn) - 1: low}
    lines: list[Line] = [[(" " * GUTTER + " " + title, "")]]
    for number, line in enumerate(drawn):
        edge = (f"{labels.get(number, ''):>{GUTTER - 1}} ", "bright_black")
        lines.append([edge, (side, "bright_black"), *line])
    low, high = _ends(panel.x)
    label = panel.x.label + ", log scale" * (panel.x.log and not panel.is_plane)
    between = label.center(max(canvas.columns - len(low) - len(high), 1))
    lines.append([(" " * GUTTER + corner + floor * canvas.columns, "bright_black")])
    lines.append([(" " * (GUTTER + 1) + low + between + high, "bright_black")])
    return lines


def _ends(scale: Scale) -> tuple[str, str]:
    if scale.names:
        return scale.names[0], scale.names[-1]
    low, high = (f"{end * (100 if scale.unit == 'fraction' else 1):.3g}" for end in scale.ends)
    return low, high


def _line(canvas: Canvas, panel: Panel, line: Polyline, keys: Sequence[Letter]) -> None:
    number = _number(keys, line.series, line.role)
    x, y = panel.x.place(line.x), panel.y.place(line.y)
    if line.dash == "dashed":
        places = np.linspace(0, 1, canvas.columns // 2)
        canvas.dots(places, np.interp(places, x, y, left=np.nan, right=np.nan), number + 1)
        return
    if panel.x.unit == "epochs":  # of thousands, more than there are dots
        shown = np.unique(np.linspace(0, len(x) - 1, 8 * canvas.columns).astype(int))
        x, y = x[shown], y[shown]
    canvas.curve(x, y, number + 1)
    at = int((len(x) - 1) * (number + 1) / (len(keys) + 1)) if line.letter_at is None else line.letter_at
    if keys[number].name:
        canvas.mark(x[at], y[at], keys[number].letter, f"bold {keys[number].color}")


def _points(canvas: Canvas, panel: Panel, points: Points, keys: Sequence[Letter], screen: Screen) -> None:
    """A symbol, or the first letter of the name of a place."""
    key = None if points.series is None else keys[_number(keys, points.series)]
    sign = screen.symbol(points.symbol) if points.symbol in SYMBOLS else points.name[:1]
    style = f"bold {key.color}" if key else "bold"
    places = np.ravel(panel.x.place(points.x)).tolist(), np.ravel(panel.y.place(points.y)).tolist()
    for x, y in zip(*places, strict=True):
        canvas.mark(x, y, sign, style)


def _threshold(canvas: Canvas, panel: Panel, line: Threshold) -> None:
    """Dots at a value of y; at one of x, the capital of the name on the first line."""
    if line.y is not None:
        x = np.arange(0, 1, 4 / canvas.columns)
        canvas.dots(x, np.full(len(x), panel.y.place(line.y)), 0)
    if line.x is not None:
        first, at = _lines(panel)[0], float(panel.x.place(line.x))
        height = float(np.interp(at, panel.x.place(first.x), panel.y.place(first.y)))
        canvas.mark(at, height, line.name[:1].upper(), "bold")


def _contours(canvas: Canvas, panel: Panel, contour: Contour) -> None:
    """The edges of bands of equal height, evenly spaced on a logarithmic scale."""
    (left, right), (bottom, top) = panel.x.ends, panel.y.ends
    down, across = canvas.layers.shape
    x, y = np.linspace(0, 1, across), np.linspace(1, 0, down)
    height = contour.decades(left + x * (right - left), bottom + y * (top - bottom))
    band = np.floor(height * BANDS_PER_DECADE)
    edge = np.zeros_like(band, dtype=bool)
    edge[:, :-1] |= band[:, :-1] != band[:, 1:]
    edge[:-1, :] |= band[:-1, :] != band[1:, :]
    canvas.layers[edge] = 0


# --- maps --------------------------------------------------------------------------------------------------


def _map(canvas: Canvas, panel: Panel, heat: Heatmap, keys: Sequence[Letter], screen: Screen) -> list[Line]:
    """A sign for the cell in the middle of those that share a character, and what the signs mean."""
    height, width = heat.values.shape
    rows = ((np.arange(canvas.rows) + 0.5) / canvas.rows * height).astype(int)
    columns = ((np.arange(canvas.columns) + 0.5) / canvas.columns * width).astype(int)
    shown = heat.values[np.ix_(rows, columns)]
    if heat.kinds:
        for i, j in np.ndindex(shown.shape):
            n = int(shown[i, j])
            sign = (".", "bright_black") if n < 0 else (ascii_lowercase[n % 26], COLORS[n % len(COLORS)])
            canvas.marks[canvas.rows - 1 - i, j] = sign
        return []
    colored, gone = screen.braille and screen.color, np.asarray(heat.gone)[np.ix_(rows, columns)]
    finite = shown[~gone & np.isfinite(shown)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    level = np.clip((np.where(np.isfinite(shown), shown, high) - low) / max(high - low, 1e-300), 0, 1)
    for i, j in np.ndindex(shown.shape):
        if gone[i, j]:
            cell = "x", "red"
        elif not np.isfinite(shown[i, j]):
            cell = "?", "bright_black"
        elif colored:
            cell = "█", HEAT[int(level[i, j] * (len(HEAT) - 1))]
        else:
            cell = RAMP[int(level[i, j] * (len(RAMP) - 1))], ""
        canvas.marks[canvas.rows - 1 - i, j] = cell
    dark, bright = ("dark", "bright") if colored else (f"'{RAMP[0]}'", f"'{RAMP[-1]}'")
    never = "   x diverged" if gone.any() else ""
    never += "   ? not converged" if (~gone & ~np.isfinite(shown)).any() else ""
    unit = 100 if heat.scale.unit == "fraction" else 1
    ends = [f"{end * unit:.3g}{'%' * (unit == 100)}" for end in (low, high)]
    contours = [mark for mark in panel.marks if isinstance(mark, Contour)]
    edges = [one.label for one in contours if _edge(canvas, one, heat.x[columns], heat.y[rows], screen)]
    edge = "".join(f"   {screen.symbol('edge')} {label}" for label in edges)
    return [[(f"{' ' * GUTTER} {dark} {ends[0]}   {bright} {ends[1]}{never}{edge}", "")]]


def _edge(canvas: Canvas, contour: Contour, x: Floats, y: Floats, screen: Screen) -> bool:
    """Draw the line at which the height of the cells passes the level; whether there is any."""
    height = contour.height(x, y)
    if height is None:
        return False
    inside = np.asarray(height < contour.level)
    across, up = np.zeros(inside.shape, bool), np.zeros(inside.shape, bool)
    across[:, 1:], up[1:] = inside[:, 1:] != inside[:, :-1], inside[1:] != inside[:-1]
    for i, j in np.argwhere(across | up):
        canvas.marks[canvas.rows - 1 - i, j] = screen.symbol("edge" if across[i, j] else "ledge"), "bold white"
    return bool((across | up).any())


# --- layers ------------------------------------------------------------------------------------------------


def bar(norm: float | None, largest: float | None, width: int = 8, blocks: bool = True) -> str:
    """A norm next to the largest one, over DECADES, in eighths of a character; `#` without Unicode's blocks."""
    length = 1 + math.log10(norm / largest) / DECADES if norm and largest else 0.0
    length = min(1.0, max(0.0, length))
    if not blocks:
        return "#" * round(length * width)
    full, part = divmod(round(length * width * 8), 8)
    return BARS[8] * full + (BARS[part] if part else "")


def _layers(panels: Sequence[Panel], keys: Sequence[Letter], width: int, screen: Screen) -> list[Line]:
    """The last column of maps of layers: a bar per layer, the input below, the output above, next to it the norm; a
    column for each group that has room.
    """
    maps = [mark for panel in panels for mark in panel.marks if isinstance(mark, Heatmap)]
    room = max(1, (width - 5) // 22) if len(maps) > 1 else 1
    norms = [
        {name: None if np.isnan(value) else value for name, value in zip(panel.y.names, last, strict=True)}
        for panel, last in zip(panels, (heat.values[:, -1].tolist() for heat in maps), strict=True)
    ]
    largest = max((norm for column in norms for norm in column.values() if norm is not None), default=None)
    rows: list[Line] = []
    if len(maps) > 1:
        letters = [keys[_number(keys, heat.series)] for heat in maps[:room]]
        rows.append([("", ""), *(cell for key in letters for cell in ((key.letter, key.color), ("", "")))])
    names = max((panel.y.names for panel in panels), key=len)
    shown = names if len(names) <= SHOWN else [*names[: SHOWN // 2], "...", *names[1 - SHOWN // 2 :]]
    for name in shown[::-1]:
        row: Line = [(name, "")]
        for column in norms[:room]:
            norm = column.get(name)
            row += [(bar(norm, largest, 12, screen.blocks), ""), ("" if norm is None else f"{norm:.0e}", "")]
        rows.append(row)
    title = f"{maps[0].scale.label} of each layer, last epoch, log scale"
    more: list[Line] = [[(f"     and {len(maps) - room} more: --out FILE", "")]] if len(maps) > room else []
    return [*_wrapped([(title, "")], width), *_table(rows, GAP, right=range(2, 2 * room + 1, 2)), *more]
