"""A race as two curves per rule: the performance profile, and the cost after more and more tuning."""

from textwrap import wrap
from typing import Any

import numpy as np

from optilab.figures.style import look, new, series
from optilab.study.race import Race, profile, standings


def race(result: Race, dark: bool = False) -> Any:
    """Left the performance profile, right the expected cost after k settings; the legend is in the table's order."""
    order = [result.rules.index(row.rule) for row in standings(result)]
    conditions = result.conditions
    factors = np.geomspace(1, max(2, conditions.gradients), 400)
    marked = np.unique(np.geomspace(1, conditions.budget, 8).astype(int) - 1).tolist()
    shares, tuning = profile(result.costs, factors), result.best_of
    with look(dark):
        figure, (left, right) = new(11, 5.6, 2)
        for i, style in zip(order, series(len(order), dark), strict=True):
            line = {**style, "linewidth": 1.9, "markersize": 5}
            left.step(factors, shares[i], where="post", label=result.rules[i], markevery=40, **line)
            right.plot(np.arange(1, conditions.budget + 1), tuning[i], markevery=marked, **line)
        left.set(xscale="log", xlim=(1, factors[-1]), ylim=(-0.02, 1.02))
        left.set(xlabel="cost, as a multiple of the fastest rule's on the same problem")
        left.set(ylabel="share of the problems solved")
        left.set_title("performance profile: speed on each problem")
        ticks(left, factors[-1])
        right.set(xlabel="settings tried", ylabel="expected cost (gradients, geometric mean)")
        right.set(xscale="log", yscale="log", xlim=(0.95, max(2, conditions.budget)))
        right.set_title("tuning: the right ends are the table's costs")
        ticks(right, max(2, conditions.budget))
        costs = [
            t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tuning.min() / 1.5 < t < tuning.max() * 1.5
        ]
        right.set_yticks(costs, [str(t) for t in costs])
        for axes in (left, right):
            axes.minorticks_off()
            axes.grid(alpha=0.25, linewidth=0.5)
        figure.suptitle(_caption(result), fontsize=9, x=0.01, ha="left")
        figure.legend(loc="outside lower center", ncols=min(len(order), 5))
    return figure


def ticks(axes: Any, highest: float) -> None:
    """Ticks of a logarithmic axis from 1 to `highest`, as plain numbers."""
    places = [t for t in (1, 2, 5, 10, 20, 50, 100, 200) if t <= highest]
    axes.set_xticks(places, [str(t) for t in places])


def _caption(result: Race) -> str:
    """Functions and conditions, in lines that fit the picture."""
    return "\n".join([*wrap(", ".join(result.functions), 150, break_on_hyphens=False), str(result.conditions)])
