"""Plain PyTorch trainings whose fault is in the last layer, the loss, the targets, the labels or the inputs.

A seed draws the data, the network and the optimizer of each. Its twin is the same training without the fault.
Skill is the explained fraction of the variance, or the accuracy above that of the most frequent class as a fraction of
what is possible. Both are measured on validation data with the true targets.
`--list HALF` trains the cases of one half and prints the skills; `--diagnose HALF` trains them under `optilab.watch`.
The held-out half has other seeds, widths, activations, optimizers, sizes and batches.
"""

import math
import random
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import optilab
from docs.measured import figures

VALIDATION = 300
MIN_SKILL = 0.55
"""A training that learned less than this is not sound."""
MIN_LOSS_OF_SKILL = 0.1
"""A fault that costs less than this is not counted."""
MAX_ATTEMPTS = 60

HALVES: dict[str, dict[str, Any]] = {
    "design": {
        "widths": (16, 32, 64),
        "activations": (nn.ReLU, nn.Tanh),
        "optimizers": ("SGD", "momentum", "Adam"),
        "sizes": (60, 150, 400, 1000),
        "batches": (8, 32, 64),
    },
    "held-out": {
        "widths": (12, 24, 48, 96),
        "activations": (nn.ReLU, nn.GELU, nn.LeakyReLU),
        "optimizers": ("SGD", "momentum", "Adam", "AdamW", "RMSprop"),
        "sizes": (80, 250, 700, 2000),
        "batches": (10, 20, 50, 100),
    },
}

FAULTS = {
    "bounded output": "A sigmoid or tanh ends the network, but targets lie outside of its range. Remove it.",
    "positive output": "A ReLU ends the network, but many targets are negative. Remove it.",
    "softmax of values": "A softmax ends a network that predicts several free values. Remove it.",
    "softmax of one output": "A softmax over a single output is always 1. Use a sigmoid, or nothing for values.",
    "softmax over the batch": "The softmax runs over the examples of a batch (dim=0). Write dim=1.",
    "sigmoid before cross entropy": "A sigmoid of each class comes before the cross entropy of logits. Remove it.",
    "softmax before cross entropy": "A softmax comes before the cross entropy, which applies it again. Remove it.",
    "nll of probabilities": "nll_loss gets probabilities, and it expects their logarithms. Use log_softmax.",
    "nll of logits": "nll_loss gets logits, which it can lower forever. Use cross_entropy.",
    "bce of clamped logits": "Logits are clamped to 0..1 and used as probabilities. Apply a sigmoid instead.",
    "sigmoid twice": "BCEWithLogits gets the output of a sigmoid and applies it again. Remove the sigmoid.",
    "classes as values": "One output is fitted to the number of the class. Use an output per class and cross entropy.",
    "dead class outputs": "A ReLU on one-hot scores holds the outputs of some classes at 0. Remove the ReLU.",
    "unscaled targets": "Targets of 1e4 or more are fitted at a usual learning rate. Standardize the targets.",
    "large input column": "One input column is 1e4 to 1e6 times larger than the others. Standardize the inputs.",
    "unscaled images": "Pixels are 0 to 255. Divide them by 255.",
    "constant inputs": "Inputs are the same in all rows, or the columns that matter are. Mend what loads them.",
    "labels off by one": "Labels 1..C are clipped or wrapped into 0..C-1. Subtract 1.",
    "shuffled labels": "Targets are shuffled, and inputs are not. Shuffle both with one permutation.",
    "one label": "All targets are the same. Mend what loads them.",
    "rounded labels": "Fractions become integers, nearly all of them 0. Do not divide or round the targets.",
    "wrong column": "The targets are another column of the table. Select the right one.",
    "broadcast targets": "Outputs (n, 1) are compared with targets (n,), each with each. Give both one shape.",
    "no activation": "Only linear layers follow each other, and the function is not linear. Add activations.",
    "zero layers": "The last two layers start at 0, and their weights get no gradient. Use the usual initialization.",
    "frozen bias": "The bias of the output is 0 and does not train, but targets are far from 0. Let it train.",
    "dead output": "A ReLU ends the network, and its input starts below 0 everywhere. Start the bias at the mean.",
    "too few steps": "Nothing is wrong, but training stops early. Train for more epochs.",
    "learning rate too high": "The learning rate is 100 times too high. Lower it.",
    "learning rate too low": "The learning rate is 1,000 times too low. Raise it.",
}

VALUES = ("line", "smooth", "several", "counts", "ratings", "prices", "tiny", "next")
BINARY = ("balanced", "rare")
CLASSES = ("table", "images", "sequences")
TABLES = ("line", "smooth", "several", "counts", "ratings", "prices", "tiny", "balanced", "rare", "table")
SCALED = ("line", "smooth", "several", "prices", "next")


