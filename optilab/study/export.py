"""All rows of all runs with their settings as one table: CSV and SQLite by the standard library, Parquet by pyarrow.

A row is an epoch of a run. The columns are the run, its state, every setting of its config by its dotted key, then the
epoch, the metrics and the seconds. In all formats numbers are numbers, a missing value is missing, and everything else
is text whose control characters are escaped.
"""

import contextlib
import csv
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from optilab import runs
from optilab.config.yaml import flow
from optilab.errors import OptilabError, UsageError, printable, shown
from optilab.runs import Record, Row
from optilab.runs.durable import write_errors
from optilab.runs.tables import cell
from optilab.study.groups import settings

TABLE = "rows"
"""Name of the table in a SQLite file."""
_BATCH = 20_000
Kind = Literal["INTEGER", "REAL", "TEXT"]


@dataclass(frozen=True)
class Exported:
    """What is exported of one run."""

    record: Record
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of a trial with its study: `lr-study/0.1-s42`."""
        study = self.record.path.parent
        return f"{study.name}/{self.record.name}" if (study / runs.STUDY).is_file() else self.record.name

    def rows(self) -> list[Row]:
        """metrics.csv with `seconds`, how long each epoch took. DataError if a table is damaged."""
        rows = self.record.rows()
        for row, timing in zip(rows, runs.read_timings(self.record.path / "timings.csv"), strict=False):
            row["seconds"] = timing["seconds"]
        return rows


@dataclass(frozen=True)
class Rows:
    """The whole table, which is read while it is written."""

    columns: Mapping[str, Kind]
    exported: Sequence[Exported]

    def __iter__(self) -> Iterator[list[Any]]:
        for one in self.exported:
            own = {"run": one.name, "state": one.record.state, **one.settings}
            shared = {key: value(own.get(key), kind) for key, kind in self.columns.items()}
            for row in one.rows():
                yield [value(row[key], kind) if key in row else shared[key] for key, kind in self.columns.items()]


def gather(records: Sequence[Record]) -> tuple[Rows, dict[str, str]]:
    """The table of these trainings, and for each run that cannot be read the reason. UsageError if none can be."""
    exported, damaged = [], dict[str, str]()
    metrics: dict[str, None] = {}
    for record in records:
        try:
            one = Exported(record, settings(record))
            metrics |= dict.fromkeys(key for row in one.rows() for key in row)
        except OptilabError as error:
            damaged[record.name] = str(error)
        else:
            exported.append(one)
    if not exported:
        reasons = "; ".join(damaged.values())
        raise UsageError(f"nothing to export: {reasons or 'no run yet'}")
    keys = dict.fromkeys(key for one in exported for key in one.settings if key not in metrics)
    columns: dict[str, Kind] = {"run": "TEXT", "state": "TEXT"}
    columns |= {key: _kind([one.settings[key] for one in exported if key in one.settings]) for key in keys}
    columns |= {key: "INTEGER" if key == "epoch" else "REAL" for key in metrics}
    return Rows(columns, exported), damaged


def _kind(values: Iterable[Any]) -> Kind:
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int}:
        return "INTEGER"
    return "REAL" if kinds and kinds <= {int, float} else "TEXT"


def value(given: Any, kind: Kind) -> Any:
    """A cell: a number, text in YAML's notation, or None."""
    if given is None:
        return None
    if kind == "TEXT":
        return printable(flow(given))
    return float(given) if kind == "REAL" else given


# --- files -------------------------------------------------------------------------------------------------


def writer_of(path: Path) -> Callable[[Path, Rows], None]:
    """What writes the format that the file's ending names. UsageError for another ending, or without its package."""
    if (write := WRITERS.get(path.suffix.lower())) is None:
        raise UsageError(
            f"the ending chooses the format, one of {', '.join(WRITERS)}; got {shown(path.name)}", "--to"
        )
    if write is _parquet:
        require("pyarrow", "--to FILE.parquet", "export")
    return write


def require(package: str, what: str, extra: str) -> None:
    """UsageError that names the extra, if a package is not installed."""
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise UsageError(f"{what} needs {package}: pip install 'optilab[{extra}]'")


def require_free(path: Path, where: str, force: bool) -> None:
    """UsageError if there is something that would be overwritten, or no folder to write in."""
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", where)
    if path.is_dir():
        raise UsageError(f"{path} is a directory", where)
    if not force and os.path.lexists(path):
        raise UsageError(f"{path} exists; choose another name, or add --force to replace it", where)


def write(path: Path, rows: Rows) -> None:
    """Write the table in the format of the file's ending: all of it or nothing, in the place of what is there."""
    temporary = path.with_name(f".{path.name}.tmp-{secrets.token_hex(4)}")
    try:
        with write_errors(path):
            writer_of(path)(temporary, rows)
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _csv(path: Path, rows: Rows) -> None:
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([cell(printable(key)) for key in rows.columns])
        writer.writerows([cell(entry) for entry in row] for row in rows)


def _sqlite(path: Path, rows: Rows) -> None:
    import sqlite3

    names = _distinct(rows.columns)
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, rows.columns.values(), strict=True))
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE TABLE {TABLE} ({columns})")
        database.executemany(f"INSERT INTO {TABLE} VALUES ({', '.join('?' * len(names))})", iter(rows))


def _distinct(keys: Iterable[str]) -> list[str]:
    """The keys as names of SQL, quoted; one that differs from another in case alone gets a number."""
    names: list[str] = []
    for key in map(printable, keys):
        name = key
        while name.lower() in (other.lower() for other in names):
            name = f"{key} {len(names)}"
        names.append(name)
    return ['"{}"'.format(name.replace('"', '""')) for name in names]


def _parquet(path: Path, rows: Rows) -> None:
    import pyarrow
    from pyarrow import parquet

    types = {"INTEGER": pyarrow.int64(), "REAL": pyarrow.float64(), "TEXT": pyarrow.string()}
    schema = pyarrow.schema([(printable(key), types[kind]) for key, kind in rows.columns.items()])
    source = iter(rows)
    with parquet.ParquetWriter(str(path), schema) as file:
        while batch := list(islice(source, _BATCH)):
            cells = zip(zip(*batch, strict=True), schema.types, strict=True)
            columns = [pyarrow.array(column, type=kind) for column, kind in cells]
            file.write_table(pyarrow.Table.from_arrays(columns, schema=schema))


WRITERS: dict[str, Callable[[Path, Rows], None]] = {".csv": _csv, ".parquet": _parquet, ".sqlite": _sqlite}
