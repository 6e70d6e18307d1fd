"""`optilab remedy`: a sweep over remedies, each a named change of a training, compared with the training as it is."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from optilab.config.axes import Choices
from optilab.config.claims import BEST
from optilab.config.load import load
from optilab.config.study import RemedyConfig
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.diagnose.remedies import AS_IT_IS, BASE, REMEDY, Remedy, chosen_remedies, pairs
from optilab.errors import ConfigError, UsageError
from optilab.judge.comparison import RunComparison
from optilab.judge.groups import planned_groups
from optilab.judge.judge import judge
from optilab.study.plan import grid
from optilab.study.sweep import AxisLike, SweepSpec, axes_of, trials_of
from optilab.study.trials import Trial, as_trial
from optilab.words import of_key, plural

UNCHANGED = Remedy(AS_IT_IS, {})


@dataclass(frozen=True)
class Variant:
    """The training as it is, or with a remedy."""

    remedy: Remedy
    """The remedy; UNCHANGED for the training as it is."""
    trials: Sequence[Trial]
    incompatibility: str = ""
    """The reason why the change does not fit the network; then there are no trials."""

    @property
    def name(self) -> str:
        return self.remedy.name

    @property
    def sets(self) -> str:
        """Its changed keys and their values: `model.norm=batch  optimizer.lr=0.1`."""
        return "  ".join(self.remedy.sets)


@dataclass(frozen=True)
class RemedySpec(SweepSpec):
    """The trials: the config as it is, then each remedy, from the same seeds: seed, seed + 1, ... of the config.

    Each trial runs on one thread of the CPU, so that its bits do not depend on other trials; or on the device that the
    config names.
    """

    variants: Sequence[Variant] = field(kw_only=True)


def _resolved(request: RemedyConfig, changes: Sequence[Override]) -> RemedyConfig:
    """`request` with its training as keys, so that its study.yaml depends on no other file, and what is set in all."""
    load(TrainConfig, request.config, changes)  # refused as they were typed
    settings = {**request.set, **{change.key: change.value for change in changes}}
    return request.model_copy(update={"set": settings, "config": load(TrainConfig, request.config)})


def spec_of(request: RemedyConfig, changes: Sequence[Override] = ()) -> RemedySpec:
    """The trials of remedies, with `changes` of the training. UsageError without a remedy."""
    axes, request = axes_of(request.over, changes), _resolved(request, changes)
    variants = variants_of(request, axes)
    compatible = [variant for variant in variants if variant.trials]
    if len(compatible) < 2:
        by_reason: dict[str, list[str]] = {}
        for variant in variants[1:]:
            by_reason.setdefault(variant.incompatibility, []).append(variant.name)
        reasons = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())
        raise UsageError(f"no remedy is left to compare with: {reasons}")
    trials = tuple(trial for variant in compatible for trial in variant.trials)
    counts = [plural(len(compatible), "network"), *(of_key(len(axis.values), axis.key) for axis in axes)]
    base, points = trials[0].config, len(trials) // request.seeds
    return RemedySpec(
        "remedy",
        request,
        lambda study, dry: grid(trials),
        trials,
        " x ".join([*counts, plural(request.seeds, "seed")]),
        labels=[*(group.label for group in planned_groups(trial.tree for trial in trials).groups), BEST],
        sample=request.seeds,
        base=base.model_copy(update={"name": request.config.name}),
        axes=[Choices(REMEDY, [variant.name for variant in compatible]), *axes],
        points=points,
        ladder=[(points, base.epochs)],
        variants=variants,
    )


def variants_of(request: RemedyConfig, axes: Sequence[AxisLike] = ()) -> list[Variant]:
    """The config as it is, then with each remedy, at each point of the axes."""
    changes = [Override(f"--set {key}", key, value) for key, value in request.set.items()]
    base = load(TrainConfig, request.config, changes)
    points = [
        dict(zip((axis.key for axis in axes), values, strict=True))
        for values in itertools.product(*(axis.values for axis in axes))
    ]

    def trials(remedy: Remedy, config: TrainConfig) -> list[Trial]:
        planned = trials_of(_as_variant(remedy.name, config), points, request.seeds)
        labels = ["-".join(filter(None, (trial.config.name, trial.label * bool(axes)))) for trial in planned]
        return [
            replace(trial, label=label, settings={REMEDY: remedy.name, **trial.settings})
            for trial, label in zip(planned, labels, strict=True)
        ]

    variants = [Variant(UNCHANGED, trials(UNCHANGED, base))]
    unchanged = [_without_name(trial.config) for trial in variants[0].trials]
    remedies = chosen_remedies(request.only)
    if request.pairs and len(remedies) == 1:
        raise UsageError(f"expected at least two remedies, got {remedies[0].name}", "--pairs")
    for remedy in [*remedies, *(pairs(remedies) if request.pairs else [])]:
        try:
            changed = load(TrainConfig, request.config, [*changes, *remedy.overrides])
            planned = trials(remedy, changed)
        except ConfigError as error:
            variants.append(Variant(remedy, (), error.problems[0].message))
            continue
        has_already = "the network has it already" if changed == base else "an axis (--over) takes its place"
        same = [_without_name(trial.config) for trial in planned] == unchanged
        variants.append(Variant(remedy, () if same else planned, has_already if same else ""))
    return variants


def _without_name(config: TrainConfig) -> TrainConfig:
    return config.model_copy(update={"name": ""})


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


def smallest_fix(comparison: RunComparison, variants: Sequence[Variant]) -> Variant | None:
    """Of the remedies that are better than the config as it is, and not worse than the best remedy (a further test at
    the same level), the remedy that changes the fewest settings; on a tie, the most accurate. None without one.
    """
    judgment = comparison.judgment
    if judgment is None or judgment.chosen:
        return None
    better = {comparison.candidates[row.key].label: row for row in judgment.rows if row.verdict == "better"}
    if not better:
        return None
    values, measure = {name: row.values for name, row in better.items()}, comparison.measure
    judged = judge(values, measure.higher_is_better, level=judgment.level, limits=measure.limits)
    fixes = [variant for variant in variants if variant.name in judged.possible_best]
    return min(fixes, key=lambda variant: (variant.remedy.size, -better[variant.name].summary.mean))
