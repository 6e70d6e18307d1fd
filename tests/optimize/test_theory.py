"""Theory against the rules themselves: the matrix is one step, the rate is measured, the edge is an edge."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from optilab.optimize import OBJECTIVES, RULES, Status, descend
from optilab.optimize.path import late_rise, measured_rate, worked_steps
from optilab.optimize.rule import formula_rule
from optilab.optimize.theory import (
    best_rates,
    curvatures,
    frozen_step,
    linear_step,
    motions,
    predict,
    spectral_radius,
    stability_limit,
)

RAVINE = OBJECTIVES["ravine"]()
CURVATURES = np.array([0.2, 4.0])
LINEAR = [
    RULES["sgd"](lr=0.3),
    RULES["momentum"](lr=0.2, beta=0.7),
    RULES["momentum"](lr=0.9, beta=0.7, form="ema"),
    RULES["nesterov"](lr=0.2, beta=0.7),
    RULES["nesterov"](lr=0.9, beta=0.7, form="ema"),
    RULES["qhm"](lr=0.4, beta=0.9, nu=0.6),
]
every_linear_rule = pytest.mark.parametrize("rule", LINEAR, ids=str)


def test_curvatures_of_quadratics_alone():
    quadratic = {name for name, kind in OBJECTIVES.items() if curvatures(kind()) is not None}
    assert {"ravine", "sphere", "quadratic", "booth", "matyas"} <= quadratic
    assert not quadratic & {"rosenbrock", "himmelblau", "saddle", "abs-ravine", "ackley", "beale", "rastrigin"}
    np.testing.assert_allclose(curvatures(RAVINE), CURVATURES)
    far_kinks = ("x^2 + y^2 + 9*max(0, abs(x) - 6)^2", "x^2 + max(y, -3)^2", "x^2 + max(0, abs(x - 50) - 40)")
    for formula in ("w1^4", "w1^2 - w2^2", "w1^2 + 0*w2", "abs(w1 - 1) + w1^2", "max(w1, 0) + w1^2", *far_kinks):
        assert curvatures(OBJECTIVES["expression"](formula=formula)) is None


def test_a_quadratic_of_many_coordinates_has_its_curvatures():
    many = OBJECTIVES["quadratic"](dimension=60, condition=10.0)
    np.testing.assert_allclose(curvatures(many), np.geomspace(1, 10, 60))


@pytest.mark.parametrize(
    ("formula", "minimum", "eigenvalues"),
    [
        ("0.1*w1^2 + 2*w2^2", (0, 0), (0.2, 4)),
        ("x^2 + y^2 - 2*x", (1, 0), (2, 2)),
        ("(w1 - 3)^2/7", (3,), (2 / 7,)),
        ("(w1 + 2*w2 - 7)^2 + (2*w1 + w2 - 5)^2", (1, 3), (2, 18)),
        ("w1^2 + w2^2 + w3^2 + 2*w4^2 + 3*w5^2", (0, 0, 0, 0, 0), (2, 2, 2, 4, 6)),
    ],
)
def test_typed_quadratic_is_a_quadratic(formula, minimum, eigenvalues):
    function = OBJECTIVES["expression"](formula=formula)
    np.testing.assert_allclose(function.minima, [minimum], atol=1e-12)
    np.testing.assert_allclose(curvatures(function), eigenvalues)


@pytest.mark.parametrize(
    ("formula", "minima"),
    [
        ("x^4 - x^2", [(-(0.5**0.5),), (0.5**0.5,)]),
        ("x^4 - 3*x^2 + x", [(-1.3008395659415772,)]),
        ("w1^2 + 3*w2^4", [(0, 0)]),
        ("abs(x - 1/3) + 2*abs(y)", [(1 / 3, 0)]),
        ("(1 - w1)^2 + 100*(w2 - w1^2)^2 + 0*w1", [(1, 1)]),
        ("min(x^2, (x - 1)^2)", [(0,), (1,)]),
        *((formula, []) for formula in ("x^3", "exp(x)", "log(x)", "1/x^2", "(x - y)^4", "x^2*y^2")),
    ],
)
def test_minima_of_typed_functions(formula, minima):
    """A function that falls towards the edge of the box, or is lowest along a line, has none."""
    computed = OBJECTIVES["expression"](formula=formula).minima
    assert len(computed) == len(minima)
    assert np.allclose(computed, minima, rtol=0, atol=1e-12)


def update_matrices(rule, eigenvalues):
    return linear_step(rule).matrices(rule.lr, eigenvalues)


@every_linear_rule
def test_matrix_is_one_step(rule):
    """Powers of the matrix, by NumPy's general eigenvalues and products, against a path on the ravine."""
    matrices = update_matrices(rule, CURVATURES)
    path = descend(rule, RAVINE, steps=12)
    for axis, start in enumerate((-5.0, -2.0)):
        power = np.linalg.matrix_power(matrices[axis], 12) @ [start, 0.0]
        assert power[0] == pytest.approx(path.points[-1, axis], rel=1e-10)
    radii = np.abs(np.linalg.eigvals(matrices)).max(axis=-1)
    np.testing.assert_allclose(spectral_radius(matrices), radii, rtol=1e-7)


