"""Signals and terminals: a run stops when asked, dies of that signal, and leaves the terminal as it was."""

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

import optilab
from optilab import runs
from tests.faults import sabotage
from tests.faults.file_calls import FileCalls
from tests.faults.sandbox import Sandbox
from tests.kit.command import OPTILAB, environment, run
from tests.kit.processes import Process, on_a_terminal, start, wait_until

STOPS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP}


def check_stop(sandbox: Sandbox, process: Process, name: str, number: int) -> None:
    """It stops at the next batch, dies of the signal, prints how to resume, and resuming gives the undisturbed run."""
    process.stop()
    epochs = process.printed().count("\nepoch ")
    process.send(number)
    process.send(signal.SIGCONT)
    done = process.finish()
    assert done.returncode == -number, done
    assert done.stdout.count("\nepoch ") <= epochs + 1  # an epoch whose commit had begun is completed
    assert "Traceback" not in done.stderr
    left = sandbox.check_survivors(name, done.stdout)
    if sandbox.path(name).exists() and (state := runs.read(sandbox.path(name)).state) != "done":
        assert state == "interrupted"
        assert f"optilab train --resume {name}" in done.stderr
        assert left.rows.count(b"\n") == (left.durable and left.durable + 1)
    sandbox.recover(name)
    sandbox.remove(name)


@pytest.mark.parametrize("trials", [1, pytest.param(50, marks=pytest.mark.release)])
@pytest.mark.parametrize("name", STOPS)
def test_stop_at_a_random_time(name: str, trials: int, sandbox: Sandbox, rng: random.Random) -> None:
    for _ in range(trials):
        process = sandbox.start("stopped", before=sabotage.slow_epochs)
        process.wait_for(" validation")
        time.sleep(rng.uniform(0.0, 0.3))  # the epochs take 0.36 s
        check_stop(sandbox, process, "stopped", STOPS[name])


@pytest.mark.parametrize("call", ["write", "sync", "rename"])
def test_stop_in_a_commit(call: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """The commit is completed: the handler only sets a flag."""
    log = FileCalls(tmp_path / "calls.txt", "SIGTERM")
    sandbox.train("whole", before=log)
    place = next(at for at, name in enumerate(log.points()) if name.startswith("write whole/checkpoints/.000002"))
    nth = place + {"write": 1, "sync": 1, "rename": 2}[call]
    ended = sandbox.train("in-commit", before=FileCalls(tmp_path / "calls.txt", "SIGTERM", nth))
    assert ended.returncode == -signal.SIGTERM, ended
    left = sandbox.check_survivors("in-commit", ended.stdout)
    assert (left.claimed, left.durable) == (2, 2)
    sandbox.recover("in-commit")


def test_the_second_interrupt_ends_at_once(sandbox: Sandbox) -> None:
    """In a batch that never ends: the first one waits for its end, the second one does not."""
    process = sandbox.start("twice", before=sabotage.endless_batch)
    process.wait_for("in a batch")
    process.send(signal.SIGINT)
    process.wait_for("still in the batch")
    process.send(signal.SIGINT)
    assert process.finish().returncode == -signal.SIGINT
    sandbox.recover("twice")


def test_an_ignored_interrupt_stays_ignored(sandbox: Sandbox) -> None:
    """As `nohup` and `&` in a script leave it; SIGTERM still stops the run."""

    def ignoring() -> None:
        sabotage.slow_epochs()
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    process = sandbox.start("ignored", before=ignoring)
    process.wait_for(" 1/")
    process.send(signal.SIGINT)
    process.send(signal.SIGHUP)
    process.wait_for(" 2/")
    check_stop(sandbox, process, "ignored", signal.SIGTERM)


def frames_of(package: Path) -> re.Pattern[str]:
    """Frames of a traceback in a package after the first lines of its entry point; Python's own start is not ours."""
    later = r'(?:(?!__main__|__init__)[^"]*", line|[^"]*", line \d+, in (?!<module>))'
    return re.compile(f'File "{re.escape(str(package))}/{later}')


PACKAGE = Path(optilab.__file__).parent
OURS = frames_of(PACKAGE)


def test_negative_control_a_frame_of_ours() -> None:
    frames = frames_of(Path("/x/optilab/optilab"))  # a clone has the name of the package
    assert frames.search('File "/x/optilab/optilab/errors.py", line 9, in <module>')
    assert frames.search('File "/x/optilab/optilab/__main__.py", line 9, in main')
    assert not frames.search('File "/x/optilab/optilab/__main__.py", line 3, in <module>')
    assert not frames.search('File "/x/optilab/optilab/__init__.py", line 3, in <module>')


@pytest.mark.parametrize("moments", [3, pytest.param(50, marks=pytest.mark.release)])
@pytest.mark.parametrize("number", STOPS.values())
def test_stop_while_python_starts(number: int, moments: int, tmp_path: Path, rng: random.Random) -> None:
    """It dies of the signal without a traceback of ours; so does Python itself while it starts."""
    line = ["optimize", "adam", "--quiet"]
    lasted = -time.perf_counter()
    run(line, tmp_path, "fresh")
    lasted += time.perf_counter()
    codes, imports = [], 0
    for moment in range(moments):
        process = start(line, tmp_path, "fresh")
        time.sleep(lasted * (moment + rng.random()) / moments)
        process.send(number)  # one that has ended does not mind
        done = process.finish()
        if number == signal.SIGINT and done.returncode == 1 and str(PACKAGE) not in done.stderr:
            imports += 1  # "Could not import runpy"
            continue
        assert done.returncode in (0, -number), done
        assert not OURS.search(done.stderr), done.stderr
        codes.append(done.returncode)
    assert codes.count(-number) + imports >= moments // 3


def test_a_shell_loop_stops_at_the_first_interrupt(sandbox: Sandbox, tmp_path: Path) -> None:
    """One Ctrl-C: the shell sees a death by signal and starts nothing more."""
    marks, config = tmp_path / "marks", sandbox.folder / "lab.yaml"
    body = f"{' '.join(OPTILAB)} train {config} --epochs 100000 --runs-dir {tmp_path}/r >/dev/null"
    script = f"for i in 1 2 3; do echo $i >> {marks}; {body}; done; echo after >> {marks}"
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=sandbox.folder,
        env=environment(),
        start_new_session=True,
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: bool(list(tmp_path.glob("r/*/metrics.csv"))))
    os.killpg(shell.pid, signal.SIGINT)
    _, error = shell.communicate()
    assert shell.returncode in (-signal.SIGINT, 130)
    assert b"--resume" in error
    assert marks.read_text(encoding="utf-8") == "1\n"


def test_ctrl_c_shows_the_cursor_again(sandbox: Sandbox) -> None:
    line, typed = sandbox.argv("terminal", "--epochs", "100000"), ("val", "\x03")
    seen = on_a_terminal(line, sandbox.folder, typed=typed, code=-signal.SIGINT)
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")  # after it was hidden
    assert "--resume terminal" in seen
    assert "Traceback" not in seen


def test_a_training_outlives_its_reader(sandbox: Sandbox, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = sandbox.start("headless", before=sabotage.slow_epochs, stdout=str(pipe))
    with pipe.open(encoding="utf-8") as reader:
        assert reader.readline()
    done = process.finish()
    assert (done.returncode, done.stderr) == (0, "")
    sandbox.compare("headless")


def test_negative_control_an_endless_process_is_reported(sandbox: Sandbox) -> None:
    process = sandbox.start("endless", "--epochs", "1000000")
    with pytest.raises(AssertionError, match="still running"):
        process.finish(1.0)
