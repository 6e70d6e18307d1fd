"""`optilab runs`: a module for each part."""

from optilab.commands.runs.compare import CompareRuns
from optilab.commands.runs.diff import DiffRuns
from optilab.commands.runs.export import ExportRuns
from optilab.commands.runs.ls import ListRuns
from optilab.commands.runs.path import FindRun
from optilab.commands.runs.plot import PlotRuns
from optilab.commands.runs.rm import RemoveRuns
from optilab.commands.runs.show import ShowRun

PARTS = {
    "ls": ListRuns,
    "show": ShowRun,
    "plot": PlotRuns,
    "path": FindRun,
    "rm": RemoveRuns,
    "compare": CompareRuns,
    "diff": DiffRuns,
    "export": ExportRuns,
}
EXAMPLES = ("optilab runs ls", "optilab runs show latest", "optilab runs rm '2026*' --older-than 30d")
