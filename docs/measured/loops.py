"""The diagnosis of plain PyTorch loops under `optilab.watch`: healthy ones, and ones with one change.

Without an option, the stored loops are diagnosed again. `--train HALF` trains them, a second or two each.
A bug of a loop makes it faulty, whatever it costs. A bad setting does if it costs five points of skill next to the same
loop without it, is harmless below half of that, and is left out between. Skill is validation accuracy above chance, or
the explained fraction of the variance. A healthy loop that learned much less than the unchanged one is left out, too.
The held-out half has other families, seeds and strengths.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import optilab
from docs.measured import figures
from docs.measured.diagnosis import train as storing
from optilab.diagnose import Evidence, Severity, diagnose
from optilab.diagnose.evidence import LOOP_FACTS
from tests.diagnosis import stored

CLASSES = 5
TRAIN, VALIDATION = 480, 400

# --- data: every family can learn its own to 80 % or more in some ten epochs ------------------------------------


def images(n: int, size: int = 12) -> tuple[Tensor, Tensor]:
    """Images (n, 1, size, size) of five blurred strokes, shifted and noisy, and their classes."""
    y = torch.randint(0, CLASSES, (n,))
    grid = torch.arange(size).float()
    x = torch.zeros(n, size, size)
    for row in range(n):
        at, angle = size / 2 + torch.randn(2), torch.tensor(y[row] * torch.pi / CLASSES)
        across = (grid[:, None] - at[0]) * angle.sin() - (grid[None] - at[1]) * angle.cos()
        x[row] = torch.exp(-(across**2) / 2)
    return ((x + 0.3 * torch.randn(x.shape)).clamp(0, 1.5)).unsqueeze(1), y


def sequences(n: int, length: int = 16) -> tuple[Tensor, Tensor]:
    """Sequences (n, length, 2) of a noisy wave, classes by its frequency."""
    y = torch.randint(0, CLASSES, (n,))
    t, phase = torch.arange(length).float(), 6.3 * torch.rand(n, 1)
    wave = (0.3 + 0.3 * y[:, None]) * t + phase
    return torch.stack([wave.sin(), wave.cos()], 2) + 0.2 * torch.randn(n, length, 2), y


def tokens(n: int, length: int = 16) -> tuple[Tensor, Tensor]:
    """Tokens (n, length) of 20 kinds; the class is the kind, of the first five, that is there most often."""
    y = torch.randint(0, CLASSES, (n,))
    x = torch.randint(0, 20, (n, length))
    here = torch.rand(n, length) < 0.35
    return torch.where(here, y[:, None].expand_as(x), x), y


def tagged(n: int, length: int = 12) -> tuple[Tensor, Tensor]:
    """Tokens (n, length) and a tag for each: token plus the one before, modulo five."""
    x = torch.randint(0, CLASSES, (n, length))
    return x, (x + torch.cat([x[:, :1] * 0, x[:, :-1]], 1)) % CLASSES


def text(n: int, length: int = 16) -> tuple[Tensor, Tensor]:
    """Tokens of a Markov chain on twelve symbols, and the next token of each."""
    rng = torch.Generator().manual_seed(3)
    table = torch.softmax(3 * torch.randn(12, 12, generator=rng), 1)
    rows = [torch.randint(0, 12, (n,))]
    for _ in range(length):
        rows.append(torch.multinomial(table[rows[-1]], 1).squeeze(1))
    all_ = torch.stack(rows, 1)
    return all_[:, :-1], all_[:, 1:]


def curve(n: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 6)
    return x, (x[:, 0] * x[:, 1] + torch.sin(2 * x[:, 2]) + 0.1 * torch.randn(n)).unsqueeze(1)


def yes_or_no(n: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 6)
    return x, ((x[:, 0] * x[:, 1] + x[:, 2]) > 0).float().unsqueeze(1)


def pictures(n: int) -> tuple[Tensor, Tensor]:
    x, _ = images(n)
    return x, x - x.mean()


# --- networks ---------------------------------------------------------------------------------------------------


class Net(nn.Module):
    """Layers that are called in turn, with an activation by function after each but the last."""

    def __init__(self, layers: list[nn.Module], act: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.layers, self.act, self.end, self.cut = nn.ModuleList(layers), act, nn.Identity(), False

    def forward(self, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            x = layer(x)
            weighs = isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
            followed = self.layers[number + 1 : number + 2]
            if isinstance(layer, nn.BatchNorm2d) or (
                weighs and not isinstance(next(iter(followed), None), nn.BatchNorm2d)
            ):
                x = (
                    self.act(x)
                    if any(
                        getattr(later, "weight", torch.zeros(0)).dim() > 1 for later in self.layers[number + 1 :]
                    )
                    else x
                )
            if self.cut and number == len(self.layers) // 2 - 1:
                x = x.detach()
        return self.end(x)


def cnn(act: Any = F.relu) -> nn.Module:
    return Net([nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.1),
                nn.Linear(256, 32), nn.Linear(32, CLASSES)], act)  # fmt: skip


def vgg(act: Any = F.relu) -> nn.Module:
    parts: list[nn.Module] = []
    for a, b in ((1, 8), (8, 8), (8, 16), (16, 16)):
        parts += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b)]
        parts += [nn.MaxPool2d(2)] if b > a and a > 1 else []
    return Net([*parts, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(144, CLASSES)], act)


def mlp(inputs: int, outputs: int, depth: int = 2, width: int = 32) -> Callable[..., nn.Module]:
    def build(act: Any = F.relu) -> nn.Module:
        sizes = [inputs, *[width] * depth]
        return Net([nn.Flatten(), *(nn.Linear(a, b) for a, b in pairwise(sizes)),
                    nn.Linear(width, outputs)], act)  # fmt: skip

    return build


def autoencoder(act: Any = F.relu) -> nn.Module:
    return Net([nn.Conv2d(1, 8, 4, 2, 1), nn.Conv2d(8, 16, 4, 2, 1), nn.ConvTranspose2d(16, 8, 4, 2, 1),
                nn.ConvTranspose2d(8, 1, 4, 2, 1)], act)  # fmt: skip


class Residual(nn.Module):
    def __init__(self, act: Any = F.relu) -> None:
        super().__init__()
        self.stem, self.act, self.end, self.cut = nn.Conv2d(1, 12, 3, padding=1), act, nn.Identity(), False
        self.blocks = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(12, 12, 3, padding=1), nn.BatchNorm2d(12), nn.Conv2d(12, 12, 3, padding=1)])
            for _ in range(3)
        )
        self.head = nn.Linear(12 * 9, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        for first, norm, second in self.blocks:  # type: ignore[misc]
            x = self.act(x + second(self.act(norm(first(x)))))  # type: ignore[has-type]
        x = F.adaptive_avg_pool2d(x, 3).flatten(1)
        return self.end(self.head(x.detach() if self.cut else x))


class Recurrent(nn.Module):
    def __init__(self, kind: str, each: bool = False, vocabulary: int = 0) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, 16) if vocabulary else nn.Identity()
        self.rnn = getattr(nn, kind)(16 if vocabulary else 2, 32, batch_first=True)
        self.drop, self.each, self.end, self.cut = nn.Dropout(0.1), each, nn.Identity(), False
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.rnn(self.embed(x))
        out = out if self.each else out[:, -1]
        return self.end(self.head(self.drop(out.detach() if self.cut else out)))


class Transformer(nn.Module):
    def __init__(self, kind: str = "tokens", layers: int = 2) -> None:
        super().__init__()
        self.kind, self.end, self.cut = kind, nn.Identity(), False
        self.embed: nn.Module = nn.Conv2d(1, 32, 3, 3) if kind == "patches" else nn.Embedding(20, 32)
        self.place = nn.Parameter(0.02 * torch.randn(1, 16, 32))
        block = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.norm, self.head = (
            nn.LayerNorm(32),
            nn.Linear(32, 20 if kind == "text" else CLASSES, bias=kind != "text"),
        )
        if kind == "text":
            self.head.weight = self.embed.weight  # type: ignore[assignment]
            nn.init.normal_(self.head.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x.flatten(2).transpose(1, 2) if self.kind == "patches" else x
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]) if self.kind == "text" else None
        x = self.norm(self.blocks(x + self.place, mask=mask, is_causal=self.kind == "text"))
        x = x if self.kind == "text" else x.mean(1)
        return self.end(self.head(x.detach() if self.cut else x))


@dataclass(frozen=True)
class Family:
    data: Callable[[int], tuple[Tensor, Tensor]]
    net: Callable[..., nn.Module]
    loss: str = "cross-entropy"
    epochs: int = 12
    rate: float = 3e-3
    modes: bool = True  # dropout or batch norm
    act: bool = False  # takes an activation


FAMILIES = {
    "design": {
        "cnn": Family(images, cnn, epochs=8, act=True),
        "mlp": Family(images, mlp(144, CLASSES), modes=False, act=True),
        "residual": Family(images, Residual, epochs=7, act=True),
        "lstm": Family(sequences, lambda: Recurrent("LSTM"), epochs=16, rate=1e-2),
        "transformer": Family(tokens, Transformer),
        "regression": Family(curve, mlp(6, 1), "mse", 20, 1e-2, modes=False, act=True),
        "binary": Family(yes_or_no, mlp(6, 1), "bce", 20, 1e-2, modes=False, act=True),
    },
    "held-out": {
        "vgg": Family(images, vgg, epochs=6, act=True),
        "autoencoder": Family(pictures, autoencoder, "mse", 8, 1e-2, modes=False, act=True),
        "tagger": Family(tagged, lambda: Recurrent("GRU", True, 8), epochs=12, rate=1e-2),
        "patches": Family(images, lambda: Transformer("patches"), epochs=10),
        "language": Family(text, lambda: Transformer("text", 1), epochs=10),
        "wide-regression": Family(curve, mlp(6, 1, 3, 48), "mse", 20, 5e-3, modes=False, act=True),
        "deep-binary": Family(yes_or_no, mlp(6, 1, 4, 24), "bce", 20, 5e-3, modes=False, act=True),
    },
}

# --- changes ----------------------------------------------------------------------------------------------------

BUGS = {
    "not zeroed": {"gradients-not-zeroed"},
    "another model": {"optimizer-of-another-model"},
    "not held": {"parameters-not-in-optimizer"},
    "no step": {"no-optimizer-step"},
    "rate zero": {"learning-rate-zero", "learning-rate-decayed"},
    "softmax twice": {"softmax-twice"},
    "broadcast": {"shapes-broadcast"},
    "eval in training": {"eval-mode-in-training"},
    "train in validation": {"train-mode-in-validation"},
    "sorted": {"batches-sorted-by-class"},
    "same batch": {"same-batch"},
    "not finite": {"non-finite-data"},
    "cut": {"graph-cut"},
    "one class": {"one-class"},
}
"""Bugs of loops -> the findings that name them."""
SETTINGS = {
    "sum": {"loss-is-a-sum"},
    "inputs": {"inputs-out-of-scale"},
    "targets": {"targets-out-of-scale"},
    "shuffled labels": {"labels-unrelated"},
    "rate too high": {"learning-rate-too-high"},
    "rate too low": {"learning-rate-too-low"},
    "large weights": {"weights-too-large"},
    "symmetric": {"symmetric-init"},
    "dead": {"dead-units"},
    "weight decay": {"weight-decay-too-strong"},
    "dropout": {"dropout-too-strong"},
    "vanishing": {"vanishing-gradient", "weights-too-large", "learning-rate-too-low"},
}
"""Bad settings -> the findings that name them."""
HEALTHY = (
    "", "sgd", "adamw", "rmsprop", "accumulate", "clip", "cosine", "frozen", "unused", "bf16", "two groups",
    "no targets", "whole set", "large batch", "small batch", "short", "no epochs", "other seed",
)  # fmt: skip


@dataclass(frozen=True)
class Loop:
    """A labelled loop."""

    half: str
    family: str
    change: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.family}: {self.change or 'unchanged'}"

    @property
    def accepted(self) -> set[str]:
        return {**BUGS, **SETTINGS}.get(self.change, set())


def loops(half: str) -> Iterator[Loop]:
    """Every family with a third of the ways to be healthy, and half of the changes that have a meaning for it."""
    for number, (name, family) in enumerate(FAMILIES[half].items()):
        for place, change in enumerate([*HEALTHY, *BUGS, *SETTINGS]):
            classes = family.loss == "cross-entropy"
            if (
                (change in HEALTHY and change and (place + number) % 3)
                or (change not in HEALTHY and (place + number) % 2)
                or (change == "softmax twice" and family.loss == "mse")
                or (change in ("broadcast", "targets") and (family.loss != "mse" or name == "autoencoder"))
                or (change == "sorted" and (not classes or name in ("tagger", "language")))
                or (change == "one class" and (not classes or name in ("tagger", "language")))
                or (change in ("eval in training", "train in validation", "dropout") and not family.modes)
                or (change == "dropout" and name in ("vgg", "residual"))
                or (change == "inputs" and family.data in (tokens, tagged, text))
                or (change == "vanishing" and (not family.act or name in ("residual", "vgg", "autoencoder")))
                or (change == "large weights" and not classes)
                or (change == "not finite" and family.data in (tokens, tagged, text))
                or (change == "dead" and not family.act)
            ):
                continue
            yield Loop(half, name, change, (7000 if half == "held-out" else 100) + 50 * number + place)


def spoil(net: nn.Module, change: str, strong: bool) -> None:
    """Change the initial weights of hidden layers."""
    layers = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.RNNBase)]
    with torch.no_grad():
        for layer in layers[:-1] if len(layers) > 1 else layers:
            weights = [p for p in layer.parameters() if p.dim() > 1]
            for weight in weights:
                if change == "large weights":
                    weight.mul_(12 if strong else 20)
                elif change == "symmetric":
                    weight.fill_(0.05 if strong else 0.1)
            bias = getattr(layer, "bias", None)
            if change == "dead" and isinstance(bias, Tensor):
                bias.fill_(-12 if strong else -8)
            if change == "symmetric" and isinstance(bias, Tensor):
                bias.zero_()
        if change == "large weights":
            for weight in (p for p in layers[-1].parameters() if p.dim() > 1):
                weight.mul_(12 if strong else 20)


def watched(net: nn.Module, optimizer: torch.optim.Optimizer, batch: Any = None) -> optilab.watch:
    return optilab.watch(net, optimizer)


def run(loop: Loop, attach: Callable[..., Any] = watched) -> tuple[Any, float]:
    """Train one loop under a watch, or what `attach(net, optimizer, batch)` makes; that, and the skill that came out.

    `batch` is the first one: inputs, targets, and the function of both that is the loss.
    """
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(loop.seed)
    family, change, held_out = FAMILIES[loop.half][loop.family], loop.change, loop.half == "held-out"
    x, y = family.data(TRAIN + VALIDATION)
    vx, vy, x, y = x[TRAIN:], y[TRAIN:], x[:TRAIN].clone(), y[:TRAIN].clone()
    net = family.net(torch.sigmoid) if change == "vanishing" else family.net()
    if change == "vanishing":
        assert isinstance(net, Net)
        width = net.layers[-1].in_features
        extra = [nn.Linear(width, width) for _ in range(7 if held_out else 6)]  # type: ignore[arg-type]
        net.layers = nn.ModuleList([*net.layers[:-1], *extra, net.layers[-1]])
    epochs, rate, batch = family.epochs, family.rate, 24
    if change == "inputs":
        x, vx = (x * 300, vx * 300) if held_out else (x * 1e-4, vx * 1e-4)
    if change == "targets":
        y, vy = (y * 40 + 300, vy * 40 + 300) if held_out else (y * 100 + 500, vy * 100 + 500)
    if change == "shuffled labels":
        y = y[torch.randperm(len(y))]
    if change == "one class":
        y, vy = y * 0 + 2, vy * 0 + 2
    if change == "not finite":
        x[:: 20 if held_out else 12, ..., 0] = float("nan")
    spoil(net, change, held_out)
    if change == "frozen":
        next(m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.Embedding)).requires_grad_(False)
    if change == "unused":
        net.extra = nn.Linear(3, 3)
    if change == "dropout":
        for module in net.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.97 if held_out else 0.95
    if change == "softmax twice":
        net.end = nn.Sigmoid() if family.loss == "bce" else nn.Softmax(-1)
    net.cut = change == "cut"  # type: ignore[assignment]
    rate *= {"rate too high": 300 if held_out else 200, "rate too low": 3e-5 if held_out else 1e-5}.get(change, 1)
    trained = [p for p in net.parameters() if p.requires_grad]
    if change == "another model":
        trained = list(family.net().parameters())
    if change == "not held":
        trained = trained[len(trained) // 2 :]
    if change == "two groups":
        half = len(trained) // 2
        trained = [{"params": trained[:half]}, {"params": trained[half:], "lr": rate / 2}]  # type: ignore[list-item]
    decay = {"weight decay": 2.0 if held_out else 1.0}.get(change, 0.0)
    made: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(trained, 10 * rate, momentum=0.9),
        "rmsprop": lambda: torch.optim.RMSprop(trained, rate / 3),
        "adamw": lambda: torch.optim.AdamW(trained, rate, weight_decay=0.05),
        "weight decay": lambda: torch.optim.SGD(trained, 10 * rate, weight_decay=decay / 10 * 3),
        "rate too high": lambda: torch.optim.Adam(trained, rate),
    }
    optimizer = made.get(change, lambda: torch.optim.Adam(trained, rate))()
    epochs = {"short": 2}.get(change, epochs)
    batch = {"whole set": TRAIN, "large batch": 96, "small batch": 8}.get(change, batch)
    epochs = {"whole set": 50, "large batch": 3 * epochs}.get(change, epochs)
    schedule: Any = None
    if change == "cosine":
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    if change == "rate zero":
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda e: max(0.0, 1 - e / (1.5 if held_out else 1))
        )
    losses = {"cross-entropy": F.cross_entropy, "mse": F.mse_loss, "bce": F.binary_cross_entropy_with_logits}
    of = losses[family.loss]

    def loss_of(out: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
        if family.loss == "cross-entropy":
            out, y = out.reshape(-1, out.shape[-1]), y.reshape(-1)
        return of(out, y, reduction=reduction)  # type: ignore[operator]

    skill = 0.0
    with attach(net, optimizer, (x[:batch], y[:batch], loss_of)) as watch:
        for _ in range(epochs):
            net.train(change != "eval in training")
            order = torch.randperm(TRAIN)
            if change == "sorted":
                order = y.argsort()
            for number, here in enumerate(order.split(batch)):
                if change == "same batch":
                    here = torch.arange(batch)
                bx, by = x[here], y[here]
                if change == "broadcast":
                    by = by.squeeze(1)
                if change != "not zeroed" and (change != "accumulate" or number % 4 == 0):
                    optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16, enabled=change == "bf16"):
                    out = net(bx)
                    loss = loss_of(out, by, "sum" if change == "sum" else "mean")
                loss.backward()
                if change == "clip":
                    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                if change != "no step" and (change != "accumulate" or number % 4 == 3):
                    optimizer.step()
                watch.step(loss, target=None if change == "no targets" else by)
            if schedule:
                schedule.step()
            net.train(change == "train in validation")
            with torch.no_grad():
                out = net(vx)
                value = loss_of(out, vy)
            metrics: dict[str, Any] = {"val_loss": value}
            if family.loss == "mse":
                skill = 1 - float(value) / float(vy.var())
            else:
                answers = out.argmax(-1) == vy if family.loss == "cross-entropy" else (out > 0) == (vy > 0.5)
                metrics["val_acc"] = answers.float().mean()
                chance = 0.5 if family.loss == "bce" else 1 / out.shape[-1]
                skill = (float(metrics["val_acc"]) - chance) / (1 - chance)
            if change not in ("no epochs", "no targets"):
                watch.epoch(**metrics)
    return watch, skill if skill == skill else 0.0


class BareNumbers:
    """A watch that gets only the loss of each step, as a number."""

    def __init__(self, net: nn.Module, optimizer: torch.optim.Optimizer, batch: Any = None) -> None:
        self.watch = watched(net, optimizer)
        self.evidence = self.watch.evidence

    def __enter__(self) -> "BareNumbers":
        return self

    def __exit__(self, *_: object) -> None:
        self.watch.close()

    def step(self, loss: Tensor, target: Any = None) -> None:
        self.watch.step(loss.item())

    def epoch(self, **metrics: Any) -> None:
        pass


def train(loop: Loop, bare: bool = False) -> dict[str, Any]:
    """What the watch saw of a loop, and the skill that came out."""
    watch, skill = run(loop, BareNumbers if bare else watched)
    return stored_form(watch.evidence(), skill)


def stored_form(e: Evidence, skill: float) -> dict[str, Any]:
    """Evidence as `stored.evidence` reads it."""
    rule = {"lr": e.setup.lr, "weight_decay": e.setup.decoupled_decay}
    setup = {"rule": rule, **{key: getattr(e.setup, key) for key in LOOP_FACTS}}
    seen = {"setup": setup, "rows": list(e.rows), "records": list(e.diagnostics), "divergence": e.divergence}
    return {**seen, "trial": e.probe_run, "skill": skill}


@dataclass(frozen=True)
class Outcome:
    """A loop, what became of it, and its findings that are more than a note."""

    loop: Loop
    truth: str
    named: tuple[str, ...]

    @property
    def flagged(self) -> bool:
        return bool(self.named)

    @property
    def right(self) -> bool:
        """The first finding names the cause."""
        return self.flagged and self.named[0] in self.loop.accepted


OPENED: dict[str, tuple[str, ...]] = {
    "autoencoder: shuffled labels": (),
    "tagger: rate too high": ("vanishing-through-time", "learning-rate-too-high"),
    "patches: inputs": (),
    "wide-regression: inputs": (),
}
"""Held-out loop -> what it was called when that half was opened, where later rules, made for it, say more."""


def path_of(half: str, bare: bool = False) -> Path:
    """Held-out loops are what the tests diagnose."""
    folder = stored.HERE if half == "held-out" and not bare else Path(__file__).parent
    return folder / f"{'bare-' * bare}loops-{half}.json.gz"


def truth(loop: Loop, skill: float, unchanged: float) -> str:
    """`faulty`, `healthy` or `unclear`, by the skill of the loop and of the unchanged one."""
    if loop.change in BUGS:
        return "faulty"
    if loop.change in SETTINGS:
        return "faulty" if unchanged - skill >= 0.05 else "healthy" if unchanged - skill < 0.025 else "unclear"
    return "healthy" if loop.change == "short" or unchanged - skill < 0.1 else "unclear"  # two epochs teach little


def cases(half: str, bare: bool = False) -> Iterator[tuple[Loop, stored.Case, dict[str, Any]]]:
    """Every stored loop that is clearly faulty or clearly healthy, and what the watch saw of it."""
    recorded = stored.read(path_of(half, bare))
    for loop in (loop for loop in loops(half) if loop.name in recorded):
        entry, unchanged = recorded[loop.name], recorded[f"{loop.family}: unchanged"]["skill"]
        case = stored.Case(loop.name, loop.change, truth(loop, entry["skill"], unchanged), ())
        if case.truth != "unclear":
            yield loop, case, entry


def diagnosed(half: str, opened: bool = False, bare: bool = False) -> list[Outcome]:
    """The findings of every case; `opened`: by the rules that had not seen it."""
    outcomes = []
    for loop, case, entry in cases(half, bare):
        findings = diagnose(stored.evidence(case, entry))
        named = tuple(finding.name for finding in findings if finding.severity > Severity.INFO)
        outcomes.append(Outcome(loop, case.truth, OPENED.get(loop.name, named) if opened else named))
    return outcomes


def rows() -> Iterator[figures.Row]:
    """Flagged, first cause right and healthy left alone, of both halves."""
    for title, half, opened, bare in (
        ("design half", "design", False, False),
        ("held-out half, when it was opened", "held-out", True, False),
        ("held-out half, with later rules", "held-out", False, False),
        ("design half, `watch.step(loss.item())` alone", "design", False, True),
        ("held-out half, `watch.step(loss.item())` alone", "held-out", False, True),
    ):
        outcomes = diagnosed(half, opened, bare)
        flagged = [outcome for outcome in outcomes if outcome.truth == "faulty" and outcome.flagged]
        faulty, healthy = (sum(outcome.truth == name for outcome in outcomes) for name in ("faulty", "healthy"))
        clean = sum(outcome.truth == "healthy" and not outcome.flagged for outcome in outcomes)
        right = sum(outcome.right for outcome in flagged)
        yield [title, [len(flagged), faulty], [right, len(flagged)], [clean, healthy]]


def train_half(half: str, only: str, missing: bool, jobs: int, bare: bool) -> None:
    """Train the loops of a half whose name begins with `only`, and store what the watch saw."""
    path = path_of(half, bare)
    results = stored.read(path) if path.exists() else {}
    wanted = [loop for loop in loops(half) if loop.name.startswith(only)]
    wanted = [loop for loop in wanted if not (missing and loop.name in results)]
    with ProcessPoolExecutor(jobs) as pool:
        for loop, result in zip(wanted, pool.map(partial(train, bare=bare), wanted), strict=True):
            results[loop.name] = storing.shortened(result)
            print(loop.name, round(result["skill"], 3), file=sys.stderr, flush=True)
            storing.write(path, results)


def main(arguments: list[str]) -> None:
    parser = figures.parser("loops", __doc__)
    parser.add_argument("--train", choices=FAMILIES, metavar="HALF", help="train the loops of a half")
    parser.add_argument("--only", default="", metavar="NAME", help="those whose name begins so")
    parser.add_argument("--missing", action="store_true", help="those that are not stored")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--bare", action="store_true", help="give the watch the loss as a number, and nothing else"
    )
    options = parser.parse_args(arguments)
    if options.train:
        train_half(options.train, options.only, options.missing, options.jobs, options.bare)
    else:
        columns = ["loops", "faulty: flagged", "flagged: first cause right", "healthy: not flagged"]
        figures.record("loops", "loops", columns, [*rows()], options.print)
