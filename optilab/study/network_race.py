"""A fair race of rules on trainings: each is tuned with the same budget, then judged on seeds it was not tuned on.

Settings are drawn from one space (`search_space.network_space`) and chosen by the accuracy on held-out training images,
the best of them from two seeds; the chosen ones train again from new seeds and are judged on the test set. All rules
share their uniform numbers, their seeds and the order of images. An interval over seeds holds for the settings that
were chosen; with repeats, which draw settings and seeds again, the repeats are the sample, and the luck of tuning is
part of the interval.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

from optilab import runs
from optilab.config.load import load
from optilab.config.presets import rules_named
from optilab.config.section import dump
from optilab.config.study import RaceConfig
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.errors import DataError, UsageError
from optilab.optimize import RULES
from optilab.optimize.objective import Floats
from optilab.optimize.rule import short_name
from optilab.runs.metrics import METRICS
from optilab.study import search_space
from optilab.study.comparison import learned_nothing
from optilab.study.groups import Group, GroupValues, Measure, asked_of, values_of
from optilab.study.judge import Comparison, judge, level_after
from optilab.study.plan import (
    SPAN,
    Plan,
    StudyPlan,
    TunedCandidate,
    choice,
    final_seeds,
    finalists,
    score_of,
    tuned,
)
from optilab.study.search_space import untuned
from optilab.study.sweep import MAX_TRIALS
from optilab.study.trials import Trial, as_trial
from optilab.words import plural

JUDGED = Measure("test_acc")
NEAR = 0.01
"""A setting is near the best if its accuracy is at most so much lower."""
OPTIMIZERS, REMEDIES = ("optimizer", "optimizers"), ("remedy", "variants")
"""What is compared, one and several."""
OF_BEST = 0.9
"""The target as a fraction of the best rule's accuracy, where the plain baseline has not learned."""


@dataclass(frozen=True)
class NetworkRace(StudyPlan):
    """What a race trains; its trials are those of the tuning."""

    asked: RaceConfig
    rules: Mapping[str, Sequence[str]]
    """The fields that are tuned, by the name of the rule."""
    problems: Mapping[str, TrainConfig]
    candidates: tuple[TunedCandidate, ...]
    kinds: tuple[str, str] = OPTIMIZERS
    """What is compared, one and several."""

    @property
    def labels(self) -> list[str]:
        places = [f"{problem}/{rule}" for problem in self.problems for rule in self.rules]
        return [*self.rules, *(places if len(self.problems) > 1 else [])]

    @property
    def sample(self) -> int:
        return self.asked.repeats if self.asked.repeats > 1 else self.asked.seeds

    @property
    def shape(self) -> str:
        """`3 rules x 2 networks x (10 settings + 3 finalists + 5 seeds)`."""
        asked = self.asked
        parts = [
            f"{len(self.rules)} {self.kinds[1]}",
            plural(len(self.problems), "network"),
        ]
        parts += [f"{asked.repeats} repeats"] if asked.repeats > 1 else []
        each = [plural(asked.budget, "setting"), *([f"{asked.second} finalists"] if asked.second else [])]
        each.append(plural(asked.seeds, "seed"))
        return " x ".join([*parts, f"({' + '.join(each)})"])

    @property
    def notes(self) -> list[str]:
        """What is not tuned of rules of the user's own."""
        optimizers = {own.name: vars(own.tuning[0].config.optimizer) for own in self.candidates}
        return [note for name, own in optimizers.items() for note in untuned(name, own, self.rules[name])]

    def plan(self, study: Path, dry: bool = False) -> Plan:
        return tuned(self.candidates)


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
    every = {problem: _more(asked, config) for problem, config in problems.items()}
    fields = {
        rule.name: list(dict.fromkeys(key for more in every.values() for key in search_space.tuned(rule, more)))
        for rule in rules.values()
    }
    columns = list(dict.fromkeys(field for own in fields.values() for field in own))
    candidates = [
        TunedCandidate(
            problem,
            rule.name,
            repeat,
            _tuning(asked, name, rule, config, repeat, columns),
            final_seeds(config.seed, asked.seeds, repeat),
            asked.finalists,
        )
        for problem, config in problems.items()
        for name, rule in rules.items()
        for repeat in range(asked.repeats)
    ]
    return NetworkRace(asked, tunings(candidates), fields, problems, tuple(candidates), command="race")


