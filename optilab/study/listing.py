"""Runs, studies and trials as lines of a list: what each is, what it changed against its preset, what came out.

Reads as little as it can: of a run that has ended its manifest, of a study study.yaml and trials.csv, and only of
runs in progress metrics.csv.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from optilab import runs
from optilab.config import yaml
from optilab.config.load import flat
from optilab.errors import OptilabError
from optilab.runs import Record, Row, Study
from optilab.study.conditions import Condition, named, ordered
from optilab.study.presets import Variant, Variants, config_of

_ASKED_BYTES = 1 << 20
_NOT_AXES = ("trial", "seed", "digest", "status", "reason")
"""Columns of trials.csv around those of the axes."""


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
    """Of a study: its axes, each with the number of its values, and `seed`."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Of a study: number of trials by status."""
    trials: Sequence[Mapping[str, Any]] = ()
    """Of a study: the facts of its trials, as far as they differ from its own."""
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
    base, nothing = _without(_base(study.path), _axes(rows)), Variant("", {})
    ended = [ListedRun(_trial_facts(row), base, nothing) for row in rows]
    names = {str(row["trial"]) for row in rows}
    others = [runs.read_entry(path) for path in runs.directories(study.path) if path.name not in names]
    running = [_run(entry, Variants()) for entry in others if isinstance(entry, Record)]
    return ended + running, list(_axes(rows))


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
    if record.manifest["command"] == "train":
        try:
            about |= outcome_facts(record.recorded_outcome())
        except OptilabError as error:  # a damaged table must not hide the other runs
            problem = str(error)
    return ListedRun(about, config, variants.of(about["command"], config), record, problem=problem)


def _study(study: Study, variants: Variants) -> ListedRun:
    about, base = _about(study), _base(study.path)
    variant = variants.of("train", base)
    try:
        rows = study.trials()
    except OptilabError as error:
        return ListedRun(about, base, variant, study, problem=str(error))
    counts = Counter(str(row["status"]) for row in rows)
    about["trials"] = max(study.manifest.get("trials", 0), counts.total())
    trials = [_trial_facts(row) for row in rows]
    for key in ("val_acc", "best_val_acc"):
        if values := [trial[key] for trial in trials if key in trial]:
            about[key] = max(values)
    own = [*_axes(rows), "seed"]
    axes = {key: len({str(row[key]) for row in rows}) for key in own if rows and key in rows[0]}
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
    facts = outcome_facts({key: v for key, v in told.items() if not _is_outcome(key) or type(v) in (int, float)})
    return {"run": str(row["trial"]), "command": "train", "state": str(row["status"]), **facts}


def _is_outcome(key: str) -> bool:
    return key.endswith(("_loss", "_acc", "epoch", "epochs"))


def _axes(rows: Sequence[Row]) -> list[str]:
    """The columns of trials.csv that are axes: those before the seed."""
    columns = list(rows[0]) if rows else []
    before = columns[: columns.index("seed")] if "seed" in columns else []
    return [key for key in before if key not in _NOT_AXES]


def _without(base: Mapping[str, Any], axes: Sequence[str]) -> dict[str, Any]:
    """The keys that are the same in all trials, dotted."""
    return {k: v for k, v in flat(base).items() if not any(k == axis or k.startswith(f"{axis}.") for axis in axes)}


def _base(path: Path) -> dict[str, Any]:
    """The config of a study's trainings; nothing where study.yaml cannot be read."""
    try:
        tree = yaml.read(runs.read_regular(path / runs.STUDY, _ASKED_BYTES), str(path)).tree
    except (OptilabError, FileNotFoundError):
        return {}
    config = tree.get("config")
    return config if isinstance(config, dict) else {}
