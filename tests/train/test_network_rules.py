"""Every rule on a network: interrupted and resumed it equals the run that went through, to the byte."""

import functools
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from optilab.config.load import load
from optilab.config.training import FUNCTION_ONLY_RULES, MISSING_IN_TRAINING, TrainConfig
from optilab.config.tree import Override
from optilab.data import fetch
from optilab.data import read as data
from optilab.errors import ConfigError
from optilab.optimize import RULES, Rule
from optilab.optimize.rule import learning_rates
from optilab.train import checkpoint, engine, optimizers, probe, trees
from optilab.train.batches import Images, as_input
from optilab.train.optimizers import BatchStep
from optilab.train.trees import all_finite
from tests.kit import trainings
from tests.kit.idx import write_idx_dataset
from tests.kit.trainings import CPU, TRAINABLE

SUITED = {"relu": "kaiming", "sigmoid": "default", "tanh": "xavier"}
"""Activation -> the initialization that fits it."""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return data.load("idx", write_idx_dataset(tmp_path_factory.mktemp("idx") / "data", train=150, test=60))


BASE = {
    "data.batch_size": 32,
    "data.dataset": "idx",
    "model.hidden": [12, 10, 10],
    "model.activation": "tanh",
    "epochs": 3,
}
configured = functools.partial(trainings.configured, BASE)


def epochs(training):
    return [checkpoint.save(training) for _ in training.run(lambda done, total: None, lambda: False)]


def test_a_rule_trains_unless_it_needs_what_only_a_test_function_has():
    """So a list of those that train, from which the tests of this folder take their cases, loses none in silence."""
    needing = {name for name in RULES if MISSING_IN_TRAINING.keys() & {*RULES[name]().needs}}
    assert needing == FUNCTION_ONLY_RULES
    assert len(TRAINABLE) == len(RULES) - len(needing) > 35


@pytest.mark.parametrize("name", TRAINABLE)
def test_an_interrupted_run_ends_in_the_same_bytes(name, small):
    config = configured(optimizer=name, weight_decay=0.001)
    saved = epochs(engine.Training.start(config, small, CPU))
    resumed = engine.Training.start(config, small, CPU)
    checkpoint.restore(resumed, saved[0])
    assert checkpoint.save(resumed) == saved[0]
    assert epochs(resumed) == saved[1:]


class Counting(Rule):
    """Whole numbers and sums in double precision next to weights in single precision."""

    name, states, formula, needs = "counting", ("n", "Q"), "in code", ()

    def init(self, w):
        return torch.zeros_like(w, dtype=torch.int64), torch.zeros_like(w, dtype=torch.float64)

    def step(self, w, g, t, state):
        return w - 0.1 * g, (state[0] + (g != 0), state[1] + g.double() ** 2)


def test_a_state_comes_back_in_its_type():
    weights = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))]
    saved, resumed = (optimizers.RuleOptimizer(weights, Counting()) for _ in range(2))
    for weight in weights:
        weight.grad = torch.full_like(weight, 0.1)
    saved.step()
    resumed.load_state_dict(trees.from_bytes(trees.to_bytes(saved.state_dict())))
    torch.testing.assert_close(resumed.state[weights[0]], saved.state[weights[0]], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "settings", "below"),
    [
        ("adam", {"eps": 5e-4}, 0.0),
        ("adam", {"eps": 2e-3}, 1.0),
        ("ademamix", {"eps": 5e-4}, 0.0),
        ("ademamix", {"eps": 2e-3}, 1.0),
        ("adam", {"eps": 5e-4, "eps_placement": "uncorrected"}, 1.0),
        ("adopt", {"eps": 5e-4}, 0.0),
        ("adamax", {"eps": 5e-4, "eps_placement": "outside"}, 0.0),
        ("adamax", {"eps": 2e-3, "eps_placement": "outside"}, 1.0),
        ("rmsprop", {"eps": 1e-7}, 0.0),
        ("rmsprop", {"eps": 1e-4}, 1.0),
        ("rmsprop", {"eps": 1e-2, "eps_placement": "outside"}, 1.0),
        ("lamb", {"eps": 1e-2}, 1.0),
        ("sgd", {}, None),
    ],
)
def test_the_fraction_of_weights_whose_step_eps_shortens(name, settings, below):
    """After 60 gradients of 1e-3: eps is compared with the number that it is added to."""
    weight = nn.Parameter(torch.zeros(3))
    optimizer = optimizers.build([weight], RULES[name](**settings))
    for _ in range(60):
        weight.grad = torch.full_like(weight, 1e-3)
        optimizer.step()
    assert probe.fraction_below_eps(optimizer) == below


