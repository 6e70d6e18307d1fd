"""Paths calculated in Chromium against `descend`: the same bits where only + - * / and sqrt are in them."""

from dataclasses import fields, replace

import numpy as np
import pytest

from optilab.optimize import OBJECTIVES, RULES, descend, theory
from optilab.optimize.emit import POWERS, ground_source, path_source, stability_source, switches, value_source
from optilab.optimize.formula import operations
from optilab.optimize.path import NUDGE
from optilab.optimize.trace import Untraceable, axes_of, trace
from tests.optimize.test_emit import UNTRACEABLE_FUNCTIONS, UNTRACEABLE_RULES

pytestmark = pytest.mark.browser

STEPS = 60
LIBRARY = {"exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh"}
"""Operations whose last bits are the library's own."""
CHOSEN = {  # smooth and exact, with a curved valley, with a kink, with exp, with cos, of one and of three variables
    "ravine": OBJECTIVES["ravine"](),
    "rosenbrock": OBJECTIVES["rosenbrock"](),
    "himmelblau": OBJECTIVES["himmelblau"](),
    "abs-ravine": OBJECTIVES["abs-ravine"](),
    "ackley": OBJECTIVES["ackley"](),
    "rastrigin": OBJECTIVES["rastrigin"](),
    "line": OBJECTIVES["expression"](formula="w1^2/2 + 0.1*w1^4"),
    "three": OBJECTIVES["quadratic"](dimension=3),
}

PATHS = """
const [programs, steps] = arguments;
return programs.map(([source, settings, point, f]) => {
  const d = point.length, width = 2 * d + 1;
  const rows = new Float64Array((steps + 1) * width), other = new Float64Array(d + 1);
  const run = (0, eval)(source), value = (0, eval)(f);
  const ground = (step, rows, at) => {
    value(...rows.subarray(at, at + d), rows, at + d);
    return step && !rows.subarray(at, at + width).every(Number.isFinite) ? null : rows.slice(at + d + 1, at + width);
  };
  const slope = (i, ...point) => (value(...point, other, 0), other[1 + i]);
  return Array.from(rows.subarray(0, run(steps, settings, point, rows, ground, slope) * width));
});
"""


def numbers(rule):
    """The fields of a rule that a page can move."""
    return [field.name for field in fields(rule) if type(getattr(rule, field.name)) is float]


def is_exact(rule, function):
    """Whether a path consists of operations that IEEE 754 defines to the last bit."""
    program = trace(rule, function)
    start, _ = operations(program.first, "first")
    body, ends = operations([program.value, *program.gradient, *program.point_after, *program.state_after])
    after = ends[1 + 2 * len(program.points) :]
    axes = axes_of(program, body, after, dict.fromkeys(program.points, frozenset("x")))
    # NumPy multiplies, or takes a root, where an array has one of the exponents 2, 1, 0.5 and -1.
    powers = [o for o in body if o.op == "power" and not (axes[o.name] and o.args[1] in POWERS)]
    return not powers and not LIBRARY & {operation.op for operation in (*start, *body)}


def neighbour(rule, function, like, steps, start):
    """The path of a start that is 64 units in the last place away, as many rows as `like` has."""
    path = descend(rule, function, start + NUDGE * np.where(start == 0, 1, np.abs(start)), steps)
    rows = np.column_stack([path.points, path.values, path.gradients])[: len(like)]
    return np.concatenate([rows, like[len(rows) :]])


def agreeing(rule, function, rows, steps=STEPS, start=None):
    """Assert that rows (n, 2d + 1) from the browser are those of `descend`; how many were compared, and of how many.

    All of them, with the same bits, where IEEE 754 defines them; else within 1e-12 up to the step from which rounding
    decides the path.
    """
    start = np.array(function.start if start is None else start)
    path = descend(rule, function, start, steps)
    own = np.column_stack([path.points, path.values, path.gradients])
    if is_exact(rule, function):
        assert np.array_equal(rows, own)
        return len(own), len(own)
    size = np.abs(own).max(axis=0)
    apart = (np.abs(own - neighbour(rule, function, own, steps, start)) / size).max(axis=1)
    end = int(np.argmax(apart > 1000 * NUDGE)) or len(own)
    assert (np.abs(rows[:end] - own[:end]) <= 1e-12 * size).all()
    return end, len(own)


TRACED_RULES = [
    name for name, kind in RULES.items() if name not in UNTRACEABLE_RULES and kind.weights != "matrices"
]


def programs(rule, functions):
    """Sources, settings and starts for PATHS."""
    for function in functions:
        off = switches(rule, numbers(rule))
        moved = [name for name in numbers(rule) if name not in off]
        source = path_source(rule, len(function.start), moved)
        yield [source, [getattr(rule, name) for name in moved], function.start, ground_source(function)]


