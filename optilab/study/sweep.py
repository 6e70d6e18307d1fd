"""A sweep: one training over axes of settings, with several seeds each, as a plan of trials.

Points are the product of the axes (grid), pairs along all axes (zip), or the first N of a Sobol sequence in their box
(Sobol 1967, by SciPy; unscrambled, without its first point), whose first n of N are a design of their own: a study
can grow. All trials share the config's seed, seed + 1, ...: same initial draws, same order of images.
"""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from optilab import runs
from optilab.annotations import RANGE
from optilab.config.axes import Axis, Choices, choices_of, read_choices, read_range
from optilab.config.claims import BEST
from optilab.config.keys import keys_of
from optilab.config.load import load
from optilab.config.section import dump
from optilab.config.study import RemedyConfig, SweepConfig
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.errors import ConfigError, OptilabError, Problem, RunError, UsageError, unknown
from optilab.judge.groups import planned_groups, request_of
from optilab.judge.judge import smallest_difference
from optilab.optimize.rule import without_label
from optilab.proposals import flow
from optilab.runs.metrics import EPOCH_METRICS, METRICS, TESTED
from optilab.study.plan import Outcomes, Plan, best_settings, final_seeds, grid, halving, rungs
from optilab.study.search import require_optuna, tpe
from optilab.study.study import StudySpec
from optilab.study.trials import Trial, as_trial
from optilab.words import of_key, plural

MAX_TRIALS = 100_000
DEFAULT_COUNT = 5
"""Points of a range without a COUNT."""
DEFAULT_CONFIRM = 3
"""Settings that are trained again after a search or halving, which choose among many by few seeds."""
NEW_SEEDS = 5
"""The least number of new seeds for settings that are trained again."""

_NOT_AXES = frozenset({"seed", "epochs", "name", "threads", "device", "checkpoint_every", "probes"})
"""Keys that change no number, that have another option, or that are the same in the whole study."""

AxisLike = Axis | Choices


@dataclass(frozen=True)
class SweepSpec(StudySpec):
    """The trials of a sweep, with the seeds of a point together.

    Of a search, whose points follow from outcomes, `trials` are those at the ends of its axes.
    """

    request: SweepConfig | RemedyConfig
    base: TrainConfig = field(kw_only=True)
    axes: Sequence[AxisLike] = field(kw_only=True)
    points: int = field(kw_only=True)
    """The number of settings; each has all the seeds."""
    ladder: Sequence[tuple[int, int]] = field(kw_only=True)
    """The number of settings and of epochs at each rung; without halving there is one."""
    confirmed: int = 0
    """The number of settings that are trained again from new seeds, `sample` of them."""

    @property
    def detectable(self) -> float | None:
        return smallest_difference(self.confirmed or self.ladder[-1][0], self.sample)

    @property
    def judged_by(self) -> str:
        """The metric that compares the settings that are trained again: on the test set if images are held out."""
        tested = f"test_{self.metric.rpartition('_')[2]}"
        return tested if self.base.data.holdout and tested in METRICS else self.metric

    def confirmation(self, study: Path, outcomes: Outcomes) -> "SweepSpec | None":
        """The best settings of these outcomes, and those that were confirmed before, from new seeds: no trial is
        forgotten. None without any."""
        asked = self.request
        if isinstance(asked, RemedyConfig) or not (
            self.confirmed and (chosen := best_settings(outcomes, self.confirmed, self.metric))
        ):
            return None
        base = self.base.model_copy(update={"seed": final_seeds(self.base.seed, self.sample)[0]})
        before = set[str]()
        with suppress(OptilabError):  # there is none yet, or it is damaged and made again
            confirmed = runs.read_study(study / runs.CONFIRMED_DIRECTORY)
            before = {line["digest"] for line in confirmed.planned.values()}
        for trial in (outcome.trial for outcome in outcomes.values() if before):
            again = replace(trial, config=trial.config.model_copy(update={"seed": base.seed}))
            if trial.config.seed == self.base.seed and trial.settings not in chosen and again.mark in before:
                chosen.append(trial.settings)
        over = {axis.key: [point[axis.key] for point in chosen] for axis in self.axes}
        request = SweepConfig(
            name=asked.name,
            config=base,
            over=over,
            zip=len(over) > 1,
            seeds=self.sample,
            metric=self.judged_by,
            keep=asked.keep,
        )
        return spec_of(request)


