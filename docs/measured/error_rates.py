"""python -m tests.study.error_rates [NUMBER ...]: the table of docs/verdicts.md, each claim with its nominal and its
measured rate; with numbers, these rows of it.

Tables of outcomes are simulated, so that it is known which verdicts are wrong. Complete tables are judged by a twin of
`judge` for many tables at once; test_error_rates.py checks that both agree. That takes some minutes; the rows of
trainings (`measured_trainings.py`) half an hour.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from unittest import mock

import numpy as np
from scipy import stats

from optilab.study import comparison
from optilab.study.comparison import judge
from optilab.study.statistics import (
    EXPONENT,
    FEW,
    ROUNDING,
    level_after,
    quantile,
    simulated_critical,
    single_level,
)

TABLES = 10_000
"""The Monte-Carlo error of a rate near 5% is then 0.22 percentage points."""
FEWER = 5_000
"""Where a table is expensive: 0.31 percentage points."""
SINGLE = 2_000
"""Where tables are judged one by one: 0.49 percentage points."""
NUMBERS = 3_000_000
"""Drawn numbers at once."""
SEED = 2027
"""Another one draws all tables again."""
LOST = 70.0
"""By which a seed that diverged is worse, in standard deviations of the others: 80% and 10%, +-1."""
FAILS, HEAVY = "one seed in ten diverges", "heavy tails (t with 3 degrees of freedom)"

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
NOISE: dict[str, Draw] = {
    "normal": lambda generator, size: generator.normal(0, 1, size),
    "skewed": lambda generator, size: generator.exponential(1, size) - 1,
    "skewed the other way": lambda generator, size: 1 - generator.exponential(1, size),
    HEAVY: lambda generator, size: generator.standard_t(3, size),
    "rounded to a standard deviation": lambda generator, size: np.round(generator.normal(0, 1, size)),
    FAILS: lambda generator, size: generator.normal(0, 1, size) - LOST * (generator.random(size) < 0.1),
}
"""Of one outcome; the distribution is the same for all groups."""


def drawn(number: int, *sizes: int) -> np.random.Generator:
    return np.random.default_rng([SEED, number, *sizes])


def spreads(groups: int) -> dict[str, np.ndarray]:
    """Standard deviations of groups that vary differently."""
    half, quarter, rest = groups // 2, max(1, groups // 4), np.ones(groups - 1)
    return {
        "one 10 times": np.r_[10, rest],
        "one 100 times": np.r_[100, rest],
        "one a twentieth": np.r_[0.05, rest],
        "a quarter 10 times": np.r_[np.full(quarter, 10), np.ones(groups - quarter)],
        "half 10 times": np.r_[np.full(half, 10), np.ones(groups - half)],
        "half 100 times": np.r_[np.full(half, 100), np.ones(groups - half)],
        "from 1 to 10": np.geomspace(1, 10, groups),
        "from 1 to 100": np.geomspace(1, 100, groups),
    }


class Tables:
    """Many complete tables at once, judged: values (tables, groups, seeds), where higher is better.

    `failed`: the number of seeds of each group that diverged, (tables, groups).
    """

    def __init__(
        self,
        values: np.ndarray,
        baseline: int | None = None,
        level: float = 0.05,
        failed: np.ndarray | None = None,
    ) -> None:
        tables, groups, seeds = values.shape
        means, every = values.mean(axis=2), np.arange(tables)
        chosen = baseline is None
        self.first = means.argmax(axis=1) if chosen else np.full(tables, baseline)
        differences = values - values[every, self.first][:, None]
        self.difference, variances = differences.mean(axis=2), differences.var(axis=2, ddof=1)
        variances[np.sqrt(variances / seeds) <= ROUNDING * np.abs(self.difference)] = 0
        if groups > 2 and seeds < FEW:
            table = ((variances**EXPONENT).sum(axis=1, keepdims=True) / (groups - 1)) ** (1 / EXPONENT)
            variances = np.maximum(variances, table)
            critical = max(quantile(seeds - 1, level), simulated_critical(groups, seeds, level, chosen))
        else:
            critical = quantile(seeds - 1, single_level(groups, seeds, level, chosen))
        half, without = critical * np.sqrt(variances / seeds), variances == 0
        pairs = groups * (groups - 1) // 2 if chosen else groups - 1
        by_sign = (2.0 ** (1 - seeds) * pairs <= level) & (self.difference != 0)
        self.half_width = np.where(without, np.inf, half)
        """Infinite where there is no interval."""
        self.told = np.where(without, by_sign, np.abs(self.difference) > half)
        """Whether a row has a verdict, (tables, groups)."""
        self.told[every, self.first] = False
        if failed is not None:
            of_first = failed[every, self.first][:, None]
            better = self.difference > 0
            self.told &= np.where(better, failed <= of_first, of_first <= failed)


def portions(groups: int, seeds: int, count: int) -> Iterator[int]:
    most = max(1, NUMBERS // (groups * seeds))
    while count > 0:
        yield (now := min(most, count))
        count -= now


def share(make: Callable[[int], np.ndarray], groups: int, seeds: int, count: int) -> float:
    """Percentage of the tables for which `make(tables)` is true."""
    return 100 * float(np.concatenate([make(now) for now in portions(groups, seeds, count)]).mean())


# --- intervals ---------------------------------------------------------------------------------------------


def missed(groups: int, seeds: int, means: object, noise: str = "normal", count: int = TABLES) -> float:
    """Percentage of tables in which any interval of a difference misses the truth. The seeds have luck of their own."""
    generator, shift = drawn(1, groups, seeds), np.broadcast_to(np.asarray(means, float), groups)

    def make(tables: int) -> np.ndarray:
        luck = generator.normal(0, 1, (tables, 1, seeds))
        found = Tables(NOISE[noise](generator, (tables, groups, seeds)) + luck + shift[:, None])
        true = shift - shift[found.first][:, None]
        return (np.abs(found.difference - true) > found.half_width).any(axis=1)

    return share(make, groups, seeds, count)


def mean_missed(seeds: int, noise: str, luck: float = 0.0, count: int = TABLES) -> float:
    """Percentage of intervals of a mean that miss it; those of seeds that diverged are left out."""
    generator, rates = drawn(4, seeds), []
    while len(rates) < count:
        values = NOISE[noise](generator, (count, seeds)) + luck * generator.normal(0, 1, (count, seeds))
        kept = values > -LOST / 2 if noise == FAILS else np.ones_like(values, bool)
        n = kept.sum(axis=1)
        values, kept, n = values[n > 1], kept[n > 1], n[n > 1]
        mean = (values * kept).sum(axis=1) / n
        std = np.sqrt((kept * (values - mean[:, None]) ** 2).sum(axis=1) / (n - 1))
        critical = np.array([np.nan, *(quantile(df, 0.05) for df in range(1, seeds))])[n - 1]
        rates += (np.abs(mean) > critical * std / np.sqrt(n)).tolist()
    return 100 * float(np.mean(rates[:count]))


def winner(points: int, seeds: int, new: int | None = None, confirmed: int = 1, count: int = TABLES) -> float:
    """Percentage of intervals of the mean of the best of equal settings that miss it: on the seeds that chose it, or on
    `new` ones, where the best of the `confirmed` is shown.
    """
    generator = drawn(6, points, seeds)

    def make(tables: int) -> np.ndarray:
        rows, number = (points, seeds) if new is None else (confirmed, new)
        values = generator.normal(0, 1, (tables, rows, number))
        own = values[np.arange(tables), values.mean(axis=2).argmax(axis=1)]
        half = quantile(number - 1, 0.05) * own.std(axis=1, ddof=1) / np.sqrt(number)
        return np.abs(own.mean(axis=1)) > half

    return share(make, points, seeds, count)


# --- verdicts ----------------------------------------------------------------------------------------------


def any_verdict(
    groups: int, seeds: int, noise: str = "normal", spread: object = 1.0, count: int = TABLES
) -> float:
    """Percentage of tables of equal groups with any verdict. The seeds have luck of their own."""
    generator = drawn(7, groups, seeds)
    scale = np.broadcast_to(np.asarray(spread, float), groups)[:, None]

    def make(tables: int) -> np.ndarray:
        values = NOISE[noise](generator, (tables, groups, seeds)) * scale
        failed = (values < -LOST / 2).sum(axis=2) if noise == FAILS else None
        return Tables(values + generator.normal(0, 1, (tables, 1, seeds)), failed=failed).told.any(axis=1)

    return share(make, groups, seeds, count)


def power(groups: int, seeds: int, effect: float, count: int = TABLES) -> float:
    """Percentage of tables in which the one group that is `effect` standard deviations worse is called so."""
    generator = drawn(33, groups, seeds)

    def make(tables: int) -> np.ndarray:
        return Tables(_one_worse(generator, (tables, groups, seeds), effect)).told[:, 0]

    return share(make, groups, seeds, count)


def tukey(groups: int, seeds: int, effect: float, count: int = TABLES) -> float:
    """The same by Tukey's comparison, which has one variance for all groups, without the luck of the seeds."""
    generator = drawn(33, groups, seeds)

    def make(tables: int) -> np.ndarray:
        return _by_tukey(_one_worse(generator, (tables, groups, seeds), effect))[:, 0]

    return share(make, groups, seeds, count)


