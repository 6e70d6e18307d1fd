"""Plain PyTorch loops that are sound and learn, but look faulty to a naive tool.

Each function of LOOPS builds a model, trains it as its author would, and tells a watch of each step and epoch. It
returns the watch, a number that proves that the model learned, and the bound that the number must reach. All data are
generated here, every loop is seeded, and a watch changes no bit of it. `--list` trains them all without a watch.
"""

import argparse
import copy
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

WatchOf = Callable[[nn.Module, Any], Any]
"""Watches a model and its optimizer, or a list of optimizers; the result has `step` and `epoch`."""
Outcome = tuple[Any, float, float]
LOOPS: dict[str, Callable[..., Outcome]] = {}


def sound(loop: Callable[[WatchOf], Outcome]) -> Callable[..., Outcome]:
    """Add a loop to LOOPS: it runs on one thread, from a seed."""

    @wraps(loop)
    def seeded(watch_of: WatchOf, seed: int = 1) -> Outcome:
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        watch, number, bound = loop(watch_of)
        return watch, float(number), bound

    LOOPS[loop.__name__.replace("_", " ")] = seeded
    return seeded


# --- data -------------------------------------------------------------------------------------------------------


def curve(n: int) -> tuple[Tensor, Tensor]:
    """Rows (n, 5) and a smooth function of them (n, 1), of mean 0 and standard deviation about 1."""
    x = torch.randn(n, 5)
    return x, (1.5 * x[:, :1]).sin() + 0.5 * x[:, 1:2] * x[:, 2:3].tanh() + 0.5 * x[:, 3:4]


def clusters(n: int, classes: int = 4, width: int = 8) -> tuple[Tensor, Tensor]:
    """Rows (n, width) around two centers per class, and the classes (n,)."""
    centers, y = 1.7 * torch.randn(classes, 2, width), torch.randint(0, classes, (n,))
    return centers[y, torch.randint(0, 2, (n,))] + torch.randn(n, width), y


def strokes(n: int, size: int = 12) -> tuple[Tensor, Tensor]:
    """Images (n, 1, size, size) from 0 to 1 of strokes on black, and which of four directions each has."""
    y, grid = torch.randint(0, 4, (n,)), torch.arange(size).float()
    at, angle = size / 2 + torch.randn(n, 2, 1, 1), (y * torch.pi / 4)[:, None, None]
    across = (grid[:, None] - at[:, 0]) * angle.sin() - (grid - at[:, 1]) * angle.cos()
    x = torch.exp(-(across**2)) + 0.1 * torch.randn(n, size, size)
    return x.clamp(0, 1)[:, None], y


def sentences(n: int, length: int = 12) -> tuple[Tensor, Tensor]:
    """Tokens (n, length) of 20 kinds; the class is which of the first four kinds is there."""
    y, x = torch.randint(0, 4, (n,)), torch.randint(4, 20, (n, length))
    x[torch.arange(n), torch.randint(0, length, (n,))] = y
    return x, y


def chain(n: int, length: int, kinds: int = 16) -> Tensor:
    """Texts (n, length): four of five tokens follow from the token before."""
    follows, x = torch.randperm(kinds), torch.randint(0, kinds, (n, length))
    for t in range(1, length):
        x[:, t] = torch.where(torch.rand(n) < 0.8, follows[x[:, t - 1]], x[:, t])
    return x


# --- networks ---------------------------------------------------------------------------------------------------


def perceptron(inputs: int, outputs: int, *last: nn.Module, hidden: int = 32) -> nn.Sequential:
    """Two hidden layers, and what follows the last layer."""
    first = (nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
    return nn.Sequential(*first, nn.Linear(hidden, outputs), *last)


def convolutions(outputs: int = 4) -> nn.Sequential:
    """A small network for images of 12 x 12."""
    first = (nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU())
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(144, outputs))


class Scale(nn.Module):
    """Outputs times a factor, plus an offset."""

    def __init__(self, factor: float, offset: float = 0.0) -> None:
        super().__init__()
        self.factor, self.offset = factor, offset

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor + self.offset


# --- how most loops are trained, and what they learned ----------------------------------------------------------


def fit(
    watch_of: WatchOf,
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    loss_of: Callable[[Any, Tensor], Tensor],
    *,
    rate: float = 3e-3,
    epochs: int = 12,
    size: int = 32,
    optimizer: torch.optim.Optimizer | None = None,
    accuracy: bool = False,
    target: Callable[[Tensor], Tensor] = lambda y: y,
) -> tuple[Any, Any, Tensor]:
    """Train on three quarters of the data; returns the watch, and the outputs and targets of the validation."""
    x, y = data
    cut = len(x) * 3 // 4
    optimizer = optimizer or torch.optim.Adam(model.parameters(), rate)
    watch = watch_of(model, optimizer)
    for _ in range(epochs):
        model.train()
        for batch in torch.randperm(cut).split(size):
            optimizer.zero_grad()
            loss = loss_of(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            watch.step(loss, target=target(y[batch]))
        model.eval()
        with torch.no_grad():
            outputs = model(x[cut:])
            val_loss = loss_of(outputs, y[cut:]).item()
        watch.epoch(val_loss=val_loss, **({"val_acc": hits(outputs, y[cut:])} if accuracy else {}))
    return watch, outputs, y[cut:]


def hits(outputs: Tensor, y: Tensor) -> float:
    """Fraction of rows whose class is right; classes lie in the last axis, and targets may be probabilities."""
    right = outputs.argmax(-1) == (y.argmax(-1) if y.is_floating_point() else y)
    return right.float().mean().item()


def explained(outputs: Tensor, y: Tensor) -> float:
    """Explained fraction of the variance."""
    return 1 - ((outputs - y) ** 2).mean().item() / y.var().item()


def absolute(outputs: Tensor, y: Tensor) -> float:
    """Fraction by which the absolute error is below that of the median."""
    return 1 - (outputs - y).abs().mean().item() / (y - y.median()).abs().mean().item()


# --- activations before the loss --------------------------------------------------------------------------------


def counts(n: int, scale: float) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 5)
    return x, torch.poisson(scale * torch.exp(0.6 * x[:, :1] - 0.4 * x[:, 1:2]))


@sound
def relu_before_counts(watch_of: WatchOf) -> Outcome:
    """Counts cannot be negative, so a ReLU stands before the squared error."""
    model = perceptron(5, 1, nn.ReLU())
    nn.init.constant_(model[-2].bias, 3.0)  # type: ignore[arg-type]
    watch, outputs, y = fit(watch_of, model, counts(1600, 4), F.mse_loss)
    return watch, explained(outputs, y), 0.4


@sound
def relu_before_rare_counts(watch_of: WatchOf) -> Outcome:
    """Three of four counts are zero, and the ReLU before the squared error is zero for many rows."""
    model = perceptron(5, 6, nn.ReLU())
    x = torch.randn(2000, 5)
    y = torch.poisson((2 * x @ torch.randn(5, 6) - 3).clamp(0))
    watch, outputs, y = fit(watch_of, model, (x, y), F.mse_loss)
    return watch, explained(outputs, y), 0.5


@sound
def relu_before_poisson(watch_of: WatchOf) -> Outcome:
    """The likelihood of Poisson takes rates, which a ReLU keeps from being negative."""
    model = perceptron(5, 1, nn.ReLU())
    nn.init.constant_(model[-2].bias, 4.0)  # type: ignore[arg-type]

    def loss_of(rates: Tensor, y: Tensor) -> Tensor:
        return F.poisson_nll_loss(rates, y, log_input=False, eps=0.1)

    watch, outputs, y = fit(watch_of, model, counts(1600, 4), loss_of)
    return watch, explained(outputs, y), 0.4


