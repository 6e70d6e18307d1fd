"""A map as a study and as a command."""

import json

import numpy as np
import pytest

from optilab.optimize import OBJECTIVES, RULES, descend
from optilab.optimize.maps import fill_map

LR, BETA = np.linspace(0.01, 2, 30), np.linspace(0, 0.9, 20)
AXES = {"algo.lr": LR, "algo.beta": BETA}


def test_a_cell_of_the_map_is_a_run():
    rule, function = RULES["momentum"](), OBJECTIVES["ravine"]()
    found = fill_map(rule, function, AXES, None, 80, 1e-3)
    for i, j in ((0, 0), (3, 7), (12, 4), (19, 9)):
        setting = {"lr": float(LR[j]), "beta": float(BETA[i])}
        path = descend(RULES["momentum"](**setting), function, steps=80)
        assert found.ends.values[i, j] == pytest.approx(path.values[-1], rel=1e-9)
    assert found.optimum == pytest.approx((0.6679, 0.4026), abs=1e-4)
    assert np.all(np.diff(found.limit) > 0)


def test_the_limit_of_a_turned_map_is_the_same():
    rule, function = RULES["momentum"](), OBJECTIVES["ravine"]()
    both = (AXES, dict(reversed(AXES.items())))
    upright, turned = (fill_map(rule, function, axes, None, 10, 1e-3) for axes in both)
    assert np.array_equal(upright.limit, turned.limit)
    assert turned.optimum == upright.optimum[::-1]
    assert np.array_equal(turned.radius(BETA, LR), upright.radius(LR, BETA).T)
    assert np.array_equal(upright.radius(LR, BETA) < 1, LR[None, :] < upright.limit[:, None] * (1 - 1e-9))


@pytest.mark.parametrize(
    ("rule", "axes"),
    [
        (RULES["qhm"](lr=1.2), {"algo.beta": np.linspace(0, 0.95, 60), "algo.nu": np.linspace(0.5, 1, 50)}),
        (
            RULES["momentum"](lr=1.2, form="ema"),
            {"algo.beta": np.linspace(0, 0.9, 91), "w1": np.linspace(-5, 5, 3)},
        ),
    ],
)
def test_where_lr_is_no_axis_the_spectral_radius_tells_the_edge(rule, axes):
    """What diverges in 4000 steps is what theory calls unstable, but for cells that are nearly on the edge."""
    found = fill_map(rule, OBJECTIVES["ravine"](), axes, None, 4000, 1e-3)
    radius = found.radius(*axes.values())
    clear = np.abs(radius - 1) > 0.005
    assert found.limit is None
    assert clear.mean() > 0.9
    assert np.array_equal((radius > 1)[clear], found.diverged[clear])
    assert 0 < np.mean(radius > 1) < 1


def test_theory_is_silent_about_maps_of_what_is_not_linear_or_no_quadratic():
    for rule, function, y in (("adam", "ravine", "algo.beta1"), ("momentum", "rosenbrock", "algo.beta")):
        found = fill_map(RULES[rule](), OBJECTIVES[function](), {"algo.lr": LR, y: BETA}, None, 5, 1e-3)
        assert found.limit is found.optimum is found.radius(LR, BETA) is None


def test_basins_are_where_paths_end():
    rule, function = RULES["sgd"](lr=0.01), OBJECTIVES["himmelblau"]()
    axis = np.linspace(-5, 5, 11)
    found = fill_map(rule, function, {"w1": axis, "w2": axis}, None, 500, 1e-3)
    for i, j in ((0, 0), (10, 0), (0, 10), (10, 10), (5, 8)):
        path = descend(rule, function, (axis[j], axis[i]), steps=500)
        _, minimum = path.distance(function.minima)
        assert function.minima[found.basin[i, j]] == minimum
    assert sum(found.summary["basins"].values()) == 121


def test_converged_moving_and_diverged_cells_are_told_apart(optilab):
    """sgd on the ravine: the limit is lr 0.5; 150 epochs are too few for a small lr."""
    grid = ("--x", "lr=0.01:1:70", "--y", "w1=-5:5:20", "--epochs", 150, "--show", "steps")
    lines = optilab("map", "--algo", "sgd", *grid).stdout.splitlines()
    row = next(line[10:] for line in lines if line[9:10] == "|")
    assert (row[0], row[-1]) == ("?", "x")
    assert "@" in row[:40]


def test_the_command(optilab):
    arguments = ["--x", "algo.lr=0.01:2:20", "--y", "algo.beta=0:0.9:10", "--epochs", "50", "--json"]
    document = json.loads(optilab("map", "--algo", "momentum", *arguments).stdout)
    assert np.shape(document["f"]) == (10, 20)
    assert document["f"][0][-1] is None
