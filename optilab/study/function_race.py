"""A fair race: every rule is tuned with the same budget, then evaluated on starts that it was not tuned on.

`tuning` tunes and evaluates a rule on a function; a race is every rule on every function, several times with other
draws of settings and starts. Verdicts take the functions as the sample and hold for the whole table (`judge`).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from math import comb
from typing import Any

import numpy as np

from optilab.config.claims import At
from optilab.config.study import RaceConfig
from optilab.errors import UsageError
from optilab.judge.claims import Measured, Results
from optilab.judge.judge import Judgment, judge
from optilab.judge.measure import Missing
from optilab.optimize.objective import Floats, Objective, label_of, minima_inside
from optilab.optimize.rule import Rule, reject_matrix_rule
from optilab.study import tuning_space
from optilab.study.tuning import Tuning, extra_knowledge, log_costs, tuned

CONDITIONS = ("budget", "starts", "repeats", "gradients", "accuracy", "seed", "over")
"""The conditions that are the same for every rule."""
ENOUGH_FUNCTIONS = 6
"""A race on fewer functions rarely calls even a rule twice as slow worse (docs/measured.md has the power)."""


@dataclass(frozen=True)
class Race:
    """All tunings, and their costs as tables."""

    conditions: RaceConfig
    rules: list[str]
    functions: list[str]
    tunings: list[Tuning]
    search_space: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What tuning chose from, by rule and hyperparameter; see `search_space`."""

    def of(self, rule: str, function: str) -> list[Tuning]:
        """The repeats of one rule on one function."""
        return [tuning for tuning in self.tunings if (tuning.rule, tuning.function) == (rule, function)]

    def _array(self, values: Callable[[Tuning], Sequence[float]]) -> Floats:
        """Numbers of each tuning: (rules, functions, repeats, n)."""
        return np.array([[[values(t) for t in self.of(r, f)] for f in self.functions] for r in self.rules])

    @property
    def costs(self) -> Floats:
        """Gradients per rule and problem, (rules, functions * repeats * starts); infinite where not solved."""
        costs = self._array(lambda tuning: tuning.costs).astype(float).reshape(len(self.rules), -1)
        return np.where(costs < 0, np.inf, costs)

    @property
    def log_costs(self) -> Floats:
        """Mean log cost per rule and function, (rules, functions): what tuning and verdicts go by."""
        costs = self._array(lambda tuning: tuning.costs)
        return np.asarray(log_costs(costs, self.conditions).mean(axis=(2, 3)))

    @property
    def best_of(self) -> Floats:
        """Expected cost after k settings were tried, (rules, budget): its last column is the cost in the table."""
        scores = self._array(lambda tuning: tuning.scores)
        return np.asarray(np.exp(expected_best(scores).mean(axis=(1, 2))))

    @property
    def at_end(self) -> dict[str, list[str]]:
        """By rule, the functions on which the best rate is the lowest or the highest that was tried."""
        return {r: [f for f in self.functions if any(t.at_end for t in self.of(r, f))] for r in self.rules}

    @cached_property
    def judgment(self) -> Judgment[str]:
        """The log costs of the rules, with the functions as the sample."""
        costs = [dict(zip(self.functions, row, strict=True)) for row in self.log_costs.tolist()]
        return judge(dict(zip(self.rules, costs, strict=True)), higher_is_better=False, improvable=self.at_end)

    @cached_property
    def standings(self) -> list[dict[str, Any]]:
        """The rows of the judge, lowest cost first: cost, its ratio to the lowest with an interval, p, the fraction of
        the problems that are solved, and the verdict. The cost is the geometric mean of the gradients until a problem
        is solved; an unsolved problem counts as twice the gradients that are allowed.
        """
        solved = dict(zip(self.rules, np.isfinite(self.costs).mean(axis=1).tolist(), strict=True))
        rows = []
        for row in self.judgment.ranked:
            against = row.difference
            rows.append(
                {
                    "rule": row.key,
                    "cost": float(np.exp(row.summary.mean)),
                    "ratio": float(np.exp(against.difference)) if against else 1.0,
                    "interval": tuple(np.exp(against.interval).tolist()) if against and against.interval else None,
                    "p": against.p if against else 1.0,
                    "solved": solved[row.key],
                    "verdict": row.verdict,
                }
            )
        return rows


# --- running ---------------------------------------------------------------------------------------------------


def require_raceable(rules: Sequence[Rule], functions: Sequence[Objective], over: Mapping[str, Any]) -> None:
    """UsageError with every rule and function that cannot take part, and for a range that no rule can take."""
    problems = list[str]()
    for rule in rules:
        if "function" in getattr(rule, "needs", ()):
            problems.append(f"--algo: {rule.name} follows one path at a time, so it cannot race")
        try:
            reject_matrix_rule(rule)
        except UsageError as error:
            problems.append(f"--algo: {error}")
    unknown = [label_of(function) for function in functions if not minima_inside(function)]
    problems += [f"--function: {name} has no known minimum" for name in unknown]
    names = Counter(rule.name for rule in rules)
    problems += [f"{name}: two optimizers have that name" for name, count in names.items() if count > 1]
    if problems:
        raise UsageError("\n".join(problems))
    tuning_space.require_tunable(over, rules)


