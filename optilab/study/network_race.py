"""A fair race of rules on trainings: each is tuned with the same budget, then judged on seeds it was not tuned on.

Settings are drawn from one space (`search_space.network_space`) and chosen by the accuracy on held-out training images;
the chosen ones train again from new seeds and are judged on the test set. All rules share their uniform numbers, their
seeds and the order of images. An interval over seeds holds for the settings that were chosen; with repeats, which draw
settings and seeds anew, the repeats are the sample, and the luck of tuning is part of the interval.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optilab import runs
from optilab.config.load import Override, dump, load, to_yaml
from optilab.config.presets import rules_named
from optilab.config.study import RaceConfig
from optilab.config.training import TrainConfig
from optilab.errors import RunError, UsageError
from optilab.study import search_space
from optilab.study.plan import Plan, TunedCandidate, tuned
from optilab.study.race_results import OPTIMIZERS, RaceResult, TuningOutcome, race_result
from optilab.study.sweep import MAX_TRIALS
from optilab.study.trials import Outcome, Trial, refused_changes

SPAN = 20_000
"""Seeds of a repeat: the first half for tuning, the second for judging."""


@dataclass(frozen=True)
class NetworkRace:
    """What a race trains."""

    asked: RaceConfig
    rules: Mapping[str, Sequence[str]]
    """The fields that are tuned, by the name of the rule."""
    problems: Mapping[str, TrainConfig]
    candidates: tuple[TunedCandidate, ...]
    kinds: tuple[str, str] = OPTIMIZERS
    """What is compared, one and several."""
    command: str = "race"
    metric = "val_acc"
    relabels = False  # finals would pass for settings under another label

    @property
    def trials(self) -> list[Trial]:
        """Those of the tuning."""
        return [trial for candidate in self.candidates for trial in candidate.tuning]

    @property
    def count(self) -> int:
        return len(self.trials)

    @property
    def shape(self) -> str:
        """`3 rules x 2 networks x (10 settings + 5 seeds)`."""
        asked = self.asked
        parts = [
            f"{len(self.rules)} {self.kinds[1]}",
            f"{len(self.problems)} network{'s' * (len(self.problems) > 1)}",
        ]
        parts += [f"{asked.repeats} repeats"] if asked.repeats > 1 else []
        return " x ".join([*parts, f"({asked.budget} settings + {asked.seeds} seed{'s' * (asked.seeds > 1)})"])

    @property
    def keep(self) -> str:
        return self.asked.keep

    def study(self) -> bytes:
        return to_yaml(self.asked)

    def plan(self, study: Path, dry: bool = False) -> Plan:
        return tuned(self.candidates)

    def require_same(self, study: Path) -> None:
        """RunError where a study raced on other trainings; rules, trainings, budget and seeds may grow."""
        asked, before = self.asked, resolve(load(RaceConfig, str(study / runs.STUDY)))
        old = {config.name: config for config in before.on}
        changed = [
            f"{config.name}: {'; '.join(keys)}"
            for config in asked.on
            if config.name in old and (keys := refused_changes(old[config.name], config, before.keep))
        ]
        changed += [f"seed: {before.seed} -> {asked.seed}"] if before.seed != asked.seed else []
        if changed:
            raise RunError(f"{study} was started with other settings: {'; '.join(changed)}; choose another --name")


def resolve(asked: RaceConfig, changes: Sequence[Override] = ()) -> RaceConfig:
    """`asked` with its trainings as keys, changed, each with images held out and one thread."""
    found = []
    for given in asked.on:
        config = load(TrainConfig, given if isinstance(given, str) else dump(given), changes)
        held = config.data.model_copy(update={"holdout": config.data.holdout or asked.holdout})
        device = "cpu" if config.device == "auto" else config.device
        found.append(config.model_copy(update={"threads": 1, "device": device, "data": held}))
    names = [config.name for config in found]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise UsageError(f"two trainings of the name {', '.join(twice)}; give each its own `name`", "--on")
    return asked.model_copy(update={"on": found, "name": asked.name or "-".join(names[:3])})


def plan(asked: RaceConfig) -> NetworkRace:
    """The tunings of a resolved race. UsageError for rules that cannot train, or too many trials."""
    rules = {}
    for name in dict.fromkeys(asked.algos):
        rules[name] = rules_named("--algos", name)[0]
    labels = {name: rule.name for name, rule in rules.items()}
    if len(rules) < 2 or len(set(labels.values())) < len(labels):
        raise UsageError(f"two different rules expected, got {', '.join(labels.values())}", "--algos")
    problems = {config.name: config for config in asked.on}
    count = len(rules) * len(problems) * asked.repeats * (asked.budget + asked.seeds)
    if count > MAX_TRIALS:
        raise UsageError(f"{count:,} trials; at most {MAX_TRIALS:,} make a study", "--budget")
    candidates = [
        TunedCandidate(
            problem,
            rule.name,
            repeat,
            _tuning(asked, name, rule, config, repeat),
            final_seeds(config.seed, asked.seeds, repeat),
        )
        for problem, config in problems.items()
        for name, rule in rules.items()
        for repeat in range(asked.repeats)
    ]
    fields = {rule.name: list(search_space.tuned(rule)) for rule in rules.values()}
    return NetworkRace(asked, fields, problems, tuple(candidates))


def final_seeds(first: int, seeds: int, repeat: int = 0) -> range:
    """The new seeds of a repeat, after those of its tuning; `first` is the seed of the training."""
    start = first + repeat * SPAN + SPAN // 2
    return range(start, start + seeds)


def _tuning(asked: RaceConfig, name: str, rule: Any, config: TrainConfig, repeat: int) -> tuple[Trial, ...]:
    """One trial per drawn setting."""
    trials = []
    for number, settings in enumerate(draw(asked, search_space.tuned(rule), config.name, repeat)):
        value = _entry(name, rule, settings)
        changed = load(TrainConfig, dump(config), [Override(f"--algos {name}", "optimizer", value)])
        seed = config.seed + repeat * SPAN + number
        axes = {"network": config.name, "rule": rule.name, "repeat": repeat + 1, "setting": number + 1}
        of_rule = {field: settings.get(field) for field in _fields(asked)}
        trials.append(
            Trial(
                f"{config.name}-{rule.name}-{number + 1}",
                changed.model_copy(update={"seed": seed}),
                {**axes, **of_rule, "stage": "tuning"},
            )
        )
    return tuple(trials)


def _entry(name: str, rule: Any, settings: Mapping[str, float]) -> dict[str, Any]:
    """The rule as the value of `optimizer`, with settings such as `base.lr` inside the rule that it wraps."""
    tree: dict[str, Any] = {"name": name}
    for field, value in settings.items():
        *path, last = field.split(".")
        inner, owner = tree, rule
        for part in path:
            owner = getattr(owner, part)
            inner = inner.setdefault(part, {"name": owner.name})
        inner[last] = value
    return tree


def draw(asked: RaceConfig, tuned: Mapping[str, Any], problem: str, repeat: int) -> list[dict[str, float]]:
    """`budget` settings of the fields `tuned`, each with the rule that has it; the first n of N are those of a budget
    of n, and all rules share the uniform numbers behind a field.
    """
    columns = {}
    for field, rule in tuned.items():
        name = field.rpartition(".")[2]
        generator = np.random.default_rng([asked.seed, repeat, *(zlib.crc32(t.encode()) for t in (problem, name))])
        values = search_space.network_space(rule)[name](generator.random(asked.budget))
        columns[field] = [float(f"{v:.6g}") for v in values.tolist()]
    return [{field: column[k] for field, column in columns.items()} for k in range(asked.budget)]


def _fields(asked: RaceConfig) -> list[str]:
    """The tuned fields of all rules, so that the columns of trials.csv are the same for all."""
    rules = rules_named("--algos", ",".join(asked.algos))
    return list(dict.fromkeys(field for rule in rules for field in search_space.tuned(rule)))


# --- results -----------------------------------------------------------------------------------------------


def result(planned: NetworkRace, outcomes: Sequence[Outcome], study: Path) -> RaceResult:
    """What the trials say; rules without a judged training have no row. DataError for a damaged run."""
    by_name = {outcome.trial.name: outcome for outcome in outcomes}
    judged = []
    for own in planned.candidates:
        scores, chosen = own.scores(by_name), own.chosen(by_name)
        finals = [by_name[t.name] for t in own.finals(chosen) if t.name in by_name] if chosen else []
        ended = [by_name[t.name] for t in own.tuning if t.name in by_name] + finals
        judged.append(
            TuningOutcome(
                own.problem,
                own.name,
                own.repeat,
                None if scores is None else tuple(scores),
                {key: chosen.settings[key] for key in planned.rules[own.name]} if chosen else None,
                tuple(o.trial.name for o in finals if o.status in ("done", "diverged")),
                sum(outcome.failed for outcome in ended),
            )
        )
    asked = planned.asked
    return race_result(judged, asked.budget, asked.seeds, asked.target, planned.kinds, study)
