"""The device of a training, and the process-wide settings of PyTorch that its numbers depend on."""

import torch

from optilab.errors import UsageError


def resolve_device(name: str) -> torch.device:
    """The device that a config's `device` means on this machine; UsageError if it is not available."""
    available = ["cpu"]
    if torch.cuda.is_available():
        available += [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        available.append("mps")
    if name == "auto":
        return torch.device(next((d for d in ("cuda:0", "mps") if d in available), "cpu"))
    if name in available or (name == "cuda" and "cuda:0" in available):
        return torch.device("cuda:0" if name == "cuda" else name)
    raise UsageError(f"device {name!r} is not available on this machine (available: {', '.join(available)})")


def configure(device: torch.device, threads: int, dtype: str = "float32") -> None:
    """Set threads, default type and numerics of this process; call it before the first tensor operation.

    `dtype` becomes torch's default, as `torch.set_default_dtype` in a script makes it: optimizers keep numbers of
    that type, too. UsageError if the device lacks it.
    """
    if dtype == "float64" and device.type == "mps":
        raise UsageError("dtype: mps has no float64; choose `device: cpu`")
    torch.set_default_dtype(getattr(torch, dtype))
    torch.set_num_threads(threads)
    # Saturated units make denormal numbers, which slow a matrix product up to 200 times. Must come before the
    # first parallel operation to reach every thread.
    torch.set_flush_denormal(True)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = False
