"""What happens inside a network while it trains: gradients, updates and activations, layer by layer.

A few batches of each epoch are looked into. Looking draws no random number and changes no bit of the run: hooks
read the activations, norms are taken of gradients that are there anyway, and a copy of the weights gives the true
update. All numbers stay on the device until the epoch ends.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from optilab.optimize.rule import learning_rates
from optilab.train.device import generators, set_generators
from optilab.train.layers import MEASURED, EpochRecord, common_share, eps_share, finite
from optilab.train.model import MLP


class Probe:
    """One batch that is looked into: made before its forward pass, told after backward pass and step."""

    def __init__(self, model: MLP) -> None:
        self._model, self._bounds = model, model.config.activation.flat
        self._outputs: list[Tensor] = []
        self._hooks = [layer.activation.register_forward_hook(self._seen) for layer in model.active]

    def _seen(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self._outputs.append(output.detach())

    def after_backward(self) -> None:
        """Gradients are there, weights are still those that made them."""
        for hook in self._hooks:
            hook.remove()
        self._before = [linear.weight.detach().clone() for linear in self._model.linears]
        self.gradient = torch.cat([_gradient(linear).flatten() for linear in self._model.linears])

    @torch.no_grad()
    def after_step(self) -> Tensor:
        """The measurements (layers, MEASURED) of this batch; the output layer comes last, without activations."""
        rows = []
        for number, (linear, before) in enumerate(zip(self._model.linears, self._before, strict=True)):
            weight = before.norm()
            update = (linear.weight - before).norm()
            same = (before == before[:1]).all(dim=1).float().mean() if len(before) > 1 else before.new_zeros(())
            output = self._outputs[number] if number < len(self._outputs) else None
            values = [
                _gradient(linear).norm(),
                weight,
                update,
                same,
                *self._activity(output, weight),
                common_share(before),
            ]
            rows.append(torch.stack(values))
        return torch.stack(rows)

    def _activity(self, output: Tensor | None, like: Tensor) -> list[Tensor]:
        if output is None:
            return [like.new_full((), math.nan)] * 4
        std, mean = torch.std_mean(output, correction=0)
        if self._bounds is None:
            return [mean, std, like.new_zeros(()), like.new_zeros(())]
        low, high = self._bounds
        flat = (output <= low) | (output >= high)
        return [mean, std, flat.float().mean(), flat.all(dim=0).float().mean()]


def _gradient(linear: nn.Linear) -> Tensor:
    """The weight's gradient; a frozen layer has none."""
    gradient = linear.weight.grad
    return gradient.detach() if gradient is not None else torch.zeros_like(linear.weight)


def probed(batches: int, probes: int) -> frozenset[int]:
    """Which batches of an epoch are looked into: the first and the last, the others evenly between."""
    if probes <= 1:
        return frozenset(range(min(probes, batches)))
    return frozenset(round(n * (batches - 1) / (probes - 1)) for n in range(min(probes, batches)))


class EpochProbes:
    """The probes of one epoch, summed up."""

    def __init__(self) -> None:
        self._measured: list[Any] = []
        self._gradients: list[Tensor] = []
        self._rate: float | None = None

    def probe(self, model: Any) -> Any:
        """Look into the next batch."""
        return Probe(model)

    def add(self, probe: Any, optimizer: torch.optim.Optimizer) -> None:
        self._measured.append(probe.after_step())
        self._gradients.append(probe.gradient)
        self._rate = _rate(optimizer)

    def record(self, epoch: int, optimizer: torch.optim.Optimizer) -> EpochRecord:
        """One line of diagnostics.jsonl: means over the epoch's probes, per layer and for the whole network.

        Per layer: norms of gradient, weight and update and their ratios; mean and spread of the activations, the
        fraction of them that is saturated, of units that are dead (saturated for every image of the batch), of units
        with the same weights as the first; `common`, the fraction of the weights' squares that all units of the layer
        have in common. What is not finite, or not there, is null. `lr` is the learning rate of the last probe.
        `gradient_noise` is tr(cov)/|mean|^2 of a batch's gradient (McCandlish et al. 2018), between probes; much
        above 1, single steps hardly agree on a direction. `eps_share`: parameters whose sqrt(v) is below eps.
        """
        noise = finite(_noise(self._gradients))
        return self.layers(epoch) | {"gradient_noise": noise, "eps_share": eps_share(optimizer), "lr": self._rate}

    def layers(self, epoch: int) -> EpochRecord:
        """The part of the record that is about layers."""
        table = torch.stack(self._measured).mean(dim=0).tolist()
        first = self._measured[0][:, 0].tolist()
        layers = [_layer(dict(zip(MEASURED, row, strict=True))) for row in table]
        return {"epoch": epoch, "layers": layers, "first_batch_gradients": [finite(value) for value in first]}


