"""Images in memory, and what a network sees of them."""

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
