"""The slips and conventions in which implementations of any rule differ, as changes of its printed formula.

A program is the statements of a formula; a slip is one change of a program, in words. So every rule has its lattice:
one change, or two at once, and `follow` executes what comes out.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from optilab.optimize.arrays import in_float64
from optilab.optimize.formula import (
    ONE,
    ZERO,
    Node,
    Statement,
    number,
    symbol,
    symbols,
    text,
)
from optilab.optimize.objective import Floats
from optilab.optimize.program import evaluate
from optilab.optimize.rule import quantities_for, settings_in_formula

Program = tuple[Statement, ...]
Slip = tuple[str, Program]
"""What the code does that the rule does not, in words, and the program of the code."""

G, T = symbol("g"), symbol("t")
SHARES = ("beta", "beta1", "beta2", "beta3", "decay", "rho")
"""Hyperparameters that may be mistaken for each other."""
FRACTIONS = (*SHARES, "nu", "slow_step_size")
"""Those that may be mistaken for one minus themselves."""


def program_of(rule: Any) -> Program:
    """Empty for a rule in code."""
    return rule.program.statements if rule.text else ()


def follow(program: Program, rule: Any, function: Any, start: Sequence[Any], steps: int) -> Floats:
    """The points that a program visits, (steps + 1, d), with the rule's numbers; fewer where one is not finite."""
    w = np.array(start, dtype=np.float64)
    fixed, points = {name: in_float64(value) for name, value in settings_in_formula(rule).items()}, [w]
    states = {s.target for s in program if s.arrow == "<-"} - {"w", "g"}
    starts = [s for s in program if s.arrow == "=" and s.target[-1] == "0" and s.target[:-1] in states]
    body = [s for s in program if s not in starts]
    known: dict[str, Any] = dict.fromkeys(states, np.zeros_like(w))
    with np.errstate(all="ignore"):
        for t in range(1, steps + 1):
            g = function.gradient(w)
            known |= fixed | quantities_for(rule, function, w) | {"w": w, "g": g, "t": np.float64(t)}
            if t == 1:
                known["last_g"] = g
                known |= {s.target[:-1]: evaluate(s.node, known) for s in starts}
            try:
                for statement in body:
                    known[statement.target] = evaluate(statement.node, known)
            except ArithmeticError:  # of numbers in the formula alone
                known["w"] = np.full_like(w, np.nan)
            known["last_g"] = g
            w = np.asarray(known["w"], dtype=np.float64)
            points.append(w)
            if not np.isfinite(w).all():
                break
    return np.stack(points)


def slips(program: Program) -> Iterator[Slip]:
    """Those that have a name, the most frequent first."""
    yield from _of_the_whole(program)
    yield from _of_a_statement(program, _named)
    yield from _complements(program)


def mistakes(program: Program) -> Iterator[Slip]:
    """Any one term, factor, sign or symbol that is missing or another."""
    yield from _of_a_statement(program, _wrong)
    yield from _symbols_for_others(program)
    yield from _everywhere_wrong(program)
    for name in (name for name in FRACTIONS if any(name in symbols(s.node) for s in program)):
        yield from _scaled(program, symbol(name))


# --- of the whole program ------------------------------------------------------------------------------------


def _of_the_whole(program: Program) -> Iterator[Slip]:
    last = max(n for n, s in enumerate(program) if s.target == "w")
    if program[last].node.op == "subtract":
        uphill = Node("add", program[last].node.args)
        yield "the step is added to w, not subtracted: it goes uphill", _put(program, last, uphill)
    yield "the gradient is that of the previous point", _everywhere(program, {G: symbol("last_g")})
    unit = Statement("g", "=", Node("divide", (G, Node("norm", (G,)))))
    yield "the gradient is divided by its norm", (unit, *program)
    yield from _corrections(program)
    used = [name for name in SHARES if any(name in symbols(s.node) for s in program)]
    for a, b in combinations(used, 2):
        one, other = symbol(a), symbol(b)
        yield f"{a} and {b} are swapped", _everywhere(program, {one: other, other: one})
        yield f"{a} stands for {b} as well", _everywhere(program, {other: one})
        yield f"{b} stands for {a} as well", _everywhere(program, {one: other})
    yield from _orders(program)
    yield from _starts(program)
    yield from _decays(program)
    lr = symbol("lr")
    yield "lr is divided by the root of t", _everywhere(program, {lr: Node("divide", (lr, Node("sqrt", (T,))))})


