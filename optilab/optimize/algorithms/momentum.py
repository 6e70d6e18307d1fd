"""Gradient descent and momentum: one learning rate for all coordinates."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

from annotated_doc import Doc
from annotated_types import Ge, Le

from optilab.optimize.algorithms.rule import Array, Decay, LearningRate, NoState, Recurrence, Rule, xp_of

MomentumForm = Annotated[Literal["classic", "ema"], Doc("how a gradient enters the velocity")]


@dataclass(frozen=True)
class SGD(Rule):
    """Gradient descent (Cauchy 1847): a step against the gradient.

    w <- w - lr*g
    """

    name: ClassVar[str] = "sgd"
    lr: LearningRate = 0.01

    @property
    def formula(self) -> str:
        return "w <- w - lr*g"

    @property
    def recurrence(self) -> Recurrence:
        return Recurrence(0.0, 0.0, 1.0, 0.0)

    def init(self, x: Array) -> NoState:
        return NoState()

    def update(self, grad: Array, state: NoState) -> tuple[Array, NoState]:
        return -(self.lr * grad), state


class MomentumState(NamedTuple):
    velocity: Array  # (..., d)


@dataclass(frozen=True)
class Momentum(Rule):
    """Gradient descent with momentum (Polyak 1964), in two forms.

    classic: V <- beta*V + g             (heavy ball; torch.optim.SGD(momentum=beta))
    ema:     V <- beta*V + (1 - beta)*g  (moving average of gradients, without bias correction)
    w <- w - lr*V

    The two trace the same path when the learning rate of `ema` is 1/(1 - beta) times that of `classic`.
    """

    name: ClassVar[str] = "momentum"
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

    def init(self, x: Array) -> MomentumState:
        return MomentumState(xp_of(x).zeros_like(x))

    def update(self, grad: Array, state: MomentumState) -> tuple[Array, MomentumState]:
        scaled = grad if self.form == "classic" else (1 - self.beta) * grad
        velocity = self.beta * state.velocity + scaled
        return -(self.lr * velocity), MomentumState(velocity)


@dataclass(frozen=True)
class Nesterov(Rule):
    """Nesterov's accelerated gradient (1983; Sutskever et al. 2013), in the form with the gradient at w of
    Bengio, Boulanger-Lewandowski & Pascanu 2012 (arXiv:1212.0901).

    classic: V <- beta*V + g;  w <- w - lr*(g + beta*V)  (torch.optim.SGD(nesterov=True), optax.sgd)
    ema: the same with (1 - beta)*g for both g
    """

    name: ClassVar[str] = "nesterov"
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

    def init(self, x: Array) -> MomentumState:
        return MomentumState(xp_of(x).zeros_like(x))

    def update(self, grad: Array, state: MomentumState) -> tuple[Array, MomentumState]:
        scaled = grad if self.form == "classic" else (1 - self.beta) * grad
        velocity = self.beta * state.velocity + scaled
        return -(self.lr * (scaled + self.beta * velocity)), MomentumState(velocity)


@dataclass(frozen=True)
class QHM(Rule):
    """Quasi-hyperbolic momentum (Ma & Yarats 2019): a weighted mean of the gradient and its moving average.

    V <- beta*V + (1 - beta)*g;  w <- w - lr*((1 - nu)*g + nu*V)

    nu = 0 is gradient descent, nu = 1 momentum in its `ema` form, nu = beta Nesterov's in its `ema` form.
    """

    name: ClassVar[str] = "qhm"
    lr: LearningRate = 0.01
    beta: Decay = 0.999
    nu: Annotated[float, Ge(0), Le(1), Doc("weight of the velocity against the plain gradient")] = 0.7

    @property
    def formula(self) -> str:
        return "V <- beta*V + (1-beta)*g;  w <- w - lr*((1-nu)*g + nu*V)"

    @property
    def recurrence(self) -> Recurrence:
        return Recurrence(self.beta, 1 - self.beta, 1 - self.nu, self.nu)

    def init(self, x: Array) -> MomentumState:
        return MomentumState(xp_of(x).zeros_like(x))

    def update(self, grad: Array, state: MomentumState) -> tuple[Array, MomentumState]:
        velocity = self.beta * state.velocity + (1 - self.beta) * grad
        return -(self.lr * ((1 - self.nu) * grad + self.nu * velocity)), MomentumState(velocity)


ENTRIES = (SGD, Momentum, Nesterov, QHM)