def _confirmed(request: SweepConfig) -> int:
    """The number of settings to train again."""
    by_default = DEFAULT_CONFIRM if request.halving or request.search else 0
    return by_default if request.confirm is None else request.confirm


def new_seeds(request: Mapping[str, Any]) -> int:
    """The number of new seeds of each confirmed setting, by what study.yaml asks."""
    return int(request.get("confirm_seeds") or max(request.get("seeds") or 1, NEW_SEEDS))


def _resolved(
    request: SweepConfig, changes: Sequence[Override]
) -> tuple[SweepConfig, TrainConfig, Sequence[AxisLike]]:
    """`request` with its training as keys, changed; that training, on one thread of the CPU or the device that it
    names; and the axes.

    Without an axis, the claims of the training are those of the study.
    """
    axes = axes_of(request.over, changes)
    base = load(TrainConfig, request.config, changes, replaced=_changes(next(_ends(axes))))
    expect = request.expect if request.over else (*base.expect, *request.expect)
    base = as_trial(base, expect=())
    changed = {"config": base, "name": request.name or base.name, "expect": expect}
    return request.model_copy(update=changed), base, axes


def axes_of(over: Mapping[str, Any], changes: Sequence[Override]) -> Sequence[AxisLike]:
    """The axes of `--over`. UsageError for one that is none, and for a change of its key."""
    for change in changes:
        for axis in over:
            if change.key == axis:
                raise UsageError(f"{axis} is an axis (--over), whose values take its place", change.where)
            if change.key.startswith(f"{axis}."):
                raise UsageError(f"--over {axis} replaces {change.key}", change.where)
    return [read_axis(*axis) for axis in over.items()]


def spec_of(request: SweepConfig, changes: Sequence[Override] = (), alone: bool = False) -> SweepSpec:
    """The trials of a sweep, with `changes` of its training. UsageError for axes that do not fit, and for a single
    trial unless it may stand `alone`; ConfigError for values of the axes."""
    request, base, axes = _resolved(request, changes)
    if not alone and not request.over and request.seeds == 1:
        raise UsageError("a sweep needs an axis (--over) or several seeds (--seeds)")
    _require_options(request, base, axes)
    count = (
        math.prod(axis.count for axis in axes)
        if request.samples is None and not request.zip
        else request.samples or 1
    )
    if count * request.seeds > MAX_TRIALS:
        raise UsageError(f"expected at most {MAX_TRIALS:,} trials, got {count * request.seeds:,}")
    tried = _ends(axes) if request.search else points(request, axes)
    trials = trials_of(base, tried, 1 if request.search else request.seeds)
    _require_distinct(trials, "--over" if request.samples is None or request.search else "--samples")
    if request.search:
        require_optuna()

    def make_plan(study: Path, dry: bool) -> Plan:
        if request.search:
            return _search(request, base, axes, study, dry)
        return halving(trials, request.halving, request.metric) if request.halving else grid(trials)

    settings = request.samples or 0 if request.search else len(trials) // request.seeds
    ladder = rungs(settings, base.epochs, request.halving) if request.halving else [(settings, base.epochs)]
    if request.halving and len(ladder) < 2:
        text = f"{plural(settings, 'setting')} and {plural(base.epochs, 'epoch')}"
        least = f"{request.halving} settings and {request.halving} epochs"
        raise UsageError(f"expected at least {least}, got {text}", "--halving")
    confirmed = min(_confirmed(request), ladder[-1][0])
    sample = new_seeds(dump(request)) if confirmed else request.seeds
    return SweepSpec(
        "sweep",
        request,
        make_plan,
        trials,
        _shape(request, axes) + (f", then the best {confirmed} x {sample} new seeds" if confirmed else ""),
        metric=request.metric,
        keep=request.keep,
        labels=_labels(request, trials, confirmed),
        sample=sample,
        base=base,
        axes=axes,
        points=settings,
        ladder=ladder,
        confirmed=confirmed,
    )


def _labels(request: SweepConfig, trials: Sequence[Trial], confirmed: int) -> list[str] | None:
    """The labels that a claim can name; None where no claim has a label, and where the labels follow from outcomes."""
    chosen = request.search or request.halving or confirmed
    several = len({trial.config.data.source for trial in trials}) > 1
    if chosen or several or not any(claim.of for claim in request.expect):
        return None
    return [*(group.label for group in planned_groups(trial.tree for trial in trials).groups), BEST]


