"""How often verdicts and intervals err, and what they find, in simulated tables, for which the truth is known.

Complete tables are judged by another implementation of `judge` for many tables (tests/study/judge_for_tables.py).
With 10,000 tables the Monte-Carlo error of a rate near 5% is 0.22 percentage points. It takes some minutes.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from docs.measured import figures
from optilab.judge.judge import alpha, judge, quantile
from tests.study import judge_for_tables as simulated
from tests.study.judge_for_tables import SimulatedComparisons, generator_of, percentage

Design = tuple[int, int]
"""Groups and seeds."""
DESIGNS: list[Design] = [(2, 3), (2, 5), (2, 10), (5, 3), (5, 5), (18, 3), (18, 5), (18, 10)]
LARGE: list[Design] = [(5, 3), (18, 3), (18, 5), (100, 2)]
RACES: list[Design] = [(2, 10), (4, 10), (10, 10), (10, 16), (2, 3), (10, 3)]
"""Optimizers and functions."""
GROUPS, SEEDS = (2, 3, 5, 10, 18, 50, 100), (2, 3, 5, 8, 10, 20)
PARTS = (2, 3, 5, 10)
"""Seeds."""
SURE = 20_000
"""Tables of a rate above 6%."""


def named(designs: Sequence[Design]) -> list[str]:
    return [f"{groups} x {seeds}" for groups, seeds in designs]


def rounded(values: Sequence[float]) -> list[str | float | list[int]]:
    return [f"{value:.1f}" for value in values]


def equal_groups(count: int) -> list[figures.Row]:
    """Any verdict among equal groups, by the distribution of the outcomes."""
    rows: list[figures.Row] = []
    for noise in simulated.NOISE:
        rates = [simulated.familywise_error(*design, noise, count=count) for design in DESIGNS]
        rows.append([f"{noise} outcomes" if noise == "normal" else noise, *rounded(rates)])
    rows.append(
        ["groups vary differently, the worst of eight ways", *rounded([worst(*d, count) for d in DESIGNS])]
    )
    apart = [simulated.unpaired_error([n] * g, [1.0] * g, count=count // 2) for g, n in DESIGNS]
    rows.append(["no seed in common", *rounded(apart)])
    varied = [simulated.unpaired_error([n] * g, [4.0] + [1.0] * (g - 1), count=count // 2) for g, n in DESIGNS]
    rows.append(["no seed in common, one group varies 4 times", *rounded(varied)])
    for fraction in (0.1, 0.3):
        missing = [simulated.missing_error(*design, fraction, count // 2) for design in DESIGNS]
        rows.append([f"{fraction:.0%} of the outcomes are missing", *rounded(missing)])
    for shift in (0, 1):
        missed = [simulated.interval_error(*design, shift, count) for design in DESIGNS]
        rows.append([f"an interval misses, half of the groups are {shift:g} sd worse", *rounded(missed)])
    return rows


def worst(groups: int, seeds: int, count: int, baselines: Sequence[int | None] = (None,)) -> float:
    """The highest rate of any verdict among equal groups that vary differently, over eight ways."""

    def rate(spread: np.ndarray, baseline: int | None, tables: int) -> float:
        return simulated.familywise_error(groups, seeds, spread=spread, count=tables, baseline=baseline)

    ways = [(spread, baseline) for spread in simulated.spreads(groups).values() for baseline in baselines]
    rates = [rate(*way, count) for way in ways]
    return max(
        percentage if percentage <= 6 else rate(*way, SURE) for percentage, way in zip(rates, ways, strict=True)
    )


def designs(count: int) -> list[figures.Row]:
    """Any verdict among equal groups: those that vary alike, the worst of eight ways to vary differently, and the same
    against a named baseline, which is the first or the last of them."""
    table: list[figures.Row] = []
    for groups in GROUPS:
        cells: list[str | float | list[int]] = [str(groups)]
        for n in SEEDS:
            rates = simulated.familywise_error(groups, n, count=count), worst(groups, n, count)
            named = worst(groups, n, count, (0, groups - 1))
            cells.append(" / ".join(f"{rate:.1f}" for rate in (*rates, named)))
        table.append(cells)
    return table


def power(count: int) -> list[figures.Row]:
    """One group is worse by some standard deviations of an outcome: it is called so; also by Tukey's comparison."""
    rows: list[figures.Row] = [
        [f"{effect:g} standard deviations worse", *rounded([simulated.power(*d, effect, count) for d in LARGE])]
        for effect in (4.0, 8.0, 16.0)
    ]
    detected, wrong = [], []
    for groups, seeds in LARGE[:3]:
        size, generator = (count, groups, seeds), generator_of(33, groups, seeds)
        detected.append(100 * by_tukey(simulated.one_worse(generator, size, 4.0))[:, 0].mean())
        varied = generator.normal(0, 1, size) * np.r_[5, np.ones(groups - 1)][:, None]
        wrong.append(100 * by_tukey(varied).any(axis=1).mean())
    rows.append(["4 standard deviations, by Tukey's comparison", *rounded(detected), ""])
    rows.append(["none, one group varies 5 times: Tukey's comparison errs", *rounded(wrong), ""])
    return rows