@every_linear_rule
def test_rate_is_the_measured_one(rule):
    distances = np.linalg.norm(descend(rule, RAVINE, steps=600).points, axis=-1)
    measured = (distances[500:].max() / distances[100:200].max()) ** (1 / 400)
    assert measured == pytest.approx(predict(rule, RAVINE).rate, rel=0.005)


@pytest.mark.parametrize("rule", [*LINEAR, RULES["sgd"](lr=0.55), RULES["momentum"](lr=1.2, beta=0.4)], ids=str)
def test_coordinate_oscillates_with_the_period_of_its_factor(rule):
    """The number of sign changes in 400 steps along each axis of the ravine, and how its largest values change."""
    path = descend(rule, RAVINE, steps=400).points
    for axis, motion in enumerate(motions(rule, RAVINE)):
        assert motion.curvature == pytest.approx(CURVATURES[axis])
        np.testing.assert_allclose(np.abs(motion.direction), np.eye(2)[axis])
        along = path[np.abs(path[:, axis]) > 1e-290, axis]
        changes = np.count_nonzero(np.diff(np.sign(along)))
        assert changes == pytest.approx(2 * (len(along) - 1) / motion.period, abs=1.5)
        window = 40
        early, late = (np.abs(part).max() for part in (along[window : 2 * window], along[-window:]))
        steps = len(along) - 2 * window
        assert (late / early) ** (1 / steps) == pytest.approx(abs(motion.factor), rel=0.01)


def test_frozen_step_of_adam_has_a_motion():
    """Its coordinates swing; while S grows they swing more slowly. A turned quadratic has no axes along coordinates."""
    rule = RULES["adam"](lr=0.2)
    states = [
        {line.target: line.value for line in step.statements if line.is_state and line.target != "w"}
        for step in islice(worked_steps(rule, RAVINE), 5)
    ]
    periods = [[m.period for m in motions(rule, RAVINE, frozen_step(rule, s, t))] for t, s in enumerate(states, 1)]
    assert np.all(np.diff(periods, axis=0) > 0)
    flat, steep = motions(RULES["sgd"](lr=0.1), OBJECTIVES["booth"]())
    assert (flat.factor, steep.factor) == (pytest.approx(0.8), pytest.approx(-0.8))
    assert np.abs(flat.direction) == pytest.approx([0.5**0.5] * 2)
    assert motions(rule, RAVINE) == motions(RULES["sgd"](), OBJECTIVES["rosenbrock"]()) == []


@every_linear_rule
def test_limit_is_an_edge(rule):
    limit = predict(rule, RAVINE).largest_lr
    inside, outside = (descend(replace(rule, lr=limit * factor), RAVINE, steps=4000) for factor in (0.99, 1.01))
    assert (inside.status, outside.status) == (Status.CONVERGED, Status.DIVERGED)


@pytest.mark.parametrize("rule", LINEAR[:5], ids=str)
@pytest.mark.parametrize("function", ["ravine", "quadratic"])
def test_no_setting_beats_the_best(rule, function):
    function = OBJECTIVES[function]()
    prediction, eigenvalues = predict(rule, function), curvatures(function)

    def largest_radius(**settings):
        return spectral_radius(update_matrices(replace(rule, **settings), eigenvalues)).max(axis=-1)

    assert largest_radius(**prediction.best) == pytest.approx(prediction.best_rate, rel=1e-6)
    fine = {"lr": np.linspace(0.02, 1.5, 400)[:, None, None] * prediction.best["lr"] * 1.3}
    if "beta" in prediction.best:
        fine["beta"] = np.linspace(0, 0.99, 300)[None, :, None]
    assert prediction.best_rate - 1e-9 < largest_radius(**fine).min() < prediction.best_rate + 0.02


