"""The parts of every command: a request, the place where it runs, and an answer.

A request is declared once, as a class of annotated fields with defaults. They are the options of the command, the
keywords of the method of `Lab`, the keys of the study's file, and the text of the help. The fields that a class
inherits from a group of `options` say how it is executed and shown; those that it declares say what is asked.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from inspect import get_annotations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NoReturn, Self

from pydantic import PrivateAttr, TypeAdapter

from optilab.annotations import Argument, ConfigKey, Field, FileOnly, Flag, Read
from optilab.config.keys import Key, keys_of, type_of
from optilab.config.section import Section, build
from optilab.config.tree import Override, Tree, override, override_from_text
from optilab.errors import ConfigError, OptilabError, Problem, UsageError, did_you_mean, expected_one_of, shown
from optilab.proposals import Call, Proposal, in_python, objects
from optilab.words import listed

if TYPE_CHECKING:
    from optilab.answer.answer import Answer
    from optilab.errors import ExitCode


Conflicts = Sequence[tuple[str, ...]]

_WITH_TRUTH_VALUE = (bool, int, float, str, list, tuple, dict, set)


class Request(Section):
    """The options of a command, validated."""

    EXAMPLES: ClassVar[Sequence[str]] = ()
    NOTES: ClassVar[str] = ""
    """Paragraphs at the end of the help text."""
    CONFLICTS: ClassVar[Conflicts] = ()
    """Fields that exclude each other."""
    NEEDS: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Fields that need another one, by that other one."""
    GROUP: ClassVar[str] = ""
    """The heading of its fields in help texts, where it is a group that requests share."""
    STUDY_KEYS: ClassVar[type[Section] | None] = None
    """The section that its study's file keeps, from which it inherits."""
    READS: ClassVar[str] = ""
    """The command whose config this request reads. If an option is refused, the problems of the config are listed as
    well. Unless the request starts a study, unknown keywords of `Lab` are keys of that config or settings of its
    optimizer."""

    _arguments: Mapping[str, Any] = PrivateAttr(default_factory=dict)
    _typed: bool = PrivateAttr(default=False)
    _changes: list[Override] = PrivateAttr(default_factory=list)

    @classmethod
    def of(cls, arguments: Mapping[str, Any], typed: bool = False) -> Self:
        """The request of texts of a command line (`typed`), or of values of Python; ConfigError with every problem of
        the options and of the config."""
        known, problems = options(cls), list[Problem]()
        tree, changes = Tree(), list[Override]()
        in_processes = "jobs" in known and (cls.STUDY_KEYS is not None or "seeds" in arguments)
        for name, item in arguments.items():
            field = known.get(name)
            where = (field.flag if field else f"--{name.replace('_', '-')}") if typed else name
            try:
                if isinstance(item, str):
                    _check_encoding(where, item)
                if in_processes and (in_this_process := [*objects(plain(item))]):
                    expected = "expected FILE.py:NAME, which the other processes of a study can read"
                    problems.append(Problem(where, "", f"{expected}, got {shown(in_this_process[0])}"))
                    if field is not None and field.mark(ConfigKey) is None:
                        continue
                if field is None and cls.READS and cls.STUDY_KEYS is None:
                    changes.append(Override(name, cls._config_key(name), plain(item)))
                elif field is not None and (mark := field.mark(ConfigKey)):
                    changes.append(change := _change(field, where, mark.key, item, typed))
                    tree.values[name] = change.value
                else:
                    tree.values[name] = _read(field, where, item, typed) if field else plain(item)
                    tree.places[name,] = where
                if name == "set":
                    changes += _set(item)
            except ConfigError as error:
                problems += error.problems
        problems += [*cls._conflicts(arguments, typed), *_twice(changes)]
        if in_processes:
            problems += _threads(changes)
        changes.sort(key=lambda change: change.key.count("."))  # a section before the keys inside it
        try:
            request = build(cls, tree)
        except ConfigError as error:
            problems += error.problems
        if problems:
            problems += cls._problems_of_config(arguments, changes)
            raise ConfigError(tree.source, list(dict.fromkeys(problems)))
        request._arguments, request._typed, request._changes = arguments, typed, changes
        return request

    @classmethod
    def _config_key(cls, name: str) -> str:
        """The dotted config key that a keyword sets; an unknown keyword is taken for a setting of the optimizer."""
        optimizer, keys = "algo" if cls.READS == "optimize" else "optimizer", keys_of(cls.READS)
        shared, settings = [key.key for key in keys if not key.of], [key.key for key in keys if key.of]
        is_near = name in shared or did_you_mean(name, [*shared, *options(cls)])
        is_setting = name not in shared and f"{optimizer}.{name}" in settings
        return name if is_near and not is_setting else f"{optimizer}.{name}"

    def run(self, place: "Place") -> "Answer | ExitCode":
        """Execute the request."""
        raise NotImplementedError

    @classmethod
    def _problems_of_config(cls, arguments: Mapping[str, Any], changes: Sequence[Override]) -> Sequence[Problem]:
        """The problems of the config that is given with options that are refused."""
        from optilab.config.load import load
        from optilab.config.section import schema_for

        config = arguments.get(
            "config", arguments.get("file") if cls.READS == "train" and cls.STUDY_KEYS is None else None
        )
        if not cls.READS or (config is None and all(change.key != "algo" for change in changes)):
            return ()
        try:
            load(schema_for(cls.READS), plain(config), changes)
        except ConfigError as error:
            return error.problems
        except OptilabError as error:
            return [Problem(error.where, "", error.message)]
        return ()

    @classmethod
    def _conflicts(cls, arguments: Mapping[str, Any], typed: bool) -> list[Problem]:
        """Options that exclude or need each other."""
        known, problems = options(cls), list[Problem]()
        # An object of a notebook may have no truth value.
        chosen = {key for key, value in arguments.items() if not isinstance(value, _WITH_TRUTH_VALUE) or value}

        def named(name: str) -> str:
            as_argument = known[name].mark(Argument) and isinstance(arguments.get(name), str)
            return shown(arguments[name]) if as_argument else known[name].flag if typed else name

        for conflict in (pair for owner in cls.__mro__ for pair in owner.__dict__.get("CONFLICTS", ())):
            both = [named(name) for name in conflict if name in chosen]
            if len(both) > 1:
                problems.append(Problem("", "", f"{listed(both)} cannot be combined"))
        needs = [pair for owner in cls.__mro__ for pair in owner.__dict__.get("NEEDS", {}).items()]
        for other, name in ((other, name) for other, names in needs for name in names):
            is_default = name in arguments and arguments[name] is cls.model_fields[name].default
            if name in arguments and not is_default and other not in chosen:
                problems.append(Problem("", "", f"{named(name)} needs {named(other)}"))
        return problems

    @classmethod
    def known_keys(cls) -> Sequence[Key]:
        """The fields as keys, for messages."""
        return [
            Key(
                field.name,
                type_of(TypeAdapter(field.type_hint).json_schema()),
                "",
                field.doc,
                choices=field.choices,
            )
            for field in options(cls).values()
            if field.mark(ConfigKey) is None and field.group != "Output"
        ]

    @property
    def changes(self) -> list[Override]:
        """The keys of the config that this request sets, by its own options and by `set`."""
        return self._changes

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The options that were given, by field: texts of a command line, or values of Python."""
        return self._arguments

    @property
    def typed(self) -> bool:
        """True for a command line, where errors name options."""
        return self._typed

    def flag(self, name: str) -> str:
        """A field as errors name it."""
        return options(type(self))[name].flag if self._typed else name

    def call(self, command: str, *names: str) -> Call:
        """The call that repeats these fields, or all of them; a config without a file is left out."""
        arguments, chosen = list[str](), dict[str, Any]()
        for name, field in options(type(self)).items():
            item = plain(self._arguments.get(name)) if name in names or not names else None
            option = field.flag.removeprefix("--").replace("-", "_")
            if isinstance(field.mark(Flag), Argument):
                arguments += [
                    text for text in (item if isinstance(item, list) else [item]) if isinstance(text, str)
                ]
            elif name == "set":
                chosen |= {"set": {change.key: change.value for change in _set(item)}} if item else {}
            elif isinstance(item, Mapping):
                chosen[option] = {
                    key: tuple(axis) if isinstance(axis, list) else axis for key, axis in item.items()
                }
            elif item is not None and item is not False:
                chosen[option] = tuple(item) if isinstance(item, list) and not field.repeated else item
        return Call(command, arguments, chosen)

    def study_overrides(self) -> list[Override]:
        """The keys of its study's file that were given."""
        known = study_fields(type(self))  # what a study starts from does not change its file
        names = [name for name in known if name in self.model_fields_set and name != "config"]
        dumped = self.model_dump(mode="json", include={*names}, fallback=shown)
        return [Override(self.flag(name), name, dumped[name], adds=name == "expect") for name in names]


