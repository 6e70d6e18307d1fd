"""Several seeds in one command: one run each, and their mean and spread."""

import json
from statistics import mean, stdev

from optilab.study.groups import outcome, spread
from tests.data.idx import write_idx_dataset


def test_every_seed_is_a_run_of_its_own_and_the_summary_is_over_all(optilab, tmp_path):
    write_idx_dataset(tmp_path / "data")
    sets = [f"--set=data.{key}" for key in ("dataset=idx", "dir=data", "holdout=50")]
    options = ["--config", "relu", *sets, "--epochs", 2, "--seed", 7, "--device", "cpu", "--threads", 1]
    together = json.loads(optilab("train", *options, "--seeds", 3, "--name", "study", "--json").stdout)
    assert [run["seed"] for run in together["runs"]] == [7, 8, 9]
    assert together["run"] == "runs/study"
    accuracies = [run["rows"][-1]["val_acc"] for run in together["runs"]]
    assert together["summary"]["val_acc"] == {"mean": mean(accuracies), "std": stdev(accuracies)}

    alone = json.loads(optilab("train", *options, "--seed", 8, "--json").stdout)
    assert alone["rows"] == together["runs"][1]["rows"]
    assert 0 <= alone["test_acc"] <= 1
    manifest = json.loads((tmp_path / together["runs"][1]["run"] / "manifest.json").read_text())
    assert (manifest["test_loss"], manifest["test_acc"]) == (alone["test_loss"], alone["test_acc"])


def test_the_table_of_seeds(optilab, tmp_path):
    write_idx_dataset(tmp_path / "data")
    sets = ["--set=data.dataset=idx", "--set=data.dir=data"]
    done = optilab("train", "--config", "relu", *sets, "--epochs", 1, "--threads", 1, "--seeds", 2)
    lines = [line.split() for line in done.stdout.splitlines()]
    first = [line[0] for line in lines if line]
    assert first[first.index("42") :][:4] == ["42", "43", "mean", "std"]
    assert "cannot be combined" in optilab("train", "--resume", "x", "--seeds", 2, code=2).stderr


def test_spread_of_one_seed_is_zero():
    rows = [{"epoch": 1, "val_acc": 0.5}, {"epoch": 2, "val_acc": 0.25}]
    assert outcome(rows) == {"val_acc": 0.25, "best_val_acc": 0.5}
    assert spread([outcome(rows)])["val_acc"] == (0.25, 0.0)
