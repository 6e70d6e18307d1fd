"""The update rules for the weight matrices of a network, which are code."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Any, ClassVar, Literal

from annotated_doc import Doc
from annotated_types import Ge, Gt, Lt

from optilab.optimize.arrays import Array, array_namespace
from optilab.optimize.rule import Decay, Eps, LearningRate, Rule, State, WeightDecay
from optilab.optimize.rules import AdamW


class MatrixRule(Rule):
    """Base of the rules that get each weight of a network as it is shaped: a matrix (m, n) or a bias (n,).

    A rule in code has `states`, the names of the parts of its state; `formula`, a sentence; `init` and `step`, which
    run on NumPy arrays and on torch tensors (`array_namespace`), and change no array in place. A part of the state is
    an array of any shape and type, a number or None. No rule of this base runs on a test function. Adafactor is a short
    example. A formula that is of each weight by itself needs no code: `weights = "each"`.
    """

    weights = "matrices"

    states: ClassVar[tuple[str, ...]]
    needs: ClassVar[tuple[str, ...]] = ()

    def for_weights(self, shapes: Sequence[Sequence[int]]) -> list[Rule]:
        """The rule of each weight, by the shapes of all of them, frozen ones included, in the network's order."""
        return [self] * len(shapes)


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
    states = ("V",)
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
        orthogonalized = set(numbers if self.matrices == "all" else numbers[1:-1])
        return [self if n in orthogonalized else self.others for n in range(len(shapes))]

    def init(self, w: Array) -> State:
        return (array_namespace(w).zeros_like(w),)

    def step(self, w: Array, g: Array, t: int, state: State, **quantities: Any) -> tuple[Array, State]:
        gradient_weight = 1 - self.beta
        velocity = self.beta * state[0] + gradient_weight * g
        direction, now = velocity, g
        if self.form == "corrected":
            direction = velocity / (1 - self.beta ** (t + self.nesterov))
            now = g / (1 - self.beta**t)
        if self.nesterov:
            direction = self.beta * direction + gradient_weight * now
        m, n = g.shape
        factor = {"original": sqrt(max(1, m / n)), "rms": 0.2 * sqrt(max(m, n)), "none": 1.0}[self.adjust]
        orthogonal = _orthogonal(direction, self.ns_steps, self.eps, self.precision)
        return w - (self.lr * factor * orthogonal + self.lr * self.weight_decay * w), (velocity,)


def _orthogonal(matrix: Array, steps: int, eps: float, precision: str) -> Array:
    """Newton-Schulz iteration of fifth order towards the nearest matrix with orthonormal rows or columns."""
    (a, b, c), xp = NEWTON_SCHULZ, array_namespace(matrix)
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
    states = ("R", "C")
    """Mean squares of each row (m, 1) and of each column (1, n); of a bias the squares themselves (n,), and None."""
    formula = "S = R*C/mean(R) from moving averages over rows and columns of G^2, W <- W - k*G/sqrt(S)"
    lr: LearningRate = 0.01
    decay_exponent: Annotated[float, Gt(0), Doc("the fraction of the newest square is t to minus this")] = 0.8
    eps: Eps = 1e-30
    eps_weights: Annotated[float, Ge(0), Doc("smallest size of the weights that steps are relative to")] = 1e-3
    clip: Annotated[float, Gt(0), Doc("largest root mean square of U")] = 1.0
    step_size: Annotated[Literal["bounded", "constant"], Doc("lr limited to 1/sqrt(t), or lr")] = "bounded"
    eps_placement: Annotated[Literal["added", "clamped"], Doc("eps added to G^2, or a lower limit of S")] = "added"
    weight_decay: WeightDecay = 0.0

    def init(self, w: Array) -> State:
        start = array_namespace(w).zeros_like(w)
        return (start, None) if w.ndim < 2 else (start[:, :1], start[:1])

    def step(self, w: Array, g: Array, t: int, state: State, **quantities: Any) -> tuple[Array, State]:
        xp = array_namespace(g)
        new_weight = t**-self.decay_exponent
        added, least = (self.eps, 0.0) if self.eps_placement == "added" else (0.0, self.eps)
        square = g**2 + added
        rows, columns = state
        if columns is None:
            rows = (1 - new_weight) * rows + new_weight * square
            root = rows**0.5
        else:
            rows = (1 - new_weight) * rows + new_weight * square.mean(-1)[:, None]
            columns = (1 - new_weight) * columns + new_weight * square.mean(0)[None]
            mean = rows.mean()
            # A root of each factor: the product of two small means, as of a dead unit and an input that is always
            # zero, is zero in single precision.
            root = (rows / xp.maximum(mean, 0 * mean + least)) ** 0.5 * columns**0.5
        update = g / xp.maximum(root, 0 * root + least)
        size, weight = (update**2).mean() ** 0.5 / self.clip, (w**2).mean() ** 0.5
        rate = min(self.lr, t**-0.5) if self.step_size == "bounded" else self.lr
        rate = rate * xp.maximum(weight, 0 * weight + self.eps_weights) / xp.maximum(size, 0 * size + 1)
        return w - (rate * update + self.lr * self.weight_decay * w), (rows, columns)


