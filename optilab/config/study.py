"""The keys of `optilab sweep`, `optilab remedy` and `optilab benchmark`: a study, as its study.yaml repeats it.

Those of `optilab race` are here, too; a race has no directory.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from annotated_doc import Doc
from annotated_types import Ge, Le, MinLen
from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, WithJsonSchema
from pydantic_core import core_schema

from optilab.annotations import RANGE, FileOnly, Flag, Read, claim_doc
from optilab.config.claims import BENCHMARK, RACE, TRAINING, Claims, measured
from optilab.config.presets import optimizer_names
from optilab.config.section import Name, ScalarOrList, Section, refusal, refuse_object
from optilab.errors import UsageError, shown
from optilab.words import plural

MAX_SEEDS = 1000
FINALISTS = 3
"""The number of the best settings that a second seed decides between, where a command starts the tuning."""


def read_axes(texts: str | Sequence[str]) -> dict[str, str]:
    """The text after the `=` of each `--over`, by key. UsageError for text without a key, and for a repeated key."""
    axes: dict[str, str] = {}
    for text in [texts] if isinstance(texts, str) else texts:
        key, equals, span = (part.strip() for part in text.partition("="))
        if not (key and equals and span):
            raise UsageError(f"expected {RANGE} or KEY=VALUE,VALUE, got {shown(text)}", "--over")
        if key in axes:
            raise UsageError(f"{key} is given twice", "--over")
        axes[key] = span
    return axes


OPTIMIZERS = (
    "sgd", "momentum", "nesterov", "rmsprop", "adam", "nadam", "adagrad", "lion", "rprop", "barzilai-borwein",
)  # fmt: skip
NETWORK_OPTIMIZERS = (
    "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "nadam", "amsgrad", "lion", "prodigy",
)  # fmt: skip
FUNCTIONS = (
    "ravine", "quadratic", "booth", "matyas", "rosenbrock", "beale", "dixon-price", "zakharov", "himmelblau",
    "three-hump-camel", "six-hump-camel", "goldstein-price", "branin", "mccormick", "styblinski-tang", "bohachevsky",
)  # fmt: skip


def read_names(text: str) -> list[str]:
    """`a,b` as a list."""
    return [name.strip() for name in text.split(",")]


class _Training:
    """A preset or a file by its name, or the keys of a training themselves."""

    @staticmethod
    def build(value: Any) -> Any:
        from optilab.config.training import TrainConfig

        if isinstance(value, str | TrainConfig):
            return value
        if isinstance(value, dict):
            return TrainConfig.model_validate(value)
        raise refusal(f"expected a preset, a YAML file or the keys of a training, got {shown(value)}")

    @staticmethod
    def dump(value: Any) -> Any:
        from optilab.config.training import TrainConfig

        return value.model_dump(mode="json") if isinstance(value, TrainConfig) else value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.build, serialization=core_schema.plain_serializer_function_ser_schema(self.dump)
        )

    def __get_pydantic_json_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        from optilab.config.training import TrainConfig

        return {"anyOf": [{"type": "string"}, {"entry": TrainConfig}]}


TrainingSource = Annotated[Any, _Training(), Doc("What to train: a preset, a YAML file or the directory of a run")]
Keep = Literal["last", "best", "none", "all"]
"""The checkpoints that remain of a trial that has ended."""
Tried = Annotated[int, Ge(1), Le(10_000), Flag("N")]


def _without_section(over: Any) -> Any:
    """Ranges by the names of hyperparameters, which may be written with their section, as in a sweep."""
    if not isinstance(over, dict):
        return over
    names = [str(key).removeprefix("optimizer.") for key in over]
    if twice := [name for name in names if names.count(name) > 1]:
        raise refusal(f"{twice[0]} is given twice")
    return dict(zip(names, over.values(), strict=True))


Ranges = Annotated[
    dict[str, Any],
    BeforeValidator(_without_section),
    Flag("AXIS", repeated=True),
    Read(read_axes),
    Doc("Also tune a hyperparameter: KEY=LOW:HIGH[:log]; optimizer.KEY is the same"),
]
Repeats = Annotated[int, Ge(1), Le(1000), Flag("N")]
Seeds = Annotated[int, Ge(1), Le(MAX_SEEDS), Flag("N")]
Finalists = Annotated[
    int,
    Ge(1),
    FileOnly(),
    Doc("number of the best settings that train from a second seed, to choose one by the mean"),
]
Holdout = Annotated[
    int,
    Ge(1),
    FileOnly(),
    Doc(
        "training images held out to choose settings on, unless the training has its own; a fifth of a dataset that "
        "has no more"
    ),
]
DrawSeed = Annotated[int, Ge(0), Flag("N")]
TuneSwitch = Annotated[bool, FileOnly()]
"""The type of a switch that tunes one more hyperparameter; a command that starts a benchmark sets it."""


Axes = Annotated[
    dict[str, Any],
    Flag("AXIS", complete="key", repeated=True),
    Read(read_axes),
    Doc(f"An axis: {RANGE}, or KEY=VALUE,VALUE,... in YAML's notation"),
]


class SweepConfig(Section):
    """`optilab sweep`: one training over axes of settings and several seeds."""

    kind: ClassVar[str] = "sweep"

    name: Annotated[Name | None, FileOnly(), Doc("label of the study; null: that of the training")] = None
    config: TrainingSource
    over: Axes = Field(default_factory=dict)
    zip: Annotated[bool, Doc("Walk the axes together; by default, take their product")] = False
    samples: Annotated[
        int | None, Ge(1), Le(100_000), Flag("N"), Doc("Draw N settings from the ranges of the axes (Sobol)")
    ] = None
    search: Annotated[
        Literal["tpe"] | None, Flag("tpe"), Doc("Let Optuna's TPE choose the N settings by earlier outcomes")
    ] = None
    seeds: Annotated[Seeds, Doc("Number of seeds per setting, counting up from the config's seed")] = 1
    halving: Annotated[
        int | None,
        Ge(2),
        Le(100),
        Flag("ETA"),
        Doc("Successive halving: the best 1/ETA of the settings train on"),
    ] = None
    confirm: Annotated[
        int | None,
        Ge(0),
        Le(1000),
        Flag("K"),
        Doc("Train the K best again from new seeds, and judge them there [0; with halving or search 3]"),
    ] = None
    confirm_seeds: Annotated[
        int | None,
        Ge(2),
        Le(MAX_SEEDS),
        Flag("N"),
        Doc("New seeds for each of these K; a later, larger N trains only what is missing [--seeds, at least 5]"),
    ] = None
    metric: Annotated[str, MinLen(1), Flag("COLUMN"), Doc("Metric used to rank the settings")] = "val_acc"
    keep: Annotated[Keep, Flag("WHICH"), Doc("Which checkpoints to keep: last, best, none or all")] = "last"
    expect: Annotated[Claims, measured(TRAINING)] = ()


class RemedyConfig(Section):
    """`optilab remedy`: one training as it is, and with each remedy."""

    kind: ClassVar[str] = "remedy"

    config: TrainingSource
    set: Annotated[dict[str, Any], FileOnly(), Doc("dotted key -> value, in all trainings")] = Field(
        default_factory=dict
    )
    only: Annotated[
        list[str] | None,
        MinLen(1),
        Flag("NAME[,NAME...]", complete="remedy"),
        Read(read_names),
        Doc("These remedies only"),
    ] = None
    pairs: Annotated[bool, Doc("Also two remedies at once, where they change different keys")] = False
    over: Axes = Field(default_factory=dict)
    seeds: Annotated[Seeds, Doc("Seeds per remedy, from the config's on")] = 1
    expect: Annotated[Claims, measured(TRAINING)] = ()


def _optimizer(value: Any) -> Any:
    """A name, or a class or function of this process."""
    if not isinstance(value, str) and not callable(value):
        refuse_object(value)
        raise refusal(f"expected text, got {shown(value)}")
    return value


def _function_names(value: Any) -> Any:
    """Refuse a function of this process and a typed one, whose minima no race knows."""
    for item in value if isinstance(value, list) else [value]:
        if callable(item) or (isinstance(item, str) and re.search(r"[\^*+/()]", item)):
            named = "expected names of functions with a known minimum, which a race measures by"
            raise refusal(f"{named}, got {shown(item)}; optimize takes any function")
    return value


class RaceConfig(Section):
    """`optilab race`: rules with the same budget of tuning, on test functions."""

    kind: ClassVar[str] = "race"

    algos: Annotated[
        list[Annotated[Any, BeforeValidator(_optimizer), WithJsonSchema({"type": "string"})]] | None,
        MinLen(1),
        Flag("NAME,...", names=("--algo",), complete="rule", positional=True),
        Read(read_names),
        Doc("Optimizers to compare, each NAME or MINE=NAME [ten]"),
    ] = None
    functions: Annotated[
        list[str] | None,
        MinLen(1),
        BeforeValidator(_function_names),
        Flag("NAME,...", names=("--function",), complete="objective"),
        Read(read_names),
        Doc("Test functions with a known minimum [16 of them]"),
    ] = None
    budget: Annotated[Tried, Doc("Random settings per optimizer")] = 50
    over: Ranges = Field(default_factory=dict)
    starts: Annotated[
        Tried, Doc("Starting points used for tuning; the same number of new ones is used for evaluation")
    ] = 20
    repeats: Annotated[Repeats, Doc("Repeats with other settings and starts")] = 3
    gradients: Annotated[
        int, Ge(1), Le(1_000_000), Flag("N"), Doc("At most N gradient evaluations per starting point")
    ] = 200
    accuracy: Annotated[
        float,
        Ge(1e-15),
        Le(0.5),
        Flag("FRACTION"),
        Doc("A problem is solved when f - f_min falls to this fraction of its initial value"),
    ] = 1e-3
    seed: Annotated[DrawSeed, Doc("Seed of the settings and the starts")] = 0
    expect: Annotated[Claims, measured(RACE), claim_doc("adam: verdict == best")] = ()

    @property
    def sizes(self) -> str:
        """The sizes of tuning and evaluation, in words."""
        settings, starts = plural(self.budget, "setting"), plural(self.starts, "start")
        repeats, gradients = plural(self.repeats, "repeat"), plural(self.gradients, "gradient evaluation")
        return f"{settings} tuned on {starts}, evaluated on the same number of new ones; {repeats}; {gradients}"


Trainings = Annotated[
    list[Annotated[Any, _Training()]],
    MinLen(1),
    ScalarOrList((str, dict)),
    Doc("The networks to train, each a preset, a YAML file or the keys of a training"),
]
BenchmarkRules = Annotated[
    list[str],
    MinLen(2),
    Flag("NAME,...", names=("--algo",), complete="rule"),
    Read(optimizer_names),
    Doc("The optimizers to compare"),
]


class BenchmarkConfig(Section):
    """`optilab benchmark`: rules with the same budget of tuning, on one or more trainings."""

    kind: ClassVar[str] = "benchmark"

    name: Annotated[Name | None, FileOnly(), Doc("label of the study; null: those of the trainings")] = None
    config: Trainings
    algos: BenchmarkRules
    budget: Annotated[Tried, Doc("Random settings tried per optimizer and training, from one seed each")] = 10
    over: Ranges = Field(default_factory=dict)
    seeds: Annotated[Seeds, Doc("New seeds for the chosen setting")] = 5
    repeats: Annotated[Repeats, Doc("Repeats of tuning and judging with other draws and seeds")] = 3
    holdout: Holdout = 10_000
    finalists: Finalists = 1
    eps: Annotated[TuneSwitch, Doc("tune eps, where it matters; a command starts with true")] = False
    weight_decay: Annotated[TuneSwitch, Doc("tune the weight decay, unless the training has one; also true")] = (
        False
    )
    schedule: Annotated[TuneSwitch, Doc("choose a schedule, unless the training has one; also true")] = False
    seed: Annotated[DrawSeed, Doc("Seed of the settings; not of the trainings")] = 0
    keep: Annotated[Keep, FileOnly(), Doc("checkpoints that remain of a trial that has ended")] = "none"
    expect: Annotated[Claims, measured(BENCHMARK), claim_doc("adam: test_acc > 0.8")] = ()

    @property
    def finalist_count(self) -> int:
        """Settings of each optimizer that a second seed decides between, in each repeat on each training."""
        count = min(self.budget, self.finalists)
        return count if count > 1 else 0
