"""Worker processes on this machine, each for one trial at a time on one thread.

They come from a fork server that has imported torch once, so a trial starts in a fraction of a second; where there is
no fork server, and for a GPU, they are spawned. A worker stops its trial when the study asks it to, when it gets
SIGTERM, and when the study's process or the fork server is gone.
"""

import contextlib
import multiprocessing
import os
import pkgutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, util
from multiprocessing.context import BaseContext
from pathlib import Path
from threading import Lock, Thread
from types import ModuleType
from typing import Any, Protocol, Self

from optilab.errors import SystemFailure, UsageError

Ended = dict[str, Any]
"""What the function that a worker calls returns for a trial."""

_CHECK_SECONDS = 0.1
_START_SECONDS = 30.0
_SYSTEM_CPUS = Path("/sys/devices/system/cpu")


class Workers(Protocol):
    """Where trials run: this machine or a cluster."""

    @property
    def slots(self) -> int:
        """Trials at once; a cluster's number changes."""

    def submit(self, function: str, arguments: Mapping[str, Any]) -> "Future[Ended]":
        """Call a function, by its dotted name, with these arguments and `stop`; at most `slots` may be running."""

    def result(self, future: "Future[Ended]") -> Ended:
        """What a trial that has ended returned; its run directory is in the study then. Else WorkerDied."""

    def stop(self) -> None:
        """Ask the running trials to commit and stop."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None:
        """Stop, and wait for the workers to end."""


WorkerDied = BrokenProcessPool
"""Raised by the result of a trial whose process was killed, or crashed."""


class AnswerRefused(WorkerDied):
    """Raised by the result of a trial whose worker answered what cannot be: the trial is begun elsewhere."""


class WorkersLost(SystemFailure):
    """Raised by the result of every trial where there are no workers left: the study ends, to be continued."""


_starting = Lock()
"""Held while the environment and `__main__` are those of a new process."""


class Pool:
    """`Workers` on this machine. `module` is what the fork server imports, once for all of them.

    One executor of one process per slot, rather than one of many: the death of a process is then the death of one
    known trial, and leaves the others alone.
    """

    def __init__(self, module: str, slots: int, fork: bool = True) -> None:
        if multiprocessing.current_process().daemon:
            raise UsageError(
                "a study starts processes, which a daemonic process, such as a worker of multiprocessing.Pool, may "
                "not; call it from the main process, or from a worker of concurrent.futures.ProcessPoolExecutor"
            )
        self.slots = slots
        self._context = _context(module, fork)
        self._stop = self._context.Event()
        self._idle: list[ProcessPoolExecutor] = []
        self._busy: set[ProcessPoolExecutor] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        for executor in [*self._idle, *self._busy]:
            executor.shutdown()

    def submit(self, function: str, arguments: Mapping[str, Any]) -> "Future[Ended]":
        """Call it in an idle process, or in a new one."""
        deadline = time.monotonic() + _START_SECONDS
        with _start_apart():  # the process, and the fork server before the first one, start in `submit`
            while True:
                executor = self._idle.pop() if self._idle else self._new()
                try:
                    with contextlib.ExitStack() as start:
                        start.enter_context(_interrupts_blocked())
                        if self._context.get_start_method() == "forkserver":
                            forkserver.ensure_running()
                            start.close()  # `submit` waits until it has imported torch
                        future = executor.submit(_call, function, dict(arguments))
                    break
                except (BrokenProcessPool, EOFError, ConnectionError):
                    # It died while it was idle; or the server is dying, and another one starts when it is gone.
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_CHECK_SECONDS)
        self._busy.add(executor)
        future.add_done_callback(lambda done: self._ended(executor, done))
        return future

    def result(self, future: "Future[Ended]") -> Ended:
        return future.result()

    def stop(self) -> None:
        self._stop.set()

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, mp_context=self._context, initializer=_begin, initargs=(self._stop,))

    def _ended(self, executor: ProcessPoolExecutor, done: "Future[Ended]") -> None:
        self._busy.discard(executor)
        if not isinstance(done.exception(), BrokenProcessPool):
            self._idle.append(executor)


def _context(module: str, fork: bool) -> BaseContext:
    if not fork or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """The interpreters that start here do not get Ctrl-C, which the study gets: in an import it is a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _start_apart() -> Iterator[None]:
    """The interpreters that start here do not import modules from the working directory, nor the user's script.

    multiprocessing would run a script once more in every worker, and a script that starts a study there without
    `if __name__ == "__main__"` would start another; what a worker calls is named by its module. Nor do their linear
    algebra libraries start threads, which a fork would lose.
    """
    changes = {"PYTHONSAFEPATH": "1", "OPENBLAS_NUM_THREADS": "1"}
    with _starting:
        before = {name: os.environ.get(name) for name in changes}
        script = sys.modules["__main__"]
        os.environ.update(changes)
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = script
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def cores() -> int:
    """Physical cores that this process may use; processors where the system does not tell them apart."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    siblings = set()
    for number in allowed:
        try:
            text = (_SYSTEM_CPUS / f"cpu{number}/topology/thread_siblings_list").read_text()
        except OSError:
            return len(allowed)
        siblings.add(text)
    return len(siblings)


# --- in the worker -----------------------------------------------------------------------------------------


class _Stop:
    """Called, it returns whether the trial is to stop."""

    def __init__(self, requested: Any) -> None:
        self._requested = requested
        self._study, self._server = multiprocessing.parent_process(), os.getppid()
        self._checked, self.terminated = 0.0, False

    def __call__(self) -> bool:
        if self.terminated or time.monotonic() - self._checked < _CHECK_SECONDS:
            return self.terminated
        self._checked = time.monotonic()
        orphan = os.getppid() != self._server or (self._study is not None and not self._study.is_alive())
        return orphan or bool(self._requested.is_set())


_stop: _Stop
_trial = Lock()
"""Held while a trial runs."""


def _begin(requested: Any) -> None:
    """Prepare the process: Ctrl-C in a terminal reaches the study, which asks this process to stop.

    An idle process would not notice that its study was killed.
    """
    global _stop
    _stop = _Stop(requested)
    # Last of what multiprocessing does before it waits for threads that are no daemons: a user's may never end.
    util.Finalize(None, os._exit, (0,), exitpriority=-100)
    Thread(target=_end_with_study, daemon=True).start()

    def terminate(number: int, frame: Any) -> None:
        _stop.terminated = True

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, terminate)


def _end_with_study() -> None:
    study = multiprocessing.parent_process()
    if study is not None:
        study.join()
        with _trial:  # it stops by itself, at a checkpoint
            os._exit(0)


def _call(function: str, arguments: dict[str, Any]) -> Ended:
    _stop.terminated = False  # SIGTERM ended a trial, not the process
    with _trial:
        return pkgutil.resolve_name(function)(**arguments, stop=_stop)  # type: ignore[no-any-return]
