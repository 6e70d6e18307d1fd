"""A user's own rule, accepted wherever the name of a rule is: `FILE.py:NAME`, or `package.module:NAME`.

The accepted interfaces, each as two functions: `begin` makes its memory, `follow` takes a step.

    def momentum(w, g, lr, V, beta): ... return w, V      a function; it returns the state it takes, after w
    class Adam:                                            a class with state: a new w for every gradient
        def __init__(self, lr, beta1, beta2, eps): ...
        def update(self, w, g): ... return w
    class Rule: init(x) -> state, update(g, state) -> step, state     the step API of optilab.optimize
    class Mine(torch.optim.Optimizer)                      an optimizer of torch

Arrays are NumPy's and have the shape of w; an optimizer of torch gets tensors. `arguments` are the code's own
parameters. A memory is data (arrays, numbers, texts, tuples, lists, dicts), except that of torch.

Hyper-parameters are read off the source without executing it wherever that is possible. The file is executed when a
path or a step is computed, not when a config is shown or checked; only where a class inherits its parameters, or code
makes the name, is there no other way to learn them.
"""

import ast
import copy
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from optilab.errors import UsageError, shown
from optilab.optimize.own_source import UserCode, locate, of_object
from optilab.optimize.rule import USUAL_VALUES, Array, Rule, State, is_formula, typed

STEP_NUMBER = {"t", "step", "epoch", "k", "iteration"}
"""Parameters of a function that receive the number of the step, from 1."""
ALIASES: Mapping[str, tuple[str, ...]] = {
    "lr": ("learning_rate", "alpha", "eta", "step_size"),
    "beta": ("momentum", "gamma", "mu", "beta1"),
    "beta1": ("b1", "beta_1"),
    "beta2": ("b2", "beta_2"),
    "decay": ("rho", "alpha", "gamma", "beta", "beta2"),
    "eps": ("epsilon",),
    "weight_decay": ("wd",),
}
"""What a hyperparameter is called elsewhere."""
NAMED = {"alpha", "beta3", "nu", "damping"}
"""Parameters of a function that are hyperparameters by their name, but need a value."""
KERNELS = {"foreach", "capturable", "differentiable", "fused"}
"""Parameters of torch's optimizers that choose how the numbers are computed, not which."""
TAKEN = {"name", "needs", "formula", "init", "update", "begin", "follow", "origin", "settings", "sha256", "shaped"}
"""Names that the config or the shape of a rule has for itself."""
_SCALARS = {"float": float, "int": int, "bool": bool, "str": str}

Number = int | float


COMPUTED = object()
"""The default of a parameter that is an expression in the source."""


@dataclass(frozen=True)
class Parameter:
    """A parameter as the code has it; `annotation` is its text, `default` MISSING where there is none."""

    name: str
    annotation: str
    default: Any


@dataclass(frozen=True)
class Setting:
    """A key of the config and the parameter that receives its value; several keys can fill one (`betas`)."""

    field: str
    parameter: str
    hint: Any
    default: Any


def declared_settings(origin: UserCode) -> tuple[Setting, ...]:
    """The hyperparameters of the code at `origin`, in its order."""
    is_class, parameters = declared(origin)
    if any(parameter.default is COMPUTED for parameter in parameters):
        is_class, parameters = _inspected(origin)
    if is_class:
        parameters = [p for n, p in enumerate(parameters) if not (n == 0 and p.name in ("params", "parameters"))]
        parameters = [p for p in parameters if p.name not in KERNELS]
    elif len(parameters) < 2:
        raise UsageError(
            f"{origin.file}:{origin.line}: {origin.attribute} needs at least two parameters, w (the point) and g (its "
            f"gradient); it has {len(parameters)}: write "
            + (
                "lambda w, g, lr=0.1: ..."
                if "lambda" in origin.attribute
                else f"def {origin.attribute}(w, g, lr=0.1)"
            )
        )
    else:
        kept = kept_states(origin)
        parameters = [p for p in parameters[2:] if _is_setting(p) and p.name not in kept]
    settings = [setting for p in parameters for setting in _settings(p, {q.name for q in parameters})]
    taken = [setting.field for setting in settings if setting.field in TAKEN]
    if taken:
        raise UsageError(f"{origin.file}:{origin.line}: a parameter cannot be called {', '.join(taken)}")
    return tuple(settings)


