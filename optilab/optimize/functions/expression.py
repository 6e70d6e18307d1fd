"""A function that the user types."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
from annotated_doc import Doc

from optilab.errors import UsageError
from optilab.optimize import formula as formulas
from optilab.optimize.functions.test_function import Floats, Objective, Point

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


ENTRIES = (Expression,)
