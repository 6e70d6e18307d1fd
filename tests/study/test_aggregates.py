"""Aggregates over problems against rliable, and letters of all pairs against scikit-posthocs.

The numbers are those of rliable 1.2.0 (20,000 bootstrap samples) and scikit-posthocs 0.17.1 on the same tables. Neither
is installed here: rliable does not run with the versions of arch and NumPy of today without a change.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optilab.study.aggregates import (
    aggregates,
    interquartile_mean,
    letters,
    optimality_gap,
    probability_of_improvement,
)
from optilab.study.comparison import compare_runs
from optilab.study.groups import Measure, select
from tests.study.generated import training

FIRST = np.array([[0.81, 0.61, 0.5, 0.73, 0.63], [0.95, 0.65, 0.91, 0.65, 0.72], [0.89, 0.94, 0.9, 0.64, 0.75]])
SECOND = np.array([[0.81, 0.74, 0.49, 0.42, 0.9], [0.95, 0.94, 0.74, 0.68, 0.75], [0.84, 0.52, 0.42, 0.66, 0.68]])
"""(problems, seeds)"""


def test_the_numbers_are_those_of_rliable():
    assert interquartile_mean(FIRST) == pytest.approx(0.7488888888888889)
    assert optimality_gap(FIRST) == pytest.approx(0.248)
    assert probability_of_improvement(FIRST, SECOND) == pytest.approx(0.5466666666666667)
    assert probability_of_improvement(FIRST, SECOND, higher=False) == pytest.approx(1 - 0.5466666666666667)


def test_the_intervals_are_those_of_rliable():
    rows = [{str(p): dict(enumerate(own)) for p, own in enumerate(table.tolist())} for table in (FIRST, SECOND)]
    own, base = aggregates(rows, baseline=1, higher=True, bounded=True)
    assert own.iqm.interval == pytest.approx((0.67333333, 0.83222222), abs=0.006)
    assert own.gap.interval == pytest.approx((0.19, 0.30733333), abs=0.006)
    assert own.improvement.interval == pytest.approx((0.34666667, 0.74666667), abs=0.02)
    assert base.improvement is None
    single = [{"a": {0: 0.5}, "b": {0: 0.7}}, {"a": {0: 0.4}, "b": {0: 0.9}}]
    assert aggregates(single, 0, True, True)[1].improvement.interval is None
    assert aggregates([{"a": {}}, {"a": {0: 1.0}}], 0, True, True) == []


CLIQUES = {  # of the random graph of each seed, by scikit_posthocs
    0: [[0, 1], [0, 2, 3], [1, 4, 6], [2, 3, 4], [2, 4, 6], [2, 5, 6]],
    1: [[0, 2, 4], [0, 2, 5], [1, 2, 4], [1, 2, 5], [2, 3, 5], [3, 6]],
    2: [[0, 1, 3], [0, 6], [1, 3, 5], [1, 4], [2, 4], [2, 5], [2, 6]],
}


@pytest.mark.parametrize("seed", CLIQUES)
def test_the_letters_are_the_bars_of_a_critical_difference_diagram(seed):
    alike = np.triu(np.random.default_rng(seed).random((7, 7)) < 0.6, 1)
    found = letters(7, lambda i, j: bool(alike[i, j]))
    names = sorted(set("".join(found)))
    assert sorted([i for i, own in enumerate(found) if name in own] for name in names) == CLIQUES[seed]


@settings(max_examples=50)
@given(
    st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.tuples(*[st.integers(0, n - 1)] * 2))))
)
def test_rows_share_a_letter_exactly_if_they_are_alike(table):
    count, different = table
    told = {tuple(sorted(pair)) for pair in different if pair[0] != pair[1]}
    found = letters(count, lambda i, j: (i, j) not in told)
    for i in range(count):
        assert found[i]
        for j in range(i + 1, count):
            assert bool(set(found[i]) & set(found[j])) == ((i, j) not in told)


def test_a_comparison_has_letters_and_aggregates(tmp_path):
    for optimizer, level in {"sgd": 0.5, "adam": 0.9, "lion": 0.91}.items():
        for width in (4, 8):
            for seed in (1, 2, 3, 4):
                changes = (f"optimizer={optimizer}", "optimizer.lr=0.1", f"model.hidden=[{width}]", f"seed={seed}")
                accuracy = level + 0.01 * ((seed * width * len(optimizer)) % 7)
                training(tmp_path, f"{optimizer}-{width}-{seed}", *changes, "epochs=1", accuracies=(accuracy,))
    records = select(tmp_path, ["*"]).records
    side = compare_runs(records, Measure(), by=["optimizer"], pairs=True)
    found = dict(zip((c.label.split(",")[0] for c in side.candidates), side.letters, strict=True))
    assert found["optimizer adam"] == found["optimizer lion"] != found["optimizer sgd"]
    for candidate, row in zip(side.candidates, side.aggregates, strict=True):
        assert row.gap.value == pytest.approx(1 - np.mean([*candidate.outcomes.values.values()]), abs=1e-9)
    assert side.aggregates[0].improvement.value == 0
    assert compare_runs(records, Measure()).aggregates == ()
