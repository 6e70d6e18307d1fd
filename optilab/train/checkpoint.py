"""The state of a training as bytes, and back: tensors as safetensors has them, the rest as JSON in its header.

Equal states give equal bytes, and reading runs no code. The file name contains the SHA-256 (`optilab.runs.directory`),
so the content is what a run has written: a checkpoint is compared with its run, not searched for forgeries.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from optilab import runs
from optilab.config.training import TrainConfig, digest
from optilab.errors import CheckpointError, OptilabError, RunError, UsageError, printable
from optilab.train.device import fetched, generator_state, is_on_a_device, leaves, set_generator_state

if TYPE_CHECKING:
    from optilab.train.engine import Row, Training

FORMAT = 3
MAX_BYTES = 1 << 34
HOLDS = "a checkpoint holds arrays, tensors, numbers, texts, tuples, lists and dicts"


# --- a tree as bytes ---------------------------------------------------------------------------------------


def to_bytes(tree: Any) -> bytes:
    """A tree of dicts, lists and tuples with tensors, NumPy's arrays and plain values. UsageError for other content.

    Tensors on a device come in one transfer, because each transfer waits for the device.
    """
    tensors: dict[str, Tensor] = {}
    on_device = fetched([leaf for leaf in leaves(tree) if is_on_a_device(leaf)])

    def add(tensor: Tensor) -> str:
        copy = next(on_device) if is_on_a_device(tensor) else tensor.detach().clone()
        tensors[key := f"{len(tensors):06d}"] = copy.contiguous()
        return key

    content = {"format": FORMAT, "tree": _packed(tree, "", add)}
    return safetensors.torch.save(tensors, {"optilab": json.dumps(content)})  # a single entry: they have no order


def from_bytes(data: bytes) -> Any:
    """The tree of `to_bytes`. CheckpointError for other bytes, RunError for what formats 1 and 2 were."""
    if data.startswith(b"PK"):
        raise RunError(
            "the run has checkpoints of an earlier version of optilab; this version reads such runs, and does not "
            "resume or fork them"
        )
    try:
        size = int.from_bytes(data[:8], "little")
        content = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["optilab"])
        if content["format"] != FORMAT:
            raise ValueError(f"it has format {content['format']}, and this version reads {FORMAT}")
        return _unpacked(content["tree"], safetensors.torch.load(data))
    except Exception as error:  # of JSON, of safetensors, and of a tree that is none
        raise CheckpointError(f"not a readable checkpoint: {printable(str(error))}") from error


def require_data(tree: Any, name: str) -> None:
    """UsageError for a part of a state of the user's code that a checkpoint cannot hold."""
    _packed(tree, name, lambda tensor: "")


def _packed(tree: Any, name: str, add: Callable[[Tensor], str]) -> Any:
    """A tree as JSON; a dict with a single key stands for what JSON does not have."""

    def parts(names: Iterable[Any], values: Iterable[Any]) -> list[Any]:
        return [_packed(value, f"{name}[{key!r}]", add) for key, value in zip(names, values, strict=True)]

    if tree is None or type(tree) in (bool, int, float, str):
        return tree
    if isinstance(tree, Tensor):
        return {"tensor": add(tree)}
    if isinstance(tree, np.ndarray | np.generic) and tree.dtype.kind in "biuf":
        array = np.array(tree, tree.dtype.newbyteorder("="), order="C")
        return {"array" if isinstance(tree, np.ndarray) else "scalar": add(torch.from_numpy(array))}
    if isinstance(tree, np.random.Generator):
        return {"generator": _packed(tree.bit_generator.state, name, add)}
    if isinstance(tree, dict):
        return {"dict": [list(pair) for pair in zip(parts(tree, tree), parts(tree, tree.values()), strict=True)]}
    if isinstance(tree, tuple):
        return {"tuple": parts(getattr(tree, "_fields", range(len(tree))), tree)}
    if isinstance(tree, list):
        return parts(range(len(tree)), tree)
    raise UsageError(f"{name} has the type {type(tree).__name__}, which cannot be saved: {HOLDS}")


def _unpacked(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_unpacked(part, tensors) for part in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind in ("array", "scalar"):
        return tensors[content].numpy() if kind == "array" else tensors[content].numpy()[()]
    value = _unpacked(content, tensors)
    if kind == "generator":
        bits = getattr(np.random, value["bit_generator"])()
        bits.state = value
        return np.random.Generator(bits)
    return dict(value) if kind == "dict" else tuple(value)


# --- a training --------------------------------------------------------------------------------------------


def save(training: "Training") -> bytes:
    """Model, optimizer, history and all generators as bytes, which depend on nothing else."""
    return to_bytes(
        {
            "config": digest(training.config),
            "data": training.digests,
            "first_loss": training.first_loss,
            "rows": training.rows,
            "model": training.model.state_dict(),
            "optimizer": training.optimizer.state_dict(),
            "generator": torch.get_rng_state(),
            "device_generator": generator_state(training.device),
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
    rows: list[Row] = state["rows"]
    try:
        if (stage := training.config.stage_at(len(rows))) != training.stage:
            training.enter(stage)
        training.model.load_state_dict(state["model"])
        training.optimizer.load_state_dict(state["optimizer"])
        # Last, because building and loading may draw.
        torch.set_rng_state(state["generator"])
        if training.shuffler:
            training.shuffler.set_state(state["shuffler"])
        set_generator_state(training.device, state["device_generator"])
    except OptilabError:
        raise
    except Exception as error:  # torch raises half a dozen types for a state of another network or optimizer
        raise CheckpointError(f"the checkpoint's state does not fit the run ({error})") from error
    training.rows[:], training.first_loss = rows, state["first_loss"]


def resume(training: "Training", run: runs.Run, warn: Callable[[str], None]) -> None:
    """Continue from the newest whole checkpoint; `warn(text)` gets a line for each that is newer and not usable.

    A run with neither a checkpoint nor a row that had one starts over. CheckpointError where no checkpoint is usable;
    no file of the run has then been changed. Afterwards the run has exactly the files that it had after that epoch.
    """
    candidates = runs.checkpoints(run.path)
    for left, (epoch, path) in enumerate(candidates, 1 - len(candidates)):
        try:
            restore(training, runs.read_checkpoint(path, MAX_BYTES))
            if training.epoch != epoch:
                raise CheckpointError(f"it holds epoch {training.epoch}")
        except CheckpointError as error:
            warn(f"{at(path, error)}{'; using the one before' if left else ''}")
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


def tested_at_best(training: "Training", run: runs.Run, tested: "Row") -> "Row":
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
    """The error with the file of the checkpoint."""
    return str(error) if str(path) in str(error) else f"{path}: {error}"
