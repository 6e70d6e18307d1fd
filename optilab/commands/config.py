"""`optilab config`: the shipped presets, and the reference of every key."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_doc import Doc

from optilab.annotations import Argument
from optilab.answer.answer import SimpleAnswer
from optilab.config import SCHEMAS
from optilab.config.keys import ENTRY
from optilab.errors import ExitCode, OptilabError, UsageError, shell, unknown
from optilab.request.options import QUIET, OutputOptions, SilentOptions
from optilab.request.request import Place
from optilab.runs import write_atomic
from optilab.show import terminal
from optilab.show.blocks import Block, Sentence, Verbatim
from optilab.show.table import grid

if TYPE_CHECKING:
    from optilab.config.keys import Key
    from optilab.config.presets import Preset

KINDS = tuple(SCHEMAS)

_Names = Annotated[bool, QUIET, Doc("Print the names and nothing else")]
_Path = Annotated[bool, QUIET, Doc("Print the path and nothing else")]


# --- ls ----------------------------------------------------------------------------------------------------


class ListPresets(OutputOptions):
    """List the presets: what each one is, and the command that runs it."""

    EXAMPLES = ("optilab config ls",)

    quiet: _Names = False

    def run(self, place: Place) -> SimpleAnswer:
        from optilab.config.presets import presets

        blocks: list[Block] = []
        for (kind, directory), group in groupby(presets(), lambda preset: (preset.kind, preset.path.parent.name)):
            rows = [[f"{preset.name}.yaml", preset.title] for preset in group]
            blocks += [grid([f"optilab {kind} --config", DIRECTORIES.get(directory, "")], rows, left=(0, 1)), ""]
        blocks.append("run one:  optilab train --config sigmoid.yaml")
        blocks.append("edit one: optilab config cp sigmoid.yaml my.yaml")
        names = [f"{preset.name}.yaml" for preset in presets()]
        return SimpleAnswer(blocks, {"presets": list(map(_facts, presets()))}, names)


DIRECTORIES = {
    "remedies": "one change each to sigmoid.yaml",
    "optimizers": "sigmoid.yaml with another optimizer, its lr tuned",
    "published": "networks with a published log",
}
"""Descriptions of the directories of presets."""


def _facts(preset: "Preset") -> dict[str, Any]:
    return {"command": preset.kind, "name": preset.name, "title": preset.title, "path": str(preset.path)}


# --- show --------------------------------------------------------------------------------------------------


class ShowConfig(OutputOptions):
    """Describe the keys of the configs of a command, or a part of them; or print a preset."""

    EXAMPLES = (
        "optilab config show train",
        "optilab config show train model.norm",
        "optilab config show optimize adam",
        "optilab config show adam.yaml",
    )

    name: Annotated[str, Argument("NAME", complete="config"), Doc(f"{', '.join(KINDS)}, or a preset")]
    part: Annotated[
        str | None, Argument("PART", complete="part"), Doc("A key, a section, an optimizer or another choice")
    ] = None
    quiet: _Names = False

    def run(self, place: Place) -> SimpleAnswer:
        from optilab.config import presets
        from optilab.config.keys import is_within, keys_of, keys_of_part

        name, chosen = self.name, self.part
        if chosen is None and name not in KINDS:  # a key of one of them
            kinds = [kind for kind in presets.KINDS if any(is_within(key.key, name) for key in keys_of(kind))]
            name, chosen = (kinds[0], name) if kinds else (name, chosen)
        if name not in KINDS:
            preset = presets.named(name)
            if chosen is not None:
                raise UsageError(f"{name} is a preset, without parts; expected {', '.join(KINDS)}")
            text = preset.path.read_text(encoding="utf-8")
            return SimpleAnswer(
                [Verbatim(text.removesuffix("\n"))], {**_facts(preset), "text": text}, [f"{preset.name}.yaml"]
            )
        keys = [*keys_of(name)]
        keys = keys if chosen is None else keys_of_part(keys, chosen)
        facts = {"command": name, "keys": [asdict(key) for key in keys]}
        keys = sorted(keys, key=lambda key: bool(key.of))
        return SimpleAnswer([*_tables(keys, chosen is None)], facts, [*dict.fromkeys(key.key for key in keys)])


def _tables(keys: "Sequence[Key]", whole: bool) -> Iterator[Block]:
    """A table of the keys of the sections, and one of those of each entry; of a `whole` config a line for an entry."""
    for number, ((name, section), group) in enumerate(groupby(keys, lambda key: (key.of, key.of and key.section))):
        settings = list(group)
        if section and name and whole:
            yield f"{section} {name}: {', '.join(f'{key.last} {key.default}' for key in settings)}"
            continue
        if number:
            yield ""
        if name:
            yield Sentence(name, "bold")
        rows = [[key.key, key.default, _meaning(key)] for key in settings]
        yield grid(["key", "default", "meaning"], rows, left=range(3))


def _meaning(key: "Key") -> str:
    names = f"; one of {', '.join(key.choices)}" if key.type == ENTRY else ""
    return f"{key.meaning}: {key.type}{names}"


# --- schema ------------------------------------------------------------------------------------------------


class PrintSchema(OutputOptions):
    """Print the keys of a config as JSON Schema, for editors."""

    EXAMPLES = ("optilab config schema train > train.schema.json",)

    name: Annotated[
        str, Argument("NAME", complete=",".join(KINDS)), Doc(f"{', '.join(KINDS[:-1])} or {KINDS[-1]}")
    ]
    quiet: Annotated[bool, QUIET, Doc("Print the path of the schema and nothing else")] = False

    def run(self, place: Place) -> SimpleAnswer | ExitCode:
        """The schema is a document itself, with `--json` too."""
        from optilab.config.keys import schema_file, schema_text

        if self.name not in KINDS:
            raise UsageError(unknown("config", self.name, KINDS))
        if self.quiet:
            return SimpleAnswer([], {}, [Verbatim(schema_file(self.name))])
        sys.stdout.write(schema_text(self.name))
        return ExitCode.OK


# --- cp ----------------------------------------------------------------------------------------------------


class CopyPreset(OutputOptions):
    """Copy a preset to edit it."""

    EXAMPLES = ("optilab config cp sigmoid.yaml my.yaml",)

    name: Annotated[str, Argument("NAME", complete="preset"), Doc("A preset")]
    dest: Annotated[str, Argument("DEST", path=True), Doc("File or directory to write")]
    force: Annotated[bool, Doc("Replace an existing file")] = False
    quiet: _Path = False

    def run(self, place: Place) -> SimpleAnswer:
        from optilab.config.presets import named

        preset, path = named(self.name), Path(self.dest)
        if path.is_dir():
            path /= preset.path.name
        files = {path: preset.copy}
        if preset.code is not None:  # which the copy looks for next to it
            files[path.parent / preset.code.name] = preset.code.read_bytes()
        for file in filter(os.path.lexists, files):
            if not file.is_file() or file.is_symlink():
                raise UsageError(f"{file} is not a regular file; only regular files are replaced")
            if not self.force:
                raise UsageError(f"{file} exists; --force replaces it")
        for file, content in files.items():
            write_atomic(file, content)
        sentence = f"{', '.join(map(str, files))}: run it with: {shell(preset.kind, '--config', path)}"
        facts = {"path": str(path), "files": list(map(str, files)), "command": preset.kind}
        return SimpleAnswer([sentence], facts, [str(path)])


# --- check -------------------------------------------------------------------------------------------------


class CheckConfigs(SilentOptions):
    """Check configs without running them; all problems of all files."""

    EXAMPLES = ("optilab config check my.yaml",)

    files: Annotated[list[str], Argument("FILE..."), Doc("Configs to check")]

    def run(self, place: Place) -> SimpleAnswer:
        results: list[dict[str, Any]] = []
        for file in self.files:
            try:
                kind = _checked(file, place)
            except OptilabError as error:
                results.append({"file": file, "ok": False, "error": error.document()})
                if not self.quiet:
                    terminal.note(str(error))
            else:
                results.append({"file": file, "ok": True, "command": kind})
                if not place.silent:
                    terminal.say(f"{file}: ok ({kind})")
        code = ExitCode.OK if all(result["ok"] for result in results) else ExitCode.USAGE
        return SimpleAnswer([], {"files": results}, code=code)


def _checked(file: str, place: Place) -> str:
    """The command to which a config file belongs; ConfigError for a config that is not valid."""
    from optilab.config import presets
    from optilab.config.load import STUDIES, at_place, command_of, load, read
    from optilab.config.section import schema_for

    kind = command_of(file)
    config: Any = load(schema_for(kind), file)
    try:
        if kind in STUDIES:
            from optilab.study import benchmark, remedy, sweep

            plans: Any = {"sweep": sweep, "remedy": remedy, "benchmark": benchmark}[kind]
            plans.spec_of(config, ())
        elif kind == "race":
            from optilab.commands.race import RunRace, race_on_functions

            race_on_functions(RunRace(**dict(config), dry_run=True), place)
    except OptilabError as error:
        raise at_place(error, read(presets.find("", file))) from None
    return kind


PARTS = {
    "ls": ListPresets,
    "show": ShowConfig,
    "schema": PrintSchema,
    "cp": CopyPreset,
    "check": CheckConfigs,
}
EXAMPLES = ("optilab config ls", "optilab config cp sigmoid.yaml my.yaml", "optilab config check my.yaml")
