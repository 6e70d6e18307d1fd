"""The multilayer perceptron that a `ModelConfig` describes."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from optilab.schema import DefaultInit, ModelConfig, NormalInit

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
}


class MLP(nn.Sequential):
    """Linear layers, an activation after each but the last: images (n, inputs) float -> logits (n, classes)."""

    def __init__(self, config: ModelConfig, inputs: int, classes: int) -> None:
        widths = (inputs, *config.hidden, classes)
        layers: list[nn.Module] = []
        # The order of construction is the order of random draws, and so part of the results.
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[config.activation]()]
        super().__init__(*layers[:-1])
        INITIALISERS[type(config.init)](config.init, [layer for layer in self if isinstance(layer, nn.Linear)])

    def __call__(self, images: Tensor) -> Tensor:
        logits: Tensor = super().__call__(images)
        return logits


def _normal(init: NormalInit, layers: list[nn.Linear]) -> None:
    for layer in layers:
        nn.init.normal_(layer.weight, 0.0, init.std)
        nn.init.zeros_(layer.bias)


INITIALISERS: dict[type[Any], Callable[[Any, list[nn.Linear]], None]] = {
    DefaultInit: lambda init, layers: None,  # nn.Linear has drawn already
    NormalInit: _normal,
}


def parameter_count(model: nn.Module) -> int:
    """Number of trained numbers."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def all_finite(model: nn.Module) -> bool:
    """No parameter or buffer holds an infinity or a NaN."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in model.state_dict().values())
