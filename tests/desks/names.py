"""The names of Python's standard library on another system, as typeshed has them, which mypy brings."""

import ast
import importlib
import sys
from functools import cache
from pathlib import Path

import mypy

STUBS = Path(mypy.__file__).parent / "typeshed" / "stdlib"
MODULES = ("errno", "fcntl", "mmap", "os", "resource", "select", "signal", "socket", "time")
"""Modules that have other names on other systems."""
WHOLE = ("fcntl", "grp", "posix", "pwd", "readline", "resource", "syslog", "termios", "tty")
"""Modules that may be missing."""


def gone(module, system):
    """The names of a module that this system has and `system`, as in `sys.platform`, does not."""
    return sorted(
        (_names(module, sys.platform) - _names(module, system)) & {*dir(importlib.import_module(module))}
    )


def is_gone(module, system):
    """True if `system` does not have the module: none of its names is there."""
    return not _names(module, system) & {*dir(importlib.import_module(module))}


@cache
def _names(module, system):
    file = STUBS.joinpath(*module.split("."))
    file = file.with_suffix(".pyi") if file.with_suffix(".pyi").is_file() else file / "__init__.pyi"
    return frozenset(_defined(ast.parse(file.read_text(encoding="utf-8")).body, system))


def _defined(body, system):
    for node in body:
        match node:
            case ast.If():
                holds = _holds(node.test, system)
                yield from _defined(node.body if holds else node.orelse, system)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name
            case ast.ImportFrom(module=str(module), level=0, names=[ast.alias(name="*")]):
                yield from _names(module, system)
            case ast.ImportFrom(level=0) | ast.Import():
                yield from (alias.asname or alias.name for alias in node.names)


def _holds(test, system):
    """The value of a condition of a stub, which compares `sys.platform` and `sys.version_info` alone."""
    known = {"platform": system, "version_info": sys.version_info}
    return eval(ast.unparse(test), {"sys": type("sys", (), known), "TYPE_CHECKING": True})