def _is_setting(parameter: Parameter) -> bool:
    """For a function: a hyperparameter, not a state or the number of the step."""
    if parameter.default is not MISSING or parameter.annotation in _SCALARS:
        return parameter.name not in STEP_NUMBER
    return parameter.name in USUAL_VALUES or parameter.name in NAMED


@cache
def kept_states(origin: UserCode) -> Mapping[str, Any]:
    """The parameters of a function that have a default and are state, `def adam(w, g, m=0, v=None)`, with the default.

    It is 0 or None, and the function returns one value after w for each such parameter: those that it returns
    by their names, else all of them. Where it returns nothing, those that it sets are meant.
    """
    found = [node for node in origin.tree.body if getattr(node, "name", None) == origin.attribute]
    if len(found) != 1 or not isinstance(found[0], ast.FunctionDef):
        return {}
    returned = [node.value for node in ast.walk(found[0]) if isinstance(node, ast.Return)]
    tuples = [value.elts[1:] for value in returned if isinstance(value, ast.Tuple)]
    parameters = _of_arguments(found[0].args)[2:]
    zero = {p.name: p.default for p in parameters if _is_nothing(p.default) and p.name not in USUAL_VALUES}
    if not returned:
        words = [node for node in ast.walk(found[0]) if isinstance(node, ast.Name)]
        return {one.id: zero[one.id] for one in words if one.id in zero and isinstance(one.ctx, ast.Store)}
    if len({len(after) for after in tuples}) != 1:
        return {}
    names = {node.id for node in tuples[0] if isinstance(node, ast.Name)}
    count = len(tuples[0]) - sum(not _is_setting(p) and p.name not in STEP_NUMBER for p in parameters)
    named = {name: default for name, default in zero.items() if name in names}
    return next((kept for kept in (named, zero) if len(kept) == count), {})


def _is_nothing(default: Any) -> bool:
    return default is None or (type(default) in (int, float) and default == 0)


def _settings(parameter: Parameter, beside: Iterable[str]) -> Iterable[Setting]:
    name, default = parameter.name, parameter.default
    default = USUAL_VALUES.get(name, MISSING) if default is MISSING else default
    if name == "betas":
        values = default if isinstance(default, tuple) else (0.9, 0.999)
        for number, value in enumerate(values, 1):
            yield Setting(f"beta{number}", name, float, value)
        return
    renamed = name in ("learning_rate", "eta", "step_size") and "lr" not in beside
    default = tuple(default) if isinstance(default, list) else default
    yield Setting("lr" if renamed else name, name, _hint(parameter.annotation, default), default)


def _hint(annotation: str, default: Any) -> Any:
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if default is MISSING:
        return float
    if type(default) is int:  # as `weight_decay=0`, which may become 0.1
        return Number
    return type(default) if type(default) in _SCALARS.values() else Any


# --- read off the source -----------------------------------------------------------------------------------


def declared(origin: UserCode) -> tuple[bool, list[Parameter]]:
    """Whether it is a class, and the parameters that it is called with; the file is executed only where its source does
    not spell them out."""
    written = _written(origin)
    return _inspected(origin) if written is None else written


def _written(origin: UserCode) -> tuple[bool, list[Parameter]] | None:
    """Whether it is a class, and its parameters; None where the source does not spell them out."""
    named = [node for node in origin.tree.body if getattr(node, "name", None) == origin.attribute]
    if len(named) != 1:
        return None
    (node,) = named
    try:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            return False, _of_arguments(node.args)
        if isinstance(node, ast.ClassDef):
            return _of_class(node)
    except ValueError:  # a default of a dataclass that is an expression
        pass
    return None


