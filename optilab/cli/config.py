"""`optilab config`: the shipped presets and the reference of every key."""

from typing import Annotated

import typer

from optilab.cli.options import examples

app = typer.Typer(
    help="Presets and the keys of a config: ls, show, cp, check.",
    no_args_is_help=True,
    epilog=examples("optilab config ls", "optilab config cp sigmoid.yaml my.yaml", "optilab config check my.yaml"),
)


def _complete(incomplete: str) -> list[str]:
    from optilab.config.presets import KINDS, presets

    names = [*KINDS, *(preset.name for preset in presets())]
    return [name for name in names if name.startswith(incomplete)]


_Preset = Annotated[str, typer.Argument(metavar="NAME", help="A preset.", autocompletion=_complete)]


@app.command("ls", epilog=examples("optilab config ls"))
def ls() -> None:
    """List the presets: what each one is, and the command that runs it."""
    from optilab.config.presets import presets
    from optilab.console import config as views

    views.presets(presets())


@app.command("show", epilog=examples("optilab config show train", "optilab config show adam.yaml"))
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="train, optimize, or a preset.", autocompletion=_complete)
    ],
) -> None:
    """Describe every key of `train` or `optimize`, or print a preset."""
    from optilab.config.keys import describe
    from optilab.config.load import schema_for
    from optilab.config.presets import KINDS, named
    from optilab.console import config as views

    if name in KINDS:
        views.reference(name, list(describe(schema_for(name))))
    else:
        typer.echo(named(name).path.read_text(encoding="utf-8"), nl=False)


@app.command("cp", epilog=examples("optilab config cp sigmoid.yaml my.yaml"))
def cp(
    name: _Preset,
    dest: Annotated[str, typer.Argument(metavar="DEST", help="File or folder to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Copy a preset to edit it."""
    from pathlib import Path

    from optilab.config.presets import named
    from optilab.errors import UsageError
    from optilab.runs import write_atomic

    preset, path = named(name), Path(dest)
    if path.is_dir():
        path /= preset.path.name
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file; it is not replaced")
    if path.exists() and not force:
        raise UsageError(f"{path} exists; --force replaces it")
    write_atomic(path, preset.path.read_bytes())
    typer.echo(f"{path}: run it with: optilab {preset.kind} --config {path}")


@app.command("check", epilog=examples("optilab config check my.yaml"))
def check(files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Configs to check.")]) -> int:
    """Check configs without running them; all problems of all files."""
    from optilab.config.load import kind_of, load, schema_for
    from optilab.errors import ExitCode, OptilabError

    status = ExitCode.OK
    for file in files:
        try:
            kind = kind_of(file)
            load(schema_for(kind), file)
        except OptilabError as error:
            typer.echo(f"optilab: {str(error).removeprefix('--config: ')}", err=True)
            status = ExitCode.USAGE
        else:
            typer.echo(f"{file}: ok ({kind})")
    return status
