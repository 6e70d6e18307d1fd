"""The commands on an object, for notebooks and scripts: `from optilab import Lab`.

A method is made from the request of its command when it is first asked for. What an editor and mypy see is lab.pyi,
which `python .ci/generate.py` writes from the same requests.
"""

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any

from optilab import runs
from optilab.errors import UsageError, shown, system_failures

if TYPE_CHECKING:
    from optilab.commands.request import Verb
    from optilab.commands.results import LabRun, LabStudy
    from optilab.marks import Field

VERBS = (
    "optimize",
    "explain",
    "verify",
    "map",
    "play",
    "race",
    "train",
    "lr",
    "sweep",
    "remedy",
    "compare",
    "diagnose",
    "check",
    "report",
)
"""Each is a method, and a module of `optilab.commands`."""
BY_PLACE = 2
"""Arguments that need no name."""


class _Method:
    """A verb as a method of `Lab`: its module is imported when it is first asked for."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, lab: "Lab | None", owner: type) -> Callable[..., Any]:
        name = self.name

        def method(lab: Lab, /, *values: Any, **given: Any) -> Any:
            return _ask(lab, name, *values, **given)

        method.__name__, method.__qualname__, method.__doc__ = (
            name,
            f"Lab.{name}",
            verb_of(name).requests[0].__doc__,
        )
        itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        parameters = [itself, *signature(name).parameters.values()]
        method.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return method if lab is None else MethodType(method, lab)


class Lab:
    """A directory of runs: `folder`, else OPTILAB_RUNS, else ./runs.

    Each method does what the command of its name does, and takes its options as keywords. It returns an answer
    (`optilab.commands.answer.Answer`): `.rows`, `.frame()`, `.plot()`, `.report("page.html")`, and a table with a
    picture in a notebook. Errors are those of the commands, as exceptions (`optilab.errors`). `progress` shows how far
    a call has got: True or False; None: in a notebook only.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder: Path = runs.root(folder, "folder")

    def __repr__(self) -> str:
        return f"Lab({str(self.folder)!r})"

    def load(self, name: "str | os.PathLike[str] | LabRun | LabStudy") -> "LabRun | LabStudy":
        """A run or study by name, path or `latest`. RunError, with the nearest names, where there is none."""
        from optilab.commands.results import entry

        found = _taken("name", None, name)
        if not isinstance(found, str):
            raise UsageError(f"expected a run or study, got {shown(found)}", "name")
        with system_failures():
            return entry(runs.read_entry(runs.locate(self.folder, found)))

    def runs(self) -> "list[LabRun | LabStudy]":
        """Every readable run and study of the directory, oldest first."""
        from optilab.commands.results import entry

        return [entry(found) for found in runs.entries(self.folder)[0]]


for _name in VERBS:
    setattr(Lab, _name, _Method(_name))


def verb_of(name: str) -> "Verb":
    """The verb of a method."""
    found: Verb = import_module(f"optilab.commands.{name}").VERB
    return found


def options(name: str) -> "Mapping[str, Field]":
    """The options of the command of a method, by name."""
    return verb_of(name).options


@cache
def keywords(name: str) -> "Mapping[str, Field]":
    """The keywords of a method, those that need no name first: not how a command prints its answer."""
    place = verb_of(name).place
    first = ("candidate", "names", "targets", place.name if place else "config")
    ordered = sorted(options(name).values(), key=lambda one: one.name not in first)
    return {one.name: one for one in ordered if one.group != "Output" and one.name != "runs_dir"}


def keyword(name: str, option: str) -> str:
    """The keyword of a method for an option of its command, which may have another name: `style` for `--format`."""
    known = options(name)
    flags = {one.flag: key for key, one in known.items()}
    return option if option in known else flags.get(f"--{option.replace('_', '-')}", option)


@cache
def _read_by_schemas(name: str) -> frozenset[str]:
    """The keywords whose values the schema of a config or of a study's file reads, and refuses."""
    from optilab.commands.request import kept_of
    from optilab.marks import ConfigKey, InFile

    keys = [one for request in verb_of(name).requests for one in kept_of(request)]
    kept = {one.name for one in keys if one.mark(InFile) is None}
    return frozenset(key for key, one in keywords(name).items() if key in kept or one.mark(ConfigKey))


