"""The commands that are methods of `Lab`, their keywords, and sentences about commands as a script can follow them."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from optilab import runs
from optilab.errors import OptilabError, SystemFailure, UsageError, did_you_mean, shown, system_text

if TYPE_CHECKING:
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


def options(name: str) -> "Mapping[str, Field]":
    """The options of the command of a method, by name."""
    found: Mapping[str, Field] = import_module(f"optilab.commands.{name}").VERB.options
    return found


@cache
def keywords(name: str) -> "Mapping[str, Field]":
    """What a method takes, what needs no name first; not how a command prints its answer."""
    place = import_module(f"optilab.commands.{name}").VERB.place
    first = ("candidate", "names", "targets", place.name if place else "config")
    ordered = sorted(options(name).values(), key=lambda one: one.name not in first)
    return {one.name: one for one in ordered if one.group != "Output" and one.name != "runs_dir"}


def keyword(name: str, option: str) -> str:
    """The keyword of a method for an option of its command, which may have another name: `style` for `--format`."""
    known, spelled = options(name), option.removeprefix("--").replace("-", "_")
    flags = {one.flag: key for key, one in known.items()}
    return spelled if spelled in known else flags.get(f"--{spelled.replace('_', '-')}", spelled)


# --- sentences ----------------------------------------------------------------------------------------------

_VALUE = r"""(?:'[^']*'|"[^"]*"|[^\s`'";)]*[^\s`'";),.?:])"""
"""A word of a command, or a quoted text, without the sign that ends its sentence."""
_COMMAND = re.compile(rf"optilab ({'|'.join(VERBS)})\b( (?!-){_VALUE})?")
_ARGUMENT = re.compile(rf" (--[a-z][a-z-]*)(?:[ =](?!--)({_VALUE}))?")
_OPTION = re.compile(
    rf"(?<![\w-])--([a-z][a-z-]*)(?:=({_VALUE})| ('[^']*[=<>][^']*'|[a-z][\w.]*=[^\s;)]*[^\s,:;)]|[A-Z]+\b|\d[\w.]*))?"
)


def in_python(text: str) -> str:
    """A sentence that names commands and options, for a script: `optilab train a.yaml --seeds 5` is
    lab.train("a.yaml", seeds=5), `--seeds 5` alone is seeds=5, `--set a.b=N` is set={"a.b": N}.

    A command that `Lab` does not have stays as it is.
    """
    parts, end = list[str](), 0
    for match in _COMMAND.finditer(text):
        if match.start() >= end and (call := _call(text, match)):
            parts += [_keywords(text[end : match.start()]), call[0]]
            end = call[1]
    return "".join([*parts, _keywords(text[end:])])


def folder_of(folder: Any) -> Path:
    """The directory of runs that a script names; UsageError for what is none."""
    if not isinstance(folder, str | os.PathLike | None):
        raise UsageError(f"expected the directory of the runs, got {shown(folder)}", "folder")
    try:
        return runs.root(None if folder is None else os.fspath(folder))
    except UsageError as error:
        raise UsageError(str(error).removeprefix("--runs-dir: "), "folder") from None


@contextmanager
def as_in_python(given: Mapping[str, Any] = MappingProxyType({}), verb: str = "") -> Iterator[None]:
    """Errors as a script can follow them: keywords instead of options, and `set` for keys with a dot."""
    try:
        yield
    except OptilabError as error:
        text = in_python(str(error).replace("the command line", "the arguments"))
        for name in given:
            dotted = rf'({re.escape(name)}: unknown key; did you mean )"(\w+\.[\w.]+)"'
            own = '{"%s": ' + shown(given[name]).replace("%", "%%") + "}"
            text = re.sub(dotted, lambda found, own=own: f"{found[1]}set={own % found[2]}", text)  # type: ignore[misc]
            if near := did_you_mean(name, [*keywords(verb), "progress"]) if verb else "":
                text = re.sub(
                    rf"({re.escape(name)}: unknown key)(; (?:one of|no key) .*|; did you mean \".*\"\?.*)",
                    rf"\1{near}",
                    text,
                )
            instead = f"keyword; leave it out, or see help(lab.{verb})"
            text = re.sub(rf"({re.escape(name)}: unknown )key; (?:one of|no key) .*", rf"\1{instead}", text)
            if keys := keys_named(verb, name):
                instead = f"keyword; write set={own % keys[0]}"
            wrong = f"unknown keyword '{name}'"
            text = re.sub(f"{re.escape(wrong)}; one of .*", lambda _, said=wrong + instead[7:]: said, text)  # type: ignore[misc]
        written = r"(?m)^(  the config: .*; (?:add|write) )(\w+: .+)$"
        error.args = (re.sub(written, lambda found: f"{found[1]}{_literal(f'{{{found[2]}}}')[1:-1]}", text),)
        raise
    except OSError as error:  # what the system refuses, as the command says it
        raise SystemFailure(system_text(error)) from error


def keys_named(verb: str, name: str) -> list[str]:
    """The keys of that name in the configs that a method reads, where it takes `set`."""
    from optilab.config.fields import named
    from optilab.config.section import schema_for
    from optilab.config.presets import READS

    kind = "optimize" if "optimize" in (verb, READS.get(verb)) else "train"
    return named(schema_for(kind), name) if verb and "set" in keywords(verb) else []


def _call(text: str, match: "re.Match[str]") -> tuple[str, int] | None:
    """The call for a command in a text, and where the command ends; None where an option has no keyword."""
    name, at = match[1], match.end()
    known = options(name)
    given: dict[str, list[str | None]] = {}
    while argument := _ARGUMENT.match(text, at):
        key = keyword(name, argument[1])
        if key not in known:
            return None
        is_switch = bool in known[key].parts
        given.setdefault(key, []).append(None if is_switch else argument[2])
        at = argument.end(1) if is_switch else argument.end()
    first = [_literal(match[2][1:])] if match[2] else []
    if not given and not first:
        return f"lab.{name}", at
    return f"lab.{name}({', '.join([*first, *(_given(key, values) for key, values in given.items())])})", at


def _keywords(text: str) -> str:
    """A text without commands of `Lab`; behind another command, options stay options."""

    def option(match: "re.Match[str]") -> str:
        if "optilab " in text[text.rfind("\n", 0, match.start()) + 1 : match.start()]:
            return match[0]
        name, value = match[1].replace("-", "_"), match[2] or match[3]
        return name if value is None else _given(name, [value])

    text = re.sub(rf"optilab runs show ({_VALUE})(?! -)", lambda found: f"lab.load({_literal(found[1])})", text)
    text = re.sub(r"optilab runs ls\b(?: --runs-dir [^\s`]+| [^\s`-][^\s`]*)?(?! -)", "lab.runs()", text)
    return _OPTION.sub(option, text)


def _given(name: str, values: "list[str | None]") -> str:
    """A keyword with its values."""
    texts = [value.strip("'\"") for value in values if value is not None]
    if not texts:
        return f"{name}=True"
    if name in ("set", "over"):
        pairs = [text.partition("=") for text in texts]
        return f"{name}={{{', '.join(f'{json.dumps(key)}: {_pair(name, value)}' for key, _, value in pairs)}}}"
    if name == "start" and "," in texts[0]:
        return f"start=({', '.join(texts[0].split(','))})"
    items = [_literal(value) for value in values if value is not None]
    return f"{name}={items[0] if len(items) == 1 else '[' + ', '.join(items) + ']'}"


def _pair(name: str, value: str) -> str:
    several = name == "over" and ":" not in value
    return f"[{', '.join(map(_literal, value.split(',')))}]" if several else _literal(value)


def _literal(value: str) -> str:
    """A word of a command line in Python; a placeholder such as N or FILE, and `...`, stay as they are."""
    from optilab.config import yaml

    bare = value.strip("'\"")
    if bare == value and re.fullmatch(r"[A-Z]+|\.\.\.|-?\d[\d_]*(\.\d+)?(e[+-]?\d+)?", bare):
        return bare
    if bare.startswith(("[", "{")) or bare in ("true", "false", "null"):
        with suppress(ValueError):
            return _python(yaml.value(bare))
    return json.dumps(bare, ensure_ascii=False)


def _python(value: Any) -> str:
    """A value of YAML in Python, with one kind of quotes; `1e-6`, which YAML reads as text, is a number."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(key)}: {_python(one)}' for key, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_python, value))}]"
    if isinstance(value, str) and not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", value):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
