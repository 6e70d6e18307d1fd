"""What is shown while trainings run."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from optilab.answer.planned import announcement
from optilab.runs.metrics import metric_of
from optilab.show import terminal
from optilab.show.progress import Bar
from optilab.words import duration, pace

if TYPE_CHECKING:
    from optilab.study.study import Cost
    from optilab.study.trials import Outcome


@contextlib.contextmanager
def starting(name: str, soon: bool = True) -> Iterator[None]:
    """The first line, while PyTorch is loaded, which takes seconds: on a terminal at once where it is `soon`, else
    after ten seconds."""
    text = f"starting {name}: loading PyTorch, which takes long on a busy machine"
    if soon and terminal.err.is_terminal:
        terminal.note(text)
        yield
    else:
        with terminal.note_if_slow(text):
            yield


class TerminalView:
    """A study on the terminal or in a notebook; `silent`: only errors and notes."""

    def __init__(self, silent: bool = False) -> None:
        self._silent = silent

    def announce(self, shape: str, cost: "Callable[[], Cost]") -> None:
        if not self._silent:
            with starting(shape, soon=False):
                estimate = cost()
            terminal.note(announcement(shape, estimate))

    def progress(self, trials: int, epochs: int, metric: str) -> "StudyProgress":
        return StudyProgress(trials, epochs, metric, self._silent)

    def note(self, message: str) -> None:
        terminal.note(message)


class StudyProgress(Bar):
    """Trials and epochs done, the best trial so far, time left: a bar on a terminal and in a notebook, in a log a line
    every ten seconds.
    """

    def __init__(self, trials: int, epochs: int, metric: str, quiet: bool) -> None:
        super().__init__(epochs, quiet)
        self._trials = trials
        self._metric, self._best = metric_of(metric), list[float]()
        self._statuses = dict[str, str]()
        self._epochs = self._first = 0
        self._started, self._begun, self._moves = time.monotonic(), False, False
        self._noted = self._started

    def recount(self, trials: int, epochs: int) -> None:
        """Count to other numbers from now on."""
        self._trials, self._total = trials, epochs
        self.update(self._task, total=epochs)

    def epochs(self, done: int) -> None:
        """Report the number of epochs that are on disk; time counts from the first one here, without the start."""
        self._epochs = done
        moves = self._begun and done > self._first
        if not self._begun or (moves and not self._moves):
            self._first, self._started = done, time.monotonic()
        self._begun, self._moves = True, self._moves or moves
        self._draw()

    def known(self, outcomes: "Iterable[Outcome]") -> None:
        """Count trials that had ended before this command."""
        for outcome in outcomes:
            self._statuses[outcome.trial.name] = outcome.status
            value = outcome.row.get(self._metric.name)
            if outcome.status in ("done", "stopped") and isinstance(value, int | float):
                self._best = [max([*self._best, value], key=lambda v: v * self._metric.sign)]

    def done(self, outcome: "Outcome") -> None:
        """Count and report a trial that has ended."""
        self.known([outcome])
        self._draw()
        count = f"{len(self._statuses)} of {self._trials} trials"
        now, is_last = time.monotonic(), len(self._statuses) == self._trials
        left = f", {left}" if (left := self._left()) and not is_last else ""
        if outcome.failed:
            terminal.note(f"{count}: {outcome.trial.name} failed: {outcome.reason}{left}")
        elif self.in_log and (is_last or now - self._noted >= terminal.MAX_SILENCE_SECONDS):
            self._noted = now
            terminal.note(f"{count}{left}")

    def _left(self) -> str:
        """`about 2:30 left`, from the epochs since the first ones; empty while nothing is known."""
        fresh, elapsed = self._epochs - self._first, time.monotonic() - self._started
        ended = len(self._statuses) == self._trials and "stopped" not in self._statuses.values()
        if fresh <= 0 or ended or self._epochs >= self._total:
            return ""
        return f"about {duration((self._total - self._epochs) * elapsed / fresh)} left"

    def _draw(self) -> None:
        counts, name = Counter(self._statuses.values()), self._metric.name
        bad = [f"{counts[status]} {status}" for status in ("failed", "diverged") if counts[status]]
        best = [f"best {name} {self._metric.text(float(value))}" for value in self._best]
        speed = pace(self._epochs - self._first, time.monotonic() - self._started)
        text = "   ".join([f"{len(self._statuses)} of {self._trials} trials", *bad, *best, speed])
        self.show(self._epochs, text, self._left())


class StepProgress(Bar):
    """A number of steps and the time left: a bar on a terminal and in a notebook, a line every ten seconds in a log."""

    def __init__(self, total: int, silent: bool, text: str) -> None:
        super().__init__(total, silent)
        self._done, self._started = 0, time.monotonic()
        self._noted = self._started
        self.show(0, text, "")

    def step(self, text: str) -> None:
        """Count one more step; time counts from the first one, which warms up."""
        self._done, now, left = self._done + 1, time.monotonic(), ""
        if self._done == 1:
            self._started = now
        else:
            seconds = (self._total - self._done) * (now - self._started) / (self._done - 1)
            left = f"{duration(seconds)} left"
        self.show(self._done, text, left)
        if self.in_log and now - self._noted >= terminal.MAX_SILENCE_SECONDS:
            self._noted = now
            terminal.note(", ".join(filter(None, (text, left))))
