"""Outcomes over the settings that were tried: a curve for one, a heat map for two, the marginal means of more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from optilab.commands.comparison_tables import Units, whole_percents
from optilab.show.chart import Chart, Heatmap, Mark, Panel, PanelRow, Points, Polyline, Scale
from optilab.show.table import Column, Table, interval_columns, interval_values
from optilab.study.comparison import RunComparison
from optilab.study.groups import distinguishing_keys, short, text
from optilab.study.importance import Effect, Level, Point, levels
from optilab.study.measure import Measure, bounds
from optilab.words import plural

LOG_FROM = 5.0
"""A range of settings that spans more than this factor gets a logarithmic axis."""
MOST_VALUES = 40
"""Rows and columns of a heat map."""
MOST_TICKS = 7
"""Values that are all written on an axis."""
WIDEST = 4
"""Panels of a row."""


def is_number(value: Any) -> bool:
    """Whether a setting is a number, and not on or off."""
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
        return self.is_numeric and self.values[0] > 0 and self.values[-1] > LOG_FROM * self.values[0]


@dataclass(frozen=True)
class Tried:
    """The settings of a comparison and what came of them."""

    side: RunComparison

    @cached_property
    def rows(self) -> list[Mapping[str, Any]]:
        return [candidate.settings for candidate in self.side.candidates]

    @cached_property
    def axes(self) -> list[TriedAxis]:
        """What differs; settings that follow from another are left out."""
        keys = distinguishing_keys(list(dict.fromkeys(key for row in self.rows for key in row)), self.rows)
        words = short(keys)
        return [TriedAxis(key, words[key], _values(key, self.rows)) for key in keys]

    @cached_property
    def is_grid(self) -> bool:
        """Whether every combination of values was tried, once."""
        return int(np.prod([len(axis.values) for axis in self.axes], dtype=float)) == len(self.rows)

    @cached_property
    def outcomes(self) -> list[tuple[Point, Mapping[int, float]]]:
        """The settings of every candidate that has an outcome, and its outcomes by seed."""
        keys = [axis.key for axis in self.axes]
        return [
            ({key: row.get(key) for key in keys}, candidate.outcomes.values)
            for row, candidate in zip(self.rows, self.side.candidates, strict=True)
            if candidate.outcomes.values
        ]

    def levels(self, axis: TriedAxis) -> list[Level]:
        measure = self.side.measure
        values = [value for _, own in self.outcomes for value in own.values()]
        return levels(
            axis.key, self.outcomes, measure.limits if measure.target else bounds(measure.metric, values)
        )


def _values(key: str, rows: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    found: list[Any] = []
    for row in rows:
        if row.get(key) not in found:
            found.append(row.get(key))
    return tuple(sorted(found) if all(map(is_number, found)) else found)


def settings_chart(side: RunComparison) -> Chart | None:
    """The picture of a study's settings; None of fewer than three, where a table says it all."""
    tried = Tried(side)
    if side.comparison is None or len(tried.rows) < 3 or not tried.axes:
        return None
    better = "higher" if side.measure.higher else "lower"
    y = Scale(f"{side.measure.name} ({better} is better)", unit="fraction" if side.measure.share else "")
    title = f"{side.measure.name} over {', '.join(axis.word for axis in tried.axes)}"
    if len(tried.axes) == 2 and tried.is_grid and all(len(axis.values) <= MOST_VALUES for axis in tried.axes):
        panel = _map(tried, y)
        return Chart((PanelRow((panel,), max(3.0, 1.4 + 0.45 * len(panel.y.names))),), title=title)
    found = [tried.levels(axis) for axis in tried.axes]
    ends = [end for own in found for level in own for end in (level.summary.interval or (level.summary.mean,) * 2)]
    room = 0.05 * (max(ends) - min(ends)) or 0.05 * abs(ends[0]) or 1.0
    y = replace(y, low=min(ends) - room, high=max(ends) + room)
    panels = [_means(tried, axis, own, y) for axis, own in zip(tried.axes, found, strict=True)]
    rows = [tuple(panels[start : start + WIDEST]) for start in range(0, len(panels), WIDEST)]
    return Chart(tuple(PanelRow(row, 3.2) for row in rows), title=title)


