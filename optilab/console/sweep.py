"""`optilab sweep`: the end of the study."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from optilab.console import compare
from optilab.runs import Record
from optilab.show import terminal
from optilab.study.comparison import compare_runs
from optilab.study.groups import text
from optilab.study.outcomes import Measure
from optilab.study.plan import rungs
from optilab.study.sweep import Sweep
from optilab.study.trials import Outcome

MOST_POINTS = 6
"""Points of the last rung that are written out."""


def document(plan: Sweep, outcomes: Sequence[Outcome], ran_through: Sequence[Record]) -> dict[str, Any]:
    """In the document of `--json`: the rows of trials.csv, and the comparison of the trials that ran through."""
    facts: dict[str, Any] = {"plan": plan.shape, "epochs": plan.base.epochs}
    facts["trials"] = [outcome.row for outcome in outcomes]
    side = compare_runs(ran_through, Measure(plan.asked.metric)) if ran_through else None
    return facts | {"comparison": side and compare.document(side)}


def show(plan: Sweep, outcomes: Sequence[Outcome], ran_through: Sequence[Record]) -> None:
    """How the trials ended, and the comparison of those that ran through."""
    counts = Counter(outcome.status for outcome in outcomes)
    ended = ", ".join(f"{counts[s]} {s}" for s in ("done", "stopped", "diverged", "failed") if counts[s])
    epochs = f"{plan.base.epochs} epoch{'s' * (plan.base.epochs > 1)}"
    terminal.say(f"{plan.base.name}: {plan.shape}, {epochs}: {ended}", style="bold")
    images = "validation images held out" if plan.base.data.holdout else "the test set, which also validates"
    if plan.asked.search is not None:
        best = "highest" if Measure(plan.asked.metric).higher else "lowest"
        terminal.say(f"TPE looked for the {best} mean {plan.asked.metric} of the last epoch, on {images}")
    if plan.asked.halving is not None:
        terminal.say(f"{_rungs(plan, plan.asked.halving)}, on {images}")
        terminal.say(f"to the end: {_through(outcomes)}")
    if ran_through:
        compare.show(compare_runs(ran_through, Measure(plan.asked.metric)))
    else:
        terminal.say("no training has a result", style="red")


def _rungs(plan: Sweep, eta: int) -> str:
    """Which points went how far, and by what they were chosen."""
    ladder = rungs(plan.points, plan.base.epochs, eta)
    if len(ladder) == 1:
        few = f"too few points ({plan.points}) or epochs ({plan.base.epochs}) to leave any out"
        return f"one rung, {few} (--halving {eta}); compared by mean {plan.asked.metric}"
    steps = ", ".join(f"{points} to epoch {epochs}" for points, epochs in ladder)
    return f"{steps}: at each rung the best by mean {plan.asked.metric} went on"


def _through(outcomes: Sequence[Outcome]) -> str:
    """The settings of the points that were promoted to the last rung."""
    points = dict.fromkeys(
        ", ".join(f"{key} {text(value)}" for key, value in outcome.trial.settings.items())
        for outcome in outcomes
        if outcome.status == "done"
    )
    more = f"; and {len(points) - MOST_POINTS} more" if len(points) > MOST_POINTS else ""
    return "; ".join([*points][:MOST_POINTS]) + more or "none"
