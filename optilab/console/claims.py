"""Claims as they were judged: lines, annotations of GitHub, cases of JUnit, the part of a `--json` document."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from optilab.console.junit import Suite, TestCase
from optilab.errors import ExitCode, OptilabError, printable
from optilab.show import terminal
from optilab.study.claims import ClaimResult

_STYLES = {"holds": "", "fails": "bold red", "cannot tell": "bold yellow", "error": "bold red"}


@dataclass(frozen=True)
class Checked:
    """One target of `optilab check`: a file, a run or a study, or an entry of a file of claims."""

    target: str
    judged: Sequence[ClaimResult] = ()
    seconds: float = 0.0
    error: OptilabError | None = None
    """Why its claims were not judged."""
    runs: Sequence[str] = field(default=())
    """The directories that were made or read."""

    def document(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "runs": list(self.runs),
            "claims": [one.document() for one in self.judged],
            **({"error": self.error.document()} if self.error else {}),
        }


def after(judged: Sequence[ClaimResult], silent: bool = False) -> ExitCode:
    """Show the claims of a command that was run with `--expect`, and the exit code: 9 unless all hold.

    `silent`: only what does not hold, on stderr.
    """
    if silent:
        for one in judged:
            if not one.holds:
                terminal.note(_line(one))
    else:
        for one in judged:
            terminal.say(_line(one), _STYLES[one.result])
    _annotate(f"{one.of}: {_line(one)}" for one in judged if not one.holds)
    return ExitCode.OK if all(one.holds for one in judged) else ExitCode.EXPECTATION


def show(checked: Checked, silent: bool) -> None:
    """One target, when it has been judged: one line per claim, and each that does not hold as an annotation."""
    lines: list[tuple[str, str]] = [(_line(one), one.result) for one in checked.judged]
    if checked.error is not None:
        message = str(checked.error).removeprefix("--config: ")
        lines.append((f"{'error':11}   {message}", "error"))
    if not silent:
        terminal.say(checked.target, "bold")
        for line, result in lines:
            terminal.say(f"  {line}", _STYLES[result])
    _annotate(f"{checked.target}: {line}" for line, result in lines if result != "holds")


def summary(checked: Sequence[Checked]) -> str:
    """`7 claims: 5 hold, 1 fails, 1 cannot tell; 1 error`."""
    results = [one.result for target in checked for one in target.judged]
    counts = {result: results.count(result) for result in ("holds", "fails", "cannot tell")}
    words = {"holds": ("holds", "hold"), "fails": ("fails", "fail"), "cannot tell": ("cannot tell",) * 2}
    parts = [f"{n} {words[result][n != 1]}" for result, n in counts.items() if n]
    errors = sum(target.error is not None for target in checked)
    text = f"{len(results)} claim{'s' * (len(results) != 1)}: {', '.join(parts) or 'none judged'}"
    return text + (f"; {errors} error{'s' * (errors != 1)}" if errors else "")


def document(checked: Sequence[Checked]) -> dict[str, Any]:
    """The document of `optilab check --json`."""
    return {"summary": summary(checked), "checks": [one.document() for one in checked]}


def suites(checked: Sequence[Checked]) -> list[Suite]:
    """For JUnit: a suite per target, a case per claim; `cannot tell` is a failure of that type."""
    return [
        Suite(
            target.target,
            [
                TestCase(
                    f"{one.of}: {one.claim}" if one.of else one.claim, _line(one), "" if one.holds else one.result
                )
                for one in target.judged
            ]
            + ([TestCase("run", str(target.error), type(target.error).__name__, True)] if target.error else []),
            target.seconds,
        )
        for target in checked
    ]


def _line(one: ClaimResult) -> str:
    """`fails        val_acc > 0.8   0.0998   sigmoid   2 of 3 seeds`."""
    value = one.measured
    measured = "-" if value is None else value if isinstance(value, str) else f"{value:.8g}"
    parts = [f"{one.result:11}", one.claim, measured, one.of, one.why]
    return "   ".join(part for part in parts if part)


def _annotate(lines: Iterable[str]) -> None:
    """Errors where GitHub's runner reads them; on stderr, so that stdout keeps its format."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for line in lines:
        text = printable(line.replace("\n", "; ")).replace("%", "%25")
        print(f"::error title=optilab::{text}", file=sys.stderr)