def _more(asked: RaceConfig, config: TrainConfig) -> set[str]:
    """What is tuned besides: not what the training has already."""
    more = {key for key in search_space.ON_NETWORKS if getattr(asked, key)}
    more -= {"weight_decay"} if config.weight_decay else set()
    return more - {"schedule"} if config.schedule.name != "constant" or config.plateau else more


def tunings(candidates: Iterable[TunedCandidate]) -> tuple[Trial, ...]:
    """The trials of all tunings."""
    return tuple(trial for candidate in candidates for trial in candidate.tuning)


def tuning_seed(first: int, number: int, repeat: int = 0) -> int:
    """The seed of a setting; `first` is that of the training."""
    return first + repeat * SPAN + number


def _tuning(
    asked: RaceConfig, name: str, rule: Any, config: TrainConfig, repeat: int, columns: Sequence[str]
) -> tuple[Trial, ...]:
    """One trial per drawn setting; `columns` are the tuned fields of all rules, which trials.csv has for each."""
    trials = []
    searched = search_space.tuned(rule, _more(asked, config))
    for number, settings in enumerate(draw(asked, searched, config.name, repeat)):
        around = {key: value for key, value in settings.items() if search_space.of_training(rule, key)}
        value = _entry(name, rule, {key: v for key, v in settings.items() if key not in around})
        around |= {"schedule_by": "batch"} if around.get("schedule", "constant") != "constant" else {}
        keys = {"optimizer": value, **around}
        changed = load(TrainConfig, dump(config), [Override("--algo", key, v) for key, v in keys.items()])
        seed = tuning_seed(config.seed, number, repeat)
        axes = {"network": config.name, "rule": rule.name, "repeat": repeat + 1, "setting": number + 1}
        of_rule = {field: settings.get(field) for field in columns}
        trials.append(
            Trial(
                f"{config.name}-{short_name(rule)}-{number + 1}",
                changed.model_copy(update={"seed": seed}),
                {**axes, **of_rule, "stage": "tuning"},
            )
        )
    return tuple(trials)


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
class TuningOutcome:
    """One rule on one training, in one repeat, as far as its trials have ended."""

    problem: str
    rule: str
    repeat: int
    scores: tuple[float, ...] | None
    """The validation accuracy of each setting, -inf where there is none; None until all have ended."""
    settings: Mapping[str, Any] | None
    """The chosen one; None where none was."""
    judged: tuple[str, ...] = ()
    """The trials from new seeds that were trained to their end."""
    failed: int = 0
    edge: str = ""
    """Which learning rate was chosen at an end of those tried, and which end; empty for one between others."""


@dataclass(frozen=True)
class RacedCandidate:
    """One rule on one training."""

    rule: str
    settings: tuple[Mapping[str, Any], ...]
    """The chosen ones, per repeat."""
    runs: dict[int, runs.Record]
    """The judged trainings by seed."""
    accuracy: GroupValues
    """On the test set."""
    sample: Mapping[int, float]
    """What the verdicts are made of: the accuracies by seed, or with repeats the mean of each repeat."""
    epochs: GroupValues
    """To the target."""
    seconds: GroupValues

    @property
    def mean_epochs(self) -> float | None:
        """To the target, each counted as its passes; None where a seed never reached it."""
        reached = self.epochs.values and not self.epochs.worst
        return self.passes * fmean(self.epochs.values.values()) if reached else None

    @property
    def optimizer(self) -> Mapping[str, Any]:
        """The optimizer of the judged trainings, as their manifests have it; empty where there are none."""
        found = (record.manifest.get("config", {}).get("optimizer", {}) for record in self.runs.values())
        return next(found, {})

    @property
    def passes(self) -> int:
        """Gradients that a step takes: two where the rule wants another one at another point, as `sam` does."""
        name = str(self.optimizer.get("name"))
        return 1 + (name in RULES and "grad" in RULES[name]().needs)

    best_of: tuple[float, ...]
    """Expected validation accuracy of the best of k settings, k = 1..budget (Dodge et al. 2019)."""
    near: float
    """Fraction of the settings that come within a point of the best setting of all rules on this training."""


