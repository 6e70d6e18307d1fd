"""`optilab/system.py` alone knows what differs between operating systems; run as a program, this lists what that is.

python -m tests.test_system
"""

import ast
from pathlib import Path

import optilab
from tests.desks.names import MODULES, WHOLE, gone, is_gone

PACKAGE = Path(optilab.__file__).parent
SYSTEM = PACKAGE / "system.py"
FILES = [path for path in PACKAGE.rglob("*.py") if path != SYSTEM]
ASKED = {("os", "name"), ("sys", "platform")}
"""What says on which system a program runs, besides the record of a run (`platform.system`)."""
SYSTEMS = ("darwin", "win32")


def used(tree):
    """(line, module, name) of each attribute of a module; of an import the name is empty."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                yield node.lineno, module, name
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr"), args=[ast.Name(id=m), ast.Constant(value=str(n)), *_]
            ):
                yield node.lineno, m, n
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name, "") for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                yield from ((node.lineno, module, alias.name) for alias in names)


def missing(tree):
    """(line, module, name, the systems that lack it)."""
    for line, module, name in used(tree):
        where = [
            s
            for s in SYSTEMS
            if (module in WHOLE and is_gone(module, s)) or (module in MODULES and name in gone(module, s))
        ]
        if where:
            yield line, module, name, where


def asks(tree):
    """The lines that ask for the system, or whether it has a name, or look into Linux's own file systems."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if (module, name) in ASKED:
                yield node.lineno
            case ast.Call(
                func=ast.Name(id="hasattr"), args=[ast.Name(id="os" | "signal" | "socket" | "time"), *_]
            ):
                yield node.lineno
            case ast.Constant(value=str(text)) if text.startswith(("/proc/", "/sys/")) or text in (
                "/proc",
                "/sys",
            ):
                yield node.lineno


def test_no_other_module_knows_the_system():
    trees = {str(file.relative_to(PACKAGE)): ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
    assert {name: found for name, tree in trees.items() if (found := [*missing(tree), *asks(tree)])} == {}


def test_negative_control():
    source = "import os, sys, fcntl\nos.fork()\nhasattr(os, 'x')\nsys.platform\nopen('/proc/1')\n"
    assert [line for line, *_ in missing(ast.parse(source))] == [1, 2]
    assert sorted({*asks(ast.parse(source))}) == [3, 4, 5]


if __name__ == "__main__":
    for line, module, name, systems in missing(ast.parse(SYSTEM.read_text(encoding="utf-8"))):
        print(f"{SYSTEM.name}:{line}: {module}{'.' * bool(name)}{name} is missing on {' and '.join(systems)}")
