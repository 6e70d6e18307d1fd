"""A search: points that a Tree-structured Parzen Estimator (Bergstra et al. 2011) chooses, by Optuna's ask and tell.

Points are asked for in generations of a fixed size, and a generation is told when all of it has ended: the same seed
gives the same study with any number of jobs. Optuna's journal in the study's folder has every point from the moment
that it is asked for, so a study that was killed goes on with the same points; `optuna-dashboard` opens it.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from optilab.config.yaml import flow
from optilab.errors import UsageError
from optilab.study.axes import Axis, Choices
from optilab.study.outcomes import Measure
from optilab.study.sweep import Sweep, of_point
from optilab.study.trials import Execution, Outcome, Trial

if TYPE_CHECKING:
    import optuna

GENERATION = 8
"""Points that are chosen without the outcomes of each other; the first ones are drawn at random."""
JOURNAL = "optuna.log"


def require_optuna() -> None:
    """UsageError without the extra."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UsageError("Optuna is not installed: pip install 'optilab[optuna]'", "--search") from None


def search(execution: Execution, plan: Sweep) -> list[Outcome]:
    """The outcomes of all trials, point by point: `samples` of the box of the axes, each with all seeds."""
    journal = _Journal(execution.study.path, plan)
    trials, outcomes = dict[str, Trial](), dict[str, Outcome]()
    for first in range(0, plan.asked.samples or 0, GENERATION):
        numbers = range(first, min(first + GENERATION, plan.asked.samples or 0))
        points = [of_point(plan.base, journal.ask(number), plan.asked.seeds) for number in numbers]
        generation = {trial.name: trial for point in points for trial in point}  # a point may be asked for twice
        trials |= generation
        outcomes |= {outcome.trial.name: outcome for outcome in execution.run([*generation.values()])}
        if execution.ending:
            break
        for number, point in zip(numbers, points, strict=True):
            journal.tell(number, [outcomes[trial.name] for trial in point])
    execution.tabulate([*trials.values()], outcomes)
    return [outcomes[name] for name in trials if name in outcomes]


class _Journal:
    """Optuna's study, in a file."""

    def __init__(self, folder: Path, plan: Sweep) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        file = folder / JOURNAL
        _repair(file)
        self._axes, self._seed, self._metric = plan.axes, plan.base.seed, Measure(plan.asked.metric)
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(file)))
        kinds = optuna.study.StudyDirection
        direction = kinds.MAXIMIZE if self._metric.higher else kinds.MINIMIZE
        self._study = optuna.create_study(
            storage=storage, study_name=folder.name, direction=direction, load_if_exists=True
        )

    def ask(self, number: int) -> dict[str, Any]:
        """The point of that number: dotted key -> value. It depends on the seed and on what was told before."""
        import optuna

        # A sampler of its own for each point: its state is not in the journal.
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=GENERATION, multivariate=True, constant_liar=True
        )
        before = self._study.get_trials(deepcopy=False)
        if number < len(before):
            if before[number].state.is_finished():
                return {axis.key: _setting(axis, before[number].params[axis.key]) for axis in self._axes}
            trial = optuna.trial.Trial(self._study, before[number]._trial_id)
        else:
            trial = self._study.ask()
        return {axis.key: _setting(axis, _suggestion(trial, axis)) for axis in self._axes}

    def tell(self, number: int, outcomes: Sequence[Outcome]) -> None:
        """The mean of the metric over the seeds. A point of which a seed diverged is worse than all others."""
        from optuna.trial import TrialState

        if self._study.get_trials(deepcopy=False)[number].state.is_finished():
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


def _repair(file: Path) -> None:
    """Drop a line that a kill has torn, and the lock that it left: the study's own lock admits one writer."""
    Path(f"{file}.lock").unlink(missing_ok=True)
    if file.exists():
        whole = file.read_bytes()
        with file.open("r+b") as journal:
            journal.truncate(whole.rfind(b"\n") + 1)
