"""Charts as SVG for pages, drawn in the units of the data, so that a script can read and enlarge them.

The texts of a panel are placed in percent and keep their size at any width. In it is a plot, whose viewBox is the range
of the axes and which is stretched. `d` of a curve holds its values, on a
logarithmic axis their log10; y upwards is negative.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil, floor, isfinite, log10
from typing import Any

import numpy as np
from markupsafe import Markup

from optilab.errors import printable
from optilab.numbers import brief, percent, short_percent
from optilab.show.chart import (
    LIGHT_COLORS,
    VIRIDIS,
    Band,
    Chart,
    Contour,
    Heatmap,
    Panel,
    Points,
    Polyline,
    ReferenceLine,
    Scale,
)

LINE_HEIGHT = 7.0
"""Percent of the height of an area that a line of names next to it needs."""
MAX_ALL_VISIBLE = 12
"""Up to this number of series, all are visible at first; else the first MAX_VISIBLE."""
MAX_VISIBLE = 6
MAX_DETAILED = 24
"""Series that colors and dashes tell apart; of more no thin lines are drawn."""
MAX_POINTS = 60_000
"""Points of the lines of a panel. Of longer lines the extremes of columns are drawn, of which there are at least
MIN_COLUMNS."""
MIN_COLUMNS = 50
MAX_CELLS = 320
"""Rows and columns of a map."""
SHADES = 48
"""Colors of a map."""
MAX_WRITTEN_CELLS = 120
"""Cells of a map that has its values written."""
MAX_SHORT_NAME = 4
"""Letters of a name left of a row for which a number's room is enough."""
MAX_NAME_LENGTH = 20
"""Letters of a name next to a line."""


def figure(chart: Chart) -> Markup:
    """The panels of a chart, a row after the other."""
    rows = (
        (len(row.panels), Markup("\n").join(_panel(panel.autoscaled(), chart) for panel in row.panels))
        for row in chart.rows
    )
    return Markup("\n").join(
        _svg('<div class="panels of{count}">{row}</div>', count=count, row=row) for count, row in rows
    )


def is_visible(chart: Chart, series: int | None) -> bool:
    """True if a series is visible when the page opens."""
    return series is None or len(chart.series) <= MAX_ALL_VISIBLE or series < MAX_VISIBLE


def switches(chart: Chart) -> list[tuple[str, bool]]:
    """The series that a reader can switch, and whether each is shown at first; none where there is a single one."""
    marks = [mark for panel in chart.panels for mark in panel.marks]
    if len(chart.series) < 2 or not any(isinstance(mark, Polyline) for mark in marks):
        return []
    return [(name, is_visible(chart, i)) for i, name in enumerate(chart.series)]


def signs(chart: Chart) -> Iterator[tuple[str, str]]:
    """The signs other than those of series: the class of each, and what it means."""
    for label, mark in chart.signs.items():
        yield f"{mark.symbol} {_style(mark.series)}" if isinstance(mark, Points) else "edge", label
    heats = [mark for panel in chart.panels for mark in panel.marks if isinstance(mark, Heatmap)]
    named = (next(iter(heat.gaps)) for heat in heats if heat.gaps and not (heat.categorical or _is_named(heat)))
    yield from (("gone", name) for name in dict.fromkeys(named))


def _is_named(heat: Heatmap) -> bool:
    return bool(heat.values.size <= MAX_WRITTEN_CELLS)


def _svg(template: str, **values: Any) -> Markup:
    """An element; its texts are escaped, and control characters are visible."""
    return Markup(template).format(**{k: printable(v) if type(v) is str else v for k, v in values.items()})


