"""The comparisons of tests/reference are those of optilab/verify/cases.py, and hold as they do; four are more."""

from dataclasses import fields

import pytest

from optilab.verify.cases import rows_of
from optilab.verify.correspondence import _NUMBERS
from optilab.verify.correspondence import CASES as OLD
from tests.reference.calls import LIBRARIES, in_form_of, rule_of
from tests.reference.libraries import ON_MATRICES, ON_VECTORS, RUN
from tests.reference.test_reference import ANOTHER, SAME, TOLERANCE, difference

NAMES = {"torch": "torch.optim", "plain": "equations"}


def form_of(rule):
    """What chooses the form of a rule."""
    values = {field.name: getattr(rule, field.name) for field in fields(rule)}
    chosen = {k: str(v) for k, v in values.items() if isinstance(v, str | bool) or k in _NUMBERS}
    return rule.name, frozenset(chosen.items())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_same_rows():
    old = {
        (*form_of(case.rule), NAMES.get(row.library, row.library), row.holds)
        for case in OLD
        for row in rows_of(case)
        if row.difference is not None
    }
    new = {(*form_of(rule_of("rprop")), "optax", True)}  # a test of its own
    for library, form, theirs in [*SAME, *ANOTHER]:
        rule = in_form_of(theirs, form)
        problems = ON_MATRICES if rule.weights == "matrices" else ON_VECTORS
        expected = [RUN[library](LIBRARIES[library][theirs], rule, problem) for problem in problems]
        new.add((*form_of(rule_of(form)), library, difference(rule, problems, expected) <= TOLERANCE))
    assert old <= new, old - new
    assert len(old) == 117
    more = new - old
    assert {(name, dict(form).get("eps_placement"), dict(form).get("l1"), at) for name, form, at, _ in more} == {
        ("adagrad", "inside", None, "torch.optim"),
        ("adagrad", "inside", None, "optax"),
        ("ftrl", None, "0.5", "torch.optim"),
        ("ftrl", None, "0.5", "optax"),
    }
