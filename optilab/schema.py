"""What every command accepts, as types: one definition gives a key's type, range, default and meaning.

The YAML key, the `--set` key, the check and the reference (`optilab config show train`) come from that definition.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from itertools import pairwise
from math import prod
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Len, MinLen
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Strict,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from optilab.errors import did_you_mean
from optilab.optimize import ALGORITHMS, FUNCTIONS, Algorithm, TestFunction
from optilab.strict_yaml import shown

MAX_PARAMETERS = 100_000_000
MAX_SEED = 2**63 - 1
_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,3})?")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def decimal(given: Any) -> Any:
    """`1e-3` is text to YAML 1.1; in a number field it is the number it looks like."""
    return float(given) if isinstance(given, str) and _DECIMAL.match(given) else given


def run_name(given: str) -> str:
    """A name that is safe as a path, in a shell, in a spreadsheet and in HTML; else ValueError."""
    if _NAME.fullmatch(given) and not given.endswith(".") and given.split(".")[0].lower() not in _RESERVED:
        return given
    accepted = "1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit"
    raise ValueError(f"{accepted}, and no name that Windows reserves; got {shown(given)}")


def _device(given: str) -> str:
    if _DEVICE.fullmatch(given):
        return given
    raise ValueError(f"auto, cpu, cuda, cuda:N or mps expected, got {shown(given)}")


@dataclass(frozen=True)
class OneOf:
    """A field whose value is one entry of a registry: its name, or a mapping of `name` and the entry's fields.

    The schema of an entry is made from its class when it is first asked for, so a large registry costs nothing.
    """

    registry: Mapping[str, Any]
    what: str

    def build(self, given: Any) -> Any:
        if isinstance(given, str):
            given = {"name": given}
        if not isinstance(given, Mapping):
            example = f"{{name: {next(iter(self.registry))}, ...}}"
            raise PydanticCustomError("shape", f"a name or a mapping expected ({example}), got {shown(given)}")
        name = given.get("name")
        if not isinstance(name, str) or name not in self.registry:
            raise PydanticCustomError("unknown_entry", self._unknown(name))
        entry = self.registry[name]
        # Pydantic adds the outer path to the problems of a ValidationError that is raised in here.
        value = schema_of(entry).model_validate({key: item for key, item in given.items() if key != "name"})
        return entry(**{key: getattr(value, key) for key in type(value).model_fields})

    def dump(self, value: Any) -> dict[str, Any]:
        return {"name": value.name, **{f.name: getattr(value, f.name) for f in fields(value)}}

    def _unknown(self, name: Any) -> str:
        names = ", ".join(self.registry)
        if name is None or name == "":
            return f"needs the name of one {self.what}: {names}"
        close = did_you_mean(name, list(self.registry)) if isinstance(name, str) else ""
        return f"unknown {self.what} {shown(name)}{close or f'; one of {names}'}"

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.build, serialization=core_schema.plain_serializer_function_ser_schema(self.dump)
        )


class Section(BaseModel):
    """Base of every part of a config: strict types, no unknown keys, finite numbers, frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


Number = Annotated[float, BeforeValidator(decimal)]
Whole = int
Name = Annotated[str, AfterValidator(run_name)]


@cache
def schema_of(entry: type[Any]) -> type[Section]:
    """The schema of a registry entry: its dataclass fields, with numbers read as in a config."""
    hints = get_type_hints(entry, include_extras=True)
    definitions: dict[str, Any] = {f.name: (_readable(hints[f.name]), f.default) for f in fields(entry)}
    return create_model(entry.__name__, __base__=Section, **definitions)


def _readable(hint: Any) -> Any:
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return Annotated[hint, BeforeValidator(decimal)] if kind is float else hint


def _as_list(given: Any) -> Any:
    return given if isinstance(given, list | tuple) else [given]


