"""The chance level of a loop: what its network could know without inputs, from the targets of the sampled batches.

A model without inputs reaches the entropy of the labels, or the loss of always predicting the mean target. Without
targets, the level is taken for equally frequent classes if the loss has that form, else from the first steps.
"""

import math
from collections.abc import Sequence
from itertools import chain, product
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

MAX_TARGETS, MAX_BATCHES = 4096, 64
"""Targets of a regression that are stored of a batch, and batches whose targets are stored."""
MAX_PAIRED = 1024
"""Targets of a batch, at most, whose pairs with all outputs are compared."""
MIN_BATCH = 8
"""Values of which a sum is told from a mean."""
MIN_PROBABILITY = 1e-7
UNITS = ("mean", "samples", "values")
"""What a loss may be of the losses of its values: their mean, its sum over samples, or its sum over all values."""
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


class Comparison(NamedTuple):
    """The loss of a batch, the mean losses of its outputs and targets by name, and its numbers of values."""

    loss: float
    means: dict[str, float]
    times: dict[str, int]

    def equals(self, name: str, unit: str) -> bool:
        """The loss is this mean, or its sum over these values."""
        mean = self.means.get(name, 0.0)
        return mean > 0 and math.isclose(self.loss, mean * self.times[unit], rel_tol=0.02)


def _added(counts: Tensor, labels: Tensor) -> Tensor:
    more = torch.bincount(labels, minlength=len(counts))
    return nn.functional.pad(counts, (0, len(more) - len(counts))) + more


def _is_one_hot(target: Tensor) -> bool:
    """Each sample has one class, written as a 1 among zeros."""
    wide = target.dim() == 2 and target.shape[1] > 1
    return wide and bool((((target == 0) | (target == 1)).all(dim=1) & (target.sum(dim=1) == 1)).all())


def _class_axis(output: Tensor, target: Tensor) -> int | None:
    """The axis of the classes: the second, as PyTorch's losses have it, or the last; None where neither fits."""
    shape, last = [*output.shape], output.dim() - 1
    if shape[:-1] == [*target.shape]:
        return last
    if shape[:1] + shape[2:] == [*target.shape]:
        return 1
    # A loop may flatten outputs and targets for the loss.
    return next((axis for axis in (last, 1) if target.numel() * shape[axis] == output.numel()), None)


