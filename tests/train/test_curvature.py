"""The curvature of the loss: eigenvalues against full Hessians, limits against measured growth, the published edge."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from optilab.config.load import load
from optilab.config.training import TrainConfig
from optilab.data.read import load as load_data
from optilab.diagnose import Evidence, Setup, verdict
from optilab.optimize import RULES
from optilab.optimize.theory import frozen_step, is_adaptive, stability_limit
from optilab.train import optimizers, session
from optilab.train.batches import as_input
from tests.kit.idx import arrays

CHOSEN_RULES = {
    "sgd": {"lr": 0.3},
    "momentum": {"lr": 0.2, "beta": 0.7},
    "momentum, ema": {"lr": 0.9, "beta": 0.7, "form": "ema"},
    "nesterov": {"lr": 0.2, "beta": 0.7},
    "nesterov, ema": {"lr": 0.9, "beta": 0.7, "form": "ema"},
    "qhm": {"lr": 0.4, "beta": 0.9, "nu": 0.6},
    "adam": {"lr": 0.01, "beta1": 0.8},
    "adam, inside": {"lr": 0.01, "eps": 0.3, "eps_placement": "inside"},
    "adam, uncorrected": {"lr": 0.01, "eps": 0.3, "eps_placement": "uncorrected"},
    "adam, added": {"lr": 0.01, "eps": 0.0, "eps_placement": "added"},
    "adamw": {"lr": 0.02, "weight_decay": 0.0},
    "amsgrad": {"lr": 0.02},
    "amsgrad, corrected": {"lr": 0.02, "largest": "corrected"},
    "amsgrad, paper": {"lr": 0.02, "largest": "paper"},
    "adamax": {"lr": 0.02},
    "adamax, outside": {"lr": 0.02, "eps": 0.5, "eps_placement": "outside"},
    "rmsprop": {"lr": 0.03},
    "rmsprop, momentum": {"lr": 0.03, "momentum": 0.8, "eps": 0.2, "eps_placement": "outside"},
    "rmsprop, centered": {"lr": 0.03, "centered": True},
    "nadam": {"lr": 0.02, "beta1": 0.8},
    "nadam, at the start of its schedule": {"lr": 0.02, "momentum_decay": 1e-18},
    "nadam, constant": {"lr": 0.02, "form": "constant", "eps": 0.1},
    "radam": {"lr": 0.02, "beta1": 0.8},
    "radam, outside": {"lr": 0.02, "eps": 0.3, "eps_placement": "outside"},
    "adagrad": {"lr": 0.05, "lr_decay": 1e-12},
    "adadelta": {"lr": 0.3},
    "adabelief": {"lr": 0.02},
    "yogi": {"lr": 0.02},
    "laprop": {"lr": 0.02, "beta1": 0.8},
    "adopt, no clip": {"lr": 0.02, "clip": False},
}
LATE = 10**14
"""A step at which moments are corrected no more."""
SECOND_MOMENTS = {"S": 4.0, "L": 4.0, "D": 4.0}


def rule_of(name):
    return RULES[name.partition(",")[0]](**CHOSEN_RULES[name])


def at_rest(rule):
    """The rule and its state with second moments that do not move: they are 4, and remain so, because the gradients
    are tiny and the averages slow."""
    rule = replace(rule, **{name: 1 - 1e-12 for name in ("beta2", "decay", "rho") if hasattr(rule, name)})
    state = dict(zip(rule.states, rule.init(np.array([1e-12])), strict=True))
    held = {name: np.array([value]) for name, value in SECOND_MOMENTS.items()} | {"P": 0.0}
    return rule, {name: held.get(name, value) for name, value in state.items()}


def growth(rule, curvature):
    """The distance after 120 steps on curvature*w^2/2 from 1e-12, over that after 60, with second moments at rest."""
    rule, known = at_rest(rule)
    w, state = np.array([1e-12]), tuple(known.values())
    distances = []
    for t in range(LATE, LATE + 120):
        w, state = rule.step(w, curvature * w, t, state)
        distances.append(abs(float(w[0])))
    return max(distances[114:]) / max(distances[54:60])


@pytest.mark.parametrize("name", CHOSEN_RULES)
def test_above_the_limit_the_steps_grow_and_below_they_shrink(name):
    """The rule itself on a quadratic loss; an adaptive one with its second moments at rest."""
    rule = rule_of(name)
    slow, state = at_rest(rule)
    frozen = frozen_step(slow, state, LATE) if is_adaptive(rule) else None
    limit = stability_limit(rule, frozen)
    if frozen:
        limit *= float(frozen.preconditioner[0])
    assert growth(rule, 0.997 * limit) < 0.95
    assert growth(rule, 1.003 * limit) > 1.05


def test_the_limits_are_the_published_ones():
    """Cohen et al. 2021, section 2 and appendix; Cohen et al. 2022: 38/lr for Adam's beta1 of 0.9."""
    assert stability_limit(RULES["sgd"](lr=0.01)) == pytest.approx(200)
    assert stability_limit(RULES["momentum"](lr=0.01, beta=0.9)) == pytest.approx(2 * 1.9 / 0.01)
    ema = RULES["momentum"](lr=0.01, beta=0.9, form="ema")
    assert stability_limit(ema) == pytest.approx(2 * 1.9 / 0.1 / 0.01)
    nesterov = RULES["nesterov"](lr=0.01, beta=0.9)
    assert stability_limit(nesterov) == pytest.approx(2 * 1.9 / (1 + 2 * 0.9) / 0.01)
    # With v = V*n/(1 - P*n) for nadam, in coordinates scaled by its preconditioner, n times smaller.
    for name, limit in {"adam": 38_000, "rmsprop": 2000, "radam": 38_000, "nadam": 0.9 * 38_000 / 2.8}.items():
        rule = RULES[name](lr=0.001)
        assert stability_limit(rule, frozen_step(*at_rest(rule), LATE)) == pytest.approx(limit)
        assert stability_limit(rule) is None  # without a state
    assert stability_limit(RULES["lion"]()) is None
    assert not is_adaptive(RULES["lion"]())


