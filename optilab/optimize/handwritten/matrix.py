"""Rules for the weight matrices of a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Any, Literal, NamedTuple

from annotated_doc import Doc
from annotated_types import Ge, Gt, Lt

from optilab.optimize.handwritten.adam import AdamW
from optilab.optimize.rule import Array, Decay, Eps, LearningRate, Rule, WeightDecay, xp_of


@dataclass(frozen=True)
class MatrixRule(Rule):
    """Base of the rules that get each weight of a network as it is shaped: a matrix (m, n) or a bias (n,)."""

    weights = "matrices"

    def for_weights(self, shapes: Sequence[Sequence[int]]) -> list[Rule]:
        """The rule of each weight, by the shapes of all of them, frozen ones included, in the network's order."""
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

    W is (m, n) from n inputs to m outputs. `others` trains biases and the network's first and last weight matrix
    (`matrices: all`: biases alone); a schedule applies to both rates. `corrected` divides V and G by what is missing of
    their sum of weights, as optax.contrib.muon does; torch.optim.Muon and the author's code do not. On tensors the
    iteration runs in bfloat16, as theirs does, or in the weights' own type; on a CPU without bfloat16 instructions
    (`lscpu` lists avx512_bf16 or amx_bf16) bfloat16 takes 10 to 20 times as long as `precision: full`.
    """

    name = "muon"
    formula = "V <- beta*V + (1-beta)*G, W <- W - lr*r*orthogonal(V) for each matrix"
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
    others: Annotated[Rule, Doc("the optimizer of all other weights")] = _ADAMW

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

    R and C are moving averages of the mean squares of rows and columns, with the fraction t^(-decay_exponent) of the
    newest;  S = R*C/mean(R);  U = G/sqrt(S);  W <- W - k*U/max(1, rms(U)/clip), k = p*max(eps_weights, rms(W))
    bounded: p = min(lr, 1/sqrt(t))  (the paper, torch.optim.Adafactor);  constant: p = lr  (optax.adafactor)
    added: eps is added to G^2  (the paper, optax);  clamped: S is at least eps^2, mean(R) at least eps  (torch)

    Biases have the whole S. weight_decay takes lr*weight_decay*W, as in torch. Without momentum, as in both.
    """

    name = "adafactor"
    formula = "S = R*C/mean(R) from moving averages over rows and columns of G^2, W <- W - k*G/sqrt(S)"
    lr: LearningRate = 0.01
    decay_exponent: Annotated[float, Gt(0), Doc("the fraction of the newest square is t to minus this")] = 0.8
    eps: Eps = 1e-30
    eps_weights: Annotated[float, Ge(0), Doc("smallest size of the weights that steps are relative to")] = 1e-3
    clip: Annotated[float, Gt(0), Doc("largest root mean square of U")] = 1.0
    step_size: Annotated[Literal["bounded", "constant"], Doc("lr limited to 1/sqrt(t), or lr")] = "bounded"
    eps_placement: Annotated[Literal["added", "clamped"], Doc("eps added to G^2, or a lower limit of S")] = "added"
    weight_decay: WeightDecay = 0.0

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
            root = rows**0.5
        else:
            rows = (1 - share) * state.rows + share * square.mean(-1)[:, None]
            columns = (1 - share) * state.columns + share * square.mean(0)[None]
            mean = rows.mean()
            # A root of each factor: the product of two small means, as of a dead unit and an input that is always
            # zero, is zero in single precision.
            root = (rows / xp.maximum(mean, 0 * mean + least)) ** 0.5 * columns**0.5
        update = grad / xp.maximum(root, 0 * root + least)
        size, weight = (update**2).mean() ** 0.5 / self.clip, (state.x**2).mean() ** 0.5
        rate = min(self.lr, t**-0.5) if self.step_size == "bounded" else self.lr
        rate = rate * xp.maximum(weight, 0 * weight + self.eps_weights) / xp.maximum(size, 0 * size + 1)
        step = -(rate * update + self.lr * self.weight_decay * state.x)
        return step, AdafactorState(t, rows, columns, state.x + step)


Interval = Annotated[int, Ge(1), Doc("steps between two eigendecompositions")]
LargestSide = Annotated[int, Ge(1), Doc("longest side of a matrix that gets a square matrix of its own")]


