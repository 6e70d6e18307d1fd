"""Divergence, a bug and no network: what is left on the disk, and the exit status."""

import json
import math
import socket
import sys
from pathlib import Path

import pytest
import torch

from optilab import runs
from optilab.errors import ExitCode
from optilab.train.trees import from_bytes
from tests.faults import sabotage
from tests.faults.sandbox import Sandbox
from tests.kit.command import run

DIVERGING = {
    "learning rate 1e4": "--set optimizer.name=sgd --lr 1e4 --set model.activation=identity",
    "learning rate 1e30": "--set optimizer.name=sgd --lr 1e30",
    "weights of 1e30": "--set model.init.name=normal --set model.init.std=1e30",
    "NaN in the images": "",
    "NaN weights under a finite loss": "",
}
SABOTAGE = {"NaN in the images": sabotage.nan_images, "NaN weights under a finite loss": sabotage.nan_weights}


def numbers(tree: object) -> list[float]:
    if isinstance(tree, torch.Tensor):
        return [float(tree.double().abs().sum())]  # NaN and infinity survive the sum
    if isinstance(tree, dict):
        return [number for value in tree.values() for number in numbers(value)]
    return [number for value in tree for number in numbers(value)] if isinstance(tree, list | tuple) else []


@pytest.mark.parametrize("what", DIVERGING)
def test_divergence_keeps_the_last_good_checkpoint(what: str, sandbox: Sandbox) -> None:
    """Exit status 6, where it happened, and nothing on the disk that is not finite."""
    more, fault = DIVERGING[what].split(), SABOTAGE.get(what)
    done = sandbox.train("diverging", *more, before=fault)
    assert done.returncode == ExitCode.DIVERGED, done
    assert "diverged at epoch" in done.stderr
    assert "last good checkpoint: " in done.stderr
    record = runs.read(sandbox.path("diverging"))
    assert record.state == "diverged"
    assert "diverged at epoch" in record.manifest["reason"]
    assert all(math.isfinite(value) for row in record.rows() for value in row.values())
    kept = runs.checkpoints(record.path)
    for _, file in kept:
        assert all(map(math.isfinite, numbers(from_bytes(file.read_bytes()))))
    json.loads((record.path / "manifest.json").read_bytes(), parse_constant=pytest.fail)
    if fault:
        assert kept[0][0] == 2  # the third epoch went wrong
        assert "last good checkpoint: epoch 2" in done.stderr
        sandbox.recover("diverging")  # without the fault, it goes on


def test_a_diverging_path_is_a_result(sandbox: Sandbox) -> None:
    """Showing divergence is what `optimize` is for; a flag makes it an exit status."""
    line = ["optimize", "sgd", "--lr", "10", "--epochs", "1000", "--name"]
    for name, more, code in (("a", [], 0), ("b", ["--json"], 0), ("c", ["--fail-on-divergence"], 6)):
        done = sandbox.type(*line, name, *more)
        assert done.returncode == code
        assert "diverged" in done.stdout
    texts = [sandbox.type("runs", "show", "b", "--json").stdout, (sandbox.path("b") / "manifest.json").read_text()]
    assert not [text for text in texts if "NaN" in text or "Infinity" in text]


def test_bug_is_one_line_and_a_log(sandbox: Sandbox) -> None:
    done = sandbox.train("bug", before=sabotage.bug)
    assert done.returncode == ExitCode.BUG
    assert done.stderr.count("\n") == 1
    assert "ZeroDivisionError" in (sandbox.path("bug") / "optilab.log").read_text(encoding="utf-8")
    sandbox.recover("bug")


def tell_of_connections() -> None:
    def audited(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.getaddrinfo") and arguments[0] is not socket.AF_UNIX:
            print("connects", file=sys.stderr)

    sys.addaudithook(audited)


LINES = """\
train lab.yaml --epochs 1 --name offline
train --resume offline --epochs 2
optimize --algo sgd,adam --name path
config show train
runs ls
report offline --out page.html
"""


def test_nothing_connects_to_a_network(sandbox: Sandbox, tmp_path: Path) -> None:
    for line in LINES.splitlines():
        done = run(line.split(), sandbox.folder, "forked", before=tell_of_connections)
        assert (done.returncode, done.stderr) == (0, ""), (line, done)


def test_negative_control_a_connection_is_seen(sandbox: Sandbox) -> None:
    def connect() -> None:
        tell_of_connections()
        with socket.socket() as unknown, pytest.raises(OSError, match=r"refused|unreachable"):
            unknown.connect(("127.0.0.1", 9))

    assert "connects" in run(["runs", "ls"], sandbox.folder, "forked", before=connect).stderr