# --- eigenvalues against full Hessians -----------------------------------------------------------------------

NETWORKS = {
    "tanh": [],
    "relu, l2": ["model.activation=relu", "weight_decay=0.05"],
    "batch norm": ["model.norm=batch"],
    "layer norm": ["model.norm=layer"],
    "dropout": ["model.dropout=0.5"],
    "no hidden layer": ["model.hidden=[]"],
    "adam": ["optimizer=adam"],
    "adam, own code": ["optimizer={name: adam, eps_placement: inside}"],
    "rmsprop": ["optimizer={name: rmsprop, eps_placement: outside}"],
    "nadam": ["optimizer=nadam"],
}


def trained(small, settings, epochs=2):
    """A training in float64 of a small network after some epochs, on 6 x 6 pixels to keep its Hessian small."""
    from optilab.config.tree import override_from_text

    fixed = ["dtype=float64", "model.hidden=[5, 4]", f"epochs={epochs}", "curvature.images=60"]
    activation = [] if any("activation" in text for text in settings) else ["model.activation=tanh"]
    changes = [override_from_text(text) for text in (*fixed, *activation, *settings)]
    config = load(TrainConfig, str(small), changes)
    dataset = load_data("idx", small.parent)
    images = {name: getattr(dataset, name)[:, 10:16, 10:16] for name in ("train_images", "test_images")}
    training = session.build(config, replace(dataset, **images))
    for _ in training.run(lambda done, total: None, lambda: False):
        pass
    return training


