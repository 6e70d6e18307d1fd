"""Help screens: commands by task, options by what they are about."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from optilab.cli.usage import REFUSED, usage_error
from optilab.errors import Refusals, UsageError, together

FEW = 7
"""A command with at most this number of options needs no headings."""
HEADINGS = ("Arguments", "What to run", "How to run it", "Saving and resuming", "Output")
"""In this order; the headings of a race, which is two commands, stand behind the first two."""


class Command(TyperCommand):
    """A command whose options stand below the headings of their groups, `rich_help_panel` of a parameter."""

    renamed: ClassVar[Mapping[str, str]] = {}
    """Options by their former names, which are still accepted."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        end = args.index("--") if "--" in args else len(args)
        typed, names = args[:end], args[end:]
        for place, word in enumerate(typed):
            name, equals, value = word.partition("=")
            if name in self.renamed:
                typed[place] = self.renamed[name] + equals + value
                typer.echo(
                    f"optilab: {name} is now called {self.renamed[name]}; the old name still works", err=True
                )
        if ctx.resilient_parsing:  # what is completed need not fit yet
            return super().parse_args(ctx, [*typed, *names])
        from optilab.commands.line import read

        refused: Refusals = ctx.meta.setdefault(REFUSED, Refusals())
        line = read([*ctx.command_path.split(" ")[1:], *typed])
        while problems := [repair[1] for _, repair in line.repairs() if repair]:
            refused += map(UsageError, problems)
            line = read([*line.path, *line.mended()])
        try:
            return super().parse_args(ctx, [*line.mended(), *names])
        except Exception as error:
            missing = type(error).__name__ == "MissingParameter"
            if (message := line.needs() if missing else usage_error(error)) is None:
                raise
            raise together([*refused, UsageError(message)]) from None

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """With `RUN...` once, where typer would add its own dots and braces."""
        pieces = [re.sub(r"\.{3}([\]}]?)\.{3}$", r"...\1", piece) for piece in super().collect_usage_pieces(ctx)]
        return [piece if "|" in piece else re.sub(r"^\{(.*)\}$", r"\1", piece) for piece in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        parameters = self.get_params(ctx)
        for parameter in parameters:
            if record := parameter.get_help_record(ctx):
                place = "Arguments" if parameter.param_type_name == "argument" else "Output"
                heading = getattr(parameter, "rich_help_panel", None) or place
                sections.setdefault(heading, []).append((record[0].partition(" <")[0], _ranges(record[1])))
        if len(parameters) <= FEW:
            arguments = sections.pop("Arguments", [])
            sections = {"Arguments": arguments, "Options": [row for rows in sections.values() for row in rows]}
        ordered = [*HEADINGS[:2], *(name for name in sections if name not in HEADINGS), *HEADINGS[2:]]
        for name in ordered:
            if rows := sections.get(name):
                with formatter.section(name):
                    formatter.write_dl(rows)


def _ranges(text: str) -> str:
    """The range of a number as a reader says it."""
    text = re.sub(r" \[(\S+)<=x<=(\S+)\]", lambda ends: f" ({_grouped(ends[1])} to {_grouped(ends[2])})", text)
    return re.sub(r" \[x>=(\S+)\]", lambda ends: f" (at least {_grouped(ends[1])})", text).replace("  (", " (")


def _grouped(number: str) -> str:
    return f"{int(number):,}" if number.isdigit() else number


class Root(TyperGroup):
    """`optilab`: its commands stand below the tasks that they are for."""

    tasks: ClassVar[dict[str, list[str]]] = {}

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for task, names in self.tasks.items():
            with formatter.section(task):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(100)) for name in names])
