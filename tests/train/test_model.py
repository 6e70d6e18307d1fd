"""The network, piece by piece, against formulas and torch's own modules."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from optilab.config.load import load
from optilab.config.model import ACTIVATIONS, BIAS_INITS, INITS, NORMS
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.train.model import MLP, activation_of, unit_gain


def configured(**keys):
    overrides = [Override("", f"model.{key}", value) for key, value in keys.items()]
    return load(TrainConfig, None, [Override("", "optimizer", "sgd"), *overrides]).model


def network(inputs=20, classes=4, seed=0, **keys):
    torch.manual_seed(seed)
    return MLP(configured(**keys), inputs, classes)


def linears(model):
    return [*(layer.linear for layer in model.active), model.output]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softplus(z):
    return np.log1p(np.exp(z))


FORMULAS = {
    "identity": lambda z: z,
    "sigmoid": sigmoid,
    "hard-sigmoid": lambda z: np.clip(z / 6 + 0.5, 0, 1),
    "tanh": np.tanh,
    "softsign": lambda z: z / (1 + np.abs(z)),
    "relu": lambda z: np.maximum(z, 0),
    "leaky-relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "prelu": lambda z: np.where(z > 0, z, 0.25 * z),
    "elu": lambda z: np.where(z > 0, z, np.exp(z) - 1),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * (np.exp(z) - 1)),
    "gelu": lambda z: z * np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in z]),
    "silu": lambda z: z * sigmoid(z),
    "mish": lambda z: z * np.tanh(softplus(z)),
    "softplus": softplus,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_its_formula(name):
    z = np.linspace(-8, 8, 1601)
    with torch.no_grad():
        values = activation_of(ACTIVATIONS[name]()).double()(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(values, FORMULAS[name](z), rtol=1e-7, atol=1e-12)


# --- initialisation: torch.nn.init, draw for draw, in the order that users of PyTorch write ------------------

TORCH_INITS = {
    "default": ("default", lambda w: None),
    "normal": ({"name": "normal", "std": 0.3, "mean": 0.1}, lambda w: nn.init.normal_(w, 0.1, 0.3)),
    "uniform": ({"name": "uniform", "low": -0.2, "high": 0.4}, lambda w: nn.init.uniform_(w, -0.2, 0.4)),
    "truncated-normal": (
        {"name": "truncated-normal", "std": 0.5, "cut": 1.5},
        lambda w: nn.init.trunc_normal_(w, 0.0, 0.5, -0.75, 0.75),
    ),
    "constant": ({"name": "constant", "value": 0.3}, lambda w: nn.init.constant_(w, 0.3)),
    "xavier": ("xavier", nn.init.xavier_uniform_),
    "xavier normal": (
        {"name": "xavier", "distribution": "normal", "gain": 2.0},
        lambda w: nn.init.xavier_normal_(w, 2.0),
    ),
    "kaiming": ("kaiming", nn.init.kaiming_normal_),
    "kaiming uniform": (
        {"name": "kaiming", "distribution": "uniform", "fan": "out"},
        lambda w: nn.init.kaiming_uniform_(w, mode="fan_out"),
    ),
    "lecun": ("lecun", lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear")),
    "lecun uniform": (
        {"name": "lecun", "distribution": "uniform"},
        lambda w: nn.init.kaiming_uniform_(w, nonlinearity="linear"),
    ),
    "orthogonal": ({"name": "orthogonal", "gain": 1.5}, lambda w: nn.init.orthogonal_(w, 1.5)),
    "unit-gain": (
        "unit-gain",
        lambda w: w.data.normal_(0, unit_gain(ACTIVATIONS["tanh"]()) / math.sqrt(w.shape[0])),
    ),
}


@pytest.mark.parametrize("case", TORCH_INITS)
def test_an_initialisation_draws_as_torch_draws(case):
    init, expected = TORCH_INITS[case]
    model = network(hidden=[30, 16], activation="tanh", init=init)
    torch.manual_seed(0)
    layers = [nn.Linear(20, 30), nn.Linear(30, 16), nn.Linear(16, 4)]
    for layer in layers:
        expected(layer.weight)
        if case != "default":
            nn.init.zeros_(layer.bias)
    for ours, theirs in zip(linears(model), layers, strict=True):
        # kaiming computes its bound in another order than we do
        torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-6, atol=0)
        assert torch.equal(ours.bias, theirs.bias)
    assert {name.split()[0] for name in TORCH_INITS} == set(INITS)


BIASES = {
    "default": ("default", lambda b: None),
    "normal": ({"name": "normal", "std": 0.3}, lambda b: nn.init.normal_(b, 0.0, 0.3)),
    "uniform": ("uniform", lambda b: nn.init.uniform_(b, -0.05, 0.05)),
    "constant": ({"name": "constant", "value": 0.1}, lambda b: nn.init.constant_(b, 0.1)),
}


@pytest.mark.parametrize("case", BIASES)
def test_a_bias_is_drawn_after_its_layers_weights(case):
    init, expected = BIASES[case]
    model = network(hidden=[16], init={"name": "normal", "std": 0.5}, bias_init=init, output_init="xavier")
    torch.manual_seed(0)
    hidden, output = nn.Linear(20, 16), nn.Linear(16, 4)
    nn.init.normal_(hidden.weight, 0, 0.5)
    expected(hidden.bias)
    nn.init.xavier_uniform_(output.weight)
    expected(output.bias)
    for ours, theirs in zip(linears(model), [hidden, output], strict=True):
        assert torch.equal(ours.weight, theirs.weight)
        assert torch.equal(ours.bias, theirs.bias)
    assert set(BIASES) == set(BIAS_INITS)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_unit_gain_keeps_the_variance_of_a_gradient(activation):
    """Monte Carlo: inputs of the activation are standard normal, a random gradient comes from 400 units above."""
    torch.manual_seed(1)
    z = torch.randn(2000, 400, requires_grad=True)
    above = torch.randn(2000, 400)
    weight = torch.randn(400, 400) * unit_gain(ACTIVATIONS[activation]()) / math.sqrt(400)
    (activation_of(ACTIVATIONS[activation]())(z) @ weight.T).backward(above)
    assert float(z.grad.var()) == pytest.approx(1.0, rel=0.03)


# --- normalisation ---------------------------------------------------------------------------------------


def batch_norm(x):
    return (x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + 1e-5)


NORM_FORMULAS = {
    "none": ("none", lambda x: x),
    "batch": ("batch", batch_norm),
    "batch, own statistics": ({"name": "batch", "affine": False, "statistics": "batch"}, batch_norm),
    "layer": ("layer", lambda x: ((x.T - x.mean(1)) / torch.sqrt(x.var(1, unbiased=False) + 1e-5)).T),
    "standardize": ("standardize", lambda x: (x - x.mean()) / x.std()),
    "standardize, per feature": (
        {"name": "standardize", "over": "feature", "correction": 0, "eps": 0.1},
        lambda x: (x - x.mean(0)) / (x.std(0, unbiased=False) + 0.1),
    ),
}


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("case", NORM_FORMULAS)
def test_a_normalisation_is_its_formula(case, position):
    norm, formula = NORM_FORMULAS[case]
    if norm != "none":
        norm = {**({"name": norm} if isinstance(norm, str) else norm), "position": position}
    model = network(hidden=[16], norm=norm)
    x = torch.rand(50, 20)
    first, output = linears(model)
    z = first(x)
    hidden = torch.sigmoid(formula(z)) if position == "before" else formula(torch.sigmoid(z))
    torch.testing.assert_close(model(x), output(hidden), rtol=1e-4, atol=1e-5)
    assert {name.split(",")[0] for name in NORM_FORMULAS} == set(NORMS)


@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_what_batch_norm_does_in_validation(statistics):
    model = network(hidden=[16], norm={"name": "batch", "statistics": statistics, "momentum": 1.0})
    first, other = torch.rand(50, 20), torch.rand(40, 20)
    model(first)
    model.eval()
    z, seen = linears(model)[0](other), linears(model)[0](first)
    source = seen if statistics == "running" else z
    var = source.var(0, unbiased=statistics == "running")  # torch keeps the unbiased variance
    expected = model.output(torch.sigmoid((z - source.mean(0)) / torch.sqrt(var + 1e-5)))
    torch.testing.assert_close(model(other), expected, rtol=1e-4, atol=1e-5)


# --- connections -----------------------------------------------------------------------------------------


def test_skips_add_the_output_of_one_layer_to_that_of_another():
    model = network(hidden=[16, 8, 16, 16], skip=[[1, 3], [1, 4], [3, 4]])
    x = torch.rand(5, 20)
    l1, l2, l3, l4, output = linears(model)
    h1 = torch.sigmoid(l1(x))
    h3 = torch.sigmoid(l3(torch.sigmoid(l2(h1)))) + h1
    h4 = torch.sigmoid(l4(h3)) + h1 + h3
    torch.testing.assert_close(model(x), output(h4))


def test_gradient_normalisation_changes_the_gradient_alone():
    model = network(hidden=[16, 16], gradient_norm=[1])
    plain = network(hidden=[16, 16])
    x, l1 = torch.rand(5, 20), linears(plain)[0]
    assert torch.equal(model(x), plain(x))

    z1 = l1(x)
    h1 = torch.sigmoid(z1)
    logits = plain.output(torch.sigmoid(linears(plain)[1](h1)))
    g = torch.autograd.grad(logits.square().sum(), h1, retain_graph=True)[0]
    g = (g - g.mean()) / (g.std() + 1e-6)
    expected = torch.autograd.grad(h1, l1.weight, g)[0]

    model(x).square().sum().backward()
    torch.testing.assert_close(linears(model)[0].weight.grad, expected)


def test_a_stage_uses_its_layers_under_a_new_output_layer():
    torch.manual_seed(0)
    model = MLP(configured(hidden=[16, 8, 8], init={"name": "normal", "std": 0.1}), 20, 4, stages=[1, 3])
    model.enter(1)
    torch.manual_seed(0)
    first = [nn.Linear(20, 16)]
    nn.init.normal_(first[0].weight, 0, 0.1)
    later = [nn.Linear(16, 8), nn.Linear(8, 8)]
    for layer in later:
        nn.init.normal_(layer.weight, 0, 0.1)
    head = nn.Linear(16, 4)
    nn.init.normal_(head.weight, 0, 0.1)
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(linears(model), [*first, head], strict=True))

    state = torch.get_rng_state()
    model.enter(3)
    torch.set_rng_state(state)
    head = nn.Linear(8, 4)
    nn.init.normal_(head.weight, 0, 0.1)
    expected = [*first, *later, head]
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(linears(model), expected, strict=True))
    assert [p.shape[0] for p in model.trained] == [16, 16, 8, 8, 8, 8, 4, 4]
