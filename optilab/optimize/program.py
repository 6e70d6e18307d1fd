"""A rule's formula as the step that runs: on NumPy arrays, torch tensors and numbers alike.

    program = compiled("V <- beta*V + g;  w <- w - lr*V")
    state = program.init(w, settings)
    w, state = program.step(w, g, 1.0, state, settings)

The text becomes Python source once, in which every product and sum stands as it is printed, so that what is printed is
what runs, to the bit; in a training, operations of torch.optim, or of ADOPT's authors, may stand for it. `written_out`
has the same program over single coordinates.
"""

import math
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, reduce
from math import inf, nan
from types import CodeType
from typing import Any, Literal

from optilab.optimize import arrays
from optilab.optimize.arrays import Array
from optilab.optimize.formula import (
    ZERO,
    Node,
    Statement,
    nodes_of,
    number,
    operations_of,
    put_in,
    statements,
    symbol,
    symbols,
    text,
)
from optilab.optimize.operations import JOINT, NUMBER, OF_MATRICES, OPERATIONS, PER_POINT, VECTOR

NEEDS = {"f": PER_POINT, "H": VECTOR, "grad": VECTOR, "diagonal": VECTOR}
"""The quantities that a step may need besides the gradient: the value (..., 1) and the Hessian (..., d, d) at w, the
gradient at another point, and the diagonal of the Hessian, both as functions of a point."""
_INPUTS = {"w": VECTOR, "g": VECTOR, "t": NUMBER, "I": VECTOR}


@dataclass(frozen=True)
class Program:
    """A formula whose statements run in order; `init` and `step` are functions of arrays and of an object with the
    settings as attributes."""

    statements: tuple[Statement, ...]

    @cached_property
    def states(self) -> tuple[str, ...]:
        """The names that the formula renews, in this order, besides w."""
        renewed = dict.fromkeys(statement.target for statement in self.statements if statement.arrow == "<-")
        return tuple(name for name in renewed if name != "w")

    @cached_property
    def starts(self) -> Mapping[str, Node]:
        """The starts of the states that do not start at zero: `S0 = ...`."""
        return {s.target[:-1]: s.node for s in self.statements if self._is_start(s)}

    @cached_property
    def body(self) -> tuple[Statement, ...]:
        """The statements of a step."""
        return tuple(statement for statement in self.statements if not self._is_start(statement))

    def _is_start(self, statement: Statement) -> bool:
        return statement.arrow == "=" and statement.target.endswith("0") and statement.target[:-1] in self.states

    @cached_property
    def names(self) -> frozenset[str]:
        """All names that are read, and the operations that are quantities of the function."""
        nodes = [statement.node for statement in self.statements]
        return frozenset().union(*map(symbols, nodes), *(operations_of(node) & NEEDS.keys() for node in nodes))

    @property
    def read_at_steps(self) -> frozenset[str]:
        """The names that a step reads, without those that only the start of a state reads."""
        return frozenset().union(*(symbols(statement.node) for statement in self.body))

    @property
    def settings(self) -> tuple[str, ...]:
        """The names that nothing defines, in the order of the alphabet."""
        defined = {*self.states, *(statement.target for statement in self.body)}
        return tuple(sorted(self.names - defined - _INPUTS.keys() - NEEDS.keys()))

    @property
    def is_joint(self) -> bool:
        """True if a coordinate of the step depends on others."""
        return any(operations_of(statement.node) & JOINT for statement in self.statements)

    @property
    def needs(self) -> tuple[str, ...]:
        """The quantities of the function that a step reads, besides the gradient."""
        return tuple(name for name in NEEDS if name in self.names)

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """The size of every name that is read or assigned."""
        known = dict.fromkeys(self.settings, NUMBER) | _INPUTS | NEEDS
        known |= {name: self.size(self.starts.get(name, ZERO), known) for name in self.states}
        while True:
            before = dict(known)
            for statement in self.body:
                size = self.size(statement.node, known)
                known[statement.target] = max(known.get(statement.target, NUMBER), size)
            if known == before:
                return known

    def size(self, node: Node, known: Mapping[str, int]) -> int:
        """The size of an expression, from those of names."""
        if node.op == "symbol":
            return known.get(node.value, NUMBER)
        size = OPERATIONS[node.op].size if node.args else NUMBER
        return max(self.size(child, known) for child in node.args) if size is None else size

    @cached_property
    def source(self) -> str:
        """Python of `init(w, settings)` and `step(w, g, t, state, settings, f, H, grad, diagonal)`."""
        read = {name: f"    {name} = _settings.{name}" for name in self.settings}
        early = set().union(*map(symbols, self.starts.values())) if self.starts else set()
        first = "".join(f"{self._start(name)}, " for name in self.states)
        every = "".join(f"{name}, " for name in self.states)
        lines = [
            "def init(w, _settings):",
            *(line for name, line in read.items() if name in early),
            f"    return ({first})",
            "def step(w, g, t, _state, _settings, f=None, H=None, grad=None, diagonal=None):",
            *([f"    {every}= _state"] if every else []),
            *read.values(),
            *(f"    {statement.target} = {self._assigned(statement)}" for statement in self.body),
            f"    return w, ({every})",
        ]
        return "\n".join(lines)

    def _assigned(self, statement: Statement) -> str:
        """The expression of a statement; w is a vector, even where one of two numbers is chosen for it."""
        chosen = statement.target == "w" and "where" in operations_of(statement.node)
        return f"_zeros(w) + ({code(statement.node)})" if chosen else code(statement.node)

    def _start(self, name: str) -> str:
        start, size = self.starts.get(name), self.sizes[name]
        if start is not None and self.size(start, self.sizes) == size:
            return code(start)
        if size == NUMBER:
            return "0.0"
        zeros = "_zeros(w)" if size == VECTOR else "_sum(_zeros(w))"
        return zeros if start is None else f"{zeros} + {code(start)}"

    @cached_property
    def _functions(self) -> Mapping[str, Callable[..., Any]]:
        return executed(self.source)

    @property
    def init(self) -> Callable[..., tuple[Array, ...]]:
        """The state before the first step from w, as a function of (w, settings)."""
        return self._functions["init"]

    @property
    def step(self) -> Callable[..., tuple[Array, tuple[Array, ...]]]:
        """The next w and the next state, as a function of (w, g, t, state, settings, f, H, grad, diagonal)."""
        return self._functions["step"]


