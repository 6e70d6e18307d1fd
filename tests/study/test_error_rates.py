"""How often verdicts and intervals err, and what they find, in simulated tables; docs/verdicts.md has the numbers."""

import numpy as np
import pytest
from scipy import stats

from optilab.study.comparison import judge
from optilab.study.statistics import smallest_difference
from tests.study import error_rates as measured
from tests.study.error_rates import Tables


def at_most(percentage, count):
    """The largest percentage that is not surprising (1 in 10,000) if the true one is `percentage`."""
    return 100 * stats.binom.ppf(0.9999, count, percentage / 100) / count


@pytest.mark.parametrize(("groups", "seeds"), [(2, 3), (5, 3), (18, 3), (6, 7), (6, 8), (18, 10), (40, 2)])
@pytest.mark.parametrize("baseline", [None, 1])
def test_the_twin_for_many_tables_is_the_judge(groups, seeds, baseline):
    generator = np.random.default_rng([groups, seeds])
    values = generator.normal(0, 1, (8, groups, seeds)) * generator.uniform(0.2, 3, (8, groups, 1))
    values[:, 0] -= 9
    found = Tables(values, baseline)
    for number, table in enumerate(values):
        judged = judge({i: dict(enumerate(own)) for i, own in enumerate(table.tolist())}, baseline=baseline)
        assert judged.baseline.key == found.first[number]
        for i, row in enumerate(judged.rows):
            if row.difference is not None:
                low, high = row.difference.interval
                assert (low + high) / 2 == pytest.approx(found.difference[number, i])
                assert (high - low) / 2 == pytest.approx(found.half_width[number, i])
                assert (row.difference.verdict != "cannot tell") == found.told[number, i]


COUNT = 1000


@pytest.mark.parametrize(("groups", "seeds"), [(5, 3), (18, 3), (18, 5)])
def test_tables_of_equal_groups_rarely_have_a_verdict(groups, seeds):
    for noise in measured.NOISE:
        assert measured.any_verdict(groups, seeds, noise, count=COUNT) <= at_most(5, COUNT), noise
    for name, spread in measured.spreads(groups).items():
        assert measured.any_verdict(groups, seeds, spread=spread, count=COUNT) <= at_most(6, COUNT), name


def test_eighteen_rows_with_three_seeds_tell():
    assert measured.power(18, 3, 4, COUNT) > 75
    assert measured.power(18, 5, 4, COUNT) > 97


def test_trainings_that_were_watched_for_fewer_epochs_are_not_slower():
    for short in (8, 10, 11, 12):
        assert measured.other_horizons(short, count=COUNT) <= at_most(5, COUNT)


def test_a_noisier_curve_is_not_faster():
    assert measured.noisier_is_faster(0.03, COUNT) <= at_most(2.5, COUNT)


def test_the_isotonic_regression_crosses_where_scipy_says():
    from scipy.optimize import isotonic_regression

    curves = np.random.default_rng(0).normal(0, 0.2, (50, 20)) + np.linspace(0, 1, 20)
    reached = measured.crossing(curves, 0.5)
    for curve, epoch in zip(curves, reached, strict=True):
        above = np.flatnonzero(isotonic_regression(curve).x >= 0.5)
        assert epoch == (above[0] + 1 if len(above) else 21)


@pytest.mark.parametrize(
    ("groups", "seeds"), [(2, 2), (2, 3), (2, 10), (5, 3), (18, 3), (18, 5), (18, 10), (100, 2)]
)
def test_the_smallest_difference_that_a_design_finds_is_found_in_four_of_five_tables(groups, seeds):
    """Or a little more often: the best of many equal groups is a little ahead of their mean."""
    found = measured.power(groups, seeds, smallest_difference(groups, seeds), 2000)
    assert 76 <= found <= 99.5
    assert measured.power(groups, seeds, smallest_difference(groups, seeds) / 2, 2000) < 70
    assert smallest_difference(groups, 1) is None


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "seeds"), [(5, 2), (5, 3), (5, 5), (18, 3), (18, 5), (18, 10), (100, 2)])
def test_tables_of_equal_groups_rarely_have_a_verdict_in_ten_thousand(groups, seeds):
    count = measured.TABLES
    for noise in measured.NOISE:
        limit = 10 if (noise, seeds) == ("one seed in ten fails", 2) else 5
        assert measured.any_verdict(groups, seeds, noise) <= at_most(limit, count), noise
    for name, spread in measured.spreads(groups).items():
        assert measured.any_verdict(groups, seeds, spread=spread) <= at_most(6, count), name


@pytest.mark.slow
def test_eighteen_rows_with_three_seeds_tell_in_four_of_five_tables():
    assert measured.power(18, 3, 4) >= 80


@pytest.mark.slow
@pytest.mark.parametrize("points", [9, 27, 81])
def test_a_claim_about_the_best_after_halving_counts_all_settings(points):
    count = measured.TABLES // 2
    assert measured.claim_after_halving(points) <= at_most(2.5, count)
    assert measured.claim_after_halving(points, counted=max(1, points // 9)) > 2 * at_most(2.5, count)


@pytest.mark.slow
def test_looking_again_after_every_seed_errs_in_few_tables():
    assert max(measured.looked_at_again(12, groups) for groups in (2, 5)) <= 7.5


@pytest.mark.slow
def test_the_mean_of_the_best_is_right_on_new_seeds():
    chosen, new = measured.winner(20, 5, 5)
    assert chosen > 15
    assert new <= at_most(5, measured.TABLES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["share 1 of 10", "share half of 10", "3 in 10 are missing", "2 seeds and 10"])
def test_seeds_that_are_not_shared(kind):
    count = measured.TABLES // 10
    assert measured.incomplete(kind) <= at_most(5.5, count)
