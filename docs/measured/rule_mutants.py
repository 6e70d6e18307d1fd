"""The code of every rule with one token changed, graded as if it were a submission: is any mutant called equal?

    python -m tests.verify.mutants [--rules adam,lion] [--share 0.2] [--seed 0]

A mutant changes one operator, number, comparison, name or setting in `init`, `update` or what they call, and is
followed in every form of its rule, on the starts and with the settings of `verify`. It is caught where it differs
in one form or fails. `EQUIVALENT` says of each of the others why it is the same rule.
"""

import argparse
import ast
import copy
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType

import numpy as np

from optilab.optimize import RULES, Regime, descend
from optilab.optimize.rule import with_settings
from optilab.verify.candidate import Candidate
from optilab.verify.explain import forms_of
from optilab.verify.paths import STEPS, biases, comparisons, followed_on_matrix

OPERATORS = {
    ast.Add: [ast.Sub, ast.Mult],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult],
    ast.Pow: [ast.Mult],
    ast.Mod: [ast.FloorDiv],
    ast.MatMult: [],
}
COMPARED = {
    ast.Gt: [ast.GtE, ast.Lt],
    ast.Lt: [ast.LtE, ast.Gt],
    ast.GtE: [ast.Gt],
    ast.LtE: [ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
}
FUNCTIONS = {
    "maximum": "minimum",
    "minimum": "maximum",
    "sqrt": "abs",
    "sign": "abs",
    "abs": "sign",
    "zeros_like": "ones_like",
}
CONTEXT = {"self", "xp", "np", "state", "None", "True", "False"}
"""Names whose exchange would only fail."""


def reachable(kind: type) -> list[tuple[type | None, str]]:
    """The methods and functions of the rule's own module that `init` and `update` call: (class or None, name)."""
    module = sys.modules[kind.__module__]
    tree = ast.parse(Path(module.__file__).read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    found, waiting = [], [(kind, "init"), (kind, "update")]
    while waiting:
        owner, name = waiting.pop()
        if owner is not None:
            owner = next((base for base in owner.__mro__ if name in vars(base)), None)
            if owner is None or owner.__module__ != kind.__module__ or not callable(vars(owner)[name]):
                continue
        if (owner, name) in found:
            continue
        found.append((owner, name))
        node = definition(tree, owner, name)
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
                if part.value.id == "self" and hasattr(kind, part.attr):
                    waiting.append((kind, part.attr))
                elif isinstance(other := getattr(module, part.value.id, None), type) and issubclass(kind, other):
                    waiting.append((other, part.attr))
            if isinstance(part, ast.Name) and part.id in functions:
                waiting.append((None, part.id))
    return found


def definition(tree: ast.Module, owner: type | None, name: str) -> ast.FunctionDef:
    body = tree.body
    if owner is not None:
        body = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == owner.__name__).body
    return next(n for n in body if isinstance(n, ast.FunctionDef) and n.name == name)


def mutants(kind: type) -> Iterator[tuple[str, ast.Module]]:
    """(what is changed, the module with it)."""
    source = Path(sys.modules[kind.__module__].__file__).read_text()
    tree, lines = ast.parse(source), source.splitlines()
    numbers = [f.name for f in fields(kind) if isinstance(getattr(kind(), f.name), float | int)]
    for owner, name in sorted(reachable(kind), key=str):
        node = definition(tree, owner, name)
        inside = list(ast.walk(node))
        vanishing = {id(n.right) for n in inside if isinstance(n, ast.BinOp) and ast.unparse(n).startswith("0 * ")}
        skipped = {id(part) for a in ast.walk(node.args) for part in ast.walk(a)}
        skipped |= {id(p) for n in inside if isinstance(n, ast.AnnAssign) for p in ast.walk(n.annotation)}
        skipped |= {id(p) for p in ast.walk(node.returns)} if node.returns else set()
        # Only the type or the shape of these arguments counts.
        calls = [n for n in inside if isinstance(n, ast.Call)]
        shapes = [n for n in calls if ast.unparse(n.func).endswith(("xp_of", "zeros_like", "ones_like"))]
        skipped |= {id(part) for call in shapes for n in call.args for part in ast.walk(n)}
        locals_ = sorted(
            {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)} | {"grad"}
        )
        for index, part in enumerate(inside):
            if id(part) in skipped:
                continue
            for words, change in changes(part, numbers, locals_):
                mutated = copy.deepcopy(tree)
                target = list(ast.walk(definition(mutated, owner, name)))[index]
                change(target)
                line = lines[getattr(part, "lineno", 1) - 1].strip()
                words = f"0 * {words}" if id(part) in vanishing else words
                yield f"{owner.__name__ + '.' if owner else ''}{name}: {line}   [{words}]", mutated