class Ratings(nn.Module):
    """Embeddings of users and films, and a perceptron; `last` bounds the ratings."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.user, self.film = nn.Embedding(40, 8), nn.Embedding(30, 8)
        self.head, self.last = perceptron(16, 1), last

    def forward(self, ids: Tensor) -> Tensor:
        pair = torch.cat([self.user(ids[:, 0]), self.film(ids[:, 1])], 1)
        return self.last(self.head(pair)).squeeze(1)


def ratings(n: int) -> tuple[Tensor, Tensor]:
    """Pairs (n, 2) of a user and a film, and ratings of 1 to 5."""
    ids = torch.stack([torch.randint(0, 40, (n,)), torch.randint(0, 30, (n,))], 1)
    users, films = torch.randn(40, 2), torch.randn(30, 2)
    taste = (users[ids[:, 0]] * films[ids[:, 1]]).sum(1) + films[ids[:, 1], 0]
    return ids, (3.4 + taste).round().clamp(1, 5)


@sound
def relu_before_ratings(watch_of: WatchOf) -> Outcome:
    """Ratings are positive, so a ReLU stands before the squared error."""
    model = Ratings(nn.ReLU())
    nn.init.constant_(model.head[-1].bias, 3.0)  # type: ignore[arg-type]
    watch, outputs, y = fit(watch_of, model, ratings(3000), F.mse_loss, epochs=15)
    return watch, explained(outputs, y), 0.5


@sound
def sigmoid_times_a_scale(watch_of: WatchOf) -> Outcome:
    """Ratings of 1 to 5 are a sigmoid times 5.5, and a third of them lie near an end."""
    model = Ratings(nn.Sequential(nn.Sigmoid(), Scale(5.5)))
    watch, outputs, y = fit(watch_of, model, ratings(3000), F.mse_loss, epochs=15)
    return watch, explained(outputs, y), 0.5


@sound
def tanh_times_a_scale(watch_of: WatchOf) -> Outcome:
    """An imitated controller pushes with -2 to 2, mostly at an end, as the tanh times 2 does."""
    x = torch.randn(1600, 4)
    y = (3 * x[:, :1] + 2 * x[:, 1:2] * x[:, 2:3]).clamp(-2, 2)
    model = perceptron(4, 1, nn.Tanh(), Scale(2.0))
    watch, outputs, y = fit(watch_of, model, (x, y), F.mse_loss)
    return watch, explained(outputs, y), 0.8


@sound
def tanh_for_images(watch_of: WatchOf) -> Outcome:
    """An autoencoder whose pixels go from -1 to 1, so that most outputs are saturated at black."""
    x = 2 * strokes(1200)[0] - 1
    first = (nn.Flatten(), nn.Linear(144, 64), nn.ReLU(), nn.Linear(64, 12))
    then = (nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 144), nn.Tanh(), nn.Unflatten(1, (1, 12, 12)))
    model = nn.Sequential(*first, *then)
    watch, outputs, y = fit(watch_of, model, (x, x), F.mse_loss, epochs=15)
    return watch, explained(outputs, y), 0.6


@sound
def sigmoid_autoencoder(watch_of: WatchOf) -> Outcome:
    """An autoencoder of images ends in a sigmoid, and its loss is the squared error of the pixels."""
    x = strokes(1200)[0]
    first = (nn.Flatten(), nn.Linear(144, 64), nn.ReLU(), nn.Linear(64, 12))
    then = (nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 144), nn.Sigmoid(), nn.Unflatten(1, (1, 12, 12)))
    model = nn.Sequential(*first, *then)
    watch, outputs, y = fit(watch_of, model, (x, x), F.mse_loss)
    return watch, explained(outputs, y), 0.6


@sound
def sigmoid_of_gray_pixels(watch_of: WatchOf) -> Outcome:
    """A convolutional autoencoder ends in a sigmoid, and its loss is the binary cross-entropy of gray pixels."""
    x = strokes(800)[0]
    down = (nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
    up = (nn.ConvTranspose2d(8, 8, 2, 2), nn.ReLU(), nn.ConvTranspose2d(8, 1, 2, 2), nn.Sigmoid())
    model = nn.Sequential(*down, *up)
    watch, outputs, y = fit(watch_of, model, (x, x), F.binary_cross_entropy, rate=1e-2)
    return watch, explained(outputs, y), 0.6


# --- labels -----------------------------------------------------------------------------------------------------


@sound
def soft_labels(watch_of: WatchOf) -> Outcome:
    """Labels are the votes of five people, and cross-entropy takes their fractions."""
    x, y = clusters(1600)
    votes = torch.where(torch.rand(1600, 5) < 0.75, y[:, None], torch.randint(0, 4, (1600, 5)))
    soft = F.one_hot(votes, 4).float().mean(1)
    watch, outputs, y = fit(watch_of, perceptron(8, 4), (x, soft), F.cross_entropy, accuracy=True)
    return watch, hits(outputs, y), 0.7


@sound
def soft_labels_by_divergence(watch_of: WatchOf) -> Outcome:
    """The network ends in log_softmax, and the loss is its divergence from probabilities."""
    x, y = clusters(1600)
    soft = 0.7 * F.one_hot(y, 4) + 0.3 * torch.rand(1600, 4).softmax(1)

    def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
        return F.kl_div(outputs, y, reduction="batchmean")

    watch, outputs, y = fit(watch_of, perceptron(8, 4, nn.LogSoftmax(1)), (x, soft), loss_of, accuracy=True)
    return watch, hits(outputs, y), 0.7


@sound
def label_smoothing(watch_of: WatchOf) -> Outcome:
    """Smoothed labels keep the loss far from zero."""
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.3)
    watch, outputs, y = fit(watch_of, convolutions(), strokes(1200), loss_of, accuracy=True)
    return watch, hits(outputs, y), 0.8


@sound
def mixup(watch_of: WatchOf) -> Outcome:
    """Each batch is mixed with itself in another order; the loss is mixed, and the author hands over the labels."""
    (x, y), model = strokes(1600), convolutions()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    watch = watch_of(model, optimizer)
    mix = torch.distributions.Beta(1.0, 1.0)
    for _ in range(15):
        for batch in torch.randperm(1200).split(32):
            part, other = mix.sample(), batch[torch.randperm(len(batch))]
            outputs = model(part * x[batch] + (1 - part) * x[other])
            loss = part * F.cross_entropy(outputs, y[batch]) + (1 - part) * F.cross_entropy(outputs, y[other])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch.step(loss, target=y[batch])
        with torch.no_grad():
            outputs = model(x[1200:])
        watch.epoch(val_loss=F.cross_entropy(outputs, y[1200:]).item(), val_acc=hits(outputs, y[1200:]))
    return watch, hits(outputs, y[1200:]), 0.8


@sound
def mixup_of_one_hot_labels(watch_of: WatchOf) -> Outcome:
    """Images and one-hot labels are mixed, so that no label is a class, and no validation is recorded."""
    (x, y), model = strokes(1600), convolutions()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    watch = watch_of(model, optimizer)
    for _ in range(12):
        for batch in torch.randperm(1200).split(32):
            part, other = 0.5 + 0.5 * torch.rand(len(batch), 1), batch[torch.randperm(len(batch))]
            mixed = part * F.one_hot(y[batch], 4) + (1 - part) * F.one_hot(y[other], 4)
            outputs = model(part[..., None, None] * x[batch] + (1 - part[..., None, None]) * x[other])
            loss = F.cross_entropy(outputs, mixed)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch.step(loss, target=mixed)
        watch.epoch()
    with torch.no_grad():
        return watch, hits(model(x[1200:]), y[1200:]), 0.8


@sound
def rare_positives(watch_of: WatchOf) -> Outcome:
    """One row in thirty is positive, and pos_weight makes up for it; accuracy stays below that of a constant."""
    x = torch.randn(3000, 6)
    y = (x[:, 0] + x[:, 1] * x[:, 2].sign() + 0.3 * torch.randn(3000) > 2.7).float()
    loss_of = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(30.0))
    watch, outputs, y = fit(watch_of, perceptron(6, 1, nn.Flatten(0)), (x, y), loss_of, epochs=8)
    recall, rejected = (outputs[y == 1] > 0).float().mean(), (outputs[y == 0] < 0).float().mean()
    return watch, (recall + rejected).item() / 2, 0.8


@sound
def weighted_classes(watch_of: WatchOf) -> Outcome:
    """Nine of ten rows have one class, and the loss weighs the others by their rarity."""
    x, y = clusters(4000)
    rare = (y == 0) | (torch.rand(4000) < 0.04)
    x, y = x[rare], y[rare]
    loss_of = nn.CrossEntropyLoss(weight=1 / torch.bincount(y, minlength=4).float())
    watch, outputs, y = fit(watch_of, perceptron(8, 4), (x, y), loss_of, accuracy=True)
    return watch, sum(hits(outputs[y == c], y[y == c]) for c in y.unique()) / len(y.unique()), 0.6


@sound
def classes_missing_in_batches(watch_of: WatchOf) -> Outcome:
    """Batches of 8 rows never have all of 20 classes."""
    data = clusters(2400, classes=20)
    watch, outputs, y = fit(watch_of, perceptron(8, 20), data, F.cross_entropy, size=8, epochs=4, accuracy=True)
    return watch, hits(outputs, y), 0.4


@sound
def class_without_samples(watch_of: WatchOf) -> Outcome:
    """The last layer has ten outputs, and the data have seven of the ten classes."""
    x, y = clusters(1600, classes=7)
    watch, outputs, y = fit(watch_of, perceptron(8, 10), (x, y + 2), F.cross_entropy, accuracy=True)
    return watch, hits(outputs, y), 0.6


@sound
def several_labels(watch_of: WatchOf) -> Outcome:
    """Each row has any of six labels, of which two are rare."""
    x = torch.randn(1600, 8)
    y = (x @ torch.randn(8, 6) > torch.tensor([0.0, 0, 0, 1, 4, 4])).float()
    watch, outputs, y = fit(watch_of, perceptron(8, 6), (x, y), F.binary_cross_entropy_with_logits)
    return watch, ((outputs > 0) == (y > 0)).float().mean().item(), 0.9


class Tagger(nn.Module):
    """A tag for each token; the padding is token 0."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16, padding_idx=0)
        self.layer, self.head = nn.GRU(16, 24, batch_first=True, bidirectional=True), nn.Linear(48, tags)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.embed(x))[0])


