"""A trial: one training of a study. What it is, and how it ended.

Its outcome depends on nothing but its config: it has the same bytes with any number of workers, in any order, after any
interruption. A trial that failed does not affect the others.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from optilab import runs
from optilab.config.section import dump
from optilab.config.training import TrainConfig, digest
from optilab.config.tree import flat
from optilab.diagnose.remedies import REMEDY
from optilab.errors import ExitCode, UsageError
from optilab.proposals import flow
from optilab.runs.provenance import study_versions
from optilab.study.workers import Task, Workers

_SLUG = 36


@dataclass(frozen=True)
class Trial:
    """One training of a study: `label` says in short what it tries, `settings` are its values on the study's axes."""

    label: str
    config: TrainConfig
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """The checksum of everything that its numbers depend on."""
        return digest(self.config)

    @cached_property
    def name(self) -> str:
        """Its run directory: 0.1-unit-gain-s42-5f3a9c1e."""
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", self.label)[:_SLUG].strip("-.") or "trial"
        return f"{slug}-s{self.config.seed}-{self.digest[:8]}"

    @property
    def mark(self) -> str:
        """The checksum in plan.jsonl and trials.csv."""
        return f"sha256:{self.digest[:16]}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the manifest of its run states besides: its remedy, where it has one."""
        return {REMEDY: self.settings[REMEDY]} if REMEDY in self.settings else {}

    @property
    def tree(self) -> dict[str, Any]:
        """All settings of its config by dotted key, its remedy before them."""
        return {**self.facts, **flat(dump(self.config))}

    @property
    def line(self) -> runs.Row:
        """Its line of plan.jsonl."""
        settings = {key: recorded_setting(value) for key, value in self.settings.items()}
        return {"trial": self.name, "settings": settings, "seed": self.config.seed, "digest": self.mark}

    def row(self, status: str, reason: str = "", outcome: Mapping[str, Any] | None = None) -> runs.Row:
        """Its row of trials.csv."""
        return runs.StudyTrial(self.line, status, reason, {**(outcome or {})}).row


@dataclass(frozen=True)
class Outcome:
    """The end of a trial: `status` is done, diverged, failed or stopped (at a rung); `row` is that of trials.csv."""

    trial: Trial
    row: runs.Row
    study: Path | None = None
    """The directory in which it has its run."""

    @property
    def status(self) -> str:
        return str(self.row["status"])

    @property
    def reason(self) -> str:
        return str(self.row["reason"] or "")

    @property
    def failed(self) -> bool:
        """True if the trial failed; a divergence is a result."""
        return self.status == "failed"

    @property
    def line(self) -> runs.Row:
        """Its line of plan.jsonl, which says how it ended where its run cannot."""
        ends = ("status", "reason") if self.status in ("failed", "stopped") else ()
        return {**self.trial.line, **{key: self.row[key] for key in ends}}

    def at(self, epoch: int) -> runs.Row:
        """The row of an earlier epoch from metrics.csv; the last row, if the trial ended before that epoch."""
        if self.study and self.status in ("done", "stopped") and (self.row.get("epochs") or 0) > epoch:
            return {**self.row, **runs.read(self.study / self.trial.name).rows()[epoch - 1]}
        return self.row


DatasetPaths = Mapping[tuple[str, str | None], str | None]
"""By `data.dataset` and `data.dir`: the directory or file of the dataset; None where it has no files."""


def task_of(call: str, trial: Trial, places: DatasetPaths, **arguments: Any) -> Task:
    """A call of `optilab.train.worker` for a trial."""
    arguments |= {"config": dump(trial.config), "dataset": places[trial.config.data.source]}
    return {"call": call, "arguments": arguments, "versions": study_versions()}


def require_buildable(workers: Workers, places: DatasetPaths, trial: Trial) -> None:
    """Build the network of a trial, which sees two images. UsageError where that fails."""
    reply = workers.call(task_of("build", trial, places))
    if reply and reply.get("code") == ExitCode.USAGE:
        raise UsageError(reply["reason"])


def recorded_setting(value: Any) -> Any:
    """A value on an axis as plan.jsonl and trials.csv have it."""
    return value if type(value) in (int, float) else flow(value)


def as_trial(config: TrainConfig, **changes: Any) -> TrainConfig:
    """A training as a trial, with `changes` of its keys: on one thread of the CPU, so that its bits do not depend on
    other trials; or on the device that it names."""
    device = "cpu" if config.device == "auto" else config.device
    return config.model_copy(update={"threads": 1, "device": device, **changes})
