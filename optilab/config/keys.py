"""Every key that a command's config accepts, read off the schema."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt

from optilab.config.schema.fields import OneOf, Section, schema_of
from optilab.config.strict_yaml import flow
from optilab.errors import UsageError, did_you_mean, shown
from optilab.optimize import RULES
from optilab.optimize.own import is_own, kind_of

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
        flow([item.name if hasattr(item, "name") else item for item in value])
        if isinstance(value, tuple)
        else (str(value.name) if hasattr(value, "name") else flow(value))
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
