"""Mean-field theory beside the gradients of single images, which autograd gives one image at a time."""

import numpy as np
import pytest
import torch

from optilab.config.load import load
from optilab.config.training import TrainConfig
from optilab.config.tree import override_from_text
from optilab.data.read import Dataset
from optilab.train import device, engine, probes
from optilab.train.images import as_input
from tests.data.idx import arrays

WIDTHS = ("[128, 128, 128, 128, 128]", "[1024, 256, 64, 16]", "[512, 64, 16]", "[64, 256, 1024]")
NETWORKS = [  # every activation with every initialisation; each of them with every list of widths and every norm
    (activation, init, WIDTHS[(a + i) % 4], ("none", "batch", "layer")[(a + i) % 3])
    for a, activation in enumerate(("sigmoid", "tanh", "relu", "gelu"))
    for i, init in enumerate(("default", "xavier", "kaiming", "{name: normal, std: 1}"))
]


def training(*sets):
    texts = ["threads=1", "device=cpu", "data.batch_size=256", *sets]
    config = load(TrainConfig, "sigmoid", [override_from_text("--set", text) for text in texts])
    device.configure(torch.device("cpu"), 1)
    train_x, train_y, test_x, test_y = arrays(256, 50, 0).values()
    return engine.Training.start(
        config, Dataset("idx", None, train_x, train_y, test_x, test_y, {}), torch.device("cpu")
    )


@pytest.mark.parametrize(("activation", "init", "hidden", "norm"), NETWORKS)
def test_the_predicted_ratio_is_the_measured_one(activation, init, hidden, norm):
    record = engine.before_training(
        training(
            f"model.activation={activation}", f"model.init={init}", f"model.hidden={hidden}", f"model.norm={norm}"
        )
    )
    measured = record["sample_gradients"][0] / record["sample_gradients"][-2]
    assert record["predicted_ratio"] / 1.5 < measured < record["predicted_ratio"] * 1.5


@pytest.mark.parametrize(
    ("init", "activation", "first", "deep"),
    [
        ("unit-gain", "relu", 1.0, 1.0),
        ("unit-gain", "sigmoid", 0.58, 0.69),
        ("{name: normal, std: 0.9}", "sigmoid", 0.87, 1.0),  # self-consistent for 128 sigmoids
    ],
)
def test_what_a_gradient_keeps_per_layer_is_what_the_docs_say(init, activation, first, deep):
    sets = (f"model.hidden={[128] * 20}", f"model.activation={activation}", f"model.init={init}")
    gains = engine.before_training(training(*sets))["predicted_gains"]
    assert gains[0] == pytest.approx(first, abs=0.02)
    assert np.mean(gains[-5:]) == pytest.approx(deep, abs=0.01)


@pytest.mark.parametrize(
    "change",
    [
        "model.init={name: constant, value: 0}",
        "model.init={name: constant, value: 0.1}",
        "model.init={name: normal, mean: 0.1, std: 0.05}",
        "model.init={name: uniform, low: 0, high: 0.1}",
        "model.bias_init={name: constant, value: 1}",
        "model.bias_init={name: uniform, low: 0, high: 1}",
        "model.skip=[[1, 3]]",
        "model.dropout=0.5",
        "model.hidden=[128]",
    ],
)
def test_no_prediction_where_the_theory_does_not_apply(change):
    record = engine.before_training(training(change))
    assert record["predicted_ratio"] is None
    assert record["first_loss"] is not None


@pytest.mark.parametrize(
    "sets", [[], ["model.norm=layer"], ["model.skip=[[1, 3]]", "model.activation=relu"]], ids=str
)
def test_measured_gradients_are_those_of_one_image_after_the_other(sets):
    run = training("model.hidden=[20, 20, 20]", *sets)
    images = as_input(run.train.pixels[:64], run.config.data)
    squares, losses = [], []
    for image, label in zip(images, run.train.labels[:64], strict=True):
        run.model.zero_grad()
        loss = torch.nn.functional.cross_entropy(run.model(image[None]), label[None])
        loss.backward()
        losses.append(loss.item())
        squares.append([float(linear.weight.grad.norm()) ** 2 for linear in run.model.linears])
    loss, gradients = probes.first_batch(run.model, images, run.train.labels[:64])
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert gradients == pytest.approx(np.sqrt(np.mean(squares, axis=0)).tolist(), rel=1e-4)


@pytest.mark.parametrize("sets", [["model.norm=batch"], ["model.dropout=0.5"]], ids=str)
def test_measuring_leaves_everything_as_it_was(sets):
    run = training("model.hidden=[20, 20, 20]", *sets)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    state = torch.get_rng_state()
    engine.before_training(run)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in run.model.state_dict().items())
    assert all(parameter.grad is None for parameter in run.model.parameters())
    assert run.model.training
