"""A user's code, accepted wherever the name of a rule or of a network is: `FILE.py:NAME`, `package.module:NAME`.

The accepted interfaces of a rule, each as two functions: `begin` makes its memory, `follow` takes a step.

    def momentum(w, g, lr, V, beta): ... return w, V      a function; it returns the state it takes, after w
    class Adam:                                            a class with state: a new w for every gradient
        def __init__(self, lr, beta1, beta2, eps): ...
        def update(self, w, g): ... return w
    class Rule: init(x) -> state, update(g, state) -> step, state     the step API of optilab.optimize
    class Mine(torch.optim.Optimizer)                      an optimizer of torch

Arrays are NumPy's and have the shape of w; an optimizer of torch gets tensors. `arguments` are the code's own
parameters. A memory is data (arrays, numbers, texts, tuples, lists, dicts), except that of torch.

The file is executed when the code is used, and the settings of a rule are the parameters of its signature. Commands
that only read runs take the settings that are recorded.
"""

import contextlib
import copy
import hashlib
import importlib.util
import inspect
import linecache
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields, make_dataclass, replace
from functools import cache, cached_property
from importlib.machinery import PathFinder
from pathlib import Path
from types import FunctionType, MemberDescriptorType, ModuleType
from typing import Any, ClassVar

from optilab.errors import SYNONYMS, Interrupted, SystemFailure, UsageError, did_you_mean, printable, shown
from optilab.optimize import formula as formulas
from optilab.optimize.arrays import Array
from optilab.optimize.operations import FUNCTIONS
from optilab.optimize.rule import (
    COMMON_VALUES,
    RESERVED_SETTINGS,
    RULES,
    Rule,
    State,
    as_function,
    formula_rule,
    is_formula,
)

MAX_ERROR, MAX_LINE = 500, 80
"""Characters of an exception and of a line of code that are repeated."""
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
SCALARS: Mapping[Any, type] = {"float": float, "int": int, "bool": bool, "str": str}
EMPTY = inspect.Parameter.empty


# --- the file ----------------------------------------------------------------------------------------------


