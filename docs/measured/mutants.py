"""One small change at a time, a mutant: is it noticed?

    python -m pytest --cov=optilab --cov-context=test    # pip install pytest-cov
    python docs/measured mutants --coverage .coverage [--count 300] [--seed 0] [--most 75]

draws mutants of the package from the lines that some test runs, first the package, then the change, so that small
packages count as much as large ones. The tests that run the line are run on a copy of the project, those first that
run little else than its file, until one fails or `--most` have passed. What survives is printed: it is equivalent, or a
test is missing.

    python docs/measured mutants --rules [NAME...] [--fraction 0.2]

changes one operator, number, comparison, name or setting in `init`, `update` or what they call, and grades the result
as `verify` grades a submission, in every form of the rule. It is noticed where it differs in one form or fails.
`EQUIVALENT` says of each of the others why it is the same rule.
"""

import ast
import importlib
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from docs.measured import figures
from docs.measured.figures import ROOT

OPERATORS: dict[type, list[type]] = {
    ast.Add: [ast.Sub, ast.Mult],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult],
    ast.Pow: [ast.Mult],
    ast.Mod: [ast.FloorDiv],
}
COMPARED: dict[type, list[type]] = {
    ast.Gt: [ast.GtE, ast.Lt],
    ast.Lt: [ast.LtE, ast.Gt],
    ast.GtE: [ast.Gt],
    ast.LtE: [ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
}


class Mutant(NamedTuple):
    """Lines and columns (from 1 and 0) of the text that is replaced, and what it becomes."""

    file: str
    line: int
    column: int
    last: int
    end: int
    text: str

    @classmethod
    def of(cls, file: str, node: Any, text: str) -> "Mutant":
        return cls(file, node.lineno, node.col_offset, node.end_lineno, node.end_col_offset, text)

    def apply(self, source: str) -> str:
        lines = source.encode().splitlines(keepends=True)
        before = b"".join(lines[: self.line - 1]) + lines[self.line - 1][: self.column]
        after = lines[self.last - 1][self.end :] + b"".join(lines[self.last :])
        return (before + self.text.encode() + after).decode()


# --- the package ---------------------------------------------------------------------------------------------------

FEW = 25
"""Tests of one process."""
SECONDS = 240
"""After that many seconds a mutant counts as noticed: it hangs."""
LIBRARIES = ("torch", "torchvision", "pytest", "pydantic", "rich.progress", "typer", "pandas", "polars")
"""What the process of every mutant has from the start, because it is forked from one that has imported it."""
FORK = multiprocessing.get_context("fork")


def mutants(file: str, source: str) -> Iterator[Mutant]:
    """Every change of a file; annotations, docstrings and messages are left alone."""
    tree = ast.parse(source)
    skipped = {id(part) for node in ast.walk(tree) for part in _not_run(node)}
    for node in ast.walk(tree):
        if id(node) not in skipped:
            yield from (Mutant.of(file, node, text) for text in _changes(node))


def _not_run(node: ast.AST) -> Iterator[ast.AST]:
    """What a type checker or a person reads: annotations, texts that stand alone, and arguments of Doc."""
    roots = [getattr(node, "annotation", None), getattr(node, "returns", None)]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        roots.append(node)
    if isinstance(node, ast.JoinedStr):
        roots.append(node)
    for root in roots:
        if root is not None:
            yield from ast.walk(root)


def _changes(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.BinOp):
        for other in OPERATORS.get(type(node.op), [])[:1]:
            yield f"({ast.unparse(ast.BinOp(node.left, other(), node.right))})"
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in COMPARED.get(type(node.ops[0]), [ast.NotIn] if isinstance(node.ops[0], ast.In) else []):
            yield f"({ast.unparse(ast.Compare(node.left, [other()], node.comparators))})"
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"({ast.unparse(ast.BoolOp(other, node.values))})"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield str(node.value + 1)
    elif (
        isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    ):
        yield f"{ast.unparse(node.value)}[{node.slice.value + '_'!r}]"
    elif (
        isinstance(node, ast.Call)
        and len(node.args) == 2
        and getattr(node.func, "id", "") not in ("min", "max")
        and not any(isinstance(a, ast.Starred) for a in node.args)
    ):
        yield ast.unparse(ast.Call(node.func, node.args[::-1], node.keywords))
    elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield "pass"


def runners(data: Path) -> dict[str, dict[int, set[str]]]:
    """File -> line -> the tests that run it, as coverage has recorded them."""
    import coverage

    recorded = coverage.CoverageData(str(data))
    recorded.read()
    found: dict[str, dict[int, set[str]]] = {}
    for measured in filter(re.compile(r"\.py$").search, recorded.measured_files()):
        parts = Path(measured).parts
        name = str(Path(*parts[len(parts) - 1 - parts[::-1].index("optilab") :]))
        lines = recorded.contexts_by_lineno(measured)
        by_line = {line: {one.rpartition("|")[0] for one in tests if one} for line, tests in lines.items()}
        found[name] = by_line | dict.fromkeys(_once(name) & {*by_line}, set().union(*by_line.values()))
    return found


def _once(file: str) -> set[int]:
    """The lines of a file that an import runs, for whichever test comes first: those of no function."""
    tree = ast.parse((ROOT / file).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    inside = {
        line
        for node in ast.walk(tree)
        if isinstance(node, kinds)
        for part in ([node.body] if isinstance(node, ast.Lambda) else node.body)
        for line in range(part.lineno, part.end_lineno + 1)
    }
    return {*range(1, len((ROOT / file).read_text().splitlines()) + 1)} - inside


def drawn(tests: dict[str, dict[int, set[str]]], count: int, seed: int) -> list[Mutant]:
    """`count` mutants on lines that a test runs: a package by chance, then one of its mutants."""
    by_package = defaultdict(list)
    for file in sorted(tests):
        for mutant in mutants(file, (ROOT / file).read_text()):
            if tests[file].get(mutant.line):
                by_package[Path(file).parent].append(mutant)
    chance = random.Random(seed)
    packages, found = sorted(by_package), dict[Mutant, None]()
    while len(found) < min(count, sum(map(len, by_package.values()))):
        found[chance.choice(by_package[chance.choice(packages)])] = None
    return list(found)


def nearest(lines: dict[int, set[str]], line: int, all_lines: Counter[str]) -> list[str]:
    """The tests that run a line of a file, those first of whose lines the largest share is in that file."""
    inside = Counter(test for found in lines.values() for test in found & lines[line])
    return sorted(inside, key=lambda test: (-inside[test] / all_lines[test], test))


def notices(folder: Path, chosen: list[str]) -> str:
    """The first test that fails on the project in `folder`; empty if all pass."""
    output = folder.parent / "output.txt"
    process = FORK.Process(target=_test, args=(folder, chosen, output))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return "it hangs"
    failed = [line for line in output.read_text().splitlines() if line.startswith(("FAILED", "ERROR"))]
    if any("ERROR: not found" in line for line in failed):
        raise SystemExit(f"coverage was recorded of other tests: {failed[0]}")
    return "" if process.exitcode == 0 else (failed or [f"exit status {process.exitcode}"])[0]


def _test(folder: Path, chosen: list[str], output: Path) -> None:
    """The process of a mutant, which has nothing of optilab yet."""
    import pytest

    os.setsid()
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(folder)
    sys.path.insert(0, str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("optilab", "tests")]:
        del sys.modules[name]
    with output.open("w") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
        os._exit(pytest.main(["-q", "-x", "-n", "0", "-p", "no:cacheprovider", *chosen]))


def of_package(coverage: Path, count: int, seed: int, most: int) -> list[figures.Row]:
    """Draw mutants and look for a test that notices each: how many were noticed, by package."""
    tests = runners(coverage)
    noticed: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    all_lines = Counter(test for lines in tests.values() for found in lines.values() for test in found)
    os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")  # as tests/conftest.py has them
    with warnings.catch_warnings(action="ignore"):
        for library in LIBRARIES:
            importlib.import_module(library)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        shutil.copytree(
            ROOT, folder, ignore=shutil.ignore_patterns(".git", ".venv", "__pycache__", ".cov*", "site")
        )
        chosen = drawn(tests, count, seed)
        if why := notices(folder, nearest(tests[chosen[0].file], chosen[0].line, all_lines)[:FEW]):
            raise SystemExit(f"a test fails without any change: {why}")
        for mutant in chosen:
            file, source = folder / mutant.file, (ROOT / mutant.file).read_text()
            able = nearest(tests[mutant.file], mutant.line, all_lines)[:most]
            file.write_text(mutant.apply(source))
            parts = [able[start : start + FEW] for start in range(0, len(able), FEW)]
            why = next(filter(None, (notices(folder, part) for part in parts)), "")
            file.write_text(source)
            tally = noticed[str(Path(mutant.file).parent)]
            tally[0] += bool(why)
            tally[1] += 1
            was = source.splitlines()[mutant.line - 1].strip()
            outcome = f"killed by {why.partition(' - ')[0]}:" if why else "SURVIVED"
            print(f"{outcome} {mutant.file}:{mutant.line}: {was}   ->   {mutant.text}", flush=True)
    every = [sum(column) for column in zip(*noticed.values(), strict=True)]
    return [*([package, noticed[package]] for package in sorted(noticed)), ["all", every]]


# --- the rules -------------------------------------------------------------------------------------------------------

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


def mutants_of(kind: type) -> Iterator[tuple[str, str]]:
    """(what is changed, the source of the module with it)."""
    source = Path(sys.modules[kind.__module__].__file__ or "").read_text()
    tree, lines = ast.parse(source), source.splitlines()
    numbers = [f.name for f in fields(kind) if isinstance(getattr(kind(), f.name), float | int)]  # type: ignore[arg-type]
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
        stored = {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        for part in (part for part in inside if id(part) not in skipped):
            for words, text in changes(part, numbers, sorted(stored | {"grad"})):
                line = lines[part.lineno - 1].strip()
                words = f"0 * {words}" if id(part) in vanishing else words
                what = f"{owner.__name__ + '.' if owner else ''}{name}: {line}   [{words}]"
                yield what, Mutant.of("", part, text).apply(source)


def changes(node: Any, numbers: list[str], names: list[str]) -> Iterator[tuple[str, str]]:
    """(what is changed, what the text of the node becomes)."""
    was = ast.unparse(node) if isinstance(node, ast.expr) else ""
    if isinstance(node, ast.BinOp):
        for other in OPERATORS.get(type(node.op), []):
            yield f"{was}: {other.__name__}", f"({ast.unparse(ast.BinOp(node.left, other(), node.right))})"
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in COMPARED.get(type(node.ops[0]), []):
            yield (
                f"{was}: {other.__name__}",
                f"({ast.unparse(ast.Compare(node.left, [other()], node.comparators))})",
            )
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield f"{was}: without -", f"(+{ast.unparse(node.operand)})"
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        half = node.value / 2 if type(node.value) is float else node.value + 2
        for other in sorted({node.value + 1, node.value - 1, half} - {node.value}):
            yield f"{node.value} -> {other}", f"({other})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield f"{node.value} -> {not node.value}", str(not node.value)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        if node.value.id == "self" and node.attr in numbers:
            yield from ((f"{was} -> self.{other}", f"self.{other}") for other in numbers if other != node.attr)
        elif node.attr in FUNCTIONS:
            other = FUNCTIONS[node.attr]
            yield f"{node.attr} -> {other}", f"{node.value.id}.{other}"
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        others = [other for other in names if other != node.id and not {node.id, other} & CONTEXT]
        yield from ((f"{node.id} -> {other}", other) for other in others)


def class_of(source: str, kind: type) -> type:
    module = ModuleType("optilab_mutant")
    sys.modules["optilab_mutant"] = module
    exec(compile(source, "<mutant>", "exec"), vars(module))
    mutant: type = getattr(module, kind.__name__)
    return mutant


def submission(kind: type, rule: Any) -> Any:
    """A mutant, which takes every setting of its rule and whatever a rule may need besides the gradient."""
    from optilab.optimize import descend
    from optilab.optimize.rule import with_settings
    from optilab.verify.candidate import Candidate
    from optilab.verify.paths import followed_on_matrix

    class Submission(Candidate):
        def path(self, settings: Any, gradient: Any, start: Any, steps: int) -> Any:
            made = with_settings(kind(**{f.name: getattr(rule, f.name) for f in fields(rule)}), settings)
            function = gradient.__self__
            if made.weights == "matrices":
                return followed_on_matrix(made, function, start, steps)
            return descend(made, function, start, steps).points

    return Submission(kind.__name__, dict.fromkeys((f.name for f in fields(rule)), True), (), None)  # type: ignore[arg-type]


def forms_with_switches(kind: Any) -> list[Any]:
    """The rule in every form and, where switches depend on numbers, with these on."""
    from optilab.optimize import RULES
    from optilab.verify.explain import forms_of

    forms = [replace(kind(), **form) for form in forms_of(kind())]
    if kind.weights == "matrices":  # one choice at a time: muon has a hundred forms, of a second each
        forms = [kind(), *(one for one in forms if sum(vars(one)[k] != vars(kind())[k] for k in vars(one)) == 1)]
    if kind.name == "lookahead":
        forms.append(replace(kind(), base=RULES["adamw"](weight_decay=0.1)))
    return forms


@cache
def comparisons_of(rule: Any) -> list[Any]:
    from optilab.optimize import Regime
    from optilab.verify.paths import STEPS, biases, comparisons

    own, grounds = submission(type(rule), rule), [()]
    if rule.weights == "matrices" and rule.for_weights([(1,)])[0] is rule:
        grounds.append(biases())  # where `verify` says that code is equal on matrices alone
    return [c for places in grounds for c in comparisons(own, rule, places, STEPS, Regime(), ())]


def is_noticed(source: str, kind: Any, forms: list[Any]) -> bool:
    try:
        mutant = class_of(source, kind)
        with np.errstate(all="ignore"):
            return any(
                comparison.differs(comparison.path_of(submission(mutant, rule))) is not None
                for rule in forms
                for comparison in comparisons_of(rule)
            )
    except Exception:
        return True


def of_rules(names: list[str], fraction: float, seed: int) -> list[figures.Row]:
    """Mutants of rules that `verify` notices; of the others, those that are equivalent, and those that are missed."""
    from optilab.optimize import RULES

    counts = {"vectors": [0, 0, 0, 0], "matrices": [0, 0, 0, 0]}
    for name in names or RULES:
        kind, chance = RULES[name], random.Random(seed)
        forms, count = (
            forms_with_switches(kind),
            counts["matrices" if RULES[name].weights == "matrices" else "vectors"],
        )
        for what, source in mutants_of(kind):
            if chance.random() > fraction:
                continue
            noticed = is_noticed(source, kind, forms)
            why = next((why for known, why in EQUIVALENT.items() if re.search(known, what)), "")
            for place, counted in enumerate((True, noticed, not noticed and why, not noticed and not why)):
                count[place] += bool(counted)
            if not noticed:
                print(f"{name}: {what}   {why or 'NOT EQUIVALENT'}", flush=True)
        print(f"{name}: {count}", flush=True)
    return [[f"optimizers on {place}", *map(str, count)] for place, count in counts.items()]


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


def main(arguments: list[str]) -> None:
    parser = figures.parser("mutants", __doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--rules", nargs="*", metavar="NAME", help="of these rules; none: of all")
    parser.add_argument("--fraction", type=float, default=1.0, help="fraction of the rules' mutants, drawn")
    parser.add_argument("--coverage", type=Path, default=ROOT / ".coverage")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=75, help="tests per mutant of the package")
    options = parser.parse_args(arguments)
    if options.rules is None:
        rows = of_package(options.coverage, options.count, options.seed, options.most)
        figures.record("mutants", "mutants", ["package", "mutants noticed by a test"], rows, options.print)
    else:
        rows = of_rules(options.rules, options.fraction, options.seed)
        columns = ["mutants of", "graded", "noticed by `verify`", "equivalent", "missed"]
        figures.record("rule-mutants", "mutants --rules", columns, rows, options.print or bool(options.rules))
