"""Tables and sentences of a comparison of runs: for the terminal, the pages and `--json`."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from optilab.numbers import Units, p_value
from optilab.proposals import Call
from optilab.runs import Record, Study, resume_command, sweep_of
from optilab.show.blocks import NextStep, Verdict
from optilab.show.table import Column, interval_columns, interval_values
from optilab.words import SEVERAL, plural, ranges, some

if TYPE_CHECKING:
    from optilab.judge.comparison import ComparedRuns, RunComparison
    from optilab.judge.judge import JudgedGroup, Judgment
    from optilab.judge.measure import Measure

MAX_CONFIRMED = 8
"""Settings that the command after an open answer trains again, at most."""
MAX_KEYS_LISTED = 8
"""Keys that a line about differences lists."""


def tuning(entries: Sequence[Record | Study]) -> dict[str, str]:
    """The trainings of benchmarks that settings were chosen by, each with the study's name; a page leaves them out."""
    made = [entry for entry in entries if isinstance(entry, Study)]
    studies = [study for study in made if study.manifest["command"] == "benchmark"]
    trials = ((study.name, trial) for study in studies for trial in study.ended)
    return {trial.name: name for name, trial in trials if trial.settings.get("stage") in ("tuning", "finalist")}


def tuning_notes(entries: Sequence[Record | Study]) -> list[str]:
    """A note about the part of a benchmark that is not shown."""
    return [
        f"{name}: the settings were chosen by {plural(count, 'training')} on held-out images, which are not shown; the "
        "verdicts hold for the settings that were chosen"
        for name, count in Counter(tuning(entries).values()).items()
    ]


def to_confirm(judgment: "Judgment[int]") -> int:
    """The number of best means that hold all rows that may be the best, at most MAX_CONFIRMED.

    `--confirm` counts rows by their means, without those that diverged.
    """
    verdicts = [row.verdict for row in judgment.ranked if not row.diverged]
    open_ = [place for place, verdict in enumerate(verdicts, 1) if verdict != "worse"]
    return min(MAX_CONFIRMED, max([2, *open_]))


def ranked(comparison: "RunComparison") -> "list[ComparedRuns]":
    """The rows, best first, then those without an outcome."""
    order = list(comparison.judgment.order) if comparison.judgment else []
    return [
        comparison.candidates[i]
        for i in [*order, *(i for i in range(len(comparison.candidates)) if i not in order)]
    ]


# --- what differs ------------------------------------------------------------------------------------------


def differences(comparison: "RunComparison") -> str:
    """A line about the settings that differ between the runs, and about what is equal."""
    from optilab.judge.groups import distinguishing_keys, value_text

    grouping = comparison.grouping
    varied = []
    settings_of_groups = [group.settings for group in grouping.groups]
    for key in distinguishing_keys(settings_of_groups):
        values = list(
            dict.fromkeys(value_text(settings[key]) if key in settings else "-" for settings in settings_of_groups)
        )
        varied.append(f"{key.removesuffix('.name')} ({some(values, SEVERAL)})")
    equal = [f"{len(grouping.shared)} settings"]
    seeds = [set(group.runs) for group in grouping.groups]
    if all(other == seeds[0] for other in seeds):
        equal.append(f"{'seed' if len(seeds[0]) == 1 else 'seeds'} {ranges(sorted(seeds[0]), SEVERAL)}")
    around = {key: values for key, values in comparison.circumstances.items() if key != "git.commit"}
    equal += [word for word in ("data", "versions", "host") if not any(k.startswith(f"{word}.") for k in around)]
    return f"differs: {some(varied, MAX_KEYS_LISTED) or 'nothing'}   equal: {', '.join(equal)}"


def other_circumstances(comparison: "RunComparison") -> list[str]:
    """Lines about versions, machines and the like that differ between the runs."""
    lines = []
    for key, numbers in comparison.circumstances.items():
        counts = [f"{value[:40]} in {plural(number, 'run')}" for value, number in numbers.items()]
        lines.append(f"also differs: {key} ({some(counts, SEVERAL)})")
    return lines


# --- the table ---------------------------------------------------------------------------------------------


