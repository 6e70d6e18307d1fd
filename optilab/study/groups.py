"""Runs sorted into groups that differ in nothing but the seed, and the value that is taken from each run.

A setting is a key of the resolved config that the result is attributed to. Labels (`name`), where and how a training
ran (`device`, `threads`, `data.dir`), what it leaves behind (`probes`, `curvature`, `checkpoint_every`) and what is
expected of it (`expect`) are not settings. The checksum of the dataset's files is one, so that trainings on different
data never share a group. The value is one number, taken the same way from every run that is compared.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal, NamedTuple

from optilab import runs
from optilab.config.claims import MOMENTS, no_fraction
from optilab.config.load import load
from optilab.config.section import dump
from optilab.config.training import TrainConfig, edited
from optilab.config.tree import Tree, flat, flow
from optilab.errors import DataError, RunError, UsageError, did_you_mean, shown, unknown
from optilab.optimize.own import is_user_code
from optilab.runs import Record, Row, Study, best, read_timings
from optilab.runs.metrics import TESTED, metric_of
from optilab.study.judge import UNLIMITED, Limits, Values
from optilab.words import listed, plural

_MEASURED = ("probes", "curvature", "curvature.every", "curvature.images")
NOT_SETTINGS = frozenset(
    {"name", "device", "threads", "checkpoint_every", "data.dir", "expect", "seed", *_MEASURED}
)
DATA = "data.files"
"""The setting that stands for the content of the dataset's files: the start of a checksum of their checksums."""
FORK, FORKED = "fork.name", "fork.settings"
"""The settings that tell the runs that were forked: at which epoch, and a checksum of the settings up to there."""

STAGE = "stage"
"""The column of trials.csv of a race: tuning, finalist or final."""

_LABEL_CHARACTERS = 48


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed."""

    label: str
    """What sets the group apart, in few words; the name of its config where that is shorter or nothing does."""
    settings: dict[str, Any]
    """Dotted keys of the config, with this group's values, that are not the same in all groups."""
    runs: dict[int, Record]
    """By seed, in ascending order."""


@dataclass(frozen=True)
class Grouping:
    """All groups of a selection of runs."""

    groups: tuple[Group, ...]
    """In the order in which their first runs were selected."""
    shared: dict[str, Any]
    """Settings that all groups have in common."""
    repeated: tuple[Record, ...] = ()
    """Runs left out because a later or more complete run has the same settings and seed."""

    @property
    def differing(self) -> list[str]:
        """The dotted keys that differ between the groups, in the order of the config."""
        return list(dict.fromkeys(key for group in self.groups for key in group.settings))


class Selection(NamedTuple):
    """Trainings, and for each trial of their studies without a readable run of its own the reason."""

    records: list[Record]
    left_out: dict[str, str]
    looks: int = 0
    """How often the study with the most of them was compared before; see `level_after`."""
    confirmations: Sequence[str] = ()
    """Sentences on where the trainings are that confirm the best settings of a sweep."""
    others: Mapping[str, str] = {}
    """Runs that are not trainings, where a pattern includes them, and their commands."""

    @property
    def notes(self) -> list[str]:
        """A sentence for each trial that is left out, for each confirmation, and for runs that are not trainings."""
        notes = [f"{name} is left out: {reason}" for name, reason in self.left_out.items()]
        notes += self.confirmations
        if self.others:
            left_out = f"{plural(len(self.others), 'run')} of {listed(sorted({*self.others.values()}))}"
            notes.append(f"{left_out} {'is' if len(self.others) == 1 else 'are'} left out: not trainings")
        return notes


def select(folder: Path, names: Sequence[str]) -> Selection:
    """The trainings that names, paths, patterns, `latest` and studies (all their trials) mean, each once. A pattern
    means trainings only.

    The confirmation of a sweep is a study of its own: together with the trainings that chose its settings, it would be
    neither a fair sample nor a new one.

    Raises what `runs.locate` raises, CheckpointError for a directory that is not readable as a run, RunError for a
    study whose study.yaml was edited, and UsageError for runs of another command.
    """
    chosen, others = read_chosen(folder, names)
    return select_from(chosen)._replace(others=others)