class _Frame:
    """A panel with its axes in their own units: log10 of a logarithmic one."""

    def __init__(self, panel: Panel, chart: Chart) -> None:
        self.panel, self.chart = panel, chart
        (self.x0, self.x1), (self.y0, self.y1) = (_range(scale) for scale in (panel.x, panel.y))
        lines = sum(isinstance(mark, Polyline) for mark in panel.marks)
        self.columns = max(MIN_COLUMNS, MAX_POINTS // (3 * max(lines, 1)))
        self.exact = f".{min(15, max(5, len(f'{max(-self.x0, self.x1):.0f}')))}g"  # shows whole x exactly

    def across(self, x: float) -> float:
        """Percent of the width of the area."""
        return 100 * (x - self.x0) / (self.x1 - self.x0)

    def up(self, y: float) -> float:
        """Percent of the height, from the top of the area."""
        return 100 * (self.y1 - y) / (self.y1 - self.y0)


def _panel(panel: Panel, chart: Chart) -> Markup:
    frame = _Frame(panel, chart)
    marks = [
        mark for mark in panel.marks if len(chart.series) <= MAX_DETAILED or not getattr(mark, "detail", False)
    ]
    parts = [part for mark in marks for part in PAINTERS[type(mark)](mark, frame)]
    texts = [part for part in parts if isinstance(part, _Text)]
    ramps = Markup().join(_ramps(marks))
    kinds = (
        ("named", any(text.x is None for text in texts)),
        ("valued", panel.has_named_rows),
        ("colored", ramps),
        ("wide", any(len(name) > MAX_SHORT_NAME for name in panel.y.names)),
    )
    return _svg(
        '<div class="chart{kinds}" role="img" tabindex="0" aria-label="{title}{over}" data-x="{x}" data-y="{y}">'
        '<span class="caption">{title}</span><svg class="axes"><g class="ticks">{ticks}</g>'
        '<svg class="plot" width="100%" height="100%" viewBox="{view}" preserveAspectRatio="none">{marks}</svg>'
        '<rect class="frame" width="100%" height="100%"/><g class="over">{texts}</g>'
        '<text class="label" x="50%" y="100%">{label}</text>{ramps}</svg></div>',
        kinds="".join(f" {kind}" for kind, is_so in kinds if is_so),
        title=_title(panel, chart),
        over=f" over {panel.x.label}" if panel.x.label else "",
        x=_kind(panel.x),
        y=_kind(panel.y),
        ticks=Markup().join(_ticks(frame)),
        view=f"{frame.x0:.8g} {-frame.y1:.8g} {frame.x1 - frame.x0:.8g} {frame.y1 - frame.y0:.8g}",
        marks=Markup().join(part for part in parts if isinstance(part, Markup)),
        texts=Markup().join(_painted(texts, frame)),
        label=panel.x.label,
        ramps=ramps,
    )


def _kind(scale: Scale) -> str:
    """Properties of an axis that the script of the page reads."""
    return " ".join(filter(None, ("log" * scale.log, scale.unit, "names" * bool(scale.names))))


def title_line(chart: Chart) -> str:
    """The title of a chart in one line; that of a single map also names its panel."""
    alone = chart.panels[0].title if len(chart.panels) == 1 and chart.panels[0].has_map else ""
    return ", ".join(filter(None, (chart.title, alone))).replace("\n", ", ")


def _title(panel: Panel, chart: Chart) -> str:
    heats = [mark.scale.label for mark in panel.marks if isinstance(mark, Heatmap)]
    title = "" if panel.title and panel.title in title_line(chart) else panel.title.replace("\n", ", ")
    return ", ".join(dict.fromkeys(filter(None, (title, *heats)))) or panel.y.label


def _range(scale: Scale) -> tuple[float, float]:
    """The limits of an axis with its margin."""
    low, high = (log10(end) if scale.log else end for end in scale.limits)
    room = 0.0 if scale.names else max(scale.margin, 0.02) * (high - low)
    return (low - room, high + room) if high > low else (low - 0.5, high + 0.5)


# --- ticks -------------------------------------------------------------------------------------------------


def nice(low: float, high: float, most: int = 7, least: float = 0.0) -> list[float]:
    """Round numbers between two ends, at most `most`, not closer than `least`."""
    step = 10.0 ** floor(log10((high - low) / most))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= most)
    step = max(step, least)
    return [float(f"{k * step:.12g}") for k in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """log10 of the values of a logarithmic axis: powers of ten, of a short axis also 2 and 5, of a long one not all."""
    span, every = high - low, ceil((high - low) / 7)
    digits = (1, 2, 3, 5, 7) if span < 1.2 else (1, 2, 5) if span < 2.5 else (1,)
    exponents = [e for e in range(floor(low), ceil(high) + 1) if e % every == 0]
    ticks = [at for e in exponents for digit in digits if low <= (at := e + log10(digit)) <= high]
    return ticks if len(ticks) > 1 else [log10(value) for value in nice(10**low, 10**high)]


def _labels(scale: Scale, low: float, high: float) -> Iterator[tuple[float, str]]:
    """Places of an axis and what is written there."""
    if scale.names:
        every = ceil(len(scale.names) / 14)
        yield from list(enumerate(scale.names, 1))[::every]
        return
    places = [log10(tick) if scale.log else tick for tick in scale.ticks]
    for at in places or (_log_ticks(low, high) if scale.log else nice(low, high, least=scale.unit == "whole")):
        yield at, _text(scale, 10.0**at if scale.log else at)


SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


def _text(scale: Scale, value: float) -> str:
    if scale.unit == "fraction":
        return short_percent(value)
    if scale.log and not 1e-3 <= value < 1e5 and f"{value:e}".startswith("1.000000"):
        return f"10{str(round(log10(value))).translate(SUPERSCRIPT)}"
    return f"{value:.4g}".replace("-", "\u2212").replace("e\u2212", "e-")


def _ticks(frame: _Frame) -> Iterator[Markup]:
    for at, text in _labels(frame.panel.x, frame.x0, frame.x1):
        yield _svg('<text class="x" x="{x}%" y="100%">{text}</text>', x=f"{frame.across(at):.2f}", text=text)
    for at, text in _labels(frame.panel.y, frame.y0, frame.y1):
        y = f"{frame.up(at):.1f}"
        yield _svg(
            '<line x2="100%" y1="{y}%" y2="{y}%"/><text class="y" x="-6" y="{y}%">{text}</text>', y=y, text=text
        )


# --- texts over the marks ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Text:
    """A text over the marks, at a place in the units of the axes; of `x` None at the right end of its height."""

    kind: str
    x: float | None
    y: float
    text: str


def _painted(texts: Sequence[_Text], frame: _Frame) -> Iterator[Markup]:
    """Texts, those at the right end far enough from each other; a series has the name of its last line."""
    ends = {(text.kind, text.y if "muted" in text.kind else 0): text for text in texts if text.x is None}.values()
    heights = sorted((min(max(frame.up(end.y), 0), 100), end.text, end.kind) for end in ends)
    for y, (_, name, kind) in zip(separate([at for at, _, _ in heights], LINE_HEIGHT, 100), heights, strict=True):
        yield _svg('<text class="end {kind}" x="100%" y="{y}%">{name}</text>', kind=kind, y=f"{y:.1f}", name=name)
    for text in texts:
        if text.x is not None:
            at = {"x": f"{frame.across(text.x):.2f}", "y": f"{frame.up(text.y):.1f}"}
            yield _svg(
                '<text class="{kind}" x="{x}%" y="{y}%">{text}</text>', kind=text.kind, text=text.text, **at
            )


def _fitted(name: str) -> str:
    """A name, of several settings only their values, that fits next to a line; else one with shorter numbers."""
    parts = brief(name).split(", ")
    short = ", ".join(part.partition(" ")[2] or part for part in parts) if len(parts) > 1 else name
    short = short if len(short) <= MAX_NAME_LENGTH else brief(short)
    return short if len(short) <= MAX_NAME_LENGTH else f"{short[: MAX_NAME_LENGTH - 1]}\u2026"


def separate(places: Sequence[float], distance: float, most: float) -> list[float]:
    """Ascending places, moved until they are at least `distance` apart and, where there is room, below `most`."""
    moved: list[float] = []
    for place in places:
        moved.append(max([place, *(before + distance for before in moved[-1:])]))
    limit = most
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], limit)
        limit = moved[i] - distance
    return moved


