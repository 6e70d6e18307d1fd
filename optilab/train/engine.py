"""The epoch loop: one network, trained and measured, as a generator of rows.

The numbers equal those of the plain PyTorch loop with two DataLoaders, bit for bit (at the same thread count): the
order of the images, every batch, every sum. It is faster, because the data stays in memory and a batch is gathered in
one operation. A batch waits for the device once, where its loss is read.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from optilab.config.model import ModelConfig
from optilab.config.training import EarlyStopping, ReduceOnPlateau, Replay, TrainConfig, parameters, size_problem
from optilab.config.user_network import UserNetwork
from optilab.data.read import Dataset, channels_first
from optilab.errors import DivergedError, UsageError
from optilab.optimize.path import DIVERGENCE_FACTOR
from optilab.optimize.rule import innermost, learning_rates
from optilab.optimize.rules import SAM
from optilab.optimize.schedules import scheduled
from optilab.optimize.theory import stability_limit
from optilab.runs import Row
from optilab.runs.metrics import METRICS, QUANTITIES
from optilab.train import curvature, first_batch, optimizers, tensors
from optilab.train.batches import Images, as_input, draw_loaders, draw_order, finish_epoch_order, generator, split
from optilab.train.device import explain_device_errors, generators
from optilab.train.model import MLP
from optilab.train.network import Network, UserModel
from optilab.train.optimizers import BatchStep
from optilab.train.probe import (
    Diagnostics,
    LayerRow,
    Probe,
    epoch_diagnostics,
    fraction_below_eps,
    origin_of_overflow,
)
from optilab.train.tensors import finite
from optilab.train.trees import all_finite


class Stopped(Exception):
    """The run was asked to stop; the unfinished epoch is discarded."""


SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "acc": lambda logits, labels: (logits.argmax(dim=1) == labels).sum(),
}
"""Number of images of a batch that score, from logits (n, classes) and labels (n,). A row has their fraction."""
if {"loss", *SCORES} != {*QUANTITIES}:
    raise TypeError(f"expected a function for each of {', '.join(QUANTITIES)}, got {', '.join(SCORES)}")


@dataclass
class Tally:
    """Losses and scores of a pass, batch by batch; they stay on the device until they are asked for."""

    sizes: list[int] = field(default_factory=list)  # images per batch
    losses: list[Tensor] = field(default_factory=list)  # mean over each batch
    scores: list[Tensor] = field(default_factory=list)  # (metrics,) int64 per batch

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """A batch: its loss, logits (n, classes) and labels (n,)."""
        self.sizes.append(len(labels))
        self.losses.append(loss.detach())
        self.scores.append(torch.stack([score(logits.detach(), labels) for score in SCORES.values()]))

    def row(self, split: str, epoch: int, replay: Replay) -> Row:
        """`SPLIT_loss` and `SPLIT_METRIC` of the pass. DivergedError where a loss is not finite.

        The loss is the mean of the batches' losses, each with the same weight or that of its size; a metric is the
        fraction of the images that score.
        """
        losses = torch.stack(self.losses).tolist()
        for batch, loss in enumerate(losses, 1):
            if not math.isfinite(loss):
                raise DivergedError(f"diverged at epoch {epoch}, {split} batch {batch}: loss is {loss}")
        weights = self.sizes if replay.loss_mean == "images" else [1] * len(self.sizes)
        products = (loss * weight for loss, weight in zip(losses, weights, strict=True))
        row = {f"{split}_loss": sum(products) / sum(weights)}
        scores = torch.stack(self.scores)
        values = [score / sum(self.sizes) for score in scores.sum(dim=0).tolist()]
        return row | {f"{split}_{name}": value for name, value in zip(SCORES, values, strict=True)}


@dataclass
class Training:
    """A network in training: everything that changes from epoch to epoch."""

    config: TrainConfig
    device: torch.device
    train: Images
    validation: Images
    test: Images | None  # evaluated at the end; None where the validation uses the test set
    model: Network
    optimizer: torch.optim.Optimizer
    shuffler: torch.Generator | None = None  # of the training images; None: the global one
    stage: int = 0
    rows: list[Row] = field(default_factory=list)
    diagnostics: Diagnostics = field(default_factory=dict)  # of the last epoch
    digests: dict[str, str] = field(default_factory=dict)  # of the dataset's files
    first_loss: float = math.nan  # of the first batch, before any step
    last_rule: Any = None  # the optimizer with the learning rate of its last step

    @classmethod
    def start(cls, config: TrainConfig, dataset: Dataset, device: torch.device) -> "Training":
        """Seed, split, peek, build, seed again; the order of the random draws is PyTorch's own.

        Raises UsageError where the config does not fit the dataset.
        """
        replay = config.replay
        torch.manual_seed(config.seed)
        arrays = [dataset.train_images, dataset.test_images]
        if isinstance(config.model, UserNetwork):
            arrays = [channels_first(images) for images in arrays]
        train = Images.of(arrays[0], dataset.train_labels)
        validation, test = Images.of(arrays[1], dataset.test_labels), None
        used, held_out = split(len(train), config.data, replay.split_seed)
        if held_out is not None:
            validation, test = train.take(held_out), validation
        if used is not None:
            train = train.take(used)
        shuffler = generator(replay.shuffle_seed)
        model: Network
        if isinstance(config.model, UserNetwork):
            example = as_input(train.pixels[:2], config.data)
            model = UserModel(config.model, arrays[0].shape[1:], dataset.classes, example)
        else:
            model = _multilayer_perceptron(config, config.model, train.pixels.shape[1], dataset.classes)
        _refuse_batches(config, model, train, [len(images) for images in (validation, test) if images])
        model.to(device)
        if replay.training_seed is not None:
            torch.manual_seed(replay.training_seed)
        optimizer = optimizer_of(config, model)
        train, validation = train.to(device, config.data), validation.to(device, config.data)
        test = test and test.to(device, config.data)
        digests = dict(dataset.digests)
        return cls(config, device, train, validation, test, model, optimizer, shuffler, digests=digests)

    @property
    def inputs(self) -> int:
        """Numbers per image."""
        return self.train.pixels.shape[1]

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.rows)

    @property
    def finished(self) -> bool:
        """True if the last epoch is done, or early stopping has ended the run; the rows alone decide."""
        return self.epoch >= self.config.epochs or stalled(self.rows, self.config.early_stopping)

    @property
    def loss_limit(self) -> float:
        """A run whose last training and validation losses are both above this has diverged (`ExitCode.DIVERGED`)."""
        return DIVERGENCE_FACTOR * max(self.chance_loss, self.first_loss)

    @property
    def chance_loss(self) -> float:
        """The loss of a network that gives each class its fraction of the training labels."""
        return first_batch.prior_entropy(self.train.labels)

    def enter_stage(self, stage: int) -> None:
        """Go on with the layers of that stage: a new output layer, a new optimizer."""
        optimizers.move_to_average(self.optimizer)
        assert isinstance(self.model, MLP)  # others do not grow
        self.model.enter(self.config.stages[stage].layers)
        self.model.to(self.device)
        self.optimizer, self.stage = optimizer_of(self.config, self.model), stage

    def change(self, config: TrainConfig) -> bool:
        """Go on with another config of the same network and data; whether the optimizer keeps its state.

        It does where the new one is the same rule and its state has the same parts. A new seed of the training or of
        its DataLoader takes effect here.
        """
        sizes = [len(images) for images in (self.validation, self.test) if images]
        _refuse_batches(config, self.model, self.train, sizes)
        before, replay = self.config, config.replay
        if replay.training_seed not in (None, before.replay.training_seed):
            torch.manual_seed(replay.training_seed)
        if replay.shuffle_seed != before.replay.shuffle_seed:
            self.shuffler = generator(replay.shuffle_seed)
        old, self.config, self.optimizer = self.optimizer, config, optimizer_of(config, self.model)
        if optimizers.transfer_state(old, before.optimizer, self.optimizer, config.optimizer):
            return True
        optimizers.move_to_average(old)
        return False

    def run(self, on_batch: Callable[[int, int], None], stop: Callable[[], bool]) -> Iterator[tuple[Row, float]]:
        """Train to the last epoch; after each one, yield its row and its duration in seconds.

        `on_batch(done, total)` follows each batch. Raises Stopped soon after `stop()` is true, and DivergedError in
        place of a row that would not be finite, or at the end of a run that has diverged in finite numbers.
        """
        while not self.finished:
            started = time.perf_counter()
            if (stage := self.config.stage_at(self.epoch + 1)) != self.stage:
                self.enter_stage(stage)
            row = {"epoch": self.epoch + 1}
            row |= self._train_epoch(on_batch, stop).row("train", self.epoch + 1, self.config.replay)
            draw_loaders(self.config.replay.loaders(self.stage))
            row |= self._evaluate(self.validation).row("val", self.epoch + 1, self.config.replay)
            state = {} if hasattr(self.optimizer, "is_user_optimizer") else self.optimizer.state_dict()
            if not all_finite([self.model.weights, state]):
                number = "number of the optimizer's state" if all_finite(self.model.weights) else "weight"
                raise DivergedError(f"diverged at epoch {row['epoch']}: a {number} is not finite")
            measured = self.config.curvature
            if measured is not None and row["epoch"] % measured.every == 0:
                curved = self.measure_curvature(self.last_rule)
                self.diagnostics = {"epoch": row["epoch"], **self.diagnostics, "curvature": curved}
            self.rows.append(row)
            yield row, time.perf_counter() - started
        if self.rows and (loss := min(self.rows[-1]["train_loss"], self.rows[-1]["val_loss"])) > self.loss_limit:
            raise DivergedError(
                f"diverged: after epoch {self.epoch} the loss is {loss:.4g}, above {self.loss_limit:.4g}, which is "
                f"{DIVERGENCE_FACTOR:g} times the chance-level loss or that of the first "
                "batch; a smaller optimizer.lr may help"
            )

    def measure_curvature(self, rule: Any) -> Diagnostics:
        """The curvature of the loss over the first training images, and its `limit` for the rule of the last step.

        The limit is that of theory, for `preconditioned` where the rule is adaptive; null for a rule without a formula.
        """
        count = self.config.curvature.images if self.config.curvature else 0
        images = self.train.take(torch.arange(min(count, len(self.train))))
        batch = as_input(images.pixels, self.config.data), images.labels
        frozen = optimizers.joined_frozen_step(self.optimizer, self.config.optimizer)
        divisor = frozen.preconditioner if frozen else None
        measured = curvature.measure_curvature(self.model, batch, divisor, self.config.weight_decay)
        return {**measured, "limit": finite(stability_limit(rule, frozen))}

    def tested(self) -> Row:
        """Loss and accuracy on the test set, evaluated at the end; empty where the validation uses it."""
        return self._evaluate(self.test).row("test", self.epoch, self.config.replay) if self.test else {}

    @property
    def _images_per_epoch(self) -> int:
        data = self.config.data
        return len(self.train) - (len(self.train) % data.batch_size if data.drop_last else 0)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels of one pass over the training images, in the order that is drawn for it."""
        data = self.config.data
        order = draw_order(len(self.train), data.shuffle, self.shuffler)[: self._images_per_epoch].to(self.device)
        labels = self.train.labels.index_select(0, order)
        parts = (torch.split(tensor, data.batch_size) for tensor in (order, labels))
        for indices, batch_labels in zip(*parts, strict=True):
            yield as_input(self.train.pixels.index_select(0, indices), data), batch_labels
        finish_epoch_order(len(self.train), data.shuffle, self.shuffler)

    def _batch_step(self, images: Tensor, labels: Tensor, draw: tuple[int, ...]) -> BatchStep:
        """The batch that is about to be trained on, for rules that look at it twice."""
        states = generators(self.device) if isinstance(self.config.optimizer, SAM) else None
        return BatchStep(self.model, images, labels, draw, self.config, states)

    def _train_epoch(self, on_batch: Callable[[int, int], None], stop: Callable[[], bool]) -> Tally:
        """One pass over the training data."""
        config = self.config
        batches = math.ceil(self._images_per_epoch / config.data.batch_size)
        loss_of = nn.CrossEntropyLoss()
        lowered = plateau_factor(self.rows, config.plateau)
        tally = Tally()
        probed, rows, rate = _probed_batches(batches, config.probes), list[Sequence[LayerRow]](), None
        self.model.train()
        for batch, (images, labels) in enumerate(self.batches()):
            probe = Probe(_probed_part(self.model)) if batch in probed else None
            batch_step = self._batch_step(images, labels, (config.seed, self.epoch + 1, batch))
            logits = self.model(images)
            loss = loss_of(logits, labels)
            if not math.isfinite(value := loss.item()):
                origin = origin_of_overflow(self.model, images)
                where = f"epoch {self.epoch + 1}, batch {batch + 1}"
                raise DivergedError(f"diverged at {where}: loss is {value}; {origin}")
            if math.isnan(self.first_loss):
                self.first_loss = value
            factor = _schedule_factor(config, self.epoch, batch, batches)
            self._update(loss, batch_step, factor * lowered, probe)
            if probe:
                rows.append([*probe.rows.values()])
                rate = _rate(self.optimizer)
            tally.add(loss, logits, labels)
            on_batch(batch + 1, batches)
            if stop():
                raise Stopped
        rule = config.optimizer
        self.last_rule = scheduled(rule, factor * lowered) if learning_rates(rule) else rule
        # Between epochs the rate is the config's: the schedule is no state to be saved.
        self.set_rate(1.0)
        below_eps, named = fraction_below_eps(self.optimizer), isinstance(self.model, UserModel)
        self.diagnostics = epoch_diagnostics(self.epoch + 1, rows, rate, below_eps, named) if probed else {}
        return tally

    def ramp(self, factors: Iterable[float]) -> Iterator[float]:
        """A learning rate range test (Smith 2015, arXiv:1506.01186): for each factor of the config's rate in turn the
        loss of a batch, and then a step at that rate. It ends after a loss that is not finite.

        Batches come in the order of `run`, epoch after epoch. Clipping, weight decay and dropout are those of the
        config; its schedule does not apply.
        """
        passes = (batch for _ in itertools.count() for batch in self.batches())
        with explain_device_errors(self.device):
            self.model.train()
            for step, (factor, (images, labels)) in enumerate(zip(factors, passes, strict=False)):
                batch_step = self._batch_step(images, labels, (self.config.seed, 0, step))
                loss = nn.functional.cross_entropy(self.model(images), labels)
                yield (value := loss.item())
                if not math.isfinite(value):
                    return
                self._update(loss, batch_step, factor)

    def _update(self, loss: Tensor, batch_step: BatchStep, factor: float, probe: Probe | None = None) -> None:
        """One step by the gradients of a batch's loss, at this multiple of the config's learning rate."""
        self.optimizer.zero_grad()
        with self.model.running("in its backward pass", loss.device):
            loss.backward()  # type: ignore[no-untyped-call]
        for parameter in self.model.trained:
            if parameter.grad is None:  # no image of the batch reached it, and optimizers expect one everywhere
                parameter.grad = torch.zeros_like(parameter)
        if probe:
            probe.close()
            probe.before_step({id(weight) for weight in self.model.weights})
        batch_step.clip()
        self.set_rate(factor)
        batch_step.step(self.optimizer, self.config.optimizer)
        if probe:
            probe.after_step()

    def set_rate(self, factor: float) -> None:
        """The learning rate of the next step, in multiples of the config's."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.optimizer.defaults["lr"] * factor

    @torch.inference_mode()
    def _evaluate(self, images: Images) -> Tally:
        """One pass over images in their order, without training; at the average of the points where that is the
        rule's result."""
        size = self.config.data.evaluated_at_once
        loss_of = nn.CrossEntropyLoss()
        tally = Tally()
        self.model.eval()
        batches = zip(torch.split(images.pixels, size), torch.split(images.labels, size), strict=True)
        with optimizers.at_average(self.optimizer):
            for pixels, labels in batches:
                logits = self.model(as_input(pixels, self.config.data))
                tally.add(loss_of(logits, labels), logits, labels)
        return tally


