"""The parts that every command's schema is made of: strict sections, numbers, names, entries of a registry."""

import copy
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from importlib import import_module
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

# Without this, pydantic searches every installed package for plugins at each start. It reads the
# variable when it builds its first model, so this comes before its import; child processes may inherit it.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    Strict,
    ValidationError,
    WithJsonSchema,
    create_model,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticCustomError, core_schema

from optilab.config import presets, yaml
from optilab.errors import ConfigError, Problem, SystemFailure, UsageError, did_you_mean, shown, unknown
from optilab.optimize import RULES, Rule
from optilab.optimize.own import OwnRule, is_own, kind_of
from optilab.runs import run_name

if TYPE_CHECKING:
    from optilab.config.claims import Claim

OWN = r":|\.py$"
"""A rule of the user's own, as JSON Schema has to recognise it: FILE.py:NAME or package.module:NAME."""
_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z", re.ASCII)


def decimal(given: Any) -> Any:
    """`1e-3` is text to YAML 1.1; in a number field it is the number it looks like."""
    return float(given) if isinstance(given, str) and _DECIMAL.match(given) else given


@dataclass(frozen=True)
class OneOf:
    """A field whose value is one entry of a registry: its name, or a mapping of `name` and the entry's fields.

    `optional`: null is accepted too. The schema of an entry is made from its class when it is first asked for, so
    a large registry costs nothing. Where a rule is expected, one of the user's own is accepted too, unless `own` is
    false: FILE.py:NAME, with the digest of its file where a run has written the config. A mapping without a name
    changes the `default` entry.
    """

    registry: Mapping[str, Any]
    what: str
    optional: bool = False
    own: bool = True
    default: Any = None

    def build(self, given: Any) -> Any:
        if given is None and self.optional:
            return None
        if isinstance(given, str):
            given = {"name": given}
        if not isinstance(given, Mapping):
            example = f"{{name: {next(iter(self.registry))}, ...}}"
            raise PydanticCustomError("shape", f"a name or a mapping expected ({example}), got {shown(given)}")
        if "name" not in given and self.default is not None:
            given = {**(self.dump(self.default) or {}), **given}
        name, without = given.get("name"), {"name"}
        try:
            if self.registry is RULES and is_own(name):
                if not self.own:
                    raise UsageError(f"a rule inside another has to be one of optilab's, not {name}")
                entry: Any = kind_of(str(name))
                _require_unchanged(entry, given.get("sha256"))
                without = {"name", "sha256"}
            elif isinstance(name, str) and name in self.registry:
                entry = self.registry[name]
            else:
                raise PydanticCustomError("unknown_entry", self._unknown(name))
            # Pydantic adds the outer path to the problems of a ValidationError that is raised in here.
            value = schema_of(entry).model_validate({k: item for k, item in given.items() if k not in without})
            return entry(**{key: getattr(value, key) for key in type(value).model_fields})
        except UsageError as error:  # of a formula that cannot be read, or of a file of the user's
            raise PydanticCustomError("entry", "{said}", {"said": str(error)}) from None

    def dump(self, value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        inner = {f.name: getattr(value, f.name) for f in fields(value)}
        wrapped = {key: self.dump(item) for key, item in inner.items() if is_dataclass(item)}
        own = {"name": value.origin.spec, "sha256": value.origin.sha256} if isinstance(value, OwnRule) else {}
        return {"name": value.name, **own, **inner, **wrapped}

    def _unknown(self, name: Any) -> str:
        if name is None or name == "":
            return f"needs the name of one {self.what}: {', '.join(self.registry)}"
        return unknown(self.what, name, self.registry)

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: Any) -> dict[str, Any]:
        """A name, or a mapping for each entry; a rule of the user's own is any FILE.py:NAME."""
        names = {"enum": list(self.registry)}
        if not self.own:  # a rule inside a rule: its keys are those of the rule outside
            needs = {"required": ["name"]} if self.default is None else {}
            return {"anyOf": [names, {"type": "object", "properties": {"name": names}, **needs}]}
        choices: list[dict[str, Any]] = [names]
        for name, entry in self.registry.items():
            own = handler.resolve_ref_schema(handler(built(schema_of(entry))))
            keys = {"name": {"const": name}, **own.get("properties", {})}
            required = ["name", *own.get("required", [])]
            choices.append(_mapping(keys, required, description=(entry.__doc__ or "").partition("\n")[0]))
        if self.registry is RULES and self.own:
            mine = {"type": "string", "pattern": OWN}
            choices += [mine, {"type": "object", "properties": {"name": mine}, "required": ["name"]}]
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

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.build, handler(source))

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: Any) -> dict[str, Any]:
        document: dict[str, Any] = handler(schema)
        return {"anyOf": [document["items"], document]}


