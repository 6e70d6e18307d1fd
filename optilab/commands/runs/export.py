"""`optilab runs export`: the rows of runs as one table or as event files."""

from pathlib import Path
from typing import Annotated

from annotated_doc import Doc

from optilab import runs
from optilab.annotations import Flag
from optilab.answer.answer import SimpleAnswer
from optilab.config import archive
from optilab.errors import ExitCode, UsageError
from optilab.request.options import (
    QUIET,
    FolderOptions,
    OutputOptions,
    RunNames,
)
from optilab.request.request import Place
from optilab.show import terminal


class ExportRuns(FolderOptions, OutputOptions):
    """Write all rows of runs with their settings: one table, or event files of TensorBoard; or a run or a study to
    hand on: its config and its code.

    An archive is a config: `train`, `sweep`, `remedy`, `benchmark` and `optimize --config` take it.
    """

    EXAMPLES = (
        "optilab runs export latest --out rows.csv",
        "optilab runs export '2026*' --out rows.parquet",
        "optilab runs export relu-1 relu-2 --tensorboard logs",
        "optilab runs export lr-sweep --out share.zip",
    )

    names: RunNames
    out: Annotated[str | None, Flag("FILE", path=True), Doc("A .csv or .parquet file, or a .zip to hand on")] = (
        None
    )
    tensorboard: Annotated[
        str | None,
        Flag("DIR", path=True),
        Doc("Event files of TensorBoard, in a new directory or one of an earlier export"),
    ] = None
    force: Annotated[bool, Doc("Replace the file of --out")] = False
    quiet: Annotated[bool, QUIET, Doc("Do not name runs that are left out")] = False

    def run(self, place: Place) -> SimpleAnswer:
        from optilab.commands.runs import exported
        from optilab.judge.groups import select_runs

        if self.out is not None and self.out.lower().endswith(archive.ENDING):
            return self._share(place, self.out)
        selection = select_runs(place.folder, self.names)
        selection.require_trainings()
        if self.out is None and self.tensorboard is None:
            raise UsageError("expected --out FILE or --tensorboard DIR, as in --out rows.csv")
        table = None if self.out is None else exported.table_file(self.out, self.force)
        if self.tensorboard is not None:
            exported.require_own(Path(self.tensorboard))
        rows, damaged = exported.gather(selection.records, selection.left_out)
        for note in selection._replace(left_out=damaged).notes if not self.quiet else ():
            terminal.note(note)
        if self.tensorboard is not None:
            exported.tensorboard(Path(self.tensorboard), rows.runs)
        if table is not None:
            exported.write(table, rows)
        written = [str(Path(path)) for path in (self.out, self.tensorboard) if path is not None]
        facts = {
            "written": written,
            "runs": [run.name for run in rows.runs],
            "left_out": {**damaged, **selection.others},
        }
        return SimpleAnswer(written, facts, written, ExitCode.DATA if damaged else ExitCode.OK)

    def _share(self, place: Place, out: str) -> SimpleAnswer:
        """Write the archive of a run or a study. UsageError for several, and for one without a config."""
        from optilab.commands.runs import exported

        if self.tensorboard is not None:
            raise UsageError("cannot be combined with an archive", "--tensorboard")
        path = exported.new_file(out, (archive.ENDING,), self.force)
        entries = [runs.read_entry(each) for each in runs.select(place.folder, self.names)]
        if len(entries) != 1:
            raise UsageError(f"expected one run or study for an archive, got {len(entries)}", "--out")
        (entry,) = entries
        if isinstance(entry, runs.Record) and (entry.is_watched or entry.is_race):
            raise UsageError(f"expected a training, a study or a run of optimize, got {entry.name}", "--out")
        runs.write_atomic(path, archive.packed(entry))
        return SimpleAnswer(
            [str(path)], {"written": [str(path)], "runs": [entry.name], "left_out": {}}, [str(path)]
        )