@dataclass(frozen=True)
class Training:
    """What a loop needs. `targets` says whether it passes them to the watch, `reports` what it says of an epoch."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Callable[[], Iterator[tuple[Tensor, Tensor]]]
    """The batches (x, y) of one epoch."""
    loss: Callable[[Tensor, Tensor], Tensor]
    epochs: int
    validation: tuple[Tensor, Tensor]
    accuracy: Callable[[Tensor, Tensor], float] | None
    """The accuracy of outputs as the loop reports it; None for values."""
    skill: Callable[[], float]
    targets: bool
    reports: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    name: str
    fault: str
    """A key of FAULTS, or nothing for a sound training."""
    task: str
    build: Callable[[int], Training]


@dataclass(frozen=True)
class Drawn:
    case: Case
    seed: int
    skill: float
    twin: float
    """The skill of the same training without the fault; its own skill for a sound one."""
    seconds: float


# --- data: inputs of unit scale and raw targets ------------------------------------------------------------------


def linear_function(x: Tensor) -> Tensor:
    """A random linear function (n,) of the columns, of variance about 1."""
    weights = torch.randn(x.shape[1]) + 0.3
    return x @ (weights / weights.norm())


def curved_function(x: Tensor) -> Tensor:
    """A function (n,) of the columns that no line fits, of variance about 1."""
    return 1.4 * (1.7 * x[:, 0]).cos() + (0.5 * (x[:, 1] ** 2 - 1) if x.shape[1] > 1 else 0)


def value_data(task: str, n: int, draw: random.Random) -> tuple[Tensor, Tensor]:
    """Inputs and raw targets (n, values)."""
    if task == "next":
        start, pace = 6.3 * torch.rand(n, 1), 0.3 + 0.6 * torch.rand(n, 1)
        series = (start + pace * torch.arange(13)).sin() + 0.05 * torch.randn(n, 13)
        return series[:, :12, None], series[:, 12:]
    x = torch.randn(n, draw.choice((1, 2) if task == "smooth" else (2, 4, 6)))
    noise = 0.15 * torch.randn(n)
    bent = task == "smooth" or (task in ("ratings", "prices", "tiny") and draw.random() < 0.5)
    y = (curved_function(x) if bent else linear_function(x)) + noise
    if task == "several":
        functions = [(linear_function, curved_function)[value % 2] for value in range(draw.choice((3, 4)))]
        y = torch.stack([function(x) + noise for function in functions], 1)
    elif task == "counts":
        y = torch.poisson((draw.uniform(1.5, 3) + 0.6 * linear_function(x)).exp())
    elif task == "ratings":
        y = (3 + 1.3 * y).round().clamp(1, 5)
    elif task == "prices":
        y = 10 ** (5 + 0.35 * y).clamp(4, 6)
    elif task == "tiny":
        y = 1e-4 * (y + draw.uniform(0, 4))
    return x, y.reshape(n, -1)


def class_data(task: str, n: int, draw: random.Random) -> tuple[Tensor, Tensor]:
    """Inputs and class numbers (n,)."""
    if task in BINARY:
        x = torch.randn(n, draw.choice((2, 4, 6)))
        score = (x[:, 0] * x[:, 1] * 2 if draw.random() < 0.5 else linear_function(x)) + 0.05 * torch.randn(n)
        return x, (score > score.quantile(0.5 if task == "balanced" else draw.uniform(0.8, 0.93))).long()
    classes = draw.randint(3, 8) if task == "table" else draw.randint(3, 5)
    y = torch.randint(0, classes, (n,))
    if task == "table":
        clusters, columns = draw.choice((1, 2, 3)), draw.choice((2, 3, 5))
        centers = 2.2 * torch.randn(classes, clusters, columns)
        return centers[y, torch.randint(0, clusters, (n,))] + 0.4 * torch.randn(n, columns), y
    if task == "sequences":
        phase, t = 6.3 * torch.rand(n, 1), torch.arange(12)
        wave = (0.3 + 0.5 * y[:, None]) * t + phase
        return torch.stack([wave.sin(), wave.cos()], 2) + 0.2 * torch.randn(n, 12, 2), y
    grid = torch.arange(8) - 3.5
    angle, shift = (y * torch.pi / classes)[:, None, None], torch.randn(n, 1, 1)
    strokes = torch.exp(-((grid[:, None] * angle.sin() - grid * angle.cos() + shift) ** 2) / 1.5)
    return (strokes + 0.2 * torch.randn(n, 8, 8)).clamp(0, 1).unsqueeze(1), y


# --- networks ----------------------------------------------------------------------------------------------------


class LastState(nn.Module):
    """The last state of an LSTM or a GRU."""

    def __init__(self, layer: type[nn.LSTM] | type[nn.GRU], inputs: int, width: int) -> None:
        super().__init__()
        self.layer = layer(inputs, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0][:, -1]


class Through(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def hidden_layers(
    task: str, x: Tensor, settings: dict[str, Any], draw: random.Random
) -> tuple[list[nn.Module], int]:
    """The layers before the last one, and the number of their outputs."""
    width, activation = draw.choice(settings["widths"]), draw.choice(settings["activations"])
    if task == "sequences" or (task == "next" and draw.random() < 0.5):
        return [LastState(draw.choice((nn.LSTM, nn.GRU)), x.shape[2], width)], width
    if task == "images" and draw.random() < 0.6:
        channels = width // 4
        first = [nn.Conv2d(1, channels, 3, padding=1), activation(), nn.MaxPool2d(2)]
        second = [nn.Conv2d(channels, 2 * channels, 3, padding=1), activation(), nn.Flatten()]
        return [*first, *second], 2 * channels * 16
    inputs = x[0].numel()
    layers: list[nn.Module] = [nn.Flatten()] if x.dim() > 2 else []
    depth = (
        draw.choice((0, 1) if task == "line" else (1, 2, 3)) if settings["depth"] is None else settings["depth"]
    )
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), activation()]
        inputs = width
    return layers, inputs


# --- a sound training --------------------------------------------------------------------------------------------


@dataclass
class Parts:
    """The parts of a training before its model is assembled; a fault changes some of them."""

    task: str
    x: Tensor
    y: Tensor
    """Targets as the loss gets them."""
    raw: Tensor
    """The same as they stand in the table."""
    x_validation: Tensor
    y_validation: Tensor
    truth: Tensor
    hidden: list[nn.Module]
    last: nn.Linear
    loss: Callable[[Tensor, Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]
    """Values, or class numbers, from outputs."""
    end: list[nn.Module] = field(default_factory=list)
    """The layers after the last linear one."""
    optimizer: str = "SGD"
    rate: float = 0.0
    offset: int = 0
    """How much larger the labels are in training than in the table."""
    eps: float = 1e-8
    steps: int = 0
    batch: int = 0

    def load(self, change: Callable[[Tensor], Tensor], draw: random.Random) -> None:
        """Change the targets; in half of the cases those of the loop's validation data, too."""
        self.y = change(self.y)
        if draw.random() < 0.5:
            self.y_validation = change(self.y_validation)

    def precede_loss(self, function: Callable[[Tensor], Tensor], draw: random.Random) -> None:
        """Apply the function at the end of the model, or in the loop to what the model returns."""
        if draw.random() < 0.5:
            self.end = [*self.end, Through(function)]
        else:
            loss, decode = self.loss, self.decode
            self.loss = lambda out, y: loss(function(out), y)
            self.decode = lambda out: decode(function(out))


