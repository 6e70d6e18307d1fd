"""The epoch loop with everything the schema offers, against plain PyTorch; resume at its boundaries."""

import copy
import functools
import itertools

import pytest
import torch
import yaml
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import Subset
from torchvision.transforms import Normalize

from optilab.config.training import changed_keys
from optilab.data import read as data
from optilab.optimize import RULES
from optilab.optimize.schedules import SCHEDULES
from optilab.train import engine, optimizers
from optilab.train.device import configure
from tests.kit import trainings
from tests.kit.idx import write_idx_dataset
from tests.kit.trainings import CPU, TRAINABLE
from tests.oracles.plain_loop import (
    Adopt,
    BatchNormInForward,
    GradientNorm,
    Standardized,
    generator,
    plain,
    plain_stages,
    ready,
    sgd,
    tensors,
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return data.load("idx", write_idx_dataset(tmp_path_factory.mktemp("idx") / "data", train=150, test=60))


BASE = {
    "optimizer": {"name": "sgd", "lr": 0.1},
    "data.batch_size": 32,
    "data.dataset": "idx",
    "model.hidden": [16, 16],
    "model.activation": "tanh",
    "epochs": 4,
    "threads": 1,
}
configured = functools.partial(trainings.configured, BASE)


def trained(config, dataset, start=None, epochs=None):
    configure(CPU, config.threads, config.dtype)
    training = start or engine.Training.start(config, dataset, CPU)
    steps = training.run(lambda done, total: None, lambda: False)
    for _ in range(epochs if epochs is not None else config.epochs - training.epoch):
        next(steps, None)
    return training


def clip_norm(model):
    nn.utils.clip_grad_norm_(model.parameters(), 0.05)


def clip_value(model):
    nn.utils.clip_grad_value_(model.parameters(), 0.002)


def by_epoch(optimizer, kind, **options):
    """An optimizer whose scheduler is stepped after each epoch of 5 batches."""
    scheduler, steps = kind(optimizer, **options), itertools.count(1)
    optimizer.register_step_post_hook(lambda *_: next(steps) % 5 or scheduler.step())
    return optimizer


def on_plateau(model):
    optimizer = sgd(model)
    optimizer.plateau = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5, threshold=0.05)
    return optimizer


def hidden_with_norm(fan_in):
    return nn.Linear(fan_in, 16, bias=False), nn.BatchNorm1d(16), nn.Tanh()


def normal_weights(model):
    for layer in model[::2]:
        nn.init.normal_(layer.weight, 0, 0.3)
    return model


def ready_with(part):
    return nn.Sequential(nn.Linear(784, 16), part(), nn.Linear(16, 16), part(), nn.Linear(16, 10))


