"""Runs and studies as read from disk, recognised by their content."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optilab.errors import CheckpointError, DataError, OptilabError, shown
from optilab.runs.files import read_json, read_regular
from optilab.runs.lock import is_held
from optilab.runs.tables import Row, read_metrics, read_table

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
STUDY = "study.json"
"""The manifest of a study: a folder of runs that one command made."""

_MANIFEST_BYTES = 16 << 20
_CONFIG_BYTES = 1 << 20

_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "command", "status", "created", "finished", "reason"), str),
    **dict.fromkeys(("versions", "host", "environment", "git", "numerics", "data", "config", "results"), dict),
    **dict.fromkeys(("argv", "resumes", "runs"), list),
    **dict.fromkeys(("schema_version", "seed", "epoch"), int),
    **dict.fromkeys(("data.train", "data.validation", "data.classes"), int),
    "data.sha256": dict,
    **dict.fromkeys(("test_loss", "test_acc"), (int, float)),
}
"""Types of the manifest's entries that are read; `data.train` is an entry of the mapping `data`."""


@dataclass(frozen=True)
class Record:
    """A run: `state` is running, interrupted, or the status with which it ended."""

    path: Path
    manifest: dict[str, Any]
    config: bytes
    state: str

    @property
    def name(self) -> str:
        return self.path.name

    def rows(self) -> list[Row]:
        """metrics.csv; DataError, with the line, if it is damaged."""
        reader = read_metrics if self.manifest.get("command") == "train" else read_table
        return reader(self.path / "metrics.csv")


@dataclass(frozen=True)
class Study:
    """A folder of runs that one command made; `state` as that of a run."""

    path: Path
    manifest: dict[str, Any]
    state: str

    @property
    def name(self) -> str:
        return self.path.name

    def runs(self) -> list[Record]:
        """The readable runs of the study, in the order in which it lists them."""
        found = []
        for name in filter(is_plain, self.manifest.get("runs", [])):
            try:
                found.append(read(self.path / name))
            except OptilabError:
                continue
        return found


def is_plain(name: Any) -> bool:
    """Whether it is the name of an entry of a directory, and not a way out of it."""
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None


def read(path: Path) -> Record:
    """A run's manifest, config and true state. CheckpointError names the file that is missing or damaged."""
    manifest, state = _manifest(path, MANIFEST)
    try:
        return Record(path, manifest, read_regular(path / "config.yaml", _CONFIG_BYTES), state)
    except (FileNotFoundError, DataError) as error:
        raise CheckpointError(_reason(error)) from None


def read_study(path: Path) -> Study:
    """A study's manifest and true state. CheckpointError if it is missing or damaged."""
    manifest, state = _manifest(path, STUDY)
    return Study(path, manifest, state)


def read_entry(path: Path) -> Record | Study:
    """A run or a study. CheckpointError if the directory is neither, or damaged."""
    return read_study(path) if os.path.lexists(path / STUDY) else read(path)


def is_ours(path: Path) -> bool:
    """Whether optilab made this directory: its manifest has what optilab writes into every one."""
    for name in (MANIFEST, STUDY):
        try:
            manifest = read_json(path / name, _MANIFEST_BYTES)
        except (FileNotFoundError, DataError):
            continue
        if _is_manifest(manifest):
            return True
    return False


def _is_manifest(manifest: dict[str, Any]) -> bool:
    versions = manifest.get("versions")
    return (
        isinstance(manifest.get("schema_version"), int)
        and isinstance(manifest.get("command"), str)
        and isinstance(versions, dict)
        and "optilab" in versions
    )


def _manifest(path: Path, name: str) -> tuple[dict[str, Any], str]:
    file = path / name
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
