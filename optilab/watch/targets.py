"""What a network could know without looking at its inputs, from the targets of the sampled batches; else from the loss.

The chance level is what a model without inputs reaches: the entropy of the labels, or the loss of always predicting
the mean target.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

MOST = 4096
"""Targets that are kept of a batch."""
PLACES = 65_536
"""Time steps times classes, at most, where it is counted how frequent classes are at each time step."""
FREQUENT = 10
"""Labels of a time step per class, by which that is known."""
KNOWN = 0.99
"""Entropy of the labels of each time step over that of all, by which the time step says something."""
PAIRED = 1024
"""Targets of a batch, at most, whose pairs with all outputs are looked at."""
BATCHES = 64
"""Batches of which they are kept."""
BY_ELEMENTS = {
    "mse": nn.functional.mse_loss,
    "l1": nn.functional.l1_loss,
    "smooth-l1": nn.functional.smooth_l1_loss,
}
"""Losses of a regression, by which predicting the mean is measured."""
CROSS_ENTROPY = ("NllLoss", "NllLoss2D", "NllLossNd", "CrossEntropyLoss")
BINARY = ("BinaryCrossEntropyWithLogits", "BinaryCrossEntropy")


def next_inputs(given: Tensor, target: Tensor) -> int | None:
    """The axis of time of a batch of tokens whose targets are the next inputs; None where they are not."""
    if given.is_floating_point() or given.dim() != 2 or target.numel() != given.numel():
        return None
    target = target.reshape(given.shape)
    for axis in (1, 0):
        steps = given.shape[axis] - 1
        if steps > 2 and torch.equal(target.narrow(axis, 0, steps), given.narrow(axis, 1, steps)):
            return None if torch.equal(target, given) else axis
    return None


class Targets:
    """The targets of the sampled batches, and what outputs and losses say about them."""

    def __init__(self) -> None:
        self.task = ""
        self.accuracy: float | None = None  # of the last batch
        self._counts = torch.zeros(0, dtype=torch.long)
        self._by_step: Tensor | None = None  # the same at each time step
        self._values: list[Tensor] = []
        self._loss = ""
        self._times: list[int] = []
        self._singles, self._sizes = 0, list[int]()  # of labelled batches of eight or more
        self._outputs = 0
        self._pairs = False  # the loss compares every output with every target
        self._shapes: dict[str, list[int]] = {}

    @torch.no_grad()
    def look(self, output: Tensor | None, target: Tensor | None, loss: Any, seen: dict[str, Any]) -> None:
        """One sampled batch; `seen` has the operations that made the loss."""
        path = seen.get("loss_path", [])
        if output is not None and output.dim() > 1 and any(op in path for op in CROSS_ENTROPY):
            self._outputs = self._outputs or output.shape[-1 if output.dim() == 3 else 1]
        if output is None or not isinstance(target, Tensor):
            return
        if output.is_complex() or target.is_complex():
            self.task = "complex"  # of which no loss is known
            return
        self._shapes = self._shapes or {"output_shape": list(output.shape), "target_shape": list(target.shape)}
        value = float(loss)
        if not target.is_floating_point() and output.dim() > 1 and output.numel() > target.numel():
            self._classes(output, target, value, any(op in path for op in CROSS_ENTROPY))
        elif any(op in path for op in BINARY) or not target.is_floating_point():
            self.task = "binary"
            answers = output > (0.5 if "BinaryCrossEntropy" in path else 0.0)
            if answers.numel() == target.numel():
                self.accuracy = float((answers.reshape(-1) == (target.reshape(-1) > 0.5)).float().mean())
            labels = (target.reshape(-1) > 0.5).long().cpu()
            if output.numel() == len(target):  # not several answers of a sample
                self._look_for_one_class(labels)
            self._count(labels)
        else:
            self.task = "regression"
            self._regression(output.float(), target.float(), value)

    def tally(self, labels: Tensor) -> None:
        """Labels of sequences, which the model may shift against its outputs: only how frequent they are is known."""
        self.task = "classification"
        labels = labels.reshape(-1)
        self._count(labels[labels >= 0].cpu())

    def _classes(self, output: Tensor, target: Tensor, value: float, checked: bool) -> None:
        """`checked`: the loss is PyTorch's, which refuses a label without an output, but for its ignore_index."""
        self.task = "classification"
        axis = output.dim() - 1 if output.shape[:-1] == target.shape else 1
        self._outputs = output.shape[axis]
        rows = output.movedim(axis, -1).reshape(-1, self._outputs).float()
        labels = target.reshape(-1)
        if len(rows) != len(labels):
            return
        known = (labels >= 0) & (labels < self._outputs) if checked else labels != -100
        rows, labels = rows[known], labels[known]
        if not len(labels):
            return
        self.accuracy = float((rows.argmax(dim=1) == labels).float().mean())
        labels = labels.cpu()
        self._look_for_one_class(labels)
        self._count(labels)
        if target.dim() == 2 and target.shape[1] * self._outputs <= PLACES:
            self._count_by_step(target.cpu())
        if len(labels) and int(labels.min()) >= 0 and int(labels.max()) < self._outputs:
            mean = float(nn.functional.cross_entropy(rows, labels.to(rows.device)))
            if len(labels) >= 8 and mean > 0 and math.isclose(value, mean * len(labels), rel_tol=0.02):
                self._times.append(len(labels))

    def _look_for_one_class(self, labels: Tensor) -> None:
        if len(labels) >= 8:
            self._sizes.append(len(labels))
            self._singles += bool((labels == labels[0]).all())

    def _count(self, labels: Tensor) -> None:
        if not len(labels):
            return
        low, high = int(labels.min()), int(labels.max())
        seen = self._shapes.setdefault("labels", [low, high])
        seen[:] = [min(seen[0], low), max(seen[1], high)]
        counts = torch.bincount(labels.clamp_min(0))
        size = max(len(counts), len(self._counts))
        self._counts = nn.functional.pad(self._counts, (0, size - len(self._counts))) + nn.functional.pad(
            counts, (0, size - len(counts))
        )

    def _count_by_step(self, target: Tensor) -> None:
        steps = target.shape[1]
        places = (torch.arange(steps) * self._outputs + target)[(target >= 0) & (target < self._outputs)]
        counts = torch.bincount(places, minlength=steps * self._outputs).reshape(steps, self._outputs)
        if self._by_step is None or self._by_step.shape == counts.shape:
            self._by_step = counts if self._by_step is None else self._by_step + counts

    def _steps_know(self, entropy: float) -> tuple[float, float] | None:
        """(entropy, accuracy) of a network that knows the time step alone; None where that is no more, or unknown."""
        counts = self._by_step
        if counts is None or int(counts.sum(dim=1).min()) < FREQUENT * int((counts.sum(dim=0) > 0).sum()):
            return None
        totals = counts.sum(dim=1, keepdim=True).double()
        shares = counts / totals
        # Counts of few labels look less random than they are (Miller 1955).
        short = ((counts > 0).sum(dim=1) - 1) / (2 * totals.squeeze(1))
        found = float((torch.special.entr(shares).sum(dim=1) + short).mean())
        return (found, float(shares.amax(dim=1).mean())) if found < KNOWN * entropy else None

    def _regression(self, output: Tensor, target: Tensor, value: float) -> None:
        if len(self._values) < BATCHES:
            self._values.append(
                target.reshape(len(target), -1)[:MOST].cpu() if target.dim() else target.reshape(1, 1)
            )
        n = len(target) if target.dim() else 1
        if output.shape != target.shape:
            if sorted([list(output.shape), list(target.shape)], key=len) != [[n], [n, 1]]:
                return
            output, target = output.reshape(n), target.reshape(n)
            if 1 < n <= PAIRED and not self._pairs:
                rows, columns = output.expand(n, n), target[:, None].expand(n, n)
                for loss in BY_ELEMENTS.values():
                    own, every = float(loss(output, target)), float(loss(rows, columns))
                    # Equal outputs have the same loss with every target.
                    self._pairs |= math.isclose(value, every, rel_tol=1e-4) and not math.isclose(
                        own, every, rel_tol=1e-4
                    )
        for name, loss in BY_ELEMENTS.items():
            mean = float(loss(output, target))
            for times in {1, n, target.numel()}:
                if mean > 0 and math.isclose(value, mean * times, rel_tol=0.02):
                    self._loss = self._loss or name
                    if times >= 8:
                        self._times.append(times)
                    return

    def facts(self) -> dict[str, Any]:
        """What the causes of loops ask."""
        facts: dict[str, Any] = {**self._shapes, "task": self.task}
        if self._outputs and any(self._shapes.get(key) for key in ("labels",)) and self.task == "classification":
            facts["outputs"] = self._outputs
        if self._pairs:
            facts["pairs"] = True
        if self._times:
            facts["loss_over_mean"] = min(self._times)
        facts |= {"single_class": self._singles, "labelled": len(self._sizes)}
        if self._sizes:
            shares = self._counts.double() / self._counts.sum()
            facts["single_by_chance"] = float(sum((shares**size).sum() for size in self._sizes))
        facts["classes_seen"] = int((self._counts > 0).sum())
        if self._values:
            facts["target_rms"] = float(torch.cat([v.reshape(-1) for v in self._values]).square().mean().sqrt())
        return facts

    def reference(self, losses: Sequence[float], loop: dict[str, Any]) -> dict[str, Any]:
        """The chance-level loss and accuracy, and in `loop` what they are taken from."""
        from optilab.diagnose.evidence import EQUAL_CLASSES, FIRST_STEPS

        times = loop.get("loss_over_mean", 1)
        path = loop.get("loss_path", [])
        if self.task in ("classification", "binary") and int(self._counts.sum()):
            shares = self._counts.double() / self._counts.sum()
            entropy = float(-(shares * torch.log(shares.clamp_min(1e-300))).sum())
            loop["reference"] = "guessing"
            known = self.task == "binary" or any(op in path for op in CROSS_ENTROPY)
            if known:
                uniform = math.log(max(2, self._outputs)) * times
                entropy, chance = self._steps_know(entropy) or (entropy, float(shares.max()))
                found = {"prior_entropy": entropy * times, "uniform": uniform, "chance": chance}
                return found | {"classes": int((self._counts > 0).sum())}
        if self.task == "regression" and self._loss:
            pooled = torch.cat(self._values)
            guess = pooled.mean(dim=0, keepdim=True).expand_as(pooled)
            loop["reference"] = "guessing"
            of_each = BY_ELEMENTS[self._loss](guess, pooled, reduction="none").mean(dim=1)
            mean = float(of_each.mean())
            error = float(of_each.std()) / math.sqrt(len(of_each)) / mean if mean > 0 and len(of_each) > 1 else 0.0
            return {"prior_entropy": mean * times, "prior_error": error, "chance": 0.0}
        if self._outputs > 1 and any(op in path for op in CROSS_ENTROPY):
            loop["reference"] = EQUAL_CLASSES
            return {"prior_entropy": math.log(self._outputs) * times, "chance": 1 / self._outputs}
        loop["reference"] = FIRST_STEPS
        first = [loss for loss in losses[:3] if math.isfinite(loss)]
        return {"prior_entropy": max(0.0, sum(first) / len(first)) if first else 0.0, "chance": 0.0}
