"""Formulas written out: one operation per line, over the single coordinates of a point."""

import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from optilab.optimize.arrays import Array
from optilab.optimize.formula import (
    ZERO,
    Node,
    nodes_of,
    number,
    operations_of,
    put_in,
    symbol,
    symbols,
)
from optilab.optimize.operations import NUMBER, OF_MATRICES, OPERATIONS, VECTOR
from optilab.optimize.program import Medium, Program, code, evaluate, executed, operation


def power(x: Any, n: int) -> Any:
    """x^n for a whole n of at least 1, by multiplication: a tenth of the time of x**n, and no library's rounding."""
    half = power(x, n // 2) if n > 1 else x
    squared = half * half if n > 1 else x
    return squared * x if n > 1 and n % 2 else squared


MULTIPLIED_EXPONENTS = range(1, 65)
"""Exponents in a function that are computed by multiplication."""


def in_products(node: Node, known: dict[int, Node]) -> Node:
    """An expression of a function as it is calculated: whole powers as products, and what is constant as its value."""
    if not node.args:
        return node
    if id(node) not in known:
        args = tuple(in_products(child, known) for child in node.args)
        changed = Node(node.op, args)
        constant = all(arg.op == "number" for arg in args)
        if node.op == "power" and args[1].value in MULTIPLIED_EXPONENTS:
            base, exponent = args[0], int(args[1].value)
            changed = number(power(base.value, exponent)) if constant else power(base, exponent)
        elif constant:
            changed = folded(changed, in_numpy=True)
        known[id(node)] = changed
    return known[id(node)]


def folded(node: Node, in_numpy: bool = False) -> Node:
    """An operation on numbers as its value, where it has one: x/0 has none but in NumPy."""
    import numpy as np

    kind = np.float64 if in_numpy else float
    names = {name: kind(arg.value) for name, arg in zip("abc", node.args, strict=False)}
    try:
        with np.errstate(all="ignore"):
            value = evaluate(Node(node.op, tuple(map(symbol, names))), names)
    except ArithmeticError:
        return node
    return node if isinstance(value, bool | np.bool_) else number(float(value))


MAX_NESTED = 50
"""Operations in one line: Python parses 100 parentheses inside each other."""


def lines_of(roots: Sequence[Node], medium: Medium) -> tuple[list[str], list[str]]:
    """The lines of a program that calculates each operation of `roots` once, and the expressions of the roots.

    A result that is read once stands where it is read, so that NumPy can reuse its memory.
    """
    names, places = dict[tuple[str, ...], str](), dict[int, str]()

    def name(node: Node) -> str:
        """The name of a result, by its operation and what that reads; a number or a symbol as it is."""
        if not node.args:
            return code(node)
        if id(node) not in places:
            key = (node.op, *map(name, node.args))
            places[id(node)] = names.setdefault(key, f"n{len(names) + 1}")
        return places[id(node)]

    ends = list(map(name, roots))
    reads = Counter(read for group in (*(key[1:] for key in names), ends) for read in group)
    reads.update(key[1] for key in names if OPERATIONS[key[0]].numbers.count("{0}") > 1)
    lines, inside = list[str](), dict[str, str]()
    for (op, *args), result in names.items():
        expression = operation(op, [inside.get(arg, arg) for arg in args], medium)
        if reads[result] == 1 and expression.count("(") < MAX_NESTED:
            inside[result] = expression
        else:
            lines.append(f"{result} = {expression}")
    return lines, [inside.get(end, end) for end in ends]


ON_VECTORS = {"w": "x", "i": "np.arange(1.0, x.shape[-1] + 1)", "d": "x.shape[-1]"}
"""The names in a formula of vectors, in terms of points x (..., d)."""


def function_of(result: Node | Sequence[Node], names: Sequence[str] | Mapping[str, str]) -> Callable[[Any], Any]:
    """An expression as a function of points x (..., d), (...,); or several as one, in the last axis of its result:
    what they have in common is calculated once.

    `names` are those of the coordinates, or of other quantities with their texts in terms of x, as `ON_VECTORS`.
    """
    known: dict[int, Node] = {}
    roots = [in_products(node, known) for node in ([result] if isinstance(result, Node) else result)]
    lines, written = lines_of(roots, "arrays")
    read = set().union(*map(symbols, roots))
    texts = names if isinstance(names, Mapping) else {name: f"x[..., {i}]" for i, name in enumerate(names)}
    loads = [f"{name} = {text}" for name, text in texts.items() if name in read]
    results = [
        f"np.full(x.shape[:-1], {text})" if root.op == "number" else text
        for root, text in zip(roots, written, strict=True)
    ]
    # np.stack takes longer than the arithmetic of most steps.
    joined = f"np.concatenate([{', '.join(f'{part}[..., None]' for part in results)}], axis=-1)"
    end = f"return {results[0] if isinstance(result, Node) else joined}"
    function: Callable[[Any], Any] = executed("\n    ".join(["def function(x):", *loads, *lines, end]))["function"]
    return function


FLUSH_EVERY = 16
"""Steps after which tiny numbers become zero."""


@dataclass(frozen=True)
class Expansion:
    """A step of a program over single coordinates, with a function put in.

    Inputs are t, settings, and what is `moving`: the coordinates w1, ..., wd, then the states, each with a value for
    each coordinate or a common value.
    """

    moving: tuple[str, ...]
    value: Node
    gradient: tuple[Node, ...]
    after: tuple[Node, ...]
    """The coordinates of w and the states, after the step."""

    def steps(
        self, outputs: Sequence[Node], settings: Sequence[str] = (), on_arrays: bool = False
    ) -> Callable[..., Iterator[tuple[Any, ...]]]:
        """A generator function of (settings, *moving): the values of `outputs` at each step, without end.

        `outputs` may be of what is before the step, or of `after`. It calculates with plain numbers, or on arrays.
        """
        count = len(outputs)
        lines, written = lines_of([*outputs, *self.after], "arrays" if on_arrays else "numbers")
        yielded, after = ("".join(f"{end}, " for end in part) for part in (written[:count], written[count:]))
        moving = "".join(f"{name}, " for name in self.moving)
        source = [
            f"def steps(settings, {moving}):",
            *([f"{''.join(f'{name}, ' for name in settings)} = settings"] if settings else []),
            f"t = {'np.float64(0.0)' if on_arrays else '0.0'}",
            "while True:",
            "    t += 1.0",
            *([f"    if t % {FLUSH_EVERY} == 0: {moving} = map(_flushed, ({moving}))"] if on_arrays else []),
            *(f"    {line}" for line in lines),
            f"    yield ({yielded})",
            f"    {moving} = {after}",
        ]
        steps: Callable[..., Any] = executed("\n    ".join(source))["steps"]
        return steps


def moving_at_start(rule: Any, w: Array) -> list[Array]:
    """A point (..., d) and the state of a rule before its first step from there, as `Expansion.moving` has them."""
    numbers = [w[..., i] for i in range(w.shape[-1])]
    for name, value in zip(rule.states, rule.init(w), strict=True):
        if rule.program.sizes[name] == VECTOR:
            numbers += [value[..., i] for i in range(w.shape[-1])]
        else:  # one for each point, or a number
            numbers.append(value[..., 0] if getattr(value, "ndim", 0) else value)
    return numbers


def written_out(rule: Any, function: Any, settings: Mapping[str, Node]) -> Expansion | None:
    """The step of a rule on a function; None where one of them has no formula, or the step needs a matrix."""
    trees = function.nodes() if rule.text else None
    matrices = OF_MATRICES | {"diagonal"}
    if trees is None or any(operations_of(statement.node) & matrices for statement in rule.program.statements):
        return None
    program: Program = rule.program
    known: dict[int, Node] = {}
    value, *gradient = (in_products(node, known) for node in (trees[0], *trees[1]))
    dimension, sizes = len(gradient), program.sizes
    points = [f"w{i + 1}" for i in range(dimension)]
    moving = {"w": [symbol(name) for name in points]}
    for name in program.states:
        whole = sizes[name] == VECTOR
        moving[name] = [symbol(f"_{i + 1}_{name}" if whole else f"_{name}") for i in range(dimension)]
    values = {name: [node] * dimension for name, node in settings.items()} | moving
    values |= {"g": gradient, "f": [value] * dimension, "t": [symbol("t")] * dimension}

    def at(node: Node, i: int) -> Node:
        """An expression in coordinate i."""
        if node.op == "number":
            return node
        if node.op == "symbol":
            return values[node.value][i]
        if node.op == "grad":
            place = dict(zip(points, (at(node.args[0], j) for j in range(dimension)), strict=True))
            return put_in(gradient[i], place)
        if node.op in ("sum", "norm"):
            count = dimension if program.size(node.args[0], sizes) == VECTOR else 1
            parts = [at(node.args[0], j) for j in range(count)]
            if node.op == "sum":
                return reduce(operator.add, parts)
            return Node("sqrt", (reduce(operator.add, [part * part for part in parts]),))
        args = tuple(at(child, i) for child in node.args)
        if node.op == "clip":
            return Node("minimum", (Node("maximum", args[:2]), args[2]))
        if program.size(node, sizes) == NUMBER:
            value = folded(Node(node.op, args)) if all(arg.op == "number" for arg in args) else node
            raised = "raised" if node.op == "power" else node.op
            return value if value.op == "number" else Node(raised, args)
        if node.op == "power" and args[1].value in _POWERS:
            return _POWERS[args[1].value](args[0])
        return Node(node.op, args)

    def each(name: str) -> list[Node]:
        """A moving quantity once for each coordinate, or once."""
        return values[name] if sizes[name] == VECTOR else values[name][:1]

    names = tuple(str(node.value) for name in moving for node in each(name))
    for statement in program.body:
        values[statement.target] = [at(statement.node, i) for i in range(dimension)]
    return Expansion(names, value, tuple(gradient), tuple(node for name in moving for node in each(name)))


def divides_by_zero(node: Node) -> bool:
    """True if a divisor in the expression is the number 0."""
    divisors = [part.args[1] for part in nodes_of(node) if part.op == "divide"]
    return any(not symbols(divisor) and in_products(divisor, {}) == ZERO for divisor in divisors)


_POWERS: Mapping[float, Callable[[Node], Node]] = {
    2.0: lambda x: x * x,
    0.5: lambda x: Node("sqrt", (x,)),
    1.0: lambda x: x,
    -1.0: lambda x: 1 / x,
}
"""Powers that NumPy computes so."""
