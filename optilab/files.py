"""Durable writes: a file is on disk, whole, when a function returns. Guarded reads: regular files of a limited size.

And what such files hold: JSON, and rows as CSV.
"""

import contextlib
import csv
import errno
import io
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf
from pathlib import Path
from sys import intern
from typing import Any

from optilab import system
from optilab.errors import DataError, FileInUse, SystemFailure, UsageError, WriteFailure, shown
from optilab.words import listed

Row = dict[str, Any]

FILE_MODE, DIRECTORY_MODE = 0o644, 0o755
"""The largest permissions of files and directories: nothing in a run is writable by others."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
NUMBER = re.compile(r"-?([0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|inf|nan)")
"""A cell that `cell` makes of a number."""


def directory_problem(directory: Path) -> str:
    """The message for a directory that is missing."""
    return f"there is no directory {directory}"


@contextlib.contextmanager
def write_errors(path: Path, size: int | None = None) -> Iterator[None]:
    """Turn an OSError into a WriteFailure that names the path, the bytes that a full disk lacks, and what to do."""
    try:
        yield
    except OSError as error:
        if system.is_in_use(error):
            raise FileInUse(f"cannot write {path}: another program has it open; close it there") from None
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        needs = f" (needs {size:,} bytes)" if full and size is not None else ""
        advice = "make room there" if full else "write to another directory"
        reason = f"{error.strerror or error}{needs}; {advice}"
        if isinstance(error, FileNotFoundError) and not path.absolute().parent.exists():
            reason = directory_problem(path.parent)
        raise WriteFailure(f"cannot write {path}: {reason}") from None


def output_file(file: str, accepted: Sequence[str], where: str = "") -> Path:
    """The path of a file to write. UsageError for another extension, and where it has no directory or is one."""
    path = Path(file)
    if path.suffix.lower() not in accepted:
        raise UsageError(f"expected a name that ends in {listed(accepted, 'or')}, got {shown(file)}", where)
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{file}: {directory_problem(path.parent)}", where)
    if path.is_dir():
        raise UsageError(f"{file} is a directory; expected the name of a file", where)
    return path


def read_regular(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    A FIFO is not waited for, a device is not read, and a link is not followed: each raises DataError, as does a
    larger file. Raises FileNotFoundError if there is no such file, SystemFailure if it cannot be read.
    """
    with _regular(path) as (file, size):
        if size > limit:
            raise DataError(f"{path} has {size:,} bytes; at most {limit:,} are read")
        return file.readall()


def read_ends(path: Path, length: int) -> bytes:
    """The first line of a regular file and the lines within its last `length` bytes. Raises as `read_regular`."""
    with _regular(path) as (file, size):
        if size <= 2 * length:
            return file.readall()
        first = file.read(length).partition(b"\n")[0]
        file.seek(-length, os.SEEK_END)
        return first + b"\n" + file.readall().partition(b"\n")[2]


