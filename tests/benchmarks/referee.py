"""python -m tests.benchmarks.referee: error rates of the referee of trainings, measured, beside those of other judges.

Tables of equal groups are simulated: in `--tables N` of them (default 10,000) no verdict is right. The same tables, as
many as their speed allows, are given to autorank (Herbold 2020: the omnibus test and the post-hoc test that it chooses)
and to deepsig (Dror et al. 2019: almost stochastic order, with Bonferroni's correction): pip install autorank deepsig.
It takes about ten minutes.
"""

import argparse
import contextlib
import io
import warnings

import numpy as np

from tests.study.test_statistics import by_seed, covered, error_rate, judge

SIZES = [(2, 3), (2, 5), (2, 10), (5, 3), (5, 5), (5, 10)]


def autorank_errs(values: np.ndarray) -> bool:
    """Whether autorank finds any difference between the groups (rows) of a table."""
    import pandas as pd
    from autorank import autorank

    frame = pd.DataFrame(values.T, columns=[f"g{i}" for i in range(len(values))])
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        result = autorank(frame, alpha=0.05, verbose=False)
    return bool(result.pvalue < 0.05)


def deepsig_errs(values: np.ndarray) -> bool:
    """Whether deepsig finds the best group to be almost stochastically dominant over any other (eps_min < 0.2)."""
    from deepsig import aso

    best, *rest = values[np.argsort(-values.mean(axis=1))]
    level = 1 - 0.05 / len(rest)
    with contextlib.redirect_stdout(io.StringIO()):
        return any(
            aso(best, other, confidence_level=level, num_bootstrap_iterations=200, show_progress=False, seed=0)
            < 0.2
            for other in rest
        )


def ours_errs(values: np.ndarray) -> bool:
    table = judge([by_seed(row) for row in values])
    return any(row.difference and row.verdict != "cannot tell" for row in table.rows)


JUDGES = {"optilab": (ours_errs, 1), "autorank": (autorank_errs, 1), "deepsig": (deepsig_errs, 25)}
"""Each with the part of the tables that its speed allows: one in so many."""


def beside(groups: int, seeds: int, count: int) -> list[str]:
    """Share of the same tables of equal groups in which each judge finds a difference, and of how many."""
    generator = np.random.default_rng([9, groups, seeds])
    tables = [generator.normal(0, 1, seeds) + generator.normal(0, 1, (groups, seeds)) for _ in range(count)]
    shares = []
    for name, (errs, part) in JUDGES.items():
        if name == "autorank" and seeds < 5:  # it wants five or more
            shares.append("-")
            continue
        some = tables[: count // part]
        shares.append(f"{sum(map(errs, some)) / len(some):.1%} of {len(some)}")
    return shares


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--beside", type=int, default=1000)
    asked = parser.parse_args()
    print("| groups | seeds | tables with any verdict | Monte-Carlo error |\n|---|---|---|---|")
    for groups, seeds in SIZES:
        share = error_rate(asked.tables, groups, seeds, 1.0, True, seed=1) / asked.tables
        print(f"| {groups} | {seeds} | {share:.2%} | {np.sqrt(0.05 * 0.95 / asked.tables):.2%} |", flush=True)
    print("\n| seeds | interval of a difference | interval of a mean |\n|---|---|---|")
    for seeds in (3, 5, 10):
        differences, means = covered(asked.tables, seeds, True, seed=1)
        print(f"| {seeds} | {differences / asked.tables:.2%} | {means / asked.tables:.2%} |", flush=True)
    print("\n| groups | seeds | optilab | autorank | deepsig |\n|---|---|---|---|---|")
    for groups, seeds in SIZES:
        print(f"| {groups} | {seeds} | {' | '.join(beside(groups, seeds, asked.beside))} |", flush=True)


if __name__ == "__main__":
    main()
