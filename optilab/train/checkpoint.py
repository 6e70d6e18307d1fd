"""The state of a training as bytes, and back: equal states give equal bytes, and only data is read.

`torch.load` verifies no checksum and accepts any content under the expected names. Therefore the file name contains the
SHA-256 (`optilab.runs.directory`), and a loaded state is compared with a newly built training before any of it is used.
"""

import io
import json
import math
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from optilab import runs
from optilab.config.training import TrainConfig, digest
from optilab.errors import CheckpointError, OptilabError, RunError
from optilab.runs.tables import COLUMNS
from optilab.train import own
from optilab.train.device import fetched, generator_state, is_on_a_device, leaves, set_generator_state
from optilab.train.engine import Row, Training
from optilab.train.optimizers import RuleOptimizer, state_like
from optilab.train.own_model import OwnModel

FORMAT = 2


def save(training: Training) -> bytes:
    """Model, optimizer, history and all generators as bytes, which depend on nothing else.

    A device is synchronised once, however many tensors there are.
    """
    state = {
        "format": FORMAT,
        "config": digest(training.config),
        "data": training.digests,
        "first_loss": training.first_loss,
        "rows": json.dumps(training.rows, allow_nan=False),
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "generator": torch.get_rng_state(),
        "device_generator": generator_state(training.device),
        "shuffler": training.shuffler and training.shuffler.get_state(),
    }
    buffer = io.BytesIO()
    torch.save(canonical(state), buffer)
    return buffer.getvalue()


def canonical(tree: Any) -> Any:
    """A copy on the CPU in which equal texts are one object and nothing else is shared, tensor memory included.

    Pickle writes an object that it meets again as a reference; without this, a loaded state and an equal computed one
    would give different bytes. Tensors on a device come in one transfer.
    """
    return _copy(tree, fetched([leaf for leaf in leaves(tree) if is_on_a_device(leaf)]))


def _copy(tree: Any, fetched: Iterator[Tensor]) -> Any:
    if isinstance(tree, dict):
        return {_copy(key, fetched): _copy(value, fetched) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_copy(value, fetched) for value in tree]
    if isinstance(tree, Tensor):
        return next(fetched) if is_on_a_device(tree) else tree.detach().clone()
    return sys.intern(tree) if type(tree) is str else tree


def restore(training: Training, data: bytes, written_by: TrainConfig | None = None) -> None:
    """Set a newly started training to the state in `data`, which a run with the config `written_by` saved (None: the
    training's own).

    CheckpointError where the state does not fit; the training can then be restored from other data. RunError where
    it was trained on another dataset. Resume only runs that you trust: the checksum detects accidents, not forgery.
    """
    try:
        state = _load(data)
        rows = _rows(training, state, written_by or training.config)
        if (stage := training.config.stage_at(len(rows))) != training.stage:
            training.enter(stage)
        _check(training, state, rows)
        training.model.load_state_dict(state["model"])
    except OptilabError:
        raise
    except Exception as error:  # torch raises half a dozen types for tensors that are not plain numbers in memory
        text = f"the checkpoint's content is not what optilab writes ({error})"
        raise CheckpointError(text) from None
    training.rows[:] = rows
    training.first_loss = state["first_loss"]
    training.optimizer.load_state_dict(state["optimizer"])
    # Last, because building and loading may draw.
    torch.set_rng_state(state["generator"])
    if training.shuffler:
        training.shuffler.set_state(state["shuffler"])
    set_generator_state(training.device, state["device_generator"])


def size_limit(training: Training) -> int:
    """An upper bound on the size of this training's checkpoints, in bytes."""
    numbers: int
    if isinstance(model := training.model, OwnModel):
        shapes = [(len(w), w[0].numel()) for w in model.weights if w.dim() >= 2]
        tensors = [leaf for leaf in leaves(model.state_dict()) if isinstance(leaf, Tensor)]
        numbers = sum(t.numel() + 8 * (len(t) if t.dim() else 1) for t in tensors)
    else:
        # Of all stages, whether built yet or not.
        shapes = [(fan_out, fan_in) for fan_in, fan_out in pairwise((*model.widths, model.classes))]
        numbers = sum((fan_in + 8) * fan_out for fan_out, fan_in in shapes)
    if training.config.optimizer.weights == "matrices":  # square ones next to each weight matrix
        numbers += sum(fan_in * fan_in + fan_out * fan_out for fan_out, fan_in in shapes)
    # The state of a user's rule may be anything, and so may what get_extra_state of a network gives.
    of_its_own = 1 << 34 if own.is_user_optimizer(training.optimizer) or isinstance(model, OwnModel) else 0
    return 64 * numbers + 1024 * training.config.epochs + (1 << 20) + of_its_own


def _load(data: bytes) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise CheckpointError("the checkpoint is compressed; optilab writes uncompressed ones")
        # weights_only is explicit: an environment variable can change its default.
        state = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except CheckpointError:
        raise
    except Exception as error:  # torch.load raises half a dozen types for damaged data
        raise CheckpointError(f"not a readable checkpoint ({type(error).__name__})") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError("not a checkpoint of this version of optilab")
    return state


def _rows(training: Training, state: dict[str, Any], written_by: TrainConfig) -> list[Row]:
    if state.get("config") != digest(written_by):
        raise CheckpointError("the checkpoint belongs to a run with another config")
    rows: list[Row] = json.loads(state["rows"])
    epochs = [row["epoch"] for row in rows]
    if epochs != list(range(1, len(rows) + 1)) or len(rows) > training.config.epochs:
        raise CheckpointError("the checkpoint's history does not fit the run")
    numbers = [value for row in rows for value in row.values()]
    finite = all(type(value) in (int, float) and math.isfinite(value) for value in numbers)
    if not finite or any(tuple(row) != COLUMNS for row in rows):
        raise CheckpointError(f"the checkpoint's history does not have a number for each of {', '.join(COLUMNS)}")
    return rows


