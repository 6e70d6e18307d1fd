"""Rules that look at whole weight matrices: they train networks, and a function of a vector has nothing for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from annotated_doc import Doc
from annotated_types import Ge, Gt, Lt

from optilab.optimize.algorithms.adam import AdamW
from optilab.optimize.algorithms.rule import Array, Decay, Eps, LearningRate, Rule, WeightDecay, xp_of


@dataclass(frozen=True)
class MatrixRule(Rule):
    """Base of the rules that get each weight of a network as it is shaped: a matrix (m, n) or a bias (n,)."""

    weights: ClassVar[Literal["joined", "each", "matrices"]] = "matrices"

    def for_weights(self, shapes: Sequence[Sequence[int]]) -> list[Rule]:
        """The rule of each weight, by the shapes of all of them in the network's order."""
        return [self] * len(shapes)


class MuonState(NamedTuple):
    steps: int  # done so far
    velocity: Array  # (m, n)
    x: Array  # (m, n): the weights, for the decay


_ADAMW = AdamW()
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Jordan's coefficients: singular values end between 0.68 and 1.21 instead of at 1, but in few iterations: in five, if
they were above 0.003 of the norm."""


@dataclass(frozen=True)
class Muon(MatrixRule):
    """Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025, arXiv:2502.16982): momentum, made
    orthogonal.

    V <- beta*V + (1 - beta)*G;  U = beta*V + (1 - beta)*G with nesterov, else V
    W <- W - lr*(r*orthogonal(U) + weight_decay*W), where orthogonal replaces the singular values by about 1:
    X = U/|U|, then ns_steps times X <- a*X + (b*X*X' + c*(X*X')^2)*X
    original: r = sqrt(max(1, m/n));  rms: r = 0.2*sqrt(max(m, n)), the size of AdamW's steps;  none: r = 1

    W is (m, n) from n inputs to m outputs. `others` trains biases and the first and last weight matrix (`matrices:
    all`: biases alone); a schedule applies to both rates. `corrected` divides V and G by what is missing of their
    sum of weights, as optax.contrib.muon does; torch.optim.Muon and the author's code do not. On tensors the
    iteration runs in bfloat16, as theirs does, or in the weights' own type.
    """

    name: ClassVar[str] = "muon"
    lr: LearningRate = 0.02
    beta: Decay = 0.95
    nesterov: Annotated[bool, Doc("look ahead along the velocity")] = True
    form: Annotated[
        Literal["ema", "corrected"], Doc("the moving average as it is, or corrected for its start")
    ] = "ema"
    ns_steps: Annotated[int, Ge(1), Lt(100), Doc("iterations of Newton-Schulz")] = 5
    precision: Annotated[Literal["bfloat16", "full"], Doc("number type of the iteration")] = "bfloat16"
    adjust: Annotated[Literal["original", "rms", "none"], Doc("factor of lr by the shape of the matrix")] = (
        "original"
    )
    eps: Eps = 1e-7
    weight_decay: WeightDecay = 0.0
    matrices: Annotated[Literal["hidden", "all"], Doc("those between the first and the last, or all")] = "hidden"
    others: Annotated[Rule, Doc("the rule of all other weights")] = _ADAMW

    @property
    def formula(self) -> str:
        return "V <- beta*V + (1-beta)*G, W <- W - lr*r*orthogonal(V) for each matrix"

    def for_weights(self, shapes: Sequence[Sequence[int]]) -> list[Rule]:
        numbers = [n for n, shape in enumerate(shapes) if len(shape) == 2]
        own = set(numbers if self.matrices == "all" else numbers[1:-1])
        return [self if n in own else self.others for n in range(len(shapes))]

    def init(self, x: Array) -> MuonState:
        return MuonState(0, xp_of(x).zeros_like(x), x)

    def update(self, grad: Array, state: MuonState) -> tuple[Array, MuonState]:
        t, share = state.steps + 1, 1 - self.beta
        velocity = self.beta * state.velocity + share * grad
        direction, now = velocity, grad
        if self.form == "corrected":
            direction = velocity / (1 - self.beta ** (t + self.nesterov))
            now = grad / (1 - self.beta**t)
        if self.nesterov:
            direction = self.beta * direction + share * now
        m, n = grad.shape
        factor = {"original": sqrt(max(1, m / n)), "rms": 0.2 * sqrt(max(m, n)), "none": 1.0}[self.adjust]
        orthogonal = _orthogonal(direction, self.ns_steps, self.eps, self.precision)
        step = -(self.lr * factor * orthogonal + self.lr * self.weight_decay * state.x)
        return step, MuonState(t, velocity, state.x + step)


def _orthogonal(matrix: Array, steps: int, eps: float, precision: str) -> Array:
    """Newton-Schulz iteration of fifth order towards the nearest matrix with orthonormal rows or columns."""
    (a, b, c), xp = NEWTON_SCHULZ, xp_of(matrix)
    on_tensors = xp.__name__ == "torch"
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    if on_tensors and precision == "bfloat16":
        x = x.bfloat16()
    size = (x * x).sum() ** 0.5 if not on_tensors else x.norm()
    x = x / xp.maximum(size, 0 * size + eps)
    for _ in range(steps):
        gram = x @ x.T
        if on_tensors:  # fused, as torch.optim.Muon computes it: in bfloat16 every rounding shows
            x = xp.addmm(x, xp.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        else:
            x = a * x + (b * gram + c * (gram @ gram)) @ x
    return (x if wide else x.T).to(matrix.dtype) if on_tensors else x if wide else x.T


class AdafactorState(NamedTuple):
    steps: int  # done so far
    rows: Array  # (m, 1): mean square of each row; of a bias (n,) the squares themselves
    columns: Any  # (1, n): mean square of each column; None for a bias
    x: Array  # the weights


@dataclass(frozen=True)
class Adafactor(MatrixRule):
    """Adafactor (Shazeer & Stern 2018, arXiv:1804.04235): a second moment of m + n numbers for a matrix of m*n.

    R and C are moving averages of the mean squares of rows and columns, with the share t^(-decay_exponent) of the
    newest;  S = R*C/mean(R);  U = G/sqrt(S);  W <- W - k*U/max(1, rms(U)/clip), k = p*max(eps_weights, rms(W))
    bounded: p = min(lr, 1/sqrt(t))  (the paper, torch.optim.Adafactor);  constant: p = lr  (optax.adafactor)
    added: eps is added to G^2  (the paper, optax);  clamped: S is at least eps^2, mean(R) at least eps  (torch)

    Biases have the whole S. weight_decay takes lr*weight_decay*W, as in torch. Without momentum, as in both.
    """

    name: ClassVar[str] = "adafactor"
    lr: LearningRate = 0.01
    decay_exponent: Annotated[float, Gt(0), Doc("the share of the newest square is t to minus this")] = 0.8
    eps: Eps = 1e-30
    eps_weights: Annotated[float, Ge(0), Doc("smallest size of the weights that steps are relative to")] = 1e-3
    clip: Annotated[float, Gt(0), Doc("largest root mean square of U")] = 1.0
    step_size: Annotated[Literal["bounded", "constant"], Doc("lr limited to 1/sqrt(t), or lr")] = "bounded"
    eps_placement: Annotated[Literal["added", "clamped"], Doc("eps added to G^2, or a lower limit of S")] = "added"
    weight_decay: WeightDecay = 0.0

    @property
    def formula(self) -> str:
        return "S = R*C/mean(R) from moving averages over rows and columns of G^2, W <- W - k*G/sqrt(S)"

    def init(self, x: Array) -> AdafactorState:
        zeros = xp_of(x).zeros_like(x)
        if x.ndim < 2:
            return AdafactorState(0, zeros, None, x)
        return AdafactorState(0, zeros[:, :1], zeros[:1], x)

    def update(self, grad: Array, state: AdafactorState) -> tuple[Array, AdafactorState]:
        xp, t = xp_of(grad), state.steps + 1
        share = t**-self.decay_exponent
        added, least = (self.eps, 0.0) if self.eps_placement == "added" else (0.0, self.eps)
        square = grad**2 + added
        if state.columns is None:
            rows, columns = (1 - share) * state.rows + share * square, None
            estimate = rows
        else:
            rows = (1 - share) * state.rows + share * square.mean(-1)[:, None]
            columns = (1 - share) * state.columns + share * square.mean(0)[None]
            mean = rows.mean()
            # Divided first: the product of two small means underflows in single precision.
            estimate = rows / xp.maximum(mean, 0 * mean + least) * columns
        update = grad / xp.maximum(estimate, 0 * estimate + least**2) ** 0.5
        size, weight = (update**2).mean() ** 0.5 / self.clip, (state.x**2).mean() ** 0.5
        rate = min(self.lr, t**-0.5) if self.step_size == "bounded" else self.lr
        rate = rate * xp.maximum(weight, 0 * weight + self.eps_weights) / xp.maximum(size, 0 * size + 1)
        step = -(rate * update + self.lr * self.weight_decay * state.x)
        return step, AdafactorState(t, rows, columns, state.x + step)


ENTRIES = (Muon, Adafactor)
