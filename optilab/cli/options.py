"""Options that several commands share, and the order in which they were typed."""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from optilab.cli.completion import axis as complete_axis
from optilab.cli.completion import key as complete_set
from optilab.cli.completion import objective as complete_function
from optilab.cli.completion import preset as complete_preset
from optilab.cli.completion import remedy as complete_remedy
from optilab.cli.completion import rule as complete_algo
from optilab.cli.completion import run as complete_run
from optilab.cli.completion import run_or_preset as complete_run_or_preset
from optilab.errors import UsageError, unknown

if TYPE_CHECKING:
    from optilab.config.load import Override

__all__ = [
    "complete_algo",
    "complete_axis",
    "complete_function",
    "complete_preset",
    "complete_remedy",
    "complete_run",
    "complete_run_or_preset",
    "complete_set",
]

FORMATS = ("table", "csv", "markdown", "latex", "json")
"""What `--format` accepts."""

_TYPED = "optilab.typed"
_PATHS = {"data.dir"}  # keys whose flags are not read as YAML


def not_empty(parameter: typer.CallbackParam, value: str | None) -> str | None:
    """The callback of a flag that is a path: the text as it is, but UsageError where an unset variable left none."""
    if value == "":
        raise UsageError("empty path; give a path, or leave the flag out", parameter.opts[0])
    return value


Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set any key of the config (optilab config show); may be repeated.",
        autocompletion=complete_set,
    ),
]
Expect = Annotated[
    list[str] | None,
    typer.Option(
        "--expect",
        metavar="CLAIM",
        help="Exit with 9 unless the claim holds, as 'val_acc > 0.8' (docs/ci.md); may be repeated.",
    ),
]
Name = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the run directory.")]
RunsDir = Annotated[
    str | None,
    typer.Option(
        "--runs-dir", metavar="DIR", help="Folder of the runs [OPTILAB_RUNS, else ./runs].", callback=not_empty
    ),
]
RunNames = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...",
        help="Names of runs and studies, paths to them, `latest`, or patterns such as 'relu-*'.",
        autocompletion=complete_run,
    ),
]
DataDir = Annotated[
    str | None,
    typer.Option("--data-dir", metavar="DIR", help="Folder of the dataset [OPTILAB_DATA].", callback=not_empty),
]
Plot = Annotated[
    str | None,
    typer.Option(
        "--plot", metavar="FILE", help="Write the picture to a .png, .svg or .pdf file.", callback=not_empty
    ),
]
Dark = Annotated[bool, typer.Option("--dark", help="Dark background for picture files.")]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="table, csv, markdown, latex or json.",
        autocompletion=lambda incomplete: [name for name in FORMATS if name.startswith(incomplete)],
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the run directory and nothing else.")]
Silent = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing; the exit status is the result.")]


def examples(*lines: str) -> str:
    """The end of a help text: commands that run as they are."""
    return "\b\nExamples:\n" + "".join(f"  {line}\n" for line in lines)


class TypedOrder(TyperCommand):
    """A command that remembers its options in the order typed; a repeated option counts each time."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        values, _, order = self.make_parser(ctx).parse_args(args=list(args))
        repeated = {name: iter(value) for name, value in values.items() if isinstance(value, list)}
        ctx.meta[_TYPED] = [
            (option.name, next(repeated[option.name]) if option.name in repeated else values.get(option.name))
            for option in order
        ]
        return super().parse_args(ctx, args)


def overrides(
    ctx: typer.Context, keys: Mapping[str, str], readers: Mapping[str, Callable[[str], Any]] | None = None
) -> "list[Override]":
    """Flags and `--set` as overrides in the order typed.

    `keys` maps a flag's parameter to its config key; its text is read as in YAML, but a path is taken as it is. A
    flag in `readers` sets the key of its own name to what its reader makes of the text.
    """
    from optilab.config.load import Override, override, override_from_text

    changes = []
    for name, value in ctx.meta[_TYPED]:
        flag = f"--{name.rstrip('_').replace('_', '-')}"
        if name == "set_":
            changes.append(override_from_text("--set", value))
        elif name == "expect" and name in keys:
            changes.append(Override("--expect", "expect", [value], adds=True))
        elif name in keys:
            if keys[name] in _PATHS:  # as UTF-8, like a config, in every locale
                text = os.fsencode(value).decode("utf-8", "surrogateescape")
                changes.append(Override(flag, keys[name], text))
            else:
                changes.append(override(flag, keys[name], value))
        elif readers and name in readers:
            changes.append(Override(flag, name, readers[name](value)))
    return changes


def retyped(ctx: typer.Context, parameters: Sequence[str]) -> str:
    """The options of `parameters` as they were typed, to be typed again."""
    words = []
    for name, value in ctx.meta[_TYPED]:
        if name in parameters:
            words += [f"--{name.rstrip('_').replace('_', '-')}", shlex.quote(str(value))]
    return " ".join(words)


def typed(ctx: typer.Context) -> dict[str, Any]:
    """The options that were typed, by parameter, with the text or number of each."""
    return dict(ctx.meta[_TYPED])


def chosen_format(format: str, json_: bool, accepted: Sequence[str] = FORMATS) -> str:
    """The format of a table, where `--json` is short for `--format json`. UsageError for one that does not exist."""
    if format not in accepted:
        raise UsageError(unknown("format", format, accepted), "--format")
    return "json" if json_ else format


def only_one(**flags: Any) -> None:
    """UsageError if more than one of these options is given."""
    typed = [f"--{name.replace('_', '-')}" for name, value in flags.items() if value]
    if len(typed) > 1:
        raise UsageError(f"{' and '.join(typed)} cannot be combined")


def no_config(command: str) -> UsageError:
    """The error of a command that trains, without a config."""
    example = f"optilab {command} sigmoid.yaml"
    return UsageError(f"{command} needs a config, as in: {example} (optilab config ls lists the presets)")