def tukey_errs(groups: int, seeds: int, spread: np.ndarray, count: int = TABLES) -> float:
    """Percentage of tables of equal groups in which Tukey's comparison finds a difference to the best."""
    generator = drawn(7, groups, seeds)

    def make(tables: int) -> np.ndarray:
        return _by_tukey(generator.normal(0, 1, (tables, groups, seeds)) * spread[:, None]).any(axis=1)

    return share(make, groups, seeds, count)


def _by_tukey(values: np.ndarray) -> np.ndarray:
    """Which groups are worse than the best, (tables, groups)."""
    _, groups, seeds = values.shape
    df, means = (groups - 1) * (seeds - 1), values.mean(axis=2)
    rest = values - means[:, :, None] - values.mean(axis=1)[:, None] + values.mean(axis=(1, 2))[:, None, None]
    error = np.sqrt(2 * (rest**2).sum(axis=(1, 2)) / df / seeds)
    critical = stats.studentized_range.ppf(0.95, groups, df) / np.sqrt(2)
    return means.max(axis=1)[:, None] - means > critical * error[:, None]


def _one_worse(generator: np.random.Generator, size: tuple[int, int, int], effect: float) -> np.ndarray:
    tables, _, seeds = size
    values = generator.normal(0, 1, size) + generator.normal(0, 2, (tables, 1, seeds))
    values[:, 0] -= effect
    return values


