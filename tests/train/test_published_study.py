"""The published study, run by its presets: the printed log of other people, epoch by epoch."""

import json
from pathlib import Path

import pytest
import torch

from optilab.config.load import load
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.train import engine
from optilab.train.device import configure
from tests.oracles.loops import fashion_mnist

PUBLISHED = json.loads((Path(__file__).parents[1] / "oracles" / "published.json").read_text())["train"]
LOGS = {case["id"]: case["per_epoch"] for case in PUBLISHED["cases"]}
COLUMNS = PUBLISHED["common"]["columns"][1:]
STATISTICAL = PUBLISHED["statistical"]


def rows_of(preset, epochs):
    config = load(TrainConfig, preset, [Override("", "epochs", epochs)])
    device = torch.device("cpu")
    configure(device, config.threads)
    training = engine.Training.start(config, fashion_mnist()[0], device)
    return [row for row, _ in training.run(lambda done, total: None, lambda: False)]


def differences(rows, log):
    """The largest difference of every column, both rounded as printed."""
    return {
        column: max(abs(round(row[column], 4) - line[index]) for row, line in zip(rows, log, strict=True))
        for index, column in enumerate(COLUMNS, 1)
    }


@pytest.mark.parametrize("epochs", [2, pytest.param(10, marks=pytest.mark.release)])
@pytest.mark.parametrize(("case", "tolerance"), [("weight_std1", 1e-4), ("batchnorm", 1e-4), ("relu", 3e-4)])
def test_the_first_epochs(case, tolerance, epochs):
    rows = rows_of(f"published/{case.replace('_', '-')}", epochs)
    assert max(differences(rows, LOGS[case][:epochs]).values()) < tolerance + 1e-9


@pytest.mark.release
@pytest.mark.parametrize("case", ["weight_std1", "batchnorm"])
def test_three_hundred_epochs(case):
    rows = rows_of(f"published/{case.replace('_', '-')}", 300)
    assert max(differences(rows, LOGS[case]).values()) < 1e-4 + 1e-9


@pytest.mark.release
def test_relu_is_chaotic_and_ends_near_the_published_place():
    last = rows_of("published/relu", 300)[-1]
    printed = dict(zip(COLUMNS, LOGS["relu"][-1][1:], strict=True))
    assert all(abs(last[column] - printed[column]) < 0.01 for column in ("train_loss", "train_acc", "val_acc"))


@pytest.mark.release
@pytest.mark.parametrize(
    ("preset", "published"),
    [
        ("sigmoid", "sgd"),
        ("momentum", "momentum 0.8 (classic)"),
        ("rmsprop", "rmsprop alpha 0.99"),
        ("adam", "adam eps 1e-6"),
        ("published/adopt", "adopt"),
    ],
)
def test_the_optimizers_of_the_published_comparison(preset, published):
    """They were not seeded: the final accuracy is met within the published tolerance, or not at all."""
    accuracy = rows_of(preset, 300)[-1]["val_acc"]
    assert abs(accuracy - STATISTICAL[published]) < STATISTICAL["tolerance"]
