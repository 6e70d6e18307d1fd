"""Several trainings at once, each a process of its own on one thread, each a run directory.

Processes on one thread beat one run on two threads, give the same bits in any order and company, and one that is
killed takes no other with it. A study that was stopped goes on with what is missing.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from optilab import runs, signals
from optilab.config.load import to_yaml
from optilab.config.schema.train import TrainConfig
from optilab.errors import CheckpointError, SystemFailure

_GRACE_SECONDS = 5.0  # for a stopped training to write that it was


@dataclass(frozen=True)
class Trial:
    """One training of a study; `name` is that of its run directory."""

    name: str
    config: TrainConfig


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: the state of its run, and what it said where that is no success."""

    trial: Trial
    path: Path
    state: str
    reason: str = ""

    @property
    def failed(self) -> bool:
        """Neither done nor diverged; a divergence is a result."""
        return self.state not in ("done", "diverged")


def run(
    trials: Sequence[Trial], folder: Path, jobs: int, done: Callable[[Outcome], None], stop: signals.Stop
) -> list[Outcome]:
    """Train all, at most `jobs` at once; outcomes in the order of `trials`. Ends soon after `stop()` is true."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemFailure(f"cannot make {folder}: {error.strerror}") from None
    runs.write_atomic(folder / runs.STUDY, json.dumps({"runs": [trial.name for trial in trials]}).encode())
    waiting, running, ended = list(trials), dict[str, subprocess.Popen[str]](), dict[str, Outcome]()
    by_name = {trial.name: trial for trial in trials}
    try:
        while (waiting or running) and not stop():
            while waiting and len(running) < jobs:
                trial = waiting.pop(0)
                running[trial.name] = _start(trial, folder)
            for name, process in list(running.items()):
                if process.poll() is not None:
                    del running[name]
                    ended[name] = _outcome(by_name[name], folder, process)
                    done(ended[name])
            time.sleep(0.05)
    finally:
        _end(list(running.values()))
    return [ended[trial.name] for trial in trials if trial.name in ended]


def _start(trial: Trial, folder: Path) -> "subprocess.Popen[str]":
    """A fresh run, or the rest of one that was stopped."""
    command = [sys.executable, "-m", "optilab", "train", "--quiet", "--runs-dir", str(folder)]
    path = folder / trial.name
    if path.is_dir():
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
    )


def _outcome(trial: Trial, folder: Path, process: "subprocess.Popen[str]") -> Outcome:
    said = (process.communicate()[1] or "").strip()
    path = folder / trial.name
    if process.returncode < 0:
        hint = " (possibly out of memory)" if process.returncode == -9 else ""
        return Outcome(trial, path, "failed", f"killed by signal {-process.returncode}{hint}")
    try:
        state = runs.read(path).state
    except CheckpointError:
        state = "failed"
    return Outcome(trial, path, state, said)


def _end(processes: Sequence["subprocess.Popen[str]"]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=max(0.0, deadline - time.monotonic()))
        process.kill()
        process.communicate()