class Section(BaseModel):
    """Base of every part of a config: strict types, no unknown keys, finite numbers, frozen."""

    kind: ClassVar[str]
    """Of a whole config: the command that reads it."""
    moved: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier versions -> where they are now."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: core_schema.CoreSchema, handler: Any) -> dict[str, Any]:
        """With the help texts and ranges of `config show`."""
        document: dict[str, Any] = handler.resolve_ref_schema(handler(schema))
        for name, info in cls.model_fields.items():
            described = document.get("properties", {}).get(name)
            if described is not None and "description" not in described:
                texts = [mark.documentation for mark in info.metadata if isinstance(mark, Doc)]
                described |= {"description": texts[0]} if texts else {}
        return document

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


def built(model: type[Section]) -> core_schema.CoreSchema:
    """The core schema of a model, which is built when it is first needed."""
    model.model_rebuild()
    return model.__pydantic_core_schema__


def _mapping(keys: dict[str, Any], required: list[str], **more: Any) -> dict[str, Any]:
    return {"type": "object", **more, "properties": keys, "required": required, "additionalProperties": False}


Number = Annotated[float, BeforeValidator(decimal)]
Whole = int
Name = Annotated[
    str,
    AfterValidator(run_name),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}),
]


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
        return Annotated[hint, OneOf(RULES, "algorithm", own=False, default=wrapped)]
    if get_origin(kind) is tuple:  # which YAML writes as a list
        return Annotated[hint, Strict(False)]
    return Annotated[hint, BeforeValidator(decimal)] if kind in (float, int | float) else hint


def _require_unchanged(kind: type[OwnRule], digest: Any) -> None:
    """UsageError where a config that a run has written holds another digest than the file has now."""
    if digest not in (None, kind.origin.sha256):
        raise UsageError(
            f"{kind.origin.path} has changed: its SHA-256 is {kind.origin.sha256[:16]}..., not "
            f"{str(digest)[:16]}...; restore it from the copy in the run's directory, or delete the key sha256"
        )


EVERYDAY = {
    "optimize": ("algo", "function", "start", "epochs"),
    "train": (
        "model.hidden",
        "model.activation",
        "optimizer",
        "epochs",
        "data.batch_size",
        "seed",
        "device",
        "threads",
    ),
    "sweep": ("config", "over", "seeds", "samples", "metric"),
    "remedy": ("config", "only", "tune", "seeds"),
    "race": ("on", "algos", "budget", "seeds"),
    "check": ("checks.name", "checks.optimize", "checks.train", "checks.set", "checks.expect"),
}
"""The keys of a command's first config, shown before all others."""
LAST = "replay"
"""The section that a config of one's own never needs, shown after all others."""
ALIASES = {
    "learning_rate": "lr",
    "learningrate": "lr",
    "eta": "lr",
    "optim": "optimizer",
    "opt": "optimizer",
    "algorithm": "algo",
    "rule": "algo",
    "batchsize": "batch_size",
    "batch": "batch_size",
    "bs": "batch_size",
    "steps": "epochs",
    "iterations": "epochs",
    "layers": "hidden",
    "widths": "hidden",
    "nonlinearity": "activation",
    "initialization": "init",
    "wd": "weight_decay",
    "l2": "weight_decay",
    "x0": "start",
}
"""What a key is called in other tools."""


