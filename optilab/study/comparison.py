"""Runs laid side by side: their groups, what each achieved, verdicts, and everything that limits the comparison."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from optilab.errors import UsageError, did_you_mean, shown
from optilab.runs import Record
from optilab.study.compare import Judgement, judge
from optilab.study.differences import circumstances, varying
from optilab.study.groups import DATA, NOT_SETTINGS, Group, Grouping, groups, settings_label, telling, text
from optilab.study.outcomes import Measure, Taken, take

VALIDATED_ON = ("data.dataset", DATA, "data.holdout", "replay.split_seed", "replay.hold_out")
"""Settings that choose the images a run is validated on."""


@dataclass(frozen=True)
class Contender:
    """One row of the table: a group, or with `by` all groups with the same value of a key."""

    label: str
    settings: Mapping[str, Any]
    groups: tuple[Group, ...]
    taken: Taken


@dataclass(frozen=True)
class SideBySide:
    """A comparison with its context."""

    measure: Measure
    grouping: Grouping
    contenders: tuple[Contender, ...]
    judgement: Judgement | None
    """None where no run has an outcome."""
    sample: Literal["seeds", "problems"]
    """What the verdicts generalise over."""
    problems: tuple[str, ...]
    """With `by`: the other settings, over which each row is averaged."""
    ranks: tuple[float, ...]
    """Mean rank of each row over the problems, 1 is the best; empty without problems."""
    circumstances: Mapping[str, Mapping[str, int]]
    """Versions, machine and the like that differ between the runs: value -> number of runs."""
    notes: tuple[str, ...]
    """What limits the comparison, one sentence each."""

    @property
    def records(self) -> list[Record]:
        """The runs that were compared."""
        return [record for group in self.grouping.groups for record in group.runs.values()]

    @property
    def possible_best(self) -> list[str]:
        """The labels of the rows that no verdict excludes from being the best; against a baseline, those not worse."""
        judgement = self.judgement
        return [] if judgement is None else [self.contenders[i].label for i in judgement.possible_best]


def lay(
    records: Sequence[Record],
    measure: Measure,
    baseline: str | None = None,
    by: Sequence[str] = (),
    sample: Literal["seeds", "problems"] = "seeds",
) -> SideBySide:
    """Compare the runs by `measure`, each group with `baseline` (a label, a config's or run's name) or the best.

    `by` names the keys or sections that tell rows apart; each row is then averaged over the settings that differ
    otherwise, the problems, as far as all rows have them. `sample` chooses whether seeds or problems are drawn from a
    population. UsageError for keys, names and metrics that do not exist; see also `groups` and `take`.
    """
    grouping = groups(records, [key for key in by if key in NOT_SETTINGS])
    taken = take(grouping.groups, measure)
    if isinstance(measure.at, int) and all(own.values.keys() == own.worst.keys() for own in taken):
        longest = max((len(record.rows()) for record in records), default=0)
        raise UsageError(
            f"--at {measure.at}: no run that did not diverge has that epoch; the longest has {longest}"
        )
    contenders, problems, table = _contenders(grouping, taken, by)
    if sample == "problems" and len(problems) < 2:
        raise UsageError("--over problems needs --by KEY and at least two values of the other settings")
    if table and sample == "problems":
        outcomes: list[Mapping[Any, float]] = [
            {problem: fmean(values.values()) for problem, values in row.items() if values} for row in table
        ]
    else:
        outcomes = [contender.taken.values for contender in contenders]
    chosen = None if baseline is None else _named(contenders, baseline)
    if chosen is not None and not outcomes[chosen]:
        raise UsageError(f"--baseline {shown(baseline)}: none of its runs has an outcome")
    judgement = judge(outcomes, measure.higher, chosen) if any(outcomes) else None
    around = varying([circumstances(record) for record in records])
    ranks = _mean_ranks(table, measure.higher) if table else ()
    notes = _notes(grouping, contenders, judgement, measure, sample, problems, around)
    return SideBySide(
        measure, grouping, tuple(contenders), judgement, sample, tuple(problems), ranks, around, tuple(notes)
    )


# --- rows --------------------------------------------------------------------------------------------------

_Table = list[dict[str, dict[int, float]]]
"""Of each row: the outcomes of each problem, by seed."""


def _contenders(
    grouping: Grouping, taken: Sequence[Taken], by: Sequence[str]
) -> tuple[list[Contender], list[str], _Table]:
    """The rows, and with `by` the problems that all rows have, and the outcomes of each row on each of them."""
    if not by:
        pairs = zip(grouping.groups, taken, strict=True)
        return [Contender(group.label, group.settings, (group,), own) for group, own in pairs], [], []
    keys = [key for key in grouping.differing if any(key == k or key.startswith(f"{k}.") for k in by)]
    if not keys:
        equal = any(key == k or key.startswith(f"{k}.") for k in by for key in grouping.shared)
        near = did_you_mean(by[0], grouping.differing) or f"; {', '.join(grouping.differing) or 'nothing'} differs"
        raise UsageError(f"--by {','.join(by)}: {'the same in all runs' if equal else 'no such setting'}{near}")
    rest = [key for key in grouping.differing if key not in keys]
    words = telling(keys, [group.settings for group in grouping.groups])
    members: dict[str, dict[str, tuple[Group, Taken]]] = {}
    for group, own in zip(grouping.groups, taken, strict=True):
        members.setdefault(_identity(group, keys), {})[_identity(group, rest)] = group, own
    shared = [one for one in next(iter(members.values())) if all(one in row for row in members.values())]
    if not shared and all(len(row) == 1 for row in members.values()):  # the rest follows from the keys
        shared = [""]
        members = {key: {"": next(iter(row.values()))} for key, row in members.items()}
    if not shared:
        raise UsageError(f"--by {','.join(by)}: no setting of {', '.join(rest)} is common to all its values")
    contenders, table = [], []
    for row in members.values():
        parts = [row[problem] for problem in shared]
        of_row = {key: value for key, value in parts[0][0].settings.items() if key in keys}
        chosen = tuple(group for group, _ in parts)
        contenders.append(
            Contender(settings_label(of_row, words), of_row, chosen, _mean([own for _, own in parts]))
        )
        table.append({problem: dict(row[problem][1].values) for problem in shared})
    if len(shared) < 2:
        return contenders, [], []
    return contenders, [settings_label(group.settings, rest) for group in contenders[0].groups], table


def _identity(group: Group, keys: Sequence[str]) -> str:
    return json.dumps({key: group.settings[key] for key in keys if key in group.settings}, sort_keys=True)


def _mean(parts: Sequence[Taken]) -> Taken:
    """The mean outcome of each seed that all parts have."""
    seeds = [seed for seed in parts[0].values if all(seed in part.values for part in parts)]
    values = {seed: fmean(part.values[seed] for part in parts) for seed in seeds}
    worst = {seed: why for part in parts for seed, why in part.worst.items() if seed in values}
    return Taken(values, worst, {seed: why for part in parts for seed, why in part.absent.items()})


def _mean_ranks(table: _Table, higher: bool) -> tuple[float, ...]:
    """Mean over the problems of each row's rank by its mean outcome; ties share the mean of their ranks."""
    sign = -1 if higher else 1
    ranks: list[list[float]] = [[] for _ in table]
    for problem in table[0]:
        if all(row[problem] for row in table):
            means = [sign * fmean(row[problem].values()) for row in table]
            for own, mean in zip(ranks, means, strict=True):
                own.append(sum(m < mean for m in means) + (sum(m == mean for m in means) + 1) / 2)
    return tuple(fmean(own) for own in ranks) if ranks[0] else ()


