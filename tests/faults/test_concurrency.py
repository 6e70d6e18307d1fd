"""One name, one writer: processes that want the same name, or the same run, at the same time."""

import os
import signal
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from optilab import runs
from optilab.errors import ExitCode
from tests.faults import sabotage
from tests.faults.sandbox import EPOCHS, Sandbox
from tests.kit.processes import Process, start, wait_until


def hold() -> None:
    """The process waits for SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


def let_go(processes: list[Process]) -> list[CompletedProcess[str]]:
    for process in processes:
        wait_until(lambda process=process: "(stopped)" in Path(f"/proc/{process.pid}/status").read_text())
    for process in processes:
        process.send(signal.SIGCONT)
    return [process.finish() for process in processes]


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.release)])
def test_one_of_many_gets_a_name(rounds: int, sandbox: Sandbox) -> None:
    for _ in range(rounds):
        ended = let_go([sandbox.start("wanted", before=hold) for _ in range(6)])
        assert sorted(done.returncode for done in ended) == [0, *[ExitCode.RUN] * 5], ended
        losers = [done for done in ended if done.returncode]
        assert all("already exists" in done.stderr and not done.stdout for done in losers), losers
        assert not list((sandbox.folder / "runs").glob(".new-*"))
        sandbox.compare("wanted")
        sandbox.remove("wanted")


@pytest.mark.parametrize("count", [8, pytest.param(160, marks=pytest.mark.release)])
def test_runs_without_a_name_get_different_ones(count: int, sandbox: Sandbox, tmp_path: Path) -> None:
    for _ in range(count // 8):
        line = ["optimize", "sgd", "--epochs", "2", "--quiet"]
        ended = let_go([start(line, tmp_path, before=hold) for _ in range(8)])
        assert all(done.returncode == 0 for done in ended), ended
    assert len(runs.directories(tmp_path / "runs")) == count


def test_one_of_many_resumes_a_run(sandbox: Sandbox) -> None:
    """It trains until the others have been refused."""
    sandbox.train("shared", "--epochs", "1")
    line = sandbox.resume_argv("shared")
    processes = [start(line, sandbox.folder, before=sabotage.held_epochs) for _ in range(4)]
    wait_until(lambda: sum(process.alive() for process in processes) <= 1)
    (sandbox.folder / "go").touch()
    ended = [process.finish() for process in processes]
    (sandbox.folder / "go").unlink()
    assert sorted(done.returncode for done in ended) == [0, *[ExitCode.RUN] * 3], ended
    assert all("running in another process" in done.stderr for done in ended if done.returncode)
    sandbox.compare("shared")


def test_a_run_that_grows_is_not_taken_for_done(sandbox: Sandbox) -> None:
    """Between its writes, too: a grown `epochs` is seen only in a run that says it is running."""
    sandbox.train("grows", "--epochs", "2")
    line = sandbox.resume_argv("grows")
    winner = start(line, sandbox.folder, before=sabotage.pause_after_config)
    wait_until(lambda: f"epochs: {EPOCHS}" in (sandbox.path("grows") / "config.yaml").read_text(encoding="utf-8"))
    late = sandbox.type(*line)
    assert late.returncode == ExitCode.RUN, late
    assert "running in another process" in late.stderr
    assert winner.finish().returncode == 0
    sandbox.compare("grows")


def test_a_running_run_can_only_be_read(sandbox: Sandbox) -> None:
    """Its state is listed, readers always see whole rows, and neither resume nor rm touch it."""
    process = sandbox.start("alive", before=sabotage.held_epochs)
    wait_until(lambda: sandbox.path("alive").exists())
    readings = 0
    while process.alive():
        rows = runs.read(sandbox.path("alive")).rows()
        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
        readings += 1
        if readings == 20:
            for line in (["train", "--resume", "alive"], ["runs", "rm", "alive", "--yes"]):
                refused = sandbox.type(*line)
                assert refused.returncode == ExitCode.RUN
                assert "running in another process" in refused.stderr
            assert "running" in _line(sandbox.type("runs", "ls").stdout, "alive")
            (sandbox.folder / "go").touch()
    (sandbox.folder / "go").unlink()
    assert process.finish().returncode == 0
    sandbox.compare("alive")


def _line(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"{name} "))
