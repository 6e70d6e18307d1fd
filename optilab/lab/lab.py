"""The verbs of the command line on an object, for notebooks and scripts: `from optilab import Lab`."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from optilab.lab.arguments import Config, Names, changes, listed, source

if TYPE_CHECKING:
    from optilab.verbs.compare import LabComparison
    from optilab.verbs.optimize import LabPaths
    from optilab.verbs.results import LabRun, LabStudy
    from optilab.verbs.verify import LabVerification


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
        from optilab.verbs.optimize import LabPaths
        from optilab.verbs.paths import follow, tuned

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
    ) -> Any:
        """Train one network: a preset, a YAML file or a mapping of keys; several seeds are a `sweep`.

        `keys` are the first keys of a train config (`epochs=2`, `seed=7`, `optimizer="adam"`), `set` the dotted ones
        (`{"optimizer.lr": 0.1}`). `resume` continues a run, `fork` (`NAME@EPOCH`) starts a new one from a checkpoint;
        `log="tensorboard"` writes each epoch to an event file in the run. Ctrl-C commits and raises KeyboardInterrupt.
        DivergedError where the training diverges; its run is kept.
        """
        given = {"config": config, "resume": resume, "fork": fork, "set": set, "name": name, "log": log}
        return self._ask("train", {**given, "progress": progress, **keys})

    def sweep(self, config: Config | None = None, over: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Train one network over axes of settings with several seeds each, several at once on one thread each.

        `over` maps a dotted key to `"LOW:HIGH[:COUNT][:log]"` or to a list of values. The same call with the same
        `name` continues a study that was stopped. Trials that failed are rows like any other, with their reason.
        """
        return self._ask("sweep", {"config": config, "over": over, **options})

    def race(self, algos: Names | None = None, functions: Names | None = None, **options: Any) -> Any:
        """Compare rules that were tuned with the same budget, on starts or seeds that none of them was tuned on.

        On test functions (nothing is written but a cache of tunings), or with `on` on trainings, as a study. `algos`
        and `functions` are `"sgd,adam"` or lists, `on` presets, YAML files or mappings. UsageError for options of the
        other kind of race.
        """
        return self._ask("race", {"algos": algos, "functions": functions, **options})

    def remedy(self, config: Config | None = None, **options: Any) -> Any:
        """Try every remedy of the vanishing-gradient study on a network, each as a minimal change of its config."""
        return self._ask("remedy", {"config": config, **options})

    def _ask(self, name: str, options: dict[str, Any]) -> Any:
        """The answer of a verb to what was given; None is as if it was not."""
        from importlib import import_module

        from optilab.verbs.verb import Place, argv

        progress = options.pop("progress", None)
        verb = import_module(f"optilab.verbs.{name}").VERB
        request = verb.request({key: value for key, value in options.items() if value is not None})
        return verb.run(request, Place(self.folder, argv(name, request), not _shown(progress), library=True))

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
        chosen = [names] if isinstance(names, str) or hasattr(names, "path") else list(names)
        places = [one if isinstance(one, str) else str(one.path) for one in chosen]
        options = {"at": at, "target": target, "until": until, "baseline": baseline, "over": over}
        found: LabComparison = self._ask(
            "compare", {"names": places, "metric": metric, "by": listed(by), **options}
        )
        return found

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
        options = {"function": function, "epochs": epochs, "set": set}
        found: LabVerification = self._ask("verify", {"candidate": candidate, "against": against, **options})
        return found

    def load(self, name: str) -> "LabRun | LabStudy":
        """A run or study by name, path or `latest`. RunError, with the nearest names, where there is none."""
        from optilab import runs
        from optilab.verbs.results import entry

        return entry(runs.read_entry(runs.locate(self.folder, name)))

    def runs(self) -> "list[LabRun | LabStudy]":
        """Every readable run and study of the folder, oldest first."""
        from optilab import runs
        from optilab.verbs.results import entry

        return [entry(found) for found in runs.entries(self.folder)[0]]


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
