"""One .npz file with x_train, y_train, x_test and y_test, as Keras names them; never unpickled.

The headers are read before the arrays, so that a small file that claims huge arrays is refused, not allocated.
"""

import io
import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optilab.data import folders, reading
from optilab.data.reading import FileCheck, ReadDataset, one_line, read_file, sha256
from optilab.data.sources import ARRAYS, DatasetInfo
from optilab.errors import DataError

MOST_CLASSES = 256
_UNREADABLE = (DataError, zipfile.BadZipFile, zlib.error, ValueError, EOFError, RuntimeError)
"""RuntimeError: encrypted, or a compression that this Python lacks."""
_SAVE = "save it with numpy.savez_compressed(FILE, x_train=..., y_train=..., x_test=..., y_test=...)"
_HEADERS: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read(info: DatasetInfo, folder: Path | None) -> ReadDataset:
    """The file that is named, or the only .npz of the folder that is named. DataError with all of its problems."""
    path = _path(info, folder)
    data = read_file(path)
    digest = sha256(data)
    problems, arrays = _arrays(path, data)
    rows = [FileCheck(path.name, path, len(data), digest, not problems, "\n".join(problems))]
    return ReadDataset(path, rows, arrays)


def _path(info: DatasetInfo, folder: Path | None) -> Path:
    if not folders.is_named(folder):
        raise DataError(f"dataset {info.name}: expected its file, found none; give --data-dir FILE.npz")
    place = folders.search_path(info, folder)[0][1]
    found = folders.npz_files(place)
    if not (found or place.is_dir()):
        raise DataError(f"{place}: expected an .npz file, or a folder of one; found no such file")
    if len(found) != 1:
        names = f"{len(found)}: {', '.join(path.name for path in found[:5])}" if found else "none"
        raise DataError(f"{place}: expected a folder of one .npz file, found {names}; name the file")
    return found[0]


def _arrays(path: Path, data: bytes) -> tuple[list[str], list[NDArray[Any]]]:
    """(problems, the four arrays as uint8 where there is none)."""
    problems, arrays = [], []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if lacking := [name for name in ARRAYS if name not in members]:
                has = one_line(", ".join(sorted(members)[:10])) or "nothing"
                return [f"{path}: expected {', '.join(ARRAYS)}; lacks {', '.join(lacking)}, has {has}"], []
            for name in ARRAYS:
                try:
                    array = _array(archive, members[name])
                    arrays.append(_images(array) if name.startswith("x") else _labels(array))
                    if name == "y_train" and (low := int(arrays[-1].min())):
                        advice = f"save y_train - {low} and y_test - {low}"
                        raise DataError(
                            f"expected labels from 0, found {low} to {int(arrays[-1].max())}; {advice}"
                        )
                except _UNREADABLE as error:
                    problems.append(f"{path}: {name}: {one_line(error)}")
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        problems.append(f"{path}: expected an .npz file, found: {one_line(error)}; {_SAVE}")
    return problems, arrays


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """The array of a member in C order, if it is plain numbers and as large as its header says."""
    if member.file_size > reading.MAX_BYTES:
        raise DataError(f"expected at most {reading.MAX_BYTES} bytes, found {member.file_size}")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise DataError(f"expected format 1.0 or 2.0 of NumPy, found {version[0]}.{version[1]}")
        try:
            shape, fortran, dtype = _HEADERS[version](file)
        except Exception as error:  # of the tokenizer and the parser of Python, which read the header as a literal
            raise DataError(f"expected a header of NumPy, found: {one_line(error)}") from None
        if dtype.kind not in "buif":
            kind = "Python objects, which are never unpickled" if dtype.hasobject else str(dtype)
            raise DataError(f"expected an array of numbers, found {kind}")
        if not shape or 0 in shape:
            raise DataError(f"expected at least one item, found shape {shape}")
        size = math.prod(shape) * dtype.itemsize
        content = file.read(size + 1) if size <= member.file_size else b""
        if len(content) != size:
            raise DataError(f"expected {size} bytes for shape {shape}, found {len(content)}")
        array = np.frombuffer(content, dtype)
        return np.ascontiguousarray(array.reshape(shape[::-1]).T) if fortran else array.reshape(shape)


def _images(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype != np.uint8:
        raise DataError(
            f"expected uint8, pixels of 0 to 255, found {array.dtype}; scale and round them before saving"
        )
    if array.ndim not in (3, 4):
        raise DataError(f"expected shape (images, height, width) or (..., channels), found {array.shape}")
    return _frozen(array)


def _labels(array: NDArray[Any]) -> NDArray[Any]:
    """Labels 0 to 255 as uint8; the column (n, 1) that Keras's CIFAR has is accepted."""
    if array.dtype.kind not in "ui":
        raise DataError(f"expected whole numbers, the class of each image, found {array.dtype}")
    if array.shape[1:] not in ((), (1,)):
        raise DataError(f"expected shape (images,), the class of each image, found {array.shape}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= MOST_CLASSES:
        raise DataError(f"expected labels 0 to {MOST_CLASSES - 1}, found {low} to {high}")
    return _frozen(array.reshape(-1).astype(np.uint8))


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