class Chance:
    """The targets of the sampled batches, and the facts that outputs and losses show about them."""

    def __init__(self) -> None:
        self.task = ""
        self.accuracy: float | None = None  # of the last batch
        self._counts = torch.zeros(0, dtype=torch.long)  # of labels
        self._values: list[Tensor] = []  # targets of a regression
        self._outputs, self._width = 0, 0  # classes of a cross-entropy; numbers per sample of any loss
        self._facts: dict[str, Any] = {"single_class": 0, "labelled": 0}
        self._comparisons = list[Comparison]()
        self._sizes = list[int]()  # of labelled batches of two or more
        self._one_hot = torch.zeros(0, dtype=torch.long)  # counts of classes, of targets with one 1 per sample

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
            self._add_binary(output, target, loss, probabilities="BinaryCrossEntropy" in path)
        else:
            self.task = "regression"
            self._add_values(output.float(), target.float(), loss)

    def add_labels(self, labels: Tensor, batch: bool = False) -> None:
        """Add labels of which only the frequencies count, such as labels that a model shifts against its outputs."""
        self.task = self.task or "classification"
        labels = labels.reshape(-1).cpu()
        labels = labels[labels >= 0]
        self._counts = _added(self._counts, labels)
        if batch and len(labels) > 1:
            self._sizes.append(len(labels))
            self._facts["labelled"] += 1
            self._facts["single_class"] += bool((labels == labels[0]).all())

    def _add_binary(self, output: Tensor, target: Tensor, loss: float, probabilities: bool) -> None:
        self.task = "binary"
        labels = target.reshape(-1) > 0.5
        if output.numel() == target.numel():
            output = output.reshape(target.shape).float()
            self.accuracy = float(((output > (0.5 if probabilities else 0)) == (target > 0.5)).float().mean())
            logits = torch.logit(output, eps=MIN_PROBABILITY) if probabilities else output
            mean = float(nn.functional.binary_cross_entropy_with_logits(logits, target.float()))
            self._compare(loss, {"binary": mean}, len(target), target.numel())
            if _is_one_hot(target):
                classes = target.argmax(dim=1)
                self.accuracy = float((output.argmax(dim=1) == classes).float().mean())
                self._one_hot = _added(self._one_hot, classes.cpu())
        # Several answers of a sample are no batch of one class.
        self.add_labels(labels.long(), batch=output.numel() == len(target))

    def _add_classes(self, output: Tensor, target: Tensor, loss: float) -> None:
        self.task, axis = "classification", _class_axis(output, target)
        if axis is None:
            return
        self._outputs = self._facts["outputs"] = output.shape[axis]
        rows, labels = output.movedim(axis, -1).reshape(-1, self._outputs).float(), target.reshape(-1)
        known = (labels >= 0) & (labels < self._outputs)  # the others are ignored by PyTorch's losses
        rows, labels = rows[known], labels[known]
        if len(labels):
            self.accuracy = float((rows.argmax(dim=1) == labels).float().mean())
            self.add_labels(labels, batch=True)
            means = {"cross-entropy": float(nn.functional.cross_entropy(rows, labels))}
            if bool(((rows >= 0) & (rows <= 1)).all()):  # a loop may take the logarithm of probabilities itself
                likely = (rows / rows.sum(dim=1, keepdim=True)).clamp(min=MIN_PROBABILITY).log()
                means["cross-entropy of probabilities"] = float(nn.functional.nll_loss(likely, labels))
            self._compare(loss, means, len(labels), len(labels))

    def _compare(self, loss: float, means: dict[str, float], samples: int, values: int) -> None:
        finite = all(map(math.isfinite, (loss, *means.values())))  # after a divergence nothing is comparable
        if finite and len(self._comparisons) < MAX_BATCHES:
            self._comparisons.append(Comparison(loss, means, {"mean": 1, "samples": samples, "values": values}))

    @property
    def _kind(self) -> tuple[str, int]:
        """The loss of the compared batches, and the number of values that it adds up (1: it is their mean).

        It is the mean where it was that in most batches, since a penalty may join, and a sum only where it was that
        in all of them: in one batch a loss may be near any multiple by accident. The name is empty for another loss.
        """
        compared = [c for c in self._comparisons if any(c.means.values())]
        for unit, name in product(UNITS, dict.fromkeys(chain.from_iterable(c.means for c in compared))):
            matches = sum(c.equals(name, unit) for c in compared)
            times = min(c.times[unit] for c in compared)
            if 2 * matches > len(compared) if unit == "mean" else matches == len(compared) and times >= MIN_BATCH:
                return name, times
        return "", 1

    def _fits(self, level: float) -> bool:
        """The loss is the cross-entropy of the outputs in most batches, up to half of its chance level.

        Smoothed and weighted ones are; with a divergence, a sum over pixels, or a second network's part it is another.
        """
        name, times = self._kind
        compared, largest = self._comparisons, 0.5 * level * times
        near = sum(any(abs(c.loss - times * mean) <= largest for mean in c.means.values()) for c in compared)
        return bool(name) or 2 * near >= len(compared)

    def _add_values(self, output: Tensor, target: Tensor, loss: float) -> None:
        if len(self._values) < MAX_BATCHES:
            self._values.append(target.reshape(len(target) if target.dim() else 1, -1)[:MAX_TARGETS].cpu())
        n = len(target) if target.dim() else 1
        if output.numel() == target.numel() == n and 1 < n <= MAX_PAIRED:
            self._add_pairs(output.reshape(n), target.reshape(n), loss)
        if output.shape != target.shape:
            if sorted([list(output.shape), list(target.shape)], key=len) != [[n], [n, 1]]:
                return
            output, target = output.reshape(n), target.reshape(n)
        self._compare(
            loss, {name: float(of(output, target)) for name, of in ELEMENTWISE.items()}, n, target.numel()
        )

    def _add_pairs(self, output: Tensor, target: Tensor, loss: float) -> None:
        """Note a loss that compares every output with every target."""
        n = len(output)
        matched = [float(of(output, target)) for of in ELEMENTWISE.values()]
        every = [float(of(output.expand(n, n), target[:, None].expand(n, n))) for of in ELEMENTWISE.values()]
        # Equal outputs have the same loss with every target, and one loss of all pairs may be another of those matched.
        if not any(math.isclose(loss, mean, rel_tol=1e-4) for mean in matched):
            self._facts |= {"pairs": True} if any(math.isclose(loss, mean, rel_tol=1e-4) for mean in every) else {}

    def facts(self) -> dict[str, Any]:
        """The facts that the checks of loops read."""
        frequencies = self._counts.double() / max(1, int(self._counts.sum()))
        by_chance = float(sum((frequencies**size).sum() for size in self._sizes))
        single = {"single_by_chance": by_chance} if self._sizes else {}
        if (times := self._kind[1]) > 1:
            single["loss_over_mean"] = times
        return {**self._facts, **single, "task": self.task, "classes_seen": int((self._counts > 0).sum())}

    def chance_level(self, losses: Sequence[float], loop: dict[str, Any]) -> dict[str, Any]:
        """The chance-level loss and accuracy; their source is noted in `loop`."""
        from optilab.diagnose.evidence import EQUAL_CLASSES, FIRST_STEPS

        path, (kind, times) = loop.get("loss_path", []), self._kind
        classes = bool(CROSS_ENTROPY & {*path}) or (not path and kind == "cross-entropy")
        known: dict[str, Any] = {"chance": 0.0}
        if int(self._counts.sum()) and (self.task == "binary" or classes):
            frequencies = self._counts.double() / self._counts.sum()
            entropy, uniform = float(torch.special.entr(frequencies).sum()), math.log(max(2, self._outputs))
            of_classes = (
                self._one_hot
                if 0 < int(self._one_hot.sum()) * self._width == int(self._counts.sum())
                else self._counts
            )
            known = {
                "chance": float(of_classes.max() / of_classes.sum()),
                "classes": int((of_classes > 0).sum()),
            }
            if classes := self._fits(uniform):
                loop["reference"] = "guessing"
                return {"prior_entropy": entropy * times, "uniform": uniform * times, **known}
        if kind in ELEMENTWISE:
            pooled = torch.cat(self._values)
            prediction = pooled.mean(dim=0, keepdim=True).expand_as(pooled)
            of_each = ELEMENTWISE[kind](prediction, pooled, reduction="none").mean(dim=1)
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
        return {"prior_entropy": max(0.0, sum(first) / len(first)) if first else 0.0, **known}
