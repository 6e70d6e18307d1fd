"""Successive halving (Jamieson & Talwalkar 2016): all points to the first rung, the best 1/eta of them further.

The paper halves; eta is that of Hyperband (Li et al. 2018).

A promoted trial resumes from its checkpoint, so its metrics are those of a trial that ran through. The seeds of a
point go on together; points are ranked by the mean of a metric over their seeds at the rung's epoch, with diverged
seeds as the worst.
"""

import math
from collections.abc import Sequence
from statistics import fmean

from optilab import runs
from optilab.study.sweep import groups
from optilab.study.trials import Execution, Outcome, Trial


def rungs(points: int, epochs: int, eta: int) -> list[tuple[int, int]]:
    """(points, epochs) of each rung, the last one with all `epochs`; no rung is shorter than an epoch."""
    count = min(int(math.log(points, eta) + 1e-9), int(math.log(epochs, eta) + 1e-9))
    return [(max(1, points // eta**rung), math.ceil(epochs / eta ** (count - rung))) for rung in range(count + 1)]


def total(points: int, seeds: int, epochs: int, eta: int) -> int:
    """Epochs of all trials together."""
    ladder, before, found = rungs(points, epochs, eta), 0, 0
    for alive, until in ladder:
        found, before = found + alive * seeds * (until - before), until
    return found


def halve(execution: Execution, trials: Sequence[Trial], eta: int, metric: str) -> list[Outcome]:
    """The outcomes of all trials, in order: `done`, or `stopped` at the rung that a point did not survive."""
    alive, outcomes = groups(trials), dict[str, Outcome]()
    ladder = rungs(len(alive), trials[0].config.epochs, eta)
    for (_, epochs), following in zip(ladder, [*ladder[1:], None], strict=True):
        ended = execution.run([trial for group in alive for trial in group], epochs)
        outcomes |= {outcome.trial.name: outcome for outcome in ended}
        if following is None or execution.ending:
            break
        scores = [_score(execution, group, outcomes, epochs, metric) for group in alive]
        best = sorted(range(len(alive)), key=lambda number: (-scores[number], number))[: following[0]]
        alive = [alive[number] for number in sorted(best)]
    execution.tabulate(trials, outcomes)
    return [outcomes[trial.name] for trial in trials if trial.name in outcomes]


def _score(
    execution: Execution, group: Sequence[Trial], outcomes: dict[str, Outcome], epochs: int, metric: str
) -> float:
    """Mean of the metric over the seeds at an epoch, higher for better; a seed without that epoch is the worst."""
    values = []
    for trial in group:
        if outcomes[trial.name].status in ("failed", "diverged"):
            return -math.inf
        row = runs.read(execution.study.path / trial.name).rows()[epochs - 1 :][:1]
        values.append(row[0][metric] if row else outcomes[trial.name].row[metric])  # where it stopped early
    return fmean(values) * (-1 if metric.endswith("loss") else 1)