def _shape(request: SweepConfig, axes: Sequence[AxisLike]) -> str:
    """`5 values of optimizer.lr x 3 optimizers x 3 seeds`."""
    keys = ", ".join(axis.key for axis in axes)
    counts = [of_key(len(axis.values), axis.key) for axis in axes]
    if request.samples is not None:
        counts = [f"{plural(request.samples, 'setting')} of {keys}{' by TPE' if request.search else ''}"]
    elif request.zip:
        counts = [f"{plural(axes[0].count, 'pair')} of {keys}"]
    return " x ".join([*counts, plural(request.seeds, "seed")])


# --- points ----------------------------------------------------------------------------------------------------


def read_axis(key: str, values: Any) -> AxisLike:
    """An axis as `--over` or a study's file has it: a range, or a list of values. UsageError for anything else."""
    where, text = f"--over {key}", flow(values)
    section, _, last = key.rpartition(".")
    if key in _NOT_AXES or (section and last == "name"):
        raise UsageError(f"not an axis{f'; expected {section}' if last == 'name' and section else ''}", where)
    if isinstance(values, list):
        return choices_of(where, key, values)
    if isinstance(values, dict):
        raise UsageError(f"expected {RANGE} or KEY=VALUE,VALUE, got a mapping", where)
    if not re.fullmatch(r"[-+0-9.eE]+:[-+0-9.eE]+(:.*)?", text):
        return read_choices(where, key, text)
    axis = read_range(where, key, text, DEFAULT_COUNT)
    kinds = [known.type for known in keys_of("train") if known.key == key]
    if kinds and not any(kind.startswith(("number", "whole number")) for kind in kinds):
        raise UsageError(f"expected KEY=VALUE,VALUE, got the range {text}", where)
    return replace(axis, whole=any(kind.startswith("whole number") for kind in kinds))


def points(request: SweepConfig, axes: Sequence[AxisLike]) -> Iterator[dict[str, Any]]:
    """The points of a sweep: dotted key -> value."""
    if request.samples is not None:
        from scipy.stats import qmc

        # A power of two, of which SciPy does not warn; the first point is a corner of the box.
        box = qmc.Sobol(len(axes), scramble=False).random_base2(math.ceil(math.log2(request.samples + 1)))
        drawn = box[1 : request.samples + 1].tolist()
        values: Iterable[Any] = ([a.at(u) for a, u in zip(axes, point, strict=True)] for point in drawn)
    elif request.zip:
        values = zip(*(axis.values for axis in axes), strict=True)
    else:
        values = itertools.product(*(axis.values for axis in axes))
    for point in values:
        yield dict(zip((axis.key for axis in axes), point, strict=True))


def _ends(axes: Sequence[AxisLike]) -> Iterator[dict[str, Any]]:
    """The first point, and the other ends of each axis of a search from there: all data and devices that it needs."""
    ends = {a.key: a.values if isinstance(a, Choices) else [a.at(0.0), a.at(1.0)] for a in axes}
    first = {key: values[0] for key, values in ends.items()}
    yield first
    for key, values in ends.items():
        yield from ({**first, key: value} for value in values[1:])


def _search(request: SweepConfig, base: TrainConfig, axes: Sequence[AxisLike], path: Path, dry: bool) -> Plan:
    """The plan of a search. RunError where the study at `path` has another request: its outcomes, by which its
    points were chosen, would not be those of this search."""
    before, planned = dict[str, Any](), list[runs.Row]()
    with suppress(OptilabError):  # there is none yet, or it is damaged and made again
        before = request_of(study := runs.read_study(path))
        planned += (line["settings"] for line in study.planned.values())
    if before:
        was, now = ({**keys, "epochs": keys["config"]["epochs"]} for keys in (before, dump(request)))
        keys = ("search", "over", "seeds", "metric", "epochs")
        if changed := [
            f"{key}: {flow(was.get(key))} -> {flow(now[key])}" for key in keys if was.get(key) != now[key]
        ]:
            raise RunError(f"{path} was started with other settings: {'; '.join(changed)}")
    of_point = partial(_of_point, base, seeds=request.seeds)
    return tpe(axes, request.samples or 0, base.seed, request.metric, of_point, planned, dry)


