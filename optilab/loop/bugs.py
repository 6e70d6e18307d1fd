"""Bugs of a training loop that its tensors show."""

from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor, nn


def unregistered(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of modules in lists and dicts of Python, which `model.parameters()` does not have."""
    registered = {*model.modules()}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            named = dict(enumerate(value)) if isinstance(value, list) else value if isinstance(value, dict) else {}
            for at, child in named.items():
                if isinstance(child, nn.Module) and child not in registered:
                    yield from child.named_parameters(f"{name}{'.' * bool(name)}{key}[{at!r}]")


def depends_on(tensor: Tensor, parameters: Collection[int]) -> bool:
    """True if a tensor was computed from any of the parameters (by identity)."""
    nodes, seen = list[Any]([tensor.grad_fn]), {None}
    while nodes:
        if (node := nodes.pop()) in seen:
            continue
        if id(getattr(node, "variable", None)) in parameters:
            return True
        seen.add(node)
        nodes += [parent for parent, _ in node.next_functions]
    return False


def next_inputs(inputs: Tensor, target: Tensor) -> int | None:
    """The axis of time of a batch of tokens whose targets are the next inputs; None where they are not."""
    if inputs.is_floating_point() or inputs.dim() != 2 or target.numel() != inputs.numel():
        return None
    target = target.reshape(inputs.shape)
    for axis in (1, 0):
        steps = inputs.shape[axis] - 1
        if steps > 2 and torch.equal(target.narrow(axis, 0, steps), inputs.narrow(axis, 1, steps)):
            return None if torch.equal(target, inputs) else axis
    return None


def future_gradient(embedded: Tensor, output: Tensor, axis: int) -> dict[str, float]:
    """The dependence of one output on later inputs of its sequence (`later`), and on other sequences (`others`).

    `axis` is that of time. Each is the gradient by the embedded inputs as a fraction of all; 0 where a network is
    causal, and where no norm mixes samples. Empty where that cannot be seen.
    """
    size = embedded.shape[:2]
    if output.shape[-1] * size.numel() != output.numel() or not output.requires_grad or output.is_complex():
        return {}
    at, outputs = size[axis] // 2, output.reshape(*size, -1).movedim(axis, 1)
    try:
        (gradient,) = torch.autograd.grad(outputs[0, at].float().square().sum(), embedded, retain_graph=True)
    except RuntimeError:  # a graph that is made again in its backward pass
        return {}
    sizes = torch.linalg.vector_norm(gradient.float(), dim=2).movedim(axis, 1)
    total = max(float(sizes.norm()), 1e-30)
    others = sizes[1:].norm(dim=1).max() if len(sizes) > 1 else 0.0
    return {"later": float(sizes[0, at + 1 :].norm()) / total, "others": float(others) / total}
