"""A chart as a value: rows of panels with axes and marks, before a painter makes it text, a picture file or a page.

The function that makes a chart from its subject decides once what is shown, the ranges, which scales are logarithmic,
and the number of each series. The number is the series' color, dashes, marker and letter in every medium. A painter
decides only what its medium demands: a terminal shows no bands and no thin lines, a file has room for names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # a start without a chart needs no NumPy
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", "p", ">", "h")
"""Markers of the series in turn, by matplotlib's names: more than there are colors, since dashes hide in a legend."""

LIGHT_COLORS = ("#0072b2", "#d55e00", "#009e73", "#c66497", "#2a95d3", "#b87f00")
DARK_COLORS = ("#56b4e9", "#e69f00", "#2fc79d", "#e79bc6", "#f0e442", "#ff7f50")
"""Colors of the series in turn, on white and on a dark ground: Okabe & Ito (2008); those too pale for lines
on white are darkened until they have a contrast of 3:1.
"""

VIRIDIS = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
"""Colors of values, from low to high."""


@dataclass(frozen=True)
class Scale:
    """An axis, or the range of a color scale. Without `low` and `high` the marks set it."""

    label: str = ""
    low: float | None = None
    high: float | None = None
    log: bool = False
    unit: Literal["", "fraction", "whole"] = ""
    """Fractions of one are shown in percent."""
    margin: float = 0.0
    """Room at both ends, as a fraction of the range, where the medium has any."""
    ticks: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    """Names of the values 1, 2, ..., where they are not numbers."""

    @property
    def is_bounded(self) -> bool:
        """True if both limits are set."""
        return self.low is not None and self.high is not None

    @property
    def limits(self) -> tuple[float, float]:
        """ValueError for a scale that is set by its marks."""
        if self.low is None or self.high is None:
            raise ValueError("the marks set the ends of this scale")
        return self.low, self.high

    def normalize(self, values: Any) -> "Floats":
        """The positions of values, from 0 at the low limit to 1 at the high limit."""
        import numpy as np

        with np.errstate(divide="ignore", invalid="ignore"):
            low, high, positions = (np.log10(v) if self.log else np.asarray(v) for v in (*self.limits, values))
            return np.asarray((positions - low) / (float(high - low) or 1.0), dtype=float)


# --- marks -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Polyline:
    """Points joined by straight lines, (n,) each; of a `step` horizontal up to the next point."""

    x: Any
    y: Any
    series: int | None = None
    """None is the color of the text."""
    role: str = ""
    """The part of its series that the line shows."""
    main: bool = False
    """True if the line stands for its series, so that its name needs no role."""
    width: float = 1.8
    """Width in points, as in a file."""
    alpha: float = 1.0
    dash: Literal["series", "solid", "dashed"] = "solid"
    marker: float = 0.0
    """Size of the series' marker in points; 0 for none."""
    step: bool = False
    detail: bool = False
    """True if it is shown only where there is room for details: not in text, and without a name on a page."""


@dataclass(frozen=True)
class Band:
    """The area between two curves."""

    x: Any
    low: Any
    high: Any
    series: int
    alpha: float = 0.2
    label: str = ""
    """Its meaning, for a legend."""


@dataclass(frozen=True)
class Points:
    """Single points; `symbol` says what they are."""

    x: Any
    y: Any
    symbol: Literal["start", "minimum", "best", "optimum", "place", "dot"]
    series: int | None = None
    name: str = ""
    """Next to the first point, to its right."""
    before: bool = False
    """True if the name stands to the left."""
    label: str = ""
    """The meaning of the symbol, for a legend."""
    detail: bool = False


@dataclass(frozen=True)
class ReferenceLine:
    """A straight line across the panel at one value of y, or of x."""

    y: float | None = None
    x: float | None = None
    series: int | None = None
    name: str = ""
    detail: bool = False


@dataclass(frozen=True)
class Heatmap:
    """Values (rows, columns), rows upwards, at the points of y and x.

    If it is `categorical`, values are numbers of series, -1 for none. `gaps` are masks of cells without a value, by
    what these cells are; text and pages name the first.
    """

    values: Any
    x: Any
    y: Any
    scale: Scale = Scale()
    series: int | None = None
    """The number of the series that the values belong to."""
    categorical: bool = False
    gaps: Mapping[str, Any] = field(default_factory=dict)

    @property
    def known(self) -> Any:
        """A mask of the cells with a value."""
        import numpy as np

        known = np.isfinite(np.asarray(self.values, float))
        for gap in self.gaps.values():
            known &= ~np.asarray(gap)
        return known

    @property
    def limits(self) -> tuple[float, float]:
        """The values of the ends of the colors."""
        if self.scale.is_bounded:
            return self.scale.limits
        values = self.values[self.known]
        return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)