def full_hessian(training):
    """The Hessian by torch.autograd.functional, of a loss written without optilab's model: (n, n) and gradient (n,)."""
    config, model = training.config, training.model
    images = training.train.take(torch.arange(config.curvature.images))
    x, y = as_input(images.pixels, config.data), images.labels
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    names = [n for n, p in model.named_parameters() if any(p is q for q in model.trained)]
    by_name = dict(model.named_parameters())
    order = [next(n for n in names if by_name[n] is p) for p in model.trained]
    shapes = [by_name[name].shape for name in order]

    def loss(vector):
        parts = vector.split([shape.numel() for shape in shapes])
        values = {n: part.view(shape) for n, part, shape in zip(order, parts, shapes, strict=True)}
        logits = torch.func.functional_call(model, values, (x,))
        return nn.functional.cross_entropy(logits, y) + config.weight_decay / 2 * vector.square().sum()

    here = torch.cat([p.detach().flatten() for p in model.trained])
    slope = torch.autograd.functional.jacobian(loss, here)
    return torch.autograd.functional.hessian(loss, here).numpy(), slope.numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_eigenvalues_are_those_of_the_full_hessian(name, small):
    training = trained(small, NETWORKS[name])
    record = training.measure_curvature(training.config.optimizer)
    matrix, slope = full_hessian(training)
    assert record["sharpness"] == pytest.approx(np.linalg.eigvalsh(matrix)[-1], rel=1e-6)
    frozen = optimizers.joined_frozen_step(training.optimizer, training.config.optimizer)
    if frozen is None:
        assert record["preconditioned"] is None
        assert not is_adaptive(training.config.optimizer)
        assert record["along_gradient"] == pytest.approx(slope @ matrix @ slope / (slope @ slope), rel=1e-9)
        return
    divisor = frozen.preconditioner
    scale = np.where(divisor > 0, divisor, np.inf) ** -0.5
    scaled = matrix * scale[:, None] * scale
    assert record["preconditioned"] == pytest.approx(np.linalg.eigvalsh(scaled)[-1], rel=1e-6)
    direction = slope * scale
    expected = direction @ scaled @ direction / (direction @ direction)
    assert record["along_gradient"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "rule",
    [
        *("adam", "adamw", "amsgrad", "adamax", "nadam", "radam", "rmsprop, momentum", "rmsprop, centered"),
        *("adagrad", "adopt, no clip"),
    ],
)
def test_the_preconditioner_is_what_the_rule_divides_by(rule):
    """Torch's optimizer and the rule's own code, both from a few gradients: the same divisor from both states."""
    rule = rule_of(rule)
    if hasattr(rule, "eps_placement") and rule.name in ("rmsprop", "adagrad"):
        rule = replace(rule, eps_placement="outside")
    weights = [
        nn.Parameter(torch.ones(3, 2, dtype=torch.float64)),
        nn.Parameter(torch.ones(2, dtype=torch.float64)),
    ]
    copies = [nn.Parameter(weight.detach().clone()) for weight in weights]
    pair = optimizers.build(weights, rule), optimizers.RuleOptimizer(copies, rule)
    assert not isinstance(pair[0], optimizers.RuleOptimizer)
    assert optimizers.joined_frozen_step(pair[0], rule) is None  # before the first step
    random = torch.Generator().manual_seed(0)
    for _ in range(5):
        gradients = [torch.randn(w.shape, generator=random, dtype=torch.float64) for w in weights]
        for parameters, optimizer in zip((weights, copies), pair, strict=True):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient.clone()
            optimizer.step()
    steps = [optimizers.joined_frozen_step(optimizer, rule) for optimizer in pair]
    torch.testing.assert_close(*(step.preconditioner for step in steps))
    limits = [stability_limit(rule, step) for step in steps]
    assert limits[0] == pytest.approx(limits[1])


def test_a_network_of_numbers_that_are_not_finite_has_no_curvature(small):
    training = trained(small, [])
    with torch.no_grad():
        training.model.trained[0].fill_(torch.inf)
    record = training.measure_curvature(training.config.optimizer)
    assert record == {"sharpness": None, "preconditioned": None, "along_gradient": None, "limit": 20.0}


# --- in a training -----------------------------------------------------------------------------------------

