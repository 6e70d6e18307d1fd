"""What a start decides: streams that are closed, full or left by their reader, encodings, modules."""

import subprocess
from pathlib import Path

import pytest

from tests.faults.sandbox import Sandbox
from tests.kit.command import OPTILAB, environment, run
from tests.kit.processes import IMPORTED_TORCH

COMMANDS = {
    "config ls": 0,
    "trian": 2,
    "train missing.yaml --json": 2,
    "config check missing.yaml": 2,
}
STATES: dict[str, dict[str, str]] = {
    "closed": {"stdin": "closed", "stdout": "closed", "stderr": "closed"},
    "stdout full": {"stdout": "/dev/full"},
    "stderr full": {"stderr": "/dev/full"},
    "no reader": {"stdout": "pipe", "stderr": "pipe"},
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", COMMANDS)
def test_streams_that_cannot_be_written(command: str, state: str, tmp_path: Path) -> None:
    """A result that cannot be written is exit status 7, an error keeps its own; without a reader SIGPIPE kills."""
    code = COMMANDS[command]
    expected = {"stdout full": code or 7, "no reader": -13}.get(state, code)
    done = run(command.split(), tmp_path, "forked without torch", **STATES[state])
    assert done.returncode == expected, done
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "code"),
    [("trian >&- 2>&-", 2), ("optimize sgd --json <&- >&- 2>&-", 0), ("config ls | head -c 1", 0)],
)
def test_streams_of_a_shell(line: str, code: int, tmp_path: Path) -> None:
    """The same from fresh processes."""
    script = f"unset PYTHONUNBUFFERED; {' '.join(OPTILAB)} {line}"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=environment(), capture_output=True, check=False)
    assert done.returncode == code, done
    assert b"Traceback" not in done.stderr


def test_a_training_without_streams_is_the_same(sandbox: Sandbox) -> None:
    closed = dict.fromkeys(("stdin", "stdout", "stderr"), "closed")
    assert sandbox.train("closed", **closed).returncode == 0
    sandbox.compare("closed")
    full = sandbox.train("full", stdout="/dev/full")
    assert full.returncode == 7
    assert "No space left" in full.stderr
    sandbox.recover("full")


@pytest.mark.parametrize("env", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"COLUMNS": "1"}])
def test_encodings_and_widths(env: dict[str, str], sandbox: Sandbox) -> None:
    """Without HOME, PATH and TMPDIR."""
    env = {"PYTHONPATH": environment()["PYTHONPATH"], **env}
    done = run(["runs", "show", "reference"], sandbox.folder, "fresh", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) > 20  # not a letter per line


def test_a_working_directory_that_was_deleted(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    script = f"mkdir {gone}; cd {gone}; rmdir {gone}; {' '.join(OPTILAB)} optimize adam"
    done = subprocess.run(["sh", "-c", script], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode in (0, 7)
    assert "Traceback" not in done.stderr


def test_modules_of_the_working_directory_are_not_imported(tmp_path: Path) -> None:
    for name in ("numpy", "yaml", "pydantic", "csv", "typer", "rich"):
        (tmp_path / f"{name}.py").write_text("open('canary', 'w')\n", encoding="utf-8")
    done = run(["optimize", "sgd", "--quiet"], tmp_path, "fresh")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "canary").exists()


SURROUNDINGS = [
    {"PYTHONHASHSEED": "4242", "LC_ALL": "C"},
    {"LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "COLUMNS": "1"},
    {"PYTHONOPTIMIZE": "1", "OMP_NUM_THREADS": "2", "TERM": "dumb"},
]


@pytest.mark.parametrize(
    "env", [SURROUNDINGS[0], *(pytest.param(env, marks=pytest.mark.nightly) for env in SURROUNDINGS[1:])]
)
def test_surroundings_change_no_byte(env: dict[str, str], sandbox: Sandbox) -> None:
    """A fresh process writes the bytes of those that are forked."""
    done = run(sandbox.argv("fresh"), sandbox.folder, "fresh", env=environment(**env))
    assert done.returncode == 0, done
    sandbox.compare("fresh")


def test_negative_control_an_import_of_torch(sandbox: Sandbox) -> None:
    done = run(sandbox.argv("x"), sandbox.folder, "forked without torch", code=IMPORTED_TORCH)
    assert done.stderr.endswith("torch was imported\n")


def test_few_open_files_are_named(sandbox: Sandbox) -> None:
    before = ["bash", "-c", 'ulimit -n 8; exec "$@"', "limited"]
    study = ["sweep", "lab.yaml", "--over", "optimizer.lr=0.1,0.2", "--epochs", "1", "--name", "few"]
    done = run(study, sandbox.folder, "fresh", before=before)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (7, "optilab: this process: Too many open files"), (
        done
    )
