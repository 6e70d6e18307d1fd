"""Comparing runs: runs -> groups -> a value of each run -> judge -> the limits of the comparison."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from statistics import fmean
from typing import Any

from optilab.config.keys import is_within
from optilab.config.load import NOT_SETTINGS
from optilab.diagnose.remedies import AS_IT_IS, REMEDY
from optilab.errors import UsageError, did_you_mean, shown
from optilab.judge.circumstances import circumstances, varying
from optilab.judge.groups import (
    DATA_DIGEST,
    Group,
    Grouping,
    distinguishing_keys,
    groups,
    relabeled,
    settings_label,
    short_names,
    value_text,
)
from optilab.judge.judge import Judgment, alpha, confidence_of, judge
from optilab.judge.measure import GroupValues, Measure, length, values_of
from optilab.runs import Record
from optilab.words import FEW, SEVERAL, plural, some

MIN_ABOVE_CHANCE = 0.02
"""An accuracy, or a loss in nats, that is not better than the chance level by more than this has learned nothing."""
VALIDATED_ON = ("data.dataset", DATA_DIGEST, "data.holdout", "replay.split_seed")
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
    judgment: Judgment[int] | None
    """None where no run has an outcome."""
    best: bool
    """True if each row is at the best of its other settings, which the other seeds choose for each seed."""
    other_settings: tuple[str, ...]
    """The settings besides `by`, as labels: each row is averaged over them, or has the best of them."""
    circumstances: Mapping[str, Mapping[str, int]]
    """Versions, machine and the like that differ between the runs: value -> number of runs."""
    notes: tuple[str, ...]
    """Limits of the comparison, as sentences."""
    procedure: tuple[str, ...] = ()
    """How its verdicts were made, where that is not the usual way."""

    @property
    def records(self) -> list[Record]:
        """The runs that were compared."""
        return [record for group in self.grouping.groups for record in group.runs.values()]

    @property
    def unreached(self) -> bool:
        """True if no run of any row reached the target, so that the values in place of the times mean nothing."""
        return self.measure.target is not None and all(
            len(row.groups) == 1 and row.outcomes.values.keys() == row.outcomes.imputed.keys()
            for row in self.candidates
        )

    @property
    def no_better_than_chance(self) -> bool:
        """True if no row is better than the chance level."""
        rows = [row.outcomes for row in self.candidates]
        return no_better_than_chance(rows, self.measure.metric_higher_is_better)

    def best_group(self, row: int) -> Group:
        """The group of a row with outcomes that has the best mean."""
        groups, sign = self.candidates[row].groups, 1 if self.measure.higher_is_better else -1
        means = [
            sign * fmean(outcomes.values.values()) if outcomes.values else -inf
            for outcomes in values_of(groups, self.measure)
        ]
        return groups[means.index(max(means))]

    @property
    def possible_best(self) -> list[str]:
        """The labels of the rows that no verdict excludes from being the best; against a baseline, those not worse."""
        return [] if self.judgment is None else [self.candidates[i].label for i in self.judgment.possible_best]


def compare_runs(
    records: Sequence[Record],
    measure: Measure,
    baseline: str | None = None,
    by: Sequence[str] = (),
    best: bool = False,
    left_out: Sequence[str] = (),
    looks: int = 0,
    labels: Sequence[str] = (),
) -> RunComparison:
    """Compare the runs by `measure`, each group with `baseline` (a label, a config's or run's name), else remedies with
    the network as it is, and other groups with the best.

    `by` names the keys, sections or words of labels (`lr`) that tell rows apart; each row is then averaged over the
    settings that differ otherwise and that all rows have. With `best` each row has at each seed the setting that is the
    best of its own on the other seeds. `left_out` has a note for each run that is not among them. `looks`: how often
    their study was compared before; see `alpha`. `labels` rename rows; see `relabeled`. UsageError for keys,
    names and metrics that do not exist; see also `groups` and `values_of`.
    """
    grouping = groups(records, [key for key in by if key in NOT_SETTINGS])
    grouping = grouping if by else replace(grouping, groups=relabeled(grouping.groups, labels))
    values = values_of(grouping.groups, measure)
    if isinstance(measure.at, int) and all(group.values.keys() == group.imputed.keys() for group in values):
        longest = max((len(record.rows()) for record in records), default=0)
        if 0 < longest < measure.at:  # else what has diverged is missing here, and the table says so
            raise UsageError(f"--at: expected an epoch from 1 to {longest}, got {measure.at}")
    rows, other_settings = _rows(grouping, values, by, best, measure.higher_is_better)
    rows = [*relabeled(rows, labels)] if by else rows
    outcomes = {i: row.outcomes.values for i, row in enumerate(rows)}
    reference = _untouched(rows) if baseline is None else _named(rows, baseline)
    if best and not any(outcomes.values()):
        raise UsageError(
            "--best needs two seeds that all settings of a row have: one chooses, one judges; train each setting with "
            "--seeds 2"
        )
    if reference is not None and not outcomes[reference]:
        raise UsageError(f"--baseline {shown(baseline)}: expected a group with at least one outcome")
    diverged = {i: row.outcomes.diverged for i, row in enumerate(rows)}
    judgment = None
    if any(outcomes.values()):
        judgment = judge(outcomes, measure.higher_is_better, reference, alpha(looks), diverged, measure.limits)
    around = varying([circumstances(record) for record in records])
    result = RunComparison(measure, grouping, tuple(rows), judgment, best, tuple(other_settings), around, ())
    return replace(
        result, notes=(*left_out, *_notes(result)), procedure=tuple(_procedure_notes(rows, judgment, looks))
    )


def looked_before(looks: int, how: str = "with other trainings") -> str:
    """The note below a table that was compared before."""
    times, confidence = "once" if looks == 1 else f"{looks} times", confidence_of(alpha(looks))
    return (
        f"compared {times} before {how}, and each comparison is another chance of a false verdict: "
        f"verdicts and their intervals are at {confidence} now"
    )


# --- rows --------------------------------------------------------------------------------------------------


def _rows(
    grouping: Grouping, values: Sequence[GroupValues], by: Sequence[str], best: bool, higher_is_better: bool
) -> tuple[list[ComparedRuns], list[str]]:
    """The rows, and with `by` the labels of the settings that are averaged, or of which each row has the best."""
    pairs = list(zip(grouping.groups, values, strict=True))
    if not by:
        return [ComparedRuns(group.label, group.settings, (group,), outcomes) for group, outcomes in pairs], []
    trees = [group.settings for group in grouping.groups]
    keys, rest = _keys(grouping, by)
    words = distinguishing_keys(trees, keys) or keys
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
        label = settings_label(settings, words) or f"no {', '.join(short_names(words).values())}"
        members, measured = zip(*cells, strict=True)
        value = _at_their_best(measured, higher_is_better) if best else _mean(measured)
        rows.append(ComparedRuns(label, settings, members, value))
    most = max((row.groups for row in rows), key=len)
    if best and len(most) < 2:
        raise UsageError(f"--best: apart from {', '.join(by)}, no setting has two values in a row")
    return rows, [settings_label(group.settings, rest) for group in most] if len(most) > 1 else []


def _identity(group: Group, keys: Sequence[str]) -> str:
    return json.dumps({key: group.settings[key] for key in keys if key in group.settings})


def _keys(grouping: Grouping, by: Sequence[str]) -> tuple[list[str], list[str]]:
    """The keys that tell rows apart, and those of the other settings. UsageError for one that nothing differs in."""
    differing = distinguishing_keys([group.settings for group in grouping.groups])
    named = {word: key for key, word in short_names(differing).items()}  # as a label tells them
    wanted = [named.get(key, key) for key in by]
    keys = [key for key in grouping.differing if any(is_within(key, name) for name in wanted)]
    known = (*grouping.differing, *grouping.shared)
    lost = [k for k, full in zip(by, wanted, strict=True) if not any(is_within(key, full) for key in known)]
    if lost or not keys:
        paths = (key.split(".") for key in differing)
        names = {".".join(path[:n]) for path in paths for n in range(min(len(path), 2), len(path) + 1)}
        near = did_you_mean((lost or by)[0], [*named, *sorted(names)])
        near = near or (f"; what differs: {', '.join(differing)}" if differing else "; nothing differs")
        problem = "no such setting" if lost else "the same in all runs"
        raise UsageError(f"--by {','.join(lost or by)}: {problem}{near}")
    return keys, [key for key in differing if key not in keys]


def _mean(cells: Sequence[GroupValues]) -> GroupValues:
    """The mean outcome of each seed that all settings have."""
    seeds = [seed for seed in cells[0].values if all(seed in cell.values for cell in cells)]
    values = {seed: fmean(cell.values[seed] for cell in cells) for seed in seeds}
    imputed = {seed: why for cell in cells for seed, why in cell.imputed.items() if seed in values}
    excluded = {seed: why for cell in cells for seed, why in cell.excluded.items()}
    return GroupValues(values, imputed, excluded, chance=cells[0].chance)


def _at_their_best(cells: Sequence[GroupValues], higher_is_better: bool) -> GroupValues:
    """The outcome at each seed of the setting that is the best on the other seeds, so that no seed both chooses
    and measures it.
    """
    common = _mean(cells)
    values, imputed = dict[int, float](), dict[int, str]()
    for seed in common.values if len(common.values) > 1 else ():
        means = [fmean(cell.values[s] for s in common.values if s != seed) for cell in cells]
        cell = cells[means.index(max(means) if higher_is_better else min(means))]
        values[seed] = cell.values[seed]
        imputed |= {seed: cell.imputed[seed]} if seed in cell.imputed else {}
    return replace(common, values=values, imputed=imputed)


def _untouched(rows: Sequence[ComparedRuns]) -> int | None:
    """The row of the network as it is, where all rows are remedies; None where it has no outcome, or several rows."""
    remedies = [row.settings.get(REMEDY) for row in rows]
    places = [i for i, remedy in enumerate(remedies) if remedy == AS_IT_IS and rows[i].outcomes.values]
    return places[0] if None not in remedies and len(places) == 1 else None


def _named(rows: Sequence[ComparedRuns], name: str) -> int:
    """The row that `--baseline` means: its label, the end of it, the name of its config or of one of its runs."""
    records = [[record for group in row.groups for record in group.runs.values()] for row in rows]
    names = [
        [[row.label] for row in rows],
        [[record.name for record in group] for group in records],
        [[record.path.parent.name for record in group] for group in records],
        [[record.manifest.get("config", {}).get("name") for record in group] for group in records],
        [[row.label[-len(name) :]] if row.label.endswith(f" {name}") else [] for row in rows],
    ]
    matches = [[place for place, known in enumerate(kind) if name in known] for kind in names]
    for places in matches:
        if len(places) == 1:
            return places[0]
    reason = f"several rows are called {shown(name)}" if any(matches) else f"no row is called {shown(name)}"
    raise UsageError(f"--baseline: {reason}; expected {', '.join(shown(row.label) for row in rows)}")


# --- notes -------------------------------------------------------------------------------------------------


def _notes(result: RunComparison) -> list[str]:
    """Limits of a comparison, as notes: on its rows, the settings that they do not share, its measure, its seeds, and
    those that diverged or are left out."""
    grouping, rows, measure, judgment = result.grouping, result.candidates, result.measure, result.judgment
    settings = plural(len(result.other_settings), "other setting")
    data = [key for key in VALIDATED_ON if key in grouping.differing]
    lengths = sorted({_epochs(group) for group in grouping.groups}) if "epochs" in grouping.differing else [0]
    compared = {
        "last": f"epoch {lengths[0]} is the last that all have",
        "best": f"the best of the first {lengths[0]} counts",
        "area": "longer runs had more epochs",
    }
    advice = compared.get(str(measure.at)) if measure.target is None else None
    exact = [key for key in result.circumstances if key.startswith(("numerics.", "versions.torch"))]
    optimistic = measure.at == "best" and measure.metric.startswith("val_")
    notes = [
        (len(rows) < 2, "one group: nothing to compare with; a group differs in nothing but the seed"),
        (
            result.best,
            f"each row shows the best of its {settings}, chosen for each seed by the other seeds",
        ),
        (
            result.other_settings and not result.best,
            f"each row is the mean over {settings}; verdicts hold for these settings, with the seeds as the sample",
        ),
        (data, f"the outcomes are measured on different images ({some(data, SEVERAL)})"),
        (
            len(lengths) > 1 and advice,
            f"not the same epochs: {some([*map(value_text, lengths)], SEVERAL)}; {advice}",
        ),
        (exact, f"equal seeds do not give equal digits ({some(exact, SEVERAL)})"),
        (
            result.no_better_than_chance,
            "no row is better than chance: more seeds will hardly help",
        ),
        (
            optimistic,
            "the best epoch is chosen on the images that it is measured on, so its outcome is optimistic",
        ),
        *_seed_notes(rows, judgment),
        *_trial_notes(result),
    ]
    return [note for is_needed, note in notes if is_needed]


def _epochs(group: Group) -> int:
    """The epochs of the group's config; of a watched loop, the epochs that it made."""
    epochs = group.settings.get("epochs")
    return max(map(length, group.runs.values())) if epochs is None else int(epochs)


