"""Which candidate is the best: one judge for trainings, races, remedies and learning rates, and what limits it.

judge({"sgd": {42: 0.81, 43: 0.82}, "adam": {42: 0.86, 43: 0.85}}).possible_best
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any, Generic, Literal, TypeVar

from optilab.errors import UsageError, did_you_mean, shown
from optilab.runs import Record
from optilab.study.aggregates import Aggregate, aggregates, letters
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
from optilab.study.statistics import (
    FEW,
    UNLIMITED,
    DifferenceTest,
    Family,
    Limits,
    Summary,
    Values,
    level_after,
    summarize,
)
from optilab.words import plural, some

FEW_ROWS = 3
"""Rows with seeds that diverged or are left out, which have a note each."""
ABOVE_CHANCE = 0.02
"""An accuracy, or a loss in nats, that is not better than the chance level by more than this has learned nothing."""
VALIDATED_ON = ("data.dataset", DATA, "data.holdout", "replay.split_seed", "replay.hold_out")
"""Settings that choose the images a run is validated on."""

Key = TypeVar("Key", bound=Hashable)
Verdict = Literal["better", "worse", "cannot tell"]
Sample = Literal["seeds", "problems", "best"]


@dataclass(frozen=True)
class PairwiseDifference:
    """One candidate against the baseline."""

    n: int
    """Pairs; without pairs, the outcomes of the smaller of the two groups."""
    paired: bool
    difference: float
    """Candidate minus baseline: the mean over the pairs, or the difference of the means."""
    interval: tuple[float, float] | None
    """For the difference; holds for all rows at once. None with one pair or without any variation."""
    won: float
    """Fraction of the pairs in which the candidate is better, ties half; without pairs, of all combinations."""
    p: float
    """For the test that gives the verdict, adjusted for all rows."""
    shared: bool
    """Whether the variance is at least the table's; else it is the row's own."""
    verdict: Verdict
    more: int | None
    """About how many more blocks would tell, at 80% power, if the difference is the one seen; None if too many, 0 if
    these tell, or would without `improvable` blocks."""
    more_range: tuple[int, int | None] | None
    """The same for differences within the quartiles of the estimate; None as the second if that is too many."""


@dataclass(frozen=True)
class ComparedRow(Generic[Key]):
    """One candidate: its outcomes and what they say against the baseline."""

    key: Key
    values: Values
    """All that the verdicts count."""
    summary: Summary
    """For the values without those that diverged, unless all did."""
    diverged: int
    difference: PairwiseDifference | None
    """None for the baseline and for candidates without an outcome."""
    verdict: str
    """better, worse or cannot tell. The best row by these data is best if all others are worse, otherwise cannot tell;
    a row that was named before is the baseline. Without an outcome: no outcome."""


@dataclass(frozen=True)
class Comparison(Generic[Key]):
    """The whole table, in the order in which the candidates were given."""

    rows: tuple[ComparedRow[Key], ...]
    baseline: ComparedRow[Key]
    """The row that all others are compared with."""
    chosen: bool
    """Whether the baseline is the best candidate by these data; else it was named before."""
    order: tuple[int, ...]
    """The places of the rows with outcomes, best first."""
    level: float = 0.05
    """At which verdicts and intervals of differences err, in the whole table."""

    @property
    def confidence(self) -> str:
        """For intervals of differences: `95%`."""
        return confidence_of(self.level)

    @property
    def ranked(self) -> list[ComparedRow[Key]]:
        """The rows with outcomes, best first."""
        return [self.rows[i] for i in self.order]

    @property
    def possible_best(self) -> list[Key]:
        """The candidates that no verdict excludes from being the best, best first; against a named baseline, those not
        worse."""
        return [row.key for row in self.ranked if row.verdict != "worse"]

    @property
    def improvable(self) -> list[Key]:
        """The candidates that only settings that were not tried keep from being worse, best first."""
        return [
            r.key for r in self.ranked if r.difference and r.verdict == "cannot tell" and r.difference.more == 0
        ]


def confidence_of(level: float) -> str:
    """`95%` of the level 0.05."""
    return f"{100 * (1 - level):.4g}%"


def judge(
    values: Mapping[Key, Values],
    higher: bool = True,
    baseline: Key | None = None,
    level: float = 0.05,
    diverged: Mapping[Key, Collection[Any]] | None = None,
    limits: Limits = UNLIMITED,
    improvable: Mapping[Key, Collection[Any]] | None = None,
) -> Comparison[Key]:
    """Each candidate against `baseline`, or against the best of those with at least half of the largest number of
    outcomes.

    `values` has the outcomes of each candidate by block: a seed, a function, a network. Blocks are the sample:
    conclusions hold for blocks like these. `higher`: a higher outcome is better. Outcomes are finite; a candidate may
    have none, but not all. `diverged`: blocks whose values stand for a divergence; verdicts count them, means and
    intervals of candidates do not. `limits`: the possible outcomes; intervals end there.
    `improvable`: blocks on which a setting that was not tried may be better; no candidate is worse if it is not worse
    with ties there. ValueError if the baseline has none.
    """
    keys, outcomes = list(values), list(values.values())
    failed = [set((diverged or {}).get(key, ())) for key in keys]
    ran = [[v for block, v in own.items() if block not in bad] for own, bad in zip(outcomes, failed, strict=True)]
    summaries = [
        summarize(own or [*all_.values()], limits=limits) for own, all_ in zip(ran, outcomes, strict=True)
    ]
    sign = 1 if higher else -1
    means = [fmean(own.values()) if own else 0.0 for own in outcomes]
    # A candidate of which every training diverged comes last.
    order = sorted((i for i, own in enumerate(outcomes) if own), key=lambda i: (not ran[i], -sign * means[i]))
    chosen = baseline is None
    if baseline is None:
        first, tests = _yardstick(order, outcomes, [bool(own) for own in ran], sign)
    elif (first := keys.index(baseline)) not in order:
        raise ValueError("the baseline has no outcome")
    else:
        tests = _against(first, order, outcomes, sign)
    family = Family.of(list(tests.values()), chosen, level)
    span = limits[1] - limits[0]
    differences = dict[int, PairwiseDifference]()
    for i, test in tests.items():
        half, p = family.half_width(test) if family.error(test) else None, family.p(test)
        interval = None if half is None else (test.difference - half, test.difference + half)
        different = p <= level if interval is None else interval[0] > 0 or interval[1] < 0
        better = sign * test.difference > 0
        winner, loser = (i, first) if better else (first, i)
        # Nothing is better than the best, and no candidate is better because more of its trainings diverged.
        rates = [len(failed[one]) / len(outcomes[one]) for one in (winner, loser)]
        different = different and not (chosen and better) and rates[0] <= rates[1]
        more, more_range = (0, None) if different else _more(family, test)
        if different and (ties := {*(improvable or {}).get(keys[loser], ())}):
            base, own = outcomes[winner], outcomes[loser]
            raised = {b: sign * max(sign * v, sign * base.get(b, v)) if b in ties else v for b, v in own.items()}
            different = family.p(DifferenceTest(raised, base, sign)) <= level
        verdict: Verdict = "cannot tell" if not different else "better" if better else "worse"
        if interval is not None:
            interval = max(-span, interval[0]), min(span, interval[1])
        differences[i] = PairwiseDifference(
            test.n,
            test.paired,
            test.difference,
            interval,
            test.won,
            p,
            family.shares(test),
            verdict,
            more,
            more_range,
        )
    clear = tests and all(own.verdict == "worse" for own in differences.values())
    words = {i: str(own.verdict) for i, own in differences.items()}
    words[first] = "baseline" if not chosen else "best" if clear else "cannot tell"
    rows = tuple(
        ComparedRow(key, outcomes[i], summaries[i], len(failed[i]), differences.get(i), words.get(i, "no outcome"))
        for i, key in enumerate(keys)
    )
    return Comparison(rows, rows[first], chosen, tuple(order), level)


def _against(first: int, order: Sequence[int], outcomes: Sequence[Values], sign: int) -> dict[int, DifferenceTest]:
    return {i: DifferenceTest(outcomes[i], outcomes[first], sign) for i in order if i != first}


def _yardstick(
    order: Sequence[int], outcomes: Sequence[Values], ran: Sequence[bool], sign: int
) -> tuple[int, dict[int, DifferenceTest]]:
    """The best candidate with at least half of the largest number of outcomes, and all others against it.

    A few lucky seeds are no yardstick for complete candidates. Means over other seeds than those that two candidates
    share may contradict their difference: the best is one that no other exceeds by it.
    """
    most = max(len(outcomes[i]) for i in order)
    able = [i for i in order if len(outcomes[i]) >= min(most, max(2, most / 2))]
    able = [i for i in able if ran[i]] or able
    first, seen = able[0], set[int]()
    while True:
        tests = _against(first, order, outcomes, sign)
        seen.add(first)
        ahead = {i: sign * tests[i].difference for i in able if i not in seen}
        if not ahead or max(ahead.values()) <= 0:
            return first, tests
        first = max(ahead, key=lambda i: ahead[i])


def _more(family: Family, test: DifferenceTest) -> tuple[int | None, tuple[int, int | None] | None]:
    """About how many more blocks would tell, and the range of that number for differences within the quartiles."""
    quartile = 0.675 * family.error(test)
    seen = abs(test.difference)
    low = family.more(test, seen + quartile)
    high = family.more(test, seen - quartile) if seen > quartile else None
    return family.more(test, seen), None if low is None else (low, high)


# --- trainings ---------------------------------------------------------------------------------------------


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
    sample: Sample
    """What the verdicts generalize over; `best`: over seeds, each row at the best of its other settings."""
    problems: tuple[str, ...]
    """With `by`: the other settings, over which each row is averaged."""
    ranks: tuple[float, ...]
    """Mean rank of each row over the problems, 1 is the best; empty without problems."""
    aggregates: tuple[Aggregate, ...]
    """For each row over the problems; empty without problems."""
    letters: tuple[str, ...]
    """For each row, if all pairs were compared: rows that share a letter cannot be told apart."""
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
            len(own.groups) == 1 and own.outcomes.values.keys() == own.outcomes.worst.keys()
            for own in self.candidates
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
    sample: Sample = "seeds",
    left_out: Sequence[str] = (),
    pairs: bool = False,
    looks: int = 0,
) -> RunComparison:
    """Compare the runs by `measure`, each group with `baseline` (a label, a config's or run's name) or the best.

    `by` names the keys, sections or words of labels (`lr`) that tell rows apart; each row is then averaged over the
    settings that differ otherwise, the problems, as far as all rows have them. `sample` chooses whether seeds or
    problems are drawn from a population; with `best`, each row has at each seed the setting that is the best of its own
    on the other seeds. `left_out` has a note for each run that is not among them. With `pairs`, all rows are also
    compared with each other. `looks`: how often their study was compared before; see `level_after`.
    UsageError for keys, names and metrics that do not exist; see also `groups` and `values_of`.
    """
    grouping = groups(records, [key for key in by if key in NOT_SETTINGS])
    taken = values_of(grouping.groups, measure)
    candidates, problems, table = _candidates(grouping, taken, by, sample != "best")
    chosen = None if baseline is None else _named(candidates, baseline)
    if isinstance(measure.at, int) and all(own.values.keys() == own.worst.keys() for own in taken):
        longest = max((len(record.rows()) for record in records), default=0)
        raise UsageError(f"--at: expected an epoch from 1 to {longest}, got {measure.at}")
    if table and sample == "best":
        own = {id(group): values for group, values in zip(grouping.groups, taken, strict=True)}
        candidates = [
            replace(row, outcomes=_at_their_best([own[id(group)] for group in row.groups], measure.higher))
            for row in candidates
        ]
    if sample != "seeds" and len(problems) < 2:
        left = f"apart from {', '.join(by)}, no setting has two values in all rows" if by else "add --by KEY"
        raise UsageError(f"--sample {sample} needs rows of several settings: {left}")
    diverged: dict[int, Collection[Any]] = {}
    if table and sample == "problems":
        outcomes: list[Mapping[Any, float]] = [
            {problem: fmean(values.values()) for problem, values in row.items() if values} for row in table
        ]
    else:
        outcomes = [candidate.outcomes.values for candidate in candidates]
        if sample == "best" and not any(outcomes):
            raise UsageError(
                "--sample best needs two seeds that all settings of a row have: one chooses, one judges; train each "
                "setting with --seeds 2"
            )
        diverged = {i: candidate.outcomes.diverged for i, candidate in enumerate(candidates)}
    if chosen is not None and not outcomes[chosen]:
        raise UsageError(f"--baseline {shown(baseline)}: expected a group with at least one outcome")
    judged = partial(judge, dict(enumerate(outcomes)), measure.higher, diverged=diverged, limits=measure.limits)
    level = level_after(looks)
    comparison = judged(baseline=chosen, level=level) if any(outcomes) else None
    around = varying([circumstances(record) for record in records])
    ranks = _mean_ranks(table, measure.higher) if table and sample != "best" else ()
    over_problems: Sequence[Aggregate] = ()
    if ranks and comparison is not None:
        over_problems = aggregates(table, comparison.baseline.key, measure.higher, measure.share)
    shared = _letters(comparison, judged) if pairs and comparison is not None else ()
    notes = [*left_out, *_notes(grouping, candidates, comparison, measure, sample, problems, around)]
    if looks and comparison is not None:
        notes.append(
            looked_before(looks, "with other trainings" + " or without this baseline" * (baseline is not None))
        )
    if shared:
        why = ""
        if comparison is not None and any(
            row.verdict == "worse" and {*shared[row.key]} & {*shared[comparison.baseline.key]}
            for row in comparison.rows
        ):
            why = ", which asks for more than a verdict against one row: a row can be worse and share its letter"
        notes.append(
            f"alike: rows that share a letter cannot be told apart; the letters hold for all pairs at once{why}"
        )
    return RunComparison(
        measure,
        grouping,
        tuple(candidates),
        comparison,
        sample,
        tuple(problems),
        ranks,
        tuple(over_problems),
        shared,
        around,
        tuple(notes),
    )


def looked_before(looks: int, how: str = "with other trainings") -> str:
    """The note below a table that was compared before."""
    times, confidence = "once" if looks == 1 else f"{looks} times", confidence_of(level_after(looks))
    return (
        f"compared {times} before {how}, and each comparison is another chance of a false verdict: "
        f"verdicts and their intervals are at {confidence} now"
    )


def _letters(comparison: Comparison[int], judged: Callable[..., Comparison[int]]) -> tuple[str, ...]:
    """For each row, by all pairs: each row is compared with those after it, at the level over the number of rows less
    one (Bonferroni), so that 5% of tables of equal groups have any two rows that are told apart, at the first look.
    """
    order = comparison.order
    told: set[tuple[int, int]] = set()
    for place, row in enumerate(order[:-1]):
        verdicts = judged(baseline=row, level=comparison.level / (len(order) - 1)).rows
        told |= {
            (place, other)
            for other in range(place + 1, len(order))
            if verdicts[order[other]].verdict != "cannot tell"
        }
    found = dict(zip(order, letters(len(order), lambda i, j: (i, j) not in told), strict=True))
    return tuple(found.get(row.key, "") for row in comparison.rows)


# --- rows --------------------------------------------------------------------------------------------------

_Table = list[dict[str, dict[int, float]]]
"""For each row: the outcomes of each problem, by seed."""


def _candidates(
    grouping: Grouping, taken: Sequence[GroupValues], by: Sequence[str], common: bool
) -> tuple[list[ComparedRuns], list[str], _Table]:
    """The rows, and with `by` the problems that all rows have, and the outcomes of each row on each of them.

    Where they need not be `common`, each row has all of its own, and those of the row with the most are returned.
    """
    if not by:
        pairs = zip(grouping.groups, taken, strict=True)
        return [ComparedRuns(group.label, group.settings, (group,), own) for group, own in pairs], [], []
    trees = [group.settings for group in grouping.groups]
    differing = distinguishing_keys(grouping.differing, trees)
    named = {word: key for key, word in short(differing).items()}  # as a label tells them
    wanted = [named.get(k, k) for k in by]
    keys = [key for key in grouping.differing if any(key == k or key.startswith(f"{k}.") for k in wanted)]
    known = [f"{key}." for key in (*grouping.differing, *grouping.shared)]
    lost = [k for k, full in zip(by, wanted, strict=True) if not any(key.startswith(f"{full}.") for key in known)]
    if lost or not keys:
        paths = (key.split(".") for key in differing)
        names = {".".join(path[:n]) for path in paths for n in range(min(len(path), 2), len(path) + 1)}
        near = did_you_mean((lost or by)[0], [*named, *sorted(names)])
        near = near or (f"; what differs: {', '.join(differing)}" if differing else "; nothing differs")
        raise UsageError(
            f"--by {','.join(lost or by)}: {'no such setting' if lost else 'the same in all runs'}{near}"
        )
    rest = [key for key in differing if key not in keys]
    words = distinguishing_keys(keys, trees) or keys
    members: dict[str, dict[str, tuple[Group, GroupValues]]] = {}
    for group, own in zip(grouping.groups, taken, strict=True):
        members.setdefault(_identity(group, keys), {})[_identity(group, rest)] = group, own
    shared = [one for one in next(iter(members.values())) if all(one in row for row in members.values())]
    if not shared and all(len(row) == 1 for row in members.values()):  # the rest follows from the keys
        shared = [""]
        members = {key: {"": next(iter(row.values()))} for key, row in members.items()}
    if not shared and common:
        raise UsageError(f"--by {','.join(by)}: no setting of {', '.join(rest)} is common to all its values")
    candidates, table = [], []
    for row in members.values():
        problems = shared if common else [*row]
        parts = [row[problem] for problem in problems]
        of_row = {key: value for key, value in parts[0][0].settings.items() if key in keys}
        chosen = tuple(group for group, _ in parts)
        label = settings_label(of_row, words) or f"no {', '.join(short(words).values())}"
        candidates.append(ComparedRuns(label, of_row, chosen, _mean([own for _, own in parts])))
        table.append({problem: dict(row[problem][1].values) for problem in problems})
    most = max((candidate.groups for candidate in candidates), key=len)
    if len(most) < 2:
        return candidates, [], []
    return candidates, [settings_label(group.settings, rest) for group in most], table


def _at_their_best(parts: Sequence[GroupValues], higher: bool) -> GroupValues:
    """The outcome at each seed of the setting that is the best on the other seeds: chosen and judged apart."""
    sign, common = 1 if higher else -1, _mean(parts)
    seeds = [*common.values] if len(common.values) > 1 else []
    best = {
        seed: max(parts, key=lambda own: sign * fmean(own.values[s] for s in seeds if s != seed)) for seed in seeds
    }
    values = {seed: own.values[seed] for seed, own in best.items()}
    worst = {seed: own.worst[seed] for seed, own in best.items() if seed in own.worst}
    return replace(common, values=values, worst=worst)


def _identity(group: Group, keys: Sequence[str]) -> str:
    return json.dumps({key: group.settings[key] for key in keys if key in group.settings}, sort_keys=True)


def _mean(parts: Sequence[GroupValues]) -> GroupValues:
    """The mean outcome of each seed that all parts have."""
    seeds = [seed for seed in parts[0].values if all(seed in part.values for part in parts)]
    values = {seed: fmean(part.values[seed] for part in parts) for seed in seeds}
    worst = {seed: why for part in parts for seed, why in part.worst.items() if seed in values}
    absent = {seed: why for part in parts for seed, why in part.absent.items()}
    return GroupValues(values, worst, absent, chance=parts[0].chance)


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


def _named(candidates: Sequence[ComparedRuns], name: str) -> int:
    """The row that `--baseline` means: its label, the end of it, the name of its config or of one of its runs."""
    records = [[record for group in c.groups for record in group.runs.values()] for c in candidates]
    matches: list[Callable[[int], bool]] = [
        lambda i: candidates[i].label == name,
        lambda i: name in {record.name for record in records[i]},
        lambda i: name in {record.path.parent.name for record in records[i]},
        lambda i: name in {record.manifest.get("config", {}).get("name") for record in records[i]},
        lambda i: candidates[i].label.endswith(f" {name}"),
    ]
    several = False
    for matching in matches:
        if len(found := [i for i in range(len(candidates)) if matching(i)]) == 1:
            return found[0]
        several |= bool(found)
    labels = [candidate.label for candidate in candidates]
    reason = f"several rows are called {shown(name)}" if several else f"no row is called {shown(name)}"
    raise UsageError(f"--baseline: {reason}; expected {', '.join(map(shown, labels))}")


# --- notes -------------------------------------------------------------------------------------------------


def _notes(
    grouping: Grouping,
    candidates: Sequence[ComparedRuns],
    comparison: Comparison[int] | None,
    measure: Measure,
    sample: str,
    problems: Sequence[str],
    around: Mapping[str, Mapping[str, int]],
) -> list[str]:
    differing = grouping.differing
    notes = []
    if len(candidates) < 2:
        notes.append("one group: nothing to compare with; a group differs in nothing but the seed")
    if other := [key for key in VALIDATED_ON if key in differing]:
        notes.append(
            f"not the same data: {', '.join(other)} differ{'s' * (len(other) == 1)}, so the outcomes are measured on "
            "different images"
        )
    lengths = sorted({_epochs(group) for group in grouping.groups}) if "epochs" in differing else []
    if len(lengths) > 1 and measure.target is None and not isinstance(measure.at, int):
        advice = {
            "last": f"--at {lengths[0]} compares at the same epoch",
            "best": f"the best of the first {lengths[0]} counts",
            "area": "longer runs had more epochs",
        }[measure.at]
        notes.append(f"not the same epochs: {some([text(length) for length in lengths], 6)}; {advice}")
    if problems and sample == "best":
        notes.append(
            f"each row shows the best of its {len(problems)} settings of the other axes, "
            "chosen for each seed by the other seeds"
        )
    elif problems:
        notes.append(
            f"each row is the mean over {plural(len(problems), 'other setting')}; verdicts hold for "
            + ("settings like these" if sample == "problems" else "these settings, with the seeds as the sample")
        )
    if learned_nothing([own.outcomes for own in candidates], measure.rises):
        notes.append("no row is better than chance: more seeds will hardly help")
    if comparison is not None and sample != "problems":
        notes += _seed_notes(candidates, comparison)
    notes += _diverged_notes(candidates, measure)
    absent = {own.label: [*own.outcomes.absent.values()] for own in candidates if own.outcomes.absent}
    if len(absent) > FEW_ROWS:
        absent = {f"{len(absent)} groups": [reason for own in absent.values() for reason in own]}
    notes += [f"{label}: left out {some(reasons, 3)}" for label, reasons in absent.items()]
    if measure.at == "best" and measure.metric.startswith("val_"):
        notes.append("the best epoch is chosen on the images that it is measured on, so its outcome is optimistic")
    if measure.target is not None:
        notes += _horizon_note(grouping, candidates, measure)
    if grouping.repeated:
        names = [record.name for record in grouping.repeated]
        notes.append(f"left out, a run with the same settings and seed counts: {some(names, 3)}")
    if exact := [key for key in around if key.startswith(("numerics.", "versions.torch"))]:
        differ = "differs" if len(exact) == 1 else "differ"
        notes.append(f"{some(exact, 6)} {differ} between the runs, so equal seeds do not give equal digits")
    return notes


def _epochs(group: Group) -> int:
    """What trainings that differ in it were asked for; a loop that was watched has those that were made."""
    asked = group.settings.get("epochs")
    return max(len(record.rows()) for record in group.runs.values()) if asked is None else int(asked)


def learned_nothing(rows: Sequence[GroupValues], rises: bool) -> bool:
    """Whether the mean of every row is worse than the chance level, or better by less than ABOVE_CHANCE."""
    known = [(own.chance, own.values) for own in rows if own.values]
    sign = 1 if rises else -1
    return bool(known) and all(
        chance is not None and sign * (fmean(values.values()) - chance) < ABOVE_CHANCE for chance, values in known
    )


def _horizon_note(grouping: Grouping, candidates: Sequence[ComparedRuns], measure: Measure) -> list[str]:
    """Up to where times are compared, where trainings have other lengths."""
    lengths = {len(record.rows()) for group in grouping.groups for record in group.runs.values()}
    horizon = candidates[0].outcomes.horizon if candidates else None
    if horizon is None or len(lengths) < 2:
        return []
    unit = f"{horizon:.4g} {measure.until}"
    return [f"times are compared in the first {unit}, in which all trainings were watched; later counts as never"]


def _seed_notes(candidates: Sequence[ComparedRuns], comparison: Comparison[int]) -> list[str]:
    base = candidates[comparison.baseline.key]
    notes, unpaired, single, shared = [], dict[str, list[str]](), [], False
    for candidate, row in zip(candidates, comparison.rows, strict=True):
        if (contrast := row.difference) is None:
            continue
        own, other = set(candidate.outcomes.values), set(base.outcomes.values)
        common = len(own & other)
        if not contrast.paired:
            some_seeds = f"only {plural(common, 'seed')}" if common else "no seed"
            unpaired.setdefault(some_seeds, []).append(candidate.label)
        elif own != other:
            notes.append(
                f"{candidate.label} and {base.label} share {contrast.n} of {len(own | other)} seeds; only these are "
                "compared"
            )
        if contrast.interval is None and contrast.n < 2:
            single.append(candidate.label)
        shared = shared or contrast.shared
    for seeds, labels in unpaired.items():
        notes.append(f"{_one_or_number(labels)} and {base.label} share {seeds}: compared without pairs (Welch)")
    if single:
        records = [record for own in candidates for group in own.groups for record in group.runs.values()]
        loops = all(record.is_watched for record in records)
        again = "save each seed under the same name in another directory" if loops else "train with --seeds 5"
        single += [base.label] if len(single) > 1 and len(base.outcomes.values) == 1 else []
        notes.append(f"{_one_or_number(single)}: no interval with a single seed; {again}")
    if shared:
        notes.append(
            f"fewer than {FEW} seeds may agree by luck, so a verdict assumes that no row varies less than the average "
            "row"
        )
    return notes


def _one_or_number(labels: Sequence[str]) -> str:
    """The label of one group, the number of several."""
    return labels[0] if len(labels) == 1 else f"{len(labels)} groups"


def _diverged_notes(candidates: Sequence[ComparedRuns], measure: Measure) -> list[str]:
    """What the seeds that diverged count as: a line per row, or one for all where there are many."""
    found = {
        own.label: (count, len(own.outcomes.values))
        for own in candidates
        for ending, count in Counter(own.outcomes.worst.values()).items()
        if ending == "diverged" or measure.target is None
    }
    if len(found) > FEW_ROWS:
        lost, seeds = (sum(numbers) for numbers in zip(*found.values(), strict=True))
        found = {f"{len(found)} rows": (lost, seeds)}
    single, several = ("has", "have") if measure.target is not None else ("counts as", "count as")
    what = "no target" if measure.target is not None else "the chance level in differences and verdicts"
    return [
        f"{label}: {count} of {n} diverged and {single if count == 1 else several} {what}"
        for label, (count, n) in found.items()
    ]
