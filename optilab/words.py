"""Small words of sentences, each written once: counts, lists, times, settings."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from decimal import ROUND_HALF_UP, Decimal
from math import isfinite
from typing import Any

FEW, SEVERAL = 3, 6
"""Names that a sentence lists at most."""


def plural(count: int, noun: str) -> str:
    """1 seed, 20 seeds, 1,000 seeds, 2 remedies."""
    many = re.sub(r"(?<=[^aeiou])y$", "ie", noun) + "s"
    return f"{count:,} {noun if count == 1 else many}"


def of_key(count: int, key: str) -> str:
    """3 optimizers, or 3 values of lr."""
    return plural(count, key) if key in ("optimizer", "remedy") else f"{plural(count, 'value')} of {key}"


def percent(fraction: float) -> str:
    """84.1%."""
    return f"{points(fraction)}%"


def points(fraction: float, sign: str = "") -> str:
    """84.1, or with the sign "+" +84.1: a fraction in percent, or a difference in percentage points.

    A half is rounded up, as by hand: 0.5195 is 52.0 on every screen, and not 51.9 because it is stored as 0.51949999...
    """
    if not isfinite(fraction):
        return f"{fraction:{sign}.1f}"
    return f"{Decimal(f'{fraction:.12g}').scaleb(2).quantize(Decimal('0.1'), ROUND_HALF_UP):{sign}}"


def brief(name: str) -> str:
    """A label with numbers of three digits, unless these would be whole, as of 0.9996."""

    def rounded(number: re.Match[str]) -> str:
        short = f"{float(number[0]):.3g}"
        return number[0] if short.isdecimal() else short

    return re.sub(r"\d+\.\d{2,}", rounded, name)


def decimals(value: float) -> str:
    """Four decimals, as the study was published; four digits for a loss of millions."""
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"


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


def short_setting(value: Any) -> str:
    """A setting in a label; a wrapped rule is its name."""
    return f"{value:g}" if isinstance(value, float) else str(getattr(value, "name", value))


def setting(value: Any) -> str:
    """A setting as text; a rule or a schedule with its settings in parentheses."""
    if is_dataclass(value):  # a rule inside a rule, a schedule
        parts = [(f.name, getattr(value, f.name), f.default) for f in fields(value)]
        written = [(key, part) for key, part, default in parts if isinstance(part, int | float) or part != default]
        inside = ", ".join(f"{key} {setting(part)}" for key, part in written)
        return f"{getattr(value, 'name', '')} ({inside})" if inside else str(getattr(value, "name", ""))
    return f"{value:g}" if isinstance(value, float) else str(value)
