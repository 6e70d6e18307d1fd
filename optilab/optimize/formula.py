"""Formulas as text: parsed by a whitelist (never by `eval`), evaluated, differentiated, printed.

Two kinds of text: a function that a user types ("0.1*w1^2 + 2*w2^2"), and the formula of every rule
("V <- beta*V + g;  w <- w - lr*V"), which is executed in the tests and in `explain` to prove that it is the rule.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np

from optilab.errors import UsageError, did_you_mean

MAX_LENGTH, MAX_DEPTH = 2000, 100


@dataclass(frozen=True)
class Node:
    """A number, a symbol or an operation: `op` is "number", "symbol", an operator or a function's name."""

    op: str
    args: tuple["Node", ...] = ()
    value: float = 0.0
    name: str = ""


@dataclass(frozen=True)
class Statement:
    """`target <- node` updates a state, `target = node` names an intermediate result."""

    target: str
    arrow: str
    node: Node


def number(value: float) -> Node:
    return Node("number", value=float(value))


def symbol(name: str) -> Node:
    return Node("symbol", name=name)


ZERO, ONE, TWO = number(0), number(1), number(2)
CONSTANTS = {"pi": pi}
COORDINATES = {"x": "w1", "y": "w2"}  # other names in a typed function

_BINARY: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "^",
    ast.Mod: "%",
    ast.Gt: ">",
    ast.Lt: "<",
}
_OPERATORS: dict[str, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
    "%": np.mod,
    ">": np.greater,
    "<": np.less,
    "neg": np.negative,
}
SMOOTH: dict[str, Callable[..., Any]] = {
    name: getattr(np, name) for name in ("sqrt", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh")
} | {"abs": np.abs, "sign": np.sign, "min": np.minimum, "max": np.maximum}
"""Functions in a test function; each has a derivative, at a kink on both of its sides."""

RULE_ONLY: dict[str, Callable[..., Any] | None] = {
    "where": np.where,
    "clip": np.clip,
    "grad": None,  # the gradient of the function, which is a value
    "diagonal": None,  # the diagonal of its Hessian, too
    "sum": lambda x: np.sum(x, axis=-1, keepdims=True),
    "norm": lambda x: np.sqrt(np.sum(np.square(x), axis=-1, keepdims=True)),
    "solve": lambda matrix, x: np.linalg.pinv(matrix, hermitian=True) @ x,
    "smallest": lambda matrix: np.linalg.eigvalsh(matrix)[:1],
}
_WHOLE = range(1, 65)  # exponents computed by multiplication
_ARITY = {"min": 2, "max": 2, "where": 3, "clip": 3, "solve": 2}


def power(x: Any, n: int) -> Any:
    """x^n for a whole n of at least 1, by multiplication: a tenth of the time of x**n, and no library's rounding."""
    half = power(x, n // 2) if n > 1 else x
    squared = half * half if n > 1 else x
    return squared * x if n > 1 and n % 2 else squared


def parse(text: str, functions: Mapping[str, Any] = SMOOTH, names: Mapping[str, str] = COORDINATES) -> Node:
    """Parse an expression of + - * / ^ (or **), parentheses, numbers, names and `functions`.

    `names` are replaced. Raises UsageError with the column of the first part that is not accepted.
    """
    if len(text) > MAX_LENGTH:
        raise UsageError(f"the formula has {len(text):,} characters; at most {MAX_LENGTH:,} are accepted")
    # `^` becomes `**`, which binds as a power does; `columns` maps back to the typed text.
    source, columns = "", []
    for column, character in enumerate(text, 1):
        if not character.isascii() or not (character.isprintable() or character.isspace()):
            raise _error(column, f"unexpected character {character!a}")
        written = "**" if character == "^" else " " if character.isspace() else character
        source += written
        columns += [column] * len(written)
    columns.append(len(text) + 1)
    lead = len(source) - len(source.lstrip())
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except SyntaxError as error:
        # Python reports the end of a text as column 0 or as a column behind it.
        at = min(error.offset - 1 + lead, len(columns) - 1) if error.offset else len(columns) - 1
        raise _error(columns[at], f"cannot be read ({error.msg})") from None
    except (ValueError, MemoryError, RecursionError):
        raise UsageError("the formula is nested too deeply") from None
    return _node(tree, functions, names, lambda node: columns[node.col_offset + lead], 0)


def _error(column: int, what: str) -> UsageError:
    return UsageError(
        f"column {column}: {what}; accepted are numbers, w1, w2, ... (or x, y), + - * / ^, parentheses, pi and "
        f"{', '.join(SMOOTH)}"
    )


def _node(
    tree: Any, functions: Mapping[str, Any], names: Mapping[str, str], column: Callable[[Any], int], depth: int
) -> Node:
    if depth > MAX_DEPTH:
        raise UsageError("the formula is nested too deeply")

    def below(child: Any) -> Node:
        return _node(child, functions, names, column, depth + 1)

    match tree:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool) and value < 1e300:
            return number(value)
        case ast.Name(id=name):
            return number(CONSTANTS[name]) if name in CONSTANTS else symbol(names.get(name, name))
        case ast.UnaryOp(op=ast.USub()):
            return _negative(below(tree.operand))
        case ast.UnaryOp(op=ast.UAdd()):
            return below(tree.operand)
        case ast.BinOp() if type(tree.op) in _BINARY and _BINARY[type(tree.op)] in "+-*/^%":
            return Node(_BINARY[type(tree.op)], (below(tree.left), below(tree.right)))
        case ast.Compare(ops=[op], comparators=[right]) if type(op) in _BINARY and "where" in functions:
            return Node(_BINARY[type(op)], (below(tree.left), below(right)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            if name not in functions:
                raise _error(column(tree), f'unknown function "{name}"{did_you_mean(name, list(functions))}')
            if len(args) != _ARITY.get(name, 1):
                raise _error(column(tree), f"{name} takes {_ARITY.get(name, 1)} argument(s), got {len(args)}")
            return Node(name, tuple(map(below, args)))
    raise _error(column(tree), "not accepted here")


def statements(rule: str) -> list[Statement]:
    """The statements of an algorithm's formula, in order."""
    result = []
    for text in rule.split(";"):
        arrow = "<-" if "<-" in text else "="
        target, _, expression = text.partition(arrow)
        result.append(Statement(target.strip(), arrow, parse(expression, SMOOTH | RULE_ONLY, {})))
    return result


def evaluate(node: Node, values: Mapping[str, Any]) -> Any:
    """The value, with the symbols' `values` (numbers or arrays that broadcast)."""
    if node.op == "number":
        return node.value
    if node.op == "symbol":
        return values[node.name]
    if node.op == "^" and node.args[1].value in _WHOLE:
        return power(evaluate(node.args[0], values), int(node.args[1].value))
    call: Any = _OPERATORS.get(node.op) or SMOOTH.get(node.op) or RULE_ONLY[node.op] or values[node.op]
    return call(*(evaluate(child, values) for child in node.args))


def symbols(node: Node) -> set[str]:
    """The names in an expression."""
    return {node.name} if node.op == "symbol" else set().union(*(symbols(child) for child in node.args))


def is_smooth(node: Node) -> bool:
    """Whether the expression is free of abs, sign, min and max, whose derivatives jump."""
    return node.op not in ("abs", "sign", "min", "max") and all(map(is_smooth, node.args))


def derivative(node: Node, name: str) -> Node:
    """d node / d name, by the rules of calculus; at the kink of abs, min and max one of the two sides."""
    if node.op == "number":
        return ZERO
    if node.op == "symbol":
        return ONE if node.name == name else ZERO
    if node.op in (">", "<", "sign"):  # constant between their jumps
        return ZERO
    inner = [derivative(child, name) for child in node.args]
    if all(d == ZERO for d in inner):
        return ZERO
    u, du = node.args[0], inner[0]
    if len(node.args) == 2:
        v, dv = node.args[1], inner[1]
        match node.op:
            case "+":
                return _plus(du, dv)
            case "-":
                return _minus(du, dv)
            case "*":
                return _plus(_times(du, v), _times(u, dv))
            case "/":
                return _over(_minus(_times(du, v), _times(u, dv)), Node("^", (v, TWO)))
            case "^" if dv == ZERO:
                return _times(_times(v, _power(u, _minus(v, ONE))), du)
            case "^":
                return _times(node, _plus(_times(dv, Node("log", (u,))), _over(_times(v, du), u)))
            case "min" | "max":
                return Node("where", (Node("<" if node.op == "min" else ">", (u, v)), du, dv))
    match node.op:
        case "where":
            return Node("where", (u, inner[1], inner[2]))
        case "neg":
            return _negative(du)
        case "sqrt":
            return _over(du, _times(TWO, node))
        case "exp":
            return _times(node, du)
        case "log":
            return _over(du, u)
        case "sin":
            return _times(Node("cos", (u,)), du)
        case "cos":
            return _negative(_times(Node("sin", (u,)), du))
        case "tan":
            return _over(du, Node("^", (Node("cos", (u,)), TWO)))
        case "sinh":
            return _times(Node("cosh", (u,)), du)
        case "cosh":
            return _times(Node("sinh", (u,)), du)
        case "tanh":
            return _times(_minus(ONE, Node("^", (node, TWO))), du)
        case "abs":
            return _times(Node("sign", (u,)), du)
    raise UsageError(f"{node.op} has no derivative here")


def _negative(a: Node) -> Node:
    return number(-a.value) if a.op == "number" else Node("neg", (a,))


def _plus(a: Node, b: Node) -> Node:
    return b if a == ZERO else a if b == ZERO else Node("+", (a, b))


def _minus(a: Node, b: Node) -> Node:
    if a.op == b.op == "number":
        return number(a.value - b.value)
    return a if b == ZERO else _negative(b) if a == ZERO else Node("-", (a, b))


def _times(a: Node, b: Node) -> Node:
    if a.op == b.op == "number":
        return number(a.value * b.value)
    if ZERO in (a, b):
        return ZERO
    if a.op == "number" and b.op == "*" and b.args[0].op == "number":  # 0.1*(2*w) reads 0.2*w
        return _times(_times(a, b.args[0]), b.args[1])
    return b if a == ONE else a if b == ONE else Node("*", (a, b))


def _over(a: Node, b: Node) -> Node:
    return a if b == ONE or a == ZERO else Node("/", (a, b))


def _power(a: Node, b: Node) -> Node:
    return a if b == ONE else ONE if b == ZERO else Node("^", (a, b))


_BINDING = {">": 1, "<": 1, "+": 2, "-": 2, "*": 3, "/": 3, "%": 3, "neg": 3, "^": 4}


def text(node: Node, shown: Callable[[str], str] = lambda name: name) -> str:
    """Plain text; `shown` maps a symbol to its name or its number (negative numbers in parentheses)."""
    if node.op == "number":
        return f"{node.value:.15g}"
    if node.op == "symbol":
        return shown(node.name)
    if node.op not in _BINDING:
        parts = [_bare(child, text(child, shown)) for child in node.args]
        return f"{node.op if node.op != 'bracket' else ''}({', '.join(parts)})"
    parts = [text(child, shown) for child in _bracketed(node)]
    if node.op == "neg":
        return f"-{parts[0]}"
    return (f" {node.op} " if node.op in "+-<>%" else node.op).join(parts)


def _bare(node: Node, written: str) -> str:
    """Without parentheses around a single number."""
    return written.strip("()") if node.op == "symbol" else written


def latex(node: Node, shown: Callable[[str], str]) -> str:
    """LaTeX; `shown` as in `text`."""
    if node.op == "number":
        return f"{node.value:.15g}"
    if node.op == "symbol":
        return shown(node.name)
    if node.op == "bracket":
        return rf"\left({_bare(node.args[0], latex(node.args[0], shown))}\right)"
    if node.op in ("/", "sqrt", "abs"):  # these bracket by their own shape
        parts = [_bare(child, latex(child, shown)) for child in node.args]
        return {"/": r"\frac{%s}{%s}", "sqrt": r"\sqrt{%s}", "abs": r"\left|%s\right|"}[node.op] % tuple(parts)
    parts = [latex(child, shown) for child in _bracketed(node)]
    if node.op == "where":
        return rf"\begin{{cases}}{parts[1]} & {parts[0]}\\{parts[2]} & \text{{else}}\end{{cases}}"
    if node.op == "neg":
        return f"-{parts[0]}"
    if node.op == "^":
        return f"{parts[0]}^{{{latex(node.args[1], shown)}}}"
    if node.op in _BINDING:
        joint = {"*": r" \cdot ", "%": r" \bmod "}.get(node.op, f" {node.op} ")
        return joint.join(parts)
    return rf"\operatorname{{{node.op}}}\left({', '.join(parts)}\right)"


def _bracketed(node: Node) -> list[Node]:
    """The operands, in brackets where precedence requires them."""
    here = _BINDING.get(node.op, 0)
    operands = []
    for index, child in enumerate(node.args):
        binding = _BINDING.get(child.op, 9)
        tight = index > 0 and node.op in "-/%"  # a - (b + c), a/(b*c)
        first_power = index == 0 and node.op == "^"
        loose = binding < here or (tight and binding == here) or (first_power and binding == here)
        operands.append(Node("bracket", (child,)) if loose else child)
    return operands
