"""Options that several commands share, and the order in which they were typed."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from optilab.config.load import Override

_TYPED = "optilab.typed"

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set any key of the config; may be repeated."),
]
Name = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the run directory.")]
RunsDir = Annotated[
    str | None,
    typer.Option("--runs-dir", metavar="DIR", help="Where runs are kept [OPTILAB_RUNS, else ./runs]."),
]
Plot = Annotated[
    str | None, typer.Option("--plot", metavar="FILE", help="Write the picture to a .png, .svg or .pdf file.")
]
Dark = Annotated[bool, typer.Option("--dark", help="Picture files on a dark ground.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the run directory and nothing else.")]


def examples(*lines: str) -> str:
    """The end of a help text: commands that run as they are."""
    return "\b\nExamples:\n" + "".join(f"  {line}\n" for line in lines)


def complete_preset(kind: str) -> Any:
    """Shell completion of `--config`: preset names, beside the shell's own file names."""

    def names(incomplete: str) -> list[str]:
        from optilab.config.presets import presets

        return [f"{preset.name}.yaml" for preset in presets(kind) if preset.name.startswith(incomplete)]

    return names


def complete_algo(incomplete: str) -> list[str]:
    """Shell completion of the last name of a list of algorithms."""
    from optilab.optimize import ALGORITHMS

    return complete_list(ALGORITHMS, incomplete)


def complete_function(incomplete: str) -> list[str]:
    """Shell completion of the last name of a list of test functions."""
    from optilab.optimize import FUNCTIONS

    return complete_list(FUNCTIONS, incomplete)


def complete_list(names: Iterable[str], incomplete: str) -> list[str]:
    """The comma-separated list that has been typed, its last name completed."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(last)]


def complete_run(ctx: typer.Context, incomplete: str) -> list[str]:
    """Shell completion of run names, newest first."""
    from optilab import runs

    folder = runs.root(ctx.params.get("runs_dir"))
    return [path.name for path in reversed(runs.directories(folder)) if path.name.startswith(incomplete)]


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

    `keys` maps a flag's parameter to its config key; a flag in `readers` sets the key of its own name to what its
    reader makes of the text.
    """
    from optilab.config.load import Override, override, override_from_text

    found = []
    for name, value in ctx.meta[_TYPED]:
        if name == "set_":
            found.append(override_from_text("--set", value))
        elif name in keys:
            flag = f"--{name.rstrip('_').replace('_', '-')}"
            found.append(override(flag, keys[name], value))
        elif readers and name in readers:
            found.append(Override(f"--{name}", name, readers[name](value)))
    return found


def retyped(ctx: typer.Context, parameters: Sequence[str]) -> str:
    """The options of `parameters` as they were typed, to be typed again."""
    words = []
    for name, value in ctx.meta[_TYPED]:
        if name in parameters:
            words += [f"--{name.rstrip('_')}", shlex.quote(str(value))]
    return " ".join(words)


def only_one(**flags: Any) -> None:
    """UsageError where two options that exclude each other are both given."""
    from optilab.errors import UsageError

    given = [f"--{name.replace('_', '-')}" for name, value in flags.items() if value]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} cannot be combined")
