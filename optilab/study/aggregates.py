"""How well a row does over several problems at once, with intervals: what Agarwal et al. 2021 ask papers to report.

The interquartile mean leaves out the lowest and the highest quarter of all scores, so that one failed training does not
decide; the optimality gap is by how much scores up to 1 miss 1; the probability of
improvement is that of a run of one row being better than a run of another, averaged over the problems. Intervals are
percentiles of a bootstrap that draws the seeds of each problem again (stratified). Unlike verdicts they hold for one
number each, and with few seeds they are too narrow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from optilab.optimize.objective import Floats

DRAWS = 2000
"""Bootstrap samples."""

Scores = Sequence[Floats]
"""For each problem, the scores of its seeds; problems may have other numbers of seeds."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95% interval; without a second seed there is none."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Aggregate:
    """One row over all problems."""

    iqm: Estimate
    gap: Estimate | None
    """Optimality gap, of scores between 0 and 1."""
    improvement: Estimate | None
    """Probability that a run of this row is better than one of the baseline; None for the baseline itself."""


def interquartile_mean(scores: Scores) -> float:
    """The mean of all scores but the lowest and the highest quarter, rounded down to whole scores."""
    import numpy as np

    every = np.sort(np.concatenate([*scores]))
    cut = len(every) // 4
    return float(every[cut : len(every) - cut].mean())


def optimality_gap(scores: Scores) -> float:
    """By how much the mean of the scores, none of which counts as more than 1, misses 1."""
    import numpy as np

    return float(1 - np.minimum(np.concatenate([*scores]), 1).mean())


def probability_of_improvement(first: Scores, second: Scores, higher: bool = True) -> float:
    """Mean over the problems of the fraction of pairs of runs of which that of `first` is better, ties half."""
    import numpy as np

    sign = 1 if higher else -1
    gaps = [sign * (own[:, None] - other) for own, other in zip(first, second, strict=True)]
    return float(np.mean([((gap > 0) + (gap == 0) / 2).mean() for gap in gaps]))


def aggregates(
    rows: Sequence[Mapping[str, Mapping[int, float]]], baseline: int, higher: bool, bounded: bool
) -> list[Aggregate]:
    """Those of each row, by problem and seed; problems without a run in every row are left out.

    `bounded`: whether scores lie between 0 and 1.
    """
    import numpy as np

    problems = [problem for problem in rows[0] if all(row.get(problem) for row in rows)]
    if not problems:
        return []
    scores = [[np.array([*row[problem].values()]) for problem in problems] for row in rows]
    base = scores[baseline]
    return [
        Aggregate(
            _estimate(interquartile_mean, own),
            _estimate(optimality_gap, own) if bounded else None,
            _estimate(lambda own, other: probability_of_improvement(own, other, higher), own, base)
            if number != baseline
            else None,
        )
        for number, own in enumerate(scores)
    ]


def _estimate(statistic: Callable[..., float], *samples: Scores) -> Estimate:
    import numpy as np

    value = statistic(*samples)
    if any(len(own) < 2 for scores in samples for own in scores):
        return Estimate(value, None)
    generator = np.random.default_rng(0)
    drawn = [
        statistic(*([own[generator.integers(0, len(own), len(own))] for own in scores] for scores in samples))
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(value, (float(low), float(high)))


def letters(count: int, alike: Callable[[int, int], bool]) -> list[str]:
    """A compact letter display: rows that share a letter cannot be told apart, the first row has `a`.

    The letters are the maximal sets of rows of which no two can be told apart, which a critical-difference diagram
    (Demsar 2006) draws as bars; found by inserting and absorbing (Piepho 2004).
    """
    sets = [set(range(count))]
    for i in range(count):
        for j in range(i + 1, count):
            if alike(i, j):
                continue
            split = [one for one in sets if {i, j} <= one]
            sets = [one for one in sets if one not in split]
            for part in (part for one in split for part in (one - {i}, one - {j})):
                if not any(part <= other for other in sets):
                    sets = [other for other in sets if not other < part] + [part]
    sets.sort(key=sorted)
    letters = "abcdefghijklmnopqrstuvwxyz"  # after z: a1, b1, ...
    names = [letters[n % 26] + (str(n // 26) if n >= 26 else "") for n in range(len(sets))]
    return ["".join(name for name, one in zip(names, sets, strict=True) if i in one) for i in range(count)]
