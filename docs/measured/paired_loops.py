"""Loops for findings that no loop of loops.py has: each with the fault, and with the same thing done right.

`--train` trains them, a second or two each, and stores what the watch saw. A bug of a loop makes it faulty; `relu at
the end` and `sum` do if they cost five points of skill next to the sound loop.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from docs.measured import figures, loops
from docs.measured.diagnosis import train as storing
from optilab.diagnose import diagnose, verdict
from tests.diagnosis import stored

PATH = Path(__file__).with_name("paired-loops.json.gz")
SEEDS = (11, 12)
Loss = Callable[[Tensor, Tensor], Tensor]


class TimeFirst(nn.Module):
    """A layer that takes (time, batch, features), and outputs one answer per sample; `swap` gives it what it takes."""

    def __init__(self, kind: str, swap: bool) -> None:
        super().__init__()
        encoder = kind == "encoder"
        self.embed = nn.Linear(2, 32) if encoder else nn.Identity()
        self.layer = nn.TransformerEncoderLayer(32, 4, 64) if encoder else getattr(nn, kind)(2, 32)
        self.head, self.swap = nn.Linear(32, loops.CLASSES), swap

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        out = self.layer(x.transpose(0, 1) if self.swap else x)
        out = out[0] if isinstance(out, tuple) else out
        return self.head(out.transpose(0, 1).mean(1) if self.swap else out.mean(1))


class Language(nn.Module):
    """A model of the next token; `causal` sees none of the later ones."""

    def __init__(self, kind: str, causal: bool) -> None:
        super().__init__()
        self.embed, self.causal, self.kind = nn.Embedding(12, 24), causal, kind
        self.place = nn.Parameter(0.1 * torch.randn(1, 16, 24))
        self.layer: nn.Module
        if kind == "transformer":
            self.layer = nn.TransformerEncoderLayer(24, 4, 48, dropout=0.0, batch_first=True)
        elif kind == "convolution":
            self.layer = nn.Conv1d(24, 24, 3)
        else:
            self.layer = getattr(nn, kind)(24, 24 if causal else 12, batch_first=True, bidirectional=not causal)
        self.head = nn.Linear(24, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x) + self.place
        if self.kind == "transformer":
            mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]) if self.causal else None
            return self.head(self.layer(x, src_mask=mask))
        if self.kind == "convolution":
            padded = F.pad(x.transpose(1, 2), (2, 0) if self.causal else (1, 1))
            return self.head(F.relu(self.layer(padded)).transpose(1, 2))
        return self.head(self.layer(x)[0])


def gelu(depth: int) -> nn.Module:
    """A perceptron whose units are never exactly flat."""
    hidden = [part for _ in range(depth) for part in (nn.Linear(32, 32), nn.GELU())]
    return nn.Sequential(nn.Flatten(), nn.Linear(144, 32), nn.GELU(), *hidden, nn.Linear(32, loops.CLASSES))


@dataclass(frozen=True)
class Task:
    """Data, a network, and how it is trained."""

    data: Callable[[int], tuple[Tensor, Tensor]]
    net: Callable[[], nn.Module]
    rate: float = 3e-3
    epochs: int = 8


TASKS = {
    "cnn": Task(loops.images, loops.cnn),
    "residual": Task(loops.images, loops.Residual, epochs=6),
    "perceptron": Task(loops.images, loops.mlp(144, loops.CLASSES)),
    "lstm": Task(loops.sequences, lambda: loops.Recurrent("LSTM"), 1e-2, 14),
    "gru": Task(loops.sequences, lambda: loops.Recurrent("GRU"), 1e-2, 14),
    "transformer": Task(loops.tokens, loops.Transformer, epochs=10),
    "regression": Task(loops.curve, loops.mlp(6, 1), 1e-2, 16),
    "deep regression": Task(loops.curve, loops.mlp(6, 1, 4), 5e-3, 16),
    "gelu": Task(loops.images, partial(gelu, 1)),
    "deep gelu": Task(loops.images, partial(gelu, 3)),
}
FAULTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "no mask": ("no-causal-mask", ("transformer", "convolution", "LSTM", "GRU")),
    "time first": ("batch-as-time", ("LSTM", "GRU", "RNN", "encoder")),
    "broadcast": ("shapes-broadcast", ("regression", "deep regression")),
    "broadcast by hand": ("shapes-broadcast", ("regression", "deep regression")),
    "raw validation": ("validation-out-of-scale", ("cnn", "residual", "perceptron", "lstm")),
    "logits in nll": ("logits-as-probabilities", ("cnn", "perceptron", "gru", "transformer")),
    "relu at the end": ("logits-as-probabilities", ("cnn", "perceptron", "lstm", "transformer")),
    "sum": ("loss-is-a-sum", ("cnn", "perceptron", "lstm", "transformer", "regression")),
    "log of zero": ("logits-as-probabilities", ("cnn", "perceptron", "gru", "transformer")),
    "zeroed too late": ("no-optimizer-step", ("cnn", "perceptron", "lstm", "transformer")),
    "no gradient left": ("learning-rate-too-high", ("gelu", "deep gelu")),
    "step per epoch": ("no-optimizer-step", ("cnn", "perceptron", "lstm", "transformer")),
}
"""Fault -> the finding that names it, and the tasks that have it."""
SETTINGS = ("relu at the end", "sum")
"""Faults that count if they cost five points of skill."""
MIN_SOUND = 0.1
"""Skill of a sound loop below which nothing is known of its twin with such a fault."""


def cases() -> Iterator[tuple[str, str, bool, int]]:
    """Fault, task, whether the fault is there, seed."""
    for fault, (_, tasks) in FAULTS.items():
        for task in tasks:
            yield from ((fault, task, faulty, seed) for faulty in (True, False) for seed in SEEDS)


def name_of(fault: str, task: str, faulty: bool, seed: int) -> str:
    return f"{task}: {fault if faulty else f'no {fault}'} {seed}"


def by_token(loss: Loss, out: Tensor, y: Tensor) -> Tensor:
    return loss(out.reshape(-1, out.shape[-1]), y.reshape(-1))


def train(fault: str, task: str, faulty: bool, seed: int) -> dict[str, Any]:
    """What the watch saw of a loop, and the skill that came out."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    kind = TASKS.get(task, TASKS["gru"])
    data, net = kind.data, kind.net()
    loss: Loss = F.cross_entropy
    rate, scale, raw = kind.rate, 1.0, 1.0
    if fault == "no mask":
        data, net, loss = loops.text, Language(task, not faulty), partial(by_token, F.cross_entropy)
    elif fault == "time first":
        net = TimeFirst(task, not faulty)
    elif fault.startswith("broadcast"):
        by_hand: Loss = lambda out, y: ((out - y) ** 2).mean()  # noqa: E731
        of: Loss = by_hand if fault.endswith("hand") else F.mse_loss
        loss = (
            (lambda out, y: of(out, y.squeeze(1))) if faulty else (lambda out, y: of(out.squeeze(1), y.squeeze(1)))
        )
    elif fault == "raw validation":
        scale, raw = 0.2, 1.0 if faulty else 0.2
    elif fault == "logits in nll":
        loss = F.nll_loss if faulty else (lambda out, y: F.nll_loss(out.log_softmax(1), y))
    elif fault == "relu at the end" and faulty:
        net = nn.Sequential(net, nn.ReLU())
        rate *= 10
    elif fault == "sum":
        mean: Loss = F.mse_loss if "regression" in task else F.cross_entropy
        loss = partial(mean, reduction="sum") if faulty else mean  # type: ignore[call-arg]
    elif fault == "log of zero":
        positive = F.relu if faulty else F.softplus
        loss = lambda out, y: F.nll_loss(F.normalize(positive(out), 1.0, 1).log(), y)  # noqa: E731
    elif fault == "no gradient left" and faulty:
        rate = 10.0
    x, y = data(loops.TRAIN + loops.VALIDATION)
    if fault == "raw validation":
        x = torch.cat([scale * x[: loops.TRAIN], raw * x[loops.TRAIN :]])
    vx, vy, x, y = x[loops.TRAIN :], y[loops.TRAIN :], x[: loops.TRAIN], y[: loops.TRAIN]
    # Steps of gradient descent are as long as the loss is large.
    sgd, adam = partial(torch.optim.SGD, lr=10 * rate, momentum=0.9), partial(torch.optim.Adam, lr=rate)
    made = sgd if fault == "sum" else adam
    optimizer = made(net.parameters())
    skill = 0.0
    # Where targets and epochs are known, a network without a gradient has learned nothing.
    watched: Any = loops.BareNumbers if fault == "no gradient left" else loops.watched
    with watched(net, optimizer) as watch:
        for _ in range(kind.epochs):
            net.train()
            for here in torch.randperm(loops.TRAIN).split(24):
                optimizer.zero_grad()
                value = loss(net(x[here]), y[here])
                value.backward()
                if fault == "zeroed too late" and faulty:
                    optimizer.zero_grad()
                if fault != "step per epoch" or not faulty:
                    optimizer.step()
                target = y[here].squeeze(1) if fault.startswith("broadcast") else y[here]
                watch.step(value, target=target)
            if fault == "step per epoch" and faulty:
                optimizer.step()
            net.eval()
            with torch.no_grad():
                out = net(vx)
                metrics: dict[str, Any] = {
                    "val_loss": loss(out, vy) / (len(vx) if fault == "sum" and faulty else 1)
                }
            if vy.is_floating_point():
                skill = 1 - float(F.mse_loss(out, vy)) / float(vy.var())
            else:
                metrics["val_acc"] = (out.argmax(-1) == vy).float().mean()
                skill = float(metrics["val_acc"])
            watch.epoch(**metrics)
    return loops.stored_form(watch.evidence(), skill if skill == skill else 0.0)


