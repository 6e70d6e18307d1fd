"""A comparison of trainings as a page for readers who do not have optilab installed: question, answer, and all that
supports it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any

from optilab.commands import comparison_tables
from optilab.commands.charts.settings import is_number
from optilab.commands.charts.training import shortened, training_chart
from optilab.commands.curves_page import curves
from optilab.commands.settings_page import Outlook, mark, outlook
from optilab.errors import shell
from optilab.runs import STUDY, Record, Study, name_of
from optilab.runs.metrics import ROW, TESTED, metric_of
from optilab.runs.tables import again
from optilab.show import chart_page
from optilab.show.page import asset, render
from optilab.show.table import Column, cell
from optilab.study.comparison import RunComparison
from optilab.study.curves import Histories, history, title
from optilab.study.diff import circumstances, varying
from optilab.study.groups import DATA, Group, Grouping, distinguishing_keys, settings_label, short, text
from optilab.study.judge import Comparison
from optilab.words import percent, plural, ranges, some

# --- the page ----------------------------------------------------------------------------------------------

ROWS = 25
"""Rows of the table of results before the rest is folded."""
NOTES = 6
"""Notes before the rest is folded."""
_LABEL = r".* (has the|is the best|(is|are) better than) "
"""For an answer that begins with the label of a group, which keeps its case."""
MOST_STILL = 12
"""Groups of the picture where scripts are switched off."""
COLORS = 6
MOST_LOOKS = 24
"""Groups that colors and dashes tell apart."""
KEYS = 4
"""Settings that a question names, and settings that are columns of a table."""
FEW = 4
"""Rows that an answer names for each verdict."""
FURTHER = 3
"""Rows whose further trainings a page proposes."""
_COLUMNS = ("epochs", *ROW, "best_epoch", "best_val_acc", *TESTED)
"""For the table of runs, keys of a run's outcome."""


@dataclass(frozen=True)
class Repetition:
    """What repeats a part of the report: the command as it was typed, and the file that stands for it."""

    name: str
    typed: str
    repeat: str
    file: str
    content: str


@dataclass(frozen=True)
class PageTable:
    """Results as a table: each row has its cells, its mark, its interval as places of a picture, and its color."""

    title: str
    verdict: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    scale: tuple[str, str] = ("", "")
    """What the ends of the pictures of intervals are."""
    names: int = 1
    """How many columns name a row: the first ones."""
    joined: bool = True
    """Whether each row is one curve, whose color it has."""

    @property
    def meanings(self) -> list[tuple[str, str]]:
        """The headings that a reader may not know, each with what it is."""
        return [(column.plain or column.title, column.about) for column in self.columns if column.about]


def comparison_page(side: RunComparison, entries: Sequence[Record | Study], heading: str | None = None) -> bytes:
    """The page of a comparison of the runs and studies in `entries`, as UTF-8; `heading` replaces the question.

    DataError for a run whose tables are damaged.
    """
    keys = _naming(side)
    side = _shortened(side)
    order = _order(side)
    chosen = [group for i in order for group in side.candidates[i].groups]
    chosen += [group for group in side.grouping.groups if group not in chosen]
    several, looks = len(order) > 1, _looks(side, chosen)
    answer = _against(side) or (comparison_tables.claim_and_rest(side) if several else _alone(side))
    results = [_results(side, order, keys, [looks[chosen.index(side.candidates[i].groups[0])] for i in order])]
    return page(
        chosen,
        side.grouping,
        entries,
        heading or _question(side),
        answer,
        results,
        [*side.notes, *failed(entries), *comparison_tables.tuning_notes(entries)],
        outlook(side),
        looks=looks,
        decide=_decide(side, entries),
        beside=_beside(side, chosen),
        changes=_changes(side),
    )


def _order(side: RunComparison) -> list[int]:
    """The places of the rows, best first, then those without an outcome."""
    ranked = list(side.comparison.order) if side.comparison else []
    return [*ranked, *(i for i in range(len(side.candidates)) if i not in ranked)]


