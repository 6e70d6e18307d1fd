"""A run directory, and the directory of a study: claimed by one rename, committed epoch by epoch, readable at any
moment.

    runs/20261124-143512-sigmoid-1c2d9e05/
      config.yaml      resolved; `optilab train --config .../config.yaml` repeats the run
      manifest.json    versions, seed, checksums, times, status
      metrics.csv      one row per epoch, deterministic fields only
      timings.csv      seconds per epoch, apart, so that metrics can be compared by bytes
      diagnostics.jsonl  what every layer did, one line per epoch
      checkpoints/     000104.<first 16 hex digits of its SHA-256>.ckpt: the last two and the best
      run.lock         held while a process writes; its holder, not a status, shows that a run is alive

A directory appears complete or not at all. An epoch's checkpoint is on disk before its row is, and the row before it
is reported. A status `running` without a holder of the lock means that the run was interrupted.
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from optilab import system
from optilab.errors import CheckpointError, DataError, RunError, SystemFailure
from optilab.files import (
    DIRECTORY_MODE,
    Row,
    append,
    json_bytes,
    make_directory,
    read_regular,
    table,
    write_atomic,
    write_errors,
    write_new,
)
from optilab.runs.find import timestamp
from optilab.runs.lock import WAIT_SECONDS, Lock, hold, is_held
from optilab.runs.record import (
    CONFIG_FILE,
    MANIFEST,
    PLAN,
    SCHEMA_VERSION,
    STUDY_FILE,
    TRIALS,
    Record,
    config_digest,
    read,
    read_entry,
    read_study,
    request_digest,
    was_made_by_optilab,
)
from optilab.runs.tables import json_line, read_diagnostics, read_timings

_CHECKPOINT = re.compile(r"(\d{6,7})\.([0-9a-f]{16})\.ckpt")  # `epochs` is at most a million
_HIDDEN = re.compile(r"\.(new|old)-[0-9a-f]{16}")
_TEMPORARY = re.compile(
    r"\.(study\.yaml|manifest\.json|plan\.jsonl|trials\.csv|timings\.csv)\.tmp-[0-9a-f]{8}|\.study-[0-9a-f]{16}"
)
"""Files that a killed command leaves in its study: half a file, or the mark by which workers know the directory."""
TABLES = {"metrics.csv", "timings.csv", "diagnostics.jsonl"}
"""Files next to the manifest and the config of a run that cannot be continued."""
_LEFTOVER_SECONDS = 3600.0  # a directory is made or removed in less


# --- writing -----------------------------------------------------------------------------------------------


def require_free(path: Path) -> None:
    """RunError if a run of that name exists, in whatever case. `claim` checks again; this check only comes sooner."""
    for name in os.listdir(path.parent) if path.parent.is_dir() else ():
        if name.lower() == path.name.lower():
            same = f"; Windows and macOS take {path.name} for the same name" * (name != path.name)
            raise RunError(f"{path.with_name(name)} already exists{same}")


@dataclass
class OpenEntry:
    """A run or study that this process writes; it holds the lock."""

    path: Path
    manifest: dict[str, Any]
    lock: Lock = field(repr=False)

    @property
    def name(self) -> str:
        return self.path.name

    def update(self, **facts: Any) -> None:
        """Merge facts into the manifest."""
        self.lock.require(self.path)
        self.manifest |= facts
        write_atomic(self.path / MANIFEST, json_bytes(self.manifest))


class Run(OpenEntry):
    """A run that this process writes; it holds the lock until `release`."""

    def commit(
        self,
        row: Row,
        seconds: float,
        checkpoint: bytes | None = None,
        best: int | None = None,
        diagnostics: Row | None = None,
    ) -> None:
        """Write one epoch: its checkpoint, then its row. Once this returns, the epoch survives any kill.

        `best` is the epoch whose checkpoint is kept next to the last two, `diagnostics` those of the epoch.
        """
        self.lock.require(self.path)
        # Diagnostics and timings go first: a resume can drop extra lines, but not recompute missing ones.
        if diagnostics:
            append(self.path / "diagnostics.jsonl", lambda first: json_line(diagnostics))
        append(self.path / "timings.csv", partial(table, [{"epoch": row["epoch"], "seconds": round(seconds, 6)}]))
        if checkpoint is not None:
            newest = self.path / checkpoint_file(row["epoch"], checkpoint)
            write_atomic(newest, checkpoint)
        append(self.path / "metrics.csv", partial(table, [row]))
        if checkpoint is not None:
            self.prune(newest, best)

    def rewind(self, rows: Sequence[Row]) -> list[str]:
        """Make the tables end where a checkpoint does: drop rows that are torn or ahead of it.

        Returns a message for each table that cannot be read and begins again.
        """
        last = rows[-1]["epoch"] if rows else 0
        messages = []

        def up_to_last(read: Callable[[Path], list[Row]], path: Path) -> list[Row]:
            try:
                return [row for row in read(path) if row["epoch"] <= last]
            except DataError as error:
                messages.append(f"{error}; the file begins again after epoch {last}")
                return []

        timings = up_to_last(read_timings, self.path / "timings.csv")
        for name, content in (("metrics.csv", rows), ("timings.csv", timings)):
            write_atomic(self.path / name, table(content))
        if os.path.lexists(file := self.path / "diagnostics.jsonl"):
            write_atomic(file, b"".join(map(json_line, up_to_last(read_diagnostics, self.path))))
        for leftover in [*self.path.glob(".*.tmp-*"), *(self.path / "checkpoints").glob(".*.tmp-*")]:
            leftover.unlink()
        return messages

    def finish(self, status: str, **facts: Any) -> None:
        """Record how the run ended and release its lock."""
        self.update(status=status, finished=timestamp(), **facts)
        self.release()

    def release(self) -> None:
        self.lock.release()

    def prune(self, newest: Path, best: int | None) -> None:
        """Delete the checkpoints up to `newest` except it, the one before it and that of epoch `best`.

        Those ahead of it remain: they are damaged or come from another run, and the resume has reported them.
        """
        last = int(newest.name.partition(".")[0])
        older = [(epoch, path) for epoch, path in checkpoints(self.path) if epoch <= last and path != newest]
        second = next((epoch for epoch, _ in older if epoch < last), None)
        for epoch, path in older:
            if epoch == last or epoch not in (second, best):
                with contextlib.suppress(OSError):  # a checkpoint too many costs only space
                    path.unlink()


@contextlib.contextmanager
def _undone_by(undo: Callable[..., object], *arguments: object) -> Iterator[None]:
    """Call `undo` if the block raises."""
    try:
        yield
    except BaseException:
        undo(*arguments)
        raise


def prepare(
    directory: Path, files: Mapping[str, bytes | Iterable[bytes]], subdirectories: Sequence[str] = ()
) -> Path:
    """Write a complete run or study under a hidden name, next to the runs. It is removed where that fails."""
    prepared = directory / f".new-{secrets.token_hex(8)}"
    sizes = [len(data) for data in files.values() if isinstance(data, bytes)]
    size = sum(sizes) if len(sizes) == len(files) else None
    with _undone_by(shutil.rmtree, prepared, True), write_errors(directory, size):
        make_directory(directory)
        _clear(directory)
        make_directory(prepared)
        for name in subdirectories:
            (prepared / name).mkdir(DIRECTORY_MODE)
        for name, data in files.items():
            write_new(prepared / name, data)
        for inner in {Path(name).parent for name in files} - {Path()}:
            system.sync_directory(prepared / inner)
    return prepared


def _clear(directory: Path) -> None:
    """Remove the hidden directories of killed processes: those that are old and not locked."""
    for path in directory.iterdir():
        if _HIDDEN.fullmatch(path.name) and not path.is_symlink():
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS and not is_held(path):
                    shutil.rmtree(path)


def publish(prepared: Path, path: Path) -> None:
    """Give a staged directory its name, or remove it.

    The rename fails where the name is taken, so exactly one process wins.
    """
    with _undone_by(shutil.rmtree, prepared, True), write_errors(path):
        system.sync_directory(prepared)
        require_free(path)
        try:
            os.rename(prepared, path)
        except OSError:
            require_free(path)  # ENOTEMPTY: another process was faster
            raise
        system.sync_directory(path.parent)


def write(
    directory: Path,
    name: str,
    files: Mapping[str, bytes | Iterable[bytes]],
    manifest: dict[str, Any],
    overwrite: bool = False,
) -> Path:
    """A run that is complete when it appears, as `optimize` makes it. RunError if the name is taken.

    `overwrite`: replace the run of this name, where it is `replaceable`.
    """
    path = directory / name
    prepared = prepare(directory, {**files, MANIFEST: json_bytes(_manifest(name, manifest, files))})
    with _aside(path) if overwrite and replaceable(path, manifest["command"]) else contextlib.nullcontext():
        publish(prepared, path)
    return path


def replaceable(path: Path, command: str) -> bool:
    """Tell whether a directory is a run that this command wrote at once, without files of anyone else."""
    try:
        files = {file.name for file in path.iterdir()} - {MANIFEST, CONFIG_FILE}
        is_run = not path.is_symlink() and isinstance(entry := read_entry(path), Record)
        return is_run and entry.manifest["command"] == command and files <= TABLES
    except (OSError, CheckpointError):
        return False


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[None]:
    """Hide a run while another takes its name; where that fails, it has its name again."""
    hidden = path.with_name(f".old-{secrets.token_hex(8)}")
    with write_errors(path):
        os.rename(path, hidden)
    with _undone_by(os.rename, hidden, path):
        yield
    shutil.rmtree(hidden, ignore_errors=True)


def claim(directory: Path, name: str, files: Mapping[str, bytes], manifest: dict[str, Any]) -> Run:
    """A new run with status `running`, locked before anyone can see it. RunError if the name is taken."""
    path = directory / name
    manifest = _manifest(name, manifest, files) | {"status": "running"}
    prepared = prepare(directory, {**files, MANIFEST: json_bytes(manifest), "run.lock": b""}, ["checkpoints"])
    with _undone_by(shutil.rmtree, prepared, True):
        lock = hold(prepared)
    with _undone_by(lock.release):
        publish(prepared, path)
    return Run(path, manifest, lock)


def _manifest(name: str, facts: Mapping[str, Any], files: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a run or study that starts now. That of a run has the checksum of its config and its file."""
    written, config = files.get(CONFIG_FILE), facts.get("config")
    digest = {"config_sha256": config_digest(written, config)} if written and config else {}
    return {"schema_version": SCHEMA_VERSION, "name": name, "created": timestamp(), **facts, **digest}


