"""The epoch loop: one network, trained and measured, as a generator of rows.

The numbers equal those of the plain PyTorch loop with two DataLoaders, bit for bit (at the same thread count): the
order of the images, every batch, every sum. It is faster, because the data stays in memory and a batch is gathered in
one operation. A batch waits for the device once, where its loss is read.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from optilab.config.schema.model import BatchNorm, Standardize
from optilab.config.schema.train import DataConfig, TrainConfig
from optilab.errors import DivergedError, UsageError
from optilab.optimize.trajectory import DIVERGENCE_FACTOR
from optilab.train import diagnostics, draws, first_batch, meanfield, optimizers, patience
from optilab.train.data import Dataset
from optilab.train.model import MLP
from optilab.train.state import all_finite
from optilab.train.tally import Tally

Row = dict[str, Any]


class Stopped(Exception):
    """The run was asked to stop; the unfinished epoch is forgotten."""


@dataclass(frozen=True)
class Images:
    """One half of a dataset.

    On the CPU pixels stay bytes: to gather bytes and then convert them is a tenth of the memory traffic. On another
    device they are the network's inputs, converted on the CPU, because CUDA divides with other last bits.
    """

    pixels: Tensor  # (n, inputs): uint8, or as `as_input` returns them
    labels: Tensor  # (n,) int64

    @classmethod
    def of(cls, images: Any, labels: Any) -> "Images":
        """Images (n, height, width) uint8 and labels (n,) of a dataset, on the CPU."""
        pixels = torch.from_numpy(images.reshape(len(images), -1).copy())
        return cls(pixels, torch.from_numpy(labels.astype("int64")))

    def to(self, device: torch.device, data: DataConfig) -> "Images":
        """The images on a device."""
        if device.type == "cpu":
            return self
        return Images(as_input(self.pixels, data).to(device), self.labels.to(device))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, order: Tensor) -> "Images":
        """The images that `order` (n,) int64 names, in that order."""
        order = order.to(self.labels.device)
        return Images(self.pixels.index_select(0, order), self.labels.index_select(0, order))


def as_input(pixels: Tensor, data: DataConfig) -> Tensor:
    """The network's inputs from pixels (n, inputs) uint8: (x/scale - mean)/std, as torchvision computes it.

    In torch's default type, which `device.configure` sets. Inputs are returned as they are.
    """
    if pixels.is_floating_point():
        return pixels
    scale, mean, std = data.normalize.scale, data.normalize.mean, data.normalize.std
    x = pixels.to(torch.get_default_dtype()).div_(scale)
    return x if (mean, std) == (0.0, 1.0) else x.sub_(mean).div_(std)


def before_training(training: "Training") -> diagnostics.EpochRecord:
    """The record of epoch 0: dataset and labels in numbers, the network's first loss and gradients, and the theory's.

    `first_loss` and `sample_gradients` are those of the first batch, `input_rms` the root mean square of its inputs.
    """
    data, train, validation = training.config.data, training.train, training.validation
    images = as_input(train.pixels[: data.batch_size], data)
    prediction = _predicted(training, images)
    loss, gradients = first_batch.measure(training.model, images, train.labels[: data.batch_size])
    return {
        "epoch": 0,
        **diagnostics.labels(train.labels, validation.labels),
        "input_rms": diagnostics.finite(float(images.square().mean().sqrt())),
        "first_loss": diagnostics.finite(loss),
        "sample_gradients": [diagnostics.finite(value) for value in gradients],
        "first_weights": [
            diagnostics.finite(float(linear.weight.detach().norm())) for linear in training.model.linears
        ],
        "predicted_gains": prediction and prediction.gains,
        "predicted_ratio": prediction and prediction.ratio,
    }


def _predicted(training: "Training", images: Tensor) -> meanfield.GradientPrediction | None:
    """The theory's expectation; None where it does not apply or its numbers overflow."""
    try:
        prediction = meanfield.predict(training.model, training.config.model, images)
    except OverflowError:
        return None
    return prediction if prediction and all_finite([prediction.gains, prediction.ratio]) else None


def _optimizer(config: TrainConfig, model: MLP) -> torch.optim.Optimizer:
    return optimizers.build(model.trained, config.optimizer, config.weight_decay)


def _scheduled(config: TrainConfig, epoch: int, batch: int, batches: int) -> tuple[float, float | None]:
    """Factor of the learning rate and cycled momentum (None: not cycled) in a batch; epoch and batch count from 0."""
    by_batch = config.schedule_by == "batch"
    at = (epoch * batches + batch, config.epochs * batches) if by_batch else (epoch, config.epochs)
    cycled = config.replay.cycle_momentum
    return float(config.schedule.factor(*at)), config.schedule.momentum(*at) if cycled else None