@dataclass(unsafe_hash=True)
class UserCode:
    """A class or function: `name` of a file, of an installed `module`, or `definition`, an object of this process.
    Without a `name` it is a file, of which a use takes the only part that fits, or refuses it.

    `source` is the content of the file when it was read, and `sha256` its checksum; an object has them where Python
    knows its source, such as the cell of a notebook.
    """

    path: Path
    name: str
    sha256: str = ""
    source: bytes = field(default=b"", repr=False, compare=False)
    module: str = ""
    definition: Any = None
    executed: ModuleType | None = field(default=None, repr=False, compare=False)

    def __deepcopy__(self, memo: Any) -> "UserCode":
        return self

    @classmethod
    def recorded(cls, tree: Mapping[str, Any]) -> "UserCode":
        """Read the code that a run's config names; its file need not exist any more."""
        place, _, name = str(tree["name"]).rpartition(":")
        return cls(Path(place), name, str(tree.get("sha256", "")))

    @property
    def reference(self) -> str:
        """The name of the code in a config; its path is absolute."""
        return f"{self.module or self.path}:{self.name}"

    @property
    def display_name(self) -> str:
        """The name in tables and messages: `my_adam.py:Adam`."""
        if self.definition is not None:
            return self.name
        return self.reference if self.module else f"{self.path.name}:{self.name}"

    @property
    def file(self) -> str:
        """The file for messages, as one types it in the current directory; the cell of a notebook."""
        if self.definition is not None and not self.path.is_file():
            return f"the cell of {self.name}"
        return os.path.relpath(self.path) if self.path.is_relative_to(Path.cwd()) else str(self.path)

    @property
    def line(self) -> int:
        """The line of the function, or of what the class is called by at each step; 0 where it is not in the file."""
        names = ("update", "step", "forward", "__init__")
        functions = [self.load(), *(getattr(self.load(), name, None) for name in names)]
        codes = [getattr(inspect.unwrap(function), "__code__", None) for function in functions]
        return next((code.co_firstlineno for code in codes if code and code.co_filename == str(self.path)), 0)

    @property
    def place(self) -> str:
        """`my_adam.py:7: Adam`, for messages."""
        return f"{self.file}{f':{self.line}' * bool(self.line)}: {self.name}"

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """The parameters of the class or function, except *args and **kwargs."""
        try:
            parameters = inspect.signature(self.load()).parameters.values()
        except (TypeError, ValueError):
            return []
        return [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]

    def load(self) -> Any:
        """The class or function. UsageError where the file cannot be executed or has no such name."""
        if self.definition is not None:
            return self.definition
        code = getattr(self._module(), self.name, None)
        if not callable(code):
            names = ", ".join(self.defined) or "no class and no function"
            if not self.name:
                raise UsageError(f"expected {self.file}:NAME; it has {names}")
            near = did_you_mean(self.name, self.defined) or f"; it has {names}"
            raise UsageError(f"{self.file} has no {self.name}{near}")
        return code

    @property
    def defined(self) -> dict[str, Any]:
        """The classes and functions that the file defines."""
        items = {k: item for k, item in vars(self._module()).items() if isinstance(item, type | FunctionType)}
        return {k: item for k, item in items.items() if item.__module__ == self._module().__name__}

    def _module(self) -> ModuleType:
        """The file as a module; it is executed once, from the bytes that were digested."""
        if self.executed is None:
            with self.running(None):
                if self.module:
                    self.executed = importlib.import_module(self.module)
                    return self.executed
                module = ModuleType(f"optilab_own_{self.path.stem}_{self.sha256[:8]}")
                module.__file__ = str(self.path)
                sys.modules[module.__name__] = module  # a dataclass looks itself up there
                exec(compile(self.source, str(self.path), "exec"), vars(module))
                self.executed = module
        return self.executed

    @contextmanager
    def running(self, at: int | str | None) -> Iterator[None]:
        """Run the code inside: its output goes to stderr, the working directory is put back after it, and an error
        names its line and where it was: `at` a step, `in its forward pass`; None while the file is executed.
        """
        if at is not None:
            self.load()
        try:
            with _directory_put_back(), contextlib.redirect_stdout(sys.stderr), self._importing():
                yield
        except UsageError as error:
            if at is None:
                raise self.failure(error, at) from None
            step = f", step {at}" + f": line {self.line}" * bool(self.line) if isinstance(at, int) and at else ""
            raise UsageError(f"{self.display_name}{step}: {error}") from None
        except (SystemFailure, KeyboardInterrupt, Interrupted):
            raise
        except BaseException as error:
            raise self.failure(error, at) from None

    @cached_property
    def neighbors(self) -> str:
        """The directory that a file imports from, as one that Python runs; empty for an installed module, an object."""
        return "" if self.module or self.definition is not None else str(self.path.parent)

    @contextmanager
    def _importing(self) -> Iterator[None]:
        """Let the code inside import the neighbors of its file."""
        if self.neighbors:
            sys.path.insert(0, self.neighbors)
        try:
            yield
        finally:
            if self.neighbors and self.neighbors in sys.path:  # unless the code has removed it
                sys.path.remove(self.neighbors)

    def failure(self, error: BaseException, at: int | str | None) -> UsageError:
        """The error that the code raised, with the line that raised it."""
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(self.path)]
        line = frames[-1].lineno if frames else None
        if isinstance(error, SyntaxError) and error.filename == str(self.path):
            line = error.lineno
        words = exception_text(error).replace(f" ({self.path.name}, line {line})", "")
        if line and (code := self.source.decode(errors="replace").splitlines()[line - 1 : line]):
            words += f", in: {printable(code[0].strip()[:MAX_LINE])}"
        if at is None:
            return UsageError(f"{self.file}{f':{line}' if line else ''}: {words}")
        place = (f"at step {at}" if at else "before its first step") if isinstance(at, int) else at
        return UsageError(f"{self.display_name} failed {place}: {f'line {line}: ' if line else ''}{words}")


def _working_directory() -> str:
    """Empty where it has been removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


@contextmanager
def _directory_put_back() -> Iterator[None]:
    """Go back to the working directory afterwards, if it was changed and is still there."""
    before = _working_directory()
    try:
        yield
    finally:
        if _working_directory() != before:
            with contextlib.suppress(OSError):
                os.chdir(before)


def exception_text(error: BaseException) -> str:
    """The name and the text of an exception, whatever its own `__str__` does, safe for a terminal."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    return printable(f"{type(error).__name__}: {text}"[:MAX_ERROR])


def is_user_code(name: Any) -> bool:
    """True for FILE.py:NAME, package.module:NAME, and a class or function of this process."""
    is_text = isinstance(name, str) and not name.startswith("{")  # a mapping
    return callable(name) or (is_text and (":" in name or name.endswith(".py")))


