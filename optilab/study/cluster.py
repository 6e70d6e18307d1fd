"""Workers of a dask cluster: whatever machines have a worker that is connected to one scheduler.

Each worker runs one trial per thread at once. Workers come and go while the study runs: a trial whose
worker is lost is begun again or, on a shared disk, resumed by another one. A worker is refused, by name, where its
optilab or torch is another than here. Results are fetched as soon as they are there, because they are lost with the
worker that has them; a run that comes from a worker's own disk is verified before it is published.
"""

import contextlib
import json
import logging
import re
import secrets
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from optilab.config.section import to_yaml
from optilab.config.training import TrainConfig
from optilab.errors import CheckpointError, DataError, SystemFailure, UsageError, shown
from optilab.runs import Record, read
from optilab.study import cluster_worker
from optilab.study.pool import AnswerRefused, Ended, WorkerDied, WorkersLost
from optilab.words import plural

if TYPE_CHECKING:
    from distributed import Client

_CONNECT_SECONDS = 10
_WATCH_SECONDS = 0.5
_PATIENCE_SECONDS = 3.0
_END_SECONDS = 30.0


@dataclass(frozen=True)
class _Task:
    """A trial, or a measurement without a `name`, on a worker; `future` is dask's."""

    worker: str
    future: Any
    config: TrainConfig
    name: str | None
    until: int


