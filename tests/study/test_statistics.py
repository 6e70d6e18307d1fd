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
    simulated_critical,
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


def normal_groups(generator, groups, seeds, spread=1.0, paired=True):
    """Outcomes of equal groups; `spread` may be one standard deviation for each of them."""
    luck = generator.normal(0, 1, seeds) if paired else 0.0
    values = luck + generator.normal(0, 1, (groups, seeds)) * np.broadcast_to(spread, groups)[:, None]
    return [by_seed(row, 0 if paired else i * seeds) for i, row in enumerate(values)]


def at_most(share, count):
    """The largest number of events, each with probability `share`, that is not surprising (1 in 10,000)."""
    return stats.binom.ppf(0.9999, count, share)


# --- one pair of groups ------------------------------------------------------------------------------------


def test_the_sleep_data_as_published():
    table = judge([by_seed(drug) for drug in SLEEP], baseline=1)
    row = table.rows[0].difference
    assert row.difference == pytest.approx(-1.58)
    assert row.interval == pytest.approx((-2.4598858, -0.7001142), abs=5e-8)
    assert row.p == pytest.approx(0.002833, abs=5e-7)
    assert (row.verdict, row.n, row.won) == ("worse", 10, 0.05)
    assert table.rows[1].summary.mean == pytest.approx(2.33)


def test_welch_on_the_sleep_data_as_published():
    """R's documentation of `t.test`: t = -1.8608, df = 17.776, p = 0.07939, interval -3.3654832 to 0.2054832."""
    row = judge([by_seed(SLEEP[0]), by_seed(SLEEP[1], first=100)], baseline=1).rows[0].difference
    assert not row.paired
    assert row.interval == pytest.approx((-3.3654832, 0.2054832), abs=5e-8)
    assert row.p == pytest.approx(0.07939, abs=5e-6)
    assert row.verdict == "cannot tell"


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


def test_the_share_won_counts_ties_half():
    groups = [by_seed([1, 2, 3, 4]), by_seed([0, 2, 4, 3])]
    assert judge(groups, baseline=1).rows[0].difference.won == 0.625
    assert judge(groups, higher=False, baseline=1).rows[0].difference.won == 0.375
    apart = [by_seed([1, 3]), by_seed([2, 3], first=9)]
    assert judge(apart, baseline=1).rows[0].difference.won == (0 + 0 + 1 + 0.5) / 4


@pytest.mark.parametrize("effect", [0.2, 0.5, 1.0, 2.0])
def test_the_number_of_further_seeds_against_statsmodels(effect):
    oracle = TTestPower()
    assert power(9, effect * np.sqrt(10), 0.05) == pytest.approx(oracle.power(effect, 10, 0.05), abs=1e-6)
    pairs = np.array([-1.0, 0.0, 1.0]) + effect  # mean `effect`, standard deviation 1
    row = judge([by_seed(pairs), by_seed([0.0, 0.0, 0.0])], baseline=1).rows[0].difference
    assert 3 + row.more == np.ceil(oracle.solve_power(effect, power=0.85, alpha=0.025))  # of a second look
    again = judge([by_seed(pairs), by_seed([0.0, 0.0, 0.0])], baseline=1, level=0.025).rows[0].difference
    assert 3 + again.more == np.ceil(oracle.solve_power(effect, power=0.85, alpha=0.0125))


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


@pytest.mark.parametrize(("groups", "seeds"), [(3, 8), (5, 10), (10, 8)])
def test_complete_tables_are_judged_as_races_are(groups, seeds):
    """The largest of the t statistics is compared with its own distribution for equal candidates."""
    values = np.random.default_rng(seeds).normal(np.arange(groups)[:, None], 1, (groups, seeds))
    null = _largest_statistics(groups, seeds)
    critical = np.quantile(null, 0.95)
    for row, own in zip(judge([by_seed(row) for row in values], higher=False).rows, values, strict=True):
        differences = own - values[np.argmin(values.mean(axis=1))]
        mean, error = differences.mean(), differences.std(ddof=1) / np.sqrt(seeds)
        if row.difference is not None:
            assert row.difference.interval == pytest.approx((mean - critical * error, mean + critical * error))
            assert row.difference.p == pytest.approx((1 + (null >= mean / error).sum()) / (1 + len(null)))
            assert (row.verdict == "worse") == (mean > critical * error)


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


