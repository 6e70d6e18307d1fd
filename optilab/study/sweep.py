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
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import variance
from typing import Any

from optilab import runs
from optilab.config.axes import Axis, Choices, listed, read_choices, read_range
from optilab.config.claims import BEST
from optilab.config.keys import keys_of
from optilab.config.load import load
from optilab.config.section import dump
from optilab.config.study import SweepConfig
from optilab.config.training import TrainConfig
from optilab.config.tree import Override, flow
from optilab.errors import ConfigError, OptilabError, Problem, UsageError, unknown
from optilab.marks import RANGE
from optilab.runs import STUDY
from optilab.runs.metrics import METRICS, ROW, TESTED
from optilab.study import search
from optilab.study.groups import asked_of, axes_of, planned_labels
from optilab.study.judge import mean_variance, smallest_difference
from optilab.study.plan import Outcomes, Plan, StudyPlan, best_settings, final_seeds, grid, halving, rungs, tpe
from optilab.study.trials import (
    Trial,
    as_trial,
)
from optilab.words import of_key, plural

MAX_TRIALS = 100_000
COUNT = 5
"""Points of a range without a COUNT."""
CONFIRMED = 3
"""Settings that are trained again after a search or halving, which choose among many by few seeds."""
NEW_SEEDS = 5
"""The least number of their seeds."""
GUESS = 0.01
"""Standard deviation of a metric over seeds, where nothing is known of it."""

_NOT_AXES = {
    "seed": "use --seeds N",
    "epochs": "a run of more epochs contains that of fewer; set the largest with --epochs",
    "name": "it changes no number",
    "threads": "each trial has one",
    "device": "it is that of the whole study",
    "checkpoint_every": "it changes no number",
    "probes": "it changes no number",
}


