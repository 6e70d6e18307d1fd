"""One small change at a time, a mutant: is it noticed?

    python -m pytest --cov=optilab --cov-context=test    # pip install pytest-cov
    python docs/measured mutants --coverage .coverage [--count 300] [--seed 0] [--most 75]

draws mutants of the package from the lines that some test runs, first the package, then the change, so that small
packages count as much as large ones. The tests that run the line are run on a copy of the project, those first that
run little else than its file, until one fails or `--most` have passed. What survives is printed: it is equivalent, or a
test is missing.

    python docs/measured mutants --rules [NAME...] [--fraction 0.2]

changes one operation, number or name of a formula, and grades the result as `verify` grades a submission, in every form
of the rule. It is noticed where it differs or fails.
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
LIBRARIES = ("torch", "torchvision", "pytest", "pydantic", "rich.progress", "typer", "pandas")
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
        joined: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"({ast.unparse(ast.BoolOp(joined, node.values))})"
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
    by_file: dict[str, dict[int, set[str]]] = {}
    for measured in filter(re.compile(r"\.py$").search, recorded.measured_files()):
        parts = Path(measured).parts
        name = str(Path(*parts[len(parts) - 1 - parts[::-1].index("optilab") :]))
        lines = recorded.contexts_by_lineno(measured)
        by_line = {line: {test.rpartition("|")[0] for test in tests if test} for line, tests in lines.items()}
        by_file[name] = by_line | dict.fromkeys(_once(name) & {*by_line}, set().union(*by_line.values()))
    return by_file


def _once(file: str) -> set[int]:
    """The lines of a file that an import runs, for whichever test comes first: those of no function."""
    tree = ast.parse((ROOT / file).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    inside = {
        line
        for node in ast.walk(tree)
        if isinstance(node, kinds)
        for part in ([node.body] if isinstance(node, ast.Lambda) else node.body)
        for line in range(part.lineno, (part.end_lineno or part.lineno) + 1)
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
    packages, chosen = sorted(by_package), dict[Mutant, None]()
    while len(chosen) < min(count, sum(map(len, by_package.values()))):
        chosen[chance.choice(by_package[chance.choice(packages)])] = None
    return list(chosen)


def nearest(lines: dict[int, set[str]], line: int, all_lines: Counter[str]) -> list[str]:
    """The tests that run a line of a file, those first of whose lines the largest share is in that file."""
    inside = Counter(test for tests in lines.values() for test in tests & lines[line])
    return sorted(inside, key=lambda test: (-inside[test] / all_lines[test], test))


def notices(folder: Path, chosen: list[str]) -> str:
    """The first test that fails on the project in `folder`; empty if all pass."""
    output = folder.parent / "output.txt"
    process = FORK.Process(target=_test, args=(folder, chosen, output))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None and process.pid:
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
    all_lines = Counter(test for lines in tests.values() for names in lines.values() for test in names)
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
    rows: list[figures.Row] = [[package, noticed[package]] for package in sorted(noticed)]
    return [*rows, ["all", every]]


# --- the rules -------------------------------------------------------------------------------------------------------

OTHERS = {
    "add": ("subtract",),
    "subtract": ("add",),
    "multiply": ("divide",),
    "divide": ("multiply",),
    "maximum": ("minimum",),
    "minimum": ("maximum",),
    "greater": ("less",),
    "less": ("greater",),
    "sqrt": ("absolute",),
    "sign": ("absolute",),
    "absolute": ("sign",),
}
"""What an operation is exchanged for."""


def mutants_of(rule: Any) -> Iterator[tuple[str, Any]]:
    """(what is changed, the program with it): every single operation, number and name of the rule's formula."""
    from optilab.optimize.formula import text
    from optilab.optimize.program import Program

    program = rule.program
    names = sorted({*program.settings, *program.states, "g"})
    for n, statement in enumerate(program.statements):
        for words, node in changes(statement.node, names):
            what = f"{statement.target} {statement.arrow} {text(statement.node)}   [{words}]"
            yield (
                what,
                Program((*program.statements[:n], replace(statement, node=node), *program.statements[n + 1 :])),
            )


