"""The keys of `optilab sweep`, `optilab remedy` and `optilab race --on`: a study, as its study.yaml repeats it."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import Field, GetCoreSchemaHandler, model_validator
from pydantic_core import PydanticCustomError, core_schema

from optilab.config.claims import NETWORK_RACE, RACE, TRAINING, Claims, require_metrics
from optilab.config.fields import Definitions, Name, Number, Section, Whole, reference
from optilab.config.training import TrainConfig
from optilab.errors import shown

MAX_SEEDS = 1000


class _Training:
    """A preset or a file by its name, or the keys of a training themselves."""

    @staticmethod
    def build(given: Any) -> Any:
        if isinstance(given, str | TrainConfig):
            return given
        if isinstance(given, dict):
            return TrainConfig.model_validate(given)
        message = f"a preset, a YAML file or the keys of a training expected, got {shown(given)}"
        raise PydanticCustomError("training", "{said}", {"said": message})

    @staticmethod
    def dump(value: Any) -> Any:
        return value.model_dump(mode="json") if isinstance(value, TrainConfig) else value

    def json_schema(self, inner: Any, definitions: Definitions) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, reference(TrainConfig, definitions)]}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.build, serialization=core_schema.plain_serializer_function_ser_schema(self.dump)
        )


class SweepConfig(Section):
    """`optilab sweep`: one training over axes of settings and several seeds."""

    kind: ClassVar[str] = "sweep"
    everyday: ClassVar[Sequence[str]] = ("config", "over", "seeds", "samples", "metric")

    name: Annotated[Name | None, Doc("label of the study; null: that of the training")] = None
    config: Annotated[Any, _Training(), Doc("the training: a preset, a YAML file, or its keys")]
    over: Annotated[
        dict[str, Any],
        Doc("axes: dotted key -> LOW:HIGH[:COUNT][:log], or a list of values; the study is their product"),
    ] = Field(default_factory=dict)
    zip: Annotated[bool, Doc("walk all axes together instead of taking their product")] = False
    samples: Annotated[
        Whole | None, Ge(1), Le(100_000), Doc("draw so many points from the box of the axes; null: the product")
    ] = None
    search: Annotated[Literal["tpe"] | None, Doc("how the samples are chosen; null: a Sobol sequence")] = None
    seeds: Annotated[Whole, Ge(1), Le(MAX_SEEDS), Doc("seeds of each point, from that of the training on")] = 1
    halving: Annotated[
        Whole | None, Ge(2), Le(100), Doc("successive halving: at each rung one in so many goes on; null: all do")
    ] = None
    metric: Annotated[str, MinLen(1), Doc("the column of metrics.csv by which points are compared")] = "val_acc"
    keep: Annotated[
        Literal["last", "best", "none", "all"], Doc("checkpoints that remain of a trial that has ended")
    ] = "last"
    expect: Claims = ()

    @model_validator(mode="after")
    def _claims_are_measured(self) -> "SweepConfig":
        require_metrics(self.expect, TRAINING)
        return self


class RemedyConfig(Section):
    """`optilab remedy`: one training as it is, and with each remedy."""

    kind: ClassVar[str] = "remedy"
    everyday: ClassVar[Sequence[str]] = ("config", "only", "tune", "seeds")

    config: Annotated[Any, _Training(), Doc("the training: a preset, a YAML file, or its keys")]
    set: Annotated[dict[str, Any], Doc("dotted key -> value, in all trainings")] = Field(default_factory=dict)
    only: Annotated[list[str] | None, MinLen(1), Doc("names of remedies; null: all")] = None
    pairs: Annotated[bool, Doc("also two remedies at once, where they change different keys")] = False
    tune: Annotated[
        Whole | None,
        Ge(1),
        Le(10_000),
        Doc("learning rates tried per remedy, the unchanged network included; null: that of the config"),
    ] = None
    holdout: Annotated[
        Whole,
        Ge(1),
        Doc("with tune: training images held out to choose rates on, unless the training has its own"),
    ] = 10_000
    seeds: Annotated[Whole, Ge(1), Le(MAX_SEEDS), Doc("seeds of each training, from its own on")] = 1
    expect: Claims = ()

    @model_validator(mode="after")
    def _claims_are_measured(self) -> "RemedyConfig":
        require_metrics(self.expect, TRAINING if self.tune is None else NETWORK_RACE)
        return self


class FunctionRaceConfig(Section):
    """`optilab race`: rules with the same budget of tuning, on test functions."""

    kind: ClassVar[str] = "race"

    algos: Annotated[list[str] | None, MinLen(1), Doc("the rules; null: ten")] = None
    functions: Annotated[
        list[str] | None, MinLen(1), Doc("test functions with a known minimum; null: sixteen")
    ] = None
    budget: Annotated[Whole, Ge(1), Le(10_000), Doc("settings tried per rule and function")] = 50
    starts: Annotated[Whole, Ge(1), Le(10_000), Doc("starts to tune on, and as many to judge on")] = 20
    repeats: Annotated[Whole, Ge(1), Le(1000), Doc("repeats with other settings and starts")] = 3
    epochs: Annotated[Whole, Ge(1), Le(1_000_000), Doc("gradients until a path is given up")] = 200
    accuracy: Annotated[Number, Ge(1e-15), Le(0.5), Doc("solved when f - f_min is this share of what it was")] = (
        1e-3
    )
    seed: Annotated[Whole, Ge(0), Doc("seed of the settings and the starts")] = 0
    expect: Claims = ()

    @model_validator(mode="after")
    def _claims_are_measured(self) -> "FunctionRaceConfig":
        require_metrics(self.expect, RACE)
        return self


class RaceConfig(Section):
    """`optilab race --on`: rules with the same budget of tuning, on one or more trainings."""

    kind: ClassVar[str] = "race"
    everyday: ClassVar[Sequence[str]] = ("on", "algos", "budget", "seeds")

    name: Annotated[Name | None, Doc("label of the study; null: those of the trainings")] = None
    on: Annotated[
        list[Annotated[Any, _Training()]],
        MinLen(1),
        Doc("the trainings: presets, YAML files, or their keys; the optimizer of each is replaced"),
    ]
    algos: Annotated[list[str], MinLen(2), Doc("the rules")]
    budget: Annotated[Whole, Ge(1), Le(10_000), Doc("settings tried per rule and training, one seed each")] = 10
    seeds: Annotated[Whole, Ge(1), Le(MAX_SEEDS), Doc("new seeds on which the chosen setting is judged")] = 5
    repeats: Annotated[Whole, Ge(1), Le(1000), Doc("repeats of tuning and judging with other draws and seeds")] = 1
    holdout: Annotated[
        Whole,
        Ge(1),
        Doc("training images held out, on which settings are chosen, unless the training has its own"),
    ] = 10_000
    target: Annotated[
        Number | None, Gt(0), Lt(1), Doc("validation accuracy to be reached; null: that of sgd, or the first rule")
    ] = None
    seed: Annotated[Whole, Ge(0), Doc("seed of the drawn settings")] = 0
    keep: Annotated[
        Literal["last", "best", "none", "all"], Doc("checkpoints that remain of a trial that has ended")
    ] = "none"
    expect: Claims = ()

    @model_validator(mode="after")
    def _claims_are_measured(self) -> "RaceConfig":
        require_metrics(self.expect, NETWORK_RACE)
        return self
