"""The multilayer perceptron that a `ModelConfig` describes."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from optilab.config.model import (
    BatchNorm,
    ConstantInit,
    DefaultInit,
    KaimingInit,
    LayerNorm,
    LecunInit,
    ModelConfig,
    NoNorm,
    NormalInit,
    OrthogonalInit,
    Standardize,
    TruncatedNormalInit,
    UniformInit,
    UnitGainInit,
    XavierInit,
)
from optilab.errors import UsageError

MODULES: dict[str, Callable[[Any], nn.Module]] = {
    "identity": lambda phi: nn.Identity(),
    "sigmoid": lambda phi: nn.Sigmoid(),
    "hard-sigmoid": lambda phi: nn.Hardsigmoid(),
    "tanh": lambda phi: nn.Tanh(),
    "softsign": lambda phi: nn.Softsign(),
    "relu": lambda phi: nn.ReLU(),
    "leaky-relu": lambda phi: nn.LeakyReLU(phi.slope),
    "prelu": lambda phi: nn.PReLU(init=phi.slope),
    "elu": lambda phi: nn.ELU(phi.alpha),
    "selu": lambda phi: nn.SELU(),
    "gelu": lambda phi: nn.GELU(phi.approximate),
    "silu": lambda phi: nn.SiLU(),
    "mish": lambda phi: nn.Mish(),
    "softplus": lambda phi: nn.Softplus(phi.beta),
}


def activation_of(phi: Any) -> nn.Module:
    """The torch module of an activation of the schema."""
    return MODULES[phi.name](phi)


class MLP(nn.Module):
    """Hidden layers and an output layer: images (n, inputs) float -> logits (n, classes).

    `stages`: the number of hidden layers in each stage of a growing network. All hidden layers are built at the
    start, a stage's layers as a block that is then initialized; `enter` a stage to use them.
    """

    def __init__(self, config: ModelConfig, inputs: int, classes: int, stages: Sequence[int] = ()) -> None:
        super().__init__()
        self.config, self.classes = config, classes
        self.widths = (inputs, *config.hidden)
        self.sources = {end: [a for a, b in config.skip if b == end] for _, end in config.skip}
        self.input_dropout = nn.Dropout(config.input_dropout)
        self.hidden = nn.ModuleList()
        # The order of construction is the order of random draws, so it affects the results.
        for depth in stages:
            self._initialize(self._built(depth))
        if not stages:
            new = self._built(len(config.hidden))
            self._use(len(config.hidden))
            self._initialize([*new, self.output])

    def enter(self, depth: int) -> None:
        """Use the first `depth` hidden layers under a new output layer, drawn on the CPU as the others were."""
        self._use(depth)
        self._initialize([self.output])

    def forward(self, images: Tensor) -> Tensor:
        outputs = [self.input_dropout(images) if self.config.input_dropout else images]
        for number, layer in enumerate(self.active, 1):
            added = [outputs[source] for source in self.sources.get(number, ())]
            outputs.append(sum(added, layer(outputs[-1])))
        logits: Tensor = self.output(outputs[-1])
        return logits

    @property
    def weights(self) -> list[nn.Parameter]:
        """All parameters of the current stage."""
        return [p for layer in (*self.active, self.output) for p in layer.parameters()]

    @property
    def trained(self) -> list[nn.Parameter]:
        """The parameters of the current stage, all of which are trained."""
        return self.weights

    @property
    def named_parts(self) -> list[tuple[str, nn.Module]]:
        """The layers of the current stage with their names."""
        return [
            *((f"layer {n}", layer) for n, layer in enumerate(self.active, 1)),
            ("the output layer", self.output),
        ]

    def running(self, at: str, device: torch.device | str) -> AbstractContextManager[None]:
        """Around its passes, whose errors are not those of a user's code."""
        return nullcontext()

    def _use(self, depth: int) -> None:
        # A plain list, because slicing a ModuleList for every batch would cost more than a layer.
        self.active = [*self.hidden][:depth]
        self.output = nn.Linear(self.widths[depth], self.classes, bias=self.config.bias in ("all", "output"))

    def _built(self, depth: int) -> list[nn.Linear]:
        """Build the missing hidden layers up to that depth and return their linear layers."""
        new = range(len(self.hidden) + 1, depth + 1)
        self.hidden.extend(_hidden_layer(self.config, n, *self.widths[n - 1 : n + 1]) for n in new)
        return _linears([*self.hidden][new.start - 1 :])

    @torch.no_grad()
    def _initialize(self, layers: Iterable[nn.Linear]) -> None:
        config = self.config
        for layer in layers:
            output = layer is getattr(self, "output", None)
            init = (output and config.output_init) or config.init
            bias = DefaultInit() if isinstance(init, DefaultInit) else ConstantInit(0.0)
            fill(init, layer.weight, config.activation)
            if layer.bias is not None:
                fill(config.bias_init or bias, layer.bias, config.activation)


def fill(init: Any, tensor: Tensor, phi: Any) -> None:
    """Initialize a weight or a bias; UsageError where the numbers do not fit its type."""
    try:
        INITIALIZERS[type(init)](init, tensor, phi)
        is_finite = bool(torch.isfinite(tensor).all())
    except RuntimeError:  # PyTorch refuses bounds and constants that the type cannot hold
        is_finite = False
    if not is_finite:
        raise UsageError(f"model.init: the initial weights of {init.name} do not fit in {tensor.dtype}")


def _linears(layers: Iterable[nn.Module]) -> list[nn.Linear]:
    return [linear for layer in layers if isinstance(linear := layer.linear, nn.Linear)]


