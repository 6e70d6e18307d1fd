"""Trainings as a chart: loss and accuracy over the epochs, the curvature of the loss, and what every layer did."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from optilab.errors import DataError
from optilab.judge.curves import MEASURED, Histories, History
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
    ReferenceLine,
    Scale,
)

HEADINGS = {
    "gradient_norm": "gradient |g|",
    "update_to_weight": "step |dw| / |w|",
    "saturated": "saturated outputs",
}
MAX_LOSS_RATIO = 100.0
"""Times the chance-level loss: a spike above it leaves the range."""
MAX_LAYERED = 4
"""Groups up to which the layers of each are drawn below its curves; of more groups, half of this number."""
MIN_SEEDS = 3
"""Seeds from which the interval of a mean is drawn: that of two is 13 standard errors wide."""
BAND = "95% interval of the mean"
MIN_DECADES = 4.0
"""The least range of a scale of norms, so that a network whose layers hardly differ looks even."""
MAX_DECADES = 12.0


def training_chart(curves: Histories, part: str | None = None) -> Chart:
    """Loss and accuracy of every group, the curvature where it was measured, and the layers of those that have
    diagnostics: a row of maps for each; or one `part` of it. DataError where it has no such part.
    """
    histories = curves.groups
    layered = histories if len(histories) <= MAX_LAYERED else histories[: MAX_LAYERED // 2]
    charts = curves_chart(histories), curvature_chart(histories), layers_chart(layered)
    rows = tuple(row for chart in charts for row in chart.rows)
    if part is not None:
        parts = [(tuple(panel for panel in row.panels if _part(panel) == part), row.height) for row in rows]
        rows = tuple(PanelRow(panels, height) for panels, height in parts if panels)
    if not rows:
        raise DataError(f"nothing to draw: these runs have no {part}")
    return Chart(rows, tuple(history.name for history in histories), curves.title)


def _part(panel: Panel) -> str:
    return "layers" if panel.has_named_rows else panel.title.partition(" ")[0]


def curves_chart(histories: Sequence[History]) -> Chart:
    """Loss and accuracy of every group."""
    panels = tuple(_metric(histories, metric) for metric in QUANTITIES if has(histories, metric))
    return Chart((PanelRow(panels, 3.2),), tuple(history.name for history in histories))


def curvature_chart(histories: Sequence[History]) -> Chart:
    """The curvature of the loss of every group that has it; no panel where it was not measured."""
    rows = (PanelRow((_curvature(histories),), 2.8),) if any(history.curvature for history in histories) else ()
    return Chart(rows, tuple(history.name for history in histories))


def layers_chart(histories: Sequence[History]) -> Chart:
    """Gradient, step and saturation of the layers of every group that has diagnostics, epoch by epoch."""
    measured = [quantity for quantity in MEASURED if _is_measured(histories, quantity)]
    scales = {quantity: layer_scale(histories, quantity) for quantity in measured}
    rows = []
    for number, history in enumerate(histories):
        if history.layers is None:
            continue
        names, panels = history.layers.names, []
        for place, quantity in enumerate(measured):
            values = history.layers.values[quantity]
            count, epochs = values.shape
            heat = Heatmap(
                values, np.arange(1, epochs + 1), np.arange(1, count + 1), scales[quantity], series=number
            )
            x, y = Scale("epoch", 1, epochs, unit="whole"), Scale("layer", 0.5, count + 0.5, names=names)
            title = history.name if place == 0 and len(histories) > 1 else ""
            panels.append(Panel((heat,), x, y, title, detail=place > 0))
        rows.append(PanelRow(tuple(panels), 0.5 + min(3.0, max(0.8, 0.22 * len(names)))))
    return Chart(tuple(rows), tuple(history.name for history in histories))


def has(histories: Sequence[History], metric: str) -> bool:
    """True if a group has the metric: a loop that was watched may have no accuracy."""
    return any(
        np.isfinite(h.curves[f"{half}_{metric}"].mean).any() for h in histories for half in ("train", "val")
    )


def not_diverged(histories: Sequence[History]) -> Sequence[History]:
    """The groups that set the scales: those without a diverged run, where there are any."""
    return [history for history in histories if not history.diverged] or histories


# --- loss and accuracy -------------------------------------------------------------------------------------


def _metric(histories: Sequence[History], metric: str) -> Panel:
    """One metric of every group: training thin, validation bold with the band of the mean, or single runs faint where
    the band would say nothing: of fewer than MIN_SEEDS seeds, or at an epoch as wide as half the axis.
    """
    marks, scale = list[Mark](), metric_scale(histories, metric)
    low, high = scale.limits
    bands = {number: band for number, h in enumerate(histories) if (band := _band(h, metric, scale)) is not None}
    if bands:  # they widen the axis, at most by half
        ends, room = np.concatenate([*bands.values()], axis=1), (high - low) / 2
        bottom, top = max(np.nanmin(ends), low - room), min(np.nanmax(ends), high + room)
        scale = replace(scale, low=min(low, float(bottom)), high=max(high, float(top)))
    for number, history in enumerate(histories):
        training, validation = history.curves[f"train_{metric}"], history.curves[f"val_{metric}"]
        marks.append(_over_epochs(training.mean, number, role="training", width=0.9, detail=len(histories) > 1))
        if number in bands:
            lower, upper = bands[number]
            marks.append(Band(np.arange(1, len(validation.mean) + 1), lower, upper, number, label=BAND))
        elif validation.interval is not None:
            marks += [
                _over_epochs(run, number, role="each seed", width=0.6, alpha=0.4, detail=True)
                for run in validation.runs.values()
            ]
        best = validation.mean[history.best - 1]
        marks.append(_over_epochs(validation.mean, number, role="validation", main=True, width=2.2, marker=5))
        marks.append(Points([history.best], [best], "best", number, label="best validation accuracy"))
    classes = {history.classes for history in histories}
    # The targets of a loop may be unknown.
    chance = QUANTITIES[metric].chance(max(classes)) if min(classes) > 1 else None
    if len(classes) == 1 and low < (chance or 0.0) < high:
        marks.append(ReferenceLine(chance or 0.0, name="chance level", detail=True))
    epochs = max(history.epochs for history in histories)
    return Panel(tuple(marks), Scale("epoch", 1, epochs, unit="whole"), scale, QUANTITIES[metric].title)


def _band(history: History, metric: str, scale: Scale) -> Floats | None:
    """The ends of the interval of the mean, within what is possible; None where it would say nothing."""
    curve, (low, high) = history.curves[f"val_{metric}"], scale.limits
    if curve.interval is None or curve.n < MIN_SEEDS or not len(curve.mean):
        return None
    bounds = (0.0, 1.0) if scale.unit == "fraction" else (low if scale.log else 0.0, inf)
    ends = np.clip(curve.interval, *bounds)
    return ends if np.nanmax(ends[1] - ends[0]) < (high - low) / 2 else None


def _over_epochs(values: Floats, series: int, **options: Any) -> Polyline:
    return Polyline(np.arange(1, len(values) + 1), values, series, dash="series", **options)


def metric_scale(histories: Sequence[History], metric: str) -> Scale:
    """The range of `loss` or `acc` over training and validation of all runs.

    Groups with a diverged run leave it, unless there is no other, so that they do not flatten the others, and so do
    single losses above MAX_LOSS_RATIO times the chance level. The noise of a network that learns nothing stays small:
    accuracies span at least 10 points, losses 10% of the highest.
    """
    curves = [h.curves[f"{half}_{metric}"] for h in not_diverged(histories) for half in ("train", "val")]
    values = np.concatenate([run for curve in curves for run in curve.runs.values()])
    values = values[np.isfinite(values)]
    if not values.size:
        return Scale("", 0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if QUANTITIES[metric].unit == "fraction":
        room = max(0.02, (0.1 - (high - low)) / 2)
        return Scale("", low - room, high + room, unit="fraction")
    most = MAX_LOSS_RATIO * (QUANTITIES[metric].chance(max(2, *(h.classes for h in histories))) or inf)
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
        along = np.where(measured.along_gradient > 0, measured.along_gradient, np.nan)
        marks += [
            Polyline(measured.epochs, measured.sharpness, number, "sharpness", width=2.0, dash="series", marker=5),
            Polyline(measured.epochs, measured.limit, number, "limit of stability", width=1.2, dash="dashed"),
            Polyline(measured.epochs, along, number, "along the gradient", width=0.8, alpha=0.7, detail=True),
        ]
    title = "curvature of the loss"
    mixed = ", preconditioned" if all(scaled) else "; of adaptive optimizers preconditioned" if any(scaled) else ""
    last = max(float(history.curvature.epochs[-1]) for history in histories if history.curvature)
    x = Scale("epoch", 0, last, unit="whole")
    return Panel(tuple(marks), x, curvature_scale(histories), title + mixed)


def curvature_scale(histories: Sequence[History]) -> Scale:
    """The logarithmic range of the sharpness, its limits and the curvature along the gradient, which is shown where it
    is positive and at most MIN_DECADES below the highest of the others.
    """
    measured = [history.curvature for history in not_diverged(histories) if history.curvature]
    low, high = _positive_range(
        np.concatenate([np.ones(0), *(s for m in measured for s in (m.sharpness, m.limit))])
    )
    along = np.concatenate([np.ones(0), *(m.along_gradient for m in measured)])
    least, _ = _positive_range(np.where(along >= high / 10**MIN_DECADES, along, high))
    return Scale("", min(low / 3, least / 1.5), high * 1.5, log=True)


# --- layers ------------------------------------------------------------------------------------------------


def _is_measured(histories: Sequence[History], quantity: str) -> bool:
    """True if a layer of some group has the quantity: not every activation is flat somewhere."""
    return any(np.isfinite(h.layers.values[quantity]).any() for h in histories if h.layers)


def layer_scale(histories: Sequence[History], quantity: str) -> Scale:
    """The range of a quantity of the layers: fractions from 0 to 1, norms on a logarithmic scale of MIN_DECADES to
    MAX_DECADES below the largest value.
    """
    if quantity == "saturated":
        return Scale(HEADINGS[quantity], 0.0, 1.0, unit="fraction")
    tables = [history.layers.values[quantity].ravel() for history in not_diverged(histories) if history.layers]
    low, high = _positive_range(np.concatenate([np.ones(0), *tables]))
    return Scale(HEADINGS[quantity], min(max(low, high / 10**MAX_DECADES), high / 10**MIN_DECADES), high, log=True)


def _positive_range(values: Floats) -> tuple[float, float]:
    positive = values[np.isfinite(values) & (values > 0)]
    return (float(positive.min()), float(positive.max())) if positive.size else (1.0, 1.0)
