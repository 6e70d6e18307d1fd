"""Optimizers that do not load PyTorch's compiler.

torch.optim wraps its methods for torch.compile, and the wrappers import the compiler when they are first called,
which takes as long as `import torch`. Nothing here is ever compiled: the wrapped functions run by themselves.
"""

import inspect
from functools import cache
from typing import Any

import torch

EAGER: dict[str, Any] = {
    name: inspect.unwrap(getattr(torch.optim.Optimizer, name))
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
}
"""The wrapped methods by themselves."""


class EagerOptimizer(torch.optim.Optimizer):
    """An optimizer whose methods are not wrapped for the compiler."""

    add_param_group = EAGER["add_param_group"]
    zero_grad = EAGER["zero_grad"]
    state_dict = EAGER["state_dict"]
    load_state_dict = EAGER["load_state_dict"]


@cache
def without_compiler(name: str) -> Any:
    """torch.optim.`name` as an `EagerOptimizer`: the same kernels, the same bits."""
    kind = getattr(torch.optim, name)
    # The wrapper around `step` also turns gradients off.
    return type(name, (EagerOptimizer, kind), {"step": torch.no_grad()(inspect.unwrap(kind.step))})