# --- what a config means for a step ---


def _multilayer_perceptron(config: TrainConfig, network: ModelConfig, inputs: int, classes: int) -> MLP:
    """The multilayer perceptron in its first stage. UsageError where it is too large."""
    depths = [stage.layers for stage in config.stages]
    if message := size_problem(parameters(network.widths(inputs, classes))):
        raise UsageError(f"model.hidden: {message}")
    model = MLP(network, inputs, classes, depths)
    if depths:
        model.enter(depths[0])
    return model


def optimizer_of(config: TrainConfig, model: Network) -> torch.optim.Optimizer:
    """The optimizer of a config on the weights of a network. UsageError where it does not fit them."""
    _require_matrices(config, model)
    return optimizers.build(model.trained, config.optimizer, config.weight_decay, model.weights)


def _require_matrices(config: TrainConfig, model: Network) -> None:
    """UsageError for a rule that trains the matrices between the first and the last, where there are none."""
    rule = innermost(config.optimizer)
    matrices = sum(weight.dim() >= 2 for weight in model.trained)
    if isinstance(model, UserModel) and getattr(rule, "matrices", "all") == "hidden" and matrices < 3:
        raise UsageError(
            f"optimizer: {rule.name} trains the matrices between the first and the last, and {model.config.name} has "
            f"{matrices} in all"
        )


