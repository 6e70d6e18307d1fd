"""The keys that reproduce another script's log: what it drew, in which order, and how it averaged."""

from typing import Annotated, Literal

from annotated_doc import Doc
from annotated_types import Ge, Le, Len
from pydantic import Strict

from optilab.config.schema.fields import Listed, Section, Whole

MAX_SEED = 2**63 - 1

Seed = Annotated[Whole, Ge(0), Le(MAX_SEED)]


class Replay(Section):
    """The random draws and averages of another script; a training of your own leaves this section out."""

    draws_before: Annotated[
        Whole,
        Ge(0),
        Le(10_000_000_000),
        Doc("32-bit random numbers drawn between the seed and the training, by earlier cells of a notebook"),
    ] = 0
    take: Annotated[
        Literal["first", "random"], Doc("which images data.images takes: the first, or random_split's")
    ] = "first"
    hold_out: Annotated[
        Literal["random", "first", "last"],
        Doc("which images data.holdout takes: random_split's, or the first or last of the training images"),
    ] = "random"
    split_seed: Annotated[
        Seed | None, Doc("seed of the generator that random_split was given; null: the global one")
    ] = None
    shuffle_seed: Annotated[
        Seed | None, Doc("seed of the generator of the training's DataLoader; null: the global one")
    ] = None
    training_seed: Annotated[Seed | None, Doc("re-seed after building the network; null: don't")] = None
    loaders_peeked: Annotated[
        Whole, Ge(0), Le(1000), Doc("times that next(iter(train_loader)) runs before the network is built")
    ] = 0
    loaders_per_epoch: Annotated[
        tuple[Annotated[Whole, Ge(0), Le(1000)], ...],
        Strict(False),
        Len(1, 1000),
        Listed(),
        Doc("DataLoaders iterated after each epoch, the validation's first; or a list, one number per stage"),
    ] = (1,)
    validation_shuffled: Annotated[
        bool, Doc("the validation's DataLoader shuffles: another order, so another last digit of the loss")
    ] = False
    layers_drawn: Annotated[
        Literal["built-first", "layer-by-layer"],
        Doc("all layers are built, then initialised; or each is before the next is built"),
    ] = "built-first"
    stages_drawn: Annotated[
        Literal["at-once", "in-turn"],
        Doc("when hidden layers are built: all before the training, or as their stage begins"),
    ] = "at-once"
    loss_mean: Annotated[
        Literal["batches", "images"], Doc("a loss is the mean over batches or over images; a small batch tells")
    ] = "batches"
    accuracy_mean: Annotated[
        Literal["images", "batches"], Doc("an accuracy is the share of images, or the mean of the batches' shares")
    ] = "images"
    cycle_momentum: Annotated[
        bool, Doc("one-cycle moves the momentum (beta1) too, 0.95 to 0.85 and back, as OneCycleLR does by default")
    ] = False

    def loaders(self, stage: int) -> int:
        """DataLoaders iterated after an epoch of that stage (from 0)."""
        return self.loaders_per_epoch[min(stage, len(self.loaders_per_epoch) - 1)]


MOVED = {
    "data.scale": "data.normalize.scale",
    "data.mean": "data.normalize.mean",
    "data.std": "data.normalize.std",
    "data.train_images": "data.images",
    "data.validation": "data.holdout, which alone means a hold-out",
    "data.train_images_drawn": "replay.take",
    "data.holdout_drawn": "replay.hold_out",
    "data.split_seed": "replay.split_seed",
    "data.shuffle_seed": "replay.shuffle_seed",
    "data.peeks": "replay.loaders_peeked",
    "data.validation_draws": "replay.loaders_per_epoch",
    "stages.validation_draws": "replay.loaders_per_epoch, a list with one number per stage",
    "model.init_order": "replay.layers_drawn",
    "train_seed": "replay.training_seed",
    "stages_drawn": "replay.stages_drawn",
    "loss_mean": "replay.loss_mean",
    "cycle_momentum": "replay.cycle_momentum",
}
"""Keys of earlier versions -> where they are now."""
