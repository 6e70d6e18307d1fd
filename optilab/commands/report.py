"""`optilab report`: trainings and studies as a page for readers who do not have optilab installed: question, answer,
and all that supports it.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_doc import Doc
from pydantic import Field

from optilab.annotations import Flag
from optilab.answer.answer import SimpleAnswer
from optilab.answer.comparison import LabComparison, trainings_and_metric
from optilab.request.comparison import ComparisonOptions, Metric
from optilab.request.options import QUIET, ColumnOptions, FolderOptions, OutputOptions, RunNames
from optilab.request.request import Place
from optilab.show import terminal
from optilab.show.blocks import Block, Verbatim, Verdict, with_columns
from optilab.show.page import page_file, render, write_page

if TYPE_CHECKING:
    from optilab.answer.benchmarks import BenchmarkView


class Report(ComparisonOptions, ColumnOptions, FolderOptions, OutputOptions):
    """Write runs and studies as one HTML page: verdict, table, curves, layers, settings, configs, commands.

    The page is self-contained. The command overwrites its own pages only. For a benchmark, the report covers the
    evaluated runs, with its verdicts; with --metric or another comparison option, they are compared
    again.
    """

    EXAMPLES = (
        "optilab report latest --out report.html",
        "optilab report lr-sweep --title 'Which learning rate?'",
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
            answer, left_out = _answer(self, place)
            blocks = answer.painted()
            if self.columns:
                blocks = with_columns(blocks, answer.table(), self.columns, self.flag("columns"))
            content = render(self.title or answer.question, blocks)
        write_page(path, content)
        facts = {"comparison" if isinstance(answer, LabComparison) else "benchmark": answer.document()}
        lines: list[Block] = [Verdict(answer.verdict), *(f"note: {text}" for text in left_out), str(path)]
        return Written(lines, {"page": str(path), "bytes": len(content), **facts}, [Verbatim(path)])


class Written(SimpleAnswer):
    """The page that was written, and its answer."""

    schema_version: ClassVar[int] = 3


def _answer(request: Report, place: Place) -> "tuple[LabComparison | BenchmarkView, list[str]]":
    """The answer that the page shows, and a sentence for each trial left out."""
    timed = request.target is not None
    selection, metric = trainings_and_metric(place.folder, request.names, request.metric, timed)
    return request.compare(selection, metric), selection.notes


COMMAND = Report
