"""Outcomes over the settings that were tried: a curve for one, a heat map for two, the marginal means of more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from optilab.judge.comparison import RunComparison
from optilab.judge.groups import distinguishing_keys, short_names, value_text
from optilab.judge.importance import Effect, Level, Point, levels
from optilab.judge.measure import Measure, bounds
from optilab.numbers import Units, whole_percents
from optilab.show.chart import Chart, Heatmap, Mark, Panel, PanelRow, Points, Polyline, Scale
from optilab.show.table import Column, Table, interval_columns, interval_values
from optilab.words import plural

MIN_LOG_RATIO = 5.0
"""A range of settings that spans more than this factor gets a logarithmic axis."""
MAX_VALUES = 40
"""Rows and columns of a heat map."""
MAX_TICKS = 7
"""Values that are all written on an axis."""
MAX_COLUMNS = 4
"""Panels of a row."""


def is_number(value: Any) -> bool:
    """True if a setting is a number; a switch is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class TriedAxis:
    """A setting that differs: its dotted key, the word for it, and its values, numbers in ascending order."""

    key: str
    word: str
    values: tuple[Any, ...]

    @property
    def is_numeric(self) -> bool:
        return all(map(is_number, self.values))

    @property
    def is_log(self) -> bool:
        return self.is_numeric and self.values[0] > 0 and self.values[-1] > MIN_LOG_RATIO * self.values[0]


def tried_axes(comparison: RunComparison) -> list[TriedAxis]:
    """The settings that differ; those that follow from another one are left out."""
    rows = [candidate.settings for candidate in comparison.candidates]
    axes = []
    for key, word in short_names(distinguishing_keys(rows)).items():
        values = list[Any]()
        for row in rows:
            if row.get(key) not in values:
                values.append(row.get(key))
        axes.append(TriedAxis(key, word, tuple(sorted(values) if all(map(is_number, values)) else values)))
    return axes


def outcomes(comparison: RunComparison, axes: Sequence[TriedAxis]) -> list[tuple[Point, Mapping[int, float]]]:
    """The settings of every candidate that has an outcome, and its outcomes by seed."""
    return [
        ({axis.key: candidate.settings.get(axis.key) for axis in axes}, candidate.outcomes.values)
        for candidate in comparison.candidates
        if candidate.outcomes.values
    ]


def settings_chart(comparison: RunComparison) -> Chart | None:
    """The chart of a study's settings; None for fewer than three, which a table shows."""
    axes, measure = tried_axes(comparison), comparison.measure
    if comparison.judgment is None or len(comparison.candidates) < 3 or not axes:
        return None
    better = "higher" if measure.higher_is_better else "lower"
    y = Scale(f"{measure.name} ({better} is better)", unit="fraction" if measure.is_fraction else "")
    title = f"{measure.name} over {', '.join(axis.word for axis in axes)}"
    sizes = [len(axis.values) for axis in axes]
    if len(axes) == 2 and prod(sizes) == len(comparison.candidates) and max(sizes) <= MAX_VALUES:  # a whole grid
        panel = _map(comparison, axes, y)
        return Chart((PanelRow((panel,), max(3.0, 1.4 + 0.45 * len(panel.y.names))),), title=title)
    points = outcomes(comparison, axes)
    values = [value for _, by_seed in points for value in by_seed.values()]
    limits = measure.limits if measure.target else bounds(measure.metric, values)
    levels_by_axis = [levels(axis.key, points, limits) for axis in axes]
    ends = [
        end
        for axis_levels in levels_by_axis
        for level in axis_levels
        for end in (level.summary.mean, *(level.summary.interval or ()))
    ]
    room = 0.05 * (max(ends) - min(ends)) or 0.05 * abs(ends[0]) or 1.0
    y = replace(y, low=min(ends) - room, high=max(ends) + room)
    panels = [
        _means(axis, axis_levels, y, measure.higher_is_better)
        for axis, axis_levels in zip(axes, levels_by_axis, strict=True)
    ]
    rows = [tuple(panels[start : start + MAX_COLUMNS]) for start in range(0, len(panels), MAX_COLUMNS)]
    return Chart(tuple(PanelRow(row, 3.2) for row in rows), title=title)


