"""What one pass over images measures: the loss, and every metric of the table below."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "acc": lambda logits, labels: (logits.argmax(dim=1) == labels).sum(),
}
"""Metric -> how many images of a batch score, from logits (n, classes) and labels (n,). A row has their share."""


@dataclass
class Tally:
    """Losses and scores of a pass, batch by batch; they stay on the device until they are asked for."""

    sizes: list[int] = field(default_factory=list)  # images per batch
    losses: list[Tensor] = field(default_factory=list)  # mean over each batch
    scores: list[Tensor] = field(default_factory=list)  # (metrics,) int64 per batch

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """A batch: its loss, logits (n, classes) and labels (n,)."""
        self.sizes.append(len(labels))
        self.losses.append(loss.detach())
        self.scores.append(torch.stack([score(logits.detach(), labels) for score in METRICS.values()]))

    def row(self, split: str, loss_mean: str) -> dict[str, float]:
        """`SPLIT_loss` and `SPLIT_METRIC` of the pass.

        The loss is the mean of the batches' losses, with equal weights (`batches`) or those of their sizes
        (`images`); a metric is the share of the images that score.
        """
        weights = self.sizes if loss_mean == "images" else [1] * len(self.sizes)
        losses = zip(torch.stack(self.losses).tolist(), weights, strict=True)
        loss = sum(value * weight for value, weight in losses) / sum(weights)
        scores = torch.stack(self.scores).sum(dim=0).tolist()
        shares = {f"{split}_{name}": n / sum(self.sizes) for name, n in zip(METRICS, scores, strict=True)}
        return {f"{split}_loss": loss, **shares}

    def overflow(self) -> tuple[int, float] | None:
        """Index and loss of the first batch whose loss is not finite."""
        losses = enumerate(torch.stack(self.losses).tolist())
        return next(((index, loss) for index, loss in losses if not math.isfinite(loss)), None)
