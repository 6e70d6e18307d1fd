"""Runs sorted into groups that differ in nothing but the seed, and what the groups differ in.

A setting is a key of the resolved config that the result is attributed to. Labels (`name`), where and how a training
ran (`device`, `threads`, `data.dir`), what it leaves behind (`probes`, `curvature`, `checkpoint_every`) and what is
expected of it (`expect`) are not settings. The digest of the dataset's files is one, so that trainings on different
data never share a group.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optilab import runs
from optilab.config import yaml
from optilab.config.load import dump, flat, load
from optilab.config.training import TrainConfig
from optilab.config.yaml import flow
from optilab.errors import UsageError, did_you_mean, shown
from optilab.optimize.own import is_own
from optilab.runs import Record, Study

_MEASURED = ("probes", "curvature", "curvature.every", "curvature.images")
NOT_SETTINGS = frozenset(
    {"name", "device", "threads", "checkpoint_every", "data.dir", "expect", "seed", *_MEASURED}
)
DATA = "data.files"
"""The setting that stands for the content of the dataset's files: the start of a digest of their digests."""
FORK, FORKED = "fork.name", "fork.settings"
"""The settings that tell the runs that were forked: at which epoch, and a digest of the settings up to there."""

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


def select(folder: Path, names: Sequence[str]) -> list[Record]:
    """The trainings that names, paths, patterns, `latest` and studies (all their trials) mean, each once.

    Raises what `runs.locate` raises, CheckpointError for a directory that is not readable as a run, and UsageError
    for runs of another command.
    """
    records: dict[Path, Record] = {}
    for path in runs.select(folder, names):
        entry = runs.read_entry(path)
        records |= {run.path: run for run in (entry.runs() if isinstance(entry, Study) else [entry])}
    foreign = [f"{r.name} (optilab {r.manifest['command']})" for r in records.values() if not _is_training(r)]
    if foreign:
        raise UsageError(f"trainings expected, got {', '.join(map(shown, foreign))}")
    return list(records.values())


def _is_training(record: Record) -> bool:
    return bool(record.manifest["command"] == "train")


def settings(record: Record) -> dict[str, Any]:
    """Every key of a run's resolved config, dotted, the digest of its data, and where it was forked from, if it was.

    A rule of the user's own is not loaded: its file may have changed since, and its digest is a setting. ConfigError if
    the config is damaged.
    """
    path = record.path / "config.yaml"
    written = yaml.read(record.config, str(path)).tree
    rule = written.get("optimizer")
    if isinstance(rule, dict) and is_own(rule.get("name")):
        tree = flat({**dump(load(TrainConfig, {**written, "optimizer": "sgd"})), "optimizer": rule})
        tree["optimizer.sha256"] = str(rule.get("sha256"))[:8]
    else:
        tree = flat(dump(load(TrainConfig, str(path))))
    digests = record.manifest.get("data", {}).get("sha256", {})
    return {**tree, DATA: _digest(digests), **_fork(record.manifest.get("fork"))}


def _fork(origin: Mapping[str, Any] | None) -> dict[str, str]:
    """The epoch of a fork, and a digest of the settings that its run had before; nothing for a run that is none."""
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
        counted = {key: value for key, value in tree.items() if key not in ignored}
        identity = json.dumps(counted, sort_keys=True)
        trees.setdefault(identity, counted)
        names.setdefault(identity, tree["name"])
        group, seed = members.setdefault(identity, {}), tree["seed"]
        if seed in group:
            worse, record = sorted((group[seed], record), key=_progress)
            repeated.append(worse)
        group[seed] = record
    shared = _shared(list(trees.values()))
    different = [{key: v for key, v in tree.items() if key not in shared} for tree in trees.values()]
    labels = _labels(different, list(names.values()))
    return Grouping(
        tuple(
            Group(label, own, dict(sorted(seeds.items())))
            for label, own, seeds in zip(labels, different, members.values(), strict=True)
        ),
        shared,
        tuple(repeated),
    )


def _progress(record: Record) -> tuple[bool, int, str]:
    ended = record.state in ("done", "diverged")
    return ended, record.manifest.get("epoch", 0), str(record.manifest.get("created", ""))


def _shared(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The keys whose values are equal in all."""
    if not trees:
        return {}
    first = trees[0]
    return {key: v for key, v in first.items() if all(key in tree and tree[key] == v for tree in trees)}


# --- labels ------------------------------------------------------------------------------------------------


def _labels(different: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """One label per group: its settings with short keys; the configs' names where those are shorter."""
    keys = telling(list(dict.fromkeys(key for tree in different for key in tree)), different)
    labels = [settings_label(tree, keys) or name for tree, name in zip(different, names, strict=True)]
    distinct = len(set(names)) == len(names)
    return list(names) if distinct and max(map(len, labels), default=0) > _LABEL_CHARACTERS else labels


def settings_label(tree: Mapping[str, Any], keys: Sequence[str]) -> str:
    """`lr 0.1, norm batch`: the settings in `keys`, each by as much of its key as tells it from the others."""
    words = short(keys)
    return ", ".join(f"{words[key]} {text(tree[key])}" for key in keys if key in tree)


def telling(keys: Sequence[str], trees: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys without those that follow from the name of their entry, as `optimizer.beta1` from `optimizer.name`."""
    return [key for key in keys if not _follows(key, trees)]


def _follows(key: str, different: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the name of the entry that `key` belongs to decides its value."""
    entry = f"{key.rpartition('.')[0]}.name"
    if key == entry or not any(entry in tree for tree in different):
        return False
    values: dict[Any, Any] = {}
    return all(values.setdefault(t.get(entry), t.get(key)) == t.get(key) for t in different)


def short(keys: Sequence[str]) -> dict[str, str]:
    """Each dotted key by as few of its last parts as tell it from the others: `optimizer.lr` is `lr`.

    `.name` of an entry is left out: `model.norm.name` is `norm`.
    """
    parts = {key: key.removesuffix(".name").split(".") if key != "name" else ["name"] for key in keys}
    result = {}
    for key, own in parts.items():
        for count in range(1, len(own) + 1):
            if sum(other[-count:] == own[-count:] for other in parts.values()) == 1:
                break
        result[key] = ".".join(own[-count:])
    return result


def text(value: Any) -> str:
    """A setting as it is shown: numbers in short form, lists as YAML, those of equal entries as `5 x 128`."""
    if isinstance(value, list) and len(value) > 3 and all(entry == value[0] for entry in value):
        return f"{len(value)} x {text(value[0])}"
    return f"{value:g}" if isinstance(value, float) else flow(value)