_DIVERGED = (
    "the number of seeds that diverged, which count as the chance level in differences; in the mean if all did"
)
_REACHED = "the median epoch, and the first and the last, over the seeds that reached the target"
_INTERVAL = "the 95% interval of the mean by Student's t, of this row's seeds alone: with two or three it is wide"
_DIFFERENCE = "this mean less that of {}{}, over the seeds that both have"
_DIFFERENCES = "these intervals hold together: in 95 of 100 such tables no difference is outside its interval"
_WON = "the fraction of the seeds on which the row is better than {}; a tie counts as half"
_P = "how probable a difference of at least this size is where there is none, adjusted for the number of rows"
_VERDICT = "cannot tell: the interval of the difference contains 0"
_MORE = "about how many until the difference, if it is real, gives a verdict with a probability of 80%"


def columns(comparison: "RunComparison") -> list[Column]:
    """The columns of the table; those of a narrow terminal are fewer."""
    judgment = comparison.judgment
    base = (
        "the best" if judgment is None or judgment.chosen else comparison.candidates[judgment.baseline.key].label
    )
    confidence = "95%" if judgment is None else judgment.confidence
    failed = judgment is not None and any(row.diverged for row in judgment.rows)
    measure = comparison.measure
    show, timed, metric = Units(measure.is_fraction), measure.target is not None, measure.name
    better = "higher" if measure.higher_is_better else "lower"
    points = ", in percentage points" if measure.is_fraction else ""
    return [
        Column("group", "group", left=True),
        *(Column(key, key, only="values") for key in comparison.grouping.differing),
        Column("n", "n", plain="seeds", about="the number of seeds that were trained"),
        *([Column("diverged", "diverged", about=_DIVERGED)] if failed else []),
        *([Column("reached", metric, detail=1, about=_REACHED)] if timed else []),
        Column(
            "mean",
            "mean" if timed else metric,
            show.value,
            about=f"the mean over the seeds; {better} is better",
            early=True,
        ),
        Column(
            "std",
            "std",
            show.spread,
            detail=4,
            folded=True,
            about=f"the standard deviation over the seeds{points}",
        ),
        *interval_columns("", show.interval, detail=3, about=_INTERVAL),
        Column("difference", f"against {base}", show.difference, about=_DIFFERENCE.format(base, points)),
        *interval_columns(
            "difference_", show.differences, heading=f"{confidence} of difference", about=_DIFFERENCES
        ),
        Column("won", "won", "{:.0%}".format, detail=5, folded=True, plain="seeds won", about=_WON.format(base)),
        Column("p", "p", p_value, detail=6, folded=True, plain="p value", about=_P),
        Column("verdict", "verdict", left=True, about=_VERDICT, early=True),
        Column("more", "more seeds", "{:,}".format, detail=1, folded=True, plain="more seeds needed", about=_MORE),
    ]


def rows(comparison: "RunComparison") -> list[dict[str, Any]]:
    """The values of the table, best first, then the groups without an outcome."""
    judgment = comparison.judgment
    if judgment is None:
        return [{"group": candidate.label, "n": 0, "verdict": "no outcome"} for candidate in comparison.candidates]
    table = []
    for i in [*judgment.order, *(row.key for row in judgment.rows if not row.values)]:
        candidate, judged = comparison.candidates[i], judgment.rows[i]
        row = {"group": candidate.label, **candidate.settings, **judged_values(judged)}
        row |= {"diverged": judged.diverged, "std": judged.summary.std, "reached": _reached(candidate)}
        if (difference := judged.difference) is not None:
            tested = difference.p if difference.n > 1 else None  # a single seed tests nothing
            row |= {"won": difference.won, "p": tested, "more": difference.more or None}
        table.append(row)
    return table


def judged_values(row: "JudgedGroup[Any]") -> dict[str, Any]:
    """The values of a judged row in every table: its mean and its difference, each with the interval."""
    summary, difference = row.summary, row.difference
    values = {"n": len(row.values), "mean": summary.mean if summary.n else None}
    values |= interval_values("", summary.interval) | {"verdict": row.verdict}
    if difference is not None:
        values |= {"difference": difference.difference} | interval_values("difference_", difference.interval)
    return values


def _reached(candidate: "ComparedRuns") -> str | None:
    """`3 (2 to 4)`: median and range of those that reached the target, and how many never did."""
    outcomes = candidate.outcomes
    values = [value for seed, value in outcomes.values.items() if seed not in outcomes.imputed]
    never = f"never in {len(outcomes.imputed)} of {len(outcomes.values)}" if outcomes.imputed else ""
    if not values:
        return never or None
    some = f"{median(values):g} ({min(values):g} to {max(values):g})"
    return f"{some}, {never}" if never else some


