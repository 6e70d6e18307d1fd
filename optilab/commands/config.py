"""`optilab config`: the shipped presets, and the reference of every key."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_doc import Doc

from optilab.commands.answer import Part, Printed, Sentence, Verbatim
from optilab.commands.options import QUIET, OutputOptions, SilentOptions
from optilab.commands.verb import Place, Verb
from optilab.config import SCHEMAS
from optilab.errors import ExitCode, OptilabError, UsageError, did_you_mean, shell, unknown
from optilab.marks import Argument
from optilab.runs import write_atomic
from optilab.show import terminal

if TYPE_CHECKING:
    from optilab.config.fields import Key
    from optilab.config.presets import Preset

KINDS = tuple(SCHEMAS)

_Names = Annotated[bool, QUIET, Doc("Print the names and nothing else")]
_Path = Annotated[bool, QUIET, Doc("Print the path and nothing else")]


# --- ls ----------------------------------------------------------------------------------------------------


class ListPresets(OutputOptions):
    """List the presets: what each one is, and the command that runs it."""

    EXAMPLES = ("optilab config ls",)

    quiet: _Names = False


FOLDERS = {
    "remedies": "one change each to sigmoid.yaml",
    "optimizers": "sigmoid.yaml with another optimizer, its lr tuned",
    "published": "networks with a published log",
}
"""What the presets of a directory are."""


def ls(request: ListPresets, place: Place) -> Printed:
    from optilab.config.presets import presets

    parts: list[Part] = []
    for (kind, folder), group in groupby(presets(), lambda preset: (preset.kind, preset.path.parent.name)):
        rows = [[f"{preset.name}.yaml", preset.title] for preset in group]
        parts += [terminal.grid([f"optilab {kind} --config", FOLDERS.get(folder, "")], rows, left=(0, 1)), ""]
    parts.append("run one:  optilab train --config sigmoid.yaml")
    parts.append("edit one: optilab config cp sigmoid.yaml my.yaml")
    names = [f"{preset.name}.yaml" for preset in presets()]
    return Printed(parts, {"presets": list(map(_facts, presets()))}, names)


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


def show(request: ShowConfig, place: Place) -> Printed:
    from optilab.config import fields, presets

    name, part = request.name, request.part
    if part is None and name not in KINDS:  # a key of one of them
        keys_of = {kind: list(fields.describe(fields.schema_for(kind))) for kind in ("train", "optimize")}
        having = [
            kind for kind, keys in keys_of.items() if any(f"{key.key}.".startswith(f"{name}.") for key in keys)
        ]
        name, part = (having[0], name) if having else (name, part)
        near = did_you_mean(name, [key.key for keys in keys_of.values() for key in keys])
        if "." in name and not having and near and not name.endswith((".yaml", ".yml")):
            raise UsageError(f"no key is called {name!r}{near}")
    if name not in KINDS:
        if part is not None:
            kind = presets.named(name).kind
            raise UsageError(
                f"{name} is a preset, which has no parts; its keys: optilab config show {kind} {part}"
            )
        preset = presets.named(name, KINDS)
        text = preset.path.read_text(encoding="utf-8")
        if name == "lr":  # a command, too
            terminal.note(
                "this is the preset lr.yaml; the command lr reads configs of train: optilab config show train"
            )
        shown = [Verbatim(text.removesuffix("\n"))]
        return Printed(shown, {**_facts(preset), "text": text}, [f"{preset.name}.yaml"])
    described = list(fields.describe(fields.schema_for(name)))
    keys = described if part is None else fields.part(described, part)
    if part is None:
        parts = _overview(name, described)
    else:
        parts = _details(keys, presets.rules() if name == "optimize" else {})
    facts = {"command": name, "keys": [asdict(key) for key in keys]}
    return Printed(list(parts), facts, list(dict.fromkeys(key.key for key in keys)))


def _overview(kind: str, keys: "Sequence[Key]") -> Iterator[Part]:
    """Every key of a command's config, section by section, then the entries of each choice with their settings."""
    from optilab.config.fields import LAST, SECTION, schema_for

    set_ = "; --set KEY=VALUE sets any of them" if kind in ("optimize", "train") else ""
    yield Sentence(f"Keys of `optilab {kind}` configs with their defaults{set_}.", "bold")
    examples = {"optimize": "adam, function", "train": "model.norm, data, adam", "check": "checks.expect"}
    example = examples.get(kind, "seeds, expect")
    yield f"Types and ranges of a part: optilab config show {kind} PART, as in: {example}"
    everyday = schema_for(kind).everyday
    own = [key for key in keys if not key.of and key.key not in everyday]
    yield from _section("everyday", [key for name in everyday for key in keys if key.key == name])
    yield from _section("other keys of the run", [k for k in own if "." not in k.key and k.type != SECTION])
    sections = sorted((key for key in own if key.type == SECTION), key=lambda key: key.key == LAST)
    for section in sections:
        if section.key == LAST:
            yield from _choices(keys)
        default = f"; default {section.default}" if section.default else ""
        inside = [key for key in own if key.key.startswith(f"{section.key}.")]
        yield from _section(f"{section.key}: {section.meaning}{default}", inside)
    if not any(section.key == LAST for section in sections):
        yield from _choices(keys)


