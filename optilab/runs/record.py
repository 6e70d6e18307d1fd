"""Runs and studies as read from disk, recognized by their content."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from optilab.errors import (
    CheckpointError,
    DataError,
    OptilabError,
    RunError,
    SystemFailure,
    UsageError,
    printable,
    shown,
)
from optilab.files import Row, is_regular, read_json, read_regular
from optilab.proposals import Call
from optilab.runs.lock import is_held
from optilab.runs.metrics import TESTED
from optilab.runs.tables import outcome, read_last_row, read_lines, read_metrics, read_table
from optilab.words import FEW, some

SCHEMA_VERSION = 3
"""The version of manifests; another one is refused."""
MANIFEST = "manifest.json"
CONFIG_FILE = "config.yaml"
STUDY_FILE = "study.yaml"
"""The file with the config of a study; it marks a directory as a study, the runs that one command made."""
TUNINGS = "tunings.jsonl"
"""A line for each tuning of a race: what it chose, and how that did on other starts."""
PLAN = "plan.jsonl"
"""A line for each trial of a study, before it runs: its name, settings, seed and checksum."""
TRIALS = "trials.csv"
"""A row for each trial that has ended, with its outcome; written at the end of the study, and read by no command."""
CONFIRMED_DIRECTORY = "confirmed"
"""The study inside a sweep that trains its best settings again, from new seeds."""

STATUSES = ("done", "diverged", "stopped", "failed")
"""The statuses of trials that have ended; successive halving stops those that it does not promote."""

_MANIFEST_BYTES = 16 << 20
_CONFIG_BYTES = 1 << 20

_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "command", "status", "created", "finished", "reason", "config_sha256"), str),
    **dict.fromkeys(("versions", "host", "environment", "git", "numerics", "data"), dict),
    **dict.fromkeys(
        ("config", "results", "formulas", "own_rules", "own_network", "fork", "outcome", "search_space"), dict
    ),
    **dict.fromkeys(("argv", "resumes", "asked", "rules"), list),
    **dict.fromkeys(("schema_version", "seed", "epoch", "trials"), int),
    **dict.fromkeys(("data.train", "data.validation", "data.classes", "config.seed", "config.epochs"), int),
    "config.name": str,
    "data.sha256": dict,
    **dict.fromkeys(("test_loss", "test_acc", "best_test_loss", "best_test_acc"), (int, float)),
}
"""Types of the manifest's entries that are read; `data.train` is an entry of the mapping `data`."""


def root(directory: str | os.PathLike[str] | None, argument: str = "--runs-dir") -> Path:
    """The directory of runs: the given one, else OPTILAB_RUNS, else ./runs. UsageError for anything else."""
    if not isinstance(directory, str | os.PathLike | None):
        raise UsageError(f"expected the directory of the runs, got {shown(directory)}", argument)
    variable = os.path.expanduser(os.environ.get("OPTILAB_RUNS", "").strip())
    path = Path(directory or variable or "runs")
    if os.path.lexists(path) and not os.path.isdir(path):
        where = argument if directory else "OPTILAB_RUNS" if variable else ""
        kind = "a file" if path.is_file() else "not a directory"
        raise UsageError(f"{path} is {kind}; expected the directory of the runs", where)
    return path


def directory_option(path: Path) -> dict[str, Any]:
    """The option of a command that names the run or study at `path`; none where it is in the usual directory."""
    return {} if path.parent == root(None) else {"runs_dir": path.parent}


def resume_command(path: Path, command: str = "train", **options: Any) -> Call:
    """The command that continues the run or study at `path`, a confirmation with its sweep."""
    path = sweep_of(path) or path
    return Call(command, options={"resume": path.name, **directory_option(path), **options})


def sweep_of(path: Path) -> Path | None:
    """The sweep whose best settings the study at `path` trains again; None where it is not a confirmation."""
    return path.parent if path.name == CONFIRMED_DIRECTORY and os.path.lexists(path.parent / STUDY_FILE) else None


