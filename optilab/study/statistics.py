"""Tests and intervals of paired outcomes, and the level at which a whole table of them errs in 5% of cases.

The best group is usually chosen by the same data that it is then compared on, and a table has many rows: verdicts at
5% each would call one of ten equal groups "worse" in most tables. So each row's t test uses the critical value that 5%
of all tables of equal groups exceed anywhere, and its interval is the one that goes with this test: verdict, interval
and p value always agree, and all intervals of a table hold together in 95% of tables. These are multiple comparisons
with the best of Edwards & Hsu 1983 (Hsu 1996, chapter 4), in the unconstrained form that also holds for ties; the
critical value is simulated (Edwards & Berry 1987) for normal groups.

The variance of a difference is the row's own where there are `FEW` blocks or more. Fewer say little about it: a small
variance is then luck more often than not, and the critical value that allows for that finds nothing. So it is raised to
the table's, the mean of all rows' variances with the exponent `EXPONENT`; a larger one stands. This is the shrinkage of
Smyth 2004 in one direction. Pooling alone would err in up to 25% of tables whose groups vary differently; here the
critical value is the largest of three: of groups that vary alike, of groups half of which do not vary at all, and of
one pair by itself (Student's t), which covers a single group that varies much more than the others. Error rates and
power are in docs/verdicts.md; tests/study/test_error_rates.py measures them.

Outcomes of the same block (a seed, a function) are pairs: the same initial weights, the same order of images. Groups
that share too few blocks are compared by Welch's t test (1947). Where one has more outcomes, it has the degrees of
freedom of the smaller one, and never errs in more than the level for normal groups (Mickey & Brown 1966).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import comb, inf, isnan, nan, sqrt
from typing import Any

from optilab.optimize.objective import Floats

FAMILIES = 20_000
"""Simulated families behind a critical value; 5% is met within 0.15 percentage points."""
NUMBERS = 5_000_000
"""Drawn numbers from which on there are fewer families, but never less than a fifth."""
FEW = 8
"""Blocks from which on a row's own variance is used; its critical value is then less than twice that of the table's."""
EXPONENT = 1.5
"""For the mean of the rows' variances. The mean itself (1) lets tables err in which half of the groups vary much more;
the quadratic mean (2) finds less."""
SHARED = 0.75
"""Groups are paired if they share more than this fraction of the smaller group's blocks; else all outcomes count."""
POWER = 0.8
PLANNED = 0.85
"""Power that further blocks are planned for: the difference that they are planned from is uncertain, which costs 5%."""
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
    """95% interval of the mean (Student's t), cut to the possible values."""


Limits = tuple[float, float]
UNLIMITED: Limits = (-inf, inf)


def summarize(values: Sequence[float], level: float = 0.05, limits: Limits = UNLIMITED) -> Summary:
    """Number, mean, sample standard deviation and the interval of the mean, within the `limits` of the values."""
    n = len(values)
    if n < 2:
        return Summary(n, values[0] if values else nan, None, None)
    import numpy as np

    mean, std = float(np.mean(values)), float(np.std(values, ddof=1))
    half = quantile(n - 1, level) * std / sqrt(n)
    low, high = limits
    return Summary(n, mean, std, (max(low, mean - half), min(high, mean + half)) if std else None)


def level_after(looks: int, level: float = 0.05) -> float:
    """The level of a comparison that was made `looks` times before with other trainings: half of it each time.

    Each look is one more chance to err. The first one has the full level, because nobody knows then that others will
    follow; all of them together err in less than twice the number of tables (a geometric series, Bonferroni), however
    many there are.
    """
    return level * 0.5**looks


# --- one comparison ----------------------------------------------------------------------------------------


class DifferenceTest:
    """The t test of one group against the baseline; `spread` is zero where nothing varies or there is one outcome."""

    def __init__(self, group: Values, baseline: Values, sign: int) -> None:
        import numpy as np

        common = [block for block in group if block in baseline]
        self.paired = len(common) > SHARED * min(len(group), len(baseline))
        if self.paired:
            pairs = np.array([group[block] - baseline[block] for block in common])
            self.n, self.df, self.difference = len(pairs), len(pairs) - 1.0, float(pairs.mean())
            self.variances = [float(pairs.var(ddof=1))] if self.n > 1 else [0.0]
            error = sqrt(self.variances[0] / self.n)
            self.won = float(((sign * pairs > 0) + (pairs == 0) / 2).mean())
            self.p_constant = min(1.0, 2.0 ** (1 - self.n))
        else:
            first, second = (np.array(list(side.values()), float) for side in (group, baseline))
            self.n, self.difference = min(len(first), len(second)), float(first.mean() - second.mean())
            self.variances = [float(side.var(ddof=1)) if len(side) > 1 else 0.0 for side in (first, second)]
            parts = [v / len(side) for v, side in zip(self.variances, (first, second), strict=True)]
            error = sqrt(sum(parts)) if self.n > 1 else 0.0
            spread = sum(q * q / (len(side) - 1) for q, side in zip(parts, (first, second), strict=True) if q)
            self.df = sum(parts) ** 2 / spread if spread else 0.0
            if len(first) != len(second):  # Welch's number errs in 10% where the smaller group varies more
                self.df = min(self.df, self.n - 1.0)
            gaps = sign * (first[:, None] - second)
            self.won = float(((gaps > 0) + (gaps == 0) / 2).mean())
            same = 1 + (len(first) == len(second))
            self.p_constant = min(1.0, same / comb(len(first) + len(second), len(first)))
        self.spread = error**2 * self.n
        """Variance of the difference, per block."""
        if error <= ROUNDING * abs(self.difference):  # a constant difference, up to rounding
            self.spread = 0.0
        if not self.difference:
            self.p_constant = 1.0
        """p of the sign-flip or permutation test (Fisher 1935) of a difference without variation."""


