"""A rule's formula as the step that runs: on NumPy arrays, torch tensors and numbers alike.

    program = compiled("V <- beta*V + g;  w <- w - lr*V")
    state = program.init(w, settings)
    w, state = program.step(w, g, 1.0, state, settings)

The text becomes Python source once, in which every product and sum stands as it is printed, so that what is printed is
what runs, to the bit; in a training, operations of torch.optim, or of ADOPT's authors, may stand for it. `expansion`
has the same program over single coordinates.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import inf, nan
from types import CodeType
from typing import Any, Literal

from optilab.optimize import arrays
from optilab.optimize.arrays import Array
from optilab.optimize.formula import (
    ZERO,
    Node,
    Statement,
    operations_of,
    statements,
    symbol,
    symbols,
    text,
)
from optilab.optimize.operations import JOINT, NUMBER, OPERATIONS, PER_POINT, VECTOR

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
    """The formula of a program, in one spelling, whatever spaces and parentheses it was typed with."""
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
