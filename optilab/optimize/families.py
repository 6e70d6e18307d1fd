"""The test functions with parameters: of any dimension, of a condition number, of data."""

from dataclasses import dataclass
from functools import cached_property
from math import e, pi
from typing import Annotated, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Gt, Le

from optilab.optimize.objective import (
    Floats,
    Objective,
    Point,
)
from optilab.optimize.program import power

Dimension = Annotated[int, Ge(1), Le(1000), Doc("number of coordinates")]


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


def total(terms: Floats) -> Floats:
    """The sum over the coordinates, (...,)."""
    return np.asarray(terms.sum(axis=-1))


@dataclass(frozen=True)
class Quadratic(AnyDimension):
    """A bowl of chosen condition number, turned in space: w'A w/2 with A = Q' diag(1, ..., condition) Q.

    The eigenvalues are spaced evenly on a log scale. Q turns every pair of neighboring axes, (1, 2), (2, 3), ...,
    by `rotation` degrees: a rule that scales each coordinate by itself loses its advantage when the axes turn.
    """

    name = "quadratic"
    formula = "w'*A*w/2, eigenvalues of A from 1 to condition"
    source = "Nocedal & Wright 2006, section 3.3"
    first = (-4.0, 3.0, 2.0)
    side = (-5.0, 5.0)
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
class Rosenbrock(Objective):
    """A curved valley: its floor is reached quickly, its end slowly."""

    name = "rosenbrock"
    source = "Rosenbrock 1960"
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
class DixonPrice(AnyDimension):
    """A valley along a square root: each coordinate's place depends on the one before."""

    name = "dixon-price"
    source = "Dixon & Price 1989; Jamil & Yang 2013, no. 48"
    first = (-4.0, 3.0, 3.0)
    side = (-10.0, 10.0)
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

    name = "zakharov"
    formula = "sum of w_i^2 + s^2 + s^4, s = sum of i*w_i/2"
    source = "Jamil & Yang 2013, no. 173"
    first = (-3.0, 4.0, 1.0)
    side = (-5.0, 10.0)
    dimension: Dimension = 2

    def value(self, x: Floats) -> Floats:
        s = total(np.arange(1, self.dimension + 1) / 2 * x)
        return total(x**2) + s**2 + power(s, 4)

    def gradient(self, x: Floats) -> Floats:
        weights = np.arange(1, self.dimension + 1) / 2
        s = (weights * x).sum(axis=-1, keepdims=True)
        return 2 * x + (2 * s + 4 * power(s, 3)) * weights


@dataclass(frozen=True)
class StyblinskiTang(AnyDimension):
    """Two basins along every axis, 2^d in all; one is the best."""

    name = "styblinski-tang"
    formula = "sum of (w_i^4 - 16*w_i^2 + 5*w_i)/2"
    source = "Styblinski & Tang 1990"
    lowest = -2.903534027771177
    first = (-1.0, 0.5, 0.5)
    side = (-5.0, 5.0)
    dimension: Dimension = 2

    def value(self, x: Floats) -> Floats:
        return total(power(x, 4) - 16 * x**2 + 5 * x) / 2

    def gradient(self, x: Floats) -> Floats:
        return 2 * power(x, 3) - 16 * x + 2.5


@dataclass(frozen=True)
class Rastrigin(AnyDimension):
    """An egg box on a bowl: a local minimum near every whole number."""

    name = "rastrigin"
    formula = "10*d + sum of w_i^2 - 10*cos(2*pi*w_i)"
    source = "Rastrigin 1974; Mühlenbein et al. 1991"
    first = (-3.4, 2.6, 1.6)
    side = (-5.12, 5.12)
    dimension: Dimension = 2

    def value(self, x: Floats) -> Floats:
        return total(10 + x**2 - 10 * np.cos(2 * pi * x))

    def gradient(self, x: Floats) -> Floats:
        return 2 * x + 20 * pi * np.sin(2 * pi * x)


