"""Trajectories of several optimizers on one function: followed, tuned, judged."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optilab.config.tree import Override
from optilab.errors import UsageError
from optilab.words import listed, plural

if TYPE_CHECKING:
    from optilab.config.optimize import OptimizeConfig
    from optilab.judge.claims import ClaimResult, Results
    from optilab.optimize import Trajectory


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
