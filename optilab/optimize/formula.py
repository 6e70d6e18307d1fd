"""Formulas as trees: parsed by a whitelist (never by `eval`), evaluated, differentiated, printed, written as code.

Two things become trees: a function that a user types ("0.1*w1^2 + 2*w2^2"), and the formula of every rule
("V <- beta*V + g;  w <- w - lr*V"), which is the program that runs (`optilab.optimize.program`).
"""

import ast
import keyword
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import pi
from typing import Any

from optilab.errors import UsageError, did_you_mean, shown
from optilab.numbers import exact
from optilab.optimize.operations import FUNCTIONS, JUMPS, OPERATIONS, RULE_FUNCTIONS

MAX_LENGTH, MAX_DEPTH, MAX_NODES = 2000, 100, 1000


_Operator = Callable[["Node", Any], "Node"]


def _operators(op: str) -> tuple[_Operator, _Operator]:
    """An operation on nodes and numbers with the node on the left, and on the right."""

    def node(value: Any) -> "Node":
        return value if isinstance(value, Node) else number(float(value))

    return lambda a, b: Node(op, (a, node(b))), lambda b, a: Node(op, (node(a), b))


def _operation(op: str) -> Callable[["Node"], "Node"]:
    return lambda a: Node(op, (a,))


@dataclass(slots=True, unsafe_hash=True)
class Node:
    """A number, a symbol (its name is the value), or an operation on nodes, named as NumPy names it."""

    op: str
    args: tuple["Node", ...] = ()
    value: Any = None
    code: str = field(default="", init=False, compare=False, repr=False)
    """The expression as Python, once it has been calculated."""

    # What NumPy calls for each element of an array of nodes, by which a function in code becomes a tree.
    __add__, __radd__ = _operators("add")
    __sub__, __rsub__ = _operators("subtract")
    __mul__, __rmul__ = _operators("multiply")
    __truediv__, __rtruediv__ = _operators("divide")
    __pow__, __rpow__ = _operators("power")

    __neg__, __abs__ = map(_operation, ("negative", "absolute"))

    def _branch(self, *_: Any) -> Any:
        raise TypeError("if, >, max, np.maximum and np.where depend on a value, not on its symbol")

    __bool__ = __lt__ = __le__ = __gt__ = __ge__ = _branch


for _name, _row in OPERATIONS.items():
    if _row.in_functions and _row.typed and _row.arity == 1 and _row.slope:
        setattr(Node, _name, _operation(_name))


@dataclass(frozen=True)
class Statement:
    """`target <- node` updates a state, `target = node` names an intermediate result."""

    target: str
    arrow: str
    node: Node


def number(value: Any) -> Node:
    return Node("number", value=value)


def symbol(name: str) -> Node:
    return Node("symbol", value=name)


ZERO, ONE = number(0.0), number(1.0)
CONSTANTS = {"pi": pi}
COORDINATES = {"x": "w1", "y": "w2"}  # other names in a typed function

_BINARY: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.Pow: "power",
    ast.Mod: "remainder",
}
_COMPARED: dict[type[ast.AST], str] = {ast.Gt: "greater", ast.Lt: "less"}


class FormulaError(UsageError):
    """A part of a formula that is not accepted: its column, from 1, and the text around it with a caret below."""

    def __init__(self, text: str, column: int, reason: str) -> None:
        self.column, self.reason = column, reason
        start = max(0, column - 60)
        part = re.sub(r"\s", " ", text[start : start + 80])
        super().__init__(f"column {column}: {reason}\n    {part}\n    {' ' * (column - 1 - start)}^")


def parse(text: str, functions: Mapping[str, str] = FUNCTIONS) -> Node:
    """Parse an expression of + - * / ^ (or **), parentheses, numbers, names and `functions`.

    As on paper, two factors need no sign between them: `0.1 w1^2`, `2(w1 + 1)`. In a test function, x is w1 and y is
    w2. Raises FormulaError for the first part that is not accepted.
    """
    if len(text) > MAX_LENGTH:
        raise UsageError(f"expected a formula of at most {MAX_LENGTH:,} characters, got {len(text):,}")
    if not text.strip():
        raise FormulaError(text, 1, "expected an expression, got nothing")
    # `^` becomes `**`, which binds as a power does; `columns` maps back to the typed text.
    source, columns, factors = "", list[int](), _second_factors(text, functions)
    for column, character in enumerate(text, 1):
        if character == "#" or not character.isascii() or not (character.isprintable() or character.isspace()):
            raise FormulaError(text, column, f"unexpected character {character!a}; {accepted(functions)}")
        written = "**" if character == "^" else " " if character.isspace() else character
        written = f"*{written}" if column in factors else written
        source += written
        columns += [column] * len(written)
    columns.append(len(text) + 1)
    lead = len(source) - len(source.lstrip())
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except SyntaxError as error:
        # Python reports the end of a text as column 0 or as a column behind it.
        at = min(error.offset - 1 + lead, len(columns) - 1) if error.offset else len(columns) - 1
        rest = text[columns[at] - 1 :].strip()
        message = f"cannot be read from {shown(rest)} on" if rest else "the formula ends too early"
        if "never closed" in error.msg or "unmatched" in error.msg:
            raise FormulaError(text, columns[at], f'unmatched "{rest[0]}"') from None
        raise FormulaError(text, columns[at], f"{message}; {accepted(functions)}") from None
    except (ValueError, MemoryError, RecursionError):
        raise UsageError(TOO_DEEP) from None

    def refused(node: Any, reason: str) -> FormulaError:
        return FormulaError(text, columns[node.col_offset + lead], reason)

    return _node(tree, functions, refused, 0)