def padded(n: int, ignored: int) -> tuple[Tensor, Tensor]:
    """Sentences of 3 to 14 tokens, padded with 0; the tag, from 1 to 4, depends on a token and the one before."""
    x = torch.randint(1, 20, (n, 14))
    y = 1 + (x + x.roll(1, 1) // 10) % 4
    empty = torch.arange(14) >= torch.randint(3, 15, (n, 1))
    return x.masked_fill(empty, 0), y.masked_fill(empty, ignored)


@sound
def padding_that_is_ignored(watch_of: WatchOf) -> Outcome:
    """Half of the targets are padding, which cross-entropy ignores as -100; outputs and targets are flattened."""
    model, data = Tagger(5), padded(600, -100)

    def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(outputs.view(-1, 5), y.view(-1))

    watch, outputs, y = fit(watch_of, model, data, loss_of, rate=1e-2, epochs=8, target=lambda y: y.view(-1))
    return watch, hits(outputs[y >= 0], y[y >= 0]), 0.7


@sound
def padding_as_a_class(watch_of: WatchOf) -> Outcome:
    """Padding is class 0, which the loss ignores, and the classes are the second axis of the outputs."""
    model, data = Tagger(5), padded(600, 0)

    def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(outputs.transpose(1, 2), y, ignore_index=0)

    watch, outputs, y = fit(watch_of, model, data, loss_of, rate=1e-2, epochs=8)
    return watch, hits(outputs[y > 0], y[y > 0]), 0.7


# --- losses -----------------------------------------------------------------------------------------------------


@sound
def targets_normalized_in_the_step(watch_of: WatchOf) -> Outcome:
    """The targets are prices of about 300000; the step normalizes them, and hands over the prices."""
    x, y = curve(1600)
    y = 300_000 + 80_000 * y
    mean, std = y[:1200].mean(), y[:1200].std()

    def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(outputs, (y - mean) / std)

    watch, outputs, y = fit(watch_of, perceptron(5, 1), (x, y), loss_of)
    return watch, explained(outputs * std + mean, y), 0.7


@sound
def normalized_targets_handed_over(watch_of: WatchOf) -> Outcome:
    """The step normalizes its targets, which are about 0.0001, and hands over the normalized ones."""
    x, y = curve(1600)
    y = 1e-4 + 1e-5 * y
    mean, std = y[:1200].mean(), y[:1200].std()

    def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(outputs, (y - mean) / std)

    watch, outputs, y = fit(watch_of, perceptron(5, 1), (x, y), loss_of, target=lambda y: (y - mean) / std)
    return watch, explained(outputs * std + mean, y), 0.7


@sound
def logarithms_of_targets(watch_of: WatchOf) -> Outcome:
    """The targets go over five decades, and the network learns their logarithms."""
    x, y = curve(1600)
    y = torch.exp(3 * y)

    def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(outputs, torch.log(y))

    watch, outputs, y = fit(watch_of, perceptron(5, 1), (x, y), loss_of, target=torch.log)
    return watch, explained(outputs, torch.log(y)), 0.7


@sound
def error_of_logarithms(watch_of: WatchOf) -> Outcome:
    """The network outputs amounts by softplus, and the loss compares the logarithms of amounts plus one."""
    x, y = curve(1600)

    def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(torch.log1p(outputs), torch.log1p(y))

    data = x, torch.exp(2 + 1.5 * y)
    watch, outputs, y = fit(watch_of, perceptron(5, 1, nn.Softplus()), data, loss_of, rate=1e-2, epochs=20)
    return watch, explained(torch.log1p(outputs), torch.log1p(y)), 0.7


@sound
def huber(watch_of: WatchOf) -> Outcome:
    """One target in twenty is an outlier 30 times as large as the others, which the Huber loss bears."""
    x, y = curve(1600)
    y = torch.where(torch.rand(1600, 1) < 0.05, 30 * torch.randn(1600, 1), y)
    watch, outputs, y = fit(watch_of, perceptron(5, 1), (x, y), F.huber_loss)
    usual = y.abs() < 3
    return watch, explained(outputs[usual], y[usual]), 0.6


@sound
def quantiles(watch_of: WatchOf) -> Outcome:
    """Three outputs are quantiles of one target, so outputs (n, 3) meet targets (n, 1) in the pinball loss."""
    (x, y), level = curve(2000), torch.tensor([0.1, 0.5, 0.9])
    y = y + 0.3 * torch.randn(2000, 1)

    def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
        error = y - outputs
        return torch.maximum(level * error, (level - 1) * error).mean()

    watch, outputs, y = fit(watch_of, perceptron(5, 3), (x, y), loss_of)
    return watch, absolute(outputs[:, 1:2], y), 0.4


@sound
def high_quantile(watch_of: WatchOf) -> Outcome:
    """The output is the 95% quantile, so its mean is far above that of the targets."""
    x, y = curve(2000)
    y = y.squeeze(1) + 0.2 * torch.randn(2000)

    def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
        error = y - outputs
        return torch.maximum(0.95 * error, -0.05 * error).mean()

    watch, outputs, y = fit(watch_of, perceptron(5, 1, nn.Flatten(0)), (x, y), loss_of)
    best = loss_of(y.quantile(0.95).expand(len(y)), y)
    return watch, 1 - (loss_of(outputs, y) / best).item(), 0.3


@sound
def poisson_likelihood(watch_of: WatchOf) -> Outcome:
    """The network outputs logarithms of rates, and the loss is negative as soon as it is good."""
    watch, outputs, y = fit(watch_of, perceptron(5, 1), counts(1600, 6), nn.PoissonNLLLoss())
    return watch, explained(outputs.exp(), y), 0.4


@sound
def gaussian_likelihood(watch_of: WatchOf) -> Outcome:
    """Two outputs are the mean and the logarithm of the variance, and the loss falls far below zero."""
    x, y = curve(1600)
    y = 0.1 * (y + 0.3 * x[:, 4:].abs() * torch.randn(1600, 1))

    def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
        return F.gaussian_nll_loss(outputs[:, :1], y, outputs[:, 1:].exp())

    watch, outputs, y = fit(watch_of, perceptron(5, 2), (x, y), loss_of, epochs=15)
    return watch, explained(outputs[:, :1], y), 0.6


@sound
def focal(watch_of: WatchOf) -> Outcome:
    """The focal loss of one class in ten begins far below the logarithm of two, and is tiny at the end."""
    x = torch.randn(2000, 6)
    y = (x[:, 0] + x[:, 1] * x[:, 2].sign() > 1.8).float()

    def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
        entropy = F.binary_cross_entropy_with_logits(outputs, y, reduction="none")
        weight = torch.where(y == 1, 0.75, 0.25)
        return (weight * (1 - torch.exp(-entropy)) ** 2 * entropy).mean()

    watch, outputs, y = fit(watch_of, perceptron(6, 1, nn.Flatten(0)), (x, y), loss_of, rate=1e-2)
    recall, rejected = (outputs[y == 1] > 0).float().mean(), (outputs[y == 0] < 0).float().mean()
    return watch, (recall + rejected).item() / 2, 0.8


@sound
def hinge(watch_of: WatchOf) -> Outcome:
    """Labels are -1 and 1, and most rows have neither a loss nor a gradient at the end."""
    x = torch.randn(1600, 8)
    y = (x[:, 0] * 2 + x[:, 1] - x[:, 2] + 0.3).sign()

    def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
        return (1 - outputs.squeeze(1) * y).clamp(min=0).mean()

    model = nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=1e-3)
    watch, outputs, y = fit(watch_of, model, (x, y), loss_of, optimizer=optimizer)
    return watch, (outputs.squeeze(1).sign() == y).float().mean().item(), 0.95


@sound
def hinge_of_classes(watch_of: WatchOf) -> Outcome:
    """The margins of several classes, whose loss is small from the first step on."""
    watch, outputs, y = fit(watch_of, perceptron(8, 4), clusters(1600), F.multi_margin_loss, accuracy=True)
    return watch, hits(outputs, y), 0.7


# --- starts, rates and gradients --------------------------------------------------------------------------------


