"""Runs and studies as read from disk, recognised by their content."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optilab.errors import CheckpointError, DataError, OptilabError, RunError, SystemFailure, shown
from optilab.runs.durable import is_held, is_regular, read_json, read_regular
from optilab.runs.tables import Row, outcome, read_metrics, read_table

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
CONFIG = "config.yaml"
STUDY = "study.yaml"
"""What a study was asked; the file marks a folder as a study, the runs that one command made."""
TRIALS = "trials.csv"
"""One row per trial of a study, its outcome."""

_MANIFEST_BYTES = 16 << 20
_CONFIG_BYTES = 1 << 20

_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "command", "status", "created", "finished", "reason"), str),
    **dict.fromkeys(("versions", "host", "environment", "git", "numerics", "data"), dict),
    **dict.fromkeys(("config", "results", "own_rules", "fork", "outcome"), dict),
    **dict.fromkeys(("argv", "resumes"), list),
    **dict.fromkeys(("schema_version", "seed", "epoch", "trials"), int),
    **dict.fromkeys(("data.train", "data.validation", "data.classes"), int),
    "data.sha256": dict,
    **dict.fromkeys(("test_loss", "test_acc"), (int, float)),
}
"""Types of the manifest's entries that are read; `data.train` is an entry of the mapping `data`."""


@dataclass(frozen=True)
class Entry:
    """What is in a folder of runs: `state` is running, interrupted, or the status with which it ended."""

    path: Path
    manifest: dict[str, Any]
    state: str

    @property
    def name(self) -> str:
        return self.path.name


class Record(Entry):
    """A run."""

    @property
    def is_training(self) -> bool:
        """A training, by `optilab train` or by a loop that `optilab.watch` watched: a row per epoch."""
        return self.manifest["command"] in ("train", "watch")

    @property
    def is_watched(self) -> bool:
        """A loop of the user's own, whose rows have the columns that it measured, and no config of `train`."""
        return bool(self.manifest["command"] == "watch")

    @property
    def config(self) -> bytes:
        """config.yaml, read now. CheckpointError if it is missing or damaged."""
        try:
            return read_regular(self.path / CONFIG, _CONFIG_BYTES)
        except (FileNotFoundError, DataError) as error:
            raise CheckpointError(_reason(error)) from None

    def rows(self) -> list[Row]:
        """metrics.csv; DataError, with the line, if it is damaged."""
        path = self.path / "metrics.csv"
        if self.is_watched:
            return [{key: value for key, value in row.items() if value is not None} for row in read_table(path)]
        return read_metrics(path) if self.is_training else read_table(path)

    def outcome(self) -> Row:
        """Of a training, in one row: epochs done, last metrics, the best epoch, the test set where there is one."""
        tested = {key: self.manifest[key] for key in ("test_loss", "test_acc") if key in self.manifest}
        return outcome(self.rows()) | tested

    def recorded_outcome(self) -> Row:
        """`outcome`, from the manifest where the run has ended and recorded it there: without reading metrics.csv."""
        row = self.manifest.get("outcome")
        if (
            self.manifest["status"] == "running"
            or not row
            or not all(type(v) in (int, float) for v in row.values())
        ):
            return self.outcome()
        if not row.keys() >= {"epochs", "best_epoch", "best_val_acc"}:
            return self.outcome()
        return dict(row)


class Study(Entry):
    """A folder of runs that one command made."""

    def trials(self) -> list[Row]:
        """The rows of trials.csv: the trials that have ended. DataError, with the line, if it is damaged."""
        rows = read_table(self.path / TRIALS)
        for line, row in enumerate(rows, start=2):
            if not is_plain(row.get("trial")) or not isinstance(row.get("status"), str):
                raise DataError(f"{self.path / TRIALS}:{line}: the name and the status of a trial expected")
        return rows

    def runs(self) -> list[Record]:
        """The readable runs of the study: those that have ended in the order of trials.csv, then the others.

        One that successive halving did not promote is `stopped`.
        """
        ended = {str(row["trial"]): row["status"] for row in self.trials()}
        found = []
        for name in dict.fromkeys([*ended, *(path.name for path in directories(self.path))]):
            try:
                record = read(self.path / name)
            except OptilabError:
                continue
            by_halving = record.state == "interrupted" and ended.get(name) == "stopped"
            found.append(replace(record, state="stopped") if by_halving else record)
        return found


def directories(folder: Path) -> list[Path]:
    """What may be a run or a study, by name; hidden directories are being made or removed, links are not runs."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SystemFailure(f"cannot read {folder}: {error.strerror}") from None
    return [folder / name for name in sorted(names)]


def is_plain(name: Any) -> bool:
    """Whether it is the name of an entry of a directory, and not a way out of it."""
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None


def read(path: Path) -> Record:
    """A run's manifest and true state.

    CheckpointError names the file that is missing or damaged, RunError says that it is a study.
    """
    record = Record(path, *_manifest(path))
    if os.path.lexists(path / STUDY):
        made = f"a study of `optilab {record.manifest['command']}`"
        raise RunError(f"{path} is {made}, not one run; `optilab runs show {path.name}` names its runs")
    if not is_regular(path / CONFIG, _CONFIG_BYTES):
        _ = record.config  # raises what is wrong with it
    return record


def read_study(path: Path) -> Study:
    """A study's manifest and true state. CheckpointError if it is missing or damaged."""
    return Study(path, *_manifest(path))


def read_entry(path: Path) -> Record | Study:
    """A run or a study. CheckpointError if the directory is neither, or damaged."""
    return read_study(path) if os.path.lexists(path / STUDY) else read(path)


def is_ours(path: Path) -> bool:
    """Whether optilab made this directory: its manifest has what optilab writes into every one."""
    try:
        return _is_manifest(read_json(path / MANIFEST, _MANIFEST_BYTES))
    except (FileNotFoundError, DataError):
        return False


def _is_manifest(manifest: dict[str, Any]) -> bool:
    versions = manifest.get("versions")
    return (
        isinstance(manifest.get("schema_version"), int)
        and isinstance(manifest.get("command"), str)
        and isinstance(versions, dict)
        and "optilab" in versions
    )


def _manifest(path: Path) -> tuple[dict[str, Any], str]:
    file = path / MANIFEST
    try:
        manifest = read_json(file, _MANIFEST_BYTES)
    except (FileNotFoundError, DataError) as error:
        raise CheckpointError(_reason(error)) from None
    if not _is_manifest(manifest):
        raise CheckpointError(f"{file} is damaged or not optilab's")
    if (version := manifest["schema_version"]) != SCHEMA_VERSION:
        raise CheckpointError(f"{file}: schema {shown(version)} was written by another optilab")
    for key, expected in _TYPES.items():
        section, _, entry = key.rpartition(".")
        place = manifest.get(section, {}) if section else manifest
        if entry in place and (not isinstance(place[entry], expected) or isinstance(place[entry], bool)):
            raise CheckpointError(f"{file} is damaged: {key} cannot be {shown(place[entry])}")
    if "status" not in manifest:
        raise CheckpointError(f"{file} is damaged: it has no status")
    state = manifest["status"]
    return manifest, "interrupted" if state == "running" and not is_held(path) else state


def _reason(error: FileNotFoundError | DataError) -> str:
    if isinstance(error, DataError):
        return str(error)
    return f"{error.filename}: {error.strerror}; not a run of optilab, or damaged"
