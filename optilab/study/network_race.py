"""A fair race of rules on trainings: each is tuned with the same budget, then judged on seeds it was not tuned on.

Settings are drawn from one space (`search_space.network_space`) and chosen by the accuracy on held-out training images,
the best of them from two seeds; the chosen ones train again from new seeds and are judged on the test set. All rules
share their uniform numbers, their seeds and the order of images. Repeats draw settings and seeds again. They are the
sample, so the luck of tuning is part of every interval, and one repeat has no verdict.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import inf
from operator import itemgetter
from pathlib import Path
from statistics import fmean
from typing import Any, Self

from optilab import runs
from optilab.config.load import load
from optilab.config.presets import rules_named
from optilab.config.section import dump
from optilab.config.study import RaceConfig
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.errors import DataError, UsageError
from optilab.optimize.rule import short_name
from optilab.runs.metrics import METRICS
from optilab.study import search_space
from optilab.study.comparison import learned_nothing
from optilab.study.groups import asked_of
from optilab.study.judge import Comparison, judge, level_after
from optilab.study.measure import GroupValues, Measure
from optilab.study.plan import SPAN, Batch, Outcomes, Plan, StudyPlan, again, final_seeds, ranked
from optilab.study.search_space import untuned
from optilab.study.sweep import MAX_TRIALS
from optilab.study.trials import Trial, as_trial
from optilab.words import plural

JUDGED = Measure("test_acc")
OPTIMIZERS, REMEDIES = ("optimizer", "optimizers"), ("remedy", "variants")
"""What is compared, one and several."""

Settings = Mapping[str, Any]


# --- the plan ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entrant:
    """What races on a network, a rule or a remedy: a training, and the keys of it that a setting patches."""

    asked: RaceConfig
    network: str
    name: str
    label: str
    """The start of the labels of its trials."""
    axes: Settings
    config: TrainConfig
    fields: Mapping[str, Any]
    """What is tuned, each field with the rule that has it."""
    patch: Callable[[Settings], Settings]
    """The keys of the training, by a setting of these fields."""
    option: str
    """The one that names the candidate, where a patched training is refused."""
    columns: Sequence[str] = ()
    """The fields of all candidates, which trials.csv has for each."""
    repeat: int = 0

    @cached_property
    def tuning(self) -> list[Trial]:
        """One trial per drawn setting."""
        trials, first = [], self.config.seed + self.repeat * SPAN
        for number, settings in enumerate(draw(self.asked, self.fields, self.network, self.repeat)):
            changes = [Override(self.option, key, value) for key, value in self.patch(settings).items()]
            changed = load(TrainConfig, dump(self.config), changes)
            axes = {**self.axes, "repeat": self.repeat + 1, "setting": number + 1}
            axes |= {**{key: settings.get(key) for key in self.columns}, "stage": "tuning"}
            seeded = changed.model_copy(update={"seed": first + number})
            trials.append(Trial(f"{self.label}-{number + 1}", seeded, axes))
        return trials

    def finalists(self, outcomes: Outcomes) -> list[Trial]:
        """The best settings, from one more seed that is the same for all."""
        seed = self.config.seed + (self.repeat + 1) * SPAN - 1
        best = finalists(_rows(self.tuning, outcomes), self.asked.finalists)
        label = f"{self.network}-{self.name}-finalist"
        return [trial for place in best for trial in again(self.tuning[place], [seed], "finalist", label)]

    def finals(self, outcomes: Outcomes) -> list[Trial]:
        """The chosen setting, from new seeds; none where no setting has a score."""
        second = _rows(self.finalists(outcomes), outcomes)
        place = choice(_rows(self.tuning, outcomes), second, self.asked.finalists)
        seeds = final_seeds(self.config.seed, self.asked.seeds, self.repeat)
        label = f"{self.network}-{self.name}-final"
        return [] if place is None else again(self.tuning[place], seeds, "final", label)


def _rows(trials: Iterable[Trial], outcomes: Outcomes) -> list[runs.Row]:
    return [outcomes[trial.name].row for trial in trials]


def score_of(row: runs.Row) -> float:
    """The validation accuracy that a setting is chosen by; -inf for a training that diverged or failed."""
    value = row.get("val_acc")
    return float(value) if row["status"] == "done" and isinstance(value, int | float) else -inf


def finalists(rows: Sequence[runs.Row], count: int) -> list[int]:
    """The places of the `count` best settings, which a second seed decides between; none where that is one setting."""
    best = ranked([*map(score_of, rows)])[:count]
    return best if len(best) > 1 else []


def choice(rows: Sequence[runs.Row], second: Sequence[runs.Row], count: int) -> int | None:
    """The place of the setting with the highest mean over its two seeds, or of one seed where there are no finalists.

    `rows` are those of the settings, `second` those of the finalists. None where no setting has a score, and as long as
    a finalist lacks its second one.
    """
    scores = [*map(score_of, rows)]
    if not (best := finalists(rows, count)):
        return next(iter(ranked(scores)), None)
    second_scores = {row["setting"]: score_of(row) for row in second}
    if any(rows[place]["setting"] not in second_scores for place in best):
        return None
    return max(best, key=lambda place: scores[place] + second_scores[rows[place]["setting"]])


def race(candidates: Sequence[Entrant]) -> Plan:
    """Tune every candidate with its own settings, choose, and train the chosen one of each from new seeds."""
    outcomes = yield Batch([trial for candidate in candidates for trial in candidate.tuning])
    for stage in (Entrant.finalists, Entrant.finals):
        if trials := [trial for candidate in candidates for trial in stage(candidate, outcomes)]:
            outcomes = yield Batch(trials)


@dataclass(frozen=True)
class NetworkRace(StudyPlan):
    """What a race trains; its trials are those of the tuning."""

    asked: RaceConfig
    candidates: tuple[Entrant, ...]
    """In every repeat."""
    kinds: tuple[str, str] = OPTIMIZERS
    """What is compared, one and several."""
    unit = "repeats"

    @classmethod
    def of(cls, asked: RaceConfig, candidates: Sequence[Entrant], **facts: Any) -> Self:
        """Every candidate, tuned and judged in every repeat."""
        names = dict.fromkeys(candidate.name for candidate in candidates)
        by_name = (candidate for name in names for candidate in candidates if candidate.name == name)
        columns = list(dict.fromkeys(key for candidate in by_name for key in candidate.fields))
        entrants = tuple(
            replace(candidate, columns=columns, repeat=repeat)
            for candidate in candidates
            for repeat in range(asked.repeats)
        )
        return cls(asked, tuple(trial for entrant in entrants for trial in entrant.tuning), entrants, **facts)

    @property
    def names(self) -> list[str]:
        """Of the rules or remedies."""
        return list(dict.fromkeys(candidate.name for candidate in self.candidates))

    @property
    def epochs(self) -> dict[str, int]:
        """Of the trainings on each network."""
        return {candidate.network: candidate.config.epochs for candidate in self.candidates}

    @property
    def labels(self) -> list[str]:
        places = [f"{network}/{name}" for network in self.epochs for name in self.names]
        return [*self.names, *(places if len(self.epochs) > 1 else [])]

    @property
    def sample(self) -> int:
        return self.asked.repeats

    @property
    def shape(self) -> str:
        """`3 rules x 2 networks x (10 settings + 3 finalists + 5 seeds)`."""
        asked = self.asked
        parts = [f"{len(self.names)} {self.kinds[1]}", plural(len(self.epochs), "network")]
        parts += [f"{asked.repeats} repeats"] if asked.repeats > 1 else []
        each = [plural(asked.budget, "setting"), *([f"{asked.second} finalists"] if asked.second else [])]
        each.append(plural(asked.seeds, "seed"))
        return " x ".join([*parts, f"({' + '.join(each)})"])

    @property
    def notes(self) -> list[str]:
        """What is not tuned of a user's rules."""
        notes: dict[str, None] = {}
        for candidate in self.candidates:
            settings = vars(candidate.tuning[0].config.optimizer)
            notes |= dict.fromkeys(untuned(candidate.name, settings, candidate.fields))
        return list(notes)

    def plan(self, study: Path, dry: bool = False) -> Plan:
        return race(self.candidates)


