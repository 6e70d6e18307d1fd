"""Where code of the user's own is, a rule or a network: its file, the checksum of its content, and the code once it
has been executed."""

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from optilab.errors import SystemFailure, UsageError, did_you_mean, printable, shown

shipped: dict[str, bytes] = {}
"""Files of the machine that sent this process its work: absolute path there -> content, used instead of any here."""


ENDS = (Exception, SystemExit, GeneratorExit)
"""What a user's code may raise; KeyboardInterrupt and what a signal raises are the person's at the keyboard."""
LONGEST = 500
"""Characters of an exception that are repeated."""


def words_of(error: BaseException) -> str:
    """The name and the text of an exception, whatever its own `__str__` does, safe for a terminal."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    return printable(f"{type(error).__name__}: {text}"[:LONGEST])


@dataclass(frozen=True)
class Origin:
    """`spec` is what a config contains, with an absolute path; `source` the content of the file when it was read."""

    spec: str
    path: Path
    attribute: str
    source: bytes = field(repr=False, compare=False)
    sha256: str

    def __deepcopy__(self, memo: Any) -> "Origin":
        return self

    @property
    def label(self) -> str:
        """The name for tables and messages: `my_adam.py:Adam`."""
        return f"{self.path.name}:{self.attribute}" if self.is_file else self.spec

    @property
    def is_file(self) -> bool:
        """Named by its file, not as an installed module."""
        return self.spec.startswith(str(self.path))

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file; UsageError with the line of a syntax error."""
        try:
            return ast.parse(self.source, str(self.path))
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            raise UsageError(
                f"{self.path}:{line}: {type(error).__name__}: {getattr(error, 'msg', error)}"
            ) from None

    @cached_property
    def code(self) -> Any:
        """The class or function, once per process; the file is executed.

        UsageError, with the line, where it cannot be executed or has no such name.
        """
        _ = self.tree
        try:
            with redirect_stdout(sys.stderr):
                module = self._executed() if self.is_file else importlib.import_module(self._module)
        except ENDS as error:
            line = self.line_of(error)
            missing = isinstance(error, ModuleNotFoundError)
            advice = f"; install it, or put its code into {self.path.name}" if missing else ""
            raise UsageError(f"{self.path}{f':{line}' if line else ''}: {words_of(error)}{advice}") from None
        code = getattr(module, self.attribute, None)
        if not callable(code):
            raise self.missing(module)
        return code

    @property
    def line(self) -> int:
        """The line that declares the function, or what the class calls at each step."""
        at: ast.AST | None = next((n for n in self.tree.body if getattr(n, "name", "") == self.attribute), None)
        if isinstance(at, ast.ClassDef):
            at = next((n for n in at.body if getattr(n, "name", "") in ("update", "step")), at)
        return getattr(at, "lineno", 1)

    @property
    def _module(self) -> str:
        return self.spec.rpartition(":")[0]

    def _executed(self) -> ModuleType:
        """The module made from the bytes that were digested, whatever the file contains now."""
        name = f"optilab_own_{self.path.stem}_{self.sha256[:8]}"
        spec = importlib.util.spec_from_file_location(name, self.path)
        if spec is None:
            raise UsageError(f"{self.path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # a dataclass looks itself up there
        sys.path.insert(0, str(self.path.parent))  # as Python does for a file that it runs
        try:
            exec(compile(self.source, str(self.path), "exec"), vars(module))
        finally:
            with contextlib.suppress(ValueError):
                sys.path.remove(str(self.path.parent))
        return module

    def missing(self, module: ModuleType) -> UsageError:
        """The error for a name that the module does not have."""
        own = [
            n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__
        ]
        close = did_you_mean(self.attribute, own) or (f"; it has {', '.join(own)}" if own else "")
        return UsageError(f"{self.path} has no {self.attribute}{close}")

    def line_of(self, error: BaseException) -> int | None:
        """The line of the user's file at which an error was raised."""
        if isinstance(error, SyntaxError):
            return error.lineno
        frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == self.path]
        return frames[-1].lineno if frames else None

    @contextmanager
    def running(self, at: int | str) -> Iterator[None]:
        """Run the user's code inside: its output goes to stderr, and an error names its line and where it was.

        `at` is the number of a step, or says what goes on, such as `in its forward pass`.
        """
        try:
            with redirect_stdout(sys.stderr):
                yield
        except UsageError as error:
            step = f", step {at}: line {self.line}" if isinstance(at, int) and at else ""
            raise UsageError(f"{self.label}{step}: {error}") from None
        except SystemFailure:
            raise
        except ENDS as error:
            raise self.failure(error, at) from None

    def failure(self, error: BaseException, at: int | str) -> UsageError:
        """What the code raised, with its line and where it was."""
        line = self.line_of(error)
        where = f"line {line}: " if line else ""
        place = (f"at step {at}" if at else "before its first step") if isinstance(at, int) else at
        return UsageError(f"{self.label} failed {place}: {where}{words_of(error)}{self._hint(error, line)}")

    def _hint(self, error: BaseException, line: int | None) -> str:
        """What to write where a function of `math` got an array, a layer of a network does not fit, or the code does
        not take what it was called with; else nothing."""
        if isinstance(error, TypeError) and "argument" in str(error) and not line:  # it was called otherwise
            return "; what is accepted: optilab help own"
        if "before Module.__init__() call" in str(error):
            return "; make super().__init__() the first line of its __init__"
        if sizes := re.search(r"cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)", str(error)):
            got, takes = sizes.groups()
            more = f"write nn.Linear({got}, ...), or change what comes before"
            return f"; a layer that takes {takes} numbers gets {got}: {more}"
        if "arrays can be converted to Python scalars" not in str(error) or not line:
            return ""
        function = re.search(r"\bmath\.(\w+)", self.source.decode(errors="replace").splitlines()[line - 1])
        name = function[1] if function else "sqrt"
        return f"; functions of NumPy take arrays and those of math do not: np.{name} and not math.{name}"


