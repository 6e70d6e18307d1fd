"""The interface of a test function: value, gradient, known minima, the usual start and box, the source.

A function is a small frozen class; its fields are its parameters. Points are arrays of shape (..., d), values
(...,), gradients (..., d), all float64. NumPy is imported where a number is calculated: a name, a formula and a help
text need none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, reduce
from itertools import product
from operator import add
from typing import TYPE_CHECKING, Any, ClassVar

from optilab.errors import UsageError, shown
from optilab.optimize import formula as formulas
from optilab.optimize.formula import Node, number, symbol, symbols
from optilab.optimize.operations import FUNCTIONS, NOT_SMOOTH
from optilab.user_code import EMPTY, user_code

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
else:
    Floats = Any

Point = tuple[float, ...]
Trees = tuple[Node, tuple[Node, ...]]
"""A value and its gradient."""

MAX_WRITTEN = 4
"""Coordinates up to which a function is written out over them; beyond, one operation on vectors is cheaper."""
_TINY = 1e-30
NEAR = 0.05
"""A point is near a minimum if no coordinate is further from it than this fraction of the box's width."""


class Objective:
    """A differentiable function of d variables with known minima."""

    name: ClassVar[str]
    source: ClassVar[str]

    @property
    def formula(self) -> str:
        """f as text, in w1, w2, ...; where d is free in w, i = 1, ..., d and `sum` over coordinates, or in words."""
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

    def nodes(self) -> Trees | None:
        """Value and gradient as trees over w1, ..., wd, which give the same bits; None where there are none."""
        return None

    def hessian(self, x: Floats) -> Floats:
        """The matrix of second derivatives at points (..., d), as (..., d, d), exact to rounding.

        It is that of the trees. Without them, column j is Im gradient(x + i*h*e_j)/h with a tiny h (complex step,
        Squire & Trapp 1998), without a difference that could cancel. At a kink it is the Hessian of one side.
        """
        import numpy as np

        if self.nodes() is not None:
            return _hessian(self)(x).reshape(*x.shape, x.shape[-1])
        shifted = x[..., None, :] + 1j * _TINY * np.eye(x.shape[-1])
        columns = self.gradient(shifted).imag / _TINY
        return (columns + np.swapaxes(columns, -1, -2)) / 2


class Symbolic(Objective):
    """An objective in code whose `value` and `gradient` accept an array of symbols, too: that gives its trees."""

    def nodes(self) -> Trees | None:
        return _symbolic(self) if len(self.start) <= MAX_WRITTEN else None


@dataclass(frozen=True)
class FormulaObjective(Objective):
    """An objective whose `formula` is executed: its value is the formula, its gradient the derivative."""

    slope: ClassVar[str] = ""
    """The gradient where the derivative has no value at a point: statements that define g1, g2, ..., or `g` where the
    formula is one of `w`."""

    @cached_property
    def trees(self) -> dict[str, Node]:
        """The trees of f and of the names that `slope` defines."""
        return formulas.inlined("; ".join(filter(None, [f"f = {self.formula}", self.slope])))

    def nodes(self) -> Trees | None:
        return trees_of(self) if len(self.start) <= MAX_WRITTEN else None

    def value(self, x: Floats) -> Floats:
        return _compiled(self)[0](x)

    def gradient(self, x: Floats) -> Floats:
        return _compiled(self)[1](x)


def label_of(function: Objective) -> str:
    """The name of a function in messages; of a typed function, its formula."""
    return function.formula if function.name == "expression" else function.name


def _names(function: Objective) -> list[str]:
    return [f"w{i + 1}" for i in range(len(function.start))]


@cache
def _symbolic(function: Objective) -> Trees:
    import numpy as np

    w = np.array([symbol(name) for name in _names(function)], dtype=object)
    value: Any = function.value(w)
    return value, tuple(function.gradient(w))


@cache
def trees_of(function: FormulaObjective) -> Trees:
    trees, names = function.trees, _names(function)

    def at(node: Node, i: int) -> Node:
        """A formula of `w`, at coordinate i."""
        if node.op == "sum":
            return reduce(add, (at(node.args[0], j) for j in range(len(names))))
        if node.op == "symbol":
            known = {"w": symbol(names[i]), "i": number(i + 1.0), "d": number(float(len(names)))}
            return known.get(node.value, node)
        return Node(node.op, tuple(at(child, i) for child in node.args), node.value)

    value = at(trees["f"], 0)
    if not function.slope:
        return value, tuple(formulas.derivative(value, name) for name in names)
    return value, tuple(at(trees["g" if "g" in trees else f"g{i + 1}"], i) for i in range(len(names)))


@cache
def _compiled(function: FormulaObjective) -> tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]:
    """Value and gradient; on whole vectors where there are many coordinates."""
    from optilab.optimize.expansion import ON_VECTORS, function_of

    if nodes := function.nodes():
        return function_of(nodes[0], _names(function)), function_of(nodes[1], _names(function))
    tree = function.trees["f"]
    slope = function.trees["g"] if function.slope else formulas.derivative(tree, "w")
    value = function_of(tree, ON_VECTORS)
    return lambda x: value(x)[..., 0], function_of(slope, ON_VECTORS)


def second_derivatives(function: Objective) -> list[Node]:
    """The entries of the Hessian, row by row."""
    _, gradient = function.nodes() or (None, ())
    return [formulas.derivative(slope, name) for slope in gradient for name in _names(function)]


