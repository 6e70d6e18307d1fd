"""`optilab remedy`: every remedy on one network, from the same seeds, in one table of results."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from optilab import runs
from optilab.config.load import Override, load
from optilab.config.schema.train import TrainConfig
from optilab.errors import ConfigError, DataError
from optilab.studies.diagnose import of_run
from optilab.studies.remedies import BASE, Remedy
from optilab.studies.trials import Outcome, Trial


@dataclass(frozen=True)
class Plan:
    """One remedy on one config: a trial per seed, or why the change does not fit the network."""

    remedy: Remedy | None  # None: the config as it is
    trials: tuple[Trial, ...]
    misfit: str = ""

    @property
    def name(self) -> str:
        return self.remedy.name if self.remedy else "as it is"


def plan(config: str, changes: Sequence[Override], chosen: Sequence[Remedy], seeds: int) -> list[Plan]:
    """The config as it is, then each remedy, from the same seeds: seed, seed + 1, ... of the config.

    Each trial runs on one thread of the CPU, so that several at once give the bits that one alone gives; or on the
    device that the config names.
    """
    base = load(TrainConfig, config, changes)
    plans = [Plan(None, _trials("as-it-is", base, seeds))]
    for remedy in chosen:
        try:
            changed = load(TrainConfig, config, [*remedy.overrides, *changes])
        except ConfigError as error:
            plans.append(Plan(remedy, (), error.problems[0].message))
        else:
            plans.append(Plan(remedy, _trials(remedy.name, changed, seeds)))
    return plans


def _trials(name: str, config: TrainConfig, seeds: int) -> tuple[Trial, ...]:
    reference = load(TrainConfig, BASE).epochs
    stages = tuple(
        stage.model_copy(update={"epochs": max(1, round(stage.epochs * config.epochs / reference))})
        if stage.epochs
        else stage  # the last one goes on to the end
        for stage in config.stages
    )
    device = "cpu" if config.device == "auto" else config.device
    fixed = {"threads": 1, "device": device, "name": name, "stages": stages}
    return tuple(
        Trial(f"{name}-{seed}", config.model_copy(update={**fixed, "seed": seed}))
        for seed in range(config.seed, config.seed + seeds)
    )


@dataclass(frozen=True)
class Result:
    """The outcome of a remedy over the seeds: validation accuracy at the best epoch, gradient ratio, time."""

    plan: Plan
    accuracies: tuple[float, ...]
    ratio: float | None  # |g1|/|gL| over the run, the median of the seeds
    seconds: float
    state: str

    @property
    def accuracy(self) -> float | None:
        return fmean(self.accuracies) if self.accuracies else None

    @property
    def spread(self) -> float | None:
        """Sample standard deviation over the seeds."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else None


def results(plans: Sequence[Plan], outcomes: Sequence[Outcome]) -> list[Result]:
    """One result per plan, in their order."""
    by_trial = {outcome.trial.name: outcome for outcome in outcomes}
    return [_result(plan, [by_trial[t.name] for t in plan.trials if t.name in by_trial]) for plan in plans]


def _result(plan: Plan, outcomes: Sequence[Outcome]) -> Result:
    accuracies, ratios, seconds = [], [], 0.0
    states = {outcome.state for outcome in outcomes} or {"does not fit" if plan.misfit else "not run"}
    for outcome in outcomes:
        if outcome.failed:
            continue
        record = runs.read(outcome.path)
        try:
            evidence, timings = of_run(record), runs.read_timings(record.path / "timings.csv")
        except DataError as error:
            states |= {str(error)}
            continue
        if evidence.rows:
            accuracies.append(runs.best(evidence.rows)["val_acc"])
        if (ratio := evidence.gradient_ratio()) is not None:
            ratios.append(ratio)
        seconds += sum(row["seconds"] for row in timings)
    return Result(plan, tuple(accuracies), median(ratios) if ratios else None, seconds, ", ".join(sorted(states)))


def smallest_fix(results: Sequence[Result]) -> Result | None:
    """The remedy that changes the fewest settings, then the most accurate, among those within a tenth of the best.

    None where no remedy does much better than the config as it is, or where that one has no result to compare with.
    """
    accuracy = {result.plan.name: result.accuracy for result in results if result.accuracy is not None}
    base = next(result for result in results if result.plan.remedy is None)
    if not accuracy or (base.accuracy is None and base.state != "diverged"):
        return None
    best = max(accuracy.values())
    fixes = [
        (r.plan.remedy.size, -accuracy[r.plan.name], r)
        for r in results
        if r.plan.remedy and accuracy.get(r.plan.name, 0.0) >= 0.9 * best > 0.0
    ]
    if best < 1.5 * (base.accuracy or 0.0) or not fixes:
        return None
    return min(fixes, key=lambda fix: fix[:2])[2]
