"""The batch of a step, for rules that look at it more than once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from optilab.optimize import Rule
from optilab.optimize.rules.wrappers import SAM
from optilab.train.model import MLP
from optilab.train.optimizers import RuleOptimizer
from optilab.train.theory import Hessian


@dataclass(frozen=True)
class Again:
    """A network and a batch: images as inputs (n, inputs), labels (n,), the L2 penalty and the limits of its gradient.

    `draw` identifies the batch (seed, epoch, number of the batch): the same random signs for the same batch, and none
    from the generators of the training, so that runs of several rules see the same batches.
    """

    model: MLP
    images: Tensor
    labels: Tensor
    draw: tuple[int, ...]
    weight_decay: float
    clip_norm: float | None
    clip_value: float | None

    def clip(self) -> None:
        """Limit the gradients that the trained parameters have."""
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.trained, self.clip_norm)
        if self.clip_value is not None:
            nn.utils.clip_grad_value_(self.model.trained, self.clip_value)

    def step(self, optimizer: torch.optim.Optimizer, rule: Rule) -> None:
        """One step of the optimizer that was built for `rule`, with the gradients that the parameters have."""
        if isinstance(rule, SAM):
            self._take_gradient_nearby(rule)
            self.step(optimizer, rule.base)
        else:
            if isinstance(optimizer, RuleOptimizer):
                optimizer.quantities = {"hessian_diagonal": self.hessian_diagonal}
            optimizer.step()

    @torch.enable_grad()
    def hessian_diagonal(self) -> Tensor:
        """An estimate of the diagonal of the Hessian of the batch's loss by all trained parameters, joined.

        s*(H*s) with random signs s, whose mean is the diagonal (Hutchinson 1990). Dropout is off.
        """
        hessian = Hessian(self.model, (self.images, self.labels), self.weight_decay)
        like = hessian.gradient
        signs = 1.0 - 2.0 * np.random.default_rng(self.draw).integers(0, 2, len(like))
        vector = torch.from_numpy(signs).to(like.dtype).to(like.device)
        return vector * hessian.times(vector)

    def _take_gradient_nearby(self, rule: SAM) -> None:
        """Set the gradients to those of the batch at the worst point nearby; all else stays as it is."""
        parameters = self.model.trained
        gradients = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
        ascent = rule.ascent(gradients).split([parameter.numel() for parameter in parameters])
        with _kept([*parameters, *self.model.buffers()]):
            with torch.no_grad():
                for parameter, part in zip(parameters, ascent, strict=True):
                    parameter.add_(part.view_as(parameter))
            self.model.zero_grad()
            loss = nn.functional.cross_entropy(self.model(self.images), self.labels)
            loss.backward()  # type: ignore[no-untyped-call]
        self.clip()


@contextmanager
def _kept(tensors: Sequence[Tensor]) -> Iterator[None]:
    """The tensors, weights or running statistics, have bit for bit the same values afterwards."""
    before = [tensor.detach().clone() for tensor in tensors]
    yield
    with torch.no_grad():
        for tensor, value in zip(tensors, before, strict=True):
            tensor.copy_(value)
