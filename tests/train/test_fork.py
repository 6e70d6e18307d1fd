"""`train --fork`: a new run from a checkpoint of another. What is printed: tests/recorded/transcripts/forks.txt."""

import hashlib
import json

import pytest


@pytest.fixture
def trunk(optilab, small, tmp_path):
    """A run of 5 epochs, `trunk`, which keeps the checkpoints of epochs 4 and 5 and the best; its directory."""
    optilab("train", small, "--epochs", "5", "--name", "trunk", "--quiet", "--set", "optimizer=momentum")
    return tmp_path / "runs" / "trunk"


def files(run):
    return {name: (run / name).read_bytes() for name in ("config.yaml", "metrics.csv", "diagnostics.jsonl")}


CONFIGS = {
    "momentum": [],
    "adam": ["optimizer=adam"],
    "a rule that torch lacks": ["optimizer=lion"],
    "an own generator and dropout": ["replay.shuffle_seed=7", "model.dropout=0.2"],
    "a hold-out and a schedule": ["data.holdout=40", "schedule=cosine", "plateau.patience=1"],
}


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
def test_without_changes_it_equals_the_original_to_the_bit(settings, optilab, small, tmp_path):
    options = [part for setting in settings for part in ("--set", setting)]
    optilab("train", small, "--epochs", "5", "--name", "trunk", "--quiet", *options)
    optilab("train", "--fork", "trunk@4", "--name", "branch", "--quiet")
    trunk, branch = tmp_path / "runs" / "trunk", tmp_path / "runs" / "branch"
    assert files(branch) == files(trunk)
    last = [path.name for path in (trunk / "checkpoints").iterdir() if path.name.startswith("000005")]
    assert (branch / "checkpoints" / last[0]).read_bytes() == (trunk / "checkpoints" / last[0]).read_bytes()


def test_the_manifest_names_run_epoch_and_digest(optilab, trunk):
    optilab("train", "--fork", "trunk@4", "--set", "optimizer=adam", "--name", "branch", "--quiet")
    manifest = json.loads((trunk.parent / "branch" / "manifest.json").read_text())
    origin = manifest["fork"]
    (checkpoint,) = (path for path in (trunk / "checkpoints").iterdir() if path.name.startswith("000004"))
    assert (origin["run"], origin["epoch"]) == ("trunk", 4)
    assert origin["sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert origin["changed"] == ["optimizer.name: momentum -> adam", "optimizer.lr: 0.01 -> 0.001"]
    assert origin["config"]["optimizer"]["name"] == "momentum"
    assert manifest["config"]["optimizer"]["name"] == "adam"


def test_kept_state_is_used(optilab, trunk):
    """A step with lr 0 of momentum, then of the forked run: the velocity is that of the checkpoint."""
    import torch

    from optilab.train.trees import from_bytes

    optilab("train", "--fork", "trunk@4", "--set", "optimizer.lr=0.02", "--name", "branch", "--quiet")
    states = []
    for name in ("trunk", "branch"):
        run = trunk.parent / name / "checkpoints"
        (path,) = (path for path in run.iterdir() if path.name.startswith("000004"))
        states.append(from_bytes(path.read_bytes())["optimizer"])
    for index, slot in states[0]["state"].items():
        assert torch.equal(slot["momentum_buffer"], states[1]["state"][index]["momentum_buffer"])
    assert [state["param_groups"][0]["lr"] for state in states] == [0.01, 0.02]


def test_a_fork_resumes_without_its_run(optilab, trunk):
    """An interrupted fork has its own checkpoint; nothing of the run that it came from is needed."""
    import shutil

    optilab("train", "--fork", "trunk@4", "--epochs", "6", "--set", "optimizer=adam", "--name", "whole", "--quiet")
    optilab("train", "--fork", "trunk@4", "--epochs", "5", "--set", "optimizer=adam", "--name", "part", "--quiet")
    shutil.rmtree(trunk)
    optilab("train", "--resume", "part", "--epochs", "6", "--quiet")
    assert files(trunk.parent / "part") == files(trunk.parent / "whole")
