"""A worker process of a study: it reads a task per line and answers each with a line, both JSON.

    python -P -m optilab.train.worker

The process that a study starts imports PyTorch, and forks a worker for each connection that it gets over its standard
input. Where processes are not forked, `optilab/train/__main__.py` is a worker. The end of a worker's connection, also
by the death of its study, stops it at the next batch.

A trial may be requested again at any time. If it is done, it is read; if it was stopped, it is resumed, to the bytes of
an undisturbed run. A worker trains one trial after another; each sets all that it depends on.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import torch

from optilab import runs, system
from optilab.config.training import TrainConfig, digest
from optilab.config.tree import Override
from optilab.data import read as data
from optilab.errors import DivergedError, OptilabError, RunError, WriteFailure
from optilab.runs.provenance import study_versions
from optilab.train import checkpoint, session
from optilab.train.resume import plan_resume

_LOCKED_SECONDS = 10.0  # in which another process ends that has to stop writing a run
_POLL_SECONDS = 0.1
_VERSIONS = study_versions()
_BATCHES = (2, 5, 20)  # of a measurement: to warm up, then two numbers that tell a batch from the validation


class _Silent:
    """A listener that shows nothing."""

    def batch(self, done: int, total: int) -> None: ...

    def epoch(self, row: runs.Row, seconds: float, diagnostics: runs.Row) -> None: ...


def main() -> None:
    """Fork a worker for each connection; the end of standard input is the end of the study."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the study gets Ctrl-C
    study = socket.socket(fileno=os.dup(0))
    for connection in system.received_descriptors(study):
        if system.fork():
            study.close()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            serve(socket.socket(fileno=connection))
            os._exit(0)  # threads of a user's code may never end
        os.close(connection)
    os._exit(0)