@dataclass(frozen=True)
class Key:
    """One key of a config, with its default as YAML.

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
    schema: type[Section], prefix: str = "", of: str = "", within: Mapping[str, Any] | None = None
) -> Iterator[Key]:
    """Every key that a schema accepts, in order; of an entry `within` an entry of the same registry the name."""
    for name, info in schema.model_fields.items():
        key, annotation = f"{prefix}{name}", info.annotation
        marks = [*info.metadata, *_marks(annotation)]
        meaning = next((mark.documentation for mark in marks if isinstance(mark, Doc)), "")
        default = "required" if info.is_required() else _default(info)
        choice = next((mark for mark in marks if isinstance(mark, OneOf)), None)
        if choice is not None:
            names = tuple(choice.registry)
            yield Key(key, ENTRY, default, meaning, of, names)
            for entry in choice.registry.values() if choice.registry is not within else ():
                yield from describe(schema_of(entry), f"{key}.", entry.name, choice.registry)
        elif (section := _section(annotation)) is not None:
            yield Key(key, SECTION, default, meaning, of)
            yield from describe(section, f"{key}.", of, within)
        else:
            kind = _type(annotation, marks)
            choices = tuple(kind.split(" | ")) if " | " in kind else ()
            yield Key(key, kind, default, meaning, of, choices)


def part(keys: Sequence[Key], name: str) -> list[Key]:
    """The keys of a part of a config: one key, a section, the entries of a choice, or all that an entry has.

    `name` is a dotted key (`model.norm`), a section, or an entry (`adam`, `model.norm.batch`). UsageError names the
    nearest.
    """
    above, _, last = name.rpartition(".")
    chosen = [key for key in keys if key.key == name or key.key.startswith(f"{name}.")]
    chosen = chosen or [key for key in keys if key.of == last and above in ("", key.key.rpartition(".")[0])]
    chosen = chosen or [key for key in keys if last in key.choices and above in ("", key.key)]
    if not chosen:
        accepted = dict.fromkeys([*(key.key for key in keys), *(c for key in keys for c in key.choices)])
        near = did_you_mean(name, list(accepted)) or f"; one of {', '.join(_tops(keys))}"
        raise UsageError(f"no key, section or entry {shown(name)}{near}")
    return chosen


def _tops(keys: Sequence[Key]) -> list[str]:
    return list(dict.fromkeys(key.key.partition(".")[0] for key in keys))


def named(schema: type[Section], name: str) -> list[str]:
    """The dotted keys that end with a name, or with what other tools call so."""
    last = ALIASES.get(name.lower(), name)
    keys = dict.fromkeys(key.key for key in describe(schema) if key.type != SECTION)
    return sorted((key for key in keys if key == last or key.endswith(f".{last}")), key=lambda key: key.count("."))


def _section(annotation: Any) -> type[Section] | None:
    """The part of the config that a key holds, alone, in a list or where it is not null."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _section(argument))), None)


def _marks(annotation: Any) -> list[Any]:
    """The metadata of a type and of the types inside it."""
    inner = [mark for argument in get_args(annotation) for mark in _marks(argument)]
    return [*getattr(annotation, "__metadata__", ()), *inner]


def _type(annotation: Any, marks: Sequence[Any]) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(map(str, get_args(annotation)))
    text = str(annotation)
    many = "tuple" in text
    kind = "number" if "float" in text else "whole number" if "int" in text else "text"
    kind = "true | false" if annotation is bool else f"list of {kind}s" if many else kind
    bounds = []
    for mark in marks:
        match mark:
            case Gt(gt=low):
                bounds.append(f"> {low}")
            case Ge(ge=low):
                bounds.append(f">= {low:,}")
            case Lt(lt=high):
                bounds.append(f"< {high}")
            case Le(le=high):
                bounds.append(f"<= {high:,}")
    return f"{kind} {', '.join(dict.fromkeys(bounds))}" if bounds else kind


