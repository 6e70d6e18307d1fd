"""The keys of `optilab train`."""

import hashlib
import json
import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence, Set
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import accumulate, pairwise
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Len, Lt, MinLen
from pydantic import AfterValidator, Field, Strict

from optilab.config.claims import TRAINING, Claims, measured
from optilab.config.model import ModelConfig
from optilab.config.section import Name, OneOf, OneRule, Pattern, ScalarOrList, Section, dump
from optilab.config.tree import flat
from optilab.config.user_network import OrUserNetwork, UserNetwork
from optilab.data.catalog import DATASETS, DatasetInfo
from optilab.errors import UsageError, shown
from optilab.optimize import Rule
from optilab.optimize.rule import follows_schedule, innermost
from optilab.optimize.schedules import SCHEDULES, Constant
from optilab.optimize.user_rule import UserRule
from optilab.proposals import flow
from optilab.user_code import UserCode, sources

MAX_SEED = 2**63 - 1

Seed = Annotated[int, Ge(0), Le(MAX_SEED)]


class Replay(Section):
    """The random draws and averages of another script; a training of your own leaves this section out."""

    split_seed: Annotated[
        Seed | None, Doc("seed of the generator that random_split was given; null: the global one")
    ] = None
    shuffle_seed: Annotated[
        Seed | None, Doc("seed of the generator of the training's DataLoader; null: the global one")
    ] = None
    training_seed: Annotated[Seed | None, Doc("re-seed after building the network; null: don't")] = None
    loaders_per_epoch: Annotated[
        tuple[Annotated[int, Ge(0), Le(1000)], ...],
        Strict(False),
        Len(1, 1000),
        ScalarOrList(),
        Doc("DataLoaders iterated after each epoch, the validation's first; or a list, one number per stage"),
    ] = (1,)
    loss_mean: Annotated[
        Literal["batches", "images"], Doc("a loss is the mean over batches or over images; a small batch tells")
    ] = "batches"

    def loaders(self, stage: int) -> int:
        """DataLoaders iterated after an epoch of that stage (from 0)."""
        return self.loaders_per_epoch[min(stage, len(self.loaders_per_epoch) - 1)]


MAX_PARAMETERS = 100_000_000
FLOAT32_MAX = (2 - 2**-23) * 2.0**127
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,3})?")


def _device(name: str) -> str:
    if not _DEVICE.fullmatch(name):
        raise ValueError(f"expected auto, cpu, cuda, cuda:N or mps, got {shown(name)}")
    return name


if TYPE_CHECKING:
    DatasetName = str
else:
    DatasetName = Literal[tuple(DATASETS)]


class Normalize(Section):
    """The scaling of the pixels, 0 to 255, as in torchvision's ToTensor and Normalize."""

    scale: Annotated[float, Gt(0), Doc("the pixels are divided by this")] = 255.0
    mean: Annotated[float, Doc("then this is subtracted")] = 0.0
    std: Annotated[float, Gt(0), Doc("then the result is divided by this")] = 1.0