def serve(study: socket.socket) -> None:
    """Answer one task after another, until the study ends the connection."""
    lines, disconnected = SimpleQueue[bytes](), Event()

    def read() -> None:
        with contextlib.suppress(OSError):
            for line in study.makefile("rb"):
                lines.put(line)
        disconnected.set()
        lines.put(b"")

    Thread(target=read, daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        while (line := lines.get()) and not disconnected.is_set():
            study.sendall(json.dumps(reply(json.loads(line), disconnected.is_set)).encode() + b"\n")


def reply(task: Mapping[str, Any], stop: Callable[[], bool]) -> dict[str, Any]:
    """The result of the task's `call`, which is `run`, `build` or `cost`, with its `arguments`.

    It also has the `status`, the `reason` of a failure, its exit status (`code`) where the user can mend it, and the
    `seconds` that it took here. `unwritten`: a file could not be written; `refused`: a study with other versions than
    this process.
    """
    began = time.perf_counter()
    ended: dict[str, Any] = {"status": "failed", "reason": ""}
    requested = task["versions"]
    if differences := [
        f"{key} {version} (here {requested.get(key)})"
        for key, version in _VERSIONS.items()
        if version != requested.get(key)
    ]:
        return {"status": "refused", "reason": f"it has {', '.join(differences)}"}
    try:
        ended |= {"status": "done", **_CALLS[task["call"]](**task["arguments"], stop=stop)}
    except WriteFailure as error:
        ended |= {"status": "unwritten", "reason": str(error)}
    except OptilabError as error:
        ended |= {"reason": str(error), "code": error.code}
    except Exception as error:  # a bug, or a user's optimizer; the run's optilab.log has the traceback
        ended["reason"] = f"{type(error).__name__}: {error}"
    return {"seconds": time.perf_counter() - began, **ended}


def run(
    config: Mapping[str, Any],
    folder: str,
    name: str,
    dataset: str | None,
    provenance: Mapping[str, Any],
    until: int,
    keep: str,
    stop: Callable[[], bool],
) -> dict[str, Any]:
    """Train `config`, a plain tree, as the run `name` of the study `folder`, up to the epoch `until`.

    `dataset` is the directory of the dataset if it has files, `keep` the checkpoints that remain of a trial that has
    ended: last, best, none or all. Returns the `status` (done, diverged, stopped: at `until`, or interrupted: by
    `stop()`), the `reason` of a divergence, and the `outcome` (`Record.outcome`) of a trial that was not interrupted.
    """
    path, reason = Path(folder) / name, ""
    try:
        status = _train(TrainConfig.model_validate(config), path, dataset, provenance, until, stop)
    except DivergedError as error:
        status, reason = "diverged", str(error)
    if status == "interrupted":
        return {"status": status}
    outcome = runs.read(path).outcome()
    runs.keep_checkpoints(path, "last" if status == "stopped" else keep, outcome["best_epoch"])
    return {"status": status, "reason": reason, "outcome": outcome}


def build(config: Mapping[str, Any], dataset: str | None, stop: Callable[[], bool]) -> dict[str, Any]:
    """Build a training and leave it. UsageError where its network cannot be built, or fails on two images."""
    session.build(TrainConfig.model_validate(config), _dataset(config["data"]["dataset"], dataset))
    return {}


def cost(config: Mapping[str, Any], dataset: str | None, stop: Callable[[], bool]) -> dict[str, Any]:
    """`seconds` of an epoch, from some batches of one, and `bytes` of a checkpoint. Writes nothing."""
    parsed = TrainConfig.model_validate(config)
    training = session.build(parsed, _dataset(config["data"]["dataset"], dataset))
    size, images, seconds = parsed.data.batch_size, training.train, []
    for batches in _BATCHES:
        training.train = images.take(torch.arange(min(batches * size, len(images))))
        _, duration = next(training.run(_Silent().batch, stop))
        training.rows.clear()
        seconds.append(duration)
    small, large = _BATCHES[1:]
    per_batch = max(0.0, seconds[2] - seconds[1]) / (large - small)
    saving = time.perf_counter()
    checkpoint_bytes = len(checkpoint.save(training))
    epoch = seconds[1] + per_batch * (len(images) / size - small)
    epoch += (time.perf_counter() - saving) / max(1, parsed.checkpoint_every)
    return {"seconds": max(epoch, 0.0), "bytes": checkpoint_bytes}


_CALLS: Mapping[str, Callable[..., dict[str, Any]]] = {"run": run, "build": build, "cost": cost}


def _train(
    config: TrainConfig,
    path: Path,
    place: str | None,
    provenance: Mapping[str, Any],
    until: int,
    stop: Callable[[], bool],
) -> str:
    """Start, resume or recognize the run at `path`; its status as `run` returns it."""
    dataset = _dataset(config.data.dataset, place)
    if path.is_dir():
        _await_writer(path)
        continued = plan_resume(path, [Override("epochs", "epochs", config.epochs)])
        if digest(continued.config) != digest(config):
            raise RunError(f"{path} is the run of another trial: move it away")
        if continued.complete:
            return "done"
        if (before := runs.read(path)).state == "diverged":
            raise DivergedError(str(before.manifest["reason"]))
        training, run = session.resume(path, continued.config, dataset, lambda warning: None)
    else:
        versions = {name: str(sys.modules[name].__version__) for name in ("numpy", "torch")}
        facts = {**provenance, "versions": {**provenance["versions"], **versions}}
        training, run = session.start(config, dataset, path.parent, path.name, facts)

    def due() -> bool:
        return stop() or (training.epoch >= until and not training.finished)

    status = session.train_to_end(training, run, _Silent(), due)
    return "stopped" if status == "interrupted" and training.epoch >= until else status


def _await_writer(path: Path) -> None:
    """Wait for a worker that lost its study, and is about to leave the run."""
    deadline = time.monotonic() + _LOCKED_SECONDS
    while runs.read(path).state == "running" and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


@lru_cache(maxsize=3)
def _dataset(name: str, directory: str | None) -> data.Dataset:
    """A dataset, read and verified once per process."""
    return data.load(name, None if directory is None else Path(directory))


if __name__ == "__main__":
    main()
