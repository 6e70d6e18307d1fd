"""The five problems of AutoTrainer (Zhang et al., ICSE 2021) in PyTorch, under `optilab.watch`: found, and repaired.

Two of its datasets are made by scikit-learn as it has them, circles and blobs; the digits of 8 x 8 pixels stand in for
MNIST. A problem is found if the first finding names it, and repaired if the first remedy of that finding is better,
as `outcome.beats` has it. `python -m tests.diagnosis.autotrainer` trains them (a minute) and prints the table.
"""

import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import optilab
from optilab.config.load import override_from_text
from tests.diagnosis import generate
from tests.diagnosis.measure import _share
from tests.diagnosis.nets import ACTIVATIONS
from tests.diagnosis.outcome import beats

STORED = generate.HERE / "autotrainer.json.gz"
PROBLEMS: dict[str, set[str]] = {
    "vanishing gradient": {"vanishing-gradient"},
    "exploding gradient": {"weights-too-large", "learning-rate-too-high"},
    "dying ReLU": {"dead-units", "learning-rate-too-high"},
    "oscillating loss": {"learning-rate-too-high"},
    "slow convergence": {"learning-rate-too-low"},
}
"""Problem -> the findings that name it. ReLUs die of their initial weights, or of steps that are too large."""


@dataclass(frozen=True)
class Problem:
    """A training: its data, its network, and the settings that do not work, or that do (`problem` is empty)."""

    problem: str
    data: str
    network: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.problem or 'healthy'}: {self.data}, {self.network} {self.settings}"


def _listed() -> Iterator[Problem]:
    places = (("circles", "mlp"), ("blobs", "mlp"), ("digits", "mlp"), ("digits", "cnn"))
    for n, (data, network) in enumerate(places):
        deep = {"depth": 6 if network == "cnn" else (7, 9, 8)[n], "activation": "sigmoid", "optimizer": "sgd"}
        yield Problem("vanishing gradient", data, network, {**deep, "lr": 0.1})
        yield Problem("exploding gradient", data, network, {"model.init": (9.0, 9.0, 3.0, 2.0)[n], "depth": 6})
        yield Problem("dying ReLU", data, network, {"model.bias_init": (-8.0, -30.0, -6.0, -10.0)[n]})
        yield Problem(
            "oscillating loss", data, network, {"optimizer": ("adam", "sgd")[n % 2], "lr": (1.0, 30.0)[n % 2]}
        )
        yield Problem("slow convergence", data, network, {"lr": (1e-7, 1e-6, 1e-6, 1e-7)[n]})
        for more in ({}, {"optimizer": "sgd", "lr": 0.1}, {"activation": "tanh"}, {"model.norm": "batch"}):
            yield Problem("", data, network, more)


CASES = tuple(_listed())


def data(name: str) -> tuple[Tensor, Tensor]:
    """1,000 samples and more; the first 700 train."""
    from sklearn.datasets import load_digits, make_blobs, make_circles

    if name == "digits":
        found = load_digits()
        return torch.tensor(found.images[:1400] / 16, dtype=torch.float32)[:, None], torch.tensor(
            found.target[:1400]
        )
    made = make_circles(1000, noise=0.1, factor=0.4, random_state=1) if name == "circles" else make_blobs(
        1000, centers=np.array([[0, 0], [3, 3], [0, 4]]), random_state=1
    )  # fmt: skip
    return torch.tensor(made[0], dtype=torch.float32), torch.tensor(made[1])


def built(problem: Problem, settings: dict[str, Any], x: Tensor, classes: int) -> nn.Module:
    act, norm = ACTIVATIONS[settings["activation"]], settings.get("model.norm", "none")
    layers: list[nn.Module] = []
    width, size = 32, x[0].numel()
    for number in range(settings["depth"]):
        if problem.network == "cnn":
            layers += [nn.Conv2d(8 if number else 1, 8, 3, padding=1)]
            layers += [nn.BatchNorm2d(8)] if norm == "batch" else []
            size = 8 * 64
        else:
            layers += [nn.Linear(width if number else size, width)]
            layers += [nn.BatchNorm1d(width)] if norm == "batch" else []
        layers += [act()]
    last = [nn.Flatten(), nn.Linear(size if problem.network == "cnn" else width, classes)]
    net = nn.Sequential(
        *([] if problem.network == "cnn" else [nn.Flatten()]), *layers, *last[problem.network != "cnn" :]
    )
    init, bias = settings.get("model.init", "default"), settings.get("model.bias_init")
    weighed = [module for module in net if isinstance(module, nn.Linear | nn.Conv2d)]
    for layer in weighed[:-1]:
        if isinstance(init, float):
            nn.init.normal_(layer.weight, std=init)
        elif init in ("xavier", "kaiming"):
            {"xavier": nn.init.xavier_normal_, "kaiming": nn.init.kaiming_normal_}[init](layer.weight)
        if init != "default" or bias is not None:  # as `train` has it, biases are zero with weights of one's own
            nn.init.constant_(layer.bias, 0.0 if bias is None else bias)
    return net