def reopen(path: Path) -> tuple[Run, "Record"]:
    """Lock a run that no process is writing, to continue it. RunError if a process is."""
    for name in ("run.lock", "checkpoints"):
        if (path / name).is_symlink():
            raise RunError(f"{path / name} is a link; a run's files are its own: put a copy in its place")
    lock = hold(path, WAIT_SECONDS)
    with _undone_by(lock.release):
        record = read(path)  # only now: the process that held the lock may have written until it released it
    return Run(path, record.manifest, lock), record


def require_made_by_optilab(path: Path) -> None:
    """RunError for a directory that optilab did not make."""
    if not was_made_by_optilab(path):
        raise RunError(f"{path} is not a run of optilab, or its manifest is damaged; nothing was removed")


def remove(path: Path) -> None:
    """Delete a run, or a study with its runs; a link below it is removed, never followed.

    RunError if optilab did not make it, or while a process writes it or one of its runs. SystemFailure, before anything
    is changed, where something in it may not be deleted.
    """
    require_made_by_optilab(path)
    inner = [Path(directory) for directory, _, _ in os.walk(path)]
    directories = (path.parent, *inner)
    if shut := next((directory for directory in directories if not os.access(directory, os.W_OK | os.X_OK)), None):
        raise SystemFailure(f"cannot delete {path}: make {shut} writable; nothing was changed")
    with contextlib.ExitStack() as held:
        for directory in inner:
            if (directory / "run.lock").is_file():
                held.callback(hold(directory, WAIT_SECONDS).release)
        # First out of sight by one rename, so that a kill leaves no half run behind.
        hidden = path.with_name(f".old-{secrets.token_hex(8)}")
        try:
            os.rename(path, hidden)
            shutil.rmtree(hidden)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.rename(hidden, path)
            raise SystemFailure(f"cannot delete all of {path}: {error.strerror or error}") from None


