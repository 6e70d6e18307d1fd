"""The test functions, by name: one small frozen class each, its fields are its parameters."""

from optilab.optimize.functions.test_function import Floats, Objective
from optilab.optimize.registry import Registry

__all__ = ["OBJECTIVES", "Floats", "Objective"]

OBJECTIVES = Registry(
    "function", "optilab.optimize.functions", "quadratics", "valleys", "basins", "ripples", "learned", "expression"
)
