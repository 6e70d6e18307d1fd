"""The command line, made from the requests of `optilab.commands`.

Only the module of the command that is called is imported. For `optilab --help`, and for the completion of a command's
name, COMMANDS holds all that is shown.
"""

import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from optilab.commands import COMMANDS, GONE, TASKS
from optilab.errors import UsageError, did_you_mean
from optilab.request import completion

if TYPE_CHECKING:
    from optilab.annotations import Field
    from optilab.request.options import OutputOptions

EXAMPLES = """\b
Examples:
  optilab optimize --algo adam --epochs 30
  optilab optimize --algo sgd,momentum,rmsprop,adam
  optilab train --config sigmoid.yaml --epochs 10
  optilab config ls
"""
MAIN_PANEL = "What to run"
"""The heading of the options that a request declares itself."""
HEADINGS = ("Arguments", MAIN_PANEL, "How to run it", "Saving and resuming", "Output")
"""The order of the headings; others come after the first two."""
MAX_WITHOUT_HEADINGS = 7
"""A command with at most this number of options needs no headings."""


def build(arguments: Sequence[str]) -> typer.Typer:
    """The application for a command line: the command that it calls, the others as stubs with a line of help."""
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


def _version(value: bool) -> None:
    if value:
        from optilab import __version__

        typer.echo(f"optilab {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass


def _stub() -> None:
    """A stub of a command that is not called: its name and its line of help."""


def _add(app: typer.Typer, name: str, line: str, called: str) -> None:
    """Add a command, or a group of commands, of which only the one that is called gets its options."""
    module = import_module(f"optilab.commands.{name}")
    if not hasattr(module, "PARTS"):
        _register(app, name, module.COMMAND, line)
        return
    group = typer.Typer(help=line, no_args_is_help=True, epilog=_epilog(module.EXAMPLES))
    for part, command in module.PARTS.items():
        if part == called:
            _register(group, part, command)
        else:
            group.command(part, short_help=_brief(command))(_stub)
    app.add_typer(group, name=name, short_help=line)


def _register(app: typer.Typer, name: str, command: "type[OutputOptions]", line: str | None = None) -> None:
    epilog = f"{_epilog(command.EXAMPLES)}\n{command.NOTES}"
    settings = {"ignore_unknown_options": name == "help"}  # which explains them
    app.command(name, cls=GroupedCommand, epilog=epilog, short_help=line, context_settings=settings)(
        _function(name, command)
    )


def usage_error(error: Exception) -> str | None:
    """The message of Typer's parser, which names near commands and options; None for another kind of exception."""
    if isinstance(error, typer.Abort):
        return "aborted; nothing was changed"
    if not hasattr(error, "format_message"):
        return None
    needed = "a command is needed\n\n" * (type(error).__name__ == "NoArgsIsHelpError")
    message: str = error.format_message()
    context = getattr(error, "ctx", None)
    if message.startswith("No such command") and message.endswith("'."):  # nor is one near
        from optilab.commands.runs import PARTS

        name, commands = message.split("'")[1], context.command.commands  # type: ignore[union-attr]
        expected = f'did you mean "runs {name}"?' if name in PARTS else f"expected one of {', '.join(commands)}"
        message = f"{message.removesuffix('.')}; {expected}"
    elif message.startswith("No such option") and context is not None:
        name = error.option_name.removeprefix("--")  # type: ignore[attr-defined]
        command = context.command_path.removeprefix("optilab ")
        if successor := GONE.get(command, {}).get(name.replace("-", "_")):
            message = f"No such option: --{name}; {successor}"
        elif "(" not in message:
            flags = [flag.removeprefix("--") for option in context.command.params for flag in option.opts]
            message += did_you_mean(name, flags, "--")
    return f"{needed}{message}"


# --- a request as the signature of a command ----------------------------------------------------------------


def _function(name: str, command: "type[OutputOptions]") -> Callable[..., int]:
    """The function that typer registers: it makes the request of the words that were typed and prints its answer."""
    from optilab.request.options import present
    from optilab.request.request import Place, optimizers_of, options

    fields, first = options(command), optimizers_of(command)

    def run(**values: Any) -> int:
        arguments = {
            key: value
            for key, value in values.items()
            if value not in (None, [], ()) and (value is not False or fields[key].default is not False)
        }
        if first and completion.POSITIONAL in arguments:
            _assign_positional(arguments, arguments.pop(completion.POSITIONAL), first, fields)
        request = command.of(arguments, True)
        answer = request.run(Place.of(arguments.get("runs_dir"), sys.argv, request.silent))
        return answer if isinstance(answer, int) else present(answer, request)

    ordered = sorted(fields.values(), key=lambda field: field.group == "Output")  # how it is printed comes last
    parameters = [_parameter(field) for field in ordered]
    if first:
        parameters.insert(0, _argument(first, "config" in fields))
    run.__name__, run.__doc__ = name, command.__doc__
    run.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    run.__annotations__ = {field.name: field.annotation for field in parameters} | {"return": int}
    return run


def _assign_positional(
    arguments: dict[str, Any], value: str, first: "Field", fields: "Mapping[str, Field]"
) -> None:
    """Pass a word without a name to its option. UsageError if that option was typed, too."""
    from optilab.request.request import positional

    name = positional(first, value, fields)
    if name in arguments:
        raise UsageError(f"{value} and {fields[name].flag} {arguments[name]} cannot be combined")
    arguments[name] = value


def _parameter(field: "Field") -> inspect.Parameter:
    from optilab.annotations import Argument, Flag

    flag: Flag = field.mark(Flag) or Flag()
    is_argument, switch = isinstance(flag, Argument), field.is_switch
    common: dict[str, Any] = {
        "help": _help(field),
        "show_default": False,
        "autocompletion": completion.of(flag.complete, field.choices),
    }
    if field.metavar:  # an argument that may be left out is written [RUN]; the usage line adds the brackets
        common["metavar"] = re.sub(r"^\[(.*)\]$", r"\1", field.metavar) if is_argument else field.metavar
    if not is_argument:
        common |= {"rich_help_panel": field.group or MAIN_PANEL}
    info: Any = typer.Argument(**common) if is_argument else typer.Option(*(flag.names or (field.flag,)), **common)
    both = any("/" in name for name in flag.names)
    kind: Any = (bool | None if both else bool) if switch else list[str] if field.repeated else str
    default: Any = False if kind is bool else None
    if field.required_on_command_line:
        default = inspect.Parameter.empty
    elif not switch:
        kind = kind | None
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(field.name, keyword, default=default, annotation=Annotated[kind, info])


def _argument(field: "Field", configs: bool) -> inspect.Parameter:
    """The argument for an option whose name may be left out."""
    from optilab.annotations import Flag

    flag: Flag = field.mark(Flag)
    text = f"The same as {field.flag}" + "; or a YAML file, the same as --config" * configs
    info: Any = typer.Argument(
        metavar=flag.metavar, help=f"{text}.", show_default=False, autocompletion=completion.of(flag.complete)
    )
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(completion.POSITIONAL, keyword, default=None, annotation=Annotated[str | None, info])


# --- help screens -------------------------------------------------------------------------------------------


def _help(field: "Field") -> str:
    """The help text of an option, with its range, and its default unless the text has it."""
    from optilab.annotations import Argument, Flag

    plain = isinstance(field.default, int | float | str) and not isinstance(field.default, bool)
    default = str(field.default) if plain else ""
    flag = field.mark(Flag) or Flag()
    # A list of files has one of each kind; where there are several kinds, the text says so.
    often = field.repeated and not (isinstance(flag, Argument) or flag.path or "may be repeated" in field.doc)
    text = (
        f"{field.doc}{f' [{default}]' if default and '[' not in field.doc else ''}{'; may be repeated' * often}."
    )
    low, high = field.bounds
    return text if low is None else f"{text} ({f'at least {low:,}' if high is None else f'{low:,} to {high:,}'})"


def _brief(command: "type[OutputOptions]") -> str:
    """The first clause of the help text, for a list of commands."""
    return re.split(r"[:;.]", command.__doc__ or "", maxsplit=1)[0] + "."


def _epilog(examples: Sequence[str]) -> str:
    """The end of a help text: commands that run as they are, in lines of at most 80 columns."""
    return "\b\nExamples:\n" + "".join(f"  {_broken(line)}\n" for line in examples)


def _broken(command: str) -> str:
    """A command in lines of 74 characters, each but the last with a backslash; an option stays with its value."""
    quoted = r"""(?:'[^']*'|"[^"]*"|\$\([^)]*\)|[^\s'"])+"""
    parts = re.findall(rf"{quoted}(?: (?!--?[a-z]){quoted})*", command)
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 1 + len(part) <= 74:
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}")
    return " \\\n  ".join(lines)


