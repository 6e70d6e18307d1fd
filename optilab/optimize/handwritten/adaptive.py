"""Rules that divide by a root of squared gradients: Adagrad to FTRL, and Adam with another second moment."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from annotated_doc import Doc
from annotated_types import Ge

from optilab.optimize.handwritten.adam import AdamState, FrozenMomentum, TwoMoments
from optilab.optimize.rule import Array, Decay, Eps, LearningRate, Recurrence, Rule, xp_of

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

    name = "adagrad"
    frozen = Recurrence(0.0, 0.0, 1.0, 0.0)
    """The step while the sum of squares stands still: gradient descent in scaled coordinates."""
    lr: LearningRate = 0.01
    eps: Eps = 1e-10
    initial_accumulator: Annotated[float, Ge(0), Doc("where the sum of squares starts")] = 0.0
    eps_placement: EpsPlacement = "outside"
    lr_decay: Annotated[float, Ge(0), Doc("how fast lr itself decreases")] = 0.0

    @property
    def formula(self) -> str:
        lr = "lr/(1 + (t-1)*lr_decay)" if _given(self.lr_decay) else "lr"
        return f"S0 = initial_accumulator;  S <- S + g^2;  w <- w - {lr}*g/{_ROOT[self.eps_placement].format('S')}"

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

    name = "rmsprop"
    lr: LearningRate = 0.001
    decay: Decay = 0.9
    eps: Eps = 1e-8
    eps_placement: EpsPlacement = "inside"
    centered: Annotated[bool, Doc("divide by the standard deviation instead of the root mean square")] = False
    momentum: Annotated[Decay, Doc("fraction of the velocity that is kept at each step; 0 is none")] = 0.0
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

    name = "adadelta"
    formula = (
        "S <- rho*S + (1-rho)*g^2;  d = sqrt(D + eps)/sqrt(S + eps)*g;  D <- rho*D + (1-rho)*d^2;  w <- w - lr*d"
    )
    lr: LearningRate = 1.0
    rho: Decay = 0.9
    eps: Eps = 1e-6

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

    name = "ftrl"
    formula = (
        "S0 = initial_accumulator;  s = (sqrt(S + g^2) - sqrt(S))/lr;  S <- S + g^2;  Z <- Z + g - s*w;  "
        "b = (beta + sqrt(S))/lr + l2;  w <- where(min(abs(Z) - l1, b) > 0, (sign(Z)*l1 - Z)/b, 0)"
    )
    lr: LearningRate = 0.01
    beta: Annotated[float, Ge(0), Doc("added to the root of the sum of squares")] = 0.0
    l1: Annotated[float, Ge(0), Doc("factor of the penalty |w|: a weight with |Z| up to this is 0")] = 0.0
    l2: Annotated[float, Ge(0), Doc("factor of the penalty w^2/2")] = 0.0
    initial_accumulator: Annotated[float, Ge(0), Doc("where the sum of squares starts")] = 0.0

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


CorrectedEps = Annotated[
    Literal["outside", "uncorrected"], Doc("eps added to the root after or before its correction")
]
_ADAM_ROOT = {"outside": "sqrt(s) + eps", "uncorrected": "sqrt(s) + eps/sqrt(1-beta2^t)"}


class AMSGradState(NamedTuple):
    steps: int  # done so far
    mean: Array  # (..., d): V
    mean_square: Array  # (..., d): S
    largest: Array  # (..., d): L, the largest second moment so far


@dataclass(frozen=True)
class AMSGrad(FrozenMomentum):
    """AMSGrad (Reddi, Kale & Kumar 2018): Adam divided by the largest second moment so far.

    w <- w - lr*v/(sqrt(l) + eps), with V, v, S and s as in Adam, and
    raw:       L <- max(L, S);  l = L/(1 - beta2^t)  (torch.optim.Adam(amsgrad=True), Keras)
    corrected: L <- max(L, s);  l = L                (optax.amsgrad)
    paper:     L <- max(L, S);  l = L,  v = V        (nothing is corrected)
    uncorrected: eps/sqrt(1 - beta2^t) for eps, as in Adam (Keras)
    """

    name = "amsgrad"
    lr: LearningRate = 0.001
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Eps = 1e-8
    largest: Annotated[
        Literal["raw", "corrected", "paper"],
        Doc("largest second moment before or after the correction, or without any"),
    ] = "raw"
    eps_placement: CorrectedEps = "outside"

    @property
    def formula(self) -> str:
        largest = {
            "raw": "v = V/(1-beta1^t);  L <- max(L, S);  s = L/(1-beta2^t)",
            "corrected": "v = V/(1-beta1^t);  L <- max(L, S/(1-beta2^t));  s = L",
            "paper": "v = V;  L <- max(L, S);  s = L",
        }[self.largest]
        placement = "outside" if self.largest == "paper" else self.eps_placement
        return (
            "V <- beta1*V + (1-beta1)*g;  S <- beta2*S + (1-beta2)*g^2;  "
            f"{largest};  w <- w - lr*v/({_ADAM_ROOT[placement]})"
        )

    def preconditioner(self, state: Any) -> Array:
        """What divides the moving average of the gradients, as of Adam."""
        t = state.steps
        first, second = (1, 1) if self.largest == "paper" else (1 - self.beta1**t, 1 - self.beta2**t)
        s = state.largest if self.largest == "corrected" else state.largest / second
        eps = self.eps if self.eps_placement == "outside" else self.eps / second**0.5
        return first * (xp_of(s).sqrt(s) + eps)

    def init(self, x: Array) -> AMSGradState:
        zeros = xp_of(x).zeros_like(x)
        return AMSGradState(0, zeros, zeros, zeros)

    def update(self, grad: Array, state: AMSGradState) -> tuple[Array, AMSGradState]:
        xp = xp_of(grad)
        t = state.steps + 1
        mean = self.beta1 * state.mean + (1 - self.beta1) * grad
        mean_square = self.beta2 * state.mean_square + (1 - self.beta2) * grad**2
        first, second = (1, 1) if self.largest == "paper" else (1 - self.beta1**t, 1 - self.beta2**t)
        if self.largest == "corrected":
            s = largest = xp.maximum(state.largest, mean_square / second)
        else:
            largest = xp.maximum(state.largest, mean_square)
            s = largest / second
        eps = self.eps if self.eps_placement == "outside" else self.eps / second**0.5
        return -(self.lr * (mean / first) / (xp.sqrt(s) + eps)), AMSGradState(t, mean, mean_square, largest)


@dataclass(frozen=True)
class Adamax(TwoMoments, FrozenMomentum):
    """Adamax (Kingma & Ba 2015, algorithm 2): Adam with the infinity norm instead of the root mean square.

    V <- beta1*V + (1 - beta1)*g
    inside:  S <- max(beta2*S, |g| + eps);  w <- w - lr*v/S      (torch.optim.Adamax, optax.adamax)
    outside: S <- max(beta2*S, |g|);  w <- w - lr*v/(S + eps)    (Keras, TensorFlow)

    The paper has no eps.
    """

    name = "adamax"
    lr: LearningRate = 0.002
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Eps = 1e-8
    eps_placement: Annotated[Literal["inside", "outside"], Doc("eps inside the maximum or added to it")] = "inside"

    @property
    def formula(self) -> str:
        size, divisor = {"inside": ("abs(g) + eps", "S"), "outside": ("abs(g)", "(S + eps)")}[self.eps_placement]
        return (
            f"V <- beta1*V + (1-beta1)*g;  S <- max(beta2*S, {size});  v = V/(1-beta1^t);  w <- w - lr*v/{divisor}"
        )

    def preconditioner(self, state: Any) -> Array:
        """What divides the moving average of the gradients, as of Adam."""
        outside = self.eps if self.eps_placement == "outside" else 0.0
        return (1 - self.beta1**state.steps) * (state.mean_square + outside)

    def update(self, grad: Array, state: AdamState) -> tuple[Array, AdamState]:
        xp = xp_of(grad)
        t = state.steps + 1
        mean = self.beta1 * state.mean + (1 - self.beta1) * grad
        inside, outside = (self.eps, 0) if self.eps_placement == "inside" else (0, self.eps)
        largest = xp.maximum(self.beta2 * state.mean_square, xp.abs(grad) + inside)
        return -(self.lr * (mean / (1 - self.beta1**t)) / (largest + outside)), AdamState(t, mean, largest)


@dataclass(frozen=True)
class AdaBelief(TwoMoments):
    """AdaBelief (Zhuang et al. 2020): large steps where the gradient is as the velocity predicts.

    S <- beta2*S + (1 - beta2)*(g - V)^2 + eps;  w <- w - lr*v/(sqrt(s) + eps), with V, v and s as in Adam

    eps enters twice, as in the paper and in optax.adabelief. V includes g; optax before version 0.2.4 used the V
    before g.
    """

    name = "adabelief"
    formula = (
        "V <- beta1*V + (1-beta1)*g;  S <- beta2*S + (1-beta2)*(g - V)^2 + eps;  "
        "v = V/(1-beta1^t);  s = S/(1-beta2^t);  w <- w - lr*v/(sqrt(s) + eps)"
    )
    lr: LearningRate = 0.001
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Eps = 1e-16

    def update(self, grad: Array, state: AdamState) -> tuple[Array, AdamState]:
        t = state.steps + 1
        mean = self.beta1 * state.mean + (1 - self.beta1) * grad
        surprise = self.beta2 * state.mean_square + (1 - self.beta2) * (grad - mean) ** 2 + self.eps
        root = xp_of(grad).sqrt(surprise / (1 - self.beta2**t)) + self.eps
        return -(self.lr * (mean / (1 - self.beta1**t)) / root), AdamState(t, mean, surprise)


@dataclass(frozen=True)
class Yogi(Rule):
    """Yogi (Zaheer et al. 2018): the second moment changes by a fraction of g^2, whatever its own size.

    S <- S - (1 - beta2)*sign(S - g^2)*g^2;  w <- w - lr*v/(sqrt(s) + eps), with V, v and s as in Adam
    uncorrected: eps/sqrt(1 - beta2^t) for eps, as in Adam

    The paper (algorithm 2) corrects neither moment for its start, bias_correction False; optax and TensorFlow Addons
    correct both.
    initial_accumulator is the start of both moments in optax.yogi, and of the second alone in TensorFlow Addons,
    which has eps_placement uncorrected. The paper starts V at 0 and S at the squared gradient of a large batch; 1e-6 is
    its authors' later default.
    """

    name = "yogi"
    lr: LearningRate = 0.01
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Eps = 1e-3
    initial_accumulator: Annotated[float, Ge(0), Doc("where the moments start")] = 1e-6
    accumulators: Annotated[Literal["both", "second"], Doc("moments that start there; others start at 0")] = "both"
    eps_placement: CorrectedEps = "outside"
    bias_correction: Annotated[bool, Doc("correct both moments for their start at zero")] = True

    @property
    def formula(self) -> str:
        both = "V0 = initial_accumulator;  " if self.accumulators == "both" else ""
        corrected = (
            f"v = V/(1-beta1^t);  s = S/(1-beta2^t);  w <- w - lr*v/({_ADAM_ROOT[self.eps_placement]})"
            if self.bias_correction
            else "w <- w - lr*V/(sqrt(S) + eps)"
        )
        return (
            f"{both}S0 = initial_accumulator;  V <- beta1*V + (1-beta1)*g;  "
            f"S <- S - (1-beta2)*sign(S - g^2)*g^2;  {corrected}"
        )

    def init(self, x: Array) -> AdamState:
        zeros = xp_of(x).zeros_like(x)
        start = zeros + self.initial_accumulator
        return AdamState(0, start if self.accumulators == "both" else zeros, start)

    def update(self, grad: Array, state: AdamState) -> tuple[Array, AdamState]:
        xp = xp_of(grad)
        t = state.steps + 1
        square = grad**2
        mean = self.beta1 * state.mean + (1 - self.beta1) * grad
        mean_square = state.mean_square - (1 - self.beta2) * xp.sign(state.mean_square - square) * square
        later = AdamState(t, mean, mean_square)
        if not self.bias_correction:
            return -(self.lr * mean / (xp.sqrt(mean_square) + self.eps)), later
        correction = 1 - self.beta2**t
        eps = self.eps if self.eps_placement == "outside" else self.eps / correction**0.5
        root = xp.sqrt(mean_square / correction) + eps
        return -(self.lr * (mean / (1 - self.beta1**t)) / root), later


@dataclass(frozen=True)
class Adopt(TwoMoments):
    """ADOPT (Taniguchi et al. 2024): the gradient over the root of the second moment before it, averaged.

    The first step moves nothing: S <- g^2. From then on, with n = t - 1,
    V <- beta1*V + (1 - beta1)*clip(g/max(sqrt(S), eps), -n^(1/4), n^(1/4));  w <- w - lr*V
    S <- beta2*S + (1 - beta2)*g^2

    Converges with any beta2 (the paper's theorem); Adam does not. As optax.contrib.adopt.
    """

    name = "adopt"
    lr: LearningRate = 0.001
    beta1: Decay = 0.9
    beta2: Decay = 0.9999
    eps: Eps = 1e-6
    clip: Annotated[bool, Doc("limit the scaled gradient to (t-1)^(1/4), as the paper's code does")] = True

    @property
    def formula(self) -> str:
        ratio = "g/max(sqrt(S), eps)"
        clipped = f"clip({ratio}, -(t-1)^0.25, (t-1)^0.25)" if self.clip else ratio
        return (
            f"d = where(t > 1, {clipped}, 0);  V <- beta1*V + (1-beta1)*d;  "
            "S <- where(t > 1, beta2*S + (1-beta2)*g^2, g^2);  w <- w - lr*V"
        )

    def update(self, grad: Array, state: AdamState) -> tuple[Array, AdamState]:
        xp = xp_of(grad)
        first, later = state.steps == 0, state.steps > 0
        root = xp.sqrt(state.mean_square)
        ratio = later * (grad / (xp.where(root > self.eps, root, xp.zeros_like(root) + self.eps) + first))
        if self.clip:
            limit = state.steps**0.25
            ratio = xp.clip(ratio, -limit, limit)
        mean = self.beta1 * state.mean + (1 - self.beta1) * ratio
        keep = later * self.beta2
        mean_square = keep * state.mean_square + (1 - keep) * grad**2
        return -(self.lr * mean), AdamState(state.steps + 1, mean, mean_square)


@dataclass(frozen=True)
class LaProp(TwoMoments):
    """LaProp (Ziyin, Wang & Ueda 2020): Adam with the division first and the averaging after it.

    V <- beta1*V + (1 - beta1)*g/(sqrt(s) + eps);  w <- w - lr*V/(1 - beta1^t), with s as in Adam

    An old gradient keeps the scale of its own time, so any beta1 is stable with any beta2.
    """

    name = "laprop"
    formula = (
        "S <- beta2*S + (1-beta2)*g^2;  s = S/(1-beta2^t);  "
        "V <- beta1*V + (1-beta1)*g/(sqrt(s) + eps);  w <- w - lr*V/(1-beta1^t)"
    )
    lr: LearningRate = 4e-4
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Eps = 1e-15

    def update(self, grad: Array, state: AdamState) -> tuple[Array, AdamState]:
        t = state.steps + 1
        mean_square = self.beta2 * state.mean_square + (1 - self.beta2) * grad**2
        ratio = grad / (xp_of(grad).sqrt(mean_square / (1 - self.beta2**t)) + self.eps)
        mean = self.beta1 * state.mean + (1 - self.beta1) * ratio
        return -(self.lr * mean / (1 - self.beta1**t)), AdamState(t, mean, mean_square)
