"""Each form of each optimizer takes the trajectory of its call in other libraries, or of its equations."""

import numpy as np
import pytest

from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, RULES, descend
from optilab.optimize.rule import formula_rule
from tests.oracles.calls import COUNTERPARTS, FORMS, in_form_of, rule_of
from tests.oracles.libraries import ON_MATRICES, ON_VECTORS, RUN, trajectory

TOLERANCE = 1e-12
"""Of the size of a trajectory."""

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of jax about its own parts


def others(form, library):
    """The forms of the same optimizer that the library has."""
    return [other for other in COUNTERPARTS[library] if other.split()[0] == form.split()[0]]


SAME = [(library, form, form) for library, calls in COUNTERPARTS.items() for form in calls]
ANOTHER = [
    (library, form, others(form, library)[0])
    for library in ("torch.optim", "optax")
    for form in FORMS
    if form not in COUNTERPARTS[library] and others(form, library)
]


@pytest.mark.parametrize(("library", "form", "theirs"), [*SAME, *ANOTHER])
def test_form_is_that_of_the_library(library, form, theirs):
    """Where the library has another form, that form is compared, and is the reason of the difference."""
    rule = in_form_of(theirs, form)
    problems = ON_MATRICES if rule.weights == "matrices" else ON_VECTORS
    expected = [RUN[library](COUNTERPARTS[library][theirs], rule, problem) for problem in problems]
    assert difference(rule, problems, expected) <= TOLERANCE
    if theirs != form:
        assert difference(rule_of(form), problems, expected) > 1e6 * TOLERANCE


def difference(rule, problems, expected):
    """The largest difference to a trajectory, relative to its size."""
    assert all(np.isfinite(points).all() for points in expected)
    pairs = [(trajectory(rule, problem), points) for problem, points in zip(problems, expected, strict=True)]
    return max(abs(ours - theirs).max() / abs(theirs).max() for ours, theirs in pairs)


def test_optax_takes_each_step_of_rprop_one_gradient_late():
    rule = rule_of("rprop")
    late = formula_rule(
        rule.formula.replace("w <- w - D*sign(p)", "w <- w - where(abs(p) > 0, q, 0);  q <- D*sign(p)")
    )
    expected = [RUN["optax"]("rprop(lr)", rule, problem) for problem in ON_VECTORS]
    assert difference(late(**vars(RULES["rprop"](lr=rule.lr))), ON_VECTORS, expected) <= TOLERANCE
    assert difference(rule, ON_VECTORS, expected) > 1e6 * TOLERANCE


def test_optax_computes_the_newest_square_of_adafactor_in_single_precision():
    rule, (problem,) = RULES["adafactor"](lr=0.005, eps=1e-3, step_size="constant"), ON_MATRICES
    theirs = RUN["optax"]("adafactor(lr, 1, eps=eps)", rule, problem)
    assert 1e-12 < abs(trajectory(rule, problem) - theirs).max() < 1e-7


def test_every_optimizer_is_compared_in_different_forms():
    assert {form.split()[0] for form in FORMS} == {*RULES}
    assert len({rule_of(form) for form in FORMS}) == len(FORMS)


@pytest.mark.parametrize("name", [name for name, kind in RULES.items() if kind.weights == "matrices"])
def test_a_rule_for_matrices_is_refused_on_a_function_of_a_vector(name):
    with pytest.raises(UsageError, match=f"{name} needs weight matrices, so it cannot run on a test function"):
        descend(RULES[name](), OBJECTIVES["ravine"]())