class GroupedCommand(TyperCommand):
    """A command whose options stand below the headings of their groups, `rich_help_panel` of a parameter."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        if not ctx.resilient_parsing:  # a line that is completed need not be whole
            *_, typed = self.make_parser(ctx).parse_args(args=[*args])
            for option in filter(_is_list, self.params):
                if typed.count(option) > 1:
                    raise UsageError(f"{option.opts[0]} is given twice")
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line, with `RUN...` once, where typer would add dots and braces."""
        pieces = [re.sub(r"\.{3}([\]}]?)\.{3}$", r"...\1", piece) for piece in super().collect_usage_pieces(ctx)]
        return [piece if "|" in piece else re.sub(r"^\{(.*)\}(\.{3})?$", r"\1", piece) for piece in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        parameters = self.get_params(ctx)
        for parameter in parameters:
            if record := parameter.get_help_record(ctx):
                without_panel = "Arguments" if parameter.param_type_name == "argument" else "Output"
                heading = getattr(parameter, "rich_help_panel", None) or without_panel
                sections.setdefault(heading, []).append((record[0].partition(" <")[0], record[1]))
        if len(parameters) <= MAX_WITHOUT_HEADINGS:
            arguments = sections.pop("Arguments", [])
            sections = {"Arguments": arguments, "Options": [row for rows in sections.values() for row in rows]}
        ordered = [*HEADINGS[:2], *(name for name in sections if name not in HEADINGS), *HEADINGS[2:]]
        for name in ordered:
            if rows := sections.get(name):
                with formatter.section(name):
                    formatter.write_dl(rows)


def _is_list(parameter: Any) -> bool:
    """True for an option for a list or an axis, which a second one would replace."""
    metavar = parameter.metavar or ""
    return isinstance(parameter, TyperOption) and not parameter.multiple and ("," in metavar or metavar == "AXIS")


class Root(TyperGroup):
    """`optilab`: its commands stand below the tasks that they are for."""

    tasks: ClassVar[Mapping[str, Mapping[str, str]]] = TASKS

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for task, names in self.tasks.items():
            with formatter.section(task):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(100)) for name in names])
