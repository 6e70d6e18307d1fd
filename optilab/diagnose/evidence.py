"""The records of a training as the quantities that the checks of `optilab diagnose` compare with thresholds.

A quantity is the median over the last three epochs (one noisy epoch is not a state), unless its name says otherwise.
Losses are in nats, accuracies and fractions between 0 and 1, layers are numbered from 1.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from statistics import median
from types import MappingProxyType
from typing import Any

from optilab import runs
from optilab.config.load import config_of, load
from optilab.config.saturation import SATURATION
from optilab.config.section import handling_user_code
from optilab.config.training import TrainConfig
from optilab.config.user_network import UserNetwork
from optilab.diagnose.loop_evidence import LoopEvidence
from optilab.errors import CheckpointError
from optilab.optimize.rule import learning_rates

PROBE_BATCHES = 60
"""Training steps of a probe run."""
RECENT = 3
"""Epochs whose median is a quantity."""
MIN_SKILL = 0.55
"""Skill, (accuracy - chance)/(1 - chance), of a network that has learned; without accuracy, 1 - loss/chance level."""
MIN_PROBE_SKILL = 0.25
"""Skill after the sixty steps of a probe run, of a network that learns."""
MIN_FALL = 0.05
"""Fall of the training loss, or rise of the accuracy, in the second half of the epochs of a network that is still
learning."""
FIRST_STEPS = "the first steps"
"""The reference of a loop's loss where the chance-level loss is not known."""
SCALINGS = ("Div", "Mul", "Neg", "ToCopy")
"""Operations that may end a loss of one term."""
EQUAL_CLASSES = "equally frequent classes"
"""The classes that are assumed for the chance-level loss where a loop gives no targets."""
MIN_NATS = 10.0
"""Nats, over all validation images, by which a loss is below that of the labels' frequencies before it is evidence: a
network that knows nothing of the images gets there once in e^10 = 22,000 times (Ville 1939). That holds for
the mean over images; for regressions and means of batches, of which the last is much smaller, it holds about."""


@dataclass(frozen=True)
class Stability:
    """A curvature of the loss, the limit of stability that theory sets for it if it does, and whether it is
    preconditioned."""

    epoch: int
    sharpness: float
    limit: float | None
    preconditioned: bool

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> "Stability | None":
        """The stability of an epoch; None where it was not measured."""
        measured = line.get("curvature") or {}
        limit, scaled = measured.get("limit"), measured.get("preconditioned")
        value = measured.get("sharpness") if scaled is None else scaled
        if value is None:
            return None
        return cls(line["epoch"], value, limit if limit is not None and limit > 0 else None, scaled is not None)

    @property
    def fraction(self) -> float | None:
        """The curvature over its limit: 1 at the edge of stability; None without a limit."""
        return None if self.limit is None else self.sharpness / self.limit


