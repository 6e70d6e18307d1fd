"""Axes of a map and of a sweep: `KEY=LOW:HIGH[:COUNT][:log]`, or in a sweep also `KEY=VALUE,VALUE,...`.

What was typed is split at its `=` by `config.study.read_axes`; `sweep.read_axis` and `maps.read_axis` choose the form.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from optilab.config import yaml
from optilab.config.problems import number_advice
from optilab.errors import UsageError, shown
from optilab.marks import RANGE
from optilab.optimize.objective import Floats
from optilab.optimize.own import USUAL

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
        """The setting at a fraction of the way from `low` to `high`, 0 to 1."""
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
        """The value at a fraction of the list, 0 to 1."""
        return self.values[min(int(share * self.count), self.count - 1)]


_NUMBER = r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
_SPAN = re.compile(
    rf"(?:(log[-_]?uniform|geomspace)|uniform|linspace|range)?[\[({{]?{_NUMBER}(?:\.\.+|[-,;:]|to|(?<=\s)){_NUMBER}"
    rf"(?:[,;:]\s*(\d+)\s*)?[\])}}]?"
)


def as_range(text: str) -> str:
    """`0.01:1` for two numbers that are written otherwise, as `0.01..1`, `[0.01, 1]` or `loguniform(0.01, 1)`, or
    `0.01:1:3:log` for a list of more; else nothing."""
    numbers = sorted(map(_number, text.strip("[]() ").split(",")))
    if numbers[2:] and numbers[0] < numbers[-1] < math.inf and not re.search(r",\s*([2-9]|\d\d+)[\])\s]*$", text):
        spacing = ":log" * (0 < numbers[0] <= numbers[-1] / 10)
        return f"{numbers[0]:g}:{numbers[-1]:g}:{len(numbers)}{spacing}"
    log, *parts = match.groups() if (match := _SPAN.fullmatch(text)) else ("",)
    return ":".join([*filter(None, parts), *["log"] * bool(log)])


def read_range(where: str, key: str, span: str, count: int) -> Axis:
    """`LOW:HIGH[:COUNT][:log]`; `count` where none is given. UsageError, which begins with `where`, for what is
    wrong."""
    *parts, last = span.split(":")
    log = last == "log"
    parts += [] if log else [last]
    named, (flag,) = key.removeprefix("algo."), re.findall(r"^(?:--\w+ )?", where)
    usual = _usual(named, parts[0])
    named = f"{flag}{named if re.fullmatch('[A-Za-z][A-Za-z0-9_.]*', named) else 'lr'}"
    usual = f"{named}={usual}"
    if not log and len(parts) == 4 and (wrong := [part for part in parts if _number(part) != _number(part)]):
        numbers = ":".join(part for part in parts if part not in wrong)
        said = "log is the last part" if "log" in wrong else f"{shown(wrong[0])} is not log"
        raise UsageError(f"{said}; write {named}={numbers}:log", where)
    if len(parts) < 2 and (written := as_range(span)):
        raise UsageError(f"expected {RANGE}; write {named}={written}", where)
    if len(parts) < 2 or len(parts) > 3:
        found = f"{len(parts)} numbers are too many" if parts[1:] else "the upper end is missing"
        found = found if span else "the range is missing"
        raise UsageError(f"{found}: expected {RANGE}, for example {usual}", where)
    for name, text in zip(("LOW", "HIGH"), parts, strict=False):
        if not math.isfinite(_number(text)):
            meant = [re.search(r"; write (\S+?),?( |$)", number_advice(one)) for one in parts]
            ends = [found[1] if found else one for found, one in zip(meant, parts, strict=True)]
            known = all(math.isfinite(_number(end)) for end in ends)
            instead = f"write {named}={':'.join([*ends, *['log'] * log])}" if known else f"for example {usual}"
            raise UsageError(f"expected a number for {name}, got {shown(text)}; {instead}", where)
    low, high = map(_number, parts[:2])
    if parts[2:]:
        if not parts[2].isdecimal() or not 1 < int(parts[2]) <= MAX_COUNT:
            example = f"{named}={parts[0]}:{parts[1]}:20"
            raise UsageError(
                f"{shown(parts[2])} is not a COUNT from 2 to {MAX_COUNT:,}; for example {example}", where
            )
        count = int(parts[2])
    if low >= high:
        rest = "".join(f":{part}" for part in (*parts[2:], *["log"] * log))
        turned = f"; write {named}={high:g}:{low:g}{rest}" if low > high else ""
        raise UsageError(f"LOW has to be less than HIGH, got {low:g} and {high:g}{turned}", where)
    if log and low <= 0:
        example = f"; for example {named}={high / 1000:g}:{high:g}:log" if high > 0 else ""
        raise UsageError(f"a log axis has to begin above 0, got {low:g}{example}", where)
    return Axis(key, low, high, count, log)


def _number(text: str) -> float:
    """A text as a number; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _usual(name: str, text: str) -> str:
    """`0.1:1`, a range for an example: from the number that was typed, where it is one above 0."""
    low = _number(text.partition(",")[0])
    if 0.5 < USUAL.get(name, 0) < 1:
        return f"{low if 0 <= low < 0.9 else 0:g}:0.9"
    low = low if 0 < low < math.inf else 0.1
    return f"{low:g}:{10 * low:g}"


def read_choices(where: str, key: str, text: str) -> Choices:
    """`VALUE,VALUE,...` in YAML's notation. UsageError if it is not, is empty, or a value is repeated."""
    try:
        values = yaml.value(f"[{text}]")
    except ValueError as error:
        parts = [] if re.search("[{:\"']", text) else re.findall(r"[^\s,;()\[\]]+", text)
        instead = f"values are separated by commas: --over {key}={','.join(parts)}" if parts else error
        raise UsageError(f"{text}: {instead}", where) from None
    return listed(where, key, values)


def listed(where: str, key: str, values: list[Any]) -> Choices:
    """The axis of these values. UsageError if there is none, or one twice."""
    texts = [yaml.flow(value) for value in values]
    if not values or "" in texts:
        raise UsageError(f"expected at least one value, as in --over {key}=0.01,0.1", where)
    if twice := [text for text in dict.fromkeys(texts) if texts.count(text) > 1]:
        raise UsageError(f"{', '.join(twice)} is repeated; remove one", where)
    return Choices(key, values)
