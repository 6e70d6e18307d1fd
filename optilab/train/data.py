"""FashionMNIST as its four raw IDX files: find, verify, fetch, read.

The digests of the uncompressed files are pinned below, so no source needs to be trusted: a mirror, Debian's
package and a folder copied from another machine all yield the same bytes or an error. Nothing here imports
torch; only a fetch asks torchvision, which knows where the dataset is published.

Sources: the IDX format, http://yann.lecun.com/exdb/mnist; the dataset, Xiao, Rasul and Vollgraf 2017.
"""

import gzip
import hashlib
import io
import math
import os
import re
import secrets
import shlex
import shutil
import subprocess
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optilab.errors import DataError, SystemFailure, UsageError, did_you_mean

if TYPE_CHECKING:
    from http.client import HTTPResponse

FASHION_MNIST: dict[str, str] = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""File name -> SHA-256 of the uncompressed file; training set, then test set."""

DATASETS = ("fashion-mnist", "idx")
"""`fashion-mnist`: the digests above. `idx`: the same four names, their digests in SHA256SUMS beside them."""

PACKAGE = "dataset-fashion-mnist"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")

MAX_BYTES = 200_000_000
"""No file is bigger, compressed or not; the largest real one has 47 MB."""

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
"""Read after the system's own settings, whose hooks serve the system's own lists and may need root."""

Report = Callable[[str, int, int | None], None]
"""report(label, bytes done, bytes in total or None where that is not known)"""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A verified dataset in memory; the arrays are read-only views of the bytes that were verified."""

    name: str
    folder: Path
    train_images: NDArray[np.uint8]  # (n, height, width), 0..255
    train_labels: NDArray[np.uint8]  # (n,), 0..classes-1
    test_images: NDArray[np.uint8]  # (m, height, width)
    test_labels: NDArray[np.uint8]  # (m,)
    digests: dict[str, str]  # file name -> SHA-256 of the uncompressed file

    @property
    def classes(self) -> int:
        """The number of classes: the largest label of the training set plus one."""
        return int(self.train_labels.max()) + 1


class FileCheck(NamedTuple):
    """One row of `optilab data verify`."""

    name: str
    path: Path
    size: int  # bytes, uncompressed
    digest: str  # SHA-256, uncompressed
    ok: bool
    problem: str  # what was expected and found, and the remedy; empty where ok


def search_path(folder: Path | None = None) -> list[tuple[str, Path]]:
    """Where a dataset is searched, in order, as (label, folder).

    A folder that the user names, by argument or in OPTILAB_DATA, is the only one: no other takes its place
    silently. Otherwise the user's cache, then the folder of Debian's package.
    """
    if folder is not None:
        return [("--data-dir", folder.expanduser())]
    if named := os.environ.get("OPTILAB_DATA"):
        return [("OPTILAB_DATA", Path(named).expanduser())]
    import platformdirs

    cache = platformdirs.user_cache_path("optilab") / "fashion-mnist"
    return [("user cache", cache), ("Debian package", DEBIAN)]


def find(folder: Path | None = None) -> Path | None:
    """The first folder of the search path that holds all four files, each as NAME or NAME.gz; else None.

    FOLDER/NAME and torchvision's layout, FOLDER/FashionMNIST/raw/NAME, are accepted. The pickles of
    torchvision's legacy layout, processed/*.pt, are never looked at.
    """
    for _, place in search_path(folder):
        for candidate in (place, place / "FashionMNIST" / "raw"):
            if not _missing(candidate):
                return candidate
    return None


def load(dataset: str, folder: Path | None = None) -> Dataset:
    """Read and verify a dataset: each file once, and the bytes that are verified are the bytes that are used.

    `dataset` is one of DATASETS; `idx` needs a folder (or OPTILAB_DATA). Raises DataError that names every bad
    file, what was expected, what was found and the remedy; UsageError on an unknown `dataset`.
    """
    rows, found = _inspect(dataset, folder)
    if found is None:
        raise DataError("\n".join(row.problem for row in rows if not row.ok))
    return found


