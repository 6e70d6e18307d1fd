"""Studies as a command or a notebook runs them: with progress, notes and downloads on the console."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optilab.config.training import DataConfig
    from optilab.console.study import Progress
    from optilab.data.load import Dataset
    from optilab.study.execution import StudyResult
    from optilab.study.plan import StudyPlan
    from optilab.study.trials import Cost


class ConsoleView:
    """The view of a study on the console; `silent`: only errors and notes."""

    def __init__(self, silent: bool = False) -> None:
        self._silent = silent

    def dataset(self, config: "DataConfig") -> "Dataset":
        return dataset_of(config)

    def planned(self, shape: str, cost: "Callable[[], Cost]") -> None:
        from optilab.console import study as views
        from optilab.show import terminal

        if not self._silent:
            terminal.note(views.plan(shape, cost()))

    def progress(self, trials: int, epochs: int, metric: str) -> "Progress":
        from optilab.console import study as views

        return views.Progress(trials, epochs, self._silent, metric)

    def note(self, message: str) -> None:
        from optilab.show import terminal

        terminal.note(message)


def run(
    plan: "StudyPlan",
    folder: Path,
    name: str,
    argv: Sequence[str],
    silent: bool,
    jobs: int | None = None,
    cluster: str | None = None,
    fail_fast: bool = False,
) -> "StudyResult":
    """Run the study `name` in `folder`, or what is missing of it; `argv` is the command, for the manifest."""
    from optilab.study import execution

    how = execution.Running(jobs, cluster, fail_fast)
    return execution.run(plan, folder, name, argv, ConsoleView(silent), how)


def dry_run(plan: "StudyPlan", path: Path, jobs: int | None = None) -> "Cost":
    """What the study at `path`, or what is missing of it, would cost; nothing is written."""
    from optilab.study import execution

    return execution.dry_run(plan, path, ConsoleView(), execution.Running(jobs))


def dataset_of(config: "DataConfig") -> "Dataset":
    """The verified dataset of a config; fetched first, with a progress bar, if this machine lacks it."""
    from optilab.data import fetch
    from optilab.show.progress import Transfer

    with Transfer() as transfer:
        return fetch.ensure(config.dataset, Path(config.dir) if config.dir else None, transfer.report)
