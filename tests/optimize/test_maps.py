"""A cell of a map is the path with that cell's setting, however it is calculated; what a map says, theory says."""

from dataclasses import replace

import numpy as np
import pytest

from optilab.lab import Lab
from optilab.optimize import OBJECTIVES, RULES, Status, descend, maps
from optilab.optimize.maps import fill_map, run_grid
from optilab.optimize.schedules import Regime
from optilab.show.chart import Points, ReferenceLine

LR = np.geomspace(1e-3, 2, 37)[None, :]
BETA = np.linspace(0, 0.99, 23)[:, None]
RAVINE = OBJECTIVES["ravine"]()
START = np.array(RAVINE.start)[None, None]
SEQUENTIAL = {"l-bfgs", "conjugate-gradient"}
HAVE_MINIMA = [name for name, kind in OBJECTIVES.items() if name != "expression" and kind().minima]
EXACT = {"sgd", "momentum", "nesterov", "rmsprop", "adam", "lion", "rprop"}
"""Rules that use nothing but plus, times and roots."""


@pytest.mark.parametrize(
    "rule", [name for name, kind in RULES.items() if name not in SEQUENTIAL and kind.weights != "matrices"]
)
@pytest.mark.parametrize("function", ["ravine", "ackley"])
def test_cell_is_what_descend_finds(rule, function):
    rule, function = RULES[rule](), OBJECTIVES[function]()
    starts = np.random.default_rng(7).uniform(*np.array(function.box).T, (3, 4, len(function.start)))
    settings = {"lr": np.array([[1e-3, 0.01, 0.05, 0.1]])} if hasattr(rule, "lr") else {}
    ends = run_grid(rule, function, starts, 60, settings, watch="gradient", limits=1e-3)
    diverged = ends.diverged(function, starts)
    for i, j in np.ndindex(3, 4):
        cell = replace(rule, lr=float(settings["lr"][0, j])) if settings else rule
        path = descend(cell, function, starts[i, j], steps=60)
        assert diverged[i, j] == (path.status is Status.DIVERGED) or path.status is Status.CONVERGED
        if path.diverged_at is None and not diverged[i, j]:
            same = rule.name in EXACT and function.name == "ravine"
            assert not same or np.array_equal(ends.points[i, j], path.points[-1])
            np.testing.assert_allclose(ends.points[i, j], path.points[-1], rtol=1e-7, atol=1e-12)
            first = path.first_below(1e-3)
            assert ends.first_below[i, j] == (-1 if first is None else first)


@pytest.mark.parametrize("function", ["saddle", "monkey-saddle"])
def test_without_a_known_minimum_the_same_trajectories_diverge(function):
    function, rates = OBJECTIVES[function](), np.array([[0.01, 0.3, 0.6, 0.9, 1.2]])
    starts = np.random.default_rng(7).uniform(*np.array(function.box).T, (20, 1, 2))
    starts[::2, 0, 1] = 0.0
    diverged = run_grid(RULES["sgd"](), function, starts, 6, {"lr": rates}).diverged(function, starts)
    assert 0 < diverged.sum() < diverged.size
    for i, j in np.ndindex(*diverged.shape):
        path = descend(RULES["sgd"](lr=float(rates[0, j])), function, starts[i, 0], steps=6)
        assert diverged[i, j] == (path.status is Status.DIVERGED)


def test_a_diverged_end_is_no_floor():
    """Where no minimum is known, heights are above the lowest end of those that did not diverge."""
    axes = {"algo.lr": np.array([0.01, 0.02, 0.5])}
    filled = fill_map(RULES["sgd"](), OBJECTIVES["saddle"](), axes, None, 3000, 1e-3)
    assert filled.diverged.tolist() == [[False, False, True]]
    assert filled.best == (0, 1)
    assert np.isfinite(filled.height[0, :2]).all()


@pytest.mark.parametrize("rule", ["sam", "lookahead"])
def test_setting_of_a_wrapped_rule_is_an_axis(rule):
    rule, rates = RULES[rule](), np.array([[1e-4, 1e-3, 2e-3]])
    ends = run_grid(rule, RAVINE, START, 40, {"base.lr": rates})
    for j, lr in enumerate(rates[0].tolist()):
        path = descend(replace(rule, base=replace(rule.base, lr=lr)), RAVINE, steps=40)
        np.testing.assert_allclose(ends.points[0, j], path.points[-1], rtol=1e-12)