def _default(info: Any) -> str:
    """A field's default as YAML; of a section that is always there, nothing."""
    value = info.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return ""
    return (
        yaml.flow([item.name if hasattr(item, "name") else item for item in value])
        if isinstance(value, tuple)
        else (str(value.name) if hasattr(value, "name") else yaml.flow(value))
    )


def keys_beside(schema: type[Any], path: Sequence[str | int], tree: Mapping[str, Any]) -> list[str]:
    """The keys that are accepted where the last part of `path` stands in the config `tree`."""
    entry = _entry(tree, path[:-1])
    # The rule inside another (`base`) has the keys that it has outside.
    above = [step for step in path[:-1] if isinstance(step, str) and step != "base"]
    prefix = "".join(f"{step}." for step in above)
    if isinstance(entry, str) and is_own(entry):
        return sorted(["name", *(f.name for f in fields(kind_of(entry)))])
    keys = [
        row.key.removeprefix(prefix)
        for row in describe(schema)
        if row.key.startswith(prefix) and row.of in ("", entry)
    ]
    return sorted({*(["name"] if entry else []), *(key.split(".")[0] for key in keys)})


def _entry(tree: Mapping[str, Any], path: Sequence[str | int]) -> Any:
    """The name of the entry of a registry that stands at `path`; of a wrapped rule without one, that of the default."""
    place: Any = tree
    for step in path:
        try:
            place = place[step]
        except (KeyError, IndexError, TypeError):
            place = None
    name = place.get("name") if isinstance(place, dict) else None
    if name is None and path and path[-1] == "base":
        outer = _entry(tree, path[:-1])
        return getattr(getattr(RULES.get(outer), "base", None), "name", None)
    return name


def unknown_key(schema: type[Any], path: Sequence[str | int], tree: Mapping[str, Any]) -> str:
    """What to write instead of a key that does not exist: a near one beside it, or the place of that name."""
    own = ".".join(step for step in path if isinstance(step, str))
    if place := schema.moved.get(own):
        return f"moved to {place}"
    beside, name = keys_beside(schema, path, tree), str(path[-1]) if path else ""
    usual = ALIASES.get(name.lower(), name)
    if usual in beside:
        return f'unknown key; did you mean "{usual}"?'
    if places := [key for key in named(schema, name) if key != own]:
        return f'unknown key; did you mean "{places[0]}"?'
    if close := did_you_mean(name, beside):
        return f"unknown key{close}"
    return f"unknown key; one of {', '.join(beside)}"


DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Generator(GenerateJsonSchema):
    """Pydantic's generator, without titles that repeat the key."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
"""What pydantic leaves untranslated where a field may be null."""


def json_schema(kind: str) -> dict[str, Any]:
    """The schema of the configs of a command."""
    model = schema_for(kind)
    schema = _translated(model.model_json_schema(schema_generator=Generator))
    return {"$schema": DIALECT, "title": f"optilab {kind}", **{k: v for k, v in schema.items() if k != "title"}}


def _translated(node: Any) -> Any:
    if isinstance(node, dict):
        number = node.get("type") in ("number", "integer")
        return {_BOUNDS.get(key, key) if number else key: _translated(value) for key, value in node.items()}
    return [_translated(item) for item in node] if isinstance(node, list) else node


def schema_text(kind: str) -> str:
    """The schema as the file that is shipped."""
    return json.dumps(json_schema(kind), indent=1, sort_keys=False) + "\n"


S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Override:
    """One flag or `--set`: `where` names it in messages, `key` is dotted, `value` is a tree."""

    where: str
    key: str
    value: Any
    adds: bool = False
    """The value is a list, to follow what the key has."""


def override_from_text(where: str, text: str) -> Override:
    """`KEY=VALUE` of a `--set`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError("the command line", [Problem(where, "", f"KEY=VALUE expected, got {shown(text)}")])
    return override(f"{where} {key}", key.strip(), value)


def override(where: str, key: str, value: str) -> Override:
    """A flag whose value is read as in YAML."""
    try:
        return Override(where, key, yaml.value(value))
    except ValueError as error:
        raise ConfigError("the command line", [_typed(where, key, str(error))]) from None


