"""The groups that can be the best: each is compared with the best one, or with a named baseline, at one level for the
whole table.

    judge({"sgd": {42: 0.81, 43: 0.82}, "adam": {42: 0.86, 43: 0.85}}).possible_best

A difference has Student's t interval, from the blocks (seeds, functions) that both groups have, which are pairs; or,
where they share too few, from all of their outcomes (Welch 1947). The variance of few outcomes is small by luck more
often than not, so it is raised to the mean of the table, and a larger one stands. This is the shrinkage of Smyth 2004
in one direction. The critical value is Bonferroni's for all pairs of groups, so it holds whichever group the data make
the best, and it is never less than that of a single t test, which covers a group that varies more than all others.

The p value is the same statistic read backward, and a verdict is p at most the level. So p, interval and verdict always
agree, at most 5% of the tables of equal groups contain a verdict, and in 95% of all tables every interval holds.
docs/measured.md has the measured rates; tests/study/test_error_rates.py measures them.
"""

from bisect import bisect_left
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import comb, inf, nan, sqrt
from statistics import fmean
from typing import Any, Generic, Literal, Self, TypeVar

from optilab.numbers import short_percent

LEVEL = 0.05
"""The level of intervals, and of the verdicts of a table that was not compared before."""
EXPONENT = 1.5
"""Exponent of the mean of the rows' variances. The mean itself (1) lets tables err in which half of the groups vary
much more; the quadratic mean (2) finds less."""
MAX_ROWS, MAX_ROWS_NAMED = 10, 5
"""The mean variance counts as many rows as this, at most, since all of them share the outcomes of one group: the best
one, or the baseline that was named. With 12 and 10, 8% and 9% of the tables of 100 groups with 5 seeds err in
which a quarter of the groups varies ten times as much."""
MIN_SHARED = 0.75
"""Groups are paired if they share more than this fraction of the smaller group's blocks."""
POWER_80, POWER_85 = 0.8416, 1.0364
"""Normal quantiles. More seeds are planned for 85%: the difference that they are planned from is uncertain, which costs
5%."""
MAX_MORE = 10_000
MAX_COST = 10
"""Further blocks are advised up to this many times those that a group has."""
MIN_ERROR = 1e-12
"""A standard error below this fraction of the difference is rounding."""

Values = Mapping[Any, float]
"""The outcome of each block."""
Limits = tuple[float, float]
UNLIMITED: Limits = (-inf, inf)
Key = TypeVar("Key", bound=Hashable)
Verdict = Literal["better", "worse", "cannot tell"]


@dataclass(frozen=True)
class Summary:
    """The summary of a single group. With one value there is no standard deviation, without deviation no interval."""

    n: int
    mean: float
    std: float | None
    """Sample standard deviation."""
    interval: tuple[float, float] | None
    """95% interval of the mean (Student's t), cut to the possible values."""


def summarize(values: Sequence[float], limits: Limits = UNLIMITED) -> Summary:
    """Number, mean, sample standard deviation and the interval of the mean, within the `limits` of the values."""
    n = len(values)
    if n < 2:
        return Summary(n, values[0] if values else nan, None, None)
    mean, std = fmean(values), sqrt(_variance(values))
    half = quantile(n - 1, LEVEL) * std / sqrt(n)
    return Summary(n, mean, std, (max(limits[0], mean - half), min(limits[1], mean + half)) if std else None)


def alpha(looks: int, level: float = LEVEL) -> float:
    """The level of a comparison that was made `looks` times before with other trainings: half of it each time.

    Each look is one more chance to err. The first one has the full level, because nobody knows then that others will
    follow; all of them together err in less than twice the number of tables (a geometric series, Bonferroni), however
    many there are.
    """
    return level * 0.5**looks


def confidence_of(level: float) -> str:
    """`95%` of the level 0.05."""
    return short_percent(1 - level)


