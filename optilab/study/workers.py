"""Workers for the tasks of a study: processes of this machine, or the workers of a dask scheduler.

A task is a call of `optilab.train.worker` in plain data, its reply is a mapping; the files of a trial are written by
its worker, in the directory of the study. A trial whose worker died is begun again by the study, and resumes.
"""

import atexit
import contextlib
import json
import logging
import os
import re
import selectors
import socket
import subprocess
import sys
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from optilab import system
from optilab.errors import SystemFailure, UsageError, shown
from optilab.runs.lock import is_held

if TYPE_CHECKING:
    from distributed import Client, Future

Task = Mapping[str, Any]
"""`call`, its `arguments` and the `versions` of the study."""
Reply = Mapping[str, Any]
"""`status`, `reason`, `seconds`, and what the call returns."""

_PACKAGE, _MODULE = "optilab.train", "optilab.train.worker"
"""What is run as a worker, and as the template of workers, by name, because only these import torch."""
_POLL_SECONDS = 0.1
_WATCH_SECONDS = 0.5
_CONNECT_SECONDS = 10
_PATIENCE_SECONDS = 10.0
_END_SECONDS = 30.0


START_SECONDS = 0.0 if system.FORKS else 3.0
"""About what a worker takes to import PyTorch, where it is not forked from a process that has."""


class WorkersLost(SystemFailure):
    """No worker is left: the study ends, to be continued."""


class Workers(ABC):
    """Run tasks by name. As a context manager it stops them at its end, and waits for that."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """The number of tasks that can run at once; that of a cluster may change."""

    @abstractmethod
    def begin(self, name: str, task: Task) -> None:
        """Start a task; at most `slots` may be running."""

    @abstractmethod
    def ended(self) -> Iterator[tuple[str, Reply | None]]:
        """Wait a moment; the tasks that have ended, with None where the worker died or was stopped.

        `refused` is the status of a task that has to be begun at another worker. WorkersLost where none is left.
        """

    @abstractmethod
    def stop(self) -> None:
        """Ask the running tasks to stop."""

    @abstractmethod
    def close(self) -> None:
        """Stop, and wait for the end of all tasks."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def call(self, task: Task, stop: Callable[[], bool] = lambda: False) -> Reply | None:
        """The reply to one task, next to which none is running; None also where a stop was requested before."""
        while self.slots == 0:
            if stop():
                return None
            list(self.ended())
        self.begin("", task)
        while True:
            for _, reply in self.ended():
                return reply


# --- this machine ------------------------------------------------------------------------------------------


class Processes(Workers):
    """Processes of this machine, each for one task at a time."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._idle: list[Process] = []
        self._busy: dict[Process, str] = {}

    @property
    def slots(self) -> int:
        return self._slots

    def begin(self, name: str, task: Task) -> None:
        process = self._idle.pop() if self._idle else Process()
        process.begin(task)
        self._busy[process] = name

    def ended(self) -> Iterator[tuple[str, Reply | None]]:
        for process in _ready(self._busy):
            name, reply = self._busy.pop(process), process.reply()
            if reply:
                self._idle.append(process)
            else:
                process.join()
                _discard_templates()  # one that is dying would fail the next attempt, too
            if reply and reply["status"] == "refused":
                raise WorkersLost(f"a worker process cannot take part: {reply['reason']}")
            yield name, reply

    def stop(self) -> None:
        for process in self._busy:
            process.stop()

    def close(self) -> None:
        for process in (processes := [*self._idle, *self._busy]):
            process.stop()
        for process in processes:
            process.join()


class Process:
    """A worker process, at the other end of a connection."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None  # that of a worker which is not forked
        if system.FORKS:
            self._connection = _forked()
        else:
            self._process, self._connection = _started()
        self._replies = self._connection.makefile("rb")

    def fileno(self) -> int:
        return self._connection.fileno()

    def begin(self, task: Task) -> None:
        with contextlib.suppress(OSError):  # it died while it was idle, as its reply will say
            system.send(self._connection, json.dumps(task).encode() + b"\n")

    def reply(self) -> Reply | None:
        """The reply to its task; None where the process has ended without one, or was stopped."""
        with contextlib.suppress(OSError):
            if (line := self._replies.readline()).endswith(b"\n"):
                reply: Reply = json.loads(line)
                return reply if reply["status"] != "interrupted" else None
        return None

    def stop(self) -> None:
        """End it after its task, which stops at the next batch."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def join(self) -> None:
        """Wait for the end of the process."""
        with contextlib.suppress(OSError), self._connection, self._replies:
            self._replies.read()
        if self._process:
            self._process.wait()


def _forked() -> socket.socket:
    """The connection to a worker that the template forks, and which has PyTorch at once."""
    connection, worker_end = socket.socketpair()
    with worker_end:
        _template().fork(worker_end)
    return connection


def _started() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A worker that imports PyTorch by itself, and the connection to it."""
    directory, environment = _surroundings()
    prints = 2 if sys.stderr else subprocess.DEVNULL
    command = [sys.executable, "-P", "-m", _PACKAGE]
    return system.start(command, stdout=prints, cwd=directory, env=environment)


