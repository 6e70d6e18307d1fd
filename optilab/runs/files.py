"""Files that are on the disk, whole, when a function returns; errors that say what could not be written."""

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from optilab.errors import SystemFailure

NO_LINK = getattr(os, "O_NOFOLLOW", 0)


@contextlib.contextmanager
def telling(path: Path, size: int | None = None) -> Iterator[None]:
    """Turn an OSError into a SystemFailure that names the path and the bytes it needed."""
    try:
        yield
    except OSError as error:
        needs = f" (needs {size:,} bytes)" if size is not None else ""
        raise SystemFailure(f"cannot write {path}: {error.strerror or error}{needs}") from None


def write_new(path: Path, data: bytes) -> None:
    """A new file, on the disk when this returns; never through a link, never over a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, 0o666)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    if os.name == "posix":  # elsewhere a directory cannot be opened
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file as a whole: after a crash there is the old one or the new one. SystemFailure on an error."""
    temporary = path.with_name(f".{path.name}.tmp-{secrets.token_hex(4)}")
    with telling(path, len(data)):
        try:
            write_new(temporary, data)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_directory(path.parent)


def append(path: Path, line: Callable[[bool], bytes]) -> None:
    """Add `line(whether it is the file's first)`: it is there whole, on the disk, or not at all. SystemFailure."""
    end = path.stat().st_size if path.exists() else 0
    data, flags = line(end == 0), os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_LINK
    with telling(path, len(data)), os.fdopen(os.open(path, flags, 0o666), "ab", buffering=0) as file:
        try:
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


def json_bytes(tree: Mapping[str, Any]) -> bytes:
    """A JSON file for programs and for eyes; ValueError rather than NaN."""
    text = json.dumps(tree, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # an argument that was no UTF-8 becomes \udcff
