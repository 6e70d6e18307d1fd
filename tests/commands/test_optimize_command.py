"""`optilab optimize`: origins of settings, tuning, what is written, and what is said about rounding."""

import json
import re

import numpy as np
import pytest

from optilab.answer.charts.paths import suboptimality
from optilab.config.study import RaceConfig
from optilab.errors import DataError
from optilab.lab import Lab
from optilab.optimize import OBJECTIVES, RULES, descend
from optilab.study.tuning import tune


def test_tuned_rules_are_those_of_a_race(optilab):
    """Each rule has the best of the same number of settings, by the function that a race tunes with."""
    document = json.loads(optilab("optimize", "--algo", "sgd,lion", "--tune", 20, "--no-save", "--json").stdout)
    ravine = OBJECTIVES["ravine"]()
    for result in document["results"]:
        rule = RULES[result["algo"]]()
        best = tune(rule, ravine, RaceConfig(budget=20, gradients=30), np.array([ravine.start]))
        assert result["params"]["lr"] == best.lr
        assert result["values"][-1] < 1  # both get near; lion's default lr does not move


def test_nothing_is_written_unasked(optilab, tmp_path):
    optilab("optimize", "--algo", "sgd", "--no-save", "--out", "a.svg")
    assert json.loads(optilab("optimize", "--algo", "sgd", "--no-save", "--json").stdout)["run"] is None
    gate = ("optimize", "--algo", "adam", "--quiet", "--no-save", "--expect")
    assert optilab(*gate, "distance < 0.2").stdout == optilab(*gate, "distance < 0.1", code=9).stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]


@pytest.mark.parametrize(
    ("function", "same", "start"),
    [
        ("x^2 + 3*y^2", "w1^2 + 3*w2^2", "1,2"),
        ("0.1 w1^2 + 2 w2^2", "ravine", "-5,-2"),
        ("0.1 w1^2 + 2 w2^2", "ravine", "[-5, -2]"),
        ("0.1 w1^2 + 2 w2^2", "ravine", " -5 -2"),
    ],
)
def test_formula_and_start_have_several_notations(optilab, function, same, start):
    def points(function, start):
        line = ("optimize", "adam", "--function", function, f"--start={start}", "--json", "--no-save")
        return json.loads(optilab(*line).stdout)["results"][0]["points"]

    assert points(function, start) == points(same, "1,2" if same != "ravine" else "-5,-2")


def test_function_of_one_variable_is_drawn(optilab, tmp_path):
    line = ("--function", "w1^4 - w1^2", "--start", "2", "--lr", "0.02", "--epochs", 400, "--out", "a.svg")
    assert "converged: f = -0.25 at (0.707" in optilab("optimize", "sgd", *line, "--picture").stdout
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()


def test_each_rate_of_a_list_is_an_optimizer(optilab, tmp_path):
    """On the command line, in `Lab`, and of a config, whose lines are still named."""
    listed = "algo=[{name: sgd, lr: 0.1}, {name: sgd, lr: 0.3}, {name: adam, lr: 0.1}, {name: adam, lr: 0.3}]"
    written, asked = (
        optilab("optimize", *line, "--no-save", "--json").stdout
        for line in (("--set", listed), ("sgd,adam", "--lr", "0.1,0.3"))
    )
    assert asked == written
    values = [result["values"] for result in json.loads(asked)["results"]]
    of_lab = Lab(tmp_path).optimize(["sgd", "adam"], lr=[0.1, 0.3]).document()["results"]
    assert [result["values"] for result in of_lab] == values
    (tmp_path / "two.yaml").write_text("algo:\n  - name: sgd\n  - name: adam\n    beta1: 2\n    beta2: 0.9\n")
    refused = optilab("optimize", "two.yaml", "--lr", "0.1,0", code=2).stderr
    assert refused.count("two.yaml:4: algo[") == 2
    assert "--lr: expected a number > 0, got 0\n" in refused
    assert "shows one optimizer" in optilab("map", "sgd", "--x", "w1=0:1", "--lr", "0.1,0.3", code=2).stderr