def stored_cases() -> Iterator[tuple[stored.Case, dict[str, Any]]]:
    """Every stored loop that is clearly faulty or healthy, and what the watch saw of it."""
    recorded = stored.read(PATH)
    for fault, task, faulty, seed in cases():
        name = name_of(fault, task, faulty, seed)
        entry, sound = recorded[name], recorded[name_of(fault, task, False, seed)]
        harm = sound["skill"] - entry["skill"]
        truth = "faulty" if faulty and (fault not in SETTINGS or harm >= 0.05) else "healthy"
        if fault in SETTINGS and sound["skill"] < MIN_SOUND:
            continue
        if not faulty or truth == "faulty" or harm < 0.025:
            yield stored.Case(name, fault, truth, (frozenset({FAULTS[fault][0]}),)), entry


def diagnosed() -> Iterator[tuple[str, str, str, list[str]]]:
    """Fault, name, truth and named findings of every case."""
    for case, entry in stored_cases():
        findings = diagnose(stored.evidence(case, entry))
        yield (
            case.cause,
            case.name,
            case.truth,
            [finding.name for finding in findings if verdict.has_fault([finding])],
        )


def main(arguments: list[str]) -> None:
    parser = figures.parser("paired_loops", __doc__)
    parser.add_argument("--train", action="store_true", help="train the loops")
    parser.add_argument("--missing", action="store_true", help="those that are not stored")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.train:
        results = stored.read(PATH) if PATH.exists() else {}
        wanted = [case for case in cases() if not (options.missing and name_of(*case) in results)]
        with ProcessPoolExecutor(options.jobs) as pool:
            for case, result in zip(wanted, pool.map(train, *zip(*wanted, strict=True)), strict=True):
                results[name_of(*case)] = storing.shortened(result)
                print(name_of(*case), round(result["skill"], 3), flush=True)
                storing.write(PATH, results)
    outcomes, rows = [*diagnosed()], list[figures.Row]()
    for fault, (finding, _) in FAULTS.items():
        affected = [named for of, _, truth, named in outcomes if of == fault and truth == "faulty"]
        well = [named for of, _, truth, named in outcomes if of == fault and truth == "healthy"]
        right = sum(named[:1] == [finding] for named in affected)
        clean = sum(not named for named in well)
        rows.append(
            [
                fault,
                f"`{finding}`",
                [sum(map(bool, affected)), len(affected)],
                [right, len(affected)],
                [clean, len(well)],
            ]
        )
    sums: list[Any] = [[sum(row[at][part] for row in rows) for part in (0, 1)] for at in (2, 3, 4)]  # type: ignore[index, misc]
    rows.append(["all", "", *sums])
    columns = ["fault", "finding", "faulty: flagged", "faulty: named first", "sound: not flagged"]
    figures.record("paired-loops", "paired_loops", columns, rows, options.print)
    for fault, name, truth, named in outcomes:
        if (named[:1] == [FAULTS[fault][0]]) != (truth == "faulty"):
            print(name, truth, named)
