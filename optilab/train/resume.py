"""Plans of a resume or a fork: run, config and checkpoint. Every refusal comes before torch is imported."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from optilab import runs
from optilab.config.load import config_of, load
from optilab.config.section import dump
from optilab.config.training import TrainConfig, changeable, changed_keys
from optilab.config.tree import Override, flat
from optilab.errors import CheckpointError, ConfigError, DataError, RunError, UsageError, shown
from optilab.proposals import flow
from optilab.user_code import user_code


@dataclass(frozen=True)
class Continuation:
    """A run to be continued: its config with the changes, the epochs done, and whether nothing is left to do."""

    path: Path
    config: TrainConfig
    done: int  # epochs
    complete: bool


def plan_resume(path: Path, changes: Sequence[Override]) -> Continuation:
    """The run in `path`, to be continued with `changes` of its config.

    RunError if it is not a training, or if a change would affect its numbers;
    UsageError if it already has more epochs; CheckpointError if it is damaged.
    """
    record = runs.read(path)
    current = unedited(record)
    config = load(TrainConfig, str(path / "config.yaml"), changes)
    if changed := changed_keys(current, config):
        raise RunError(_refusal(record, changed, config))
    # The checkpoints count, because a resume rewrites metrics.csv from one of them. A checkpoint beyond the epochs of
    # the run does not belong to it.
    done = next((epoch for epoch, _ in runs.checkpoints(path) if epoch <= current.epochs), 0)
    # Read the state last: a process that resumes the run records first that it runs, then its number of epochs.
    latest = runs.read(path)
    if latest.state == "done" and isinstance(latest.manifest.get("epoch"), int):
        done = max(done, latest.manifest["epoch"])  # a finished run may have lost its checkpoints
    if config.epochs < done:
        raise UsageError(f"--epochs {config.epochs} is below the {done} epochs already done")
    return Continuation(path, config, done, _is_readable(latest) and latest.has_ended(config.epochs))


def _is_readable(record: runs.Record) -> bool:
    """True if metrics.csv is whole, or no checkpoint is left from which a resume could write it again."""
    with suppress(DataError):
        return bool(record.rows()) or not runs.checkpoints(record.path)
    return not runs.checkpoints(record.path)


def refuse_changed_trial(path: Path, changes: Sequence[Override]) -> None:
    """RunError for a resume with changes of a study's trial: trials differ by the study's axes alone."""
    study = path.parent
    if not changes or not (study / runs.STUDY_FILE).is_file():
        return
    raise RunError(f"{path.name} is a trial of the study {study.name}, which is changed as a whole")


def unedited(record: runs.Record) -> TrainConfig:
    """The config of a training that nobody has edited. RunError, or CheckpointError where the manifest is damaged."""
    if record.manifest.get("command") != "train":
        raise RunError(f"{record.name} is not a run of `optilab train`; only those can be resumed or forked")
    _require_same_code(record)
    file = record.path / "config.yaml"
    try:
        current = load(TrainConfig, str(file))
    except ConfigError as error:
        raise RunError(f"{error}\n{file} was edited since the run started") from None
    config_of(record, changeable(current))
    return current


def _require_same_code(record: runs.Record) -> None:
    """RunError if the user's code has changed since the run started."""
    sources = {**record.manifest.get("own_rules", {}), **record.manifest.get("own_network", {})}
    for spec, entry in sources.items():
        copy = record.path / str(entry.get("copy"))
        try:
            code = user_code(spec)
        except UsageError as error:
            raise RunError(f"{record.name} was trained with {spec}: {error}; the run's copy is {copy}") from None
        if code.sha256 != entry.get("sha256"):
            raise RunError(
                f"{code.file} has changed since {record.name} started: SHA-256 {str(entry.get('sha256'))[:16]}... -> "
                f"{code.sha256[:16]}...; the run's copy is {copy}"
            )


def _refusal(record: runs.Record, changed: Sequence[str], config: TrainConfig) -> str:
    """The refusal of these changes, with the keys that may change."""
    allowed = sorted(key for key in changeable(config) if not key.startswith("curvature."))
    reason = (
        f"; the schedule {config.schedule.name} depends on the number of epochs" if "epochs" not in allowed else ""
    )
    accepted = f"only {', '.join(allowed)} may change{reason}"
    return f"{record.name} cannot be resumed with changed settings: {'; '.join(changed)}; {accepted}"


# --- forks ---

FIXED_KEYS = (
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
class Fork:
    """A fork that is about to start: `config` goes on after `epoch`, where the run `source` had the config `before`."""

    source: runs.Record
    before: TrainConfig
    config: TrainConfig
    epoch: int
    checkpoint: Path

    @property
    def changed(self) -> list[str]:
        """`key: old -> new` of every key that both configs have."""
        return list(_changes(self.before, self.config).values())


def plan_fork(directory: Path, spec: str, changes: Sequence[Override]) -> Fork:
    """The fork of `spec`, RUN or RUN@EPOCH (without the epoch: the newest checkpoint), with `changes` of its config.

    RunError for what is not a training or a change of what a fork keeps; CheckpointError without a checkpoint of that
    epoch; UsageError where no epoch is left to train.
    """
    name, sign, number = spec.replace(os.sep, "/").rpartition("@")
    if (sign and not number.isdecimal() and "/" not in number) or re.fullmatch(r"[\w./-]+[:# ]\d+", spec):
        raise UsageError(f"expected RUN or RUN@EPOCH, got {shown(spec)}", "--fork")  # a path may have an @
    name, epoch = (name, int(number)) if name and number.isdecimal() else (spec, None)
    source = runs.read(runs.locate(directory, name, "train"))
    before = unedited(source)
    config = load(TrainConfig, str(source.path / "config.yaml"), changes)
    changed = _changes(before, config).items()
    if refused := [(key, text) for key, text in changed if key.startswith(FIXED_KEYS) and key not in RESEEDED]:
        texts = "; ".join(dict(refused).values())
        raise RunError(f"{source.name} cannot be forked with {texts}; a fork keeps the network and its data")
    at, checkpoint = _checkpoint(source, before, epoch)
    if config.epochs <= at:
        typed = "--epochs " if any(change.where == "--epochs" for change in changes) else "epochs="
        raise UsageError(f"{typed}{config.epochs} leaves nothing to train after epoch {at} of {source.name}")
    return Fork(source, before, config, at, checkpoint)


def _changes(before: TrainConfig, after: TrainConfig) -> dict[str, str]:
    """`key: old -> new` of every key that both configs have and that differs; the others follow from a name."""
    old, new = flat(dump(before)), flat(dump(after))
    keys = (key for key in old if key in new and old[key] != new[key])
    return {key: f"{key}: {flow(old[key])} -> {flow(new[key])}" for key in keys}


def _checkpoint(source: runs.Record, config: TrainConfig, epoch: int | None) -> tuple[int, Path]:
    """Epoch and file of the checkpoint of that epoch, or of the newest one."""
    checkpoints = {at: file for at, file in runs.checkpoints(source.path) if at <= config.epochs}
    chosen = max(checkpoints, default=0) if epoch is None else epoch
    if chosen in checkpoints:
        return chosen, checkpoints[chosen]
    listed = " and ".join(map(str, sorted(checkpoints))) or "none"
    wanted = "" if epoch is None else f" of epoch {epoch}"
    raise CheckpointError(
        f"{source.name} has no checkpoint{wanted}; there are: {listed} (a run keeps the last two and the best)"
    )