_TOKEN = re.compile(r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[jJ]?)|(?P<name>[A-Za-z_]\w*)|(?P<other>\S)")


def _second_factors(text: str, functions: Mapping[str, str]) -> set[int]:
    """The columns at which a factor follows another without an operator, as in `2 x`."""
    columns, before = set(), None
    for token in _TOKEN.finditer(text):
        if before is not None and not keyword.iskeyword(before[0]) and (token["name"] or token[0] == "("):
            called = token[0] == "(" and before["name"] and not re.fullmatch(r"w\d|x|y|pi", before[0])
            ends = before["number"] or (before["name"] and before[0] not in functions) or before[0] == ")"
            if ends and not called and not keyword.iskeyword(token[0]):
                columns.add(token.start() + 1)
        before = token
    return columns


TOO_DEEP = (
    f"the formula is nested too deeply; at most {MAX_DEPTH} parentheses and operations may be inside each other"
)


def accepted(functions: Mapping[str, str]) -> str:
    """The end of a message: the parts that a formula may have."""
    names = "names" if "where" in functions else "w1, w2, ... (or x, y)"
    return f"accepted are numbers, {names}, + - * / ^, parentheses, pi and {', '.join(functions)}"


def _node(
    tree: Any, functions: Mapping[str, str], refused: Callable[[Any, str], FormulaError], depth: int
) -> Node:
    if depth > MAX_DEPTH:
        raise UsageError(TOO_DEEP)

    def below(child: Any) -> Node:
        return _node(child, functions, refused, depth + 1)

    match tree:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool) and value < 1e300:
            return number(float(value))
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            raise refused(tree, "expected a number below 1e300")
        case ast.Name(id=name) if name not in functions and name[0] != "_":
            coordinates = COORDINATES if functions is FUNCTIONS else {}
            return number(CONSTANTS[name]) if name in CONSTANTS else symbol(coordinates.get(name, name))
        case ast.UnaryOp(op=ast.USub()):
            return _negative(below(tree.operand))
        case ast.UnaryOp(op=ast.UAdd()):
            return below(tree.operand)
        case ast.BinOp() if type(tree.op) in _BINARY:
            return Node(_BINARY[type(tree.op)], (below(tree.left), below(tree.right)))
        case ast.Compare(ops=[op], comparators=[right]) if type(op) in _COMPARED and "where" in functions:
            return Node(_COMPARED[type(op)], (below(tree.left), below(right)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            if name not in functions:
                near = did_you_mean(name, list(functions)) or f"; expected one of {', '.join(functions)}"
                raise refused(tree, f'unknown function "{name}"{near}')
            if len(args) != (count := OPERATIONS[functions[name]].arity):
                raise refused(tree, f"{name} takes {count} argument{'s' * (count > 1)}, got {len(args)}")
            return Node(functions[name], tuple(map(below, args)))
    part = shown(ast.unparse(tree).replace("**", "^"))
    raise refused(tree, f"{part} is not accepted; {accepted(functions)}")


RESERVED_NAMES = ("t", "f", "H", "I", "pi")
"""Names in the formula of a rule that have their values from elsewhere."""
_STATEMENT = re.compile(r"\s*([A-Za-z]\w*)\s*(<-|=)(?!=)", re.ASCII)


def assignments(formula: str) -> Iterator[tuple[Statement, int]]:
    """The statements of a formula, separated by `;`, and the column of each. Raises FormulaError."""
    if len(formula) > MAX_LENGTH:
        raise UsageError(f"expected a formula of at most {MAX_LENGTH:,} characters, got {len(formula):,}")
    place = 0
    for part in formula.split(";"):
        column = place + len(part) - len(part.lstrip()) + 1
        head = _STATEMENT.match(part)
        if head is not None:
            try:
                yield Statement(head[1], head[2], parse(part[head.end() :], RULE_FUNCTIONS)), column
            except FormulaError as error:
                raise FormulaError(formula, place + head.end() + error.column, error.reason) from None
        elif part.strip():
            raise FormulaError(formula, column, "expected NAME <- EXPRESSION, or NAME = EXPRESSION")
        place += len(part) + 1


def statements(formula: str) -> list[Statement]:
    """The statements of an optimizer's formula, in order. Raises FormulaError for the first part that is not accepted.

    `NAME <- EXPRESSION` renews a state or w, `NAME = EXPRESSION` names an intermediate result, or the gradient g.
    """
    program = list[Statement]()
    for statement, column in assignments(formula):
        if statement.target in {*RESERVED_NAMES, *RULE_FUNCTIONS, *keyword.kwlist}:
            raise FormulaError(formula, column, f"{statement.target} cannot be assigned")
        if statement.arrow != {"w": "<-", "g": "="}.get(statement.target, statement.arrow):
            raise FormulaError(formula, column, "expected w <- ..., and g = ...")
        if _has_stray_matrix(statement.node):
            raise FormulaError(
                formula, column, "the matrices H and I are accepted in solve(H, x) and smallest(H) alone"
            )
        program.append(statement)
    if not any(statement.target == "w" for statement in program):
        raise UsageError("expected a statement w <- ..., the next point")
    if sum(len(nodes_of(statement.node)) for statement in program) > MAX_NODES:
        raise UsageError(f"expected a formula of at most {MAX_NODES:,} operations, names and numbers")
    states = {statement.target for statement in program if statement.arrow == "<-"}
    assigned = {statement.target for statement in program} - {"w"}
    later = assigned - states - {"g"}
    for statement, column in assignments(formula):
        is_start = statement.arrow == "=" and statement.target[-1] == "0" and statement.target[:-1] in states
        if early := sorted(symbols(statement.node) & (assigned | {"g", "t", "f", "H"} if is_start else later)):
            reason = "is not there before the first step" if is_start else "is used before it is assigned"
            raise FormulaError(formula, column, f"{early[0]} {reason}")
        later.discard(statement.target)
    return program


def _has_stray_matrix(node: Node, inside: bool = False) -> bool:
    """True if H or I stands where no matrix is accepted."""
    if node.op == "symbol":
        return node.value in ("H", "I") and not inside
    matrices = OPERATIONS[node.op].matrices if node.args else ()
    return any(_has_stray_matrix(arg, i in matrices if matrices else inside) for i, arg in enumerate(node.args))


def outside_brackets(text: str) -> list[str]:
    """The parts of a list: a text split at its commas, but for those inside brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if character in "'\"":
            quote = "" if character == quote else quote or character
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth <= 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def inlined(program: str) -> dict[str, Node]:
    """Every target of a formula's statements, in terms of the names that none of them defines."""
    known: dict[str, Node] = {}
    for statement, _ in assignments(program):
        known[statement.target] = put_in(statement.node, known)
    return known


def put_in(node: Node, values: Mapping[str, Node]) -> Node:
    """The expression with others in the place of its symbols."""
    known: dict[int, Node] = {}

    def changed(node: Node) -> Node:
        if node.op == "symbol":
            return values.get(node.value, node)
        if id(node) not in known:
            known[id(node)] = Node(node.op, tuple(map(changed, node.args)), node.value)
        return known[id(node)]

    return changed(node)


def spelled_coordinates(formula: str) -> str:
    """`x is w1 and y is w2`, of those that a typed function names; empty for one of w1, w2, ..."""
    names = (name for name in COORDINATES if re.search(rf"(?<![A-Za-z_]){name}(?!\w)", formula))
    return " and ".join(f"{name} is {COORDINATES[name]}" for name in names)


def nodes_of(node: Node) -> Collection[Node]:
    """An expression and all parts of it; a part that a derivative holds many times comes once."""
    nodes, below = dict[int, Node](), [node]
    while below:
        if id(part := below.pop()) not in nodes:
            nodes[id(part)] = part
            below += part.args
    return nodes.values()


def symbols(node: Node) -> set[str]:
    """The names in an expression."""
    return {part.value for part in nodes_of(node) if part.op == "symbol"}


def operations_of(node: Node) -> set[str]:
    """The operations in an expression."""
    return {part.op for part in nodes_of(node)}


@cache
def _rule_of_calculus(text: str) -> Node:
    return parse(text, RULE_FUNCTIONS)


def derivative(node: Node, name: str) -> Node:
    """d node / d name, by the rules of calculus; at the kink of abs, min and max one of the two sides."""
    known: dict[int, Node] = {}

    def of(node: Node) -> Node:
        if id(node) not in known:
            known[id(node)] = derived(node)
        return known[id(node)]

    def derived(node: Node) -> Node:
        if not node.args:
            return ONE if node == symbol(name) else ZERO
        inner = list(map(of, node.args))
        if all(d == ZERO for d in inner) or node.op in JUMPS:
            return ZERO
        operation = OPERATIONS[node.op]
        if not operation.slope:
            raise UsageError(f"{node.op} has no derivative here")
        parts = dict(zip("uvx", node.args, strict=False)) | dict(zip(("du", "dv", "dx"), inner, strict=False))
        slope = operation.slope_of_base if operation.slope_of_base and inner[1] == ZERO else operation.slope
        return filled(_rule_of_calculus(slope), parts | {"f": node})

    def filled(node: Node, values: Mapping[str, Node]) -> Node:
        if not node.args:
            return values.get(node.value, node)
        return _simple(node.op, tuple(filled(arg, values) for arg in node.args))

    return of(node)


def simplified(node: Node) -> Node:
    """The expression without terms 0, factors 1 and the like; a product with 0 stays, since it has a shape."""
    args = tuple(map(simplified, node.args))
    if not args or (node.op == "multiply" and ZERO in args):
        return Node(node.op, args, node.value)
    return _simple(node.op, args)


def _simple(op: str, args: tuple[Node, ...]) -> Node:
    """An operation on expressions that are simple."""
    a, b = (*args, ZERO, ZERO)[:2]
    numbers = a.op == b.op == "number"
    match op:
        case "add" if ZERO in (a, b):
            return b if a == ZERO else a
        case "subtract" | "multiply" if numbers:
            return number(a.value - b.value if op == "subtract" else a.value * b.value)
        case "subtract" if ZERO in (a, b):
            return a if b == ZERO else _negative(b)
        case "multiply" if ZERO in (a, b):
            return ZERO
        case "multiply" if a.op == "number" and b.op == "multiply" and b.args[0].op == "number":
            return _simple("multiply", (number(a.value * b.args[0].value), b.args[1]))  # 0.1*(2*w) reads 0.2*w
        case "multiply" if ONE in (a, b):
            return b if a == ONE else a
        case "divide" if b == ONE or a == ZERO:
            return a
        case "power" if b in (ONE, ZERO):
            return a if b == ONE else ONE
        case "negative":
            return _negative(a)
    return Node(op, args)


def _negative(a: Node) -> Node:
    return number(-a.value) if a.op == "number" else Node("negative", (a,))


_BRACKETS = ("({})", r"\left({}\right)")
_CALL = ("{}({})", r"\operatorname{{{}}}\left({}\right)")
"""As plain text, and as LaTeX."""


def text(node: Node, leaf_text: Callable[[str], str] = lambda name: name) -> str:
    """Plain text; `leaf_text` maps a symbol to its name or its number (negative numbers in parentheses)."""
    return _written(node, leaf_text, in_latex=False)


def latex(node: Node, leaf_text: Callable[[str], str]) -> str:
    """LaTeX; `leaf_text` as in `text`."""
    return _written(node, leaf_text, in_latex=True)


def _written(node: Node, leaf_text: Callable[[str], str], in_latex: bool) -> str:
    if not node.args:
        return exact(node.value) if node.op == "number" else leaf_text(node.value)
    operation, parts = OPERATIONS[node.op], []
    for index, child in enumerate(node.args):
        part = _written(child, leaf_text, in_latex)
        if not operation.sign or (in_latex and index in operation.enclosed):
            part = part.strip("()") if child.op == "symbol" else part
        elif _needs_brackets(node, index) or (
            node.op == "power" and index == 0 and not child.args and _has_a_sign(part)
        ):
            part = _BRACKETS[in_latex].format(part)
        parts.append(part)
    if in_latex and operation.latex:
        return operation.latex.format(*parts)
    if operation.sign:
        return operation.sign.join(parts) if operation.arity > 1 else operation.sign + parts[0]
    return _CALL[in_latex].format(operation.typed or node.op, ", ".join(parts))


def _needs_brackets(node: Node, index: int) -> bool:
    """True if precedence requires brackets around an argument of an operator."""
    if node.op == "negative" and _begins_with_remainder(node.args[0]):  # -(a % b) is not (-a) % b
        return True
    outer, argument = OPERATIONS[node.op].binds, node.args[index]
    inner = OPERATIONS[argument.op].binds if argument.args else outer + 1
    # a - (b + c), a*(b/c), which rounds otherwise than a*b/c, and (a^b)^c
    return inner < outer or (inner == outer and (index > 0) == (node.op != "power"))


def _begins_with_remainder(node: Node) -> bool:
    """True if the first operation that a minus before the text of a product would change is a remainder."""
    while node.op in ("multiply", "divide"):
        node = node.args[0]
    return node.op == "remainder"


def _has_a_sign(number: str) -> bool:
    """True for the text of a number that a power would take apart: -2, or 10^{-5} with its factor."""
    return number.startswith("-") or r" \cdot 10^" in number
