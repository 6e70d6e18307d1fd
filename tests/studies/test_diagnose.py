"""Each rule on a small real run that shows what it looks for, and on one that does not."""

import itertools

import numpy as np
import pytest
import torch

from optilab.config.load import load, override_from_text
from optilab.config.schema.train import TrainConfig
from optilab.errors import DivergedError, UsageError
from optilab.studies.diagnose import RULES, Evidence, Severity, commands, diagnose
from optilab.studies.remedies import remedies
from optilab.train import engine
from optilab.train.data import Dataset
from optilab.train.device import configure
from tests.train.idx import arrays

HEALTHY = ("model.hidden=[32, 32, 32]", "model.activation=tanh", "model.init=xavier", "optimizer.lr=0.1")


def dataset(train=400, seed=0, random_labels=False):
    train_x, train_y, test_x, test_y = arrays(train, 200, seed).values()
    if random_labels:
        train_y = np.random.default_rng(1).permutation(train_y)
    return Dataset("idx", None, train_x, train_y, test_x, test_y, {})


def evidence(*sets, epochs=4, data=None):
    """What a run of a small network records."""
    texts = ["threads=1", "device=cpu", "data.batch_size=40", f"epochs={epochs}", *HEALTHY, *sets]
    config = load(TrainConfig, "sigmoid", [override_from_text("--set", text) for text in texts])
    configure(torch.device("cpu"), 1)
    rows, divergence = [], ""
    try:
        training = engine.Training.start(config, data or dataset(), torch.device("cpu"))
    except UsageError:
        return Evidence(config, [], [])
    records = [engine.before_training(training)]
    try:
        for row, _ in itertools.islice(training.run(lambda done, total: None, lambda: False), epochs):
            rows.append(row)
            records += [training.record] if training.record else []
    except DivergedError as error:
        divergence = str(error)
    return Evidence(config, rows, records, divergence)


DEEP_SIGMOID = ["model.hidden=[32, 32, 32, 32, 32, 32]", "model.activation=sigmoid", "model.init=default"]
SHOWN = {
    "not-finite": ["optimizer.lr=1e30", "model.activation=relu"],
    "symmetric-init": ["model.init={name: constant, value: 0.1}"],
    "vanishing-gradient": DEEP_SIGMOID,
    "exploding-gradient": [
        "model.hidden=[64, 64, 64, 64, 64, 64]",
        "model.activation=identity",
        "model.init={name: normal, std: 1}",
        "optimizer.lr=1e-12",
    ],
    "saturated": ["model.init={name: normal, std: 30}"],
    "dead-units": ["model.activation=relu", "model.bias_init={name: constant, value: -100}"],
    "learning-rate-too-high": ["optimizer.lr=30"],
    "learning-rate-too-low": ["optimizer.lr=1e-7"],
    "predicts-the-prior": DEEP_SIGMOID,
    "overfitting": ["optimizer={name: adam, lr: 0.01}"],
    "batch-norm-small-batch": ["model.norm=batch", "data.batch_size=4"],
    "eps-dominates": ["optimizer={name: adam, lr: 0.01, eps: 10}"],
}


def test_every_rule_is_tested():
    found = {finding.rule for rule in SHOWN for finding in diagnose(shown(rule))}
    assert found >= SHOWN.keys()
    assert len(SHOWN) == len(RULES)


def shown(rule):
    if rule == "overfitting":
        return evidence(*SHOWN[rule], epochs=25, data=dataset(200, random_labels=True))
    return evidence(*SHOWN[rule])


@pytest.mark.parametrize("rule", SHOWN)
def test_a_run_that_shows_it(rule):
    finding = next((finding for finding in diagnose(shown(rule)) if finding.rule == rule), None)
    assert finding is not None
    assert finding.text
    assert finding.evidence
    assert finding.remedies
    if rule not in ("exploding-gradient", "overfitting"):  # what need not keep a network from learning
        assert finding.severity >= Severity.WARNING
    # Every remedy is a command that the schema accepts.
    for command in commands(finding, "sigmoid.yaml"):
        assert command.startswith("optilab train --config sigmoid.yaml --set ")
    for sets in finding.remedies:
        load(TrainConfig, "sigmoid", [override_from_text("--set", text) for text in (*SHOWN[rule], *sets)])


