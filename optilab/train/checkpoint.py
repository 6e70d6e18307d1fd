"""The state of a training as bytes, and back: equal states give equal bytes, and only data is read.

`torch.load` verifies no checksum and accepts any content under the expected names. Therefore the file name contains the
SHA-256 (`optilab.runs.directory`), and a loaded state is compared with a newly built training before any of it is used.
"""

import io
import json
import math
import sys
import zipfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from optilab import runs
from optilab.config.load import digest
from optilab.errors import CheckpointError
from optilab.train.engine import Row, Training
from optilab.train.optimizers import RuleOptimizer

FORMAT = 1


def save(training: Training) -> bytes:
    """Model, optimizer, history and all generators as bytes, which depend on nothing else.

    A device is synchronised once, however many tensors there are.
    """
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
    """Set a newly started training to the state in `data`.

    CheckpointError where the state does not fit; the training can then be restored from other data. Resume only runs
    that you trust: the digest detects accidents, not forgery.
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
    _set_device_generator(training.device, state["device_generator"])


def size_limit(training: Training) -> int:
    """An upper bound on the size of this training's checkpoints, in bytes."""
    widths = (*training.model.widths, training.model.classes)  # of all stages, whether built yet or not
    numbers = sum((fan_in + 8) * fan_out for fan_in, fan_out in pairwise(widths))
    return 64 * numbers + 1024 * training.config.epochs + (1 << 20)


def _device_generator(device: torch.device) -> Tensor | None:
    if device.type == "mps":
        return torch.mps.get_rng_state()
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_device_generator(device: torch.device, state: Tensor | None) -> None:
    """A state of another kind of device is left out: a resume there has another order of draws anyway."""
    current = _device_generator(device)
    if current is None or state is None or state.shape != current.shape:
        return
    if device.type == "mps":
        torch.mps.set_rng_state(state)
    else:
        torch.cuda.set_rng_state(state, device)


def _canonical(tree: Any) -> Any:
    """A copy on the CPU in which equal texts are one object and nothing else is shared, tensor memory included.

    Pickle writes an object that it meets again as a reference; without this, a loaded state and an equal computed one
    would give different bytes.
    """
    return _copy(tree, _fetched([tensor for tensor in _tensors(tree) if tensor.device.type != "cpu"]))


def _copy(tree: Any, fetched: dict[int, Tensor]) -> Any:
    if isinstance(tree, dict):
        return {_copy(key, fetched): _copy(value, fetched) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_copy(value, fetched) for value in tree]
    if isinstance(tree, Tensor):
        return fetched[id(tree)] if id(tree) in fetched else tree.detach().clone()
    return sys.intern(tree) if type(tree) is str else tree


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict | list | tuple):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from _tensors(value)


def _fetched(tensors: Sequence[Tensor]) -> dict[int, Tensor]:
    """The id of each tensor -> its copy on the CPU; one transfer for all, because each waits for the device."""
    if not tensors:
        return {}
    data = torch.cat([tensor.detach().flatten().view(torch.uint8) for tensor in tensors]).cpu()
    parts = torch.split(data, [tensor.numel() * tensor.element_size() for tensor in tensors])
    pairs = zip(tensors, parts, strict=True)
    return {id(tensor): part.clone().view(tensor.dtype).view(tensor.shape) for tensor, part in pairs}


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
        device_generator = state["device_generator"]
        if training.shuffler:
            generators.append(state["shuffler"])
        groups = state["optimizer"]["param_groups"]
        slots = state["optimizer"]["state"].items()
        _check_tensors("model", state["model"], training.model.state_dict())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _foreign(error) from None
    if any(not _is_bytes(generator) or generator.shape != generators[0].shape for generator in generators):
        raise CheckpointError("the checkpoint's generator state is not valid")
    if device_generator is not None and not _is_bytes(device_generator):
        raise CheckpointError("the checkpoint's device generator state is not valid")
    expected = training.optimizer.state_dict()["param_groups"]
    if _canonical(expected) != groups:
        raise CheckpointError("the checkpoint's optimizer settings are not those of the config")
    parameters = [parameter for group in training.optimizer.param_groups for parameter in group["params"]]
    joined = torch.Size([sum(parameter.numel() for parameter in parameters)])  # the vector of a RuleOptimizer
    names = training.optimizer.state_names if isinstance(training.optimizer, RuleOptimizer) else None
    for index, slot in slots:
        if index not in range(len(parameters)):
            raise CheckpointError(f"the checkpoint's optimizer has state for a parameter {index!r}")
        if names is not None and tuple(slot) != names:
            raise CheckpointError("the checkpoint's optimizer state has other parts than the rule's")
        for name, value in slot.items():
            for part in value if isinstance(value, tuple | list) else (value,):
                _check_number(f"optimizer state {name}", part)
                if (
                    isinstance(part, Tensor)
                    and part.numel() > 1
                    and part.shape not in (parameters[index].shape, joined)
                ):
                    raise CheckpointError(f"the checkpoint's optimizer state {name} has shape {tuple(part.shape)}")


def _is_bytes(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.uint8


def _foreign(error: Exception) -> CheckpointError:
    return CheckpointError(f"the checkpoint's content is not what optilab writes ({error})")


def _check_number(where: str, value: Any) -> None:
    if not isinstance(value, Tensor | int | float | None):
        raise CheckpointError(f"the checkpoint's {where} is not a number")
    if (isinstance(value, float) and not math.isfinite(value)) or (
        isinstance(value, Tensor) and not bool(torch.isfinite(value).all())
    ):
        raise CheckpointError(f"the checkpoint's {where} is not finite")


def _check_tensors(where: str, tensors: dict[str, Any], expected: dict[str, Tensor]) -> None:
    if list(tensors) != list(expected):
        raise CheckpointError(f"the checkpoint's {where} has other parts than the config's")
    for name, tensor in expected.items():
        value = tensors[name]
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