@cache
def study_fields(request: type[Request]) -> Sequence[str]:
    """The fields of a request that its study's file keeps."""
    fields = request.STUDY_KEYS.model_fields.items() if request.STUDY_KEYS else ()
    return [name for name, info in fields if FileOnly() not in info.metadata]


@cache
def options(request: type[Request]) -> Mapping[str, Field]:
    """The fields of a request, by name: the keys of its study, its own, then those of the groups that it inherits."""
    keys_of_study = study_fields(request)
    groups = {name: _group(request, name) for name in request.model_fields if name not in keys_of_study}
    names = [
        *keys_of_study,
        *(name for owner in request.__mro__ for name, group in groups.items() if group is owner),
    ]
    fields_by_name = {}
    for name in names:
        info = request.model_fields[name]
        default = MISSING if info.is_required() else info.get_default(call_default_factory=True)
        hint = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        ungrouped = name in keys_of_study or groups[name] is request
        fields_by_name[name] = Field(name, hint, default, "" if ungrouped else groups[name].GROUP)
    return fields_by_name


def _group(request: type[Request], name: str) -> Any:
    """The group that declares an option first; a key of a study's file without an option has none."""
    owners = [owner for owner in request.__mro__ if name in get_annotations(owner) and issubclass(owner, Request)]
    return owners[-1] if owners else None


