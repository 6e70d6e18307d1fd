"""The epoch loop: one network, trained and measured, as a generator of rows.

The numbers are those of the plain PyTorch loop with two DataLoaders, bit for bit (at the same thread count): the
order of the images, every batch, every sum. The time is not: the data stays in memory as bytes, and a batch is
gathered, then converted.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from optilab.errors import DivergedError, UsageError
from optilab.schema import TrainConfig
from optilab.train import optimizers
from optilab.train.data import Dataset
from optilab.train.model import MLP, all_finite

Row = dict[str, Any]


class Stopped(Exception):
    """The run was asked to stop; the unfinished epoch is forgotten."""


@dataclass(frozen=True)
class Images:
    """One half of a dataset on the device."""

    pixels: Tensor  # (n, inputs) uint8
    labels: Tensor  # (n,) int64

    @classmethod
    def of(cls, images: Any, labels: Any, device: torch.device) -> "Images":
        pixels = torch.from_numpy(images.reshape(len(images), -1).copy())
        return cls(pixels.to(device), torch.from_numpy(labels.astype("int64")).to(device))

    def __len__(self) -> int:
        return len(self.labels)


def resolve_device(name: str) -> torch.device:
    """The device that a config's `device` means on this machine; UsageError if it is not there."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found += [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    if name == "auto":
        return torch.device(next((d for d in ("cuda:0", "mps") if d in found), "cpu"))
    if name in found or (name == "cuda" and "cuda:0" in found):
        return torch.device("cuda:0" if name == "cuda" else name)
    raise UsageError(f"device {name!r} is not available on this machine (found: {', '.join(found)})")


def configure(device: torch.device, threads: int) -> None:
    """Process-wide settings that the numbers depend on. Call before the first tensor operation."""
    torch.set_num_threads(threads)
    # Saturated units make denormal numbers, which slow a matrix product up to 200 times. Must come before the
    # first parallel operation to reach every thread.
    torch.set_flush_denormal(True)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = False


def _loader_seed() -> int:
    """The number that a DataLoader draws from the global generator each time it is iterated."""
    return int(torch.empty((), dtype=torch.int64).random_().item())


def _shuffled(n: int) -> Tensor:
    """The order in which a shuffling DataLoader would go through n samples, drawn as it draws it."""
    _loader_seed()  # the iterator's base seed, for workers that are not there
    return torch.randperm(n, generator=torch.Generator().manual_seed(_loader_seed()))


@dataclass
class Training:
    """A network in training: everything that changes from epoch to epoch, and nothing else."""

    config: TrainConfig
    device: torch.device
    train: Images
    validation: Images
    model: MLP
    optimizer: torch.optim.Optimizer
    rows: list[Row] = field(default_factory=list)

    @classmethod
    def start(cls, config: TrainConfig, dataset: Dataset, device: torch.device) -> "Training":
        """Seed, then build; the order of the random draws is PyTorch's own."""
        torch.manual_seed(config.seed)
        train = Images.of(dataset.train_images, dataset.train_labels, device)
        validation = Images.of(dataset.test_images, dataset.test_labels, device)
        model = MLP(config.model, train.pixels.shape[1], dataset.classes).to(device)
        return cls(
            config, device, train, validation, model, optimizers.build(config.optimizer, model.parameters())
        )

    @property
    def inputs(self) -> int:
        """Numbers per image."""
        return self.train.pixels.shape[1]

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.rows)

    def run(self, on_batch: Callable[[int, int], None], stop: Callable[[], bool]) -> Iterator[tuple[Row, float]]:
        """Train to the config's last epoch; yield each epoch's row and its seconds.

        `on_batch(done, total)` hears of every training batch. Raises Stopped soon after `stop()` is true, and
        DivergedError, which names the epoch and batch, in place of a row that would not be finite.
        """
        while self.epoch < self.config.epochs:
            started = time.perf_counter()
            row = {
                "epoch": self.epoch + 1,
                **self._measured("train", self._train_epoch(on_batch, stop), self.train),
                **self._measured("val", self._validate(), self.validation),
            }
            if not all_finite(self.model):
                raise DivergedError(f"diverged at epoch {row['epoch']}: a weight is not finite")
            self.rows.append(row)
            yield row, time.perf_counter() - started

    def _train_epoch(
        self, on_batch: Callable[[int, int], None], stop: Callable[[], bool]
    ) -> tuple[list[Tensor], int]:
        """One pass over the training data: the loss of every batch, and how many images were classified right."""
        size, count = self.config.data.batch_size, len(self.train)
        batches = math.ceil(count / size)
        order = _shuffled(count).to(self.device)
        labels = self.train.labels.index_select(0, order)
        answers = torch.empty_like(labels)
        loss_of = nn.CrossEntropyLoss()
        losses = []
        self.model.train()
        for batch in range(batches):
            here = slice(batch * size, min((batch + 1) * size, count))
            # Gathered as bytes, converted after: a tenth of the memory traffic.
            images = self.train.pixels.index_select(0, order[here]).float().div_(255)
            logits = self.model(images)
            loss = loss_of(logits, labels[here])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
            torch.argmax(logits.detach(), dim=1, out=answers[here])
            on_batch(batch + 1, batches)
            if stop():
                raise Stopped
        return losses, int((answers == labels).sum())

    @torch.inference_mode()
    def _validate(self) -> tuple[list[Tensor], int]:
        """The validation images in their own order, in batches of the training's size."""
        size = self.config.data.batch_size
        _loader_seed()  # a DataLoader that does not shuffle draws its base seed too
        loss_of = nn.CrossEntropyLoss()
        losses, correct = [], []
        self.model.eval()
        for pixels, labels in zip(
            torch.split(self.validation.pixels, size), torch.split(self.validation.labels, size), strict=True
        ):
            logits = self.model(pixels.float().div_(255))
            losses.append(loss_of(logits, labels))
            correct.append((logits.argmax(dim=1) == labels).sum())
        return losses, int(torch.stack(correct).sum())

    def _measured(self, split: str, measured: tuple[list[Tensor], int], images: Images) -> Row:
        """Loss: the mean of the batches, each with the same weight. Accuracy: right answers per image."""
        losses, correct = measured
        values = torch.stack(losses).tolist()
        if (bad := next((n for n, value in enumerate(values) if not math.isfinite(value)), None)) is not None:
            raise DivergedError(
                f"diverged at epoch {self.epoch + 1}, {split} batch {bad + 1}: loss is {values[bad]}"
            )
        return {f"{split}_loss": sum(values) / len(values), f"{split}_acc": correct / len(images)}
