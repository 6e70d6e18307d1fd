"""A race on trainings: per network the judged curves and the tuning curves, and one performance profile."""

from typing import Any

import numpy as np

from optilab.errors import DataError
from optilab.figures.race import ticks
from optilab.figures.style import empty, look, series
from optilab.optimize.objective import Floats
from optilab.study.curves import history
from optilab.study.race import profile
from optilab.study.race_results import NetworkResult, RaceResult


def network_race(result: RaceResult, dark: bool = False) -> Any:
    """A row per network: validation accuracy with its 95 % band, expected best of k settings, epochs to the target.

    DataError where no network has a result.
    """
    heats = [heat for heat in result.networks if heat.candidates]
    if not heats:
        raise DataError("nothing to draw: no rule has a judged training")
    rules = list(dict.fromkeys(runner.rule for heat in heats for runner in heat.candidates))
    styles = dict(zip(rules, series(len(rules), dark), strict=True))
    with look(dark):
        figure = empty(13, 3.6 * len(heats) + 0.6)
        axes = figure.subplots(len(heats), 3, squeeze=False)
        for row, heat in zip(axes, heats, strict=True):
            _curves(row[0], heat, styles)
            _tuning(row[1], heat, styles)
            _profile(row[2], heat, styles)
        handles, labels = axes[0][1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(rules), 6))
    return figure


def _curves(axes: Any, heat: NetworkResult, styles: dict[str, Any]) -> None:
    for runner in heat.candidates:
        found = history(runner.rule, runner.runs)
        if found is None:
            continue
        curve, style = found.curves["val_acc"], styles[runner.rule]
        epochs = np.arange(1, len(curve.mean) + 1)
        axes.plot(epochs, curve.mean, color=style["color"], linestyle=style["linestyle"], linewidth=1.9)
        if curve.interval is not None:
            axes.fill_between(epochs, *curve.interval, color=style["color"], alpha=0.18, linewidth=0)
    axes.axhline(heat.target, color="0.5", linewidth=0.8, linestyle=":")
    axes.set(xlabel="epoch", ylabel="validation accuracy")
    axes.set_title(f"{heat.problem}: judged, mean and 95 %")
    axes.grid(alpha=0.25, linewidth=0.5)


def _tuning(axes: Any, heat: NetworkResult, styles: dict[str, Any]) -> None:
    budget = max(len(runner.best_of) for runner in heat.candidates)
    for runner in heat.candidates:
        tried = np.arange(1, len(runner.best_of) + 1)
        axes.plot(tried, runner.best_of, label=runner.rule, linewidth=1.9, markersize=4, **styles[runner.rule])
    axes.set(xlabel="settings tried", ylabel="expected best of them", xscale="log", xlim=(0.95, max(2, budget)))
    ticks(axes, max(2, budget))
    axes.minorticks_off()
    axes.set_title("tuning (Dodge et al. 2019)")
    axes.grid(alpha=0.25, linewidth=0.5)


def _profile(axes: Any, heat: NetworkResult, styles: dict[str, Any]) -> None:
    """Share of the seeds on which a rule reaches the target within a multiple of the fastest rule's epochs."""
    factors: Floats = np.geomspace(1, 20, 200)
    axes.set(xlabel="epochs, as a multiple of the fastest rule's", ylabel="share of the seeds", ylim=(-0.02, 1.02))
    axes.set(xscale="log", xlim=(1, 20))
    ticks(axes, 20)
    axes.minorticks_off()
    axes.set_title(f"to {100 * heat.target:.1f} %: performance profile")
    axes.grid(alpha=0.25, linewidth=0.5)
    if np.isfinite(times := heat.times).any():
        for runner, share in zip(heat.candidates, profile(times, factors), strict=True):
            style = {k: v for k, v in styles[runner.rule].items() if k != "marker"}
            axes.step(factors, share, where="post", linewidth=1.9, **style)
