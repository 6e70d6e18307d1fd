"""Which axis of a sweep mattered: its part of the variance of the outcomes, and that of pairs of axes.

On a complete grid this is the analysis of variance with the axes as factors and the seeds as blocks. A part is Hays's
omega squared (1963): what is left of a sum of squares when the noise that it would have without any effect is taken
off, over that of all. The rest is noise and interactions of more than two axes. Points that were drawn or chosen are
no grid: a random forest is fitted to them, and its variance is decomposed in the same way (functional ANOVA, Hutter et
al. 2014, by Optuna; without pairs and noise).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import fmean
from typing import Any

import numpy as np

from optilab.config.tree import flow
from optilab.optimize.objective import Floats
from optilab.study.statistics import UNLIMITED, Limits, Summary, quantile, summarize

FOREST_DRAWS = 20
"""Samples of the points behind an interval, each of which takes a forest."""
TREES = 16
FEWEST = 8
"""Points that a forest is fitted to."""

Point = Mapping[str, Any]
"""Dotted key -> value."""


@dataclass(frozen=True)
class Effect:
    """An axis, or a pair of them."""

    keys: tuple[str, ...]
    part: float
    """For the variance of all outcomes, from 0 to 1."""
    interval: tuple[float, float] | None
    """95% interval: Student's of the parts by single seeds; of drawn points, percentiles of a bootstrap over them. None
    for one seed."""
    means: tuple[tuple[Any, float], ...]
    """For an axis of a grid: each of its values with the mean outcome over all others."""


BINS = 6
"""For an axis with more than MOST_LEVELS values that were not tried with the same other settings, each with about the
same number of points."""
MOST_LEVELS = 12


@dataclass(frozen=True)
class Level:
    """The mean outcome over all points with one value of an axis, or with values from `low` to `high`."""

    low: Any
    high: Any
    summary: Summary
    """Over the seeds where each value has been tried with the same other settings, else over the points."""


def levels(
    key: str, outcomes: Sequence[tuple[Point, Mapping[int, float]]], limits: Limits = UNLIMITED
) -> list[Level]:
    """The marginal means of an axis; numbers in ascending order. An axis of many numbers is cut into BINS, unless
    each was tried with the same other settings.

    `limits` are those of the outcomes; intervals end there.
    """
    members: dict[str, list[int]] = {}
    for index, (point, _) in enumerate(outcomes):
        members.setdefault(flow(point.get(key)), []).append(index)
    values: list[Any] = [outcomes[own[0]][0].get(key) for own in members.values()]
    order = [*members.values()]

    def is_alike() -> bool:
        """Whether each value has been tried with the same other settings."""
        others = [{flow({k: v for k, v in outcomes[i][0].items() if k != key}) for i in own} for own in order]
        return all(one == others[0] for one in others)

    if all(type(value) in (int, float) for value in values):
        order = [own for _, own in sorted(zip(values, order, strict=True), key=lambda pair: pair[0])]
        is_grid = len(outcomes[0][0]) > 1 and is_alike()
        if len(order) > MOST_LEVELS and not is_grid:
            cut = np.array_split([index for own in order for index in own], BINS)
            order = [list(map(int, part)) for part in cut]
    seeds = [seed for seed in outcomes[0][1] if all(seed in own for _, own in outcomes)]
    balanced = len(seeds) > 1 and is_alike()
    found = []
    for own in order:
        means = (
            [fmean(outcomes[i][1][seed] for i in own) for seed in seeds]
            if balanced
            else [fmean(outcomes[i][1].values()) for i in own]
        )
        found.append(
            Level(outcomes[own[0]][0].get(key), outcomes[own[-1]][0].get(key), summarize(means, limits=limits))
        )
    return found


def effects(outcomes: Sequence[tuple[Point, Mapping[int, float]]]) -> list[Effect]:
    """The effects of the axes, largest first, then those of pairs; nothing of fewer than two axes.

    `outcomes`: each point with its outcomes by seed. For a grid, the seeds that all points have count.
    """
    keys = [key for key in (outcomes[0][0] if outcomes else {}) if len({flow(p[key]) for p, _ in outcomes}) > 1]
    seeds = [s for s in outcomes[0][1] if all(s in own for _, own in outcomes)] if outcomes else []
    if len(keys) < 2 or not seeds:
        return []
    levels = {key: {flow(point[key]): point[key] for point, _ in outcomes} for key in keys}
    grid = tuple(len(levels[key]) for key in keys)
    places = [tuple([*levels[key]].index(flow(point[key])) for key in keys) for point, _ in outcomes]
    if len(set(places)) != np.prod(grid) or len(places) != len(set(places)):
        return _of_points(keys, outcomes)
    values = np.empty((*grid, len(seeds)))
    for place, (_, own) in zip(places, outcomes, strict=True):
        values[place] = [own[seed] for seed in seeds]
    return _of_grid(keys, levels, values)


# --- a grid ------------------------------------------------------------------------------------------------


def _of_grid(keys: Sequence[str], levels: Mapping[str, Mapping[str, Any]], values: Floats) -> list[Effect]:
    axes = range(len(keys))
    terms = [*((a,) for a in axes), *(combinations(axes, 2) if len(keys) > 1 else ())]
    found, seeds = _parts(values, terms), values.shape[-1]
    intervals: list[tuple[float, float] | None] = [None] * len(terms)
    if seeds > 1:
        single = np.array([_parts(values[..., [seed]], terms) for seed in range(seeds)])
        half = quantile(seeds - 1, 0.05) * single.std(axis=0, ddof=1) / sqrt(seeds)
        ends = zip(found, half.tolist(), strict=True)
        intervals = [(max(0.0, part - width), min(1.0, part + width)) for part, width in ends]
    effects = []
    for term, part, interval in zip(terms, found, intervals, strict=True):
        means: tuple[tuple[Any, float], ...] = ()
        if len(term) == 1:
            others = tuple(axis for axis in range(values.ndim) if axis != term[0])
            own = levels[keys[term[0]]].values()
            means = tuple(zip(own, map(float, values.mean(axis=others)), strict=True))
        effects.append(Effect(tuple(keys[axis] for axis in term), part, interval, means))
    return sorted(effects, key=lambda effect: (len(effect.keys), -effect.part))


def _parts(values: Floats, terms: Sequence[tuple[int, ...]]) -> list[float]:
    """Omega squared of each term; without a second seed, the plain parts of the sum of squares."""
    seeds, cells = values.shape[-1], values[..., 0].size
    centered = values - values.mean()
    total = float((centered**2).sum())
    if not total:
        return [0.0 for _ in terms]
    residual = values - values.mean(axis=-1, keepdims=True)
    residual = residual - residual.mean(axis=tuple(range(values.ndim - 1)), keepdims=True)
    noise = float((residual**2).sum()) / ((cells - 1) * (seeds - 1)) if seeds > 1 else 0.0
    sums: dict[tuple[int, ...], float] = {}
    parts = []
    for term in terms:
        others = tuple(axis for axis in range(values.ndim) if axis not in term)
        margin = centered.mean(axis=others)
        sums[term] = float((margin**2).sum()) * values.size / margin.size - sum(sums.get((a,), 0.0) for a in term)
        freedom = float(np.prod([values.shape[axis] - 1 for axis in term]))
        parts.append(min(1.0, max(0.0, (sums[term] - freedom * noise) / (total + noise))))
    return parts


# --- points that are no grid ----------------------------------------------------------------------------------


def _of_points(keys: Sequence[str], outcomes: Sequence[tuple[Point, Mapping[int, float]]]) -> list[Effect]:
    """By Optuna's evaluator; nothing where it is not installed or the points are few."""
    try:
        from optuna.importance import FanovaImportanceEvaluator

        FanovaImportanceEvaluator()
    except ImportError:
        return []
    if len(outcomes) < FEWEST:
        return []
    keys = sorted(keys)  # a forest depends on the order of both
    outcomes = sorted(outcomes, key=lambda pair: flow({key: pair[0][key] for key in keys}))
    means = np.array([np.mean([*own.values()]) for _, own in outcomes])
    points = [point for point, _ in outcomes]
    found, generator = _forest(keys, points, means), np.random.default_rng(0)
    drawn = []
    for _ in range(FOREST_DRAWS):
        chosen = generator.integers(0, len(points), len(points))
        drawn.append(_forest(keys, [points[i] for i in chosen], means[chosen]))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    effects = [
        Effect((key,), part, (float(a), float(b)), ())
        for key, part, a, b in zip(keys, found, low, high, strict=True)
    ]
    return sorted(effects, key=lambda effect: -effect.part)


def _forest(keys: Sequence[str], points: Sequence[Point], values: Floats) -> list[float]:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    distributions: dict[str, BaseDistribution] = {}
    for key in keys:
        own = [point[key] for point in points]
        if all(type(value) in (int, float) for value in own) and min(own) < max(own):
            log = min(own) > 0 and max(own) > 10 * min(own)
            distributions[key] = FloatDistribution(float(min(own)), float(max(own)), log=log)
        else:
            distributions[key] = CategoricalDistribution([*dict.fromkeys(map(flow, own))])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for point, value in zip(points, values.tolist(), strict=True):
        settings = {
            key: float(point[key]) if isinstance(distributions[key], FloatDistribution) else flow(point[key])
            for key in keys
        }
        study.add_trial(optuna.trial.create_trial(params=settings, distributions=distributions, value=value))
    varying = [key for key in keys if not distributions[key].single()]
    if not varying or np.ptp(values) == 0:
        return [0.0 for _ in keys]
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=0)
    found = evaluator.evaluate(study, params=varying)
    return [float(found.get(key, 0.0)) for key in keys]
