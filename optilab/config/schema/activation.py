"""The activations phi of a network and their parameters; the defaults are torch's.

`flat` are the bounds of the output at or beyond which the slope is below a fifth of its maximum; None where there
are none. An activation that is flat on both sides saturates, one that is flat on one side has units that die.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_doc import Doc
from annotated_types import Ge, Gt


@dataclass(frozen=True)
class Identity:
    """x"""

    name: ClassVar[str] = "identity"
    flat: ClassVar[None] = None


@dataclass(frozen=True)
class Sigmoid:
    """1/(1 + exp(-x))"""

    name: ClassVar[str] = "sigmoid"
    flat: ClassVar[tuple[float, float]] = (0.05, 0.95)


@dataclass(frozen=True)
class HardSigmoid:
    """x/6 + 1/2, cut to 0 and 1"""

    name: ClassVar[str] = "hard-sigmoid"
    flat: ClassVar[tuple[float, float]] = (0.0, 1.0)


@dataclass(frozen=True)
class Tanh:
    """tanh(x)"""

    name: ClassVar[str] = "tanh"
    flat: ClassVar[tuple[float, float]] = (-0.9, 0.9)


@dataclass(frozen=True)
class Softsign:
    """x/(1 + |x|)"""

    name: ClassVar[str] = "softsign"
    flat: ClassVar[tuple[float, float]] = (-0.56, 0.56)


@dataclass(frozen=True)
class ReLU:
    """max(x, 0)"""

    name: ClassVar[str] = "relu"
    flat: ClassVar[tuple[float, float]] = (0.0, math.inf)


@dataclass(frozen=True)
class LeakyReLU:
    """x, below 0 slope*x (Maas et al. 2013)"""

    name: ClassVar[str] = "leaky-relu"
    flat: ClassVar[None] = None
    slope: Annotated[float, Ge(0), Doc("slope below 0")] = 0.01


@dataclass(frozen=True)
class PReLU:
    """x, below 0 a*x with one trained a per layer (He et al. 2015)"""

    name: ClassVar[str] = "prelu"
    flat: ClassVar[None] = None
    slope: Annotated[float, Ge(0), Doc("slope below 0 at the start")] = 0.25


@dataclass(frozen=True)
class ELU:
    """x, below 0 alpha*(exp(x) - 1) (Clevert et al. 2016)"""

    name: ClassVar[str] = "elu"
    alpha: Annotated[float, Gt(0), Doc("minus the lowest output")] = 1.0

    @property
    def flat(self) -> tuple[float, float]:
        return -0.81 * self.alpha, math.inf


@dataclass(frozen=True)
class SELU:
    """1.0507*elu(x) with alpha 1.6733 (Klambauer et al. 2017)"""

    name: ClassVar[str] = "selu"
    flat: ClassVar[tuple[float, float]] = (-1.42, math.inf)


@dataclass(frozen=True)
class GELU:
    """x*Phi(x), Phi the normal distribution (Hendrycks & Gimpel 2016)"""

    name: ClassVar[str] = "gelu"
    flat: ClassVar[None] = None
    approximate: Annotated[Literal["none", "tanh"], Doc("Phi itself, or by a tanh")] = "none"


@dataclass(frozen=True)
class SiLU:
    """x*sigmoid(x), also called swish"""

    name: ClassVar[str] = "silu"
    flat: ClassVar[None] = None


@dataclass(frozen=True)
class Mish:
    """x*tanh(softplus(x)) (Misra 2019)"""

    name: ClassVar[str] = "mish"
    flat: ClassVar[None] = None


@dataclass(frozen=True)
class Softplus:
    """log(1 + exp(beta*x))/beta"""

    name: ClassVar[str] = "softplus"
    beta: Annotated[float, Gt(0), Doc("the larger, the closer to relu")] = 1.0

    @property
    def flat(self) -> tuple[float, float]:
        return 0.21 / self.beta, math.inf


ACTIVATIONS: dict[str, type[Any]] = {
    activation.name: activation
    for activation in (
        Identity,
        Sigmoid,
        HardSigmoid,
        Tanh,
        Softsign,
        ReLU,
        LeakyReLU,
        PReLU,
        ELU,
        SELU,
        GELU,
        SiLU,
        Mish,
        Softplus,
    )
}
