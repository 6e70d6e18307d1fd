"""Runs, studies and trials as lines of a list: what each is, what it changed against its preset, what came out.

The lines can be filtered (`--where 'optimizer.lr>0.1'`) and sorted (`--sort -val_acc`) by all that is known of them.
Reads as little as it can: of a run that has ended its manifest, of a study study.yaml and trials.csv, and only of
runs in progress metrics.csv.
"""

import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, TypeVar

from optilab import runs
from optilab.config.keys import keys_of
from optilab.config.load import load
from optilab.config.presets import presets
from optilab.config.section import dump, handling_user_code, schema_for
from optilab.config.tree import decimal, flat, flow
from optilab.errors import ELSEWHERE, OptilabError, UsageError, did_you_mean, shown
from optilab.optimize import RULES
from optilab.runs import Record, Row, Study
from optilab.study.groups import CONFIRMATION, STAGE, asked_of, axes_of

GRAMMAR = "KEY=VALUE, KEY!=VALUE, KEY<VALUE, KEY<=VALUE, KEY>VALUE, KEY>=VALUE or KEY~PATTERN"
RESULTS = ("run", "command", "state", "created", "finished", "epoch", "val_acc", "best_val_acc", "best_epoch")
"""What a run can be filtered and sorted by next to its config."""

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SIGNS = ("=", "!=", *_ORDERS, "~")
_CONDITION = re.compile(r"\s*([A-Za-z_][\w.-]*?)\s*(<=|>=|!=|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
T = TypeVar("T")


@dataclass(frozen=True)
class Condition:
    """A comparison of one fact with a value: as numbers where both are, else as text in YAML's notation.

    UsageError where a number is ordered against text.
    """

    keys: Sequence[str]
    """What the fact may be called; the first of them that is there counts."""
    operator: str
    value: str

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether it does of these facts; where they lack the key, only `!=` does."""
        key = next((key for key in self.keys if key in facts), None)
        if key is None:
            return self.operator == "!="
        fact, number = facts[key], _number(self.value)
        comparable = number is not None and type(fact) in (int, float)
        if self.operator in ("=", "!="):
            equal = fact == number if comparable else flow(fact) == self.value
            return equal == (self.operator == "=")
        if self.operator == "~":
            return fnmatchcase(flow(fact), self.value)
        if comparable:
            return _ORDERS[self.operator](fact, number)
        if type(fact) in (int, float):
            raise UsageError(f"expected a number for {key}, got {shown(self.value)}", "--where")
        return isinstance(fact, str) and _ORDERS[self.operator](fact, self.value)


def read_conditions(texts: Sequence[str]) -> list[Condition]:
    """`KEY OPERATOR VALUE` of each `--where`. UsageError for anything else."""

    def read(text: str) -> Condition:
        match = _CONDITION.fullmatch(text)
        if match is None or (match[2] in _ORDERS and not match[3]) or match[3][:1] in ("<", ">", "="):
            raise UsageError(f"expected {GRAMMAR}, got {shown(text)}", "--where")
        return Condition([match[1]], match[2], match[3])

    return [read(text) for text in texts]


def named(condition: Condition, known: Iterable[str]) -> Condition:
    """The condition with the full names of its key. UsageError if nothing listed has such a key."""
    return Condition(full_keys("--where", condition.keys[0], known), condition.operator, condition.value)


def full_keys(where: str, key: str, known: Iterable[str]) -> list[str]:
    """The keys that `optimizer.lr`, `lr` or `model.norm` (short for `model.norm.name`) means among the `known` ones."""
    keys = dict.fromkeys(known)
    usual = ELSEWHERE.get(key.lower(), key)
    for name in (key, f"{key}.name", usual, f"{usual}.name"):
        if name in keys:
            return [name]
        if ending := [k for k in keys if k.endswith(f".{name}")]:
            return ending
    there = ", ".join(one for one in RESULTS if one in keys)
    own = next((f", or a key of the config such as {one}" for one in keys if one not in RESULTS), "")
    near = did_you_mean(key, list(keys)) or f"; expected {there}{own}"
    raise UsageError(f"no listed run has {shown(key)}{near}", where)


def ordered(items: Sequence[T], facts: Callable[[T], Mapping[str, Any]], sort: str) -> list[T]:
    """The items by a key of their facts, ascending, or descending with `-KEY`; those without it come last."""
    if not items:
        return []
    known = dict.fromkeys(name for item in items for name in facts(item))
    keys = full_keys("--sort", sort.removeprefix("-"), known)
    values = [next((own[key] for key in keys if own.get(key) is not None), None) for own in map(facts, items)]
    having = [i for i, value in enumerate(values) if value is not None]
    having.sort(key=lambda i: _rank(values[i]), reverse=sort.startswith("-"))
    return [items[i] for i in [*having, *(i for i, value in enumerate(values) if value is None)]]


def _rank(value: Any) -> tuple[bool, float, str]:
    """Numbers by their size, before text by its letters."""
    number = type(value) in (int, float)
    return not number, float(value) if number else 0.0, "" if number else flow(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# --- what a config changed against its preset -----------------------------------------------------------------


HIDDEN = frozenset({"name", "data.dir"})
"""Keys that change no number and say nothing about a run that its name does not."""


@dataclass(frozen=True)
class Variant:
    """A config as a preset and its changes."""

    preset: str
    """Empty where there is none."""
    changed: Mapping[str, Any]
    """Dotted keys, with the values of the config."""


def config_of(record: Record) -> dict[str, Any]:
    """The config in a run's manifest, empty in one of an older version; several rules of `optimize` by their names."""
    config: dict[str, Any] = record.manifest.get("config", {})
    rules = config.get("algo")
    if not (isinstance(rules, list) and all(isinstance(rule, dict) for rule in rules)):
        return config
    rest = {key: value for key, value in config.items() if key != "algo"}
    return {**_named(rules), **rest}


def _named(rules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"algo": rules[0]} if len(rules) == 1 else {str(rule.get("name")): rule for rule in rules}


class Variants:
    """The presets, resolved when the first config is compared with them. No code of a user's rule is run."""

    def __init__(self) -> None:
        self._nearest: dict[str, str] = {}
        self._optimize: dict[str, dict[str, Any]] = {}
        self._defaults: dict[str, dict[tuple[str, str], str]] = {}
        """For each command: key and the name of its entry -> the default, as YAML."""

    def of(self, command: str, config: Mapping[str, Any]) -> Variant:
        """For a config of `train`, or of one of `optimize` as `config_of` returns it; other commands have no
        presets."""
        if config and command == "train":
            preset = self._preset(config)
            return Variant(preset, self._telling(command, _changed(config, self._trainings[preset])))
        if config and command == "optimize":
            rules = {key: rule.get("name") for key, rule in config.items() if isinstance(rule, dict)}
            names = [str(name) for key, name in rules.items() if key in ("algo", name)]
            changed = self._telling(command, _changed(config, self._paths(names)))
            said = {"algo.name", *(f"{name}.name" for name in names)}
            shown = ",".join(name.rpartition("/")[2] for name in names)
            return Variant(shown, {key: value for key, value in changed.items() if key not in said})
        return Variant("", {})

    def _preset(self, config: Mapping[str, Any]) -> str:
        """The preset of the config's name, else the one that it differs from in the fewest keys."""
        name = str(config.get("name"))
        if name not in self._nearest:
            counts = {preset: len(_changed(config, base)) for preset, base in self._trainings.items()}
            self._nearest[name] = name if name in counts else min(counts, key=counts.__getitem__)
        return self._nearest[name]

    @cached_property
    def _trainings(self) -> dict[str, dict[str, Any]]:
        schema = schema_for("train")
        with handling_user_code("recorded"):
            trees = [dump(load(schema, str(preset.path))) for preset in presets("train")]
        return {tree["name"]: tree for tree in trees}

    def _paths(self, rules: Sequence[str]) -> dict[str, Any]:
        """These rules of `optimize` with the settings of the exercise or the literature, on the default function."""
        names = ",".join(rules)
        if names not in self._optimize:
            listed = [name for name in rules if name in RULES]
            config = dump(load(schema_for("optimize"), {"algo": listed or ["sgd"]}))
            algo = config.pop("algo")
            self._optimize[names] = {**({"algo": algo[0]} if len(rules) == 1 else _named(algo)), **config}
        return self._optimize[names]

    def _telling(self, command: str, changed: Mapping[str, Any]) -> dict[str, Any]:
        """The changes without the defaults of an entry that was changed: `adam` for `sgd`, without its betas."""
        entries = {key.removesuffix("name"): value for key, value in changed.items() if key.endswith(".name")}
        if entries and command not in self._defaults:
            keys = keys_of(command)
            self._defaults[command] = {(key.key, key.of): key.default for key in keys if key.of}

        def follows(key: str, value: Any) -> bool:
            owners = [of for prefix, of in entries.items() if key.startswith(prefix)]
            return any(_same(value, self._defaults[command].get((key, str(of)))) for of in owners)

        shown = {k: v for k, v in changed.items() if k not in HIDDEN and not k.endswith(".sha256")}
        return {key: value for key, value in shown.items() if not follows(key, value)}


def _same(value: Any, default: str | None) -> bool:
    """Whether a value is a default, which `describe` gives as YAML."""
    return default is not None and (flow(value) == default or decimal(value) == decimal(default))


def _changed(config: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config that its base lacks or has otherwise, by dotted keys."""
    absent = object()
    changed: dict[str, Any] = {}
    for key, value in config.items():
        other = base.get(key, absent)
        if value == other:
            continue
        if isinstance(value, dict):
            inner = _changed(value, other if isinstance(other, dict) else {})
            changed |= {f"{key}.{name}": v for name, v in inner.items()}
        else:
            changed[key] = value
    return changed


# --- lines ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ListedRun:
    """One run, study or trial."""

    about: dict[str, Any]
    """`run`, `command`, `state`, times, and the outcome: `epoch`, `val_acc`, `best_val_acc`, ..."""
    config: Mapping[str, Any]
    """As a tree, or by dotted keys; of a study without its axes."""
    variant: Variant
    entry: Record | Study | None = None
    """None for a trial, of which only its row of trials.csv was read."""
    axes: Mapping[str, int] = field(default_factory=dict)
    """For a study: its axes, each with the number of its values, and `seed`."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """For a study: number of trials by status."""
    trials: Sequence[Mapping[str, Any]] = ()
    """For a study: the facts of its trials, as far as they differ from its own."""
    problem: str = ""
    """Why there is no outcome, where a table is damaged."""

    @cached_property
    def facts(self) -> dict[str, Any]:
        """All that it can be filtered and sorted by."""
        return {**flat(self.config), **self.about}

    def meets(self, conditions: Sequence[Condition]) -> bool:
        """Whether all conditions hold of it, or of one of its trials."""
        candidates = ({**self.facts, **trial} for trial in self.trials) if self.trials else [self.facts]
        return any(all(condition.holds(facts) for condition in conditions) for facts in candidates)


def lines(entries: Iterable[Record | Study]) -> list[ListedRun]:
    """One line per run and study."""
    variants = Variants()
    return [_study(e, variants) if isinstance(e, Study) else _run(e, variants) for e in entries]


def trials(study: Study) -> tuple[list[ListedRun], list[str]]:
    """A study opened: a line per trial, those that have ended in the order of trials.csv, then those in progress; and
    the keys of its axes. DataError, with the line, if trials.csv is damaged."""
    rows = study.trials()
    base, nothing = _without(_base(study), axes_of(rows)), Variant("", {})
    ended = [ListedRun(_trial_facts(row), base, nothing) for row in rows]
    names = {str(row["trial"]) for row in rows}
    others = [runs.read_entry(path) for path in runs.directories(study.path) if path.name not in names]
    running = [_run(entry, Variants()) for entry in others if isinstance(entry, Record)]
    for line in running:  # an axis may be a whole entry, such as the optimizer: its name stands for it
        own = flat(line.config)
        line.about.update({key: own[f"{key}.name"] for key in axes_of(rows) if f"{key}.name" in own})
    return ended + running, axes_of(rows)


def select(found: Sequence[ListedRun], where: Sequence[Condition], sort: str | None) -> list[ListedRun]:
    """The lines that meet all conditions, sorted by a key. UsageError for keys that no line has."""
    if where and found:
        known = dict.fromkeys(key for line in found for facts in (line.facts, *line.trials) for key in facts)
        conditions = [named(condition, known) for condition in where]
        found = [line for line in found if line.meets(conditions)]
    return ordered(found, lambda line: line.facts, sort) if sort else list(found)


# --- one line ----------------------------------------------------------------------------------------------


def _run(record: Record, variants: Variants) -> ListedRun:
    about, config = _about(record), config_of(record)
    problem = ""
    if record.is_training:
        try:
            about |= outcome_facts(record.outcome())
        except OptilabError as error:  # a damaged table must not hide the other runs
            problem = str(error)
    return ListedRun(about, config, variants.of(about["command"], config), record, problem=problem)


def _study(study: Study, variants: Variants) -> ListedRun:
    about, base = _about(study), dict[str, Any]()
    try:
        rows, base = study.trials(), _base(study)
    except OptilabError as error:
        return ListedRun(about, base, variants.of("train", base), study, problem=str(error))
    variant = variants.of("train", base)
    counts = Counter(str(row["status"]) for row in rows)
    about["trials"] = max(study.manifest.get("trials", 0), counts.total())
    trials = [_trial_facts(row) for row in rows]
    for key in ("val_acc", "best_val_acc"):
        if values := [trial[key] for trial in trials if key in trial]:
            about[key] = max(values)
    first = [row for row in rows if row.get(STAGE) != CONFIRMATION]  # whose seeds are those of every setting
    own = [key for key in (*axes_of(rows), "seed") if key != STAGE or len(first) == len(rows)]
    axes = {key: len({str(row[key]) for row in first}) for key in own if first}
    of_trials = [{key: v for key, v in trial.items() if key not in ("run", "command")} for trial in trials]
    return ListedRun(about, _without(base, own), variant, study, axes, counts, of_trials)


def _about(entry: Record | Study) -> dict[str, Any]:
    manifest = entry.manifest
    about = {"run": entry.name, "command": manifest["command"], "state": entry.state}
    return about | {key: manifest[key] for key in ("created", "finished") if key in manifest}


def outcome_facts(row: Row) -> dict[str, Any]:
    """The outcome of a training; the epochs done are `epoch`, as `epochs` is the key of the config."""
    return {("epoch" if key == "epochs" else key): value for key, value in row.items() if value is not None}


def _trial_facts(row: Row) -> dict[str, Any]:
    told = {key: v for key, v in row.items() if key not in ("trial", "digest", "status")}
    outcomes = ("_loss", "_acc", "epoch", "epochs")
    facts = outcome_facts({k: v for k, v in told.items() if not k.endswith(outcomes) or type(v) in (int, float)})
    return {"run": str(row["trial"]), "command": "train", "state": str(row["status"]), **facts}


def _without(base: Mapping[str, Any], axes: Sequence[str]) -> dict[str, Any]:
    """The keys that are the same in all trials, dotted."""
    return {k: v for k, v in flat(base).items() if not any(k == axis or k.startswith(f"{axis}.") for axis in axes)}


def _base(study: Study) -> dict[str, Any]:
    """The config of a study's trainings. ConfigError where study.yaml is damaged."""
    config = asked_of(study).get("config")
    return config if isinstance(config, dict) else {}
