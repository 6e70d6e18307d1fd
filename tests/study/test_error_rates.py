"""How often verdicts and intervals err, and what they find, in simulated tables; docs/measured.md has the rates."""

import numpy as np
import pytest
from scipy import stats

from optilab.judge.judge import judge, smallest_difference, summarize
from tests.study import judge_for_tables as simulated
from tests.study.judge_for_tables import SimulatedComparisons

COUNT = 1000


def at_most(percentage, count=COUNT):
    """The largest percentage that is not surprising (1 in 10,000) if the true one is `percentage`."""
    return 100 * stats.binom.ppf(0.9999, count, percentage / 100) / count


@pytest.mark.parametrize(("groups", "seeds"), [(2, 3), (5, 3), (18, 3), (6, 7), (6, 8), (18, 10), (40, 2)])
@pytest.mark.parametrize("baseline", [None, 1])
def test_two_implementations_agree(groups, seeds, baseline):
    generator = np.random.default_rng([groups, seeds])
    values = generator.normal(0, 1, (8, groups, seeds)) * generator.uniform(0.2, 3, (8, groups, 1))
    values[:, 0] -= 9
    values[0], values[1] = np.round(values[0]), np.arange(groups)[:, None]  # ties, and no variation at all
    found = SimulatedComparisons(values, baseline)
    for number, table in enumerate(values):
        judged = judge({i: dict(enumerate(own)) for i, own in enumerate(table.tolist())}, baseline=baseline)
        assert judged.baseline.key == found.first[number]
        for i, row in enumerate(judged.rows):
            if row.difference is not None:
                assert row.difference.difference == pytest.approx(found.difference[number, i])
                low, high = row.difference.interval or (-np.inf, np.inf)
                assert (high - low) / 2 == pytest.approx(found.half_width[number, i])
                assert (row.difference.verdict != "cannot tell") == found.rejected[number, i]


@pytest.mark.parametrize(("groups", "seeds"), [(5, 3), (18, 3), (18, 5)])
def test_equal_groups_rarely_have_verdicts(groups, seeds):
    for noise in simulated.NOISE:
        assert simulated.familywise_error(groups, seeds, noise) <= at_most(5), noise
    for name, spread in simulated.spreads(groups).items():
        assert simulated.familywise_error(groups, seeds, spread=spread) <= at_most(6), name


def test_the_simulation_catches_tests_at_five_percent_each():
    """The negative control: five rows against the best by the data, each at 5%, err in far more tables."""
    values = np.random.default_rng(0).normal(0, 1, (COUNT, 6, 5))
    best = values[np.arange(COUNT), values.mean(axis=2).argmax(axis=1)][:, None]
    with np.errstate(invalid="ignore"):  # the best row against itself
        wrong = stats.ttest_rel(values, np.broadcast_to(best, values.shape), axis=2).pvalue < 0.05
    assert 100 * wrong.any(axis=1).mean() > 2 * at_most(5)


@pytest.mark.parametrize("worse", [0.0, 0.3, 5.0])
def test_the_intervals_hold_for_all_rows_at_once(worse):
    """Also where half of the groups are worse, and those of the others that are equally good."""
    assert simulated.interval_error(10, 10, worse) <= at_most(5)


def test_large_differences_are_found():
    assert simulated.power(18, 3, 4) > 75
    assert simulated.power(18, 5, 4) > 97


@pytest.mark.parametrize(
    ("groups", "seeds"), [(2, 2), (2, 3), (2, 10), (5, 3), (18, 3), (18, 5), (18, 10), (100, 2)]
)
def test_smallest_difference_is_found_in_80_percent(groups, seeds):
    """Or a little more often: the best of many equal groups is a little ahead of their mean."""
    smallest = smallest_difference(groups, seeds)
    assert 76 <= simulated.power(groups, seeds, smallest, 2000) <= 99.5
    assert simulated.power(groups, seeds, smallest / 2, 2000) < 70
    assert smallest_difference(groups, 1) is None


@pytest.mark.parametrize("noise", ["normal", simulated.FAILS])
def test_interval_of_a_mean_covers_it(noise):
    generator, missed = np.random.default_rng(0), []
    for _ in range(COUNT):
        values = [v for v in simulated.NOISE[noise](generator, (3,)).tolist() if v > -simulated.LOST / 2]
        found = summarize(values)
        missed += [not found.interval[0] <= 0 <= found.interval[1]] if found.interval else []
    assert 3 <= 100 * np.mean(missed) <= at_most(5, len(missed))


def test_added_settings_are_another_look():
    assert simulated.sequential_error([(groups, 5) for groups in range(3, 9)]) <= at_most(7.5)
    assert simulated.sequential_error([(2, seeds) for seeds in range(3, 9)]) <= at_most(7.5)


def test_advised_seeds_find_the_difference():
    """In 8 of 10 cases, although the difference is estimated from 5 seeds and the second look has half of the level."""
    assert simulated.followed(0.5, 500) >= 78


@pytest.mark.parametrize("baseline", [None, 1])
def test_few_seeds_that_vary_more_are_not_better(baseline):
    """Also against a named baseline, where Welch's degrees of freedom err in 10%."""
    assert simulated.unpaired_error([2, 10], [4.0, 1.0], baseline) <= at_most(5, 400)
