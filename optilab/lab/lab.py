"""The verbs of the command line on an object, for notebooks and scripts: `from optilab import Lab`."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

from optilab.lab.arguments import Config, Names, changes, command, listed, plain, source

if TYPE_CHECKING:
    from optilab.lab.comparison import LabComparison
    from optilab.lab.entries import LabRun, LabStudy
    from optilab.lab.paths import LabPaths
    from optilab.lab.races import LabRace
    from optilab.lab.verification import LabVerification
    from optilab.study.plan import StudyPlan


class Lab:
    """A folder of runs: `folder`, else OPTILAB_RUNS, else ./runs.

    Each verb does what the command of its name does and returns a `verbs.answer.Answer`: `.rows`, `.frame()`,
    `.plot()`, `.report("page.html")`, and a table with a picture in a notebook. Errors are those of the commands, as
    exceptions (`optilab.errors`). `progress` shows how far a verb is: True or False; None: in a notebook only.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        from optilab import runs

        self.folder: Path = runs.root(None if folder is None else os.fspath(folder))

    def __repr__(self) -> str:
        return f"Lab({str(self.folder)!r})"

    def optimize(
        self,
        config: Config | None = None,
        *,
        set: Mapping[str, Any] | None = None,
        tune: int | None = None,
        **keys: Any,
    ) -> "LabPaths":
        """The paths of algorithms on a test function; nothing is written.

        `keys` are the keys of an optimize config (`algo="sgd,adam"`, `function="rosenbrock"` or a formula,
        `epochs=30`), `set` the dotted ones (`{"algo.lr": 0.1}`); `tune` gives every rule the best of so many random
        settings first. ConfigError with every problem at once.
        """
        from optilab.config.load import function, load
        from optilab.config.optimize import OptimizeConfig
        from optilab.config.presets import algorithms
        from optilab.lab.paths import LabPaths, follow, tuned

        readers: Mapping[str, Callable[[str], Any]] = {"algo": algorithms, "function": function}
        read = {k: readers[k](v) if k in readers and isinstance(v, str) else v for k, v in keys.items()}
        asked = load(OptimizeConfig, None if config is None else source(config), changes(read, set))
        asked, note = (asked, "") if tune is None else tuned(asked, tune)
        return LabPaths(asked, dict(zip(asked.labels, follow(asked), strict=True)), note)

    def train(
        self,
        config: Config | None = None,
        *,
        resume: str | None = None,
        fork: str | None = None,
        set: Mapping[str, Any] | None = None,
        name: str | None = None,
        log: Literal["tensorboard"] | None = None,
        progress: bool | None = None,
        **keys: Any,
    ) -> "LabRun":
        """Train one network: a preset, a YAML file or a mapping of keys; several seeds are a `sweep`.

        `keys` are the first keys of a train config (`epochs=2`, `seed=7`, `optimizer="adam"`), `set` the dotted ones
        (`{"optimizer.lr": 0.1}`). `resume` continues a run, `fork` (`NAME@EPOCH`) starts a new one from a checkpoint;
        `log="tensorboard"` writes each epoch to an event file in the run. Ctrl-C commits and raises KeyboardInterrupt.
        DivergedError where the training diverges; its run is kept.
        """
        from optilab import runs, signals
        from optilab.config.load import load
        from optilab.config.training import TrainConfig
        from optilab.errors import DivergedError, UsageError
        from optilab.lab import training
        from optilab.lab.entries import LabRun
        from optilab.lab.execution import dataset_of
        from optilab.lab.logged import tracked
        from optilab.train.resume import branch, continuation, require_alike

        if log is not None:
            tracked(log)
        if sum(value is not None for value in (config, resume, fork)) != 1:
            raise UsageError("one of config, resume and fork expected, as in: lab.train('sigmoid.yaml')")
        asked, branched = changes(keys, set), None
        if resume is not None:
            place = runs.locate(self.folder, resume, "train")
            require_alike(place, asked)
            continued = continuation(place, asked)
            path, settings = continued.path, continued.config
            if continued.complete:
                return LabRun(runs.read(path))
        else:
            branched = None if fork is None else branch(self.folder, fork, asked)
            settings = branched.config if branched else load(TrainConfig, source(config or ""), asked)
            path = self.folder / runs.chosen_name(name, settings.name)
            runs.require_free(path)
        options = {"resume": resume, "fork": fork, "name": name, "log": log}
        argv, silent = command("train", config, options, {**keys, **(set or {})}), not _shown(progress)
        dataset = dataset_of(settings.data)
        with signals.on_signal() as stop:
            try:
                training.train(
                    path, settings, dataset, argv, stop, silent, resume is not None, branched, bool(log)
                )
            except DivergedError as error:
                error.add_note(f"the run is kept: lab.load({path.name!r})")
                raise
        if stop.signal is not None:
            _stop(stop.signal, f"stopped; lab.train(resume={path.name!r}) continues it")
        return LabRun(runs.read(path))

    def sweep(
        self,
        config: Config,
        over: Mapping[str, Any] | None = None,
        *,
        seeds: int | None = None,
        epochs: int | None = None,
        zip: bool = False,
        samples: int | None = None,
        search: Literal["tpe"] | None = None,
        halving: int | None = None,
        metric: str | None = None,
        keep: Literal["last", "best", "none", "all"] | None = None,
        set: Mapping[str, Any] | None = None,
        name: str | None = None,
        jobs: int | None = None,
        cluster: str | None = None,
        fail_fast: bool = False,
        progress: bool | None = None,
    ) -> "LabStudy":
        """Train one network over axes of settings with several seeds each, several at once on one thread each.

        `over` maps a dotted key to `"LOW:HIGH[:COUNT][:log]"` or to a list of values. The same call with the same
        `name` continues a study that was stopped. Trials that failed are rows like any other, with their reason.
        """
        from optilab import runs
        from optilab.config.load import load
        from optilab.config.study import SweepConfig
        from optilab.lab.entries import LabStudy
        from optilab.study import sweep

        plan_keys = {
            "samples": samples,
            "search": search,
            "seeds": seeds,
            "halving": halving,
            "metric": metric,
            "keep": keep,
            "zip": zip or None,
        }
        axes = plain(over or {})
        asked = load(SweepConfig, {"config": source(config), "over": axes}, changes(plan_keys, None))
        asked = sweep.resolve(asked, changes({"epochs": epochs}, set))
        plan = sweep.plan(asked)
        options = {**plan_keys, "epochs": epochs, "name": name}
        argv = command("sweep", config, options, set)
        argv += [word for key, axis in axes.items() for word in ("--over", f"{key}={_axis(axis)}")]
        study = runs.chosen_name(name, f"{asked.name}-sweep")
        path = self._made(plan, study, argv, progress, jobs, cluster, fail_fast)
        return LabStudy(runs.read_study(path))

    @overload
    def race(
        self,
        algos: Names | None = None,
        functions: Names | None = None,
        *,
        on: None = None,
        budget: int = 50,
        starts: int = 20,
        repeats: int = 3,
        epochs: int = 200,
        accuracy: float = 1e-3,
        seed: int = 0,
        cache: bool = True,
        progress: bool | None = None,
    ) -> "LabRace": ...

    @overload
    def race(
        self,
        algos: Names | None = None,
        *,
        on: Names | Sequence[Config],
        budget: int | None = None,
        seeds: int | None = None,
        repeats: int | None = None,
        epochs: int | None = None,
        target: float | None = None,
        set: Mapping[str, Any] | None = None,
        name: str | None = None,
        jobs: int | None = None,
        cluster: str | None = None,
        fail_fast: bool = False,
        progress: bool | None = None,
    ) -> "LabStudy": ...

    def race(
        self,
        algos: Names | None = None,
        functions: Names | None = None,
        *,
        on: Any = None,
        progress: bool | None = None,
        **options: Any,
    ) -> "LabRace | LabStudy":
        """Compare rules that were tuned with the same budget, on starts or seeds that none of them was tuned on.

        On test functions (nothing is written but a cache of tunings), or with `on` on trainings, as a study. `algos`
        and `functions` are `"sgd,adam"` or lists, `on` presets, YAML files or mappings. UsageError for options of the
        other kind of race.
        """
        from optilab.config.load import load
        from optilab.config.study import FunctionRaceConfig
        from optilab.errors import UsageError, unknown
        from optilab.lab.races import on_functions

        of_networks = (
            "budget",
            "seeds",
            "repeats",
            "epochs",
            "target",
            "set",
            "name",
            "jobs",
            "cluster",
            "fail_fast",
        )
        of_functions = ("budget", "starts", "repeats", "epochs", "accuracy", "seed", "cache")
        accepted, other = (of_functions, of_networks) if on is None else (of_networks, of_functions)
        where = "trainings: add on=[CONFIG, ...]" if on is None else "test functions, without on"
        if wrong := [key for key in options if key not in accepted and key in other]:
            raise UsageError(f"{', '.join(wrong)}: only for a race on {where}")
        if wrong := [key for key in options if key not in accepted]:
            raise UsageError("\n".join(unknown("option", key, accepted) for key in wrong))
        if on is None:
            names = {"algos": algos, "functions": functions}
            given = {key: listed(value) for key, value in names.items() if value is not None}
            cache = options.pop("cache", True)
            return on_functions(load(FunctionRaceConfig, {**given, **options}), not _shown(progress), cache)
        if functions is not None:
            raise UsageError(f"functions: only for a race on {where}")
        trainings = [on] if isinstance(on, Mapping) else listed(on)
        return self._network_race(algos, trainings, progress, **options)

    def compare(
        self,
        names: "Names | LabRun | LabStudy | Sequence[str | LabRun | LabStudy]",
        *,
        metric: str | None = None,
        at: str | int = "last",
        target: float | None = None,
        until: Literal["epochs", "seconds"] = "epochs",
        baseline: str | None = None,
        by: Names = (),
        over: Literal["seeds", "problems"] = "seeds",
    ) -> "LabComparison":
        """Lay trainings side by side: what differs, the outcome of each group over its seeds, and verdicts.

        `names` are names of runs and studies, paths, `latest`, patterns such as `relu-*`, or results of this lab.
        `metric` is a column of `.rows`, seconds, test_acc or test_loss (None: val_acc; of a race test_acc).
        """
        from optilab.lab.comparison import LabComparison, compare, judged

        chosen = [names] if isinstance(names, str) or hasattr(names, "path") else list(names)
        places = [one if isinstance(one, str) else str(one.path) for one in chosen]
        entries, records, metric = judged(self.folder, places, metric)
        return LabComparison(compare(records, metric, str(at), target, until, baseline, listed(by), over), entries)

    def verify(
        self,
        candidate: str | Callable[..., Any],
        against: str,
        *,
        function: str | None = None,
        epochs: int | None = None,
        set: Mapping[str, Any] | None = None,
    ) -> "LabVerification":
        """Whether a class or a function, or FILE.py:NAME, is the rule `against`; if not, what explains the difference.

        Its interface is one of those of `optilab verify --help`. The code runs in this process, without a time limit.
        """
        from optilab.config.load import function as read_function
        from optilab.lab.verification import Exam, LabVerification
        from optilab.verify.candidate import load

        read = {"function": function and read_function(function), "epochs": epochs}
        exam = Exam.of(against, changes(read, set))
        found = load(candidate)
        return LabVerification(found, exam, exam.grade(found))

    def load(self, name: str) -> "LabRun | LabStudy":
        """A run or study by name, path or `latest`. RunError, with the nearest names, where there is none."""
        from optilab import runs
        from optilab.lab.entries import entry

        return entry(runs.read_entry(runs.locate(self.folder, name)))

    def runs(self) -> "list[LabRun | LabStudy]":
        """Every readable run and study of the folder, oldest first."""
        from optilab import runs
        from optilab.lab.entries import entry

        return [entry(found) for found in runs.entries(self.folder)[0]]

    def _network_race(
        self,
        algos: Names | None,
        on: Sequence[Config],
        progress: bool | None,
        epochs: int | None = None,
        set: Mapping[str, Any] | None = None,
        name: str | None = None,
        jobs: int | None = None,
        cluster: str | None = None,
        fail_fast: bool = False,
        **keys: Any,
    ) -> "LabStudy":
        from optilab import runs
        from optilab.config.load import load
        from optilab.config.presets import algorithms
        from optilab.config.study import RaceConfig
        from optilab.lab import races
        from optilab.lab.entries import LabStudy
        from optilab.study import network_race

        rules = algorithms(",".join(listed(algos or races.NETWORK_ALGOS)))
        tree = {"on": [source(config) for config in on], "algos": rules}
        asked = network_race.resolve(load(RaceConfig, tree, changes(keys, None)), changes({"epochs": epochs}, set))
        plan = network_race.plan(asked)
        named = ",".join(os.fspath(config) for config in on if not isinstance(config, Mapping))
        argv = command("race", None, {"on": named, "algos": rules, **keys, "epochs": epochs, "name": name}, set)
        study = runs.chosen_name(name, f"{asked.name}-race")
        path = self._made(plan, study, argv, progress, jobs, cluster, fail_fast)
        return LabStudy(runs.read_study(path))

    def _made(
        self,
        plan: "StudyPlan",
        name: str,
        argv: Sequence[str],
        progress: bool | None,
        jobs: int | None,
        cluster: str | None,
        fail_fast: bool,
    ) -> Path:
        """The directory of a study that has run to its end."""
        from optilab.lab.execution import run

        ran = run(plan, self.folder, name, argv, not _shown(progress), jobs, cluster, fail_fast)
        if ran.stopped is not None:
            _stop(ran.stopped, f"stopped; the same call with name={name!r} continues with what is missing")
        return ran.path


def _shown(progress: bool | None) -> bool:
    """Whether progress is shown: by default in a notebook only."""
    if progress is not None:
        return progress
    if "IPython" not in sys.modules:
        return False
    from optilab.show import terminal

    return terminal.err.is_jupyter


def _stop(number: int, message: str) -> NoReturn:
    """End as Python ends at a signal: KeyboardInterrupt for Ctrl-C, else by the signal itself."""
    if number != signal.SIGINT:
        from optilab import signals

        signals.die_of(number)
    raise KeyboardInterrupt(message)


def _axis(axis: Any) -> str:
    """An axis as `--over` has it."""
    from optilab.config.yaml import flow

    return ",".join(map(flow, axis)) if isinstance(axis, list) else flow(axis)
