"""Run directories as users, and accidents, meet them: what is recognised, found, listed, shown and removed."""

import json
import os
import shutil
import stat
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from optilab import files, runs
from optilab.errors import CheckpointError, DataError, RunError, SystemFailure, UsageError, WriteFailure
from optilab.runs import tables
from optilab.runs.directory import stage


def optimize(optilab, *arguments, **options):
    """The directory of a new run."""
    return Path(
        optilab("optimize", "--algo", "sgd", "--epochs", 2, "--quiet", *arguments, **options).stdout.strip()
    )


@pytest.fixture
def one(optilab, tmp_path):
    return tmp_path / optimize(optilab, "--name", "one")


# --- names -------------------------------------------------------------------------------------------------


def test_the_processes_of_one_second_pick_different_names():
    """With 16 random bits 700 were different once in 42 times; with 32 they are not once in 17,000 times."""
    assert len({runs.new_name("sigmoid").rpartition("-")[2] for _ in range(700)}) == 700


def test_a_clock_beyond_the_calendar_is_named(optilab, monkeypatch):
    class Late(datetime):
        @classmethod
        def now(cls, zone=None):
            raise OverflowError("timestamp too large")

    monkeypatch.setattr("optilab.runs.find.datetime", Late)
    optilab("optimize", "--algo", "adam", "--epochs", 1, code=7)


# --- what is removed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["{}", '{"schema_version": 1, "command": "train", "status": "done"}', "thesis", "[" * 100_000, "1"],
    ids=["an empty manifest", "another tool's run", "not JSON", "nested", "a number"],
)
def test_a_folder_that_optilab_did_not_make_is_not_removed(text, optilab, tmp_path):
    """Neither by its path nor by its name."""
    for folder in (tmp_path / "myext", tmp_path / "runs" / "myext"):
        folder.mkdir(parents=True)
        for name in ("manifest.json", "study.yaml"):
            (folder / name).write_text(text)
        with pytest.raises(RunError, match="not a run of optilab"):
            runs.remove(folder)
    for name in ("./myext", "myext"):
        optilab("runs", "rm", name, "--yes", code=4)
    assert len(list(tmp_path.rglob("*.json"))) == len(list(tmp_path.rglob("*.yaml"))) == 2


def test_a_run_that_may_not_be_deleted_stays_whole(one, optilab, monkeypatch):
    before = sorted(one.rglob("*"))
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "one" and allowed(path, mode))
    optilab("runs", "rm", "one", "--yes", code=7)
    assert sorted(one.rglob("*")) == before
    monkeypatch.undo()

    def fails(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(shutil, "rmtree", fails)
    optilab("runs", "rm", "one", "--yes", code=7)
    assert sorted(one.rglob("*")) == before


def test_a_bare_name_means_the_runs_folder_first(one, optilab, tmp_path):
    web = tmp_path / "one"
    web.mkdir()
    (web / "manifest.json").write_text('{"name": "a web app"}')
    assert optilab("runs", "path", "one").stdout.strip() == "runs/one"
    optilab("runs", "rm", "one", "--yes")
    assert web.is_dir()
    assert not one.exists()


def test_a_path_to_a_run_removes_it_and_the_folder_it_stands_in_stays(one, optilab, tmp_path):
    optilab("runs", "rm", ".", "--yes", code=4)  # is not a run
    optilab("runs", "rm", ".", "--yes", cwd=one)
    assert list((tmp_path / "runs").iterdir()) == []


# --- what is found -----------------------------------------------------------------------------------------


def test_latest_is_the_run_that_started_last(optilab, tmp_path):
    """A run of the future may not be one."""
    for name in ("b", "a", "c"):
        optimize(optilab, "--name", name)
    assert optilab("runs", "path", "latest").stdout.strip() == "runs/c"
    optilab("runs", "show", "latest", "--runs-dir", "nowhere", code=4)
    optilab("train", "--resume", "latest", code=4)
    started(tmp_path / "runs" / "b", "2999-01-01T00:00:00Z")
    for command in (["runs", "path", "latest"], ["check", "latest", "--expect", "f < 1"]):
        optilab(*command, code=4)


def started(run, when):
    """Change the time at which a run says that it started."""
    file = run / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "created": when}))


def test_a_path_is_found_without_a_look_at_its_thousand_neighbors(one, monkeypatch):
    """`compare runs/*` names each of them; a look at all for each would be a million."""
    monkeypatch.setattr("optilab.runs.find.directories", None)
    assert runs.select(one.parent, [str(one), "one"]) == [one]


