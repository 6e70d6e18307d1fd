"""Runs sorted into groups that differ in nothing but the seed.

A setting is a key of the resolved config that the result is attributed to. Labels (`name`), where and how a training
ran (`device`, `threads`, `data.dir`), what it leaves behind (`probes`, `curvature`, `checkpoint_every`) and what is
expected of it (`expect`) are not settings. The checksum of the dataset's files is one, so that trainings on different
data never share a group.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from optilab import runs
from optilab.config.load import NOT_SETTINGS, config_of
from optilab.config.tree import Tree, flat
from optilab.diagnose.remedies import REMEDY
from optilab.errors import UsageError, did_you_mean, shown
from optilab.numbers import digits
from optilab.optimize.rule import without_label
from optilab.proposals import flow
from optilab.runs import Record, Study
from optilab.user_code import is_user_code
from optilab.words import SEVERAL, listed, plural, some

DATA_DIGEST = "data.files"
"""The setting that stands for the content of the dataset's files: the start of a checksum of their checksums."""
FORK_EPOCH, FORK_DIGEST = "fork.name", "fork.settings"
"""The settings that identify forked runs: the epoch, and a checksum of the settings up to there."""

STAGE = "stage"
"""The setting of a trial of a race: tuning, finalist or final."""

_LABEL_CHARACTERS = 48

NAMES = (REMEDY, "optimizer.name")
"""The settings whose values are names of rows themselves."""

L = TypeVar("L", bound=Any)
"""A group, or another dataclass with a label."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed."""

    label: str
    """The settings that set the group apart, in short; the name of its config where that is shorter or none do."""
    settings: dict[str, Any]
    """Dotted keys of the config, with this group's values, that are not the same in all groups."""
    runs: dict[int, Record]
    """The run of each seed, in ascending order."""
    repeats: Mapping[int, int] = field(default_factory=dict)
    """The repeat of a race that each seed belongs to: then the repeats are the sample, not the seeds."""


@dataclass(frozen=True)
class Grouping:
    """All groups of a selection of runs."""

    groups: tuple[Group, ...]
    """The groups, in the order in which their first runs were selected."""
    shared: dict[str, Any]
    """Settings that all groups have in common."""
    repeated: tuple[Record, ...] = ()
    """Runs left out because a later or more complete run has the same settings and seed."""

    @property
    def differing(self) -> list[str]:
        """The dotted keys that differ between the groups, in the order of the config."""
        return list(dict.fromkeys(key for group in self.groups for key in group.settings))


class Selection(NamedTuple):
    """Trainings, and for each trial of their studies without a readable run the reason."""

    records: Sequence[Record]
    left_out: Mapping[str, str] = {}
    looks: int = 0
    """The largest number of earlier comparisons of a study of theirs; see `alpha`."""
    entries: Sequence[Record | Study] = ()
    """The runs and studies that were named."""
    others: Mapping[str, str] = {}
    """Runs that are not trainings, where a pattern includes them, and their commands."""
    on_functions: Sequence[Record] = ()
    """The runs on test functions that were named; `entries` lacks them."""

    @property
    def notes(self) -> list[str]:
        """A sentence for each trial that is left out, for each confirmation, and for runs that are not trainings."""
        notes = [f"{name} is left out: {reason}" for name, reason in self.left_out.items()]
        notes += [note for entry in self.entries if isinstance(entry, Study) for note in entry.notes]
        if self.others:
            left_out = f"{plural(len(self.others), 'run')} of {listed(sorted({*self.others.values()}))}"
            notes.append(f"{left_out} {'is' if len(self.others) == 1 else 'are'} left out: not trainings")
        return notes

    def require_trainings(self) -> None:
        """UsageError for runs on test functions, which have no epochs of a network."""
        if self.on_functions:
            got = (f"{run.name} is a run of `optilab {run.manifest['command']}`" for run in self.on_functions)
            raise UsageError(f"expected trainings; {', '.join(got)}")


