"""How well the rules do on the stored trainings: the numbers of docs/diagnosis-measured.md."""

import math
from collections import Counter
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from optilab.diagnose import CAUSES, Evidence, Finding, diagnose, in_loop, verdict
from tests.diagnosis import generate, own
from tests.diagnosis.cases import ACCEPTED, SICK, TWO, VISIBLE, Case, cases
from tests.diagnosis.drawn import held_out, opened
from tests.diagnosis.outcome import beats, judged

PERCEPTRONS = {"design": lambda: [*cases(), *opened()], "held-out": held_out}
"""The rules were made for the design half; the other was drawn by chance, and opened once they were finished."""
OWN = {half: partial(own.drawn, half) for half in own.FAMILIES}
"""The same of networks of the user's own."""
HALVES = {**PERCEPTRONS, **OWN}
REMEDIES, OWN_REMEDIES = generate.HERE / "remedies.json.gz", generate.HERE / "own-remedies.json.gz"


@dataclass(frozen=True)
class Judged:
    """A case, what became of it, and what the rules find in the whole training or in a trial."""

    case: Case
    truth: str
    recorded: dict[str, Any]
    findings: list[Finding]

    @property
    def flagged(self) -> bool:
        return verdict.sick(self.findings)

    @property
    def right(self) -> bool:
        """The first finding names the cause."""
        return self.flagged and self.findings[0].rule in (ACCEPTED | own.ACCEPTED)[self.case.cause]


def evidence(case: Case, recorded: dict[str, Any], trial: bool = False) -> Evidence:
    source = recorded["trial"] if trial else recorded
    rows, records = generate.rows(source), generate.records(source)
    return Evidence(generate.settings(case), rows, records, source["divergence"], trial)


def look(half: str, trial: bool = False) -> list[Judged]:
    """Every stored case of a half that is clearly sick or clearly healthy; of a half they are looked at once."""
    return _looked(half, trial)


@cache
def _stored(half: str) -> dict[str, Any]:
    return generate.read(generate.HERE / f"{half}.json.gz")


@cache
def _looked(half: str, trial: bool) -> list[Judged]:
    stored, found = _stored(half), []
    for case in HALVES[half]():
        if case.name in stored:
            recorded = stored[case.name]
            truth = judged(case, recorded)
            found.append(Judged(case, truth, recorded, diagnose(evidence(case, recorded, trial))))
    return [entry for entry in found if entry.truth != "unclear"]


def figures(entries: list[Judged]) -> dict[str, int]:
    """Counts: sick, flagged, right (first finding names the cause), healthy, clean (healthy and not flagged)."""
    sick = [entry for entry in entries if entry.truth == "sick"]
    healthy = [entry for entry in entries if entry.truth == "healthy"]
    return {
        "sick": len(sick),
        "flagged": sum(entry.flagged for entry in sick),
        "right": sum(entry.right for entry in sick),
        "healthy": len(healthy),
        "clean": sum(not entry.flagged for entry in healthy),
    }


def remedied(entries: list[Judged], two: bool = False, path: Path = REMEDIES) -> dict[str, int]:
    """Counts of the sick cases with a remedy: run, and better than the sick network; those with one cause, or `two`."""
    stored = generate.read(path)
    known = [
        (entry, stored[key])
        for entry in entries
        if entry.truth == "sick" and (entry.case.cause in TWO) == two and (key := remedy_key(entry)) in stored
    ]
    return {"run": len(known), "better": sum(beats(entry.recorded, outcome) for entry, outcome in known)}


def remedy(entry: Judged) -> tuple[str, ...]:
    """The first remedy of the first finding; of two causes, those of both. Empty where there is none."""
    if not entry.flagged:
        return ()
    return verdict.both(entry.findings) if entry.case.cause in TWO else (*entry.findings[0].remedies, ())[0]


def remedy_key(entry: Judged) -> str | None:
    """Case and remedy; None where nothing was found or no setting helps."""
    sets = remedy(entry)
    return " ".join([entry.case.name, "+", *sets]) if sets else None


def both_named(entries: list[Judged]) -> dict[str, int]:
    """Counts of the sick cases with two causes: all, and those whose first two findings name both, in any order."""
    known = [entry for entry in entries if entry.truth == "sick" and entry.case.cause in TWO]
    named = [{finding.rule for finding in entry.findings[:2]} for entry in known]
    whole = [
        all(ACCEPTED[cause] & rules for cause in TWO[entry.case.cause])
        for entry, rules in zip(known, named, strict=True)
    ]
    return {"sick": len(known), "named": sum(whole)}


def visible(entries: list[Judged]) -> list[Judged]:
    """Those whose cause sixty batches can show, and the healthy ones."""
    return [entry for entry in entries if entry.case.cause in VISIBLE or entry.truth == "healthy"]


