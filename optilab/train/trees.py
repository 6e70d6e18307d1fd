"""Trees of dicts, lists and tensors, as `state_dict` gives them: their leaves, and themselves as bytes.

As bytes, tensors are as safetensors has them, and the rest is JSON in its header: equal trees give equal bytes, and
reading runs no code.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from optilab.errors import CheckpointError, UsageError, printable

FORMAT = 3
HOLDS = "a checkpoint holds arrays, tensors, numbers, texts, tuples, lists and dicts"


# --- leaves ------------------------------------------------------------------------------------------------


def leaves(tree: Any) -> Iterator[Any]:
    """Everything in a tree that is not a dict, a list or a tuple."""
    if isinstance(tree, dict | list | tuple):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from leaves(value)
    else:
        yield tree


def all_finite(tree: Any) -> bool:
    """No tensor and no number of a tree holds an infinity or a NaN."""
    numbers = (leaf for leaf in leaves(tree) if isinstance(leaf, Tensor | float))
    return all(
        bool(torch.isfinite(leaf).all()) if isinstance(leaf, Tensor) else math.isfinite(leaf) for leaf in numbers
    )


# --- bytes -------------------------------------------------------------------------------------------------


def to_bytes(tree: Any) -> bytes:
    """A tree of dicts, lists and tuples with tensors, NumPy's arrays and plain values. UsageError for other content."""
    tensors: dict[str, Tensor] = {}

    def add(tensor: Tensor) -> str:
        tensors[key := f"{len(tensors):06d}"] = tensor.detach().cpu().clone().contiguous()
        return key

    content = {"format": FORMAT, "tree": _pack(tree, "", add)}
    return safetensors.torch.save(tensors, {"optilab": json.dumps(content)})  # a single entry: they have no order


def from_bytes(data: bytes) -> Any:
    """The tree of `to_bytes`. CheckpointError for other bytes."""
    try:
        size = int.from_bytes(data[:8], "little")
        content = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["optilab"])
        if content["format"] != FORMAT:
            raise ValueError(f"it has format {content['format']}, and this version reads {FORMAT}")
        return _unpack(content["tree"], safetensors.torch.load(data))
    except Exception as error:  # of JSON, of safetensors, and of a tree that is none
        raise CheckpointError(f"not a readable checkpoint: {printable(str(error))}") from error


def require_data(tree: Any, name: str) -> None:
    """UsageError for a part of a state of the user's code that a checkpoint cannot hold."""
    _pack(tree, name, lambda tensor: "")


def _pack(tree: Any, name: str, add: Callable[[Tensor], str]) -> Any:
    """A tree as JSON; a dict with a single key stands for what JSON does not have."""

    def parts(names: Iterable[Any], values: Iterable[Any]) -> list[Any]:
        return [_pack(value, f"{name}[{key!r}]", add) for key, value in zip(names, values, strict=True)]

    if tree is None or type(tree) in (bool, int, float, str):
        return tree
    if isinstance(tree, Tensor):
        return {"tensor": add(tree)}
    if isinstance(tree, np.ndarray | np.generic) and tree.dtype.kind in "biuf":
        array = np.array(tree, tree.dtype.newbyteorder("="), order="C")
        return {"array" if isinstance(tree, np.ndarray) else "scalar": add(torch.from_numpy(array))}
    if isinstance(tree, np.random.Generator):
        return {"generator": _pack(tree.bit_generator.state, name, add)}
    if isinstance(tree, dict):
        return {"dict": [list(pair) for pair in zip(parts(tree, tree), parts(tree, tree.values()), strict=True)]}
    if isinstance(tree, tuple):
        return {"tuple": parts(getattr(tree, "_fields", range(len(tree))), tree)}
    if isinstance(tree, list):
        return parts(range(len(tree)), tree)
    raise UsageError(f"{name} has the type {type(tree).__name__}, which cannot be saved: {HOLDS}")


def _unpack(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_unpack(part, tensors) for part in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind in ("array", "scalar"):
        return tensors[content].numpy() if kind == "array" else tensors[content].numpy()[()]
    value = _unpack(content, tensors)
    if kind == "generator":
        bits = getattr(np.random, value["bit_generator"])()
        bits.state = value
        return np.random.Generator(bits)
    return dict(value) if kind == "dict" else tuple(value)