def resolve(asked: RaceConfig, changes: Sequence[Override] = ()) -> RaceConfig:
    """`asked` with its trainings as keys, changed, each with images held out and one thread."""
    given = (one if isinstance(one, str) else dump(one) for one in asked.on)
    configs = [load(TrainConfig, config, changes) for config in given]
    found = [as_trial(config, data=config.data.holding_out(asked.holdout)) for config in configs]
    names = [config.name for config in found]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise UsageError(f"two trainings have the name {', '.join(twice)}", "--on")
    return asked.model_copy(update={"on": found, "name": asked.name or "-".join(names[:3])})


def plan(asked: RaceConfig) -> NetworkRace:
    """The tunings of a resolved race. UsageError for rules that cannot train, or too many trials."""
    names = dict.fromkeys(asked.algos)
    rules = dict(zip(names, rules_named("--algo", ",".join(names)), strict=True))
    labels = {name: rule.name for name, rule in rules.items()}
    if len(rules) < 2 or len(set(labels.values())) < len(labels):
        text = f"expected at least two different optimizers, got {', '.join(labels.values())}"
        raise UsageError(text, "--algo")
    problems = {config.name: config for config in asked.on}
    count = len(rules) * len(problems) * asked.repeats * (asked.budget + asked.second + asked.seeds)
    if count > MAX_TRIALS:
        raise UsageError(f"expected at most {MAX_TRIALS:,} trials, got {count:,}", "--budget")
    candidates = [
        Entrant(
            asked,
            problem,
            rule.name,
            f"{problem}-{short_name(rule)}",
            {"network": problem, "rule": rule.name},
            config,
            search_space.tuned(rule, _more(asked, config)),
            partial(_patch, name, rule),
            "--algo",
        )
        for problem, config in problems.items()
        for name, rule in rules.items()
    ]
    return NetworkRace.of(asked, candidates, command="race")


