"""Convergence on a quadratic: stability, the rate per step, and the best settings, in closed form.

On f(w) = (w - m)'A(w - m)/2 a rule whose step is linear (sgd, momentum, nesterov, qhm) splits into one recurrence per
eigenvalue a of A: (w, velocity) is multiplied by a 2 x 2 matrix at each step. The matrix's spectral radius r decides:
for r < 1 the distance shrinks by the factor r per step in the long run (Polyak 1964; Lessard, Recht & Packard 2016).
Other rules have no formula here; their rate can be measured.
"""

from cmath import phase
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import inf, nan, pi, sqrt
from typing import Any, NamedTuple

import numpy as np

from optilab.errors import UsageError
from optilab.optimize.formula import ZERO, Node, derivative, nodes_of, operations_of, put_in, symbols
from optilab.optimize.functions import Quadratic
from optilab.optimize.objective import Floats, Objective, is_quadratic
from optilab.optimize.operations import JOINT, JUMPS
from optilab.optimize.program import Program, evaluate
from optilab.optimize.rule import settings_in_formula
from optilab.optimize.rules import SGD, Momentum, Nesterov

MAX_ROUNDING = 1e-9
"""A learning rate is at the limit of stability within this fraction of it."""


MAX_ROUNDED_ANGLE = 1e-6
"""The largest angle of an eigenvalue that rounding can give to a double one, whose error is the root of rounding's."""


class LinearStep(NamedTuple):
    """V <- decay*V + gain*g;  w <- w - lr*(gradient*g + velocity*V), with the new V; numbers, or arrays of settings.

    `preconditioner`: None for all but adaptive rules, whose coordinates it scales, (..., d): it divides the velocity,
    or the gradient where there is none.
    """

    decay: Any
    gain: Any
    gradient: Any
    velocity: Any
    preconditioner: Any = None

    def matrices(self, lr: Any, eigenvalues: Floats) -> Floats:
        """One step of (w, velocity) per eigenvalue of the Hessian, (..., n, 2, 2)."""
        # V <- decay*V + gain*a*w;  w <- w - lr*(gradient*a*w + velocity*V)
        a = np.asarray(eigenvalues)
        into = self.gain * a
        rows = [
            [1 - lr * (self.gradient * a + self.velocity * into), -lr * self.velocity * self.decay],
            [into, self.decay],
        ]
        shape = np.broadcast_shapes(*(np.shape(entry) for row in rows for entry in row))
        return np.stack([np.stack([np.broadcast_to(e, shape) for e in row], axis=-1) for row in rows], axis=-2)

    @property
    def limit(self) -> Any:
        """The product of learning rate and curvature at which the step stops converging; 0 where it does not converge
        at small ones. sgd: 2. momentum: 2(1 + beta), for the form `ema` divided by 1 - beta.

        With p = decay and x the product, the eigenvalues of the matrix are inside the unit circle if its characteristic
        polynomial is positive at 1 and at -1, and its determinant, p - x*gradient*p, is below 1 (Jury 1964).
        """
        p, through = self.decay, self.gain * self.velocity
        with np.errstate(all="ignore"):
            at_minus_one = np.divide(2 * (1 + p), self.gradient * (1 + p) + through)
            of_pair = np.divide(1 - p, -self.gradient * p)
        largest = np.minimum(*(np.where(limit > 0, limit, np.inf) for limit in (at_minus_one, of_pair)))
        return np.where((np.abs(p) < 1) & (self.gradient * (1 - p) + through > 0), largest, 0.0)


@dataclass(frozen=True)
class ConvergenceRate:
    """The long-run factor of the distance per step, and the setting of lr (and beta) that makes it smallest."""

    rate: float
    largest_lr: float
    """The limit of stability with the rule's other settings; beyond it all starts but those of a subspace diverge."""
    best: dict[str, float]
    """The best lr of sgd; the best pair of lr and beta of momentum and nesterov."""
    best_rate: float
    eigenvalue_gap: float
    """The relative distance of the two eigenvalues that decide the rate; 0 is a defective matrix, whose distance
    falls like k*rate^k in step k, more slowly than rate^k."""
    unstable_fraction: float
    """The largest part of the start, as a fraction of its distance, in a direction that the rule does not shrink."""
    factors: tuple[float, float] | None
    """1 - lr*curvature of gradient descent along the flattest and along the steepest direction; None of others."""
    stable: bool
    """True below the largest lr, also where a rate just below 1 is rounded to 1."""