def mean_variance(variances: Sequence[float] | Floats) -> float:
    """The mean with the exponent `EXPONENT`; 0 for none."""
    if not len(variances):
        return 0.0
    import numpy as np

    return float((np.array(variances) ** EXPONENT).mean() ** (1 / EXPONENT))


@dataclass(frozen=True)
class Family:
    """The rows of a table and what they are compared with: their variances and critical values."""

    rows: int
    """The baseline included."""
    chosen: bool
    """Whether the baseline is the best of them by these data."""
    level: float
    table: float = 0.0
    """Variance of a difference, per block, over all rows."""

    @classmethod
    def of(cls, tests: Sequence[DifferenceTest], chosen: bool, level: float) -> "Family":
        return cls(len(tests) + 1, chosen, level, mean_variance([test.spread for test in tests if test.n > 1]))

    def shares(self, test: DifferenceTest) -> bool:
        """Whether the table's variance counts for this row, too."""
        return self.rows > 2 and 1 < test.n < FEW

    def variance(self, test: DifferenceTest) -> float:
        return max(test.spread, self.table) if self.shares(test) else test.spread

    def error(self, test: DifferenceTest) -> float:
        """Standard error of the difference; zero where there is no t test."""
        return sqrt(self.variance(test) / test.n)

    def half_width(self, test: DifferenceTest) -> float:
        """For the interval, which holds for all rows at once."""
        return self._critical(test) * self.error(test)

    def p(self, test: DifferenceTest) -> float:
        """Fraction of the tables of equal candidates with a row whose difference is as clear as this one.

        Without variation it is the p value of the sign-flip or permutation test times the number of comparisons.
        """
        error = self.error(test)
        if not error:
            pairs = self.rows * (self.rows - 1) // 2 if self.chosen else self.rows - 1
            return min(1.0, test.p_constant * pairs)
        statistic = abs(test.difference) / error
        if self.shares(test):
            return max(
                float(2 * _special().stdtr(test.n - 1, -statistic)),
                *(_beyond(null, statistic) for null in _shared_nulls(self.rows, test.n, self.chosen)),
            )
        return family_p(float(2 * _special().stdtr(test.df, -statistic)), self.rows, test.n, self.chosen)

    def more(self, test: DifferenceTest, difference: float) -> int | None:
        """Further blocks of each candidate that find `difference` in 8 of 10 cases; None if too many.

        At the level of the next look, since a study that has grown pays for it; and for the power `PLANNED`.
        """
        if not self.error(test) or not difference:
            return None
        variances, each, critical = test.variances, 1, 0.0
        level = level_after(1, self.level)
        if self.shares(test):
            variances, each = [self.variance(test)], self.rows - 1
            critical = simulated_critical(self.rows, test.n, level, self.chosen)
        else:
            level = single_level(self.rows, test.n, level, self.chosen)

        def found(n: int) -> float:
            total = sum(variances)
            df = each * (n - 1) * total**2 / sum(v * v for v in variances)
            least = max(critical, quantile(df / each, level))
            return power(df, abs(difference) / sqrt(total / n), float(2 * _special().stdtr(df, -least)))

        low, high = test.n, test.n + 1
        while found(high) < PLANNED:
            low, high = high, 2 * high
            if high > 2 * MOST_SEEDS:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if found(middle) >= PLANNED else (middle, high)
        return high - test.n if high <= MOST_SEEDS else None

    def _critical(self, test: DifferenceTest) -> float:
        if self.shares(test):
            alone = quantile(test.n - 1, self.level)
            return max(alone, simulated_critical(self.rows, test.n, self.level, self.chosen))
        return quantile(test.df, single_level(self.rows, test.n, self.level, self.chosen))


def power(df: float, shift: float, level: float) -> float:
    """Power of a two-sided t test whose statistic has the noncentrality `shift`."""
    critical, special = quantile(df, level), _special()
    other_side = special.nctdtr(df, shift, -critical)
    # SciPy has no number for one that is smaller than about 1e-16.
    return float(1 - special.nctdtr(df, shift, critical) + (0.0 if isnan(other_side) else other_side))


