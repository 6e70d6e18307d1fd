"""Update rules: one small frozen class each, its fields are the hyper-parameters.

The step API, for use without the command line:

    rule = ALGORITHMS["adam"](lr=0.1)
    state = rule.init(x)
    step, state = rule.update(gradient, state)
    x = x + step

Rules are pure and element-wise. Arrays have shape (..., d); a hyper-parameter may be an array that broadcasts
against them, so a map over a million settings is one call. The same lines run on torch tensors, which is how
a rule that torch.optim lacks trains a network.

Where the literature has several forms of a rule, the form is a field. Defaults are the literature's.
"""

import sys
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol

from annotated_doc import Doc
from annotated_types import Ge, Gt, Lt

Array = Any  # numpy.ndarray or torch.Tensor of shape (..., d)

LearningRate = Annotated[float, Gt(0), Doc("learning rate: the factor of every step")]
Decay = Annotated[float, Ge(0), Lt(1), Doc("share of a moving average that is kept at each step")]
Eps = Annotated[float, Ge(0), Doc("small number that keeps a division finite")]


def _xp(array: Array) -> Any:
    """The module whose functions fit the array: numpy, or torch (which is then loaded already)."""
    return sys.modules[type(array).__module__]


class Algorithm(Protocol):
    """An update rule; its fields are hyper-parameters, its state is a NamedTuple."""

    name: ClassVar[str]

    @property
    def formula(self) -> str:
        """The rule in the form that runs, as text; `g` is the gradient at w."""

    def init(self, x: Array) -> Any:
        """The state before the first step from x."""

    def update(self, grad: Array, state: Any) -> tuple[Array, Any]:
        """The step to add to x, given the gradient at x, and the next state."""


class NoState(NamedTuple):
    """Nothing is remembered between steps."""


@dataclass(frozen=True)
class SGD:
    """Gradient descent (Cauchy 1847): a step against the gradient.

    w <- w - lr*g
    """

    name: ClassVar[str] = "sgd"
    lr: LearningRate = 0.01

    @property
    def formula(self) -> str:
        return "w <- w - lr*g"

    def init(self, x: Array) -> NoState:
        return NoState()

    def update(self, grad: Array, state: NoState) -> tuple[Array, NoState]:
        return -(self.lr * grad), state


class MomentumState(NamedTuple):
    velocity: Array  # (..., d)


@dataclass(frozen=True)
class Momentum:
    """Gradient descent with momentum (Polyak 1964), in two forms.

    classic: V <- beta*V + g             (heavy ball; torch.optim.SGD(momentum=beta))
    ema:     V <- beta*V + (1 - beta)*g  (moving average of gradients, without bias correction)
    w <- w - lr*V

    The two trace the same path when the learning rate of `ema` is 1/(1 - beta) times that of `classic`.
    """

    name: ClassVar[str] = "momentum"
    lr: LearningRate = 0.01
    beta: Decay = 0.9
    form: Annotated[Literal["classic", "ema"], Doc("how a gradient enters the velocity")] = "classic"

    @property
    def formula(self) -> str:
        gradient = {"classic": "g", "ema": "(1-beta)*g"}[self.form]
        return f"V <- beta*V + {gradient};  w <- w - lr*V"

    def init(self, x: Array) -> MomentumState:
        return MomentumState(_xp(x).zeros_like(x))

    def update(self, grad: Array, state: MomentumState) -> tuple[Array, MomentumState]:
        scaled = grad if self.form == "classic" else (1 - self.beta) * grad
        velocity = self.beta * state.velocity + scaled
        return -(self.lr * velocity), MomentumState(velocity)


class RMSPropState(NamedTuple):
    mean_square: Array  # (..., d)


