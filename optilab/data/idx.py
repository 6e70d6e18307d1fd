"""Four IDX files: read, compared with their digests, taken apart.

The format: http://yann.lecun.com/exdb/mnist.
"""

import io
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optilab.data import folders
from optilab.data.reading import FileCheck, ReadDataset, read_file, require, sha256, unzip
from optilab.data.sources import DATASETS, IDX_FILES, DatasetInfo
from optilab.errors import DataError


def read(info: DatasetInfo, folder: Path | None) -> ReadDataset:
    """The files of a dataset; DataError where one is missing, or their digests are not written down."""
    if info.own and not folders.is_named(folder):
        raise DataError(
            f"dataset {info.name}: expected its folder, found none; give --data-dir or set OPTILAB_DATA"
        )
    fetching = folders.fetching(info, folder)
    place = folders.find(info, folder)
    if place is None:
        advice = "put the files there or give another folder" if info.own else f"run: {fetching}"
        raise DataError(f"{folders.not_found(info, folder)}\n{advice}")
    rows: list[FileCheck] = []
    arrays: list[NDArray[Any]] = []
    for name, expected in (info.digests or _listed(place / "SHA256SUMS")).items():
        path, data, digest, problem = folders.file_of(place, name), b"", "", ""
        try:
            data = read_file(path, packed=name.endswith(".gz"))
            digest = sha256(data)
            require(path, f"SHA-256 {expected}", f"SHA-256 {digest}")
            arrays.append(_parse(path, raw_bytes(name, data), ndim=3 if "idx3" in name else 1))
        except DataError as error:
            problem = f"{error}{_remedy(info, digest, fetching)}"
        rows.append(FileCheck(name, path, len(data), digest, not problem, problem))
    return ReadDataset(place, rows, arrays)


def raw_bytes(name: str, data: bytes) -> bytes:
    """The uncompressed bytes of a verified file."""
    return unzip(name, io.BytesIO(data)) if name.endswith(".gz") else data


def _remedy(info: DatasetInfo, digest: str, fetching: str) -> str:
    """What to do about a file with this digest."""
    if info.own:
        return "; restore it, or its line in SHA256SUMS"
    for other in DATASETS.values():
        if other is not info and digest in other.digests.values():
            return f", which is {other.title}'s ({other.name}); give the folder of {info.name}, or run: {fetching}"
    # A fetch writes into the folder searched first, and a raw file hides its .gz, so it replaces any damaged file.
    return f"; delete this file and run: {fetching}"


def _listed(path: Path) -> dict[str, str]:
    """File name -> digest, from what `sha256sum NAME... > SHA256SUMS` writes."""
    if not os.path.isfile(path):
        raise DataError(f"{path}: expected the digests of the four files, found no file; write it with sha256sum")
    text = read_file(path).decode("utf-8", "replace")
    lines = re.findall(r"^([0-9a-fA-F]{64}) [ *](?:\./)?(\S+)\s*$", text, re.MULTILINE)
    listed = {name: digest.lower() for digest, name in lines}
    for name in IDX_FILES:
        if name not in listed:
            raise DataError(f"{path}: expected a line `SHA-256  {name}`, found none; write it with sha256sum")
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