def judged(tables: Iterable[dict[int, dict[int, float]]], baseline: int | None = None) -> float:
    """Percentage of tables, which need not be complete, with any verdict of `judge`."""
    wrong = []
    with mock.patch.object(comparison, "_more", return_value=(None, None)):  # which takes long
        for own in tables:
            rows = [row.difference for row in judge(own, baseline=baseline).rows if row.difference]
            wrong.append(any(difference.verdict != "cannot tell" for difference in rows))
    return 100 * float(np.mean(wrong))


def apart(
    sizes: Sequence[int],
    spread: Sequence[float] | None = None,
    baseline: int | None = None,
    count: int = SINGLE,
) -> float:
    """Equal groups of these numbers of seeds, of which they share none."""
    generator = drawn(12, *sizes)
    scale = spread or [1.0] * len(sizes)

    def table() -> dict[int, dict[int, float]]:
        return {
            group: dict(enumerate((generator.normal(0, own, size)).tolist(), start=1000 * group))
            for group, (size, own) in enumerate(zip(sizes, scale, strict=True))
        }

    return judged((table() for _ in range(count)), baseline)


def incomplete(seeds: Sequence[range], missing: float = 0.0, count: int = SINGLE) -> float:
    """Equal groups of these seeds, of each of which a share is missing; the seeds have luck of their own."""
    generator = drawn(14, len(seeds), max(map(len, seeds)), int(100 * missing))

    def table() -> dict[int, dict[int, float]]:
        luck = generator.normal(0, 1, 40)
        left = [[seed for seed in own if generator.random() >= missing] or [own[0]] for own in seeds]
        return {i: {seed: float(luck[seed] + generator.normal()) for seed in own} for i, own in enumerate(left)}

    return judged(table() for _ in range(count))


