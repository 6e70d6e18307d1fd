"""What a worker of a dask cluster does for a study: one trial at a time and thread, each in a process of its own.

Where the worker sees the study's directory, the trial is written there. Otherwise it is written in the worker's scratch
directory, from the files of an earlier part of it where there is one, and its files are the answer.

A trial stops when the study asks for it, and when the scheduler has taken it from this worker: the study has ended.
"""

import hashlib
import multiprocessing
import os
import pkgutil
import secrets
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from optilab import __version__
from optilab.errors import DataError, shown
from optilab.files import FOLDER_MODE, read_regular, write_errors, write_new
from optilab.optimize import own
from optilab.runs.directory import checkpoints, publish, read_checkpoint, stage
from optilab.runs.find import run_name
from optilab.runs.lock import is_held
from optilab.runs.record import STUDY, TRIALS, Record, read
from optilab.study.pool import Ended, Pool, WorkerDied

_POLL_SECONDS = 0.2

Files = Mapping[str, str]
"""Absolute path of a file -> SHA-256 of its content."""
Packed = dict[str, tuple[str, bytes]]
"""File -> SHA-256 and content, of every file of a run: `metrics.csv`, `checkpoints/000003.1f...ckpt`."""


@dataclass
class _Guest:
    """A study that this worker works for."""

    scratch: Path
    shared: bool
    dataset: Path | None
    stopping: bool = False


_guests: dict[str, _Guest] = {}
"""By the token of the study."""


def versions() -> dict[str, str]:
    """What has to be the same on all machines of a study: the bits of a result may depend on it."""
    return {"optilab": __version__, "torch": version("torch")}


def digests(files: list[Path]) -> Files:
    """The files that are there and can be read."""
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}


def welcome(token: str, folder: str, dataset: str | None, files: Files, dask_worker: Any) -> dict[str, Any]:
    """Take part in the study `folder`; the versions here, and which `files` of `dataset` are missing.

    The study's file `.TOKEN` shows that its directory is on a shared disk, and its lock that the disk has locks. A
    study that comes again, after the death of a trial, may have others running here.
    """
    if token not in _guests:
        path, scratch = Path(folder), Path(dask_worker.local_directory) / token
        place = None if dataset is None else Path(dataset)
        whole = place is None or not _missing(place, files)
        shared = (path / f".{token}").is_file() and is_held(path)
        _guests[token] = _Guest(scratch, shared, place if whole else scratch / "dataset")
    guest = _guests[token]
    facts = {"versions": versions(), "shared": guest.shared, "threads": dask_worker.state.nthreads}
    return {**facts, "missing": _missing(guest.dataset, files) if guest.dataset else []}


def _missing(place: Path, files: Files) -> list[str]:
    """The files of which the place, a directory or one file, has no copy, by name."""
    folder = place.parent if place.is_file() else place
    here = digests([folder / Path(file).name for file in files])
    return [file for file, digest in files.items() if here.get(str(folder / Path(file).name)) != digest]


def accept(token: str, files: Mapping[str, bytes]) -> None:
    """The files of the dataset, by name."""
    folder = _guests[token].dataset
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def stop(token: str) -> None:
    """Ask the running trials of the study to commit and stop."""
    if token in _guests:
        _guests[token].stopping = True


def farewell(token: str) -> None:
    """Forget the study."""
    if (guest := _guests.pop(token, None)) is not None:
        shutil.rmtree(guest.scratch, ignore_errors=True)


def work(
    token: str,
    function: str,
    arguments: Mapping[str, Any],
    before: Packed | None,
    sources: Mapping[str, bytes],
    fork: bool,
) -> tuple[Ended, Packed | None]:
    """Call the function, by its dotted name, as `Pool` does; its answer, and the files of its run if it is not shared.

    `before` is the run as the study has it, `sources` are files of the user's own rules. WorkerDied where the process
    of the trial died, or this one is another than the study knows.
    """
    if (guest := _guests.get(token)) is None:
        raise WorkerDied("the worker was started again")
    run = None
    arguments = {**arguments, "dataset": None if guest.dataset is None else str(guest.dataset)}
    if "folder" in arguments and not guest.shared:
        run = guest.scratch / "runs" / arguments["name"]
        shutil.rmtree(run, ignore_errors=True)
        if before:
            unpack(before, run)
        arguments["folder"] = str(run.parent)
    try:
        ended = _in_a_process(function, arguments, sources, fork, lambda: guest.stopping, _taken_away())
        return ended, pack(run) if run is not None and run.is_dir() else None
    finally:
        if run is not None:
            shutil.rmtree(run, ignore_errors=True)


def _in_a_process(
    function: str,
    arguments: Mapping[str, Any],
    sources: Mapping[str, bytes],
    fork: bool,
    *reasons: Callable[[], bool],
) -> Ended:
    """A process, because a trial sets what a process has once: threads, dtype, generators."""
    # A dask worker with a nanny is a daemon, which may have no children; the fork server ends with this process.
    multiprocessing.current_process().daemon = False
    with Pool(function.partition(":")[0], 1, fork) as pool:
        call = {"function": function, "arguments": dict(arguments), "sources": dict(sources)}
        future = pool.submit(f"{__name__}:called", call)
        while not wait([future], timeout=_POLL_SECONDS).done:
            if any(reason() for reason in reasons):
                pool.stop()
        return pool.result(future)


def called(
    function: str, arguments: Mapping[str, Any], sources: Mapping[str, bytes], stop: Callable[[], bool]
) -> Ended:
    """In the process of the trial: the function, with the user's own rules as they were sent."""
    own.remote_sources.update(sources)
    return pkgutil.resolve_name(function)(**arguments, stop=stop)  # type: ignore[no-any-return]


def _taken_away() -> Callable[[], bool]:
    """Whether the scheduler has taken this task from the worker, or the worker is about to end."""
    from distributed import get_worker

    worker = get_worker()
    key, tasks = worker.get_current_task(), worker.state.tasks

    def taken_away() -> bool:
        task = tasks.get(key)
        return task is None or task.state == "cancelled"

    return taken_away


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

    It is readable, its checkpoints have the checksums in their names, and `check` has accepted it, or nothing is
    changed: DataError or CheckpointError, or what `check` raises.
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
    if not isinstance(packed, dict):
        raise DataError(f"expected files, got {shown(packed)}")
    if len({str(name).lower() for name in packed}) < len(packed):
        raise DataError("two of its files have names that are one name on some systems")
    for name, entry in packed.items():
        if not (isinstance(name, str) and isinstance(entry, tuple) and list(map(type, entry)) == [str, bytes]):
            raise DataError(f"expected a file with its SHA-256 and content, got {shown(name)}")
        digest, data = entry
        try:
            if name.lower() in (STUDY, TRIALS):  # which would make the run a study
                raise ValueError
            run_name(name.removeprefix(f"{_FOLDER}/"))  # safe as a path on any system
        except ValueError:
            raise DataError(f"{shown(name)} is not a file of a run") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise DataError(f"{name} was damaged on its way: its SHA-256 is not {digest[:16]}...")
    return {name: data for name, (_, data) in packed.items()}
