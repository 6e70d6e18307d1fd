"""The test functions: bowls, valleys, basins, ripples; one small frozen class each."""

from dataclasses import dataclass
from functools import cached_property
from math import e, log, pi
from typing import Annotated, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Gt, Le

from optilab.optimize.formula import power
from optilab.optimize.objective import (
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


@dataclass(frozen=True)
class Rosenbrock(Objective):
    """A curved valley: its floor is reached quickly, its end slowly."""

    name: ClassVar[str] = "rosenbrock"
    source: ClassVar[str] = "Rosenbrock 1960"
    a: Annotated[float, Doc("place of the minimum, (a, a^2)")] = 1.0
    b: Annotated[float, Gt(0), Doc("steepness of the valley's walls")] = 100.0
    dimension: Annotated[int, Ge(2), Le(1000), Doc("number of coordinates; more than 2 chain the valleys")] = 2

    @property
    def formula(self) -> str:
        if self.dimension == 2:
            return "(a - w1)^2 + b*(w2 - w1^2)^2"
        return "sum of (a - w_i)^2 + b*(w_(i+1) - w_i^2)^2"

    @property
    def minima(self) -> tuple[Point, ...]:
        if self.dimension == 2:
            return ((self.a, self.a**2),)
        # Only 1 is its own square: for another a the terms of a chain cannot all vanish.
        return ((1.0,) * self.dimension,) if self.a == 1 else ()

    @property
    def start(self) -> Point:
        return ((-1.2, 1.0) * self.dimension)[: self.dimension]

    @property
    def box(self) -> tuple[Point, ...]:
        if self.dimension > 2:
            return ((-2.0, 3.0),) * self.dimension
        reach = max(2.0, abs(self.a) + 1)
        return ((-reach, reach), (-1.0, max(3.0, self.a**2 + 1)))

    def value(self, x: Floats) -> Floats:
        here, after = x[..., :-1], x[..., 1:]
        return total((self.a - here) ** 2 + self.b * (after - here**2) ** 2)

    def gradient(self, x: Floats) -> Floats:
        here, after = x[..., :-1], x[..., 1:]
        wall = after - here**2
        gradient = np.zeros_like(x)
        gradient[..., :-1] = -2 * (self.a - here) - 4 * self.b * here * wall
        gradient[..., 1:] += 2 * self.b * wall
        return gradient


@dataclass(frozen=True)
class Beale(Objective):
    """A flat valley between steep corners."""

    name: ClassVar[str] = "beale"
    formula: ClassVar[str] = "(1.5 - w1 + w1*w2)^2 + (2.25 - w1 + w1*w2^2)^2 + (2.625 - w1 + w1*w2^3)^2"
    source: ClassVar[str] = "Moré, Garbow & Hillstrom 1981, no. 5"
    minima: ClassVar[tuple[Point, ...]] = ((3.0, 0.5),)
    start: ClassVar[Point] = (1.0, 1.0)
    box: ClassVar[tuple[Point, ...]] = ((-4.5, 4.5), (-4.5, 4.5))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return (1.5 - w1 + w1 * w2) ** 2 + (2.25 - w1 + w1 * w2**2) ** 2 + (2.625 - w1 + w1 * power(w2, 3)) ** 2

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        a, b, c = 1.5 - w1 + w1 * w2, 2.25 - w1 + w1 * w2**2, 2.625 - w1 + w1 * power(w2, 3)
        return pair(
            2 * (a * (w2 - 1) + b * (w2**2 - 1) + c * (power(w2, 3) - 1)),
            2 * w1 * (a + 2 * b * w2 + 3 * c * w2**2),
        )


@dataclass(frozen=True)
class DixonPrice(AnyDimension):
    """A valley along a square root: each coordinate's place depends on the one before."""

    name: ClassVar[str] = "dixon-price"
    source: ClassVar[str] = "Dixon & Price 1989; Jamil & Yang 2013, no. 48"
    first: ClassVar[tuple[float, float, float]] = (-4.0, 3.0, 3.0)
    side: ClassVar[tuple[float, float]] = (-10.0, 10.0)
    dimension: Annotated[int, Ge(2), Le(1000), Doc("number of coordinates")] = 2

    @property
    def formula(self) -> str:
        return (
            "(w1 - 1)^2 + 2*(2*w2^2 - w1)^2"
            if self.dimension == 2
            else "(w1 - 1)^2 + sum of i*(2*w_i^2 - w_(i-1))^2"
        )

    @property
    def minima(self) -> tuple[Point, ...]:
        # 2*w_i^2 = w_(i-1) leaves the sign of the last coordinate open.
        *head, last = (2.0 ** (2.0**-i - 1) for i in range(self.dimension))
        return ((*head, last), (*head, -last))

    def value(self, x: Floats) -> Floats:
        i = np.arange(2, self.dimension + 1)
        return (x[..., 0] - 1) ** 2 + total(i * (2 * x[..., 1:] ** 2 - x[..., :-1]) ** 2)

    def gradient(self, x: Floats) -> Floats:
        i = np.arange(2, self.dimension + 1)
        gap = i * (2 * x[..., 1:] ** 2 - x[..., :-1])
        gradient = np.zeros_like(x)
        gradient[..., 0] = 2 * (x[..., 0] - 1)
        gradient[..., 1:] += 8 * gap * x[..., 1:]
        gradient[..., :-1] -= 2 * gap
        return gradient


@dataclass(frozen=True)
class Zakharov(AnyDimension):
    """A bowl with one direction in which it rises with the fourth power."""

    name: ClassVar[str] = "zakharov"
    formula: ClassVar[str] = "sum of w_i^2 + s^2 + s^4, s = sum of i*w_i/2"
    source: ClassVar[str] = "Jamil & Yang 2013, no. 173"
    first: ClassVar[tuple[float, float, float]] = (-3.0, 4.0, 1.0)
    side: ClassVar[tuple[float, float]] = (-5.0, 10.0)
    dimension: Dimension = 2

    def value(self, x: Floats) -> Floats:
        s = total(np.arange(1, self.dimension + 1) / 2 * x)
        return total(x**2) + s**2 + power(s, 4)

    def gradient(self, x: Floats) -> Floats:
        weights = np.arange(1, self.dimension + 1) / 2
        s = (weights * x).sum(axis=-1, keepdims=True)
        return 2 * x + (2 * s + 4 * power(s, 3)) * weights


@dataclass(frozen=True)
class Plateau(Objective):
    """A hole in a plain: far from it the gradient almost vanishes."""

    name: ClassVar[str] = "plateau"
    formula: ClassVar[str] = "1 - exp(-(w1^2 + w2^2)/2)"
    source: ClassVar[str] = "a Gaussian; the plain of saturated units, Glorot & Bengio 2010"
    minima: ClassVar[tuple[Point, ...]] = ((0.0, 0.0),)
    start: ClassVar[Point] = (-2.5, -1.5)
    box: ClassVar[tuple[Point, ...]] = ((-4.0, 4.0), (-4.0, 4.0))

    def value(self, x: Floats) -> Floats:
        return 1 - np.exp(-total(x**2) / 2)

    def gradient(self, x: Floats) -> Floats:
        return x * np.exp(-(x**2).sum(axis=-1, keepdims=True) / 2)


@dataclass(frozen=True)
class Cliff(Objective):
    """A slope that ends at a wall, where the gradient is enormous: the case for clipping."""

    name: ClassVar[str] = "cliff"
    formula: ClassVar[str] = "((w1 - 3)/100)^2 - (w1 - w2) + exp(20*(w1 - w2))"
    source: ClassVar[str] = "Buckley 1989, no. 206; CUTEst, CLIFF"
    minima: ClassVar[tuple[Point, ...]] = ((3.0, 3 + log(20) / 20),)
    start: ClassVar[Point] = (0.0, -1.0)
    box: ClassVar[tuple[Point, ...]] = ((-1.0, 4.0), (-1.0, 4.5))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return ((w1 - 3) / 100) ** 2 - (w1 - w2) + np.exp(20 * (w1 - w2))

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        wall = 20 * np.exp(20 * (w1 - w2))
        return pair(2 * (w1 - 3) / 1e4 - 1 + wall, 1 - wall)


@dataclass(frozen=True)
class MonkeySaddle(Objective):
    """Three ways down; at the saddle even the Hessian is zero."""

    name: ClassVar[str] = "monkey-saddle"
    formula: ClassVar[str] = "w1^3 - 3*w1*w2^2"
    source: ClassVar[str] = "Hilbert & Cohn-Vossen 1932"
    minima: ClassVar[tuple[Point, ...]] = ()
    start: ClassVar[Point] = (1.5, 0.01)
    box: ClassVar[tuple[Point, ...]] = ((-2.0, 2.0), (-2.0, 2.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return power(w1, 3) - 3 * w1 * w2**2

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return pair(3 * w1**2 - 3 * w2**2, -6 * w1 * w2)


@dataclass(frozen=True)
class Himmelblau(Objective):
    """Four minima, all equally good."""

    name: ClassVar[str] = "himmelblau"
    formula: ClassVar[str] = "(w1^2 + w2 - 11)^2 + (w1 + w2^2 - 7)^2"
    source: ClassVar[str] = "Himmelblau 1972"
    minima: ClassVar[tuple[Point, ...]] = (
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.283185991286170),
        (3.584428340330492, -1.848126526964404),
    )
    start: ClassVar[Point] = (0.0, 0.0)
    box: ClassVar[tuple[Point, ...]] = ((-5.0, 5.0), (-5.0, 5.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return (w1**2 + w2 - 11) ** 2 + (w1 + w2**2 - 7) ** 2

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        a, b = w1**2 + w2 - 11, w1 + w2**2 - 7
        return pair(4 * w1 * a + 2 * b, 2 * a + 4 * w2 * b)


@dataclass(frozen=True)
class ThreeHumpCamel(Objective):
    """One global minimum between two local ones."""

    name: ClassVar[str] = "three-hump-camel"
    formula: ClassVar[str] = "2*w1^2 - 1.05*w1^4 + w1^6/6 + w1*w2 + w2^2"
    source: ClassVar[str] = "Branin 1972; Jamil & Yang 2013, no. 29"
    minima: ClassVar[tuple[Point, ...]] = ((0.0, 0.0),)
    start: ClassVar[Point] = (-2.0, 2.0)
    box: ClassVar[tuple[Point, ...]] = ((-5.0, 5.0), (-5.0, 5.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return 2 * w1**2 - 1.05 * power(w1, 4) + power(w1, 6) / 6 + w1 * w2 + w2**2

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return pair(4 * w1 - 4.2 * power(w1, 3) + power(w1, 5) + w2, w1 + 2 * w2)


@dataclass(frozen=True)
class SixHumpCamel(Objective):
    """Six minima, two of them global."""

    name: ClassVar[str] = "six-hump-camel"
    formula: ClassVar[str] = "(4 - 2.1*w1^2 + w1^4/3)*w1^2 + w1*w2 + (4*w2^2 - 4)*w2^2"
    source: ClassVar[str] = "Dixon & Szegö 1978"
    minima: ClassVar[tuple[Point, ...]] = (
        (0.08984201310031807, -0.7126564030207396),
        (-0.08984201310031807, 0.7126564030207396),
    )
    start: ClassVar[Point] = (-2.0, -0.5)
    box: ClassVar[tuple[Point, ...]] = ((-3.0, 3.0), (-2.0, 2.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return (4 - 2.1 * w1**2 + power(w1, 4) / 3) * w1**2 + w1 * w2 + (4 * w2**2 - 4) * w2**2

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return pair(8 * w1 - 8.4 * power(w1, 3) + 2 * power(w1, 5) + w2, w1 - 8 * w2 + 16 * power(w2, 3))


@dataclass(frozen=True)
class GoldsteinPrice(Objective):
    """Values from 3 to a million: the curvature, and the right learning rate, vary as much."""

    name: ClassVar[str] = "goldstein-price"
    formula: ClassVar[str] = (
        "(1 + (w1 + w2 + 1)^2*(19 - 14*w1 + 3*w1^2 - 14*w2 + 6*w1*w2 + 3*w2^2))"
        "*(30 + (2*w1 - 3*w2)^2*(18 - 32*w1 + 12*w1^2 + 48*w2 - 36*w1*w2 + 27*w2^2))"
    )
    source: ClassVar[str] = "Goldstein & Price 1971"
    minima: ClassVar[tuple[Point, ...]] = ((0.0, -1.0),)
    start: ClassVar[Point] = (0.5, -0.5)
    box: ClassVar[tuple[Point, ...]] = ((-2.0, 2.0), (-2.0, 2.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        first = 1 + (w1 + w2 + 1) ** 2 * (19 - 14 * w1 + 3 * w1**2 - 14 * w2 + 6 * w1 * w2 + 3 * w2**2)
        second = 30 + (2 * w1 - 3 * w2) ** 2 * (18 - 32 * w1 + 12 * w1**2 + 48 * w2 - 36 * w1 * w2 + 27 * w2**2)
        return np.asarray(first * second)

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        a, b = w1 + w2 + 1, 2 * w1 - 3 * w2
        p = 19 - 14 * w1 + 3 * w1**2 - 14 * w2 + 6 * w1 * w2 + 3 * w2**2
        q = 18 - 32 * w1 + 12 * w1**2 + 48 * w2 - 36 * w1 * w2 + 27 * w2**2
        # The first factor changes alike along both axes, the second only with b: 2 along w1, -3 along w2.
        along_a = (2 * a * p + a**2 * (6 * (w1 + w2) - 14)) * (30 + b**2 * q)
        along_b = (2 * b * q + b**2 * (6 * b - 16)) * (1 + a**2 * p)
        return pair(along_a + 2 * along_b, along_a - 3 * along_b)


@dataclass(frozen=True)
class Branin(Objective):
    """Three minima in the box, all equally good; further ones, just as low, lie outside it."""

    name: ClassVar[str] = "branin"
    formula: ClassVar[str] = "(w2 - 5.1/(4*pi^2)*w1^2 + 5/pi*w1 - 6)^2 + 10*(1 - 1/(8*pi))*cos(w1) + 10"
    source: ClassVar[str] = "Branin 1972; Dixon & Szegö 1978"
    minima: ClassVar[tuple[Point, ...]] = ((-pi, 12.275), (pi, 2.275), (3 * pi, 2.475))
    start: ClassVar[Point] = (2.5, 7.5)
    box: ClassVar[tuple[Point, ...]] = ((-5.0, 10.0), (0.0, 15.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        bend = w2 - 5.1 / (4 * pi**2) * w1**2 + 5 / pi * w1 - 6
        return bend**2 + 10 * (1 - 1 / (8 * pi)) * np.cos(w1) + 10

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        bend = w2 - 5.1 / (4 * pi**2) * w1**2 + 5 / pi * w1 - 6
        slope = 5 / pi - 5.1 / (2 * pi**2) * w1
        return pair(2 * bend * slope - 10 * (1 - 1 / (8 * pi)) * np.sin(w1), 2 * bend)


@dataclass(frozen=True)
class McCormick(Objective):
    """A valley with one minimum in the box; f is unbounded below outside it, where the valley repeats lower."""

    name: ClassVar[str] = "mccormick"
    formula: ClassVar[str] = "sin(w1 + w2) + (w1 - w2)^2 - 1.5*w1 + 2.5*w2 + 1"
    source: ClassVar[str] = "McCormick in Lootsma 1972; Jamil & Yang 2013, no. 72"
    minima: ClassVar[tuple[Point, ...]] = ((0.5 - pi / 3, -0.5 - pi / 3),)
    start: ClassVar[Point] = (3.0, 2.0)
    box: ClassVar[tuple[Point, ...]] = ((-1.5, 4.0), (-3.0, 4.0))  # Surjanovic & Bingham 2013; others end w2 at 3

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return np.sin(w1 + w2) + (w1 - w2) ** 2 - 1.5 * w1 + 2.5 * w2 + 1

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        wave = np.cos(w1 + w2)
        return pair(wave + 2 * (w1 - w2) - 1.5, wave - 2 * (w1 - w2) + 2.5)


@dataclass(frozen=True)
class StyblinskiTang(AnyDimension):
    """Two basins along every axis, 2^d in all; one is the best."""

    name: ClassVar[str] = "styblinski-tang"
    formula: ClassVar[str] = "sum of (w_i^4 - 16*w_i^2 + 5*w_i)/2"
    source: ClassVar[str] = "Styblinski & Tang 1990"
    lowest: ClassVar[float] = -2.903534027771177
    first: ClassVar[tuple[float, float, float]] = (-1.0, 0.5, 0.5)
    side: ClassVar[tuple[float, float]] = (-5.0, 5.0)
    dimension: Dimension = 2

    def value(self, x: Floats) -> Floats:
        return total(power(x, 4) - 16 * x**2 + 5 * x) / 2

    def gradient(self, x: Floats) -> Floats:
        return 2 * power(x, 3) - 16 * x + 2.5


@dataclass(frozen=True)
class Bohachevsky(Objective):
    """Small ripples on a bowl (the first of the three). In the literature's box, +-100, they drown."""

    name: ClassVar[str] = "bohachevsky"
    formula: ClassVar[str] = "w1^2 + 2*w2^2 - 0.3*cos(3*pi*w1) - 0.4*cos(4*pi*w2) + 0.7"
    source: ClassVar[str] = "Bohachevsky, Johnson & Stein 1986"
    minima: ClassVar[tuple[Point, ...]] = ((0.0, 0.0),)
    start: ClassVar[Point] = (-1.5, 1.2)
    box: ClassVar[tuple[Point, ...]] = ((-2.0, 2.0), (-2.0, 2.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return w1**2 + 2 * w2**2 - 0.3 * np.cos(3 * pi * w1) - 0.4 * np.cos(4 * pi * w2) + 0.7

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return pair(2 * w1 + 0.9 * pi * np.sin(3 * pi * w1), 4 * w2 + 1.6 * pi * np.sin(4 * pi * w2))


@dataclass(frozen=True)
class Rastrigin(AnyDimension):
    """An egg box on a bowl: a local minimum near every whole number."""

    name: ClassVar[str] = "rastrigin"
    formula: ClassVar[str] = "10*d + sum of w_i^2 - 10*cos(2*pi*w_i)"
    source: ClassVar[str] = "Rastrigin 1974; Mühlenbein et al. 1991"
    first: ClassVar[tuple[float, float, float]] = (-3.4, 2.6, 1.6)
    side: ClassVar[tuple[float, float]] = (-5.12, 5.12)
    dimension: Dimension = 2

    def value(self, x: Floats) -> Floats:
        return total(10 + x**2 - 10 * np.cos(2 * pi * x))

    def gradient(self, x: Floats) -> Floats:
        return 2 * x + 20 * pi * np.sin(2 * pi * x)


@dataclass(frozen=True)
class Ackley(AnyDimension):
    """Ripples on a funnel; its bottom is a point where there is no gradient (given as 0)."""

    name: ClassVar[str] = "ackley"
    formula: ClassVar[str] = "20 + e - 20*exp(-0.2*sqrt(mean of w_i^2)) - exp(mean of cos(2*pi*w_i))"
    source: ClassVar[str] = "Ackley 1987"
    first: ClassVar[tuple[float, float, float]] = (-3.4, 2.6, 1.6)
    side: ClassVar[tuple[float, float]] = (-5.0, 5.0)
    dimension: Dimension = 2

    def value(self, x: Floats) -> Floats:
        root = np.sqrt(total(x**2) / self.dimension)
        ripple = total(np.cos(2 * pi * x)) / self.dimension
        return 20 + e - 20 * np.exp(-0.2 * root) - np.exp(ripple)

    def gradient(self, x: Floats) -> Floats:
        root = np.sqrt((x**2).mean(axis=-1, keepdims=True))
        funnel = 4 * np.exp(-0.2 * root) * x / np.where(root == 0, 1.0, root)
        ripple = np.exp(np.cos(2 * pi * x).mean(axis=-1, keepdims=True)) * 2 * pi * np.sin(2 * pi * x)
        return (funnel + ripple) / self.dimension


@dataclass(frozen=True)
class Griewank(AnyDimension):
    """A product of waves on a very wide bowl. The literature's boxes are +-100 and +-600."""

    name: ClassVar[str] = "griewank"
    formula: ClassVar[str] = "1 + sum of w_i^2/4000 - product of cos(w_i/sqrt(i))"
    source: ClassVar[str] = "Griewank 1981"
    first: ClassVar[tuple[float, float, float]] = (-8.0, 6.0, 4.0)
    side: ClassVar[tuple[float, float]] = (-10.0, 10.0)
    dimension: Dimension = 2

    def value(self, x: Floats) -> Floats:
        scale = np.sqrt(np.arange(1, self.dimension + 1))
        return 1 + total(x**2) / 4000 - np.asarray(np.cos(x / scale).prod(axis=-1))

    def gradient(self, x: Floats) -> Floats:
        scale = np.sqrt(np.arange(1, self.dimension + 1))
        waves = np.cos(x / scale)
        # The product of all but one, without a division by a cosine that may be zero: (..., d, d) with 1 for it.
        others = np.where(np.eye(self.dimension, dtype=bool), 1.0, waves[..., None, :]).prod(axis=-1)
        return x / 2000 + np.sin(x / scale) / scale * others


@dataclass(frozen=True)
class Levy13(Objective):
    """Waves in both directions, deeper far from the minimum."""

    name: ClassVar[str] = "levy13"
    formula: ClassVar[str] = "sin(3*pi*w1)^2 + (w1 - 1)^2*(1 + sin(3*pi*w2)^2) + (w2 - 1)^2*(1 + sin(2*pi*w2)^2)"
    source: ClassVar[str] = "Mishra 2006; ten times a function of Levy & Montalvo 1985"
    minima: ClassVar[tuple[Point, ...]] = ((1.0, 1.0),)
    start: ClassVar[Point] = (-4.0, 5.0)
    box: ClassVar[tuple[Point, ...]] = ((-10.0, 10.0), (-10.0, 10.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return (
            np.sin(3 * pi * w1) ** 2
            + (w1 - 1) ** 2 * (1 + np.sin(3 * pi * w2) ** 2)
            + (w2 - 1) ** 2 * (1 + np.sin(2 * pi * w2) ** 2)
        )

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return pair(
            3 * pi * np.sin(6 * pi * w1) + 2 * (w1 - 1) * (1 + np.sin(3 * pi * w2) ** 2),
            3 * pi * (w1 - 1) ** 2 * np.sin(6 * pi * w2)
            + 2 * (w2 - 1) * (1 + np.sin(2 * pi * w2) ** 2)
            + 2 * pi * (w2 - 1) ** 2 * np.sin(4 * pi * w2),
        )


@dataclass(frozen=True)
class Easom(Objective):
    """One narrow hole at (pi, pi); everywhere else almost exactly zero. The literature's box is +-100."""

    name: ClassVar[str] = "easom"
    formula: ClassVar[str] = "-cos(w1)*cos(w2)*exp(-((w1 - pi)^2 + (w2 - pi)^2))"
    source: ClassVar[str] = "Easom 1990"
    minima: ClassVar[tuple[Point, ...]] = ((pi, pi),)
    start: ClassVar[Point] = (2.0, 4.0)
    box: ClassVar[tuple[Point, ...]] = ((0.0, 6.0), (0.0, 6.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return -np.cos(w1) * np.cos(w2) * np.exp(-((w1 - pi) ** 2 + (w2 - pi) ** 2))

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        hole = np.exp(-((w1 - pi) ** 2 + (w2 - pi) ** 2))
        return pair(
            hole * np.cos(w2) * (np.sin(w1) + 2 * (w1 - pi) * np.cos(w1)),
            hole * np.cos(w1) * (np.sin(w2) + 2 * (w2 - pi) * np.cos(w2)),
        )


@dataclass(frozen=True)
class DropWave(Objective):
    """The rings of a drop in water."""

    name: ClassVar[str] = "drop-wave"
    formula: ClassVar[str] = "-(1 + cos(12*sqrt(w1^2 + w2^2)))/((w1^2 + w2^2)/2 + 2)"
    source: ClassVar[str] = "Surjanovic & Bingham 2013"
    minima: ClassVar[tuple[Point, ...]] = ((0.0, 0.0),)
    start: ClassVar[Point] = (-1.0, 0.6)
    box: ClassVar[tuple[Point, ...]] = ((-2.0, 2.0), (-2.0, 2.0))

    def value(self, x: Floats) -> Floats:
        square = total(x**2)
        return -(1 + np.cos(12 * np.sqrt(square))) / (square / 2 + 2)

    def gradient(self, x: Floats) -> Floats:
        square = (x**2).sum(axis=-1, keepdims=True)
        radius, depth = np.sqrt(square), square / 2 + 2
        # sin(12r)/r is a sinc: it has a value at the centre.
        return x * (144 * np.sinc(12 * radius / pi) / depth + (1 + np.cos(12 * radius)) / depth**2)


@dataclass(frozen=True)
class Schaffer2(Objective):
    """Rings of saddles around a flat centre. The literature's box is +-100."""

    name: ClassVar[str] = "schaffer2"
    formula: ClassVar[str] = "0.5 + (sin(w1^2 - w2^2)^2 - 0.5)/(1 + 0.001*(w1^2 + w2^2))^2"
    source: ClassVar[str] = "Mishra 2006, after Schaffer et al. 1989; Jamil & Yang 2013, no. 113"
    minima: ClassVar[tuple[Point, ...]] = ((0.0, 0.0),)
    start: ClassVar[Point] = (-1.5, 0.5)
    box: ClassVar[tuple[Point, ...]] = ((-3.0, 3.0), (-3.0, 3.0))

    def value(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        return 0.5 + (np.sin(w1**2 - w2**2) ** 2 - 0.5) / (1 + 0.001 * (w1**2 + w2**2)) ** 2

    def gradient(self, x: Floats) -> Floats:
        w1, w2 = coordinates(x)
        wave, damping = w1**2 - w2**2, 1 + 0.001 * (w1**2 + w2**2)
        rise = 2 * np.sin(2 * wave) / damping**2
        fade = -0.004 * (np.sin(wave) ** 2 - 0.5) / power(damping, 3)
        return pair(w1 * (rise + fade), w2 * (fade - rise))


@dataclass(frozen=True)
class Michalewicz(Objective):
    """Narrow ditches that cross at the box's minimum, on a flat plain; outside the box f is lower in places."""

    name: ClassVar[str] = "michalewicz"
    formula: ClassVar[str] = "-sin(w1)*sin(w1^2/pi)^20 - sin(w2)*sin(2*w2^2/pi)^20"
    source: ClassVar[str] = "Michalewicz 1992, with m = 10"
    minima: ClassVar[tuple[Point, ...]] = ((2.2029055201726, pi / 2),)
    start: ClassVar[Point] = (2.0, 1.75)
    box: ClassVar[tuple[Point, ...]] = ((0.0, pi), (0.0, pi))

    def value(self, x: Floats) -> Floats:
        i = np.array([1, 2])
        return -total(np.sin(x) * power(np.sin(i * x**2 / pi), 20))

    def gradient(self, x: Floats) -> Floats:
        i = np.array([1, 2])
        phase = i * x**2 / pi
        ditch = power(np.sin(phase), 19)
        return -(np.cos(x) * ditch * np.sin(phase) + np.sin(x) * 40 * i * x / pi * ditch * np.cos(phase))