@contextlib.contextmanager
def _regular(path: Path) -> Iterator[tuple[io.FileIO, int]]:
    """An open file and its size; the errors are those of `read_regular`."""
    try:
        with open(path, "rb", buffering=0, opener=lambda name, _: os.open(name, system.READ)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{path} is a pipe or a device, not a file")
            yield file, status.st_size
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DataError(f"{path} is a link; a run's files are its own") from None
        if error.errno in (errno.EISDIR, errno.ENXIO):
            kind = "directory" if error.errno == errno.EISDIR else "socket"
            raise DataError(f"{path} is a {kind}, not a file") from None
        raise SystemFailure(f"cannot read {path}: {error.strerror}") from None


def is_regular(path: Path, limit: float = inf) -> bool:
    """True for a regular file of at most `limit` bytes, which `read_regular` can read."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):  # ValueError: a path with a null byte
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size <= limit


def make_directory(path: Path) -> None:
    """A directory and its missing parents; whatever the umask, only their owner can write in them."""
    for directory in reversed([path, *path.parents]):
        if not directory.is_dir():
            directory.mkdir(DIRECTORY_MODE, exist_ok=True)
            if not os.access(directory, os.W_OK | os.X_OK):
                directory.rmdir()
                raise WriteFailure(f"cannot write in a new directory of {directory.parent}: the umask forbids it")


def write_new(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Write a new file, of one piece or of many, that is on disk when this returns.

    Never through a link, never over a file.
    """
    descriptor = os.open(path, system.NEW, FILE_MODE)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        for part in [data] if isinstance(data, bytes) else data:
            view = memoryview(part)
            while view:
                view = view[file.write(view) :]
        system.sync(file.fileno())


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file as a whole: after a crash there is the old one or the new one.

    A link is replaced, not followed. Raises SystemFailure on an error, and where `path` is a directory, a device
    or a FIFO.
    """
    temporary = path.with_name(f".{path.name}.tmp-{secrets.token_hex(4)}")
    with write_errors(path, len(data)):
        _require_replaceable(path)
        try:
            write_new(temporary, data)
            system.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        system.sync_directory(path.parent)


def _require_replaceable(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise SystemFailure(f"cannot write {path}: it is not a regular file")


def append(path: Path, line: Callable[[bool], bytes], flush: bool = True) -> None:
    """Add `line(whether it is the file's first)`: all of it, or none. Raises SystemFailure.

    It is on disk when this returns; without `flush` the system may lose it in a power cut, not in a kill.
    """
    end = path.stat().st_size if path.exists() else 0
    data = line(end == 0)
    with (
        write_errors(path, len(data)),
        os.fdopen(os.open(path, system.APPEND, FILE_MODE), "ab", buffering=0) as file,
    ):
        try:
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if flush:
                system.sync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


def json_bytes(tree: Mapping[str, Any]) -> bytes:
    """A JSON file that is also pleasant to read; ValueError rather than NaN."""
    text = json.dumps(tree, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # an argument that is not UTF-8 becomes \udcff


def read_json(path: Path, limit: int) -> dict[str, Any]:
    """A JSON file that holds a mapping of finite numbers.

    Raises DataError if it is damaged, and what `read_regular` raises.
    """
    try:
        content = read_regular(path, limit)
        document = json.loads(content, object_hook=_shared, parse_constant=_finite, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is damaged: line {error.lineno} is not JSON") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is damaged: expected UTF-8") from None
    except RecursionError:
        raise DataError(f"{path} is damaged: nested too deeply") from None
    except ValueError:
        raise DataError(f"{path} is damaged: a number is not finite") from None
    if not isinstance(document, dict):
        raise DataError(f"{path} is damaged: expected a mapping, got {shown(document)}")
    return document


def _shared(mapping: dict[str, Any]) -> dict[str, Any]:
    """A mapping whose texts are in memory once, whatever the number of documents that have them."""
    return {intern(key): intern(v) if type(v) is str else v for key, v in mapping.items()}


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0.0:
        raise ValueError(f"{text} is not a finite number")
    return number


def cell(value: Any) -> Any:
    """Numbers as `repr`; text that would be read as a number or evaluated as a formula gets a leading apostrophe.

    So does text that already looks guarded, which makes the guard reversible.
    """
    if isinstance(value, str):
        guarded = f"'{value}" if _needs_guard(value) else value
        return guarded.replace("\r", "\\u000d")  # csv would not quote it, and then not read it
    return repr(value) if isinstance(value, float) else "" if value is None else value


def text_of(cell: str) -> str | None:
    """The text from which `cell` made this cell; a carriage return stays `\\u000d`."""
    guarded = cell.startswith("'") and (_needs_guard(cell) or cell.lstrip("'").startswith("\\u000d"))
    return cell[1:] if guarded else cell or None


def _needs_guard(text: str) -> bool:
    bare = text.lstrip("'")
    return bare.startswith(_FORMULA) or NUMBER.fullmatch(bare) is not None


def table(rows: Iterable[Row], header: bool = True) -> bytes:
    """Rows as CSV; the columns are the keys of the first row."""
    return b"".join(table_parts(rows, header))


def table_parts(rows: Iterable[Row], header: bool = True) -> Iterator[bytes]:
    """`table` in parts of a thousand rows, for one that is longer than memory should hold."""
    rows = iter(rows)
    while part := list(islice(rows, 1000)):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if header:
            writer.writerow([cell(key) for key in part[0]])
            header = False
        writer.writerows([cell(value) for value in row.values()] for row in part)
        yield text.getvalue().encode("utf-8", "backslashreplace")
