"""Datasets in memory: read by name, verified, and known to fit together.

The checksums of published datasets are in `data/catalog.py`, so no source needs to be trusted: a mirror, Debian's
package and a directory copied from another machine all yield the same bytes or an error. A file has at most MAX_BYTES,
and is read once, so the bytes that are verified are the ones used. This module does not import torch.
"""

import gzip
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optilab.data.catalog import (
    ARRAYS,
    DATASETS,
    IDX_FILES,
    DatasetInfo,
    file_of,
    find,
    missing_message,
    search_path,
)
from optilab.data.synthetic import draw
from optilab.errors import DataError, UsageError, unknown

MAX_BYTES = 200_000_000
"""Upper bound on the size of a file, compressed or not; the largest of FashionMNIST has 47 MB."""
MAX_CLASSES = 256

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A verified dataset in memory; the arrays are read-only."""

    name: str
    directory: Path | None  # or the .npz file; None where there are no files
    train_images: NDArray[np.uint8]  # (n, height, width), or with channels before or after both, 0..255
    train_labels: NDArray[np.uint8]  # (n,), 0..classes-1
    test_images: NDArray[np.uint8]  # (m, height, width), or with channels
    test_labels: NDArray[np.uint8]  # (m,)
    digests: dict[str, str]  # file name -> SHA-256 of the uncompressed file

    @property
    def classes(self) -> int:
        """The number of classes: the largest label of the training set plus one."""
        return int(self.train_labels.max()) + 1


class FileCheck(NamedTuple):
    """A file of a dataset, or an array that is not from a file, compared with its checksum."""

    name: str
    size: int  # bytes, uncompressed
    digest: str  # SHA-256, uncompressed
    problem: str = ""  # the expected and the actual content; empty if it is intact

    @property
    def ok(self) -> bool:
        return not self.problem


class Files(NamedTuple):
    """The arrays of a dataset, the checks of its files, and their directory."""

    directory: Path | None
    rows: list[FileCheck]
    arrays: Sequence[Array]
    """Images and labels of the training set, then of the test set; fewer where a row has a problem."""
    names: Sequence[str]
    """Names of these arrays in messages."""


def channels_first(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images as (n, channels, height, width), as convolutions of PyTorch take them.

    Of (n, height, width, channels) and (n, channels, height, width), channels are the shorter axis; the last of equals.
    """
    if images.ndim == 3:
        return images[:, None]
    return images if images.shape[1] < images.shape[3] else np.moveaxis(images, 3, 1)


def info_of(dataset: str) -> DatasetInfo:
    """The entry of a dataset. UsageError names the nearest."""
    if dataset not in DATASETS:
        raise UsageError(unknown("dataset", dataset, DATASETS))
    return DATASETS[dataset]


def load(dataset: str, directory: Path | None = None) -> Dataset:
    """Read and verify a dataset.

    `dataset` is a name in DATASETS; the user's images need `directory` (or OPTILAB_DATA). Raises DataError that names
    every bad file with its expected and its actual content; UsageError on an unknown `dataset`.
    """
    files = _read(dataset, directory)
    if problems := [row.problem for row in files.rows if not row.ok]:
        raise DataError("\n".join(problems))
    for array in files.arrays:
        array.flags.writeable = False
    train_images, train_labels, test_images, test_labels = files.arrays
    digests = {row.name: row.digest for row in files.rows}
    return Dataset(dataset, files.directory, train_images, train_labels, test_images, test_labels, digests)


def verify(dataset: str, directory: Path | None = None) -> list[FileCheck]:
    """The files of a dataset: each is intact if it has the expected checksum and is well-formed.

    Raises DataError if a file is missing, or if good files do not fit each other, such as fewer labels than images.
    """
    return _read(dataset, directory).rows


def status(info: DatasetInfo, directory: Path | None = None) -> tuple[str, Path | None]:
    """The state of a dataset on this machine (`ok`, `built in`, or the problem), and its directory. Nothing is
    fetched.
    """
    if info.is_custom:
        return "yours: data.dir names it", None
    if info.form in ("drawn", "scikit-learn"):
        available = info.form == "drawn" or find_spec("sklearn") is not None
        return "built in" if available else "needs optilab[digits]", None
    if (place := find(info, directory)) is None:
        return "not here", None
    damaged = [row.name for row in verify(info.name, directory) if not row.ok]
    return f"REFUSED: {', '.join(damaged)}" if damaged else "ok", place


def _read(dataset: str, directory: Path | None) -> Files:
    info = info_of(dataset)
    files = READERS[info.form](info, directory)
    if all(row.ok for row in files.rows):
        _require_fit(files)
    return files


