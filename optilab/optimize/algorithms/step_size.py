"""Rules that compute their step length, from all coordinates at once."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from annotated_doc import Doc
from annotated_types import Gt

from optilab.optimize.algorithms.rule import (
    Array,
    Decay,
    Eps,
    LearningRate,
    NoState,
    Rule,
    WeightDecay,
    total,
    xp_of,
)


class ProdigyState(NamedTuple):
    steps: int  # done so far
    x: Array  # (..., d): the point
    start: Array  # (..., d)
    mean: Array  # (..., d): V
    mean_square: Array  # (..., d): S
    gradient_sum: Array  # (..., d): G
    progress: Any  # (..., 1): r
    distance: Any  # (..., 1): D, the estimate of |start - minimum|


@dataclass(frozen=True)
class Prodigy(Rule):
    """Prodigy (Mishchenko & Defazio 2023): Adam whose learning rate is an estimate of the distance to the minimum.

    k = lr*D, and V, S as Adam's moments of D*g
    r <- b*r + D/d0*k*sum(g*(x0 - w));  G <- b*G + D/d0*k*g, with b = sqrt(beta2)
    D <- max(D, d_coef*r/sum|G|);  w <- w - k*(V/(sqrt(S) + D*eps) + weight_decay*w)

    bias_correction multiplies k by sqrt(1 - beta2^t)/(1 - beta1^t): off in the paper's algorithm and its code,
    always on in optax.contrib.prodigy.
    """

    name: ClassVar[str] = "prodigy"
    lr: LearningRate = 1.0
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Eps = 1e-8
    d0: Annotated[float, Gt(0), Doc("first estimate of the distance; too small is safe")] = 1e-6
    d_coef: Annotated[float, Gt(0), Doc("factor of every estimate")] = 1.0
    weight_decay: WeightDecay = 0.0
    bias_correction: Annotated[bool, Doc("correct both moments for their start at zero")] = False

    @property
    def formula(self) -> str:
        correction = "*sqrt(1-beta2^t)/(1-beta1^t)" if self.bias_correction else ""
        return (
            f"x0 = w;  x <- x;  D0 = d0;  b = sqrt(beta2);  k = lr*D{correction};  "
            "V <- beta1*V + (1-beta1)*D*g;  S <- beta2*S + (1-beta2)*(D*g)^2;  "
            "r <- b*r + D/d0*k*sum(g*(x - w));  G <- b*G + D/d0*k*g;  D <- max(D, d_coef*r/sum(abs(G)));  "
            "w <- w - k*(V/(sqrt(S) + D*eps) + weight_decay*w)"
        )

    def init(self, x: Array) -> ProdigyState:
        zeros = xp_of(x).zeros_like(x)
        scalar = total(zeros)
        return ProdigyState(0, x, x, zeros, zeros, zeros, scalar, scalar + self.d0)

    def update(self, grad: Array, state: ProdigyState) -> tuple[Array, ProdigyState]:
        xp = xp_of(grad)
        t, distance, keep = state.steps + 1, state.distance, self.beta2**0.5
        length = self.lr * distance
        if self.bias_correction:
            length = length * (1 - self.beta2**t) ** 0.5 / (1 - self.beta1**t)
        scaled = distance * grad
        mean = self.beta1 * state.mean + (1 - self.beta1) * scaled
        mean_square = self.beta2 * state.mean_square + (1 - self.beta2) * scaled**2
        weight = distance / self.d0 * length
        progress = keep * state.progress + weight * total(grad * (state.start - state.x))
        gradient_sum = keep * state.gradient_sum + weight * grad
        size = total(xp.abs(gradient_sum))
        estimate = xp.where(size > 0, self.d_coef * progress / xp.where(size > 0, size, 1.0), 0.0)
        distance = xp.maximum(distance, estimate)
        ratio = mean / (xp.sqrt(mean_square) + distance * self.eps)
        step = -(length * (ratio + self.weight_decay * state.x))
        return step, ProdigyState(
            t, state.x + step, state.start, mean, mean_square, gradient_sum, progress, distance
        )


class BarzilaiBorweinState(NamedTuple):
    size: Any  # (..., 1): a, the last step size
    last_step: Array  # (..., d): s
    previous: Array  # (..., d): p, the last gradient


@dataclass(frozen=True)
class BarzilaiBorwein(Rule):
    """The two-point step size (Barzilai & Borwein 1988): the curvature along the last step sets the next.

    s = the last step, y = the gradient's change along it
    long:  a = sum(s*s)/sum(s*y)
    short: a = sum(s*y)/sum(y*y)
    w <- w - a*g

    The first step has size lr; where the curvature sum(s*y) is not positive the last size is kept.
    """

    name: ClassVar[str] = "barzilai-borwein"
    lr: Annotated[float, Gt(0), Doc("size of the first step")] = 0.01
    form: Annotated[Literal["long", "short"], Doc("which of the paper's two step sizes")] = "long"

    @property
    def formula(self) -> str:
        size = {"long": "sum(s*s)/sum(s*y)", "short": "sum(s*y)/sum(y*y)"}[self.form]
        return f"y = g - p;  p <- g;  a0 = lr;  a <- where(sum(s*y) > 0, {size}, a);  s <- -a*g;  w <- w + s"

    def init(self, x: Array) -> BarzilaiBorweinState:
        zeros = xp_of(x).zeros_like(x)
        return BarzilaiBorweinState(total(zeros) + self.lr, zeros, zeros)

    def update(self, grad: Array, state: BarzilaiBorweinState) -> tuple[Array, BarzilaiBorweinState]:
        xp = xp_of(grad)
        change = grad - state.previous
        curvature = total(state.last_step * change)
        curved = curvature > 0
        if self.form == "long":
            size = total(state.last_step**2) / xp.where(curved, curvature, 1.0)
        else:
            size = curvature / xp.where(curved, total(change**2), 1.0)
        size = xp.where(curved, size, state.size)
        step = -(size * grad)
        return step, BarzilaiBorweinState(size, step, grad)


@dataclass(frozen=True)
class Polyak(Rule):
    """Polyak's step size (1987): the exact length if f were linear between w and the minimum.

    w <- w - min((f - f_min)/(sum(g*g) + eps), lr)*g

    lr is the largest factor allowed, as max_learning_rate in optax.polyak_sgd (SPS_max, Loizou et al. 2021). f_min
    must be known.
    """

    name: ClassVar[str] = "polyak"
    needs: ClassVar[tuple[str, ...]] = ("value",)
    lr: Annotated[float, Gt(0), Doc("largest factor of the gradient")] = 1.0
    f_min: Annotated[float, Doc("the function's value at its minimum")] = 0.0
    eps: Eps = 0.0

    @property
    def formula(self) -> str:
        return "w <- w - min((f - f_min)/(sum(g^2) + eps), lr)*g"

    def init(self, x: Array) -> NoState:
        return NoState()

    def update(self, grad: Array, state: NoState, *, value: Any) -> tuple[Array, NoState]:  # type: ignore[override]
        xp = xp_of(grad)
        square = total(grad**2) + self.eps
        value = xp.asarray(value)[..., None] if getattr(grad, "ndim", 0) else value
        size = (value - self.f_min) / xp.where(square > 0, square, 1.0)
        size = xp.where(size < self.lr, size, size * 0 + self.lr)
        return -(size * grad), state


ENTRIES = (Prodigy, BarzilaiBorwein, Polyak)