def _of_class(node: ast.ClassDef) -> tuple[bool, list[Parameter]] | None:
    inits = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
    if node.keywords or len(inits) > 1:
        return None
    if inits and not node.decorator_list and not inits[0].decorator_list:
        return True, _of_arguments(inits[0].args)[1:]
    if inits or node.bases:
        return None
    if not node.decorator_list:
        return True, []
    texts = {ast.unparse(decorator).partition("(")[0] for decorator in node.decorator_list}
    if texts - {"dataclass", "dataclasses.dataclass"}:
        return None
    found = []
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            annotation = ast.unparse(item.annotation)
            if "ClassVar" in annotation or "InitVar" in annotation:
                continue
            default = MISSING if item.value is None else ast.literal_eval(item.value)
            found.append(Parameter(item.target.id, annotation, default))
    return True, found


def _of_arguments(arguments: ast.arguments) -> list[Parameter]:
    """The parameters of a `def`."""
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = [*zip(plain, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return [
        Parameter(
            argument.arg,
            ast.unparse(argument.annotation) if argument.annotation else "",
            MISSING if default is None else _literal(default),
        )
        for argument, default in pairs
    ]


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return COMPUTED


# --- from the object ---------------------------------------------------------------------------------------


def _inspected(origin: UserCode) -> tuple[bool, list[Parameter]]:
    code = origin.code
    empty, plain = inspect.Parameter.empty, (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    try:
        found = inspect.signature(code).parameters.values()
    except (TypeError, ValueError):
        return isinstance(code, type), []
    return isinstance(code, type), [
        Parameter(
            p.name,
            "" if p.annotation is empty else getattr(p.annotation, "__name__", str(p.annotation)),
            MISSING if p.default is empty else p.default,
        )
        for p in found
        if p.kind not in plain
    ]


Arguments = Mapping[str, Any]


class RuleInterface(Protocol):
    """An interface of a user's code."""

    def begin(self, w: Array, arguments: Arguments) -> Any:
        """The memory before the first step from w."""

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
        """The next w after step t, from 1, and the next memory; w, g and memory may be changed in place."""

    def remembered(self, memory: Any) -> dict[str, Any]:
        """The parts of a memory by their names in the code; empty where they have none."""


def interface_of(code: Any, hyper_parameters: set[str], kept: Mapping[str, Any]) -> RuleInterface:
    """The interface that a class or function has."""
    if not isinstance(code, type):
        return Function(code, hyper_parameters, kept)
    torch = sys.modules.get("torch")
    if torch is not None and issubclass(code, torch.optim.Optimizer):
        return TorchInterface(code)
    if hasattr(code, "init") and hasattr(code, "update"):
        return StepInterface(code)
    method = next((name for name in ("update", "step") if hasattr(code, name)), None)
    if method is None:
        network = torch is not None and issubclass(code, torch.nn.Module)
        what = "it is a network, not an optimizer" if network else "the class has no method update(w, g)"
        raise UsageError(f"{what}; what is accepted: optilab help own")
    return Stateful(code, method)


class Function:
    """`f(w, g, ...)`; parameters without a default that are not hyperparameters are state, which starts at zero.

    So are those that are `kept`; these start with their defaults.
    """

    def __init__(self, code: Any, hyper_parameters: set[str], kept: Mapping[str, Any]) -> None:
        _, _, *others = inspect.signature(code).parameters.values()
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        rest = [p for p in others if p.kind in named and p.name not in hyper_parameters]
        self.code = code
        self.kept = kept
        self.counts = [p.name for p in rest if p.name in STEP_NUMBER and p.name not in kept]
        self.states = [
            p.name
            for p in rest
            if p.name in kept or (p.name not in self.counts and p.default is inspect.Parameter.empty)
        ]

    def begin(self, w: Array, arguments: Arguments) -> Any:
        starts = {"state": {}, **self.kept}
        return tuple(starts[name] if name in starts else np.zeros_like(w) for name in self.states)

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
        states = dict(zip(self.states, memory, strict=True))
        result = self.code(w, g, **arguments, **dict.fromkeys(self.counts, t), **states)
        if not isinstance(result, tuple):
            if len(self.states) > (self.states == ["state"]):
                raise UsageError(self._returned("nothing" if result is None else "only w", 0))
            return result, memory  # a dict called `state` may be changed in place
        point, *after = result
        if len(after) != len(self.states):
            raise UsageError(self._returned(f"w and {len(after)} more" if after else "only w", len(after)))
        return point, tuple(after)

    def remembered(self, memory: Any) -> dict[str, Any]:
        return dict(zip(self.states, memory, strict=True))

    def _returned(self, returned: str, count: int) -> str:
        several, names = ("states" if self.states[1:] else "state"), ", ".join(self.states)
        takes = (
            f"it takes the {several} {names}: end it with return w, {names}"
            if self.states
            else "it takes no state"
        )
        more = "a parameter without a default is state, and so is one with 0 or None that is returned after w"
        advice = "a hyperparameter needs a default, as in nu=0.7" if count < len(self.states) else more
        return f"returned {returned}, but {takes} ({advice}; optilab help own)"


class Stateful:
    """A class whose `update(w, g)` returns the new w; its memory is what its instance has as attributes."""

    def __init__(self, code: Any, method: str) -> None:
        self.code, self.method = code, method

    def begin(self, w: Array, arguments: Arguments) -> Any:
        try:
            return dict(arguments), vars(self.code(**arguments))
        except TypeError as error:
            if "__dict__" not in str(error):
                raise
            raise UsageError("has no attributes of its own (__slots__), so its state cannot be kept") from None

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
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


class StepInterface:
    """The step API: `init(x) -> state`, `update(g, state) -> (step, state)`."""

    def __init__(self, code: Any) -> None:
        self.code = code
        needs = getattr(code, "needs", ())
        if needs and isinstance(needs, tuple):
            raise UsageError(
                f"needs the {' and '.join(needs)} of the function; an optimizer of your own gets gradients only: leave "
                "`needs` out"
            )

    def begin(self, w: Array, arguments: Arguments) -> Any:
        return self.code(**arguments).init(w)

    def follow(self, w: Array, g: Array, t: int, memory: Any, arguments: Arguments) -> tuple[Any, Any]:
        result = self.code(**arguments).update(g, memory)
        if not isinstance(result, tuple) or len(result) != 2:
            raise UsageError(f"update returned {shown(result)}; end it with return step, state")
        return w + result[0], result[1]

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
            torch.set_default_dtype(usual)
        return parameter.detach().numpy().copy(), memory

    def remembered(self, memory: Any) -> dict[str, Any]:
        return {}  # it has changed already: torch's optimizers keep one state


@dataclass(frozen=True)
class UserRule(Rule):
    """Base of the classes that `rule_class` makes: their fields are the hyperparameters of the user's code.

    The user's code sees one point at a time, an array (d,). For arrays (..., d) it runs once per point, so that a rule
    that looks at the whole vector gives in a map what it gives on a path.
    """

    origin: ClassVar[UserCode]
    settings: ClassVar[tuple[Setting, ...]]

    @property
    def code(self) -> Any:
        """The user's class or function; the file is executed when it is first asked for."""
        return self.origin.code

    @property
    def interface(self) -> RuleInterface:
        with self.origin.running(0):
            return interface_of(self.code, {one.parameter for one in self.settings}, kept_states(self.origin))

    @property
    def shaped(self) -> bool:
        """Whether the code asks for each weight as it is shaped, by an attribute `shaped = True`."""
        return bool(getattr(self.code, "shaped", False))

    @property
    def formula(self) -> str:
        """The code's own `formula`, or where the code is."""
        own = getattr(self.code, "formula", None)
        if isinstance(own, property):
            with self.origin.running(0):
                own = self.code(**self.arguments()).formula
        return own if isinstance(own, str) else f"the code of {self.name}"

    @property
    def states(self) -> tuple[str, ...]:
        return ("memories",)

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    @cached_property
    def stated(self) -> Rule | None:
        """The rule of the code's own `formula`, with the same settings; None where it states none that can be run."""
        if not is_formula(self.formula):
            return None
        kind: Any = typed(self.formula)
        names = [one.name for one in fields(kind)]
        if missing := [name for name in names if not hasattr(self, name)]:
            raise UsageError(f"{self.name}: `formula` has {', '.join(missing)}, which is no setting of the code")
        rule: Rule = kind(**{name: getattr(self, name) for name in names})
        return rule

    def remembered(self, state: State) -> dict[str, Any]:
        """What the code remembers of the first point, by the names that it has in the code."""
        return self.interface.remembered(state[0][0])

    def arguments(self, cell: int = 0, shape: tuple[int, ...] = ()) -> dict[str, Any]:
        """The code's parameters; of settings that are arrays (..., 1), those of one point of `shape`."""

        def of_cell(value: Any) -> Any:
            is_array = isinstance(value, np.ndarray)
            return np.broadcast_to(value[..., 0], shape).reshape(-1)[cell].item() if is_array else value

        return self._arguments(of_cell)

    def _arguments(self, one: Callable[[Any], Any]) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        for setting in self.settings:
            value = one(getattr(self, setting.field))
            if setting.parameter == "betas":
                arguments["betas"] = (*arguments.get("betas", ()), value)
            else:
                arguments[setting.parameter] = value
        return arguments

    def on_blocks(self) -> "UserRule":
        """The rule that runs its code once for all points (..., d), each setting an array (..., 1)."""
        kind: Any = type(self)
        rule: UserRule = _on_blocks(kind)(**{one.name: getattr(self, one.name) for one in fields(self)})
        return rule

    def init(self, w: Array) -> State:
        if self.shaped:
            raise UsageError(
                f"{self.name} works on weight matrices (shaped = True), and the point of a function is a vector: "
                "it only trains networks: optilab train CONFIG --optimizer FILE.py:NAME"
            )
        interface, shape = self.interface, w.shape[:-1]
        memories = []
        for n, point in enumerate(self._points(w)):
            with self.origin.running(0):
                memories.append(interface.begin(copy.copy(point), self.arguments(n, shape)))
        return (tuple(memories),)

    def step(self, w: Array, g: Array, t: int, state: State, **quantities: Any) -> tuple[Array, State]:
        interface, shape = self.interface, w.shape[:-1]
        reached, memories = [], []
        for n, (point, gradient, before) in enumerate(
            zip(self._points(w), self._points(g), state[0], strict=True)
        ):
            with np.errstate(all="ignore"), self.origin.running(t):
                own, arguments = _copied(before), self.arguments(n, shape)
                after, memory = interface.follow(copy.copy(point), copy.copy(gradient), t, own, arguments)
                reached.append(checked(after, point))
            memories.append(memory)
        return np.concatenate(reached).reshape(w.shape), (tuple(memories),)

    def _points(self, x: Array) -> Iterable[Array]:
        """Every point of an array (..., d)."""
        return list(x.reshape(-1, x.shape[-1]))


@cache
def _on_blocks(kind: type[UserRule]) -> type[UserRule]:
    """A subclass whose code sees all points at once."""

    class OnBlocks(kind):  # type: ignore[misc, valid-type]
        def arguments(self, cell: int = 0, shape: tuple[int, ...] = ()) -> Any:
            return self._arguments(lambda value: value)

        def _points(self, x: Array) -> Iterable[Array]:
            return [x]

    return OnBlocks


def checked(point: Any, w: Array) -> Array:
    """What the user's code returned, as an array like w; UsageError where it is none."""
    if point is None:
        raise UsageError(
            "returned nothing; expected the new w: end it with return w, also where w is changed in place"
        )
    try:
        array = np.array(point, dtype=w.dtype)
    except (TypeError, ValueError):
        raise UsageError(f"returned {shown(point)}, which is no array; return the new w, as long as w") from None
    if array.shape != w.shape:
        raise UsageError(
            f"returned an array of shape {array.shape}, not {w.shape}; return the new w, as long as w"
        )
    return array


def _copied(memory: Any) -> Any:
    """A copy that the code may change in place; the optimizer of torch stays the one it is."""
    is_optimizer = isinstance(memory, tuple) and len(memory) == 2 and hasattr(memory[1], "param_groups")
    return memory if is_optimizer else copy.deepcopy(memory)


def is_user_code(name: Any) -> bool:
    """Whether the name of a rule is meant as FILE.py:NAME or package.module:NAME."""
    return isinstance(name, str) and (":" in name or name.endswith(".py"))


GRADIENTS = ("g", "grad", "gradient", "dw", "dW", "dx", "gradients", "grads")
"""What the second parameter of an optimizer is called."""


def find_optimizer(path: Path, like: str = "") -> str:
    """The name of the only class or function of a file that is an optimizer; the file is not executed.

    A class comes before functions, which may be its helpers, and a class before those that it extends; of several,
    the one with the name of the optimizer `like`. UsageError where nothing fits, or more than one does.
    """
    tree = locate(f"{path}:any").tree
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    bases = {name: {ast.unparse(base) for base in node.bases} for name, node in classes.items()}
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    functions = {
        node.name: [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)] for node in defined
    }
    read = {node.name: {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} for node in defined}

    def fits(name: str) -> bool:
        methods = {node.name for node in classes[name].body if isinstance(node, ast.FunctionDef)}
        above = bases[name]
        return (
            bool(methods & {"update", "step"})
            or any("optim" in base.lower() for base in above)
            or any(base != name and fits(base) for base in above & classes.keys())
        )

    found = [name for name in classes if fits(name)]
    found = [name for name in found if not any(name in bases[other] for other in found if other != name)]
    found = found or [name for name, names in functions.items() if len(names) > 1 and names[1] in GRADIENTS]
    found = found or [name for name, names in functions.items() if len(names) > 1 and names[1] in read[name]]
    found = [name for name in found if _bare(name) == _bare(like)] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{path} has {', '.join(found)}: choose one, as in {path}:{found[0]}")
    has = [f"{name}({', '.join(names)})" for name, names in functions.items()] + list(classes)
    seen = f": {', '.join(has[:4])} {'are' if has[1:] else 'is'} no optimizer" if has else ""
    raise UsageError(
        f"{path} has no class with update(w, g) and no function f(w, g, ...){seen} (optilab help own)"
    )


def _bare(name: str) -> str:
    """A name as `adam_w`, `AdamW` and `adamw` have it in common."""
    return "".join(filter(str.isalnum, name)).lower()


def rule_class(spec: str | Callable[..., Any]) -> type[UserRule]:
    """The rule class of FILE.py:NAME or package.module:NAME, as the file is now, or of a class or function.

    UsageError where there is no such file, or its parameters do not make a rule.
    """
    return _kind(locate(spec) if isinstance(spec, str) else of_object(spec))


@cache
def _kind(origin: UserCode) -> type[UserRule]:
    settings = declared_settings(origin)
    definitions: list[Any] = [
        (s.field, s.hint, field(kw_only=True) if s.default is MISSING else field(default=s.default, kw_only=True))
        for s in settings
    ]
    namespace = {"name": origin.label, "origin": origin, "settings": settings}
    return make_dataclass(origin.attribute, definitions, bases=(UserRule,), frozen=True, namespace=namespace)


def sources(parts: Iterable[Any]) -> dict[str, UserCode]:
    """The files of all rules and networks of a user's own among these, rules inside rules included, by the name of
    their copy."""
    found: dict[str, UserCode] = {}
    for part in parts:
        if isinstance(origin := getattr(part, "origin", None), UserCode):
            name = origin.path.name
            if found.get(name, origin).sha256 != origin.sha256:
                name = f"{origin.sha256[:8]}-{name}"
            found[name] = origin
        elif hasattr(part, "base"):
            found |= sources([part.base])
    return found


def described(origins: Iterable[UserCode], files: Mapping[str, UserCode]) -> dict[str, Any]:
    """Code of the user's own for the manifest of a run: the checksum of each file, and its copy's name in `files`."""
    copies = {origin.sha256: copy for copy, origin in files.items()}
    return {origin.spec: {"sha256": origin.sha256, "copy": copies[origin.sha256]} for origin in origins}
