"""Arrays of NumPy, tensors of torch and plain numbers, and the operations that formulas have on all of them."""

import math
import sys
from collections.abc import Callable
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


# --- operations: `_` and the name of the operation, as no name in a formula can begin ---------------------------


def _is_number(x: Array) -> bool:
    return isinstance(x, float | int)


def _zeros(like: Array) -> Array:
    return array_namespace(like).zeros_like(like)


def _power(x: Array, y: Array) -> Array:
    raised = x**y
    return math.nan if isinstance(raised, complex) else raised


def _sqrt(x: Array) -> Array:
    if _is_number(x) and not hasattr(x, "dtype"):  # NumPy's numbers are floats, too
        return math.sqrt(x) if x >= 0 else math.nan
    return array_namespace(x).sqrt(x)


def _elementwise(name: str, x: Array) -> Array:
    """A function that NumPy and torch share by name."""
    return getattr(array_namespace(x), name)(x)


def _bound(name: str, of_numbers: Callable[..., Any], clamp_option: str) -> Callable[[Array, Array], Array]:
    """`minimum` or `maximum` of each pair; NaN where one of the two is."""

    def bound(x: Array, y: Array) -> Array:
        if _is_number(x) and _is_number(y):
            return x if x != x else y if y != y else of_numbers(x, y)
        module = array_namespace(x, y)
        if module.__name__ == "torch" and (_is_number(x) or _is_number(y)):
            tensor, limit = (y, x) if _is_number(x) else (x, y)
            return tensor.clamp(**{clamp_option: limit})
        return getattr(module, name)(x, y)

    return bound


_minimum, _maximum = _bound("minimum", min, "max"), _bound("maximum", max, "min")


def _clip(x: Array, low: Array, high: Array) -> Array:
    return _minimum(_maximum(x, low), high)


def _where(condition: Any, x: Callable[[], Array], y: Callable[[], Array], like: Array) -> Array:
    import numpy as np

    if isinstance(condition, bool | np.bool_):
        return x() if condition else y()
    with np.errstate(all="ignore"):  # each value is calculated where the other one is meant, too
        module, this, that = array_namespace(condition), x(), y()
    if _is_number(this) and _is_number(that) and hasattr(like, "dtype"):  # of the precision of w
        this, that = (module.asarray(value, dtype=like.dtype, device=like.device) for value in (this, that))
    return module.where(condition, this, that)


def _sum(x: Array) -> Array:
    """The sum over the coordinates, (..., 1); of a number, the number."""
    return x.sum(-1)[..., None] if getattr(x, "ndim", 0) else x


def _norm(x: Array) -> Array:
    """The Euclidean norm over the coordinates, (..., 1)."""
    return _sum(x**2) ** 0.5


def _finite(matrices: Array) -> Array:
    """Zero in the place of NaN and infinity, which LAPACK rejects; the caller detects a path that overflowed."""
    import numpy as np

    return np.where(np.isfinite(matrices), matrices, 0.0)


def _solve(matrices: Array, vectors: Array) -> Array:
    """The shortest solution where the matrix is singular."""
    import numpy as np

    inverse = np.linalg.pinv(_finite(matrices), hermitian=True)
    return (inverse @ vectors[..., None])[..., 0]


def _smallest(matrices: Array) -> Array:
    """The smallest eigenvalue, (..., 1)."""
    import numpy as np

    return np.linalg.eigvalsh(_finite(matrices))[..., :1]


def _identity(x: Array, like: Array) -> Array:
    """The identity matrix times x, (..., 1)."""
    import numpy as np

    return np.asarray(x)[..., None] * np.eye(like.shape[-1])


TINY = 1e-150


def _flushed(x: Array) -> Array:
    """Numbers of an array below TINY as zero: arithmetic on denormals is 30 times slower."""
    import numpy as np

    return np.where(np.abs(x) < TINY, 0.0, x) if np.ndim(x) else x
