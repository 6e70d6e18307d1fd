"""A fair comparison of rules on trainings: each is tuned with the same budget, then evaluated from seeds it was not
tuned on.

Settings are drawn from one space (`tuning_space.network_space`) and chosen by the accuracy on held-out training images,
the best of them from two seeds; the chosen ones train again from new seeds and are evaluated on the test set. All rules
share their uniform numbers, their seeds and the order of images. Repeats draw settings and seeds again. They are the
sample, so every interval includes the randomness of tuning, and a single repeat has no verdict.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean
from typing import Any

from optilab import runs
from optilab.config.load import load
from optilab.config.presets import rules_named
from optilab.config.study import BenchmarkConfig
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.errors import DataError, UsageError
from optilab.judge.comparison import no_better_than_chance
from optilab.judge.groups import STAGE, request_of
from optilab.judge.judge import Judgment, alpha, judge
from optilab.judge.measure import GroupValues, Measure
from optilab.optimize.rule import short_name
from optilab.study import tuning_space
from optilab.study.plan import SEEDS_PER_REPEAT, Batch, Plan, final_seeds, mean_score, ranked
from optilab.study.study import StudySpec
from optilab.study.sweep import MAX_TRIALS
from optilab.study.trials import Trial, as_trial
from optilab.study.tuning_space import untuned
from optilab.words import plural

TUNED_BY = "val_acc"
"""The metric that a setting is chosen by."""
JUDGED = Measure("test_acc")
PLACE = ("network", "rule", "repeat", "setting", STAGE)
"""The settings of a trial that say where it stands in the benchmark; the others are the tuned fields."""

Settings = Mapping[str, Any]


# --- the plan ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entrant:
    """A rule that takes part on a network: a training, and its tuned fields."""

    asked: BenchmarkConfig
    network: str
    name: str
    label: str
    """The start of the labels of its trials."""
    axes: Settings
    config: TrainConfig
    changes: Settings
    """Further changes of the training, by key: its optimizer."""
    fields: Mapping[str, Any]
    """The tuned fields, each with the rule that has it."""
    option: str
    """The option that names the entrant, for errors about its changed training."""
    columns: Sequence[str] = ()
    """The fields of all entrants, which trials.csv has for each."""
    repeat: int = 0

    @property
    def first(self) -> int:
        """The first seed of the repeat."""
        return self.config.seed + self.repeat * SEEDS_PER_REPEAT

    @cached_property
    def tuning(self) -> list[Trial]:
        """One trial per setting."""
        return [self.trial("tuning", place, self.first + place) for place in range(self.asked.budget)]

    def trial(self, stage: str, place: int, seed: int) -> Trial:
        """A training of the setting at that place."""
        config, settings = self._drawn[place]
        axes = {**self.axes, "repeat": self.repeat + 1, "setting": place + 1}
        axes |= {**{key: settings.get(key) for key in self.columns}, "stage": stage}
        label = f"{self.label}-{place + 1 if stage == 'tuning' else stage}"
        return Trial(label, config.model_copy(update={"seed": seed}), axes)

    @cached_property
    def _drawn(self) -> list[tuple[TrainConfig, Settings]]:
        """Each setting, and the training with it; a schedule goes by batches."""
        drawn = list[tuple[TrainConfig, Settings]]()
        for settings in self.draw():
            keys = {**self.changes}
            for key, value in settings.items():
                keys[key if tuning_space.is_of_training(self.fields[key], key) else f"optimizer.{key}"] = value
            keys |= {"schedule_by": "batch"} if settings.get("schedule", "constant") != "constant" else {}
            changes = [Override(self.option, key, value) for key, value in keys.items()]
            drawn.append((load(TrainConfig, self.config, changes), settings))
        return drawn

    def draw(self) -> list[Settings]:
        """`budget` settings of the tuned fields, evenly over their ranges.

        The first n of N are those of a budget of n, and all rules share the numbers behind a field. A second rate,
        `others.lr`, has other numbers.
        """
        import numpy as np

        asked, columns = self.asked, dict[str, Sequence[Any]]()
        for key, rule in self.fields.items():
            name = tuning_space.name_in_space(key)
            stream = ".".join([*(part for part in key.split(".")[:-1] if part != "base"), name])
            names = (zlib.crc32(text.encode()) for text in (self.network, stream))
            generator = np.random.default_rng([asked.seed, self.repeat, *names])
            distributions = tuning_space.network_space(rule) | tuning_space.ranges(asked.over)
            numbers = tuning_space.sobol(asked.budget, stream, generator, asked.over)
            values = tuning_space.distribution_of(key, distributions)(numbers).tolist()
            columns[key] = [v if isinstance(v, str) else float(f"{v:.6g}") for v in values]
        return [{key: column[place] for key, column in columns.items()} for place in range(asked.budget)]


def benchmark_plan(entrants: Sequence[Entrant], finalists: int, seeds: int) -> Plan:
    """Tune every entrant with its own settings, choose, and train the chosen one of each from new seeds.

    Every setting is trained from one seed; the best `finalists` of an entrant from one more seed, which is the same for
    all; the one with the highest mean over its seeds from new ones. There is none where no setting has a score.
    """
    outcomes = yield Batch([trial for entrant in entrants for trial in entrant.tuning])
    scores = [
        [mean_score([outcomes[trial.name].row], TUNED_BY) for trial in entrant.tuning] for entrant in entrants
    ]
    best = [ranked(of_entrant)[:finalists] for of_entrant in scores]
    undecided = [
        (scored, place, entrant.trial("finalist", place, entrant.first + SEEDS_PER_REPEAT - 1))
        for entrant, scored, places in zip(entrants, scores, best, strict=True)
        for place in places
        if len(places) > 1
    ]
    if undecided:
        outcomes = yield Batch([trial for _, _, trial in undecided])
    for scored, place, trial in undecided:
        scored[place] += mean_score([outcomes[trial.name].row], TUNED_BY)
    finals = [
        entrant.trial("final", max(places, key=scored.__getitem__), seed)
        for entrant, scored, places in zip(entrants, scores, best, strict=True)
        for seed in final_seeds(entrant.first, seeds)
        if places
    ]
    if finals:
        yield Batch(finals)


@dataclass(frozen=True)
class BenchmarkSpec(StudySpec):
    """The trials of a benchmark; `trials` are those of the tuning."""

    request: BenchmarkConfig
    entrants: tuple[Entrant, ...] = field(kw_only=True)
    """The entrants of every repeat."""


def _benchmark_of(asked: BenchmarkConfig, entered: Sequence[Entrant]) -> BenchmarkSpec:
    """A benchmark of these entrants, each tuned and evaluated in every repeat."""
    names = list(dict.fromkeys(entrant.name for entrant in entered))
    by_name = (entrant for name in names for entrant in entered if entrant.name == name)
    columns = list(dict.fromkeys(key for entrant in by_name for key in entrant.fields))
    entrants = tuple(replace(c, columns=columns, repeat=r) for c in entered for r in range(asked.repeats))
    trials = tuple(trial for entrant in entrants for trial in entrant.tuning)
    networks = list(dict.fromkeys(entrant.network for entrant in entrants))
    counts = [plural(len(names), "optimizer"), plural(len(networks), "network")]
    counts += [f"{asked.repeats} repeats"] if asked.repeats > 1 else []
    each = [
        plural(asked.budget, "setting"),
        *([f"{asked.finalist_count} finalists"] if asked.finalist_count else []),
    ]
    each.append(plural(asked.seeds, "seed"))
    rules = [(c, c.tuning[0].config.optimizer) for c in entrants]
    notes = dict.fromkeys(
        note for c, rule in rules for note in untuned(c.name, rule.original.name, vars(rule), c.fields)
    )
    spaces = {
        network: {c.name: tuning_space.searched(c.fields, asked.over) for c in entered if c.network == network}
        for network in networks
    }
    places = [f"{network}/{name}" for network in networks for name in names] if len(networks) > 1 else []
    return BenchmarkSpec(
        asked.kind,
        asked,
        lambda study, dry: benchmark_plan(entrants, asked.finalists, asked.seeds),
        trials,
        " x ".join([*counts, f"({' + '.join(each)})"]),
        keep=asked.keep,
        labels=[*names, *places],
        sample=asked.repeats,
        unit="repeats",
        notes=[*notes, *tuning_space.search_notes(spaces)],
        facts={"search_space": spaces},
        entrants=entrants,
    )


def _resolved(request: BenchmarkConfig, changes: Sequence[Override]) -> BenchmarkConfig:
    """`request` with its trainings as keys, changed, each with images held out and one thread."""
    loaded = [load(TrainConfig, training, changes) for training in request.config]
    configs = [as_trial(config, data=config.data.holding_out(request.holdout)) for config in loaded]
    names = [config.name for config in configs]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise UsageError(f"two trainings have the name {', '.join(twice)}", "config")
    return request.model_copy(update={"config": configs, "name": request.name or "-".join(names[:3])})


def spec_of(request: BenchmarkConfig, changes: Sequence[Override] = ()) -> BenchmarkSpec:
    """The tunings of a benchmark, with `changes` of its trainings. UsageError for rules that cannot train, or too many
    trials."""
    request = _resolved(request, changes)
    names = dict.fromkeys(request.algos)
    rules = dict(zip(names, rules_named("--algo", [*names], request.over), strict=True))
    labels = {rule.name for rule in rules.values()}
    if len(rules) < 2 or len(labels) < len(rules):
        text = f"expected at least two different optimizers, got {', '.join(rule.name for rule in rules.values())}"
        raise UsageError(text, "--algo")
    tuning_space.require_tunable(request.over, [*rules.values()])
    count = (
        len(rules)
        * len(request.config)
        * request.repeats
        * (request.budget + request.finalist_count + request.seeds)
    )
    if count > MAX_TRIALS:
        raise UsageError(f"expected at most {MAX_TRIALS:,} trials, got {count:,}", "--budget")
    entrants = [
        Entrant(
            request,
            config.name,
            rule.name,
            f"{config.name}-{short_name(rule)}",
            {"network": config.name, "rule": rule.name},
            config,
            {"optimizer": name},
            tuning_space.searched_fields(rule, _extra_search_keys(request, config)),
            "--algo",
        )
        for config in request.config
        for name, rule in rules.items()
    ]
    return _benchmark_of(request, entrants)


def _extra_search_keys(request: BenchmarkConfig, config: TrainConfig) -> set[str]:
    """Further hyperparameters to tune, without those that the training sets."""
    more = {*request.over, *(key for key in tuning_space.NETWORK_KEYS if getattr(request, key))}
    more -= {"weight_decay"} if config.weight_decay else set()
    return more - {"schedule"} if config.schedule.name != "constant" or config.plateau else more


# --- results --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Raced:
    """A rule on one network, as far as its trials have ended."""

    settings: Mapping[int, Settings]
    """The chosen settings of each repeat that has any."""
    runs: Mapping[int, runs.Record]
    """The evaluated trainings, by seed."""
    accuracy: GroupValues
    """The accuracy on the test set, by seed."""
    repeats: Mapping[int, float]
    """The mean accuracy of each repeat."""
    boundary_notes: Mapping[int, str]
    """The chosen learning rates that are an end of those tried, by repeat."""
    repeat_of: Mapping[int, int]
    """The repeat of each seed of `runs`."""
    failed: int
    """Trials that failed. It has as many fewer settings or seeds."""

    @property
    def optimizer(self) -> Settings:
        """The optimizer of the evaluated trainings, as their manifests have it; empty where there are none."""
        configs = (record.manifest.get("config", {}) for record in self.runs.values())
        return next((config.get("optimizer", {}) for config in configs), {})


@dataclass(frozen=True)
class BenchmarkTable:
    """The verdicts on one network, or over all of them."""

    network: str
    """Empty for the table over all networks."""
    raced: Mapping[str, Raced]
    """The entrants on the network, by name, in the order of the plan."""
    judgment: Judgment[str] | None
    """The comparison with the repeats as the sample, or over all networks the networks; None where nothing was
    evaluated.
    """

    @property
    def sample(self) -> str:
        """The sample of the verdicts."""
        return "repeats" if self.network else "networks"

    @property
    def has_verdicts(self) -> bool:
        """One repeat is not a sample."""
        return self.judgment is not None and any(len(row.values) > 1 for row in self.judgment.rows)

    @property
    def better_than_chance(self) -> bool:
        """True if a row is better than the chance level."""
        return not no_better_than_chance([raced.accuracy for raced in self.raced.values()], higher_is_better=True)


@dataclass(frozen=True)
class BenchmarkResult:
    """The table of each network, and with several networks the one over all of them."""

    budget: int
    seeds: int
    finalists: int
    """The largest number of the best settings that were trained from a second seed before one was chosen."""
    networks: Sequence[BenchmarkTable]
    overall: BenchmarkTable | None
    looks: int
    """The number of earlier comparisons, with other trainings."""

    @property
    def rules(self) -> list[str]:
        """The names of what raced, in the order of the plan."""
        return list(dict.fromkeys(rule for table in self.networks for rule in table.raced))

    @property
    def repeats(self) -> int:
        """The number of repeats that were evaluated."""
        return max((len(raced.repeats) for table in self.networks for raced in table.raced.values()), default=0)


def read(study: runs.Study) -> BenchmarkResult | None:
    """The result of a benchmark so far, from its tables; None for another study.

    What has no evaluated training has no row. A user's rule is not loaded. DataError for a damaged table or run,
    ConfigError for a damaged study.yaml.
    """
    trials = study.ended
    if not trials or any(key not in trials[0].settings for key in ("network", "rule", "setting", "stage")):
        return None
    study.completed()  # DataError where one cannot be evaluated
    request = request_of(study)
    budget, finalists, seeds = (int(request.get(key) or 1) for key in ("budget", "finalists", "seeds"))
    networks: dict[str, dict[str, list[runs.StudyTrial]]] = {}
    for trial in trials:
        place = trial.settings
        if type(place.get("setting")) is not int or place.get("stage") not in ("tuning", "finalist", "final"):
            raise DataError(f"{study.path}: expected the number of a setting and its stage of {trial.name}")
        networks.setdefault(str(place.get("network")), {}).setdefault(str(place.get("rule")), []).append(trial)
    level = alpha(study.earlier_looks)
    tables = []
    for network, rules in networks.items():
        raced = {rule: _raced(trained, budget, seeds) for rule, trained in rules.items()}
        means = {rule: result.repeats for rule, result in raced.items() if result.repeats}
        boundary_notes = {rule: result.boundary_notes for rule, result in raced.items()}
        judged = any(result.runs for result in raced.values())
        judgment = judge(means, level=level, limits=JUDGED.limits, improvable=boundary_notes) if judged else None
        tables.append(BenchmarkTable(network, raced, judgment))
    return BenchmarkResult(budget, seeds, finalists, tables, _over_all(tables, level), study.earlier_looks)


def _raced(trials: Sequence[runs.StudyTrial], budget: int, seeds: int) -> Raced:
    """The result of the trials of a rule on a network, of `budget` settings, judged from `seeds` seeds.

    A benchmark that has grown may have chosen other settings before; the trials of its plan now come first. A repeat of
    which every setting diverged has the accuracy of the chance level, as has an evaluated training.
    """
    settings, judged, boundary_notes = dict[int, Settings](), dict[int, runs.Record](), dict[int, str]()
    accuracy, imputed, means = dict[int, float](), dict[int, str](), dict[int, float]()
    repeat_of = dict[int, int]()
    classes = next((t.run.classes for t in trials if t.run and t.status in ("done", "diverged")), 0)
    chance = JUDGED.chance(classes) or 0.0
    repeats: dict[int, list[runs.StudyTrial]] = {}
    for trial in trials:
        repeats.setdefault(int(trial.settings.get("repeat") or 1), []).append(trial)
    for repeat, of_repeat in sorted(repeats.items()):
        tuning, finals = ([t for t in of_repeat if t.settings["stage"] == stage] for stage in ("tuning", "final"))
        finals = [t for t in finals if t.settings["setting"] == finals[0].settings["setting"]]
        ran = {t.seed: t for t in finals if t.status in ("done", "diverged")}
        diverged = {seed: "diverged" for seed, t in ran.items() if t.status == "diverged"}
        if finals:
            settings[repeat] = _tuned(finals[0])
            boundary_notes |= _boundary_note(repeat, finals[0], tuning)
        elif sum(t.status == "diverged" for t in tuning) == budget:
            first = tuning[0].seed - tuning[0].settings["setting"] + 1
            diverged = dict.fromkeys(final_seeds(first, seeds), "every setting diverged")
        reached = {seed: t.outcome["test_acc"] for seed, t in ran.items() if t.status == "done"}
        reached |= dict.fromkeys(diverged, chance)
        means |= {repeat: fmean(reached.values())} if reached else {}
        judged |= {seed: t.run for seed, t in ran.items() if t.run}
        repeat_of |= dict.fromkeys(ran, repeat)
        accuracy |= reached
        imputed |= diverged
    failed = sum(trial.status == "failed" for trial in trials)
    values = GroupValues(accuracy, imputed, chance=chance)
    return Raced(settings, judged, values, means, boundary_notes, repeat_of, failed)


def _tuned(trial: runs.StudyTrial) -> Settings:
    """The values of the tuned fields of a trial."""
    return {key: v for key, v in trial.settings.items() if key not in PLACE and v not in (None, "null")}


def _boundary_note(repeat: int, chosen: runs.StudyTrial, tuning: Sequence[runs.StudyTrial]) -> dict[int, str]:
    """The chosen learning rate by its repeat, where it is an end of those tried; empty for one between others."""
    for key, value in _tuned(chosen).items():
        rates = [rate for t in tuning if type(rate := t.settings.get(key)) in (int, float)]
        if key.rpartition(".")[2] == "lr" and (end := tuning_space.end_of(value, rates)):
            return {repeat: f"{key} {value:.3g}, the {end}"}
    return {}


def _over_all(tables: Sequence[BenchmarkTable], level: float) -> BenchmarkTable | None:
    """The table with the networks as the sample; None for a single network, and if a row lacks a result."""
    rules = dict.fromkeys(rule for table in tables for rule in table.raced)
    judged = [table for table in tables if table.judgment]
    means = {
        rule: {t.network: fmean(t.raced[rule].repeats.values()) for t in judged if t.raced[rule].repeats}
        for rule in rules
    }
    if len(tables) < 2 or any(len(by_network) < len(tables) for by_network in means.values()):
        return None
    boundary_notes = {
        rule: [table.network for table in tables if table.raced[rule].boundary_notes] for rule in rules
    }
    return BenchmarkTable("", {}, judge(means, level=level, limits=JUDGED.limits, improvable=boundary_notes))