class DataConfig(Section):
    """Dataset, splits and batches."""

    dataset: Annotated[
        DatasetName,
        Doc("name of a dataset; idx and npz: your own images, in dir"),
    ] = "fashion-mnist"
    dir: Annotated[
        str | None, MinLen(1), Doc("directory of the dataset, or its .npz file; null: it is found or fetched")
    ] = None
    images: Annotated[
        int | None,
        Ge(1),
        Doc("number of training images to use, including the hold-out; null: all of them"),
    ] = None
    holdout: Annotated[
        int | None,
        Ge(1),
        Doc(
            "number of training images held out for validation (the test set is then used "
            "once, at the end); null: validate on the test set"
        ),
    ] = None
    batch_size: Annotated[int, Ge(1), Le(60_000), Doc("images per step; the last batch may be smaller")] = 512
    validation_batch_size: Annotated[
        int | None, Ge(1), Le(60_000), Doc("images per batch in validation; null: batch_size")
    ] = None
    drop_last: Annotated[bool, Doc("leave out a last training batch that is smaller")] = False
    shuffle: Annotated[bool, Doc("train on the images in a new order in each epoch")] = True
    normalize: Annotated[Normalize, Doc("what is done to the pixels")] = Field(default_factory=Normalize)

    @property
    def info(self) -> DatasetInfo:
        """The properties of the dataset that are known without reading it."""
        return DATASETS[self.dataset]

    @property
    def source(self) -> tuple[str, str | None]:
        """The dataset, and where it is."""
        return self.dataset, self.dir

    def holding_out(self, images: int) -> Self:
        """The same section with a hold-out: its own if it has one, else `images`, or a fifth of the images if
        there are not more.
        """
        used = self.images or self.info.train
        held_out = images if images < used else max(1, used // 5)
        return self.model_copy(update={"holdout": self.holdout or held_out})

    def _too_few(self, images: int) -> tuple[str, str] | None:
        """The refusal of a number of training images that is too small, and the key that asks for more."""
        used = images if self.images is None else self.images
        if used > images:
            return f"expected at most {images:,}, the training images of {self.dataset}, got {used:,}", "images"
        if self.holdout is not None and self.holdout >= used:
            return f"expected fewer than the {used:,} images that are used, got {self.holdout:,}", "holdout"
        return None

    def require_enough(self, images: int) -> None:
        """UsageError where this number of training images is too small for `images` and `holdout`."""
        if problem := self._too_few(images):
            raise UsageError(problem[0], f"data.{problem[1]}")

    def inconsistencies(self) -> Iterator[tuple[str, str]]:
        yield from super().inconsistencies()
        if self.dir is not None and self.info.form in ("drawn", "scikit-learn"):
            yield f"{self.dataset} reads no directory", "dir"
        if not self.info.is_custom and (problem := self._too_few(self.info.train)):
            yield problem

    @property
    def evaluated_at_once(self) -> int:
        """Images per batch in validation and test."""
        return self.validation_batch_size or self.batch_size


class StageConfig(Section):
    """One stage of a growing network: its first hidden layers under a new output layer."""

    layers: Annotated[int, Ge(1), Doc("number of hidden layers")]
    epochs: Annotated[int | None, Ge(1), Doc("epochs of this stage; null for the last stage only")] = None


class EarlyStopping(Section):
    """End before the last epoch when a value stops improving."""

    patience: Annotated[int, Ge(1), Doc("end after this many epochs without an improvement")]
    monitor: Annotated[Literal["val_loss", "val_acc"], Doc("the value: lower loss, higher accuracy")] = "val_loss"
    min_delta: Annotated[float, Ge(0), Doc("smallest change that counts as an improvement")] = 0.0


class ReduceOnPlateau(Section):
    """Lower the learning rate when a value stops improving (torch ReduceLROnPlateau)."""

    factor: Annotated[float, Gt(0), Lt(1), Doc("the learning rate is multiplied by this")] = 0.1
    patience: Annotated[int, Ge(0), Doc("epochs without an improvement before the rate is lowered")] = 10
    monitor: Annotated[
        Literal["val_loss", "val_acc", "train_loss"], Doc("the value: lower loss, higher accuracy")
    ] = "val_loss"
    threshold: Annotated[float, Ge(0), Doc("smallest change that counts as an improvement")] = 1e-4
    relative: Annotated[bool, Doc("the threshold is relative to the best value (torch: threshold_mode)")] = True
    cooldown: Annotated[int, Ge(0), Doc("epochs after a change that are not counted")] = 0
    lowest: Annotated[float, Ge(0), Le(1), Doc("lower bound of the product of the factors (torch: min_lr/lr)")] = (
        0.0
    )


class CurvatureConfig(Section):
    """The curvature of the loss, measured while the network trains; it changes no number of the training."""

    every: Annotated[int, Ge(1), Doc("epochs between measurements")] = 1
    images: Annotated[int, Ge(1), Doc("training images, always the same, on which it is measured")] = 1000


MISSING_IN_TRAINING = {
    "H": "needs the whole Hessian at every step, which is too large for a network",
    "f": "needs the height above the minimum, which a training does not know",
    "function": "needs line searches on one function, and each step of a training has another batch",
}
"""Properties of a test function that rules may need and that no training has, each with the reason."""
FUNCTION_ONLY_RULES = frozenset(("polyak", "newton", "damped-newton", "l-bfgs", "conjugate-gradient"))
"""The rules that need one of these, by name: their classes are imported when they are looked up."""


class TrainConfig(Section):
    """`optilab train`: one network, trained and validated epoch by epoch."""

    kind: ClassVar[str] = "train"

    name: Annotated[Name, Doc("label of the experiment, part of the run's name")] = "train"
    model: Annotated[
        ModelConfig | UserNetwork,
        OrUserNetwork(),
        Doc("the network: these keys, or FILE.py:NAME, a network of your own"),
    ] = Field(default_factory=ModelConfig)
    data: Annotated[DataConfig, Doc("the dataset")] = Field(default_factory=DataConfig)
    optimizer: Annotated[Rule, OneRule(excluded=FUNCTION_ONLY_RULES), Doc("the update rule")]
    weight_decay: Annotated[float, Ge(0), Doc("L2 penalty: weight_decay * w is added to the gradient")] = 0.0
    clip_norm: Annotated[float | None, Gt(0), Doc("largest Euclidean norm of the gradient; null: no limit")] = None
    clip_value: Annotated[
        float | None, Gt(0), Doc("largest absolute value of a gradient's entry; null: no limit")
    ] = None
    schedule: Annotated[Any, OneOf(SCHEDULES, "schedule"), Doc("factor of the learning rate")] = Constant()
    plateau: Annotated[
        ReduceOnPlateau | None, Doc("lower the learning rate when a value stops improving; null: never")
    ] = None
    schedule_by: Annotated[Literal["epoch", "batch"], Doc("what one step of the schedule is")] = "epoch"
    stages: Annotated[
        tuple[StageConfig, ...],
        Strict(False),
        Len(0, 1000),
        Doc("stages of a network that grows; []: the whole network from the start"),
    ] = ()
    early_stopping: Annotated[EarlyStopping | None, Doc("when to stop early; null: never")] = None
    epochs: Annotated[int, Ge(1), Le(1_000_000), Doc("passes over the training data")] = 300
    seed: Annotated[int, Ge(0), Le(MAX_SEED), Doc("seed of every random number of the run")] = 42
    device: Annotated[
        str,
        AfterValidator(_device),
        Pattern(f"^({_DEVICE.pattern})$"),
        Doc("auto, cpu, cuda, cuda:N or mps"),
    ] = "auto"
    dtype: Annotated[
        Literal["float32", "float64"], Doc("type of every number, as torch.set_default_dtype sets it")
    ] = "float32"
    threads: Annotated[int, Ge(1), Le(256), Doc("CPU threads; they affect the last digits")] = 2
    probes: Annotated[
        int, Ge(0), Le(1000), Doc("batches per epoch that are measured for diagnostics; 0: none")
    ] = 3
    curvature: Annotated[
        CurvatureConfig | None, Doc("measure the sharpness and its limit of stability; null: never")
    ] = None
    checkpoint_every: Annotated[int, Ge(1), Le(1_000_000), Doc("epochs between checkpoints")] = 1
    expect: Annotated[Claims, measured(TRAINING)] = ()
    replay: Annotated[Replay, Doc("what another script drew, to reproduce its log")] = Field(
        default_factory=Replay
    )

    @property
    def steps(self) -> int:
        """Training steps of all epochs, by what is known of the dataset without reading it."""
        data = self.data
        images = (data.images or data.info.train) - (data.holdout or 0)
        return self.epochs * (images // data.batch_size if data.drop_last else math.ceil(images / data.batch_size))

    @property
    def user_files(self) -> dict[str, UserCode]:
        """The user's files that it needs, of optimizer and network, by the name of their copy."""
        return sources([self.optimizer, self.model])

    def stage_at(self, epoch: int) -> int:
        """Index of the stage of an epoch (from 1); 0 where there are no stages."""
        lengths = [stage.epochs or self.epochs for stage in self.stages[:-1]]
        return bisect_left(list(accumulate(lengths)), epoch)

    def inconsistencies(self) -> Iterator[tuple[str, str]]:
        model, info = self.model, self.data.info
        if isinstance(model, ModelConfig) and (
            message := size_problem(parameters(model.widths(info.inputs, len(info.classes))))
        ):
            yield message, "model.hidden"
        if isinstance(model, UserNetwork) and self.stages:
            yield f"optilab's own network grows in stages; {model.name} does not", "stages"
        key, value = next(_beyond_float32(self, ""), ("", 0.0))
        if key and self.dtype == "float32":
            yield f"{value:g} does not fit in float32, whose largest number is {FLOAT32_MAX:.4g}", key
        yield from self._inconsistencies_of_optimizer()
        if (count := len(self.replay.loaders_per_epoch)) not in (1, len(self.stages)):
            expected = f"one number{f' or {len(self.stages)}, one per stage' if self.stages else ''}"
            yield f"expected {expected}, got {count}", "replay.loaders_per_epoch"
        if self.stages and isinstance(model, ModelConfig):
            yield from self._inconsistencies_of_stages(len(model.hidden))

    def _inconsistencies_of_optimizer(self) -> Iterator[tuple[str, str]]:
        rule = self.optimizer
        while rule.original.name == "sam":  # around whatever trains by itself
            rule = rule.base  # type: ignore[attr-defined]
        if "grad" in rule.needs:
            yield f"{rule.name} needs a second gradient, which only sam gets in training", "optimizer"
        for why in (MISSING_IN_TRAINING[name] for name in rule.needs if name in MISSING_IN_TRAINING):
            yield f"{rule.name} {why}", "optimizer"
        if not isinstance(self.schedule, Constant) and not follows_schedule(rule):
            yield f"{rule.name} has no learning rate that a schedule can change", "schedule"
        if self.plateau is not None and not follows_schedule(rule):
            yield f"{rule.name} has no learning rate that a plateau can lower", "plateau"
        rule = innermost(rule)
        shallow = isinstance(self.model, ModelConfig) and len(self.model.hidden) < 2  # else known when it is built
        if getattr(rule, "matrices", "all") == "hidden" and shallow:
            between = "trains those between the first and the last, and fewer than two hidden layers have none"
            yield f"{rule.name} with `matrices: hidden` {between}", "optimizer"

    def _inconsistencies_of_stages(self, depth: int) -> Iterator[tuple[str, str]]:
        depths = [stage.layers for stage in self.stages]
        if depths != sorted(depths) or depths[-1] != depth:
            expected = f"numbers of layers that rise to {depth}"
            yield f"expected {expected}, got {', '.join(map(str, depths))}", "stages"
        if any(stage.epochs is None for stage in self.stages[:-1]):
            yield "every stage but the last needs its epochs", "stages"
        if self.stages[-1].epochs is not None:
            yield "the last stage goes on to the end of the run, and has no epochs of its own", "stages"
        for key in ("early_stopping", "plateau"):
            if getattr(self, key) is not None:
                yield "cannot be combined with stages", key


def changeable(config: TrainConfig) -> frozenset[str]:
    """Keys of a training that may change when it is resumed, because no number of the epochs so far depends on them.

    `epochs` is one of them unless there is a schedule, which can depend on their number.
    """
    curvature = {"curvature", "curvature.every", "curvature.images"}
    keys = frozenset({"checkpoint_every", "data.dir", "expect", "optimizer.label", "probes", *curvature})
    return keys | {"epochs"} if config.schedule.name == "constant" else keys


def digest(config: TrainConfig) -> str:
    """SHA-256 of what a run's numbers depend on."""
    return hashlib.sha256(json.dumps(_counted(config, changeable(config)), sort_keys=True).encode()).hexdigest()


def _counted(value: Any, free: Set[str] = frozenset(), section: str = "") -> Any:
    """A part of a config as its checksum counts it: the name of an entry, and the keys that are not `free` and differ
    from the defaults of their class. So a new key changes no checksum. A user's code counts with all its settings.
    """
    if isinstance(value, UserNetwork):
        return value.dump()
    if isinstance(value, UserRule):
        return {key: part for key, part in (OneRule().dump(value) or {}).items() if key != "label"}
    if isinstance(value, list | tuple):
        return [_counted(item) for item in value]
    kind: Any = type(value)
    is_section = issubclass(kind, Section)
    if not (is_section or is_dataclass(kind)):
        return value
    counted = {} if is_section else {"name": value.original.name if isinstance(value, Rule) else value.name}
    for key, default in _defaults(kind).items():
        at = f"{section}{key}"
        if at not in free and repr(part := _counted(getattr(value, key), free, f"{at}.")) != default:
            counted[key] = part
    return counted


@cache
def _defaults(kind: Any) -> dict[str, str]:
    """The defaults of the class of a section or entry, by key, in the words in which they are compared."""
    if issubclass(kind, Section):
        defaults = {key: info.get_default(call_default_factory=True) for key, info in kind.model_fields.items()}
    else:
        defaults = {field.name: field.default for field in fields(kind)}
    return {key: repr(_counted(default)) for key, default in defaults.items()}


def changed_keys(before: TrainConfig, after: TrainConfig) -> list[str]:
    """`key: old -> new` of every key that differs and that a run's numbers depend on."""
    old, new = _numbers(before), _numbers(after)
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return [f"{key}: {flow(old.get(key))} -> {flow(new.get(key))}" for key in keys]


def _numbers(config: TrainConfig) -> dict[str, Any]:
    """Every key that a run's numbers depend on."""
    free = changeable(config)
    return {key: value for key, value in flat(dump(config)).items() if key not in free}


def parameters(widths: Sequence[int]) -> int:
    """The parameters of fully connected layers: inputs, the neurons of each hidden layer, and outputs."""
    return sum(prod(pair) + pair[1] for pair in pairwise(widths))


def size_problem(count: int) -> str:
    """The message for a network with too many parameters; an empty text if the number is accepted."""
    needs = f"{count:,} parameters, {count * 16 / 2**30:,.1f} GiB with gradients and optimizer state"
    return f"{needs}; the limit is {MAX_PARAMETERS:,} parameters" if count > MAX_PARAMETERS else ""


def _beyond_float32(value: Any, key: str) -> Iterator[tuple[str, float]]:
    """Key and value of every number that float32 cannot hold."""
    if isinstance(value, float) and abs(value) > FLOAT32_MAX:
        yield key, value
    names = type(value).model_fields if isinstance(value, Section) else ()
    for name in names or ([field.name for field in fields(value)] if is_dataclass(value) else ()):
        yield from _beyond_float32(getattr(value, name), f"{key}.{name}" if key else name)
