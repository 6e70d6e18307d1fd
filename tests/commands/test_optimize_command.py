"""`optilab optimize`: labels, origins of settings, tuning, and what is written."""

import json
import re

import numpy as np
import pytest

from optilab.optimize import OBJECTIVES, RULES, descend
from optilab.optimize.path import gaps
from optilab.study.tuning import RaceSettings, tune


def test_labels_name_the_settings_that_differ(optilab):
    rules = "algo=[{name: adam, beta1: 0.5}, {name: adam, lr: 0.1}, sgd, sgd]"
    shown = optilab("optimize", "--set", rules, "--epochs", 3, "--picture").stdout
    for label in ("adam lr 0.2 beta1 0.5", "adam lr 0.1 beta1 0.9", "sgd", "sgd #2"):
        assert len(re.findall(rf"^{label}  ", shown, flags=re.MULTILINE)) >= 2
    legend = " ".join(shown.split())
    assert "a adam lr 0.2 beta1 0.5 b adam lr 0.1 beta1 0.9 c sgd lr 0.4 d sgd lr 0.4 #2" in legend


def test_whose_settings_they_are(optilab):
    shown = optilab("optimize", "--algo", "sgd,rmsprop,lion", "--epochs", 3).stdout
    assert re.search(r"^sgd +lr 0.4 +preset: exercise$", shown, flags=re.MULTILINE)
    assert re.search(r"^rmsprop .* preset: exercise$", shown, flags=re.MULTILINE)
    assert re.search(r"^lion .* default$", shown, flags=re.MULTILINE)
    assert "tune all optimizers alike with --tune 50" in shown
    shown = optilab("optimize", "--algo", "sgd,rmsprop", "--lr", "0.1", "--epochs", 3).stdout
    assert shown.count("set here") == 2
    assert "--tune" not in shown


def test_tuned_rules_are_the_races_own(optilab):
    """Each rule has the best of the same number of settings, by the function that a race tunes with."""
    shown = optilab("optimize", "--algo", "sgd,lion", "--tune", 20, "--no-save").stdout
    assert (
        "tuned: the best of 20 random settings per optimizer from this start (20 paths of 30 epochs each)" in shown
    )
    document = json.loads(optilab("optimize", "--algo", "sgd,lion", "--tune", 20, "--no-save", "--json").stdout)
    ravine = OBJECTIVES["ravine"]()
    for result in document["results"]:
        rule = RULES[result["algo"]]()
        best = tune(rule, ravine, RaceSettings(budget=20, gradients=30), np.array([ravine.start]))
        assert result["params"]["lr"] == best.lr
        assert result["values"][-1] < 1  # both get near; lion's default lr does not move
    said = optilab("optimize", "--algo", "sgd", "--tune", 5, "--set", "clip_norm=1", code=2).stderr
    assert "--tune runs an optimizer as it is" in said


def test_nothing_is_written_unasked(optilab, tmp_path):
    shown = optilab("optimize", "--algo", "sgd", "--no-save", "--out", "a.svg").stdout
    assert shown.splitlines()[-1] == "a.svg"
    assert not (tmp_path / "runs").exists()
    assert json.loads(optilab("optimize", "--algo", "sgd", "--no-save", "--json").stdout)["run"] is None
    assert optilab("optimize", "--algo", "sgd", "--no-save", "--quiet").stdout == ""


def test_functions_of_one_variable_and_of_x_and_y(optilab, tmp_path):
    arguments = ("--function", "w1^4 - w1^2", "--start", "2", "--lr", "0.02", "--epochs", 400)
    shown = optilab("optimize", "--algo", "sgd", *arguments, "--picture", "--out", "a.svg").stdout
    assert "converged: f = -0.25 at (0.707" in shown
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
    results = [
        json.loads(optilab("optimize", "--algo", "adam", "--function", text, "--start", "1,2", "--json").stdout)
        for text in ("x^2 + 3*y^2", "w1^2 + 3*w2^2")
    ]
    assert results[0]["results"][0]["points"] == results[1]["results"][0]["points"]
    for command in ("optimize", "explain"):
        shown = optilab(command, "sgd", "--function", "x^2 + 3y^2").stdout
        assert "x is w1 and y is w2" in shown
        assert "x is w1" not in optilab(command, "sgd", "--function", "exp(w1^2)").stdout


