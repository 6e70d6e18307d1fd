"""Curved valleys, plateaus and cliffs."""

from dataclasses import dataclass
from math import log
from typing import Annotated, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Gt, Le

from optilab.optimize.functions.test_function import (
    AnyDimension,
    Dimension,
    Floats,
    Objective,
    Point,
    coordinates,
    pair,
    power,
    total,
)


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


ENTRIES = (Rosenbrock, Beale, DixonPrice, Zakharov, Plateau, Cliff, MonkeySaddle)
