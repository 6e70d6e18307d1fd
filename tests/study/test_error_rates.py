"""How often verdicts and intervals err, and what they find, in simulated tables; docs/verdicts.md has the numbers."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from optilab.study.comparison import judge
from optilab.study.statistics import smallest_difference, summarize
from tests.study import error_rates as measured
from tests.study import measured_trainings
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
    values[0], values[1] = np.round(values[0]), np.arange(groups)[:, None]  # ties, and no variation at all
    found = Tables(values, baseline)
    for number, table in enumerate(values):
        judged = judge({i: dict(enumerate(own)) for i, own in enumerate(table.tolist())}, baseline=baseline)
        assert judged.baseline.key == found.first[number]
        for i, row in enumerate(judged.rows):
            if row.difference is not None:
                assert row.difference.difference == pytest.approx(found.difference[number, i])
                low, high = row.difference.interval or (-np.inf, np.inf)
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


@pytest.mark.parametrize("noise", ["normal", measured.FAILS])
def test_the_interval_of_a_mean_is_that_of_a_table(noise):
    """The shares of `mean_missed` are those of optilab's own summaries."""
    generator, missed = np.random.default_rng(0), []
    for _ in range(COUNT):
        values = [v for v in measured.NOISE[noise](generator, (3,)).tolist() if v > -measured.LOST / 2]
        found = summarize(values)
        missed += [not found.interval[0] <= 0 <= found.interval[1]] if found.interval else []
    share = 100 * np.mean(missed)
    assert share <= at_most(5, len(missed))
    assert measured.mean_missed(3, noise, count=COUNT) == pytest.approx(share, abs=4)


def test_settings_that_are_added_later_are_another_look():
    assert measured.grown_by_settings(5, 8, COUNT) <= at_most(7.5, COUNT)


def test_more_seeds_as_advised_find_what_was_seen():
    """In 8 of 10 cases, although the difference is estimated from 5 seeds and the second look has half of the level."""
    assert measured.followed(0.5, 500) >= 78


def test_a_few_seeds_that_vary_more_are_not_better_than_many():
    """Also against a named baseline, where Welch's degrees of freedom err in 10%."""
    for baseline in (None, 1):
        assert measured.apart([2, 10], [4.0, 1.0], baseline=baseline, count=400) <= at_most(5, 400)


def test_the_page_has_every_row_of_the_table():
    page = (Path(__file__).parents[2] / "docs" / "verdicts.md").read_text()
    for row in (*measured.rows(), *measured_trainings.rows(), *measured_trainings.rate_rows()):
        nominal = "-" if row.nominal is None else f"{row.nominal:g}"
        assert f"\n| {row.number} | {row.claim} | {nominal} | " in page


@pytest.mark.slow
@pytest.mark.parametrize("row", [*measured.rows()], ids=lambda row: f"{row.number}-{row.claim[:40]}")
def test_the_rates_of_the_table(row):
    """At the size of the page. Where more than the nominal rate is accepted, the page says so, and why."""
    most = row.most if row.most is not None else row.nominal
    for value in row.measured(row.tables):
        assert row.least <= value <= at_most(most, row.tables)


@pytest.mark.slow
@pytest.mark.parametrize("row", [*measured_trainings.rows()], ids=lambda row: f"{row.number}-{row.claim[:40]}")
def test_the_rows_of_trainings(row):
    for value in row.measured(row.tables):
        assert row.least <= value <= (row.nominal if row.most is None else row.most)


@pytest.mark.slow
@pytest.mark.parametrize("points", [9, 27, 81])
def test_a_claim_about_the_best_after_halving_counts_all_settings(points):
    """The negative control: those that are left are too few."""
    most = at_most(2.5, measured.FEWER)
    assert measured.claim_about_the_best(points, 0.9, counted=max(1, points // 9)) > 2 * most


@pytest.mark.slow
def test_eighteen_rows_with_three_seeds_tell_in_four_of_five_tables():
    assert measured.power(18, 3, 4, 100_000) >= 80
