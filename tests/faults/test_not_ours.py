"""What is not optilab's, in the way of its commands: nothing is touched, nothing hangs, nothing is read whole (G21)."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Tally
from tests.faults.harness import Warm, run

MEGABYTES = 200
SECONDS = 20.0


def _files(**texts: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        folder.mkdir(parents=True)
        for name, text in {"thesis.txt": "precious", **texts}.items():
            (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")

    return make


def _odd(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        _files()(folder)
        make(folder / name)

    return build


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path may not be long
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 << 30)


def _link_out(path: Path) -> None:
    outside = path.parents[1] / f"outside-{path.parent.name}"
    _files(manifest_json="{}")(outside)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(outside)


ANOTHER_TOOL = '{"schema_version": 1, "command": "train", "status": "done", "name": "x"}'
THINGS: dict[str, Callable[[Path], None]] = {
    "notes": _files(),
    "an empty manifest": _files(manifest_json="{}", config_yaml="a: 1\n"),
    "a web app": _files(manifest_json='{"manifest_version": 3, "name": "app"}', study_yaml="[1]"),
    "another tool's run": _files(manifest_json=ANOTHER_TOOL, config_yaml="a: 1\n", metrics_csv="a,b\n1,2\n"),
    "a FIFO as manifest": _odd("manifest.json", os.mkfifo),
    "a FIFO as study": _odd("study.yaml", os.mkfifo),
    "a socket as manifest": _odd("manifest.json", _socket),
    "a device as manifest": _odd("manifest.json", lambda path: path.symlink_to("/dev/zero")),
    "20 GB as manifest": _odd("manifest.json", _sparse),
    "a directory as manifest": _odd("manifest.json", Path.mkdir),
    "a link to a folder": _link_out,
}
COMMANDS: list[list[str]] = [
    ["runs", "ls"],
    ["runs", "ls", "--json"],
    ["runs", "ls", "--runs-dir", "THING"],
    ["runs", "show", "THING"],
    ["runs", "show", "THING", "--json"],
    ["runs", "show", "./THING"],
    ["runs", "show", "runs/THING"],
    ["runs", "show", "latest"],
    ["runs", "path", "THING"],
    ["runs", "path", "./THING"],
    ["runs", "rm", "THING", "--yes"],
    ["runs", "rm", "./THING", "--yes"],
    ["runs", "rm", "runs/THING", "--yes"],
    ["runs", "rm", "THIN?", "--yes"],
    ["runs", "rm", "*", "--yes"],
    ["runs", "rm", "THING*", "--older-than", "1m", "--yes"],
    ["runs", "rm", "--older-than", "1m", "--yes"],
    ["runs", "rm", "latest", "--yes"],
    ["train", "--resume", "THING"],
    ["train", "--resume", "./THING"],
    ["train", "--resume", "latest"],
    ["train", "--config", "relu.yaml", "--name", "THING"],
    ["train", "--config", "THING"],
    ["train", "--config", "THING/manifest.json"],
    ["remedy", "THING"],
    ["diagnose", "THING/manifest.json"],
    ["optimize", "--algo", "sgd", "--name", "THING"],
    ["optimize", "--config", "THING/manifest.json"],
    ["config", "check", "THING/manifest.json"],
    ["config", "cp", "sigmoid.yaml", "THING/thesis.txt"],
]


def _tree(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything below a folder: kind and mode; of what is not a directory also size, time and, if small, bytes."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        small = stat.S_ISREG(status.st_mode) and status.st_size < 1 << 20
        facts = (status.st_mode, status.st_size, status.st_mtime_ns)
        if stat.S_ISDIR(
            status.st_mode
        ):  # `optimize` prepares its directory beside the runs before it sees the name
            facts = (status.st_mode, 0, 0)
        found[str(path.relative_to(folder))] = (*facts, path.read_bytes() if small else b"")
    return found


@pytest.mark.parametrize("thing", list(THINGS))
def test_what_is_not_ours_is_left_alone(light: Warm, tmp_path: Path, thing: str, tally: Tally) -> None:
    """The thing stands in the working directory and among the runs, under the name that the command gets."""
    for place in (tmp_path / "THING", tmp_path / "runs" / "THING"):
        THINGS[thing](place)
    (tmp_path / ".outputs").mkdir()
    before = {name: facts for name, facts in _tree(tmp_path).items() if not name.startswith(".")}
    codes = set()
    table, total = f"{len(COMMANDS)} commands x {len(THINGS)} foreign things", len(THINGS) * len(COMMANDS)
    told = f"{{}} of {total} untouched"
    for argv in COMMANDS:
        done = light.start(argv, tmp_path).finish(SECONDS)  # raises where it hangs
        assert done.code in (0, 2, 3, 4, 5, 7), (argv, done)
        assert "Traceback" not in done.err, (argv, done)
        assert done.megabytes < MEGABYTES, (argv, done)
        after = {name: facts for name, facts in _tree(tmp_path).items() if not name.startswith(".")}
        assert after == before, (argv, done)
        codes.add(done.code)
        tally("G21", table, told, done.seconds, 1)
    assert codes >= ({2, 4} if thing == "a link to a folder" else {2, 4, 5})


def test_a_tree_shows_a_change(tmp_path: Path) -> None:
    """A check that cannot fail is not one."""
    _files(manifest_json="{}")(tmp_path / "x")
    before = _tree(tmp_path)
    (tmp_path / "x" / "thesis.txt").write_text("PRECIOUS", encoding="utf-8")
    assert _tree(tmp_path) != before


def test_a_numpy_of_the_working_directory_is_not_imported(tmp_path):
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong one')\n")
    done = run(["optimize", "sgd", "--epochs", "1"], tmp_path)
    assert done.code == 0, done.err
