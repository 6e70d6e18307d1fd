"""`optilab runs`: what ran, in which state, and with which numbers."""

from typing import Annotated

import typer

from optilab.cli import compare, diff, export
from optilab.cli.options import (
    Dark,
    Format,
    Json,
    Plot,
    Quiet,
    RunsDir,
    chosen_format,
    complete_run,
    examples,
    only_one,
)

_RUN = "20261124-143512-sigmoid-1c2d9e05"  # a name as `train` makes them

app = typer.Typer(
    help="Run directories: ls, show, compare, diff, plot, export, path, rm.",
    no_args_is_help=True,
    epilog=examples("optilab runs ls", "optilab runs show latest", "optilab runs rm '2026*' --older-than 30d"),
)

_Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="Name of a run or study, a path to one, or `latest`.", autocompletion=complete_run
    ),
]

_Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...",
        help="Names of runs and studies, paths to them, `latest`, or patterns such as '2026*'.",
        autocompletion=complete_run,
    ),
]


@app.command(
    "ls",
    help="List runs and studies, oldest first: state, what each changed against its preset, result. A study opens.",
    epilog=examples(
        "optilab runs ls",
        "optilab runs ls --where 'optimizer.lr>0.1' --where state=done --sort -val_acc",
        "optilab runs ls --format csv",
        "optilab runs ls 20261124-231207-sigmoid-sweep-91c07d4e --sort -val_acc",
    ),
)
def ls(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN...]",
            help="A study, to list its trials; or names and patterns such as '2026*' [everything].",
            autocompletion=complete_run,
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION", help="KEY with = != < <= > >= or ~ (a pattern), and a value; may be repeated."
        ),
    ] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="KEY", help="Sort by a key of the config or a result; -KEY: descending.")
    ] = None,
    format_: Format = "table",
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the names and nothing else.")] = False,
) -> None:
    from optilab import runs
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    format_ = chosen_format(format_, json_)
    folder = runs.root(runs_dir)
    paths = runs.select(folder, names or [])
    entries, unreadable = ([*map(runs.read_entry, paths)], {}) if names else runs.entries(folder)
    if quiet and not (where or sort or names):
        for entry in entries:
            typer.echo(entry.name)
        return
    from optilab.console import listing as views
    from optilab.study import listing
    from optilab.study.conditions import read_conditions

    conditions = read_conditions(where or [])
    axes = None
    if names and len(entries) == 1 and isinstance(study := entries[0], runs.Study):
        found, axes = listing.trials(study)
    else:
        found = listing.lines(entries)
    chosen = listing.select(found, conditions, sort)
    if not quiet:
        views.skipped(unreadable, folder)
    if quiet:
        for line in chosen:
            typer.echo(line.about["run"])
    elif chosen or format_ != "table":
        views.show(chosen, format_, axes)
    else:
        terminal.say(
            f"no run in {folder} meets {' and '.join(where)}" if where and found else f"no runs in {folder}"
        )


@app.command(
    "show",
    help="Show one run (state, what it changed, last and best rows) or one study (its trials).",
    epilog=examples(
        "optilab runs show latest",
        f"optilab runs show {_RUN} --config",
        "optilab runs show latest --format csv",
    ),
)
def show(
    run: _Run,
    config: Annotated[bool, typer.Option("--config", help="Print every key of the config, too.")] = False,
    format_: Format = "table",
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    from optilab import runs
    from optilab.console import runs as views

    only_one(json=json_, quiet=quiet)
    format_ = chosen_format(format_, json_)
    entry = runs.read_entry(runs.locate(runs.root(runs_dir), run))
    if quiet:
        typer.echo(entry.path)
    else:
        views.show(entry, format_, config)


@app.command(
    "plot",
    help="Draw trainings: loss, accuracy and layers; runs that differ in nothing but the seed as one curve.",
    epilog=examples(
        "optilab runs plot latest",
        f"optilab runs plot {_RUN} --plot curves.png",
        "optilab runs plot '2026*-sigmoid-*' '2026*-batchnorm-*' --plot curves.svg --dark",
    ),
)
def plot(
    names: _Runs,
    plot: Plot = None,
    dark: Dark = False,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the picture's file and nothing else.")
    ] = False,
) -> None:
    from optilab import runs
    from optilab.charts.training import training_chart
    from optilab.console import runs as views
    from optilab.errors import DataError
    from optilab.show import terminal
    from optilab.study.curves import histories
    from optilab.study.groups import select

    only_one(json=json_, quiet=quiet)
    found = histories(select(runs.root(runs_dir), names))
    if not found.groups:
        raise DataError(f"nothing to draw: no epoch yet in {', '.join(run.name for run in found.without_epochs)}")
    if plot is not None:
        from optilab.show import chart_file

        chart_file.save(training_chart(found), plot, dark)
    if json_:
        terminal.document(views.plot_document(found, plot))
    elif not quiet:
        views.left_out(found)
        if plot is None:
            terminal.draw(training_chart(found))
    if plot is not None and not json_:
        terminal.say(plot)


@app.command(
    "path",
    help="Print the directory of a run or study.",
    epilog=examples("optilab runs path latest", f"optilab runs path {_RUN}"),
)
def path(run: _Run, runs_dir: RunsDir = None, json_: Json = False, quiet: Quiet = False) -> None:
    from optilab import runs
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    found = runs.locate(runs.root(runs_dir), run)
    if json_:
        terminal.document({"run": str(found)})
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
    from optilab import runs
    from optilab.errors import UsageError
    from optilab.show import terminal

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
        terminal.document({"removed": [str(path) for path in paths]})
    elif not paths and not quiet:
        terminal.note("nothing to remove: no run is that old")


app.command("compare", help=compare.HELP, epilog=compare.EXAMPLES)(compare.compare)
app.command("diff", help=diff.HELP, epilog=diff.EXAMPLES)(diff.diff)
app.command("export", help=export.HELP, epilog=export.EXAMPLES)(export.export)


def _confirm(paths: list[str]) -> None:
    """Ask on a terminal. UsageError without one, Abort for anything but yes."""
    import sys

    from optilab.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError("runs rm asks before it deletes; without a terminal, add --yes")
    typer.confirm(f"delete {', '.join(paths)}?", abort=True)
