"""Runs side by side: the answer of comparisons."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optilab.answer import comparison_tables as tables
from optilab.answer.answer import Answer
from optilab.errors import DataError, UsageError
from optilab.runs import Record, Study, sweep_of
from optilab.show import terminal
from optilab.show.blocks import Block, Details, NextStep, Sentence, Verbatim
from optilab.show.table import Table

if TYPE_CHECKING:
    from optilab.answer.benchmarks import BenchmarkView
    from optilab.judge.comparison import RunComparison
    from optilab.judge.groups import Selection
    from optilab.judge.measure import Measure
    from optilab.show.chart import Chart

MAX_GROUPS_DRAWN = 12
"""Groups that a picture shows: the best ones by the comparison."""


def benchmark_view(entries: Sequence[Record | Study]) -> "BenchmarkView | None":
    """The result of a benchmark, where it is the only entry; else None."""
    if len(entries) != 1 or not isinstance(study := entries[0], Study):
        return None
    from optilab.answer.benchmarks import BenchmarkView
    from optilab.study.benchmark import read

    return BenchmarkView(result, study) if (result := read(study)) else None


def compare_selection(
    selection: "Selection",
    measure: "Measure",
    baseline: str | None = None,
    by: Sequence[str] = (),
    best: bool = False,
    labels: Sequence[str] = (),
) -> "LabComparison":
    """The comparison of the selected runs, as `compare_runs` takes it. UsageError without a run, and for runs that are
    not trainings."""
    from optilab.judge.comparison import compare_runs

    selection.require_trainings()
    looks = selection.looks
    if not selection.records:
        raise UsageError("\n".join(["nothing to compare: the study has no run yet", *selection.notes]))
    if baseline is not None:  # named after a study was judged without it
        studies = [e for e in selection.entries if isinstance(e, Study) and e.manifest.get("looks")]
        ended = (study for study in studies if study.state == "done")
        looks = max([looks, *(study.earlier_looks + 1 for study in ended)])
    comparison = compare_runs(selection.records, measure, baseline, by, best, selection.notes, looks, labels)
    return LabComparison(comparison, selection.entries)


def trainings_and_metric(
    folder: Path, names: Sequence[str], metric: str | None, timed: bool = False
) -> tuple["Selection", str]:
    """The trainings to compare, and the metric.

    For a benchmark those are the evaluated trainings, not those of its tuning, by the test set unless `metric` is
    another or times to a target are compared (`timed`); a single sweep is compared by its own metric.
    """
    from optilab.judge.groups import request_of, select_runs

    selection = select_runs(folder, names)
    entries, tuned = selection.entries, tables.tuning(selection.entries)
    records = [record for record in selection.records if record.name not in tuned]
    default_metric = "test_acc" if tuned and not timed else "val_acc"
    if len(entries) == 1 and isinstance(study := entries[0], Study) and study.manifest["command"] == "sweep":
        default_metric = str(request_of(study).get("metric", default_metric))
    return selection._replace(records=records), metric or default_metric


@dataclass(frozen=True, repr=False)
class LabComparison(Answer):
    """Runs side by side, and the runs and studies that were named."""

    schema_version: ClassVar[int] = 2
    comparison: "RunComparison"
    entries: Sequence[Record | Study] = ()

    @property
    def _confirms(self) -> bool:
        """True if these are the best settings of a sweep, trained again from new seeds."""
        return len(self.entries) == 1 and sweep_of(self.entries[0].path) is not None

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        return tables.verdict_of(self.comparison).text

    @property
    def may_be_best(self) -> list[str]:
        """The groups that no verdict excludes from being the best."""
        return self.comparison.possible_best

    @property
    def headline(self) -> str:
        return self.verdict

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row per group, best first: its settings, mean, interval, difference and verdict."""
        keys = [column.key for column in tables.columns(self.comparison) if column.only != "text"]
        return [{key: row.get(key) for key in keys} for row in tables.rows(self.comparison)]

    def blocks(self) -> Iterator[Block]:
        yield from self.result_blocks()
        if step := self.next_step:
            yield step

    def details(self) -> Iterator[Block]:
        from optilab.answer.comparison_page import details, failed

        yield from failed(self.entries)
        yield from details(self.comparison, self.entries)

    @property
    def question(self) -> str:
        from optilab.answer.comparison_page import question

        return question(self.comparison)

    @property
    def next_step(self) -> NextStep | None:
        """The command that would tell more, and what it does."""
        return tables.next_step(self.comparison, self.entries)

    def result_blocks(self) -> Iterator[Block]:
        """The table and the verdict; as details what differs, and how the verdicts were made."""
        if self._confirms:
            yield Sentence(tables.again_by(self.comparison), "bold")
        yield from tables.other_circumstances(self.comparison)
        yield ""
        yield (table := self.table())
        yield ""
        yield tables.verdict_of(self.comparison)
        yield from table.notes
        if self._confirms:
            yield from tables.max_gain(self.comparison)
        procedure = [f"note: {note}" for note in self.comparison.procedure]
        yield Details("Details", [tables.differences(self.comparison), *procedure], folded=True)

    def table(self) -> Table:
        notes = [f"note: {note}" for note in self._notes]
        return Table(
            tables.columns(self.comparison), tables.rows(self.comparison), notes, middle="mean", look="verdict"
        )

    @property
    def _notes(self) -> list[str]:
        return [*self.comparison.notes, *tables.tuning_notes(self.entries)]

    def short(self) -> Iterable[str]:
        return map(Verbatim, self.may_be_best)

    def chart(self) -> "Chart":
        """The curves of the groups, the best `MAX_GROUPS_DRAWN` of them, in the order and colors of `runs plot`."""
        best = tables.ranked(self.comparison)[:MAX_GROUPS_DRAWN]
        groups = [group for row in self.comparison.candidates if row in best for group in row.groups]
        return curves([run for group in groups for run in group.runs.values()])

    def document(self) -> Mapping[str, Any]:
        comparison, judgment = self.comparison, self.comparison.judgment
        groups: list[Mapping[str, Any]] = []
        for i, candidate in enumerate(comparison.candidates):
            facts: dict[str, Any] = {
                "group": candidate.label,
                "settings": dict(candidate.settings),
                "runs": {str(n): str(run.path) for group in candidate.groups for n, run in group.runs.items()},
                "outcomes": _by_seed(candidate.outcomes.values),
                "worst": _by_seed(candidate.outcomes.imputed),
                "absent": _by_seed(candidate.outcomes.excluded),
            }
            if judgment is not None:
                row = judgment.rows[i]
                facts |= {
                    "summary": asdict(row.summary),
                    "contrast": asdict(row.difference) if row.difference else None,
                }
            groups.append(facts)
        return {
            "measure": {
                **asdict(comparison.measure),
                "name": comparison.measure.name,
                "higher_is_better": comparison.measure.higher_is_better,
            },
            "differs": comparison.grouping.differing,
            "equal": comparison.grouping.shared,
            "circumstances": comparison.circumstances,
            "baseline": None if judgment is None else comparison.candidates[judgment.baseline.key].label,
            "level": None if judgment is None else judgment.level,
            "baseline_chosen_by_data": None if judgment is None else judgment.chosen,
            "order": [] if judgment is None else [comparison.candidates[i].label for i in judgment.order],
            "sample": "best" if comparison.best else "seeds",
            "problems": comparison.other_settings,
            "groups": groups,
            "verdict": self.verdict,
            "notes": [*self.comparison.notes, *self.comparison.procedure, *tables.tuning_notes(self.entries)],
            "next_step": step.document() if (step := self.next_step) else None,
        }


