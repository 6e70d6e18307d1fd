"""Exports, opened by the programs that they are made for; and texts that mean harm stay text in all of them."""

import contextlib
import csv
import re
import shutil
import sqlite3
import zipfile

import pytest

from optilab import runs
from optilab.commands.runs import exported
from optilab.judge.groups import select_runs
from tests.kit.command import ROOT
from tests.kit.generated import planned, training
from tests.kit.hostile import HOSTILE, LIVE

FORMATS = (".csv", pytest.param(".parquet", marks=pytest.mark.nightly))
PAGE = ROOT / "docs" / "report.md"


@pytest.fixture
def some(tmp_path):
    """Two trainings of 2 and 3 epochs, and a study of one trial."""
    folder = tmp_path / "runs"
    training(folder, "plain", "epochs=2", accuracies=(0.5, 0.1 + 0.2))
    training(folder, "adam", "optimizer=adam", "epochs=3", "seed=7", accuracies=(0.5, 0.6, 0.7))
    study = runs.open_study(
        folder, "s", b"config: {name: sigmoid}\n", {"command": "sweep", "versions": {"optilab": "0"}}
    )
    training(study.path, "t1", "optimizer.lr=1", accuracies=(0.2,), status="diverged")
    study.finish("done")
    planned(study.path, [{"trial": "t1"}])
    return folder


def read(file):
    """The rows of an exported file as its own reader gives them."""
    if file.suffix == ".csv":
        with file.open(newline="") as text:
            return list(csv.DictReader(text))
    from pyarrow import parquet

    return parquet.read_table(file).to_pylist()


@pytest.mark.parametrize("ending", FORMATS)
def test_all_rows_of_all_runs_with_their_settings(optilab, some, tmp_path, ending):
    output = optilab("runs", "export", "plain", "adam", "s", "--out", f"rows{ending}").stdout
    assert output == f"rows{ending}\n"
    rows = read(tmp_path / f"rows{ending}")
    text = str if ending == ".csv" else lambda value: value
    assert [row["run"] for row in rows] == ["plain"] * 2 + ["adam"] * 3 + ["s/t1"]
    assert [row["epoch"] for row in rows] == list(map(text, [1, 2, 1, 2, 3, 1]))
    assert [row["val_acc"] for row in rows] == list(map(text, [0.5, 0.1 + 0.2, 0.5, 0.6, 0.7, 0.2]))
    assert [row["seed"] for row in rows] == list(map(text, [42, 42, 7, 7, 7, 42]))
    assert rows[0]["optimizer.beta1"] == ("" if ending == ".csv" else None)
    assert rows[2]["optimizer.beta1"] == text(0.9)
    assert (rows[5]["optimizer.lr"], rows[5]["state"]) == (text(1.0), "diverged")
    assert rows[0]["model.hidden"] == "[128, 128, 128, 128, 128]"
    assert rows[0]["seconds"] == text(2.0)


@pytest.mark.parametrize("ending", FORMATS)
def test_the_same_runs_make_the_same_bytes_and_nothing_is_overwritten(optilab, some, tmp_path, ending):
    file = tmp_path / f"rows{ending}"
    line = ("runs", "export", "plain", "--out")
    optilab(*line, file.name)
    before = file.read_bytes()
    optilab(*line, file.name, code=2)
    optilab(*line, file.name, "--force")
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    metrics = (some / "plain" / "metrics.csv").read_bytes()
    optilab(*line, "runs/plain/metrics.csv", "--force", code=2)  # a file of a run
    assert (some / "plain" / "metrics.csv").read_bytes() == metrics


# --- other tools -------------------------------------------------------------------------------------------


