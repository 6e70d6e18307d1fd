"""Studies survive signals to any of their processes.

The same command continues, and at the end trials.csv and every file of a trial are those of the undisturbed study.
"""

import os
import random
import resource
import signal
import time
from collections import Counter
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from optilab import runs
from optilab.runs.lock import is_held
from tests.faults.sandbox import Sandbox, study_files
from tests.kit.command import run
from tests.kit.processes import (
    Process,
    start,
    templates,
    trial_processes,
    wait_until,
)
from tests.kit.template import fork_the_template

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
VICTIMS = ("command", "worker", "template")
LINES = {
    "grid": "sweep lab.yaml --over optimizer.lr=0.001,0.01 --seeds 2 --epochs 4",
    "search": "sweep lab.yaml --over optimizer.lr=0.001:1:log --search tpe --samples 6 --epochs 2",
    "halving": "sweep lab.yaml --over optimizer.lr=0.001,0.003,0.01,0.03 --halving 2 --seeds 2 --epochs 8",
    "benchmark": "benchmark lab.yaml --algo sgd,adam --budget 3 --seeds 2 --repeats 1 --epochs 4",
    "remedies": "remedy lab.yaml --only batchnorm,tanh --over optimizer.lr=0.01,0.1 --seeds 2 --epochs 3",
    "seeds": "train lab.yaml --seeds 4 --epochs 8",
}
SMALL = "--set data.batch_size=10 --set data.holdout=60 --quiet --jobs 2 --name"


def line(kind: str, name: str) -> list[str]:
    return [*LINES[kind].split(), *SMALL.split(), name]


def begin(sandbox: Sandbox, argv: list[str]) -> Process:
    return start(argv, sandbox.folder, before=fork_the_template)


def finish(sandbox: Sandbox, argv: list[str]) -> CompletedProcess[str]:
    return begin(sandbox, argv).finish()


def running(study: Path) -> bool:
    """Whether a process writes a trial, or the confirmation."""
    trials = runs.directories(study)  # without those that are being made
    below = [*trials, *(path for trial in trials for path in runs.directories(trial))]
    entries = [path for path in below if (path / "manifest.json").is_file()]
    return any(runs.read_entry(path).state == "running" for path in entries)


def kill(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


KILLS = [
    pytest.param("grid", 4),
    pytest.param("search", 4, marks=pytest.mark.nightly),
    *(pytest.param(kind, 60, marks=pytest.mark.release) for kind in LINES),
]


@pytest.mark.parametrize(("kind", "kills"), KILLS)
def test_a_killed_study_is_the_same_study(kind: str, kills: int, sandbox: Sandbox, rng: random.Random) -> None:
    """Each process by turns, at random moments from the first file on; only the command's death ends a study."""
    study, argv = sandbox.path("killed"), line(kind, "killed")
    assert finish(sandbox, line(kind, "whole")).returncode == 0
    whole, hits = study_files(sandbox.path("whole")), Counter[str]()
    while hits.total() < kills:
        process, before = begin(sandbox, argv), hits["command"]
        wait_until(lambda process=process: not process.alive() or is_held(study))
        for victim in dict.fromkeys((VICTIMS[hits.total() % 3], rng.choice(VICTIMS))):  # of no trial three workers
            if victim != "command":
                wait_until(lambda process=process: not process.alive() or bool(trial_processes(process.pid)))
            time.sleep(rng.uniform(0, 0.6))
            of = {"command": lambda pid: [pid], "worker": trial_processes, "template": templates}[victim]
            pids = of(process.pid)
            hits[victim] += bool(process.alive() and pids and kill(rng.choice(pids), rng.choice(SIGNALS)))
        ended = process.finish()
        assert "Traceback" not in ended.stderr
        assert ended.returncode == 0 or (ended.returncode < 0 and hits["command"] > before), ended
        wait_until(lambda: not study.is_dir() or not running(study))  # workers end with their study
        if ended.returncode == 0:
            assert study_files(study) == whole
            runs.remove(study)
    assert finish(sandbox, argv).returncode == 0
    assert study_files(study) == whole
    assert not [path.name for path in study.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.release)])
def test_a_killed_command_is_continued_at_once(kills: int, sandbox: Sandbox, rng: random.Random) -> None:
    """Its workers still write; the trials that they leave are resumed."""
    study, argv = sandbox.path("killed"), line("seeds", "killed")
    assert finish(sandbox, line("seeds", "whole")).returncode == 0
    process = begin(sandbox, argv)
    for _ in range(kills):
        wait_until(lambda process=process: not process.alive() or (study.is_dir() and running(study)))
        time.sleep(rng.uniform(0, 0.1))
        process.send(signal.SIGKILL)
        killed, process = process, begin(sandbox, argv)
        killed.finish()
    assert process.finish().returncode == 0
    assert study_files(study) == study_files(sandbox.path("whole"))


def test_ctrl_c_while_the_first_worker_starts(sandbox: Sandbox) -> None:
    """The template is a new interpreter, which imports PyTorch for seconds."""
    process = start(line("grid", "early"), sandbox.folder, "fresh")
    wait_until(lambda: bool(templates(process.pid)))
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    ended = process.finish()
    assert ended.returncode == -signal.SIGINT
    assert "Traceback" not in ended.stderr
    assert "continue with: optilab sweep" in ended.stderr


def test_litter_of_killed_commands_is_removed(sandbox: Sandbox) -> None:
    argv = ["train", "lab.yaml", "--seeds", "2", "--epochs", "1", "--quiet", "--jobs", "2", "--name", "litter"]
    assert finish(sandbox, argv).returncode == 0
    study = sandbox.path("litter")
    before = study_files(study)
    for leftover in (
        ".trials.csv.tmp-e19e3952",
        ".manifest.json.tmp-0123abcd",
        ".study-0123456789abcdef",
        ".mine",
    ):
        (study / leftover).touch()
    (study / ".new-0123456789abcdef").mkdir()
    assert finish(sandbox, argv).returncode == 0
    assert [path.name for path in study.iterdir() if path.name.startswith(".")] == [".mine"]
    assert study_files(study) == before


@pytest.mark.parametrize("end", ["fits", "does not fit"])
def test_a_full_disk_ends_a_study(end: str, sandbox: Sandbox) -> None:
    """Files of a trial do not fit, and those that end the study may not either; the same command continues."""
    argv = ["train", "lab.yaml", "--seeds", "2", "--epochs", "2", "--quiet", "--jobs", "2", "--name"]

    def limit() -> None:
        fork_the_template()
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, resource.RLIM_INFINITY))
        if end == "does not fit":
            runs.OpenStudy.finish = finish_on_a_full_disk

    whole_finish = runs.OpenStudy.finish

    def finish_on_a_full_disk(study: runs.OpenStudy, status: str, **facts: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        try:
            whole_finish(study, status, **facts)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, resource.RLIM_INFINITY))

    done = run([*argv, "full"], sandbox.folder, "forked", before=limit)
    assert done.returncode == 7, done
    assert "cannot write" in done.stderr
    assert "the same command with --name full continues the study" in done.stderr
    study = runs.read_study(sandbox.path("full"))
    assert (study.state, study.rows()) == ("interrupted", [])
    for name in ("full", "whole"):
        assert finish(sandbox, [*argv, name]).returncode == 0
    assert study_files(study.path) == study_files(sandbox.path("whole"))