def _check(training: Training, state: dict[str, Any], rows: Sequence[Row]) -> None:
    device_generator = state["device_generator"]
    digests, first_loss = dict(state["data"]), float(state["first_loss"])
    groups = state["optimizer"]["param_groups"]
    slots = state["optimizer"]["state"]
    _check_tensors("model", state["model"], training.model.state_dict())
    for generator in [state["generator"], *([state["shuffler"]] if training.shuffler else [])]:
        if not _is_bytes(generator):
            raise CheckpointError("the checkpoint's generator state is not valid")
        torch.Generator().set_state(generator)  # raises for bytes that are none
    if rows and not math.isfinite(first_loss):
        raise CheckpointError("the checkpoint's first loss is not finite")
    if digests != training.digests:
        raise RunError(
            f"a checkpoint comes from a run on another dataset:{changed_files(digests, training.digests)}"
        )
    if device_generator is not None and not _is_bytes(device_generator):
        raise CheckpointError("the checkpoint's device generator state is not valid")
    expected = training.optimizer.state_dict()["param_groups"]
    if canonical(expected) != groups:
        raise CheckpointError("the checkpoint's optimizer settings are not those of the config")
    if own.is_user_optimizer(training.optimizer):
        return
    owners, exactly = state_like(training.optimizer), not isinstance(training.optimizer, RuleOptimizer)
    if slots.keys() not in (set(), set(range(len(owners)))):  # none yet where another stage begins
        raise CheckpointError("the checkpoint's optimizer has state for other parameters than this optimizer's")
    for index, slot in slots.items():
        if list(slot) != list(owners[index]):
            raise CheckpointError("the checkpoint's optimizer state does not match this optimizer")
        for name, value in slot.items():
            _check_state(name, value, owners[index][name], exactly)


def _is_bytes(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.uint8 and value.dim() == 1


def _check_state(name: str, value: Any, like: Any, exactly: bool) -> None:
    """One entry of an optimizer's state. A rule's own code may count in numbers or tensors, and keep more of them than
    before the first step; torch's keeps exactly what it has after one."""
    shapes = {part.shape for part in leaves(like) if isinstance(part, Tensor)}
    for part in leaves(value):
        _check_number(f"optimizer state {name}", part)
        if isinstance(part, Tensor) and part.numel() > 1 and part.shape not in shapes:
            raise CheckpointError(f"the checkpoint's optimizer state {name} has shape {tuple(part.shape)}")
    if exactly and isinstance(like, Tensor):
        _check_tensors("optimizer state", {name: value}, {name: like})
    elif isinstance(like, Tensor | int | float) and not isinstance(value, Tensor | int | float):
        raise CheckpointError(f"the checkpoint's optimizer state {name} is not a number")


def _check_number(where: str, value: Any) -> None:
    if not isinstance(value, Tensor | int | float | None):
        raise CheckpointError(f"the checkpoint's {where} is not a number")
    if (isinstance(value, float) and not math.isfinite(value)) or (
        isinstance(value, Tensor) and not bool(torch.isfinite(value).all())
    ):
        raise CheckpointError(f"the checkpoint's {where} is not finite")


def _check_tensors(where: str, tensors: dict[str, Any], expected: dict[str, Any]) -> None:
    if list(tensors) != list(expected):
        raise CheckpointError(f"the checkpoint's {where} has other parts than the config's")
    for name, tensor in expected.items():
        if not isinstance(tensor, Tensor):  # of get_extra_state
            continue
        value = tensors[name]
        form = isinstance(value, Tensor) and (value.shape, value.dtype, value.requires_grad)
        if form != (tensor.shape, tensor.dtype, False):
            shape = f"{tuple(tensor.shape)} {tensor.dtype}"
            raise CheckpointError(f"the checkpoint's {where}.{name} is not a tensor of shape {shape}")
        if bool(torch.isfinite(tensor).all()) and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"the checkpoint's {where}.{name} is not finite")


def resume(training: Training, run: runs.Run, warn: Callable[[str], None]) -> None:
    """Continue from the newest whole checkpoint; `warn(text)` gets a line for each that is newer and not usable.

    A run with neither a checkpoint nor a row that had one starts over. CheckpointError where no checkpoint is usable;
    no file of the run has then been changed. Afterwards the run has exactly the files that it had after that epoch.
    """
    candidates = runs.checkpoints(run.path)
    for left, (epoch, path) in enumerate(candidates, 1 - len(candidates)):
        try:
            restore(training, runs.read_checkpoint(path, size_limit(training)))
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


def tested_at_best(training: Training, run: runs.Run, tested: Row) -> Row:
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
            restore(training, runs.read_checkpoint(path, size_limit(training)))
            tested = training.tested()
        except CheckpointError:
            return {}  # the comparison that asks for it names this run
        finally:
            restore(training, last)
    return {f"best_{key}": value for key, value in tested.items()}


def at(path: object, error: CheckpointError) -> str:
    """The error with the file of the checkpoint."""
    return str(error) if str(path) in str(error) else f"{path}: {error}"


def changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """For each file of a dataset that differs, a line with both checksums."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "".join(f"\n  {name}: SHA-256 {_short(before.get(name))} -> {_short(now.get(name))}" for name in names)


def _short(digest: str | None) -> str:
    return "none" if digest is None else f"{digest[:16]}..."
