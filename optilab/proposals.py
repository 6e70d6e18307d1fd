"""Commands as values: a result proposes one, and each medium writes it in its own words."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from math import isfinite, isnan
from typing import Any

from optilab.errors import quoted, shown
from optilab.numbers import digits


@dataclass(frozen=True)
class Call:
    """A command with its arguments and options.

    A mapping is typed as `--set KEY=VALUE`, a list by repeating its option, a tuple with commas, True as a switch.
    """

    command: str
    arguments: Sequence[object] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def words(self) -> list[str]:
        """The words of the command line."""
        words = ["optilab", *self.command.split(), *map(str, self.arguments)]
        for name, value in self.options.items():
            flag = f"--{name.replace('_', '-')}"
            if isinstance(value, Mapping):
                value = [f"{key}={_typed(item)}" for key, item in value.items()]
            for item in value if isinstance(value, list) else [value]:
                words += [flag] if item is True else [flag, _typed(item)]
        return words

    def shell(self) -> str:
        """The command line, each word quoted; the call of `Lab` if it needs values that only this process has."""
        has_mapping = any(isinstance(argument, Mapping) for argument in self.arguments)
        if has_mapping or [*objects([*self.arguments, self.options])]:
            return self.python()
        return quoted(self.words())

    def python(self) -> str:
        """The call of a method of `Lab`, which has its directory of runs; the command line where there is none."""
        if " " in self.command:
            return quoted(self.words())
        options = {name: value for name, value in self.options.items() if name != "runs_dir" and value != {}}
        words = [*map(_literal, self.arguments), *(f"{name}={_literal(value)}" for name, value in options.items())]
        return f"lab.{self.command}({', '.join(words)})"

    __str__ = shell


@dataclass(frozen=True)
class Proposal:
    """A sentence that proposes a command, such as `try: optilab lr relu.yaml`."""

    why: str
    call: Call
    after: str = ""

    def around(self, call: str) -> str:
        """The sentence with this text of its command."""
        return f"{self.why}{call}{self.after}"

    def python(self) -> str:
        """The sentence with a call of `Lab`."""
        return self.around(self.call.python())

    def __str__(self) -> str:
        return self.around(self.call.shell())


def in_python(text: str | Proposal) -> str:
    """A line of a result, as a notebook shows it."""
    return text if isinstance(text, str) else text.python()


def objects(value: Any) -> Iterator[Any]:
    """The classes and functions of this process in a value."""
    if isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from objects(item)
    elif callable(value):
        yield value


def flow(value: object) -> str:
    """A value as YAML on one line; a text by itself is as it stands."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_entry(key)}: {_entry(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_entry, value))}]"
    if isinstance(value, float) and not isfinite(value):
        return ".nan" if isnan(value) else ".inf" if value > 0 else "-.inf"
    if isinstance(value, bool | int | float | None):
        return json.dumps(value)
    return value if isinstance(value, str) else shown(value)


def _entry(value: object) -> str:
    return _quoted(value) if isinstance(value, str) else flow(value)


@cache
def _quoted(text: str) -> str:
    """A text in a list or a mapping, in quotes where YAML would read anything else."""
    import yaml

    with suppress(yaml.YAMLError):
        if yaml.safe_load(f"[{text}]") == [text]:
            return text
    return json.dumps(text, ensure_ascii=False)


def _typed(value: object) -> str:
    """A value as an option takes it."""
    if isinstance(value, tuple):
        return ",".join(map(_typed, value))
    if isinstance(value, float):
        return short if float(short := digits(value)) == value else repr(float(value))
    return flow(value)


def _literal(value: object) -> str:
    """A value as Python takes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_literal, value))}]"
    if callable(value):
        return str(getattr(value, "__name__", value))
    return (
        repr(value) if isinstance(value, bool | int | float | None) else json.dumps(str(value), ensure_ascii=False)
    )
