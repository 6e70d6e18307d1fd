"""Many paths at once: every cell of a grid has its own start or its own hyperparameters.

Only the ends are kept. The grid is cut into blocks that fit the cache, and the blocks are shared between processes:
NumPy takes the interpreter's lock again after every few microseconds of arithmetic, so threads would mostly wait.
"""

import mmap
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from optilab.errors import UsageError
from optilab.optimize.emit import Kernel, block_kernel
from optilab.optimize.objective import Floats, Objective, is_near_minimum
from optilab.optimize.own import OwnRule
from optilab.optimize.path import DIVERGENCE_FACTOR
from optilab.optimize.rule import Rule, needed, require_vector, with_settings
from optilab.optimize.trace import Untraceable

BLOCK = 16_384  # cells: 128 KiB an array, a handful of arrays in the L2 cache
OWN_BLOCK = 64  # cells, where a user's code runs in each of them by itself
CHECKED_STEPS = 200

Watch = Literal["gradient", "solved"]
Part = tuple[slice, slice]


@dataclass(frozen=True)
class GridResult:
    """Where the paths of a grid ended; `first_below` is -1 where the watched quantity never was below its limit.

    points (rows, columns, d), values, gradient_norms and first_below (rows, columns).
    """

    points: Floats
    values: Floats
    gradient_norms: Floats
    first_below: NDArray[np.int32] | None

    def diverged(self, function: Objective, starts: Floats, tolerance: float = 1e-3) -> NDArray[np.bool_]:
        """Where a path is no longer finite, or much higher above the minimum than it started."""
        before = function.value(starts)
        lowest = float(function.value(np.array(function.minima[0]))) if function.minima else -np.inf
        with np.errstate(all="ignore"):
            risen = self.values - lowest > DIVERGENCE_FACTOR * np.maximum(before - lowest, tolerance)
        return np.asarray(risen | ~np.isfinite(self.values) | ~np.isfinite(self.points).all(axis=-1))


def run_grid(
    rule: Rule,
    function: Objective,
    starts: Floats,
    steps: int,
    settings: Mapping[str, Floats] | None = None,
    watch: Watch | None = None,
    limits: Floats | float = 0.0,
    workers: int | None = None,
) -> GridResult:
    """Follow `rule` for `steps` updates in every cell; the numbers are those of `descend` in that cell.

    `starts` (rows or 1, columns or 1, d) and each of `settings` (rows or 1, columns or 1), a field of the rule or, as
    `base.lr`, of the rule that it wraps, are broadcast against each other. With `watch`, the first epoch at which a
    quantity is below `limits` is recorded, too: |gradient|, or ("solved") the value, as far as the point is near a
    known minimum in the box. `workers`: processes; by default one per core.
    """
    require_vector(rule)
    settings = {name: np.atleast_2d(np.asarray(array, float)) for name, array in (settings or {}).items()}
    starts = np.asarray(starts, float)
    shape = np.broadcast_shapes(starts.shape[:-1], *(array.shape for array in settings.values()))
    limits = np.square(limits) if watch == "gradient" else np.asarray(limits, float)
    axes = tuple((name, _along(array)) for name, array in settings.items())
    run = _kernel(rule, function, axes, watch)
    block = BLOCK
    if isinstance(rule, OwnRule):
        plain = _plain_kernel(rule, function, list(settings), watch)
        if run is None or not _agree(run, plain, starts, list(settings.values()), steps, shape):
            run, block = plain, OWN_BLOCK
    run = run or _plain_kernel(rule, function, list(settings), watch)

    ends = GridResult(
        _shared((*shape, starts.shape[-1]), float),
        _shared(shape, float),
        _shared(shape, float),
        _shared(shape, np.int32) if watch else None,
    )

    def fill(part: Part) -> None:
        rows, columns = part

        def cut(array: Floats) -> Floats:
            return array[
                rows if array.shape[0] > 1 else slice(None), columns if array.shape[1] > 1 else slice(None)
            ]

        size = (rows.stop - rows.start, columns.stop - columns.start)
        points = [np.array(np.broadcast_to(cut(starts[..., i]), size)) for i in range(starts.shape[-1])]
        limit = cut(np.broadcast_to(limits, (1, 1)) if limits.ndim == 0 else np.atleast_2d(limits))
        chosen = [cut(array) for array in settings.values()]
        with np.errstate(all="ignore"):
            moved, pending, count = run(steps, limit, chosen, *points)
            x = np.stack(moved, axis=-1)
            values, gradients = function.value(x), function.gradient(x)
            squares = np.sum(gradients * gradients, axis=-1)
            if watch and ends.first_below is not None:
                reached = _watched(function, watch, x, values, squares) < limit
                ends.first_below[part] = np.where(pending & ~reached, -1, count)
        ends.points[part], ends.values[part], ends.gradient_norms[part] = x, values, np.sqrt(squares)

    rows, columns = shape
    parts = list(_blocks(rows, columns, block))
    workers = min(workers or os.cpu_count() or 1, len(parts))
    if not _CAN_FORK:
        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(fill, parts):
                pass  # an error of a thread is raised here
    else:
        _in_processes(fill, parts, workers)
    return ends


