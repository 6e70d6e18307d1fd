"""Pictures as text: contours with paths, loss curves, maps. Braille dots in colour, or plain ASCII letters.

ASCII is for pipes, for LANG=C and for terminals without UTF-8. A series has a letter everywhere and a colour as well.
"""

import re
from collections.abc import Callable, Sequence
from string import ascii_lowercase
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from optilab.optimize import Status, Trajectory
from optilab.optimize.objective import Floats, Objective
from optilab.optimize.path import bands, gaps, span, view
from optilab.show import terminal

COLOURS = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#cc79a7",
    "#d55e00",
    "#f0e442",
    "#0072b2",
    "#999999",
)  # Okabe & Ito 2008
RAMP = " .:-=+*#%@"
HEAT = (
    "#440154",
    "#472d7b",
    "#3b528b",
    "#2c728e",
    "#21918c",
    "#28ae80",
    "#5ec962",
    "#addc30",
    "#fde725",
)  # viridis
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # of a braille cell, from its top left
GUTTER = 9


def unicode() -> bool:
    """Whether the output is a terminal that shows Unicode."""
    return terminal.out.is_terminal and bool(re.fullmatch("utf-?8", terminal.out.encoding, re.IGNORECASE))


class Canvas:
    """Dots on a grid of character cells; a cell shows only the dots of its topmost layer."""

    def __init__(self, columns: int, rows: int) -> None:
        self.unicode = unicode()
        across, down = (2, 4) if self.unicode else (1, 1)
        self.layers = np.full((rows * down, columns * across), -1)
        self.marks: dict[tuple[int, int], tuple[str, str]] = {}
        self.columns, self.rows = columns, rows

    def dots(self, x: Floats, y: Floats, layer: int) -> None:
        """Points in [0, 1] x [0, 1], y upwards; others are not drawn."""
        inside = (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
        down, across = self.layers.shape
        row = np.rint((1 - y[inside]) * (down - 1)).astype(int)
        self.layers[row, np.rint(x[inside] * (across - 1)).astype(int)] = layer

    def curve(self, x: Floats, y: Floats, layer: int) -> None:
        """Straight lines from point to point."""
        for i in range(len(x) - 1):
            lengths = np.abs([(x[i + 1] - x[i]) * self.layers.shape[1], (y[i + 1] - y[i]) * self.layers.shape[0]])
            if np.isfinite(lengths).all():
                share = np.linspace(0, 1, int(min(lengths.max(), 4000)) + 2)
                self.dots(x[i] + share * (x[i + 1] - x[i]), y[i] + share * (y[i + 1] - y[i]), layer)

    def mark(self, x: float, y: float, sign: str, style: str) -> None:
        """One character on top of everything."""
        if 0 <= x <= 1 and 0 <= y <= 1:
            row, column = round((1 - y) * (self.rows - 1)), round(x * (self.columns - 1))
            self.marks[row, column] = sign, style

    def lines(self, signs: Sequence[str], styles: Sequence[str]) -> list[Text]:
        """The rows as text; `signs` and `styles` belong to the layers (signs where there are no dots)."""
        down, across = self.layers.shape[0] // self.rows, self.layers.shape[1] // self.columns
        cells = self.layers.reshape(self.rows, down, self.columns, across).swapaxes(1, 2)
        top = cells.max(axis=(2, 3))
        codes = (_DOTS[:down, :across] * (cells == top[..., None, None])).sum(axis=(2, 3))
        found = []
        for row in range(self.rows):
            line = Text()
            for column in range(self.columns):
                layer = top[row, column]
                if (row, column) in self.marks:
                    line.append(*self.marks[row, column])
                elif layer < 0:
                    line.append(" ")
                else:
                    sign = chr(0x2800 + codes[row, column]) if self.unicode else signs[layer]
                    line.append(sign, styles[layer])
            found.append(line)
        return found


def paths(function: Objective, named: dict[str, Trajectory]) -> None:
    """The contour with every path (of a function of two variables), and the loss curves."""
    width = terminal.out.width
    beside = width >= terminal.SIDE_BY_SIDE and len(function.start) == 2
    columns = (width - 4) // 2 if beside else min(width, 100)
    pictures = [_losses(function, named, columns - GUTTER - 1)]
    if len(function.start) == 2:
        pictures.insert(0, _contour(function, named, columns - GUTTER - 1))
    table = Table.grid(padding=(0, 2, 0, 0))
    if beside:
        table.add_row(*pictures)
    else:
        for picture in pictures:
            table.add_row(picture)
    terminal.show(table)
    names = [f"{name} (diverged)" if path.status is Status.DIVERGED else name for name, path in named.items()]
    terminal.show(legend(names))


def legend(names: Sequence[str]) -> Text:
    line = Text(" " * GUTTER)
    for letter, name, colour in zip(letters(len(names)), names, colours(len(names)), strict=True):
        line.append(f"{letter} {name}   ", colour)
    return line


def letters(count: int) -> list[str]:
    return [ascii_lowercase[i % 26] for i in range(count)]


def colours(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _contour(function: Objective, named: dict[str, Trajectory], columns: int, rows: int = 17) -> Text:
    """Lines of equal height, log-spaced above the minimum, under the paths."""
    canvas = Canvas(columns, rows)
    (left, right), (bottom, top) = view(function, list(named.values()))
    down, across = canvas.layers.shape
    x, y = np.linspace(0, 1, across), np.linspace(1, 0, down)
    grid = np.stack(np.meshgrid(left + x * (right - left), bottom + y * (top - bottom)), axis=-1)
    band = bands(function, grid)
    edge = np.zeros_like(band, dtype=bool)
    edge[:, :-1] |= band[:, :-1] != band[:, 1:]
    edge[:-1, :] |= band[:-1, :] != band[1:, :]
    canvas.layers[edge] = 0
    for i, path in enumerate(named.values()):
        u = (path.points[:, 0] - left) / (right - left)
        v = (path.points[:, 1] - bottom) / (top - bottom)
        canvas.curve(u, v, i + 1)
    for i, path in enumerate(named.values()):
        at = _along(path.points, (i + 1) / (len(named) + 1))
        sign, style = letters(len(named))[i], f"bold {colours(len(named))[i]}"
        canvas.mark((at[0] - left) / (right - left), (at[1] - bottom) / (top - bottom), sign, style)
    start = next(iter(named.values())).points[0]
    canvas.mark((start[0] - left) / (right - left), (start[1] - bottom) / (top - bottom), symbol("start"), "bold")
    for w in function.minima:
        canvas.mark((w[0] - left) / (right - left), (w[1] - bottom) / (top - bottom), symbol("minimum"), "bold")
    signs, styles = [".", *letters(len(named))], ["bright_black", *colours(len(named))]
    title = (
        f"{symbol('start')} start   {symbol('minimum')} minimum" if function.minima else f"{symbol('start')} start"
    )
    return framed(canvas, signs, styles, title, ("w1", left, right), ("w2", bottom, top))


def symbol(what: str) -> str:
    return {
        "start": ("●", "S"),
        "minimum": ("✚", "M"),
        "edge": ("┃", "|"),
        "ledge": ("━", "-"),
        "best": ("✚", "+"),
    }[what][not unicode()]


def _along(points: Floats, share: float) -> Floats:
    """The point after that share of the way."""
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=-1))])
    return np.asarray(points[int(np.searchsorted(way, share * way[-1]))])


