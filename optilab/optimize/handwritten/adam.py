"""Adam and its variants with another first moment, average or step; the second moment is Adam's."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from annotated_doc import Doc
from annotated_types import Ge

from optilab.optimize.rule import (
    Array,
    Decay,
    Eps,
    LearningRate,
    Recurrence,
    Rule,
    WeightDecay,
    xp_of,
)

MOMENTS = "V <- beta1*V + (1-beta1)*g;  S <- beta2*S + (1-beta2)*g^2;  v = V/(1-beta1^t);  s = S/(1-beta2^t)"


class AdamState(NamedTuple):
    steps: int  # done so far
    mean: Array  # (..., d): V, the first moment
    mean_square: Array  # (..., d): S, the second moment


class TwoMoments(Rule):
    """A rule with Adam's state: a count of steps and two moments, all zero at the start."""

    def init(self, x: Array) -> AdamState:
        zeros = xp_of(x).zeros_like(x)
        return AdamState(0, zeros, zeros)


class FrozenMomentum(Rule):
    """A rule that is `ema` momentum of the gradient while its second moment stands still."""

    beta1: float

    @property
    def frozen(self) -> Recurrence:
        """The step while the second moment stands still: `ema` momentum of the gradient in coordinates scaled by the
        `preconditioner` ("frozen Adam", Cohen et al. 2022, arXiv:2207.14484)."""
        return Recurrence(self.beta1, 1 - self.beta1, 0.0, 1.0)


@dataclass(frozen=True)
class Adam(TwoMoments, FrozenMomentum):
    """Adam (Kingma & Ba 2015, algorithm 1): momentum and RMSProp with bias correction.

    V <- beta1*V + (1 - beta1)*g;  v = V/(1 - beta1^t)
    S <- beta2*S + (1 - beta2)*g^2;  s = S/(1 - beta2^t)
    outside: w <- w - lr*v/(sqrt(s) + eps)  (the paper, torch.optim.Adam, optax)
    inside:  w <- w - lr*v/sqrt(s + eps)
    added:   w <- w - lr*(v/sqrt(s) + eps)  (the published exercise; it shifts every step and guards no division)
    uncorrected: w <- w - lr*v/(sqrt(s) + eps/sqrt(1 - beta2^t))  (Keras, "epsilon hat" of the paper: eps is
        added to the root of S before its correction)

    With `added`, a coordinate whose gradients were all exactly zero moves by lr*eps only.
    """

    name = "adam"
    lr: LearningRate = 0.001
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Eps = 1e-8
    eps_placement: Annotated[
        Literal["outside", "inside", "added", "uncorrected"],
        Doc("eps outside the root, inside it, added to the ratio, or to the uncorrected root"),
    ] = "outside"

    @property
    def formula(self) -> str:
        return f"{MOMENTS};  w <- w - lr*{self._ratio_text}"

    @property
    def _ratio_text(self) -> str:
        return {
            "outside": "v/(sqrt(s) + eps)",
            "inside": "v/sqrt(s + eps)",
            "added": "(v/sqrt(s) + eps)",
            "uncorrected": "v/(sqrt(s) + eps/sqrt(1-beta2^t))",
        }[self.eps_placement]

    def preconditioner(self, state: Any) -> Array:
        """What divides the moving average of the gradients: (1 - beta1^t)*(sqrt(s) + eps), after t >= 1 steps."""
        t = state.steps
        s = state.mean_square / (1 - self.beta2**t)
        xp = xp_of(s)
        if self.eps_placement == "inside":
            root = xp.sqrt(s + self.eps)
        else:
            eps = {"outside": self.eps, "added": 0.0, "uncorrected": self.eps / (1 - self.beta2**t) ** 0.5}
            root = xp.sqrt(s) + eps[self.eps_placement]
        return (1 - self.beta1**t) * root

    def update(self, grad: Array, state: AdamState) -> tuple[Array, AdamState]:
        xp = xp_of(grad)
        t = state.steps + 1
        mean = self.beta1 * state.mean + (1 - self.beta1) * grad
        mean_square = self.beta2 * state.mean_square + (1 - self.beta2) * grad**2
        v = mean / (1 - self.beta1**t)
        s = mean_square / (1 - self.beta2**t)
        if self.eps_placement == "outside":
            ratio = v / (xp.sqrt(s) + self.eps)
        elif self.eps_placement == "inside":
            ratio = v / xp.sqrt(s + self.eps)
        elif self.eps_placement == "uncorrected":
            ratio = v / (xp.sqrt(s) + self.eps / (1 - self.beta2**t) ** 0.5)
        else:
            # 0/0 where all gradients so far were zero: the ratio is 0.
            ratio = xp.where(s > 0, v / xp.sqrt(xp.where(s > 0, s, 1.0)), 0.0) + self.eps
        return -(self.lr * ratio), AdamState(t, mean, mean_square)


