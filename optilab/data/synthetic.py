"""Images drawn from a seed, the same bytes on every machine, for lessons and CI offline."""

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from optilab.data.catalog import DatasetInfo

SEED = 20_201_126
PATTERNS, SPOTS, MAX_SHIFT = 2, 4, 2
"""Patterns per class, spots per pattern, and the most pixels that a pattern is moved."""


def draw(info: DatasetInfo) -> Sequence[NDArray[np.uint8]]:
    """Images (n, height, width) and labels (n,) of the training set, then of the test set.

    Each of ten classes has two patterns of four soft spots. An image is a pattern of its class, moved by up to two
    pixels, over a fainter pattern of another class and noise. A linear classifier gets two thirds of the test images
    right, a network with hidden layers six out of seven (docs/data.md).

    From the raw 64-bit integers of NumPy's PCG64, whose stream is fixed, by integer arithmetic alone: no rounding, no
    method of a Generator that a later NumPy may change.
    """
    bits = np.random.PCG64(SEED)
    height, width = info.shape
    classes, count = len(info.classes), info.train + info.test
    room = (height + 2 * MAX_SHIFT, width + 2 * MAX_SHIFT)
    centers = _below(bits, 1 << 16, (2, classes, PATTERNS, SPOTS))
    patterns = _patterns(centers, room)
    labels = _below(bits, classes, (count,))
    other = (labels + 1 + _below(bits, classes - 1, (count,))) % classes
    images = _shifted(bits, patterns, labels, 110, 256) + _shifted(bits, patterns, other, 0, 180)
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


def _shifted(
    bits: np.random.PCG64, patterns: NDArray[np.int64], labels: NDArray[np.int64], low: int, high: int
) -> NDArray[np.int64]:
    """A pattern of each label, moved, times a contrast from low to high - 1."""
    count, (height, width) = len(labels), patterns.shape[2:]
    size = (height - 2 * MAX_SHIFT, width - 2 * MAX_SHIFT)
    windows = np.lib.stride_tricks.sliding_window_view(patterns, size, axis=(2, 3))
    pattern, down, right = (_below(bits, n, (count,)) for n in (PATTERNS, 2 * MAX_SHIFT + 1, 2 * MAX_SHIFT + 1))
    contrast = low + _below(bits, high - low, (count,))
    shifted: NDArray[np.int64] = windows[labels, pattern, down, right] * contrast[:, None, None]
    return shifted
