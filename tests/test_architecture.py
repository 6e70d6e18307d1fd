"""The structure of the package: which part imports which, what a start may load, what is declared, what is unique."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Collection
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "optilab"
FILES = sorted(PACKAGE.rglob("*.py"))

ALLOWED: dict[str, set[str]] = {
    # part of the package -> the parts that it may import, at any depth, besides its own
    "words": set(),
    "errors": set(),
    "marks": set(),
    "files": {"errors"},
    "signals": {"errors"},
    "optimize": {"errors"},
    "runs": {"errors", "files"},
    "data": {"errors", "files"},
    "config": {"words", "errors", "marks", "optimize", "runs", "data"},
    "train": {"errors", "optimize", "runs", "data", "config"},
    "verify": {"errors", "optimize"},
    "diagnose": {"words", "errors", "optimize", "runs", "config"},
    "study": {"words", "errors", "marks", "signals", "files", "optimize", "runs", "data", "config", "diagnose"},
    "show": {"words", "errors", "files"},
    "verbs": {
        "words",
        "errors",
        "marks",
        "signals",
        "optimize",
        "runs",
        "data",
        "config",
        "train",
        "verify",
        "diagnose",
        "study",
        "show",
    },
    "lab": {"errors", "marks", "runs", "config", "words", "show", "verbs"},
    "loop": {"errors", "optimize", "train", "diagnose", "verbs"},
    "cli": {"errors", "marks", "verbs"},
    "__init__": {"lab", "loop"},  # when it is asked for
    "__main__": {"errors", "signals", "show", "cli"},
}
SLOW = {"torch", "torchvision", "matplotlib", "scipy", "jax", "optax", "pandas", "sklearn"}


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


def parts_of(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("optilab.")} - {"__version__"}


def test_every_part_has_its_row():
    assert {part(path) for path in FILES} == set(ALLOWED)


def test_imports_go_down_only():
    """`ALLOWED` has no cycle and holds for every import, also those inside functions."""
    below: set[str] = set()
    while rest := set(ALLOWED) - below:
        level = {name for name in rest if ALLOWED[name] <= below}
        assert level, f"a cycle among {sorted(rest)}"
        below |= level

    wrong = {
        str(path.relative_to(PACKAGE)): up
        for path in FILES
        if (up := parts_of(imports(path)) - ALLOWED[part(path)] - {part(path)})
    }
    assert not wrong


def imported_modules(path: Path, modules: Collection[str]) -> set[str]:
    """Those of `modules` that a file imports, or names of; of a package only where a name is its own."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else str(node.module) for name in names}
    return found & set(modules)


def circles(modules: dict[str, set[str]]) -> set[str]:
    """The modules that import each other, or lie between such, of those that each module imports."""
    rest = dict(modules)
    while free := {name for name, below in rest.items() if not below & (rest.keys() - {name})}:
        rest = {name: below for name, below in rest.items() if name not in free}
    while free := rest.keys() - {name for below in rest.values() for name in below}:  # nothing left imports these
        rest = {name: below for name, below in rest.items() if name not in free}
    return set(rest)


def test_no_two_modules_know_each_other():
    """No module imports itself through others, also not inside functions or for types alone."""
    paths = {
        ".".join(("optilab", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in FILES
    }
    modules = {name: imported_modules(path, paths.keys()) - {"optilab"} for name, path in paths.items()}
    assert not circles(modules)  # all read the version in `optilab`, which imports `Lab` when it is asked for
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == {"b", "c"}


def test_slow_libraries_are_imported_where_they_are_needed():
    wrong = {
        str(path.relative_to(PACKAGE)): slow
        for path in FILES
        if (slow := {name.split(".")[0] for name in imports(path, module_level=True)} & SLOW)
        - ({"torch"} if part(path) in ("train", "loop") else set())
    }
    assert not wrong


def test_every_package_that_is_imported_is_declared_and_the_other_way_round():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    required, optional = (
        {re.split(r"[^\w-]", text)[0].lower().replace("_", "-") for text in texts}
        for texts in (project["dependencies"], extras)
    )
    distributions = packages_distributions()
    roots = {name.split(".")[0] for path in FILES for name in imports(path)}
    used = set()
    for name in roots - sys.stdlib_module_names - {"optilab", "__future__"}:
        providers = {text.lower().replace("_", "-") for text in distributions[name]}
        used |= providers & (required | optional) or providers  # mlflow is in mlflow and in mlflow-skinny
    assert used - required - optional == set()
    assert required - used == set()


def test_no_two_classes_have_the_same_name():
    classes = Counter(
        node.name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert not [name for name, count in classes.items() if count > 1]


def test_only_the_display_imports_rich():
    users = {part(path) for path in FILES if any(name.split(".")[0] == "rich" for name in imports(path))}
    assert users == {"show"}


def test_no_module_outgrows_a_reader_or_is_named_after_a_kind_of_code():
    assert not [str(path) for path in FILES if len(path.read_text().splitlines()) > 800]
    assert not {path.stem for path in FILES} & {"utils", "util", "helpers", "common", "base", "manager", "misc"}


def test_the_rules_see_an_arrow_that_goes_up(tmp_path):
    """The checks above can fail."""
    path = tmp_path / "wrong.py"
    path.write_text("def f():\n    from optilab.train import engine\n\nimport torch\n")
    assert parts_of(imports(path)) - ALLOWED["optimize"] == {"train"}
    assert "torch" in imports(path, module_level=True)


def test_a_start_loads_neither_torch_nor_matplotlib(tmp_path):
    """One after the other in a process, each in a folder of its own: who loads one of them is named first."""
    commands = [
        ["--help"],
        ["optimize", "--algo", "adam", "--epochs", "30"],
        ["optimize", "--algo", "adam", "--json"],
        ["optimize", "--epochs", "-5"],
        ["train", "--config", "sigmoid.yaml", "--lr", "-1"],
        ["config", "show", "train"],
        ["data", "where"],
        ["data", "ls"],
        ["data", "verify", "synthetic"],
        ["runs", "ls"],
        ["env"],
        ["runs", "plot", "latest"],
        ["report", "latest"],
        ["train", "sigmoid.yaml", "--out", "curves.bmp"],
        ["lr", "sigmoid.yaml", "--out", "rates.bmp"],
        ["lr", "sigmoid.yaml", "--seeds", "3"],
        ["lr", "sigmoid.yaml", "--set", "optimizer=polyak"],
    ]
    program = f"""
import contextlib, os, sys, tempfile
from optilab.__main__ import main

for command in {commands!r}:
    sys.argv = ["optilab", *command]
    os.chdir(tempfile.mkdtemp(dir={str(tmp_path)!r}))
    with contextlib.suppress(SystemExit):
        main()
    print("loaded", sorted({SLOW!r} & set(sys.modules)), *command, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    loaded = [line for line in done.stderr.splitlines() if line.startswith("loaded")]
    assert loaded == [" ".join(["loaded", "[]", *command]) for command in commands], done.stderr