def read_chosen(folder: Path, names: Sequence[str]) -> tuple[list[Record | Study], dict[str, str]]:
    """The runs and studies of `select`, and by name what is left out, where only a pattern means it and it is no
    training: of which command it is."""
    found = [runs.read_entry(path) for path in runs.select(folder, names, inside=True)]
    if not any(re.search(r"[*?\[]", name) for name in names):
        return found, {}
    named = runs.select(folder, [name for name in names if not re.search(r"[*?\[]", name)])
    chosen = [one for one in found if one.path in named or isinstance(one, Study) or one.is_training]
    others = (one for one in found if one not in chosen)
    return (chosen, {one.name: f"optilab {one.manifest['command']}" for one in others}) if chosen else (found, {})


def select_from(chosen: Iterable[Record | Study]) -> Selection:
    """`select`, of runs and studies that have been read."""
    records, left_out, looks, confirmations = dict[Path, Record](), dict[str, str](), 0, list[str]()
    for entry in chosen:
        if isinstance(entry, Study):
            entry.require_unedited()
            looks = max(looks, entry.earlier_looks)
            confirmations += entry.notes
        found, unreadable = entry.runs() if isinstance(entry, Study) else ([entry], {})
        records |= {run.path: run for run in found}
        left_out |= {f"{entry.name}/{name}": reason for name, reason in unreadable.items()}
    foreign = [r for r in records.values() if not r.is_training]
    if foreign:
        names = ", ".join(f"{r.name} is a run of `optilab {r.manifest['command']}`" for r in foreign)
        raise UsageError(f"expected trainings; {names}")
    return Selection(list(records.values()), left_out, looks, confirmations)


def edits(record: Record, tree: Mapping[str, Any]) -> list[str]:
    """`key: old -> new` of each setting of a run's config.yaml that is not the one that the run was started with."""
    now, started = flat(tree), flat(record.manifest.get("config", {}))
    same = (key for key in started if key not in NOT_SETTINGS and key != "epochs")
    return [f"{key}: {flow(started[key])} -> {flow(now.get(key))}" for key in same if now.get(key) != started[key]]


_WHOLE: set[frozenset[str]] = set()
"""Keys of configs that lack none: what a run of this version has written is read without being checked again."""


def settings(record: Record) -> dict[str, Any]:
    """Every key of a run's resolved config, dotted, the checksum of its data, and where it was forked from, if it was.

    Code of the user's own is not loaded: its file may have changed since, and its checksum is a setting. ConfigError if
    the config is damaged, RunError if a setting was edited since the run started.
    """
    path, started = record.path / "config.yaml", record.as_started
    written: Any = started or Tree.read(record.config, str(path))
    config = started or written.values
    if record.is_watched:  # its code cannot be seen: the name that it was saved under tells it from others
        return {**flat(config), "name": record.name}
    if not started and (changed := edits(record, config)):
        raise RunError(edited(path, changed))
    stand_ins = {"optimizer": "sgd", "model": {}}
    parts = {key: part for key in stand_ins if isinstance(part := config.get(key), dict)}
    own = {key: part for key, part in parts.items() if is_user_code(part.get("name"))}
    known = {**config, **{key: stand_ins[key] for key in own}} if own else written
    tree = flat(config) if started else {}
    if own or frozenset(tree) not in _WHOLE:
        tree = flat({**dump(load(TrainConfig, known)), **own})
        _WHOLE.update([frozenset(tree)] if started and tree == flat(config) else [])
    for key, part in own.items():
        tree[f"{key}.name"] = text(part["name"])
        tree[f"{key}.sha256"] = str(part.get("sha256"))[:8]
    digests = record.manifest.get("data", {}).get("sha256", {})
    return {**tree, DATA: _digest(digests), **_fork(record.manifest.get("fork"))}


