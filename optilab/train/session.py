"""One training run from its directory to its end: the engine's epochs, committed to a run directory."""

import contextlib
import hashlib
import platform
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from optilab import runs
from optilab.config.section import dump, to_yaml
from optilab.config.training import TrainConfig
from optilab.config.user_network import UserNetwork
from optilab.data.read import Dataset
from optilab.errors import CheckpointError, DivergedError, OptilabError, RunError, SystemFailure, UsageError
from optilab.runs.tables import json_line
from optilab.train import checkpoint, engine
from optilab.train.device import configure, explain_device_errors, resolve_device
from optilab.train.engine import Stopped, Training
from optilab.train.resume import Fork
from optilab.user_code import described, sources


class Listener(Protocol):
    """The callbacks of a training."""

    def batch(self, done: int, total: int) -> None:
        """A training batch is done; called in the inner loop, so it must cost nothing."""

    def epoch(self, row: runs.Row, seconds: float, diagnostics: runs.Row) -> None:
        """An epoch is committed: it is on the disk. Its diagnostics are empty where they are off."""


def start(
    config: TrainConfig, dataset: Dataset, directory: Path, name: str, provenance: Mapping[str, Any]
) -> tuple[Training, runs.Run]:
    """Build the network, create the run directory. UsageError without the device, RunError if the name is taken.

    `provenance` goes into the manifest.
    """
    training = build(config, dataset)
    files = (
        {"diagnostics.jsonl": json_line(engine.initial_diagnostics(training))}
        if config.probes or config.curvature
        else {}
    )
    return training, _create_run(training, dataset, directory, name, provenance, files)


def fork(
    plan: Fork, dataset: Dataset, directory: Path, name: str, provenance: Mapping[str, Any]
) -> tuple[Training, runs.Run]:
    """A new run that continues another from one of its checkpoints; it begins with that run's rows up to there.

    The optimizer keeps its state where the changed one has the same, else it starts afresh. Raises what `start`
    raises, CheckpointError where the checkpoint is not usable, RunError for another dataset.
    """
    source, config = plan.source, plan.config
    _require_same_data(source, dataset)
    machine = {"device": config.device, "threads": config.threads}
    training = build(plan.before.model_copy(update=machine), dataset)
    diagnostics = [line for line in runs.read_diagnostics(source.path) if line["epoch"] <= plan.epoch]
    if (config.probes or config.curvature) and not diagnostics:
        diagnostics = [engine.initial_diagnostics(training)]
    with explain_device_errors(training.device):
        try:
            data = runs.read_checkpoint(plan.checkpoint, checkpoint.MAX_BYTES)
            checkpoint.restore(training, data, plan.before)
            if training.epoch != plan.epoch:
                raise CheckpointError(f"it holds epoch {training.epoch}")
        except CheckpointError as error:
            raise CheckpointError(str(checkpoint.at(plan.checkpoint, error))) from None
        carried = training.change(config)
        if training.finished:
            reason = f"early_stopping ends the run after epoch {plan.epoch} already"
            raise UsageError(f"{reason}; fork from an earlier epoch, or --set early_stopping=null")
        state = checkpoint.save(training)
    timings = runs.read_timings(source.path / "timings.csv")[: plan.epoch]
    files = {
        "metrics.csv": runs.table(training.rows),
        "timings.csv": runs.table(timings),
        runs.checkpoint_file(plan.epoch, state): state,
    }
    if diagnostics:
        files["diagnostics.jsonl"] = b"".join(map(json_line, diagnostics))
    origin = {
        "run": source.name,
        "epoch": plan.epoch,
        "sha256": hashlib.sha256(data).hexdigest(),
        "changed": plan.changed,
        "optimizer_state": "kept" if carried else "fresh",
        "config": dump(plan.before),
        **({"fork": source.manifest["fork"]} if "fork" in source.manifest else {}),
    }
    return training, _create_run(training, dataset, directory, name, {**provenance, "fork": origin}, files)


def _create_run(
    training: Training,
    dataset: Dataset,
    directory: Path,
    name: str,
    facts: Mapping[str, Any],
    written: Mapping[str, bytes],
) -> runs.Run:
    """The directory of a training that is about to start, with the files that are `written` already."""
    config = training.config
    manifest = {
        "command": "train",
        **facts,
        "seed": config.seed,
        "config": dump(config),
        "numerics": _numerics(training),
        "data": {
            "dataset": dataset.name,
            "folder": None if dataset.directory is None else str(dataset.directory),
            "train": len(training.train),
            "validation": len(training.validation),
            "classes": dataset.classes,
            "sha256": dataset.digests,
        },
    }
    user_files = config.user_files
    files = {
        "config.yaml": to_yaml(config),
        **written,
        **{copy: o.source for copy, o in user_files.items() if o.source},
    }
    for key, part in (("own_rules", config.optimizer), ("own_network", config.model)):
        if code := sources([part]):
            manifest[key] = described(code.values(), user_files)
    return runs.claim(directory, name, files, manifest)


