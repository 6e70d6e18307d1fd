"""The parity table holds, and each of its reasons is the reason."""

import pytest

from optilab.optimize import ALGORITHMS
from optilab.verify.case import shown
from optilab.verify.correspondence import NO_SUCH_RULE, cases
from optilab.verify.parity import TOLERANCE, rows_of

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.settings}")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of jax about its own parts
def test_every_form_equals_the_library_or_the_library_has_the_form_that_is_named(case):
    rows = list(rows_of(case))
    compared = [row for row in rows if row.difference is not None]
    assert compared, f"{case.name} is compared with nothing"
    for row in rows:
        if row.difference is None:
            assert row.reason in (NO_SUCH_RULE, "it has another line search")
            continue
        assert row.difference <= TOLERANCE
        if row.reason:  # the rule itself has to differ, or the reason would explain nothing
            assert row.as_is > 1e6 * TOLERANCE
    assert {row.library for row in rows} >= {"torch", "optax"}


def test_every_rule_is_in_the_table():
    assert {case.name for case in CASES} == set(ALGORITHMS)


def test_no_two_rows_have_the_same_name():
    names = [(case.name, shown(case.settings)) for case in CASES]
    assert len(names) == len(set(names))