@pytest.fixture(scope="module")
def healthy():
    return evidence(epochs=8)


def test_a_run_that_shows_none_of_them(healthy):
    assert healthy.learns
    assert diagnose(healthy) == []


def test_too_large_steps_are_the_cause_of_the_gradients_that_vanish():
    """A loss far above that of guessing was thrown there; sigmoids in saturation let no gradient through."""
    findings = diagnose(evidence(*DEEP_SIGMOID, "optimizer.lr=50"))
    assert [finding.rule for finding in findings][:2] == ["learning-rate-too-high", "vanishing-gradient"]
    assert findings[0].severity is Severity.CRITICAL


def test_a_high_loss_on_its_way_down_is_not_blamed_on_the_steps():
    findings = diagnose(
        evidence("model.init={name: normal, std: 10}", "model.activation=sigmoid", "optimizer.lr=0.01")
    )
    assert "learning-rate-too-high" not in {finding.rule for finding in findings}


def test_a_batch_norm_over_one_image_is_refused_and_diagnosed():
    (finding,) = diagnose(evidence("model.norm=batch", "data.batch_size=1"))
    assert (finding.rule, finding.severity) == ("batch-norm-small-batch", Severity.CRITICAL)


def test_the_place_of_the_first_overflow_is_named():
    found = diagnose(shown("not-finite"))[0]
    assert found.rule == "not-finite"
    assert "batch" in found.text
    assert "layer" in found.text


@pytest.mark.parametrize(
    "sets",
    [
        ["model.norm=batch"],
        ["model.norm={name: layer, position: after}"],
        ["model.norm=standardize"],
        ["model.skip=[[1, 3]]"],
        ["model.dropout=0.3"],
        ["model.freeze=[1]"],
        ["model.gradient_norm=[1, 2]"],
        ["stages=[{layers: 1, epochs: 2}, {layers: 3}]"],
        ["optimizer={name: adam, eps_placement: added}"],
        *[[f"model.activation={name}"] for name in ("softsign", "prelu", "gelu", "softplus", "identity", "mish")],
    ],
    ids=" ".join,
)
def test_looking_changes_no_bit(sets):
    rows = {probes: evidence(*sets, f"probes={probes}", epochs=3) for probes in (0, 1, 3, 10)}
    plain = [[value.hex() for value in row.values() if isinstance(value, float)] for row in rows[0].rows]
    assert rows[0].epochs == []
    for probes in (1, 3, 10):
        seen = [[value.hex() for value in row.values() if isinstance(value, float)] for row in rows[probes].rows]
        assert seen == plain
        layers = rows[probes].epochs[-1]["layers"]
        assert len(layers) == 4
        assert all(layer["weight_norm"] > 0 for layer in layers)


def test_measured_norms_are_those_of_autograd():
    """One probed batch beside the same batch by hand."""
    seen = evidence("probes=1", "data.batch_size=400", epochs=1).epochs[0]["layers"]
    config = load(TrainConfig, "sigmoid", [override_from_text("--set", text) for text in HEALTHY])
    data = dataset()
    training = engine.Training.start(config, data, torch.device("cpu"))
    images = torch.tensor(data.train_images.reshape(400, -1)).float() / 255
    loss = torch.nn.functional.cross_entropy(training.model(images), torch.tensor(data.train_labels).long())
    loss.backward()
    for layer, linear in zip(seen, training.model.linears, strict=True):
        assert layer["gradient_norm"] == pytest.approx(float(linear.weight.grad.norm()), rel=1e-4)
        assert layer["weight_norm"] == pytest.approx(float(linear.weight.detach().norm()), rel=1e-6)
        assert layer["update_to_weight"] == pytest.approx(0.1 * layer["gradient_to_weight"], rel=1e-3)


def test_remedies_are_minimal_changes_of_the_study():
    found = remedies()
    assert found["relu"].sets == ("model.activation=relu",)
    assert found["batchnorm"].sets == ("model.norm=batch",)
    assert "sigmoid" not in found
    for remedy in found.values():
        load(TrainConfig, "sigmoid", remedy.overrides)
        by_text = load(TrainConfig, "sigmoid", [override_from_text("--set", text) for text in remedy.sets])
        assert by_text == load(TrainConfig, "sigmoid", remedy.overrides)