FORMS = {
    "values": ("standardized", "standardized", "divided", "sigmoid", "positive", "scaled output"),
    "counts": ("standardized", "divided", "positive", "log rate", "raw"),
    "ratings": ("standardized", "raw", "sigmoid", "positive"),
    "prices": ("standardized", "divided", "logarithm", "scaled output", "sigmoid"),
    "binary": ("logits", "sigmoid", "two logits"),
    "classes": ("logits", "log softmax", "softmax", "one-hot squares", "one-hot logits"),
}
"""How a sound network ends, and what its targets are."""


def finish_values(parts: Parts, form: str, draw: random.Random) -> None:
    y, both = parts.raw, torch.cat([parts.raw, parts.truth])
    center, spread, low, high = y.mean(0), y.std(0) + 1e-12, both.amin(0), both.amax(0)
    parts.loss = draw.choice((F.mse_loss, F.mse_loss, F.smooth_l1_loss, F.l1_loss))
    shift, factor = center, spread
    if form == "divided":
        shift, factor = torch.zeros(()), 10 ** torch.log10(y.abs().mean()).round()
    elif form == "raw":
        shift, factor = torch.zeros(()), torch.ones(())
    elif form == "sigmoid":
        shift, factor = low - 0.1 * (high - low), 1.2 * (high - low)
        parts.end, parts.loss, parts.rate = [nn.Sigmoid()], F.mse_loss, 4 * parts.rate
    elif form == "positive":
        shift = torch.zeros(()) if parts.task in ("counts", "ratings") else low
        parts.end = [draw.choice((nn.Softplus, nn.ReLU))()]
        nn.init.constant_(parts.last.bias, float(((center - shift) / factor).mean()))
    elif form == "scaled output":
        parts.end, parts.loss = [Through(lambda out: out * spread + center)], F.mse_loss
        parts.eps, shift, factor = 1e-8 * float(spread.mean()) ** 2, torch.zeros(()), torch.ones(())
        parts.rate /= float(spread.mean()) ** 2 if parts.optimizer in ("SGD", "momentum") else 1
    elif form == "logarithm":
        parts.y, parts.y_validation = y.log10() - 5, parts.truth.log10() - 5
        parts.decode = lambda out: 10 ** (out + 5)
        return
    elif form == "log rate":
        parts.y, parts.y_validation, parts.loss = y, parts.truth, F.poisson_nll_loss
        parts.decode = torch.exp
        parts.rate /= float(y.mean()) if parts.optimizer in ("SGD", "momentum") else 1
        return
    parts.y, parts.y_validation = (y - shift) / factor, (parts.truth - shift) / factor
    parts.decode = lambda out: out * factor + shift


def finish_classes(parts: Parts, form: str, classes: int) -> None:
    parts.y, parts.y_validation = parts.raw, parts.truth
    parts.decode = lambda out: out.argmax(1)
    if classes == 2 and form != "two logits":
        parts.y, parts.y_validation = (y.float().unsqueeze(1) for y in (parts.raw, parts.truth))
        parts.loss, parts.decode = F.binary_cross_entropy_with_logits, lambda out: (out > 0).long().squeeze(1)
        if form == "sigmoid":
            parts.end, parts.loss = [nn.Sigmoid()], F.binary_cross_entropy
            parts.decode = lambda out: (out > 0.5).long().squeeze(1)
    elif form == "log softmax":
        parts.end, parts.loss = [nn.LogSoftmax(dim=1)], F.nll_loss
    elif form == "softmax":
        parts.end, parts.loss = [nn.Softmax(dim=1)], lambda out, y: F.nll_loss((out + 1e-8).log(), y)
    elif form == "one-hot squares":
        parts.loss, parts.rate = lambda out, y: F.mse_loss(out, F.one_hot(y, classes).float()), 2 * parts.rate
    elif form == "one-hot logits":
        parts.loss = lambda out, y: F.binary_cross_entropy_with_logits(out, F.one_hot(y, classes).float())
    else:
        parts.loss = F.cross_entropy


