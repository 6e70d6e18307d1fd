"""The ramp of a range test: the steps of a training, each with a rate of its own, for every optimizer."""

import numpy as np
import pytest
import torch

from optilab.config.load import load
from optilab.config.section import dump
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.data import read as data
from optilab.optimize import RULES
from optilab.study.rates import rate_ramp
from optilab.train import session


def config(small, optimizer="sgd", **keys):
    settings = {"optimizer": optimizer, "probes": 0, **keys}
    return load(TrainConfig, str(small), [Override(key, key, value) for key, value in settings.items()])


def dataset(config):
    return data.load("idx", data.Path(config.data.dir))


def ramped(config, grid):
    """Losses and the trained weights."""
    training = session.build(config, dataset(config))
    lr = rate_ramp(config.optimizer, 2).lr
    losses = list(training.ramp(rate / lr for rate in grid))
    return losses, torch.cat([p.detach().flatten() for p in training.model.parameters()])


def trainable():
    return [name for name, kind in RULES.items() if not {"f", "H", "function"} & set(kind().needs)]


def test_at_one_rate_it_is_the_first_epoch_of_a_training(small, optilab, tmp_path):
    run = optilab("train", small, "--epochs", 1, "--quiet").stdout.strip()
    row = np.genfromtxt(tmp_path / run / "metrics.csv", delimiter=",", names=True)
    losses, _ = ramped(config(small), [0.1] * 7)  # 200 images in batches of 32
    assert np.mean(losses) == pytest.approx(float(row["train_loss"]), rel=1e-6)


def test_each_step_has_its_own_rate(small):
    """By hand: gradient descent on the batches of the training, in their order."""
    asked = config(small)
    grid = np.geomspace(1e-3, 1.0, 10)
    losses, weights = ramped(asked, grid)
    training = session.build(asked, dataset(asked))
    model, expected = training.model.train(), []
    batches = iter([*training.batches(), *training.batches()])
    for rate in grid:
        images, labels = next(batches)
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        expected.append(loss.item())
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= rate * gradient
    assert losses == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(weights, torch.cat([p.detach().flatten() for p in model.parameters()]), atol=1e-6)


@pytest.mark.parametrize("name", trainable())
def test_every_optimizer_takes_the_rate_of_the_ramp(name, small):
    """The rate of the config does not matter: it is that of the ramp that counts.

    A rule that leaves some weights to another one has two rates; they keep their ratio.
    """
    first = config(small, name)
    ramp = rate_ramp(first.optimizer, 2)
    usual, weights = ramped(first, [ramp.lr] * 9)
    assert len(usual) == 9
    assert np.isfinite(usual).all()
    tree = dump(first)["optimizer"]
    inner = tree["base"] if ramp.key == "optimizer.base.lr" else tree
    inner["lr"] *= 3
    if "others" in inner:
        inner["others"]["lr"] *= 3
    other, same = ramped(config(small, tree), [ramp.lr] * 9)
    assert usual == pytest.approx(other, rel=1e-4)
    assert torch.allclose(weights, same, rtol=1e-3, atol=1e-4)
    _, moved = ramped(first, [ramp.lr * 3] * 9)
    assert not torch.allclose(weights, moved, rtol=1e-3, atol=1e-4)


def test_it_ends_after_a_loss_that_is_not_finite(small):
    losses, _ = ramped(config(small, **{"model.activation": "relu"}), [1e6] * 50)
    assert len(losses) < 50
    assert not np.isfinite(losses[-1])
    assert np.isfinite(losses[:-1]).all()
