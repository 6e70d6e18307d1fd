"""The keys of the configs, read off the JSON Schema that is shipped for editors: no schema class is imported."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from optilab.config import SCHEMAS
from optilab.errors import UsageError, did_you_mean, shown
from optilab.numbers import bound
from optilab.proposals import flow

SECTION, ENTRY = "section", "name, or mapping of name and settings"


@dataclass(frozen=True)
class Key:
    """A key of a config by its dotted name, with its default as YAML.

    A key with `choices` takes the name of one of them; of the type `ENTRY` also a mapping of `name` and the settings
    of the entry; `of` is the entry that the key belongs to. A key of the type `SECTION` holds others.
    """

    key: str
    type: str
    default: str
    meaning: str
    of: str = ""
    choices: tuple[str, ...] = ()

    @property
    def section(self) -> str:
        """The dotted name of the section that it belongs to."""
        return self.key.rpartition(".")[0]

    @property
    def last(self) -> str:
        """The name without the section."""
        return self.key.rpartition(".")[2]

    @property
    def takes(self) -> str:
        """The values that it takes, for a message: `a whole number >= 1`."""
        if self.type == ENTRY:
            return "a name, or a mapping with `name`"
        if self.type == SECTION:
            return "a mapping"
        if self.choices == ("true", "false"):
            return "true or false"
        if self.choices:
            return f"one of {', '.join(self.choices)}" if self.choices[1:] else self.choices[0]
        kind = re.sub(r">= (\S+), <= (\S+)", r"from \1 to \2", self.type)
        return kind if kind.startswith("text") else f"a {kind}".replace(" or list", " or a list")


def is_within(key: str, section: str) -> bool:
    """True for the dotted key of a section itself, and for every key below it."""
    return f"{key}.".startswith(f"{section}.")


def shipped(name: str) -> Path:
    """A file or directory that comes with the package: inside it in an installed wheel, next to it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / name
    return inside if inside.exists() else package.parent / name


def schema_file(kind: str) -> Path:
    """The installed JSON Schema of a command's configs, which refers to the file of all."""
    return shipped(f"configs/schema/{kind}.schema.json")


def schema_text(kind: str) -> str:
    """The JSON Schema of a command's configs as one document, with all definitions."""
    schema = json.loads(schema_file(kind).read_text(encoding="utf-8"))
    name = schema["$ref"].rpartition("/")[2]
    return f"{json.dumps({**schema, '$ref': f'#/$defs/{name}', '$defs': _definitions()})}\n"


@cache
def _definitions() -> Mapping[str, Any]:
    file = schema_file("optilab")
    definitions: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))["$defs"]
    return definitions


@cache
def keys_of(kind: str) -> tuple[Key, ...]:
    """Every key of a command's configs, in order."""
    return tuple(_section(_definitions()[SCHEMAS[kind][1]], "", ""))


def _section(schema: Mapping[str, Any], prefix: str, of: str) -> Iterator[Key]:
    needed = schema.get("required", ())
    for name, node in schema.get("properties", {}).items():
        if "const" not in node:
            yield from _key(node, f"{prefix}{name}", of, name in needed)


def _key(node: Mapping[str, Any], name: str, of: str, needed: bool) -> Iterator[Key]:
    options = [_resolved(schema) for schema in node.get("anyOf", [node])]
    default = "required" if needed else _written(node["default"]) if "default" in node else ""
    listed = [_resolved(schema.get("items", {})) for schema in options if schema.get("type") == "array"]
    inner = [part for schema in (*options, *listed) for part in map(_resolved, schema.get("anyOf", [schema]))]
    names = next((tuple(schema["enum"]) for schema in inner if "enum" in schema), ())
    objects = [schema for schema in inner if "properties" in schema]
    sections = [schema for schema in objects if "additionalProperties" in schema]
    entries = {
        schema["properties"]["name"]["const"]: schema
        for schema in objects
        if "const" in schema["properties"].get("name", {})
    }
    meaning = node.get("description", "")
    if entries or (names and objects):
        yield Key(name, ENTRY, default, meaning, of, names)
        for entry, settings in entries.items():
            yield from _section(settings, f"{name}.", entry)
    elif len(sections) == 1:
        yield Key(name, SECTION, default, meaning, of)
        yield from _section(sections[0], f"{name}.", of)
    else:
        yield Key(name, type_of(node), default, meaning, of, tuple(map(str, names)) or _booleans(inner))


def _booleans(options: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return ("true", "false") if any(option.get("type") == "boolean" for option in options) else ()


def _resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    name = node.get("$ref", "").rpartition("/")[2]
    return {**_definitions()[name], **node} if name else node


_TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true | false",
    "object": "mapping",
}
_BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}


def type_of(node: Mapping[str, Any]) -> str:
    """The type of a schema in words: `whole number >= 1, <= 1,000`, `list of numbers`, `a | b`."""
    options = node.get("anyOf", [node])
    if options[1:]:
        return " or ".join(dict.fromkeys(type_of(item) for item in options if item.get("type") != "null"))
    (option,) = options
    if option.get("type") == "array":
        items = option.get("items") or option.get("prefixItems", [{}])[0]
        return f"list of {_plural(type_of(items))}"
    if "enum" in option or "const" in option:
        return " | ".join(map(str, option.get("enum", [option.get("const")])))
    bounds = [f"{sign} {bound(option[name])}" for name, sign in _BOUNDS.items() if name in option]
    return f"{_TYPES.get(option.get('type', ''), 'text')} {', '.join(bounds)}".rstrip()


def _plural(kind: str) -> str:
    noun, _, bounds = kind.partition(" >")
    if noun != "text" and "|" not in noun:
        noun = noun.replace("list of", "lists of") if noun.startswith("list") else f"{noun}s"
    return f"{noun} >{bounds}" if bounds else noun


def _written(value: Any) -> str:
    """A default as YAML, an entry by its name."""

    if isinstance(value, list):
        return flow([entry["name"] if isinstance(entry, dict) and "name" in entry else entry for entry in value])
    return str(value["name"]) if isinstance(value, dict) and "name" in value else flow(value)


@cache
def top_keys(kind: str) -> frozenset[str]:
    """The keys of a command's configs that stand in no section."""
    return frozenset(key.key for key in keys_of(kind) if not key.section)


def keys_of_part(keys: Sequence[Key], name: str) -> list[Key]:
    """The keys of a part of a config: one key, a section, the entries of a choice, or all that an entry has.

    `name` is a dotted key (`model.norm`), a section, or an entry (`adam`, `model.norm.batch`). UsageError names the
    nearest.
    """
    above, _, last = name.rpartition(".")
    chosen = [key for key in keys if is_within(key.key, name)]
    chosen = chosen or [key for key in keys if key.of == last and above in ("", key.section)]
    chosen = chosen or [key for key in keys if not key.of and last in key.choices and above in ("", key.key)]
    if not chosen:
        entries = [entry for key in keys if not key.of for entry in key.choices]
        near = did_you_mean(name, dict.fromkeys([*(key.key for key in keys), *entries]))
        raise UsageError(f"unknown config key {shown(name)}{near}")
    return chosen
