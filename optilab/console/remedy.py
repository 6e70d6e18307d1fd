"""`optilab remedy`: the progress of many runs, and the table that a teacher wants."""

from collections.abc import Sequence
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from optilab import console
from optilab.config.schema.train import TrainConfig
from optilab.studies.remedy import Result, smallest_fix
from optilab.studies.trials import Outcome


class Progress:
    """One bar over all runs on a terminal, a line per run in a log."""

    def __init__(self, total: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Bar(*columns, console=console.err, transient=True, disable=not console.err.is_terminal)
        self._task = self._bar.add_task("runs", total=total)
        self._total, self._done = total, 0

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def done(self, outcome: Outcome) -> None:
        """A run has ended."""
        self._done += 1
        self._bar.update(self._task, completed=self._done, description=outcome.trial.name)
        if self._bar.disable or outcome.failed:
            reason = f": {outcome.reason}" if outcome.failed else ""
            console.note(f"{self._done}/{self._total} {outcome.trial.name} {outcome.state}{reason}")


def show(base: TrainConfig, seeds: int, results: Sequence[Result]) -> None:
    """Every remedy, the best first, and the smallest change that fixes the network."""
    tried = "1 remedy" if len(results) == 2 else f"{len(results) - 1} remedies"
    counts = f"{seeds} seed{'s' * (seeds > 1)}, {base.epochs} epoch{'s' * (base.epochs > 1)}"
    console.say(f"{base.name}: {tried}, {counts}", style="bold")
    console.say()
    ranked = sorted(results, key=lambda result: -(result.accuracy or 0.0))
    rows = []
    for result in ranked:
        changes = "  ".join(result.plan.remedy.sets) if result.plan.remedy else ""
        told = result.state if result.accuracy is None else f"{result.accuracy:.1%}"
        spread = "" if result.spread is None else f"{result.spread:.1%}"
        ratio = "" if result.ratio is None else f"{result.ratio:.0e}"
        text = result.plan.misfit or changes
        rows.append([result.plan.name, told, spread, ratio, console.duration(result.seconds), text])
    headings = ["remedy", "val_acc", "+-", "|g1|/|gL|", "time", "change"]
    console.show(console.grid(headings, rows, left=(0, 5)))
    console.say()
    if (fix := smallest_fix(results)) and fix.plan.remedy:
        console.say(
            f"smallest change that fixes it: {fix.plan.name}: {'  '.join(fix.plan.remedy.sets)}", style="green"
        )
    else:
        console.say("no remedy does much better than the network as it is", style="yellow")


def document(results: Sequence[Result]) -> dict[str, Any]:
    """The table as JSON."""
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
