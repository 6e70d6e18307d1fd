"""Run directories as users, and accidents, meet them: what is recognised, found, listed, shown and removed."""

import errno
import json
import os
import resource
import shutil
import stat
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import portalocker
import pytest

from optilab import files, runs, system
from optilab.errors import CheckpointError, DataError, FileInUse, OptilabError, RunError, SystemFailure, UsageError
from optilab.runs import tables
from tests.faults.damage import KINDS, Damage
from tests.kit.command import python


def optimize(optilab, name):
    """The directory of a new run."""
    return Path(optilab("optimize", "--algo", "sgd", "--epochs", 2, "--quiet", "--name", name).stdout.strip())


@pytest.fixture
def one(optilab, tmp_path):
    return tmp_path / optimize(optilab, "one")


# --- what is removed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["{}", '{"schema_version": 3, "command": "train", "status": "done"}', "thesis", "[" * 100_000, "1"],
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


@pytest.mark.parametrize("forbids", ["access", "rmtree"])
def test_a_run_that_may_not_be_deleted_stays_whole(forbids, one, optilab, monkeypatch):
    def fails(path):
        raise OSError(errno.EIO, "Input/output error")

    before, allowed = sorted(one.rglob("*")), os.access
    if forbids == "access":
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "one" and allowed(path, mode))
    else:
        monkeypatch.setattr(shutil, "rmtree", fails)
    optilab("runs", "rm", "one", "--yes", code=7)
    assert sorted(one.rglob("*")) == before


def test_a_bare_name_means_the_runs_folder_first(one, optilab, tmp_path):
    web = tmp_path / "one"
    web.mkdir()
    (web / "manifest.json").write_text('{"name": "a web app"}')
    assert optilab("runs", "path", "one").stdout.strip() == "runs/one"
    optilab("runs", "rm", ".", "--yes", code=4)  # is not a run
    optilab("runs", "rm", ".", "--yes", cwd=one)
    assert list((tmp_path / "runs").iterdir()) == []
    optilab("runs", "rm", "one", "--yes", code=4)
    assert web.is_dir()


# --- what is found -----------------------------------------------------------------------------------------


def test_latest_is_the_run_that_started_last(optilab, tmp_path):
    """A run of the future may not be one."""
    for name in ("b", "a", "c"):
        optimize(optilab, name)
    (tmp_path / "runs" / "junk").mkdir()
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


def test_patterns_and_ages(optilab, tmp_path):
    for name in ("a1", "a2", "b1"):
        optimize(optilab, name)
    started(tmp_path / "runs" / "a1", "2020-01-01T00:00:00Z")
    started(tmp_path / "runs" / "b1", "2020-01-01T00:00:00Z")
    for age in ("30", "d", "-1d", "1.5h", "30D", ""):
        with pytest.raises(UsageError, match="a whole number"):
            runs.parse_age(age)
    optilab("runs", "rm", "z*", "--yes", code=4)
    optilab("runs", "rm", "a1/*", "--older-than", "30d", "--yes", code=2)  # no trial of a study leaves it
    removed = json.loads(optilab("runs", "rm", "a*", "--older-than", "30d", "--yes", "--json").stdout)
    assert removed == {"schema_version": 1, "removed": ["runs/a1"]}
    assert optilab("runs", "rm", "--older-than", "30d", "--yes").stdout == "removed runs/b1\n"
    assert optilab("runs", "ls", "--quiet").stdout.split() == ["a2"]
    assert optilab("runs", "rm", "?2", "--yes", "--quiet").stdout == ""
    assert optilab("runs", "ls", "--quiet").stdout == ""


def test_a_run_without_the_time_of_its_start_has_no_age(one, tmp_path):
    started(one, "")
    assert runs.select(tmp_path / "runs", [], timedelta(days=1)) == []


def test_a_pattern_leaves_a_running_run_alone(one, tmp_path):
    manifest = {"command": "train", "versions": {"optilab": "0"}}
    live = runs.claim(tmp_path / "runs", "one-more", {"config.yaml": b""}, manifest)
    assert runs.select(tmp_path / "runs", ["one*"]) == [tmp_path / "runs" / "one"]
    with pytest.raises(RunError, match=r"what matches 'one-\*' .* is still being written: one-more"):
        runs.select(tmp_path / "runs", ["one-*"])
    with pytest.raises(RunError, match="running in another process"):
        runs.remove(live.path)
    live.release()
    assert len(runs.select(tmp_path / "runs", ["one*"])) == 2


