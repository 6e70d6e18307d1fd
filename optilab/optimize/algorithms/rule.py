"""The interface of an update rule.

    rule = ALGORITHMS["adam"](lr=0.1)
    state = rule.init(x)
    step, state = rule.update(gradient, state)
    x = x + step

Rules are pure. Arrays have shape (..., d); a hyper-parameter may be an array of shape (..., 1), so a map over a
million settings is one call. The same lines run on torch tensors, so rules without a counterpart in
torch.optim train networks, too: a rule uses only functions that numpy and torch share by name.

A rule that depends on the point (weight decay, averages of points) keeps x in its state: `init` receives the start,
and the caller adds exactly the returned step.
"""

import sys
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

from annotated_doc import Doc
from annotated_types import Ge, Gt, Lt

Array = Any  # numpy.ndarray or torch.Tensor of shape (..., d)

LearningRate = Annotated[float, Gt(0), Doc("learning rate: the factor of every step")]
Decay = Annotated[float, Ge(0), Lt(1), Doc("share of a moving average that is kept at each step")]
Eps = Annotated[float, Ge(0), Doc("small number that keeps a division finite")]
WeightDecay = Annotated[float, Ge(0), Doc("share of the weights, times lr, that each step takes away")]


class Algorithm(Protocol):
    """An update rule: a frozen dataclass whose fields are hyper-parameters; its state is a NamedTuple.

    A rule that needs more than the gradient lists it in `needs` and receives it by that name: `value` (...,) and
    `hessian` (..., d, d) at x, or the `function` itself:

        step, state = rule.update(gradient, state, hessian=function.hessian(x))
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def formula(self) -> str:
        """The rule as text that `optilab.optimize.formula` can execute.

        Statements are separated by `;`. `w` is the point, `g` the gradient there, `t` counts steps from 1; `<-`
        updates a state, `=` names an intermediate result, `S0 = ...` is the start of a state that is not zero.
        All products are element by element; `sum` and `norm` run over the coordinates.
        """
        raise NotImplementedError

    def init(self, x: Array) -> Any:
        """The state before the first step from x."""
        raise NotImplementedError

    def update(self, grad: Array, state: Any) -> tuple[Array, Any]:
        """The step to add to x, given the gradient at x, and the next state."""
        raise NotImplementedError


def needed(rule: Any, function: Any, x: Array, **known: Any) -> dict[str, Any]:
    """What `rule.needs` at x, as arguments of `update`; `known` are quantities that the caller has already."""
    known["function"] = function
    names = getattr(rule, "needs", ())
    return {name: known[name] if name in known else getattr(function, name)(x) for name in names}


class NoState(NamedTuple):
    """The state of a rule without memory."""


def xp_of(array: Array) -> Any:
    """The module whose functions fit the array: numpy, for a plain number, too; or torch (then loaded already).

    Raises TypeError for anything else, a list for instance.
    """
    module = "numpy" if isinstance(array, float | int) else type(array).__module__.partition(".")[0]
    if module not in ("numpy", "torch"):
        raise TypeError(f"an array of NumPy or torch is needed, not a {type(array).__name__}")
    return sys.modules[module]