def _read(field: Field, where: str, item: Any, typed: bool) -> Any:
    """The value of an option that is validated here."""
    mark, flag, item = field.mark(Read), field.mark(Flag), plain(item)
    if flag and flag.path and (item == "" or (isinstance(item, list) and "" in item)):
        raise ConfigError("", [Problem(where, "", "expected a path, got ''")])
    if mark and (typed or isinstance(item, str) or (flag and flag.repeated and _are_texts(item))):
        try:
            return mark.read(item)
        except UsageError as error:
            raise ConfigError("", [Problem(where, "", error.message)]) from None
    if typed and field.number and isinstance(item, str):
        return override(where, field.name, item).value
    if field.choices and isinstance(item, str) and item not in field.choices:
        raise ConfigError("", [Problem(where, "", expected_one_of(item, field.choices))])
    if field.repeated and isinstance(item, str):  # one of a list
        return [item]
    if str in field.kinds and type(item) in (int, float) and not field.number:  # `step=2` for the text `2`
        return str(item)
    return item


def _are_texts(item: Any) -> bool:
    return isinstance(item, list) and all(isinstance(text, str) for text in item)


def _change(field: Field, where: str, key: str, item: Any, typed: bool) -> Override:
    """The key of a config that an option sets."""
    if key == "expect":
        return Override(where, key, plain(item) if isinstance(item, list) else [plain(item)], adds=True)
    if field.mark(Read):
        value = _read(field, where, item, typed)
        return Override(where, key, value, for_each=field.mark(ConfigKey).for_each and isinstance(value, list))
    return override(where, key, item) if typed else Override(where, key, plain(item))


