"""Simulated tables of outcomes, for which it is known which verdicts are wrong.

Complete tables are judged by a second implementation of `judge`, for many tables at once. test_error_rates.py checks
that both agree; docs/measured/error_rates.py measures with it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from optilab.judge.importance import effects
from optilab.judge.judge import EXPONENT, MAX_ROWS, MAX_ROWS_NAMED, MIN_ERROR, alpha, judge, quantile

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


def generator_of(number: int, *sizes: int) -> np.random.Generator:
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


class SimulatedComparisons:
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
        variances[np.sqrt(variances / seeds) <= MIN_ERROR * np.abs(self.difference)] = 0
        table = ((variances**EXPONENT).sum(axis=1, keepdims=True) / (groups - 1)) ** (1 / EXPONENT)
        variances = np.maximum(variances, table)
        pairs = groups * (groups - 1) // 2 if chosen else groups - 1
        rows = min(groups - 1, MAX_ROWS if chosen else MAX_ROWS_NAMED)
        pooled = quantile((seeds - 1) * rows, level / pairs)
        half = max(quantile(seeds - 1, level), pooled) * np.sqrt(variances / seeds)
        without = variances == 0
        by_sign = (2.0 ** (1 - seeds) * pairs <= level) & (self.difference != 0)
        self.half_width = np.where(without, np.inf, half)
        """Infinite where there is no interval."""
        self.rejected = np.where(without, by_sign, np.abs(self.difference) > half)
        """Whether a row has a verdict, (tables, groups)."""
        self.rejected[every, self.first] = False
        if failed is not None:
            of_first = failed[every, self.first][:, None]
            better = self.difference > 0
            self.rejected &= np.where(better, failed <= of_first, of_first <= failed)


def rejected(values: np.ndarray) -> np.ndarray:
    return SimulatedComparisons(values).rejected


def percentage(make: Callable[[int], np.ndarray], groups: int, seeds: int, count: int) -> float:
    """Percentage of the tables for which `make(tables)` is true."""
    return 100 * float(np.concatenate([make(tables) for tables in _portions(groups, seeds, count)]).mean())


def _portions(groups: int, seeds: int, count: int) -> Iterator[int]:
    most = max(1, NUMBERS // (groups * seeds))
    while count > 0:
        yield (tables := min(most, count))
        count -= tables


def familywise_error(
    groups: int,
    seeds: int,
    noise: str = "normal",
    spread: object = 1.0,
    count: int = 1000,
    baseline: int | None = None,
) -> float:
    """Percentage of tables of equal groups with any verdict. The seeds have luck of their own."""
    generator = generator_of(7, groups, seeds)
    scale = np.broadcast_to(np.asarray(spread, float), groups)[:, None]

    def make(tables: int) -> np.ndarray:
        values = NOISE[noise](generator, (tables, groups, seeds)) * scale
        failed = (values < -LOST / 2).sum(axis=2) if noise == FAILS else None
        luck = generator.normal(0, 1, (tables, 1, seeds))
        return SimulatedComparisons(values + luck, baseline, failed=failed).rejected.any(axis=1)

    return percentage(make, groups, seeds, count)


def one_worse(generator: np.random.Generator, size: tuple[int, int, int], effect: float) -> np.ndarray:
    """Tables whose first group is `effect` standard deviations worse than the others."""
    tables, _, seeds = size
    values = generator.normal(0, 1, size) + generator.normal(0, 2, (tables, 1, seeds))
    values[:, 0] -= effect
    return values


def power(groups: int, seeds: int, effect: float, count: int = 1000) -> float:
    """Percentage of tables in which the one group that is `effect` standard deviations worse is called so."""
    generator = generator_of(33, groups, seeds)

    def make(tables: int) -> np.ndarray:
        return rejected(one_worse(generator, (tables, groups, seeds), effect))[:, 0]

    return percentage(make, groups, seeds, count)


def interval_error(groups: int, seeds: int, shift: float, count: int = 1000) -> float:
    """Percentage of tables with an interval of a difference that misses it; half of the groups are worse by `shift`."""
    generator, means = generator_of(11, groups, seeds), np.where(np.arange(groups) < groups // 2, -shift, 0.0)

    def make(tables: int) -> np.ndarray:
        found = SimulatedComparisons(generator.normal(0, 1, (tables, groups, seeds)) + means[:, None])
        wrong = np.abs(found.difference - means + means[found.first][:, None]) > found.half_width
        return (wrong & (np.arange(groups) != found.first[:, None])).any(axis=1)

    return percentage(make, groups, seeds, count)


def sequential_error(looks: Sequence[tuple[int, int]], count: int = 1000) -> float:
    """Percentage of equal groups with a verdict at any look; a look is the number of groups and of seeds."""
    groups, seeds = looks[-1]
    generator = generator_of(15, groups, seeds)

    def make(tables: int) -> np.ndarray:
        values = generator.normal(0, 1, (tables, groups, seeds))
        levels = [(look, alpha(number)) for number, look in enumerate(looks)]
        each = [SimulatedComparisons(values[:, :g, :n], level=level).rejected for (g, n), level in levels]
        return np.any([rejected.any(axis=1) for rejected in each], axis=0)

    return percentage(make, groups, seeds, count)


def followed(effect: float, count: int = 500, groups: int = 2, seeds: int = 5) -> float:
    """Percentage of differences that `seeds` cannot tell which are told with the further seeds that `judge` advises.

    One group is `effect` of a difference's standard deviations worse than the others.
    """
    generator, told, undecided = generator_of(17, int(10 * effect), groups, seeds), 0, 0
    shift = np.r_[effect * np.sqrt(2), np.zeros(groups - 1)][:, None]
    while undecided < count:
        values = generator.normal(0, 1, (groups, seeds)) - shift
        found = judge({i: dict(enumerate(own)) for i, own in enumerate(values.tolist())}, baseline=groups - 1)
        row = found.rows[0].difference
        assert row is not None
        if row.verdict != "cannot tell":
            continue
        undecided += 1
        further = generator.normal(0, 1, (groups, min(row.more or 2000, 2000))) - shift
        again = SimulatedComparisons(np.hstack([values, further])[None], groups - 1, alpha(1))
        told += again.rejected[0, 0]
    return 100 * told / count


def unpaired_error(
    sizes: Sequence[int], spread: Sequence[float], baseline: int | None = None, count: int = 400
) -> float:
    """Percentage of tables of equal groups with a verdict: these numbers of seeds, of which they share none."""
    generator = generator_of(12, *sizes)

    def table() -> dict[int, dict[int, float]]:
        return {
            group: dict(enumerate(generator.normal(0, own, size).tolist(), start=1000 * group))
            for group, (size, own) in enumerate(zip(sizes, spread, strict=True))
        }

    return judged((table() for _ in range(count)), baseline)


def judged(tables: Iterable[dict[int, dict[int, float]]], baseline: int | None = None) -> float:
    """Percentage of tables, which need not be complete, with any verdict of `judge`."""
    found = (judge(table, baseline=baseline).rows for table in tables)
    wrong = [any(row.difference and row.difference.verdict != "cannot tell" for row in rows) for rows in found]
    return 100 * float(np.mean(wrong))


def missing_error(groups: int, seeds: int, fraction: float, count: int = 400) -> float:
    """Percentage of tables of equal groups with a verdict of which a fraction of the outcomes is missing."""
    generator = generator_of(14, groups, seeds, int(100 * fraction))

    def table() -> dict[int, dict[int, float]]:
        values = generator.normal(0, 1, (groups, seeds)) + generator.normal(0, 1, seeds)
        there = generator.random((groups, seeds)) >= fraction
        there[np.arange(groups), generator.integers(0, seeds, groups)] = True
        return {i: {k: float(values[i, k]) for k in range(seeds) if there[i, k]} for i in range(groups)}

    return judged((table() for _ in range(count)), None)


def parts_covered(seeds: int, luck: float, count: int) -> int:
    """Grids of 3 x 6 settings in which the interval of the part of the first axis has the one in the population.

    `luck`: the standard deviation of what a seed has in common in all settings; that of the rest is 0.6.
    """
    generator, hits = np.random.default_rng(seeds), 0
    for _ in range(count):
        a, b = generator.normal(0, 1, 3), generator.normal(0, 1, 6)
        values = a[:, None, None] + b[:, None] + generator.normal(0, 0.6, (3, 6, seeds))
        values += luck * generator.normal(0, 1, seeds)
        points = [({"a": i, "b": j}, dict(enumerate(values[i, j].tolist()))) for i in range(3) for j in range(6)]
        low, high = next(effect.interval or (0.0, 1.0) for effect in effects(points) if effect.keys == ("a",))
        hits += low <= a.var() / (a.var() + b.var() + 0.6**2) <= high
    return hits