@sound
def last_layer_that_starts_at_zero(watch_of: WatchOf) -> Outcome:
    """All outputs are equal at first, and only the last layer has a gradient in the first step."""
    model = convolutions()
    nn.init.zeros_(model[-1].weight)  # type: ignore[arg-type]
    nn.init.zeros_(model[-1].bias)  # type: ignore[arg-type]
    watch, outputs, y = fit(watch_of, model, strokes(1200), F.cross_entropy, accuracy=True)
    return watch, hits(outputs, y), 0.9


class Residual(nn.Module):
    """A residual block whose second layer starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.gelu(self.first(x)))


@sound
def residuals_that_start_at_zero(watch_of: WatchOf) -> Outcome:
    """Every residual block is the identity at first, so that its first layer has no gradient."""
    blocks = [Residual(32) for _ in range(4)]
    model = nn.Sequential(nn.Linear(5, 32), *blocks, nn.LayerNorm(32), nn.Linear(32, 1))
    watch, outputs, y = fit(watch_of, model, curve(1600), F.mse_loss)
    return watch, explained(outputs, y), 0.8


@sound
def rate_that_warms_up(watch_of: WatchOf) -> Outcome:
    """The learning rate is zero in the first step, and rises for four epochs."""
    (x, y), model = strokes(1600), convolutions()
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 150))
    watch = watch_of(model, optimizer)
    for _ in range(12):
        for batch in torch.randperm(1200).split(32):
            loss = F.cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            watch.step(loss, target=y[batch])
        with torch.no_grad():
            outputs = model(x[1200:])
        watch.epoch(val_loss=F.cross_entropy(outputs, y[1200:]), val_acc=hits(outputs, y[1200:]))
    return watch, hits(outputs, y[1200:]), 0.9


@sound
def one_cycle_of_the_rate(watch_of: WatchOf) -> Outcome:
    """The learning rate rises from almost zero and falls to almost zero, where training ends."""
    (x, y), model = clusters(1600), perceptron(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10 * 38, final_div_factor=1e6)
    watch = watch_of(model, optimizer)
    for _ in range(10):
        for batch in torch.randperm(1200).split(32):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            watch.step(loss, target=y[batch])
            schedule.step()
        with torch.no_grad():
            outputs = model(x[1200:])
        watch.epoch(val_loss=F.cross_entropy(outputs, y[1200:]), val_acc=hits(outputs, y[1200:]))
    return watch, hits(outputs, y[1200:]), 0.8


@sound
def accumulation(watch_of: WatchOf) -> Outcome:
    """Four micro-batches make a step; the loss handed over is a quarter of that of the last one."""
    (x, y), model = strokes(1600), convolutions()
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    watch = watch_of(model, optimizer)
    for _ in range(10):
        for at, batch in enumerate(torch.randperm(1200)[:1184].split(8)):
            loss = F.cross_entropy(model(x[batch]), y[batch]) / 4
            loss.backward()
            if at % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
                watch.step(loss, target=y[batch])
        with torch.no_grad():
            outputs = model(x[1200:])
        watch.epoch(val_loss=F.cross_entropy(outputs, y[1200:]), val_acc=hits(outputs, y[1200:]))
    return watch, hits(outputs, y[1200:]), 0.9


@sound
def accumulation_of_whole_batches(watch_of: WatchOf) -> Outcome:
    """Each batch is cut into four parts, and the loss and the targets of all parts are handed over."""
    (x, y), model = clusters(2400), perceptron(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.2, momentum=0.9)
    watch = watch_of(model, optimizer)
    for _ in range(12):
        for batch in torch.randperm(1800)[:1792].split(64):
            optimizer.zero_grad()
            total = torch.zeros(())
            for part in batch.split(16):
                loss = F.cross_entropy(model(x[part]), y[part]) / 4
                loss.backward()
                total = total + loss.detach()
            optimizer.step()
            watch.step(total, target=y[batch])
        with torch.no_grad():
            outputs = model(x[1800:])
        watch.epoch(val_loss=F.cross_entropy(outputs, y[1800:]), val_acc=hits(outputs, y[1800:]))
    return watch, hits(outputs, y[1800:]), 0.8


class Last(nn.Module):
    """Classes from the last output of a recurrent layer, which takes (batch, time, features)."""

    def __init__(self, layer: nn.Module, width: int, outputs: int) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


def waves(n: int, length: int = 20) -> tuple[Tensor, Tensor]:
    """Noisy waves (n, length, 1), and which of four frequencies each has."""
    y, phase = torch.randint(0, 4, (n,)), 6.3 * torch.rand(n, 1)
    wave = torch.sin((0.4 + 0.5 * y[:, None]) * torch.arange(length) + phase)
    return (wave + 0.1 * torch.randn(n, length))[..., None], y


@sound
def gradient_clipping(watch_of: WatchOf) -> Outcome:
    """The norm of the gradient is clipped to 0.05 in every step of Adam."""
    (x, y), model = waves(800), Last(nn.LSTM(1, 32, batch_first=True), 32, 4)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    watch = watch_of(model, optimizer)
    for _ in range(15):
        for batch in torch.randperm(600).split(32):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            optimizer.step()
            watch.step(loss, target=y[batch])
        with torch.no_grad():
            outputs = model(x[600:])
        watch.epoch(val_loss=F.cross_entropy(outputs, y[600:]), val_acc=hits(outputs, y[600:]))
    return watch, hits(outputs, y[600:]), 0.8


# --- inputs -----------------------------------------------------------------------------------------------------


@sound
def sorted_series(watch_of: WatchOf) -> Outcome:
    """A regression on a series in its order, so that a batch is a piece of time, and the losses swing with it."""
    time_of = torch.linspace(0, 1, 1600)[:, None]
    angles = 6.283 * time_of * torch.tensor([2.0, 5.0, 25.0])
    x = torch.cat([time_of, angles.sin(), angles.cos()], 1)
    y = 3 * time_of + x[:, 2:3] * (0.5 + time_of) + 0.5 * x[:, 3:4] + 0.1 * torch.randn(1600, 1)
    model = perceptron(7, 1)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    watch = watch_of(model, optimizer)
    for _ in range(12):
        for batch in torch.arange(1600).split(32):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            watch.step(loss, target=y[batch])
        watch.epoch()
    with torch.no_grad():
        return watch, explained(model(x), y), 0.8


@sound
def sparse_columns(watch_of: WatchOf) -> Outcome:
    """Columns are one-hot, binary, rare, and padding that is always zero."""
    kind, rare = torch.randint(0, 12, (2000,)), (torch.rand(2000, 6) < 0.01).float()
    binary, number = (torch.rand(2000, 4) < 0.5).float(), torch.randn(2000, 3)
    x = torch.cat([F.one_hot(kind, 12), rare, binary, number, torch.zeros(2000, 5)], 1)
    y = (torch.randn(12)[kind] * 2 + 3 * rare.sum(1) + binary[:, 0] * number[:, 0] > 0).long()
    watch, outputs, y = fit(watch_of, perceptron(30, 2), (x, y), F.cross_entropy, accuracy=True)
    return watch, hits(outputs, y), 0.9


@sound
def bags_of_words(watch_of: WatchOf) -> Outcome:
    """Rows count words, and 97% of the numbers are zero."""
    tokens, y = sentences(1600)
    x = F.one_hot(torch.where(tokens < 4, tokens, 20 * tokens + torch.randint(0, 20, tokens.shape)), 400).sum(1)
    watch, outputs, y = fit(watch_of, perceptron(400, 4), (x.float(), y), F.cross_entropy, accuracy=True)
    return watch, hits(outputs, y), 0.9


@sound
def black_borders(watch_of: WatchOf) -> Outcome:
    """Two thirds of the pixels are black in every image, and a perceptron takes them all."""
    x, y = strokes(1600)
    model = nn.Sequential(nn.Flatten(), *perceptron(400, 4))
    watch, outputs, y = fit(watch_of, model, (F.pad(x, (4, 4, 4, 4)), y), F.cross_entropy, accuracy=True)
    return watch, hits(outputs, y), 0.9


@sound
def time_stamps(watch_of: WatchOf) -> Outcome:
    """A column has seconds since 1970, and a batch norm in front of the network standardizes it."""
    x, y = curve(1600)
    days = 400 * torch.rand(1600, 1)
    columns = torch.cat([1.7e9 + 86400 * days, x], 1)
    model = nn.Sequential(nn.BatchNorm1d(6), *perceptron(6, 1))
    data = columns, y + (days / 60).sin()
    watch, outputs, y = fit(watch_of, model, data, F.mse_loss, rate=1e-2, epochs=20)
    return watch, explained(outputs, y), 0.7


@sound
def columns_of_many_scales(watch_of: WatchOf) -> Outcome:
    """Columns go from thousandths to millions, and a batch norm in front of the network standardizes them."""
    x, y = curve(1600)
    scale = torch.tensor([1e-3, 1.0, 40.0, 5e4, 1e6])
    model = nn.Sequential(nn.BatchNorm1d(5), *perceptron(5, 1))
    watch, outputs, y = fit(watch_of, model, (x * scale + 2 * scale, y), F.mse_loss, rate=5e-3)
    return watch, explained(outputs, y), 0.8


@sound
def batch_norm_after_raw_pixels(watch_of: WatchOf) -> Outcome:
    """Pixels go from 0 to 255, and a batch norm is the first layer."""
    x, y = strokes(1600)
    model = nn.Sequential(nn.BatchNorm2d(1), *convolutions())
    watch, outputs, y = fit(watch_of, model, ((255 * x).round(), y), F.cross_entropy, accuracy=True)
    return watch, hits(outputs, y), 0.9


@sound
def batch_norm_after_a_layer_of_raw_pixels(watch_of: WatchOf) -> Outcome:
    """Pixels go from 0 to 255 into a convolution, whose outputs a batch norm standardizes."""
    x, y = strokes(1600)
    first, *rest = convolutions()
    model = nn.Sequential(first, nn.BatchNorm2d(8), *rest)
    watch, outputs, y = fit(watch_of, model, ((255 * x).round(), y), F.cross_entropy, accuracy=True)
    return watch, hits(outputs, y), 0.9


@sound
def large_targets_in_float64(watch_of: WatchOf) -> Outcome:
    """Targets are about 1e9, all is float64, and a fixed affine map at the end brings the outputs there."""
    x, y = curve(1600)
    x, y = x.double(), 1e9 + 1e7 * y.double()
    model = perceptron(5, 1, Scale(1e7, 1e9)).double()
    watch, outputs, y = fit(watch_of, model, (x, y), F.mse_loss)
    return watch, explained(outputs, y), 0.8


@sound
def ids_in_embeddings(watch_of: WatchOf) -> Outcome:
    """The only inputs are ids of up to 500, of which a few are frequent and most are rare."""
    ids = (500 * torch.rand(6000, 2) ** 3).long()
    effect = torch.randn(500)
    y = (effect[ids[:, 0]] + effect[ids[:, 1]] > 0).float()
    model = nn.Sequential(nn.Embedding(500, 16), nn.Flatten(), *perceptron(32, 1, nn.Flatten(0)))
    watch, outputs, y = fit(watch_of, model, (ids, y), F.binary_cross_entropy_with_logits, epochs=5)
    return watch, ((outputs > 0) == (y > 0)).float().mean().item(), 0.8


# --- networks and tasks -----------------------------------------------------------------------------------------


@sound
def linear_regression(watch_of: WatchOf) -> Outcome:
    """One linear layer takes all rows in each step, so that every batch is the same."""
    x = torch.randn(400, 3)
    y = x @ torch.tensor([[2.0], [-1.0], [0.5]]) + 4 + 0.3 * torch.randn(400, 1)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    watch = watch_of(model, optimizer)
    for _ in range(300):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        watch.step(loss, target=y)
    with torch.no_grad():
        return watch, explained(model(x), y), 0.9


@sound
def linear_regression_in_batches(watch_of: WatchOf) -> Outcome:
    """One linear layer, whose loss ends at the noise of the targets."""
    x = torch.randn(1600, 10)
    y = x @ torch.randn(10, 1) + torch.randn(1600, 1)
    watch, outputs, y = fit(watch_of, nn.Linear(10, 1), (x, y), F.mse_loss, rate=3e-2)
    return watch, explained(outputs, y), 0.6


@sound
def logistic_regression(watch_of: WatchOf) -> Outcome:
    """One linear layer starts at zero, and has one logit for labels (n, 1)."""
    x = torch.randn(1600, 10)
    y = (x @ torch.randn(10, 1) > 0.5).float()
    model = nn.Linear(10, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    watch, outputs, y = fit(watch_of, model, (x, y), nn.BCEWithLogitsLoss(), optimizer=optimizer)
    return watch, ((outputs > 0) == (y > 0)).float().mean().item(), 0.9


class LowRank(nn.Module):
    """A frozen linear layer, plus a product of two small matrices, of which one starts at zero."""

    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(base.in_features, rank) / base.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(rank, base.out_features))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.down @ self.up


def pretrained(x: Tensor, y: Tensor) -> nn.Sequential:
    """A perceptron that has learned the classes already."""
    model = perceptron(x.shape[1], 4)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(6):
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model


@sound
def low_rank_adaptation(watch_of: WatchOf) -> Outcome:
    """A pretrained network is frozen, and matrices of low rank adapt it to rotated inputs."""
    x, y = clusters(1600)
    base = pretrained(x, y)
    model = nn.Sequential(*(LowRank(part) if isinstance(part, nn.Linear) else part for part in base))
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], 1e-2)
    data = x[:, [1, 0, 2, 4, 3, 5, 6, 7]], y
    watch, outputs, y = fit(watch_of, model, data, F.cross_entropy, optimizer=optimizer, accuracy=True)
    return watch, hits(outputs, y), 0.8


@sound
def frozen_features(watch_of: WatchOf) -> Outcome:
    """Only a new last layer of a pretrained network is trained; the others are frozen, without gradients."""
    x, y = clusters(1600)
    base = pretrained(x, y).requires_grad_(False)
    model = nn.Sequential(*base[:-1], nn.Linear(32, 2))  # type: ignore[misc]
    optimizer = torch.optim.SGD(model[-1].parameters(), 0.1, momentum=0.9)
    watch, outputs, y = fit(watch_of, model, (x, y // 2), F.cross_entropy, optimizer=optimizer, accuracy=True)
    return watch, hits(outputs, y), 0.85


class Factors(nn.Module):
    """Ratings are products of a vector of the user and one of the film."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.film = nn.Embedding(40, 6), nn.Embedding(30, 6)
        nn.init.normal_(self.user.weight, std=0.1)
        nn.init.normal_(self.film.weight, std=0.1)

    def forward(self, ids: Tensor) -> Tensor:
        return 3.4 + (self.user(ids[:, 0]) * self.film(ids[:, 1])).sum(1)