def resume(
    path: Path, config: TrainConfig, dataset: Dataset, warn: Callable[[str], None]
) -> tuple[Training, runs.Run]:
    """Continue an interrupted run from its newest whole checkpoint. RunError if its dataset has changed."""
    run, record = runs.reopen(path)
    try:
        _require_same_data(record, dataset)
        training = build(config, dataset)
        with explain_device_errors(training.device):
            checkpoint.restore_newest(training, run, warn)
        before, now = record.manifest.get("numerics", {}), _numerics(training)
        changed = [f"{key} {before.get(key)} -> {now[key]}" for key in now if before.get(key) != now[key]]
        if changed:
            warn(f"resume will not be bit-exact: {', '.join(changed)}")
        entry = {"resumed": runs.timestamp(), "epoch": training.epoch, "changed": changed}
        if isinstance(config.model, UserNetwork):
            entry["exact_if"] = f"all state of {config.model.name} is in its state_dict()"
            warn(f"the resume is exact if {entry['exact_if']}")
        resumes = [*record.manifest.get("resumes", []), entry]
        # Before the config: whoever reads that `epochs` has grown must not read that the run is done.
        run.update(status="running", resumes=resumes, config=dump(config))
        if record.config != to_yaml(config):
            runs.write_atomic(path / "config.yaml", to_yaml(config))
    except BaseException:
        run.release()
        raise
    return training, run


def train_to_end(training: Training, run: runs.Run, listener: Listener, stop: Callable[[], bool]) -> str:
    """Train to the last epoch and commit each one. Returns the status of the run: `done` or `interrupted`.

    Raises DivergedError, or the error that ended the run, after recording it in the run's directory.
    """
    config, status, reason, tested, at_best = training.config, "failed", "", {}, {}
    try:
        with explain_device_errors(training.device):
            for row, seconds in training.run(listener.batch, stop):
                due = row["epoch"] % config.checkpoint_every == 0 or training.finished
                state, best = checkpoint.save(training) if due else None, runs.best(training.rows)["epoch"]
                run.commit(row, seconds, state, best, training.diagnostics)
                listener.epoch(row, seconds, training.diagnostics)
            tested = training.tested()
            at_best = checkpoint.tested_at_best(training, run, tested)
        status = "done"
    except Stopped:
        status = "interrupted"
    except DivergedError as error:
        status, last = "diverged", next((f"epoch {epoch}" for epoch, _ in runs.checkpoints(run.path)), "none")
        reason = str(error) if training.finished else f"{error}; last good checkpoint: {last}"
        raise DivergedError(reason) from None
    except OSError as error:  # the run's own files raise SystemFailure; this was the output
        reason = f"cannot write the output: {error.strerror or error}"
        raise SystemFailure(reason) from None
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}"
        if not isinstance(error, OptilabError):
            with contextlib.suppress(OptilabError):
                runs.write_atomic(run.path / "optilab.log", traceback.format_exc().encode())
        raise
    finally:
        try:
            facts: dict[str, Any] = {"epoch": training.epoch, **tested, **at_best} | (
                {"reason": reason} if reason else {}
            )
            if training.rows and status != "failed":  # whose last row may not be on disk
                facts["outcome"] = {**runs.outcome(training.rows), **tested}
            run.finish(status, **facts)
        except OptilabError:
            run.release()
            if status == "done":
                raise
            # Likely the same disk error again; the lock that is free marks the run as interrupted.
    return status


def probe_run(config: TrainConfig, dataset: Dataset, batches: int) -> tuple[list[runs.Row], list[runs.Row], str]:
    """A probe run: the row of an epoch of this number of batches, the diagnostics before and of it, how it diverged.

    Where there are fewer images, it takes them several times. Where it diverges there is no row and no diagnostics of
    the epoch. Writes nothing; raises what building the network raises.
    """
    # One thread: two wait for each other on a busy machine, and the last bits of a trial do not matter.
    changed = {"probes": max(config.probes, 10), "epochs": max(2, config.epochs), "threads": 1}
    trial = config.model_copy(update=changed)
    training = build(trial, dataset)
    before = engine.initial_diagnostics(training)
    images, needed = len(training.train), batches * config.data.batch_size
    passes = [torch.randperm(images) for _ in range(0, needed, images)]
    training.train = training.train.take(torch.cat(passes)[:needed])
    try:
        with explain_device_errors(training.device):
            row, _ = next(training.run(lambda done, total: None, lambda: False))
    except DivergedError as error:
        return [], [before], str(error)
    return [row], [before, training.diagnostics], ""


def _require_same_data(record: runs.Record, dataset: Dataset) -> None:
    """RunError if the dataset has changed since the run started."""
    try:
        before = dict(record.manifest["data"]["sha256"])
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(
            f"{record.path / 'manifest.json'} is damaged: it lacks the dataset's checksums"
        ) from None
    if before != dataset.digests:
        names = [name for name in {**before, **dataset.digests} if before.get(name) != dataset.digests.get(name)]
        now = dataset.name if dataset.directory is None else f"that in {dataset.directory}"
        raise RunError(
            f"{record.name} was trained on another dataset than {now}: other SHA-256 of {', '.join(names)}; put its "
            "files back, or name their directory with --data-dir"
        )


def build(config: TrainConfig, dataset: Dataset) -> Training:
    """A training on this process's settings of its device. UsageError without the device."""
    device = resolve_device(config.device, config.dtype)
    configure(device, config.threads, config.dtype)
    with explain_device_errors(device):
        return Training.start(config, dataset, device)


def _numerics(training: Training) -> dict[str, Any]:
    """Versions and hardware that the last bits depend on, next to config and seed."""
    device, gpu = training.device, dict[str, Any]()
    if device.type == "cuda":
        gpu = {"device_name": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    return {
        "torch": torch.__version__,
        "device": str(device),
        "device_name": platform.machine(),
        "threads": training.config.threads,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        **gpu,
    }
