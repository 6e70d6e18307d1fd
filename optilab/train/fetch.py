"""Fetch FashionMNIST from torchvision's mirrors or Debian's package; files are verified and written atomically."""

import io
import os
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from optilab.errors import DataError, SystemFailure
from optilab.runs.files import write_atomic
from optilab.train import data

if TYPE_CHECKING:
    from http.client import HTTPResponse

PACKAGE = "dataset-fashion-mnist"

CONNECT_SECONDS = 5.0
STALL_SECONDS = 20.0
APT_SECONDS = 300.0

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


def ensure(dataset: str, folder: Path | None, report: Report) -> data.Dataset:
    """`load` a dataset; `fetch` FashionMNIST first if it is not on this machine and the user named no folder.

    Raises what `load` and `fetch` raise. A damaged dataset is reported, not replaced.
    """
    if dataset == "fashion-mnist" and len(data.search_path(folder)) > 1 and data.find(folder) is None:
        try:
            fetch(report)
        except DataError as error:
            raise DataError(f"{data.not_found(dataset, folder)}\n{error}") from None
    return data.load(dataset, folder)


def fetch(report: Report, folder: Path | None = None, mirrors: Sequence[str] | None = None) -> Path:
    """Put FashionMNIST's four uncompressed files into a folder and return it; intact files are kept.

    The folder is the first one of `search_path(folder)`: the argument, OPTILAB_DATA, or the user's cache. The
    sources are the mirrors (torchvision's list) and, where apt-get exists, Debian's package; none needs root.
    A file gets its name only once it is complete, verified and on disk, so a kill or a concurrent fetch does no
    harm. Raises DataError that lists every attempt and its failure, SystemFailure if the folder cannot be written.
    """
    destination = data.search_path(folder)[0][1]
    failures: list[str] = []
    try:
        destination.mkdir(parents=True, exist_ok=True)
        for source in (partial(_from_mirrors, mirrors), _from_debian):
            wanted = [name for name in data.FASHION_MNIST if not _is_good(destination, name)]
            try:
                for name, content in source(wanted, report) if wanted else ():
                    write_atomic(destination / name, content)
                return destination
            except DataError as error:
                failures += str(error).splitlines()
    except (OSError, SystemFailure) as error:
        reason = f"{error.filename or destination}: {error.strerror}" if isinstance(error, OSError) else error
        raise SystemFailure(f"{reason}; give another folder with --data-dir or OPTILAB_DATA") from error
    archives = ", ".join(f"{name}.gz" for name in data.FASHION_MNIST)
    lines = [
        f"FashionMNIST could not be fetched into {destination}; tried:",
        *(f"  {failure}" for failure in failures),
        "three ways out:",
        f"  1. on Debian or Ubuntu, as root: apt-get install {PACKAGE}",
        f"  2. download {archives} elsewhere, and give their folder with --data-dir or OPTILAB_DATA",
        f"  3. when the network is back: optilab data fetch{data.target(folder)}",
    ]
    raise DataError("\n".join(lines))


def _is_good(place: Path, name: str) -> bool:
    try:
        return data.sha256(data.read_file(data.file_of(place, name))) == data.FASHION_MNIST[name]
    except DataError:
        return False


def _require_digest(where: str, name: str, content: bytes) -> None:
    data.require(where, f"SHA-256 {data.FASHION_MNIST[name]}", f"SHA-256 {data.sha256(content)}")


def _from_mirrors(
    mirrors: Sequence[str] | None, wanted: Sequence[str], report: Report
) -> Iterator[tuple[str, bytes]]:
    """Yield (name, verified bytes); DataError at the first file that no mirror has."""
    if mirrors is None:
        from torchvision.datasets import FashionMNIST  # type: ignore[import-untyped]

        mirrors = FashionMNIST.mirrors
    for name in wanted:
        failures: list[str] = []
        for mirror in mirrors:
            url = f"{mirror.rstrip('/')}/{name}.gz"
            try:
                content = data.unzip(url, io.BytesIO(_download(url, report)))
                _require_digest(url, name, content)
            except DataError as error:
                failures.append(str(error))
            else:
                yield name, content
                break
        else:
            raise DataError("\n".join(failures) or "mirrors: none is known")


