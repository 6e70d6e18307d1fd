"""The trials of a study, wherever they run: what is missing is trained, and the manifest of each run is the outcome.

A trial's outcome depends on nothing but its config: it has the same bytes with any number of workers, in any order,
after any interruption. A trial that failed does not affect the others.
"""

import os
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from optilab import runs
from optilab.config.own_network import OwnNetwork
from optilab.config.section import dump
from optilab.config.training import TrainConfig, digest
from optilab.config.tree import flow
from optilab.errors import ExitCode, OptilabError, UsageError, WriteFailure, printable
from optilab.runs.provenance import study_versions
from optilab.study.workers import Answer, Task, Workers

ATTEMPTS = 3
"""Times that a trial may be begun or resumed and lose its worker before another epoch is done."""

_SLUG = 36
_COUNT_SECONDS = 0.5
_METRICS_BYTES = 256 << 20


@dataclass(frozen=True)
class Trial:
    """One training of a study: `label` says in short what it tries, `settings` are its values on the study's axes."""

    label: str
    config: TrainConfig
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Of everything that its numbers depend on."""
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
    def planned(self) -> runs.Row:
        """Its line of plan.jsonl."""
        settings = {key: shown_setting(value) for key, value in self.settings.items()}
        return {"trial": self.name, **settings, "seed": self.config.seed, "digest": self.mark}

    def row(self, status: str, reason: str = "", outcome: Mapping[str, Any] | None = None) -> runs.Row:
        """Its row of trials.csv."""
        first_line = printable(reason.partition("\n")[0]) or None
        return {**self.planned, "status": status, "reason": first_line, **(outcome or {})}


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: `status` is done, diverged, failed or stopped (at a rung); `row` is that of trials.csv."""

    trial: Trial
    row: runs.Row

    @property
    def status(self) -> str:
        return str(self.row["status"])

    @property
    def reason(self) -> str:
        return str(self.row["reason"] or "")

    @property
    def failed(self) -> bool:
        """Not a divergence, which is a result."""
        return self.status == "failed"

    def at(self, epoch: int | None, study: Path) -> "Outcome":
        """As it was at an earlier epoch, by metrics.csv; of a trial that ended before it, the same."""
        if epoch is None or self.status not in ("done", "stopped") or (self.row.get("epochs") or 0) <= epoch:
            return self
        return Outcome(self.trial, {**self.row, **runs.read(study / self.trial.name).rows()[epoch - 1]})


class Watcher(Protocol):
    """The view of a study in progress."""

    def known(self, outcomes: Collection[Outcome]) -> None:
        """These trials had ended before, or at an earlier rung."""

    def epochs(self, done: int) -> None:
        """So many epochs of all trials are on disk."""

    def done(self, outcome: Outcome) -> None:
        """A trial has ended."""


@dataclass(frozen=True)
class Cost:
    """What a study is, and an estimate of what is missing of it costs; None where the measurement failed."""

    trials: int
    missing: int
    epochs: int
    """Of all trials together."""
    longest: int
    """Epochs of a trial that runs through."""
    at_once: int
    """Trials at the same time."""
    seconds_per_epoch: float | None
    """For the first trial that is missing, alone."""
    seconds: float | None
    bytes: int | None
    """For one checkpoint per trial."""
    problem: str | None = None
    """Why that trial cannot be trained."""


Places = Mapping[tuple[str, str | None], str | None]
"""By `data.dataset` and `data.dir`: the directory or file that the dataset was found in; None where it has no files."""