def raised(values, exponent=1.5):
    """t statistics against the best, each variance raised to the mean of all of them with the exponent."""
    differences = values - values[np.argmax(values.mean(axis=1))]
    own = differences.var(axis=1, ddof=1)
    rows = differences.any(axis=1)
    table = np.mean(own[rows] ** exponent) ** (1 / exponent)
    return np.abs(differences.mean(axis=1)) / np.sqrt(np.maximum(own, table) / values.shape[1])


@pytest.mark.parametrize(("groups", "seeds"), [(3, 3), (5, 5), (10, 7)])
def test_with_few_seeds_a_small_variance_is_raised_to_the_tables(groups, seeds):
    values = np.random.default_rng(seeds).normal(np.arange(groups)[:, None], 1, (groups, seeds))
    critical = max(simulated_critical(groups, seeds), -stats.t.ppf(0.025, seeds - 1))
    for row, statistic in zip(judge([by_seed(row) for row in values]).rows, raised(values), strict=True):
        if found := row.difference:
            low, high = found.interval
            assert found.shared
            assert (high - low) / 2 == pytest.approx(abs(found.difference) * critical / statistic)
            assert (row.verdict == "worse") == (statistic > critical)


def test_no_table_asks_for_less_than_a_pair_by_itself():
    """One group may vary much more than the others: its difference is then judged by its own variance."""
    values = np.random.default_rng(0).normal(0, 1, (30, 2))
    low, high = next(
        row.difference.interval for row in judge([by_seed(row) for row in values]).rows if row.difference
    )
    assert simulated_critical(30, 2) < 12.706
    differences = values - values[np.argmax(values.mean(axis=1))]
    rows = differences.any(axis=1)
    least = np.mean(differences[rows].var(axis=1, ddof=1) ** 1.5) ** (1 / 1.5)
    assert (high - low) / 2 >= 12.706 * np.sqrt(least / 2) - 1e-6


# --- which seeds count -------------------------------------------------------------------------------------


def test_one_common_seed_of_ten_does_not_make_pairs():
    generator = np.random.default_rng(0)
    groups = [by_seed(generator.normal(0.8, 0.01, 10)), by_seed(generator.normal(0.6, 0.01, 10), first=9)]
    row = judge(groups).rows[1].difference
    assert (row.paired, row.n, row.verdict) == (False, 10, "worse")
    apart = judge([groups[0], by_seed(groups[1].values(), first=10)]).rows[1].difference
    assert row.interval == apart.interval


@pytest.mark.parametrize(("common", "paired"), [(10, True), (8, True), (7, False), (1, False)])
def test_groups_are_paired_that_share_more_than_three_quarters_of_their_seeds(common, paired):
    groups = [by_seed(np.arange(10.0) % 4), by_seed(np.arange(10.0) % 3, first=10 - common)]
    row = next(row.difference for row in judge(groups).rows if row.difference)
    assert (row.paired, row.n) == (paired, common if paired else 10)


def test_two_lucky_seeds_are_no_yardstick_of_complete_groups():
    generator = np.random.default_rng(1)
    full = [by_seed(generator.normal(mean, 0.5, 10)) for mean in (85, 82, 80, 78)]
    alone = judge(full)
    table = judge([*full, {0: 95.0, 1: 70.0 + 25}])
    assert table.baseline.key == 0
    # The other rows have one more neighbor, and nothing else has changed.
    for row, before in zip(table.rows[1:4], alone.rows[1:], strict=True):
        assert (row.verdict, row.difference.difference) == ("worse", before.difference.difference)
        assert np.subtract(*row.difference.interval[::-1]) < 1.2 * np.subtract(*before.difference.interval[::-1])


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
    table = comparison.judge(groups, limits=(0, 1))
    assert table.rows[0].summary.interval[1] == 1
    assert table.rows[1].summary.interval[0] == 0
    assert table.rows[1].difference.interval[0] == -1


def test_nothing_is_better_because_more_of_it_diverged():
    """The loss of a divergence is the chance level: a network that is worse than that is not worse than none at all."""
    groups = {"gone": by_seed([2.3] * 6), "high": by_seed([9.0, 9.1, 9.2, 9.0, 9.1, 9.3])}
    table = comparison.judge(groups, higher=False, diverged={"gone": range(6)})
    assert table.baseline.key == "high"
    assert table.rows[0].verdict == "cannot tell"


