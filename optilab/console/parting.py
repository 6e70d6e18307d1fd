"""`optilab runs diff`: what sets two runs apart."""

from typing import Any

from optilab.runs import Record
from optilab.show import terminal
from optilab.show.table import Column, write
from optilab.study.groups import text
from optilab.study.parting import Pairs, Parting


def document(a: Record, b: Record, parting: Parting) -> dict[str, Any]:
    """In the document of `--json`."""
    first = parting.first
    return {
        "runs": [str(a.path), str(b.path)],
        "config": parting.config,
        "environment": parting.environment,
        "data": parting.data,
        "rows": parting.lengths,
        "equal_rows": parting.equal,
        "first": first and {"row": first.row, "values": first.values, "relative": first.relative},
        "causes": parting.causes,
    }


def show(a: Record, b: Record, parting: Parting) -> None:
    """What differs, where the rows part, and the cause."""
    sections = {"config": parting.config, "environment": parting.environment, "data": parting.data}
    rows = [row for section, pairs in sections.items() for row in _rows(section, pairs)]
    if rows:
        columns = [
            Column("key", "differs", left=True),
            Column("a", a.name, left=True),
            Column("b", b.name, left=True),
        ]
        write("table", columns, rows)
    if equal := [section for section, pairs in sections.items() if not pairs]:
        terminal.say(f"equal: {', '.join(equal)}")
    terminal.say()
    terminal.say(rows_in_words(parting, a.manifest["command"] == "train"))
    for number, cause in enumerate(parting.causes):
        terminal.say(f"{'also' if number else 'cause'}: {cause}", style=None if number else "bold")


def rows_in_words(parting: Parting, training: bool) -> str:
    """`rows: equal up to epoch 3; at epoch 4 train_loss 0.51234 and 0.51235, relative 2e-05`."""
    unit = "epoch" if training else "row"
    first, (one, other) = parting.first, parting.lengths
    if first is None:
        both = min(one, other)
        more = "" if one == other else f"; one has {one} {unit}s, the other {other}"
        return (
            f"rows: equal in all {both} {unit}s that both have{more}" if both else "rows: one of the runs has none"
        )
    before = f"equal up to {unit} {first.row - 1}; " if first.row > 1 else ""
    pairs = [f"{key} {_number(a)} and {_number(b)}" for key, (a, b) in list(first.values.items())[:3]]
    size = "" if first.relative is None else f", relative difference {first.relative:.1g}"
    return f"rows: {before}at {unit} {first.row} {', '.join(pairs)}{size}"


def _number(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _rows(section: str, pairs: Pairs) -> list[dict[str, str]]:
    prefix = "config." if section == "config" else ""
    return [{"key": prefix + key, "a": _value(a), "b": _value(b)} for key, (a, b) in pairs.items()]


def _value(value: Any) -> str:
    words = "-" if value is None else text(value) if not isinstance(value, str) else value
    return words if len(words) <= 40 else f"{words[:37]}..."
