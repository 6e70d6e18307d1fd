"""The interface of an update rule.

    rule = RULES["adam"](lr=0.1)
    state = rule.init(x)
    step, state = rule.update(gradient, state)
    x = x + step

Rules are pure. Arrays have shape (..., d); a hyperparameter may be an array of shape (..., 1), so a map over a
million settings is one call. The same lines run on torch tensors, so rules without a counterpart in
torch.optim train networks, too: a rule uses only functions that numpy and torch share by name.

A rule that depends on the point (weight decay, averages of points) keeps x in its state: `init` receives the start,
and the caller adds exactly the returned step.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol

from annotated_doc import Doc
from annotated_types import Ge, Gt, Lt

from optilab.errors import UsageError, unknown

Array = Any  # numpy.ndarray or torch.Tensor of shape (..., d)

LearningRate = Annotated[float, Gt(0), Doc("learning rate: the factor of every step")]
Decay = Annotated[float, Ge(0), Lt(1), Doc("fraction of a moving average that is kept at each step")]
Eps = Annotated[float, Ge(0), Doc("small number that keeps a division finite")]
WeightDecay = Annotated[float, Ge(0), Doc("fraction of the weights, times lr, that each step takes away")]


class Rule(Protocol):
    """An update rule: a frozen dataclass whose fields are hyperparameters; its state is a NamedTuple.

    A rule that needs more than the gradient lists it in `needs` and receives it by that name: `value` (...,) and
    `hessian` (..., d, d) at x, `gradient_at(step)`, the gradient at x + step, `hessian_diagonal()`, the diagonal
    (..., d) of the Hessian at x, in training an estimate of it, or the `function` itself:

        step, state = rule.update(gradient, state, hessian=function.hessian(x))
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    weights: ClassVar[Literal["joined", "each", "matrices"]] = "joined"
    """What the rule gets of a network: all weights as one vector; each weight as a vector of its own; or each weight
    as it is shaped, and then no function of a vector can be its function."""

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


def require_vector(rule: Any) -> None:
    """UsageError for a rule that works on the matrices of a network, where the point is that of a function."""
    if getattr(rule, "weights", "joined") == "matrices":
        raise UsageError(f"{rule.name} needs weight matrices, so it cannot run on a test function")


def needed(rule: Any, function: Any, x: Array, **known: Any) -> dict[str, Any]:
    """What `rule.needs` at x, as arguments of `update`; `known` are quantities that the caller has already.

    Raises what `require_vector` raises.
    """
    require_vector(rule)
    known |= {"function": function, "gradient_at": lambda step: function.gradient(x + step)}
    known["hessian_diagonal"] = lambda: function.hessian(x).diagonal(axis1=-2, axis2=-1)
    names = getattr(rule, "needs", ())
    return {name: known[name] if name in known else getattr(function, name)(x) for name in names}


def settings_of(rule: Any) -> dict[str, Any]:
    """Every field of the rule, and those of a rule that it wraps as `base.lr`; `base` itself is that one's name."""
    found = {}
    for name in (field.name for field in fields(rule)):
        found[name] = value = getattr(rule, name)
        if name == "base":
            found |= {name: value.name} | {f"base.{own}": inner for own, inner in settings_of(value).items()}
    return found


def with_settings(rule: Any, settings: Mapping[str, Any]) -> Any:
    """The rule with other settings; those of a rule that it wraps are named after its field, as `base.lr`."""
    own = {name: value for name, value in settings.items() if "." not in name}
    for field in {name.partition(".")[0] for name in settings} - own.keys():
        inner = {name.removeprefix(f"{field}."): v for name, v in settings.items() if name.startswith(f"{field}.")}
        own[field] = with_settings(getattr(rule, field), inner)
    return replace(rule, **own)


def rated(rule: Any) -> dict[str, Any]:
    """The rules that have a learning rate, by its key: the rule itself as `lr`, one that it wraps as `base.lr`, and one
    that it gives other weights to as `others.lr`. The first one makes most steps."""
    found = {"lr": rule} if hasattr(rule, "lr") else {}
    for field in ("base", "others"):
        if hasattr(rule, field):
            found |= {f"{field}.{key}": inner for key, inner in rated(getattr(rule, field)).items()}
    return found


def learning_rates(rule: Any) -> dict[str, float]:
    """Every learning rate of a rule by its key."""
    return {key: inner.lr for key, inner in rated(rule).items()}


