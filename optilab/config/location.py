"""A place in a config: what the schema has there."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optilab.config import yaml
from optilab.config.fields import OneOf, Section, choice_of, keys_of, schema_of, section_of
from optilab.marks import Field


def value_at(tree: Any, path: yaml.Path) -> Any:
    """What a config has at a path; None where it has nothing."""
    for step in path:
        here = isinstance(tree, list) and isinstance(step, int) and step < len(tree)
        tree = tree.get(step) if isinstance(tree, Mapping) else tree[step] if here else None
    return tree


@dataclass(frozen=True)
class Location:
    """The place `path` of the config `tree`, whether or not the schema has a key there."""

    schema: type[Section]
    path: yaml.Path
    tree: Any

    @cached_property
    def _around(self) -> tuple[type[Section] | None, OneOf | None, str]:
        section: type[Section] | None = self.schema
        choice: OneOf | None = None
        tree: Any = self.tree
        name: Any = None
        for step in self.path[:-1]:
            tree = value_at(tree, (step,))
            if isinstance(step, str):
                field = keys_of(section).get(step) if section else None
                choice, section = (choice_of(field), section_of(field)) if field else (None, None)
                for mark in field.marks if field else ():
                    section = mark.section(tree) or section if hasattr(mark, "section") else section
            if choice:
                name = tree.get("name") if isinstance(tree, dict) else tree if isinstance(tree, str) else None
                name = getattr(choice.default, "name", None) if name is None else name
                entry = choice.entry(name) or choice.entry(name := choice.near(name))
                section = schema_of(entry) if entry else None
        return section, choice, name if choice and section and isinstance(name, str) else ""

    @property
    def section(self) -> type[Section] | None:
        """The section in which the last part of the path stands."""
        return self._around[0]

    @property
    def choice(self) -> OneOf | None:
        """The choice that this section is an entry of."""
        return self._around[1]

    @property
    def entry(self) -> str:
        """The name of that entry."""
        return self._around[2]

    @property
    def inside(self) -> "Location":
        """The place of a key of what stands here."""
        return Location(self.schema, (*self.path, ""), self.tree)

    @property
    def name(self) -> str:
        return str(self.path[-1]) if self.path else ""

    @property
    def dotted(self) -> str:
        return ".".join(step for step in self.path if isinstance(step, str))

    @property
    def value(self) -> Any:
        return value_at(self.tree, self.path)

    @property
    def keys(self) -> list[str]:
        """The keys that are accepted next to this one."""
        return sorted({*(["name"] if self.choice else []), *(keys_of(self.section) if self.section else ())})

    @property
    def field(self) -> Field | None:
        """The key; None where its section has no such key, or it is an entry of a list."""
        return keys_of(self.section).get(self.name) if self.section and self.path else None

    def example(self) -> str:
        """What the key takes, such as `{patience: 1}` or `sgd`; VALUE where its type says no more."""
        inside, choice = self.inside.section, self.inside.choice
        first = next(iter(keys_of(inside).values()), None) if inside else None
        for mark in self.field.marks if self.field else ():
            if hasattr(mark, "example"):
                return str(mark.example)
        if choice or first is None:
            own = getattr(self.section, "described", lambda name: "")(self.name)
            return next(iter(choice.registry)) if choice else f"VALUE{own}"
        # What was written in the place of a mapping is proposed as the value of its first key, where it may be that.
        value: Any = self.value if len(self.path) == 1 else None
        usual = first.low if first.required else first.default
        chosen = type(value) in (str, int) and value in first.choices
        fits = chosen or (type(value) is int and first.number is int and first.admits(value))
        return yaml.flow({first.name: value if fits else usual})

    def accepted(self, value: Any) -> Any:
        """The `value` that stands here, without the keys that do not exist."""
        if not isinstance(value, dict):
            return value
        known = self.inside.keys if self.inside.section else value
        return {
            key: Location(self.schema, (*self.path, key), self.tree).accepted(item)
            for key, item in value.items()
            if key in known
        }