def findings() -> str:
    """One row per rule: what it measures, its threshold, what is normal, its remedy."""
    lines = ["| finding | measures | threshold | normal | remedy |", "|---|---|---|---|---|"]
    only = {*in_loop.DATA_AND_LOOP, *in_loop.THEN, *in_loop.NOTES}
    for rule in (rule for rule in CAUSES if rule not in only):
        text = " | ".join((rule.measures, rule.threshold, rule.normal, rule.remedy)).replace("|dw|/|w|", "dw/w")
        lines.append(f"| `{rule.name}` | {text} |")
    return "\n".join(lines) + "\n"


def findings_of_loops() -> str:
    """The same of the bugs of loops, and when they are silent."""
    lines = ["| finding | measures | threshold | normal | silent when | remedy |", "|---|---|---|---|---|---|"]
    for rule in (rule for rule in CAUSES if rule.silent):
        text = " | ".join((rule.measures, rule.threshold, rule.normal, rule.silent, rule.remedy))
        lines.append(f"| `{rule.name}` | {text.replace('|dw|/|w|', 'dw/w')} |")
    return "\n".join(lines) + "\n"


def table() -> str:
    """Sensitivity, specificity and the rest, of both halves, for whole trainings and trials."""
    lines = [
        "| trainings | sick: flagged | flagged: first cause right | healthy: not flagged |",
        "|---|---|---|---|",
    ]
    for trial in (False, True):
        for half in PERCEPTRONS:
            n = figures(look(half, trial))
            cells = [
                f"{'probe run of 60 batches' if trial else 'whole training'}, {half} half",
                _share(n["flagged"], n["sick"]),
                _share(n["right"], n["flagged"]),
                _share(n["clean"], n["healthy"]),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    for half in PERCEPTRONS:
        n = figures(visible(look(half, trial=True)))
        found = [
            _share(n["flagged"], n["sick"]),
            _share(n["right"], n["flagged"]),
            _share(n["clean"], n["healthy"]),
        ]
        lines.append(f"| probe run, causes that it can show, {half} half | {' | '.join(found)} |")
    entries = look("held-out")
    one, two, named = remedied(entries), remedied(entries, two=True), both_named(entries)
    lines += ["", "| held-out half | |", "|---|---|"]
    lines.append(f"| first remedy, run: better than the sick network | {_share(one['better'], one['run'])} |")
    lines.append(f"| two causes: the first two findings | {_share(named['named'], named['sick'])} |")
    lines.append(f"| two causes: both remedies, run: better | {_share(two['better'], two['run'])} |")
    return "\n".join(lines) + "\n"


def table_of_own() -> str:
    """The same of networks of the user's own, and how many first remedies were better."""
    lines = [
        "| trainings | sick: flagged | flagged: first cause right | healthy: not flagged | first remedy, run: better |",
        "|---|---|---|---|---|",
    ]
    for half in OWN:
        entries = look(half)
        n, remedies = figures(entries), remedied(entries, path=OWN_REMEDIES)
        cells = [
            half.replace("own-", "") + " half",
            _share(n["flagged"], n["sick"]),
            _share(n["right"], n["flagged"]),
            _share(n["clean"], n["healthy"]),
            _share(remedies["better"], remedies["run"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def causes() -> str:
    """One row per cause, of the held-out half: how many were flagged, and how many first findings were right."""
    lines = ["| cause | finding | sick | flagged | first cause right |", "|---|---|---|---|---|"]
    entries = [entry for entry in look("held-out") if entry.truth == "sick"]
    counts = Counter(entry.case.cause for entry in entries)
    for cause in SICK:
        flagged = sum(entry.flagged for entry in entries if entry.case.cause == cause)
        right = sum(entry.right for entry in entries if entry.case.cause == cause)
        names = ", ".join(f"`{name}`" for name in sorted(ACCEPTED[cause]))
        written = cause.replace("memorised", "memorized")  # its name in the stored trainings
        lines.append(f"| {written} | {names} | {counts[cause]} | {flagged} | {right} |")
    return "\n".join(lines) + "\n"


def _share(part: int, whole: int) -> str:
    low, high = interval(part, whole)
    return f"{part} of {whole} ({part / whole:.0%}; {low:.0%} to {high:.0%})" if whole else "none"


def interval(part: int, whole: int) -> tuple[float, float]:
    """The 95 % interval of a binomial share (Wilson 1927); 0 to 1 without any."""
    if not whole:
        return 0.0, 1.0
    z, share = 1.959964, part / whole
    middle = share + z * z / (2 * whole)
    spread = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    scale = 1 + z * z / whole
    return (middle - spread) / scale, min(1.0, (middle + spread) / scale)