# --- marks ---------------------------------------------------------------------------------------------------


def _on_axis(scale: Scale, values: Any) -> Any:
    """Values in the units of an axis."""
    values = np.asarray(values, float).ravel()
    with np.errstate(all="ignore"):
        return np.log10(values) if scale.log else values


def _path(frame: _Frame, x: Any, y: Any, step: bool = False, digits: str = "") -> str:
    """The curve, with `digits` or as exact as a picture is; it is interrupted where a value is not finite."""
    parts, pen = [], "M"
    digits = digits or f".{max(0, ceil(log10(500 / (frame.y1 - frame.y0))))}f"
    x, y = _downsampled(_on_axis(frame.panel.x, x), _on_axis(frame.panel.y, y), frame.columns)
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        if not (isfinite(a) and isfinite(b)):
            pen = "M"
            continue
        far = 9 * (frame.y1 - frame.y0)  # a browser draws no line to 1e100
        a, b = f"{a:{frame.exact}}", f"{-max(min(b, frame.y1 + far), frame.y0 - far):{digits}}"
        parts.append(f"H{a}V{b}" if step and pen == "L" else f"{pen}{a} {b}")
        pen = "L"
    return "".join(parts).replace(" 0.", " .").replace("-0.", "-.")


def _downsampled(x: Any, y: Any, columns: int) -> tuple[Any, Any]:
    """The lowest and the highest point of each column, where there are many points."""
    if len(x) <= 3 * columns:
        return x, y
    filled = np.where(np.isfinite(y), y, 0.0)
    parts = np.array_split(np.arange(len(x)), columns)
    chosen = np.unique([(p[0], p[np.argmin(filled[p])], p[np.argmax(filled[p])]) for p in parts])
    chosen = np.union1d(chosen, [len(x) - 1])
    return x[chosen], y[chosen]