def numbers(text: str) -> list[Any]:
    """`-5,-2` of a flag as the list [-5, -2]; what is not a number stays text, which the schema refuses."""
    return [decimal(part.strip()) for part in text.split(",")]


def function(text: str) -> Any:
    """The value of `function` for `--function`: the name of a test function, or a formula of the user's."""
    named = re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", text) and not re.search(r"\bw[1-9]\b", text)
    return text if named else {"name": "expression", "formula": text}


_SCHEMAS = {
    "optimize": ("optimize", "OptimizeConfig"),
    "train": ("training", "TrainConfig"),
    "sweep": ("study", "SweepConfig"),
    "remedy": ("study", "RemedyConfig"),
    "race": ("study", "RaceConfig"),
    "check": ("claims", "CheckFile"),
}
"""Command -> module and class of its schema, imported when it is asked for: `optimize` does not pay for `train`."""


def schema_for(kind: str) -> type[Section]:
    """The schema of a command's configs; that of `optimize` for any other word."""
    module, name = _SCHEMAS.get(kind, _SCHEMAS["optimize"])
    schema: type[Section] = getattr(import_module(f"optilab.config.{module}"), name)
    return schema


def load(
    schema: type[S],
    config: str | Mapping[str, Any] | None,
    overrides: Sequence[Override] = (),
    rules: Literal["exercise", "literature"] = "exercise",
) -> S:
    """Read `config` (a path, the name of a preset, or a plain tree; None: the defaults) and apply the overrides.

    `rules` chooses what an optimize config leaves out of a rule: the settings of its preset where there is one, or
    the defaults of the literature. `train` always has the literature's. Raises `ConfigError` with every problem at
    once, in the order of the lines.
    """
    kind = schema.kind
    document, source = yaml.Document({}, {}), "the command line"
    if isinstance(config, Mapping):
        document, source = yaml.Document(copy.deepcopy(dict(config)), {}), "the config"
    elif config is not None:
        path = presets.find(kind, config)
        source = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
        document = yaml.read(_bytes(path), source)
        if kind == "train":
            document.tree.setdefault("name", _name_of(path))
    places = {path: f"{source}:{line}" for path, line in document.lines.items()}
    problems = [problem for item in overrides if (problem := _apply(document.tree, item, places))]
    if kind == "optimize" and rules == "exercise":
        document.tree.update({key: presets.filled(rule) for key, rule in document.tree.items() if key == "algo"})
    try:
        config_value = schema.model_validate(document.tree)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems += [
            _problem(details, lambda path: unknown_key(schema, path, document.tree), places, source)
            for details in found
            if not _follows(details, found)
        ]
    if problems:
        problems.sort(key=lambda problem: _line(problem, source))
        advice = f"Every key is described by: optilab config show {kind}" if kind else ""
        if all(problem.where.startswith("--") for problem in problems):
            source = "the command line"
        elif {problem.where for problem in problems} <= {item.where for item in overrides}:
            source = "the arguments"
        raise ConfigError(source, problems, advice)
    return config_value


def _follows(details: Any, found: Sequence[Any]) -> bool:
    """Whether a list is too short only because an entry of it has a problem of its own."""
    place = details["loc"]
    return details["type"] == "too_short" and any(
        other["loc"][: len(place)] == place and other is not details for other in found
    )


def _line(problem: Problem, source: str) -> float:
    """The line of a problem in the file; what was typed comes after it."""
    line = problem.where.removeprefix(f"{source}:").partition(":")[0]
    return int(line) if line.isdecimal() else inf


