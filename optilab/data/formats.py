"""Datasets from where they are: four IDX files, one .npz file, a package, a generator of random numbers.

Reads of files are guarded: at most MAX_BYTES, each file once, so the bytes that are verified are the ones used.
"""

import gzip
import hashlib
import io
import math
import os
import re
import shlex
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optilab.data import catalog, formats
from optilab.data.catalog import ARRAYS, DATASETS, IDX_FILES, DatasetInfo
from optilab.errors import DataError, UsageError

MAX_BYTES = 200_000_000
"""Upper bound on the size of a file, compressed or not; the largest of FashionMNIST has 47 MB."""

Arrays = Sequence[NDArray[Any]]
"""Images and labels of the training set, then of the test set; uint8."""


class FileCheck(NamedTuple):
    """One row of `optilab data verify`."""

    name: str
    path: Path | None  # None for an array that is not from a file
    size: int  # bytes, uncompressed
    digest: str  # SHA-256, uncompressed
    ok: bool
    problem: str  # what was expected and found, and the remedy; empty where ok


class ReadDataset(NamedTuple):
    """What was read of a dataset, and from where."""

    folder: (
        Path | None
    )  # the directory or file that `data.dir` may name to read the same; None where there are no files
    rows: list[FileCheck]
    arrays: Arrays  # all four, or fewer where a row is not ok


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def require(where: Path | str, expected: object, found: object) -> None:
    if expected != found:
        raise DataError(f"{where}: expected {expected}, found {found}")


def read_file(path: Path, packed: bool = False) -> bytes:
    """The bytes of a file, at most MAX_BYTES of them; of NAME.gz uncompressed, unless they are wanted `packed`."""
    try:
        with path.open("rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
                raise DataError(f"{path}: expected at most {MAX_BYTES} bytes, found {size}")
            return unzip(path, file) if path.suffix == ".gz" and not packed else file.read(MAX_BYTES)
    except OSError as error:
        raise DataError(f"{path}: expected a readable file, found: {error.strerror}") from error


def unzip(where: Path | str, file: BinaryIO) -> bytes:
    """The content of a gzip file, at most MAX_BYTES."""
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            data = stream.read(MAX_BYTES + 1)  # a decompression bomb is unpacked no further
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{where}: expected a whole gzip file, found: {one_line(error)}") from error
    if len(data) > MAX_BYTES:
        raise DataError(f"{where}: expected at most {MAX_BYTES} bytes uncompressed, found more")
    return data


def one_line(text: object) -> str:
    """Text from a server or a file as one line of at most 300 characters, without control characters."""
    line = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else "?" for letter in line[:300])


def read_idx(info: DatasetInfo, folder: Path | None) -> ReadDataset:
    """Four IDX files (http://yann.lecun.com/exdb/mnist), compared with their checksums and taken apart.

    DataError where one is missing, or their checksums are not written down.
    """
    if info.own and not catalog.is_named(folder):
        raise DataError(f"dataset {info.name}: expected its directory (--data-dir or OPTILAB_DATA), found none")
    place = catalog.find(info, folder)
    if place is None:
        advice = [] if info.own else [f"run: {catalog.fetching(info, folder)}"]
        places = [one for _, one in catalog.search_path(info, folder)]
        rows = [row for one in places for row in _read(info, one, info.digests).rows]
        damaged = [row.problem for row in rows if row.problem and row.path and row.path.is_file()]
        raise DataError("\n".join([catalog.not_found(info, folder), *damaged, *advice]))
    return _read(info, place, info.digests or _listed(place / "SHA256SUMS"))


def _read(info: DatasetInfo, place: Path, digests: Mapping[str, str]) -> ReadDataset:
    """The files of a directory, compared with their checksums and taken apart."""
    rows: list[FileCheck] = []
    arrays: list[NDArray[Any]] = []
    for name, expected in digests.items():
        path, data, digest, problem = catalog.file_of(place, name), b"", "", ""
        try:
            data = read_file(path, packed=name.endswith(".gz"))
            digest = sha256(data)
            require(path, f"SHA-256 {expected}", f"SHA-256 {digest}")
            raw = unzip(name, io.BytesIO(data)) if name.endswith(".gz") else data
            arrays.append(_parse(path, raw, ndim=3 if "idx3" in name else 1))
        except DataError as error:
            problem = f"{error}{_other(info, digest)}"
        rows.append(FileCheck(name, path, len(data), digest, not problem, problem))
    return ReadDataset(place, rows, arrays)


