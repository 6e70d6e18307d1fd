"""What typer's parser refuses, as text with the line to type instead."""

import re
import sys
from typing import Any

import typer

from optilab.errors import did_you_mean

REFUSED = "refused"
"""Where a context has what the parser refused."""


def usage_error(error: Exception) -> str | None:
    """What typer's parser found wrong, and what to type instead; None if this is another kind of exception."""
    if isinstance(error, typer.Abort):
        return "aborted; nothing was changed"
    if not hasattr(error, "format_message"):
        return None
    kind, message = type(error).__name__, str(error.format_message())
    context: Any = getattr(error, "ctx", None)
    if kind == "NoArgsIsHelpError":
        return f"a command is needed\n\n{message}"
    if context is None:
        return message
    from optilab.commands import line

    path, names = context.command_path.split(" ")[1:], [*getattr(context.command, "commands", ())]
    words = sys.argv[1 + len(path) :]
    if match := re.match(r"No such command '(.*?)'\.", message):  # which may go on with names of other commands
        return f"No such command '{match[1]}'{line.other_command(path, words, names)}"
    if kind == "NoSuchOption" and names:
        option = str(getattr(error, "option_name", ""))
        near = did_you_mean(option, [flag for parameter in context.command.params for flag in parameter.opts])
        return f"No such option: {option}{near or line.other_command(path, words, names)}"
    return message