def _section(title: str, keys: "Sequence[Key]") -> Iterator[Part]:
    """A line for each key: name, default, meaning."""
    yield ""
    yield Sentence(title, "bold")
    rows = [[key.key, key.default, key.meaning] for key in keys]
    yield terminal.grid(["", "", ""], rows, left=(0, 1, 2), show_header=False)


def _choices(keys: "Sequence[Key]") -> Iterator[Part]:
    """A line for each entry of each choice: name, settings; keys that choose from the same entries share them."""
    from optilab.config.fields import ENTRY

    titles: dict[tuple[str, ...], list[str]] = {}
    for key in keys:
        if key.type == ENTRY and not key.of:
            shared = next((names for names in titles if set(key.choices) <= set(names)), key.choices)
            titles.setdefault(shared, []).append(key.key)
    for names, chosen_by in titles.items():
        yield ""
        yield Sentence(f"{', '.join(chosen_by)}: one of", "bold")
        rows = []
        for name in names:
            settings = [key for key in keys if key.of == name and key.key.rpartition(".")[0] == chosen_by[0]]
            texts = (f"{key.key.removeprefix(f'{chosen_by[0]}.')} {key.default}" for key in settings)
            rows.append([name, ", ".join(texts)])
        yield terminal.grid(["", ""], rows, left=(0, 1), show_header=False)


def _details(keys: "Sequence[Key]", rules: Mapping[str, Mapping[str, Any]]) -> Iterator[Part]:
    """Keys with their types and ranges; `rules` holds the settings of a rule's preset, by the rule's name."""
    from optilab.config.fields import ENTRY
    from optilab.config.yaml import flow

    if len({key.of for key in keys}) == len(keys) > 1 == len({key.key for key in keys}):  # of many entries
        alike: dict[str, list[list[str]]] = {}
        for key in keys:
            own = rules.get(key.of, {}).get(key.key.rpartition(".")[2])
            alike.setdefault(f"{key.key}: {key.meaning}: {key.type}", []).append(
                [key.of, key.default, "" if own is None else flow(own)]
            )
        for title, lines in alike.items():
            yield from ("", Sentence(title, "bold"))
            headings = ["of", "default", *(["preset"] if any(line[2] for line in lines) else [])]
            yield terminal.grid(headings, [line[: len(headings)] for line in lines], left=range(len(headings)))
        return
    for of, group in groupby(keys, key=lambda key: key.of):
        preset, rows = rules.get(of, {}), []
        for key in group:
            names = f"; one of {', '.join(key.choices)}" if key.type == ENTRY else ""
            value = [flow(preset.get(key.key.rpartition(".")[2]))] if preset else []
            rows.append([key.key, key.default, *value, f"{key.meaning}: {key.type}{names}"])
        yield ""
        if of:
            yield Sentence(of, "bold")
        headings = ["key", "default", *(["preset"] if preset else []), "meaning"]
        yield terminal.grid(headings, rows, left=range(4))
        if preset:
            yield f"preset: of the exercise; used wherever optimize, map and explain find the name {of}"
            yield "default: of the literature; used by train and verify"


