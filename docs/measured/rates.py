"""What the recommended learning rate loses, next to fastai's; and benchmarks of an optimizer against itself.

Trainings of digits and of synthetic images: half an hour on one core.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from statistics import fmean, median
from typing import Any

import numpy as np

from docs.measured import figures
from optilab.config.load import load
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.optimize.objective import Floats
from optilab.study import rates
from optilab.study.plan import SEEDS_PER_REPEAT
from tests.study.judge_for_tables import generator_of, judged

TRAININGS = [  # network, optimizer, dataset, batch, epochs
    ("sigmoid", "adam", "digits", 32, 8),
    ("relu", "sgd", "digits", 32, 8),
    ("relu", "momentum", "digits", 32, 8),
    ("relu", "adam", "digits", 32, 8),
    ("relu", "lion", "digits", 32, 8),
    ("tanh", "sgd", "digits", 32, 8),
    ("tanh", "adam", "digits", 128, 16),
    ("batchnorm", "sgd", "digits", 32, 8),
    ("batchnorm", "lion", "digits", 128, 16),
    ("unit-gain", "sgd", "digits", 32, 8),
    ("tanh", "momentum", "synthetic", 256, 4),
    ("relu", "adam", "synthetic", 256, 4),
    ("layernorm", "adamw", "synthetic", 256, 4),
]
SEEDS = (11, 12)
CHANCE_LEVEL = 0.1


def compared(network: str, rule: str, dataset: str, batch: int, epochs: int) -> dict[str, float]:
    """Percentage points of accuracy lost to the best of nine rates over four decades, by the method that names one."""
    from optilab.data import fetch
    from optilab.train.session import build

    def config(seed: int) -> TrainConfig:
        keys = {"optimizer": rule, "data.dataset": dataset, "data.batch_size": batch, "seed": seed}
        keys |= {"device": "cpu", "threads": 1}
        return load(TrainConfig, f"{network}.yaml", [Override(key, key, value) for key, value in keys.items()])

    images = fetch.load_or_fetch(*config(1).data.source)
    ramp = rates.rate_ramp(config(1).optimizer)

    def optilab(steps: int) -> float | None:
        training, losses = build(config(44), images), list[float]()
        shorter = rates.rate_ramp(config(1).optimizer, steps)
        for loss in training.ramp(rate / ramp.lr for rate in shorter.rates):
            losses.append(loss)
            if rates.runs_away(losses, training.chance_loss):
                break
        return rates.read_range_test(shorter, losses, training.chance_loss).rate

    def tested_by_fastai() -> tuple[Floats, Floats]:
        """The rates and losses of its range test, without a last loss that is not finite."""
        training, losses, tried = build(config(44), images), list[float](), np.geomspace(1e-7, 10, 100)
        for loss in training.ramp(rate / ramp.lr for rate in tried):
            losses.append(loss)
            if len(losses) > 10 and loss > rates.MAX_LOSS_RATIO * min(losses):
                break
        finite = np.array(losses if np.isfinite(losses[-1]) else losses[:-1])
        return tried[: len(finite)], finite

    def accuracy(rate: float | None) -> float:
        if rate is None:
            return CHANCE_LEVEL
        return fmean(trained(build(config(seed), images), rate / ramp.lr, epochs, batch) for seed in SEEDS)

    losses = tested_by_fastai()
    methods = {
        "`lr`": optilab(rates.STEPS),
        "`lr --steps 300`": optilab(300),
        "fastai valley": fastai_valley(*losses),
        "fastai steep": fastai_steep(*losses),
        "the optimizer's default": ramp.lr,
    }
    best = max(map(accuracy, np.geomspace(ramp.rates[0] * 10, ramp.rates[-1] / 10, 9).tolist()))
    return {name: 100 * (best - accuracy(rate)) for name, rate in methods.items()}


def read_by_fastai(rates: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """What the suggestions of fastai's `lr_find` (2.8) read: the exponential moving average of the losses, free of the
    bias of its start, without the first tenth of the steps and the last five."""
    mean, means = 0.0, []
    for count, loss in enumerate(losses, start=1):
        mean = 0.98 * mean + 0.02 * loss
        means.append(mean / (1 - 0.98**count))
    middle = slice(len(rates) // 10, -5)
    return rates[middle], np.array(means)[middle]


def fastai_steep(rates: Floats, losses: Floats) -> float:
    """The rate of the steepest fall per factor of the rate."""
    rates, smooth = read_by_fastai(rates, losses)
    return float(rates[np.argmin(np.diff(smooth) / np.diff(np.log(rates)))])


def fastai_valley(rates: Floats, losses: Floats) -> float:
    """fastai's default: a place in the middle third of the longest falling subsequence."""
    rates, smooth = read_by_fastai(rates, losses)
    lengths = np.ones(len(smooth), dtype=int)
    for i in range(1, len(smooth)):
        lengths[i] += lengths[:i][smooth[:i] > smooth[i]].max(initial=0)
    end = int(np.argmax(lengths))
    length = int(lengths[end])
    place = max(end - length, -1) + int(length / 3) + int(length / 3 / 2) if length > 1 else 0
    return float(rates[place])


