"""The referee of trainings: its tests against SciPy and statsmodels, and its error rates in simulated tables."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.power import TTestPower

from optilab.study import comparison
from optilab.study.statistics import (
    _largest_statistics,
    family_p,
    power,
    single_level,
    summarize,
)

SLEEP = (
    # Extra hours of sleep of ten patients under two drugs: Cushny & Peebles 1905 as printed in Student 1908 and as the
    # data set `sleep` of R, whose documentation gives the paired test: t = -4.0621, df = 9, p = 0.002833,
    # interval -2.4598858 to -0.7001142.
    (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0),
    (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4),
)


def judge(groups, higher=True, baseline=None, level=0.05):
    """The judgement of a list of groups, each with its place as its name."""
    return comparison.judge(dict(enumerate(groups)), higher, baseline, level)


def by_seed(values, first=0):
    return dict(enumerate(map(float, values), start=first))


# --- one pair of groups ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paired", "interval", "p", "verdict"),
    [
        (True, (-2.4598858, -0.7001142), 0.002833, "worse"),
        (False, (-3.3654832, 0.2054832), 0.07939, "cannot tell"),
    ],
)
def test_the_sleep_data_as_published(paired, interval, p, verdict):
    """R's documentation has both tests; that of `t.test` without pairs: t = -1.8608, df = 17.776."""
    table = judge([by_seed(SLEEP[0]), by_seed(SLEEP[1], first=0 if paired else 100)], baseline=1)
    row = table.rows[0].difference
    assert row.difference == pytest.approx(-1.58)
    assert row.interval == pytest.approx(interval, abs=5e-8)
    assert row.p == pytest.approx(p, abs=5e-6)
    assert (row.verdict, row.n, row.paired) == (verdict, 10, paired)
    assert table.rows[1].summary.mean == pytest.approx(2.33)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 30])
def test_two_groups_are_compared_as_scipy_compares_them(seeds):
    first, second = np.random.default_rng(seeds).normal([[0], [1]], [[1], [3]], (2, seeds))
    for paired in (True, False):
        row = judge([by_seed(first), by_seed(second, 0 if paired else 100)], baseline=0).rows[1].difference
        test = stats.ttest_rel(second, first) if paired else stats.ttest_ind(second, first, equal_var=False)
        assert row.interval == pytest.approx(tuple(test.confidence_interval()))
        assert row.p == pytest.approx(test.pvalue)
    assert summarize(list(first)).interval == pytest.approx(
        stats.t.interval(0.95, seeds - 1, first.mean(), stats.sem(first))
    )


@pytest.mark.parametrize(
    ("other", "first", "higher", "share"),
    [
        ([0, 2, 4, 3], 0, True, 0.625),
        ([0, 2, 4, 3], 0, False, 0.375),
        ([2, 3], 9, True, (0 + 0 + 1 + 0.5 + 1 + 1 + 1 + 1) / 8),
    ],
)
def test_the_share_won_counts_ties_half(other, first, higher, share):
    groups = [by_seed([1, 2, 3, 4] if first == 0 else [1, 3, 4, 5]), by_seed(other, first=first)]
    assert judge(groups, higher=higher, baseline=1).rows[0].difference.won == share


