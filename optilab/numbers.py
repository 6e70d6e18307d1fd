"""How numbers are written: every rule for it that is more than a count of digits."""

import re
from collections.abc import Sequence
from math import isfinite
from typing import Any


def digits(value: Any, count: int = 6) -> str:
    """A float, or the floats of a point, with at most `count` digits; any other value as it is."""
    if isinstance(value, list):
        return point(value, count)
    return f"{value:.{count}g}" if isinstance(value, float) else str(value)


def point(values: Sequence[Any], count: int = 6, most: int = 100) -> str:
    """(0.1, 2), or of more than `most` coordinates the first: (0.1, 2, ...)."""
    rest = ["..."] if len(values) > most else []
    return f"({', '.join([*(digits(value, count) for value in values[:most]), *rest])})"


def exact(value: float) -> str:
    """The shortest digits that give the number back."""
    short = f"{value:.15g}"
    return short if float(short) == value else repr(value)


def decimals(value: float) -> str:
    """Four decimals, as the study was published; four digits for a loss of millions."""
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"


def column(value: float) -> str:
    """Six decimals for a number between 1e-3 and 1e7, else the exponent form."""
    return f"{value:.6f}" if value == 0 or 1e-3 <= abs(value) < 1e7 else f"{value:.5e}"


def bound(value: float) -> str:
    """A limit: 1,000, or 0.5."""
    return f"{value:,}" if isinstance(value, int) else digits(value)


def thousands(value: float) -> str:
    """Three digits, or all of a whole number of thousands."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def exponent(value: float | None) -> str:
    """3.21e-05, or none."""
    return "none" if value is None else f"{value:.2e}"


def power(value: float) -> str:
    """One digit and its exponent, 2e-5, where there is no room for more."""
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+") if value else "0"


def ratio(value: float) -> str:
    """A ratio with two decimals; near 1 with four, where two would round it to 1.00."""
    return f"{value:.3g}" if value >= 1e4 else f"{value:.{4 if abs(value - 1) < 0.005 else 2}f}"


def p_value(value: float) -> str:
    """0.042, or <0.001."""
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def brief(label: str) -> str:
    """A label with numbers of three digits, unless these would be whole, as of 0.9996."""

    def rounded(number: re.Match[str]) -> str:
        short = f"{float(number[0]):.3g}"
        return number[0] if short.isdecimal() else short

    return re.sub(r"\d+\.\d{2,}", rounded, label)


# --- fractions ----------------------------------------------------------------------------------------------


def percent(fraction: float) -> str:
    """84.1%."""
    return f"{points(fraction)}%"


def short_percent(fraction: float) -> str:
    """84.1%, and 95% of 0.95."""
    return f"{100 * fraction:.4g}%"


def points(fraction: float, sign: str = "") -> str:
    """84.1, or with the sign "+" +84.1: a fraction in percent, or a difference in percentage points.

    A half is rounded up, as by hand: 0.5195 is 52.0 on every screen, and not 51.9 because it is stored as 0.51949999...
    """
    if not isfinite(fraction):
        return f"{fraction:{sign}.1f}"
    from decimal import ROUND_HALF_UP, Decimal

    return f"{Decimal(f'{fraction:.12g}').scaleb(2).quantize(Decimal('0.1'), ROUND_HALF_UP):{sign}}"


def whole_percents(ends: tuple[float, float]) -> str:
    """An interval of fractions, in whole percent."""
    return f"{100 * ends[0]:.0f} to {100 * ends[1]:.0f}"


class Units:
    """The format of outcomes and their differences: fractions in percent, other numbers with four digits."""

    def __init__(self, is_fraction: bool) -> None:
        self.is_fraction = is_fraction

    def value(self, value: float) -> str:
        return percent(value) if self.is_fraction else f"{value:.4g}"

    def spread(self, value: float) -> str:
        return points(value) if self.is_fraction else f"{value:.3g}"

    def interval(self, ends: tuple[float, float]) -> str:
        low, high = (min(1.0, max(0.0, end)) for end in ends) if self.is_fraction else ends
        return f"{self.spread(low)} to {self.spread(high)}" if self.is_fraction else f"{low:.4g} to {high:.4g}"

    def difference(self, value: float) -> str:
        text = points(value, "+") if self.is_fraction else f"{value:+.3g}"
        return text if float(text) else text[1:]  # no sign of a zero

    def differences(self, ends: tuple[float, float]) -> str:
        cut = (min(1.0, max(-1.0, end)) for end in ends) if self.is_fraction else ends
        return " to ".join(map(self.difference, cut))

    def distance(self, value: float) -> str:
        return f"{points(value)} percentage points" if self.is_fraction else f"{value:.3g}"
