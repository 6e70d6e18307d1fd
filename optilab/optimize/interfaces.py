"""How the code of a user's rule is called: each accepted interface as `begin`, which makes its memory, and `follow`, a
step.

    def momentum(w, g, lr, V, beta): ... return w, V      a function; it returns the state it takes, after w
    class Adam:                                            a class with state: a new w for every gradient
        def __init__(self, lr, beta1, beta2, eps): ...
        def update(self, w, g): ... return w
    class Rule: init(x) -> state, update(g, state) -> step, state     the step API of optilab.optimize
    class Mine(torch.optim.Optimizer)                      an optimizer of torch

Arrays are NumPy's and have the shape of w; an optimizer of torch gets tensors. `arguments` are the code's own
parameters. A memory is data (arrays, numbers, texts, tuples, lists, dicts), except that of torch.
"""

import contextlib
import copy
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, replace
from functools import cache
from types import FunctionType, MemberDescriptorType
from typing import Any

from optilab.errors import SYNONYMS, UsageError, shown
from optilab.optimize.arrays import Array
from optilab.optimize.rule import (
    COMMON_VALUES,
    RULES,
    as_function,
)
from optilab.user_code import EMPTY, UserCode, scalar_type

GRADIENTS = {"g", "grad", "gradient", "dw", "dW", "dx", "gradients", "grads"}
"""Names of the second parameter, the gradient, of a function that is an optimizer."""
CONTAINERS = {"config", "hparams", "hyperparams", "hyperparameters", "params", "states"}
"""Parameters of a function that are lists or dicts in textbooks."""
STEP_NUMBER = {"t", "step", "epoch", "k", "iteration"}
"""Parameters of a function that receive the number of the step, from 1."""
HYPERPARAMETERS = {*COMMON_VALUES, "alpha", "beta3", "nu", "damping"}
"""Parameters of a function that are no state."""
TORCH_IMPLEMENTATION_FLAGS = ("foreach", "capturable", "differentiable", "fused")
"""Parameters of torch's optimizers that choose how the numbers are computed, not which."""


@cache
def find_optimizer(code: UserCode, preferred: str = "") -> UserCode:
    """The only class or function of a file that is an optimizer, or of several the one with the name of the optimizer
    `preferred`; the file is executed. UsageError where nothing fits, or more than one does.
    """
    return replace(code, name=choose_name(code.file, optimizer_names(code), preferred))


def choose_name(file: str, names: Sequence[str], preferred: str, by_name: bool = False) -> str:
    """The one of the names that is the optimizer `preferred`, or unless `by_name` the only one. UsageError for
    several, and for none.
    """
    matched = [name for name in names if _letters(name) == _letters(preferred)]
    matched = matched or [name for name in names if _optimizer(name) == _letters(preferred)]
    if by_name and not matched:
        raise UsageError(f"{file} has no {preferred}; it has {', '.join(names)}")
    names = matched or names
    if len(names) == 1:
        return names[0]
    raise UsageError(f"{file} has {', '.join(names)}: choose one, as in {file}:{names[0]}")


def optimizer_names(code: UserCode) -> list[str]:
    """The classes and functions of a file that are optimizers by the names of their parameters, without those that
    others extend. UsageError where there is none.
    """
    defined = {name: item for name, item in code.defined.items() if _takes_gradient(item)}
    extended = {base for item in defined.values() if isinstance(item, type) for base in item.__mro__[1:]}
    if names := [name for name, item in defined.items() if item not in extended]:
        return names
    content = f"; it has {', '.join(code.defined)}" if code.defined else ""
    raise UsageError(
        f"{code.file} has no class with update(w, g) and no function f(w, g, ...){content} (optilab help own)"
    )


def _takes_gradient(item: Any) -> bool:
    """True for a function or a class with an interface of a rule whose gradient is called like one."""
    if isinstance(item, FunctionType):
        return not (GRADIENTS | {"states"}).isdisjoint([*inspect.signature(item).parameters][1:2])
    if (torch := sys.modules.get("torch")) and issubclass(item, torch.optim.Optimizer):
        return True
    method = getattr(item, "update", getattr(item, "step", None))
    if not isinstance(method, FunctionType):
        return False
    first = 1 if hasattr(item, "init") else 2  # the step API has update(self, g, state)
    return not GRADIENTS.isdisjoint([*inspect.signature(method).parameters][first:3])


def _letters(name: str) -> str:
    """A name as `adam_w`, `AdamW` and `adamw` have it in common."""
    return "".join(filter(str.isalnum, name)).lower()


def _optimizer(name: str) -> str:
    """The letters of the optimizer that a name, such as `gd`, stands for in other libraries and books."""
    letters = _letters(name)
    return next((optimizer for other, optimizer in SYNONYMS.items() if _letters(other) == letters), letters)


