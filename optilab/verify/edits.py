"""The edits of a formula by which implementations of a rule differ from it.

An edit is written in the language of formulas: `sqrt(a) + eps -> sqrt(a + eps)`. So every rule has its own, and what
explains a difference can be shown as the line of the formula that changed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain, combinations, product

from optilab.optimize.formula import Node, Statement, number, parse, put_in, symbol, symbols, text
from optilab.optimize.operations import RULE_FUNCTIONS

Statements = tuple[Statement, ...]
Values = Mapping[str, Node]

LITERALS = ("lr", "eps", "weight_decay", "w", "g", "last_g", "late_g", "t", "size")
"""Names in a table that stand for themselves: `last_g` and `late_g` are the gradient of the previous point, in the
first step g and 0; `size` is the number of coordinates. `x` is the state that the statement renews, `h` a
hyperparameter, `q` and `r` a quantity of the formula or a hyperparameter, `m` a number of the formula, `n` one of the
code; any other name stands for any expression."""
FRACTIONS = ("beta", "beta1", "beta2", "beta3", "decay", "rho", "nu", "slow_step_size")
"""Hyperparameters that are mistaken for one minus themselves."""

NAMED = """
no bias correction[ of {a}]: a/(1 - b^t) -> a
the step is added to w, not subtracted from it: w - a -> w + a
eps inside the root: sqrt(a) + eps -> sqrt(a + eps)
eps^2 inside the root: sqrt(a) + eps -> sqrt(a + eps^2)
eps outside the root: sqrt(a + eps) -> sqrt(a) + eps
eps added to the ratio: a/(sqrt(b) + eps) -> a/sqrt(b) + eps
eps added to the ratio: c*a/(sqrt(b) + eps) -> c*(a/sqrt(b) + eps)
eps added to the ratio: c*a/sqrt(b + eps) -> c*(a/sqrt(b) + eps)
no eps: a + eps -> a
eps as a lower limit: a + eps -> max(a, eps)
eps added to {a}: max(a, eps) -> a + eps
no root[ of {a}]: sqrt(a) -> a
half of {a}, not its root: sqrt(a) -> a/2
no square[ of {a}]: a^2 -> abs(a)
no square[ of {a}]: a^2 -> a
no sign: sign(a) -> a
the square is summed over the coordinates: a^2 -> sum(a^2)
the square is averaged over the coordinates: a^2 -> sum(a^2)/size
{b} is added to {x}, not averaged (classic): a*x + (1 - a)*b -> a*x + b
{b} is averaged in {x}, not added (ema): a*x + b -> a*x + (1 - a)*b
{x} is the last {b} alone: a*x + (1 - a)*b -> b
{x} is the last {b} alone: a*x + b -> b
{x} is the last {b} alone: x + b -> b
the weights of {x} and {b} are exchanged: a*x + (1 - a)*b -> (1 - a)*x + a*b
lr is a factor in {x} already: a*x + b -> a*x + lr*b
lr is a factor in {x} already: x + b -> x + lr*b
t has no effect: t -> 1
t counts from 0: t -> t - 1
t counts from 2: t -> t + 1
t counts 1, 1, 2, 3: t -> max(1, t - 1)
t counts 2, 4, 6: t -> 2*t
the gradient is that of the previous point: g -> last_g
the gradient is divided by its norm: g -> g/norm(g)
the gradient is divided by the number of coordinates: g -> g/size
the sign of the gradient, not of its average: sign(a) -> a; g -> sign(g)
weight decay in the gradient, not in the step: c - (a + lr*weight_decay*w) -> c - a; g -> g + weight_decay*w
weight decay in the gradient, not in the step: a + weight_decay*w -> a; g -> g + weight_decay*w
weight decay in the gradient, too: g -> g + weight_decay*w
no weight decay: a + weight_decay*w -> a
no weight decay: a + lr*weight_decay*w -> a
weight decay without lr: lr*weight_decay*w -> weight_decay*w
weight decay without lr: w - lr*(a + weight_decay*w) -> w - lr*a - weight_decay*w
"""
FAMILIES = ("add", "subtract"), ("multiply", "divide"), ("minimum", "maximum")
OTHER_EDITS = """
a - b -> -a - b
a*b -> a*a*b
a*(b + c) -> a*b + c
a + b*c -> (a + b)*c
a + b/c -> (a + b)/c
a + b*(c/d) -> (a + b*c)/d
a*b -> sum(a*b)
a^b -> a*b
an exponent without its parentheses: a^(b*c) -> a^b*c
abs(a) -> sum(abs(a))
where(a > b, c, d) -> where(a < b, d, c)
where(a < b, c, d) -> where(a > b, d, c)
sign(a) -> a/norm(a)
norm(a) -> sum(abs(a))
norm(a) -> norm(a)^2
sum(abs(a)) -> norm(a)
x + b -> x + (b - x)/t
eps -> sqrt(eps)
g -> late_g
1 - a -> a
1 - a -> lr
w - a -> w - h*a
a -> a + weight_decay*w
a -> lr*a
lr -> lr/sqrt(t)
w - lr*(a + weight_decay*w) -> (1 - lr*weight_decay)*(w - lr*a)
w - (lr*a + lr*weight_decay*w) -> (1 - lr*weight_decay)*(w - lr*a)
q -> r
"""
WITH_NUMBERS = """
a weight decay of its own, in the gradient: g -> g + n*w
a weight decay of its own, in the step: w - a -> w - (a + lr*n*w)
the gradient is clipped: g -> clip(g, -n, n)
the gradient is clipped by its norm: g -> g*min(1, n/norm(g))
the gradient is clipped by its norm: g -> g*min(1, n/(norm(g) + 0.000001))
the step is clipped: w - a -> w - clip(a, -n, n)
the step is clipped: w - lr*a -> w - lr*clip(a, -n, n)
the step is clipped by its norm: w - a -> w - a*min(1, n/norm(a))
the step is clipped by its norm: w - lr*a -> w - lr*(a*min(1, n/norm(a)))
{x} is clipped: <- a -> clip(a, -n, n)
{x} is clipped by its norm: <- a -> a*min(1, n/norm(a))
lr decays: lr -> lr/(1 + n*t)
lr decays: lr -> lr/(1 + n*(t - 1))
lr decays: lr -> lr*n^t
lr decays: lr -> lr*n^(t - 1)
t stays where it is: t -> n
w - a -> w - n*a
h -> n*h
m -> n
"""


@dataclass(frozen=True)
class Edit:
    """A formula after one change, or after two; `name` is empty where the change has none."""

    formula: Statements
    name: str = ""


@dataclass(frozen=True)
class Rewrite:
    """`before -> after` wherever it matches; several are made one after the other."""

    name: str
    changes: tuple[tuple[Node, Node], ...]
    of_states: bool = False
    """True if the edit applies to the whole expression of a state alone."""

    @cached_property
    def names(self) -> set[str]:
        """All names in it; the name `x` of a state, where it is its whole expression that changes."""
        names = set().union(*(symbols(node) for change in self.changes for node in change))
        return names | ({"x"} if self.of_states else set())


@cache
def rewrites(table: str) -> tuple[Rewrite, ...]:
    return tuple(map(_rewrite, table.strip().splitlines()))


def _rewrite(line: str) -> Rewrite:
    name, _, changes = line.rpartition(": ")
    of_states = changes.startswith("<-")
    pairs = (change.removeprefix("<-").split("->") for change in changes.split(";"))
    nodes = tuple((parse(before, RULE_FUNCTIONS), parse(after, RULE_FUNCTIONS)) for before, after in pairs)
    return Rewrite(name, nodes, of_states)


def named_edits(formula: Statements, settings: Sequence[str]) -> Iterator[Edit]:
    """The edits that have a name, the most frequent first."""
    yield from _from_table(NAMED, formula, settings, ())
    for name in (name for name in settings if name in FRACTIONS):
        rest = Node("subtract", (number(1.0), symbol(name)))
        exchange = {symbol(name): rest, rest: symbol(name)}
        both = [any(part == rest for part, _ in parts(statement.node)) for statement in formula]
        words = f"{name} and {text(rest)} are exchanged"
        yield Edit(everywhere(formula, exchange), words if any(both) else "")
        for n, statement in enumerate(formula):
            yield Edit(put_statement(formula, n, replaced(statement.node, exchange)), words if both[n] else "")
        yield from _edited(formula, Rewrite("", ((symbol(name), rest),)), {name: symbol(name)})
    for a, b in combinations(settings, 2):
        exchanged = {symbol(a): symbol(b), symbol(b): symbol(a)}
        yield Edit(everywhere(formula, exchanged), f"{a} and {b} are exchanged")
    yield from _orders(formula)
    yield from _corrections(formula)
    yield from _starts(formula)


def edits(formula: Statements, settings: Sequence[str], numbers: Sequence[float]) -> Iterator[Edit]:
    """Every formula that is one change away, each once; `numbers` are those that stand in the code."""
    seen, named = {formula}, [*named_edits(formula, settings)]
    for edit in chain(
        (edit for edit in named if edit.name),
        _operations(formula),
        _from_table(OTHER_EDITS, formula, settings, ()),
        _with_parts(formula),
        (edit for edit in named if not edit.name),
        _from_table(WITH_NUMBERS, formula, settings, numbers),
    ):
        if edit.formula not in seen:
            seen.add(edit.formula)
            yield edit


def _from_table(
    table: str, formula: Statements, settings: Sequence[str], numbers: Sequence[float]
) -> Iterator[Edit]:
    constants = dict.fromkeys(part for s in formula for part, _ in parts(s.node) if part.op == "number")
    quantities = dict.fromkeys(s.target for s in formula if not s.target.endswith("0") and s.target != "w")
    names = [*map(symbol, {"g": None, **quantities, **dict.fromkeys(settings)})]
    values = {"h": map(symbol, settings), "q": names, "r": names, "m": constants, "n": map(number, numbers)}
    values = {name: tuple(nodes) for name, nodes in values.items()}
    for rewrite in rewrites(table):
        if rewrite.names & {"lr", "weight_decay", "eps"} <= {*settings}:
            used = [name for name in values if name in rewrite.names]
            for chosen in product(*(values[name] for name in used)):
                yield from _edited(formula, rewrite, dict(zip(used, chosen, strict=True)))


def _edited(formula: Statements, rewrite: Rewrite, known: Values) -> Iterator[Edit]:
    """The rewrite in every place, in all places that are equal, in one statement, and in one place."""
    before, after = rewrite.changes[0]
    matched = [
        (n, part, put, values)
        for n, statement in enumerate(formula)
        if statement.target != "w" or "x" not in rewrite.names
        for part, put in ([*parts(statement.node)][: 1 if rewrite.of_states else None])
        for values in matches(before, part, {"x": symbol(statement.target), **known})
    ]
    new = [(part, put_in(after, values)) for _, part, _, values in matched]
    name = rewrite.name.partition("[")[0]
    if name and "{" not in name and len({part for part, _ in new}) > 1:
        yield Edit(_rest(everywhere(formula, dict(reversed(new))), rewrite), name)  # the first match of a part
    for (n, part, put, values), (_, instead) in zip(matched, new, strict=True):
        name = _called(rewrite.name, values)
        places = [m for m, other, _, _ in matched if other == part]
        if len(places) > 1:
            yield Edit(_rest(everywhere(formula, {part: instead}), rewrite), name)
            name = name if part.args else ""  # which speaks of all places
        if places.count(n) > 1:
            statement = replaced(formula[n].node, {part: instead})
            yield Edit(_rest(put_statement(formula, n, statement), rewrite), name)
        yield Edit(_rest(put_statement(formula, n, put(instead)), rewrite), name)


def _rest(formula: Statements, rewrite: Rewrite) -> Statements:
    """The later changes of a rewrite, in every place."""
    for before, after in rewrite.changes[1:]:
        formula = everywhere(formula, {before: after})
    return formula


def _called(name: str, values: Values) -> str:
    """A name of the table with the expressions in it."""
    return name.translate({ord("["): None, ord("]"): None}).format_map(
        {k: text(node) for k, node in values.items()}
    )


def matches(pattern: Node, node: Node, values: Values) -> Iterator[Values]:
    """The expressions that the names of a pattern stand for where it is the expression; sums and products match in
    either order."""
    if pattern.op == "symbol":
        name = pattern.value
        wanted = pattern if name in LITERALS else values.get(name)
        if wanted is None or wanted == node:
            yield values if wanted is not None else {**values, name: node}
    elif pattern.op == node.op and pattern.value == node.value and len(pattern.args) == len(node.args):
        yield from _all_match(pattern.args, node.args, values)
        if node.op in ("add", "multiply"):
            yield from _all_match(pattern.args, node.args[::-1], values)


def _all_match(patterns: Sequence[Node], nodes: Sequence[Node], values: Values) -> Iterator[Values]:
    if not patterns:
        yield values
        return
    for first in matches(patterns[0], nodes[0], values):
        yield from _all_match(patterns[1:], nodes[1:], first)


# --- changes that no line shows ------------------------------------------------------------------------------------


def _orders(formula: Statements) -> Iterator[Edit]:
    """Edits that use a state before its update where the rule uses it after, or after where the rule uses it
    before.
    """
    for n, statement in enumerate(formula):
        name = statement.target
        if statement.arrow != "<-" or name in ("w", "g"):
            continue
        readers = [m for m, other in enumerate(formula) if m != n and name in symbols(other.node)]
        before, after = [m for m in readers if m < n], [m for m in readers if m > n]
        for where in [after, *([m] for m in after if len(after) > 1)]:
            old, late = Statement(f"old_{name}", "=", symbol(name)), list(formula)
            for m in where:
                late[m] = Statement(
                    late[m].target, late[m].arrow, replaced(late[m].node, {symbol(name): symbol(old.target)})
                )
            if where:
                words = f" in {', '.join(formula[m].target for m in where)}" if len(where) < len(after) else ""
                yield Edit((old, *late), f"{name} is used before its update{words}")
        if before and not any(other.target in symbols(statement.node) for other in formula[before[0] : n]):
            rest = (*formula[before[0] : n], *formula[n + 1 :])
            yield Edit((*formula[: before[0]], statement, *rest), f"{name} is updated before its use")


def _corrections(formula: Statements) -> Iterator[Edit]:
    """A corrected moment that is stored, and a correction of a moment that has none."""
    stored, corrected = list[Statement](), set[str]()
    for statement in formula:
        for part, _ in parts(statement.node):
            for values in matches(CORRECTED, part, {}):
                corrected |= symbols(values["a"])
                for n, other in enumerate(formula):
                    if other is not statement and other.target not in symbols(values["a"]):
                        instead = replaced(other.node, {values["a"]: part})
                        yield Edit(
                            put_statement(formula, n, instead),
                            f"{text(values['a'])} is corrected in {other.target}",
                        )
                if part == statement.node and values["a"].op == "symbol":
                    stored.append(Statement(str(values["a"].value), "<-", symbol(statement.target)))
                    root = Node("sqrt", (symbol(statement.target),))
                    outside = Node("divide", (Node("sqrt", part.args[:1]), part.args[1]))
                    yield Edit(everywhere(formula, {root: outside}), "the root is taken before the correction")
    for some in [stored, *([statement] for statement in stored if len(stored) > 1)]:
        if some:
            yield Edit((*formula, *some), "the corrected moment is stored")
    for n, statement in enumerate(formula):
        state = symbol(statement.target)
        for part, _ in parts(statement.node):
            for values in matches(SCALED, part, {"x": state}):
                if values["b"].op == "symbol" and statement.target not in corrected and statement.target != "w":
                    instead = put_in(CORRECTED, {"a": state, "b": values["b"]})
                    name = f"{statement.target} has a bias correction"
                    others = everywhere(formula, {state: instead})
                    yield Edit((*others[:n], statement, *others[n + 1 :]), name)


CORRECTED, SCALED, AVERAGE = (parse(line, RULE_FUNCTIONS) for line in ("a/(1 - b^t)", "b*x", "a*x + c*b"))


def _starts(formula: Statements) -> Iterator[Edit]:
    """A moving average that starts at the first of its terms, or at 1."""
    for statement in formula:
        for values in matches(AVERAGE, statement.node, {"x": symbol(statement.target)}):
            for start in (values["b"], number(1.0)):
                first = Statement(f"{statement.target}0", "=", start)
                rest = (other for other in formula if other.target != first.target)
                yield Edit((first, *rest), f"{statement.target} starts at {text(start)}")


def _operations(formula: Statements) -> Iterator[Edit]:
    """One of its arguments in the place of an operation, another operation of its family, and exchanged arguments."""
    for part in dict.fromkeys(part for statement in formula for part, _ in parts(statement.node) if part.args):
        family_ops = [op for family in FAMILIES if part.op in family for op in family]
        others = [Node(op, part.args[::-1] if op == part.op else part.args) for op in family_ops]
        for new in (*(arg for arg in part.args if arg.op not in ("greater", "less")), *others):
            yield from _edited(
                formula, Rewrite("", ((part, new),)), {name: symbol(name) for name in symbols(part)}
            )


def _with_parts(formula: Statements) -> Iterator[Edit]:
    """Part of a result in the place of the whole, in one of the statements that read it."""
    for statement, (n, reader) in product(formula, enumerate(formula)):
        result = symbol(statement.target)
        if statement.arrow == "=" and reader is not statement and statement.target in symbols(reader.node):
            for part in statement.node.args:
                yield Edit(put_statement(formula, n, replaced(reader.node, {result: part})))


# --- trees ---------------------------------------------------------------------------------------------------------


def parts(
    node: Node, put: Callable[[Node], Node] = lambda new: new
) -> Iterator[tuple[Node, Callable[[Node], Node]]]:
    """Every part of an expression, and what makes the expression with another part there."""
    yield node, put
    for n, child in enumerate(node.args):

        def put_child(new: Node, n: int = n) -> Node:
            return put(Node(node.op, (*node.args[:n], new, *node.args[n + 1 :]), node.value))

        yield from parts(child, put_child)


def replaced(node: Node, instead: Mapping[Node, Node]) -> Node:
    """The expression with other parts; nothing is replaced inside a part that was put in."""
    if node in instead:
        return instead[node]
    return Node(node.op, tuple(replaced(child, instead) for child in node.args), node.value) if node.args else node


def put_statement(formula: Statements, n: int, node: Node) -> Statements:
    """The formula with another expression in statement n."""
    return (*formula[:n], Statement(formula[n].target, formula[n].arrow, node), *formula[n + 1 :])


def everywhere(formula: Statements, instead: Mapping[Node, Node]) -> Statements:
    """The formula with other parts in every statement."""
    return tuple(Statement(s.target, s.arrow, replaced(s.node, instead)) for s in formula)
