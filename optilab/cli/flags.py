"""A request as the signature of a command: one option or argument for each field."""

import inspect
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Annotated, Any, get_args

import typer

from optilab.errors import UsageError
from optilab.verbs.verb import Argument, Field, Flag, InFile, Key, Place, Request, fields_of, kept_of


def command(verb: ModuleType | Any, requests: Sequence[type[Request]]) -> Callable[..., int]:
    """The function that typer registers for a verb: it makes the request of what was typed, runs it, shows the answer.

    Of a verb with several requests, the options are those of all, and `verb.choose` says which one is meant.
    """
    found: dict[str, tuple[Field, bool]] = {}
    for request in requests:
        for one in fields_of(request):
            if one.mark(InFile) is None:
                found.setdefault(one.name, (one, one in kept_of(request)))

    def run(**values: Any) -> int:
        given = {name: value for name, value in values.items() if value not in (None, [], ())}
        chosen = requests[0] if len(requests) == 1 else verb.choose(given)
        return answer(verb, chosen.of(given, typed=True))

    parameters = [_parameter(one, kept) for one, kept in found.values()]
    run.__name__, run.__doc__ = requests[0].__name__.lower(), requests[0].__doc__
    run.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": int}
    return run


def answer(verb: ModuleType | Any, request: Request) -> int:
    """Run a request that was typed, and print its answer; returns the exit code."""
    from optilab import runs

    silent = bool(getattr(request, "json", False) or getattr(request, "quiet", False))
    place = Place(runs.root(getattr(request, "runs_dir", None)), sys.argv, silent)
    found = verb.run(request, place)
    if isinstance(found, int):
        return found
    from optilab.verbs.answer import present

    return present(found, request)


def epilog(request: type[Request]) -> str:
    """The end of a help text: commands that run as they are."""
    return "\b\nExamples:\n" + "".join(f"  {line}\n" for line in request.EXAMPLES)


def _parameter(one: Field, kept: bool) -> inspect.Parameter:
    flag: Flag = one.mark(Flag) or Flag()
    kind = _kind(one, kept)
    common: dict[str, Any] = {"help": _help(one), "show_default": False, "autocompletion": flag.complete}
    if flag.metavar:
        common["metavar"] = flag.metavar
    if flag.path:
        common["callback"] = _not_empty
    if kind in (int | None, float | None):
        common |= {"min": one.low, "max": one.high}
    place = isinstance(flag, Argument)
    info: Any = typer.Argument(**common) if place else typer.Option(*(flag.names or (one.flag,)), **common)
    default = inspect.Parameter.empty if place and one.required else False if kind is bool else None
    return inspect.Parameter(
        one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _kind(one: Field, kept: bool) -> Any:
    """What typer reads: keys of configs are texts, which are read as in YAML."""
    flag = one.mark(Flag)
    kinds = {*get_args(one.type), one.type} - {type(None)}
    if bool in kinds:
        return bool | None if flag and any("/" in name for name in flag.names) else bool
    if one.is_list:
        return list[str] if one.required else list[str] | None
    if one.mark(Key) is None and not kept:
        for kind in (int, float):
            if kind in kinds:
                return kind | None
    return str if isinstance(flag, Argument) and one.required else str | None


def _help(one: Field) -> str:
    """What the field is, and its default where that is not said."""
    flag: Flag = one.mark(Flag) or Flag()
    shown = flag.shown or ("" if one.default in (None, False, "", True) or one.required else str(one.default))
    return f"{one.doc}{f' [{shown}]' if shown and '[' not in one.doc else ''}."


def _not_empty(parameter: typer.CallbackParam, value: str | None) -> str | None:
    """UsageError where an unset variable left no path."""
    if value == "":
        raise UsageError("empty path; give a path, or leave the flag out", parameter.opts[0])
    return value