@dataclass(frozen=True)
class SweepPlan(StudyPlan):
    """What a sweep trains: the seeds of a point together.

    The trials of a search, whose points follow from outcomes, are the corners of its box.
    """

    asked: SweepConfig
    axes: Sequence[Axis | Choices]

    @property
    def count(self) -> int:
        return self.points * self.asked.seeds

    @property
    def confirmed(self) -> int:
        """Settings that are trained again from new seeds."""
        asked = self.asked
        through = rungs(self.points, self.base.epochs, asked.halving)[-1][0] if asked.halving else self.points
        return min(_confirmed(asked), through)

    @property
    def new_seeds(self) -> range:
        return final_seeds(self.base.seed, new_seeds(dump(self.asked)))

    def confirmation(self, study: Path, outcomes: Outcomes) -> "SweepPlan | None":
        """The best settings of these outcomes, and those that were confirmed before, from new seeds: no trial is
        forgotten. None without any."""
        if not (self.confirmed and (chosen := best_settings(outcomes, self.confirmed, self.asked.metric))):
            return None
        base = self.base.model_copy(update={"seed": self.new_seeds[0]})
        before = set[str]()
        with suppress(OptilabError):  # there is none yet, or it is damaged and made again
            before = {line["digest"] for line in runs.read_study(study / runs.CONFIRMED).planned().values()}
        for trial in (outcome.trial for outcome in outcomes.values() if before):
            again = replace(trial, config=trial.config.model_copy(update={"seed": base.seed}))
            if trial.config.seed == self.base.seed and trial.settings not in chosen and again.mark in before:
                chosen.append(trial.settings)
        over = {axis.key: [point[axis.key] for point in chosen] for axis in self.axes}
        asked = SweepConfig(
            name=self.asked.name,
            config=base,
            over=over,
            zip=len(over) > 1,
            seeds=len(self.new_seeds),
            metric=self.judged_by,
            keep=self.asked.keep,
        )
        return plan(asked)

    @property
    def judged_by(self) -> str:
        """The metric of the settings that are trained again: of the test set, where that did not choose them."""
        tested = f"test_{self.asked.metric.rpartition('_')[2]}"
        return tested if self.base.data.holdout and tested in METRICS else self.asked.metric

    @property
    def labels(self) -> list[str] | None:
        chosen = self.asked.search or self.asked.halving or self.confirmed  # by outcomes
        if chosen or len({trial.config.data.place for trial in self.trials}) > 1:
            return None
        return [*planned_labels(trial.config for trial in self.trials), BEST]

    @property
    def sample(self) -> int:
        return len(self.new_seeds) if self.confirmed else self.asked.seeds

    @property
    def base(self) -> TrainConfig:
        assert isinstance(self.asked.config, TrainConfig)
        return self.asked.config

    @property
    def points(self) -> int:
        """For the axes; each has all the seeds."""
        if self.asked.search is not None:
            return self.asked.samples or 0
        return len(self.trials) // self.asked.seeds

    @property
    def shape(self) -> str:
        """`5 values of optimizer.lr x 3 optimizers x 3 seeds`."""
        counts = [of_key(len(axis.values), axis.key) for axis in self.axes]
        if self.asked.samples is not None:
            chosen = " by TPE" if self.asked.search else ""
            counts = [
                f"{plural(self.asked.samples, 'setting')} of {', '.join(axis.key for axis in self.axes)}{chosen}"
            ]
        elif self.asked.zip:
            counts = [f"{plural(self.axes[0].count, 'pair')} of {', '.join(axis.key for axis in self.axes)}"]
        again = f", then the best {self.confirmed} x {len(self.new_seeds)} new seeds" if self.confirmed else ""
        return " x ".join([*counts, plural(self.asked.seeds, "seed")]) + again

    def changed(self, before: Mapping[str, Any]) -> list[str]:
        """For a search: outcomes by which it chose its points would no longer be what it asks for."""
        if not (before.get("search") or self.asked.search):
            return []
        was, now = ({**asked, "epochs": asked["config"]["epochs"]} for asked in (before, dump(self.asked)))
        keys = ("search", "over", "seeds", "metric", "epochs")
        return [f"{key}: {flow(was.get(key))} -> {flow(now[key])}" for key in keys if was.get(key) != now[key]]

    def plan(self, study: Path, dry: bool = False) -> Plan:
        asked, planned = self.asked, list[runs.Row]()
        if asked.search is not None:
            with suppress(OptilabError):  # there is none yet, or it is damaged and made again
                planned += runs.read_study(study).planned().values()
            chosen = search.Search(self.axes, self.base.seed, asked.metric, planned, dry)
            ask = lambda number: of_point(self.base, chosen.ask(number), asked.seeds)  # noqa: E731
            return tpe(ask, chosen.tell, asked.samples or 0)
        if asked.halving is not None:
            return halving(self.trials, asked.halving, asked.metric)
        return grid(self.trials)


def _confirmed(asked: SweepConfig) -> int:
    """The number of settings that are asked to be trained again."""
    by_default = CONFIRMED if asked.halving or asked.search else 0
    return by_default if asked.confirm is None else asked.confirm


def new_seeds(asked: Mapping[str, Any]) -> int:
    """The number of seeds of each of them, by what study.yaml asks."""
    return int(asked.get("confirm_seeds") or max(asked.get("seeds") or 1, NEW_SEEDS))


@dataclass(frozen=True)
class Design:
    """What the comparison of a planned sweep will be able to tell."""

    difference: float
    """To the best, that is found in 8 of 10 cases; in the unit of the metric."""
    noise: float
    """Standard deviation of the metric over seeds."""
    groups: int
    """Of earlier trainings, whose noise that is; 0 for a guess."""


