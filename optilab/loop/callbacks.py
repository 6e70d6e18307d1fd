"""The watch as a callback of Lightning and of Hugging Face's Trainer: `watch.diagnosis()` after the training."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import Tensor

from optilab.errors import UsageError

Watching = Callable[[Any, Any], Any]
"""The class `Watch`: a function that begins to watch a model and its optimizers."""

NAMES = ("eval_loss", "eval_accuracy", "val_loss", "val_acc")
"""The metrics of Hugging Face that an epoch has."""


def _package(names: tuple[str, ...], extra: str) -> Any:
    for name in names:
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    raise UsageError(f"this callback needs {extra}: pip install {extra}")


def lightning(watch: Watching) -> Any:
    """A callback for `lightning.Trainer(callbacks=[...])`; its `watch` is that of the last fit.

    An epoch has the metrics that the module logged: val_loss, val_acc, train_acc. UsageError without Lightning.
    """
    kind: Any = _package(("lightning.pytorch", "pytorch_lightning"), "lightning").Callback

    class LightningWatch(kind):  # type: ignore[misc]
        watch: Any = None
        loss: Tensor | None = None

        def on_before_backward(self, trainer: Any, module: Any, loss: Tensor) -> None:
            # Later it is detached from the operations that made it. It is divided where batches are accumulated.
            self.loss = loss * count if (count := trainer.accumulate_grad_batches) > 1 else loss

        def on_train_start(self, trainer: Any, module: Any) -> None:
            optimizers = [getattr(wrapped, "optimizer", wrapped) for wrapped in trainer.optimizers]
            self.watch = watch(module, optimizers)

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, number: int) -> None:
            pair = isinstance(batch, list | tuple) and len(batch) == 2 and isinstance(batch[1], Tensor)
            if self.loss is not None:
                self.watch._safely(self.watch.step, self.loss, batch[1] if pair else None)
            self.loss = None

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            metrics = {key: value for key, value in trainer.callback_metrics.items() if key != "epoch"}
            self.watch._safely(lambda: self.watch.epoch(**metrics))

        def on_train_end(self, trainer: Any, module: Any) -> None:
            self.watch.close()

        def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
            if self.watch is not None:
                self.watch.close()

    return LightningWatch()


def transformers(watch: Watching) -> Any:
    """A callback for `transformers.Trainer(callbacks=[...])`; its `watch` is that of the last training.

    The loss is the one that the model returns. UsageError without Transformers.
    """
    kind: Any = _package(("transformers",), "transformers").TrainerCallback

    class TrainerWatch(kind):  # type: ignore[misc]
        watch: Any = None
        _metrics: dict[str, Any] | None = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            optimizer = kwargs["optimizer"]
            self.watch, self._metrics = watch(kwargs["model"], getattr(optimizer, "optimizer", optimizer)), None

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.watch._safely(self.watch.step)

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
            self._metrics = {key: value for key, value in (metrics or {}).items() if key in NAMES}

        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._metrics = self._metrics or {}

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._end_epoch()

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._end_epoch()
            self.watch.close()

        def _end_epoch(self) -> None:
            # An epoch ends before it is evaluated.
            if (metrics := self._metrics) is not None:
                self.watch._safely(lambda: self.watch.epoch(**metrics))
            self._metrics = None

    return TrainerWatch()
