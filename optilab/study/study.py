"""A study from its start to its end: opened or continued, what is missing of its plan trained, its end recorded.

`run` is the whole of it. The manifest of each run is the outcome of its trial, so nothing else is remembered: a study
that was stopped follows its plan again, and trains the trials that have no outcome.
"""

import hashlib
import json
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from optilab import runs, signals, system
from optilab.config.load import load
from optilab.config.section import to_yaml
from optilab.config.study import BenchmarkConfig, RemedyConfig, SweepConfig
from optilab.config.training import TrainConfig, changed_keys
from optilab.config.user_network import UserNetwork
from optilab.errors import DataError, ExitCode, OptilabError, RunError, SystemFailure, UsageError, WriteFailure
from optilab.judge.groups import STAGE, request_of
from optilab.runs.provenance import provenance
from optilab.study.plan import Batch, Forecast, Outcomes, Plan, follow, forecast
from optilab.study.trials import DatasetPaths, Outcome, Trial, require_buildable, task_of
from optilab.study.workers import START_SECONDS, Cluster, Processes, Reply, Workers, WorkersLost
from optilab.words import plural

ATTEMPTS = 3
"""Times that a trial may be begun or resumed and lose its worker before another epoch is done."""

_COUNT_SECONDS = 0.5
_METRICS_BYTES = 256 << 20


@dataclass(frozen=True)
class StudySpec:
    """The trials of a study, the plan that orders them, and how they are named."""

    command: str
    request: SweepConfig | RemedyConfig | BenchmarkConfig
    """The content of study.yaml, with its trainings resolved."""
    plan: Callable[[Path, bool], Plan]
    """Make the plan of the study in that directory; for a forecast (True) what a search chooses is drawn at random."""
    trials: tuple[Trial, ...]
    """The trials that depend on no outcome; they need the data and the devices that all need."""
    shape: str
    """The trials, in words: `9 values of optimizer.lr x 3 seeds`."""
    metric: str = "val_acc"
    """The metric that ranks the trials."""
    keep: str = "last"
    """Checkpoints that remain of a trial that has ended."""
    labels: Sequence[str] | None = None
    """The labels that a claim can name; None where no claim has a label, or the labels follow from outcomes."""
    sample: int = 1
    """Number of trainings, or repeats, whose mean a claim with a confidence is about."""
    unit: str = "seeds"
    """The noun for the sample of such a claim."""
    notes: Sequence[str] = ()
    """The notes of a dry run, next to the cost."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the manifest states besides."""

    @property
    def name(self) -> str:
        """The start of the name of the study's directory: that of its trainings."""
        named = self.request.config if isinstance(self.request, RemedyConfig) else self.request
        return str(named.name)

    @property
    def detectable(self) -> float | None:
        """The smallest difference to the best that its comparison finds in 8 of 10 cases, in standard deviations over
        seeds; None where that is unknown."""
        return None

    def confirmation(self, study: Path, outcomes: Outcomes) -> "StudySpec | None":
        """The study that trains the best of these outcomes again, inside the study of that directory."""
        return None


@dataclass(frozen=True)
class ExecutionOptions:
    """The workers of a study: their place and number, and whether a failure ends it."""

    jobs: int | None = None
    """Trials at once; None: one per physical core, or on a GPU one."""
    cluster: str | None = None
    """A scheduler of dask, whose workers train at most `jobs` trials at once; None: this machine."""
    fail_fast: bool = False
    """True if the first trial that fails ends the study."""


@dataclass(frozen=True)
class Cost:
    """The size of a study, and the estimated cost of its missing trials; None where the measurement failed."""

    trials: int
    missing: int
    epochs: int
    """The sum over all trials."""
    longest: int
    """Epochs of a trial that runs through."""
    at_once: int
    """Trials at the same time."""
    seconds_per_epoch: float | None
    """The measured time of the first missing trial, running alone."""
    seconds: float | None
    bytes: int | None
    """The size of one checkpoint per trial."""
    problem: str | None = None
    """The reason why that trial cannot be trained."""


class Watcher(Protocol):
    """The view of a study in progress."""

    def recount(self, trials: int, epochs: int) -> None:
        """Replace the numbers that were forecast: a benchmark does not go on with settings that diverged."""

    def known(self, outcomes: Iterable[Outcome]) -> None:
        """Count trials that had ended before, or at an earlier rung."""

    def epochs(self, done: int) -> None:
        """Report the number of epochs of all trials that are on disk."""

    def done(self, outcome: Outcome) -> None:
        """Count and report a trial that has ended."""


