"""A study from its plan to its end: opened or continued, watched, and ended by what was asked or by a signal."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from optilab import runs, signals
from optilab.config.load import load
from optilab.config.own_network import OwnNetwork
from optilab.config.training import DataConfig, TrainConfig, changed_keys
from optilab.data.read import Dataset
from optilab.errors import DataError, ExitCode, OptilabError, RunError, SystemFailure, UsageError, WriteFailure
from optilab.runs.provenance import provenance
from optilab.study import plan as plans
from optilab.study.groups import STAGE, asked_of
from optilab.study.plan import Batch, Forecast, StudyPlan, forecast
from optilab.study.trials import (
    Cost,
    Outcome,
    Places,
    Trial,
    TrialRunner,
    Watcher,
    cost,
    relabel,
    try_out,
)
from optilab.study.workers import Cluster, Processes, Workers, WorkersLost, cores
from optilab.words import plural

Datasets = Mapping[tuple[str, str | None], Dataset]
"""By `data.dataset` and `data.dir`."""


@dataclass(frozen=True)
class ExecutionOptions:
    """How the trials of a study run."""

    jobs: int | None = None
    """Trials at once; None: one per physical core, or on a GPU one."""
    cluster: str | None = None
    """A scheduler of dask, of whose workers at most `jobs` trials at once are asked; None: this machine."""
    fail_fast: bool = False
    """Whether the first trial that fails ends the study."""


class StudyView(Protocol):
    """Who follows a study: where datasets come from, and where it says what it does."""

    def dataset(self, config: DataConfig) -> Dataset:
        """The verified dataset of a config; fetched first if this machine lacks it."""

    def planned(self, shape: str, cost: Callable[[], Cost]) -> None:
        """Trials of this shape are missing; `cost` measures what they take."""

    def progress(self, trials: int, epochs: int, metric: str, at_once: int) -> AbstractContextManager[Watcher]:
        """Who watches this number of trials, of this number of epochs together, of which `at_once` run at once."""

    def note(self, message: str) -> None:
        """Something that went otherwise than planned."""


@dataclass(frozen=True)
class StudyResult:
    """A study as it ended; `stopped` is the signal that ended it before all trials were done, if one did."""

    path: Path
    outcomes: list[Outcome]
    stopped: int | None = None
    confirmation: "StudyResult | None" = None
    """What trained the best settings of a sweep again."""

    @property
    def completed(self) -> list[Path]:
        """The run directories of the trials that ran to their end, a divergence included."""
        ended = ("done", "diverged")
        return [self.path / outcome.trial.name for outcome in self.outcomes if outcome.status in ended]

    @property
    def code(self) -> ExitCode:
        return ExitCode.SWEEP if any(outcome.failed for outcome in self.all) else ExitCode.OK

    @property
    def all(self) -> list[Outcome]:
        """The outcomes, then those of the confirmation."""
        return [*self.outcomes, *(self.confirmation.all if self.confirmation else ())]


def run(
    plan: StudyPlan, folder: Path, name: str, argv: Sequence[str], view: StudyView, how: ExecutionOptions
) -> StudyResult:
    """Run the study `name` in `folder`, or what is missing of it; `argv` is the command, for the manifest.

    SystemFailure where nothing runs or nothing can be written, RunError for a study that was asked something
    else.
    """
    require_kept(plan, folder / name)
    datasets = _datasets(plan.trials, view)  # fetched once, before many processes need them
    if how.cluster is None and not (folder / name).exists():
        _require_working(plan, places_of(datasets, how))
    origin = provenance(argv, [])
    facts = {"command": plan.command, **origin, "trials": plan.count}
    status, outcomes = "failed", list[Outcome]()
    with signals.on_signal() as stop:
        chosen = _workers(plan, how, folder / name, datasets, view)
        study = runs.open_study(folder, name, plan.study(), facts)
        try:
            require_kept(plan, study.path)  # now that no other process writes it
            study.ask(plan.study(), **{**facts, "argv": _repeated(study.manifest.get("argv", argv), argv)})
            relabel(study, plan.trials)
            ahead = forecast(plan.plan(study.path, dry=True), study.path)
            places = places_of(datasets, how)
            watching = partial(view.progress, len(ahead.trials), ahead.epochs, plan.metric)
            with chosen as pool, watching(max(1, pool.slots)) as watcher:
                if ahead.missing and not stop():
                    view.planned(plan.shape, lambda: _cost(plan, plan.forecast(study.path), pool, places, stop))
                execution = TrialRunner(study, pool, places, origin, watcher, stop, plan.keep, how.fail_fast)
                outcomes = _executed(plan, execution)
            failed = any(outcome.failed for outcome in outcomes)
            status = "interrupted" if stop() else "failed" if failed else "done"
            if status == "done" and plan.seeds > 1:  # else it has no verdict
                trials = [outcome.trial for outcome in outcomes]
                study.update(looks=_looks(study.manifest.get("looks", []), trials))
        except (WorkersLost, WriteFailure) as error:
            status = "interrupted"
            raise SystemFailure(
                f"{error}; the same command with --name {(runs.sweep_of(study.path) or study).name} continues the study"
            ) from None
        finally:
            study.finish(status, **({"trials": len(outcomes)} if status == "done" else {}))
    return StudyResult(study.path, outcomes, stop.signal)


def _looks(before: Sequence[str], trials: Sequence[Trial]) -> list[str]:
    """Checksums of what was compared, each once: another seed, setting or repeat makes it another look."""
    now = hashlib.sha256("".join(sorted(trial.digest for trial in trials)).encode()).hexdigest()[:8]
    return list(dict.fromkeys([*before, now]))


def dry_run(plan: StudyPlan, path: Path, view: StudyView, how: ExecutionOptions) -> Cost:
    """What the study at `path`, or what is missing of it, would cost. It is not written, nor is anything else.

    UsageError where the first trial that is missing cannot be trained.
    """
    require_kept(plan, path)
    places = places_of(_datasets(plan.trials, view), how)
    with _processes(plan, how) as pool:
        found = _cost(plan, plan.forecast(path), pool, places, lambda: False)
    if found.problem is not None:
        raise UsageError(found.problem)
    return found


def places_of(datasets: Datasets, how: ExecutionOptions) -> Places:
    """Where datasets were found; a cluster's workers have other working directories."""
    folders = [(key, data.folder) for key, data in datasets.items()]
    return {key: None if f is None else str(f.absolute() if how.cluster else f) for key, f in folders}


