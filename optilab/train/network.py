"""A custom network in optilab's engine: built, checked and initialized."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from optilab.config.model import ACTIVATIONS, ConstantInit, DefaultInit
from optilab.config.training import size_problem
from optilab.config.user_network import UserNetwork
from optilab.errors import UsageError
from optilab.train.device import explain_device_errors
from optilab.train.model import MLP, fill
from optilab.train.probe import Probe
from optilab.train.tensors import EMBEDDINGS, by_unit, layers_of, matrices
from optilab.train.trees import require_data


class UserModel(nn.Module):
    """The user's network, on inputs (n, channels*height*width) as the perceptron takes them -> logits (n, classes).

    It sees images (n, channels, height, width). An error in it is a UsageError that names its line.
    """

    def __init__(self, config: UserNetwork, shape: Sequence[int], classes: int, example: Tensor) -> None:
        """`example`: two images as inputs, on which the network is tried; lazy modules get their weights there.

        UsageError where it cannot be built, is no network, or returns something else than logits.
        """
        super().__init__()
        self.config, self.shape, self.classes, self.example = config, tuple(shape), classes, example
        with self.running("when it is built"):
            code = config.code.load()
            if isinstance(code, nn.Module):
                raise UsageError("expected a class or a function, got a network that is built already")
            network = code(**config.called_with(shape, classes))
            if isinstance(network, nn.Module):
                list(network.parameters())  # fails where a module did not call super().__init__()
        if not isinstance(network, nn.Module):
            raise UsageError(f"{config.code.place} returns {type(network).__name__}; expected a torch.nn.Module")
        self.network = network
        self.activations = self._activations_of(example, classes)
        if message := size_problem(sum(parameter.numel() for parameter in self.weights)):
            raise UsageError(f"{config.name}: {message}")
        if not self.trained:
            raise UsageError(f"{config.code.place} has no parameter that is trained")
        self._initialize()
        if not (state := self.state_dict()):
            raise UsageError(
                f"{config.code.place} has an empty state_dict(), so a checkpoint would not hold its weights"
            )
        require_data(state, f"{config.code.place}: its state_dict()")

    def forward(self, images: Tensor) -> Tensor:
        with self.running("in its forward pass", images.device):
            logits: Tensor = self.network(images.view(len(images), *self.shape))
        return logits

    @contextmanager
    def running(self, at: str, device: torch.device | str = "cpu") -> Iterator[None]:
        """Run the user's code inside; a lack of memory is not an error of that code."""
        with self.config.code.running(at), explain_device_errors(device):
            yield

    @property
    def weights(self) -> list[nn.Parameter]:
        """All parameters, in the order of the module."""
        return list(self.network.parameters())

    @property
    def trained(self) -> list[nn.Parameter]:
        """The parameters that are not frozen."""
        return [parameter for parameter in self.weights if parameter.requires_grad]

    @property
    def named_parts(self) -> list[tuple[str, nn.Module]]:
        """The layers with their names, in the order of the module."""
        return list(layers_of(self.network))

    def _activations_of(self, example: Tensor, classes: int) -> list[str]:
        """The activations that two images pass through; UsageError where no logits come out."""
        self.eval()
        probe = Probe(self.network)
        try:
            logits = self(example)
        finally:
            probe.close()
            self.train()
        got = (
            f"a tensor of shape {tuple(logits.shape)} and type {logits.dtype}".replace("torch.", "")
            if isinstance(logits, Tensor)
            else f"a value of type {type(logits).__name__}"
        )
        is_logits = isinstance(logits, Tensor) and logits.dim() == 2 and logits.is_floating_point()
        if not is_logits or len(logits) != len(example) or logits.shape[1] < classes:
            raise UsageError(
                f"{self.config.code.place} returns {got} for {len(example)} images of shape {self.shape}; expected "
                f"logits of shape ({len(example)}, {classes}), one number for each class"
            )
        return probe.activations

    @torch.no_grad()
    def _initialize(self) -> None:
        """Fill the weight matrices of every layer but embeddings, and its biases, as the config says."""
        init, bias_init = self.config.init, self.config.bias_init
        named = max(self.activations, key=self.activations.count, default="relu")
        phi = next(phi for name, phi in ACTIVATIONS.items() if name.replace("-", "") == named)()
        for _, module in self.named_parts:
            if isinstance(init, DefaultInit):
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
            elif init is not None and not isinstance(module, EMBEDDINGS):
                for weight in matrices(module):
                    units = by_unit(module, weight)
                    fill(init, filled := units.contiguous(), phi)
                    units.copy_(filled)
            biases = bias_init or (None if init is None or isinstance(init, DefaultInit) else ConstantInit(0.0))
            if biases is not None and matrices(module):
                for name, parameter in module.named_parameters():
                    if parameter.dim() == 1 and "bias" in name:
                        fill(biases, parameter, phi)


Network = MLP | UserModel