SETTINGS = {
    "sgd": [],
    "adam with dropout": ["optimizer=adam", "model.dropout=0.3"],
    "batch norm": ["model.norm=batch"],
    "no probes": ["probes=0"],
    "draws in forward": ["model=net.py:Noisy"],
}
NOISY = """
import torch

class Noisy(torch.nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.head = torch.nn.Linear(shape[0] * shape[1] * shape[2], classes)

    def forward(self, x):
        return self.head(torch.nn.functional.dropout(x.flatten(1), 0.2, self.training))
"""


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_training_has_the_same_bits_with_it(settings, optilab, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NOISY)
    options = [part for setting in settings for part in ("--set", setting)]
    optilab("train", small, *options, "--name", "plain", "--quiet")
    optilab("train", small, *options, "--set", "curvature.every=2", "--name", "curved", "--quiet")
    plain, curved = tmp_path / "runs" / "plain", tmp_path / "runs" / "curved"
    assert (curved / "metrics.csv").read_bytes() == (plain / "metrics.csv").read_bytes()
    assert {path.name for path in (curved / "checkpoints").iterdir()} == {
        path.name for path in (plain / "checkpoints").iterdir()
    }  # the names hold the digests
    records = [json.loads(line) for line in (curved / "diagnostics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records if "curvature" in record] == [0, 2]


@pytest.mark.parametrize(
    ("sharpness", "words"),
    [(2, "far below; the rate could be 10 times larger"), (15, "below it"), (21, "at the edge"), (90, "above it")],
)
def test_the_verdict_on_stability(sharpness, words):
    setup = Setup.of(load(TrainConfig, {"optimizer": {"name": "sgd", "lr": 0.1}}))
    record = {"epoch": 3, "curvature": {"sharpness": sharpness, "preconditioned": None, "limit": 20.0}}
    assert words in verdict.stability(Evidence(setup, [], [record]))
    assert verdict.stability(Evidence(setup, [], [{"epoch": 3}])) == ""


# --- the published behaviour ---------------------------------------------------------------------------------


def shares(small, settings, epochs):
    """Sharpness over its limit every ten epochs of full-batch training of a small tanh network on random labels."""
    from optilab.config.tree import override_from_text

    fixed = ["data.batch_size=1000", "model={hidden: [8, 8], activation: tanh}", "probes=0"]
    measured = ["curvature.every=10", f"epochs={epochs}", *settings]
    config = load(TrainConfig, str(small), [override_from_text(text) for text in (*fixed, *measured)])
    made = arrays(1000, 20)
    labels = np.random.default_rng(1).permutation(made["train-labels-idx1-ubyte"])
    images = made["train-images-idx3-ubyte"]
    data = replace(load_data("idx", small.parent), train_images=images, train_labels=labels)
    training = session.build(config, data)
    ratios = []
    for row, _ in training.run(lambda done, total: None, lambda: False):
        if row["epoch"] % 10 == 0:
            record = training.diagnostics["curvature"]
            sharpness = record["sharpness"] if record["preconditioned"] is None else record["preconditioned"]
            ratios.append(sharpness / record["limit"])
    return np.array(ratios)


@pytest.mark.release
def test_gradient_descent_sharpens_up_to_the_limit_and_goes_on_there(small):
    """Cohen et al. 2021, figure 1: progressive sharpening to 2/lr, then the sharpness stays at or just above it."""
    share = shares(small, ["optimizer.lr=0.3"], 250)
    first = int(np.argmax(share > 0.9))
    assert share[0] < 0.3
    assert (np.diff(share[: first + 1]) > 0).all()
    assert first < 15
    assert 0.9 < np.median(share[first:]) < 1.7
    assert share[first:].min() > 0.7
    slower = shares(small, ["optimizer.lr=0.15"], 100)
    assert (slower < 0.9).all()  # the edge is a property of the rate, not of the time


@pytest.mark.release
def test_adam_goes_to_38_over_lr(small):
    """Cohen et al. 2022, figure 1: the preconditioned sharpness equilibrates at (2 + 2 beta1)/((1 - beta1) lr)."""
    share = shares(small, ["optimizer={name: adam, lr: 0.01}"], 250)
    assert 0.85 < np.median(share[8:]) < 1.1
    assert share[8:].min() > 0.5
    assert share[8:].max() < 1.5
