"""`optilab report`: trainings and studies as a page for readers who do not have optilab installed: question, answer,
and all that supports it.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from annotated_doc import Doc
from pydantic import Field

from optilab.commands.answer import Printed, Sentence, Verbatim
from optilab.commands.compare import ComparisonOptions, Metric, compared, judged_runs
from optilab.commands.options import QUIET, RUN_NAMES, FolderOptions, OutputOptions
from optilab.commands.request import Place, options_of
from optilab.marks import Argument, Flag
from optilab.runs import Record, Study
from optilab.show import terminal
from optilab.show.page import page_file, write_page


class Report(ComparisonOptions, FolderOptions, OutputOptions):
    """Write runs and studies as one HTML page: verdict, table, curves, layers, settings, configs, commands.

    The page is self-contained. The command overwrites its own pages only. For a race on trainings, the report covers
    the evaluated runs, with the verdicts of the race; with --metric or another comparison option, they are compared
    again.
    """

    EXAMPLES = (
        "optilab report latest --out report.html",
        "optilab report lr-sweep --title 'Which learning rate?'",
        "optilab report 'relu-*' 'tanh-*' --metric val_loss --baseline relu",
    )

    names: Annotated[list[str], Argument("RUN...", complete="run"), RUN_NAMES] = Field(init=False)
    out: Annotated[str, Flag("FILE", path=True), Doc("The page to write")] = "report.html"
    title: Annotated[str | None, Flag("TEXT"), Doc("Heading [the question that the page answers]")] = None
    metric: Metric = None
    quiet: Annotated[bool, QUIET, Doc("Print the file's name and nothing else")] = False

    def run(self, place: Place) -> "Written":
        path = page_file(self.out, self.flag("out"))
        with terminal.busy("reading the runs"):
            content, verdict, left_out, facts = _written(self, place)
        write_page(path, content)
        size = f"{path}  ({len(content) / 2**20:.1f} MiB)"
        document = {"page": str(path), "bytes": len(content), **facts}
        said = [Sentence(f"verdict: {verdict}", "bold"), *(f"note: {one}" for one in left_out), size]
        return Written(said, document, [Verbatim(path)])


class Written(Printed):
    """The page, and what it says."""

    schema_version: ClassVar[int] = 2


def _written(request: Report, place: Place) -> tuple[bytes, str, list[str], dict[str, Any]]:
    """The page, its verdict, a sentence for each trial left out, and what it shows as the document of `--json`."""
    timed = request.target is not None
    selection, metric = judged_runs(place.folder, request.names, request.metric, timed)
    from optilab.commands import race_tables
    from optilab.commands.network_race_page import network_race_page
    from optilab.study import network_race

    entries = selection.entries
    study, by = entries[0], options_of(ComparisonOptions).keys()
    raced = None
    if len(entries) == 1 and isinstance(study, Study) and not by & request.given.keys():
        raced = network_race.read(study)
    if raced is not None and isinstance(study, Study):
        page = network_race_page(raced, study, request.title)
        return page, race_tables.answer_of(raced), selection.notes, {"race": race_tables.document(raced)}
    options = request
    remedies = len(entries) == 1 and isinstance(study, Study) and study.manifest["command"] == "remedy"
    if isinstance(study, Study) and remedies and (name := _untouched(study, selection.records)):
        options = Report.of({"baseline": name, **request.given}, request.typed)
    answer = compared(selection, metric, options)
    return answer.page(request.title), answer.verdict, selection.notes, {"comparison": answer.document()}


def _untouched(study: Study, records: Sequence[Record]) -> str | None:
    """The run of a remedy study whose network is as it is; None where it has none."""
    from optilab.study.remedy import AS_IT_IS

    names = {record.name for record in records}
    own = [str(row["trial"]) for row in study.trials() if row.get("remedy") == AS_IT_IS]
    return next((name for name in own if name in names), None)


COMMAND = Report
