"""Stopping on request: a signal sets a flag, and the epoch loop checks it after every batch."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from optilab.errors import Interrupted

_SHOW_CURSOR = b"\x1b[?25h"


@dataclass
class Stop:
    """Called, it returns whether a stop was requested; `signal` is the first signal that did."""

    signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None


def interruptible(stop: Stop) -> None:
    """From here on SIGINT is noted in `stop` and raises Interrupted, unless it is ignored."""

    def interrupted(number: int, frame: Any) -> None:
        stop.signal = number
        raise Interrupted

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupted)


@contextlib.contextmanager
def on_signal() -> Iterator[Stop]:
    """Turn SIGINT, SIGTERM and SIGHUP into requests to stop; a second SIGINT ends the process at once.

    A signal that was ignored at the start (`nohup`, `cmd &` in a script) stays ignored. A reader of stdout that
    leaves (`| head`) does not stop the process: the run is worth more than its log. Where SIGINT is Python's own
    KeyboardInterrupt (a script, a notebook), the second one raises that. Signals reach the main thread alone: in
    another one, none requests a stop.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def requested(number: int, frame: Any) -> None:
        if stop.signal is None:
            stop.signal = number
        elif number == signal.SIGINT:
            if before[number] is signal.default_int_handler:
                raise KeyboardInterrupt
            die_of(number)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {n: signal.getsignal(n) for n in numbers}
    for number in numbers:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, requested)
    try:
        with without_sigpipe():
            yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def without_sigpipe() -> Iterator[None]:
    """Make a write to a pipe or socket without a reader an OSError, which does not end the process.

    Signals belong to the main thread alone: in another one nothing changes.
    """
    if not hasattr(signal, "SIGPIPE") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGPIPE, before)


def die_of(number: int) -> None:
    """End this process by a real signal, so that a shell loop around it stops as well."""
    with contextlib.suppress(OSError):
        if sys.stderr.isatty():
            os.write(2, _SHOW_CURSOR)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
