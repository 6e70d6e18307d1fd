"""A formula written out over coordinates against the same formula on arrays: the same bits."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, RULES, descend
from optilab.optimize import formula as formulas
from optilab.optimize import path as trajectory
from optilab.optimize.formula import Node
from optilab.optimize.program import evaluate
from optilab.optimize.rule import formula_rule

MATRICES = {"newton", "damped-newton", "sophia", "l-bfgs", "conjugate-gradient"}
"""Rules that need more than single numbers."""
STEPS = 150


@pytest.mark.parametrize("name", [name for name, kind in RULES.items() if kind.weights != "matrices"])
def test_a_written_out_path_has_the_bits_of_arrays(name, monkeypatch):
    monkeypatch.setattr(trajectory, "MIN_STEPS_WRITTEN_OUT", STEPS + 1)
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
    monkeypatch.setattr(trajectory, "MIN_STEPS_WRITTEN_OUT", 10**9)
    stepped = descend(rule, function, steps=20_000)
    assert long.diverged_at == stepped.diverged_at
    assert long.diverged_at is not None
    assert np.array_equal(long.points, stepped.points)


def test_where_floats_have_no_answer_numpy_has():
    """Adam without eps from a point without a slope: 0/0 is NaN to NumPy and an exception to plain Python."""
    rule, function = RULES["adam"](lr=0.1, eps=0.0), OBJECTIVES["ravine"]()
    assert trajectory._written_out(rule, function, (0.0, 1.0), 300) is None
    assert descend(rule, function, (0.0, 1.0), steps=300).diverged_at == 1


def drawn(rng, depth):
    """An expression of whatever a formula may have."""
    if depth == 0:
        return str(rng.choice(["w", "g", "t", "V", "S", "lr", "beta", "f", "1", "2", "0.5"]))
    a, b, c = (drawn(rng, int(rng.integers(depth))) for _ in range(3))
    forms = (
        f"({a} + {b})", f"({a} - {b})", f"{a}*{b}", f"{a}/({b})", f"({a})^2", f"({a})^0.5", f"({a})^3", f"({a})^t",
        f"({a})^-1", f"sqrt({a})", f"abs({a})", f"sign({a})", f"max({a}, {b})", f"where({a} > {b}, {c}, {a})",
        f"clip({a}, -1, {b})", f"sum({a})", f"norm({a})", f"{a} % 3",
    )  # fmt: skip
    return str(rng.choice(forms))


def test_drawn_formulas_have_the_same_bits_on_arrays_and_written_out():
    rng, compared = np.random.default_rng(3), 0
    for _ in range(150):
        formula = f"V0 = {rng.choice(['0', '1', 'lr'])}; V <- {drawn(rng, 2)}; S <- {drawn(rng, 2)}; "
        try:
            kind = formula_rule(f"{formula}d = {drawn(rng, 2)}; w <- w - lr*({drawn(rng, 3)})*d")
        except UsageError:
            continue
        settings = {"lr": 0.01, "beta": 0.9}
        rule = kind(**{field.name: settings[field.name] for field in fields(kind)})
        for name in ("ravine", "rosenbrock"):
            function = OBJECTIVES[name]()
            path = descend(rule, function, steps=30)
            rows = trajectory._written_out(rule, function, function.start, 30)
            if rows is not None:
                assert np.array_equal(rows[0][: len(path.points)], path.points), kind.name
                compared += 1
    assert compared > 100


LEAVES = st.sampled_from(
    [formulas.symbol("x"), formulas.symbol("y"), *map(formulas.number, (-2.0, -1.0, -0.5, 1e-5, 3.0))]
)
BINARY = st.sampled_from(["add", "subtract", "multiply", "divide", "remainder", "power"])
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(lambda op, a, b: Node(op, (a, b)), BINARY, inner, inner)
        | st.builds(lambda a: Node("negative", (a,)), inner)
    ),
    max_leaves=8,
)


@given(node=EXPRESSIONS)
def test_the_text_of_an_expression_is_that_expression(node):
    values = {"w1": np.array([1.7, -3.1]), "w2": np.array([-2.3, 0.7])}
    values |= {"x": values["w1"], "y": values["w2"]}
    with np.errstate(all="ignore"):
        try:
            value = evaluate(node, values)
        except (ArithmeticError, ValueError):  # of a constant such as 0^-1
            return
        np.testing.assert_array_equal(evaluate(formulas.parse(formulas.text(node)), values), value)


def test_a_power_in_latex_takes_the_whole_number():
    square = formulas.parse("x^2")
    assert formulas.latex(square, lambda name: r"1 \cdot 10^{-5}") == r"\left(1 \cdot 10^{-5}\right)^{2}"
