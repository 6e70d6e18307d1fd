"""Which runs `train --resume` takes up; what it says of others is in tests/transcripts/refused-settings.txt."""

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
    page = (Path(__file__).parents[2] / "docs" / "reproducibility.md").read_text()
    sentence = page.partition("keys may\n  change: ")[2].partition(". ")[0]
    keys = {key for key in changeable(load(TrainConfig, "sigmoid")) if not key.startswith("curvature.")}
    assert {*re.findall(r"`([^`]*)`", sentence)} == keys


def test_a_run_of_a_version_with_other_keys_is_refused(run, tmp_path):
    path = tmp_path / "runs" / "done" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["config"]["data"]["scale"] = 255
    manifest["versions"]["optilab"] = "0.1.0"
    path.write_text(json.dumps(manifest))
    assert "made by optilab 0.1.0, whose runs this version reads and does not resume" in run(
        "--epochs", "5", code=4
    )


def test_a_run_of_a_version_that_kept_less_is_not_called_damaged(run, optilab, tmp_path):
    path = tmp_path / "runs" / "done" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["config"]
    manifest["versions"]["optilab"] = "0.1.0"
    path.write_text(json.dumps(manifest))
    message = run("--epochs", "5", code=4)
    assert "done was made by optilab 0.1.0, whose runs this version reads and does not resume" in message
    optilab("diagnose", "done")
    optilab("runs", "compare", "done")


def test_a_run_goes_on_to_the_epochs_that_its_config_has_now(run, tmp_path):
    config = tmp_path / "runs" / "done" / "config.yaml"
    config.write_text(config.read_text().replace("epochs: 3", "epochs: 4"))
    run(code=0)
    assert len((tmp_path / "runs" / "done" / "metrics.csv").read_text().splitlines()) == 1 + 4


@pytest.mark.parametrize("option", ["--resume", "--fork"])
def test_every_refusal_comes_without_torch(option, run, forked_without_torch, tmp_path):
    for arguments, code in ((["--set", "model.hidden=[4]"], 4), (["--epochs", "2"], 2), (["--seed", "x"], 2)):
        done = forked_without_torch.run(["train", option, "done", *arguments], tmp_path)
        assert done.code == code
        assert done.err.startswith("optilab: ")
