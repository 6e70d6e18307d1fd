"""Reading the tables of a run (metrics.csv, timings.csv), and its records as lines of JSON (diagnostics.jsonl)."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optilab.errors import DataError, shown
from optilab.files import NUMBER, Row, read_ends, read_regular, text_of
from optilab.runs.metrics import metric_of

COLUMNS = ("epoch", "train_loss", "train_acc", "val_loss", "val_acc")
"""Columns of metrics.csv of a training of any version; metrics that were added later may be missing."""
TIMINGS = ("epoch", "seconds")

_TABLE_BYTES = 256 << 20
_RECORDS_BYTES = 1 << 30
_LONGEST_LINE = 64 << 10


def read_table(path: Path) -> list[Row]:
    """The complete lines of a table that `files.table` wrote, without a torn last line; no rows if there is no file.

    Raises DataError, with the line, if the table is damaged or holds a number that is not finite.
    """
    try:
        return _rows(path, read_regular(path, _TABLE_BYTES))
    except FileNotFoundError:
        return []


def read_last_row(path: Path) -> Row | None:
    """The last complete row of a table of any length, without those before it; None if there is no row or no file.

    Raises DataError if the header or that row is damaged.
    """
    try:
        rows = _rows(path, read_ends(path, _LONGEST_LINE))
    except FileNotFoundError:
        return None
    except DataError:
        rows = read_table(path)  # which knows the line
    return rows[-1] if rows else None


def _rows(path: Path, content: bytes) -> list[Row]:
    text = content.decode("utf-8", "replace")
    lines = csv.reader(io.StringIO(text[: text.rfind("\n") + 1]))
    header: list[str] = []
    rows: list[Row] = []
    try:
        for cells in lines:
            if not header:
                header = [text_of(cell) or "" for cell in cells]
            elif len(cells) != len(header):
                raise DataError(f"{path}:{lines.line_num}: expected {len(header)} cells, got {len(cells)}")
            else:
                numbers = [_parse(cell, path, lines.line_num) for cell in cells]
                rows.append(dict(zip(header, numbers, strict=True)))
    except csv.Error as error:  # a cell of megabytes, for one
        raise DataError(f"{path}:{lines.line_num}: damaged: {error}") from None
    return rows


def read_metrics(path: Path) -> list[Row]:
    """metrics.csv of a training: numbers, one row per epoch from 1 on. Raises DataError if it is anything else."""
    rows = _numbers(path, COLUMNS)
    for epoch, row in enumerate(rows, start=1):
        if row["epoch"] != epoch:
            raise DataError(f"{path}:{epoch + 1}: expected epoch {epoch}, got {row['epoch']}")
    return rows


def read_timings(path: Path) -> list[Row]:
    """timings.csv of a training: the seconds that each epoch took. Raises DataError if it is anything else."""
    return _numbers(path, TIMINGS)


def _numbers(path: Path, columns: Sequence[str]) -> list[Row]:
    rows = read_table(path)
    if rows and (absent := [name for name in columns if name not in rows[0]]):
        raise DataError(
            f"{path}:1: no column {', '.join(absent)}; the columns are {', '.join(map(shown, rows[0]))}"
        )
    for line, row in enumerate(rows, start=2):
        for name, value in row.items():
            if type(value) not in (int, float):
                raise DataError(f"{path}:{line}: {shown(name)}: expected a number, got {shown(value)}")
    return rows


def _parse(cell: str, path: Path, line: int) -> Any:
    if not NUMBER.fullmatch(cell):
        if "\ufffd" in cell or "\0" in cell:
            raise DataError(f"{path}:{line}: damaged: {shown(cell)}")
        return text_of(cell)
    if not math.isfinite(number := float(cell)):
        raise DataError(f"{path}:{line}: expected a finite number, got {shown(cell)}")
    return number if "." in cell or "e" in cell or "E" in cell else int(cell)


def best(rows: Sequence[Mapping[str, Any]]) -> Row:
    """The row with the highest validation accuracy; on a tie, the first.

    A loop that was watched may have none: its lowest validation loss counts then, or its lowest training loss.
    """
    key = best_column(rows)
    sign = metric_of(key).sign
    return dict(max((row for row in rows if key in row), key=lambda row: (sign * row[key], -row["epoch"])))


def best_column(rows: Sequence[Mapping[str, Any]]) -> str:
    """The column by which epochs are compared: `val_acc`, or the nearest that there is."""
    return next((key for key in ("val_acc", "val_loss") if any(key in row for row in rows)), "train_loss")


def outcome(rows: Sequence[Mapping[str, Any]]) -> Row:
    """A training in one row: epochs done, last metrics, the best epoch; None in place of what no epoch has."""
    last = rows[-1] if rows else dict.fromkeys(COLUMNS)
    top = best(rows) if rows else {"epoch": None, "val_acc": None}
    metrics = {key: value for key, value in last.items() if key != "epoch"}
    return {"epochs": len(rows), **metrics, "best_epoch": top["epoch"], "best_val_acc": top.get("val_acc")}


def json_line(record: Row) -> bytes:
    """One line of diagnostics.jsonl."""
    return (json.dumps(record, allow_nan=False) + "\n").encode()


def read_diagnostics(path: Path) -> list[Row]:
    """The diagnostics.jsonl of the run at `path`: what diagnostics saw before the training, and in each epoch."""
    records = read_lines(path / "diagnostics.jsonl")
    for number, record in enumerate(records, start=1):
        if not isinstance(record.get("epoch"), int):
            raise DataError(f"{path / 'diagnostics.jsonl'}:{number}: damaged: expected the record of an epoch")
    return records


def read_lines(path: Path) -> list[Row]:
    """The mappings in the lines of a file, without a last line that a kill tore; none without a file.

    DataError, with the line, if one is damaged.
    """
    try:
        content = read_regular(path, _RECORDS_BYTES)
    except FileNotFoundError:
        return []
    records = []
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise DataError(f"{path}:{number}: damaged: expected a mapping in one line of JSON")
        records.append(record)
    return records
