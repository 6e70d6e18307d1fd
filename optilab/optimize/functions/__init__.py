"""The test functions, by name: one small frozen class each, its fields are its parameters."""

from typing import Any

from optilab.optimize.functions import basins, expression, learned, quadratics, ripples, valleys
from optilab.optimize.functions.expression import Expression
from optilab.optimize.functions.test_function import Floats, TestFunction

__all__ = ["FUNCTIONS", "Expression", "Floats", "TestFunction"]

FUNCTIONS: dict[str, type[Any]] = {
    function.name: function
    for functions in (
        quadratics.FUNCTIONS,
        valleys.FUNCTIONS,
        basins.FUNCTIONS,
        ripples.FUNCTIONS,
        learned.FUNCTIONS,
        expression.FUNCTIONS,
    )
    for function in functions
}