def user_code(reference: str | Callable[..., Any]) -> UserCode:
    """The code of `FILE.py:NAME`, `FILE.py`, `package.module:NAME`, or of an object; nothing is executed.

    UsageError where there is no such file or module, or the object is no class or function.
    """
    if not isinstance(reference, str):
        return _code_of_object(reference)
    place, _, name = reference.rpartition(":")
    if reference.endswith(".py"):
        place, name = reference, ""
    elif not place or not name.isidentifier():
        raise UsageError(f"expected FILE.py:NAME or package.module:NAME, got {shown(reference, 200)}")
    if place == "__main__" and callable(item := getattr(sys.modules[place], name, None)):
        return _code_of_object(item)  # the same cell or script resumes its run
    path, module = Path(place), ""
    if not path.is_file() and path.suffix != ".py" and all(part.isidentifier() for part in place.split(".")):
        path, module = _file_of_module(place), place
    path = Path(os.path.realpath(path))
    if not path.is_file():
        near = did_you_mean(path.name, [file.name for file in path.parent.glob("*.py")])
        raise UsageError(f"there is no file {place}{near}")
    if path.suffix != ".py":
        raise UsageError(f"{place} is not a Python file; its name ends in .py")
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return UserCode(path, name, hashlib.sha256(source).hexdigest(), source, module)


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


def _file_of_module(name: str) -> Path:
    """The source of an installed module; its packages are not imported."""
    first, *rest = name.split(".")
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(first)
        for part in rest:
            spec = spec and PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations or [])
        if spec and str(spec.origin).endswith(".py"):
            return Path(str(spec.origin))
    raise UsageError(f"there is no file {name} and no installed module of that name with Python source")


def _code_of_object(item: Callable[..., Any]) -> UserCode:
    name = printable(getattr(item, "__name__", ""))
    if not callable(item) or not name:
        raise UsageError(f"expected a class, a function or FILE.py:NAME, got {shown(item)}")
    members = [item, *vars(item).values()] if isinstance(item, type) else [item]
    code = next(filter(None, (getattr(member, "__code__", None) for member in members)), None)
    path = Path(code.co_filename if code else "<unknown>")
    source = "".join(linecache.getlines(str(path))).encode()  # of a cell, too
    digest = hashlib.sha256(source).hexdigest() if source else ""
    return UserCode(path, name.strip("<>"), digest, source, item.__module__, item)


def formula_of(function: Callable[..., Any]) -> str:
    """The formula of a Python function of a point w, or of x, y, ...: what it does to symbols in place of numbers.

    UsageError where it needs a number, as a branch on a value does, or a function that symbols do not have.
    """
    import numpy as np

    code = user_code(function)
    symbols = [formulas.symbol(f"w{n}") for n in range(1, 10)]
    count = sum(p.default is EMPTY for p in code.parameters)
    points: list[Any] = [[np.array(symbols[:n], dtype=object)] for n in range(2, 10)]
    failure, value = UsageError(f"{code.place}: expected a function of one or more coordinates"), None
    available = ", ".join(name for name in FUNCTIONS if hasattr(formulas.Node, name))
    for point in [symbols[:count]] if count > 1 else [points[0], symbols[:1], *points[1:]][: 9 * count]:
        try:
            with code.running(f"as a formula, which has {available} of NumPy and no branch on a value"):
                value = function(*point)
        except UsageError as error:  # such as w[2] of a point with two coordinates
            failure = UsageError(f"{error}".replace("Node", "symbol")) if value is None else failure
        if isinstance(value, formulas.Node):
            return formulas.text(value)
    raise (
        failure
        if value is None
        else UsageError(f"{code.place} returned {shown(value)}; expected a number that depends on the point")
    )


# --- the interfaces ----------------------------------------------------------------------------------------

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
        self.counts = [p.name for p in others if p.name in STEP_NUMBER - states]
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


def scalar_type(parameter: inspect.Parameter) -> type | None:
    """The type of a parameter whose annotation is a number, a truth value or a text."""
    return SCALARS.get(getattr(parameter.annotation, "__name__", parameter.annotation))


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


def _interface(code: UserCode) -> Interface:
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


# --- the rule ----------------------------------------------------------------------------------------------


def is_data(value: Any) -> bool:
    """True if a config can hold the value."""
    if isinstance(value, list | tuple):
        return all(map(is_data, value))
    return value is None or isinstance(value, bool | int | float | str)


