"""The importance of the axes of a sweep: the part of the variance of the outcomes of each, and of pairs of axes.

On a complete grid this is the analysis of variance with the axes as factors and the seeds as blocks, whose luck in
common is taken off first. A part is Hays's omega squared (1963): what is left of a sum of squares when the noise that
it would have without any effect is taken off, over that of all. The rest is noise and interactions of more than two
axes. Points that were drawn or chosen are no grid, and have no parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import fmean
from typing import Any

import numpy as np

from optilab.judge.judge import LEVEL, UNLIMITED, Limits, Summary, quantile, summarize
from optilab.optimize.objective import Floats
from optilab.proposals import flow

BINS, MAX_LEVELS = 6, 12
"""An axis with more than MAX_LEVELS numbers that were not tried with the same other settings is cut into BINS of
about the same number of points."""

Point = Mapping[str, Any]
"""Dotted key -> value."""
Outcomes = Sequence[tuple[Point, Mapping[int, float]]]
"""Each point with its outcomes by seed."""


@dataclass(frozen=True)
class Effect:
    """An axis, or a pair of them."""

    keys: tuple[str, ...]
    part: float
    """Fraction of the total variance, 0 to 1."""
    interval: tuple[float, float] | None
    """95% interval, Student's, of the parts by single seeds; None for one seed."""
    means: tuple[tuple[Any, float], ...]
    """The values of an axis, each with the mean outcome over all other axes; empty for a pair."""


@dataclass(frozen=True)
class Level:
    """The mean outcome over all points with one value of an axis, or with values from `low` to `high`."""

    low: Any
    high: Any
    summary: Summary
    """The sample are the seeds, where each value was tried with the same other settings; else the points."""


def levels(key: str, outcomes: Outcomes, limits: Limits = UNLIMITED) -> list[Level]:
    """The marginal means of an axis; numbers in ascending order. `limits` are those of the outcomes; intervals end
    there."""
    members: dict[str, list[int]] = {}
    others: dict[str, set[str]] = {}
    for index, (point, _) in enumerate(outcomes):
        value = flow(point.get(key))
        members.setdefault(value, []).append(index)
        others.setdefault(value, set()).add(flow({k: v for k, v in point.items() if k != key}))
    rows = [*members.values()]
    is_balanced = len({*map(frozenset, others.values())}) == 1
    values: list[Any] = [outcomes[row[0]][0].get(key) for row in rows]
    if all(type(value) in (int, float) for value in values):
        rows = [row for _, row in sorted(zip(values, rows, strict=True), key=lambda pair: pair[0])]
        if len(rows) > MAX_LEVELS and not (is_balanced and len(outcomes[0][0]) > 1):
            cut = np.array_split([index for row in rows for index in row], BINS)
            rows, is_balanced = [list(map(int, part)) for part in cut], False
    seeds = _common_seeds(outcomes)
    levels = []
    for row in rows:
        means = [fmean(outcomes[i][1].values()) for i in row]
        if is_balanced and len(seeds) > 1:
            means = [fmean(outcomes[i][1][seed] for i in row) for seed in seeds]
        low, high = (outcomes[i][0].get(key) for i in (row[0], row[-1]))
        levels.append(Level(low, high, summarize(means, limits=limits)))
    return levels


def _common_seeds(outcomes: Outcomes) -> list[int]:
    return [seed for seed in outcomes[0][1] if all(seed in values for _, values in outcomes)] if outcomes else []


def effects(outcomes: Outcomes) -> list[Effect]:
    """The effects of the axes of a grid, largest first, then those of pairs; nothing of fewer than two axes. The seeds
    that all points have count.
    """
    keys = [key for key in (outcomes[0][0] if outcomes else {}) if len({flow(p[key]) for p, _ in outcomes}) > 1]
    seeds, axes = _common_seeds(outcomes), range(len(keys))
    names = [{flow(point[key]): point[key] for point, _ in outcomes} for key in keys]
    places = [tuple([*names[a]].index(flow(point[keys[a]])) for a in axes) for point, _ in outcomes]
    shape = tuple(map(len, names))
    if len(keys) < 2 or not seeds or len({*places}) != len(places) or len(places) != np.prod(shape):
        return []
    values = np.empty((*shape, len(seeds)))
    for place, (_, row) in zip(places, outcomes, strict=True):
        values[place] = [row[seed] for seed in seeds]
    terms = [*((a,) for a in axes), *combinations(axes, 2)]
    parts = _fractions(values, terms)
    intervals: list[tuple[float, float] | None] = [None] * len(terms)
    if len(seeds) > 1:
        single = np.array([_fractions(values[..., [seed]], terms) for seed in range(len(seeds))])
        half = quantile(len(seeds) - 1, LEVEL) * single.std(axis=0, ddof=1) / sqrt(len(seeds))
        intervals = [(max(0.0, p - h), min(1.0, p + h)) for p, h in zip(parts, half.tolist(), strict=True)]
    ordered = []
    for term, part, interval in zip(terms, parts, intervals, strict=True):
        means: list[float] = values.mean(axis=tuple({*range(values.ndim)} - {*term})).tolist()
        pairs = zip(names[term[0]].values(), means, strict=True) if len(term) == 1 else ()
        ordered.append(Effect(tuple(keys[axis] for axis in term), part, interval, tuple(pairs)))
    return sorted(ordered, key=lambda effect: (len(effect.keys), -effect.part))


def _fractions(values: Floats, terms: Sequence[tuple[int, ...]]) -> list[float]:
    """Omega squared of each term; without a second seed, the plain parts of the sum of squares."""
    seeds, cells = values.shape[-1], values[..., 0].size
    centered = values - values.mean(axis=tuple(range(values.ndim - 1)), keepdims=True)
    total = float((centered**2).sum())
    if not total:
        return [0.0 for _ in terms]
    residual = centered - centered.mean(axis=-1, keepdims=True)
    noise = float((residual**2).sum()) / ((cells - 1) * (seeds - 1)) if seeds > 1 else 0.0
    sums: dict[tuple[int, ...], float] = {}
    parts = []
    for term in terms:
        others = tuple(axis for axis in range(values.ndim) if axis not in term)
        margin = centered.mean(axis=others)
        sums[term] = float((margin**2).sum()) * values.size / margin.size - sum(sums.get((a,), 0.0) for a in term)
        freedom = float(np.prod([values.shape[axis] - 1 for axis in term]))
        parts.append(min(1.0, max(0.0, (sums[term] - freedom * noise) / (total + seeds * noise))))
    return parts