def _more(asked: RaceConfig, config: TrainConfig) -> set[str]:
    """What is tuned besides: not what the training has already."""
    more = {key for key in search_space.ON_NETWORKS if getattr(asked, key)}
    more -= {"weight_decay"} if config.weight_decay else set()
    return more - {"schedule"} if config.schedule.name != "constant" or config.plateau else more


def _patch(name: str, rule: Any, settings: Settings) -> Settings:
    """The keys of a training with the rule and its settings; a schedule goes by batches."""
    around = {key: value for key, value in settings.items() if search_space.of_training(rule, key)}
    optimizer = _entry(name, rule, {key: value for key, value in settings.items() if key not in around})
    around |= {"schedule_by": "batch"} if around.get("schedule", "constant") != "constant" else {}
    return {"optimizer": optimizer, **around}


def _entry(name: str, rule: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
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


def draw(asked: RaceConfig, tuned: Mapping[str, Any], problem: str, repeat: int) -> list[dict[str, Any]]:
    """`budget` settings of the fields `tuned`, each with the rule that has it, evenly over their ranges.

    The first n of N are those of a budget of n, and all rules share the numbers behind a field. A second rate,
    `others.lr`, has numbers of its own.
    """
    import numpy as np

    columns = {}
    for field, rule in tuned.items():
        name = search_space.name_in_space(field)
        stream = ".".join([*(part for part in field.split(".")[:-1] if part != "base"), name])
        generator = np.random.default_rng(
            [asked.seed, repeat, *(zlib.crc32(t.encode()) for t in (problem, stream))]
        )
        values = search_space.network_space(rule)[name](search_space.even(asked.budget, stream, generator))
        columns[field] = [v if isinstance(v, str) else float(f"{v:.6g}") for v in values.tolist()]
    return [{field: column[k] for field, column in columns.items()} for k in range(asked.budget)]


# --- results --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Raced:
    """A rule or a remedy on one network, as far as its trials have ended."""

    settings: Sequence[Settings]
    """The chosen ones, per repeat."""
    runs: Mapping[int, runs.Record]
    """The judged trainings, by seed."""
    accuracy: GroupValues
    """On the test set, by seed."""
    repeats: Mapping[int, float]
    """The mean accuracy of each repeat."""
    edges: Mapping[int, str]
    """The chosen learning rates that are an end of those tried, by repeat."""
    failed: int
    """Trials that failed: the number by which its settings or its seeds are fewer."""

    @property
    def optimizer(self) -> Settings:
        """The optimizer of the judged trainings, as their manifests have it; empty where there are none."""
        configs = (record.manifest.get("config", {}) for record in self.runs.values())
        return next((config.get("optimizer", {}) for config in configs), {})


@dataclass(frozen=True)
class RaceTable:
    """The verdicts on one network, or over all of them."""

    network: str
    """Empty for the table over all networks."""
    raced: Mapping[str, Raced]
    """What raced on the network, in the order of the plan."""
    comparison: Comparison[str] | None
    """Of the repeats, or over all networks of the networks; None where nothing was judged."""

    @property
    def sample(self) -> str:
        """What the verdicts generalize over."""
        return "repeats" if self.network else "networks"

    @property
    def has_verdicts(self) -> bool:
        """One repeat is not a sample."""
        return self.comparison is not None and any(len(row.values) > 1 for row in self.comparison.rows)

    @property
    def learned(self) -> bool:
        """Whether something that raced is better than the chance level."""
        return not learned_nothing([raced.accuracy for raced in self.raced.values()], rises=True)


@dataclass(frozen=True)
class RaceResult:
    """The table of each network, and with several networks the one over all of them."""

    budget: int
    seeds: int
    finalists: int
    """At most how many of the best settings were trained from a second seed before one was chosen."""
    kinds: tuple[str, str]
    """What is compared, one and several."""
    networks: Sequence[RaceTable]
    overall: RaceTable | None
    looks: int
    """How often it was judged before, with other trainings."""

    @property
    def rules(self) -> list[str]:
        """The names of what raced, in the order of the plan."""
        return list(dict.fromkeys(rule for table in self.networks for rule in table.raced))

    @property
    def repeats(self) -> int:
        """The number of repeats that were judged."""
        return max((len(raced.repeats) for table in self.networks for raced in table.raced.values()), default=0)

    @property
    def larger(self) -> str:
        """The option that tries more settings."""
        return f"--{'budget' if self.kinds == OPTIMIZERS else 'tune'} {2 * self.budget}"


def read(study: runs.Study) -> RaceResult | None:
    """The result of a study that raced on trainings so far, from its tables; None for another study.

    What has no judged training has no row. A user's rule is not loaded. DataError for a damaged table or run,
    ConfigError for a damaged study.yaml.
    """
    rows, race = study.trials(), study.manifest["command"] == "race"
    word, kinds = ("rule", OPTIMIZERS) if race else ("remedy", REMEDIES)
    if not rows or any(key not in rows[0] for key in (word, "setting", "stage")):
        return None
    records = {record.name: record for record in study.completed()}
    for row in rows:
        if type(row["setting"]) is not int or row["stage"] not in ("tuning", "finalist", "final"):
            raise DataError(f"{study.path}: expected the number of a setting and its stage of {row['trial']}")
    asked = asked_of(study)
    sizes = ("budget" if race else "tune", "seeds", "finalists", "repeats")
    budget, seeds, count, repeats = (int(asked.get(key) or 1) for key in sizes)
    only = (asked["config"] if isinstance(asked.get("config"), dict) else {}).get("name", study.name)
    networks: dict[str, dict[str, dict[int, list[runs.Row]]]] = {}
    for row in rows:
        rules = networks.setdefault(str(row.get("network", only)), {})
        by_repeat, repeat = rules.setdefault(str(row[word]), {}), int(row.get("repeat") or 1)
        if repeat <= repeats and row["setting"] <= budget:
            by_repeat.setdefault(repeat, []).append(row)
    level = level_after(study.earlier_looks)
    tables = []
    for network, rules in networks.items():
        raced = {rule: _raced(by_repeat, records, budget, seeds, count) for rule, by_repeat in rules.items()}
        means = {rule: result.repeats for rule, result in raced.items() if result.repeats}
        edges = {rule: result.edges for rule, result in raced.items()}
        judged = any(result.runs for result in raced.values())
        comparison = judge(means, level=level, limits=JUDGED.limits, improvable=edges) if judged else None
        tables.append(RaceTable(network, raced, comparison))
    return RaceResult(budget, seeds, count, kinds, tables, _over_all(tables, level), study.earlier_looks)


def _raced(
    by_repeat: Mapping[int, Sequence[runs.Row]],
    records: Mapping[str, runs.Record],
    budget: int,
    seeds: int,
    count: int,
) -> Raced:
    """The result of the rows of a rule or a remedy on a network.

    A repeat of which every setting diverged has the accuracy of the chance level, as has a judged training.
    """
    settings, judged, edges, failed = list[Settings](), dict[int, runs.Record](), dict[int, str](), 0
    accuracy, worst, means = dict[int, float](), dict[int, str](), dict[int, float]()
    trained = (records[row["trial"]] for rows in by_repeat.values() for row in rows if row["trial"] in records)
    chance = next(map(_chance, trained), 0.0)
    for repeat, rows in by_repeat.items():
        tuning, second, finals = (
            sorted((row for row in rows if row["stage"] == stage), key=itemgetter("setting", "seed"))
            for stage in ("tuning", "finalist", "final")
        )
        ended = tuning if len(tuning) == budget else []
        again = [ended[place]["setting"] for place in finalists(ended, count)]
        second = [row for row in second if row["setting"] in again]
        place = choice(ended, second, count)
        chosen = None if place is None else ended[place]
        finals = [row for row in finals if chosen and row["setting"] == chosen["setting"]][:seeds]
        ran = [row for row in finals if row["status"] in ("done", "diverged")]
        diverged = {row["seed"]: "diverged" for row in ran if row["status"] == "diverged"}
        if chosen:
            settings.append(_tuned(chosen))
            edges |= _edge(repeat, chosen, tuning)
        elif ended and all(row["status"] == "diverged" for row in ended):
            diverged = dict.fromkeys(final_seeds(ended[0]["seed"], seeds), "every setting diverged")
        reached = {row["seed"]: row["test_acc"] for row in ran} | dict.fromkeys(diverged, chance)
        means |= {repeat: fmean(reached.values())} if reached else {}
        judged |= {row["seed"]: records[row["trial"]] for row in ran}
        accuracy |= reached
        worst |= diverged
        failed += sum(row["status"] == "failed" for row in (*tuning, *second, *finals))
    return Raced(settings, judged, GroupValues(accuracy, worst, chance=chance), means, edges, failed)


def _tuned(row: runs.Row) -> Settings:
    """The values of the tuned fields of a row: what stands between the number of the setting and its stage."""
    keys = list(row)
    fields = keys[keys.index("setting") + 1 : keys.index("stage")]
    return {key: row[key] for key in fields if row[key] not in (None, "null")}


def _edge(repeat: int, chosen: runs.Row, tuning: Sequence[runs.Row]) -> dict[int, str]:
    """The chosen learning rate by its repeat, where it is an end of those tried; empty for one between others."""
    for key, value in _tuned(chosen).items():
        rates = [row[key] for row in tuning if type(row[key]) in (int, float)]
        if key.rpartition(".")[2] == "lr" and (end := search_space.end_of(value, rates)):
            return {repeat: f"{key} {value:.3g}, the {end}"}
    return {}


def _chance(record: runs.Record) -> float:
    """The accuracy of the chance level."""
    classes = record.manifest.get("data", {}).get("classes", 10)
    return METRICS[JUDGED.metric].quantity.chance(classes) or 0.0


def _over_all(tables: Sequence[RaceTable], level: float) -> RaceTable | None:
    """With the networks as the sample; None for one network, and where something has no result on one of them."""
    rules = dict.fromkeys(rule for table in tables for rule in table.raced)
    judged = [table for table in tables if table.comparison]
    means = {
        rule: {t.network: fmean(t.raced[rule].repeats.values()) for t in judged if t.raced[rule].repeats}
        for rule in rules
    }
    if len(tables) < 2 or any(len(by_network) < len(tables) for by_network in means.values()):
        return None
    edges = {rule: [table.network for table in tables if table.raced[rule].edges] for rule in rules}
    return RaceTable("", {}, judge(means, level=level, limits=JUDGED.limits, improvable=edges))