def _by_seed(values: Mapping[int, Any]) -> dict[str, Any]:
    return {str(seed): value for seed, value in values.items()}


def missing_epoch(records: Sequence[Record]) -> DataError:
    """The error of trainings that have nothing to draw yet."""
    names = ", ".join(record.name for record in records)
    return DataError(
        f"nothing to draw: no epoch yet in {names or 'any run'}; `optilab runs ls` shows how far they are"
    )


def curves(records: Sequence[Record]) -> "Chart":
    """Loss, accuracy and layers of trainings. DataError where none has an epoch."""
    from optilab.answer.charts.training import training_chart
    from optilab.judge.curves import histories

    curves_of_groups = histories(records) if records else None
    if curves_of_groups is None or not curves_of_groups.groups:
        raise missing_epoch(records)
    return training_chart(curves_of_groups)


def drawn(records: Sequence[Record], picture: bool | None) -> Iterator[Block]:
    """The curves and layers of runs, or on a terminal that is too narrow the option that shows them."""
    from optilab.answer.charts.training import training_chart
    from optilab.judge.curves import histories

    shown = terminal.out.is_terminal if picture is None else picture
    if shown:
        yield ""
        if picture or terminal.out.width >= terminal.PIPE_WIDTH:
            yield training_chart(histories(records))
            yield ""
        else:
            yield "curves and layers: --picture"
