"""A learning-rate range test as a chart, and next to it the trainings that confirm a rate."""

import numpy as np

from optilab.show.chart import Chart, Mark, Panel, PanelRow, Points, Polyline, Scale, Span, Threshold
from optilab.study.rates import Confirmation, RangeTest
from optilab.words import plural

PLACES = ("half", "steepest", "diverging")
"""For a range test, with letters in text; the lowest loss is between the last two."""


def rates_chart(test: RangeTest, confirmation: Confirmation | None = None, title: str = "") -> Chart:
    """The loss of every batch and its mean against the rate, with the places that count; right the outcome by rate."""
    panels = (_curve(test),) if confirmation is None else (_curve(test), _outcomes(confirmation))
    return Chart(
        (PanelRow(panels),), title=title, width=7.5 if confirmation is None else 12.5, height=4.6, title_size=12
    )


def _curve(test: RangeTest) -> Panel:
    low, high = float(test.smooth.min()), 1.1 * max(test.guessing, float(test.smooth[0]))
    low -= 0.05 * (high - low)
    marks: list[Mark] = [
        Points(test.rates, test.losses, "dot", 0, size=2, alpha=0.35, detail=True),
        Threshold(test.guessing, name="chance level"),
        Polyline(test.rates, test.smooth, 0, width=2.0),
    ]
    for name in (*PLACES[:2], "lowest", PLACES[2]):
        place = getattr(test, name)
        if place is not None:
            height = float(np.interp(np.log(place), np.log(test.rates), test.smooth))
            marks.append(
                Points([place], [height], "place", 0, name, before=name == "half", detail=name not in PLACES)
            )
    if test.rate is not None:
        marks.append(Threshold(x=test.rate, series=1, name=f"recommended {test.rate:g}"))
    others = {name: rate for name, rate in test.others.items() if rate is not None}
    letters = "   ".join(f"{place[0]} {place}" for place in PLACES)
    return Panel(
        tuple(marks),
        Scale("learning rate", float(test.ramp.rates[0]), float(test.ramp.rates[-1]), log=True),
        Scale("loss of the batch", low, high),
        "range test",
        f"mean loss   {letters}   R recommended" if test.rate else "mean loss",
        below=others,
    )


def _outcomes(confirmation: Confirmation) -> Panel:
    """The outcome of every training by its rate, and the means; shaded what no verdict tells from the best."""
    marks: list[Mark] = [
        Points([rate] * len(own), list(own), "dot", 0, alpha=0.6) for rate, own in confirmation.outcomes.items()
    ]
    means = [(rate, float(np.mean(own))) for rate, own in confirmation.outcomes.items() if own]
    if means:
        rates, outcomes = zip(*means, strict=True)
        marks.append(Polyline(rates, outcomes, 0, marker=6, every=1))
    if confirmation.possible:
        marks.append(Span(min(confirmation.possible), max(confirmation.possible), 1))
    if confirmation.rate is not None:
        marks.append(Threshold(x=confirmation.rate, series=1))
    size = f"{plural(confirmation.epochs, 'epoch')}, {plural(confirmation.seeds, 'seed')}"
    title = f"{size}; shaded: cannot be told apart"
    return Panel(tuple(marks), Scale("learning rate", log=True), Scale(confirmation.measure), title)
