"""What theory says of a network: how long its steps may be, and how its gradients shrink from layer to layer.

**Curvature**, measured while a network trains, next to the limit up to which its optimizer is stable. Along a direction
of curvature a, gradient descent multiplies the distance to the bottom by 1 - lr*a at each step: above a = 2/lr it
grows. Full-batch training of networks drives the largest curvature, the sharpness, up to that limit and goes on there,
at the "edge of stability" (Cohen et al. 2021, arXiv:2103.00065); adaptive rules do so in coordinates scaled by their
preconditioner (Cohen et al. 2022, arXiv:2207.14484).

Measuring works on a copy of the network and draws no random number: the training has the bits of one that is not
measured.

**Mean field**: what to expect before it trains. Signals: q <- s_w^2 E[phi(sqrt(q) z)^2] + s_b^2 (Poole et al. 2016).
Gradients: each layer that one passes on its way back multiplies its mean square by chi = s_w^2 E[phi'(sqrt(q) z)^2]
(Schoenholz et al. 2017; Glorot & Bengio 2010 for the linear regime). z is standard normal; for the signals s_w^2 is
fan_in times the mean square of the weights, and for the norm of a gradient, which is the sum over a layer's inputs, it
is fan_in as well.

The gradient is that of a single image, the root mean square over the images (`probes.first_batch`). The gradient of a
batch's mean is another quantity: the images' gradients partly cancel, more in one layer than in another. Valid for
independent weights of mean zero. In 504 networks of three and five hidden layers, 16 to 1024 units wide (seven
activations, six initializations, no norm, batch and layer norm), the measured ratio of layer 1 to the last hidden
layer was 0.78 to 1.31 times the predicted one. Batch and layer norm are taken as division by the standard deviation.
"""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optilab.config.model import BatchNorm, LayerNorm, ModelConfig, NoNorm
from optilab.train.layers import DROPOUTS, finite
from optilab.train.model import MLP, activation_of
from optilab.train.own_model import Network

Record = dict[str, Any]
TOLERANCE = 1e-4
"""Residual of the eigenvector over the eigenvalue; the error of the eigenvalue is of the order of its square."""


@dataclass
class MeasurementCost:
    """What the measurements of a training have cost so far, in this process."""

    measurements: int = 0
    products: int = 0
    seconds: float = 0.0


def measure_curvature(
    model: Network,
    batch: tuple[Tensor, Tensor],
    limit: float | None,
    divisor: Tensor | None,
    weight_decay: float,
    cost: MeasurementCost,
) -> Record:
    """The curvature of the mean loss over a batch of inputs and labels, which includes the L2 penalty.

    `sharpness`: the largest eigenvalue of the Hessian H. `preconditioned`: that of D^-1/2 H D^-1/2, where D is
    `divisor`, what an adaptive rule divides its step by; null for other rules and before the first step.
    `along_gradient`: the curvature along the gradient, in the coordinates of the rule. `limit`: as given, what theory
    sets for the rule at its learning rate (`theory.stability_limit`), for `preconditioned` where the rule is adaptive;
    null for a rule without a formula. Dropout is off, batch norm takes its statistics from the batch. A number that
    is not finite is null.
    """
    began = time.perf_counter()
    hessian = Hessian(model, batch, weight_decay)
    scale = None if divisor is None else torch.where(divisor > 0, divisor, math.inf).rsqrt()
    sharpness = largest_eigenvalue(hessian)
    preconditioned = None if scale is None else largest_eigenvalue(hessian, scale)
    direction = hessian.gradient if scale is None else hessian.gradient * scale
    length = float(direction.square().sum())
    along = float(direction @ hessian.times(direction, scale)) / length if length > 0 else math.nan
    cost.measurements += 1
    cost.products += hessian.products
    cost.seconds += time.perf_counter() - began
    return {
        "sharpness": finite(sharpness),
        "preconditioned": finite(preconditioned),
        "along_gradient": finite(along),
        "limit": finite(limit),
    }