def _fork(origin: Mapping[str, Any] | None) -> dict[str, str]:
    """The epoch of a fork, and a checksum of the settings that its run had before; nothing for a run that is none."""
    if origin is None:
        return {}
    tree = flat(origin.get("config", {}))
    # Where no schedule depends on it, the number of epochs says nothing about those before the fork.
    ignored = NOT_SETTINGS | ({"epochs"} if tree.get("schedule.name") == "constant" else set())
    config = {key: value for key, value in tree.items() if key not in ignored}
    return {FORK: f"at epoch {origin.get('epoch')}", FORKED: _digest({**config, **_fork(origin.get("fork"))})}


def _digest(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:8]


def groups(records: Sequence[Record], by: Iterable[str] = ()) -> Grouping:
    """The runs by everything but the seed. Of several runs with the same settings and seed, the one that went
    furthest counts, the newest of equals.

    `by` adds keys that are not settings otherwise, such as `name`. UsageError for one that no run has.
    """
    resolved = [settings(record) for record in records]
    ignored = NOT_SETTINGS - set(by)
    known = list(dict.fromkeys(key for tree in resolved for key in tree))
    if unknown := [key for key in by if key not in known]:
        lines = (f"no setting {shown(key)} in these runs{did_you_mean(key, known)}" for key in unknown)
        raise UsageError("\n".join(lines))
    members: dict[str, dict[int, Record]] = {}
    trees: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    repeated = []
    for record, tree in zip(records, resolved, strict=True):
        counted = {k: v for k, v in tree.items() if k not in ignored or (k == "name" and record.is_watched)}
        identity = json.dumps(counted, sort_keys=True)
        trees.setdefault(identity, counted)
        names.setdefault(identity, tree["name"])
        group, seed = members.setdefault(identity, {}), tree["seed"]
        if seed in group:
            worse, record = sorted((group[seed], record), key=_progress)
            repeated.append(worse)
        group[seed] = record
    shared, different, labels = _told_apart(list(trees.values()), list(names.values()))
    return Grouping(
        tuple(
            Group(label, own, dict(sorted(seeds.items())))
            for label, own, seeds in zip(labels, different, members.values(), strict=True)
        ),
        shared,
        tuple(repeated),
    )


def planned_labels(configs: Iterable[TrainConfig]) -> list[str]:
    """The labels of the groups that trainings of these configs, on the same images, will make."""
    trees, names = dict[str, dict[str, Any]](), dict[str, str]()
    for config in configs:
        tree = {key: value for key, value in flat(dump(config)).items() if key not in NOT_SETTINGS}
        if digest := tree.get("optimizer.sha256"):
            tree["optimizer.sha256"] = str(digest)[:8]
        identity = json.dumps(tree, sort_keys=True)
        trees.setdefault(identity, tree)
        names.setdefault(identity, config.name)
    return _told_apart(list(trees.values()), list(names.values()))[2]


