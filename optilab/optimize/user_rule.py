"""The rule that is made from a user's code: its settings are the parameters of the code's signature."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from functools import cache, cached_property
from typing import Any, ClassVar

from optilab.errors import UsageError, shown
from optilab.optimize.arrays import Array
from optilab.optimize.interfaces import Arguments, Interface, find_optimizer, interface_of
from optilab.optimize.rule import (
    COMMON_VALUES,
    RESERVED_SETTINGS,
    Rule,
    State,
    formula_rule,
    is_formula,
)
from optilab.user_code import EMPTY, UserCode, is_data, scalar_type, user_code


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
    interface, definitions, parameters = interface_of(code), [], {}
    reserved = {"sha256", *RESERVED_SETTINGS, *dir(UserRule), *UserRule.__annotations__}
    for key, parameter, kind, default in _settings(interface.parameters):
        if key in reserved:
            expected = "; expected lr for a step size" if key == "step" else ""
            raise UsageError(f"{code.place}: a parameter cannot be called {key}{expected}")
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