def _ready(processes: Iterable[Process]) -> list[Process]:
    """The processes that have answered or ended, after a moment at most."""
    with selectors.DefaultSelector() as selector:
        for process in processes:
            selector.register(process, selectors.EVENT_READ, process)
        return [key.data for key, _ in selector.select(_POLL_SECONDS)]


class _Template:
    """The process that imports PyTorch, and of which all workers are forked. It ends with this process."""

    def __init__(self, directory: str, environment: Mapping[str, str]) -> None:
        self.directory, self.environment = directory, environment
        self._connection, worker_end = socket.socketpair()
        prints = 2 if sys.stderr else subprocess.DEVNULL  # what a user's code prints is not part of a reply
        command = [sys.executable, "-P", "-m", _MODULE]
        with worker_end:
            self._process = subprocess.Popen(
                command,
                stdin=worker_end.fileno(),
                stdout=prints,
                cwd=directory,
                env=environment,
                **system.OWN_GROUP,
            )
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End it; its workers go on."""
        self._connection.close()
        self._process.wait()

    def fork(self, connection: socket.socket) -> None:
        """Make a worker at the other end of a connection."""
        with contextlib.suppress(OSError):  # it has died: nobody has the connection then, which is seen there
            system.send_descriptor(self._connection, connection.fileno())


_templates: list[_Template] = []
_starting = threading.Lock()


def _template() -> _Template:
    """The template of this process, for its directory, environment and modules; it stays for further studies."""
    directory, environment = _surroundings()
    with _starting:
        ready = [t for t in _templates if t.alive and (t.directory, t.environment) == (directory, environment)]
        if not ready:
            _discard_templates()
            ready = [_Template(directory, environment)]
            _templates.extend(ready)
        return ready[0]


def _surroundings() -> tuple[str, dict[str, str]]:
    """The directory and the environment of workers: modules come from where this process has them, and the threads of
    OpenBLAS, which a fork would lose, are not started."""
    path = os.pathsep.join(map(str, sys.path))
    return os.getcwd(), {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}


def _discard_templates() -> None:
    """End them; their workers go on."""
    while _templates:
        _templates.pop().close()


# --- a cluster ---------------------------------------------------------------------------------------------


class Cluster(Workers):
    """The workers of the dask scheduler at `address` (tcp://HOST:PORT, or its scheduler file), on a shared disk.

    A worker runs one task per thread at once. It is refused, with a `note`, where its versions are others than here,
    or where it does not see `paths`: the study, and what its trials read. UsageError for what is not an address and
    without the extra, SystemFailure where no scheduler answers.
    """

    def __init__(
        self, address: str, paths: Sequence[Path], note: Callable[[str], None], at_most: int | None = None
    ) -> None:
        self._client, self._address = _connect(address), address
        self._paths, self._note, self._at_most = [str(path.absolute()) for path in paths], note, at_most
        self._threads = dict[str, int]()  # of the workers that are there
        self._refused = set[str]()
        self._tasks: dict[str, tuple[str, Future[Reply | None]]] = {}  # the worker of each
        self._stopped = set[str]()
        self._looked, self._seen = 0.0, time.monotonic()
        self._refresh_workers()

    @property
    def slots(self) -> int:
        threads = sum(count for worker, count in self._threads.items() if worker not in self._refused)
        return threads if self._at_most is None else min(threads, self._at_most)

    def begin(self, name: str, task: Task) -> None:
        busy = Counter(worker for worker, _ in self._tasks.values())
        free = {w: count - busy[w] for w, count in self._threads.items() if w not in self._refused}
        worker = max(free, key=lambda worker: free[worker])
        with self._until_closed():
            # At this worker and no other: where it is lost, the study counts an attempt.
            future = self._client.submit(at_worker, task, self._paths, workers=[worker], retries=0, pure=False)
            self._tasks[name] = worker, future

    def ended(self) -> Iterator[tuple[str, Reply | None]]:
        time.sleep(_POLL_SECONDS)
        self._refresh_workers()
        for name, (worker, future) in [*self._tasks.items()]:
            if future.done() or worker not in self._threads:
                del self._tasks[name]
                yield name, self._reply(worker, future)

    def _reply(self, worker: str, future: "Future[Reply | None]") -> Reply | None:
        if future.status in ("pending", "cancelled", "lost"):
            with self._until_closed():
                future.cancel()
            return None
        try:
            reply = future.result(timeout=_CONNECT_SECONDS)
        except Exception as error:
            lost = isinstance(error, TimeoutError) or type(error).__name__ == "KilledWorker"
            if lost or self._client.status == "closed":
                return None
            reply = {"status": "refused", "reason": f"it has another optilab than here, or none ({error})"}
        if reply and reply["status"] == "refused":
            self._refused.add(worker)
            self._note(f"worker {worker} is refused: {reply['reason']}")
        return reply

    def _refresh_workers(self) -> None:
        """Notice workers that come and go, and the end of the scheduler."""
        if self._client.status == "closed":  # dask has tried to connect again
            raise WorkersLost(f"the scheduler at {self._address} is gone")
        if self._client.status == "running" and time.monotonic() - self._looked > _WATCH_SECONDS:
            with contextlib.suppress(OSError):
                self._threads = dict(self._client.nthreads())
            self._looked = time.monotonic()
        if self.slots or self._tasks:
            self._seen = time.monotonic()
        elif self._threads:
            raise WorkersLost(f"no worker at {self._address} can take part")
        elif time.monotonic() - self._seen > _PATIENCE_SECONDS:
            self._note(f"no worker at {self._address} yet; waiting for one")
            self._seen = float("inf")

    @contextlib.contextmanager
    def _until_closed(self) -> Iterator[None]:
        """Ignore the errors of a client once the scheduler is gone, which the next call reports."""
        try:
            yield
        except Exception:
            if self._client.status != "closed":
                raise

    def stop(self) -> None:
        self._stopped.update(self._tasks)
        with self._until_closed():
            for _, future in self._tasks.values():
                future.cancel()

    def close(self) -> None:
        self.stop()
        deadline = time.monotonic() + _END_SECONDS
        runs = [Path(self._paths[0]) / name for name in self._stopped if name]
        while any(map(is_held, runs)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._client.close(timeout=_CONNECT_SECONDS)


def at_worker(task: Task, paths: Sequence[str]) -> Reply | None:
    """At a worker of dask: the reply of a process of this machine, which stops when the study takes the task away.

    The study's directory is on a shared disk where its lock is seen, which the study holds.
    """
    from distributed import get_worker

    absent = [path for path in paths if not Path(path).exists()]
    if absent or not is_held(Path(paths[0])):
        return {"status": "refused", "reason": f"it does not see {(absent or [f'the lock of {paths[0]}'])[0]}"}
    worker, process = get_worker(), Process()
    key = worker.get_current_task()
    process.begin(task)
    while not _ready([process]):
        current = worker.state.tasks.get(key)
        if current is None or current.state == "cancelled":
            process.stop()
    reply = process.reply()
    process.stop()
    process.join()
    return reply


def _connect(address: str) -> "Client":
    """A client of the scheduler. UsageError or SystemFailure where there is none."""
    to = address if re.fullmatch(r"(tcp|tls)://[^/]+:\d+", address) else _address_in(Path(address))
    try:
        from distributed import Client
    except ImportError:
        raise UsageError(
            "dask.distributed is not installed: pip install distributed (the extra cluster)", "--cluster"
        ) from None
    for name in ("distributed", "tornado", *logging.root.manager.loggerDict):
        if name.startswith(("distributed", "tornado")):  # each may have a level of its own
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters of it is an error of ours

    class Connection(Client):
        """A client that prints no traceback where it cannot connect."""

        def __del__(self) -> None:
            with contextlib.suppress(Exception):
                super().__del__()  # type: ignore[no-untyped-call]  # dask's

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other versions of Python and dask, which change no result
            return Connection(to, timeout=_CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError):
        raise SystemFailure(f"no dask scheduler answers at {address}") from None
    except Exception as error:
        raise UsageError(f"{shown(address)} is not the address of a scheduler: {error}", "--cluster") from None


def _address_in(file: Path) -> str:
    """The address in a scheduler file. UsageError for another file, or one that is not whole yet."""
    try:
        return str(json.loads(file.read_bytes())["address"])
    except (OSError, ValueError, TypeError, LookupError):
        accepted = "expected tcp://HOST:PORT or the file of `dask scheduler --scheduler-file`"
        raise UsageError(f"{accepted}, got {shown(str(file))}", "--cluster") from None
