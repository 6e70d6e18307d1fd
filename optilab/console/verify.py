"""`optilab verify`: the parity table, and the verdict on a user's own implementation."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from optilab.show import terminal
from optilab.show.junit import Suite, TestCase, xml
from optilab.show.table import Column, write
from optilab.verify.cases import COMPARED_ON, LIBRARIES, NOT_INSTALLED, TOLERANCE, Row
from optilab.verify.grade import TOLERANCE as AGREEMENT
from optilab.verify.grade import Verdict
from optilab.verify.references import STEPS
from optilab.verify.submissions import VERDICTS, Graded


def followed(rows: Iterable[Row]) -> Iterator[Row]:
    """Pass rows through; on a terminal, show which rule is being compared."""
    with terminal.err.status("comparing") as status:
        for row in rows:
            status.update(f"comparing {row.rule} with {row.library}")
            yield row


def table(rows: Sequence[Row]) -> None:
    """One line per rule and form; per library the difference, or the form it implements instead."""
    terminal.say(
        f"{STEPS} steps in float64 on {', '.join(COMPARED_ON)}, rules for matrices on matrices; equal is at "
        f"most {TOLERANCE:g} of the path's size",
        style="bold",
    )
    terminal.say()
    lines: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault((row.rule, row.form), {})[row.library] = row
    cells = [
        [rule, form, *(_cell(found.pop(library, None)) for library in LIBRARIES), _elsewhere(found.values())]
        for (rule, form), found in lines.items()
    ]
    terminal.show(
        terminal.grid(["rule", "form", "torch.optim", "optax", "elsewhere"], cells, left=(0, 1, 2, 3, 4))
    )
    terminal.say()
    absent = {row.library for row in rows if row.difference is None and row.reason == NOT_INSTALLED}
    for library in sorted(absent):
        terminal.say(
            f"{library} is {NOT_INSTALLED}: nothing was compared with it; it comes with: pip install {library}"
        )
    wrong = sum(not row.holds for row in rows)
    compared = sum(row.difference is not None for row in rows)
    terminal.say(
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


def _elsewhere(rows: Iterable[Row]) -> str:
    """The comparisons with further libraries, or with the equations where there is none."""
    return "; ".join(f"{'equations' if row.library == 'plain' else row.library}: {_cell(row)}" for row in rows)


def rows_document(rows: Sequence[Row]) -> dict[str, Any]:
    """The JSON document of the parity table."""
    entries = [{**asdict(row), "holds": row.holds} for row in rows]
    return {"tolerance": TOLERANCE, "rows": entries}


def verdict(label: str, rule: Any, result: Verdict, by_hand: str) -> None:
    """Whether the candidate is the rule; else where they part, by how much, and why.

    `by_hand` is the command that writes the step out.
    """
    places = ", ".join(result.functions)
    terminal.say(f"{label} against {rule.name}, {result.steps} steps on {places}", style="bold")
    terminal.say("   ".join(f"{key} {value:g}" for key, value in result.settings.items()))
    terminal.say(rule.formula)
    if result.fixed:
        terminal.say(f"your code takes no {', '.join(result.fixed)}: written in, and compared as above")
    terminal.say()
    terminal.say(outcome(result), style="green" if result.equal else "red")
    if result.equal:
        return
    assert result.point is not None
    assert result.expected is not None
    rows = [
        [who, *(f"{value:.12g}" for value in point[:6])]
        for who, point in (("yours", result.point), (rule.name, result.expected))
    ]
    names = [f"w{i + 1}" for i in range(min(len(result.point), 6))]
    terminal.show(terminal.grid(["", *names], rows))
    terminal.say()
    if result.explanation:
        terminal.say("explained by:", style="bold")
        for reason in result.explanation:
            terminal.say(f"  {reason}")
        if result.equal_with:
            terminal.say("equal with " + " ".join(f"--set {setting}" for setting in result.equal_with))
    else:
        terminal.say("no known convention or slip explains it: check the formula above, term by term")
        terminal.say(f"the numbers of the step: {by_hand} --step {result.first_step}")


def outcome(result: Verdict) -> str:
    """Whether the two are equal; else from which step on they differ, by how much and where."""
    if result.equal:
        reading = f", with {result.reading}" if result.reading else ""
        return f"equal to {AGREEMENT:g} at every step{reading}"
    assert result.start is not None
    assert result.difference is not None
    far = (
        f"by {result.difference:.3g} of the path's size"
        if isfinite(result.difference)
        else "where it is not finite"
    )
    start = ", ".join(f"{value:g}" for value in result.start)
    return f"differs from step {result.first_step} on, {far} ({result.function} from ({start}))"


_COLUMNS = (
    Column("submission", "submission", left=True),
    Column("verdict", "verdict", left=True),
    Column("points", "points", lambda value: f"{value:g}"),
    Column("first_step", "first step"),
    Column("function", "on", left=True, detail=1),
    Column("explanation", "explanation", left=True),
)


def submissions(rows: Sequence[Graded], format: str, against: str) -> None:
    """Many submissions, a row each, as table, csv, markdown, latex, junit or json."""
    counts = Counter(row.verdict for row in rows)
    summary = ", ".join(f"{counts[name]} {name}" for name in VERDICTS if counts[name])
    if format == "json":
        terminal.document(
            {"against": against, "summary": dict(counts), "submissions": [asdict(row) for row in rows]}
        )
    elif format == "junit":
        cases = [
            TestCase(
                row.submission,
                row.explanation,
                "" if row.verdict == "equal" else row.verdict,
                row.verdict == "error",
            )
            for row in rows
        ]
        sys.stdout.write(
            xml([Suite(f"verify against {against}", cases, sum(row.seconds for row in rows))]).decode()
        )
    else:
        write(format, _COLUMNS, [_shown(asdict(row), format) for row in rows])
        if format == "table":
            terminal.say()
            terminal.say(f"{len(rows)} submissions against {against}: {summary}")


def _shown(row: dict[str, Any], format: str) -> dict[str, Any]:
    """A row of the table; an explanation of several lines is one line."""
    return row | {"explanation": " ".join(row["explanation"].split())}


def document(label: str, rule: Any, result: Verdict) -> dict[str, Any]:
    """The JSON document of a verdict."""
    return {"candidate": label, "against": rule.name, "equal": result.equal, **asdict(result)}