@pytest.mark.parametrize(
    ("lr", "function", "start", "epoch"),
    [
        (0.037, "himmelblau", "0.5,0.25", 52),  # against 150 digits, this path is wrong from epoch 54 on
        (0.01, "himmelblau", "0.5,0.25", None),
        (0.01, "himmelblau", "0,-2", None),
        (0.01, "exp(x)", "0", None),
    ],
)
def test_chaotic_path_is_called_so(optilab, lr, function, start, epoch):
    line = ("optimize", "sgd", "--lr", lr, "--function", function, "--start", start, "--epochs", 80)
    match = re.search(r"chaotic: sgd from epoch (\d+)", optilab(*line).stdout)
    assert (match and int(match[1])) == epoch


def test_loss_curve_ends_at_rounding():
    """The ravine's minimum is exactly 0, so that f has no floor but its smallest number."""
    path = descend(RULES["sgd"](lr=0.4), OBJECTIVES["ravine"](), steps=400)
    (gap,), name = suboptimality(OBJECTIVES["ravine"](), [path])
    assert name == "f - f_min"
    assert np.array_equal(gap, path.values)
    assert gap[-1] < 1e-25
    branin = OBJECTIVES["branin"]()  # f_min is 0.4: nothing below its last digit can be told
    (gap,), _ = suboptimality(branin, [descend(RULES["newton"](), branin, (3.1, 2.2), steps=20)])
    assert gap.min() == np.finfo(float).eps * branin.value(np.array(branin.minima[0]))


def test_run_is_read_as_it_ran(optilab, tmp_path):
    """Neither its code nor an edit of config.yaml changes what a run shows; claims and `explain` refuse the edit."""
    code = tmp_path / "mine.py"
    code.write_text("def halved(w, g, lr: float = 0.1):\n    return w - lr / 2 * g\n")
    optilab("optimize", "mine.py:halved", "--lr", 0.2, "--name", "a", "--quiet")
    code.unlink()
    run = Lab(tmp_path / "runs").load("a")
    shown = str(run)
    optilab("report", "a", "--out", tmp_path / "a.html")
    assert "the code of mine.py:halved" in (tmp_path / "a.html").read_text()
    assert f"f = {run.rows[-1]['f']:.3g} at" in shown
    assert list(run.answer.rows) == run.rows
    assert "1 holds" in optilab("check", "a", "--expect", "f > 0").stdout
    config = tmp_path / "runs" / "a" / "config.yaml"
    config.write_text(config.read_text().replace("0.2", "0.9"))
    assert str(Lab(tmp_path / "runs").load("a")) == shown
    assert (
        "config.yaml was edited since the run started" in optilab("check", "a", "--expect", "f > 0", code=4).stdout
    )


def test_unstable_run_that_has_grown_diverged(optilab, tmp_path):
    """f is 8 times as high as at the start, on the screen and in the run that is read again."""
    line = ("optimize", "sgd", "--lr", 0.51, "--name", "a", "--fail-on-divergence")
    assert "\ndiverged: f rose from 10.5 to 84.2 in 30 steps" in optilab(*line, code=6).stdout
    assert "\ndiverged: f rose from 10.5 to 84.2 in 30 steps" in str(Lab(tmp_path / "runs").load("a"))


@pytest.mark.parametrize("rows", ["", "sgd,0,-5.0,-2.0,10.5,8.0\n", "adam,0,,-2.0,10.5,8.0\n"])
def test_damaged_rows_of_a_run_are_named(optilab, tmp_path, rows):
    optilab("optimize", "adam", "--name", "a", "--quiet")
    (tmp_path / "runs" / "a" / "metrics.csv").write_text(f"algo,epoch,w1,w2,f,gradient_norm\n{rows}")
    with pytest.raises(DataError, match="is damaged: expected the points of adam"):
        str(Lab(tmp_path / "runs").load("a"))


def test_explain_refuses_an_edited_run(optilab, tmp_path):
    optilab("optimize", "sgd", "--name", "a", "--quiet")
    config = tmp_path / "runs" / "a" / "config.yaml"
    config.write_text(config.read_text().replace("lr: 0.4", "lr: 0.9"))
    error = optilab("explain", "runs/a", code=4).stderr
    edit = "algo: [{name: sgd, lr: 0.4}] -> [{name: sgd, lr: 0.9}]"
    assert error == f"optilab: runs/a/config.yaml was edited since the run started: {edit}\n"