def _shortened(side: RunComparison) -> RunComparison:
    """The comparison with short labels, where those tell its rows apart: numbers have three digits, and names that
    say what they are stand alone: `adam, lr 0.0336`.
    """
    rows = side.grouping.groups, side.candidates
    labels = list(dict.fromkeys(row.label for table in rows for row in table))
    short = [re.sub(r"(^|, )(optimizer|activation) (?=[a-z])", r"\1", label) for label in shortened(labels)]
    names = dict(zip(labels, short if len(set(short)) == len(labels) else shortened(labels), strict=True))

    def renamed(groups: Sequence[Group]) -> tuple[Group, ...]:
        return tuple(replace(group, label=names.get(group.label, group.label)) for group in groups)

    candidates = [replace(own, label=names[own.label], groups=renamed(own.groups)) for own in side.candidates]
    grouping = replace(side.grouping, groups=renamed(side.grouping.groups))
    notes = side.notes
    for label in sorted(names, key=len, reverse=True):
        notes = tuple(note.replace(label, names[label]) for note in notes)
    return replace(side, grouping=grouping, candidates=tuple(candidates), notes=notes)


def _naming(side: RunComparison) -> list[str]:
    """The settings that name the rows, as columns; none where rows have other names, or there are more than KEYS."""
    rows = [candidate.settings for candidate in side.candidates]
    keys = distinguishing_keys(list(dict.fromkeys(key for row in rows for key in row)), rows)
    named = all(own.label == settings_label(own.settings, keys) for own in side.candidates)
    return keys if named and len(keys) <= KEYS else []


def _looks(side: RunComparison, chosen: Sequence[Group]) -> list[int]:
    """The number of each group's color: its place in the study, so that one more seed recolors nothing.

    Of more than COLORS groups its place on the page, the baseline with the first: those that are shown first differ.
    """
    groups, baseline = list(side.grouping.groups), _beside(side, chosen)[0]
    if len(groups) > COLORS:
        groups = list(chosen)
        groups.insert(min(baseline, COLORS - 1), groups.pop(baseline))
    return [groups.index(group) for group in chosen]


def _decide(side: RunComparison, entries: Sequence[Record | Study]) -> tuple[str, str] | None:
    """What to do next, as a sentence and its command: train what no verdict tells apart, or look into the best."""
    comparison, entry = side.comparison, entries[0] if len(entries) == 1 else None
    if comparison is None or any(record.is_watched for record in side.records):
        return None
    count = len(comparison.possible_best)
    better = [i for i in comparison.order if comparison.rows[i].verdict == "better"]
    if len(comparison.order) < 2 or count < 2 or better:
        best = next(iter(side.candidates[[*better, *comparison.order][0]].groups[0].runs.values()))
        folder = best.path.parent
        name = f"{name_of(folder)}/{best.name}" if (folder / STUDY).exists() else best.name
        limited = "it" if len(comparison.order) < 2 else "the best"
        return f"To see what limits {limited}:", shell("diagnose", name)
    if not isinstance(entry, Study):
        return _further(side, comparison)
    if entry.manifest["command"] == "sweep" and comparison.chosen:  # which can train the best again from new seeds
        command, why = next(iter(comparison_tables.next_steps(side, entry)), (None, ""))
        return (
            (f"The next step {why}:" if why else "To see why nothing is learned:", str(command))
            if command
            else None
        )
    seeds = max(len(group.runs) for group in side.grouping.groups)
    return grown(entry, seeds, comparison) if entry.manifest["command"] == "remedy" else None


def _further(side: RunComparison, comparison: Comparison[int]) -> tuple[str, str]:
    """A sentence and the commands that train the first of the rows that may be the best from more seeds: first from
    those that only other rows have, so that all have the same.
    """
    seeds = {seed for group in side.grouping.groups for seed in group.runs}
    count, enough = comparison_tables.next_seeds(comparison, max(len(g.runs) for g in side.grouping.groups))
    possible, commands, lacking = comparison.possible_best, list[str](), list[str]()
    for group in [side.candidates[i].groups[0] for i in possible[:FURTHER]]:
        record = next(iter(group.runs.values()))
        missing = sorted(seeds - group.runs.keys())
        if missing:
            lacking.append(
                f"{group.label} lacks {'seed' if len(missing) == 1 else 'seeds'} {ranges(missing, FEW)}"
            )
        for first, number in _stretches([*missing, *range(max(seeds) + 1, max(seeds) + 1 + count)]):
            commands.append(str(again(record.path, seed=first, seeds=number)))
    trained = min(len(possible), FURTHER)
    which = (
        f"the {trained} best of the {len(possible)} that may be the best"
        if len(possible) > trained
        else "both"
        if len(possible) == 2
        else f"these {len(possible)}"
    )
    why = f" ({'; '.join(lacking)})" if lacking else ""
    return f"{_aim(enough)}, train {which} from further seeds{why}, and report all runs together:", "\n".join(
        commands
    )


