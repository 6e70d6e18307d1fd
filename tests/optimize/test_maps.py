"""A cell of a grid is the path with that cell's setting; every back end gives the same."""

import multiprocessing
import os
from dataclasses import replace

import numpy as np
import pytest

from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, RULES, Status, descend, maps
from optilab.optimize.maps import run_grid

LR = np.geomspace(1e-3, 2, 37)[None, :]
BETA = np.linspace(0, 0.99, 23)[:, None]
HAVE_MINIMA = [name for name, kind in OBJECTIVES.items() if name != "expression" and kind().minima]
ONE_PATH = {"l-bfgs", "conjugate-gradient"}


def at(function):
    return np.array(function.start)[None, None]


@pytest.mark.parametrize(
    "rule", [name for name, kind in RULES.items() if name not in ONE_PATH and kind.weights != "matrices"]
)
@pytest.mark.parametrize("function", ["ravine", "rosenbrock", "himmelblau", "ackley", "booth"])
def test_a_cell_is_what_descend_finds(rule, function):
    rule, function = RULES[rule](), OBJECTIVES[function]()
    low, high = np.array(function.box).T
    starts = np.random.default_rng(7).uniform(low, high, (3, 4, len(function.start)))
    tunable = hasattr(rule, "lr")
    settings = {"lr": np.array([[1e-3, 0.01, 0.05, 0.1]])} if tunable else {}
    ends = run_grid(rule, function, starts, 60, settings, watch="gradient", limits=1e-3)
    diverged = ends.diverged(function, starts)
    for i, j in np.ndindex(3, 4):
        cell = replace(rule, lr=float(settings["lr"][0, j])) if tunable else rule
        path = descend(cell, function, starts[i, j], steps=60)
        assert diverged[i, j] == (path.status is Status.DIVERGED) or path.status is Status.CONVERGED
        if path.diverged_at is None and not diverged[i, j]:
            np.testing.assert_allclose(ends.points[i, j], path.points[-1], rtol=1e-7, atol=1e-12)
            first = path.first_below(1e-3)
            assert ends.first_below[i, j] == (-1 if first is None else first)


@pytest.mark.parametrize("rule", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "lion", "rprop"])
def test_where_nothing_but_plus_times_and_roots_is_used_the_bits_are_those_of_descend(rule):
    function, rule = OBJECTIVES["ravine"](), RULES[rule]()
    ends = run_grid(rule, function, at(function), 50, {"lr": LR})
    for j in range(LR.size):
        path = descend(replace(rule, lr=float(LR[0, j])), function, steps=50)
        if path.diverged_at is None:
            assert np.array_equal(ends.points[0, j], path.points[-1])


@pytest.mark.parametrize("rule", ["sam", "lookahead"])
def test_a_setting_of_a_wrapped_rule_is_an_axis(rule):
    """Both by generated code (sam) and by the rule's own lines (lookahead)."""
    function, rule = OBJECTIVES["rosenbrock"](), RULES[rule]()
    rates = np.array([[1e-4, 1e-3, 2e-3]])
    ends = run_grid(rule, function, at(function), 40, {"base.lr": rates})
    for j, lr in enumerate(rates[0].tolist()):
        path = descend(replace(rule, base=replace(rule.base, lr=lr)), function, steps=40)
        np.testing.assert_allclose(ends.points[0, j], path.points[-1], rtol=1e-12)


def test_blocks_do_not_change_the_grid(monkeypatch):
    function, rule = OBJECTIVES["ravine"](), RULES["momentum"]()
    whole = run_grid(rule, function, at(function), 40, {"lr": LR, "beta": BETA}, "gradient", 1e-3)
    monkeypatch.setattr(maps, "BLOCK", 10)
    cut = run_grid(rule, function, at(function), 40, {"lr": LR, "beta": BETA}, "gradient", 1e-3, workers=3)
    for one, other in zip(vars(whole).values(), vars(cut).values(), strict=True):
        assert np.array_equal(one, other)


def test_a_process_that_ends_early_is_no_empty_corner_of_the_map(monkeypatch):
    """Without a word: killed, or out of memory."""
    monkeypatch.setattr(maps, "BLOCK", 10)
    parent = os.getpid()
    monkeypatch.setattr(maps.np, "sqrt", lambda x: np.power(x, 0.5) if os.getpid() == parent else os._exit(9))
    function = OBJECTIVES["ravine"]()
    with pytest.raises(RuntimeError, match=r"ended with \[9\]"):
        run_grid(RULES["sgd"](), function, at(function), 3, {"lr": LR}, workers=2)


def test_a_rule_that_cannot_fill_a_map_is_refused_before_any_process(monkeypatch):
    monkeypatch.setattr(maps, "BLOCK", 10)
    monkeypatch.setattr(multiprocessing, "get_context", None)
    function = OBJECTIVES["ravine"]()
    with pytest.raises(UsageError, match="cannot fill this map"):
        run_grid(RULES["lookahead"](), function, at(function), 3, {"sync_period": LR}, workers=2)


def first_solved(path, function, limit, box):
    """The first step whose value is below the limit within a twentieth of the box's width of a minimum in the box."""
    low, high = box
    inside = [m for m in np.array(function.minima) if (m >= low).all() and (m <= high).all()]
    distances = [np.abs((path.points - m) / (high - low)).max(axis=1) for m in inside]
    steps = np.flatnonzero((np.min(distances, axis=0) <= 0.05) & (path.values < limit))
    return steps[0] if steps.size else -1


@pytest.mark.parametrize("rule", ["rmsprop", "lookahead"])  # lookahead follows its own lines
@pytest.mark.parametrize("function", HAVE_MINIMA)
def test_a_problem_is_solved_near_a_minimum_in_the_box(function, rule):
    rule, function = RULES[rule](), OBJECTIVES[function]()
    rule = replace(rule, lr=0.05) if hasattr(rule, "lr") else replace(rule, base=RULES["adam"](lr=0.05))
    box = np.array(function.box).T
    starts = np.random.default_rng(1).uniform(*box, (1, 6, len(function.start)))
    floor = float(function.value(np.array(function.minima[0])))
    limits = floor + 0.1 * (function.value(starts) - floor)
    ends = run_grid(rule, function, starts, 80, watch="solved", limits=limits)
    for j in range(6):
        path = descend(rule, function, starts[0, j], steps=80)
        assert ends.first_below[0, j] == first_solved(path, function, limits[0, j], box)


def test_an_escape_from_the_box_solves_nothing():
    """McCormick's function is lower outside its box: a path that leaves there passes every limit on the value."""
    function, rule = OBJECTIVES["mccormick"](), RULES["lion"](lr=0.3)
    start = np.array([[[3.0, -3.0]]])
    ends = run_grid(rule, function, start, 200, watch="solved", limits=-1.9)
    assert ends.values[0, 0] < -1.9
    assert ends.points[0, 0].min() < -3
    assert ends.first_below[0, 0] == -1


def test_converged_cells_do_not_crawl():
    """Numbers below 1e-150 become zero, so that no arithmetic meets a denormal."""
    function, rule = OBJECTIVES["ravine"](), RULES["sgd"]()
    ends = run_grid(rule, function, at(function), 1_600, {"lr": np.full((1, 8), 0.24)})
    assert ends.points[0, 0, 1] == 0.0  # (1 - 0.96)^1600 would be a denormal, then zero
    assert 0 < abs(ends.points[0, 0, 0]) < 1e-30