def test_a_rule_of_a_file_is_listed_once_without_its_directory(optilab, tmp_path):
    (tmp_path / "mine.py").write_text("def f(w, g, lr=0.1):\n    return w - lr * g\n")
    optilab("optimize", "mine.py:f", "--lr", "0.2", "--quiet", "--name", "a")
    assert "mine.py:f, lr 0.2" in optilab("runs", "ls").stdout
    assert "algo mine.py" not in optilab("runs", "ls").stdout


def test_a_chaotic_path_is_called_so(optilab):
    """Against 150 digits, this path is wrong from epoch 54 on."""
    arguments = ("--function", "himmelblau", "--start", "0.5,0.25", "--epochs", 80)
    assert "chaotic: sgd from epoch 52: " in optilab("optimize", "--algo", "sgd", "--lr", 0.037, *arguments).stdout
    assert "chaotic" not in optilab("optimize", "--algo", "sgd", "--lr", 0.01, *arguments).stdout


@pytest.mark.parametrize("start", ["0,0", "0,-2", "0"])
def test_a_start_at_zero_is_not_chaos(start, optilab):
    function = "exp(x)" if start == "0" else "himmelblau"
    run = ("optimize", "--algo", "sgd", "--lr", 0.01, "--function", function, "--start", start, "--epochs", 6)
    assert "chaotic" not in optilab(*run).stdout


def test_a_loss_curve_ends_at_rounding_and_not_at_a_floor_of_the_picture():
    """The ravine's minimum is exactly 0, so that f has no floor but its smallest number."""
    path = descend(RULES["sgd"](lr=0.4), OBJECTIVES["ravine"](), steps=400)
    (gap,), name = gaps(OBJECTIVES["ravine"](), [path])
    assert name == "f - f_min"
    assert np.array_equal(gap, path.values)
    assert gap[-1] < 1e-25
    branin = OBJECTIVES["branin"]()  # f_min is 0.4: nothing below its last digit can be told
    (gap,), _ = gaps(branin, [descend(RULES["newton"](), branin, (3.1, 2.2), steps=20)])
    assert gap.min() == np.finfo(float).eps * branin.value(np.array(branin.minima[0]))


def test_the_formula_of_the_exercise_gives_its_numbers(optilab):
    named = json.loads(optilab("optimize", "--algo", "adam", "--json", "--no-save").stdout)
    typed = json.loads(
        optilab("optimize", "--algo", "adam", "--function", "0.1 w1^2 + 2 w2^2", "--json", "--no-save").stdout
    )
    assert typed["results"][0]["points"] == named["results"][0]["points"]


@pytest.mark.parametrize("start", ["-5,-2", "[-5, -2]", "-5 -2", " -5 , -2 "])
def test_a_start_is_typed_in_any_notation_of_a_list(optilab, start):
    done = optilab("optimize", "--algo", "sgd", "--start", start, "--no-save", "--epochs", "1")
    assert "start (-5, -2)" in done.stdout


def test_a_gate_needs_neither_output_nor_a_run(optilab, tmp_path):
    command = ("optimize", "--algo", "adam", "--quiet", "--no-save", "--expect")
    assert optilab(*command, "distance < 0.2").stdout == ""
    assert optilab(*command, "distance < 0.1", code=9).stdout == ""
    assert not (tmp_path / "runs").exists()


def test_a_long_path_shows_its_turning_points(optilab):
    """Where a coordinate, or f, is lowest or highest, next to the first and the last rows."""
    rows = json.loads(optilab("optimize", "adam", "--json", "--no-save").stdout)["results"][0]["points"]
    highest = max(range(len(rows)), key=lambda epoch: rows[epoch][1])
    shown = [
        line.split()[0]
        for line in optilab("optimize", "adam", "--no-save").stdout.splitlines()
        if line[:5].strip()
    ]
    shown = shown[shown.index("epoch") + 1 :][:23]
    assert shown == [*map(str, range(12)), "...", str(highest), "...", *map(str, range(23, 31))]
