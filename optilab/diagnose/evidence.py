"""What a training has recorded, as the quantities that the rules of `optilab diagnose` compare with thresholds.

All of them are about now, the last three epochs (their median: one noisy epoch is not a state), unless their name
says otherwise. Losses are in nats, accuracies and shares between 0 and 1, layers are numbered from 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import Any

from optilab import runs
from optilab.config import yaml
from optilab.config.load import load
from optilab.config.training import TrainConfig
from optilab.errors import ConfigError
from optilab.optimize.own import is_own

Row = Mapping[str, Any]
LayerRecord = Mapping[str, Any]

TRIAL_BATCHES = 60
"""Training steps of a trial."""
RECENT = 3
"""Epochs that are `now`."""
ENOUGH_NATS = 10.0
"""Nats, over all validation images, by which a loss is below that of the labels' shares before it is evidence: a
network that knows nothing of the images gets there once in e^10 = 22,000 times (Ville 1939)."""


@dataclass(frozen=True)
class Stability:
    """A curvature of the loss, the limit of stability that theory sets for it, and whether it is preconditioned."""

    epoch: int
    sharpness: float
    limit: float
    preconditioned: bool

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Stability | None":
        """That of an epoch; None where it was not measured, or there is no limit."""
        measured = record.get("curvature")
        if not isinstance(measured, Mapping):
            return None
        limit, scaled = measured.get("limit"), measured.get("preconditioned")
        value = measured.get("sharpness") if scaled is None else scaled
        if not isinstance(value, int | float) or not isinstance(limit, int | float) or limit <= 0:
            return None
        return cls(record["epoch"], value, limit, scaled is not None)

    @property
    def share(self) -> float:
        """The curvature over its limit: 1 at the edge of stability."""
        return self.sharpness / self.limit


@dataclass(frozen=True)
class Evidence:
    """What is recorded of a run: its config, its rows, its records, and how it ended.

    The first record is from before training (`engine.before_training`), then there is one for each epoch. Of a
    `trial` the one row is about a few batches.
    """

    config: TrainConfig
    rows: Sequence[Row]
    records: Sequence[Mapping[str, Any]]
    divergence: str = ""
    trial: bool = False

    @cached_property
    def start(self) -> Mapping[str, Any]:
        """The record from before training; empty where diagnostics are off."""
        return next((record for record in self.records if record["epoch"] == 0), {})

    @cached_property
    def epochs(self) -> Sequence[Mapping[str, Any]]:
        """The records of epochs in which layers were probed."""
        return [record for record in self.records if record["epoch"] > 0 and "layers" in record]

    @cached_property
    def stability(self) -> Stability | None:
        """The last measured curvature and its limit; None where it was not measured, or the rule has no limit."""
        return next(filter(None, map(Stability.of, reversed(self.records))), None)

    @property
    def entropy(self) -> float:
        """Loss of a network that gives each class its share of the training labels."""
        return float(self.start.get("prior_entropy", math.log(len(self.config.data.info.classes))))

    @property
    def chance(self) -> float:
        """Accuracy of always naming the most frequent class."""
        return float(self.start.get("chance", math.exp(-self.entropy)))

    @property
    def rule(self) -> Any:
        """The optimizer, or what it wraps: the rule whose learning rate makes the steps."""
        rule: Any = self.config.optimizer
        while hasattr(rule, "base"):
            rule = rule.base
        return rule

    @property
    def rule_key(self) -> str:
        """The key of `rule` in the config: optimizer, optimizer.base."""
        depth, rule = 0, self.config.optimizer
        while hasattr(rule, "base"):
            depth, rule = depth + 1, rule.base
        return ".".join(["optimizer", *["base"] * depth])

    @property
    def loss(self) -> float:
        """Training loss; infinite where there is no epoch."""
        return self.recent("train_loss", math.inf)

    @property
    def accuracy(self) -> float:
        """Validation accuracy; 0 where there is no epoch."""
        return self.recent("val_acc", 0.0)

    @property
    def training_accuracy(self) -> float:
        return self.recent("train_acc", 0.0)

    @property
    def held_back(self) -> float:
        """Validation accuracy minus training accuracy: the noise of dropout and of batches is in the second alone."""
        return self.accuracy - self.training_accuracy

    @property
    def best_accuracy(self) -> float:
        """The best validation accuracy of any epoch."""
        return max((row["val_acc"] for row in self.rows), default=0.0)

    @property
    def best_training_accuracy(self) -> float:
        """The best training accuracy of any epoch."""
        return max((row["train_acc"] for row in self.rows), default=0.0)

    @property
    def worst_fall(self) -> float:
        """The most training accuracy that was lost from one epoch to the next."""
        accuracies = [row["train_acc"] for row in self.rows]
        return max((before - after for before, after in pairwise(accuracies)), default=0.0)

    @property
    def skill(self) -> float:
        """Validation accuracy between chance, 0, and perfection, 1."""
        return (self.accuracy - self.chance) / max(1e-9, 1 - self.chance)

    @property
    def training_skill(self) -> float:
        """As `skill`, on the training images."""
        return (self.training_accuracy - self.chance) / max(1e-9, 1 - self.chance)

    @property
    def information(self) -> float:
        """Nats that the network knows of all validation images together, beyond the shares of their classes."""
        return self.validation_images * (self.validation_entropy - self.recent("val_loss", math.inf))

    @property
    def validation_entropy(self) -> float:
        """As `entropy`, of the validation labels."""
        return float(self.start.get("validation_entropy", self.entropy))

    @property
    def validation_images(self) -> int:
        return int(self.start.get("validation_images", self.config.data.info.test))

    @property
    def knows(self) -> bool:
        """It has learned something of the images: by its loss, or by an accuracy four standard errors above chance."""
        error = math.sqrt(self.chance * (1 - self.chance) / self.validation_images)
        return (
            self.information > ENOUGH_NATS or self.accuracy > self.chance + 4 * error + 1 / self.validation_images
        )

    @property
    def fall(self) -> float | None:
        """Share of the training loss that the last half of the epochs has taken away; None with fewer than four."""
        if len(self.rows) < 4:
            return None
        middle = self.rows[len(self.rows) // 2 - 1]["train_loss"]
        return 1 - self.loss / middle if middle > 0 else 0.0

    def now(self, name: str, layer: int) -> float | None:
        """A quantity of one layer (from 1; 0 is the output layer)."""
        values = [
            record["layers"][layer - 1].get(name)
            for record in self.epochs[-RECENT:]
            if layer <= len(record["layers"]) - 1
        ]
        known = [value for value in values if value is not None]
        return median(known) if known else None

    @property
    def growth(self) -> list[float]:
        """Norm of each hidden layer's weights over that of its first ones; without layers that began at zero."""
        first = self.start.get("first_weights") or []
        return [(self.now("weight_norm", n + 1) or 0.0) / w for n, w in enumerate(first[: self.hidden]) if w]

    @property
    def paths(self) -> list[float]:
        """|dw|/|w| of a step, the mean over all recorded epochs, of each layer; layers without it are left out."""
        alike = [record["layers"] for record in self.epochs if len(record["layers"]) == self.hidden + 1]
        layers = zip(*alike, strict=True)
        steps = [[v for layer in own if (v := layer.get("update_to_weight")) is not None] for own in layers]
        return [sum(own) / len(own) for own in steps if own]

    @property
    def hidden(self) -> int:
        """Hidden layers in use now."""
        return len(self.epochs[-1]["layers"]) - 1 if self.epochs else 0

    def of_hidden(self, name: str) -> list[float]:
        """A quantity of all hidden layers; layers without it are left out."""
        values = [self.now(name, layer) for layer in range(1, self.hidden + 1)]
        return [value for value in values if value is not None]

    def worst(self, name: str) -> tuple[int, float]:
        """(layer, value): the hidden layer with the largest value of a quantity; (0, 0.0) without any."""
        values = [(self.now(name, layer) or 0.0, -layer) for layer in range(1, self.hidden + 1)]
        value, layer = max(values, default=(0.0, 0))
        return -layer, value

    @property
    def ratio(self) -> float | None:
        """|g1|/|gL| of the hidden layers; None with fewer than two that are trained."""
        return self.gradient_ratio(RECENT)

    def gradient_ratio(self, epochs: int = 0) -> float | None:
        """|g1|/|gL| of the hidden layers, the median over the last `epochs`, or over all (0)."""
        ratios = [ratio for record in self.epochs[-epochs:] if (ratio := _ratio(record)) is not None]
        return median(ratios) if ratios else None

    @property
    def first_ratio(self) -> float | None:
        """|g1|/|gL| of single images before training."""
        gradients = [value for value in self.start.get("sample_gradients", [])[:-1] if value is not None]
        return gradients[0] / gradients[-1] if len(gradients) > 1 and gradients[-1] > 0 else None

    def recent(self, key: str, missing: float) -> float:
        """The median of a column over the last epochs; `missing` where there is none."""
        return median(row[key] for row in self.rows[-RECENT:]) if self.rows else missing