# --- what is listed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", ["manifest.json", "config.yaml", "metrics.csv"])
def test_a_damaged_file_neither_hangs_nor_hides_others(file, kind, tmp_path):
    manifest = {"command": "train", "versions": {"optilab": "0"}, "status": "done"}
    files = {"config.yaml": b"epochs: 1\n", "metrics.csv": HEADER.encode() + b"1,1.0,0.1,1.0,0.1\n"}
    for name in ("one", "two"):
        runs.write(tmp_path, name, files, manifest)
    Damage(kind, 30)(tmp_path / "two" / file)
    readable, unreadable = runs.entries(tmp_path)
    assert (readable[0].name, readable[0].rows()[0]["epoch"]) == ("one", 1)
    assert len(readable) + len(unreadable) == 2
    for record in readable[1:]:
        with suppress(OptilabError):
            record.rows()


def test_a_run_of_another_user_does_not_hide_the_others(one, tmp_path):
    closed = tmp_path / "runs" / "closed"
    closed.mkdir(mode=0)
    tmp_path.chmod(0o755)
    program = (
        "import difflib, os; from optilab import runs; from pathlib import Path\n"  # nobody may not read Python's own
        "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"  # who may read everything
        "print([entry.name for entry in runs.entries(Path('runs'))[0]], sorted(runs.entries(Path('runs'))[1]))\n"
        "try: runs.locate(Path('runs'), 'nosuch')\n"
        "except runs.record.OptilabError as error: print(type(error).__name__)\n"
    )
    assert python(program, tmp_path).stdout == "['one'] ['closed']\nRunError\n"