def changes(node: ast.AST, numbers: list[str], names: list[str]) -> Iterator:
    def setter(**values):
        return lambda target: [setattr(target, key, value) for key, value in values.items()]

    if isinstance(node, ast.BinOp):
        for other in OPERATORS.get(type(node.op), []):
            yield f"{ast.unparse(node)}: {other.__name__}", setter(op=other())
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in COMPARED.get(type(node.ops[0]), []):
            yield f"{ast.unparse(node)}: {other.__name__}", setter(ops=[other()])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield f"{ast.unparse(node)}: without -", setter(op=ast.UAdd())
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        half = node.value / 2 if type(node.value) is float else node.value + 2
        for other in sorted({node.value + 1, node.value - 1, half} - {node.value}):
            yield f"{node.value} -> {other}", setter(value=other)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield f"{node.value} -> {not node.value}", setter(value=not node.value)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        if node.value.id == "self" and node.attr in numbers:
            for other in numbers:
                if other != node.attr:
                    yield f"self.{node.attr} -> self.{other}", setter(attr=other)
        elif node.attr in FUNCTIONS:
            yield f"{node.attr} -> {FUNCTIONS[node.attr]}", setter(attr=FUNCTIONS[node.attr])
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        for other in names:
            if other != node.id and not {node.id, other} & CONTEXT:
                yield f"{node.id} -> {other}", setter(id=other)


def class_of(tree: ast.Module, kind: type) -> type:
    name = "optilab_mutant"
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(ast.fix_missing_locations(tree), "<mutant>", "exec"), vars(module))
    return getattr(module, kind.__name__)


class Submission(Candidate):
    """A mutant, which takes every setting of its rule and whatever a rule may need besides the gradient."""

    def __init__(self, kind: type, rule: object) -> None:
        super().__init__(kind.__name__, dict.fromkeys((f.name for f in fields(kind)), True), (), None)  # type: ignore
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "rule", rule)

    def path(self, settings, gradient, start, steps):
        made = self.kind(**{f.name: getattr(self.rule, f.name) for f in fields(self.rule)})
        made, function = with_settings(made, settings), gradient.__self__
        if made.weights == "matrices":
            return followed_on_matrix(made, function, start, steps)
        return descend(made, function, start, steps).points


def vector_forms(kind: type) -> list:
    """The rule in every form and, where switches depend on numbers, with these on."""
    forms = [replace(kind(), **form) for form in forms_of(kind())]
    if kind.weights == "matrices":  # one choice at a time: muon has a hundred forms, of a second each
        forms = [kind(), *(one for one in forms if sum(vars(one)[k] != vars(kind())[k] for k in vars(one)) == 1)]
    if kind.name == "lookahead":
        forms.append(replace(kind(), base=RULES["adamw"](weight_decay=0.1)))
    return forms


def is_caught(mutant: type, rule: object) -> bool:
    submission = Submission(mutant, rule)
    for comparison in cached_comparisons(rule):
        if comparison.differs(comparison.path_of(submission)) is not None:
            return True
    return False


_COMPARISONS: dict = {}


def cached_comparisons(rule):
    if rule not in _COMPARISONS:
        own, grounds = Submission(type(rule), rule), [()]
        if rule.weights == "matrices" and rule.for_weights([(1,)])[0] is rule:
            grounds.append(biases())  # where `verify` says that code is equal on matrices alone
        _COMPARISONS[rule] = [c for places in grounds for c in comparisons(own, rule, places, STEPS, Regime(), ())]
    return _COMPARISONS[rule]


def survivors(name: str, share: float = 1.0, seed: int = 0) -> Iterator[tuple[str | None, str | None]]:
    """Each mutant of a rule, or a drawn share: (what it changes, or None where it is caught; why it is equal)."""
    kind, draw = RULES[name], random.Random(seed)
    forms = vector_forms(kind)
    for words, tree in mutants(kind):
        if draw.random() > share:
            continue
        try:
            mutant = class_of(tree, kind)
            with np.errstate(all="ignore"):
                caught = any(is_caught(mutant, rule) for rule in forms)
        except Exception:
            caught = True
        if caught:
            yield None, ""
        else:
            yield words, next((why for known, why in EQUIVALENT.items() if re.search(known, words)), None)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rules", default=",".join(RULES))
    parser.add_argument("--share", type=float, default=1.0, help="fraction of the mutants, drawn")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    total = missed = equivalent = 0
    for name in asked.rules.split(","):
        found = list(survivors(name, asked.share, asked.seed))
        alive = [(words, why) for words, why in found if words]
        unexplained = [words for words, why in alive if why is None]
        total, missed = total + len(found), missed + len(unexplained)
        equivalent += len(alive) - len(unexplained)
        print(
            f"{name:20} {len(found):5} mutants, {len(alive):3} equal, {len(unexplained):3} unexplained", flush=True
        )
        for words, why in alive:
            print(f"    {words}   {why or 'NOT EQUIVALENT'}", flush=True)
    print(f"{total} mutants: {equivalent} equivalent, {missed} missed ({missed / max(total - equivalent, 1):.2%})")
    sys.exit(bool(missed))