def test_blocks_do_not_change_the_grid(monkeypatch):
    grids = []
    for block, workers in ((maps.BLOCK, 1), (10, 3)):
        monkeypatch.setattr(maps, "BLOCK", block)
        settings = {"lr": LR, "beta": BETA}
        grids.append(run_grid(RULES["momentum"](), RAVINE, START, 40, settings, "gradient", 1e-3, workers=workers))
    assert all(np.array_equal(a, b) for a, b in zip(*(vars(grid).values() for grid in grids), strict=True))


def first_solved(path, function, limit):
    """The first step whose value is below the limit within a twentieth of the box's width of a minimum in the box."""
    low, high = np.array(function.box).T
    distances = [np.abs((path.points - minimum) / (high - low)).max(axis=1) for minimum in function.minima]
    steps = np.flatnonzero((np.min(distances, axis=0) <= 0.05) & (path.values < limit))
    return steps[0] if steps.size else -1


@pytest.mark.parametrize("function", HAVE_MINIMA)
def test_solved_is_near_a_minimum(function):
    function = OBJECTIVES[function]()
    starts = np.random.default_rng(1).uniform(*np.array(function.box).T, (1, 6, len(function.start)))
    floor = float(function.value(np.array(function.minima[0])))
    limits = floor + 0.1 * (function.value(starts) - floor)
    for rule in (RULES["rmsprop"](lr=0.05), RULES["lookahead"](base=RULES["adam"](lr=0.05))):
        ends = run_grid(rule, function, starts, 80, watch="solved", limits=limits)
        for j in range(6):
            path = descend(rule, function, starts[0, j], steps=80)
            assert ends.first_below[0, j] == first_solved(path, function, limits[0, j])


def test_solved_needs_a_minimum_in_the_box():
    """McCormick's function is lower outside its box: a path that leaves there passes every limit on the value."""
    start = np.array([[[3.0, -3.0]]])
    ends = run_grid(RULES["lion"](lr=0.3), OBJECTIVES["mccormick"](), start, 200, watch="solved", limits=-1.9)
    assert ends.values[0, 0] < -1.9
    assert ends.points[0, 0].min() < -3
    assert ends.first_below[0, 0] == -1


def test_converged_cells_do_not_crawl():
    """Numbers below 1e-150 become zero, so that no arithmetic meets a denormal."""
    ends = run_grid(RULES["sgd"](), RAVINE, START, 1_600, {"lr": np.full((1, 8), 0.24)})
    assert ends.points[0, 0, 1] == 0.0  # (1 - 0.96)^1600 would be a denormal, then zero
    assert 0 < abs(ends.points[0, 0, 0]) < 1e-30


# --- what a map says ---------------------------------------------------------------------------------------

X, Y = np.linspace(0.01, 2, 30), np.linspace(0, 0.9, 20)
AXES = {"algo.lr": X, "algo.beta": Y}


def test_the_limit_of_a_turned_map_is_the_same():
    rule, function = RULES["momentum"](), RAVINE
    both = (AXES, dict(reversed(AXES.items())))
    upright, turned = (fill_map(rule, function, axes, None, 10, 1e-3) for axes in both)
    assert np.array_equal(upright.limit, turned.limit)
    assert turned.optimum == upright.optimum[::-1] == pytest.approx((0.4026, 0.6679), abs=1e-4)
    assert np.all(np.diff(upright.limit) > 0)
    assert np.array_equal(turned.radius(Y, X), upright.radius(X, Y).T)
    assert np.array_equal(upright.radius(X, Y) < 1, X[None, :] < upright.limit[:, None] * (1 - 1e-9))


@pytest.mark.parametrize(
    ("rule", "axes"),
    [
        (RULES["momentum"](), AXES),
        (RULES["momentum"](form="ema"), {"algo.lr": 2 * X, "algo.beta": Y}),
        (RULES["qhm"](lr=1.2), {"algo.beta": np.linspace(0, 0.95, 60), "algo.nu": np.linspace(0.5, 1, 50)}),
        (
            RULES["momentum"](lr=1.2, form="ema"),
            {"algo.beta": np.linspace(0, 0.9, 91), "w1": np.linspace(-5, 5, 3)},
        ),
    ],
)
def test_the_spectral_radius_tells_the_edge(rule, axes):
    """The cells that diverge in 4000 steps are unstable by theory, except cells that are nearly on the edge."""
    result = fill_map(rule, RAVINE, axes, None, 4000, 1e-3)
    radius = result.radius(*axes.values())
    clear = np.abs(radius - 1) > 0.005
    assert (result.limit is None) == ("algo.lr" not in axes)
    assert clear.mean() > 0.9
    assert np.array_equal((radius > 1)[clear], result.diverged[clear])
    assert 0 < np.mean(radius > 1) < 1


