"""Rules around rules, with a second point or a step length per layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NamedTuple

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt

from optilab.optimize.handwritten.adam import Adam
from optilab.optimize.handwritten.momentum import SGD
from optilab.optimize.rule import Array, Decay, Eps, LearningRate, Rule, WeightDecay, length, xp_of

Interpolation = Annotated[float, Gt(0), Lt(1), Doc("where the gradient is taken: 0 at z, 1 at the average")]


class ScheduleFreeState(NamedTuple):
    x: Array  # (..., d): w, where the gradient is taken
    fast: Array  # (..., d): z, which takes the steps
    steps: int  # done so far
    mean_square: Array  # (..., d): S, stays zero in the form of SGD
    largest_lr: Any  # so far
    weight_sum: Any  # of lr^2


@dataclass(frozen=True)
class ScheduleFreeSGD(Rule):
    """Schedule-free gradient descent (Defazio et al. 2024): an average of all points replaces the schedule.

    z <- z - lr*(g + weight_decay*w);  x <- x + (z - x)/t;  w = (1 - beta1)*z + beta1*x

    The gradient is taken at w, which is the path shown; x, the average, is the result: `averaged(state)`. Points
    weigh lr^2 in the average, so 1/t where lr is constant. As optax.contrib.schedule_free_sgd.
    """

    name = "schedule-free-sgd"
    lr: LearningRate = 1.0
    beta1: Interpolation = 0.9
    weight_decay: WeightDecay = 0.0

    @property
    def formula(self) -> str:
        return f"z0 = w;  z <- z - lr*(g + weight_decay*w);  {_AVERAGE}"

    def init(self, x: Array) -> ScheduleFreeState:
        return ScheduleFreeState(x, x, 0, xp_of(x).zeros_like(x), 0.0, 0.0)

    def update(self, grad: Array, state: ScheduleFreeState) -> tuple[Array, ScheduleFreeState]:
        return _average(self, grad, state.mean_square, state)

    def averaged(self, state: ScheduleFreeState) -> Array:
        """The average of all points: the weights to use and to evaluate."""
        return (state.x - (1 - self.beta1) * state.fast) / self.beta1


@dataclass(frozen=True)
class ScheduleFreeAdamW(ScheduleFreeSGD):
    """Schedule-free AdamW (Defazio et al. 2024): the average takes the place of Adam's first moment.

    z <- z - lr*(g/(sqrt(s) + eps) + weight_decay*w), with s as in Adam; the rest as in schedule-free-sgd

    As optax.contrib.schedule_free_adamw.
    """

    name = "schedule-free-adamw"
    lr: LearningRate = 0.0025
    beta2: Decay = 0.999
    eps: Eps = 1e-8

    @property
    def formula(self) -> str:
        return (
            "z0 = w;  S <- beta2*S + (1-beta2)*g^2;  s = S/(1-beta2^t);  "
            f"z <- z - lr*(g/(sqrt(s) + eps) + weight_decay*w);  {_AVERAGE}"
        )

    def update(self, grad: Array, state: ScheduleFreeState) -> tuple[Array, ScheduleFreeState]:
        mean_square = self.beta2 * state.mean_square + (1 - self.beta2) * grad**2
        root = xp_of(grad).sqrt(mean_square / (1 - self.beta2 ** (state.steps + 1))) + self.eps
        return _average(self, grad / root, mean_square, state)


_AVERAGE = "x0 = w;  x <- x + (z - x)/t;  w <- (1-beta1)*z + beta1*x"


def _average(
    rule: ScheduleFreeSGD, direction: Array, mean_square: Array, state: ScheduleFreeState
) -> tuple[Array, ScheduleFreeState]:
    """One step of z along -direction, and the step of w that follows from it."""
    raised = rule.lr > state.largest_lr
    largest_lr = raised * rule.lr + (1 - raised) * state.largest_lr
    weight_sum = state.weight_sum + largest_lr**2
    share = largest_lr**2 / weight_sum
    fast = state.fast - rule.lr * (direction + rule.weight_decay * state.x)
    mean = (1 - share) * rule.averaged(state) + share * fast
    step = rule.beta1 * mean + (1 - rule.beta1) * fast - state.x
    return step, ScheduleFreeState(state.x + step, fast, state.steps + 1, mean_square, largest_lr, weight_sum)


_ADAM = Adam()


class LookaheadState(NamedTuple):
    steps: int  # done so far
    x: Array  # (..., d): the fast point
    slow: Array  # (..., d)
    base: tuple[Any, ...]  # the wrapped rule's state, without its names


@dataclass(frozen=True)
class Lookahead(Rule):
    """Lookahead (Zhang et al. 2019): after every few steps of another optimizer, go back part of the way.

    w follows the wrapped rule; at every sync_period-th step: z <- z + slow_step_size*(w - z);  w <- z

    The wrapped rule keeps its state, as optax.lookahead does; the path shown is the fast one. z, the slow point, is the
    result: `averaged(state)`.
    """

    name = "lookahead"
    base: Annotated[Rule, Doc("the optimizer that is wrapped")] = _ADAM
    sync_period: Annotated[int, Ge(1), Doc("steps between two returns")] = 5
    slow_step_size: Annotated[float, Gt(0), Le(1), Doc("part of the way that is kept")] = 0.5

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.base.needs

    @property
    def weights(self) -> Literal["joined", "each", "matrices"]:  # type: ignore[override]
        return self.base.weights

    def for_weights(self, shapes: Sequence[Sequence[int]]) -> list[Rule]:
        """For a rule for matrices: the rule of each weight, each with its own slow point."""
        return [replace(self, base=part) for part in self.base.for_weights(shapes)]  # type: ignore[attr-defined]

    @property
    def formula(self) -> str:
        return (
            f"z0 = w;  {self.base.formula};  "
            "z <- where(t % sync_period > 0, z, z + slow_step_size*(w - z));  "
            "w <- where(t % sync_period > 0, w, z)"
        )

    def init(self, x: Array) -> LookaheadState:
        return LookaheadState(0, x, x, tuple(self.base.init(x)))

    def update(self, grad: Array, state: LookaheadState, **needed: Any) -> tuple[Array, LookaheadState]:
        # The state is a plain tuple, which a checkpoint may hold; the wrapped rule wants its own type back.
        base = type(self.base.init(state.x))(*state.base)
        step, base = self.base.update(grad, base, **needed)
        slow, t = state.slow, state.steps + 1
        if t % self.sync_period == 0:
            slow = slow + self.slow_step_size * (state.x + step - slow)
            step = slow - state.x
            if hasattr(base, "x"):  # the wrapped rule's copy of the point follows
                base = base._replace(x=slow)
        return step, LookaheadState(t, state.x + step, slow, tuple(base))

    def averaged(self, state: LookaheadState) -> Array:
        """The slow point: the weights to use and to evaluate."""
        return state.slow


_SGD = SGD()


@dataclass(frozen=True)
class SAM(Rule):
    """Sharpness-aware minimization (Foret et al. 2021, arXiv:2010.01412): another optimizer with the gradient of the
    worst point nearby.

    e = radius*g/|g|;  g = gradient at w + e;  then the step of the wrapped rule from w with that g

    Each step takes two gradients. In a network both are of the same batch, |g| is that of all weights, batch
    statistics are those of the first, and weight decay around the rule is added at w, to the second. As
    optax.contrib.sam; pytorch_optimizer's SAM computes |g| in single precision. Where g is 0, e is 0.
    """

    name = "sam"
    base: Annotated[Rule, Doc("the optimizer that is wrapped")] = _SGD
    radius: Annotated[float, Gt(0), Doc("distance to the point of the gradient; the paper's rho")] = 0.05

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(dict.fromkeys(("gradient_at", *self.base.needs)))

    @property
    def weights(self) -> Literal["joined", "each", "matrices"]:  # type: ignore[override]
        return self.base.weights

    @property
    def formula(self) -> str:
        ascent = "m = norm(g);  e = where(m > 0, radius*g/m, 0*g);  g = grad(w + e)"
        return f"{ascent};  {self.base.formula}"

    def init(self, x: Array) -> Any:
        return self.base.init(x)

    def update(self, grad: Array, state: Any, *, gradient_at: Callable[[Array], Array], **needed: Any) -> Any:  # type: ignore[override]
        if "gradient_at" in self.base.needs:
            needed["gradient_at"] = gradient_at
        return self.base.update(gradient_at(self.ascent(grad)), state, **needed)

    def ascent(self, grad: Array) -> Array:
        """From the point to the worst one nearby, where the gradient is taken."""
        xp, size = xp_of(grad), length(grad)
        return xp.where(size > 0, self.radius * grad / xp.where(size > 0, size, xp.ones_like(size)), 0 * grad)


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
    leaves biases out: they get r = 1 and no decay. Under a schedule lr is that of the step, as there and in torch's
    SGD; the paper keeps the lr of each gradient inside V, which differs while lr changes.
    """

    name = "lars"
    weights = "each"
    lr: LearningRate = 1.0
    beta: Decay = 0.9
    trust: Annotated[float, Gt(0), Doc("length of a step before lr and momentum, as a fraction of |w|")] = 0.001
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

    name = "lamb"
    weights = "each"
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
