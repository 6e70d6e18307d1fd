"""Disks that are full, read-only or limited, by a tmpfs of its own; and runs that another process writes."""

import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from optilab import runs
from tests.faults.conftest import Drawn, Figure
from tests.faults.harness import Lab, environment, fresh, in_parallel, said, until

REMOUNT = "mount --options-mode ignore -o remount"
"""Without the options it was mounted with: its owner's number has no meaning in a user's own namespace."""
SIZES = (4, 8, 12, 16, 64, 256, 500, 620, 640, 700, 1000, 1240, 1300, 1800, 1900, 2000)  # KiB
PYTHON = f"{sys.executable} -m optilab"


def _in_namespace(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A shell with mounts of its own, which end with it."""
    command = ["unshare", "-rm", "sh", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def _full_disk(lab: Lab, size: int) -> str:
    """Train on a disk of that size; then, with space again, resume: what was left in between."""
    folder = lab.folder / f"disk-{size}"
    disk, argv = folder / "mnt", " ".join(["train", "--config", str(lab.folder / "lab.yaml"), "--epochs", "12"])
    disk.mkdir(parents=True)
    (folder / "data").symlink_to(lab.folder / "data")
    script = f"""
        mount -t tmpfs -o size={size}k none {disk} || exit 99
        {PYTHON} {argv} --runs-dir {disk} --name full >first.out 2>first.err
        echo $? >code
        cp -r {disk}/. before
        {REMOUNT},size=64m {disk}
        if [ -d {disk}/full ]; then {PYTHON} train --resume full --runs-dir {disk} >/dev/null
        else {PYTHON} {argv} --runs-dir {disk} --name full >/dev/null; fi || exit 98
        cp -r {disk}/full after
    """
    done = _in_namespace(script, folder)
    assert done.returncode == 0, done
    error = said((folder / "first.err").read_text(encoding="utf-8"))
    assert (folder / "code").read_text(encoding="utf-8").strip() == "7", error
    assert "No space left on device" in error
    assert "needs" in error
    assert "bytes" in error
    assert str(disk) in error
    assert error.count("\n") == 1, error
    inner = Lab(folder, lab.warm, reference=lab.reference)
    shutil.move(folder / "after", inner.path("after"))
    inner.compare("after")
    assert not list((folder / "before").rglob("*.tmp-*"))
    left = "absent"
    if (folder / "before" / "full").exists():
        shutil.move(folder / "before" / "full", inner.path("before"))
        left = inner.examine("before", (folder / "first.out").read_text(encoding="utf-8")).where
    shutil.rmtree(folder)
    return left


@pytest.mark.parametrize("count", [1, pytest.param(len(SIZES), marks=pytest.mark.slow)])
def test_full_disk(lab: Lab, figure: Figure, needs: Callable[..., None], count: int, drawn: Drawn) -> None:
    needs("unshare")
    sizes = drawn(11).sample(SIZES, count)
    left = Counter(in_parallel([lambda size=size: _full_disk(lab, size) for size in sizes]))
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(left.items()))
    figure("G11", f"{len(sizes)} full disks", f"{len(sizes)} exit status 7, {len(sizes)} identical; left {told}")


def test_read_only_runs(lab: Lab, needs: Callable[..., None]) -> None:
    """Refused before any training, naming the place; what is there can be read."""
    needs("unshare")
    folder = lab.folder / "read-only"
    folder.mkdir()
    argv = " ".join(lab.argv("x", "--runs-dir", str(folder)))
    script = f"""
        mount -t tmpfs none {folder} && cp -r runs/reference {folder} && {REMOUNT},ro {folder} || exit 99
        {PYTHON} {argv}; test $? = 7 || exit 98
        {PYTHON} optimize --algo adam --runs-dir {folder} >/dev/null; test $? = 7 || exit 97
        {PYTHON} train --resume reference --epochs 14 --runs-dir {folder}; test $? = 7 || exit 96
        {PYTHON} runs ls --runs-dir {folder} && {PYTHON} runs show reference --runs-dir {folder}
    """
    done = _in_namespace(script, lab.folder)
    assert done.returncode == 0, done
    assert done.stderr.count("Read-only file system") == 3
    assert done.stderr.count(str(folder)) >= 3
    assert "epoch 1/" not in done.stdout
    assert "done" in done.stdout


def test_file_size_limit(lab: Lab) -> None:
    """EFBIG, as ENOSPC: the checkpoint is not claimed, nothing half written stays."""
    before = ["bash", "-c", 'ulimit -f 100; exec "$@"', "limited"]
    done = fresh(lab.argv("limited"), lab.folder, before=before).finish()
    assert done.code == 7
    assert "File too large" in done.err
    assert lab.examine("limited", done.out).durable == 0
    lab.recover("limited")


def test_nothing_but_a_read_only_world(lab: Lab) -> None:
    """No HOME, no PATH, no TMPDIR: help, version and lists still work."""
    for argv in (
        ["--version"],
        ["--help"],
        ["config", "ls"],
        ["runs", "ls"],
        ["optimize", "--algo", "adam", "-q"],
    ):
        done = fresh(argv, lab.folder, env={"PYTHONPATH": environment()["PYTHONPATH"]}).finish()
        assert (done.code, done.err) == (0, ""), done


# --- several processes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_one_name_many_processes(lab: Lab, figure: Figure, rounds: int) -> None:
    for number in range(rounds):
        name = f"wanted-{rounds}-{number}"
        processes = [lab.start(name, "--epochs", "2", hold=True) for _ in range(8)]
        time.sleep(0.1)
        for process in processes:
            process.send(signal.SIGCONT)
        ended = [process.finish() for process in processes]
        assert sorted(done.code for done in ended) == [0] + [4] * 7, ended
        losers = [done for done in ended if done.code == 4]
        assert all(name in done.err and "already exists" in done.err and not done.out for done in losers), losers
        assert not list((lab.folder / "runs").glob(".new-*"))
        lab.forget(name)
    figure("G10", f"{rounds} x 8 processes on one name", f"1 winner and 7 exit status 4 in {rounds} of {rounds}")


@pytest.mark.parametrize("count", [16, pytest.param(160, marks=pytest.mark.slow)])
def test_names_that_nobody_gave(lab: Lab, figure: Figure, count: int, tmp_path: Path) -> None:
    for _ in range(count // 8):
        argv = ["optimize", "--algo", "sgd", "--epochs", "2", "--quiet"]
        processes = [lab.warm.start(argv, tmp_path, hold=True) for _ in range(8)]
        for process in processes:
            time.sleep(0.01)
            process.send(signal.SIGCONT)
        ended = [process.finish() for process in processes]
        assert all(done.code == 0 for done in ended), ended
    found = len(runs.directories(tmp_path / "runs"))
    figure("G10", f"{count} runs without a name, 8 at a time", f"{found} directories")
    assert found == count


def test_many_resume_one_run(lab: Lab) -> None:
    """One trains; it is held until the others have been refused, however late they come."""
    lab.start("shared", "--epochs", "5").finish()
    argv = ["train", "--resume", "shared", "--epochs", "12"]
    processes = [lab.warm.start(argv, lab.folder, sabotage="held_epochs") for _ in range(6)]
    until(lambda: sum(process.alive() for process in processes) <= 1)
    (lab.folder / "go").touch()
    ended = [process.finish() for process in processes]
    assert sorted(done.code for done in ended) == [0] + [4] * 5, ended
    assert all("running in another process" in done.err for done in ended if done.code == 4)
    lab.compare("shared")
    (lab.folder / "go").unlink()


def test_a_run_that_grows_is_not_taken_for_done(lab: Lab) -> None:
    """Between its writes, too: a grown `epochs` is seen only in a run that says it is running."""
    lab.start("grows", "--epochs", "5").finish()
    argv = ["train", "--resume", "grows", "--epochs", "12"]
    winner = lab.warm.start(argv, lab.folder, sabotage="pause_after_config")
    until(lambda: "epochs: 12" in (lab.path("grows") / "config.yaml").read_text(encoding="utf-8"))
    late = lab.warm.run(argv, lab.folder)
    assert late.code == 4, late
    assert "running in another process" in late.err
    assert winner.finish().code == 0
    lab.compare("grows")


def test_a_running_run_is_left_alone_and_can_be_read(lab: Lab) -> None:
    """Its true state is listed, readers always see whole rows, and neither resume nor rm touch it."""
    process = lab.start("alive", sabotage="held_epochs")
    until(lambda: lab.path("alive").exists())
    readings = 0
    while process.alive():
        record = runs.read(lab.path("alive"))
        rows = record.rows()
        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
        if readings == 20:
            for argv in (["train", "--resume", "alive"], ["runs", "rm", "alive", "--yes"]):
                refused = lab.warm.run(argv, lab.folder)
                assert refused.code == 4
                assert "running in another process" in refused.err
            listed = lab.warm.run(["runs", "ls"], lab.folder)
            line = next(line for line in listed.out.splitlines() if line.startswith("alive"))
            assert "running" in line
            (lab.folder / "go").touch()
        readings += 1
    assert process.finish().code == 0
    assert readings > 20
    lab.compare("alive")
    (lab.folder / "go").unlink()


def test_the_state_of_a_killed_run_is_interrupted(lab: Lab) -> None:
    process = lab.start("killed", sabotage="slow_epochs")
    until(lambda: "epoch 2/" in process.printed())
    process.send(signal.SIGKILL)
    process.finish()
    assert '"status": "running"' in (lab.path("killed") / "manifest.json").read_text(encoding="utf-8")
    listed = lab.warm.run(["runs", "ls"], lab.folder)
    line = next(line for line in listed.out.splitlines() if line.startswith("killed "))
    assert "interrupted" in line
    lab.recover("killed")
