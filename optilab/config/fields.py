"""The keys of a config: what a field may be, and what is read off the fields of a section.

A section is a class whose annotated fields give each key its type, range, default and help text. One walk over them
(`keys_of`) lists the keys for `config show`, completion and advice (`describe`), and writes them as JSON Schema for
editors (`json_schema`). `config/load.py` reads a tree into a value of a section.
"""

import inspect
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from importlib import import_module
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

# Without this, pydantic searches every installed package for plugins at each start. It reads the
# variable when it builds its first model, so this comes before its import; child processes may inherit it.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from annotated_types import Ge, Gt, Le, Len, Lt, MaxLen, MinLen
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    Strict,
    create_model,
)
from pydantic_core import PydanticCustomError, core_schema

from optilab.config import SCHEMAS, yaml
from optilab.errors import ELSEWHERE, UsageError, did_you_mean, one_of, shown, unknown
from optilab.marks import Field
from optilab.optimize import RULES, Rule
from optilab.optimize.own import OwnRule, is_own, kind_of
from optilab.optimize.own_source import Origin
from optilab.runs import run_name

_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z", re.ASCII)
OWN = {"type": "string", "pattern": r":|\.py$"}
"""Code of the user's own, as JSON Schema has to recognize it: FILE.py:NAME or package.module:NAME."""

Definitions = dict[str, Any]
"""The `$defs` of a JSON Schema: class name -> schema of a section or an entry, each once."""


# --- what a field may be -----------------------------------------------------------------------------------


def decimal(given: Any) -> Any:
    """`1e-3` is text to YAML 1.1; in a number field it is the number it looks like."""
    return float(given) if isinstance(given, str) and _DECIMAL.match(given) else given


def percentage(given: Any) -> str:
    """`; for 50% write 0.5` about a number that is taken for a percentage, where a fraction is asked for."""
    value = decimal(given)
    return f"; for {value:g}% write {value / 100:g}" if isinstance(value, int | float) and 5 <= value < 100 else ""


class Section(BaseModel):
    """Base of every part of a config: strict types, no unknown keys, finite numbers, frozen."""

    kind: ClassVar[str]
    """For a whole config: the command that reads it."""
    everyday: ClassVar[Sequence[str]] = ()
    """For a whole config: the keys of a first config of one's own, listed before all others."""
    moved: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier versions -> where they are now."""
    as_text: ClassVar[Mapping[str, Any]] = {}
    """JSON Schema of a text that may stand in place of the mapping."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


@dataclass(frozen=True)
class Pattern:
    """What JSON Schema knows of a text that a validator checks."""

    regex: str


def refusal(message: str, key: str = "") -> PydanticCustomError:
    """The problem of a value, to be raised where it is validated; `key` is dotted, where it is that of another key."""
    return PydanticCustomError("refused", "{message}", {"message": message} | ({"key": key} if key else {}))