def _executed(plan: StudyPlan, execution: TrialRunner) -> list[Outcome]:
    """The outcomes of all trials that have ended, in the order of the plan."""

    def run(batch: Batch) -> plans.Outcomes:
        return {outcome.trial.name: outcome for outcome in execution.run(batch.trials, batch.until)}

    path = execution.study.path
    trials, outcomes = plans.execute(plan.plan(path), run, path, lambda: execution.ending)
    return [outcomes[trial.name] for trial in trials if trial.name in outcomes]


def require_kept(plan: StudyPlan, path: Path) -> None:
    """RunError where the study at `path` has trained what the plan leaves out or trains otherwise, before anything of
    it is touched: its verdicts would forget that.
    """
    if not (path / runs.STUDY).is_file() or path.is_symlink():
        return
    study = runs.read_study(path)
    if study.manifest["command"] != plan.command:
        return  # it is refused where it is opened
    study.require_unedited()
    before, lines = asked_of(study), list[runs.Row]()
    if changed := plan.changed(before):
        raise RunError(f"{path} was started with other settings: {'; '.join(changed)}")
    with suppress(DataError):  # a damaged plan is made again
        planned = study.planned().items()
        lines = [line for name, line in planned if (path / name).is_dir() and not runs.confirms(line)]
    ahead = forecast(plan.plan(path, dry=True), path)
    by_mark = {trial.mark: trial for trial in ahead.trials}
    by_place = {_place(trial.planned): trial for trial in ahead.trials}
    trials = [(line, by_mark.get(line["digest"]) or by_place.get(_place(line))) for line in lines]
    one_of_each = {line.get("network"): (line, trial) for line, trial in reversed(trials) if trial}
    for line, trial in one_of_each.values():
        if changed := _changed(path / line["trial"], trial, str(before.get("keep", "last"))):
            raise RunError(f"{path} was started with other settings: {'; '.join(changed)}")
    # Which settings are trained again follows from outcomes, so other ones may be; of those that are, all seeds stay.
    settings = {place[:-1] for place in by_place}
    lost = [
        line
        for line in lines
        if line["digest"] not in by_mark and (line.get(STAGE) in (None, "tuning") or _place(line)[:-1] in settings)
    ]
    if lost:
        few = [", ".join(f"{key}={value}" for key, value in _place(line)) for line in lost[:3]]
        few += ["..."] if lost[3:] else []
        raise RunError(f"{path} has {plural(len(lost), 'trial')} that would be left out: {'; '.join(few)}")
    if again := plan.confirmation(path, ahead.outcomes):
        require_kept(again, path / runs.CONFIRMED)


