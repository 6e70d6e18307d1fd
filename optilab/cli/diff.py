"""`optilab runs diff`: two runs to the last bit."""

from typing import Annotated

import typer

from optilab.cli.options import Json, RunsDir, complete_run, examples, only_one

HELP = "Compare two runs to the last bit: config, environment, data, the first epoch that differs, and the cause."
EXAMPLES = examples("optilab runs diff relu-1 relu-2", "optilab runs diff runs/lr-study/0.1-s42 latest")

_Run = Annotated[
    str, typer.Argument(metavar="RUN", help="Name of a run, a path, or `latest`.", autocompletion=complete_run)
]


def diff(
    a: _Run,
    b: _Run,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the number of equal rows and nothing else.")
    ] = False,
) -> None:
    from optilab import runs
    from optilab.console import parting as views
    from optilab.show import terminal
    from optilab.study.parting import part

    only_one(json=json_, quiet=quiet)
    folder = runs.root(runs_dir)
    entries = [runs.read_entry(runs.locate(folder, name)) for name in (a, b)]
    parting = part(entries[0], entries[1])
    first, second = (entry for entry in entries if isinstance(entry, runs.Record))
    if quiet:
        typer.echo(parting.equal)
    elif json_:
        terminal.document(views.document(first, second, parting))
    else:
        views.show(first, second, parting)
