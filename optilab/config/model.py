"""The keys of `model`: the network. Layers are numbered from 1, the output layer comes last."""

from collections.abc import Iterator
from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import Strict

from optilab.config.section import OneOf, Section


def _activation(name: str, formula: str, **parameters: tuple[Any, Any]) -> type[Any]:
    """The class of an activation phi: its name, its formula, and its parameters with torch's defaults."""
    fields = [(key, hint, field(default=default)) for key, (hint, default) in parameters.items()]
    members = {"__doc__": formula, "name": name, "__module__": __name__}
    return make_dataclass(name.title().replace("-", ""), fields, frozen=True, namespace=members)


_Slope = Annotated[float, Ge(0), Doc("slope below 0")]
_StartSlope = Annotated[float, Ge(0), Doc("slope below 0 at the start")]
_Alpha = Annotated[float, Gt(0), Doc("minus the lowest output")]
_Phi = Annotated[Literal["none", "tanh"], Doc("Phi itself, or by a tanh")]
_Beta = Annotated[float, Gt(0), Doc("the larger, the closer to relu")]

ACTIVATIONS: dict[str, type[Any]] = {
    phi.name: phi
    for phi in (
        _activation("identity", "x"),
        _activation("sigmoid", "1/(1 + exp(-x))"),
        _activation("hard-sigmoid", "x/6 + 1/2, cut to 0 and 1"),
        _activation("tanh", "tanh(x)"),
        _activation("softsign", "x/(1 + |x|)"),
        _activation("relu", "max(x, 0)"),
        _activation("leaky-relu", "x, below 0 slope*x (Maas et al. 2013)", slope=(_Slope, 0.01)),
        _activation(
            "prelu", "x, below 0 a*x with one trained a per layer (He et al. 2015)", slope=(_StartSlope, 0.25)
        ),
        _activation("elu", "x, below 0 alpha*(exp(x) - 1) (Clevert et al. 2016)", alpha=(_Alpha, 1.0)),
        _activation("selu", "1.0507*elu(x) with alpha 1.6733 (Klambauer et al. 2017)"),
        _activation(
            "gelu", "x*Phi(x), Phi the normal distribution (Hendrycks & Gimpel 2016)", approximate=(_Phi, "none")
        ),
        _activation("silu", "x*sigmoid(x), also called swish"),
        _activation("mish", "x*tanh(softplus(x)) (Misra 2019)"),
        _activation("softplus", "log(1 + exp(beta*x))/beta", beta=(_Beta, 1.0)),
    )
}

Distribution = Annotated[Literal["normal", "uniform"], Doc("distribution that is drawn from")]
Gain = Annotated[float, Gt(0), Doc("factor of the standard deviation")]


@dataclass(frozen=True)
class DefaultInit:
    """PyTorch's default: uniform(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases."""

    name: ClassVar[str] = "default"


@dataclass(frozen=True)
class NormalInit:
    """normal(mean, std^2)"""

    name: ClassVar[str] = "normal"
    std: Annotated[float, Gt(0), Doc("standard deviation")] = 0.01
    mean: Annotated[float, Doc("mean")] = 0.0


@dataclass(frozen=True)
class UniformInit:
    """uniform(low, high)"""

    name: ClassVar[str] = "uniform"
    low: Annotated[float, Doc("lower end")] = -0.05
    high: Annotated[float, Doc("upper end")] = 0.05

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low must not be above high, got {self.low:g} and {self.high:g}")


@dataclass(frozen=True)
class TruncatedNormalInit:
    """normal(0, std^2), drawn again where it is more than `cut` standard deviations from 0."""

    name: ClassVar[str] = "truncated-normal"
    std: Annotated[float, Gt(0), Doc("standard deviation before the cut")] = 0.02
    cut: Annotated[float, Gt(0), Doc("largest distance from 0, in standard deviations")] = 2.0


@dataclass(frozen=True)
class ConstantInit:
    """One value everywhere; as weights it keeps all units of a layer identical."""

    name: ClassVar[str] = "constant"
    value: Annotated[float, Doc("the number")] = 0.0


@dataclass(frozen=True)
class XavierInit:
    """Variance gain^2 * 2/(fan_in + fan_out) (Glorot & Bengio 2010)."""

    name: ClassVar[str] = "xavier"
    distribution: Distribution = "uniform"
    gain: Gain = 1.0


@dataclass(frozen=True)
class KaimingInit:
    """Variance gain^2 / fan (He et al. 2015); the gain sqrt(2) is that of relu."""

    name: ClassVar[str] = "kaiming"
    distribution: Distribution = "normal"
    fan: Annotated[Literal["in", "out"], Doc("inputs or outputs of the layer")] = "in"
    gain: Gain = 2**0.5


@dataclass(frozen=True)
class LecunInit:
    """Variance 1/fan_in (LeCun et al. 1998); with selu, Klambauer et al. 2017."""

    name: ClassVar[str] = "lecun"
    distribution: Distribution = "normal"


@dataclass(frozen=True)
class OrthogonalInit:
    """gain times a random matrix with orthonormal rows or columns (Saxe et al. 2014)."""

    name: ClassVar[str] = "orthogonal"
    gain: Gain = 1.0


@dataclass(frozen=True)
class UnitGainInit:
    """normal with variance 1/(fan_out * E[phi'(z)^2]), z ~ N(0, 1): a gradient keeps its variance through a layer.

    The expectation is computed for the model's activation phi, whatever it is, at preactivations of variance 1. It is
    exact for relu. A sigmoid's outputs have a mean of 0.5, which widens the preactivations: a gradient keeps 0.52 to
    0.58 of itself at the first layer and 0.69 at the fixed point. For sigmoids, normal with std 10.15/sqrt(fan_out)
    is self-consistent (0.90 for 128 units).
    """

    name: ClassVar[str] = "unit-gain"


