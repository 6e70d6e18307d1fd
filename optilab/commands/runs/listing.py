"""Runs, studies and trials as lines of a list: what each is, what it changed against its preset, what came out.

The lines can be filtered (`--where 'optimizer.lr>0.1'`) and sorted (`--sort -val_acc`) by all that is known of them.
Reads as little as it can: of a run that has ended its manifest, of a study study.yaml, its plan and the manifests of
its trials, and only of runs in progress metrics.csv.
"""

import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from optilab.config.keys import is_within
from optilab.config.tree import decimal, flat
from optilab.errors import SYNONYMS, OptilabError, UsageError, did_you_mean, shown
from optilab.judge.groups import request_of
from optilab.judge.variant import PresetDiff, listed_config, variant_of
from optilab.proposals import flow
from optilab.runs import Record, Row, Study

RESULTS = ("run", "command", "state", "created", "finished", "epoch", "val_acc", "best_val_acc", "best_epoch")
"""Facts besides the config by which runs can be filtered and sorted."""

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "~": fnmatchcase,
}
_CONDITION = re.compile(r"\s*([A-Za-z_][\w.-]*?)\s*(!=|=|~|(?:<=|>=|<|>)(?=\s*\S))\s*(?![<>=])(.*?)\s*", re.DOTALL)
"""Key, operator and value; a value that is ordered is not empty."""


@dataclass(frozen=True)
class Condition:
    """A comparison of one fact with a value: as numbers where both are, else as text in YAML's notation."""

    keys: Sequence[str]
    """The names of the fact; the first of them that a run has counts."""
    operator: str
    value: str

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """True if the facts satisfy the condition; facts without the key satisfy only `!=`.

        UsageError where a number is ordered against text.
        """
        if (key := next((key for key in self.keys if key in facts), None)) is None:
            return self.operator == "!="
        fact, value = facts[key], decimal(self.value)
        is_number = type(fact) in (int, float)
        if is_number and isinstance(value, str) and self.operator[0] in "<>":
            raise UsageError(f"expected a number for {key}, got {shown(self.value)}", "--where")
        if not is_number or isinstance(value, str) or self.operator == "~":
            fact, value = flow(fact), self.value
        return _OPERATORS[self.operator](fact, value)


def read_conditions(texts: Sequence[str]) -> list[Condition]:
    """`KEY OPERATOR VALUE` of each `--where`. UsageError for anything else."""
    conditions = []
    for text in texts:
        if (match := _CONDITION.fullmatch(text)) is None:
            accepted = ", ".join(f"KEY{sign}VALUE" for sign in _OPERATORS if sign != "~")
            raise UsageError(f"expected {accepted} or KEY~PATTERN, got {shown(text)}", "--where")
        conditions.append(Condition([match[1]], match[2], match[3]))
    return conditions


def full_keys(where: str, key: str, known: Iterable[str]) -> list[str]:
    """The keys that `optimizer.lr`, `lr` or `model.norm` (short for `model.norm.name`) means among the `known` ones."""
    keys = dict.fromkeys(known)
    canonical = SYNONYMS.get(key.lower(), key)
    for name in (key, f"{key}.name", canonical, f"{canonical}.name"):
        if matches := [name] if name in keys else [k for k in keys if k.endswith(f".{name}")]:
            return matches
    results = ", ".join(result for result in RESULTS if result in keys)
    config = next((f", or a key of the config such as {k}" for k in keys if k not in RESULTS), "")
    near = did_you_mean(key, list(keys)) or f"; expected {results}{config}"
    raise UsageError(f"no listed run has {shown(key)}{near}", where)


def _rank(value: Any) -> tuple[bool, float, str]:
    """Numbers by their size, before text by its letters."""
    number = type(value) in (int, float)
    return not number, float(value) if number else 0.0, "" if number else flow(value)


# --- lines ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ListedRun:
    """One run, study or trial."""

    about: dict[str, Any]
    """`run`, `command`, `state`, times, and the outcome: `epoch`, `val_acc`, `best_val_acc`, ..."""
    config: Mapping[str, Any]
    """The config as a tree, or by dotted keys; that of a study lacks its axes."""
    variant: PresetDiff
    entry: Record | Study | None = None
    """None for a trial, of which only its row was read."""
    axes: Mapping[str, int] = field(default_factory=dict)
    """The axes of a study, each with the number of its values, and `seed`."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """The number of trials of a study, by status."""
    trials: Sequence[Mapping[str, Any]] = ()
    """The facts of the trials of a study, as far as they differ from those of the study."""
    problem: str = ""
    """The reason why there is no outcome, where a table is damaged."""

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The facts by which the line can be filtered and sorted."""
        return {**flat(self.config), **self.about}

    def meets(self, conditions: Sequence[Condition]) -> bool:
        """True if all conditions hold for the run, or for a single trial of the study."""
        candidates = ({**self.facts, **trial} for trial in self.trials) if self.trials else [self.facts]
        return any(all(condition.holds(facts) for condition in conditions) for facts in candidates)


