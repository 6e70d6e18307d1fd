"""Functions of constant curvature: bowls, a saddle, a kink."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge

from optilab.optimize.functions.test_function import (
    AnyDimension,
    Dimension,
    Floats,
    Objective,
    Point,
    coordinates,
    pair,
    total,
)


@dataclass(frozen=True)
class Ravine(Objective):
    """A quadratic that is twenty times steeper along w2 than along w1: the published exercise."""

    name: ClassVar[str] = "ravine"
    formula: ClassVar[str] = "0.1*w1^2 + 2*w2^2"
    source: ClassVar[str] = "the exercise behind this tool; d2l.ai, 'Momentum'"
    minima: ClassVar[tuple[Point, ...]] = ((0.0, 0.0),)
    start: ClassVar[Point] = (-5.0, -2.0)
    box: ClassVar[tuple[Point, ...]] = ((-6.0, 3.0), (-3.0, 3.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return 0.1 * w1**2 + 2 * w2**2

    def gradient(self, x: Floats) -> Floats:
        return pair(0.2 * x[..., 0], 4 * x[..., 1])


@dataclass(frozen=True)
class Sphere(Objective):
    """The sum of squares: every direction is alike."""

    name: ClassVar[str] = "sphere"
    formula: ClassVar[str] = "w1^2 + w2^2"
    source: ClassVar[str] = "De Jong 1975, f1"
    minima: ClassVar[tuple[Point, ...]] = ((0.0, 0.0),)
    start: ClassVar[Point] = (-4.0, 3.0)
    box: ClassVar[tuple[Point, ...]] = ((-5.12, 5.12), (-5.12, 5.12))

    def value(self, x: Floats) -> Floats:
        return total(x**2)

    def gradient(self, x: Floats) -> Floats:
        return 2 * x


@dataclass(frozen=True)
class Quadratic(AnyDimension):
    """A bowl of chosen condition number, turned in space: w'A w/2 with A = Q' diag(1, ..., condition) Q.

    The eigenvalues are spaced evenly on a log scale. Q turns every pair of neighbouring axes, (1, 2), (2, 3), ...,
    by `rotation` degrees: a rule that scales each coordinate by itself loses its advantage when the axes turn.
    """

    name: ClassVar[str] = "quadratic"
    formula: ClassVar[str] = "w'*A*w/2, eigenvalues of A from 1 to condition"
    source: ClassVar[str] = "Nocedal & Wright 2006, section 3.3"
    first: ClassVar[tuple[float, float, float]] = (-4.0, 3.0, 2.0)
    side: ClassVar[tuple[float, float]] = (-5.0, 5.0)
    condition: Annotated[float, Ge(1), Doc("largest eigenvalue; the smallest is 1")] = 100.0
    rotation: Annotated[float, Doc("angle of the axes, in degrees")] = 30.0
    dimension: Dimension = 2

    @cached_property
    def matrix(self) -> Floats:
        """A, (d, d)."""
        angle = np.deg2rad(self.rotation)
        turn = np.eye(self.dimension)
        for i in range(self.dimension - 1):
            plane = np.eye(self.dimension)
            plane[i : i + 2, i : i + 2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            turn = plane @ turn
        eigenvalues = np.geomspace(1.0, self.condition, self.dimension)
        return np.asarray(turn.T * eigenvalues @ turn)

    def value(self, x: Floats) -> Floats:
        return total(x * self.gradient(x)) / 2

    def gradient(self, x: Floats) -> Floats:
        if self.dimension > 4:
            return np.asarray(x @ self.matrix)
        # Summed in order: a matrix product has no fixed order, and paths must have the same bits on every back end.
        gradient = x[..., :1] * self.matrix[0]
        for i in range(1, self.dimension):
            gradient = gradient + x[..., i : i + 1] * self.matrix[i]
        return gradient


@dataclass(frozen=True)
class Booth(Objective):
    """A mildly stretched bowl away from the origin."""

    name: ClassVar[str] = "booth"
    formula: ClassVar[str] = "(w1 + 2*w2 - 7)^2 + (2*w1 + w2 - 5)^2"
    source: ClassVar[str] = "Jamil & Yang 2013, no. 20"
    minima: ClassVar[tuple[Point, ...]] = ((1.0, 3.0),)
    start: ClassVar[Point] = (-5.0, -5.0)
    box: ClassVar[tuple[Point, ...]] = ((-10.0, 10.0), (-10.0, 10.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return (w1 + 2 * w2 - 7) ** 2 + (2 * w1 + w2 - 5) ** 2

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        a, b = w1 + 2 * w2 - 7, 2 * w1 + w2 - 5
        return pair(2 * a + 4 * b, 4 * a + 2 * b)


@dataclass(frozen=True)
class Matyas(Objective):
    """A bowl with one nearly flat diagonal: condition number 25, turned by 45 degrees."""

    name: ClassVar[str] = "matyas"
    formula: ClassVar[str] = "0.26*(w1^2 + w2^2) - 0.48*w1*w2"
    source: ClassVar[str] = "Jamil & Yang 2013, no. 71"
    minima: ClassVar[tuple[Point, ...]] = ((0.0, 0.0),)
    start: ClassVar[Point] = (-8.0, 5.0)
    box: ClassVar[tuple[Point, ...]] = ((-10.0, 10.0), (-10.0, 10.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return 0.26 * (w1**2 + w2**2) - 0.48 * w1 * w2

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return pair(0.52 * w1 - 0.48 * w2, 0.52 * w2 - 0.48 * w1)


@dataclass(frozen=True)
class AbsRavine(Objective):
    """The ravine with a sharp bed: the gradient never gets small, so a constant step never settles.

    The gradient on the kinks, where there is none, is 0 in the coordinate that is 0.
    """

    name: ClassVar[str] = "abs-ravine"
    formula: ClassVar[str] = "0.1*abs(w1) + 2*abs(w2)"
    source: ClassVar[str] = "the ravine with |w| for w^2; Shor 1985 for the method it needs"
    minima: ClassVar[tuple[Point, ...]] = ((0.0, 0.0),)
    start: ClassVar[Point] = (-5.0, -2.0)
    box: ClassVar[tuple[Point, ...]] = ((-6.0, 3.0), (-3.0, 3.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return 0.1 * np.abs(w1) + 2 * np.abs(w2)

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return pair(0.1 * np.sign(w1.real), 2 * np.sign(w2.real))


@dataclass(frozen=True)
class Saddle(Objective):
    """Down on one axis, up on the other; the start lies almost on the ridge that leads to the saddle."""

    name: ClassVar[str] = "saddle"
    formula: ClassVar[str] = "w1^2 - w2^2"
    source: ClassVar[str] = "Dauphin et al. 2014"
    minima: ClassVar[tuple[Point, ...]] = ()
    start: ClassVar[Point] = (-1.5, 0.001)
    box: ClassVar[tuple[Point, ...]] = ((-2.0, 2.0), (-2.0, 2.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return w1**2 - w2**2

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return pair(2 * w1, -2 * w2)


ENTRIES = (Ravine, Sphere, Quadratic, Booth, Matyas, AbsRavine, Saddle)
