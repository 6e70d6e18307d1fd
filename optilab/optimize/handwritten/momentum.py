"""Rules of one velocity or none: gradient descent, momentum, signs, and step lengths that are computed."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt

from optilab.optimize.rule import (
    Array,
    Decay,
    Eps,
    LearningRate,
    NoState,
    Recurrence,
    Rule,
    Stateless,
    WeightDecay,
    total,
    xp_of,
)

MomentumForm = Annotated[Literal["classic", "ema"], Doc("how a gradient enters the velocity")]


@dataclass(frozen=True)
class SGD(Stateless):
    """Gradient descent (Cauchy 1847): a step against the gradient.

    w <- w - lr*g
    """

    name = "sgd"
    formula = "w <- w - lr*g"
    recurrence = Recurrence(0.0, 0.0, 1.0, 0.0)
    lr: LearningRate = 0.01

    def update(self, grad: Array, state: NoState) -> tuple[Array, NoState]:
        return -(self.lr * grad), state


class MomentumState(NamedTuple):
    velocity: Array  # (..., d)


class WithVelocity(Rule):
    """A rule that remembers a velocity, zero at the start."""

    def init(self, x: Array) -> MomentumState:
        return MomentumState(xp_of(x).zeros_like(x))


@dataclass(frozen=True)
class Momentum(WithVelocity):
    """Gradient descent with momentum (Polyak 1964), in two forms.

    classic: V <- beta*V + g             (heavy ball; torch.optim.SGD(momentum=beta))
    ema:     V <- beta*V + (1 - beta)*g  (moving average of gradients, without bias correction)
    w <- w - lr*V

    The two trace the same path when the learning rate of `ema` is 1/(1 - beta) times that of `classic`.
    """

    name = "momentum"
    lr: LearningRate = 0.01
    beta: Decay = 0.9
    form: MomentumForm = "classic"

    @property
    def formula(self) -> str:
        gradient = {"classic": "g", "ema": "(1-beta)*g"}[self.form]
        return f"V <- beta*V + {gradient};  w <- w - lr*V"

    @property
    def recurrence(self) -> Recurrence:
        return Recurrence(self.beta, 1.0 if self.form == "classic" else 1 - self.beta, 0.0, 1.0)

    def update(self, grad: Array, state: MomentumState) -> tuple[Array, MomentumState]:
        scaled = grad if self.form == "classic" else (1 - self.beta) * grad
        velocity = self.beta * state.velocity + scaled
        return -(self.lr * velocity), MomentumState(velocity)


@dataclass(frozen=True)
class Nesterov(WithVelocity):
    """Nesterov's accelerated gradient (1983; Sutskever et al. 2013), in the form with the gradient at w of
    Bengio, Boulanger-Lewandowski & Pascanu 2012 (arXiv:1212.0901).

    classic: V <- beta*V + g;  w <- w - lr*(g + beta*V)  (torch.optim.SGD(nesterov=True), optax.sgd)
    ema: the same with (1 - beta)*g for both g
    """

    name = "nesterov"
    lr: LearningRate = 0.01
    beta: Decay = 0.9
    form: MomentumForm = "classic"

    @property
    def formula(self) -> str:
        gradient = {"classic": "g", "ema": "(1-beta)*g"}[self.form]
        return f"V <- beta*V + {gradient};  w <- w - lr*({gradient} + beta*V)"

    @property
    def recurrence(self) -> Recurrence:
        enter = 1.0 if self.form == "classic" else 1 - self.beta
        return Recurrence(self.beta, enter, enter, self.beta)

    def update(self, grad: Array, state: MomentumState) -> tuple[Array, MomentumState]:
        scaled = grad if self.form == "classic" else (1 - self.beta) * grad
        velocity = self.beta * state.velocity + scaled
        return -(self.lr * (scaled + self.beta * velocity)), MomentumState(velocity)


@dataclass(frozen=True)
class QHM(WithVelocity):
    """Quasi-hyperbolic momentum (Ma & Yarats 2019): a weighted mean of the gradient and its moving average.

    V <- beta*V + (1 - beta)*g;  w <- w - lr*((1 - nu)*g + nu*V)

    nu = 0 is gradient descent, nu = 1 momentum in its `ema` form, nu = beta Nesterov's in its `ema` form.
    """

    name = "qhm"
    formula = "V <- beta*V + (1-beta)*g;  w <- w - lr*((1-nu)*g + nu*V)"
    lr: LearningRate = 0.01
    beta: Decay = 0.999
    nu: Annotated[float, Ge(0), Le(1), Doc("weight of the velocity against the plain gradient")] = 0.7

    @property
    def recurrence(self) -> Recurrence:
        return Recurrence(self.beta, 1 - self.beta, 1 - self.nu, self.nu)

    def update(self, grad: Array, state: MomentumState) -> tuple[Array, MomentumState]:
        velocity = self.beta * state.velocity + (1 - self.beta) * grad
        return -(self.lr * ((1 - self.nu) * grad + self.nu * velocity)), MomentumState(velocity)


@dataclass(frozen=True)
class SignSGD(Stateless):
    """Sign descent (Bernstein et al. 2018): every coordinate moves by exactly lr.

    w <- w - lr*sign(g)
    """

    name = "signsgd"
    formula = "w <- w - lr*sign(g)"
    lr: LearningRate = 0.001

    def update(self, grad: Array, state: NoState) -> tuple[Array, NoState]:
        return -(self.lr * xp_of(grad).sign(grad)), state


@dataclass(frozen=True)
class Signum(WithVelocity):
    """Signum (Bernstein et al. 2018): the sign of the moving average of gradients.

    V <- beta*V + (1 - beta)*g;  w <- w - lr*sign(V)
    """

    name = "signum"
    formula = "V <- beta*V + (1-beta)*g;  w <- w - lr*sign(V)"
    lr: LearningRate = 0.001
    beta: Decay = 0.9

    def update(self, grad: Array, state: MomentumState) -> tuple[Array, MomentumState]:
        velocity = self.beta * state.velocity + (1 - self.beta) * grad
        return -(self.lr * xp_of(grad).sign(velocity)), MomentumState(velocity)


class LionState(NamedTuple):
    velocity: Array  # (..., d)
    x: Array  # (..., d): the point, for the decay


@dataclass(frozen=True)
class Lion(Rule):
    """Lion (Chen et al. 2023): the sign of one moving average, while a slower one is remembered.

    w <- w - lr*(sign(beta1*V + (1 - beta1)*g) + weight_decay*w);  V <- beta2*V + (1 - beta2)*g
    """

    name = "lion"
    formula = "d = sign(beta1*V + (1-beta1)*g);  V <- beta2*V + (1-beta2)*g;  w <- w - lr*(d + weight_decay*w)"
    lr: LearningRate = 1e-4
    beta1: Decay = 0.9
    beta2: Decay = 0.99
    weight_decay: WeightDecay = 0.0

    def init(self, x: Array) -> LionState:
        return LionState(xp_of(x).zeros_like(x), x)

    def update(self, grad: Array, state: LionState) -> tuple[Array, LionState]:
        direction = xp_of(grad).sign(self.beta1 * state.velocity + (1 - self.beta1) * grad)
        velocity = self.beta2 * state.velocity + (1 - self.beta2) * grad
        step = -(self.lr * (direction + self.weight_decay * state.x))
        return step, LionState(velocity, state.x + step)


class RpropState(NamedTuple):
    size: Array  # (..., d): D, how far each coordinate moves
    previous: Array  # (..., d): p, the last gradient; zero where its sign had changed


@dataclass(frozen=True)
class Rprop(Rule):
    """Resilient backpropagation (Riedmiller & Braun 1993): a step size per coordinate that grows while the sign
    of the gradient stays and shrinks when it changes; after a change the coordinate rests for one step.

    D <- clip(D*eta_plus or D*eta_minus or D, step_min, step_max);  w <- w - D*sign(g)

    The form without backtracking (iRprop-, Igel & Huesken 2000), as torch.optim.Rprop and optax.rprop. `lr` is the
    first step size only.
    """

    name = "rprop"
    formula = (
        "D0 = lr;  s = where(g*p > 0, eta_plus, where(g*p < 0, eta_minus, 1));  "
        "D <- clip(s*D, step_min, step_max);  "
        "p <- where(g*p < 0, 0, g);  w <- w - D*sign(p)"
    )
    lr: Annotated[float, Gt(0), Doc("first step size of every coordinate")] = 0.01
    eta_minus: Annotated[float, Gt(0), Lt(1), Doc("factor of the step size when the sign changes")] = 0.5
    eta_plus: Annotated[float, Gt(1), Doc("factor of the step size while the sign stays")] = 1.2
    step_min: Annotated[float, Gt(0), Doc("smallest step size")] = 1e-6
    step_max: Annotated[float, Gt(0), Doc("largest step size")] = 50.0

    def init(self, x: Array) -> RpropState:
        zeros = xp_of(x).zeros_like(x)
        return RpropState(zeros + self.lr, zeros)

    def update(self, grad: Array, state: RpropState) -> tuple[Array, RpropState]:
        xp = xp_of(grad)
        agreement = grad * state.previous
        same = xp.ones_like(grad)
        factor = xp.where(agreement < 0, same * self.eta_minus, same)
        factor = xp.where(agreement > 0, same * self.eta_plus, factor)
        size = xp.clip(state.size * factor, self.step_min, self.step_max)
        seen = xp.where(agreement < 0, xp.zeros_like(grad), grad)
        return -(size * xp.sign(seen)), RpropState(size, seen)


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

    name = "prodigy"
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

    name = "barzilai-borwein"
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
class Polyak(Stateless):
    """Polyak's step size (1987): the exact length if f were linear between w and the minimum.

    w <- w - min((f - f_min)/(sum(g*g) + eps), lr)*g

    lr is the largest factor allowed, as max_learning_rate in optax.polyak_sgd (SPS_max, Loizou et al. 2021). f_min
    must be known.
    """

    name = "polyak"
    formula = "w <- w - min((f - f_min)/(sum(g^2) + eps), lr)*g"
    needs = ("value",)
    lr: Annotated[float, Gt(0), Doc("largest factor of the gradient")] = 1.0
    f_min: Annotated[float, Doc("the function's value at its minimum")] = 0.0
    eps: Eps = 0.0

    def update(self, grad: Array, state: NoState, *, value: Any) -> tuple[Array, NoState]:  # type: ignore[override]
        xp = xp_of(grad)
        square = total(grad**2) + self.eps
        value = xp.asarray(value)[..., None] if getattr(grad, "ndim", 0) else value
        size = (value - self.f_min) / xp.where(square > 0, square, 1.0)
        size = xp.where(size < self.lr, size, size * 0 + self.lr)
        return -(size * grad), state