class View(Protocol):
    """The receiver of a study's progress and messages."""

    def announce(self, shape: str, cost: Callable[[], Cost]) -> None:
        """Trials of this shape are missing; `cost` measures what they take."""

    def progress(self, trials: int, epochs: int, metric: str) -> AbstractContextManager[Watcher]:
        """A watcher of this number of trials, with this number of epochs together."""

    def note(self, message: str) -> None:
        """Report an event that was not planned."""


@dataclass(frozen=True)
class StudyResult:
    """A study as it ended; `stopped` is the signal that ended it before all trials were done, if one did."""

    path: Path
    outcomes: list[Outcome]
    stopped: int | None = None
    confirmation: "StudyResult | None" = None
    """The study that trained the best settings of a sweep again."""

    @property
    def code(self) -> ExitCode:
        return ExitCode.PARTIAL if any(outcome.failed for outcome in self.all) else ExitCode.OK

    @property
    def all(self) -> list[Outcome]:
        """The outcomes of the study, then those of its confirmation."""
        return [*self.outcomes, *(self.confirmation.all if self.confirmation else ())]


def run(
    spec: StudySpec,
    directory: Path,
    name: str,
    argv: Sequence[str],
    view: View,
    how: ExecutionOptions,
) -> StudyResult:
    """Run the study `name` in `directory`, or what is missing of it; `argv` is the command, for the manifest.

    SystemFailure where nothing runs or nothing can be written, RunError for a study with another request.
    """
    path = directory / name
    require_nothing_dropped(spec, path)
    places = _fetch_datasets(spec, how)  # fetched once, before many processes need them
    if how.cluster is None and not path.exists():
        _require_working(spec, places)
    origin = provenance(argv, [])
    facts = {"command": spec.command, **origin, "trials": len(spec.trials)}
    status, outcomes = "failed", list[Outcome]()
    with signals.on_signal() as stop:
        chosen = _workers(spec, how, path, places, view)
        study = runs.open_study(directory, name, to_yaml(spec.request), facts)
        try:
            try:
                require_nothing_dropped(spec, path)  # now that no other process writes it
                _rename_runs(study, spec.trials)
                planned = ahead(spec, path)
                facts |= {
                    "trials": len(planned.trials),
                    "argv": _reproducing_command(study, spec, argv),
                    **spec.facts,
                }
                study.ask(to_yaml(spec.request), **facts)
                watching = view.progress(len(planned.trials), planned.epochs, spec.metric)
                with chosen as workers, watching as watcher:
                    if planned.missing and not stop.requested:
                        view.announce(spec.shape, lambda: _cost(spec, path, workers, places, stop))
                    runner = _Runner(study, workers, places, origin, spec.keep, watcher, stop, how.fail_fast)

                    def train(batch: Batch, ended: Outcomes) -> Outcomes:
                        trained = runner.train(batch, ended)
                        if any(outcome.status == "diverged" for outcome in trained.values()):
                            forecast = ahead(spec, path)
                            watcher.recount(len(forecast.trials), forecast.epochs)
                        return trained

                    outcomes = [*follow(spec.plan(path, False), partial(known, path), train).values()]
                failed = any(outcome.failed for outcome in outcomes)
                status = "interrupted" if stop.requested else "failed" if failed else "done"
                compared = any(outcome.trial.settings for outcome in outcomes)
                if status == "done" and compared and spec.request.seeds > 1:  # else it has no verdict
                    study.update(looks=_look_digests(study.manifest.get("looks", []), outcomes))
            except (WorkersLost, WriteFailure):
                status = "interrupted"
                raise
            finally:
                study.finish(status, **({"trials": len(outcomes)} if status == "done" else {}))
        except (WorkersLost, WriteFailure) as error:
            again = (runs.sweep_of(path) or study).name
            raise SystemFailure(f"{error}; the same command with --name {again} continues the study") from None
    return StudyResult(path, outcomes, stop.signal)


def dry_run(spec: StudySpec, path: Path, how: ExecutionOptions) -> Cost:
    """The cost of the study at `path`, or of its missing trials. Nothing is written.

    UsageError where the first trial that is missing cannot be trained.
    """
    require_nothing_dropped(spec, path)
    places = _fetch_datasets(spec, how)
    with _processes(spec, how) as workers:
        estimate = _cost(spec, path, workers, places, signals.Stop())
    if estimate.problem is not None:
        raise UsageError(estimate.problem)
    return estimate


# --- what is there, and what is missing -----------------------------------------------------------------------


