"""Plain PyTorch loops that are sound and learn, but look faulty to a naive tool.

Each function of LOOPS builds a model, trains it as its author would, and tells a watch of each step and epoch. It
returns the watch, a number that proves that the model learned, and the bound that the number must reach. All data are
generated here, every loop is seeded, and a watch changes no bit of it. `--list` trains them all without a watch.
"""

import argparse
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
    nn.init.constant_(model[-2].bias, 3.0)
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
    nn.init.constant_(model[-2].bias, 4.0)

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
    nn.init.constant_(model.head[-1].bias, 3.0)
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
    print(f"{'loop':34}{'number':>8}{'bound':>8}{'seconds':>9}")
    for name, loop in LOOPS.items():
        if options.only not in name:
            continue
        start = time.perf_counter()
        _, number, bound = loop(Unwatched, options.seed)
        seconds = time.perf_counter() - start
        learned = number >= bound
        failed += [] if learned else [name]
        end = "" if learned else "  not learned"
        print(f"{name:34}{number:8.3f}{bound:8.2f}{seconds:9.2f}{end}", flush=True)
    if failed:
        raise SystemExit(f"{len(failed)} loops have not learned: {', '.join(failed)}")
