"""One step of a rule on a function, traced: the tree of every number that it makes.

A rule and a function are written for NumPy arrays. Tracing runs the same lines once on an array of symbols, which
NumPy's protocols (`__array_ufunc__`, `__array_function__`) accept in place of numbers. The trees, which share what
they have in common, are a straight-line program; `optilab.optimize.emit` writes it as code.

A rule that branches on a value in an `if`, or calls SciPy, cannot be traced: Untraceable.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np

from optilab.optimize.formula import Node, Operation, number, symbol
from optilab.optimize.objective import Objective
from optilab.optimize.rule import Rule, needed, require_vector, with_settings

MAX_DIMENSION = 4  # beyond it one vector operation is cheaper than many scalar ones


class Untraceable(Exception):
    """The rule or the function needs numbers: symbols do not pass through its lines."""


class Symbols(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of symbols that passes for a NumPy array of shape (..., d)."""

    __module__ = "numpy"  # what a rule's `xp_of` looks at

    def __init__(self, symbols: Any) -> None:
        self.symbols = np.asarray(symbols, dtype=object)
        self.shape = self.symbols.shape
        self.ndim = self.symbols.ndim

    def __getitem__(self, key: Any) -> "Symbols":
        return Symbols(self.symbols[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.symbols[key] = _symbols(value)

    def __bool__(self) -> bool:
        raise Untraceable("an if depends on a value")

    def __copy__(self) -> "Symbols":
        return Symbols(self.symbols.copy())

    @property
    def real(self) -> "Symbols":
        return self

    def __getattr__(self, name: str) -> Any:
        ufunc = getattr(np, name, None)
        if isinstance(ufunc, np.ufunc):  # NumPy calls `.sqrt()` on the elements of an object array
            return partial(ufunc, self)
        raise AttributeError(name)

    def sum(self, axis: Any = None, keepdims: bool = False) -> "Symbols":
        return Symbols(np.sum(self.symbols, axis=axis, keepdims=keepdims))

    def prod(self, axis: Any = None, keepdims: bool = False) -> "Symbols":
        return Symbols(np.prod(self.symbols, axis=axis, keepdims=keepdims))

    def mean(self, axis: int = -1, keepdims: bool = False) -> "Symbols":
        mean: Symbols = self.sum(axis, keepdims) / self.shape[axis]
        return mean

    def max(self, axis: int | tuple[int, ...] = -1) -> "Symbols":
        symbols = self.symbols
        for one in sorted((i % self.ndim for i in np.atleast_1d(axis)), reverse=True):
            parts: Any = map(Symbols, np.moveaxis(symbols, one, 0))
            symbols = reduce(np.maximum, parts).symbols
        return Symbols(symbols)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> "Symbols":
        # `x += y` makes new symbols. The rounding of a matrix product depends on the BLAS library.
        if method != "__call__" or options.keys() - {"out"} or ufunc is np.matmul:
            raise Untraceable(f"{ufunc.__name__}.{method}")
        arrays = np.broadcast_arrays(*map(_symbols, inputs))
        symbols = np.empty(arrays[0].shape, dtype=object)
        for index in np.ndindex(symbols.shape):
            symbols[index] = _operation(ufunc.__name__, *[array[index] for array in arrays])
        return Symbols(symbols)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> "Symbols":
        if function in (np.stack, np.concatenate, np.expand_dims, np.squeeze, np.sum, np.prod):
            # These work on object arrays as they are.
            return Symbols(function(*(_plain(arg) for arg in args), **options))
        if function is np.shape:
            return self.shape  # type: ignore[return-value]
        if function is np.broadcast_to:
            return Symbols(np.broadcast_to(self.symbols, args[1]))
        if function in _CONSTANTS:
            return Symbols(np.full(self.shape, _CONSTANTS[function], dtype=object))
        if function is np.where and len(args) == 3:
            arrays = np.broadcast_arrays(*map(_symbols, args))
            return Symbols(np.vectorize(lambda *nodes: Node("where", nodes), otypes=[object])(*arrays))
        if function is np.clip:
            return np.minimum(np.maximum(args[0], args[1]), args[2])  # type: ignore[no-any-return]
        if function is np.linalg.norm and set(options) <= {"axis", "keepdims"}:
            return np.sqrt(np.sum(args[0] * args[0], **options))  # type: ignore[no-any-return]
        if function is np.sinc:
            y = np.pi * np.where(args[0] == 0, 1e-20, args[0])
            return np.sin(y) / y  # type: ignore[return-value]
        raise Untraceable(function.__name__)


_CONSTANTS = {np.zeros_like: number(0.0), np.ones_like: number(1.0)}


def _symbols(value: Any) -> Any:
    """An object array of Node: those of Symbols, or one `number` for each number."""
    if isinstance(value, Symbols):
        return value.symbols
    array: Any = np.asarray(value).astype(object)
    if array.ndim == 0 and isinstance(array.item(), Symbols):  # np.asarray(symbols) holds the symbols
        return array.item().symbols
    symbols = np.empty(array.shape, dtype=object)
    for index in np.ndindex(array.shape):
        item = array[index]
        symbols[index] = item.symbols.item() if isinstance(item, Symbols) else number(item)
    return symbols


def _plain(argument: Any) -> Any:
    if isinstance(argument, list | tuple):
        return [_symbols(item) for item in argument]
    return argument.symbols if isinstance(argument, Symbols) else argument


def _operation(op: str, *args: Any) -> Node:
    """The operation, with NumPy's synonyms reduced to one."""
    if op == "square":
        return Node("multiply", (args[0], args[0]))
    if op == "add" and args[1].op == "negative":
        return Node("subtract", (args[0], args[1].args[0]))
    if op == "float_power":
        return Node("power", args)
    return Node("copy" if op == "positive" else op, args)


@dataclass(frozen=True)
class Program:
    """One step of a rule on a function. Inputs: the coordinates w1..wd, the state s1..sm, the settings by name."""

    points: tuple[str, ...]
    states: tuple[str, ...]
    settings: tuple[str, ...]
    first: tuple[Node, ...]
    """State before the first step, from the start point."""
    value: Node
    gradient: tuple[Node, ...]
    point_after: tuple[Node, ...]
    state_after: tuple[Node, ...]


def trace(rule: Rule, function: Objective, settings: Iterable[str] = ()) -> Program:
    """One step of `rule` on `function`; the rule's fields named in `settings` are inputs, the others numbers.

    Raises Untraceable where the rule or the function needs numbers, and what `require_vector` raises.
    """
    dimension = len(function.start)
    if dimension > MAX_DIMENSION:
        raise Untraceable(f"{dimension} dimensions")
    require_vector(rule)
    names = tuple(settings)
    points = tuple(f"w{i + 1}" for i in range(dimension))
    try:
        rule = _opened(rule, names)
        x = Symbols([symbol(name) for name in points])
        states: list[str] = []
        start = rule.init(x)
        state = _symbols_for(start, states)
        value, gradient = function.value(x), function.gradient(x)  # type: ignore[arg-type]
        step, after = rule.update(gradient, state, **needed(rule, function, x, value=value))
        moved = x + step
    except (TypeError, ValueError, AttributeError) as error:  # from a line that requires a real array
        raise Untraceable(str(error)) from None
    flat = [_leaves(tree) for tree in (start, after)]
    if len(flat[0]) != len(flat[1]) or moved.shape != (dimension,):
        raise Untraceable("the state changes its shape")
    parts = (flat[0], _symbols(value).reshape(1), _symbols(gradient), moved.symbols, flat[1])
    first, (valued,), gradient_symbols, point_after, state_after = (tuple(part) for part in parts)
    return Program(points, tuple(states), names, first, valued, gradient_symbols, point_after, state_after)


def trace_measure(
    rule: Rule,
    settings: Iterable[str],
    inputs: Sequence[str],
    measure: Callable[[Rule, Any], Iterable[Any]],
) -> list[Node]:
    """What `measure(rule, array)` calculates with the rule's `settings` and the array's entries `inputs` unknown."""
    array = Symbols([symbol(name) for name in inputs])
    return [symbol for part in measure(_opened(rule, settings), array) for symbol in _symbols(part).ravel()]


def _opened(rule: Rule, settings: Iterable[str]) -> Rule:
    """The rule with inputs in the place of its fields named in `settings`."""
    opened: Rule = with_settings(rule, {name: Symbols([symbol(variable(name))]) for name in settings})
    return opened


def variable(setting: str) -> str:
    """The variable of generated code for a setting, which may be that of a wrapped rule: base.lr is base_lr."""
    return setting.replace(".", "_")


def _symbols_for(tree: Any, names: list[str]) -> Any:
    """The tree of a state, with a new input in the place of every number; `names` is extended by theirs."""
    if isinstance(tree, tuple):
        parts = [_symbols_for(part, names) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    shape = np.shape(tree) if not isinstance(tree, Symbols) else tree.shape
    symbols = np.empty(shape, dtype=object)
    for index in np.ndindex(shape):
        names.append(f"s{len(names) + 1}")
        symbols[index] = symbol(names[-1])
    return Symbols(symbols)


def _leaves(tree: Any) -> list[Node]:
    if isinstance(tree, tuple):
        return [symbol for part in tree for symbol in _leaves(part)]
    return list(_symbols(tree).ravel())


def axes_of(
    program: Program, body: Sequence[Operation], after: Sequence[Any], known: Mapping[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    """The axes of a map ("x", "y") along which each name of the body varies; `known`: of points and settings."""
    axes = dict(known) | {name: frozenset() for name in program.states if name not in known}
    while True:
        for operation in body:
            parts = [axes[arg] for arg in operation.args if isinstance(arg, str)]
            axes[operation.name] = frozenset().union(*parts)
        ends = zip(program.states, after, strict=True)
        grown = {name: axes[name] | (axes[end] if isinstance(end, str) else frozenset()) for name, end in ends}
        if all(axes[name] == wider for name, wider in grown.items()):
            return axes
        axes |= grown
