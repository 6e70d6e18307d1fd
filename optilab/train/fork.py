"""Which checkpoint of which run a fork starts from, and with which config; refusals come before torch is imported."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optilab import runs
from optilab.config.fields import Override, changeable, dump, flat, load
from optilab.config.training import TrainConfig
from optilab.errors import CheckpointError, RunError, UsageError, shown
from optilab.train.resume import config_of

KEPT = (
    "model.",
    "stages",
    "dtype",
    "seed",
    "data.dataset",
    "data.images",
    "data.holdout",
    "data.normalize.",
    "replay.",
)
"""Keys that a fork takes from its run: the network, the type of its numbers, and which images it has learned from."""
RESEEDED = ("replay.training_seed", "replay.shuffle_seed")
"""The exceptions: another seed makes the fork draw other numbers than its run from the checkpoint on."""


@dataclass(frozen=True)
class Branch:
    """A fork that is about to start: `config` goes on after `epoch`, where the run `source` had the config `before`."""

    source: runs.Record
    before: TrainConfig
    config: TrainConfig
    epoch: int
    checkpoint: Path

    @property
    def changed(self) -> list[str]:
        """`key: old -> new` of every key that both configs have."""
        return [f"{key}: {shown(old)} -> {shown(new)}" for key, old, new in _changes(self.before, self.config)]


def branch(folder: Path, spec: str, changes: Sequence[Override]) -> Branch:
    """The fork of `spec`, RUN or RUN@EPOCH (without the epoch: the newest checkpoint), with `changes` of its config.

    RunError for what is not a training or a change of what a fork keeps; CheckpointError without a checkpoint of that
    epoch; UsageError where no epoch is left to train.
    """
    name, _, number = spec.rpartition("@")
    name, epoch = (name, int(number)) if name and number.isdecimal() else (spec, None)
    source = runs.read(runs.locate(folder, name, "train"))
    before = config_of(source)
    config = load(TrainConfig, str(source.path / "config.yaml"), changes)
    refused = [
        f"{key}: {shown(old)} -> {shown(new)}"
        for key, old, new in _changes(before, config)
        if key.startswith(KEPT) and key not in RESEEDED
    ]
    if refused:
        raise RunError(
            f"{source.name} cannot be forked with {'; '.join(refused)}: a fork keeps the network and its data; "
            f"{RESEEDED[0]} draws other batches from there on"
        )
    at, checkpoint = _checkpoint(source, before, epoch)
    if config.epochs <= at:
        raise UsageError(
            f"epochs: {config.epochs} leaves nothing to train after epoch {at} of {source.name}; "
            f"give --epochs above {at}, or an earlier epoch: --fork {name}@EPOCH"
        )
    return Branch(source, before, config, at, checkpoint)


def _changes(before: TrainConfig, after: TrainConfig) -> list[tuple[str, object, object]]:
    """(key, old, new) of every key that differs; not of those that only one has, which follow from an entry's name."""
    old, new = flat(dump(before)), flat(dump(after))
    return [(key, old[key], new[key]) for key in old if key in new and old[key] != new[key]]


def _checkpoint(source: runs.Record, config: TrainConfig, epoch: int | None) -> tuple[int, Path]:
    """Epoch and file of the checkpoint of that epoch, or of the newest one."""
    there = {at: file for at, file in runs.checkpoints(source.path) if at <= config.epochs}
    chosen = max(there, default=0) if epoch is None else epoch
    if chosen in there:
        return chosen, there[chosen]
    listed = " and ".join(map(str, sorted(there))) or "none"
    missing = (
        f"{source.name} has no checkpoint"
        if epoch is None
        else f"{source.name} has no checkpoint of epoch {epoch}"
    )
    advice = ""
    if epoch is not None and 0 < epoch < config.epochs and "epochs" in changeable(config):
        file = shlex.quote(str(source.path / "config.yaml"))
        advice = f". To make it, train to there again: optilab train --config {file} --epochs {epoch}"
    raise CheckpointError(f"{missing}; there are: {listed} (a run keeps the last two and the best){advice}")