class AdamWState(NamedTuple):
    steps: int  # done so far
    mean: Array  # (..., d): V
    mean_square: Array  # (..., d): S
    x: Array  # (..., d): the point, for the decay


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): the decay does not pass through the moments.

    w <- w - lr*(v/(sqrt(s) + eps) + weight_decay*w), with v and s as in Adam

    The decay is multiplied by lr, as in torch.optim.AdamW and optax.adamw; in the paper only by its schedule.
    """

    name = "adamw"
    weight_decay: WeightDecay = 0.01

    @property
    def formula(self) -> str:
        return f"{MOMENTS};  w <- w - lr*({self._ratio_text} + weight_decay*w)"

    def init(self, x: Array) -> AdamWState:  # type: ignore[override]
        return AdamWState(*Adam.init(self, x), x)

    def update(self, grad: Array, state: AdamWState) -> tuple[Array, AdamWState]:  # type: ignore[override]
        step, moments = Adam.update(self, grad, AdamState(*state[:3]))
        step = step - self.lr * self.weight_decay * state.x
        return step, AdamWState(*moments, state.x + step)


class NAdamState(NamedTuple):
    steps: int  # done so far
    mean: Array  # (..., d): V
    mean_square: Array  # (..., d): S
    product: float  # P, of all mu so far; 1 at the start


@dataclass(frozen=True)
class NAdam(Rule):
    """NAdam (Dozat 2016): Adam that looks ahead along its velocity as Nesterov does. Two forms are in use.

    schedule: mu_t = beta1*(1 - 0.96^(t*momentum_decay)/2), P_t = mu_1*...*mu_t
        v = mu_(t+1)*V/(1 - P_(t+1)) + (1 - mu_t)*g/(1 - P_t)             (torch.optim.NAdam, Keras)
    constant: v = beta1*V/(1 - beta1^(t+1)) + (1 - beta1)*g/(1 - beta1^t)  (optax.nadam)
    w <- w - lr*v/(sqrt(s) + eps), with V and s as in Adam

    `schedule` is the form of the author's report of 2015. The paper has mu_t for beta1 in V, too, and multiplies s by
    beta2; no library does.
    """

    name = "nadam"
    lr: LearningRate = 0.002
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Eps = 1e-8
    form: Annotated[Literal["schedule", "constant"], Doc("momentum warmed up step by step, or beta1")] = "schedule"
    momentum_decay: Annotated[float, Ge(0), Doc("speed of the momentum's schedule")] = 0.004

    @property
    def formula(self) -> str:
        velocity = {
            "schedule": (
                "m = beta1*(1 - 0.5*0.96^(t*momentum_decay));  n = beta1*(1 - 0.5*0.96^((t+1)*momentum_decay));  "
                "P0 = 1;  P <- P*m;  v = n*V/(1-P*n) + (1-m)*g/(1-P)"
            ),
            "constant": "v = beta1*V/(1-beta1^(t+1)) + (1-beta1)*g/(1-beta1^t)",
        }[self.form]
        return (
            "V <- beta1*V + (1-beta1)*g;  S <- beta2*S + (1-beta2)*g^2;  s = S/(1-beta2^t);  "
            f"{velocity};  w <- w - lr*v/(sqrt(s) + eps)"
        )

    def frozen_at(self, state: Any) -> Recurrence:
        """The next steps while the second moment and the momentum's schedule stand still, after `state.steps` steps,
        in coordinates scaled by the `preconditioner`: momentum of the gradient, and the gradient itself."""
        now, ahead = self._momentum(state.steps), self._momentum(state.steps + 1)
        of_gradient, of_velocity = (1 - now) / (1 - state.product), ahead / (1 - state.product * ahead)
        return Recurrence(self.beta1, 1 - self.beta1, of_gradient, of_velocity)

    def preconditioner(self, state: Any) -> Array:
        """What divides the velocity and the gradient: sqrt(s) + eps, after t >= 1 steps."""
        return xp_of(state.mean_square).sqrt(state.mean_square / (1 - self.beta2**state.steps)) + self.eps

    def init(self, x: Array) -> NAdamState:
        zeros = xp_of(x).zeros_like(x)
        return NAdamState(0, zeros, zeros, 1.0)

    def update(self, grad: Array, state: NAdamState) -> tuple[Array, NAdamState]:
        t = state.steps + 1
        mean = self.beta1 * state.mean + (1 - self.beta1) * grad
        mean_square = self.beta2 * state.mean_square + (1 - self.beta2) * grad**2
        now, ahead = self._momentum(t), self._momentum(t + 1)
        product = state.product * now
        v = ahead * mean / (1 - product * ahead) + (1 - now) * grad / (1 - product)
        s = mean_square / (1 - self.beta2**t)
        step = -(self.lr * v / (xp_of(grad).sqrt(s) + self.eps))
        return step, NAdamState(t, mean, mean_square, product)

    def _momentum(self, t: int) -> float:
        if self.form == "constant":
            return self.beta1
        warm_up: float = 1 - 0.5 * 0.96 ** (t * self.momentum_decay)
        return self.beta1 * warm_up


@dataclass(frozen=True)
class RAdam(TwoMoments, FrozenMomentum):
    """Rectified Adam (Liu et al. 2020): division by the second moment only once its variance is bounded.

    r_inf = 2/(1 - beta2) - 1;  r = r_inf - 2*t*beta2^t/(1 - beta2^t)
    w <- w - lr*v*sqrt((r-4)*(r-2)*r_inf/((r_inf-4)*(r_inf-2)*r))/root while r > 5, else w <- w - lr*v
    uncorrected: root = (sqrt(S) + eps)/sqrt(1 - beta2^t)  (torch.optim.RAdam)
    outside:     root = sqrt(s) + eps                      (optax.radam)

    The paper (algorithm 2) has r > 4 and no eps; torch.optim has r > 5, optax and the authors' code have r >= 5.
    """

    name = "radam"
    lr: LearningRate = 0.001
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Eps = 1e-8
    eps_placement: Annotated[
        Literal["uncorrected", "outside"], Doc("eps added to the root before or after its correction")
    ] = "uncorrected"

    @property
    def formula(self) -> str:
        root = {"uncorrected": "(sqrt(S) + eps)/sqrt(1-beta2^t)", "outside": "sqrt(s) + eps"}[self.eps_placement]
        return (
            f"{MOMENTS};  R = 2/(1-beta2) - 1;  r = R - 2*t*beta2^t/(1-beta2^t);  "
            "k = where(r > 5, sqrt((r-4)*(r-2)*R/((R-4)*(R-2)*r)), 0);  "
            f"d = where(r > 5, k*v/({root}), v);  w <- w - lr*d"
        )

    def preconditioner(self, state: Any) -> Array:
        """What divides the moving average of the gradients after t >= 1 steps, the rectifier included; 1 - beta1^t in
        every coordinate as long as the second moment is not used."""
        t, s = state.steps, state.mean_square
        sqrt, correction = xp_of(s).sqrt, 1 - self.beta2**t
        limit = 2 / (1 - self.beta2) - 1
        r = limit - 2 * t * self.beta2**t / correction
        if r <= 5:
            return (1 - self.beta1**t) * (0 * s + 1)
        rectifier = ((r - 4) * (r - 2) * limit / ((limit - 4) * (limit - 2) * r)) ** 0.5
        if self.eps_placement == "outside":
            root = sqrt(s / correction) + self.eps
        else:
            root = (sqrt(s) + self.eps) / correction**0.5
        return (1 - self.beta1**t) * root / rectifier

    def update(self, grad: Array, state: AdamState) -> tuple[Array, AdamState]:
        sqrt = xp_of(grad).sqrt
        t = state.steps + 1
        mean = self.beta1 * state.mean + (1 - self.beta1) * grad
        mean_square = self.beta2 * state.mean_square + (1 - self.beta2) * grad**2
        v, correction = mean / (1 - self.beta1**t), 1 - self.beta2**t
        limit = 2 / (1 - self.beta2) - 1
        length = limit - 2 * t * self.beta2**t / correction
        trusted = length > 5
        # Where it is not trusted the rectifier is not used; 5 only keeps its root and its division defined.
        r, r_inf = (trusted * value + (1 - trusted) * 5.0 for value in (length, limit))
        rectifier = ((r - 4) * (r - 2) * r_inf / ((r_inf - 4) * (r_inf - 2) * r)) ** 0.5
        if self.eps_placement == "outside":
            root = sqrt(mean_square / correction) + self.eps
        else:
            root = (sqrt(mean_square) + self.eps) / correction**0.5
        step = -(self.lr * (trusted * (rectifier * v / root) + (1 - trusted) * v))
        return step, AdamState(t, mean, mean_square)


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

    name = "ademamix"
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

    Betas are the fractions that are kept, as in all code; the paper's are their complements. The corrections are
    those of its code: algorithm 1 has none, but starts with V = g and S = g^2.
    """

    name = "adan"
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
