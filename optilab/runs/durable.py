"""Durable writes: a file is on disk, whole, when a function returns. Guarded reads: regular files of a limited size.

The lock of a run directory: it admits one writer, and its holder, not a status, shows that a run is alive.
"""

import contextlib
import errno
import io
import json
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from optilab.errors import DataError, RunError, SystemFailure, WriteFailure, shown

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_READ = os.O_RDONLY | NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

FILE_MODE, FOLDER_MODE = 0o644, 0o755
"""The most that any umask leaves: nothing in a run is writable by others."""


@contextlib.contextmanager
def write_errors(path: Path, size: int | None = None) -> Iterator[None]:
    """Turn an OSError into a WriteFailure that names the path and the bytes that were needed."""
    try:
        yield
    except OSError as error:
        needs = f" (needs {size:,} bytes)" if size is not None else ""
        reason = f"{error.strerror or error}{needs}"
        if isinstance(error, FileNotFoundError) and not path.absolute().parent.exists():
            reason = f"there is no directory {path.parent}; create it with: mkdir -p {quote(str(path.parent))}"
        raise WriteFailure(f"cannot write {path}: {reason}") from None


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
        with open(path, "rb", buffering=0, opener=lambda name, _: os.open(name, _READ)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{path} is not a regular file")
            yield file, status.st_size
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DataError(f"{path} is a link; a run's files are its own") from None
        if error.errno in (errno.EISDIR, errno.ENXIO):  # a directory, a socket
            raise DataError(f"{path} is not a regular file") from None
        raise SystemFailure(f"cannot read {path}: {error.strerror}") from None


def is_regular(path: Path, limit: int) -> bool:
    """Whether it is a regular file of at most `limit` bytes, as `read_regular` reads it."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size <= limit


def make_folder(path: Path) -> None:
    """A directory and its missing parents; whatever the umask, only their owner can write in them."""
    for folder in reversed([path, *path.parents]):
        if not folder.is_dir():
            folder.mkdir(FOLDER_MODE, exist_ok=True)


def write_new(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Write a new file, of one piece or of many, that is on disk when this returns.

    Never through a link, never over a file.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, FILE_MODE)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        for part in [data] if isinstance(data, bytes) else data:
            view = memoryview(part)
            while view:
                view = view[file.write(view) :]
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Flush a directory's names to disk."""
    if os.name == "posix":  # elsewhere a directory cannot be opened
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_directory(path.parent)


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
    data, flags = line(end == 0), os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_LINK
    with write_errors(path, len(data)), os.fdopen(os.open(path, flags, FILE_MODE), "ab", buffering=0) as file:
        try:
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if flush:
                os.fsync(file.fileno())
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
        document = json.loads(read_regular(path, limit), parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:  # RecursionError: nested by the thousand
        where = f": line {error.lineno} is not JSON" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{path} is damaged{where}") from None
    if not isinstance(document, dict):
        raise DataError(f"{path} is damaged")
    return document


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0.0:
        raise ValueError(f"{text} is not a finite number")
    return number


# --- the lock -------------------------------------------------------------------------------------------------

WAIT_SECONDS = 0.5  # a reader that probes the lock holds it for an instant; a writer waits that long
_POLL_SECONDS = 0.02
_NAME = "run.lock"
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_ADVICE = (
    "; this file system does not support locks, as some network file systems do not: "
    "choose a local directory with --runs-dir or OPTILAB_RUNS"
)


class Lock:
    """An open lock file. The kernel releases its lock when the process ends, however it ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def acquire(self) -> None:
        """Lock the open file at once, or raise BlockingIOError."""
        if sys.platform == "win32":
            try:
                msvcrt.locking(self._descriptor, msvcrt.LK_NBLCK, 1)
            except PermissionError:
                raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK)) from None
        else:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_of(self, path: Path) -> bool:
        """Whether this is still the lock of the run at `path`: its file has not been deleted or replaced."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(path / _NAME, follow_symlinks=False))
        except OSError:
            return False

    def release(self) -> None:
        """Let another process write the run; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def hold(path: Path, seconds: float = 0.0) -> Lock:
    """The lock of a run. RunError if another process still holds it after `seconds`, SystemFailure without locks."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if (lock := _attempt(path)) is not None:
                return lock
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise RunError(f"run {shown(path.name)} is running in another process") from None
            time.sleep(_POLL_SECONDS)
        except OSError as error:
            advice = _ADVICE if error.errno in _NO_LOCKS else ""
            raise SystemFailure(f"cannot lock {path}: {error.strerror}{advice}") from None


def _attempt(path: Path) -> Lock | None:
    """The lock, or None if its file was removed in the meantime; BlockingIOError if another process holds it."""
    flags = os.O_RDWR | os.O_CREAT | NO_LINK | getattr(os, "O_CLOEXEC", 0)
    lock = Lock(os.open(path / _NAME, flags, FILE_MODE))
    try:
        lock.acquire()
        held = lock.is_of(path)
    except BaseException:
        lock.release()
        raise
    if held:
        return lock
    lock.release()
    return None


def is_held(path: Path) -> bool:
    """Whether a process writes the run; probed without writing, so that it works on a read-only disk."""
    if sys.platform == "win32":
        try:
            hold(path).release()
        except RunError:
            return True
        return False
    with contextlib.suppress(OSError):
        descriptor = os.open(path / _NAME, os.O_RDONLY | NO_LINK | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False
