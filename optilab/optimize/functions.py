"""Test functions: analytic value and gradient, known minima, the usual start and box, and where each is from.

A function is a small frozen class; its fields are its parameters. Points are arrays of shape (..., d), values
(...,), gradients (..., d), all float64.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

import numpy as np
from annotated_doc import Doc
from annotated_types import Gt

if TYPE_CHECKING:  # numpy.typing costs 6 ms of every start
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
else:
    Floats = np.ndarray


Point = tuple[float, ...]


class TestFunction(Protocol):
    """A differentiable function of d variables with known minima."""

    __test__: ClassVar[bool] = False  # not a test case, in spite of its name
    name: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]
    minima: Any
    """Tuple of points: every global minimum; empty where the function is unbounded below."""
    start: Any
    """The point from which the literature starts."""
    box: Any
    """Per coordinate (low, high): the region to draw and to start from."""

    def value(self, x: Floats) -> Floats:
        """f at points (..., d), as (...,)."""

    def gradient(self, x: Floats) -> Floats:
        """The gradient at points (..., d), as (..., d)."""


@dataclass(frozen=True)
class Ravine:
    """A quadratic that is twenty times steeper along w2 than along w1: the published exercise."""

    name: ClassVar[str] = "ravine"
    formula: ClassVar[str] = "0.1*w1^2 + 2*w2^2"
    source: ClassVar[str] = "the exercise behind this tool; d2l.ai, 'Momentum'"
    minima: ClassVar[tuple[Point, ...]] = ((0.0, 0.0),)
    start: ClassVar[Point] = (-5.0, -2.0)
    box: ClassVar[tuple[Point, ...]] = ((-6.0, 3.0), (-3.0, 3.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = x[..., 0], x[..., 1]
        return 0.1 * w1**2 + 2 * w2**2

    def gradient(self, x: Floats) -> Floats:
        return np.stack([0.2 * x[..., 0], 4 * x[..., 1]], axis=-1)


@dataclass(frozen=True)
class Sphere:
    """The sum of squares: every direction is alike."""

    name: ClassVar[str] = "sphere"
    formula: ClassVar[str] = "w1^2 + w2^2"
    source: ClassVar[str] = "De Jong 1975, f1"
    minima: ClassVar[tuple[Point, ...]] = ((0.0, 0.0),)
    start: ClassVar[Point] = (-4.0, 3.0)
    box: ClassVar[tuple[Point, ...]] = ((-5.12, 5.12), (-5.12, 5.12))

    def value(self, x: Floats) -> Floats:
        return np.asarray(np.sum(x**2, axis=-1))

    def gradient(self, x: Floats) -> Floats:
        return 2 * x


@dataclass(frozen=True)
class Rosenbrock:
    """A curved valley: its floor is found at once, its end only after a long walk."""

    name: ClassVar[str] = "rosenbrock"
    formula: ClassVar[str] = "(a - w1)^2 + b*(w2 - w1^2)^2"
    source: ClassVar[str] = "Rosenbrock 1960"
    start: ClassVar[Point] = (-1.2, 1.0)
    box: ClassVar[tuple[Point, ...]] = ((-2.0, 2.0), (-1.0, 3.0))
    a: Annotated[float, Doc("place of the minimum, (a, a^2)")] = 1.0
    b: Annotated[float, Gt(0), Doc("steepness of the valley's walls")] = 100.0

    @property
    def minima(self) -> tuple[Point, ...]:
        return ((self.a, self.a**2),)

    def value(self, x: Floats) -> Floats:
        w1, w2 = x[..., 0], x[..., 1]
        return (self.a - w1) ** 2 + self.b * (w2 - w1**2) ** 2

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = x[..., 0], x[..., 1]
        wall = w2 - w1**2
        return np.stack([-2 * (self.a - w1) - 4 * self.b * w1 * wall, 2 * self.b * wall], axis=-1)


FUNCTIONS: dict[str, type[Any]] = {f.name: f for f in (Ravine, Sphere, Rosenbrock)}
