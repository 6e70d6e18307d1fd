"""A user's code, accepted wherever the name of a rule or of a network is: `FILE.py:NAME`, `package.module:NAME`.

The file is executed when the code is used. Commands that only read runs take the settings that are recorded.
"""

import contextlib
import hashlib
import importlib.util
import inspect
import linecache
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import PathFinder
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from optilab.errors import Interrupted, SystemFailure, UsageError, did_you_mean, printable, shown

MAX_ERROR, MAX_LINE = 500, 80
"""Characters of an exception and of a line of code that are repeated."""
SCALARS: Mapping[Any, type] = {"float": float, "int": int, "bool": bool, "str": str}
EMPTY = inspect.Parameter.empty
_DRIVE = re.compile(r"^[A-Za-z]:(?=[\\/])")
"""The drive of a path on Windows, whose colon is not that of FILE.py:NAME."""


@dataclass(unsafe_hash=True)
class UserCode:
    """A class or function: `name` of a file, of an installed `module`, or `definition`, an object of this process.
    Without a `name`, the only class or function of the file that fits is used.

    `source` is the content of the file when it was read, and `sha256` its checksum; an object has them where Python
    knows its source, such as the cell of a notebook.
    """

    path: Path
    name: str
    sha256: str = ""
    source: bytes = field(default=b"", repr=False, compare=False)
    module: str = ""
    definition: Any = None
    executed: ModuleType | None = field(default=None, repr=False, compare=False)

    def __deepcopy__(self, memo: Any) -> "UserCode":
        return self

    @classmethod
    def recorded(cls, tree: Mapping[str, Any]) -> "UserCode":
        """Read the code that a run's config names; its file need not exist any more."""
        place, _, name = str(tree["name"]).rpartition(":")
        return cls(Path(place), name, str(tree.get("sha256", "")))

    @property
    def reference(self) -> str:
        """The name of the code in a config; its path is absolute."""
        return f"{self.module or self.path}:{self.name}"

    @property
    def display_name(self) -> str:
        """The name in tables and messages: `my_adam.py:Adam`."""
        if self.definition is not None:
            return self.name
        return self.reference if self.module else f"{self.path.name}:{self.name}"

    @property
    def file(self) -> str:
        """The file for messages, as one types it in the current directory; the cell of a notebook."""
        if self.definition is not None and not self.path.is_file():
            return f"the cell of {self.name}"
        return os.path.relpath(self.path) if self.path.is_relative_to(Path.cwd()) else str(self.path)

    @property
    def line(self) -> int:
        """The line of the function, or of what the class is called by at each step; 0 where it is not in the file."""
        names = ("update", "step", "forward", "__init__")
        functions = [self.load(), *(getattr(self.load(), name, None) for name in names)]
        codes = [getattr(inspect.unwrap(function), "__code__", None) for function in functions]
        return next((code.co_firstlineno for code in codes if code and code.co_filename == str(self.path)), 0)

    @property
    def place(self) -> str:
        """`my_adam.py:7: Adam`, for messages."""
        return f"{self.file}{f':{self.line}' * bool(self.line)}: {self.name}"

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """The parameters of the class or function, except *args and **kwargs."""
        try:
            parameters = inspect.signature(self.load()).parameters.values()
        except (TypeError, ValueError):
            return []
        return [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]

    def load(self) -> Any:
        """The class or function. UsageError where the file cannot be executed or has no such name."""
        if self.definition is not None:
            return self.definition
        code = getattr(self._module(), self.name, None)
        if not callable(code):
            names = ", ".join(self.defined) or "no class and no function"
            if not self.name:
                raise UsageError(f"expected {self.file}:NAME; it has {names}")
            near = did_you_mean(self.name, self.defined) or f"; it has {names}"
            raise UsageError(f"{self.file} has no {self.name}{near}")
        return code

    @property
    def defined(self) -> dict[str, Any]:
        """The classes and functions that the file defines."""
        items = {k: item for k, item in vars(self._module()).items() if isinstance(item, type | FunctionType)}
        return {k: item for k, item in items.items() if item.__module__ == self._module().__name__}

    def _module(self) -> ModuleType:
        """The file as a module; it is executed once, from the bytes that were digested."""
        if self.executed is None:
            with self.running(None):
                if self.module:
                    self.executed = importlib.import_module(self.module)
                    return self.executed
                module = ModuleType(f"optilab_own_{self.path.stem}_{self.sha256[:8]}")
                module.__file__ = str(self.path)
                sys.modules[module.__name__] = module  # a dataclass looks itself up there
                exec(compile(self.source, str(self.path), "exec"), vars(module))
                self.executed = module
        return self.executed

    @contextmanager
    def running(self, at: int | str | None) -> Iterator[None]:
        """Run the code inside: its output goes to stderr, the working directory is put back after it, and an error
        names its line and where it was: `at` a step, `in its forward pass`; None while the file is executed.
        """
        if at is not None:
            self.load()
        try:
            with _directory_put_back(), contextlib.redirect_stdout(sys.stderr), self._importing():
                yield
        except UsageError as error:
            if at is None:
                raise self.failure(error, at) from None
            step = f", step {at}" + f": line {self.line}" * bool(self.line) if isinstance(at, int) and at else ""
            raise UsageError(f"{self.display_name}{step}: {error}") from None
        except (SystemFailure, KeyboardInterrupt, Interrupted):
            raise
        except BaseException as error:
            raise self.failure(error, at) from None

    @cached_property
    def neighbors(self) -> str:
        """The directory that a file imports from, as one that Python runs; empty for an installed module, an object."""
        return "" if self.module or self.definition is not None else str(self.path.parent)

    @contextmanager
    def _importing(self) -> Iterator[None]:
        """Let the code inside import the neighbors of its file."""
        if self.neighbors:
            sys.path.insert(0, self.neighbors)
        try:
            yield
        finally:
            if self.neighbors and self.neighbors in sys.path:  # unless the code has removed it
                sys.path.remove(self.neighbors)

    def failure(self, error: BaseException, at: int | str | None) -> UsageError:
        """The error that the code raised, with the line that raised it."""
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(self.path)]
        line = frames[-1].lineno if frames else None
        if isinstance(error, SyntaxError) and error.filename == str(self.path):
            line = error.lineno
        words = exception_text(error).replace(f" ({self.path.name}, line {line})", "")
        if line and (code := self.source.decode(errors="replace").splitlines()[line - 1 : line]):
            words += f", in: {printable(code[0].strip()[:MAX_LINE])}"
        if at is None:
            return UsageError(f"{self.file}{f':{line}' if line else ''}: {words}")
        place = (f"at step {at}" if at else "before its first step") if isinstance(at, int) else at
        return UsageError(f"{self.display_name} failed {place}: {f'line {line}: ' if line else ''}{words}")