EQUIVALENT = {
    r"xp.where\(s > 0, v / xp.sqrt.*\[(s > 0|s ->|0 ->|0.0 ->|1.0 ->)": "acts where the formula is 0/0",
    r"trusted = length > 5.*GtE": "the length is never exactly 5",
    r"\(trusted \* value .*(Sub|Div|5.0 ->)": "a placeholder where the rectifier is not used",
    r"rectifier = .*(r -> length|r_inf -> limit)": "the same number where the rectifier is used",
    r"_given\(.*\[": "the part left out where a setting is 0 changes nothing then",
    r"return not \(isinstance.*setting == 0": "the same",
    r"mean = self.decay \* state.mean .*Sub": "the mean enters as its square: its sign is lost",
    r"square = mean_square - mean.*mean_square -> square": "two names of one array",
    r"RMSPropState\(mean_square, mean, velocity\).*\[(velocity|mean|mean_square) ->": "not read here",
    r"Signum.update: velocity = .*(1 - self.beta: Add|1 -> |self.beta -> self.lr)": "a positive factor",
    r"return ScheduleFreeState\(x, x, 0.*\[(0|0.0) ->": "not read here, or a largest lr so far",
    r"raised = rule.lr > |largest_lr = raised": "lr is constant, so it is the largest",
    r"_average: return step, ScheduleFreeState.*(state.steps|1 ->)": "the count, which this form does not read",
    r"slow, t = state.slow.*Sub": "-t is divisible where t is",
    r"factor = xp.where\(agreement > 0.*same -> factor": "1 where the signs agree",
    r"weighs = .*(GtE|below ->)": "the same 0 at equality; a positive number for another",
    r"below = xp.where\(weighs.*weighs ->": "a placeholder where w is 0",
    r"self.largest_norm \+ 0 \* size": "0 times anything gives its shape",
    r"SAM.ascent: ": "acts where the gradient is 0, and is 0 then",
    r"Prodigy.init: .*(zeros -> scalar|scalar -> zeros)": "zeros that are broadcast",
    r"weight = distance / self.d0": "the factor cancels in progress/size",
    r"gradient_sum = keep .*Sub": "every second sign, and absolute values are taken",
    r"estimate = xp.where\(size > 0": "acts where all gradients were 0, and w does not move then",
    r"/ xp.where\(curved, ": "a placeholder where the curvature is not positive",
    r"value = xp.asarray": "the point is always an array here",
    r"size = \(value - self.f_min\) / xp.where": "a placeholder where the gradient is 0, which multiplies it",
    r"size = xp.where\(size < self.lr.*(LtE|\[size ->)": "the same at equality; 0 times anything",
    r"return np.where\(np.isfinite\(matrices\)": "acts on matrices that are not finite",
    r"hermitian=True": "the inverse of a symmetric matrix either way",
    r"inverse @ vectors\[..., None\].*0 -> -1": "an axis of one entry",
    r"shift\[..., None\] \* np.eye.*without -": "the point is a row here: its last axis is its second",
    r"renewed = self.beta2 \* used.*used -> renewed": "two names of one array",
    r"0 \* used \+ self.eps.*used ->": "0 times anything gives its shape",
    r"ratio = later \* .*(first: Sub|GtE)": "multiplied by 0 in the first step; the same number at equality",
    r"first, later = .*0 -> -1": "divides what is multiplied by 0",
    r'"gtol": 1e-12': "where SciPy stops, not its path",
    r"\[0 \* \w+ -> ": "0 times anything gives its shape",
    r"\[0 \* \w+(\[:, 0\])?: Div": "0 divided by it is 0, too",
    r"Adafactor.*mean = rows.mean\(\).*rows -> columns": "the mean of all squares either way",
    r"Adafactor.*else \(0.0, self.eps\).*0.0 -> -1.0": "a lower limit of positive numbers",
    r"square.mean\(-1\)|side \* side\).sum\(-1\).*without -": "the last axis of a matrix is its second",
    r"tuple\(0 \* total for total in sums\)": "not read before the first step renews it",
    r"diagonal = 0 \* side\[:, 0\].*0 -> -1": "0 times another column",
    r"len\(side\) > self.largest_side else.*side -> diagonal": "as long",
    r"len\((roots|sides)\).*(roots|sides) -> (roots|sides|sums)": "as many",
    r"ShampooState\(state.steps \+ 1: Sub|return -\(self.lr \* step\).*Sub": "-t is divisible where t is",
    r"strict=(True|False).*\[(True|False) ->": "a check of lengths that are equal",
    r"xp.diag\(0 \* side\[:, 0\]\).*\[0 ->": "0 times another column",
    r"SOAPState\(0, zeros, zeros, empty, empty": "not read before the first step makes it",
    r"if base is not None: .*base -> total": "both are missing, or none",
    r"_by_rows: return matrix.reshape\(-1\)": "any negative number stands for the length in NumPy",
    r"m, n = grad.shape.*grad -> (direction|velocity)": "of one shape",
    r"direction = velocity / .*velocity -> direction|now = grad / .*grad -> now": "two names of one array",
    r"if on_tensors and precision.*on_tensors ->": "only tensors are asked for bfloat16",
    r"_eigen: return values, vectors": "SOAP does not read the eigenvalues",
    r"_eigen: return matrix\[0\]": "acts on matrices that are not finite",
    r"root.reshape\(-1.*\[1 -> ": "any negative number stands for the length in NumPy",
}
"""Descriptions of mutants that are the same rule, each with the reason."""


if __name__ == "__main__":
    main()