def name_of(path: Path) -> str:
    """The name of a run or study, of a confirmation with that of its sweep: `lr-sweep/confirmed`."""
    return f"{sweep.name}/{CONFIRMED_DIRECTORY}" if (sweep := sweep_of(path)) else path.name


@dataclass(frozen=True)
class Entry:
    """A run or a study: `state` is running, interrupted, or the status with which it ended."""

    path: Path
    manifest: dict[str, Any]
    state: str

    FILE: ClassVar[str]
    """The file with the config of the run or study; every entry has it."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config(self) -> bytes:
        """The content of FILE now. CheckpointError if it is missing or damaged."""
        try:
            return read_regular(self.path / self.FILE, _CONFIG_BYTES)
        except (FileNotFoundError, DataError) as error:
            raise CheckpointError(f"{_reason(error)}") from None


E = TypeVar("E", bound=Entry)


class Record(Entry):
    """A run: its manifest and its tables."""

    FILE = CONFIG_FILE

    @property
    def is_training(self) -> bool:
        """A training, by `optilab train` or by a loop that `optilab.watch` watched: a row per epoch."""
        return self.manifest["command"] in ("train", "watch")

    @property
    def is_race(self) -> bool:
        """A race on test functions."""
        return bool(self.manifest["command"] == "race")

    @property
    def is_watched(self) -> bool:
        """A user's loop, whose rows have the columns that it measured, and no config of `train`."""
        return bool(self.manifest["command"] == "watch")

    @property
    def classes(self) -> int:
        """The number of classes of the dataset; 0 where it is not known, as in the loop of a regression."""
        return int(self.manifest.get("data", {}).get("classes", 0))

    @property
    def verified_config(self) -> dict[str, Any] | None:
        """The config, if neither config.yaml nor the manifest has changed since the run started; it need not be
        parsed then. None if one has changed.
        """
        digest, config = self.manifest.get("config_sha256"), self.manifest.get("config", {})
        return config if digest and digest == config_digest(self.config, config) else None

    def has_ended(self, epochs: int) -> bool:
        """True if it is done and none of this number of epochs is left: it has them all, or stopped early."""
        asked = int(self.manifest.get("config", {}).get("epochs", 0))
        return self.state == "done" and ((done := int(self.outcome()["epochs"])) == epochs or done < asked)

    def rows(self) -> list[Row]:
        """The rows of metrics.csv; DataError, with the line, if it is damaged or ends otherwise than in the
        manifest.
        """
        file = self.path / "metrics.csv"
        if self.is_watched:
            return [{key: value for key, value in row.items() if value is not None} for row in read_table(file)]
        if not self.is_training:
            return read_table(file)
        rows = read_metrics(file)
        # Read again where they differ: a process may have continued the run since.
        if _mismatch(rows, self.manifest) and (wrong := _mismatch(rows, _manifest(self.path)[0])):
            raise DataError(f"{file} is damaged or missing: {MANIFEST} records {wrong}")
        return rows

    def last_row(self) -> Row | None:
        """The last row of metrics.csv; of a training one that agrees with all others and with the manifest."""
        rows = self.rows() if self.is_training else [read_last_row(self.path / "metrics.csv")]
        return rows[-1] if rows else None

    def outcome(self) -> Row:
        """A training in one row: epochs done, last metrics, the best epoch, the test set where there is one.

        By the manifest of one that has ended, else by metrics.csv.
        """
        tested = {key: self.manifest[key] for key in TESTED if key in self.manifest}
        return _recorded(self.manifest) or outcome(self.rows()) | tested