@dataclass
class TrialRunner:
    """What all trials of a study share: where they run, what they need, what remains of them, who watches."""

    study: runs.OpenStudy
    workers: Workers
    places: Places
    provenance: Mapping[str, Any]
    watcher: Watcher
    stop: Callable[[], bool]
    keep: str = "last"
    fail_fast: bool = False
    ending: bool = False
    """No further trial starts: a stop was requested, or one failed with `fail_fast`."""
    epochs: dict[str, int] = field(default_factory=dict)
    """Epochs that are on disk, by trial."""

    def run(self, trials: Sequence[Trial], until: int | None = None) -> list[Outcome]:
        """Train what is missing of `trials`, up to the epoch `until` or their last one; outcomes in their order.

        Ends soon after `stop()` is true, or with `fail_fast` after the first failure, without the trials that are then
        missing. WorkersLost where nothing runs.
        """
        ended = known(self.study.path, trials, until)
        self.study.plan(ended[trial.name].row if trial.name in ended else trial.planned for trial in trials)
        self.watcher.known(ended.values())
        self.epochs |= {name: outcome.row.get("epochs") or 0 for name, outcome in ended.items()}
        waiting = deque(trial for trial in trials if trial.name not in ended)
        running: dict[str, Trial] = {}
        attempts, counted = Counter[tuple[str, int]](), 0.0
        while waiting or running:
            self.ending = self.ending or self.stop()
            if self.ending:
                waiting.clear()
                self.workers.stop()
            while waiting and len(running) < self.workers.slots:
                trial = waiting.popleft()
                self.workers.begin(trial.name, self._task(trial, until))
                running[trial.name] = trial
            for name, answer in self.workers.ended():
                trial = running.pop(name)
                attempt = name, _committed(self.study.path / name)
                attempts[attempt] += answer is None and not self.ending
                outcome = self._outcome(trial, answer, last=attempts[attempt] == ATTEMPTS)
                if outcome is None:  # it goes on from its last checkpoint
                    waiting.appendleft(trial)
                else:
                    ended[name] = outcome
                    self.ending = self.ending or (self.fail_fast and outcome.failed)
            if time.monotonic() - counted > _COUNT_SECONDS:
                self.epochs |= {name: _committed(self.study.path / name) for name in running}
                self.watcher.epochs(sum(self.epochs.values()))
                counted = time.monotonic()
        return [ended[trial.name] for trial in trials if trial.name in ended]

    def _task(self, trial: Trial, until: int | None) -> Task:
        return task_of(
            "run",
            trial,
            self.places,
            folder=str(self.study.path.absolute()),
            name=trial.name,
            provenance=self.provenance,
            until=trial.config.epochs if until is None else until,
            keep=self.keep,
        )

    def _outcome(self, trial: Trial, answer: Answer | None, last: bool) -> Outcome | None:
        """The outcome of a trial, recorded; None if it has to be begun again, where this was not the `last` attempt."""
        if answer is None and last:
            reason = f"its process was killed or crashed {ATTEMPTS} times (possibly out of memory)"
            answer = {"status": "failed", "reason": reason, "seconds": 0.0}
        if answer is None or answer["status"] == "refused":
            return None
        if answer["status"] == "unwritten":  # nor could the others be written
            raise WriteFailure(answer["reason"])
        outcome = Outcome(trial, trial.row(answer["status"], answer["reason"], answer.get("outcome")))
        self.epochs[trial.name] = outcome.row.get("epochs") or 0
        self.study.add(outcome.row, answer["seconds"])
        self.watcher.epochs(sum(self.epochs.values()))
        self.watcher.done(outcome)
        return outcome


def task_of(call: str, trial: Trial, places: Places, **arguments: Any) -> Task:
    """A call of `optilab.train.worker` for a trial."""
    arguments |= {"config": dump(trial.config), "dataset": places[trial.config.data.place]}
    return {"call": call, "arguments": arguments, "versions": study_versions()}


def try_out(workers: Workers, places: Places, trial: Trial) -> None:
    """Build the network of a trial, which sees two images. UsageError where that fails."""
    answer = workers.call(task_of("build", trial, places))
    if answer and answer.get("code") == ExitCode.USAGE:
        raise UsageError(answer["reason"])