MAX_DERIVED = 50


def curvatures(function: Objective) -> Floats | None:
    """The eigenvalues of the Hessian, ascending, of a quadratic with one minimum; else None.

    A formula counts as quadratic up to `MAX_DERIVED` coordinates: its second derivatives are derived one by one.
    """
    is_derived = len(function.start) <= MAX_DERIVED and is_quadratic(function)
    if not (isinstance(function, Quadratic) or is_derived) or not len(function.minima):
        return None
    eigenvalues = np.asarray(np.linalg.eigvalsh(function.hessian(np.array(function.start))), dtype=np.float64)
    return eigenvalues if eigenvalues[0] > 1e-12 * eigenvalues[-1] else None


def predict(rule: Any, function: Objective, start: Any = None) -> ConvergenceRate | None:
    """The prediction for the rule on the function; None for another function, and for a rule without a formula here
    or one that is not stable at small learning rates."""
    eigenvalues, step = curvatures(function), linear_step(rule)
    if eigenvalues is None or step is None or not step.limit > 0:
        return None
    with np.errstate(all="ignore"):  # an absurd lr is an infinite rate, not a warning
        matrices, limits = step.matrices(rule.lr, eigenvalues), step.limit / eigenvalues
        radii = np.nan_to_num(spectral_radius(matrices), nan=np.inf)
        rate = float(radii.max())
        pair = np.linalg.eigvals(
            np.nan_to_num(matrices[int(radii.argmax())], nan=1e308, posinf=1e308, neginf=-1e308)
        )
        gap = float(np.abs(pair[0] - pair[1]) / rate) if 0 < rate < np.inf else 1.0
    best, best_rate = _best(rule, float(eigenvalues[0]), float(eigenvalues[-1]))
    unstable = _unstable_fraction(function, start, rule.lr >= limits)
    is_descent = (step.gradient, step.velocity) == (1, 0)
    factors = (float(matrices[0, 0, 0]), float(matrices[-1, 0, 0])) if is_descent else None
    largest, stable = float(limits[-1]), bool(rule.lr < limits[-1])
    return ConvergenceRate(rate, largest, best, best_rate, gap, unstable, factors, stable)


def _unstable_fraction(function: Objective, start: Any, directions: Any) -> float:
    """The largest component of start - minimum along the chosen eigenvectors of the Hessian, over its length."""
    start = np.array(function.start if start is None else start, dtype=float)
    offset = start - np.array(function.minima[0])
    axes = np.linalg.eigh(function.hessian(start))[1]
    length = np.linalg.norm(offset)
    return float((np.abs(offset @ axes) * directions).max() / length) if length else 0.0


class Motion(NamedTuple):
    """The motion along one direction of a quadratic in the long run: a step multiplies the distance to the minimum by
    `factor`, of a complex pair the one with a positive imaginary part."""

    direction: Floats
    """(d,), of length 1."""
    curvature: float
    factor: complex

    @property
    def period(self) -> float:
        """The steps of one oscillation around the minimum: 2 for a negative factor, inf for a positive one."""
        angle = phase(self.factor)
        return 2 * pi / angle if angle else inf


def motions(rule: Any, function: Objective, frozen: LinearStep | None = None) -> list[Motion]:
    """The motion along each direction of a quadratic, the flattest first; none without a theory.

    `frozen`: the step of an adaptive rule (`frozen_step`), whose directions are those of D^-1/2 H D^-1/2 with D its
    preconditioner; they are coordinates where those of H are.
    """
    step = frozen or linear_step(rule)
    if curvatures(function) is None or step is None:
        return []
    hessian = function.hessian(np.array(function.start))
    scale = np.ones(len(hessian)) if step.preconditioner is None else 1 / np.sqrt(step.preconditioner)
    with np.errstate(all="ignore"):
        scaled = hessian * np.outer(scale, scale)
        if not np.isfinite(scaled).all():
            return []
        eigenvalues, axes = np.linalg.eigh(scaled)
        matrices = step.matrices(rule.lr, eigenvalues)
    if not np.isfinite(matrices).all():
        return []
    rows = zip(axes.T, np.linalg.eigvals(matrices), strict=True)
    of_function = [(axis, float(axis @ hessian @ axis), _factor(pair)) for axis, pair in rows]
    return sorted((Motion(*row) for row in of_function), key=lambda motion: motion.curvature)