Arguments = Mapping[str, Any]


class Interface:
    """The calls of the code of a rule. `parameters` are its hyperparameters."""

    def __init__(self, code: UserCode) -> None:
        self.call, self.parameters = code.load(), code.parameters

    def begin(self, w: Array, arguments: Arguments) -> Any:
        """The memory before the first step from w."""
        raise NotImplementedError

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
        """The next w after step t, from 1, and the next memory; w, g and memory may be changed in place."""
        raise NotImplementedError

    def copied(self, memory: Any) -> Any:
        """A memory that the code may change in place."""
        return copy.deepcopy(memory)

    def remembered(self, memory: Any) -> dict[str, Any]:
        """The parts of a memory by their names in the code; empty where they have none."""
        return {}

    def numbers(self, memory: Any, shape: tuple[int, ...]) -> dict[str, list[float]]:
        """The parts of a memory that have a number for every coordinate, or one for all."""
        import numpy as np

        parts = dict[str, list[float]]()
        for name, value in self.remembered(memory).items():
            with contextlib.suppress(TypeError, ValueError):
                parts[name] = np.broadcast_to(np.asarray(value, dtype=np.float64), shape).ravel().tolist()
        return parts


class Function(Interface):
    """`f(w, g, ...)`; the other parameters are hyperparameters, the number of the step, or state.

    A parameter is state if it has no default, and no type and no name of a hyperparameter, or if the function returns
    it after w and its default is 0 or None or its name that of the step number. State without a default starts at zero.
    """

    def __init__(self, code: UserCode) -> None:
        super().__init__(code)
        others = self.parameters[2:]
        if len(self.parameters) < 2:
            raise UsageError(f"{code.place} needs at least two parameters, w (the point) and g (its gradient)")
        if containers := [p.name for p in self.parameters if p.name in CONTAINERS and p.default is EMPTY]:
            kind = RULES.get(_optimizer(code.name), RULES["momentum"])
            required = {f.name: COMMON_VALUES.get(f.name) for f in fields(kind) if f.default is MISSING}
            header, end = as_function(kind(**required), code.name)
            problem = f"{code.place} takes a list or dict, {', '.join(containers)}"
            raise UsageError(f"{problem}; expected each number and array by its name: {header} ... {end}")
        known = HYPERPARAMETERS | STEP_NUMBER
        states = {p.name for p in others if p.default is EMPTY and not scalar_type(p) and p.name not in known}
        states |= _returned_states(code, others, states)
        self.starts = {p.name: p.default for p in others if p.name in states}
        self.counts = [p.name for p in others if p.name in STEP_NUMBER - states and type(p.default) is not float]
        self.parameters = [p for p in others if p.name not in {*states, *self.counts}]

    def begin(self, w: Array, arguments: Arguments) -> Any:
        return tuple(_zeros(name, w) if start is EMPTY else start for name, start in self.starts.items())

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
        result = self.call(w, g, **arguments, **dict.fromkeys(self.counts, t), **self.remembered(memory))
        point, *after = result if isinstance(result, tuple) else (result,)
        if not after and [*self.starts] == ["state"]:  # a dict that may be changed in place
            return point, memory
        if len(after) != len(memory):
            names = ", ".join(["w", *self.starts])
            count = f"{len(after)} values after w, not its state"
            wrong = "a list, not a tuple" if isinstance(result, list) else count
            raise UsageError(f"returned {wrong}: end it with return {names}")
        return point, tuple(after)

    def remembered(self, memory: Any) -> dict[str, Any]:
        return dict(zip(self.starts, memory, strict=True))


def _zeros(name: str, w: Array) -> Any:
    import numpy as np

    return {} if name == "state" else 0 if name in STEP_NUMBER else np.zeros_like(w)


def _returned_states(code: UserCode, others: list[inspect.Parameter], states: set[str]) -> set[str]:
    """The parameters with the default 0 or None, and the number of the step, that are state; one call without them
    shows how many are returned.
    """
    zero = {p.name for p in others if p.default is None or (type(p.default) in (int, float) and not p.default)}
    zero = zero - COMMON_VALUES.keys() | STEP_NUMBER
    if not (names := [p.name for p in others if p.name in zero]):
        return set()
    import numpy as np

    w, result = np.ones(2), None
    arguments: dict[str, Any] = {p.name: COMMON_VALUES.get(p.name, 0.5) for p in others if p.default is EMPTY}
    arguments |= dict.fromkeys(STEP_NUMBER & arguments.keys(), 1) | {name: _zeros(name, w) for name in states}
    with (
        contextlib.suppress(UsageError),
        np.errstate(all="ignore"),
        code.running(0),
    ):  # or it fails at its first step
        result = code.load()(w, np.ones(2), **arguments)
    count = len(result) - 1 - len(states) if isinstance(result, tuple) else 0
    for some in ({*names}, {*names} - STEP_NUMBER, {*names} & STEP_NUMBER):
        if count == len(some):
            return some
    if count > 0:
        raise UsageError(f"{code.place} returns {count} of {', '.join(names)}: state needs no default")
    return set()


