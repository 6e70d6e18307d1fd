"""Pictures of text: ASCII in a pipe, braille on a terminal, and in both what was computed."""

import contextlib
import os
import pty
import re
import subprocess
import sys

import pytest

ARGUMENTS = ["optimize", "--algo", "sgd,momentum,adam", "--epochs", "40"]


def test_in_a_pipe_there_is_no_picture_unasked(optilab):
    assert "start" not in optilab(*ARGUMENTS).stdout.split("\n", 1)[1]


def test_in_a_pipe_a_picture_is_ascii(optilab):
    shown = optilab(*ARGUMENTS, "--picture", PYTHONUTF8="1").stdout
    assert shown.isascii()
    lines = shown.splitlines()
    assert any("S start   M minimum" in line for line in lines)
    assert any(line.strip().startswith("a sgd lr 0.4   b momentum lr 0.6   c adam lr 0.2") for line in lines)
    for letter in "abc":
        assert sum(line.count(letter) for line in lines if "|" in line) > 10


def test_the_start_and_the_minimum_are_where_they_are(optilab):
    """The ravine's start (-5, -2) is left and low, its minimum (0, 0) in the middle row, right of it."""
    lines = [line[10:] for line in optilab(*ARGUMENTS, "--picture").stdout.splitlines() if line[9:10] == "|"][:17]
    places = {s: [(r, line.index(s)) for r, line in enumerate(lines) if s in line] for s in "SM"}
    (start_row, start), (minimum_row, minimum) = places["S"][0], places["M"][0]
    assert minimum_row == 8
    assert start_row == round((3.24 + 2) / 6.48 * 16)
    width = 70
    assert start == round((-5 + 6.36) / 9.72 * (width - 1))
    assert minimum == round(6.36 / 9.72 * (width - 1))


def test_a_wide_terminal_shows_braille_in_colour(forked_without_torch, tmp_path):
    shown = forked_without_torch.on_a_terminal(ARGUMENTS, tmp_path, ["stdout"], COLUMNS="120")
    assert any(0x2800 < ord(sign) < 0x2900 for sign in shown)
    assert "\x1b[" in shown
    assert "● start" in shown


def test_a_narrow_terminal_shows_none_unasked(forked_without_torch, tmp_path):
    shown = forked_without_torch.on_a_terminal(ARGUMENTS, tmp_path, ["stdout"], COLUMNS="80")
    assert "● start" not in shown


def test_a_terminal_without_utf8_shows_ascii(tmp_path):
    """Which Python decides at its start."""
    screen, end = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm-256color", "LC_ALL": "C"}
    environment |= {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "optilab", *ARGUMENTS]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=end, stderr=subprocess.DEVNULL, env=environment)
    os.close(end)
    parts = []
    with contextlib.suppress(OSError):  # the other side has closed
        while part := os.read(screen, 65536):
            parts.append(part)
    os.close(screen)
    assert process.wait() == 0
    shown = b"".join(parts).decode()
    assert "S start" in shown
    assert shown.isascii()


@pytest.mark.parametrize("function", ["saddle", "rosenbrock"])
def test_a_diverging_path_and_a_function_without_minimum_are_drawn(optilab, function):
    shown = optilab("optimize", "--algo", "sgd", "--lr", "0.9", "--function", function, "--picture").stdout
    assert "log scale" in shown


def test_a_narrow_terminal_names_the_option(forked_without_torch, tmp_path):
    shown = forked_without_torch.on_a_terminal(ARGUMENTS, tmp_path, ["stdout"], COLUMNS="80")
    assert "contour and curves: --picture" in shown
    assert "--picture" not in forked_without_torch.on_a_terminal(ARGUMENTS, tmp_path, ["stdout"], COLUMNS="120")


def test_theory_of_newton_and_of_a_lucky_start(optilab):
    shown = optilab("optimize", "--algo", "newton", "--set", "algo.lr=0.5").stdout
    assert "theory: no formula for newton; measured x0.5 per step" in shown
    shown = optilab("optimize", "--algo", "sgd", "--lr", "0.6", "--start", "-5,0", "--epochs", "60").stdout
    assert "converged" in shown
    assert "theory: unstable above lr 0.5, but this start has no part in the unstable direction" in shown
    best = ("--set", "algo.lr=0.6679", "--set", "algo.beta=0.4026", "--set", "algo.form=classic")
    assert "the two eigenvalues coincide" in optilab("optimize", "--algo", "momentum", *best).stdout
    typed = optilab("optimize", "--algo", "sgd", "--function", "0.1*x^2 + 2*y^2").stdout
    assert "theory: stable up to lr 0.5" in typed


def test_theory_of_several_is_one_table(optilab):
    shown = optilab("optimize", "--algo", "sgd,adam").stdout
    assert shown.count("best possible per step") == 1
    assert re.search(r"^sgd +x0.92 +x0.92 +lr 0.5 +lr 0.4762 with x0.9048$", shown, flags=re.MULTILINE)
    assert re.search(r"^adam +- +x0.8911 +- +-$", shown, flags=re.MULTILINE)


def test_theory_stands_beside_the_measurement(optilab):
    shown = optilab("optimize", "--algo", "momentum", "--epochs", "100").stdout
    assert "theory: stable up to lr 1.5; distance x0.8556 per step" in shown
    assert "(measured x0.8556)" in shown
    assert "theory: unstable" in optilab("optimize", "--algo", "sgd", "--lr", "0.6").stdout
    limit = optilab("optimize", "--algo", "sgd", "--lr", "0.5").stdout
    assert "theory: at the limit, where one direction neither shrinks nor grows: stable below lr 0.5" in limit
    shown = optilab("optimize", "--algo", "adam", "--epochs", "50").stdout
    assert "theory: no formula for adam; measured x0.95" in shown
    assert "best possible per step: x0.9048 with gradient descent, x0.6345 with momentum" in shown
    assert "theory" not in optilab("optimize", "--algo", "adam", "--function", "rosenbrock").stdout
    assert "theory" not in optilab("optimize", "--algo", "sgd", "--set", "clip_norm=1").stdout
