"""The library is as strict as the command: calls of every method of Lab with values of wrong kinds.

A wrong call is an OptilabError with a sentence, or it is accepted; no other exception leaves the library.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from optilab import Lab
from optilab.errors import OptilabError
from optilab.lab import VERBS, keywords
from optilab.optimize import RULES
from tests.data.idx import write_idx_dataset
from tests.faults.conftest import Drawn, Figure
from tests.study.generated import training


class Odd:
    """Neither text nor number."""


class Mute:
    """It has no text."""

    def __repr__(self):
        raise RuntimeError


ITSELF = []
ITSELF.append(ITSELF)


def plain_rule(w, g, lr=0.1):
    return w - lr * g


VALUES = (
    None,
    True,
    False,
    0,
    1,
    -1,
    3,
    10**30,
    0.5,
    -0.5,
    float("nan"),
    float("inf"),
    1e-400,
    "",
    " ",
    "x",
    "adam",
    "sgd,adam",
    "0.1",
    "latest",
    "../..",
    "a\0b",
    "é",
    "a,b",
    "*",
    "x" * 5000,
    "-1",
    "\x1b[31m",
    "{",
    "[",
    b"x",
    [],
    [1],
    ["x"],
    [None],
    [[]],
    [{}],
    (),
    (1, 2),
    ("sgd", "adam"),
    {},
    {"x": 1},
    {1: 2},
    {"optimizer.lr": [0.1]},
    {"optimizer": Odd()},
    set(),
    {"sgd"},
    range(3),
    Odd(),
    Odd,
    Mute(),
    [Mute()],
    ITSELF,
    {"x": ITSELF},
    RULES["adam"],
    RULES["sgd"](),
    plain_rule,
    len,
    Path("x"),
    Path("."),
    np.float64(0.5),
    np.float32(0.1),
    np.int64(2),
    np.array([1.0, 2.0]),
    np.array(3),
    np.bool_(True),
    np.str_("adam"),
    1j,
    ...,
    NotImplemented,
)


def bases(config, folder):
    """A right and quick call of every method."""
    return {
        "optimize": {"algo": "sgd", "epochs": 2},
        "explain": {"rule": "sgd"},
        "verify": {"candidate": plain_rule, "against": "sgd", "epochs": 3},
        "map": {"algo": "momentum", "x": "lr=0.1:0.5:2", "y": "beta=0.1:0.5:2", "epochs": 3},
        "play": {"algo": "sgd", "epochs": 3, "out": str(folder / "play.html")},
        "race": {
            "algos": "sgd,adam",
            "functions": "booth",
            "budget": 2,
            "starts": 2,
            "repeats": 1,
            "epochs": 5,
            "cache": False,
        },
        "train": {"config": str(config), "epochs": 1},
        "lr": {"config": str(config), "steps": 100},
        "sweep": {"config": str(config), "over": {"optimizer.lr": [0.1, 0.2]}, "dry_run": True, "epochs": 1},
        "remedy": {"config": str(config), "dry_run": True, "epochs": 1},
        "compare": {"names": ["one", "two"]},
        "diagnose": {"target": "one"},
        "check": {"targets": ["one"], "expect": ["val_acc > 0.1"]},
        "report": {"names": ["one"], "out": str(folder / "report.html")},
    }


def calls(count, drawn, config, folder):
    """Method and arguments of each call: one argument of a right call replaced by a value of any kind."""
    right = bases(config, folder)
    for _ in range(count):
        name = drawn.choice(VERBS)
        key = drawn.choice([*keywords(name)])
        value = drawn.choice(VALUES)
        yield name, {**right[name], key: value}, key


@pytest.mark.parametrize("count", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_foreign_exception_leaves_the_library(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure, drawn: Drawn
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "small.yaml"
    data = write_idx_dataset(tmp_path / "data")
    config.write_text(
        f"model: {{hidden: [4]}}\ndata: {{dataset: idx, dir: {data}, batch_size: 32}}\n"
        "optimizer: {name: sgd, lr: 0.1}\nepochs: 1\nthreads: 1\ndevice: cpu\n"
    )
    for number, name in enumerate(("one", "two")):
        training(tmp_path / "runs", name, f"seed={number}")
    lab, found = Lab(tmp_path / "runs"), Counter[str]()
    for method, arguments, key in calls(count, drawn(0), config, tmp_path):
        try:
            getattr(lab, method)(**arguments)
        except OptilabError as error:
            found["refused"] += bool(str(error))
        except Exception as error:
            raise AssertionError(f"{method}({key}={arguments[key]!r:.80})") from error
        else:
            found["accepted"] += 1
    figure("G27", f"{count} wrong calls of the library", f"0 foreign exceptions; {found['refused']} refused")
    assert found["refused"] > count / 2
    assert found.total() == count
