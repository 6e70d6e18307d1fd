"""Help screens: commands by task, options by what they are about."""

import re
from typing import Any, ClassVar

from typer.core import TyperCommand, TyperGroup

from optilab.errors import UsageError

FEW = 7
"""A command with at most this number of options needs no headings."""
HEADINGS = ("Arguments", "What to run", "How to run it", "Saving and resuming", "Output")
"""In this order; the headings of a race, which is two commands, stand behind the first two."""


class Command(TyperCommand):
    """A command whose options stand below the headings of their groups, `rich_help_panel` of a parameter."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        if not ctx.resilient_parsing:  # a line that is completed need not be whole
            *_, typed = self.make_parser(ctx).parse_args(args=[*args])
            for option in filter(_replaces, self.params):
                if typed.count(option) > 1:
                    raise UsageError(f"{option.opts[0]} is given twice")
        return super().parse_args(ctx, args)

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
                sections.setdefault(heading, []).append((record[0].partition(" <")[0], record[1]))
        if len(parameters) <= FEW:
            arguments = sections.pop("Arguments", [])
            sections = {"Arguments": arguments, "Options": [row for rows in sections.values() for row in rows]}
        ordered = [*HEADINGS[:2], *(name for name in sections if name not in HEADINGS), *HEADINGS[2:]]
        for name in ordered:
            if rows := sections.get(name):
                with formatter.section(name):
                    formatter.write_dl(rows)


def _replaces(option: Any) -> bool:
    """Whether the last value of an option would replace the others of a list, or another axis."""
    several = re.search(r",|^AXIS", option.metavar or "")
    return several is not None and not getattr(option, "multiple", True)


class Root(TyperGroup):
    """`optilab`: its commands stand below the tasks that they are for."""

    tasks: ClassVar[dict[str, list[str]]] = {}

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for task, names in self.tasks.items():
            with formatter.section(task):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(100)) for name in names])
