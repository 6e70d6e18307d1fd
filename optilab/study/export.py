"""All rows of all runs with their settings as one table: CSV and SQLite by the standard library, Parquet by pyarrow.

A row is an epoch of a run. The columns are the run, its state, every setting of its config by its dotted key, then the
epoch, the metrics and the seconds. In all formats numbers are numbers, a missing value is missing, and everything else
is text whose control characters are escaped.
"""

import contextlib
import csv
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, islice
from pathlib import Path
from time import time as clock
from typing import Any, Literal

from optilab import runs
from optilab.config.tree import flow
from optilab.errors import OptilabError, UsageError, printable, shown
from optilab.files import cell, no_directory, write_errors
from optilab.runs import Record, Row
from optilab.runs.record import MANIFEST
from optilab.study.groups import settings
from optilab.words import listed

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
        """For a trial with its study: `lr-study/0.1-s42`."""
        study = self.record.path.parent
        return f"{study.name}/{self.record.name}" if (study / runs.STUDY).is_file() else self.record.name

    def rows(self) -> list[Row]:
        """metrics.csv with `seconds`, how long each epoch took. DataError if a table is damaged."""
        rows = self.record.rows()
        timings = runs.read_timings(self.record.path / "timings.csv")
        took = {timing["epoch"]: timing["seconds"] for timing in timings}
        return [row | ({"seconds": took[row["epoch"]]} if row["epoch"] in took else {}) for row in rows]


@dataclass(frozen=True)
class Rows:
    """The whole table, which is read while it is written."""

    settings: Mapping[str, Kind]
    """The columns that are the same in all rows of a run."""
    metrics: Mapping[str, Kind]
    """Those that differ, which follow."""
    exported: Sequence[Exported]

    @property
    def columns(self) -> Mapping[str, Kind]:
        return {**self.settings, **self.metrics}

    def cells(self, written: Callable[[Any], Any] = lambda value: value) -> Iterator[list[Any]]:
        """The rows; a setting is `written` once for all rows of its run."""
        for one in self.exported:
            own = {"run": one.name, "state": one.record.state, **one.settings}
            same = {key: written(value(own.get(key), kind)) for key, kind in self.columns.items()}
            settings = [same[key] for key in self.settings]
            for row in one.rows():
                measured = (
                    value(row[key], kind) if key in row else same[key] for key, kind in self.metrics.items()
                )
                yield [*settings, *measured]


def gather(records: Sequence[Record], left_out: Mapping[str, str]) -> tuple[Rows, dict[str, str]]:
    """The table of these trainings, and for each run that cannot be read, besides those in `left_out`, the reason.

    UsageError if none can be.
    """
    exported, damaged = [], dict(left_out)
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
    return Rows(columns, {key: "INTEGER" if key == "epoch" else "REAL" for key in metrics}, exported), damaged


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
        raise UsageError(f"expected a name that ends in {listed(WRITERS, 'or')}, got {shown(str(path))}", "--out")
    if write is _parquet:
        require("pyarrow", "--out FILE.parquet", "export")
    return write


def require(package: str, what: str, extra: str) -> None:
    """UsageError that names the extra, if a package is not installed."""
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise UsageError(f"{what} needs {package}: pip install 'optilab[{extra}]'")


def require_free(path: Path, where: str, force: bool) -> None:
    """UsageError if there is something that would be overwritten, or no directory to write in."""
    if not path.parent.is_dir():
        raise UsageError(no_directory(path.parent), where)
    if path.is_dir():
        raise UsageError(f"{path} is a directory", where)
    if os.path.lexists(path) and os.path.lexists(path.parent / MANIFEST):
        raise UsageError(f"{path} is a file of a run or study", where)
    if not force and os.path.lexists(path):
        raise UsageError(f"{path} exists (--force)", where)


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
        writer.writerows(rows.cells(cell))  # which writes numbers as `cell` does


def _sqlite(path: Path, rows: Rows) -> None:
    import sqlite3

    names = _distinct(rows.columns)
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, rows.columns.values(), strict=True))
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE TABLE {TABLE} ({columns})")
        database.executemany(f"INSERT INTO {TABLE} VALUES ({', '.join('?' * len(names))})", rows.cells())


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
    source = rows.cells()
    with parquet.ParquetWriter(str(path), schema) as file:
        while batch := list(islice(source, _BATCH)):
            cells = zip(zip(*batch, strict=True), schema.types, strict=True)
            columns = [pyarrow.array(column, type=kind) for column, kind in cells]
            file.write_table(pyarrow.Table.from_arrays(columns, schema=schema))


WRITERS: dict[str, Callable[[Path, Rows], None]] = {".csv": _csv, ".parquet": _parquet, ".sqlite": _sqlite}


# --- TensorBoard and MLflow -----------------------------------------------------------------------------------


_PARAMS, _METRICS = 100, 1000
"""What one request of MLflow may hold."""
_PARAM_LENGTH = 6000


