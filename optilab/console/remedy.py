"""`optilab remedy`: the results table."""

from collections.abc import Sequence
from typing import Any

from optilab.show import terminal
from optilab.study.remedy import Result, smallest_fix


def show(name: str, epochs: int, seeds: int, results: Sequence[Result]) -> None:
    """Print the results, the best first, and the smallest change that fixes the network."""
    tried = "1 remedy" if len(results) == 2 else f"{len(results) - 1} remedies"
    counts = f"{seeds} seed{'s' * (seeds > 1)}, {epochs} epoch{'s' * (epochs > 1)}"
    terminal.say(f"{name}: {tried}, {counts}", style="bold")
    terminal.say()
    ranked = sorted(results, key=lambda result: -(result.accuracy or 0.0))
    rows = []
    for result in ranked:
        changes = "  ".join(result.plan.remedy.sets) if result.plan.remedy else ""
        accuracy = result.state if result.accuracy is None else f"{result.accuracy:.1%}"
        spread = "" if result.spread is None else f"{result.spread:.1%}"
        ratio = "" if result.ratio is None else f"{result.ratio:.0e}"
        text = result.plan.misfit or changes
        rows.append([result.plan.name, accuracy, spread, ratio, terminal.duration(result.seconds), text])
    headings = ["remedy", "val_acc", "+-", "|g1|/|gL|", "time", "change"]
    terminal.show(terminal.grid(headings, rows, left=(0, 5)))
    seen = "+-: standard deviation over the seeds" if seeds > 1 else "one seed: others differ by several points"
    terminal.say(
        f"val_acc: best epoch, chosen on the images it is measured on, so a little high\n{seen}", style="dim"
    )
    terminal.say()
    if (fix := smallest_fix(results)) and fix.plan.remedy:
        terminal.say(
            f"smallest change that fixes it: {fix.plan.name}: {'  '.join(fix.plan.remedy.sets)}", style="green"
        )
    elif all(result.accuracy is None for result in results):
        terminal.say("no training has a result", style="red")
    else:
        terminal.say("no remedy does much better than the network as it is", style="yellow")


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