def test_patterns_and_ages(optilab, tmp_path):
    for name in ("a1", "a2", "b1"):
        optimize(optilab, "--name", name)
    started(tmp_path / "runs" / "a1", "2020-01-01T00:00:00Z")
    started(tmp_path / "runs" / "b1", "2020-01-01T00:00:00Z")
    for age in ("30", "d", "-1d", "1.5h", "30D", ""):
        with pytest.raises(UsageError, match="a whole number"):
            runs.age(age)
    optilab("runs", "rm", "z*", "--yes", code=4)
    removed = json.loads(optilab("runs", "rm", "a*", "--older-than", "30d", "--yes", "--json").stdout)
    assert removed == {"schema_version": 1, "removed": ["runs/a1"]}
    assert optilab("runs", "rm", "--older-than", "30d", "--yes").stdout == "removed runs/b1\n"
    assert optilab("runs", "ls", "--quiet").stdout.split() == ["a2"]
    assert optilab("runs", "rm", "?2", "--yes", "--quiet").stdout == ""
    assert optilab("runs", "ls", "--quiet").stdout == ""


def test_a_pattern_leaves_a_running_run_alone(one, tmp_path):
    manifest = {"command": "train", "versions": {"optilab": "0"}}
    live = runs.claim(tmp_path / "runs", "one-more", {"config.yaml": b""}, manifest)
    assert runs.select(tmp_path / "runs", ["one*"]) == [tmp_path / "runs" / "one"]
    with pytest.raises(RunError, match="running in another process"):
        runs.remove(live.path)
    live.release()
    assert len(runs.select(tmp_path / "runs", ["one*"])) == 2


# --- what is listed ----------------------------------------------------------------------------------------


def fifo(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def endless(path):
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def directory(path):
    path.unlink(missing_ok=True)
    path.mkdir()


def gigabytes(path):
    with path.open("wb") as file:
        file.truncate(20 << 30)  # sparse: it takes no space


ODD_FILES = [
    ("manifest.json", fifo),
    ("config.yaml", endless),
    ("metrics.csv", directory),
    ("metrics.csv", gigabytes),
]


@pytest.mark.parametrize(("file", "obstacle"), ODD_FILES)
def test_an_odd_file_neither_hangs_nor_hides_others(file, obstacle, tmp_path):
    manifest = {"command": "train", "versions": {"optilab": "0"}, "status": "done"}
    files = {"config.yaml": b"", "metrics.csv": HEADER.encode() + b"1,1.0,0.1,1.0,0.1\n"}
    for name in ("one", "two"):
        runs.write(tmp_path, name, files, manifest)
    obstacle(tmp_path / "two" / file)
    readable, unreadable = runs.entries(tmp_path)
    assert (readable[0].name, readable[0].rows()[0]["epoch"]) == ("one", 1)
    if file == "metrics.csv":
        with pytest.raises(DataError, match=r"a directory|at most"):
            readable[1].rows()
    else:
        assert list(unreadable) == ["two"]
        assert file in unreadable["two"]


def test_one_line_for_all_that_is_not_a_run(one, optilab, tmp_path):
    for number in range(500):
        (tmp_path / "runs" / f"junk{number}").mkdir()
    done = optilab("runs", "ls")
    assert done.stdout.splitlines()[1].startswith("one")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="the test becomes another user")
def test_a_run_of_another_user_does_not_hide_the_others(one, tmp_path):
    closed = tmp_path / "runs" / "closed"
    closed.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    program = (
        "import os; from optilab import runs; from pathlib import Path\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "print([entry.name for entry in runs.entries(Path('runs'))[0]], sorted(runs.entries(Path('runs'))[1]))\n"
        "try: runs.locate(Path('runs'), 'nosuch')\n"
        "except runs.record.OptilabError as error: print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "['one'] ['closed']\nRunError\n", done.stderr


# --- what is damaged ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        *('"argv": "text"', '"numerics": 3', '"data": {"sha256": "0f"}', '"seed": "one"', '"status": null'),
        *('"seconds": NaN', '"seconds": 1e999', '"x": ' + "[" * 100_000),
    ],
    ids=lambda text: text[:16],
)
def test_a_manifest_of_other_types_is_damaged(changed, tmp_path):
    manifest = {"command": "train", "versions": {"optilab": "0"}, "status": "done"}
    path = runs.write(tmp_path, "one", {"config.yaml": b""}, manifest)
    assert runs.read(path).state == "done"
    file = path / "manifest.json"
    file.write_text(f"{file.read_text().rstrip().removesuffix('}')}, {changed}}}")
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
        runs.read(path)
    readable, unreadable = runs.entries(tmp_path)
    assert (readable, list(unreadable)) == ([], ["one"])


