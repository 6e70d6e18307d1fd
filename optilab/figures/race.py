"""A race as two curves per rule: the performance profile, and what more tuning brings."""

from typing import Any

import numpy as np

from optilab.figures.style import look, new, series
from optilab.studies.race import Race, profile, standings


def race(found: Race, dark: bool = False) -> Any:
    """Left the performance profile, right the expected best score after k settings; the legend is by rank."""
    order = [found.algos.index(standing.algo) for standing in standings(found)]
    factors = np.geomspace(1, max(2, found.rules.steps), 400)
    marked = np.unique(np.geomspace(1, found.rules.budget, 8).astype(int) - 1).tolist()
    shares, tuning = profile(found.costs, factors), found.best_of
    with look(dark):
        figure, (left, right) = new(11, 5, 2)
        for i, style in zip(order, series(len(order), dark), strict=True):
            line = {**style, "linewidth": 1.9, "markersize": 5}
            left.step(factors, shares[i], where="post", label=found.algos[i], markevery=40, **line)
            right.plot(np.arange(1, found.rules.budget + 1), tuning[i], markevery=marked, **line)
        left.set(xscale="log", xlim=(1, factors[-1]), ylim=(0, 1.02))
        left.set(xlabel="steps, as a multiple of the fastest algorithm's", ylabel="share of the problems solved")
        left.set_title("performance profile")
        ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200) if t <= factors[-1]]
        left.set_xticks(ticks, [str(t) for t in ticks], minor=False)
        left.minorticks_off()
        right.set(xlabel="settings tried", ylabel="expected best mean cost / steps allowed")
        right.set(xscale="log", xlim=(1, max(2, found.rules.budget)))
        ticks = [t for t in (1, 2, 5, 10, 20, 50, 100) if t <= found.rules.budget]
        right.set_xticks(ticks, [str(t) for t in ticks])
        right.minorticks_off()
        right.set_title("what tuning brings")
        for axes in (left, right):
            axes.grid(alpha=0.25, linewidth=0.5)
        figure.legend(loc="outside lower center", ncols=min(len(order), 5))
    return figure
