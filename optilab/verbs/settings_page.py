"""Outcomes over the settings that were tried: a curve for one number, a heat map for a grid of two, with the best
marked and everything that no verdict tells from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from optilab.study.comparison import RunComparison
from optilab.study.groups import distinguishing_keys, short, text
from optilab.verbs.compare import Units

SHADES = 20
"""Steps of the colour scale of a heat map; the style sheet has a class for each."""
MOST_MAPS = 12
MOST_VALUES = 40
"""Rows and columns of a heat map."""
MOST_CURVES = 4
LOG_FROM = 5.0
"""A range of settings that spans more than this factor gets a logarithmic axis."""


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
    """A table of outcomes: one key down, one across; `title` names the other settings."""

    title: str
    down: str
    across: str
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Outlook:
    """What is drawn: heat maps, or curves over one setting each as data for the script."""

    maps: tuple[HeatMap, ...] = ()
    curves: tuple[Mapping[str, Any], ...] = ()


def outlook(side: RunComparison) -> Outlook:
    """The pictures of the settings of a comparison; empty where a table says it all."""
    rows = [candidate.settings for candidate in side.candidates]
    keys = distinguishing_keys(list(dict.fromkeys(key for row in rows for key in row)), rows)
    if side.comparison is None or len(rows) < 3 or not keys:
        return Outlook()
    values = {key: _values(key, rows) for key in keys}
    if len(keys) > 1:
        total = 1
        for of_key in values.values():
            total *= len(of_key)
        if total == len(rows):
            return Outlook(maps=_maps(side, values))
    # A number that few groups differ in is a side issue of their other settings.
    numbers = [key for key in keys if all(map(is_number, values[key])) and 2 * len(values[key]) > len(rows)]
    return Outlook(curves=tuple(_curve(side, key, short(keys)[key]) for key in numbers[:MOST_CURVES]))


def _values(key: str, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The values of a key; numbers in ascending order."""
    found: list[Any] = []
    for row in rows:
        if row.get(key) not in found:
            found.append(row.get(key))
    return sorted(found) if all(map(is_number, found)) else found


def is_number(value: Any) -> bool:
    """Whether a setting is a number, and not on or off."""
    return isinstance(value, int | float) and not isinstance(value, bool)


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


def _maps(side: RunComparison, values: Mapping[str, list[Any]]) -> tuple[HeatMap, ...]:
    """A map of the two keys with the most values, for each combination of the others."""
    keys = sorted(values, key=lambda key: (len(values[key]), all(map(is_number, values[key]))))
    *rest, down, across = keys
    facets = list(product(*(values[key] for key in rest)))
    if len(facets) > MOST_MAPS or len(values[across]) > MOST_VALUES:
        return ()
    words = short(keys)
    where = {
        tuple(text(candidate.settings.get(key)) for key in keys): index
        for index, candidate in enumerate(side.candidates)
    }
    shades = _shades(side)
    maps = []
    for facet in facets:
        named = ", ".join(f"{words[key]} {text(value)}" for key, value in zip(rest, facet, strict=True))
        rows = []
        for value in values[down]:
            places = [tuple(map(text, (*facet, value, other))) for other in values[across]]
            cells = tuple(_cell(side, where.get(place), shades) for place in places)
            rows.append((text(value), cells))
        columns = tuple(map(text, values[across]))
        maps.append(HeatMap(named, words[down], words[across], tuple(rows), columns))
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
    interval = f", 95 % {show.interval(summary.interval)}" if summary.interval else ""
    label = f"{side.candidates[index].label}: {show.value(summary.mean)}{interval}, n {summary.n}"
    return Cell(show.value(summary.mean), shades[index], mark(side, index), label)


# --- curves ------------------------------------------------------------------------------------------------


def _curve(side: RunComparison, key: str, word: str) -> dict[str, Any]:
    """Mean and interval of every group over one setting."""
    assert side.comparison is not None
    points: list[dict[str, Any]] = []
    for index in side.comparison.order:
        summary, setting = side.comparison.rows[index].summary, side.candidates[index].settings.get(key)
        low, high = summary.interval or (None, None)
        points.append(
            {
                "x": setting,
                "y": summary.mean,
                "low": low,
                "high": high,
                "n": summary.n,
                "mark": mark(side, index),
                "name": side.candidates[index].label,
            }
        )
    points.sort(key=lambda point: point["x"])
    first, last = points[0]["x"], points[-1]["x"]
    return {
        "key": word,
        "log": first > 0 and last > LOG_FROM * first,
        "joined": len(side.grouping.differing) == 1,
        "measure": side.measure.name,
        "share": side.measure.share,
        "points": points,
    }