def _working_directory() -> str:
    """Empty where it has been removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


@contextmanager
def _directory_put_back() -> Iterator[None]:
    """Go back to the working directory afterwards, if it was changed and is still there."""
    before = _working_directory()
    try:
        yield
    finally:
        if _working_directory() != before:
            with contextlib.suppress(OSError):
                os.chdir(before)


def exception_text(error: BaseException) -> str:
    """The name and the text of an exception, whatever its own `__str__` does, safe for a terminal."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    return printable(f"{type(error).__name__}: {text}"[:MAX_ERROR])


def is_user_code(name: Any) -> bool:
    """True for FILE.py:NAME, package.module:NAME, and a class or function of this process."""
    is_text = isinstance(name, str) and not name.startswith("{")  # a mapping
    return callable(name) or (is_text and (":" in _DRIVE.sub("", name) or name.endswith(".py")))


def user_code(reference: str | Callable[..., Any]) -> UserCode:
    """The code of `FILE.py:NAME`, `FILE.py`, `package.module:NAME`, or of an object; nothing is executed.

    UsageError where there is no such file or module, or the object is no class or function.
    """
    if not isinstance(reference, str):
        return _code_of_object(reference)
    place, _, name = reference.rpartition(":")
    if reference.endswith(".py"):
        place, name = reference, ""
    elif not place or not name.isidentifier():
        raise UsageError(f"expected FILE.py:NAME or package.module:NAME, got {shown(reference, 200)}")
    if place == "__main__" and callable(item := getattr(sys.modules[place], name, None)):
        return _code_of_object(item)  # the same cell or script resumes its run
    path, module = Path(place), ""
    if not path.is_file() and path.suffix != ".py" and all(part.isidentifier() for part in place.split(".")):
        path, module = _file_of_module(place), place
    path = Path(os.path.realpath(path))
    if not path.is_file():
        near = did_you_mean(path.name, [file.name for file in path.parent.glob("*.py")])
        raise UsageError(f"there is no file {place}{near}")
    if path.suffix != ".py":
        raise UsageError(f"{place} is not a Python file; its name ends in .py")
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return UserCode(path, name, hashlib.sha256(source).hexdigest(), source, module)


def _file_of_module(name: str) -> Path:
    """The source of an installed module; its packages are not imported."""
    first, *rest = name.split(".")
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(first)
        for part in rest:
            spec = spec and PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations or [])
        if spec and str(spec.origin).endswith(".py"):
            return Path(str(spec.origin))
    raise UsageError(f"there is no file {name} and no installed module of that name with Python source")


def _code_of_object(item: Callable[..., Any]) -> UserCode:
    name = printable(getattr(item, "__name__", ""))
    if not callable(item) or not name:
        raise UsageError(f"expected a class, a function or FILE.py:NAME, got {shown(item)}")
    members = [item, *vars(item).values()] if isinstance(item, type) else [item]
    code = next(filter(None, (getattr(member, "__code__", None) for member in members)), None)
    path = Path(code.co_filename if code else "<unknown>")
    source = "".join(linecache.getlines(str(path))).encode()  # of a cell, too
    digest = hashlib.sha256(source).hexdigest() if source else ""
    return UserCode(path, name.strip("<>"), digest, source, item.__module__, item)


def scalar_type(parameter: inspect.Parameter) -> type | None:
    """The type of a parameter whose annotation is a number, a truth value or a text."""
    return SCALARS.get(getattr(parameter.annotation, "__name__", parameter.annotation))


def is_data(value: Any) -> bool:
    """True if a config can hold the value."""
    if isinstance(value, list | tuple):
        return all(map(is_data, value))
    return value is None or isinstance(value, bool | int | float | str)


def sources(parts: Iterable[Any]) -> dict[str, UserCode]:
    """The user's code of these rules and networks, rules inside rules included, by the name of its copy."""
    codes: dict[str, UserCode] = {}
    for part in parts:
        if isinstance(code := getattr(part, "code", None), UserCode):
            name = code.path.name if code.definition is None else f"{code.name}.py"
            if codes.get(name, code).sha256 != code.sha256:
                name = f"{code.sha256[:8]}-{name}"
            codes[name] = code
        elif hasattr(part, "base"):
            codes |= sources([part.base])
    return codes


def described(codes: Iterable[UserCode], files: Mapping[str, UserCode]) -> dict[str, Any]:
    """A user's code for the manifest of a run: the checksum of each file, and its copy's name in `files`."""
    copies = {code.sha256: copy for copy, code in files.items() if code.source}
    return {code.reference: {"sha256": code.sha256, "copy": copies.get(code.sha256)} for code in codes}
