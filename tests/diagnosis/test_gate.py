"""One answer to whether a network is healthy: `healthy`, `--fail-on`, `check --expect healthy`, JUnit, JSON."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import optilab as package
from optilab import runs
from optilab.diagnose import Severity
from optilab.diagnose.evidence import MIN_SKILL
from optilab.lab import Lab
from tests.kit.command import ROOT
from tests.kit.generated import layered, training

EVEN, VANISHED = [0.1, 0.1, 0.1], [1e-9, 0.1, 0.1]
TRAININGS = {  # validation accuracies (chance: 0.1), gradients of the layers -> how the verdict begins
    "learned": ((0.5, 0.9), EVEN, "healthy: "),
    "learned in many epochs": ((0.2, 0.5, 0.7, 0.8, 0.85, 0.88), EVEN, "healthy: "),
    "learned by just enough": ((0.61, 0.61), EVEN, "healthy: "),
    "learned, with a note": ((0.8, 0.9), EVEN, "healthy: ", "model.dropout=0.9"),
    "hardly short of it": ((0.59, 0.59), EVEN, "no sign of trouble yet: it has not learned much, "),
    "hardly learned": ((0.12, 0.15), EVEN, "no sign of trouble yet: it has not learned much, "),
    "slow, and rising": ((0.09, 0.1, 0.2, 0.43), EVEN, "no sign of trouble yet: it has not learned much, "),
    "hardly, and no further": ((0.3,) * 6, EVEN, "no cause found: it has not learned much, "),
    "learned and lost": ((0.9, 0.9, 0.1, 0.1, 0.1), EVEN, "warning: "),
    "not learned": ((0.1, 0.1), EVEN, "no sign of trouble yet: it has not learned much, "),
    "not learned, vanished": ((0.1,) * 4, VANISHED, "warning: vanishing-gradient"),
    "overfitted": ((0.9,) * 4, EVEN, "warning: too-few-images"),
    "no epoch": ((), EVEN, "no epoch is recorded yet"),
}


def trained(folder, name):
    accuracies, gradients, _, *changes = TRAININGS[name]
    run = training(folder, "it", *changes, accuracies=accuracies, epoch=len(accuracies))
    layered(run, *[gradients] * len(accuracies))
    if name == "overfitted":
        rows = [
            {"epoch": n, "train_loss": 0.01, "train_acc": 1.0, "val_loss": loss, "val_acc": 0.8}
            for n, loss in enumerate((0.5, 1.5, 1.8, 1.9), 1)
        ]
        (run / "metrics.csv").write_bytes(runs.table(rows))


def loop(lr=0.5, *, epochs=5, target=True, accuracy=True, every=1, broken=None, rare=False, softmax=False):
    """A small loop that is watched; `broken` is the epoch in which a hook of the watch raises."""
    torch.manual_seed(0)
    x = torch.randn(600, 10)
    y = torch.rand(600) < 0.05 if rare else x[:, 0] + x[:, 1] > 0.13
    y = y.long()
    net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 2), *([nn.Softmax(1)] if softmax else []))
    optimizer = torch.optim.SGD(net.parameters(), lr)
    watch = package.watch(net, optimizer)
    for epoch in range(epochs):
        if epoch == broken:
            watch._seen.updates = None  # which cannot be counted
        for step in range(25):
            here = torch.randint(0, 500, (32,))
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x[here]), y[here])
            loss.backward()
            optimizer.step()
            if step % every == 0:
                watch.step(loss, target=y[here] if target else None)
        with torch.no_grad():
            answers = net(x[500:])
        seen = float((answers.argmax(1) == y[500:]).float().mean())
        metrics = {"val_acc": seen} if accuracy else {}
        watch.epoch(val_loss=F.cross_entropy(answers, y[500:]), **metrics)
    return watch


WATCHED = {
    "learned": ({}, "healthy: "),
    "learned, by its loss": ({"accuracy": False}, "healthy: "),
    "learned in many epochs": ({"epochs": 10, "lr": 0.3}, "healthy: "),
    "hardly learned": ({"lr": 0.03, "epochs": 3}, "no cause found: it has not learned much, "),
    "hardly, by its loss": (
        {"lr": 0.1, "epochs": 3, "accuracy": False},
        "no sign of trouble yet: it has not learned much, ",
    ),
    "not learned": ({"lr": 0.0}, "critical: learning-rate-zero"),
    "a part: a hook raises": ({"broken": 4}, "cannot tell: the watch stopped after 1"),
    "a part: few steps are seen": ({"every": 5, "epochs": 20}, "cannot tell: the watch saw 100 of 500 steps; "),
    "a part: too few steps": ({"epochs": 2}, "no sign of trouble in 50 batches, too few for another verdict"),
    "wrongly: without targets": ({"target": False}, "no sign of trouble: "),
    "wrongly: one frequent class": ({"target": False, "rare": True, "lr": 0.1}, "no sign of trouble: "),
}


@pytest.mark.parametrize(
    "name", [*(f"train {case}" for case in TRAININGS), *(f"watch {case}" for case in WATCHED)]
)
def test_every_gate_gives_the_same_answer(name, optilab, tmp_path):
    command, _, case = name.partition(" ")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    if command == "train":
        trained(tmp_path / "runs", case)
        verdict = TRAININGS[case][2]
    else:
        arguments, verdict = WATCHED[case]
        watch = loop(**arguments)
        assert watch.diagnosis().healthy == verdict.startswith("healthy")
        watch.save("it", tmp_path / "runs")
    torch.set_num_threads(threads)
    healthy, code = verdict.startswith("healthy"), 0 if verdict.startswith("healthy") else 9
    document = json.loads(optilab("diagnose", "it", "--json", "--fail-on", "warning", code=code).stdout)
    assert document["verdict"].startswith(verdict)
    assert "healthy" not in document["verdict"].removeprefix("healthy: ")
    diagnosis = Lab(tmp_path / "runs").load("it").diagnosis
    assert document["healthy"] == diagnosis.healthy == healthy
    learned_with_a_warning = case == "overfitted"
    assert replace(diagnosis, level=Severity.CRITICAL).code == (0 if learned_with_a_warning else code)
    checked = json.loads(
        optilab("check", "it", "--expect", "healthy", "--json", "--out", "it.xml", code=code).stdout
    )
    ((claim,),) = (check["claims"] for check in checked["checks"])
    assert claim["result"] == ("holds" if healthy else "fails")
    assert claim["measured"] == ("healthy" if healthy else document["verdict"])
    suite = ElementTree.parse(tmp_path / "it.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("errors")) == ("0" if healthy else "1", "0")


@pytest.mark.parametrize(("name", "code"), [("learned", 0), ("hardly learned", 9), ("no epoch", 9)])
def test_quiet_leaves_the_answer_to_the_exit_status(name, code, optilab, tmp_path):
    trained(tmp_path / "runs", name)
    assert optilab("diagnose", "it", "--quiet", code=code).stdout == ""


def test_a_level_below_warning_counts_notes(optilab, tmp_path):
    trained(tmp_path / "runs", "learned, with a note")
    output = optilab("diagnose", "it", "--fail-on", "info", code=9).stdout
    assert "\ninfo: dropout-too-strong: " in output
    assert "note: " not in output


def test_loops_of_the_same_settings_differ_by_their_code(optilab, tmp_path):
    for name, softmax in (("before", True), ("after", False)):
        loop(softmax=softmax, epochs=3).save(name, tmp_path / "runs")
    assert "the code of a loop is not recorded" in optilab("runs", "diff", "before", "after").stdout


def test_the_glossary_states_the_margin():
    rows = (ROOT / "docs" / "glossary.md").read_text().splitlines()
    (healthy,) = (row for row in rows if row.startswith("| **healthy**"))
    assert f"{MIN_SKILL:g}" in healthy
