"""Trainings as a chart: loss and accuracy over the epochs, the curvature of the loss, and what every layer did."""

import re
from collections.abc import Sequence
from math import inf
from textwrap import fill, wrap
from typing import Any

import numpy as np

from optilab.optimize.objective import Floats
from optilab.runs.metrics import QUANTITIES
from optilab.show.chart import (
    Band,
    Chart,
    Heatmap,
    Mark,
    Panel,
    PanelRow,
    Points,
    Polyline,
    Scale,
    TextSize,
    Threshold,
)
from optilab.study.curves import MEASURED, Curve, Histories, History
from optilab.words import percent

HEADINGS = {
    "gradient_norm": "gradient |g|",
    "update_to_weight": "step |dw| / |w|",
    "saturated": "saturated outputs",
}
MOST_LOSS = 100.0
"""Times the chance-level loss: a spike above it leaves the range."""
FEWEST_BANDED = 3
"""Seeds from which the interval of a mean is drawn: that of two is 13 standard errors wide."""
DECADES = 4.0
"""The least range of a scale of norms, so that a network whose layers hardly differ looks even."""
MOST_DECADES = 12.0


def training_chart(found: Histories) -> Chart:
    """Loss and accuracy of every group, the curvature where it was measured, and the layers of those that have
    diagnostics: a row of maps for each.
    """
    histories = found.groups
    rows = [PanelRow(tuple(_metric(histories, what) for what in QUANTITIES if has(histories, what)), 3.2)]
    if any(history.curvature for history in histories):
        rows.append(PanelRow((_curvature(histories),), 2.8))
    rows += layers_chart(histories).rows
    longest = max(len(line) for history in histories for line in _label(history).split("\n"))
    return Chart(
        tuple(rows),
        tuple(history.name for history in histories),
        "\n".join(wrap(found.title, 140)),
        columns=max(1, min(4, 150 // (longest + 10))),
        legend_size=10,
        text=TextSize(10, widest=160, widest_row=160),
    )


def layers_chart(histories: Sequence[History]) -> Chart:
    """Gradient, step and saturation of the layers of every group that has diagnostics, epoch by epoch."""
    scales = {quantity: layer_scale(histories, quantity) for quantity in MEASURED}
    rows = []
    for number, history in enumerate(histories):
        if history.layers is None:
            continue
        names, panels = history.layers.names, []
        for place, quantity in enumerate(MEASURED):
            values = history.layers.values[quantity]
            count, epochs = values.shape
            heat = Heatmap(
                values, np.arange(1, epochs + 1), np.arange(1, count + 1), scales[quantity], series=number
            )
            x, y = Scale("epoch", 1, epochs, unit="epochs"), Scale("layer", 0.5, count + 0.5, names=names)
            title = _label(history) if place == 0 and len(histories) > 1 else ""
            panels.append(Panel((heat,), x, y, title))
        rows.append(PanelRow(tuple(panels), 0.5 + min(3.0, max(0.8, 0.22 * len(names)))))
    return Chart(tuple(rows), tuple(history.name for history in histories))


def has(histories: Sequence[History], what: str) -> bool:
    """Whether a group has the metric: a loop that was watched may have no accuracy."""
    return any(np.isfinite(h.curves[f"{half}_{what}"].mean).any() for h in histories for half in ("train", "val"))


def _label(history: History) -> str:
    return fill(history.name, 100)


def tame(histories: Sequence[History]) -> Sequence[History]:
    """The groups that set the scales: those without a diverged run, where there are any."""
    return [history for history in histories if not history.diverged] or histories


# --- loss and accuracy -------------------------------------------------------------------------------------


def _metric(histories: Sequence[History], what: str) -> Panel:
    """One metric of every group: training thin, validation bold with the band of the mean, single runs faint."""
    marks: list[Mark] = []
    last = "acc" if has(histories, "acc") else "loss"
    for number, history in enumerate(histories):
        training, validation = history.curves[f"train_{what}"], history.curves[f"val_{what}"]
        several = len(histories) > 1
        marks.append(_over_epochs(training.mean, number, role="training", width=0.9, detail=several))
        if validation.interval is not None and says_something(validation, metric_scale(histories, what)):
            marks.append(Band(np.arange(1, len(validation.mean) + 1), *validation.interval, number))
        elif validation.interval is not None:
            marks += [
                _over_epochs(run, number, width=0.6, alpha=0.4, detail=True) for run in validation.runs.values()
            ]
        best = validation.mean[history.best - 1]
        seeds = f", mean of {len(history.seeds)} seeds" if len(history.seeds) > 1 else ""
        accuracy = history.curves["val_acc"].mean[history.best - 1]
        lowest = best if best == best else training.mean[history.best - 1]  # of a loop that validates nothing
        reached = percent(accuracy) if accuracy == accuracy else f"loss {lowest:.4g}"
        marks.append(
            _over_epochs(
                validation.mean, number, role="validation", width=2.2, marker=5,
                label=_label(history) if what == last else "",
                note=f"best {reached} at epoch {history.best}{seeds}",
            )
        )  # fmt: skip
        marks.append(Points(history.best, best, "best", number))
    marks += _guessing(histories, what)
    if what == last:
        marks += [
            Polyline((), (), width=2.2, label="validation"),
            Polyline((), (), width=0.9, label="training"),
            Points((), (), "best", label="best validation accuracy"),
        ]
    epochs = max(history.epochs for history in histories)
    return Panel(
        tuple(marks),
        Scale("epoch", 1, epochs, unit="epochs"),
        metric_scale(histories, what),
        QUANTITIES[what].title,
    )


def says_something(curve: Curve, scale: Scale) -> bool:
    """Whether the band of a mean is drawn: of at least FEWEST_BANDED seeds, and mostly narrower than half the axis."""
    if curve.interval is None or len(curve.runs) < FEWEST_BANDED:
        return False
    low, high = curve.interval
    return bool(np.nanmedian(high - low) < (scale.ends[1] - scale.ends[0]) / 2) if len(low) else False


def brief(name: str) -> str:
    """The name of a group next to a line: numbers with three digits, unless these would be whole, as of 0.9996."""

    def rounded(found: re.Match[str]) -> str:
        short = f"{float(found[0]):.3g}"
        return found[0] if short.isdecimal() else short

    return re.sub(r"\d+\.\d{2,}", rounded, name)


def shortened(names: Sequence[str]) -> list[str]:
    """Names with numbers of three digits, where those tell them apart."""
    found = [brief(name) for name in names]
    return found if len(set(found)) == len(set(names)) else [*names]


def _over_epochs(values: Floats, series: int, **options: Any) -> Polyline:
    return Polyline(np.arange(1, len(values) + 1), values, series, dash="series", **options)


def _guessing(histories: Sequence[History], what: str) -> list[Mark]:
    """The loss or accuracy of the chance level, where all groups have the same number of classes and the scale
    shows it."""
    classes, scale = {history.classes for history in histories}, metric_scale(histories, what)
    if max(classes) < 2:  # of a loop whose targets are unknown
        return []
    guess = QUANTITIES[what].chance(max(classes)) or 0.0
    low, high = scale.ends
    return [Threshold(guess, name="chance level", detail=True)] if len(classes) == 1 and low < guess < high else []


def metric_scale(histories: Sequence[History], metric: str) -> Scale:
    """The range of `loss` or `acc` over training and validation of all runs.

    Groups with a diverged run leave it, unless there is no other, so that they do not flatten the others, and so do
    single losses above MOST_LOSS times the chance level. The noise of a network that learns nothing stays small:
    accuracies span at least 10 points, losses 10% of the highest.
    """
    curves = [h.curves[f"{half}_{metric}"] for h in tame(histories) for half in ("train", "val")]
    values = np.concatenate([run for curve in curves for run in curve.runs.values()])
    values = values[np.isfinite(values)]
    if not values.size:
        return Scale("", 0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if QUANTITIES[metric].unit == "fraction":
        room = max(0.02, (0.1 - (high - low)) / 2)
        return Scale("", low - room, high + room, unit="fraction")
    most = MOST_LOSS * (QUANTITIES[metric].chance(max(2, *(h.classes for h in histories))) or inf)
    high = min(high, most) if low < most else high
    if low > 0 and high > 30 * low:
        return Scale("", low / 1.2, high * 1.2, log=True)
    room = max(0.05 * (high - low), (0.1 * high - (high - low)) / 2)
    return Scale("", low - room, high + room)


# --- curvature ---------------------------------------------------------------------------------------------


def _curvature(histories: Sequence[History]) -> Panel:
    """The sharpness of every group bold, its limit of stability dashed, the curvature along the gradient thin."""
    marks: list[Mark] = []
    scaled = [history.curvature.preconditioned for history in histories if history.curvature]
    for number, history in enumerate(histories):
        if (measured := history.curvature) is None:
            continue
        what = "preconditioned sharpness" if measured.preconditioned else "sharpness"
        now, bound = float(measured.sharpness[-1]), float(measured.limit[-1])
        against = f"limit of stability {bound:.4g}" if np.isfinite(bound) else "no limit known"
        positive = np.flatnonzero(np.isfinite(measured.sharpness) & (measured.sharpness > 0))
        along = np.where(measured.along_gradient > 0, measured.along_gradient, np.nan)
        marks += [
            Polyline(
                measured.epochs, measured.sharpness, number, "sharpness", note=f"{what} {now:.4g}, {against}",
                width=2.0, marker=5, letter_at=int(positive[-1]) if positive.size else -1,
            ),
            Polyline(measured.epochs, measured.limit, number, "limit", width=1.2, dash="dashed"),
            Polyline(measured.epochs, along, number, width=0.8, alpha=0.7, detail=True),
        ]  # fmt: skip
    marks += [
        Polyline((), (), width=2.0, label="preconditioned sharpness" if all(scaled) else "sharpness"),
        Polyline((), (), width=1.2, dash="dashed", label="limit of stability"),
        Polyline((), (), width=0.8, alpha=0.7, label="along the gradient"),
    ]
    title = "curvature of the loss"
    mixed = "; of adaptive optimizers preconditioned" if any(scaled) and not all(scaled) else ""
    short = f"{title}, log scale; dots: the limit of stability"
    last = max(float(history.curvature.epochs[-1]) for history in histories if history.curvature)
    x = Scale("epoch", 0, last, margin=0.05)
    return Panel(tuple(marks), x, curvature_scale(histories), title + mixed, short, own_legend=True)


def curvature_scale(histories: Sequence[History]) -> Scale:
    """The logarithmic range of the sharpness, its limits and the curvature along the gradient, which is shown where it
    is positive and at most DECADES below the highest of the others.
    """
    measured = [history.curvature for history in tame(histories) if history.curvature]
    low, high = _positive_range(
        np.concatenate([np.ones(0), *(s for m in measured for s in (m.sharpness, m.limit))])
    )
    along = np.concatenate([np.ones(0), *(m.along_gradient for m in measured)])
    least, _ = _positive_range(np.where(along >= high / 10**DECADES, along, high))
    return Scale("", min(low / 3, least / 1.5), high * 1.5, log=True)


# --- layers ------------------------------------------------------------------------------------------------


def layer_scale(histories: Sequence[History], quantity: str) -> Scale:
    """The range of a quantity of the layers: fractions from 0 to 1, norms on a logarithmic scale of DECADES to
    MOST_DECADES below the largest value.
    """
    if quantity == "saturated":
        return Scale(HEADINGS[quantity], 0.0, 1.0, unit="fraction")
    tables = [history.layers.values[quantity].ravel() for history in tame(histories) if history.layers]
    low, high = _positive_range(np.concatenate([np.ones(0), *tables]))
    return Scale(HEADINGS[quantity], min(max(low, high / 10**MOST_DECADES), high / 10**DECADES), high, log=True)


def _positive_range(values: Floats) -> tuple[float, float]:
    positive = values[np.isfinite(values) & (values > 0)]
    return (float(positive.min()), float(positive.max())) if positive.size else (1.0, 1.0)
