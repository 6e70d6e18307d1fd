"""`optilab verify`: the parity table, and the verdict on a user's own implementation."""

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import Any

from optilab import console
from optilab.optimize import TestFunction
from optilab.verify.grade import TOLERANCE as AGREEMENT
from optilab.verify.grade import Verdict
from optilab.verify.parity import GROUNDS, NOT_INSTALLED, TOLERANCE, Row
from optilab.verify.references import STEPS


def followed(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows as they come; on a terminal, which rule is being compared."""
    with console.err.status("comparing") as status:
        for row in rows:
            status.update(f"comparing {row.rule} with {row.library}")
            yield row


def table(rows: Sequence[Row]) -> None:
    """A line per rule and form; per library how far it is, or what it has instead."""
    console.say(
        f"{STEPS} steps in float64 on {', '.join(GROUNDS)}; equal is at most {TOLERANCE:g} of the path's size",
        style="bold",
    )
    console.say()
    lines: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault((row.rule, row.form), {})[row.library] = row
    cells = [
        [rule, form, *(_cell(found.get(library)) for library in ("torch", "optax", "plain"))]
        for (rule, form), found in lines.items()
    ]
    console.show(console.grid(["rule", "form", "torch.optim", "optax", "equations"], cells, left=(0, 1, 2, 3, 4)))
    console.say()
    absent = {row.library for row in rows if row.difference is None and row.reason == NOT_INSTALLED}
    for library in sorted(absent):
        console.say(
            f"{library} is {NOT_INSTALLED}: nothing was compared with it; it comes with: pip install {library}"
        )
    wrong = sum(not row.holds for row in rows)
    compared = sum(row.difference is not None for row in rows)
    console.say(
        f"{wrong} of {compared} comparisons fail" if wrong else f"all {compared} comparisons hold",
        style="red" if wrong else "green",
    )


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    if row.difference is None:
        return "-"
    if not row.holds:
        return f"DIFFERS by {row.difference:.1g}"
    if not row.reason:
        return f"equal ({row.difference:.0e})"
    return f"has {row.reason.removeprefix('it has instead: ')}: equal ({row.difference:.0e})"


def verdict(label: str, rule: Any, function: TestFunction, found: Verdict, by_hand: str) -> None:
    """Whether it is the rule; else where they part, by how much, and why; `by_hand` is the command that explains."""
    settings = "   ".join(f"{key} {value:g}" for key, value in found.settings.items())
    console.say(f"{label} against {rule.name} on {function.name}, {found.steps} steps", style="bold")
    console.say(settings)
    console.say(rule.formula)
    console.say()
    if found.equal:
        console.say(f"equal to {AGREEMENT:g} at every step", style="green")
        return
    assert found.point is not None
    assert found.expected is not None
    assert found.difference is not None
    far = (
        f"by {found.difference:.3g} of the path's size" if isfinite(found.difference) else "where it is no number"
    )
    console.say(f"differs from step {found.first_step} on, {far}", style="red")
    rows = [
        [who, *(f"{value:.12g}" for value in point[:6])]
        for who, point in (("yours", found.point), (rule.name, found.expected))
    ]
    names = [f"w{i + 1}" for i in range(min(len(found.point), 6))]
    console.show(console.grid(["", *names], rows))
    console.say()
    if found.explanation:
        console.say("explained by:", style="bold")
        for reason in found.explanation:
            console.say(f"  {reason}")
    else:
        console.say("no known convention explains it: check the formula above, term by term")
        console.say(f"the numbers of the step: {by_hand} --step {found.first_step}")
