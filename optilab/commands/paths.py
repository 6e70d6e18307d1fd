"""Shared code of the commands that follow paths: options for rule, function and start; following and tuning."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

from annotated_doc import Doc

from optilab.commands.request import Request, plain
from optilab.config.load import load
from optilab.config.presets import optimizer_names
from optilab.config.tree import Override, decimal
from optilab.errors import UsageError
from optilab.marks import ConfigKey, Flag, Read
from optilab.optimize.user_rule import UserRule
from optilab.show import terminal
from optilab.words import listed, plural

if TYPE_CHECKING:
    from optilab.config.optimize import OptimizeConfig
    from optilab.judge.claims import ClaimResult, Results
    from optilab.optimize import Trajectory


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
LearningRate = Annotated[Any, ConfigKey("algo.lr"), Flag("LR"), Doc("Learning rate (algo.lr)")]


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


def require_bare(config: "OptimizeConfig", subject: str) -> None:
    """UsageError where the config puts something around the optimizer, which `subject` runs as it is."""
    if around := config.regime.changed:
        raise UsageError(f"{subject} runs an optimizer as it is, without {listed(around)}")


def follow(config: "OptimizeConfig") -> "dict[str, Trajectory]":
    """The path of each rule, by its label. UsageError for a claim that they cannot meet or fail."""
    from optilab.optimize import descend

    if config.expect:
        from optilab.judge.claims import require_judgeable

        require_judgeable(config.expect, config.labels, epochs=config.epochs)
    return {
        label: descend(rule, config.function, config.start, config.epochs, config.tolerance, config.regime)
        for label, rule in zip(config.labels, config.algo, strict=True)
    }


def rows(paths: "Mapping[str, Trajectory]") -> Iterator[dict[str, Any]]:
    """One row per optimizer and epoch, as in metrics.csv."""
    for label, path in paths.items():
        for epoch, norm in enumerate(path.gradient_norms):
            yield {
                "algo": label,
                "epoch": epoch,
                **{f"w{i + 1}": float(value) for i, value in enumerate(path.points[epoch])},
                "f": float(path.values[epoch]),
                "gradient_norm": float(norm),
            }


def results_of(config: "OptimizeConfig", paths: "Mapping[str, Trajectory]") -> "Results":
    """The results of the paths, as claims read them."""
    from optilab.judge.claims import results_of_paths

    return results_of_paths(config, list(rows(paths)), {label: path.status.value for label, path in paths.items()})


def judge_paths(config: "OptimizeConfig", paths: "Mapping[str, Trajectory]") -> "list[ClaimResult]":
    """The results of the config's claims about its paths."""
    if not config.expect:
        return []
    from optilab.judge.claims import judge_claims

    return judge_claims(config.expect, results_of(config, paths))


def tune_rules(
    config: "OptimizeConfig", budget: int, changes: Sequence[Override] = ()
) -> "tuple[OptimizeConfig, str]":
    """The config with every rule at the best of `budget` settings from the path's own start, and the sentence on it.

    UsageError for `changes` of what is tuned.
    """
    import numpy as np

    from optilab.config.study import RaceConfig
    from optilab.study import tuning_space
    from optilab.study.tuning import tune

    require_bare(config, "--tune")
    searched = {f"algo.{name}" for rule in config.algo for name in tuning_space.searched_fields(rule)}
    for change in changes:
        if change.key in searched:
            raise UsageError(f"--tune searches {change.key.removeprefix('algo.')}", change.where)
    conditions = RaceConfig.model_construct(budget=budget, gradients=config.epochs)
    start = np.array([config.function.start if config.start is None else config.start], dtype=float)
    rules = tuple(tune(rule, config.function, conditions, start) for rule in config.algo)
    cost = f"{plural(budget, 'path')} of {plural(config.epochs, 'epoch')} each"
    note = f"tuned: the best of {budget} random settings per optimizer from this start ({cost})"
    return config.model_copy(update={"algo": rules}), note
