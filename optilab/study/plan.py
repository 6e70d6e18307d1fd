"""A study as a generator of batches: it yields trials, is sent what came out of them, and ends.

    plan = halving(trials, eta=3, metric="val_acc")
    execute(plan, run, study)      runs it, or what is missing of it
    forecast(plan, study)          what that takes: the same generator, sent the worst outcome for what is not known

A plan is deterministic: the same outcomes give the same batches. So a study that was stopped is continued by replaying
its plan, with the runs that are there in place of trainings.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

from optilab import runs
from optilab.config.claims import Claim
from optilab.config.section import to_yaml
from optilab.config.tree import flow
from optilab.runs.metrics import ROW, metric_of
from optilab.study.groups import STAGE
from optilab.study.trials import Outcome, Trial, known

GENERATION = 8
"""Points of a search that are chosen without the outcomes of each other; the first ones are drawn at random."""


@dataclass(frozen=True)
class Batch:
    """Trials that do not depend on the outcomes of each other."""

    trials: Sequence[Trial]
    until: int | None = None
    """The epoch up to which they are trained; None: each to its last one."""


Outcomes = Mapping[str, Outcome]
"""By the name of the trial; after a batch with `until`, those of that epoch."""
Plan = Generator[Batch, Outcomes, None]


# --- plans -------------------------------------------------------------------------------------------------


def grid(trials: Sequence[Trial]) -> Plan:
    """All trials, whatever comes out."""
    yield Batch(trials)


def halving(trials: Sequence[Trial], eta: int, metric: str) -> Plan:
    """Successive halving (Jamieson & Talwalkar 2016): all points to the first rung, the best 1/eta of them further.

    The paper halves; eta is that of Hyperband (Li et al. 2018). A promoted trial resumes from its checkpoint, so its
    metrics are those of a trial that ran through. The seeds of a point go on together; points are ranked by the mean
    of a metric over their seeds at the rung's epoch, with diverged seeds as the worst, and the first of equals.
    """
    alive = _by_point(trials)
    steps = rungs(len(alive), trials[0].config.epochs, eta)
    for (_, epochs), (survivors, _) in pairwise(steps):
        outcomes = yield Batch([trial for point in alive for trial in point], epochs)
        scores = [_score(point, outcomes, metric) for point in alive]
        best = sorted(range(len(alive)), key=lambda number: (-scores[number], number))[:survivors]
        alive = [alive[number] for number in sorted(best)]
    yield Batch([trial for point in alive for trial in point], steps[-1][1])


def tpe(
    ask: Callable[[int], Sequence[Trial]], tell: Callable[[int, Sequence[Outcome]], None], samples: int
) -> Plan:
    """A search: `ask` gives the trials of the point of a number, `tell` takes their outcomes.

    Points are asked for in generations of a fixed size, and a generation is told when all of it has ended: the same
    seed gives the same study with any number of jobs.
    """
    for first in range(0, samples, GENERATION):
        points = {number: ask(number) for number in range(first, min(first + GENERATION, samples))}
        once = {
            trial.name: trial for point in points.values() for trial in point
        }  # a point may be asked for twice
        outcomes = yield Batch([*once.values()])
        for number, point in points.items():
            tell(number, [outcomes[trial.name] for trial in point])


SPAN = 20_000
"""Seeds of a repeat: the first half for choosing settings, the second for judging them."""


def final_seeds(first: int, seeds: int, repeat: int = 0) -> range:
    """The new seeds of a repeat, after those that settings were chosen by; `first` is the seed of the training."""
    start = first + repeat * SPAN + SPAN // 2
    return range(start, start + seeds)


def best_settings(outcomes: Outcomes, count: int, metric: str) -> list[Mapping[str, Any]]:
    """The best `count` of the settings that ran through, in the order of the plan.

    The mean of the best of many settings is too high on the seeds that it is the best of; on new ones it is not.
    """
    through = _by_point([outcome.trial for outcome in outcomes.values() if outcome.status != "stopped"])
    scores = [_score(point, outcomes, metric) for point in through]
    return [through[number][0].settings for number in sorted(ranked(scores)[:count])]


def ranked(scores: Sequence[float]) -> list[int]:
    """The places of those that have a score, the highest first and the first of equals."""
    able = [number for number, score in enumerate(scores) if score > -inf]
    return sorted(able, key=lambda number: (-scores[number], number))


def again(trial: Trial, seeds: Iterable[int], stage: str, label: str = "") -> list[Trial]:
    """A trial from other seeds."""
    settings, label = {**trial.settings, STAGE: stage}, label or trial.label
    return [Trial(label, trial.config.model_copy(update={"seed": seed}), settings) for seed in seeds]


def rungs(points: int, epochs: int, eta: int) -> list[tuple[int, int]]:
    """(points, epochs) of each rung, the last one with all `epochs`; no rung is shorter than an epoch."""
    count = min(int(math.log(points, eta) + 1e-9), int(math.log(epochs, eta) + 1e-9))
    return [(max(1, points // eta**rung), math.ceil(epochs / eta ** (count - rung))) for rung in range(count + 1)]


def _by_point(trials: Sequence[Trial]) -> list[list[Trial]]:
    """The trials by their settings, so that those of a group differ in nothing but the seed, in order."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(flow(trial.settings), []).append(trial)
    return list(found.values())


