"""The commands on an object, for notebooks and scripts: `from optilab import Lab`.

Each access to a method makes it from the request of its command, whose fields are the keywords.
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
from optilab.commands import COMMANDS, GONE
from optilab.errors import UsageError, in_keywords, library_errors, shown
from optilab.words import plural

if TYPE_CHECKING:
    from optilab.annotations import Field
    from optilab.answer.results import LabRun, LabStudy
    from optilab.methods import Methods
    from optilab.request.request import Request
else:
    Methods = object  # a stub, written by .ci/generate.py: Python reads the requests themselves

METHODS = (
    "optimize", "explain", "verify", "grade", "map", "play", "train", "lr", "sweep", "remedy", "benchmark", "compare",
    "race", "diagnose", "check", "report",
)  # fmt: skip
"""The commands that `Lab` has as methods."""
PRINTING: "Mapping[str, str]" = {
    "columns": "table().choose(COLUMNS)",
    "details": "report(FILE)",
    "format": "table().text(FORMAT)",
    "json_": "document()",
    "quiet": "rows",
}
"""Options that say how a command prints its answer, and what an answer has instead."""


class Method:
    """A command as a method, imported when it is looked up: the fields of its request are the keywords."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, lab: "Lab | None", owner: type) -> Callable[..., Any]:
        function = _method(self.name)
        return function if lab is None else MethodType(function, lab)


class Lab(Methods):
    """A directory of runs: `folder`, else OPTILAB_RUNS, else ./runs.

    Each method does what the command of its name does, and takes its options as keywords. It returns an answer
    (`optilab.answer.answer.Answer`): `.rows`, `.frame()`, `.plot()`, `.report("page.html")`, and a table with a
    picture in a notebook. Errors are those of the commands, as exceptions (`optilab.errors`). `progress` shows how far
    a call has got: True or False; None: in a notebook only.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder: Path = runs.root(folder, "folder")

    def __repr__(self) -> str:
        return f"Lab({str(self.folder)!r})"

    def load(self, name: "str | os.PathLike[str] | LabRun | LabStudy") -> "LabRun | LabStudy":
        """A run or study by name, path or `latest`. RunError, with the nearest names, where there is none."""
        from optilab.answer.results import entry
        from optilab.request.request import plain

        if not isinstance(plain_name := plain(name), str) or "\0" in plain_name:
            raise UsageError(f"expected a run or study, got {shown(plain_name)}", "name")
        with library_errors():
            return entry(runs.read_entry(runs.locate(self.folder, plain_name)))

    def runs(self) -> "list[LabRun | LabStudy]":
        """Every readable run and study of the directory, oldest first."""
        from optilab.answer.results import entry

        return [entry(item) for item in runs.entries(self.folder)[0]]


for _name in METHODS:
    setattr(Lab, _name, Method(_name))


def command_of(name: str) -> "type[Request]":
    """The command of a method; `compare` is a part of `runs`."""
    module = import_module(f"optilab.commands.{name if name in COMMANDS else f'runs.{name}'}")
    request: type[Request] = module.COMMAND
    return request


def keywords(name: str) -> "Mapping[str, Field]":
    """The keywords of a method, those first that need no name; not those of `PRINTING`."""
    from optilab.annotations import Argument, Flag
    from optilab.request.request import optimizers_of, options

    command = command_of(name)
    known, rules = options(command).values(), optimizers_of(command)
    fields = [field for field in known if field.name not in (*PRINTING, "runs_dir")]
    fields.sort(key=lambda field: field is not rules and not isinstance(field.mark(Flag), Argument))
    return {field.name: field for field in fields}


@cache
def _method(name: str) -> Callable[..., Any]:
    """A command as a function of a Lab, with its signature and its text."""

    def method(self: Lab, *values: Any, progress: bool | None = None, **arguments: Any) -> Any:
        if not isinstance(self, Lab):
            raise TypeError(f"{name} is a method of the objects of Lab, got {shown(self)}")
        return _answer(self, name, values, arguments, progress)

    named, positional = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        inspect.Parameter(
            field.name,
            positional if n < 2 and not field.is_named else named,
            default=inspect.Parameter.empty if field.required_on_command_line else None,
        )
        for n, field in enumerate(keywords(name).values())
    ]
    method.__name__, method.__qualname__ = name, f"Lab.{name}"
    method.__doc__ = in_keywords(command_of(name).__doc__ or "")
    method.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("self", positional), *parameters, inspect.Parameter("progress", named, default=None)]
    )
    return method


def _answer(
    lab: Lab, name: str, values: tuple[Any, ...], arguments: Mapping[str, Any], progress: bool | None
) -> Any:
    """The answer of a command to what was given; None is as if it was not."""
    from optilab.request.request import Place, optimizers_of, options, plain, positional

    command, known = command_of(name), keywords(name)
    names = [field.name for field in list(known.values())[:2] if not field.is_named]
    if len(values) > len(names):
        most = plural(len(names), "positional argument")
        raise TypeError(f"{name}() takes at most {most} ({', '.join(names)})")
    if values and (optimizers := optimizers_of(command)):
        with library_errors():
            names[0] = positional(optimizers, plain(values[0]), known)
    fields = options(command)
    flags = {field.flag.lstrip("-").replace("-", "_"): key for key, field in fields.items()}
    # `format` is the option of `style`
    if twice := [f"{key} and {flags[key]}" for key in arguments if flags.get(key, key) in {*arguments} - {key}]:
        raise UsageError(f"{twice[0]} are the same option; expected one of them")
    spelled = {flags.get(key, key): item for key, item in arguments.items()}
    for key in fields.keys() & spelled.keys() & PRINTING.keys():
        if key != "columns" or "format" in fields:  # the columns of a page are in the page
            raise UsageError(f"only the command has this option; a result has .{PRINTING[key]}", key.strip("_"))
    for key in GONE.get(name, {}).keys() & spelled.keys():
        successor = f"a result has .{PRINTING[key]}" if key in PRINTING else in_keywords(GONE[name][key])
        raise UsageError(f"no such option; {successor}", key)
    if "runs_dir" in spelled:
        raise UsageError("only the command has this option; Lab(folder) names the directory", "runs_dir")
    by_position = dict(zip(names, values, strict=False))
    if twice := [key for key in by_position if key in spelled]:
        raise UsageError(f"{', '.join(twice)}: given twice, by position and by name")
    everything = {**by_position, **spelled}
    with library_errors():
        try:
            request = command.of({key: item for key, item in everything.items() if item is not None})
        except RecursionError:
            raise UsageError("a list or mapping contains itself, or is nested too deeply") from None
        return request.run(
            Place(lab.folder, request.call(name).words(), not _progress_enabled(progress), library=True)
        )


def _progress_enabled(progress: bool | None) -> bool:
    """True where progress is shown: by default in a notebook only."""
    if not isinstance(progress, bool | None):
        raise UsageError(f"expected True or False, got {shown(progress)}", "progress")
    if progress is not None:
        return progress
    if "IPython" not in sys.modules:
        return False
    from optilab.show import terminal

    return terminal.err.is_jupyter
