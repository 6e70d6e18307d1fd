"""The test functions: each is its formula, with its source, known minima, usual start and box.

Where `slope` gives the gradient, the derivative of the formula has no value at a point where the gradient has one. Five
functions are code: a matrix, neighbors, a product, data.
"""

import contextlib
import re
from dataclasses import dataclass, fields
from functools import cached_property
from math import log, pi
from typing import Annotated, ClassVar

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le

from optilab.errors import UsageError
from optilab.optimize import formula as formulas
from optilab.optimize.formula import Node, symbols
from optilab.optimize.objective import (
    Floats,
    FormulaObjective,
    Objective,
    Point,
    Symbolic,
    Trees,
    find_minima,
    is_quadratic,
    trees_of,
)
from optilab.optimize.rule import Registry


class Ravine(FormulaObjective):
    """A quadratic that is twenty times steeper along w2 than along w1: the published exercise."""

    name, source = "ravine", "the exercise behind this tool; d2l.ai, 'Momentum'"
    formula = "0.1*w1^2 + 2*w2^2"
    start, box, minima = (-5.0, -2.0), ((-6.0, 3.0), (-3.0, 3.0)), ((0.0, 0.0),)


class Sphere(FormulaObjective):
    """The sum of squares: every direction is alike."""

    name, source = "sphere", "De Jong 1975, f1"
    formula = "w1^2 + w2^2"
    start, box, minima = (-4.0, 3.0), ((-5.12, 5.12),) * 2, ((0.0, 0.0),)


Dimension = Annotated[int, Ge(1), Le(1000), Doc("number of coordinates")]


class AnyDimension(Objective):
    """A test function whose minimum, start and box follow one pattern in every `dimension`."""

    dimension: Dimension
    first: ClassVar[tuple[float, float, float]]
    """The start's first and second coordinates, and all further ones."""
    interval: ClassVar[tuple[float, float]]
    """(low, high) of the box in every coordinate."""
    lowest: ClassVar[float] = 0.0
    """The value of every coordinate of the minimum."""

    @property
    def start(self) -> Point:
        return (*self.first[:2], *self.first[2:] * self.dimension)[: self.dimension]

    @property
    def box(self) -> tuple[Point, ...]:
        return (self.interval,) * self.dimension

    @property
    def minima(self) -> tuple[Point, ...]:
        return ((self.lowest,) * self.dimension,)


@dataclass(frozen=True)
class VectorFormulaObjective(AnyDimension, FormulaObjective):
    """A formula of w, the vector of all coordinates."""

    dimension: Dimension = 2


