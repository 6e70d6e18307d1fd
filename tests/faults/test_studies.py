"""Studies under fire: the command, a worker or the fork server is killed at random moments; nothing is lost.

The same command continues, and at the end trials.csv and every metrics.csv are those of the undisturbed study.
"""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from optilab import runs
from tests.faults.harness import Violation, fresh, run, until
from tests.study.test_sweep import files

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
FEW_OR_MANY = [5, pytest.param(50, marks=pytest.mark.slow)]
OVER = ["--over", "optimizer.lr=0.001,0.003,0.01", "--seeds", "2", "--epochs", "12", "--set", "data.batch_size=4"]


@pytest.fixture(scope="module")
def undisturbed(lab):
    assert run(argv("undisturbed"), lab.folder).code == 0
    return files(lab.folder / "runs" / "undisturbed")


def argv(name: str) -> list[str]:
    return ["sweep", "lab.yaml", *OVER, "--jobs", "2", "--quiet", "--name", name]


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def server(pid: int) -> int | None:
    """The fork server of a command."""
    for child in children(pid):
        try:
            if b"forkserver" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
        except OSError:
            continue
    return None


def workers(pid: int) -> list[int]:
    return [worker for host in [server(pid)] if host for worker in children(host)]


def running(study: Path) -> list[str]:
    """The trials that a process is writing."""
    return [path.name for path in runs.directories(study) if runs.read(path).state == "running"]


def kill(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def at_some_moment(process, study: Path, chance: random.Random) -> bool:
    """Wait until trials run, and a random time more; False if the command has ended."""
    until(lambda: not process.alive() or (study.is_dir() and bool(running(study))))
    time.sleep(chance.uniform(0, 0.4))
    return process.alive()


@pytest.mark.parametrize("kills", FEW_OR_MANY)
def test_the_command_is_killed_again_and_again(kills, lab, undisturbed, figure):
    chance, hits, name = random.Random(19), 0, f"command-{kills}"
    study = lab.folder / "runs" / name
    for number in range(kills):
        process = fresh(argv(name), lab.folder)
        if not at_some_moment(process, study, chance):
            if process.finish().code:
                raise Violation("the study ended with an error")
            runs.remove(study)
            continue
        hits += bool(running(study))
        process.send(SIGNALS[number % len(SIGNALS)])
        process.finish()
        until(lambda: not running(study))  # workers end with their study
    assert run(argv(name), lab.folder).code == 0
    assert files(study) == undisturbed
    assert hits
    figure("G19", "the command of a study is killed", f"{kills} kills, {hits} in trials, nothing lost")


@pytest.mark.parametrize("kills", FEW_OR_MANY)
@pytest.mark.parametrize("victim", ["worker", "server"])
def test_a_study_outlives_its_processes(victim, kills, lab, undisturbed, figure):
    """At most two kills per study, so that no trial is given up."""
    chance, hits, round_ = random.Random(20), 0, 0
    while hits < kills:
        round_ += 1
        name = f"{victim}-{kills}-{round_}"
        study = lab.folder / "runs" / name
        process = fresh(argv(name), lab.folder)
        for _ in range(2):
            if not at_some_moment(process, study, chance):
                break
            pids = workers(process.pid) if victim == "worker" else [server(process.pid)]
            hits += bool(pids and pids[0] and kill(chance.choice(pids), chance.choice(SIGNALS)))
        ended = process.finish()
        assert ended.code == 0, ended.err
        assert files(study) == undisturbed
        runs.remove(study)
    figure("G19", f"a {victim} of a study is killed", f"{hits} kills, the same command goes on, nothing lost")
