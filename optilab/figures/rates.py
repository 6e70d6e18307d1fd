"""A learning-rate range test as a curve, and beside it the trainings that confirm a rate."""

from typing import Any

import numpy as np

from optilab.figures.style import look, new, series
from optilab.study.confirmation import Confirmation
from optilab.study.rates import RangeTest


def rates(test: RangeTest, confirmation: Confirmation | None, title: str, dark: bool = False) -> Any:
    """The loss of every batch and its mean against the rate, with the places that count; right the outcome by rate."""
    with look(dark) as (ink, _):
        columns = 1 if confirmation is None else 2
        figure, axes = new(7.5 if columns == 1 else 12.5, 4.6, columns)
        _curve(axes if columns == 1 else axes[0], test, ink, dark)
        if confirmation is not None:
            _outcomes(axes[1], confirmation, ink, dark)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def _curve(axes: Any, test: RangeTest, ink: str, dark: bool) -> None:
    curve, chosen, rule, *_ = (style["color"] for style in series(3, dark))
    axes.plot(test.rates, test.losses, ".", color=curve, markersize=2, alpha=0.35)
    axes.plot(test.rates, test.smooth, color=curve, linewidth=2.0)
    axes.axhline(test.guessing, color=ink, linewidth=0.8, linestyle=(0, (1, 3)), zorder=0)
    axes.annotate(
        "guessing", (1, test.guessing), xycoords=("axes fraction", "data"), fontsize=8, va="bottom", ha="right"
    )
    low, top = float(test.smooth.min()), 1.15 * max(test.guessing, float(test.smooth[0]))
    margin = 0.08 * (top - low)
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss of the batch", ylim=(low - 3 * margin, top))
    axes.set_xlim(test.ladder.rates[0], test.ladder.rates[-1])
    for name in ("half", "steepest", "lowest", "diverging"):
        place = getattr(test, name)
        if place is not None:
            height = float(np.interp(np.log(place), np.log(test.rates), test.smooth))
            axes.plot(place, min(height, top), "o", color=curve, markersize=6, markeredgecolor=ink, zorder=5)
            beside: dict[str, Any] = {"xytext": (-7, -4), "ha": "right"} if name == "half" else {"xytext": (5, 7)}
            axes.annotate(name, (place, height), textcoords="offset points", fontsize=9, **beside)
    if test.rate is not None:
        axes.axvline(test.rate, color=chosen, linewidth=2.0)
        axes.annotate(
            f"recommended {test.rate:g}", (test.rate, 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
            textcoords="offset points", color=chosen, fontsize=10, ha="center",
        )  # fmt: skip
    places = {name: rate for name, rate in test.others.items() if rate is not None}
    for row, (name, rate) in enumerate(places.items()):
        height = low - (0.5 + 0.6 * row) * margin
        axes.plot(rate, height, "^", color=rule, markersize=5)
        axes.annotate(name, (rate, height), xytext=(6, 0), textcoords="offset points", fontsize=8, va="center")
    axes.set_title("range test", fontsize=11)
    axes.grid(alpha=0.25, linewidth=0.5)


def _outcomes(axes: Any, confirmation: Confirmation, ink: str, dark: bool) -> None:
    line, chosen, *_ = (style["color"] for style in series(2, dark))
    for row in confirmation.rows:
        seeds = list(row.outcomes)
        axes.plot([row.rate] * len(seeds), seeds, ".", color=line, markersize=6, alpha=0.6)
    means = [(row.rate, float(np.mean(row.outcomes))) for row in confirmation.rows if row.outcomes]
    axes.plot(*zip(*means, strict=True), color=line, linewidth=1.8, marker="o", markersize=6)
    if confirmation.possible:
        axes.axvspan(min(confirmation.possible), max(confirmation.possible), color=chosen, alpha=0.12, linewidth=0)
    if confirmation.rate is not None:
        axes.axvline(confirmation.rate, color=chosen, linewidth=2.0)
    axes.set(xscale="log", xlabel="learning rate", ylabel=confirmation.measure)
    axes.set_title(
        f"{confirmation.epochs} epochs, {confirmation.seeds} seeds; shaded: cannot be told apart", fontsize=11
    )
    axes.grid(alpha=0.25, linewidth=0.5)