@pytest.mark.parametrize("name", TRACED_RULES)
def test_a_path_in_the_browser_is_that_of_descend(name, page):
    """Where other operations are involved: within 1e-12, up to the step from which rounding decides the path."""
    rule = RULES[name]()
    paths = page.script(PATHS, list(programs(rule, CHOSEN.values())), STEPS)
    compared = total = 0
    for function, flat in zip(CHOSEN.values(), paths, strict=True):
        rows = np.array(flat, dtype=float).reshape(-1, 2 * len(function.start) + 1)
        equal, count = agreeing(rule, function, rows)
        compared, total = compared + equal, total + count
    assert compared > 0.5 * total


def test_most_of_them_are_compared_bit_by_bit():
    exact = {(name, key) for name in TRACED_RULES for key in CHOSEN if is_exact(RULES[name](), CHOSEN[key])}
    assert {key for name, key in exact if name == "momentum"} == {*CHOSEN} - {"ackley", "rastrigin"}
    assert len(exact) > len(TRACED_RULES) * len(CHOSEN) / 3
    assert ("adam", "ravine") not in exact  # beta^t is a power


@pytest.mark.parametrize("function", [name for name in OBJECTIVES if name not in UNTRACEABLE_FUNCTIONS])
def test_every_function_has_its_values_in_the_browser(function, page):
    function = OBJECTIVES[function]()
    low, high = np.array(function.box).T
    points = np.random.default_rng(1).uniform(low, high, (50, len(low)))
    found = page.script(
        "const f = (0, eval)(arguments[0]); return arguments[1].map((p) => f(...p))",
        value_source(function),
        points.tolist(),
    )
    values = function.value(points)
    np.testing.assert_allclose(found, values, rtol=1e-12, atol=1e-12 * np.abs(values).max())


def test_a_path_that_overflows_ends_where_that_of_descend_does(page):
    rule, ravine = RULES["momentum"](lr=1.8), OBJECTIVES["ravine"]()
    path = descend(rule, ravine, steps=5000)
    assert path.diverged_at is not None
    (flat,) = page.script(PATHS, list(programs(rule, [ravine])), 5000)
    assert np.array_equal(np.reshape(flat, (-1, 5))[:, :2], path.points)


def test_a_setting_that_switches_a_part_on_is_found(page):
    rmsprop = RULES["rmsprop"]()
    ravine = OBJECTIVES["ravine"]()
    assert switches(rmsprop, numbers(rmsprop)) == ["momentum"]
    moving = replace(rmsprop, lr=0.1, momentum=0.5)
    settings = numbers(moving)
    source = path_source(rmsprop, 2, settings)  # made with another value of it
    values = [getattr(moving, key) for key in settings]
    (flat,) = page.script(PATHS, [[source, values, ravine.start, ground_source(ravine)]], 30)
    assert np.array_equal(np.reshape(flat, (-1, 5))[:, :2], descend(moving, ravine, steps=30).points)


@pytest.mark.parametrize("form", ["classic", "ema"])
@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "qhm"])
def test_the_limit_and_the_rates_in_the_browser_are_those_of_theory(name, form, page):
    rule = RULES[name]()
    rule = replace(rule, form=form) if hasattr(rule, "form") else rule
    function = OBJECTIVES["quadratic"](condition=30.0)
    eigenvalues = theory.curvatures(function)
    source = stability_source(rule, len(eigenvalues), numbers(rule))
    for lr in (0.001, 0.05, 0.4):
        moved = replace(rule, lr=lr)
        settings = [getattr(moved, key) for key in numbers(rule)]
        limit, *rates = page.script(
            "return (0, eval)(arguments[0])(arguments[1], arguments[2])", source, settings, eigenvalues.tolist()
        )
        predicted = theory.predict(moved, function)
        assert limit == predicted.largest_lr
        assert max(rates) == predicted.rate


def test_what_has_no_counterpart_is_named():
    class CubeRoot(type(OBJECTIVES["ravine"]())):
        def value(self, x):
            return np.cbrt(x[..., 0])

    with pytest.raises(Untraceable, match="cbrt has no counterpart in JavaScript"):
        value_source(CubeRoot())


def test_the_sign_of_what_is_no_number_is_none(page):
    function = OBJECTIVES["expression"](formula="sign(sqrt(w1)) + w2")
    with np.errstate(all="ignore"):
        assert np.isnan(function.value(np.array([-1.0, 0.0])))
    assert page.script("return String((0, eval)(arguments[0])(-1, 0))", value_source(function)) == "NaN"