def _corrections(program: Program) -> Iterator[Slip]:
    """Bias corrections: none, not of all moments, with another t, and a corrected moment that is stored."""

    def is_correction(node: Node) -> bool:
        return node.op == "divide" and node.args[1].op == "subtract" and text(node.args[1]).endswith("^t")

    corrected = [
        (n, node, put) for n, s in enumerate(program) for node, put in _parts(s.node) if is_correction(node)
    ]
    if len(corrected) > 1:
        yield "no bias correction", _everywhere(program, {node: node.args[0] for _, node, _ in corrected})
    for n, node, put in corrected:
        yield f"no bias correction of {text(node.args[0])}", _put(program, n, put(node.args[0]))
    yield from _counters(program, {n for n, _, _ in corrected})
    for n, s in enumerate(program):
        own, shares = symbol(s.target), [node for node, _ in _parts(s.node) if node.op == "multiply"]
        share = next((a for a, b in (node.args for node in shares) if b == own and a.value in SHARES), None)
        if (
            share is not None
            and s.arrow == "<-"
            and not any(s.target in symbols(node.args[0]) for _, node, _ in corrected)
        ):
            instead = Node("divide", (own, _without(ONE, Node("power", (share, T)))))
            others = _everywhere(program, {own: instead})
            yield f"{s.target} has a bias correction: {text(instead)}", (*others[:n], s, *others[n + 1 :])
    for n, node, _ in corrected:
        moment, divisor = node.args
        own = Node("sqrt", (symbol(program[n].target),))
        outside = Node("divide", (Node("sqrt", (moment,)), divisor))
        yield f"{text(outside)} stands for {text(own)}", _everywhere(program, {own: outside})
    for (_, one, _), (_, other, _) in combinations(corrected, 2):
        (a, first), (b, second) = one.args, other.args
        swapped = {one: Node("divide", (a, second)), other: Node("divide", (b, first))}
        yield f"the corrections {text(first)} and {text(second)} are swapped", _everywhere(program, swapped)
    stored = [
        (s.target, s.node.args[0].value)
        for s in program
        if is_correction(s.node) and s.node.args[0].op == "symbol" and s.arrow == "="
    ]
    for some in [stored, *([one] for one in stored if len(stored) > 1)]:
        if some:
            names = " and ".join(state for _, state in some)
            more = (Statement(state, "<-", symbol(name)) for name, state in some)
            yield f"the corrected {names} is stored and averaged on", (*program, *more)


def _counters(program: Program, corrections: set[int]) -> Iterator[Slip]:
    """Another t, everywhere, in one of the statements with a bias correction or in all others."""
    before = _without(T, ONE)
    counters = {
        "t counted from 0": (before, ", so the first correction divides by 1 - beta^0 = 0"),
        "t counted from 2": (T + ONE, ", so the first correction divides by 1 - beta^2"),
        "t stands still at 1": (ONE, ": it is never counted up, or the exponent t is missing in 1 - beta^t"),
        "t is one step late": (Node("maximum", (ONE, before)), ": 1, 1, 2, 3"),
        "t is counted up twice in every step": (T + T, ""),
    }
    others = {n for n, s in enumerate(program) if "t" in symbols(s.node)} - corrections
    for words, (counter, why) in counters.items():
        late = _everywhere(program, {T: counter})
        if corrections or others:
            yield f"{words}{why if corrections else ''}", late
        for where in [others, *({n} for n in corrections)]:
            if 0 < len(where) < len(corrections | others):
                names = " and ".join(program[n].target for n in sorted(where))
                yield f"{words} in {names}", tuple(late[n] if n in where else s for n, s in enumerate(program))


