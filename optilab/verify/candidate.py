"""A user's own optimizer: loaded from a file, called by its parameters' names, followed step by step.

Accepted interfaces, recognised by the names of their parameters:

    def momentum(w, g, lr, V, beta): ... return w, V      a function; it returns the state it takes, after w
    class Adam:                                            a class with state: a new w for every gradient
        def __init__(self, lr, beta1, beta2, eps): ...
        def update(self, w, g): ... return w
    class Rule: init(x) -> state, update(g, state) -> step, state     the step API of optilab.optimize
    class Mine(torch.optim.Optimizer)                      an optimizer of torch

Hyper-parameters are passed by name where they are asked for (`beta1` also as `b1`, or both as `betas`). A function
gets the number of the step, from 1, as `t` (or `step`, `epoch`, `k`, `iteration`); other names without a default
are state, which starts at zero, or as an empty dict if it is called `state`.
"""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optilab.errors import UsageError, did_you_mean
from optilab.optimize import TestFunction
from optilab.optimize.functions import Floats
from optilab.verify.time_limit import counted

_ALIASES = {
    "lr": ("learning_rate", "alpha", "eta", "step_size"),
    "beta": ("momentum", "gamma", "mu", "beta1"),
    "beta1": ("b1",),
    "beta2": ("b2",),
    "decay": ("rho", "alpha", "gamma", "beta", "beta2"),
    "eps": ("epsilon",),
    "weight_decay": ("wd",),
}
_STEP_NUMBER = {"t", "step", "epoch", "k", "iteration"}


@dataclass(frozen=True)
class Candidate:
    """The class or function `code` that FILE:NAME names."""

    label: str
    file: Path
    code: Any

    def accepts(self, setting: str, settings: Mapping[str, Any]) -> bool:
        """Whether the code takes this hyper-parameter."""
        return setting in _arguments(self.code, settings).values() or (
            setting in ("beta1", "beta2") and "betas" in _parameters(self.code)
        )

    def path(self, settings: Mapping[str, Any], function: TestFunction, start: Any, steps: int) -> Floats:
        """The points it visits, (steps + 1, d).

        Raises UsageError, with the line in the user's file, if the code fails or does not return a point.
        """
        w = np.array(start, dtype=np.float64)
        points = [w]
        t = 0
        try:
            with counted(1), redirect_stdout(sys.stderr):
                step = self._stepper(settings, w)
            for t in range(1, steps + 1):
                with np.errstate(all="ignore"):
                    gradient = function.gradient(w)
                with np.errstate(all="ignore"), counted(t), redirect_stdout(sys.stderr):
                    result = step(w.copy(), gradient, t)
                if result is None:
                    raise UsageError("returned nothing; the new w is expected")
                w = np.array(result, dtype=np.float64)
                if w.shape != points[0].shape:
                    raise UsageError(f"returned an array of shape {w.shape}, not {points[0].shape}")
                points.append(w)
        except UsageError as error:
            raise UsageError(f"{self.label}: {error}") from None
        except (Exception, SystemExit) as error:
            raise UsageError(f"{self.label} failed at step {t}: {self._own_line(error)}") from None
        return np.stack(points)

    def _own_line(self, error: BaseException) -> str:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == self.file]
        where = f"line {frames[-1].lineno}: " if frames else ""
        return f"{where}{type(error).__name__}: {error}"

    def _stepper(self, settings: Mapping[str, Any], start: Floats) -> Callable[[Floats, Floats, int], Any]:
        """The next w from (w, gradient, t)."""
        arguments: dict[str, Any] = {name: settings[key] for name, key in _arguments(self.code, settings).items()}
        if "betas" in _parameters(self.code):
            arguments["betas"] = (settings["beta1"], settings["beta2"])
        if not isinstance(self.code, type):
            return _of_function(self.code, arguments, start)
        torch = sys.modules.get("torch")
        if torch is not None and issubclass(self.code, torch.optim.Optimizer):
            return _of_torch(self.code, arguments, start)
        instance = self.code(**arguments)
        if hasattr(instance, "init") and hasattr(instance, "update"):
            return _of_rule(instance, start)
        method = getattr(instance, "update", None) or getattr(instance, "step", None)
        if method is None:
            raise UsageError("has no method update(w, g)")
        return lambda w, g, t: method(w, g)


