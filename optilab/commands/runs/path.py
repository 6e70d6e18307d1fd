"""`optilab runs path`: the directory of a run."""

from optilab import runs
from optilab.answer.answer import SimpleAnswer
from optilab.request.options import (
    FolderOptions,
    OutputOptions,
    RunName,
)
from optilab.request.request import Place
from optilab.show.blocks import Verbatim


class FindRun(FolderOptions, OutputOptions):
    """Print the directory of a run or study."""

    EXAMPLES = ("optilab runs path latest", "optilab runs path 20261124-143512-sigmoid-1c2d9e05")

    name: RunName

    def run(self, place: Place) -> SimpleAnswer:
        path = runs.locate(place.folder, self.name)
        return SimpleAnswer([Verbatim(path)], {"run": str(path)}, [Verbatim(path)])
