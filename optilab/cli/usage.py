"""What typer's parser refuses, as text with the line to type instead."""

import re
import shlex
import sys
from collections.abc import Sequence
from itertools import pairwise, takewhile
from typing import Any

import typer

from optilab.errors import did_you_mean
from optilab.verbs import completion

FEW = 8
"""With fewer options, all of them are named next to one that does not exist."""
USUAL = {
    "fetch": "download get install pull",
    "show": "get cat info describe log logs print view",
    "ls": "list status log history",
    "rm": "delete remove clean prune uninstall",
    "cp": "copy edit new init",
    "verify": "check",
    "check": "validate test evaluate eval assert",
    "train": "fit run start",
    "sweep": "search tune grid",
    "race": "benchmark bench",
}
"""Commands and parts of groups, and what other tools call them."""
REFUSED = "refused"
"""Where a context has what the parser refused."""
TUNES = {"lr": "lr finds the learning rate", "race": "a race tunes the learning rate of every optimizer"}
"""Commands that take no learning rate."""


def usage_error(error: Exception) -> str | None:
    """What typer's parser found wrong, and what to type instead; None if this is another kind of exception."""
    if isinstance(error, typer.Abort):
        return "aborted; nothing was changed"
    if not hasattr(error, "format_message"):
        return None
    kind, message = type(error).__name__, str(error.format_message())
    if kind == "NoArgsIsHelpError":
        return f"a command is needed\n\n{message}"
    context: Any = getattr(error, "ctx", None)
    if match := re.fullmatch(r"Option '(.*)' requires an argument\.", message):
        return f"{match[1]} needs a value: write it after {match[1]}"
    if context is None:
        return message
    if kind == "NoSuchOption":
        option = str(getattr(error, "option_name", ""))
        accepted = [flag for parameter in context.command.params for flag in parameter.opts if flag[:2] == "--"]
        option = next((word for word in sys.argv if word[:2] == option and f"-{word}" in accepted), option)
        hint = f"write -{option}" if f"-{option}" in accepted else _option_hint(context, option)
        hint = f"; {hint}" if hint else _near(context, option, accepted) or _of_another(context, option)
        has = f"has {', '.join(accepted)}" if 0 < len(accepted) < FEW else "--help lists its options"
        return f"No such option: {option}{hint or f'; leave it out: {context.command_path} {has}'}"
    if kind == "MissingParameter":
        missing = " and ".join(_arguments(context, required=True))
        return f"{context.command_path} needs {missing}{_example(context)}"
    if match := re.match(r"No such command '(.*?)'\.", message):  # which may go on with names of other commands
        return f"No such command '{match[1]}'{_command_hint(context, match[1])}"
    if match := re.fullmatch(r"Got unexpected extra argument\(s\) \((.*)\)", message):
        return f"too many arguments: {match[1]}; {_argument_hint(context, match[1].split(' '))}"
    return message


def mended(error: Any, message: str, words: Sequence[str]) -> list[str] | None:
    """The words of a line with what the `message` of an error proposes, or without what it refuses; None where neither
    leaves what was meant."""
    left, option = [*words], str(getattr(error, "option_name", ""))
    extra = re.match(r"Got unexpected extra argument\(s\) \((.*)\)", error.format_message())
    of_value = "separated by commas" in message or (extra and re.search("; write --(?!set)|in quotes", message))
    if of_value or not (option or extra):
        return None
    if extra:
        for word in reversed(extra[1].split(" ")):
            if word not in left:  # it has spaces of its own, or what a message escapes
                return None
            del left[len(left) - 1 - left[::-1].index(word)]
        return left
    at = next(at for at, word in enumerate(words) if option in (word[:2], word.partition("=")[0]))
    close, rest = re.findall(r'"(--[\w-]+)"', message), words[at][len(option) :]
    if len(close) == 1 and "leave it out" not in message:
        return [*words[:at], close[0] + rest, *words[at + 1 :]]
    value = "" if rest or "No such" not in message or "; write: " in message else "".join(words[at + 1 : at + 2])
    is_value = value[:1] not in ("", "-") and ("=" in value or not completion.line_for(value, [value]))
    return [*words[:at], *words[at + 1 + is_value :]]


