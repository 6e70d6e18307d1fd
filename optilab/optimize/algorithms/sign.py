"""Rules that use the sign of the gradient and not its size."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

from annotated_doc import Doc
from annotated_types import Gt, Lt

from optilab.optimize.algorithms.momentum import MomentumState
from optilab.optimize.algorithms.rule import Array, Decay, LearningRate, NoState, Rule, WeightDecay, xp_of


@dataclass(frozen=True)
class SignSGD(Rule):
    """Sign descent (Bernstein et al. 2018): every coordinate moves by exactly lr.

    w <- w - lr*sign(g)
    """

    name: ClassVar[str] = "signsgd"
    lr: LearningRate = 0.001

    @property
    def formula(self) -> str:
        return "w <- w - lr*sign(g)"

    def init(self, x: Array) -> NoState:
        return NoState()

    def update(self, grad: Array, state: NoState) -> tuple[Array, NoState]:
        return -(self.lr * xp_of(grad).sign(grad)), state


@dataclass(frozen=True)
class Signum(Rule):
    """Signum (Bernstein et al. 2018): the sign of the moving average of gradients.

    V <- beta*V + (1 - beta)*g;  w <- w - lr*sign(V)
    """

    name: ClassVar[str] = "signum"
    lr: LearningRate = 0.001
    beta: Decay = 0.9

    @property
    def formula(self) -> str:
        return "V <- beta*V + (1-beta)*g;  w <- w - lr*sign(V)"

    def init(self, x: Array) -> MomentumState:
        return MomentumState(xp_of(x).zeros_like(x))

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

    name: ClassVar[str] = "lion"
    lr: LearningRate = 1e-4
    beta1: Decay = 0.9
    beta2: Decay = 0.99
    weight_decay: WeightDecay = 0.0

    @property
    def formula(self) -> str:
        return "d = sign(beta1*V + (1-beta1)*g);  V <- beta2*V + (1-beta2)*g;  w <- w - lr*(d + weight_decay*w)"

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

    name: ClassVar[str] = "rprop"
    lr: Annotated[float, Gt(0), Doc("first step size of every coordinate")] = 0.01
    eta_minus: Annotated[float, Gt(0), Lt(1), Doc("factor of the step size when the sign changes")] = 0.5
    eta_plus: Annotated[float, Gt(1), Doc("factor of the step size while the sign stays")] = 1.2
    step_min: Annotated[float, Gt(0), Doc("smallest step size")] = 1e-6
    step_max: Annotated[float, Gt(0), Doc("largest step size")] = 50.0

    @property
    def formula(self) -> str:
        return (
            "D0 = lr;  s = where(g*p > 0, eta_plus, where(g*p < 0, eta_minus, 1));  "
            "D <- clip(s*D, step_min, step_max);  "
            "p <- where(g*p < 0, 0, g);  w <- w - D*sign(p)"
        )

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


ENTRIES = (SignSGD, Signum, Lion, Rprop)
