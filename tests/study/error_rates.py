"""python -m tests.study.error_rates: the table of docs/verdicts.md, each claim with its nominal and its measured rate.

Tables of outcomes are simulated, so that it is known which verdicts are wrong. Complete tables are judged by a twin of
`judge` for many tables at once; test_error_rates.py checks that both agree. It takes some minutes.
"""

from collections.abc import Callable, Iterator

import numpy as np

from optilab.study.comparison import judge
from optilab.study.statistics import EXPONENT, FEW, _quantile, level_after, simulated_critical, single_level

TABLES = 10_000
"""The Monte-Carlo error of a rate near 5% is then 0.22 percentage points."""
NUMBERS = 3_000_000
"""Drawn numbers at once."""

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
NOISE: dict[str, Draw] = {
    "normal": lambda generator, size: generator.normal(0, 1, size),
    "skewed": lambda generator, size: generator.exponential(1, size) - 1,
    "skewed the other way": lambda generator, size: 1 - generator.exponential(1, size),
    "heavy tails (t with 3 degrees of freedom)": lambda generator, size: generator.standard_t(3, size),
    "one seed in ten fails": lambda generator, size: (
        generator.normal(0, 0.3, size) - 5.0 * (generator.random(size) < 0.1)
    ),
}
"""Of one outcome; the mean is the same for all groups."""


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
    """Many complete tables at once, judged: values (tables, groups, seeds), where higher is better."""

    def __init__(self, values: np.ndarray, baseline: int | None = None, level: float = 0.05) -> None:
        tables, groups, seeds = values.shape
        means, every = values.mean(axis=2), np.arange(tables)
        self.first = means.argmax(axis=1) if baseline is None else np.full(tables, baseline)
        differences = values - values[every, self.first][:, None]
        self.difference, variances = differences.mean(axis=2), differences.var(axis=2, ddof=1)
        chosen = baseline is None
        if groups > 2 and seeds < FEW:
            table = ((variances**EXPONENT).sum(axis=1, keepdims=True) / (groups - 1)) ** (1 / EXPONENT)
            variances = np.maximum(variances, table)
            critical = max(_quantile(seeds - 1, level), simulated_critical(groups, seeds, level, chosen))
        else:
            critical = _quantile(seeds - 1, single_level(groups, seeds, level, chosen))
        self.half_width = critical * np.sqrt(variances / seeds)
        self.half_width[every, self.first] = np.inf
        self.told = np.abs(self.difference) > self.half_width
        """Whether a row has a verdict, (tables, groups)."""


