"""Optimizers that do not load PyTorch's compiler.

torch.optim wraps its methods for torch.compile, and the wrappers import the compiler when they are first called,
which takes as long as `import torch`. Nothing here is ever compiled: the wrapped functions run by themselves.
"""

import inspect
from functools import cache
from typing import Any

import torch

_METHODS: dict[str, Any] = {
    name: inspect.unwrap(getattr(torch.optim.Optimizer, name))
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
}
"""The wrapped methods by themselves."""


class EagerOptimizer(torch.optim.Optimizer):
    """An optimizer whose methods are not wrapped for the compiler."""

    add_param_group = _METHODS["add_param_group"]
    zero_grad = _METHODS["zero_grad"]
    state_dict = _METHODS["state_dict"]
    load_state_dict = _METHODS["load_state_dict"]


@cache
def without_compiler(kind: type[torch.optim.Optimizer]) -> Any:
    """A class of torch's, or one derived from it, with torch's methods by themselves: the same kernels, the same bits.

    Methods that the class overrides stay.
    """
    inherited = {
        name: method for name, method in _METHODS.items() if inspect.unwrap(getattr(kind, name)) is method
    }
    step = inspect.unwrap(kind.step)
    if step.__module__.startswith("torch."):  # the wrapper around `step` also turns gradients off
        inherited["step"] = torch.no_grad()(step)
    return type(kind.__name__, (kind,), inherited)
