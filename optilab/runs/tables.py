"""Rows as CSV and back (metrics.csv, timings.csv), records as lines of JSON and back (diagnostics.jsonl)."""

import contextlib
import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optilab.errors import DataError, shown

Row = dict[str, Any]


def _cell(value: Any) -> Any:
    """Numbers as `repr`; a text that a spreadsheet would run as a formula gets a leading apostrophe."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return repr(value) if isinstance(value, float) else "" if value is None else value


def table(rows: Sequence[Row], header: bool = True) -> bytes:
    """Rows as CSV; the columns are the keys of the first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header and rows:
        writer.writerow(rows[0])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def read_table(path: Path) -> list[Row]:
    """The complete lines of a CSV of ours; a torn last line is left out. DataError if one is damaged."""
    if not path.exists():
        return []
    text = path.read_bytes().decode("utf-8", "replace")
    lines = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(lines[0]):
            raise DataError(f"{path}:{number}: {len(lines[0])} cells expected, got {len(line)}")
        rows.append({key: _parse(cell, path, number) for key, cell in zip(lines[0], line, strict=True)})
    return rows


def _parse(cell: str, path: Path, number: int) -> Any:
    if "\ufffd" in cell or "\0" in cell:
        raise DataError(f"{path}:{number}: damaged: {shown(cell)}")
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(cell)
    return cell or None


def best(rows: Sequence[Mapping[str, Any]]) -> Row:
    """The row with the highest validation accuracy, the first of equals."""
    return dict(max(rows, key=lambda row: (row["val_acc"], -row["epoch"])))


def record_line(record: Row) -> bytes:
    """One line of diagnostics.jsonl."""
    return (json.dumps(record, allow_nan=False) + "\n").encode()


def read_records(path: Path) -> list[Row]:
    """The whole lines of a run's diagnostics.jsonl; what a kill tore is left out."""
    file = path / "diagnostics.jsonl"
    records = []
    for line in file.read_bytes().splitlines() if file.is_file() else []:
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("epoch"), int):
                records.append(record)
    return records