class Recurrence(NamedTuple):
    """A linear step, as sgd and momentum take it; adaptive rules take it in coordinates of their own (`frozen`).

    V <- keep*V + enter*g;  w <- w - lr*(of_gradient*g + of_velocity*V)
    """

    keep: Any
    enter: Any
    of_gradient: Any
    of_velocity: Any


class NoState(NamedTuple):
    """The state of a rule without memory."""


class Stateless(Rule):
    """A rule without memory."""

    def init(self, x: Array) -> NoState:
        return NoState()


def xp_of(array: Array) -> Any:
    """The module whose functions fit the array: numpy, for a plain number, too; or torch (then loaded already).

    Raises TypeError for anything else, a list for instance.
    """
    module = "numpy" if isinstance(array, float | int) else type(array).__module__.partition(".")[0]
    if module not in ("numpy", "torch"):
        raise TypeError(f"an array of NumPy or torch is needed, not a {type(array).__name__}")
    return sys.modules[module]


def total(array: Array) -> Array:
    """Over the coordinates, (..., 1); a single number is its own sum."""
    return array.sum(-1)[..., None] if getattr(array, "ndim", 0) else array


def length(array: Array) -> Array:
    """The Euclidean norm over the coordinates, (..., 1)."""
    return total(array**2) ** 0.5


class UnknownName(UsageError, KeyError):
    """A name that a registry does not have: the sentence of the command line, as a KeyError."""

    __str__ = UsageError.__str__


class Registry(Mapping[str, Any]):
    """Classes by name. Each is named by its place, "module.Class" in `package`, and imported when it is looked up.

    `what` is what an entry is called in the sentence of UnknownName. (A class costs 0.4 ms of start-up: seventy would
    be a tenth of it.)
    """

    def __init__(self, what: str, package: str, places: Mapping[str, str]) -> None:
        self._what, self._package, self._places = what, package, places

    def __getitem__(self, name: str) -> Any:
        if name not in self._places:
            raise UnknownName(unknown(self._what, name, self))
        module, _, kind = self._places[name].rpartition(".")
        return getattr(import_module(f"{self._package}.{module}"), kind)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


RULES = Registry(
    "algorithm",
    "optilab.optimize.handwritten",
    {
        "sgd": "momentum.SGD",
        "momentum": "momentum.Momentum",
        "nesterov": "momentum.Nesterov",
        "qhm": "momentum.QHM",
        "adam": "adam.Adam",
        "adamw": "adam.AdamW",
        "nadam": "adam.NAdam",
        "radam": "adam.RAdam",
        "ademamix": "adam.AdEMAMix",
        "adan": "adam.Adan",
        "adagrad": "adaptive.Adagrad",
        "rmsprop": "adaptive.RMSProp",
        "adadelta": "adaptive.Adadelta",
        "ftrl": "adaptive.FTRL",
        "amsgrad": "adaptive.AMSGrad",
        "adamax": "adaptive.Adamax",
        "adabelief": "adaptive.AdaBelief",
        "yogi": "adaptive.Yogi",
        "adopt": "adaptive.Adopt",
        "laprop": "adaptive.LaProp",
        "signsgd": "momentum.SignSGD",
        "signum": "momentum.Signum",
        "lion": "momentum.Lion",
        "rprop": "momentum.Rprop",
        "schedule-free-sgd": "wrappers.ScheduleFreeSGD",
        "schedule-free-adamw": "wrappers.ScheduleFreeAdamW",
        "lookahead": "wrappers.Lookahead",
        "lars": "wrappers.LARS",
        "lamb": "wrappers.LAMB",
        "sam": "wrappers.SAM",
        "muon": "matrix.Muon",
        "adafactor": "matrix.Adafactor",
        "shampoo": "matrix.Shampoo",
        "soap": "matrix.SOAP",
        "prodigy": "momentum.Prodigy",
        "barzilai-borwein": "momentum.BarzilaiBorwein",
        "polyak": "momentum.Polyak",
        "newton": "second_order.Newton",
        "damped-newton": "second_order.DampedNewton",
        "sophia": "second_order.Sophia",
        "l-bfgs": "second_order.LBFGS",
        "conjugate-gradient": "second_order.ConjugateGradient",
    },
)
"""The update rules. Where the literature has several forms of a rule, the form is a field; defaults are the
literature's."""
