"""`optilab remedy`: a sweep over remedies, each a named change of a training, compared with the training as it is."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from optilab import runs
from optilab.config.claims import BEST
from optilab.config.load import load
from optilab.config.study import BenchmarkConfig, RemedyConfig
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.diagnose import evidence_of
from optilab.diagnose.remedies import BASE, Remedy, chosen_remedies, pairs
from optilab.errors import ConfigError, UsageError
from optilab.study.benchmark import BenchmarkSpec, Entrant, benchmark_of
from optilab.study.groups import Group
from optilab.study.judge import JudgedGroup, judge
from optilab.study.measure import Measure, values_of
from optilab.study.plan import grid
from optilab.study.study import StudySpec
from optilab.study.trials import Outcome, Trial, as_trial
from optilab.words import plural

AS_IT_IS = "as it is"
UNCHANGED = Remedy(AS_IT_IS, {})
MEASURE = Measure("val_acc", at="best")


@dataclass(frozen=True)
class Variant:
    """The training as it is, or with a remedy."""

    remedy: Remedy
    """The remedy; UNCHANGED for the training as it is."""
    config: TrainConfig | None
    incompatibility: str = ""
    """The reason why the change does not fit the network; then there is no `config`."""

    @property
    def name(self) -> str:
        return self.remedy.name

    @property
    def sets(self) -> str:
        """Its changed keys and their values: `model.norm=batch  optimizer.lr=0.1`."""
        return "  ".join(self.remedy.sets)


@dataclass(frozen=True)
class RemedySpec(StudySpec):
    """The trials: the config as it is, then each remedy, from the same seeds: seed, seed + 1, ... of the config.

    Each trial runs on one thread of the CPU, so that its bits do not depend on other trials; or on the device that the
    config names.
    """

    request: RemedyConfig
    variants: Sequence[Variant] = field(kw_only=True)


def _resolved(request: RemedyConfig, changes: Sequence[Override]) -> RemedyConfig:
    """`request` with its training as keys, so that its study.yaml depends on no other file, and what is set in all."""
    load(TrainConfig, request.config, changes)  # refused as they were typed
    settings = {**request.set, **{change.key: change.value for change in changes}}
    return request.model_copy(update={"set": settings, "config": load(TrainConfig, request.config)})


def spec_of(request: RemedyConfig, changes: Sequence[Override] = ()) -> RemedySpec | BenchmarkSpec:
    """The trials of remedies, with `changes` of the training: each as it is, or with `tune` in a benchmark. UsageError
    without a remedy."""
    request = _resolved(request, changes)
    variants = variants_of(request)
    if request.tune is not None:
        return _tuned(request, variants)
    compatible = [(variant.name, variant.config) for variant in variants if variant.config]
    if len(compatible) < 2:
        by_reason: dict[str, list[str]] = {}
        for variant in variants[1:]:
            by_reason.setdefault(variant.incompatibility, []).append(variant.name)
        reasons = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())
        raise UsageError(f"no remedy is left to compare with: {reasons}")
    trials = tuple(
        Trial(config.name, config.model_copy(update={"seed": config.seed + number}), {"remedy": name})
        for name, config in compatible
        for number in range(request.seeds)
    )
    return RemedySpec(
        "remedy",
        request,
        lambda study, dry: grid(trials),
        trials,
        f"{plural(len(compatible), 'network')} x {plural(request.seeds, 'seed')}",
        labels=[*(name for name, _ in compatible), BEST],
        sample=request.seeds,
        variants=variants,
    )


def variants_of(request: RemedyConfig) -> list[Variant]:
    """The config as it is, then with each remedy."""
    changes = [Override(f"--set {key}", key, value) for key, value in request.set.items()]
    base = load(TrainConfig, request.config, changes)
    variants = [Variant(UNCHANGED, _as_variant(AS_IT_IS, base))]
    remedies = chosen_remedies(request.only)
    if request.tune is not None:  # the rate of every remedy is tuned
        remedies = [remedy for remedy in remedies if remedy.changes.keys() != {"optimizer.lr"}]
    if request.pairs and len(remedies) == 1:
        raise UsageError(f"expected at least two remedies, got {remedies[0].name}", "--pairs")
    for remedy in [*remedies, *(pairs(remedies) if request.pairs else [])]:
        try:
            changed = load(TrainConfig, request.config, [*changes, *remedy.overrides])
        except ConfigError as error:
            variants.append(Variant(remedy, None, error.problems[0].message))
        else:
            same = changed == base
            config_of_remedy = None if same else _as_variant(remedy.name, changed)
            variants.append(Variant(remedy, config_of_remedy, "the network has it already" if same else ""))
    return variants


def _as_variant(name: str, config: TrainConfig) -> TrainConfig:
    """The training of a trial; stages whose lengths are those of a remedy's preset grow with the epochs."""
    reference = load(TrainConfig, BASE).epochs
    stages = tuple(
        stage.model_copy(update={"epochs": max(1, round(stage.epochs * config.epochs / reference))})
        if stage.epochs
        else stage  # the last one goes on to the end
        for stage in config.stages
    )
    return as_trial(config, name=name.replace(" ", "-"), stages=stages)