def known(study: Path, batch: Batch) -> dict[str, Outcome]:
    """The outcomes of the trials of a batch that need no more training, by their runs.

    Where a run cannot be read, the worker that gets the trial says why.
    """
    ended = {}
    for trial in batch.trials:
        with suppress(OptilabError):
            record = runs.read_trial(study / trial.name)
            outcome = record.outcome()
            if status := _status(record, outcome["epochs"], trial, batch.until):
                reason = record.manifest.get("reason", "") if status == "diverged" else ""
                ended[trial.name] = Outcome(trial, trial.row(status, reason, outcome), study)
    return ended


def _status(record: runs.Record, epochs: int, trial: Trial, until: int | None) -> str:
    """The status of a trial whose run this is; empty where it needs more training."""
    if record.state == "interrupted" and until is not None and epochs >= until:
        return "stopped"
    return record.state if record.state == "diverged" or record.has_ended(trial.config.epochs) else ""


def ahead(spec: StudySpec, path: Path) -> Forecast:
    """All trials of the study at `path`, and which are missing, without its confirmation."""
    return forecast(spec.plan(path, True), partial(known, path))


def ahead_with_confirmation(spec: StudySpec, path: Path) -> Forecast:
    """All trials of the study at `path`, and which are missing, with its confirmation."""
    first = ahead(spec, path)
    if (again := spec.confirmation(path, first.outcomes)) is None:
        return first
    more = ahead(again, path / runs.CONFIRMED_DIRECTORY)
    trials, missing = [*first.trials, *more.trials], [*first.missing, *more.missing]
    return Forecast(trials, missing, first.epochs + more.epochs, first.outcomes)


def _cost(spec: StudySpec, path: Path, workers: Workers, places: DatasetPaths, stop: signals.Stop) -> Cost:
    """The cost of the missing trials, from some batches of the first one."""
    planned = ahead_with_confirmation(spec, path)
    trials, missing = planned.trials, planned.missing
    lengths = [trial.config.epochs for trial in trials]
    first = (missing or trials)[0]
    measured = workers.call(task_of("cost", first, places), lambda: stop.requested)
    size = len(trials), len(missing), planned.epochs, max(lengths), min(workers.slots, len(trials))
    if not measured or measured["status"] != "done":  # it fails again as a trial, where it is reported
        problem = None
        if measured and measured.get("code") == ExitCode.USAGE:
            problem = f"{first.label}: {measured['reason']}"
        return Cost(*size, None, None, None, problem)
    per_epoch, checkpoint = measured["seconds"], measured["bytes"]
    work = sum(trial.config.epochs * _products(trial) for trial in missing) / _products(first)
    seconds = START_SECONDS + per_epoch * work * planned.epochs / sum(lengths) / size[-1]
    single_checkpoint = spec.keep not in ("none", "all")
    return Cost(*size, per_epoch, seconds, len(missing) * checkpoint if single_checkpoint else None)


def _products(trial: Trial) -> int:
    """Multiplications per image, which decide the time; 1 for a user's network, whose number is unknown."""
    model, info = trial.config.model, trial.config.data.info
    if isinstance(model, UserNetwork):
        return 1
    return sum(a * b for a, b in pairwise(model.widths(info.inputs, len(info.classes))))


def require_nothing_dropped(spec: StudySpec, path: Path) -> None:
    """RunError where the study at `path` has trained what the plan leaves out or trains otherwise, before anything of
    it is touched: its verdicts would forget that.
    """
    if not (path / runs.STUDY_FILE).is_file() or path.is_symlink():
        return
    study = runs.read_study(path)
    if study.manifest["command"] != spec.command:
        return  # it is refused where it is opened
    study.require_unedited()
    planned, lines = ahead(spec, path), list[runs.Row]()
    with suppress(DataError):  # a damaged plan is made again
        lines = [line for name, line in study.planned.items() if (path / name).is_dir()]
    by_mark = {trial.mark: trial for trial in planned.trials}
    by_place = {_place(trial.line): trial for trial in planned.trials}
    trials = [(line, by_mark.get(line["digest"]) or by_place.get(_place(line))) for line in lines]
    by_network = {line["settings"].get("network"): (line, trial) for line, trial in reversed(trials) if trial}
    keep = str(request_of(study).get("keep", "last"))
    for line, trial in by_network.values():
        if changed := _changed(path / line["trial"], trial, keep):
            raise RunError(f"{path} was started with other settings: {'; '.join(changed)}")
    # Which settings are trained again follows from outcomes, so other ones may be; of those that are, all seeds stay.
    points = {point for point, _ in by_place}
    lost = [
        {**line["settings"], "seed": line["seed"]}
        for line in lines
        if line["digest"] not in by_mark
        and (line["settings"].get(STAGE) in (None, "tuning") or _place(line)[0] in points)
    ]
    if lost:
        few = [", ".join(f"{key}={value}" for key, value in trial.items()) for trial in lost[:3]]
        few += ["..."] if lost[3:] else []
        more = f"; expected --confirm-seeds {request_of(study)['seeds']} or more" if runs.sweep_of(path) else ""
        raise RunError(f"{path} has {plural(len(lost), 'trial')} that would be left out: {'; '.join(few)}{more}")
    if again := spec.confirmation(path, planned.outcomes):
        require_nothing_dropped(again, path / runs.CONFIRMED_DIRECTORY)