class Cluster:
    """`Workers` at the scheduler `address` (tcp://HOST:PORT, or its scheduler file) for the study in `study`.

    `dataset` is the dataset's directory or file, of which workers get a copy if they need one (None: it has no files),
    `digests` the SHA-256 of its files.
    At most `at_most` trials run at once. `note` gets a line for each worker that is refused; `stop` ends the waiting
    for the first worker. UsageError for what is not an address and without the extra, SystemFailure where no scheduler
    answers or every worker is refused.
    """

    def __init__(
        self,
        address: str,
        study: Path,
        dataset: Path | None,
        digests: Mapping[str, str],
        note: Callable[[str], None],
        stop: Callable[[], bool],
        at_most: int | None = None,
        fork: bool = True,
    ) -> None:
        self._client, self._address = _connect(address), address
        self._token = f"study-{secrets.token_hex(8)}"
        self._study, self._dataset, self._digests = study.absolute(), dataset and dataset.absolute(), digests
        self._files: cluster_worker.Files = {}
        if self._dataset is not None:
            folder = self._dataset if self._dataset.is_dir() else self._dataset.parent
            names = [*digests, *(f"{name}.gz" for name in digests), "SHA256SUMS"]
            self._files = cluster_worker.digests([folder / name for name in names])
        self._note, self._asked_to_stop, self._at_most, self._fork = note, stop, at_most, fork
        self._changed = threading.Condition()  # guards what follows
        self._threads: dict[str, int] = {}  # of the workers that take part
        self._present = set[str]()
        self._shared = set[str]()
        self._refused: dict[str, str] = {}
        self._tasks: dict[Future[Any], _Task] = {}
        self._lost, self._loss, self._closing = False, WorkersLost(), threading.Event()

    @property
    def slots(self) -> int:
        with self._changed:
            threads = sum(self._threads.values())
            return threads if self._at_most is None else min(threads, self._at_most)

    def __enter__(self) -> Self:
        self._mark.touch()
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            self._await_a_worker()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        wait([*self._tasks], timeout=_END_SECONDS)
        self._closing.set()
        self._mark.unlink(missing_ok=True)
        with contextlib.suppress(Exception):  # the scheduler may be gone
            if not self._lost:
                self._client.run(cluster_worker.farewell, self._token, on_error="ignore")
            self._client.close(timeout=_CONNECT_SECONDS)

    def submit(self, function: str, arguments: Mapping[str, Any]) -> "Future[Any]":
        """Call it on a worker that has a thread to spare, soon."""
        config, name = TrainConfig.model_validate(arguments["config"]), arguments.get("name")
        files = [code for code in config.own_files.values() if not code.module]
        future: Future[Any] = Future()
        with self._changed:
            self._changed.wait_for(lambda: self._lost or self._idle(), timeout=_END_SECONDS)
            if self._lost or not (worker := self._idle()):
                future.set_exception(self._loss if self._lost else WorkerDied("no worker is left"))
                return future
            away = worker not in self._shared and name is not None and (self._study / name).is_dir()
            call = {
                "token": self._token,
                "function": function,
                "arguments": dict(arguments),
                "before": cluster_worker.pack(self._study / str(name)) if away else None,
                "sources": {str(code.path): code.source for code in files},
                "fork": self._fork,
            }
            dasks = self._client.submit(cluster_worker.work, **call, workers=[worker], pure=False)
            self._tasks[future] = task = _Task(worker, dasks, config, name, arguments.get("until", 0))
        dasks.add_done_callback(lambda _: self._fetch(future, task))
        return future

    def result(self, future: "Future[Any]") -> Ended:
        task, answer = future.result()
        try:
            return self._believed(task, answer)
        except (DataError, CheckpointError) as error:
            self._refuse(task.worker, f"it answered what cannot be: {error}")
            raise AnswerRefused(f"worker {task.worker}: {error}") from None

    def _believed(self, task: _Task, answer: Any) -> Ended:
        """What a worker answers, checked; its run is in the study then. DataError or CheckpointError for what no worker
        of optilab answers."""
        if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], dict)):
            raise DataError(f"expected a result and files, got {shown(answer)}")
        ended: Ended = answer[0]
        files = answer[1]
        if task.name is None:
            require_numbers(ended, "seconds", "bytes")
            return ended
        require_ended(ended, task.config, task.until)
        path, away = self._study / task.name, task.worker not in self._shared
        if away and ended["status"] == "unwritten":  # the worker's own disk
            ended["status"] = "interrupted"
        if ended["status"] in HAVE_RUN and (files is None) == away:
            raise DataError(
                f"{'no ' if away else ''}files of the run, from a worker {'without' if away else 'with'} "
                "a shared disk"
            )
        if files is not None:
            cluster_worker.receive(files, path, lambda run: self._check(run, task.config, ended))
        elif ended["status"] in HAVE_RUN:
            self._check(read(path), task.config, ended)
        return ended

    def stop(self) -> None:
        def ask() -> None:
            with contextlib.suppress(Exception):  # a worker that is not reached is lost
                self._client.run(cluster_worker.stop, self._token, on_error="ignore")

        # A thread, for a worker that hangs; `wait` is for tasks, which have an end.
        threading.Thread(target=ask, daemon=True).start()

    # --- results -----------------------------------------------------------------------------------------------

    def _fetch(self, future: "Future[Any]", task: _Task) -> None:
        """Give a future what its task returned; in dask's thread for this."""
        answer: Any = None
        error: Exception | None = None
        try:
            answer = task.future.result()
        except BaseException as failed:  # asyncio's CancelledError is not an Exception
            lost = type(failed).__name__ in ("CancelledError", "FutureCancelledError", "KilledWorker")
            error = failed if isinstance(failed, Exception) and not lost else WorkerDied("the worker was lost")
        with self._changed:
            self._end(future, task, answer, error)

    def _end(self, future: "Future[Any]", task: _Task, answer: Any, error: Exception | None) -> None:
        if self._tasks.pop(future, None) is not None:
            if isinstance(error, WorkerDied):  # it may be another process at the same address
                self._threads.pop(task.worker, None)
            future.set_exception(error) if error else future.set_result((task, answer))
        self._changed.notify_all()

    def _check(self, run: Record, config: TrainConfig, ended: Ended) -> None:
        """DataError where a run is not that of the trial, or its rows are not what the worker reported."""
        others = () if ended["status"] in HAVE_RUN else ("interrupted", "failed")
        wrong = [
            what
            for what, same in {
                "its config": run.config == to_yaml(config),
                "its dataset": run.manifest.get("data", {}).get("sha256") == dict(self._digests),
                "its rows": ended["status"] not in HAVE_RUN or run.outcome() == ended["outcome"],
                "its status": run.manifest["status"] in (HAVE_RUN.get(ended["status"]), *others),
            }.items()
            if not same
        ]
        if wrong:
            raise DataError(f"a worker sent another run than it was asked for: {', '.join(wrong)} differ")

    # --- workers -----------------------------------------------------------------------------------------------

    @property
    def _mark(self) -> Path:
        """The file by which a worker recognizes that it sees the study's directory."""
        return self._study / f".{self._token}"

    def _idle(self) -> str | None:
        """The worker with the most threads to spare."""
        busy = Counter(task.worker for task in self._tasks.values())
        free = {worker: threads - busy[worker] for worker, threads in self._threads.items()}
        best = max(free, key=lambda worker: free[worker], default=None)
        return best if best is not None and free[best] > 0 else None

    def _await_a_worker(self) -> None:
        with self._changed:
            late = not self._changed.wait_for(lambda: self._threads or self._lost, timeout=_PATIENCE_SECONDS)
            if late and not self._all_refused():
                self._note(f"no worker at {self._address} yet; waiting for one")
            while not (self._threads or self._asked_to_stop()):
                if self._all_refused():
                    raise self._loss
                self._changed.wait(_WATCH_SECONDS)

    def _all_refused(self) -> bool:
        return bool(self._present) and self._present <= self._refused.keys()

    def _watch(self) -> None:
        """Notice workers that come and go, and the end of the scheduler."""
        while self._client.status != "closed":  # dask tries to connect again before it gives up
            with contextlib.suppress(Exception):
                if self._client.status == "running":
                    self._present = set(self._client.nthreads())
                    self._drop(set(self._threads) - self._present)
                    for worker in self._present - set(self._threads) - set(self._refused):
                        self._welcome(worker)
            if self._closing.wait(_WATCH_SECONDS):
                return
        self._give_up(f"the scheduler at {self._address} is gone")

    def _welcome(self, worker: str) -> None:
        folder = {
            "token": self._token,
            "folder": str(self._study),
            "dataset": self._dataset and str(self._dataset),
        }
        answer = self._ask(worker, cluster_worker.welcome, **folder, files=self._files)
        if isinstance(answer, ImportError | AttributeError):
            return self._refuse(worker, f"it has another optilab than here, or none ({answer})")
        if isinstance(answer, BaseException):
            return None  # it is gone, or is asked again
        expected = {"versions": dict, "shared": bool, "threads": int, "missing": list}
        if not isinstance(answer, dict) or not all(isinstance(answer.get(k), t) for k, t in expected.items()):
            return self._refuse(worker, f"it answered what cannot be: {shown(answer)}")
        ours, theirs = cluster_worker.versions(), answer["versions"]
        if different := [
            f"{name} {theirs.get(name)} (here {ours[name]})" for name in ours if ours[name] != theirs.get(name)
        ]:
            return self._refuse(worker, f"it has {', '.join(different)}")
        if answer["missing"]:
            files = {Path(name).name: Path(name).read_bytes() for name in self._files}
            if isinstance(self._ask(worker, cluster_worker.accept, token=self._token, files=files), BaseException):
                return None
        with self._changed:
            self._threads[worker] = answer["threads"]
            (self._shared.add if answer["shared"] else self._shared.discard)(worker)
            self._changed.notify_all()
        return None

    def _ask(self, worker: str, function: Callable[..., Any], **arguments: Any) -> Any:
        """What a function returns on a worker, or the exception that it raises there."""
        try:
            return self._client.run(function, **arguments, workers=[worker], on_error="return")[worker]
        except Exception as error:
            return error

    def _refuse(self, worker: str, reason: str) -> None:
        self._note(f"worker {worker} is refused: {reason}")
        with self._changed:
            self._refused[worker] = reason
            self._threads.pop(worker, None)
            self._changed.notify_all()
        if self._all_refused() and not self._tasks:
            self._give_up(f"no worker at {self._address} can take part")

    def _drop(self, workers: set[str]) -> None:
        with self._changed:
            for worker in workers:
                self._threads.pop(worker, None)
            lost = [pair for pair in self._tasks.items() if pair[1].worker in workers]
            for future, task in lost:
                self._end(future, task, None, WorkerDied("the worker was lost"))
        for _, task in lost:
            with contextlib.suppress(Exception):
                task.future.cancel()

    def _give_up(self, reason: str) -> None:
        with self._changed:
            self._lost, self._loss = True, WorkersLost(reason)
            for future, task in [*self._tasks.items()]:
                self._end(future, task, None, self._loss)
            self._threads = {"": 1}  # a slot, so that a study that has nothing running learns of it
            self._changed.notify_all()


