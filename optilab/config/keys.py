"""Every key that a command's config accepts, read off the schema."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, Literal, get_args, get_origin

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt

from optilab.config.schema.fields import OneOf, Section, schema_of


@dataclass(frozen=True)
class Key:
    """One line of the reference: `of` names the registry entry that has this key, or is empty."""

    key: str
    type: str
    default: str
    meaning: str
    of: str = ""


def describe(
    schema: type[Section], prefix: str = "", of: str = "", within: Mapping[str, Any] | None = None
) -> Iterator[Key]:
    """Every key that a schema accepts, in order; of an entry `within` an entry of the same registry the name."""
    for name, info in schema.model_fields.items():
        key, annotation = f"{prefix}{name}", info.annotation
        marks = [*info.metadata, *_marks(annotation)]
        meaning = next((mark.documentation for mark in marks if isinstance(mark, Doc)), "")
        default = "required" if info.is_required() else _default(info.default)
        choice = next((mark for mark in marks if isinstance(mark, OneOf)), None)
        if choice is not None:
            yield Key(f"{key}.name", " | ".join(choice.registry), default, meaning, of)
            for entry in choice.registry.values() if choice.registry is not within else ():
                yield from describe(schema_of(entry), f"{key}.", entry.name, choice.registry)
        elif (section := _section(annotation)) is not None:
            yield from describe(section, f"{key}.", of, within)
        else:
            yield Key(key, _type(annotation, marks), default, meaning, of)


def _section(annotation: Any) -> type[Section] | None:
    """The part of the config that a key holds, alone, in a list or where it is not null."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _section(argument))), None)


def _marks(annotation: Any) -> list[Any]:
    """Everything that Annotated says of a type and of the types inside it."""
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


def _default(value: Any) -> str:
    if is_dataclass(value):
        return str(getattr(value, "name", value))
    if isinstance(value, tuple):
        return f"[{', '.join(map(_default, value))}]"
    return "none" if value is None else str(value)


def keys_beside(schema: type[Any], path: Sequence[str | int], tree: Mapping[str, Any]) -> list[str]:
    """The keys that are accepted where the last part of `path` stands in the config `tree`."""
    parent: Any = tree
    for part in path[:-1]:
        try:
            parent = parent[part]
        except (KeyError, IndexError, TypeError):
            parent = None
    entry = parent.get("name") if isinstance(parent, dict) else None
    # The rule inside another (`base`) has the keys that it has outside.
    prefix = "".join(f"{part}." for part in path[:-1] if isinstance(part, str) and part != "base")
    keys = [
        row.key.removeprefix(prefix)
        for row in describe(schema)
        if row.key.startswith(prefix) and row.of in ("", entry)
    ]
    return sorted({key.split(".")[0] for key in keys})