@sound
def matrix_factorization(watch_of: WatchOf) -> Outcome:
    """Two embeddings and nothing else, which start near zero."""
    watch, outputs, y = fit(watch_of, Factors(), ratings(4000), F.mse_loss, rate=2e-2, epochs=6)
    return watch, explained(outputs, y), 0.6


@sound
def factorization_of_a_whole_matrix(watch_of: WatchOf) -> Outcome:
    """Two bare parameters, no layer and no input; each step takes the whole matrix."""
    known = torch.randn(60, 3) @ torch.randn(3, 40)
    model = nn.ParameterDict({"left": 0.1 * torch.randn(60, 3), "right": 0.1 * torch.randn(3, 40)})
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    watch = watch_of(model, optimizer)
    for _ in range(400):
        optimizer.zero_grad()
        loss = ((model["left"] @ model["right"] - known) ** 2).mean()
        loss.backward()
        optimizer.step()
        watch.step(loss)
    with torch.no_grad():
        return watch, explained(model["left"] @ model["right"], known), 0.9


class Functional(nn.Module):
    """Activations, pooling and dropout are functions, not modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3)
        self.hidden, self.last = nn.Linear(144, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.relu(self.hidden(F.relu(self.second(x)).flatten(1)))
        return F.log_softmax(self.last(F.dropout(x, 0.3, self.training)), 1)


@sound
def functional_activations(watch_of: WatchOf) -> Outcome:
    """A network with F.relu, F.dropout and F.log_softmax, and nll_loss."""
    watch, outputs, y = fit(watch_of, Functional(), strokes(1200), F.nll_loss, accuracy=True)
    return watch, hits(outputs, y), 0.9


class Attention(nn.Module):
    """Attention by einsum, with projections that are layers or bare parameters."""

    def __init__(self, layers: bool) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 24), nn.Linear(24, 4)
        self.layers = nn.ModuleList(nn.Linear(24, 24) for _ in range(3 * layers))
        self.weights = nn.ParameterList(torch.randn(24, 24) / 24**0.5 for _ in range(3 * (not layers)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        maps = [layer(x) for layer in self.layers] or [torch.einsum("btd,de->bte", x, w) for w in self.weights]
        query, key, value = (part.unflatten(2, (4, 6)) for part in maps)
        scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / 6**0.5
        mixed = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(3), value)
        return self.head(x.mean(1) + mixed.flatten(2).mean(1))


@sound
def attention_by_einsum(watch_of: WatchOf) -> Outcome:
    """Scores of attention are computed by einsum, of linear layers."""
    watch, outputs, y = fit(watch_of, Attention(True), sentences(1200), F.cross_entropy, accuracy=True)
    return watch, hits(outputs, y), 0.9


@sound
def attention_by_parameters(watch_of: WatchOf) -> Outcome:
    """Attention has no layers of its own: its projections are parameters in einsum."""
    watch, outputs, y = fit(watch_of, Attention(False), sentences(1200), F.cross_entropy, accuracy=True)
    return watch, hits(outputs, y), 0.9


@sound
def recurrent(watch_of: WatchOf) -> Outcome:
    """A GRU reads waves, and its last output has the class."""
    model = Last(nn.GRU(1, 32, batch_first=True), 32, 4)
    watch, outputs, y = fit(watch_of, model, waves(800), F.cross_entropy, rate=1e-2, epochs=15, accuracy=True)
    return watch, hits(outputs, y), 0.9


class TimeFirst(nn.Module):
    """A recurrent network that takes (batch, time, features), and turns them for its layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.LSTM(1, 24, num_layers=2), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        _, (state, _) = self.layer(x.transpose(0, 1))
        return self.head(state[-1])