# --- words -------------------------------------------------------------------------------------------------


def verdict_of(comparison: "RunComparison") -> Verdict:
    """The answer: which row is ahead and what it reaches, and the clauses on the others and on more seeds."""
    measure = comparison.measure
    if comparison.judgment is None:
        return Verdict("no run has an outcome yet")
    if comparison.unreached:
        return Verdict(f"{measure.name}: no run reached it", "; choose an easier target, or train longer")
    judgment = comparison.judgment.named(_labels(comparison))
    if not judgment.chosen and len(judgment.order) > 1:
        return _answer_vs_baseline(judgment, measure)
    claim, rest = best_clauses(judgment, measure, measure.name)
    if judgment.chosen and not comparison.no_better_than_chance:
        rest += more_advice(judgment, "seeds")
    return Verdict(claim, rest)


def best_clauses(judgment: "Judgment[str]", measure: "Measure", metric: str) -> tuple[str, str]:
    """The best mean with its interval, and how far it is ahead and of what."""
    best, show = judgment.baseline, Units(measure.is_fraction)
    interval = f" (95% interval {show.interval(best.summary.interval)})" if best.summary.interval else ""
    assumed = ", the value of what diverged" if best.diverged and best.diverged == len(best.values) else ""
    measured = f"{show.value(best.summary.mean)}{interval}{assumed}"
    others = [row for row in judgment.ranked if row is not best]
    if not others:
        return f"{best.key}: {metric} {measured}", "; nothing to compare it with"
    ahead = f", {_ahead(best, others[0], show)}"
    possible = [row.key for row in others if row.verdict != "worse"]
    if not possible:
        of = f" of these {len(others) + 1}" if len(others) > 1 else ""
        return f"{best.key} is the best{of} by {metric}: {measured}", ahead
    many = "either of the others" if len(possible) == len(others) == 2 else f"any of the {len(others)} others"
    many = many if len(possible) == len(others) else f"{len(possible)} of the {len(others)} others"
    rest = f"; cannot tell it from {possible[0] if len(possible) == 1 else many}"
    word, top = ("highest", max) if measure.higher_is_better else ("lowest", min)
    # A row with too few seeds to be the reference may have a better mean.
    is_overtaken = best.summary.mean != top(row.summary.mean for row in judgment.ranked)
    few = " of the rows with several seeds" if is_overtaken else ""
    return f"{best.key} has the {word} {metric}{few}: {measured}", ahead + rest


def _ahead(best: "JudgedGroup[str]", second: "JudgedGroup[str]", show: "Units") -> str:
    """The distance of the best row from the next."""
    both, shared = second.difference, ""
    gap = both.difference if both else second.summary.mean - best.summary.mean
    if not gap:
        return f"the same as {second.key}"
    if both and both.paired and both.n < max(second.summary.n, best.summary.n):
        shared = f" on the {plural(both.n, 'shared seed')}"
    return f"{show.distance(abs(gap))} {'below' if gap > 0 else 'above'} {second.key}{shared}"


def _answer_vs_baseline(judgment: "Judgment[str]", measure: "Measure") -> Verdict:
    """The answer where a baseline was named: what is better than it, and what both reach."""
    base, show = judgment.baseline, Units(measure.is_fraction)
    rows = [row for row in judgment.ranked if row is not base]
    named = {word: [row.key for row in rows if row.verdict == word] for word in ("better", "worse", "cannot tell")}
    better = named.pop("better")
    claim = f"{some(better, SEVERAL) or 'no row'} {'are' if len(better) > 1 else 'is'} better than {base.key}"
    if not any(row.difference and row.difference.n > 1 for row in rows):
        claim, named = "one seed gives no verdict, three may;", {}
    reached = [f"{row.key} {show.value(row.summary.mean)}" for row in (rows[0], base)]
    rest = [f"; {word}: {some(names, SEVERAL)}" for word, names in named.items() if names]
    return Verdict(f"{claim} by {measure.name}: {', '.join(reached)}", "".join(rest))


def _labels(comparison: "RunComparison") -> list[str]:
    """The names of the rows in a sentence: in quotes where one has a comma."""
    labels = [candidate.label for candidate in comparison.candidates]
    return [f'"{label}"' for label in labels] if any("," in label for label in labels) else labels


