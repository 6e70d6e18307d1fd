"""The training loop as users of PyTorch write it, with what the schema offers: the oracle of the epoch loop."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


def tensors(images, labels, scale=255, transform=lambda x: x):
    dtype = str(torch.get_default_dtype()).removeprefix("torch.")
    pixels = torch.from_numpy(images.reshape(len(images), 1, 1, -1).astype(dtype) / np.dtype(dtype).type(scale))
    pixels = torch.stack([transform(image) for image in pixels]).flatten(1)
    return TensorDataset(pixels, torch.from_numpy(labels.astype("int64")))


def generator(seed):
    return torch.Generator().manual_seed(seed)


def ready(parts, hidden=True, output=True):
    """`hidden`, `output`: whether those layers have a bias."""
    first, second = nn.Linear(784, 16, hidden), nn.Linear(16, 16, hidden)
    return nn.Sequential(first, *parts, second, *parts, nn.Linear(16, 10, output))


def plain(
    dataset,
    epochs,
    optimizer_of,
    used=lambda train: train,  # of the training images
    holdout=0,
    split=None,  # the hold-out's generator
    pixels=None,  # what `tensors` makes of them
    loading=None,  # options of the training's DataLoader
    checking=32,  # images at once in validation
    network=ready,
    parts=(),  # what follows a hidden linear layer
    train_seed=None,
    on_gradient=lambda model: None,
    rate=None,
    by_image=False,
    dtype=torch.float32,
    after_epoch=lambda optimizer, row: None,
    checking_draws=True,  # or as if there had been no validation
    also_checked=False,  # a second validation loader, after the first
):
    """The loop as a user of PyTorch writes it."""
    torch.set_default_dtype(dtype)
    torch.manual_seed(42)
    train = tensors(dataset.train_images, dataset.train_labels, **pixels or {})
    validation = tensors(dataset.test_images, dataset.test_labels, **pixels or {})
    train = used(train)
    if holdout:
        train, validation = random_split(train, [len(train) - holdout, holdout], split)
    train, validation = (
        DataLoader(train, 32, **{"shuffle": True, **(loading or {})}),
        DataLoader(validation, checking),
    )
    model = network(parts)
    if train_seed is not None:
        torch.manual_seed(train_seed)
    optimizer, step, rows = optimizer_of(model), 0, []
    for epoch in range(epochs):
        losses, sizes, right = [], [], 0
        model.train()
        for x, y in train:
            if rate is not None:
                optimizer.param_groups[0]["lr"] = rate(epoch, step)
            logits = model(x)
            loss = nn.functional.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            on_gradient(model)
            optimizer.step()
            step += 1
            losses.append(loss.item())
            sizes.append(len(y))
            right += int((logits.argmax(1) == y).sum())
        accuracy = right / sum(sizes)
        trained = {"train_loss": mean(losses, sizes, by_image), "train_acc": accuracy}
        model.eval()
        before = torch.get_rng_state()
        with torch.no_grad():
            checked = [(model(x), y) for x, y in validation]
        if also_checked:
            list(DataLoader(used(tensors(dataset.test_images, dataset.test_labels)), 32))
        if not checking_draws:
            torch.set_rng_state(before)
        losses = [nn.functional.cross_entropy(logits, y).item() for logits, y in checked]
        right = sum(int((logits.argmax(1) == y).sum()) for logits, y in checked)
        sizes = [len(y) for _, y in checked]
        accuracy = right / sum(sizes)
        validated = {"val_loss": mean(losses, sizes, by_image), "val_acc": accuracy}
        rows.append({"epoch": epoch + 1, **trained, **validated})
        after_epoch(optimizer, rows[-1])
    return rows, model


class BatchNormInForward(nn.Module):
    """A new `nn.BatchNorm1d` in each call: always in training mode, its scale and shift never trained."""

    def forward(self, x):
        return nn.BatchNorm1d(x.shape[1])(x)


def plain_stages(dataset, stages):
    """Training losses of a network that grows: (layers, epochs, whether validated) per stage."""
    torch.manual_seed(42)
    train = DataLoader(tensors(dataset.train_images, dataset.train_labels), 32, shuffle=True)
    validation = DataLoader(tensors(dataset.test_images, dataset.test_labels), 32)
    layers = [nn.Linear(16 if number else 784, 16) for number in range(stages[-1][0])]
    losses = []
    for depth, epochs, validated in stages:
        model = nn.Sequential(
            *(part for layer in layers[:depth] for part in (layer, nn.Tanh())), nn.Linear(16, 10)
        )
        optimizer = sgd(model)
        for _ in range(epochs):
            seen = []
            for x, y in train:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                seen.append(loss.item())
            losses.append(sum(seen) / len(seen))
            if validated:
                list(validation)
    return losses, model


def mean(losses, sizes, by_image):
    if by_image:
        return sum(loss * size for loss, size in zip(losses, sizes, strict=True)) / sum(sizes)
    return sum(losses) / len(losses)


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), lr=0.1, **options)


class Adopt(torch.optim.Optimizer):
    """Its authors' operations, one parameter after the other, with their defaults."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})
        self.seen = 0

    @torch.no_grad()
    def step(self):
        for parameter in self.param_groups[0]["params"]:
            grad, state = parameter.grad, self.state[parameter]
            if not self.seen:
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter).addcmul_(grad, grad.conj())
                continue
            denom = torch.clamp(state["exp_avg_sq"].sqrt(), 1e-6)
            normed = grad.div(denom).clamp_(-(self.seen**0.25), self.seen**0.25)
            state["exp_avg"].lerp_(normed, 1 - 0.9)
            parameter.add_(state["exp_avg"], alpha=-self.param_groups[0]["lr"])
            state["exp_avg_sq"].mul_(0.9999).addcmul_(grad, grad.conj(), value=1 - 0.9999)
        self.seen += 1


class Standardized(nn.Module):
    def forward(self, x):
        mean = torch.mean(x)
        std = torch.std(x)
        return (x - mean) / std


class NormalizedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return (g - torch.mean(g)) / (torch.std(g) + 1e-6)


class GradientNorm(nn.Module):
    def forward(self, x):
        return NormalizedGradient.apply(x)
