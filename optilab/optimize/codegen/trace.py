"""What one step computes, written down as a list of scalar operations by running it once on symbols.

A rule and a function are written once, for NumPy arrays. Here they meet an array of symbols instead, which NumPy's
own protocols let pass through the same lines; what comes out is a straight-line program. The modules
beside this one make code of it.

Not every rule can be written down: one that asks a value in an `if`, or calls into SciPy, raises NotRecordable.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from optilab.optimize.algorithms import Algorithm
from optilab.optimize.functions import TestFunction

MAX_DIMENSION = 4  # beyond it one vector operation is cheaper than many scalar ones


class NotRecordable(Exception):
    """The rule or the function needs values, not symbols."""


class Node:
    """One scalar operation, or an input (op `input`, args its name) or a number (op `number`)."""

    __slots__ = ("args", "op")

    def __init__(self, op: str, *args: Any) -> None:
        self.op, self.args = op, args

    def __add__(self, other: "Node") -> "Node":  # np.sum over symbols
        return Node("add", self, other)

    def __mul__(self, other: "Node") -> "Node":  # np.prod over symbols
        return Node("multiply", self, other)

    def __bool__(self) -> bool:
        raise NotRecordable("a value decides an if")


class Symbols(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of nodes that passes for a NumPy array of shape (..., d)."""

    __module__ = "numpy"  # what a rule's `xp_of` looks at

    def __init__(self, nodes: Any) -> None:
        self.nodes = np.asarray(nodes, dtype=object)
        self.shape = self.nodes.shape
        self.ndim = self.nodes.ndim

    def __getitem__(self, key: Any) -> "Symbols":
        return Symbols(self.nodes[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.nodes[key] = _nodes(value)

    def __bool__(self) -> bool:
        raise NotRecordable("a value decides an if")

    @property
    def real(self) -> "Symbols":
        return self

    def __getattr__(self, name: str) -> Any:
        ufunc = getattr(np, name, None)
        if isinstance(ufunc, np.ufunc):  # NumPy asks what it finds in an array of objects for its `sqrt()`
            return partial(ufunc, self)
        raise AttributeError(name)

    def sum(self, axis: Any = None, keepdims: bool = False) -> "Symbols":
        return Symbols(np.sum(self.nodes, axis=axis, keepdims=keepdims))

    def prod(self, axis: Any = None, keepdims: bool = False) -> "Symbols":
        return Symbols(np.prod(self.nodes, axis=axis, keepdims=keepdims))

    def mean(self, axis: int = -1, keepdims: bool = False) -> "Symbols":
        mean: Symbols = self.sum(axis, keepdims) / self.shape[axis]
        return mean

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> "Symbols":
        # `x += y` makes new symbols; the library behind a product of matrices rounds as it likes.
        if method != "__call__" or options.keys() - {"out"} or ufunc is np.matmul:
            raise NotRecordable(f"{ufunc.__name__}.{method}")
        arrays = np.broadcast_arrays(*map(_nodes, inputs))
        nodes = np.empty(arrays[0].shape, dtype=object)
        for index in np.ndindex(nodes.shape):
            nodes[index] = _operation(ufunc.__name__, *[array[index] for array in arrays])
        return Symbols(nodes)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> "Symbols":
        if function in (np.stack, np.concatenate, np.expand_dims, np.squeeze, np.sum, np.prod):
            # what works on objects needs no words of its own
            return Symbols(function(*(_plain(arg) for arg in args), **options))
        if function in _CONSTANTS:
            return Symbols(np.full(self.shape, _CONSTANTS[function], dtype=object))
        if function is np.where and len(args) == 3:
            arrays = np.broadcast_arrays(*map(_nodes, args))
            return Symbols(np.vectorize(lambda *nodes: Node("where", *nodes), otypes=[object])(*arrays))
        if function is np.clip:
            return np.minimum(np.maximum(args[0], args[1]), args[2])  # type: ignore[no-any-return]
        if function is np.linalg.norm and set(options) <= {"axis", "keepdims"}:
            return np.sqrt(np.sum(args[0] * args[0], **options))  # type: ignore[no-any-return]
        if function is np.sinc:
            y = np.pi * np.where(args[0] == 0, 1e-20, args[0])
            return np.sin(y) / y  # type: ignore[return-value]
        raise NotRecordable(function.__name__)


_CONSTANTS = {np.zeros_like: Node("number", 0.0), np.ones_like: Node("number", 1.0)}


def _nodes(given: Any) -> Any:
    """Nodes as an object array: those of Symbols, or one `number` for each number."""
    if isinstance(given, Symbols):
        return given.nodes
    array: Any = np.asarray(given).astype(object)
    if array.ndim == 0 and isinstance(array.item(), Symbols):  # np.asarray(symbols) holds the symbols
        return array.item().nodes
    nodes = np.empty(array.shape, dtype=object)
    for index in np.ndindex(array.shape):
        item = array[index]
        nodes[index] = item.nodes.item() if isinstance(item, Symbols) else Node("number", item)
    return nodes


def _plain(argument: Any) -> Any:
    if isinstance(argument, list | tuple):
        return [_nodes(item) for item in argument]
    return argument.nodes if isinstance(argument, Symbols) else argument


def _operation(op: str, *args: Any) -> Node:
    """Exactly what NumPy does, in fewer ways to write it."""
    if op == "square":
        return Node("multiply", args[0], args[0])
    if op == "add" and args[1].op == "negative":
        return Node("subtract", args[0], args[1].args[0])
    if op == "float_power":
        return Node("power", *args)
    return Node("copy" if op == "positive" else op, *args)


# --- the program ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """`name = op(args)`; an argument is the name of an earlier result or of an input, or a number."""

    name: str
    op: str
    args: tuple[Any, ...]


@dataclass(frozen=True)
class Program:
    """One step of a rule on a function, as symbols. Inputs are called w1..wd, s1..sm and as the settings."""

    points: tuple[str, ...]
    states: tuple[str, ...]
    settings: tuple[str, ...]
    first: tuple[Node, ...]
    """State before the first step, from the start point."""
    value: Node
    gradient: tuple[Node, ...]
    point_after: tuple[Node, ...]
    state_after: tuple[Node, ...]


def record(rule: Algorithm, function: TestFunction, settings: Iterable[str] = ()) -> Program:
    """One step of `rule` on `function`; the rule's fields named in `settings` are inputs, the others numbers.

    Raises NotRecordable where the rule or the function needs values.
    """
    dimension = len(function.start)
    if dimension > MAX_DIMENSION:
        raise NotRecordable(f"{dimension} dimensions")
    names = tuple(settings)
    points = tuple(f"w{i + 1}" for i in range(dimension))
    try:
        rule = replace(rule, **{name: Symbols([Node("input", name)]) for name in names})  # type: ignore[type-var]
        x = Symbols([Node("input", name) for name in points])
        states: list[str] = []
        start = rule.init(x)
        state = _symbols_for(start, states)
        value, gradient = function.value(x), function.gradient(x)  # type: ignore[arg-type]
        known = {"value": value, "function": function}
        extra = {need: known[need] if need in known else function.hessian(x) for need in _needs(rule)}  # type: ignore[arg-type]
        step, after = rule.update(gradient, state, **extra)
        moved = x + step
    except (TypeError, ValueError, AttributeError) as error:  # a rule that wants a real array says so in its way
        raise NotRecordable(str(error)) from None
    flat = [_leaves(tree) for tree in (start, after)]
    if len(flat[0]) != len(flat[1]) or moved.shape != (dimension,):
        raise NotRecordable("the state changes its shape")
    parts = (flat[0], _nodes(value).reshape(1), _nodes(gradient), moved.nodes, flat[1])
    first, (valued,), gradient_nodes, point_after, state_after = (tuple(part) for part in parts)
    return Program(points, tuple(states), names, first, valued, gradient_nodes, point_after, state_after)


def _needs(rule: Algorithm) -> Sequence[str]:
    return getattr(rule, "needs", ())


def _symbols_for(tree: Any, names: list[str]) -> Any:
    """The same tree of a state with a new input for every number in it."""
    if isinstance(tree, tuple):
        parts = [_symbols_for(part, names) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    shape = np.shape(tree) if not isinstance(tree, Symbols) else tree.shape
    nodes = np.empty(shape, dtype=object)
    for index in np.ndindex(shape):
        names.append(f"s{len(names) + 1}")
        nodes[index] = Node("input", names[-1])
    return Symbols(nodes)


def _leaves(tree: Any) -> list[Node]:
    if isinstance(tree, tuple):
        return [node for part in tree for node in _leaves(part)]
    return list(_nodes(tree).ravel())


def operations(roots: Sequence[Node], prefix: str = "n") -> tuple[list[Operation], list[Any]]:
    """The operations that the roots need, in order and each once, and where to find each root.

    Results are called by the prefix and a number.
    """
    done: list[Operation] = []
    seen: dict[tuple[Any, ...], str] = {}
    places: dict[int, Any] = {}

    def visit(node: Node) -> Any:
        if node.op in ("input", "number"):
            return node.args[0]
        if id(node) not in places:
            args = tuple(map(visit, node.args))
            key = (node.op, *map(repr, args))  # repr tells 2 from 2.0 and 0.0 from -0.0
            if key not in seen:
                seen[key] = f"{prefix}{len(done) + 1}"
                done.append(Operation(seen[key], node.op, args))
            places[id(node)] = seen[key]
        return places[id(node)]

    return done, [visit(root) for root in roots]


def axes_of(
    program: Program, body: Sequence[Operation], after: Sequence[Any], given: Mapping[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    """Along which axes of a map each name of the body varies, given those of points and settings."""
    found = dict(given) | {name: frozenset() for name in program.states if name not in given}
    while True:
        for operation in body:
            axes = [found[arg] for arg in operation.args if isinstance(arg, str)]
            found[operation.name] = frozenset().union(*axes)
        ends = zip(program.states, after, strict=True)
        grown = {name: found[name] | (found[end] if isinstance(end, str) else frozenset()) for name, end in ends}
        if all(found[name] == axes for name, axes in grown.items()):
            return found
        found |= grown
