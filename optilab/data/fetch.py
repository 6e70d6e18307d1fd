"""Fetch a dataset from its mirrors or Debian's package; files are verified and written atomically."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from optilab.data.catalog import DatasetInfo, destination, file_of, find, not_found
from optilab.data.read import (
    Dataset,
    info_of,
    load,
    one_line,
    read_content,
    require,
    require_size,
    sha256,
    unzip,
)
from optilab.errors import DataError, SystemFailure, UsageError
from optilab.files import write_atomic

SECONDS = 10.0
"""Until a server is given up that sends nothing."""
APT_SECONDS = 300.0
"""For one call of apt-get."""
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
"""Read after the system's settings; it clears their hooks, which concern the system's own lists and may need root."""

Report = Callable[[str, int, int | None], None]
"""report(label, bytes done, bytes in total or None if unknown)"""
Source = Callable[[DatasetInfo, Sequence[str], Report], Iterator[tuple[str, bytes]]]
"""Yields (name, verified content) of the files that are asked for; DataError at the first that it lacks."""


def ensure(dataset: str, folder: Path | None, report: Report) -> Dataset:
    """`load` a dataset; `fetch` a published one first if it is not on this machine and the user named no directory.

    Raises what `load` and `fetch` raise. A damaged dataset is reported, not replaced.
    """
    info, is_named = info_of(dataset), folder or os.environ.get("OPTILAB_DATA")
    if info.torchvision and not is_named and find(info) is None:
        try:
            fetch(dataset, report)
        except DataError as error:
            raise DataError(f"{not_found(info, folder)}\n{error}") from None
    return load(dataset, folder)


def fetch(
    dataset: str, report: Report, folder: Path | None = None, mirrors: Sequence[str] | None = None
) -> Path | None:
    """Put the files of a dataset into a directory and return it; intact files are kept. None where there are no files.

    The directory is `catalog.destination`: in the argument, in OPTILAB_DATA, or in the user's cache. The sources are
    the mirrors of torchvision (or `mirrors`) and, where there is a package and apt-get exists, Debian's package; none
    needs root. A file gets its name only once it is complete, verified and on disk, so a kill or a concurrent fetch
    does no harm. Raises DataError that lists every attempt and its failure, UsageError for the user's images,
    SystemFailure if the directory cannot be written.
    """
    info = info_of(dataset)
    if info.is_custom:
        raise UsageError(f"{dataset} is your images; there is nothing to fetch")
    if not info.torchvision:
        return None
    place, failures = destination(info, folder), list[str]()
    sources: list[Source] = [partial(_from_mirrors, _mirrors(info) if mirrors is None else mirrors)]
    for source in [*sources, _from_debian] if info.package else sources:
        lacking = [name for name in info.digests if not _is_intact(info, place, name)]
        try:
            for name, content in source(info, lacking, report) if lacking else ():
                _write(place / name, content)
            return place
        except DataError as error:
            failures += str(error).splitlines()
    package = f", or install Debian's package {info.package}" if info.package else ""
    archives = ", ".join(f"{name.removesuffix('.gz')}.gz" for name in info.digests)
    raise DataError(
        "\n  ".join([f"{info.title} could not be fetched into {place}; tried:", *failures])
        + f"\ndownload {archives} elsewhere, and give their directory with --data-dir or OPTILAB_DATA{package}"
    )


def _is_intact(info: DatasetInfo, place: Path, name: str) -> bool:
    try:
        return sha256(read_content(file_of(place, name), name)) == info.digests[name]
    except DataError:
        return False


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = next(filter(Path.is_file, path.parents))
        raise SystemFailure(f"{file} is a file, not a directory") from None
    except OSError as error:
        raise SystemFailure(f"{error.filename or path.parent}: {error.strerror}") from error
    write_atomic(path, content)


def _mirrors(info: DatasetInfo) -> Sequence[str]:
    from torchvision import datasets  # type: ignore[import-untyped]

    mirrors: Sequence[str] = getattr(datasets, info.torchvision).mirrors
    return mirrors


def _from_mirrors(
    mirrors: Sequence[str], info: DatasetInfo, names: Sequence[str], report: Report
) -> Iterator[tuple[str, bytes]]:
    """From directories on the web that have the files as NAME.gz, each from the first that has it intact."""
    for name in names:
        failures: list[str] = []
        for mirror in mirrors:
            url = f"{mirror.rstrip('/')}/{name.removesuffix('.gz')}.gz"
            try:
                archive = _download(url, report)
                content = archive if name.endswith(".gz") else unzip(url, archive)
                require(url, f"SHA-256 {info.digests[name]}", f"SHA-256 {sha256(content)}")
            except DataError as error:
                failures.append(str(error))
            else:
                yield name, content
                break
        else:
            raise DataError("\n".join(failures) or "mirrors: none is known")


def _download(url: str, report: Report) -> bytes:
    """The body at an address; DataError on every failure of the network or the server."""
    from http.client import HTTPException
    from urllib.request import urlopen

    label, body = url.rpartition("/")[2], bytearray()
    report(label, 0, None)
    try:
        with urlopen(url, timeout=SECONDS) as response:
            total = response.length
            while chunk := response.read1(1 << 18):
                body += chunk
                require_size(url, len(body))
                report(label, len(body), total)
    except (OSError, HTTPException) as error:
        raise DataError(f"{url}: {one_line(error) or type(error).__name__}") from None
    if total is not None:
        require(url, f"{total} bytes", f"{len(body)} bytes")
    return bytes(body)


def _from_debian(info: DatasetInfo, names: Sequence[str], report: Report) -> Iterator[tuple[str, bytes]]:
    """From Debian's package, unpacked in a temporary directory without root.

    Nothing of the package is executed: `dpkg-deb -x` unpacks its files and runs no script.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DataError("apt-get and dpkg-deb: not on this machine")
    assert info.package_folder is not None
    label = f"{info.package}.deb"
    report(label, 0, None)
    with tempfile.TemporaryDirectory(prefix="optilab-fetch-") as folder:
        scratch = Path(folder)
        for part in ("lists/partial", "cache/archives/partial"):
            (scratch / part).mkdir(parents=True)
        (scratch / "apt.conf").write_text(APT_CONFIG.format(scratch=scratch), encoding="utf-8")
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
        archive = next(scratch.glob("*.deb"), scratch / label)
        report(label, archive.stat().st_size, archive.stat().st_size)
        _run(["dpkg-deb", "-x", str(archive), str(scratch)], scratch)
        for name in names:
            content = read_content(file_of(scratch / info.package_folder.relative_to("/"), name), name)
            require(f"{label}: {name}", f"SHA-256 {info.digests[name]}", f"SHA-256 {sha256(content)}")
            yield name, content


def _run(command: Sequence[str], folder: Path) -> None:
    """Run a program in `folder`; DataError with its error output, or if it takes too long."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
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
        raise DataError(f"{' '.join(command)}: exit status {done.returncode}: {one_line(' '.join(errors))}")
