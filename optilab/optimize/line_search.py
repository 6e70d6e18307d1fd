"""The line searches of SciPy as update rules."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_doc import Doc
from annotated_types import Ge

from optilab.optimize.arrays import Array
from optilab.optimize.rule import Rule, State


class LineSearch(Rule):
    """Base of SciPy's methods, one iteration a step; an iteration may ask for several gradients. One start at a time.

    SciPy cannot be paused, so the first step runs it to the end, and the later steps read its points.
    """

    states = ("points",)
    needs = ("function",)
    method: ClassVar[str]

    @property
    def options(self) -> dict[str, Any]:
        """Options of scipy.optimize.minimize besides its tolerance."""
        return {}

    def init(self, w: Array) -> State:
        return ((),)

    def step(self, w: Array, g: Array, t: int, state: State, **quantities: Any) -> tuple[Array, State]:
        (points,), function = state, quantities["function"]
        if not points:
            from scipy.optimize import minimize

            seen = [w]
            minimize(
                lambda x: float(function.value(x)),
                w.ravel(),
                jac=function.gradient,
                method=self.method,
                callback=lambda x: seen.append(x.copy()),
                options={"gtol": 1e-12, **self.options},
            )
            points = tuple(seen)
        return points[min(int(t), len(points) - 1)] + 0 * w, (points,)


@dataclass(frozen=True)
class LBFGS(LineSearch):
    """L-BFGS (Liu & Nocedal 1989), as SciPy runs it: a line search along an approximate Newton direction."""

    name = "l-bfgs"
    method = "L-BFGS-B"
    formula = "w <- w + a*d, d from the last gradients, a from a line search"
    memory: Annotated[int, Ge(1), Doc("steps from which the curvature is estimated")] = 10

    @property
    def options(self) -> dict[str, Any]:
        return {"maxcor": self.memory, "ftol": 0.0}


@dataclass(frozen=True)
class ConjugateGradient(LineSearch):
    """Nonlinear conjugate gradients (Polak & Ribiere 1969), as SciPy runs it, with a line search."""

    name = "conjugate-gradient"
    method = "CG"
    formula = "w <- w + a*d, d conjugate to the last direction, a from a line search"