def select_runs(directory: Path, names: Sequence[str]) -> Selection:
    """The trainings that names, paths, patterns, `latest` and studies (all their trials) mean, each once, and apart
    from them the runs on test functions. A pattern means trainings only, where there is one.

    The confirmation of a sweep is a separate study: together with the trainings that chose its settings, it would be
    neither a fair sample nor a new one.

    Raises what `runs.locate` raises, CheckpointError for a directory that is not readable as a run, and RunError for a
    study whose study.yaml was edited.
    """
    entries = runs.read_selected(directory, names)
    plain = [name for name in names if not runs.is_pattern(name)]
    named = {entry.path for entry in runs.read_selected(directory, plain)}
    on_functions = {e.path: e for e in entries if isinstance(e, Record) and not e.is_training}
    others = {path: f"optilab {e.manifest['command']}" for path, e in on_functions.items() if path not in named}
    if len(others) == len(entries) or len(plain) == len(names):
        others = {}
    records, left_out, looks = dict[Path, Record](), dict[str, str](), 0
    entries = [entry for entry in entries if entry.path not in on_functions]
    for entry in entries:
        if isinstance(entry, Record):
            records[entry.path] = entry
            continue
        entry.require_unedited()
        looks = max(looks, entry.earlier_looks)
        readable, unreadable = entry.runs()
        records |= {run.path: run for run in readable}
        left_out |= {f"{entry.name}/{name}": reason for name, reason in unreadable.items()}
    named_runs = [entry for path, entry in on_functions.items() if path not in others]
    left = {path.name: command for path, command in others.items()}
    return Selection(list(records.values()), left_out, looks, entries, left, named_runs)


def settings(record: Record) -> dict[str, Any]:
    """Every key of a run's config, dotted, as its manifest has it: the checksum of its data, and where it was forked
    from, if it was.

    A user's code is not loaded: its checksum is a setting. ConfigError for a damaged config.yaml, CheckpointError for a
    damaged manifest, RunError if a setting was edited since the run started, as only that of a watched loop may be.
    """
    tree = flat(config_of(record))
    if record.is_watched:  # its code cannot be seen: the name that it was saved under tells it from others
        return {**tree, "name": record.name}
    for key in ("optimizer", "model"):
        if is_user_code(tree.get(f"{key}.name")):
            tree[f"{key}.name"] = value_text(tree[f"{key}.name"])
            tree[f"{key}.sha256"] = str(tree.get(f"{key}.sha256"))[:8]
    digests = record.manifest.get("data", {}).get("sha256", {})
    remedy = {REMEDY: record.manifest[REMEDY]} if REMEDY in record.manifest else {}
    return {**remedy, **tree, DATA_DIGEST: _digest(digests), **_fork(record.manifest.get("fork"))}


def _fork(origin: Mapping[str, Any] | None) -> dict[str, str]:
    """The epoch of a fork, and a checksum of the settings before it; empty for a run that is not a fork."""
    if origin is None:
        return {}
    tree = flat(origin.get("config", {}))
    # Where no schedule depends on it, the number of epochs says nothing about those before the fork.
    ignored = NOT_SETTINGS | ({"epochs"} if tree.get("schedule.name") == "constant" else set())
    config = {key: value for key, value in tree.items() if key not in ignored}
    return {
        FORK_EPOCH: f"at epoch {origin.get('epoch')}",
        FORK_DIGEST: _digest({**config, **_fork(origin.get("fork"))}),
    }


def _digest(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:8]


