"""What every command is made of: a request, the place where it runs, and an answer.

A request is declared once, as a class of annotated fields with defaults. They are the options of the command, the
keywords of the method of `Lab`, the keys of the study's file, and the text of the help. What a class inherits from a
group of `commands.options` says how it is executed and shown; what it declares itself is what is asked.
"""

import inspect
import os
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_origin, get_type_hints

from optilab.errors import OptilabError, Problem, UsageError, shown, unknown
from optilab.call import Call, Command, in_python
from optilab.errors import OptilabError, Problem, Refusals, UsageError, none_of, shown, unknown
from optilab.marks import Argument, ConfigKey, Field, Flag, InFile, Read
from optilab.words import listed

if TYPE_CHECKING:
    from optilab.commands.answer import Answer
    from optilab.config.load import Override
    from optilab.errors import ExitCode


Conflicts = Sequence[tuple[str, ...]]


class Request:
    """What is asked of the laboratory."""

    EXAMPLES: ClassVar[Sequence[str]] = ()
    NOTES: ClassVar[str] = ""
    """What the help text says after them."""
    CONFLICTS: ClassVar[Conflicts] = ()
    """Fields of which at most one is given."""
    NEEDS: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Fields that mean nothing without another one, by that other one."""
    HEADING: ClassVar[str] = ""
    """That of its own fields in the help text of a command that has several requests."""
    GROUP: ClassVar[str] = ""
    """The heading of its fields in help texts, where it is a group that requests share."""
    KEPT: ClassVar[Any] = None
    """What the file of a study keeps of it: a `Section` whose keys are options, too. None: it is no study."""

    OPEN: ClassVar[bool] = False
    """Whether other keywords of the library are keys of the config that it reads."""

    given: Mapping[str, Any]
    """What was given, by field: texts of a command line, or values of Python."""
    typed: bool
    """Whether it comes from a command line, where errors name options."""

    @classmethod
    def of(cls, given: Mapping[str, Any], typed: bool = False) -> Self:
        """The request. UsageError for all values that do not fit, and for options that exclude or need each other."""
        known, errors = {one.name: one for one in fields_of(cls)}, [*map(UsageError, cls._misfits(given, typed))]
        values, kept = {name: v for name, v in given.items() if name in known or cls.OPEN}, kept_of(cls)
        for name, one in known.items():
            of_config = one.mark(ConfigKey) is not None or one in kept  # which the config judges
            if name in values and (wrong := misfit(one, values[name], typed, of_config)):
                errors.append(UsageError(wrong, one.flag if typed else name))
            elif typed and one.number and not of_config and values.get(name) is not None:
                values[name] = one.number(values[name])
        if errors:
            raise errors[0] if len(errors) == 1 else UsageError("\n".join(map(str, errors)))
        request = cls()
        request.__dict__.update(values, given=values, typed=typed)
        for owner in reversed(cls.__mro__):
            if complete := owner.__dict__.get("complete"):
                complete(request)
        return request

    @classmethod
    def _misfits(cls, given: Mapping[str, Any], typed: bool) -> list[str]:
        """What of it is unknown, and what excludes or needs each other."""
        known = {one.name: one for one in fields_of(cls)}
        problems = [cls.unknown(name, typed) for name in given if name not in known and not cls.OPEN]

        def named(name: str) -> str:
            placed = known[name].mark(Argument) and isinstance(given.get(name), str)
            return shown(given[name]) if placed else known[name].flag if typed else name

        conflicts = [pair for owner in cls.__mro__ for pair in owner.__dict__.get("CONFLICTS", ())]
        for conflict in conflicts:
            both = [named(name) for name in conflict if given.get(name)]
            if len(both) > 1:
                run = [named(name) for name in conflict if name in ("resume", "fork") and given.get(name)]
                config = [one for one in both if one not in run]
                known_by = len(run) == 1 and {"config", "on"} & {*conflict}
                way = f": {run[0]} has a config of its own, so leave out {listed(config)}" if known_by else ""
                problems.append(f"{listed(both)} cannot be combined{way or '; give one'}")
        needs = [pair for owner in cls.__mro__ for pair in owner.__dict__.get("NEEDS", {}).items()]
        for other, name in ((other, name) for other, names in needs for name in names):
            if name in given and not given.get(other):
                needed = known[other].metavar.partition(",")[0]
                switch = bool in known[other].parts
                value = (" " if typed else "=") + needed if not switch else "" if typed else "=True"
                problems.append(f"{named(name)} needs {named(other)}; add {named(other)}{value}")
        return problems

    @classmethod
    def unknown(cls, name: str, typed: bool) -> str:
        """What is said of a name that it does not have."""
        accepted = (one.name for one in fields_of(cls) if one.group != "Output" and one.name != "runs_dir")
        return unknown("keyword", name, accepted)

    def complete(self) -> None:
        """Check and derive what takes every field; each group its own."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a request does not change: {name}")

    def flag(self, name: str) -> str:
        """A field as errors name it."""
        return next(one.flag for one in fields_of(type(self)) if one.name == name) if self.typed else name

    def changes(self, kept: bool = False) -> "list[Override]":
        """The keys of the config that this request sets, by its own options and by `set`; or with `kept` those of the
        file of its study.

        A section comes before the keys inside it, so their order does not matter.
        """
        from optilab.config.load import Override, typed

        made, own = list[Override](), kept_of(type(self))
        for one in fields_of(type(self)):
            value, mark = self.given.get(one.name), one.mark(ConfigKey)
            chosen = one in own and one.name not in ("config", "on") if kept else mark is not None
            if value is None or not chosen:  # where a study starts from is not a change of it
                continue
            key, where = mark.key if mark else one.name, self.flag(one.name)
            if one.name == "expect":
                texts = value if isinstance(value, list) else [value]
                made.append(Override(where, key, texts, adds=True))
            else:
                several = one.repeated and isinstance(value, list) and all(isinstance(item, str) for item in value)
                text = self.typed or (one.mark(Read) and (several or isinstance(value, str)))
                made.append(typed(where, key, value, one) if text else Override(where, key, plain(value)))
        if kept:
            return made
        known = {one.name for one in fields_of(type(self))}
        made += [Override(name, name, plain(value)) for name, value in self.given.items() if name not in known]
        named = {change.key: change.where for change in made}
        for change in self._set():
            if change.key in named:
                both = f"{named[change.key]} and {change.where}"
                problem = Problem(both, "", f"both set {change.key}; leave one of them out")
                change = replace(change, where=both, refused=problem)
            made.append(change)
        return sorted(made, key=lambda change: change.key.count("."))

    def _set(self) -> "list[Override]":
        from optilab.config.load import Override, override_from_text

        given = self.given.get("set") or ()
        if isinstance(given, Mapping):
            return [Override(f"set {key}", key, plain(value)) for key, value in given.items()]
        return [override_from_text("--set", text) for text in given]

    def call(self, command: str, *names: str) -> Call:
        """A command that asks the same by these fields, or by all of them; a config without a file is not in it."""
        arguments, options = list[str](), dict[str, Any]()
        for one in fields_of(type(self)):
            value = plain(self.given.get(one.name)) if one.name in names or not names else None
            if isinstance(one.mark(Flag), Argument):
                items = value if isinstance(value, list) else [value]
                arguments += [item for item in items if isinstance(item, str)]
            elif one.name == "set":
                options |= {"set": {change.key: change.value for change in self._set()}} if value else {}
            elif isinstance(value, Mapping):
                axes = {key: tuple(axis) if isinstance(axis, list) else axis for key, axis in value.items()}
                options[_option(one)] = axes
            elif value is not None and value is not False:
                joined = isinstance(value, list) and not one.repeated
                options[_option(one)] = tuple(value) if joined else value
        return Call(command, arguments, options)