def _means(axis: TriedAxis, axis_levels: Sequence[Level], y: Scale, higher: bool) -> Panel:
    """The mean at every value of an axis, or in the middle of a bin of them, over all other settings, with its
    interval."""
    ends = [(level.low, level.high) for level in axis_levels]
    if axis.is_numeric:
        x = [float((low * high) ** 0.5 if axis.is_log else (low + high) / 2) for low, high in ends]
    else:
        x = [float(place) for place in range(1, len(axis_levels) + 1)]
    marks: list[Mark] = [
        Polyline([at, at], level.summary.interval, 0, width=1.2)
        for at, level in zip(x, axis_levels, strict=True)
        if level.summary.interval
    ]
    means = [level.summary.mean for level in axis_levels]
    marks.append(Polyline(x, means, 0, width=1.8 if axis.is_numeric else 0, marker=5))
    best = int(np.argmax(np.array(means) * (1 if higher else -1)))
    marks.append(Points([x[best]], [means[best]], "best", 0))
    if not axis.is_numeric:
        return Panel(tuple(marks), _named(axis, [level.low for level in axis_levels]), y)
    room = 0.05 * (x[-1] - x[0]) or 1.0
    low, high = (x[0] / 1.3, x[-1] * 1.3) if axis.is_log else (x[0] - room, x[-1] + room)
    ticks = tuple(x) if len(x) <= MAX_TICKS and len(axis.values) == len(x) else ()
    return Panel(tuple(marks), Scale(axis.word, low, high, axis.is_log, ticks=ticks), y)


def _named(axis: TriedAxis, values: Sequence[Any]) -> Scale:
    """An axis with the name of each value; numbers have three digits."""
    names = tuple(f"{value:.3g}" if isinstance(value, float) else value_text(value) for value in values)
    return Scale(axis.word, 0.5, len(names) + 0.5, names=names)


def _map(comparison: RunComparison, axes: Sequence[TriedAxis], y: Scale) -> Panel:
    """Every mean of a grid of two settings."""
    down, across = sorted(axes, key=lambda axis: (len(axis.values), axis.is_numeric))
    values = np.full((len(down.values), len(across.values)), np.nan)
    assert comparison.judgment is not None
    for candidate, row in zip(comparison.candidates, comparison.judgment.rows, strict=True):
        place = tuple(axis.values.index(candidate.settings.get(axis.key)) for axis in (down, across))
        values[place] = row.summary.mean if row.summary.n else np.nan
    places = [np.arange(1.0, count + 1) for count in values.shape]
    heatmap = Heatmap(values, places[1], places[0], y, gaps={"diverged": ~np.isfinite(values)})
    return Panel((heatmap,), _named(across, across.values), _named(down, down.values))


# --- importance --------------------------------------------------------------------------------------------

MAX_MEANS = 9
"""Values of an axis whose means are written out."""


def importance_table(importance: Sequence[Effect], measure: Measure) -> Table:
    """The effects of the settings as a table."""
    show = Units(measure.is_fraction)
    words = short_names([key for effect in importance for key in effect.keys if len(effect.keys) == 1])
    rows = [
        {
            "axis": " x ".join(words[key] for key in effect.keys),
            "part": effect.part,
            **interval_values("", effect.interval),
            "means": _listed(effect, measure, show),
        }
        for effect in importance
    ]
    return Table(EFFECTS, rows, middle="part")


def _listed(effect: Effect, measure: Measure, show: Units) -> str:
    """The means of an axis; where it has many values, the means of the best ones."""
    means = list(effect.means)
    if len(means) > MAX_MEANS:
        best = sorted(means, key=lambda level: level[1], reverse=measure.higher_is_better)[:MAX_MEANS]
        means = [level for level in means if level in best]
    listed = ", ".join(f"{value_text(value)}: {show.value(mean)}" for value, mean in means)
    left = len(effect.means) - len(means)
    worse = f"; {plural(left, 'other')} {'is' if left == 1 else 'are'} worse"
    return listed + worse * bool(left)


_PART = "how much of the differences between all outcomes is due to this setting"
EFFECTS = (
    Column("axis", "axis", left=True),
    Column("part", "of the variance", "{:.0%}".format, about=_PART),
    *interval_columns("", whole_percents, about="of that part, from the parts by single seeds"),
    Column(
        "means", "mean over the other axes", left=True, about="the outcome of each value, whatever the others are"
    ),
)
"""Columns of the table of axes."""