def _other(info: DatasetInfo, digest: str) -> str:
    """The other dataset that a file with this checksum is of."""
    for other in DATASETS.values():
        if other is not info and digest in other.digests.values():
            return f", which is {other.title}'s ({other.name})"
    return ""


def _listed(path: Path) -> dict[str, str]:
    """File name -> checksum, from what `sha256sum NAME... > SHA256SUMS` writes."""
    made = f"write it: cd {shlex.quote(str(path.parent))} && sha256sum *ubyte* > {path.name}"
    if not os.path.isfile(path):
        raise DataError(f"{path}: expected the checksums of the four files, found no file; {made}")
    text = read_file(path).decode("utf-8", "replace")
    lines = re.findall(r"^([0-9a-fA-F]{64}) [ *](?:\./)?(\S+)\s*$", text, re.MULTILINE)
    listed = {name: digest.lower() for digest, name in lines}
    for name in IDX_FILES:
        if name not in listed:
            raise DataError(f"{path}: expected a line `SHA-256  {name}`, found none; {made}")
    return {name: listed[name] for name in IDX_FILES}


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


MOST_CLASSES = 256
_UNREADABLE = (DataError, zipfile.BadZipFile, zlib.error, ValueError, EOFError, RuntimeError)
"""RuntimeError: encrypted, or a compression that this Python lacks."""
_HEADERS: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(info: DatasetInfo, folder: Path | None) -> ReadDataset:
    """One .npz file with x_train, y_train, x_test and y_test, as Keras names them: that which is named, or the only one
    of the directory that is named.

    It is never unpickled. The headers are read before the arrays, so that a small file that claims huge arrays is
    refused, not allocated. DataError with all of its problems.
    """
    path = _path(info, folder)
    data = read_file(path)
    digest = sha256(data)
    problems, arrays = _arrays(path, data)
    rows = [FileCheck(path.name, path, len(data), digest, not problems, "\n".join(problems))]
    return ReadDataset(path, rows, arrays)


def _path(info: DatasetInfo, folder: Path | None) -> Path:
    if not catalog.is_named(folder):
        raise DataError(f"dataset {info.name}: expected its file (--data-dir FILE.npz), found none")
    label, place = catalog.search_path(info, folder)[0]
    where = f"{label}: {place}" if folder is None else f"{place}"
    found = catalog.npz_files(place)
    if len(found) != 1:
        names = f"{len(found)}: {', '.join(path.name for path in found[:5])}" if found else "none"
        names = names if place.is_dir() else "no such file"
        raise DataError(f"{where}: expected an .npz file, or a directory of one; found {names}")
    return found[0]


