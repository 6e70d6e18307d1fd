"""Rules for weight matrices beside other libraries: a small problem of two matrices and a bias."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from optilab.optimize.objective import Floats
from optilab.verify.references import STEPS, Reference

SHAPES = ((5, 3), (3, 4), (4,))


class MatrixProblem:
    """The sum of sum(sin(W) + (A*W*B - C)^2/8) over weights W, with fixed random A, B, C: smooth and not convex."""

    def __init__(self, seed: int = 0) -> None:
        draw = np.random.default_rng(seed).standard_normal
        self.start = [draw(shape) for shape in SHAPES]
        self._left = [draw((shape[0], shape[0])) for shape in SHAPES]
        self._right = [draw((shape[-1], shape[-1])) if len(shape) == 2 else np.eye(1) for shape in SHAPES]
        self._goal = [draw(shape) for shape in SHAPES]

    def gradient(self, weights: Sequence[Floats]) -> list[Floats]:
        """The gradient of each weight, in its shape."""
        gradients = []
        for w, a, b, c in zip(weights, self._left, self._right, self._goal, strict=True):
            matrix = w.reshape(len(w), -1)
            rest = a @ matrix @ b - c.reshape(matrix.shape)
            gradients.append(np.cos(w) + (a.T @ rest @ b.T).reshape(w.shape) / 4)
        return gradients


def follow(rule: Any, problem: MatrixProblem) -> Floats:
    """The weights that the rule visits, (T+1, numbers of all weights), on tensors, as in training."""
    import torch

    weights = [torch.from_numpy(w.copy()) for w in problem.start]
    parts = rule.for_weights(SHAPES)
    states = [part.init(w) for part, w in zip(parts, weights, strict=True)]
    points = [joined([w.numpy() for w in weights])]
    for _ in range(STEPS):
        gradients = problem.gradient([w.numpy() for w in weights])
        for n, gradient in enumerate(gradients):
            step, states[n] = parts[n].update(torch.from_numpy(gradient), states[n])
            weights[n] = weights[n] + step
        points.append(joined([w.numpy() for w in weights]))
    return np.stack(points)


def joined(weights: Sequence[Any]) -> Floats:
    """All weights as one vector."""
    return np.concatenate([np.array(w).ravel() for w in weights])


def in_torch(text: str, make: Callable[[Any, list[Any]], Sequence[Any]], module: str = "torch.optim") -> Any:
    """Reference to the torch optimizers that `make(module, parameters)` builds."""

    def build() -> Reference:
        from importlib import import_module

        import torch

        def path(problem: MatrixProblem) -> Floats:
            usual = torch.get_default_dtype()
            torch.set_default_dtype(torch.float64)
            try:
                weights = [torch.nn.Parameter(torch.from_numpy(w.copy())) for w in problem.start]
                optimizers = make(import_module(module), weights)
                points = [joined([w.detach().numpy() for w in weights])]
                for _ in range(STEPS):
                    gradients = problem.gradient([w.detach().numpy() for w in weights])
                    for w, gradient in zip(weights, gradients, strict=True):
                        w.grad = torch.from_numpy(gradient)
                    for optimizer in optimizers:
                        optimizer.step()
                    points.append(joined([w.detach().numpy() for w in weights]))
            finally:
                torch.set_default_dtype(usual)
            return np.stack(points)

        return Reference(f"{module}.{text}", path)

    return build


def in_pytorch_optimizer(text: str, **options: Any) -> Any:
    """Reference to pytorch_optimizer.`text` on all weights."""
    shown = ", ".join(f"{key}={value}" for key, value in options.items() if key not in ("lr", "eps"))
    return in_torch(f"{text}({shown})", lambda o, w: (getattr(o, text)(w, **options),), module="pytorch_optimizer")


def shampoo(lr: float, eps: float, interval: int, largest_side: int) -> Any:
    """The paper's equations with SciPy's fractional matrix power."""

    def path(problem: MatrixProblem) -> Floats:
        from scipy.linalg import fractional_matrix_power

        weights = [w.copy() for w in problem.start]
        sums = [[eps * np.eye(length) for length in w.shape] for w in weights]
        powers: list[list[Floats]] = [[] for _ in weights]
        points = [joined(weights)]
        for t in range(STEPS):
            for n, g in enumerate(problem.gradient(weights)):
                for axis, side in enumerate((g, g.T) if g.ndim == 2 else (g[:, None],)):
                    sums[n][axis] += side @ side.T
                if t % interval == 0:
                    kept = [np.diag(np.diag(s)) if len(s) > largest_side else s for s in sums[n]]
                    powers[n] = [fractional_matrix_power(s, -0.5 / g.ndim) for s in kept]
                weights[n] -= lr * (powers[n][0] @ g @ powers[n][1] if g.ndim == 2 else powers[n][0] @ g)
            points.append(joined(weights))
        return np.stack(points)

    return lambda: Reference("the paper's equations, scipy.linalg.fractional_matrix_power", path)


def in_optax(text: str, make: Callable[[Any, Any], Any], transposed: bool = False) -> Any:
    """Reference to the optax transformation that `make(optax, optax.contrib)` builds.

    `transposed`: matrices are passed as (inputs, outputs), as that library's layers have them.
    """

    def build() -> Reference:
        import jax
        import optax
        from optax import contrib

        def turned(weights: Sequence[Any]) -> list[Any]:
            return [jax.numpy.asarray(w.T if transposed else w) for w in weights]

        def path(problem: MatrixProblem) -> Floats:
            with jax.enable_x64(True):
                transformation = make(optax, contrib)
                weights = turned(problem.start)
                state, update = transformation.init(weights), jax.jit(transformation.update)
                points = [joined(problem.start)]
                for _ in range(STEPS):
                    gradients = problem.gradient([np.array(w) for w in turned(weights)])
                    steps, state = update(turned(gradients), state, weights)
                    weights = [w + step for w, step in zip(weights, steps, strict=True)]
                    points.append(joined(turned(weights)))
                return np.stack(points)

        return Reference(f"optax.{text}", path)

    return build
