"""What `optilab train` says beside its numbers."""

import ast
import json
import math
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from optilab.commands.train import TrainingDisplay, _other_threads
from optilab.show import terminal


@pytest.mark.parametrize(
    ("given", "seen"), [({}, {"GOMP_SPINCOUNT"}), ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY"})]
)
def test_environment_of_the_user_stays(given, seen):
    program = "import os, optilab.train; print({k: v for k, v in os.environ.items() if k[:4] in ('OMP_', 'GOMP')})"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP"))}
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean | given, capture_output=True, text=True, check=True
    )
    assert (found := ast.literal_eval(done.stdout)).keys() == seen
    assert given.items() <= found.items()


@pytest.mark.parametrize(
    ("epochs", "seconds", "said"),
    [(300, 0.01, "optilab: 300 epochs, about 5:00 (1 s per epoch)\n"), (3, 0.01, ""), (300, 0.001, "")],
)
def test_pipe_gets_the_expected_time(monkeypatch, capsys, epochs, seconds, said):
    now = [0.0]
    monkeypatch.setattr("optilab.commands.train.time.perf_counter", lambda: now[0])
    display = TrainingDisplay(epochs, [])
    for done in range(1, 101):
        display.batch(done, 100)
        now[0] += seconds
    assert capsys.readouterr().err == said


@pytest.fixture
def later(monkeypatch):
    """What the timers that were started do when their ten seconds are over."""
    started = []

    class Timer(threading.Timer):
        def start(self):
            started.append(self)

    monkeypatch.setattr(threading, "Timer", Timer)
    return lambda: [timer.function() for timer in started if timer.interval == 10]


def test_pipe_gets_a_line_before_the_first_batch(later, capsys):
    with TrainingDisplay(3, []):
        later()
    assert capsys.readouterr().err == "optilab: epoch 1/3: no batch is done after 10 s\n"


@pytest.mark.parametrize("quiet", [True, False])
def test_pipe_gets_no_line_after_an_epoch(later, capsys, quiet):
    with TrainingDisplay(3, [], quiet) as display:
        display.batch(2, 2)
        if not quiet:
            display.epoch(
                {"epoch": 1, "train_loss": 1.0, "train_acc": 0.5, "val_loss": 1.0, "val_acc": 0.5}, 0.01, {}
            )
        later()
    assert not capsys.readouterr().err


def test_document_has_null_for_what_is_not_finite(capsys):
    terminal.document({"f": [1.5, math.inf], "point": np.array([[0.1, np.nan]]), "deep": {"x": -math.inf}, "n": 3})
    text = capsys.readouterr().out
    assert text.startswith('{"schema_version": 1, ')
    assert json.loads(text) == {
        "schema_version": 1,
        "f": [1.5, None],
        "point": [[0.1, None]],
        "deep": {"x": None},
        "n": 3,
    }


@pytest.mark.parametrize(("value", "is_named"), [(None, False), ("2", False), ("4,2", False), ("1", True)])
def test_unread_threads_of_the_environment_are_named(monkeypatch, value, is_named):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if value:
        monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert ("OMP_NUM_THREADS=1" in _other_threads(2)) == is_named
