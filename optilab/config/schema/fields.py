"""The parts that every command's schema is made of: strict sections, numbers, names, entries of a registry."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

# Without this, pydantic searches every installed package for plugins at each start. It reads the
# variable when it builds its first model, so this comes before its import; child processes may inherit it.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Strict, create_model
from pydantic_core import PydanticCustomError, core_schema

from optilab.errors import UsageError, shown, unknown
from optilab.optimize import ALGORITHMS, Algorithm
from optilab.runs import run_name

_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z", re.ASCII)


def decimal(given: Any) -> Any:
    """`1e-3` is text to YAML 1.1; in a number field it is the number it looks like."""
    return float(given) if isinstance(given, str) and _DECIMAL.match(given) else given


@dataclass(frozen=True)
class OneOf:
    """A field whose value is one entry of a registry: its name, or a mapping of `name` and the entry's fields.

    `optional`: null is accepted too. The schema of an entry is made from its class when it is first asked for, so
    a large registry costs nothing.
    """

    registry: Mapping[str, Any]
    what: str
    optional: bool = False

    def build(self, given: Any) -> Any:
        if given is None and self.optional:
            return None
        if isinstance(given, str):
            given = {"name": given}
        if not isinstance(given, Mapping):
            example = f"{{name: {next(iter(self.registry))}, ...}}"
            raise PydanticCustomError("shape", f"a name or a mapping expected ({example}), got {shown(given)}")
        name = given.get("name")
        if not isinstance(name, str) or name not in self.registry:
            raise PydanticCustomError("unknown_entry", self._unknown(name))
        entry = self.registry[name]
        # Pydantic adds the outer path to the problems of a ValidationError that is raised in here.
        value = schema_of(entry).model_validate({key: item for key, item in given.items() if key != "name"})
        try:
            return entry(**{key: getattr(value, key) for key in type(value).model_fields})
        except UsageError as error:  # of a formula that cannot be read
            raise PydanticCustomError("entry", "{said}", {"said": str(error)}) from None

    def dump(self, value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        inner = {f.name: getattr(value, f.name) for f in fields(value)}
        wrapped = {key: self.dump(item) for key, item in inner.items() if is_dataclass(item)}
        return {"name": value.name, **inner, **wrapped}

    def _unknown(self, name: Any) -> str:
        if name is None or name == "":
            return f"needs the name of one {self.what}: {', '.join(self.registry)}"
        return unknown(self.what, name, self.registry)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.build, serialization=core_schema.plain_serializer_function_ser_schema(self.dump)
        )


class Section(BaseModel):
    """Base of every part of a config: strict types, no unknown keys, finite numbers, frozen."""

    kind: ClassVar[str]
    """Of a whole config: the command that reads it."""
    moved: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier versions -> where they are now."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


Number = Annotated[float, BeforeValidator(decimal)]
Whole = int
Name = Annotated[str, AfterValidator(run_name)]


@cache
def schema_of(entry: type[Any]) -> type[Section]:
    """The schema of a registry entry: its dataclass fields, with numbers read as in a config."""
    hints = get_type_hints(entry, include_extras=True)
    definitions: dict[str, Any] = {f.name: (_readable(hints[f.name]), f.default) for f in fields(entry)}
    return create_model(entry.__name__, __base__=Section, **definitions)


def _readable(hint: Any) -> Any:
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if kind is Algorithm:  # a rule around another one
        return Annotated[hint, OneOf(ALGORITHMS, "algorithm")]
    if get_origin(kind) is tuple:  # which YAML writes as a list
        return Annotated[hint, Strict(False)]
    return Annotated[hint, BeforeValidator(decimal)] if kind is float else hint
