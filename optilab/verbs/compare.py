"""Groups of runs side by side: the comparison of `runs compare` and the page of `report`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optilab.show.table import Table
from optilab.verbs.answer import Answer

if TYPE_CHECKING:
    from optilab.runs import Record, Study
    from optilab.show.chart import Chart
    from optilab.study.comparison import RunComparison

MOST = 12
"""Groups that a picture shows: the best ones by the comparison."""


@dataclass(frozen=True, repr=False)
class LabComparison(Answer):
    """What `Lab.compare` laid side by side, and the runs and studies that were named."""

    side: "RunComparison"
    entries: "Sequence[Record | Study]"

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        from optilab.console.compare import verdict

        return verdict(self.side)

    @property
    def best(self) -> list[str]:
        """The groups that no verdict excludes from being the best."""
        return self.side.possible_best

    @property
    def headline(self) -> str:
        return self.verdict

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row per group, best first: its settings, mean, interval, difference and verdict."""
        from optilab.console import compare

        keys = [column.key for column in compare.columns(self.side) if column.only != "text"]
        return [{key: row.get(key) for key in keys} for row in compare.rows(self.side)]

    def chart(self) -> "Chart":
        """The curves of the groups, the best MOST of them."""
        return curves(ranked(self.side)[:MOST])

    def table(self) -> Table:
        from optilab.console import compare

        notes = [f"note: {note}" for note in self.side.notes]
        return Table(compare.columns(self.side), compare.rows(self.side), notes)

    def page(self, title: str | None) -> bytes:
        from optilab.pages.report import report

        return report(self.side, self.entries, title)


def ranked(side: "RunComparison") -> "list[list[Record]]":
    """The runs of each row, best first, then those without an outcome."""
    order = list(side.comparison.order) if side.comparison else []
    order += [i for i in range(len(side.candidates)) if i not in order]
    return [[run for group in side.candidates[i].groups for run in group.runs.values()] for i in order]


def curves(groups: "Sequence[Sequence[Record]]") -> "Chart":
    """Loss, accuracy and layers of trainings. DataError where none has an epoch."""
    from optilab.charts.training import training_chart
    from optilab.errors import DataError
    from optilab.study.curves import histories

    records = [record for group in groups for record in group]
    found = histories(records) if records else None
    if found is None or not found.groups:
        names = ", ".join(record.name for record in records)
        raise DataError(f"nothing to draw: no epoch yet in {names or 'any run'}")
    return training_chart(found)


def compare(
    records: "Sequence[Record]",
    metric: str,
    at: str,
    target: float | None,
    until: str,
    baseline: str | None,
    by: Sequence[str],
    over: str,
) -> "RunComparison":
    """The comparison that the options of `runs compare` ask for. UsageError for what they do not accept."""
    from optilab.errors import UsageError, unknown
    from optilab.study.comparison import compare_runs
    from optilab.study.outcomes import read_measure

    measure = read_measure(metric, at, target, until)
    if over not in ("seeds", "problems"):
        raise UsageError(unknown("sample", over, ("seeds", "problems")), "--over")
    if not records:
        raise UsageError("nothing to compare: the study has no run yet")
    return compare_runs(records, measure, baseline, by, over)  # type: ignore[arg-type]


def judged(
    folder: Path, names: Sequence[str], metric: str | None
) -> "tuple[list[Record | Study], list[Record], str]":
    """The runs and studies that names mean, the trainings to compare, and the metric.

    Of a race those are the judged trainings, not those of its tuning, by the test set unless `metric` is another.
    """
    from optilab import runs
    from optilab.pages.report import tuning
    from optilab.study.groups import select

    entries = [runs.read_entry(entry) for entry in runs.select(folder, names)]
    tuned = tuning(entries)
    records = [record for record in select(folder, names) if record.name not in tuned]
    return entries, records, metric or ("test_acc" if tuned else "val_acc")
