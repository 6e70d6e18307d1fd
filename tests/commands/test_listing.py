"""`optilab runs ls` and `runs show`: what a run changed, what came of it, and how lists are filtered and sorted."""

import csv
import io
import json
import os

import pytest

from optilab import runs
from tests.kit.generated import plan_line, training


@pytest.fixture
def some(tmp_path):
    """Three trainings, a study of four trials of which one diverged, and a path of `optimize`."""
    folder = tmp_path / "runs"
    training(folder, "plain", "epochs=3", accuracies=(0.5, 0.7, 0.6), created="2026-01-01T00:00:00Z")
    training(
        folder, "faster", "optimizer.lr=0.5", "epochs=2", accuracies=(0.5, 0.8), created="2026-01-02T00:00:00Z"
    )
    changes = ("optimizer=adam", "model.norm=batch", "seed=7")
    training(folder, "adam", *changes, preset="relu.yaml", accuracies=(), status="running", created="2026-01-03")
    study = runs.open_study(folder, "lr-study", b"config: {name: sigmoid, epochs: 2}\n", STUDY)
    for rate in (0.1, 1.0):
        for seed in (42, 43):
            status = "diverged" if rate == 1.0 and seed == 43 else "done"
            name = f"{rate}-s{seed}"
            training(study.path, name, accuracies=(0.0, rate / 2), status=status)
            study.add(plan_line({"trial": name, "optimizer.lr": rate, "seed": seed}), 1.0)
    study.finish("done")
    return folder


STUDY = {"command": "sweep", "versions": {"optilab": "0"}, "trials": 4, "argv": ["optilab", "sweep"]}


def listed(optilab, *arguments):
    """The first word of each line but the heading."""
    return [line.split()[0] for line in optilab("runs", "ls", *arguments).stdout.splitlines()[1:]]


def test_killed_study_counts_no_missing_values(optilab, some):
    def shown():
        (line,) = [line for line in optilab("runs", "ls").stdout.splitlines() if line.startswith("lr-study")]
        return line

    assert "2 values of lr x 2 seeds" in shown()
    manifest = {**runs.read_study(some / "lr-study").manifest, "trials": 6, "status": "interrupted"}
    (some / "lr-study" / "manifest.json").write_text(json.dumps(manifest))
    assert "over lr " in shown()
    assert "2 seeds" not in shown()


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("optimizer.lr>0.1", ["faster", "lr-study"]),
        ("lr>=0.1", ["faster", "lr-study"]),
        ("learning_rate = 0.01", ["plain"]),
        ("lr<1e-2", ["adam"]),
        ("optimizer=adam", ["adam"]),
        ("model.norm!=batch", ["plain", "faster", "lr-study"]),
        ("run~*a*", ["plain", "faster", "adam"]),
        ("state=running", []),
        ("created>=2026-01-02T00:00:00Z", ["faster", "adam", "lr-study"]),
        ("val_acc>0.55", ["plain", "faster"]),
        ("data.images=null", ["plain", "faster", "adam"]),
        ("command=sweep", ["lr-study"]),
    ],
)
def test_conditions(optilab, some, where, names):
    assert listed(optilab, "--where", where) == names


def test_lists_are_sorted(optilab, some):
    assert listed(optilab, "--where", "lr>0.005", "--where", "command=train") == ["plain", "faster"]
    assert listed(optilab, "--sort", "-val_acc") == ["faster", "plain", "lr-study", "adam"]
    assert listed(optilab, "--sort", "lr")[:3] == ["adam", "plain", "faster"]
    assert listed(optilab, "*a*", "--sort", "run") == ["adam", "faster", "plain"]


def test_formats_hold_the_values(optilab, some):
    def rows(*line):
        return list(csv.DictReader(io.StringIO(optilab("runs", *line, "--format", "csv").stdout)))

    table = {row["run"]: row for row in rows("ls")}
    assert (table["faster"]["optimizer.lr"], table["faster"]["best_val_acc"]) == ("0.5", "0.8")
    assert table["adam"]["optimizer.name"] == "adam"
    assert table["lr-study"]["trials"] == "4"
    document = {run["run"]: run for run in json.loads(optilab("runs", "ls", "--json").stdout)["runs"]}
    assert document["runs/faster"]["changed"] == {"optimizer.lr": 0.5, "epochs": 2}
    assert document["runs/lr-study"]["trials"] == {"done": 3, "diverged": 1}
    assert [row["val_acc"] for row in rows("show", "plain")] == ["0.5", "0.7", "0.6"]


def test_no_code_of_a_user_runs(optilab, tmp_path):
    """A run of a rule of the user's own is listed when the file is gone or has changed."""
    rule = "def mine(w, g, lr=0.1):\n    return w - lr * g\n"
    (tmp_path / "mine.py").write_text(rule)
    optilab("optimize", "--algo", "mine.py:mine", "--name", "own")
    (tmp_path / "mine.py").write_text("open('canary', 'w')\n" + rule)
    assert "mine.py:mine" in optilab("runs", "ls").stdout
    assert not (tmp_path / "canary").exists()


# --- what a run records of its end -------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [{}, {"epochs": "3"}, {"epochs": 3}, {"best_epoch": None}])
def test_odd_outcome_is_not_used(tmp_path, outcome):
    path = training(tmp_path, "t", accuracies=(0.5, 0.7), outcome=outcome)
    assert runs.read(path).outcome()["best_val_acc"] == 0.7


def test_run_in_progress_is_read_from_its_metrics(tmp_path):
    stale = {"epochs": 1, "best_epoch": 1, "best_val_acc": 0.1}
    path = training(tmp_path, "t", accuracies=(0.5, 0.7), outcome=stale, status="running")
    assert runs.read(path).outcome()["best_val_acc"] == 0.7


def test_rm_removes_all_that_is_named_or_nothing(optilab, some, tmp_path):
    first, second, *_ = sorted(path for path in (tmp_path / "runs").iterdir() if (path / "manifest.json").exists())
    (second / "manifest.json").unlink()
    refused = optilab("runs", "rm", first.name, second.name, "--yes", code=4).stderr
    assert "nothing was removed" in refused
    assert first.is_dir()


def test_unreadable_data_directory_is_named(optilab, tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    refused = optilab("data", "verify", "--data-dir", "locked", code=7).stderr
    assert "cannot read locked: Permission denied" in refused
