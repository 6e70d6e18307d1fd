"""Axes of a map and of a sweep: `KEY=LOW:HIGH[:COUNT][:log]`, or in a sweep also `KEY=VALUE,VALUE,...`.

What was typed is split at its `=` by `config.study.read_axes`; `sweep.read_axis` and `read_map_axis` choose the form.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from optilab.annotations import RANGE
from optilab.config.tree import value
from optilab.errors import UsageError, shown
from optilab.optimize.formula import outside_brackets
from optilab.optimize.objective import Floats
from optilab.proposals import flow

MAX_COUNT = 100_000
CELLS = 200
"""Cells along an axis of a map whose range has no COUNT."""
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
    """Its values are rounded to whole numbers."""

    @property
    def points(self) -> Floats:
        """(count,) numbers."""
        import numpy as np

        space = np.geomspace if self.log else np.linspace
        return np.asarray(space(self.low, self.high, self.count))

    @property
    def values(self) -> list[Any]:
        """The points as settings, each once."""
        return list(dict.fromkeys(map(self.setting, self.points.tolist())))

    def at(self, fraction: float) -> Any:
        """The setting at a fraction of the way from `low` to `high`, 0 to 1."""
        if self.log:
            return self.setting(
                math.exp(math.log(self.low) + fraction * (math.log(self.high) - math.log(self.low)))
            )
        return self.setting(self.low + fraction * (self.high - self.low))

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

    def at(self, fraction: float) -> Any:
        """The value at a fraction of the list, 0 to 1."""
        return self.values[min(int(fraction * self.count), self.count - 1)]


def read_range(where: str, key: str, span: str, count: int) -> Axis:
    """`LOW:HIGH[:COUNT][:log]`; `count` where none is given. UsageError, at `where`, for anything else."""
    *parts, last = span.split(":")
    log = last == "log"
    parts += [] if log else [last]
    ends = [*map(_number, parts[:2])]
    if not 2 <= len(parts) <= 3 or not all(map(math.isfinite, ends)):
        raise UsageError(f"expected {RANGE}, got {shown(span)}", where)
    if parts[2:]:
        if not parts[2].isdecimal() or not 1 < int(parts[2]) <= MAX_COUNT:
            raise UsageError(f"expected a COUNT from 2 to {MAX_COUNT:,}, got {shown(parts[2])}", where)
        count = int(parts[2])
    low, high = ends
    if low >= high:
        raise UsageError(f"expected LOW < HIGH, got {low:g} and {high:g}", where)
    if log and low <= 0:
        raise UsageError(f"expected LOW > 0 on a log axis, got {low:g}", where)
    return Axis(key, low, high, count, log)


def read_map_axis(flag: str, text: str) -> Axis:
    """`algo.lr=0.01:2:1000`: a field of the rule (`lr` is short for `algo.lr`), or a coordinate of the start, `w1`.

    UsageError if it is not a range.
    """
    key, equals, span = text.partition("=")
    if not equals or not key:
        raise UsageError(f"expected {RANGE}, got {shown(text)}", flag)
    key = key if key.startswith("algo.") or re.fullmatch(r"w\d+", key) else f"algo.{key}"
    return read_range(f"{flag} {key}", key, span, CELLS)


def _number(text: str) -> float:
    """A text as a number; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def read_choices(where: str, key: str, text: str) -> Choices:
    """`VALUE,VALUE,...` in YAML's notation. UsageError if it is not, or is empty."""
    try:
        parts = outside_brackets(text)
        if not all(map(str.strip, parts)):
            raise ValueError("a part is empty")
        values = list(map(value, parts))
    except ValueError:
        raise UsageError(f"expected {RANGE} or KEY=VALUE,VALUE, got {shown(text)}", where) from None
    return choices_of(where, key, values)


def choices_of(where: str, key: str, values: list[Any]) -> Choices:
    """The axis of these values. UsageError if there is none."""
    texts = [flow(item) for item in values]
    if not values or "" in texts:
        raise UsageError("expected at least one value, and none that is empty", where)
    return Choices(key, values)