INITS: dict[str, type[Any]] = {
    init.name: init
    for init in (
        DefaultInit,
        NormalInit,
        UniformInit,
        TruncatedNormalInit,
        ConstantInit,
        XavierInit,
        KaimingInit,
        LecunInit,
        OrthogonalInit,
        UnitGainInit,
    )
}
BIAS_INITS: dict[str, type[Any]] = {
    init.name: init for init in (DefaultInit, NormalInit, UniformInit, ConstantInit)
}

INIT, BIAS_INIT = (OneOf(registry, "initialization", optional=True) for registry in (INITS, BIAS_INITS))

Position = Annotated[Literal["before", "after"], Doc("before or after the activation")]
Affine = Annotated[bool, Doc("train a scale and a shift per feature")]
NormEps = Annotated[float, Ge(0), Doc("small number that keeps the division finite")]


@dataclass(frozen=True)
class NoNorm:
    """No normalization."""

    name: ClassVar[str] = "none"


@dataclass(frozen=True)
class BatchNorm:
    """Each feature to mean 0 and variance 1 over the batch (Ioffe & Szegedy 2015).

    running: after an epoch, running averages take the place of the batch's statistics, as in torch's default.
    batch: validation too is normalized by each batch's own statistics.
    """

    name: ClassVar[str] = "batch"
    position: Position = "before"
    affine: Affine = True
    statistics: Annotated[
        Literal["running", "batch"], Doc("statistics used in validation: running averages, or those of the batch")
    ] = "running"
    momentum: Annotated[float, Gt(0), Le(1), Doc("weight of a new batch in the running averages")] = 0.1
    eps: NormEps = 1e-5


@dataclass(frozen=True)
class LayerNorm:
    """Each image to mean 0 and variance 1 over the features (Ba, Kiros & Hinton 2016)."""

    name: ClassVar[str] = "layer"
    position: Position = "before"
    affine: Affine = True
    eps: NormEps = 1e-5


@dataclass(frozen=True)
class Standardize:
    """(x - mean)/(std + eps) in training and validation; nothing is trained or accumulated."""

    name: ClassVar[str] = "standardize"
    position: Position = "before"
    over: Annotated[Literal["tensor", "feature"], Doc("one mean for the whole batch, or one per feature")] = (
        "tensor"
    )
    correction: Annotated[int, Ge(0), Le(1), Doc("std divides by n - correction; torch.std has 1")] = 1
    eps: NormEps = 0.0


NORMS: dict[str, type[Any]] = {norm.name: norm for norm in (NoNorm, BatchNorm, LayerNorm, Standardize)}

Width = Annotated[int, Ge(1), Le(65_536)]
LayerNumbers = tuple[Annotated[int, Ge(1)], ...]
Skip = Annotated[tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]], Strict(False)]


class ModelConfig(Section):
    """A multilayer perceptron."""

    hidden: Annotated[
        tuple[Width, ...],
        Strict(False),
        Len(0, 1000),
        Doc("widths of the hidden layers; [] is a linear model"),
    ] = (128, 128, 128, 128, 128)
    activation: Annotated[Any, OneOf(ACTIVATIONS, "activation"), Doc("activation of each hidden layer")] = (
        ACTIVATIONS["sigmoid"]()
    )
    bias: Annotated[Literal["all", "hidden", "output", "none"], Doc("which layers have a bias")] = "all"
    init: Annotated[Any, OneOf(INITS, "initialization"), Doc("initial weights")] = DefaultInit()
    output_init: Annotated[Any, INIT, Doc("initial weights of the output layer; null: as the others")] = None
    bias_init: Annotated[
        Any, BIAS_INIT, Doc("initial biases; null: zero, or PyTorch's where the weights are PyTorch's")
    ] = None
    norm: Annotated[Any, OneOf(NORMS, "normalization"), Doc("normalization in each hidden layer")] = NoNorm()
    skip: Annotated[
        tuple[Skip, ...],
        Strict(False),
        Len(0, 1000),
        Doc("pairs [from, to]: the output of layer `from` is added to that of layer `to`"),
    ] = ()
    dropout: Annotated[float, Ge(0), Lt(1), Doc("probability that an output of a hidden layer is set to zero")] = (
        0.0
    )
    input_dropout: Annotated[float, Ge(0), Lt(1), Doc("probability that a pixel of an image is set to zero")] = 0.0
    gradient_norm: Annotated[
        LayerNumbers,
        Strict(False),
        Len(0, 1000),
        Doc("hidden layers after which the gradient becomes (g - mean)/(std + 1e-6)"),
    ] = ()

    def widths(self, inputs: int, classes: int) -> tuple[int, ...]:
        """Inputs, the neurons of each hidden layer, and outputs."""
        return inputs, *self.hidden, classes

    def inconsistencies(self) -> Iterator[tuple[str, str]]:
        layers = len(self.hidden)
        if missing := [number for number in self.gradient_norm if number > layers]:
            yield f"expected layers from 1 to {layers}, got {missing[0]}", "gradient_norm"
        if self.bias_init is not None and self.bias == "none":
            yield "no layer has a bias (bias: none)", "bias_init"
        if not layers and self.bias == "hidden":
            yield "there is no hidden layer (hidden: []); expected output or none", "bias"
        for start, end in self.skip:
            if not start < end <= layers:
                expected = f"expected two hidden layers (1 to {layers}), the first closer to the input"
                yield f"{expected}, got [{start}, {end}]", "skip"
            elif (first := self.hidden[start - 1]) != (second := self.hidden[end - 1]):
                have = f"layers {start} and {end} have {first} and {second} units"
                yield f"expected layers of equal widths; {have}", "skip"
