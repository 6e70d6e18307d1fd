"""Faults put into optilab itself, one at a time, in the child process that runs a trial.

They are the negative controls: with each of them the harness must find a violation, or it finds nothing at all.
Nothing here is in the wheel.
"""

from pathlib import Path
from typing import Any

from optilab import runs


def no_generator() -> None:
    """A resumed run goes on with the generator of a fresh one."""
    import torch

    torch.set_rng_state = lambda state: None  # type: ignore[assignment]


def in_place() -> None:
    """Files are written under their final names, piece by piece, as `torch.save(path)` would."""

    def write(path: Path, data: bytes) -> None:
        with path.open("wb", buffering=0) as file:
            for start in range(0, len(data), 1 << 9):
                file.write(data[start : start + (1 << 9)])

    runs.write_atomic = write


def no_digest() -> None:
    """A checkpoint is read whatever its bytes are."""

    def read(path: Path, limit: int) -> bytes:
        return path.read_bytes()

    runs.read_checkpoint = read


def slow_epochs() -> None:
    """No fault: every batch takes 20 ms longer, so that a signal meets a running epoch."""
    import time

    from optilab.console.training import Display

    def batch(self: Any, done: int, total: int) -> None:
        time.sleep(0.02)

    Display.batch = batch  # type: ignore[method-assign]
