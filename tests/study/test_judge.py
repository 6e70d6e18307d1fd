"""The judge of all tables: two groups against SciPy and statsmodels, many groups against its definition."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.power import TTestPower

from optilab.judge.judge import MAX_ROWS, MAX_ROWS_NAMED, alpha, judge, summarize

SLEEP = (
    # Extra hours of sleep of ten patients under two drugs: Cushny & Peebles 1905 as printed in Student 1908 and as the
    # data set `sleep` of R, whose documentation gives the paired test: t = -4.0621, df = 9, p = 0.002833,
    # interval -2.4598858 to -0.7001142.
    (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0),
    (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4),
)


def by_seed(values, first=0):
    return dict(enumerate(map(float, values), start=first))


def table(groups, **options):
    """The comparison of a list of groups, each with its place as its key."""
    return judge(dict(enumerate(groups)), **options)


# --- two groups --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paired", "interval", "p", "verdict"),
    [
        (True, (-2.4598858, -0.7001142), 0.002833, "worse"),
        (False, (-3.3654832, 0.2054832), 0.07939, "cannot tell"),
    ],
)
def test_the_sleep_data_as_published(paired, interval, p, verdict):
    """R's documentation has both tests; that of `t.test` without pairs: t = -1.8608, df = 17.776."""
    sleep = table([by_seed(SLEEP[0]), by_seed(SLEEP[1], first=0 if paired else 100)], baseline=1)
    row = sleep.rows[0].difference
    assert row.difference == pytest.approx(-1.58)
    assert row.interval == pytest.approx(interval, abs=5e-8)
    assert row.p == pytest.approx(p, abs=5e-6)
    assert (row.verdict, row.n, row.paired) == (verdict, 10, paired)
    assert sleep.rows[1].summary.mean == pytest.approx(2.33)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 30])
def test_two_groups_are_compared_as_scipy_compares_them(seeds, paired):
    first, second = np.random.default_rng(seeds).normal([[0], [1]], [[1], [3]], (2, seeds))
    row = table([by_seed(first), by_seed(second, 0 if paired else 100)], baseline=0).rows[1].difference
    test = stats.ttest_rel(second, first) if paired else stats.ttest_ind(second, first, equal_var=False)
    assert row.interval == pytest.approx(tuple(test.confidence_interval()))
    assert row.p == pytest.approx(test.pvalue)
    mean = stats.t.interval(0.95, seeds - 1, first.mean(), stats.sem(first))
    assert summarize(list(first)).interval == pytest.approx(mean)


def test_groups_of_other_numbers_of_seeds_have_the_degrees_of_freedom_of_the_smaller_one():
    one, other = np.array([1.0, 5.0, 9.0]), np.array([1.0, 2.0, 3.0, 2.5, 1.5, 2.0, 1.0])
    row = table([by_seed(one), by_seed(other, first=9)], baseline=1).rows[0].difference
    welch = stats.ttest_ind(one, other, equal_var=False)
    assert not row.paired
    assert row.p == pytest.approx(2 * stats.t.sf(abs(welch.statistic), 2))
    assert row.p > welch.pvalue


