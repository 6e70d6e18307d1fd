"""`optilab.watch(model, optimizer)`: look into a training loop of yours, and say why it does not learn.

It changes no bit of the training. The first three steps, every tenth of the next ones, and from step 200 on every
fiftieth are probed. An error of the watch never ends the training: it stops watching, and the diagnosis says so.
"""

import dataclasses
import functools
import itertools
import math
import os
import re
import time
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from optilab.diagnose.loop_evidence import LoopEvidence
from optilab.errors import DataError, UsageError, library_errors, shown
from optilab.loop import bugs
from optilab.loop.chance import Chance
from optilab.loop.loss import MAX_COLUMNS, Call, LossMode, Table, entered, is_linear
from optilab.runs.metrics import metric_of
from optilab.train import tensors
from optilab.train.probe import (
    Diagnostics,
    Probe,
    batch_as_time,
    epoch_diagnostics,
    first_layers,
    fraction_below_eps,
    network_facts,
    without_gradient,
)
from optilab.train.tensors import BATCH_NORMS, DROPOUTS, as_real, finite, first_tensor, operations, spaced

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from optilab.answer.diagnosis import Diagnosis
    from optilab.answer.results import LabRun
    from optilab.diagnose import Evidence, Setup

FIRST, DENSE, EVERY = 3, 10, 50
"""Steps at the start that are probed; steps between two of the next ones, and of the later ones."""
PARTS, PART = 10, 20
"""Parts, in the place of epochs, of a training that marks no epochs, and their least number of steps."""


def sampled(every: int) -> Iterator[int]:
    """The steps that are probed: more often at the start, and not always the same batch of an epoch."""
    yield from range(FIRST)
    number = max(FIRST, min(every, DENSE))
    for count in itertools.count(FIRST):
        yield number
        distance = min(every, max(DENSE, number / 4))  # for 50, from 25 to 75
        number += max(1, round(distance * (0.5 + 0.1 * (7 * count % 11))))