def _factor(pair: Any) -> complex:
    """The larger of two eigenvalues; those of a double one, which rounding makes a pair, are real."""
    factor = complex(max(pair, key=lambda value: (abs(value), value.imag)))
    is_real = abs(factor.imag) <= MAX_ROUNDED_ANGLE * abs(factor)
    return complex(factor.real) if is_real else factor


def is_unstable(rule: Any, function: Objective) -> Any:
    """True above the rule's limit of stability on a quadratic; False where there is no such limit.

    The settings may be arrays (..., 1), for an answer (...).
    """
    eigenvalues, step = curvatures(function), linear_step(rule)
    if eigenvalues is None or step is None:
        return False
    limit = step.limit / eigenvalues[-1]
    unstable = np.asarray((limit > 0) & (rule.lr > limit * (1 + MAX_ROUNDING)))
    return unstable[..., 0] if unstable.ndim else bool(unstable)


def best_rates(function: Objective) -> dict[str, float] | None:
    """The smallest factors per step that gradient descent and momentum can reach; None unless it is a quadratic."""
    eigenvalues = curvatures(function)
    if eigenvalues is None:
        return None
    return {
        rule.name: _best(rule, float(eigenvalues[0]), float(eigenvalues[-1]))[1] for rule in (SGD(), Momentum())
    }


class Slopes(NamedTuple):
    """The derivatives of a step, as expressions: of the velocity's update by itself and by g, and of the next w by w,
    by g and by the new velocity. All other states are held after their update. `rest` are the velocity's update and the
    next w where w, g and the velocity are 0."""

    velocity: str | None
    decay: Node
    gain: Node
    point: Node
    gradient: Node
    by_velocity: Node
    rest: tuple[Node, ...]


@cache
def slopes_of(program: Program) -> Slopes | None:
    """None for a formula that is not differentiable here, or has more than one velocity.

    A velocity is a state whose update is linear in the gradient and free of w, and in which the next w is linear. It is
    renewed once, and read only after that.
    """
    if program.needs or any(operations_of(statement.node) & JOINT for statement in program.body):
        return None
    values: dict[str, Node] = {}
    updates: dict[str, Node] = {}
    earlier: set[str] = set()
    early: set[str] = set()  # states that were read or renewed before their last update
    for statement in program.body:
        node = put_in(statement.node, values)
        if statement.target in program.states:
            early |= {statement.target} & earlier
            updates[statement.target] = node
        else:
            values[statement.target] = node
        earlier |= {statement.target} | symbols(statement.node)
    after = values["w"]
    velocities: list[tuple[str | None, Node, Node, Node]] = []
    try:
        for state, update in updates.items():
            gain, by_state = derivative(update, "g"), derivative(after, state)
            if ZERO not in (gain, by_state) and "g" not in symbols(gain) and state not in symbols(by_state):
                velocities.append((state, derivative(update, state), gain, by_state))
        name, decay, gain, by_state = velocities[0] if velocities else (None, ZERO, ZERO, ZERO)
        point, gradient = derivative(after, "w"), derivative(after, "g")
    except UsageError:  # an operation without a derivative
        return None
    if len(velocities) > 1 or name in early or (name is None and gradient == ZERO):
        return None
    moving = {"w", "g", *([name] if name else ())}
    steps = (updates[name], after) if name else (after,)
    derivatives = (decay, gain, point, gradient, by_state)
    if any(moving & symbols(node) for node in derivatives) or any(_jumps(node, moving) for node in steps):
        return None
    if name and derivative(updates[name], "w") != ZERO:
        return None
    at_zero = dict.fromkeys(moving, ZERO)
    return Slopes(name, *derivatives, tuple(put_in(node, at_zero) for node in steps))


