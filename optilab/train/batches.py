"""Images in memory, and PyTorch's random draws of their batches, in PyTorch's order.

A seeded script of PyTorch draws numbers in places that its author may never have noticed: each time a DataLoader is
iterated, when a dataset is split, when a batch is only looked at. These functions draw what such a script draws, and
nothing else, so that the same seed gives the same images in the same order. Weights and dropout are drawn by
PyTorch itself.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optilab.config.training import DataConfig


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
        """Images (n, height, width, ...) uint8 and labels (n,) of a dataset, on the CPU."""
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


# --- draws ---


def generator(seed: int | None) -> torch.Generator | None:
    """A new generator with this seed; None, which stands for the global one, without a seed."""
    return None if seed is None else torch.Generator().manual_seed(seed)


def loader_seed(generator: torch.Generator | None = None) -> int:
    """The number that a DataLoader draws from its generator, or the global one, whenever it is iterated."""
    return int(torch.empty((), dtype=torch.int64).random_(generator=generator).item())


def draw_order(n: int, shuffle: bool, generator: torch.Generator | None) -> Tensor:
    """The order (n,) int64 in which a DataLoader with this generator goes through n samples."""
    loader_seed(generator)  # the base seed of worker processes, drawn even where there are none
    if not shuffle:
        return torch.arange(n)
    return torch.randperm(n, generator=generator or torch.Generator().manual_seed(loader_seed()))


def finish_epoch_order(n: int, shuffle: bool, generator: torch.Generator | None) -> None:
    """Draw the numbers that a DataLoader draws after its last sample: RandomSampler's permutation for the remainder."""
    if shuffle and generator is not None:
        torch.randperm(n, generator=generator)


def draw_loaders(count: int) -> None:
    """Draw the numbers that this number of DataLoaders draws when they are iterated without shuffling."""
    for _ in range(count):
        loader_seed()


def split(n: int, data: DataConfig, seed: int | None) -> tuple[Tensor | None, Tensor | None]:
    """The indices of the training images and of the held-out ones, of n; None for all, and for none.

    The first `data.images` are used; torch.utils.data.random_split draws the hold-out among them, with a generator of
    this seed, or the global one. Raises UsageError where there are too few images.
    """
    data.require_enough(n)
    used = None if data.images is None else torch.arange(n)[: data.images]
    if data.holdout is None:
        return used, None
    count = n if used is None else len(used)
    order = torch.randperm(count, generator=generator(seed))
    return order[: count - data.holdout], order[count - data.holdout :]