def _place(line: runs.Row) -> tuple[str, int]:
    """The settings and the seed of a line of plan.jsonl, to be compared."""
    return json.dumps(line["settings"], sort_keys=True), line["seed"]


def _changed(run: Path, trial: Trial, keep: str) -> list[str]:
    """Reasons why the run of a trial cannot go on as it is planned: it has other numbers, or epochs to forget."""
    try:
        before = load(TrainConfig, runs.read(run).manifest["config"])
    except OptilabError:  # its worker says what is wrong with it
        return []
    changed, after = changed_keys(before, trial.config), trial.config.epochs
    if after < before.epochs and not any(text.startswith("epochs:") for text in changed):
        changed.append(f"epochs: {before.epochs} -> {after}, but a trial cannot forget epochs")
    if after > before.epochs and keep == "none":
        changed.append("more epochs, while its trials kept no checkpoint (keep: none)")
    return changed


def _rename_runs(study: runs.OpenStudy, trials: Sequence[Trial]) -> None:
    """Give runs that were made under other labels the names that they have among `trials`.

    A study that has grown by an axis asks for some of its trainings again, with one setting more in their labels: the
    same checksum is the same training, and the study has the bytes of one that had the axis from the start.
    """
    names, by_mark = {trial.name for trial in trials}, {trial.mark: trial for trial in trials}
    for name, line in study.planned.items():
        old, trial = study.path / name, by_mark.get(str(line.get("digest")))
        new = study.path / trial.name if trial else old
        if name not in names and old.is_dir() and not new.exists():
            os.rename(old, new)


def _reproducing_command(study: runs.OpenStudy, spec: StudySpec, argv: Sequence[str]) -> list[str]:
    """The command that makes the study from nothing: `argv`, but that of `--resume` names what is there already. It is
    then the one before or, where the request has changed, the one that reads the new request.
    """
    if not any(word.partition("=")[0] == "--resume" for word in argv):
        return list(argv)
    if runs.read_study(study.path).config == to_yaml(spec.request):
        return list(study.manifest.get("argv", argv))
    return ["optilab", spec.command, "--study", str(study.path / runs.STUDY_FILE)]


def _look_digests(before: Sequence[str], outcomes: Sequence[Outcome]) -> list[str]:
    """Checksums of what was compared, each once: another seed, setting or repeat makes it another look."""
    digests = sorted(outcome.trial.digest for outcome in outcomes)
    return list(dict.fromkeys([*before, hashlib.sha256("".join(digests).encode()).hexdigest()[:8]]))


# --- what it needs ---------------------------------------------------------------------------------------------


def _fetch_datasets(spec: StudySpec, how: ExecutionOptions) -> DatasetPaths:
    """The paths of the datasets of the trials, which are fetched first if this machine lacks them; absolute for a
    cluster, whose workers have other working directories.

    UsageError where a dataset has too few images for a trial.
    """
    from optilab.data import fetch

    ready = {
        source: fetch.load_or_fetch(*source) for source in dict.fromkeys(t.config.data.source for t in spec.trials)
    }
    for trial in spec.trials:
        for code in trial.config.user_files.values():
            if code.definition is not None:
                raise UsageError(f"expected FILE.py:NAME, which other processes can read, got {code.reference}")
        trial.config.data.require_enough(len(ready[trial.config.data.source].train_labels))
    paths = [(place, dataset.directory) for place, dataset in ready.items()]
    return {place: None if f is None else str(f.absolute() if how.cluster else f) for place, f in paths}


def _workers(spec: StudySpec, how: ExecutionOptions, study: Path, places: DatasetPaths, view: View) -> Workers:
    """The workers that run the trials: on a cluster where one is named, else on this machine."""
    if how.cluster is None:
        return _processes(spec, how)
    code = [Path(file.path) for trial in spec.trials for file in trial.config.user_files.values()]
    paths = [Path(place) for place in places.values() if place]
    return Cluster(how.cluster, [study, *dict.fromkeys([*paths, *code])], view.note, how.jobs)