@dataclass(frozen=True)
class NetworkResult:
    """The result of one training."""

    problem: str
    target: float
    candidates: tuple[RacedCandidate, ...]
    comparison: Comparison[str] | None

    @property
    def learned(self) -> bool:
        """Whether some row is better than the chance level."""
        return not learned_nothing([own.accuracy for own in self.candidates], rises=True)

    @property
    def times(self) -> Floats:
        """Epochs to the target on the seeds that all rules have, (rules, seeds); infinite where never reached."""
        import numpy as np

        seeds = sorted(set.intersection(*(set(candidate.epochs.values) for candidate in self.candidates)))
        rows = [
            [
                inf if seed in candidate.epochs.worst else candidate.passes * candidate.epochs.values[seed]
                for seed in seeds
            ]
            for candidate in self.candidates
        ]
        return np.array(rows, dtype=float)


@dataclass(frozen=True)
class RaceResult:
    """The result of each training, and with several trainings the comparison over them."""

    budget: int
    seeds: int
    rules: tuple[str, ...]
    kinds: tuple[str, str]
    """What is compared, one and several."""
    networks: tuple[NetworkResult, ...]
    overall: Comparison[str] | None
    sample: str
    """What the verdicts of a training generalize over: seeds or repeats."""
    edges: tuple[str, ...]
    """Chosen learning rates at an end of those tried."""
    failed: Mapping[str, int]
    """Trials that failed, by rule: the number by which its settings or its seeds are fewer."""
    looks: int
    """How often it was judged before, with other trainings."""
    finalists: int = 1
    """At most how many of the best settings were trained from a second seed before one was chosen."""

    @property
    def larger(self) -> str:
        """The option that tries more settings."""
        return f"--{'budget' if self.kinds == OPTIMIZERS else 'tune'} {2 * self.budget}"


def read(study: runs.Study) -> RaceResult | None:
    """What a study that raced on trainings has found so far, from its tables; None for another study.

    Rules without a judged training have no row. A rule of the user's own is not loaded. DataError for a damaged table
    or run, ConfigError for a damaged study.yaml.
    """
    rows, race = study.trials(), study.manifest["command"] == "race"
    word, kinds = ("rule", OPTIMIZERS) if race else ("remedy", REMEDIES)
    if not rows or any(key not in rows[0] for key in (word, "setting", "stage")):
        return None
    study.completed()  # raises for a run that is not what its row says
    for row in rows:
        if type(row["setting"]) is not int or row["stage"] not in ("tuning", "finalist", "final"):
            raise DataError(f"{study.path}: expected the number of a setting and its stage of {row['trial']}")
    asked = asked_of(study)
    sizes = ("budget" if race else "tune", "seeds", "finalists")
    budget, seeds, count = (int(asked.get(key) or 1) for key in sizes)
    facts = list(rows[0])
    fields = facts[facts.index("setting") + 1 : facts.index("stage")]
    only = (asked["config"] if isinstance(asked.get("config"), dict) else {}).get("name", study.name)
    members: dict[tuple[str, str, int], list[runs.Row]] = {}
    for row in rows:
        place = str(row.get("network", only)), str(row[word]), int(row.get("repeat") or 1)
        if place[2] <= int(asked.get("repeats") or 1) and row["setting"] <= budget:
            members.setdefault(place, []).append(row)
    ended = [
        _tuning_outcome(problem, rule, repeat - 1, own, fields, budget, seeds, count)
        for (problem, rule, repeat), own in members.items()
    ]
    return race_result(ended, budget, seeds, asked.get("target"), kinds, study, count)


