"""Datasets in memory: read by name, verified, and known to fit together.

The checksums of published datasets are pinned in `data/catalog.py`, so no source needs to be trusted: a mirror,
Debian's package and a directory copied from another machine all yield the same bytes or an error. This module does not
import torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optilab.data import catalog, formats
from optilab.data.catalog import ARRAYS, DATASETS, DatasetInfo
from optilab.data.formats import FileCheck, ReadDataset, require
from optilab.errors import DataError, UsageError, unknown

READERS: Mapping[str, Callable[[DatasetInfo, Path | None], ReadDataset]] = {
    "idx": formats.read_idx,
    "npz": formats.read_npz,
    "scikit-learn": formats.read_digits,
    "drawn": formats.read_synthetic,
}
"""By `DatasetInfo.form`."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A verified dataset in memory; the arrays are read-only views of the bytes that were verified."""

    name: str
    folder: Path | None  # or the .npz file; None where there are no files
    train_images: NDArray[np.uint8]  # (n, height, width), or with channels before or after both, 0..255
    train_labels: NDArray[np.uint8]  # (n,), 0..classes-1
    test_images: NDArray[np.uint8]  # (m, height, width), or with channels
    test_labels: NDArray[np.uint8]  # (m,)
    digests: dict[str, str]  # file name -> SHA-256 of the uncompressed file

    @property
    def classes(self) -> int:
        """The number of classes: the largest label of the training set plus one."""
        return int(self.train_labels.max()) + 1


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


def load(dataset: str, folder: Path | None = None) -> Dataset:
    """Read and verify a dataset; each file is read once, so the verified bytes are the ones used.

    `dataset` is a name in DATASETS; the user's own images need `folder` (or OPTILAB_DATA). Raises DataError that
    names every bad file, what was expected, what was found and the remedy; UsageError on an unknown `dataset`.
    """
    checked = _checked(dataset, folder)
    if bad := [row.problem for row in checked.rows if not row.ok]:
        raise DataError("\n".join(bad))
    digests = {row.name: row.digest for row in checked.rows}
    train_images, train_labels, test_images, test_labels = checked.arrays
    return Dataset(dataset, checked.folder, train_images, train_labels, test_images, test_labels, digests)


def verify(dataset: str, folder: Path | None = None) -> list[FileCheck]:
    """Check the files, one row each: a file is ok if it has the expected checksum and is well-formed.

    Raises DataError if a file is missing, or if good files do not fit each other, such as fewer labels than images.
    """
    return _checked(dataset, folder).rows


class Presence(NamedTuple):
    """One row of `optilab data ls`."""

    info: DatasetInfo
    folder: Path | None
    here: bool  # it can be trained on now
    state: str


def presence(dataset: str, folder: Path | None = None) -> Presence:
    """Whether a dataset is on this machine, and intact. Nothing is fetched."""
    info = info_of(dataset)
    if info.own:
        return Presence(info, None, False, "yours: data.dir names it")
    if info.form == "drawn":
        return Presence(info, None, True, "built in")
    if info.form == "scikit-learn":
        here = find_spec("sklearn") is not None
        return Presence(info, None, here, "built in" if here else "needs optilab[digits]")
    place = catalog.find(info, folder)
    if place is None:
        return Presence(info, None, False, "not here")
    damaged = [row.name for row in verify(dataset, folder) if not row.ok]
    return Presence(info, place, not damaged, f"REFUSED: {', '.join(damaged)}" if damaged else "ok")


def _checked(dataset: str, folder: Path | None) -> ReadDataset:
    info = info_of(dataset)
    checked = READERS[info.form](info, folder)
    if all(row.ok for row in checked.rows):
        _require_fit(checked)
    return checked


def _require_fit(checked: ReadDataset) -> None:
    """DataError unless the well-formed arrays make one dataset."""
    where = [f"{row.path}" for row in checked.rows]
    if len(where) == 1:
        where = [f"{where[0]}: {name}" for name in ARRAYS]
    train_images, train_labels, test_images, test_labels = checked.arrays
    require(where[1], f"{len(train_images)} labels", f"{len(train_labels)} labels")
    require(where[3], f"{len(test_images)} labels", f"{len(test_labels)} labels")
    shapes = [f"images of shape {images.shape[1:]}" for images in (train_images, test_images)]
    require(where[2], shapes[0], shapes[1])
    classes = int(train_labels.max()) + 1
    if (largest := int(test_labels.max())) >= classes:  # the network has no output for it
        raise DataError(f"{where[3]}: expected labels 0 to {classes - 1} as in training, found {largest}")