HEADER = "epoch,train_loss,train_acc,val_loss,val_acc\n"
METRICS = {  # what became of metrics.csv -> the line that the message names
    "nan": (HEADER + "1,1.0,0.1,nan,0.1\n", ":2: expected a finite number"),
    "a renamed column": (HEADER.replace("val_acc", "valacc") + "1,1.0,0.1,1.0,0.1\n", ":1: no column val_acc"),
    "text in place of the epoch": (HEADER + "one,1.0,0.1,1.0,0.1\n", ":2: 'epoch': expected a number"),
    "a gap": (HEADER + "7,1.0,0.1,1.0,0.1\n", ":2: expected epoch 1, got 7"),
    "a cell too many": (HEADER + "1,1.0,0.1,1.0,0.1,1\n", ":2: expected 5 cells, got 6"),
}


@pytest.mark.parametrize("what", METRICS)
def test_edited_metrics_are_reported_with_their_line(what, tmp_path):
    text, message = METRICS[what]
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(DataError) as raised:
        runs.read_metrics(tmp_path / "metrics.csv")
    assert message in str(raised.value)


def test_damage_is_an_exit_code_of_every_reader(optilab, small, tmp_path):
    optilab("train", "--config", small, "--name", "t", "--quiet")
    (tmp_path / "runs" / "t" / "metrics.csv").write_text(METRICS["a gap"][0])
    for command in (["runs", "show", "t"], ["runs", "show", "t", "--json"], ["diagnose", "t"]):
        assert "metrics.csv:2" in optilab(*command, code=3).stderr
    optilab("train", "--resume", "t", "--epochs", 4, "--quiet")  # derived: written anew from the checkpoint
    (tmp_path / "runs" / "t" / "timings.csv").write_text("date,euro\n1,2\n")
    for command in (["runs", "show", "t"], ["train", "--resume", "t"]):
        assert "timings.csv:1" in optilab(*command, code=3).stderr


# --- what is written ---------------------------------------------------------------------------------------