def _complements(program: Program) -> Iterator[Slip]:
    """One minus a hyperparameter where the hyperparameter belongs, and the other way round, in one statement."""
    for n, s in enumerate(program):
        for name in (name for name in FRACTIONS if name in symbols(s.node)):
            own, rest = symbol(name), _without(ONE, symbol(name))
            node = _replaced(s.node, {own: rest, _without(ONE, rest): own})
            both = any(part == rest for part, _ in _parts(s.node))
            how = f"{name} and {text(rest)} are swapped" if both else f"{text(rest)} stands for {name}"
            yield f"{how} in {s.target}", _put(program, n, node)


def _orders(program: Program) -> Iterator[Slip]:
    """A state used before its update that the rule uses after it, and the other way round."""
    for n, statement in enumerate(program):
        name = statement.target
        if statement.arrow != "<-" or name in ("w", "g"):
            continue
        after = [m for m in range(n + 1, len(program)) if name in symbols(program[m].node)]
        before = [m for m in range(n) if name in symbols(program[m].node)]
        old = f"old_{name}"
        late = _everywhere(program, {symbol(name): symbol(old)})
        for where in [after, *([m] for m in after if len(after) > 1)]:
            if where:
                words = f" in {program[where[0]].target}" if len(where) < len(after) else ""
                rest = (late[m] if m in where else s for m, s in enumerate(program))
                yield f"{name} is used before it is updated{words}", (Statement(old, "=", symbol(name)), *rest)
        needs = symbols(statement.node)
        if before and not any(program[m].target in needs for m in range(before[0], n)):
            first = before[0]
            early = (*program[:first], statement, *program[first:n], *program[n + 1 :])
            yield f"{name} is updated before it is used", early


def _starts(program: Program) -> Iterator[Slip]:
    """A moving average that starts at the first of its terms, or at 1."""
    for s in program:
        a, b = (*s.node.args, ZERO, ZERO)[:2]
        if s.arrow == "<-" and s.node.op == "add" and a.op == b.op == "multiply" and a.args[1] == symbol(s.target):
            rest = tuple(other for other in program if other.target != f"{s.target}0")
            for start in (b.args[1], ONE):
                yield f"{s.target} starts at {text(start)}", (Statement(f"{s.target}0", "=", start), *rest)


def _decays(program: Program) -> Iterator[Slip]:
    """Weight decay: added to the gradient or to another quantity, without the factor lr or with two, left out."""
    read = {G, *(symbol(s.target) for s in program)} - {symbol("w")}
    for n, s in enumerate(program):
        for node, put in _parts(s.node):
            if text(node) not in ("weight_decay*w", "lr*weight_decay*w"):
                continue
            without, amount = _put(program, n, put(ZERO)), symbol("weight_decay") * symbol("w")
            coupled = Statement("g", "=", G + amount)
            yield "weight decay added to the gradient (coupled)", (coupled, *without)
            if s.target in ("w", "z"):
                beside = Node("subtract", (without[n].node, amount))
                yield "the weight decay is not multiplied by lr", _put(program, n, beside)
                late = Statement(
                    s.target,
                    "<-",
                    Node("subtract", (symbol(s.target), symbol("lr") * symbol("weight_decay") * symbol(s.target))),
                )
                after = (*without[: n + 1], late, *without[n + 1 :])
                yield "the weight decay is taken from w after the step, not before", after
                yield "lr is a factor of the weight decay twice", _put(program, n, put(symbol("lr") * node))
            yield "weight decay added to the gradient as well", (coupled, *program)
            yield "the weight decay is missing", without
            for base, more in ((without, ""), (program, " as well")):
                for m, other in enumerate(base):
                    for part, put_part in _parts(other.node):
                        if part in read or part.op == "sign":
                            quantity = part.args[0] if part.op == "sign" else part
                            instead = _replaced(part, {quantity: quantity + amount})
                            words = f"weight decay added to {text(quantity)} in {other.target}{more}"
                            yield words, _put(base, m, put_part(instead))


