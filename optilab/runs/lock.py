"""The lock of a run directory: it admits one writer, and its holder, not a status, shows that a run is alive."""

import contextlib
import os
import time
from pathlib import Path

from optilab import system
from optilab.errors import RunError, SystemFailure, shown
from optilab.files import FILE_MODE

WAIT_SECONDS = 0.5
"""A writer waits that long: a reader that probes the lock holds it for an instant, as may a child of a killed one."""
_POLL_SECONDS = 0.02
_NAME = "run.lock"


class Lock:
    """An open lock file. The kernel releases its lock when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """Lock the run at once; BlockingIOError where another process holds it."""
        self._descriptor = system.lock(path / _NAME, FILE_MODE)

    def is_of(self, path: Path) -> bool:
        """True if this is still the lock of the run at `path`: its file has not been deleted or replaced."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(path / _NAME, follow_symlinks=False))
        except OSError:
            return False

    def require(self, path: Path) -> None:
        """RunError if run.lock was deleted or replaced: another process may be writing this run or study now."""
        if not self.is_of(path):
            raise RunError(f"{path / _NAME} was deleted while {path} was being written")

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
            if (lock := Lock(path)).is_of(path):
                return lock
            lock.release()  # the file was removed in the meantime
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise RunError(f"run {shown(path.name)} is running in another process") from None
            time.sleep(_POLL_SECONDS)
        except OSError as error:
            reason = "; this file system does not support locks" if error.errno in system.NO_LOCKS else ""
            raise SystemFailure(f"cannot lock {path}: {error.strerror}{reason}") from None


def is_held(path: Path) -> bool:
    """True if a process writes the run; probed without writing, so that it works on a read-only disk."""
    with contextlib.suppress(OSError):
        return system.is_locked(path / _NAME)
    return False