def by_tukey(values: np.ndarray) -> np.ndarray:
    """Which groups are worse than the best, (tables, groups): one variance for all groups."""
    _, groups, seeds = values.shape
    df, means = (groups - 1) * (seeds - 1), values.mean(axis=2)
    rest = values - means[:, :, None] - values.mean(axis=1)[:, None] + values.mean(axis=(1, 2))[:, None, None]
    error = np.sqrt(2 * (rest**2).sum(axis=(1, 2)) / df / seeds)
    critical = stats.studentized_range.ppf(0.95, groups, df) / np.sqrt(2)
    return means.max(axis=1)[:, None] - means > critical * error[:, None]


def races(count: int) -> list[figures.Row]:
    """Races on functions: log costs with an effect of the optimizer on the function (0.5) and noise of 20 starts."""
    rows: list[figures.Row] = []
    for factor in (1.0, 1.5, 2.0):
        rates = [_race(*design, factor, count) for design in RACES]
        title = "equal optimizers: any `worse`" if factor == 1 else f"one is {factor:g} times slower: `worse`"
        rows.append([title, *rounded(rates)])
    return rows


def _race(optimizers: int, functions: int, factor: float, count: int) -> float:
    generator = generator_of(27, optimizers, functions, int(10 * factor))

    def make(tables: int) -> np.ndarray:
        values = -np.hypot(0.5, 0.5 / np.sqrt(20)) * generator.normal(0, 1, (tables, optimizers, functions))
        values[:, 0] -= np.log(factor)
        rejected = SimulatedComparisons(values).rejected
        return rejected.any(axis=1) if factor == 1 else rejected[:, 0]

    return percentage(make, optimizers, functions, count)