def lines(entries: Iterable[Record | Study]) -> list[ListedRun]:
    """One line per run and study."""
    return [_study(entry) if isinstance(entry, Study) else _run(entry) for entry in entries]


def trials(study: Study) -> tuple[list[ListedRun], list[str]]:
    """A study opened: a line per trial, those that have ended in the order of the plan, then those in progress; and
    the keys of its axes. DataError, with the line, if the plan is damaged."""
    axes, nothing = study.axes, PresetDiff("", {})
    base = _without(_base(study), axes)
    ended = [ListedRun(_trial_facts(row), base, nothing) for row in study.rows()]
    running = [_run(trial.run) for trial in study.trials if trial.run and not trial.status]
    for line in running:  # an axis may be a whole entry, such as the optimizer: its name stands for it
        settings = flat(line.config)
        names = {key: settings.get(f"{key}.label", settings.get(f"{key}.name")) for key in axes}
        line.about.update({key: name for key, name in names.items() if name is not None})
    return ended + running, axes


def filter_entries(listed: Sequence[ListedRun], where: Sequence[Condition], sort: str | None) -> list[ListedRun]:
    """The lines that meet all conditions, by a key ascending, or descending with `-KEY`; those without it come last.

    UsageError for keys that no line has.
    """
    if where and listed:
        known = dict.fromkeys(key for line in listed for facts in (line.facts, *line.trials) for key in facts)
        conditions = [
            replace(condition, keys=full_keys("--where", condition.keys[0], known)) for condition in where
        ]
        listed = [line for line in listed if line.meets(conditions)]
    if not (sort and listed):
        return list(listed)
    keys = full_keys("--sort", sort.removeprefix("-"), [name for line in listed for name in line.facts])
    values = [next((line.facts[key] for key in keys if line.facts.get(key) is not None), None) for line in listed]
    order = sorted(range(len(listed)), key=lambda i: _rank(values[i]), reverse=sort.startswith("-"))
    return [listed[i] for i in sorted(order, key=lambda i: values[i] is None)]


# --- one line ----------------------------------------------------------------------------------------------


def _run(record: Record) -> ListedRun:
    about, (config, problem) = _about(record), listed_config(record)
    if record.is_training:
        try:
            about |= outcome_facts(record.outcome())
        except OptilabError as error:  # a damaged table must not hide the other runs
            problem = str(error)
    return ListedRun(about, config, variant_of(about["command"], config), record, problem=problem)


def _study(study: Study) -> ListedRun:
    about, base = _about(study), dict[str, Any]()
    try:
        rows, base = study.rows(), _base(study)
    except OptilabError as error:
        return ListedRun(about, base, variant_of("train", base), study, problem=str(error))
    variant = variant_of("train", base)
    counts = Counter(str(row["status"]) for row in rows)
    about["trials"] = counts.total()
    if study.state != "done":
        about["trials"] = max(study.manifest.get("trials", 0), counts.total())
    trials = [_trial_facts(row) for row in rows]
    for key in ("val_acc", "best_val_acc"):
        if values := [trial[key] for trial in trials if key in trial]:
            about[key] = max(values)
    varied = [*study.axes, "seed"]
    axes = {key: len({str(row[key]) for row in rows}) for key in varied if rows}
    of_trials = [{key: v for key, v in trial.items() if key not in ("run", "command")} for trial in trials]
    return ListedRun(about, _without(base, varied), variant, study, axes, counts, of_trials)


def _about(entry: Record | Study) -> dict[str, Any]:
    manifest = entry.manifest
    about = {"run": entry.name, "command": manifest["command"], "state": entry.state}
    return about | {key: manifest[key] for key in ("created", "finished") if key in manifest}


def outcome_facts(row: Row) -> dict[str, Any]:
    """The outcome of a training; the epochs done are `epoch`, as `epochs` is the key of the config."""
    return {("epoch" if key == "epochs" else key): value for key, value in row.items() if value is not None}


def _trial_facts(row: Row) -> dict[str, Any]:
    columns = {key: v for key, v in row.items() if key not in ("trial", "digest", "status")}
    outcomes = ("_loss", "_acc", "epoch", "epochs")
    facts = outcome_facts(
        {k: v for k, v in columns.items() if not k.endswith(outcomes) or type(v) in (int, float)}
    )
    return {"run": str(row["trial"]), "command": "train", "state": str(row["status"]), **facts}


def _without(base: Mapping[str, Any], axes: Sequence[str]) -> dict[str, Any]:
    """The keys that are the same in all trials, dotted."""
    return {k: v for k, v in flat(base).items() if not any(is_within(k, axis) for axis in axes)}


def _base(study: Study) -> dict[str, Any]:
    """The config of a study's trainings, by dotted key. ConfigError where study.yaml is damaged."""
    request = request_of(study)
    config, changes = request.get("config"), request.get("set") or {}
    base = flat(config) if isinstance(config, dict) else {}
    inside = [key for key in base if key not in changes and any(is_within(key, changed) for changed in changes)]
    return {key: value for key, value in base.items() if key not in inside} | flat(changes)
