"""`optilab runs compare`: groups of runs side by side, with verdicts."""

from typing import TYPE_CHECKING, Annotated

from annotated_doc import Doc
from pydantic import Field

from optilab.answer.comparison import LabComparison, trainings_and_metric
from optilab.request.comparison import ComparisonOptions
from optilab.request.options import QUIET, DetailOptions, FileOptions, FolderOptions, RunNames, TableOptions
from optilab.request.request import Place
from optilab.show import terminal

if TYPE_CHECKING:
    from optilab.answer.benchmarks import BenchmarkView
    from optilab.answer.races import LabRace


class CompareRuns(ComparisonOptions, TableOptions, FolderOptions, FileOptions, DetailOptions):
    """Compare trainings: what differs, the outcome of each group over its seeds, and verdicts."""

    EXAMPLES = (
        "optilab runs compare 'relu-*' 'tanh-*'",
        "optilab runs compare remedies --metric val_loss --at best --baseline relu",
        "optilab runs compare lr-sweep --target 0.8 --format latex",
        "optilab runs compare lr-sweep --by model.init --best",
    )

    names: RunNames = Field(init=False)
    quiet: Annotated[
        bool,
        QUIET,
        Doc("Print the groups that can be the best and nothing else"),
    ] = False

    def run(self, place: Place) -> "LabComparison | BenchmarkView | LabRace":
        """A benchmark and a race have verdicts; with another comparison option, the evaluated trainings of a benchmark
        are compared."""
        timed = self.target is not None
        selection, metric = trainings_and_metric(place.folder, self.names, self.arguments.get("metric"), timed)
        answer = self.compare(selection, metric)
        for note in [] if place.silent or isinstance(answer, LabComparison) else selection.notes:
            terminal.note(note)
        self.save(answer)
        return answer


COMMAND = CompareRuns
