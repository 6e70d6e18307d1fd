"""What a field says about itself on a command line; beside `Doc` and the ranges of annotated_types."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Flag:
    """How a field is typed on a command line."""

    metavar: str = ""
    names: tuple[str, ...] = ()
    """Instead of `--` and the field's name."""
    complete: str = ""
    """What completes it: a function of `cli.completion`, or NAME,NAME,..."""
    shown: str = ""
    """The default in the help text, where the field's own says less."""
    path: bool = False
    """A file or a directory: an empty text, such as an unset variable leaves, is refused."""


@dataclass(frozen=True)
class Argument(Flag):
    """A field that is typed by its place."""


@dataclass(frozen=True)
class ConfigKey:
    """A field that sets this key of the config that the command reads."""

    key: str


@dataclass(frozen=True)
class Read:
    """What a text of a command line means, where it is not read as in YAML."""

    read: Callable[[Any], Any]


@dataclass(frozen=True)
class InFile:
    """A key of a study's file without an option."""


@dataclass(frozen=True)
class Needs:
    """A field that means nothing without another one."""

    other: str