@pytest.mark.parametrize("effect", [0.2, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("level", [0.05, 0.025])
def test_the_number_of_further_seeds_against_statsmodels(effect, level):
    """They are judged at half of the level, as a second look; statsmodels has the exact noncentral distribution."""
    pairs = np.array([-1.0, 0.0, 1.0]) + effect  # mean `effect`, standard deviation 1
    row = table([by_seed(pairs), by_seed([0.0, 0.0, 0.0])], baseline=1, level=level).rows[0].difference
    exact = np.ceil(TTestPower().solve_power(effect, power=0.85, alpha=alpha(1, level)))
    assert abs(3 + row.more - exact) <= 1


def test_no_number_of_seeds_finds_a_difference_of_nothing():
    for first, second in (([0, 1, 2], [1, 2, 0]), ([0, 1e3, 2e3], [1e3, 2e3, 0.1])):
        assert table([by_seed(first), by_seed(second)], baseline=1).rows[0].difference.more is None


def test_ties_count_half_of_what_is_won():
    cases = (([0, 2, 4, 3], 0, True, 0.625), ([0, 2, 4, 3], 0, False, 0.375), ([2, 3], 9, True, 5.5 / 8))
    for other, first, higher_is_better, won in cases:
        groups = [by_seed([1, 2, 3, 4] if first == 0 else [1, 3, 4, 5]), by_seed(other, first=first)]
        assert table(groups, higher_is_better=higher_is_better, baseline=1).rows[0].difference.won == won


# --- many groups -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [3, 8, 30])
@pytest.mark.parametrize("baseline", [None, 2])
def test_the_critical_value_is_bonferronis_and_never_below_one_t_test(groups, baseline):
    """By the definition, with SciPy's distribution: variance, degrees of freedom, interval and p."""
    values = np.random.default_rng(groups).normal(0, 1, (groups, 4)) * np.linspace(0.2, 3, groups)[:, None]
    found = table(map(by_seed, values), baseline=baseline)
    first = values.mean(axis=1).argmax() if baseline is None else baseline
    assert found.baseline.key == first
    gaps = np.delete(values - values[first], first, axis=0)
    variances = gaps.var(axis=1, ddof=1)
    error = np.sqrt(np.maximum(variances, (variances**1.5).mean() ** (1 / 1.5)) / 4)
    pairs = groups * (groups - 1) / 2 if baseline is None else groups - 1
    df = 3 * min(groups - 1, MAX_ROWS if baseline is None else MAX_ROWS_NAMED)
    critical = max(stats.t.isf(0.025, 3), stats.t.isf(0.025 / pairs, df))
    t = np.abs(gaps.mean(axis=1)) / error
    p = np.minimum(1, np.maximum(2 * stats.t.sf(t, 3), 2 * pairs * stats.t.sf(t, df)))
    rows = [row.difference for row in found.rows if row.difference]
    assert [row.p for row in rows] == pytest.approx(list(p))
    assert [row.interval[1] - row.difference for row in rows] == pytest.approx(list(critical * error))


@settings(max_examples=100)
@given(
    values=arrays(float, st.tuples(st.integers(2, 6), st.integers(2, 9)), elements=st.floats(-1, 1, width=16)),
    level=st.sampled_from([0.05, 0.0125]),
    baseline=st.sampled_from([None, 0]),
)
def test_verdict_interval_and_p_agree(values, level, baseline):
    for row in table(map(by_seed, values), level=level, baseline=baseline).rows:
        if (found := row.difference) is not None:
            assert (found.verdict != "cannot tell") == (found.p <= level) == (found.more == 0)
            if found.interval and abs(found.p - level) > 1e-9:
                assert (found.p < level) == (not found.interval[0] <= 0 <= found.interval[1])


@settings(max_examples=50)
@given(
    values=arrays(float, st.tuples(st.integers(2, 5), st.integers(2, 6)), elements=st.floats(-1, 1, width=16)),
    higher_is_better=st.booleans(),
    scale=st.sampled_from([0.5, 4.0]),
    shift=st.sampled_from([0.0, 1.0]),
    data=st.data(),
)
def test_names_order_and_scale_of_the_values_change_no_verdict(values, higher_is_better, scale, shift, data):
    rows = {f"c{number}": by_seed(row) for number, row in enumerate(values)}
    found = judge(rows, higher_is_better)
    order = data.draw(st.permutations(list(rows)))
    means = [row.summary.mean for row in found.rows]
    assume(len(set(means)) == len(means))  # the first of equals is the baseline
    renamed = {name.upper(): {k: shift + scale * v for k, v in rows[name].items()} for name in order}
    other = judge(renamed, higher_is_better)
    assume(len({row.summary.mean for row in other.rows}) == len(means))
    assert {row.key: row.verdict for row in other.rows} == {row.key.upper(): row.verdict for row in found.rows}
    mirrored = judge({k: {s: -v for s, v in row.items()} for k, row in rows.items()}, not higher_is_better)
    assert [row.verdict for row in mirrored.rows] == [row.verdict for row in found.rows]


# --- which seeds count -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("common", "paired"), [(10, True), (8, True), (7, False), (1, False)])
def test_groups_are_paired_that_share_more_than_three_quarters_of_their_seeds(common, paired):
    groups = [by_seed(np.arange(10.0) % 4), by_seed(np.arange(10.0) % 3, first=10 - common)]
    row = next(row.difference for row in table(groups).rows if row.difference)
    assert (row.paired, row.n) == (paired, common if paired else 10)


def test_two_lucky_seeds_are_no_yardstick_of_complete_groups():
    generator = np.random.default_rng(1)
    full = [by_seed(generator.normal(mean, 0.5, 10)) for mean in (85, 82, 80, 78)]
    found = table([*full, {0: 95.0, 1: 70.0 + 25}])
    assert found.baseline.key == 0
    assert [row.verdict for row in found.rows[1:4]] == ["worse"] * 3
    single = table([{1: 0.99}, by_seed([0.5, 0.6, 0.7]), by_seed([0.4, 0.5, 0.7])])
    assert (single.baseline.key, single.order) == (1, (0, 1, 2))


def test_nothing_is_better_than_the_best():
    """The mean of one group is the highest over its own seeds, but the other is ahead on the seeds that both have."""
    generator = np.random.default_rng(2)
    first = {**by_seed(generator.normal(70, 0.1, 5)), **by_seed(generator.normal(99, 0.1, 5), first=5)}
    found = table([first, by_seed(generator.normal(75, 0.1, 5))])
    assert (found.baseline.key, found.rows[0].verdict) == (1, "worse")
    for _ in range(50):  # seeds missing anywhere
        groups = [
            {seed: value for seed, value in by_seed(row).items() if generator.random() > 0.4 or seed == 0}
            for row in generator.normal(0, 1, (5, 6)) + 3 * generator.normal(0, 1, 6)
        ]
        assert all(row.verdict != "better" for row in table(groups).rows)


def test_a_divergence_counts_in_the_verdict_and_not_in_the_mean():
    groups = {"a": by_seed([0.8, 0.81, 0.79, 0.8, 0.1]), "b": by_seed([0.1, 0.1, 0.1, 0.11, 0.1])}
    row, other = judge(groups, diverged={"a": [4]}, limits=(0, 1)).rows
    assert (row.diverged, row.summary.n) == (1, 4)
    assert row.summary.mean == pytest.approx(0.8)
    assert 0.78 < row.summary.interval[0] < row.summary.interval[1] < 0.82
    assert other.difference.difference == pytest.approx(0.102 - 0.66)


def test_intervals_end_at_the_possible_values():
    groups = {"a": by_seed([0.99, 0.6, 0.98]), "b": by_seed([0.02, 0.3, 0.01])}
    first, second = judge(groups, limits=(0, 1)).rows
    assert (first.summary.interval[1], second.summary.interval[0], second.difference.interval[0]) == (1, 0, -1)


def test_nothing_is_better_because_more_of_it_diverged():
    """The loss of a divergence is the chance level: a network that is worse than that is not worse than none at all."""
    groups = {"gone": by_seed([2.3] * 6), "high": by_seed([9.0, 9.1, 9.2, 9.0, 9.1, 9.3])}
    found = judge(groups, higher_is_better=False, diverged={"gone": range(6)})
    assert (found.baseline.key, found.rows[0].verdict) == ("high", "cannot tell")


def test_a_constant_difference_is_judged_by_the_signs():
    """Without variation there is no t test: five equal differences are not enough, six are (sign-flip p = 2/64)."""
    for seeds, verdict in ((5, "cannot tell"), (6, "worse")):
        row = table([by_seed([0.1] * seeds), by_seed([0.7] * seeds)]).rows[0].difference
        assert (row.interval, row.verdict, row.p) == (None, verdict, 2 / 2**seeds)


def test_a_setting_that_was_not_tried_keeps_a_group_from_being_worse():
    groups = {"a": by_seed([0.5, 0.5, 0.52, 0.51]), "b": by_seed([0.9, 0.9, 0.93, 0.9])}
    assert judge(groups).possible_best == ["b"]
    found = judge(groups, improvable={"a": [0, 1]})
    assert (found.possible_best, found.improvable) == (["b", "a"], ["a"])