def _style(series: int | None) -> str:
    return "ink" if series is None else f"c{series % 6} d{series // 6 % 4}"


def _marked(frame: _Frame, series: int | None, more: str = "") -> Markup:
    """Class and number of the series of a mark."""
    off = "" if is_visible(frame.chart, series) else " off"
    number = _svg(' data-series="{n}"', n=series) if series is not None else Markup()
    return _svg(
        'class="{more}{look}{off}"{number}',
        more=f"{more} " if more else "",
        look=_style(series),
        off=off,
        number=number,
    )


def _polyline(line: Polyline, frame: _Frame) -> Iterator[Markup | _Text]:
    if not len(line.x):
        return
    if not line.width:  # points that nothing joins
        yield from _points(Points(line.x, line.y, "place", line.series), frame)
        return
    looks = line.dash.replace("solid", ""), "thin" * (line.width < 1.5), "faint" * (line.alpha < 0.8)
    kind = " ".join(("line", *filter(None, looks)))
    series = frame.chart.series
    role = f", {line.role}" if line.role and (len(series) == 1 or not line.main) else ""
    name = Markup() if line.series is None or line.detail else _svg(
        ' data-name="{name}"', name=(series[line.series] if series else frame.panel.y.label) + role)  # fmt: skip
    if line.series is not None and not line.detail and line.dash == "series" and len(series) > 1:
        y = _on_axis(frame.panel.y, line.y)
        if is_visible(frame.chart, line.series) and np.isfinite(y).any():
            end, name_style = y[np.isfinite(y)][-1], f"n{line.series} {_style(line.series)}"
            yield _Text(name_style, None, end, _fitted(series[line.series]))
    d = _path(frame, line.x, line.y, line.step, "" if line.detail else f".{5 + frame.panel.y.log}g")
    yield _svg('<path {marked}{name} d="{d}"/>', marked=_marked(frame, line.series, kind), name=name, d=d)
    if line.marker and len(line.x) <= MAX_MARKED and frame.panel.has_map:
        yield from _points(Points(line.x, line.y, "dot", line.series), frame)


