"""Which runs `train --resume` takes up; what it says of others is in recorded/transcripts/refused-settings.txt."""

import json
import re
from pathlib import Path

import pytest

from optilab.config.load import load
from optilab.config.training import TrainConfig, changeable


@pytest.fixture
def run(optilab, small):
    """A finished run of 3 epochs, called `done`."""
    optilab("train", "--config", small, "--name", "done", "--quiet")
    return lambda *arguments, code: optilab("train", "--resume", "done", *arguments, code=code).stderr


def test_the_page_names_the_keys_that_may_change():
    page = " ".join((Path(__file__).parents[2] / "docs" / "reproducibility.md").read_text().split())
    sentence = page.partition("keys may change: ")[2].partition(". ")[0]
    keys = {key for key in changeable(load(TrainConfig, "sigmoid")) if not key.startswith("curvature.")}
    assert {*re.findall(r"`([^`]*)`", sentence)} == keys


@pytest.mark.parametrize("version", [1, 2, 99])
def test_another_format_is_refused_by_every_reader_in_one_sentence_that_names_both(
    version, run, optilab, tmp_path
):
    path = tmp_path / "runs" / "done" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": version}))
    sentence = f"manifest.json: expected schema 3, got {version}"
    assert sentence in run("--epochs", "5", code=5)
    for words in (["runs", "show"], ["runs", "compare"], ["diagnose"], ["report"]):
        assert optilab(*words, "done", code=5).stderr.count(sentence) == 1


def test_a_manifest_without_its_config_is_damaged(run, tmp_path):
    path = tmp_path / "runs" / "done" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "config": {}}))
    assert "manifest.json is damaged: its config has no name" in run("--epochs", "5", code=5)


def test_a_run_that_was_resumed_with_other_keys_is_not_one_that_was_edited(run, optilab):
    run("--epochs", "4", "--set", "probes=0", "--set", "checkpoint_every=2", code=0)
    for words in (["train", "runs/done"], ["train", "--resume", "done"], ["runs", "compare", "done"]):
        optilab(*words)
    assert optilab("runs", "ls").stdout.count("edited") == 0


def test_a_run_goes_on_to_the_epochs_that_its_config_has_now(run, tmp_path):
    config = tmp_path / "runs" / "done" / "config.yaml"
    config.write_text(config.read_text().replace("epochs: 3", "epochs: 4"))
    run(code=0)
    assert len((tmp_path / "runs" / "done" / "metrics.csv").read_text().splitlines()) == 1 + 4


@pytest.mark.parametrize("option", ["--resume", "--fork"])
def test_every_refusal_comes_without_torch(option, run, optilab):
    for arguments, code in ((["--set", "model.hidden=[4]"], 4), (["--epochs", "2"], 2), (["--seed", "x"], 2)):
        done = optilab("train", option, "done", *arguments, how="forked without torch", code=code)
        assert done.stderr.startswith("optilab: ")