@sound
def recurrent_with_time_first(watch_of: WatchOf) -> Outcome:
    """An LSTM of two layers takes time as the first axis, as is its default."""
    watch, outputs, y = fit(
        watch_of, TimeFirst(), waves(800), F.cross_entropy, rate=5e-3, epochs=20, accuracy=True
    )
    return watch, hits(outputs, y), 0.8


class Language(nn.Module):
    """Logits of the next tokens (time, batch, vocabulary), and the state that the next piece continues."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.layer, self.head = nn.Embedding(16, 24), nn.LSTM(24, 32), nn.Linear(32, 16)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        x, state = self.layer(self.embed(x), state)
        return self.head(x), state


@sound
def language_model_with_time_first(watch_of: WatchOf) -> Outcome:
    """Texts (time, batch) are read in order, the state is carried on, and outputs and targets are flattened."""
    text = chain(24, 801).t().contiguous()
    model = Language()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    watch = watch_of(model, optimizer)
    for _ in range(6):
        state = None
        for start in range(0, 600, 20):
            x, y = text[start : start + 20], text[start + 1 : start + 21].reshape(-1)
            optimizer.zero_grad()
            outputs, state = model(x, state)
            state = tuple(part.detach() for part in state)
            loss = F.cross_entropy(outputs.view(-1, 16), y)
            loss.backward()
            optimizer.step()
            watch.step(loss, target=y)
        with torch.no_grad():
            outputs = model(text[600:800])[0].view(-1, 16)
        y = text[601:801].reshape(-1)
        watch.epoch(val_loss=F.cross_entropy(outputs, y), val_acc=hits(outputs, y))
    return watch, hits(outputs, y), 0.7


class Decoder(nn.Module):
    """A causal transformer of one layer, whose last layer is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(16, 32), nn.Embedding(24, 32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 16, bias=False)
        nn.init.normal_(self.embed.weight, std=0.1)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        steps = x.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(steps)
        x = self.embed(x) + self.place.weight[:steps]
        return self.head(self.norm(self.layer(x, src_mask=mask, is_causal=True)))


@sound
def causal_language_model(watch_of: WatchOf) -> Outcome:
    """A causal transformer with tied weights, whose outputs and targets are flattened."""
    text = chain(600, 25)

    def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, 1), y.flatten())

    data = text[:, :-1], text[:, 1:]
    watch, outputs, y = fit(watch_of, Decoder(), data, loss_of, epochs=10, target=torch.flatten)
    return watch, hits(outputs, y), 0.7


class Detector(nn.Module):
    """The class and the box of a shape."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*convolutions()[:-1], nn.Linear(144, 64), nn.ReLU())  # type: ignore[misc]
        self.kind, self.box = nn.Linear(64, 3), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.body(x)
        return {"kind": self.kind(x), "box": self.box(x).sigmoid()}


def shapes(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images of a full, an empty or a barred rectangle, their kinds, and boxes (left, top, width, height)."""
    x, kind = 0.1 * torch.randn(n, 1, 12, 12), torch.randint(0, 3, (n,))
    size = torch.randint(4, 8, (n, 2))
    corner = (torch.rand(n, 2) * (13 - size)).long()
    for row in range(n):
        (left, top), (width, height) = corner[row].tolist(), size[row].tolist()
        part = x[row, 0, top : top + height, left : left + width]
        part += 1
        if kind[row] == 1:
            part[1:-1, 1:-1] -= 1
        elif kind[row] == 2:
            part[1::2] -= 1
    return x, kind, torch.cat([corner, size], 1) / 12


@sound
def class_and_box(watch_of: WatchOf) -> Outcome:
    """Two heads, and a loss that adds a cross-entropy and ten times a box loss; the kinds are the targets."""
    (x, kind, box), model = shapes(1200), Detector()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    watch = watch_of(model, optimizer)

    def loss_of(outputs: dict[str, Tensor], rows: Tensor) -> Tensor:
        return F.cross_entropy(outputs["kind"], kind[rows]) + 10 * F.smooth_l1_loss(outputs["box"], box[rows])

    for _ in range(12):
        for batch in torch.randperm(900).split(32):
            optimizer.zero_grad()
            loss = loss_of(model(x[batch]), batch)
            loss.backward()
            optimizer.step()
            watch.step(loss, target=kind[batch])
        with torch.no_grad():
            outputs = model(x[900:])
        right = hits(outputs["kind"], kind[900:])
        watch.epoch(val_loss=loss_of(outputs, torch.arange(900, 1200)), val_acc=right)
    return watch, min(right, explained(outputs["box"], box[900:])), 0.7


@sound
def three_tasks(watch_of: WatchOf) -> Outcome:
    """A class, a number and a flag come from three heads, and no target is handed over."""
    x, number = curve(1600)
    kind, flag = (x[:, :1] > torch.tensor([-0.5, 0.5])).sum(1), (x[:, 1] > 1).float()
    body, heads = nn.Sequential(nn.Linear(5, 48), nn.ReLU()), [nn.Linear(48, width) for width in (3, 1, 1)]
    model = nn.ModuleDict({"body": body, "heads": nn.ModuleList(heads)})
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    watch = watch_of(model, optimizer)
    for _ in range(12):
        for batch in torch.randperm(1200).split(32):
            optimizer.zero_grad()
            first, second, third = (head(body(x[batch])) for head in heads)
            loss = F.cross_entropy(first, kind[batch]) + F.mse_loss(second, number[batch])
            loss = loss + F.binary_cross_entropy_with_logits(third.squeeze(1), flag[batch])
            loss.backward()
            optimizer.step()
            watch.step(loss)
    with torch.no_grad():
        first, second, _ = (head(body(x[1200:])) for head in heads)
    return watch, min(hits(first, kind[1200:]), explained(second, number[1200:])), 0.7


@sound
def contrastive(watch_of: WatchOf) -> Outcome:
    """InfoNCE: each row finds its second view in the batch, so the targets are the row numbers."""
    mix, model = torch.randn(6, 16), perceptron(16, 8, hidden=48)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    watch = watch_of(model, optimizer)

    def logits(n: int) -> Tensor:
        hidden = torch.randn(n, 6)
        views = [hidden @ mix + 0.3 * torch.randn(n, 16) for _ in range(2)]
        noisy = [view * (torch.rand(n, 16) < 0.9) for view in views]
        first, second = (F.normalize(model(view), dim=1) for view in noisy)
        return first @ second.t() / 0.1

    target = torch.arange(64)
    for step in range(400):
        optimizer.zero_grad()
        outputs = logits(64)
        loss = (F.cross_entropy(outputs, target) + F.cross_entropy(outputs.t(), target)) / 2
        loss.backward()
        optimizer.step()
        watch.step(loss, target=target)
        if step % 50 == 49:
            with torch.no_grad():
                right = hits(logits(256), torch.arange(256))
            watch.epoch(retrieval=right)
    return watch, right, 0.3