@cache
def is_quadratic(function: Objective) -> bool:
    """True if the trees show that the second derivatives are the same everywhere."""
    nodes = function.nodes()
    if nodes is None or formulas.operations_of(nodes[0]) & NOT_SMOOTH:
        return False
    return not any(map(symbols, second_derivatives(function)))


@cache
def _hessian(function: Objective) -> Callable[[Floats], Floats]:
    from optilab.optimize.expansion import function_of

    return function_of(second_derivatives(function), _names(function))


_GRID = 201
"""Points of an axis of the box at which a search for minima begins."""
_ROUNDS = 60
"""Rounds of a search for a minimum: each looks at a grid around the lowest point so far, which becomes finer where
no other point is lower.
"""
_MAX_MINIMA = 8


def find_minima(function: Objective) -> tuple[Point, ...]:
    """The lowest points inside the box, each found from a point of a grid that is lower than its neighbors.

    Empty where f is lower at the edge of the box than inside, or the lowest points are a line.
    """
    import numpy as np

    low, high = np.array(function.box).T
    axes = [np.linspace(a, b, _GRID) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    with np.errstate(all="ignore"):
        values = function.value(grid)
        values[~np.isfinite(values)] = np.nan
        inside = np.isfinite(values)
        for axis in range(values.ndim):
            inside &= np.diff(values, axis=axis, prepend=np.nan) <= 0
            inside &= np.diff(values, axis=axis, append=np.nan) >= 0
        starts = grid[inside][np.argsort(values[inside], kind="stable")][: 4 * _MAX_MINIMA]
        candidates = [_refined(function, start, (high - low) / (_GRID - 1)) for start in starts]
        depths = [float(function.value(point)) for point in candidates]
    if not candidates or not min(depths) <= np.nanmin(values):
        return ()
    minima: list[Floats] = []
    for point, depth in sorted(zip(candidates, depths, strict=True), key=lambda pair: tuple(pair[0])):
        is_new = all(np.linalg.norm((point - other) / (high - low)) > 1e-3 for other in minima)
        if depth - min(depths) <= 1e-12 * np.nanmax(np.abs(values)) and is_new:
            minima.append(point)
    return () if len(minima) > _MAX_MINIMA else tuple(tuple(map(float, point)) for point in minima)


def _refined(function: Objective, point: Floats, width: Floats) -> Floats:
    """The lowest point that is at most `width` away.

    Finer and finer grids need no derivative, but end at the rounding of f; that of its gradient, in Newton's steps,
    is smaller.
    """
    import numpy as np

    low, high = point - width, point + width
    offsets = np.array([(0.0,) * len(point), *product(np.linspace(-1, 1, 9), repeat=len(point))])
    for _ in range(_ROUNDS):
        around = np.clip(point + offsets * width, low, high)
        best = int(np.argmin(np.nan_to_num(function.value(around), nan=np.inf)))
        point, width = around[best], width if best else width / 2
    for _ in range(4):
        hessian, gradient = function.hessian(point), function.gradient(point)
        if not (np.isfinite(hessian).all() and np.linalg.eigvalsh(hessian)[0] > 0):
            break
        nearer = point - np.linalg.solve(hessian, gradient)
        if not np.linalg.norm(function.gradient(nearer)) < np.linalg.norm(gradient):
            break
        point = nearer
    return np.where(np.abs(point) < 1e-12, 0.0, point)  # a place at the origin, but for the rounding of the search


def minima_inside(function: Objective) -> tuple[Point, ...]:
    """The known minima that lie in the function's box."""
    return tuple(
        minimum
        for minimum in function.minima
        if all(low <= m <= high for m, (low, high) in zip(minimum, function.box, strict=True))
    )


def is_near_minimum(function: Objective, points: Sequence[Floats]) -> Any:
    """True where points, by coordinate, are near a known minimum in the box; see `NEAR`."""
    import numpy as np

    near: Any = False
    for minimum in minima_inside(function):
        close: Any = True
        for x, m, (low, high) in zip(points, minimum, function.box, strict=True):
            close = np.logical_and(np.abs(x - m) <= NEAR * (high - low), close)
        near = np.logical_or(close, near)
    return near


def formula_of(function: Callable[..., Any]) -> str:
    """The formula of a Python function of a point w, or of x, y, ...: what it does to symbols in place of numbers.

    UsageError where it needs a number, as a branch on a value does, or a function that symbols do not have.
    """
    import numpy as np

    code = user_code(function)
    symbols = [formulas.symbol(f"w{n}") for n in range(1, 10)]
    count = sum(p.default is EMPTY for p in code.parameters)
    points: list[Any] = [[np.array(symbols[:n], dtype=object)] for n in range(2, 10)]
    failure, value = UsageError(f"{code.place}: expected a function of one or more coordinates"), None
    available = ", ".join(name for name in FUNCTIONS if hasattr(formulas.Node, name))
    for point in [symbols[:count]] if count > 1 else [points[0], symbols[:1], *points[1:]][: 9 * count]:
        try:
            with code.running(f"as a formula, which has {available} of NumPy and no branch on a value"):
                value = function(*point)
        except UsageError as error:  # such as w[2] of a point with two coordinates
            failure = UsageError(f"{error}".replace("Node", "symbol")) if value is None else failure
        if isinstance(value, formulas.Node):
            return formulas.text(value)
    raise (
        failure
        if value is None
        else UsageError(f"{code.place} returned {shown(value)}; expected a number that depends on the point")
    )
