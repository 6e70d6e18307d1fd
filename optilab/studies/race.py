"""A fair race: every rule is tuned with the same budget, then meets starts that it was not tuned on.

Per rule and function: `budget` settings drawn from `search_space` run from `starts` points of the function's box; the
best one then runs from as many new points. A problem is a function with a start. It is solved at the first step whose
f is within `accuracy` of the way from the start down to the minimum (More & Wild 2009); its cost is that step.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

from optilab import optimize
from optilab.errors import UsageError
from optilab.optimize.algorithms import Algorithm
from optilab.optimize.functions import Floats, TestFunction
from optilab.optimize.grid import explore
from optilab.optimize.landscape import lowest
from optilab.runs import write_atomic
from optilab.studies import search_space

UNSOLVED = 2
"""A problem that is not solved counts as this many times the steps allowed (as PAR2 of the SAT competitions)."""
DRAWS = 2000  # of the bootstrap


@dataclass(frozen=True)
class Rules:
    """What is the same for everybody."""

    budget: int = 50
    starts: int = 20
    steps: int = 200
    accuracy: float = 1e-3
    seed: int = 0


@dataclass(frozen=True)
class Heat:
    """One rule on one function."""

    algo: str
    function: str
    settings: dict[str, float]
    """The tuned fields of the best setting."""
    scores: list[float]
    """Mean cost over the tuning starts of every setting tried, in the order drawn; unsolved counted twice `steps`."""
    costs: list[int]
    """Steps to solve each new start with the best setting; -1 where it did not."""


@dataclass(frozen=True)
class Race:
    """All heats, and what they say."""

    rules: Rules
    algos: list[str]
    functions: list[str]
    heats: list[Heat]

    @property
    def costs(self) -> Floats:
        """Steps per rule and problem, (rules, functions * starts); infinite where not solved."""
        found = {(heat.algo, heat.function): heat.costs for heat in self.heats}
        rows = [[cost for f in self.functions for cost in found[a, f]] for a in self.algos]
        costs = np.array(rows, dtype=float)
        return np.where(costs < 0, np.inf, costs)

    @property
    def best_of(self) -> Floats:
        """Expected score of the best of k settings, (rules, budget), as a share of `steps`, mean over functions."""
        found = {(heat.algo, heat.function): expected_best(heat.scores) for heat in self.heats}
        rows = [np.mean([found[a, f] for f in self.functions], axis=0) for a in self.algos]
        return np.array(rows) / self.rules.steps


# --- running ---------------------------------------------------------------------------------------------------


def run(
    algos: dict[str, Algorithm],
    functions: dict[str, TestFunction],
    rules: Rules,
    cache: Path | None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Race:
    """Every heat, from the cache where it is there; an interrupted race goes on where it was.

    `told(done, total)` is called after every heat. UsageError for a function without a known minimum.
    """
    for name, function in functions.items():
        if not function.minima:
            raise UsageError(f"{name} has no known minimum: no race can say who reached it")
    pairs = [(a, f) for a in algos for f in functions]
    heats = []
    for done, (a, f) in enumerate(pairs, 1):
        heats.append(_cached(cache, a, algos[a], f, functions[f], rules))
        told(done, len(pairs))
    return Race(rules, list(algos), list(functions), heats)


def _cached(cache: Path | None, a: str, rule: Algorithm, f: str, function: TestFunction, rules: Rules) -> Heat:
    if cache is None:
        return heat(a, rule, f, function, rules)
    path = cache / f"{_address(rule, function, rules)}.json"
    try:
        return replace(Heat(**json.loads(path.read_bytes())), algo=a, function=f)
    except (OSError, ValueError, TypeError):  # not there, or not whole
        found = heat(a, rule, f, function, rules)
        cache.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(asdict(found)).encode())
        return found


def _address(rule: Algorithm, function: TestFunction, rules: Rules) -> str:
    """Of everything that the numbers depend on: settings, the code of `optimize` and of races, NumPy."""
    said = [repr(rule), repr(function), repr(rules), repr(sorted(search_space.SPACE.items())), np.__version__]
    code = sorted([*Path(optimize.__file__).parent.rglob("*.py"), *Path(__file__).parent.glob("[rs]*.py")])
    digest = hashlib.sha256("\n".join(said).encode())
    for path in code:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def heat(a: str, rule: Algorithm, f: str, function: TestFunction, rules: Rules) -> Heat:
    """Tune on one half of the starts, measure on the other."""
    # The starts depend on the function only, and the settings on the rule only: all meet the same conditions.
    low, high = np.array(function.box, dtype=float).T
    starts = _generator(rules.seed, f).uniform(low, high, (2, rules.starts, 1, len(low)))
    tried = search_space.draw(rule, rules.budget, _generator(rules.seed, a))
    costs, ends = _solve(rule, function, starts[0], tried, rules)
    scores = np.where(costs < 0, UNSOLVED * rules.steps, costs).mean(axis=0)
    # Where nothing is solved, or as much, the setting that came nearer is better.
    best = int(np.lexsort((ends.mean(axis=0), scores))[0])
    chosen = {name: float(values[best]) for name, values in tried.items()}
    costs, _ = _solve(
        rule, function, starts[1], {name: np.array([value]) for name, value in chosen.items()}, rules
    )
    scores = np.broadcast_to(scores, rules.budget)  # a rule without anything to tune has one score
    return Heat(a, f, chosen, scores.tolist(), costs[:, 0].tolist())


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, *hashlib.sha256(name.encode()).digest()[:8]])


def _solve(
    rule: Algorithm, function: TestFunction, starts: Floats, settings: dict[str, Floats], rules: Rules
) -> tuple[Any, Floats]:
    """Steps to solve (-1: not) and how much of the way is left at the end, log10, both (starts, settings)."""
    floor = lowest(function)
    assert floor is not None
    before = function.value(starts)
    limits = floor + rules.accuracy * (before - floor)
    shaped = {name: values[None, :] for name, values in settings.items()}
    ends = explore(rule, function, starts, rules.steps, shaped, watch="value", limits=limits, workers=1)
    with np.errstate(all="ignore"):
        left = np.log10(np.clip((ends.values - floor) / (before - floor), 1e-16, 1e16))
    return ends.first_below, np.where(np.isfinite(left), left, 16.0)


# --- what the costs say ----------------------------------------------------------------------------------------


def profile(costs: Floats, factors: Floats) -> Floats:
    """Share of the problems that a rule solves within `factor` times the best rule's cost, (rules, factors).

    The performance profile of Dolan & More 2002: at 1 it says how often a rule is the fastest, at the right end how
    many problems it solves at all. A cost of 0 counts as 1.
    """
    costs = np.maximum(costs, 1.0)
    best = costs.min(axis=0)
    ratios = np.divide(costs, best, out=np.full_like(costs, np.inf), where=np.isfinite(costs))
    return np.asarray((ratios[:, :, None] <= factors).mean(axis=1))


def expected_best(scores: Sequence[float]) -> Floats:
    """The mean, over all choices of k of the n scores, of the lowest of them, k = 1..n.

    sum over i of s_(i) * C(n-i, k-1)/C(n, k), s_(i) ascending (Dodge et al. 2019, drawn without replacement).
    """
    ordered, n = np.sort(scores), len(scores)
    weights = [[comb(n - i, k - 1) / comb(n, k) for i in range(1, n + 1)] for k in range(1, n + 1)]
    return np.asarray(np.array(weights) @ ordered)


def ranks(costs: Floats) -> Floats:
    """Rank of each rule on each problem, 1 is the fastest; equals share the mean of their ranks."""
    cheaper = (costs[None, :, :] < costs[:, None, :]).sum(axis=1)
    equal = (costs[None, :, :] == costs[:, None, :]).sum(axis=1)
    return np.asarray(cheaper + (equal + 1) / 2)


@dataclass(frozen=True)
class Standing:
    """One line of the result; intervals hold with 95 %."""

    algo: str
    rank: float
    rank_interval: tuple[float, float]
    solved: float
    """Share of the problems."""
    solved_interval: tuple[float, float]
    against_first: str
    """first, slower, or cannot tell: whether the interval of the difference in rank leaves out zero."""


def standings(race: Race) -> list[Standing]:
    """Best mean rank first. Intervals by a bootstrap over functions, and over starts within each of them."""
    costs = race.costs
    shape = (len(race.algos), len(race.functions), race.rules.starts)
    rank, solved = ranks(costs).reshape(shape), np.isfinite(costs).reshape(shape)
    generator = np.random.default_rng(race.rules.seed)
    functions = generator.integers(0, shape[1], (DRAWS, shape[1], 1))
    starts = generator.integers(0, shape[2], (DRAWS, *shape[1:]))
    rank_draws = rank[:, functions, starts].mean(axis=(2, 3))  # (rules, DRAWS)
    solved_draws = solved[:, functions, starts].mean(axis=(2, 3))
    means = rank.mean(axis=(1, 2))
    order = np.argsort(means, kind="stable")
    first = order[0]
    found = []
    for i in order:
        low, _ = _interval(rank_draws[i] - rank_draws[first])
        against = "first" if i == first else "slower" if low > 0 else "cannot tell"
        found.append(
            Standing(
                race.algos[i],
                float(means[i]),
                _interval(rank_draws[i]),
                float(solved[i].mean()),
                _interval(solved_draws[i]),
                against,
            )
        )
    return found


def _interval(draws: Floats) -> tuple[float, float]:
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(low), float(high)