@pytest.mark.parametrize("rule", [RULES["sgd"](lr=0.6), RULES["momentum"](lr=0.95, beta=0.8)], ids=str)
def test_start_without_an_unstable_part_converges(rule):
    """The ravine's steep axis is w2; only its curvature is too large for this lr."""
    for start, share in (((-5.0, 0.0), 0.0), ((-3.0, 4.0), 0.8)):
        prediction = predict(rule, RAVINE, start)
        assert not prediction.stable
        assert prediction.unstable_fraction == pytest.approx(share)
        status = descend(rule, RAVINE, start, steps=1000).status
        assert status is (Status.DIVERGED if share else Status.CONVERGED)


def test_double_eigenvalue_falls_more_slowly():
    """At the best settings of momentum distance/(k*rate^k) is constant in the end, distance/rate^k is not."""
    rule = replace(RULES["momentum"](), **predict(RULES["momentum"](), RAVINE).best)
    prediction, k = predict(rule, RAVINE), np.array([40, 60])
    assert prediction.eigenvalue_gap < 1e-6
    assert predict(replace(rule, beta=0.6), RAVINE).eigenvalue_gap > 0.1
    ratio = np.linalg.norm(descend(rule, RAVINE, steps=60).points[k], axis=-1) / prediction.rate**k
    assert ratio[1] / ratio[0] == pytest.approx(60 / 40, rel=0.02)


def test_predict_is_none_beyond_quadratics():
    assert predict(RULES["adam"](), RAVINE) is None
    assert predict(RULES["sgd"](), OBJECTIVES["rosenbrock"]()) is None
    assert best_rates(OBJECTIVES["rosenbrock"]()) is None
    # Curvatures 0.2 and 4: (20 - 1)/(20 + 1), (sqrt 20 - 1)/(sqrt 20 + 1)
    assert best_rates(RAVINE) == pytest.approx({"sgd": 19 / 21, "momentum": 0.634512}, rel=1e-5)


@pytest.mark.parametrize("lr", [1e-300, 1e150, 1e300])
def test_every_learning_rate_has_a_rate(lr):
    rule = RULES["momentum"](lr=lr)
    prediction = predict(rule, RAVINE)
    assert np.isfinite(prediction.rate)
    assert prediction.stable is (lr < 1)
    assert measured_rate(descend(rule, RAVINE, steps=40), RAVINE) in (None, pytest.approx(1.0))


def test_rmsprop_rises_again_when_it_has_forgotten():
    """The step per gradient, lr/sqrt(S), is that of the state; Adagrad, which never forgets, does not rise."""
    rule = replace(RULES["rmsprop"](), lr=0.3, eps=1e-6)
    path = descend(rule, RAVINE, steps=60)
    rise = late_rise(rule, path, RAVINE)
    assert (rise.memory, rise.coordinate, rise.epoch) == ("S", 1, int(path.values.argmin()))
    steps = [*islice(worked_steps(rule, RAVINE), 60)]
    rates = [rule.lr / np.sqrt(step.statements[0].value[1] + rule.eps) for step in steps]
    assert rise.rate == pytest.approx(max(rates[rise.epoch :]), rel=1e-3)
    assert rise.smallest == pytest.approx(min(rates), rel=1e-6)
    assert 4 * rise.rate > 2 > 4 * rise.smallest  # the limit of gradient descent along w2
    assert late_rise(rule, descend(rule, RAVINE, steps=30), RAVINE) is None
    for other in (RULES["adagrad"](lr=2.0), RULES["sgd"](lr=0.6), RULES["adam"](lr=0.2)):
        assert late_rise(other, descend(other, RAVINE, steps=300), RAVINE) is None


def typed(formula, **settings):
    return formula_rule(formula)(**settings)