@dataclass(frozen=True)
class Quadratic(AnyDimension, Symbolic):
    """A bowl of chosen condition number, turned in space: w'A w/2 with A = Q' diag(1, ..., condition) Q.

    The eigenvalues are spaced evenly on a log scale. Q turns every pair of neighboring axes, (1, 2), (2, 3), ...,
    by `rotation` degrees: a rule that scales each coordinate by itself loses its advantage when the axes turn.
    """

    name, source = "quadratic", "Nocedal & Wright 2006, section 3.3"
    formula = "w'*A*w/2, eigenvalues of A from 1 to condition"
    first, interval = (-4.0, 3.0, 2.0), (-5.0, 5.0)
    condition: Annotated[float, Ge(1), Doc("largest eigenvalue; the smallest is 1")] = 100.0
    rotation: Annotated[float, Doc("angle of the axes, in degrees")] = 30.0
    dimension: Dimension = 2

    @cached_property
    def matrix(self) -> Floats:
        """A, (d, d)."""
        import numpy as np

        angle = np.deg2rad(self.rotation)
        turn = np.eye(self.dimension)
        for i in range(self.dimension - 1):
            plane = np.eye(self.dimension)
            plane[i : i + 2, i : i + 2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            turn = plane @ turn
        return turn.T * np.geomspace(1.0, self.condition, self.dimension) @ turn

    def value(self, x: Floats) -> Floats:
        return (x * self.gradient(x)).sum(axis=-1) / 2

    def gradient(self, x: Floats) -> Floats:
        if self.dimension > 4:
            return x @ self.matrix
        # Summed in order: a matrix product has no fixed order, and paths must have the same bits on every back end.
        gradient = x[..., :1] * self.matrix[0]
        for i in range(1, self.dimension):
            gradient = gradient + x[..., i : i + 1] * self.matrix[i]
        return gradient


class Booth(FormulaObjective):
    """A mildly stretched bowl away from the origin."""

    name, source = "booth", "Jamil & Yang 2013, no. 20"
    formula = "(w1 + 2*w2 - 7)^2 + (2*w1 + w2 - 5)^2"
    start, box, minima = (-5.0, -5.0), ((-10.0, 10.0),) * 2, ((1.0, 3.0),)


class Matyas(FormulaObjective):
    """A bowl with one nearly flat diagonal: condition number 25, turned by 45 degrees."""

    name, source = "matyas", "Jamil & Yang 2013, no. 71"
    formula = "0.26*(w1^2 + w2^2) - 0.48*w1*w2"
    start, box, minima = (-8.0, 5.0), ((-10.0, 10.0),) * 2, ((0.0, 0.0),)


class AbsRavine(FormulaObjective):
    """The ravine with a sharp bed: the gradient never gets small, so a constant step never settles.

    On a kink, where f is not differentiable, that coordinate's gradient is 0.
    """

    name, source = "abs-ravine", "the ravine with |w| for w^2; Shor 1985 for the method it needs"
    formula = "0.1*abs(w1) + 2*abs(w2)"
    start, box, minima = (-5.0, -2.0), ((-6.0, 3.0), (-3.0, 3.0)), ((0.0, 0.0),)


class Saddle(FormulaObjective):
    """Down on one axis, up on the other; the start lies almost on the ridge that leads to the saddle."""

    name, source = "saddle", "Dauphin et al. 2014"
    formula = "w1^2 - w2^2"
    start, box, minima = (-1.5, 0.001), ((-2.0, 2.0),) * 2, ()


def _chained(x: Floats, before: Floats, after: Floats) -> Floats:
    """The gradient, (..., d), of a sum over pairs of neighbors, from the derivatives by the first and the second."""
    import numpy as np

    gradient = np.zeros_like(x)
    gradient[..., :-1] += before
    gradient[..., 1:] += after
    return gradient


@dataclass(frozen=True)
class Rosenbrock(Symbolic):
    """A curved valley: its floor is reached quickly, its end slowly."""

    name, source = "rosenbrock", "Rosenbrock 1960"
    a: Annotated[float, Doc("place of the minimum, (a, a^2)")] = 1.0
    b: Annotated[float, Gt(0), Doc("steepness of the valley's walls")] = 100.0
    dimension: Annotated[int, Ge(2), Le(1000), Doc("number of coordinates; more than 2 chain the valleys")] = 2

    @property
    def formula(self) -> str:
        if self.dimension == 2:
            return "(a - w1)^2 + b*(w2 - w1^2)^2"
        return "sum of (a - w_i)^2 + b*(w_(i+1) - w_i^2)^2"

    @property
    def start(self) -> Point:
        return ((-1.2, 1.0) * self.dimension)[: self.dimension]

    @property
    def box(self) -> tuple[Point, ...]:
        if self.dimension > 2:
            return ((-2.0, 3.0),) * self.dimension
        reach = max(2.0, abs(self.a) + 1)
        return ((-reach, reach), (-1.0, max(3.0, self.a**2 + 1)))

    @property
    def minima(self) -> tuple[Point, ...]:
        if self.dimension == 2:
            return ((self.a, self.a**2),)
        # Only 1 is its own square: for another a the terms of a chain cannot all vanish.
        return ((1.0,) * self.dimension,) if self.a == 1 else ()

    def value(self, x: Floats) -> Floats:
        before, after = x[..., :-1], x[..., 1:]
        return ((self.a - before) ** 2 + self.b * (after - before**2) ** 2).sum(axis=-1)

    def gradient(self, x: Floats) -> Floats:
        before, after = x[..., :-1], x[..., 1:]
        wall = after - before**2
        return _chained(x, -2 * (self.a - before) - 4 * self.b * before * wall, 2 * self.b * wall)


class Beale(FormulaObjective):
    """A flat valley between steep corners."""

    name, source = "beale", "Moré, Garbow & Hillstrom 1981, no. 5"
    formula = "(1.5 - w1 + w1*w2)^2 + (2.25 - w1 + w1*w2^2)^2 + (2.625 - w1 + w1*w2^3)^2"
    start, box, minima = (1.0, 1.0), ((-4.5, 4.5),) * 2, ((3.0, 0.5),)


@dataclass(frozen=True)
class DixonPrice(AnyDimension, Symbolic):
    """A valley along a square root: each coordinate's place depends on the one before."""

    name, source = "dixon-price", "Dixon & Price 1989; Jamil & Yang 2013, no. 48"
    first, interval = (-4.0, 3.0, 3.0), (-10.0, 10.0)
    dimension: Annotated[int, Ge(2), Le(1000), Doc("number of coordinates")] = 2

    @property
    def formula(self) -> str:
        if self.dimension == 2:
            return "(w1 - 1)^2 + 2*(2*w2^2 - w1)^2"
        return "(w1 - 1)^2 + sum of i*(2*w_i^2 - w_(i-1))^2"

    @property
    def minima(self) -> tuple[Point, ...]:
        # 2*w_i^2 = w_(i-1) leaves the sign of the last coordinate open.
        *head, last = (2.0 ** (2.0**-i - 1) for i in range(self.dimension))
        return ((*head, last), (*head, -last))

    def value(self, x: Floats) -> Floats:
        import numpy as np

        i = np.arange(2, self.dimension + 1)
        return (x[..., 0] - 1) ** 2 + (i * (2 * x[..., 1:] ** 2 - x[..., :-1]) ** 2).sum(axis=-1)

    def gradient(self, x: Floats) -> Floats:
        import numpy as np

        gap = np.arange(2, self.dimension + 1) * (2 * x[..., 1:] ** 2 - x[..., :-1])
        gradient = _chained(x, -2 * gap, 8 * gap * x[..., 1:])
        gradient[..., 0] += 2 * (x[..., 0] - 1)
        return gradient


class Zakharov(VectorFormulaObjective):
    """A bowl with one direction in which it rises with the fourth power."""

    name, source = "zakharov", "Jamil & Yang 2013, no. 173"
    formula = "sum(w^2) + sum(i/2*w)^2 + sum(i/2*w)^4"
    first, interval = (-3.0, 4.0, 1.0), (-5.0, 10.0)


class Plateau(FormulaObjective):
    """A hole in a plain: far from it the gradient almost vanishes."""

    name, source = "plateau", "a Gaussian; the plain of saturated units, Glorot & Bengio 2010"
    formula = "1 - exp(-(w1^2 + w2^2)/2)"
    start, box, minima = (-2.5, -1.5), ((-4.0, 4.0),) * 2, ((0.0, 0.0),)


class Cliff(FormulaObjective):
    """A slope that ends at a wall, where the gradient is enormous: the case for clipping."""

    name, source = "cliff", "Buckley 1989, no. 206; CUTEst, CLIFF"
    formula = "((w1 - 3)/100)^2 - (w1 - w2) + exp(20*(w1 - w2))"
    start, box, minima = (0.0, -1.0), ((-1.0, 4.0), (-1.0, 4.5)), ((3.0, 3 + log(20) / 20),)


class MonkeySaddle(FormulaObjective):
    """Three ways down; at the saddle even the Hessian is zero."""

    name, source = "monkey-saddle", "Hilbert & Cohn-Vossen 1932"
    formula = "w1^3 - 3*w1*w2^2"
    start, box, minima = (1.5, 0.01), ((-2.0, 2.0),) * 2, ()


class Himmelblau(FormulaObjective):
    """Four minima, all equally good."""

    name, source = "himmelblau", "Himmelblau 1972"
    formula = "(w1^2 + w2 - 11)^2 + (w1 + w2^2 - 7)^2"
    start, box = (0.0, 0.0), ((-5.0, 5.0),) * 2
    minima = (
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.283185991286170),
        (3.584428340330492, -1.848126526964404),
    )


