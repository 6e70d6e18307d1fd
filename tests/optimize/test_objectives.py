"""Every test function against independent numbers: differences, its printed formula, the literature's minima."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, formula
from optilab.optimize.families import LogisticRegression, Quadratic
from optilab.optimize.formula import parse, power
from optilab.optimize.objective import Expression, Formula
from tests.optimize.handwritten import HANDWRITTEN

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
CONES = {"abs-ravine", "ackley"}  # the minimum is a kink; the gradient there is 0 by definition
UNBOUNDED = {"saddle", "monkey-saddle"}
CASES = {name: kind() for name, kind in OBJECTIVES.items()} | {
    f"{name}-5d": OBJECTIVES[name](dimension=5)
    for name in OBJECTIVES
    if any(f.name == "dimension" for f in fields(OBJECTIVES[name]))
}
CASES["rosenbrock-a2-b5"] = OBJECTIVES["rosenbrock"](a=2.0, b=5.0)

every_function = pytest.mark.parametrize("function", CASES.values(), ids=list(CASES))


def points(function: Any, *shape: int, seed: int = 0) -> Any:
    low, high = np.array(function.box).T
    return np.random.default_rng(seed).uniform(low, high, (*shape, len(function.start)))


@pytest.mark.parametrize("n", range(1, 24))
def test_a_whole_power_is_a_product(n: int) -> None:
    x = np.linspace(-2, 2, 41)
    assert_allclose(power(x, n), x**n, rtol=1e-14)
    assert_allclose(formula.evaluate(formula.parse(f"w1^{n}"), {"w1": x}), power(x, n), rtol=0)


@every_function
def test_gradient_is_the_central_difference(function: Any) -> None:
    x, h = points(function, 50), 1e-6
    for i, axis in enumerate(np.eye(x.shape[-1])):
        slope = (function.value(x + h * axis) - function.value(x - h * axis)) / (2 * h)
        assert_allclose(function.gradient(x)[:, i], slope, rtol=1e-6, atol=1e-6 * (1 + np.abs(slope).max()))


@every_function
def test_hessian_is_the_central_difference_of_the_gradient(function: Any) -> None:
    x, h = points(function, 20), 1e-6
    hessian = function.hessian(x)
    assert_allclose(hessian, np.swapaxes(hessian, -1, -2))
    for i, axis in enumerate(np.eye(x.shape[-1])):
        change = (function.gradient(x + h * axis) - function.gradient(x - h * axis)) / (2 * h)
        assert_allclose(hessian[:, i], change, rtol=1e-6, atol=1e-6 * (1 + np.abs(change).max()))


@every_function
def test_batches_are_the_single_points(function: Any) -> None:
    x = points(function, 3, 4)
    d = x.shape[-1]
    value, gradient, hessian = function.value(x), function.gradient(x), function.hessian(x)
    assert (value.shape, gradient.shape, hessian.shape) == ((3, 4), (3, 4, d), (3, 4, d, d))
    assert_allclose(value[1, 2], function.value(x[1, 2]), rtol=1e-14)
    assert_allclose(gradient[1, 2], function.gradient(x[1, 2]), rtol=1e-12, atol=1e-12)
    assert_allclose(hessian[1, 2], function.hessian(x[1, 2]), rtol=1e-12, atol=1e-12)


@every_function
def test_minima_are_flat_equal_and_the_lowest_of_the_box(function: Any) -> None:
    if not function.minima:
        assert function.name in UNBOUNDED
        return
    minima = np.array(function.minima)
    values = function.value(minima)
    curvature = np.linalg.norm(function.hessian(minima + 1e-9), axis=(-1, -2))
    assert np.all(np.linalg.norm(function.gradient(minima), axis=-1) <= 1e-9 * (1 + curvature))
    assert_allclose(values, MINIMUM.get(function.name, 0.0) if len(minima[0]) < 4 else values[0], atol=5e-7)
    assert function.value(points(function, 20_000)).min() >= values.min() - 1e-12
    around = minima[:, None] + 1e-3 * np.random.default_rng(1).standard_normal((1, 200, minima.shape[-1]))
    assert np.all(function.value(around) > values[:, None])


@every_function
def test_start_and_minima_lie_in_the_box(function: Any) -> None:
    low, high = np.array(function.box).T
    for point in (function.start, *function.minima):
        assert len(point) == len(function.box)
        assert np.all((low <= point) & (point <= high))


@every_function
def test_the_printed_formula_is_the_function(function: Any) -> None:
    if any(mark in function.formula for mark in ("w_i", "w'", "mean of")):  # a free dimension, a matrix, data
        assert function.name not in ("ravine", "beale")
        return
    x = points(function, 20)
    values = {f.name: getattr(function, f.name) for f in fields(function) if f.name != "formula"}
    values |= {f"w{i + 1}": x[:, i] for i in range(x.shape[-1])}
    tree = formula.parse(function.formula)
    assert_allclose(formula.evaluate(tree, values), function.value(x), rtol=1e-10, atol=1e-12)
    for i in range(x.shape[-1]):
        slope = formula.evaluate(formula.derivative(tree, f"w{i + 1}"), values)
        assert_allclose(slope, function.gradient(x)[:, i], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", HANDWRITTEN)
def test_an_executed_formula_has_the_bits_of_code_written_by_hand(name: str) -> None:
    """Also of its gradient, on which every published path depends."""
    function, code = OBJECTIVES[name](), HANDWRITTEN[name]
    for far in (1, 10):
        x = far * points(function, 500)
        with np.errstate(all="ignore"):
            assert np.array_equal(function.value(x), code.value(x), equal_nan=True)
            assert np.array_equal(function.gradient(x), code.gradient(x), equal_nan=True)


def test_every_formula_that_is_executed_is_compared() -> None:
    assert {name for name, kind in OBJECTIVES.items() if issubclass(kind, Formula)} == {*HANDWRITTEN, "expression"}


def test_every_function_has_a_source() -> None:
    assert all(len(kind.source) > 5 for kind in OBJECTIVES.values())
    assert len(OBJECTIVES) >= 31


def test_quadratic_has_its_condition_and_rotation() -> None:
    assert_allclose(np.linalg.eigvalsh(Quadratic(condition=50.0, dimension=4).matrix)[[0, -1]], [1, 50])
    assert_allclose(Quadratic(rotation=0.0).matrix, np.diag([1.0, 100.0]))
    turned = Quadratic(condition=9.0, rotation=45.0).matrix
    assert_allclose(turned, [[5, 4], [4, 5]])


def test_the_irises_are_fishers() -> None:
    petals = np.abs(LogisticRegression().signed_inputs)
    assert petals.shape == (100, 3)
    from optilab.optimize.families import _PETALS

    table = np.array(_PETALS.split(), dtype=float).reshape(2, 50, 2) / 10
    assert_allclose(table.mean(axis=1), [[4.26, 1.326], [5.552, 2.026]])  # as in Fisher 1936, table III
    assert_allclose(table.std(axis=1, ddof=1), [[0.469911, 0.197753], [0.551895, 0.274650]], atol=1e-6)


class TestExpression:
    def test_equals_the_ravine(self) -> None:
        typed, ravine = Expression("0.1*w1**2 + 2*w2**2"), OBJECTIVES["ravine"]()
        x = points(ravine, 30)
        assert_allclose(typed.value(x), ravine.value(x))
        assert_allclose(typed.gradient(x), ravine.gradient(x))
        assert_allclose(typed.hessian(x), ravine.hessian(x))

    @pytest.mark.parametrize(
        "text",
        [
            "w1^3*w2 - w2^2/w1",
            "exp(sin(w1)*w2) + log(2 + w1^2)",
            "sqrt(1 + w1^2 + w2^4)*cos(w1*w2)",
            "tan(w1/9) + sinh(w2)*cosh(w1) - tanh(w1*w2)",
            "abs(w1 - w2)^3 + max(w1, w2^2) + min(w1*w2, 1)",
            "(2 + w1^2)^(w2 - 1) - -w1^2 + 2^-w2",
            "w1 + w2 + w3*w1^2",
            "pi*w1",
        ],
    )
    def test_derivatives(self, text: str) -> None:
        function = Expression(text)
        x, h = points(function, 40, seed=3), 1e-6
        for i, axis in enumerate(np.eye(x.shape[-1])):
            slope = (function.value(x + h * axis) - function.value(x - h * axis)) / (2 * h)
            assert_allclose(function.gradient(x)[:, i], slope, rtol=1e-5, atol=1e-6)
            bend = (function.gradient(x + h * axis) - function.gradient(x - h * axis)) / (2 * h)
            assert_allclose(function.hessian(x)[:, i], bend, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        ("text", "plain"),
        [
            ("lambda: w1", "w1"),
            ("f(x, y) = x^2", r"x\^2"),
            ("x^2 + y^2 = 0", r"x\^2 \+ y\^2"),
            ("x²·y³", r"x\^2\*y\^3"),
        ],
    )
    def test_a_formula_with_more_around_it_is_told_the_formula(self, text: str, plain: str) -> None:
        with pytest.raises(UsageError, match=f"is no formula as it stands; write {plain}$"):
            Expression(text)
        with pytest.raises(
            UsageError, match=r"'my.py:f' is code, and a function is a formula, for example x\^2\+y\^2"
        ):
            Expression("my.py:f")

    @pytest.mark.parametrize(
        ("text", "column", "said"),
        [
            ("0.1*w1**", 9, r"'0.1\*w1\*\*' ends in \*; add what follows it, or leave \* out"),
            ("w1 + sqr(w2)", 6, 'did you mean "sqrt"'),
            ("w1 + __import__('os')", 6, "unknown function"),
            ("w1^2 + w1.real", 8, "not accepted"),
            ("w1 + q", 6, 'unknown name "q"'),
            ("w1^2^2 + w0", 10, 'unknown name "w0"'),
            ("x^2 + 3xy + y^2", 8, r'unknown name "xy"; write x\*y'),
            ("w1 € w2", 4, "unexpected character"),
            ("w1 + (w2", 6, r"\( has no \); add it, or leave \( out"),
            ("w1 if w2 else 3", 1, "not accepted"),
            ("[w1]", 1, "not accepted"),
            ("w1 < w2", 1, "not accepted"),
            ("2*1j", 3, "not accepted"),
            ("2*True", 3, "not accepted"),
            ("w1 + min(w1)", 6, "takes 2"),
            ("1e999*w1", 1, "not accepted"),
            ("w1 + import", 6, "cannot be read from 'import' on"),
        ],
    )
    def test_what_is_not_accepted_is_named_with_its_column(self, text: str, column: int, said: str) -> None:
        with pytest.raises(UsageError, match=f"column {column}: .*{said}"):
            Expression(text)

    def test_an_empty_formula_is_told_what_to_write(self) -> None:
        with pytest.raises(UsageError, match=r"the formula is empty; write for example x\^2 \+ y\^2"):
            Expression("")

    @pytest.mark.parametrize(
        "text", ["(" * 300 + "w1" + ")" * 300, "-" * 500 + "w1", "w1+" * 150 + "w1", "w" * 3000]
    )
    def test_too_much_is_an_error_too(self, text: str) -> None:
        with pytest.raises(UsageError):
            Expression(text)

    def test_text_round_trips(self) -> None:
        for source in (
            "a - (b - c)",
            "a/(b*c)",
            "-(a + b)^2",
            "(a^b)^c",
            "a^b^c",
            "2^-a",
            "a*(b + c)/d",
            "(-a)^2",
        ):
            tree = formula.parse(source)
            assert formula.parse(formula.text(tree)) == tree


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("0.1 w1^2 + 2 w2^2", "0.1*w1^2 + 2*w2^2"),
        ("2(w1 + 1)^2", "2*(w1 + 1)^2"),
        ("3x^2y", "3*x^2*y"),
        ("(1 - x)(1 + y)", "(1 - x)*(1 + y)"),
        ("1e-3 x + 2e1y", "0.001*x + 20*y"),
        ("2 sin(x) cos(y)", "2*sin(x)*cos(y)"),
        ("pi x (x + 1)", "pi*x*(x + 1)"),
        ("exp(-x^2)sin(3x)", "exp(-x^2)*sin(3*x)"),
        ("w1(w2 + 1)", "w1*(w2 + 1)"),
    ],
)
def test_two_factors_need_no_sign_between_them(typed, written):
    assert parse(typed) == parse(written)


@pytest.mark.parametrize("text", ["2 3", "x 2", "sin x", "foo(x)", "2 ** ** x", "x + * y"])
def test_what_is_no_product_on_paper_is_refused(text):
    with pytest.raises(UsageError, match="column"):
        parse(text)


def test_a_typed_formula_of_a_known_function_has_its_start_box_and_minima():
    typed, ravine = Expression("0.1 x^2 + 2 y^2"), OBJECTIVES["ravine"]()
    assert (typed.start, typed.box, typed.minima) == (ravine.start, ravine.box, ravine.minima)
    other = Expression("0.1*x^2 + 2.5*y^2")
    assert other.start == (-1.0, 1.0)


DOMAINS = {
    "sphere": (5.12, 5.12), "booth": (10, 10), "matyas": (10, 10), "beale": (4.5, 4.5), "dixon-price": (10, 10),
    "himmelblau": (5, 5), "three-hump-camel": (5, 5), "six-hump-camel": (3, 2), "goldstein-price": (2, 2),
    "styblinski-tang": (5, 5), "rastrigin": (5.12, 5.12), "levy13": (10, 10),
    "zakharov": ((-5, 10), (-5, 10)), "branin": ((-5, 10), (0, 15)), "mccormick": ((-1.5, 4), (-3, 4)),
    "michalewicz": ((0, np.pi), (0, np.pi)),
}  # fmt: skip
"""Where the functions are usually looked at (Surjanovic and Bingham 2013; Himmelblau: Jamil and Yang 2013)."""


@pytest.mark.parametrize("name", DOMAINS)
def test_a_search_box_is_the_published_domain(name):
    sides = [side if isinstance(side, tuple) else (-side, side) for side in DOMAINS[name]]
    assert OBJECTIVES[name]().box == tuple(sides)
