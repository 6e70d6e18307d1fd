"""`optilab runs`: what ran, in which state, and with which numbers."""

from typing import Annotated

import typer

from optilab.cli.options import Json, Quiet, RunsDir, complete_run, examples, only_one

_RUN = "20261124-143512-sigmoid-1c2d"  # a name as `train` makes them

app = typer.Typer(
    help="Run directories: ls, show, path, rm.",
    no_args_is_help=True,
    epilog=examples("optilab runs ls", "optilab runs show latest", "optilab runs rm '2026*' --older-than 30d"),
)

_Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="Name of a run or study, a path to one, or `latest`.", autocompletion=complete_run
    ),
]


@app.command(
    "ls",
    help="List runs and studies, oldest first, each with its true state.",
    epilog=examples("optilab runs ls", "optilab runs ls --json"),
)
def ls(
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the names and nothing else.")] = False,
) -> None:
    from optilab import console, runs
    from optilab.console import runs as views

    only_one(json=json_, quiet=quiet)
    folder = runs.root(runs_dir)
    entries, unreadable = runs.entries(folder)
    if not quiet:
        views.skipped(unreadable, folder)
    if json_:
        console.document({"runs": [views.entry_facts(entry) for entry in entries]})
    elif quiet:
        for entry in entries:
            typer.echo(entry.name)
    else:
        views.listing(entries, folder)


@app.command(
    "show",
    help="Show one run (state, config, last and best rows) or one study (its runs).",
    epilog=examples("optilab runs show latest", f"optilab runs show {_RUN}"),
)
def show(run: _Run, runs_dir: RunsDir = None, json_: Json = False, quiet: Quiet = False) -> None:
    from optilab import console, runs
    from optilab.console import runs as views

    only_one(json=json_, quiet=quiet)
    entry = runs.read_entry(runs.locate(runs.root(runs_dir), run))
    if quiet:
        typer.echo(entry.path)
    elif not json_:
        views.show(entry)
    elif isinstance(entry, runs.Study):
        trials = [views.entry_facts(trial) for trial in entry.runs()]
        console.document({**views.entry_facts(entry), "runs": trials})
    else:
        console.document({**views.entry_facts(entry), "rows": entry.rows()})


@app.command(
    "path",
    help="Print the directory of a run or study.",
    epilog=examples("optilab runs path latest", f"optilab runs path {_RUN}"),
)
def path(run: _Run, runs_dir: RunsDir = None, json_: Json = False, quiet: Quiet = False) -> None:
    from optilab import console, runs

    only_one(json=json_, quiet=quiet)
    found = runs.locate(runs.root(runs_dir), run)
    if json_:
        console.document({"run": str(found)})
    else:
        typer.echo(found)


@app.command(
    "rm",
    help="Delete runs and studies; asks first. Links inside a run are removed, never followed.",
    epilog=examples(f"optilab runs rm {_RUN}", "optilab runs rm '2026*-sgd-*' --older-than 30d"),
)
def rm(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN...",
            help="Names of runs and studies, paths to them, `latest`, or patterns such as '2026*'.",
            autocompletion=complete_run,
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Only those that started longer ago than AGE: 90m, 12h, 30d, 8w."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    from optilab import console, runs
    from optilab.errors import UsageError

    only_one(json=json_, quiet=quiet)
    if not names and older_than is None:
        raise UsageError("runs rm needs the name of a run, a pattern or --older-than AGE")
    try:
        age = None if older_than is None else runs.age(older_than)
    except ValueError as error:
        raise UsageError(f"--older-than: {error}") from None
    paths = runs.select(runs.root(runs_dir), names or [], age)
    if paths and not yes:
        _confirm([str(path) for path in paths])
    for path in paths:
        runs.remove(path)
        if not (json_ or quiet):
            typer.echo(f"removed {path}")
    if json_:
        console.document({"removed": [str(path) for path in paths]})
    elif not paths and not quiet:
        console.note("nothing to remove: no run is that old")


def _confirm(paths: list[str]) -> None:
    """Ask on a terminal. UsageError without one, Abort for anything but yes."""
    import sys

    from optilab.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError("runs rm asks before it deletes; without a terminal, add --yes")
    typer.confirm(f"delete {', '.join(paths)}?", abort=True)
