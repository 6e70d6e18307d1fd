"""Recorded code against the rule's own lines: the same bits, for every rule and function that can be recorded."""

import numpy as np
import pytest

from optilab.optimize import ALGORITHMS, FUNCTIONS, descend, trajectory
from optilab.optimize.codegen import NotRecordable
from optilab.optimize.codegen.scalar import follow

NOT_RECORDABLE = {"lookahead", "l-bfgs", "conjugate-gradient", "adopt", "adan", "newton", "damped-newton"}
MATRIX_PRODUCTS = {"quadratic", "logistic-regression"}
STEPS = 150


@pytest.mark.parametrize("rule", ALGORITHMS)
def test_a_recorded_path_has_the_bits_of_numpy(rule, monkeypatch):
    monkeypatch.setattr(trajectory, "WORTH_RECORDING", STEPS + 1)
    rule = ALGORITHMS[rule]()
    for function in (kind() for kind in FUNCTIONS.values()):
        try:
            rows = follow(rule, function, function.start, STEPS)
        except NotRecordable:
            assert rule.name in NOT_RECORDABLE or function.name in MATRIX_PRODUCTS
            continue
        path = descend(rule, function, steps=STEPS)
        assert rows is not None
        for recorded, stepped in zip(rows, (path.points, path.values, path.gradients), strict=True):
            assert np.array_equal(recorded[: len(stepped)], stepped), function.name


def test_most_rules_can_be_recorded():
    assert len(NOT_RECORDABLE & set(ALGORITHMS)) == len(NOT_RECORDABLE)
    assert len(ALGORITHMS) - len(NOT_RECORDABLE) > 25


def test_a_long_path_diverges_at_the_same_step(monkeypatch):
    rule, function = ALGORITHMS["momentum"](lr=1.0, beta=0.9), FUNCTIONS["ravine"]()
    long = descend(rule, function, steps=20_000)
    monkeypatch.setattr(trajectory, "WORTH_RECORDING", 10**9)
    stepped = descend(rule, function, steps=20_000)
    assert long.diverged_at == stepped.diverged_at
    assert long.diverged_at is not None
    assert np.array_equal(long.points, stepped.points)


def test_where_floats_have_no_answer_numpy_has(monkeypatch):
    """Adam without eps from a point without a slope: 0/0 is NaN to NumPy and an exception to plain Python."""
    rule, function = ALGORITHMS["adam"](lr=0.1, eps=0.0), FUNCTIONS["ravine"]()
    assert follow(rule, function, (0.0, 1.0), 300) is None
    assert descend(rule, function, (0.0, 1.0), steps=300).diverged_at == 1