Number = Annotated[float, BeforeValidator(decimal)]
Whole = int
Name = Annotated[str, AfterValidator(run_name), Pattern("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


@dataclass(frozen=True)
class OneOf:
    """A field whose value is one entry of a registry: its name, or a mapping of `name` and the entry's fields.

    `optional`: null is accepted too. The schema of an entry is made from its class when it is first asked for, so
    a large registry costs nothing. Where a rule is expected, one of the user's own is accepted too, unless `own` is
    false: FILE.py:NAME, with the checksum of its file where a run has written the config. A mapping without a name
    changes the `default` entry. Entries that are refused here, whoever asks, are not `offered`.
    """

    registry: Mapping[str, Any]
    what: str
    optional: bool = False
    own: bool = True
    default: Any = None
    refused: frozenset[str] = frozenset()

    @property
    def offered(self) -> dict[str, Any]:
        return {name: entry for name, entry in self.registry.items() if name not in self.refused}

    def build(self, given: Any) -> Any:
        if given is None and self.optional:
            return None
        if isinstance(given, str):
            given = {"name": given}
        if not isinstance(given, Mapping):
            raise refusal(self._unfit(given))
        if "name" not in given and self.default is not None:
            given = {**(self.dump(self.default) or {}), **given}
        name, without = given.get("name"), {"name"}
        for key, item in given.items() if name is None else ():
            if isinstance(item, str) and (meant := self.near(item.lower())):
                raise refusal(f"no {self.what} is named; write name: {meant} in the place of {key}: {item}")
        try:
            entry: Any = self.entry(name)
            if entry is None:  # the settings are checked against the entry that is meant
                near = self.registry.get(self.near(name))
                named: Any = {"name": (Annotated[Any, AfterValidator(self._refuse)], ...)}
                model = create_model("Meant", __base__=schema_of(near) if near else None, **named)
                model.model_validate({**given, "name": name})
            if issubclass(entry, OwnRule):
                require_unchanged(entry.origin, given.get("sha256"))
                without = {"name", "sha256"}
            # Pydantic adds the outer path to the problems of a ValidationError that is raised in here.
            value = schema_of(entry).model_validate({k: item for k, item in given.items() if k not in without})
            return entry(**{key: getattr(value, key) for key in type(value).model_fields})
        except UsageError as error:  # of a formula that cannot be read, or of a file of the user's
            raise refusal(str(error)) from None

    def entry(self, name: Any) -> Any:
        """The class that a name means, or None. UsageError for a file that makes no rule, or where none may stand."""
        if self.registry is RULES and is_own(name):
            if not self.own:
                raise UsageError(f"an optimizer inside another has to be one of optilab's, not {name}")
            return kind_of(str(name))
        return self.registry.get(name) if isinstance(name, str) else None

    def near(self, name: Any) -> str:
        """The one entry that an unknown name is close to, or an empty text."""
        close = re.search(
            'mean "([^"]+)"[?]', did_you_mean(name, [*self.registry]) if isinstance(name, str) else ""
        )
        return close[1] if close else ""

    def _unfit(self, given: Any) -> str:
        """What is said of an entry that is neither a name nor a mapping."""
        example, advice = f"{{name: {next(iter(self.registry))}, ...}}", ""
        if given is False and "none" in self.registry:
            advice = "; YAML reads no as false: write none"
        elif given is True:
            advice = f"; {one_of([*self.registry], self.what)}"
        elif isinstance(given, list) and len(given) == 1 and given[0] in [*self.registry]:
            advice = f"; write {given[0]}"
        elif isinstance(given, list) and given and all(item in [*self.registry] for item in given):
            return f"expected one {self.what}, got {shown(given)}; write {given[0]}"
        elif isinstance(given, list) and given[1:] and all(isinstance(item, dict) for item in given):
            advice = f"; without the dashes: {yaml.flow({key: item[key] for item in given for key in item})}"
        return f"expected a name or a mapping ({example}), got {shown(given)}{advice}"

    def _refuse(self, name: Any) -> None:
        raise refusal(self._unknown(name))

    def dump(self, value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        inner = {f.name: getattr(value, f.name) for f in fields(value)}
        wrapped = {key: self.dump(item) for key, item in inner.items() if is_dataclass(item)}
        own = {"name": value.origin.spec, "sha256": value.origin.sha256} if isinstance(value, OwnRule) else {}
        return {"name": value.name, **own, **inner, **wrapped}

    def _unknown(self, name: Any) -> str:
        if name is None or name == "":
            missing = "is named; set its name to" if name is None else "has an empty name; write"
            names = one_of(list(self.registry), self.what).removeprefix("for example ")
            return f"no {self.what} {missing} {names}"
        if self.what == "function" and re.search(r"[\^*+/()]", str(name)):
            return f"for a formula write function: {{name: expression, formula: {shown(name)}}}"
        return unknown(self.what, name, self.registry)

    def json_schema(self, inner: Mapping[str, Any], definitions: Definitions) -> dict[str, Any]:
        """A name, or a mapping for each entry; a rule of the user's own is any FILE.py:NAME."""
        names = {"enum": list(self.offered)}
        if not self.own:  # a rule inside a rule: its keys are those of the rule outside
            needs = {"required": ["name"]} if self.default is None else {}
            return {"anyOf": [names, {"type": "object", "properties": {"name": names}, **needs}]}
        choices = [names, *(reference(entry, definitions) for entry in self.offered.values())]
        if self.registry is RULES:
            choices += [OWN, {"type": "object", "properties": {"name": OWN}, "required": ["name"]}]
        return {"anyOf": [*choices, {"type": "null"}] if self.optional else choices}

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.build, serialization=core_schema.plain_serializer_function_ser_schema(self.dump)
        )


@dataclass(frozen=True)
class Listed:
    """A list, for which its one entry may stand alone."""

    alone: tuple[type, ...] = (object,)
    """What an entry is; anything else is left to the field's type."""

    def build(self, given: Any) -> Any:
        return given if isinstance(given, list | tuple) or not isinstance(given, self.alone) else [given]

    def json_schema(self, inner: Mapping[str, Any], definitions: Definitions) -> dict[str, Any]:
        return {"anyOf": [inner["items"], inner]}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.build, handler(source))


@cache
def schema_of(entry: type[Any]) -> type[Section]:
    """The schema of a registry entry: its dataclass fields, with numbers read as in a config."""
    hints = get_type_hints(entry, include_extras=True)
    definitions: dict[str, Any] = {
        f.name: (_readable(hints[f.name], f.default), ... if f.default is MISSING else f.default)
        for f in fields(entry)
    }
    return create_model(entry.__name__, __base__=Section, **definitions)


def _readable(hint: Any, default: Any) -> Any:
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if kind is Rule:  # a rule around another one
        wrapped = None if default is MISSING else default
        return Annotated[hint, OneOf(RULES, "optimizer", own=False, default=wrapped)]
    if get_origin(kind) is tuple:  # which YAML writes as a list
        return Annotated[hint, Strict(False)]
    return Annotated[hint, BeforeValidator(decimal)] if kind in (float, int | float) else hint


def require_unchanged(origin: Origin, digest: Any) -> None:
    """UsageError where a config that a run has written holds another checksum than the file has now."""
    if digest not in (None, origin.sha256):
        raise UsageError(
            f"{origin.path} has changed: its SHA-256 is {origin.sha256[:16]}..., not "
            f"{str(digest)[:16]}...; restore it from the copy in the run's directory, or delete the key sha256"
        )


def schema_for(kind: str) -> type[Section]:
    """The schema of a command's configs; that of `optimize` for any other word."""
    module, name = SCHEMAS.get(kind, SCHEMAS["optimize"])
    schema: type[Section] = getattr(import_module(f"optilab.config.{module}"), name)
    return schema


# --- the walk ----------------------------------------------------------------------------------------------


@cache
def keys_of(section: type[Section]) -> Mapping[str, Field]:
    """The keys of a section in order, by name."""
    found = {}
    for name, info in section.model_fields.items():
        hint = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        default = MISSING if info.is_required() else info.get_default(call_default_factory=True)
        found[name] = Field(name, hint, default)
    return found


def choice_of(field: Field) -> OneOf | None:
    """The registry of which a key takes an entry."""
    return next((mark for mark in field.parts if isinstance(mark, OneOf)), None)


def section_of(field: Field) -> type[Section] | None:
    """The part of the config that a key holds, alone, in a list or where it is not null."""
    return next((part for part in field.parts if _is_section(part)), None)


def _is_section(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, Section)


# --- listed ------------------------------------------------------------------------------------------------

LAST = "replay"
"""The section that a config of one's own never needs, shown after all others."""


@dataclass(frozen=True)
class Key:
    """One key of a config by its dotted name, with its default as YAML.

    A key with `choices` takes the name of one of them, or a mapping of `name` and the entry's own keys; `of` is the
    name of the entry that has this key. A key of the type `section` holds others.
    """

    key: str
    type: str
    default: str
    meaning: str
    of: str = ""
    choices: tuple[str, ...] = ()


SECTION, ENTRY = "section", "name, or mapping of name and settings"


def describe(
    section: type[Section], prefix: str = "", of: str = "", within: Mapping[str, Any] | None = None
) -> Iterator[Key]:
    """Every key that a section accepts, in order; of an entry `within` an entry of the same registry the name."""
    for field in keys_of(section).values():
        key, default = f"{prefix}{field.name}", "required" if field.required else _written(field.default)
        if (choice := choice_of(field)) is not None:
            yield Key(key, ENTRY, default, field.doc, of, tuple(choice.offered))
            for entry in choice.offered.values() if choice.registry is not within else ():
                yield from describe(schema_of(entry), f"{key}.", entry.name, choice.registry)
        elif (inner := section_of(field)) is not None:
            yield Key(key, SECTION, default, field.doc, of)
            yield from describe(inner, f"{key}.", of, within)
        else:
            yield Key(key, field.kind, default, field.doc, of, field.words)


def _written(value: Any) -> str:
    """A default as YAML, an entry by its name; of a section that is always there, nothing."""
    if isinstance(value, Section):
        return ""
    if isinstance(value, tuple):
        return yaml.flow([getattr(item, "name", item) for item in value])
    return str(value.name) if hasattr(value, "name") else yaml.flow(value)


def part(keys: Sequence[Key], name: str) -> list[Key]:
    """The keys of a part of a config: one key, a section, the entries of a choice, or all that an entry has.

    `name` is a dotted key (`model.norm`), a section, or an entry (`adam`, `model.norm.batch`). UsageError names the
    nearest.
    """
    above, _, last = name.rpartition(".")
    chosen = [key for key in keys if key.key == name or key.key.startswith(f"{name}.")]
    chosen = chosen or [key for key in keys if key.of == last and above in ("", key.key.rpartition(".")[0])]
    chosen = chosen or [key for key in keys if not key.of and last in key.choices and above in ("", key.key)]
    if not chosen and last in RULES and above in ("", "optimizer"):
        raise UsageError(f"{last} does not train networks; its settings: optilab config show optimize {last}")
    if not chosen:
        inside = [key.key for key in keys if above and key.key.startswith(f"{above}.")]
        entries = [name for key in keys if not key.of for name in key.choices if name != "none"]
        accepted = inside or [*(key.key for key in keys), *entries]
        same = [key for key in accepted if key.rpartition(".")[2] == ELSEWHERE.get(last.lower(), last)]
        near = f'; did you mean "{same[0]}"?' if same else did_you_mean(name, accepted)
        near = (
            near or f"; one of {', '.join(dict.fromkeys(inside or (key.key.partition('.')[0] for key in keys)))}"
        )
        raise UsageError(f"unknown config key {shown(name)}{near}")
    return chosen


def named(section: type[Section], name: str) -> list[str]:
    """The dotted keys that end with a name, or with what other tools call so; of a section the first key."""
    lasts = {name, *ELSEWHERE.get(name.lower(), name).split()}
    lists = [field.name for field in keys_of(section).values() if tuple in field.parts and section_of(field)]
    inside = [key for key in describe(section) if key.key.partition(".")[0] not in lists]
    keys = dict.fromkeys(key.key for key in inside if key.type != SECTION)
    found = [key for key in keys if key.rpartition(".")[2] in lasts]
    sections = [key.key for key in inside if key.type == SECTION and key.key in lasts]
    first = [next(key for key in keys if key.startswith(f"{one}.")) for one in sections]
    return sorted(found, key=lambda key: key.count(".")) or first


# --- as JSON Schema ----------------------------------------------------------------------------------------

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", NoneType: "null", dict: "object"}


def json_schema(kind: str) -> dict[str, Any]:
    """The keys of a command's configs as JSON Schema (draft 2020-12), for editors.

    What depends on several keys at once (a start of the function's dimension, stages that grow) is checked by
    `config check` alone.
    """
    definitions: Definitions = {}
    keys = _mapping(schema_for(kind), definitions)
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "title": f"optilab {kind}", **keys, "$defs": definitions}


