"""`optilab runs rm`: deletes runs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc

from optilab import runs
from optilab.annotations import Flag
from optilab.answer.answer import SimpleAnswer
from optilab.errors import UsageError
from optilab.request.options import (
    QUIET,
    FolderOptions,
    OutputOptions,
    RunNames,
)
from optilab.request.request import Place
from optilab.show import terminal


class RemoveRuns(FolderOptions, OutputOptions):
    """Delete runs and studies; asks first. Links inside a run are removed, never followed."""

    EXAMPLES = (
        "optilab runs rm 20261124-143512-sigmoid-1c2d9e05",
        "optilab runs rm '2026*-sgd-*' --older-than 30d",
    )

    names: RunNames | None = None
    older_than: Annotated[
        str | None, Flag("AGE"), Doc("Only those that started longer ago than AGE: 90m, 12h, 30d, 8w")
    ] = None
    yes: Annotated[bool, Flag(names=("--yes", "-y")), Doc("Do not ask")] = False
    quiet: Annotated[bool, QUIET, Doc("Print nothing")] = False

    def run(self, place: Place) -> SimpleAnswer:
        if not self.names and self.older_than is None:
            raise UsageError("runs rm needs the name of a run, a pattern or --older-than AGE")
        names, text = self.names or [], self.older_than
        age = None if text is None else runs.parse_age(text, "--older-than")
        chosen = runs.select(place.folder, names, age)
        paths = [path for path in chosen if not {*chosen}.intersection(path.parents)]  # a study has its trials
        for path in paths:
            runs.require_made_by_optilab(path)
        if paths and not self.yes:
            _confirm(paths)
        for path in paths:
            runs.remove(path)
            if not place.silent:
                print(f"removed {path}", flush=True)
        if not paths and not place.silent:
            terminal.note("nothing to remove: no run is that old")
        return SimpleAnswer([], {"removed": [str(path) for path in paths]})


def _confirm(paths: Sequence[Path]) -> None:
    """Ask on a terminal. UsageError without one, Abort for anything but yes."""
    if not sys.stdin.isatty():
        raise UsageError("runs rm asks before it deletes; without a terminal, add --yes")
    import typer

    typer.confirm(f"delete {', '.join(map(str, paths))}?", abort=True, err=True)
