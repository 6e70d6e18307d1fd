"""The lock of a run directory: it has one writer, and its holder, not a status, says that a run is alive."""

import os
import sys
from pathlib import Path
from typing import Any

from optilab.errors import RunError, SystemFailure, shown
from optilab.runs.files import NO_LINK

WAIT_SECONDS = 0.5  # a reader that probes the lock holds it for an instant; a writer waits that out


def hold(path: Path, seconds: float = 0.0) -> Any:
    """The lock of a run; RunError if another process still holds it after `seconds`."""
    from filelock import FileLock, Timeout  # imports asyncio, which only a training run can afford

    lock = FileLock(path / "run.lock")
    try:
        lock.acquire(timeout=seconds, poll_interval=0.02)
    except Timeout:
        raise RunError(f"run {shown(path.name)} is running in another process") from None
    except OSError as error:
        raise SystemFailure(f"cannot lock {path}: {error.strerror}") from None
    return lock


def is_held(path: Path) -> bool:
    """Whether a process writes the run; asked without writing, so that a read-only disk can be read."""
    if sys.platform == "win32":
        try:
            hold(path).release()
        except RunError:
            return True
        return False
    import fcntl

    try:
        descriptor = os.open(path / "run.lock", os.O_RDONLY | NO_LINK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