def with_decay(program: Program, strength: float, form: str) -> Program:
    """The program under a weight decay that is not the rule's own; `form` as in `Regime`."""
    if not strength:
        return program
    amount = number(strength) * symbol("w")
    if form == "coupled":
        return (Statement("g", "=", G + amount), *program)
    start = Statement("start", "=", symbol("w"))
    taken = symbol("lr") * (number(strength) * symbol("start"))
    return (start, *program, Statement("w", "<-", Node("subtract", (symbol("w"), taken))))


def with_number(program: Program, limit: float, names: Sequence[str] = ()) -> Iterator[Slip]:
    """The gradient, a state or the step clipped to a number, by its norm or coordinate by coordinate; the step or one
    of the hyperparameters `names` multiplied by it; a learning rate that it decays; t that stands still at it; and the
    number in the place of another one."""
    lr, most, before = symbol("lr"), number(limit), _without(T, ONE)

    def clips(node: Node, factor: Node = ONE) -> dict[str, Node]:
        by_value = Node("clip", (node, factor * number(-limit), factor * most))
        norm, scaled = Node("norm", (node,)), {f"{limit:g} in every coordinate": by_value}
        for length, how in ((norm, ""), (norm + number(1e-6), ", with PyTorch's 1e-6")):
            shorter = Node("minimum", (ONE, Node("divide", (factor * most, length))))
            scaled[f"the norm {limit:g}{how}"] = node * shorter
        return scaled

    for how, node in clips(G).items():
        yield f"the gradient is clipped to {how}", (Statement("g", "=", node), *program)
    yield from _scaled(program, most)
    for n, s in enumerate(program):
        w, step = (*s.node.args, ZERO, ZERO)[:2]
        if s.target == "w" and s.node.op == "subtract":
            for how, node in clips(step).items():
                yield f"the step is clipped to {how}", _put(program, n, _without(w, node))
            for how, node in clips(step, lr).items():
                yield f"the step is clipped to {how}, before its factor lr", _put(program, n, _without(w, node))
        elif s.arrow == "<-" and s.target != "w":
            for how, node in clips(s.node).items():
                yield f"{s.target} is clipped to {how}", _put(program, n, node)
    yield f"t stands still at {limit:g}", _everywhere(program, {T: most})
    for name in names:
        yield f"{name} is multiplied by {limit:g}", _everywhere(program, {symbol(name): most * symbol(name)})
    for t in (T, before):
        for decayed in (Node("divide", (lr, ONE + most * t)), lr * Node("power", (most, t))):
            yield f"lr decays: {text(decayed)}", _everywhere(program, {lr: decayed})
    for other in {part: None for s in program for part, _ in _parts(s.node) if part.op == "number"}:
        yield f"{limit:g} stands for {text(other)} in every place", _everywhere(program, {other: most})


def _scaled(program: Program, factor: Node) -> Iterator[Slip]:
    """The step that is taken from w, multiplied by a number or a hyperparameter."""
    for n, s in enumerate(program):
        if s.target == "w" and s.node.op == "subtract":
            w, step = s.node.args
            yield f"the step is multiplied by {text(factor)}", _put(program, n, _without(w, factor * step))


# --- of one place in a statement -----------------------------------------------------------------------------


def _of_a_statement(
    program: Program, changes: Callable[[Node, str], Iterator[tuple[str, Node]]]
) -> Iterator[Slip]:
    for n, statement in enumerate(program):
        for node, put in _parts(statement.node):
            for words, instead in changes(node, statement.target):
                yield words, _put(program, n, put(instead))


