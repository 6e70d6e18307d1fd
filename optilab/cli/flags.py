"""A request as the signature of a command: one option or argument for each field."""

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, get_args

import typer

from optilab.commands import completion
from optilab.commands.request import Place, Request, Verb, fields_of, meant
from optilab.errors import UsageError
from optilab.marks import Argument, Field, Flag

OWN = "What to run"
"""The heading of what a request declares itself."""
BY_PLACE = "by_place"
"""The parameter for an option without its name."""


def command(verb: Verb) -> Callable[..., int]:
    """The function that typer registers for a verb: it makes the request of what was typed and prints its answer."""
    found, place = verb.options, verb.place
    headings: dict[str, str] = {}
    for request in verb.requests:
        for one in fields_of(request):
            shared = one.name in headings or len(verb.requests) == 1
            own = one.group in ("", OWN)
            headings[one.name] = (OWN if shared else request.HEADING) if own else one.group

    def run(**values: Any) -> int:
        given = {name: value for name, value in values.items() if value not in (None, [], ())}
        unset = [name for name, value in given.items() if value is False and found[name].default is False]
        given = {name: value for name, value in given.items() if name not in unset}
        if place and BY_PLACE in given:
            _put(given, given.pop(BY_PLACE), place, found)
        silent = bool(given.get("json") or given.get("quiet") or given.get("format", "table") != "table")
        request = verb.request(given, True)
        answer = verb.run(request, Place.of(given.get("runs_dir"), sys.argv, silent))
        if isinstance(answer, int):
            return answer
        from optilab.commands.answer import present

        return present(answer, request)

    ordered = sorted(found.values(), key=lambda one: one.group == "Output")  # how it is printed comes last
    parameters = [_parameter(one, headings[one.name]) for one in ordered]
    if place:
        parameters.insert(0, _argument(place, "config" in found))
    run.__name__, run.__doc__ = verb.run.__name__, described(verb.requests[0])
    run.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": int}
    return run


def _put(given: dict[str, Any], value: str, place: Field, found: Mapping[str, Field]) -> None:
    """Give the option that is meant what was typed without a name. UsageError where there is none."""
    name = meant(place, value, found, "" if place.name in given else f"{place.flag}=adam ")
    if name in given:
        raise UsageError(f"{value} and {found[name].flag} {given[name]} cannot be combined")
    given[name] = value


def described(request: type[Request]) -> str:
    """The help text of a command; under `python -OO`, which drops docstrings, a sentence that says so."""
    text = request.__doc__ or ""
    generated = text.startswith(f"{request.__name__}(")  # by dataclass, where there is no docstring
    return "Its help text was dropped by python -OO; its options are these." if generated or not text else text


def brief(request: type[Request]) -> str:
    """The first clause of the help text, for a list of commands."""
    return re.split(r"[:;.]", described(request), maxsplit=1)[0] + "."


def epilog(examples: Sequence[str]) -> str:
    """The end of a help text: commands that run as they are, in lines of at most 80 columns."""
    return "\b\nExamples:\n" + "".join(f"  {_broken(line)}\n" for line in examples)


def _broken(command: str, room: int = 74) -> str:
    """A command over lines of `room` characters, each but the last with a backslash; an option stays with its value."""
    quoted = r"""(?:'[^']*'|"[^"]*"|\$\([^)]*\)|[^\s'"])+"""
    parts = re.findall(rf"{quoted}(?: (?!--?[a-z]){quoted})*", command)
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 1 + len(part) <= room:
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}")
    return " \\\n  ".join(lines)


def _parameter(one: Field, heading: str) -> inspect.Parameter:
    flag: Flag = one.mark(Flag) or Flag()
    kind = _kind(one)
    common: dict[str, Any] = {
        "help": _help(one),
        "show_default": False,
        "autocompletion": completion.of(flag.complete),
    }
    if one.metavar:
        # An argument that may be left out is written [RUN] in its request; the usage line adds the brackets.
        whole = isinstance(flag, Argument) and flag.metavar.startswith("[") and flag.metavar.endswith("]")
        common["metavar"] = flag.metavar[1:-1] if whole else one.metavar
    place = isinstance(flag, Argument)
    if not place:
        common |= {"rich_help_panel": heading, "hidden": flag.hidden}
    info: Any = typer.Argument(**common) if place else typer.Option(*(flag.names or (one.flag,)), **common)
    default = inspect.Parameter.empty if one.obligatory else False if kind is bool else None
    return inspect.Parameter(
        one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _argument(one: Field, configs: bool) -> inspect.Parameter:
    """The place of an option whose name may be left out."""
    flag: Flag = one.mark(Flag)
    told = f"The same as {one.flag}" + "; or a YAML file, the same as --config" * configs
    info: Any = typer.Argument(
        metavar=flag.metavar, help=f"{told}.", show_default=False, autocompletion=completion.of(flag.complete)
    )
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(BY_PLACE, kind, default=None, annotation=Annotated[str | None, info])


def _kind(one: Field) -> Any:
    """What typer reads: a switch, or texts, which the request reads."""
    flag = one.mark(Flag)
    kinds = {*get_args(one.type), one.type} - {type(None)}
    if bool in kinds:
        return bool | None if flag and any("/" in name for name in flag.names) else bool
    if one.repeated:
        return list[str] if one.obligatory else list[str] | None
    return str if one.obligatory else str | None


def _help(one: Field) -> str:
    """What the field is; its default where that is not said; its range."""
    flag: Flag = one.mark(Flag) or Flag()
    plain = isinstance(one.default, int | float | str) and not isinstance(one.default, bool)
    shown = flag.shown or (str(one.default) if plain else "")
    often = one.repeated and not isinstance(flag, Argument) and "may be repeated" not in one.doc
    text = f"{one.doc}{f' [{shown}]' if shown and '[' not in one.doc else ''}{'; may be repeated' * often}."
    low, high = one.low, one.high
    return text if low is None else f"{text} ({f'at least {low:,}' if high is None else f'{low:,} to {high:,}'})"