def test_the_last_rule_of_a_wrapped_one_has_its_last_rate(small):
    schedule = {"name": "step", "every": 1, "gamma": 0.1}
    training = engine.Training.start(configured(optimizer="lookahead", schedule=schedule, epochs=2), small, CPU)
    epochs(training)
    (before,), (after,) = (
        learning_rates(rule).values() for rule in (training.config.optimizer, training.last_rule)
    )
    assert after == 0.1 * before


@pytest.mark.parametrize(("size", "probed"), [(150, 1), (75, 2), (50, 3), (30, 3)])
def test_three_batches_of_an_epoch_are_probed_or_all_of_fewer(size, probed, small, monkeypatch):
    probes = []
    monkeypatch.setattr(engine, "Probe", lambda part: probes.append(probe.Probe(part)) or probes[-1])
    epochs(engine.Training.start(configured(epochs=1, optimizer="sgd", **{"data.batch_size": size}), small, CPU))
    assert len(probes) == probed


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def walked(model, optimizer, steps=10):
    """The weights after some steps, each weight by itself."""
    x, y = torch.linspace(-1, 1, 40).double().view(10, 4).sin(), torch.arange(10) % 3
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("name", ["lars", "lamb"])
def test_a_layer_wise_rule_treats_each_weight_as_a_vector_of_its_own(name):
    rule, model = RULES[name](weight_decay=0.1), network()
    reached = walked(model, optimizers.build(model.parameters(), rule))
    alone = network()
    parameters = list(alone.parameters())
    states, steps = [rule.init(parameter.detach().flatten().clone()) for parameter in parameters], [0]

    @torch.no_grad()
    def step():
        for n, parameter in enumerate(parameters):
            t = steps[0] = steps[0] + (n == 0)
            after, states[n] = rule.step(parameter.flatten(), parameter.grad.flatten(), t, states[n])
            parameter.copy_(after.view_as(parameter))

    expected = walked(alone, SimpleNamespace(zero_grad=alone.zero_grad, step=step))
    assert all(torch.equal(a, b) for a, b in zip(reached, expected, strict=True))


def test_sam_takes_the_gradient_at_the_worst_point_nearby(small):
    """One step by hand: up by the radius along the gradient of the batch, its gradient there, back, SGD's step."""
    config = configured(
        **{"optimizer": {"name": "sam", "base": {"name": "sgd", "lr": 0.1}, "radius": 0.3}, "data.shuffle": False}
    )
    config = config.model_copy(update={"epochs": 1, "data": config.data.model_copy(update={"batch_size": 150})})
    training = engine.Training.start(config, small, CPU)
    model = engine.Training.start(config, small, CPU).model
    images = as_input(training.train.pixels, config.data)

    def gradient():
        model.zero_grad()
        nn.functional.cross_entropy(model(images), training.train.labels).backward()
        return torch.cat([parameter.grad.flatten() for parameter in model.trained])

    start = nn.utils.parameters_to_vector(model.trained).detach()
    here = gradient()
    nn.utils.vector_to_parameters(start + 0.3 * here / here.norm(), model.trained)
    expected = start - 0.1 * gradient()
    epochs(training)
    reached = nn.utils.parameters_to_vector(training.model.trained).detach()
    torch.testing.assert_close(reached, expected, rtol=0, atol=1e-7)
    assert float((reached - (start - 0.1 * here)).abs().max()) > 1e-4