def design(plan: SweepPlan, folder: Path) -> Design | None:
    """What the verdict of a planned sweep, or of its confirmation, can tell, by the noise of earlier trainings in a
    directory; None without a comparison.

    Without such trainings the noise is taken to be 0.01, which is one percentage point of accuracy. The studies that
    count are those of a training of the same name, dataset and number of epochs.
    """
    through = (
        rungs(plan.points, plan.base.epochs, plan.asked.halving)[-1][0] if plan.asked.halving else plan.points
    )
    found = smallest_difference(plan.confirmed or through, plan.sample)
    if found is None:
        return None
    variances = list[float]()
    for path in runs.directories(folder):
        with suppress(OptilabError):
            if (path / STUDY).is_file() and _same_training(study := runs.read_study(path), plan.base):
                variances += _variances(study.trials(), plan.asked.metric)
    noise = mean_variance(variances) ** 0.5 if variances else GUESS
    return Design(found * noise, noise, len(variances))


def _same_training(study: runs.Study, base: TrainConfig) -> bool:
    config = asked_of(study).get("config")
    if not isinstance(config, dict):
        return False
    data = config.get("data")
    dataset = data.get("dataset") if isinstance(data, dict) else None
    return (config.get("name"), config.get("epochs"), dataset) == (base.name, base.epochs, base.data.dataset)


def _variances(rows: Sequence[runs.Row], metric: str) -> list[float]:
    """For the metric over the seeds of each setting, where something varies."""
    keys = axes_of(rows)
    values: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        if row["status"] == "done" and isinstance(row.get(metric), float):
            values.setdefault(tuple(row[key] for key in keys), []).append(row[metric])
    return [own for group in values.values() if len(group) > 1 and (own := variance(group))]


def resolve(asked: SweepConfig, changes: Sequence[Override] = ()) -> SweepConfig:
    """`asked` with its training as keys, changed; each trial on one thread of the CPU, or the device it names.

    Without an axis, the claims of the training are those of the study.
    """
    config = asked.config if isinstance(asked.config, str) else dump(asked.config)
    for change in changes:
        for axis in asked.over:
            if change.key == axis:
                raise UsageError(f"{axis} is an axis (--over), whose values take its place", change.where)
            if change.key.startswith(f"{axis}."):
                raise UsageError(f"--over {axis} replaces {change.key}", change.where)
    base = load(TrainConfig, config, changes)
    expect = asked.expect if asked.over else (*base.expect, *asked.expect)
    base = as_trial(base, expect=())
    return asked.model_copy(update={"config": base, "name": asked.name or base.name, "expect": expect})


