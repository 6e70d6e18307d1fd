"""What `optilab train` says beside its numbers."""

import json
import math
import time

import numpy as np
import pytest
from rich.console import Console

from optilab.show import terminal
from optilab.verbs.train import TrainingDisplay


@pytest.mark.parametrize(
    ("threads", "seconds", "cores", "told"),
    [(2, 100, 0.55, True), (2, 100, 1.95, False), (4, 100, 2.0, True), (1, 100, 0.5, False), (2, 3, 0.5, False)],
)
def test_threads_that_wait_for_each_other_are_told(monkeypatch, threads, seconds, cores, told):
    display = TrainingDisplay(10, [], quiet=True)
    monkeypatch.setattr(time, "perf_counter", lambda: display._started + seconds)
    monkeypatch.setattr(time, "process_time", lambda: display._worked + seconds * cores)
    said = display.crowded(threads)
    assert bool(said) is told
    if told:
        assert said == f"the machine is busy: {threads} threads shared {cores:.1f} cores; try --threads 1"


def test_a_terminal_folds_prose_between_words_and_commands_not_at_all(monkeypatch, capsys):
    monkeypatch.setattr(terminal, "out", Console(force_terminal=True, width=20, color_system=None))
    terminal.say("theory: stable up to the limit of stability")
    terminal.say("try: optilab train --config sigmoid.yaml")
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "theory: stable up to",
        "the limit of",
        "stability",
        "try: optilab train --config sigmoid.yaml",
    ]


def test_a_document_has_its_version_first_and_null_for_what_is_not_finite(capsys):
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
