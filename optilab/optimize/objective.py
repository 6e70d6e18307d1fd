"""The interface of a test function: value, gradient, known minima, the usual start and box, the source.

A function is a small frozen class; its fields are its parameters. Points are arrays of shape (..., d), values
(...,), gradients (..., d), all float64. Gradients consist of analytic operations and so accept complex points, from
which the Hessian is computed.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le

from optilab.errors import UsageError
from optilab.optimize import formula as formulas
from optilab.optimize.rule import Registry

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


def total(terms: Floats) -> Floats:
    """The sum over the coordinates, (...,)."""
    return np.asarray(terms.sum(axis=-1))


MAX_DIMENSION = 9


@dataclass(frozen=True)
class Expression(Objective):
    """A typed function of w1, w2, ...: parsed by a whitelist, differentiated by the rules of calculus.

    Accepted are numbers, w1 to w9 (x and y stand for w1 and w2), + - * / ^, parentheses, pi and sqrt, exp, log, sin,
    cos, tan, sinh, cosh, tanh, abs, sign, min(a, b), max(a, b); anything else is a UsageError that names the column.
    The highest coordinate is the dimension. A quadratic (constant second derivatives) has its exact minimum; of other
    functions none is known.
    """

    name: ClassVar[str] = "expression"
    source: ClassVar[str] = "typed by the user"
    formula: Annotated[str, Doc('the function of w1, w2, ..., as "0.1*w1^2 + 2*w2^2"')] = "0.1*w1^2 + 2*w2^2"

    def __post_init__(self) -> None:
        for name in sorted(formulas.symbols(self._tree)):
            if not re.fullmatch(r"w[1-9]", name):
                column = re.search(rf"\b{re.escape(name)}\b", self.formula)
                raise UsageError(
                    f'column {column.start() + 1 if column else 1}: unknown name "{name}"; '
                    f"the variables are w1 to w{MAX_DIMENSION}, or x and y"
                )

    @cached_property
    def _tree(self) -> formulas.Node:
        return formulas.parse(self.formula)

    @cached_property
    def _names(self) -> list[str]:
        highest = max((int(name[1:]) for name in formulas.symbols(self._tree)), default=0)
        return [f"w{i + 1}" for i in range(max(highest, 1))]

    @cached_property
    def _gradient(self) -> list[formulas.Node]:
        return [formulas.derivative(self._tree, name) for name in self._names]

    @cached_property
    def _hessian(self) -> list[list[formulas.Node]]:
        return [[formulas.derivative(row, name) for name in self._names] for row in self._gradient]

    @cached_property
    def minima(self) -> tuple[Point, ...]:
        varying = any(formulas.symbols(entry) for row in self._hessian for entry in row)
        if varying or not formulas.is_smooth(self._tree):
            return ()
        centre = np.zeros(len(self._names))
        with np.errstate(all="ignore"):
            hessian, gradient = self.hessian(centre), self.gradient(centre)
        if not (np.isfinite(hessian).all() and np.isfinite(gradient).all()):
            return ()
        eigenvalues = np.linalg.eigvalsh(hessian)
        if not eigenvalues[0] > 1e-12 * eigenvalues[-1]:
            return ()
        minimum = np.linalg.solve(hessian, -gradient) + 0.0  # -0.0 would be printed
        return (tuple(minimum.tolist()),)

    @property
    def start(self) -> Point:
        return (-1.0, 1.0, *(1.0,) * MAX_DIMENSION)[: len(self._names)]

    @property
    def box(self) -> tuple[Point, ...]:
        return ((-3.0, 3.0),) * len(self._names)

    def _at(self, node: formulas.Node, x: Floats) -> Floats:
        values = {name: x[..., i] for i, name in enumerate(self._names)}
        return formulas.evaluate(node, values) + np.zeros(x.shape[:-1])

    def value(self, x: Floats) -> Floats:
        return self._at(self._tree, x)

    def gradient(self, x: Floats) -> Floats:
        return np.stack([self._at(node, x) for node in self._gradient], axis=-1)

    def hessian(self, x: Floats) -> Floats:
        rows = [np.stack([self._at(node, x) for node in row], axis=-1) for row in self._hessian]
        return np.stack(rows, axis=-2)


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
    virginica; length and width in standard deviations from their mean. Convex; 94 % can be told apart.
    """

    name: ClassVar[str] = "logistic-regression"
    formula: ClassVar[str] = "mean of log(1 + exp(-y*(w1 + w2*length + w3*width))) + l2/2*(w2^2 + w3^2)"
    source: ClassVar[str] = "Fisher 1936 (UCI Iris): versicolor and virginica, petals"
    start: ClassVar[Point] = (0.0, 0.0, 0.0)
    box: ClassVar[tuple[Point, ...]] = ((-3.0, 3.0), (-2.0, 6.0), (-2.0, 6.0))
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


OBJECTIVES = Registry(
    "function",
    "optilab.optimize",
    {
        "ravine": "objectives.Ravine",
        "sphere": "objectives.Sphere",
        "quadratic": "objectives.Quadratic",
        "booth": "objectives.Booth",
        "matyas": "objectives.Matyas",
        "abs-ravine": "objectives.AbsRavine",
        "saddle": "objectives.Saddle",
        "rosenbrock": "objectives.Rosenbrock",
        "beale": "objectives.Beale",
        "dixon-price": "objectives.DixonPrice",
        "zakharov": "objectives.Zakharov",
        "plateau": "objectives.Plateau",
        "cliff": "objectives.Cliff",
        "monkey-saddle": "objectives.MonkeySaddle",
        "himmelblau": "objectives.Himmelblau",
        "three-hump-camel": "objectives.ThreeHumpCamel",
        "six-hump-camel": "objectives.SixHumpCamel",
        "goldstein-price": "objectives.GoldsteinPrice",
        "branin": "objectives.Branin",
        "mccormick": "objectives.McCormick",
        "styblinski-tang": "objectives.StyblinskiTang",
        "bohachevsky": "objectives.Bohachevsky",
        "rastrigin": "objectives.Rastrigin",
        "ackley": "objectives.Ackley",
        "griewank": "objectives.Griewank",
        "levy13": "objectives.Levy13",
        "easom": "objectives.Easom",
        "drop-wave": "objectives.DropWave",
        "schaffer2": "objectives.Schaffer2",
        "michalewicz": "objectives.Michalewicz",
        "logistic-regression": "objective.LogisticRegression",
        "expression": "objective.Expression",
    },
)
