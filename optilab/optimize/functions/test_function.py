"""The interface of a test function: value, gradient, known minima, the usual start and box, the source.

A function is a small frozen class; its fields are its parameters. Points are arrays of shape (..., d), values
(...,), gradients (..., d), all float64. Gradients consist of analytic operations and so accept complex points, from
which the Hessian is computed.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le

if TYPE_CHECKING:  # numpy.typing costs 6 ms of every start
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
else:
    Floats = np.ndarray

Point = tuple[float, ...]
Dimension = Annotated[int, Ge(1), Le(1000), Doc("number of coordinates")]

_TINY = 1e-30
NEAR = 0.05
"""A point is near a minimum if no coordinate is further from it than this share of the box's width."""


class Objective(Protocol):
    """A differentiable function of d variables with known minima."""

    __test__: ClassVar[bool] = False  # not a test case, in spite of its name
    name: ClassVar[str]
    source: ClassVar[str]

    @property
    def formula(self) -> str:
        """f as text, in w1, w2, ...; with w_i where d is free."""
        raise NotImplementedError

    @property
    def minima(self) -> tuple[Point, ...]:
        """Every global minimum in the box; empty where none is known or the function is unbounded below."""
        raise NotImplementedError

    @property
    def start(self) -> Point:
        """The start of the literature where it has one."""
        raise NotImplementedError

    @property
    def box(self) -> tuple[Point, ...]:
        """Per coordinate (low, high): the region to draw and to start from."""
        raise NotImplementedError

    def value(self, x: Floats) -> Floats:
        """f at points (..., d), as (...,)."""
        raise NotImplementedError

    def gradient(self, x: Floats) -> Floats:
        """The gradient at points (..., d), as (..., d)."""
        raise NotImplementedError

    def hessian(self, x: Floats) -> Floats:
        """The matrix of second derivatives at points (..., d), as (..., d, d), exact to rounding.

        Column j is Im gradient(x + i*h*e_j)/h with a tiny h (complex step, Squire & Trapp 1998), without
        a difference that could cancel. At a kink it is the Hessian of one side.
        """
        shifted = x[..., None, :] + 1j * _TINY * np.eye(x.shape[-1])
        columns = self.gradient(shifted).imag / _TINY
        return np.asarray((columns + np.swapaxes(columns, -1, -2)) / 2)


class AnyDimension(Objective):
    """A test function whose minimum, start and box follow one pattern in every `dimension`."""

    dimension: Dimension
    lowest: ClassVar[float] = 0.0
    """Every coordinate of the minimum."""
    first: ClassVar[tuple[float, float, float]]
    """The start's first and second coordinates, and all further ones."""
    side: ClassVar[tuple[float, float]]
    """(low, high) of the box in every coordinate."""

    @property
    def minima(self) -> tuple[Point, ...]:
        return ((self.lowest,) * self.dimension,)

    @property
    def start(self) -> Point:
        return (*self.first[:2], *self.first[2:] * self.dimension)[: self.dimension]

    @property
    def box(self) -> tuple[Point, ...]:
        return (self.side,) * self.dimension


def minima_inside(function: Objective) -> tuple[Point, ...]:
    """The known minima that lie in the function's box."""
    return tuple(
        minimum
        for minimum in function.minima
        if all(low <= m <= high for m, (low, high) in zip(minimum, function.box, strict=True))
    )


def is_near_minimum(function: Objective, x: Floats) -> Any:
    """Whether points (..., d) are near a known minimum in the box, as (...,); see `NEAR`."""
    near: Any = False
    for minimum in minima_inside(function):
        close: Any = True
        for i, (m, (low, high)) in enumerate(zip(minimum, function.box, strict=True)):
            close = np.logical_and(np.abs(x[..., i] - m) <= NEAR * (high - low), close)
        near = np.logical_or(close, near)
    return near


def coordinates(x: Floats) -> tuple[Floats, Floats]:
    """(w1, w2) of points (..., 2)."""
    return x[..., 0], x[..., 1]


def pair(d1: Floats, d2: Floats) -> Floats:
    """A gradient (..., 2) from its two coordinates."""
    return np.stack([d1, d2], axis=-1)


def power(x: Floats, n: int) -> Floats:
    """x^n for a whole n of at least 1, by multiplication: a tenth of the time of x**n, and no library's rounding."""
    half = power(x, n // 2) if n > 1 else x
    squared = half * half if n > 1 else x
    return squared * x if n > 1 and n % 2 else squared


def total(terms: Floats) -> Floats:
    """The sum over the coordinates, (...,)."""
    return np.asarray(terms.sum(axis=-1))