class OptimizeConfig(Section):
    """`optilab optimize`: the paths of one or several algorithms on one function."""

    algo: Annotated[
        tuple[Annotated[Algorithm, OneOf(ALGORITHMS, "algorithm")], ...],
        Strict(False),
        BeforeValidator(_as_list),
        Len(1, 100),
        Doc("the algorithm, or a list of several to compare"),
    ]
    function: Annotated[TestFunction, OneOf(FUNCTIONS, "function"), Doc("the test function")] = FUNCTIONS[
        "ravine"
    ]()
    start: Annotated[
        tuple[Number, ...] | None, Strict(False), Doc("start point; by default the function's own")
    ] = None
    epochs: Annotated[Whole, Ge(1), Le(1_000_000), Doc("number of steps")] = 30
    tolerance: Annotated[Number, Gt(0), Doc("converged when the gradient's norm is below this")] = 1e-3

    @property
    def labels(self) -> list[str]:
        """Each algorithm's name; the second of a name is `adam-2`."""
        names = [rule.name for rule in self.algo]
        counts = [names[: index + 1].count(name) for index, name in enumerate(names)]
        return [name if count == 1 else f"{name}-{count}" for name, count in zip(names, counts, strict=True)]

    @model_validator(mode="after")
    def _start_fits(self) -> "OptimizeConfig":
        dimension = len(self.function.start)
        if self.start is not None and len(self.start) != dimension:
            message = f"{self.function.name} needs {dimension} numbers, got {len(self.start)}"
            raise PydanticCustomError("start", message, {"key": "start"})
        return self


ActivationName = Literal["identity", "sigmoid", "tanh", "relu"]


@dataclass(frozen=True)
class DefaultInit:
    """PyTorch's own: uniform(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases."""

    name: ClassVar[str] = "default"


@dataclass(frozen=True)
class NormalInit:
    """Weights from a normal distribution with mean 0; biases zero."""

    name: ClassVar[str] = "normal"
    std: Annotated[float, Gt(0), Doc("standard deviation")] = 0.01


INITS: dict[str, type[Any]] = {init.name: init for init in (DefaultInit, NormalInit)}

Width = Annotated[Whole, Ge(1), Le(65_536)]


class ModelConfig(Section):
    """A multilayer perceptron."""

    hidden: Annotated[
        tuple[Width, ...],
        Strict(False),
        Len(0, 1000),
        Doc("widths of the hidden layers; [] is a linear model"),
    ] = (128, 128, 128, 128, 128)
    activation: Annotated[ActivationName, Doc("after each hidden layer")] = "sigmoid"
    init: Annotated[Any, OneOf(INITS, "initialisation"), Doc("how the weights start")] = DefaultInit()


class DataConfig(Section):
    """What is learned from, and in which portions."""

    dataset: Annotated[
        Literal["fashion-mnist", "idx"], Doc("fashion-mnist, or any four IDX files with a SHA256SUMS file")
    ] = "fashion-mnist"
    dir: Annotated[str | None, MinLen(1), Doc("folder of the dataset; by default it is found or fetched")] = None
    batch_size: Annotated[Whole, Ge(1), Le(60_000), Doc("images per step; the last batch may be smaller")] = 512
    validation: Annotated[Literal["test"], Doc("what is measured after each epoch")] = "test"


class TrainConfig(Section):
    """`optilab train`: one network, trained and measured epoch by epoch."""

    name: Annotated[Name, Doc("name of the study, part of the run's name")] = "train"
    model: Annotated[ModelConfig, Doc("the network")] = ModelConfig()
    data: Annotated[DataConfig, Doc("the dataset")] = DataConfig()
    optimizer: Annotated[Algorithm, OneOf(ALGORITHMS, "optimizer"), Doc("the update rule")]
    epochs: Annotated[Whole, Ge(1), Le(1_000_000), Doc("passes over the training data")] = 300
    seed: Annotated[Whole, Ge(0), Le(MAX_SEED), Doc("of every random number of the run")] = 42
    device: Annotated[str, AfterValidator(_device), Doc("auto, cpu, cuda, cuda:N or mps")] = "auto"
    threads: Annotated[Whole, Ge(1), Le(256), Doc("CPU threads; part of a run's numbers")] = 2
    checkpoint_every: Annotated[Whole, Ge(1), Le(1_000_000), Doc("epochs between checkpoints")] = 1

    @model_validator(mode="after")
    def _fits_in_memory(self) -> "TrainConfig":
        widths = (784, *self.model.hidden, 10)
        count = sum(prod(pair) + pair[1] for pair in pairwise(widths))
        if count > MAX_PARAMETERS:
            needs = f"{count:,} parameters, {count * 16 / 2**30:,.1f} GiB with gradients and optimizer state"
            message = f"{needs}; the limit is {MAX_PARAMETERS:,} parameters"
            raise PydanticCustomError("size", message, {"key": "model.hidden"})
        return self


SCHEMAS: dict[str, type[Section]] = {"optimize": OptimizeConfig, "train": TrainConfig}