def smallest_difference(rows: int, blocks: int, level: float = 0.05) -> float | None:
    """The difference to the best that a complete table of that number of rows finds in 8 of 10 cases; None for one
    block.

    In standard deviations of one outcome, where outcomes are normal and blocks have no luck in common.
    """
    if blocks < 2 or rows < 2:
        return None
    import numpy as np

    special = _special()
    # Variances as they come out: the quantiles of their distribution, with mean 1.
    variances = special.chdtri(blocks - 1, np.linspace(0.0025, 0.9975, 200)) / (blocks - 1)
    critical = quantile(blocks - 1, single_level(rows, blocks, level))
    if rows > 2 and blocks < FEW:
        variances = np.maximum(variances, mean_variance(variances))
        critical = max(quantile(blocks - 1, level), simulated_critical(rows, blocks, level))

    def found(shift: float) -> bool:
        return float(special.ndtr(shift - critical * np.sqrt(variances)).mean()) >= POWER

    low, high = 0.0, 1.0
    while not found(high):
        low, high = high, 2 * high
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high * sqrt(2 / blocks)


# --- families of comparisons -------------------------------------------------------------------------------


@cache
def single_level(candidates: int, blocks: int, level: float = 0.05, chosen: bool = True) -> float:
    """Two-sided level of one t test such that `level` of all families of equal candidates have a test below it.

    With `chosen` the candidate that all are compared with is the best of them, chosen by the data; else it was named
    before (Dunnett 1955, with a standard error for each pair). Exact for two candidates. A critical value of a larger
    number of blocks is smaller, so the level of the fewest blocks of a table is safe for all of its tests.
    """
    if candidates < 3:
        return level
    import numpy as np

    critical = np.quantile(_largest_statistics(candidates, blocks, chosen), 1 - level)
    return float(2 * _special().stdtr(blocks - 1, -critical))


def family_p(p: float, candidates: int, blocks: int, chosen: bool = True) -> float:
    """Fraction of the families of equal candidates with a test whose p value is as small as `p`; see `single_level`."""
    if candidates < 3:
        return p
    return _beyond(_largest_statistics(candidates, blocks, chosen), -_special().stdtrit(blocks - 1, p / 2))


@cache
def simulated_critical(candidates: int, blocks: int, level: float = 0.05, chosen: bool = True) -> float:
    """Critical value of |t| where each row's variance is at least the table's; see the module."""
    import numpy as np

    return max(float(np.quantile(null, 1 - level)) for null in _shared_nulls(candidates, blocks, chosen))


def _shared_nulls(candidates: int, blocks: int, chosen: bool) -> list[Floats]:
    """The largest |t| of families of equal candidates that vary alike, and of which half do not vary at all.

    A baseline that was named before is among those that vary, or among those that do not.
    """
    half = candidates // 2
    constant = [slice(0), slice(half, None)] if chosen else [slice(0), slice(half, None), slice(half)]
    return [_largest_statistics(candidates, blocks, chosen, (own.start, own.stop)) for own in constant]


@cache
def _largest_statistics(
    candidates: int, blocks: int, chosen: bool = True, constant: tuple[int | None, int | None] | None = None
) -> Floats:
    """The largest |t| of each of up to `FAMILIES` families of equal candidates.

    With `constant`, variances are raised to the table's, and the candidates from the first of these places to the
    second do not vary.
    """
    import numpy as np

    count = max(FAMILIES // 5, min(FAMILIES, NUMBERS // (candidates * blocks)))
    generator = np.random.default_rng([candidates, blocks])
    largest: list[Floats] = []
    families = max(1, min(1000, 2_000_000 // (candidates * blocks)))
    for start in range(0, count, families):
        measured = generator.standard_normal((min(families, count - start), candidates, blocks))
        if constant is not None:
            measured[:, slice(*constant)] *= 1e-6
        lowest = np.argmin(measured.mean(axis=2), axis=1)[:, None, None] if chosen else np.zeros((1, 1, 1), int)
        differences = measured - np.take_along_axis(measured, lowest, axis=1)
        means, errors = differences.mean(axis=2), _standard_errors(differences)
        if constant is not None:  # the baseline's own row, of zeros, is no part of the mean
            sums = (errors ** (2 * EXPONENT)).sum(axis=1, keepdims=True)
            errors = np.maximum(errors, (sums / (candidates - 1)) ** (0.5 / EXPONENT))
        largest.append(np.abs(np.divide(means, errors, out=np.zeros_like(means), where=errors > 0)).max(axis=1))
    return np.concatenate(largest)


def _beyond(null: Floats, statistic: float) -> float:
    return float((1 + (null >= statistic).sum()) / (1 + len(null)))


def _standard_errors(differences: Floats) -> Floats:
    """For the means over the blocks, the last axis; zero with one block."""
    import numpy as np

    blocks = differences.shape[-1]
    return np.asarray(differences.std(axis=-1, ddof=min(1, blocks - 1)) / np.sqrt(blocks))


@lru_cache(maxsize=4096)  # a search for a number of blocks asks for the same ones again
def quantile(df: float, level: float) -> float:
    """Two-sided critical value of Student's t."""
    return float(-_special().stdtrit(df, level / 2))


@cache
def _special() -> Any:
    """SciPy's distribution functions; scipy.stats would take three times as long to import."""
    from scipy import special

    return special