def _check_encoding(where: str, text: str) -> None:
    """ConfigError for half a character, which no file and no path can have."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ConfigError("", [Problem(where, "", f"expected text, got {shown(text)}")]) from None


def _set(value: Any) -> list[Override]:
    if isinstance(value, Mapping):
        return [Override(f"set {key}", str(key), plain(item)) for key, item in value.items()]
    texts = value if isinstance(value, list | tuple) else [value]
    return [override_from_text(text) for text in texts if isinstance(text, str)]


def _twice(changes: Sequence[Override]) -> list[Problem]:
    """Problems of keys that both an option and `--set` set; the last `--set` of several counts."""
    problems, first = list[Problem](), dict[str, Override]()
    for change in changes:
        other = first.setdefault(change.key, change)
        if not change.adds and other.where.split(" ")[0] != change.where.split(" ")[0]:
            problems.append(Problem("", "", f"{other.where} and {change.where} cannot be combined"))
    return problems


def _threads(changes: Sequence[Override]) -> list[Problem]:
    """Problems of other numbers of threads than 1, which each of several trainings has."""
    return [
        Problem(change.where, "", f"expected 1 thread for each training, got {shown(change.value)}")
        for change in changes
        if change.key == "threads" and change.value != 1
    ]


@dataclass(frozen=True)
class Place:
    """The surroundings of a request: where runs are, what is shown on the way, the command that a manifest names."""

    folder: Path
    """The directory of the runs."""
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

    def stopped(self, number: int, sentence: str | Proposal) -> NoReturn:
        """End by the signal that stopped the work, with the sentence on how it continues."""
        import signal

        from optilab import signals

        if not self.library:
            from optilab.show import terminal

            terminal.note(str(sentence))
        if not self.library or number != signal.SIGINT:
            signals.die_of(number)
        raise KeyboardInterrupt(in_python(sentence))


def optimizers_of(command: type[Request]) -> Field | None:
    """The option whose name may be left out, as in `optilab optimize adam`."""
    return next(
        (field for field in options(command).values() if getattr(field.mark(Flag), "positional", False)), None
    )


def positional(field: Field, item: Any, known: Mapping[str, Field]) -> str:
    """The option that a value without a name is for: `field`, which takes optimizers, or the config. UsageError for
    anything else."""
    from optilab.config.presets import is_config
    from optilab.optimize import OBJECTIVES, RULES

    if isinstance(item, str) and item in OBJECTIVES and item not in RULES:
        raise UsageError(f"expected an optimizer, got the function {item} (--function)")
    if not is_config(item):
        return field.name
    if "config" not in known:
        raise UsageError(f"expected the name of an optimizer, got the config {shown(item)}")
    return "config"


def plain(item: Any) -> Any:
    """A value of Python as YAML would give it: NumPy's numbers, tuples, paths, rules and objectives as plain data."""
    if isinstance(item, Mapping):
        return {str(key): plain(inner) for key, inner in item.items()}
    if isinstance(item, list | tuple | range):
        return [plain(inner) for inner in item]
    if isinstance(item, type) and is_dataclass(item) and isinstance(name := getattr(item, "name", None), str):
        return name  # a rule or an objective by its class
    if isinstance(item, os.PathLike):
        return os.fspath(item)
    if hasattr(item, "manifest") and hasattr(item, "path"):  # a result stands for its run
        return os.fspath(item.path)
    if hasattr(item, "tolist"):
        return plain(item.tolist())
    if is_dataclass(item) and not isinstance(item, type) and hasattr(item, "name"):
        name = getattr(getattr(item, "code", None), "reference", item.name)
        return {"name": name, **{part.name: plain(getattr(item, part.name)) for part in fields(item)}}
    return item