def _settings(parameters: list[inspect.Parameter]) -> Iterator[tuple[str, str, Any, Any]]:
    """(key of the config, parameter, type, default or MISSING) of a rule; `betas` are two keys.

    A parameter whose default is no data stays what the code says.
    """
    for p in parameters:
        default = COMMON_VALUES.get(p.name, MISSING) if p.default is EMPTY else p.default
        default = tuple(default) if isinstance(default, list) else default
        renamed = p.name in ("learning_rate", "eta", "step_size") and all(q.name != "lr" for q in parameters)
        types = {int: int | float, float: float, bool: bool, str: str, type(MISSING): float}
        kind = scalar_type(p) or types.get(type(default), Any)  # `weight_decay=0` may become 0.1
        if p.name == "betas":
            pair = default if isinstance(default, tuple) else (0.9, 0.999)
            yield from ((f"beta{n}", p.name, float, value) for n, value in enumerate(pair, 1))
        elif default is MISSING or is_data(default):
            yield "lr" if renamed else p.name, p.name, kind, default


@dataclass(frozen=True)
class UserRule(Rule):
    """Base of the classes that `rule_class` makes: their fields are the hyperparameters of the user's code.

    The code sees one point at a time, an array (d,). For arrays (..., d) it runs once per point, so that a rule that
    looks at the whole vector gives in a map what it gives on a path; `on_blocks` runs it once for all points.
    """

    code: ClassVar[UserCode]
    interface: ClassVar[Interface]
    parameters: ClassVar[Mapping[str, str]]
    """Setting -> the parameter of the code that gets it; two make `betas`."""
    on_arrays: ClassVar[bool] = False
    """True if the code sees all points (..., d) at once, and each setting as an array (..., 1)."""
    recorded: ClassVar[bool] = False
    """True if the code is not executed: only the settings are read."""
    states = ("memories",)
    needs = ()

    @property
    def shaped(self) -> bool:
        """True if an attribute `shaped = True` of the code requests each weight in its shape."""
        return bool(getattr(self.code.load(), "shaped", False))

    @property
    def pointwise(self) -> bool:
        """True if an attribute `pointwise = True` of the code declares that it treats each number by itself."""
        return bool(getattr(self.code.load(), "pointwise", False))

    @property
    def formula(self) -> str:
        """The `formula` that the code states, or the place of the code."""
        formula = getattr(self.code.load(), "formula", None)
        if isinstance(formula, property):
            with self.code.running(0):
                formula = self.code.load()(**self.arguments()).formula
        return formula if isinstance(formula, str) else f"the code of {self.name}"

    @cached_property
    def stated(self) -> Rule | None:
        """The rule of the `formula` that the code states, with the same settings; None where it states none that
        can be run.
        """
        if not is_formula(self.formula):
            return None
        kind: Any = formula_rule(self.formula)
        names = [field.name for field in fields(kind)]
        if missing := [name for name in names if not hasattr(self, name)]:
            raise UsageError(
                f"{self.name}: `formula` has {', '.join(missing)}, which is not a setting of the code"
            )
        rule: Rule = kind(**{name: getattr(self, name) for name in names})
        return rule

    def arguments(self, cell: int = 0, shape: tuple[int, ...] = ()) -> dict[str, Any]:
        """The parameters of the code for a single point of `shape`; settings may be arrays (..., 1)."""
        arguments: dict[str, Any] = {}
        for key, parameter in self.parameters.items():
            value = getattr(self, key)
            if getattr(value, "ndim", 0) and not self.on_arrays:
                import numpy as np

                value = np.broadcast_to(value[..., 0], shape).reshape(-1)[cell].item()
            arguments[parameter] = (*arguments.get("betas", ()), value) if parameter == "betas" else value
        return arguments

    def on_blocks(self) -> "UserRule":
        """The rule that runs its code once for all points."""
        kind: type[UserRule] = type(self.name, (type(self),), {"on_arrays": True})
        return kind(**{key: getattr(self, key) for key in self.parameters})

    def init(self, w: Array) -> State:
        if self.shaped:
            raise UsageError(
                f"{self.name} needs weight matrices (shaped = True), and a function's point is a vector"
            )
        points = enumerate(self._points(w))
        return (tuple(self.begin(point, self.arguments(n, w.shape[:-1])) for n, point in points),)

    def step(self, w: Array, g: Array, t: int, state: State, **quantities: Any) -> tuple[Array, State]:
        import numpy as np

        points, memories = [], []
        for n, (point, gradient, memory) in enumerate(
            zip(self._points(w), self._points(g), state[0], strict=True)
        ):
            arguments = self.arguments(n, w.shape[:-1])
            point, memory = self.follow(point, gradient, t, self.interface.copied(memory), arguments)
            points.append(point)
            memories.append(memory)
        return np.concatenate(points).reshape(w.shape), (tuple(memories),)

    def begin(self, w: Array, arguments: Arguments) -> Any:
        """The memory of the code before its first step from w, which it sees whole. UsageError where it fails."""
        with self.code.running(0):
            return self.interface.begin(w.copy(), arguments)

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Array, Any]:
        """The next w, an array like w, and the next memory. UsageError where the code fails, or returns no point.

        The code may change `memory` in place. Where it returns nothing, its own change of w is the next point. That may
        be w: a step may be zero; but if the first leaves w alone in spite of a gradient, a `return` is missing.
        """
        import numpy as np

        with np.errstate(all="ignore"), self.code.running(t):
            in_place = w.copy()
            point, memory = self.interface.follow(in_place, g.copy(), t, memory, arguments)
            if point is None and (t != 1 or not np.array_equal(in_place, w) or not g.any()):
                point = in_place
            try:
                array = np.array(point)
            except (TypeError, ValueError):
                array = np.array(None)
            wrong = "" if array.shape == w.shape else f"an array of shape {array.shape}"
            if array.dtype.kind not in "fiub":
                wrong = {"c": "complex numbers", "U": "text", "S": "text"}.get(array.dtype.kind, shown(point))
            if wrong := "masked numbers" if np.ma.is_masked(point) else wrong:
                raise UsageError(f"returned {wrong}; expected the new w: end it with return w, of shape {w.shape}")
            return array.astype(w.dtype), memory

    def _points(self, x: Array) -> Iterable[Array]:
        """The arrays that the code sees."""
        return [x] if self.on_arrays else list(x.reshape(-1, x.shape[-1]))