# --- schema ------------------------------------------------------------------------------------------------


class PrintSchema(OutputOptions):
    """Print the keys of a config as JSON Schema, for editors."""

    EXAMPLES = ("optilab config schema train > train.schema.json",)

    name: Annotated[
        str, Argument("NAME", complete=",".join(KINDS)), Doc(f"{', '.join(KINDS[:-1])} or {KINDS[-1]}")
    ]
    quiet: Annotated[bool, QUIET, Doc("Print the path of the schema and nothing else")] = False


def schema(request: PrintSchema, place: Place) -> Printed | ExitCode:
    """The schema is a document itself, with `--json` too."""
    from optilab.config.fields import schema_text
    from optilab.config.presets import schema_file

    if request.name not in KINDS:
        raise UsageError(unknown("config", request.name, KINDS))
    place.refused.settle()
    if request.quiet:
        return Printed([], {}, [Verbatim(schema_file(request.name))])
    sys.stdout.write(schema_text(request.name))
    return ExitCode.OK


# --- cp ----------------------------------------------------------------------------------------------------


class CopyPreset(OutputOptions):
    """Copy a preset to edit it."""

    EXAMPLES = ("optilab config cp sigmoid.yaml my.yaml",)

    name: Annotated[str, Argument("NAME", complete="preset"), Doc("A preset")]
    dest: Annotated[str, Argument("DEST", path=True), Doc("File or directory to write")]
    force: Annotated[bool, Doc("Replace an existing file")] = False
    quiet: _Path = False


def cp(request: CopyPreset, place: Place) -> Printed:
    from optilab.config.presets import named

    preset, path = named(request.name), Path(request.dest)
    if path.is_dir():
        path /= preset.path.name
    files = {path: preset.copy}
    if preset.code is not None:  # which the copy looks for next to it
        files[path.parent / preset.code.name] = preset.code.read_bytes()
    for file in filter(os.path.lexists, files):
        if not file.is_file() or file.is_symlink():
            raise UsageError(f"{file} is not a regular file; only regular files are replaced")
        if not request.force:
            raise UsageError(f"{file} exists; --force replaces it")
    for file, content in files.items():
        write_atomic(file, content)
    sentence = f"{', '.join(map(str, files))}: run it with: {shell(preset.kind, '--config', path)}"
    facts = {"path": str(path), "files": list(map(str, files)), "command": preset.kind}
    return Printed([sentence], facts, [str(path)])


# --- check -------------------------------------------------------------------------------------------------


class CheckConfigs(SilentOptions):
    """Check configs without running them; all problems of all files."""

    EXAMPLES = ("optilab config check my.yaml",)

    files: Annotated[list[str], Argument("FILE..."), Doc("Configs to check")]


def check(request: CheckConfigs, place: Place) -> Printed:
    from optilab.config.fields import schema_for
    from optilab.config.load import command_of, lines_of, load, relocated
    from optilab.config.study import SweepConfig

    results: list[dict[str, Any]] = []
    for file in request.files:
        try:
            kind = command_of(file)
            found = load(schema_for(kind), file)
            if isinstance(found, SweepConfig):
                from optilab.study.sweep import plan, resolve

                try:
                    plan(resolve(found))
                except OptilabError as error:
                    raise relocated(error, lines_of(file)) from None
        except OptilabError as error:
            results.append({"file": file, "ok": False, "error": error.document()})
            if not request.quiet:
                terminal.note(str(error))
        else:
            results.append({"file": file, "ok": True, "command": kind})
            if not place.silent:
                terminal.say(f"{file}: ok ({kind})")
    code = ExitCode.OK if all(result["ok"] for result in results) else ExitCode.USAGE
    return Printed([], {"files": results}, exit_code=code)


VERBS = {
    "ls": Verb(ls, (ListPresets,)),
    "show": Verb(show, (ShowConfig,)),
    "schema": Verb(schema, (PrintSchema,)),
    "cp": Verb(cp, (CopyPreset,)),
    "check": Verb(check, (CheckConfigs,)),
}
EXAMPLES = ("optilab config ls", "optilab config cp sigmoid.yaml my.yaml", "optilab config check my.yaml")
