"""The parity table holds, and each of its reasons is the reason."""

import pytest

from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, RULES, descend
from optilab.verify.cases import TOLERANCE, rows_of
from optilab.verify.correspondence import CASES, IN_SINGLE, NO_SUCH_RULE, shown
from optilab.verify.references import Matrices, in_optax


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.settings}")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of jax about its own parts
def test_every_form_equals_the_library_or_the_library_has_the_form_that_is_named(case):
    rows = list(rows_of(case))
    compared = [row for row in rows if row.difference is not None]
    assert compared, f"{case.name} is compared with nothing"
    for row in rows:
        if row.difference is None:
            assert row.reason in (NO_SUCH_RULE, IN_SINGLE, "it has another line search")
            continue
        assert row.difference <= TOLERANCE
        if row.reason:  # the rule itself has to differ, or the reason would explain nothing
            assert row.as_is > 1e6 * TOLERANCE
    assert {row.library for row in rows} >= {"torch", "optax"}


def test_every_rule_is_in_the_table():
    assert {case.name for case in CASES} == set(RULES)


def test_no_two_rows_have_the_same_name():
    names = [(case.name, shown(case.settings)) for case in CASES]
    assert len(names) == len(set(names))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_optax_computes_adafactor_in_single_precision_and_is_otherwise_equal():
    rule, problem = RULES["adafactor"](lr=0.005, eps=1e-3, step_size="constant"), Matrices()
    ours, theirs = problem.follow(rule), in_optax("adafactor{(lr, 1, eps=eps)}").path(rule, problem)
    assert 1e-12 < abs(ours - theirs).max() < 1e-7


@pytest.mark.parametrize("name", [name for name, kind in RULES.items() if kind.weights == "matrices"])
def test_a_rule_for_matrices_is_refused_on_a_function_of_a_vector(name):
    with pytest.raises(UsageError, match=f"{name} needs weight matrices, so it cannot run on a test function"):
        descend(RULES[name](), OBJECTIVES["ravine"]())
