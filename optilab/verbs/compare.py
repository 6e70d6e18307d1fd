"""`optilab runs compare`: groups of runs side by side, with verdicts; also the end of a study."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_doc import Doc

from optilab import runs
from optilab.config.marks import Argument, Flag, Needs
from optilab.errors import DataError, UsageError, shown, unknown
from optilab.runs import Record, Study
from optilab.show.table import Column, Table
from optilab.verbs.answer import Answer, Part, Sentence, Verbatim
from optilab.verbs.options import QUIET, RUN_NAMES, FolderOptions, FormatOptions, OutputOptions
from optilab.verbs.verb import Place, Request, Verb
from optilab.words import plural, ranges, some

if TYPE_CHECKING:
    from optilab.show.chart import Chart
    from optilab.study.comparison import ComparedRuns, Comparison, RunComparison
    from optilab.study.groups import Selection

MOST = 12
"""Groups that a picture shows: the best ones by the comparison."""
SAMPLES = ("seeds", "problems", "best")
FEW = 6
"""Values of one key, or labels, that a line lists."""


class ComparisonOptions(Request):
    """What groups of runs are compared by."""

    GROUP: ClassVar[str] = "What to compare"

    metric: Annotated[
        str | None,
        Flag("NAME"),
        Doc("A column of metrics.csv, seconds, test_acc or test_loss [val_acc; of a race test_acc]"),
    ] = "val_acc"
    at: Annotated[str, Flag("EPOCH"), Doc("last, best, an epoch, or area: the mean over the epochs")] = "last"
    target: Annotated[float | None, Flag("X"), Doc("Compare by when the metric first reaches X")] = None
    until: Annotated[str, Flag("UNIT"), Needs("target"), Doc("With --target: epochs or seconds")] = "epochs"
    baseline: Annotated[
        str | None, Flag("NAME"), Doc("Compare with this group: its label, config or run [the best group]")
    ] = None
    by: Annotated[
        str | None, Flag("KEY,..."), Doc("Rows differ in these keys; average over the other settings")
    ] = None
    RENAMED: ClassVar[Mapping[str, str]] = {"--over": "--sample"}
    over: Annotated[
        str,
        Flag("WHAT", names=("--sample",)),
        Needs("by"),
        Doc(
            "With --by: verdicts for other seeds, for other problems, or best: each row at its best other settings"
        ),
    ] = "seeds"
    pairs: Annotated[bool, Doc("Compare all rows with each other, too: those that share a letter are alike")] = (
        False
    )


class CompareRuns(ComparisonOptions, FormatOptions, FolderOptions, OutputOptions):
    """Compare trainings: what differs, the outcome of each group over its seeds, and verdicts."""

    EXAMPLES = (
        "optilab runs compare 'relu-*' 'tanh-*'",
        "optilab runs compare remedies --metric val_loss --at best --baseline sigmoid",
        "optilab runs compare lr-sweep --target 0.8 --format latex",
    )

    names: Annotated[list[str], Argument("RUN...", complete="run"), RUN_NAMES]
    quiet: Annotated[
        bool,
        QUIET,
        Doc("Print the groups that can be the best and nothing else"),
    ] = False


def compare(request: CompareRuns, place: Place) -> "LabComparison":
    """A race is compared by its evaluated trainings, and by the test set unless `metric` is another."""
    entries, selection, metric = judged_runs(place.folder, request.names, request.given.get("metric"))
    return LabComparison(compared(selection, metric, request), entries)


def compared(selection: "Selection", metric: str, options: ComparisonOptions | None = None) -> "RunComparison":
    """The comparison that options ask for. UsageError for what they do not accept."""
    from optilab.study.comparison import compare_runs
    from optilab.study.groups import read_measure

    options = options or ComparisonOptions.of({})
    measure = read_measure(metric, str(options.at), options.target, options.until)
    if options.over not in SAMPLES:
        raise UsageError(unknown("sample", options.over, SAMPLES), options.flag("over"))
    records, notes = selection.records, selection.notes
    if not records:
        raise UsageError("\n".join(["nothing to compare: the study has no run yet", *notes]))
    keys: Any = options.by or ()
    by = [key.strip() for key in keys.split(",")] if isinstance(keys, str) else list(keys)
    if "by" in options.given and (not all(by) or len(set(by)) < len(by) or not by):
        raise UsageError(f"expected keys, each once; got {shown(options.by)}", options.flag("by"))
    return compare_runs(records, measure, options.baseline, by, options.over, notes, options.pairs)  # type: ignore[arg-type]


def judged_runs(
    folder: Path, names: Sequence[str], metric: str | None
) -> tuple[list[Record | Study], "Selection", str]:
    """The runs and studies that names mean, the trainings to compare, and the metric.

    For a race those are the judged trainings, not those of its tuning, by the test set unless `metric` is another.
    """
    from optilab.study.groups import Selection, select_from

    entries = [runs.read_entry(entry) for entry in runs.select(folder, names)]
    tuned = tuning(entries)
    found = select_from(entries, confirmations=False)
    records = [record for record in found.records if record.name not in tuned]
    return entries, Selection(records, found.left_out), metric or ("test_acc" if tuned else "val_acc")


def tuning(entries: Sequence[Record | Study]) -> dict[str, str]:
    """The trainings of races that settings were chosen by, each with the race's name; a page leaves them out."""
    races = [entry for entry in entries if isinstance(entry, Study) and entry.manifest["command"] == "race"]
    return {
        str(row["trial"]): study.name for study in races for row in study.trials() if row.get("stage") == "tuning"
    }


