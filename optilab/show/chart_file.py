"""Charts as picture files by matplotlib: PNG, SVG and PDF, and moving ones as GIF and MP4.

Every picture is a matplotlib Figure until `save` writes it; the extension of the file chooses the format. matplotlib is
imported only inside functions.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from math import lcm
from pathlib import Path
from textwrap import fill, wrap
from typing import TYPE_CHECKING, Any

import numpy as np

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

FORMATS = ("png", "svg", "pdf")
MARKED = 12
"""Markers of a line with many points: they tell lines apart without color."""
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
    def applied(self, points: float) -> Iterator[None]:
        """matplotlib's settings for the pictures made inside, with texts of that size."""
        import matplotlib as mpl

        grounds = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
        inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
        settings: Any = {
            **dict.fromkeys(grounds, self.ground),
            **dict.fromkeys(inks, self.ink),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "axes.titlelocation": "left",
            "font.size": points,
            "legend.fontsize": "medium",
            "lines.scale_dashes": True,
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


@dataclass(frozen=True)
class PaperSize:
    """Where a picture goes: its width in inches, its texts in points, and how many panels stand side by side."""

    width: float
    points: float
    beside: int


SIZES = {"column": PaperSize(3.3, 8, 1), "page": PaperSize(6.9, 8, 2), "slide": PaperSize(10, 14, 2)}
"""A column and a page of a two-column paper, and a slide."""


def draw(chart: Chart, dark: bool = False, size: PaperSize | None = None) -> "Figure":
    """The chart as a figure of matplotlib."""
    palette = DARK if dark else LIGHT
    with palette.applied(size.points if size else 11.0):
        return _figure(chart, palette, size)


def _figure(chart: Chart, palette: Palette, size: PaperSize | None = None) -> "Figure":
    rows = [*chart.rows] if size is None else [part for row in chart.rows for part in _parts(row, size)]
    width = size.width if size else 11.0 if any(len(row.panels) > 1 for row in rows) else 7.0
    title = "\n".join(wrap(chart.title, int(width * 13)))
    labels = list(_legend(chart, palette))
    across = max(1, min(len(labels), int(width * 12 / (6 + max((len(label) for _, label in labels), default=0)))))
    height = sum(row.height for row in rows) + 0.25 * (-(-len(labels) // across) + title.count("\n") + 1)
    figure = _empty(width, height)
    columns = lcm(*(len(row.panels) for row in rows))
    grid = figure.add_gridspec(len(rows), columns, height_ratios=[row.height for row in rows])
    colored: dict[Scale, list[tuple[Panel, Any, Any]]] = {}  # (panel, axes, image) of each scale of colors
    for number, row in enumerate(rows):
        wide = columns // len(row.panels)
        for place, panel in enumerate(row.panels):
            axes = figure.add_subplot(grid[number, place * wide : (place + 1) * wide])
            for mark in panel.marks:
                image = PAINTERS[type(mark)](axes, panel, mark, palette)
                if image is not None:
                    colored.setdefault(mark.scale, []).append((panel, axes, image))  # type: ignore[union-attr]
            _frame(axes, panel, number == len(rows) - 1)
    for scale, images in colored.items():
        _color_bar(figure, scale, images)
    if labels:
        handles, names = zip(*labels, strict=True)
        figure.legend(handles, names, loc="outside lower center", ncols=across)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize="medium")
    return figure


def _parts(row: PanelRow, size: PaperSize) -> Iterator[PanelRow]:
    """The panels of a row that fit side by side; those of layers stay together."""
    beside = len(row.panels) if row.panels[0].is_layered and size.beside > 1 else size.beside
    for start in range(0, len(row.panels), beside):
        part = row.panels[start : start + beside]
        yield PanelRow(part, min(row.height, size.width / len(part) * 0.8))


def _legend(chart: Chart, palette: Palette) -> Iterator[tuple[Any, str]]:
    """What lines and signs mean: the series, their roles where there are several, and marks with a label."""
    from matplotlib.lines import Line2D

    marks = [mark for panel in chart.panels for mark in panel.marks]
    lines = [mark for mark in marks if isinstance(mark, Polyline)]
    for series, name in enumerate(chart.series):
        if own := max(
            (line for line in lines if line.series == series), key=lambda line: line.width, default=None
        ):
            yield Line2D([], [], **_style(own, palette)), fill(name, 100)
    roles = {line.role: line for line in lines if line.role}
    for role, line in roles.items() if len(roles) > 1 else ():
        style = {"color": palette.ink, "marker": "", "linestyle": _DASHED if line.dash == "dashed" else "-"}
        yield Line2D([], [], **_style(line, palette) | style), role
    for mark in {mark.label: mark for mark in marks if isinstance(mark, Points | Contour) and mark.label}.values():
        if isinstance(mark, Points):
            yield Line2D([], [], **_sign(mark, palette)), mark.label
        else:
            yield Line2D([], [], color=palette.color(1), linestyle="--", linewidth=2), mark.label
    for color, label in dict.fromkeys(
        pair for mark in marks if isinstance(mark, Heatmap) for pair in _gaps(mark, palette)
    ):
        yield Line2D([], [], linestyle="", marker="s", color=color, markeredgecolor=palette.ink), label


def _gaps(heat: Heatmap, palette: Palette) -> Iterator[tuple[str, str]]:
    """The colors of the cells of a map that have no value, and why."""
    if heat.kinds and (heat.values < 0).any():
        yield palette.nothing, "no minimum reached"
    elif heat.gone is not None and not heat.kinds:
        if heat.gone.any():
            yield palette.nothing, "diverged"
        if (~np.isfinite(heat.values) & ~heat.gone).any():
            yield palette.unknown, "not converged"


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
            axis.set_ticks(ticks, [scale.names[tick - 1] for tick in ticks], fontsize="small")
        if last or name == "y" or not panel.is_layered:
            axis.set_label_text(scale.label)
    axes.set_title(panel.title)
    if panel.is_layered:
        axes.tick_params(left=False)
        axes.spines[:].set(visible=True, linewidth=0.4)
    elif not panel.is_plane:
        axes.grid(alpha=0.25, linewidth=0.5)


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


def _color_bar(figure: "Figure", scale: Scale, images: Sequence[tuple[Panel, Any, Any]]) -> None:
    """What colors mean: below all maps of layers with this scale, next to another map."""
    from matplotlib.ticker import PercentFormatter

    panel, _, image = images[-1]
    place: dict[str, Any] = (
        {"location": "bottom", "aspect": 40, "pad": 0.04} if panel.is_layered else {"pad": 0.02}
    )
    bar = figure.colorbar(image, ax=[axes for _, axes, _ in images], label=scale.label, **place)
    bar.outline.set(linewidth=0.4)
    bar.minorticks_off()
    if scale.unit == "fraction":
        (bar.ax.xaxis if panel.is_layered else bar.ax.yaxis).set_major_formatter(PercentFormatter(1.0))


def _beside(axes: Any, height: float, text: str) -> None:
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
        style["markevery"] = 1 if panel.is_plane or panel.x.names else max(1, len(x) // MARKED)
    if line.step:
        style["drawstyle"] = "steps-post"
    (drawn,) = axes.plot(x, y, **style)
    drawn.grows = line.series is not None


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
    if points.symbol == "best" and panel.y.is_set:
        style["clip_on"] = not np.all(np.abs(panel.y.place(points.y) - 0.5) <= 0.5)  # it may lie on the edge
    axes.plot(points.x, points.y, **style)
    if not points.name:
        return
    first = np.ravel(points.x)[0], np.ravel(points.y)[0]
    text: dict[str, Any] = {"textcoords": "offset points", "fontsize": "small", "xytext": (5, 7)}
    if points.symbol in ("start", "minimum"):
        box = {"facecolor": palette.ground, "edgecolor": "none", "alpha": 0.75, "pad": 1.5}
        below = (
            points.symbol == "start" and float(panel.y.place(first[1])) >= 0.1
        )  # lower, it would lie on the axis
        text |= {"bbox": box, "zorder": 6, "xytext": (8, -14) if below else (8, 9)}
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
        axes.annotate(line.name, (line.x, 1), xytext=(0, 3), color=color, fontsize="small", ha="center", **place)


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
            axes.annotate(
                written, (heat.x[column], heat.y[row]), color=ink, fontsize="x-small", ha="center", va="center"
            )
        return image
    moving = ~np.isfinite(heat.values) & ~heat.gone
    if moving.any():
        from matplotlib.colors import ListedColormap

        cells = np.ma.masked_where(~moving, moving.astype(float))
        axes.pcolormesh(heat.x, heat.y, cells, cmap=ListedColormap([palette.unknown]), **style)
    return image


def _kinds(axes: Any, heat: Heatmap, palette: Palette) -> None:
    from matplotlib.colors import ListedColormap

    count = int(heat.values.max()) + 1
    colors = [palette.nothing, *map(palette.color, range(count))]
    axes.pcolormesh(
        heat.x, heat.y, np.where(heat.values < 0, 0, heat.values + 1), cmap=ListedColormap(colors), vmin=-0.5,
        vmax=count + 0.5, rasterized=True, shading="nearest", alpha=0.85,
    )  # fmt: skip


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


PAINTERS: dict[type, Callable[[Any, Panel, Any, Palette], Any]] = {
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


def save(chart: Chart, file: str, dark: bool = False, size: str | None = None, command: str = "") -> None:
    """Write a chart; the same chart gives the same bytes. SystemFailure where the file cannot be written.

    With a `size`, one of SIZES, it has that width, and its texts have that size. `command` becomes a part of the file's
    metadata, next to the title.
    """
    path = check(file)
    figure = draw(chart, dark, SIZES[size] if size else None)
    kind, title = path.suffix.lower().lstrip("."), " ".join(chart.title.split())
    metadata: dict[str, Any] = {"Title": title, "Subject" if kind == "pdf" else "Description": command}
    metadata = {key: text for key, text in metadata.items() if text}
    metadata |= {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    import matplotlib as mpl

    # No random names; text as text; fonts that submission systems accept.
    fonts = mpl.rc_context({"svg.hashsalt": "optilab", "svg.fonttype": "none", "pdf.fonttype": 42})
    with write_errors(path), fonts:
        figure.savefig(path, metadata=metadata, bbox_inches=None if size else "tight", dpi=300 if size else 150)


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
    with palette.applied(11.0):
        figure = _figure(chart, palette)
        every = figure.axes
        last = every[-1]
        last.set(xlim=last.get_xlim(), ylim=last.get_ylim())
        lines: list[Any] = [line for axes in every for line in axes.lines if getattr(line, "grows", False)]
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
