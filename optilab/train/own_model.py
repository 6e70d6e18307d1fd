"""A network of the user's own in optilab's engine: built, checked, initialized and looked into, layer by layer."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from optilab.config.model import ACTIVATIONS, ConstantInit, DefaultInit
from optilab.config.own_network import OwnNetwork
from optilab.config.training import too_large
from optilab.errors import UsageError
from optilab.train.device import failures_explained
from optilab.train.layers import (
    BATCH_NORMS,
    DROPOUTS,
    EMBEDDINGS,
    EpochRecord,
    Window,
    by_unit,
    crossed,
    finite,
    first_layers,
    frozen,
    layers_of,
    matrices,
    operations,
    record_of,
    setup_of,
    without_gradient,
)
from optilab.train.model import MLP, fill
from optilab.train.probes import MOST_IMAGES, EpochProbes, undisturbed
from optilab.train.trees import all_finite, require_data

SINGLE = 32
"""Images whose own gradients are measured before training, one backward pass each."""


class OwnModel(nn.Module):
    """The user's network, on inputs (n, channels*height*width) as optilab's own takes them -> logits (n, classes).

    It sees images (n, channels, height, width). An error in it is a UsageError that names its line.
    """

    def __init__(self, config: OwnNetwork, shape: Sequence[int], classes: int, example: Tensor) -> None:
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
        self.activations = self._tried(example, classes)
        if message := too_large(sum(parameter.numel() for parameter in self.weights)):
            raise UsageError(f"{config.name}: {message}")
        if not self.trained:
            raise UsageError(f"{config.code.place} has no parameter that is trained")
        self._initialize()
        if not (state := self.state_dict()):
            raise UsageError(
                f"{config.code.place} has an empty state_dict(), so a checkpoint would not hold its weights"
            )
        require_data(state, f"{config.code.place}: its state_dict()")
        self.constant = {name for name, value in state.items() if not all_finite([value])}
        """Tensors that are not finite from the start, such as the mask of an attention."""

    def forward(self, images: Tensor) -> Tensor:
        with self.running("in its forward pass", images.device):
            logits: Tensor = self.network(images.view(len(images), *self.shape))
        return logits

    @contextmanager
    def running(self, at: str, device: torch.device | str = "cpu") -> Iterator[None]:
        """Run the user's code inside; a lack of memory is no error of its own."""
        with self.config.code.running(at), failures_explained(str(device)):
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

    def numbers(self) -> dict[str, Tensor]:
        """Weights and buffers that are to stay finite."""
        return {name: tensor for name, tensor in self.state_dict().items() if name not in self.constant}

    def backward(self, loss: Tensor) -> None:
        """The gradients of a loss; zero for what a batch did not reach, because optimizers expect one everywhere."""
        with self.running("in its backward pass", loss.device):
            loss.backward()  # type: ignore[no-untyped-call]
        for parameter in self.trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def _tried(self, example: Tensor, classes: int) -> list[str]:
        """The activations that two images pass through; UsageError where no logits come out."""
        self.eval()
        window = Window(self.network, functools.partial, hooked=True)
        try:
            logits = self(example)
        finally:
            window.close()
            self.train()
        got = (
            f"a tensor of shape {tuple(logits.shape)} and type {logits.dtype}".replace("torch.", "")
            if isinstance(logits, Tensor)
            else f"a value of type {type(logits).__name__}"
        )
        fits = isinstance(logits, Tensor) and logits.dim() == 2 and logits.is_floating_point()
        if not fits or len(logits) != len(example) or logits.shape[1] < classes:
            raise UsageError(
                f"{self.config.code.place} returns {got} for {len(example)} images of shape {self.shape}; expected "
                f"logits of shape ({len(example)}, {classes}), one number for each class"
            )
        return window.activations

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

    def takes_single(self, images: Tensor) -> bool:
        """Whether it can be trained on a batch of one image, (1, inputs): a norm over a batch may need more."""
        if not any(isinstance(module, BATCH_NORMS) for module in self.modules()):
            return True
        with undisturbed(self, images.device):
            self.train()
            try:
                self(images)
            except UsageError:
                return False
        return True


