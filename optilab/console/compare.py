"""`optilab runs compare` and the end of a study: what differs, the table, the verdict in words."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from optilab.show import terminal
from optilab.show.table import Column, write
from optilab.study.comparison import ComparedRuns, RunComparison
from optilab.study.groups import telling, text

_FEW = 6
"""Values of one key, or labels, that a line lists."""


def show(side: RunComparison, format: str = "table") -> None:
    """The whole comparison in a format; documents and CSV are the table alone."""
    if format == "json":
        terminal.document(document(side))
    elif format != "table":
        write(format, columns(side), rows(side))
    else:
        for line in differences(side):
            terminal.say(line)
        terminal.say()
        write("table", columns(side), rows(side))
        terminal.say()
        terminal.say(f"verdict: {verdict(side)}", style="bold")
        for note in side.notes:
            terminal.say(f"note: {note}")


# --- what differs ------------------------------------------------------------------------------------------


def differences(side: RunComparison) -> list[str]:
    """Which settings, versions and the like differ between the runs, and how much is equal."""
    grouping = side.grouping
    varied = []
    own = [group.settings for group in grouping.groups]
    for key in telling(grouping.differing, own):
        values = list(dict.fromkeys(text(settings[key]) if key in settings else "-" for settings in own))
        varied.append(f"{key.removesuffix('.name')} ({_some(values)})")
    equal = [f"{len(grouping.shared)} settings"]
    seeds = [set(group.runs) for group in grouping.groups]
    if all(own == seeds[0] for own in seeds):
        equal.append(f"seeds {ranges(sorted(seeds[0]))}")
    around = {key: values for key, values in side.circumstances.items() if key != "git.commit"}
    equal += [word for word in ("data", "versions", "host") if not any(k.startswith(f"{word}.") for k in around)]
    lines = [f"differs: {', '.join(varied) or 'nothing'}   equal: {', '.join(equal)}"]
    for key, numbers in side.circumstances.items():
        counts = [f"{value[:40]} in {number} run{'s' * (number > 1)}" for value, number in numbers.items()]
        lines.append(f"also differs: {key} ({_some(counts)})")
    return lines


def _some(values: Sequence[str]) -> str:
    more = [f"{len(values) - _FEW} more"] if len(values) > _FEW else []
    return ", ".join([*values[:_FEW], *more])


def ranges(numbers: Sequence[int]) -> str:
    """`42 to 46, 50`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return _some([" to ".join(map(str, part)) for part in parts])


# --- the table ---------------------------------------------------------------------------------------------


def columns(side: RunComparison) -> list[Column]:
    """The columns of the table; those of a narrow terminal are fewer."""
    show = Units(side.measure.share)
    comparison = side.comparison
    base = (
        "the best" if comparison is None or comparison.chosen else side.candidates[comparison.baseline.key].label
    )
    timed = side.measure.target is not None
    return [
        Column("group", "group", left=True),
        *(Column(key, key, only="values") for key in side.grouping.differing),
        Column("n", "n"),
        *([Column("reached", side.measure.name, detail=1)] if timed else []),
        Column("mean", "mean" if timed else side.measure.name, show.value),
        Column("std", "std", show.spread, detail=4),
        Column("interval", "95 %", show.interval, detail=3, only="text"),
        Column("low", "", only="values"),
        Column("high", "", only="values"),
        *([Column("rank", "mean rank", "{:.1f}".format, detail=1)] if side.ranks else []),
        Column("difference", f"against {base}", show.difference),
        Column("difference_interval", "95 %", show.differences, only="text"),
        Column("difference_low", "", only="values"),
        Column("difference_high", "", only="values"),
        Column("won", "won", "{:.0%}".format, detail=5),
        Column("p", "p", _p, detail=6),
        Column("verdict", "verdict", left=True),
        Column("more", "more seeds", "about {:,}".format, detail=1),
    ]


def rows(side: RunComparison) -> list[dict[str, Any]]:
    """The values of the table, best first, then the groups without an outcome."""
    comparison = side.comparison
    if comparison is None:
        return [{"group": candidate.label, "n": 0, "verdict": "no outcome"} for candidate in side.candidates]
    table = []
    for i in [*comparison.order, *(row.key for row in comparison.rows if not row.summary.n)]:
        candidate, own = side.candidates[i], comparison.rows[i]
        summary, contrast = own.summary, own.difference
        low, high = summary.interval or (None, None)
        row: dict[str, Any] = {"group": candidate.label, "n": summary.n, **candidate.settings}
        row |= {"mean": summary.mean if summary.n else None, "std": summary.std, "low": low, "high": high}
        row |= {
            "interval": summary.interval,
            "reached": _reached(candidate),
            "rank": side.ranks[i] if side.ranks else None,
        }
        if contrast is not None:
            low, high = contrast.interval or (None, None)
            row |= {"difference": contrast.difference, "difference_interval": contrast.interval}
            row |= {"difference_low": low, "difference_high": high}
            row |= {"won": contrast.won, "p": contrast.p, "more": contrast.more or None}
        row["verdict"] = own.verdict
        table.append(row)
    return table