def _name_of(path: Path) -> str:
    """The name of a config that has none: that of its file."""
    try:
        return run_name(re.sub(r"[^A-Za-z0-9._-]", "-", path.stem))
    except ValueError:
        return "train"


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(yaml.MAX_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except OSError as error:
        raise SystemFailure(f"cannot read {path}: {error.strerror}") from None


def _apply(tree: dict[str, Any], item: Override, places: dict[yaml.Path, str]) -> Problem | None:
    """Set a dotted key; where the way leads through a list of mappings, in each of them.

    Returns the problem where it leads through a list of something else.
    """
    *way, last = item.key.split(".")
    nodes: list[tuple[yaml.Path, dict[str, Any]]] = [((), tree)]
    for depth, part in enumerate(way, start=1):
        below, above = [], ".".join(way[:depth])
        for path, node in nodes:
            child = node.get(part)
            if isinstance(child, str):  # `algo: adam` is short for `algo: {name: adam}`
                child = {"name": child}
            elif isinstance(child, list):
                child[:] = [{"name": entry} if isinstance(entry, str) else entry for entry in child]
            elif not isinstance(child, dict):
                child = {}
            node[part] = child
            inner = enumerate(child) if isinstance(child, list) else [(None, child)]
            for index, entry in inner:
                if isinstance(entry, dict):
                    below.append(((*path, part) if index is None else (*path, part, index), entry))
        if not below:
            advice = f"a list of values has no keys; set all of it, as in --set '{above}={yaml.flow(child)}'"
            return _typed(item.where, item.key, advice)
        nodes = below
    for path, node in nodes:
        here = (*path, last)
        if item.adds:
            before = node.get(last) or []
            before = before if isinstance(before, list) else [before]
            node[last] = [*before, *item.value]
            places |= {(*here, len(before) + index): item.where for index in range(len(item.value))}
            continue
        node[last] = item.value
        for inside in [place for place in places if place[: len(here)] == here]:
            del places[inside]  # overridden: errors must not point to the file any more
        places[here] = item.where
        if last == "name":  # it decides which keys the section accepts
            places[path] = item.where
    return None


def expectations(command: str, texts: Sequence[str]) -> "Sequence[Claim]":
    """The claims of `--expect` about a result that has no config of its own."""
    from optilab.config.claims import Expectations

    changes = [Override("--expect", "expect", list(texts), adds=True)] if texts else []
    return load(Expectations, {"command": command}, changes).expect


def dump(config: Section) -> dict[str, Any]:
    """A config as a plain tree that `load` reads back to an equal value."""
    return config.model_dump(mode="json")


def to_yaml(config: Section) -> bytes:
    """A config as a file that `load` reads back to an equal value."""
    import yaml

    return yaml.safe_dump(dump(config), sort_keys=False, default_flow_style=None, width=110).encode()


def changeable(config: Section) -> frozenset[str]:
    """Keys of a training that may change when it is resumed, because no number of the epochs so far depends on them.

    `epochs` is one of them unless there is a schedule, which can depend on their number.
    """
    curvature = {"curvature", "curvature.every", "curvature.images"}
    keys = frozenset({"checkpoint_every", "data.dir", "expect", "probes", *curvature})
    schedule = getattr(config, "schedule", None)
    return keys | {"epochs"} if schedule is None or schedule.name == "constant" else keys


def digest(config: Section) -> str:
    """SHA-256 of every key that a run's numbers depend on."""
    return hashlib.sha256(json.dumps(_numbers(config), sort_keys=True).encode()).hexdigest()


def changed_keys(before: Section, after: Section) -> list[str]:
    """`key: old -> new` of every key that differs and that a run's numbers depend on."""
    old, new = _numbers(before), _numbers(after)
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return [f"{key}: {shown(old.get(key))} -> {shown(new.get(key))}" for key in keys]


def _numbers(config: Section) -> dict[str, Any]:
    free = changeable(config)
    return {key: value for key, value in flat(dump(config)).items() if key not in free}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree by dotted keys; lists are values."""
    values: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            values.update(flat(value, f"{prefix}{key}."))
        else:
            values[f"{prefix}{key}"] = value
    return values


def command_of(config: str) -> str:
    """The command whose keys a config has, or whose preset it names."""
    for kind in presets.KINDS:
        if presets.lookup(kind, config):
            return kind
    tree = yaml.read(_bytes(presets.find("train", config)), config).tree
    return max(_SCHEMAS, key=lambda kind: len(schema_for(kind).model_fields.keys() & tree.keys()))


def _problem(
    details: Any,
    unknown: Callable[[yaml.Path], str],
    places: Mapping[yaml.Path, str],
    source: str,
) -> Problem:
    context = details.get("ctx", {})
    path = tuple(context["key"].split(".")) if "key" in context else tuple(details["loc"])
    # A union adds the names of its branches to the path; they are not keys.
    path = tuple(part for part in path if isinstance(part, int) or re.fullmatch(r"[^\s\[\]()]+", part))
    if path not in places:
        # A single algorithm is a list of one to the schema; its author wrote no list.
        plain = tuple(part for part in path if isinstance(part, str))
        path = plain if plain in places or ("algo" in plain[:1] and 0 in path[1:2]) else path
    inside = (place for place in places if path and place[: len(path)] == path)  # `--set model.hidden.0=5`
    written = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in places), next(inside, None))
    where = places[written] if written else source
    key = yaml.dotted(path)
    message = _message(details, context, lambda: unknown(path))
    return _typed(where, key, message)


def _typed(where: str, key: str, message: str) -> Problem:
    """A problem whose key is left out where `where` ends with it."""
    return Problem(where, "" if where in (key, f"--{key}", f"--set {key}", f"set {key}") else key, message)


def _message(details: Any, context: Mapping[str, Any], unknown: Callable[[], str]) -> str:
    value = details["input"]
    match details["type"]:
        case "extra_forbidden":
            return unknown()
        case "missing":
            return "missing; it has no default"
        case "greater_than":
            return f"must be greater than {context['gt']:g}, got {shown(value)}"
        case "greater_than_equal":
            return f"must be at least {context['ge']:,}, got {shown(value)}"
        case "less_than":
            return f"must be less than {context['lt']:g}, got {shown(value)}"
        case "less_than_equal":
            return f"must be at most {context['le']:,}, got {shown(value)}"
        case "finite_number":
            return f"a finite number expected, got {shown(value)}"
        case "float_type" | "float_parsing":
            return f"number expected, got {shown(value)}{_decimal_advice(value)}"
        case "int_type" | "int_parsing" | "int_from_float" | "int_parsing_size":
            return f"whole number expected, got {shown(value)}{_whole_advice(value)}"
        case "string_type":
            quoted = "no" if value is False else "yes" if value is True else shown(value)
            return f'text expected, got {shown(value)}; put quotes around it: "{quoted}"'
        case "literal_error":
            accepted = [name.strip("'") for name in re.split(r", | or ", context["expected"])]
            close = did_you_mean(value, accepted) if isinstance(value, str) else ""
            return f"one of {', '.join(accepted)} expected, got {shown(value)}{close}"
        case "bool_type":
            return f"true or false expected, got {shown(value)}"
        case "tuple_type" | "list_type":
            return f"a list expected, got {shown(value)}{_list_advice(value)}"
        case "model_type" | "dict_type" | "dataclass_type":
            return f"a mapping (key: value) expected, got {shown(value)}"
        case "too_short":
            return f"at least {context['min_length']} expected, got {context['actual_length']}"
        case "too_long":
            return f"at most {context['max_length']} expected, got {shown(value)}"
        case "string_too_short":
            return "must not be empty"
        case _:
            return str(details["msg"]).removeprefix("Value error, ")


def _decimal_advice(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]+,[0-9]+", value):
        return f"; write {value.replace(',', '.')} with a decimal point"
    return ""


def _list_advice(value: Any) -> str:
    if isinstance(value, str) and "," in value:
        return f"; write [{', '.join(part.strip() for part in value.split(','))}]"
    return f"; write [{value}]" if isinstance(value, int | float) else ""


def _whole_advice(value: Any) -> str:
    number = decimal(value)
    if isinstance(number, float) and abs(number) < 1e15 and number.is_integer():
        return f"; write {int(number)}"
    return ""