class ThreeHumpCamel(FormulaObjective):
    """One global minimum between two local ones."""

    name, source = "three-hump-camel", "Branin 1972; Jamil & Yang 2013, no. 29"
    formula = "2*w1^2 - 1.05*w1^4 + w1^6/6 + w1*w2 + w2^2"
    start, box, minima = (-2.0, 2.0), ((-5.0, 5.0),) * 2, ((0.0, 0.0),)


class SixHumpCamel(FormulaObjective):
    """Six minima, two of them global."""

    name, source = "six-hump-camel", "Dixon & Szegö 1978"
    formula = "(4 - 2.1*w1^2 + w1^4/3)*w1^2 + w1*w2 + (4*w2^2 - 4)*w2^2"
    start, box = (-2.0, -0.5), ((-3.0, 3.0), (-2.0, 2.0))
    minima = ((0.08984201310031807, -0.7126564030207396), (-0.08984201310031807, 0.7126564030207396))


class GoldsteinPrice(FormulaObjective):
    """Values from 3 to a million: the curvature, and the right learning rate, vary as much."""

    name, source = "goldstein-price", "Goldstein & Price 1971"
    formula = (
        "(1 + (w1 + w2 + 1)^2*(19 - 14*w1 + 3*w1^2 - 14*w2 + 6*w1*w2 + 3*w2^2))"
        "*(30 + (2*w1 - 3*w2)^2*(18 - 32*w1 + 12*w1^2 + 48*w2 - 36*w1*w2 + 27*w2^2))"
    )
    start, box, minima = (0.5, -0.5), ((-2.0, 2.0),) * 2, ((0.0, -1.0),)