class ShampooState(NamedTuple):
    steps: int  # done so far
    sums: tuple[Array, ...]  # L (m, m) and R (n, n); of a long side the diagonal
    roots: tuple[Array, ...]  # their powers, as of the last eigendecomposition


@dataclass(frozen=True)
class Shampoo(MatrixRule):
    """Shampoo (Gupta, Koren & Singer 2018, arXiv:1802.09568): Adagrad with one matrix per side of the weights.

    L <- L + G*G', R <- R + G'*G, from eps*I;  W <- W - lr*L^(-1/4)*G*R^(-1/4)
    of a bias: L <- L + g*g', from eps*I;  w <- w - lr*L^(-1/2)*g

    The powers are renewed at the first step and every `interval` steps after it; at interval 1, the paper's algorithm,
    this is Shampoo of pytorch_optimizer, which with a longer one stands still up to its first power. Until they are
    renewed, a gradient in a direction that they have not seen is divided by the root of `eps`: with the default `lr`,
    an interval of 10 diverges on small relu networks. A side beyond `largest_side` keeps the diagonal alone, as in the
    paper; that is also the way to make an input layer of hundreds of pixels cheap.
    """

    name = "shampoo"
    formula = "L <- L + G*G', R <- R + G'*G, W <- W - lr*L^(-1/4)*G*R^(-1/4)"
    lr: LearningRate = 0.1
    eps: Annotated[float, Gt(0), Doc("where the diagonals of L and R start")] = 1e-4
    interval: Interval = 1
    largest_side: LargestSide = 1024

    def init(self, x: Array) -> ShampooState:
        xp, sums = xp_of(x), []
        for side in _sides(x):
            diagonal = 0 * side[:, 0] + self.eps
            sums.append(diagonal if len(side) > self.largest_side else xp.diag(diagonal))
        return ShampooState(0, tuple(sums), tuple(0 * total for total in sums))

    def update(self, grad: Array, state: ShampooState) -> tuple[Array, ShampooState]:
        sides = _sides(grad)
        sums = tuple(
            total + (side @ side.T if total.ndim == 2 else (side * side).sum(-1))
            for total, side in zip(state.sums, sides, strict=True)
        )
        roots = tuple(state.roots)
        if state.steps % self.interval == 0:
            roots = tuple(_power(total, -0.5 / len(sides), self.eps) for total in sums)
        step = _times(roots[0], grad)
        if len(roots) == 2:
            step = _times(roots[1], step.T).T
        return -(self.lr * step), ShampooState(state.steps + 1, sums, roots)


def _sides(array: Array) -> tuple[Array, ...]:
    """The array from each of its sides, as a matrix whose rows belong to that side."""
    return (array, array.T) if array.ndim == 2 else (array[:, None],)


def _times(root: Array, array: Array) -> Array:
    """A matrix, or a diagonal of one, times an array."""
    return root @ array if root.ndim == 2 else root.reshape(-1, *[1] * (array.ndim - 1)) * array


def _power(matrix: Array, exponent: float, least: float) -> Array:
    """The power of a symmetric matrix, or of a diagonal, whose eigenvalues are at least `least` but for rounding."""
    xp = xp_of(matrix)
    if matrix.ndim == 1:
        return matrix**exponent
    values, vectors = _eigen(matrix)
    return (vectors * xp.clip(values, least, None) ** exponent) @ vectors.T