def _tuning_outcome(
    problem: str,
    rule: str,
    repeat: int,
    rows: Sequence[runs.Row],
    fields: Sequence[str],
    budget: int,
    seeds: int,
    count: int,
) -> TuningOutcome:
    """What the rows of trials.csv say of one rule on one training, in one repeat; `fields` are those that are tuned."""
    tuning = sorted((row for row in rows if row["stage"] == "tuning"), key=lambda row: row["setting"])
    ended = tuning if len(tuning) == budget else []
    again = {ended[place]["setting"] for place in finalists(ended, count)}
    second = [row for row in rows if row["stage"] == "finalist" and row["setting"] in again]
    place = choice(ended, second, count)
    best = None if place is None else ended[place]
    finals = [row for row in rows if row["stage"] == "final" and best and row["setting"] == best["setting"]]
    finals = sorted(finals, key=lambda row: row["seed"])[:seeds]
    return TuningOutcome(
        problem,
        rule,
        repeat,
        tuple(map(score_of, ended)) or None,
        best and {key: best[key] for key in fields if best.get(key) not in (None, "null")},
        tuple(str(row["trial"]) for row in finals if row["status"] in ("done", "diverged")),
        sum(row["status"] == "failed" for row in [*tuning, *second, *finals]),
        _edge(best, tuning, fields) if best else "",
    )


def _edge(best: runs.Row, tuning: Sequence[runs.Row], fields: Sequence[str]) -> str:
    for field in fields:
        rates = [row[field] for row in tuning if type(row[field]) in (int, float)]
        if field.rpartition(".")[2] == "lr" and (end := search_space.end_of(best[field], rates)):
            return f"{field} {best[field]:.3g}, the {end}"
    return ""


def race_result(
    tuned: Sequence[TuningOutcome],
    budget: int,
    seeds: int,
    target: float | None,
    kinds: tuple[str, str],
    study: runs.Study,
    finalists: int = 1,
) -> RaceResult:
    """The results of all rules, trainings and repeats of a study. DataError for a damaged run."""
    looks = study.earlier_looks
    rules = tuple(dict.fromkeys(one.rule for one in tuned))
    problems = list(dict.fromkeys(one.problem for one in tuned))
    found = tuple(
        _network_result(problem, [one for one in tuned if one.problem == problem], target, study.path, looks)
        for problem in problems
    )
    means = {
        rule: {
            network.problem: fmean(r.accuracy.values.values())
            for network in found
            for r in network.candidates
            if r.rule == rule
        }
        for rule in rules
    }
    whole = len(found) > 1 and all(len(mean) == len(found) for mean in means.values())
    failed = Counter[str]()
    for one in tuned:
        failed[one.rule] += one.failed
    sample = "repeats" if any(one.repeat for one in tuned) else "seeds"
    edges = tuple(f"{f'{one.problem}, ' * (len(problems) > 1)}{one.rule}: {one.edge}" for one in tuned if one.edge)
    ends = {rule: {one.problem for one in tuned if one.rule == rule and one.edge} for rule in rules}
    overall = judge(means, level=level_after(looks), limits=JUDGED.limits, improvable=ends) if whole else None
    return RaceResult(budget, seeds, rules, kinds, found, overall, sample, edges, +failed, looks, finalists)


