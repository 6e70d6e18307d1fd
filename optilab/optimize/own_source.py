"""Where code of the user's own is, a rule or a network: its file, the checksum of its content, and the code once it
has been executed."""

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from optilab.errors import Interrupted, SystemFailure, UsageError, did_you_mean, printable, shown

shipped: dict[str, bytes] = {}
"""Files of the machine that sent this process its work: absolute path there -> content, used instead of any here."""


STEPS = ("update", "step", "forward")
"""What a class is called by at each step or batch."""
CHDIR = os.chdir
LONGEST, LONGEST_LINE = 500, 80
"""Characters of an exception and of a line of code that are repeated."""


def exception_text(error: BaseException) -> str:
    """The name and the text of an exception, whatever its own `__str__` does, safe for a terminal."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    return printable(f"{type(error).__name__}: {text}"[:LONGEST])


class Surroundings:
    """Code of a user's runs inside: it prints to stderr, and a working directory that it changes to is its own."""

    def __init__(self) -> None:
        self.directories: tuple[str, str] | None = None
        """That of the command and that of the code; None until the code changes it."""

    def __enter__(self) -> None:
        self.outside = sys.stdout, os.chdir
        sys.stdout, os.chdir = sys.stderr, self.change  # asking for the directory at each step would take too long
        if self.directories:
            self.change(self.directories[1], os.getcwd())

    def __exit__(self, *_: object) -> None:
        sys.stdout, os.chdir = self.outside
        if self.directories:
            CHDIR(self.directories[0])

    def change(self, path: Any, outside: str = "") -> None:
        """Take the place of os.chdir."""
        outside = outside or (self.directories or [os.getcwd()])[0]
        CHDIR(path)
        self.directories = outside, os.getcwd()


