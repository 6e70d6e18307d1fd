"""The hyper-parameters of a user's code: the parameters that it takes by name, with their types and defaults.

They are read off the source, without executing it, where a function or class of the file spells them out. Otherwise
(an inherited `__init__`, a name that code makes) the file is executed and the object inspected.
"""

import ast
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass
from typing import Any

from optilab.errors import UsageError
from optilab.optimize.own.origin import Origin

STEP_NUMBER = {"t", "step", "epoch", "k", "iteration"}
"""Parameters of a function that receive the number of the step, from 1."""
ALIASES: Mapping[str, tuple[str, ...]] = {
    "lr": ("learning_rate", "alpha", "eta", "step_size"),
    "beta": ("momentum", "gamma", "mu", "beta1"),
    "beta1": ("b1",),
    "beta2": ("b2",),
    "decay": ("rho", "alpha", "gamma", "beta", "beta2"),
    "eps": ("epsilon",),
    "weight_decay": ("wd",),
}
"""What a hyper-parameter is called elsewhere."""
USUAL = {
    **dict.fromkeys(("lr", "learning_rate", "eta", "step_size"), 0.01),
    **dict.fromkeys(("beta", "momentum", "gamma", "mu", "beta1", "b1", "decay", "rho"), 0.9),
    **dict.fromkeys(("beta2", "b2"), 0.999),
    **dict.fromkeys(("eps", "epsilon"), 1e-8),
    **dict.fromkeys(("weight_decay", "wd"), 0.0),
}
"""Hyper-parameters that need no default in the code, and the one that they have then."""
NAMED = {"alpha", "beta3", "nu", "damping"}
"""Parameters of a function that are hyper-parameters by their name, but need a value."""
KERNELS = {"foreach", "capturable", "differentiable", "fused"}
"""Parameters of torch's optimizers that choose how the numbers are computed, not which."""
TAKEN = {"name", "needs", "formula", "init", "update", "begin", "follow", "origin", "settings", "sha256", "shaped"}
"""Names that the config or the shape of a rule has for itself."""
_SCALARS = {"float": float, "int": int, "bool": bool, "str": str}

Number = int | float


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


def settings_of(origin: Origin) -> tuple[Setting, ...]:
    """The hyper-parameters of the code at `origin`, in its order."""
    written = _written(origin)
    is_class, parameters = _inspected(origin) if written is None else written
    if is_class:
        parameters = [p for n, p in enumerate(parameters) if not (n == 0 and p.name in ("params", "parameters"))]
        parameters = [p for p in parameters if p.name not in KERNELS]
    elif len(parameters) < 2:
        raise UsageError(f"{origin.label}: takes {len(parameters)} argument(s); w and g are needed")
    else:
        parameters = [p for p in parameters[2:] if _is_setting(p)]
    settings = [setting for p in parameters for setting in _settings(p, {q.name for q in parameters})]
    taken = [setting.field for setting in settings if setting.field in TAKEN]
    if taken:
        raise UsageError(f"{origin.label}: a parameter cannot be called {', '.join(taken)} here; rename it")
    return tuple(settings)


def _is_setting(parameter: Parameter) -> bool:
    """Of a function: a hyper-parameter, not a state or the number of the step."""
    if parameter.default is not MISSING or parameter.annotation in _SCALARS:
        return parameter.name not in STEP_NUMBER
    return parameter.name in USUAL or parameter.name in NAMED


def _settings(parameter: Parameter, beside: Iterable[str]) -> Iterable[Setting]:
    name, default = parameter.name, parameter.default
    default = USUAL.get(name, MISSING) if default is MISSING else default
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


def _written(origin: Origin) -> tuple[bool, list[Parameter]] | None:
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
    except ValueError:  # a default that is an expression
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
    """The parameters of a `def`; ValueError for a default that is not a literal."""
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = [*zip(plain, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return [
        Parameter(
            argument.arg,
            ast.unparse(argument.annotation) if argument.annotation else "",
            MISSING if default is None else ast.literal_eval(default),
        )
        for argument, default in pairs
    ]


# --- from the object ---------------------------------------------------------------------------------------


def _inspected(origin: Origin) -> tuple[bool, list[Parameter]]:
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
