"""Which runs are the best: runs -> groups -> one value of each run -> judge -> what limits the comparison."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from optilab.errors import UsageError, did_you_mean, shown
from optilab.runs import Record
from optilab.study.diff import circumstances, varying
from optilab.study.groups import (
    DATA,
    NOT_SETTINGS,
    Group,
    Grouping,
    GroupValues,
    Measure,
    distinguishing_keys,
    groups,
    settings_label,
    short,
    text,
    values_of,
)
from optilab.study.judge import Comparison, confidence_of, judge, level_after
from optilab.words import plural, some

MAX_NOTES = 3
"""Rows with seeds that diverged or are left out, which have a note each."""
MIN_SKILL = 0.02
"""An accuracy, or a loss in nats, that is not better than the chance level by more than this has learned nothing."""
VALIDATED_ON = ("data.dataset", DATA, "data.holdout", "replay.split_seed")
"""Settings that choose the images a run is validated on."""


@dataclass(frozen=True)
class ComparedRuns:
    """One row of the table: a group, or with `by` all groups with the same value of a key."""

    label: str
    settings: Mapping[str, Any]
    groups: tuple[Group, ...]
    outcomes: GroupValues


@dataclass(frozen=True)
class RunComparison:
    """A comparison with its context."""

    measure: Measure
    grouping: Grouping
    candidates: tuple[ComparedRuns, ...]
    comparison: Comparison[int] | None
    """None where no run has an outcome."""
    best: bool
    """Whether each row is at the best of its other settings, which the other seeds choose for each seed."""
    problems: tuple[str, ...]
    """With `by`: the other settings, over which each row is averaged, or of which it has the best."""
    circumstances: Mapping[str, Mapping[str, int]]
    """Versions, machine and the like that differ between the runs: value -> number of runs."""
    notes: tuple[str, ...]
    """What limits the comparison, one sentence each."""

    @property
    def records(self) -> list[Record]:
        """The runs that were compared."""
        return [record for group in self.grouping.groups for record in group.runs.values()]

    @property
    def unreached(self) -> bool:
        """Whether a target was asked for, and no run of any row reached it: what stands for the times says nothing."""
        return self.measure.target is not None and all(
            len(row.groups) == 1 and row.outcomes.values.keys() == row.outcomes.worst.keys()
            for row in self.candidates
        )

    @property
    def possible_best(self) -> list[str]:
        """The labels of the rows that no verdict excludes from being the best; against a baseline, those not worse."""
        return [] if self.comparison is None else [self.candidates[i].label for i in self.comparison.possible_best]


def compare_runs(
    records: Sequence[Record],
    measure: Measure,
    baseline: str | None = None,
    by: Sequence[str] = (),
    best: bool = False,
    left_out: Sequence[str] = (),
    looks: int = 0,
) -> RunComparison:
    """Compare the runs by `measure`, each group with `baseline` (a label, a config's or run's name) or the best.

    `by` names the keys, sections or words of labels (`lr`) that tell rows apart; each row is then averaged over the
    settings that differ otherwise and that all rows have. With `best` each row has at each seed the setting that is the
    best of its own on the other seeds. `left_out` has a note for each run that is not among them. `looks`: how often
    their study was compared before; see `level_after`. UsageError for keys, names and metrics that do not exist; see
    also `groups` and `values_of`.
    """
    grouping = groups(records, [key for key in by if key in NOT_SETTINGS])
    values = values_of(grouping.groups, measure)
    if isinstance(measure.at, int) and all(group.values.keys() == group.worst.keys() for group in values):
        longest = max((len(record.rows()) for record in records), default=0)
        raise UsageError(f"--at: expected an epoch from 1 to {longest}, got {measure.at}")
    rows, problems = _rows(grouping, values, by, best, measure.higher)
    outcomes = {i: row.outcomes.values for i, row in enumerate(rows)}
    reference = None if baseline is None else _named(rows, baseline)
    if best and not any(outcomes.values()):
        raise UsageError(
            "--best needs two seeds that all settings of a row have: one chooses, one judges; train each setting with "
            "--seeds 2"
        )
    if reference is not None and not outcomes[reference]:
        raise UsageError(f"--baseline {shown(baseline)}: expected a group with at least one outcome")
    diverged = {i: row.outcomes.diverged for i, row in enumerate(rows)}
    comparison = None
    if any(outcomes.values()):
        comparison = judge(outcomes, measure.higher, reference, level_after(looks), diverged, measure.limits)
    around = varying([circumstances(record) for record in records])
    side = RunComparison(measure, grouping, tuple(rows), comparison, best, tuple(problems), around, ())
    notes = [*left_out, *_notes(side)]
    if looks and comparison is not None:
        notes.append(
            looked_before(looks, "with other trainings" + " or without this baseline" * (not comparison.chosen))
        )
    return replace(side, notes=tuple(notes))


def looked_before(looks: int, how: str = "with other trainings") -> str:
    """The note below a table that was compared before."""
    times, confidence = "once" if looks == 1 else f"{looks} times", confidence_of(level_after(looks))
    return (
        f"compared {times} before {how}, and each comparison is another chance of a false verdict: "
        f"verdicts and their intervals are at {confidence} now"
    )


# --- rows --------------------------------------------------------------------------------------------------


def _rows(
    grouping: Grouping, values: Sequence[GroupValues], by: Sequence[str], best: bool, higher: bool
) -> tuple[list[ComparedRuns], list[str]]:
    """The rows, and with `by` the labels of the settings that are averaged, or of which each row has the best."""
    pairs = list(zip(grouping.groups, values, strict=True))
    if not by:
        return [ComparedRuns(group.label, group.settings, (group,), outcomes) for group, outcomes in pairs], []
    trees = [group.settings for group in grouping.groups]
    keys, rest = _keys(grouping, by)
    words = distinguishing_keys(keys, trees) or keys
    table: dict[str, dict[str, tuple[Group, GroupValues]]] = {}
    for group, outcomes in pairs:
        table.setdefault(_identity(group, keys), {})[_identity(group, rest)] = group, outcomes
    common = set.intersection(*(set(columns) for columns in table.values()))
    every = best or all(len(columns) == 1 for columns in table.values())
    if not common and not every:
        raise UsageError(f"--by {','.join(by)}: no setting of {', '.join(rest)} is common to all its values")
    rows = []
    for columns in table.values():
        cells = [cell for column, cell in columns.items() if every or column in common]
        settings = {key: value for key, value in cells[0][0].settings.items() if key in keys}
        label = settings_label(settings, words) or f"no {', '.join(short(words).values())}"
        value = (_at_their_best if best else _mean)([cell for _, cell in cells], higher)
        rows.append(ComparedRuns(label, settings, tuple(group for group, _ in cells), value))
    most = max((row.groups for row in rows), key=len)
    if best and len(most) < 2:
        raise UsageError(f"--best: apart from {', '.join(by)}, no setting has two values in a row")
    return rows, [settings_label(group.settings, rest) for group in most] if len(most) > 1 else []


def _identity(group: Group, keys: Sequence[str]) -> str:
    return json.dumps({key: group.settings[key] for key in keys if key in group.settings})


def _keys(grouping: Grouping, by: Sequence[str]) -> tuple[list[str], list[str]]:
    """The keys that tell rows apart, and those of the other settings. UsageError for one that nothing differs in."""
    differing = distinguishing_keys(grouping.differing, [group.settings for group in grouping.groups])
    named = {word: key for key, word in short(differing).items()}  # as a label tells them
    wanted = [named.get(key, key) for key in by]
    keys = [key for key in grouping.differing if any(f"{key}.".startswith(f"{name}.") for name in wanted)]
    known = [f"{key}." for key in (*grouping.differing, *grouping.shared)]
    lost = [k for k, full in zip(by, wanted, strict=True) if not any(key.startswith(f"{full}.") for key in known)]
    if lost or not keys:
        paths = (key.split(".") for key in differing)
        names = {".".join(path[:n]) for path in paths for n in range(min(len(path), 2), len(path) + 1)}
        near = did_you_mean((lost or by)[0], [*named, *sorted(names)])
        near = near or (f"; what differs: {', '.join(differing)}" if differing else "; nothing differs")
        what = "no such setting" if lost else "the same in all runs"
        raise UsageError(f"--by {','.join(lost or by)}: {what}{near}")
    return keys, [key for key in differing if key not in keys]


def _mean(cells: Sequence[GroupValues], higher: bool = True) -> GroupValues:
    """The mean outcome of each seed that all settings have."""
    seeds = [seed for seed in cells[0].values if all(seed in cell.values for cell in cells)]
    values = {seed: fmean(cell.values[seed] for cell in cells) for seed in seeds}
    worst = {seed: why for cell in cells for seed, why in cell.worst.items() if seed in values}
    absent = {seed: why for cell in cells for seed, why in cell.absent.items()}
    return GroupValues(values, worst, absent, chance=cells[0].chance)


def _at_their_best(cells: Sequence[GroupValues], higher: bool) -> GroupValues:
    """The outcome at each seed of the setting that is the best on the other seeds: chosen and judged apart."""
    common = _mean(cells)
    values, worst = dict[int, float](), dict[int, str]()
    for seed in common.values if len(common.values) > 1 else ():
        means = [fmean(cell.values[s] for s in common.values if s != seed) for cell in cells]
        cell = cells[means.index(max(means) if higher else min(means))]
        values[seed] = cell.values[seed]
        worst |= {seed: cell.worst[seed]} if seed in cell.worst else {}
    return replace(common, values=values, worst=worst)


def _named(rows: Sequence[ComparedRuns], name: str) -> int:
    """The row that `--baseline` means: its label, the end of it, the name of its config or of one of its runs."""
    records = [[record for group in row.groups for record in group.runs.values()] for row in rows]
    matches: list[Callable[[int], bool]] = [
        lambda i: rows[i].label == name,
        lambda i: name in {record.name for record in records[i]},
        lambda i: name in {record.path.parent.name for record in records[i]},
        lambda i: name in {record.manifest.get("config", {}).get("name") for record in records[i]},
        lambda i: rows[i].label.endswith(f" {name}"),
    ]
    matched = [[i for i in range(len(rows)) if is_match(i)] for is_match in matches]
    for places in matched:
        if len(places) == 1:
            return places[0]
    reason = f"several rows are called {shown(name)}" if any(matched) else f"no row is called {shown(name)}"
    raise UsageError(f"--baseline: {reason}; expected {', '.join(shown(row.label) for row in rows)}")


# --- notes -------------------------------------------------------------------------------------------------


def _notes(side: RunComparison) -> Iterator[str]:
    """What limits a comparison."""
    grouping, rows, measure = side.grouping, side.candidates, side.measure
    if len(rows) < 2:
        yield "one group: nothing to compare with; a group differs in nothing but the seed"
    if other := [key for key in VALIDATED_ON if key in grouping.differing]:
        differ = f"{', '.join(other)} differ{'s' * (len(other) == 1)}"
        yield f"not the same data: {differ}, so the outcomes are measured on different images"
    lengths = sorted({_epochs(group) for group in grouping.groups}) if "epochs" in grouping.differing else []
    if len(lengths) > 1 and measure.target is None and not isinstance(measure.at, int):
        advice = {
            "last": f"--at {lengths[0]} compares at the same epoch",
            "best": f"the best of the first {lengths[0]} counts",
            "area": "longer runs had more epochs",
        }[measure.at]
        yield f"not the same epochs: {some([text(length) for length in lengths], 6)}; {advice}"
    if side.best:
        count = len(side.problems)
        yield f"each row shows the best of its {count} other settings, chosen for each seed by the other seeds"
    elif side.problems:
        settings = plural(len(side.problems), "other setting")
        yield f"each row is the mean over {settings}; verdicts hold for these settings, with the seeds as the sample"
    if learned_nothing([row.outcomes for row in rows], measure.rises):
        yield "no row is better than chance: more seeds will hardly help"
    if side.comparison is not None:
        yield from _seed_notes(rows, side.comparison)
    yield from _diverged_notes(rows, measure)
    absent = {row.label: [*row.outcomes.absent.values()] for row in rows if row.outcomes.absent}
    if len(absent) > MAX_NOTES:
        absent = {f"{len(absent)} groups": [reason for reasons in absent.values() for reason in reasons]}
    yield from (f"{label}: left out {some(reasons, 3)}" for label, reasons in absent.items())
    if measure.at == "best" and measure.metric.startswith("val_"):
        yield "the best epoch is chosen on the images that it is measured on, so its outcome is optimistic"
    horizon = rows[0].outcomes.horizon if rows and measure.target is not None else None
    if horizon is not None and len({len(record.rows()) for record in side.records}) > 1:
        unit = f"{horizon:.4g} {measure.until}"
        yield f"times are compared in the first {unit}, in which all trainings were watched; later counts as never"
    if names := [record.name for record in grouping.repeated]:
        yield f"left out, a run with the same settings and seed counts: {some(names, 3)}"
    if exact := [key for key in side.circumstances if key.startswith(("numerics.", "versions.torch"))]:
        differ = "differs" if len(exact) == 1 else "differ"
        yield f"{some(exact, 6)} {differ} between the runs, so equal seeds do not give equal digits"


def _epochs(group: Group) -> int:
    """What trainings that differ in it were asked for; a loop that was watched has those that were made."""
    asked = group.settings.get("epochs")
    return max(len(record.rows()) for record in group.runs.values()) if asked is None else int(asked)


def learned_nothing(rows: Sequence[GroupValues], rises: bool) -> bool:
    """Whether the mean of every row is worse than the chance level, or better by less than MIN_SKILL."""
    known = [(row.chance, row.values) for row in rows if row.values]
    sign = 1 if rises else -1
    return bool(known) and all(
        chance is not None and sign * (fmean(values.values()) - chance) < MIN_SKILL for chance, values in known
    )


def _seed_notes(rows: Sequence[ComparedRuns], comparison: Comparison[int]) -> Iterator[str]:
    base = rows[comparison.baseline.key]
    unpaired, single, most = list[str](), list[str](), 0
    for row, judged in zip(rows, comparison.rows, strict=True):
        if (difference := judged.difference) is None:
            continue
        seeds, others = set(row.outcomes.values), set(base.outcomes.values)
        if not difference.paired:
            unpaired.append(row.label)
            most = max(most, len(seeds & others))
        elif seeds != others:
            shared = f"share {difference.n} of {len(seeds | others)} seeds; only these are compared"
            yield f"{row.label} and {base.label} {shared}"
        if difference.n < 2:
            single.append(row.label)
    if unpaired:
        shared = f"only {plural(most, 'seed')}" if most else "no seed"
        yield f"{_together(unpaired)} and {base.label} share {shared}: compared without pairs (Welch)"
    if single:
        records = [record for row in rows for group in row.groups for record in group.runs.values()]
        loops = all(record.is_watched for record in records)
        again = "save each seed under the same name in another directory" if loops else "train with --seeds 5"
        single += [base.label] if len(single) > 1 and len(base.outcomes.values) == 1 else []
        yield f"{_together(single)}: no interval with a single seed; {again}"
    if any(row.difference and row.difference.shared for row in comparison.rows):
        yield "seeds may agree by luck, so a verdict assumes that no row varies less than the average row"


def _together(labels: Sequence[str]) -> str:
    """The label of one group, the number of several."""
    return labels[0] if len(labels) == 1 else f"{len(labels)} groups"


def _diverged_notes(rows: Sequence[ComparedRuns], measure: Measure) -> Iterator[str]:
    """What the seeds that diverged count as: a line per row, or one for all where there are many."""
    counts = {
        row.label: (count, len(row.outcomes.values))
        for row in rows
        for ending, count in Counter(row.outcomes.worst.values()).items()
        if ending == "diverged" or measure.target is None
    }
    if len(counts) > MAX_NOTES:
        diverged, seeds = (sum(numbers) for numbers in zip(*counts.values(), strict=True))
        counts = {f"{len(counts)} rows": (diverged, seeds)}
    single, several = ("has", "have") if measure.target is not None else ("counts as", "count as")
    what = "no target" if measure.target is not None else "the chance level in differences and verdicts"
    for label, (count, n) in counts.items():
        yield f"{label}: {count} of {n} diverged and {single if count == 1 else several} {what}"