def _option_hint(context: Any, option: str) -> str:
    """The key that an unknown option sets in other tools, as `--set` takes it."""
    if re.fullmatch(r"-[\d.]+", option):
        return LIST
    commands = getattr(context.command, "commands", {})
    own = [flag for parameter in context.command.params for flag in parameter.opts]
    if commands and not did_you_mean(option, own):  # few options stand before a command
        path = context.command_path.split(" ")
        words = sys.argv[len(path) :]
        at = next((n for n, word in enumerate(words) if word in commands), None)
        if at is None:
            return f"options stand after the command, which is one of {', '.join(commands)}"
        return f"options stand after the command: {completion.proposed([*path[1:], *words[at:], *words[:at]])}"
    if context.info_name in TUNES and option in ("--lr", "--learning-rate"):
        return f"{TUNES[context.info_name]}, so leave it out"
    if context.info_name == "explain" and option in ("--epochs", "-n"):
        return "explain works out single steps; write --step 5, or --step 1-5"
    on_functions = context.info_name == "race" and not {"--on", "--resume", "--study"} & set(sys.argv)
    if on_functions and option == "--start":
        return "a race draws its starting points; their number is --starts, as in: --starts 20"
    if on_functions or not _has_option(context, "--set"):
        return ""
    name = option.lstrip("-").replace("-", "_")
    keys = completion.keys_named(context.info_name, name)
    keys = [name] if name in keys else [key for key in keys if key.count(".") < 2]
    lacking = completion.lacking(keys, sys.argv)
    absent = (completion.refused(context.info_name, key, "0.5", sys.argv) for key in keys)
    if name in completion.rule("") and (lacking or all("has no setting" in why for why in absent)):
        flag = next((flag for flag in ("--algo", "--optimizer") if _has_option(context, flag)), "--set optimizer=")
        instead = f" instead of {lacking}" if lacking else ""
        return f"{name} is another optimizer: write {f'{flag} {name}'.replace('= ', '=')}{instead}"
    if lacking:
        return f"{lacking} has no setting {name!r}; for one that it has write --set algo.lr=VALUE"
    flags = {key: f"--{key.rpartition('.')[2].replace('_', '-')}" for key in keys[:3]}
    typed = next((word for before, word in pairwise(sys.argv) if before == option and word[:2] != "--"), "VALUE")
    wrong = {key: completion.refused(context.info_name, key, typed, sys.argv) for key in flags}
    values = {
        key: re.search(r"; (?:write|for example) (\S.*)$", why or f"; write {typed}") for key, why in wrong.items()
    }
    ways = [
        f"{flag} {shlex.quote(value[1])}"
        if _has_option(context, flag)
        else f"--set {shlex.quote(f'{key}={value[1]}')}"
        for key, flag in flags.items()
        if (value := values[key])
    ]
    first = next(iter(flags), "")
    if ways or not first:
        return f"write {' or '.join(ways)}" if ways else ""
    return wrong[first] if "has no setting" in wrong[first] else f"it is --set {first}=VALUE: {wrong[first]}"


PLACED = {"name": "dataset", "run": "name", "target": "config"}
"""Arguments as they are called elsewhere."""


def _near(context: Any, option: str, accepted: list[str]) -> str:
    """`; did you mean "--start"?`, with an option that takes what was typed; or that its value stands without one."""
    words = [part for word in sys.argv[1:] for part in (word.split("=", 1) if f"{option}=" in word else [word])]
    value = next((word for before, word in pairwise(words) if before == option), "")
    taken = [name.strip("[]").lower() for name in _arguments(context)]
    names = {also for name in taken for also in (name, f"{name}s", PLACED.get(name))}
    if option.lstrip("-") in names and value[:1] not in ("", "-"):
        return f"; write: {shlex.join(['optilab', *(word for word in words if word != option)])}"
    letter = [flag for flag in accepted if option[1:] == flag[2:3]]
    near = f"; did you mean {' or '.join(letter)}?" if 0 < len(letter) < 4 else did_you_mean(option, accepted)
    flag = next((flag for flag in accepted if f'"{flag}"' in near), "")
    if flag and context.parent and not completion.takes(context.command_path, flag, value):
        return f"{_of_another(context, option)}{near}"
    return near


def _of_another(context: Any, option: str) -> str:
    """`; it is an option of sweep, not of map: leave it out`, or what does the same."""
    root = context.find_root()
    having = completion.commands_with(option, root.command.list_commands(root))
    own = context.command_path.partition(" ")[2]
    instead = "leave it out"
    if option == "--over" and own == "train":
        instead = f"write: {completion.proposed(['sweep', *sys.argv[2:]])}"
    elif option == "--out":
        instead = f"write what it prints to a file with {'--format csv ' * _has_option(context, '--format')}> FILE"
    elif option == "--format" and _has_option(context, "--json"):
        chosen = ", or --out FILE, whose extension chooses the format" * _has_option(context, "--out")
        instead = f"write --json{chosen}, or leave it out"
    return f"; it is an option of {having}, not of {own}: {instead}" if having else ""