@dataclass(frozen=True)
class Contour:
    """Lines of equal height over a plane. `height(x, y)`, x of columns and y of rows, is (rows, columns).

    Without `level`, the lines are evenly spaced on a logarithmic scale of heights above zero. `exact` is the line of
    `level` where it is known in closed form.
    """

    height: "Callable[[Floats, Floats], Any]"
    level: float | None = None
    exact: tuple[Any, Any] | None = None
    label: str = ""

    def decades(self, x: "Floats", y: "Floats") -> "Floats":
        """log10 of the heights, lifted by a thousandth of their median, since a logarithmic scale has no zero."""
        import numpy as np

        height = np.asarray(self.height(x, y), dtype=float)
        scale = float(np.nanmedian(np.where(np.isfinite(height), height, np.nan)))
        lift = 1e-3 * scale if scale > 0 else 1e-9
        with np.errstate(all="ignore"):
            return np.asarray(np.log10(np.maximum(height, 0) + lift))


Mark = Polyline | Band | Points | ReferenceLine | Heatmap | Contour


# --- charts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """Marks on a pair of axes, in the order in which they are drawn."""

    marks: tuple[Mark, ...]
    x: Scale = Scale()
    y: Scale = Scale()
    title: str = ""
    detail: bool = False

    def autoscaled(self) -> "Panel":
        """The panel with ends on both axes: where a scale has none, those of the lines, points and bands."""

        def bounded(scale: Scale, values: list[Any]) -> Scale:
            if scale.is_bounded:
                return scale
            finite = [float(v) for column in values for v in column if isfinite(v) and (v > 0 or not scale.log)]
            return replace(scale, low=min(finite, default=0.0), high=max(finite, default=1.0))

        drawn = [mark for mark in self.marks if isinstance(mark, Polyline | Points)]
        bands = [ends for mark in self.marks if isinstance(mark, Band) for ends in (mark.low, mark.high)]
        x, y = bounded(self.x, [mark.x for mark in drawn]), bounded(self.y, [*(mark.y for mark in drawn), *bands])
        return replace(self, x=x, y=y)

    @property
    def has_named_rows(self) -> bool:
        """True if it shows how the values of named rows change along x."""
        return bool(self.y.names) and not self.x.names and any(isinstance(mark, Heatmap) for mark in self.marks)

    @property
    def has_map(self) -> bool:
        """True if y is a coordinate like x, not a value over x."""
        return any(isinstance(mark, Contour | Heatmap) for mark in self.marks)


@dataclass(frozen=True)
class PanelRow:
    """Panels side by side, and their height in a file in inches."""

    panels: tuple[Panel, ...]
    height: float = 1.0


@dataclass(frozen=True)
class Chart:
    """A picture of any subject."""

    rows: tuple[PanelRow, ...]
    series: tuple[str, ...] = ()
    """Their names, by number."""
    title: str = ""

    @property
    def panels(self) -> tuple[Panel, ...]:
        return tuple(panel for row in self.rows for panel in row.panels)

    @property
    def signs(self) -> dict[str, Points | Contour]:
        """The marks with a label, by it; a sign that several series share is that of none."""
        marks = dict[str, Points | Contour]()
        for mark in (mark for panel in self.panels for mark in panel.marks):
            if isinstance(mark, Points | Contour) and mark.label:
                first = marks.setdefault(mark.label, mark)
                if isinstance(first, Points) and isinstance(mark, Points) and first.series != mark.series:
                    marks[mark.label] = replace(first, series=None)
        return marks


def joined(charts: Sequence[Chart]) -> Chart:
    """Charts below each other, such as those of the runs of one exercise; a series of a name that another one has has
    its number, too. No mark may hold numbers of series as its values."""
    names = list(dict.fromkeys(name for chart in charts for name in chart.series))
    rows = []
    for chart in charts:
        numbers = [names.index(name) for name in chart.series]
        for row in chart.rows:
            panels = (
                replace(panel, marks=tuple(_renumbered(mark, numbers) for mark in panel.marks))
                for panel in row.panels
            )
            rows.append(replace(row, panels=tuple(panels)))
    return Chart(tuple(rows), tuple(names), "; ".join(filter(None, (chart.title for chart in charts))))


def _renumbered(mark: Mark, numbers: Sequence[int]) -> Mark:
    """A mark whose series has another number: `numbers` has the new one of each."""
    if isinstance(mark, Contour) or mark.series is None or not numbers:
        return mark
    return replace(mark, series=numbers[mark.series])
