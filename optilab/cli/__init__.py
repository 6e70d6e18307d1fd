"""The command line: each command is one thin module here: parse -> load -> call -> show.

Modules here import nothing slow at their top: `optilab --help` loads typer and nothing else. A command that is called
by its name is the only one that is imported.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from optilab.cli.options import TypedOrder

COMMANDS = {
    "optimize": "Follow optimizers on a test function, step by step.",
    "explain": "Calculate one step by hand, with the numbers put in.",
    "verify": "Check the rules, or your own implementation of one.",
    "map": "One rule over a grid of settings or of starts.",
    "race": "Race optimizers that were tuned with the same budget.",
    "train": "Train a network; a run can be stopped and resumed.",
    "diagnose": "Say why a network does not learn, and what to change.",
    "remedy": "Try every remedy of the study on one network.",
    "config": "Presets and the keys of a config: ls, show, cp, check.",
    "data": "The FashionMNIST files: fetch, verify, where.",
    "runs": "Run directories: ls, show, path, rm.",
}
"""In the order of `--help`, each with its line there; each is a module beside this one, with a function of that name
or an `app` of its own."""

EXAMPLES = """\b
Examples:
  optilab optimize --algo adam --epochs 30
  optilab optimize --algo sgd,momentum,rmsprop,adam
  optilab train --config sigmoid.yaml --epochs 10
  optilab config ls
"""


def _version(asked: bool) -> None:
    if asked:
        from optilab import __version__

        typer.echo(f"optilab {__version__}")
        raise typer.Exit


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


def build(arguments: Sequence[str]) -> typer.Typer:
    """The application for a command line: its first word's command, or all of them where that is none."""
    app = typer.Typer(
        name="optilab",
        help="A command-line laboratory for optimizers and training dynamics.",
        epilog=EXAMPLES,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    named = [name for name in arguments[:1] if name in COMMANDS]
    for name in named or COMMANDS:
        module = import_module(f"{__name__}.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name, short_help=COMMANDS[name])
        else:
            add = app.command(name, cls=TypedOrder, epilog=module.EXAMPLES, short_help=COMMANDS[name])
            add(getattr(module, name))
    return app
