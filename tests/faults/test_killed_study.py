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
from types import SimpleNamespace

import pytest

from optilab import runs
from optilab.runs.lock import is_held
from optilab.study import cluster_worker
from tests.faults.sandbox import Sandbox, study_files
from tests.processes import Ended, Process, fork_the_forkserver, start_process, wait_until

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
VICTIMS = ("command", "worker", "server")
LINES = {
    "grid": "sweep lab.yaml --over optimizer.lr=0.001,0.01 --seeds 2 --epochs 4",
    "search": "sweep lab.yaml --over optimizer.lr=0.001:1:log --search tpe --samples 6 --epochs 2",
    "halving": "sweep lab.yaml --over optimizer.lr=0.001,0.003,0.01,0.03 --halving 2 --seeds 2 --epochs 8",
    "race": "race --on lab.yaml --algo sgd,adam --budget 3 --seeds 2 --repeats 1 --epochs 4",
    "tuned remedies": "remedy lab.yaml --only batchnorm,tanh --tune 2 --seeds 2 --epochs 3",
    "seeds": "train lab.yaml --seeds 4 --epochs 8",
}
SMALL = "--set data.batch_size=10 --set data.holdout=60 --quiet --jobs 2 --name"


def line(kind: str, name: str) -> list[str]:
    return [*LINES[kind].split(), *SMALL.split(), name]


def start(sandbox: Sandbox, argv: list[str]) -> Process:
    return sandbox.forked.start(argv, sandbox.folder, before=fork_the_forkserver)


def finish(sandbox: Sandbox, argv: list[str]) -> Ended:
    return start(sandbox, argv).finish()


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def servers(pid: int) -> list[int]:
    """The fork server of a command."""
    found = []
    for child in children(pid):
        try:
            names = [Path(f"/proc/{child}/{file}").read_bytes() for file in ("cmdline", "comm")]
        except OSError:
            continue
        if any(b"forkserver" in name for name in names):
            found.append(child)
    return found


def workers(pid: int) -> list[int]:
    return [worker for server in servers(pid) for worker in children(server)]


def running(study: Path) -> bool:
    """Whether a process writes a trial."""
    return any(runs.read(path).state == "running" for path in runs.directories(study))


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
    assert finish(sandbox, line(kind, "whole")).code == 0
    whole, hits = study_files(sandbox.path("whole")), Counter[str]()
    while hits.total() < kills:
        process, before = start(sandbox, argv), hits["command"]
        wait_until(lambda process=process: not process.alive() or is_held(study))
        for victim in dict.fromkeys((VICTIMS[hits.total() % 3], rng.choice(VICTIMS))):  # of no trial three workers
            if victim != "command":
                wait_until(lambda process=process: not process.alive() or bool(workers(process.pid)))
            time.sleep(rng.uniform(0, 0.6))
            pids = {"command": [process.pid], "worker": workers(process.pid), "server": servers(process.pid)}[
                victim
            ]
            hits[victim] += bool(process.alive() and pids and kill(rng.choice(pids), rng.choice(SIGNALS)))
        ended = process.finish()
        assert "Traceback" not in ended.err
        assert ended.code == 0 or (ended.code < 0 and hits["command"] > before), ended
        wait_until(lambda: not study.is_dir() or not running(study))  # workers end with their study
        if ended.code == 0:
            assert study_files(study) == whole
            runs.remove(study)
    assert finish(sandbox, argv).code == 0
    assert study_files(study) == whole
    assert not [path.name for path in study.iterdir() if path.name.startswith(".")]


def test_ctrl_c_while_the_first_worker_starts(sandbox: Sandbox) -> None:
    """A terminal sends it to the fork server, too, a new interpreter that imports PyTorch for seconds."""
    process = start_process(line("grid", "early"), sandbox.folder)
    wait_until(lambda: bool(servers(process.pid)))
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    ended = process.finish()
    assert ended.code == -signal.SIGINT
    assert "Traceback" not in ended.err
    assert "continue with: optilab sweep" in ended.err


def test_litter_of_killed_commands_is_removed(sandbox: Sandbox) -> None:
    argv = ["train", "lab.yaml", "--seeds", "2", "--epochs", "1", "--quiet", "--jobs", "2", "--name", "litter"]
    assert finish(sandbox, argv).code == 0
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
    assert finish(sandbox, argv).code == 0
    assert [path.name for path in study.iterdir() if path.name.startswith(".")] == [".mine"]
    assert study_files(study) == before


def test_a_full_disk_ends_a_study(sandbox: Sandbox) -> None:
    """Files of a trial are larger than the limit, the study's own are not; the same command continues."""
    argv = ["train", "lab.yaml", "--seeds", "2", "--epochs", "2", "--quiet", "--jobs", "2", "--name"]

    def limit() -> None:
        fork_the_forkserver()
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, resource.RLIM_INFINITY))

    done = sandbox.forked.run([*argv, "full"], sandbox.folder, before=limit)
    assert done.code == 7, done
    assert "cannot write" in done.err
    assert "the same command with --name full continues the study" in done.err
    study = runs.read_study(sandbox.path("full"))
    assert (study.state, study.trials()) == ("interrupted", [])
    for name in ("full", "whole"):
        assert finish(sandbox, [*argv, name]).code == 0
    assert study_files(study.path) == study_files(sandbox.path("whole"))


def test_a_worker_welcomed_twice_still_stops(tmp_path: Path) -> None:
    """After the death of a trial's process others may run there."""
    worker = SimpleNamespace(local_directory=tmp_path, state=SimpleNamespace(nthreads=2))
    for _ in range(2):
        cluster_worker.welcome("token", str(tmp_path), str(tmp_path), {}, worker)
        running = cluster_worker._guests.setdefault("running", cluster_worker._guests["token"])
    cluster_worker.stop("token")
    assert running.stopping
    for token in ("token", "running"):
        cluster_worker.farewell(token)
    assert not cluster_worker._guests