def _named(node: Node, target: str) -> Iterator[tuple[str, Node]]:
    """Changes of one part of an expression that have a name."""
    a, b = (*node.args, ZERO, ZERO)[:2]
    if node.op == "power" and b.op == "number" and b.value == 2:
        yield f"the square is missing: {target} has |{text(a)}|, not {text(node)}", Node("absolute", (a,))
        yield f"the square is missing: {target} has {text(a)}, not {text(node)}", a
        yield f"{text(node)} is summed over the coordinates", Node("sum", (node,))
    if node.op == "absolute":
        yield f"the absolute value is missing: {target} has {text(a)}, not {text(node)}", a
        yield f"{text(node)} is summed over the coordinates", Node("sum", (node,))
    if node.op == "sqrt":
        yield f"the root of {_moment(a)} is missing", a
        if a.op == "add" and a.args[1].op == "symbol" and a.args[1].value == "eps":
            yield f"eps outside the root of {_moment(a)}", Node("sqrt", (a.args[0],)) + a.args[1]
    if node.op == "sign":
        yield f"the sign is missing: {target} has {text(a)}, not {text(node)}", a
    if node.op == "add" and a.op == "sqrt" and "eps" in symbols(b):
        yield "eps inside the root", Node("sqrt", (a.args[0] + b,))
    if node.op == "divide" and (parts := _guarded_root(b)):
        root, eps = parts
        yield "eps added to the ratio", Node("divide", (a, root)) + eps
        if a.op == "multiply":
            yield "eps added to the ratio", a.args[0] * (Node("divide", (a.args[1], root)) + eps)
        yield "eps^2 inside the root", Node("divide", (a, Node("sqrt", (root.args[0] + eps * eps,))))
        yield "eps is missing", Node("divide", (a, root))
    if node.op == "add" and a.op == "multiply" and text(a).endswith(f"*{target}"):
        rest = _without(ONE, a.args[0])
        if b.op == "multiply" and text(b.args[0]) == text(rest):
            yield f"{text(b.args[1])} enters {target} as it is, not as {text(b)} (classic)", a + b.args[1]
            yield f"{target} is the last {text(b.args[1])}, not averaged", b.args[1]
        elif b.op != "multiply":
            yield f"{text(b)} enters {target} as {text(rest * b)} (ema)", a + rest * b
        yield f"lr is a factor of {text(b)} in {target} already", a + symbol("lr") * b
        yield f"{target} is not averaged: only the last {text(b)} counts", b
    if node.op == "add" and a.op == "symbol" and a.value == target:
        yield f"{target} is not summed up: only the last {text(b)} counts", b
        yield f"lr is a factor of {text(b)} in {target} already", a + symbol("lr") * b
    if node.op == "clip":
        yield f"the clip of {text(a)} is missing", a
    if node.op in ("maximum", "minimum"):
        yield f"{text(a)} stands for {text(node)}", a
        yield f"{text(b)} stands for {text(node)}", b


def _guarded_root(node: Node) -> tuple[Node, Node] | None:
    """The root and eps of sqrt(S) + eps or sqrt(S + eps)."""
    inner = node.args[0] if node.op == "sqrt" else node
    if inner.op != "add" or "eps" not in symbols(inner.args[1]):
        return None
    if node.op == "sqrt":
        return Node("sqrt", (inner.args[0],)), inner.args[1]
    return (inner.args[0], inner.args[1]) if inner.args[0].op == "sqrt" else None


def _moment(node: Node) -> str:
    return text(node.args[0] if node.op == "add" else node)


def _without(a: Node, b: Node) -> Node:
    return Node("subtract", (a, b))


_OPPOSITE = {"maximum": "minimum", "minimum": "maximum", "add": "subtract", "subtract": "add"}