class Hessian:
    """The Hessian of a network's mean loss over a batch by the trained parameters, as its products with vectors."""

    def __init__(self, model: Network, batch: tuple[Tensor, Tensor], weight_decay: float) -> None:
        network = copy.deepcopy(model).train()
        for module in network.modules():
            if isinstance(module, DROPOUTS):
                module.eval()
        self._weights: Sequence[Tensor] = network.trained
        self._weight_decay, self.products = weight_decay, 0
        images, labels = batch
        loss = nn.functional.cross_entropy(network(images), labels)
        self._slope = self._joined(
            torch.autograd.grad(loss, self._weights, create_graph=True, materialize_grads=True)
        )
        self.gradient = self._slope.detach() + weight_decay * self._joined(self._weights).detach()

    def times(self, vector: Tensor, scale: Tensor | None = None) -> Tensor:
        """H times a vector, or S H S times it, where S is the diagonal matrix of `scale` (Pearlmutter 1994)."""
        self.products += 1
        scaled = vector if scale is None else vector * scale
        product = torch.autograd.grad(
            self._slope, self._weights, grad_outputs=scaled, retain_graph=True, materialize_grads=True
        )
        image = self._joined(product) + self._weight_decay * scaled
        return image if scale is None else image * scale

    @staticmethod
    def _joined(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([tensor.flatten() for tensor in tensors])


def largest_eigenvalue(hessian: Hessian, scale: Tensor | None = None, tolerance: float = TOLERANCE) -> float:
    """The largest eigenvalue of H, or of S H S, by Lanczos' method from a start that is always the same.

    nan where the loss or a product is not finite, or where the method does not converge.
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    like = hessian.gradient
    if not bool(torch.isfinite(like).all()):
        return math.nan

    def times(vector: Any) -> Any:
        given = torch.from_numpy(np.asarray(vector, dtype=np.float64).reshape(-1)).to(like)
        product = hessian.times(given, scale).double().cpu().numpy()
        if not np.isfinite(product).all():
            raise FloatingPointError
        return product

    count = len(like)
    start = np.random.default_rng(0).standard_normal(count)
    operator = LinearOperator((count, count), matvec=times, dtype=np.float64)
    try:
        (value,) = eigsh(operator, k=1, which="LA", v0=start, tol=tolerance, return_eigenvectors=False)
    except (ArpackError, FloatingPointError):
        return math.nan
    return float(value)


# --- gradients before training, by mean-field theory ---

_POINTS, _REACH = 20_001, 8.0


@dataclass(frozen=True)
class GradientPrediction:
    """Before training; `gains[l]`: a gradient's norm at layer l+1 over that at layer l+2, preactivations."""

    gains: list[float]
    ratio: float  # |g1|/|gL|: an image's gradient by the first hidden layer's weights over that by the last one's


def predict_gradients(model: MLP, config: ModelConfig, images: Tensor) -> GradientPrediction | None:
    """The expected gains of a network with its initial weights; None where the theory does not apply.

    That is with skips, normalized gradients, norms other than batch and layer norm before the activation, dropout,
    fewer than two hidden layers, weights or biases whose mean is not zero, and a layer without weights or signal.
    """
    norm = config.norm
    plain = isinstance(norm, NoNorm) or (isinstance(norm, BatchNorm | LayerNorm) and norm.position == "before")
    layers = [layer.linear for layer in model.active]
    masked = config.input_dropout or config.dropout
    if config.skip or config.gradient_norm or masked or not plain or len(layers) < 2:
        return None
    if not all(_centered(linear.weight) and _centered(linear.bias, or_zero=True) for linear in layers):
        return None
    z, weight = _normal()
    images = images.cpu().double()  # on the CPU: mps has no float64
    second = float(images.square().mean())  # mean square of the layer's inputs
    centered = float(images.var(dim=0, correction=0).mean()) if isinstance(norm, BatchNorm) else 0.0
    gains, inputs, slopes = [], [], []
    for linear in layers:
        w, b = linear.weight.detach().cpu().double(), linear.bias
        s_w = linear.in_features * float(w.square().mean())
        s_b = 0.0 if b is None else float(b.detach().cpu().double().square().mean())
        inputs.append(second * linear.in_features)
        q = s_w * second + s_b
        scale = 1.0
        if isinstance(norm, BatchNorm):
            scale, q = s_w * centered, 1.0
        elif isinstance(norm, LayerNorm):
            scale, q = q, 1.0
        phi, slope = _activation(config.activation, math.sqrt(q) * z)
        slopes.append(float((slope.square() * weight).sum()) / max(scale, 1e-300))
        second = float((phi.square() * weight).sum())
        centered = second - float((phi * weight).sum()) ** 2
        backward = linear.in_features * float(w.square().mean())
        gains.append(backward)
    # A gradient at layer l's preactivation comes from l+1's: through W(l+1) and layer l's slope.
    steps = [math.sqrt(gains[n + 1] * slopes[n]) for n in range(len(layers) - 1)]
    if not all(math.isfinite(value) and value > 0 for value in (*steps, *inputs)):
        return None
    return GradientPrediction(steps, math.prod(steps) * math.sqrt(inputs[0] / inputs[-1]))


def _centered(weight: Tensor | None, or_zero: bool = False) -> bool:
    """Weights that may have been drawn with mean zero: their mean is within six of its standard errors of it."""
    if or_zero and (weight is None or not weight.any()):
        return True
    assert weight is not None
    std, mean = torch.std_mean(weight.detach().cpu().double())
    return float(std) > 0 and abs(float(mean)) <= 6 * float(std) / math.sqrt(weight.numel())


def _normal() -> tuple[Tensor, Tensor]:
    """A grid of z and the probabilities that stand for a standard normal; kinks at 0 lie on a point."""
    z = torch.linspace(-_REACH, _REACH, _POINTS, dtype=torch.float64)
    weight = torch.exp(-(z**2) / 2)
    return z, weight / weight.sum()


def _activation(activation: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """phi(x) and phi'(x)."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        phi = activation_of(activation).double()(x)
        (slope,) = torch.autograd.grad(phi.sum(), x)
    return phi.detach(), slope