HOLDOUT = {"data__holdout": 40}
DROPOUT = {"model__dropout": 0.3}, {"parts": (nn.Tanh(), nn.Dropout(0.3))}
SPLIT = generator(7)
PLAIN = {
    "nothing": ({}, {}),
    "hold-out": (HOLDOUT, {"holdout": 40}),
    "hold-out of a generator": ({**HOLDOUT, "replay__split_seed": 7}, {"holdout": 40, "split": SPLIT}),
    "shuffle of a generator": ({"replay__shuffle_seed": 7}, {"loading": {"generator": generator(7)}}),
    "two validations": ({"replay__loaders_per_epoch": 2, **HOLDOUT}, {"also_checked": True, "holdout": 40}),
    "the first images": ({"data__images": 100}, {"used": lambda images: Subset(images, range(100))}),
    "not shuffled": ({"data__shuffle": False, **DROPOUT[0]}, {"loading": {"shuffle": False}, **DROPOUT[1]}),
    "seeded again": ({"replay__training_seed": 3}, {"train_seed": 3}),
    "float64": ({"dtype": "float64"}, {"dtype": torch.float64}),
    "float64, with whatever draws or keeps numbers": (
        {
            "dtype": "float64",
            "data__normalize__mean": 0.5,
            "data__normalize__std": 0.3,
            "optimizer": "nadam",
            "model__activation": "prelu",
            "model__bias": "output",
            "model__norm": "batch",
            "model__dropout": 0.3,
        },
        {
            "dtype": torch.float64,
            "pixels": {"transform": Normalize([0.5], [0.3])},
            "optimizer_of": lambda model: torch.optim.NAdam(model.parameters()),
            "network": lambda parts: nn.Sequential(
                *(nn.Linear(784, 16, False), nn.BatchNorm1d(16), nn.PReLU(), nn.Dropout(0.3)),
                *(nn.Linear(16, 16, False), nn.BatchNorm1d(16), nn.PReLU(), nn.Dropout(0.3)),
                nn.Linear(16, 10),
            ),
        },
    ),
    "normalised pixels": (
        {"data__normalize__mean": 0.2860, "data__normalize__std": 0.3530},
        {"pixels": {"transform": Normalize([0.2860], [0.3530])}},
    ),
    "pixels as they are": ({"data__normalize__scale": 1}, {"pixels": {"scale": 1}}),
    "last batch dropped": ({"data__drop_last": True}, {"loading": {"drop_last": True}}),
    "validation in other batches": ({"data__validation_batch_size": 50}, {"checking": 50}),
    "no validation": ({"replay__loaders_per_epoch": 0}, {"checking_draws": False}),
    "batch norm built inside forward": (
        {"model__norm": {"name": "batch", "affine": False, "statistics": "batch"}},
        {"parts": (BatchNormInForward(), nn.Tanh())},
    ),
    "loss per image": ({"replay__loss_mean": "images"}, {"by_image": True}),
    **{
        f"activation {text}": ({"model__activation": yaml.safe_load(text)}, {"parts": (part,)})
        for text, part in {
            "{name: leaky-relu, slope: 0.2}": nn.LeakyReLU(0.2),
            "{name: elu, alpha: 0.5}": nn.ELU(0.5),
            "{name: softplus, beta: 2}": nn.Softplus(2),
            "{name: gelu, approximate: tanh}": nn.GELU("tanh"),
        }.items()
    },
    "a trained slope": (
        {"model__activation": {"name": "prelu", "slope": 0.1}},
        {"network": lambda parts: ready_with(lambda: nn.PReLU(init=0.1))},
    ),
    "no bias": ({"model__bias": "none"}, {"network": lambda parts: ready(parts, False, False)}),
    "hidden layers without bias": (
        {"model__bias": "output", "model__norm": "batch"},
        {"network": lambda parts: nn.Sequential(*hidden_with_norm(784), *hidden_with_norm(16), nn.Linear(16, 10))},
    ),
    "no bias in the output layer": (
        {"model__bias": "hidden", "model__init": {"name": "normal", "std": 0.3}, "model__bias_init": "default"},
        {"network": lambda parts: normal_weights(ready(parts, output=False))},
    ),
    "dropout": DROPOUT,
    "dropout of pixels": (
        {"model__input_dropout": 0.2, **DROPOUT[0]},
        {"network": lambda parts: nn.Sequential(nn.Dropout(0.2), *ready(parts)), **DROPOUT[1]},
    ),
    "weight decay": ({"weight_decay": 0.05}, {"optimizer_of": lambda model: sgd(model, weight_decay=0.05)}),
    "clipped norm": ({"clip_norm": 0.05}, {"on_gradient": clip_norm}),
    "clipped value": ({"clip_value": 0.002}, {"on_gradient": clip_value}),
    "standardised": ({"model__norm": "standardize"}, {"parts": (Standardized(), nn.Tanh())}),
    "gradient norm": ({"model__gradient_norm": [1, 2]}, {"parts": (nn.Tanh(), GradientNorm())}),
    "step schedule by epoch": (
        {"schedule": {"name": "step", "every": 2, "gamma": 0.5}},
        {"rate": lambda epoch, step: 0.1 * 0.5 ** (epoch // 2)},
    ),
    "milestones by epoch": (
        {"schedule": {"name": "multi-step", "milestones": [1, 3], "gamma": 0.5}},
        {
            "optimizer_of": lambda model: by_epoch(
                sgd(model), lr_scheduler.MultiStepLR, milestones=[1, 3], gamma=0.5
            )
        },
    ),
    "lowered on a plateau": (
        {"plateau": {"patience": 0, "factor": 0.5, "threshold": 0.05}},
        {
            "optimizer_of": on_plateau,
            "after_epoch": lambda optimizer, row: optimizer.plateau.step(row["val_loss"]),
        },
    ),
    "warm-up by batch": (
        {"schedule": {"name": "warm-up", "steps": 8, "start": 0.0}, "schedule_by": "batch"},
        {"rate": lambda epoch, step: 0.1 * min(step / 8, 1.0)},
    ),
}


def same_rows(rows, expected):
    """Every number of the plain loop is that of the training, whose rows may have further metrics."""
    return all(numbers.items() <= row.items() for row, numbers in zip(rows, expected, strict=True))


def same_weights(ours, theirs):
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    return all(torch.equal(weight, other) for weight, other in pairs)


@pytest.mark.parametrize("case", PLAIN)
def test_every_option_is_what_plain_pytorch_does_to_the_bit(case, small):
    keys, options = PLAIN[case]
    training = trained(configured(**keys), small)
    rows, model = plain(small, 4, **({"optimizer_of": sgd, "parts": (nn.Tanh(),)} | options))
    assert same_rows(training.rows, rows)
    assert same_weights(training.model, model)
    assert case == "nothing" or rows != plain(small, 4, sgd, parts=(nn.Tanh(),))[0], "the option changed nothing"


torchs = torch.optim
OPTIMIZERS = {
    "momentum": ({"name": "momentum", "lr": 0.1}, torchs.SGD, {"lr": 0.1, "momentum": 0.9}),
    "nesterov": ({"name": "nesterov", "lr": 0.1}, torchs.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "rmsprop": ({"name": "rmsprop", "decay": 0.99, "eps_placement": "outside"}, torchs.RMSprop, {"lr": 0.001}),
    "adagrad": ("adagrad", torchs.Adagrad, {}),
    "adadelta": ("adadelta", torchs.Adadelta, {}),
    "adam": ("adam", torchs.Adam, {}),
    "amsgrad": ("amsgrad", torchs.Adam, {"amsgrad": True}),
    "adamw": ("adamw", torchs.AdamW, {}),
    "adamax": ({"name": "adamax", "lr": 0.002}, torchs.Adamax, {}),
    "nadam": ("nadam", torchs.NAdam, {}),
    "radam": ("radam", torchs.RAdam, {}),
    "adopt": ({"name": "adopt", "lr": 0.001}, Adopt, {"lr": 0.001}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_torchs_with_torchs_defaults_to_the_bit(name, small):
    """Rounding matters: a fused kernel differs in the last bit, and Adam makes a percent of it in two epochs."""
    rule, optimizer, options = OPTIMIZERS[name]
    training = trained(configured(optimizer=rule), small)
    rows, model = plain(small, 4, lambda model: optimizer(model.parameters(), **options), parts=(nn.Tanh(),))
    assert same_rows(training.rows, rows)
    assert same_weights(training.model, model)


def test_the_test_set_is_kept_for_the_end_and_costs_no_draw(small):
    config = configured(data__holdout=40)
    training = trained(config, small)
    state = torch.get_rng_state()
    tested = training.tested()
    assert torch.equal(state, torch.get_rng_state())
    _, model = plain(small, 4, sgd, holdout=40, parts=(nn.Tanh(),))
    model.eval()
    pixels, labels = tensors(small.test_images, small.test_labels).tensors
    assert tested["test_acc"] == int((model(pixels).argmax(1) == labels).sum()) / 60
    assert trained(configured(), small).tested() == {}


# --- optimizers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", [name for name in TRAINABLE if name not in ("sam", "sophia")])
def test_torchs_own_optimizer_and_the_rule_take_the_same_path(name, weight_decay):
    """In float64; where torch has no such rule, both are the rule, and the test says that it trains at all."""
    rule = RULES[name]()
    if name == "rmsprop":
        rule = RULES[name](eps_placement="outside")
    torch.manual_seed(0)
    paths = []
    for build in (optimizers.build, optimizers.RuleOptimizer):
        model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
        model.load_state_dict(paths[0][0] if paths else model.state_dict())
        start = copy.deepcopy(model.state_dict())
        optimizer = build(model.parameters(), rule, weight_decay)
        x, y = torch.linspace(-1, 1, 40).double().view(10, 4), torch.arange(10) % 3
        for _ in range(30):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        paths.append((start, torch.cat([p.detach().flatten() for p in model.parameters()])))
    rtol, atol = (
        (1e-6, 1e-9) if name == "nadam" else (1e-9, 1e-12)
    )  # torch keeps one of nadam's numbers as float32
    torch.testing.assert_close(paths[0][1], paths[1][1], rtol=rtol, atol=atol)
    moved = paths[0][1] - torch.cat([value.flatten() for value in paths[0][0].values()])
    assert float(moved.abs().max()) > 0


# --- stages, early stopping, resume ----------------------------------------------------------------------

STAGED = {"model__hidden": [16, 16, 16], "epochs": 5}
BLOCKS = [{"layers": 1, "epochs": 2}, {"layers": 3}]
SAME_DEPTH = [{"layers": 1, "epochs": 2}, {"layers": 2, "epochs": 1}, {"layers": 2}]
AT_THE_END = {"stages": SAME_DEPTH, "epochs": 5, "replay__loaders_per_epoch": [0, 0, 1]}


@pytest.mark.parametrize(
    ("keys", "stages"),
    [
        ({**STAGED, "stages": BLOCKS}, [(1, 2, True), (3, 3, True)]),
        (AT_THE_END, [(1, 2, False), (2, 1, False), (2, 2, True)]),
    ],
    ids=["two layers added as a block", "validation in the last stage"],
)
def test_stages_are_those_of_plain_pytorch_to_the_bit(keys, stages, small):
    training = trained(configured(**keys), small)
    losses, model = plain_stages(small, stages)
    assert [row["train_loss"] for row in training.rows] == losses
    assert same_weights(training.model, model)


def test_early_stopping_counts_epochs_without_a_better_value():
    config = configured(early_stopping={"patience": 2, "min_delta": 0.01})
    losses = [1.0, 0.9, 0.895, 0.5, 0.6, 0.495, 0.4]
    rows = [{"val_loss": loss} for loss in losses]
    stopped = [engine.stalled(rows[:n], config.early_stopping) for n in range(len(rows))]
    assert stopped == [False] * 6 + [True]
    training = engine.Training(config, CPU, None, None, None, None, None, rows=rows[:5])
    assert training.finished  # its 4 epochs are done
    accuracy = configured(early_stopping={"patience": 1, "monitor": "val_acc"}).early_stopping
    assert engine.stalled([{"val_acc": 0.5}, {"val_acc": 0.5}], accuracy)
    assert not engine.stalled([{"val_acc": 0.5}, {"val_acc": 0.6}], accuracy)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("monitor", ["val_loss", "val_acc"])
@pytest.mark.parametrize("cooldown", [0, 3])
def test_a_plateau_lowers_the_rate_when_torch_does(monitor, relative, cooldown):
    keys = {"patience": 2, "factor": 0.5, "threshold": 0.02, "cooldown": cooldown}
    plateau = configured(plateau={**keys, "monitor": monitor, "relative": relative, "lowest": 0.05}).plateau
    optimizer = sgd(nn.Linear(1, 1))
    mode, by = ("max" if monitor == "val_acc" else "min"), ("rel" if relative else "abs")
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, mode, threshold_mode=by, min_lr=0.005, **keys)
    values = torch.rand(60, generator=generator(1)).add(0.5).tolist()
    seen = []
    for value in values:
        scheduler.step(value)
        seen.append(optimizer.param_groups[0]["lr"])
    rows = [{monitor: value} for value in values]
    ours = [0.1 * engine.plateau_factor(rows[: n + 1], plateau) for n in range(len(rows))]
    assert ours == pytest.approx(seen, rel=1e-12)
    assert len(set(seen)) > 3


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_epochs_may_grow_unless_a_schedule_ends_with_them(schedule):
    changed = changed_keys(configured(schedule=schedule), configured(schedule=schedule, epochs=9))
    assert changed == ([] if schedule == "constant" else ["epochs: 4 -> 9"])