@dataclass(frozen=True)
class Ackley(AnyDimension):
    """Ripples on a funnel; its bottom is a point where there is no gradient (given as 0)."""

    name = "ackley"
    formula = "20 + e - 20*exp(-0.2*sqrt(mean of w_i^2)) - exp(mean of cos(2*pi*w_i))"
    source = "Ackley 1987"
    first = (-3.4, 2.6, 1.6)
    side = (-5.0, 5.0)
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

    name = "griewank"
    formula = "1 + sum of w_i^2/4000 - product of cos(w_i/sqrt(i))"
    source = "Griewank 1981"
    first = (-8.0, 6.0, 4.0)
    side = (-10.0, 10.0)
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


# Length and width of the petals in millimetres: fifty of Iris versicolor, then fifty of Iris virginica, in the
# order of Fisher's table.
_PETALS = """
47 14 45 15 49 15 40 13 46 15 45 13 47 16 33 10 46 13 39 14 35 10 42 15 40 10 47 14 36 13 44 14 45 15
41 10 45 15 39 11 48 18 40 13 49 15 47 12 43 13 44 14 48 14 50 17 45 15 35 10 38 11 37 10 39 12 51 16
45 15 45 16 47 15 44 13 41 13 40 13 44 12 46 14 40 12 33 10 42 13 42 12 42 13 43 13 30 11 41 13
60 25 51 19 59 21 56 18 58 22 66 21 45 17 63 18 58 18 61 25 51 20 53 19 55 21 50 20 51 24 53 23 55 18
67 22 69 23 50 15 57 23 49 20 67 20 49 18 57 21 60 18 48 18 49 18 56 21 58 16 61 19 64 20 56 22 51 15
56 14 61 23 56 24 55 18 48 18 54 21 56 24 51 23 51 19 59 23 57 25 52 23 50 19 52 20 54 23 51 18
"""


@dataclass(frozen=True)
class LogisticRegression(Objective):
    """The mean log-loss of telling two irises apart by their petals, with a small L2 penalty.

    f(w) = mean log(1 + exp(-y*(w1 + w2*length + w3*width))) + l2/2*(w2^2 + w3^2), y = -1 for versicolor, 1 for
    virginica; length and width in standard deviations from their mean. Convex; 94% can be told apart.
    """

    name = "logistic-regression"
    formula = "mean of log(1 + exp(-y*(w1 + w2*length + w3*width))) + l2/2*(w2^2 + w3^2)"
    source = "Fisher 1936 (UCI Iris): versicolor and virginica, petals"
    start = (0.0, 0.0, 0.0)
    box = ((-3.0, 3.0), (-2.0, 6.0), (-2.0, 6.0))
    l2: Annotated[float, Ge(1e-6), Doc("weight of the penalty")] = 0.01

    @cached_property
    def signed_inputs(self) -> Floats:
        """y*(1, length, width) of every flower, (100, 3)."""
        petals = np.array(_PETALS.split(), dtype=np.float64).reshape(100, 2)
        inputs = np.column_stack([np.ones(100), (petals - petals.mean(axis=0)) / petals.std(axis=0)])
        return inputs * np.repeat([-1.0, 1.0], 50)[:, None]

    @cached_property
    def minima(self) -> tuple[Point, ...]:
        w = np.zeros(3)
        for _ in range(20):  # Newton's method on a strictly convex function: exact to rounding after nine
            w = w - np.linalg.solve(self.hessian(w), self.gradient(w))
        return (tuple(w.tolist()),)

    def value(self, x: Floats) -> Floats:
        margin = x @ self.signed_inputs.T
        return np.logaddexp(0, -margin).mean(axis=-1) + self.l2 / 2 * total(x[..., 1:] ** 2)

    def gradient(self, x: Floats) -> Floats:
        margin = x @ self.signed_inputs.T
        # 1/(1 + exp(m)), without overflow, and analytic, since the Hessian takes complex points.
        wrong = (1 - np.tanh(margin / 2)) / 2
        penalty = self.l2 * x * np.array([0.0, 1.0, 1.0])
        return np.asarray(-(wrong @ self.signed_inputs) / 100 + penalty)