def _watched(function: Objective, watch: Watch, x: Floats, values: Floats, squares: Floats) -> Floats:
    return squares if watch == "gradient" else np.where(is_near_minimum(function, x), values, np.inf)


_CAN_FORK = sys.platform == "linux"  # elsewhere missing, or not safe


def _in_processes(fill: Callable[[Part], None], parts: Sequence[Part], workers: int) -> None:
    """Fill the parts, all of about the same size, in this process and in forked ones."""
    fill(parts[0])  # here first: a rule that cannot fill maps raises its UsageError in this process
    parent, message = os.getpid(), mmap.mmap(-1, mmap.PAGESIZE)

    def work(first: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
        try:
            for part in parts[first::workers]:
                if os.getppid() == parent:  # else the parent was killed
                    fill(part)
        except UsageError as error:  # of a user's own rule, in these cells only
            message[:] = str(error).encode()[: len(message)].ljust(len(message), b"\0")
            os._exit(1)

    fork = multiprocessing.get_context("fork")
    children: list[Any] = []
    try:
        for number in range(1, workers):
            child = fork.Process(target=work, args=(number,), daemon=True)
            child.start()
            children.append(child)
        for part in parts[workers::workers]:
            fill(part)
        for child in children:
            child.join()
    finally:
        for child in children:
            child.kill()
            child.join()
    if text := message[:].rstrip(b"\0").decode("utf-8", "replace"):
        raise UsageError(text)
    if any(child.exitcode for child in children):
        raise RuntimeError(f"a process of the map ended with {[child.exitcode for child in children]}")


def _shared(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Zeros in memory that forked processes share."""
    count = int(np.prod(shape))
    memory = mmap.mmap(-1, max(1, count * np.dtype(dtype).itemsize))
    return np.frombuffer(memory, dtype, count).reshape(shape)


def _along(array: Floats) -> str:
    return ("y" if array.shape[0] > 1 else "") + ("x" if array.shape[1] > 1 else "")


def _blocks(rows: int, columns: int, block: int) -> Iterator[Part]:
    width = min(columns, block)
    height = max(1, block // width)
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            yield slice(top, min(top + height, rows)), slice(left, min(left + width, columns))


def _kernel(rule: Rule, function: Objective, axes: Any, watch: Watch | None) -> Kernel | None:
    """The generated code; None for a rule that cannot be traced."""
    if "function" in rule.needs:  # SciPy's line search takes an array of starts for one long point
        raise UsageError(f"{rule.name} follows one path at a time, so it cannot fill a map or run in a race")
    try:
        return block_kernel(rule, function, axes, watch)
    except Untraceable:
        return None


def _agree(
    traced: Kernel, plain: Kernel, starts: Floats, settings: Sequence[Floats], steps: int, shape: tuple[int, ...]
) -> bool:
    """Whether traced code of the user's takes the steps that the code itself takes, in a few cells of the grid.

    Code that depends on more than its arguments (a counter of its own, random numbers) is traced with what that was.
    """
    rows, columns = (np.unique([0, size // 2, size - 1]) for size in shape)
    cells, few = np.ix_(rows, columns), min(steps, CHECKED_STEPS)
    points = [np.broadcast_to(starts[..., i], shape)[cells] for i in range(starts.shape[-1])]
    chosen = [np.broadcast_to(array, shape)[cells] for array in settings]
    with np.errstate(all="ignore"):
        one, other = (
            np.stack(run(few, np.zeros((1, 1)), chosen, *(point.copy() for point in points))[0])
            for run in (traced, plain)
        )
        return bool(np.allclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True))


def _plain_kernel(rule: Rule, function: Objective, names: list[str], watch: Watch | None) -> Kernel:
    """For a rule that cannot be traced: its own lines on whole arrays (rows, columns, d)."""

    def run(steps: int, limits: Floats, settings: list[Floats], *points: Floats) -> Any:
        chosen = with_settings(rule, {n: a[..., None] for n, a in zip(names, settings, strict=True)})
        x = np.stack(points, axis=-1)
        pending, count = np.ones(x.shape[:-1], bool), np.zeros(x.shape[:-1], np.int32)
        try:
            state = chosen.init(x)
            for _ in range(steps):
                gradient = function.gradient(x)
                value = function.value(x)
                if watch:
                    squares = np.sum(gradient * gradient, axis=-1)
                    pending &= ~(_watched(function, watch, x, value, squares) < limits)
                    count += pending
                step, state = chosen.update(gradient, state, **needed(rule, function, x, value=value))
                x = x + step
        except (TypeError, ValueError) as error:
            raise UsageError(f"{rule.name} cannot fill this map: {error}") from error
        return [x[..., i] for i in range(x.shape[-1])], pending, count

    return run
