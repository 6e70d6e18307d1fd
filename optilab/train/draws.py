"""PyTorch's random draws, in PyTorch's order.

A seeded script of PyTorch draws numbers in places that its author may never have noticed: each time a DataLoader is
iterated, when a dataset is split, when a batch is only looked at. These functions draw what such a script draws, and
nothing else, so that the same seed gives the same images in the same order. Weights and dropout are drawn by
PyTorch itself.
"""

import torch
from torch import Tensor

from optilab.config.training import DataConfig, Replay


def start(seed: int, before: int) -> None:
    """Seed the global generator and draw `before` 32-bit numbers from it, as the earlier cells of a notebook did."""
    torch.manual_seed(seed)
    block = 1 << 20
    for first in range(0, before, block):
        torch.rand(min(block, before - first), dtype=torch.float32)


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


def validation_order(n: int, replay: Replay, stage: int) -> Tensor | None:
    """Draw for the DataLoaders iterated after an epoch; the order of the first one's n images, None: their own."""
    loaders = replay.loaders(stage)
    shuffled = replay.validation_shuffled and loaders > 0
    first = order(n, shuffled, None) if loaders else None
    for _ in range(loaders - 1):
        loader_seed()
    return first if shuffled else None


def split(n: int, data: DataConfig, replay: Replay) -> tuple[Tensor | None, Tensor | None]:
    """Which of n training images are trained on, and which are held out; None: all, and none.

    At random as torch.utils.data.random_split draws: first the images that are used at all, then the hold-out
    among them. Raises UsageError where there are too few images.
    """
    data.require_enough(n)
    own, used, held_out = generator(replay.split_seed), None, None
    if data.images is not None:
        everyone = torch.randperm(n, generator=own) if replay.take == "random" else torch.arange(n)
        used = everyone[: data.images]
    if data.holdout is not None:
        used = torch.arange(n) if used is None else used
        remaining = len(used) - data.holdout
        if replay.hold_out == "random":
            used = used[torch.randperm(len(used), generator=own)]
        elif replay.hold_out == "first":
            used = used.roll(-data.holdout)
        used, held_out = used[:remaining], used[remaining:]
    return used, held_out