def _ratio(record: Mapping[str, Any]) -> float | None:
    norms = [layer["gradient_norm"] for layer in record["layers"][:-1]]
    trained = [norm for norm in norms if norm is not None and norm > 0]
    return trained[0] / trained[-1] if len(trained) > 1 else None


def _config(record: runs.Record) -> TrainConfig:
    """The config of a run; with gradient descent at its rate in the place of a rule whose file has changed since."""
    written = yaml.read(record.config, str(record.path / "config.yaml"))
    try:
        return load(TrainConfig, written)
    except ConfigError:
        rule = written.tree.get("optimizer")
        if not isinstance(rule, dict) or not is_own(rule.get("name")):
            raise
        rate = {"lr": rule["lr"]} if "lr" in rule else {}
        return load(TrainConfig, {**written.tree, "optimizer": {"name": "sgd", **rate}})


def of_run(record: runs.Record) -> Evidence:
    """What a run directory holds; a run without diagnostics, or of an older version, has less."""
    config = _config(record)
    divergence = str(record.manifest.get("reason", "")) if record.state == "diverged" else ""
    facts = record.manifest.get("data", {})
    assumed = config.data.info
    classes = facts.get("classes", len(assumed.classes))
    start = {
        "epoch": 0,
        "train_images": facts.get("train", assumed.train),
        "validation_images": facts.get("validation", assumed.test),
        "prior_entropy": math.log(classes),
    }
    first, *others = [*runs.read_records(record.path), {"epoch": 0}]
    if first["epoch"]:
        first, others = {}, [first, *others]
    return Evidence(config, record.rows(), [start | first, *others[:-1]], divergence)