def _require_fit(files: Files) -> None:
    """DataError unless the well-formed arrays make one dataset."""
    (train_images, train_labels, test_images, test_labels), names = files.arrays, files.names
    expect_equal(names[1], f"{len(train_images)} labels", f"{len(train_labels)} labels")
    expect_equal(names[3], f"{len(test_images)} labels", f"{len(test_labels)} labels")
    expect_equal(names[2], f"images of shape {train_images.shape[1:]}", f"images of shape {test_images.shape[1:]}")
    classes = int(train_labels.max()) + 1
    if (largest := int(test_labels.max())) >= classes:  # the network has no output for it
        raise DataError(f"{names[3]}: expected labels 0 to {classes - 1} as in training, found {largest}")


# --- bytes -------------------------------------------------------------------------------------------------


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def expect_equal(place: object, expected: object, actual: object) -> None:
    if expected != actual:
        raise DataError(f"{place}: expected {expected}, found {actual}")


def as_single_line(text: object) -> str:
    """Text from a server or a file as one line of at most 300 characters, without control characters."""
    line = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else "?" for letter in line[:300])


def read_file(path: Path) -> bytes:
    """The bytes of a file, at most MAX_BYTES of them."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: expected a readable file, found: {error.strerror}") from error
    require_size(path, len(data))
    return data


def unzip(where: object, data: bytes) -> bytes:
    """The content of a gzip file, at most MAX_BYTES: a decompression bomb is unpacked no further."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            content = stream.read(MAX_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{where}: expected a whole gzip file, found: {as_single_line(error)}") from error
    require_size(where, len(content))
    return content


def require_size(where: object, size: int) -> None:
    if size > MAX_BYTES:
        raise DataError(f"{where}: expected at most {MAX_BYTES:,} bytes, found more")


def read_content(path: Path, name: str) -> bytes:
    """The bytes that a checksum is computed from: the content of NAME or NAME.gz; the file itself for a name in .gz."""
    data = read_file(path)
    return unzip(path, data) if path.suffix == ".gz" and not name.endswith(".gz") else data


# --- four IDX files ----------------------------------------------------------------------------------------


def _read_idx(info: DatasetInfo, directory: Path | None) -> Files:
    """Four IDX files (http://yann.lecun.com/exdb/mnist), compared with their checksums and taken apart."""
    if (place := find(info, directory)) is None:
        raise DataError(missing_message(info, directory))
    digests = info.digests or _checksums_of(place / "SHA256SUMS")
    rows: list[FileCheck] = []
    arrays: list[Array] = []
    for name, expected in digests.items():
        path, content, digest, problem = file_of(place, name), b"", sha256(b""), ""
        try:
            content = read_content(path, name)
            digest = sha256(content)
            expect_equal(path, f"SHA-256 {expected}", f"SHA-256 {digest}")
            data = unzip(path, content) if name.endswith(".gz") else content
            arrays.append(_parse_idx(path, data, ndim=3 if "idx3" in name else 1))
        except DataError as error:
            problem = str(error)
        rows.append(FileCheck(name, len(content), digest, problem))
    return Files(place, rows, arrays, [str(file_of(place, name)) for name in digests])


def _checksums_of(path: Path) -> dict[str, str]:
    """File name -> checksum, from what `sha256sum NAME... > SHA256SUMS` writes."""
    text = read_file(path).decode("utf-8", "replace")
    lines = re.findall(r"^([0-9a-fA-F]{64}) [ *](?:\./)?(\S+)\s*$", text, re.MULTILINE)
    digests = {name: digest.lower() for digest, name in lines}
    if lacking := [name for name in IDX_FILES if name not in digests]:
        raise DataError(f"{path}: expected a line `SHA-256  {lacking[0]}`, as sha256sum writes it; found none")
    return {name: digests[name] for name in IDX_FILES}


