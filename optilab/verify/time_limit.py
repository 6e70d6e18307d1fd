"""A user's code in a process of its own, which is ended when it takes too long.

The clock runs only while the user's code does, not during the comparison. Where processes cannot be forked (Windows),
the code runs in this one, without a limit.
"""

import contextlib
import mmap
import os
import pickle
import signal
import struct
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from optilab.errors import OptilabError, UsageError
from optilab.optimize.own import origin

POLL_SECONDS = 0.02
_STATE = struct.Struct(
    "dq"
)  # when the user's code was entered (0: it is not running), and the step, 0 while loading
_shared: mmap.mmap | None = None


@contextlib.contextmanager
def counted(step: int) -> Iterator[None]:
    """The user's code runs inside: step 0 loads the file, step t computes the t-th point."""
    if _shared is not None:
        _STATE.pack_into(_shared, 0, time.monotonic(), step)
    try:
        yield
    finally:
        if _shared is not None:
            _STATE.pack_into(_shared, 0, 0.0, step)


def run(work: Callable[[], Any], label: str, seconds: float) -> Any:
    """The result of `work()`, computed in a child process.

    Raises what `work` raises of optilab's own errors, and UsageError if the user's code is inside `counted` for more
    than `seconds` at a time, or ends the process.
    """
    if not hasattr(os, "fork"):
        return work()
    global _shared
    origin.clock = counted
    _shared = mmap.mmap(-1, _STATE.size)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of threads that a fork does not copy; those of the libraries here are idle
        child = os.fork()
    if child == 0:
        os.close(reader)
        _answer(work, writer)
    os.close(writer)
    try:
        return _result(reader, child, label, seconds)
    finally:
        _shared = None
        origin.clock = origin.unlimited
        os.close(reader)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _answer(work: Callable[[], Any], writer: int) -> None:
    """In the child: send the result or the error, and end without cleaning up what belongs to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.dup2(2, 1)  # stdout is the verdict's
    try:
        answer: tuple[str, Any] = ("result", work())
    except OptilabError as error:
        answer = ("error", error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # replaced or closed by the user's code
            stream.flush()
    with os.fdopen(writer, "wb") as pipe:
        pickle.dump(answer, pipe)
    os._exit(0)


def _result(reader: int, child: int, label: str, seconds: float) -> Any:
    os.set_blocking(reader, False)
    data = bytearray()
    status: int | None = None
    while True:
        try:
            chunk = os.read(reader, 1 << 16)
        except BlockingIOError:
            if status is not None:  # a process that the code has forked keeps the pipe open
                break
            status = _ended(child)
            since, step = _STATE.unpack_from(_shared or b"", 0)
            if since and time.monotonic() - since > seconds:
                where = f"step {step}" if step else "loading the file"
                raise UsageError(f"{label}: {where} took more than {seconds:g} s (--timeout)") from None
            time.sleep(POLL_SECONDS)
            continue
        if not chunk:
            break
        data += chunk
    if not data:
        status = os.waitpid(child, 0)[1] if status is None else status
        raise UsageError(f"{label}: the code ended the process ({_reason(status)})")
    kind, value = pickle.loads(bytes(data))
    if kind == "error":
        raise value
    return value


def _ended(child: int) -> int | None:
    """The status with which the child has ended; None while it runs."""
    pid, status = os.waitpid(child, os.WNOHANG)
    return status if pid else None


def _reason(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else f"exit status {code}"