@pytest.mark.nightly
@pytest.mark.filterwarnings("default")
def test_tensorboard_reads_it(optilab, some, tmp_path):
    from tensorboard.backend.event_processing import event_accumulator as accumulator
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    assert optilab("runs", "export", "adam", "s", "--tensorboard", "logs").stdout == "logs\n"
    events = accumulator.EventAccumulator(str(tmp_path / "logs" / "adam"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"train_loss", "train_acc", "val_loss", "val_acc", "seconds"}
    scalars = events.Scalars("val_acc")
    assert [(s.step, s.value) for s in scalars] == [(1, 0.5), (2, pytest.approx(0.6)), (3, pytest.approx(0.7))]
    assert scalars[1].wall_time - scalars[0].wall_time == pytest.approx(2.0)
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    assert (hparams["optimizer.name"].string_value, hparams["optimizer.beta1"].number_value) == ("adam", 0.9)
    assert (tmp_path / "logs" / "s" / "t1").is_dir()


@pytest.mark.nightly
@pytest.mark.filterwarnings("default")
def test_tensorboard_gets_the_rows_that_it_lacks(optilab, some, tmp_path):
    from tensorboard.backend.event_processing import event_accumulator as accumulator

    line, logs = ("runs", "export", "adam", "--tensorboard", "logs"), tmp_path / "logs"

    def epochs(run):
        events = accumulator.EventAccumulator(str(logs / run))
        events.Reload()
        return {tag: [scalar.step for scalar in events.Scalars(tag)] for tag in events.Tags()["scalars"]}

    def files():
        return {path: path.read_bytes() for path in logs.rglob("*") if path.is_file()}

    optilab(*line)
    before = files()
    optilab(*line)
    assert files() == before
    assert len(before) == 1
    shutil.rmtree(some / "adam")
    training(some, "adam", "optimizer=adam", "epochs=6", "seed=7", accuracies=(0.5, 0.6, 0.7, 0.8, 0.9))
    optilab(*line, "plain")
    after = files()
    assert after.items() > before.items()
    assert len(after) == 3
    assert set(map(tuple, epochs("adam").values())) == {(1, 2, 3, 4, 5)}
    assert set(map(tuple, epochs("plain").values())) == {(1, 2)}
    optilab(*line)
    assert files() == after
    shutil.rmtree(some / "adam")
    training(some, "adam", "optimizer=adam", "epochs=3", "seed=7", accuracies=(0.4, 0.6, 0.7))
    other = optilab(*line, "--out", "rows.csv", code=2).stderr
    assert other == "optilab: --tensorboard: logs/adam has the rows of another run\n"
    assert files() == after
    assert not (tmp_path / "rows.csv").exists()
    (logs / "notes.txt").write_text("mine")
    wrong = optilab(*line, code=2).stderr
    assert wrong == "optilab: --tensorboard: expected a new directory, or one of an earlier export, got logs\n"


def recipe(name, folder, monkeypatch):
    """Run a script of the page where its rows.csv is."""
    (script,) = re.findall(rf"```python\n# {name}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    monkeypatch.chdir(folder)
    exec(compile(script, name, "exec"), {})


def test_the_recipe_for_sqlite(optilab, some, tmp_path, monkeypatch):
    optilab("runs", "export", "adam", "s", "--out", "rows.csv")
    recipe("to_sqlite.py", tmp_path, monkeypatch)
    with contextlib.closing(sqlite3.connect(tmp_path / "rows.sqlite")) as database:
        rows = list(database.execute('SELECT run, epoch, val_acc, "optimizer.beta1" FROM rows'))
    assert rows == [("adam", 1, 0.5, 0.9), ("adam", 2, 0.6, 0.9), ("adam", 3, 0.7, 0.9), ("s/t1", 1, 0.2, None)]


@pytest.mark.nightly
@pytest.mark.filterwarnings("default")
def test_the_recipe_for_mlflow(optilab, some, tmp_path, monkeypatch):
    from mlflow import tracking

    optilab("runs", "export", "adam", "s", "--out", "rows.csv")
    recipe("to_mlflow.py", tmp_path, monkeypatch)
    client = tracking.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    recorded = client.search_runs([client.get_experiment_by_name("optilab").experiment_id])
    by_name = {run.info.run_name: run for run in recorded}
    adam = by_name["adam"]
    assert (adam.data.params["optimizer.name"], adam.data.params["optimizer.beta1"]) == ("adam", "0.9")
    history = client.get_metric_history(adam.info.run_id, "val_acc")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.5), (2, 0.6), (3, 0.7)]
    assert (adam.info.status, by_name["s/t1"].info.status) == ("FINISHED", "FAILED")