def schema_text(kind: str) -> str:
    """The schema as the file that is shipped."""
    return f"{_lines(json_schema(kind))}\n"


def _lines(node: Any, depth: int = 1) -> str:
    """JSON with a line for each key, which is the line that changes with it: a long mapping of mappings is spread."""
    line = json.dumps(node, allow_nan=False)
    if len(line) < 120 or not (isinstance(node, dict) and any(isinstance(value, dict) for value in node.values())):
        return line
    items = (f"{' ' * depth}{json.dumps(key)}: {_lines(value, depth + 1)}" for key, value in node.items())
    return "{\n" + ",\n".join(items) + f"\n{' ' * (depth - 1)}}}"


def _mapping(section: type[Section], definitions: Definitions, entry: Any = None) -> dict[str, Any]:
    """The mapping of a section, or of an entry of a registry with its name."""
    text = inspect.cleandoc((entry or section).__doc__ or "")
    properties: dict[str, Any] = {"name": {"const": entry.name}} if entry else {}
    for field in keys_of(section).values():
        properties[field.name] = key = _of_type(field.hint, definitions)
        if field.doc:
            key["description"] = field.doc
        if not field.required and not isinstance(field.default, Section):
            choice = choice_of(field)
            key["default"] = choice.dump(field.default) if choice else field.default
    return {
        "type": "object",
        "description": text.partition("\n")[0] if entry else text,
        "properties": properties,
        "required": [*(["name"] if entry else []), *(f.name for f in keys_of(section).values() if f.required)],
        "additionalProperties": False,
    }


