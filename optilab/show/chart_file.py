"""Charts as picture files by matplotlib: PNG, SVG and PDF, and moving ones as GIF and MP4.

Every picture is a matplotlib Figure until `save` writes it; the extension of the file chooses the format. matplotlib is
imported only inside functions.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from math import lcm
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optilab.errors import UsageError
from optilab.files import output_file, write_errors
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
    Scale,
    Threshold,
)
from optilab.words import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
FORMATS = ("png", "svg", "pdf")
MARKED = 12
"""Markers of a line with many points: they tell lines apart without color."""
PIXELS = 600
"""Places of a line that a file tells apart."""
LAYERED = 4
"""Rows of heat maps over epochs; more groups are shown after the last epoch, each as a line."""
NUMBERED = 14
"""Rows of a heat map next to which the last value is written; more have no room."""
HEATED = 500
"""Points of an axis at which the height of a plane is computed, at most: more than a file shows."""
FRAMES, SECONDS = 120, 8
"""For a moving picture."""

_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
_DASHED, _DOTTED = (0, (5, 3)), (0, (1, 3))


@dataclass(frozen=True)
class Palette:
    """The colors of a picture."""

    ink: str
    ground: str
    nothing: str
    """Of cells without a value."""
    unknown: str
    """Of cells whose value more epochs would give."""
    heights: str
    """matplotlib's name of the colors of a plane."""
    colors: tuple[str, ...]

    def color(self, series: int | None) -> str:
        return self.ink if series is None else self.colors[series % len(self.colors)]

    def dashes(self, series: int | None) -> Any:
        """No two of the first 24 series have the same color and dashes."""
        return _DASHES[(series or 0) // len(self.colors) % len(_DASHES)]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """matplotlib's settings for the pictures made inside."""
        import matplotlib as mpl

        grounds = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
        inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
        settings: Any = {
            **dict.fromkeys(grounds, self.ground),
            **dict.fromkeys(inks, self.ink),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "font.size": 11,
            "legend.frameon": False,
            "legend.handlelength": 2.6,
            "figure.dpi": 120,
        }
        with mpl.rc_context(settings):
            yield


LIGHT = Palette(
    "#202020", "#ffffff", "#d9d9d9", "#f2c6c2", "bone_r",
    LIGHT_COLORS,
)  # fmt: skip
DARK = Palette(
    "#e8e8e8", "#15181c", "#3a3a3a", "#6b4a4a", "bone",
    DARK_COLORS,
)  # fmt: skip


# --- the picture -------------------------------------------------------------------------------------------


def draw(chart: Chart, dark: bool = False) -> "Figure":
    """The chart as a figure of matplotlib."""
    palette = DARK if dark else LIGHT
    with palette.applied():
        return _figure(chart, palette, _rows(chart))[0]


def _rows(chart: Chart) -> list[PanelRow]:
    """The rows; those of more than LAYERED groups' layers as one row of lines."""
    layered = [row for row in chart.rows if row.panels[0].is_layered]
    if len(layered) <= LAYERED:
        return list(chart.rows)
    profiles = tuple(_profile([row.panels[i] for row in layered]) for i in range(len(layered[0].panels)))
    return [*(row for row in chart.rows if not row.panels[0].is_layered), PanelRow(profiles, 3.2)]


def _profile(panels: Sequence[Panel]) -> Panel:
    """The last columns of maps of layers: a line of each group, from the first layer, below, to the last."""
    maps = [mark for panel in panels for mark in panel.marks if isinstance(mark, Heatmap)]
    lines = tuple(
        Polyline(one.values[:, -1], one.y, one.series, width=1.6, dash="series", marker=5, every=1) for one in maps
    )
    scale, y = maps[0].scale, max((panel.y for panel in panels), key=lambda y: len(y.names))
    low, high = scale.ends
    ends = (low / 2, high * 2) if scale.log else (low - 0.03, high + 0.03)
    return Panel(lines, Scale(f"{scale.label} after the last epoch", *ends, scale.log, scale.unit), y)


def _figure(chart: Chart, palette: Palette, rows: Sequence[PanelRow]) -> tuple["Figure", list[Any]]:
    """The figure, and its axes in the order of the panels."""
    figure = _empty(chart.width, chart.height or _height(chart, rows))
    columns = lcm(*(len(row.panels) for row in rows))
    grid = figure.add_gridspec(len(rows), columns, height_ratios=[row.height for row in rows])
    drawn: list[tuple[Any, Panel]] = []
    colored: dict[Scale, list[tuple[Any, Any]]] = {}  # (axes, image) of each scale of colors
    for number, row in enumerate(rows):
        wide = columns // len(row.panels)
        for place, panel in enumerate(row.panels):
            axes = figure.add_subplot(grid[number, place * wide : (place + 1) * wide])
            for mark in panel.marks:
                image = _PAINTERS[type(mark)](axes, panel, mark, palette)
                if image is not None:
                    colored.setdefault(mark.scale, []).append((axes, image))  # type: ignore[union-attr]
            _frame(axes, panel, number == len(rows) - 1)
            drawn.append((axes, panel))
    for scale, images in colored.items():
        _color_bar(figure, scale, images, drawn)
    handles: list[Any] = []
    labels: list[str] = []
    for axes, panel in drawn:
        if not panel.own_legend:
            own = axes.get_legend_handles_labels()
            handles, labels = [*handles, *own[0]], [*labels, *own[1]]
    if labels:
        columns = min(len(labels), chart.columns)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=chart.legend_size)
    if chart.title:
        figure.suptitle(chart.title, x=0.01, ha="left", fontsize=chart.title_size)
    return figure, [axes for axes, _ in drawn]