@dataclass(frozen=True)
class StudyTrial:
    """A trial of a study: its line of the plan, how it ended, and its run."""

    line: Row
    """Its `trial`, the name; its `settings`, `seed` and `digest`; of one that stopped or failed also `status` and
    `reason`."""
    status: str = ""
    """One of STATUSES; empty where it has not ended."""
    reason: str = ""
    """Why it failed or diverged, or why it has no run."""
    outcome: Row = field(default_factory=dict)
    """Its training in one row, where it has ended and did not fail."""
    run: Record | None = None

    @property
    def name(self) -> str:
        return str(self.line["trial"])

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its values on the axes of the study."""
        settings: Mapping[str, Any] = self.line["settings"]
        return settings

    @property
    def seed(self) -> int:
        return int(self.line["seed"])

    @property
    def row(self) -> Row:
        """Its row of trials.csv."""
        first_line = printable(self.reason.partition("\n")[0]) if self.status else ""
        facts = {"seed": self.seed, "digest": self.line["digest"]}
        ended = {"status": self.status, "reason": first_line or None}
        return {"trial": self.name, **self.settings, **facts, **ended, **self.outcome}

    def problem(self) -> str:
        """Why there is no run with whole tables now; empty where there is one, and where the trial has not begun."""
        if self.run is None:
            return self.reason if self.status else ""
        try:
            self.run.rows()
        except OptilabError as error:
            return str(error)
        return ""


class Study(Entry):
    """A directory of runs that one command made."""

    FILE = STUDY_FILE

    @property
    def name(self) -> str:
        return name_of(self.path)

    def require_unedited(self) -> None:
        """RunError if study.yaml is not the one that the study's command wrote."""
        written = self.manifest.get("asked")
        if written and request_digest(self.config) not in written:
            raise RunError(f"{self.path / STUDY_FILE} was edited since the study was started")

    @property
    def earlier_looks(self) -> int:
        """The number of earlier comparisons of the study, with other trainings: fewer seeds, settings or repeats."""
        looks = self.manifest.get("looks")
        return max(0, len(looks) - (self.state == "done")) if isinstance(looks, list) else 0

    @property
    def confirmation(self) -> Path | None:
        """The study that trained its best settings again from new seeds; None if there is none."""
        path = self.path / CONFIRMED_DIRECTORY
        return path if os.path.lexists(path / STUDY_FILE) else None

    @property
    def notes(self) -> list[str]:
        """Notes on the study that confirms its best settings, and on runs that its plan does not name."""
        notes, planned = [], self.planned
        if self.confirmation:
            compare = Call("runs compare", [f"{self.name}/{CONFIRMED_DIRECTORY}"], directory_option(self.path))
            notes.append(f"{self.name}: the best settings were trained again from new seeds: {compare}")
        paths = [path for path in directories(self.path) if path.name not in planned]
        if others := [path.name for path in paths if not os.path.lexists(path / STUDY_FILE)]:
            notes.append(f"{self.name}: left out, because its plan does not name them: {some(others, FEW)}")
        return notes

    @cached_property
    def planned(self) -> Mapping[str, Row]:
        """The lines of plan.jsonl by the name of the trial, in the order of the plan. DataError, with the line, if the
        file is damaged or cut.
        """
        file = self.path / PLAN
        lines = read_lines(file)
        for number, line in enumerate(lines, start=1):
            if not is_safe_name(line.get("trial")) or line.get("status") not in (None, *STATUSES):
                got = f"{shown(line.get('trial'))} and {shown(line.get('status'))}"
                raise DataError(f"{file}:{number}: expected the name and the status of a trial, got {got}")
            for key, kind in {"settings": dict, "seed": int, "digest": str}.items():
                if not isinstance(value := line.get(key), kind):
                    raise DataError(f"{file}:{number}: expected the {key} of a trial, got {shown(value)}")
        if self.state == "done" and len(lines) < self.manifest.get("trials", 0):
            raise DataError(f"{file}: expected {self.manifest['trials']} trials, got {len(lines)}")
        return {line["trial"]: line for line in lines}

    @cached_property
    def trials(self) -> Sequence[StudyTrial]:
        """The trials in the order of the plan. One whose run cannot be read has failed, for that reason.

        DataError if the plan is damaged or cut.
        """
        return [self._trial(line) for line in self.planned.values()]

    def _trial(self, line: Row) -> StudyTrial:
        path, status, reason = self.path / line["trial"], line.get("status") or "", str(line.get("reason") or "")
        try:
            run = read_trial(path)
            if run.state in ("done", "diverged"):
                status, reason = run.state, run.manifest.get("reason", "") if run.state == "diverged" else ""
            elif status == "stopped" and run.state == "interrupted":
                run = replace(run, state=status)
            elif status != "failed":
                status = ""
            outcome = run.outcome() if status not in ("", "failed") else {}
        except OptilabError as error:
            reason = reason or str(error)
            if self.state == "done" or os.path.lexists(path):
                status = "failed"
            return StudyTrial(line, status, reason)
        return StudyTrial(line, status, reason, outcome, run)

    @property
    def ended(self) -> list[StudyTrial]:
        """The trials that have ended."""
        return [trial for trial in self.trials if trial.status]

    @property
    def axes(self) -> list[str]:
        """The keys of the settings of the trials that have ended."""
        return list(dict.fromkeys(key for trial in self.ended for key in trial.settings))

    def rows(self) -> list[Row]:
        """The rows of trials.csv: the trials that have ended."""
        rows = [trial.row for trial in self.ended]
        columns = dict.fromkeys(key for row in rows for key in row)
        return [{key: row.get(key) for key in columns} for row in rows]

    def runs(self) -> tuple[list[Record], dict[str, str]]:
        """The runs of the study in the order of its plan, with whole tables; and for each trial without such a run the
        reason. One that successive halving did not promote is `stopped`.
        """
        left_out = {trial.name: problem for trial in self.trials if (problem := trial.problem())}
        return [trial.run for trial in self.trials if trial.run and trial.name not in left_out], left_out

    def completed(self) -> list[Record]:
        """The runs of the trials that ran to their end, a divergence included. DataError where one cannot be read."""
        readable, left_out = self.runs()
        for trial in self.ended:
            if trial.name in left_out and trial.status != "failed":
                raise DataError(f"{self.name}: the run of a trial cannot be evaluated: {left_out[trial.name]}")
        return [record for record in readable if record.state in ("done", "diverged")]


