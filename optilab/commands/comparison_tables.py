"""What a comparison of runs says, in tables and sentences: for the terminal, the pages and `--json`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from optilab.call import Call
from optilab.runs import Record, Study, resume_command, sweep_of
from optilab.show.blocks import NextStep
from optilab.show.table import Column, Interval, interval_columns, interval_values
from optilab.words import percent, plural, points, ranges, some

if TYPE_CHECKING:
    from optilab.study.comparison import ComparedRuns, RunComparison
    from optilab.study.judge import Comparison

MOST_CONFIRMED = 8
"""Settings that the command after an open answer trains again, at most."""
FEW = 6
"""Values of one key, or labels, that a line lists."""


def tuning(entries: Sequence[Record | Study]) -> dict[str, str]:
    """The trainings of races that settings were chosen by, those of remedies included, each with the race's name; a
    page leaves them out."""
    commands = ("race", "remedy")
    races = [entry for entry in entries if isinstance(entry, Study) and entry.manifest["command"] in commands]
    rows = ((study.name, row) for study in races for row in study.trials())
    return {str(row["trial"]): name for name, row in rows if row.get("stage") in ("tuning", "finalist")}


def tuning_notes(entries: Sequence[Record | Study]) -> list[str]:
    """A note about the part of a race that is not shown."""
    return [
        f"{name}: the settings were chosen by {plural(count, 'training')} on held-out images, which are not shown; the "
        "verdicts hold for the settings that were chosen"
        for name, count in Counter(tuning(entries).values()).items()
    ]


def to_confirm(comparison: "Comparison[int]") -> int:
    """The number of best means that hold all rows that may be the best, at most MOST_CONFIRMED.

    `--confirm` counts rows by their means, without those that diverged.
    """
    verdicts = [row.verdict for row in comparison.ranked if not row.diverged]
    open_ = [place for place, verdict in enumerate(verdicts, 1) if verdict != "worse"]
    return min(MOST_CONFIRMED, max([2, *open_]))


def ranked(side: "RunComparison") -> "list[ComparedRuns]":
    """The rows, best first, then those without an outcome."""
    order = list(side.comparison.order) if side.comparison else []
    return [side.candidates[i] for i in [*order, *(i for i in range(len(side.candidates)) if i not in order)]]


# --- what differs ------------------------------------------------------------------------------------------


def differences(side: "RunComparison") -> list[str]:
    """Which settings, versions and the like differ between the runs, and how much is equal."""
    from optilab.study.groups import distinguishing_keys, text

    grouping = side.grouping
    varied = []
    own = [group.settings for group in grouping.groups]
    for key in distinguishing_keys(grouping.differing, own):
        values = list(dict.fromkeys(text(settings[key]) if key in settings else "-" for settings in own))
        varied.append(f"{key.removesuffix('.name')} ({some(values, FEW)})")
    equal = [f"{len(grouping.shared)} settings"]
    seeds = [set(group.runs) for group in grouping.groups]
    if all(own == seeds[0] for own in seeds):
        equal.append(f"{'seed' if len(seeds[0]) == 1 else 'seeds'} {ranges(sorted(seeds[0]), FEW)}")
    around = {key: values for key, values in side.circumstances.items() if key != "git.commit"}
    equal += [word for word in ("data", "versions", "host") if not any(k.startswith(f"{word}.") for k in around)]
    lines = [f"differs: {', '.join(varied) or 'nothing'}   equal: {', '.join(equal)}"]
    for key, numbers in side.circumstances.items():
        counts = [f"{value[:40]} in {plural(number, 'run')}" for value, number in numbers.items()]
        lines.append(f"also differs: {key} ({some(counts, FEW)})")
    return lines


# --- the table ---------------------------------------------------------------------------------------------


_DIVERGED = "the number of seeds whose loss became infinite or NaN; they count as the chance level in differences"
_REACHED = "the median epoch, and the first and the last, over the seeds that reached the target"
_INTERVAL = "the 95% interval of the mean by Student's t, of this row's seeds alone: with two or three it is wide"
_DIFFERENCE = "this mean less that of {}{}, over the seeds that both have"
_DIFFERENCES = "these intervals hold together: in 95 of 100 such tables no difference is outside its interval"
_WON = "the fraction of the seeds on which the row is better than {}; a tie counts as half"
_P = "how probable a difference of at least this size is where there is none, adjusted for the number of rows"
_VERDICT = "cannot tell: the interval of the difference contains 0"
_MORE = "about how many until the difference, if it is real, gives a verdict with a probability of 80%"


def columns(side: "RunComparison") -> list[Column]:
    """The columns of the table; those of a narrow terminal are fewer."""
    show = Units(side.measure.is_fraction)
    comparison = side.comparison
    base = (
        "the best" if comparison is None or comparison.chosen else side.candidates[comparison.baseline.key].label
    )
    confidence = "95%" if comparison is None else comparison.confidence
    timed, what = side.measure.target is not None, side.measure.name
    failed = comparison is not None and any(row.diverged for row in comparison.rows)
    better = "higher" if side.measure.higher_is_better else "lower"
    points = ", in percentage points" if side.measure.is_fraction else ""
    return [
        Column("group", "group", left=True),
        *(Column(key, key, only="values") for key in side.grouping.differing),
        Column("n", "n", plain="seeds", about="the number of seeds that were trained"),
        *([Column("diverged", "diverged", about=_DIVERGED)] if failed else []),
        *([Column("reached", what, detail=1, about=_REACHED)] if timed else []),
        Column(
            "mean", "mean" if timed else what, show.value, about=f"the mean over the seeds; {better} is better"
        ),
        Column("std", "std", show.spread, detail=4, about=f"the standard deviation over the seeds{points}"),
        *interval_columns("", show.interval, detail=3, about=_INTERVAL),
        Column("difference", f"against {base}", show.difference, about=_DIFFERENCE.format(base, points)),
        *interval_columns(
            "difference_", show.differences, heading=f"{confidence} of difference", about=_DIFFERENCES
        ),
        Column("won", "won", "{:.0%}".format, detail=5, plain="seeds won", about=_WON.format(base)),
        Column("p", "p", _p, detail=6, plain="p value", about=_P),
        Column("verdict", "verdict", left=True, about=_VERDICT),
        Column("more", "more seeds", "{:,}".format, detail=1, plain="more seeds needed", about=_MORE),
    ]


def rows(side: "RunComparison") -> list[dict[str, Any]]:
    """The values of the table, best first, then the groups without an outcome."""
    comparison = side.comparison
    if comparison is None:
        return [{"group": candidate.label, "n": 0, "verdict": "no outcome"} for candidate in side.candidates]
    table = []
    for i in [*comparison.order, *(row.key for row in comparison.rows if not row.values)]:
        candidate, own = side.candidates[i], comparison.rows[i]
        summary, contrast = own.summary, own.difference
        row: dict[str, Any] = {"group": candidate.label, "n": len(own.values), **candidate.settings}
        row["diverged"] = own.diverged
        row |= {"mean": summary.mean if summary.n else None, "std": summary.std}
        row |= interval_values("", summary.interval) | {"reached": _reached(candidate)}
        if contrast is not None:
            row |= {"difference": contrast.difference} | interval_values("difference_", contrast.interval)
            tested = contrast.p if contrast.n > 1 else None  # a single seed tests nothing
            row |= {"won": contrast.won, "p": tested, "more": contrast.more or None}
        row["verdict"] = own.verdict
        table.append(row)
    return table


def _reached(candidate: "ComparedRuns") -> str | None:
    """`3 (2 to 4)`: median and range of those that reached the target, and how many never did."""
    taken = candidate.outcomes
    values = [value for seed, value in taken.values.items() if seed not in taken.imputed]
    never = f"never in {len(taken.imputed)} of {len(taken.values)}" if taken.imputed else ""
    if not values:
        return never or None
    some = f"{median(values):g} ({min(values):g} to {max(values):g})"
    return f"{some}, {never}" if never else some


class Units:
    """How outcomes and differences of outcomes are shown: shares in per cent, other numbers with four digits."""

    def __init__(self, share: bool) -> None:
        self.share = share

    def value(self, value: float) -> str:
        return percent(value) if self.share else f"{value:.4g}"

    def spread(self, value: float) -> str:
        return points(value) if self.share else f"{value:.3g}"

    def interval(self, ends: tuple[float, float]) -> str:
        low, high = (min(1.0, max(0.0, end)) for end in ends) if self.share else ends
        return f"{self.spread(low)} to {self.spread(high)}" if self.share else f"{low:.4g} to {high:.4g}"

    def difference(self, value: float) -> str:
        shown = points(value, "+") if self.share else f"{value:+.3g}"
        return shown if float(shown) else shown[1:]  # no sign of a zero

    def differences(self, ends: tuple[float, float]) -> str:
        low, high = (min(1.0, max(-1.0, end)) for end in ends) if self.share else ends
        ends = low, high
        return " to ".join(map(self.difference, ends))


def whole_percents(ends: Interval) -> str:
    """An interval of fractions, in whole per cent."""
    return f"{100 * ends[0]:.0f} to {100 * ends[1]:.0f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


# --- words -------------------------------------------------------------------------------------------------


def verdict(side: "RunComparison") -> str:
    """The answer in one sentence, with how many more seeds would say more."""
    return "".join(verdict_parts(side))


def verdict_parts(side: "RunComparison") -> tuple[str, str]:
    """The claim of the verdict, and what limits it."""
    from optilab.study.comparison import no_better_than_chance

    claim, rest = claim_and_rest(side)
    if (
        side.comparison is not None
        and side.comparison.chosen
        and len(side.comparison.order) > 1
        and not side.unreached
        and not no_better_than_chance(
            [own.outcomes for own in side.candidates], side.measure.metric_higher_is_better
        )
    ):
        rest += more_advice(side.comparison, "seeds", dict(enumerate(_labels(side))))
    return claim, rest


def claim_and_rest(side: "RunComparison") -> tuple[str, str]:
    """The answer: which row is ahead and what it reaches, and the clauses on the others."""
    comparison, labels = side.comparison, _labels(side)
    if comparison is None:
        return "no run has an outcome yet", ""
    if side.unreached:
        return f"{side.measure.name}: no run reached it", "; choose an easier target, or train longer"
    if len(comparison.order) < 2:
        alone = f"{labels[comparison.order[0]]}: {side.measure.name} {_measured(side)}"
        return alone, "; nothing to compare it with"
    what, base = side.measure.name, labels[comparison.baseline.key]
    if comparison.chosen:
        ahead = f", {_ahead(side, labels)}"
        alike = [labels[i] for i in comparison.possible_best if i != comparison.baseline.key]
        if not alike:
            rows = len(comparison.order)
            of = f" of these {rows}" if rows > 2 else ""
            return f"{base} is the best{of} by {what}: {_measured(side)}", ahead
        others = len(comparison.order) - 1
        many = "either of the others" if len(alike) == others == 2 else f"any of the {others} others"
        many = many if len(alike) == others else f"{len(alike)} of the {others} others"
        rest = f"; cannot tell it from {alike[0] if len(alike) == 1 else many}"
        word = "highest" if side.measure.higher_is_better else "lowest"
        few = " of the rows with several seeds" if _is_passed(comparison, side.measure.higher_is_better) else ""
        return f"{base} has the {word} {what}{few}: {_measured(side)}", ahead + rest
    return _against(side, labels)


def _against(side: "RunComparison", labels: Sequence[str]) -> tuple[str, str]:
    """The answer where a baseline was named: what is better than it, and what both reach."""
    comparison = side.comparison
    assert comparison is not None
    base = labels[comparison.baseline.key]
    show, rows = (
        Units(side.measure.is_fraction),
        [row for row in comparison.ranked if row is not comparison.baseline],
    )
    named = {
        word: [labels[row.key] for row in rows if row.verdict == word]
        for word in ("better", "worse", "cannot tell")
    }
    better, verb = named.pop("better"), "is" if sum(row.verdict == "better" for row in rows) == 1 else "are"
    claim = f"{some(better, FEW)} {verb} better than {base}" if better else f"no row is better than {base}"
    reached = [f"{labels[row.key]} {show.value(row.summary.mean)}" for row in (rows[0], comparison.baseline)]
    rest = [f"; {word}: {some(names, FEW)}" for word, names in named.items() if names]
    return f"{claim} by {side.measure.name}: {', '.join(reached)}", "".join(rest)


def _labels(side: "RunComparison") -> list[str]:
    """The names of the rows in a sentence: in quotes where one has a comma."""
    labels = [candidate.label for candidate in side.candidates]
    return [f'"{label}"' for label in labels] if any("," in label for label in labels) else labels


def _is_passed(comparison: "Comparison[int]", higher: bool) -> bool:
    """Whether a row with too few seeds to be the yardstick has a better mean than the best of the others."""
    means = [row.summary.mean for row in comparison.ranked if row.summary.n]
    return comparison.baseline.summary.mean != (max(means) if higher else min(means))


def _measured(side: "RunComparison") -> str:
    """The mean of the best row with its interval."""
    assert side.comparison is not None
    summary, show = side.comparison.baseline.summary, Units(side.measure.is_fraction)
    interval = f" (95% interval {show.interval(summary.interval)})" if summary.interval else ""
    return f"{show.value(summary.mean)}{interval}"


def _ahead(side: "RunComparison", labels: Sequence[str]) -> str:
    """How far the best row is from the next."""
    assert side.comparison is not None
    best = side.comparison.baseline
    second = next(row for row in side.comparison.ranked if row.key != best.key)
    apart = second.difference.difference if second.difference else second.summary.mean - best.summary.mean
    if not apart:
        return f"the same as {labels[second.key]}"
    size = f"{points(abs(apart))} percentage points" if side.measure.is_fraction else f"{abs(apart):.3g}"
    both, shared = second.difference, ""
    if both and both.paired and both.n < max(second.summary.n, best.summary.n):
        shared = f" on the {plural(both.n, 'shared seed')}"
    return f"{size} {'below' if apart > 0 else 'above'} {labels[second.key]}{shared}"


def at_stake(side: "RunComparison") -> list[str]:
    """How much better the others that may be the best are at most; nothing where the best is known."""
    comparison, labels, higher = side.comparison, _labels(side), side.measure.higher_is_better
    if comparison is None or not comparison.chosen:
        return []
    possible = [
        row.difference for row in comparison.ranked if row.key in comparison.possible_best and row.difference
    ]
    ends = [(own.interval[1] if higher else -own.interval[0]) for own in possible if own.interval]
    if not ends:
        return []
    most = f"{points(max(ends))} percentage points" if side.measure.is_fraction else f"{max(ends):.3g}"
    base = labels[comparison.baseline.key]
    many = f"of these {len(comparison.order)}, none is"
    return [f"at stake: {many} more than {most} better than {base}, by these intervals"]


# --- what follows the comparison ---------------------------------------------------------------------------


def again_by(side: "RunComparison") -> str:
    """How the best settings of a sweep were trained again."""
    from optilab.runs.metrics import TESTED

    seeds = sorted({seed for group in side.grouping.groups for seed in group.runs})
    held_out = any(run.manifest.get("config", {}).get("data", {}).get("holdout") for run in side.records)
    images = "validation images held out" if held_out else "the test set, which was also used to choose them"
    images = "the test set" if side.measure.metric in TESTED else images
    count = plural(len(side.candidates), "setting")
    return f"the best {count} again, from the new seeds {ranges(seeds, FEW)}, on {images}"


def next_step(side: "RunComparison", entries: "Sequence[Record | Study]") -> NextStep | None:
    """The command that follows a comparison: what limits the best, or the trainings that could tell it from others.

    None where no row has an outcome, and for loops that were watched.
    """
    from optilab.config.study import MAX_SEEDS
    from optilab.study.comparison import no_better_than_chance
    from optilab.study.groups import request_of
    from optilab.study.sweep import new_seeds

    found = side.comparison
    if found is None or any(record.is_watched for record in side.records):
        return None
    better = [row.key for row in found.ranked if row.verdict == "better"]
    best = side.candidates[[*better, *found.order][0]].groups[0]
    diagnose = Call("diagnose", [next(iter(best.runs.values())).path])
    if no_better_than_chance(
        [candidate.outcomes for candidate in side.candidates], side.measure.metric_higher_is_better
    ):
        return NextStep(diagnose, "says why nothing is learned")  # which no seed changes
    study = entries[0] if len(entries) == 1 and isinstance(entries[0], Study) else None
    plain = side.measure.at == "last" and side.measure.target is None and not side.problems
    if study and plain and study.state == "done" and not better and len(found.possible_best) > 1:
        command, confirmed = str(study.manifest["command"]), sweep_of(study.path) is not None
        again = partial(resume_command, study.path, "resume", command)
        if command == "sweep" and not confirmed and not study.confirmation:
            count, new = to_confirm(found), new_seeds(request_of(study))
            what = f"trains the {count} settings with the best means again, each from {new} new seeds"
            return NextStep(again(confirm=count), f"{what}: {plural(count * new, 'training')}")
        more, seeds = further_seeds(found), max(len(group.runs) for group in side.grouping.groups)
        if command in ("sweep", "remedy") and more and seeds + more <= MAX_SEEDS:
            what = f"trains {plural(more, 'more seed')} of each of these {len(side.candidates)}"
            larger: Any = {"confirm_seeds" if confirmed else "seeds": seeds + more}
            return NextStep(again(**larger), f"{what} to {what_they_show(found, dict(enumerate(_labels(side))))}")
    return NextStep(diagnose, f"says what limits {'the best' if len(found.order) > 1 else 'it'}")


def _closest(comparison: "Comparison[Any]") -> "tuple[Any, int] | None":
    """The row that the fewest more seeds would tell from the best, and their number; None where no number would."""
    numbers = {
        row.key: row.difference.more
        for row in comparison.ranked
        if row.verdict != "worse" and row.difference and row.difference.more
    }
    return min(numbers.items(), key=lambda pair: pair[1], default=None)


def further_seeds(comparison: "Comparison[Any]") -> int:
    """How many more seeds would tell that difference, if it is real; 0 where no number would."""
    return (_closest(comparison) or (None, 0))[1]


def more_advice(comparison: "Comparison[Any]", sample: str, labels: Mapping[Any, str] | None = None) -> str:
    """How many more seeds would exclude the first of the candidates, if the difference is real; `labels` name the rows,
    where their keys do not."""
    if (closest := _closest(comparison)) is None:
        return ""
    _, count = closest
    number = f"{count:,} further {sample.removesuffix('s') if count == 1 else sample}"
    shown = what_they_show(comparison, labels)
    return f"; if the difference is real, {number} would, with a probability of 80%, {shown}"


def what_they_show(comparison: "Comparison[Any]", labels: Mapping[Any, str] | None) -> str:
    """What those seeds would do."""
    closest = _closest(comparison)
    if closest is None or len(comparison.possible_best) == 2:
        return "tell them apart"
    return f"show that {labels[closest[0]] if labels else closest[0]} is worse"
