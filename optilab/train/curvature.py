"""The curvature of the loss, measured while a network trains, next to the limit up to which its optimizer is stable.

Along a direction of curvature a, gradient descent multiplies the distance to the bottom by 1 - lr*a at each step: above
a = 2/lr it grows. Full-batch training of networks drives the largest curvature, the sharpness, up to that limit and
goes on there, at the "edge of stability" (Cohen et al. 2021, arXiv:2103.00065); adaptive rules do so in coordinates
scaled by their preconditioner (Cohen et al. 2022, arXiv:2207.14484).

Measuring works on a copy of the network, and what the network draws leaves the generators as they were: the training
has the bits of one that is not measured.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optilab.train.device import generators, set_generators
from optilab.train.network import Network
from optilab.train.probe import Diagnostics
from optilab.train.tensors import finite, joined, train_without_dropout

TOLERANCE = 1e-4
"""Residual of the eigenvector over the eigenvalue; the error of the eigenvalue is of the order of its square."""


def measure_curvature(
    model: Network, batch: tuple[Tensor, Tensor], divisor: Tensor | None, weight_decay: float
) -> Diagnostics:
    """The curvature of the mean loss over a batch of inputs and labels, which includes the L2 penalty.

    `sharpness`: the largest eigenvalue of the Hessian H. `preconditioned`: that of D^-1/2 H D^-1/2, where D is
    `divisor`, what an adaptive rule divides its step by; null for other rules and before the first step.
    `along_gradient`: the curvature along the gradient, in the coordinates of the rule. Modules of dropout are off,
    batch norm takes its statistics from the batch. A number that is not finite is null.
    """
    hessian = Hessian(model, batch, weight_decay)
    scale = None if divisor is None else torch.where(divisor > 0, divisor, math.inf).rsqrt()
    sharpness = largest_eigenvalue(hessian)
    preconditioned = None if scale is None else largest_eigenvalue(hessian, scale)
    direction = hessian.gradient if scale is None else hessian.gradient * scale
    length = float(direction.square().sum())
    along = float(direction @ hessian.times(direction, scale)) / length if length > 0 else math.nan
    return {
        "sharpness": finite(sharpness),
        "preconditioned": finite(preconditioned),
        "along_gradient": finite(along),
    }


class Hessian:
    """The Hessian of a network's mean loss over a batch by the trained parameters, as its products with vectors."""

    def __init__(self, model: Network, batch: tuple[Tensor, Tensor], weight_decay: float) -> None:
        network = copy.deepcopy(model)
        train_without_dropout(network)
        self._weights: Sequence[Tensor] = network.trained
        self._weight_decay = weight_decay
        images, labels = batch
        states = generators(images.device)
        loss = nn.functional.cross_entropy(network(images), labels)
        set_generators(images.device, states)
        self._slope = joined(torch.autograd.grad(loss, self._weights, create_graph=True, materialize_grads=True))
        self.gradient = self._slope.detach() + weight_decay * joined(self._weights).detach()

    def times(self, vector: Tensor, scale: Tensor | None = None) -> Tensor:
        """H times a vector, or S H S times it, where S is the diagonal matrix of `scale` (Pearlmutter 1994)."""
        scaled = vector if scale is None else vector * scale
        product = torch.autograd.grad(
            self._slope, self._weights, grad_outputs=scaled, retain_graph=True, materialize_grads=True
        )
        image = joined(product) + self._weight_decay * scaled
        return image if scale is None else image * scale


def largest_eigenvalue(hessian: Hessian, scale: Tensor | None = None) -> float:
    """The largest eigenvalue of H, or of S H S, by Lanczos' method from a start that is always the same.

    nan where the loss or a product is not finite, or where the method does not converge.
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    like = hessian.gradient
    if not bool(torch.isfinite(like).all()):
        return math.nan

    def times(vector: Any) -> Any:
        tensor = torch.from_numpy(np.asarray(vector, dtype=np.float64).reshape(-1)).to(like)
        product = hessian.times(tensor, scale).double().cpu().numpy()
        if not np.isfinite(product).all():
            raise FloatingPointError
        return product

    count = len(like)
    start = np.random.default_rng(0).standard_normal(count)
    operator = LinearOperator((count, count), matvec=times, dtype=np.float64)
    try:
        (value,) = eigsh(operator, k=1, which="LA", v0=start, tol=TOLERANCE, return_eigenvectors=False)
    except (ArpackError, FloatingPointError):
        return math.nan
    return float(value)