class Branin(FormulaObjective):
    """Three minima in the box, all equally good; further ones, just as low, lie outside it."""

    name, source = "branin", "Branin 1972; Dixon & Szegö 1978"
    formula = "(w2 - 5.1/(4*pi^2)*w1^2 + 5/pi*w1 - 6)^2 + 10*(1 - 1/(8*pi))*cos(w1) + 10"
    start, box = (2.5, 7.5), ((-5.0, 10.0), (0.0, 15.0))
    minima = ((-pi, 12.275), (pi, 2.275), (3 * pi, 2.475))


class McCormick(FormulaObjective):
    """A valley with one minimum in the box; f is unbounded below outside it, where the valley repeats lower."""

    name, source = "mccormick", "McCormick in Lootsma 1972; Jamil & Yang 2013, no. 72"
    formula = "sin(w1 + w2) + (w1 - w2)^2 - 1.5*w1 + 2.5*w2 + 1"
    start, minima = (3.0, 2.0), ((0.5 - pi / 3, -0.5 - pi / 3),)
    box = ((-1.5, 4.0), (-3.0, 4.0))  # Surjanovic & Bingham 2013; others end w2 at 3


class StyblinskiTang(VectorFormulaObjective):
    """Two basins along every axis, 2^d in all; one is the best."""

    name, source = "styblinski-tang", "Styblinski & Tang 1990"
    formula = "sum(w^4 - 16*w^2 + 5*w)/2"
    first, interval, lowest = (-1.0, 0.5, 0.5), (-5.0, 5.0), -2.903534027771177


