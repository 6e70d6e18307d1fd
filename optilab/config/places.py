"""What the schema of a config has at a place of it, and what is said of a key that it does not have."""

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from optilab.config import yaml
from optilab.config.fields import OneOf, Section, choice_of, describe, keys_of, named, schema_of, section_of
from optilab.errors import MANY, did_you_mean, shown
from optilab.marks import Field


def widths(name: str, count: Any) -> str:
    """`[128,128,128]` for 3 by a name of other tools for the number of hidden layers, else an empty text."""
    counted = (
        name in ("layers", "depth", "n_layers", "num_layers") and str(count).isdecimal() and 0 < int(count) <= 20
    )
    return f"[{','.join(['128'] * int(count))}]" if counted else ""


def keys_beside(schema: type[Section], path: yaml.Path, tree: Any) -> list[str]:
    """The keys that are accepted where the last part of `path` stands in the config `tree`."""
    section, choice, _ = _asked(schema, path, tree)
    return sorted({*(["name"] if choice else []), *(keys_of(section) if section else ())})


def example_at(schema: type[Section], path: yaml.Path, tree: Any) -> str:
    """What the key at `path` takes, such as `{patience: 1}` or `sgd`; VALUE where its type says no more."""
    section, choice, _ = _asked(schema, (*path, ""), tree)
    first = next(iter(keys_of(section).values()), None) if section else None
    if (field := field_at(schema, path, tree)) and (
        marked := [m.example for m in field.marks if hasattr(m, "example")]
    ):
        return str(marked[0])
    if choice or first is None:
        inside, *_ = _asked(schema, path, tree)
        own = getattr(inside, "described", lambda name: "")(str(path[-1]))
        return next(iter(choice.registry)) if choice else f"VALUE{own}"
    # What was written in the place of a mapping is proposed as the value of its first key, where it may be that.
    value: Any = tree.get(path[-1]) if isinstance(tree, dict) and len(path) == 1 else None
    usual = first.low if first.required else first.default
    fits = type(value) in (str, int) and (value in first.choices or (first.number is int and first.admits(value)))
    return yaml.flow({first.name: value if fits else usual})


def field_at(schema: type[Section], path: yaml.Path, tree: Any) -> Field | None:
    """The key at `path` of the config `tree`; None where its section has no such key, or it is an entry of a list."""
    section, *_ = _asked(schema, path, tree)
    return keys_of(section).get(str(path[-1])) if section and path else None


def accepted(schema: type[Section], tree: Any, path: yaml.Path, value: Any) -> Any:
    """The `value` that the config `tree` has at `path`, without the keys that do not exist."""
    if not isinstance(value, dict):
        return value
    section, choice, _ = _asked(schema, (*path, ""), tree)
    known = {*keys_of(section), *(["name"] if choice else [])} if section else value
    return {key: accepted(schema, tree, (*path, key), item) for key, item in value.items() if key in known}


def value_at(tree: Any, path: yaml.Path) -> Any:
    """What a config has at a path; None where it has nothing."""
    for step in path:
        here = isinstance(tree, list) and isinstance(step, int) and step < len(tree)
        tree = tree.get(step) if isinstance(tree, Mapping) else tree[step] if here else None
    return tree


def _asked(schema: type[Section], path: yaml.Path, tree: Any) -> tuple[type[Section] | None, OneOf | None, str]:
    """The section in which the last part of `path` stands in `tree`, the choice that it is an entry of, and the name of
    that entry.
    """
    section: type[Section] | None = schema
    choice: OneOf | None = None
    name: Any = None
    for step in path[:-1]:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            tree = None
        if isinstance(step, str):
            field = keys_of(section).get(step) if section else None
            choice, section = (choice_of(field), section_of(field)) if field else (None, None)
            for mark in field.marks if field else ():
                section = mark.section(tree) or section if hasattr(mark, "section") else section
        if choice:
            name = tree.get("name") if isinstance(tree, dict) else None
            name = getattr(choice.default, "name", None) if name is None else name
            entry = choice.entry(name) or choice.entry(name := choice.near(name))
            section = schema_of(entry) if entry else None
    return section, choice, name if choice and section and isinstance(name, str) else ""