MAX_MARKED = 61
"""Points of a path that are shown one by one."""


def _band(band: Band, frame: _Frame) -> Iterator[Markup]:
    there, back = _path(frame, band.x, band.high), _path(frame, band.x[::-1], band.low[::-1])
    d = f"{there}L{back[1:]}Z" if there and back else ""
    yield _svg('<path {marked} d="{d}"/>', marked=_marked(frame, band.series, "band"), d=d)


def _points(points: Points, frame: _Frame) -> Iterator[Markup | _Text]:
    """A point is a line without length and with round ends, which is not stretched."""
    x, y = _on_axis(frame.panel.x, points.x), _on_axis(frame.panel.y, points.y)
    d = "".join(f"M{a:{frame.exact}} {-b:.5g}h0" for a, b in zip(x, y, strict=True) if isfinite(a) and isfinite(b))
    if d:
        hides = any(isinstance(mark, Heatmap) and mark.categorical for mark in frame.panel.marks)
        series = None if hides else points.series  # on its own color nothing would be seen
        yield _svg('<path {marked} d="{d}"/>', marked=_marked(frame, series, f"point {points.symbol}"), d=d)
    if points.name and len(x):
        yield _Text("place before" if points.before else "place", x[0], y[0], points.name)


def _reference_line(line: ReferenceLine, frame: _Frame) -> Iterator[Markup | _Text]:
    if line.y is not None:
        (y,) = _on_axis(frame.panel.y, line.y)
        d = f"M{frame.x0:.6g} {-y:.6g}H{frame.x1:.6g}"
        name = _Text("muted", None, y, _fitted(line.name))
    else:
        (x,) = _on_axis(frame.panel.x, line.x)
        d = f"M{x:.6g} {-frame.y0:.6g}V{-frame.y1:.6g}"
        name = _Text("place", x, frame.y1 - 0.06 * (frame.y1 - frame.y0), line.name)
    yield _svg('<path class="threshold {look}" d="{d}"/>', look=_style(line.series), d=d)
    if line.name:
        yield name


def _heatmap(heat: Heatmap, frame: _Frame) -> Iterator[Markup | _Text]:
    """A picture of a pixel for each cell, and the values of small ones."""
    yield from _values(heat, frame.panel)
    rows, columns = (slice(None, None, ceil(count / MAX_CELLS)) for count in heat.values.shape)
    values = np.asarray(heat.values, float)[rows, columns]
    x, y = _on_axis(frame.panel.x, heat.x), _on_axis(frame.panel.y, heat.y)
    wide, high = (float(at[1] - at[0]) if len(at) > 1 else 1.0 for at in (x, y))
    known = heat.known[rows, columns]
    if heat.categorical:
        palette, known = [_channels(color) for color in LIGHT_COLORS], values >= 0
        shades = np.maximum(values, 0).astype(int) % len(palette)
    else:
        anchors, at = np.array([_channels(color) for color in VIRIDIS]), np.linspace(0, 1, SHADES)
        palette = np.stack(
            [np.interp(at, np.linspace(0, 1, len(anchors)), channel) for channel in anchors.T], axis=-1
        ).tolist()
        place = np.clip(Scale("", *heat.limits, heat.scale.log).normalize(np.where(known, values, np.nan)), 0, 1)
        shades = np.rint(np.nan_to_num(place) * (SHADES - 1)).astype(int)
    yield _svg(
        '<image class="map" x="{x:.6g}" y="{y:.6g}" width="{width:.6g}" height="{height:.6g}"'
        ' preserveAspectRatio="none" href="data:image/png;base64,{png}"/>',
        x=x[0] - wide / 2,
        y=-y[-1] - high / 2,
        width=x[-1] - x[0] + wide,
        height=y[-1] - y[0] + high,
        png=_png(np.where(known, shades, len(palette))[::-1], [int(part) for color in palette for part in color]),
    )


