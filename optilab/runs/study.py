"""A study: a folder of runs that one command makes, with a manifest and a lock of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optilab.errors import CheckpointError, RunError
from optilab.runs.directory import first_manifest, publish, stage, taken
from optilab.runs.files import json_bytes, write_atomic
from optilab.runs.lock import Lock, hold
from optilab.runs.names import timestamp
from optilab.runs.record import STUDY, read_study


@dataclass
class OpenStudy:
    """A study that this process writes; it holds the lock until `finish`."""

    path: Path
    manifest: dict[str, Any]
    lock: Lock = field(repr=False)

    @property
    def name(self) -> str:
        return self.path.name

    def update(self, **facts: Any) -> None:
        """Merge facts into the manifest."""
        self.manifest |= facts
        write_atomic(self.path / STUDY, json_bytes(self.manifest))

    def finish(self, status: str) -> None:
        """Record how the study ended and release its lock."""
        try:
            self.update(status=status, finished=timestamp())
        finally:
            self.lock.release()


def open_study(folder: Path, name: str, manifest: Mapping[str, Any]) -> OpenStudy:
    """A new study, or the one of that name and command, to be continued; the runs it lists are added to.

    RunError if the name is taken by anything else, or a process writes the study.
    """
    path = folder / name
    if path.exists() or path.is_symlink():
        _require_continuable(path, manifest["command"])
    else:
        files = {STUDY: json_bytes(first_manifest(name, {**manifest, "status": "running"})), "run.lock": b""}
        publish(stage(folder, files), path)
    lock = hold(path)
    try:
        study = OpenStudy(path, read_study(path).manifest, lock)
        listed = dict.fromkeys([*study.manifest.get("runs", []), *manifest.get("runs", [])])
        study.update(**{**manifest, "runs": list(listed)}, status="running")
    except BaseException:
        lock.release()
        raise
    return study


def _require_continuable(path: Path, command: str) -> None:
    if not path.is_symlink() and (path / STUDY).is_file():
        try:
            if read_study(path).manifest["command"] == command:
                return
        except CheckpointError as error:
            raise RunError(f"{error}; choose another --name") from None
    raise RunError(taken(path))