class Bohachevsky(FormulaObjective):
    """Small ripples on a bowl (the first of the three). In the literature's box, +-100, they drown."""

    name, source = "bohachevsky", "Bohachevsky, Johnson & Stein 1986"
    formula = "w1^2 + 2*w2^2 - 0.3*cos(3*pi*w1) - 0.4*cos(4*pi*w2) + 0.7"
    start, box, minima = (-1.5, 1.2), ((-2.0, 2.0),) * 2, ((0.0, 0.0),)


class Rastrigin(VectorFormulaObjective):
    """An egg box on a bowl: a local minimum near every whole number."""

    name, source = "rastrigin", "Rastrigin 1974; Mühlenbein et al. 1991"
    formula = "sum(10 + w^2 - 10*cos(2*pi*w))"
    first, interval = (-3.4, 2.6, 1.6), (-5.12, 5.12)


class Ackley(VectorFormulaObjective):
    """Ripples on a funnel; its bottom is a point where there is no gradient (given as 0)."""

    name, source = "ackley", "Ackley 1987"
    formula = "20 + exp(1) - 20*exp(-0.2*sqrt(sum(w^2)/d)) - exp(sum(cos(2*pi*w))/d)"
    slope = (
        "m = sum(w^2)/d; r = where(m > 0, sqrt(m), 0); "
        "g = (4*exp(-0.2*r)*w/where(m > 0, r, 1) + exp(sum(cos(2*pi*w))/d)*2*pi*sin(2*pi*w))/d"
    )
    first, interval = (-3.4, 2.6, 1.6), (-5.0, 5.0)


@dataclass(frozen=True)
class Griewank(AnyDimension, Symbolic):
    """A product of waves on a very wide bowl. The literature's boxes are +-100 and +-600."""

    name, source = "griewank", "Griewank 1981"
    formula = "1 + sum of w_i^2/4000 - product of cos(w_i/sqrt(i))"
    first, interval = (-8.0, 6.0, 4.0), (-10.0, 10.0)
    dimension: Dimension = 2

    def value(self, x: Floats) -> Floats:
        import numpy as np

        scale = np.sqrt(np.arange(1, self.dimension + 1))
        return 1 + (x**2).sum(axis=-1) / 4000 - np.cos(x / scale).prod(axis=-1)

    def gradient(self, x: Floats) -> Floats:
        import numpy as np

        scale = np.sqrt(np.arange(1, self.dimension + 1))
        waves = np.cos(x / scale)
        # The product of all but one, without a division by a cosine that may be zero: (..., d, d) with 1 for it.
        others = np.where(np.eye(self.dimension, dtype=bool), 1.0, waves[..., None, :]).prod(axis=-1)
        return x / 2000 + np.sin(x / scale) / scale * others


class Levy13(FormulaObjective):
    """Waves in both directions, deeper far from the minimum."""

    name, source = "levy13", "Mishra 2006; ten times a function of Levy & Montalvo 1985"
    formula = "sin(3*pi*w1)^2 + (w1 - 1)^2*(1 + sin(3*pi*w2)^2) + (w2 - 1)^2*(1 + sin(2*pi*w2)^2)"
    start, box, minima = (-4.0, 5.0), ((-10.0, 10.0),) * 2, ((1.0, 1.0),)


class Easom(FormulaObjective):
    """One narrow hole at (pi, pi); everywhere else almost exactly zero. The literature's box is +-100."""

    name, source = "easom", "Easom 1990"
    formula = "-cos(w1)*cos(w2)*exp(-((w1 - pi)^2 + (w2 - pi)^2))"
    start, box, minima = (2.0, 4.0), ((0.0, 6.0),) * 2, ((pi, pi),)


