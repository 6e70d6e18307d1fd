"""Comparison of several candidates with the best of them, where which one is best is unknown too.

Every candidate is measured on the same blocks (functions in a race, seeds in a comparison of trainings), and blocks
are the sample: conclusions hold for blocks like these. The candidate with the lowest mean is compared with each other
one by a paired t statistic over the blocks. That candidate was chosen by the same data, so the largest of these
statistics is compared with its own distribution for equal candidates: at most `level` of all families of equal
candidates get any verdict "worse", however many candidates there are.

These are multiple comparisons with the best of Edwards & Hsu 1983 (Hsu 1996, chapter 4), in the unconstrained form
that also holds for ties; the critical value is simulated (Edwards & Berry 1987) for normal, equally varying
candidates. Each pair has a standard error of its own, as candidates vary differently between blocks. Simulations with
other candidates, normal or not, are in tests/study/test_best.py and docs/maps-and-races.md.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from optilab.optimize.objective import Floats

DRAWS = 20_000
"""Simulated families behind a critical value; 5 % is met within 0.15 points."""


@dataclass(frozen=True)
class Comparison:
    """One candidate against the one with the lowest mean."""

    difference: float
    """Mean over the blocks; zero for the lowest itself."""
    interval: tuple[float, float] | None
    """Holds for all candidates at once; None for the lowest itself, with one block, or without any variation."""
    p: float
    """Share of the families of equal candidates with a statistic as large as this one anywhere."""
    worse: bool
    """Whether the interval lies above zero."""


def compare_with_best(measured: Floats, level: float = 0.05) -> list[Comparison]:
    """Comparison of each candidate of `measured` (candidates, blocks), where lower is better, with the lowest."""
    candidates, blocks = measured.shape
    differences = measured - measured[np.argmin(measured.mean(axis=1))]
    means, errors = differences.mean(axis=1), _standard_errors(differences)
    if candidates < 2 or blocks < 2:
        return [Comparison(float(mean), None, 1.0, False) for mean in means]
    null = _largest_statistics(candidates, blocks)
    critical = float(np.quantile(null, 1 - level))
    comparisons = []
    for mean, error in zip(means.tolist(), errors.tolist(), strict=True):
        if error <= 1e-12 * abs(mean):  # the lowest itself, its equal, or a constant difference
            comparisons.append(Comparison(mean, None, 1.0, False))
            continue
        interval = (mean - critical * error, mean + critical * error)
        p = float((1 + (null >= mean / error).sum()) / (1 + DRAWS))
        comparisons.append(Comparison(mean, interval, p, interval[0] > 0))
    return comparisons


def single_level(candidates: int, blocks: int, level: float = 0.05, chosen: bool = True) -> float:
    """Two-sided level of one t test such that `level` of all families of equal candidates have a test below it.

    With `chosen` the candidate that all are compared with is the best of them, chosen by the data; else it was named
    before (Dunnett 1955, with a standard error for each pair). Exact for two candidates. A critical value of a larger
    number of blocks is smaller, so the level of the fewest blocks of a table is safe for all of its tests.
    """
    if candidates < 3:
        return level
    critical = np.quantile(_largest_statistics(candidates, blocks, chosen), 1 - level)
    return float(2 * _student().stdtr(blocks - 1, -critical))


def family_p(p: float, candidates: int, blocks: int, chosen: bool = True) -> float:
    """Share of the families of equal candidates with a test whose p value is as small as `p`; see `single_level`."""
    if candidates < 3:
        return p
    statistic = -_student().stdtrit(blocks - 1, p / 2)
    null = _largest_statistics(candidates, blocks, chosen)
    return float((1 + (null >= statistic).sum()) / (1 + DRAWS))


def _student() -> Any:
    """SciPy's functions of Student's distribution; scipy.stats would take three times as long to import."""
    from scipy import special

    return special


@cache
def _largest_statistics(candidates: int, blocks: int, chosen: bool = True) -> Floats:
    """The largest |t| of each of `DRAWS` families of equal candidates, (DRAWS,)."""
    generator = np.random.default_rng([candidates, blocks])
    largest: list[Floats] = []
    families = max(1, min(1000, 2_000_000 // (candidates * blocks)))
    for start in range(0, DRAWS, families):
        measured = generator.standard_normal((min(families, DRAWS - start), candidates, blocks))
        lowest = np.argmin(measured.mean(axis=2), axis=1)[:, None, None] if chosen else np.zeros((1, 1, 1), int)
        differences = measured - np.take_along_axis(measured, lowest, axis=1)
        means, errors = differences.mean(axis=2), _standard_errors(differences)
        largest.append(np.abs(np.divide(means, errors, out=np.zeros_like(means), where=errors > 0)).max(axis=1))
    return np.concatenate(largest)


def _standard_errors(differences: Floats) -> Floats:
    """Of the means over the blocks, the last axis; zero with one block."""
    blocks = differences.shape[-1]
    return np.asarray(differences.std(axis=-1, ddof=min(1, blocks - 1)) / np.sqrt(blocks))
