"""`optilab remedy`: every remedy on one network, from the same seeds, in one table of results."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, median, stdev

from optilab import runs
from optilab.config.claims import BEST, Claim
from optilab.config.load import load
from optilab.config.section import dump, to_yaml
from optilab.config.study import RaceConfig, RemedyConfig
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.diagnose import of_run
from optilab.diagnose.remedies import BASE, Remedy, chosen, pairs
from optilab.errors import ConfigError, UsageError
from optilab.study.groups import Group
from optilab.study.judge import Row, judge
from optilab.study.measure import Measure, values_of
from optilab.study.network_race import REMEDIES, Entrant, NetworkRace
from optilab.study.plan import Plan, StudyPlan, grid
from optilab.study.trials import (
    Outcome,
    Trial,
    as_trial,
)
from optilab.words import plural

AS_IT_IS = "as it is"


@dataclass(frozen=True)
class RemedyTrials:
    """One remedy on one config: a trial per seed, or why the change does not fit the network."""

    remedy: Remedy | None  # None: the config as it is
    trials: tuple[Trial, ...]
    misfit: str = ""

    @property
    def name(self) -> str:
        return self.remedy.name if self.remedy else AS_IT_IS

    @property
    def sets(self) -> str:
        """What it changes: `model.norm=batch  optimizer.lr=0.1`."""
        return "  ".join(self.remedy.sets) if self.remedy else ""


@dataclass(frozen=True)
class Remedies(StudyPlan):
    """What is trained: the config as it is, then each remedy, from the same seeds: seed, seed + 1, ... of the config.

    Each trial runs on one thread of the CPU, so that several at once give the bits that one alone gives; or on the
    device that the config names.
    """

    asked: RemedyConfig
    tried: tuple[RemedyTrials, ...]

    @property
    def shape(self) -> str:
        networks = sum(bool(one.trials) for one in self.tried)
        return f"{plural(networks, 'network')} x {plural(self.asked.seeds, 'seed')}"

    @property
    def labels(self) -> list[str]:
        return [*(one.name for one in self.tried if one.trials), BEST]

    def plan(self, study: Path, dry: bool = False) -> Plan:
        return grid(self.trials)


@dataclass(frozen=True)
class TunedRemedies(NetworkRace):
    """A race between remedies, each with its own learning rates, and the config as it is."""

    remedies: RemedyConfig = field(kw_only=True)

    @property
    def claims(self) -> Sequence[Claim]:
        return self.remedies.expect

    def study(self) -> bytes:
        return to_yaml(self.remedies)


def plan(asked: RemedyConfig) -> Remedies | TunedRemedies:
    """The trials of resolved remedies: each as it is, or with `tune` as a race between them. UsageError without one."""
    if asked.tune is not None:
        return tuned(asked)
    plans = tried(asked)
    if not any(one.remedy and one.trials for one in plans):
        misfits: dict[str, list[str]] = {}
        for one in plans[1:]:
            misfits.setdefault(one.misfit, []).append(one.name)
        reasons = "; ".join(f"{', '.join(names)}: {misfit}" for misfit, names in misfits.items())
        raise UsageError(f"no remedy is left to compare with: {reasons}")
    trials = tuple(trial for one in plans for trial in one.trials)
    return Remedies(asked, trials, tuple(plans), command="remedy")


def tried(asked: RemedyConfig) -> list[RemedyTrials]:
    """The config as it is, then each remedy."""
    config = asked.config if isinstance(asked.config, str) else dump(asked.config)
    changes = [Override(f"--set {key}", key, value) for key, value in asked.set.items()]
    base = load(TrainConfig, config, changes)
    plans = [RemedyTrials(None, _trials(AS_IT_IS, base, asked.seeds))]
    single = chosen(asked.only)
    if asked.tune is not None:  # a rate is no remedy where each has its own
        single = [remedy for remedy in single if remedy.changes.keys() != {"optimizer.lr"}]
    if asked.pairs and len(single) == 1:
        raise UsageError(f"expected at least two remedies, got {single[0].name}", "--pairs")
    for remedy in [*single, *(pairs(single) if asked.pairs else [])]:
        try:
            changed = load(TrainConfig, config, [*changes, *remedy.overrides])
        except ConfigError as error:
            plans.append(RemedyTrials(remedy, (), error.problems[0].message))
        else:
            same = changed == base
            trials = () if same else _trials(remedy.name, changed, asked.seeds)
            plans.append(RemedyTrials(remedy, trials, "the network has it already" if same else ""))
    return plans


def tuned(asked: RemedyConfig) -> TunedRemedies:
    """Each remedy, and the network as it is, with `asked.tune` learning rates, as a race between them.

    A remedy that changes nothing but the learning rate takes no part. UsageError if none does.
    """
    plans = [p for p in tried(asked.model_copy(update={"seeds": 1})) if p.trials]
    configs = {p.name: p.trials[0].config for p in plans if hasattr(p.trials[0].config.optimizer, "lr")}
    if len(configs) < 2:
        reason = "no remedy is left that fits the network and changes more than the learning rate"
        raise UsageError(reason, "--tune")
    assert asked.tune is not None
    base = next(iter(configs.values()))
    problem = asked.config.name if isinstance(asked.config, TrainConfig) else base.name
    race = RaceConfig(
        on=[base],
        algos=list(configs),
        budget=asked.tune,
        seeds=asked.seeds,
        repeats=asked.repeats,
        holdout=asked.holdout,
        finalists=asked.finalists,
        seed=asked.seed,
    )
    candidates = [
        Entrant(
            race,
            problem,
            name,
            name,
            {"remedy": name},
            config.model_copy(update={"data": config.data.holding_out(asked.holdout)}),
            {"lr": config.optimizer},
            lambda settings: {"optimizer.lr": settings["lr"]},
            "--tune",
        )
        for name, config in configs.items()
    ]
    return TunedRemedies.of(race, candidates, kinds=REMEDIES, remedies=asked, command="remedy")


def resolve(asked: RemedyConfig, changes: Sequence[Override] = ()) -> RemedyConfig:
    """`asked` with its training as keys, so that its study.yaml depends on no other file, and what is set in all."""
    config = asked.config if isinstance(asked.config, str) else dump(asked.config)
    load(TrainConfig, config, changes)  # refused as they were typed
    settings = {**asked.set, **{change.key: change.value for change in changes}}
    return asked.model_copy(update={"set": settings, "config": load(TrainConfig, config)})


def _trials(name: str, config: TrainConfig, seeds: int) -> tuple[Trial, ...]:
    reference = load(TrainConfig, BASE).epochs
    stages = tuple(
        stage.model_copy(update={"epochs": max(1, round(stage.epochs * config.epochs / reference))})
        if stage.epochs
        else stage  # the last one goes on to the end
        for stage in config.stages
    )
    label = name.replace(" ", "-")
    return tuple(
        Trial(label, as_trial(config, name=label, stages=stages, seed=seed), {"remedy": name})
        for seed in range(config.seed, config.seed + seeds)
    )


MEASURE = Measure("val_acc", at="best")


@dataclass(frozen=True)
class Result:
    """What came out of one remedy."""

    plan: RemedyTrials
    accuracies: tuple[float, ...]
    """At the best epoch, by seed; of a training that diverged the chance level."""
    row: Row[str] | None
    """Against the config as it is; None without an accuracy, or where that one has none."""
    ratio: float | None
    """|g1|/|gL| over the run, the median of the seeds."""
    seconds: float
    state: str

    @property
    def accuracy(self) -> float | None:
        return fmean(self.accuracies) if self.accuracies else None

    @property
    def spread(self) -> float | None:
        """Sample standard deviation over the seeds."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else None

    @property
    def verdict(self) -> str:
        """better, worse or cannot tell; empty for the config as it is, and of one seed."""
        return self.row.verdict if self.row and self.row.difference and len(self.accuracies) > 1 else ""


