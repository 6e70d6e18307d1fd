"""Chaotic paths: rounding grows from step to step until it decides where the path goes.

A second path starts a few units in the last place away. Usually the two stay as close as they began. Where they part,
neither is wrong: the digits are those of float64 arithmetic in this order, and another order gives another path.
"""

from dataclasses import replace

import numpy as np

from optilab.optimize.algorithms import Rule
from optilab.optimize.functions import Objective
from optilab.optimize.regime import Regime
from optilab.optimize.trajectory import Trajectory, descend

NUDGE = 64 * np.finfo(float).eps
PARTED = 1e-6
"""Two paths have parted when they differ by this share of the largest |w| so far: 1e8 times the nudge."""
LONGEST = 10_000
"""Steps that are checked."""


def chaotic_from(rule: Rule, function: Objective, path: Trajectory, regime: Regime) -> int | None:
    """The first epoch at which `path` and its neighbour have parted; None if they stay together.

    The neighbour starts NUDGE away in every coordinate: 64 units in the last place, since the first step's rounding may
    absorb a single one.
    """
    start = path.points[0]
    beside = start + NUDGE * np.where(start == 0, 1.0, np.abs(start))
    steps = min(len(path.points) - 1, LONGEST)
    # A schedule depends on the number of steps, so only a path of all its steps can be compared.
    if steps < 1 or (steps < len(path.points) - 1 and replace(regime, schedule=Regime().schedule) != regime):
        return None
    neighbour = descend(rule, function, beside.tolist(), steps, regime=regime).points
    points = path.points[: len(neighbour)]
    with np.errstate(all="ignore"):
        apart = np.linalg.norm(points - neighbour[: len(points)], axis=-1)
        size = np.maximum.accumulate(np.linalg.norm(points, axis=-1))
        parted = np.flatnonzero(apart > PARTED * np.maximum(size, np.finfo(float).tiny))
    return int(parted[0]) if parted.size else None