@pytest.mark.parametrize(
    ("formula", "limit"),
    [
        ("w <- w - 2*lr*g", 0.25),
        ("V <- 0.9*V - lr*g; w <- w + V", 0.95),
        ("V <- -0.5*V + g; w <- w - lr*V", 0.25),
        ("V <- 0.9*V + g; d = g + 0.9*V; w <- w - lr*d", 0.95 / 2.8),
        ("V <- 0.9*V + g; w <- w - lr*V; w <- w - lr*g", 0.95 / 2.9),
        ("V <- 0.9*V + g; w <- w - lr*(V - 0.5*g)", 0.1 / 0.45 / 4),  # the determinant reaches 1
        ("V <- -0.5*V - g; w <- w - lr*(2*g + 0.5*V)", 1.5 / 4),
    ],
)
def test_limit_of_a_typed_rule_is_an_edge(formula, limit):
    assert predict(typed(formula, lr=0.01), RAVINE).largest_lr == pytest.approx(limit)
    for lr, status in ((0.95 * limit, Status.CONVERGED), (1.05 * limit, Status.DIVERGED)):
        rule = typed(formula, lr=lr)
        path = descend(rule, RAVINE, steps=8000)
        assert path.status is status
        assert predict(rule, RAVINE).stable is (status is Status.CONVERGED)
        assert stability_limit(rule) == pytest.approx(4 * limit / lr)


@pytest.mark.parametrize(
    "formula",
    [
        "w <- w - lr*V; V <- 0.9*V + g",  # a step by the velocity before its update
        "v = V; V <- 0.9*V + g; w <- w - lr*v",
        "V <- 0.5*V; V <- V + g; w <- w - lr*V",  # two updates
        "V <- g; V <- 0.9*V + g; w <- w - lr*V",
        "V <- where(V*g < 0, 0.2*V, V); V <- 0.9*V + g; w <- w - lr*V",
        "w <- w - lr^2*g",  # not linear in lr
        "w <- w - (lr + 0.1)*g",
        "V <- (1-lr)*V + lr*g; w <- w - lr*V",
        "V <- 1.1*V + g; w <- w - lr*V",  # stable at no lr
        "V <- V + g; w <- w - lr*V",
        "w <- w + lr*g",
        "w <- w - lr*(g + sign(g))",  # jumps
        "w <- w - lr*(g + where(g > 0, 1, 0))",
        "w <- w - lr*(g + 0.1)",  # rests elsewhere
        "w <- w - lr*g + where(t > 100, 1, 0)",
        "V <- 0.9*V + g + 0.1*w; w <- w - lr*V",  # w in the velocity
    ],
)
def test_predict_is_none_of_another_form(formula):
    assert predict(typed(formula, lr=0.1), RAVINE) is None


def test_predict_is_none_of_a_division_by_zero():
    assert predict(typed("w <- w - lr*g/mu", lr=0.1, mu=0.0), RAVINE) is None


def test_training_has_no_limit_of_a_form_that_grows_or_is_not_covered():
    for formula in ("V <- 1.1*V + g; w <- w - lr*V", "w <- w + lr*g", "w <- w - lr*V; V <- 0.9*V + g"):
        assert stability_limit(typed(formula, lr=0.1)) is None


def test_a_factor_that_rounds_to_1_is_stable():
    prediction = predict(RULES["sgd"](lr=0.1), OBJECTIVES["expression"](formula="1e-20*x^2 + 1e-20*y^2"))
    assert (prediction.rate, prediction.stable, prediction.unstable_fraction) == (1, True, 0)


def hundredths(low, high):
    return st.integers(low, high).map(lambda n: n / 100)


@given(hundredths(1, 200), hundredths(-120, 120), *[hundredths(-200, 200)] * 3)
@settings(max_examples=100, deadline=None)
def test_prediction_agrees_with_a_path(lr, decay, gain, gradient, velocity):
    """A rule without a prediction is one that is not stable at a small lr."""
    formula = "V <- decay*V + gain*g; w <- w - lr*(gradient*g + velocity*V)"
    values = {"decay": decay, "gain": gain, "gradient": gradient, "velocity": velocity}
    rule = typed(formula, lr=lr, **values)
    prediction = predict(rule, RAVINE)
    if prediction is None:
        small = update_matrices(replace(rule, lr=1e-3), CURVATURES)
        assert abs(decay) >= 1 or spectral_radius(small).max() > 1 - 1e-9
        return
    radius = spectral_radius(update_matrices(rule, CURVATURES)).max()
    assume(abs(radius - 1) > 0.01)
    assert prediction.stable is bool(radius < 1)
    path = descend(rule, RAVINE, steps=2000)
    assert (path.status is Status.CONVERGED) is prediction.stable
    assert (path.status is Status.DIVERGED) is not prediction.stable