def _means(tried: Tried, axis: TriedAxis, found: Sequence[Level], y: Scale) -> Panel:
    """The mean at every value of an axis, over all other settings, with its interval."""
    x = [center(level, axis) for level in found] if axis.is_numeric else list(range(1, len(found) + 1))
    marks: list[Mark] = [
        Polyline([at, at], level.summary.interval, 0, width=1.2)
        for at, level in zip(x, found, strict=True)
        if level.summary.interval
    ]
    means = [level.summary.mean for level in found]
    marks.append(Polyline(x, means, 0, width=1.8 if axis.is_numeric else 0, marker=5))
    best = int(np.argmax(np.array(means) * (1 if tried.side.measure.higher else -1)))
    marks.append(Points([x[best]], [means[best]], "best", 0))
    if not axis.is_numeric:
        return Panel(tuple(marks), _named(axis, [level_name(level) for level in found]), y)
    room = 0.05 * (x[-1] - x[0]) or 1.0
    low, high = (x[0] / 1.3, x[-1] * 1.3) if axis.is_log else (x[0] - room, x[-1] + room)
    ticks = tuple(x) if len(x) <= MOST_TICKS and len(axis.values) == len(x) else ()
    return Panel(tuple(marks), Scale(axis.word, low, high, axis.is_log, ticks=ticks), y)


def _named(axis: TriedAxis, names: Sequence[str]) -> Scale:
    return Scale(axis.word, 0.5, len(names) + 0.5, names=tuple(names))


def center(level: Level, axis: TriedAxis) -> float:
    """The place of a level on a numeric axis: in the middle of a bin."""
    return float((level.low * level.high) ** 0.5 if axis.is_log else (level.low + level.high) / 2)


def level_name(level: Level) -> str:
    """A value, or the ends of a bin."""
    if level.low == level.high:
        return brief(level.low)
    return f"{level.low:.2g} to {level.high:.2g}"


def brief(value: Any) -> str:
    """A setting on an axis: numbers with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else text(value)


def _map(tried: Tried, y: Scale) -> Panel:
    """Every mean of a grid of two settings."""
    down, across = sorted(tried.axes, key=lambda axis: (len(axis.values), axis.is_numeric))
    values = np.full((len(down.values), len(across.values)), np.nan)
    assert tried.side.comparison is not None
    for index, row in enumerate(tried.rows):
        summary = tried.side.comparison.rows[index].summary
        place = down.values.index(row.get(down.key)), across.values.index(row.get(across.key))
        values[place] = summary.mean if summary.n else np.nan
    places = [np.arange(1.0, count + 1) for count in values.shape]
    heat = Heatmap(values, places[1], places[0], y, gone=~np.isfinite(values))
    x, y = (_named(axis, [brief(value) for value in axis.values]) for axis in (across, down))
    return Panel((heat,), x, y)


# --- importance --------------------------------------------------------------------------------------------

MOST_MEANS = 9
"""Values of an axis whose means are written out."""


def importance_table(found: Sequence[Effect], measure: Measure) -> Table:
    """Which setting mattered: the effects as a table."""
    show = Units(measure.share)
    words = short([key for effect in found for key in effect.keys if len(effect.keys) == 1])
    rows = [
        {
            "axis": " x ".join(words[key] for key in effect.keys),
            "part": effect.part,
            **interval_values("", effect.interval),
            "means": _listed(effect, measure, show),
        }
        for effect in found
    ]
    return Table(EFFECTS, rows)


def _listed(effect: Effect, measure: Measure, show: Units) -> str:
    """The means of an axis; of many values those of the best."""
    means = list(effect.means)
    if len(means) > MOST_MEANS:
        best = sorted(means, key=lambda level: level[1], reverse=measure.higher)[:MOST_MEANS]
        means = [level for level in means if level in best]
    listed = ", ".join(f"{text(value)}: {show.value(mean)}" for value, mean in means)
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
"""For the table of axes."""