@pytest.mark.parametrize("keys", [{"model.norm": "batch"}, {"model.dropout": 0.5}], ids=str)
def test_sam_changes_neither_statistics_nor_draws(keys, small):
    """With a rate and a radius of almost nothing it is gradient descent: running statistics, dropout, orders, all."""
    ends = []
    sgd = {"name": "sgd", "lr": 1e-12}
    for rule in (sgd, {"name": "sam", "base": sgd, "radius": 1.0 if "model.norm" in keys else 1e-9}):
        training = engine.Training.start(configured(optimizer=rule, **keys), small, CPU)
        epochs(training)
        model = training.model
        measured = list(model.buffers()) or [parameter.grad.clone() for parameter in model.trained]
        ends.append((torch.get_rng_state(), measured))
    assert torch.equal(ends[0][0], ends[1][0])
    for plain, sharp in zip(ends[0][1], ends[1][1], strict=True):
        torch.testing.assert_close(plain.double(), sharp.double(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("matrices", "hidden"), [("hidden", [2]), ("all", [0, 2, 4])])
def test_muon_trains_matrices_and_leaves_the_rest_to_adamw(matrices, hidden):
    """torch.optim.Muon on those weights and torch.optim.AdamW on the others."""
    model, rule = network(), RULES["muon"](matrices=matrices, weight_decay=0.1)
    reached = walked(model, optimizers.build(model.parameters(), rule))
    theirs = network()
    weights = list(theirs.parameters())
    both = [
        torch.optim.Muon([weights[n] for n in hidden], lr=0.02, weight_decay=0.1),
        torch.optim.AdamW([w for n, w in enumerate(weights) if n not in hidden], lr=0.001, weight_decay=0.01),
    ]
    together = SimpleNamespace(zero_grad=theirs.zero_grad, step=lambda: [optimizer.step() for optimizer in both])
    for ours, expected in zip(reached, walked(theirs, together), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-13)


def test_a_schedule_changes_both_rates_of_muon():
    optimizer = optimizers.build(network().parameters(), RULES["muon"](lr=0.1))
    rule = optimizer._at_rate(0.05)
    assert (rule.lr, rule.others.lr) == (0.05, 0.0005)
    around = optimizers.build(network().parameters(), RULES["lookahead"](base=RULES["muon"](lr=0.1)))._at_rate(0.5)
    assert (around.base.lr, around.base.others.lr) == (0.05, 0.0005)


def test_muon_keeps_to_the_matrices_between_the_first_and_the_last(small):
    training = engine.Training.start(configured(optimizer="muon"), small, CPU)
    optimizer, model = training.optimizer, training.model
    parts = optimizer.parts(optimizer.rule)
    trained = {id(parameter): part.name for parameter, part in zip(model.trained, parts, strict=True)}
    assert [trained[id(linear.weight)] for linear in model.modules() if isinstance(linear, torch.nn.Linear)] == [
        "adamw",
        "muon",
        "muon",
        "adamw",
    ]


def test_a_schedule_and_a_plateau_reach_the_rule_inside_lookahead(small):
    """One step at the given rate, against the rule alone at that rate."""
    weights, sgd = [], {"name": "sgd", "lr": 0.4}
    halved = {"name": "step", "every": 1, "gamma": 0.5}
    for rule in ({"name": "lookahead", "base": sgd}, sgd):
        config = configured(optimizer=rule, schedule=halved, **{"data.batch_size": 150, "epochs": 4})
        training = engine.Training.start(config, small, CPU)
        epochs(training)
        assert training.diagnostics["lr"] == pytest.approx(0.4 / 8)
        weights.append(nn.utils.parameters_to_vector(training.model.trained).detach())
    torch.testing.assert_close(*weights, rtol=0, atol=1e-7)
    configured(optimizer="lookahead", plateau={"patience": 1})


@pytest.mark.parametrize("key", ["schedule", "plateau"])
@pytest.mark.parametrize("rule", ["rprop", "barzilai-borwein", {"name": "lookahead", "base": "rprop"}])
def test_a_rule_that_reads_its_rate_once_has_no_schedule_and_no_plateau(rule, key):
    with pytest.raises(ConfigError, match=f"has no learning rate that a {key} can"):
        configured(optimizer=rule, **{key: {"schedule": "cosine", "plateau": {"patience": 1}}[key]})


AVERAGING = {
    "schedule-free-sgd": {"name": "schedule-free-sgd", "lr": 0.5},
    "schedule-free-adamw": {"name": "schedule-free-adamw", "lr": 0.02},
    "lookahead": {"name": "lookahead", "base": {"name": "sgd", "lr": 0.5}, "sync_period": 4},
    "lookahead around muon": {"name": "lookahead", "base": "muon", "sync_period": 4},
    "sam around schedule-free": {"name": "sam", "base": {"name": "schedule-free-sgd", "lr": 0.5}},
}


def average_of(training):
    """The weights of the rule's result, from the optimizer's own state, in the network's order."""
    optimizer, parameters = training.optimizer, training.model.trained
    parts = optimizer.parts(optimizer.rule)
    averages = []
    for part, w, owner in zip(parts, optimizer._blocks(parameters), parameters, strict=False):
        state = tuple(optimizer.state[owner][name] for name in part.states)
        averages.append(part.averaged(w.detach(), state).flatten())
    return torch.cat(averages)


@pytest.mark.parametrize("case", AVERAGING)
def test_a_rule_that_averages_is_evaluated_there(case, small):
    """It trains at its own point, where the same rule goes on; another one goes on at the average."""
    config = configured(optimizer=AVERAGING[case])
    training = engine.Training.start(config, small, CPU)
    epochs(training)
    last = nn.utils.parameters_to_vector(training.model.trained).detach().clone()
    average = average_of(training)
    assert float((last - average).abs().max()) > 1e-3
    images, labels = as_input(training.validation.pixels, config.data), training.validation.labels
    losses = []
    for point in (average, last):
        nn.utils.vector_to_parameters(point, training.model.trained)
        with torch.no_grad():
            parts = zip(images.split(32), labels.split(32), strict=True)
            losses.append([float(nn.functional.cross_entropy(training.model(x), y)) for x, y in parts])
    assert training.rows[-1]["val_loss"] == pytest.approx(sum(losses[0]) / 2, rel=1e-5)
    assert abs(sum(losses[1]) - sum(losses[0])) > 1e-3
    assert training.change(config.model_copy(update={"epochs": 9}))
    assert torch.equal(nn.utils.parameters_to_vector(training.model.trained), last)
    assert not training.change(configured(optimizer="sgd", epochs=9))
    assert torch.equal(nn.utils.parameters_to_vector(training.model.trained), average)


def test_the_stages_of_a_growing_network_go_on_at_the_average(small):
    stages = [{"layers": 1, "epochs": 1}, {"layers": 2}]
    config = configured(optimizer=AVERAGING["schedule-free-sgd"], stages=stages, **{"model.hidden": [12, 10]})
    training = engine.Training.start(config, small, CPU)
    next(training.run(lambda done, total: None, lambda: False))
    average = average_of(training)
    training.enter_stage(1)
    first = training.model.hidden[0].linear.weight
    assert torch.equal(first.flatten(), average[: first.numel()])


@pytest.mark.parametrize(
    ("name", "settings", "theirs"),
    [
        ("shampoo", {"interval": 1, "eps": 0.01}, {"matrix_eps": 0.01}),
        ("soap", {"weight_decay": 0.1, "eps": 1e-3}, {"weight_decay": 0.1, "eps": 1e-3}),
        (
            "soap",
            {"interval": 2, "largest_side": 4, "eps": 1e-3},
            {"precondition_frequency": 2, "max_precondition_dim": 4, "eps": 1e-3},
        ),
    ],
)
def test_a_preconditioner_on_a_network_is_that_of_pytorch_optimizer(name, settings, theirs):
    import pytorch_optimizer as package

    kind = {"shampoo": "Shampoo", "soap": "SOAP"}[name]
    ours, reference = network(), network()
    rule = RULES[name](lr=0.05, **settings)
    reached = walked(ours, optimizers.build(ours.parameters(), rule), steps=30)
    optimizer = getattr(package, kind)(reference.parameters(), lr=0.05, **{"weight_decay": 0.0} | theirs)
    for weight, expected in zip(reached, walked(reference, optimizer, steps=30), strict=True):
        torch.testing.assert_close(weight, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("placement", ["added", "clamped"])
def test_adafactor_of_a_dead_unit_and_an_input_that_is_always_zero_is_that_of_double_precision(placement):
    """The mean square of that row times that of that column is below single precision; their roots are not."""
    rule = RULES["adafactor"](eps_placement=placement)
    gradient = torch.tensor([[0.0, 0.3, -0.2], [0.0, 0.0, 0.0], [0.0, 1e-9, 2e-13]])
    steps = []
    for kind in (torch.float32, torch.float64):
        w = before = torch.full((3, 3), 1e-3, dtype=kind)
        state = rule.init(w)
        for t, scale in enumerate((1.0, 0.5), 1):
            before, (w, state) = w, rule.step(w, scale * gradient.to(kind), t, state)
        steps.append((w - before).double())
    assert torch.isfinite(steps[0]).all()
    torch.testing.assert_close(*steps, rtol=1e-5, atol=1e-9)


def short_training(rule, dataset, activation="relu", batch=32, steps=50):
    """The losses of some steps in single precision with the default settings, and the training."""
    keys = {
        "optimizer": rule,
        "data": {"dataset": dataset, "images": None if dataset == "digits" else 1600, "batch_size": batch},
        "model": {"hidden": [64, 32, 32], "activation": activation, "init": SUITED[activation]},
    }
    config = load(TrainConfig, None, [Override("", key, value) for key, value in keys.items()])
    training = engine.Training.start(config, fetch.load_or_fetch(dataset), CPU)
    return list(training.ramp([1.0] * steps)), training


def finite(losses, training, steps=50):
    states = [training.model.state_dict(), training.optimizer.state_dict()]
    return len(losses) == steps and math.isfinite(losses[-1]) and all_finite(states)


@pytest.mark.parametrize("name", TRAINABLE)
def test_every_rule_stays_finite_where_inputs_are_always_zero(name):
    assert finite(*short_training(name, "digits", steps=10), steps=10)


@pytest.mark.release
@pytest.mark.parametrize("batch", [32, 512])
@pytest.mark.parametrize("activation", SUITED)
@pytest.mark.parametrize("dataset", ["digits", "fashion-mnist", "synthetic"])
@pytest.mark.parametrize("name", TRAINABLE)
def test_every_rule_stays_finite_on_every_small_network(name, dataset, activation, batch):
    assert finite(*short_training(name, dataset, activation, batch))


def batch_of(model, small, weight_decay=0.0, draw=(0, 0, 0)):
    images = as_input(Images.of(small.train_images, small.train_labels).pixels, configured(optimizer="sgd").data)
    labels = torch.from_numpy(small.train_labels.astype("int64"))
    return BatchStep(model, images[:40], labels[:40], draw, configured(optimizer="sgd", weight_decay=weight_decay))


def test_the_diagonal_that_sophia_gets_is_estimated_by_products_with_the_hessian(small):
    """Against the whole Hessian: s*(H*s) entry by entry, whose mean is the diagonal."""
    config = configured(optimizer="sgd", dtype="float64", **{"model.hidden": [2]})
    model = engine.Training.start(config, small, CPU).model.double()
    batch_step = batch_of(model, small, weight_decay=0.5)
    batch_step = replace(batch_step, images=batch_step.images.double())
    vector = nn.utils.parameters_to_vector(model.trained).detach()
    names = {id(parameter): name for name, parameter in model.named_parameters()}

    def loss(vector):
        values = vector.split([parameter.numel() for parameter in model.trained])
        shaped = {names[id(p)]: value.view_as(p) for p, value in zip(model.trained, values, strict=True)}
        logits = torch.func.functional_call(model, shaped, batch_step.images)
        return nn.functional.cross_entropy(logits, batch_step.labels) + 0.25 * vector.square().sum()

    exact = torch.autograd.functional.hessian(loss, vector)
    draws = torch.stack([replace(batch_step, draw=(0, 0, n)).hessian_diagonal(None) for n in range(400)])
    spread = (exact.square().sum(1) - exact.diagonal().square()).sqrt()  # of one draw
    assert ((draws.mean(0) - exact.diagonal()).abs() <= 5 * spread / 20 + 1e-12).all()
    torch.testing.assert_close(draws.std(0), spread, rtol=0.3, atol=1e-9)


def test_sophia_takes_its_step_by_the_estimate_of_its_batch_and_draws_nothing_else(small):
    keys = {"data.shuffle": False, "data.batch_size": 150, "epochs": 1, "weight_decay": 0.1}
    sophia = {"name": "sophia", "lr": 0.01, "gamma": 0.002, "beta2": 0.5}
    training = engine.Training.start(configured(optimizer=sophia, **keys), small, CPU)
    plain = engine.Training.start(configured(optimizer="sgd", **keys), small, CPU)
    model = plain.model
    start = nn.utils.parameters_to_vector(model.trained).detach().clone()
    images = as_input(plain.train.pixels, plain.config.data)
    batch_step = BatchStep(model, images, plain.train.labels, (plain.config.seed, 1, 0), plain.config)
    diagonal = batch_step.hessian_diagonal(None)
    nn.functional.cross_entropy(model(images), plain.train.labels).backward()
    gradient = torch.cat([p.grad.flatten() for p in model.trained]) + 0.1 * start
    ratio = 0.04 * gradient / (0.002 * 0.5 * diagonal).clamp(1e-12)
    epochs(training)
    reached = nn.utils.parameters_to_vector(training.model.trained).detach()
    torch.testing.assert_close(reached, start - 0.01 * ratio.clamp(-1, 1), rtol=0, atol=1e-6)
    assert 0.05 < float((ratio.abs() < 1).double().mean()) < 0.95
    after = torch.get_rng_state()
    epochs(engine.Training.start(plain.config, small, CPU))
    assert torch.equal(torch.get_rng_state(), after)


def test_sophia_needs_no_more_than_training_gives_and_other_rules_go_around_it():
    for around in ("sam", "lookahead"):
        assert configured(optimizer={"name": around, "base": "sophia"}).optimizer.needs[-1] == "diagonal"


def test_lookahead_goes_around_a_rule_for_matrices():
    """With a return to nowhere, after every step and all the way, it is the rule itself."""
    rule = RULES["adafactor"](lr=0.05)
    plain, wrapped = network(), network()
    walked(plain, optimizers.build(plain.parameters(), rule))
    around = RULES["lookahead"](base=rule, sync_period=1, slow_step_size=1.0)
    walked(wrapped, optimizers.build(wrapped.parameters(), around))
    for ours, expected in zip(wrapped.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