def _schedule_factor(config: TrainConfig, epoch: int, batch: int, batches: int) -> float:
    """Factor of the learning rate in a batch; epoch and batch count from 0."""
    by_batch = config.schedule_by == "batch"
    at = (epoch * batches + batch, config.epochs * batches) if by_batch else (epoch, config.epochs)
    return float(config.schedule.factor(*at))


def _refuse_batches(config: TrainConfig, model: Network, train: Images, evaluated: Sequence[int]) -> None:
    """UsageError for no batch at all with drop_last, and for a batch of one image that the network cannot take."""
    data, count = config.data, len(train)
    if data.drop_last and count < data.batch_size:
        raise UsageError(f"data.drop_last: {count} images do not fill one batch of {data.batch_size}")
    key = "batch_size" if data.validation_batch_size is None else "validation_batch_size"
    passes = [(key, data.evaluated_at_once, images, False) for images in evaluated]
    passes.append(("batch_size", data.batch_size, count - count % data.batch_size * data.drop_last, True))
    for key, size, images, training in passes:
        if (images % size == 1 or size == 1) and not _accepts_single_image(
            model, as_input(train.pixels[:1], data), training
        ):
            raise UsageError(
                f"data.{key}: {size} leaves a batch of one of {images} images, and a normalization over batches "
                "needs two"
            )


