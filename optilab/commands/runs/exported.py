"""All rows of all runs with their settings: one table, CSV or Parquet, or event files of TensorBoard.

A row is an epoch of a run. The columns are the run, its state, every setting of its config by its dotted key, then the
epoch, the metrics and the seconds. Numbers are numbers, a missing value is missing, and everything else is text whose
control characters are escaped.
"""

import contextlib
import csv
import os
import re
import secrets
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, Final, TypeAlias

from optilab import runs
from optilab.config import archive
from optilab.errors import OptilabError, UsageError, printable
from optilab.files import cell, write_errors
from optilab.judge.groups import settings
from optilab.proposals import flow
from optilab.runs import Record, Row
from optilab.runs.record import MANIFEST

ROW_GROUP: Final = 20_000
"""Rows of a Parquet file that are in memory together."""
SUFFIX: Final = ".optilab"
"""The end of the names of event files, by which an export knows its directory again."""
Kind: TypeAlias = type[int] | type[float] | type[str]


@dataclass(frozen=True)
class ExportedRun:
    """A run with its settings by dotted key."""

    record: Record
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The run's name, of a trial with its study: `lr-study/0.1-s42`."""
        study = self.record.path.parent
        return (
            f"{runs.name_of(study)}/{self.record.name}"
            if (study / runs.STUDY_FILE).is_file()
            else self.record.name
        )

    def rows(self) -> list[Row]:
        """metrics.csv with `seconds`, how long each epoch took. DataError if a table is damaged."""
        rows = self.record.rows()
        timings = runs.read_timings(self.record.path / "timings.csv")
        took = {timing["epoch"]: timing["seconds"] for timing in timings}
        return [row | ({"seconds": took[row["epoch"]]} if row["epoch"] in took else {}) for row in rows]


@dataclass(frozen=True)
class Rows:
    """The whole table, which is read while it is written."""

    columns: Mapping[str, Kind]
    runs: Sequence[ExportedRun]

    def cells(self, written: Callable[[Any], Any] = lambda value: value) -> Iterator[list[Any]]:
        """The rows; a setting is `written` once for all rows of its run."""
        for run in self.runs:
            same = {"run": run.name, "state": run.record.state, **run.settings}
            cells = {key: written(value(same.get(key), kind)) for key, kind in self.columns.items()}
            for row in run.rows():
                measured = {key: value(row[key], self.columns[key]) for key in row if key in self.columns}
                yield list({**cells, **measured}.values())


def gather(records: Sequence[Record], left_out: Mapping[str, str]) -> tuple[Rows, dict[str, str]]:
    """The table of these trainings, and for each run that cannot be read, besides those in `left_out`, the reason.

    UsageError if none can be.
    """
    exported, damaged = [], dict(left_out)
    metrics: dict[str, Kind] = {}
    for record in records:
        try:
            run = ExportedRun(record, settings(record))
            metrics |= {key: int if key == "epoch" else float for row in run.rows() for key in row}
        except OptilabError as error:
            damaged[record.name] = str(error)
        else:
            exported.append(run)
    if not exported:
        reasons = "; ".join(damaged.values())
        raise UsageError(f"nothing to export: {reasons or 'no run yet'}")
    keys = dict.fromkeys(key for run in exported for key in run.settings if key not in metrics)
    kinds = {key: _kind(run.settings.get(key) for run in exported) for key in keys}
    return Rows({"run": str, "state": str, **kinds, **metrics}, exported), damaged


def _kind(values: Iterable[Any]) -> Kind:
    kinds = {type(value) for value in values if value is not None}
    return int if kinds == {int} else float if kinds and kinds <= {int, float} else str


def value(setting: Any, kind: Kind) -> Any:
    """A cell: a number, text in YAML's notation, or None."""
    return None if setting is None else printable(flow(setting)) if kind is str else kind(setting)


# --- tables ------------------------------------------------------------------------------------------------


def table_file(file: str, force: bool) -> Path:
    """The path of a table to write. UsageError for what `output_file` refuses, without the package that its format
    needs, and where something would be overwritten."""
    path = new_file(file, (*WRITERS, archive.ENDING), force)
    if path.suffix.lower() == ".parquet":
        require("pyarrow", "--out FILE.parquet", "export")
    return path


def new_file(file: str, endings: tuple[str, ...], force: bool) -> Path:
    """The path of a file to write. UsageError for what `output_file` refuses, and where something would be
    overwritten."""
    path = runs.output_file(file, endings, "--out")
    if os.path.lexists(path) and os.path.lexists(path.parent / MANIFEST):
        raise UsageError(f"{path} is a file of a run or study", "--out")
    if not force and os.path.lexists(path):
        raise UsageError(f"{path} exists (--force)", "--out")
    return path


