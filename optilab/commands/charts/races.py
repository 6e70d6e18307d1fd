"""Races as charts: performance profiles, and what to expect after more and more tuning."""

from collections.abc import Mapping, Sequence
from textwrap import wrap

import numpy as np

from optilab.errors import DataError
from optilab.optimize.objective import Floats
from optilab.runs.metrics import METRICS
from optilab.show.chart import Band, Chart, Mark, Panel, PanelRow, Polyline, Scale, Threshold
from optilab.study.curves import history
from optilab.study.function_race import Race, profile, standings
from optilab.study.network_race import NetworkResult, RaceResult
from optilab.words import percent

FACTORS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
COSTS = (*FACTORS, 500.0, 1000.0)
POINTS = 150
"""For a performance profile."""
SLOWEST = 20.0
"""Multiple of the fastest rule's epochs at which a profile of trainings ends."""


def race_chart(result: Race) -> Chart:
    """Left the performance profile, right the expected cost after k settings; the series are in the table's order."""
    rules = [row.rule for row in standings(result)]
    order = [result.rules.index(rule) for rule in rules]
    budget = result.conditions.budget
    factors = np.geomspace(1, max(2, result.conditions.gradients), POINTS)
    marked = tuple(np.unique(np.geomspace(1, budget, 8).astype(int) - 1).tolist())
    solved, tuning = profile(result.costs, factors)[order], result.best_of[order]
    low, high = float(tuning.min()), float(tuning.max())
    costs = tuple(cost for cost in COSTS if low / 1.5 < cost < high * 1.5)
    speed = Panel(
        tuple(
            Polyline(factors, row, i, label=rules[i], width=1.9, dash="series", marker=5, every=15, step=True)
            for i, row in enumerate(solved)
        ),
        _multiples("times the lowest cost on the problem", factors[-1]),
        Scale("fraction of the problems solved", -0.02, 1.02, unit="fraction"),
        "performance profile: speed on each problem",
        "performance profile: fraction of the problems solved",
    )
    expected = Panel(
        tuple(
            Polyline(np.arange(1, budget + 1), row, i, width=1.9, dash="series", marker=5, every=marked)
            for i, row in enumerate(tuning)
        ),
        _multiples("settings tried", max(2, budget), 0.95),
        Scale("expected cost (gradients, geometric mean)", low, high, log=True, margin=0.05, ticks=costs),
        "tuning: the right ends are the table's costs",
        "expected cost: gradients, geometric mean",
    )
    caption = [*wrap(", ".join(result.functions), 150, break_on_hyphens=False), str(result.conditions)]
    return Chart(
        (PanelRow((speed, expected)),), tuple(rules), "\n".join(caption), height=5.6, title_size=9, columns=5
    )


def network_race_chart(result: RaceResult) -> Chart:
    """A row per network: validation accuracy with its 95% band, expected best of k settings, epochs to the target.

    DataError where no network has a result.
    """
    networks = [network for network in result.networks if network.candidates]
    if not networks:
        raise DataError("nothing to draw: no optimizer has a judged training")
    rules = result.rules
    first = {candidate.rule: network.problem for network in networks[::-1] for candidate in network.candidates}
    rows = tuple(
        PanelRow((_judged(network, rules), _tuning(network, rules, first), _profile(network, rules)))
        for network in networks
    )
    return Chart(rows, rules, width=13, height=3.6 * len(networks) + 0.6)


def _multiples(label: str, highest: float, lowest: float = 1.0) -> Scale:
    """A logarithmic axis from 1 on, with plain numbers."""
    return Scale(label, lowest, highest, log=True, ticks=tuple(tick for tick in FACTORS if tick <= highest))


def _judged(network: NetworkResult, rules: Sequence[str]) -> Panel:
    marks: list[Mark] = []
    for candidate in network.candidates:
        found = history(candidate.rule, candidate.runs)
        if found is None:
            continue
        curve, number = found.curves["val_acc"], rules.index(candidate.rule)
        epochs = np.arange(1, len(curve.mean) + 1)
        marks.append(Polyline(epochs, curve.mean, number, width=1.9, dash="series"))
        if curve.interval is not None:
            marks.append(Band(epochs, *curve.interval, number, alpha=0.18))
    marks.append(Threshold(network.target))
    title = f"{network.problem}: judged, mean and 95%"
    return Panel(tuple(marks), Scale("epoch"), Scale(METRICS["val_acc"].title, unit="fraction"), title)


def _tuning(network: NetworkResult, rules: Sequence[str], first: Mapping[str, str]) -> Panel:
    """What to expect of the best of k settings; a rule has its label in the `first` of its networks."""
    lines = tuple(
        Polyline(
            np.arange(1, len(candidate.best_of) + 1), candidate.best_of, rules.index(candidate.rule), width=1.9,
            dash="series", marker=4, every=1, label=candidate.rule if first[candidate.rule] == network.problem else "",
        )
        for candidate in network.candidates
    )  # fmt: skip
    budget = max(2, *(len(candidate.best_of) for candidate in network.candidates))
    x = _multiples("settings tried", budget, 0.95)
    values = [value for candidate in network.candidates for value in candidate.best_of]
    y = Scale("expected best of them", min(values), max(values), unit="fraction", margin=0.05)
    short = "validation accuracy to expect of the best setting tried"
    return Panel(lines, x, y, "tuning (Dodge et al. 2019)", short)


def _profile(network: NetworkResult, rules: Sequence[str]) -> Panel:
    """Fraction of the seeds on which a rule reaches the target within a multiple of the fastest rule's epochs."""
    factors: Floats = np.geomspace(1, SLOWEST, POINTS)
    lines = []
    if np.isfinite(times := network.times).any():
        for candidate, reached in zip(network.candidates, profile(times, factors), strict=True):
            number = rules.index(candidate.rule)
            lines.append(Polyline(factors, reached, number, width=1.9, dash="series", step=True))
    return Panel(
        tuple(lines),
        _multiples("times the fastest optimizer's epochs", SLOWEST),
        Scale("fraction of the seeds", -0.02, 1.02, unit="fraction"),
        f"to {percent(network.target)}: performance profile",
        f"fraction of the seeds that reach {percent(network.target)}",
    )