@pytest.mark.parametrize("effect", [0.2, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("level", [0.05, 0.025])
def test_the_number_of_further_seeds_against_statsmodels(effect, level):
    """They are judged at half of the level, as a second look."""
    oracle = TTestPower()
    assert power(9, effect * np.sqrt(10), level) == pytest.approx(oracle.power(effect, 10, level), abs=1e-6)
    pairs = np.array([-1.0, 0.0, 1.0]) + effect  # mean `effect`, standard deviation 1
    row = judge([by_seed(pairs), by_seed([0.0, 0.0, 0.0])], baseline=1, level=level).rows[0].difference
    assert 3 + row.more == np.ceil(oracle.solve_power(effect, power=0.85, alpha=level / 2))


def test_groups_of_other_numbers_of_seeds_have_the_freedom_of_the_smaller_one():
    one, other = np.array([1.0, 5.0, 9.0]), np.array([1.0, 2.0, 3.0, 2.5, 1.5, 2.0, 1.0])
    row = judge([by_seed(one), by_seed(other, first=9)], baseline=1).rows[0].difference
    welch = stats.ttest_ind(one, other, equal_var=False)
    assert not row.paired
    assert row.p == pytest.approx(2 * stats.t.sf(abs(welch.statistic), 2))
    assert row.p > welch.pvalue


def test_no_number_of_seeds_finds_a_difference_of_nothing():
    groups = [by_seed([0.0, 1.0, 2.0]), by_seed([1.0, 2.0, 0.0])]
    assert judge(groups, baseline=1).rows[0].difference.more is None
    assert judge([by_seed([0, 1e3, 2e3]), by_seed([1e3, 2e3, 0.1])], baseline=1).rows[0].difference.more is None


# --- many groups -------------------------------------------------------------------------------------------


def test_a_baseline_named_before_is_dunnetts_comparison():
    """SciPy's Dunnett test pools the variances, so it agrees where there are many degrees of freedom."""
    values = np.random.default_rng(4).normal(0, 1, (4, 50)) + np.array([0.3, 0.5, 0, 0])[:, None]
    table = judge([by_seed(row, 1000 * i) for i, row in enumerate(values)], baseline=3)
    oracle = stats.dunnett(*values[:3], control=values[3])
    for row, p in zip(table.rows, oracle.pvalue, strict=False):
        assert row.difference.p == pytest.approx(p, abs=0.02)


@pytest.mark.parametrize("chosen", [True, False])
def test_the_level_of_one_test_and_the_p_of_the_family_are_inverse(chosen):
    level = single_level(6, 5, 0.05, chosen)
    assert 0.05 / 15 < level < 0.05
    assert family_p(level, 6, 5, chosen) == pytest.approx(0.05, abs=1e-3)
    assert single_level(2, 5, 0.05, chosen) == 0.05


@pytest.mark.parametrize("candidates", [3, 10])
def test_with_many_blocks_the_critical_value_is_that_of_the_studentized_range(candidates):
    """Then all standard errors are known, and the largest difference is a range: Tukey's."""
    critical = np.quantile(_largest_statistics(candidates, 200), 0.95)
    exact = stats.studentized_range.ppf(0.95, candidates, np.inf) / np.sqrt(2)
    assert critical == pytest.approx(exact, rel=0.03)


def test_verdict_interval_and_p_agree():
    generator = np.random.default_rng(6)
    for _ in range(50):
        values = generator.normal(np.linspace(0, 2, 5)[:, None], 1, (5, 8))
        for row in judge([by_seed(row) for row in values]).rows:
            if row.difference is not None:
                worse = row.verdict == "worse"
                assert worse == (row.difference.p <= 0.05) == (row.difference.interval[1] < 0)


@settings(max_examples=50)
@given(
    values=arrays(float, st.tuples(st.integers(2, 5), st.integers(2, 6)), elements=st.floats(-1, 1, width=16)),
    higher=st.booleans(),
    scale=st.sampled_from([0.5, 4.0]),
    shift=st.sampled_from([0.0, 1.0]),
    data=st.data(),
)
def test_names_order_and_scale_of_the_values_change_no_verdict(values, higher, scale, shift, data):
    rows = {f"c{number}": by_seed(row) for number, row in enumerate(values)}
    table = comparison.judge(rows, higher)
    order = data.draw(st.permutations(list(rows)))
    means = [row.summary.mean for row in table.rows]
    assume(len(set(means)) == len(means))  # the first of equals is the baseline
    renamed = {name.upper(): {k: shift + scale * v for k, v in rows[name].items()} for name in order}
    other = comparison.judge(renamed, higher)
    assume(len({row.summary.mean for row in other.rows}) == len(means))
    assert {row.key: row.verdict for row in other.rows} == {row.key.upper(): row.verdict for row in table.rows}
    mirrored = comparison.judge({k: {s: -v for s, v in own.items()} for k, own in rows.items()}, not higher)
    assert [row.verdict for row in mirrored.rows] == [row.verdict for row in table.rows]


# --- which seeds count -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("common", "paired"), [(10, True), (8, True), (7, False), (1, False)])
def test_groups_are_paired_that_share_more_than_three_quarters_of_their_seeds(common, paired):
    groups = [by_seed(np.arange(10.0) % 4), by_seed(np.arange(10.0) % 3, first=10 - common)]
    row = next(row.difference for row in judge(groups).rows if row.difference)
    assert (row.paired, row.n) == (paired, common if paired else 10)


def test_two_lucky_seeds_are_no_yardstick_of_complete_groups():
    generator = np.random.default_rng(1)
    full = [by_seed(generator.normal(mean, 0.5, 10)) for mean in (85, 82, 80, 78)]
    table = judge([*full, {0: 95.0, 1: 70.0 + 25}])
    assert table.baseline.key == 0
    assert [row.verdict for row in table.rows[1:4]] == ["worse"] * 3


def test_nothing_is_better_than_the_best():
    """The mean of one group is the highest over its own seeds, but the other is ahead on the seeds that both have."""
    generator = np.random.default_rng(2)
    first = {**by_seed(generator.normal(70, 0.1, 5)), **by_seed(generator.normal(99, 0.1, 5), first=5)}
    second = by_seed(generator.normal(75, 0.1, 5))
    table = judge([first, second])
    assert (table.baseline.key, table.rows[0].verdict) == (1, "worse")
    for _ in range(50):  # seeds missing anywhere
        groups = [
            {seed: value for seed, value in by_seed(row).items() if generator.random() > 0.4 or seed == 0}
            for row in generator.normal(0, 1, (5, 6)) + 3 * generator.normal(0, 1, 6)
        ]
        assert all(row.verdict != "better" for row in judge(groups).rows)


# --- divergence --------------------------------------------------------------------------------------------


def test_a_divergence_counts_in_the_verdict_and_not_in_the_mean():
    groups = {"a": by_seed([0.8, 0.81, 0.79, 0.8, 0.1]), "b": by_seed([0.1, 0.1, 0.1, 0.11, 0.1])}
    table = comparison.judge(groups, diverged={"a": [4]}, limits=(0, 1))
    row = table.rows[0]
    assert (row.diverged, row.summary.n) == (1, 4)
    assert row.summary.mean == pytest.approx(0.8)
    assert 0.78 < row.summary.interval[0] < row.summary.interval[1] < 0.82
    assert table.rows[1].difference.difference == pytest.approx(0.102 - 0.66)


def test_intervals_end_at_the_possible_values():
    groups = {"a": by_seed([0.99, 0.6, 0.98]), "b": by_seed([0.02, 0.3, 0.01])}
    first, second = comparison.judge(groups, limits=(0, 1)).rows
    ends = (first.summary.interval[1], second.summary.interval[0], second.difference.interval[0])
    assert ends == (1, 0, -1)


def test_nothing_is_better_because_more_of_it_diverged():
    """The loss of a divergence is the chance level: a network that is worse than that is not worse than none at all."""
    groups = {"gone": by_seed([2.3] * 6), "high": by_seed([9.0, 9.1, 9.2, 9.0, 9.1, 9.3])}
    table = comparison.judge(groups, higher=False, diverged={"gone": range(6)})
    assert table.baseline.key == "high"
    assert table.rows[0].verdict == "cannot tell"


# --- what has no variation or few values -------------------------------------------------------------------


def test_a_constant_difference_is_judged_by_the_signs():
    """Without variation there is no t test: five equal differences are not enough, six are (sign-flip p = 2/64)."""
    for seeds, verdict in ((5, "cannot tell"), (6, "worse")):
        row = judge([by_seed([0.1] * seeds), by_seed([0.7] * seeds)]).rows[0].difference
        assert (row.interval, row.verdict) == (None, verdict)
        assert row.p == 2 / 2**seeds


def test_one_lucky_run_is_not_the_baseline_of_groups_with_several():
    table = judge([{1: 0.99}, by_seed([0.5, 0.6, 0.7]), by_seed([0.4, 0.5, 0.7])])
    assert table.baseline.key == 1
    assert table.order == (0, 1, 2)


# --- error rates -------------------------------------------------------------------------------------------
