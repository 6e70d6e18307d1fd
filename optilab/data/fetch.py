"""Fetch a dataset from its mirrors or Debian's package; files are verified and written atomically."""

import io
import os
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from optilab.data import catalog, formats
from optilab.data import read as data
from optilab.data.catalog import DatasetInfo
from optilab.data.formats import one_line, require, sha256
from optilab.errors import DataError, SystemFailure, UsageError
from optilab.files import write_atomic

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from urllib.request import Request

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


@dataclass(frozen=True)
class FetchLimits:
    """What a fetch may take before it is given up."""

    connect: float = 5.0
    """Seconds until the answer to a request."""
    stall: float = 20.0
    """Seconds without a byte."""
    slowest: float = 1000.0
    """Bytes per second, on average over `stall` seconds."""
    resumes: int = 10
    """How often one file is continued after a cut."""
    apt: float = 300.0
    """Seconds for one call of apt-get."""


LIMITS = FetchLimits()


def ensure(dataset: str, folder: Path | None, report: Report) -> data.Dataset:
    """`load` a dataset; `fetch` a published one first if it is not on this machine and the user named no directory.

    Raises what `load` and `fetch` raise. A damaged dataset is reported, not replaced.
    """
    info = data.info_of(dataset)
    if info.torchvision and not catalog.is_named(folder) and catalog.find(info) is None:
        try:
            fetch(dataset, report)
        except DataError as error:
            raise DataError(f"{catalog.not_found(info, folder)}\n{error}") from None
    return data.load(dataset, folder)


def fetch(
    dataset: str,
    report: Report,
    folder: Path | None = None,
    mirrors: Sequence[str] | None = None,
    limits: FetchLimits = LIMITS,
) -> Path | None:
    """Put the files of a dataset into a directory and return it; intact files are kept. None where there are no files.

    The directory is `catalog.destination`: in the argument, OPTILAB_DATA, or the user's cache. The sources are the
    mirrors and, where there is a package and apt-get exists, Debian's package; none needs root. A file gets its name
    only once it is complete, verified and on disk, so a kill or a concurrent fetch does no harm. Raises DataError that
    lists every attempt and its failure, UsageError for the user's own images, SystemFailure if the directory cannot be
    written.
    """
    info = data.info_of(dataset)
    if info.own:
        check = f"optilab data verify {dataset} --data-dir DIR"
        raise UsageError(f"{dataset} is your own images; there is nothing to fetch; to check them: {check}")
    if not info.torchvision:
        return None
    destination = catalog.destination(info, folder)
    attempts = [partial(_from_mirrors, info, _mirrors(info) if mirrors is None else mirrors)]
    attempts += [partial(_from_debian, info)] if info.package else []
    failures: list[str] = []
    made = [one for one in (destination, *destination.parents) if not one.exists()]
    try:
        destination.mkdir(parents=True, exist_ok=True)
        for source in attempts:
            wanted = [name for name in info.digests if not _is_good(info, destination, name)]
            try:
                for name, content in source(wanted, report, limits) if wanted else ():
                    write_atomic(destination / name, content)
                return destination
            except DataError as error:
                failures += str(error).splitlines()
    except (OSError, SystemFailure) as error:
        reason: object = error
        if isinstance(error, FileExistsError | NotADirectoryError):
            places = (destination, *destination.parents)
            reason = f"{next(filter(Path.is_file, places), destination)} is a file, not a directory"
        elif isinstance(error, OSError):
            reason = f"{error.filename or destination}: {error.strerror}"
        raise SystemFailure(str(reason)) from error
    for one in made:
        with suppress(OSError):
            one.rmdir()
    raise DataError("\n".join(_failed(info, destination, folder, failures)))


