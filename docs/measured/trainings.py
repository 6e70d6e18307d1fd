"""The rows of the table of docs/verdicts.md that need trainings, of digits and of synthetic images.

python -m tests.study.error_rates 29 30 32 34 35 36 37     half an hour on one core
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import fmean, median

import numpy as np

from optilab.config.load import Override, load
from optilab.config.training import TrainConfig
from optilab.study import rates
from optilab.study.plan import SPAN
from tests.study.error_rates import SINGLE, Row, drawn, judged, over

DIGITS = ("--set", "data.dataset=digits", "--set", "data.holdout=300", "--set", "data.batch_size=32")
ADAM = '''
import numpy as np


class {name}:
    """Adam under another name."""

    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999):
        self.lr, self.beta1, self.beta2, self.m, self.v, self.t = lr, beta1, beta2, 0.0, 0.0, 0

    def update(self, w, g):
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        m, v = self.m / (1 - self.beta1**self.t), self.v / (1 - self.beta2**self.t)
        return w - self.lr * m / (np.sqrt(v) + 1e-8)
'''


def optilab(folder: Path, *arguments: object) -> str:
    """What a command prints."""
    typed = [sys.executable, "-m", "optilab", *map(str, arguments)]
    return subprocess.run(typed, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


# --- races ---------------------------------------------------------------------------------------------------


RACES = 20


def copies_on_functions(count: int = RACES) -> float:
    """Percentage of races of Adam against three copies, whose settings are drawn by their names, with a `worse`."""
    names, wrong = ("First", "Second", "Third"), 0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "own.py").write_text("".join(ADAM.format(name=name) for name in names))
        rules = ",".join(["adam", *(f"own.py:{name}" for name in names)])
        sizes = ("--budget", 15, "--starts", 8, "--repeats", 1, "--no-cache", "--json")
        for seed in range(count):
            found = optilab(Path(folder), "race", "--algo", rules, *sizes, "--seed", 100 + seed)
            wrong += '"worse"' in found
    return 100 * wrong / count


REPEATS = 12
"""Draws of five settings, each judged from three new seeds."""
RACED = ("sgd", "adam")


@cache
def draws() -> dict[str, list[list[float]]]:
    """The judged test accuracies of each rule, for each draw of its settings."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = ("--budget", 5, "--epochs", 5, "--seeds", 3, "--repeats", REPEATS, "--seed", 7, "--set", "seed=7")
        where = ("--on", "relu.yaml", "--algo", ",".join(RACED), "--jobs", 1, "--json", *DIGITS)
        (network,) = json.loads(optilab(Path(folder), "race", *where, *sizes))["networks"]
    found: dict[str, list[list[float]]] = {rule: [[] for _ in range(REPEATS)] for rule in RACED}
    for row in network["rules"]:
        for seed, accuracy in row["test_acc"].items():
            found[row["rule"]][(int(seed) - 7) // SPAN].append(accuracy)
    return found


def against_itself(rule: str, repeats: int, count: int = SINGLE) -> float:
    """Percentage of races of a rule against itself, with other draws of its settings, with a verdict.

    Two times `repeats` of the measured draws make a race. With one, the seeds are its sample.
    """
    generator, own = drawn(30, repeats), draws()[rule]

    def table() -> dict[int, dict[int, float]]:
        places = generator.permutation(REPEATS)[: 2 * repeats].tolist()
        if repeats == 1:
            return {side: dict(enumerate(own[places[side]])) for side in (0, 1)}
        return {side: {k: fmean(own[places[2 * k + side]]) for k in range(repeats)} for side in (0, 1)}

    return judged(table() for _ in range(count))


def shared_rates() -> float:
    """Percentage of the learning rates of `race --on --seed 0` that `--seed 1` has, too."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for seed in (0, 1):
            sizes = ("--budget", 2, "--epochs", 1, "--seeds", 1, "--repeats", 1, "--seed", seed, "--name", seed)
            optilab(Path(folder), "race", "--on", "relu.yaml", "--algo", "sgd,adam", *DIGITS, *sizes)
            rows = (Path(folder) / "runs" / str(seed) / "trials.csv").read_text().splitlines()
            place = rows[0].split(",").index("lr")
            found.append({row.split(",")[place] for row in rows[1:]})
    return 100 * len(found[0] & found[1]) / len(found[0])


def equal_remedies() -> float:
    """100 where `remedy --tune` gives the same trials under another name, byte for byte; else 0."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a", "b"):
            sizes = ("--only", "batchnorm,tanh,adam", "--tune", 2, "--seeds", 2, "--repeats", 1, "--epochs", 2)
            named = ("--set", f"name={name}", "--name", name)
            optilab(Path(folder), "remedy", "relu.yaml", *sizes, *DIGITS, *named)
        one, other = ((Path(folder) / "runs" / name / "trials.csv").read_bytes() for name in "ab")
    return 100.0 * (one == other)


# --- learning rates --------------------------------------------------------------------------------------------

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
RULES = ("optilab", "fastai valley", "fastai steep", "the default rate")
GUESS = 0.1


