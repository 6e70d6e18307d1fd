"""Charts: of a race performance profiles and the cost after more and more tuning, of a benchmark curves."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from optilab.errors import DataError
from optilab.judge.curves import history
from optilab.optimize.objective import Floats
from optilab.runs.metrics import METRICS
from optilab.show.chart import Band, Chart, Mark, Panel, PanelRow, Polyline, Scale
from optilab.study.benchmark import BenchmarkResult, BenchmarkTable
from optilab.study.function_race import Race, profile

FACTORS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
COSTS = (*FACTORS, 500.0, 1000.0)
POINTS = 150
"""Points of a curve of a performance profile."""
PANELS_PER_ROW = 3
"""Networks next to each other."""


def race_chart(result: Race) -> Chart:
    """Left the performance profile, right the expected cost after k settings; the series are in the table's order."""
    rules = [row.key for row in result.judgment.ranked]
    order = [result.rules.index(rule) for rule in rules]
    budget = result.conditions.budget
    factors = np.geomspace(1, max(2, result.conditions.gradients), POINTS)
    solved, tuning = profile(result.costs, factors)[order], result.best_of[order]
    low, high = float(tuning.min()), float(tuning.max())
    costs = tuple(cost for cost in COSTS if low / 1.5 < cost < high * 1.5)
    speed = Panel(
        _series(factors, solved, step=True),
        _multiples("times the lowest cost on the problem", factors[-1]),
        Scale("fraction of the problems solved", -0.02, 1.02, unit="fraction"),
        "performance profile: speed on each problem",
    )
    expected = Panel(
        _series(np.arange(1, budget + 1), tuning),
        _multiples("settings tried", max(2, budget), 0.95),
        Scale("expected cost (gradients, geometric mean)", low, high, log=True, margin=0.05, ticks=costs),
        "tuning: the right ends are the table's costs",
    )
    title = f"{', '.join(result.functions)}; {result.conditions.sizes}"
    return Chart((PanelRow((speed, expected), 4.6),), tuple(rules), title)


def _series(x: Any, rows: Floats, step: bool = False) -> tuple[Polyline, ...]:
    """A line for each row."""
    lines = enumerate(rows)
    return tuple(Polyline(x, row, i, width=1.9, dash="series", marker=5, step=step) for i, row in lines)


def benchmark_chart(result: BenchmarkResult) -> Chart:
    """The evaluated trainings of each network: validation accuracy with its 95% band. DataError if there are none."""
    networks = [table for table in result.networks if table.judgment]
    if not networks:
        raise DataError("nothing to draw: no optimizer has an evaluated training")
    panels, title = [_judged(table, result.rules) for table in networks], ""
    if len(panels) == 1:
        title, panels = panels[0].title, [replace(panels[0], title="")]
    rows = tuple(
        PanelRow(tuple(panels[i : i + PANELS_PER_ROW]), 3.6) for i in range(0, len(panels), PANELS_PER_ROW)
    )
    return Chart(rows, tuple(result.rules), title)


def _multiples(label: str, highest: float, lowest: float = 1.0) -> Scale:
    """A logarithmic axis from 1 on, with plain numbers."""
    return Scale(label, lowest, highest, log=True, ticks=tuple(tick for tick in FACTORS if tick <= highest))


def _judged(table: BenchmarkTable, rules: Sequence[str]) -> Panel:
    """The curves of a network."""
    marks, longest = list[Mark](), 1
    for rule, raced in table.raced.items():
        judged = history(rule, raced.runs, raced.repeat_of) if raced.runs else None
        if judged is None:
            continue
        curve, number = judged.curves["val_acc"], rules.index(rule)
        epochs, longest = np.arange(1, len(curve.mean) + 1), max(longest, len(curve.mean))
        marks.append(Polyline(epochs, curve.mean, number, width=1.9, dash="series"))
        if curve.interval is not None:
            lower, upper = np.clip(curve.interval, 0, 1)
            marks.append(Band(epochs, lower, upper, number, alpha=0.18))
    y = Scale(METRICS["val_acc"].title, unit="fraction")
    x = Scale("epoch", 1, longest, unit="whole")
    return Panel(tuple(marks), x, y, f"{table.network}: evaluated, mean and 95%")
