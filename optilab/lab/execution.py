"""How a study runs: opened or continued, watched, and ended by what it was asked or by a signal."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from optilab import runs, signals
from optilab.errors import CheckpointError, ExitCode, UsageError

if TYPE_CHECKING:
    from optilab.config.study import RemedyConfig
    from optilab.config.training import DataConfig
    from optilab.data.load import Dataset
    from optilab.study.network_race import NetworkRace
    from optilab.study.pool import Pool, Workers
    from optilab.study.sweep import Sweep
    from optilab.study.trials import Cost, Execution, Outcome, Places, Trial


@dataclass(frozen=True)
class Request:
    """A study to be made: what is asked (study.yaml), by which command, and how it is executed."""

    command: str
    asked: bytes
    require_same: Callable[[Path], None]
    """Of a study that exists: RunError where it was asked something else."""
    shape: str
    """What the trials are, in words: `9 optimizer.lr x 3 seeds`."""
    trials: "Sequence[Trial]"
    execute: "Callable[[Execution], list[Outcome]]"
    jobs: int | None = None
    keep: str = "last"
    fail_fast: bool = False
    metric: str = "val_acc"
    """What the best trial so far is the best by."""
    most_epochs: int | None = None
    """Of all trials together, where not all go on to their last one."""
    cluster: str | None = None
    """A scheduler of dask, of whose workers at most `jobs` trials at once are asked."""
    following: "Callable[[Mapping[str, Outcome]], Sequence[Trial]] | None" = None
    """The trials that depend on the outcomes of `trials`, as far as they are known."""


def of_sweep(
    command: str, plan: "Sweep", jobs: int | None, fail_fast: bool = False, cluster: str | None = None
) -> Request:
    """The study of a resolved sweep."""
    from optilab.study import halving, search, sweep

    asked = plan.asked
    if asked.search is not None:
        search.require_optuna()

    def execute(trials: "Execution") -> "list[Outcome]":
        if asked.search is not None:
            return search.search(trials, plan)
        if asked.halving is None:
            return trials.run(plan.trials)
        return halving.halve(trials, plan.trials, asked.halving, asked.metric)

    return Request(
        command,
        plan.study(),
        lambda study: sweep.require_same(study, asked),
        plan.shape,
        plan.trials,
        execute,
        jobs,
        asked.keep,
        fail_fast,
        asked.metric,
        None
        if asked.halving is None
        else halving.total(plan.points, asked.seeds, plan.base.epochs, asked.halving),
        cluster,
    )


def of_race(
    command: str,
    asked: bytes,
    require_same: Callable[[Path], None],
    planned: "NetworkRace",
    jobs: int | None,
    fail_fast: bool = False,
    cluster: str | None = None,
) -> Request:
    """The study of a race on trainings."""
    from optilab.study import network_race

    return Request(
        command,
        asked,
        require_same,
        planned.shape,
        planned.trials,
        lambda trials: network_race.race(trials, planned),
        jobs,
        planned.asked.keep,
        fail_fast,
        cluster=cluster,
        following=planned.following,
    )


def of_remedy(asked: "RemedyConfig", jobs: int | None, cluster: str | None = None) -> Request:
    """The study of resolved remedies: each as it is, or with `tune` as a race between them."""
    from optilab.config.fields import to_yaml
    from optilab.study import remedy

    same = lambda path: remedy.require_same(path, asked)  # noqa: E731
    if asked.tune is not None:
        return of_race("remedy", to_yaml(asked), same, remedy.tuned(asked), jobs, cluster=cluster)
    planned = remedy.plan(asked)
    trials = [trial for plan in planned for trial in plan.trials]
    shape = f"{len(planned)} networks x {asked.seeds} seed{'s' * (asked.seeds > 1)}"
    execute = lambda all_of_it: all_of_it.run(trials)  # noqa: E731
    return Request("remedy", to_yaml(asked), same, shape, trials, execute, jobs, cluster=cluster)


@dataclass(frozen=True)
class Ran:
    """A study as it ended; `stopped` is the signal that ended it before all trials were done, if one did."""

    path: Path
    outcomes: "list[Outcome]"
    stopped: int | None = None

    @property
    def through(self) -> list[Path]:
        """The run directories of the trials that ran to their end, a divergence included."""
        ended = ("done", "diverged")
        return [self.path / outcome.trial.name for outcome in self.outcomes if outcome.status in ended]

    @property
    def code(self) -> ExitCode:
        return ExitCode.SWEEP if any(outcome.failed for outcome in self.outcomes) else ExitCode.OK


def run(request: Request, folder: Path, name: str, argv: Sequence[str], silent: bool) -> Ran:
    """Run the study `name` in `folder`, or what is missing of it; `argv` is the command, for the manifest."""
    from optilab.console import study as views
    from optilab.runs.record import provenance
    from optilab.show import terminal
    from optilab.study.pool import WorkersLost
    from optilab.study.trials import Execution, relabel

    _require_same(request, folder / name)
    datasets = _datasets(request)  # fetched once, before many processes need them
    origin = provenance(argv, [])
    facts = {"command": request.command, **origin, "trials": len(request.trials)}
    status, outcomes = "failed", list["Outcome"]()
    with signals.on_signal() as stop:
        chosen = _workers(request, folder / name, [*datasets.values()], stop)
        study = runs.open_study(folder, name, request.asked, facts)
        try:
            request.require_same(study.path)  # now that no other process writes it
            study.ask(request.asked, **{**facts, "argv": _repeated(study.manifest.get("argv", argv), argv)})
            if request.following is None:  # those that follow would pass for trials under another label
                relabel(study, request.trials)
            whole = _Whole.of(request, study.path, study.rows)
            progress = views.Progress(len(whole.trials), whole.epochs, silent, request.metric)
            with chosen as pool, progress:
                places, keep, fail_fast = places_of(datasets), request.keep, request.fail_fast
                if whole.missing and not (silent or stop()):
                    terminal.note(views.plan(request.shape, whole.cost(pool, places)))
                execution = Execution(study, pool, places, origin, progress, stop, keep, fail_fast)
                outcomes = request.execute(execution)
            failed = any(outcome.failed for outcome in outcomes)
            status = "interrupted" if stop() else "failed" if failed else "done"
        except WorkersLost as error:
            status = "interrupted"
            raise WorkersLost(f"{error}; the same command with --name {study.name} continues the study") from None
        finally:
            study.finish(status)
    return Ran(study.path, outcomes, stop.signal)


def _require_same(request: Request, path: Path) -> None:
    """RunError for a study that was asked something else, before anything of it is touched."""
    try:
        same_kind = (path / runs.STUDY).is_file() and runs.read_study(path).manifest["command"] == request.command
    except CheckpointError:  # opening it says what is wrong
        return
    if same_kind:
        request.require_same(path)


def _repeated(before: Sequence[str], typed: Sequence[str]) -> list[str]:
    """The command that makes the study from nothing: of one that `--resume` continued, the command before and more."""
    names = [text.partition("=")[0] for text in typed]
    if "--resume" not in names:
        return list(typed)
    at = names.index("--resume")
    return [*before, *typed[2:at], *typed[at + (1 if "=" in typed[at] else 2) :]]


def dry_run(request: Request, path: Path) -> "Cost":
    """What the study at `path`, or what is missing of it, would cost. It is not written, nor is anything else.

    UsageError where the first trial that is missing cannot be trained.
    """
    rows: Sequence[runs.Row] = ()
    if path.exists():
        request.require_same(path)
        rows = runs.read_study(path).trials()
    places = places_of(_datasets(request))
    with _processes(request) as pool:
        found = _Whole.of(request, path, rows).cost(pool, places)
    if found.problem is not None:
        raise UsageError(found.problem)
    return found


@dataclass(frozen=True)
class _Whole:
    """All trials of a study, as far as they are known before it runs, and those of them that are missing."""

    trials: "list[Trial]"
    missing: "list[Trial]"
    epochs: int
    keep: str

    @classmethod
    def of(cls, request: Request, path: Path, rows: "Sequence[runs.Row]") -> "_Whole":
        from optilab.study.trials import known

        trials = [*request.trials]
        if request.following is not None:
            trials += request.following(known(path, rows, trials))
        done = known(path, rows, trials)
        epochs = request.most_epochs or sum(trial.config.epochs for trial in trials)
        return cls(trials, [trial for trial in trials if trial.name not in done], epochs, request.keep)

    def cost(self, pool: "Workers", places: "Places") -> "Cost":
        from optilab.study.trials import cost

        found = cost(pool, places, self.trials, self.missing, self.epochs)
        return replace(found, bytes=None) if self.keep in ("none", "all") else found


def _workers(
    request: Request, study: Path, datasets: "Sequence[Dataset]", stop: Callable[[], bool]
) -> "AbstractContextManager[Workers]":
    """Where the trials of a study run: on a cluster where one is named, else on this machine."""
    if request.cluster is None:
        return _processes(request)
    from optilab.show import terminal
    from optilab.study.cluster import Cluster

    if len(datasets) > 1:
        names = ", ".join(dict.fromkeys(dataset.name for dataset in datasets))
        raise UsageError(f"a study on a cluster has one dataset, this one {len(datasets)}: {names}", "--cluster")
    (dataset,) = datasets
    return Cluster(
        request.cluster,
        study,
        dataset.folder,
        dataset.digests,
        terminal.note,
        stop,
        request.jobs,
        _on_cpu(request),
    )


def _processes(request: Request) -> "Pool":
    from optilab.study.pool import Pool, cores
    from optilab.study.trials import MODULE

    slots = request.jobs or (cores() if _on_cpu(request) else 1)
    return Pool(MODULE, min(slots, max(1, len(request.trials))), fork=_on_cpu(request))


def _on_cpu(request: Request) -> bool:
    return all(trial.config.device == "cpu" for trial in request.trials)


def _datasets(request: Request) -> "dict[tuple[str, str | None], Dataset]":
    """The datasets of a study's trials, each once."""
    return {
        place: dataset_of(config)
        for place, config in {t.config.data.place: t.config.data for t in request.trials}.items()
    }


def places_of(datasets: "Mapping[tuple[str, str | None], Dataset]") -> "Places":
    """Where datasets were found."""
    return {key: None if data.folder is None else str(data.folder) for key, data in datasets.items()}


def dataset_of(config: "DataConfig") -> "Dataset":
    """The verified dataset of a config; fetched first, with a progress bar, if this machine lacks it."""
    from optilab.console.data import Transfer
    from optilab.data import fetch

    with Transfer() as transfer:
        return fetch.ensure(config.dataset, Path(config.dir) if config.dir else None, transfer.report)