def tuning_notes(entries: Sequence[Record | Study]) -> list[str]:
    """A note about the part of a race that is not shown."""
    return [
        f"{name}: the settings were chosen by {plural(count, 'training')} on held-out images, which are not shown; the "
        "verdicts hold for the settings that were chosen"
        for name, count in Counter(tuning(entries).values()).items()
    ]


# --- the answer --------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class LabComparison(Answer):
    """Runs side by side, and the runs and studies that were named."""

    side: "RunComparison"
    entries: Sequence[Record | Study] = ()

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        return verdict(self.side)

    @property
    def may_be_best(self) -> list[str]:
        """The groups that no verdict excludes from being the best."""
        return self.side.possible_best

    @property
    def headline(self) -> str:
        return self.verdict

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row per group, best first: its settings, mean, interval, difference and verdict."""
        keys = [column.key for column in columns(self.side) if column.only != "text"]
        return [{key: row.get(key) for key in keys} for row in rows(self.side)]

    def parts(self, verdict: bool = True) -> Iterator[Part]:
        yield from differences(self.side)
        yield ""
        yield (table := self.table())
        yield ""
        if verdict:
            yield Sentence(f"verdict: {self.verdict}", "bold")
        yield from table.notes

    def table(self) -> Table:
        return Table(columns(self.side), rows(self.side), [f"note: {note}" for note in self._notes])

    @property
    def _notes(self) -> list[str]:
        return [*self.side.notes, *tuning_notes(self.entries)]

    def short(self) -> Iterable[str]:
        return map(Verbatim, self.may_be_best)

    def chart(self) -> "Chart":
        """The curves of the groups, the best MOST of them."""
        order = list(self.side.comparison.order) if self.side.comparison else []
        order += [i for i in range(len(self.side.candidates)) if i not in order]
        ranked = [self.side.candidates[i].groups for i in order[:MOST]]
        return curves([run for groups in ranked for group in groups for run in group.runs.values()])

    def page(self, title: str | None) -> bytes:
        from optilab.verbs.report import comparison_page

        return comparison_page(self.side, self.entries, title)

    def document(self) -> Mapping[str, Any]:
        side = self.side
        comparison = side.comparison
        groups: list[Mapping[str, Any]] = []
        for i, candidate in enumerate(side.candidates):
            facts: dict[str, Any] = {
                "group": candidate.label,
                "settings": dict(candidate.settings),
                "runs": {
                    str(seed): str(run.path) for group in candidate.groups for seed, run in group.runs.items()
                },
                "outcomes": {str(seed): value for seed, value in candidate.outcomes.values.items()},
                "worst": {str(seed): why for seed, why in candidate.outcomes.worst.items()},
                "absent": {str(seed): why for seed, why in candidate.outcomes.absent.items()},
            }
            if comparison is not None:
                own = comparison.rows[i]
                facts |= {
                    "summary": asdict(own.summary),
                    "contrast": asdict(own.difference) if own.difference else None,
                }
            if side.ranks:
                facts["rank"] = side.ranks[i]
            if side.aggregates:
                facts |= asdict(side.aggregates[i])
            if side.letters:
                facts["alike"] = side.letters[i]
            groups.append(facts)
        return {
            "measure": {
                **asdict(side.measure),
                "name": side.measure.name,
                "higher_is_better": side.measure.higher,
            },
            "differs": side.grouping.differing,
            "equal": side.grouping.shared,
            "circumstances": side.circumstances,
            "baseline": None if comparison is None else side.candidates[comparison.baseline.key].label,
            "baseline_chosen_by_data": None if comparison is None else comparison.chosen,
            "order": [] if comparison is None else [side.candidates[i].label for i in comparison.order],
            "sample": side.sample,
            "problems": side.problems,
            "groups": groups,
            "verdict": self.verdict,
            "notes": self._notes,
        }


def curves(records: Sequence[Record]) -> "Chart":
    """Loss, accuracy and layers of trainings. DataError where none has an epoch."""
    from optilab.study.curves import histories
    from optilab.verbs.charts.training import training_chart

    found = histories(records) if records else None
    if found is None or not found.groups:
        names = ", ".join(record.name for record in records)
        raise DataError(f"nothing to draw: no epoch yet in {names or 'any run'}")
    return training_chart(found)


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
        equal.append(f"seeds {ranges(sorted(seeds[0]), FEW)}")
    around = {key: values for key, values in side.circumstances.items() if key != "git.commit"}
    equal += [word for word in ("data", "versions", "host") if not any(k.startswith(f"{word}.") for k in around)]
    lines = [f"differs: {', '.join(varied) or 'nothing'}   equal: {', '.join(equal)}"]
    for key, numbers in side.circumstances.items():
        counts = [f"{value[:40]} in {plural(number, 'run')}" for value, number in numbers.items()]
        lines.append(f"also differs: {key} ({some(counts, FEW)})")
    return lines


# --- the table ---------------------------------------------------------------------------------------------


def columns(side: "RunComparison") -> list[Column]:
    """The columns of the table; those of a narrow terminal are fewer."""
    show = Units(side.measure.share)
    comparison = side.comparison
    base = (
        "the best" if comparison is None or comparison.chosen else side.candidates[comparison.baseline.key].label
    )
    timed = side.measure.target is not None
    failed = comparison is not None and any(row.diverged for row in comparison.rows)
    return [
        Column("group", "group", left=True),
        *(Column(key, key, only="values") for key in side.grouping.differing),
        Column("n", "n"),
        *([Column("diverged", "diverged")] if failed else []),
        *([Column("reached", side.measure.name, detail=1)] if timed else []),
        Column("mean", "mean" if timed else side.measure.name, show.value),
        Column("std", "std", show.spread, detail=4),
        Column("interval", "95%", show.interval, detail=3, only="text"),
        Column("low", "", only="values"),
        Column("high", "", only="values"),
        *([Column("rank", "mean rank", "{:.1f}".format, detail=1)] if side.ranks else []),
        *(_over_problems(show) if side.aggregates else []),
        Column("difference", f"against {base}", show.difference),
        Column("difference_interval", "95%", show.differences, only="text"),
        Column("difference_low", "", only="values"),
        Column("difference_high", "", only="values"),
        Column("won", "won", "{:.0%}".format, detail=5),
        Column("p", "p", _p, detail=6),
        Column("verdict", "verdict", left=True),
        *([Column("alike", "alike", left=True)] if side.letters else []),
        Column("more", "", only="values"),
        Column("more_range", "more seeds", _more, only="text", detail=1),
    ]


def _over_problems(show: "Units") -> list[Column]:
    """What papers report over several problems."""
    return [
        Column("iqm", "IQM", show.value, detail=1),
        Column("iqm_interval", "95%", show.interval, only="text", detail=5),
        Column("iqm_low", "", only="values"),
        Column("iqm_high", "", only="values"),
        *(Column(key, "", only="values") for key in ("gap", "gap_low", "gap_high")),
        Column("improvement", "P(better)", "{:.0%}".format, detail=2),
        Column(
            "improvement_interval",
            "95%",
            lambda ends: f"{100 * ends[0]:.0f} to {100 * ends[1]:.0f}",
            only="text",
            detail=5,
        ),
        Column("improvement_low", "", only="values"),
        Column("improvement_high", "", only="values"),
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
        low, high = summary.interval or (None, None)
        row: dict[str, Any] = {"group": candidate.label, "n": len(own.values), **candidate.settings}
        row["diverged"] = own.diverged
        row |= {"mean": summary.mean if summary.n else None, "std": summary.std, "low": low, "high": high}
        row |= {
            "interval": summary.interval,
            "reached": _reached(candidate),
            "rank": side.ranks[i] if side.ranks else None,
            "alike": side.letters[i] if side.letters else None,
        }
        if side.aggregates:
            own_problems = side.aggregates[i]
            for name in ("iqm", "gap", "improvement"):
                estimate = getattr(own_problems, name)
                ends = estimate.interval if estimate else None
                row |= {name: estimate and estimate.value, f"{name}_interval": ends}
                row |= {f"{name}_low": ends and ends[0], f"{name}_high": ends and ends[1]}
        if contrast is not None:
            low, high = contrast.interval or (None, None)
            row |= {"difference": contrast.difference, "difference_interval": contrast.interval}
            row |= {"difference_low": low, "difference_high": high}
            row |= {"won": contrast.won, "p": contrast.p, "more": contrast.more or None}
            row["more_range"] = contrast.more_range
        row["verdict"] = own.verdict
        table.append(row)
    return table


def _reached(candidate: "ComparedRuns") -> str | None:
    """`3 (2 to 4)`: median and range of those that reached the target, and how many never did."""
    taken = candidate.outcomes
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


def _more(numbers: tuple[int, int | None]) -> str:
    """`3 to 12`, for a difference within the quartiles of the estimate."""
    low, high = numbers
    return f"{low:,} or more" if high is None else f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


# --- words -------------------------------------------------------------------------------------------------


def verdict(side: "RunComparison") -> str:
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
        ahead = f"{_measured(side)}, {_ahead(side, labels)}"
        alike = [labels[i] for i in comparison.possible_best if i != comparison.baseline.key]
        if not alike:
            return f"{base} is the best by {what}: {ahead}"
        others = len(comparison.order) - 1
        many = f"{'any' if len(alike) == others else len(alike)} of the {others} others"
        rest = f"; cannot tell it from {alike[0] if len(alike) == 1 else many}"
        word = "highest" if side.measure.higher else "lowest"
        return f"{base} has the {word} {what}: {ahead}{rest}{more_advice(comparison, side.sample)}"
    parts = []
    for word in ("better", "worse", "cannot tell"):
        found = [labels[own.key] for own in comparison.ranked if own.verdict == word]
        if found:
            parts.append(f"{word}: {some(found, FEW)}")
    return f"against {base} by {what}, {'; '.join(parts)}"


def _measured(side: "RunComparison") -> str:
    """The mean of the best row with its interval."""
    assert side.comparison is not None
    summary, show = side.comparison.baseline.summary, Units(side.measure.share)
    interval = f" (95% interval {show.interval(summary.interval)})" if summary.interval else ""
    return f"{show.value(summary.mean)}{interval}"


def _ahead(side: "RunComparison", labels: Sequence[str]) -> str:
    """How far the best row is from the next."""
    assert side.comparison is not None
    best, second = (
        side.comparison.baseline,
        next(r for r in side.comparison.ranked if r.key != side.comparison.baseline.key),
    )
    own = second.difference.difference if second.difference else second.summary.mean - best.summary.mean
    apart = f"{abs(100 * own):.1f} percentage points" if side.measure.share else f"{abs(own):.3g}"
    return f"{apart} {'below' if own > 0 else 'above'} {labels[second.key]}"


def more_advice(comparison: "Comparison[Any]", sample: str) -> str:
    """How many more seeds would exclude the first of the candidates, if the difference is real."""
    found = [
        own.difference
        for own in comparison.ranked
        if own.verdict != "worse" and own.difference and own.difference.more
    ]
    if not found:
        return ""
    closest = min(found, key=lambda difference: difference.more or 0)
    count = _more(closest.more_range) if closest.more_range else f"{closest.more:,}"
    units = "seeds" if sample == "best" else sample
    unit = units.removesuffix("s") if count == "1" else units
    what = "tell them apart" if len(comparison.possible_best) == 2 else "exclude one of them"
    return f"; if the difference is real, {count} further {unit} would {what} in 8 of 10 cases"


VERB = Verb(compare, (CompareRuns,))