# --- one difference ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RawDifference:
    """The measured difference between a group and the group that it is compared with."""

    difference: float
    """The mean over the pairs, or the difference of the means."""
    n: int
    """Pairs; without pairs, the outcomes of the smaller of the two groups."""
    variance: float
    """Variance per block: over n it is the squared standard error. 0 where nothing varies, or for n = 1."""
    df: float
    paired: bool
    won: float
    """Fraction of the pairs in which the group is better, ties half; without pairs, of all combinations."""
    sign_flip_p: float
    """p of the sign-flip or permutation test (Fisher 1935), for a difference without variance."""

    @classmethod
    def between(cls, group: Values, base: Values, sign: int) -> Self:
        common = [block for block in group if block in base]
        if paired := len(common) > MIN_SHARED * min(len(group), len(base)):
            gaps = [group[block] - base[block] for block in common]
            difference, n, variance, df = fmean(gaps), len(gaps), _variance(gaps), len(gaps) - 1.0
            sign_flip_p = 2.0 ** (1 - n)
        else:
            samples = [*group.values()], [*base.values()]
            gaps = [value - reference for value in samples[0] for reference in samples[1]]
            sizes, errors = [*map(len, samples)], [_variance(sample) / len(sample) for sample in samples]
            difference, n = fmean(samples[0]) - fmean(samples[1]), min(sizes)
            variance = n * sum(errors) if n > 1 else 0.0
            parts = sum(error**2 / (size - 1) for error, size in zip(errors, sizes, strict=True) if error)
            df = sum(errors) ** 2 / parts if parts else 0.0
            if sizes[0] != sizes[1]:  # Welch's number errs in 10% where the smaller group varies more
                df = min(df, n - 1.0)  # and this one in at most the level (Mickey & Brown 1966)
            sign_flip_p = (1 + (sizes[0] == sizes[1])) / comb(sum(sizes), sizes[0])
        if sqrt(variance / n) <= MIN_ERROR * abs(difference):
            variance = 0.0
        won = fmean((sign * gap > 0) + (gap == 0) / 2 for gap in gaps)
        return cls(difference, n, variance, df, paired, won, min(1.0, sign_flip_p) if difference else 1.0)


@dataclass(frozen=True)
class Family:
    """The comparisons of a table, among which errors of the first kind are counted together."""

    level: float
    pairs: int
    """Comparisons that the data could have made: all pairs of groups where they chose the best, else the rows."""
    rows: int
    """The mean variance has the degrees of freedom of this many rows."""
    variance: float
    """Mean of the rows' variances."""

    @classmethod
    def of(cls, tests: Collection[RawDifference], chosen: bool, level: float) -> Self:
        variances = [test.variance for test in tests if test.n > 1]
        pairs = comb(len(tests) + 1, 2) if chosen else len(tests)
        rows = min(len(variances), MAX_ROWS if chosen else MAX_ROWS_NAMED)
        return cls(level, pairs, rows, mean_variance(variances))

    def raises_variance(self, test: RawDifference) -> bool:
        """True if the variance of the table counts, because that of the row is smaller."""
        return self.rows > 1 and test.n > 1 and test.variance < self.variance

    def std(self, test: RawDifference) -> float:
        """Standard deviation of the difference; 0 where there is no t test."""
        return sqrt(max(test.variance, self.variance)) if test.n > 1 else 0.0

    def half_width(self, test: RawDifference) -> float:
        """Half of the interval, which holds for all rows at once; 0 where there is none."""
        std = self.std(test)
        return self.critical(test.df, self.level) * std / sqrt(test.n) if std else 0.0

    def critical(self, df: float, level: float) -> float:
        """The larger of two critical values: of one t test, and of all pairs by the mean variance (Bonferroni)."""
        return max(quantile(df, level), quantile(df * self.rows, level / self.pairs))

    def p(self, test: RawDifference) -> float:
        """The level at which the interval ends at 0."""
        std = self.std(test)
        if not std:
            return min(1.0, self.pairs * test.sign_flip_p)
        t = -abs(test.difference) / std * sqrt(test.n)
        tails = _special().stdtr([test.df, test.df * self.rows], t)
        return min(1.0, max(2 * float(tails[0]), 2 * self.pairs * float(tails[1])))

    def extra_blocks_needed(self, test: RawDifference) -> int | None:
        """Further blocks of each group that find the difference in 8 of 10 cases, at the level of the next look."""
        if not (std := self.std(test)) or not test.difference:
            return None
        effect, level = abs(test.difference) / std, alpha(1, self.level)

        def is_significant(n: int) -> bool:
            df = test.df / (test.n - 1) * (n - 1)
            return effect * sqrt(n) >= detectable(self.critical(df, level), df, POWER_85)

        n = bisect_left(range(MAX_MORE + 1), True, lo=test.n + 1, key=is_significant)
        return n - test.n if n <= MAX_MORE else None


def detectable(critical: float, df: float, power: float) -> float:
    """The noncentrality at which |t| exceeds a critical value with a power, of which the normal quantile is given
    (Johnson & Welch 1940)."""
    return critical * (1 - 1 / (4 * df)) + power * sqrt(1 + critical**2 / (2 * df))


def smallest_difference(rows: int, blocks: int) -> float | None:
    """The difference to the best that a complete table of that number of rows finds in 8 of 10 cases, in standard
    deviations of one outcome; None for one block.
    """
    if blocks < 2 or rows < 2:
        return None
    family = Family(LEVEL, comb(rows, 2), min(rows - 1, MAX_ROWS), 2.0)
    return detectable(family.critical(blocks - 1, LEVEL), blocks - 1, POWER_80) * sqrt(2 / blocks)


