"""Layers and tensors of any network, by public names of PyTorch."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from optilab.config.saturation import SATURATION
from optilab.train.device import generators, set_generators

WEIGHTS = 16_384
"""Entries of a weight, evenly spaced, from which `optilab.watch` estimates the length of a step."""
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
OTHER_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
NORMS = (*BATCH_NORMS, *OTHER_NORMS)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
BY_CHANNEL = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED, *BATCH_NORMS, nn.GroupNorm)
"""Layers with the channels on the second axis; others have their features on the last one."""
NEVER_FLAT = ("leakyrelu", "prelu", "gelu", "silu", "mish")
BOUNDS = dict.fromkeys(NEVER_FLAT, (-math.inf, math.inf)) | {k.replace("-", ""): b for k, b in SATURATION.items()}
"""Activation, by its module or its operation in the graph -> the bounds at which it is flat."""
_VIEWS = frozenset(
    ["View", "UnsafeView", "Reshape", "ReshapeAlias", "Squeeze", "Unsqueeze", "Transpose", "Permute", "Select",
     "Slice", "T", "Clone", "ToCopy"]
)  # fmt: skip
"""Operations that leave every entry what it is."""
_KEEPS_ZERO = ("Mean", "MaxPool", "AvgPool", "Adaptive", "Mul", "NativeDropout", "Max")
"""The beginnings of those that make zero of zeros: pooling, dropout."""


def layers_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules that are called as one: those without submodules that have parameters, attention, parametrized."""
    inner: set[int] = set()
    for name, module in model.named_modules():
        if id(module) in inner:
            continue
        below = [child for child in module.modules() if child is not module]
        whole = isinstance(module, nn.MultiheadAttention) or parametrize.is_parametrized(module)
        if whole:
            inner |= {id(child) for child in below}
        if whole or not any(True for child in below for _ in child.parameters()):
            yield name.removeprefix("_orig_mod.").removeprefix("module.") or type(module).__name__, module


def matrices(module: nn.Module) -> list[nn.Parameter]:
    """The weights of a layer that are at least matrices, its main one first."""
    return [p for p in module.parameters() if not nn.parameter.is_lazy(p) and p.dim() >= 2]


def by_unit(module: nn.Module, weight: Tensor) -> Tensor:
    """A view of a weight in which units come first; in transposed convolutions, inputs do."""
    return weight.transpose(0, 1) if isinstance(module, TRANSPOSED) else weight


def unit_similarity(module: nn.Module, weight: Tensor) -> Tensor | None:
    """`common` of `probe.LAYER_COLUMNS`; None where there are no units to compare."""
    if isinstance(module, EMBEDDINGS):
        return None
    units = getattr(module, "hidden_size", getattr(module, "embed_dim", 0))
    if units and len(weight) % units == 0:  # gates, or queries, keys and values, of the same units
        weight = weight.reshape(-1, units, *weight.shape[1:]).transpose(0, 1)
    rows = as_real(by_unit(module, weight)).flatten(1)
    if min(rows.shape) == 1:
        return None
    squares = rows.square().sum()
    return torch.where(squares > 0, rows.mean(dim=0).square().sum() * len(rows) / squares, 1.0)


def first_tensor(values: Any) -> Tensor | None:
    """The first tensor of arguments, keywords, or an output: `logits` where it has them."""
    if isinstance(values, Tensor):
        return values
    if isinstance(logits := getattr(values, "logits", None), Tensor):
        return logits
    inner = values.values() if isinstance(values, Mapping) else values if isinstance(values, list | tuple) else ()
    return next((tensor for value in inner if (tensor := first_tensor(value)) is not None), None)


def as_real(tensor: Tensor) -> Tensor:
    """A tensor without its graph; complex numbers are pairs along a further axis."""
    tensor = tensor.detach()
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def spaced(tensor: Tensor, limit: float = WEIGHTS) -> Tensor:
    """At most `limit` entries, evenly spaced, as a vector; a tensor that has no more is itself."""
    real = as_real(tensor)
    return real if real.numel() <= limit else real.reshape(-1)[:: math.ceil(real.numel() / limit)]


def precise(tensor: Tensor) -> Tensor:
    """The tensor in float32 at least."""
    return tensor.float() if tensor.dtype.itemsize < 4 else tensor


def joined(tensors: Iterable[Tensor]) -> Tensor:
    """The entries of all tensors as a vector."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def split_like(vector: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The parts of a vector that belong to the tensors, in their shapes."""
    parts = torch.split(vector, [tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def joint_norm(tensors: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of all entries."""
    norms = [torch.linalg.vector_norm(precise(tensor)) for tensor in tensors]
    norm: Tensor = norms[0] if len(norms) == 1 else torch.stack(norms).norm()
    return norm


def operations(tensor: Tensor, limit: int = 12) -> list[str]:
    """The operations that made a tensor, the last one first, along their first inputs: NllLoss, LogSoftmax, Addmm.

    They end at the last layer with parameters: what comes before a layer is not what the loss gets.
    """
    names: list[str] = []
    node: Any = tensor.grad_fn
    while node is not None and len(names) < limit:
        names.append(operation(node))
        parents = [parent for parent, _ in node.next_functions if parent is not None]
        node = next(filter(_is_parameter, parents), parents[0] if parents else None)
    return names


def operation(node: Any) -> str:
    """The name of an operation of autograd's graph, as in `operations`."""
    return str(node.name()).rpartition("::")[2].partition("Backward")[0]


def _is_parameter(node: Any) -> bool:
    """True for a parameter, and for a transposed one."""
    if operation(node) in ("T", "Transpose") and node.next_functions[0][0] is not None:
        node = node.next_functions[0][0]
    return operation(node) == "AccumulateGrad"


def activation_before(tensor: Tensor) -> tuple[str, bool]:
    """(the activation that made a tensor, whether every entry is one of its outputs); ("", False) without one."""
    whole = True
    for name in operations(tensor, 6):
        if (low := name.lower().removesuffix("kernel")) in BOUNDS:
            return low, whole
        if name.startswith(_KEEPS_ZERO):
            whole = False
        elif name.rstrip("0123456789") not in _VIEWS:
            break
    return "", False


def finite(value: Any) -> float | None:
    """The number, or None where there is none, or it is infinite or not a number."""
    return None if value is None or not math.isfinite(number := float(value)) else number


def remove_hooks(hooks: list[Any]) -> None:
    """Remove hooks from what they are on, and from the list."""
    while hooks:
        hooks.pop().remove()


def train_without_dropout(model: nn.Module) -> None:
    """Set the train mode of all modules, but of dropout."""
    for module in model.train().modules():
        if isinstance(module, DROPOUTS):
            module.eval()


@contextmanager
def restoring(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Restore the tensors, weights or running statistics, bit for bit after the block."""
    before = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)


@contextmanager
def preserving_state(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Restore buffers, mode, gradients and random numbers of a training after the block."""
    states, training = generators(device), model.training
    try:
        with restoring([*model.buffers()]):
            yield
    finally:
        model.train(training)
        model.zero_grad()
        set_generators(device, states)