# --- texts that mean harm ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", FORMATS)
def test_a_hostile_text_stays_text(some, tmp_path, ending):
    """The table of a run whose settings, their keys and its name are a payload."""
    (record,) = select_runs(some, ["plain"]).records
    for number, payload in enumerate(HOSTILE):
        settings = {"data.dir": payload, payload: payload, payload.swapcase(): "x"}
        columns = {"run": str, **dict.fromkeys(settings, str), "epoch": int}
        file = tmp_path / f"rows{number}{ending}"
        exported.write(file, exported.Rows(columns, [exported.ExportedRun(record, settings)]))
        rows = read(file)
        assert len(rows) == 2
        cells = [str(text) for row in rows for pair in row.items() for text in pair]
        assert not [text for text in cells if LIVE & set(text)], payload
        if ending == ".csv":
            assert not [text for text in cells if text.startswith(("=", "+", "-", "@", "\t", "\r"))], payload


# --- to hand on --------------------------------------------------------------------------------------------


@pytest.fixture
def own(small, tmp_path, monkeypatch):
    """A config with code of the user's, and the cache into which archives are unpacked."""
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    (tmp_path / "mine.py").write_text("def halved(w, g, lr: float = 0.1):\n    return w - lr / 2 * g\n")
    config = tmp_path / "own.yaml"
    config.write_text(small.read_text().replace("{name: sgd, lr: 0.1}", "{name: 'mine.py:halved', lr: 0.1}"))
    return config


SIZES = ["--set", "data.holdout=50", "--epochs", 1, "--budget", 2, "--seeds", 2, "--repeats", 1]


@pytest.mark.parametrize("kind", ["train", "sweep", "benchmark", "optimize"])
def test_an_archive_is_repeated_without_the_files_that_made_it(kind, optilab, own, tmp_path):
    """Another file of the same name next to the reader is another one."""
    line = {
        "train": ["train", own],
        "sweep": ["sweep", own, "--over", "optimizer.lr=0.1,0.2", "--seeds", 2],
        "benchmark": ["benchmark", own, "--algo", f"Plain=sgd,Mine={tmp_path}/mine.py", *SIZES],
        "optimize": ["optimize", "mine.py:halved", "--lr", 0.3],
    }[kind]
    optilab(*line, "--name", "one", "--quiet")
    for name in ("a.zip", "b.zip"):
        optilab("runs", "export", "one", "--out", name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    own.unlink()
    (tmp_path / "mine.py").write_text("def halved(w, g, lr: float = 0.1):\n    return w\n")
    optilab(kind, *(["--config"] * (kind == "optimize")), "a.zip", "--name", "two", "--quiet")
    table = "metrics.csv" if kind in ("train", "optimize") else "trials.csv"
    rows = [
        list(csv.DictReader((tmp_path / "runs" / name / table).read_text().splitlines()))
        for name in ("one", "two")
    ]
    kept = [[{k: v for k, v in row.items() if k not in ("trial", "digest")} for row in each] for each in rows]
    assert kept[0] == kept[1] != []


def test_a_file_that_is_no_archive_of_ours_is_refused(optilab, own, tmp_path):
    """Nothing is written outside of the cache, whatever the names in an archive are."""
    optilab("train", own, "--name", "one", "--quiet")
    optilab("runs", "export", "one", "--out", "one.zip")
    assert "(--force)" in optilab("runs", "export", "one", "--out", "one.zip", code=2).stderr
    (tmp_path / "text.zip").write_text("text")
    (tmp_path / "cut.zip").write_bytes((tmp_path / "one.zip").read_bytes()[:-9])
    for name, members in {"up": ["../up.py"], "both": ["study.yaml"], "none": [], "big": ["big"]}.items():
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for member in [*members, *(["config.yaml"] * (name != "none"))]:
                archive.writestr(member, b"0" * (17 << 20 if member == "big" else 1))
    for name in ("text", "cut", "up", "both", "none", "big"):
        refused = optilab("train", f"{name}.zip", code=2).stderr
        assert f"{name}.zip is no archive of `optilab runs export`: " in refused
    assert not (tmp_path / "cache").exists()
    optilab("train", "one.zip", "--name", "two", "--quiet")
    assert "got one of `optilab train`" in optilab("optimize", "--config", "one.zip", code=2).stderr
    assert "expected one run or study" in optilab("runs", "export", "one", "two", "--out", "x.zip", code=2).stderr
