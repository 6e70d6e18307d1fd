"""Tests and intervals of paired outcomes, and the level at which a whole table of them errs in 5 % of cases.

The best group is usually chosen by the same data that it is then compared on, and a table has many rows: verdicts at
5 % each would call one of ten equal groups "worse" in most tables. So each row's t test uses the level at which 5 % of
all tables of equal groups get any verdict, and its interval is the one that goes with this test: verdict and interval
always agree, and all intervals of a table hold together in 95 % of tables. These are multiple comparisons with the best
of Edwards & Hsu 1983 (Hsu 1996, chapter 4), in the unconstrained form that also holds for ties; the critical value is
simulated (Edwards & Berry 1987) for normal, equally varying groups. Each pair has a standard error of its own, as
groups vary differently between blocks. Simulations with other groups, normal or not, are in tests/study/test_family.py
and docs/maps-and-races.md.

Outcomes of the same block (a seed, a function) are pairs: the same initial weights, the same order of images. Groups
without a common block are compared by Welch's t test (1947). Beside it stands a p value that assumes no distribution:
the sign-flip test of the pairs (Fisher 1935), or without pairs the permutation test, adjusted by Holm 1979.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import comb, nan, sqrt
from typing import Any

import numpy as np

from optilab.optimize.objective import Floats

EXACT = 2**16
"""Arrangements up to which a permutation test takes all; beyond, it draws."""
ARRANGEMENTS = 100_000
"""Arrangements that are drawn where not all are taken."""
FAMILIES = 20_000
"""Simulated families behind a critical value; 5 % is met within 0.15 points."""
POWER = 0.8
ROUNDING = 1e-12
"""Relative to the sum of the absolute values: sums that differ less are equal."""
MOST_SEEDS = 10_000


Values = Mapping[Any, float]
"""The outcome of each block, which is a seed in most comparisons."""


@dataclass(frozen=True)
class Summary:
    """One group by itself. With one value there is no spread, without spread no interval."""

    n: int
    mean: float
    std: float | None
    """Sample standard deviation."""
    interval: tuple[float, float] | None
    """95 % interval of the mean (Student's t)."""


def summarize(values: Sequence[float], level: float = 0.05) -> Summary:
    """Number, mean, sample standard deviation and the interval of the mean."""
    n = len(values)
    if n < 2:
        return Summary(n, values[0] if values else nan, None, None)
    mean, std = float(np.mean(values)), float(np.std(values, ddof=1))
    half = _quantile(n - 1, level) * std / sqrt(n)
    return Summary(n, mean, std, (mean - half, mean + half) if std else None)


# --- one comparison ----------------------------------------------------------------------------------------


class DifferenceTest:
    """The tests of one group against the baseline; `error` is zero where there is no t test."""

    def __init__(self, group: Values, baseline: Values, sign: int) -> None:
        common = [block for block in group if block in baseline]
        self.paired = bool(common)
        if common:
            pairs = np.array([group[block] - baseline[block] for block in common])
            self.n, self.df, self.difference = len(pairs), len(pairs) - 1.0, float(pairs.mean())
            self.variances = [float(pairs.var(ddof=1))] if self.n > 1 else [0.0]
            self.error = sqrt(self.variances[0] / self.n)
            self.won = float(((sign * pairs > 0) + (pairs == 0) / 2).mean())
            self.p, self.floor = sign_flip(pairs)
        else:
            first, second = (np.array(list(side.values()), float) for side in (group, baseline))
            self.n, self.difference = min(len(first), len(second)), float(first.mean() - second.mean())
            self.variances = [float(side.var(ddof=1)) if len(side) > 1 else 0.0 for side in (first, second)]
            parts = [v / len(side) for v, side in zip(self.variances, (first, second), strict=True)]
            self.error = sqrt(sum(parts)) if self.n > 1 else 0.0
            spread = sum(q * q / (len(side) - 1) for q, side in zip(parts, (first, second), strict=True) if q)
            self.df = sum(parts) ** 2 / spread if spread else 0.0
            gaps = sign * (first[:, None] - second)
            self.won = float(((gaps > 0) + (gaps == 0) / 2).mean())
            self.p, self.floor = permutation(first, second)
        if self.error <= ROUNDING * abs(self.difference):  # a constant difference, up to rounding
            self.error = 0.0

    @property
    def p_t(self) -> float:
        """Two-sided p of the t test."""
        return float(2 * _special().stdtr(self.df, -abs(self.difference) / self.error)) if self.error else 1.0

    def interval(self, level: float) -> tuple[float, float] | None:
        if not self.error:
            return None
        half = _quantile(self.df, level) * self.error
        return self.difference - half, self.difference + half

    def more(self, level: float) -> int | None:
        """Further seeds (in each group) with which a t test at `level` finds the difference seen in 8 of 10 cases."""
        if not self.error or not self.difference:
            return None
        low, high = self.n, self.n + 1
        while self._power(high, level) < POWER:
            low, high = high, 2 * high
            if high > 2 * MOST_SEEDS:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._power(middle, level) >= POWER else (middle, high)
        return high - self.n if high <= MOST_SEEDS else None

    def _power(self, n: int, level: float) -> float:
        """Of the two-sided t test with `n` seeds in each group."""
        total = sum(self.variances)
        df = (n - 1) * total**2 / sum(v * v for v in self.variances)
        return power(df, abs(self.difference) / sqrt(total / n), level)


def power(df: float, shift: float, level: float) -> float:
    """Power of a two-sided t test whose statistic has the noncentrality `shift`."""
    critical, special = _quantile(df, level), _special()
    return float(1 - special.nctdtr(df, shift, critical) + special.nctdtr(df, shift, -critical))


def holm(p: Sequence[float], family: int | None = None) -> list[float]:
    """Holm's step-down adjustment (1979).

    `family`: the number of hypotheses where these are only the tests that were looked at; the ranks that the others
    would take are not counted, which errs on the safe side.
    """
    count, adjusted, largest = family or len(p), [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (count - rank) * p[i]))
        adjusted[i] = largest
    return adjusted