def _failed(info: DatasetInfo, destination: Path, folder: Path | None, failures: Sequence[str]) -> Iterator[str]:
    """What was tried, and what a person can do."""
    yield f"{info.title} could not be fetched into {destination}; tried:"
    yield from (f"  {failure}" for failure in failures)
    archives = ", ".join(name if name.endswith(".gz") else f"{name}.gz" for name in info.digests)
    ways = [f"on Debian or Ubuntu, as root: apt-get install {info.package}"] if info.package else []
    ways += [
        f"download {archives} elsewhere, and give their directory with --data-dir or OPTILAB_DATA",
        f"when the network is back: {catalog.fetching(info, folder)}",
    ]
    yield f"{('two', 'three')[len(ways) - 2]} ways out:"
    yield from (f"  {number}. {way}" for number, way in enumerate(ways, 1))


def _is_good(info: DatasetInfo, place: Path, name: str) -> bool:
    try:
        content = formats.read_file(catalog.file_of(place, name), packed=name.endswith(".gz"))
    except DataError:
        return False
    return sha256(content) == info.digests[name]


def _require_digest(where: str, info: DatasetInfo, name: str, content: bytes) -> None:
    require(where, f"SHA-256 {info.digests[name]}", f"SHA-256 {sha256(content)}")


def _mirrors(info: DatasetInfo) -> Sequence[str]:
    from torchvision import datasets  # type: ignore[import-untyped]

    mirrors: Sequence[str] = getattr(datasets, info.torchvision).mirrors
    return mirrors


def _from_mirrors(
    info: DatasetInfo, mirrors: Sequence[str], wanted: Sequence[str], report: Report, limits: FetchLimits
) -> Iterator[tuple[str, bytes]]:
    """Yield (name, verified bytes); DataError at the first file that no mirror has."""
    for name in wanted:
        failures: list[str] = []
        for mirror in mirrors:
            packed = name.endswith(".gz")
            url = f"{mirror.rstrip('/')}/{name}{'' if packed else '.gz'}"
            try:
                content = _Download(url, report, limits).run()
                if not packed:
                    content = formats.unzip(url, io.BytesIO(content))
                _require_digest(url, info, name, content)
            except DataError as error:
                failures.append(str(error))
            else:
                yield name, content
                break
        else:
            raise DataError("\n".join(failures) or "mirrors: none is known")


@dataclass
class _Download:
    """One file from one server, continued after a cut where the server allows it (RFC 9110, sections 13 and 14)."""

    url: str
    report: Report
    limits: FetchLimits
    body: bytearray = field(default_factory=bytearray)
    validator: str = ""
    """By which the server recognizes the file that was begun: its strong ETag, or its date."""
    resumable: bool = False

    def run(self) -> bytes:
        """The whole body, at most MAX_BYTES; DataError on every failure of the network or the server."""
        from http.client import HTTPException
        from urllib.error import HTTPError

        self.report(self._label, 0, None)
        for left in reversed(range(self.limits.resumes + 1)):
            had = len(self.body)
            try:
                self._receive()
                return bytes(self.body)
            except (OSError, HTTPException) as error:
                if isinstance(error, HTTPError):  # it is an open response as well
                    error.close()
                if not (left and self.resumable and len(self.body) > had):
                    raise DataError(f"{self.url}: {one_line(error) or type(error).__name__}") from error
        raise AssertionError("the last attempt returns or raises")

    @property
    def _label(self) -> str:
        return self.url.rpartition("/")[2]

    def _receive(self) -> None:
        """Ask for what is missing of the body, and add it."""
        from urllib.request import Request

        headers = {"Range": f"bytes={len(self.body)}-"} if self.body else {}
        if self.body and self.validator:
            headers["If-Range"] = self.validator
        with _connect(Request(self.url, headers=headers), self.limits) as response:
            part = response.status == 206
            begins = response.headers.get("Content-Range", "")
            if part and not begins.startswith(f"bytes {len(self.body)}-"):
                raise DataError(
                    f"{self.url}: asked for the rest from byte {len(self.body)}, found {one_line(begins)}"
                )
            if not part:
                self.body.clear()
            self.resumable = part or response.headers.get("Accept-Ranges") == "bytes"
            tag = response.headers.get("ETag", "")
            self.validator = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
            total = None if response.length is None else len(self.body) + response.length
            self._read(response, total)
        if total is not None and len(self.body) != total:
            raise ConnectionError(f"expected {total} bytes, found {len(self.body)} bytes")

    def _read(self, response: "HTTPResponse", total: int | None) -> None:
        since, had = time.monotonic(), len(self.body)
        while chunk := response.read1(1 << 18):
            self.body += chunk
            if len(self.body) > formats.MAX_BYTES:
                raise DataError(f"{self.url}: expected at most {formats.MAX_BYTES} bytes, found more")
            self.report(self._label, len(self.body), total)
            if (seconds := time.monotonic() - since) > self.limits.stall:
                if len(self.body) - had < self.limits.slowest * seconds:
                    raise DataError(f"{self.url}: slower than {self.limits.slowest:g} bytes per second")
                since, had = time.monotonic(), len(self.body)