def rule_class(code: str | Callable[..., Any] | UserCode) -> type[UserRule]:
    """The rule class of a user's code, FILE.py:NAME for example, or the only one of FILE.py; the file is executed.

    UsageError where there is no such file, it cannot be executed, or the code is no rule.
    """
    code = code if isinstance(code, UserCode) else user_code(code)
    return _rule_class(code if code.name else find_optimizer(code))


@cache
def _rule_class(code: UserCode) -> type[UserRule]:
    interface, definitions, parameters = _interface(code), [], {}
    reserved = {"sha256", *RESERVED_SETTINGS, *dir(UserRule), *UserRule.__annotations__}
    for key, parameter, kind, default in _settings(interface.parameters):
        if key in reserved:
            raise UsageError(f"{code.place}: a parameter cannot be called {key}")
        default = field(kw_only=True) if default is MISSING else field(default=default, kw_only=True)
        definitions.append((key, kind, default))
        parameters[key] = parameter
    return _made(code, definitions, interface=interface, parameters=parameters)


@cache
def _recorded_class(code: UserCode, keys: tuple[str, ...]) -> type[UserRule]:
    settings = [(key, Any, field(kw_only=True)) for key in keys]
    return _made(code, settings, recorded=True, formula=f"the code of {code.display_name}")


def _made(code: UserCode, definitions: Any, **members: Any) -> type[UserRule]:
    namespace = {"name": code.display_name, "code": code, **members}
    return make_dataclass(code.name, definitions, bases=(UserRule,), frozen=True, namespace=namespace)


def recorded_rule(tree: Mapping[str, Any]) -> UserRule:
    """The rule of a run's config: its settings, to be read; its file is not executed, and need not be there."""
    settings = {key: value for key, value in tree.items() if key not in ("name", "sha256")}
    return _recorded_class(UserCode.recorded(tree), tuple(settings))(**settings)


def sources(parts: Iterable[Any]) -> dict[str, UserCode]:
    """The user's code of these rules and networks, rules inside rules included, by the name of its copy."""
    codes: dict[str, UserCode] = {}
    for part in parts:
        if isinstance(code := getattr(part, "code", None), UserCode):
            name = code.path.name if code.definition is None else f"{code.name}.py"
            if codes.get(name, code).sha256 != code.sha256:
                name = f"{code.sha256[:8]}-{name}"
            codes[name] = code
        elif hasattr(part, "base"):
            codes |= sources([part.base])
    return codes


def described(codes: Iterable[UserCode], files: Mapping[str, UserCode]) -> dict[str, Any]:
    """A user's code for the manifest of a run: the checksum of each file, and its copy's name in `files`."""
    copies = {code.sha256: copy for copy, code in files.items() if code.source}
    return {code.reference: {"sha256": code.sha256, "copy": copies.get(code.sha256)} for code in codes}