def _score(point: Sequence[Trial], outcomes: Outcomes, metric: str) -> float:
    """Mean of the metric over the seeds, higher for better; a seed that diverged or failed makes it the worst."""
    ended = [outcomes[trial.name] for trial in point]
    if any(outcome.status in ("failed", "diverged") for outcome in ended):
        return -inf
    return fmean(outcome.row[metric] for outcome in ended) * metric_of(metric).sign


# --- what runs them ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StudyPlan(ABC):
    """What a command asks of a study: its plan, and what is recorded and said of it."""

    asked: Any
    """What study.yaml keeps: a `Section`, with its trainings resolved."""
    trials: tuple[Trial, ...]
    """Those that depend on no outcome; they need the data and the devices that all need."""
    command: str = field(default="", kw_only=True)
    """The one that makes the study."""
    unit: ClassVar[str] = "seeds"
    """What a claim with a confidence generalizes over."""

    @property
    @abstractmethod
    def shape(self) -> str:
        """What the trials are, in words: `9 values of optimizer.lr x 3 seeds`."""

    @property
    def notes(self) -> Sequence[str]:
        """What a dry run says besides the cost."""
        return ()

    @property
    @abstractmethod
    def labels(self) -> Sequence[str] | None:
        """What a claim can name as its own; None where that follows from outcomes."""

    def changed(self, before: Mapping[str, Any]) -> list[str]:
        """`key: old -> new` of what cannot change since a study was started with the study.yaml `before`, although no
        trial that depends on no outcome shows it."""
        return []

    @abstractmethod
    def plan(self, study: Path, dry: bool = False) -> Plan:
        """A new generator, for the study of that directory; with `dry`, nothing is written."""

    @property
    def count(self) -> int:
        """Number of trials in the manifest."""
        return len(self.trials)

    @property
    def seeds(self) -> int:
        """For each setting."""
        return int(self.asked.seeds)

    def confirmation(self, study: Path, outcomes: Outcomes) -> "StudyPlan | None":
        """What trains the best of these outcomes again, inside the study of that directory."""
        return None

    def forecast(self, study: Path) -> "Forecast":
        """What it still trains of the study of that directory, and of its confirmation."""
        first = forecast(self.plan(study, dry=True), study)
        if (again := self.confirmation(study, first.outcomes)) is None:
            return first
        more = again.forecast(study / runs.CONFIRMED)
        trials, missing = [*first.trials, *more.trials], [*first.missing, *more.missing]
        return Forecast(trials, missing, first.epochs + more.epochs, first.outcomes)

    @property
    def keep(self) -> str:
        """Checkpoints that remain of a trial that has ended; the last one where none were chosen."""
        return str(getattr(self.asked, "keep", "last"))

    @property
    def metric(self) -> str:
        """What the best trial so far is the best by."""
        return str(getattr(self.asked, "metric", "val_acc"))

    @property
    def claims(self) -> Sequence[Claim]:
        """What is expected of the result."""
        return tuple(self.asked.expect)

    @property
    def sample(self) -> int:
        """Number of trainings, or repeats, whose mean a claim with a confidence is about."""
        return self.seeds

    def study(self) -> bytes:
        """study.yaml."""
        return to_yaml(self.asked)


def execute(
    plan: Plan, run: Callable[[Batch], Outcomes], study: Path, ending: Callable[[], bool] = lambda: False
) -> tuple[list[Trial], dict[str, Outcome]]:
    """Run a plan to its end, or until `ending()` is true after a batch.

    `run` gives the outcomes of a batch; of a study that is continued, it trains only what is missing. Returns the
    trials in the order of the plan, each once, and the outcomes of those that have ended.
    """
    trials, outcomes = dict[str, Trial](), dict[str, Outcome]()
    try:
        batch = next(plan)
        while True:
            trials |= {trial.name: trial for trial in batch.trials}
            outcomes |= run(batch)
            if ending():
                break
            batch = plan.send({name: outcome.at(batch.until, study) for name, outcome in outcomes.items()})
    except StopIteration:
        pass
    return list(trials.values()), outcomes


def _worst(trial: Trial, until: int | None) -> Outcome:
    """The worst possible outcome, assumed for a trial that has not run."""
    worst = {key: 0.0 if metric_of(key).higher_is_better else 1e300 for key in ROW}
    status = "done" if until in (None, trial.config.epochs) else "stopped"
    return Outcome(trial, {**trial.settings, "status": status, **worst})


@dataclass(frozen=True)
class Forecast:
    """The trials of a study as far as they are known before it runs."""

    trials: list[Trial]
    missing: list[Trial]
    epochs: int
    """Of all trials together."""
    outcomes: Outcomes


def forecast(plan: Plan, study: Path) -> Forecast:
    """What a plan still trains of the study of that directory: trials without an outcome are taken for the worst."""
    missing, reached = dict[str, Trial](), dict[str, int]()

    def run(batch: Batch) -> Outcomes:
        ended = known(study, batch.trials, batch.until)
        for trial in batch.trials:
            until = trial.config.epochs if batch.until is None else batch.until
            reached[trial.name] = max(until, reached.get(trial.name, 0))
            if trial.name not in ended:
                missing[trial.name] = trial
        return {trial.name: ended.get(trial.name) or _worst(trial, batch.until) for trial in batch.trials}

    trials, outcomes = execute(plan, run, study)
    return Forecast(trials, list(missing.values()), sum(reached.values()), outcomes)
