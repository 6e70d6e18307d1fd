"""The metrics of a training: names, titles, directions, units and chance levels, in one table.

A training has a function for each quantity here (`optilab.train.engine`); claims, studies, tables, charts and pages
read this table. Imports neither PyTorch nor NumPy.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log
from typing import Any, Literal

from optilab.numbers import decimals, digits, percent


@dataclass(frozen=True)
class Quantity:
    """A quantity measured on a network's outputs for some images."""

    title: str
    higher_is_better: bool
    unit: Literal["fraction", "nats", "seconds", ""]
    chance: Callable[[int], float | None] = lambda classes: None
    """A function of the number of classes (0: unknown): the value of a network that knows nothing of the images."""


QUANTITIES = {
    "loss": Quantity("loss", False, "nats", lambda classes: log(classes) if classes else None),
    "acc": Quantity("accuracy", True, "fraction", lambda classes: 1 / classes if classes else None),
}
"""The quantity of a column, by the end of its name."""


@dataclass(frozen=True)
class Metric:
    """One number of a training."""

    name: str
    title: str
    where: Literal["row", "timing", "end", "derived"]
    """A column of metrics.csv or timings.csv, evaluated once on the test set, or taken from the others."""
    quantity: Quantity

    @property
    def higher_is_better(self) -> bool:
        return self.quantity.higher_is_better

    @property
    def sign(self) -> int:
        """1 if higher is better, else -1."""
        return 1 if self.higher_is_better else -1

    @property
    def is_fraction(self) -> bool:
        """The values lie between 0 and 1, and are shown in percent."""
        return self.quantity.unit == "fraction"

    def text(self, value: Any) -> str:
        """A value as tables show it: a fraction in percent, a loss with four decimals."""
        if not isinstance(value, float):
            return str(value)
        if self.is_fraction:
            return percent(value)
        return decimals(value) if self.quantity.unit == "nats" else digits(value)


_NUMBER = Quantity("", False, "")

METRICS = {
    metric.name: metric
    for metric in (
        *(
            Metric(f"{split}_{end}", f"{title} {quantity.title}", "end" if split == "test" else "row", quantity)
            for split, title in (("train", "training"), ("val", "validation"), ("test", "test"))
            for end, quantity in QUANTITIES.items()
        ),
        Metric("seconds", "seconds", "timing", Quantity("seconds", False, "seconds")),
        Metric("epochs", "epochs", "derived", _NUMBER),
        Metric("best_val_acc", "best validation accuracy", "derived", QUANTITIES["acc"]),
        Metric("grad_ratio", "gradient ratio", "derived", Quantity("gradient ratio", True, "")),
    )
}
"""The numbers of a training, by name."""

EPOCH_METRICS = tuple(name for name, metric in METRICS.items() if metric.where == "row")
"""The metrics of every epoch."""
TESTED = tuple(name for name, metric in METRICS.items() if metric.where == "end")
"""Metrics of the test set, which a run with held-out images evaluates at its end: at the last epoch, and at the one
with the highest validation accuracy (`best_test_acc`)."""


def metric_of(name: str) -> Metric:
    """A metric by its name. The end of the name gives the quantity of a column that only a watched loop has, such as
    top5_acc; its chance level is unknown. Any other column is a number of which lower is better."""
    if name in METRICS:
        return METRICS[name]
    quantity = QUANTITIES.get(name.rpartition("_")[2], _NUMBER)
    return Metric(name, name, "row", replace(quantity, chance=lambda classes: None))
