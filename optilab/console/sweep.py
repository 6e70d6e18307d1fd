"""`optilab sweep`: the end of the study."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from optilab import console
from optilab.console import compare
from optilab.runs import Record
from optilab.studies.outcomes import Measure
from optilab.studies.side_by_side import lay
from optilab.studies.sweep import Sweep
from optilab.studies.trials import Outcome


def document(plan: Sweep, outcomes: Sequence[Outcome], ran_through: Sequence[Record]) -> dict[str, Any]:
    """In the document of `--json`: the rows of trials.csv, and the comparison of the trials that ran through."""
    facts: dict[str, Any] = {"plan": plan.shape, "epochs": plan.base.epochs}
    facts["trials"] = [outcome.row for outcome in outcomes]
    side = lay(ran_through, Measure(plan.asked.metric)) if ran_through else None
    return facts | {"comparison": side and compare.document(side)}


def show(plan: Sweep, outcomes: Sequence[Outcome], ran_through: Sequence[Record]) -> None:
    """How the trials ended, and the comparison of those that ran through."""
    counts = Counter(outcome.status for outcome in outcomes)
    ended = ", ".join(f"{counts[s]} {s}" for s in ("done", "stopped", "diverged", "failed") if counts[s])
    console.say(f"{plan.base.name}: {plan.shape}, {plan.base.epochs} epochs: {ended}", style="bold")
    images = "validation images held out" if plan.base.data.holdout else "the test set, which also validates"
    if plan.asked.search is not None:
        best = "highest" if Measure(plan.asked.metric).higher else "lowest"
        console.say(f"TPE looked for the {best} mean {plan.asked.metric} of the last epoch, on {images}")
    if (eta := plan.asked.halving) is not None:
        console.say(f"at each rung the best 1/{eta} by mean {plan.asked.metric} went on, on {images}")
    if ran_through:
        compare.show(lay(ran_through, Measure(plan.asked.metric)))
    else:
        console.say("no training has a result", style="red")