# --- checkpoints -------------------------------------------------------------------------------------------


def checkpoint_file(epoch: int, data: bytes) -> str:
    """The path of a checkpoint in its run's directory; the name has the start of its SHA-256."""
    return f"checkpoints/{epoch:06d}.{hashlib.sha256(data).hexdigest()[:16]}.ckpt"


def checkpoints(path: Path) -> list[tuple[int, Path]]:
    """(epoch, file) of every checkpoint, newest first; other files are ignored."""
    directory = path / "checkpoints"
    files = [file for file in directory.iterdir() if not file.is_dir()] if directory.is_dir() else []
    named = [(int(match[1]), file) for file in files if (match := _CHECKPOINT.fullmatch(file.name))]
    return sorted(named, key=lambda pair: pair[0], reverse=True)


def keep_checkpoints(path: Path, keep: str, best: int | None) -> None:
    """Delete the checkpoints of a run that has ended but for the `last` one, that of the epoch `best`, none or all.

    Where the best epoch has no checkpoint, the last one stays.
    """
    existing = checkpoints(path)
    remaining = {"all": existing, "none": []}.get(keep, existing[:1])
    if keep == "best":
        remaining = [pair for pair in existing if pair[0] == best] or remaining
    for _, file in set(existing) - set(remaining):
        with contextlib.suppress(OSError):  # a checkpoint too many costs only space
            file.unlink()


def read_checkpoint(path: Path, limit: int) -> bytes:
    """The bytes of a checkpoint whose checksum is the one in its name; else CheckpointError with the problem."""
    match = _CHECKPOINT.fullmatch(path.name)
    if match is None or path.is_symlink() or not path.is_file():
        raise CheckpointError(f"{path} is not a checkpoint; move it away")
    if path.stat().st_size > limit:
        raise CheckpointError(f"{path} is larger than {limit:,} bytes; move it away")
    if hashlib.sha256(data := read_regular(path, limit)).hexdigest()[:16] != match[2]:
        raise CheckpointError(f"{path} is damaged: its SHA-256 is not the one in its name")
    return data


