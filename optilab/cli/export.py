"""`optilab runs export`: the rows of many runs for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from optilab.cli.options import Json, RunNames, RunsDir, examples, not_empty, only_one
from optilab.errors import ExitCode, UsageError

HELP = "Write all rows of trainings with their settings: one table, or the files of TensorBoard or MLflow."
EXAMPLES = examples(
    "optilab runs export lr-study --to rows.csv",
    "optilab runs export '2026*' --to rows.parquet",
    "optilab runs export relu-1 relu-2 --tensorboard logs",
)


def export(
    names: RunNames,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="FILE", help="A .csv, .parquet or .sqlite file.", callback=not_empty),
    ] = None,
    tensorboard: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Event files of TensorBoard, in a new folder.", callback=not_empty),
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="A tracking store of MLflow, in a new folder.", callback=not_empty),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --to.")] = False,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not name runs that are left out.")] = False,
) -> int:
    from optilab import runs
    from optilab.show import terminal
    from optilab.study import export as tables
    from optilab.study import trackers
    from optilab.study.groups import select

    only_one(json=json_, quiet=quiet)
    folders = {name: Path(folder) for name, folder in (("tensorboard", tensorboard), ("mlflow", mlflow)) if folder}
    if to is None and not folders:
        raise UsageError("--to FILE, --tensorboard DIR or --mlflow DIR expected, as in --to rows.csv")
    if to is not None:
        tables.writer_of(Path(to))
        tables.require_free(Path(to), "--to", force)
    for name, folder in folders.items():
        trackers.require_tracker(name, folder)
    rows, damaged = tables.gather(select(runs.root(runs_dir), names))
    for name, reason in damaged.items() if not quiet else ():
        terminal.note(f"{name} is left out: {reason}")
    if to is not None:
        tables.write(Path(to), rows)
    if tensorboard is not None:
        trackers.tensorboard(folders["tensorboard"], rows.exported)
    if mlflow is not None:
        trackers.mlflow(folders["mlflow"], rows.exported)
    written = [str(path) for path in ([Path(to)] if to else []) + list(folders.values())]
    if json_:
        terminal.document({"written": written, "runs": [one.name for one in rows.exported], "left_out": damaged})
    else:
        for path in written:
            terminal.say(path)
    return ExitCode.DATA if damaged else ExitCode.OK
