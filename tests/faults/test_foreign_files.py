"""Foreign files are never modified, and odd ones never block; a run is written through no link."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from optilab.errors import ExitCode
from tests.faults import sabotage
from tests.faults.sandbox import Sandbox
from tests.kit.command import environment, run

MANIFEST = '{"schema_version": 3, "command": "train", "status": "done", "name": "x"}'


def another_tools_run(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, text in {"thesis.txt": "precious", "manifest.json": MANIFEST, "config.yaml": "a: 1\n"}.items():
        (folder / name).write_text(text, encoding="utf-8")


def with_a_fifo(folder: Path) -> None:
    another_tools_run(folder)
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")


def with_a_device(folder: Path) -> None:
    another_tools_run(folder)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to("/dev/zero")


def a_link(folder: Path) -> None:
    outside = folder.parents[1] / f"outside-{folder.parent.name}"
    another_tools_run(outside)
    folder.parent.mkdir(exist_ok=True)
    folder.symlink_to(outside)


COMMANDS = """\
runs rm THING --yes
runs rm runs/THING --yes
runs rm * --older-than 1m --yes
runs show THING
runs ls
train --resume THING
train relu.yaml --name THING
optimize sgd --name THING
optimize THING/manifest.json
config cp sigmoid.yaml THING/thesis.txt
"""


def tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a folder: kind and mode, and what is in a file and when it was written."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        regular = stat.S_ISREG(status.st_mode)
        found[str(path)] = (
            (status.st_mode, status.st_mtime_ns, path.read_bytes()) if regular else (status.st_mode,)
        )
    return found


@pytest.mark.parametrize("thing", [another_tools_run, with_a_fifo, with_a_device, a_link])
def test_foreign_directories_are_left_alone(thing: Callable[[Path], None], tmp_path: Path) -> None:
    """In the working directory and among the runs, under the name that the command gets."""
    thing(tmp_path / "THING")
    thing(tmp_path / "runs" / "THING")
    before = tree(tmp_path)
    for line in COMMANDS.splitlines():
        done = run(line.split(), tmp_path, env=environment(HOME=tmp_path))
        assert done.returncode in {*ExitCode} - {ExitCode.BUG}, (line, done)
        assert tree(tmp_path) == before, (line, done)


def test_negative_control_a_tree_shows_a_change(tmp_path: Path) -> None:
    another_tools_run(tmp_path / "x")
    before = tree(tmp_path)
    (tmp_path / "x" / "thesis.txt").write_text("PRECIOUS", encoding="utf-8")
    assert tree(tmp_path) != before


# --- links -------------------------------------------------------------------------------------------------

LINKED = {
    **dict.fromkeys(("run", "checkpoints", "run.lock"), ExitCode.RUN),
    **dict.fromkeys(("manifest.json", "config.yaml"), ExitCode.CHECKPOINT),
    **dict.fromkeys(("metrics.csv", "timings.csv", "diagnostics.jsonl"), ExitCode.OK),
    "optilab.log": ExitCode.BUG,
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious.txt").write_text("precious", encoding="utf-8")
    return folder


@pytest.mark.parametrize("what", LINKED)
def test_a_resume_writes_through_no_link(what: str, sandbox: Sandbox, outside: Path) -> None:
    """Refused, or the link is replaced; what it points to keeps its bytes and gets no company."""
    sandbox.train("linked", "--epochs", "2")
    run = sandbox.path("linked")
    file = run if what == "run" else run / what
    if file.exists():
        shutil.move(file, outside / "target")
    file.symlink_to(outside / ("target" if (outside / "target").exists() else "precious.txt"))
    before = tree(outside)
    done = sandbox.resume("linked", before=sabotage.bug if what == "optilab.log" else None)
    assert tree(outside) == before
    assert done.returncode == LINKED[what], done
    assert done.returncode in (ExitCode.OK, ExitCode.BUG) or "link" in done.stderr
    if done.returncode == ExitCode.OK:
        assert not (run / what).is_symlink() or what == "diagnostics.jsonl"


def test_rm_does_not_follow_links(sandbox: Sandbox, outside: Path) -> None:
    sandbox.train("to-remove", "--epochs", "1")
    (sandbox.path("to-remove") / "link").symlink_to(outside)
    (sandbox.path("to-remove") / "checkpoints" / "file").symlink_to(outside / "precious.txt")
    sandbox.path("link-to-run").symlink_to(outside)
    before = tree(outside)
    for name in ("link-to-run", "..", "../runs", str(outside), "."):
        assert sandbox.type("runs", "rm", name, "--yes").returncode in (ExitCode.USAGE, ExitCode.RUN)
    assert sandbox.type("runs", "rm", "to-remove", "--yes").returncode == ExitCode.OK
    assert not sandbox.path("to-remove").exists()
    assert tree(outside) == before
    assert not list((sandbox.folder / "runs").glob(".old-*"))