HAVE_RUN = {"done": "done", "diverged": "diverged", "stopped": "interrupted"}
"""The statuses of a trial that has a run, and the state of that run."""


def require_ended(ended: Mapping[str, Any], config: TrainConfig, until: int) -> None:
    """DataError for what no trial of this config, asked for up to the epoch `until`, ends with."""
    status = ended.get("status")
    if status not in (*HAVE_RUN, "interrupted", "unwritten", "failed"):
        raise DataError(
            f"status: expected one of {', '.join(HAVE_RUN)}, interrupted or failed, got {shown(status)}"
        )
    if not isinstance(ended.get("reason"), str):
        raise DataError(f"reason: expected text, got {shown(ended.get('reason'))}")
    require_numbers(ended, "seconds")
    if status not in HAVE_RUN:
        return
    outcome = ended.get("outcome")
    if not isinstance(outcome, dict):
        raise DataError(f"outcome: expected a mapping, got {shown(outcome)}")
    require_numbers(outcome, "epochs")
    early = status == "diverged" or (status == "done" and config.early_stopping is not None)
    if outcome["epochs"] > config.epochs or (outcome["epochs"] < until and not early):
        raise DataError(f"{status} after {plural(outcome['epochs'], 'epoch')} of {until}")


def require_numbers(answer: Mapping[str, Any], *keys: str) -> None:
    """DataError unless these entries are finite numbers from 0."""
    for key in keys:
        value: Any = answer.get(key)
        if type(value) not in (int, float) or not 0 <= value < inf:
            raise DataError(f"{key}: expected a number, got {shown(value)}")


