"""Layer-wise rules for large batches: the length of a step is a share of the length of the weights."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

from annotated_doc import Doc
from annotated_types import Ge, Gt

from optilab.optimize.algorithms.rule import (
    Array,
    Decay,
    Eps,
    LearningRate,
    Rule,
    WeightDecay,
    length,
    xp_of,
)


class LARSState(NamedTuple):
    velocity: Array  # (..., d)
    x: Array  # (..., d): the point


@dataclass(frozen=True)
class LARS(Rule):
    """LARS (You, Gitman & Ginsburg 2017, arXiv:1708.03888): the learning rate of each layer is proportional to |w|/|g|.

    r = trust*|w|/D, or 1 where |w| or D is 0;  V <- beta*V + r*(g + weight_decay*w);  w <- w - lr*V
    sum: D = |g| + weight_decay*|w|  (the paper, pytorch_optimizer)
    norm: D = |g + weight_decay*w|   (optax.lars)

    In a network each weight matrix and each bias has its own r; on a function the point has one. pytorch_optimizer
    leaves biases out: they get r = 1 and no decay.
    """

    name: ClassVar[str] = "lars"
    weights: ClassVar[Literal["joined", "each", "matrices"]] = "each"
    lr: LearningRate = 1.0
    beta: Decay = 0.9
    trust: Annotated[float, Gt(0), Doc("length of a step before lr and momentum, as a share of |w|")] = 0.001
    weight_decay: WeightDecay = 0.0
    denominator: Annotated[Literal["sum", "norm"], Doc("|g| + weight_decay*|w|, or the norm of their sum")] = "sum"

    @property
    def formula(self) -> str:
        below = {"sum": "norm(g) + weight_decay*norm(w)", "norm": "norm(u)"}[self.denominator]
        return (
            f"u = g + weight_decay*w;  m = norm(w);  D = {below};  "
            "r = where(min(m, D) > 0, trust*m/D, 1);  V <- beta*V + r*u;  w <- w - lr*V"
        )

    def init(self, x: Array) -> LARSState:
        return LARSState(xp_of(x).zeros_like(x), x)

    def update(self, grad: Array, state: LARSState) -> tuple[Array, LARSState]:
        x = state.x
        decayed = grad + self.weight_decay * x
        size = length(x)
        below = length(decayed) if self.denominator == "norm" else length(grad) + self.weight_decay * size
        velocity = self.beta * state.velocity + _ratio(self.trust * size, below) * decayed
        step = -(self.lr * velocity)
        return step, LARSState(velocity, x + step)


class LAMBState(NamedTuple):
    steps: int  # done so far
    mean: Array  # (..., d): V
    mean_square: Array  # (..., d): S
    x: Array  # (..., d): the point


@dataclass(frozen=True)
class LAMB(Rule):
    """LAMB (You et al. 2020, arXiv:1904.00962): AdamW whose steps have the length lr*|w| in each layer.

    u = v/(sqrt(s) + eps) + weight_decay*w, with V, v, S and s as in Adam
    r = |w|/|u|, or 1 where one of them is 0;  w <- w - lr*r*u

    In a network each weight matrix and each bias has its own r; on a function the point has one. `bias_correction`
    is on in the paper's algorithm and in optax.lamb. pytorch_optimizer has it off with adam_debias=True, and without
    that divides lr by 1 - beta1^t; it limits |w| to 10 (`largest_norm`) and adds eps to |u|.
    """

    name: ClassVar[str] = "lamb"
    weights: ClassVar[Literal["joined", "each", "matrices"]] = "each"
    lr: LearningRate = 0.001
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Eps = 1e-6
    weight_decay: WeightDecay = 0.0
    bias_correction: Annotated[bool, Doc("correct both moments for their start at zero")] = True
    largest_norm: Annotated[float, Ge(0), Doc("a larger |w| counts as this; 0: no limit")] = 0.0

    @property
    def formula(self) -> str:
        v, s = ("V/(1-beta1^t)", "S/(1-beta2^t)") if self.bias_correction else ("V", "S")
        size = "where(largest_norm > 0, min(norm(w), largest_norm), norm(w))"
        return (
            f"V <- beta1*V + (1-beta1)*g;  S <- beta2*S + (1-beta2)*g^2;  v = {v};  s = {s};  "
            f"u = v/(sqrt(s) + eps) + weight_decay*w;  m = {size};  D = norm(u);  "
            "r = where(min(m, D) > 0, m/D, 1);  w <- w - lr*r*u"
        )

    def init(self, x: Array) -> LAMBState:
        zeros = xp_of(x).zeros_like(x)
        return LAMBState(0, zeros, zeros, x)

    def update(self, grad: Array, state: LAMBState) -> tuple[Array, LAMBState]:
        xp, t, x = xp_of(grad), state.steps + 1, state.x
        mean = self.beta1 * state.mean + (1 - self.beta1) * grad
        mean_square = self.beta2 * state.mean_square + (1 - self.beta2) * grad**2
        first = 1 - self.beta1**t * self.bias_correction
        second = 1 - self.beta2**t * self.bias_correction
        direction = (mean / first) / (xp.sqrt(mean_square / second) + self.eps) + self.weight_decay * x
        size = length(x)
        limited = self.largest_norm > 0
        size = limited * xp.minimum(size, self.largest_norm + 0 * size) + (1 - limited) * size
        step = -(self.lr * _ratio(size, length(direction)) * direction)
        return step, LAMBState(t, mean, mean_square, x + step)


def _ratio(above: Array, below: Array) -> Array:
    """above/below, and 1 where either of them is zero."""
    xp = xp_of(below)
    both = xp.minimum(above, below) > 0
    return xp.where(both, above / xp.where(both, below, xp.ones_like(below)), xp.ones_like(below))


ENTRIES = (LARS, LAMB)
