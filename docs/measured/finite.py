"""Is every rule finite, with its defaults, on every kind of small network? python -m tests.train.every_rule [NAME...]

Fifty steps in single precision: the training images of digits (some of whose inputs are always zero), 1,600 of
FashionMNIST, and synthetic; relu, sigmoid and tanh; batches of 32 and 512. Prints one row for each rule.
"""

import argparse
import itertools
import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import torch

from optilab.config.load import Override, load
from optilab.config.training import TrainConfig
from optilab.data import fetch
from optilab.data.load import Dataset
from optilab.optimize import RULES
from optilab.train import engine
from optilab.train.device import all_finite

TRAINABLE = [name for name, rule in RULES.items() if name in ("lookahead", "sam", "sophia") or not rule.needs]
DATASETS = {"digits": None, "fashion-mnist": 1_600, "synthetic": 1_600}
"""Name -> how many training images are used."""
ACTIVATIONS = {"relu": "kaiming", "sigmoid": "default", "tanh": "xavier"}
"""Name -> the initialization that fits it."""
BATCHES = (32, 512)
STEPS = 50


class Outcome(NamedTuple):
    """Where a training was: rule, dataset, activation, batch size; and the losses of its steps, up to the first that is
    not finite. `finite`: all of the losses, the last weights and the optimizer's state."""

    rule: str
    dataset: str
    activation: str
    batch: int
    losses: list[float]
    finite: bool

    @property
    def rose(self) -> bool:
        """The mean loss of the last ten steps is above one and a half times that of the first batch."""
        return self.finite and sum(self.losses[-10:]) / 10 > 1.5 * self.losses[0]


@cache
def _dataset(name: str) -> Dataset:
    return fetch.ensure(name, None, lambda *_: None)


def outcome(rule: str, dataset: str, activation: str, batch: int) -> Outcome:
    """Train for STEPS steps."""
    keys = {
        "optimizer": rule,
        "data": {"dataset": dataset, "images": DATASETS[dataset], "batch_size": batch},
        "model": {"hidden": [64, 32, 32], "activation": activation, "init": ACTIVATIONS[activation]},
        "device": "cpu",
        "threads": 1,
    }
    config = load(TrainConfig, None, [Override("", key, value) for key, value in keys.items()])
    training = engine.Training.start(config, _dataset(dataset), torch.device("cpu"))
    losses = list(training.ramp([1.0] * STEPS))
    whole = len(losses) == STEPS and math.isfinite(losses[-1])
    finite = whole and all_finite([training.model.state_dict(), training.optimizer.state_dict()])
    return Outcome(rule, dataset, activation, batch, losses, finite)


def outcomes(names: list[str]) -> Iterator[Outcome]:
    for case in itertools.product(names, DATASETS, ACTIVATIONS, BATCHES):
        yield outcome(*case)


def row(name: str) -> str:
    """`| rule | finite | where it was not finite, or its loss rose |`"""
    found = list(outcomes([name]))
    words = [
        f"{one.dataset} {one.activation} {one.batch}: "
        + (f"loss {one.losses[0]:.3g} to {one.losses[-1]:.3g}" if one.finite else f"step {len(one.losses)}")
        for one in found
        if one.rose or not one.finite
    ]
    return f"| `{name}` | {sum(one.finite for one in found)} of {len(found)} | {'; '.join(words)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.train.every_rule", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="rules; none: all that train networks")
    torch.set_num_threads(1)
    print("| rule | finite | not finite, or the loss rose |\n|---|---|---|")
    for name in parser.parse_args().names or TRAINABLE:
        print(row(name), flush=True)


if __name__ == "__main__":
    main()
