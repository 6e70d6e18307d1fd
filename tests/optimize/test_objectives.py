"""Test functions against independent numbers: differences, their printed formulas, the literature's minima."""

from dataclasses import fields

import numpy as np
import pytest
from numpy.testing import assert_allclose

from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, expansion, formula, functions, program
from optilab.optimize.functions import Expression

MINIMUM = {  # as the sources print it
    "styblinski-tang": -78.33233,
    "six-hump-camel": -1.0316284,
    "goldstein-price": 3.0,
    "branin": 0.397887,
    "mccormick": -1.9132230,
    "cliff": 0.199786613,
    "easom": -1.0,
    "drop-wave": -1.0,
    "michalewicz": -1.8013034,
    "logistic-regression": 0.18445980,
}
UNBOUNDED = {"saddle", "monkey-saddle"}
TYPED = [
    "w1^3*w2 - w2^2/(w1 + 9)",
    "exp(sin(w1)*w2) + log(2 + w1^2)",
    "sqrt(1 + w1^2 + w2^4)*cos(w1*w2)",
    "tan(w1/9) + sinh(w2)*cosh(w1) - tanh(w1*w2)",
    "abs(w1 - w2)^3 + max(w1, w2^2) + min(w1*w2, 1)",
    "(2 + w1^2)^(w2 - 1) - -w1^2 + 2^-w2",
    "w1 + w2 + w3*w1^2",
    "pi*w1",
]
DIMENSIONS = [(name, kind) for name, kind in OBJECTIVES.items() if "dimension" in [f.name for f in fields(kind)]]
CHAINS = ("rosenbrock", "dixon-price")
CASES = {
    **{name: kind() for name, kind in OBJECTIVES.items()},
    **{f"{name}-5d": kind(dimension=5) for name, kind in DIMENSIONS},
    "rosenbrock-a2-b5": OBJECTIVES["rosenbrock"](a=2.0, b=5.0),
}
every_function = pytest.mark.parametrize("function", CASES.values(), ids=list(CASES))


def drawn(function, *shape):
    """Points of its box."""
    low, high = np.array(function.box).T
    return np.random.default_rng(0).uniform(low, high, (*shape, len(function.start)))


@pytest.mark.parametrize("function", [*CASES.values(), *map(Expression, TYPED)], ids=[*CASES, *TYPED])
def test_derivatives_are_central_differences(function):
    x, h = drawn(function, 40), 1e-6
    hessian = function.hessian(x)
    assert_allclose(hessian, np.swapaxes(hessian, -1, -2))
    for i, axis in enumerate(np.eye(x.shape[-1])):
        slope = (function.value(x + h * axis) - function.value(x - h * axis)) / (2 * h)
        assert_allclose(function.gradient(x)[:, i], slope, rtol=1e-6, atol=1e-6 * (1 + np.abs(slope).max()))
        change = (function.gradient(x + h * axis) - function.gradient(x - h * axis)) / (2 * h)
        assert_allclose(hessian[:, i], change, rtol=1e-6, atol=1e-6 * (1 + np.abs(change).max()))


@every_function
def test_batches_are_single_points(function):
    x = drawn(function, 3, 4)
    d = x.shape[-1]
    for method, shape in ((function.value, ()), (function.gradient, (d,)), (function.hessian, (d, d))):
        assert method(x).shape == (3, 4, *shape)
        assert_allclose(method(x)[1, 2], method(x[1, 2]), rtol=1e-12, atol=1e-12)


@every_function
def test_minima_are_flat_equal_and_lowest(function):
    low, high = np.array(function.box).T
    assert all(np.all((low <= point) & (point <= high)) for point in (function.start, *function.minima))
    assert bool(function.minima) == (function.name not in UNBOUNDED)
    if not function.minima:
        return
    minima = np.array(function.minima)
    values = function.value(minima)
    curvature = np.linalg.norm(function.hessian(minima + 1e-9), axis=(-1, -2))
    assert np.all(np.linalg.norm(function.gradient(minima), axis=-1) <= 1e-9 * (1 + curvature))
    assert_allclose(values, MINIMUM.get(function.name, 0.0) if len(minima[0]) < 4 else values[0], atol=5e-7)
    assert function.value(drawn(function, 20_000)).min() >= values.min() - 1e-12
    around = minima[:, None] + 1e-3 * np.random.default_rng(1).standard_normal((1, 200, minima.shape[-1]))
    assert np.all(function.value(around) > values[:, None])


PRINTED = {
    name: function
    for name, function in CASES.items()
    if not any(mark in function.formula for mark in ("w_i", "w'", "mean of"))  # neighbors, a matrix, data
}


@pytest.mark.parametrize("function", PRINTED.values(), ids=list(PRINTED))
def test_printed_formula_is_the_function(function):
    """As Python reads it."""
    names = {name: getattr(np, name) for name in ("sum", "exp", "sqrt", "sin", "cos", "abs", "pi")}
    names |= {f.name: getattr(function, f.name) for f in fields(function)}
    for x in drawn(function, 20):
        names |= {"w": x, "i": np.arange(1, len(x) + 1), "d": len(x)}
        names |= {f"w{i}": w for i, w in enumerate(x, 1)}
        printed = eval(function.formula.replace("^", "**"), names)
        assert_allclose(function.value(x), printed, rtol=1e-10, atol=1e-12)


