"""The interface of a test function: value, gradient, known minima, the usual start and box, the source.

A function is a small frozen class; its fields are its parameters. Points are arrays of shape (..., d), values
(...,), gradients (..., d), all float64. Gradients consist of analytic operations and so accept complex points, from
which the Hessian is computed.
"""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

import numpy as np
from annotated_doc import Doc

from optilab.errors import UsageError
from optilab.optimize import formula as formulas
from optilab.optimize.program import divides_by_zero, function_of
from optilab.optimize.rule import Places

if TYPE_CHECKING:  # numpy.typing costs 6 ms of every start
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
else:
    Floats = np.ndarray

Point = tuple[float, ...]

_TINY = 1e-30
NEAR = 0.05
"""A point is near a minimum if no coordinate is further from it than this fraction of the box's width."""


class Objective(Protocol):
    """A differentiable function of d variables with known minima."""

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

    def nodes(self):
        return None

    def hessian(self, x: Floats) -> Floats:
        """The matrix of second derivatives at points (..., d), as (..., d, d), exact to rounding.

        Column j is Im gradient(x + i*h*e_j)/h with a tiny h (complex step, Squire & Trapp 1998), without
        a difference that could cancel. At a kink it is the Hessian of one side.
        """
        shifted = x[..., None, :] + 1j * _TINY * np.eye(x.shape[-1])
        columns = self.gradient(shifted).imag / _TINY
        return np.asarray((columns + np.swapaxes(columns, -1, -2)) / 2)


@dataclass(frozen=True)
class Formula(Objective):
    """An objective whose `formula` is executed: its value is the formula, its gradient the derivative."""

    slope: ClassVar[str] = ""
    """The gradient where its bits are not to be those of the derivative: statements that define g1, g2, ..."""

    def value(self, x: Floats) -> Floats:
        return _value(self.formula, x.shape[-1])(x)

    def gradient(self, x: Floats) -> Floats:
        return _gradient(self.formula, self.slope, x.shape[-1])(x)

    def nodes(self):
        names = _names(len(self.start))
        known = formulas.inlined(self.slope) if self.slope else {}
        tree = formulas.parse(self.formula)
        return tree, [known[f"g{n[1:]}"] if self.slope else formulas.derivative(tree, n) for n in names]


def called(function: Objective) -> str:
    """What messages call a function: its name, or the formula that was typed."""
    return function.formula if function.name == "expression" else function.name


def _names(dimension: int) -> list[str]:
    return [f"w{i + 1}" for i in range(dimension)]


@cache
def _value(formula: str, dimension: int) -> Callable[[Floats], Floats]:
    return function_of(formulas.parse(formula), _names(dimension))


@cache
def _gradient(formula: str, slope: str, dimension: int) -> Callable[[Floats], Floats]:
    names = _names(dimension)
    known = formulas.inlined(slope) if slope else {}
    tree = formulas.parse(formula)
    derivatives = [known[f"g{name[1:]}"] if slope else formulas.derivative(tree, name) for name in names]
    return function_of(derivatives, names)


def _second_derivatives(tree: formulas.Node, dimension: int) -> list[formulas.Node]:
    """Row by row."""
    rows = [formulas.derivative(tree, name) for name in _names(dimension)]
    return [formulas.derivative(row, name) for row in rows for name in _names(dimension)]


@cache
def _hessian(formula: str, dimension: int) -> Callable[[Floats], Floats]:
    return function_of(_second_derivatives(formulas.parse(formula), dimension), _names(dimension))


_GRID = 201
"""Points of an axis of the box at which a search for minima begins."""
_SHRINK, _ROUNDS = 0.5, 60
"""Each round looks at a finer grid around the lowest point so far."""
_MOST_MINIMA = 8


