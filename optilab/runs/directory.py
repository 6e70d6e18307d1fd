"""A run directory: claimed by one rename, committed epoch by epoch, readable at any moment.

    runs/20261124-143512-sigmoid-1c2d/
      config.yaml      resolved; `optilab train --config .../config.yaml` repeats the run
      manifest.json    versions, seed, digests, times, status
      metrics.csv      one row per epoch, deterministic fields only
      timings.csv      seconds per epoch, apart, so that metrics can be compared by bytes
      diagnostics.jsonl  what every layer did, one line per epoch
      checkpoints/     000104.<first 16 hex digits of its SHA-256>.ckpt: the last two and the best
      run.lock         held while a process writes; its holder, not a status, says that a run is alive

A directory appears complete or not at all. A checkpoint is on the disk before its row is, and the row before
anybody is told. A status `running` with nobody holding the lock is an interrupted run.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from optilab.errors import CheckpointError, DataError, RunError, SystemFailure, UsageError, shown
from optilab.runs.files import append, json_bytes, sync_directory, telling, write_atomic, write_new
from optilab.runs.lock import WAIT_SECONDS, hold, is_held
from optilab.runs.tables import Row, read_records, read_table, record_line, table

SCHEMA_VERSION = 1
STUDY = "study.json"
"""Marks a folder of runs among the runs."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
_CHECKPOINT = re.compile(r"(\d{6,})\.([0-9a-f]{16})\.ckpt")
_HIDDEN = re.compile(r"\.(new|old)-[0-9a-f]{16}")
_LEFTOVER_SECONDS = 3600.0  # a directory is made or removed in less


# --- names and places --------------------------------------------------------------------------------------


def run_name(given: str) -> str:
    """A name that is safe as a path, in a shell, in a spreadsheet and in HTML; else ValueError."""
    if _NAME.fullmatch(given) and not given.endswith(".") and given.split(".")[0].lower() not in _RESERVED:
        return given
    accepted = "1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit"
    raise ValueError(f"{accepted}, and no name that Windows reserves; got {shown(given)}")


def root(given: str | None) -> Path:
    """Where runs are kept: `--runs-dir`, else OPTILAB_RUNS, else ./runs."""
    return Path(given or os.environ.get("OPTILAB_RUNS") or "runs")


def new_name(label: str) -> str:
    """A name that sorts by time (UTC) and that no other process picks: 20261124-143512-LABEL-1c2d."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{label[:40]}-{secrets.token_hex(2)}"


def chosen_name(given: str | None, label: str) -> str:
    """The name of a new run: the one given by `--name`, checked, or a new one. UsageError if it is not a name."""
    if given is None:
        return new_name(label)
    try:
        return run_name(given)
    except ValueError as error:
        raise UsageError(f"--name: {error}") from None


def require_free(path: Path) -> None:
    """RunError if a run of that name exists; a claim checks again, this only answers sooner."""
    if path.exists() or path.is_symlink():
        raise RunError(_taken(path))


def locate(folder: Path, name: str) -> Path:
    """The directory of a run, given as its name or as a path to it; RunError names the nearest where none is."""
    path = Path(name)
    if (path / "manifest.json").is_file() and not path.is_symlink():
        return path
    try:
        run_name(name)
    except ValueError as error:
        raise UsageError(f"run name: {error}") from None
    path = folder / name
    if path.is_symlink():
        raise RunError(f"{path} is a link; a run is a directory")
    if path.is_dir():
        return path
    known = [p.name for p in directories(folder)]
    close = get_close_matches(name, known, n=3, cutoff=0.4)
    advice = f"; nearest: {', '.join(close)}" if close else "; `optilab runs ls` lists them"
    raise RunError(f"no run {shown(name)} in {folder}{advice}")


def directories(folder: Path) -> list[Path]:
    """What may be runs, by name; hidden ones are being made or removed, a study's folder holds runs itself."""
    if not folder.is_dir():
        return []
    found = (p for p in folder.iterdir() if p.is_dir() and not p.is_symlink() and not p.name.startswith("."))
    return sorted(p for p in found if not (p / STUDY).exists())


# --- writing -----------------------------------------------------------------------------------------------