def _tuned(request: RemedyConfig, variants: Sequence[Variant]) -> BenchmarkSpec:
    """A benchmark of the variants, each with `request.tune` learning rates.

    A remedy that changes nothing but the learning rate takes no part. UsageError if none does.
    """
    assert request.tune is not None
    configs = {v.name: v.config for v in variants if v.config and hasattr(v.config.optimizer, "lr")}
    if len(configs) < 2:
        reason = "no remedy is left that fits the network and changes more than the learning rate"
        raise UsageError(reason, "--tune")
    shared = {key: getattr(request, key) for key in ("seeds", "repeats", "holdout", "finalists", "seed")}
    asked = BenchmarkConfig(
        config=[next(iter(configs.values()))], algos=list(configs), budget=request.tune, **shared
    )
    entrants = [
        Entrant(
            asked,
            network=request.config.name,
            name=name,
            label=name,
            axes={"remedy": name},
            config=config.model_copy(update={"data": config.data.holding_out(request.holdout)}),
            changes={},
            fields={"lr": config.optimizer},
            option="--tune",
        )
        for name, config in configs.items()
    ]
    return benchmark_of(asked, entrants, request)


# --- results ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """The result of a variant."""

    variant: Variant
    row: JudgedGroup[str] | None
    """The accuracies at the best epoch by seed, of a training that diverged the chance level, against the training as
    it is; None without one."""
    ratio: float | None
    """|g1|/|gL| over the run, the median of the seeds."""
    seconds: float
    state: str

    @property
    def accuracy(self) -> float | None:
        return self.row.summary.mean if self.row else None

    @property
    def verdict(self) -> str:
        """better, worse or cannot tell; empty for the training as it is, without it, and of one seed."""
        return self.row.verdict if self.row and self.row.difference and len(self.row.values) > 1 else ""


def results(variants: Sequence[Variant], outcomes: Sequence[Outcome], study: Path, level: float) -> list[Result]:
    """One result per variant, in their order, judged at `level`. DataError for a damaged run."""
    groups, facts = list[Group](), list[tuple[float | None, float, str]]()
    for variant in variants:
        ended = [outcome for outcome in outcomes if outcome.trial.settings["remedy"] == variant.name]
        records = {o.trial.config.seed: runs.read(study / o.trial.name) for o in ended if not o.failed}
        ratios = [ratio for r in records.values() if (ratio := evidence_of(r).gradient_ratio()) is not None]
        timings = [row for r in records.values() for row in runs.read_timings(r.path / "timings.csv")]
        states = {outcome.status for outcome in ended} or {
            "does not fit" if variant.incompatibility else "not run"
        }
        groups.append(Group(variant.name, {}, records))
        seconds = sum(row["seconds"] for row in timings)
        facts.append((median(ratios) if ratios else None, seconds, ", ".join(sorted(states))))
    every = zip(groups, values_of(groups, MEASURE), strict=True)
    measured = {group.label: outcomes for group, outcomes in every if outcomes.values}
    rows = dict[str, JudgedGroup[str]]()
    if measured:
        values = {name: outcomes.values for name, outcomes in measured.items()}
        diverged = {name: outcomes.diverged for name, outcomes in measured.items()}
        baseline = AS_IT_IS if AS_IT_IS in measured else None
        judged = judge(values, baseline=baseline, level=level, diverged=diverged, limits=MEASURE.limits)
        rows = {row.key: row if baseline else replace(row, difference=None) for row in judged.rows}
    return [Result(v, rows.get(v.name), *fact) for v, fact in zip(variants, facts, strict=True)]


def smallest_fix(results: Sequence[Result], level: float) -> Result | None:
    """Of the remedies that are better than the config as it is, and not worse than the best remedy (a further test at
    `level`), the remedy that changes the fewest settings; on a tie, the most accurate. None without such a remedy.
    """
    better = {result.variant.name: result for result in results if result.verdict == "better"}
    if not better:
        return None
    values = {name: result.row.values for name, result in better.items() if result.row}
    judged = judge(values, level=level, limits=MEASURE.limits)
    fixes = [better[name] for name in judged.possible_best]
    return min(fixes, key=lambda r: (r.variant.remedy.size, -(r.accuracy or 0.0)))
