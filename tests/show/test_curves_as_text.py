"""Trainings drawn as text: after a training and by `runs plot`, on terminals and in pipes."""

import json

import numpy as np
import pytest

from optilab.show.chart_text import Canvas
from tests.study.generated import layered, training

VANISHING = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    for seed in (1, 2):
        stuck = training(folder, f"stuck{seed}", f"seed={seed}", accuracies=(0.1, 0.11, 0.1))
        layered(stuck, *[VANISHING] * 3)
        good = training(folder, f"good{seed}", f"seed={seed}", "model.norm=batch", accuracies=(0.2, 0.6, 0.8))
        layered(good, *[[1.0] * 6] * 3)
    return folder


def canvas(lines, title):
    """The rows of the picture below a title, without its frame."""
    top = next(number for number, line in enumerate(lines) if title in line)
    start = lines[top].index(title) - 1
    return [line[start + 1 :].split("|")[0] for line in lines[top + 1 : top + 11]]


def test_one_run_is_two_curves_and_its_layers(optilab, runs):
    shown = optilab("runs", "plot", "good1").stdout
    lines = shown.splitlines()
    left = canvas(lines, "loss")
    # 1 - accuracy from the top left down to the best epoch at the bottom right; both halves are equal here
    assert left[0][0] == "t"  # the letter of the training curve
    assert left[9][28] == "+"
    assert "v validation   + best 80.0% at epoch 3" in shown
    assert max(map(len, lines)) <= 80


def test_a_bar_is_a_decade_of_a_quarter_and_the_input_is_below(optilab, runs):
    lines = optilab("runs", "plot", "stuck1").stdout.splitlines()
    bars = [line.split() for line in lines[-6:]]
    assert [row[0] for row in bars] == ["out", "5", "4", "3", "2", "1"]
    assert [row[1].count("█") for row in bars[:4]] == [12, 9, 6, 3]
    assert [row[-1] for row in bars] == ["1e+00", "1e-01", "1e-02", "1e-03", "1e-04", "1e-05"]


def test_groups_are_their_validation_and_a_column_of_bars_each(optilab, runs):
    shown = optilab("runs", "plot", "stuck*", "good*").stdout
    assert "a norm none    + best 11.0% at epoch 2, mean of 2 seeds" in shown
    assert "b norm batch   + best 80.0% at epoch 3, mean of 2 seeds" in shown
    row = next(line for line in shown.splitlines() if line.startswith("1 ")).split()
    assert [row[-3], row[-1]] == ["1e-05", "1e+00"]


def test_more_groups_than_fit_are_named(optilab, runs):
    for number in range(8):
        layered(training(runs, f"lr{number}", f"optimizer.lr={number + 2}"), VANISHING)
    shown = optilab("runs", "plot", "lr*").stdout
    assert "and 5 more: --out FILE" in shown
    assert "h lr 9" in shown


def test_a_deep_network_shows_both_ends(optilab, runs):
    layered(training(runs, "deep"), np.geomspace(1e-6, 1, 100).tolist())
    names = [line.split()[0] for line in optilab("runs", "plot", "deep").stdout.splitlines()[-12:]]
    assert names == ["out", "99", "98", "97", "96", "...", "6", "5", "4", "3", "2", "1"]


def test_a_picture_file_is_named_and_nothing_is_drawn(optilab, runs, tmp_path):
    assert optilab("runs", "plot", "good1", "--out", "a.svg").stdout == "a.svg\n"
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_the_document_has_the_numbers_of_the_picture(optilab, runs):
    found = json.loads(optilab("runs", "plot", "good*", "--json", "--out", "a.png").stdout)
    assert found["picture"] == "a.png"
    assert "norm batch" in found["shared"]
    (group,) = found["groups"]
    assert (group["group"], group["seeds"], group["best_epoch"], group["diverged"]) == ("sigmoid", [1, 2], 3, 0)
    accuracy = group["metrics"]["val_acc"]
    assert accuracy["mean"] == pytest.approx([0.2, 0.6, 0.8])
    assert accuracy["low"] == accuracy["high"] == pytest.approx([0.2, 0.6, 0.8])  # both seeds are equal
    assert accuracy["runs"] == {"1": [0.2, 0.6, 0.8], "2": [0.2, 0.6, 0.8]}
    assert group["layers"]["names"] == ["1", "2", "3", "4", "5", "out"]
    assert group["layers"]["saturated"][5] == [None] * 3
    assert optilab("runs", "plot", "good*", "--quiet").stdout == ""