def cost(
    workers: Workers,
    places: Places,
    trials: Sequence[Trial],
    missing: Sequence[Trial],
    epochs: int,
    keep: str,
    stop: Callable[[], bool],
) -> Cost:
    """What the `missing` of the trials cost, from some batches of the first one; all take `epochs` together."""
    lengths = [trial.config.epochs for trial in trials]
    first = (missing or trials)[0]
    measured = workers.call(task_of("cost", first, places), stop)
    size = len(trials), len(missing), epochs, max(lengths), min(workers.slots, len(trials))
    if not measured or measured["status"] != "done":  # it fails again as a trial, where it is reported
        problem = None
        if measured and measured.get("code") == ExitCode.USAGE:
            problem = f"{first.label}: {measured['reason']}"
        return Cost(*size, None, None, None, problem)
    per_epoch, checkpoint, start, each = (measured[key] for key in ("seconds", "bytes", "start", "each"))
    work = sum(trial.config.epochs * _products(trial) for trial in missing) / _products(first)
    # The process that measured has started; others start as it did, all at once.
    seconds = (per_epoch * work * epochs / sum(lengths) + each * len(missing)) / size[-1]
    seconds += start if min(size[-1], len(missing)) > 1 else 0.0
    one_each = keep not in ("none", "all")
    return Cost(*size, per_epoch, seconds, len(missing) * checkpoint if one_each else None)


def shown_setting(value: Any) -> Any:
    """A value on an axis as plan.jsonl and trials.csv have it."""
    return value if type(value) in (int, float) else flow(value)


def as_trial(config: TrainConfig, **changes: Any) -> TrainConfig:
    """A training as a trial: on one thread of the CPU, so that several at once give the bits that one alone gives, or
    on the device that it names; with `changes` of its keys.
    """
    device = "cpu" if config.device == "auto" else config.device
    return config.model_copy(update={"threads": 1, "device": device, **changes})


def relabel(study: runs.OpenStudy, trials: Sequence[Trial]) -> None:
    """Give runs that were made under other labels the names that they have among `trials`.

    A study that has grown by an axis asks for some of its trainings again, with one setting more in their labels: the
    same checksum is the same training.
    """
    names, by_mark = {trial.name for trial in trials}, {trial.mark: trial for trial in trials}
    for name, line in study.planned.items():
        old, trial = study.path / name, by_mark.get(str(line.get("digest")))
        new = study.path / trial.name if trial else old
        if name not in names and old.is_dir() and not new.exists():
            os.rename(old, new)


def known(study: Path, trials: Sequence[Trial], until: int | None = None) -> dict[str, Outcome]:
    """The outcomes of the trials that need no more training up to their last epoch, or `until`, by their runs.

    Where a run cannot be read, the worker that gets the trial says why.
    """
    ended = {}
    for trial in trials:
        with suppress(OptilabError):
            record = runs.read_trial(study / trial.name)
            outcome = record.outcome()
            if status := _status(record.state, outcome["epochs"], trial, until):
                reason = record.manifest.get("reason", "") if status == "diverged" else ""
                ended[trial.name] = Outcome(trial, trial.row(status, reason, outcome))
    return ended


def _status(state: str, epochs: int, trial: Trial, until: int | None) -> str:
    """How a trial has ended whose run is in that state; empty where it needs more training."""
    if state == "interrupted" and until is not None and epochs >= until:
        return "stopped"
    whole = epochs == trial.config.epochs or trial.config.early_stopping is not None
    return state if state == "diverged" or (state == "done" and whole) else ""


def _products(trial: Trial) -> int:
    """Multiplications per image, of which the time is made; 1 for a network of the user's own, whose are not known."""
    model, info = trial.config.model, trial.config.data.info
    if isinstance(model, OwnNetwork):
        return 1
    return sum(a * b for a, b in pairwise(model.widths(info.inputs, len(info.classes))))


def _committed(path: Path) -> int:
    """Epochs of a run that are on disk, by the lines of its metrics.csv."""
    try:
        return max(0, runs.read_regular(path / "metrics.csv", _METRICS_BYTES).count(b"\n") - 1)
    except (FileNotFoundError, OptilabError):
        return 0