def load(spec: str) -> Candidate:
    """The class or function NAME of the Python file in `FILE:NAME`; the file is executed.

    Raises UsageError where there is no such file or name, or the file cannot be executed.
    """
    file, colon, name = spec.rpartition(":")
    path = Path(file).resolve()
    if not colon or not name.isidentifier():
        raise UsageError(f"FILE:NAME expected, as in my_adam.py:Adam; got {spec}")
    if not path.is_file():
        raise UsageError(f"there is no file {file}")
    loader = importlib.util.spec_from_file_location(f"optilab_candidate_{path.stem}", path)
    if loader is None or loader.loader is None:
        raise UsageError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(loader)
    sys.modules[module.__name__] = module  # a dataclass looks itself up there
    sys.path.insert(0, str(path.parent))  # as Python does for a file that it runs
    try:
        with counted(0), redirect_stdout(sys.stderr):
            loader.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        line = next(
            (f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path), None
        )
        line = error.lineno if isinstance(error, SyntaxError) else line
        raise UsageError(f"{file}:{line}: {type(error).__name__}: {error}") from None
    finally:
        sys.path.remove(str(path.parent))
    code = getattr(module, name, None)
    if not callable(code):
        own = [
            n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__
        ]
        raise UsageError(f"{file} has no {name}{did_you_mean(name, own) or '; it has ' + ', '.join(own)}")
    return Candidate(f"{Path(file).name}:{name}", path, code)


def _parameters(code: Any) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(code).parameters
    except (TypeError, ValueError):
        return {}


def _arguments(code: Any, settings: Mapping[str, Any]) -> dict[str, str]:
    """Parameter -> setting; a setting's own name takes precedence over its aliases."""
    taken: dict[str, str] = {}
    names = list(_parameters(code))
    for key in settings:
        for name in (key, *_ALIASES.get(key, ())):
            if name in names and name not in taken and (name == key or name not in settings):
                taken[name] = key
                break
    return taken


def _of_function(function: Any, arguments: Mapping[str, Any], start: Floats) -> Callable[..., Any]:
    if len(_parameters(function)) < 2:
        raise UsageError(f"takes {len(_parameters(function))} argument(s); w and g are needed")
    first, second, *others = _parameters(function).values()
    counts = [p.name for p in others if p.name in _STEP_NUMBER and p.name not in arguments]
    states = [
        p.name
        for p in others
        if p.name not in arguments and p.name not in counts and p.default is inspect.Parameter.empty
    ]
    remembered: dict[str, Any] = {name: {} if name == "state" else np.zeros_like(start) for name in states}

    def step(w: Floats, g: Floats, t: int) -> Any:
        result = function(**{first.name: w, second.name: g}, **arguments, **dict.fromkeys(counts, t), **remembered)
        if isinstance(result, tuple):
            result, *after = result
            if len(after) != len(states):
                raise UsageError(
                    f"returned w and {len(after)} more; it takes the states {', '.join(states) or '-'}"
                )
            remembered.update(zip(states, after, strict=True))
        return result

    return step


def _of_rule(rule: Any, start: Floats) -> Callable[..., Any]:
    state = rule.init(start)

    def step(w: Floats, g: Floats, t: int) -> Any:
        nonlocal state
        taken, state = rule.update(g, state)
        return w + taken

    return step


def _of_torch(kind: Any, arguments: Mapping[str, Any], start: Floats) -> Callable[..., Any]:
    import torch

    parameter = torch.tensor(start, requires_grad=True)
    optimizer = kind([parameter], **arguments)

    def step(w: Floats, g: Floats, t: int) -> Any:
        usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # for numbers that an optimizer keeps beside its tensors
        try:
            parameter.grad = torch.from_numpy(g.copy())
            optimizer.step()
        finally:
            torch.set_default_dtype(usual)
        return parameter.detach().numpy()

    return step