def _stretches(seeds: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of consecutive seeds in ascending ones: the first of each, and how many."""
    found: list[tuple[int, int]] = []
    for seed in seeds:
        if found and seed == sum(found[-1]):
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((seed, 1))
    return found


def _aim(enough: bool) -> str:
    return "To decide" if enough else "As a first step"


def grown(study: Study, count: int, comparison: Comparison[Any] | None, what: str = "seeds") -> tuple[str, str]:
    """A sentence and the command that trains everything in a study with more seeds or repeats."""
    more, enough = comparison_tables.next_seeds(comparison, count)
    command = shell(study.manifest["command"], "--resume", study.name, f"--{what}", count + more)
    return (
        f"{_aim(enough)}, train all with {count + more:,} instead of {plural(count, what.removesuffix('s'))}:",
        command,
    )


def _against(side: RunComparison) -> tuple[str, str] | None:
    """The answer where a baseline was named: what is better than it, and what both reach; None for another."""
    comparison = side.comparison
    if comparison is None or comparison.chosen or len(comparison.order) < 2 or side.unreached:
        return None
    show, base = comparison_tables.Units(side.measure.share), comparison.baseline
    verdicts: dict[str, list[str]] = {"better": [], "worse": [], "cannot tell": []}
    for row in comparison.ranked:
        if row is not base:
            verdicts[row.verdict].append(side.candidates[row.key].label)
    first = next(row for row in comparison.ranked if row is not base)
    best, name = side.candidates[first.key].label, side.candidates[base.key].label
    also = len(verdicts["better"]) - 1
    others = f" and {plural(also, 'other row')}" if also > 0 else ""
    verb = "are" if others else "is"
    claim = f"{best}{others} {verb} better than {name}" if also >= 0 else f"no row is clearly better than {name}"
    reached = f"{best} {show.value(first.summary.mean)}, {name} {show.value(base.summary.mean)}"
    rest = [f"{word}: {some(verdicts[word], FEW)}" for word in ("worse", "cannot tell") if verdicts[word]]
    return f"{claim} by {side.measure.name}: {reached}", "".join(f"; {one}" for one in rest)


def _changes(side: RunComparison) -> list[tuple[str, str]]:
    """For each row what it changes in the baseline; nothing where the best of all is the yardstick."""
    comparison = side.comparison
    if comparison is None or comparison.chosen:
        return []
    base = side.candidates[comparison.baseline.key]
    names = short(side.grouping.differing)
    found = []
    for candidate in side.candidates:
        own = [
            f"{names[key]} {text(value)}"
            for key, value in candidate.settings.items()
            if value is not None and key in names and value != base.settings.get(key)
        ]
        if candidate is not base:
            found.append((candidate.label, ", ".join(own) or "the same settings"))
    return found


def _beside(side: RunComparison, chosen: Sequence[Group]) -> list[int]:
    """The groups whose layers stand next to each other: the baseline and the best, or the best and the worst."""
    comparison = side.comparison
    if comparison is None or comparison.chosen:
        return [0, len(chosen) - 1]
    base = side.candidates[comparison.baseline.key].groups[0]
    others = [group for group in chosen if group is not base]
    return [chosen.index(base), chosen.index(others[0]) if others else chosen.index(base)]


def page(
    chosen: Sequence[Group],
    grouping: Grouping,
    entries: Sequence[Record | Study],
    question: str,
    answer: tuple[str, str],
    tables: Sequence[PageTable],
    notes: Sequence[str],
    views: Outlook = Outlook(),  # noqa: B008 (frozen)
    looks: Sequence[int] = (),
    tested: bool = False,
    decide: tuple[str, str] | None = None,
    beside: Sequence[int] = (0, -1),
    changes: Sequence[tuple[str, str]] = (),
) -> bytes:
    """The page about groups of runs, in the order given, of the runs and studies in `entries`.

    `answer` is the claim and what follows it; `grouping` has the same runs by their settings. `looks` are the numbers
    of the groups' colors, where that is not their order; `tested` means that the tables have the test set's accuracy;
    `decide` is a sentence and the command that would tell more; `beside` are the two groups whose layers are shown
    first; `changes` say what each row changes in the baseline.
    DataError for a run whose tables are damaged.
    """
    records = [record for group in chosen for record in group.runs.values()]
    varied = varying([circumstances(record) for record in records])
    found = [history(group.label, group.runs) for group in chosen]
    drawn = curves(found, looks)
    order = sorted(range(len(chosen)), key=lambda i: looks[i] if looks else i)[:MOST_STILL]
    known = tuple(own for i in order if (own := found[i]) is not None)
    scripts = ("base.js", "uplot.js", "chart.js", "parts.js", "report.js")
    return render(
        "report.html",
        {
            **drawn,
            "settings": views.curves,
            "parallel": views.parallel,
            "beside": beside,
        },
        [asset(name) for name in scripts],
        [asset("uplot.css"), asset("report.css")],
        title=question,
        question=question,
        answer=capitalized(*answer),
        decide=decide,
        about=title(grouping),
        facts=_facts(records, len(chosen)),
        tables=tables,
        folded=ROWS,
        importance=views.importance,
        few=NOTES,
        notes=notes,
        maps=views.maps,
        settings=views.curves,
        tested=tested,
        drawn=len(drawn.get("epochs", ())) > 1,
        count=len(chosen),
        seeded=any(len(group.runs) > 1 for group in chosen),
        still=chart_page.still(training_chart(Histories(known, "loss and accuracy", (), ()))) if known else "",
        layers=[group and group.get("layers") and _layers(group) for group in drawn["groups"]],
        curvature=[
            group and group.get("curvature") and _curvature(group["curvature"]) for group in drawn["groups"]
        ],
        every=drawn.get("every", 1),
        differing=_differing(grouping),
        changes=changes,
        equal=[(key, text(value)) for key, value in grouping.shared.items() if key != DATA],
        machine=_machine(records, varied),
        varied=[(key, list(counts.items())) for key, counts in varied.items()],
        columns=_run_columns(records),
        runs=_runs(chosen),
        sources=[_source(entry) for entry in entries if not (isinstance(entry, Record) and entry.is_watched)],
    )


# --- question and answer -----------------------------------------------------------------------------------


def capitalized(claim: str, rest: str = "") -> tuple[str, str]:
    """An answer whose claim begins like a sentence."""
    return claim if re.match(_LABEL, claim) else claim[:1].upper() + claim[1:], rest


def _question(side: RunComparison) -> str:
    """What the reader wants to know, as one sentence."""
    what, comparison, count = side.measure.name, side.comparison, len(side.candidates)
    if count < 2:
        return f"How well does {_name(side)} train?"
    if comparison is not None and not comparison.chosen:
        base = side.candidates[comparison.baseline.key].label
        return f"Is anything better than {base} by {what}?"
    own = [candidate.settings for candidate in side.candidates]
    keys = distinguishing_keys(list(dict.fromkeys(key for row in own for key in row)), own)
    words = [short(keys)[key] for key in keys]
    if not 0 < len(words) <= KEYS:
        return f"Which of {count} settings is the best by {what}?"
    named = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    verb = "are" if len(words) > 1 else "is"
    return f"Which {named} {verb} the best by {what}?"


def _name(side: RunComparison) -> str:
    names = dict.fromkeys(
        str(record.manifest.get("config", {}).get("name", record.name)) for record in side.records
    )
    return ", ".join(names)


def _alone(side: RunComparison) -> tuple[str, str]:
    """The answer where there is nothing to compare with: the outcome."""
    if side.comparison is None or side.unreached:
        return comparison_tables.claim_and_rest(side)
    summary, show = side.comparison.rows[0].summary, comparison_tables.Units(side.measure.share)
    runs = f", the mean of {summary.n} seeds" if summary.n > 1 else ""
    interval = f" (95% {show.interval(summary.interval)})" if summary.interval else ""
    return f"{side.measure.name}: {show.value(summary.mean)}{interval}{runs}", ""


def _facts(records: Sequence[Record], count: int) -> list[tuple[str, str]]:
    """How much was compared, in how many groups, on which data, when and with what."""
    states: dict[str, int] = {}
    for record in records:
        states[record.state] = states.get(record.state, 0) + 1
    seeds = sorted({int(record.manifest.get("config", {}).get("seed", 0)) for record in records})
    days = sorted({str(record.manifest.get("created", ""))[:10] for record in records})
    epochs = sorted({int(record.manifest.get("config", {}).get("epochs", 0)) for record in records})
    data = {str(record.manifest.get("data", {}).get("dataset", "")) for record in records}
    ended = "" if states.keys() <= {"done"} else f" ({', '.join(f'{n:,} {state}' for state, n in states.items())})"
    facts = [
        ("trainings", f"{len(records):,}{ended}"),
        ("groups", f"{count:,}"),
        ("seeds", ranges(seeds, comparison_tables.FEW)),
        ("epochs", ranges(epochs, comparison_tables.FEW)),
        ("data", ", ".join(sorted(data))),
        ("trained", " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""),
    ]
    return [(name, value) for name, value in facts if value]


def failed(entries: Sequence[Record | Study]) -> list[str]:
    """A note about the trials of studies that failed: they left no run to compare."""
    notes = []
    for entry in entries:
        if isinstance(entry, Study):
            failed = [row for row in entry.trials() if row["status"] == "failed"]
            if failed:
                count = f"{plural(len(failed), 'trial')} failed"
                notes.append(f"{entry.name}: {count}, {failed[0]['trial']} first: {failed[0].get('reason', '')}")
    return notes


# --- results -----------------------------------------------------------------------------------------------


def _results(side: RunComparison, order: Sequence[int], keys: Sequence[str], looks: Sequence[int]) -> PageTable:
    """The table of the comparison: headings, and per row its cells, mark and interval as places of a picture.

    `keys` are the settings that name a row; without any, its label does. `looks` are the numbers of the rows' colors.
    """
    rows = comparison_tables.rows(side)
    needed = ("group", "n", "verdict") if len(rows) > 1 else ("group", "n")
    shown = [
        column
        for column in comparison_tables.columns(side)
        if column.key in needed
        or (
            column.only != "values"
            and column.key != "verdict"
            and any(row.get(column.key) is not None for row in rows)
        )
    ]
    shown = answer_first(shown)
    shown[:1] = _settings(side, keys) or shown[:1]
    drawn, scale = places(side.comparison, side.measure.share)
    names, found = len(keys) or 1, []
    for number, (i, row) in enumerate(zip(order, rows, strict=True)):
        own, look = mark(side, i), looks[number]
        cells = [typeset(cell(column, row)) for column in shown]
        if own == "baseline":
            cells[names - 1] += " (baseline)"
        found.append(
            {
                "cells": cells,
                "mark": "best" if number == 0 and own == "better" else own,
                "place": drawn.get(i),
                "look": look if look < MOST_LOOKS else None,
            }
        )
    joined = all(len(candidate.groups) == 1 for candidate in side.candidates)
    return PageTable("", "", shown, found, scale, names, joined)


def answer_first(columns: Sequence[Column]) -> list[Column]:
    """Columns with what a phone shows at once as the first: name, mean and verdict."""
    first = ("group", "rule", "marked", "mean", "cost", "verdict")
    return sorted(columns, key=lambda own: first.index(own.key) if own.key in first else len(first))


def _settings(side: RunComparison, keys: Sequence[str]) -> list[Column]:
    """A column for each of these settings, with numbers of three digits where those tell its values apart."""
    words, columns = short(keys), []
    for key in keys:
        values = [candidate.settings.get(key) for candidate in side.candidates]
        texts = list(dict.fromkeys(map(text, values)))
        names = dict(zip(texts, shortened(texts), strict=True))
        columns.append(Column(key, words[key], partial(_named, names), left=not all(map(is_number, values))))
    return columns


def _named(names: Mapping[str, str], value: Any) -> str:
    return names[text(value)]


def without_headings(notes: Sequence[str], columns: Sequence[Column]) -> list[str]:
    """Notes without those on columns that have another heading on a page, where they are told next to the table."""
    renamed = {column.title for column in columns if column.plain}
    return [note for note in notes if note.partition(":")[0] not in renamed]


def typeset(text: str) -> str:
    """A cell of a page: a minus sign before a number, as the scripts write it."""
    return re.sub(r"(?<![\w.])-(?=\d)", "\u2212", text)


def places(
    comparison: Comparison[Any] | None, share: bool
) -> tuple[dict[int, tuple[float, float, float]], tuple[str, str]]:
    """For each row, where its mean and the ends of its interval lie between the lowest and the highest, in per cent;
    and what these two are.
    """
    if comparison is None or len(comparison.order) < 2:
        return {}, ("", "")
    found = {}
    for i in comparison.order:
        summary = comparison.rows[i].summary
        low, high = summary.interval or (summary.mean, summary.mean)
        found[i] = (max(low, 0.0), summary.mean, min(high, 1.0)) if share else (low, summary.mean, high)
    lowest, highest = min(low for low, _, _ in found.values()), max(high for _, _, high in found.values())
    span = highest - lowest or 1.0
    drawn = {i: tuple(round(100 * (end - lowest) / span, 2) for end in ends) for i, ends in found.items()}
    show = comparison_tables.Units(share).value
    return drawn, (typeset(show(lowest)), typeset(show(highest)))  # type: ignore[return-value]


def _layers(group: Mapping[str, Any]) -> list[list[str]]:
    """The quantities of each layer after the last epoch, as text: a row for each layer."""
    layers = group["layers"]
    quantities = {key: values for key, values in layers.items() if key != "names"}
    return [
        [name, *(_last(values[number], key == "saturated") for key, values in quantities.items())]
        for number, name in enumerate(layers["names"])
    ]


def _curvature(measured: Mapping[str, Any]) -> list[str]:
    """The last measurement: epoch, sharpness, limit, curvature along the gradient."""
    limit = _last(measured["limit"]) or "no limit known"
    return [str(measured["epochs"][-1]), _last(measured["sharpness"]), limit, _last(measured["along"])]


def _last(values: Sequence[float | None], share: bool = False) -> str:
    return "" if not values or values[-1] is None else percent(values[-1]) if share else f"{values[-1]:.3g}"


# --- what differed and what was equal ----------------------------------------------------------------------


def _differing(grouping: Grouping) -> list[tuple[str, list[tuple[str, int]]]]:
    """Every setting that differs: its values, numbers in ascending order, and how many runs have each.

    Groups that lack a setting, such as a hyperparameter of another optimizer, are not counted.
    """
    table = []
    for key in grouping.differing:
        counts: dict[str, int] = {}
        sizes: dict[str, float] = {}
        for group in grouping.groups:
            value: Any = group.settings.get(key)
            if value is None:
                continue
            word = text(value)
            counts[word] = counts.get(word, 0) + len(group.runs)
            sizes[word] = value if is_number(value) else inf
        names = dict(zip(counts, shortened([*counts]), strict=True))
        ordered = sorted(counts.items(), key=lambda counted: sizes[counted[0]])
        if counts:
            table.append((key, [(names[word], count) for word, count in ordered]))
    return table


def _machine(records: Sequence[Record], varied: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Versions, machine and data that all runs share."""
    facts = circumstances(records[0]) if records else {}
    return [(key, value) for key, value in facts.items() if key not in varied]


# --- runs and commands -------------------------------------------------------------------------------------


def _run_columns(records: Sequence[Record]) -> list[tuple[str, str]]:
    tested = any("test_acc" in record.manifest for record in records)
    return [(key, key.replace("_", " ")) for key in _COLUMNS if tested or key not in TESTED]


def _runs(chosen: Sequence[Group]) -> list[dict[str, Any]]:
    """A row for every run, group by group."""
    return [
        {
            "name": record.name,
            "group": group.label,
            "seed": seed,
            "state": record.state,
            "reason": record.manifest.get("reason", ""),
            "outcome": {key: _outcome(key, value) for key, value in record.outcome().items() if value is not None},
            "config": record.config.decode("utf-8", "replace"),
        }
        for group in chosen
        for seed, record in group.runs.items()
    ]


def _outcome(key: str, value: float) -> tuple[str, str]:
    """A result of a run as it is shown, and as it is copied."""
    return percent(value) if metric_of(key).is_fraction else f"{value:.4g}", f"{value:.6g}"


def _source(entry: Record | Study) -> Repetition:
    """The command that made a run or study, and the one that repeats it from a file."""
    typed = shell(*entry.manifest.get("argv", [])[1:])
    if isinstance(entry, Study):
        command = entry.manifest["command"]
        command = "sweep" if command == "train" else command  # `train --seeds` is a sweep without axes
        repeat, file, content = (
            f"optilab {command} --config {STUDY}",
            STUDY,
            entry.asked,
        )
    else:
        repeat, file, content = "optilab train --config config.yaml", "config.yaml", entry.config
    return Repetition(entry.name, typed, repeat, file, content.decode("utf-8", "replace"))