def _search(function: Objective) -> tuple[Point, ...]:
    """The lowest points inside the box, each found from a point of a grid that is lower than its neighbors.

    Grids around each become finer down to the rounding of f, which needs no derivative; Newton's steps then use the
    gradient, which rounds less. Empty where f is lower at the edge of the box than inside, or the lowest points are
    a line.
    """
    low, high = np.array(function.box).T
    axes = [np.linspace(a, b, _GRID) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    with np.errstate(all="ignore"):
        values = function.value(grid)
        values = np.where(np.isfinite(values), values, np.inf)
        inside = np.ones(values.shape, dtype=bool)
        for axis in range(values.ndim):
            here = np.moveaxis(values, axis, 0)
            lower = np.zeros(here.shape, dtype=bool)
            before, after = here[:-2], here[2:]
            lower[1:-1] = (here[1:-1] <= before) & (here[1:-1] <= after) & np.isfinite(before) & np.isfinite(after)
            inside &= np.moveaxis(lower, 0, axis)
        places = grid[inside]
        starts = places[np.argsort(function.value(places), kind="stable")][: 4 * _MOST_MINIMA]
        found = [_descended(function, start, (high - low) / (_GRID - 1)) for start in starts]
        depths = [float(function.value(point)) for point in found]
    if not found or not min(depths) <= float(values.min()):
        return ()
    least, scale = min(depths), float(np.abs(values[np.isfinite(values)]).max())
    minima: list[Floats] = []
    for point, depth in sorted(zip(found, depths, strict=True), key=lambda pair: tuple(pair[0])):
        apart = all(np.linalg.norm((point - other) / (high - low)) > 1e-3 for other in minima)
        if depth - least <= 1e-12 * scale and apart:
            minima.append(point)
    return () if len(minima) > _MOST_MINIMA else tuple(tuple(map(float, point)) for point in minima)


def _descended(function: Objective, point: Floats, width: Floats) -> Floats:
    """The lowest point near `point` on a grid of this width."""
    steps = np.linspace(-1, 1, 9)
    offsets = np.stack(np.meshgrid(*[steps] * len(point), indexing="ij"), axis=-1).reshape(-1, len(point))
    low, high = point - width, point + width
    for _ in range(_ROUNDS):
        around = np.clip(point + np.concatenate([np.zeros((1, len(point))), offsets * width]), low, high)
        values = function.value(around)
        best = int(np.argmin(np.where(np.isfinite(values), values, np.inf)))
        point, width = around[best], width * (_SHRINK if best == 0 or not values[best] < values[0] else 1)
    for _ in range(4):
        hessian, gradient = function.hessian(point), function.gradient(point)
        if not (np.isfinite(hessian).all() and np.isfinite(gradient).all() and np.linalg.eigvalsh(hessian)[0] > 0):
            break
        step = np.linalg.solve(hessian, gradient)
        if not np.linalg.norm(function.gradient(point - step)) < np.linalg.norm(gradient):
            break
        point = point - step
    return np.where(np.abs(point) < 1e-12, 0.0, point)  # a place at the origin, but for the rounding of the search


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


MAX_DIMENSION = 9


@dataclass(frozen=True)
class Expression(Formula):
    """A typed function of w1, w2, ...: parsed by a whitelist, differentiated by the rules of calculus.

    Accepted are numbers, w1 to w9 (x and y stand for w1 and w2), + - * / ^, parentheses, pi and sqrt, exp, log, sin,
    cos, tan, sinh, cosh, tanh, abs, sign, min(a, b), max(a, b); anything else is a UsageError that names the column.
    The highest coordinate is the dimension. A quadratic (constant second derivatives) has its exact minimum; that of
    another function of one or two variables is searched for in the box (`_search`).
    """

    name: ClassVar[str] = "expression"
    source: ClassVar[str] = "typed by the user"
    formula: Annotated[str, Doc('the function of w1, w2, ..., as "0.1*w1^2 + 2*w2^2"')] = "0.1*w1^2 + 2*w2^2"

    def __post_init__(self) -> None:
        names = sorted(formulas.symbols(self._tree))
        if divides_by_zero(self._tree):
            column = re.search(r"/\s*\(*\s*0", self.formula)
            text = f"{self.formula!r} divides by 0 everywhere"
            raise UsageError(f"column {column.start() + 1 if column else 1}: {text}")
        if all(formulas.derivative(self._tree, name) == formulas.ZERO for name in names):
            raise UsageError(f"{self.formula!r} is constant; expected a variable, such as x")
        for name in names:
            if not re.fullmatch(r"w[1-9]", name):
                column = re.search(rf"(?<![A-Za-z_]){re.escape(name)}\b", self.formula)
                known = f"the variables are w1 to w{MAX_DIMENSION}, or x and y"
                known = "write w3; x is w1, and y is w2" if name == "z" else known
                product = re.fullmatch(r"(w[1-9]|x|y)+", name) and "*".join(re.findall(r"w[1-9]|x|y", name))
                raise UsageError(
                    f'column {column.start() + 1 if column else 1}: unknown name "{name}"; '
                    + (f"write {product}" if product else known)
                )

    @cached_property
    def _tree(self) -> formulas.Node:
        return formulas.parse(self.formula)

    @cached_property
    def _dimension(self) -> int:
        return max((int(name[1:]) for name in formulas.symbols(self._tree)), default=1)

    @cached_property
    def _known(self) -> Objective | None:
        """The test function that has this formula, with its start, box and minima."""
        for kind in OBJECTIVES.values():
            if kind is not Expression and (text := getattr(kind(), "formula", "")):
                with contextlib.suppress(UsageError):
                    if formulas.parse(text) == self._tree:
                        return kind()
        return None

    @cached_property
    def minima(self) -> tuple[Point, ...]:
        if self._known is not None:
            return self._known.minima
        if not formulas.is_smooth(self._tree) or any(
            map(formulas.symbols, _second_derivatives(self._tree, self._dimension))
        ):
            return _search(self) if self._dimension <= 2 else ()
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

    @property
    def start(self) -> Point:
        if self._known is not None:
            return self._known.start
        return (-1.0, 1.0, *(1.0,) * MAX_DIMENSION)[: self._dimension]

    @property
    def box(self) -> tuple[Point, ...]:
        return ((-3.0, 3.0),) * self._dimension if self._known is None else self._known.box

    def value(self, x: Floats) -> Floats:
        return super().value(x) + 0.0

    def gradient(self, x: Floats) -> Floats:
        return super().gradient(x) + 0.0

    def hessian(self, x: Floats) -> Floats:
        return _hessian(self.formula, self._dimension)(x).reshape(*x.shape, -1) + 0.0


OBJECTIVES = Places(
    "function",
    "optilab.optimize",
    {
        "ravine": "objectives.Ravine",
        "sphere": "objectives.Sphere",
        "quadratic": "families.Quadratic",
        "booth": "objectives.Booth",
        "matyas": "objectives.Matyas",
        "abs-ravine": "objectives.AbsRavine",
        "saddle": "objectives.Saddle",
        "rosenbrock": "families.Rosenbrock",
        "beale": "objectives.Beale",
        "dixon-price": "families.DixonPrice",
        "zakharov": "families.Zakharov",
        "plateau": "objectives.Plateau",
        "cliff": "objectives.Cliff",
        "monkey-saddle": "objectives.MonkeySaddle",
        "himmelblau": "objectives.Himmelblau",
        "three-hump-camel": "objectives.ThreeHumpCamel",
        "six-hump-camel": "objectives.SixHumpCamel",
        "goldstein-price": "objectives.GoldsteinPrice",
        "branin": "objectives.Branin",
        "mccormick": "objectives.McCormick",
        "styblinski-tang": "families.StyblinskiTang",
        "bohachevsky": "objectives.Bohachevsky",
        "rastrigin": "families.Rastrigin",
        "ackley": "families.Ackley",
        "griewank": "families.Griewank",
        "levy13": "objectives.Levy13",
        "easom": "objectives.Easom",
        "drop-wave": "objectives.DropWave",
        "schaffer2": "objectives.Schaffer2",
        "michalewicz": "objectives.Michalewicz",
        "logistic-regression": "families.LogisticRegression",
        "expression": "objective.Expression",
    },
)
