"""FashionMNIST as its four raw IDX files: find, verify, read.

The digests of the uncompressed files are pinned below, so no source needs to be trusted: a mirror, Debian's
package and a folder copied from another machine all yield the same bytes or an error. This module does not import
torch.

Sources: the IDX format, http://yann.lecun.com/exdb/mnist; the dataset, Xiao, Rasul and Vollgraf 2017.
"""

import gzip
import hashlib
import math
import os
import re
import shlex
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optilab.errors import DataError, UsageError, did_you_mean

FASHION_MNIST: dict[str, str] = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""File name -> SHA-256 of the uncompressed file; training set, then test set."""

DATASETS = ("fashion-mnist", "idx")
"""`fashion-mnist` has the digests above; `idx` has the same four file names, and their digests in SHA256SUMS."""

DEBIAN = Path("/usr/share/datasets/fashion-mnist")

MAX_BYTES = 200_000_000
"""Upper bound on the size of a file, compressed or not; the largest of FashionMNIST has 47 MB."""


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
    """The folders that are searched for a dataset, in order, as (label, folder).

    A folder that the user names, by argument or in OPTILAB_DATA, is the only one: no other replaces it silently.
    Otherwise the user's cache, then the folder of Debian's package.
    """
    if folder is not None:
        # A config is UTF-8; the system's names are bytes that another locale (LC_ALL=C) decodes otherwise.
        named_bytes = str(folder).encode("utf-8", "surrogateescape")
        return [("--data-dir", Path(os.fsdecode(named_bytes)).expanduser())]
    if named := os.environ.get("OPTILAB_DATA"):
        return [("OPTILAB_DATA", Path(named).expanduser())]
    import platformdirs

    cache = platformdirs.user_cache_path("optilab") / "fashion-mnist"
    return [("user cache", cache), ("Debian package", DEBIAN)]


def find(folder: Path | None = None) -> Path | None:
    """The first folder of the search path that holds all four files, each as NAME or NAME.gz; else None.

    FOLDER/NAME and torchvision's layout, FOLDER/FashionMNIST/raw/NAME, are accepted. The pickles of
    torchvision's legacy layout, processed/*.pt, are ignored.
    """
    for _, place in search_path(folder):
        for candidate in (place, place / "FashionMNIST" / "raw"):
            if not missing(candidate):
                return candidate
    return None


def load(dataset: str, folder: Path | None = None) -> Dataset:
    """Read and verify a dataset; each file is read once, so the verified bytes are the ones used.

    `dataset` is one of DATASETS; `idx` needs a folder (or OPTILAB_DATA). Raises DataError that names every bad
    file, what was expected, what was found and the remedy; UsageError on an unknown `dataset`.
    """
    rows, verified = _inspect(dataset, folder)
    if verified is None:
        raise DataError("\n".join(row.problem for row in rows if not row.ok))
    return verified


def verify(dataset: str, folder: Path | None = None) -> list[FileCheck]:
    """Check the four files, one row each: a file is ok if it has the expected digest and is well-formed.

    Raises DataError if a file is missing, or if four good files do not fit each other, such as fewer labels than
    images.
    """
    return _inspect(dataset, folder)[0]


def file_of(place: Path, name: str) -> Path:
    """The raw file if it exists, else its .gz, which may be missing, too."""
    return place / name if os.path.isfile(place / name) else place / f"{name}.gz"


def missing(place: Path) -> list[str]:
    return [name for name in FASHION_MNIST if not os.path.isfile(file_of(place, name))]


def target(folder: Path | None) -> str:
    return "" if folder is None else f" --data-dir {shlex.quote(str(folder))}"


def not_found(dataset: str, folder: Path | None) -> str:
    lines = [f"dataset {dataset} was not found; it is four files, each NAME or NAME.gz; searched:"]
    for label, place in search_path(folder):
        state = "" if os.path.isdir(place) else "is not a folder, "
        lines.append(f"  {label}: {place}: {state}lacks {', '.join(missing(place))}")
    return "\n".join(lines)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def require(where: Path | str, expected: object, found: object) -> None:
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
    fetching = f"optilab data fetch{target(folder)}"
    place = find(folder)
    if place is None:
        advice = f"run: {fetching}" if pinned else "put the files there or give another folder"
        raise DataError(f"{not_found(dataset, folder)}\n{advice}")
    # A fetch writes into the folder searched first, and a raw file hides its .gz, so it replaces any damaged file.
    remedy = f"delete this file and run: {fetching}" if pinned else "restore it, or its line in SHA256SUMS"
    rows: list[FileCheck] = []
    arrays: list[NDArray[np.uint8]] = []
    for name, expected in (FASHION_MNIST if pinned else _listed(place / "SHA256SUMS")).items():
        path, data, digest, problem = file_of(place, name), b"", "", ""
        try:
            data = read_file(path)
            digest = sha256(data)
            require(path, f"SHA-256 {expected}", f"SHA-256 {digest}")
            arrays.append(_parse(path, data, ndim=3 if "idx3" in name else 1))
        except DataError as error:
            problem = f"{error}; {remedy}"
        rows.append(FileCheck(name, path, len(data), digest, not problem, problem))
    if len(arrays) < len(rows):
        return rows, None
    digests = {row.name: row.digest for row in rows}
    verified = Dataset(dataset, place, arrays[0], arrays[1], arrays[2], arrays[3], digests)
    _require_fit(verified, [row.path for row in rows])
    return rows, verified


def _listed(path: Path) -> dict[str, str]:
    """File name -> digest, from what `sha256sum NAME... > SHA256SUMS` writes."""
    if not os.path.isfile(path):
        raise DataError(f"{path}: expected the digests of the four files, found no file; write it with sha256sum")
    text = read_file(path).decode("utf-8", "replace")
    lines = re.findall(r"^([0-9a-fA-F]{64}) [ *](?:\./)?(\S+)\s*$", text, re.MULTILINE)
    listed = {name: digest.lower() for digest, name in lines}
    for name in FASHION_MNIST:
        if name not in listed:
            raise DataError(f"{path}: expected a line `SHA-256  {name}`, found none; write it with sha256sum")
    return {name: listed[name] for name in FASHION_MNIST}


def read_file(path: Path) -> bytes:
    """The uncompressed bytes of a file, at most MAX_BYTES of them."""
    try:
        with path.open("rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
                raise DataError(f"{path}: expected at most {MAX_BYTES} bytes, found {size}")
            return unzip(path, file) if path.suffix == ".gz" else file.read(MAX_BYTES)
    except OSError as error:
        raise DataError(f"{path}: expected a readable file, found: {error.strerror}") from error


def unzip(where: Path | str, file: BinaryIO) -> bytes:
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            data = stream.read(MAX_BYTES + 1)  # a decompression bomb is unpacked no further
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{where}: expected a whole gzip file, found: {one_line(error)}") from error
    if len(data) > MAX_BYTES:
        raise DataError(f"{where}: expected at most {MAX_BYTES} bytes uncompressed, found more")
    return data


def _parse(path: Path, data: bytes, ndim: int) -> NDArray[np.uint8]:
    """IDX: big-endian uint32 magic (0x08 for uint8, then ndim) and ndim sizes; then the items in C order."""
    start = 4 * (1 + ndim)
    if len(data) < start:
        raise DataError(f"{path}: expected an IDX header of {start} bytes, found {len(data)} bytes in all")
    magic, *shape = np.frombuffer(data, ">u4", 1 + ndim).tolist()
    require(path, f"IDX magic 0x{0x800 + ndim:08x}", f"IDX magic 0x{magic:08x}")
    if 0 in shape:
        raise DataError(f"{path}: expected at least one item, found shape {tuple(shape)}")
    length = start + math.prod(shape)
    require(path, f"{length} bytes for shape {tuple(shape)}", f"{len(data)} bytes for shape {tuple(shape)}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _require_fit(data: Dataset, paths: Sequence[Path]) -> None:
    """DataError unless the four well-formed files make one dataset."""
    require(paths[1], f"{len(data.train_images)} labels", f"{len(data.train_labels)} labels")
    require(paths[3], f"{len(data.test_images)} labels", f"{len(data.test_labels)} labels")
    trained, tested = data.train_images.shape[1:], data.test_images.shape[1:]
    require(paths[2], f"images of shape {trained}", f"images of shape {tested}")
    if (largest := int(data.test_labels.max())) >= data.classes:  # the network has no output for it
        raise DataError(f"{paths[3]}: expected labels 0..{data.classes - 1} as in training, found {largest}")


def one_line(text: object) -> str:
    """Text from a server as one line of at most 300 characters, without control characters."""
    line = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else "?" for letter in line[:300])
