"""A loss on real data: logistic regression on flowers."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge

from optilab.optimize.functions.test_function import Floats, Objective, Point, total

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


ENTRIES = (LogisticRegression,)
