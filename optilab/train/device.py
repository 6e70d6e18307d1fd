"""The device of a training: which one it is, PyTorch's settings for it, its generator and its failures."""

import contextlib
import os
import sys
from collections.abc import Iterator
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from optilab.errors import SystemFailure, UsageError


def resolve_device(name: str, dtype: str = "float32") -> torch.device:
    """The device that a config's `device` means on this machine; UsageError if it is not available.

    `auto` is the first of cuda:0, mps and cpu that is available and computes in `dtype`. `cpu` starts no GPU driver.
    """
    if name == "cpu":
        return torch.device("cpu")
    available = ["cpu"]
    if torch.cuda.is_available():
        available += [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        available.append("mps")
    if name == "auto":
        suitable = ("cuda:0", "mps") if dtype != "float64" else ("cuda:0",)
        return torch.device(next((d for d in suitable if d in available), "cpu"))
    if name in available or (name == "cuda" and "cuda:0" in available):
        return torch.device("cuda:0" if name == "cuda" else name)
    raise UsageError(f"device {name!r} is not available on this machine (available: {', '.join(available)})")


def configure(device: torch.device, threads: int, dtype: str = "float32") -> None:
    """Set threads, default type and numerics of this process; call it before the first tensor operation.

    `dtype` becomes torch's default, as `torch.set_default_dtype` in a script makes it: optimizers keep numbers of
    that type, too. UsageError if the device lacks it.
    """
    if dtype == "float64" and device.type == "mps":
        raise UsageError("dtype: expected float32 on mps, got float64")
    if threads > 1:
        if _threaded - {os.getpid()}:  # the threads are not in the fork, and PyTorch waits for them for ever
            raise UsageError(
                f"threads: expected 1 in a process forked from one that has trained with more, got {threads}"
            )
        _threaded.add(os.getpid())
    torch.set_default_dtype(getattr(torch, dtype))
    torch.set_num_threads(threads)
    # Saturated units make denormal numbers, which slow a matrix product up to 200 times. Must come before the
    # first parallel operation to reach every thread.
    for number in (np.float32, np.float64):
        np.finfo(number)  # kept by NumPy, whose releases before 2.4 warn where it is asked for without denormals
    torch.set_flush_denormal(True)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = False


_training = Lock()
_threaded: set[int] = set()
"""The processes, this one or those that it was forked from, in which several threads have trained."""


@contextlib.contextmanager
def exclusive_torch() -> Iterator[None]:
    """The only training of this process, whose default type, threads and generators PyTorch shares between all of it.

    They are what they were afterwards. UsageError while another training of the process goes on: each would draw from
    the generator of the other, and give other numbers than it does alone.
    """
    if not _training.acquire(blocking=False):
        raise UsageError(
            "another training is running in this process, and PyTorch has one random generator for all threads; "
            "`sweep` and `seeds` train in separate processes"
        )
    dtype, threads, generator = torch.get_default_dtype(), torch.get_num_threads(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    benchmark, tf32 = torch.backends.cudnn.benchmark, torch.backends.cuda.matmul.allow_tf32
    flushed = sys.float_info.min * 0.5 == 0.0
    try:
        with contextlib.ExitStack() as modes:
            modes.enter_context(torch.inference_mode(False))
            modes.enter_context(torch.enable_grad())
            for kind in ("cpu", "cuda", "mps"):
                if torch.is_autocast_enabled(kind):
                    modes.enter_context(torch.autocast(kind, enabled=False))
            if torch.get_default_device().type != "cpu":
                modes.enter_context(torch.device("cpu"))
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.set_rng_state(generator)
        torch.backends.cudnn.benchmark, torch.backends.cuda.matmul.allow_tf32 = benchmark, tf32
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)
        torch.set_flush_denormal(flushed)
        _training.release()


def generators(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """The states of the global generator and of the device's; None for the CPU, which draws from the global one."""
    if device.type == "mps":
        return torch.get_rng_state(), torch.mps.get_rng_state()
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def set_generators(device: torch.device, states: tuple[Tensor, Tensor | None]) -> None:
    """Restore what `generators` has returned; for another kind of device, whose draws differ, the global one alone."""
    torch.set_rng_state(states[0])
    current, state = generators(device)[1], states[1]
    if current is None or state is None or state.shape != current.shape:
        return
    if device.type == "mps":
        torch.mps.set_rng_state(state)
    else:
        torch.cuda.set_rng_state(state, device)


@contextlib.contextmanager
def explain_device_errors(device: torch.device | str) -> Iterator[None]:
    """Turn a lack of memory and errors of a GPU into a SystemFailure whose message says what to do."""
    try:
        yield
    except RuntimeError as error:
        if (message := _explanation(error, device)) is None:
            raise
        raise SystemFailure(message) from None


def _explanation(error: RuntimeError, device: torch.device | str) -> str | None:
    text = str(error)
    # The CPU's allocator raises a plain RuntimeError.
    if isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in text or "out of memory" in text:
        return f"not enough memory on {device}; a smaller model.hidden or data.batch_size needs less"
    if isinstance(error, torch.AcceleratorError):
        return f"{device} failed: {text.splitlines()[0]}; the run can be resumed from its last checkpoint"
    return None