def _eigen(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues, ascending, and eigenvectors; a matrix that is not finite is returned, for LAPACK raises an error."""
    xp = xp_of(matrix)
    if not xp.isfinite(matrix).all():
        return matrix[0], matrix
    values, vectors = xp.linalg.eigh(matrix)
    return values, vectors


class SOAPState(NamedTuple):
    steps: int  # done so far
    mean: Array  # V, as the weights are shaped
    mean_square: Array  # S, of the rotated gradients
    sides: tuple[Any, ...]  # L (m, m) and R (n, n); None for a long side; of a bias none
    bases: tuple[Any, ...]  # P and Q, their eigenvectors, that of the largest eigenvalue first
    x: Array  # the weights, for the decay


@dataclass(frozen=True)
class SOAP(MatrixRule):
    """SOAP (Vyas et al. 2024, arXiv:2409.11321): Adam in the eigenvectors of Shampoo's two matrices.

    V <- beta1*V + (1 - beta1)*G;  S <- beta2*S + (1 - beta2)*(P'*G*Q)^2
    U = P*(P'*V*Q/(sqrt(S) + eps))*Q';  W <- (W - lr*sqrt(1 - beta2^t)/(1 - beta1^t)*U)*(1 - lr*weight_decay)
    L <- beta2*L + (1 - beta2)*G*G';  R <- beta2*R + (1 - beta2)*G'*G;  P and Q: their eigenvectors

    As the authors' code and pytorch_optimizer: the first gradient only makes L and R. Every `interval` steps P and Q
    follow them by one power iteration and a QR decomposition in single precision, and the rows and columns of S are
    sorted with them. A side beyond `largest_side` is not rotated. Biases get Adam (eps_placement uncorrected). Where
    the first gradient has a lower rank than a side, the rest of its basis is LAPACK's choice, and two right
    implementations go different ways from the second step on.
    """

    name = "soap"
    formula = "adam on P'*G*Q, with the eigenvectors P of the average of G*G' and Q of G'*G, rotated back"
    lr: LearningRate = 0.003
    beta1: Decay = 0.95
    beta2: Decay = 0.95
    eps: Eps = 1e-8
    weight_decay: WeightDecay = 0.0
    interval: Interval = 10
    largest_side: LargestSide = 1024

    def init(self, x: Array) -> SOAPState:
        xp, zeros = xp_of(x), xp_of(x).zeros_like(x)
        long = [len(side) > self.largest_side for side in _sides(x)] if x.ndim == 2 else []
        empty = tuple(
            None if skip else xp.diag(0 * side[:, 0]) for side, skip in zip(_sides(x), long, strict=False)
        )
        return SOAPState(0, zeros, zeros, empty, empty, x)

    def update(self, grad: Array, state: SOAPState) -> tuple[Array, SOAPState]:
        xp, t = xp_of(grad), state.steps
        sides = tuple(
            total if total is None else total + (1 - self.beta2) * (side @ side.T - total)
            for total, side in zip(state.sides, _sides(grad), strict=False)
        )
        if t == 0:
            bases = tuple(total if total is None else _by_rows(xp.flip(_eigen(total)[1], (1,))) for total in sides)
            return 0 * grad, state._replace(steps=1, sides=sides, bases=bases)
        mean = state.mean + (1 - self.beta1) * (grad - state.mean)
        rotated = _rotated(grad, state.bases)
        mean_square = state.mean_square + (1 - self.beta2) * (rotated * rotated - state.mean_square)
        direction = _rotated(mean, state.bases) / (xp.sqrt(mean_square) + self.eps)
        direction = _rotated(direction, [base if base is None else base.T for base in state.bases])
        rate = self.lr * (1 - self.beta2**t) ** 0.5 / (1 - self.beta1**t)
        kept = 1 - self.lr * self.weight_decay
        step = -(kept * rate * direction + self.lr * self.weight_decay * state.x)
        turned = list(state.bases)
        if t % self.interval == 0:
            for n, (total, base) in enumerate(zip(sides, state.bases, strict=True)):
                if base is not None:
                    turned[n], order = _followed(total, base)
                    mean_square = mean_square[:, order] if n else mean_square[order]
        return step, SOAPState(t + 1, mean, mean_square, sides, tuple(turned), state.x + step)


def _rotated(matrix: Array, bases: Any) -> Array:
    """P'*matrix*Q with the bases P and Q, either of which may be missing."""
    for n, base in enumerate(bases):
        if base is not None:
            matrix = matrix @ base if n else base.T @ matrix
    return matrix


def _followed(total: Array, base: Array) -> tuple[Array, Array]:
    """The basis after one power iteration of a symmetric matrix, and the order in which its vectors were sorted."""
    xp, product = xp_of(total), total @ base
    order = xp.argsort(-(base * product).sum(0))
    basis = xp.linalg.qr(_cast(product[:, order], xp.float32))[0]
    return _by_rows(_cast(basis, total.dtype)), order


def _by_rows(matrix: Array) -> Array:
    """LAPACK's matrix in rows, as a checkpoint returns it: products have other last bits in another layout."""
    return matrix.reshape(-1).reshape(matrix.shape)


def _cast(array: Array, dtype: Any) -> Array:
    return array.to(dtype) if hasattr(array, "to") else array.astype(dtype)
