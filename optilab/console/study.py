"""A study in progress: its trials, its epochs, the time left."""

import time
from collections.abc import Collection
from dataclasses import asdict

from optilab.show import terminal
from optilab.show.progress import Bar, ProgressLine
from optilab.study.groups import Measure
from optilab.study.trials import Cost, Outcome


def plan(shape: str, cost: Cost) -> str:
    """What is to be trained, and about what it takes: `54 trials: 9 optimizer.lr x 2 model.init x 3 seeds, ...`."""
    all_alike = cost.epochs == cost.longest * cost.trials
    each = (
        f"{cost.longest:,} epoch{'s' * (cost.longest > 1)} each" if all_alike else f"up to {cost.longest:,} epochs"
    )
    parts = [f"{cost.trials:,} trial{'s' * (cost.trials > 1)}: {shape}, {each}"]
    if cost.missing < cost.trials:
        parts.append(f"{cost.trials - cost.missing:,} done already")
    if cost.seconds is not None and cost.seconds_per_epoch is not None:
        pace = f"{cost.at_once} at a time, {cost.seconds_per_epoch:.2g} s per epoch"
        parts.append(f"about {terminal.duration(cost.seconds)} ({pace})")
    if cost.bytes is not None:
        parts.append(f"about {cost.bytes / 2**20:,.1f} MiB on disk")
    return "; ".join(parts)


def show_plan(shape: str, cost: Cost, json_: bool) -> None:
    """The end of a dry run."""
    if json_:
        terminal.document(
            {"plan": shape, **{key: value for key, value in asdict(cost).items() if key != "problem"}}
        )
    else:
        terminal.say(plan(shape, cost))


class Progress:
    """Trials and epochs done, the best trial so far, time left: a bar on a terminal and in a notebook, a line per trial
    in a log.
    """

    def __init__(self, trials: int, epochs: int, quiet: bool = False, metric: str = "val_acc") -> None:
        self._bar = Bar(quiet)
        self._trials, self._total = trials, epochs
        self._ended, self._failed, self._diverged, self._stopped = set[str](), 0, 0, 0
        self._measure, self._best = Measure(metric), list[float]()
        self._first: int | None = None
        self._epochs, self._started, self._quiet = 0, time.monotonic(), quiet
        self._task = self._bar.add_task("", total=self._total, left="")
        self._line = ProgressLine() if terminal.err.is_jupyter and not quiet else None

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if self._line is not None:
            self._line.close()

    def epochs(self, done: int) -> None:
        """So many epochs of all trials are on disk."""
        if self._first is None:
            self._first, self._started = done, time.monotonic()
        self._epochs = done
        self._draw()

    def known(self, outcomes: Collection[Outcome]) -> None:
        """These trials had ended before."""
        for outcome in outcomes:
            self._count(outcome)

    def done(self, outcome: Outcome) -> None:
        """A trial has ended."""
        self._count(outcome)
        self._draw()
        if not self._quiet and (outcome.failed or (self._bar.disable and self._line is None)):
            reason = f": {outcome.reason}" if outcome.failed else ""
            left = f", {left}" if (left := self.left()) else ""
            terminal.note(f"{len(self._ended)}/{self._trials} {outcome.trial.name} {outcome.status}{reason}{left}")

    def left(self) -> str:
        """`about 2:30 left`, from the epochs since the start; empty while nothing is known."""
        fresh, elapsed = self._epochs - (self._first or 0), time.monotonic() - self._started
        ended = len(self._ended) == self._trials and not self._stopped
        if fresh <= 0 or ended or self._epochs >= self._total:
            return ""
        return f"about {terminal.duration((self._total - self._epochs) * elapsed / fresh)} left"

    def _count(self, outcome: Outcome) -> None:
        if outcome.trial.name not in self._ended:
            self._failed += outcome.failed
            self._diverged += outcome.status == "diverged"
            self._stopped += outcome.status == "stopped"  # at a rung: some of these go on
        self._ended.add(outcome.trial.name)
        value = outcome.row.get(self._measure.metric)
        if outcome.status in ("done", "stopped") and isinstance(value, int | float):
            choose = max if self._measure.rises else min
            self._best = [choose([*self._best, value])]

    def _best_so_far(self) -> list[str]:
        name = self._measure.metric
        return [
            f"best {name} {100 * v:.1f} %" if self._measure.share else f"best {name} {v:.4g}" for v in self._best
        ]

    def _draw(self) -> None:
        pace = terminal.pace(self._epochs - (self._first or 0), time.monotonic() - self._started)
        bad = [f"{n} {what}" for n, what in ((self._failed, "failed"), (self._diverged, "diverged")) if n]
        text = "   ".join([f"{len(self._ended)} of {self._trials} trials", *bad, *self._best_so_far(), pace])
        self._bar.update(self._task, completed=self._epochs, description=text, left=self.left())
        if self._line is not None:
            self._line.draw(self._epochs / self._total, f"{text}   {self.left()}")
