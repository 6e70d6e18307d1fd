"""Shell completion of values: presets, runs, rules, functions, config keys and map axes; what a word is the name of."""

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import fields
from importlib import import_module
from itertools import dropwhile, pairwise, takewhile
from typing import Any

import typer

from optilab.marks import ConfigKey
from optilab.words import listed

Completer = Callable[[str], list[str]]
GROUPS = ("runs", "config", "data")
"""Commands that have parts."""
_PREFIX = "_OPTILAB_COMPLETED_PREFIX"
"""Environment of a completion under bash: the `KEY=` before the value that is completed."""


def words(environment: MutableMapping[str, str]) -> list[str] | None:
    """The words of the command line that a shell wants completed; None where no completion is asked for.

    Bash breaks words at `=` and completes what follows; `--set KEY=VALUE` is put together again, in the environment
    that typer reads (a word per line), except for a value that is being completed: its `KEY=` goes to _PREFIX.
    """
    if "_OPTILAB_COMPLETE" not in environment:
        return None
    if "COMP_WORDS" not in environment:
        return environment.get("_TYPER_COMPLETE_ARGS", "").split()[1:]
    broken = environment["COMP_WORDS"].split("\n")
    last = int(environment.get("COMP_CWORD", len(broken) - 1))
    joined: list[str] = []
    for index, word in enumerate([*broken, ""][: last + 1]):
        if index and (word == "=" or broken[index - 1] == "="):
            joined[-1] += word
        else:
            joined.append(word)
    key, equals, value = joined[-1].partition("=")
    if equals and "=" in broken:
        environment[_PREFIX], joined[-1] = key + equals, value
    environment.update(COMP_WORDS="\n".join(joined), COMP_CWORD=str(len(joined) - 1))
    return joined[1:]


def preset(kind: str | None = None, also: Iterable[str] = (), ending: str = ".yaml") -> Completer:
    """Names of presets, of one command or of all, next to the shell's own file names."""

    def names(incomplete: str) -> list[str]:
        from optilab.config.presets import presets

        return _starting([*also, *(f"{preset.name}{ending}" for preset in presets(kind))], incomplete)

    return names


def config(incomplete: str) -> list[str]:
    """The commands that read configs, and the presets of all."""
    from optilab.verbs.config import KINDS

    return preset(also=KINDS)(incomplete)