def require_tracker(package: str, folder: Path) -> None:
    """UsageError without the package, or if the directory holds something."""
    require(package, f"--{package} DIR", package)
    if re.match(r"\w\w+:/", str(folder)):
        wrong = f"expected a new directory, got the address {folder}"
        raise UsageError(wrong, f"--{package}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty directory", f"--{package}")


def tensorboard(folder: Path, exported: Sequence[Exported]) -> None:
    """Event files, one directory per run: every metric as a scalar, the settings as hyperparameters (HPARAMS)."""
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for one in exported:
        writer = EventFileWriter(str(folder / _safe(one.name)))
        rows, times = one.rows(), _times(one)
        writer.add_event(_settings(one.name, one.settings, times[0]))
        for row, time in zip(rows, times[1:], strict=True):
            writer.add_event(_scalars(row, time))
        writer.close()


class LiveEvents:
    """An event file in the directory of a training in progress: its settings, then the metrics of every epoch.

    Written by the thread of the training, so that each epoch is in the file at once and an error is raised here.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], first: int) -> None:
        """A new file, also for a training that is resumed: `first` is the epoch that comes next."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        now = clock()
        self._path = folder / f"events.out.tfevents.{now:.6f}.{os.getpid()}.optilab"
        events = [Event(wall_time=now, file_version="brain.Event:2"), _settings(folder.name, settings, now)]
        if first > 1:  # epochs that an older file has from here on are those of the stopped process
            log = SessionLog(status=SessionLog.START)
            events.insert(1, Event(wall_time=now, step=first, session_log=log))
        self._append(*events)

    def add(self, row: Row, seconds: float) -> None:
        """The metrics of an epoch, and the seconds that it took."""
        self._append(_scalars({**row, "seconds": seconds}, clock()))

    def _append(self, *events: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        with self._path.open("ab") as file:
            for event in events:
                RecordWriter(file).write(event.SerializeToString())


def _settings(name: str, settings: Mapping[str, Any], time: float) -> Any:
    """The event of a run's start, with its settings as hyperparameters."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    data = HParamsPluginData()
    data.session_start_info.group_name = printable(name)
    data.session_start_info.start_time_secs = time
    for key, value in settings.items():
        parameter = data.session_start_info.hparams[printable(key)]
        if isinstance(value, bool):
            parameter.bool_value = value
        elif isinstance(value, int | float):
            parameter.number_value = value
        else:
            parameter.string_value = printable(flow(value))
    start = Summary.Value(
        tag=metadata.SESSION_START_INFO_TAG,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return Event(wall_time=time, summary=Summary(value=[start]))


def _scalars(row: Row, time: float) -> Any:
    """The event of an epoch: every metric as a scalar."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=printable(key), simple_value=value) for key, value in _metrics(row)]
    return Event(wall_time=time, step=row["epoch"], summary=Summary(value=values))


def mlflow(folder: Path, exported: Sequence[Exported]) -> None:
    """A tracking store, FOLDER/mlflow.db: one run each, with its settings as parameters and its metrics by epoch."""
    import logging

    folder.mkdir(parents=True, exist_ok=True)
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    for name in ("alembic", "mlflow"):  # they report each step of making the database
        logging.getLogger(name).setLevel(logging.ERROR)
    client = MlflowClient(tracking_uri=f"sqlite:///{folder.absolute() / 'mlflow.db'}")
    experiment = client.create_experiment("optilab", artifact_location=(folder.absolute() / "artifacts").as_uri())
    for one in exported:
        rows, times = one.rows(), [round(1000 * time) for time in _times(one)]
        run = client.create_run(experiment, start_time=times[0], run_name=printable(one.name)).info.run_id
        texts = {_safe(key): printable(flow(value))[:_PARAM_LENGTH] for key, value in one.settings.items()}
        params = [Param(key, text) for key, text in texts.items()]
        metrics = [
            Metric(_safe(key), value, time, row["epoch"])
            for row, time in zip(rows, times[1:], strict=True)
            for key, value in _metrics(row)
        ]
        for start in range(0, len(params), _PARAMS):
            client.log_batch(run, params=params[start : start + _PARAMS])
        for start in range(0, len(metrics), _METRICS):
            client.log_batch(run, metrics=metrics[start : start + _METRICS])
        status = "FINISHED" if one.record.state == "done" else "FAILED"
        client.set_terminated(run, status, times[-1])


def _metrics(row: Row) -> list[tuple[str, float]]:
    return [(key, float(value)) for key, value in row.items() if key != "epoch"]


def _times(one: Exported) -> list[float]:
    """Seconds since 1970 of the start and of the end of each epoch, as if the run had never stopped."""
    try:
        start = datetime.fromisoformat(str(one.record.manifest.get("created"))).timestamp()
    except ValueError:
        start = 0.0
    return list(accumulate((float(row.get("seconds", 0.0)) for row in one.rows()), initial=start))


def _safe(name: str) -> str:
    """A name as both accept it, as a path too: letters, digits and `_ - . /`, and no way out of the directory."""
    parts = [re.sub(r"[^A-Za-z0-9_.-]", "_", part) for part in name.split("/")]
    return "/".join(re.sub(r"^\.+", "_", part) or "_" for part in parts)
