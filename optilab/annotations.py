"""What a field says about its option: marks next to its type, and `Field`, which reads them."""

from collections.abc import Callable
from dataclasses import MISSING, dataclass
from functools import cached_property
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_doc import Doc
from annotated_types import Ge, Le


def claim_doc(example: str) -> Doc:
    """The help text of `--expect`, with a claim that the command can check."""
    return Doc(f"Exit with status 9 unless CLAIM holds, for example '{example}' (optilab help claims)")


RANGE = "KEY=LOW:HIGH[:COUNT][:log]"
"""The form of an axis."""


@dataclass(frozen=True)
class Flag:
    """The option of a field on a command line."""

    metavar: str = ""
    names: tuple[str, ...] = ()
    """Names in place of `--` and the field's name."""
    complete: str = ""
    """Its completion, where its type has no choices: a function of `request.completion`, or NAME,NAME,..."""
    repeated: bool = False
    """It may be typed several times; a list without `Read` may always."""
    path: bool = False
    """A file or a directory: an empty text, such as an unset variable leaves, is refused."""
    positional: bool = False
    """Its name may be left out; a config in its place is the config of the command."""
    named: bool = False
    """In `Lab` it is a keyword only."""


@dataclass(frozen=True)
class Argument(Flag):
    """A field that is typed by its place."""


@dataclass(frozen=True)
class ConfigKey:
    """A field that sets this key of the config that the command reads.

    A command line takes any text for it, which is read as in YAML; the annotation is the type that `Lab` takes.
    """

    key: str
    for_each: bool = False
    """Each value of a list makes an entry: the section of the key becomes a list."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        """Any value, which the config validates."""
        return {"type": "any"}


@dataclass(frozen=True)
class Read:
    """The reader of a text of a command line that is not read as in YAML."""

    read: Callable[[Any], Any]


@dataclass(frozen=True)
class FileOnly:
    """A key of a study's file without an option."""


@dataclass(frozen=True)
class Field:
    """An option of a command, as its class declares it."""

    name: str
    type_hint: Any
    """The annotated type."""
    default: Any = MISSING
    group: str = ""
    """The heading of its part of the help text; empty for what a request itself declares."""

    @cached_property
    def _options(self) -> tuple[Any, ...]:
        bare = get_args(self.type_hint)[0] if get_origin(self.type_hint) is Annotated else self.type_hint
        return get_args(bare) if get_origin(bare) in (Union, UnionType) else (bare,)

    @cached_property
    def marks(self) -> tuple[Any, ...]:
        """The marks of the types that it takes, then its own."""
        hints = (*self._options, self.type_hint)
        return tuple(mark for hint in hints for mark in getattr(hint, "__metadata__", ()))

    @cached_property
    def kinds(self) -> tuple[Any, ...]:
        """The types of which it takes one, without their marks."""
        return tuple(get_args(hint)[0] if get_origin(hint) is Annotated else hint for hint in self._options)

    def mark(self, kind: Any) -> Any:
        """The mark of this kind, or None."""
        return next((mark for mark in self.marks if isinstance(mark, kind)), None)

    @property
    def doc(self) -> str:
        texts = (mark.documentation for mark in reversed(self.marks) if isinstance(mark, Doc))
        return next(texts, "")  # a field's own text follows that of its type

    @property
    def required_on_command_line(self) -> bool:
        """True where a command line must have it: `RUN` in its usage, not `[RUN]`."""
        flag = self.mark(Flag)
        return isinstance(flag, Argument) and self.default is MISSING and not flag.metavar.startswith("[")

    @property
    def repeated(self) -> bool:
        """True where it may be typed several times."""
        flag = self.mark(Flag)
        lists = any(kind is list or get_origin(kind) in (list, tuple) for kind in self.kinds)
        return bool(flag and flag.repeated) or (lists and self.mark(Read) is None)

    @property
    def is_switch(self) -> bool:
        return bool in self.kinds

    @property
    def is_named(self) -> bool:
        """True where `Lab` always needs its name."""
        flag = self.mark(Flag)
        return bool(flag and flag.named)

    @property
    def number(self) -> Any:
        """int or float, where it takes one number."""
        return None if self.repeated else next((kind for kind in (int, float) if kind in self.kinds), None)

    @property
    def bounds(self) -> tuple[Any, Any]:
        """The smallest and the largest value; None where there is none."""
        low, high = self.mark(Ge), self.mark(Le)
        return low.ge if low else None, high.le if high else None

    @property
    def choices(self) -> tuple[str, ...]:
        """The words of which it takes one; none where it takes something else."""
        return tuple(str(word) for kind in self.kinds if get_origin(kind) is Literal for word in get_args(kind))

    @property
    def metavar(self) -> str:
        """The word for its value in help texts, `FILE` or `N`; empty if there is none."""
        mark = self.mark(Flag)
        return (mark and mark.metavar) or ("" if self.number is None else "N" if self.number is int else "X")

    @property
    def flag(self) -> str:
        """The word that is typed: `--batch-size`, or the metavar of an argument."""
        mark = self.mark(Flag)
        if isinstance(mark, Argument):
            return mark.metavar.strip("[]").partition("[")[0]
        names = mark.names if mark else ()
        return names[0].partition("/")[0] if names else f"--{self.name.rstrip('_').replace('_', '-')}"