def test_nothing_is_writable_by_others_whatever_the_umask(small, tmp_path):
    script = (
        f"umask 000; {sys.executable} -m optilab train --config {small} --epochs 2 --quiet --runs-dir deep/er &&"
        f" {sys.executable} -m optilab optimize --algo sgd --quiet --runs-dir deep/er"
    )
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    found = [tmp_path / "deep", *(tmp_path / "deep").rglob("*")]
    assert len(found) > 12
    for path in found:
        assert stat.S_IMODE(path.lstat().st_mode) == (0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("umask", [0o777, 0o277, 0o177])
def test_a_umask_that_forbids_leaves_nothing(tmp_path, monkeypatch, umask):
    """As a plain user, whom the mode of a directory binds."""
    monkeypatch.setattr(os, "access", lambda path, mode: os.stat(path).st_mode & mode << 6 == mode << 6)
    before = os.umask(umask)
    try:
        with pytest.raises(
            WriteFailure, match=f"cannot write in a new directory of {tmp_path}: the umask forbids it"
        ):
            stage(tmp_path, {"config.yaml": b""})
    finally:
        os.umask(before)
    assert not list(tmp_path.iterdir())


def test_a_synced_directory_is_closed(tmp_path):
    before = os.listdir("/proc/self/fd")
    files.sync_directory(tmp_path)
    assert os.listdir("/proc/self/fd") == before


def test_only_regular_files_are_replaced(optilab, tmp_path):
    target = tmp_path / "node"
    os.mkfifo(target)
    with pytest.raises(SystemFailure, match="not a regular file"):
        runs.write_atomic(target, b"x")
    optilab("config", "cp", "sigmoid", "node", "--force", code=2)
    assert stat.S_ISFIFO(target.lstat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["node"]


def test_a_directory_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs.directory, "write_new", full)
    with pytest.raises(SystemFailure, match="No space left"):
        runs.claim(tmp_path, "new", {"config.yaml": b""}, {"command": "train"})
    with pytest.raises(SystemFailure, match="No space left"):
        runs.write(tmp_path, "new", {"config.yaml": b""}, {"command": "optimize"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [38, 37, 95])  # ENOSYS, ENOLCK, EOPNOTSUPP
def test_a_file_system_without_locks_is_named(number, tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(runs.lock.fcntl, "flock", flock)
    with pytest.raises(SystemFailure, match=r"network file systems.*--runs-dir"):
        runs.claim(tmp_path, "new", {"config.yaml": b""}, {"command": "train"})
    assert list(tmp_path.iterdir()) == []
    assert not runs.lock.is_held(tmp_path)


def test_a_deleted_lock_stops_the_writer(tmp_path):
    manifest = {"command": "train", "versions": {"optilab": "0"}}
    first = runs.claim(tmp_path, "run", {"config.yaml": b""}, manifest)
    (first.path / "run.lock").unlink()
    second, _ = runs.reopen(first.path)
    row = {"epoch": 1, "train_loss": 1.0, "train_acc": 0.1, "val_loss": 1.0, "val_acc": 0.1}
    with pytest.raises(RunError, match="was deleted"):
        first.commit(row, 1.0)
    with pytest.raises(RunError, match="was deleted"):
        first.finish("done")
    assert not (first.path / "metrics.csv").exists()
    second.commit(row, 1.0)
    second.finish("done")
    assert runs.read(first.path).state == "done"


def test_the_command_to_resume_is_quoted_and_names_the_folder(monkeypatch):
    monkeypatch.delenv("OPTILAB_RUNS", raising=False)
    assert runs.resume_command(Path("runs/r")) == "optilab train --resume r"
    assert runs.resume_command(Path("my runs/r")) == "optilab train --resume r --runs-dir 'my runs'"
    monkeypatch.setenv("OPTILAB_RUNS", "my runs")
    assert runs.resume_command(Path("my runs/r")) == "optilab train --resume r"


def test_a_study_is_one_entry(tmp_path):
    manifest = {"command": "remedy", "versions": {"optilab": "0"}, "trials": 2}
    study = runs.open_study(tmp_path, "s", b"config: relu\n", manifest)
    with pytest.raises(RunError, match="running in another process"):
        runs.open_study(tmp_path, "s", b"", manifest)
    assert runs.read_study(study.path).state == "running"
    run = runs.claim(study.path, "x", {"config.yaml": b""}, {"command": "train", "versions": {"optilab": "0"}})
    study.finish("done", trials=0)
    (entry,) = runs.entries(tmp_path)[0]
    assert (entry.name, entry.state, [r.name for r in entry.runs()[0]]) == ("s", "done", ["x"])
    with pytest.raises(RunError, match="running in another process"):
        runs.remove(study.path)
    run.release()
    for folder, name, command in ((tmp_path, "s", "race"), (study.path, "x", "remedy")):
        with pytest.raises(RunError, match="already exists"):
            runs.open_study(folder, name, b"", {**manifest, "command": command})
    with pytest.raises(RunError, match="is a study of `optilab remedy`, not one run"):
        runs.read(study.path)
    runs.remove(study.path)
    assert list(tmp_path.iterdir()) == []


# --- long tables -------------------------------------------------------------------------------------------


def test_the_end_of_a_long_table_is_read_without_the_rest(tmp_path):
    rows = [{"algo": "sgd", "epoch": epoch, "w1": epoch / 3} for epoch in range(20_000)]
    (tmp_path / "long.csv").write_bytes(b"".join(parts := list(runs.table_parts(iter(rows)))))
    assert len(parts) == 20
    assert runs.read_table(tmp_path / "long.csv") == rows
    assert tables.read_last_row(tmp_path / "long.csv") == rows[-1]
    whole = (tmp_path / "long.csv").read_bytes()
    (tmp_path / "long.csv").write_bytes(whole[:-3])  # a kill tore the last line
    assert tables.read_last_row(tmp_path / "long.csv") == rows[-2]
    (tmp_path / "long.csv").write_bytes(whole + b"sgd,20000\n")
    with pytest.raises(DataError, match=r"long\.csv:20002: expected 3 cells, got 2"):
        tables.read_last_row(tmp_path / "long.csv")
    (tmp_path / "short.csv").write_bytes(b"epoch,w1\n")
    assert tables.read_last_row(tmp_path / "short.csv") is None
    assert tables.read_last_row(tmp_path / "none.csv") is None


def test_a_long_path_streams_to_its_file(tmp_path):
    """A quarter of a million steps: 250 MB as rows in memory, 10 MB as the numbers that they are."""
    peak = {}
    for epochs in (1_000, 250_000):
        script = (
            "import resource, sys\nfrom optilab.__main__ import main\n"
            f"sys.argv[1:] = 'optimize --algo adam --epochs {epochs} --name e{epochs} --quiet'.split()\n"
            "try:\n    main()\nexcept SystemExit:\n    pass\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
        peak[epochs] = int(done.stdout.split()[-1]) / 1024
    assert peak[250_000] - peak[1_000] < 60  # MB
    last = (tmp_path / "runs" / "e250000" / "metrics.csv").read_text().splitlines()[-1]
    assert last.startswith("adam,250000,")
