"""Axes of a map and of a sweep: `KEY=LOW:HIGH[:COUNT][:log]`, or in a sweep also `KEY=VALUE,VALUE,...`."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from optilab.config import yaml
from optilab.config.marks import RANGE
from optilab.errors import UsageError
from optilab.optimize.objective import Floats

MAX_COUNT = 100_000
_DIGITS = 12
"""Significant digits of a value of a range: 0.1, not 0.10000000000000002."""


@dataclass(frozen=True)
class Axis:
    """A range of numbers from `low` to `high`; with `log`, their logarithms are evenly spaced."""

    key: str
    low: float
    high: float
    count: int
    log: bool = False
    whole: bool = False
    """Whether its values are rounded to whole numbers."""

    @property
    def field(self) -> str | None:
        """The field of the rule that the key is in a map, None for a coordinate."""
        return self.key.removeprefix("algo.") if self.key.startswith("algo.") else None

    @property
    def points(self) -> Floats:
        """(count,) numbers."""
        space = np.geomspace if self.log else np.linspace
        return np.asarray(space(self.low, self.high, self.count))

    @property
    def values(self) -> list[Any]:
        """The points as settings, each once."""
        return list(dict.fromkeys(map(self.setting, self.points.tolist())))

    def at(self, share: float) -> Any:
        """The setting at a share of the way from `low` to `high`, 0 to 1."""
        if self.log:
            return self.setting(math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low))))
        return self.setting(self.low + share * (self.high - self.low))

    def setting(self, point: float) -> Any:
        return round(point) if self.whole else float(f"{point:.{_DIGITS}g}")


@dataclass(frozen=True)
class Choices:
    """An axis of listed values of any kind."""

    key: str
    values: list[Any]

    @property
    def count(self) -> int:
        return len(self.values)

    def at(self, share: float) -> Any:
        """The value at a share of the list, 0 to 1."""
        return self.values[min(int(share * self.count), self.count - 1)]


def read_range(where: str, key: str, span: str, count: int, example: str) -> Axis:
    """`LOW:HIGH[:COUNT][:log]`; `count` where none is given. UsageError shows the grammar and the `example`."""
    parts = span.split(":")
    log = parts[-1] == "log"
    try:
        low, high = float(parts[0]), float(parts[1])
        count = int(parts[2]) if len(parts) - log > 2 else count
        finite = math.isfinite(low) and math.isfinite(high)
        if not (
            finite and low < high and 1 < count <= MAX_COUNT and len(parts) - log <= 3 and (low > 0 or not log)
        ):
            raise ValueError
    except (ValueError, IndexError):
        raise UsageError(
            f"{key}={span}: {RANGE} expected, as {example}; "
            f"LOW < HIGH, COUNT from 2 to {MAX_COUNT:,}, LOW above 0 for log",
            where,
        ) from None
    return Axis(key, low, high, count, log)


def read_choices(where: str, key: str, text: str) -> Choices:
    """`VALUE,VALUE,...` in YAML's notation. UsageError if it is not, is empty, or a value is there twice."""
    try:
        values = yaml.value(f"[{text}]")
    except ValueError as error:
        raise UsageError(f"{key}={text}: {error}", where) from None
    return listed(where, key, values)


def listed(where: str, key: str, values: list[Any]) -> Choices:
    """The axis of these values. UsageError if there is none, or one twice."""
    texts = [yaml.flow(value) for value in values]
    if not values or "" in texts:
        raise UsageError(f"{key}: at least one value expected, as optimizer.lr=0.01,0.1", where)
    if twice := [text for text in dict.fromkeys(texts) if texts.count(text) > 1]:
        raise UsageError(f"{key}: {', '.join(twice)} is there twice", where)
    return Choices(key, values)