WRITTEN_OUT = {
    **{name: function for name, function in CASES.items() if function.nodes() is not None},
    **{
        f"{name}-{d}d": kind(dimension=d)
        for name, kind in DIMENSIONS
        for d in (1, 3, 4)
        if d > 1 or name not in CHAINS
    },
    **{text: Expression(text) for text in [*TYPED, "w5 + w1*w2^2"]},
}


@pytest.mark.parametrize("function", WRITTEN_OUT.values(), ids=list(WRITTEN_OUT))
def test_trees_have_the_bits_of_the_function(function):
    x = 3 * drawn(function, 1000)
    names = [f"w{i + 1}" for i in range(x.shape[-1])]
    value, gradient = function.nodes()
    with np.errstate(all="ignore"):
        assert np.array_equal(expansion.function_of(value, names)(x), function.value(x), equal_nan=True)
        assert np.array_equal(expansion.function_of(gradient, names)(x), function.gradient(x), equal_nan=True)


@pytest.mark.parametrize("function", WRITTEN_OUT.values(), ids=list(WRITTEN_OUT))
def test_gradient_is_the_derivative_of_the_tree(function):
    """`slope` changes the last bits only."""
    x = drawn(function, 20)
    names = [f"w{i + 1}" for i in range(x.shape[-1])]
    slopes = [formula.derivative(function.nodes()[0], name) for name in names]
    assert_allclose(expansion.function_of(slopes, names)(x), function.gradient(x), rtol=1e-9, atol=1e-9)


def test_functions_without_trees():
    without = {name for name, function in CASES.items() if function.nodes() is None}
    assert without == {"logistic-regression", *(name for name in CASES if name.endswith("-5d"))}


def test_enough_functions_are_tested():
    assert len(OBJECTIVES) >= 31
    assert len(PRINTED) >= 24


def test_quadratic_has_its_condition_and_rotation():
    assert_allclose(np.linalg.eigvalsh(functions.Quadratic(condition=50.0, dimension=4).matrix)[[0, -1]], [1, 50])
    assert_allclose(functions.Quadratic(rotation=0.0).matrix, np.diag([1.0, 100.0]))
    assert_allclose(functions.Quadratic(condition=9.0, rotation=45.0).matrix, [[5, 4], [4, 5]])


def test_iris_data_is_fishers_table():
    """Fisher 1936, table III: means and standard deviations of the petals of two species."""
    table = np.array(functions._PETALS.split(), dtype=float).reshape(2, 50, 2) / 10
    assert functions.LogisticRegression().signed_inputs.shape == (100, 3)
    assert_allclose(table.mean(axis=1), [[4.26, 1.326], [5.552, 2.026]])
    assert_allclose(table.std(axis=1, ddof=1), [[0.469911, 0.197753], [0.551895, 0.274650]], atol=1e-6)


# --- typed formulas ----------------------------------------------------------------------------------------


def test_typed_formula_of_a_known_function():
    """It has the numbers, the start, the box and the minima of that function."""
    typed, ravine = Expression("0.1 x^2 + 2 y^2"), OBJECTIVES["ravine"]()
    x = drawn(ravine, 30)
    for name in ("value", "gradient", "hessian"):
        assert_allclose(getattr(typed, name)(x), getattr(ravine, name)(x))
    assert (typed.start, typed.box, typed.minima) == (ravine.start, ravine.box, ravine.minima)
    assert Expression("0.1*x^2 + 2.5*y^2").start == (-1.0, 1.0)


def test_a_typed_formula_is_one_line():
    assert Expression("x^2\n+ y^2") == Expression("x^2\r\n+ y^2\n") == Expression("x^2 + y^2")


def test_whole_power_is_a_product():
    x = np.linspace(-2, 2, 41)
    for n in range(1, 24):
        assert_allclose(expansion.power(x, n), x**n, rtol=1e-14)
        typed = expansion.function_of(formula.parse(f"w1^{n}"), ["w1"])
        assert_allclose(typed(x[:, None]), expansion.power(x, n), rtol=0)


@pytest.mark.parametrize(
    "source", ["a - (b - c)", "a/(b*c)", "-(a + b)^2", "(a^b)^c", "a^b^c", "2^-a", "a*(b + c)/d", "(-a)^2"]
)
def test_printed_tree_is_read_again(source):
    tree = formula.parse(source)
    assert formula.parse(formula.text(tree)) == tree


@pytest.mark.parametrize(
    "text", ["", "(" * 300 + "w1" + ")" * 300, "-" * 500 + "w1", "w1+" * 150 + "w1", "w" * 3000], ids=len
)
def test_what_is_too_long_is_refused(text):
    """Other wrong formulas: tests/recorded/transcripts/formulas.txt."""
    with pytest.raises(UsageError):
        Expression(text)


def test_a_gradient_is_stated_only_where_calculus_has_no_value():
    stated = {name: kind() for name, kind in OBJECTIVES.items() if getattr(kind, "slope", "")}
    assert list(stated) == ["ackley", "drop-wave"]
    for function in stated.values():
        center = dict.fromkeys(("w1", "w2"), np.float64(0))
        with np.errstate(all="ignore"):
            assert np.isnan(program.evaluate(formula.derivative(function.nodes()[0], "w1"), center))
        assert np.array_equal(function.gradient(np.zeros(2)), np.zeros(2))