def _jumps(node: Node, names: set[str]) -> bool:
    """True if a comparison or a sign of one of the names is in the expression; calculus does not see its jump."""
    jumps = (part for part in nodes_of(node) if part.op in JUMPS)
    return any(names & symbols(part) for part in jumps)


def linear_step(rule: Any) -> LinearStep | None:
    """The step of a rule that is linear in w, the gradient and at most one velocity, with factors that stay, and in lr;
    else None.

    The settings may be arrays (..., 1).
    """
    slopes = slopes_of(rule.program) if rule.text and hasattr(rule, "lr") else None
    if slopes is None or rule.states != ((slopes.velocity,) if slopes.velocity else ()):
        return None
    values, (_, *derivatives, rest) = settings_in_formula(rule), slopes
    if any(symbols(node) - values.keys() for node in (*derivatives, *rest)):
        return None
    # a gradient's ways into w: at once, and through the velocity
    ways = (slopes.gradient, slopes.gain * slopes.by_velocity)
    if "lr" in symbols(slopes.decay) or any("lr" in symbols(derivative(way, "lr")) for way in ways):
        return None
    try:
        at_zero = [evaluate(node, values) for node in rest] + [evaluate(way, values | {"lr": 0.0}) for way in ways]
        decay, gain, point, gradient, by_velocity = (evaluate(node, values) for node in derivatives)
    except ZeroDivisionError:
        return None
    if np.any(point != 1) or any(map(np.any, at_zero)):
        return None
    return LinearStep(decay, gain, -gradient / rule.lr, -by_velocity / rule.lr)


def spectral_radius(matrices: Floats) -> Floats:
    """The largest |eigenvalue| of 2 x 2 matrices (..., 2, 2), in closed form."""
    size = np.abs(matrices).max(axis=(-1, -2))  # scaled, so that no square overflows
    scaled = matrices / np.where(size > 0, size, 1.0)[..., None, None]
    half = (scaled[..., 0, 0] + scaled[..., 1, 1]) / 2
    determinant = scaled[..., 0, 0] * scaled[..., 1, 1] - scaled[..., 0, 1] * scaled[..., 1, 0]
    spread = half * half - determinant
    real = np.abs(half) + np.sqrt(np.maximum(spread, 0))
    return np.asarray(size * np.where(spread >= 0, real, np.sqrt(np.maximum(determinant, 0))))


def is_adaptive(rule: Any) -> bool:
    """True if the rule has a `frozen_step`, and no linear one."""
    if not rule.text or not hasattr(rule, "lr") or linear_step(rule) is not None:
        return False
    slopes = slopes_of(rule.program)
    return slopes is not None and symbols(slopes.decay) | symbols(slopes.point) <= settings_in_formula(rule).keys()


def memory_of(rule: Any) -> list[str]:
    """The states of an adaptive rule besides its velocity, which `frozen_step` holds; none of another rule."""
    slopes = slopes_of(rule.program) if is_adaptive(rule) else None
    return [] if slopes is None else [name for name in rule.states if name != slopes.velocity]


def frozen_step(rule: Any, state: Mapping[str, Any], t: int) -> LinearStep:
    """The next steps of an adaptive rule, after t >= 1 steps, while all but its velocity stand still ("frozen Adam",
    Cohen et al. 2022, arXiv:2207.14484); `state` is by name."""
    settings = settings_in_formula(rule)
    slopes, values = slopes_of(rule.program), {**settings, **state, "t": float(t), "w": 0.0}
    assert slopes is not None
    if slopes.velocity is None:
        return LinearStep(0.0, 0.0, 1.0, 0.0, -rule.lr / evaluate(slopes.gradient, values))
    decay, gain, _, gradient, change = (evaluate(node, values) for node in slopes[1:6])
    if not symbols(slopes.gain) <= settings.keys():  # the gradient is divided before it enters the velocity
        gain, change = 1.0, gain * change
    # the same in every coordinate
    ratio = 0.0 if slopes.gradient == ZERO else float((gradient / change).reshape(-1)[0])
    return LinearStep(decay, gain, ratio, 1.0, -rule.lr / change)


