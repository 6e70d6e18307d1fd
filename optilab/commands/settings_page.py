"""Outcomes over the settings that were tried, for a page: a curve for one setting, a heat map of two, and for more the
marginal means, which of them mattered, and all settings as parallel coordinates. The best is marked, and what
no verdict tells from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from optilab.commands.charts.settings import MOST_VALUES, Tried, TriedAxis, center, level_name
from optilab.commands.charts.training import shortened
from optilab.commands.comparison_tables import Units, whole_percents
from optilab.show.table import Column, Table, cell, interval_columns, interval_values
from optilab.study.comparison import RunComparison
from optilab.study.groups import short, text
from optilab.study.importance import Effect, effects
from optilab.study.measure import Measure
from optilab.words import plural

SHADES = 20
"""Steps of the color scale of a heat map; the style sheet has a class for each."""
MOST_MAPS = 12
MOST_CURVES = 4
MOST_COLORS = 6
"""Values of a setting that colors a scatter."""
FEWEST = 3
"""Groups for each setting from which their means and all settings are drawn."""
INTERPLAY = "how much the effect of one depends on the other"
"""For a pair of settings, which has no means, on a page."""
MOST_MEANS = 9
"""Values of an axis whose means are written out."""


@dataclass(frozen=True)
class Cell:
    """One combination of a heat map: the outcome as text, its shade and what is known of it."""

    text: str
    shade: int
    mark: str
    """best, near (no verdict tells it from the best), worse, or empty."""
    label: str


@dataclass(frozen=True)
class HeatMap:
    """A table of outcomes: one key down, one across; `title` names the other settings; `key` is what the palest and the
    darkest shade mean.
    """

    title: str
    down: str
    across: str
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    columns: tuple[str, ...]
    key: tuple[str, str]


@dataclass(frozen=True)
class Outlook:
    """What is drawn of the settings."""

    maps: tuple[HeatMap, ...] = ()
    curves: tuple[Mapping[str, Any], ...] = ()
    """Over one setting each, for the script; also the marginal means of each setting of several."""
    parallel: Mapping[str, Any] | None = None
    """All settings of every group, for the script."""
    importance: tuple[Sequence[Column], Sequence[Sequence[str]]] | None = None
    """Columns and cells of the table of which setting mattered."""


def outlook(side: RunComparison) -> Outlook:
    """The pictures of the settings of a comparison; empty where a table says it all."""
    tried = Tried(side)
    if side.comparison is None or len(tried.rows) < 3 or not tried.axes:
        return Outlook()
    # A number that few groups differ in is a side issue of their other settings.
    numbers = [axis for axis in tried.axes if axis.is_numeric and 2 * len(axis.values) > len(tried.rows)]
    maps = _maps(tried) if len(tried.axes) > 1 and tried.is_grid else ()
    scatters = () if maps else tuple(_curve(tried, axis) for axis in numbers[:MOST_CURVES])
    if len(tried.axes) < 2 or (len(tried.axes) == 2 and maps) or len(tried.rows) < FEWEST * len(tried.axes):
        return Outlook(maps, scatters)
    found = sorted(effects(tried.outcomes), key=lambda effect: -effect.part)
    table = importance_table(found, side.measure)
    shown = [column for column in table.columns if column.only != "values"]
    interplay = [{"means": INTERPLAY} if len(effect.keys) > 1 else {} for effect in found]
    rows = [{**row, **means} for row, means in zip(table.rows, interplay, strict=True)]
    return Outlook(
        maps,
        (*(_margin(tried, axis) for axis in tried.axes), *scatters),
        _parallel(tried),
        (shown, [shortened([cell(column, row) for column in shown]) for row in rows]) if found else None,
    )


def mark(side: RunComparison, index: int) -> str:
    """best, near, worse or better: what the verdicts say of a row against the best, or against the baseline."""
    comparison = side.comparison
    if comparison is None or index not in comparison.order:
        return ""
    row = comparison.rows[index]
    if row is comparison.baseline:
        return "best" if comparison.chosen else "baseline"
    return "near" if row.verdict == "cannot tell" else row.verdict


# --- heat maps ---------------------------------------------------------------------------------------------


def _maps(tried: Tried) -> tuple[HeatMap, ...]:
    """A map of the two keys with the most values, for each combination of the others."""
    *rest, down, across = sorted(tried.axes, key=lambda axis: (len(axis.values), axis.is_numeric))
    facets = list(product(*(axis.values for axis in rest)))
    if len(facets) > MOST_MAPS or len(across.values) > MOST_VALUES:
        return ()
    side, ordered = tried.side, [*rest, down, across]
    where = {tuple(text(row.get(axis.key)) for axis in ordered): index for index, row in enumerate(tried.rows)}
    shades, show = _shades(side), Units(side.measure.share)
    ranked = side.comparison.ranked if side.comparison else []
    key = (show.value(ranked[-1].summary.mean), show.value(ranked[0].summary.mean))
    maps = []
    for facet in facets:
        named = ", ".join(f"{axis.word} {text(value)}" for axis, value in zip(rest, facet, strict=True))
        rows = []
        for value, name in zip(down.values, shortened([*map(text, down.values)]), strict=True):
            places = [tuple(map(text, (*facet, value, other))) for other in across.values]
            rows.append((name, tuple(_cell(side, where.get(place), shades) for place in places)))
        columns = tuple(shortened([*map(text, across.values)]))
        maps.append(HeatMap(named, down.word, across.word, tuple(rows), columns, key))
    return tuple(maps)


def _shades(side: RunComparison) -> dict[int, int]:
    """0 for the worst mean of the table, SHADES for the best."""
    assert side.comparison is not None
    ranked = side.comparison.ranked
    best, worst = ranked[0].summary.mean, ranked[-1].summary.mean
    span = best - worst or 1.0
    return {row.key: round(SHADES * (row.summary.mean - worst) / span) for row in ranked}


def _cell(side: RunComparison, index: int | None, shades: Mapping[int, int]) -> Cell | None:
    if index is None or index not in shades or side.comparison is None:
        return None
    summary, show = side.comparison.rows[index].summary, Units(side.measure.share)
    interval = f", 95% {show.interval(summary.interval)}" if summary.interval else ""
    label = f"{side.candidates[index].label}: {show.value(summary.mean)}{interval}, n {summary.n}"
    return Cell(show.value(summary.mean), shades[index], mark(side, index), label)


# --- curves and parallel coordinates ------------------------------------------------------------------------


def _curve(tried: Tried, axis: TriedAxis) -> dict[str, Any]:
    """Mean and interval of every group over one setting, colored by another one that has few values."""
    side = tried.side
    assert side.comparison is not None
    discrete = next((a for a in tried.axes if a is not axis and len(a.values) <= MOST_COLORS), None)
    points: list[dict[str, Any]] = []
    for index in side.comparison.order:
        summary, row = side.comparison.rows[index].summary, tried.rows[index]
        low, high = summary.interval or (None, None)
        points.append(
            {
                "x": row.get(axis.key),
                "y": summary.mean,
                "low": low,
                "high": high,
                "mark": mark(side, index),
                "name": side.candidates[index].label,
                "color": discrete.values.index(row.get(discrete.key)) if discrete else None,
            }
        )
    points.sort(key=lambda point: point["x"])
    return {
        **_measured(tried, axis),
        "log": axis.is_log,
        "joined": len(side.grouping.differing) == 1,
        "points": points,
        "colors": [discrete.word, [text(value) for value in discrete.values]] if discrete else None,
    }


def _margin(tried: Tried, axis: TriedAxis) -> dict[str, Any]:
    """The mean at every value of a setting, over all others, with its interval."""
    found = tried.levels(axis)
    sign = 1 if tried.side.measure.higher else -1
    best = max(found, key=lambda level: sign * level.summary.mean)
    points = [
        {
            "x": center(level, axis) if axis.is_numeric else place,
            "y": level.summary.mean,
            "low": level.summary.interval and level.summary.interval[0],
            "high": level.summary.interval and level.summary.interval[1],
            "mark": "best" if level is best else "near",
            "name": f"{axis.word} {level_name(level)}",
        }
        for place, level in enumerate(found, 1)
    ]
    return {
        **_measured(tried, axis),
        "log": axis.is_log,
        "joined": axis.is_numeric,
        "points": points,
        "names": None if axis.is_numeric else [level_name(level) for level in found],
        "margin": True,
        "binned": len(found) < len(axis.values),
    }


def _measured(tried: Tried, axis: TriedAxis) -> dict[str, Any]:
    return {"key": axis.word, "measure": tried.side.measure.name, "share": tried.side.measure.share}


def _parallel(tried: Tried) -> dict[str, Any]:
    """Of every group with an outcome the place on each axis, its outcome and its mark; best last."""
    side = tried.side
    assert side.comparison is not None
    axes = [
        {
            "key": axis.word,
            "log": axis.is_log,
            "names": None if axis.is_numeric else [text(value) for value in axis.values],
        }
        for axis in tried.axes
    ]
    lines = [
        {
            "at": [
                row.get(axis.key) if axis.is_numeric else axis.values.index(row.get(axis.key))
                for axis in tried.axes
            ],
            "y": side.comparison.rows[index].summary.mean,
            "mark": mark(side, index),
            "name": side.candidates[index].label,
            "row": place,
        }
        for place, index in enumerate(side.comparison.order)
        for row in [tried.rows[index]]
    ]
    return {"axes": axes, "lines": lines[::-1], "measure": side.measure.name, "share": side.measure.share}


# --- importance --------------------------------------------------------------------------------------------


def importance_table(found: Sequence[Effect], measure: Measure) -> Table:
    """Which setting mattered: the effects as a table."""
    show = Units(measure.share)
    words = short([key for effect in found for key in effect.keys if len(effect.keys) == 1])
    rows = [
        {
            "axis": " x ".join(words[key] for key in effect.keys),
            "part": effect.part,
            **interval_values("", effect.interval),
            "means": _means(effect, measure, show),
        }
        for effect in found
    ]
    return Table(EFFECTS, rows)


def _means(effect: Effect, measure: Measure, show: Units) -> str:
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
