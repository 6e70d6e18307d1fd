"""The command line: each command is one thin module here: parse -> load -> call -> show.

Modules here import nothing slow at their top: `optilab --help` loads typer and nothing else.
"""

from typing import Annotated

import typer

from optilab.cli import config, data, diagnose, explain, map, optimize, race, remedy, runs, train, verify
from optilab.cli.options import TypedOrder

EXAMPLES = """\b
Examples:
  optilab optimize --algo adam --epochs 30
  optilab optimize --algo sgd,momentum,rmsprop,adam
  optilab train --config sigmoid.yaml --epochs 10
  optilab config ls
"""

app = typer.Typer(
    name="optilab",
    help="A command-line laboratory for optimizers and training dynamics.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from optilab import __version__

        typer.echo(f"optilab {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass


def usage_error(error: Exception) -> str | None:
    """What typer's parser found wrong, as text; None if this is another kind of exception."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return f"a command is needed\n\n{error.format_message()}"  # type: ignore[attr-defined]
    if isinstance(error, typer.Abort):
        return "aborted; nothing was changed"
    said = getattr(error, "format_message", None)
    return said() if said else None


app.command("optimize", cls=TypedOrder, epilog=optimize.EXAMPLES)(optimize.optimize)
app.command("explain", cls=TypedOrder, epilog=explain.EXAMPLES)(explain.explain)
app.command("verify", cls=TypedOrder, epilog=verify.EXAMPLES)(verify.verify)
app.command("map", cls=TypedOrder, epilog=map.EXAMPLES)(map.map_)
app.command("race", epilog=race.EXAMPLES)(race.race)
app.command("train", cls=TypedOrder, epilog=train.EXAMPLES)(train.train)
app.command("diagnose", epilog=diagnose.EXAMPLES)(diagnose.diagnose)
app.command("remedy", cls=TypedOrder, epilog=remedy.EXAMPLES)(remedy.remedy)
app.add_typer(config.app, name="config")
app.add_typer(data.app, name="data")
app.add_typer(runs.app, name="runs")
