"""python -m tests.benchmarks.referee: tables of equal groups, judged by optilab and by autorank (Herbold 2020).

In none of the tables a verdict is right. autorank chooses its tests by the data: pip install autorank. Error rates and
power of optilab alone, in many more situations: python -m tests.study.error_rates.
"""

import argparse
import contextlib
import io
import warnings

import numpy as np

from tests.study.test_statistics import by_seed, judge

SIZES = [(2, 5), (2, 10)]


def autorank_errs(values: np.ndarray) -> bool:
    """Whether autorank finds any difference between the groups (rows) of a table."""
    import pandas as pd
    from autorank import autorank

    frame = pd.DataFrame(values.T, columns=[f"g{i}" for i in range(len(values))])
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        result = autorank(frame, alpha=0.05, verbose=False)
    return bool(result.pvalue < 0.05)


def ours_errs(values: np.ndarray) -> bool:
    table = judge([by_seed(row) for row in values])
    return any(row.difference and row.verdict != "cannot tell" for row in table.rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tables", type=int, default=1000)
    count = parser.parse_args().tables
    print("| groups | seeds | optilab | autorank |\n|---|---|---|---|")
    for groups, seeds in SIZES:
        generator = np.random.default_rng([9, groups, seeds])
        tables = [generator.normal(0, 1, seeds) + generator.normal(0, 1, (groups, seeds)) for _ in range(count)]
        shares = (f"{sum(map(errs, tables)) / count:.1%}" for errs in (ours_errs, autorank_errs))
        print(f"| {groups} | {seeds} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