def _accepts_single_image(model: Network, image: Tensor, training: bool) -> bool:
    """True if the network returns finite numbers for a batch of one image."""
    with tensors.preserving_state(model, image.device), torch.no_grad():
        model.train(training)
        try:
            return bool(torch.isfinite(model(image)).all())
        except (UsageError, ValueError):
            return False


# --- early stopping and plateaus: functions of the rows alone, so that a checkpoint needs no state of theirs ---


def stalled(rows: Sequence[Row], stopping: EarlyStopping | None) -> bool:
    """True if the last `patience` epochs brought no improvement on the epochs before them."""
    if stopping is None or len(rows) <= stopping.patience:
        return False
    sign = METRICS[stopping.monitor].sign
    best, since = -math.inf, 0
    for row in rows:
        value = sign * row[stopping.monitor]
        best, since = (value, 0) if value > best + stopping.min_delta else (best, since + 1)
    return since >= stopping.patience


def plateau_factor(rows: Sequence[Row], plateau: ReduceOnPlateau | None) -> float:
    """Factor of the learning rate after these epochs, as torch's ReduceLROnPlateau sets it when stepped after each."""
    if plateau is None:
        return 1.0
    sign = METRICS[plateau.monitor].sign
    factor, best, since, resting = 1.0, -math.inf, 0, 0
    for row in rows:
        value = sign * row[plateau.monitor]
        margin = abs(best) * plateau.threshold if plateau.relative else plateau.threshold
        best, since = (value, 0) if best == -math.inf or value > best + margin else (best, since + 1)
        if resting:
            resting, since = resting - 1, 0
        if since > plateau.patience:
            factor, since, resting = max(factor * plateau.factor, plateau.lowest), 0, plateau.cooldown
    return factor


