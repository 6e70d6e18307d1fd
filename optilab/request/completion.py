"""Shell completion of values: presets, runs, rules, functions, config keys and map axes."""

import os
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import fields

import typer

from optilab.config import SCHEMAS

Completer = Callable[[str], list[str]]
POSITIONAL = "by_place"
"""The parameter for an option without its name."""
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


def preset(kind: str | None = None) -> Completer:
    """Names of presets, of one command or of all, next to the shell's own file names."""

    def names(incomplete: str) -> list[str]:
        from optilab.config.presets import presets

        return _starting((f"{preset.name}.yaml" for preset in presets(kind)), incomplete)

    return names


def config(incomplete: str) -> list[str]:
    """The commands that read configs, and the presets of all."""
    return [*_starting(SCHEMAS, incomplete), *preset()(incomplete)]


def run(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of runs, newest first."""
    from optilab import runs

    directory = runs.root(ctx.params.get("runs_dir"))
    return _starting((path.name for path in reversed(runs.directories(directory))), incomplete)


def run_or_preset(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of runs and of the presets of `train`."""
    return [*run(ctx, incomplete), *preset("train")(incomplete)]


def rule(incomplete: str) -> list[str]:
    """The last name of a list of optimizers."""
    from optilab.optimize import RULES

    return _complete_last(RULES, incomplete)


def objective(incomplete: str) -> list[str]:
    """The last name of a list of test functions."""
    from optilab.optimize import OBJECTIVES

    return _complete_last(OBJECTIVES, incomplete)


def remedy(incomplete: str) -> list[str]:
    """The last name of a list of remedies."""
    from optilab.diagnose.remedies import REMEDIES

    return _complete_last(REMEDIES, incomplete)


def key(ctx: typer.Context, incomplete: str) -> list[str]:
    """`KEY=` of a config, and after it the values of a key that has a choice of them."""
    from optilab.config.keys import keys_of

    keys = {k.key: k.choices for k in keys_of(config_kind(ctx.info_name))}
    prefix = os.environ.get(_PREFIX, "")
    name, equals, _ = (prefix + incomplete).partition("=")
    if not equals:
        return _starting(dict.fromkeys(f"{key}=" for key in keys), incomplete)
    values = [f"{name}={value}" for value in keys.get(name, ())]
    return _starting((value.removeprefix(prefix) for value in values), incomplete)


def part(ctx: typer.Context, incomplete: str) -> list[str]:
    """Keys, sections and entries of the config that `config show` describes."""
    from optilab.config.keys import keys_of

    name = ctx.params.get("name") or "train"
    keys = keys_of(name) if name in SCHEMAS else ()
    return _starting(
        dict.fromkeys([*(key.key for key in keys), *(name for key in keys for name in key.choices)]), incomplete
    )


def axis(ctx: typer.Context, incomplete: str) -> list[str]:
    """`algo.KEY=` of the numbers of the chosen rule, and the coordinates."""
    from optilab.optimize import RULES

    rule = RULES.get(ctx.params.get("algo") or ctx.params.get(POSITIONAL) or "")
    numbers = [f.name for f in fields(rule) if isinstance(f.default, float)] if rule else ["lr"]
    return _starting([*(f"algo.{name}=" for name in numbers), "w1=", "w2="], incomplete)


def config_kind(command: str | None) -> str:
    """The kind of configs that a command reads: those of `train` or of `optimize`."""
    return (
        "train" if command in ("train", "lr", "sweep", "remedy", "benchmark", "diagnose", "check") else "optimize"
    )


def of(name: str, choices: Sequence[str] = ()) -> Completer | None:
    """The completion of an option: these choices, else what `Flag.complete` names: a function of this module,
    `preset:KIND`, or one of several names."""
    names = name.split(",") if "," in name else choices
    if names:
        return lambda incomplete: _starting(names, incomplete)
    if not name:
        return None
    function, _, kind = name.partition(":")
    completer: Completer = globals()[function]
    return preset(kind or None) if function == "preset" else completer


def _complete_last(names: Iterable[str], incomplete: str) -> list[str]:
    """The comma-separated list that has been typed, its last name completed."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(last)]


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