# --- the whole table ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JudgedDifference:
    """One row against the baseline."""

    n: int
    """Pairs; without pairs, the outcomes of the smaller of the two groups."""
    paired: bool
    difference: float
    """Row minus baseline: the mean over the pairs, or the difference of the means."""
    interval: tuple[float, float] | None
    """Interval that holds for all rows at once. None with one pair or without any variation."""
    won: float
    """Fraction of the pairs in which the row is better, ties half; without pairs, of all combinations."""
    p: float
    """p of the test that gives the verdict, adjusted for all rows."""
    shared: bool
    """True if the variance was raised to the table's."""
    verdict: Verdict
    more: int | None
    """Further blocks of each group that would give a verdict with 80% power, if this difference is the true one.
    0 if it has a verdict, or if only the `improvable` blocks keep it from one. None if no number would
    give one, or too many blocks would."""


@dataclass(frozen=True)
class JudgedGroup(Generic[Key]):
    """A group with its outcomes and their comparison with the baseline."""

    key: Key
    values: Values
    """The values that the verdicts count."""
    summary: Summary
    """The values without those that diverged, unless all did."""
    diverged: int
    difference: JudgedDifference | None
    """None for the baseline and for groups without an outcome."""
    verdict: str
    """better, worse or cannot tell. The best row by these data is best if all others are worse, otherwise cannot tell;
    a row that was named before is the baseline. Without an outcome: no outcome."""

    @property
    def more(self) -> int:
        """The number of further blocks that would give a verdict; 0 where no number would, or none is needed."""
        return (self.difference.more if self.difference else None) or 0


@dataclass(frozen=True)
class Judgment(Generic[Key]):
    """The whole table, in the order in which the groups were given."""

    rows: tuple[JudgedGroup[Key], ...]
    baseline: JudgedGroup[Key]
    """The row that all others are compared with."""
    chosen: bool
    """True if the baseline is the best group by these data; else it was named before."""
    order: tuple[int, ...]
    """The places of the rows with outcomes, best first."""
    level: float = LEVEL
    """The level at which verdicts and intervals of differences err, in the whole table."""

    @property
    def confidence(self) -> str:
        """Confidence of the intervals of differences: `95%`."""
        return confidence_of(self.level)

    @property
    def ranked(self) -> list[JudgedGroup[Key]]:
        """The rows with outcomes, best first."""
        return [self.rows[i] for i in self.order]

    @property
    def possible_best(self) -> list[Key]:
        """The groups that no verdict excludes from being the best, best first; against a named baseline, those not
        worse."""
        return [row.key for row in self.ranked if row.verdict != "worse"]

    @property
    def closest(self) -> JudgedGroup[Key] | None:
        """The group that the fewest further blocks would tell from the best; None where no number would."""
        able = (row for row in self.ranked if row.verdict != "worse" and row.more)
        return min(able, key=lambda row: row.more, default=None)

    @property
    def affordable(self) -> JudgedGroup[Key] | None:
        """The closest group, if its further blocks are at most MAX_COST times those that there are."""
        closest = self.closest
        return closest if closest and closest.more <= MAX_COST * len(closest.values) else None

    def named(self, names: Sequence[str]) -> "Judgment[str]":
        """The table with names as keys, in the order of the groups."""
        keyed: Sequence[Any] = self.rows
        rows = tuple(replace(row, key=name) for row, name in zip(keyed, names, strict=True))
        return Judgment(rows, rows[keyed.index(self.baseline)], self.chosen, self.order, self.level)

    @property
    def improvable(self) -> list[Key]:
        """The groups that only settings that were not tried keep from being worse, best first."""
        return [
            r.key for r in self.ranked if r.difference and r.verdict == "cannot tell" and r.difference.more == 0
        ]