def misfit(one: Field, value: Any, typed: bool, of_config: bool = False) -> str:
    """What is wrong with a value, where no config judges it; empty where nothing is."""
    if getattr(one.mark(Flag), "path", False) and (value == "" or (isinstance(value, list) and "" in value)):
        return f"empty path; give a path{'' if one.obligatory else ', or leave it out'}"
    if of_config or value is None or value in one.choices:
        return ""
    if one.choices:
        return unknown("value", value, one.choices)
    if (number := one.number) is None:
        return ""
    with suppress(ValueError):
        of_kind = typed or (isinstance(value, int | number) and not isinstance(value, bool))
        if of_kind and one.admits(number(value)):
            return ""
    from optilab.config.problems import no_number

    return no_number(value, "number" if number is float else "whole number", one)


def fields_of(request: type[Request]) -> tuple[Field, ...]:
    """The fields of a request: the keys of its study, its own, then those of the groups that it inherits."""
    return _fields_of(request)  # type: ignore[arg-type]  # a class is hashable


@cache
def _fields_of(request: type[Request]) -> tuple[Field, ...]:
    hints = get_type_hints(request, include_extras=True)
    found = [one for one in kept_of(request) if one.mark(InFile) is None]
    for owner in request.__mro__:
        for name in inspect.get_annotations(owner):
            origin = [one for one in request.__mro__ if name in inspect.get_annotations(one)][-1]
            if origin is Request or any(name == one.name for one in found) or get_origin(hints[name]) is ClassVar:
                continue
            if origin is not owner:  # what a request says again stays where its group has it
                continue
            group = "" if origin is request else getattr(origin, "GROUP", "")
            found.append(Field(name, hints[name], getattr(request, name, MISSING), group))
    return tuple(found)


def kept_of(request: type[Request]) -> tuple[Field, ...]:
    """The keys that the file of a study keeps of a request."""
    if request.KEPT is None:
        return ()
    from optilab.config.fields import keys_of

    return tuple(keys_of(request.KEPT).values())


