"""Adam with a further average: a slow one of the gradients, or one of their changes."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

from annotated_doc import Doc
from annotated_types import Ge

from optilab.optimize.algorithms.adam import MOMENTS
from optilab.optimize.algorithms.rule import Array, Decay, Eps, LearningRate, Rule, WeightDecay, xp_of


class AdEMAMixState(NamedTuple):
    steps: int  # done so far
    mean: Array  # (..., d): V, fast
    slow_mean: Array  # (..., d): M, slow
    mean_square: Array  # (..., d): S
    x: Array  # (..., d): the point, for the decay


@dataclass(frozen=True)
class AdEMAMix(Rule):
    """AdEMAMix (Pagliardini et al. 2024): Adam with a second, much slower average of the gradients.

    M <- beta3*M + (1 - beta3)*g, not corrected for its start
    w <- w - lr*((v + alpha*M)/(sqrt(s) + eps) + weight_decay*w), with v and s as in Adam

    alpha and beta3 are constant, as in optax.contrib.ademamix; the paper warms both up in long trainings.
    """

    name: ClassVar[str] = "ademamix"
    lr: LearningRate = 0.001
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    beta3: Decay = 0.9999
    alpha: Annotated[float, Ge(0), Doc("weight of the slow average")] = 5.0
    eps: Eps = 1e-8
    weight_decay: WeightDecay = 0.0

    @property
    def formula(self) -> str:
        return (
            f"{MOMENTS};  M <- beta3*M + (1-beta3)*g;  "
            "w <- w - lr*((v + alpha*M)/(sqrt(s) + eps) + weight_decay*w)"
        )

    def init(self, x: Array) -> AdEMAMixState:
        zeros = xp_of(x).zeros_like(x)
        return AdEMAMixState(0, zeros, zeros, zeros, x)

    def update(self, grad: Array, state: AdEMAMixState) -> tuple[Array, AdEMAMixState]:
        t = state.steps + 1
        mean = self.beta1 * state.mean + (1 - self.beta1) * grad
        slow_mean = self.beta3 * state.slow_mean + (1 - self.beta3) * grad
        mean_square = self.beta2 * state.mean_square + (1 - self.beta2) * grad**2
        v, s = mean / (1 - self.beta1**t), mean_square / (1 - self.beta2**t)
        ratio = (v + self.alpha * slow_mean) / (xp_of(grad).sqrt(s) + self.eps)
        step = -(self.lr * (ratio + self.weight_decay * state.x))
        return step, AdEMAMixState(t, mean, slow_mean, mean_square, state.x + step)


class AdanState(NamedTuple):
    steps: int  # done so far
    mean: Array  # (..., d): V, of the gradients
    mean_change: Array  # (..., d): D, of their changes
    mean_square: Array  # (..., d): S, of the gradient looked ahead
    previous: Array  # (..., d): p, the last gradient
    x: Array  # (..., d): the point, for the decay


@dataclass(frozen=True)
class Adan(Rule):
    """Adan (Xie et al. 2022): Adam with the average change of the gradient: Nesterov without a second point.

    c = g - p, the change of the gradient, zero at first
    V <- beta1*V + (1 - beta1)*g;  D <- beta2*D + (1 - beta2)*c;  S <- beta3*S + (1 - beta3)*(g + k*c)^2
    u = (v + k*d)/(sqrt(s) + eps), all three corrected for their start
    paper:   k = beta2;      w <- (w - lr*u)/(1 + lr*weight_decay)  (the paper, algorithm 1, and its code)
    no-prox: k = beta2;      w <- w - lr*(u + weight_decay*w)       (its code with no_prox=True)
    optax:   k = 1 - beta2;  w <- w - lr*(u + weight_decay*w)       (optax.adan)

    Betas are the shares that are kept, as in all code; the paper's are their complements. The corrections are those of
    its code: algorithm 1 has none, but starts with V = g and S = g^2.
    """

    name: ClassVar[str] = "adan"
    lr: LearningRate = 0.001
    beta1: Decay = 0.98
    beta2: Decay = 0.92
    beta3: Decay = 0.99
    eps: Eps = 1e-8
    weight_decay: WeightDecay = 0.0
    form: Annotated[Literal["paper", "no-prox", "optax"], Doc("weight of the change, and kind of the decay")] = (
        "paper"
    )

    @property
    def formula(self) -> str:
        k, step = {
            "paper": ("beta2", "(w - lr*u)/(1 + lr*weight_decay)"),
            "no-prox": ("beta2", "w - lr*(u + weight_decay*w)"),
            "optax": ("1-beta2", "w - lr*(u + weight_decay*w)"),
        }[self.form]
        return (
            f"c = where(t > 1, g - p, 0);  p <- g;  k = {k};  V <- beta1*V + (1-beta1)*g;  "
            "D <- beta2*D + (1-beta2)*c;  S <- beta3*S + (1-beta3)*(g + k*c)^2;  v = V/(1-beta1^t);  "
            f"d = D/(1-beta2^t);  s = S/(1-beta3^t);  u = (v + k*d)/(sqrt(s) + eps);  w <- {step}"
        )

    def init(self, x: Array) -> AdanState:
        zeros = xp_of(x).zeros_like(x)
        return AdanState(0, zeros, zeros, zeros, zeros, x)

    def update(self, grad: Array, state: AdanState) -> tuple[Array, AdanState]:
        t = state.steps + 1
        change = (state.steps > 0) * (grad - state.previous)
        k = 1 - self.beta2 if self.form == "optax" else self.beta2
        mean = self.beta1 * state.mean + (1 - self.beta1) * grad
        mean_change = self.beta2 * state.mean_change + (1 - self.beta2) * change
        mean_square = self.beta3 * state.mean_square + (1 - self.beta3) * (grad + k * change) ** 2
        v, d = mean / (1 - self.beta1**t), mean_change / (1 - self.beta2**t)
        u = (v + k * d) / (xp_of(grad).sqrt(mean_square / (1 - self.beta3**t)) + self.eps)
        step = -(self.lr * (u + self.weight_decay * state.x))
        if self.form == "paper":
            step = step / (1 + self.lr * self.weight_decay)
        return step, AdanState(t, mean, mean_change, mean_square, grad, state.x + step)


ENTRIES = (AdEMAMix, Adan)