class DropWave(FormulaObjective):
    """The rings of a drop in water."""

    name, source = "drop-wave", "Surjanovic & Bingham 2013"
    formula = "-(1 + cos(12*sqrt(w1^2 + w2^2)))/((w1^2 + w2^2)/2 + 2)"
    # sin(12*r)/r has a value at the center, unlike the derivative of the formula.
    slope = (
        "q = w1^2 + w2^2; r = where(q > 0, sqrt(q), 1e-20); y = pi*(12*r/pi); "
        "h = 144*(sin(y)/y)/(q/2 + 2) + (1 + cos(12*r))/(q/2 + 2)^2; g1 = w1*h; g2 = w2*h"
    )
    start, box, minima = (-1.0, 0.6), ((-2.0, 2.0),) * 2, ((0.0, 0.0),)


class Schaffer2(FormulaObjective):
    """Rings of saddles around a flat center. The literature's box is +-100."""

    name, source = "schaffer2", "Mishra 2006, after Schaffer et al. 1989; Jamil & Yang 2013, no. 113"
    formula = "0.5 + (sin(w1^2 - w2^2)^2 - 0.5)/(1 + 0.001*(w1^2 + w2^2))^2"
    start, box, minima = (-1.5, 0.5), ((-3.0, 3.0),) * 2, ((0.0, 0.0),)


class Michalewicz(FormulaObjective):
    """Narrow ditches that cross at the box's minimum, on a flat plain; outside the box f is lower in places."""

    name, source = "michalewicz", "Michalewicz 1992, with m = 10"
    formula = "-sin(w1)*sin(w1^2/pi)^20 - sin(w2)*sin(2*w2^2/pi)^20"
    start, box, minima = (2.0, 1.75), ((0.0, pi),) * 2, ((2.2029055201726, pi / 2),)


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

    name, source = "logistic-regression", "Fisher 1936 (UCI Iris): versicolor and virginica, petals"
    formula = "mean of log(1 + exp(-y*(w1 + w2*length + w3*width))) + l2/2*(w2^2 + w3^2)"
    start, box = (0.0, 0.0, 0.0), ((-3.0, 3.0), (-2.0, 6.0), (-2.0, 6.0))
    l2: Annotated[float, Ge(1e-6), Doc("weight of the penalty")] = 0.01

    @cached_property
    def signed_inputs(self) -> Floats:
        """y*(1, length, width) of every flower, (100, 3)."""
        import numpy as np

        petals = np.array(_PETALS.split(), dtype=np.float64).reshape(100, 2)
        inputs = np.column_stack([np.ones(100), (petals - petals.mean(axis=0)) / petals.std(axis=0)])
        return inputs * np.repeat([-1.0, 1.0], 50)[:, None]

    @cached_property
    def minima(self) -> tuple[Point, ...]:
        import numpy as np

        w = np.zeros(3)
        for _ in range(20):  # Newton's method on a strictly convex function: exact to rounding after nine
            w = w - np.linalg.solve(self.hessian(w), self.gradient(w))
        return (tuple(w.tolist()),)

    def value(self, x: Floats) -> Floats:
        import numpy as np

        margin = x @ self.signed_inputs.T
        return np.logaddexp(0, -margin).mean(axis=-1) + self.l2 / 2 * (x[..., 1:] ** 2).sum(axis=-1)

    def gradient(self, x: Floats) -> Floats:
        import numpy as np

        margin = x @ self.signed_inputs.T
        # 1/(1 + exp(m)), without overflow, and analytic, since the Hessian takes complex points.
        wrong = (1 - np.tanh(margin / 2)) / 2
        penalty = self.l2 * x * np.array([0.0, 1.0, 1.0])
        return penalty - wrong @ self.signed_inputs / 100


MAX_DIMENSION = 9