@sound
def distillation(watch_of: WatchOf) -> Outcome:
    """A small student learns the softened outputs of a teacher, which is no part of the model, and the labels."""
    x, y = clusters(1600)
    teacher, student = pretrained(x, y).eval(), perceptron(8, 4, hidden=12)
    optimizer = torch.optim.Adam(student.parameters(), 5e-3)
    watch = watch_of(student, optimizer)
    for _ in range(12):
        for batch in torch.randperm(1200).split(32):
            with torch.no_grad():
                soft = (teacher(x[batch]) / 4).softmax(1)
            outputs = student(x[batch])
            divergence = F.kl_div((outputs / 4).log_softmax(1), soft, reduction="batchmean")
            loss = 0.9 * 16 * divergence + 0.1 * F.cross_entropy(outputs, y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch.step(loss, target=y[batch])
        with torch.no_grad():
            outputs = student(x[1200:])
        watch.epoch(val_loss=F.cross_entropy(outputs, y[1200:]), val_acc=hits(outputs, y[1200:]))
    return watch, hits(outputs, y[1200:]), 0.8


# --- generative models ------------------------------------------------------------------------------------------


def distance(first: Tensor, second: Tensor) -> float:
    """Energy distance between two sets of points."""
    across, within = torch.cdist(first, second).mean(), torch.cdist(first, first).mean()
    return (2 * across - within - torch.cdist(second, second).mean()).item()


def moons(n: int) -> Tensor:
    """Points (n, 2) of two half circles."""
    upper, angle = torch.rand(n) < 0.5, 3.1416 * torch.rand(n)
    x = torch.where(upper, angle.cos() - 0.5, 0.5 - angle.cos())
    y = torch.where(upper, angle.sin() - 0.25, 0.25 - angle.sin())
    return 1.5 * torch.stack([x, y], 1) + 0.08 * torch.randn(n, 2)


def pair() -> tuple[nn.ModuleDict, nn.Module, nn.Module]:
    """A generator of points, its critic, and a model of both."""
    generator = perceptron(4, 2, hidden=48)
    first = (nn.Linear(2, 48), nn.LeakyReLU(0.2))
    critic = nn.Sequential(*first, nn.Linear(48, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1))
    return nn.ModuleDict({"generator": generator, "critic": critic}), generator, critic


def closer(generator: nn.Module, before: Tensor, real: Callable[[int], Tensor]) -> float:
    """Fraction by which the generator has reduced the distance to real points."""
    with torch.no_grad():
        after = generator(torch.randn(1000, 4))
    points = real(1000)
    return 1 - distance(after, points) / distance(before, points)


def blob(n: int) -> Tensor:
    """Points (n, 2) of a normal distribution that is tilted, narrow and far from zero."""
    return torch.randn(n, 2) @ torch.tensor([[1.0, 0.5], [0.0, 0.4]]) + torch.tensor([2.0, -1.5])


@sound
def adversarial(watch_of: WatchOf) -> Outcome:
    """A generator and a critic take turns, each with its optimizer, its binary cross-entropy and its step."""
    model, generator, critic = pair()
    turns = [torch.optim.Adam(part.parameters(), 1e-3, betas=(0.5, 0.999)) for part in (critic, generator)]
    watch = watch_of(model, turns)
    with torch.no_grad():
        before = generator(torch.randn(1000, 4))
    ones, zeros, loss_of = torch.ones(64, 1), torch.zeros(64, 1), nn.BCEWithLogitsLoss()
    for step in range(600):
        fake = generator(torch.randn(64, 4))
        turns[0].zero_grad()
        loss = loss_of(critic(blob(64)), ones) + loss_of(critic(fake.detach()), zeros)
        loss.backward()
        turns[0].step()
        watch.step(loss)
        turns[1].zero_grad()
        loss = loss_of(critic(fake), ones)
        loss.backward()
        turns[1].step()
        watch.step(loss)
        if step % 100 == 99:
            watch.epoch()
    return watch, closer(generator, before, blob), 0.8


@sound
def adversarial_with_one_step_for_both(watch_of: WatchOf) -> Outcome:
    """The critic ends in a sigmoid, and the sum of both losses is handed over after both optimizers."""
    model, generator, critic = pair()
    turns = [torch.optim.Adam(part.parameters(), 1e-3, betas=(0.5, 0.999)) for part in (critic, generator)]
    watch = watch_of(model, turns)
    with torch.no_grad():
        before = generator(torch.randn(1000, 4))
    ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)
    for _ in range(600):
        fake = generator(torch.randn(64, 4))
        true, false = critic(blob(64)).sigmoid(), critic(fake.detach()).sigmoid()
        critic_loss = F.binary_cross_entropy(true, ones) + F.binary_cross_entropy(false, zeros)
        turns[0].zero_grad()
        critic_loss.backward()
        turns[0].step()
        generator_loss = F.binary_cross_entropy(critic(fake).sigmoid(), ones)
        turns[1].zero_grad()
        generator_loss.backward()
        turns[1].step()
        watch.step(critic_loss + generator_loss)
    return watch, closer(generator, before, blob), 0.8


@sound
def wasserstein(watch_of: WatchOf) -> Outcome:
    """The critic's weights are clipped, it makes four steps of five, and its loss is negative and rises."""
    model, generator, critic = pair()
    turns = [torch.optim.RMSprop(part.parameters(), 1e-3) for part in (critic, generator)]
    watch = watch_of(model, turns)
    with torch.no_grad():
        before = generator(torch.randn(1000, 4))
    for step in range(1500):
        fake = generator(torch.randn(64, 4))
        if step % 5 < 4:
            turns[0].zero_grad()
            loss = critic(fake.detach()).mean() - critic(blob(64)).mean()
            loss.backward()
            turns[0].step()
            with torch.no_grad():
                for weight in critic.parameters():
                    weight.clamp_(-0.1, 0.1)
        else:
            turns[1].zero_grad()
            loss = -critic(fake).mean()
            loss.backward()
            turns[1].step()
        watch.step(loss)
    return watch, closer(generator, before, blob), 0.8


@sound
def wasserstein_with_a_penalty(watch_of: WatchOf) -> Outcome:
    """The critic's loss has a penalty on its gradient by its inputs, which needs a second derivative."""
    model, generator, critic = pair()
    turns = [torch.optim.Adam(part.parameters(), 1e-3, betas=(0.0, 0.9)) for part in (critic, generator)]
    watch = watch_of(model, turns)
    with torch.no_grad():
        before = generator(torch.randn(1000, 4))
    for step in range(1200):
        fake = generator(torch.randn(64, 4))
        if step % 3 < 2:
            real, part = blob(64), torch.rand(64, 1)
            between = (part * real + (1 - part) * fake.detach()).requires_grad_()
            slope = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0]
            penalty = ((slope.norm(dim=1) - 1) ** 2).mean()
            loss = critic(fake.detach()).mean() - critic(real).mean() + 5 * penalty
        else:
            loss = -critic(fake).mean()
        optimizer = turns[step % 3 == 2]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch.step(loss)
    return watch, closer(generator, before, blob), 0.7


class Variational(nn.Module):
    """An autoencoder that outputs pixels, and the means and logarithms of variances of what it has drawn."""

    def __init__(self, *last: nn.Module) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(144, 64), nn.ReLU(), nn.Linear(64, 16))
        self.decoder = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 144), *last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, variance = self.encoder(x).chunk(2, 1)
        drawn = mean + (variance / 2).exp() * torch.randn_like(mean)
        return self.decoder(drawn), mean, variance


def divergence(mean: Tensor, variance: Tensor) -> Tensor:
    """The sum over all rows of the divergence from a normal distribution, of logarithms of variances."""
    return -0.5 * torch.sum(1 + variance - mean**2 - variance.exp())


@sound
def variational_autoencoder(watch_of: WatchOf) -> Outcome:
    """Pixels end in a sigmoid, and the loss is a sum over all pixels and rows, plus the divergence."""
    x = strokes(1600)[0]
    model = Variational(nn.Sigmoid())

    def loss_of(outputs: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        pixels, mean, variance = outputs
        return F.binary_cross_entropy(pixels, x.flatten(1), reduction="sum") + divergence(mean, variance)

    watch, outputs, y = fit(watch_of, model, (x, x), loss_of, rate=2e-3, epochs=15)
    return watch, explained(outputs[0], y.flatten(1)), 0.5


@sound
def variational_autoencoder_without_targets(watch_of: WatchOf) -> Outcome:
    """The squared error is summed over pixels and divided by the rows; no target is handed over."""
    x = strokes(1600)[0]
    model = Variational()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    watch = watch_of(model, optimizer)
    for _ in range(15):
        mean_loss = 0.0
        for batch in torch.randperm(1200).split(40):
            pixels, mean, variance = model(x[batch])
            error = ((pixels - x[batch].flatten(1)) ** 2).sum(1).mean()
            loss = error + 0.1 * divergence(mean, variance) / len(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch.step(loss)
            mean_loss += loss.item() / 30
        watch.epoch(elbo=-mean_loss)
    with torch.no_grad():
        return watch, explained(model(x[1200:])[0], x[1200:].flatten(1)), 0.5


@sound
def diffusion(watch_of: WatchOf) -> Outcome:
    """The network predicts the noise of a noisy point, which it can do in part only, so the loss stays high."""
    model = perceptron(6, 2, hidden=64)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    watch = watch_of(model, optimizer)
    signal = torch.cumprod(1 - torch.linspace(1e-3, 0.1, 50), 0)

    def noisy(n: int) -> tuple[Tensor, Tensor]:
        t, noise = torch.randint(0, 50, (n,)), torch.randn(n, 2)
        x = signal[t, None].sqrt() * moons(n) + (1 - signal[t, None]).sqrt() * noise
        angle = t[:, None] / 50 * torch.tensor([1.57, 6.28])
        return torch.cat([x, angle.sin(), angle.cos()], 1), noise

    for step in range(1000):
        x, noise = noisy(64)
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), noise)
        loss.backward()
        optimizer.step()
        watch.step(loss, target=noise)
        if step % 100 == 99:
            watch.epoch()
    x, noise = noisy(2000)
    with torch.no_grad():
        return watch, explained(model(x), noise), 0.4


