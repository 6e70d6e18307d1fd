"""Pictures of text: ASCII in a pipe, braille on a terminal, and the numbers of what was computed."""

import json

import pytest

from tests.kit.command import environment, python
from tests.kit.generated import layered, training
from tests.kit.processes import on_a_terminal

ARGUMENTS = ["optimize", "--algo", "sgd,momentum,adam", "--epochs", "40"]


def has_braille(shown):
    return any(0x2800 < ord(sign) < 0x2900 for sign in shown)


@pytest.mark.parametrize(("columns", "is_drawn"), [(80, False), (120, True)])
def test_wide_terminal_shows_braille_in_color(tmp_path, columns, is_drawn):
    shown = on_a_terminal(ARGUMENTS, tmp_path, "forked without torch", ["stdout"], COLUMNS=columns)
    assert has_braille(shown) == ("\x1b[" in shown and "● start" in shown) == is_drawn
    assert ("contour and curves: --picture" in shown) != is_drawn


def test_terminal_without_utf8_shows_ascii(tmp_path):
    """Python decides on the encoding at its start."""
    variables = {"COLUMNS": 120, "LC_ALL": "C", "PYTHONUTF8": 0, "PYTHONCOERCECLOCALE": 0}
    shown = on_a_terminal(ARGUMENTS, tmp_path, "fresh", ["stdout"], **variables)
    assert "S start" in shown
    assert shown.isascii()


@pytest.mark.parametrize(
    ("columns", "more", "is_drawn"), [(70, [], False), (80, [], True), (160, ["--no-picture"], False)]
)
def test_end_of_a_training_on_a_terminal(small, tmp_path, columns, more, is_drawn):
    line = ["train", str(small), "--epochs", "2", *more]
    shown = on_a_terminal(line, tmp_path, streams=["stdout"], COLUMNS=columns)
    assert has_braille(shown) == ("gradient |g|" in shown) == is_drawn


def test_pipe_gets_a_picture_only_if_asked(optilab, small):
    for more in ([], ["--picture"], ["--seeds", 2, "--picture"]):
        assert ("accuracy\n" in optilab("train", small, "--epochs", 1, *more).stdout) == bool(more)


def test_training_writes_its_picture(optilab, small, tmp_path):
    *_, run, file = optilab("train", small, "--epochs", 2, "--out", "a.png", "--dark").stdout.splitlines()
    assert (file, run.startswith("runs/")) == ("a.png", True)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    optilab("train", small, "--epochs", 1, "--seeds", 2, "--out", "b.svg", "--json")
    assert "seeds 42, 43" in (tmp_path / "b.svg").read_text()


DRAWING = """
import contextlib, sys
from optilab.__main__ import main

for suffix in ("png", "svg", "pdf", "gif"):
    sys.argv = ["optilab", "optimize", "--algo", "sgd", "--no-save", "--epochs", "2", "--out", f"a.{suffix}"]
    with contextlib.suppress(SystemExit):
        main()
"""


def test_neither_a_matplotlibrc_nor_a_backend_changes_a_picture(tmp_path):
    """Of any kind; matplotlib reads both when it is imported."""

    def drawn(**variables):
        for file in tmp_path.glob("a.*"):
            file.unlink()
        assert not python(DRAWING, tmp_path, env=environment(**variables)).stderr
        return {file.name: file.read_bytes() for file in tmp_path.glob("a.*")}

    before = drawn()
    assert len(before) == 4
    lines = ("text.usetex: True", "font.family: no such font", "lines.linewidth: 9", "savefig.pad_inches: 3")
    (tmp_path / "matplotlibrc").write_text("\n".join(lines))
    assert drawn(MPLBACKEND="bogus") == drawn(MPLBACKEND="module://no_such.backend_inline") == before


def test_title_of_a_plot(optilab, small, tmp_path):
    optilab("train", small, "--epochs", 1, "--name", "run")
    for title, is_shown in ((None, False), ("For a paper", True), ("", False)):
        optilab("runs", "plot", "run", "--out", "c.svg", *([] if title is None else ["--title", title]))
        text = (tmp_path / "c.svg").read_text()
        assert ("For a paper" in text, "seed 42" in text) == (is_shown, title is None)


def test_diverging_training_is_drawn_as_far_as_it_came(optilab, small, tmp_path):
    optilab("train", small, "--lr", "1e30", "--out", "finite.svg", code=6)
    assert "small (diverged)" in (tmp_path / "finite.svg").read_text()
    optilab("train", small, "--lr", "1e30", "--set=model.activation=relu", "--out", "a.png", code=6)
    assert not (tmp_path / "a.png").exists()  # there is no epoch to draw


def test_document_has_the_numbers_of_the_picture(optilab, tmp_path):
    for seed in (1, 2):
        run = training(tmp_path / "runs", f"good{seed}", f"seed={seed}", accuracies=(0.2, 0.6, 0.8))
        layered(run, *[[1.0] * 6] * 3)
    document = json.loads(optilab("runs", "plot", "good*", "--json", "--out", "a.png").stdout)
    assert document["picture"] == "a.png"
    (group,) = document["groups"]
    assert (group["group"], group["seeds"], group["best_epoch"], group["diverged"]) == ("sigmoid", [1, 2], 3, 0)
    accuracy = group["metrics"]["val_acc"]
    assert accuracy["mean"] == accuracy["low"] == accuracy["high"] == pytest.approx([0.2, 0.6, 0.8])
    assert accuracy["runs"] == {"1": [0.2, 0.6, 0.8], "2": [0.2, 0.6, 0.8]}
    assert group["layers"]["names"] == ["1", "2", "3", "4", "5", "out"]
    assert group["layers"]["saturated"][5] == [None] * 3