def unknown_key(
    schema: type[Section],
    path: yaml.Path,
    tree: Any,
    spelled: Callable[[str], str] | None = None,
    whole: bool = False,
) -> str:
    """What to write instead of a key that does not exist: a near one next to it, or the place of that name.

    `spelled` says how a key at another place is written, by default dotted; `whole`: it was typed with all its parts.
    """
    own = ".".join(step for step in path if isinstance(step, str))
    if place := schema.moved.get(own):
        return f"moved to {place}"
    section, choice, entry = _asked(schema, path, tree)
    name = str(path[-1]) if path else ""
    if advice := getattr(section, "advice", None):
        return str(advice(name))
    beside = keys_beside(schema, path, tree)
    what = f"{entry} has no setting {shown(name)}" if entry else "unknown key"
    settings = [key for key in beside if key != "name"] if entry else beside
    here = own.removesuffix(name) if whole and not spelled and own.endswith(name) else ""
    near = did_you_mean(name, settings, here)
    if near.count('"') == 2 and len(path) == 1 and not spelled and isinstance(tree.get(name), dict):
        parent = near.split('"')[1]
        for dotted in [f"{parent}.{inner}" for inner in tree[name]][:1]:  # as it was typed
            if dotted in {key.key for key in describe(schema)}:
                return f'{what}; did you mean "{dotted}"?'
    for key, field in keys_of(schema).items() if len(path) == 1 else ():
        if (at := choice_of(field)) and name in at.registry and isinstance(tree.get(name), dict):
            inner = next(iter(tree[name]), "KEY")
            return f"{what}; the settings of the {at.what} {name} belong to {key}: {key}.{inner}"
    if choice and name in choice.registry and name != entry:
        value, other = value_at(tree, path), keys_of(schema_of(choice.registry[name]))
        given: dict[str, Any] = {"beta": value} if "beta" in other and isinstance(value, int | float) else {}
        if given and "classic" in getattr(other.get("form"), "words", ()):  # PyTorch's
            given["form"] = "classic"
        instead = yaml.flow({"name": name, **given})
        written = f"{path[0]}: {instead}" if spelled else f"--set {shlex.quote(f'{path[0]}={instead}')}"
        return f"{what}; {name} is another {choice.what}: write {written}" + f" in the place of {entry}" * (
            not spelled
        )
    if spelled and "." in name and name.removesuffix(".name") in {key.key for key in describe(schema)}:
        return f"dotted keys are for --set; {spelled(name)}"
    top = "" if len(path) < 2 else f"{path[0]}."
    places = [key for key in named(schema, name) if key != own and key.startswith(top) and not entry]
    if places and not (spelled and places[0].rpartition(".")[0] == own.rpartition(".")[0]):
        return f"{what}; {spelled(places[0])}" if spelled else f'{what}; did you mean "{places[0]}"?'
    if len(path) == 1 and not near and not spelled:
        keys = [key.key.split(".") for key in describe(schema)]
        inner = {
            last: ".".join([*above, last])
            for *above, last in reversed(keys)
            if last in keys_beside(schema, (*above, *[0] * isinstance(tree.get("".join(above)), list), last), tree)
        }
        far = re.fullmatch('; did you mean "([^"]+)"[?]', did_you_mean(name, [*inner]))
        near = f'; did you mean "{inner[far[1]]}"?' if far else ""
    if near:
        return f"{what}{near}"
    if entry and name in keys_of(schema):
        return f"{what}; {name} is a key of its own: {spelled(name) if spelled else f'--set {name}=VALUE'}"
    if entry and choice:
        return f"{what}; it has {', '.join(settings) or 'none'}{_elsewhere(choice, path, tree)}"
    if len(beside) > MANY:
        return f"{what}; no key is alike, so delete it"
    return f"{what}; one of {', '.join(beside)}" if beside else what


def _elsewhere(choice: OneOf, path: yaml.Path, tree: Any) -> str:
    """Which entry has the setting that another lacks; of several, how it is set for that one alone."""
    name, entries = path[-1], tree.get(path[0])
    if not isinstance(entries, list) or not entries[1:]:
        others = [one for one, kind in choice.registry.items() if name in keys_of(schema_of(kind))]
        usual = next((one for one in ("adam", "momentum") if one in others), next(iter(others), ""))
        return f"; for {name} choose another {choice.what}, such as {usual}" if usual else ""
    kinds = {one["name"]: choice.entry(one["name"]) for one in entries if isinstance(one, dict) and "name" in one}
    having = [one for one, kind in kinds.items() if kind and name in keys_of(schema_of(kind))]
    if not having:
        return ""
    value = next(one[name] for one in entries if one["name"] in having)
    written = [f"{{name: {one}, {name}: {yaml.flow(value)}}}" if one in having else one for one in kinds]
    setting = f"--set '{path[0]}=[{', '.join(written)}]'"
    return f"; set it for {' and '.join(having)} alone by {setting} instead of --{path[0]}"
