"""The numbers of a training as a tree of dicts, lists and tensors: check them, copy them to the CPU."""

import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


def leaves(tree: Any) -> Iterator[Any]:
    """Everything in a tree that is not a dict, a list or a tuple."""
    if isinstance(tree, dict | list | tuple):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from leaves(value)
    else:
        yield tree


def all_finite(tree: Any) -> bool:
    """No tensor and no number of a tree holds an infinity or a NaN; each device is synchronised once."""
    checks: dict[torch.device, list[Tensor]] = {}
    for leaf in leaves(tree):
        if isinstance(leaf, Tensor):
            checks.setdefault(leaf.device, []).append(torch.isfinite(leaf).all())
        elif isinstance(leaf, float) and not math.isfinite(leaf):
            return False
    return all(bool(torch.stack(results).all()) for results in checks.values())


def canonical(tree: Any) -> Any:
    """A copy on the CPU in which equal texts are one object and nothing else is shared, tensor memory included.

    Pickle writes an object that it meets again as a reference; without this, a loaded state and an equal computed one
    would give different bytes. Tensors on a device come in one transfer.
    """
    return _copy(tree, _fetched([leaf for leaf in leaves(tree) if _is_on_a_device(leaf)]))


def _copy(tree: Any, fetched: Iterator[Tensor]) -> Any:
    if isinstance(tree, dict):
        return {_copy(key, fetched): _copy(value, fetched) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_copy(value, fetched) for value in tree]
    if isinstance(tree, Tensor):
        return next(fetched) if _is_on_a_device(tree) else tree.detach().clone()
    return sys.intern(tree) if type(tree) is str else tree


def _is_on_a_device(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.device.type != "cpu"


def _fetched(tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    """Copies of a device's tensors on the CPU, in one transfer, because each transfer waits for the device."""
    if tensors:
        data = torch.cat([tensor.detach().flatten().view(torch.uint8) for tensor in tensors]).cpu()
        parts = torch.split(data, [tensor.numel() * tensor.element_size() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            yield part.clone().view(tensor.dtype).view(tensor.shape)