def _height(chart: Chart, rows: Sequence[PanelRow]) -> float:
    """Inches of the rows, the title and the legend."""
    labels = [getattr(mark, "label", "") for p in chart.panels if not p.own_legend for mark in p.marks]
    lines = -(-sum(label.count("\n") + 1 for label in labels if label) // chart.columns)
    title = 0.2 * (chart.title.count("\n") + 1)
    return sum(row.height for row in rows) + title + 0.25 * lines + 0.6 * (len(rows) > 1)


# --- axes --------------------------------------------------------------------------------------------------


def _frame(axes: Any, panel: Panel, last: bool) -> None:
    """Ranges, ticks, names and grid; epochs are named below the `last` row of layers only."""
    from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter

    for scale, axis, name in ((panel.x, axes.xaxis, "x"), (panel.y, axes.yaxis, "y")):
        # A logarithmic scale of less than an octave would write its ticks as 3.15 x 10^0.
        narrow = name == "y" and scale.log and not panel.is_plane and scale.ends[1] < 2 * scale.ends[0]
        if not panel.is_layered or name == "y":
            axes.set(**{f"{name}scale": "log" if scale.log and not narrow else "linear"})
            if scale.is_set and scale.low != scale.high:
                axes.set(**{f"{name}lim": _limits(scale)})
        if scale.ticks:
            axis.set_ticks(scale.ticks, [f"{tick:.3g}" for tick in scale.ticks])
            axes.minorticks_off()
        if scale.unit == "epochs":
            few = range(1, round(scale.ends[1]) + 1)
            axis.set_major_locator(FixedLocator(few) if len(few) < 6 else MaxNLocator(integer=True, nbins=6))
        if scale.unit == "fraction":
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0 if name == "y" else None))
        if scale.names:
            ticks = np.unique(np.linspace(1, len(scale.names), min(len(scale.names), NUMBERED)).astype(int))
            axis.set_ticks(ticks, [scale.names[tick - 1] for tick in ticks], fontsize=9)
        if last or name == "y" or not panel.is_layered:
            axis.set_label_text(scale.tex or scale.label, **({"fontsize": 9} if scale.names else {}))
    if panel.title:
        axes.set_title(panel.title, **({"fontsize": 11} if panel.is_layered else {}))
    if panel.is_layered:
        axes.tick_params(left=False)
        axes.spines[:].set(visible=True, linewidth=0.4)
    elif not panel.is_plane:
        axes.grid(alpha=0.25, linewidth=0.5)
    if panel.own_legend:
        axes.legend(loc="lower right", fontsize=9, ncols=3)


def _limits(scale: Scale) -> tuple[float, float]:
    """The ends of an axis, with room."""
    low, high = scale.ends
    if scale.unit == "epochs":
        room = max(0.02 * high, 0.3)
        return low - room, high + room
    if scale.log:
        room = max(high / low, 1.1) ** scale.margin
        return low / room, high * room
    room = scale.margin * (high - low)
    return low - room, high + room


