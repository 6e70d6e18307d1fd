"""The keys of `optilab train`."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import prod
from typing import Annotated, Any, ClassVar, Literal

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Len, Lt, MinLen
from pydantic import AfterValidator, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from optilab.config.schema.fields import Name, Number, OneOf, Section, Whole
from optilab.config.schema.model import ModelConfig
from optilab.errors import shown
from optilab.optimize import ALGORITHMS, Algorithm
from optilab.optimize.schedules import SCHEDULES, Constant, OneCycle

MAX_PARAMETERS = 100_000_000
MAX_SEED = 2**63 - 1
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,3})?")


def _device(given: str) -> str:
    if _DEVICE.fullmatch(given):
        return given
    raise ValueError(f"auto, cpu, cuda, cuda:N or mps expected, got {shown(given)}")


class DataConfig(Section):
    """What is learned from, and in which portions."""

    dataset: Annotated[
        Literal["fashion-mnist", "idx"], Doc("fashion-mnist, or any four IDX files with a SHA256SUMS file")
    ] = "fashion-mnist"
    dir: Annotated[str | None, MinLen(1), Doc("folder of the dataset; by default it is found or fetched")] = None
    scale: Annotated[Number, Gt(0), Doc("the pixels, 0 to 255, are divided by this")] = 255.0
    mean: Annotated[Number, Doc("then this is subtracted, as torchvision's Normalize does")] = 0.0
    std: Annotated[Number, Gt(0), Doc("and that is divided by this")] = 1.0
    train_images: Annotated[
        Whole | None, Ge(1), Doc("how many of the training images are used, the hold-out among them; null: all")
    ] = None
    train_images_drawn: Annotated[Literal["first", "random"], Doc("the first ones, or at random")] = "first"
    batch_size: Annotated[Whole, Ge(1), Le(60_000), Doc("images per step; the last batch may be smaller")] = 512
    drop_last: Annotated[bool, Doc("leave out a last batch that is smaller, in training")] = False
    validation_batch_size: Annotated[
        Whole | None, Ge(1), Le(60_000), Doc("images at once in validation; null: batch_size")
    ] = None
    validation: Annotated[
        Literal["test", "holdout"],
        Doc("measured after each epoch: the test set, or training images held out (then the test set at the end)"),
    ] = "test"
    holdout: Annotated[Whole, Ge(1), Doc("how many images `validation: holdout` takes")] = 10_000
    holdout_drawn: Annotated[
        Literal["random", "first", "last"], Doc("at random, or the first or last of the training images")
    ] = "random"
    split_seed: Annotated[
        Whole | None, Ge(0), Le(MAX_SEED), Doc("of a generator for images drawn at random; null: the run's seed")
    ] = None
    shuffle: Annotated[bool, Doc("the training images come in a new order in each epoch")] = True
    shuffle_seed: Annotated[
        Whole | None,
        Ge(0),
        Le(MAX_SEED),
        Doc("of a generator for the training's DataLoader; null: the run's seed"),
    ] = None
    validation_draws: Annotated[
        Whole,
        Ge(0),
        Le(1000),
        Doc("random numbers drawn after each epoch: 1 per DataLoader that is gone through, 2 where it shuffles"),
    ] = 1
    peeks: Annotated[
        Whole,
        Ge(0),
        Le(1000),
        Doc("next(iter(DataLoader)) before the network is built; each draws as an epoch does"),
    ] = 0

    @model_validator(mode="after")
    def _draws_a_part(self) -> "DataConfig":
        if self.train_images_drawn == "random" and self.train_images is None:
            raise _problem("data.train_images_drawn", "data.train_images says how many; without it all are used")
        return self

    @property
    def evaluated_at_once(self) -> int:
        """Images per batch in validation and test."""
        return self.validation_batch_size or self.batch_size


class StageConfig(Section):
    """A part of the training with a part of the network: its first hidden layers under a new output layer."""

    layers: Annotated[Whole, Ge(1), Doc("hidden layers in this stage")]
    epochs: Annotated[Whole | None, Ge(1), Doc("epochs of this stage; the last goes on to the end")] = None
    train: Annotated[Literal["all", "new"], Doc("all layers, or those that earlier stages lack")] = "all"
    validation_draws: Annotated[
        Whole | None, Ge(0), Le(1000), Doc("as data.validation_draws, for this stage; null: that one")
    ] = None


class EarlyStopping(Section):
    """When to end before the last epoch."""

    patience: Annotated[Whole, Ge(1), Doc("epochs without a better value after which the run ends")]
    monitor: Annotated[Literal["val_loss", "val_acc"], Doc("the value: lower loss, higher accuracy")] = "val_loss"
    min_delta: Annotated[Number, Ge(0), Doc("how much better is better")] = 0.0


class Plateau(Section):
    """When to lower the learning rate because nothing gets better (torch ReduceLROnPlateau)."""

    factor: Annotated[Number, Gt(0), Lt(1), Doc("the learning rate is multiplied by this")] = 0.1
    patience: Annotated[Whole, Ge(0), Doc("epochs without a better value that are waited for")] = 10
    monitor: Annotated[
        Literal["val_loss", "val_acc", "train_loss"], Doc("the value: lower loss, higher accuracy")
    ] = "val_loss"
    threshold: Annotated[Number, Ge(0), Doc("how much better is better")] = 1e-4
    relative: Annotated[bool, Doc("the threshold is a share of the best value (torch: threshold_mode)")] = True
    cooldown: Annotated[Whole, Ge(0), Doc("epochs after a drop that are not counted")] = 0
    lowest: Annotated[Number, Ge(0), Le(1), Doc("the factors together are never below (torch: min_lr/lr)")] = 0.0


class TrainConfig(Section):
    """`optilab train`: one network, trained and measured epoch by epoch."""

    kind: ClassVar[str] = "train"

    name: Annotated[Name, Doc("name of the study, part of the run's name")] = "train"
    model: Annotated[ModelConfig, Doc("the network")] = Field(default_factory=ModelConfig)
    data: Annotated[DataConfig, Doc("the dataset")] = Field(default_factory=DataConfig)
    optimizer: Annotated[Algorithm, OneOf(ALGORITHMS, "optimizer"), Doc("the update rule")]
    weight_decay: Annotated[Number, Ge(0), Doc("this times the weights is added to their gradient")] = 0.0
    clip_norm: Annotated[
        Number | None, Gt(0), Doc("the gradient is shortened to this Euclidean norm; null: never")
    ] = None
    clip_value: Annotated[Number | None, Gt(0), Doc("each number of the gradient is cut to this; null: never")] = (
        None
    )
    schedule: Annotated[Any, OneOf(SCHEDULES, "schedule"), Doc("factor of the learning rate")] = Constant()
    plateau: Annotated[Plateau | None, Doc("lower the learning rate when nothing gets better; null: never")] = None
    schedule_by: Annotated[Literal["epoch", "batch"], Doc("what the schedule counts as a step")] = "epoch"
    cycle_momentum: Annotated[
        bool,
        Doc("one-cycle moves the momentum (beta1) too, 0.95 to 0.85 and back, as torch does unless told not to"),
    ] = False
    stages: Annotated[
        tuple[StageConfig, ...], Strict(False), Len(0, 1000), Doc("how the network grows; [] trains it at once")
    ] = ()
    stages_drawn: Annotated[
        Literal["at-once", "in-turn"],
        Doc("when hidden layers draw their first weights: all before the training, or as their stage begins"),
    ] = "at-once"
    early_stopping: Annotated[EarlyStopping | None, Doc("when to end early; null: never")] = None
    epochs: Annotated[Whole, Ge(1), Le(1_000_000), Doc("passes over the training data")] = 300
    loss_mean: Annotated[
        Literal["batches", "images"], Doc("what a loss is the mean of; they differ by a smaller last batch")
    ] = "batches"
    seed: Annotated[Whole, Ge(0), Le(MAX_SEED), Doc("of every random number of the run")] = 42
    train_seed: Annotated[
        Whole | None, Ge(0), Le(MAX_SEED), Doc("seeds once more when the network is built; null: no")
    ] = None
    device: Annotated[str, AfterValidator(_device), Doc("auto, cpu, cuda, cuda:N or mps")] = "auto"
    dtype: Annotated[
        Literal["float32", "float64"], Doc("what is drawn and computed in: torch.set_default_dtype")
    ] = "float32"
    threads: Annotated[Whole, Ge(1), Le(256), Doc("CPU threads; part of a run's numbers")] = 2
    probes: Annotated[Whole, Ge(0), Le(1000), Doc("batches per epoch that diagnostics look into; 0: none")] = 3
    checkpoint_every: Annotated[Whole, Ge(1), Le(1_000_000), Doc("epochs between checkpoints")] = 1

    def stage_at(self, epoch: int) -> int:
        """Index of the stage that an epoch (from 1) belongs to; 0 where there are no stages."""
        lengths = [stage.epochs or self.epochs for stage in self.stages[:-1]]
        return bisect_left(list(accumulate(lengths)), epoch)

    @model_validator(mode="after")
    def _fits_in_memory(self) -> "TrainConfig":
        widths = (784, *self.model.hidden, 10)
        count = sum(prod(pair) + pair[1] for pair in pairwise(widths))
        if count > MAX_PARAMETERS:
            needs = f"{count:,} parameters, {count * 16 / 2**30:,.1f} GiB with gradients and optimizer state"
            message = f"{needs}; the limit is {MAX_PARAMETERS:,} parameters"
            raise _problem("model.hidden", message)
        return self

    @model_validator(mode="after")
    def _optimizer_trains(self) -> "TrainConfig":
        rule = self.optimizer
        if rule.needs:
            needs = " and ".join(rule.needs)
            raise _problem(
                "optimizer", f"{rule.name} needs the {needs} of the function; training has gradients only"
            )
        if not isinstance(self.schedule, Constant) and not hasattr(rule, "lr"):
            raise _problem("schedule", f"{rule.name} has no learning rate that a schedule could change")
        if self.plateau is not None and not hasattr(rule, "lr"):
            raise _problem("plateau", f"{rule.name} has no learning rate that could be lowered")
        if self.cycle_momentum and not isinstance(self.schedule, OneCycle):
            raise _problem(
                "cycle_momentum", f"only the schedule one-cycle has such a cycle, not {self.schedule.name}"
            )
        if self.cycle_momentum and rule.name == "sgd":
            raise _problem(
                "cycle_momentum", "sgd has no momentum; torch gives it one: write `optimizer: momentum`"
            )
        return self

    @model_validator(mode="after")
    def _stages_grow(self) -> "TrainConfig":
        if not self.stages:
            return self
        depths, depth, frozen = [stage.layers for stage in self.stages], len(self.model.hidden), self.model.freeze
        if depths != sorted(depths) or depths[-1] != depth:
            expected = f"no stage may have fewer layers than the one before, the last needs all {depth}"
            raise _problem("stages", f"{expected}; got {_listed(depths)}")
        if any(stage.epochs is None for stage in self.stages[:-1]):
            raise _problem("stages", "every stage but the last needs its number of epochs")
        if self.stages[-1].epochs is not None:
            advice = f"leave its epochs out (epochs: {self.epochs} is that of the run)"
            raise _problem("stages", f"the last stage goes on to the end of the run; {advice}")
        if frozen:
            raise _problem("model.freeze", "not with stages; `train: new` freezes the layers of earlier stages")
        if self.early_stopping is not None:
            raise _problem("early_stopping", "not with stages, whose epochs are given")
        if self.plateau is not None:
            raise _problem("plateau", "not with stages, each of which has its own course")
        return self


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _problem(key: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("train", message, {"key": key})
