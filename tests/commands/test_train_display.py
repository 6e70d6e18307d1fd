"""What `optilab train` says beside its numbers."""

import ast
import json
import math
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from optilab.commands.train import TrainingDisplay, _other_threads
from optilab.show import terminal
from optilab.train.crowding import Crowding, spin_count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (
            "some avg10=0.00 avg60=99.00 avg300=98.22 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
            10_000,
        ),
        ("some avg10=96.86 avg60=0.00 avg300=0.00 total=5\n", 1000),
        ("something else", 4000),
        (None, 4000),
    ],
)
def test_threads_sleep_sooner_on_a_busy_machine(text, count, tmp_path):
    pressure = tmp_path / "cpu"
    if text is not None:
        pressure.write_text(text)
    assert spin_count(pressure) == count


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


class Clock:
    """Wall and CPU time of a thread that gets a share of its core, and trains batches of some seconds."""

    def __init__(self, monkeypatch):
        self.wall = self.cpu = 100.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.wall)
        monkeypatch.setattr(time, "thread_time", lambda: self.cpu)
        monkeypatch.setattr(time, "process_time", lambda: self.cpu)

    def epoch(self, crowding, batches, seconds, share, between=50.0):
        """What is said in an epoch, after a pause without CPU time before its first batch ends."""
        said = []
        self.wall += between
        for done in range(1, batches + 1):
            self.wall += seconds
            self.cpu += seconds * share
            said.append(crowding.batch(done))
        return [(done, text) for done, text in enumerate(said, 1) if text]


@pytest.mark.parametrize(
    ("threads", "seconds", "share", "told"),
    [(2, 0.01, 0.3, [202]), (2, 0.01, 0.95, []), (4, 0.01, 0.5, [202]), (1, 0.01, 0.3, []), (2, 0.0009, 0.3, [])],
)
def test_threads_have_to_wait_for_seconds(monkeypatch, threads, seconds, share, told):
    said = Clock(monkeypatch).epoch(Crowding(threads, str), 1000, seconds, share)
    assert [done for done, _ in said] == pytest.approx(told, abs=1)


def test_pauses_and_bursts_are_no_waiting(monkeypatch):
    clock, crowding = Clock(monkeypatch), Crowding(2, str)
    assert not [said for _ in range(100) for said in clock.epoch(crowding, 10, 0.1, 0.95)]
    assert not clock.epoch(crowding, 50, 0.1, 0.2)
    assert not [said for _ in range(40) for said in clock.epoch(crowding, 10, 0.1, 0.95)]
    assert len([said for _ in range(400) for said in clock.epoch(crowding, 10, 0.1, 0.2)]) == 1


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


@pytest.mark.parametrize(("threads", "share", "told"), [(1, 0.1, 0), (2, 0.1, 1), (2, 1.9, 0)])
def test_pipe_gets_advice_before_the_first_batch(later, monkeypatch, capsys, threads, share, told):
    clock = Clock(monkeypatch)
    with TrainingDisplay(3, [], crowding=Crowding(threads, lambda: "optilab train x --threads 1")):
        clock.wall, clock.cpu = clock.wall + 10, clock.cpu + 10 * share
        later()
    line, *more = capsys.readouterr().err.splitlines()
    assert line == "optilab: epoch 1/3: no batch is done after 10 s"
    assert [text.endswith("type: optilab train x --threads 1") for text in more] == [True] * told


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