def max_gain(comparison: "RunComparison") -> list[str]:
    """The most that could be gained by choosing another row that may be the best; nothing where the best is known."""
    judgment, measure = comparison.judgment, comparison.measure
    if judgment is None or not judgment.chosen:
        return []
    possible = (row.difference for row in judgment.ranked if row.verdict != "worse" and row.difference)
    intervals = [difference.interval for difference in possible if difference.interval]
    if not intervals:
        return []
    most = max(high if measure.higher_is_better else -low for low, high in intervals)
    base = _labels(comparison)[judgment.baseline.key]
    gain = Units(measure.is_fraction).distance(most)
    return [f"at most {gain} could be gained by choosing another row than {base}, by these intervals"]


# --- what follows the comparison ---------------------------------------------------------------------------


def again_by(comparison: "RunComparison") -> str:
    """A sentence on the new trainings of a sweep's best settings."""
    from optilab.runs.metrics import TESTED

    seeds = sorted({seed for group in comparison.grouping.groups for seed in group.runs})
    held_out = any(run.manifest.get("config", {}).get("data", {}).get("holdout") for run in comparison.records)
    images = "validation images held out" if held_out else "the test set, which was also used to choose them"
    images = "the test set" if comparison.measure.metric in TESTED else images
    count = plural(len(comparison.candidates), "setting")
    return f"the best {count} again, from the new seeds {ranges(seeds, SEVERAL)}, on {images}"


def next_step(comparison: "RunComparison", entries: "Sequence[Record | Study]") -> NextStep | None:
    """The command that follows a comparison: what limits the best, or the trainings that could tell it from others.

    None where no row has an outcome, and for loops that were watched.
    """
    from optilab.config.study import MAX_SEEDS
    from optilab.judge.groups import request_of
    from optilab.study.sweep import new_seeds

    judgment = comparison.judgment
    if judgment is None or any(record.is_watched for record in comparison.records):
        return None
    better = [row.key for row in judgment.ranked if row.verdict == "better"]
    best = comparison.best_group([*better, *judgment.order][0])
    diagnose = Call("diagnose", [next(iter(best.runs.values())).path])
    if comparison.no_better_than_chance:
        return NextStep("says why nothing is learned", diagnose)  # which no seed changes
    study = entries[0] if len(entries) == 1 and isinstance(entries[0], Study) else None
    plain = comparison.measure.at == "last" and comparison.measure.target is None and not comparison.other_settings
    grows = study and plain and study.state == "done"
    if study and grows and not better and len(judgment.possible_best) > 1:
        command, confirmed = str(study.manifest["command"]), sweep_of(study.path) is not None
        again = partial(resume_command, study.path, command)
        if command == "sweep" and not confirmed and not study.confirmation:
            count, new = to_confirm(judgment), new_seeds(request_of(study))
            work = f"trains the {count} settings with the best means again, each from {new} new seeds"
            return NextStep(f"{work}: {plural(count * new, 'training')}", again(confirm=count))
        closest, seeds = judgment.affordable, max(len(group.runs) for group in comparison.grouping.groups)
        if command in ("sweep", "remedy") and closest and seeds + closest.more <= MAX_SEEDS:
            work = f"trains {plural(closest.more, 'more seed')} of each of these {len(comparison.candidates)}"
            purpose = purpose_of_more(judgment.named(_labels(comparison)))
            larger: Any = {"confirm_seeds" if confirmed else "seeds": seeds + closest.more}
            return NextStep(f"{work} to {purpose}", again(**larger))
    return NextStep(f"says what limits {'the best' if len(judgment.order) > 1 else 'it'}", diagnose)


def more_advice(judgment: "Judgment[str]", sample: str) -> str:
    """A clause on the number of seeds that would exclude the first of the candidates, if the difference is real, or
    that these would cost too much."""
    if (closest := judgment.affordable) is None:
        return "; too close to tell at this cost" if judgment.closest else ""
    number, purpose = plural(closest.more, f"further {sample.removesuffix('s')}"), purpose_of_more(judgment)
    return f"; if the difference is real, {number} would, with a probability of 80%, {purpose}"


def purpose_of_more(judgment: "Judgment[str]") -> str:
    """The purpose of these seeds, as a clause."""
    closest, rows = judgment.closest, judgment.ranked
    if closest is None or len(judgment.possible_best) == 2:
        return "tell them apart"
    word = "better" if rows.index(closest) < rows.index(judgment.baseline) else "worse"
    return f"show that {closest.key} is {word}"
