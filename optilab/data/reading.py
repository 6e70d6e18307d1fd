"""Guarded reads of data files: at most MAX_BYTES, each file once, so the bytes that are verified are the ones used."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from numpy.typing import NDArray

from optilab.errors import DataError

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
    )  # the folder or file that `data.dir` may name to read the same; None where there are no files
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