def _values(heat: Heatmap, panel: Panel) -> Iterator[_Text]:
    """The values of the cells of a small map, and those at the ends of named rows."""
    if panel.x.names and _is_named(heat):
        for (row, column), value in np.ndenumerate(heat.values):
            if isfinite(value):
                shade = float(Scale("", *heat.limits).normalize(value))
                text = percent(value) if heat.scale.unit == "fraction" else f"{value:.3g}"
                yield _Text("cell" if shade < 0.6 else "cell light", column + 1, row + 1, text)
    if panel.has_named_rows and len(heat.values) * LINE_HEIGHT <= 100:
        for row, value in enumerate(heat.values[:, -1].tolist(), 1):
            if isfinite(value):
                yield _Text("muted", None, row, percent(value) if heat.scale.unit else f"{value:.1e}")


def _ramps(marks: Sequence[Any]) -> Iterator[Markup]:
    """Color scales of the maps, with the values at both ends."""
    for heat in (mark for mark in marks if isinstance(mark, Heatmap) and not mark.categorical):
        low, high = (_text(heat.scale, float(f"{end:.3g}")) for end in heat.limits)
        blocks = Markup().join(_svg('<tspan fill="{color}">\u2588</tspan>', color=color) for color in VIRIDIS[::2])
        yield _svg(
            '<text class="ramp" x="100%" y="100%">{low} {blocks} {high}</text>', low=low, blocks=blocks, high=high
        )


def _channels(color: str) -> list[int]:
    return [int(color[i : i + 2], 16) for i in (1, 3, 5)]


def _png(pixels: Any, palette: Sequence[int]) -> str:
    """A picture of numbers of colors; the one after the last is transparent."""
    from PIL import Image  # slow to import

    picture = Image.fromarray(pixels.astype(np.uint8), "P")
    picture.putpalette([*palette, 0, 0, 0])
    content = BytesIO()
    picture.save(content, "PNG", optimize=True, transparency=len(palette) // 3)
    return b64encode(content.getvalue()).decode()


def _contour(contour: Contour, frame: _Frame) -> Iterator[Markup]:
    """Fourteen lines of equal height, evenly spaced on a logarithmic scale, or one at a level."""
    from contourpy import contour_generator  # comes with matplotlib

    panel = frame.panel
    if contour.exact is not None:
        yield _svg('<path class="edge" d="{d}"/>', d=_path(frame, *contour.exact))
        return
    x, y = ((np.geomspace if scale.log else np.linspace)(*scale.limits, 64) for scale in (panel.x, panel.y))
    height = contour.decades(x, y) if contour.level is None else contour.height(x, y)
    if height is None:
        return
    levels = (
        [contour.level]
        if contour.level is not None
        else np.linspace(np.nanmin(height), np.nanmax(height), 16)[1:-1]
    )
    generator: Any = contour_generator(x, y, height)
    for level in levels:
        if d := "".join(_path(frame, *line.T) for line in generator.lines(level)):
            yield _svg('<path class="{kind}" d="{d}"/>', kind="contour" if contour.level is None else "edge", d=d)


PAINTERS: dict[type, Callable[[Any, _Frame], Iterator[Markup | _Text]]] = {
    Polyline: _polyline,
    Band: _band,
    Points: _points,
    ReferenceLine: _reference_line,
    Contour: _contour,
    Heatmap: _heatmap,
}