@cache
def compiled(formula: str) -> Program:
    """The program of a formula. UsageError for one that cannot be read."""
    return Program(tuple(statements(formula)))


def printed(program: Program) -> str:
    """The formula of a program; the same text for two that differ in nothing but spaces and superfluous parentheses."""
    return "; ".join(f"{s.target} {s.arrow} {text(s.node)}" for s in program.statements)


def executed(source: str) -> dict[str, Any]:
    """The names that generated source defines; only names, numbers and operations of a tree are in it."""
    names = dict(_namespace())
    exec(compile(source, "<formula>", "exec"), names)
    return names


@cache
def _namespace() -> Mapping[str, Any]:
    """The names in generated source, besides those of a formula, which begin with a letter."""
    import numpy as np

    operations = {name: function for name, function in vars(arrays).items() if name.startswith("_")}
    return {"np": np, "nan": nan, "inf": inf, "sqrt": math.sqrt, **operations}


def code(node: Node) -> str:
    """An expression as Python; what is not an operator is a call."""
    if node.op == "number":
        return f"({node.value!r})" if node.value < 0 else repr(node.value)
    if node.op == "symbol":
        return "_identity(1.0, w)" if node.value == "I" else str(node.value)
    if node.op == "multiply" and node.args[1] == symbol("I"):
        return f"_identity({code(node.args[0])}, w)"
    args = [code(child) for child in node.args]
    if node.op == "power" and node.args[1].op == "number" and node.args[1].value.is_integer():
        return f"({args[0]} ** {int(node.args[1].value)})"
    return operation(node.op, args, "code")


Medium = Literal["code", "arrays", "numbers"]
"""What Python calculates with: anything that a rule runs on, arrays alone, plain numbers alone."""
_CALLS: Mapping[Medium, str] = {"code": "_{}({})", "arrays": "np.{}({})", "numbers": "float(np.{}({}))"}


def operation(op: str, args: Sequence[str], medium: Medium) -> str:
    """An operation on expressions as Python."""
    template = OPERATIONS[op].infix or getattr(OPERATIONS[op], medium)
    return template.format(*args) if template else _CALLS[medium].format(op, ", ".join(args))


def evaluate(node: Node, values: Mapping[str, Any]) -> Any:
    """The value of an expression, with the values of its names; the arithmetic of `Program.step`. Raises KeyError."""
    node.code = node.code or code(node)
    try:
        return eval(_expression(node.code), {**_namespace(), "w": None, **values})
    except NameError as error:
        raise KeyError(error.name) from None


@cache
def _expression(source: str) -> CodeType:
    return compile(source, "<formula>", "eval")


def is_finite(node: Node) -> bool:
    """True if every constant in an expression is a finite number."""
    if node.args and not symbols(node) and not operations_of(node) & NEEDS.keys():
        try:
            return math.isfinite(evaluate(node, {}))
        except ArithmeticError:
            return False
    return all(map(is_finite, node.args))


def divides_by_zero(node: Node) -> bool:
    """True if a divisor in the expression is the number 0."""
    divisors = [part.args[1] for part in nodes_of(node) if part.op == "divide"]
    return any(not symbols(divisor) and in_products(divisor, {}) == ZERO for divisor in divisors)


# --- written out: one operation per line, over the coordinates of a point ----------------------------------------


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


_POWERS: Mapping[float, Callable[[Node], Node]] = {
    2.0: lambda x: x * x,
    0.5: lambda x: Node("sqrt", (x,)),
    1.0: lambda x: x,
    -1.0: lambda x: 1 / x,
}
"""Powers that NumPy computes so."""
