"""A plan: a generator that yields batches of trials, is sent what came out of them, and ends.

    plan = halving(trials, eta=3, metric="val_acc")
    follow(plan, known, train)     runs it, or what is missing of it
    forecast(plan, known)          what that takes: the same plan, sent the worst outcome for what is not known

A plan is deterministic: the same outcomes give the same batches. So a study that was stopped is continued by replaying
its plan, with the runs that are there in place of trainings.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from statistics import fmean
from typing import Any, TypeAlias

from optilab.proposals import flow
from optilab.runs import Row
from optilab.runs.metrics import EPOCH_METRICS, TESTED, metric_of
from optilab.study.trials import Outcome, Trial


@dataclass(frozen=True)
class Batch:
    """Trials that do not depend on the outcomes of each other."""

    trials: Sequence[Trial]
    until: int | None = None
    """The epoch up to which they are trained; None: each to its last one."""


Outcomes: TypeAlias = Mapping[str, Outcome]
"""Outcomes by the name of the trial."""
Plan: TypeAlias = Generator[Batch, Outcomes, None]


def follow(
    plan: Plan, known: Callable[[Batch], Outcomes], train: Callable[[Batch, Outcomes], Outcomes]
) -> dict[str, Outcome]:
    """Run a plan to its end, or until a trial of a batch has no outcome. The outcomes are in the order of the plan.

    `known` gives those of a batch that need no training, `train` trains the others and gives theirs.
    """
    outcomes = dict[str, Outcome]()
    with suppress(StopIteration):
        batch = next(plan)
        while True:
            ended = known(batch)
            ended = {**ended, **train(batch, ended)}
            outcomes |= {trial.name: ended[trial.name] for trial in batch.trials if trial.name in ended}
            if any(trial.name not in ended for trial in batch.trials):
                break
            batch = plan.send(outcomes)
    return outcomes


@dataclass(frozen=True)
class Forecast:
    """The trials of a study as far as they are known before it runs."""

    trials: Sequence[Trial]
    missing: Sequence[Trial]
    epochs: int
    """The sum over all trials."""
    outcomes: Outcomes
    """The known outcomes, and the worst ones for the other trials."""


def forecast(plan: Plan, known: Callable[[Batch], Outcomes]) -> Forecast:
    """All trials of a plan, and which are missing; a trial without an outcome gets the worst one."""
    missing, epochs = dict[str, Trial](), dict[str, int]()

    def train(batch: Batch, ended: Outcomes) -> Outcomes:
        for trial in batch.trials:
            epochs[trial.name] = max(batch.until or trial.config.epochs, epochs.get(trial.name, 0))
        lacking = {trial.name: trial for trial in batch.trials if trial.name not in ended}
        missing.update(lacking)
        return {name: _worst(trial, batch.until) for name, trial in lacking.items()}

    outcomes = follow(plan, known, train)
    trials = [outcome.trial for outcome in outcomes.values()]
    return Forecast(trials, [*missing.values()], sum(epochs.values()), outcomes)


def _worst(trial: Trial, until: int | None) -> Outcome:
    worst = {key: 0.0 if metric_of(key).higher_is_better else 1e300 for key in (*EPOCH_METRICS, *TESTED)}
    status = "done" if until in (None, trial.config.epochs) else "stopped"
    return Outcome(trial, {**trial.settings, "status": status, **worst})


# --- plans -------------------------------------------------------------------------------------------------


def grid(trials: Sequence[Trial]) -> Plan:
    """A plan that trains all trials, whatever their outcomes."""
    yield Batch(trials)


def halving(trials: Sequence[Trial], eta: int, metric: str) -> Plan:
    """Successive halving (Jamieson & Talwalkar 2016): all points to the first rung, the best 1/eta of them further.

    The paper halves; eta is that of Hyperband (Li et al. 2018). A promoted trial resumes from its checkpoint, so its
    metrics are those of a trial that ran through. The seeds of a point go on together; points are ranked by the mean
    of a metric over their seeds at the rung's epoch, with diverged seeds as the worst; on a tie, the first wins.
    """
    alive = _by_point(trials)
    steps = rungs(len(alive), trials[0].config.epochs, eta)
    for (_, epochs), (survivors, _) in pairwise(steps):
        outcomes = yield Batch([trial for point in alive for trial in point], epochs)
        scores = [mean_score([outcomes[trial.name].at(epochs) for trial in point], metric) for point in alive]
        best = sorted(range(len(alive)), key=lambda number: (-scores[number], number))[:survivors]
        alive = [alive[number] for number in sorted(best)]
    yield Batch([trial for point in alive for trial in point], steps[-1][1])


def rungs(points: int, epochs: int, eta: int) -> list[tuple[int, int]]:
    """(points, epochs) of each rung, the last one with all `epochs`; no rung is shorter than an epoch."""
    count = min(int(math.log(points, eta) + 1e-9), int(math.log(epochs, eta) + 1e-9))
    return [(max(1, points // eta**rung), math.ceil(epochs / eta ** (count - rung))) for rung in range(count + 1)]


# --- the best settings, again from new seeds ---------------------------------------------------------------

SEEDS_PER_REPEAT = 20_000
"""Seeds of a repeat: the first half for choosing settings, the second for evaluating them."""


def final_seeds(first: int, seeds: int) -> range:
    """The new seeds of a repeat, after those that settings were chosen by; `first` is its first seed."""
    start = first + SEEDS_PER_REPEAT // 2
    return range(start, start + seeds)


def best_settings(outcomes: Outcomes, count: int, metric: str) -> list[Mapping[str, Any]]:
    """The best `count` of the settings that ran through, in the order of the plan.

    The mean of the best of many settings is too high on the seeds that it is the best of; on new ones it is not.
    """
    through = _by_point([outcome.trial for outcome in outcomes.values() if outcome.status != "stopped"])
    scores = [mean_score([outcomes[trial.name].row for trial in point], metric) for point in through]
    return [through[number][0].settings for number in sorted(ranked(scores)[:count])]


def ranked(scores: Sequence[float]) -> list[int]:
    """The indices of those that have a score, the highest first; ties keep their order."""
    able = [number for number, score in enumerate(scores) if score > -inf]
    return sorted(able, key=lambda number: (-scores[number], number))


def mean_score(rows: Sequence[Row], metric: str) -> float:
    """Mean of the metric over seeds, higher for better; a seed that diverged or failed makes it the worst."""
    if any(row["status"] in ("failed", "diverged") for row in rows):
        return -inf
    return fmean(row[metric] for row in rows) * metric_of(metric).sign


def _by_point(trials: Sequence[Trial]) -> list[list[Trial]]:
    """The trials by their settings, so that those of a group differ in nothing but the seed, in order."""
    points: dict[str, list[Trial]] = {}
    for trial in trials:
        points.setdefault(flow(trial.settings), []).append(trial)
    return list(points.values())