def _places(name: str) -> list[str]:
    """The keywords that need no name."""
    from optilab.marks import Flag

    first = list(keywords(name).values())[:BY_PLACE]
    return [one.name for one in first if not getattr(one.mark(Flag), "named", False)]


def signature(name: str) -> inspect.Signature:
    """The signature of a method; its keywords are those of the command."""
    place, named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(
            one.name,
            place if one.name in _places(name) else named,
            default=inspect.Parameter.empty if one.obligatory else None,
        )
        for one in keywords(name).values()
    ]
    return inspect.Signature([*parameters, inspect.Parameter("progress", named, default=None)])


def _ask(lab: Lab, name: str, /, *values: Any, progress: bool | None = None, **given: Any) -> Any:
    """The answer of a verb to what was given; None is as if it was not."""
    from optilab.commands.request import Place, are_rules, meant, plain, usual

    if not isinstance(progress, bool | None):
        raise UsageError(f"expected True or False, got {shown(progress)}", "progress")
    verb, known, places = verb_of(name), keywords(name), _places(name)
    of_rules = places[0] in ("algo", "algos") and are_rules(values)
    if len(values) > (1 if of_rules else len(places)):
        raise UsageError(f"{name} takes by place only {' and '.join(places)}, got {len(values)} values")
    given = {keyword(name, key): value for key, value in given.items()}
    if values and (place := verb.place):
        with system_failures():
            places[0] = meant(place, plain(values[0]), known)
    if twice := [place for place, _ in zip(places, values, strict=False) if place in given]:
        raise UsageError(f"{', '.join(twice)}: given twice, by place and by name")
    given = {**dict(zip(places, values, strict=False)), **given}
    read, fields = _read_by_schemas(name), options(name)  # also those that print, such as `out`
    given, taken = {key: value for key, value in given.items() if value is not None}, dict[str, Any]()
    for key, value in given.items():
        one = None if key in read else fields.get(key)
        found = refused(_taken, key, one, value)
        taken[key] = usual(one) if found is None and one else found
    absent = (key for key, one in known.items() if one.obligatory and isinstance(given.get(key), list | None))
    if missing := [key for key in absent if not given.get(key)]:
        refused.append(UsageError(f"{name} needs {' and '.join(missing)}"))
    whole = not missing and all(value is not None for value in taken.values())
    with system_failures():
        request = verb.request(taken, refused=refused)
        place = Place(lab.folder, request.call(name).words(), not _shown(progress), library=True, refused=refused)
        answer = refused(verb.run, request, place) if whole else None
        refused.settle()
        return answer


def _taken(name: str, field: "Field | None", value: Any) -> Any:
    """A value of a script as the command would read it. UsageError for one of another kind."""
    from optilab.commands.request import foreign, plain

    if callable(value) and name == "candidate":
        return value
    if hasattr(value, "manifest") and hasattr(value, "path"):  # a result stands for its run
        value = value.path
    try:
        value = [_taken(name, None, item) for item in value] if isinstance(value, list | tuple) else plain(value)
    except RecursionError:
        raise UsageError(f"{name}: a list or mapping that contains itself, or is nested too deeply") from None
    if isinstance(value, str) and "\0" in value:
        raise UsageError(f"{name}: expected text without NUL, got {shown(value)}")
    if field is None or dict in field.parts or Any in field.parts:
        if wrong := foreign(name, value):
            key, found, instead = wrong[0]
            raise UsageError(f"expected text, a number, a list or a mapping, got {shown(found)}{instead}", key)
        if field is None or list not in field.parts or isinstance(value, Mapping):
            return value
    if list in field.parts:
        value = [value] if isinstance(value, str) else value
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
        raise UsageError(f"expected text or a list of texts, got {shown(value)}", name)
    if field.number:
        return value
    switch = bool in field.parts
    if not isinstance(value, bool if switch else str | int | float) or (isinstance(value, bool) and not switch):
        raise UsageError(f"expected {'True or False' if switch else 'text'}, got {shown(value)}", name)
    return value if switch else str(value)


def _shown(progress: bool | None) -> bool:
    """Whether progress is shown: by default in a notebook only."""
    if progress is not None:
        return progress
    if "IPython" not in sys.modules:
        return False
    from optilab.show import terminal

    return terminal.err.is_jupyter