@dataclass(frozen=True)
class Setup:
    """The settings of a training that checks read: from a config, or from a loop that was watched."""

    lr: float = 0.0
    """Learning rate of the rule that makes the steps; 0 where it has none."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Every learning rate by its key; the first one is that of most steps."""
    decoupled_decay: float = 0.0
    """A decay by the rule itself, such as AdamW's."""
    decay_key: str = "optimizer.weight_decay"
    weight_decay: float = 0.0
    """The L2 penalty."""
    eps: float | None = None
    batch_size: int = 1
    drop_last: bool = False
    train: int = 0
    validation: int = 0
    classes: int = 0
    """Assumed where no record has it, as the numbers of samples are."""
    dropouts: Mapping[str, float] = field(default_factory=dict)
    """Key -> fraction of the outputs that are set to zero."""
    norm: str = "none"
    normed_over: int = 0
    """Samples, or values of a channel, over which a norm of batches computes its statistics."""
    activation: str = "identity"
    saturates: bool = False
    """The activation is flat on both sides."""
    bias_init: bool = False
    config: TrainConfig | None = None

    @property
    def loop(self) -> bool:
        """True for a user's loop, which has no config: remedies are lines of PyTorch, not settings."""
        return self.config is None

    @property
    def noun(self) -> str:
        """The noun for a training sample."""
        return "sample" if self.loop else "image"

    @classmethod
    def of(cls, config: TrainConfig, network: Mapping[str, Any] = MappingProxyType({})) -> "Setup":
        """The settings of a config; `network`: the facts of a user's network (`train.probe.network_facts`)."""
        depth, rule = 0, config.optimizer
        while hasattr(rule, "base"):
            depth, rule = depth + 1, rule.base
        model, data = config.model, config.data
        if not isinstance(model, UserNetwork):
            network = {
                "dropouts": {"model.dropout": model.dropout, "model.input_dropout": model.input_dropout},
                "norm": model.norm.name,
                "activation": model.activation.name,
                "saturates": math.isfinite(SATURATION.get(model.activation.name, (0.0, math.inf))[1]),
            }
        return cls(
            lr=getattr(rule, "lr", 0.0),
            rates={f"optimizer.{key}": rate for key, rate in learning_rates(config.optimizer).items()},
            decoupled_decay=getattr(rule, "weight_decay", 0.0),
            decay_key=".".join(["optimizer", *["base"] * depth, "weight_decay"]),
            weight_decay=config.weight_decay,
            eps=getattr(config.optimizer, "eps", None),
            batch_size=data.batch_size,
            drop_last=data.drop_last,
            train=data.info.train,
            validation=data.info.test,
            classes=len(data.info.classes),
            **{"normed_over": data.batch_size, **network},
            bias_init=model.bias_init is not None,
            config=config,
        )

    @classmethod
    def of_loop(cls, lr: float, decoupled_decay: float, facts: Mapping[str, Any]) -> "Setup":
        """The settings of a user's loop; `facts` are further fields."""
        known = {key: value for key, value in facts.items() if key in LOOP_FACTS}
        rates = {"optimizer.lr": lr} if lr else {}
        return cls(lr=lr, rates=rates, decoupled_decay=decoupled_decay, **known)

    @classmethod
    def read(cls, record: runs.Record) -> "Setup":
        """The settings of a loop, from its run."""
        tree = config_of(record)
        try:
            optimizer = tree["optimizer"]
            return cls.of_loop(optimizer["lr"], optimizer["weight_decay"], tree["watch"])
        except (KeyError, TypeError, AttributeError):
            raise CheckpointError(f"{record.path / 'config.yaml'} is damaged") from None


LOOP_FACTS = (
    *("batch_size", "validation", "eps", "weight_decay", "dropouts", "norm", "normed_over", "activation"),
    *("saturates", "bias_init"),
)
"""Fields of a loop's setup besides its rates."""