def choices(count: int) -> list[figures.Row]:
    """What looking again and choosing the best do to verdicts, intervals and claims."""
    half, tenth = count // 2, count // 10
    by_seed = [[(2, n) for n in range(3, last + 1)] for last in (5, 8, 12, 20)]
    by_setting = [[(g, 5) for g in range(3, last + 1)] for last in (5, 9, 18)]
    seeds = "the further seeds that are advised"
    kinds = [
        ("two equal groups, compared after each seed from 3 to 5, 8, 12, 20: any verdict", "10",
         [simulated.sequential_error(looks, half) for looks in by_seed]),
        ("equal settings, compared after each from 3 to 5, 9, 18: any verdict", "10",
         [simulated.sequential_error(looks, half) for looks in by_setting]),
        (f"two equal groups, compared again with {seeds}, 2 and 5 looks: any verdict", "10",
         [advised(looks, tenth) for looks in (2, 5)]),
        (f"a difference of 0.5 and 1 standard deviations, found with {seeds}", "80",
         [simulated.followed(effect, half) for effect in (0.5, 1.0)]),
        ("the best of 5, 9, 20, 50 equal settings: the interval of its mean misses", "5",
         [best_missed(points, 5, count) for points in (5, 9, 20, 50)]),
        ("the same on new seeds (`--confirm`)", "5", [best_missed(1, 5, count)]),
        ("the best of 18 on 5 new seeds against an equal baseline: any verdict", "5",
         [simulated.familywise_error(2, 5, count=count)]),
        ("the best 2, 3, 8 of equal settings on 5 new seeds: any verdict", "5",
         [simulated.familywise_error(settings, 5, count=count) for settings in (2, 3, 8)]),
        ("a claim about the best of 9, 27, 81 equal settings holds by luck", "2.5",
         [lucky_claim(points, points, half) for points in (9, 27, 81)]),
        ("the same after halving to a ninth", "2.5",
         [lucky_claim(points, points // 9, half) for points in (9, 27, 81)]),
    ]  # fmt: skip
    return [[title, nominal, " / ".join(f"{value:.1f}" for value in values)] for title, nominal, values in kinds]


def advised(looks: int, count: int, most: int = 20) -> float:
    """Percentage of two equal groups with a verdict: 3 seeds, then again and again those that `judge` advises."""
    generator, wrong = generator_of(16, looks), 0
    for _ in range(count):
        values, seeds = generator.normal(0, 1, (2, 3 + most * looks)).tolist(), 3
        for look in range(looks):
            tables = {group: dict(enumerate(outcomes[:seeds])) for group, outcomes in enumerate(values)}
            row = judge(tables, baseline=0, level=alpha(look)).rows[1].difference
            assert row is not None
            wrong += row.verdict != "cannot tell"
            if row.verdict != "cannot tell" or row.more is None:
                break
            seeds += min(most, row.more)
    return 100 * wrong / count


def best_missed(points: int, seeds: int, count: int) -> float:
    """Percentage of intervals of the mean of the best of equal settings that miss it."""
    generator = generator_of(6, points, seeds)

    def make(tables: int) -> np.ndarray:
        values = generator.normal(0, 1, (tables, points, seeds))
        best = values[np.arange(tables), values.mean(axis=2).argmax(axis=1)]
        return np.abs(best.mean(axis=1)) > quantile(seeds - 1, 0.05) * best.std(axis=1, ddof=1) / np.sqrt(seeds)

    return percentage(make, points, seeds, count)


def lucky_claim(points: int, through: int, count: int, seeds: int = 5) -> float:
    """Percentage of claims at confidence 0.95 that the best of equal settings exceeds their mean.

    The best `through` at a rung go on, whose outcomes are correlated by 0.9 with those at the end.
    """
    generator = generator_of(23, points, through)

    def make(tables: int) -> np.ndarray:
        last = generator.normal(0, 1, (tables, points, seeds))
        early = 0.9 * last + np.sqrt(0.19) * generator.normal(0, 1, last.shape)
        left = np.argsort(-early.mean(axis=2), axis=1)[:, :through]
        outcomes = np.take_along_axis(last, left[:, :, None], axis=1)
        best = outcomes[np.arange(tables), outcomes.mean(axis=2).argmax(axis=1)]
        half_width = quantile(seeds - 1, 0.05 / points) * best.std(axis=1, ddof=1) / np.sqrt(seeds)
        return best.mean(axis=1) > half_width

    return percentage(make, points, seeds, count)


def parts(count: int) -> list[figures.Row]:
    """The interval of the part of the variance that an axis of a grid has: how often it misses."""
    rows: list[figures.Row] = []
    for luck in (0.0, 2.0):
        missed = [100 - 100 * simulated.parts_covered(n, luck, count // 25) / (count // 25) for n in PARTS]
        rows.append([f"seeds with luck in common, sd {luck:g}" if luck else "no luck in common", *rounded(missed)])
    return rows


def main(arguments: list[str]) -> None:
    parser = figures.parser("error_rates", __doc__)
    parser.add_argument("--tables", type=int, default=10_000, help="simulated tables of each rate")
    options = parser.parse_args(arguments)
    tables = {
        "equal-groups": (["equal groups: any verdict, %", *named(DESIGNS)], equal_groups),
        "power": (["one group differs: found, %", *named(LARGE)], power),
        "designs": (["groups", *(f"{n} seeds" for n in SEEDS)], designs),
        "races": (["races, %", *named(RACES)], races),
        "parts": (["the part of an axis: its interval misses, %", *(f"{n} seeds" for n in PARTS)], parts),
        "choices": (["choosing, and looking again, %", "nominal", "measured"], choices),
    }
    for name, (columns, measure) in tables.items():
        figures.record(name, "error_rates", columns, measure(options.tables), options.print)