def reference(owner: Any, definitions: Definitions) -> dict[str, Any]:
    """A section or an entry by the name of its class."""
    if owner.__name__ not in definitions:
        definitions[owner.__name__] = {}  # keeps the order of first use
        entry = None if _is_section(owner) else owner
        definitions[owner.__name__] = _mapping(schema_of(entry) if entry else owner, definitions, entry)
    return {"$ref": f"#/$defs/{owner.__name__}"}


def _of_type(hint: Any, definitions: Definitions) -> dict[str, Any]:
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is Annotated:
        schema = _of_type(inner[0], definitions)
        for mark in hint.__metadata__:
            schema = _marked(schema, mark, definitions)
        return schema
    if kind in (Union, UnionType):
        return {"anyOf": [_of_type(option, definitions) for option in inner]}
    if kind is Literal:
        return {"enum": list(inner)}
    if kind is tuple and Ellipsis not in inner:
        items = [_of_type(item, definitions) for item in inner]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if kind in (tuple, list):
        return {"type": "array", "items": _of_type(inner[0], definitions)}
    if _is_section(kind):
        mapping = reference(kind, definitions)
        return {"anyOf": [dict(kind.as_text), mapping]} if kind.as_text else mapping
    return {"type": _TYPES[kind]} if kind in _TYPES else {}


def _marked(schema: dict[str, Any], mark: Any, definitions: Definitions) -> dict[str, Any]:
    if isinstance(mark, Pattern):
        return {**schema, "pattern": mark.regex}
    if hasattr(mark, "json_schema"):
        marked: dict[str, Any] = mark.json_schema(schema, definitions)
        return marked
    for bound in mark if isinstance(mark, Len) else (mark,):
        for option in schema.get("anyOf", [schema]):  # of a field that may be null
            option |= _bounded(bound, option.get("type"))
    return schema


def _bounded(bound: Any, kind: str | None) -> dict[str, Any]:
    """A mark that limits a type of JSON."""
    match bound, kind:
        case Gt(gt=low), "number" | "integer":
            return {"exclusiveMinimum": low}
        case Ge(ge=low), "number" | "integer":
            return {"minimum": low}
        case Lt(lt=high), "number" | "integer":
            return {"exclusiveMaximum": high}
        case Le(le=high), "number" | "integer":
            return {"maximum": high}
        case MinLen(min_length=count), "string" | "array":
            return {"minLength" if kind == "string" else "minItems": count}
        case MaxLen(max_length=count), "string" | "array":
            return {"maxLength" if kind == "string" else "maxItems": count}
    return {}