def _reached(candidate: ComparedRuns) -> str | None:
    """`3 (2 to 4)`: median and range of those that reached the target, and how many never did."""
    taken = candidate.taken
    values = [value for seed, value in taken.values.items() if seed not in taken.worst]
    never = f"never in {len(taken.worst)} of {len(taken.values)}" if taken.worst else ""
    if not values:
        return never or None
    some = f"{median(values):g} ({min(values):g} to {max(values):g})"
    return f"{some}, {never}" if never else some


class Units:
    """How outcomes and differences of outcomes are shown: shares in per cent, other numbers with four digits."""

    def __init__(self, share: bool) -> None:
        self.share = share

    def value(self, value: float) -> str:
        return f"{value:.1%}" if self.share else f"{value:.4g}"

    def spread(self, value: float) -> str:
        return f"{100 * value:.1f}" if self.share else f"{value:.3g}"

    def interval(self, ends: tuple[float, float]) -> str:
        low, high = (min(1.0, max(0.0, end)) for end in ends) if self.share else ends
        return f"{self.spread(low)} to {self.spread(high)}" if self.share else f"{low:.4g} to {high:.4g}"

    def difference(self, value: float) -> str:
        return f"{100 * value:+.1f}" if self.share else f"{value:+.3g}"

    def differences(self, ends: tuple[float, float]) -> str:
        low, high = (min(1.0, max(-1.0, end)) for end in ends) if self.share else ends
        ends = low, high
        return " to ".join(map(self.difference, ends))


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


# --- words -------------------------------------------------------------------------------------------------


def verdict(side: RunComparison) -> str:
    """The answer in one sentence."""
    comparison, labels = side.comparison, [candidate.label for candidate in side.candidates]
    if any("," in label for label in labels):
        labels = [f'"{label}"' for label in labels]
    if comparison is None:
        return "no run has an outcome yet"
    if len(comparison.order) < 2:
        return f"nothing to compare {labels[comparison.order[0]]} with"
    what, base = side.measure.name, labels[comparison.baseline.key]
    if comparison.chosen:
        possible = [labels[i] for i in comparison.possible_best]
        if len(possible) == 1:
            return f"{base} is the best by {what}"
        seeds = [
            own.difference.more
            for own in comparison.ranked
            if own.verdict != "worse" and own.difference and own.difference.more
        ]
        few = min(seeds, default=0)
        unit = f"{few:,} more {side.sample.removesuffix('s')}{'s' * (few > 1)}"
        advice = f"; about {unit} would tell the closest that can be told" if seeds else ""
        if len(possible) == 2 and seeds:
            advice = f"; about {unit} would tell, if the difference is the one seen"
        excluded = [labels[own.key] for own in comparison.ranked if own.verdict == "worse"]
        rest = f"; worse: {_some(excluded)}" if excluded else ""
        return f"cannot tell which is best by {what}: {_some(possible)}{rest}{advice}"
    parts = []
    for word in ("better", "worse", "cannot tell"):
        found = [labels[own.key] for own in comparison.ranked if own.verdict == word]
        if found:
            parts.append(f"{word}: {_some(found)}")
    return f"against {base} by {what}, {'; '.join(parts)}"


def document(side: RunComparison) -> dict[str, Any]:
    """The comparison as the tree of `--json`."""
    comparison = side.comparison
    groups: list[Mapping[str, Any]] = []
    for i, candidate in enumerate(side.candidates):
        facts: dict[str, Any] = {
            "group": candidate.label,
            "settings": dict(candidate.settings),
            "runs": {str(seed): str(run.path) for group in candidate.groups for seed, run in group.runs.items()},
            "outcomes": {str(seed): value for seed, value in candidate.taken.values.items()},
            "worst": {str(seed): why for seed, why in candidate.taken.worst.items()},
            "absent": {str(seed): why for seed, why in candidate.taken.absent.items()},
        }
        if comparison is not None:
            own = comparison.rows[i]
            facts |= {
                "summary": asdict(own.summary),
                "contrast": asdict(own.difference) if own.difference else None,
            }
        groups.append(facts | ({"rank": side.ranks[i]} if side.ranks else {}))
    return {
        "measure": {**asdict(side.measure), "name": side.measure.name, "higher_is_better": side.measure.higher},
        "differs": side.grouping.differing,
        "equal": side.grouping.shared,
        "circumstances": side.circumstances,
        "baseline": None if comparison is None else side.candidates[comparison.baseline.key].label,
        "baseline_chosen_by_data": None if comparison is None else comparison.chosen,
        "order": [] if comparison is None else [side.candidates[i].label for i in comparison.order],
        "sample": side.sample,
        "problems": side.problems,
        "groups": groups,
        "verdict": verdict(side),
        "notes": side.notes,
    }
