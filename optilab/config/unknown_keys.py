"""What is said of a key that a config does not have: one answer, the first of `ANSWERS` that has something to say."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optilab.config import yaml
from optilab.config.fields import choice_of, describe, keys_of, named, schema_of
from optilab.config.location import Location
from optilab.errors import MANY, did_you_mean, shown

Values = Mapping[str, Any]
"""Dotted keys with their values."""


def widths(name: str, count: Any) -> str:
    """`[128,128,128]` for 3 by a name of other tools for the number of hidden layers, else an empty text."""
    counted = (
        name in ("layers", "depth", "n_layers", "num_layers") and str(count).isdecimal() and 0 < int(count) <= 20
    )
    return f"[{','.join(['128'] * int(count))}]" if counted else ""


@dataclass(frozen=True)
class UnknownKey:
    """A key that its section does not have.

    `in_file` writes other keys as the file would have them that has this one; None: it was typed, dotted. `whole`: it
    was typed with all its parts.
    """

    at: Location
    in_file: Callable[[Values], str] | None = None
    whole: bool = False

    def message(self) -> str:
        """What is wrong with it and what to write instead."""
        return next(filter(None, (answer(self) for answer in ANSWERS)))

    @cached_property
    def name(self) -> str:
        return self.at.name

    @cached_property
    def what(self) -> str:
        entry = self.at.entry
        return f"{entry} has no setting {shown(self.name)}" if entry else "unknown key"

    @cached_property
    def settings(self) -> list[str]:
        """What could be written in its place."""
        return [key for key in self.at.keys if key != "name" or not self.at.entry]

    @cached_property
    def alone(self) -> bool:
        """Whether it stands at the top of the config."""
        return len(self.at.path) == 1

    @cached_property
    def near(self) -> str:
        """`; did you mean "lr"?` of a key next to it, as it was typed."""
        own = self.at.dotted
        typed = self.whole and not self.in_file and own.endswith(self.name)
        return did_you_mean(self.name, self.settings, own.removesuffix(self.name) if typed else "")

    @cached_property
    def elsewhere(self) -> list[str]:
        """The keys of other sections that have this name."""
        at = self.at
        top = "" if self.alone else f"{at.path[0]}."
        found = named(at.schema, self.name) if not at.entry else []
        return [key for key in found if key != at.dotted and key.startswith(top)]

    def written(self, values: Values) -> str:
        """`write optimizer: {lr: 0.1}` in a file, `write --set optimizer.lr=0.1` where it was typed."""
        section = self.at.dotted.removesuffix(self.name)
        if self.in_file and section and all(key.startswith(section) for key in values):
            return f"write {yaml.flow({key.removeprefix(section): item for key, item in values.items()})[1:-1]}"
        if self.in_file:
            return self.in_file(values)
        pairs = (f"{key}={yaml.flow(item).replace(', ', ',')}" for key, item in values.items())
        return f"write {' '.join(f'--set {shlex.quote(pair)}' for pair in pairs)}"

    def _located(self, key: str) -> Location:
        """The place of a dotted key; of several optimizers in the first."""
        above, _, last = key.rpartition(".")
        first = [0] * isinstance(self.at.tree.get(above), list)
        return Location(self.at.schema, (*above.split("."), *first, last) if above else (last,), self.at.tree)

    # --- the answers ---------------------------------------------------------------------------------------

    def moved(self) -> str:
        to = self.at.schema.moved.get(self.at.dotted)
        return f"moved to {to}" if to else ""

    def of_own_code(self) -> str:
        """What the section itself says of its keys."""
        advice = getattr(self.at.section, "advice", None)
        return str(advice(self.name)) if advice else ""

    def misspelled_section(self) -> str:
        """`modle.hidden`: the whole key, where the section that is meant has the rest."""
        inner = self.at.value
        if self.near.count('"') != 2 or not self.alone or self.in_file or not isinstance(inner, dict):
            return ""
        parent = self.near.split('"')[1]
        whole = f"{parent}.{next(iter(inner), '')}"
        known = any(key.key == whole for key in describe(self.at.schema))
        return f'{self.what}; did you mean "{whole}"?' if known else ""

    def entry_as_section(self) -> str:
        """`adam.lr`: the settings of an entry belong to its key."""
        inner = self.at.value
        for key, field in keys_of(self.at.schema).items() if self.alone and isinstance(inner, dict) else ():
            if (choice := choice_of(field)) and self.name in choice.registry:
                first = next(iter(inner), "KEY")
                return f"{self.what}; the settings of the {choice.what} {self.name} belong to {key}: {key}.{first}"
        return ""

    def entry_as_setting(self) -> str:
        """`optimizer.momentum` of sgd, or `momentum` alone: it is another entry."""
        at = self.at
        choices = {key: choice_of(field) for key, field in keys_of(at.schema).items()} if self.alone else {}
        choices = {str(at.path[0]): at.choice} if at.choice else choices
        found = [(key, one) for key, one in choices.items() if one and self.name in one.offered]
        if not found or self.name in (at.entry, Location(at.schema, (found[0][0], ""), at.tree).entry):
            return ""
        top, choice = found[0]
        other = keys_of(schema_of(choice.registry[self.name]))
        given: dict[str, Any] = {"name": self.name}
        if "beta" in other and isinstance(at.value, int | float) and not isinstance(at.value, bool):
            pytorch = {"form": "classic"} if "classic" in getattr(other.get("form"), "words", ()) else {}
            given |= {"beta": at.value} | pytorch
        instead = yaml.flow(given)
        said = f"{top}: {instead}" if self.in_file else f"--set {shlex.quote(f'{top}={instead}')}"
        of = f" in the place of {at.entry}" if at.entry and not self.in_file else ""
        return f"{self.what}; {self.name} is another {choice.what}: write {said}{of}"

    def dotted_in_file(self) -> str:
        known = {key.key for key in describe(self.at.schema)}
        if not self.in_file or "." not in self.name or self.name.removesuffix(".name") not in known:
            return ""
        return f"dotted keys are for --set; {self.written({self.name: self.at.value})}"

    def another_form(self) -> str:
        """`layers: 3` and `betas: [0.9, 0.999]`: other tools have other values for what is meant, too."""
        if (hidden := widths(self.name, self.at.value)) and (keys := named(self.at.schema, "hidden")):
            return f"{self.what}; {self.written({keys[0]: yaml.value(hidden)})}"
        pair = re.findall(r"\d*\.?\d+", str(self.at.value)) if self.name == "betas" else []
        here = [self.at.dotted.replace("betas", "beta1")] * ("beta1" in self.settings)
        there = [key for key in self.elsewhere if self._located(key).field]  # which the chosen optimizer has
        for key in [*there, *here][: len(pair) == 2]:
            both = {f"{key[:-1]}{n}": yaml.value(one) for n, one in enumerate(pair, 1)}
            return f"{self.what}; {self.written(both)}"
        return ""

    def at_another_place(self) -> str:
        for key in self.elsewhere[:1]:
            if not self.in_file:
                return f'{self.what}; did you mean "{key}"?'
            if key.rpartition(".")[0] != self.at.dotted.rpartition(".")[0]:
                return f"{self.what}; {self.written({key: self.at.value})}"
        return ""

    def nearest(self) -> str:
        return f"{self.what}{self.near}" if self.near else ""

    def near_another_place(self) -> str:
        """A key further inside that is alike, where one was typed without its section."""
        if not self.alone or self.in_file:
            return ""
        places = [(one.key, self._located(one.key)) for one in describe(self.at.schema)]
        inner = {place.name: key for key, place in reversed(places) if place.name in place.keys}
        far = re.fullmatch('; did you mean "([^"]+)"[?]', did_you_mean(self.name, [*inner]))
        return f'{self.what}; did you mean "{inner[far[1]]}"?' if far else ""

    def key_of_its_own(self) -> str:
        if not self.at.entry or self.name not in keys_of(self.at.schema):
            return ""
        said = self.in_file({self.name: self.at.value}) if self.in_file else f"--set {self.name}=VALUE"
        return f"{self.what}; {self.name} is a key of its own: {said}"

    def what_the_entry_has(self) -> str:
        at = self.at
        if not (at.entry and at.choice):
            return ""
        return f"{self.what}; it has {', '.join(self.settings) or 'none'}{self._of_others()}"

    def _of_others(self) -> str:
        """Which entry has the setting that another lacks; of several, how it is set for that one alone."""
        name, top, choice = self.name, self.at.path[0], self.at.choice
        entries = self.at.tree.get(top)
        assert choice
        if not isinstance(entries, list) or not entries[1:]:
            others = [one for one, kind in choice.registry.items() if name in keys_of(schema_of(kind))]
            usual = next((one for one in ("adam", "momentum") if one in others), next(iter(others), ""))
            return f"; for {name} choose another {choice.what}, such as {usual}" if usual else ""
        kinds = {
            one["name"]: choice.entry(one["name"]) for one in entries if isinstance(one, dict) and "name" in one
        }
        having = [one for one, kind in kinds.items() if kind and name in keys_of(schema_of(kind))]
        if not having:
            return ""
        value = next(one[name] for one in entries if one["name"] in having)
        written = [f"{{name: {one}, {name}: {yaml.flow(value)}}}" if one in having else one for one in kinds]
        setting = f"--set '{top}=[{', '.join(written)}]'"
        return f"; set it for {' and '.join(having)} alone by {setting} instead of {','.join(kinds)}"

    def what_there_is(self) -> str:
        beside = self.at.keys
        if len(beside) > MANY:
            return f"{self.what}; no key is alike, so delete it"
        return f"{self.what}; one of {', '.join(beside)}" if beside else self.what


ANSWERS: tuple[Callable[[UnknownKey], str], ...] = (
    UnknownKey.moved,
    UnknownKey.of_own_code,
    UnknownKey.misspelled_section,
    UnknownKey.entry_as_section,
    UnknownKey.entry_as_setting,
    UnknownKey.dotted_in_file,
    UnknownKey.another_form,
    UnknownKey.at_another_place,
    UnknownKey.nearest,
    UnknownKey.near_another_place,
    UnknownKey.key_of_its_own,
    UnknownKey.what_the_entry_has,
    UnknownKey.what_there_is,
)
