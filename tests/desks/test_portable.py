"""What a user of any system does first. On Linux these tests are run at the simulated desks, by test_desks.py."""

import csv
import json
import os
import subprocess
import sys
import time

import pytest

import optilab as package
from optilab import Lab, runs

HERE = sys.platform == "linux" and "DESK" not in os.environ
pytestmark = [pytest.mark.portable, *[pytest.mark.nightly] * HERE]

STEPS = 1e-9
"""The relative difference of a trajectory from that of another system: powers and roots are those of its C library."""
LOSSES = 1e-3
"""The same of the losses of a short training: the products of matrices are those of its math library."""
LAST = [-0.11386432157957514, 0.06793465026860437]
"""Where `optimize --algo adam --epochs 30` ends on Linux."""
VAL_LOSSES = [2.33057177066803, 2.3120253682136536]
"""Those of two epochs of sigmoid.yaml on `synthetic` on Linux."""


def table(path):
    """The rows of a CSV file; the texts of its columns `seconds` left out."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- one run -----------------------------------------------------------------------------------------------


def test_the_first_command_of_the_readme(optilab_process, tmp_path):
    out = optilab_process("optimize", "--algo", "adam", "--epochs", 30, "--json").stdout
    (result,) = json.loads(out)["results"]
    assert result["points"][-1] == pytest.approx(LAST, rel=STEPS)
    out = optilab_process(
        "train", "--config", "sigmoid.yaml", "--epochs", 2, "--set", "data.dataset=synthetic"
    ).stdout
    assert "critical: vanishing-gradient" in out
    rows = table(tmp_path / out.splitlines()[-1] / "metrics.csv")
    assert [float(row["val_loss"]) for row in rows] == pytest.approx(VAL_LOSSES, rel=LOSSES)


@pytest.mark.nightly
def test_the_first_command_of_the_readme_in_full(optilab_process, tmp_path):
    out = optilab_process("train", "--config", "sigmoid.yaml", "--epochs", 10).stdout
    assert "critical: vanishing-gradient" in out
    assert len(table(tmp_path / out.splitlines()[-1] / "metrics.csv")) == 10


def test_a_training_that_was_killed_is_resumed_to_the_same_bytes(optilab, small, tmp_path):
    command = [sys.executable, "-m", "optilab", "train", str(small), "--epochs", "60", "--name", "killed"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = tmp_path / "runs" / "killed" / "metrics.csv"
    while process.poll() is None and not (metrics.is_file() and metrics.read_bytes().count(b"\n") > 2):
        time.sleep(0.01)
    process.kill()
    assert process.wait() != 0
    assert runs.read(metrics.parent).state == "interrupted"
    optilab("train", "--resume", "killed", "--epochs", 60)
    optilab("train", small, "--epochs", 60, "--name", "whole")
    assert metrics.read_bytes() == (tmp_path / "runs" / "whole" / "metrics.csv").read_bytes()
    assert len(table(metrics)) == 60


def test_a_run_is_shown_compared_and_reported(optilab, small, tmp_path):
    for name, lr in (("slow", 0.01), ("fast", 0.1)):
        optilab("train", small, "--lr", lr, "--name", name)
    assert optilab("runs", "ls", "--quiet").stdout.split() == ["slow", "fast"]
    compared = json.loads(optilab("runs", "compare", "slow", "fast", "--json").stdout)
    assert [group["group"] for group in compared["groups"]] == ["lr 0.01", "lr 0.1"]
    optilab("report", "slow", "fast", "--out", "page.html")
    assert "<title>" in (tmp_path / "page.html").read_text(encoding="utf-8")
    optilab("runs", "rm", "slow", "--yes")
    assert os.listdir(tmp_path / "runs") == ["fast"]


# --- many runs ---------------------------------------------------------------------------------------------


def test_a_sweep_with_two_workers(optilab, small, tmp_path):
    optilab("sweep", small, "--over", "optimizer.lr=0.1,0.2", "--seeds", 2, "--jobs", 2, "--name", "s")
    study = runs.read_study(tmp_path / "runs" / "s")
    assert [row["status"] for row in study.rows()] == ["done"] * 4
    optilab("train", small, "--lr", 0.2, "--seed", 43, "--name", "alone")
    trial = next(path for path in study.path.glob("0.2-s43-*"))
    assert (trial / "metrics.csv").read_bytes() == (tmp_path / "runs" / "alone" / "metrics.csv").read_bytes()


def test_a_benchmark(optilab, small):
    sizes = ("--budget", 2, "--repeats", 1, "--seeds", 2, "--epochs", 1, "--set", "data.holdout=50")
    document = json.loads(optilab("benchmark", small, "--algo", "sgd,adam", *sizes, "--json").stdout)
    assert document["failed"] == {}
    assert {rule["rule"]: len(rule["runs"]) for rule in document["networks"][0]["rules"]} == {"sgd": 2, "adam": 2}


# --- without the command line ------------------------------------------------------------------------------


def test_the_lab(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lab = Lab("runs")
    row = lab.optimize("adam", epochs=30).rows[-1]
    assert [row["w1"], row["w2"]] == pytest.approx(LAST, rel=STEPS)
    assert lab.train(str(small), name="one").rows[-1]["epoch"] == 3
    assert [run.name for run in runs.entries(tmp_path / "runs")[0]][-1] == "one"


def test_a_watched_loop(tmp_path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(64, 4)
    y = (x.sum(1) > 0).long()
    with package.watch(model, optimizer) as watch:
        for _ in range(50):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            watch.step(loss, target=y)
        watch.report("page.html")
        watch.save("mine")
    assert runs.read(tmp_path / "runs" / "mine").state == "done"
    assert (tmp_path / "page.html").stat().st_size > 10_000


# --- pages and code ----------------------------------------------------------------------------------------


def test_a_page_to_play_with(optilab, tmp_path):
    optilab("play", "adam", "--out", "play.html")
    assert "<title>" in (tmp_path / "play.html").read_text(encoding="utf-8")


CODE = "import numpy as np\n\ndef mine(w, g, lr=0.1):\n    return w - lr * g  # \u2207f\n"


def test_own_code_is_verified_and_graded(optilab, tmp_path):
    (tmp_path / "class").mkdir()
    for name, code in (("right", CODE), ("wrong", CODE.replace("- lr", "+ lr")), ("torn", "def mine(")):
        (tmp_path / "class" / f"{name}.py").write_text(code, encoding="utf-8", newline="\n")
    assert "equal" in optilab("verify", "class/right.py:mine", "--against", "sgd").stdout
    words = ("grade", "class", "--against", "sgd", "--no-isolation", "--json")
    document = json.loads(optilab(*words, code=9).stdout)
    assert document["isolation"] in ("limits", "none")
    assert [row["verdict"] for row in document["submissions"]] == ["equal", "error", "explained"]
