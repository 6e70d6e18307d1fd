"""A training's state as bytes, and back: equal states give equal bytes, and nothing but data is read.

`torch.load` checks no checksum and accepts any content of the right names. So the digest is in the file's name
(`optilab.runs.directory`), and what is loaded is compared with a freshly built training before any of it is used.
"""

import io
import json
import math
import sys
import zipfile
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from optilab import runs
from optilab.config.load import digest
from optilab.errors import CheckpointError
from optilab.train.engine import Row, Training

FORMAT = 1


def save(training: Training) -> bytes:
    """Model, optimizer, history and every generator, as bytes that depend on these alone."""
    state = {
        "format": FORMAT,
        "config": digest(training.config),
        "rows": json.dumps(training.rows, allow_nan=False),
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "generator": torch.get_rng_state(),
        "device_generator": _device_generator(training.device),
        "shuffler": training.shuffler and training.shuffler.get_state(),
    }
    buffer = io.BytesIO()
    torch.save(_canonical(state), buffer)
    return buffer.getvalue()


def restore(training: Training, data: bytes) -> None:
    """Bring a freshly started training to the state in `data`, or raise CheckpointError; then try another.

    Resume only runs you trust: the digest detects accidents, not forgery.
    """
    state = _load(data)
    rows = _rows(training, state)
    if (stage := training.config.stage_at(len(rows))) != training.stage:
        training.enter(stage)
    _check(training, state)
    training.rows[:] = rows
    training.model.load_state_dict(state["model"])
    training.optimizer.load_state_dict(state["optimizer"])
    # Last, because building and loading may draw.
    torch.set_rng_state(state["generator"])
    if training.shuffler:
        training.shuffler.set_state(state["shuffler"])
    if state["device_generator"] is not None and training.device.type == "cuda":
        torch.cuda.set_rng_state(state["device_generator"], training.device)


def size_limit(training: Training) -> int:
    """No checkpoint of this training is larger, in bytes."""
    widths = (*training.model.widths, training.model.classes)  # of all stages, whatever is built by now
    numbers = sum((fan_in + 8) * fan_out for fan_in, fan_out in pairwise(widths))
    return 64 * numbers + 1024 * training.config.epochs + (1 << 20)


def _device_generator(device: torch.device) -> Tensor | None:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _canonical(tree: Any) -> Any:
    """A copy in which equal texts are one object and nothing else is shared, no tensor's memory either.

    Pickle writes an object that it meets again as a reference; without this, a state that was loaded and one that
    was computed would be equal and yet give different bytes.
    """
    if isinstance(tree, dict):
        return {_canonical(key): _canonical(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_canonical(value) for value in tree]
    if isinstance(tree, Tensor):
        return tree.detach().cpu().clone()
    return sys.intern(tree) if type(tree) is str else tree


def _load(data: bytes) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise CheckpointError("the checkpoint is compressed; optilab writes none that is")
        # weights_only spelled out: an environment variable may have changed the default.
        state = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except CheckpointError:
        raise
    except Exception as error:  # damage surfaces as half a dozen kinds
        raise CheckpointError(f"not a readable checkpoint ({type(error).__name__})") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError("not a checkpoint of this version of optilab")
    return state


def _rows(training: Training, state: dict[str, Any]) -> list[Row]:
    if state.get("config") != digest(training.config):
        raise CheckpointError("the checkpoint belongs to a run with another config")
    try:
        rows: list[Row] = json.loads(state["rows"])
        epochs = [row["epoch"] for row in rows]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _foreign(error) from None
    if epochs != list(range(1, len(rows) + 1)) or len(rows) > training.config.epochs:
        raise CheckpointError("the checkpoint's history does not fit the run")
    return rows


def _check(training: Training, state: dict[str, Any]) -> None:
    try:
        generators = [torch.get_rng_state(), state["generator"]]
        if training.shuffler:
            generators.append(state["shuffler"])
        groups = state["optimizer"]["param_groups"]
        slots = state["optimizer"]["state"].items()
        _check_tensors("model", state["model"], training.model.state_dict())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _foreign(error) from None
    if any(
        not isinstance(g, Tensor) or g.dtype != torch.uint8 or g.shape != generators[0].shape for g in generators
    ):
        raise CheckpointError("the checkpoint's generator state is not one")
    expected = training.optimizer.state_dict()["param_groups"]
    if _canonical(expected) != groups:
        raise CheckpointError("the checkpoint's optimizer settings are not those of the config")
    parameters = [parameter for group in training.optimizer.param_groups for parameter in group["params"]]
    every = torch.Size(
        [sum(parameter.numel() for parameter in parameters)]
    )  # one vector, as `RuleOptimizer` has it
    for index, slot in slots:
        if index not in range(len(parameters)):
            raise CheckpointError(f"the checkpoint's optimizer has state for a parameter {index!r}")
        for name, value in slot.items():
            for part in value if isinstance(value, tuple | list) else (value,):
                _check_number(f"optimizer state {name}", part)
                if (
                    isinstance(part, Tensor)
                    and part.numel() > 1
                    and part.shape not in (parameters[index].shape, every)
                ):
                    raise CheckpointError(f"the checkpoint's optimizer state {name} has shape {tuple(part.shape)}")


def _foreign(error: Exception) -> CheckpointError:
    return CheckpointError(f"the checkpoint's content is not what optilab writes ({error})")


def _check_number(where: str, value: Any) -> None:
    if not isinstance(value, Tensor | int | float | None):
        raise CheckpointError(f"the checkpoint's {where} is not a number")
    if (isinstance(value, float) and not math.isfinite(value)) or (
        isinstance(value, Tensor) and not bool(torch.isfinite(value).all())
    ):
        raise CheckpointError(f"the checkpoint's {where} is not finite")


def _check_tensors(where: str, given: dict[str, Any], expected: dict[str, Tensor]) -> None:
    if list(given) != list(expected):
        raise CheckpointError(f"the checkpoint's {where} has other parts than the config's")
    for name, tensor in expected.items():
        value = given[name]
        if not isinstance(value, Tensor) or value.shape != tensor.shape or value.dtype != tensor.dtype:
            shape = f"{tuple(tensor.shape)} {tensor.dtype}"
            raise CheckpointError(f"the checkpoint's {where}.{name} is not a tensor of shape {shape}")
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"the checkpoint's {where}.{name} is not finite")


def resume(training: Training, run: runs.Run, warn: Any) -> None:
    """Continue from the newest checkpoint that is whole; `warn(text)` hears of each that is not.

    Without any checkpoint and without any committed row the run starts over; CheckpointError where rows exist
    but no checkpoint is usable.
    """
    candidates = runs.checkpoints(run.path)
    for epoch, path in candidates:
        try:
            restore(training, runs.read_checkpoint(path, size_limit(training)))
            if training.epoch != epoch:
                raise CheckpointError(f"it holds epoch {training.epoch}")
        except CheckpointError as error:
            warn(f"checkpoint {path.name}: {error}; using the one before")
        else:
            break
    else:
        if candidates:
            raise CheckpointError(f"no usable checkpoint in {run.path}; start again with its config.yaml")
    run.rewind(training.rows)
