"""A search: points that a Tree-structured Parzen Estimator (Bergstra et al. 2011) chooses, by Optuna's ask and tell.

A point depends on the seed, on its number, and on the outcomes of the generations before its own. Nothing of Optuna is
kept: a study that goes on asks for its points again, and has them in its plan where another version of Optuna would
choose others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from statistics import fmean
from typing import TYPE_CHECKING, Any

from optilab.config.axes import Axis, Choices
from optilab.errors import UsageError
from optilab.proposals import flow
from optilab.runs import Row
from optilab.runs.metrics import metric_of
from optilab.study.plan import Batch, Plan
from optilab.study.trials import Trial, recorded_setting

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

Line = tuple[Any, ...]
"""The settings of a point, in the order of the axes."""
GENERATION = 8
"""Points that are chosen without the outcomes of each other; the first ones are drawn at random."""


def require_optuna() -> None:
    """UsageError without the extra."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UsageError("Optuna is not installed: pip install optuna (the extra optuna)", "--search") from None


def tpe(
    axes: Sequence[Axis | Choices],
    samples: int,
    seed: int,
    metric: str,
    trials_of: Callable[[Mapping[str, Any]], Sequence[Trial]],
    planned: Iterable[Row] = (),
    dry: bool = False,
) -> Plan:
    """The trials of `samples` points, each a mapping of dotted keys to values.

    Points are asked for in generations of a fixed size, and Optuna learns the outcomes of a generation when all of it
    has ended: the same seed gives the same study with any number of jobs. `planned`: the settings in plan.jsonl, in its
    order, of which a killed study may lack some of its last generation. `dry`: other points than these are drawn at
    random, which is fast.
    """
    keys, suggestions = [axis.key for axis in axes], list["FrozenTrial"]()
    unused = dict.fromkeys(tuple(line[key] for key in keys) for line in planned if {*keys} <= {*line})
    used = dict[Line, None]()
    suggest = partial(_generation, axes, seed=seed, metric=metric, dry=dry)
    for first in range(0, samples, GENERATION):
        count = min(samples - first, GENERATION)
        chosen = suggest(suggestions, count, used, {})
        lines = dict.fromkeys(_line(axes, suggestion) for suggestion in chosen)
        new = [line for line in lines if line not in used]
        if not {*islice(unused, len(new))}.issubset(new):  # another version of Optuna chose them
            chosen = suggest(suggestions, count, used, unused)
        used |= dict.fromkeys(_line(axes, suggestion) for suggestion in chosen)
        unused = {line: None for line in unused if line not in used}
        suggestions += chosen
        points = [trials_of(_point(axes, suggestion.params)) for suggestion in chosen]
        trials = {trial.name: trial for point in points for trial in point}  # a point may come twice
        outcomes = yield Batch([*trials.values()])
        for number, point_trials in enumerate(points, first):
            suggestions[number] = _reported(
                suggestions[number], [outcomes[trial.name].row for trial in point_trials], metric
            )


def _generation(
    axes: Sequence[Axis | Choices],
    before: "Sequence[FrozenTrial]",
    count: int,
    used: Mapping[Line, None],
    planned: Mapping[Line, None],
    *,
    seed: int,
    metric: str,
    dry: bool,
) -> "list[FrozenTrial]":
    """The next `count` points. Lines that are `planned`, in their order, take the place of points that are neither
    planned nor `used` before."""
    suggestions, unused = list["FrozenTrial"](), dict(planned)
    for _ in range(count):
        suggestion = _suggested(axes, [*before, *suggestions], seed, metric, dry)
        line = _line(axes, suggestion)
        if unused and line not in used and line not in planned:
            line = next(iter(unused))
            values = zip(axes, line, strict=True)
            suggestion.params = {axis.key: _suggestion(axis, value) for axis, value in values}
        unused.pop(line, None)
        suggestions.append(suggestion)
    return suggestions


def _line(axes: Sequence[Axis | Choices], suggestion: "FrozenTrial") -> Line:
    """The settings of a point as its line of plan.jsonl has them."""
    return tuple(map(recorded_setting, _point(axes, suggestion.params).values()))


def _suggested(
    axes: Sequence[Axis | Choices], suggestions: "Sequence[FrozenTrial]", seed: int, metric: str, dry: bool
) -> "FrozenTrial":
    """The next point that Optuna chooses, by a new sampler: the state of one is kept nowhere."""
    import numpy as np
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = int(np.random.SeedSequence([seed, len(suggestions)]).generate_state(1)[0])
    sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed)
    if not dry:
        sampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=GENERATION, multivariate=True, constant_liar=True
        )
    kinds = optuna.study.StudyDirection
    direction = kinds.MAXIMIZE if metric_of(metric).higher_is_better else kinds.MINIMIZE
    study = optuna.create_study(direction=direction, sampler=sampler)
    study.add_trials(suggestions)
    study.ask({axis.key: _distribution(axis) for axis in axes})
    return study.trials[-1]


def _reported(suggestion: "FrozenTrial", rows: Sequence[Row], metric: str) -> "FrozenTrial":
    """The mean of the metric over the seeds. A point of which a seed diverged is worse than all others."""
    from optuna.trial import TrialState, create_trial

    statuses = {row["status"] for row in rows}
    state = TrialState.FAIL if "failed" in statuses else TrialState.PRUNED
    state = state if statuses & {"failed", "diverged"} else TrialState.COMPLETE
    return create_trial(
        state=state,
        value=fmean(row[metric] for row in rows) if state == TrialState.COMPLETE else None,
        params=suggestion.params,
        distributions=suggestion.distributions,
        system_attrs=suggestion.system_attrs,
    )


def _distribution(axis: Axis | Choices) -> "BaseDistribution":
    from optuna import distributions

    if isinstance(axis, Choices):
        return distributions.CategoricalDistribution([flow(value) for value in axis.values])
    if axis.whole:
        return distributions.IntDistribution(round(axis.low), round(axis.high), log=axis.log)
    return distributions.FloatDistribution(axis.low, axis.high, log=axis.log)


def _point(axes: Sequence[Axis | Choices], params: Mapping[str, Any]) -> dict[str, Any]:
    return {axis.key: _setting(axis, params[axis.key]) for axis in axes}


def _setting(axis: Axis | Choices, suggestion: Any) -> Any:
    if isinstance(axis, Choices):
        return next(value for value in axis.values if suggestion == flow(value))
    return axis.setting(suggestion)


def _suggestion(axis: Axis | Choices, planned: Any) -> Any:
    """Optuna's value for a value of a plan: a listed one by its text."""
    return planned if isinstance(axis, Axis) or isinstance(planned, str) else flow(planned)
