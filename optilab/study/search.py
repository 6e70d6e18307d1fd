"""A search: points that a Tree-structured Parzen Estimator (Bergstra et al. 2011) chooses, by Optuna's ask and tell.

Optuna's journal in the study's directory has every point from the moment that it is asked for, each in one line, so a
study that was killed goes on with the same points; `optuna-dashboard` opens it.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from optilab.config.axes import Axis, Choices
from optilab.config.tree import flow
from optilab.errors import CheckpointError, UsageError
from optilab.study.groups import Measure
from optilab.study.plan import GENERATION
from optilab.study.trials import Outcome

if TYPE_CHECKING:
    import optuna

JOURNAL = "optuna.log"


def require_optuna() -> None:
    """UsageError without the extra."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UsageError("Optuna is not installed: pip install 'optilab[optuna]'", "--search") from None


class Journal:
    """Optuna's study, in a file of the study's directory; with `dry`, points that the file lacks are drawn at random
    and nothing is written.
    """

    def __init__(
        self, folder: Path, axes: Sequence[Axis | Choices], seed: int, metric: str, dry: bool = False
    ) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        file = folder / JOURNAL
        if not dry:
            _repair(file)
        self._axes, self._seed, self._metric, self._dry = axes, seed, Measure(metric), dry
        kinds = optuna.study.StudyDirection
        direction = kinds.MAXIMIZE if self._metric.higher else kinds.MINIMIZE
        self._file = file
        try:
            backend = _unwritten(file) if dry else JournalFileBackend(str(file))
            self._study = optuna.create_study(
                storage=optuna.storages.JournalStorage(backend),
                study_name=folder.name,
                direction=direction,
                load_if_exists=True,
            )
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise CheckpointError(f"{file} is damaged ({reason})") from None

    def ask(self, number: int) -> dict[str, Any]:
        """The point of that number: dotted key -> value. It depends on the seed and on what was told before."""
        import numpy as np
        import optuna

        before = self._study.get_trials(deepcopy=False)
        if number < len(before):
            params = before[number].params
            if lacking := [axis.key for axis in self._axes if axis.key not in params]:
                raise CheckpointError(
                    f"{self._file} is damaged: point {number + 1} lacks {', '.join(lacking)}; restore or delete it: "
                    "the points are chosen again"
                )
            return {axis.key: _setting(axis, params[axis.key]) for axis in self._axes}
        # A sampler of its own for each point, because its state is not in the journal; and a study in memory, because
        # a kill between two axes of a point would leave half of it in the journal, which draws other numbers later.
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        draft = optuna.create_study(
            direction=self._study.direction,
            sampler=optuna.samplers.RandomSampler(seed)
            if self._dry
            else optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=GENERATION, multivariate=True, constant_liar=True
            ),
        )
        draft.add_trials(before)
        trial = draft.ask()
        point = {axis.key: _setting(axis, _suggestion(trial, axis)) for axis in self._axes}
        self._study.add_trial(draft.trials[number])
        return point

    def tell(self, number: int, outcomes: Sequence[Outcome]) -> None:
        """The mean of the metric over the seeds. A point of which a seed diverged is worse than all others."""
        from optuna.trial import TrialState

        if self._dry or self._study.get_trials(deepcopy=False)[number].state.is_finished():
            return
        statuses = {outcome.status for outcome in outcomes}
        if "failed" in statuses:
            self._study.tell(number, state=TrialState.FAIL)
        elif "diverged" in statuses:
            self._study.tell(number, state=TrialState.PRUNED)
        else:
            self._study.tell(number, fmean(outcome.row[self._metric.metric] for outcome in outcomes))


def _suggestion(trial: "optuna.trial.Trial", axis: Axis | Choices) -> Any:
    if isinstance(axis, Choices):
        return trial.suggest_categorical(axis.key, [flow(value) for value in axis.values])
    if axis.whole:
        return trial.suggest_int(axis.key, round(axis.low), round(axis.high), log=axis.log)
    return trial.suggest_float(axis.key, axis.low, axis.high, log=axis.log)


def _setting(axis: Axis | Choices, suggestion: Any) -> Any:
    if isinstance(axis, Choices):
        return next(value for value in axis.values if flow(value) == suggestion)
    return axis.setting(suggestion)


def _unwritten(file: Path) -> Any:
    """A backend of Optuna's journal that has the whole lines of a file, and keeps what is added to itself."""
    from optuna.storages.journal import BaseJournalBackend

    class Unwritten(BaseJournalBackend):
        def __init__(self) -> None:
            whole = file.read_bytes() if file.exists() else b""
            self._logs = [json.loads(line) for line in whole[: whole.rfind(b"\n") + 1].splitlines()]

        def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
            return self._logs[log_number_from:]

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            self._logs += logs

    return Unwritten()


def _repair(file: Path) -> None:
    """Drop a line that a kill has torn, and the lock that it left: the study's own lock admits one writer."""
    for lock in file.parent.glob(f"{file.name}.lock*"):
        lock.unlink()
    if file.exists():
        whole = file.read_bytes()
        with file.open("r+b") as journal:
            journal.truncate(whole.rfind(b"\n") + 1)