def no_better_than_chance(rows: Sequence[GroupValues], higher_is_better: bool) -> bool:
    """True if the mean of every row is worse than the chance level, or better by less than MIN_ABOVE_CHANCE."""
    known = [(row.chance, row.values) for row in rows if row.values]
    sign = 1 if higher_is_better else -1
    return bool(known) and all(
        chance is not None and sign * (fmean(values.values()) - chance) < MIN_ABOVE_CHANCE
        for chance, values in known
    )


def _seed_notes(rows: Sequence[ComparedRuns], judgment: Judgment[int] | None) -> Iterator[tuple[Any, str]]:
    """Notes on the seeds that each row shares with its reference, and on rows that share too few."""
    if judgment is None:
        return
    base = rows[judgment.baseline.key]
    pairs = [
        (row, judged.difference) for row, judged in zip(rows, judgment.rows, strict=True) if judged.difference
    ]
    partial = [r.label for r, d in pairs if d.paired and r.outcomes.values.keys() != base.outcomes.values.keys()]
    single = [row.label for row, difference in pairs if difference.n < 2]
    single += [base.label] if len(single) > 1 and len(base.outcomes.values) == 1 else []
    loops = all(record.is_watched for row in rows for group in row.groups for record in group.runs.values())
    again = "save each seed under the same name in another directory" if loops else "train from 5 seeds"
    yield partial, f"only common seeds are compared: {_together(partial)} with {base.label}"
    yield single, f"no interval with a single seed: {_together(single)}; {again}"