def _arrays(path: Path, data: bytes) -> tuple[list[str], list[NDArray[Any]]]:
    """(problems, the four arrays as uint8 where there is none)."""
    problems, arrays = [], []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if lacking := [name for name in ARRAYS if name not in members]:
                has = one_line(", ".join(sorted(members)[:10])) or "nothing"
                return [f"{path}: it lacks {', '.join(lacking)}, and has {has}"], []
            for name in ARRAYS:
                try:
                    array = _array(archive, members[name])
                    arrays.append(_images(array) if name.startswith("x") else _labels(array))
                    if name == "y_train":
                        _require_classes(arrays[-1])
                except _UNREADABLE as error:
                    problems.append(f"{path}: {name}: {one_line(error)}")
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        packed = not isinstance(error, zipfile.BadZipFile) or data.startswith(b"PK")
        seen = (one_line(error) if packed else "a file of another kind") if data else "an empty file"
        problems.append(f"{path}: expected an .npz file, found {seen}")
    return problems, arrays


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """The array of a member in C order, if it is plain numbers and as large as its header says."""
    if member.file_size > formats.MAX_BYTES:
        raise DataError(f"expected at most {formats.MAX_BYTES} bytes, found {member.file_size}")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise DataError(f"expected format 1.0 or 2.0 of NumPy, found {version[0]}.{version[1]}")
        try:
            shape, fortran, dtype = _HEADERS[version](file)
        except (
            Exception
        ) as error:  # of the tokenizer and the parser of Python, which read_npz the header as a literal
            raise DataError(f"expected a header of NumPy, found: {one_line(error)}") from None
        if dtype.kind not in "buif":
            kind = "Python objects, which are never unpickled" if dtype.hasobject else str(dtype)
            raise DataError(f"expected an array of numbers, found {kind}")
        if not shape or not all(type(size) is int and size > 0 for size in shape):
            raise DataError(f"expected at least one item in each dimension, found shape {shape}")
        size = math.prod(shape) * dtype.itemsize
        content = file.read(size + 1) if size <= member.file_size else b""
        if len(content) != size:
            raise DataError(f"expected {size} bytes for shape {shape}, found {len(content)}")
        array = np.frombuffer(content, dtype)
        return np.ascontiguousarray(array.reshape(shape[::-1]).T) if fortran else array.reshape(shape)


