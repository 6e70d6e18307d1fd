"""Small words of sentences, each written once: counts, lists, times, settings."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from optilab.numbers import digits

FEW, SEVERAL = 3, 6
"""Names that a sentence lists at most."""


def plural(count: int, noun: str) -> str:
    """1 seed, 20 seeds, 1,000 seeds, 2 remedies."""
    many = re.sub(r"(?<=[^aeiou])y$", "ie", noun) + "s"
    return f"{count:,} {noun if count == 1 else many}"


def of_key(count: int, key: str) -> str:
    """3 optimizers, or 3 values of lr."""
    return plural(count, key) if key in ("optimizer", "remedy") else f"{plural(count, 'value')} of {key}"


def listed(names: Iterable[Any], last: str = "and") -> str:
    """a, a and b, or a, b and c."""
    *before, end = map(str, names)
    return f"{', '.join(before)} {last} {end}" if before else end


def some(names: Sequence[str], most: int) -> str:
    """a, b, or of more than `most` the first: a, b, 3 more."""
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def ranges(numbers: Iterable[int], most: int) -> str:
    """42 to 46, 50: rising whole numbers, at most `most` stretches of them."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return some([" to ".join(map(str, part)) for part in parts], most)


def duration(seconds: float) -> str:
    """1:03, or 2:01:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def pace(epochs: float, seconds: float) -> str:
    """3.1 epochs/s, or 38.8 s/epoch below one epoch per second."""
    speed = epochs / seconds if seconds else 0.0
    return f"{1 / speed:.1f} s/epoch" if 0 < speed < 1 else f"{speed:.1f} epochs/s"


def settings_text(rule: Any) -> str:
    """`lr 0.2   beta1 0.9   ...`: every hyperparameter of a rule, a dataclass."""
    return "   ".join(f"{f.name} {setting(getattr(rule, f.name))}" for f in fields(rule))


PLACEMENTS = ("eps_placement",)
"""Settings that say where a tiny number stands."""


def main_settings_text(rule: Any) -> str:
    """`settings_text` without the parts that are off by default and the places of tiny numbers."""
    settings = [(f.name, getattr(rule, f.name), f.default) for f in fields(rule)]
    is_off = {name for name, value, default in settings if value == default and not value}
    shown = [(name, value) for name, value, _ in settings if name not in is_off and name not in PLACEMENTS]
    return "   ".join(f"{name} {setting(value)}" for name, value in shown)


def short_setting(value: Any) -> str:
    """A setting in a label; a wrapped rule is its name."""
    return digits(getattr(value, "name", value))


def setting(value: Any) -> str:
    """A setting as text; a rule or a schedule with its settings in parentheses."""
    if is_dataclass(value):  # a rule inside a rule, a schedule
        parts = [(f.name, getattr(value, f.name), f.default) for f in fields(value)]
        written = [(key, part) for key, part, default in parts if isinstance(part, int | float) or part != default]
        inside = ", ".join(f"{key} {setting(part)}" for key, part in written)
        return f"{getattr(value, 'name', '')} ({inside})" if inside else str(getattr(value, "name", ""))
    return digits(value)
