"""`optilab train` as it is typed, and what it prints: the config, several seeds, a terminal, tiny datasets."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from optilab.commands import studies
from optilab.show import terminal
from tests.data.idx import arrays, idx_bytes, write_sums


def rows(optilab, *arguments):
    return json.loads(optilab("train", *arguments, "--json").stdout)["rows"]


def test_the_config_is_an_argument_or_an_option(optilab, small):
    assert rows(optilab, small) == rows(optilab, "--config", small)
    assert "give one" in optilab("train", small, "--config", small, code=2).stderr
    assert "optilab train sigmoid.yaml" in optilab("train", code=2).stderr
    both = optilab("train", small, "--resume", "x", code=2).stderr
    assert f"'{small}' and --resume cannot be combined: --resume has a config of its own, so leave out" in both
    assert "no run 'x'" in both


def test_the_optimizer_and_the_batch_size_have_flags(optilab, small):
    flags = rows(optilab, small, "--optimizer", "adam", "--lr", "0.01", "--batch-size", "50")
    keys = ("optimizer=adam", "optimizer.lr=0.01", "data.batch_size=50")
    assert flags == rows(optilab, small, *(f"--set={key}" for key in keys))
    assert 'did you mean "adam"?' in optilab("train", small, "--optimizer", "adm", code=2).stderr


def test_each_of_several_seeds_is_announced(optilab, small):
    lines = optilab("train", small, "--seeds", 3, "--epochs", 1).stderr.splitlines()
    assert lines[0].startswith("optilab: 3 trials: 3 seeds, 1 epoch each")
    assert sorted(line.split()[1] for line in lines[1:]) == ["1/3", "2/3", "3/3"]


def test_seeds_that_have_all_learned_nothing_are_diagnosed(optilab, small):
    shown = optilab("train", small, "--seeds", 2, "--epochs", 1, "--set", "optimizer.lr=1e-7").stdout
    assert re.search(
        r"\nno seed is better than chance; of the first, small-s42-\w+:\nno better than chance: ", shown
    )
    assert "\ndiagnosis: " in shown


def test_one_seed_has_no_mean_and_no_standard_deviation(optilab, small):
    table = optilab("train", small, "--seeds", 1, "--epochs", 1).stdout
    assert "\n42 " in table
    assert not {"mean", "std"} & set(table.split())


def test_a_resume_with_more_epochs_is_a_run_of_that_many(optilab, small):
    optilab("train", small, "--epochs", 1, "--name", "a", "--quiet")
    optilab("train", "--resume", "a", "--epochs", 2, "--quiet")
    (run,) = json.loads(optilab("runs", "ls", "--json").stdout)["runs"]
    assert run["manifest"]["config"]["epochs"] == 2
    assert "2 epochs in" in optilab("train", "--resume", "a").stdout


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_terminal_keeps_the_line_of_every_epoch(small, tmp_path):
    """And its first line comes before PyTorch is loaded."""
    screen, end = pty.openpty()
    command = [sys.executable, "-m", "optilab", "train", str(small), "--runs-dir", str(tmp_path / "runs")]
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen(command, stdin=end, stdout=end, stderr=end, env=environment)
    os.close(end)
    shown = bytearray()
    with contextlib.suppress(OSError):  # EIO: the process has closed the terminal
        while data := os.read(screen, 1 << 16):
            shown += data
    assert process.wait() == 0
    os.close(screen)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert text.startswith("optilab: starting small: loading PyTorch")
    assert re.findall(r"epoch (\d)/3 train_loss [0-9.]+ train_acc", text) == ["1", "2", "3"]


def test_a_pipe_is_told_that_pytorch_is_being_loaded(monkeypatch):
    """On a machine with twenty other processes that takes a minute."""
    told = []
    monkeypatch.setattr(terminal, "note", told.append)
    monkeypatch.setattr(terminal, "SILENCE", 0.01)
    with studies.starting("mine"):
        while not told:
            time.sleep(0.01)
    monkeypatch.setattr(terminal, "SILENCE", 60.0)
    with studies.starting("mine"):
        pass
    assert told == ["starting mine: loading PyTorch, which takes long on a busy machine"]


def test_one_training_image_is_trained_to_the_end(optilab, small):
    done = optilab("train", small, "--set", "data.images=1")
    assert "3 epochs in" in done.stdout
    assert "diagnosis: " in done.stdout


def test_images_of_one_class_leave_nothing_to_learn(optilab, small, tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    for name, array in arrays(60, 30).items():
        (folder / name).write_bytes(idx_bytes(array if array.ndim == 3 else np.zeros_like(array)))
    write_sums(folder)
    done = optilab("train", small, "--data-dir", folder)
    assert "all images have the same class: there is nothing to learn" in done.stdout
    assert json.loads(optilab("train", small, "--data-dir", folder, "--json").stdout)["chance"] == 1
    optilab("diagnose", small, "--data-dir", folder)


def test_the_json_document_carries_best_epoch_seconds_chance_and_diagnosis(optilab, small):
    document = json.loads(optilab("train", small, "--epochs", 2, "--json").stdout)
    assert document["best"] == max(document["rows"], key=lambda row: row["val_acc"])
    assert document["seconds"] > 0
    assert document["chance"] == pytest.approx(0.1)
    assert document["diagnosis"]["findings"] == sorted(
        document["diagnosis"]["findings"], key=lambda f: ("critical", "warning", "info").index(f["severity"])
    )


def test_a_divergence_with_json_is_one_document(optilab, small):
    done = optilab("train", small, "--epochs", 3, "--lr", "1e30", "--json", code=6)
    document = json.loads(done.stdout)
    assert document["status"] == "diverged"
    assert document["schema_version"] == 2
    assert document["error"]["code"] == 6
