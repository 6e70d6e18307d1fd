"""A run directory as bytes: packed where it was written, verified and published where its study is."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from optilab.errors import DataError, shown
from optilab.runs.directory import checkpoints, publish, read_checkpoint, stage
from optilab.runs.files import FOLDER_MODE, read_regular, write_errors, write_new
from optilab.runs.record import Record, read

Packed = dict[str, tuple[str, bytes]]
"""File -> SHA-256 and content, of every file of a run: `metrics.csv`, `checkpoints/000003.1f...ckpt`."""

_FOLDER = "checkpoints"
_FILE_BYTES = 1 << 32


def pack(path: Path) -> Packed:
    """The files of a run that no process writes. Temporary files and links stay behind."""
    files = [*path.iterdir(), *(path / _FOLDER).iterdir()]
    contents = {
        str(file.relative_to(path)): read_regular(file, _FILE_BYTES)
        for file in files
        if not file.name.startswith(".") and file.is_file() and not file.is_symlink()
    }
    return {name: (hashlib.sha256(data).hexdigest(), data) for name, data in contents.items()}


def unpack(packed: Packed, path: Path) -> None:
    """Make the run `path` of its files. DataError if one is not what was packed."""
    files = _verified(packed)
    with write_errors(path, sum(map(len, files.values()))):
        (path / _FOLDER).mkdir(FOLDER_MODE, parents=True)
        for name, data in files.items():
            write_new(path / name, data)


def receive(packed: Packed, path: Path, check: Callable[[Record], None]) -> None:
    """Publish a run as `path`, in place of an earlier state of it.

    It is readable, its checkpoints have the digests in their names, and `check` has accepted it, or nothing is changed:
    DataError or CheckpointError, or what `check` raises.
    """
    staging = stage(path.parent, _verified(packed), [_FOLDER])
    try:
        check(read(staging))
        for _, file in checkpoints(staging):
            read_checkpoint(file, _FILE_BYTES)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    if path.exists():
        earlier = path.with_name(f".old-{secrets.token_hex(8)}")
        os.rename(path, earlier)
        publish(staging, path)
        shutil.rmtree(earlier, ignore_errors=True)
    else:
        publish(staging, path)


def _verified(packed: Packed) -> Mapping[str, bytes]:
    """The content of each file. DataError for a name that no run has, and for other bytes than were packed."""
    for name, (digest, data) in packed.items():
        entry = name.removeprefix(f"{_FOLDER}/")
        if not entry or entry.startswith(".") or {"/", "\0"} & set(entry):
            raise DataError(f"{shown(name)} is not a file of a run")
        if hashlib.sha256(data).hexdigest() != digest:
            raise DataError(f"{name} was damaged on its way: its SHA-256 is not {digest[:16]}...")
    return {name: data for name, (_, data) in packed.items()}