@dataclass(frozen=True)
class Evidence:
    """A training as the checks read it: its setup, its rows, its diagnostics, and how it ended.

    The first diagnostics are from before training (`engine.initial_diagnostics`), then come those of each epoch. In a
    `probe_run` the rows are about a few batches. The rows of a loop may lack columns.
    """

    setup: Setup
    rows: Sequence[Mapping[str, Any]]
    diagnostics: Sequence[Mapping[str, Any]]
    divergence: str = ""
    probe_run: bool = False

    @cached_property
    def loop(self) -> LoopEvidence:
        """What a watch has noted; of a training by optilab, the facts of a user's network that may be bugs."""
        return LoopEvidence.of(self.start.get("loop", {}))

    @cached_property
    def start(self) -> Mapping[str, Any]:
        """The diagnostics from before training; empty where diagnostics are off."""
        return next((line for line in self.diagnostics if line["epoch"] == 0), {})

    @cached_property
    def epochs(self) -> Sequence[Mapping[str, Any]]:
        """The diagnostics of the epochs in which layers were probed."""
        return [line for line in self.diagnostics if line["epoch"] > 0 and "layers" in line]

    @cached_property
    def stability(self) -> Stability | None:
        """The last measured curvature, of those with a limit where there are any; None where it was not measured."""
        measured = [*filter(None, map(Stability.of, self.diagnostics))]
        limited = [entry for entry in measured if entry.limit is not None]
        return next(reversed(limited or measured), None)

    @property
    def chance_loss(self) -> float:
        """Loss of a network that gives each class its fraction of the training labels."""
        return float(self.start.get("prior_entropy", math.log(max(1, self.setup.classes))))

    @property
    def uniform_loss(self) -> float:
        """Loss of a network that gives all classes the same probability, as it does at first: `chance_loss` or more."""
        classes = 0 if self.setup.loop else self.setup.classes
        return max(self.chance_loss, float(self.start.get("uniform", math.log(max(1, classes)))))

    @property
    def chance_loss_source(self) -> str:
        """The source of a loop's chance-level loss: "guessing", FIRST_STEPS or EQUAL_CLASSES."""
        return self.loop.reference

    @property
    def chance_is_known(self) -> bool:
        """True if the chance-level loss is known, from which skill is computed."""
        return self.chance_loss_source not in (FIRST_STEPS, EQUAL_CLASSES)

    @property
    def is_objective(self) -> bool:
        """True for a loop whose loss has no chance level: it adds several terms, as likelihood bounds, actors with
        critics and adversaries do, or is negative at times, as those of rewards and densities."""
        operations = (name for name in self.loop.loss_path if name not in SCALINGS)
        several = next(operations, "") in ("Add", "Sub")
        return self.chance_loss_source == FIRST_STEPS and (several or self.loop.negative > 0)

    @property
    def chance(self) -> float:
        """Accuracy of always naming the most frequent class."""
        return float(self.start.get("chance", math.exp(-self.chance_loss)))

    @property
    def steps(self) -> int:
        """Training steps."""
        if self.loop.steps is not None:
            return self.loop.steps
        return PROBE_BATCHES if self.probe_run else len(self.rows) * self.steps_per_epoch

    @property
    def steps_per_epoch(self) -> int:
        """Training steps of an epoch; 0 where the number of images is not known."""
        images, size = int(self.start.get("train_images", self.setup.train)), self.setup.batch_size
        return images // size if self.setup.drop_last else math.ceil(images / size)

    @property
    def loss(self) -> float:
        """Training loss; infinite where there is no epoch."""
        return self.recent("train_loss", math.inf)

    @property
    def validation_loss(self) -> float:
        """Validation loss, or training loss where nothing was validated; infinite where there is no epoch."""
        return self.recent("val_loss", self.loss)

    def _column(self, *names: str) -> str:
        """The first of these columns that any row has; empty if there is none.

        An accuracy does not count next to the loss of a regression, which tells no classes: its chance is unknown.
        """
        if self.loop.task == "regression":
            names = tuple(name for name in names if not name.endswith("_acc"))
        return next((name for name in names if any(name in row for row in self.rows)), "")

    @property
    def accuracy(self) -> float:
        """Validation accuracy, or that of training where nothing was validated; 0 where there is no epoch.

        Without it, the fraction of the chance-level loss that is gone.
        """
        if column := self.measured_accuracy:
            return self.recent(column, 0.0)
        return self._explained(self.validation_loss, self.validation_chance_loss)

    @property
    def measured_accuracy(self) -> str:
        """The column that `accuracy` is from; empty where no accuracy was measured."""
        return self._column("val_acc", *([] if self._column("val_loss") else ["train_acc"]))

    @property
    def training_accuracy(self) -> float:
        """`accuracy` on the training samples."""
        return (
            self.recent("train_acc", 0.0)
            if self._column("train_acc")
            else self._explained(self.loss, self.chance_loss)
        )

    def _explained(self, loss: float, chance: float) -> float:
        return max(0.0, 1 - loss / chance) if chance > 0 and math.isfinite(loss) else 0.0

    @property
    def accuracy_gap(self) -> float:
        """Validation accuracy minus training accuracy: the noise of dropout and of batches is in the second alone.

        Where one of them was not measured, the same of the fractions of the chance-level losses that are gone.
        """
        if bool(self.measured_accuracy) == bool(self._column("train_acc")):
            return self.accuracy - self.training_accuracy
        validation = self._explained(self.validation_loss, self.validation_chance_loss)
        return validation - self._explained(self.loss, self.chance_loss)

    def best_and_latest(self, column: str = "val_acc") -> tuple[float, float]:
        """Validation (or training) accuracy of the best epoch and of the last ones: of the last epoch where it is
        higher, because what grew last is not lost."""
        latest = self.recent(column, self.accuracy if column == "val_acc" else self.training_accuracy)
        values = [row[column] for row in self.rows if column in row]
        return max(values, default=latest), max(latest, self.rows[-1].get(column, 0.0) if self.rows else 0.0)

    @property
    def worst_fall(self) -> float:
        """The most training accuracy that was lost from one epoch to the next."""
        accuracies = [row["train_acc"] for row in self.rows if "train_acc" in row]
        return max((before - after for before, after in pairwise(accuracies)), default=0.0)

    @property
    def skill(self) -> float:
        """Validation accuracy from chance, 0, to perfection, 1; without it, the fraction of the loss that is gone."""
        return self._above_chance(self.accuracy) if self.measured_accuracy else self.accuracy

    @property
    def training_skill(self) -> float:
        """`skill` on the training samples."""
        accuracy = self.training_accuracy
        return self._above_chance(accuracy) if self._column("train_acc") else accuracy

    def _above_chance(self, accuracy: float) -> float:
        return (accuracy - self.chance) / max(1e-9, 1 - self.chance)

    @property
    def learned(self) -> bool:
        """True if the skill is above the bound and the validation loss below the chance level.

        A network that is right about most images and loudly wrong about the others has a loss far above that level.
        """
        skilled = self.skill > (MIN_PROBE_SKILL if self.probe_run else MIN_SKILL)
        # The accuracy of sampled batches says little where the loss of all batches has risen above the chance level.
        if self.measured_accuracy == "train_acc" and self.rows[-1]["train_loss"] >= self.chance_loss:
            return False
        return skilled and self.validation_loss < self.validation_chance_loss and not self.divergence

    @property
    def nats_below_chance(self) -> float:
        """Nats that the network knows of all validation images together, beyond the fractions of their classes."""
        if self.loop.task == "regression":  # the logarithm of the likelihood of normal errors
            chance, loss = (math.log(max(x, 1e-30)) for x in (self.validation_chance_loss, self.validation_loss))
            return 0.5 * self.validation_samples * (chance - loss - self._error_of_chance)
        return self.validation_samples * (self.validation_chance_loss - self.validation_loss)

    @property
    def _error_of_chance(self) -> float:
        """Three standard errors of the logarithm of the chance-level loss of a regression.

        It is estimated from the targets of the sampled batches, and the validation targets have an error, too.
        """
        sampled = self.loop.samples * self.setup.batch_size
        error = float(self.start.get("prior_error", 0.0))
        return 3 * error * math.sqrt(1 + sampled / max(1, self.validation_samples))

    @property
    def validation_chance_loss(self) -> float:
        """`chance_loss` for the validation labels."""
        return float(self.start.get("validation_entropy", self.chance_loss))

    @property
    def validation_samples(self) -> int:
        return int(self.start.get("validation_images", self.setup.validation))

    @property
    def beats_chance(self) -> bool:
        """True if the network has learned something of the samples: by its loss, or by an accuracy four standard
        errors above chance.
        """
        if self.nats_below_chance > MIN_NATS:
            return True
        if not self.measured_accuracy:
            return False
        return self.accuracy_beats_chance(self.accuracy)

    def accuracy_beats_chance(self, accuracy: float) -> bool:
        """A validation accuracy is more than four standard errors and one sample above chance."""
        if not self.validation_samples:  # of a loop whose diagnostics are missing
            return False
        error = math.sqrt(self.chance * (1 - self.chance) / self.validation_samples)
        return accuracy > self.chance + 4 * error + 1 / self.validation_samples

    @property
    def late_fall(self) -> float | None:
        """Fraction of the training loss that the last half of the epochs has taken away; None with fewer than four."""
        if len(self.rows) < 4:
            return None
        middle = self.rows[len(self.rows) // 2 - 1]["train_loss"]
        return 1 - self.loss / middle if middle > 0 else 0.0

    @property
    def late_rise(self) -> float:
        """The accuracy that the last half of the epochs has added."""
        middle, last = (
            row.get(self.measured_accuracy) for row in (self.rows[len(self.rows) // 2 - 1], self.rows[-1])
        )
        return 0.0 if middle is None or last is None else last - middle

    def latest(self, name: str, layer: int) -> float | None:
        """A quantity of one layer (from 1; 0 is the output layer)."""
        values = [
            line["layers"][layer - 1].get(name)
            for line in self.epochs[-RECENT:]
            if layer <= len(line["layers"]) - 1
        ]
        known = [value for value in values if value is not None]
        return median(known) if known else None

    @property
    def growth(self) -> list[float]:
        """Norm of each hidden layer's weights over that of its first ones; without layers that began at zero."""
        first = self.start.get("first_weights") or []
        return [(self.latest("weight_norm", n + 1) or 0.0) / w for n, w in enumerate(first[: self.hidden]) if w]

    @property
    def relative_steps(self) -> list[float]:
        """|dw|/|w| of a step, the mean over all recorded epochs, of each layer; layers without it are left out."""
        stage = [line["layers"] for line in self.epochs if len(line["layers"]) == self.hidden + 1]
        columns = [[layer.get("update_to_weight") for layer in column] for column in zip(*stage, strict=True)]
        known = [[step for step in column if step is not None] for column in columns]
        return [sum(steps) / len(steps) for steps in known if steps]

    @property
    def hidden(self) -> int:
        """Hidden layers in use now."""
        return len(self.epochs[-1]["layers"]) - 1 if self.epochs else 0

    def of_hidden(self, name: str) -> list[float]:
        """A quantity of all hidden layers; layers without it are left out."""
        values = [self.latest(name, layer) for layer in range(1, self.hidden + 1)]
        return [value for value in values if value is not None]

    def worst(self, name: str) -> tuple[int, float]:
        """(layer, value): the hidden layer with the largest value of a quantity; (0, 0.0) without any."""
        values = [(self.latest(name, layer) or 0.0, -layer) for layer in range(1, self.hidden + 1)]
        value, layer = max(values, default=(0.0, 0))
        return -layer, value

    @property
    def ratio(self) -> float | None:
        """|g1|/|gL| of the hidden layers; None with fewer than two that are trained."""
        return self.gradient_ratio(RECENT)

    @property
    def recorded_ratio(self) -> float | None:
        """`ratio`, where each of the last epochs has its record; else None."""
        last, probed = [row["epoch"] for row in self.rows[-RECENT:]], {line["epoch"] for line in self.epochs}
        return self.ratio if probed.issuperset(last) else None

    def gradient_ratio(self, epochs: int = 0) -> float | None:
        """|g1|/|gL| of the hidden layers, the median over the last `epochs`, or over all (0)."""
        ratios = [ratio for line in self.epochs[-epochs:] if (ratio := _ratio(line)) is not None]
        return median(ratios) if ratios else None

    @property
    def first_ratio(self) -> float | None:
        """|g1|/|gL| of single images before training."""
        gradients = [value for value in self.start.get("sample_gradients", [])[:-1] if value is not None]
        return gradients[0] / gradients[-1] if len(gradients) > 1 and gradients[-1] > 0 else None

    @property
    def probed_rates(self) -> list[float]:
        """The learning rate of each probed epoch."""
        return [line["lr"] for line in self.epochs if line.get("lr") is not None]

    @property
    def spread_ratio(self) -> float:
        """Spread of the last hidden layer's outputs over that of the first one's."""
        return _last_over_first(self.of_hidden("activation_std"))

    @property
    def first_spread_ratio(self) -> float:
        """`spread_ratio` before training."""
        return _last_over_first([std for std in self.start.get("first_std", [])[:-1] if std is not None])

    def recent(self, key: str, missing: float) -> float:
        """The median of a column over the last epochs; `missing` where there is none."""
        values = [row[key] for row in [row for row in self.rows if key in row][-RECENT:]]
        return median(values) if values else missing

    @property
    def first_layers(self) -> str:
        """The layers whose gradient `ratio` is about: `layer 1`, or `layers 1 to 3`."""
        early = _early(self.epochs[-1]["layers"]) if self.epochs else 1
        return self.layer(1) if early == 1 else f"layers 1 to {early}"

    def layer(self, number: int) -> str:
        """`layer 3`, with the name of its module where it has one."""
        layers = self.epochs[-1]["layers"] if self.epochs else []
        name = layers[number - 1].get("name") if 0 < number <= len(layers) else None
        return f"layer {number} ({name})" if name else f"layer {number}"


def _last_over_first(values: Sequence[float]) -> float:
    return values[-1] / values[0] if len(values) > 1 and values[0] > 0 else 1.0


def _ratio(line: Mapping[str, Any]) -> float | None:
    # Rows of an embedding that a batch does not ask for have no gradient: its norm is that of other layers' parts.
    norms = [layer["gradient_norm"] for layer in line["layers"][:-1] if layer.get("kind") != "Embedding"]
    trained = [norm for norm in norms if norm is not None and norm > 0]
    return max(trained[: _early(line["layers"])]) / trained[-1] if len(trained) > 1 else None


def _early(layers: Sequence[Mapping[str, Any]]) -> int:
    """The number of layers that count as the first ones: in a custom network, a quarter of the hidden layers.

    Layers may be parallel there, and queries and keys begin with hardly any gradient.
    """
    return max(1, (len(layers) - 1) // 4) if "kind" in layers[-1] else 1


def reason_unreadable(record: runs.Record) -> str:
    """The reason why the layers of a run cannot be read; empty where they can."""
    if not record.last_row() or os.path.lexists(file := record.path / "diagnostics.jsonl"):
        return ""
    return f"{file} is missing; diagnose reads the layers from it"


def evidence_of(record: runs.Record) -> Evidence:
    """The evidence in a run directory; a run without diagnostics has less."""
    divergence = str(record.manifest.get("reason", "")) if record.state == "diverged" else ""
    diagnostics = runs.read_diagnostics(record.path)
    if record.is_watched:
        short = bool(diagnostics and diagnostics[0].get("loop", {}).get("short"))
        return Evidence(Setup.read(record), record.rows(), diagnostics, divergence, short)
    with handling_user_code("recorded"):
        config = load(TrainConfig, config_of(record))
    facts, assumed = record.manifest.get("data", {}), config.data.info
    start = {
        "epoch": 0,
        "train_images": facts.get("train", assumed.train),
        "validation_images": facts.get("validation", assumed.test),
        "prior_entropy": math.log(facts.get("classes", len(assumed.classes))),
    }
    if diagnostics and not diagnostics[0]["epoch"]:
        start |= diagnostics.pop(0)
    return Evidence(Setup.of(config, start.get("network", {})), record.rows(), [start, *diagnostics], divergence)
