"""`optilab train --log`: the epochs of a training, on their way to the screen, go to a tracker as well."""

from pathlib import Path

from optilab.config.load import dump, flat
from optilab.config.training import TrainConfig
from optilab.console.train import Display
from optilab.errors import UsageError, unknown
from optilab.runs import Row
from optilab.show import terminal
from optilab.study.export import LiveEvents, require


def tracked(tracker: str) -> None:
    """UsageError for a tracker that does not exist or is not installed."""
    if tracker != "tensorboard":
        raise UsageError(unknown("tracker", tracker, ["tensorboard"]), "--log")
    require("tensorboard", "--log tensorboard", "tensorboard")


class LoggedDisplay:
    """A display of a training that also writes an event file of TensorBoard into the run directory.

    Whatever goes wrong with that file is reported once, and ends the logging, never the training.
    """

    def __init__(self, display: Display, folder: Path, config: TrainConfig, done: int) -> None:
        """Begin the file; `done` epochs were trained before."""
        self._display = display
        self._events: LiveEvents | None = None
        try:
            self._events = LiveEvents(folder, flat(dump(config)), done + 1)
        except Exception as error:
            self._give_up(error)

    def batch(self, done: int, total: int) -> None:
        """A batch was trained."""
        self._display.batch(done, total)

    def epoch(self, row: Row, seconds: float, record: Row) -> None:
        """An epoch is on disk."""
        self._display.epoch(row, seconds, record)
        if self._events is not None:
            try:
                self._events.add(row, seconds)
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._events = None
        reason = getattr(error, "strerror", None) or error
        terminal.note(
            f"the event file of TensorBoard cannot be written ({reason}); the training goes on without it"
        )
