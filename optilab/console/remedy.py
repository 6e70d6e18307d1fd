"""`optilab remedy`: what it will cost, its progress, and the results table."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from optilab import console
from optilab.config.schema.train import TrainConfig
from optilab.studies.remedy import Result, smallest_fix
from optilab.studies.trials import Outcome, Trial


def cost(trials: Sequence[Trial], done: Mapping[str, int], jobs: int) -> None:
    """What is about to run, before it does."""
    total = sum(trial.config.epochs for trial in trials)
    there = sum(done.values())
    already = f", {there:,} of them done already" if there else ""
    at_once = f"{jobs} at a time" if jobs > 1 else "one after another"
    runs = "1 training" if len(trials) == 1 else f"{len(trials)} trainings"
    console.note(f"{runs}, {total:,} epochs in all{already}; {at_once}; the time left is estimated as they run")


class Progress:
    """Epochs over all trials and the time left: a bar on a terminal, a line per ended trial in a log."""

    def __init__(self, trials: Sequence[Trial], done: Mapping[str, int], quiet: bool = False) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
        live = console.err.is_terminal and not quiet
        self._bar = Bar(*columns, console=console.err, transient=True, disable=not live)
        self._total = sum(trial.config.epochs for trial in trials)
        self._first = self._epochs = sum(done.values())
        self._trials, self._ended = len(trials), 0
        self._started, self._quiet = time.monotonic(), quiet
        self._task = self._bar.add_task("", total=self._total, left="")
        self._draw()

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def epochs(self, done: int) -> None:
        """So many epochs of all trials are on disk."""
        self._epochs = done
        self._draw()

    def done(self, outcome: Outcome) -> None:
        """A trial has ended."""
        self._ended += 1
        self._draw()
        if not self._quiet and (self._bar.disable or outcome.failed):
            reason = f": {outcome.reason}" if outcome.failed else ""
            left = f", {left}" if (left := self.left()) else ""
            console.note(f"{self._ended}/{self._trials} {outcome.trial.name} {outcome.state}{reason}{left}")

    def left(self) -> str:
        """`about 2:30 left`, from the epochs since the start; empty while nothing is known."""
        fresh, elapsed = self._epochs - self._first, time.monotonic() - self._started
        if fresh <= 0 or self._ended == self._trials:
            return ""
        return f"about {console.duration((self._total - self._epochs) * elapsed / fresh)} left"

    def _draw(self) -> None:
        text = f"{self._ended} of {self._trials} runs   epoch {self._epochs:,} of {self._total:,}"
        self._bar.update(self._task, completed=self._epochs, description=text, left=self.left())


def show(base: TrainConfig, seeds: int, results: Sequence[Result]) -> None:
    """Print the results, the best first, and the smallest change that fixes the network."""
    tried = "1 remedy" if len(results) == 2 else f"{len(results) - 1} remedies"
    counts = f"{seeds} seed{'s' * (seeds > 1)}, {base.epochs} epoch{'s' * (base.epochs > 1)}"
    console.say(f"{base.name}: {tried}, {counts}", style="bold")
    console.say()
    ranked = sorted(results, key=lambda result: -(result.accuracy or 0.0))
    rows = []
    for result in ranked:
        changes = "  ".join(result.plan.remedy.sets) if result.plan.remedy else ""
        accuracy = result.state if result.accuracy is None else f"{result.accuracy:.1%}"
        spread = "" if result.spread is None else f"{result.spread:.1%}"
        ratio = "" if result.ratio is None else f"{result.ratio:.0e}"
        text = result.plan.misfit or changes
        rows.append([result.plan.name, accuracy, spread, ratio, console.duration(result.seconds), text])
    headings = ["remedy", "val_acc", "+-", "|g1|/|gL|", "time", "change"]
    console.show(console.grid(headings, rows, left=(0, 5)))
    console.say()
    if (fix := smallest_fix(results)) and fix.plan.remedy:
        console.say(
            f"smallest change that fixes it: {fix.plan.name}: {'  '.join(fix.plan.remedy.sets)}", style="green"
        )
    elif all(result.accuracy is None for result in results):
        console.say("no training has a result", style="red")
    else:
        console.say("no remedy does much better than the network as it is", style="yellow")


def document(results: Sequence[Result]) -> dict[str, Any]:
    """The results in the document of `--json`."""
    fix = smallest_fix(results)
    return {
        "results": [
            {
                "remedy": result.plan.name,
                "changes": dict(result.plan.remedy.changes) if result.plan.remedy else {},
                "val_acc": list(result.accuracies),
                "mean": result.accuracy,
                "std": result.spread,
                "gradient_ratio": result.ratio,
                "seconds": result.seconds,
                "state": result.plan.misfit or result.state,
            }
            for result in results
        ],
        "smallest_fix": fix and fix.plan.name,
    }