def plan(asked: SweepConfig, command: str = "sweep") -> SweepPlan:
    """The trials of a resolved sweep. UsageError for axes that do not fit, ConfigError for their values."""
    axes = [read_axis(*axis) for axis in asked.over.items()]
    _require_once(axes if not asked.zip else ())
    _require_metric(asked)
    if asked.confirm and not asked.over:
        raise UsageError("expected an axis (--over), got none", "--confirm")
    if asked.confirm_seeds is not None and not _confirmed(asked):
        raise UsageError("applies only with --confirm", "--confirm-seeds")
    count = (
        math.prod(axis.count for axis in axes) if asked.samples is None and not asked.zip else asked.samples or 1
    )
    if count * asked.seeds > MAX_TRIALS:
        raise UsageError(f"expected at most {MAX_TRIALS:,} trials, got {count * asked.seeds:,}")
    assert isinstance(asked.config, TrainConfig)
    if asked.search is not None:
        return SweepPlan(asked, tuple(_corners(asked, axes)), axes, command=command)
    trials = _of_points(asked, axes, points(asked, axes), asked.seeds)
    _require_distinct(trials, asked.samples)
    _require_rungs(asked, len(trials) // asked.seeds)
    return SweepPlan(asked, trials, axes, command=command)


def read_axis(key: str, given: Any) -> Axis | Choices:
    """An axis as `--over` or a study's file has it: a range, or a list of values. UsageError for anything else."""
    where, text = f"--over {key}", flow(given)
    section, _, last = key.rpartition(".")
    if reason := f"expected {section}" if section and last == "name" else _NOT_AXES.get(key):
        raise UsageError(f"not an axis; {reason}", where)
    if isinstance(given, list):
        return listed(where, key, given)
    if isinstance(given, dict):
        raise UsageError(f"expected {RANGE} or KEY=VALUE,VALUE, got a mapping", where)
    if not re.fullmatch(r"[-+0-9.eE]+:[-+0-9.eE]+(:.*)?", text):
        return read_choices(where, key, text)
    axis = read_range(where, key, text, COUNT)
    kinds = [one.type for one in keys_of("train") if one.key == key]
    if kinds and not any(kind.startswith(("number", "whole number")) for kind in kinds):
        raise UsageError(f"expected KEY=VALUE,VALUE, got the range {text}", where)
    whole = any(kind.startswith("whole number") for kind in kinds)
    return Axis(key, axis.low, axis.high, axis.count, axis.log, whole)


def points(asked: SweepConfig, axes: Sequence[Axis | Choices]) -> Iterator[dict[str, Any]]:
    """The points of a sweep: dotted key -> value."""
    keys = [axis.key for axis in axes]
    if asked.samples is not None:
        if not axes:
            raise UsageError("expected an axis (--over), got none", "--samples")
        values: Iterator[Any] = iter(_sobol(axes, asked.samples))
    elif asked.zip:
        if len(axes) == 1:
            raise UsageError("expected at least two axes (--over), got one", "--zip")
        if len({len(axis.values) for axis in axes}) != 1:
            counts = ", ".join(f"{axis.key} {len(axis.values)}" for axis in axes) or "no axis"
            raise UsageError(f"every --over needs the same number of values, got {counts}", "--zip")
        values = zip(*(axis.values for axis in axes), strict=True)
    else:
        values = itertools.product(*(axis.values for axis in axes))
    for value in values:
        yield dict(zip(keys, value, strict=True))


def _sobol(axes: Sequence[Axis | Choices], count: int) -> list[list[Any]]:
    from scipy.stats import qmc

    # A power of two, of which SciPy does not warn; the first point is a corner of the box.
    shares = qmc.Sobol(len(axes), scramble=False).random_base2(math.ceil(math.log2(count + 1)))[1 : count + 1]
    return [[axis.at(float(share)) for axis, share in zip(axes, point, strict=True)] for point in shares]


def of_point(base: TrainConfig, point: Mapping[str, Any], seeds: int) -> list[Trial]:
    """The trials of one point: the config with its settings, from `seeds` seeds."""
    changes = [Override(f"--over {key}={flow(value)}", key, value) for key, value in point.items()]
    changes.sort(key=lambda change: change.key.count("."))  # an entry before its keys, in whatever order they came
    config = load(TrainConfig, dump(base), changes) if changes else base
    label = "-".join(flow(value) for value in point.values()) or base.name
    own = range(config.seed, config.seed + seeds)
    return [Trial(label, config.model_copy(update={"seed": seed}), point) for seed in own]


def _of_points(
    asked: SweepConfig, axes: Sequence[Axis | Choices], tried: Iterable[Mapping[str, Any]], seeds: int
) -> tuple[Trial, ...]:
    """The trials of these points. ConfigError for all values of the axes that the training refuses, as they were
    typed."""
    assert isinstance(asked.config, TrainConfig)
    trials, refused, problems = list[Trial](), 0, dict[Problem, None]()
    for point in tried:
        try:
            trials += of_point(asked.config, point, seeds)
        except ConfigError as error:
            problems |= dict.fromkeys(error.problems)
            if (refused := refused + 1) == COMBINED:
                break
    if problems:
        first: dict[tuple[str, str], Problem] = {}  # a range of values may have one problem many times
        for problem in problems:
            first.setdefault((problem.where.partition("=")[0], problem.message), problem)
        raise ConfigError("", [*first.values()])
    return tuple(trials)


def _require_once(axes: Iterable[Axis | Choices]) -> None:
    """UsageError for a value that an axis has twice."""
    for axis in axes:
        texts = [*map(flow, axis.values)] if isinstance(axis, Choices) else []
        if twice := [text for text in dict.fromkeys(texts) if texts.count(text) > 1]:
            raise UsageError(f"{', '.join(twice)} is repeated", f"--over {axis.key}")


def _require_distinct(trials: Sequence[Trial], samples: int | None = None) -> None:
    """UsageError where two points are the same training, so that one of them would be shown twice."""
    first: dict[str, Trial] = {}
    for trial in trials:
        if (other := first.setdefault(trial.digest, trial)) is not trial:
            a, b = (", ".join(f"{k}={flow(v)}" for k, v in t.settings.items()) for t in (other, trial))
            if samples is None:
                raise UsageError(f"{a} and {b} are the same training", "--over")
            raise UsageError(f"two of {samples} samples are the same training, {a}", "--samples")


def _require_rungs(asked: SweepConfig, points: int) -> None:
    """UsageError for successive halving that leaves out none of the points."""
    assert isinstance(asked.config, TrainConfig)
    if asked.halving is not None and len(rungs(points, asked.config.epochs, asked.halving)) < 2:
        have = f"{plural(points, 'setting')} and {plural(asked.config.epochs, 'epoch')}"
        needed = f"{asked.halving} settings and {asked.halving} epochs"
        raise UsageError(f"expected at least {needed}, got {have}", "--halving")


def _require_metric(asked: SweepConfig) -> None:
    """UsageError for a metric that the trainings will not have, or not at each rung or point of a search."""
    assert isinstance(asked.config, TrainConfig)
    at_the_end = TESTED if asked.config.data.holdout else ()
    if not asked.confirm:  # which settings are confirmed is the same on every machine
        at_the_end = ("seconds", *at_the_end)
    accepted = ROW if asked.halving or asked.search else (*ROW, *at_the_end)
    if asked.metric not in accepted:
        if asked.metric in TESTED and not asked.config.data.holdout:
            raise UsageError(f"{asked.metric} needs held-out images (data.holdout)", "--metric")
        raise UsageError(unknown("metric", asked.metric, accepted), "--metric")


def _count(axis: Axis | Choices) -> float:
    """How many values a search can choose."""
    if isinstance(axis, Choices):
        return len(axis.values)
    return axis.at(1.0) - axis.at(0.0) + 1 if axis.whole else math.inf


COMBINED = 64
"""Combinations of values that are tried before a search, a few milliseconds each."""


def _corners(asked: SweepConfig, axes: Sequence[Axis | Choices]) -> list[Trial]:
    """One training per end of an axis of a search, so that all its data and devices are known.

    UsageError where it lacks a budget or an axis, has another plan, or Optuna is not installed; ConfigError for values
    of its axes, also together: for the first COMBINED combinations of ends.
    """
    if asked.samples is None:
        raise UsageError("expected a number of points (--samples), got none", "--search")
    if not axes:
        raise UsageError("expected an axis (--over), got none", "--search")
    for key in ("zip", "halving"):
        if getattr(asked, key):
            raise UsageError(f"--search and --{key} cannot be combined")
    assert isinstance(asked.config, TrainConfig)
    ends = {a.key: a.values if isinstance(a, Choices) else [a.at(0.0), a.at(1.0)] for a in axes}
    corner = {key: values[0] for key, values in ends.items()}
    others = [{**corner, key: value} for key, values in ends.items() for value in values[1:]]
    counts = [_count(axis) for axis in axes]
    if asked.samples > (count := math.prod(counts)):
        raise UsageError(
            f"expected at most {int(count):,}, the points of the axes, got {asked.samples}", "--samples"
        )
    products = itertools.islice(itertools.product(*ends.values()), COMBINED)
    _of_points(asked, axes, (dict(zip(ends, values, strict=True)) for values in products), 1)
    corners = [of_point(asked.config, point, 1)[0] for point in (corner, *others)]
    _require_distinct(corners)
    search.require_optuna()
    return corners
