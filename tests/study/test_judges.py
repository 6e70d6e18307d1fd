"""The closed form next to the simulated critical values that it replaces: equal means, differences, pairs of groups."""

import numpy as np
import pytest

from docs.measured.earlier_judge import rejected
from optilab.study import comparison, judge
from tests.study.simulated import SimulatedComparisons


@pytest.mark.parametrize(("groups", "seeds"), [(2, 3), (2, 9), (5, 3), (5, 5), (9, 8), (18, 3)])
@pytest.mark.parametrize("baseline", [None, 1])
def test_the_two_judges_agree(groups, seeds, baseline):
    generator, different = np.random.default_rng([groups, seeds]), 0
    for _ in range(20):
        values = generator.normal(0, 1, (groups, seeds)) + generator.normal(0, 2, seeds)
        values[:2] -= 4
        table = {i: dict(enumerate(row)) for i, row in enumerate(values.tolist())}
        new, old = (module.judge(table, baseline=baseline) for module in (judge, comparison))
        assert (new.order, new.baseline.key) == (old.order, old.baseline.key)
        for row, before in zip(new.rows, old.rows, strict=True):
            different += row.verdict != before.verdict
            assert row.summary.mean == pytest.approx(before.summary.mean)
            assert row.summary.std == pytest.approx(before.summary.std)
            if row.difference is not None:
                assert row.difference.difference == pytest.approx(before.difference.difference)
                if groups == 2:
                    assert row.difference.interval == pytest.approx(before.difference.interval)
                    assert row.difference.p == pytest.approx(before.difference.p)
    assert different <= 0.02 * 20 * groups


def test_the_program_that_measures_has_the_earlier_judge():
    generator = np.random.default_rng(0)
    for groups, seeds in ((2, 3), (5, 3), (6, 8), (18, 10)):
        values = generator.normal(0, 1, (50, groups, seeds)) * generator.uniform(0.2, 3, (50, groups, 1))
        values[:, 0] -= 4
        for table, verdicts in zip(values.tolist(), rejected(values), strict=True):
            rows = comparison.judge({i: dict(enumerate(row)) for i, row in enumerate(table)}).rows
            assert [row.verdict == "worse" for row in rows] == list(verdicts)
        assert (rejected(values) == SimulatedComparisons(values).rejected).mean() > 0.97