def test_what_cannot_be_drawn_is_refused(optilab, runs):
    training(runs, "early", accuracies=(), status="diverged")
    assert "no epoch yet in early" in optilab("runs", "plot", "early", code=3).stderr
    assert "not drawn: early: no epoch yet" in optilab("runs", "plot", "early", "good1").stderr
    assert "same settings and seed" in optilab("runs", "plot", "good1", _again(runs)).stderr
    assert ".gif" in optilab("runs", "plot", "good1", "--out", "a.gif", code=2).stderr
    assert "no run 'goood1'" in optilab("runs", "plot", "goood1", code=4).stderr
    optilab("optimize", "--algo", "sgd", "--name", "path")
    assert ("expected trainings, and path is a run of `optilab optimize`; `optilab runs ls") in optilab(
        "runs", "plot", "path", code=2
    ).stderr


def _again(runs):
    return training(runs, "again", "seed=1", "model.norm=batch").name


def test_a_terminal_shows_braille(forked_without_torch, runs):
    shown = forked_without_torch.on_a_terminal(["runs", "plot", "good1"], runs.parent, ["stdout"], COLUMNS="80")
    assert any(0x2800 < ord(sign) < 0x2900 for sign in shown)
    assert "✚ best 80.0% at epoch 3" in shown


@pytest.mark.parametrize(("columns", "drawn"), [(70, False), (80, True), (160, True)])
def test_the_end_of_a_training_on_a_terminal(forked_with_torch, small, tmp_path, columns, drawn):
    arguments = ["train", str(small), "--epochs", "2"]
    shown = forked_with_torch.on_a_terminal(arguments, tmp_path, ["stdout"], COLUMNS=str(columns))
    assert any(0x2800 < ord(sign) < 0x2900 for sign in shown) == drawn
    assert ("gradient |g| of each layer" in shown) == drawn
    assert ("curves and layers: --picture" in shown) != drawn


def test_no_picture_is_no_picture(forked_with_torch, small, tmp_path):
    arguments = ["train", str(small), "--epochs", "1", "--no-picture"]
    shown = forked_with_torch.on_a_terminal(arguments, tmp_path, ["stdout"], COLUMNS="100")
    assert "--picture" not in shown
    assert not any(0x2800 < ord(sign) < 0x2900 for sign in shown)


def test_a_pipe_gets_the_picture_only_if_asked(optilab, small):
    assert "accuracy, %" not in optilab("train", small, "--epochs", 1).stdout
    assert "accuracy, %" in optilab("train", small, "--epochs", 1, "--picture").stdout
    assert "accuracy, %" in optilab("train", small, "--epochs", 1, "--seeds", 2, "--picture").stdout


def test_a_training_writes_its_picture(optilab, small, tmp_path):
    *_, file, run = optilab("train", small, "--epochs", 2, "--out", "a.png", "--dark").stdout.splitlines()
    assert (file, run.startswith("runs/")) == ("a.png", True)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    optilab("train", small, "--epochs", 1, "--seeds", 2, "--out", "b.svg", "--json")
    assert "seeds 42, 43" in (tmp_path / "b.svg").read_text()
    assert "there is no directory " in optilab("train", small, "--out", "nowhere/a.png", code=2).stderr


def test_a_training_that_diverges_is_drawn_as_far_as_it_came(optilab, small, tmp_path):
    optilab("train", small, "--lr", "1e30", "--out", "finite.svg", code=6)
    assert "small (diverged)" in (tmp_path / "finite.svg").read_text()
    shown = optilab("train", small, "--lr", "1e30", "--set=model.activation=relu", "--out", "a.png", code=6)
    assert "a.png is not written: there is no epoch to draw" in shown.stderr
    assert not (tmp_path / "a.png").exists()


def test_a_steep_curve_has_no_gap():
    canvas = Canvas(columns=3, rows=20, braille=False)
    canvas.curve(np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 0.0]), 0)
    up, down = canvas.layers[-10:, 0], canvas.layers[-10:, -1]
    assert (up >= 0).all()
    assert (down >= 0).all()
