"""Arrays of NumPy, tensors of torch and plain numbers, to which the same formula applies."""

import sys
from typing import Any

Array = Any  # numpy.ndarray or torch.Tensor of shape (..., d), or a number


def array_namespace(*arrays: Array) -> Any:
    """The module whose functions fit the arrays: torch (then loaded already), else numpy, for numbers, too.

    Raises TypeError for anything else, a list for instance.
    """
    for array in arrays:
        if not isinstance(array, float | int):
            module = type(array).__module__.partition(".")[0]
            if module not in ("numpy", "torch"):
                raise TypeError(f"an array of NumPy or torch is needed, not a {type(array).__name__}")
            return sys.modules[module]
    return sys.modules["numpy"]


def in_float64(value: Any) -> Any:
    """A number as NumPy's, which is infinite where Python's division or power raises an error; anything else as it
    is."""
    import numpy as np

    return np.float64(value) if isinstance(value, float | int) else value
