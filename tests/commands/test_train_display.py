"""What `optilab train` says next to its numbers."""

import ast
import json
import math

import numpy as np
import pytest

from optilab.answer.progress import StepProgress
from optilab.commands.train import TrainingDisplay
from optilab.show import terminal
from tests.kit.command import environment, python


@pytest.mark.parametrize(
    ("variables", "seen"), [({}, {"GOMP_SPINCOUNT"}), ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY"})]
)
def test_environment_of_the_user_stays(variables, seen, tmp_path):
    program = "import os, optilab.train; print({k: v for k, v in os.environ.items() if k[:4] in ('OMP_', 'GOMP')})"
    clean = {k: v for k, v in environment().items() if not k.startswith(("OMP_", "GOMP"))}
    read = ast.literal_eval(python(program, tmp_path, env=clean | variables).stdout)
    assert read.keys() == seen
    assert variables.items() <= read.items()


def test_document_has_null_for_what_is_not_finite(capsys):
    terminal.print_json(
        {"f": [1.5, math.inf], "point": np.array([[0.1, np.nan]]), "deep": {"x": -math.inf}, "n": 3}
    )
    text = capsys.readouterr().out
    assert text.startswith('{"schema_version": 1, ')
    assert json.loads(text) == {
        "schema_version": 1,
        "f": [1.5, None],
        "point": [[0.1, None]],
        "deep": {"x": None},
        "n": 3,
    }


def test_a_long_training_in_a_pipe_tells_its_time_once(capsys):
    row = {"epoch": 1, "train_loss": 2.0, "train_acc": 0.1, "val_loss": 2.0, "val_acc": 0.1}
    for epochs, notes in ((100, 1), (20, 0)):
        with TrainingDisplay(epochs, []) as display:
            for epoch in (1, 2):
                display.epoch({**row, "epoch": epoch}, 2.0, {})
        assert capsys.readouterr().err.count(" left") == notes


def test_long_steps_in_a_pipe_tell_their_time(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "MAX_SILENCE_SECONDS", 0)
    with StepProgress(2, False, "tuning 1 of 2") as progress:
        for number in (1, 2):
            progress.step(f"tuning {number} of 2")
    assert capsys.readouterr().err == "optilab: tuning 1 of 2\noptilab: tuning 2 of 2, 0:00 left\n"