def _procedure_notes(rows: Sequence[ComparedRuns], judgment: Judgment[int] | None, looks: int) -> Iterator[str]:
    """Notes on rows without pairs, on the variation that verdicts assume, and on earlier comparisons."""
    if judgment is None:
        return
    differences = [
        (row.label, judged.difference)
        for row, judged in zip(rows, judgment.rows, strict=True)
        if judged.difference
    ]
    if unpaired := [label for label, difference in differences if not difference.paired]:
        base = rows[judgment.baseline.key].label
        yield f"too few common seeds for pairs (Welch): {_together(unpaired)} with {base}"
    if any(difference.shared for _, difference in differences):
        yield (
            "seeds may agree by chance, so a verdict assumes that each row varies at least as much as the average row"
        )
    if looks:
        chosen = "" if judgment.chosen else " or without this baseline"
        yield looked_before(looks, f"with other trainings{chosen}")


def _together(labels: Sequence[str]) -> str:
    """The label of a single row, else the number of rows."""
    return labels[0] if len(labels) == 1 else f"{len(labels)} rows"


def _trial_notes(result: RunComparison) -> Iterator[tuple[Any, str]]:
    """Notes on the values that stand for diverged seeds, and on the runs that are left out."""
    diverged = {row.label: len(row.outcomes.diverged) for row in result.candidates if row.outcomes.diverged}
    seeds = sum(len(row.outcomes.values) for row in result.candidates if row.label in diverged)
    value = "the chance level in differences and verdicts" if result.measure.target is None else "no target"
    count = f"{sum(diverged.values())} of {plural(seeds, 'seed')}"
    yield diverged, f"{_together([*diverged])}: {count} diverged, which counts as {value}"
    excluded = [reason for row in result.candidates for reason in row.outcomes.excluded.values()]
    excluded += [
        f"{record.name}: another run has the same settings and seed" for record in result.grouping.repeated
    ]
    yield excluded, f"left out: {some(excluded, FEW)}"