class Watch:
    """Look into a training of `model` by `optimizer`, or several.

    Call `step(loss)` after each step of the optimizer, and `epoch(...)` after each epoch. `every`: steps between two
    that are probed. `data`: note the scales and ranges of inputs, outputs and targets, rounded to three digits.
    UsageError for what is not a model or an optimizer of PyTorch.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] = (),
        *,
        every: int = EVERY,
        data: bool = True,
    ) -> None:
        several = isinstance(optimizer, Sequence) and not isinstance(optimizer, str)
        self._optimizers: list[Any] = [*optimizer] if several else [optimizer]  # type: ignore[misc]
        _require(isinstance(model, nn.Module), "optilab.watch", "model: expected a torch.nn.Module", model)
        for entry in self._optimizers or ([] if optimizer == () else [optimizer]):
            valid = isinstance(entry, torch.optim.Optimizer)
            _require(valid, "optilab.watch", "optimizer: expected an optimizer of torch.optim", entry)
        valid = isinstance(every, int) and not isinstance(every, bool) and every > 0
        _require(valid, "optilab.watch", "every: expected a whole number from 1", every)
        _require(isinstance(data, bool), "optilab.watch", "data: expected True or False", data)
        self._model, self._every, self._data = model, every, data
        self._schedule, self._next = sampled(every), 0
        self._compiled = type(model).__name__ == "OptimizedModule"
        self._losses: list[float] = []  # of each step, read from the device
        self._pending: list[Tensor] = []  # not yet read
        self._probes: list[dict[str, Any]] = []  # step, rows of layers, learning rate, accuracy
        self._ends: list[tuple[int, dict[str, float], float]] = []  # of epochs: step, metrics, seconds
        self._started = time.perf_counter()
        self._seen = LoopEvidence()
        self._chance = Chance()
        self._samples = self._validated = 0
        self._squares, self._inputs = torch.zeros((), dtype=torch.float64), 0  # of sampled inputs
        self._start: dict[str, Any] = {}
        self._normed_over: list[int] = []
        self._activations: list[str] = []
        self._error = ""
        self._probe: Probe | None = None
        self._output: Tensor | None = None
        self._model_loss: Tensor | None = None  # of a model that returns it
        self._model_target: Tensor | None = None
        self._checked_optimizers = set[int]()
        self._stepped = self._checked = self._closed = False
        self._mode = True
        self._last_input: Tensor | None = None
        self._gradient = _Gradient()
        self._loss_mode = LossMode()
        weakref.finalize(self, self._loss_mode.stop)
        self._loss_calls: list[Call] = []  # of sampled batches
        self._table: Table | None = None
        self._hooks: list[Any] = []  # of the optimizers
        self._model_hooks: list[Any] = []
        self._guard = functools.partial(_Hook, self)
        self._safely(self._attach)

    # --- what a loop calls ---

    def step(self, loss: Tensor | float | None = None, target: Tensor | None = None) -> None:
        """One step is done: its loss, and the targets that it was computed from, if you can give them.

        A model that returns its loss, as those of Hugging Face do, needs neither. UsageError for what is neither.
        """
        if isinstance(loss, Tensor):
            valid = loss.is_floating_point() and loss.numel() == 1
            got = f"a tensor of {str(loss.dtype).removeprefix('torch.')} of shape {tuple(loss.shape)}"
            _require(valid, "watch.step", f"loss: expected one number{'' if valid else f', got {got}'}")
        else:
            _require(loss is None or _number(loss) is not None, "watch.step", "loss: expected one number", loss)
        _require(isinstance(target, Tensor | None), "watch.step", "target: expected a tensor", target)
        _require(not self._closed or bool(self._error), "watch.step", "the watch was closed before")
        _require(loss is not None or self._model_loss is not None or bool(self._error), "watch.step",
                 "loss: missing, and the model returns none")  # fmt: skip
        self._safely(self._step, loss, target)

    def epoch(self, **metrics: float) -> None:
        """An epoch is done: what you measured, such as val_loss, val_acc (a fraction) and train_acc.

        Calls without a step between them are about the same epoch. UsageError for a value that is no such number.
        """
        for key, value in metrics.items():
            _require(key != "epoch", "watch.epoch", "epoch: expected a metric; epochs are counted")
            number = _number(value)
            fraction = metric_of(_metric_name(key)).is_fraction
            valid = number is not None and (not fraction or not math.isfinite(number) or 0 <= number <= 1 + 1e-6)
            kind = "a fraction from 0 to 1" if fraction else "a number"
            got = value if number is None else number
            _require(value is None or valid, "watch.epoch", f"{key}: expected {kind}", got)
        self._safely(self._epoch, metrics)

    def close(self) -> None:
        """Detach: no hook remains on the model or an optimizer."""
        self._closed = True
        self._loss_mode.stop()
        self._unhook()
        tensors.remove_hooks(self._hooks)
        self._gradient.close()
        _keep_scriptable(self._model)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def lightning() -> Any:
        """A callback for `lightning.Trainer(callbacks=[optilab.watch.lightning()])`; its `watch` has the diagnosis."""
        from optilab.loop import callbacks

        return callbacks.lightning(Watch)

    @staticmethod
    def transformers() -> Any:
        """A callback for the `Trainer` of Hugging Face's Transformers; its `watch` has the diagnosis."""
        from optilab.loop import callbacks

        return callbacks.transformers(Watch)

    # --- what came out ---

    def diagnosis(self) -> "Diagnosis":
        """The findings that explain why the network does not learn, most severe first. Print it, or look at `rows`."""
        from optilab.answer.diagnosis import Diagnosis
        from optilab.diagnose import diagnose

        evidence = self.evidence()
        return Diagnosis(type(self._model).__name__, evidence, diagnose(evidence), "")

    def save(
        self, name: str | None = None, folder: str | os.PathLike[str] | None = None, overwrite: bool = False
    ) -> Path:
        """Write a run directory, which `runs show`, `plot`, `compare`, `diff`, `report`, `diagnose` and `check` read.

        `folder`: as for `optilab.Lab`. `overwrite`: replace the directory of this name that `save` wrote. RunError
        where the name is taken.
        """
        if not isinstance(name, str | None):
            raise UsageError(f'expected text, got {shown(name)}; write watch.save("my-loop")', "name")
        if not isinstance(overwrite, bool):
            raise UsageError(f"expected True or False, got {shown(overwrite)}", "overwrite")
        with library_errors():
            return self._write_run(name, folder, overwrite).path

    def plot(self, *, dark: bool = False) -> "Figure":
        """Losses, metrics and layers as a figure of matplotlib. DataError before the first epoch."""
        figure: Figure = self._as_run(lambda run: run.plot(dark=dark))
        return figure

    def report(self, path: str | os.PathLike[str], title: str | None = None) -> Path:
        """Write one self-contained HTML file."""
        page: Path = self._as_run(lambda run: run.report(path, title), diverged=True)
        return page

    def _as_run(self, view: Callable[["LabRun"], Any], diverged: bool = False) -> Any:
        """`diverged`: a run that diverged before its first epoch can be shown, too."""
        evidence = self.evidence()
        if not evidence.rows and not (diverged and evidence.divergence):
            from optilab.diagnose.verdict import reason_without_epochs

            raise DataError(f"nothing to show: {reason_without_epochs(evidence)}")
        with TemporaryDirectory() as directory:
            return view(self._write_run(type(self._model).__name__.lower(), Path(directory)))

    def _write_run(
        self, name: str | None, folder: str | os.PathLike[str] | None, overwrite: bool = False
    ) -> "LabRun":
        from optilab.answer.results import write_watched

        evidence, seconds = self.evidence(), [at for _, _, at in self._ends]
        return write_watched(evidence, self._config(evidence.setup), seconds, name, folder, overwrite)

    # --- hooks ---

    def _safely(self, work: Callable[..., Any], *args: Any) -> Any:
        """Call a function of the watch; an error ends the watch, never the training."""
        if self._error:
            return None
        try:
            return work(*args)
        except Exception as error:
            refused = isinstance(error, UsageError)
            self._error = str(error) if refused else f"{type(error).__name__}: {error}; please report this error"
            self.close()
            return None

    def _attach(self) -> None:
        for optimizer in self._optimizers:
            self._hooks += [
                optimizer.register_step_pre_hook(self._guard(self._before_step)),
                optimizer.register_step_post_hook(self._guard(self._after_step)),
            ]
        self._open()

    def _unhook(self) -> None:
        """Take the hooks off the model, until the next step."""
        tensors.remove_hooks(self._model_hooks)
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def _open(self) -> None:
        """Begin the next step; probe it if it is its turn."""
        if not self._model_hooks:
            hook = self._model.register_forward_pre_hook(self._guard(self._before_forward), with_kwargs=True)
            self._model_hooks = [hook, self._model.register_forward_hook(self._guard(self._after_forward))]
            _keep_scriptable(self._model)
        number = len(self._losses) + len(self._pending)
        self._stepped = self._checked = False
        if number == FIRST:
            self._gradient.close()
        if number < self._next:
            return
        while self._next <= number:
            self._next = next(self._schedule)
        self._probe = Probe(self._model, self._guard, hooked=not self._compiled, weights=tensors.WEIGHTS)
        _keep_scriptable(self._model)
        if number < FIRST:
            optimized = self._optimized
            self._gradient.attach([p for p in self._model.parameters() if id(p) in optimized], self._guard)

    def _before_forward(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._loss_mode.stop()
        inputs = first_tensor([args, kwargs])
        if inputs is not None and inputs.layout is not torch.strided:
            inputs = None
        count = len(inputs) if inputs is not None and inputs.dim() else 1
        if torch.is_grad_enabled():
            self._mode = module.training
            labels = kwargs.get("labels")
            self._model_target = labels if isinstance(labels, Tensor) else None
            self._samples += count
            if self._probe is not None and inputs is not None:
                self._probe.input = inputs.detach()
        else:
            self._seen.validations += 1
            self._seen.train_validations += module.training
            if self._samples:  # not one that only finds out shapes
                self._note_scale(self._seen.validation_std, inputs)
            self._validated += count

    def _after_forward(self, module: nn.Module, args: Any, output: Any) -> None:
        if not torch.is_grad_enabled():
            return
        loss = output.get("loss") if isinstance(output, Mapping) else None
        if isinstance(loss, Tensor):
            self._model_loss = loss if self._probe is not None else loss.detach()
        if self._probe is not None:
            tensor = first_tensor(output)
            self._output = None if tensor is None else tensor.detach()
            self._check_time_order(self._probe.embedded, tensor)
            self._probe.embedded = None
            if self._data and not self._compiled and tensor is not None and tensor.requires_grad:
                self._loss_mode.start()
            if len(self._probes) == 0 and tensor is not None:
                self._seen.linear = is_linear(tensor)

    def _note_scale(self, stds: list[float | None], inputs: Tensor | None) -> None:
        """The standard deviation of the inputs of the first batches of their kind."""
        if len(stds) < FIRST and inputs is not None and inputs.is_floating_point():
            stds.append(finite(spaced(inputs).float().std(correction=0)))

    def _check_time_order(self, embedded: Tensor | None, output: Tensor | None) -> None:
        """Note how much outputs depend on later inputs, where these are the targets (along the axis `next_inputs`)."""
        axis = self._seen.next_inputs
        if axis is None or embedded is None or output is None or len(self._probes) > FIRST:
            return
        gradient = bugs.future_gradient(embedded, output, axis)
        if gradient.get("later", 0.0) > self._seen.future.get("later", 0.0):
            self._seen.future = gradient

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._loss_mode.stop()
        if self._probe is not None:
            self._probe.before_step({id(p) for group in optimizer.param_groups for p in group["params"]})
            self._gradient.before_step(self._seen)

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._seen.updates += 1
        self._seen.last_update = len(self._losses) + len(self._pending) + 1  # whose loss comes later
        self._stepped = True
        if self._probe is not None:
            self._probe.after_step()
            some = any(p.grad is not None for group in optimizer.param_groups for p in group["params"])
            self._gradient.after_step(self._seen, some)
            if id(optimizer) not in self._checked_optimizers:
                self._checked_optimizers.add(id(optimizer))
                self._check_parameters(self._probe, optimizer)

    def _check_parameters(self, probe: Probe, optimizer: torch.optim.Optimizer) -> None:
        """Note, in the optimizer's first step, which parameters are trained, and which are not although they should be.

        Those of another optimizer may have no gradient before its own step, as a generator's while its critic learns.
        """
        optimized, stepped = self._optimized, {id(p) for group in optimizer.param_groups for p in group["params"]}
        named = [(name, p) for name, p in self._model.named_parameters() if p.requires_grad]
        hidden = [(name, p) for name, p in bugs.unregistered(self._model) if p.requires_grad]
        some = any(p.grad is not None for _, p in named)
        # Without any gradient, another model was called, or the loop steps before its first backward pass. Within the
        # pass, as where the optimizer steps in a hook, gradients are still to come.
        complete = some and torch._C._current_graph_task_id() == -1
        seen = self._seen
        seen.trained, seen.held = len(named), sum(id(p) in optimized for _, p in named)
        seen.unheld = [n for n, p in [*named, *hidden] if id(p) not in optimized and p.grad is not None]
        seen.no_gradient += without_gradient(probe, optimized, optimized - stepped) if complete else []
        seen.backward = some

    @property
    def _optimized(self) -> set[int]:
        """The parameters that the optimizers change, by their identity."""
        return {id(p) for o in self._optimizers for group in o.param_groups for p in group["params"]}

    # --- steps and epochs ---

    def _step(self, loss: Tensor | float | None, target: Tensor | None) -> None:
        if loss is None:
            loss, target = self._model_loss, self._model_target
            assert loss is not None
            if target is not None and target.dim() != 1:
                if self._probe is not None and not target.is_floating_point():
                    self._chance.add_labels(target)
                target = None
        self._model_loss = self._model_target = None
        self._loss_mode.stop()
        self._pending.append(loss.detach() if isinstance(loss, Tensor) else torch.tensor(float(loss)))
        probe = self._probe
        if probe is None:
            self._open()
            return
        if not self._checked:
            self._checked = True
            self._check_batch(probe, loss, target)
        # Gradients of several batches may be accumulated before a step.
        accumulates = self._seen.updates == 0 and len(self._losses) + len(self._pending) < FIRST
        if self._stepped or not self._optimizers or accumulates:
            self._finish(probe)
            self._open()

    def _finish(self, probe: Probe) -> None:
        """Note the measurements of a step; numbers stay on the device."""
        probe.close()
        self._probe = None
        _keep_scriptable(self._model)
        rows = [*probe.rows.values()]
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups]
        rates = [float(group["lr"]) for group in groups if group.get("lr") is not None]
        step = len(self._losses) + len(self._pending)
        accuracy, self._chance.accuracy = self._chance.accuracy, None
        self._probes.append({"step": step, "rows": rows, "lr": max(rates, default=None), "acc": accuracy})
        if rows and "first_weights" not in self._start and "weight_norm" in rows[0]:
            self._start |= first_layers(rows)
        self._normed_over += probe.normed_over
        self._activations += probe.activations

    def _check_batch(self, probe: Probe, loss: Tensor | float, target: Tensor | None) -> None:
        seen, inputs = self._seen, probe.input
        seen.samples += 1
        seen.eval_steps += not self._mode
        floating = [x for x in (inputs, target) if x is not None and x.is_floating_point()]
        seen.non_finite += not all(bool(torch.isfinite(x).all()) for x in floating)
        if inputs is not None:
            sample = spaced(inputs)
            if inputs.is_floating_point():
                self._note_size(sample)
                if self._data and inputs.dim() == 2 and 1 <= inputs.shape[1] <= MAX_COLUMNS:
                    self._table = (self._table or Table()).with_rows(inputs)
                self._note_scale(seen.input_std, inputs)
            if seen.samples <= FIRST:
                if (before := self._last_input) is not None:
                    seen.batch_pairs += 1
                    seen.same_batches += before.shape == sample.shape and bool(torch.equal(before, sample))
                self._last_input = sample.clone() if seen.samples < FIRST else None
            seen.batch_size = seen.batch_size or (len(inputs) if inputs.dim() else 1)
            if target is not None and seen.next_inputs is None and seen.samples <= FIRST:
                seen.next_inputs = bugs.next_inputs(inputs, target)
        if isinstance(loss, Tensor) and not seen.loss_path:
            seen.loss_path = operations(loss)
            seen.backward = loss.requires_grad
            seen.cut = loss.requires_grad and not bugs.depends_on(loss, self._optimized)
        if self._loss_mode.error is not None:
            raise self._loss_mode.error
        if isinstance(loss, Tensor) and (call := self._loss_mode.entry(loss)):
            self._loss_calls.append(call._replace(node=None))
            seen.pairs = seen.pairs or call.paired
        self._loss_mode.calls.clear()
        if seen.samples <= FIRST and not seen.crossed:
            seen.crossed = batch_as_time(probe, self._output)
        self._chance.add_batch(self._output, target, float(self._pending[-1]), seen.loss_path)
        self._output = None

    def _note_size(self, sample: Tensor) -> None:
        """The root mean square of the inputs of all sampled batches, and of each column of a table.

        A single batch may be of zeros.
        """
        self._squares += sample.double().square().sum()
        self._inputs += sample.numel()
        self._start["input_rms"] = finite((self._squares / max(1, self._inputs)).sqrt())

    def _epoch(self, metrics: dict[str, float]) -> None:
        values = {_metric_name(key): float(value) for key, value in metrics.items() if value is not None}
        count = len(self._losses) + len(self._pending)
        if self._ends and self._ends[-1][0] == count:
            values = self._ends.pop()[1] | values
        if count:
            self._ends.append((count, values, time.perf_counter() - self._started))
        else:  # before the training, which is epoch 0
            self._start["metrics"] = self._start.get("metrics", {}) | {k: finite(v) for k, v in values.items()}

    def _read(self) -> list[float]:
        """The losses of all steps; those on the device are read now."""
        if self._pending:
            self._losses += torch.stack([loss.float().reshape(()) for loss in self._pending]).tolist()
            self._pending = []
        return self._losses

    # --- evidence ---

    def evidence(self) -> "Evidence":
        """The measurements, as the checks of `diagnose` read them."""
        from optilab.diagnose import PROBE_BATCHES, Evidence

        self._loss_mode.stop()
        losses, count = self._read(), len(self._losses)
        short = count <= PROBE_BATCHES  # too short to call a network slow, or healthy
        ends = [(end, metrics) for end, metrics, _ in self._ends]
        if not ends:
            parts = 1 if short else min(PARTS, max(1, count // PART))
            ends = [(round(count * (n + 1) / parts), {}) for n in range(parts)]
        elif count - ends[-1][0] > 0.5 * count / len(ends):  # an epoch that was not finished
            ends.append((count, {}))
        rows, records, begin = list[dict[str, Any]](), list[Diagnostics](), 0
        steps = [probe["step"] for probe in self._probes]
        for number, (end, metrics) in enumerate(ends, 1):
            mean = sum(losses[begin:end]) / max(1, end - begin)
            if end == begin or not math.isfinite(mean):
                break
            probes = self._probes[bisect_right(steps, begin) : bisect_right(steps, end)]
            row = {"epoch": number, "train_loss": mean}
            if accuracies := [probe["acc"] for probe in probes if probe["acc"] is not None]:
                row["train_acc"] = sum(accuracies) / len(accuracies)
            rows.append(row | {key: value for key, value in metrics.items() if math.isfinite(value)})
            if probes:
                layers = [probe["rows"] for probe in probes]
                records.append(epoch_diagnostics(number, layers, probes[-1]["lr"], None))
            begin = end
        if records:
            below = self._safely(lambda: [*map(fraction_below_eps, self._optimizers)]) or []
            records[-1]["eps_share"] = next((fraction for fraction in below if fraction is not None), None)
        start = self._before(count, short, rows)
        return Evidence(self._setup(), rows, [start, *records], self._divergence(losses), probe_run=short)

    def _first_step(self) -> float | None:
        """The largest |dw|/|w| of a layer in the first step; None without one."""
        rows = self._probes[0]["rows"] if self._probes else []
        pairs = [(row["update_norm"], row["weight_norm"]) for row in rows if "update_norm" in row]
        steps = [float(step) / float(weight) for step, weight in pairs if float(weight) > 0]
        return finite(max(steps, default=None))

    def _divergence(self, losses: Sequence[float]) -> str:
        bad = next((number for number, loss in enumerate(losses, 1) if not math.isfinite(loss)), 0)
        if bad:
            return f"diverged at step {bad}: loss is {losses[bad - 1]}"
        measured = [(epoch, m["val_loss"]) for epoch, (_, m, _) in enumerate(self._ends, 1) if "val_loss" in m]
        epoch, last = measured[-1] if measured else (0, 0.0)
        return "" if math.isfinite(last) else f"diverged at epoch {epoch}: val_loss is {last}"

    def _before(self, count: int, short: bool, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The diagnostics of epoch 0, from all that is known by now."""
        epochs = max(1, len(self._ends))
        total = self._samples or count * self._seen.batch_size  # where only parts are called
        samples, validated = total / epochs, self._validated / epochs
        modules, optimized = [*self._model.modules()], self._optimized
        trained = [p for p in self._model.parameters() if p.requires_grad]
        counts = {"trained": len(trained), "held": sum(id(p) in optimized for p in trained)} if optimized else {}
        modes = {
            "dropout": any(isinstance(module, DROPOUTS) and module.p for module in modules),
            "batch norm": any(isinstance(module, BATCH_NORMS) for module in modules),
        }
        loop = {
            **dataclasses.asdict(self._seen),
            **(counts if self._seen.held is None else {}),  # where no step was sampled
            **({"entered": dataclasses.asdict(found)} if (found := entered(self._loss_calls)) else {}),
            **({"columns": dataclasses.asdict(self._table.columns())} if self._table else {}),
            "first_step": self._first_step(),
            "steps": count,
            "optimizers": max(1, len(self._optimizers)),
            "short": short,
            "epoch_steps": count / len(self._ends) if self._ends else 0,
            "negative": sum(loss < 0 for loss in self._losses),
            "lowest_loss": min((row["train_loss"] for row in rows), default=0.0),
            "has_modes": [name for name, active in modes.items() if active],
            "error": self._error,
            **({"compiled": True} if self._compiled else {}),
            **self._chance.facts(),
        }
        start = {"epoch": 0, **self._start, "validation_images": max(1, round(validated or samples)), "loop": loop}
        if self._losses:
            start["first_loss"] = finite(self._losses[0])
            infinite = next((number for number, loss in enumerate(self._losses) if not math.isfinite(loss)), 0)
            if infinite:
                start |= {"finite_losses": infinite, "loss_before": self._losses[infinite - 1]}
        if self._ends and samples:
            start["train_images"] = round(samples)
        return start | self._chance.chance_level(self._losses, loop)

    def _setup(self) -> "Setup":
        from optilab.diagnose import Setup

        group = self._optimizers[0].param_groups[0] if self._optimizers else {}
        kind = type(self._optimizers[0]).__name__ if self._optimizers else ""
        coupled = not (group.get("decoupled_weight_decay") or "AdamW" in kind or kind == "Muon")
        decay = float(group.get("weight_decay") or 0.0)
        # A schedule may have taken the rate to zero by now, or not yet to what the optimizer was made with.
        rates = [float(group.get(key) or 0.0) for key in ("lr", "initial_lr")]
        facts = {
            "batch_size": self._seen.batch_size or 1,
            "validation": max(1, self._samples),
            "eps": group.get("eps"),
            "weight_decay": decay if coupled else 0.0,
            **network_facts(self._model, self._activations, self._normed_over),
        }
        return Setup.of_loop(
            max(*rates, *(probe["lr"] or 0.0 for probe in self._probes)), decay * (not coupled), facts
        )

    def _config(self, setup: "Setup") -> dict[str, Any]:
        """config.yaml of a watched run: the settings that checks read, and facts of model and optimizer."""
        from optilab.diagnose.evidence import LOOP_FACTS

        optimizers = self._optimizers
        return {
            "name": type(self._model).__name__,
            "seed": torch.initial_seed() % 2**63,
            "model": {
                "name": type(self._model).__name__,
                "parameters": sum(p.numel() for p in self._model.parameters() if not nn.parameter.is_lazy(p)),
                "layers": len(self._probes[-1]["rows"]) if self._probes else 0,
            },
            "optimizer": {
                "name": type(optimizers[0]).__name__ if optimizers else "none",
                "lr": setup.lr,
                "weight_decay": setup.decoupled_decay,
            },
            "watch": {
                "every": self._every,
                **{key: getattr(setup, key) for key in LOOP_FACTS if key != "validation"},
            },
        }


def _require(valid: bool, where: str, expected: str, *got: Any) -> None:
    """UsageError unless `valid`."""
    if not valid:
        raise UsageError(", got ".join([expected, *map(shown, got)]), where)


def _number(value: Any) -> float | None:
    """The value as a number, also of a tensor or an array; None for anything else."""
    with suppress(TypeError, ValueError, RuntimeError, OverflowError):
        return None if isinstance(value, str | bytes) else float(value)
    return None


def _metric_name(key: str) -> str:
    """val_acc for what Keras calls val_accuracy, and Transformers eval_accuracy; train_acc for Keras's accuracy."""
    key = re.sub("^(eval|valid|validation)_(?=loss$|acc)", "val_", key)
    return re.sub("^(val|train)_accuracy$", r"\1_acc", re.sub("^acc(uracy)?$", "train_acc", key))


class _Gradient:
    """Checks, in the first steps, if a parameter's gradient still contains the gradient of the step before."""

    def __init__(self) -> None:
        self._old: Tensor | None = None
        self._new: Tensor | None = None
        self._total: Tensor | None = None
        self._parameter: nn.Parameter | None = None
        self._hooks: list[Any] = []

    def attach(self, optimized: Iterable[nn.Parameter], guard: Callable[..., Any]) -> None:
        self.close()
        trained = [p for p in optimized if p.requires_grad and not nn.parameter.is_lazy(p)]
        if not trained:
            return
        # Of the last layers, which get a gradient in any network; the smaller the cheaper.
        self._parameter = min(trained[-4:], key=lambda p: p.numel())
        self._hooks = [
            self._parameter.register_hook(guard(self._add_gradient)),  # type: ignore[no-untyped-call]
            self._parameter.register_post_accumulate_grad_hook(guard(self._note_total)),  # type: ignore[no-untyped-call]
        ]

    def close(self) -> None:
        tensors.remove_hooks(self._hooks)

    def _add_gradient(self, gradient: Tensor) -> None:
        gradient = as_real(gradient).float()
        self._new = gradient.clone() if self._new is None else self._new + gradient

    def _note_total(self, parameter: Tensor) -> None:
        self._total = None if parameter.grad is None else as_real(parameter.grad).float().clone()

    def before_step(self, seen: LoopEvidence) -> None:
        old, new, total = self._old, self._new, self._total
        if old is None or new is None or total is None or not bool(old.any()):
            return
        seen.checked_gradients += 1
        seen.kept_gradients += _close(total, old + new) and not _close(total, new)

    def after_step(self, seen: LoopEvidence, some: bool) -> None:
        """`some`: a parameter of the optimizer has a gradient."""
        gradient = None if self._parameter is None else self._parameter.grad
        if self._hooks:
            arrived, present = (g is not None and bool(g.any()) for g in (self._new, gradient))
            seen.first_updates += 1
            seen.wiped += arrived and not present
            seen.no_backward += not (arrived or some)
        self._old = None if gradient is None else as_real(gradient).float().clone()
        self._new = self._total = None


def _close(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).norm() <= 1e-3 * b.norm())


class _Hook:
    """A hook of the watch: it fails in silence, sees no pass that is traced, and a copy of the model has none."""

    def __init__(self, watch: Watch, work: Callable[..., Any], *first: Any) -> None:
        self._watch, self._work, self._first = watch, work, first

    def __call__(self, *args: Any) -> Any:
        if torch.jit.is_tracing() or torch.compiler.is_exporting():  # type: ignore[attr-defined, no-untyped-call]
            return None
        return self._watch._safely(self._work, *self._first, *args)

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()


def _nothing() -> Callable[..., None]:
    return _ignore


def _ignore(*args: Any) -> None:
    """Replacement of a hook in a copy of the model."""


def _keep_scriptable(model: nn.Module) -> None:
    """Let torch.jit.script ask the modules with hooks, and no others, for what it compiles."""
    for module in model.modules():
        vars(module).pop("__prepare_scriptable__", None)
        hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
        if any(isinstance(hook, _Hook) for hook in hooks):
            vars(module)["__prepare_scriptable__"] = functools.partial(_scriptable, module)


def _scriptable(module: nn.Module) -> nn.Module:
    """The module without the hooks of watches, which are no TorchScript."""
    for hooks in (module._forward_pre_hooks, module._forward_hooks):
        for key, hook in [*hooks.items()]:
            if isinstance(hook, _Hook):
                hook._watch._unhook()
            elif hook is _ignore:
                del hooks[key]
    vars(module).pop("__prepare_scriptable__", None)
    prepare = getattr(type(module), "__prepare_scriptable__", None)
    return module if prepare is None else prepare(module)