def _hidden_layer(config: ModelConfig, number: int, fan_in: int, fan_out: int) -> nn.Sequential:
    """A linear layer and what follows it."""
    norm = NORMALIZATIONS[type(config.norm)](config.norm, fan_out)
    normed_at = None if norm is None else config.norm.position
    parts = [
        ("linear", nn.Linear(fan_in, fan_out, bias=config.bias in ("all", "hidden"))),
        ("norm", norm if normed_at == "before" else None),
        ("activation", activation_of(config.activation)),
        ("norm", norm if normed_at == "after" else None),
        ("dropout", nn.Dropout(config.dropout) if config.dropout else None),
        ("gradient_norm", GradientNorm() if number in config.gradient_norm else None),
    ]
    return nn.Sequential(OrderedDict((name, part) for name, part in parts if part is not None))


class Standardized(nn.Module):
    """(x - mean)/(std + eps), x (n, width), over the whole tensor or per feature; gradients flow through both."""

    def __init__(self, norm: Standardize) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        dim = None if self.norm.over == "tensor" else 0
        # In this order, and not by torch.std_mean: the sums, forward and backward, are those of the written formula.
        mean, std = x.mean(dim), x.std(dim, correction=self.norm.correction)
        return (x - mean) / (std + self.norm.eps)


class _NormalizedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return (grads[0] - grads[0].mean()) / (grads[0].std() + 1e-6)


class GradientNorm(nn.Module):
    """The identity; backward g becomes (g - mean)/(std + 1e-6) over the whole tensor, std with n - 1."""

    def forward(self, x: Tensor) -> Tensor:
        normalized: Tensor = _NormalizedGradient.apply(x)  # type: ignore[no-untyped-call]
        return normalized


def _batch_norm(norm: BatchNorm, width: int) -> nn.Module:
    running = norm.statistics == "running"
    return nn.BatchNorm1d(width, norm.eps, norm.momentum, norm.affine, track_running_stats=running)


NORMALIZATIONS: dict[type[Any], Callable[[Any, int], nn.Module | None]] = {
    NoNorm: lambda norm, width: None,
    BatchNorm: _batch_norm,
    LayerNorm: lambda norm, width: nn.LayerNorm(width, norm.eps, elementwise_affine=norm.affine),
    Standardize: lambda norm, width: Standardized(norm),
}


def unit_gain(phi: Any) -> float:
    """1/sqrt(E[phi'(z)^2]), z ~ N(0, 1): a gradient that passes phi and a weight matrix of n outputs, whose
    entries have the standard deviation unit_gain/sqrt(n), has the variance that it had before.

    The expectation is a sum over a fine grid. Gauss-Hermite quadrature would need fewer points, but most of these
    activations have a kink; here every kink lies between two points, and relu gives sqrt(2) to 12 digits.
    """
    z = ((torch.arange(200_000, dtype=torch.float64) + 0.5) / 10_000 - 10).requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(activation_of(phi).double()(z).sum(), z)
    density = torch.exp(-(z.detach() ** 2) / 2) / (math.sqrt(2 * math.pi) * 10_000)
    return float(1 / torch.sqrt((slope**2 * density).sum()))


def _scaled(tensor: Tensor, std: float, distribution: str) -> None:
    if distribution == "normal":
        tensor.normal_(0.0, std)
    else:
        bound = math.sqrt(3.0) * std
        tensor.uniform_(-bound, bound)


def _fans(weight: Tensor) -> tuple[int, int]:
    """(fan_out, fan_in): the outputs that an input of the layer reaches, and the inputs of an output."""
    area = math.prod(weight.shape[2:])  # of a convolution's kernel
    return weight.shape[0] * area, weight.shape[1] * area


def _xavier(init: XavierInit, weight: Tensor, phi: Any) -> None:
    _scaled(weight, init.gain * math.sqrt(2.0 / sum(_fans(weight))), init.distribution)


def _kaiming(init: KaimingInit, weight: Tensor, phi: Any) -> None:
    fan_out, fan_in = _fans(weight)
    _scaled(weight, init.gain / math.sqrt(fan_in if init.fan == "in" else fan_out), init.distribution)


def _lecun(init: LecunInit, weight: Tensor, phi: Any) -> None:
    _scaled(weight, 1 / math.sqrt(_fans(weight)[1]), init.distribution)


def _truncated_normal(init: TruncatedNormalInit, weight: Tensor, phi: Any) -> None:
    cut = init.cut * init.std
    nn.init.trunc_normal_(weight, 0.0, init.std, -cut, cut)


def _unit_gain(init: UnitGainInit, weight: Tensor, phi: Any) -> None:
    _scaled(weight, unit_gain(phi) / math.sqrt(_fans(weight)[0]), "normal")


INITIALIZERS: dict[type[Any], Callable[[Any, Tensor, Any], object]] = {
    DefaultInit: lambda init, tensor, phi: None,  # as nn.Linear's constructor has drawn it
    NormalInit: lambda init, tensor, phi: tensor.normal_(init.mean, init.std),
    UniformInit: lambda init, tensor, phi: tensor.uniform_(init.low, init.high),
    ConstantInit: lambda init, tensor, phi: tensor.fill_(init.value),
    TruncatedNormalInit: _truncated_normal,
    XavierInit: _xavier,
    KaimingInit: _kaiming,
    LecunInit: _lecun,
    OrthogonalInit: lambda init, tensor, phi: nn.init.orthogonal_(tensor, init.gain),
    UnitGainInit: _unit_gain,
}
"""Initialization -> a function that fills a weight (outputs, inputs, ...) or a bias (outputs,) in place."""
