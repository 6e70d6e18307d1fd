"""A user's code in the shape of a rule."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from functools import cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from optilab.errors import UsageError
from optilab.optimize.algorithms.rule import Array, Rule
from optilab.optimize.own.interfaces import Protocoled, interface_of
from optilab.optimize.own.origin import Origin, locate, of_object
from optilab.optimize.own.signature import Setting, settings_of


class OwnState(NamedTuple):
    """The point x (..., d), the number of steps done, and the memory of the user's code for each point."""

    x: Array
    steps: Any
    memories: tuple[Any, ...]


@dataclass(frozen=True)
class OwnRule(Rule):
    """Base of the classes that `kind_of` makes: their fields are the hyper-parameters of the user's code.

    The user's code sees one point at a time, an array (d,). For arrays (..., d) it runs once per point, so that a rule
    that looks at the whole vector gives in a map what it gives on a path.
    """

    origin: ClassVar[Origin]
    settings: ClassVar[tuple[Setting, ...]]

    @property
    def code(self) -> Any:
        """The user's class or function; the file is executed when it is first asked for."""
        return self.origin.code

    @property
    def interface(self) -> Protocoled:
        with self.origin.running(0):
            return interface_of(self.code, {setting.parameter for setting in self.settings})

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

    def remembered(self, state: OwnState) -> dict[str, Any]:
        """What the code remembers of the first point, by the names that it has in the code."""
        return self.interface.remembered(state.memories[0])

    def arguments(self, cell: int = 0, shape: tuple[int, ...] = ()) -> dict[str, Any]:
        """The code's parameters; of settings that are arrays (..., 1), those of one point of `shape`."""
        arguments: dict[str, Any] = {}
        for setting in self.settings:
            value = getattr(self, setting.field)
            if isinstance(value, np.ndarray):
                value = np.broadcast_to(value[..., 0], shape).reshape(-1)[cell].item()
            if setting.parameter == "betas":
                arguments["betas"] = (*arguments.get("betas", ()), value)
            else:
                arguments[setting.parameter] = value
        return arguments

    def init(self, x: Array) -> OwnState:
        if self.shaped:
            raise UsageError(
                f"{self.name} works on weight matrices (shaped = True), and the point of a function is a vector: "
                "it only trains networks"
            )
        interface, shape = self.interface, x.shape[:-1]
        memories = []
        for n, w in enumerate(_points(x)):
            with self._running(0, w):
                memories.append(interface.begin(copy.copy(w), self.arguments(n, shape)))
        return OwnState(x, 0, tuple(memories))

    def update(self, grad: Array, state: OwnState) -> tuple[Array, OwnState]:
        point, after = self.advance(grad, state)
        step = point - state.x
        return step, after._replace(x=state.x + step)

    def advance(self, grad: Array, state: OwnState) -> tuple[Array, OwnState]:
        """The points as the code returns them, and the state there: `update` rounds their difference once more."""
        interface, shape, t = self.interface, state.x.shape[:-1], state.steps + 1
        reached, memories = [], []
        for n, (w, g, before) in enumerate(zip(_points(state.x), _points(grad), state.memories, strict=True)):
            with np.errstate(all="ignore"), self._running(t, w):
                own, arguments = _copied(before), self.arguments(n, shape)
                point, memory = interface.follow(copy.copy(w), copy.copy(g), t, own, arguments)
                reached.append(checked(point, w))
            memories.append(memory)
        moved = np.stack(reached).reshape(state.x.shape) if shape else reached[0]
        return moved, OwnState(moved, t, tuple(memories))

    def _running(self, step: Any, w: Array) -> AbstractContextManager[None]:
        return self.origin.running(step) if isinstance(w, np.ndarray) else _traced()


@contextmanager
def _traced() -> Iterator[None]:
    """The user's code sees symbols inside: whatever it does not do with them is no error of its own."""
    from optilab.optimize.codegen import Untraceable  # which only a map imports

    try:
        yield
    except Exception as error:
        raise Untraceable(f"{type(error).__name__}: {error}") from None


def checked(point: Any, w: Array) -> Array:
    """What the user's code returned, as an array like w; UsageError where it is none."""
    if point is None:
        raise UsageError("returned nothing; the new w is expected")
    if not isinstance(w, np.ndarray):
        return point
    array = np.array(point, dtype=w.dtype)
    if array.shape != w.shape:
        raise UsageError(f"returned an array of shape {array.shape}, not {w.shape}")
    return array


def _points(x: Array) -> Iterator[Array]:
    """Every point of an array (..., d)."""
    if len(x.shape) == 1:
        yield x
    else:
        yield from x.reshape(-1, x.shape[-1])


def _copied(memory: Any) -> Any:
    """A copy that the code may change in place; the optimizer of torch stays the one it is."""
    is_optimizer = isinstance(memory, tuple) and len(memory) == 2 and hasattr(memory[1], "param_groups")
    return memory if is_optimizer else copy.deepcopy(memory)


def is_own(name: Any) -> bool:
    """Whether the name of a rule is meant as FILE.py:NAME or package.module:NAME."""
    return isinstance(name, str) and (":" in name or name.endswith(".py"))


def kind_of(spec: str | Callable[..., Any]) -> type[OwnRule]:
    """The rule class of FILE.py:NAME or package.module:NAME, as the file is now, or of a class or function.

    UsageError where there is no such file, or its parameters do not make a rule.
    """
    return _kind(locate(spec) if isinstance(spec, str) else of_object(spec))


@cache
def _kind(origin: Origin) -> type[OwnRule]:
    settings = settings_of(origin)
    definitions: list[Any] = [
        (s.field, s.hint, field(kw_only=True) if s.default is MISSING else field(default=s.default, kw_only=True))
        for s in settings
    ]
    namespace = {"name": origin.label, "origin": origin, "settings": settings}
    return make_dataclass(origin.attribute, definitions, bases=(OwnRule,), frozen=True, namespace=namespace)


def sources(rules: Iterable[Any]) -> dict[str, Origin]:
    """The files of all rules of a user's own among these, rules inside rules included, by the name of their copy."""
    found: dict[str, Origin] = {}
    for rule in rules:
        if isinstance(rule, OwnRule):
            name = rule.origin.path.name
            if found.get(name, rule.origin).sha256 != rule.origin.sha256:
                name = f"{rule.origin.sha256[:8]}-{name}"
            found[name] = rule.origin
        else:
            found |= sources(getattr(rule, f.name) for f in fields(rule) if f.name == "base")
    return found


def described(own: Mapping[str, Origin]) -> dict[str, Any]:
    """The rules of the user's own for the manifest of a run: the digest of each file, and the name of its copy."""
    return {origin.spec: {"sha256": origin.sha256, "copy": copy} for copy, origin in own.items()}