def _parse_idx(path: Path, data: bytes, ndim: int) -> NDArray[np.uint8]:
    """IDX: big-endian uint32 magic (0x08 for uint8, then ndim) and ndim sizes; then the items in C order."""
    start = 4 * (1 + ndim)
    magic, *shape = np.frombuffer(data[:start].ljust(start, b"\0"), ">u4").tolist()
    if magic != 0x800 + ndim or 0 in shape or start + prod(shape) != len(data):
        raise DataError(
            f"{path}: expected an IDX file of bytes in {ndim} dimensions (magic 0x{0x800 + ndim:08x}), found magic "
            f"0x{magic:08x}, shape {tuple(shape)} and {len(data)} bytes"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


# --- one .npz file -----------------------------------------------------------------------------------------


def _read_npz(info: DatasetInfo, directory: Path | None) -> Files:
    """An .npz file with x_train, y_train, x_test and y_test, as Keras names them: the named file, or the only one
    of the named directory.

    It is never unpickled. DataError with all of its problems.
    """
    place = search_path(info, directory)[0]
    paths = sorted(place.glob("*.npz")) if place.is_dir() else [place]
    if len(paths) != 1:
        raise DataError(f"{place}: expected one .npz file, found {len(paths)}")
    data, problems, arrays = read_file(path := paths[0]), list[str](), list[Array]()
    try:
        _require_small(data)
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            if lacking := [name for name in ARRAYS if name not in file]:
                raise DataError(
                    f"it lacks {', '.join(lacking)}, and has {as_single_line(', '.join(file)) or 'nothing'}"
                )
            for name in ARRAYS:
                try:
                    arrays.append(_images(file[name]) if name.startswith("x") else _labels(file[name], name))
                except Exception as error:  # NumPy's parser of a header raises what Python's tokenizer does
                    problems.append(f"{path}: {name}: {as_single_line(error)}")
    except (DataError, zipfile.BadZipFile, OSError, EOFError, ValueError, AttributeError) as error:
        expected = "" if isinstance(error, DataError) else "expected an .npz file, found: "
        problems.append(f"{path}: {expected}{as_single_line(error)}")
    row = FileCheck(path.name, len(data), sha256(data), "\n".join(problems))
    return Files(path, [row], arrays, [f"{path}: {name}" for name in ARRAYS])


def _require_small(data: bytes) -> None:
    """DataError for arrays that would have more than MAX_BYTES, by the sizes that the archive lists."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            require_size(as_single_line(member.filename), member.file_size)


def _images(array: Array) -> Array:
    if array.dtype != np.uint8:
        values = f" from {array.min():g} to {array.max():g}" if array.dtype.kind in "buif" and array.size else ""
        raise DataError(f"expected uint8, pixels of 0 to 255, found {array.dtype}{values}")
    if array.ndim not in (3, 4) or not array.size:
        raise DataError(f"expected shape (images, height, width), or with channels, found {array.shape}")
    return np.ascontiguousarray(array)


def _labels(array: Array, name: str) -> Array:
    """Labels 0 to 255 as uint8; the column (n, 1) that Keras's CIFAR has is accepted.

    Each class up to the highest label needs a training image.
    """
    if array.dtype.kind not in "ui" or array.shape[1:] not in ((), (1,)) or not array.size:
        raise DataError(f"expected whole numbers of shape (images,), found {array.dtype} of shape {array.shape}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= MAX_CLASSES:
        raise DataError(f"expected labels 0 to {MAX_CLASSES - 1}, found {low} to {high}")
    if name == "y_train" and (unused := np.setdiff1d(np.arange(high), array)).size:
        raise DataError(
            f"expected an image of each class 0 to {high}, found none of {', '.join(map(str, unused[:5]))}"
        )
    return array.reshape(-1).astype(np.uint8)


# --- without files -----------------------------------------------------------------------------------------


def _read_synthetic(info: DatasetInfo, directory: Path | None) -> Files:
    """Images drawn from a seed."""
    return _checked(info, draw(info), "a defect of NumPy or of this machine")


def _read_digits(info: DatasetInfo, directory: Path | None) -> Files:
    """scikit-learn's digits: 1,797 images of 8 x 8 that ship with the package, so nothing is fetched.

    The last 360 are the test set, as `train_test_split(test_size=0.2, shuffle=False)` has it: other people wrote them.
    The values 0 to 16 are scaled to 0 to 255, rounded to the nearest integer. UsageError without scikit-learn.

    Source: the test set of Alpaydin and Kaynak 1998, https://archive.ics.uci.edu/dataset/80.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UsageError(
            f"dataset {info.name} needs scikit-learn: pip install scikit-learn (the extra digits)"
        ) from None
    digits, cut = load_digits(), info.train
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    arrays = images[:cut], labels[:cut], images[cut:], labels[cut:]
    return _checked(info, arrays, "another release of scikit-learn")


def _checked(info: DatasetInfo, arrays: Sequence[Array], cause: str) -> Files:
    """Arrays that are not from files, each with the checksum of its bytes in C order."""
    rows = []
    for (name, expected), array in zip(info.digests.items(), arrays, strict=True):
        digest = sha256(array.tobytes())
        problem = f"{info.name}: {name}: expected SHA-256 {expected}, found {digest}; this is {cause}"
        rows.append(FileCheck(name, array.nbytes, digest, "" if digest == expected else problem))
    return Files(None, rows, arrays, list(info.digests))


READERS: Mapping[str, Callable[[DatasetInfo, Path | None], Files]] = {
    "idx": _read_idx,
    "npz": _read_npz,
    "scikit-learn": _read_digits,
    "drawn": _read_synthetic,
}
"""`DatasetInfo.form` -> the function that reads it."""
