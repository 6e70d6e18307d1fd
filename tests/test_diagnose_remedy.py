"""`optilab diagnose`, `optilab remedy` and the end of `optilab train`, as a user meets them."""

import json
import subprocess
import sys
import time

import pytest

from optilab.config.presets import presets
from optilab.runs import read
from tests.faults.harness import until

SIGMOIDS = ("--set", "model.hidden=[16, 16, 16, 16, 16, 16]", "--set", "model.activation=sigmoid", "--lr", "0.01")


def test_a_training_ends_with_its_gravest_finding(optilab, small):
    said = optilab("train", "--config", small, *SIGMOIDS).stdout
    assert "diagnosis: critical: vanishing-gradient: the gradient of layer 1 is" in said
    assert "mean-field theory" in said
    assert "measured" in said
    command = next(line for line in said.splitlines() if line.startswith("  try: optilab train --config runs/"))
    assert "--set " in command
    assert "\n  more: optilab diagnose runs/" in said


def test_diagnosing_a_run_and_trying_its_remedy(optilab, small):
    optilab("train", "--config", small, *SIGMOIDS, "--name", "flat", "--quiet")
    document = json.loads(optilab("diagnose", "flat", "--json", "--fail-on", "warning", code=9).stdout)
    assert document["schema_version"] == 1
    assert document["healthy"] is False
    first = document["findings"][0]
    assert first["rule"] == "vanishing-gradient"
    assert first["severity"] == "critical"
    assert first["evidence"]["gradient_ratio"] < 0.05
    words = first["remedies"][0].split()
    assert words[:2] == ["optilab", "train"]
    optilab(*words[1:], "--quiet")  # a remedy runs as it is printed


def test_a_run_with_the_name_of_a_preset_is_the_run(optilab, small):
    optilab("train", "--config", small, *SIGMOIDS, "--name", "sigmoid", "--quiet")
    (first, *_) = json.loads(optilab("diagnose", "sigmoid", "--json").stdout)["findings"]
    assert first["remedies"][0].startswith("optilab train --config runs/sigmoid/config.yaml")


def test_a_config_is_tried_for_a_few_batches(optilab, small, tmp_path):
    tanh = small.parent / "tanh.yaml"
    text = small.read_text().replace("[16, 16]", "[16, 16], activation: tanh, init: xavier")
    tanh.write_text(text)
    assert "healthy" in optilab("diagnose", tanh, "--fail-on", "warning").stdout
    said = optilab("diagnose", "sigmoid.yaml", "--fail-on", "critical", code=9).stdout
    assert "critical: vanishing-gradient" in said
    assert "  try: optilab train --config sigmoid.yaml --set model.init=unit-gain" in said
    assert not (tmp_path / "runs").exists()


FAILING = {  # what fails in the study -> the rule that says why
    "sigmoid": ["vanishing-gradient"],
    "momentum": ["vanishing-gradient"],
    "xavier": ["vanishing-gradient"],
    "weight-std10": ["saturated"],
    "published/sigmoid": ["vanishing-gradient"],
    "published/adopt": ["eps-dominates"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [preset.name for preset in presets("train")])
def test_of_every_preset_a_trial_tells_whether_it_works(name, optilab):
    found = json.loads(optilab("diagnose", name, "--json").stdout)["findings"]
    assert [finding["rule"] for finding in found if finding["severity"] != "info"] == FAILING.get(name, [])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nothing"], 2, "no run in runs, no file and no preset"),
        (["sigmoid.yaml", "--fail-on", "warnin"], 2, 'did you mean "warning"?'),
    ],
)
def test_what_diagnose_refuses(arguments, code, said, optilab):
    assert said in optilab("diagnose", *arguments, code=code).stderr


def test_remedies_side_by_side(optilab, small, tmp_path):
    arguments = ["remedy", small, "--only", "tanh,batchnorm,skip", "--seeds", 2, "--epochs", 2, "--name", "table"]
    done = optilab(*arguments, "--json")
    document = json.loads(done.stdout)
    found = {result["remedy"]: result for result in document["results"]}
    assert list(found) == ["as it is", "tanh", "batchnorm", "skip"]
    assert found["tanh"]["changes"] == {"model.activation": "tanh"}
    assert len(found["tanh"]["val_acc"]) == 2
    assert "two hidden layers expected" in found["skip"]["state"]  # the network has no layers 3 and 5
    assert found["skip"]["val_acc"] == []
    # Common random numbers, and each trial is a run that repeats alone to the same bits.
    path = tmp_path / "runs" / "table" / "tanh-42"
    again = optilab("train", "--config", path / "config.yaml", "--quiet").stdout.strip()
    assert (tmp_path / again / "metrics.csv").read_bytes() == (path / "metrics.csv").read_bytes()
    # The same name goes on with what is missing: nothing, so the table is the same.
    assert json.loads(optilab(*arguments, "--json").stdout)["results"] == document["results"]
    assert "smallest change that fixes it" in optilab(*arguments).stdout or document["smallest_fix"] is None
    assert "unknown" not in optilab("runs", "ls").stderr
    assert "did you mean" in optilab("remedy", small, "--only", "batchnrm", code=2).stderr


def test_a_trial_that_fails_takes_no_other_with_it(optilab, small, tmp_path):
    damaged = tmp_path / "runs" / "broken" / "tanh-42"
    damaged.mkdir(parents=True)
    (damaged / "manifest.json").write_text("{")
    arguments = ["remedy", small, "--only", "tanh,batchnorm", "--epochs", 1, "--name", "broken", "--json"]
    done = optilab(*arguments, code=8)
    found = {result["remedy"]: result for result in json.loads(done.stdout)["results"]}
    assert found["tanh"]["state"] == "failed"
    assert found["batchnorm"]["state"] == found["as it is"]["state"] == "done"
    assert "tanh-42 failed: optilab: " in done.stderr


def test_trainings_end_with_the_study_that_started_them(small, tmp_path):
    command = ["remedy", small, "--only", "tanh", "--epochs", "100000", "--name", "orphans"]
    study = subprocess.Popen(
        [sys.executable, "-m", "optilab", *map(str, command)], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    rows = tmp_path / "runs" / "orphans" / "tanh-42" / "metrics.csv"
    while not rows.exists():
        assert study.poll() is None
        time.sleep(0.1)
    study.kill()
    study.wait()
    until(lambda: read(rows.parent).state == "interrupted")