def verify(dataset: str, folder: Path | None = None) -> list[FileCheck]:
    """Check the four files, one row each. A damaged file is a row that is not ok; a missing one is a DataError.

    A file is ok if it has the expected digest and is well-formed. Raises DataError as well where all four are
    ok but do not fit each other, as labels that are fewer than the images.
    """
    return _inspect(dataset, folder)[0]


def _file(place: Path, name: str) -> Path:
    """The raw file where it is there, else its .gz, which may be missing too."""
    return place / name if os.path.isfile(place / name) else place / f"{name}.gz"


def _missing(place: Path) -> list[str]:
    return [name for name in FASHION_MNIST if not os.path.isfile(_file(place, name))]


def _target(folder: Path | None) -> str:
    return "" if folder is None else f" --data-dir {shlex.quote(str(folder))}"


def _not_found(dataset: str, folder: Path | None) -> str:
    lines = [f"dataset {dataset} was not found; it is four files, each NAME or NAME.gz; searched:"]
    for label, place in search_path(folder):
        state = "" if os.path.isdir(place) else "is no folder, "
        lines.append(f"  {label}: {place}: {state}lacks {', '.join(_missing(place))}")
    return "\n".join(lines)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _require(where: Path | str, expected: object, found: object) -> None:
    if expected != found:
        raise DataError(f"{where}: expected {expected}, found {found}")


def _inspect(dataset: str, folder: Path | None) -> tuple[list[FileCheck], Dataset | None]:
    """A row for each file and, if all of them are ok, the dataset."""
    if dataset not in DATASETS:
        hint = did_you_mean(dataset, DATASETS)
        raise UsageError(f"dataset {dataset!r} is unknown; accepted: {', '.join(DATASETS)}{hint}")
    if dataset == "idx" and len(search_path(folder)) > 1:
        raise DataError("dataset idx: expected its folder, found none; give --data-dir or set OPTILAB_DATA")
    pinned = dataset == "fashion-mnist"
    fetching = f"optilab data fetch{_target(folder)}"
    place = find(folder)
    if place is None:
        advice = f"run: {fetching}" if pinned else "put the files there or give another folder"
        raise DataError(f"{_not_found(dataset, folder)}\n{advice}")
    # A fetch writes where is searched first, and a raw file hides its .gz, so it heals every damaged file.
    remedy = f"delete this file and run: {fetching}" if pinned else "restore it, or its line in SHA256SUMS"
    rows: list[FileCheck] = []
    arrays: list[NDArray[np.uint8]] = []
    for name, expected in (FASHION_MNIST if pinned else _listed(place / "SHA256SUMS")).items():
        path, data, digest, problem = _file(place, name), b"", "", ""
        try:
            data = _read(path)
            digest = _sha256(data)
            _require(path, f"SHA-256 {expected}", f"SHA-256 {digest}")
            arrays.append(_parse(path, data, ndim=3 if "idx3" in name else 1))
        except DataError as error:
            problem = f"{error}; {remedy}"
        rows.append(FileCheck(name, path, len(data), digest, not problem, problem))
    if len(arrays) < len(rows):
        return rows, None
    digests = {row.name: row.digest for row in rows}
    found = Dataset(dataset, place, arrays[0], arrays[1], arrays[2], arrays[3], digests)
    _require_fit(found, [row.path for row in rows])
    return rows, found


def _listed(path: Path) -> dict[str, str]:
    """File name -> digest, from what `sha256sum NAME... > SHA256SUMS` writes."""
    if not os.path.isfile(path):
        raise DataError(f"{path}: expected the digests of the four files, found no file; write it with sha256sum")
    text = _read(path).decode("utf-8", "replace")
    lines = re.findall(r"^([0-9a-fA-F]{64}) [ *](?:\./)?(\S+)\s*$", text, re.MULTILINE)
    listed = {name: digest.lower() for digest, name in lines}
    for name in FASHION_MNIST:
        if name not in listed:
            raise DataError(f"{path}: expected a line `SHA-256  {name}`, found none; write it with sha256sum")
    return {name: listed[name] for name in FASHION_MNIST}


