"""The command line, made from the requests of `optilab.commands`; it knows no command but by its name.

Only the module of the command that is called is imported. For `optilab --help`, and for the completion of a command's
name, COMMANDS holds all that is shown.
"""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from optilab.cli.help import Root
from optilab.commands import COMMANDS, TASKS, completion

if TYPE_CHECKING:
    from optilab.commands.request import Verb

__all__ = ["COMMANDS", "build", "usage_error"]

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


def build(arguments: Sequence[str]) -> typer.Typer:
    """The application for a command line: the command that it calls, the others as stubs with a line of help."""
    Root.tasks = {task: list(commands) for task, commands in TASKS.items()}
    app = typer.Typer(
        name="optilab",
        cls=Root,
        help="A command-line laboratory for optimizers and training dynamics.",
        epilog=EXAMPLES,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    typed = completion.words(os.environ) or arguments
    called, part, *_ = [*(word for word in typed if not word.startswith("-")), "", ""]
    for name, line in COMMANDS.items():
        if name == called:
            _add(app, name, line, part)
        else:
            app.command(name, short_help=line)(_stub)
    return app


def _stub() -> None:
    """A command that is not called."""


def _add(app: typer.Typer, name: str, line: str, called: str) -> None:
    """Add a command, or a group of commands, of which only the one that is called gets its options."""
    from optilab.cli.flags import brief, epilog

    verb = import_module(f"optilab.commands.{name}")
    if not hasattr(verb, "VERBS"):
        _register(app, name, verb.VERB, line)
        return
    group = typer.Typer(help=line, no_args_is_help=True, epilog=epilog(verb.EXAMPLES))
    for part, one in verb.VERBS.items():
        if part == called:
            _register(group, part, one)
        else:
            group.command(part, short_help=brief(one.requests[0]))(_stub)
    app.add_typer(group, name=name, short_help=line)


def _register(app: typer.Typer, name: str, verb: "Verb", line: str | None = None) -> None:
    from optilab.cli.flags import command, epilog
    from optilab.cli.help import Command

    request = verb.requests[0]
    app.command(name, cls=Command, epilog=f"{epilog(request.EXAMPLES)}\n{request.NOTES}", short_help=line)(
        command(verb)
    )


def usage_error(error: Exception) -> str | None:
    """The message of Typer's parser, which names near commands and options; None for another kind of exception."""
    if isinstance(error, typer.Abort):
        return "aborted; nothing was changed"
    if not hasattr(error, "format_message"):
        return None
    needed = "a command is needed\n\n" * (type(error).__name__ == "NoArgsIsHelpError")
    return f"{needed}{error.format_message()}"
