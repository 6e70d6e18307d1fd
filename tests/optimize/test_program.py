"""A formula written out over coordinates against the same formula on arrays: the same bits."""

import numpy as np
import pytest

from optilab.optimize import OBJECTIVES, RULES, descend
from optilab.optimize import path as trajectory

MATRICES = {"newton", "damped-newton", "sophia", "l-bfgs", "conjugate-gradient"}
"""Rules that need more than single numbers."""
STEPS = 150


@pytest.mark.parametrize("name", [name for name, kind in RULES.items() if kind.weights != "matrices"])
def test_a_written_out_path_has_the_bits_of_arrays(name, monkeypatch):
    monkeypatch.setattr(trajectory, "WRITTEN_FROM", STEPS + 1)
    rule, written = RULES[name](), set()
    for function in (kind() for kind in OBJECTIVES.values()):
        rows = trajectory._written_out(rule, function, function.start, STEPS)
        if rows is None:
            continue
        written.add(function.name)
        path = descend(rule, function, steps=STEPS)
        for row, stepped in zip(rows, (path.points, path.values, path.gradients), strict=True):
            assert np.array_equal(row[: len(stepped)], stepped), function.name
    assert bool(written) == (name not in MATRICES)
    assert not written or OBJECTIVES.keys() - written <= {"logistic-regression", "expression"}


def test_a_long_path_diverges_at_the_same_step(monkeypatch):
    rule, function = RULES["momentum"](lr=1.0, beta=0.9), OBJECTIVES["ravine"]()
    long = descend(rule, function, steps=20_000)
    monkeypatch.setattr(trajectory, "WRITTEN_FROM", 10**9)
    stepped = descend(rule, function, steps=20_000)
    assert long.diverged_at == stepped.diverged_at
    assert long.diverged_at is not None
    assert np.array_equal(long.points, stepped.points)


def test_where_floats_have_no_answer_numpy_has():
    """Adam without eps from a point without a slope: 0/0 is NaN to NumPy and an exception to plain Python."""
    rule, function = RULES["adam"](lr=0.1, eps=0.0), OBJECTIVES["ravine"]()
    assert trajectory._written_out(rule, function, (0.0, 1.0), 300) is None
    assert descend(rule, function, (0.0, 1.0), steps=300).diverged_at == 1