def _read(path: Path) -> bytes:
    """The uncompressed bytes of a file, at most MAX_BYTES of them."""
    try:
        with path.open("rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
                raise DataError(f"{path}: expected at most {MAX_BYTES} bytes, found {size}")
            return _unzip(path, file) if path.suffix == ".gz" else file.read(MAX_BYTES)
    except OSError as error:
        raise DataError(f"{path}: expected a readable file, found: {error.strerror}") from error


def _unzip(where: Path | str, file: BinaryIO) -> bytes:
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            data = stream.read(MAX_BYTES + 1)  # of a bomb, no more than that is unpacked
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{where}: expected a whole gzip file, found: {_printable(error)}") from error
    if len(data) > MAX_BYTES:
        raise DataError(f"{where}: expected at most {MAX_BYTES} bytes uncompressed, found more")
    return data


def _parse(path: Path, data: bytes, ndim: int) -> NDArray[np.uint8]:
    """IDX: big-endian uint32 magic (0x08 for uint8, then ndim) and ndim sizes; then the items in C order."""
    start = 4 * (1 + ndim)
    if len(data) < start:
        raise DataError(f"{path}: expected an IDX header of {start} bytes, found {len(data)} bytes in all")
    magic, *shape = np.frombuffer(data, ">u4", 1 + ndim).tolist()
    _require(path, f"IDX magic 0x{0x800 + ndim:08x}", f"IDX magic 0x{magic:08x}")
    if 0 in shape:
        raise DataError(f"{path}: expected at least one item, found shape {tuple(shape)}")
    length = start + math.prod(shape)
    _require(path, f"{length} bytes for shape {tuple(shape)}", f"{len(data)} bytes for shape {tuple(shape)}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _require_fit(data: Dataset, paths: Sequence[Path]) -> None:
    """Each well-formed by itself, do the four files make one dataset?"""
    _require(paths[1], f"{len(data.train_images)} labels", f"{len(data.train_labels)} labels")
    _require(paths[3], f"{len(data.test_images)} labels", f"{len(data.test_labels)} labels")
    trained, tested = data.train_images.shape[1:], data.test_images.shape[1:]
    _require(paths[2], f"images of shape {trained}", f"images of shape {tested}")
    if (largest := int(data.test_labels.max())) >= data.classes:  # no output would stand for it
        raise DataError(f"{paths[3]}: expected labels 0..{data.classes - 1} as in training, found {largest}")


def ensure(dataset: str, folder: Path | None, report: Report) -> Dataset:
    """`load`; first `fetch`, if FashionMNIST is nowhere on this machine and the user has named no folder.

    Raises what `load` and `fetch` raise. A dataset that is there but damaged is reported, not replaced.
    """
    if dataset == "fashion-mnist" and len(search_path(folder)) > 1 and find(folder) is None:
        try:
            fetch(report)
        except DataError as error:
            raise DataError(f"{_not_found(dataset, folder)}\n{error}") from None
    return load(dataset, folder)


def fetch(report: Report, folder: Path | None = None, mirrors: Sequence[str] | None = None) -> Path:
    """Put FashionMNIST's four uncompressed files into a folder and return it; files that are good stay.

    The folder is the first one of `search_path(folder)`: the given one, OPTILAB_DATA, or the user's cache. The
    sources are the mirrors (torchvision's list) and Debian's package where apt-get is there; none needs root.
    A file gets its name only when it is whole, verified and on the disk, so neither a kill nor a second fetch
    at the same time does harm. Raises DataError with all that was tried and why it failed, SystemFailure if
    the folder cannot be written.
    """
    destination = search_path(folder)[0][1]
    failures: list[str] = []
    try:
        destination.mkdir(parents=True, exist_ok=True)
        for source in (partial(_from_mirrors, mirrors), _from_debian):
            wanted = [name for name in FASHION_MNIST if not _is_good(destination, name)]
            try:
                for name, data in source(wanted, report) if wanted else ():
                    _store(destination / name, data)
                return destination
            except DataError as error:
                failures += str(error).splitlines()
    except OSError as error:
        reason = f"{error.filename or destination}: {error.strerror or error}"
        raise SystemFailure(f"{reason}; give another folder with --data-dir or OPTILAB_DATA") from error
    archives = ", ".join(f"{name}.gz" for name in FASHION_MNIST)
    lines = [
        f"FashionMNIST could not be fetched into {destination}; tried:",
        *(f"  {failure}" for failure in failures),
        "three ways out:",
        f"  1. on Debian or Ubuntu, as root: apt-get install {PACKAGE}",
        f"  2. download {archives} elsewhere, and give their folder with --data-dir or OPTILAB_DATA",
        f"  3. when the network is back: optilab data fetch{_target(folder)}",
    ]
    raise DataError("\n".join(lines))


def _is_good(place: Path, name: str) -> bool:
    try:
        return _sha256(_read(_file(place, name))) == FASHION_MNIST[name]
    except DataError:
        return False


def _store(path: Path, data: bytes) -> None:
    """Verified bytes under their final name, all at once and on the disk."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _from_mirrors(
    mirrors: Sequence[str] | None, wanted: Sequence[str], report: Report
) -> Iterator[tuple[str, bytes]]:
    """Yield (name, verified bytes); a DataError ends it at the first file that no mirror has."""
    if mirrors is None:
        from torchvision.datasets import FashionMNIST  # type: ignore[import-untyped]

        mirrors = FashionMNIST.mirrors
    for name in wanted:
        failures: list[str] = []
        for mirror in mirrors:
            url = f"{mirror.rstrip('/')}/{name}.gz"
            try:
                data = _unzip(url, io.BytesIO(_download(url, report)))
                _require(url, f"SHA-256 {FASHION_MNIST[name]}", f"SHA-256 {_sha256(data)}")
            except DataError as error:
                failures.append(str(error))
            else:
                yield name, data
                break
        else:
            raise DataError("\n".join(failures) or "mirrors: none is known")


def _download(url: str, report: Report) -> bytes:
    """The body of `url`, at most MAX_BYTES; DataError on every failure of the network or the server."""
    from http.client import HTTPException
    from urllib.error import HTTPError

    label = url.rpartition("/")[2]
    report(label, 0, None)
    data = bytearray()
    try:
        with _connect(url) as response:
            total = response.length  # None where the server does not say
            while chunk := response.read1(1 << 18):
                data += chunk
                if len(data) > MAX_BYTES:
                    raise DataError(f"{url}: expected at most {MAX_BYTES} bytes, found more")
                report(label, len(data), total)
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):  # it is an open response as well
            error.close()
        raise DataError(f"{url}: {_printable(error)}") from error
    if total is not None:
        _require(url, f"{total} bytes", f"{len(data)} bytes")
    return bytes(data)


def _connect(url: str) -> "HTTPResponse":
    """The answer to GET `url`, which must come within CONNECT_SECONDS.

    In a thread: urllib's own limit starts anew for each address of a name, and does not cover the name lookup.
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
            # A fresh machine has no package lists: fetch them to where that needs no root and leaves no trace.
            apt += ["-o", f"Dir::State::lists={scratch}/lists"]
            _run([*apt, "update"], scratch)
            _run([*apt, "download", PACKAGE], scratch)
        archive = next(scratch.glob("*.deb"), scratch / label)
        size = archive.stat().st_size
        report(label, size, size)
        _run(["dpkg-deb", "-x", str(archive), str(scratch)], scratch)
        for name in wanted:
            data = _read(_file(scratch / DEBIAN.relative_to("/"), name))
            _require(f"{label}: {name}", f"SHA-256 {FASHION_MNIST[name]}", f"SHA-256 {_sha256(data)}")
            yield name, data


def _run(command: Sequence[str], folder: Path) -> None:
    """Run a program in `folder`; DataError with its complaint, or that it took too long."""
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
        raise DataError(f"{shlex.join(command)}: exit status {done.returncode}: {_printable(' '.join(errors))}")


def _printable(text: object) -> str:
    """One line of at most 300 characters, none of them a control character: a server wrote it."""
    line = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else "?" for letter in line[:300])