def _rate(optimizer: torch.optim.Optimizer) -> float | None:
    """The learning rate; of a rule around another, whose own factor is 1 without a schedule, that of the inner one."""
    rate, rule = optimizer.param_groups[0].get("lr"), getattr(optimizer, "rule", None)
    inside = hasattr(rule, "base")
    return rate * next(iter(learning_rates(rule).values()), 1.0) if inside and rate is not None else rate


def _layer(row: dict[str, float]) -> dict[str, float | None]:
    weight = row["weight_norm"]
    row["gradient_to_weight"] = row["gradient_norm"] / weight if weight else math.nan
    row["update_to_weight"] = row["update_norm"] / weight if weight else math.nan
    return {name: finite(value) for name, value in row.items()}


def _noise(gradients: Sequence[Tensor]) -> float:
    """tr(cov)/|mean|^2 from k batches: the spread over k - 1, the squared mean freed of its own noise."""
    if len(gradients) < 2 or len({len(gradient) for gradient in gradients}) > 1:  # a layer was frozen in between
        return math.nan
    stacked = torch.stack(list(gradients))
    mean = stacked.mean(dim=0)
    sums = torch.stack([(stacked - mean).square().sum(), mean.square().sum()]).tolist()
    spread = sums[0] / (len(gradients) - 1)
    signal = sums[1] - spread / len(gradients)
    return spread / signal if signal > 0 else math.inf


MOST_IMAGES = 512
"""Images that are measured at most; the root mean square over this number has an error of a few percent."""


@contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Buffers, mode, gradients and random numbers of a training are afterwards what they were."""
    buffers, states = [(buffer, buffer.clone()) for buffer in model.buffers()], generators(device)
    training = model.training
    try:
        yield
    finally:
        model.train(training)
        model.zero_grad()
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        set_generators(device, states)


def first_batch(model: MLP, images: Tensor, labels: Tensor) -> tuple[float, list[float]]:
    """(mean loss in nats, root mean square over the images of |dL_i/dW_l| for every layer l, output layer last).

    The gradient of one image's loss by a weight matrix is the product of two vectors, the gradient by the layer's
    outputs and the layer's inputs, so its norm is the product of theirs. Under batch norm an image's gradient
    includes its influence on the others. Dropout is off.
    """
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []

    def keep(module: nn.Module, given: Any, output: Tensor) -> None:
        inputs.append(given[0].detach())
        outputs.append(output)

    hooks = [linear.register_forward_hook(keep) for linear in model.linears]
    with undisturbed(model, images.device):
        model.train()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
        try:
            logits = model(images[:MOST_IMAGES].clone().requires_grad_())
            loss = nn.functional.cross_entropy(logits, labels[:MOST_IMAGES], reduction="sum")
            gradients = torch.autograd.grad(loss, outputs)
        finally:
            for hook in hooks:
                hook.remove()
    squares = [
        (gradient.square().sum(dim=1) * entry.square().sum(dim=1)).mean()
        for gradient, entry in zip(gradients, inputs, strict=True)
    ]
    return float(loss.detach()) / len(logits), torch.stack(squares).sqrt().tolist()


def labels(train: Tensor, validation: Tensor) -> EpochRecord:
    """What a network could know without looking at an image, from the labels of both halves of the data.

    `prior_entropy` and `validation_entropy`: the loss, in nats, of a network that gives each class its share; ln 10
    for ten equal classes. `chance`: the accuracy of always naming the training images' most frequent class.
    """
    counts = torch.bincount(train)
    return {
        "train_images": len(train),
        "validation_images": len(validation),
        "classes": int((counts > 0).sum()),
        "prior_entropy": prior_entropy(train),
        "validation_entropy": prior_entropy(validation),
        "chance": float((validation == counts.argmax()).float().mean()),
    }


def prior_entropy(labels: Tensor) -> float:
    """The loss of a network that predicts each class with its fraction of the labels, in nats (ln 10 for ten equal
    classes)."""
    shares = torch.bincount(labels.cpu()).double() / len(labels)  # on the CPU: mps has no float64
    return float(-(shares * torch.log(shares.clamp_min(1e-300))).sum())


@torch.no_grad()
def origin_of_overflow(model: Any, images: Tensor) -> str:
    """Which layer makes the first number that is not finite, in words, for a batch whose loss is not."""
    culprits: list[str] = []

    def hook_for(name: str) -> Any:
        def seen(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
            if not culprits and isinstance(output, Tensor) and not bool(torch.isfinite(output).all()):
                weights = [float(p.abs().max()) for p in module.parameters()]
                largest = f" (largest weight {max(weights):.3g})" if weights else ""
                culprits.append(f"{name} is the first whose output is not finite{largest}")

        return seen

    hooks = [module.register_forward_hook(hook_for(name)) for name, module in model.named_parts]
    try:
        logits = model(images)
    finally:
        for hook in hooks:
            hook.remove()
    if culprits:
        return culprits[0]
    if not bool(torch.isfinite(logits).all()):
        return "every layer's output is finite, the network's is not: look at what forward does after the layers"
    return f"every layer's output is finite, the logits reach {float(logits.abs().max()):.3g}: the loss overflows"
