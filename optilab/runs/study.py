"""A study: a folder of trials that one command makes.

    runs/20261124-231207-sigmoid-sweep-91c07d4e/
      study.yaml     what was asked; `optilab sweep --config .../study.yaml` repeats it
      manifest.json  versions, times, status
      trials.csv     one row per trial that has ended, deterministic fields only
      timings.csv    seconds per trial, apart, so that trials.csv can be compared by bytes
      run.lock       held while a process makes the study
      0.1-unit-gain-s42-5f3a9c1e/  the run directory of each trial

trials.csv is an index of the run directories: a row that a kill prevented is made again from its directory, and so is
the whole file if it is damaged, as a power cut may leave it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from optilab.errors import CheckpointError, DataError, RunError
from optilab.runs.directory import first_manifest, publish, stage, taken
from optilab.runs.files import append, json_bytes, read_regular, write_atomic
from optilab.runs.lock import Lock, hold
from optilab.runs.names import timestamp
from optilab.runs.record import MANIFEST, STUDY, TRIALS, Study, read_study
from optilab.runs.tables import Row, table

_ASKED_BYTES = 1 << 20


@dataclass
class OpenStudy:
    """A study that this process writes; it holds the lock until `finish`."""

    path: Path
    manifest: dict[str, Any]
    lock: Lock = field(repr=False)
    rows: list[Row] = field(default_factory=list)
    """Those of trials.csv."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def asked(self) -> bytes:
        """The content of study.yaml."""
        return read_regular(self.path / STUDY, _ASKED_BYTES)

    def ask(self, asked: bytes, **facts: Any) -> None:
        """Record what is asked now, and facts of the manifest."""
        write_atomic(self.path / STUDY, asked)
        self.update(**facts)

    def update(self, **facts: Any) -> None:
        """Merge facts into the manifest."""
        self.manifest |= facts
        write_atomic(self.path / MANIFEST, json_bytes(self.manifest))

    def tabulate(self, rows: Iterable[Row]) -> None:
        """Make trials.csv these rows, with a column for every key."""
        self.rows = list(rows)
        columns = dict.fromkeys(key for row in self.rows for key in row)
        self.rows = [{key: row.get(key) for key in columns} for row in self.rows]
        write_atomic(self.path / TRIALS, table(self.rows))

    def add(self, row: Row, seconds: float) -> None:
        """Add the row of a trial that has ended, and the seconds that it took here."""
        if self.rows and row.keys() <= self.rows[0].keys():
            self.rows.append({key: row.get(key) for key in self.rows[0]})
            append(self.path / TRIALS, partial(table, self.rows[-1:]), flush=False)
        else:
            self.tabulate([*self.rows, row])
        timing = {"trial": row["trial"], "seconds": round(seconds, 3)}
        append(self.path / "timings.csv", partial(table, [timing]), flush=False)

    def finish(self, status: str) -> None:
        """Record how the study ended and release its lock."""
        try:
            self.update(status=status, finished=timestamp())
        finally:
            self.lock.release()


def open_study(folder: Path, name: str, asked: bytes, manifest: Mapping[str, Any]) -> OpenStudy:
    """A new study, or the one of that name and command, to be continued; its `asked` is then what it was asked before.

    RunError if the name is taken by anything else, or a process writes the study.
    """
    path = folder / name
    if path.exists() or path.is_symlink():
        _require_continuable(path, manifest["command"])
    else:
        files = {
            STUDY: asked,
            MANIFEST: json_bytes(first_manifest(name, {**manifest, "status": "running"})),
            "run.lock": b"",
        }
        publish(stage(folder, files), path)
    lock = hold(path)
    try:
        before = read_study(path)
        study = OpenStudy(path, before.manifest, lock, _rows(before))
        study.update(status="running")
    except BaseException:
        lock.release()
        raise
    return study


def _rows(study: Study) -> list[Row]:
    try:
        return study.trials()
    except DataError:
        return []


def _require_continuable(path: Path, command: str) -> None:
    if not path.is_symlink() and (path / STUDY).is_file():
        try:
            if read_study(path).manifest["command"] == command:
                return
        except CheckpointError as error:
            raise RunError(f"{error}; choose another --name") from None
    raise RunError(taken(path))