def _place(line: runs.Row) -> tuple[tuple[str, Any], ...]:
    """The settings and the seed of a line of plan.jsonl."""
    entries = [*line.items()]
    return tuple(entries[1 : [*line].index("seed") + 1])


def _changed(run: Path, trial: Trial, keep: str) -> list[str]:
    """Why the run of a trial cannot go on as it is planned: it has other numbers, or epochs to forget."""
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


def _repeated(before: Sequence[str], typed: Sequence[str]) -> list[str]:
    """The command that makes the study from nothing: of one that `--resume` continued, the command before and more."""
    names = [text.partition("=")[0] for text in typed]
    if "--resume" not in names:
        return list(typed)
    at = names.index("--resume")
    return [*before, *typed[2:at], *typed[at + (1 if "=" in typed[at] else 2) :]]


def _cost(plan: StudyPlan, ahead: Forecast, pool: Workers, places: Places, stop: Callable[[], bool]) -> Cost:
    return cost(pool, places, ahead.trials, ahead.missing, ahead.epochs, plan.keep, stop)


def _workers(plan: StudyPlan, how: ExecutionOptions, study: Path, datasets: Datasets, view: StudyView) -> Workers:
    """Where the trials of a study run: on a cluster where one is named, else on this machine."""
    if how.cluster is None:
        return _processes(plan, how)
    own = [code.path for trial in plan.trials for code in trial.config.own_files.values()]
    folders = [dataset.folder for dataset in datasets.values() if dataset.folder]
    return Cluster(how.cluster, [study, *dict.fromkeys([*folders, *own])], view.note, how.jobs)


def _processes(plan: StudyPlan, how: ExecutionOptions) -> Processes:
    at_once = cores() if all(trial.config.device == "cpu" for trial in plan.trials) else 1
    return Processes(min(how.jobs or at_once, max(1, plan.count)))


def _require_working(plan: StudyPlan, places: Places) -> None:
    """UsageError for a network of the user's own that cannot be built, or fails on two images, in its first trial."""
    own = {t.config.model.name: t for t in reversed(plan.trials) if isinstance(t.config.model, OwnNetwork)}
    if not own:
        return
    with _processes(plan, ExecutionOptions(1)) as pool:
        for trial in own.values():
            try_out(pool, places, trial)


def _datasets(trials: Sequence[Trial], view: StudyView) -> Datasets:
    """The datasets of trials, each once. UsageError where one has too few images for a trial."""
    configs = {trial.config.data.place: trial.config.data for trial in trials}
    found = {place: view.dataset(config) for place, config in configs.items()}
    for trial in trials:
        trial.config.data.require_enough(len(found[trial.config.data.place].train_labels))
    return found