def run(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of runs, newest first."""
    from optilab import runs

    folder = runs.root(ctx.params.get("runs_dir"))
    return _starting((path.name for path in reversed(runs.directories(folder))), incomplete)


def run_or_preset(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of runs and of the presets of `train`."""
    return [*run(ctx, incomplete), *preset("train")(incomplete)]


def rule(incomplete: str) -> list[str]:
    """The last name of a list of optimizers."""
    from optilab.optimize import RULES

    return _listing(RULES, incomplete)


def objective(incomplete: str) -> list[str]:
    """The last name of a list of test functions."""
    from optilab.optimize import OBJECTIVES

    return _listing(OBJECTIVES, incomplete)


def remedy(incomplete: str) -> list[str]:
    """The last name of a list of remedies."""
    from optilab.diagnose.remedies import remedies

    return _listing(remedies(), incomplete)


def key(ctx: typer.Context, incomplete: str) -> list[str]:
    """`KEY=` of a config, and behind it the values of a key that has a choice of them."""
    from optilab.config.fields import describe, schema_for

    keys = {one.key: one.choices for one in describe(schema_for(config_kind(ctx.info_name)))}
    prefix = os.environ.get(_PREFIX, "")
    name, equals, _ = (prefix + incomplete).partition("=")
    if not equals:
        return _starting(dict.fromkeys(f"{key}=" for key in keys), incomplete)
    values = [f"{name}={value}" for value in keys.get(name, ())]
    return _starting((value.removeprefix(prefix) for value in values), incomplete)


def part(ctx: typer.Context, incomplete: str) -> list[str]:
    """Keys, sections and entries of the config that `config show` describes."""
    from optilab.config.fields import describe, schema_for

    keys = list(describe(schema_for(ctx.params.get("name") or "train")))
    return _starting(
        dict.fromkeys([*(key.key for key in keys), *(name for key in keys for name in key.choices)]), incomplete
    )


def axis(ctx: typer.Context, incomplete: str) -> list[str]:
    """`algo.KEY=` of the numbers of the chosen rule, and the coordinates."""
    from optilab.optimize import RULES

    rule = RULES.get(ctx.params.get("algo") or ctx.params.get("by_place") or "")
    numbers = [f.name for f in fields(rule) if isinstance(f.default, float)] if rule else ["lr"]
    return _starting([*(f"algo.{name}=" for name in numbers), "w1=", "w2="], incomplete)


def config_kind(command: str | None) -> str:
    """Whose configs a command reads: those of `train` or of `optimize`."""
    return "train" if command in ("train", "lr", "sweep", "remedy", "race", "diagnose", "check") else "optimize"


def keys_named(command: str | None, name: str) -> list[str]:
    """The dotted keys of a command's configs that end with a name, or with what other tools call so."""
    from optilab.config.fields import named, schema_for

    return named(schema_for(config_kind(command)), name)


def refused(command: str | None, key: str, text: str, words: Sequence[str]) -> str:
    """Why `--set KEY=TEXT` would be refused with the config among `words`; empty where it would not be."""
    from optilab.config.fields import schema_for
    from optilab.config.load import BASES, Override, load, override
    from optilab.config.presets import lookup
    from optilab.errors import OptilabError

    kind = config_kind(command)
    base = BASES[kind]
    files = (word for word in words if lookup(kind, word) or (word.endswith(".yaml") and os.path.isfile(word)))
    typed = next(files, base)
    if typed is base and command in ("diagnose", "check"):  # where a run may stand
        return "only a config has settings; leave it out"
    if text == "VALUE" or (typed is base and key.partition(".")[0] in base):
        return ""
    line = " ".join(words).lower().replace("=", " ").split(" ")
    named = [after for before, after in pairwise(line) if before == "--optimizer" and after in rule("")]
    try:
        load(
            schema_for(kind),
            typed,
            [*(Override("", "optimizer", name) for name in named), override("--set", key, text)],
        )
    except OptilabError as error:
        problems = getattr(error, "problems", ())
        return next((problem.message for problem in problems if problem.where.startswith("--set")), "")
    return ""


# --- words that a command line has in a wrong place ----------------------------------------------------------


def lacking(keys: Sequence[str], words: Iterable[str]) -> str:
    """The optimizers that are typed, where none of them has a setting that one of the `keys` is; else empty."""
    from optilab.optimize import RULES

    own = [key.removeprefix("algo.") for key in keys if key.startswith("algo.")]
    rules = [name for word in words for name in word.lower().split(",") if name in RULES]
    has = not rules or len(own) != len(keys) or any(hasattr(RULES[rule], key) for rule in rules for key in own)
    return "" if has or not own else listed(rules)


def verbs_of(name: str) -> Mapping[str, Any]:
    """The verbs of a command by its parts; by "" that of a command without parts."""
    module = import_module(f"optilab.verbs.{name}")
    return getattr(module, "VERBS", None) or {"": module.VERB}


def commands_with(option: str, commands: Iterable[str]) -> str:
    """The commands that have an option, the first three by name; empty where none has."""
    from optilab.marks import Flag

    having = []
    for name in commands:
        for part, verb in verbs_of(name).items():
            flags = ((one.flag, *getattr(one.mark(Flag), "names", ())) for one in verb.options.values())
            if any(option in names for names in flags):
                having.append(f"{name} {part}".strip())
    others = [f"{len(having) - 3} others"] if len(having) > 4 else having[3:]
    return listed([*having[:3], *others]) if having else ""


def line_for(word: str, words: Sequence[str]) -> str:
    """`words`, behind the command that was left out before an optimizer, a file, a preset or a part of a group; empty
    for any other `word`.
    """
    from optilab.config.load import command_of
    from optilab.config.presets import KINDS, lookup
    from optilab.optimize.own import is_own

    line = shlex.join(words)
    if is_own(word):
        return f"verify {line}{'' if '--against' in line else ' --against adam'}"
    if word.split(",")[0].lower() in rule(""):
        return f"optimize {line}"
    if word in objective(""):
        return f"optimize --algo adam --function {line}"
    if word.endswith((".yaml", ".yml")) and os.path.isfile(word):
        return f"{command_of(word)} {line}"
    groups = [name for name in GROUPS if word in import_module(f"optilab.verbs.{name}").VERBS]
    return next((f"{name} {line}" for name in (*groups, *(kind for kind in KINDS if lookup(kind, word)))), "")


def proposed(line: Sequence[str]) -> str:
    """The line to type instead: of its options those that its command has, what it needs as in its first example, and
    below it what is wrong with the names of runs.
    """
    from optilab import runs
    from optilab.errors import Refusals, did_you_mean
    from optilab.marks import Argument, Flag

    size = 1 + (line[0] in GROUPS)
    command, rest, placed = line[:size], [*line[size:]], list[str]()
    if {"-h", "--help"} & {*line} or not (verb := verbs_of(line[0]).get("".join(line[1:size]))):
        return shlex.join(["optilab", *line])
    arguments = [one for one in verb.options.values() if one.mark(Argument)]
    options = [(one, (one.flag, *getattr(one.mark(Flag), "names", ()))) for one in verb.options.values()]
    flags = {flag: one for one, names in options for flag in "/".join(names).split("/") if flag[:1] == "-"}
    kept, absent, found, folder = list[str](), list[str](), Refusals(), None
    while rest:
        name, equals, value = (word := rest.pop(0)).partition("=")
        if not re.match("--?[a-z]", name):
            placed, kept = [*placed, word], [*kept, word]
            continue
        close = [flag for flag in flags if f'"{flag}"' in did_you_mean(name, [*flags])]
        flag = next(iter([name] if name in flags else close), "--out" if name in ("--format", "--to-csv") else "")
        switch = flag in flags and bool in flags[flag].parts
        named = not flag and (line_for((*rest, "")[0], rest) or (runs.root(None) / (*rest, "")[0]).exists())
        if not (equals or switch or named) and rest and rest[0][:2] != "--":
            value = rest.pop(0)
        if name == "--format" != flag and "--out" in flags:
            value = f"rows.{value if f'.{value}' in flags['--out'].doc else 'csv'}"
        keys = keys_named(line[0], name.lstrip("-").replace("-", "_")) if "--set" in flags and value else []
        if flag in flags and (flag == name or takes(shlex.join(["optilab", *command]), flags[flag].flag, value)):
            kept += [flag + equals + value] if equals else [flag, *([value] if value else [])]
            folder = value if flag == "--runs-dir" else folder
        elif keys:
            wrong = refused(line[0], keys[0], value, line)  # which may say how it is written
            value = (re.search("; (?:write|for example) (.*)$", wrong) or ("", value))[1]
            kept += ["--set", f"{keys[0]}={value}"]
        else:
            absent.append(name)
    examples = [shlex.split(line)[1 + size :] for line in verb.requests[0].EXAMPLES]
    usual = [next((word for word in example if word[:2] == "--"), "") for example in examples]
    if any(one.obligatory for one in arguments) and not placed:
        kept = [*takewhile(lambda word: word[:1] != "-", examples[0]), *kept]
    elif placed and any(one.mark(Flag).complete == "run" for one in arguments):
        found(runs.select, runs.root(folder), placed)
    if all(usual) and not {word.partition("=")[0] for word in kept} & {*usual}:  # no example goes without
        kept += dropwhile(lambda word: word[:2] != "--", examples[0])
    without = f" (it has no {listed(absent)})" if absent else ""
    return "\n".join([shlex.join(["optilab", *command, *kept]) + without, *map(str, found)])


def takes(path: str, flag: str, text: str) -> bool:
    """Whether an option of a command takes a text."""
    from optilab.verbs.verb import misfit

    group, _, part = path.partition(" ")[2].partition(" ")
    one = next(one for one in verbs_of(group)[part].options.values() if one.flag == flag)
    key = one.mark(ConfigKey)
    return not (refused(group, key.key, text, ()) if key else misfit(one, text, True))


def of(name: str) -> Completer | None:
    """What `Flag.complete` names: a function of this module, `preset:KIND`, or one of several names."""
    if not name:
        return None
    if "," in name:
        return lambda incomplete: _starting(name.split(","), incomplete)
    function, _, kind = name.partition(":")
    found: Completer = globals()[function]
    return preset(kind or None) if function == "preset" else found


def _listing(names: Iterable[str], incomplete: str) -> list[str]:
    """The comma-separated list that has been typed, its last name completed."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(last)]


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
