"""Tuning of one rule on one function by random search, evaluated on starts that it was not tuned on.

A problem is a function with a start. It is solved at the first step whose point is near a known minimum in the box
and whose f - f_min is less than `accuracy` of what it was at the start (More & Wild 2009). Its cost is the number of
gradients until then. One measure decides, while tuning and afterwards: the mean of log cost, where a problem that is
not solved costs `UNSOLVED` times the gradients allowed. Its exponential is the geometric mean of the costs.

    rule = tune(RULES["adam"](), OBJECTIVES["rosenbrock"](), RaceConfig(budget=100))
"""

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from optilab.config.study import RaceConfig
from optilab.optimize.maps import run_grid
from optilab.optimize.objective import Floats, Objective, minima_inside
from optilab.optimize.path import lowest
from optilab.optimize.rule import Rule, with_settings
from optilab.study import tuning_space

UNSOLVED = 2
"""A problem that is not solved costs this many times the gradients allowed (as PAR2 of the SAT competitions)."""


@dataclass(frozen=True)
class Tuning:
    """One rule, tuned on one function with one draw of settings and starts, and evaluated on new starts."""

    rule: str
    function: str
    repeat: int
    settings: dict[str, float]
    """The tuned fields of the best setting."""
    scores: list[float]
    """Mean log cost of every setting on the new starts, in the order of their scores on the tuning starts."""
    costs: list[int]
    """Gradients until each new start was solved with the best setting; -1 where it was not."""
    at_end: bool = False
    """True if its learning rate is the lowest or the highest of those that were tried."""


def tuned(rule: Rule, function: Objective, repeat: int, conditions: RaceConfig) -> Tuning:
    """Tune on one half of the starts, evaluate every setting on the other half.

    The starts depend on the function and the repeat, the settings on the rule too: no rule depends on who else takes
    part, all rules meet the same starts, and no two functions share their luck.
    """
    half = conditions.starts
    starts = _starts(function, repeat, 2 * half, conditions)
    settings = _settings(rule, function, repeat, conditions)
    costs, left = _solve(rule, function, starts, settings, conditions)
    order = _best_first(costs[:half], left[:half], conditions)
    scores = log_costs(costs[half:], conditions).mean(axis=0)[order]
    best = order[0]
    chosen = {name: float(values[best]) for name, values in settings.items()}
    scores = np.broadcast_to(scores, conditions.budget)  # a rule without anything to tune has one setting
    rates = (name for name in settings if name.rpartition(".")[2] == "lr")
    at_end = any(tuning_space.end_of(chosen[name], settings[name].tolist()) for name in rates)
    return Tuning(rule.name, function.name, repeat, chosen, scores.tolist(), costs[half:, best].tolist(), at_end)


def tune(rule: Rule, function: Objective, conditions: RaceConfig, starts: Floats | None = None) -> Rule:
    """The rule with the best of `conditions.budget` random settings on `starts` (n, d), drawn from the box if None.

    Of settings that solve equally many starts, the best ends nearest to f_min; without a known minimum it has the
    lowest mean of the final f. UsageError for a rule with a line search of its own.
    """
    if starts is None:
        starts = _starts(function, 0, conditions.starts, conditions)
    settings = _settings(rule, function, 0, conditions)
    costs, left = _solve(rule, function, starts, settings, conditions)
    best = _best_first(costs, left, conditions)[0]
    chosen = {name: float(values[best]) for name, values in settings.items()}
    tuned: Rule = with_settings(_with_known_minimum(rule, function), chosen)
    return tuned


def log_costs(costs: Any, conditions: RaceConfig) -> Floats:
    """log cost; -1 is not solved, and a start that is solved already costs 1."""
    return np.log(np.where(np.asarray(costs) < 0, UNSOLVED * conditions.gradients, np.maximum(costs, 1)))


def gradients_per_step(rule: Rule, function: Objective) -> int:
    """1, one more for the gradient at another point, and one per coordinate if the rule needs the Hessian."""
    return 1 + ("grad" in rule.needs) + len(function.start) * bool({"H", "diagonal"} & set(rule.needs))


def extra_knowledge(rule: Rule) -> list[str]:
    """The quantities that a rule uses besides the gradient at the point: grad, H, diagonal, f, f_min."""
    return list(rule.needs) + ["f_min"] * any(field.name == "f_min" for field in fields(rule))  # type: ignore[arg-type]


def _starts(function: Objective, repeat: int, count: int, conditions: RaceConfig) -> Floats:
    low, high = np.array(function.box, dtype=float).T
    return _generator(conditions, function.name, repeat).uniform(low, high, (count, len(low)))


def _settings(rule: Rule, function: Objective, repeat: int, conditions: RaceConfig) -> dict[str, Floats]:
    generator = _generator(conditions, function.name, repeat, rule.original.name)
    return tuning_space.draw(rule, function, conditions.budget, generator, conditions.over)


def _generator(conditions: RaceConfig, *names: str | int) -> np.random.Generator:
    digest = hashlib.sha256("\n".join(map(str, names)).encode()).digest()
    return np.random.default_rng([conditions.seed, *digest[:8]])


def _with_known_minimum(rule: Rule, function: Objective) -> Rule:
    """A rule with a field f_min gets the function's, where it is known."""
    floor = lowest(function)
    if floor is None or "f_min" not in extra_knowledge(rule):
        return rule
    return replace(rule, f_min=floor)  # type: ignore[type-var]


def _best_first(costs: Any, left: Floats, conditions: RaceConfig) -> Any:
    """The indices of the settings by mean log cost; on a tie, the setting that came nearer on average is first."""
    return np.lexsort((left.mean(axis=0), log_costs(costs, conditions).mean(axis=0)))


def _solve(
    rule: Rule, function: Objective, starts: Floats, settings: dict[str, Floats], conditions: RaceConfig
) -> tuple[Any, Floats]:
    """Gradients until solved (-1: not), and the remaining fraction of the distance in f at the end, log10, both
    (starts, settings).

    Where no minimum is known, nothing is solved and the final f takes the place of the way that is left.
    """
    price = gradients_per_step(rule, function)
    steps = conditions.gradients // price
    floor = lowest(function) if minima_inside(function) else None
    rule = _with_known_minimum(rule, function)
    starts = starts[:, None, :]
    before = function.value(starts)
    shaped = {name: values[None, :] for name, values in settings.items()}
    watch: Any = None if floor is None else "solved"
    limits = 0.0 if floor is None else floor + conditions.accuracy * (before - floor)
    ends = run_grid(rule, function, starts, steps, shaped, watch=watch, limits=limits, workers=1)
    with np.errstate(all="ignore"):
        if floor is None:
            values = np.where(np.isfinite(ends.values), ends.values, np.inf)
            return np.full(values.shape, -1), values
        fraction = (ends.values - floor) / (before - floor)
        fraction[~(fraction > -1e-9)] = np.inf  # an escape below f_min, outside the box, is not nearer
        left = np.log10(np.clip(fraction, 1e-16, 1e16))
    return np.where(ends.first_below < 0, -1, ends.first_below * price), left