def stability_limit(rule: Any, step: LinearStep | None = None) -> float | None:
    """The curvature above which the rule's steps, at its learning rate, grow along that direction of a quadratic.

    sgd: 2/lr. momentum: 2(1 + beta)/lr, for the form `ema` divided by 1 - beta (Cohen et al. 2021, arXiv:2103.00065).
    For the `step` of an adaptive rule (`frozen_step`) the limit of the preconditioned curvature, the largest eigenvalue
    of D^-1/2 H D^-1/2 with D its preconditioner; adam: (2 + 2 beta1)/((1 - beta1) lr) (Cohen et al. 2022,
    arXiv:2207.14484). None for a rule without such a step, or one whose steps grow along small curvatures, too.
    """
    step = step or linear_step(rule)
    return None if step is None else float(step.limit / rule.lr) or None


def _best(rule: Any, smallest: float, largest: float) -> tuple[dict[str, float], float]:
    """The best constant settings for curvatures between smallest and largest, and the rate they reach.

    sgd: lr = 2/(l + L), rate (k - 1)/(k + 1). momentum: Polyak's lr = (2/(sqrt l + sqrt L))^2 and
    beta = ((sqrt k - 1)/(sqrt k + 1))^2, rate sqrt(beta). nesterov: lr = 4/(3L + l), with the
    beta of its own form (Lessard et al. 2016, proposition 1). qhm: none in closed form.
    """
    condition = largest / smallest
    if rule.original is SGD:
        return {"lr": 2 / (smallest + largest)}, (condition - 1) / (condition + 1)
    if rule.original is Momentum:
        root = (sqrt(condition) - 1) / (sqrt(condition) + 1)
        beta, lr = root**2, (2 / (sqrt(smallest) + sqrt(largest))) ** 2
    elif rule.original is Nesterov:
        root = sqrt(3 * condition + 1)
        beta, lr, root = (root - 2) / (root + 2), 4 / (3 * largest + smallest), 1 - 2 / root
    else:
        return {}, float("nan")
    return {"lr": lr if rule.form == "classic" else lr / (1 - beta), "beta": beta}, root


def is_scale_invariant(rule: Any) -> bool:
    """True if a gradient times 100 makes the tenth step less than 10 times as long."""
    return _tenth_step(rule, 100.0) < 10 * _tenth_step(rule, 1.0)


def has_decoupled_decay(rule: Any, key: str = "weight_decay") -> bool:
    """True if weight decay adds the same to a step for a small and for a large gradient.

    Measured: a gradient times 100 does not change the part of a step that is due to the decay.
    """
    if not hasattr(rule, key) or not is_scale_invariant(rule):
        return False
    none, some = (replace(rule, **{key: strength}) for strength in (0.0, 1e-3))
    change, change_when_scaled = (abs(_tenth_step(some, size) - _tenth_step(none, size)) for size in (1.0, 100.0))
    return change_when_scaled > change / 2


def eps_exponent(rule: Any) -> int:
    """The power of the gradient that `eps` is added to: 1 outside of a root, 2 under it, 0 where it hardly matters.

    Measured: from which of the two on `eps` shortens a step, as it does where it is a floor of the step's denominator.
    """
    if not hasattr(rule, "eps"):
        return 0
    size = 100.0
    free, *floored = (_tenth_step(replace(rule, eps=eps), size) for eps in (1e-30, 3 * size, 3 * size**2))
    return next((power for power, step in enumerate(floored, start=1) if step < 0.9 * free), 0)


def _tenth_step(rule: Any, gradient: float) -> float:
    """Length of the tenth step by a gradient of this size; nan for a rule that cannot step here."""
    direction, point = gradient * np.array([[1.0, -1.0]]), np.ones((1, 2))
    quantities = {"diagonal": lambda w: np.abs(direction)} if "diagonal" in rule.needs else {}
    length = np.zeros(1)
    try:
        with np.errstate(all="ignore"):
            state = rule.init(point)
            for t in range(1, 11):
                after, state = rule.step(point, direction, t, state, **quantities)
                length, point = np.abs(after - point), after
    except Exception:  # the user's code, or a torch optimizer, which runs only in a training
        return nan
    return float(length.max())
