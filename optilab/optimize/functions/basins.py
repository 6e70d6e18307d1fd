"""Functions with a few basins, all or some of them global."""

from dataclasses import dataclass
from math import pi
from typing import ClassVar

import numpy as np

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


ENTRIES = (
    Himmelblau,
    ThreeHumpCamel,
    SixHumpCamel,
    GoldsteinPrice,
    Branin,
    McCormick,
    StyblinskiTang,
)