def _named(contenders: Sequence[Contender], name: str) -> int:
    """The row that `--baseline` means: its label, the end of it, the name of its config or of one of its runs."""
    records = [[record for group in c.groups for record in group.runs.values()] for c in contenders]
    matches: list[Callable[[int], bool]] = [
        lambda i: contenders[i].label == name,
        lambda i: name in {record.name for record in records[i]},
        lambda i: name in {record.path.parent.name for record in records[i]},
        lambda i: name in {record.manifest.get("config", {}).get("name") for record in records[i]},
        lambda i: contenders[i].label.endswith(f" {name}"),
    ]
    for matching in matches:
        if len(found := [i for i in range(len(contenders)) if matching(i)]) == 1:
            return found[0]
    labels = [contender.label for contender in contenders]
    raise UsageError(f"--baseline: no single row {shown(name)}; one of {'; '.join(labels)}")


# --- notes -------------------------------------------------------------------------------------------------


def _notes(
    grouping: Grouping,
    contenders: Sequence[Contender],
    judgement: Judgement | None,
    measure: Measure,
    sample: str,
    problems: Sequence[str],
    around: Mapping[str, Mapping[str, int]],
) -> list[str]:
    differing = grouping.differing
    notes = []
    if len(contenders) < 2:
        notes.append("one group: nothing to compare with; a group differs in nothing but the seed")
    if other := [key for key in VALIDATED_ON if key in differing]:
        notes.append(
            f"not the same data: {', '.join(other)} differ{'s' * (len(other) == 1)}, so the outcomes are measured on "
            "different images"
        )
    if "epochs" in differing and measure.target is None and not isinstance(measure.at, int):
        lengths = sorted({group.settings["epochs"] for group in grouping.groups})
        advice = (
            f"--at {lengths[0]} compares at the same epoch" if measure.at == "last" else "the longer have more"
        )
        notes.append(f"not the same epochs: {_listed(lengths)}; {advice}")
    if problems:
        notes.append(
            f"each row is the mean over {len(problems)} other setting{'s' * (len(problems) > 1)}; verdicts hold for "
            + ("settings like these" if sample == "problems" else "these settings, with the seeds as the sample")
        )
    if judgement is not None and sample == "seeds":
        notes += _seed_notes(contenders, judgement)
    for contender in contenders:
        notes += _trial_notes(contender, measure)
    if measure.at == "best" and "data.holdout" in grouping.shared and grouping.shared["data.holdout"] is None:
        notes.append("the best epoch is chosen on the images that it is measured on, so its outcome is optimistic")
    if grouping.repeated:
        names = [record.name for record in grouping.repeated]
        notes.append(f"left out, a run with the same settings and seed counts: {_listed(names, 3)}")
    if exact := [key for key in around if key.startswith(("numerics.", "versions.torch"))]:
        notes.append(f"{_listed(exact)} differ between the runs: equal seeds are not equal to the last digit")
    return notes