# --- what is recorded of the layers ---


def _probed_part(model: Network) -> nn.Module:
    """The module whose layers are recorded: a user's network keeps the names of its code."""
    return model.network if isinstance(model, UserModel) else model


def _probed_batches(batches: int, probes: int) -> frozenset[int]:
    """The batches of an epoch that are probed: the first, the last, and others evenly between."""
    count = min(probes, batches)
    return frozenset(round(n * (batches - 1) / max(1, count - 1)) for n in range(count))


def _rate(optimizer: torch.optim.Optimizer) -> float | None:
    """The learning rate; for a rule around another, the rate of the inner rule times the schedule's factor."""
    rate, rule = optimizer.param_groups[0].get("lr"), getattr(optimizer, "rule", None)
    wraps = hasattr(rule, "base")
    return rate * next(iter(learning_rates(rule).values()), 1.0) if wraps and rate is not None else rate


def initial_diagnostics(training: Training) -> Diagnostics:
    """The diagnostics of epoch 0: dataset and labels in numbers, and the first batch before any step.

    `input_rms` is the root mean square of its inputs.
    """
    data, train, validation, model = training.config.data, training.train, training.validation, training.model
    curved = {}
    if training.config.curvature is not None:
        curved = {"curvature": training.measure_curvature(training.config.optimizer)}
    if not training.config.probes:
        return {"epoch": 0, **curved}
    images, labels = as_input(train.pixels[: data.batch_size], data), train.labels[: data.batch_size]
    return {
        "epoch": 0,
        **curved,
        **first_batch.label_facts(train.labels, validation.labels),
        "input_rms": finite(images.square().mean().sqrt()),
        **first_batch.first_batch(model, _probed_part(model), images, labels),
    }