def _download(url: str, report: Report) -> bytes:
    """The body of `url`, at most MAX_BYTES; DataError on every failure of the network or the server."""
    from http.client import HTTPException
    from urllib.error import HTTPError

    label = url.rpartition("/")[2]
    report(label, 0, None)
    body = bytearray()
    try:
        with _connect(url) as response:
            total = response.length  # None if the server does not send it
            while chunk := response.read1(1 << 18):
                body += chunk
                if len(body) > data.MAX_BYTES:
                    raise DataError(f"{url}: expected at most {data.MAX_BYTES} bytes, found more")
                report(label, len(body), total)
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):  # it is an open response as well
            error.close()
        raise DataError(f"{url}: {data.one_line(error)}") from error
    if total is not None:
        data.require(url, f"{total} bytes", f"{len(body)} bytes")
    return bytes(body)


def _connect(url: str) -> "HTTPResponse":
    """The response to GET `url`; TimeoutError if it does not arrive within CONNECT_SECONDS.

    Runs in a thread, because urllib's own limit restarts for each address of a host and does not cover DNS.
    """
    from concurrent.futures import Future
    from urllib.request import urlopen

    answer: Future[HTTPResponse] = Future()

    def connect() -> None:
        try:
            answer.set_result(urlopen(url, timeout=STALL_SECONDS))
        except Exception as error:
            answer.set_exception(error)

    def discard(late: "Future[HTTPResponse]") -> None:
        if late.exception() is None:
            late.result().close()

    threading.Thread(target=connect, daemon=True).start()
    try:
        return answer.result(CONNECT_SECONDS)
    except TimeoutError:
        answer.add_done_callback(discard)
        raise TimeoutError(f"no answer within {CONNECT_SECONDS:g} s") from None


def _from_debian(wanted: Sequence[str], report: Report) -> Iterator[tuple[str, bytes]]:
    """Yield (name, verified bytes) from Debian's package, unpacked in a temporary folder without root.

    Nothing of the package is executed: `dpkg-deb -x` unpacks its files and runs no script.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DataError("apt-get and dpkg-deb: not on this machine")
    label = f"{PACKAGE}.deb"
    report(label, 0, None)
    with tempfile.TemporaryDirectory(prefix="optilab-fetch-") as folder:
        scratch = Path(folder)
        for part in ("lists/partial", "cache/archives/partial"):
            (scratch / part).mkdir(parents=True)
        (scratch / "apt.conf").write_text(APT_CONFIG.format(scratch=scratch), encoding="utf-8")
        apt = ["apt-get", "-c", "apt.conf"]
        try:
            _run([*apt, "download", PACKAGE], scratch)
        except DataError as error:
            if "Unable to locate package" not in str(error):
                raise
            # A fresh machine has no package lists: fetch them into the temporary folder, which needs no root.
            apt += ["-o", f"Dir::State::lists={scratch}/lists"]
            _run([*apt, "update"], scratch)
            _run([*apt, "download", PACKAGE], scratch)
        archive = next(scratch.glob("*.deb"), scratch / label)
        size = archive.stat().st_size
        report(label, size, size)
        _run(["dpkg-deb", "-x", str(archive), str(scratch)], scratch)
        for name in wanted:
            content = data.read_file(data.file_of(scratch / data.DEBIAN.relative_to("/"), name))
            _require_digest(f"{label}: {name}", name, content)
            yield name, content


def _run(command: Sequence[str], folder: Path) -> None:
    """Run a program in `folder`; DataError with its error output, or if it exceeds APT_SECONDS."""
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
        raise DataError(f"{shlex.join(command)}: not done within {APT_SECONDS:g} s") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [done.stderr[-300:]]
        raise DataError(f"{shlex.join(command)}: exit status {done.returncode}: {data.one_line(' '.join(errors))}")