# --- looking again -----------------------------------------------------------------------------------------


def looked_at_again(last: int, groups: int = 2, count: int = FEWER) -> float:
    """Equal groups, compared after each seed from the third to the last: a verdict at any look."""
    return _any_look([(groups, seeds) for seeds in range(3, last + 1)], count)


def grown_by_settings(last: int, seeds: int = 5, count: int = FEWER) -> float:
    """Equal groups on the same seeds, compared after each group from the third to the last: a verdict at any look."""
    return _any_look([(groups, seeds) for groups in range(3, last + 1)], count)


def _any_look(looks: Sequence[tuple[int, int]], count: int) -> float:
    groups, seeds = looks[-1]
    generator = drawn(15, groups, seeds)

    def make(tables: int) -> np.ndarray:
        values = generator.normal(0, 1, (tables, groups, seeds))
        told = [Tables(values[:, :g, :n], level=level_after(i)).told.any(axis=1) for i, (g, n) in enumerate(looks)]
        return np.any(told, axis=0)

    return share(make, groups, seeds, count)


def advised(looks: int = 2, most: int = 20, count: int = SINGLE) -> float:
    """Two equal groups with 3 seeds, and where these cannot tell, again and again with `more seeds`: a verdict."""
    generator, wrong = drawn(16, looks), 0
    for _ in range(count):
        values, seeds = generator.normal(0, 1, (2, 3 + most * looks)), 3
        for look in range(looks):
            row = _second(values[:, :seeds], level_after(look))
            wrong += row.verdict != "cannot tell"
            if row.verdict != "cannot tell" or row.more is None:
                break
            seeds += min(most, row.more)
    return 100 * wrong / count


def followed(effect: float, count: int = SINGLE) -> float:
    """A difference of `effect` of its standard deviations that 5 seeds cannot tell: found with `more seeds`."""
    generator, found, open_ = drawn(17, int(10 * effect)), 0, 0
    while open_ < count:
        first = generator.normal(effect, 1, 5)
        row = _second(np.stack([np.zeros(5), first]))
        if row.verdict != "cannot tell":
            continue
        open_ += 1
        pairs = np.r_[first, generator.normal(effect, 1, row.more or 10_000)]
        error = pairs.std(ddof=1) / np.sqrt(len(pairs))
        found += abs(pairs.mean()) > quantile(len(pairs) - 1, level_after(1)) * error
    return 100 * found / count


def _second(values: np.ndarray, level: float = 0.05) -> comparison.PairwiseDifference:
    """The second of two groups against the first."""
    rows = judge({i: dict(enumerate(own)) for i, own in enumerate(values.tolist())}, baseline=0, level=level).rows
    assert rows[1].difference is not None
    return rows[1].difference


# --- time to a target, and the best epoch --------------------------------------------------------------------


def crossing(curves: np.ndarray, target: float) -> np.ndarray:
    """The epoch at which the isotonic regression of each curve (..., epochs) reaches a target; one more than all."""
    sums = np.cumsum(target - curves, axis=-1)
    return np.concatenate([np.zeros_like(sums[..., :1]), sums], axis=-1).argmax(axis=-1) + 1


def censored(median: float, count: int = TABLES) -> float:
    """Times of the same law (log-normal), recorded for 30 epochs."""
    generator = drawn(18, int(median))

    def make(tables: int) -> np.ndarray:
        times = np.maximum(1, np.round(median * np.exp(generator.normal(0, 0.4, (tables, 2, 5)))))
        return Tables(-np.minimum(times, 31)).told.any(axis=1)

    return share(make, 2, 5, count)


