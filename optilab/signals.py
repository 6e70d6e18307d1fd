"""How a process ends: a signal sets a flag, which the epoch loop checks after every batch, and os._exit is guarded."""

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from optilab import system
from optilab.errors import ExitCode, Interrupted

_SHOW_CURSOR = b"\x1b[?25h"


@dataclass
class Stop:
    """A request to stop: `signal` is the first signal that made it, None before."""

    signal: int | None = None

    @property
    def requested(self) -> bool:
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
    """Turn the signals of `system.STOPS` into requests to stop; a second SIGINT ends the process at once.

    A signal that was ignored at the start (`nohup`, `cmd &` in a script) stays ignored. A reader of stdout that
    leaves (`| head`) does not stop the process: the run is worth more than its log. Where SIGINT is Python's own
    KeyboardInterrupt (a script, a notebook), the second one raises that. Signals reach the main thread alone: in
    another one, none requests a stop.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: Any) -> None:
        if stop.signal is None:
            stop.signal = number
        elif number == signal.SIGINT:
            if before[number] is signal.default_int_handler:
                raise KeyboardInterrupt
            die_of(number)

    before = {number: signal.getsignal(number) for number in system.STOPS}
    for number in system.STOPS:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, handle)
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
    if system.BROKEN_PIPE is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(system.BROKEN_PIPE, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(system.BROKEN_PIPE, before)


def die_of(number: int) -> NoReturn:
    """End this process by a real signal, so that a shell loop around it stops as well."""
    with contextlib.suppress(OSError):
        if sys.stderr.isatty():
            os.write(2, _SHOW_CURSOR)
    system.end_by(number)
    raise SystemExit(128 + number)  # where there is no such signal, or it is blocked


class ExitGuard:
    """Takes the place of os._exit, by which code of a user's would end a command with 0, as if its claims held."""

    status: int | None = None
    """The status of the command, once it has ended."""

    def __init__(self) -> None:
        self._exit, self._process, self._threads = os._exit, os.getpid(), {*threading.enumerate()}
        os._exit = self

    def __call__(self, status: int) -> NoReturn:
        """Raise SystemExit, so that the error names the line.

        In a thread, or after the command (`atexit`), leave with the status of the command, or of an error. A fork ends
        with the status that it asks for.
        """
        if os.getpid() == self._process:
            if self.status is None and threading.current_thread() is threading.main_thread():
                raise SystemExit(f"os._exit({status})")
            status = status or (ExitCode.USAGE if self.status is None else self.status)
        self._exit(status)

    def leave(self) -> NoReturn:
        """End with the status of the command, without waiting for threads that a user's file has started."""
        if any(not thread.daemon for thread in {*threading.enumerate()} - self._threads):
            atexit._run_exitfuncs()
            self._exit(self.status or 0)
        sys.exit(self.status)