def _wrong(node: Node, target: str) -> Iterator[tuple[str, Node]]:
    """Any term, factor, divisor or case left out or turned round."""
    args, where = node.args, f"in {target}"
    if node.op in ("add", "subtract"):
        yield f"the term {text(args[1])} is missing {where}", args[0]
        if node.op == "add":
            yield f"the term {text(args[0])} is missing {where}", args[1]
        yield f"the sign of {text(args[1])} is wrong {where}", Node(_OPPOSITE[node.op], args)
        if args[0].op != "number":
            yield (
                f"the sign of {text(args[0])} is wrong {where}",
                Node(node.op, (Node("negative", args[:1]), args[1])),
            )
        if node.op == "subtract" and text(args[0]) == "1":
            yield f"{text(args[1])} stands for 1 - {text(args[1])} {where}", args[1]
            yield f"lr stands for 1 - {text(args[1])} {where}", symbol("lr")
    elif node.op == "multiply":
        yield f"the factor {text(args[0])} is missing {where}", args[1]
        yield f"the factor {text(args[1])} is missing {where}", args[0]
        yield f"the factor {text(args[0])} is repeated {where}", args[0] * node
    elif node.op == "divide":
        yield f"the division by {text(args[1])} is missing {where}", args[0]
        yield f"{text(args[1])} multiplies {text(args[0])} {where}, where it divides it", Node("multiply", args)
        upside_down = Node("divide", args[::-1])
        yield f"{text(upside_down)} stands for {text(node)}", upside_down
    elif node.op == "power":
        yield f"{text(args[0] * args[1])} stands for {text(node)}", args[0] * args[1]
    elif node.op in _OPPOSITE:
        opposite = Node(_OPPOSITE[node.op], args)
        yield f"{text(opposite)} stands for {text(node)}", opposite
    elif node.op == "where":
        yield f"{text(args[1])} stands in every case {where}", args[1]
        yield f"{text(args[2])} stands in every case {where}", args[2]


def _symbols_for_others(program: Program) -> Iterator[Slip]:
    """In one statement, one quantity in the place of another."""
    names = {s.target for s in program if not s.target.endswith("0")} - {"w"} | {"g"}
    names |= {name for name in SHARES if any(name in symbols(s.node) for s in program)}
    for n, s in enumerate(program):
        for own in sorted(symbols(s.node) & names):
            for other in sorted(names - {own}):
                instead = _replaced(s.node, {symbol(own): symbol(other)})
                yield f"{other} stands for {own} in {s.target}", _put(program, n, instead)
                if own in SHARES and other in SHARES:
                    rest = {_without(ONE, symbol(own)): _without(ONE, symbol(other))}
                    if (instead := _replaced(s.node, rest)) != s.node:
                        yield f"1 - {other} stands for 1 - {own} in {s.target}", _put(program, n, instead)
                if len(places := [put for part, put in _parts(s.node) if part == symbol(own)]) > 1:
                    for put in places:
                        once = f"{other} stands for {own} in one place in {s.target}"
                        yield once, _put(program, n, put(symbol(other)))


def _everywhere_wrong(program: Program) -> Iterator[Slip]:
    """A part that occurs more than once, wrong in every place."""
    parts = Counter(part for s in program for part, _ in _parts(s.node) if part.args)
    for part in (part for part, times in parts.items() if times > 1):
        for _, instead in _wrong(part, ""):
            yield f"{text(instead)} stands for {text(part)} in every place", _everywhere(program, {part: instead})


# --- trees ---------------------------------------------------------------------------------------------------


def _parts(
    node: Node, put: Callable[[Node], Node] = lambda new: new
) -> Iterator[tuple[Node, Callable[[Node], Node]]]:
    """Every part of an expression, and what makes the expression with another part there."""
    yield node, put
    for n, child in enumerate(node.args):

        def put_child(new: Node, n: int = n) -> Node:
            return put(Node(node.op, (*node.args[:n], new, *node.args[n + 1 :]), node.value))

        yield from _parts(child, put_child)


def _put(program: Program, n: int, node: Node) -> Program:
    return (*program[:n], Statement(program[n].target, program[n].arrow, node), *program[n + 1 :])


def _mapped(node: Node, change: Callable[[Node], Node]) -> Node:
    return change(Node(node.op, tuple(_mapped(child, change) for child in node.args), node.value))


def _replaced(node: Node, instead: Mapping[Node, Node]) -> Node:
    return _mapped(node, lambda part: instead.get(part, part))


def _everywhere(program: Program, instead: Mapping[Node, Node]) -> Program:
    return tuple(Statement(s.target, s.arrow, _replaced(s.node, instead)) for s in program)