def train(problem: Problem, remedy: tuple[str, ...] = ()) -> tuple[Any, dict[str, float]]:
    """(the diagnosis, the last row) of a problem, or of it with a remedy, whose settings take the place of its own."""
    warnings.simplefilter("ignore")
    torch.manual_seed(7)
    settings: dict[str, Any] = {
        "depth": 2,
        "activation": "relu",
        "optimizer": "adam",
        "lr": 0.01,
        **problem.settings,
    }
    for text in remedy:
        override = override_from_text("--set", text)
        settings[override.key] = override.value
        if override.key == "model.init":
            settings["model.bias_init"] = None
        if override.key == "optimizer":
            settings |= {"optimizer": override.value["name"], "lr": override.value["lr"]}
    settings["lr"] = float(settings.get("optimizer.lr", settings["lr"]))
    settings["activation"] = settings.get("model.activation", settings["activation"])
    x, y = data(problem.data)
    net = built(problem, settings, x, int(y.max()) + 1)
    made = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[settings["optimizer"]]
    optimizer, row = made(net.parameters(), settings["lr"]), dict[str, float]()
    with optilab.watch(net, optimizer) as watch:
        for _ in range(20):
            net.train()
            for here in torch.randperm(700).split(35):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(net(x[here]), y[here])
                loss.backward()
                if "clip_norm" in settings:
                    nn.utils.clip_grad_norm_(net.parameters(), settings["clip_norm"])
                optimizer.step()
                watch.step(loss, target=y[here])
            net.eval()
            with torch.no_grad():
                out = net(x[700:])
            row = {"val_loss": float(nn.functional.cross_entropy(out, y[700:])),
                   "val_acc": float((out.argmax(1) == y[700:]).float().mean())}  # fmt: skip
            watch.epoch(**row)
    return watch.diagnosis(), row


def measure() -> None:
    torch.set_num_threads(1)
    stored = {}
    for problem in CASES:
        diagnosis, row = train(problem)
        found = [f for f in diagnosis.findings if f.severity.name != "INFO"]
        entry: dict[str, Any] = {"findings": [f.name for f in found], "row": row}
        if found and found[0].remedies and problem.problem:
            entry["remedy"] = list(found[0].remedies[0])
            entry["remedied"] = train(problem, found[0].remedies[0])[1]
        stored[problem.name] = entry
        print(problem.name, entry, file=sys.stderr, flush=True)
    generate.write(STORED, stored)


def table() -> str:
    """One row per problem, and one of the healthy."""
    stored = generate.read(STORED)
    lines = ["| problem | found | repaired by the first remedy |", "|---|---|---|"]
    totals = [0, 0, 0]
    for name, accepted in PROBLEMS.items():
        entries = [stored[one.name] for one in CASES if one.problem == name]
        found = sum(bool(entry["findings"]) and entry["findings"][0] in accepted for entry in entries)
        better = sum(
            beats({"rows": {key: [v] for key, v in e["row"].items()}, "divergence": ""}, e["remedied"])
            for e in entries
            if "remedied" in e
        )
        totals = [a + b for a, b in zip(totals, (found, better, len(entries)), strict=True)]
        lines.append(f"| {name} | {found} of {len(entries)} | {better} of {len(entries)} |")
    found, better, count = totals
    lines.append(f"| all | {_share(found, count)} | {_share(better, count)} |")
    healthy = [stored[one.name] for one in CASES if not one.problem]
    alone = sum(not entry["findings"] for entry in healthy)
    return (
        "\n".join(lines)
        + f"\n\n{_share(alone, len(healthy))} healthy trainings of the same kind are not flagged.\n"
    )


if __name__ == "__main__":
    measure()
    print(table())
