"""`optilab train` as it is typed: its flags, a terminal, its JSON."""

import json
import re

import pytest

from optilab.runs import read_study
from tests.kit.processes import on_a_terminal


def rows(optilab, *arguments):
    return json.loads(optilab("train", *arguments, "--json").stdout)["rows"]


def test_the_config_is_an_argument_or_an_option(optilab, small):
    assert rows(optilab, small) == rows(optilab, "--config", small)


def test_the_optimizer_and_the_batch_size_have_flags(optilab, small):
    flags = rows(optilab, small, "--optimizer", "adam", "--lr", "0.01", "--batch-size", "50")
    keys = ("optimizer=adam", "optimizer.lr=0.01", "data.batch_size=50")
    assert flags == rows(optilab, small, *(f"--set={key}" for key in keys))


def test_a_terminal_keeps_the_line_of_every_epoch(small, tmp_path):
    """Above the bar, not behind it; and its first line comes before PyTorch is loaded."""
    line = ["train", small, "--runs-dir", tmp_path / "runs"]
    shown = on_a_terminal(line, tmp_path, "fresh", COLUMNS=120, TERM="xterm", NO_COLOR=1)
    left = re.sub(r"[^\n]*\r\x1b\[2K", "", shown)  # what is erased is not there
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", left)
    assert text.startswith("optilab: starting small: loading PyTorch")
    assert re.findall(r"^ {7}(\d)/3 +[0-9.]+ +[0-9.]+ ", text, re.MULTILINE) == ["1", "2", "3"]


def test_the_json_document_carries_best_epoch_seconds_chance_and_diagnosis(optilab, small):
    document = json.loads(optilab("train", small, "--epochs", 2, "--json").stdout)
    assert document["best"] == max(document["rows"], key=lambda row: row["val_acc"])
    assert document["seconds"] > 0
    assert document["chance"] == pytest.approx(0.1)
    levels = [finding["severity"] for finding in document["diagnosis"]["findings"]]
    assert levels == sorted(levels, key=("critical", "warning", "info").index)


def test_a_divergence_with_json_is_one_document(optilab, small):
    done = optilab("train", small, "--epochs", 3, "--lr", "1e30", "--json", code=6)
    document = json.loads(done.stdout)
    assert document["status"] == "diverged"
    assert document["schema_version"] == 4
    assert document["error"]["code"] == 6


def test_several_seeds_are_a_sweep_without_an_axis(optilab, small, tmp_path):
    """It continues as one; a single group is compared with nothing, which counts no look."""
    trained = json.loads(optilab("train", small, "--seeds", 2, "--epochs", 1, "--name", "s", "--json").stdout)
    swept = json.loads(optilab("sweep", small, "--seeds", 2, "--epochs", 1, "--name", "w", "--json").stdout)
    assert trained.keys() == swept.keys()
    assert trained["trials"] == swept["trials"]
    optilab("sweep", "--resume", "s", "--seeds", 3, "--quiet")
    study = read_study(tmp_path / "runs" / "s")
    assert study.manifest["command"] == "sweep"
    assert len(study.trials) == 3
    assert "looks" not in study.manifest
    optilab("sweep", "--resume", "s", "--over", "optimizer.lr=0.1,0.2", "--quiet")
    assert len(read_study(study.path).manifest["looks"]) == 1
