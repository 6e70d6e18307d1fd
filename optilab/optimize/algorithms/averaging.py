"""Rules with two points, a fast and an averaged one: schedule-free learning and Lookahead."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt

from optilab.optimize.algorithms.adam import Adam
from optilab.optimize.algorithms.rule import Array, Decay, Eps, LearningRate, Rule, WeightDecay, xp_of

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

    name: ClassVar[str] = "schedule-free-sgd"
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

    name: ClassVar[str] = "schedule-free-adamw"
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
    """Lookahead (Zhang et al. 2019): after every few steps of another rule, go back part of the way.

    w follows the wrapped rule; at every sync_period-th step: z <- z + slow_step_size*(w - z);  w <- z

    The wrapped rule keeps its state, as optax.lookahead does; the path shown is the fast one.
    """

    name: ClassVar[str] = "lookahead"
    base: Annotated[Rule, Doc("the rule that is wrapped")] = _ADAM
    sync_period: Annotated[int, Ge(1), Doc("steps between two returns")] = 5
    slow_step_size: Annotated[float, Gt(0), Le(1), Doc("part of the way that is kept")] = 0.5

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.base.needs

    @property
    def weights(self) -> Literal["joined", "each", "matrices"]:  # type: ignore[override]
        return self.base.weights

    def for_weights(self, shapes: Sequence[Sequence[int]]) -> list[Rule]:
        """Of a rule for matrices: the rule of each weight, each with its own slow point."""
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


ENTRIES = (ScheduleFreeSGD, ScheduleFreeAdamW, Lookahead)
