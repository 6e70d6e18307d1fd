"""Operations as lines of Python."""

from collections.abc import Mapping, Sequence
from math import inf, nan, sqrt
from typing import Any

import numpy as np

from optilab.optimize.codegen.trace import Operation

OPERATORS = {
    "add": "{} + {}",
    "subtract": "{} - {}",
    "multiply": "{} * {}",
    "divide": "{} / {}",
    "power": "{} ** {}",
    "negative": "-{}",
    "copy": "{}",
    "reciprocal": "1.0 / {}",
    "greater": "{} > {}",
    "greater_equal": "{} >= {}",
    "less": "{} < {}",
    "less_equal": "{} <= {}",
    "equal": "{} == {}",
    "not_equal": "{} != {}",
}
SCALARS = OPERATORS | {
    "sqrt": "sqrt({})",
    "absolute": "abs({})",
    "where": "{1} if {0} else {2}",
    "sign": "(1.0 if {0} > 0 else -1.0 if {0} < 0 else 0.0)",
    "maximum": "{0} if {0} >= {1} or {0} != {0} else {1}",  # a NaN wins, as in NumPy
    "minimum": "{0} if {0} <= {1} or {0} != {0} else {1}",
    "logical_and": "{} and {}",
    "logical_or": "{} or {}",
    "logical_not": "not {}",
}
BOOLEAN = {op for op, text in SCALARS.items() if any(sign in text for sign in ("=", "<", ">"))} - {
    "sign",
    "maximum",
    "minimum",
} | {"logical_and", "logical_or", "logical_not"}
POWERS = {2: ("multiply", 2), 0.5: ("sqrt", 1), 1: ("copy", 1), -1: ("reciprocal", 1)}


def as_array_operation(operation: Operation) -> Operation:
    """NumPy computes x**2, x**0.5, x**1 and x**-1 of arrays by other operations; the one that it takes."""
    if operation.op == "power" and isinstance(operation.args[1], int | float) and operation.args[1] in POWERS:
        op, count = POWERS[operation.args[1]]
        return Operation(operation.name, op, operation.args[:1] * count)
    return operation


def text(arg: Any) -> str:
    """A name, or a number in parentheses where it is negative."""
    return arg if isinstance(arg, str) else f"({arg!r})" if arg < 0 else repr(arg)


def line(operation: Operation, templates: Mapping[str, str], function: str = "{}") -> str:
    """One assignment; an operation without a template is a call of NumPy's function, put into `function`."""
    args = [text(arg) for arg in operation.args]
    template = templates.get(operation.op)
    if template is None:
        called = f"np.{operation.op}({', '.join(args)})"
        return f"{operation.name} = {function.format(called)}"
    return f"{operation.name} = {template.format(*args)}"


def compiled(source: str) -> dict[str, Any]:
    """The names that the generated source defines."""
    names: dict[str, Any] = {"np": np, "sqrt": sqrt, "inf": inf, "nan": nan}
    exec(compile(source, "<traced step>", "exec"), names)  # only names and numbers of a trace are in the source
    return names


def listed(items: Sequence[Any]) -> str:
    """A tuple's inside: `a, b, `."""
    return "".join(f"{text(item)}, " for item in items)