def sign_flip(differences: Floats) -> tuple[float, float]:
    """Two-sided p of the mean under all flips of signs, or 100,000 random ones, and the smallest possible p."""
    n = len(differences)
    observed = abs(differences.sum()) - ROUNDING * np.abs(differences).sum()
    # A flip of all signs gives the same |sum|, so one sign can stay.
    if 2**n <= EXACT:
        flips = np.arange(2 ** (n - 1))[:, None] >> np.arange(n - 1) & 1
        sums = differences[0] + (1 - 2 * flips) @ differences[1:]
        return _share(sums, observed, 0), min(1.0, 2.0 ** (1 - n))
    generator = np.random.default_rng(n)
    drawn = [(1.0 - 2 * generator.integers(0, 2, (count, n))) @ differences for count in _portions(n)]
    return _share(np.concatenate(drawn), observed, 1), 1 / (1 + ARRANGEMENTS)


def permutation(first: Floats, second: Floats) -> tuple[float, float]:
    """Two-sided p of the difference of the means under all ways to share the values out, and the smallest possible."""
    values, n = np.concatenate([first, second]), len(first)
    values = values - values.mean()  # the difference of the means is then proportional to the first group's sum
    observed = abs(values[:n].sum()) - ROUNDING * np.abs(values).sum()
    count = comb(len(values), n)
    if count <= EXACT:
        sums = np.array([sum(chosen) for chosen in combinations(values.tolist(), n)])
        return _share(sums, observed, 0), (2 if n == len(second) else 1) / count
    generator = np.random.default_rng(len(values))
    drawn = [
        generator.permuted(np.tile(values, (portion, 1)), axis=1)[:, :n].sum(axis=1)
        for portion in _portions(len(values))
    ]
    return _share(np.concatenate(drawn), observed, 1), 1 / (1 + ARRANGEMENTS)


def _portions(size: int) -> Iterator[int]:
    """The draws in portions that fit in memory, each draw having `size` numbers."""
    portion, left = max(1, 1_000_000 // size), ARRANGEMENTS
    while left:
        yield (now := min(portion, left))
        left -= now


def _share(sums: Floats, observed: float, extra: int) -> float:
    """Share of |sums| that reach the observed one; `extra` counts it itself where arrangements are drawn."""
    return float(((np.abs(sums) >= observed).sum() + extra) / (len(sums) + extra))


# --- families of comparisons -------------------------------------------------------------------------------


def single_level(candidates: int, blocks: int, level: float = 0.05, chosen: bool = True) -> float:
    """Two-sided level of one t test such that `level` of all families of equal candidates have a test below it.

    With `chosen` the candidate that all are compared with is the best of them, chosen by the data; else it was named
    before (Dunnett 1955, with a standard error for each pair). Exact for two candidates. A critical value of a larger
    number of blocks is smaller, so the level of the fewest blocks of a table is safe for all of its tests.
    """
    if candidates < 3:
        return level
    critical = np.quantile(_largest_statistics(candidates, blocks, chosen), 1 - level)
    return float(2 * _special().stdtr(blocks - 1, -critical))


def family_p(p: float, candidates: int, blocks: int, chosen: bool = True) -> float:
    """Share of the families of equal candidates with a test whose p value is as small as `p`; see `single_level`."""
    if candidates < 3:
        return p
    statistic = -_special().stdtrit(blocks - 1, p / 2)
    null = _largest_statistics(candidates, blocks, chosen)
    return float((1 + (null >= statistic).sum()) / (1 + FAMILIES))


@cache
def _largest_statistics(candidates: int, blocks: int, chosen: bool = True) -> Floats:
    """The largest |t| of each of `FAMILIES` families of equal candidates, (FAMILIES,)."""
    generator = np.random.default_rng([candidates, blocks])
    largest: list[Floats] = []
    families = max(1, min(1000, 2_000_000 // (candidates * blocks)))
    for start in range(0, FAMILIES, families):
        measured = generator.standard_normal((min(families, FAMILIES - start), candidates, blocks))
        lowest = np.argmin(measured.mean(axis=2), axis=1)[:, None, None] if chosen else np.zeros((1, 1, 1), int)
        differences = measured - np.take_along_axis(measured, lowest, axis=1)
        means, errors = differences.mean(axis=2), _standard_errors(differences)
        largest.append(np.abs(np.divide(means, errors, out=np.zeros_like(means), where=errors > 0)).max(axis=1))
    return np.concatenate(largest)


def _standard_errors(differences: Floats) -> Floats:
    """Of the means over the blocks, the last axis; zero with one block."""
    blocks = differences.shape[-1]
    return np.asarray(differences.std(axis=-1, ddof=min(1, blocks - 1)) / np.sqrt(blocks))


def _quantile(df: float, level: float) -> float:
    """Two-sided critical value of Student's t."""
    return float(-_special().stdtrit(df, level / 2))


def _special() -> Any:
    """SciPy's distribution functions; scipy.stats would take three times as long to import."""
    from scipy import special

    return special
