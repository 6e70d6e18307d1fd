"""`optilab remedy`: the results table."""

from collections.abc import Sequence
from typing import Any

from optilab import console
from optilab.study.remedy import Result, smallest_fix


def show(name: str, epochs: int, seeds: int, results: Sequence[Result]) -> None:
    """Print the results, the best first, and the smallest change that fixes the network."""
    tried = "1 remedy" if len(results) == 2 else f"{len(results) - 1} remedies"
    counts = f"{seeds} seed{'s' * (seeds > 1)}, {epochs} epoch{'s' * (epochs > 1)}"
    console.say(f"{name}: {tried}, {counts}", style="bold")
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
    seen = "+-: standard deviation over the seeds" if seeds > 1 else "one seed: others differ by several points"
    console.say(
        f"val_acc: best epoch, chosen on the images it is measured on, so a little high\n{seen}", style="dim"
    )
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