def require(package: str, feature: str, extra: str) -> None:
    """UsageError that names the extra, if a package is not installed."""
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise UsageError(f"{feature} needs {package}: pip install {package} (the extra {extra})")


def write(path: Path, rows: Rows) -> None:
    """Write the table in the format of the file's extension: all of it or nothing, in the place of what is there."""
    temporary = path.with_name(f".{path.name}.tmp-{secrets.token_hex(4)}")
    try:
        with write_errors(path):
            WRITERS[path.suffix.lower()](temporary, rows)
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _csv(path: Path, rows: Rows) -> None:
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([cell(printable(key)) for key in rows.columns])
        writer.writerows(rows.cells(cell))  # which writes numbers as `cell` does


def _parquet(path: Path, rows: Rows) -> None:
    import pyarrow
    from pyarrow import parquet

    types = {int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string()}
    schema = pyarrow.schema([(printable(key), types[kind]) for key, kind in rows.columns.items()])
    cells = rows.cells()
    with parquet.ParquetWriter(str(path), schema) as file:
        while batch := list(islice(cells, ROW_GROUP)):
            columns = zip(zip(*batch, strict=True), schema.types, strict=True)
            arrays = [pyarrow.array(column, type=kind) for column, kind in columns]
            file.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


WRITERS: dict[str, Callable[[Path, Rows], None]] = {".csv": _csv, ".parquet": _parquet}


# --- TensorBoard -------------------------------------------------------------------------------------------


def require_own(directory: Path) -> None:
    """UsageError without TensorBoard, for an address, or if the directory holds what no export has written."""
    expected = "expected a new directory, or one of an earlier export"
    if re.match(r"\w\w+:/", str(directory)):
        raise UsageError(f"{expected}, got the address {directory}", "--tensorboard")
    found = directory.rglob("*") if directory.is_dir() else [directory] if os.path.lexists(directory) else []
    if not all(path.is_dir() or path.name.endswith(SUFFIX) for path in found):
        raise UsageError(f"{expected}, got {directory}", "--tensorboard")
    require("tensorboard", "--tensorboard DIR", "tensorboard")


def tensorboard(directory: Path, exported: Sequence[ExportedRun]) -> None:
    """Event files, one directory per run, with the times of a run that never stopped: the settings as hyperparameters
    (HPARAMS), and every metric of an epoch as a scalar. A run that is there gets the rows that it lacks.
    """
    written = [_rows_written(directory / run.name, run) for run in exported]
    for run, count in zip(exported, written, strict=True):
        if not (count == len(rows := run.rows()) and (directory / run.name).is_dir()):
            _write_events(directory / run.name, run, rows, count)


def _write_events(directory: Path, run: ExportedRun, rows: Sequence[Row], written: int) -> None:
    """A new event file for the rows after those that are `written`."""
    from torch.utils.tensorboard import SummaryWriter  # slow to import
    from torch.utils.tensorboard.summary import hparams

    try:
        time = datetime.fromisoformat(run.record.manifest.get("created", "")).timestamp()
    except ValueError:
        time = 0.0
    # TensorBoard drops what older files have from this epoch on, such as the first metrics of a row.
    first = rows[written]["epoch"] if written else None
    with SummaryWriter(str(directory), purge_step=first, filename_suffix=SUFFIX) as log:
        if not written:
            numbers = (bool, int, float)
            texts = {key: item if isinstance(item, numbers) else flow(item) for key, item in run.settings.items()}
            for summary in hparams(texts, {}):  # type: ignore[no-untyped-call]
                log.file_writer.add_summary(summary)
        for number, row in enumerate(rows):
            time += row.get("seconds", 0.0)
            for key, item in _scalars(row) if number >= written else ():
                log.add_scalar(key, item, row["epoch"], time)


def _rows_written(directory: Path, run: ExportedRun) -> int:
    """The number of rows, from the first, that the event files of a run have. UsageError for those of another run."""
    if not directory.is_dir():
        return 0
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    events = EventAccumulator(str(directory), {SCALARS: 0})  # all of them
    events.Reload()
    found = {(tag, scalar.step): scalar.value for tag in events.Tags()[SCALARS] for scalar in events.Scalars(tag)}

    def is_written(row: Row) -> bool:
        return all(found.get((key, row["epoch"])) == array("f", [item])[0] for key, item in _scalars(row))

    count = len([*takewhile(is_written, run.rows())])
    if found and not count:
        raise UsageError(f"{directory} has the rows of another run", "--tensorboard")
    return count


def _scalars(row: Row) -> list[tuple[str, float]]:
    return [(key, item) for key, item in row.items() if key != "epoch"]
