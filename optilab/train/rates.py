"""A learning-rate range test: one short training whose rate grows at every step (Smith 2015, arXiv:1506.01186)."""

import math
from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from optilab.config.training import TrainConfig
from optilab.data.load import Dataset
from optilab.train import probes, session
from optilab.train.again import Again
from optilab.train.device import failures_explained
from optilab.train.engine import Training


def begin(config: TrainConfig, dataset: Dataset) -> tuple[Training, float]:
    """A training before its first step, and the loss of guessing by the shares of the labels. Writes nothing."""
    training = session.build(config, dataset)
    return training, probes.prior_entropy(training.train.labels)


def ramp(training: Training, rates: Iterable[float], lr: float) -> Iterator[float]:
    """For each rate in turn the loss of a batch, and then a step with that rate; ends after a loss that is not finite.

    `lr` is the rate of the config. Batches come in the order of `optilab train`, epoch after epoch. Clipping, weight
    decay and dropout are those of the config; its schedule does not apply.
    """
    config, network = training.config, training.model
    batches = _batches(training)
    with failures_explained(str(training.device)):
        network.train()
        for step, (rate, (images, labels)) in enumerate(zip(rates, batches, strict=False)):
            draw = config.seed, 0, step
            again = Again(network, images, labels, draw, config.weight_decay, config.clip_norm, config.clip_value)
            loss = nn.functional.cross_entropy(network(images), labels)
            yield (value := loss.item())
            if not math.isfinite(value):
                return
            training.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            again.clip()
            training.set_rate(rate / lr)
            again.step(training.optimizer, config.optimizer)


def _batches(training: Training) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from training.batches()
