"""One learning rate per coordinate from the size of its past gradients: Adagrad, RMSProp, Adadelta, FTRL."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from annotated_doc import Doc
from annotated_types import Ge

from optilab.optimize.algorithms.rule import Array, Decay, Eps, LearningRate, Recurrence, Rule, xp_of

EpsPlacement = Annotated[Literal["inside", "outside"], Doc("eps inside or outside the root")]
_ROOT = {"inside": "sqrt({} + eps)", "outside": "(sqrt({}) + eps)"}


class AdagradState(NamedTuple):
    steps: int  # done so far
    sum_of_squares: Array  # (..., d)


@dataclass(frozen=True)
class Adagrad(Rule):
    """Adagrad (Duchi, Hazan & Singer 2011): the gradient divided by the root of its summed squares.

    S <- S + g^2, from S = initial_accumulator
    outside: w <- w - lr*g/(sqrt(S) + eps)  (torch.optim.Adagrad)
    inside:  w <- w - lr*g/sqrt(S + eps)    (optax.adagrad and Keras, with initial_accumulator 0.1 and eps 1e-7)
    lr_decay: lr/(1 + (t - 1)*lr_decay) for lr  (torch.optim.Adagrad)
    """

    name: ClassVar[str] = "adagrad"
    lr: LearningRate = 0.01
    eps: Eps = 1e-10
    initial_accumulator: Annotated[float, Ge(0), Doc("where the sum of squares starts")] = 0.0
    eps_placement: EpsPlacement = "outside"
    lr_decay: Annotated[float, Ge(0), Doc("how fast lr itself decreases")] = 0.0

    @property
    def formula(self) -> str:
        lr = "lr/(1 + (t-1)*lr_decay)" if _given(self.lr_decay) else "lr"
        return f"S0 = initial_accumulator;  S <- S + g^2;  w <- w - {lr}*g/{_ROOT[self.eps_placement].format('S')}"

    @property
    def frozen(self) -> Recurrence:
        """The step while the sum of squares stands still: gradient descent in scaled coordinates."""
        return Recurrence(0.0, 0.0, 1.0, 0.0)

    def preconditioner(self, state: Any) -> Array:
        """What divides the gradient after t >= 1 steps; with the decay of lr itself."""
        root = _root(state.sum_of_squares, self.eps, self.eps_placement)
        return root * (1 + (state.steps - 1) * self.lr_decay)

    def init(self, x: Array) -> AdagradState:
        return AdagradState(0, xp_of(x).zeros_like(x) + self.initial_accumulator)

    def update(self, grad: Array, state: AdagradState) -> tuple[Array, AdagradState]:
        total = state.sum_of_squares + grad**2
        lr = self.lr / (1 + state.steps * self.lr_decay) if _given(self.lr_decay) else self.lr
        return -(lr * grad / _root(total, self.eps, self.eps_placement)), AdagradState(state.steps + 1, total)


class RMSPropState(NamedTuple):
    mean_square: Array  # (..., d): S
    mean: Array  # (..., d): M, stays zero unless centered
    velocity: Array  # (..., d): V, of the scaled gradients


@dataclass(frozen=True)
class RMSProp(Rule):
    """RMSProp (Tieleman & Hinton 2012, lecture 6e): the gradient divided by its recent root mean square.

    S <- decay*S + (1 - decay)*g^2
    inside:  w <- w - lr*g/sqrt(S + eps)    (Keras, optax)
    outside: w <- w - lr*g/(sqrt(S) + eps)  (torch.optim.RMSprop)
    centered: the variance S - M^2 instead of S, with M <- decay*M + (1 - decay)*g  (Graves 2013)
    momentum: V <- momentum*V + g/root;  w <- w - lr*V
    initial_accumulator: the start of S  (1 in TensorFlow 1, `initial_scale` in optax)

    The lecture has no eps; later code chose its placement.
    """

    name: ClassVar[str] = "rmsprop"
    lr: LearningRate = 0.001
    decay: Decay = 0.9
    eps: Eps = 1e-8
    eps_placement: EpsPlacement = "inside"
    centered: Annotated[bool, Doc("divide by the standard deviation instead of the root mean square")] = False
    momentum: Annotated[Decay, Doc("share of the velocity that is kept at each step; 0 is none")] = 0.0
    initial_accumulator: Annotated[float, Ge(0), Doc("where the mean of squares starts")] = 0.0

    @property
    def formula(self) -> str:
        square = "(S - M^2)" if self.centered else "S"
        mean = "M <- decay*M + (1-decay)*g;  " if self.centered else ""
        root = _ROOT[self.eps_placement].format(square)
        moves = _given(self.momentum)
        end = f"V <- momentum*V + g/{root};  w <- w - lr*V" if moves else f"w <- w - lr*g/{root}"
        start = "S0 = initial_accumulator;  " if _given(self.initial_accumulator) else ""
        return f"{start}S <- decay*S + (1-decay)*g^2;  {mean}{end}"

    @property
    def frozen(self) -> Recurrence:
        """The step while the mean of squares stands still: gradient descent, or `classic` momentum, in coordinates
        scaled by the `preconditioner`."""
        return Recurrence(self.momentum, 1.0, 0.0, 1.0)

    def preconditioner(self, state: Any) -> Array:
        """What divides the gradient."""
        square = state.mean_square - state.mean**2 if self.centered else state.mean_square
        return _root(square, self.eps, self.eps_placement)

    def init(self, x: Array) -> RMSPropState:
        zeros = xp_of(x).zeros_like(x)
        return RMSPropState(zeros + self.initial_accumulator, zeros, zeros)

    def update(self, grad: Array, state: RMSPropState) -> tuple[Array, RMSPropState]:
        square = mean_square = self.decay * state.mean_square + (1 - self.decay) * grad**2
        mean, velocity = state.mean, state.velocity
        if self.centered:
            mean = self.decay * state.mean + (1 - self.decay) * grad
            square = mean_square - mean**2
        root = _root(square, self.eps, self.eps_placement)
        if _given(self.momentum):
            velocity = self.momentum * velocity + grad / root
            return -(self.lr * velocity), RMSPropState(mean_square, mean, velocity)
        return -(self.lr * grad / root), RMSPropState(mean_square, mean, velocity)


class AdadeltaState(NamedTuple):
    mean_square: Array  # (..., d): S, of the gradients
    mean_square_step: Array  # (..., d): D, of the steps before lr


@dataclass(frozen=True)
class Adadelta(Rule):
    """Adadelta (Zeiler 2012): RMSProp whose numerator gives the step the units of w.

    S <- rho*S + (1 - rho)*g^2;  d = sqrt(D + eps)/sqrt(S + eps)*g
    D <- rho*D + (1 - rho)*d^2;  w <- w - lr*d

    The paper has no lr: it is 1. torch.optim.Adadelta and optax.adadelta are this form.
    """

    name: ClassVar[str] = "adadelta"
    lr: LearningRate = 1.0
    rho: Decay = 0.9
    eps: Eps = 1e-6

    @property
    def formula(self) -> str:
        return (
            "S <- rho*S + (1-rho)*g^2;  d = sqrt(D + eps)/sqrt(S + eps)*g;  "
            "D <- rho*D + (1-rho)*d^2;  w <- w - lr*d"
        )

    def init(self, x: Array) -> AdadeltaState:
        zeros = xp_of(x).zeros_like(x)
        return AdadeltaState(zeros, zeros)

    def update(self, grad: Array, state: AdadeltaState) -> tuple[Array, AdadeltaState]:
        sqrt = xp_of(grad).sqrt
        mean_square = self.rho * state.mean_square + (1 - self.rho) * grad**2
        delta = sqrt(state.mean_square_step + self.eps) / sqrt(mean_square + self.eps) * grad
        mean_square_step = self.rho * state.mean_square_step + (1 - self.rho) * delta**2
        return -(self.lr * delta), AdadeltaState(mean_square, mean_square_step)


class FTRLState(NamedTuple):
    linear: Array  # (..., d): Z
    sum_of_squares: Array  # (..., d): S
    x: Array  # (..., d): the point


@dataclass(frozen=True)
class FTRL(Rule):
    """FTRL-Proximal (McMahan et al. 2013, algorithm 1): Adagrad with a penalty that makes weights exactly zero.

    s = (sqrt(S + g^2) - sqrt(S))/lr;  S <- S + g^2, from S = initial_accumulator;  Z <- Z + g - s*w
    w <- (sign(Z)*l1 - Z)/((beta + sqrt(S))/lr + l2) where |Z| > l1, else 0

    As in pytorch_optimizer; its lambda_1 is l1. In Keras l2 counts twice, and initial_accumulator is 0.1. Without
    beta, l1, l2 and initial_accumulator it is Adagrad. Each of them draws a start other than 0 to 0: the paper's
    starts there, and its beta is 1.
    """

    name: ClassVar[str] = "ftrl"
    lr: LearningRate = 0.01
    beta: Annotated[float, Ge(0), Doc("added to the root of the sum of squares")] = 0.0
    l1: Annotated[float, Ge(0), Doc("factor of the penalty |w|: a weight with |Z| up to this is 0")] = 0.0
    l2: Annotated[float, Ge(0), Doc("factor of the penalty w^2/2")] = 0.0
    initial_accumulator: Annotated[float, Ge(0), Doc("where the sum of squares starts")] = 0.0

    @property
    def formula(self) -> str:
        return (
            "S0 = initial_accumulator;  s = (sqrt(S + g^2) - sqrt(S))/lr;  S <- S + g^2;  Z <- Z + g - s*w;  "
            "b = (beta + sqrt(S))/lr + l2;  w <- where(min(abs(Z) - l1, b) > 0, (sign(Z)*l1 - Z)/b, 0)"
        )

    def init(self, x: Array) -> FTRLState:
        zeros = xp_of(x).zeros_like(x)
        return FTRLState(zeros, zeros + self.initial_accumulator, x)

    def update(self, grad: Array, state: FTRLState) -> tuple[Array, FTRLState]:
        xp, total = xp_of(grad), state.sum_of_squares + grad**2
        root = xp.sqrt(total)
        linear = state.linear + grad - (root - xp.sqrt(state.sum_of_squares)) / self.lr * state.x
        below = (self.beta + root) / self.lr + self.l2  # 0 where the squares of tiny gradients underflow
        weighs = xp.minimum(xp.abs(linear) - self.l1, below) > 0
        below = xp.where(weighs, below, xp.ones_like(linear))
        x = xp.where(weighs, (xp.sign(linear) * self.l1 - linear) / below, xp.zeros_like(linear))
        return x - state.x, FTRLState(linear, total, x)


def _given(setting: float) -> bool:
    """Whether a setting is in use: not 0, or an array."""
    return not (isinstance(setting, float | int) and setting == 0)


def _root(square: Array, eps: float, placement: str) -> Array:
    sqrt = xp_of(square).sqrt
    return sqrt(square + eps) if placement == "inside" else sqrt(square) + eps


ENTRIES = (Adagrad, RMSProp, Adadelta, FTRL)