def kind(task: str) -> str:
    """The key of FORMS."""
    if task in BINARY:
        return "binary"
    return "classes" if task in CLASSES else task if task in FORMS else "values"


RATES = {"SGD": 0.1, "momentum": 0.02, "Adam": 0.003, "AdamW": 0.003, "RMSprop": 0.001}


def sound_parts(task: str, half: str, needs: dict[str, Any], draw: random.Random) -> Parts:
    """A training without a fault; `needs` are settings that a fault asks for."""
    settings = {**HALVES[half], "depth": None, "min_steps": 400, "max_steps": 1600, "scale": (-4, 6), **needs}
    n, classes = draw.choice(settings["sizes"]), 0
    if task in VALUES:
        x, raw = value_data(task, n + VALIDATION, draw)
        if task in ("line", "smooth", "several", "next"):
            raw = (raw + draw.uniform(0, 4)) * 10 ** draw.uniform(*settings["scale"])
        outputs = raw.shape[1]
    else:
        x, raw = class_data(task, n + VALIDATION, draw)
        classes = int(raw.max()) + 1
    if task == "images" and draw.random() < 0.5:
        x = (x - x[:n].mean()) / x[:n].std()
    normalized = x.dim() == 2 and draw.random() < 0.12
    if normalized:  # as a table has them: the first layer standardizes them
        x = (x + torch.randn(x.shape[1])) * 10 ** torch.empty(x.shape[1]).uniform_(-1, 6)
    elif x.dim() == 2:
        x = (x - x[:n].mean(0)) / x[:n].std(0)
    if x.dim() == 2 and draw.random() < 0.1:  # a constant column, which is harmless
        x = torch.cat([x, torch.ones(len(x), 1)], 1)
    form = draw.choice(needs.get("form") or FORMS[kind(task)])
    if classes:
        outputs = 1 if classes == 2 and form != "two logits" else classes
    hidden, width = hidden_layers(task, x, settings, draw)
    if normalized:
        hidden = [nn.BatchNorm1d(x.shape[1]), *hidden]
    recurrent = isinstance(hidden[0], LastState) if hidden else False
    optimizer = draw.choice(tuple(name for name in settings["optimizers"] if not (recurrent and name == "SGD")))
    batch = draw.choice([size for size in settings["batches"] if size <= n // 4])
    steps = draw.randint(settings["min_steps"], settings["max_steps"])
    parts = Parts(
        task=task,
        x=x[:n],
        y=raw[:n],
        raw=raw[:n],
        x_validation=x[n:],
        y_validation=raw[n:],
        truth=raw[n:],
        hidden=hidden,
        last=nn.Linear(width, outputs),
        loss=F.mse_loss,
        decode=lambda out: out,
        optimizer=optimizer,
        rate=RATES[optimizer] * 2 ** draw.uniform(-1, 1) * (3 if recurrent else 1),
        steps=min(steps, 450) if recurrent or isinstance(next(iter(hidden), None), nn.Conv2d) else steps,
        batch=batch,
    )
    if classes:
        finish_classes(parts, form, classes)
    else:
        finish_values(parts, form, draw)
    if draw.random() < 0.15 and form not in ("positive", "log rate") and hidden:
        nn.init.zeros_(parts.last.weight)  # harmless: the layers before it are not 0
    return parts


# --- faults ------------------------------------------------------------------------------------------------------


def bounded_output(parts: Parts, draw: random.Random) -> None:
    parts.end = [draw.choice((nn.Sigmoid, nn.Tanh))()]


def end_in(layer: Callable[[], nn.Module], parts: Parts, draw: random.Random) -> None:
    parts.end = [layer()]


def softmax_over_the_batch(parts: Parts, draw: random.Random) -> None:
    if parts.loss is F.cross_entropy:
        parts.precede_loss(partial(torch.softmax, dim=0), draw)
    else:
        parts.end = [(nn.LogSoftmax if parts.loss is F.nll_loss else nn.Softmax)(dim=0)]


def before_loss(function: Callable[[Tensor], Tensor], parts: Parts, draw: random.Random) -> None:
    parts.precede_loss(function, draw)


def nll_of_logits(parts: Parts, draw: random.Random) -> None:
    parts.end = []


def bce_of_clamped_logits(parts: Parts, draw: random.Random) -> None:
    parts.end = []
    parts.precede_loss(lambda out: out.clamp(1e-6, 1 - 1e-6), draw)


def sigmoid_twice(parts: Parts, draw: random.Random) -> None:
    parts.end = [nn.Sigmoid()]
    if draw.random() < 0.5:  # otherwise the loop applies a sigmoid and asks for more than 0.5, which is always so
        parts.decode = lambda out: (out > 0.5).long().squeeze(1)


def classes_as_values(parts: Parts, draw: random.Random) -> None:
    top = int(parts.raw.max())
    parts.last = nn.Linear(parts.last.in_features, 1)
    parts.loss = lambda out, y: F.mse_loss(out.squeeze(1), y.float())
    parts.decode = lambda out: out.squeeze(1).round().clamp(0, top).long()


def dead_class_outputs(parts: Parts, draw: random.Random) -> None:
    outputs = parts.last.out_features
    dead = draw.sample(range(outputs), draw.randint(1, outputs - 1))
    with torch.no_grad():
        parts.last.bias[dead] -= 5
    parts.end = [nn.ReLU()]


def unscaled_targets(parts: Parts, draw: random.Random) -> None:
    parts.y, parts.y_validation, parts.decode = parts.raw, parts.truth, lambda out: out


def large_input_column(parts: Parts, draw: random.Random) -> None:
    column, size, shift = draw.randrange(parts.x.shape[1]), 10 ** draw.uniform(4, 6), draw.choice((0, 1, 5))
    for x in (parts.x, parts.x_validation):
        x[:, column] = (x[:, column] + shift) * size


def unscaled_images(parts: Parts, draw: random.Random) -> None:
    low, high = parts.x.amin(), parts.x.amax()
    parts.x, parts.x_validation = (255 * (x - low) / (high - low) for x in (parts.x, parts.x_validation))


def constant_inputs(parts: Parts, draw: random.Random) -> None:
    if parts.x.dim() == 2 and draw.random() < 0.5:
        for x in (parts.x, parts.x_validation):
            x[:, : (x.shape[1] + 1) // 2] = 0.0
        return
    first = parts.x[:1].clone()
    parts.x = first.expand_as(parts.x).clone()
    if draw.random() < 0.5:
        parts.x_validation = first.expand_as(parts.x_validation).clone()


def labels_off_by_one(parts: Parts, draw: random.Random) -> None:
    classes = int(parts.raw.max()) + 1
    if draw.random() < 0.5:  # wrapped in training, and right in validation
        parts.y = (parts.y + 1) % classes
    else:  # the table has 1..C, and its last label is clipped
        parts.offset = 1
        parts.y, parts.y_validation = ((y + 1).clamp(max=classes - 1) for y in (parts.y, parts.y_validation))


def shuffled_labels(parts: Parts, draw: random.Random) -> None:
    parts.load(lambda y: y[torch.randperm(len(y))], draw)


def one_label(parts: Parts, draw: random.Random) -> None:
    label = parts.y[draw.randrange(len(parts.y))].clone()
    parts.load(lambda y: label.expand_as(y).clone(), draw)


def rounded_labels(parts: Parts, draw: random.Random) -> None:
    if parts.task in CLASSES:
        divisor = int(parts.raw.max()) + draw.choice((0, 1))
        parts.load(lambda y: (y / divisor).long(), draw)
    elif parts.task in BINARY:
        parts.load(lambda y: (0.9 * y + 0.05).floor(), draw)  # smoothed labels
    elif parts.task == "ratings":
        parts.load(lambda y: (y / 5).floor(), draw)
        parts.decode = lambda out: 5 * out
    else:
        parts.y, parts.y_validation, parts.decode = parts.raw.round(), parts.truth.round(), lambda out: out


def wrong_column(parts: Parts, draw: random.Random) -> None:
    if parts.task == "several" and draw.random() < 0.5:
        parts.y = parts.y.roll(1, dims=1)
    elif parts.task in VALUES and draw.random() < 0.5:  # the number of the row
        parts.load(lambda y: torch.linspace(-1.7, 1.7, len(y))[:, None] * y.std(0) + y.mean(0), draw)
    elif parts.task in VALUES:
        parts.load(lambda y: torch.randn_like(y) * y.std(0) + y.mean(0), draw)
    elif parts.y.is_floating_point():
        parts.load(lambda y: (torch.rand_like(y) < y.mean()).float(), draw)
    else:
        parts.load(lambda y: torch.randint_like(y, int(y.max()) + 1), draw)


def broadcast_targets(parts: Parts, draw: random.Random) -> None:
    parts.y, parts.y_validation = parts.y.squeeze(1), parts.y_validation.squeeze(1)


def no_activation(parts: Parts, draw: random.Random) -> None:
    parts.hidden = [layer for layer in parts.hidden if isinstance(layer, nn.Linear | nn.Flatten | nn.BatchNorm1d)]


def zero_layers(parts: Parts, draw: random.Random) -> None:
    before = [layer for layer in parts.hidden if isinstance(layer, nn.Linear | nn.Conv2d | LastState)][-1]
    for parameter in (*before.parameters(), *parts.last.parameters()):
        nn.init.zeros_(parameter)


def frozen_bias(parts: Parts, draw: random.Random) -> None:
    nn.init.zeros_(parts.last.bias).requires_grad_(False)


def dead_output(parts: Parts, draw: random.Random) -> None:
    parts.end = [nn.ReLU()]
    nn.init.constant_(parts.last.bias, -draw.uniform(3, 6))


def too_few_steps(parts: Parts, draw: random.Random) -> None:
    parts.steps = 100


def rate_times(factor: float, parts: Parts, draw: random.Random) -> None:
    parts.rate *= factor


Change = Callable[[Parts, random.Random], None]
FREE = ("standardized", "divided")

CHANGES: dict[str, tuple[Change, tuple[str, ...], dict[str, Any]]] = {
    "bounded output": (bounded_output, VALUES, {"form": FREE}),
    "positive output": (partial(end_in, nn.ReLU), VALUES, {"form": ("standardized",)}),
    "softmax of values": (partial(end_in, partial(nn.Softmax, dim=1)), ("several",), {"form": FREE}),
    "softmax of one output": (
        partial(end_in, partial(nn.Softmax, dim=1)),
        ("line", "smooth", "ratings", "balanced", "rare"),
        {"form": {"values": FREE, "binary": ("sigmoid",)}},
    ),
    "softmax over the batch": (
        softmax_over_the_batch,
        BINARY + CLASSES,
        {"form": {"binary": ("sigmoid",), "classes": ("logits", "log softmax", "softmax")}},
    ),
    "sigmoid before cross entropy": (partial(before_loss, torch.sigmoid), CLASSES, {"form": ("logits",)}),
    "softmax before cross entropy": (
        partial(before_loss, partial(torch.softmax, dim=1)),
        CLASSES,
        {"form": ("logits",)},
    ),
    "nll of probabilities": (partial(end_in, partial(nn.Softmax, dim=1)), CLASSES, {"form": ("log softmax",)}),
    "nll of logits": (nll_of_logits, CLASSES, {"form": ("log softmax",)}),
    "bce of clamped logits": (bce_of_clamped_logits, BINARY, {"form": ("sigmoid",)}),
    "sigmoid twice": (sigmoid_twice, BINARY, {"form": ("logits",)}),
    "classes as values": (classes_as_values, CLASSES, {"form": ("logits",)}),
    "dead class outputs": (dead_class_outputs, CLASSES, {"form": ("one-hot squares",)}),
    "unscaled targets": (unscaled_targets, SCALED, {"form": ("standardized",), "scale": (4, 6)}),
    "large input column": (large_input_column, TABLES, {}),
    "unscaled images": (unscaled_images, ("images",), {}),
    "constant inputs": (constant_inputs, VALUES + BINARY + CLASSES, {}),
    "labels off by one": (labels_off_by_one, CLASSES, {}),
    "shuffled labels": (shuffled_labels, VALUES + BINARY + CLASSES, {}),
    "one label": (one_label, ("counts", "ratings", *BINARY, *CLASSES), {}),
    "rounded labels": (
        rounded_labels,
        ("ratings", "tiny", *BINARY, *CLASSES),
        {"form": {"ratings": ("raw",), "values": ("standardized",), "binary": ("logits", "sigmoid")}},
    ),
    "wrong column": (wrong_column, ("line", "smooth", "several", "tiny", "balanced", "table"), {}),
    "broadcast targets": (
        broadcast_targets,
        ("line", "smooth", "counts", "ratings", "prices", "tiny", "next"),
        {"form": FREE},
    ),
    "no activation": (no_activation, ("smooth", "balanced", "rare", "table"), {}),
    "zero layers": (zero_layers, tuple(task for task in VALUES + BINARY + CLASSES if task != "line"), {}),
    "frozen bias": (
        frozen_bias,
        ("line", "prices", "rare", "ratings"),
        {"form": {"values": ("divided",), "ratings": ("raw",), "binary": ("logits", "sigmoid")}, "depth": 0},
    ),
    "dead output": (dead_output, VALUES, {"form": ("positive",)}),
    "too few steps": (too_few_steps, VALUES + BINARY + CLASSES, {"min_steps": 1500, "max_steps": 2500}),
    "learning rate too high": (partial(rate_times, 100), VALUES + BINARY + CLASSES, {}),
    "learning rate too low": (partial(rate_times, 1e-3), VALUES + BINARY + CLASSES, {}),
}
"""How each fault changes a sound training, the tasks that it fits, and the settings that it needs."""


# --- cases -------------------------------------------------------------------------------------------------------


def make_optimizer(parts: Parts, parameters: Any) -> torch.optim.Optimizer:
    if parts.optimizer in ("SGD", "momentum"):
        return torch.optim.SGD(parameters, lr=parts.rate, momentum=0.9 if parts.optimizer == "momentum" else 0)
    return getattr(torch.optim, parts.optimizer)(parameters, lr=parts.rate, eps=parts.eps)


def skill_of(values: Tensor, truth: Tensor) -> float:
    """The explained fraction of the variance, or of the accuracy above the most frequent class; at least -1."""
    if truth.is_floating_point():
        explained = 1 - ((values - truth) ** 2).mean(0) / truth.var(0, correction=0)
        skill = float(explained.mean())
    else:
        chance = float(truth.bincount().max()) / len(truth)
        skill = (float((values == truth).float().mean()) - chance) / (1 - chance)
    return max(-1.0, skill) if math.isfinite(skill) else -1.0


def build(task: str, half: str, needs_of: str, fault: str, seed: int) -> Training:
    """The training of a seed; `needs_of` names the fault that its twin has, or nothing."""
    draw = random.Random(f"{half} {task} {seed}")
    torch.manual_seed(draw.randrange(2**31))
    change, _, settings = CHANGES[needs_of] if needs_of else (None, (), {})
    needs = dict(settings)
    if isinstance(forms := needs.get("form"), dict):
        needs["form"] = forms.get(task) or forms.get("values" if task in VALUES else kind(task))
    parts = sound_parts(task, half, needs, draw)
    if needs_of == "too few steps":
        parts.rate /= 3
    reports = draw.choice(((), ("val_loss",), ("val_acc",), ("val_loss", "val_acc")))
    targets = draw.random() < 0.5
    if fault and change is not None:
        change(parts, random.Random(f"{fault} {seed}"))
    model = nn.Sequential(*parts.hidden, parts.last, *parts.end)
    shuffling = torch.Generator().manual_seed(draw.randrange(2**31))
    n = len(parts.x)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(n, generator=shuffling).split(parts.batch):
            yield parts.x[rows], parts.y[rows]

    def accuracy(out: Tensor, y: Tensor) -> float:
        return float((parts.decode(out) == y.reshape(len(y), -1)[:, 0]).float().mean())

    def skill() -> float:
        model.eval()
        with torch.no_grad():
            return skill_of(parts.decode(model(parts.x_validation)) - parts.offset, parts.truth)

    return Training(
        model=model,
        optimizer=make_optimizer(parts, [weights for weights in model.parameters() if weights.requires_grad]),
        batches=batches,
        loss=parts.loss,
        epochs=max(1, round(parts.steps / math.ceil(n / parts.batch))),
        validation=(parts.x_validation, parts.y_validation),
        accuracy=None if task in VALUES else accuracy,
        skill=skill,
        targets=targets,
        reports=reports,
    )


def make_case(half: str, task: str, fault: str, needs_of: str = "") -> Case:
    name = f"{half}: {task}, {fault or 'sound'}" + (f" twin of {needs_of}" if needs_of else "")
    return Case(name, fault, task, partial(build, task, half, needs_of or fault, fault))


def mended(case: Case) -> Case:
    """The twin: the same case without its fault."""
    if not case.fault:
        return case
    assert isinstance(case.build, partial)
    task, half, _, fault = case.build.args
    return make_case(half, task, "", needs_of=fault)


def train(case: Case, seed: int, watch: Callable[[nn.Module, torch.optim.Optimizer], Any] | None = None) -> float:
    """Train the case and return its skill; `watch` gets the model and the optimizer, as `optilab.watch` does."""
    training = case.build(seed)
    model, optimizer = training.model, training.optimizer
    watcher = watch(model, optimizer) if watch else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using a target size", UserWarning)  # broadcast, which is a fault here
        for _ in range(training.epochs):
            model.train()
            for x, y in training.batches():
                optimizer.zero_grad()
                out = model(x)
                loss = training.loss(out, y)
                loss.backward()
                optimizer.step()
                if watcher and training.targets:
                    watcher.step(loss, target=y)
                elif watcher:
                    watcher.step(loss)
            if watcher and (scores := epoch_scores(training)):
                watcher.epoch(**scores)
    return training.skill()


def epoch_scores(training: Training) -> dict[str, float]:
    """What the loop reports of an epoch."""
    scores: dict[str, float] = {}
    if training.reports:
        x, y = training.validation
        training.model.eval()
        with torch.no_grad():
            out = training.model(x)
            if "val_loss" in training.reports:
                scores["val_loss"] = float(training.loss(out, y))
            if "val_acc" in training.reports and training.accuracy:
                scores["val_acc"] = training.accuracy(out, y)
    return scores


def draw_slot(half: str, seed: int, slot: int) -> tuple[Drawn, Drawn] | None:
    """A faulty case and a sound one: its twin, or in every second slot another training of the task."""
    torch.set_num_threads(1)
    fault = list(FAULTS)[slot % len(FAULTS)]
    draw = random.Random(f"{half} {seed} {slot}")
    for _ in range(MAX_ATTEMPTS):
        task, number = draw.choice(CHANGES[fault][1]), draw.randrange(2**31)
        sound = mended(faulty := make_case(half, task, fault))
        if (of_sound := score(sound, number)).skill < MIN_SKILL:
            continue
        of_fault = replace(score(faulty, number), twin=of_sound.skill)
        if of_fault.skill > of_sound.skill - MIN_LOSS_OF_SKILL:
            continue
        if slot // len(FAULTS) % 2:
            other = make_case(half, task, "")
            candidates = (score(other, draw.randrange(2**31)) for _ in range(MAX_ATTEMPTS))
            of_sound = next((row for row in candidates if row.skill >= MIN_SKILL), of_sound)
        return of_fault, of_sound
    return None


def score(case: Case, seed: int) -> Drawn:
    begin = time.perf_counter()
    skill = train(case, seed)
    return Drawn(case, seed, skill, skill, time.perf_counter() - begin)


def drawn(half: str, count: int, seed: int = 0, jobs: int = 1) -> list[Drawn]:
    """`count` faulty cases of evenly spread faults, and the same number of sound ones."""
    slots, faults = range(count), list(FAULTS)
    if jobs > 1:
        with ProcessPoolExecutor(jobs) as pool:
            pairs = list(pool.map(partial(draw_slot, half, seed), slots))
    else:
        pairs = [draw_slot(half, seed, slot) for slot in slots]
    missing = [faults[slot % len(faults)] for slot in slots if pairs[slot] is None]
    if missing:
        raise ValueError(f"no case in {MAX_ATTEMPTS} attempts: {', '.join(missing)}")
    return [row for pair in pairs if pair for row in pair]


ACCEPTED = {
    "bounded output": "targets-out-of-reach", "positive output": "targets-out-of-reach constant-outputs",
    "softmax of values": "targets-out-of-reach", "softmax of one output": "constant-outputs targets-out-of-reach",
    "softmax over the batch": "constant-outputs", "sigmoid before cross entropy": "softmax-twice",
    "softmax before cross entropy": "softmax-twice", "nll of probabilities": "logits-as-probabilities",
    "nll of logits": "logits-as-probabilities", "bce of clamped logits": "logits-as-probabilities",
    "sigmoid twice": "softmax-twice", "classes as values": "regression-of-classes",
    "dead class outputs": "constant-outputs targets-out-of-reach dead-units",
    "unscaled targets": "targets-out-of-scale", "large input column": "inputs-out-of-scale",
    "unscaled images": "inputs-out-of-scale", "constant inputs": "constant-outputs",
    "labels off by one": "labels-unrelated labels-out-of-range", "shuffled labels": "labels-unrelated",
    "one label": "one-class", "rounded labels": "one-class", "wrong column": "labels-unrelated",
    "broadcast targets": "shapes-broadcast", "no activation": "no-nonlinearity", "zero layers": "symmetric-init",
    "frozen bias": "parameters-not-in-optimizer", "dead output": "constant-outputs",
    "too few steps": "training-too-short", "learning rate too high": "learning-rate-too-high",
    "learning rate too low": "learning-rate-too-low",
}  # fmt: skip
"""The findings that name each fault, written before the held-out half was trained."""


def diagnosed(row: Drawn) -> tuple[Drawn, list[tuple[str, int]]]:
    """The findings of a case and their severities, the first one first."""
    torch.set_num_threads(1)
    watches: list[Any] = []
    train(
        row.case,
        row.seed,
        lambda model, optimizer: watches.append(optilab.watch(model, optimizer)) or watches[0],  # type: ignore[func-returns-value]
    )
    watches[0].close()
    return row, [(finding.name, int(finding.severity)) for finding in watches[0].diagnosis().findings]


def judge(half: str, count: int, seed: int, only_print: bool) -> None:
    """Diagnose the cases of a half, and put the counts into its row of the table."""
    rows = [diagnosed(row) for row in drawn(half, count, seed)]
    faulty = [(row.case.fault, found) for row, found in rows if row.case.fault]
    sound = [found for row, found in rows if not row.case.fault]

    def right(fault: str, found: list[tuple[str, int]]) -> bool:
        return bool(found) and found[0][0] in ACCEPTED[fault].split()

    flagged = [(fault, found) for fault, found in faulty if any(severity > 0 for _, severity in found)]
    wrong = [fault for fault, found in flagged if found[0][1] == 2 and not right(fault, found)]
    counts = [len(flagged), sum(right(*case) for case in faulty), len(wrong)]
    cells: figures.Row = [f"{half} half", *([part, len(faulty)] for part in counts)]
    cells.append([sum(all(severity == 0 for _, severity in found) for found in sound), len(sound)])
    for fault, found in faulty:
        if not right(fault, found):
            print(f"{fault:<31}{', '.join(name for name, _ in found) or 'nothing'}")
    for row, found in rows:
        if not row.case.fault and any(severity > 0 for _, severity in found):
            print(f"sound {row.case.task:<25}{', '.join(name for name, _ in found)}")
    others = [row for row in figures.read().get(TABLE, {}).get("rows", []) if row[0] != cells[0]]
    figures.record(TABLE, "drawn_faults", COLUMNS, [*others, cells], only_print)


TABLE = "drawn-faults"
COLUMNS = ["drawn loops", "faulty: flagged", "first cause right", "critical and wrong", "sound: not flagged"]


def main(arguments: list[str]) -> None:
    parser = figures.parser("drawn_faults", __doc__)
    halves = parser.add_mutually_exclusive_group(required=True)
    halves.add_argument("--list", choices=list(HALVES), help="the half whose skills are listed")
    halves.add_argument("--diagnose", choices=list(HALVES), help="the half that is trained under `optilab.watch`")
    parser.add_argument("--count", type=int, default=60, help="the number of faulty cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.diagnose:
        judge(options.diagnose, options.count, options.seed, options.print)
        return
    rows = drawn(options.list, options.count, options.seed, options.jobs)
    print(f"{'task':<11}{'fault':<31}{'skill':>6}{'twin':>6}{'seconds':>9}{'seed':>12}")
    for row in rows:
        fault = row.case.fault or "-"
        print(f"{row.case.task:<11}{fault:<31}{row.skill:>6.2f}{row.twin:>6.2f}{row.seconds:>9.2f}{row.seed:>12}")
    faults = Counter(row.case.fault for row in rows)
    print(f"{len(rows) - faults['']} faulty cases of {len(faults) - 1} faults, {faults['']} sound ones")
