"""Rules that use the curvature: Newton's method, Sophia, and two line-search methods run by SciPy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Gt

from optilab.optimize.rule import (
    Array,
    Decay,
    Eps,
    LearningRate,
    NoState,
    Rule,
    Stateless,
    WeightDecay,
    xp_of,
)


@dataclass(frozen=True)
class Newton(Stateless):
    """Newton's method: the step to the stationary point of the local quadratic model.

    w <- w - lr*solve(H, g), with the Hessian H at w

    It converges to saddles and maxima as well as to minima. Where H is singular the shortest solution is taken.
    """

    name = "newton"
    formula = "w <- w - lr*solve(H, g)"
    needs = ("hessian",)
    lr: LearningRate = 1.0

    def update(self, grad: Array, state: NoState, *, hessian: Array) -> tuple[Array, NoState]:  # type: ignore[override]
        return -(self.lr * _solve(hessian, grad)), state


@dataclass(frozen=True)
class DampedNewton(Stateless):
    """Newton's method with damping (Nocedal & Wright 2006, section 3.4; after Levenberg 1944): always downhill.

    w <- w - lr*solve(H + m*I, g), m = damping + max(0, -smallest eigenvalue of H)

    A large damping turns the step towards the gradient and shortens it to g/damping.
    """

    name = "damped-newton"
    formula = "m = damping + max(0, -smallest(H));  w <- w - lr*solve(H + m*I, g)"
    needs = ("hessian",)
    lr: LearningRate = 1.0
    damping: Annotated[float, Ge(0), Doc("added to every eigenvalue of the Hessian")] = 1.0

    def update(self, grad: Array, state: NoState, *, hessian: Array) -> tuple[Array, NoState]:  # type: ignore[override]
        smallest = np.linalg.eigvalsh(_finite(hessian))[..., :1]
        shift = self.damping + np.maximum(0, -smallest)
        return -(self.lr * _solve(hessian + shift[..., None] * np.eye(grad.shape[-1]), grad)), state


def _finite(matrices: Array) -> Array:
    """LAPACK rejects NaN and infinity; the caller detects a path that overflowed."""
    return np.where(np.isfinite(matrices), matrices, 0.0)


def _solve(matrices: Array, vectors: Array) -> Array:
    inverse = np.linalg.pinv(_finite(matrices), hermitian=True)
    return (inverse @ vectors[..., None])[..., 0]


class SophiaState(NamedTuple):
    steps: int  # done so far
    mean: Array  # (..., d): V
    curvature: Array  # (..., d): D
    x: Array  # (..., d): the point


@dataclass(frozen=True)
class Sophia(Rule):
    """Sophia (Liu et al. 2023, arXiv:2305.14342, algorithm 3): momentum divided by the Hessian's diagonal, clipped.

    V <- beta1*V + (1 - beta1)*g;  every `interval` steps: D <- beta2*D + (1 - beta2)*diagonal(H)
    w <- w - lr*(clip(V/max(gamma*D, eps), -1, 1) + weight_decay*w)
    before: the first step renews D and then uses it  (the paper, pytorch_optimizer)
    after: a step uses the D before it, so the first steps by lr in each coordinate  (optax.contrib.sophia)

    Where D is small or negative, a coordinate moves by lr. On a function the diagonal is exact. In training it is
    Sophia-H's estimate (Hutchinson 1990): s*(H*s) with random signs s, from the batch of the step, dropout off. optax
    divides V by 1 - beta1^t (`bias_correction`). pytorch_optimizer's SophiaH has p for lr*p, gamma p, eps*p here.
    """

    name = "sophia"
    needs = ("hessian_diagonal",)
    lr: LearningRate = 0.001
    beta1: Decay = 0.96
    beta2: Decay = 0.99
    gamma: Annotated[float, Gt(0), Doc("factor of the diagonal: a smaller one clips more")] = 0.01
    eps: Eps = 1e-12
    weight_decay: WeightDecay = 0.0
    interval: Annotated[int, Ge(1), Doc("steps between two looks at the Hessian")] = 10
    renewal: Annotated[Literal["before", "after"], Doc("the diagonal is renewed before the step, or after")] = (
        "before"
    )
    bias_correction: Annotated[bool, Doc("correct the first moment for its start at zero")] = False

    @property
    def formula(self) -> str:
        renewed = "D <- where((t-1) % interval > 0, D, beta2*D + (1-beta2)*diagonal(w))"
        mean = "V/(1-beta1^t)" if self.bias_correction else "V"
        ratio = f"u = clip({mean}/max(gamma*D, eps), -1, 1)"
        order = f"{renewed};  {ratio}" if self.renewal == "before" else f"{ratio};  {renewed}"
        return f"V <- beta1*V + (1-beta1)*g;  {order};  w <- w - lr*(u + weight_decay*w)"

    def init(self, x: Array) -> SophiaState:
        zeros = xp_of(x).zeros_like(x)
        return SophiaState(0, zeros, zeros, x)

    def update(  # type: ignore[override]
        self, grad: Array, state: SophiaState, *, hessian_diagonal: Callable[[], Array]
    ) -> tuple[Array, SophiaState]:
        xp, t, used = xp_of(grad), state.steps + 1, state.curvature
        mean = self.beta1 * state.mean + (1 - self.beta1) * grad
        renewed = used
        if state.steps % self.interval == 0:
            renewed = self.beta2 * used + (1 - self.beta2) * hessian_diagonal()
        if self.renewal == "before":
            used = renewed
        direction = mean / (1 - self.beta1**t) if self.bias_correction else mean
        direction = xp.clip(direction / xp.maximum(self.gamma * used, 0 * used + self.eps), -1, 1)
        step = -(self.lr * (direction + self.weight_decay * state.x))
        return step, SophiaState(t, mean, renewed, state.x + step)


class IteratesState(NamedTuple):
    x: Array  # (d,) or (1, d)
    iterates: tuple[Array, ...]  # of SciPy, all of them after the first step
    steps: int  # done so far


@dataclass(frozen=True)
class LBFGS(Rule):
    """L-BFGS (Liu & Nocedal 1989), as SciPy runs it: a line search along an approximate Newton direction.

    One step is one iteration of scipy.optimize.minimize(method="L-BFGS-B"), which may ask for several gradients.
    There is one start at a time.
    """

    name = "l-bfgs"
    formula = "w <- w + a*d, d from the last gradients, a from a line search"
    needs = ("function",)
    memory: Annotated[int, Ge(1), Doc("steps from which the curvature is estimated")] = 10

    def init(self, x: Array) -> IteratesState:
        return IteratesState(x, (), 0)

    def update(self, grad: Array, state: IteratesState, *, function: Any) -> tuple[Array, IteratesState]:  # type: ignore[override]
        return _next_iterate(state, function, "L-BFGS-B", {"maxcor": self.memory, "ftol": 0.0})


@dataclass(frozen=True)
class ConjugateGradient(Rule):
    """Nonlinear conjugate gradients (Polak & Ribiere 1969), as SciPy runs it, with a line search.

    One step is one iteration of scipy.optimize.minimize(method="CG"). There is one start at a time.
    """

    name = "conjugate-gradient"
    formula = "w <- w + a*d, d conjugate to the last direction, a from a line search"
    needs = ("function",)

    def init(self, x: Array) -> IteratesState:
        return IteratesState(x, (), 0)

    def update(self, grad: Array, state: IteratesState, *, function: Any) -> tuple[Array, IteratesState]:  # type: ignore[override]
        return _next_iterate(state, function, "CG", {})


def _next_iterate(
    state: IteratesState, function: Any, method: str, options: dict[str, Any]
) -> tuple[Array, IteratesState]:
    """SciPy cannot be paused, so the first step runs it to the end and the later steps read its iterates."""
    iterates = state.iterates
    if not iterates:
        from scipy.optimize import minimize

        seen = [state.x]
        minimize(
            lambda x: float(function.value(x)),
            np.ravel(state.x),
            jac=function.gradient,
            method=method,
            callback=lambda x: seen.append(np.array(x)),
            options={"gtol": 1e-12, **options},
        )
        iterates = tuple(seen)
    t = min(state.steps + 1, len(iterates) - 1)
    step = iterates[t] - state.x
    return step, IteratesState(state.x + step, iterates, t)