@dataclass
class Run:
    """A run that this process writes; it holds the lock until `release`."""

    path: Path
    manifest: dict[str, Any]
    lock: Any = field(repr=False)

    @property
    def name(self) -> str:
        return self.path.name

    def commit(
        self,
        row: Row,
        seconds: float,
        checkpoint: bytes | None = None,
        best: int | None = None,
        record: Row | None = None,
    ) -> None:
        """One epoch: the checkpoint, then its row. What this returns from survives a kill at any later moment.

        `best` is the epoch whose checkpoint is worth keeping beside the last two, `record` what diagnostics saw.
        """
        if record:  # first: a resume drops what is ahead of the checkpoint, and could not make what is missing
            append(self.path / "diagnostics.jsonl", lambda first: record_line(record))
        if checkpoint is not None:
            digest = hashlib.sha256(checkpoint).hexdigest()[:16]
            write_atomic(self.path / "checkpoints" / f"{row['epoch']:06d}.{digest}.ckpt", checkpoint)
        timing = {"epoch": row["epoch"], "seconds": round(seconds, 6)}
        for name, cells in (("metrics.csv", row), ("timings.csv", timing)):
            append(self.path / name, partial(table, [cells]))
        if checkpoint is not None:
            self._prune(best)

    def rewind(self, rows: Sequence[Row]) -> None:
        """Make the tables end where a checkpoint does; rows that a kill tore or left ahead of it disappear."""
        last = rows[-1]["epoch"] if rows else 0
        try:
            timings = [row for row in read_table(self.path / "timings.csv") if (row["epoch"] or 0) <= last]
        except DataError:
            timings = []
        for name, content in (("metrics.csv", rows), ("timings.csv", timings)):
            write_atomic(self.path / name, table(content))
        if (file := self.path / "diagnostics.jsonl").exists():
            records = [record for record in read_records(self.path) if record["epoch"] <= last]
            write_atomic(file, b"".join(map(record_line, records)))
        for leftover in [*self.path.glob(".*.tmp-*"), *(self.path / "checkpoints").glob(".*.tmp-*")]:
            leftover.unlink()

    def update(self, **facts: Any) -> None:
        """Merge facts into the manifest."""
        self.manifest |= facts
        write_atomic(self.path / "manifest.json", json_bytes(self.manifest))

    def finish(self, status: str, **facts: Any) -> None:
        """Record how the run ended and let go of it."""
        self.update(status=status, finished=timestamp(), **facts)
        self.release()

    def release(self) -> None:
        self.lock.release()

    def _prune(self, best: int | None) -> None:
        kept = checkpoints(self.path)
        for epoch, path in kept[2:]:
            if epoch != best:
                with contextlib.suppress(OSError):  # it costs space, no work
                    path.unlink()


def timestamp() -> str:
    """Now, in UTC, to the second: 2026-11-24T14:35:12Z."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _stage(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A directory beside the runs that is a complete run but for its name."""
    staging = folder / f".new-{secrets.token_hex(8)}"
    with telling(staging, sum(map(len, files.values()))):
        folder.mkdir(parents=True, exist_ok=True)
        _clear(folder)
        staging.mkdir()
        for name, data in files.items():
            write_new(staging / name, data)
    return staging


def _clear(folder: Path) -> None:
    """Remove what a kill has left of directories being made or removed: hidden, old, and locked by nobody."""
    for path in folder.iterdir():
        if _HIDDEN.fullmatch(path.name) and not path.is_symlink():
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS and not is_held(path):
                    shutil.rmtree(path)


def _publish(staging: Path, path: Path) -> None:
    """Give a staged directory its name: the rename fails where the name is taken, so exactly one process wins."""
    with telling(path):
        sync_directory(staging)
        try:
            require_free(path)
            os.rename(staging, path)
        except OSError as error:
            if path.exists():  # ENOTEMPTY: another process was faster
                raise RunError(_taken(path)) from error
            raise
        sync_directory(path.parent)


def _taken(path: Path) -> str:
    with contextlib.suppress(Exception):
        record = read(path)
        continuing = (
            f"; continue it with: optilab train --resume {path.name}" if record.state == "interrupted" else ""
        )
        started = record.manifest.get("created", "?")
        return f"run {shown(path.name)} already exists ({record.state}, started {started}){continuing}"
    return f"{path} already exists; choose another --name"


def write(folder: Path, name: str, files: Mapping[str, bytes], manifest: dict[str, Any]) -> Path:
    """A run that is complete when it appears, as `optimize` makes it. RunError if the name is taken."""
    path, staging = folder / name, None
    try:
        staging = _stage(folder, {**files, "manifest.json": json_bytes(_first_manifest(name, manifest))})
        _publish(staging, path)
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
    return path


