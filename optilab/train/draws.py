"""PyTorch's random draws, in PyTorch's order.

A seeded script of PyTorch draws numbers in places that its author may never have noticed: each time a DataLoader is
iterated, when a dataset is split, when a batch is only looked at. These functions draw what such a script draws, and
nothing else, so that the same seed gives the same images in the same order. Weights and dropout are drawn by
PyTorch itself.
"""

import torch
from torch import Tensor

from optilab.config.training import DataConfig


def generator(seed: int | None) -> torch.Generator | None:
    """A generator of its own; without a seed, None: the global one."""
    return None if seed is None else torch.Generator().manual_seed(seed)


def loader_seed(own: torch.Generator | None = None) -> int:
    """The number that a DataLoader draws from its generator, or the global one, whenever it is iterated."""
    return int(torch.empty((), dtype=torch.int64).random_(generator=own).item())


def order(n: int, shuffle: bool, own: torch.Generator | None) -> Tensor:
    """The order (n,) int64 in which a DataLoader with the generator `own` goes through n samples."""
    loader_seed(own)  # the base seed of worker processes, drawn even where there are none
    if not shuffle:
        return torch.arange(n)
    return torch.randperm(n, generator=own or torch.Generator().manual_seed(loader_seed()))


def order_ends(n: int, shuffle: bool, own: torch.Generator | None) -> None:
    """What a DataLoader draws after its last sample: RandomSampler's remainder, a permutation cut to no sample."""
    if shuffle and own is not None:
        torch.randperm(n, generator=own)


def loaders(count: int) -> None:
    """What as many DataLoaders draw that are iterated without shuffling."""
    for _ in range(count):
        loader_seed()


def split(n: int, data: DataConfig, seed: int | None) -> tuple[Tensor | None, Tensor | None]:
    """Which of n training images are trained on, and which are held out; None: all, and none.

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