def test_theory_is_silent_about_maps_of_what_is_not_linear_or_no_quadratic():
    for rule, function, y in (("adam", "ravine", "algo.beta1"), ("momentum", "rosenbrock", "algo.beta")):
        result = fill_map(RULES[rule](), OBJECTIVES[function](), {"algo.lr": X, y: Y}, None, 5, 1e-3)
        assert result.limit is result.optimum is result.radius(X, Y) is None


def test_basins_are_where_paths_end():
    rule, function = RULES["sgd"](lr=0.01), OBJECTIVES["himmelblau"]()
    axis = np.linspace(-5, 5, 11)
    result = fill_map(rule, function, {"w1": axis, "w2": axis}, None, 500, 1e-3)
    for i, j in ((0, 0), (10, 0), (0, 10), (10, 10), (5, 8)):
        path = descend(rule, function, (axis[j], axis[i]), steps=500)
        _, minimum = path.distance(function.minima)
        assert function.minima[result.basin[i, j]] == minimum
    assert sum(result.summary["basins"].values()) == 121


def test_converged_moving_and_diverged_cells_are_told_apart(optilab):
    """sgd on the ravine: the limit is lr 0.5; 150 epochs are too few for a small lr."""
    grid = ("--x", "lr=0.01:1:70", "--y", "w1=-5:5:20", "--epochs", 150, "--show", "steps")
    lines = optilab("map", "--algo", "sgd", *grid).stdout.splitlines()
    row = next(line[10:] for line in lines if line[9:10] == "|")
    assert (row[0], row[-1]) == ("?", "x")
    assert "@" in row[:40]


def test_unstable_cells_that_have_risen_diverged():
    """Between the limit of theory, lr 0.5, and ten times the height at the start, and where f has only fallen."""
    rates = np.array([0.4, 0.5, 0.5001, 0.505, 0.51, 0.6])
    result = fill_map(RULES["sgd"](), RAVINE, {"algo.lr": rates}, None, 30, 1e-3)
    paths = [descend(RULES["sgd"](lr=lr), RAVINE) for lr in rates.tolist()]
    risen = [bool(path.values[-1] > path.values[0]) for path in paths]
    assert risen == [False, False, False, True, True, True]
    assert [path.status is Status.DIVERGED for path in paths] == result.diverged[0].tolist() == risen
    assert result.ends.values[0, :4].tolist() == [float(path.values[-1]) for path in paths[:4]]
    noisy = descend(RULES["sgd"](lr=0.51), RAVINE, regime=Regime(noise=1e-9))
    assert noisy.status is Status.MOVING  # theory says nothing


@pytest.mark.parametrize(
    ("rule", "axis", "limit", "best"),
    [
        ("sgd", "lr=0.01:0.6", 0.5, 0.4762),
        ("momentum", "lr=0.01:3", 2 * 1.5 / (4 * 0.5), None),
        ("adam", "lr=0.01:1", None, None),
    ],
)
def test_one_axis_is_a_curve_with_its_limit(rule, axis, limit, best, tmp_path):
    result = Lab(tmp_path).map(rule, x=axis, epochs=30)
    curve, *marks = result.chart().panels[0].marks
    ends = [descend(replace(result.map.rule, lr=lr), RAVINE).values[-1] for lr in curve.x]
    assert np.allclose(curve.y, np.where(result.map.diverged[0], np.nan, ends), rtol=1e-12, equal_nan=True)
    lines = [mark.x for mark in marks if isinstance(mark, ReferenceLine)]
    stars = [mark.x[0] for mark in marks if isinstance(mark, Points)]
    assert lines == ([] if limit is None else [pytest.approx(limit)])
    assert stars == ([] if best is None else [pytest.approx(best, abs=1e-4)])
    if best:  # thirty steps are not the long run
        assert result.map.summary["best"]["algo.lr"] == pytest.approx(0.4607, abs=1e-4)