def _processes(spec: StudySpec, how: ExecutionOptions) -> Processes:
    at_once = system.cores() if all(trial.config.device == "cpu" for trial in spec.trials) else 1
    return Processes(how.jobs or at_once)


def _require_working(spec: StudySpec, places: DatasetPaths) -> None:
    """UsageError for a user's network that cannot be built, or fails on two images, in its first trial."""
    networks = {t.config.model.name: t for t in reversed(spec.trials) if isinstance(t.config.model, UserNetwork)}
    if networks:
        with _processes(spec, ExecutionOptions(1)) as workers:
            for trial in networks.values():
                require_buildable(workers, places, trial)


# --- the trials train ------------------------------------------------------------------------------------------


@dataclass
class _Runner:
    """The training of the trials of a study."""

    study: runs.OpenStudy
    workers: Workers
    places: DatasetPaths
    provenance: Mapping[str, Any]
    keep: str
    watcher: Watcher
    stop: signals.Stop
    fail_fast: bool
    ending: bool = False
    """No further trial starts: a stop was requested, or one failed with `fail_fast`."""
    epochs: dict[str, int] = field(default_factory=dict)
    """Epochs that are on disk, by trial."""

    def train(self, batch: Batch, ended: Outcomes) -> dict[str, Outcome]:
        """Train the trials of a batch that have not `ended`.

        Ends soon after a stop is requested, or with `fail_fast` after the first failure, without the trials that are
        then missing. WorkersLost where nothing runs.
        """
        self.study.plan(ended[t.name].line if t.name in ended else t.line for t in batch.trials)
        self.watcher.known(ended.values())
        self.epochs |= {name: outcome.row.get("epochs") or 0 for name, outcome in ended.items()}
        waiting = deque(trial for trial in batch.trials if trial.name not in ended)
        running, outcomes = dict[str, Trial](), dict[str, Outcome]()
        attempts, counted = Counter[tuple[str, int]](), 0.0
        while waiting or running:
            self.ending = self.ending or self.stop.requested
            if self.ending:
                waiting.clear()
                self.workers.stop()
            while waiting and len(running) < self.workers.slots:
                trial = waiting.popleft()
                self._begin(trial, batch.until)
                running[trial.name] = trial
            for name, reply in self.workers.ended():
                trial = running.pop(name)
                attempt = name, _committed(self.study.path / name)
                attempts[attempt] += reply is None and not self.ending
                outcome = self._outcome(trial, reply, last=attempts[attempt] == ATTEMPTS)
                if outcome is None:  # it goes on from its last checkpoint
                    waiting.appendleft(trial)
                else:
                    outcomes[name] = outcome
                    self.ending = self.ending or (self.fail_fast and outcome.failed)
            if time.monotonic() - counted > _COUNT_SECONDS:
                self.epochs |= {name: _committed(self.study.path / name) for name in running}
                self.watcher.epochs(sum(self.epochs.values()))
                counted = time.monotonic()
        return outcomes

    def _begin(self, trial: Trial, until: int | None) -> None:
        arguments = {
            "folder": str(self.study.path.absolute()),
            "name": trial.name,
            "provenance": {**self.provenance, **trial.facts},
            "until": trial.config.epochs if until is None else until,
            "keep": self.keep,
        }
        self.workers.begin(trial.name, task_of("run", trial, self.places, **arguments))

    def _outcome(self, trial: Trial, reply: Reply | None, last: bool) -> Outcome | None:
        """The outcome of a trial, recorded; None if it has to be begun again, where this was not the `last` attempt."""
        if reply is None and last:
            reason = f"its process was killed or crashed {ATTEMPTS} times (possibly out of memory)"
            reply = {"status": "failed", "reason": reason, "seconds": 0.0}
        if reply is None or reply["status"] == "refused":
            return None
        if reply["status"] == "unwritten":  # nor could the others be written
            raise WriteFailure(reply["reason"])
        row = trial.row(reply["status"], reply["reason"], reply.get("outcome"))
        outcome = Outcome(trial, row, self.study.path)
        self.epochs[trial.name] = outcome.row.get("epochs") or 0
        self.study.add(outcome.line, reply["seconds"])
        self.watcher.epochs(sum(self.epochs.values()))
        self.watcher.done(outcome)
        return outcome


def _committed(path: Path) -> int:
    """Epochs of a run that are on disk, by the lines of its metrics.csv."""
    try:
        return max(0, runs.read_regular(path / "metrics.csv", _METRICS_BYTES).count(b"\n") - 1)
    except (FileNotFoundError, OptilabError):
        return 0