def _mismatch(rows: Sequence[Row], manifest: Mapping[str, Any]) -> str:
    """The first entry in which the rows of a training differ from the outcome in its manifest: `epochs 5, got 3`."""
    recorded = _recorded(manifest)
    differing = ((key, value) for key, value in outcome(rows).items() if recorded.get(key, value) != value)
    return next((f"{key} {recorded[key]}, got {value}" for key, value in differing), "")


def _recorded(manifest: Mapping[str, Any]) -> Row:
    """The outcome in the manifest of a training that has ended; empty without one, or with an odd one."""
    row: Row = manifest.get("outcome", {}) if manifest["status"] in ("done", "diverged", "interrupted") else {}
    whole = row.keys() >= {"epochs", "best_epoch", "best_val_acc"}
    return dict(row) if whole and all(type(value) in (int, float) for value in row.values()) else {}


def directories(directory: Path) -> list[Path]:
    """Possible runs and studies, by name; hidden directories are being made or removed, links are not runs."""
    try:
        with os.scandir(directory) as entries:
            names = [e.name for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SystemFailure(f"cannot read {directory}: {error.strerror}") from None
    return [directory / name for name in sorted(names)]


def is_safe_name(name: Any) -> bool:
    """True for the name of an entry of a directory, which does not lead out of it."""
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None


def read(path: Path) -> Record:
    """A run's manifest and true state.

    CheckpointError names the file that is missing or damaged, RunError says that it is a study.
    """
    manifest = _manifest(path)
    if os.path.lexists(path / STUDY_FILE):
        text = f"{path} is a study of `optilab {manifest[0]['command']}`, not one run; expected one of its runs, which "
        raise RunError(f"{text}`optilab runs show` lists")
    return _whole(Record(path, *manifest))


def read_trial(path: Path) -> Record:
    """The run of a trial. CheckpointError if it cannot be read, DataError if it is a copy of another trial's."""
    record = read(path)
    name = str(record.manifest.get("name"))  # with another label where the study has grown by an axis
    if name.rpartition("-")[2] != path.name.rpartition("-")[2]:
        raise DataError(f"{path} is not the run of this trial, but of {shown(name)}")
    return record


def read_study(path: Path) -> Study:
    """A study's manifest and true state. CheckpointError if it or study.yaml is missing or damaged."""
    return _whole(Study(path, *_manifest(path)))


def read_entry(path: Path) -> Record | Study:
    """A run or a study. CheckpointError if the directory is neither, or damaged."""
    manifest = _manifest(path)
    is_study = os.path.lexists(path / STUDY_FILE) or "trials" in manifest[0]
    return _whole((Study if is_study else Record)(path, *manifest))


def _whole(entry: E) -> E:
    """The entry; CheckpointError where the file of its config is missing or damaged."""
    if not is_regular(entry.path / entry.FILE, _CONFIG_BYTES):
        _ = entry.config  # raises what is wrong with it
    return entry


def config_digest(written: bytes, config: Mapping[str, Any]) -> str:
    """SHA-256 of config.yaml and of the same config in the manifest."""
    return hashlib.sha256(written + json.dumps(config, sort_keys=True).encode()).hexdigest()


def request_digest(request: bytes) -> str:
    """The checksum of study.yaml in the manifest of its study."""
    return hashlib.sha256(request).hexdigest()


def was_made_by_optilab(path: Path) -> bool:
    """True if optilab made this directory: its manifest has the keys that optilab writes into every manifest."""
    try:
        return _is_manifest(read_json(path / MANIFEST, _MANIFEST_BYTES))
    except (FileNotFoundError, DataError):
        return False


def _is_manifest(manifest: dict[str, Any]) -> bool:
    versions = manifest.get("versions")
    return (
        isinstance(manifest.get("schema_version"), int)
        and isinstance(manifest.get("command"), str)
        and isinstance(versions, dict)
        and "optilab" in versions
    )


def _manifest(path: Path) -> tuple[dict[str, Any], str]:
    """The manifest and the state: `interrupted` where it says `running`, and no process holds the lock."""
    manifest = _read_manifest(path)
    if manifest["status"] == "running" and not is_held(path):
        manifest = _read_manifest(path)  # the process may have ended it before it released the lock
        return manifest, manifest["status"].replace("running", "interrupted")
    return manifest, manifest["status"]


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    try:
        manifest = read_json(file, _MANIFEST_BYTES)
    except (FileNotFoundError, DataError) as error:
        raise CheckpointError(_reason(error)) from None
    if not _is_manifest(manifest):
        raise CheckpointError(f"{file} is damaged, or optilab did not write it")
    if (version := manifest["schema_version"]) != SCHEMA_VERSION:
        raise CheckpointError(f"{file}: expected schema {SCHEMA_VERSION}, got {shown(version)}")
    for key, expected in _TYPES.items():
        section, _, name = key.rpartition(".")
        facts = manifest.get(section, {}) if section else manifest
        if name in facts and (not isinstance(facts[name], expected) or isinstance(facts[name], bool)):
            raise CheckpointError(f"{file} is damaged: {key} cannot be {shown(facts[name])}")
    if "status" not in manifest:
        raise CheckpointError(f"{file} is damaged: it has no status")
    return manifest


def _reason(error: FileNotFoundError | DataError) -> str:
    if isinstance(error, DataError):
        return str(error)
    return f"{error.filename} is missing: not a run of optilab, or a damaged one"