def other_horizons(short: int, long: int = 30, seeds: int = 5, count: int = TABLES) -> float:
    """The same law of the time (normal, 12 and 2 epochs), watched for `short` and for `long` epochs."""
    generator = drawn(19, short, seeds)

    def make(tables: int) -> np.ndarray:
        times = np.round(generator.normal(12, 2, (tables, 2, seeds)))
        return Tables(-np.minimum(times, min(short, long) + 1)).told.any(axis=1)

    return share(make, 2, seeds, count)


def noisier_is_faster(noise: float, count: int = FEWER) -> float:
    """The same mean curve, with noise of 0.5 percentage points and with more: the noisier one is called faster."""
    generator = drawn(20, int(1000 * noise))
    mean = 0.8 * (1 - np.exp(-np.arange(1, 41) / 8))

    def make(tables: int) -> np.ndarray:
        scale = np.array([0.005, noise])[:, None, None]
        found = Tables(
            -crossing(mean + generator.normal(0, 1, (tables, 2, 5, 40)) * scale, 0.75).astype(float), baseline=0
        )
        return found.told[:, 1] & (found.difference[:, 1] > 0)

    return share(make, 2, 200, count)


def best_epochs(short: int, long: int, count: int = FEWER) -> float:
    """`--at best` where nothing improves, after `short` and `long` epochs: the best of the first `short` count."""
    generator = drawn(21, short, long)

    def make(tables: int) -> np.ndarray:
        curves = [
            generator.normal(0, 1, (tables, 5, epochs))[:, :, :short].max(axis=2) for epochs in (short, long)
        ]
        return Tables(np.stack(curves, axis=1)).told.any(axis=1)

    return share(make, 5, short + long, count)


def mean_of_the_best_epoch(epochs: int, tested: bool, count: int = FEWER) -> float:
    """The mean of `--at best` on a flat curve of 80%, +-1: of val_acc, or of test_acc at the best val_acc."""
    generator = drawn(22, epochs)
    validated, other = generator.normal(80, 1, (2, count, epochs))
    best = validated.argmax(axis=1)
    return float((other if tested else validated)[np.arange(count), best].mean())


# --- choosing and judging ----------------------------------------------------------------------------------