def portions(groups: int, seeds: int, count: int) -> Iterator[int]:
    most = max(1, NUMBERS // (groups * seeds))
    while count > 0:
        yield (now := min(most, count))
        count -= now


def share(make: Callable[[int], np.ndarray], groups: int, seeds: int, count: int = TABLES) -> float:
    """Percentage of the tables for which `make(tables)` is true."""
    return 100 * float(np.concatenate([make(now) for now in portions(groups, seeds, count)]).mean())


def any_verdict(
    groups: int, seeds: int, noise: str = "normal", spread: object = 1.0, count: int = TABLES
) -> float:
    """Percentage of tables of equal groups with any verdict. The seeds have luck of their own."""
    generator = np.random.default_rng([71, groups, seeds])
    scale = np.broadcast_to(np.asarray(spread, float), groups)[:, None]

    def make(tables: int) -> np.ndarray:
        values = NOISE[noise](generator, (tables, groups, seeds)) * scale
        return Tables(values + generator.normal(0, 1, (tables, 1, seeds))).told.any(axis=1)

    return share(make, groups, seeds, count)


def power(groups: int, seeds: int, effect: float, count: int = TABLES) -> float:
    """Percentage of tables in which the one group that is `effect` standard deviations worse is called so."""
    generator = np.random.default_rng([72, groups, seeds])

    def make(tables: int) -> np.ndarray:
        values = generator.normal(0, 1, (tables, groups, seeds)) + generator.normal(0, 2, (tables, 1, seeds))
        values[:, 0] -= effect
        return Tables(values).told[:, 0]

    return share(make, groups, seeds, count)


def missed(groups: int, seeds: int, means: np.ndarray, count: int = TABLES) -> float:
    """Percentage of tables in which any interval of a difference misses the truth."""
    generator = np.random.default_rng([73, groups, seeds])

    def make(tables: int) -> np.ndarray:
        found = Tables(generator.normal(0, 1, (tables, groups, seeds)) + means[:, None])
        true = means - means[found.first][:, None]
        return (np.abs(found.difference - true) > found.half_width).any(axis=1)

    return share(make, groups, seeds, count)


# --- time to a target --------------------------------------------------------------------------------------


def crossing(curves: np.ndarray, target: float) -> np.ndarray:
    """The epoch at which the isotonic regression of each curve (..., epochs) reaches a target; one more than all."""
    sums = np.cumsum(target - curves, axis=-1)
    return np.concatenate([np.zeros_like(sums[..., :1]), sums], axis=-1).argmax(axis=-1) + 1


def other_horizons(short: int, long: int = 30, seeds: int = 5, count: int = TABLES) -> float:
    """The same law of the time (normal, 12 and 2 epochs), watched for `short` and for `long` epochs."""
    generator = np.random.default_rng([74, short, seeds])

    def make(tables: int) -> np.ndarray:
        times = np.round(generator.normal(12, 2, (tables, 2, seeds)))
        return Tables(-np.minimum(times, min(short, long) + 1)).told.any(axis=1)

    return share(make, 2, seeds, count)


def noisier_is_faster(noise: float, count: int = TABLES // 2) -> float:
    """The same mean curve, with noise of 0.5 percentage points and with more: the noisier one is called faster."""
    generator = np.random.default_rng([75, int(1000 * noise)])
    mean = 0.8 * (1 - np.exp(-np.arange(1, 41) / 8))

    def make(tables: int) -> np.ndarray:
        scale = np.array([0.005, noise])[:, None, None]
        found = Tables(
            -crossing(mean + generator.normal(0, 1, (tables, 2, 5, 40)) * scale, 0.75).astype(float), baseline=0
        )
        return found.told[:, 1] & (found.difference[:, 1] > 0)

    return share(make, 2, 200, count)


# --- choosing and judging ----------------------------------------------------------------------------------


def winner(points: int, seeds: int, new: int, count: int = TABLES) -> tuple[float, float]:
    """Percentage of intervals of the mean of the best of equal settings that miss it: on the seeds that chose it, and
    on `new` ones.
    """
    generator = np.random.default_rng([76, points, seeds])
    rates = []
    for number, judged in ((seeds, False), (new, True)):

        def make(tables: int, number: int = number, judged: bool = judged) -> np.ndarray:
            values = generator.normal(0, 1, (tables, points, seeds))
            best = values[np.arange(tables), values.mean(axis=2).argmax(axis=1)]
            own = generator.normal(0, 1, (tables, number)) if judged else best
            half = _quantile(number - 1, 0.05) * own.std(axis=1, ddof=1) / np.sqrt(number)
            return np.abs(own.mean(axis=1)) > half

        rates.append(share(make, points, seeds, count))
    return rates[0], rates[1]


def claim_after_halving(
    points: int, seeds: int = 5, counted: int | None = None, count: int = TABLES // 2
) -> float:
    """A claim at confidence 0.95 that the best exceeds the mean of all, of equal settings of which a ninth goes on."""
    generator = np.random.default_rng([77, points])
    through = max(1, points // 9)

    def make(tables: int) -> np.ndarray:
        last = generator.normal(0, 1, (tables, points, seeds))
        early = 0.9 * last + np.sqrt(1 - 0.81) * generator.normal(0, 1, last.shape)
        kept = np.argsort(-early.mean(axis=2), axis=1)[:, :through]
        own = np.take_along_axis(last, kept[:, :, None], axis=1)
        best = own[np.arange(tables), own.mean(axis=2).argmax(axis=1)]
        half = _quantile(seeds - 1, 0.05 / (counted or points)) * best.std(axis=1, ddof=1) / np.sqrt(seeds)
        return best.mean(axis=1) > half

    return share(make, points, seeds, count)


def looked_at_again(last: int, groups: int = 2, count: int = TABLES // 2) -> float:
    """Equal groups, compared after each seed from the third to the last: a verdict at any look."""
    generator = np.random.default_rng([78, last])
    levels = {seeds: level_after(seeds - 3) for seeds in range(3, last + 1)}

    def make(tables: int) -> np.ndarray:
        values = generator.normal(0, 1, (tables, groups, last))
        looks = [Tables(values[:, :, :seeds], level=at).told.any(axis=1) for seeds, at in levels.items()]
        return np.any(looks, axis=0)

    return share(make, groups, last, count)


# --- seeds that are not shared -----------------------------------------------------------------------------


def incomplete(kind: str, count: int = TABLES // 10) -> float:
    """Equal groups of which seeds are missing, or that share few; the seeds have luck of their own."""
    generator = np.random.default_rng([79, len(kind)])
    wrong = 0
    for _ in range(count):
        luck = generator.normal(0, 1, 40)
        groups, sizes = 5, [10] * 5
        if kind == "share 1 of 10":
            starts, sizes, groups = [0, 9], [10, 10], 2
        elif kind == "share half of 10":
            starts, sizes, groups = [0, 5], [10, 10], 2
        elif kind == "2 seeds and 10":
            starts, sizes = [0] * 5, [2, 10, 10, 10, 10]
        else:
            starts = [0] * 5
        table = {}
        for group in range(groups):
            seeds = range(starts[group], starts[group] + sizes[group])
            there = [seed for seed in seeds if kind != "3 in 10 are missing" or generator.random() > 0.3]
            table[group] = {seed: float(luck[seed] + generator.normal()) for seed in there or [0]}
        wrong += any(row.difference and row.difference.verdict != "cannot tell" for row in judge(table).rows)
    return 100 * wrong / count


# --- the table ---------------------------------------------------------------------------------------------


def rows() -> Iterator[tuple[str, str, str]]:
    """Claim, nominal, measured."""
    sizes = [(2, 3), (2, 5), (5, 2), (5, 3), (5, 5), (18, 3), (18, 5), (18, 10), (100, 2)]
    label = ", ".join(f"{groups} x {seeds}" for groups, seeds in sizes)
    for noise in NOISE:
        measured = " / ".join(f"{any_verdict(*size, noise):.1f}" for size in sizes)
        yield f"any verdict among equal groups (noise: {noise}): {label} groups x seeds", "5", measured
    for groups, seeds in [(5, 3), (5, 5), (18, 3), (18, 5), (18, 10), (100, 2)]:
        found = {name: any_verdict(groups, seeds, spread=own) for name, own in spreads(groups).items()}
        measured = " / ".join(f"{value:.1f}" for value in found.values())
        yield f"the same where groups vary differently, {groups} x {seeds}: {', '.join(found)}", "5", measured
    for name, means in {"rising": np.linspace(0, 3, 18), "two best": np.r_[np.zeros(16), 3.0, 3.0]}.items():
        measured = " / ".join(f"{missed(18, seeds, means):.1f}" for seeds in (3, 5, 10))
        yield f"any interval of 18 rows misses the truth, means {name}: 3, 5, 10 seeds", "5", measured
    measured = " / ".join(f"{other_horizons(short):.1f}" for short in (8, 10, 11, 12, 30))
    yield "times to a target, equal, recorded for 8, 10, 11, 12, 30 epochs and for 30", "5", measured
    measured = " / ".join(f"{noisier_is_faster(noise):.1f}" for noise in (0.005, 0.01, 0.02, 0.03))
    yield "the noisier curve is faster: 0.5, 1, 2, 3 percentage points and 0.5", "2.5", measured
    pairs = [winner(points, 5, 5) for points in (5, 20, 50)]
    yield "the mean of the best of 5, 20, 50 misses: the seeds that chose it", "5", _listed(p[0] for p in pairs)
    yield "the same on new seeds (`--confirm`)", "5", _listed(p[1] for p in pairs)
    measured = _listed(claim_after_halving(points) for points in (9, 27, 81))
    yield "a claim about the best after halving holds by luck: 9, 27, 81 settings", "2.5", measured
    for kind in ("share 1 of 10", "share half of 10", "3 in 10 are missing", "2 seeds and 10"):
        yield f"equal groups, seeds: {kind}", "5", f"{incomplete(kind):.1f}"
    for groups in (2, 5):
        measured = _listed(looked_at_again(last, groups) for last in (5, 8, 12))
        yield f"{groups} equal groups compared after each seed from 3 to 5, 8, 12: any verdict", "10", measured
    sizes = [(5, 3), (18, 3), (18, 5), (100, 2)]
    for effect in (4, 8, 16):
        measured = _listed(power(*size, effect) for size in sizes)
        yield f"found: one group {effect} standard deviations worse; 5 x 3, 18 x 3, 18 x 5, 100 x 2", "-", measured


def _listed(values: Iterator[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values)


if __name__ == "__main__":
    print("| claim | nominal, % | measured, % |\n|---|---|---|")
    for claim, nominal, measured in rows():
        print(f"| {claim} | {nominal} | {measured} |", flush=True)