Interval = Annotated[int, Ge(1), Doc("steps between two eigendecompositions")]
LargestSide = Annotated[int, Ge(1), Doc("longest side of a matrix that gets a square matrix of its own")]


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
    states = ("sums", "powers")
    """L (m, m) and R (n, n), of a long side the diagonal; and their powers, as of the last eigendecomposition."""
    formula = "L <- L + G*G', R <- R + G'*G, W <- W - lr*L^(-1/4)*G*R^(-1/4)"
    lr: LearningRate = 0.1
    eps: Annotated[float, Gt(0), Doc("where the diagonals of L and R start")] = 1e-4
    interval: Interval = 1
    largest_side: LargestSide = 1024

    def init(self, w: Array) -> State:
        sums = []
        for side in _sides(w):
            diagonal = 0 * side[:, 0] + self.eps
            sums.append(diagonal if len(side) > self.largest_side else array_namespace(w).diag(diagonal))
        return tuple(sums), tuple(0 * total for total in sums)

    def step(self, w: Array, g: Array, t: int, state: State, **quantities: Any) -> tuple[Array, State]:
        sides = _sides(g)
        sums = tuple(
            total + (side @ side.T if total.ndim == 2 else (side * side).sum(-1))
            for total, side in zip(state[0], sides, strict=True)
        )
        powers = tuple(state[1])
        if (t - 1) % self.interval == 0:
            powers = tuple(_power(total, -0.5 / len(sides), self.eps) for total in sums)
        change = _times(powers[0], g)
        if len(powers) == 2:
            change = _times(powers[1], change.T).T
        return w - self.lr * change, (sums, powers)


def _sides(array: Array) -> tuple[Array, ...]:
    """The array from each of its sides, as a matrix whose rows belong to that side."""
    return (array, array.T) if array.ndim == 2 else (array[:, None],)


def _times(root: Array, array: Array) -> Array:
    """A matrix, or a diagonal of one, times an array."""
    return root @ array if root.ndim == 2 else root.reshape(-1, *[1] * (array.ndim - 1)) * array


def _power(matrix: Array, exponent: float, least: float) -> Array:
    """The power of a symmetric matrix, or of a diagonal, whose eigenvalues are at least `least` but for rounding."""
    xp = array_namespace(matrix)
    if matrix.ndim == 1:
        return matrix**exponent
    values, vectors = _eigen(matrix)
    return (vectors * xp.clip(values, least, None) ** exponent) @ vectors.T


def _eigen(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues, ascending, and eigenvectors; a matrix that is not finite is returned, for LAPACK raises an error."""
    xp = array_namespace(matrix)
    if not xp.isfinite(matrix).all():
        return matrix[0], matrix
    values, vectors = xp.linalg.eigh(matrix)
    return values, vectors


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
    states = ("V", "S", "sides", "bases")
    """V, of the weights' shape; S, of the rotated gradients; L (m, m) and R (n, n), None for a long side, of a bias
    none; P and Q, their eigenvectors, that of the largest eigenvalue first."""
    formula = "adam on P'*G*Q, with the eigenvectors P of the average of G*G' and Q of G'*G, rotated back"
    lr: LearningRate = 0.003
    beta1: Decay = 0.95
    beta2: Decay = 0.95
    eps: Eps = 1e-8
    weight_decay: WeightDecay = 0.0
    interval: Interval = 10
    largest_side: LargestSide = 1024

    def init(self, w: Array) -> State:
        start = array_namespace(w).zeros_like(w)
        long = [len(side) > self.largest_side for side in _sides(w)] if w.ndim == 2 else []
        empty = tuple(
            None if skip else array_namespace(w).diag(0 * side[:, 0])
            for side, skip in zip(_sides(w), long, strict=False)
        )
        return start, start, empty, empty

    def step(self, w: Array, g: Array, t: int, state: State, **quantities: Any) -> tuple[Array, State]:
        mean, mean_square, before, bases = state
        xp, done = array_namespace(g), int(t) - 1
        sides = tuple(
            total if total is None else total + (1 - self.beta2) * (side @ side.T - total)
            for total, side in zip(before, _sides(g), strict=False)
        )
        if done == 0:
            bases = tuple(total if total is None else _by_rows(xp.flip(_eigen(total)[1], (1,))) for total in sides)
            return w, (mean, mean_square, sides, bases)
        mean = mean + (1 - self.beta1) * (g - mean)
        rotated = _rotated(g, bases)
        mean_square = mean_square + (1 - self.beta2) * (rotated * rotated - mean_square)
        direction = _rotated(mean, bases) / (xp.sqrt(mean_square) + self.eps)
        direction = _rotated(direction, [base if base is None else base.T for base in bases])
        rate = self.lr * (1 - self.beta2**done) ** 0.5 / (1 - self.beta1**done)
        decay = 1 - self.lr * self.weight_decay
        w = w - (decay * rate * direction + self.lr * self.weight_decay * w)
        turned = list(bases)
        if done % self.interval == 0:
            for n, (total, base) in enumerate(zip(sides, bases, strict=True)):
                if base is not None:
                    turned[n], order = _followed(total, base)
                    mean_square = mean_square[:, order] if n else mean_square[order]
        return w, (mean, mean_square, sides, tuple(turned))


def _rotated(matrix: Array, bases: Any) -> Array:
    """P'*matrix*Q with the bases P and Q, either of which may be missing."""
    for n, base in enumerate(bases):
        if base is not None:
            matrix = matrix @ base if n else base.T @ matrix
    return matrix


def _followed(total: Array, base: Array) -> tuple[Array, Array]:
    """The basis after one power iteration of a symmetric matrix, and the order in which its vectors were sorted."""
    xp, product = array_namespace(total), total @ base
    order = xp.argsort(-(base * product).sum(0))
    basis = xp.linalg.qr(_cast(product[:, order], xp.float32))[0]
    return _by_rows(_cast(basis, total.dtype)), order


def _by_rows(matrix: Array) -> Array:
    """LAPACK's matrix in rows, as a checkpoint returns it: products have other last bits in another layout."""
    return matrix.reshape(-1).reshape(matrix.shape)


def _cast(array: Array, dtype: Any) -> Array:
    return array.to(dtype) if hasattr(array, "to") else array.astype(dtype)