def search_space(
    rules: Sequence[Rule], functions: Sequence[Objective], over: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The distribution of every hyperparameter that is tuned, over all functions, by rule, as a tree."""
    tuned = {rule.name: tuning_space.of_rule(rule, over) for rule in rules}
    return {name: tuning_space.searched(owners, over, functions) for name, owners in tuned.items()}


def space_notes(rules: Sequence[Rule], spaces: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Sentences about what is tuned: the hyperparameters that are not, and the search spaces."""
    notes = [
        note
        for rule in rules
        for note in tuning_space.untuned(rule.name, rule.original.name, vars(rule), spaces.get(rule.name, {}))
    ]
    return notes + tuning_space.search_notes({"": spaces})


def run(
    rules: Sequence[Rule],
    functions: Sequence[Objective],
    conditions: RaceConfig,
    progress: Callable[[int], None] = lambda done: None,
) -> Race:
    """Every tuning of what `require_raceable` accepts; `progress(done)` is called after each."""
    combinations = [(rule, f, i) for f in functions for rule in rules for i in range(conditions.repeats)]
    tunings = []
    for done, (rule, function, repeat) in enumerate(combinations, 1):
        tunings.append(tuned(rule, function, repeat, conditions))
        progress(done)
    names = [rule.name for rule in rules], [function.name for function in functions]
    return Race(conditions, *names, tunings, search_space(rules, functions, conditions.over))


def from_lines(
    conditions: RaceConfig,
    rules: Sequence[Rule],
    functions: Sequence[Objective],
    lines: Sequence[Mapping[str, Any]],
    search_space: Mapping[str, Mapping[str, Any]],
) -> Race:
    """The race whose tunings are the `lines` of tunings.jsonl. ValueError or TypeError where one is missing or odd."""
    tunings = [Tuning(**line) for line in lines]
    names = [rule.name for rule in rules], [function.name for function in functions]
    expected = [(rule, f, i) for f in names[1] for rule in names[0] for i in range(conditions.repeats)]
    if [(tuning.rule, tuning.function, tuning.repeat) for tuning in tunings] != expected:
        raise ValueError("expected a tuning of each optimizer on each function in each repeat")
    race = Race(conditions, *names, tunings, search_space)
    shapes = {(len(tuning.scores), len(tuning.costs)) for tuning in tunings}
    if shapes != {(conditions.budget, conditions.starts)} or not np.isfinite(race.best_of).all():
        raise ValueError(f"expected {conditions.budget} scores and {conditions.starts} costs of each")
    return race


# --- results ---------------------------------------------------------------------------------------------------


def document(race: Race, rules: Sequence[Rule], functions: Sequence[Objective]) -> dict[str, Any]:
    """The whole result, as the tree of `--json`."""
    expected = dict(zip(race.rules, race.best_of.tolist(), strict=True))
    over = race.conditions.over
    spaces = {f.name: tuning_space.space(f) | tuning_space.ranges(over) for f in functions}
    return {
        "conditions": {key: getattr(race.conditions, key) for key in CONDITIONS},
        "functions": race.functions,
        "rules": [
            {
                "name": rule.name,
                "tuned": list(tuning_space.of_rule(rule, over)),
                "uses": ["gradient", *extra_knowledge(rule)],
            }
            for rule in rules
        ],
        "search_space": {
            name: {key: {"distribution": type(draw).__name__, **asdict(draw)} for key, draw in draws.items()}
            for name, draws in spaces.items()
        },
        "standings": [row | {"cost_after_k_settings": expected[row["rule"]]} for row in race.standings],
        "tunings": [asdict(tuning) for tuning in race.tunings],
    }


def profile(costs: Floats, factors: Floats) -> Floats:
    """Fraction of the problems that a rule solves within `factor` times the best rule's cost, (rules, factors).

    The performance profile of Dolan & More 2002: its value at 1 is how often a rule is the fastest, at the right end
    how many problems it solves at all. It depends on who else takes part (Gould & Scott 2016). A cost of 0 counts as 1.
    """
    costs = np.maximum(costs, 1.0)
    best = costs.min(axis=0)
    ratios = np.divide(costs, best, out=np.full_like(costs, np.inf), where=np.isfinite(costs))
    return np.asarray((ratios[:, :, None] <= factors).mean(axis=1))


def expected_best(scores: Floats) -> Floats:
    """The mean score of the setting that tuning chooses among k of the n, over all choices of k: (..., n), k = 1..n.

    `scores` (..., n) stand in the order in which tuning prefers them: sum over i of s_i * C(n-i, k-1)/C(n, k) (Dodge
    et al. 2019, without replacement as Tang et al. 2020; there the averaged scores also decide).
    """
    n = scores.shape[-1]
    weights = [[comb(n - i, k - 1) / comb(n, k) for i in range(1, n + 1)] for k in range(1, n + 1)]
    return np.asarray(scores @ np.array(weights).T)


def results_of_race(race: Race) -> Results:
    """The rules of a race."""
    rows = {row["rule"]: row for row in race.standings}

    def measured(metric: str, at: At) -> Mapping[str, Measured]:
        facts = {name: row[metric] for name, row in rows.items()}
        return {name: Measured.of({0: Missing("") if fact is None else fact}) for name, fact in facts.items()}

    return Results(measured)