@dataclass(frozen=True)
class UserCode:
    """`spec` is what a config contains, with an absolute path; `source` the content of the file when it was read."""

    spec: str
    path: Path
    attribute: str
    source: bytes = field(repr=False, compare=False)
    sha256: str
    inside: Surroundings = field(default_factory=Surroundings, repr=False, compare=False)

    def __deepcopy__(self, memo: Any) -> "UserCode":
        return self

    @property
    def label(self) -> str:
        """The name for tables and messages: `my_adam.py:Adam`."""
        return f"{self.path.name}:{self.attribute}" if self.is_file else self.spec

    @property
    def is_file(self) -> bool:
        """Named by its file, not as an installed module."""
        return self.spec.startswith(str(self.path))

    @property
    def file(self) -> Path:
        """The file for messages, as one types it in the current directory."""
        here = Path.cwd()
        return self.path.relative_to(here) if self.path.is_relative_to(here) else self.path

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file; UsageError with the line of a syntax error."""
        try:
            return ast.parse(self.source, str(self.path))
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            if b"\0" in self.source:
                raise UsageError(f"{self.file} is not a Python file: it has a byte 0") from None
            reason = f"{type(error).__name__}: {getattr(error, 'msg', error)}"
            raise UsageError(f"{self.file}:{line}: {reason}") from None

    @cached_property
    def code(self) -> Any:
        """The class or function, once per process; the file is executed.

        UsageError, with the line, where it cannot be executed or has no such name.
        """
        _ = self.tree
        try:
            with self.inside:
                module = self._executed() if self.is_file else importlib.import_module(self._module)
        except (KeyboardInterrupt, Interrupted):
            raise
        except BaseException as error:
            line = self.line_of(error)
            raise UsageError(f"{self.file}{f':{line}' if line else ''}: {self._said(error, line)}") from None
        code = getattr(module, self.attribute, None)
        if not callable(code):
            raise self.missing()
        return code

    @property
    def line(self) -> int:
        """The line that declares the function, or what the class calls at each step."""
        at: ast.AST | None = next((n for n in self.tree.body if getattr(n, "name", "") == self.attribute), None)
        if isinstance(at, ast.ClassDef):
            at = next((n for n in at.body if getattr(n, "name", "") in STEPS), at)
        return getattr(at, "lineno", 1)

    @property
    def _module(self) -> str:
        return self.spec.rpartition(":")[0]

    def _executed(self) -> ModuleType:
        """The module made from the bytes that were digested, whatever the file contains now."""
        name = f"optilab_own_{self.path.stem}_{self.sha256[:8]}"
        spec = importlib.util.spec_from_file_location(name, self.path)
        if spec is None:
            raise UsageError(f"{self.file} is not a Python file; its name ends in .py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # a dataclass looks itself up there
        sys.path.insert(0, str(self.path.parent))  # as Python does for a file that it runs
        try:
            exec(compile(self.source, str(self.path), "exec"), vars(module))
        finally:
            with contextlib.suppress(ValueError):
                sys.path.remove(str(self.path.parent))
        return module

    @contextmanager
    def again(self) -> Iterator["UserCode"]:
        """The file, to be executed once more with the modules of its directory, as another process would do."""
        of_path = str(self.path.parent) if self.is_file else None
        for name in (loaded := dict(sys.modules)):
            file = getattr(loaded[name], "__file__", None)
            if file and name != "__main__" and os.path.dirname(file) == of_path:
                del sys.modules[name]
        try:
            yield replace(self, inside=Surroundings())
        finally:
            sys.modules.update(loaded)

    def require(self) -> None:
        """UsageError where the name cannot be in the file; nothing is executed."""
        if not re.search(rf"\b({self.attribute}\b|globals|import \*)", self.source.decode("utf-8", "replace")):
            raise self.missing()

    def missing(self) -> UsageError:
        """The error for a name that the file does not have."""
        own = [node.name for node in self.tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        close = did_you_mean(self.attribute, own) or (f"; it has {', '.join(own)}" if own else "")
        return UsageError(f"{self.file} has no {self.attribute}{close}")

    def line_of(self, error: BaseException) -> int | None:
        """The line of the user's file at which an error was raised."""
        if isinstance(error, SyntaxError) and error.filename in (None, str(self.path)):
            return error.lineno
        frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == self.path]
        return frames[-1].lineno if frames else None

    @contextmanager
    def running(self, at: int | str) -> Iterator[None]:
        """Run the user's code inside: its output goes to stderr, and an error names its line and where it was.

        `at` is the number of a step, or says what goes on, such as `in its forward pass`.
        """
        try:
            _ = self.code  # before the code runs inside: it may change the working directory
            with self.inside:
                yield
        except UsageError as error:
            step = f", step {at}: line {self.line}" if isinstance(at, int) and at else ""
            raise UsageError(f"{self.label}{step}: {error}") from None
        except (SystemFailure, KeyboardInterrupt, Interrupted):
            raise
        except BaseException as error:
            raise self.failure(error, at) from None

    def failure(self, error: BaseException, at: int | str) -> UsageError:
        """What the code raised, with its line and where it was."""
        line = self.line_of(error)
        where = f"line {line}: {self._beside(error)}" if line else ""
        place = (f"at step {at}" if at else "before its first step") if isinstance(at, int) else at
        return UsageError(f"{self.label} failed {place}: {where}{self._said(error, line)}")

    def _beside(self, error: BaseException) -> str:
        """`helper.py:2: `, where it was raised in another file of the same directory."""
        last = traceback.extract_tb(error.__traceback__)[-1]
        own = Path(last.filename)
        return f"{own.name}:{last.lineno}: " if own != self.path and own.parent == self.path.parent else ""

    def _said(self, error: BaseException, line: int | None) -> str:
        """What an exception says, and the line at which it is."""
        return exception_text(error) + self._written(line)

    def _written(self, line: int | None) -> str:
        """` in: return w - g[5]`, the code of a line; empty where there is none."""
        lines = self.source.decode(errors="replace").splitlines()
        text = lines[line - 1].strip() if line and line <= len(lines) else ""
        return f", in: {printable(text[:LONGEST_LINE])}" if text else ""


