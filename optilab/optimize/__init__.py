"""Paths of optimizers on test functions, in NumPy; a library of its own.

from optilab.optimize import OBJECTIVES, RULES, descend

path = descend(RULES["adam"](lr=0.2), OBJECTIVES["ravine"](), steps=30)
path.points   # (31, 2): the start and thirty steps
"""

from optilab.optimize.objective import OBJECTIVES, Objective
from optilab.optimize.path import Status, Trajectory, descend
from optilab.optimize.rule import RULES, Rule
from optilab.optimize.schedules import SCHEDULES, Regime

ALGORITHMS, FUNCTIONS = RULES, OBJECTIVES
"""Earlier names of the two tables."""

__all__ = [
    "ALGORITHMS",
    "FUNCTIONS",
    "OBJECTIVES",
    "RULES",
    "SCHEDULES",
    "Objective",
    "Regime",
    "Rule",
    "Status",
    "Trajectory",
    "descend",
]
