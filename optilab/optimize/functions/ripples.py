"""Functions with many local minima, or a single hole in a plain."""

from dataclasses import dataclass
from math import e, pi
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


ENTRIES = (
    Bohachevsky,
    Rastrigin,
    Ackley,
    Griewank,
    Levy13,
    Easom,
    DropWave,
    Schaffer2,
    Michalewicz,
)