def locate(spec: str) -> UserCode:
    """The origin that `FILE.py:NAME` or `package.module:NAME` names; nothing is executed.

    UsageError where there is no such file or module.
    """
    place, colon, name = spec.rpartition(":")
    if not colon or not name.isidentifier() or not place:
        raise UsageError(
            _names_in(Path(spec)) or f"expected FILE.py:NAME or package.module:NAME, got {shown(spec, 200)}"
        )
    if place in shipped:
        return UserCode(spec, Path(place), name, shipped[place], hashlib.sha256(shipped[place]).hexdigest())
    path = Path(place)
    as_module = (
        not path.is_file() and all(part.isidentifier() for part in place.split(".")) and path.suffix != ".py"
    )
    if as_module:
        path = _file_of_module(place)
    path = Path(os.path.realpath(path))
    if path.is_symlink():
        raise UsageError(f"cannot read {place}: its symbolic links form a loop")
    if not path.is_file():
        there = sorted(file.name for file in path.parent.glob("*.py"))
        own = f"; its directory has {', '.join(there)}" if 0 < len(there) < 5 else ""
        raise UsageError(f"there is no file {place}{did_you_mean(path.name, there) or own}")
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    own = spec if as_module else f"{path}:{name}"
    return UserCode(own, path, name, source, hashlib.sha256(source).hexdigest())


def _names_in(path: Path) -> str:
    """Which names a Python file may be followed by: its classes, or where it has none its functions; else why not."""
    if path.suffix != ".py" or not path.is_file():
        return ""
    body = locate(f"{path}:any").tree.body
    classes = [node.name for node in body if isinstance(node, ast.ClassDef)]
    names = classes or [node.name for node in body if isinstance(node, ast.FunctionDef)]
    if not names:
        return f"{path} defines no class and no function"
    return f"expected {path}:NAME; {path} has {', '.join(names)}"


def _file_of_module(name: str) -> Path:
    """The source of an installed module; its packages are not imported."""
    first, *rest = name.split(".")
    with contextlib.suppress(ImportError, ValueError):
        found = importlib.util.find_spec(first)
        for part in rest:
            if found is None or found.submodule_search_locations is None:
                found = None
                break
            found = PathFinder.find_spec(f"{found.name}.{part}", found.submodule_search_locations)
        if found is not None and found.origin and found.origin.endswith(".py"):
            return Path(found.origin)
    raise UsageError(f"there is no file {name} and no installed module of that name with Python source")


@dataclass(frozen=True)
class ObjectCode(UserCode):
    """A class or function of this process, as a notebook has it: there is no file to read it from."""

    given: Callable[..., Any] = lambda: None

    @property
    def label(self) -> str:
        return self.attribute

    @property
    def is_file(self) -> bool:
        return False

    @cached_property
    def tree(self) -> ast.Module:
        """Its parsed source; empty where Python has none, as for what was typed at a prompt."""
        try:
            return ast.parse(textwrap.dedent(inspect.getsource(self.given)))
        except (OSError, TypeError, SyntaxError):
            return ast.Module([], [])

    @property
    def code(self) -> Any:
        return self.given


def of_object(given: Callable[..., Any]) -> UserCode:
    """The origin of a class or function of this process. UsageError for anything else."""
    name = printable(getattr(given, "__name__", ""))
    if not callable(given) or not name:
        raise UsageError(f"expected a class, a function or FILE.py:NAME, got {shown(given)}")
    code = getattr(given, "__code__", None) or getattr(getattr(given, "update", None), "__code__", None)
    path = Path(code.co_filename if code else "<unknown>")
    return ObjectCode(f"{given.__module__}:{name}", path, name.strip("<>"), b"", "", given=given)
