"""What commands on test functions read, optimizer, function, start, learning rate, and the run that they write."""

import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

from annotated_doc import Doc
from annotated_types import Ge, Le

from optilab import runs
from optilab.annotations import ConfigKey, Flag, Read
from optilab.config.load import load
from optilab.config.presets import optimizer_names
from optilab.config.section import Section, dump, to_yaml
from optilab.config.tree import Override, decimal, value
from optilab.errors import UsageError
from optilab.optimize import Rule
from optilab.optimize.user_rule import UserRule
from optilab.request.options import DetailOptions, SetOptions, SilentOptions
from optilab.request.request import Place, Request, plain
from optilab.show import terminal
from optilab.user_code import described, sources
from optilab.words import listed

if TYPE_CHECKING:
    from optilab.config.optimize import OptimizeConfig


def note_if_code_is_slow(rules: Iterable[Any], silent: bool) -> AbstractContextManager[None]:
    """Note what makes a user's code fast, if what is done inside takes long and the code runs point by point."""
    slow = [rule for rule in rules if isinstance(rule, UserRule) and rule.stated is None and not rule.pointwise]
    if silent or not slow:
        return nullcontext()
    names, verb = listed(rule.name for rule in slow), "run" if slow[1:] else "runs"
    return terminal.note_if_slow(
        f"{names} {verb} point by point; code that declares `pointwise = True` runs on all points at once"
    )


def read_function(text: str) -> Any:
    """The value of `function` for `--function`: the name of a test function, or a formula of the user's."""
    named = re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", text) and not re.search(r"\bw[1-9]\b", text)
    return text if named else {"name": "expression", "formula": text}


def numbers(text: str) -> list[Any]:
    """`-5,-2`, `[-5, -2]` or `-5 -2` as the list [-5, -2]; other text stays as it is, and the schema refuses it."""
    bare = re.sub(r"^\[(.*)\]$|^\((.*)\)$", r"\1\2", text.strip())
    return [decimal(part) for part in re.split(r"[,;\s]+", bare.strip(" ,;")) if part] or [text]


def number_or_numbers(text: str) -> Any:
    """A number as in YAML, `0.1,0.3` as a list."""
    try:
        whole = value(text)
        return [*map(value, whole.split(","))] if isinstance(whole, str) and "," in whole else whole
    except ValueError as error:
        raise UsageError(str(error)) from None


Optimizers = Annotated[
    Any,
    ConfigKey("algo"),
    Read(optimizer_names),
    Flag("NAME[,NAME...]", complete="rule", positional=True),
    Doc("One or more optimizers, with the settings of their presets"),
]
Source = Annotated[Any, Flag("FILE", complete="preset:optimize"), Doc("YAML file or preset")]
Function = Annotated[
    Any,
    ConfigKey("function"),
    Read(read_function),
    Flag("NAME|FORMULA", complete="objective"),
    Doc("Test function, or a formula of x, y"),
]
Start = Annotated[Any, ConfigKey("start"), Read(numbers), Flag("W1,W2"), Doc("Starting point, for example -5,-2")]
LearningRate = Annotated[
    Any,
    ConfigKey("algo.lr", for_each=True),
    Read(number_or_numbers),
    Flag("LR[,LR...]"),
    Doc("Learning rate (algo.lr); several are an optimizer each"),
]


def chosen_config(request: Request, epochs: int | None = None, *more: Override) -> "OptimizeConfig":
    """The config of a request, with the keys that its options set, and `more`.

    Without a config there are `epochs` unless they are given. UsageError without an optimizer, ConfigError with every
    problem at once.
    """
    from optilab.config.optimize import OptimizeConfig

    config, changes = request.arguments.get("config"), request.changes
    steps = [] if epochs is None or config is not None else [Override("epochs", "epochs", epochs)]
    keys = {change.key for change in changes}
    known = {key.partition(".")[0] for key in keys} <= OptimizeConfig.model_fields.keys()
    if config is None and "algo" not in keys and known:
        raise UsageError(f"expected an optimizer{' or a config' * ('config' in type(request).model_fields)}")
    rules: Any = "tuned" if getattr(request, "tune", None) else "exercise"
    return load(OptimizeConfig, plain(config), [*steps, *changes, *more], rules)


def write_run(
    place: Place,
    name: str,
    command: str,
    config: Section,
    rules: Iterable[Rule],
    files: Mapping[str, bytes | Iterable[bytes]],
    facts: Mapping[str, Any],
) -> str:
    """Write the run directory of a command on test functions: its `files`, its config, and copies of a user's code;
    `facts` are entries of its manifest. RunError if the name is taken."""
    from optilab.runs.provenance import provenance  # with subprocess, which is slow to import

    codes = sources(rules)
    manifest = {
        "command": command,
        **facts,
        **provenance(place.argv, ["numpy"]),
        "config": dump(config),
        "status": "done",
        "finished": runs.timestamp(),
        **({"own_rules": described(codes.values(), codes)} if codes else {}),
    }
    copies = {file: code.source for file, code in codes.items() if code.source}
    return str(runs.write(place.folder, name, {"config.yaml": to_yaml(config), **files, **copies}, manifest))


class Against(SetOptions, DetailOptions, SilentOptions):
    """Options of `verify` and `grade`: the reference, and the limits of the time."""

    against: Annotated[str | None, Flag("NAME", complete="rule"), Doc("The reference optimizer")] = None
    function: Annotated[
        Any,
        ConfigKey("function"),
        Read(read_function),
        Flag("NAME|FORMULA", complete="objective"),
        Doc("Compare on this function only"),
    ] = None
    epochs: Annotated[Any, ConfigKey("epochs"), Flag("N"), Doc("Steps to compare")] = None
    timeout: Annotated[
        float,
        Ge(0.1),
        Le(86_400),
        Flag("SECONDS"),
        Doc("Limit of one step, and of loading the file, on the clock"),
    ] = 30.0
