"""Several trainings at once, each a process of its own on one thread, each a run directory of a study.

Processes on one thread beat one run on two threads. Their results are bit-identical regardless of order and
concurrency, and a crash of one does not affect the others. A stopped study continues with what is missing.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from optilab import runs, signals
from optilab.config.load import changed_keys, load, to_yaml
from optilab.config.schema.train import TrainConfig
from optilab.errors import OptilabError, RunError

_GRACE_SECONDS = 5.0  # in which a stopped training records that it was
_POLL_SECONDS = 0.05
_COUNT_SECONDS = 0.5
_METRICS_BYTES = 256 << 20


@dataclass(frozen=True)
class Trial:
    """One training of a study; `name` is that of its run directory."""

    name: str
    config: TrainConfig


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: the state of its run, and its error message if it failed."""

    trial: Trial
    path: Path
    state: str
    reason: str = ""

    @property
    def failed(self) -> bool:
        """Neither done nor diverged; a divergence is a result."""
        return self.state not in ("done", "diverged")


class Watcher(Protocol):
    """The view of a study in progress."""

    def epochs(self, done: int) -> None:
        """So many epochs of all trials are on disk."""

    def done(self, outcome: Outcome) -> None:
        """A trial has ended."""


def run(trials: Sequence[Trial], folder: Path, jobs: int, watcher: Watcher, stop: signals.Stop) -> list[Outcome]:
    """Train all in the study at `folder`, at most `jobs` at once; outcomes in the order of `trials`.

    Ends soon after `stop()` is true. RunError if a trial exists with other settings.
    """
    _require_same(trials, folder)
    waiting, running, ended = list(trials), dict[str, subprocess.Popen[str]](), dict[str, Outcome]()
    by_name, counted = {trial.name: trial for trial in trials}, 0.0
    try:
        while (waiting or running) and not stop():
            while waiting and len(running) < jobs:
                trial = waiting.pop(0)
                running[trial.name] = _start(trial, folder)
            for name, process in list(running.items()):
                if process.poll() is not None:
                    del running[name]
                    ended[name] = _outcome(by_name[name], folder, process)
                    watcher.done(ended[name])
            if time.monotonic() - counted > _COUNT_SECONDS:
                watcher.epochs(sum(epochs_done(trials, folder).values()))
                counted = time.monotonic()
            time.sleep(_POLL_SECONDS)
    finally:
        _end(list(running.values()))
    return [ended[trial.name] for trial in trials if trial.name in ended]


def epochs_done(trials: Sequence[Trial], folder: Path) -> Mapping[str, int]:
    """Epochs of each trial that are on disk, by the lines of its metrics.csv."""
    counts = {}
    for trial in trials:
        try:
            lines = runs.read_regular(folder / trial.name / "metrics.csv", _METRICS_BYTES).count(b"\n")
        except (FileNotFoundError, OptilabError):
            lines = 0
        counts[trial.name] = max(0, lines - 1)
    return counts


def _require_same(trials: Sequence[Trial], folder: Path) -> None:
    """RunError if a trial that was started before has another config; more epochs are accepted."""
    for trial in trials:
        try:
            before = load(TrainConfig, str(runs.read(folder / trial.name).path / "config.yaml"))
        except OptilabError:  # not started yet, or damaged, which the trial itself reports
            continue
        if changed := changed_keys(before, trial.config):
            difference = "; ".join(changed)
            raise RunError(f"{folder} was started with other settings: {difference}; choose another --name")


def _start(trial: Trial, folder: Path) -> "subprocess.Popen[str]":
    """A fresh run, or the rest of one that was stopped."""
    # -P: a numpy.py of the working directory is not imported.
    command = [sys.executable, "-P", "-m", "optilab", "train", "--quiet", "--runs-dir", str(folder)]
    if (folder / trial.name).is_dir():
        command += ["--resume", trial.name, "--epochs", str(trial.config.epochs)]
    else:
        config = folder / f"{trial.name}.yaml"
        runs.write_atomic(config, to_yaml(trial.config))
        command += ["--config", str(config), "--name", trial.name]
    # A parent that is killed cannot stop its children; they notice by themselves.
    environment = {**os.environ, signals.PARENT: str(os.getpid())}
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )


def _outcome(trial: Trial, folder: Path, process: "subprocess.Popen[str]") -> Outcome:
    message = (process.communicate()[1] or "").strip()
    path = folder / trial.name
    if process.returncode < 0:
        hint = " (possibly out of memory)" if process.returncode == -9 else ""
        return Outcome(trial, path, "failed", f"killed by signal {-process.returncode}{hint}")
    try:
        state = runs.read(path).state
    except OptilabError:
        state = "failed"
    return Outcome(trial, path, state, message)


def _end(processes: Sequence["subprocess.Popen[str]"]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=max(0.0, deadline - time.monotonic()))
        process.kill()
        process.communicate()