def groups(records: Iterable[Record], by: Iterable[str] = ()) -> Grouping:
    """The runs by everything but the seed. Of several runs with the same settings and seed, the one that went
    furthest counts, the newest of equals.

    `by` adds keys that are not settings otherwise, such as `name`. UsageError for one that no run has. The name of a
    remedy is a setting where each run has one; among other runs, what the remedy changes tells its run apart.
    """
    records = [*records]
    named = all(REMEDY in record.manifest for record in records)
    ignored = (NOT_SETTINGS if named else NOT_SETTINGS | {REMEDY}) - set(by)
    members, distinct, known, repeated = (
        dict[str, dict[int, Record]](),
        _Distinct(),
        dict[str, None](),
        list[Record](),
    )
    for record in records:
        tree = settings(record)
        known |= dict.fromkeys(tree)
        group = members.setdefault(distinct.add(tree, ignored - {"name"} if record.is_watched else ignored), {})
        if (seed := tree["seed"]) in group:
            worse, record = sorted((group[seed], record), key=_progress)
            repeated.append(worse)
        group[seed] = record
    if unknown := [key for key in by if key not in known]:
        lines = (f"no setting {shown(key)} in these runs{did_you_mean(key, list(known))}" for key in unknown)
        raise UsageError("\n".join(lines))
    shared, different, labels = distinct.split_shared()
    return Grouping(
        tuple(
            Group(label, tree, dict(sorted(group.items())))
            for label, tree, group in zip(labels, different, members.values(), strict=True)
        ),
        shared,
        tuple(repeated),
    )


def relabeled(items: Sequence[L], labels: Sequence[str]) -> tuple[L, ...]:
    """Groups or rows with other labels: each of `labels` is LABEL=NAME, with a part of the label of exactly one of
    them. UsageError for another text."""
    names = {item.label: item.label for item in items}
    for text in labels:
        part, sign, name = text.partition("=")
        matches = [label for label in names if label == part] or [label for label in names if part in label]
        if not (sign and part and name and len(matches) == 1):
            near = did_you_mean(part, list(names))
            known = some([shown(label) for label in names], SEVERAL)
            accepted = f"LABEL=NAME with a part of exactly one label of {known}"
            raise UsageError(f"expected {accepted}, got {shown(text)}{near}", "--label")
        if name in names.values():
            raise UsageError(f"expected a name that no other group has, got {shown(name)}", "--label")
        names[matches[0]] = name
    return tuple(replace(item, label=names[item.label]) for item in items)


def planned_groups(trees: Iterable[Mapping[str, Any]]) -> Grouping:
    """The groups, still without runs, that trials of these settings (by dotted key), on the same images, will make."""
    distinct = _Distinct()
    for tree in map(dict, trees):
        if digest := tree.get("optimizer.sha256"):
            tree["optimizer.sha256"] = str(digest)[:8]
        distinct.add(tree, NOT_SETTINGS)
    shared, different, labels = distinct.split_shared()
    return Grouping(tuple(Group(*group, {}) for group in zip(labels, different, strict=True)), shared)


class _Distinct:
    """Settings that are not the same, each once, in the order in which they came."""

    def __init__(self) -> None:
        self._trees: dict[str, dict[str, Any]] = {}
        self._names: dict[str, str] = {}

    def add(self, tree: Mapping[str, Any], ignored: Collection[str]) -> str:
        """The identity of settings."""
        counted = {key: value for key, value in tree.items() if key not in ignored}
        identity = json.dumps(counted, sort_keys=True)
        label = {"optimizer.name": tree["optimizer.label"]} if "optimizer.label" in tree else {}
        self._trees.setdefault(identity, {**counted, **label})
        self._names.setdefault(identity, tree["name"])
        return identity

    def split_shared(self) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
        """The common settings, the settings by which each group differs, and the labels."""
        first, *others = self._trees.values() or [{}]
        absent = object()
        shared = {key: v for key, v in first.items() if all(tree.get(key, absent) == v for tree in others)}
        different = [{key: v for key, v in tree.items() if key not in shared} for tree in self._trees.values()]
        return shared, different, _labels(different, list(self._names.values()))


def _progress(record: Record) -> tuple[bool, int, str]:
    ended = record.state in ("done", "diverged")
    return ended, record.manifest.get("epoch", 0), str(record.manifest.get("created", ""))


def request_of(study: Study) -> dict[str, Any]:
    """The keys of study.yaml, as they are written. ConfigError where it is damaged."""
    return Tree.read(study.config, str(study.path / runs.STUDY_FILE)).values


