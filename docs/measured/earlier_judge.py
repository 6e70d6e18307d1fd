"""The judge until version 0.2, by simulated critical values, for many complete tables; `power` is measured next to it.

With eight seeds or more each row had a variance of its own, with fewer one that was at least the table's; the critical
value was that which 5% of simulated tables of equal groups exceed.
"""

from functools import cache

import numpy as np

from optilab.study.judge import EXPONENT, MIN_ERROR, quantile

TABLES, NUMBERS, FEW = 20_000, 5_000_000, 8
"""Simulated tables behind a critical value, drawn numbers from which on they are fewer, seeds of the second regime."""


def rejected(values: np.ndarray) -> np.ndarray:
    """Which groups have a verdict against the best, (tables, groups)."""
    tables, groups, seeds = values.shape
    means, every = values.mean(axis=2), np.arange(tables)
    first = means.argmax(axis=1)
    differences = values - values[every, first][:, None]
    difference, variances = differences.mean(axis=2), differences.var(axis=2, ddof=1)
    variances[np.sqrt(variances / seeds) <= MIN_ERROR * np.abs(difference)] = 0
    critical = quantile(seeds - 1, 0.05)
    if groups > 2 and seeds < FEW:
        variances = np.maximum(variances, mean_variance(variances))
        constant = [(0, 0), (groups // 2, groups)]
        critical = max(critical, *(simulated(groups, seeds, *places) for places in constant))
    elif groups > 2:
        critical = simulated(groups, seeds)
    by_sign = (2.0 ** (1 - seeds) * groups * (groups - 1) / 2 <= 0.05) & (difference != 0)
    worse = np.where(variances == 0, by_sign, np.abs(difference) > critical * np.sqrt(variances / seeds))
    worse[every, first] = False
    return worse


def mean_variance(variances: np.ndarray) -> np.ndarray:
    """For each table, without the row of the best, whose differences are 0."""
    total = (variances**EXPONENT).sum(axis=1, keepdims=True)
    return np.asarray((total / (variances.shape[1] - 1)) ** (1 / EXPONENT))


@cache
def simulated(groups: int, seeds: int, start: int | None = None, stop: int | None = None) -> float:
    """The largest |t| that 5% of tables of equal groups exceed.

    With places, variances are at least the table's, and the groups from the first place to the second do not vary.
    """
    generator = np.random.default_rng([groups, seeds])
    count, largest = max(TABLES // 5, min(TABLES, NUMBERS // (groups * seeds))), []
    size = max(1, min(1000, 2_000_000 // (groups * seeds)))
    for first in range(0, count, size):
        values = generator.standard_normal((min(size, count - first), groups, seeds))
        if start is not None:
            values[:, start:stop] *= 1e-6
        lowest = np.argmin(values.mean(axis=2), axis=1)[:, None, None]
        differences = values - np.take_along_axis(values, lowest, axis=1)
        means, variances = differences.mean(axis=2), differences.var(axis=2, ddof=1)
        if start is not None:
            variances = np.maximum(variances, mean_variance(variances))
        errors = np.sqrt(variances / seeds)
        largest.append(np.abs(np.divide(means, errors, out=np.zeros_like(means), where=errors > 0)).max(axis=1))
    return float(np.quantile(np.concatenate(largest), 0.95))
