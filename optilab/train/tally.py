"""What one pass over images measures: the loss, and every metric of the table below."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from optilab.config.training import Replay

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

    def row(self, split: str, replay: Replay) -> dict[str, float]:
        """`SPLIT_loss` and `SPLIT_METRIC` of the pass.

        The loss is the mean of the batches' losses, each with the same weight or that of its size; a metric is the
        share of the images that score, or the mean of the batches' shares (in float32, as `.float().mean()` has it).
        """
        weights = self.sizes if replay.loss_mean == "images" else [1] * len(self.sizes)
        losses = zip(torch.stack(self.losses).tolist(), weights, strict=True)
        row = {f"{split}_loss": sum(loss * weight for loss, weight in losses) / sum(weights)}
        scores = torch.stack(self.scores)
        if replay.accuracy_mean == "batches":
            shares = scores.float() / torch.tensor(self.sizes, device=scores.device).float().unsqueeze(1)
            values = [sum(column) / len(self.sizes) for column in shares.T.tolist()]
        else:
            values = [score / sum(self.sizes) for score in scores.sum(dim=0).tolist()]
        return row | {f"{split}_{name}": value for name, value in zip(METRICS, values, strict=True)}

    def overflow(self) -> tuple[int, float] | None:
        """Index and loss of the first batch whose loss is not finite."""
        losses = enumerate(torch.stack(self.losses).tolist())
        return next(((index, loss) for index, loss in losses if not math.isfinite(loss)), None)
