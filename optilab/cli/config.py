"""`optilab config`: the shipped presets, and the reference of every key."""

import os
from pathlib import Path
from typing import Annotated

import typer

from optilab.cli.completion import part as complete_part
from optilab.cli.completion import preset as complete_preset
from optilab.cli.options import Json, Silent, examples, only_one
from optilab.errors import ExitCode, OptilabError, UsageError

KINDS = ("optimize", "train", "sweep", "remedy", "race", "check")

app = typer.Typer(
    help="Presets and the keys of a config: ls, show, schema, cp, check.",
    no_args_is_help=True,
    epilog=examples("optilab config ls", "optilab config cp sigmoid.yaml my.yaml", "optilab config check my.yaml"),
)

_Names = Annotated[bool, typer.Option("--quiet", "-q", help="Print the names and nothing else.")]
_Path = Annotated[bool, typer.Option("--quiet", "-q", help="Print the path and nothing else.")]


@app.command(
    "ls",
    help="List the presets: what each one is, and the command that runs it.",
    epilog=examples("optilab config ls"),
)
def ls(json_: Json = False, quiet: _Names = False) -> None:
    from optilab.config.presets import presets
    from optilab.console import config as views
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    if json_:
        terminal.document(views.preset_facts(presets()))
    elif quiet:
        for preset in presets():
            terminal.say(f"{preset.name}.yaml")
    else:
        views.presets(presets())


@app.command(
    "show",
    help="Describe the keys of the configs of a command, or a part of them; or print a preset.",
    epilog=examples(
        "optilab config show train",
        "optilab config show train model.norm",
        "optilab config show optimize adam",
        "optilab config show adam.yaml",
    ),
)
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help=f"{', '.join(KINDS)}, or a preset.",
            autocompletion=complete_preset(also=KINDS),
        ),
    ],
    part: Annotated[
        str | None,
        typer.Argument(
            metavar="PART", help="A key, a section, a rule or another choice.", autocompletion=complete_part
        ),
    ] = None,
    json_: Json = False,
    quiet: _Names = False,
) -> None:
    from optilab.config import fields, presets
    from optilab.console import config as views
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    if name not in KINDS:
        if part is not None:
            raise UsageError(f"a part is of the keys of {', '.join(KINDS)}, not of the preset {name}")
        preset = presets.named(name)
        text = preset.path.read_text(encoding="utf-8")
        if quiet:
            terminal.say(f"{preset.name}.yaml")
        elif json_:
            terminal.document({**views.preset_facts([preset])["presets"][0], "text": text})
        else:
            typer.echo(text, nl=False)
        return
    described = list(fields.describe(fields.schema_for(name)))
    chosen = described if part is None else fields.part(described, part)
    if json_:
        terminal.document(views.key_facts(name, chosen))
    elif quiet:
        for key in dict.fromkeys(key.key for key in chosen):
            terminal.say(key)
    elif part is None:
        views.overview(name, described)
    else:
        views.details(chosen, presets.rules() if name == "optimize" else {})


@app.command(
    "schema",
    help="Print the keys of a config as JSON Schema, for editors.",
    epilog=examples("optilab config schema train > train.schema.json"),
)
def schema(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help=f"{', '.join(KINDS[:-1])} or {KINDS[-1]}.",
            autocompletion=lambda incomplete: [kind for kind in KINDS if kind.startswith(incomplete)],
        ),
    ],
    json_: Json = False,
    quiet: _Path = False,
) -> None:
    from optilab.config.presets import schema_file
    from optilab.errors import unknown

    only_one(json=json_, quiet=quiet)
    if name not in KINDS:
        raise UsageError(unknown("config", name, KINDS))
    if quiet:
        typer.echo(schema_file(name))
    else:
        from optilab.config.fields import schema_text

        typer.echo(schema_text(name), nl=False)


@app.command("cp", help="Copy a preset to edit it.", epilog=examples("optilab config cp sigmoid.yaml my.yaml"))
def cp(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A preset.", autocompletion=complete_preset())],
    dest: Annotated[str, typer.Argument(metavar="DEST", help="File or folder to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json_: Json = False,
    quiet: _Path = False,
) -> None:
    from optilab.config.presets import named
    from optilab.runs import write_atomic
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    preset, path = named(name), Path(dest)
    if not dest:
        raise UsageError("empty path; give a file or a folder to write", "DEST")
    if path.is_dir():
        path /= preset.path.name
    if os.path.lexists(path):
        if not path.is_file() or path.is_symlink():
            raise UsageError(f"{path} is not a regular file; only regular files are replaced")
        if not force:
            raise UsageError(f"{path} exists; --force replaces it")
    write_atomic(path, preset.copy)
    if json_:
        terminal.document({"path": str(path), "command": preset.kind})
    elif quiet:
        terminal.say(str(path))
    else:
        terminal.say(f"{path}: run it with: optilab {preset.kind} --config {path}")


@app.command(
    "check",
    help="Check configs without running them; all problems of all files.",
    epilog=examples("optilab config check my.yaml"),
)
def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Configs to check.")],
    json_: Json = False,
    quiet: Silent = False,
) -> int:
    from optilab.config.fields import command_of, load, schema_for
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    results = []
    for file in files:
        try:
            kind = command_of(file)
            load(schema_for(kind), file)
        except OptilabError as error:
            results.append({"file": file, "ok": False, "error": error.document()})
            if not quiet:
                terminal.note(str(error).removeprefix("--config: "))
        else:
            results.append({"file": file, "ok": True, "command": kind})
            if not (quiet or json_):
                terminal.say(f"{file}: ok ({kind})")
    if json_:
        terminal.document({"files": results})
    return ExitCode.OK if all(result["ok"] for result in results) else ExitCode.USAGE
