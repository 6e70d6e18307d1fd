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
from optilab.runs.lock import is_held
from tests.faults.harness import Outcome, Process, Violation, fresh, run, until
from tests.study.test_sweep import files

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SMALL = ["--set", "data.batch_size=16", "--set", "data.holdout=100", "--quiet", "--jobs", "2", "--name"]
LINES = {
    "tpe": "sweep lab.yaml --over optimizer=sgd,adam --over optimizer.lr=0.001:1:log --search tpe --samples 12 "
    "--epochs 2",
    "halving": "sweep lab.yaml --over optimizer.lr=0.001,0.003,0.01,0.03 --halving 2 --seeds 2 --epochs 8",
    "race": "race --on lab.yaml --algo sgd,adam --budget 3 --seeds 2 --repeats 1 --epochs 4",
    "tuned remedies": "remedy lab.yaml --only batchnorm,tanh --tune 2 --seeds 2 --epochs 3",
    "confirmed rates": "lr lab.yaml --confirm --seeds 2 --epochs 4",
    "seeds": "train lab.yaml --seeds 4 --epochs 8",
}
KINDS = {kind: line.split() for kind, line in LINES.items()}
"""A study of each kind but for a grid."""
KILLS = [
    pytest.param("tpe", 2, id="tpe-2"),
    *(pytest.param(kind, 60, id=f"{kind}-60", marks=pytest.mark.slow) for kind in KINDS),
]
FEW_OR_MANY = [2, pytest.param(50, marks=pytest.mark.slow)]
OVER = ["--over", "optimizer.lr=0.001,0.01", "--seeds", "2", "--epochs", "6", "--set", "data.batch_size=4"]


@pytest.fixture(scope="module")
def undisturbed(lab):
    """In a fresh process, with which the warm ones are compared."""
    assert run(argv("undisturbed"), lab.folder).code == 0
    return files(lab.folder / "runs" / "undisturbed")


def argv(name: str) -> list[str]:
    return ["sweep", "lab.yaml", *OVER, "--jobs", "2", "--quiet", "--name", name]


def start(lab, line: list[str]) -> Process:
    """A command in a warm process, and a fork server that has PyTorch already."""
    return lab.warm.start(line, lab.folder, study=True)


def finish(lab, line: list[str]) -> Outcome:
    return start(lab, line).finish()


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def server(pid: int) -> int | None:
    """The fork server of a command."""
    for child in children(pid):
        try:
            names = [Path(f"/proc/{child}/{file}").read_bytes() for file in ("cmdline", "comm")]
            if any(b"forkserver" in name for name in names):
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
def test_the_command_is_killed_again_and_again(kills, lab, undisturbed, figure, drawn):
    chance, hits, name = drawn(19), 0, f"command-{kills}"
    study = lab.folder / "runs" / name
    for number in range(kills):
        process = start(lab, argv(name))
        if not at_some_moment(process, study, chance):
            if process.finish().code:
                raise Violation("the study ended with an error")
            runs.remove(study)
            continue
        hits += bool(running(study))
        process.send(SIGNALS[number % len(SIGNALS)])
        process.finish()
        until(lambda: not running(study))  # workers end with their study
    assert finish(lab, argv(name)).code == 0
    assert files(study) == undisturbed
    assert hits
    figure("G19", "the command of a study is killed", f"{kills} kills, {hits} in trials, nothing lost")


@pytest.mark.parametrize("kills", FEW_OR_MANY)
@pytest.mark.parametrize("victim", ["worker", "server"])
def test_a_study_outlives_its_processes(victim, kills, lab, undisturbed, figure, drawn):
    """At most two kills per study, so that no trial is given up."""
    chance, hits, round_ = drawn(20), 0, 0
    while hits < kills:
        round_ += 1
        name = f"{victim}-{kills}-{round_}"
        study = lab.folder / "runs" / name
        process = start(lab, argv(name))
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