def claim(folder: Path, name: str, files: Mapping[str, bytes], manifest: dict[str, Any]) -> Run:
    """A new run with status `running`, locked before anyone can see it. RunError if the name is taken."""
    path, staging, lock = folder / name, None, None
    manifest = _first_manifest(name, {**manifest, "status": "running"})
    try:
        staging = _stage(folder, {**files, "manifest.json": json_bytes(manifest), "run.lock": b""})
        with telling(staging):
            (staging / "checkpoints").mkdir()
        lock = hold(staging)
        _publish(staging, path)
    except BaseException:
        if lock is not None:
            lock.release()
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        raise
    return Run(path, manifest, lock)


def _first_manifest(name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "name": name, "created": timestamp(), **manifest}


def reopen(path: Path) -> tuple[Run, "Record"]:
    """Take a run that no process writes any more, to continue it. RunError if one does."""
    for own in ("run.lock", "checkpoints"):
        if (path / own).is_symlink():
            raise RunError(f"{path / own} is a link; a run's files are its own")
    lock = hold(path, WAIT_SECONDS)
    try:
        record = read(path)  # not before: the process that had the lock may have written to its end
        return Run(path, record.manifest, lock), record
    except BaseException:
        lock.release()
        raise


# --- reading -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """A run as read: `state` is running, interrupted, or what the manifest says it ended as."""

    path: Path
    manifest: dict[str, Any]
    config: bytes
    state: str

    @property
    def name(self) -> str:
        return self.path.name

    def rows(self) -> list[Row]:
        """metrics.csv."""
        return read_table(self.path / "metrics.csv")


def read(path: Path) -> Record:
    """A run's manifest, config and true state; CheckpointError names the file that is missing or damaged."""
    try:
        manifest = json.loads((path / "manifest.json").read_bytes())
        config = (path / "config.yaml").read_bytes()
        version = manifest["schema_version"]
        state = str(manifest["status"])
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(f"{error.filename}: {error.strerror}; not a run of optilab, or damaged") from None
    except OSError as error:
        raise SystemFailure(f"cannot read {error.filename}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{path / 'manifest.json'} is damaged") from None
    if version != SCHEMA_VERSION:
        raise CheckpointError(f"{path / 'manifest.json'}: schema {shown(version)} was written by another optilab")
    if state == "running" and not is_held(path):
        state = "interrupted"
    return Record(path, manifest, config, state)


def records(folder: Path) -> tuple[list[Record], list[str]]:
    """Every readable run below `folder`, oldest first, and one line for each that is not readable."""
    found, unreadable = [], []
    for path in directories(folder):
        try:
            found.append(read(path))
        except CheckpointError as error:
            unreadable.append(str(error))
    return sorted(found, key=lambda record: (str(record.manifest.get("created")), record.name)), unreadable


def checkpoints(path: Path) -> list[tuple[int, Path]]:
    """(epoch, file) of every checkpoint, newest first; other files are none of our business."""
    folder = path / "checkpoints"
    names = [(m, p) for p in folder.iterdir() if (m := _CHECKPOINT.fullmatch(p.name))] if folder.is_dir() else []
    return sorted(((int(m[1]), p) for m, p in names), key=lambda pair: pair[0], reverse=True)


def read_checkpoint(path: Path, limit: int) -> bytes:
    """The bytes of a checkpoint whose digest is the one in its name; CheckpointError says what is wrong."""
    match = _CHECKPOINT.fullmatch(path.name)
    if match is None or path.is_symlink() or not path.is_file():
        raise CheckpointError(f"{path} is not a checkpoint")
    if path.stat().st_size > limit:
        raise CheckpointError(f"{path} is larger than {limit:,} bytes")
    if hashlib.sha256(data := path.read_bytes()).hexdigest()[:16] != match[2]:
        raise CheckpointError(f"{path} is damaged: its SHA-256 is not the one in its name")
    return data


def remove(path: Path) -> None:
    """Delete a run; a link below it is removed, never followed. RunError while a process writes it."""
    lock = hold(path, WAIT_SECONDS) if (path / "run.lock").is_file() else None
    try:
        with telling(path):
            # First out of sight by one rename, so that a kill leaves no half run behind.
            hidden = path.with_name(f".old-{secrets.token_hex(8)}")
            os.rename(path, hidden)
            shutil.rmtree(hidden)
    finally:
        if lock is not None:
            lock.release()
