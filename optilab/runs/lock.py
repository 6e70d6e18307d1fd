"""The lock of a run directory: it admits one writer, and its holder, not a status, shows that a run is alive."""

import contextlib
import errno
import os
import sys
import time
from pathlib import Path

from optilab.errors import RunError, SystemFailure, shown
from optilab.files import FILE_MODE, NO_LINK

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

WAIT_SECONDS = 0.5  # a reader that probes the lock holds it for an instant; a writer waits that long
_POLL_SECONDS = 0.02
_NAME = "run.lock"
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


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
            reason = "; this file system does not support locks" if error.errno in _NO_LOCKS else ""
            raise SystemFailure(f"cannot lock {path}: {error.strerror}{reason}") from None


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