def claim_about_the_best(
    points: int, like: float = 1.0, seeds: int = 5, counted: int | None = None, count: int = FEWER
) -> float:
    """A claim at confidence 0.95 that the best of equal settings exceeds the mean of all. Where `like`, the correlation
    of the outcomes at the rung and at the end, is below 1, only the best ninth at the rung goes on.
    """
    generator = drawn(23, points, int(10 * like))
    through = points if like == 1 else max(1, points // 9)

    def make(tables: int) -> np.ndarray:
        own = _after_a_rung(generator, (tables, points, seeds), like, through)
        best = own[np.arange(tables), own.mean(axis=2).argmax(axis=1)]
        half = quantile(seeds - 1, 0.05 / (counted or points)) * best.std(axis=1, ddof=1) / np.sqrt(seeds)
        return best.mean(axis=1) > half

    return share(make, points, seeds, count)


def survivors(points: int, through: int, seeds: int = 5, count: int = FEWER) -> float:
    """Any verdict among the equal settings that halving has left."""
    generator = drawn(25, points, through)

    def make(tables: int) -> np.ndarray:
        return Tables(_after_a_rung(generator, (tables, points, seeds), 0.9, through)).told.any(axis=1)

    return share(make, points, seeds, count)


def _after_a_rung(
    generator: np.random.Generator, size: tuple[int, int, int], like: float, through: int
) -> np.ndarray:
    """The outcomes at the end of the settings that were the best at a rung."""
    last = generator.normal(0, 1, size)
    early = like * last + np.sqrt(1 - like**2) * generator.normal(0, 1, size)
    kept = np.argsort(-early.mean(axis=2), axis=1)[:, :through]
    return np.take_along_axis(last, kept[:, :, None], axis=1)


def confirmed_against_an_equal(count: int = TABLES) -> float:
    """18 equal settings with 3 seeds; the best from 5 new seeds against an equal `--baseline` of these seeds."""
    generator = drawn(26)

    def make(tables: int) -> np.ndarray:
        return Tables(generator.normal(0, 1, (tables, 2, 5)), baseline=0).told.any(axis=1)

    return share(make, 2, 5, count)


# --- races on functions --------------------------------------------------------------------------------------


def race(rules: int, functions: int, effect: float = 0.5, slower: float = 1.0, count: int = TABLES) -> float:
    """Percentage of races in which an equal rule is called worse, or one that is slower by a factor; see
    test_family.py."""
    generator = drawn(27, rules, functions, int(10 * slower))

    def make(tables: int) -> np.ndarray:
        noise = 0.5 / np.sqrt(20)
        values = -np.hypot(effect, noise) * generator.normal(0, 1, (tables, rules, functions))
        values[:, 0] -= np.log(slower)
        told = Tables(values).told
        return told.any(axis=1) if slower == 1 else told[:, 0]

    return share(make, rules, functions, count)


# --- the table ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A row of the table: what is claimed, and percentages of tables."""

    number: int
    """Of the claim; a claim may have several rows."""
    claim: str
    nominal: float | None
    """None where the percentage is no error rate."""
    measured: Callable[..., list[float]]
    """Of a number of tables."""
    tables: int = TABLES
    most: float | None = None
    """The largest true percentage that the test accepts, where it is not the nominal one."""
    least: float = 0.0

    def __str__(self) -> str:
        values = " / ".join(f"{value:.1f}" for value in self.measured(self.tables))
        nominal = "-" if self.nominal is None else f"{self.nominal:g}"
        return f"| {self.number} | {self.claim} | {nominal} | {values} | {self.tables:,} |"


def over(
    measure: Callable[..., float], cases: Iterable[Sequence[object]], **fixed: object
) -> Callable[..., list[float]]:
    """A measure of each of some cases."""
    every = list(cases)

    def measured(count: int) -> list[float]:
        return [measure(*case, **fixed, count=count) for case in every]

    return measured


SEEDS = (2, 3, 5, 10)
DESIGNS = [*product((2, 5, 20), SEEDS), (100, 2)]
MEANS = {
    "equal": np.zeros(5),
    "rising": np.linspace(0, 2, 5),
    "one best": np.r_[np.zeros(4), 3.0],
    "two best": np.r_[np.zeros(3), 3.0, 3.0],
    "rising slowly": np.linspace(0, 3, 20),
}


def rows() -> Iterator[Row]:
    """The rows of simulated tables."""
    ones, two, sizes = [(n,) for n in SEEDS], [(2, n, 0.0) for n in SEEDS], ", ".join(map(str, SEEDS))
    kind = f"an interval of a difference misses, 2 groups, {sizes} seeds"
    yield Row(1, kind, 5, over(missed, two))
    for noise in ("skewed", HEAVY):
        yield Row(2, f"the same, {noise}", 5, over(missed, two, noise=noise))
    yield Row(3, f"the same, {FAILS} and counts as the chance level", 5, over(missed, two, noise=FAILS))

    yield Row(4, f"the interval of a mean misses, {sizes} seeds", 5, over(mean_missed, ones, noise="normal"))
    measured = over(mean_missed, ones, noise="skewed", luck=1.0)
    yield Row(4, "the same, skewed; half of the variance is normal", 5, measured, most=6)
    yield Row(4, "the same, skewed altogether", 5, over(mean_missed, ones, noise="skewed"), most=12)
    kind = f"the same, {FAILS}: of the others' mean, where two are left"
    yield Row(5, kind, 5, over(mean_missed, ones, noise=FAILS))
    points = [(n, 5) for n in (5, 9, 20, 50)]
    kind = "the mean of the best of 5, 9, 20, 50 equal settings misses: the seeds that chose it"
    yield Row(6, kind, 5, over(winner, points), most=100)
    yield Row(6, "the same on new seeds, of one setting that is confirmed", 5, over(winner, points, new=5))
    measured = over(winner, [(18, 3)], new=5, confirmed=3)
    yield Row(6, "the same, of the best of 3 that are confirmed", 5, measured, most=7.5)

    kind = f"any verdict among equal groups; groups x seeds: {_listed(DESIGNS)}"
    yield Row(7, kind, 5, over(any_verdict, DESIGNS))
    for noise in NOISE:
        if noise != "normal":
            yield Row(9 if noise == FAILS else 8, f"the same, {noise}", 5, over(any_verdict, DESIGNS, noise=noise))
    for groups, seeds in [(5, 3), (5, 5), (18, 3), (18, 5), (18, 10), (100, 2)]:
        own = spreads(groups)
        kind = f"the same, groups vary differently, {groups} x {seeds}: {', '.join(own)}"
        cases: list[Sequence[object]] = [(groups, seeds, "normal", spread) for spread in own.values()]
        yield Row(10, kind, 5, over(any_verdict, cases), most=6)
    for name, means in MEANS.items():
        kind = f"any interval of a table misses, {len(means)} groups, means {name}; 3, 5, 10 seeds"
        yield Row(11, kind, 5, over(missed, [(len(means), n, means) for n in (3, 5, 10)]))

    equal = [(2, 2), (2, 3), (2, 5), (2, 10), (5, 3), (5, 5), (20, 3), (20, 10)]
    kind = f"any verdict among equal groups without a common seed: {_listed(equal)}"
    yield Row(12, kind, 5, over(apart, [([seeds] * groups,) for groups, seeds in equal]), SINGLE)
    kind = "the same, one of two varies 4 times, 2, 3, 5 seeds"
    yield Row(12, kind, 5, over(apart, [([n, n], [1.0, 4.0]) for n in (2, 3, 5)]), SINGLE, 6.5)
    wide = [4.0, 1.0]
    cases = [([2, 10], wide), ([3, 10], wide), ([10, 2], wide), ([3, 3, 3, 10, 10], [*wide, 1.0, 1.0, 1.0])]
    kind = (
        "the same, 2 seeds and 10, 3 and 10, 10 and 2, the first vary 4 times; 3, 3, 3, 10, 10 of which one does"
    )
    yield Row(13, kind, 5, over(apart, cases), SINGLE)
    kind = "the first two against a named baseline"
    yield Row(13, kind, 5, over(apart, cases[:2], baseline=1), SINGLE)
    cases = [([range(n)] * 5, part) for n, part in [(5, 0.1), (5, 0.3), (10, 0.2), (10, 0.5)]]
    kind = "any verdict among 5 equal groups with 10%, 30% of 5 seeds missing, 20%, 50% of 10"
    yield Row(14, kind, 5, over(incomplete, cases), SINGLE)
    cases = [([range(10), range(9, 19)],), ([range(10), range(5, 15)],), ([range(2), *[range(10)] * 4],)]
    kind = "the same, 2 groups that share 1 of 10 seeds, 5 of 10; 5 groups, one with 2 of 10"
    yield Row(14, kind, 5, over(incomplete, cases), SINGLE)

    for groups in (2, 5):
        kind = f"any verdict at any look: {groups} equal groups compared after each seed from 3 to 5, 8, 12, 20"
        yield Row(15, kind, 10, over(looked_at_again, [(5,), (8,), (12,), (20,)], groups=groups), FEWER, 7.5)
    kind = "the same, after each setting from 3 to 5, 9, 18, 5 seeds"
    yield Row(15, kind, 10, over(grown_by_settings, [(5,), (9,), (18,)]), FEWER, 7.5)
    kind = "the same, 2 groups with 3 seeds, then with those that `more seeds` advises (at most 20): 2, 5 looks"
    yield Row(16, kind, 10, over(advised, [(2,), (5,)]), FEWER)
    kind = "found with those that `more seeds` advises: 5 seeds, 0.5, 1 standard deviations of the difference"
    yield Row(17, kind, 80, over(followed, [(0.5,), (1.0,)]), most=100, least=80)

    kind = "times to a target, equal, 30 epochs; 0%, 16%, 43%, 65% never reach it"
    yield Row(18, kind, 5, over(censored, [(10,), (20,), (28,), (35,)]))
    kind = "the same, one recorded for 8, 10, 11, 12, 30 epochs, the other for 30"
    yield Row(19, kind, 5, over(other_horizons, [(8,), (10,), (11,), (12,), (30,)]))
    kind = "the noisier curve is faster: 0.5, 1, 2, 3 percentage points and 0.5"
    yield Row(20, kind, 2.5, over(noisier_is_faster, [(0.005,), (0.01,), (0.02,), (0.03,)]), FEWER)
    kind = "`--at best` where nothing improves: 10 epochs and 10, 30, 100"
    yield Row(21, kind, 5, over(best_epochs, [(10, 10), (10, 30), (10, 100)]), FEWER)
    kind = "its mean, of a flat curve of 80% with noise of 1 percentage point, 30 epochs: `val_acc` (noted), `test_acc`"
    yield Row(22, kind, None, over(mean_of_the_best_epoch, [(30, False), (30, True)]), FEWER, 100, 79.9)

    points = [(9,), (27,), (81,)]
    kind = "a claim about the best of 9, 27, 81 equal settings holds by luck"
    yield Row(23, kind, 2.5, over(claim_about_the_best, points), FEWER)
    for like in (0.5, 0.9):
        kind = f"the same after halving, rung and end correlated by {like}"
        yield Row(24, kind, 2.5, over(claim_about_the_best, points, like=like), FEWER)
    kind = "any verdict among equal settings that halving left: 27 to 3, 27 to 9, 81 to 9"
    yield Row(25, kind, 5, over(survivors, [(27, 3), (27, 9), (81, 9)]), FEWER)
    kind = "the best of 18 on 5 new seeds (`--confirm`) against an equal `--baseline`: a verdict"
    yield Row(26, kind, 5, over(confirmed_against_an_equal, [()]))

    equal = [(2, 10), (4, 10), (10, 10), (2, 3), (10, 3)]
    kind = f"race on functions: an equal optimizer is `worse`; optimizers x functions: {_listed(equal)}"
    yield Row(27, kind, 5, over(race, equal))
    yield Row(27, "the same, no effect of the function: 10 x 10", 5, over(race, [(10, 10, 0.0)]))
    slower = [(2, 10), (4, 10), (10, 10), (10, 16), (10, 3)]
    kind = f"one that is twice as slow is found: {_listed(slower)}"
    yield Row(28, kind, None, over(race, slower, slower=2.0), most=100, least=6)

    designs = [(5, 3), (18, 3), (18, 5), (100, 2)]
    for effect in (4.0, 8.0, 16.0):
        kind = f"found: one group {effect:g} standard deviations worse; {_listed(designs)}"
        yield Row(33, kind, None, over(power, designs, effect=effect), most=100)
    kind = f"the same by Tukey's comparison, 4 standard deviations; {_listed(designs[:3])}"
    yield Row(33, kind, None, over(tukey, designs[:3], effect=4.0), most=100)
    kind = "any verdict of Tukey's comparison among equal groups of which one varies 5 times; 5 x 5, 18 x 3"
    varied = [(groups, seeds, np.r_[5, np.ones(groups - 1)]) for groups, seeds in ((5, 5), (18, 3))]
    yield Row(33, kind, None, over(tukey_errs, varied), most=100)


def _listed(designs: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{first} x {second}" for first, second in designs)


if __name__ == "__main__":
    from tests.study import measured_trainings

    asked = set(map(int, sys.argv[1:]))
    print("| # | claim | nominal, % | measured, % | tables |\n|---|---|---|---|---|")
    trained = (*measured_trainings.rows(), *measured_trainings.rate_rows())
    for row in sorted((*rows(), *trained), key=lambda row: row.number):
        if not asked or row.number in asked:
            print(row, flush=True)
