"""`optilab runs`: what ran, in which state, and with which numbers."""

from typing import Annotated

import typer

from optilab.cli.options import Json, RunsDir, complete_run, examples

_RUN = "20261124-143512-sigmoid-1c2d"  # a name as `train` gives them

app = typer.Typer(
    help="Run directories: ls, show, path, rm.",
    no_args_is_help=True,
    epilog=examples("optilab runs ls", f"optilab runs show {_RUN}"),
)

_Run = Annotated[
    str, typer.Argument(metavar="RUN", help="Name of a run, or a path to one.", autocompletion=complete_run)
]


@app.command("ls", epilog=examples("optilab runs ls"))
def ls(runs_dir: RunsDir = None, json_: Json = False) -> None:
    """List the runs, oldest first, each with its true state."""
    from optilab import console, runs
    from optilab.console import runs as views

    records, unreadable = runs.records(runs.root(runs_dir))
    for line in unreadable:
        console.note(f"skipped: {line}")
    if json_:
        console.document({"runs": [views.run_facts(record) for record in records]})
    else:
        views.runs(records, runs.root(runs_dir))


@app.command("show", epilog=examples(f"optilab runs show {_RUN}"))
def show(run: _Run, runs_dir: RunsDir = None, json_: Json = False) -> None:
    """Show one run: its state, config, and last and best rows."""
    from optilab import console, runs
    from optilab.console import runs as views

    record = runs.read(runs.locate(runs.root(runs_dir), run))
    if json_:
        console.document({**views.run_facts(record), "rows": record.rows()})
    else:
        views.run(record)


@app.command("path", epilog=examples(f"optilab runs path {_RUN}"))
def path(run: _Run, runs_dir: RunsDir = None) -> None:
    """Print the directory of a run."""
    from optilab import runs

    typer.echo(runs.locate(runs.root(runs_dir), run))


@app.command("rm", epilog=examples(f"optilab runs rm {_RUN}"))
def rm(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Names of runs.", autocompletion=complete_run)
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Delete runs; asks first. Links inside a run are removed, never followed."""
    import sys

    from optilab import runs
    from optilab.errors import UsageError

    folder = runs.root(runs_dir)
    paths = [runs.locate(folder, name) for name in dict.fromkeys(names)]
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("runs rm asks before it deletes; without a terminal, say --yes")
        typer.confirm(f"delete {', '.join(map(str, paths))}?", abort=True)
    for run in paths:
        runs.remove(run)
        typer.echo(f"removed {run}")
