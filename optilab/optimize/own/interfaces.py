"""The interfaces that a user's rule may have, each as two functions: `begin` makes its memory, `follow` takes a step.

    def momentum(w, g, lr, V, beta): ... return w, V      a function; it returns the state it takes, after w
    class Adam:                                            a class with state: a new w for every gradient
        def __init__(self, lr, beta1, beta2, eps): ...
        def update(self, w, g): ... return w
    class Rule: init(x) -> state, update(g, state) -> step, state     the step API of optilab.optimize
    class Mine(torch.optim.Optimizer)                      an optimizer of torch

Arrays are NumPy's and have the shape of w; an optimizer of torch gets tensors. `arguments` are the code's own
parameters. A memory is data (arrays, numbers, texts, tuples, lists, dicts), except that of torch.
"""

import copy
import inspect
import sys
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from optilab.errors import UsageError
from optilab.optimize.algorithms.rule import Array
from optilab.optimize.own.signature import STEP_NUMBER

Arguments = Mapping[str, Any]


class Protocoled(Protocol):
    """An interface of a user's code."""

    def begin(self, w: Array, arguments: Arguments) -> Any:
        """The memory before the first step from w."""

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
        """The next w after step t, from 1, and the next memory; w, g and memory may be changed in place."""

    def remembered(self, memory: Any) -> dict[str, Any]:
        """The parts of a memory by their names in the code; empty where they have none."""


def interface_of(code: Any, hyper_parameters: set[str]) -> Protocoled:
    """The interface that a class or function has."""
    if not isinstance(code, type):
        return Function(code, hyper_parameters)
    torch = sys.modules.get("torch")
    if torch is not None and issubclass(code, torch.optim.Optimizer):
        return TorchInterface(code)
    if hasattr(code, "init") and hasattr(code, "update"):
        return StepInterface(code)
    method = next((name for name in ("update", "step") if hasattr(code, name)), None)
    if method is None:
        raise UsageError("has no method update(w, g)")
    return Stateful(code, method)


class Function:
    """`f(w, g, ...)`; parameters without a default that are not hyper-parameters are state, which starts at zero."""

    def __init__(self, code: Any, hyper_parameters: set[str]) -> None:
        _, _, *others = inspect.signature(code).parameters.values()
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        rest = [p for p in others if p.kind in named and p.name not in hyper_parameters]
        self.code = code
        self.counts = [p.name for p in rest if p.name in STEP_NUMBER]
        self.states = [p.name for p in rest if p.name not in self.counts and p.default is inspect.Parameter.empty]

    def begin(self, w: Array, arguments: Arguments) -> Any:
        return tuple({} if name == "state" else np.zeros_like(w) for name in self.states)

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
        states = dict(zip(self.states, memory, strict=True))
        result = self.code(w, g, **arguments, **dict.fromkeys(self.counts, t), **states)
        if not isinstance(result, tuple):
            if len(self.states) > (self.states == ["state"]):
                raise UsageError(self._returned(0))
            return result, memory  # a dict called `state` may be changed in place
        point, *after = result
        if len(after) != len(self.states):
            raise UsageError(self._returned(len(after)))
        return point, tuple(after)

    def remembered(self, memory: Any) -> dict[str, Any]:
        return dict(zip(self.states, memory, strict=True))

    def _returned(self, count: int) -> str:
        advice = " (a hyper-parameter needs a default, as in nu=0.7)" if count < len(self.states) else ""
        return f"returned w and {count} more; it takes the states {', '.join(self.states) or '-'}{advice}"


class Stateful:
    """A class whose `update(w, g)` returns the new w; its memory is what its instance has as attributes."""

    def __init__(self, code: Any, method: str) -> None:
        self.code, self.method = code, method

    def begin(self, w: Array, arguments: Arguments) -> Any:
        if not isinstance(w, np.ndarray):
            return tuple(self._moving(w, arguments).values())
        try:
            return dict(arguments), vars(self.code(**arguments))
        except TypeError as error:
            if "__dict__" not in str(error):
                raise
            raise UsageError("has no attributes of its own (__slots__), so its state cannot be kept") from None

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
        if not isinstance(w, np.ndarray):
            return self._traced(w, g, memory, arguments)
        given, attributes = memory
        for name, value in arguments.items():
            if value is not given[name] and value != given[name]:  # a schedule's
                if not np.array_equal(attributes.get(name, np.nan), given[name]):
                    raise UsageError(f"keeps no attribute {name} that a schedule could change")
                attributes[name] = value
        instance = self.code.__new__(self.code)
        vars(instance).update(attributes)
        point = getattr(instance, self.method)(w, g)
        return point, (dict(arguments), vars(instance))

    def remembered(self, memory: Any) -> dict[str, Any]:
        given, attributes = memory
        return {name: value for name, value in attributes.items() if name not in given}

    def _traced(self, w: Array, g: Array, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
        """One step on symbols, whose memory is a tuple of the attributes that change."""
        names, instance = list(self._moving(w, arguments)), self.code(**arguments)
        vars(instance).update(zip(names, memory, strict=True))
        point = getattr(instance, self.method)(w, g)
        return point, tuple(vars(instance)[name] for name in names)

    def _moving(self, w: Array, arguments: Arguments) -> dict[str, Any]:
        """The attributes that a step changes, as they are before it, in the shape that they have after it."""
        start, after = vars(self.code(**arguments)), self.code(**arguments)
        getattr(after, self.method)(copy.copy(w), copy.copy(w))
        changed = {name: value for name, value in vars(after).items() if value is not start.get(name)}
        if not all(isinstance(start.get(name), int | float | np.ndarray) for name in changed):
            raise TypeError("an attribute that is no number at first")
        return {
            name: np.full(np.shape(value), start[name]) if np.ndim(start[name]) == 0 else start[name]
            for name, value in changed.items()
        }


class StepInterface:
    """The step API: `init(x) -> state`, `update(g, state) -> (step, state)`."""

    def __init__(self, code: Any) -> None:
        self.code = code
        if needs := getattr(code, "needs", ()):
            raise UsageError(
                f"needs the {' and '.join(needs)} of the function; a rule of your own gets gradients only"
            )

    def begin(self, w: Array, arguments: Arguments) -> Any:
        return self.code(**arguments).init(w)

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
        step, memory = self.code(**arguments).update(g, memory)
        return w + step, memory

    def remembered(self, memory: Any) -> dict[str, Any]:
        return dict(memory._asdict()) if hasattr(memory, "_asdict") else {"state": memory}


class TorchInterface:
    """A torch.optim.Optimizer on one tensor in float64; its memory is the optimizer itself, which is not copied."""

    def __init__(self, code: Any) -> None:
        self.code = code

    def begin(self, w: Array, arguments: Arguments) -> Any:
        import torch

        parameter = torch.tensor(w, requires_grad=True)
        return parameter, self.code([parameter], **arguments)

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
        import torch

        parameter, optimizer = memory
        usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # for numbers that an optimizer keeps beside its tensors
        try:
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(w))
            for group in optimizer.param_groups:
                if "lr" in arguments and "lr" in group:
                    group["lr"] = arguments["lr"]
            parameter.grad = torch.from_numpy(g)
            optimizer.step()
        finally:
            torch.set_default_dtype(usual)
        return parameter.detach().numpy().copy(), memory

    def remembered(self, memory: Any) -> dict[str, Any]:
        return {}  # it has changed already: torch's optimizers keep one state