def _network_result(
    problem: str, tuned: Sequence[TuningOutcome], target: float | None, study: Path, looks: int
) -> NetworkResult:
    records: dict[str, dict[int, runs.Record]] = {one.rule: {} for one in tuned}
    repeat_of: dict[int, int] = {}
    for one in tuned:
        for name in one.judged:
            record = runs.read(study / name)
            seed = record.manifest.get("seed", 0)
            records[one.rule][seed], repeat_of[seed] = record, one.repeat
    there = [rule for rule, own in records.items() if own]
    groups = [Group(rule, {}, dict(sorted(records[rule].items()))) for rule in there]
    if not groups:
        return NetworkResult(problem, target or 0.0, (), None)
    accuracy = values_of(groups, JUDGED)
    target = target or _target(groups)
    epochs, seconds = (
        values_of(groups, Measure("val_acc", target=target, until=u)) for u in ("epochs", "seconds")
    )
    scores = {
        rule: [[max(s, 0.0) for s in one.scores] for one in tuned if one.rule == rule and one.scores]
        for rule in records
    }
    top = max(score for of_rule in scores.values() for own in of_rule for score in own)
    candidates = tuple(
        RacedCandidate(
            rule,
            tuple(one.settings for one in tuned if one.rule == rule and one.settings is not None),
            dict(groups[i].runs),
            accuracy[i],
            _blocks(accuracy[i].values, repeat_of),
            epochs[i],
            seconds[i],
            _best_of(scores[rule]),
            fmean(score >= top - NEAR for own in scores[rule] for score in own),
        )
        for i, rule in enumerate(there)
    )
    candidates += tuple(
        _diverged(one, candidates, scores[one.rule], repeat_of)
        for one in {one.rule: one for one in tuned if one.rule not in there}.values()
        if scores[one.rule] and not any(other.failed for other in tuned if other.rule == one.rule)
    )
    blocks = {candidate.rule: candidate.sample for candidate in candidates}
    diverged = {} if any(repeat_of.values()) else {own.rule: own.accuracy.diverged for own in candidates}
    edges, repeated = {(one.rule, one.repeat) for one in tuned if one.edge}, any(repeat_of.values())
    ends = {rule: [b for b in own if (rule, b if repeated else 0) in edges] for rule, own in blocks.items()}
    if not any(blocks.values()):
        return NetworkResult(problem, target, candidates, None)
    judged = judge(blocks, level=level_after(looks), diverged=diverged, limits=JUDGED.limits, improvable=ends)
    return NetworkResult(problem, target, candidates, judged)


def _diverged(
    one: TuningOutcome,
    others: Sequence[RacedCandidate],
    scores: Sequence[Sequence[float]],
    repeat_of: Mapping[int, int],
) -> RacedCandidate:
    """A rule of which every setting has diverged: the worst outcome on the seeds on which the others were judged."""
    seeds = sorted({seed for other in others for seed in other.accuracy.values})
    why = dict.fromkeys(seeds, "every setting diverged")
    late = max((value for other in others for value in other.epochs.values.values()), default=1.0)
    chance = _chance(others[0].runs)
    values = dict.fromkeys(seeds, chance)
    never = GroupValues(dict.fromkeys(seeds, late), why)
    sample = _blocks(values, repeat_of)
    accuracy = GroupValues(values, why, chance=chance)
    return RacedCandidate(one.rule, (), {}, accuracy, sample, never, never, _best_of(scores), 0.0)


def _target(groups: Sequence[Group]) -> float:
    """The mean last validation accuracy of plain gradient descent, or of the first rule, to three digits.

    Where that is near the chance level, which a network has at its start, it is `OF_BEST` of the best rule's.
    """
    means = {
        group.label: fmean(own.values.values())
        for group, own in zip(groups, values_of(groups, Measure("val_acc")), strict=True)
        if own.values
    }
    least = 2 * _chance(groups[0].runs)
    target = means.get("sgd", next(iter(means.values()), 0.5))
    if target < least:
        target = max(least, OF_BEST * max(means.values()))
    return min(0.999, round(target, 3))


def _chance(records: Mapping[int, runs.Record]) -> float:
    """The accuracy of the chance level."""
    classes = next(iter(records.values())).manifest.get("data", {}).get("classes", 10)
    return METRICS[JUDGED.metric].quantity.chance(classes) or 0.0


def _best_of(scores: Sequence[Sequence[float]]) -> tuple[float, ...]:
    import numpy as np

    from optilab.study.function_race import expected_best

    ordered: Floats = -np.sort(-np.array(scores), axis=1)
    return tuple(expected_best(ordered).mean(axis=0).tolist())


def _blocks(values: Mapping[int, float], repeat_of: Mapping[int, int]) -> dict[int, float]:
    """The outcomes by seed, or with repeats the mean of each repeat."""
    if not any(repeat_of.values()):
        return dict(values)
    members: dict[int, list[float]] = {}
    for seed, value in values.items():
        members.setdefault(repeat_of[seed], []).append(value)
    return {repeat: fmean(own) for repeat, own in members.items()}
