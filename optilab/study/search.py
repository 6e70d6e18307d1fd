"""A search: points that a Tree-structured Parzen Estimator (Bergstra et al. 2011) chooses, by Optuna's ask and tell.

A point depends on the seed, on its number, and on the outcomes of the generations before its own. Nothing of Optuna is
kept: a study that goes on asks for its points again, and has them in its plan where another version of Optuna would
choose others.
"""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from optilab.config.axes import Axis, Choices
from optilab.config.tree import flow
from optilab.errors import UsageError
from optilab.runs import Row
from optilab.study.measure import Measure
from optilab.study.plan import GENERATION
from optilab.study.trials import Outcome, shown_setting

if TYPE_CHECKING:
    import optuna


def require_optuna() -> None:
    """UsageError without the extra."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UsageError("Optuna is not installed: pip install 'optilab[optuna]'", "--search") from None


class Search:
    """The points of a search, and what came out of them.

    `planned`: the lines of plan.jsonl, in its order. `dry`: other points than these are drawn at random, which is fast.
    """

    def __init__(
        self,
        axes: Sequence[Axis | Choices],
        seed: int,
        metric: str,
        planned: Iterable[Row] = (),
        dry: bool = False,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._axes, self._seed, self._metric, self._dry = axes, seed, Measure(metric), dry
        keys = [axis.key for axis in axes]
        self._planned = dict.fromkeys(tuple(line[key] for key in keys) for line in planned if {*keys} <= {*line})
        self._unused = dict(self._planned)
        self._trials: list[optuna.trial.FrozenTrial] = []

    def ask(self, number: int) -> dict[str, Any]:
        """The point of that number, which is the next one: dotted key -> value."""
        trial = self._suggested(number)
        point = self._point(trial.params)
        line = tuple(map(shown_setting, point.values()))
        if line not in self._planned and self._unused:  # another version of Optuna, or none was asked
            line = next(iter(self._unused))
            trial.params = dict(zip(point, line, strict=True))
            point = self._point(trial.params)
        self._unused.pop(line, None)
        self._trials.append(trial)
        return point

    def tell(self, number: int, outcomes: Sequence[Outcome]) -> None:
        """The mean of the metric over the seeds. A point of which a seed diverged is worse than all others."""
        from optuna.trial import TrialState, create_trial

        statuses, value, state = {outcome.status for outcome in outcomes}, None, TrialState.COMPLETE
        if statuses & {"failed", "diverged"}:
            state = TrialState.FAIL if "failed" in statuses else TrialState.PRUNED
        else:
            value = fmean(outcome.row[self._metric.metric] for outcome in outcomes)
        asked = self._trials[number]
        self._trials[number] = create_trial(
            state=state,
            value=value,
            params=asked.params,
            distributions=asked.distributions,
            system_attrs=asked.system_attrs,
        )

    def _suggested(self, number: int) -> "optuna.trial.FrozenTrial":
        """The point that Optuna chooses, by a sampler of its own: the state of one is kept nowhere."""
        import numpy as np
        import optuna

        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed)
        if not self._dry:
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=GENERATION, multivariate=True, constant_liar=True
            )
        kinds = optuna.study.StudyDirection
        direction = kinds.MAXIMIZE if self._metric.higher else kinds.MINIMIZE
        study = optuna.create_study(direction=direction, sampler=sampler)
        study.add_trials(self._trials)
        study.ask({axis.key: _distribution(axis) for axis in self._axes})
        return study.trials[number]

    def _point(self, params: dict[str, Any]) -> dict[str, Any]:
        return {axis.key: _setting(axis, params[axis.key]) for axis in self._axes}


def _distribution(axis: Axis | Choices) -> "optuna.distributions.BaseDistribution":
    from optuna import distributions

    if isinstance(axis, Choices):
        return distributions.CategoricalDistribution([flow(value) for value in axis.values])
    if axis.whole:
        return distributions.IntDistribution(round(axis.low), round(axis.high), log=axis.log)
    return distributions.FloatDistribution(axis.low, axis.high, log=axis.log)


def _setting(axis: Axis | Choices, suggestion: Any) -> Any:
    if isinstance(axis, Choices):
        return next(value for value in axis.values if suggestion in (flow(value), value))
    return axis.setting(suggestion)
