"""A field of a config or a request, and what it says about itself next to `Doc` and the ranges of annotated_types.

The list of a config's keys, its JSON Schema, the options of a command and the keywords of the library are read off the
same fields. Pydantic is not loaded.
"""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass
from functools import cached_property
from operator import ge, gt, le, lt
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt


def claim_doc(example: str) -> Doc:
    """The text of `--expect`, with a claim that the command can judge."""
    return Doc(f"Exit with status 9 unless CLAIM holds, for example '{example}' (optilab help claims)")


RANGE = "KEY=LOW:HIGH[:COUNT][:log]"
"""How an axis is typed."""


@dataclass(frozen=True)
class Flag:
    """How a field is typed on a command line."""

    metavar: str = ""
    names: tuple[str, ...] = ()
    """Instead of `--` and the field's name."""
    complete: str = ""
    """What completes it: a function of `commands.completion`, or NAME,NAME,..., of which an option takes one."""
    shown: str = ""
    """The default in the help text, where the field's own says less."""
    repeated: bool = False
    """It may be typed several times; a list without `Read` may always."""
    path: bool = False
    """A file or a directory: an empty text, such as an unset variable leaves, is refused."""
    place: bool = False
    """Its name may be left out; a config in its place is the config of the command."""
    named: bool = False
    """In the library its name is always needed: what stands in its place belongs to the list before it."""
    hidden: bool = False
    """It is accepted, and no help text shows it."""


@dataclass(frozen=True)
class Argument(Flag):
    """A field that is typed by its place."""


@dataclass(frozen=True)
class ConfigKey:
    """A field that sets this key of the config that the command reads.

    A command line takes any text for it, which is read as in YAML (`load.typed`); the annotation is what `Lab` takes.
    """

    key: str


@dataclass(frozen=True)
class Read:
    """What a text of a command line means, where it is not read as in YAML."""

    read: Callable[[Any], Any]


@dataclass(frozen=True)
class InFile:
    """A key of a study's file without an option."""


@dataclass(frozen=True)
class Field:
    """A key of a config, or what a command is asked, as its class declares it."""

    name: str
    hint: Any
    """The annotated type."""
    default: Any = MISSING
    group: str = ""
    """The heading of its part of the help text; empty for what a request itself declares."""

    @property
    def marks(self) -> tuple[Any, ...]:
        return getattr(self.hint, "__metadata__", ())

    @property
    def type(self) -> Any:
        """The type without its marks."""
        return get_args(self.hint)[0] if self.marks else self.hint

    @cached_property
    def parts(self) -> tuple[Any, ...]:
        """The marks and the types inside each other, the outermost first."""
        return tuple(_parts(self.hint))

    def mark(self, kind: Any) -> Any:
        """Its mark of a kind, or None."""
        return next((mark for mark in self.marks if isinstance(mark, kind)), None)

    @property
    def doc(self) -> str:
        marks = (*reversed(self.marks), *self.parts)  # a field's own text before that of the type it shares
        return next((mark.documentation for mark in marks if isinstance(mark, Doc)), "")

    @property
    def required(self) -> bool:
        return self.default is MISSING

    @property
    def obligatory(self) -> bool:
        """Whether a command line must have it: `RUN` in its usage, not `[RUN]`."""
        flag = self.mark(Flag)
        return isinstance(flag, Argument) and self.required and not flag.metavar.startswith("[")

    @property
    def repeated(self) -> bool:
        """Whether it may be typed several times."""
        flag = self.mark(Flag)
        lists = any(kind is list or get_origin(kind) is list for kind in (self.type, *get_args(self.type)))
        return bool(flag and flag.repeated) or (lists and self.mark(Read) is None)

    @property
    def number(self) -> Any:
        """int or float, where it takes one number."""
        kinds = (*get_args(self.type), self.type)
        return None if self.repeated else next((kind for kind in (int, float) if kind in kinds), None)

    @property
    def low(self) -> Any:
        """The smallest value; None: there is none."""
        mark = self.mark(Ge)
        return mark.ge if mark else None

    @property
    def high(self) -> Any:
        """The largest value; None: there is none."""
        mark = self.mark(Le)
        return mark.le if mark else None

    def admits(self, number: float) -> bool:
        """Whether a number is in its range."""
        tests: dict[Any, Callable[[Any, Any], bool]] = {Gt: gt, Ge: ge, Lt: lt, Le: le}
        marks = [mark for mark in self.parts if type(mark) in tests]
        return all(tests[type(mark)](number, getattr(mark, type(mark).__name__.lower())) for mark in marks)

    @property
    def words(self) -> tuple[str, ...]:
        """Those of which it takes one; none where it takes something else."""
        literal = get_args(self.type) if get_origin(self.type) is Literal else ()
        return ("true", "false") if self.type is bool else tuple(map(str, literal))

    @property
    def choices(self) -> tuple[Any, ...]:
        """The same of a field that may be null, and of an option that is completed from a list."""
        kinds, flag = (self.type, *get_args(self.type)), self.mark(Flag)
        listed = flag.complete if flag and not isinstance(flag, Argument) else ""
        words = tuple(word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind))
        return words or tuple(listed.split(",") if "," in listed else ())

    @property
    def kind(self) -> str:
        """What it takes: `whole number >= 1, <= 1,000`, `list of numbers`, `a | b`."""
        if self.words:
            return " | ".join(self.words)
        kind = "number" if float in self.parts else "whole number" if int in self.parts else "text"
        bounds = []
        for mark in self.parts:
            match mark:
                case Gt(gt=low):
                    bounds.append(f"> {low}")
                case Ge(ge=low):
                    bounds.append(f">= {low:,}")
                case Lt(lt=high):
                    bounds.append(f"< {high}")
                case Le(le=high):
                    bounds.append(f"<= {high:,}")
        kind = f"list of {kind}s" if tuple in self.parts else kind
        return f"{kind} {', '.join(dict.fromkeys(bounds))}" if bounds else kind

    @property
    def metavar(self) -> str:
        """What stands for its value: `FILE`, `N`; empty where that is not said."""
        mark = self.mark(Flag)
        return (mark and mark.metavar) or ("" if self.number is None else "N" if self.number is int else "X")

    @property
    def flag(self) -> str:
        """What is typed: `--batch-size`, or the metavar of an argument."""
        mark = self.mark(Flag)
        if isinstance(mark, Argument):
            return mark.metavar.strip("[]").partition("[")[0]
        names = mark.names if mark else ()
        return names[0].partition("/")[0] if names else f"--{self.name.rstrip('_').replace('_', '-')}"


def _parts(hint: Any) -> Iterator[Any]:
    if get_origin(hint) is Annotated:
        yield from hint.__metadata__
        hint = hint.__origin__
    if get_origin(hint) is not Literal:
        yield get_origin(hint) or hint
        for inner in get_args(hint):
            yield from _parts(inner)