@dataclass(frozen=True)
class Expression(FormulaObjective):
    """A typed function of w1, w2, ...: parsed by a whitelist, differentiated by the rules of calculus.

    Accepted are numbers, w1 to w9 (x and y stand for w1 and w2), + - * / ^, parentheses, pi and sqrt, exp, log, sin,
    cos, tan, sinh, cosh, tanh, abs, sign, min(a, b), max(a, b); anything else is a UsageError that names the column.
    The highest coordinate is the dimension. A quadratic (constant second derivatives) has its exact minimum; that of
    another function of one or two variables is searched for in the box (`find_minima`).
    """

    name: ClassVar[str] = "expression"
    source: ClassVar[str] = "typed by the user"
    formula: Annotated[str, Doc('the function of w1, w2, ..., as "0.1*w1^2 + 2*w2^2"')] = "0.1*w1^2 + 2*w2^2"

    def __post_init__(self) -> None:
        tree = self.trees["f"]
        names = sorted(symbols(tree))
        from optilab.optimize.expansion import divides_by_zero

        if divides_by_zero(tree):
            raise self._refusal(r"/\s*\(*\s*0", f"{self.formula!r} divides by 0 everywhere")
        if all(formulas.derivative(tree, name) == formulas.ZERO for name in names):
            raise UsageError(f"{self.formula!r} is constant; expected a variable, such as x")
        for name in names:
            if not re.fullmatch(r"w[1-9]", name):
                known = f"the variables are w1 to w{MAX_DIMENSION}, or x and y"
                raise self._refusal(rf"(?<![A-Za-z_]){name}\b", f'unknown name "{name}"; {known}')
        object.__setattr__(self, "formula", " ".join(self.formula.splitlines()))

    def _refusal(self, pattern: str, message: str) -> UsageError:
        """An error at the column where the pattern is found."""
        place = re.search(pattern, self.formula)
        return UsageError(f"column {place.start() + 1 if place else 1}: {message}")

    @cached_property
    def trees(self) -> dict[str, Node]:
        return {"f": formulas.parse(self.formula)}

    @cached_property
    def _dimension(self) -> int:
        return max(int(name[1:]) for name in symbols(self.trees["f"]))

    @cached_property
    def _known(self) -> Objective | None:
        """The test function that has this formula, with its start, box and minima."""
        for kind in OBJECTIVES.values():
            if issubclass(kind, FormulaObjective) and not fields(kind):
                with contextlib.suppress(UsageError):
                    if formulas.parse(kind().formula) == self.trees["f"]:
                        return kind()
        return None

    @property
    def start(self) -> Point:
        if self._known is not None:
            return self._known.start
        return (-1.0, 1.0, *(1.0,) * MAX_DIMENSION)[: self._dimension]

    @property
    def box(self) -> tuple[Point, ...]:
        return ((-3.0, 3.0),) * self._dimension if self._known is None else self._known.box

    @cached_property
    def minima(self) -> tuple[Point, ...]:
        import numpy as np

        if self._known is not None:
            return self._known.minima
        if not is_quadratic(self):
            return find_minima(self) if self._dimension <= 2 else ()
        center = np.zeros(self._dimension)
        with np.errstate(all="ignore"):
            hessian, gradient = self.hessian(center), self.gradient(center)
        if not (np.isfinite(hessian).all() and np.isfinite(gradient).all()):
            return ()
        eigenvalues = np.linalg.eigvalsh(hessian)
        if not eigenvalues[0] > 1e-12 * eigenvalues[-1]:
            return ()
        minimum = np.linalg.solve(hessian, -gradient) + 0.0  # -0.0 would be printed
        return (tuple(minimum.tolist()),)

    def nodes(self) -> Trees:
        """The trees, in every dimension."""
        return trees_of(self)

    def value(self, x: Floats) -> Floats:
        return super().value(x) + 0.0

    def gradient(self, x: Floats) -> Floats:
        return super().gradient(x) + 0.0

    def hessian(self, x: Floats) -> Floats:
        return super().hessian(x) + 0.0


OBJECTIVES = Registry("function", __name__)
"""The test functions, and `expression`, which a user types."""
