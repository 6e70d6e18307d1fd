"""The rules of the house: which folder imports what, and what a start may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "optilab"
FILES = sorted(PACKAGE.rglob("*.py"))

FORBIDDEN = {
    # part of the package -> parts that it must not import, at any depth
    "optimize": {"cli", "console", "config", "schema", "runs", "train", "studies", "presets", "reference"},
    "errors": {"cli", "console", "config", "schema", "runs", "train", "studies", "optimize"},
    "strict_yaml": {"cli", "console", "config", "schema", "runs", "train", "studies", "optimize"},
    "schema": {"cli", "console", "config", "runs", "train", "studies"},
    "config": {"cli", "console", "runs", "train", "studies"},
    "runs": {"cli", "console", "train", "studies"},
    "train": {"cli", "console", "studies"},
    "studies": {"cli", "console"},
    "console": {"cli"},
}
SLOW = {"torch", "torchvision", "matplotlib", "scipy", "jax", "optax", "numba", "pandas"}


def imports(path: Path, module_level: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if module_level else ast.walk(tree)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    used = {name.split(".")[1] for name in imports(path) if name.startswith("optilab.")}
    assert not used & FORBIDDEN.get(part(path), set())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_slow_libraries_are_imported_where_they_are_needed(path):
    slow = {name.split(".")[0] for name in imports(path, module_level=True)} & SLOW
    assert slow <= ({"torch"} if part(path) == "train" else set())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_console_imports_rich(path):
    assert part(path) == "console" or not any(name.split(".")[0] == "rich" for name in imports(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_outgrows_a_reader_or_is_named_after_a_kind_of_code(path):
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem not in {"utils", "util", "helpers", "common", "base", "manager", "misc"}


def test_the_rules_see_an_arrow_that_goes_up(tmp_path):
    """A check that cannot fail is none."""
    path = tmp_path / "wrong.py"
    path.write_text("def f():\n    from optilab.train import engine\n\nimport torch\n")
    assert "optilab.train" in imports(path)
    assert "torch" in imports(path, module_level=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["optimize", "--algo", "adam", "--epochs", "30"],
        ["optimize", "--algo", "adam", "--json"],
        ["optimize", "--epochs", "-5"],
        ["train", "--config", "sigmoid.yaml", "--lr", "-1"],
        ["config", "show", "train"],
        ["data", "where"],
        ["runs", "ls"],
    ],
    ids=" ".join,
)
def test_a_start_loads_neither_torch_nor_matplotlib(arguments, tmp_path):
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print(sorted({SLOW!r} & set(sys.modules)), file=sys.stderr))\n"
        "from optilab.__main__ import main\n"
        f"sys.argv = ['optilab', *{arguments!r}]\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]", done.stderr
