"""Paths of optimizers on test functions, in NumPy; a library of its own.

from optilab.optimize import ALGORITHMS, FUNCTIONS, descend

path = descend(ALGORITHMS["adam"](lr=0.2), FUNCTIONS["ravine"](), steps=30)
path.points   # (31, 2): the start and thirty steps
"""

from optilab.optimize.algorithms import ALGORITHMS, Algorithm
from optilab.optimize.functions import FUNCTIONS, TestFunction
from optilab.optimize.regime import Regime
from optilab.optimize.schedules import SCHEDULES
from optilab.optimize.trajectory import Status, Trajectory, descend

__all__ = [
    "ALGORITHMS",
    "FUNCTIONS",
    "SCHEDULES",
    "Algorithm",
    "Regime",
    "Status",
    "TestFunction",
    "Trajectory",
    "descend",
]
