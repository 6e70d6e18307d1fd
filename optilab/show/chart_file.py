"""Charts as picture files by matplotlib: PNG, SVG and PDF, and moving ones as GIF.

Every picture is a matplotlib Figure until `save` writes it; the extension of the file chooses the format. matplotlib is
imported only inside functions.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from math import ceil, lcm
from textwrap import fill, wrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from optilab.files import output_file, write_errors
from optilab.numbers import percent, power
from optilab.show.chart import (
    DARK_COLORS,
    LIGHT_COLORS,
    MARKERS,
    Band,
    Chart,
    Contour,
    Heatmap,
    Panel,
    PanelRow,
    Points,
    Polyline,
    ReferenceLine,
    Scale,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
MAX_MARKERS = 12
"""Markers of a line with many points: they tell lines apart without color."""
MAX_NUMBERED = 14
"""Rows of a map with named rows next to which the last value is written; more have no room."""
MIN_NUMBERED, MAX_NAME = 1.5, 10
"""Inches of a panel that has room for these numbers; in a narrower one, letters of a line of what its colors mean."""
MAX_HEIGHTS = 500
"""Points of an axis at which the height of a plane is computed: more than a file shows."""
MAX_FRAMES, SECONDS, DPI = 120, 8, 82
"""Limits of an animation."""

_HANDLE = 6
"""Letters that the line of a legend takes, left of its name."""
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
_DASHED, _DOTTED = (0, (5, 3)), (0, (1, 3))


@dataclass(frozen=True)
class Palette:
    """The colors of a picture."""

    ink: str
    ground: str
    nothing: str
    """Cells without a value."""
    unknown: str
    """Cells of the second gap of a map."""
    heights: str
    """matplotlib's name of the colors of a plane."""
    colors: tuple[str, ...]

    def color(self, series: int | None) -> str:
        return self.ink if series is None else self.colors[series % len(self.colors)]

    def dashes(self, series: int | None) -> Any:
        """No two of the first 24 series have the same color and dashes."""
        return _DASHES[(series or 0) // len(self.colors) % len(_DASHES)]


LIGHT = Palette("#202020", "#ffffff", "#d9d9d9", "#f2c6c2", "bone_r", LIGHT_COLORS)
DARK = Palette("#e8e8e8", "#15181c", "#3a3a3a", "#6b4a4a", "bone", DARK_COLORS)


class PaperSize(NamedTuple):
    """The room for a picture: its width in inches, its texts in points, and the number of panels next to each other."""

    width: float
    points: float
    columns: int


SIZES = {"column": PaperSize(3.3, 8, 1), "page": PaperSize(6.9, 8, 2), "slide": PaperSize(10, 14, 2)}
"""A column and a page of a two-column paper, and a slide."""


# --- the picture -------------------------------------------------------------------------------------------


@contextmanager
def _defaults() -> Iterator[None]:
    """matplotlib's defaults with what files need, whatever a matplotlibrc and MPLBACKEND say."""
    backend = "" if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", "")
    import matplotlib as mpl

    if backend:  # as matplotlib does at its import, which fails where the backend is not installed
        os.environ["MPLBACKEND"] = backend
        with suppress(ValueError):
            mpl.rcParams["backend"] = backend
    defaults: Any = {key: value for key, value in mpl.rcParamsDefault.items() if key != "backend"}
    # No random names; text as text; fonts that submission systems accept.
    files = {"svg.hashsalt": "optilab", "svg.fonttype": "none", "pdf.fonttype": 42}
    with mpl.rc_context(defaults | files):
        yield


@_defaults()
def draw(chart: Chart, dark: bool = False, size: PaperSize | None = None) -> "Figure":
    """The chart as a figure of matplotlib."""
    import matplotlib as mpl

    palette = DARK if dark else LIGHT
    grounds = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    settings: Any = {
        **dict.fromkeys(grounds, palette.ground),
        **dict.fromkeys(inks, palette.ink),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "axes.titlelocation": "left",
        "font.size": size.points if size else 11.0,
        "legend.fontsize": "medium",
        "lines.scale_dashes": True,
        "legend.frameon": False,
        "legend.handlelength": 2.6,
        "figure.dpi": 120,
    }
    with mpl.rc_context(settings):
        return _figure(chart, palette, size)


def _figure(chart: Chart, palette: Palette, size: PaperSize | None) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = [*chart.rows] if size is None else [part for row in chart.rows for part in _split_row(row, size)]
    width = size.width if size else 11.0 if any(len(row.panels) > 1 for row in rows) else 7.0
    points = size.points if size else 11.0
    letters = int(0.92 * 143 * width / points)  # that fit side by side
    title, labels = "\n".join(wrap(chart.title, letters)), list(_legend(chart, palette))
    labels = [(handle, fill(label, letters - _HANDLE)) for handle, label in labels]
    longest = max((len(label) for _, label in labels), default=0)
    across = max(1, min(len(labels), letters // (_HANDLE + longest)))
    lines = sum(1 + label.count("\n") for _, label in labels)
    height = sum(row.height for row in rows) + 0.25 * (ceil(lines / across) + title.count("\n") + 1)
    figure = Figure(figsize=(width, height), layout="constrained")
    figure._repr_png_ = partial(png, figure)  # type: ignore[attr-defined]  # a notebook without pyplot shows it
    columns = lcm(*(len(row.panels) for row in rows))
    grid = figure.add_gridspec(len(rows), columns, height_ratios=[row.height for row in rows])
    colored: dict[Scale, list[tuple[Any, Any]]] = {}  # (axes, image) of each scale of colors
    for number, row in enumerate(rows):
        wide = columns // len(row.panels)
        for place, panel in enumerate(row.panels):
            axes = figure.add_subplot(grid[number, place * wide : (place + 1) * wide])
            for mark in panel.marks:
                if (image := PAINTERS[type(mark)](axes, panel, mark, palette)) is not None:
                    colored.setdefault(mark.scale, []).append((axes, image))  # type: ignore[union-attr]
            _frame(axes, panel, last=number == len(rows) - 1, first=place == 0)
    for scale, images in colored.items():
        _color_bar(figure, scale, images, below=any(panel.has_named_rows for panel in chart.panels))
    if labels:
        handles, names = zip(*labels, strict=True)
        figure.legend(handles, names, loc="outside lower center", ncols=across)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize="medium")
    factor = points / 11  # lines and signs are as large as the texts
    for line in figure.findobj(Line2D):
        line.set(linewidth=factor * line.get_linewidth(), markersize=factor * line.get_markersize())
    return figure


def _split_row(row: PanelRow, size: PaperSize) -> Iterator[PanelRow]:
    """The panels of a row that fit side by side; those with named rows stay together."""
    if row.panels[0].has_named_rows:
        yield row
        return
    for start in range(0, len(row.panels), size.columns):
        part = row.panels[start : start + size.columns]
        yield PanelRow(part, min(row.height, size.width / len(part) * 0.8))


def _legend(chart: Chart, palette: Palette) -> Iterator[tuple[Any, str]]:
    """The legend of lines and signs: the series, their roles where there are several, and marks with a label."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks = [mark for panel in chart.panels for mark in panel.marks]
    lines = [mark for mark in marks if isinstance(mark, Polyline)]
    widest = {line.series: line for line in sorted(lines, key=lambda line: line.width)}
    for series, name in enumerate(chart.series):
        if series in widest:
            yield Line2D([], [], **_style(widest[series], palette)), name
    roles = {line.role: line for line in lines if line.role}
    for role, line in roles.items() if len(roles) > 1 else ():
        dashes: Any = _DASHED if line.dash == "dashed" else "-"
        yield Line2D([], [], color=palette.ink, linewidth=line.width, alpha=line.alpha, linestyle=dashes), role
    for band in {mark.label: mark for mark in marks if isinstance(mark, Band) and mark.label}.values():
        yield Patch(facecolor=palette.ink, alpha=band.alpha), band.label
    for label, mark in chart.signs.items():
        edge = {"color": palette.color(1), "linestyle": "--"}
        yield Line2D([], [], **_sign(mark, palette) if isinstance(mark, Points) else edge), label
    gaps = [gap for mark in marks if isinstance(mark, Heatmap) for gap in _gaps(mark, palette)]
    for color, label in dict.fromkeys(gaps):
        yield Line2D([], [], linestyle="", marker="s", color=color, markeredgecolor=palette.ink), label


def _gaps(heat: Heatmap, palette: Palette) -> Iterator[tuple[str, str]]:
    """The colors of the cells of a map that have no value, and what they are."""
    for color, (name, cells) in zip((palette.nothing, palette.unknown), heat.gaps.items(), strict=False):
        if cells.any():
            yield color, name


# --- axes --------------------------------------------------------------------------------------------------


def _frame(axes: Any, panel: Panel, last: bool, first: bool) -> None:
    """Ranges, ticks, names and grid; of maps with named rows, the `last` row names x, the `first` column the rows."""
    from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter

    for scale, axis, name in ((panel.x, axes.xaxis, "x"), (panel.y, axes.yaxis, "y")):
        # A logarithmic scale of less than an octave would write its ticks as 3.15 x 10^0.
        narrow = name == "y" and scale.log and not panel.has_map and scale.limits[1] < 2 * scale.limits[0]
        if not panel.has_named_rows or name == "y":
            axes.set(**{f"{name}scale": "log" if scale.log and not narrow else "linear"})
            if scale.is_bounded and scale.low != scale.high:
                axes.set(**{f"{name}lim": _limits(scale)})
        if scale.ticks:
            axis.set_ticks(scale.ticks, [f"{tick:.3g}" for tick in scale.ticks])
            axes.minorticks_off()
        if scale.unit == "whole":
            few = range(round(scale.limits[0]), round(scale.limits[1]) + 1)
            axis.set_major_locator(FixedLocator(few) if len(few) < 6 else MaxNLocator(integer=True, nbins=6))
        if scale.unit == "fraction":
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0 if name == "y" else None))
        if scale.names:
            ticks = np.unique(np.linspace(1, len(scale.names), min(len(scale.names), MAX_NUMBERED)).astype(int))
            axis.set_ticks(ticks, [scale.names[tick - 1] for tick in ticks], fontsize="small")
        if not panel.has_named_rows or (first if name == "y" else last):
            axis.set_label_text(scale.label)
    axes.set_title(panel.title)
    if panel.has_named_rows:
        axes.tick_params(left=False, labelleft=first)
        axes.spines[:].set(visible=True, linewidth=0.4)
    elif not panel.has_map:
        axes.grid(alpha=0.25, linewidth=0.5)


def _limits(scale: Scale) -> tuple[float, float]:
    """The ends of an axis, with room."""
    low, high = scale.limits
    if scale.log:
        room = max(high / low, 1.1) ** scale.margin
        return low / room, high * room
    room = max(0.02 * high, 0.3 * (low > 0)) if scale.unit == "whole" else scale.margin * (high - low)
    return low - room, high + room


def _color_bar(figure: "Figure", scale: Scale, images: Sequence[tuple[Any, Any]], below: bool) -> None:
    """The legend of the colors: below all maps with named rows and this scale, next to another map."""
    from matplotlib.ticker import PercentFormatter

    place: dict[str, Any] = {"location": "bottom", "aspect": 40, "pad": 0.04} if below else {"pad": 0.02}
    form = PercentFormatter(1.0) if scale.unit == "fraction" else None
    axes = [axes for axes, _ in images]
    label = scale.label if _has_room(axes[0]) else "\n".join(wrap(scale.label, MAX_NAME))
    bar = figure.colorbar(images[-1][1], ax=axes, label=label, format=form, **place)
    bar.outline.set(linewidth=0.4)
    bar.minorticks_off()


def _right_label(axes: Any, height: float, text: str) -> None:
    """A word next to the right edge."""
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(text, (1, height), xytext=(3, 0), va="center", fontsize="x-small", **place)


# --- marks -------------------------------------------------------------------------------------------------


def _style(line: Polyline, palette: Palette) -> dict[str, Any]:
    style: dict[str, Any] = {"color": palette.color(line.series), "linewidth": line.width, "alpha": line.alpha}
    style["linestyle"] = {"series": palette.dashes(line.series), "dashed": _DASHED, "solid": "-"}[line.dash]
    if line.marker:
        style |= {"marker": MARKERS[(line.series or 0) % len(MARKERS)], "markersize": line.marker}
    return style


def _polyline(axes: Any, panel: Panel, line: Polyline, palette: Palette) -> None:
    x, y = np.asarray(line.x), np.asarray(line.y)
    if panel.y.log:
        y = np.minimum(y, 1e280)  # room for the transformations of a logarithmic axis
    style = _style(line, palette)
    if line.marker:
        style["markevery"] = 1 if panel.has_map or panel.x.names else max(1, len(x) // MAX_MARKERS)
    if line.step:
        style["drawstyle"] = "steps-post"
    axes.plot(x, y, label="" if line.series is None else "series", **style)


def _band(axes: Any, panel: Panel, band: Band, palette: Palette) -> None:
    axes.fill_between(band.x, band.low, band.high, color=palette.color(band.series), alpha=band.alpha, linewidth=0)


_SYMBOLS: dict[str, dict[str, Any]] = {
    "start": {"marker": "o", "markersize": 8, "zorder": 5},
    "minimum": {"marker": "*", "markersize": 13, "zorder": 5},
    "best": {"marker": "*", "markersize": 13, "zorder": 5},
    "optimum": {"marker": "*", "markersize": 15, "color": "white", "markeredgecolor": "black"},
    "place": {"marker": "o", "markersize": 6, "zorder": 5},
    "dot": {"marker": ".", "markersize": 3, "alpha": 0.5},
}


def _sign(points: Points, palette: Palette) -> dict[str, Any]:
    style: dict[str, Any] = {"color": palette.ground if points.series is None else palette.color(points.series)}
    if points.symbol != "dot":
        style["markeredgecolor"] = palette.ink
    return {**style, "linestyle": "", **_SYMBOLS[points.symbol]}


def _points(axes: Any, panel: Panel, points: Points, palette: Palette) -> None:
    style = _sign(points, palette)
    if points.symbol == "best" and panel.y.is_bounded:
        style["clip_on"] = not np.all(np.abs(panel.y.normalize(points.y) - 0.5) <= 0.5)  # it may lie on the edge
    axes.plot(points.x, points.y, **style)
    if not points.name:
        return
    first = np.ravel(points.x)[0], np.ravel(points.y)[0]
    text: dict[str, Any] = {"textcoords": "offset points", "fontsize": "small", "xytext": (5, 7)}
    if points.symbol in ("start", "minimum"):
        box = {"facecolor": palette.ground, "edgecolor": "none", "alpha": 0.75, "pad": 1.5}
        # A start low in the picture has its name above it, where no axis lies.
        below = points.symbol == "start" and float(panel.y.normalize(first[1])) >= 0.1
        text |= {"bbox": box, "zorder": 6, "xytext": (8, -14) if below else (8, 9)}
    elif points.before:
        text |= {"xytext": (-7, -4), "ha": "right"}
    axes.annotate(points.name, first, **text)


def _reference_line(axes: Any, panel: Panel, line: ReferenceLine, palette: Palette) -> None:
    color = palette.color(line.series)
    if line.y is not None:
        axes.axhline(line.y, color=color, linewidth=0.8, linestyle=_DOTTED, zorder=0)
        _right_label(axes, line.y, line.name)
    if line.x is not None:
        axes.axvline(line.x, color=color, linewidth=2.0)
        place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        axes.annotate(line.name, (line.x, 1), xytext=(0, 3), color=color, fontsize="small", ha="center", **place)


def _contour(axes: Any, panel: Panel, contour: Contour, palette: Palette) -> None:
    """The heights of a plane; or the line of one `level`, dashed on white, where the plane has it."""
    if contour.level is None:
        x, y = np.linspace(*panel.x.limits, 241), np.linspace(*panel.y.limits, 241)
        height = contour.decades(x, y)
        steps = np.linspace(np.nanmin(height), np.nanmax(height), 15)
        pale = steps[0] + 2.5 * (steps[-1] - steps[0])  # a pale part of the colors, so that the paths stand out
        axes.contourf(x, y, height, steps, cmap=palette.heights, alpha=0.55, vmin=steps[0], vmax=pale)
        axes.contour(x, y, height, steps, colors=palette.ink, linewidths=0.4, alpha=0.35, linestyles="solid")
        return
    styles: list[Any] = [("white", 3.6, "-"), (palette.color(1), 2.0, "--")]
    if contour.exact is not None:
        for color, width, dashes in styles:
            axes.plot(*contour.exact, color=color, linewidth=width, linestyle=dashes)
        return
    heat = next(mark for mark in panel.marks if isinstance(mark, Heatmap))
    x, y = (points[:: max(1, len(points) // MAX_HEIGHTS)] for points in (heat.x, heat.y))
    height = contour.height(x, y)
    if height is not None and height.min() < contour.level < height.max():
        for color, width, dashes in styles:
            axes.contour(x, y, height, [contour.level], colors=color, linewidths=width, linestyles=dashes)


def _heatmap(axes: Any, panel: Panel, heat: Heatmap, palette: Palette) -> Any:
    """The image that a color bar explains, if any."""
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap, LogNorm, Normalize

    values, style = np.asarray(heat.values, dtype=float), {"rasterized": True, "shading": "nearest"}
    cells = partial(axes.pcolormesh, heat.x, heat.y, **style)
    if heat.categorical:
        colors = [palette.nothing, *map(palette.color, range(int(values.max()) + 1))]
        cells(values, cmap=ListedColormap(colors), vmin=-1.5, vmax=len(colors) - 1.5, alpha=0.85)
        return None
    fraction, finite = heat.scale.unit == "fraction", np.isfinite(values)
    if heat.gaps:
        axes.set_facecolor(palette.nothing)
    for gap in [*heat.gaps.values()][1:]:
        cells(np.where(gap, 1.0, np.nan), cmap=ListedColormap([palette.unknown]))
    low, high = heat.scale.limits if heat.scale.is_bounded else (None, None)
    scale = (LogNorm if heat.scale.log else Normalize)(low, high, clip=True)
    shades: Any = "viridis"
    if panel.has_named_rows and fraction:  # from the ground, which is zero, to a color
        shades = LinearSegmentedColormap.from_list("fraction", [palette.ground, palette.color(1)])
    image = cells(values, norm=scale, cmap=shades)
    if panel.x.names:  # few cells, of two settings: each has its number
        for row, column in np.argwhere(finite):
            value = values[row, column]
            ink = "#ffffff" if image.norm(value) < 0.6 else "#202020"
            place = {"ha": "center", "va": "center", "fontsize": "x-small"}
            number = percent(value) if fraction else f"{value:.3g}"
            axes.annotate(number, (heat.x[column], heat.y[row]), color=ink, **place)
    if panel.has_named_rows and _has_room(axes) and len(values) <= MAX_NUMBERED:
        for row, value in enumerate(values[:, -1].tolist(), start=1):
            _right_label(axes, row, "" if np.isnan(value) else f"{value:.0%}" if fraction else power(value))
    return image


def _has_room(axes: Any) -> bool:
    return bool(axes.get_position().width * axes.figure.get_figwidth() >= MIN_NUMBERED)


PAINTERS: dict[type, Callable[[Any, Panel, Any, Palette], Any]] = {
    Polyline: _polyline,
    Band: _band,
    Points: _points,
    ReferenceLine: _reference_line,
    Contour: _contour,
    Heatmap: _heatmap,
}


# --- files -------------------------------------------------------------------------------------------------


@_defaults()
def save(chart: Chart, file: str, dark: bool = False, size: str | None = None, command: str = "") -> None:
    """Write a chart; the same chart gives the same bytes. SystemFailure where the file cannot be written.

    With a `size`, one of SIZES, it has that width, and its texts have that size. `command` becomes a part of the file's
    metadata, next to the title.
    """
    path = output_file(file, [f".{name}" for name in FORMATS])
    figure = draw(chart, dark, SIZES[size] if size else None)
    kind, title = path.suffix.lower().lstrip("."), " ".join(chart.title.split())
    metadata: dict[str, Any] = {"Title": title, "Subject" if kind == "pdf" else "Description": command}
    metadata = {key: text for key, text in metadata.items() if text}
    metadata |= {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    with write_errors(path):
        figure.savefig(path, metadata=metadata, bbox_inches=None if size else "tight", dpi=300 if size else 150)


@_defaults()
def animate(chart: Chart, file: str, dark: bool = False) -> None:
    """Write the chart as a moving picture in which the lines of all series grow point by point.

    At most MAX_FRAMES frames, evenly spaced, the last one held for a second. UsageError for another ending than .gif.
    """
    path = output_file(file, [".gif"])
    figure = draw(chart, dark)
    last = figure.axes[-1]
    last.set(xlim=last.get_xlim(), ylim=last.get_ylim())
    lines: list[Any] = [line for axes in figure.axes for line in axes.lines if line.get_label() == "series"]
    whole = [(line.get_xdata(), line.get_ydata()) for line in lines]
    longest = max(len(x) for x, _ in whole)
    steps = np.unique(np.linspace(1, longest, min(longest, MAX_FRAMES)).astype(int))
    rate = max(4, round(len(steps) / SECONDS))
    ink = last.xaxis.label.get_color()
    count = last.text(0.98, 0.96, "", transform=last.transAxes, ha="right", va="top", color=ink)

    def frame(step: int) -> None:
        for line, (x, y) in zip(lines, whole, strict=True):
            line.set_data(x[:step], y[:step])
        count.set_text(f"{last.get_xlabel()} {step - 1}")

    figure.set_dpi(DPI)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout of one frame is the layout of all
    moments = [*steps, *[longest] * rate]
    with write_errors(path):
        first, *others = _frames(figure, {*lines, count}, frame, moments)
        first.save(path, save_all=True, append_images=others, duration=1000 // rate, loop=0)


def _frames(figure: Any, moving: set[Any], frame: Callable[[int], None], moments: Sequence[int]) -> Iterator[Any]:
    """An image of each moment: what lies below the artists that move is drawn only once, five times as fast as
    PillowWriter."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    lowest = min(artist.get_zorder() for artist in moving)
    drawn = [artist for axes in figure.axes for artist in axes.get_children() if artist is not axes.patch]
    upper = sorted((a for a in drawn if a.get_zorder() >= lowest), key=lambda artist: float(artist.get_zorder()))
    for artist in upper:
        artist.set_animated(True)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    below = canvas.copy_from_bbox(figure.bbox)
    for moment in moments:
        frame(moment)
        canvas.restore_region(below)
        for artist in upper:
            artist.axes.draw_artist(artist)
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


@_defaults()
def png(figure: "Figure") -> bytes:
    """A figure as it stands in a page or a notebook."""
    content = BytesIO()
    figure.savefig(content, format="png", bbox_inches="tight", dpi=100)
    return content.getvalue()