def locate(spec: str) -> Origin:
    """The origin that `FILE.py:NAME` or `package.module:NAME` names; nothing is executed.

    UsageError where there is no such file or module.
    """
    place, colon, name = spec.rpartition(":")
    if not colon or not name.isidentifier() or not place:
        raise UsageError(
            f"expected FILE.py:NAME or package.module:NAME, for example my_adam.py:Adam; got {shown(spec, 200)}"
            + _names_in(Path(spec))
        )
    if place in shipped:
        return Origin(spec, Path(place), name, shipped[place], hashlib.sha256(shipped[place]).hexdigest())
    path = Path(place)
    as_module = (
        not path.is_file() and all(part.isidentifier() for part in place.split(".")) and path.suffix != ".py"
    )
    if as_module:
        path = _file_of_module(place)
    path = path.resolve()
    if not path.is_file():
        near = did_you_mean(path.name, [file.name for file in path.parent.glob("*.py")])
        raise UsageError(f"there is no file {place}{near}")
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    own = spec if as_module else f"{path}:{name}"
    return Origin(own, path, name, source, hashlib.sha256(source).hexdigest())


def _names_in(path: Path) -> str:
    """`; write my.py:Mine`, or :Other, of the classes of a Python file, or where it has none of its functions."""
    if path.suffix != ".py" or not path.is_file():
        return ""
    with contextlib.suppress(OSError, SyntaxError, ValueError):
        body = ast.parse(path.read_bytes()).body
        classes = [node.name for node in body if isinstance(node, ast.ClassDef)]
        names = classes or [node.name for node in body if isinstance(node, ast.FunctionDef)]
        if names:
            return f"; write {' or '.join(f'{path}:{name}' for name in names)}"
    return ""


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
class ObjectOrigin(Origin):
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


def of_object(given: Callable[..., Any]) -> Origin:
    """The origin of a class or function of this process. UsageError for anything else."""
    name = printable(getattr(given, "__name__", ""))
    if not callable(given) or not name:
        raise UsageError(f"expected a class, a function or FILE.py:NAME, got {shown(given)}")
    code = getattr(given, "__code__", None) or getattr(getattr(given, "update", None), "__code__", None)
    path = Path(code.co_filename if code else "<unknown>")
    return ObjectOrigin(f"{given.__module__}:{name}", path, name.strip("<>"), b"", "", given)