def changes(node: Any, names: list[str]) -> Iterator[tuple[str, Any]]:
    """(what is changed, the expression with it)."""
    from optilab.optimize.formula import Node, number, symbol, text

    if node.op == "number":
        for value in sorted({node.value + 1, node.value - 1, node.value / 2} - {node.value}):
            yield f"{node.value:g} -> {value:g}", number(value)
    elif node.op == "symbol" and node.value in names:
        yield from ((f"{node.value} -> {name}", symbol(name)) for name in names if name != node.value)
    for other in OTHERS.get(node.op, ()):
        yield f"{text(node)}: {other}", Node(other, node.args)
    for n, child in enumerate(node.args):
        for words, changed in changes(child, names):
            yield words, Node(node.op, (*node.args[:n], changed, *node.args[n + 1 :]))


def submission(rule: Any, program: Any = None) -> Any:
    """A mutant with another program, which takes every setting of its rule."""
    from optilab.optimize import descend
    from optilab.optimize.rule import with_settings
    from optilab.verify.candidate import Candidate

    class Submission(Candidate):
        def path(self, settings: Any, gradient: Any, start: Any, steps: int) -> Any:
            made = with_settings(rule, settings)
            if program is not None:
                vars(made)["program"] = program
            return descend(made, gradient.__self__, start, steps).points

    return Submission(rule.name, dict.fromkeys((f.name for f in fields(rule)), True), (), None, {})  # type: ignore[arg-type]


def forms_with_switches(kind: Any) -> list[Any]:
    """The rule in every form and, where switches depend on numbers, with these on."""
    from optilab.optimize import RULES
    from optilab.verify.cause import forms_of

    forms = [replace(kind(), **form) for form in forms_of(kind())]
    if kind.name == "lookahead":
        forms.append(replace(kind(), base=RULES["adamw"](weight_decay=0.1)))
    return forms


@cache
def comparisons_of(rule: Any) -> list[Any]:
    from optilab.verify.candidate import STEPS
    from optilab.verify.compare import comparisons

    return comparisons(submission(rule), rule, (), STEPS, ())


def is_noticed(rule: Any, program: Any) -> bool:
    try:
        with np.errstate(all="ignore"):
            return any(
                comparison.differs(comparison.path_of(submission(rule, program))) is not None
                for comparison in comparisons_of(rule)
            )
    except Exception:
        return True


def of_rules(names: list[str], fraction: float, seed: int) -> list[figures.Row]:
    """Mutants of the formulas that `verify` notices; of the others, those that are equivalent, and those missed."""
    from optilab.optimize import RULES

    count = [0, 0, 0, 0]
    for name in names or [name for name, kind in RULES.items() if kind.text]:
        chance = random.Random(seed)
        for rule in forms_with_switches(RULES[name]):
            for what, program in mutants_of(rule):
                if chance.random() > fraction:
                    continue
                noticed = is_noticed(rule, program)
                why = next((why for known, why in EQUIVALENT.items() if re.search(known, what)), "")
                for place, counted in enumerate((True, noticed, not noticed and why, not noticed and not why)):
                    count[place] += bool(counted)
                if not noticed:
                    print(f"{name}: {what}   {why or 'NOT EQUIVALENT'}", flush=True)
        print(f"{name}: {count}", flush=True)
    return [["formulas", *map(str, count)]]


EQUIVALENT = {
    r"^S <- .*\[\(1 - beta2\)\*sign\(S - g\^2\): divide": "a sign is its own inverse",
    r"^(V|S|s) <- .*\[g -> p": "p is the gradient by then",
    r"^k = where\(r > 5.*\[(5|0) ->": "k is read where r > 5 alone",
    r"^s = S/\(1 - beta2\^t\)": "not read in this form",
    r"^G <- b\*G .*: subtract": "every second sign, and absolute values are taken",
    r"where\((m|q) > 0.*\[(0|g) ->": "acts where the gradient is 0",
    r"^S <- where\(t > 1.*\[1 -> 2": "the first step moves nothing, so the second gradient is the first",
    r"^d = where\(t > 1, clip.*\[1 -> (0|0.5)": "the limit of the first step is 0",
    r"^V <- beta\*V .*\[(beta -> lr|1 -> 2|1 - beta: add)": "a positive factor of what only its sign is taken of",
    r"^(M <- max\(M, lr\)|Q <- Q \+ M|c = M\^2|z <- z - lr)": "lr is constant, so it is the largest",
    r"0\*Z\).*\[Z ->": "0 times anything gives its shape",
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