Network = MLP | OwnModel


class OwnProbe:
    """One batch that is looked into, as `probes.Probe` is."""

    def __init__(self, model: OwnModel) -> None:
        self._model = model
        self._window = Window(model.network, functools.partial, hooked=True)

    def after_backward(self) -> None:
        """Gradients are there, weights are still those that made them."""
        self._window.close()
        self._window.before_step({id(parameter) for parameter in self._model.weights})
        gradients = [p.grad for p in self._model.trained if p.grad is not None]
        self.gradient = torch.cat([gradient.detach().flatten() for gradient in gradients])

    def after_step(self) -> list[dict[str, Any]]:
        """A record of each layer that was called, in the order of first calls."""
        self._window.after_step()
        return self._window.layers()


class OwnProbes(EpochProbes):
    """The probes of one epoch of a network of the user's own."""

    def probe(self, model: Any) -> Any:
        return OwnProbe(model)

    def layers(self, epoch: int) -> EpochRecord:
        return record_of(epoch, self._measured, self._rate)


def probes_of(model: Network) -> EpochProbes:
    """What gathers the probes of an epoch."""
    return OwnProbes() if isinstance(model, OwnModel) else EpochProbes()


def first_batch(model: OwnModel, images: Tensor, labels: Tensor) -> EpochRecord:
    """The first batch before any step: its loss, the layers, and what the network is made of.

    `sample_gradients`: of each layer, the root mean square over SINGLE images of the gradient of one image's loss.
    Under batch norm that loss depends on the other images. Dropout is off.
    """
    images, labels = images[:MOST_IMAGES], labels[:MOST_IMAGES]
    with undisturbed(model, images.device):
        model.train()
        for module in model.modules():
            if isinstance(module, DROPOUTS):
                module.eval()
        window = Window(model.network, functools.partial, hooked=True)
        try:
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
            with model.running("in its backward pass", images.device):
                loss.backward()  # type: ignore[no-untyped-call]
        finally:
            window.close()
        held = {id(parameter) for parameter in model.weights}
        cut, unused = without_gradient(model.network, window, held)
        fixed = frozen(window, held)
        window.before_step(held)
        layers = window.layers()
        modules = [window.modules[layer["name"]] for layer in layers]
        gradients = _of_single_images(model, images[:SINGLE], labels[:SINGLE], modules)
    return {
        "first_loss": finite(float(loss.detach())),
        "sample_gradients": gradients,
        **first_layers(layers),
        "network": setup_of(model.network, window.activations, window.normed_over),
        "loop": {"loss_path": operations(loss), "no_gradient": cut, "unused": unused}
        | ({"frozen": fixed} if fixed else {})
        | ({"crossed": swapped} if (swapped := crossed(window, logits)) else {}),
    }


def _of_single_images(
    model: OwnModel, images: Tensor, labels: Tensor, modules: Sequence[nn.Module]
) -> list[float | None]:
    weights = [[weight for weight in matrices(module) if weight.requires_grad] for module in modules]
    flat = [weight for own in weights for weight in own]
    if not flat:
        return [None] * len(modules)
    losses, squares = F.cross_entropy(model(images), labels, reduction="none"), [0.0] * len(modules)
    for loss in losses:
        found = iter(torch.autograd.grad(loss, flat, retain_graph=True, allow_unused=True))
        for number, own in enumerate(weights):
            norms = [gradient.square().sum() for _ in own if (gradient := next(found)) is not None]
            squares[number] += float(torch.stack(norms).sum()) if norms else 0.0
    return [
        finite((total / len(losses)) ** 0.5) if own else None for total, own in zip(squares, weights, strict=True)
    ]