def _of_point(base: TrainConfig, point: Mapping[str, Any], seeds: int) -> list[Trial]:
    """The trials of one point: the config with its settings, from `seeds` seeds."""
    config = load(TrainConfig, base, _changes(point)) if point else base
    label = "-".join(flow(without_label(value)) for value in point.values()) or base.name
    every = range(config.seed, config.seed + seeds)
    return [Trial(label, config.model_copy(update={"seed": seed}), point) for seed in every]


def _changes(point: Mapping[str, Any]) -> list[Override]:
    """The settings of a point, as they change a config."""
    changes = [Override(f"--over {key}={flow(value)}", key, value) for key, value in point.items()]
    return sorted(changes, key=lambda change: change.key.count("."))  # an entry before its keys


def trials_of(base: TrainConfig, tried: Iterable[Mapping[str, Any]], seeds: int) -> tuple[Trial, ...]:
    """The trials of these points. ConfigError for all values that the training refuses, the first of a range."""
    trials, problems = list[Trial](), dict[tuple[str, str], Problem]()
    for point in tried:
        try:
            trials += _of_point(base, point, seeds)
        except ConfigError as error:
            for problem in error.problems:
                problems.setdefault((problem.where.partition("=")[0], problem.message), problem)
    if problems:
        raise ConfigError("", [*problems.values()])
    return tuple(trials)


# --- what cannot be swept --------------------------------------------------------------------------------------


def _require_distinct(trials: Sequence[Trial], where: str) -> None:
    """UsageError where two points are the same training, so that one of them would be shown twice."""
    first: dict[str, Trial] = {}
    for trial in trials:
        if (other := first.setdefault(trial.digest, trial)) is not trial:
            a, b = (", ".join(f"{k}={flow(v)}" for k, v in t.settings.items()) for t in (other, trial))
            axis = " ".join(trial.settings) if where == "--over" and len(trial.settings) == 1 else ""
            text = f"{a} is repeated" if a == b else f"{a} and {b} are the same training"
            raise UsageError(text, f"{where} {axis}".rstrip())


def _require_options(request: SweepConfig, base: TrainConfig, axes: Sequence[AxisLike]) -> None:
    """UsageError for options without what they need, or with what they exclude, and for a metric that the trainings
    will not have, or not at each rung or point of a search."""
    for name in ("confirm", "samples", "search"):
        if getattr(request, name) and not axes:
            raise UsageError("expected an axis (--over), got none", f"--{name}")
    if request.confirm_seeds is not None and not _confirmed(request):
        raise UsageError("applies only with --confirm", "--confirm-seeds")
    if request.zip and len(axes) < 2:
        raise UsageError(f"expected at least two axes (--over), got {len(axes)}", "--zip")
    if request.zip and len({len(axis.values) for axis in axes}) > 1:
        counts = ", ".join(f"{axis.key} {len(axis.values)}" for axis in axes)
        raise UsageError(f"every --over needs the same number of values, got {counts}", "--zip")
    if request.search:
        if request.samples is None:
            raise UsageError("expected a number of settings (--samples), got none", "--search")
        for key in ("zip", "halving"):
            if getattr(request, key):
                raise UsageError(f"--search and --{key} cannot be combined")
        most = math.prod(map(_count, axes))
        if request.samples > most:
            raise UsageError(
                f"expected at most {int(most):,}, the settings of the axes, got {request.samples}", "--samples"
            )
    at_the_end = TESTED if base.data.holdout else ()
    if not request.confirm:  # which settings are confirmed is the same on every machine
        at_the_end = ("seconds", *at_the_end)
    accepted = EPOCH_METRICS if request.halving or request.search else (*EPOCH_METRICS, *at_the_end)
    if request.metric not in accepted:
        if request.metric in TESTED and not base.data.holdout:
            raise UsageError(f"{request.metric} needs held-out images (data.holdout)", "--metric")
        raise UsageError(unknown("metric", request.metric, accepted), "--metric")


def _count(axis: AxisLike) -> float:
    """The number of values that a search can choose."""
    if isinstance(axis, Choices):
        return len(axis.values)
    return axis.at(1.0) - axis.at(0.0) + 1 if axis.whole else math.inf