def judge(
    values: Mapping[Key, Values],
    higher_is_better: bool = True,
    baseline: Key | None = None,
    level: float = LEVEL,
    diverged: Mapping[Key, Collection[Any]] | None = None,
    limits: Limits = UNLIMITED,
    improvable: Mapping[Key, Collection[Any]] | None = None,
) -> Judgment[Key]:
    """Each group against `baseline`, or against the best of those with at least half of the largest number of
    outcomes.

    `values` has the outcomes of each group by block: a seed, a function, a network. Blocks are the sample: conclusions
    hold for blocks like these. `higher_is_better` speaks of outcomes, which are finite; a group may have none, but not
    all. `diverged`: blocks whose values stand for a divergence; verdicts count them, means and intervals of groups
    do not. `limits`: the possible outcomes; intervals end there. `improvable`: blocks on which a setting that was not
    tried may be better; no group is worse if it is not worse with ties there. ValueError if the baseline has none.
    """
    keys, outcomes = list(values), list(values.values())
    sign, span = 1 if higher_is_better else -1, limits[1] - limits[0]
    failed = [{*(diverged or {}).get(key, ())} for key in keys]
    ran = [[v for block, v in row.items() if block not in bad] for row, bad in zip(outcomes, failed, strict=True)]
    means = [fmean(row.values()) if row else nan for row in outcomes]
    # A group of which every training diverged comes last.
    order = sorted((i for i, row in enumerate(outcomes) if row), key=lambda i: (not ran[i], -sign * means[i]))
    if baseline is None:
        first = _best(order, outcomes, ran, sign)
    elif (first := keys.index(baseline)) not in order:
        raise ValueError("the baseline has no outcome")
    tests = {i: RawDifference.between(outcomes[i], outcomes[first], sign) for i in order if i != first}
    family = Family.of(tests.values(), baseline is None, level)
    differences, verdicts = dict[int, JudgedDifference](), dict[int, str]()
    for i, test in tests.items():
        better = sign * test.difference > 0
        winner, loser = (i, first) if better else (first, i)
        # Nothing is better than the best, and no group is better because more of its trainings diverged.
        rates = [len(failed[place]) / len(outcomes[place]) for place in (winner, loser)]
        p = family.p(test)
        different = p <= level and not (better and baseline is None) and rates[0] <= rates[1]
        more = 0 if different else family.extra_blocks_needed(test)
        if different and (ties := {*(improvable or {}).get(keys[loser], ())}):
            most = {b: sign * max(sign * v, sign * outcomes[winner].get(b, v)) for b, v in outcomes[loser].items()}
            raised = {b: most[b] if b in ties else v for b, v in outcomes[loser].items()}
            different = family.p(RawDifference.between(raised, outcomes[winner], sign)) <= level
        verdict: Verdict = "cannot tell" if not different else "better" if better else "worse"
        half, d = family.half_width(test), test.difference
        interval = (max(-span, d - half), min(span, d + half)) if half else None
        verdicts[i] = verdict
        differences[i] = JudgedDifference(
            test.n, test.paired, d, interval, test.won, p, family.raises_variance(test), verdict, more
        )
    alone = tests and {*verdicts.values()} == {"worse"}
    verdicts[first] = "baseline" if baseline is not None else "best" if alone else "cannot tell"
    rows = tuple(
        JudgedGroup(
            key,
            outcomes[i],
            summarize(ran[i] or [*outcomes[i].values()], limits=limits),
            len(failed[i]),
            differences.get(i),
            verdicts.get(i, "no outcome"),
        )
        for i, key in enumerate(keys)
    )
    return Judgment(rows, rows[first], baseline is None, tuple(order), level)


def _best(order: Sequence[int], outcomes: Sequence[Values], ran: Sequence[Sequence[float]], sign: int) -> int:
    """The best group with at least half of the largest number of outcomes: a few lucky seeds do not set the standard.

    Means over other seeds than those that two groups share may contradict their difference: the best is one that no
    other exceeds by it.
    """
    most = max(len(outcomes[i]) for i in order)
    able = [i for i in order if len(outcomes[i]) >= min(most, max(2, most / 2))]
    able = [i for i in able if ran[i]] or able
    first = able.pop(0)
    while able:
        ahead = {i: sign * RawDifference.between(outcomes[i], outcomes[first], sign).difference for i in able}
        if max(ahead.values()) <= 0:
            break
        able.remove(first := max(ahead, key=lambda i: ahead[i]))
    return first


# --- numbers -----------------------------------------------------------------------------------------------


def mean_variance(variances: Iterable[float]) -> float:
    """The mean with the exponent `EXPONENT`; 0 for none."""
    powers = [variance**EXPONENT for variance in variances]
    return float(fmean(powers) ** (1 / EXPONENT)) if powers else 0.0


@lru_cache(maxsize=4096)  # the rows of a table ask for the same ones
def quantile(df: float, level: float) -> float:
    """Two-sided critical value of Student's t."""
    return float(-_special().stdtrit(df, level / 2))


def _variance(values: Sequence[float]) -> float:
    """Sample variance; 0 for one value."""
    mean = fmean(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1) if len(values) > 1 else 0.0


def _special() -> Any:
    """SciPy's distribution functions, at their first use; scipy.stats would take three times as long to import."""
    from scipy import special

    return special
