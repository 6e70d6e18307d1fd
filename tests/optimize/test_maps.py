"""A cell of a grid is the path with that cell's setting; every back end gives the same."""

from dataclasses import replace

import numpy as np
import pytest

from optilab.optimize import OBJECTIVES, RULES, Status, descend, maps
from optilab.optimize.maps import run_grid

LR = np.geomspace(1e-3, 2, 37)[None, :]
BETA = np.linspace(0, 0.99, 23)[:, None]
RAVINE = OBJECTIVES["ravine"]()
START = np.array(RAVINE.start)[None, None]
ONE_PATH = {"l-bfgs", "conjugate-gradient"}
HAVE_MINIMA = [name for name, kind in OBJECTIVES.items() if name != "expression" and kind().minima]


@pytest.mark.parametrize(
    "rule", [name for name, kind in RULES.items() if name not in ONE_PATH and kind.weights != "matrices"]
)
@pytest.mark.parametrize("function", ["ravine", "himmelblau", "ackley"])
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
            np.testing.assert_allclose(ends.points[i, j], path.points[-1], rtol=1e-7, atol=1e-12)
            first = path.first_below(1e-3)
            assert ends.first_below[i, j] == (-1 if first is None else first)


@pytest.mark.parametrize("rule", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "lion", "rprop"])
def test_bits_are_those_of_descend(rule):
    """Where nothing but plus, times and roots is used."""
    ends = run_grid(RULES[rule](), RAVINE, START, 50, {"lr": LR})
    for j in range(LR.size):
        path = descend(RULES[rule](lr=float(LR[0, j])), RAVINE, steps=50)
        if path.diverged_at is None:
            assert np.array_equal(ends.points[0, j], path.points[-1])


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
