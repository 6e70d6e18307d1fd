"""The state of a training as bytes, and back.

The file name contains the SHA-256 (`optilab.runs.directory`), so the content is what a run has written: a checkpoint is
compared with its run, not searched for forgeries.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from optilab import runs
from optilab.config.training import TrainConfig, digest
from optilab.errors import CheckpointError, OptilabError, RunError
from optilab.train.device import generators, set_generators
from optilab.train.trees import from_bytes, to_bytes

if TYPE_CHECKING:
    from optilab.train.engine import Training

MAX_BYTES = 1 << 34


def save(training: "Training") -> bytes:
    """Model, optimizer, history and all generators as bytes, which depend on nothing else."""
    generator, device_generator = generators(training.device)
    return to_bytes(
        {
            "config": digest(training.config),
            "data": training.digests,
            "first_loss": training.first_loss,
            "rows": training.rows,
            "model": training.model.state_dict(),
            "optimizer": training.optimizer.state_dict(),
            "generator": generator,
            "device_generator": device_generator,
            "shuffler": training.shuffler and training.shuffler.get_state(),
        }
    )


def restore(training: "Training", data: bytes, written_by: TrainConfig | None = None) -> None:
    """Set a newly started training to the state in `data`, which a run with the config `written_by` saved (None: the
    training's).

    CheckpointError where the state does not fit; the training can then be restored from other data. RunError where
    it was trained on another dataset.
    """
    state = from_bytes(data)
    if state["config"] != digest(written_by or training.config):
        raise CheckpointError("the checkpoint belongs to a run with another config")
    if state["data"] != training.digests:
        raise RunError("a checkpoint comes from a run on another dataset")
    rows: list[runs.Row] = state["rows"]
    try:
        if (stage := training.config.stage_at(len(rows))) != training.stage:
            training.enter_stage(stage)
        training.model.load_state_dict(state["model"])
        training.optimizer.load_state_dict(state["optimizer"])
        # Last, because building and loading may draw.
        set_generators(training.device, (state["generator"], state["device_generator"]))
        if training.shuffler:
            training.shuffler.set_state(state["shuffler"])
    except OptilabError:
        raise
    except Exception as error:  # torch raises half a dozen types for a state of another network or optimizer
        raise CheckpointError(f"the checkpoint's state does not fit the run ({error})") from error
    training.rows[:], training.first_loss = rows, state["first_loss"]


def restore_newest(training: "Training", run: runs.Run, warn: Callable[[str], None]) -> None:
    """Continue from the newest whole checkpoint; `warn(text)` gets a line for each that is newer and not usable.

    A run with neither a checkpoint nor a row that had one starts over. CheckpointError where no checkpoint is usable;
    no file of the run has then been changed. Afterwards the run has exactly the files that it had after that epoch.
    """
    candidates = runs.checkpoints(run.path)
    for epoch, path in candidates:
        try:
            restore(training, runs.read_checkpoint(path, MAX_BYTES))
            if training.epoch != epoch:
                raise CheckpointError(f"it holds epoch {training.epoch}")
        except CheckpointError as error:
            is_last = path == candidates[-1][1]
            warn(f"{at(path, error)}{'' if is_last else '; using the one before'}")
        else:
            for message in run.rewind(training.rows):
                warn(message)
            if training.rows:
                run.prune(path, runs.best(training.rows)["epoch"])
            return
    if candidates:
        raise CheckpointError(f"no usable checkpoint in {run.path}")
    recorded = len(runs.read_table(run.path / "metrics.csv"))
    every = max(training.config.checkpoint_every, run.manifest.get("config", {}).get("checkpoint_every", 1))
    if recorded >= every or run.manifest.get("status") == "done":
        raise CheckpointError(f"{run.path} records {recorded} epochs but has no checkpoint")
    for message in run.rewind([]):
        warn(message)


def tested_at_best(training: "Training", run: runs.Run, tested: runs.Row) -> runs.Row:
    """best_test_loss and best_test_acc: the test set at the epoch with the highest validation accuracy, which was
    chosen without it. `tested` is the last epoch's. Empty where there is no test set, or no whole checkpoint of it.
    """
    epoch = runs.best(training.rows)["epoch"] if tested else 0
    path = dict(runs.checkpoints(run.path)).get(epoch)
    if epoch != training.epoch:
        if path is None or training.config.stage_at(epoch) != training.stage:
            return {}
        last = save(training)
        try:
            restore(training, runs.read_checkpoint(path, MAX_BYTES))
            tested = training.tested()
        except CheckpointError:
            return {}  # the comparison that asks for it names this run
        finally:
            restore(training, last)
    return {f"best_{key}": value for key, value in tested.items()}


def at(path: object, error: CheckpointError) -> str:
    """The error, with the file of the checkpoint as its place."""
    return str(error) if str(path) in str(error) else f"{path}: {error}"