# --- studies --------------------------------------------------------------------------------------------------


@dataclass
class OpenStudy(OpenEntry):
    """A study that this process writes: the directory of all trials of a command.

    It holds the lock until `finish`.

        runs/20261124-231207-sigmoid-sweep-91c07d4e/
          study.yaml     the request; `optilab sweep --study .../study.yaml` repeats it
          manifest.json  versions, times, status
          plan.jsonl     a line per trial: settings, seed, checksum; of one that failed or stopped, why
          trials.csv     a row per trial that has ended, deterministic fields only: written at the end, for other tools
          timings.csv    seconds per trial, apart, so that trials.csv can be compared by bytes
          run.lock       held while a process makes the study
          0.1-unit-gain-s42-5f3a9c1e/  the run directory of each trial, whose manifest has its outcome
          confirmed/     of a sweep with --confirm: the study of its best settings, from new seeds
    """

    planned: dict[str, Row] = field(default_factory=dict)
    """The lines of plan.jsonl: the trials of this plan in its order, then those of plans before."""
    current: set[str] = field(default_factory=set)
    """The trials of this plan."""

    def ask(self, request: bytes, **facts: Any) -> None:
        """Record a new request, and facts of the manifest.

        The manifest has the checksums of the new study.yaml and of the one before: a kill may leave either.
        """
        before = read_study(self.path).config
        self.update(**facts, asked=list(dict.fromkeys(map(request_digest, (request, before)))))
        write_atomic(self.path / STUDY_FILE, request)

    def plan(self, lines: Iterable[Row]) -> None:
        """Record trials before they run, and how those ended that had run before.

        A trial of an earlier plan stays where it has a run.
        """
        self.lock.require(self.path)
        batch = {line["trial"]: line for line in lines}
        now = {name: line for name, line in self.planned.items() if name in self.current} | batch
        before = {
            name: line for name, line in self.planned.items() if name not in now and (self.path / name).is_dir()
        }
        self.planned = now | before
        self.current |= batch.keys()
        write_atomic(self.path / PLAN, b"".join(map(json_line, self.planned.values())))

    def add(self, line: Row, seconds: float) -> None:
        """Record that a trial has ended, and the seconds that it took here; its run has the outcome, if it has one."""
        self.lock.require(self.path)
        if self.planned.get(line["trial"]) != line:
            self.planned[line["trial"]] = line
            self.current.add(line["trial"])
            append(self.path / PLAN, lambda first: json_line(line), flush=False)
        timing = {"trial": line["trial"], "seconds": round(seconds, 3)}
        append(self.path / "timings.csv", partial(table, [timing]), flush=False)

    def finish(self, status: str, **facts: Any) -> None:
        """Record how the study ended, write trials.csv, remove what killed processes left, and release the lock."""
        try:
            with write_errors(self.path):
                for path in self.path.iterdir():
                    if _HIDDEN.fullmatch(path.name) and not path.is_symlink() and not is_held(path):
                        shutil.rmtree(path, ignore_errors=True)
            self.plan([])
            self.update(status=status, finished=timestamp(), **facts)
            write_atomic(self.path / TRIALS, table(read_study(self.path).rows()))
        finally:
            self.lock.release()


def open_study(directory: Path, name: str, request: bytes, manifest: Mapping[str, Any]) -> OpenStudy:
    """A new study, or the study of that name and command to continue, with its earlier request.

    RunError if the name is taken by anything else, or a process writes the study.
    """
    path = directory / name
    if path.exists() or path.is_symlink():
        _require_continuable(path, manifest["command"])
    else:
        facts = {**manifest, "status": "running", "asked": [request_digest(request)]}
        publish(
            prepare(
                directory, {STUDY_FILE: request, MANIFEST: json_bytes(_manifest(name, facts, {})), "run.lock": b""}
            ),
            path,
        )
    lock = hold(path, WAIT_SECONDS)
    with _undone_by(lock.release):
        for leftover in path.iterdir():
            if _TEMPORARY.fullmatch(leftover.name):
                leftover.unlink()
        before, planned = read_study(path), dict[str, Row]()
        with contextlib.suppress(DataError):  # a damaged plan is made again
            planned = dict(before.planned)
        study = OpenStudy(path, before.manifest, lock, planned)
        study.plan([])
        study.update(status="running")
    return study


def _require_continuable(path: Path, command: str) -> None:
    if not path.is_symlink() and os.path.lexists(path / STUDY_FILE):
        try:
            if read_study(path).manifest["command"] == command:
                return
        except CheckpointError as error:
            raise RunError(str(error)) from None
    require_free(path)