@dataclass(frozen=True)
class RMSProp:
    """RMSProp (Tieleman & Hinton 2012, lecture 6e): the gradient divided by its recent root mean square.

    S <- decay*S + (1 - decay)*g^2
    inside:  w <- w - lr*g/sqrt(S + eps)    (Keras, optax)
    outside: w <- w - lr*g/(sqrt(S) + eps)  (torch.optim.RMSprop)

    The lecture has no eps; its place is a choice of later code.
    """

    name: ClassVar[str] = "rmsprop"
    lr: LearningRate = 0.001
    decay: Decay = 0.9
    eps: Eps = 1e-8
    eps_placement: Annotated[Literal["inside", "outside"], Doc("eps inside or outside the root")] = "inside"

    @property
    def formula(self) -> str:
        root = {"inside": "sqrt(S + eps)", "outside": "(sqrt(S) + eps)"}[self.eps_placement]
        return f"S <- decay*S + (1-decay)*g^2;  w <- w - lr*g/{root}"

    def init(self, x: Array) -> RMSPropState:
        return RMSPropState(_xp(x).zeros_like(x))

    def update(self, grad: Array, state: RMSPropState) -> tuple[Array, RMSPropState]:
        sqrt = _xp(grad).sqrt
        mean_square = self.decay * state.mean_square + (1 - self.decay) * grad**2
        root = sqrt(mean_square + self.eps) if self.eps_placement == "inside" else sqrt(mean_square) + self.eps
        return -(self.lr * grad / root), RMSPropState(mean_square)


class AdamState(NamedTuple):
    steps: int  # done so far
    mean: Array  # (..., d): V, the first moment
    mean_square: Array  # (..., d): S, the second moment


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, algorithm 1): momentum and RMSProp, both corrected for their start at zero.

    V <- beta1*V + (1 - beta1)*g;  v = V/(1 - beta1^t)
    S <- beta2*S + (1 - beta2)*g^2;  s = S/(1 - beta2^t)
    outside: w <- w - lr*v/(sqrt(s) + eps)  (the paper, torch.optim.Adam, optax)
    inside:  w <- w - lr*v/sqrt(s + eps)
    added:   w <- w - lr*(v/sqrt(s) + eps)  (the published exercise: eps shifts every step, it guards nothing)

    With `added`, a coordinate whose gradients were all exactly zero stays where it is but for lr*eps.
    """

    name: ClassVar[str] = "adam"
    lr: LearningRate = 0.001
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Eps = 1e-8
    eps_placement: Annotated[
        Literal["outside", "inside", "added"], Doc("eps outside the root, inside it, or added to the ratio")
    ] = "outside"

    @property
    def formula(self) -> str:
        step = {"outside": "v/(sqrt(s) + eps)", "inside": "v/sqrt(s + eps)", "added": "(v/sqrt(s) + eps)"}
        return (
            "V <- beta1*V + (1-beta1)*g;  S <- beta2*S + (1-beta2)*g^2;  "
            f"v = V/(1-beta1^t);  s = S/(1-beta2^t);  w <- w - lr*{step[self.eps_placement]}"
        )

    def init(self, x: Array) -> AdamState:
        zeros = _xp(x).zeros_like(x)
        return AdamState(0, zeros, zeros)

    def update(self, grad: Array, state: AdamState) -> tuple[Array, AdamState]:
        xp = _xp(grad)
        t = state.steps + 1
        mean = self.beta1 * state.mean + (1 - self.beta1) * grad
        mean_square = self.beta2 * state.mean_square + (1 - self.beta2) * grad**2
        v = mean / (1 - self.beta1**t)
        s = mean_square / (1 - self.beta2**t)
        if self.eps_placement == "outside":
            ratio = v / (xp.sqrt(s) + self.eps)
        elif self.eps_placement == "inside":
            ratio = v / xp.sqrt(s + self.eps)
        else:
            # 0/0 where no gradient has been seen yet: nothing is known there, so nothing moves.
            ratio = xp.where(s > 0, v / xp.sqrt(xp.where(s > 0, s, 1.0)), 0.0) + self.eps
        return -(self.lr * ratio), AdamState(t, mean, mean_square)


ALGORITHMS: dict[str, type[Algorithm]] = {rule.name: rule for rule in (SGD, Momentum, RMSProp, Adam)}