def test_ctrl_c_while_the_first_worker_starts(lab):
    """A terminal sends it to the fork server, too, which imports PyTorch for a second or two."""
    process = fresh(argv("early"), lab.folder)
    until(lambda: bool(server(process.pid)))
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    ended = process.finish()
    assert ended.code == -signal.SIGINT
    assert "Traceback" not in ended.err
    assert "continue with: optilab sweep" in ended.err


@pytest.mark.parametrize(("kind", "kills"), KILLS)
def test_a_killed_study_of_every_kind_is_the_same_study(kind, kills, lab, figure, drawn):
    """Command, worker and fork server by three signals, at random moments from the study's first file on."""
    chance, hits = drawn(24), dict.fromkeys(("command", "worker", "server"), 0)
    name = f"{kind.split()[0]}-{kills}"
    study, whole = lab.folder / "runs" / name, lab.folder / "runs" / f"{name}-whole"
    assert finish(lab, [*KINDS[kind], *SMALL, whole.name]).code == 0
    expected = files(whole)
    while sum(hits.values()) < kills:
        process = start(lab, [*KINDS[kind], *SMALL, name])
        until(lambda process=process: not process.alive() or is_held(study))
        for victim in (chance.choice(["command", "worker", "server"]), "command"):  # of no trial three workers
            if victim != "command":
                until(lambda process=process: not process.alive() or bool(workers(process.pid)))
            time.sleep(chance.uniform(0, 1.5))
            pids = {"command": [process.pid], "worker": workers(process.pid), "server": [server(process.pid)]}
            pid = chance.choice(pids[victim] or [None])
            hits[victim] += bool(process.alive() and pid and kill(pid, chance.choice(SIGNALS)))
            if victim == "command":
                break
        ended = process.finish()
        until(lambda: not running(study))
        assert "Traceback" not in ended.err
        assert ended.code <= 0, ended.err
        if ended.code == 0:  # it was faster
            assert files(study) == expected
            runs.remove(study)
    if not study.is_dir() or runs.read_study(study).state != "done":
        assert finish(lab, [*KINDS[kind], *SMALL, name]).code == 0
    assert files(study) == expected
    assert not [path.name for path in study.iterdir() if path.name.startswith(".")]
    told = ", ".join(f"{count} of a {victim}" for victim, count in hits.items())
    figure("G19", f"a study is killed: {kind}", f"{sum(hits.values())} kills ({told}), the same bytes, no litter")


def test_what_killed_commands_leave_in_a_study_is_removed(lab):
    name = "litter"
    assert finish(lab, [*KINDS["seeds"][:3], "2", "--epochs", "1", *SMALL, name]).code == 0
    study = lab.folder / "runs" / name
    before = files(study)
    for leftover in (".trials.csv.tmp-e19e3952", ".manifest.json.tmp-0123abcd", ".study-0123456789abcdef"):
        (study / leftover).touch()
    (study / ".new-0123456789abcdef").mkdir()
    (study / ".mine").touch()
    assert finish(lab, [*KINDS["seeds"][:3], "2", "--epochs", "1", *SMALL, name]).code == 0
    assert [path.name for path in study.iterdir() if path.name.startswith(".")] == [".mine"]
    assert files(study) == before


def test_a_full_disk_ends_a_study_with_exit_code_7_and_the_same_command_continues(lab):
    """Files larger than a limit cannot be written: those of a trial, while the study's own still can."""
    name, command = "disk-full", [*KINDS["seeds"][:3], "2", "--epochs", "3"]
    assert finish(lab, [*command, *SMALL, "disk-not-full"]).code == 0
    limited = ["sh", "-c", 'ulimit -f 64; exec "$@"', "sh"]
    done = run([*command, *SMALL, name], lab.folder, before=limited)
    assert done.code == 7, done.err
    assert "cannot write" in done.err
    assert f"the same command with --name {name} continues the study" in done.err
    study = runs.read_study(lab.folder / "runs" / name)
    assert study.state == "interrupted"
    assert study.trials() == []
    assert finish(lab, [*command, *SMALL, name]).code == 0
    assert files(study.path) == files(lab.folder / "runs" / "disk-not-full")