# --- what is damaged ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff", "expected UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"x": NaN}', "not finite"),
        (b"{\n", "line 2"),
    ],
    ids=["bytes", "nested", "a number", "cut"],
)
def test_damaged_json_is_named(content, problem, tmp_path):
    (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(DataError, match=problem):
        files.read_json(tmp_path / "file.json", 1 << 20)


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


# --- what is written ---------------------------------------------------------------------------------------


def test_nothing_is_writable_by_others_whatever_the_umask(optilab, small, tmp_path):
    for line in (["train", small, "--epochs", 2], ["optimize", "sgd"]):
        optilab(*line, "--quiet", "--runs-dir", "deep/er", how="forked", before=lambda: os.umask(0))
    found = [tmp_path / "deep", *(tmp_path / "deep").rglob("*")]
    assert len(found) > 12
    for path in found:
        assert stat.S_IMODE(path.lstat().st_mode) == (0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_file_whose_replacement_fails_is_the_old_one(call, tmp_path, monkeypatch):
    path = tmp_path / "manifest.json"
    files.write_atomic(path, b"old")

    def error(*arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, error)
        with pytest.raises(SystemFailure, match=r"cannot write .*manifest\.json"):
            files.write_atomic(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]
    assert path.read_bytes() == b"old"
    files.write_atomic(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("cause", ["the disk takes a part", "it is not synced"])
def test_a_line_is_added_whole_or_not_at_all(cause, tmp_path, monkeypatch):
    path, line = tmp_path / "rows.csv", lambda first: b"first\n" if first else b"second\n"
    files.append(path, line)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def error(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    if cause == "it is not synced":
        monkeypatch.setattr(os, "fsync", error)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9, limits[1]))
    try:
        with pytest.raises(SystemFailure, match=r"cannot write .*rows\.csv"):
            files.append(path, line)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        monkeypatch.undo()
    assert path.read_bytes() == b"first\n"
    files.append(path, line)
    assert path.read_bytes() == b"first\nsecond\n"


def test_a_synced_directory_is_closed(tmp_path):
    before = os.listdir("/proc/self/fd")
    system.sync_directory(tmp_path)
    assert os.listdir("/proc/self/fd") == before


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(portalocker.portalocker, "LOCKER", flock)
    with pytest.raises(SystemFailure, match=r"does not support locks"):
        runs.claim(tmp_path, "new", {"config.yaml": b""}, {"command": "train"})
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_lock_stops_the_writer(tmp_path):
    manifest = {"command": "train", "versions": {"optilab": "0"}}
    first = runs.claim(tmp_path, "run", {"config.yaml": b""}, manifest)
    (first.path / "run.lock").unlink()
    second, _ = runs.reopen(first.path)
    row = {"epoch": 1, "train_loss": 1.0, "train_acc": 0.1, "val_loss": 1.0, "val_acc": 0.1}
    for write in (lambda: first.commit(row, 1.0), lambda: first.finish("done")):
        with pytest.raises(RunError, match="was deleted"):
            write()
    assert not (first.path / "metrics.csv").exists()
    second.commit(row, 1.0)
    second.finish("done")
    assert runs.read(first.path).state == "done"


def test_a_deleted_lock_stops_the_writer_of_a_study(tmp_path):
    manifest = {"command": "sweep", "versions": {"optilab": "0"}}
    first = runs.open_study(tmp_path, "study", b"", manifest)
    (first.path / "run.lock").unlink()
    second = runs.open_study(tmp_path, "study", b"", manifest)
    trial = {"trial": "a", "seed": 1}
    for write in (lambda: first.plan([trial]), lambda: first.add(trial, 1.0), lambda: first.finish("done")):
        with pytest.raises(RunError, match="was deleted"):
            write()
    assert not second.planned
    second.finish("done")


def test_the_command_to_resume_is_quoted_and_names_the_folder(monkeypatch):
    assert str(runs.resume_command(Path("runs/r"))) == "optilab train --resume r"
    elsewhere = runs.resume_command(Path("my runs/r"))
    assert elsewhere.shell() == "optilab train --resume r --runs-dir 'my runs'"
    assert elsewhere.python() == 'lab.train(resume="r")'
    monkeypatch.setenv("OPTILAB_RUNS", "my runs")
    assert str(runs.resume_command(Path("my runs/r"))) == "optilab train --resume r"


def test_the_variable_that_names_the_directory_is_a_path(tmp_path, monkeypatch):
    """No shell has read one that is set by a .env file or a container; a blank one names none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable, directory in (("~/rr", tmp_path / "rr"), (" ", Path("runs")), ("", Path("runs"))):
        monkeypatch.setenv("OPTILAB_RUNS", variable)
        assert runs.root(None) == directory
    os.mkfifo(tmp_path / "rr")
    monkeypatch.setenv("OPTILAB_RUNS", "~/rr")
    with pytest.raises(UsageError, match=r"OPTILAB_RUNS: .*/rr is not a directory"):
        runs.root(None)


def test_a_run_that_ends_while_it_is_read_is_not_interrupted(tmp_path, monkeypatch):
    run = runs.claim(tmp_path, "x", {"config.yaml": b""}, {"command": "train", "versions": {"optilab": "0"}})

    def asked(path):
        run.finish("done")
        return False

    monkeypatch.setattr("optilab.runs.record.is_held", asked)
    assert runs.read(run.path).state == "done"


def test_a_trial_that_is_named_next_to_its_study_is_removed_with_it(optilab, tmp_path):
    study = runs.open_study(tmp_path / "runs", "s", b"", {"command": "sweep", "versions": {"optilab": "0"}})
    runs.claim(study.path, "x", {"config.yaml": b""}, {"command": "train", "versions": {"optilab": "0"}}).finish(
        "done"
    )
    study.finish("done")
    assert optilab("runs", "rm", "s/x", "s", "--yes").stdout == f"removed {Path('runs/s')}\n"


def test_the_best_epoch_is_by_the_accuracy_that_any_epoch_has():
    rows = [{"epoch": 1, "train_loss": 1.0, "val_acc": 0.9}, {"epoch": 2, "train_loss": 0.5}]
    assert runs.best(rows)["epoch"] == 1


def test_a_study_is_one_entry(tmp_path):
    manifest = {"command": "remedy", "versions": {"optilab": "0"}, "trials": 2}
    study = runs.open_study(tmp_path, "s", b"config: relu\n", manifest)
    with pytest.raises(RunError, match="running in another process"):
        runs.open_study(tmp_path, "s", b"", manifest)
    assert runs.read_study(study.path).state == "running"
    run = runs.claim(study.path, "x", {"config.yaml": b""}, {"command": "train", "versions": {"optilab": "0"}})
    study.plan([{"trial": "x", "settings": {}, "seed": 0, "digest": ""}])
    study.finish("done", trials=1)
    (entry,) = runs.entries(tmp_path)[0]
    assert (entry.name, entry.state, [r.name for r in entry.runs()[0]]) == ("s", "done", ["x"])
    with pytest.raises(RunError, match="running in another process"):
        runs.remove(study.path)
    run.release()
    for folder, name, command in ((tmp_path, "s", "benchmark"), (study.path, "x", "remedy")):
        with pytest.raises(RunError, match="already exists"):
            runs.open_study(folder, name, b"", {**manifest, "command": command})
    with pytest.raises(RunError, match="is a study of `optilab remedy`, not one run"):
        runs.read(study.path)
    runs.remove(study.path)
    assert list(tmp_path.iterdir()) == []


# --- long tables -------------------------------------------------------------------------------------------


def test_the_end_of_a_long_table_is_read_without_the_rest(tmp_path):
    rows = [{"algo": "sgd", "epoch": epoch, "w1": epoch / 3} for epoch in range(20_000)]
    file = tmp_path / "long.csv"
    file.write_bytes(whole := b"".join(runs.table_parts(iter(rows))))
    assert runs.read_table(file) == rows
    assert tables.read_last_row(file) == rows[-1]
    file.write_bytes(whole[:-3])  # a kill tore the last line
    assert tables.read_last_row(file) == rows[-2]
    file.write_bytes(whole + b"sgd,20000\n")
    with pytest.raises(DataError, match=r"long\.csv:20002: expected 3 cells, got 2"):
        tables.read_last_row(file)
    file.write_bytes(b"epoch,w1\n")
    assert tables.read_last_row(file) is tables.read_last_row(tmp_path / "none.csv") is None


NUMERALS = (
    "5",
    "-5",
    "1e5",
    "1.5E-05",
    "1_000",
    "١٢",
    " 5 ",
    ".5",
    "nan",
    "inf",
    "-inf",
    "NaN",
    "Infinity",
    "'5",
    "''nan",
    "=5",
)


@pytest.mark.parametrize("text", NUMERALS)
def test_a_text_that_looks_like_a_number_is_read_as_it_was_written(text, tmp_path):
    rows = [{"algo": text, text: 0.5}, {"algo": f"'{text}", text: 5}]
    file = tmp_path / "metrics.csv"
    file.write_bytes(runs.table(rows))
    assert runs.read_table(file) == rows


PEAK = """
import resource, sys
from optilab.__main__ import main
sys.argv[1:] = f"optimize --algo adam --epochs {sys.argv[1]} --name e{sys.argv[1]} --quiet".split()
try:
    main()
except SystemExit:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_a_long_path_streams_to_its_file(tmp_path):
    """A quarter of a million steps: 250 MB as rows in memory, 10 MB as the numbers that they are."""
    peak = {}
    for epochs in (1_000, 250_000):
        peak[epochs] = int(python(PEAK, tmp_path, epochs).stdout.split()[-1]) / 1024
    assert peak[250_000] - peak[1_000] < 60  # MB
    last = (tmp_path / "runs" / "e250000" / "metrics.csv").read_text().splitlines()[-1]
    assert last.startswith("adam,250000,")


def test_a_row_waits_while_another_program_has_the_table_open(tmp_path, monkeypatch):
    """As Excel has it on Windows: the training goes on, and an end without the row is none."""
    run = runs.claim(tmp_path, "run", {"config.yaml": b""}, {"command": "train", "versions": {"optilab": "0"}})
    held, opened = set(), os.open

    def shared(path, *rest, **options):
        if Path(path).name in held:
            raise in_use
        return opened(path, *rest, **options)

    in_use = PermissionError(errno.EACCES, "The process cannot access the file")
    in_use.winerror = 32
    monkeypatch.setattr(os, "open", shared)
    rows = [
        {"epoch": n, "train_loss": 1.0, "train_acc": 0.1, "val_loss": 1.0, "val_acc": 0.1} for n in range(1, 5)
    ]
    expected = files.table(rows)
    for row, table in zip(rows[:3], ("timings.csv", "metrics.csv", "metrics.csv"), strict=True):
        held |= {table}
        run.commit(row, 1.0, b"state", None, {"epoch": row["epoch"]})
        held -= {"timings.csv"}
    assert [epoch for epoch, _ in runs.checkpoints(run.path)] == [3, 2, 1]
    with pytest.raises(FileInUse, match="lacks the last epochs: another program has it open"):
        run.finish("done")
    held.clear()
    run.commit(rows[3], 1.0)
    run.finish("done")
    assert (run.path / "metrics.csv").read_bytes() == expected
    assert [row["epoch"] for row in runs.read_timings(run.path / "timings.csv")] == [1, 2, 3, 4]
    assert not list(run.path.glob(".*"))
