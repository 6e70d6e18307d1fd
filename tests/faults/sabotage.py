"""Faults put into optilab itself, and delays, each in a forked process that calls it first.

With a fault that is a negative control the tests must find a violation, or they find nothing at all.
"""

from pathlib import Path
from typing import Any, ClassVar

from optilab import runs
from optilab.runs import directory


def no_generator() -> None:
    """A resumed run goes on with the generator of a fresh one."""
    import torch

    torch.set_rng_state = lambda state: None


def in_place() -> None:
    """Files are written under their final names, piece by piece, as `torch.save(path)` would."""

    def write(path: Path, data: bytes) -> None:
        with path.open("wb", buffering=0) as file:
            for start in range(0, len(data), 1 << 6):
                file.write(data[start : start + (1 << 6)])

    directory.write_atomic = write


def inline_workers() -> None:
    """No fault: the trials of a study run in the process of its command, one after the other."""
    from optilab.study import study

    class Inline(study.Processes):
        answers: ClassVar[list[Any]] = []

        def begin(self, name: str, task: Any) -> None:
            from optilab.train import worker

            self.answers.append((name, worker.reply(task, lambda: False)))

        def ended(self) -> Any:
            while self.answers:
                yield self.answers.pop()

        @property
        def slots(self) -> int:
            return 1

    study.Processes = Inline


def slow_epochs() -> None:
    """No fault: every batch takes 20 ms longer, so that a signal meets a running epoch."""
    import time

    from optilab.commands.train import TrainingDisplay

    def batch(self: Any, done: int, total: int) -> None:
        time.sleep(0.02)

    TrainingDisplay.batch = batch


def held_epochs() -> None:
    """No fault: slow epochs, and the second does not end before there is a file `go` where the process was started."""
    import time

    from optilab.commands.train import TrainingDisplay

    slow_epochs()
    epoch = TrainingDisplay.epoch

    def held(self: Any, row: Any, *more: Any) -> None:
        epoch(self, row, *more)
        while row["epoch"] >= 2 and not Path("go").exists():
            time.sleep(0.005)

    TrainingDisplay.epoch = held


def pause_after_config() -> None:
    """No fault: who writes config.yaml goes on a second later, with slow epochs."""
    import time

    slow_epochs()
    write = runs.write_atomic

    def paused(path: Path, data: bytes) -> None:
        write(path, data)
        if path.name == "config.yaml":
            time.sleep(1)

    runs.write_atomic = paused


def endless_batch() -> None:
    """No fault: the first batch never ends. It reports that it has begun, and each signal that it outlived."""
    import os
    import signal

    from optilab.commands.train import TrainingDisplay

    reading, writing = os.pipe()

    def batch(self: Any, done: int, total: int) -> None:
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing)  # `signal.pause` would miss the one that comes before it
        print("in a batch", flush=True)
        while True:
            os.read(reading, 1)
            print("still in the batch", flush=True)

    TrainingDisplay.batch = batch


def bug() -> None:
    """An error of ours after the first epoch, with something secret in the frame."""
    import os

    from optilab.commands.train import TrainingDisplay

    def epoch(self: Any, row: Any, *more: Any) -> None:
        secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
        raise ZeroDivisionError(f"row {row['epoch']}" if secret else "row")

    TrainingDisplay.epoch = epoch


def nan_weights() -> None:
    """A weight becomes NaN after the third epoch's last step, while the losses are still finite."""
    import torch

    from optilab.train.engine import Training

    evaluate = Training._evaluate

    def poisoned(self: Any, images: Any) -> Any:
        measured = evaluate(self, images)
        if self.epoch == 2:
            with torch.no_grad():
                next(iter(self.model.parameters())).view(-1)[0] = float("nan")
        return measured

    Training._evaluate = poisoned


def nan_images() -> None:
    """The images of the third epoch are NaN."""
    from optilab.train.engine import Training

    train = Training._train_epoch

    def poisoned(self: Any, *watching: Any) -> Any:
        if self.epoch == 2:
            self.model.register_forward_pre_hook(lambda module, images: (images[0] * float("nan"),))
        return train(self, *watching)

    Training._train_epoch = poisoned
