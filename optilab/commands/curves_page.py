"""The curves of a report as data for its script: every group over the epochs, and its layers.

The page of a thousand trainings has to open at once: above a number of numbers, single runs are left out, and then
epochs between equally spaced ones. What is shown is never an average over epochs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optilab.commands.charts.training import brief, curvature_scale, layer_scale, metric_scale, says_something
from optilab.optimize.objective import Floats
from optilab.runs.metrics import QUANTITIES
from optilab.show.chart import Scale
from optilab.study.curves import MEASURED, CurvatureHistory, Curve, History

MOST = 240_000
"""Numbers of all curves, and of all layers: about 2 MB each."""
MOST_MEASUREMENTS = 2_000
"""For the curvature, per group."""
DIGITS = 6
LAYER_DIGITS = 3


def curves(histories: Sequence[History | None], looks: Sequence[int] = ()) -> dict[str, Any]:
    """Epochs, groups in the order given and the ranges of the axes; a group without an epoch is null.

    `looks` are the numbers of their colors, where that is not their order.
    """
    drawn = [history for history in histories if history is not None]
    if not drawn:
        return {"groups": [None for _ in histories]}
    longest = max(history.epochs for history in drawn)
    single = sum(history.epochs * (4 + 4 * (len(history.seeds) > 1)) for history in drawn)
    faint = sum(2 * history.epochs * len(history.seeds) for history in drawn if len(history.seeds) > 1)
    with_runs = single + faint <= MOST
    epochs = _epochs(drawn, longest, single + faint * with_runs)
    deep = sum(history.layers.values[MEASURED[0]].size for history in drawn if history.layers)
    layer_epochs = _epochs(drawn, longest, deep * len(MEASURED))
    classes = {history.classes for history in drawn}
    known = len(classes) == 1 and classes != {0}
    limits = {metric: metric_scale(drawn, metric) for metric in QUANTITIES}
    return {
        "epochs": epochs,
        "every": epochs[1] - epochs[0] if len(epochs) > 1 else 1,
        "layerEpochs": layer_epochs,
        "limits": {metric: _range(scale) for metric, scale in limits.items()},
        "layerLimits": {quantity: _range(layer_scale(drawn, quantity)) for quantity in MEASURED},
        "curvatureLimits": _range(curvature_scale(drawn)),
        "chance": {end: quantity.chance(*classes) for end, quantity in QUANTITIES.items()} if known else None,
        "runs": with_runs,
        "groups": [
            history and {**_group(history, epochs, layer_epochs, with_runs, limits), "look": look}
            for history, look in zip(histories, looks or range(len(histories)), strict=True)
        ],
    }


def _epochs(histories: Sequence[History], longest: int, numbers: int) -> list[int]:
    """The epochs that are shown: all, or every n-th and the last of each group."""
    every = -(-numbers // MOST)
    last = {len(history.curves["val_acc"].mean) for history in histories} if every > 1 else set()
    return sorted({*range(1, longest + 1, max(1, every)), longest, *last})


def _range(view: Scale) -> dict[str, Any]:
    return {"low": view.low, "high": view.high, "log": view.log}


def _group(
    history: History,
    epochs: Sequence[int],
    layer_epochs: Sequence[int],
    with_runs: bool,
    limits: Mapping[str, Scale],
) -> dict[str, Any]:
    best = history.best - 1
    group: dict[str, Any] = {
        "name": history.name,
        "brief": _values(history.name),
        "seeds": history.seeds,
        "best": [
            history.best,
            *_numbers(np.array([history.curves[f"val_{m}"].mean[best] for m in QUANTITIES]), 17),
        ],
    }
    for metric in QUANTITIES:
        training, validation = history.curves[f"train_{metric}"], history.curves[f"val_{metric}"]
        group[metric] = {
            "train": _shown(training.mean, epochs),
            **_validation(validation, epochs, with_runs),
            "band": says_something(validation, limits[metric]),
        }
    if history.curvature is not None:
        group["curvature"] = _curvature(history.curvature)
    if history.layers is not None:
        values = history.layers.values
        group["layers"] = {
            "names": history.layers.names,
            **{
                quantity: [_shown(layer, layer_epochs, LAYER_DIGITS) for layer in values[quantity]]
                for quantity in MEASURED
            },
        }
    return group


def _values(name: str) -> str:
    """The name of a group next to its line: of several settings only the values, `batch, 0.0316`."""
    parts = name.split(", ")
    return brief(", ".join(part.partition(" ")[2] or part for part in parts) if len(parts) > 1 else name)


def _curvature(measured: CurvatureHistory) -> dict[str, Any]:
    """The measurements of a group; of many, equally spaced ones."""
    every = slice(None, None, -(-len(measured.epochs) // MOST_MEASUREMENTS))
    quantities = {"sharpness": measured.sharpness, "limit": measured.limit, "along": measured.along_gradient}
    return {
        "epochs": [int(epoch) for epoch in measured.epochs[every].tolist()],
        "preconditioned": measured.preconditioned,
        **{name: _numbers(values[every], DIGITS) for name, values in quantities.items()},
    }


def _validation(curve: Curve, epochs: Sequence[int], with_runs: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"val": _shown(curve.mean, epochs)}
    if curve.interval is not None:
        found |= dict(zip(("low", "high"), (_shown(side, epochs) for side in curve.interval), strict=True))
        if with_runs:
            found["runs"] = [_shown(run, epochs) for run in curve.runs.values()]
    return found


def _shown(values: Floats, epochs: Sequence[int], digits: int = DIGITS) -> list[float | None]:
    """The values at these epochs, without trailing epochs that have none."""
    return _numbers(values[[epoch - 1 for epoch in epochs if epoch <= len(values)]], digits)


def _numbers(values: Floats, digits: int) -> list[float | None]:
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values.tolist()]