class Stateful(Interface):
    """A class whose `update(w, g)` returns the new w; its memory is what its instance has as attributes."""

    def begin(self, w: Array, arguments: Arguments) -> Any:
        return dict(arguments), _attributes(self.call(**arguments))

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
        import numpy as np

        written, attributes = memory
        for name, value in arguments.items():
            if value is not written[name] and not np.array_equal(value, written[name]):  # a schedule's
                if not np.array_equal(attributes.get(name, np.nan), written[name]):
                    raise UsageError(f"keeps no attribute {name} that a schedule could change")
                attributes[name] = value
        instance = self.call.__new__(self.call)
        for name, value in attributes.items():
            if isinstance(getattr(self.call, name, None), MemberDescriptorType):  # one of __slots__
                object.__setattr__(instance, name, value)
            else:
                vars(instance)[name] = value
        point = (instance.update if hasattr(instance, "update") else instance.step)(w, g)
        return point, (dict(arguments), _attributes(instance))

    def remembered(self, memory: Any) -> dict[str, Any]:
        written, attributes = memory
        return {name: value for name, value in attributes.items() if name not in written}


def _attributes(instance: Any) -> dict[str, Any]:
    """The attributes of an instance, those of `__slots__` included."""
    state: Any = object.__getstate__(instance)  # a dict; with slots a pair of dicts; None for empty ones
    return {**(state[0] or {}), **state[1]} if isinstance(state, tuple) else dict(state or {})


class StepInterface(Interface):
    """The step API: `init(w) -> state`, and `step(w, g, t, state) -> (w, state)` as optilab's rules have it, or
    `update(g, state) -> (step, state)`."""

    def begin(self, w: Array, arguments: Arguments) -> Any:
        return self.call(**arguments).init(w)

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
        rule = self.call(**arguments)
        name = "update" if hasattr(rule, "update") else "step"
        result = rule.update(g, memory) if name == "update" else rule.step(w, g, t, memory)
        if not isinstance(result, tuple) or len(result) != 2:
            end = "step, state" if name == "update" else "w, state"
            raise UsageError(f"{name} returned {shown(result)}; expected {end}")
        return (w + result[0] if name == "update" else result[0]), result[1]

    def remembered(self, memory: Any) -> dict[str, Any]:
        return dict(memory._asdict()) if hasattr(memory, "_asdict") else {"state": memory}


class TorchInterface(Interface):
    """A torch.optim.Optimizer on one tensor in float64; its memory is the optimizer itself, which is not copied."""

    def __init__(self, code: UserCode) -> None:
        super().__init__(code)
        self.parameters = [p for p in self.parameters[1:] if p.name not in TORCH_IMPLEMENTATION_FLAGS]

    def begin(self, w: Array, arguments: Arguments) -> Any:
        import torch

        parameter = torch.tensor(w, requires_grad=True)
        return parameter, self.call([parameter], **arguments)

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
        import torch

        parameter, optimizer = memory
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # for numbers that an optimizer keeps next to its tensors
        try:
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(w))
            for group in optimizer.param_groups:
                if "lr" in arguments and "lr" in group:
                    group["lr"] = arguments["lr"]
            parameter.grad = torch.from_numpy(g)
            optimizer.step()
        finally:
            torch.set_default_dtype(default)
        return parameter.detach().numpy().copy(), memory

    def copied(self, memory: Any) -> Any:
        return memory


def interface_of(code: UserCode) -> Interface:
    """The interface that a class or function has. UsageError for a class without one."""
    loaded, torch = code.load(), sys.modules.get("torch")
    if not isinstance(loaded, type):
        return Function(code)
    if torch is not None and issubclass(loaded, torch.optim.Optimizer):
        return TorchInterface(code)
    if not (hasattr(loaded, "update") or hasattr(loaded, "step")):
        raise UsageError(f"{code.place} has no method update(w, g); what is accepted: optilab help own")
    if not hasattr(loaded, "init"):
        return Stateful(code)
    if isinstance(needs := getattr(loaded, "needs", ()), tuple) and needs:
        raise UsageError(f"{code.place} needs {', '.join(needs)}; a custom optimizer gets gradients only")
    return StepInterface(code)