def _images(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype != np.uint8:
        low, high = float(array.min()), float(array.max())
        values = "NaN" if math.isnan(high) else f"{low:g} to {high:g}"
        raise DataError(f"expected uint8, pixels of 0 to 255, found {array.dtype} with {values}")
    if array.ndim not in (3, 4):
        raise DataError(
            "expected shape (images, height, width), (images, height, width, channels) or (images, channels, height, "
            f"width), found {array.shape}"
        )
    return _frozen(array)


def _labels(array: NDArray[Any]) -> NDArray[Any]:
    """Labels 0 to 255 as uint8; the column (n, 1) that Keras's CIFAR has is accepted."""
    if array.shape[1:] not in ((), (1,)):
        raise DataError(f"expected shape (images,), the class of each image, found {array.shape}")
    if array.dtype.kind not in "ui":
        raise DataError(f"expected whole numbers, the class of each image, found {array.dtype}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= MOST_CLASSES:
        raise DataError(f"expected labels 0 to {MOST_CLASSES - 1}, found {low} to {high}")
    return _frozen(array.reshape(-1).astype(np.uint8))


def _require_classes(labels: NDArray[Any]) -> None:
    """DataError unless each class from 0 to the highest label has an image."""
    there = np.unique(labels)
    low, high = int(there[0]), int(there[-1])
    if low:
        raise DataError(f"expected labels from 0, found {low} to {high}")
    if len(there) <= high:
        lacking = sorted(set(range(high)) - set(there.tolist()))
        names = ", ".join(map(str, lacking[:5])) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
        raise DataError(f"expected an image of each class 0 to {high}, found none of {names}")


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


SEED = 20_201_126
PATTERNS, SPOTS, MOVED = 2, 4, 2
"""Patterns per class, spots per pattern, and the most pixels that a pattern is moved."""


def read_synthetic(info: DatasetInfo, folder: Path | None) -> ReadDataset:
    """Images drawn from a seed, the same bytes on every machine, for lessons and CI offline.

    Each of ten classes has two patterns of four soft spots. An image is a pattern of its class, moved by up to two
    pixels, over a fainter pattern of another class and noise. A linear classifier gets two thirds of the test images
    right, a network with hidden layers six out of seven (docs/data.md). Compared with their checksums.
    """
    return checked(info, draw(info), "a defect of NumPy or of this machine")


def draw(info: DatasetInfo) -> Arrays:
    """Images (n, height, width) and labels (n,) of the training set, then of the test set.

    From the raw 64-bit integers of NumPy's PCG64, whose stream is fixed, by integer arithmetic alone: no rounding, no
    method of a Generator that a later NumPy may change.
    """
    bits = np.random.PCG64(SEED)
    height, width = info.shape
    classes, count = len(info.classes), info.train + info.test
    room = (height + 2 * MOVED, width + 2 * MOVED)
    centers = _below(bits, 1 << 16, (2, classes, PATTERNS, SPOTS))
    patterns = _patterns(centers, room)
    labels = _below(bits, classes, (count,))
    other = (labels + 1 + _below(bits, classes - 1, (count,))) % classes
    images = _seen(bits, patterns, labels, 110, 256) + _seen(bits, patterns, other, 0, 180)
    images = images // 256 + _below(bits, 90, images.shape) + _below(bits, 90, images.shape) - 90
    pixels, answers = np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.uint8)
    return pixels[: info.train], answers[: info.train], pixels[info.train :], answers[info.train :]


def _below(bits: np.random.PCG64, bound: int, shape: Sequence[int]) -> NDArray[np.int64]:
    """Integers from 0 to bound - 1, uniform but for a bias below 2**-31 (multiply and shift, Lemire 2019)."""
    raw = np.asarray(bits.random_raw(prod(shape)), np.uint64) >> np.uint64(32)
    return ((raw * np.uint64(bound)) >> np.uint64(32)).astype(np.int64).reshape(shape)


def _patterns(centers: NDArray[np.int64], room: Sequence[int]) -> NDArray[np.int64]:
    """Brightness 0 to 255 (classes, patterns, height, width) of spots whose centers are fractions of 2**16."""
    height, width = room
    row, column = np.arange(height)[:, None], np.arange(width)
    y, x = (3 + (centers[axis] * (size - 6) >> 16) for axis, size in enumerate(room))
    y, x = y[..., None, None], x[..., None, None]
    spots = np.maximum(0, 255 - 24 * ((row - y) ** 2 + (column - x) ** 2))
    bright: NDArray[np.int64] = np.minimum(255, spots.sum(axis=2))
    return bright


def _seen(
    bits: np.random.PCG64, patterns: NDArray[np.int64], labels: NDArray[np.int64], low: int, high: int
) -> NDArray[np.int64]:
    """A pattern of each label, moved, times a contrast from low to high - 1."""
    count, (height, width) = len(labels), patterns.shape[2:]
    size = (height - 2 * MOVED, width - 2 * MOVED)
    windows = np.lib.stride_tricks.sliding_window_view(patterns, size, axis=(2, 3))
    which, down, right = (_below(bits, n, (count,)) for n in (PATTERNS, 2 * MOVED + 1, 2 * MOVED + 1))
    contrast = low + _below(bits, high - low, (count,))
    seen: NDArray[np.int64] = windows[labels, which, down, right] * contrast[:, None, None]
    return seen


def checked(info: DatasetInfo, arrays: Sequence[NDArray[Any]], cause: str) -> ReadDataset:
    """Arrays that are not from files, each with the checksum of its bytes in C order."""
    rows = []
    for (name, expected), array in zip(info.digests.items(), arrays, strict=True):
        array.flags.writeable = False
        digest = sha256(array.tobytes())
        problem = f"{info.name}: {name}: expected SHA-256 {expected}, found {digest}; this is {cause}"
        rows.append(FileCheck(name, None, array.nbytes, digest, digest == expected, problem))
    return ReadDataset(None, [row if not row.ok else row._replace(problem="") for row in rows], arrays)


def read_digits(info: DatasetInfo, folder: Path | None) -> ReadDataset:
    """scikit-learn's digits: 1,797 images of 8 x 8 that ship with the package, so nothing is fetched.

    The last 360 are the test set, as `train_test_split(test_size=0.2, shuffle=False)` has it: other people wrote them.
    The values 0 to 16 are scaled to 0 to 255, rounded to the nearest integer. Compared with their checksums. UsageError
    without scikit-learn.

    Source: the test set of Alpaydin and Kaynak 1998, https://archive.ics.uci.edu/dataset/80.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UsageError(
            f"dataset {info.name} is in scikit-learn, which is not installed: pip install 'optilab[digits]'"
        ) from None
    found = load_digits()
    images = np.rint(found.images * (255 / 16)).astype(np.uint8)
    labels = found.target.astype(np.uint8)
    cut = info.train
    return checked(
        info, (images[:cut], labels[:cut], images[cut:], labels[cut:]), "another release of scikit-learn"
    )
