"""One small change to the package at a time: does a test that runs the line notice it?

    python -m pytest -m 'not slow and not gpu' --cov=optilab --cov-context=test    # pip install pytest-cov
    python -m tests.mutants --coverage .coverage [--count 300] [--seed 0] [--most 200]

A mutant changes one operator, comparison, constant, key, condition or order of arguments, or removes a statement that
stands alone (a raise, an fsync). It is drawn from the lines that some test runs, first the package, then the change,
so that small packages count as much as large ones. The tests that run its line are run on a copy of the project,
those first that run little else than its file, until one fails or `--most` have passed. What survives is printed: it
is equivalent, or a test is missing.
"""

import argparse
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
from pathlib import Path
from typing import NamedTuple

from tests.verify.mutants import COMPARED, OPERATORS

ROOT = Path(__file__).parents[1]
FEW = 25
"""Tests of one process."""
SECONDS = 240
"""After that many seconds a mutant counts as noticed: it hangs."""
LIBRARIES = (
    "torch",
    "torchvision",
    "pytest",
    "pydantic",
    "rich.progress",
    "typer",
    "pandas",
    "polars",
)
"""What the process of every mutant has from the start, because it is forked from one that has imported it."""
FORK = multiprocessing.get_context("fork")


class Mutant(NamedTuple):
    """Lines and columns (from 1 and 0) of the text that is replaced, and what it becomes."""

    file: str
    line: int
    column: int
    last: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        lines = source.encode().splitlines(keepends=True)
        before = b"".join(lines[: self.line - 1]) + lines[self.line - 1][: self.column]
        after = lines[self.last - 1][self.end :] + b"".join(lines[self.last :])
        return (before + self.text.encode() + after).decode()


def mutants(file: str, source: str) -> Iterator[Mutant]:
    """Every change of a file; annotations, docstrings and messages are left alone."""
    tree = ast.parse(source)
    skipped = {id(part) for node in ast.walk(tree) for part in _not_run(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        for text in _changes(node):
            yield Mutant(file, node.lineno, node.col_offset, node.end_lineno, node.end_col_offset, text)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--coverage", type=Path, default=ROOT / ".coverage")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=200, help="tests per mutant")
    options = parser.parse_args()
    tests, survivors, killed = runners(options.coverage), Counter[str](), Counter[str]()
    all_lines = Counter(test for lines in tests.values() for found in lines.values() for test in found)
    os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")  # as tests/conftest.py has them
    with warnings.catch_warnings(action="ignore"):
        for name in LIBRARIES:
            importlib.import_module(name)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        skipped = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".cov*", "site")
        shutil.copytree(ROOT, folder, ignore=skipped)
        chosen = drawn(tests, options.count, options.seed)
        if why := notices(folder, nearest(tests[chosen[0].file], chosen[0].line, all_lines)[:FEW]):
            raise SystemExit(f"a test fails without any change: {why}")
        for mutant in chosen:
            file, source = folder / mutant.file, (ROOT / mutant.file).read_text()
            able = nearest(tests[mutant.file], mutant.line, all_lines)[: options.most]
            file.write_text(mutant.apply(source))
            parts = [able[start : start + FEW] for start in range(0, len(able), FEW)]
            why = next(filter(None, (notices(folder, part) for part in parts)), "")
            file.write_text(source)
            package = str(Path(mutant.file).parent)
            (killed if why else survivors)[package] += 1
            was = source.splitlines()[mutant.line - 1].strip()
            outcome = f"killed by {why.partition(' - ')[0]}:" if why else "SURVIVED"
            print(f"{outcome} {mutant.file}:{mutant.line}: {was}   ->   {mutant.text}", flush=True)
    for package in sorted({*killed, *survivors}):
        print(f"{package:32} {killed[package]:4} killed {survivors[package]:4} survived")
    print(f"{killed.total()} of {killed.total() + survivors.total()} killed")


if __name__ == "__main__":
    main()