def _command_hint(context: Any, name: str) -> str:
    names = context.command.list_commands(context)
    if name in ("rename", "mv") and "ls" in names:
        return ": a run keeps its name; choose it with --name when it starts, or rename its directory"
    path, rest = context.command_path.split(" "), sys.argv[len(context.command_path.split(" ")) + 1 :]
    usual = [here for here, others in USUAL.items() if name in others.split()]
    if own := next((one for one in usual[:: 1 if rest else -1] if one in names), ""):
        return f"; write: {completion.proposed([*path[1:], own, *rest])}"
    if usual and context.parent is None:
        line = completion.line_for(usual[-1], [usual[-1], *rest])
        return f"; write: {completion.proposed(shlex.split(line))}"
    if context.parent is not None and name in context.parent.command.list_commands(context.parent):
        return f"; write: {completion.proposed([name, *sys.argv[3:]])}"
    if any(f"--{name}" in one.opts for one in context.command.params):
        return f"; write: {context.command_path} --{name}"
    if context.parent is None and (line := completion.line_for(name, sys.argv[1:])):
        return f"; write: {completion.proposed(shlex.split(line))}"
    if context.parent is None and name.endswith((".yaml", ".yml")):
        return ", and no file or preset either; `optilab config ls` lists the presets"
    return did_you_mean(name, names) or f"; one of {', '.join(names)}"


def _argument_hint(context: Any, extra: list[str]) -> str:
    """Where the arguments belong that a command does not take, or what the command takes."""
    argument, rules = extra[0], completion.rule("")
    for place, flag in enumerate(sys.argv):
        words = [*takewhile(lambda word: word[:2] != "--", sys.argv[place + 1 :])]
        if flag[:2] != "--" or argument not in words[1:]:
            continue
        text = " ".join(words)
        split = text if flag in ("--function", "--expect") else ""
        if match := re.match(r"[^\[{ ]*[\[{][^\]}]* [^\]}]*[\]}]", text) if flag == "--set" else None:
            split = match[0]
        if split:  # as a shell splits it
            return f"write {flag} {shlex.quote(split)}, in quotes"
        if flag in ("--over", "--set") and "=" not in words[0]:
            return f"write {flag} {words[0].rstrip(':')}={argument}"
        if flag == "--start" or (flag in ("--over", "--algo", "--on", "--only") and f", {argument}" in text):
            return f"write {flag} {','.join(word.strip(',') for word in words)}"
    if all(re.fullmatch(r"\+*[a-z][\w.]*=\S+", word) for word in extra):
        return f"write {' '.join(_setting(context, word) for word in extra)}"
    flags = {flag for one in context.command.params if getattr(one, "is_flag", False) for flag in one.opts}
    switch = next((before for before, word in pairwise(sys.argv) if word == argument and before in flags), "")
    if switch:
        seeds = argument.strip("0").isdecimal() and switch == "--confirm" and _has_option(context, "--seeds")
        return f"{switch} takes no value" + (f"; write {switch} --seeds {argument}" if seeds else "")
    if re.fullmatch(r"-?[\d.]+", argument) and _has_option(context, "--start"):
        return LIST
    options = {"--algo": rules, "--function": completion.objective("")}
    first = next(
        (context.params.get(one.name) for one in context.command.params if one.param_type_name == "argument"), None
    )
    if argument in rules and str(first).split(",")[0] in rules:
        return f"optimizers are separated by commas: {','.join([str(first).rstrip(','), *extra])}"
    flag = next((flag for flag, names in options.items() if argument.split(",")[0].lower() in names), "")
    taken = _arguments(context)
    if argument.endswith((".yaml", ".yml")) and not taken:
        flag = "--config"
    if flag and _has_option(context, flag):
        return f"write {flag} {argument}"
    return f"{context.command_path} takes {' and '.join(taken) or 'no arguments'}; leave out {' '.join(extra)}"


def _setting(context: Any, word: str) -> str:
    """`--set optimizer.lr=0.1` for `lr=0.1`, or `--over` for several values of a sweep."""
    key, _, value = word.lstrip("+").partition("=")
    known = completion.keys_named(context.info_name, key) if "." not in key else []
    flag = "--over" if context.info_name == "sweep" and re.search("[,:]", value) else "--set"
    return f"{flag} {shlex.quote(f'{next(iter(known), key)}={value}')}"


def _arguments(context: Any, required: bool = False) -> list[str]:
    """What stands in the usage line for the arguments, or only for those that must be given."""
    arguments = [one for one in context.command.params if one.param_type_name == "argument"]
    arguments = [one for one in arguments if one.required or not required]
    return [str(one.metavar or one.name).upper().rstrip(".") for one in arguments]


LIST = "numbers of a list are separated by commas, as in --start -5,-2"


def _has_option(context: Any, flag: str) -> bool:
    return any(flag in getattr(parameter, "opts", ()) for parameter in context.command.params)


def _example(context: Any) -> str:
    """The first example of the command's help text."""
    lines = (context.command.epilog or "").splitlines()
    example = next((line.strip() for line in lines if line.strip().startswith(context.command_path)), "")
    return f", as in: {example}" if example else ""
