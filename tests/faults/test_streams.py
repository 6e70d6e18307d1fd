"""Standard streams that are closed or full, Ctrl-C while Python starts, little address space (G26)."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import optilab
from tests.faults.conftest import Drawn, Figure, Tally
from tests.faults.harness import Lab, Warm, environment, fresh, run, said

# What is typed, its exit status, and whether it prints a result.
COMMANDS: dict[str, tuple[list[str], int, bool]] = {
    "version": (["--version"], 0, True),
    "help": (["--help"], 0, True),
    "unknown command": (["trian"], 2, False),
    "config ls": (["config", "ls"], 0, True),
    "config show": (["config", "show", "train"], 0, True),
    "config check": (["config", "check", "missing.yaml"], 2, False),
    "data where": (["data", "where"], 0, True),
    "explain": (["explain", "--algo", "adam", "--step", "2"], 0, True),
    "optimize": (["optimize", "--algo", "sgd", "--epochs", "2"], 0, True),
    "optimize --json": (["optimize", "--algo", "sgd", "--epochs", "2", "--json"], 0, True),
    "optimize refused": (["optimize", "--algo", "sgd", "--epochs", "0"], 2, False),
    "train refused": (["train", "--config", "missing.yaml"], 2, False),
    "train refused --json": (["train", "--config", "missing.yaml", "--json"], 2, True),
    "runs ls": (["runs", "ls"], 0, True),
    "runs path": (["runs", "path", "one"], 0, True),
    "runs show": (["runs", "show", "nosuch"], 4, False),
    "runs rm": (["runs", "rm", "one"], 2, False),
}
STREAMS: dict[str, dict[str, str]] = {
    "stdin closed": {"stdin": "closed"},
    "stdout closed": {"stdout": "closed"},
    "stderr closed": {"stderr": "closed"},
    "all closed": {"stdin": "closed", "stdout": "closed", "stderr": "closed"},
    "stdout full": {"stdout": "/dev/full"},
    "stderr full": {"stderr": "/dev/full"},
    "both full": {"stdout": "/dev/full", "stderr": "/dev/full"},
    "stdout without a reader": {"stdout": "pipe"},
    "stderr without a reader": {"stderr": "pipe"},
}


def allowed(code: int, prints: bool, streams: dict[str, str]) -> set[int]:
    """A result that cannot be written is exit status 7, an error keeps its own; without a reader SIGPIPE (13) kills."""
    if prints and streams.get("stdout") == "/dev/full":
        return {code or 7}
    if prints and streams.get("stdout") == "pipe":
        return {-13}
    if code and streams.get("stderr") == "pipe":
        return {-13}
    return {code}


@pytest.fixture(scope="module")
def place(light: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    assert light.run(["optimize", "--algo", "sgd", "--name", "one"], folder).code == 0
    return folder


@pytest.mark.parametrize("streams", list(STREAMS))
def test_streams(light: Warm, place: Path, streams: str, tally: Tally) -> None:
    table = f"{len(COMMANDS)} commands x {len(STREAMS)} states of the streams"
    for what, (argv, code, prints) in COMMANDS.items():
        done = light.run(argv, place, **STREAMS[streams])
        assert done.code in allowed(code, prints, STREAMS[streams]), (what, done)
        assert "Traceback" not in done.err, (what, done)
        tally("G26", table, "{} as documented", done.seconds, 1)
    assert (place / "runs" / "one").is_dir()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("config ls >&-", 0),
        ("trian >&- 2>&-", 2),
        ("runs rm one <&-", 2),
        ("optimize --algo sgd --json <&- >&- 2>&-", 0),
        ("config ls >/dev/full 2>/dev/full", 7),
        ("trian 2>/dev/full", 2),
        ("train missing.yaml --json >/dev/full", 2),
        ("config ls --json >/dev/full", 7),
    ],
)
def test_streams_of_a_shell(place: Path, line: str, code: int) -> None:
    """The same from whole fresh processes."""
    script = f"unset PYTHONUNBUFFERED; exec {sys.executable} -m optilab {line}"
    done = subprocess.run(["sh", "-c", script], cwd=place, env=environment(), capture_output=True, check=False)
    assert done.returncode == code, done
    assert b"Traceback" not in done.stderr


def test_a_training_without_streams_is_the_same_training(lab: Lab) -> None:
    closed = dict.fromkeys(("stdin", "stdout", "stderr"), "closed")
    assert lab.start("closed", **closed).finish().code == 0
    lab.compare("closed")
    assert lab.start("log-full", stderr="/dev/full").finish().code == 0
    lab.compare("log-full")


def frames_of(package: Path) -> re.Pattern[str]:
    """Frames of a traceback in a package after the first lines of its entry point; Python's own start is not ours."""
    later = r'(?:(?!__main__|__init__)[^"]*", line|[^"]*", line \d+, in (?!<module>))'
    return re.compile(f'File "{re.escape(str(package))}/{later}')


