"""The parts that every command's schema is made of: strict sections, numbers, names, entries of a registry."""

import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

# Without this, pydantic searches every installed package for plugins at each start. It reads the
# variable when it builds its first model, so this comes before its import; child processes may inherit it.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from annotated_doc import Doc
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    Strict,
    WithJsonSchema,
    create_model,
)
from pydantic_core import PydanticCustomError, core_schema

from optilab.errors import UsageError, shown, unknown
from optilab.optimize import RULES, Rule
from optilab.optimize.own import OwnRule, is_own, kind_of
from optilab.runs import run_name

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
