"""A network before its first step: its loss on one batch and the gradient of single images, layer by layer.

The random state, the weights and the running averages of batch norm are left as they were, so a run that is
measured has the bits of one that is not.
"""

from typing import Any

import torch
from torch import Tensor, nn

from optilab.train.model import MLP

LARGEST = 512
"""Images that are measured at most; the root mean square over so many has an error of a few percent."""


def measure(model: MLP, images: Tensor, labels: Tensor) -> tuple[float, list[float]]:
    """(mean loss in nats, root mean square over the images of |dL_i/dW_l| for every layer l, output layer last).

    The gradient of one image's loss by a weight matrix is the product of two vectors, the gradient by the layer's
    outputs and the layer's inputs, so its norm is the product of theirs. Under batch norm an image's gradient
    includes its influence on the others. Dropout is off.
    """
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []

    def keep(module: nn.Module, given: Any, output: Tensor) -> None:
        inputs.append(given[0].detach())
        outputs.append(output)

    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    dropouts = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    hooks = [linear.register_forward_hook(keep) for linear in model.linears]
    training = model.training
    model.train()
    for dropout in dropouts:
        dropout.eval()
    try:
        logits = model(images[:LARGEST].clone().requires_grad_())
        loss = nn.functional.cross_entropy(logits, labels[:LARGEST], reduction="sum")
        gradients = torch.autograd.grad(loss, outputs)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(training)
        for buffer, before in buffers:
            buffer.copy_(before)
    squares = [
        (gradient.square().sum(dim=1) * entry.square().sum(dim=1)).mean()
        for gradient, entry in zip(gradients, inputs, strict=True)
    ]
    return float(loss.detach()) / len(logits), torch.stack(squares).sqrt().tolist()
