"""The first batch of a training before any step: its loss, what each layer gets, and the chance level."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from optilab.train.probe import Diagnostics, Probe, batch_as_time, first_layers, network_facts, without_gradient
from optilab.train.tensors import finite, matrices, operations, preserving_state, train_without_dropout

SINGLE = 32
"""Images whose single gradients are measured before training, one backward pass each."""
MAX_IMAGES = 512
"""Images of the first batch that are measured."""


def first_batch(model: Any, network: nn.Module, images: Tensor, labels: Tensor) -> Diagnostics:
    """The first batch before any step: its loss, the layers, and what the network is made of.

    `model` takes the images, `network` is the part of it whose layers are probed. `sample_gradients`: of each layer,
    the root mean square over SINGLE images of the gradient of their losses. Under batch norm that loss depends on the
    other images. Dropout is off.
    """
    images, labels = images[:MAX_IMAGES], labels[:MAX_IMAGES]
    with preserving_state(model, images.device):
        train_without_dropout(model)
        probe = Probe(network)
        try:
            logits = model(images)
            loss = nn.functional.cross_entropy(logits, labels)
            with model.running("in its backward pass", images.device):
                loss.backward()  # type: ignore[no-untyped-call]
        finally:
            probe.close()
        weights = {id(parameter) for parameter in network.parameters()}
        cut = without_gradient(probe, weights)
        probe.before_step(weights)
        modules = [probe.modules[name] for name in probe.rows]
        gradients = _of_single_images(model, images[:SINGLE], labels[:SINGLE], modules)
    return {
        "first_loss": finite(loss.detach()),
        "sample_gradients": gradients,
        **first_layers([*probe.rows.values()]),
        "network": network_facts(network, probe.activations, probe.normed_over),
        "loop": {"loss_path": operations(loss), "no_gradient": cut, "crossed": batch_as_time(probe, logits)},
    }


def _of_single_images(
    model: nn.Module, images: Tensor, labels: Tensor, modules: Sequence[nn.Module]
) -> list[float | None]:
    weights = [[weight for weight in matrices(module) if weight.requires_grad] for module in modules]
    flat = [weight for layer in weights for weight in layer]
    if not flat:
        return [None] * len(modules)
    squares = [0.0] * len(modules)
    losses = nn.functional.cross_entropy(model(images), labels, reduction="none")
    for loss in losses:
        gradients = iter(torch.autograd.grad(loss, flat, retain_graph=True, allow_unused=True))
        for number, layer in enumerate(weights):
            norms = [gradient.square().sum() for _ in layer if (gradient := next(gradients)) is not None]
            squares[number] += float(torch.stack(norms).sum()) if norms else 0.0
    return [
        finite((total / len(losses)) ** 0.5) if layer else None
        for total, layer in zip(squares, weights, strict=True)
    ]


def label_facts(train: Tensor, validation: Tensor) -> Diagnostics:
    """The chance level, which needs no look at an image, from the labels of both halves of the data.

    `prior_entropy` and `validation_entropy`: the chance-level loss, in nats. `chance`: the accuracy of always naming
    the training images' most frequent class.
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
    frequencies = torch.bincount(labels.cpu()).double() / len(labels)  # on the CPU: mps has no float64
    return float(-(frequencies * torch.log(frequencies.clamp_min(1e-300))).sum())