def _told_apart(
    trees: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """The settings that all groups share, those by which each differs, and the labels of the groups."""
    shared = _shared(trees)
    different = [{key: v for key, v in tree.items() if key not in shared} for tree in trees]
    return shared, different, _labels(different, names)


def _progress(record: Record) -> tuple[bool, int, str]:
    ended = record.state in ("done", "diverged")
    return ended, record.manifest.get("epoch", 0), str(record.manifest.get("created", ""))


def _shared(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The keys whose values are equal in all."""
    if not trees:
        return {}
    first = trees[0]
    return {key: v for key, v in first.items() if all(key in tree and tree[key] == v for tree in trees)}


def axes_of(rows: Sequence[Row]) -> list[str]:
    """The columns of trials.csv that are the axes of a study: those before the seed, but for the trial's name."""
    columns = list(rows[0]) if rows else []
    before = columns[: columns.index("seed")] if "seed" in columns else []
    return [key for key in before if key != "trial"]


def asked_of(study: Study) -> dict[str, Any]:
    """What study.yaml asks, as it is written. ConfigError where it is damaged."""
    return Tree.read(study.asked, str(study.path / runs.STUDY)).values


# --- labels ------------------------------------------------------------------------------------------------


def _labels(different: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """One label per group: its settings with short keys; the configs' names where those are shorter."""
    keys = distinguishing_keys(list(dict.fromkeys(key for tree in different for key in tree)), different)
    labels = [settings_label(tree, keys) or name for tree, name in zip(different, names, strict=True)]
    distinct = len(set(names)) == len(names)
    return list(names) if distinct and max(map(len, labels), default=0) > _LABEL_CHARACTERS else labels


def settings_label(tree: Mapping[str, Any], keys: Sequence[str]) -> str:
    """`lr 0.1, norm batch`: the settings in `keys`, each by as much of its key as tells it from the others."""
    words = short(keys)
    return ", ".join(f"{words[key]} {text(tree[key])}" for key in keys if key in tree)


def distinguishing_keys(keys: Sequence[str], trees: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys without those that follow from the name of their entry, as `optimizer.beta1` from `optimizer.name`."""
    return [key for key in keys if not _follows(key, trees)]


def _follows(key: str, different: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the name of the entry that `key` belongs to decides its value."""
    entry = f"{key.rpartition('.')[0]}.name"
    if key == entry or not any(entry in tree for tree in different):
        return False
    values: dict[Any, Any] = {}
    return all(values.setdefault(t.get(entry), t.get(key)) == t.get(key) for t in different)


_PARTS = re.compile(r"\.(?!.*py:)", re.DOTALL)


def short(keys: Sequence[str]) -> dict[str, str]:
    """Each dotted key by as few of its last parts as tell it from the others: `optimizer.lr` is `lr`.

    `.name` of an entry is left out: `model.norm.name` is `norm`. The file of an optimizer stays whole: `own.py:Own.lr`.
    """
    parts = {key: _PARTS.split(key.removesuffix(".name")) for key in keys}
    result = {}
    for key, own in parts.items():
        for count in range(1, len(own) + 1):
            if sum(other[-count:] == own[-count:] for other in parts.values()) == 1:
                break
        result[key] = ".".join(own[-count:])
    return result


_OWN_FILE = re.compile(r"^.*/([^/]+\.py:\w+)$", re.DOTALL)
"""An optimizer in a file: a table tells its name, and not in whose home it is; its checksum is a setting of its own."""


def without_directory(value: Any) -> Any:
    """A value of a config; of an optimizer or a network in a file, without the directory of the file."""
    return _OWN_FILE.sub(r"\1", value) if isinstance(value, str) else value


def text(value: Any) -> str:
    """A setting as it is shown: numbers in short form, lists as YAML, those of equal entries as `5 x 128`, the file of
    an optimizer without its directory.
    """
    if isinstance(value, list) and len(value) > 3 and all(entry == value[0] for entry in value):
        return f"{len(value)} x {text(value[0])}"
    if (own := without_directory(value)) != value:
        return str(own)
    return f"{value:g}" if isinstance(value, float) else flow(value)


# --- the value of a run ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measure:
    """What the runs are compared by: a metric at an epoch, its mean over the epochs, or the time until a target."""

    metric: str = "val_acc"
    """A column of metrics.csv, `seconds` since the start, or `test_acc` and `test_loss`."""
    at: Literal["last", "best", "area"] | int = "last"
    """The last epoch, the run's best one, the mean over all (the area under the curve), or an epoch from 1."""
    target: float | None = None
    """With a target, the outcome is when the metric reached it: by its isotonic regression over the epochs, so that a
    curve is not faster because it is noisier."""
    until: Literal["epochs", "seconds"] = "epochs"
    """The unit of that time."""

    @property
    def rises(self) -> bool:
        """Whether a higher metric is better."""
        return metric_of(self.metric).higher_is_better

    @property
    def higher(self) -> bool:
        """Whether a higher outcome is better."""
        return self.target is None and self.rises

    @property
    def share(self) -> bool:
        """Whether the outcome is a fraction, shown in per cent."""
        return self.target is None and metric_of(self.metric).is_fraction

    @property
    def limits(self) -> Limits:
        """The possible outcomes."""
        return (0.0, 1.0) if self.share else (0.0, inf) if self.target is not None else UNLIMITED

    @property
    def name(self) -> str:
        """`last val_acc`, `val_acc at epoch 5`, `epochs to 80%`."""
        if self.target is not None:
            goal = f"{100 * self.target:g}%" if self.rises else f"{self.metric} {self.target:g}"
            return f"{self.until} to {goal}"
        if self.at == "area":
            return f"mean {self.metric}"
        return f"{self.metric} at epoch {self.at}" if isinstance(self.at, int) else f"{self.at} {self.metric}"


def bounds(metric: str, values: Iterable[float]) -> Limits:
    """Where drawn intervals of a metric end: accuracies at 0 and 1, losses at 0 if none is negative."""
    if metric_of(metric).is_fraction:
        return 0.0, 1.0
    losses = metric_of(metric).quantity.unit == "nats"
    return (0.0, inf) if losses and all(value >= 0 for value in values) else UNLIMITED


def read_measure(metric: str, at: str, target: float | None, until: str) -> Measure:
    """The measure of `--metric`, `--at`, `--target` and `--until`; UsageError for what they do not accept, whose
    `rest` is the measure without that."""
    wrong = list[str]()
    if at not in MOMENTS and not (at.isdecimal() and int(at) > 0):
        near = did_you_mean(at, MOMENTS)
        wrong.append(f"--at: expected last, best, area or an epoch from 1, got {shown(at)}{near}")
        at = "last"
    if metric == "seconds" and at in ("best", "area"):
        wrong.append(f"--at {at}: seconds only grow; expected last or an epoch")
    if target is not None and at != "last":
        wrong.append("--target and --at cannot be combined")
    if target is not None and (metric == "seconds" or metric in TESTED):
        wrong.append(f"--target: expected a metric of every epoch, got {metric}")
    if metric in TESTED and at not in ("last", "best"):
        wrong.append(
            f"--at {at}: {metric} is measured at the last epoch and at the best one; expected last or best"
        )
    why = "" if target is None else no_fraction(metric, target)
    if target == 0 and metric_of(metric).is_fraction:
        why = "expected more than 0, which every training has at once"
    if target is not None and not isfinite(target):
        why = f"expected a finite number, got {target}"
    wrong += [f"--target: {why}"] if why else []
    if wrong:
        raise UsageError("\n".join(wrong))
    return Measure(metric, int(at) if at.isdecimal() else at, target, until)  # type: ignore[arg-type]


@dataclass(frozen=True)
class GroupValues:
    """The outcomes of one group."""

    values: Values
    """By seed; the trials in `worst` are among them."""
    worst: Mapping[int, str] = field(default_factory=dict)
    """Trials that diverged or never reached the target, and which of the two; what stands for them does not depend on
    other groups."""
    absent: Mapping[int, str] = field(default_factory=dict)
    """Trials without an outcome, and why."""
    horizon: float | None = None
    """Where epochs or seconds count: those in which all trials of the comparison were watched."""
    chance: float | None = None
    """The accuracy, or the loss, of knowing nothing; None for a metric or images without one."""

    @property
    def diverged(self) -> list[int]:
        return [seed for seed, why in self.worst.items() if why != NEVER]


NEVER = "never reached"


def values_of(groups: Sequence[Group], measure: Measure, where: str = "--metric") -> list[GroupValues]:
    """The outcomes of every group.

    A trial that diverged counts as having learned nothing: the accuracy or the loss of the chance level, or the highest
    loss of its own group if that is more. Times to a target are compared in the epochs, or seconds, in which all trials
    were watched: up to the shortest training, and one that stopped early without the target to its last epoch. A
    target that was not reached by then counts as one epoch later; so does a divergence. The best epoch is one of those
    that all trainings were asked for. DataError for a damaged table, UsageError for a metric that no run has.
    """
    found = [{seed: _Trial(record, measure) for seed, record in group.runs.items()} for group in groups]
    trials = [trial for group in found for trial in group.values()]
    known = list(dict.fromkeys(key for trial in trials for key in trial.metrics))
    if known and measure.metric not in known:
        if measure.metric in TESTED:
            raise UsageError(f"{measure.metric} needs held-out images (data.holdout)", where)
        raise UsageError(unknown("metric", measure.metric, known), where)
    horizon: float
    step = 0.0
    if trials and measure.target is not None:
        horizon, step = _horizon(trials)
        for trial in trials:
            trial.take_time(horizon)
    else:
        horizon = min((trial.planned for trial in trials), default=0)
        for trial in trials:
            trial.take(int(horizon))
    return [_of_group(group, measure, horizon, step) for group in found]


def _of_group(group: Mapping[int, "_Trial"], measure: Measure, horizon: float, step: float) -> GroupValues:
    values = {seed: trial.value for seed, trial in group.items() if trial.value is not None}
    chance = None if measure.target is not None else _chance(group, measure)
    worst = horizon + step if measure.target is not None else chance
    if chance is not None and not measure.rises:
        worst = max([chance, *values.values()])
    endings = {seed: trial.ending for seed, trial in group.items() if trial.ending}
    absent = {seed: trial.absent for seed, trial in group.items() if trial.absent}
    if worst is None:
        absent |= {seed: f"{group[seed].name}: diverged" for seed in endings}
        endings = {}
    elif endings:
        values |= dict.fromkeys(endings, worst)
    values = {seed: values[seed] for seed in group if seed in values}
    watched = measure.target is not None or measure.at == "best"
    return GroupValues(values, endings, absent, horizon if watched else None, chance)


def _chance(group: Mapping[int, "_Trial"], measure: Measure) -> float | None:
    """The chance level; None for a metric that has none, and for a loop of the user's own whose classes are unknown."""
    classes = max((trial.classes for trial in group.values()), default=10)
    return metric_of(measure.metric).quantity.chance(classes)


class _Trial:
    """One run: its outcome, or how it ended without one, or why it says nothing."""

    def __init__(self, record: Record, measure: Measure) -> None:
        self.rows, self._measure = _rows(record, measure), measure
        self.metrics = [key for key in (self.rows[-1] if self.rows else ()) if key != "epoch"]
        self._unit = "seconds" if measure.until == "seconds" else "epoch"
        self.classes = record.manifest.get("data", {}).get("classes", 10)
        self.name = record.name
        self.diverged = record.state == "diverged"
        self.ended = record.state == "done"
        self.planned: int = record.manifest.get("config", {}).get("epochs", len(self.rows))
        self._unfinished = f"{record.name}: {record.state} after epoch {len(self.rows)} of {self.planned}"
        self._tested_at_best = record.manifest.get(f"best_{measure.metric}")
        self.value: float | None = None
        self.ending = self.absent = ""

    def take(self, horizon: int) -> None:
        """The metric at an epoch, the best of the first `horizon` epochs, or the mean."""
        rows, measure = self.rows, self._measure
        if self.diverged:
            self.ending = "diverged"
        elif isinstance(measure.at, int):
            if measure.at <= len(rows):
                self.value = rows[measure.at - 1].get(measure.metric)
            else:
                had = plural(len(rows), "epoch")
                self.absent = f"{self.name}: {had}" if self.ended else self._unfinished
        elif not self.ended or not rows:
            self.absent = self._unfinished
        elif measure.metric in rows[-1]:
            values = [row[measure.metric] for row in rows if measure.metric in row]
            choose = max if measure.rises else min
            if measure.at == "best" and measure.metric in TESTED:
                top = best(rows)["epoch"]
                self.value = self._tested_at_best if top <= horizon else None
                self.absent = f"{self.name}: its best epoch is {top}" if top > horizon else ""
            elif measure.at == "best":
                self.value = choose(values[:horizon])
            else:
                self.value = values[-1] if measure.at == "last" else sum(values) / len(values)
        if self.value is None and not self.ending and not self.absent:
            self.absent = f"{self.name}: no {measure.metric}"

    @property
    def end(self) -> float:
        """The last epoch, or the seconds until then."""
        return float(self.rows[-1][self._unit]) if self.rows else 0.0

    @property
    def stopped_with_target(self) -> bool:
        """Whether it needed no more epochs to say when it reached the target."""
        return len(self.rows) < self.planned and self._time(inf) is not None

    def take_time(self, horizon: float) -> None:
        """When the metric reached the target, if it did by `horizon`."""
        if not self.ended and not self.diverged and self.end < horizon:
            self.absent = self._unfinished
            return
        self.value = self._time(horizon)
        if self.value is None:
            self.ending = "diverged" if self.diverged else NEVER

    def _time(self, horizon: float) -> float | None:
        """Where the isotonic regression of the metric crosses the target: the epoch with the most below it before and
        above it from there on. On a curve that only rises it is the first epoch that has reached it.
        """
        measure = self._measure
        assert measure.target is not None
        most, total, reached, waiting = 0.0, 0.0, 0.0, True
        for row in self.rows:
            value: Any = row.get(measure.metric)
            if value is None or row[self._unit] > horizon:
                continue
            if waiting:
                reached, waiting = float(row[self._unit]), False
            total += (measure.target - value) * (1 if measure.rises else -1)
            if total > most:
                most, waiting = total, True
        return None if waiting else reached


def _horizon(trials: Sequence[_Trial]) -> tuple[float, float]:
    """The time in which all trials that have ended were watched, and the length of an epoch at its end."""
    ended = [trial for trial in trials if trial.ended] or list(trials)
    watched = [trial for trial in ended if not trial.stopped_with_target]
    last = min(watched, key=lambda trial: trial.end) if watched else max(ended, key=lambda trial: trial.end)
    return last.end, last.end / max(1, len(last.rows))


def _rows(record: Record, measure: Measure) -> list[Row]:
    """metrics.csv, with the seconds since the start and, in the last row, the results of the test set."""
    rows = record.rows()
    if rows:
        rows[-1] |= {key: record.manifest[key] for key in TESTED if key in record.manifest}
    if measure.metric == "seconds" or measure.until == "seconds":
        total, path = 0.0, record.path / "timings.csv"
        took = {timing["epoch"]: timing["seconds"] for timing in read_timings(path)}
        for row in rows:
            if not took:
                raise DataError(f"{path} has no times")
            # Of an earlier version a kill may have cost the time of an epoch; it took as long as the others.
            total += took.get(row["epoch"], fmean(took.values()))
            row["seconds"] = total
    return rows


# --- seeds next to each other ----------------------------------------------------------------------------------


class Spread(NamedTuple):
    """Mean and sample standard deviation (n - 1; 0 for one value) of a metric over the seeds."""

    mean: float
    std: float


def outcome(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The metrics of a run's last epoch, and its best validation accuracy."""
    last = {key: value for key, value in rows[-1].items() if isinstance(value, float)}
    return {**last, "best_val_acc": best(rows)["val_acc"]}


def spread(outcomes: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Mean and spread of every metric over the runs of several seeds."""
    values = {key: [outcome[key] for outcome in outcomes] for key in outcomes[0]}
    return {key: Spread(fmean(v), stdev(v) if len(v) > 1 else 0.0) for key, v in values.items()}