# --- reinforcement ----------------------------------------------------------------------------------------------

SIZE, GOAL, STEPS, DISCOUNT = 4, 15, 12, 0.95


def seen(cells: Tensor) -> Tensor:
    """What an agent sees of its cell on the grid of 4 x 4."""
    return F.one_hot(cells, SIZE * SIZE).float()


def moved(cells: Tensor, actions: Tensor) -> Tensor:
    """Cells after moves up, down, left and right, with walls around the grid; the goal is not left again."""
    offsets = torch.tensor([[-1, 0], [1, 0], [0, -1], [0, 1]])[actions]
    places = (torch.stack([cells // SIZE, cells % SIZE], 1) + offsets).clamp(0, SIZE - 1)
    return torch.where(cells == GOAL, cells, places[:, 0] * SIZE + places[:, 1])


@torch.no_grad()
def episodes(logits_of: Callable[[Tensor], Tensor], n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cells and actions (steps, n), discounted returns, and which steps came before the goal."""
    cells, cell, actions, rewards = [], torch.zeros(n, dtype=torch.long), [], []
    for _ in range(STEPS):
        action = torch.distributions.Categorical(logits=logits_of(seen(cell))).sample()
        after = moved(cell, action)
        cells.append(cell)
        actions.append(action)
        rewards.append((after == GOAL).float() * (cell != GOAL))
        cell = after
    returns: list[torch.Tensor] = []
    value = torch.zeros(n)
    for reward in reversed(rewards):
        value = reward + DISCOUNT * value
        returns.insert(0, value)
    before = torch.stack(cells)
    return before, torch.stack(actions), torch.stack(returns), before != GOAL


def arrived(logits_of: Callable[[Tensor], Tensor]) -> float:
    """Fraction of 500 episodes that reach the goal; 5% do at random."""
    return (episodes(logits_of, 500)[2][0] > 0).float().mean().item()


@sound
def reinforce_on_a_bandit(watch_of: WatchOf) -> Outcome:
    """REINFORCE with contexts: the loss is about zero all the time, while the reward rises."""
    model, best = perceptron(6, 4), torch.randn(6, 4)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    watch = watch_of(model, optimizer)
    baseline = 0.0
    for step in range(600):
        x = torch.randn(32, 6)
        policy = torch.distributions.Categorical(logits=model(x))
        action = policy.sample()
        reward = (action == (x @ best).argmax(1)).float() + 0.3 * torch.randn(32)
        loss = -(policy.log_prob(action) * (reward - baseline)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch.step(loss)
        baseline += 0.05 * (reward.mean().item() - baseline)
        if step % 60 == 59:
            watch.epoch(reward=baseline)
    x = torch.randn(1000, 6)
    with torch.no_grad():
        return watch, hits(model(x), (x @ best).argmax(1)), 0.7


@sound
def reinforce_on_a_grid(watch_of: WatchOf) -> Outcome:
    """REINFORCE with sparse rewards; the loss is a sum over the steps of an episode, and has no trend."""
    model = perceptron(SIZE * SIZE, 4)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    watch = watch_of(model, optimizer)
    for _ in range(150):
        cells, actions, returns, alive = episodes(model, 32)
        policy = torch.distributions.Categorical(logits=model(seen(cells)))
        loss = -(policy.log_prob(actions) * (returns - returns.mean()) * alive).sum(0).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch.step(loss)
    return watch, arrived(model), 0.8


class Actor(nn.Module):
    """Logits of the actions, and the value of what is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(SIZE * SIZE, 32), nn.Tanh())
        self.policy, self.value = nn.Linear(32, 4), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(x)
        return self.policy(x), self.value(x).squeeze(-1)


@sound
def actor_and_critic(watch_of: WatchOf) -> Outcome:
    """The losses of a policy, of its value and of its entropy are added, and the value loss rises at first."""
    model = Actor()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    watch = watch_of(model, optimizer)
    for step in range(150):
        cells, actions, returns, alive = (part.flatten() for part in episodes(lambda x: model(x)[0], 32))
        logits, values = model(seen(cells[alive]))
        policy = torch.distributions.Categorical(logits=logits)
        advantage = returns[alive] - values.detach()
        loss = -(policy.log_prob(actions[alive]) * advantage).mean() - 0.005 * policy.entropy().mean()
        loss = loss + 0.5 * F.mse_loss(values, returns[alive])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch.step(loss)
        if step % 15 == 14:
            watch.epoch(reward=returns[:32].mean().item())
    return watch, arrived(lambda x: model(x)[0]), 0.8


@sound
def clipped_policy(watch_of: WatchOf) -> Outcome:
    """The loss of PPO: a clipped ratio, which has no gradient for many rows; four passes over each set."""
    model = Actor()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    watch = watch_of(model, optimizer)
    for _ in range(40):
        cells, actions, returns, alive = (part.flatten() for part in episodes(lambda x: model(x)[0], 32))
        cells, actions, returns = cells[alive], actions[alive], returns[alive]
        with torch.no_grad():
            logits, values = model(seen(cells))
        old = torch.distributions.Categorical(logits=logits).log_prob(actions)
        advantages = (returns - values) / (returns.std() + 1e-3)
        for _ in range(4):
            for batch in torch.randperm(len(cells)).split(64):
                logits, values = model(seen(cells[batch]))
                policy = torch.distributions.Categorical(logits=logits)
                ratio, advantage = (policy.log_prob(actions[batch]) - old[batch]).exp(), advantages[batch]
                gain = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
                error = F.mse_loss(values, returns[batch])
                loss = -gain + 0.5 * error - 0.005 * policy.entropy().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                watch.step(loss)
        watch.epoch(length=alive.sum().item() / 32)
    return watch, arrived(lambda x: model(x)[0]), 0.8


@sound
def values_with_a_target_network(watch_of: WatchOf) -> Outcome:
    """DQN: the targets come from a copy of the model, and move with it, so that the loss rises before it falls."""
    model = perceptron(SIZE * SIZE, 4)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    watch = watch_of(model, optimizer)
    slow, cell, memory = copy.deepcopy(model), torch.zeros(16, dtype=torch.long), list[Tensor]()
    for step in range(800):
        with torch.no_grad():
            action = model(seen(cell)).argmax(1)
        action = torch.where(torch.rand(16) < max(0.1, 1 - step / 400), torch.randint(0, 4, (16,)), action)
        after = moved(cell, action)
        memory.append(torch.stack([cell, action, after], 1))
        cell = torch.where((after == GOAL) | (torch.rand(16) < 0.05), 0, after)
        if step < 20:
            continue
        rows = torch.cat(memory[-200:])
        before, action, after = rows[torch.randint(0, len(rows), (64,))].unbind(1)
        with torch.no_grad():
            reward = (after == GOAL).float()
            target = reward + DISCOUNT * (1 - reward) * slow(seen(after)).max(1).values
        values = model(seen(before)).gather(1, action[:, None]).squeeze(1)
        loss = F.smooth_l1_loss(values, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch.step(loss, target=target)
        if step % 25 == 0:
            slow.load_state_dict(model.state_dict())
    return watch, arrived(lambda x: 100 * model(x)), 0.8


# --- main -------------------------------------------------------------------------------------------------------


class Unwatched:
    """Takes the place of a watch, and does nothing."""

    def __init__(self, model: nn.Module, optimizer: Any) -> None:
        pass

    def step(self, loss: Tensor, target: Any = None) -> None:
        pass

    def epoch(self, **values: float) -> None:
        pass


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python docs/measured sound_loops", description=__doc__)
    parser.add_argument(
        "--list", action="store_true", help="train each loop without a watch, which is the default"
    )
    parser.add_argument("--only", metavar="TEXT", default="", help="only the loops whose names contain TEXT")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    failed = []
    print(f"{'loop':40}{'number':>8}{'bound':>8}{'seconds':>9}")
    for name, loop in LOOPS.items():
        if options.only not in name:
            continue
        start = time.perf_counter()
        _, number, bound = loop(Unwatched, options.seed)
        seconds = time.perf_counter() - start
        learned = number >= bound
        failed += [] if learned else [name]
        end = "" if learned else "  not learned"
        print(f"{name:40}{number:8.3f}{bound:8.2f}{seconds:9.2f}{end}", flush=True)
    if failed:
        raise SystemExit(f"{len(failed)} loops have not learned: {', '.join(failed)}")
