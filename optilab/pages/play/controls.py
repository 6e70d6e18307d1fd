"""The slider of a hyper-parameter: its range, and how positions on it become values."""

from dataclasses import dataclass, fields
from math import floor, log10
from typing import Any, Literal, get_args, get_origin, get_type_hints

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt

from optilab.optimize import Rule

Scale = Literal["linear", "log", "zero-log", "to-one"]
"""How the positions 0 to 1 become values.

linear: evenly. log: evenly in the logarithm. zero-log: 0 at the left end, then as log. to-one: from 0 towards 1, evenly
in the logarithm of the distance from 1.
"""


@dataclass(frozen=True)
class Control:
    """A slider from `low` to `high` at `value`. A number that is typed may lie beyond the ends, inside `accepted`."""

    name: str
    value: float
    scale: Scale
    low: float
    high: float
    accepted: tuple[float | None, bool, float | None, bool]
    """Smallest value, whether it is excluded, largest value, whether it is excluded; None: no limit."""
    doc: str


@dataclass(frozen=True)
class Choice:
    """A hyper-parameter that is one of several words, or on or off."""

    name: str
    value: Any
    options: tuple[Any, ...]
    doc: str


def numbers(rule: Rule) -> list[str]:
    """The fields of a rule that a slider can move."""
    return [
        field.name
        for field in fields(rule)  # type: ignore[arg-type]
        if isinstance(getattr(rule, field.name), float) or _may_be_real(rule, field.name)
    ]


def _may_be_real(rule: Rule, name: str) -> bool:
    value = getattr(rule, name)
    return type(value) is int and float in get_args(_hints(rule)[name][0])


def _hints(rule: Rule) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """The type and the annotations of every field."""
    hints = get_type_hints(type(rule), include_extras=True)
    parts = {name: get_args(hint) if get_origin(hint) is not None else (hint,) for name, hint in hints.items()}
    return {
        name: (parts[name][0], parts[name][1:]) if hasattr(hint, "__metadata__") else (hint, ())
        for name, hint in hints.items()
    }


def _doc(annotations: tuple[Any, ...]) -> str:
    return next((note.documentation for note in annotations if isinstance(note, Doc)), "")


def choices(rule: Rule) -> list[Choice]:
    """The fields of a rule that are words or switches."""
    found = []
    for name, (kind, annotations) in _hints(rule).items():
        options = (False, True) if kind is bool else get_args(kind) if get_origin(kind) is Literal else ()
        if len(options) > 1 and hasattr(rule, name):
            found.append(Choice(name, getattr(rule, name), tuple(options), _doc(annotations)))
    return found


def control(rule: Rule, name: str, limit: float | None = None) -> Control:
    """The slider of one field; `limit`: the largest stable learning rate where it is known."""
    value = float(getattr(rule, name))
    annotations = _hints(rule)[name][1]
    bounds: dict[type, float] = {
        kind: float(getattr(note, kind.__name__.lower()))
        for note in annotations
        for kind in (Gt, Ge, Lt, Le)
        if isinstance(note, kind)
    }
    least, most = bounds.get(Gt, bounds.get(Ge)), bounds.get(Lt, bounds.get(Le))
    scale, low, high = _range(value, least, Gt in bounds or name == "lr", most, Lt in bounds, limit)
    return Control(name, value, scale, low, high, (least, Gt in bounds, most, Lt in bounds), _doc(annotations))


def _range(
    value: float, least: float | None, positive: bool, most: float | None, below: bool, limit: float | None
) -> tuple[Scale, float, float]:
    """Scale, low and high of a slider with room on both sides of `value`."""
    if limit is not None and value > 0:  # the limit of stability in the right half
        return "log", rounded(min(value / 10, limit / 100)), rounded(max(3 * value, 5 * limit))
    if least == 0 and most == 1 and below and not positive:
        return "to-one", 0.0, max(0.99 if value <= 0.9 else 0.999 if value <= 0.99 else 0.9999, value)
    if least is not None and most is not None:
        inset = (most - least) / 200
        return "linear", least + inset * positive, most - inset * below
    if least and value > least:
        return "linear", least + (value - least) / 50, least + 5 * (value - least)
    if positive and value > 0:
        return "log", rounded(value / 100), rounded(value * 30)
    if least == 0 or value == 0:
        return "zero-log", rounded(value / 1e4) if value else 1e-4, rounded(value * 100) if value else 1.0
    return "linear", value - 2 * abs(value), value + 2 * abs(value)


def rounded(value: float) -> float:
    """The nearest number with one digit: the end of a scale."""
    exponent = floor(log10(value))
    return float(f"{round(value / 10.0**exponent)}e{exponent}")
