"""The notebook's loop, to the bit, and its ten printed lines."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from optilab.config.load import load
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.data.catalog import DATASETS
from optilab.train import engine
from optilab.train.device import configure
from tests.oracles.loops import fashion_mnist, notebook_loop

PRINTED = json.loads((Path(__file__).parents[1] / "oracles" / "notebook.json").read_text())["train"]


def test_the_dataset_is_the_real_one():
    dataset, _ = fashion_mnist()
    assert (dataset.train_images.shape, dataset.test_images.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert dataset.digests == DATASETS["fashion-mnist"].digests
    for labels in (dataset.train_labels, dataset.test_labels):
        assert len(set(np.bincount(labels).tolist())) == 1
    assert round(float(dataset.train_images.mean() / 255), 4) == 0.2860  # the published mean


FULL = [pytest.param(n, 60_000, marks=pytest.mark.release) for n in (1, 2)]
"""Beside another worker of the suite the second thread waits longer than it works."""


@pytest.mark.parametrize(("threads", "images"), [(1, 4_010), *FULL])
def test_losses_and_weights_are_those_of_the_plain_loop_bit_for_bit(threads, images):
    """Its last batch is smaller than the others with fewer images, too."""
    config = load(TrainConfig, "sigmoid.yaml", [Override("", "threads", threads), Override("", "epochs", 2)])
    device = torch.device("cpu")
    configure(device, threads)
    whole, _ = fashion_mnist()
    parts = {
        f"{part}_{kind}": getattr(whole, f"{part}_{kind}")[: images // divisor]
        for part, divisor in (("train", 1), ("test", 6))
        for kind in ("images", "labels")
    }
    expected, _, model = notebook_loop([*parts.values()], epochs=2)
    training = engine.Training.start(config, replace(whole, **parts), device)
    rows = [row for row, _ in training.run(lambda done, total: None, lambda: False)]
    assert [list(map(float.hex, map(float, row.values()))) for row in rows] == [
        list(map(float.hex, map(float, row.values()))) for row in expected
    ]
    weights = [p.detach() for p in training.model.parameters()]
    plain = [p.detach() for p in model.parameters()]
    assert len(weights) == len(plain) == 12
    assert all(torch.equal(a, b) for a, b in zip(weights, plain, strict=True))


@pytest.mark.parametrize(
    ("threads", "epochs"), [(1, 1), *(pytest.param(n, 10, marks=pytest.mark.release) for n in (1, 2))]
)
def test_the_ten_printed_lines(threads, epochs, optilab):
    """The first, or all."""
    done = optilab(
        "train", "--config", "sigmoid.yaml", "--epochs", epochs, "--threads", threads, "--device", "cpu", "--json"
    )
    rows = json.loads(done.stdout)["rows"]
    shown = [[row["epoch"], *(round(row[key], 4) for key in PRINTED["columns"][1:])] for row in rows]
    assert shown == PRINTED["printed"][:epochs]
