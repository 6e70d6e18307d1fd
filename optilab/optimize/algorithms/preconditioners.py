"""Rules that precondition a gradient matrix from both sides: Shampoo, and Adam in Shampoo's coordinates (SOAP)."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

from annotated_doc import Doc
from annotated_types import Ge, Gt

from optilab.optimize.algorithms.matrices import MatrixRule
from optilab.optimize.algorithms.rule import Array, Decay, Eps, LearningRate, WeightDecay, xp_of

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

    The powers are renewed at the first step and every `interval` steps after it; at interval 1 this is Shampoo of
    pytorch_optimizer, which with a longer one stands still up to its first power. A side beyond `largest_side` keeps
    the diagonal alone, as in the paper.
    """

    name: ClassVar[str] = "shampoo"
    lr: LearningRate = 0.1
    eps: Annotated[float, Gt(0), Doc("where the diagonals of L and R start")] = 1e-4
    interval: Interval = 10
    largest_side: LargestSide = 1024

    @property
    def formula(self) -> str:
        return "L <- L + G*G', R <- R + G'*G, W <- W - lr*L^(-1/4)*G*R^(-1/4)"

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
    sorted with them. A side beyond `largest_side` is not rotated. Biases get Adam (eps_placement uncorrected).
    """

    name: ClassVar[str] = "soap"
    lr: LearningRate = 0.003
    beta1: Decay = 0.95
    beta2: Decay = 0.95
    eps: Eps = 1e-8
    weight_decay: WeightDecay = 0.0
    interval: Interval = 10
    largest_side: LargestSide = 1024

    @property
    def formula(self) -> str:
        return "adam on P'*G*Q, with the eigenvectors P of the average of G*G' and Q of G'*G, rotated back"

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


ENTRIES = (Shampoo, SOAP)