@dataclass(frozen=True)
class Place:
    """What surrounds a request: where runs are, what is shown on the way, the command that a manifest names."""

    folder: Path
    """For the runs."""
    argv: Sequence[str]
    silent: bool = False
    """Neither a heading nor progress is shown."""
    library: bool = False
    """The request comes from a script or a notebook: a signal is raised there, and nothing is printed."""

    @classmethod
    def of(cls, folder: str | None, argv: Sequence[str], silent: bool) -> Self:
        """The place of a command; None: the directory that OPTILAB_RUNS names, else ./runs."""
        from optilab import runs

        return cls(runs.root(folder), argv, silent)

    def stopped(self, number: int, sentence: str | Command) -> None:
        """End by the signal that stopped the work, with the sentence on how it continues."""
        import signal

        from optilab import signals

        if not self.library:
            from optilab.show import terminal

            terminal.note(str(sentence))
            signals.die_of(number)
        if number != signal.SIGINT:
            signals.die_of(number)
        raise KeyboardInterrupt(in_python(sentence))


@dataclass(frozen=True)
class Verb:
    """A command: what is asked, and what answers it.

    Of several requests the command has the options of all; `choose` finds the one that is meant by what was typed.
    """

    run: Callable[[Any, Place], "Answer | ExitCode"]
    requests: tuple[type[Request], ...]
    choose: Callable[[Mapping[str, Any]], type[Request]] | None = None

    @cached_property
    def options(self) -> Mapping[str, Field]:
        """The fields of all its requests, by name."""
        found: dict[str, Field] = {}
        for request in self.requests:
            for one in fields_of(request):
                found.setdefault(one.name, one)
        return found

    @property
    def place(self) -> Field | None:
        """The option whose name may be left out, as in `optilab optimize adam`."""
        return next((one for one in self.options.values() if getattr(one.mark(Flag), "place", False)), None)

    def request(self, given: Mapping[str, Any], typed: bool = False) -> Request:
        """The request of what was given. UsageError for all that is wrong with it."""
        return (self.choose(given) if self.choose else self.requests[0]).of(given, typed)


def meant(one: Field, value: Any, options: Container[str], without: str = "") -> str:
    """The option that a value without a name is for: `one`, or the config. UsageError for a test function; `without` is
    what has to be typed besides.
    """
    from optilab.config.fields import schema_for
    from optilab.config.load import command_of, load
    from optilab.config.presets import is_config
    from optilab.optimize import OBJECTIVES, RULES

    if isinstance(value, str) and value in OBJECTIVES and value not in RULES:
        raise UsageError(f"{value} is a test function, not an optimizer; write {without}--function={value}")
    if not is_config(value):
        if "out" in options and str(value).endswith((".html", ".png", ".svg", ".pdf", ".csv", ".json")):
            raise UsageError(f"{shown(value)} is no optimizer; to write a file of this name: --out {value}")
        return one.name
    if "config" not in options:
        raced = "on" in options
        instead = f"for a race on trainings write --on {value}" if raced else "for example adam"
        with suppress(OptilabError):
            found: Any = load(schema_for(command_of(value)), value)
            rules = getattr(found, "algo", None) or ([] if raced else [found.optimizer])
            names = [rule.name for rule in rules]
            names += ["adam" if names == ["sgd"] else "sgd"] * (raced and len(names) == 1)
            instead = f"write {','.join(names)}" if names else instead
        raise UsageError(f"expected the name of an optimizer, got the config {shown(value)}; {instead}")
    return "config"


def are_rules(values: Sequence[Any]) -> bool:
    """Whether all of them are names of optimizers."""
    from optilab.optimize import RULES

    return all(isinstance(value, str) and value in RULES for value in values)


def _option(one: Field) -> str:
    """The name of an option, which is also a keyword of `Lab`."""
    return one.flag.removeprefix("--").replace("-", "_")


def plain(value: Any) -> Any:
    """A value of Python as YAML would give it: NumPy's numbers, tuples, paths, rules and objectives as plain data."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(item) for item in value]
    if isinstance(value, type) and is_dataclass(value) and isinstance(name := getattr(value, "name", None), str):
        return name  # a rule or an objective by its class
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if is_dataclass(value) and not isinstance(value, type) and hasattr(value, "name"):
        name = value.origin.spec if hasattr(value, "origin") else value.name
        return {"name": name, **{one.name: plain(getattr(value, one.name)) for one in fields(value)}}
    return value


def foreign(key: str, value: Any) -> list[tuple[str, Any, str]]:
    """What YAML could not have given, each with its key and what to write instead of a class of torch.optim."""
    if isinstance(value, Mapping):
        return [wrong for name, item in value.items() for wrong in foreign(str(name), item)]
    if isinstance(value, list):
        return [wrong for item in value for wrong in foreign(key, item)]
    if value is None or isinstance(value, bool | int | float | str):
        return []
    from optilab.optimize import RULES

    name = getattr(value, "__name__", type(value).__name__).lower()
    return [(key, value, f'; write {key}="{name}"' if name in RULES and key != "candidate" else "")]