# --- labels ------------------------------------------------------------------------------------------------


def _labels(different: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """The label of each group: its settings with short keys. If those are long, the names of the configs; if names are
    equal, too, the first settings that tell all groups apart."""
    keys = distinguishing_keys(different)
    labels = [settings_label(tree, keys) or name for tree, name in zip(different, names, strict=True)]
    if max(map(len, labels), default=0) <= _LABEL_CHARACTERS:
        return labels
    if len(set(names)) == len(names):
        return list(names)
    counts = [
        len({json.dumps([tree.get(key) for key in keys[:n]]) for tree in different}) for n in range(len(keys) + 1)
    ]
    telling = [key for key, fewer, more in zip(keys, counts, counts[1:], strict=False) if more > fewer]
    return [settings_label(tree, telling) or name for tree, name in zip(different, names, strict=True)]


def settings_label(tree: Mapping[str, Any], keys: Sequence[str]) -> str:
    """`adam, lr 0.1`: the name of a remedy or an optimizer, and the other settings in `keys`, each by as much of its
    key as tells it from the others."""
    words = short_names(keys)
    texts = {key: value_text(tree[key]) for key in keys if key in tree}
    names = [text for key, text in texts.items() if key in NAMES]
    return ", ".join([*names, *(f"{words[key]} {text}" for key, text in texts.items() if key not in NAMES)])


def distinguishing_keys(trees: Sequence[Mapping[str, Any]], keys: Iterable[str] | None = None) -> list[str]:
    """The keys, or those of all trees, without those that follow from the name of their entry, as `optimizer.beta1`
    from `optimizer.name`, or from that of the remedy."""
    keys = dict.fromkeys(key for tree in trees for key in tree) if keys is None else keys
    names = {key: (f"{key.rpartition('.')[0]}.name", REMEDY) for key in keys}
    return [key for key in keys if not any(_is_implied_by(name, key, trees) for name in names[key])]


def _is_implied_by(entry: str, key: str, different: Sequence[Mapping[str, Any]]) -> bool:
    """True if the value of `entry`, a name, decides that of `key`."""
    if key == entry or not any(entry in tree for tree in different):
        return False
    values: dict[Any, Any] = {}
    return all(values.setdefault(t.get(entry), t.get(key)) == t.get(key) for t in different)


_PARTS = re.compile(r"\.(?!\d|.*py:)", re.DOTALL)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Each dotted key by as few of its last parts as tell it from the others: `optimizer.lr` is `lr`.

    `.name` of an entry is left out: `model.norm.name` is `norm`. The file of an optimizer stays whole: `own.py:Own.lr`;
    so does a number in its formula.
    """
    parts = {key: _PARTS.split(key.removesuffix(".name")) for key in keys}
    result = {}
    for key, names in parts.items():
        for count in range(1, len(names) + 1):
            if sum(other[-count:] == names[-count:] for other in parts.values()) == 1:
                break
        result[key] = ".".join(names[-count:])
    return result


_USER_FILE = re.compile(r"^.*/([^/]+\.py:[\w.]+)$", re.DOTALL)
"""An optimizer in a file, or a key of it: a table has its name without the directory; its checksum is another
setting."""


def without_directory(value: Any) -> Any:
    """A value of a config; of an optimizer or a network in a file, without the directory of the file."""
    return _USER_FILE.sub(r"\1", value) if isinstance(value, str) else value


def value_text(value: Any) -> str:
    """A setting as it is shown: numbers in short form, lists as YAML, those of equal entries as `5 x 128`, the file of
    an optimizer without its directory, and one that the user has named by that name.
    """
    if isinstance(value, str) and (label := value.removesuffix(without_label(value)).rstrip("= ")):
        return label
    if isinstance(value, list) and len(value) > 3 and all(entry == value[0] for entry in value):
        return f"{len(value)} x {value_text(value[0])}"
    if (name := without_directory(value)) != value:
        return str(name)
    return digits(value) if isinstance(value, float) else flow(value)