def trained(training: Any, factor: float, epochs: int, batch: int) -> float:
    """The accuracy of a training at a constant rate; the chance level where it diverged."""
    steps = epochs * -(-len(training.train) // batch)
    if sum(1 for _ in training.ramp([factor] * steps)) < steps:
        return CHANCE_LEVEL
    return float(training._row("val", training._validate())["val_acc"])


def lost() -> Iterator[figures.Row]:
    every = [compared(*training) for training in TRAININGS]
    for name in every[0]:
        values = [row[name] for row in every]
        yield [name, f"{fmean(values):.1f}", f"{median(values):.1f}", f"{max(values):.1f}"]


RACED = ("sgd", "adam")
DRAWS = 12
"""Draws of five settings of each optimizer, each evaluated on three new seeds."""


def draws() -> dict[str, list[list[float]]]:
    """The test accuracies of each optimizer, for each draw of its settings."""
    line = (
        f"benchmark relu.yaml --algo {','.join(RACED)} --budget 5 --epochs 5 --seeds 3 --repeats {DRAWS} --seed 7"
    )
    line += (
        " --set seed=7 --set data.dataset=digits --set data.holdout=300 --set data.batch_size=32 --jobs 1 --json"
    )
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "optilab", *line.split()]
        done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    accuracies: dict[str, list[list[float]]] = {rule: [[] for _ in range(DRAWS)] for rule in RACED}
    (network,) = json.loads(done.stdout)["networks"]
    for row in network["rules"]:
        for seed, accuracy in row["test_acc"].items():
            accuracies[row["rule"]][(int(seed) - 7) // SEEDS_PER_REPEAT].append(accuracy)
    return accuracies


def against_itself() -> Iterator[figures.Row]:
    """Percentage of pairs of draws of the same optimizer with a verdict: with one repeat the seeds are the sample."""
    for rule, accuracies in draws().items():
        for repeats in (1, 3):
            generator = generator_of(30, repeats)

            def table(
                repeats: int = repeats, accuracies: list[list[float]] = accuracies, generator: Any = generator
            ) -> Any:
                places = generator.permutation(DRAWS)[: 2 * repeats].tolist()
                if repeats == 1:
                    return {half: dict(enumerate(accuracies[places[half]])) for half in (0, 1)}
                return {
                    half: {k: fmean(accuracies[places[2 * k + half]]) for k in range(repeats)} for half in (0, 1)
                }

            yield [f"`{rule}`, `--repeats {repeats}`", f"{judged(table() for _ in range(2000)):.1f}"]


def main(arguments: list[str]) -> None:
    only_print = figures.parser("rates", __doc__).parse_args(arguments).print
    columns = ["accuracy lost to the best of nine rates", "mean", "median", "most"]
    figures.record("learning-rates", "rates", columns, [*lost()], only_print)
    columns = ["a benchmark of an optimizer against itself: any verdict, %", "measured"]
    figures.record("against-itself", "rates", columns, [*against_itself()], only_print)