def _require_scheduler_file(path: Path) -> None:
    """UsageError for another file, or one that is not whole yet: dask would wait for it, and then say nothing."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("address"), str):
        made = "dask scheduler --scheduler-file FILE"
        raise UsageError(f"{path} is not a scheduler file with an address; one is written by: {made}", "--cluster")


def _connect(address: str) -> "Client":
    """A client of the scheduler. UsageError or SystemFailure where there is none."""
    to = {"address": address}
    if not re.fullmatch(r"(tcp|tls)://[^/]+:\d+", address):
        if not Path(address).is_file():
            raise UsageError(f"expected tcp://HOST:PORT or a scheduler file, got {shown(address)}", "--cluster")
        _require_scheduler_file(Path(address))
        to = {"scheduler_file": address}
    try:
        from distributed import Client
    except ImportError:
        raise UsageError(
            "dask.distributed is not installed: pip install 'optilab[cluster]'", "--cluster"
        ) from None
    for name in ("distributed", "tornado", *logging.root.manager.loggerDict):
        if name.startswith(("distributed", "tornado")):  # each may have a level of its own
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters of it is an error of ours
    warnings.filterwarnings("ignore", "Sending large graph")  # of a trial that goes on: its checkpoints

    class Connection(Client):
        """A client that leaves no traceback behind where it could not be made."""

        def __del__(self) -> None:
            with contextlib.suppress(Exception):
                super().__del__()  # type: ignore[no-untyped-call]  # dask's

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other versions of Python and dask, which change no result
            return Connection(**to, timeout=_CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError):
        raise SystemFailure(f"no dask scheduler answers at {address}; start one with: dask scheduler") from None
    except Exception as error:
        raise UsageError(f"{shown(address)} is not the address of a scheduler: {error}", "--cluster") from None