def _color_bar(figure: "Figure", scale: Scale, images: Sequence[tuple[Any, Any]], drawn: Any) -> None:
    """What colors mean: below all maps of layers with this scale, next to another map."""
    from matplotlib.ticker import PercentFormatter

    cells, label = [axes for axes, _ in images], scale.tex or scale.label
    if not next(panel for axes, panel in drawn if axes is cells[0]).is_layered:
        bar = figure.colorbar(images[0][1], ax=cells[0], label=label, pad=0.02)
        if scale.unit == "fraction":
            bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
        return
    bar = figure.colorbar(images[-1][1], ax=cells, location="bottom", aspect=40, pad=0.04)
    bar.outline.set(linewidth=0.4)
    bar.minorticks_off()
    bar.set_label(label)
    if scale.unit == "fraction":
        bar.ax.xaxis.set_major_formatter(PercentFormatter(1.0))


def _beside(axes: Any, height: float, text: str) -> None:
    """A word next to the right edge."""
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(text, (1, height), xytext=(3, 0), va="center", fontsize=8, **place)


# --- marks -------------------------------------------------------------------------------------------------


def _polyline(axes: Any, panel: Panel, line: Polyline, palette: Palette) -> None:
    x, y = np.asarray(line.x), np.asarray(line.y)
    if panel.x.unit == "epochs":
        x, y = _thinned(x, y)
    if panel.y.log:
        y = np.minimum(y, 1e280)  # room for the transformations of a logarithmic axis
    style: dict[str, Any] = {"color": palette.color(line.series), "linewidth": line.width, "alpha": line.alpha}
    style["linestyle"] = {"series": palette.dashes(line.series), "dashed": _DASHED, "solid": "-"}[line.dash]
    if line.marker:
        every = line.every or max(1, len(x) // MARKED)
        style |= {"marker": MARKERS[(line.series or 0) % len(MARKERS)], "markersize": line.marker}
        style["markevery"] = list(every) if isinstance(every, tuple) else every
    if line.step:
        style["drawstyle"] = "steps-post"
    (drawn,) = axes.plot(x, y, label=line.label or None, **style)
    drawn.grows = line.series is not None


def _thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Of thousands of points the lowest and the highest of each column of the picture."""
    if len(x) <= 4 * PIXELS:
        return x, y
    columns = np.array_split(np.arange(len(x)), PIXELS)
    ends = [(c[0], c[np.argmin(y[c])], c[np.argmax(y[c])]) for c in columns]
    chosen = np.unique([*np.ravel(ends), len(x) - 1])
    return x[chosen], y[chosen]


def _band(axes: Any, panel: Panel, band: Band, palette: Palette) -> None:
    axes.fill_between(band.x, band.low, band.high, color=palette.color(band.series), alpha=band.alpha, linewidth=0)


_SYMBOLS: dict[str, dict[str, Any]] = {
    "start": {"marker": "o", "markersize": 8, "zorder": 5},
    "minimum": {"marker": "*", "markersize": 13, "zorder": 5},
    "best": {"marker": "*", "markersize": 13, "zorder": 5},
    "optimum": {"marker": "*", "markersize": 15, "color": "white", "markeredgecolor": "black"},
    "place": {"marker": "o", "markersize": 6, "zorder": 5},
    "dot": {"marker": ".", "markersize": 6},
}


def _points(axes: Any, panel: Panel, points: Points, palette: Palette) -> None:
    symbol = points.symbol
    style: dict[str, Any] = {"color": palette.ground if points.series is None else palette.color(points.series)}
    if symbol != "dot":
        style["markeredgecolor"] = palette.ink
    style |= {"linestyle": "", "alpha": points.alpha, **_SYMBOLS[symbol]}
    if points.size is not None:
        style["markersize"] = points.size
    if symbol == "best" and len(np.ravel(points.x)) and panel.y.is_set:
        style["clip_on"] = not np.all(np.abs(panel.y.place(points.y) - 0.5) <= 0.5)  # it may lie on the edge
    axes.plot(points.x, points.y, label=points.label or None, **style)
    if not points.name:
        return
    first = np.ravel(points.x)[0], np.ravel(points.y)[0]
    text: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9, "xytext": (5, 7)}
    if symbol in ("start", "minimum"):
        box = {"facecolor": palette.ground, "edgecolor": "none", "alpha": 0.75, "pad": 1.5}
        text |= {"fontsize": 10, "bbox": box, "zorder": 6, "xytext": (8, 9)}
        if symbol == "start" and float(panel.y.place(first[1])) >= 0.1:  # a lower name would lie on the axis
            text["xytext"] = (8, -14)
    elif points.before:
        text |= {"xytext": (-7, -4), "ha": "right"}
    axes.annotate(points.name, first, **text)


def _threshold(axes: Any, panel: Panel, line: Threshold, palette: Palette) -> None:
    color = palette.color(line.series)
    if line.y is not None:
        axes.axhline(line.y, color=color, linewidth=0.8, linestyle=_DOTTED, zorder=0)
        if line.name:
            _beside(axes, line.y, line.name)
    if line.x is not None:
        axes.axvline(line.x, color=color, linewidth=2.0)
        place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        axes.annotate(line.name, (line.x, 1), xytext=(0, 3), color=color, fontsize=10, ha="center", **place)


def _contour(axes: Any, panel: Panel, contour: Contour, palette: Palette) -> None:
    if contour.level is not None:
        _edge(axes, panel, contour, palette)
        return
    x, y = np.linspace(*panel.x.ends, 241), np.linspace(*panel.y.ends, 241)
    height = contour.decades(x, y)
    steps = np.linspace(np.nanmin(height), np.nanmax(height), 15)
    pale = steps[0] + 2.5 * (steps[-1] - steps[0])  # a pale part of the colors, so that the paths stand out
    axes.contourf(x, y, height, steps, cmap=palette.heights, alpha=0.55, vmin=steps[0], vmax=pale)
    axes.contour(x, y, height, steps, colors=palette.ink, linewidths=0.4, alpha=0.35, linestyles="solid")


def _edge(axes: Any, panel: Panel, contour: Contour, palette: Palette) -> None:
    """One line of equal height, dashed on white; nothing where the height is on one side of it everywhere."""
    color = palette.color(1)
    if contour.exact is not None:
        axes.plot(*contour.exact, color="white", linewidth=3.6)
        axes.plot(*contour.exact, "--", color=color, linewidth=2)
    else:
        heat = next(mark for mark in panel.marks if isinstance(mark, Heatmap))
        x, y = (points[:: max(1, len(points) // HEATED)] for points in (heat.x, heat.y))
        height = contour.height(x, y)
        if height is None or not height.min() < contour.level < height.max():
            return
        axes.contour(x, y, height, levels=[contour.level], colors="white", linewidths=3.6)
        axes.contour(x, y, height, levels=[contour.level], colors=color, linewidths=2, linestyles="--")
    axes.plot([], [], "--", color=color, linewidth=2, label=contour.label)


def _heatmap(axes: Any, panel: Panel, heat: Heatmap, palette: Palette) -> Any:
    """The image that a color bar explains, if any."""
    if panel.is_layered:
        return _layers(axes, panel, heat, palette)
    if heat.kinds:
        return _kinds(axes, heat, palette)
    axes.set_facecolor(palette.nothing)
    style = {"rasterized": True, "shading": "nearest"}
    image = axes.pcolormesh(heat.x, heat.y, heat.values, cmap="viridis", **style)
    if panel.x.names:  # few cells, of two settings: each has its number
        for row, column in np.argwhere(np.isfinite(heat.values)):
            value = heat.values[row, column]
            written = percent(value) if heat.scale.unit == "fraction" else f"{value:.3g}"
            shade = image.norm(value)
            ink = "#ffffff" if shade < 0.6 else "#202020"
            axes.annotate(written, (heat.x[column], heat.y[row]), color=ink, fontsize=8, ha="center", va="center")
        return image
    _key(axes, palette.nothing, "diverged", palette)
    moving = ~np.isfinite(heat.values) & ~heat.gone
    if moving.any():
        from matplotlib.colors import ListedColormap

        cells = np.ma.masked_where(~moving, moving.astype(float))
        axes.pcolormesh(heat.x, heat.y, cells, cmap=ListedColormap([palette.unknown]), **style)
        _key(axes, palette.unknown, "not converged", palette)
    return image


def _key(axes: Any, color: str, label: str, palette: Palette) -> None:
    """A square in the legend."""
    axes.plot([], [], "s", color=color, markeredgecolor=palette.ink, label=label)


def _kinds(axes: Any, heat: Heatmap, palette: Palette) -> None:
    from matplotlib.colors import ListedColormap

    count = int(heat.values.max()) + 1
    colors = [palette.nothing, *map(palette.color, range(count))]
    axes.pcolormesh(
        heat.x, heat.y, np.where(heat.values < 0, 0, heat.values + 1), cmap=ListedColormap(colors), vmin=-0.5,
        vmax=count + 0.5, rasterized=True, shading="nearest", alpha=0.85,
    )  # fmt: skip
    if (heat.values < 0).any():
        _key(axes, palette.nothing, "no minimum reached", palette)


def _layers(axes: Any, panel: Panel, heat: Heatmap, palette: Palette) -> Any:
    """Layers over epochs: the input below, the output above, with the last values where there is room."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    low, high = heat.scale.ends
    fraction = heat.scale.unit == "fraction"  # from the ground, which is zero, to a color
    colors = (
        LinearSegmentedColormap.from_list("fraction", [palette.ground, palette.color(1)])
        if fraction
        else "viridis"
    )
    count, epochs = heat.values.shape
    image = axes.imshow(
        heat.values, norm=LogNorm(low, high, clip=True) if heat.scale.log else Normalize(low, high), cmap=colors,
        aspect="auto", origin="lower", interpolation="nearest", extent=(0.5, epochs + 0.5, 0.5, count + 0.5),
    )  # fmt: skip
    if count <= NUMBERED:
        for row, value in enumerate(heat.values[:, -1].tolist(), start=1):
            _beside(axes, row, "" if np.isnan(value) else f"{value:.0%}" if fraction else _short(value))
    return image


def _short(value: float) -> str:
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+") if value else "0"


_PAINTERS: dict[type, Callable[[Any, Panel, Any, Palette], Any]] = {
    Polyline: _polyline,
    Band: _band,
    Points: _points,
    Threshold: _threshold,
    Contour: _contour,
    Heatmap: _heatmap,
}


# --- files -------------------------------------------------------------------------------------------------


def check(file: str, formats: tuple[str, ...] = FORMATS) -> Path:
    """The path of a picture to write; UsageError for an unknown format or a missing directory."""
    return output_file(file, [f".{name}" for name in formats])


@dataclass(frozen=True)
class PaperSize:
    """Where a picture goes: its width in inches, its texts in points, and how many panels stand side by side."""

    width: float
    points: float
    beside: int


SIZES = {"column": PaperSize(3.3, 8, 1), "page": PaperSize(6.9, 8, 2), "slide": PaperSize(10, 14, 2)}
"""A column and a page of a two-column paper, and a slide."""


def save(chart: Chart, file: str, dark: bool = False, size: str | None = None, command: str = "") -> None:
    """Write a chart; the same chart gives the same bytes. SystemFailure where the file cannot be written.

    With a `size`, one of SIZES, it has that width, and its texts have that size. `command` becomes a part of the file's
    metadata, next to the title.
    """
    path = check(file)
    figure = draw(chart, dark) if size is None else _sized(chart, dark, SIZES[size])
    kind, title = path.suffix.lower().lstrip("."), " ".join(chart.title.split())
    metadata: dict[str, Any] = {"Title": title, "Subject" if kind == "pdf" else "Description": command}
    metadata = {key: text for key, text in metadata.items() if text}
    metadata |= {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    import matplotlib as mpl

    # No random names; text as text; fonts that submission systems accept.
    fonts = mpl.rc_context({"svg.hashsalt": "optilab", "svg.fonttype": "none", "pdf.fonttype": 42})
    with write_errors(path), fonts:
        figure.savefig(path, metadata=metadata, bbox_inches=None if size else "tight", dpi=300 if size else 150)


def _sized(chart: Chart, dark: bool, size: PaperSize) -> "Figure":
    """The chart with the panels that fit side by side, every text of one size, and lines to match."""
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    rows = []
    for row in _rows(chart):
        beside = len(row.panels) if row.panels[0].is_layered and size.beside > 1 else size.beside
        parts = [row.panels[i : i + beside] for i in range(0, len(row.panels), beside)]
        panels_high = row.height if chart.height is None or len(chart.rows) > 1 else 2.4
        rows += [PanelRow(part, min(panels_high, size.width / len(part) * 0.8)) for part in parts]
    letters = round(size.width * 72 / (0.55 * size.points))
    title = chart.title if "$" in chart.title else "\n".join(wrap(chart.title, letters))
    longest = max(
        (len(label) for p in chart.panels for m in p.marks if (label := getattr(m, "label", ""))), default=1
    )
    made = replace(
        chart,
        rows=tuple(rows),
        title=title,
        width=size.width,
        height=None,
        columns=max(1, min(chart.columns, letters // (longest + 8))),
        legend_size=size.points,
        title_size=size.points,
    )
    palette, scale = DARK if dark else LIGHT, size.points / 11
    with palette.applied():
        figure = _figure(made, palette, rows)[0]
    for text in figure.findobj(Text):
        text.set_fontsize(size.points)
    for line in figure.findobj(Line2D):
        line.set(linewidth=line.get_linewidth() * scale, markersize=line.get_markersize() * scale)
    return figure


def animate(chart: Chart, file: str, dark: bool = False) -> None:
    """Write the chart as a moving picture in which the lines of all series grow point by point.

    At most FRAMES frames, evenly spaced, the last one held for a second. UsageError for another ending than .gif and
    .mp4, or .mp4 without ffmpeg.
    """
    from matplotlib.animation import FFMpegWriter

    path = check(file, ("gif", "mp4"))
    if path.suffix == ".mp4" and not FFMpegWriter.isAvailable():
        raise UsageError(
            f"{file}: .mp4 needs the program ffmpeg, which is not installed; .gif and .html need nothing"
        )
    palette = DARK if dark else LIGHT
    with palette.applied():
        figure, every = _figure(replace(chart, width=10, height=4.4), palette, chart.rows)
        *_, last = every
        last.set(xlim=last.get_xlim(), ylim=last.get_ylim())
        lines = [line for axes in every for line in axes.lines if getattr(line, "grows", False)]
        whole = [(line.get_xdata(), line.get_ydata()) for line in lines]
        longest = max(len(x) for x, _ in whole)
        steps = np.unique(np.linspace(1, longest, min(longest, FRAMES)).astype(int))
        rate = max(4, round(len(steps) / SECONDS))
        count = last.text(0.98, 0.96, "", transform=last.transAxes, ha="right", va="top")

        def frame(step: int) -> None:
            for line, (x, y) in zip(lines, whole, strict=True):
                line.set_data(x[:step], y[:step])
            count.set_text(f"{last.get_xlabel()} {step - 1}")

        figure.set_dpi(90)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # the layout of one frame is the layout of all
        moments = [*steps, *[longest] * rate]
        with write_errors(path):
            if path.suffix.lower() == ".gif":
                _write_gif(figure, [*lines, count], moments, frame, path, 1000 // rate)
                return
            writer = FFMpegWriter(fps=rate)
            with writer.saving(figure, path, 90):
                for step in moments:
                    frame(step)
                    writer.grab_frame()


def _write_gif(
    figure: Any, moving: list[Any], moments: list[int], frame: Callable[[int], None], path: Path, pause: int
) -> None:
    """A frame for each moment, `pause` ms long: what lies below the artists that move is drawn only once."""
    from PIL import Image

    lowest = min(artist.get_zorder() for artist in moving)
    upper = sorted(
        (
            artist
            for axes in figure.axes
            for artist in axes.get_children()
            if artist.get_zorder() >= lowest and artist is not axes.patch
        ),
        key=lambda artist: float(artist.get_zorder()),
    )
    for artist in upper:
        artist.set_animated(True)
    figure.canvas.draw()
    below, images = figure.canvas.copy_from_bbox(figure.bbox), []
    for moment in moments:
        frame(moment)
        figure.canvas.restore_region(below)
        for artist in upper:
            artist.axes.draw_artist(artist)
        images.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB"))
    images[0].save(path, save_all=True, append_images=images[1:], duration=pause, loop=0)


def png(figure: "Figure") -> bytes:
    """A figure as it stands in a page or a notebook."""
    content = BytesIO()
    figure.savefig(content, format="png", bbox_inches="tight", dpi=100)
    return content.getvalue()


def _empty(width: float, height: float) -> "Figure":
    """A figure without a window and without axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure: Figure = _picture()(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@cache
def _picture() -> Any:
    from matplotlib.figure import Figure

    class Picture(Figure):
        """A figure that a notebook shows, also one in which nobody has imported pyplot."""

        def _repr_png_(self) -> bytes:
            return png(self)

    return Picture