def _connect(request: "Request", limits: FetchLimits) -> "HTTPResponse":
    """The response to a request; TimeoutError if it does not arrive in time.

    Runs in a thread, because urllib's own limit restarts for each address of a host and does not cover DNS.
    """
    from concurrent.futures import Future
    from urllib.request import urlopen

    answer: Future[HTTPResponse] = Future()

    def connect() -> None:
        try:
            answer.set_result(urlopen(request, timeout=limits.stall))
        except Exception as error:
            answer.set_exception(error)

    def discard(late: "Future[HTTPResponse]") -> None:
        if late.exception() is None:
            late.result().close()

    threading.Thread(target=connect, daemon=True).start()
    try:
        return answer.result(limits.connect)
    except TimeoutError:
        answer.add_done_callback(discard)
        raise TimeoutError(f"no answer within {limits.connect:g} s") from None


def _from_debian(
    info: DatasetInfo, wanted: Sequence[str], report: Report, limits: FetchLimits
) -> Iterator[tuple[str, bytes]]:
    """Yield (name, verified bytes) from Debian's package, unpacked in a temporary directory without root.

    Nothing of the package is executed: `dpkg-deb -x` unpacks its files and runs no script.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DataError("apt-get and dpkg-deb: not on this machine")
    label = f"{info.package}.deb"
    report(label, 0, None)
    with tempfile.TemporaryDirectory(prefix="optilab-fetch-") as folder:
        scratch = Path(folder)
        for part in ("lists/partial", "cache/archives/partial"):
            (scratch / part).mkdir(parents=True)
        (scratch / "apt.conf").write_text(APT_CONFIG.format(scratch=scratch), encoding="utf-8")
        apt = ["apt-get", "-c", "apt.conf"]
        try:
            _run([*apt, "download", info.package], scratch, limits)
        except DataError as error:
            if "Unable to locate package" not in str(error):
                raise
            # A fresh machine has no package lists: fetch them into the temporary directory, which needs no root.
            apt += ["-o", f"Dir::State::lists={scratch}/lists"]
            _run([*apt, "update"], scratch, limits)
            _run([*apt, "download", info.package], scratch, limits)
        archive = next(scratch.glob("*.deb"), scratch / label)
        size = archive.stat().st_size
        report(label, size, size)
        _run(["dpkg-deb", "-x", str(archive), str(scratch)], scratch, limits)
        assert info.package_folder is not None
        unpacked = scratch / info.package_folder.relative_to("/")
        for name in wanted:
            content = formats.read_file(catalog.file_of(unpacked, name))
            _require_digest(f"{label}: {name}", info, name, content)
            yield name, content


def _run(command: Sequence[str], folder: Path, limits: FetchLimits) -> None:
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
            timeout=limits.apt,
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{shlex.join(command)}: not done within {limits.apt:g} s") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [done.stderr[-300:]]
        raise DataError(f"{shlex.join(command)}: exit status {done.returncode}: {one_line(' '.join(errors))}")
