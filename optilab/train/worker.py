"""One trial of a study in a process of the pool: a training from its config to its outcome, both plain data.

A trial may be asked for again at any time: one that is done is read, one that was stopped is resumed, to the bytes of
an undisturbed run. The process is used for one trial after another, each of which sets all that it depends on.
"""

import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from optilab import runs
from optilab.config.training import TrainConfig, digest
from optilab.config.tree import Override
from optilab.data import load as data
from optilab.errors import DivergedError, OptilabError, RunError, WriteFailure
from optilab.train import checkpoint, engine, session
from optilab.train.resume import continuation

_LOCKED_SECONDS = 10.0  # in which another process that was told to stop writing a run ends
_POLL_SECONDS = 0.1
_BATCHES = (2, 5, 20)  # of a measurement: to warm up, then two numbers that tell a batch from the validation


class _Silent:
    """A listener that shows nothing."""

    def batch(self, done: int, total: int) -> None: ...

    def epoch(self, row: runs.Row, seconds: float, record: runs.Row) -> None: ...


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
    ended: last, best, none or all. Returns the `status` (done, diverged, stopped: at `until`, interrupted: by `stop()`,
    unwritten: the disk is full, or failed), the `reason` of a failure, the `seconds` that it took here and, unless it
    failed, the `outcome` (`Record.outcome`).
    """
    began, path = time.perf_counter(), Path(folder) / name
    ended: dict[str, Any] = {"status": "failed", "reason": ""}
    try:
        try:
            status = _trained(TrainConfig.model_validate(config), path, dataset, provenance, until, stop)
        except DivergedError as error:
            status, ended["reason"] = "diverged", str(error)
        if status in ("done", "diverged", "stopped"):
            ended["outcome"] = outcome = runs.read(path).outcome()
            runs.keep_checkpoints(path, "last" if status == "stopped" else keep, outcome["best_epoch"])
        ended["status"] = status
    except WriteFailure as error:
        ended |= {"status": "unwritten", "reason": str(error)}
    except OptilabError as error:
        ended["reason"] = str(error)
    except Exception as error:  # a bug, or a user's optimizer; the run's optilab.log has the traceback
        ended["reason"] = f"{type(error).__name__}: {error}"
    return {**ended, "seconds": time.perf_counter() - began}


def build(config: Mapping[str, Any], dataset: str | None, stop: Callable[[], bool]) -> dict[str, Any]:
    """Build a training and leave it. UsageError where its network cannot be built, or fails on two images."""
    session.build(TrainConfig.model_validate(config), _dataset(config["data"]["dataset"], dataset))
    return {}


def cost(config: Mapping[str, Any], dataset: str | None, stop: Callable[[], bool]) -> dict[str, Any]:
    """`seconds` of an epoch, from some batches of one, and `bytes` of a checkpoint. Writes nothing.

    `start` are the seconds that the first trial of a process takes longer than others, `each` those of any trial
    besides its epochs.
    """
    began, asked = time.perf_counter(), TrainConfig.model_validate(config)
    images_of = _dataset(config["data"]["dataset"], dataset)
    engine.before_training(session.build(asked, images_of))  # with all that libraries load for it
    built = time.perf_counter()
    training = session.build(asked, images_of)
    engine.before_training(training)
    each = time.perf_counter() - built
    size, images = training.config.data.batch_size, training.train
    seconds = []
    for batches in _BATCHES:
        training.train = images.take(torch.arange(min(batches * size, len(images))))
        _, duration = next(training.run(_Silent().batch, stop))
        training.rows.clear()
        seconds.append(duration)
    few, more = _BATCHES[1:]
    per_batch = max(0.0, seconds[2] - seconds[1]) / (more - few)
    epoch = seconds[1] + per_batch * (len(images) / size - few)
    start = max(0.0, built - began - each) + max(0.0, seconds[0] - seconds[1])
    saving = time.perf_counter()
    size_of_one = len(checkpoint.save(training))
    epoch += (time.perf_counter() - saving) / max(1, training.config.checkpoint_every)
    return {"seconds": max(epoch, 0.0), "start": start, "each": each, "bytes": size_of_one}


def _trained(
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
        continued = continuation(path, [Override("epochs", "epochs", config.epochs)])
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

    status = session.proceed(training, run, _Silent(), due)
    return "stopped" if status == "interrupted" and training.epoch >= until else status


def _await_writer(path: Path) -> None:
    """Wait for a worker that lost its study, and is about to leave the run."""
    deadline = time.monotonic() + _LOCKED_SECONDS
    while runs.read(path).state == "running" and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


@lru_cache(maxsize=3)
def _dataset(name: str, folder: str | None) -> data.Dataset:
    """Read and verified once per process."""
    return data.load(name, None if folder is None else Path(folder))
