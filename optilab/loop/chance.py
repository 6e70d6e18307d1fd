"""The chance level of a loop: what its network could know without inputs, from the targets of the sampled batches.

A model without inputs reaches the entropy of the labels, or the loss of always predicting the mean target. Without
targets, the level is taken for equally frequent classes if the loss has that form, else from the first steps.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

MAX_TARGETS, MAX_BATCHES = 4096, 64
"""Targets of a regression that are stored of a batch, and batches whose targets are stored."""
MAX_PAIRED = 1024
"""Targets of a batch, at most, whose pairs with all outputs are compared."""
MIN_BATCH = 8
"""A batch with fewer labels may have a single class by accident, and a sum of losses close to their mean."""
ELEMENTWISE = {
    "mse": nn.functional.mse_loss,
    "l1": nn.functional.l1_loss,
    "smooth-l1": nn.functional.smooth_l1_loss,
}
"""Losses of a regression, by which predicting the mean is measured."""
CROSS_ENTROPY = {"NllLoss", "NllLoss2D", "NllLossNd", "CrossEntropyLoss"}
BINARY = {"BinaryCrossEntropyWithLogits", "BinaryCrossEntropy"}
MAX_CHANCE_DISTANCE = 0.01
"""Distance of a loss from ln C, as a fraction, of a network with C outputs at the chance level."""


class Chance:
    """The targets of the sampled batches, and the facts that outputs and losses show about them."""

    def __init__(self) -> None:
        self.task = ""
        self.accuracy: float | None = None  # of the last batch
        self._counts = torch.zeros(0, dtype=torch.long)  # of labels
        self._values: list[Tensor] = []  # targets of a regression
        self._loss = ""  # of a regression
        self._outputs, self._width = 0, 0  # classes of a cross-entropy; numbers per sample of any loss
        self._facts: dict[str, Any] = {"single_class": 0, "labelled": 0}
        # True while each loss that came as a bare number was the cross-entropy of its outputs and targets.
        self._is_cross_entropy: bool | None = None
        self._sizes = list[int]()  # of labelled batches of MIN_BATCH or more

    @torch.no_grad()
    def add_batch(self, output: Tensor | None, target: Tensor | None, loss: float, path: Sequence[str]) -> None:
        """One sampled batch; `path` are the operations that made the loss."""
        if output is None or output.is_complex() or (target is not None and target.is_complex()):
            return
        classes = bool(CROSS_ENTROPY & {*path})
        if output.dim() > 1:
            self._width = self._width or output.shape[1] * (output.dim() == 2)
            self._outputs = self._outputs or output.shape[-1 if output.dim() == 3 else 1] * classes
        if target is None:
            return
        self._facts |= {"output_shape": list(output.shape), "target_shape": list(target.shape), **self._facts}
        if not target.is_floating_point() and output.dim() > 1 and output.numel() > target.numel():
            self._add_classes(output, target, loss)
        elif BINARY & {*path} or not target.is_floating_point():
            self.task = "binary"
            labels, answers = (
                target.reshape(-1) > 0.5,
                output.reshape(-1) > (0.5 if "BinaryCrossEntropy" in path else 0),
            )
            if len(answers) == len(labels):
                self.accuracy = float((answers == labels).float().mean())
            # Several answers of a sample are no batch of one class.
            self.add_labels(labels.long(), batch=output.numel() == len(target))
        else:
            self.task = "regression"
            self._add_values(output.float(), target.float(), loss)

    def add_labels(self, labels: Tensor, batch: bool = False) -> None:
        """Add labels of which only the frequencies count, such as labels that a model shifts against its outputs."""
        self.task = self.task or "classification"
        labels = labels.reshape(-1).cpu()
        labels = labels[labels >= 0]
        counts = torch.bincount(labels, minlength=len(self._counts))
        self._counts = nn.functional.pad(self._counts, (0, len(counts) - len(self._counts))) + counts
        if batch and len(labels) >= MIN_BATCH:
            self._sizes.append(len(labels))
            self._facts["labelled"] += 1
            self._facts["single_class"] += bool((labels == labels[0]).all())

    def _add_classes(self, output: Tensor, target: Tensor, loss: float) -> None:
        self.task, axis = "classification", output.dim() - 1 if output.shape[:-1] == target.shape else 1
        self._outputs = self._facts["outputs"] = output.shape[axis]
        rows, labels = output.movedim(axis, -1).reshape(-1, self._outputs).float(), target.reshape(-1)
        if len(rows) != len(labels):
            return
        known = (labels >= 0) & (labels < self._outputs)  # the others are ignored by PyTorch's losses
        rows, labels = rows[known], labels[known]
        if len(labels):
            self.accuracy = float((rows.argmax(dim=1) == labels).float().mean())
            self.add_labels(labels, batch=True)
            equal = self._compare(loss, float(nn.functional.cross_entropy(rows, labels)), [len(labels)])
            self._is_cross_entropy = equal and self._is_cross_entropy is not False

    def _compare(self, loss: float, mean: float, counts: Sequence[int]) -> bool:
        """Note a loss that is the sum over one of these numbers of values; whether it is that, or their mean."""
        for times in {1, *counts}:
            if mean > 0 and math.isclose(loss, mean * times, rel_tol=0.02):
                if times >= MIN_BATCH:
                    self._facts["loss_over_mean"] = min(times, self._facts.get("loss_over_mean", times))
                return True
        return False

    def _add_values(self, output: Tensor, target: Tensor, loss: float) -> None:
        if len(self._values) < MAX_BATCHES:
            self._values.append(target.reshape(len(target) if target.dim() else 1, -1)[:MAX_TARGETS].cpu())
        n = len(target) if target.dim() else 1
        if output.shape != target.shape:
            if sorted([list(output.shape), list(target.shape)], key=len) != [[n], [n, 1]]:
                return
            output, target = output.reshape(n), target.reshape(n)
            for of in ELEMENTWISE.values() if 1 < n <= MAX_PAIRED else ():
                matched, every = (
                    float(of(output, target)),
                    float(of(output.expand(n, n), target[:, None].expand(n, n))),
                )
                # Equal outputs have the same loss with every target.
                pairs = math.isclose(loss, every, rel_tol=1e-4) and not math.isclose(matched, every, rel_tol=1e-4)
                self._facts |= {"pairs": True} if pairs else {}
        for name, of in ELEMENTWISE.items():
            if self._compare(loss, float(of(output, target)), (n, target.numel())):
                self._loss = self._loss or name
                return

    def facts(self) -> dict[str, Any]:
        """The facts that the checks of loops read."""
        frequencies = self._counts.double() / max(1, int(self._counts.sum()))
        by_chance = float(sum((frequencies**size).sum() for size in self._sizes))
        single = {"single_by_chance": by_chance} if self._sizes else {}
        return {**self._facts, **single, "task": self.task, "classes_seen": int((self._counts > 0).sum())}

    def chance_level(self, losses: Sequence[float], loop: dict[str, Any]) -> dict[str, Any]:
        """The chance-level loss and accuracy; their source is noted in `loop`."""
        from optilab.diagnose.evidence import EQUAL_CLASSES, FIRST_STEPS

        path, times = loop.get("loss_path", []), loop.get("loss_over_mean", 1)
        classes = bool(CROSS_ENTROPY & {*path}) or (not path and bool(self._is_cross_entropy))
        if int(self._counts.sum()) and (self.task == "binary" or classes):
            frequencies = self._counts.double() / self._counts.sum()
            loop["reference"] = "guessing"
            return {
                "prior_entropy": float(torch.special.entr(frequencies).sum()) * times,
                "uniform": math.log(max(2, self._outputs)) * times,
                "chance": float(frequencies.max()),
                "classes": int((self._counts > 0).sum()),
            }
        if self._loss:
            pooled = torch.cat(self._values)
            prediction = pooled.mean(dim=0, keepdim=True).expand_as(pooled)
            of_each = ELEMENTWISE[self._loss](prediction, pooled, reduction="none").mean(dim=1)
            mean, spread = float(of_each.mean()), float(of_each.std(correction=0))
            error = spread / math.sqrt(len(of_each)) / mean if mean > 0 else 0.0
            loop["reference"] = "guessing"
            return {"prior_entropy": mean * times, "prior_error": error, "chance": 0.0}
        late = [loss for loss in losses[len(losses) // 2 :] if math.isfinite(loss)]
        width = self._outputs or self._width
        equal = width > 1 and not path and late and abs(median(late) / math.log(width) - 1) <= MAX_CHANCE_DISTANCE
        if width > 1 and (classes or equal):
            loop["reference"] = EQUAL_CLASSES
            return {"prior_entropy": math.log(width) * times, "chance": 1 / width}
        loop["reference"] = FIRST_STEPS
        first = [loss for loss in losses[:3] if math.isfinite(loss)]
        return {"prior_entropy": max(0.0, sum(first) / len(first)) if first else 0.0, "chance": 0.0}