# --- what has no variation or few values -------------------------------------------------------------------


def test_one_seed_has_no_interval_and_no_verdict():
    table = judge([{42: 0.9}, {42: 0.1}])
    assert table.rows[0].summary.std is None
    assert table.rows[0].summary.interval is None
    assert table.rows[1].difference.verdict == "cannot tell"
    assert (table.rows[1].difference.interval, table.rows[1].difference.p, table.rows[1].difference.more) == (
        None,
        1.0,
        None,
    )


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


def test_empty_groups_are_no_contenders():
    groups = [{}, by_seed([0.5, 0.6, 0.7]), by_seed([0.1, 0.2, 0.0])]
    differences = [row.difference for row in judge(groups[1:]).rows]
    assert [row.difference for row in judge(groups).rows] == [None, *differences]
    assert judge(groups).rows[0].verdict == "no outcome"
    with pytest.raises(ValueError, match="no outcome"):
        judge(groups, baseline=0)


# --- error rates -------------------------------------------------------------------------------------------

TABLES = [  # groups, seeds, standard deviation of each group, paired
    (2, 3, 1.0, True),
    (2, 5, 1.0, True),
    (2, 10, 1.0, True),
    (5, 3, 1.0, True),
    (5, 5, 1.0, True),
    (5, 10, 1.0, True),
    (2, 5, (0.3, 3.0), True),
    (5, 5, (0.1, 0.3, 1.0, 2.0, 3.0), True),
    (2, 5, 1.0, False),
    (5, 5, 1.0, False),
]


def error_rate(count, groups, seeds, spread, paired, seed=0, **options):
    """Number of tables of equal groups with any verdict, and number of rows whose interval misses zero."""
    generator = np.random.default_rng([seed, groups, seeds])
    wrong = 0
    for _ in range(count):
        rows = [
            row.difference
            for row in judge(normal_groups(generator, groups, seeds, spread, paired), **options).rows
            if row.difference
        ]
        assert all((row.verdict == "cannot tell") == (row.interval[0] <= 0 <= row.interval[1]) for row in rows)
        wrong += any(row.verdict != "cannot tell" for row in rows)
    return wrong


@pytest.mark.parametrize(("groups", "seeds", "spread", "paired"), TABLES)
def test_equal_groups_rarely_get_a_verdict(groups, seeds, spread, paired):
    count = 200
    assert error_rate(count, groups, seeds, spread, paired) <= at_most(0.05, count)


def covered(count, seeds, paired, seed=0):
    """In how many comparisons of two groups the interval holds the true difference, and those of the mean theirs."""
    generator = np.random.default_rng([seed, seeds])
    differences = means = 0
    for _ in range(count):
        first, second = normal_groups(generator, 2, seeds, paired=paired)
        table = judge([first, {key: value + 0.7 for key, value in second.items()}], baseline=0)
        low, high = table.rows[1].difference.interval
        differences += low <= 0.7 <= high
        low, high = summarize(list(generator.normal(5, 2, seeds))).interval
        means += low <= 5 <= high
    return differences, means


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_cover_the_truth(seeds):
    count = 1000
    low, high = stats.binom.ppf([0.0001, 0.9999], count, 0.95)
    assert all(low <= number <= high for number in covered(count, seeds, True))


def test_the_simulation_catches_tests_at_five_per_cent_each():
    """The negative control: five rows against the best by the data, each at 5 %, err in far more tables."""
    generator, wrong, count = np.random.default_rng(0), 0, 200
    for _ in range(count):
        values = np.array([list(group.values()) for group in normal_groups(generator, 6, 5)])
        top = values[np.argmax(values.mean(axis=1))]
        wrong += any(
            stats.ttest_rel(row, top).pvalue < 0.05 for row in values if row is not top and any(row != top)
        )
    assert wrong > 2 * at_most(0.05, count)


def test_a_clear_difference_is_found():
    generator, found, count = np.random.default_rng(0), 0, 100
    for _ in range(count):
        first, second = normal_groups(generator, 2, 5)
        found += (
            judge([first, {seed: value - 3 for seed, value in second.items()}]).rows[1].difference.verdict
            == "worse"
        )
    expected = power(4, 3 / np.sqrt(2 / 5), 0.05)
    low, high = stats.binom.ppf([0.0001, 0.9999], count, expected)
    assert low <= found <= high