def results(plans: Sequence[RemedyTrials], outcomes: Sequence[Outcome], study: Path) -> list[Result]:
    """One result per plan, in their order. DataError for a damaged run."""
    ended = {outcome.trial.name: outcome for outcome in outcomes}
    groups, found = list[Group](), list[Result]()
    for plan in plans:
        own = [ended[trial.name] for trial in plan.trials if trial.name in ended]
        records = {o.trial.config.seed: runs.read(study / o.trial.name) for o in own if not o.failed}
        ratios = [ratio for r in records.values() if (ratio := of_run(r).gradient_ratio()) is not None]
        timings = [row for r in records.values() for row in runs.read_timings(r.path / "timings.csv")]
        states = {o.status for o in own} or {"does not fit" if plan.misfit else "not run"}
        groups.append(Group(plan.name, {}, records))
        seconds = sum(row["seconds"] for row in timings)
        ratio = median(ratios) if ratios else None
        found.append(Result(plan, (), None, ratio, seconds, ", ".join(sorted(states))))
    measured = {
        group.label: values
        for group, values in zip(groups, values_of(groups, MEASURE), strict=True)
        if values.values
    }
    rows = dict[str, Row[str]]()
    if AS_IT_IS in measured:
        values = {name: own.values for name, own in measured.items()}
        diverged = {name: own.diverged for name, own in measured.items()}
        judged = judge(values, baseline=AS_IT_IS, diverged=diverged, limits=MEASURE.limits)
        rows = {row.key: row for row in judged.rows}
    for place, result in enumerate(found):
        if (name := result.plan.name) in measured:
            accuracies = tuple(measured[name].values.values())
            found[place] = replace(result, accuracies=accuracies, row=rows.get(name))
    return found


def smallest_fix(results: Sequence[Result]) -> Result | None:
    """The remedy that changes the fewest settings, then the most accurate, of those that are better than the config as
    it is, and not worse than the best of them. None where none is.
    """
    better = {r.plan.name: r for r in results if r.verdict == "better"}
    if not better:
        return None
    judged = judge({name: r.row.values for name, r in better.items() if r.row}, limits=MEASURE.limits)
    fixes = [better[name] for name in judged.possible_best]
    return min(fixes, key=lambda r: (r.plan.remedy.size if r.plan.remedy else 0, -(r.accuracy or 0.0)))
