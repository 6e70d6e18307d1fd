"""Generated code against the rule's own lines: the same bits for every rule and function that can be traced."""

import numpy as np
import pytest

from optilab.optimize import OBJECTIVES, RULES, descend
from optilab.optimize import path as trajectory
from optilab.optimize.emit import follow
from optilab.optimize.trace import Untraceable, trace

UNTRACEABLE_RULES = {"lookahead", "newton", "damped-newton", "sophia", "l-bfgs", "conjugate-gradient"}
UNTRACEABLE_FUNCTIONS = {"logistic-regression"}
STEPS = 150


@pytest.mark.parametrize("rule", [name for name, kind in RULES.items() if kind.weights != "matrices"])
def test_a_traced_path_has_the_bits_of_numpy(rule, monkeypatch):
    monkeypatch.setattr(trajectory, "TRACE_FROM", STEPS + 1)
    rule = RULES[rule]()
    for function in (kind() for kind in OBJECTIVES.values()):
        try:
            rows = follow(rule, function, function.start, STEPS)
        except Untraceable:
            continue
        path = descend(rule, function, steps=STEPS)
        assert rows is not None
        for traced, stepped in zip(rows, (path.points, path.values, path.gradients), strict=True):
            assert np.array_equal(traced[: len(stepped)], stepped), function.name


def test_exactly_the_listed_rules_and_functions_cannot_be_traced():
    def untraceable(rule, function):
        try:
            trace(rule, function)
        except Untraceable:
            return True
        return False

    on_functions = {name: rule for name, rule in RULES.items() if rule.weights != "matrices"}
    rules = {name for name, rule in on_functions.items() if untraceable(rule(), OBJECTIVES["ravine"]())}
    functions = {name for name, function in OBJECTIVES.items() if untraceable(RULES["sgd"](), function())}
    assert (rules, functions) == (UNTRACEABLE_RULES, UNTRACEABLE_FUNCTIONS)


def test_a_long_path_diverges_at_the_same_step(monkeypatch):
    rule, function = RULES["momentum"](lr=1.0, beta=0.9), OBJECTIVES["ravine"]()
    long = descend(rule, function, steps=20_000)
    monkeypatch.setattr(trajectory, "TRACE_FROM", 10**9)
    stepped = descend(rule, function, steps=20_000)
    assert long.diverged_at == stepped.diverged_at
    assert long.diverged_at is not None
    assert np.array_equal(long.points, stepped.points)


def test_where_floats_have_no_answer_numpy_has(monkeypatch):
    """Adam without eps from a point without a slope: 0/0 is NaN to NumPy and an exception to plain Python."""
    rule, function = RULES["adam"](lr=0.1, eps=0.0), OBJECTIVES["ravine"]()
    assert follow(rule, function, (0.0, 1.0), 300) is None
    assert descend(rule, function, (0.0, 1.0), steps=300).diverged_at == 1
