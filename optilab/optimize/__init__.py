"""Paths of optimizers on test functions, in NumPy.

from optilab.optimize import OBJECTIVES, RULES, descend

path = descend(RULES["adam"](lr=0.2), OBJECTIVES["ravine"](), steps=30)
path.points   # (31, 2): the start and thirty steps
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optilab.optimize.functions import OBJECTIVES
    from optilab.optimize.objective import Objective
    from optilab.optimize.path import Trajectory, descend
    from optilab.optimize.rule import RULES, Rule
    from optilab.optimize.schedules import SCHEDULES, Regime
    from optilab.optimize.status import Status

__all__ = ["OBJECTIVES", "RULES", "SCHEDULES", "Objective", "Regime", "Rule", "Status", "Trajectory", "descend"]

_NAMES = {
    "functions": ["OBJECTIVES"],
    "objective": ["Objective"],
    "path": ["Trajectory", "descend"],
    "rule": ["RULES", "Rule"],
    "schedules": ["SCHEDULES", "Regime"],
    "status": ["Status"],
}
"""Names by module, which is imported when one of them is first asked for: a list of names need not wait for NumPy."""


def __getattr__(name: str) -> Any:
    for module, names in _NAMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
