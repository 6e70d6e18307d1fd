"""Divergence, and that every exit status is what the table says (those of commands to come are tested there)."""

import io
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from optilab import runs
from optilab.errors import ExitCode
from tests.faults.conftest import Figure, Tally
from tests.faults.harness import Lab, Warm, fresh, run, said

DIVERGING: dict[str, tuple[list[str], str]] = {
    "learning rate 1e4": (
        ["--set", "optimizer.name=sgd", "--lr", "1e4", "--set", "model.activation=identity"],
        "",
    ),
    "learning rate 1e30": (["--set", "optimizer.name=sgd", "--lr", "1e30"], ""),
    "weights of 1e30": (["--set", "model.init={name: normal, std: 1.0e+30}"], ""),
    "NaN in the images": ([], "nan_images"),
    "NaN weights under a finite loss": ([], "nan_weights"),
}


def _numbers(tree: object) -> list[float]:
    if isinstance(tree, torch.Tensor):
        return [float(tree.double().abs().sum())]  # NaN and infinity survive the sum
    if isinstance(tree, dict):
        return [number for value in tree.values() for number in _numbers(value)]
    return [number for value in tree for number in _numbers(value)] if isinstance(tree, list | tuple) else []


@pytest.mark.parametrize("what", list(DIVERGING))
def test_divergence(lab: Lab, what: str, tally: Tally) -> None:
    """Exit status 6, where it happened, nothing that is not finite on the disk, the last good checkpoint kept."""
    started = time.perf_counter()
    more, sabotage = DIVERGING[what]
    name = "diverging-" + what.replace(" ", "-")
    done = lab.start(name, *more, sabotage=sabotage).finish()
    assert done.code == 6, done
    assert "diverged at epoch" in done.err
    assert "last good checkpoint: " in done.err
    assert "Traceback" not in done.err
    record = runs.read(lab.path(name))
    assert record.state == "diverged"
    assert "diverged at epoch" in record.manifest["reason"]
    assert all(math.isfinite(value) for row in record.rows() for value in row.values())
    kept = runs.checkpoints(lab.path(name))
    for _, file in kept:
        state = torch.load(io.BytesIO(file.read_bytes()), weights_only=True)
        assert all(map(math.isfinite, _numbers(state)))
    if sabotage:
        assert kept[0][0] == 2  # the third epoch went wrong
        assert "last good checkpoint: epoch 2" in done.err
        if sabotage == "nan_images":
            assert "diverged at epoch 3, batch 1: loss is nan" in done.err
        lab.recover(name)  # without the fault, it goes on
    json.loads((lab.path(name) / "manifest.json").read_bytes(), parse_constant=pytest.fail)

    told = "{} exit status 6, 0 non-finite numbers on disk, last good checkpoint kept"
    tally("G14", f"{len(DIVERGING)} ways to diverge", told, time.perf_counter() - started, 1)


def test_a_diverging_path_is_a_result(light: Warm, tmp_path: Path) -> None:
    """Showing divergence is what `optimize` is for; a flag makes it an exit status."""
    argv = ["optimize", "--algo", "sgd", "--lr", "10", "--epochs", "1000"]
    for more, code in (([], 0), (["--json"], 0), (["--fail-on-divergence"], 6)):
        done = light.run([*argv, *more], tmp_path)
        assert done.code == code
        assert "Warning" not in done.err
        assert "NaN" not in done.out
        assert "diverged" in done.out
    name = runs.directories(tmp_path / "runs")[0].name
    shown = light.run(["runs", "show", name, "--json"], tmp_path)
    assert shown.code == 0, shown.err
    assert "NaN" not in shown.out
    assert "Infinity" not in shown.out


def test_every_exit_code(lab: Lab, figure: Figure, light: Warm, tmp_path: Path) -> None:
    """Each from a whole fresh process, but the bug, which has to be put in, and what ends in PyTorch."""
    lab.start("codes", "--epochs", "2").finish()
    for _, file in runs.checkpoints(lab.path("codes")):
        file.write_bytes(b"")
    train = lab.argv("codes-2")
    asked: dict[int, list[str]] = {
        ExitCode.OK: ["--version"],
        ExitCode.USAGE: ["trian"],
        ExitCode.DATA: [*train, "--data-dir", str(tmp_path)],
        ExitCode.RUN: lab.argv("reference"),
        ExitCode.CHECKPOINT: ["train", "--resume", "codes", "--epochs", "9"],
        ExitCode.DIVERGED: [*train, "--lr", "1e30", "--set", "optimizer.name=sgd"],
        ExitCode.SYSTEM: ["optimize", "--algo", "adam", "--runs-dir", "/proc/x"],
    }
    for code, argv in asked.items():
        warm = code in (ExitCode.CHECKPOINT, ExitCode.DIVERGED)
        done = lab.warm.run(argv, lab.folder) if warm else run(argv, lab.folder)
        assert done.code == code, (argv, done)
    bug = lab.start("codes-3", sabotage="bug").finish()
    assert bug.code == ExitCode.BUG
    assert said(bug.err).count("\n") == 1
    assert "Traceback" not in bug.err
    log = (lab.path("codes-3") / "optilab.log").read_text(encoding="utf-8")
    assert "Traceback" in log
    assert "ZeroDivisionError" in log  # the bug that was put in, not one of ours
    lab.recover("codes-3")
    figure(
        "G18", "exit statuses 0 to 7, by processes", "8 of 8 (8 and 9 are tested with the commands that use them)"
    )


def test_a_debug_run_shows_the_traceback(lab: Lab) -> None:
    done = lab.start("debug", sabotage="bug", env={"OPTILAB_DEBUG": "1"}).finish()
    assert done.code == 1
    assert "Traceback" in done.err


def test_no_network_is_needed(lab: Lab, figure: Figure, needs: Callable[..., None]) -> None:
    """Without any network all works but a download; and with one, nothing connects."""
    needs("unshare", "strace")
    commands = [
        lab.argv("offline", "--epochs", "2"),
        ["train", "--resume", "offline", "--epochs", "3"],
        ["optimize", "--algo", "sgd,adam"],
        ["config", "show", "train"],
        ["runs", "ls"],
        ["--version"],
    ]
    calls = 0
    for argv in commands:
        log = lab.folder / "connect.strace"
        traced = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(log), "-e", "trace=connect"]
        done = fresh(argv, lab.folder, before=["unshare", "-rn", *traced]).finish()
        assert done.code == 0, done
        calls += log.read_text(encoding="utf-8").count("AF_INET")
    figure("G15", f"{len(commands)} commands without a network", f"all work, {calls} connections tried")
    assert calls == 0