def _seed_notes(contenders: Sequence[Contender], judgement: Judgement) -> list[str]:
    base = contenders[judgement.baseline]
    notes, floors = [], {}
    for contender, contrast in zip(contenders, judgement.contrasts, strict=True):
        if contrast is None:
            continue
        own, other = set(contender.taken.values), set(base.taken.values)
        if not contrast.paired:
            notes.append(f"{contender.label} and {base.label} share no seed: compared without pairs (Welch)")
        elif own != other:
            notes.append(
                f"{contender.label} and {base.label} share {contrast.n} of {len(own | other)} seeds; only these are "
                "compared"
            )
        if contrast.interval is None and contrast.n < 2:
            notes.append(f"{contender.label}: one seed to compare by has no interval; train with --seeds 5")
        elif contrast.floor > 0.05:
            floors[contrast.n] = contrast.floor
    notes += [f"p: {n} seeds cannot give less than {floor:.2g}" for n, floor in sorted(floors.items())]
    return notes


def _trial_notes(contender: Contender, measure: Measure) -> list[str]:
    taken, notes = contender.taken, []
    for ending in dict.fromkeys(taken.worst.values()):
        seeds = [seed for seed, why in taken.worst.items() if why == ending]
        if ending == "diverged" or measure.target is None:
            counted = f"count{'s' * (len(seeds) == 1)} as the worst outcome"
            notes.append(f"{contender.label}: {len(seeds)} of {len(taken.values)} diverged and {counted}")
    if taken.absent:
        notes.append(f"{contender.label}: left out {_listed(list(taken.absent.values()), 3)}")
    return notes


def _listed(values: Sequence[Any], most: int = 6) -> str:
    texts = [text(value) if not isinstance(value, str) else value for value in values[:most]]
    more = [f"{len(values) - most} more"] if len(values) > most else []
    return ", ".join([*texts, *more])