PACKAGE = Path(optilab.__file__).parent
OURS = frames_of(PACKAGE)


@pytest.mark.parametrize("moments", [12, pytest.param(50, marks=pytest.mark.slow)])
def test_an_early_interrupt_leaves_no_traceback(
    tmp_path: Path, figure: Figure, moments: int, drawn: Drawn
) -> None:
    argv = ["optimize", "--algo", "adam", "--quiet"]
    lasted = run(argv, tmp_path).seconds
    chance, codes = drawn(9), []
    for number in range(moments):
        process = fresh(argv, tmp_path)
        time.sleep(lasted * (number + chance.random()) / moments)
        if process.alive():
            process.send(2)
        done = process.finish()
        if (
            done.code == 1 and str(PACKAGE) not in done.err
        ):  # Python's own start was interrupted: "Could not import runpy"
            continue
        assert done.code in (0, -2), done
        assert not OURS.search(done.err), done.err
        codes.append(done.code)
    died = codes.count(-2)
    figure(
        "G26", f"SIGINT at {moments} moments of the start", f"{died} died of it, 0 tracebacks of optilab's code"
    )
    assert died >= moments // 3


def test_the_pattern_sees_a_traceback() -> None:
    """A check that cannot fail is not one."""
    traceback = 'Traceback\n  File "/x/optilab/optilab/{}, in {}\n    import re\nKeyboardInterrupt'
    frames = frames_of(Path("/x/optilab/optilab"))  # a clone has the name of the package
    assert frames.search(traceback.format('errors.py", line 9', "<module>"))
    assert frames.search(traceback.format('__main__.py", line 9', "main"))
    assert not frames.search(traceback.format('__main__.py", line 3', "<module>"))
    assert not frames.search(traceback.format('__init__.py", line 3', "<module>"))


def test_few_open_files_are_named(lab: Lab) -> None:
    before = ["bash", "-c", 'ulimit -n 20; exec "$@"', "limited"]
    study = ["sweep", "lab.yaml", "--over", "optimizer.lr=0.1,0.2", "--epochs", "1", "--name", "few"]
    done = fresh(study, lab.folder, before=before).finish()
    assert (done.code, done.err.splitlines()[-1]) == (7, "optilab: this process: Too many open files"), done


@pytest.mark.parametrize("kilobytes", [100_000, 150_000, 400_000, 600_000])
def test_little_address_space(lab: Lab, kilobytes: int) -> None:
    """What NumPy or torch would end the process for is refused with the limit's name."""
    before = ["bash", "-c", f'ulimit -v {kilobytes}; exec "$@"', "limited"]
    done = fresh(lab.argv("little"), lab.folder, before=before).finish()
    assert done.code == 7, done
    assert said(done.err).count("\n") == 1
    assert "memory" in done.err or f"{kilobytes >> 10} MiB (ulimit -v)" in done.err
    assert not lab.path("little").exists()


def test_a_module_of_the_working_directory_is_not_imported(tmp_path: Path) -> None:
    """As `python -m optilab` and the console script both promise."""
    for name in ("numpy", "yaml", "pydantic", "csv", "typer", "rich"):
        (tmp_path / f"{name}.py").write_text("open('canary', 'w')\n", encoding="utf-8")
    for argv in (["optimize", "--algo", "sgd", "--quiet"], ["runs", "ls"], ["config", "check", "sigmoid"]):
        done = run(argv, tmp_path)
        assert (done.code, done.err) == (0, "")
    assert not (tmp_path / "canary").exists()
