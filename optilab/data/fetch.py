"""Fetch a dataset by torchvision or from Debian's package; files are verified and written atomically."""

import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path

from optilab import system
from optilab.data.catalog import DatasetInfo, destination, file_of, find, missing_message
from optilab.data.read import Dataset, as_single_line, expect_equal, info_of, load, read_content, sha256
from optilab.errors import DataError, UsageError, system_failures
from optilab.files import FILE_MODE, write_atomic

_POLL_SECONDS = 0.1
SECONDS = 10.0
"""Time limit of a server that sends nothing."""
APT_SECONDS = 300.0
"""Time limit of one call of apt-get."""
APT_CONFIG = """\
Dir::Cache "{scratch}/cache";
Acquire::Retries "0";
Acquire::http::Timeout "10";
Acquire::https::Timeout "10";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""
"""Options of apt-get that are read after the system's settings; they clear its hooks, which concern its own lists
and may need root.
"""


def load_or_fetch(dataset: str, directory: str | Path | None = None) -> Dataset:
    """`load` a dataset; `fetch` a published one first if it is not on this machine and the user named no directory.

    Raises what `load` and `fetch` raise. A damaged dataset is reported, not replaced.
    """
    info, place = info_of(dataset), Path(directory) if directory else None
    is_named = place or os.environ.get("OPTILAB_DATA")
    if info.torchvision and not is_named and find(info) is None:
        try:
            fetch(dataset)
        except DataError as error:
            raise DataError(f"{missing_message(info, place)}\n{error}") from None
    return load(dataset, place)


def fetch(dataset: str, directory: Path | None = None) -> Path | None:
    """Put the files of a dataset into a directory and return it; intact files are kept. None where there are no files.

    The directory is `catalog.destination`: in the argument, in OPTILAB_DATA, or in the user's cache. The sources are
    torchvision and, where there is a package and apt-get exists, Debian's package; none needs root. A file gets its
    name only once all are verified and it is on disk, so a kill or a concurrent fetch does no harm, and the next
    fetch removes what a killed one left. Raises DataError that lists every attempt and its failure, UsageError for
    the user's images, SystemFailure if the directory cannot be written.
    """
    info = info_of(dataset)
    if info.is_custom:
        raise UsageError(f"{dataset} is your images; there is nothing to fetch")
    if not info.torchvision:
        return None
    place, failures = destination(info, directory), list[str]()
    if not _lacking(info, place):
        return place
    with _fetching(place):
        if not (lacking := _lacking(info, place)):  # another fetch has got them meanwhile
            return place
        for source in [_by_torchvision, *[_from_debian] * bool(info.package)]:
            with system_failures(), tempfile.TemporaryDirectory(prefix=".fetch.tmp-", dir=place) as scratch:
                try:
                    fetched = source(info, Path(scratch))
                    contents = {name: read_content(file_of(fetched, name), name) for name in lacking}
                    for name, content in contents.items():
                        expect_equal(
                            f"{info.title}: {name}", f"SHA-256 {info.digests[name]}", f"SHA-256 {sha256(content)}"
                        )
                except DataError as error:
                    failures += str(error).splitlines()
                    continue
            for name, content in contents.items():
                write_atomic(place / name, content)
            return place
    package = f", or install Debian's package {info.package}" if info.package else ""
    archives = ", ".join(f"{name.removesuffix('.gz')}.gz" for name in info.digests)
    raise DataError(
        "\n  ".join([f"{info.title} could not be fetched into {place}; tried:", *failures])
        + f"\ndownload {archives} elsewhere, and give their directory with --data-dir or OPTILAB_DATA{package}"
    )


@contextmanager
def _fetching(place: Path) -> Iterator[None]:
    """Make a directory for a fetch, and remove it if it stays empty.

    It waits for another fetch into the directory, whose lock the system releases however it ends, and removes what
    killed ones left.
    """
    missing = [path for path in (place, *place.parents) if not path.exists()]
    lock = place / ".fetch.lock"
    with system_failures():
        place.mkdir(parents=True, exist_ok=True)
        descriptor = _locked(lock)
    try:
        for path in place.glob(".*.tmp-*") if descriptor is not None else ():
            with suppress(OSError):
                remove = shutil.rmtree if path.is_dir() else Path.unlink
                remove(path)
        yield
    finally:
        if system.MOVES_OPEN:  # while it is locked: a fetch that waits for it sees that it is gone
            with suppress(OSError):
                lock.unlink(missing_ok=True)
        if descriptor is not None:
            os.close(descriptor)
        with suppress(OSError):  # another fetch has it open on Windows; or not empty
            if not system.MOVES_OPEN:
                lock.unlink(missing_ok=True)
            for path in missing:
                path.rmdir()


def _locked(file: Path) -> int | None:
    """The descriptor of a locked file; None where the file system has no locks."""
    while True:
        try:
            descriptor = system.lock(file, FILE_MODE)
        except BlockingIOError:
            time.sleep(_POLL_SECONDS)
            continue
        except OSError as error:
            if error.errno in system.NO_LOCKS:
                return None
            raise
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), file.stat()):
                return descriptor
        os.close(descriptor)  # of a fetch that has ended, which took the file away


def _lacking(info: DatasetInfo, place: Path) -> list[str]:
    """The files that are missing or damaged."""
    return [name for name in info.digests if not _is_intact(info, place, name)]


def _is_intact(info: DatasetInfo, place: Path, name: str) -> bool:
    try:
        return sha256(read_content(file_of(place, name), name)) == info.digests[name]
    except DataError:
        return False


def _by_torchvision(info: DatasetInfo, scratch: Path) -> Path:
    """The directory of what torchvision downloads from its mirrors; its bars are for a terminal."""
    from torchvision import datasets  # type: ignore[import-untyped]

    seconds = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS)
    try:
        with redirect_stderr(sys.stderr if sys.stderr.isatty() else io.StringIO()):
            getattr(datasets, info.torchvision)(scratch, download=True)
    except Exception as error:  # of the network, of the server, or of torchvision's reading of other bytes
        raise DataError("\n".join(map(as_single_line, str(error).splitlines())) or type(error).__name__) from None
    finally:
        socket.setdefaulttimeout(seconds)
    return scratch / info.torchvision / "raw"


def _from_debian(info: DatasetInfo, scratch: Path) -> Path:
    """The directory of Debian's package, unpacked without root.

    Nothing of the package is executed: `dpkg-deb -x` unpacks its files and runs no script.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DataError("apt-get and dpkg-deb: not on this machine")
    for part in ("lists/partial", "cache/archives/partial"):
        (scratch / part).mkdir(parents=True)
    (scratch / "apt.conf").write_text(APT_CONFIG.format(scratch=scratch), encoding="utf-8", newline="\n")
    apt = ["apt-get", "-c", "apt.conf"]
    try:
        _run([*apt, "download", info.package], scratch)
    except DataError as error:
        if "Unable to locate package" not in str(error):
            raise
        # A fresh machine has no package lists: fetch them into the temporary directory, which needs no root.
        apt += ["-o", f"Dir::State::lists={scratch}/lists"]
        _run([*apt, "update"], scratch)
        _run([*apt, "download", info.package], scratch)
    _run(["dpkg-deb", "-x", *map(str, scratch.glob("*.deb")), str(scratch)], scratch)
    assert info.package_directory is not None
    return scratch / info.package_directory.relative_to("/")


def _run(command: list[str], directory: Path) -> None:
    """Run a program in `directory`; DataError with its error output, or if it takes too long."""
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, "LC_ALL": "C"},  # one of the messages is read
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=APT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{' '.join(command)}: not done within {APT_SECONDS:g} s") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [done.stderr[-300:]]
        raise DataError(f"{' '.join(command)}: exit status {done.returncode}: {as_single_line(' '.join(errors))}")
