"""Small IDX datasets that look like FashionMNIST and are learned in seconds."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """The IDX file of an array of bytes, written independently of the code that reads it."""
    sizes = (0x0800 + array.ndim, *array.shape)
    return b"".join(size.to_bytes(4, "big") for size in sizes) + array.tobytes()


def arrays(train: int = 200, test: int = 100, seed: int = 0) -> dict[str, NDArray[np.uint8]]:
    """File name -> array: noise of 0..127 with a bright patch whose place tells the class; 10 balanced classes."""
    random = np.random.default_rng(seed)
    made: dict[str, NDArray[np.uint8]] = {}
    for split, count in (("train", train), ("t10k", test)):
        labels = random.permutation(np.arange(count) % 10).astype(np.uint8)
        images = random.integers(0, 128, (count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = 3 + 12 * (label // 5), 1 + 5 * (label % 5)
            image[row : row + 10, column : column + 5] = random.integers(192, 256, (10, 5), np.uint8)
        made[f"{split}-images-idx3-ubyte"] = images
        made[f"{split}-labels-idx1-ubyte"] = labels
    return made


def write_sums(folder: Path) -> None:
    """SHA256SUMS of the raw files that are there."""
    sums = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in NAMES
        if (folder / name).is_file()
    ]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def write_idx_dataset(folder: Path, train: int = 200, test: int = 100, seed: int = 0) -> Path:
    """Write the four files and SHA256SUMS into `folder`, which is made; return it, for `load("idx", folder)`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays(train, test, seed).items():
        (folder / name).write_bytes(idx_bytes(array))
    write_sums(folder)
    return folder