@cache
def compared_rates() -> list[dict[str, float]]:
    """Of each training: the best of nine rates over four decades, those that rules name, and the accuracies there."""
    return [_compared(*training) for training in TRAININGS]


def _compared(network: str, rule: str, dataset: str, batch: int, epochs: int) -> dict[str, float]:
    from optilab.train.session import build
    from optilab.verbs.studies import dataset_of

    def config(seed: int) -> TrainConfig:
        given = {"optimizer": rule, "data.dataset": dataset, "data.batch_size": batch, "seed": seed}
        given |= {"device": "cpu", "threads": 1}
        return load(TrainConfig, f"{network}.yaml", [Override(key, key, value) for key, value in given.items()])

    images = dataset_of(config(1).data)
    ramp = rates.rate_ramp(config(1).optimizer)

    def tested(lowest: float, highest: float, steps: int, stops: bool) -> rates.RangeTest:
        training, losses = build(config(44), images), list[float]()
        own = rates.RateRamp(ramp.key, ramp.lr, np.geomspace(lowest, highest, steps))
        for loss in training.ramp(rate / own.lr for rate in own.rates):
            losses.append(loss)
            if stops and rates.runs_away(losses, training.chance_loss):
                break
            if not stops and len(losses) > 10 and loss > rates.FAR * min(losses):  # as fastai ends
                break
        return rates.read_range_test(own, losses, training.chance_loss)

    def accuracy(rate: float | None) -> float:
        if rate is None:
            return GUESS
        return fmean(_trained(build(config(seed), images), rate / ramp.lr, epochs, batch) for seed in SEEDS)

    low, high = ramp.rates[0], ramp.rates[-1]
    found, short = tested(low, high, rates.STEPS, True), tested(low, high, 300, True)
    peers = tested(1e-7, 10, 100, False).others
    tried = {rate: accuracy(rate) for rate in np.geomspace(low * 10, high / 10, 9).tolist()}
    best = max(tried, key=lambda rate: tried[rate])
    named = dict(zip(RULES, (found.rate, peers["fastai valley"], peers["fastai steep"], ramp.lr), strict=True))
    lost = {rule: 100 * (tried[best] - accuracy(rate)) for rule, rate in named.items()}
    return {**lost, "off": _off(found.rate, best), "off, 300 steps": _off(short.rate, best)}


def _trained(training: object, factor: float, epochs: int, batch: int) -> float:
    """The accuracy of a training at a constant rate; that of guessing where it diverged."""
    steps = epochs * -(-len(training.train) // batch)  # type: ignore[attr-defined]
    if sum(1 for _ in training.ramp([factor] * steps)) < steps:  # type: ignore[attr-defined]
        return GUESS
    return training._row("val", training._validate())["val_acc"]  # type: ignore[attr-defined]


def _off(rate: float | None, best: float) -> float:
    """The factor between two rates; infinite without an answer."""
    return float("inf") if rate is None else max(rate / best, best / rate)


def lost(rule: str) -> list[float]:
    """Mean, median and largest number of points by which trainings at the named rate are worse than the best."""
    values = [own[rule] for own in compared_rates()]
    return [fmean(values), median(values), max(values)]


def off(which: str) -> list[float]:
    """The trainings whose answer is off by more than 3.2 times, and those without an answer."""
    values = [own[which] for own in compared_rates()]
    return [float(sum(3.2 < value < np.inf for value in values)), float(sum(np.isinf(values)))]


# --- the rows --------------------------------------------------------------------------------------------------


def rows() -> Iterator[Row]:
    kind = "race on functions, Adam and three copies of it: a `worse` in any of the races"
    yield Row(29, kind, 5, over(copies_on_functions, [()]), RACES, 20)
    for repeats, most in ((3, 20), (1, 100)):
        kind = (
            f"`race --on --repeats {repeats}`, pairs of {REPEATS} draws of the same optimizer: {', '.join(RACED)}"
        )
        yield Row(30, kind, 5, over(against_itself, [(rule, repeats) for rule in RACED]), SINGLE, most)
    kind = "learning rates of `race --on --seed 1` that are those of `--seed 0`"
    yield Row(32, kind, 0, lambda _: [shared_rates()], 4)
    kind = "`remedy --tune` twice, under other names: the same trials.csv"
    yield Row(37, kind, 100, lambda _: [equal_remedies()], 1, 100, 100)


def rate_rows() -> Iterator[Row]:
    """What `lr` loses on short trainings, next to docs/rate-methods.md."""
    for number, rule in zip((34, 35, 35, 35), RULES, strict=True):
        kind = f"accuracy lost to the best of nine rates, {rule}: mean, median, most, in percentage points"
        yield Row(number, kind, None, lambda _, rule=rule: lost(rule), len(TRAININGS), 100, -100)
    for which, name in {"off": "`lr`", "off, 300 steps": "`lr --steps 300`"}.items():
        kind = f"trainings in which {name} is off by more than 3.2 times, and without an answer"
        yield Row(36, kind, None, lambda _, which=which: off(which), len(TRAININGS), 13)