def _refuse_bad_batches(config: TrainConfig, train: int, evaluated: Sequence[int]) -> None:
    """UsageError for batch sizes that leave a one-image batch under batch statistics, or no batch with drop_last."""
    data, norm = config.data, config.model.norm
    if data.drop_last and train < data.batch_size:
        raise UsageError(f"data.drop_last: {train} images make no whole batch of {data.batch_size}")
    over_batch = isinstance(norm, BatchNorm) or (isinstance(norm, Standardize) and norm.over == "feature")
    key = "batch_size" if data.validation_batch_size is None else "validation_batch_size"
    passes = [(key, data.evaluated_at_once, images) for images in evaluated]
    passes.append(("batch_size", data.batch_size, train - train % data.batch_size * data.drop_last))
    for key, size, images in passes:
        if over_batch and config.model.hidden and (images % size == 1 or size == 1):
            raise UsageError(
                f"data.{key}: {size} leaves a batch of one of {images} images, and {norm.name} normalisation "
                "needs two; choose another batch size"
            )


@dataclass
class Training:
    """A network in training: everything that changes from epoch to epoch."""

    config: TrainConfig
    device: torch.device
    train: Images
    validation: Images
    test: Images | None  # evaluated at the end; None where the validation uses the test set
    model: MLP
    optimizer: torch.optim.Optimizer
    shuffler: torch.Generator | None = None  # of the training images; None: the global one
    stage: int = 0
    rows: list[Row] = field(default_factory=list)
    record: diagnostics.EpochRecord = field(default_factory=dict)  # of the last epoch
    digests: dict[str, str] = field(default_factory=dict)  # of the dataset's files
    first_loss: float = math.nan  # of the first batch, before any step

    @classmethod
    def start(cls, config: TrainConfig, dataset: Dataset, device: torch.device) -> "Training":
        """Seed, split, peek, build, seed again; the order of the random draws is PyTorch's own.

        Raises UsageError where the config does not fit the dataset.
        """
        replay = config.replay
        draws.start(config.seed, replay.draws_before)
        train = Images.of(dataset.train_images, dataset.train_labels)
        validation, test = Images.of(dataset.test_images, dataset.test_labels), None
        used, held_out = draws.split(len(train), config.data, replay)
        if held_out is not None:
            validation, test = train.take(held_out), validation
        if used is not None:
            train = train.take(used)
        _refuse_bad_batches(config, len(train), [len(images) for images in (validation, test) if images])
        shuffler = draws.generator(replay.shuffle_seed)
        for _ in range(replay.loaders_peeked):
            draws.order(len(train), config.data.shuffle, shuffler)
        depths = [stage.layers for stage in config.stages]
        in_turn, one_by_one = replay.stages_drawn == "in-turn", replay.layers_drawn == "layer-by-layer"
        model = MLP(config.model, train.pixels.shape[1], dataset.classes, depths, in_turn, one_by_one)
        if depths:
            model.enter(depths[0], frozen=0)
        model.to(device)
        if replay.training_seed is not None:
            torch.manual_seed(replay.training_seed)
        optimizer = _optimizer(config, model)
        if replay.cycle_momentum and not {"momentum", "betas"} & optimizer.defaults.keys():
            raise UsageError(f"replay.cycle_momentum: {config.optimizer.name} is not torch's own in this form")
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
        """The last epoch is done, or early stopping has ended the run; the rows alone tell."""
        return self.epoch >= self.config.epochs or patience.stalled(self.rows, self.config.early_stopping)

    @property
    def loss_limit(self) -> float:
        """A run whose last training and validation losses are both above this has diverged (`ExitCode.DIVERGED`)."""
        guessing = diagnostics.prior_entropy(self.train.labels)
        return DIVERGENCE_FACTOR * max(guessing, self.first_loss)

    def enter(self, stage: int) -> None:
        """Go on with the layers of that stage: a new output layer, a new optimizer."""
        now = self.config.stages[stage]
        frozen = self.config.stages[stage - 1].layers if stage and now.train == "new" else 0
        self.model.enter(now.layers, frozen)
        self.model.to(self.device)
        self.model.zero_grad()  # layers that are frozen from now on have no gradient
        self.optimizer, self.stage = _optimizer(self.config, self.model), stage

    def run(self, on_batch: Callable[[int, int], None], stop: Callable[[], bool]) -> Iterator[tuple[Row, float]]:
        """Train to the last epoch; after each one, yield its row and its duration in seconds.

        `on_batch(done, total)` follows each batch. Raises Stopped soon after `stop()` is true, and DivergedError in
        place of a row that would not be finite, or at the end of a run that has diverged in finite numbers.
        """
        while not self.finished:
            started = time.perf_counter()
            if (stage := self.config.stage_at(self.epoch + 1)) != self.stage:
                self.enter(stage)
            row = {
                "epoch": self.epoch + 1,
                **self._row("train", self._train_epoch(on_batch, stop)),
                **self._row("val", self._validate()),
            }
            if not all_finite([self.model.state_dict(), self.optimizer.state_dict()]):
                number = "number of the optimizer's state" if all_finite(self.model.state_dict()) else "weight"
                raise DivergedError(f"diverged at epoch {row['epoch']}: a {number} is not finite")
            self.rows.append(row)
            yield row, time.perf_counter() - started
        if self.rows and (loss := min(self.rows[-1]["train_loss"], self.rows[-1]["val_loss"])) > self.loss_limit:
            raise DivergedError(
                f"diverged: after epoch {self.epoch} the loss is {loss:.4g}, above {self.loss_limit:.4g}, which is "
                f"{DIVERGENCE_FACTOR:g} times that of guessing or of the first batch; a smaller optimizer.lr may help"
            )

    def tested(self) -> Row:
        """Loss and accuracy on the test set, evaluated at the end; empty where the validation uses it."""
        return self._row("test", self._evaluated(self.test)) if self.test else {}

    def _train_epoch(self, on_batch: Callable[[int, int], None], stop: Callable[[], bool]) -> Tally:
        """One pass over the training data."""
        config, data, size = self.config, self.config.data, self.config.data.batch_size
        count = len(self.train) - (len(self.train) % size if data.drop_last else 0)
        batches = math.ceil(count / size)
        order = draws.order(len(self.train), data.shuffle, self.shuffler)[:count].to(self.device)
        labels = self.train.labels.index_select(0, order)
        loss_of = nn.CrossEntropyLoss()
        parameters = self.model.trained
        lowered = patience.lowered(self.rows, config.plateau)
        tally = Tally()
        probed = diagnostics.probed(batches, config.probes)
        evidence = diagnostics.EpochProbes()
        self.model.train()
        for batch in range(batches):
            here = slice(batch * size, min((batch + 1) * size, count))
            images = as_input(self.train.pixels.index_select(0, order[here]), data)
            probe = diagnostics.Probe(self.model) if batch in probed else None
            logits = self.model(images)
            loss = loss_of(logits, labels[here])
            if not math.isfinite(value := loss.item()):
                origin = diagnostics.origin_of_overflow(self.model, images)
                where = f"epoch {self.epoch + 1}, batch {batch + 1}"
                raise DivergedError(f"diverged at {where}: loss is {value}; {origin}")
            if math.isnan(self.first_loss):
                self.first_loss = value
            self.optimizer.zero_grad()
            loss.backward()
            if probe:
                probe.after_backward()
            if config.clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, config.clip_norm)
            if config.clip_value is not None:
                nn.utils.clip_grad_value_(parameters, config.clip_value)
            factor, momentum = _scheduled(config, self.epoch, batch, batches)
            self._set_rate(factor * lowered, momentum)
            self.optimizer.step()
            if probe:
                evidence.add(probe, self.optimizer)
            tally.add(loss, logits, labels[here])
            on_batch(batch + 1, batches)
            if stop():
                raise Stopped
        draws.order_ends(len(self.train), data.shuffle, self.shuffler)
        # Between epochs the rate is the config's: the schedule is no state to be saved.
        self._set_rate(1.0)
        self.record = evidence.record(self.epoch + 1, self.optimizer) if probed else {}
        return tally

    def _set_rate(self, factor: float, momentum: float | None = None) -> None:
        """Learning rate and momentum (beta1) of the next step; None: the config's own."""
        defaults = self.optimizer.defaults
        for group in self.optimizer.param_groups:
            group["lr"] = defaults["lr"] * factor
            if "betas" in group:
                group["betas"] = (defaults["betas"][0] if momentum is None else momentum, group["betas"][1])
            elif "momentum" in group:
                group["momentum"] = defaults["momentum"] if momentum is None else momentum

    def _validate(self) -> Tally:
        order = draws.validation_order(len(self.validation), self.config.replay, self.stage)
        return self._evaluated(self.validation if order is None else self.validation.take(order))

    @torch.inference_mode()
    def _evaluated(self, images: Images) -> Tally:
        """One pass over images in their own order, without training."""
        size = self.config.data.evaluated_at_once
        loss_of = nn.CrossEntropyLoss()
        tally = Tally()
        self.model.eval()
        for pixels, labels in zip(torch.split(images.pixels, size), torch.split(images.labels, size), strict=True):
            logits = self.model(as_input(pixels, self.config.data))
            tally.add(loss_of(logits, labels), logits, labels)
        return tally

    def _row(self, split: str, tally: Tally) -> Row:
        """The part of a row that a pass gives; DivergedError where a loss is not finite."""
        if (overflow := tally.overflow()) is not None:
            batch, loss = overflow
            raise DivergedError(f"diverged at epoch {self.epoch + 1}, {split} batch {batch + 1}: loss is {loss}")
        return tally.row(split, self.config.replay)