def _losses(function: Objective, named: dict[str, Trajectory], columns: int, rows: int = 17) -> Text:
    """log10 of f above its minimum against the epoch."""
    curves, what = gaps(function, list(named.values()))
    epochs = max(len(curve) for curve in curves) - 1
    low, high = np.log10(span(curves, list(named.values())))
    high = max(high, low + 1e-9)
    canvas = Canvas(columns, rows)
    for i, curve in enumerate(curves):
        u, v = np.arange(len(curve)) / max(epochs, 1), (np.log10(curve) - low) / (high - low)
        canvas.curve(u, v, i)
        at = min(len(curve) - 1, int(epochs * (i + 1) / (len(curves) + 1)))
        canvas.mark(u[at], v[at], letters(len(named))[i], f"bold {colours(len(named))[i]}")
    axes = ("epoch", 0.0, float(epochs)), ("log", 10**low, 10**high)
    return framed(canvas, letters(len(named)), colours(len(named)), f"{what}, log scale", *axes)


def framed(
    canvas: Canvas,
    signs: Sequence[str],
    styles: Sequence[str],
    title: str,
    x: tuple[str, float, float],
    y: tuple[str, float, float],
) -> Text:
    """The canvas with a title, a frame on two sides and the values at its edges."""
    side, corner, floor = ("│", "└", "─") if canvas.unicode else ("|", "+", "-")
    lines = canvas.lines(signs, styles)
    name = y[0] if y[0] != "log" else ""
    name = name if len(name) < GUTTER else name.rpartition(".")[2][: GUTTER - 1]
    labels = {0: f"{y[2]:.3g}", len(lines) // 2: name, len(lines) - 1: f"{y[1]:.3g}"}
    text = Text(" " * GUTTER + " " + title + "\n", style="")
    for i, line in enumerate(lines):
        text.append(f"{labels.get(i, ''):>{GUTTER - 1}} ", "bright_black").append(side, "bright_black")
        text.append_text(line).append("\n")
    ends = f"{x[1]:.3g}", f"{x[2]:.3g}"
    between = x[0].center(max(canvas.columns - len(ends[0]) - len(ends[1]), 1))
    text.append(" " * GUTTER + corner + floor * canvas.columns + "\n", "bright_black")
    text.append(" " * (GUTTER + 1) + ends[0] + between + ends[1], "bright_black")
    return text


Span = tuple[str, float, float]


def heat(values: Floats, mask: Any, stable: Callable[[Any, Any], Any], title: str, x: Span, y: Span) -> None:
    """A map: `values` (rows upwards, columns), dark is low, NaN is never reached; `mask`: the cells that diverged.

    `stable(rows, columns)`: whether the cells are stable by theory, or None. A character shows the cell in the middle
    of those that share it.
    """
    canvas, at = _sampled(*values.shape)
    coloured = canvas.unicode and bool(terminal.out.color_system) and not terminal.out.no_color
    shown, gone = values[at], np.asarray(mask)[at]
    finite = shown[~gone & np.isfinite(shown)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    level = np.clip((np.where(np.isfinite(shown), shown, high) - low) / max(high - low, 1e-300), 0, 1)
    for i, j in np.ndindex(shown.shape):
        if gone[i, j]:
            sign, style = "x", "red"
        elif not np.isfinite(shown[i, j]):
            sign, style = "?", "bright_black"
        elif coloured:
            sign, style = "█", HEAT[int(level[i, j] * (len(HEAT) - 1))]
        else:
            sign, style = RAMP[int(level[i, j] * (len(RAMP) - 1))], ""
        canvas.marks[canvas.rows - 1 - i, j] = sign, style
    calm = stable(at[0].ravel(), at[1].ravel())
    across, up = np.zeros(shown.shape, bool), np.zeros(shown.shape, bool)
    if calm is not None:
        across[:, 1:], up[1:] = calm[:, 1:] != calm[:, :-1], calm[1:] != calm[:-1]
    for i, j in np.argwhere(across | up):
        canvas.marks[canvas.rows - 1 - i, j] = symbol("edge" if across[i, j] else "ledge"), "bold white"
    terminal.show(framed(canvas, [], [], title, x, y))
    dark, bright = ("dark", "bright") if coloured else (f"'{RAMP[0]}'", f"'{RAMP[-1]}'")
    never = "   ? not converged" if (~gone & ~np.isfinite(shown)).any() else ""
    edge = f"   {symbol('edge')} limit of stability by theory" if across.any() or up.any() else ""
    terminal.say(f"{' ' * GUTTER} {dark} {low:.3g}   {bright} {high:.3g}   x diverged{never}{edge}")


def basins(numbers: Any, count: int, x: Span, y: Span) -> None:
    """The minimum that each start reaches: a letter per minimum, `.` for none."""
    canvas, at = _sampled(*numbers.shape)
    shown = numbers[at]
    for i, j in np.ndindex(shown.shape):
        n = shown[i, j]
        sign, style = (".", "bright_black") if n < 0 else (letters(count)[n], colours(count)[n])
        canvas.marks[canvas.rows - 1 - i, j] = sign, style
    terminal.show(framed(canvas, [], [], "the minimum that each start reaches; . is none", x, y))


def _sampled(height: int, width: int) -> tuple[Canvas, Any]:
    """A canvas for a map, and the cells in the middle of its characters (rows upwards, columns)."""
    canvas = Canvas(min(terminal.out.width if terminal.out.is_terminal else 80, 100) - GUTTER - 1, 20)
    rows = (np.arange(canvas.rows) + 0.5) / canvas.rows * height
    columns = (np.arange(canvas.columns) + 0.5) / canvas.columns * width
    return canvas, np.ix_(rows.astype(int), columns.astype(int))
