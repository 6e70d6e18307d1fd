"""`optilab report`: runs and studies as a page for readers who do not have optilab installed: question, answer, and all
that supports it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_doc import Doc
from pydantic import Field

from optilab.annotations import Flag
from optilab.answer.answer import SimpleAnswer
from optilab.answer.comparison import LabComparison, trainings_and_metric
from optilab.answer.results import LabRun
from optilab.request.comparison import ComparisonOptions, Metric
from optilab.request.options import QUIET, ColumnOptions, FolderOptions, OutputOptions, PageOptions, RunNames
from optilab.request.request import Place
from optilab.show import terminal
from optilab.show.blocks import Block, Details, Verbatim, Verdict, with_columns
from optilab.show.page import page_file, render, render_parts, write_page
from optilab.words import listed

if TYPE_CHECKING:
    from optilab.answer.benchmarks import BenchmarkView
    from optilab.answer.races import LabRace


class Report(ComparisonOptions, ColumnOptions, FolderOptions, PageOptions, OutputOptions):
    """Write runs and studies as one HTML page: verdict, table, curves, layers, settings, configs, commands.

    The page is self-contained. The command overwrites its own pages only. For a benchmark, the report covers the
    evaluated runs, with its verdicts; with --metric or another comparison option, they are compared
    again. Runs of optimize come before the trainings: trajectories, losses, settings.
    """

    EXAMPLES = (
        "optilab report latest --out report.html",
        "optilab report lr-sweep --title 'Which learning rate?'",
        "optilab report four fixes --out handin.html",
        "optilab report 'relu-*' 'tanh-*' --metric val_loss --baseline relu",
    )

    names: RunNames = Field(init=False)
    out: Annotated[str, Flag("FILE", path=True), Doc("The page to write")] = "report.html"
    title: Annotated[str | None, Flag("TEXT"), Doc("Heading [the question that the page answers]")] = None
    metric: Metric = None
    quiet: Annotated[bool, QUIET, Doc("Print the file's name and nothing else")] = False

    def run(self, place: Place) -> "Written":
        path = page_file(self.out, self.flag("out"))
        with terminal.spinner("reading the runs"):
            runs, trainings, left_out = self._answers(place)
            answers = [*runs, *filter(None, [trainings])]
            parts = [Details(answer.question, answer.painted()) for answer in answers]
            if self.columns:
                blocks = with_columns(parts[-1].blocks, answers[-1].table(), self.columns, self.flag("columns"))
                parts[-1] = replace(parts[-1], blocks=blocks)
            content = self._page(parts)
        write_page(path, content)
        facts: dict[str, Any] = {"page": str(path), "bytes": len(content)}
        lines: list[Block] = [
            Verdict(run.race.verdict) if run.entry.is_race else f"{run.name}: {run.question}" for run in runs
        ]
        if runs:
            facts["on_functions"] = [{**run.answer.document(), "run": str(run.path)} for run in runs]
        if trainings is not None:
            facts["comparison" if isinstance(trainings, LabComparison) else "benchmark"] = trainings.document()
            lines.append(Verdict(trainings.verdict))
        lines += [*(f"note: {text}" for text in left_out), str(path)]
        return Written(lines, facts, [Verbatim(path)])

    def _answers(
        self, place: Place
    ) -> "tuple[list[LabRun], LabComparison | BenchmarkView | LabRace | None, Sequence[str]]":
        """The runs on functions, the comparison of the trainings if there are any, and a sentence for each trial left
        out. UsageError for options of a comparison without trainings."""
        timed = self.target is not None
        selection, metric = trainings_and_metric(place.folder, self.names, self.metric, timed)
        runs = [LabRun(record) for record in selection.on_functions]
        if selection.entries:
            selection = selection._replace(on_functions=())
        elif not self.compares:
            return runs, None, selection.notes
        return runs, self.compare(selection, metric), selection.notes

    def _page(self, parts: Sequence[Details]) -> bytes:
        look = {"dark": self.dark, "large": self.size == "slide"}
        if len(parts) == 1:
            return render(self.title or parts[0].title, parts[0].blocks, **look)
        return render_parts(self.title or listed(self.names), parts, **look)


class Written(SimpleAnswer):
    """The page that was written, and its answer."""

    schema_version: ClassVar[int] = 3


COMMAND = Report
