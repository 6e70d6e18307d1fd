"""The keys of `optilab optimize`."""

from typing import Annotated, Any

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Len
from pydantic import BeforeValidator, Strict, model_validator
from pydantic_core import PydanticCustomError

from optilab.optimize import ALGORITHMS, FUNCTIONS, Algorithm, TestFunction
from optilab.schema.fields import Number, OneOf, Section, Whole


def _as_list(given: Any) -> Any:
    return given if isinstance(given, list | tuple) else [given]


class OptimizeConfig(Section):
    """`optilab optimize`: the paths of one or several algorithms on one function."""

    algo: Annotated[
        tuple[Annotated[Algorithm, OneOf(ALGORITHMS, "algorithm")], ...],
        Strict(False),
        BeforeValidator(_as_list),
        Len(1, 100),
        Doc("the algorithm, or a list of several to compare"),
    ]
    function: Annotated[TestFunction, OneOf(FUNCTIONS, "function"), Doc("the test function")] = FUNCTIONS[
        "ravine"
    ]()
    start: Annotated[
        tuple[Number, ...] | None, Strict(False), Doc("start point; by default the function's own")
    ] = None
    epochs: Annotated[Whole, Ge(1), Le(1_000_000), Doc("number of steps")] = 30
    tolerance: Annotated[Number, Gt(0), Doc("converged when the gradient's norm is below this")] = 1e-3

    @model_validator(mode="after")
    def _start_fits(self) -> "OptimizeConfig":
        dimension = len(self.function.start)
        if self.start is not None and len(self.start) != dimension:
            message = f"{self.function.name} needs {dimension} numbers, got {len(self.start)}"
            raise PydanticCustomError("start", message, {"key": "start"})
        return self
