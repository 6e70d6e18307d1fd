"""Signals, terminals and pipes: a run stops when asked, dies by that signal, and leaves the terminal as it was."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.conftest import Drawn, Figure
from tests.faults.harness import SECONDS, Lab, Process, Violation, Warm, environment, fresh, said

STOPS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP}
OPTILAB = [sys.executable, "-m", "optilab"]


def _wait_for(process: Process, text: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while text not in process.printed():
        assert process.alive()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _stopped(lab: Lab, process: Process, name: str, number: int) -> None:
    """It stops at the next batch, dies of the signal, prints how to resume, and resuming gives the undisturbed run."""
    process.stop()
    epochs = process.printed().count("\nepoch ")
    process.send(number)
    process.send(signal.SIGCONT)
    done = process.finish()
    assert done.code == -number, done
    # Of the epochs after the signal only one whose commit had begun may be completed.
    assert done.out.count("\nepoch ") <= epochs + 1
    assert "Traceback" not in done.err
    left = lab.examine(name, done.out)
    if left.where not in ("absent", "done"):
        assert f"optilab train --resume {name}" in done.err
        assert "interrupted" in (lab.path(name) / "manifest.json").read_text(encoding="utf-8")
        assert left.where != "commit"  # a commit that had begun was completed
    lab.recover(name)
    lab.forget(name)


@pytest.mark.parametrize("trials", [2, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", list(STOPS))
def test_stop_at_a_random_time(lab: Lab, figure: Figure, name: str, trials: int, drawn: Drawn) -> None:
    chance = drawn(6)
    for number in range(trials):
        run = f"{name.lower()}-{trials}-{number}"
        process = lab.start(run, sabotage="slow_epochs")
        _wait_for(process, "checksums ok")
        time.sleep(chance.uniform(0.0, 10 * 0.02 * (lab.epochs - 4)))
        _stopped(lab, process, run, STOPS[name])
    figure("G9", f"{trials} {name} at random times", f"{trials} died of it in that epoch, {trials} identical")


def test_stop_in_a_commit(lab: Lab) -> None:
    """The commit is completed: the handler only sets a flag."""
    folder = lab.path("in-commit") / "checkpoints"
    process = lab.start("in-commit", sabotage="slow_epochs")
    while not (folder.is_dir() and any(".tmp-" in file.name for file in folder.iterdir())):
        assert process.alive()
    _stopped(lab, process, "in-commit", signal.SIGTERM)


@pytest.mark.parametrize("name", list(STOPS))
def test_stop_a_fresh_process_in_its_start(lab: Lab, name: str) -> None:
    """While Python still imports there is no run yet; it dies of the signal without a traceback of ours."""
    for delay in (0.3, 0.9, 1.5):
        process = fresh(lab.argv("start-up"), lab.folder)
        time.sleep(delay)
        process.send(STOPS[name])  # one that has ended does not mind
        done = process.finish()
        assert done.code in (-STOPS[name], 0), done
        if lab.path("start-up").exists():
            lab.recover("start-up")
        lab.forget("start-up")


def test_second_interrupt_ends_at_once(lab: Lab) -> None:
    """In a batch that never ends: the first one waits for its end, the second one does not."""
    process = lab.start("twice", sabotage="endless_batch")
    _wait_for(process, "in a batch")
    process.send(signal.SIGINT)
    _wait_for(process, "still in the batch")
    process.send(signal.SIGINT)
    assert process.finish().code == -signal.SIGINT
    lab.recover("twice")


def test_ignored_interrupt_stays_ignored(lab: Lab) -> None:
    """As `nohup` and `&` in a script leave it; SIGTERM still stops the run."""
    process = lab.start("ignored", sabotage="slow_epochs", ignore=["SIGINT", "SIGHUP"])
    _wait_for(process, "epoch 1/")
    process.send(signal.SIGINT)
    process.send(signal.SIGHUP)
    _wait_for(process, "epoch 3/")
    _stopped(lab, process, "ignored", signal.SIGTERM)


def test_resume_right_after_a_kill(lab: Lab) -> None:
    """The kernel has released the lock; nothing is waited for and nothing forced."""
    process = lab.start("again-at-once", sabotage="slow_epochs")
    _wait_for(process, "epoch 2/")
    process.send(signal.SIGKILL)
    process.finish()
    lab.recover("again-at-once")


def test_shell_loop_stops_at_the_first_interrupt(lab: Lab, tmp_path: Path) -> None:
    """One Ctrl-C: the shell sees a death by signal and starts nothing more."""
    marks = tmp_path / "marks"
    config = lab.folder / "lab.yaml"
    body = (
        f"{sys.executable} -m optilab train --config {config} --epochs 100000 --runs-dir {tmp_path}/r >/dev/null"
    )
    script = f"for i in 1 2 3; do echo $i >> {marks}; {body}; done; echo after >> {marks}"
    shell = subprocess.Popen(
        ["bash", "-c", script], cwd=lab.folder, env=environment(), start_new_session=True, stderr=subprocess.PIPE
    )
    while not list(tmp_path.glob("r/*/metrics.csv")):
        time.sleep(0.02)
    os.killpg(shell.pid, signal.SIGINT)
    assert shell.wait(20) in (-signal.SIGINT, 130)
    assert shell.stderr is not None
    assert b"--resume" in shell.stderr.read()
    shell.stderr.close()
    assert marks.read_text(encoding="utf-8") == "1\n"


# --- terminals ---------------------------------------------------------------------------------------------


def _on_terminal(argv: list[str], cwd: Path, stop: bool, **env: str) -> tuple[int, str]:
    """Run on a terminal of its own; with `stop`, Ctrl-C is typed when the first epoch is seen."""
    keyboard, screen = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *OPTILAB, *argv] if stop else [*OPTILAB, *argv],
        cwd=cwd,
        env=environment(**{"TERM": "xterm-256color", **env}),
        stdin=screen,
        stdout=screen,
        stderr=screen,
    )
    os.close(screen)
    seen, deadline, typed = b"", time.monotonic() + SECONDS, False
    while time.monotonic() < deadline:
        if select.select([keyboard], [], [], 0.1)[0]:
            try:
                data = os.read(keyboard, 65536)
            except OSError:  # the other side is closed
                break
            seen += data
        if stop and not typed and b"val" in seen:
            os.write(keyboard, b"\x03")
            typed = True
    code = process.wait(20)
    os.close(keyboard)
    return code, seen.decode("utf-8", "replace")


def test_cursor_is_shown_again_after_ctrl_c(lab: Lab, figure: Figure) -> None:
    argv = lab.argv("terminal", "--epochs", "100000")
    code, seen = _on_terminal(argv, lab.folder, stop=True)
    assert code in (130, -signal.SIGINT), seen[-500:]
    assert "\x1b[?25l" in seen  # it was hidden
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")
    assert "--resume terminal" in seen
    assert "Traceback" not in seen
    figure("G9", "Ctrl-C on a terminal", "cursor shown, resume command printed")


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(tmp_path: Path, env: dict[str, str]) -> None:
    code, seen = _on_terminal(["optimize", "--algo", "adam", "--epochs", "3"], tmp_path, stop=False, **env)
    assert code == 0
    assert "\x1b[3" not in seen


# --- pipes -------------------------------------------------------------------------------------------------


def test_no_control_sequences_in_a_pipe(lab: Lab) -> None:
    done = lab.start("piped").finish()
    assert done.out.count("\nepoch ") == lab.epochs
    assert not any(letter in done.out + done.err for letter in "\x1b\r\x9b")


@pytest.mark.parametrize(
    "command", ["optimize --algo adam --epochs 5000 --json", "config show train", "config ls"]
)
def test_a_reader_that_leaves_is_no_error(tmp_path: Path, command: str) -> None:
    script = f"{sys.executable} -m optilab {command} | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")


def test_training_goes_on_when_the_reader_leaves(lab: Lab, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = lab.warm.start(lab.argv("headless"), lab.folder, stdout=str(pipe))
    with pipe.open(encoding="utf-8") as reader:
        assert reader.readline()
    done = process.finish()
    assert (done.code, said(done.err)) == (0, "")
    lab.compare("headless")


def test_a_full_stdout_is_a_system_failure(lab: Lab) -> None:
    for argv in (["optimize", "--algo", "adam", "--epochs", "3"], ["config", "ls"], lab.argv("full")):
        done = lab.warm.run(argv, lab.folder, stdout="/dev/full")
        assert done.code == 7, (argv, done)
        assert said(done.err).count("\n") == 1, done.err
        assert "No space left" in done.err
    lab.recover("full")


@pytest.mark.parametrize("env", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C"}])
def test_other_encodings(lab: Lab, env: dict[str, str]) -> None:
    for argv in (["optimize", "--algo", "adam"], ["config", "show", "train"], ["runs", "ls"]):
        done = fresh(argv, lab.folder, env=environment(**env)).finish()
        assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("columns", ["1", "20", "10000"])
def test_any_width(lab: Lab, light: Warm, columns: str) -> None:
    for argv in (["optimize", "--algo", "adam"], ["config", "show", "train"], ["runs", "ls"]):
        done = light.run(argv, lab.folder, env={"COLUMNS": columns})
        assert (done.code, done.err) == (0, "")
        assert max(map(len, done.out.splitlines())) > 20  # not a letter per line


def test_a_deleted_working_directory(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    script = f"mkdir {gone}; cd {gone}; rmdir {gone}; {sys.executable} -m optilab optimize --algo adam"
    done = subprocess.run(["bash", "-c", script], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode in (0, 7)
    assert "Traceback" not in done.stderr


def test_harness_reports_a_process_that_does_not_end(lab: Lab) -> None:
    process = lab.start("endless", "--epochs", "1000000")
    with pytest.raises(Violation, match="still running"):
        process.finish(1.0)
    lab.forget("endless")
