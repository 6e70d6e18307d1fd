"""Trainings: loss and accuracy over the epochs, and below them what every layer did."""

from collections.abc import Sequence
from textwrap import fill, wrap
from typing import Any, cast

import numpy as np

from optilab.figures.style import empty, look, series
from optilab.optimize.objective import Floats
from optilab.study.curves import MEASURED, Histories, History, LayerHistory, layer_limits, limits

MARKERS = 12
"""Markers on a line: they tell lines apart without colour."""
COLUMNS = 600
"""Places of a line that a picture tells apart."""
ROWS = 4
"""Groups whose layers are shown epoch by epoch."""
NUMBERED = 14
"""Layers beside which the last value is written; more have no room."""
SHARE = "saturated"
HEADINGS = {"gradient_norm": "gradient |g|", "update_to_weight": "step |dw| / |w|", SHARE: "saturated outputs"}


def training(found: Histories, dark: bool = False) -> Any:
    """Loss and accuracy of every group, and below them the layers of those that have diagnostics: epoch by epoch
    for up to ROWS groups, after the last epoch for more.
    """
    histories = found.groups
    layered = [history for history in histories if history.layers is not None]
    epoch_by_epoch = len(layered) <= ROWS
    curved = any(history.curvature for history in histories)
    above = [3.2, 2.8] if curved else [3.2]
    heights = [*above, *([_height(history) for history in layered] if epoch_by_epoch else [3.2])]
    lines = wrap(found.title, 140)
    labels = [_label(history) for history in histories]
    columns = max(1, min(4, 150 // (max(len(line) for label in labels for line in label.split("\n")) + 10)))
    entries = -(-(3 + sum(label.count("\n") + 1 for label in labels)) // columns)
    with look(dark) as (ink, ground):
        figure = empty(11, sum(heights) + 0.2 * len(lines) + 0.25 * entries + 0.6 * (len(heights) > 1))
        grid = figure.add_gridspec(len(heights), 6, height_ratios=heights)
        losses, accuracies = figure.add_subplot(grid[0, :3]), figure.add_subplot(grid[0, 3:])
        _metric(losses, histories, "loss", ink, dark)
        _metric(accuracies, histories, "acc", ink, dark)
        if curved:
            _curvature(figure.add_subplot(grid[1, :]), histories, ink, dark)
        for place, quantity in zip((0, 2, 4), MEASURED, strict=True):
            cells = [figure.add_subplot(grid[row, place : place + 2]) for row in range(len(above), len(heights))]
            if not cells:
                break
            if epoch_by_epoch:
                _layers(figure, cells, layered, quantity, _colours(quantity, ground, dark))
            else:
                _profiles(cells[0], histories, quantity, dark)
            if place == 0 and epoch_by_epoch and len(histories) > 1:
                for axes, history in zip(cells, layered, strict=True):
                    axes.set_title(_label(history), fontsize=11)
        figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=10)
        figure.legend(
            *accuracies.get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize=10
        )
    return figure


def _label(history: History) -> str:
    return fill(history.name, 100)


def _height(history: History) -> float:
    """Inches of a group's layers."""
    count = len(history.layers.names) if history.layers else 0
    return 0.5 + min(3.0, max(0.8, 0.22 * count))


# --- loss and accuracy -------------------------------------------------------------------------------------


def _metric(axes: Any, histories: Sequence[History], what: str, ink: str, dark: bool) -> None:
    """One metric of every group: training thin, validation bold with the band of the mean, single runs faint."""
    for history, style in zip(histories, series(len(histories), dark), strict=True):
        line = {"color": style["color"], "linestyle": style["linestyle"]}
        training, validation = history.curves[f"train_{what}"], history.curves[f"val_{what}"]
        axes.plot(*_points(training.mean), **line, linewidth=0.9)
        x, y = _points(validation.mean)
        if validation.interval is not None:
            low, high = (side[x - 1] for side in validation.interval)
            axes.fill_between(x, low, high, color=line["color"], alpha=0.2, linewidth=0)
            for run in validation.runs.values():
                axes.plot(*_points(run), **line, linewidth=0.6, alpha=0.4)
        marks = {"marker": style["marker"], "markersize": 5, "markevery": max(1, len(x) // MARKERS)}
        axes.plot(x, y, **line, **marks, linewidth=2.2, label=_label(history))
        best = history.best, validation.mean[history.best - 1]
        axes.plot(*best, "*", color=line["color"], markeredgecolor=ink, markersize=13, zorder=5, clip_on=False)
    axes.set_title({"loss": "loss", "acc": "accuracy"}[what])
    _frame(axes, histories, what, ink)
    axes.plot([], [], color=ink, linewidth=2.2, label="validation")
    axes.plot([], [], color=ink, linewidth=0.9, label="training")
    axes.plot([], [], "*", color="none", markeredgecolor=ink, markersize=11, label="best validation accuracy")


def _curvature(axes: Any, histories: Sequence[History], ink: str, dark: bool) -> None:
    """The sharpness of every group bold, its limit of stability dashed, the curvature along the gradient thin."""
    from matplotlib.lines import Line2D

    scaled = [history.curvature.preconditioned for history in histories if history.curvature]
    for history, style in zip(histories, series(len(histories), dark), strict=True):
        if (measured := history.curvature) is None:
            continue
        line = {"color": style["color"]}
        marks = {"marker": style["marker"], "markersize": 5, "markevery": max(1, len(measured.epochs) // MARKERS)}
        axes.plot(measured.epochs, measured.sharpness, **line, **marks, linewidth=2.0)
        axes.plot(measured.epochs, measured.limit, **line, linewidth=1.2, linestyle=(0, (5, 3)))
        along = np.where(measured.along_gradient > 0, measured.along_gradient, np.nan)
        axes.plot(measured.epochs, along, **line, linewidth=0.8, alpha=0.7)
    mixed = "; of adaptive rules preconditioned" if any(scaled) and not all(scaled) else ""
    axes.set(yscale="log", xlabel="epoch", title=f"curvature of the loss{mixed}")
    axes.grid(alpha=0.25, linewidth=0.5)
    lowest = [h.curvature.sharpness[h.curvature.sharpness > 0] for h in histories if h.curvature]
    if (shown := np.concatenate(lowest)).size:
        axes.set_ylim(bottom=shown.min() / 5)
    looks: dict[str, dict[str, Any]] = {
        "preconditioned sharpness" if all(scaled) else "sharpness": {"linewidth": 2.0},
        "limit of stability": {"linewidth": 1.2, "linestyle": (0, (5, 3))},
        "along the gradient": {"linewidth": 0.8, "alpha": 0.7},
    }
    keys = [Line2D([], [], color=ink, label=label, **kind) for label, kind in looks.items()]
    axes.legend(handles=keys, loc="lower right", fontsize=9, ncols=3)


def _points(values: Floats) -> tuple[Any, Floats]:
    """Epochs and values of a line; of thousands the lowest and the highest of each column of the picture."""
    count = len(values)
    chosen = np.arange(count)
    if count > 4 * COLUMNS:
        columns = np.array_split(chosen, COLUMNS)
        ends = [(c[0], c[np.argmin(values[c])], c[np.argmax(values[c])]) for c in columns]
        chosen = np.unique([*np.ravel(ends), count - 1])
    return chosen + 1, values[chosen]


def _frame(axes: Any, histories: Sequence[History], what: str, ink: str) -> None:
    """Axes that show every run but those that leave them by diverging, and what guessing gets."""
    from matplotlib.ticker import PercentFormatter

    view = limits(histories, what)
    axes.set(yscale="log" if view.log else "linear", ylim=(view.low, view.high))
    if what == "acc":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    classes = {history.classes for history in histories}
    guess = 1 / max(classes) if what == "acc" else float(np.log(max(classes)))
    if len(classes) == 1 and view.low < guess < view.high:
        axes.axhline(guess, color=ink, linewidth=0.8, linestyle=(0, (1, 3)), zorder=0)
        _beside(axes, guess, "guessing")
    epochs = max(history.epochs for history in histories)
    margin = max(0.02 * epochs, 0.3)
    axes.set(xlabel="epoch", xlim=(1 - margin, epochs + margin))
    _whole(axes, epochs)
    axes.grid(alpha=0.25, linewidth=0.5)


def _whole(axes: Any, epochs: int) -> None:
    """Whole numbers on the axis of the epochs."""
    from matplotlib.ticker import FixedLocator, MaxNLocator

    few = range(1, epochs + 1)
    axes.xaxis.set_major_locator(FixedLocator(few) if epochs < 6 else MaxNLocator(integer=True, nbins=6))


def _beside(axes: Any, height: float, text: str) -> None:
    """A word beside the right edge."""
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(text, (1, height), xytext=(3, 0), va="center", fontsize=8, **place)


# --- layers ------------------------------------------------------------------------------------------------


def _layers(figure: Any, cells: Sequence[Any], histories: Sequence[History], quantity: str, colours: Any) -> None:
    """One quantity of all groups on one scale: a row per layer, the input below, the output above."""
    from matplotlib.ticker import PercentFormatter

    scale = _scale(histories, quantity)
    for axes, history in zip(cells, histories, strict=True):
        layers = cast(LayerHistory, history.layers)
        names, values = layers.names, layers.values[quantity]
        count, epochs = values.shape
        image = axes.imshow(
            values, norm=scale, cmap=colours, aspect="auto", origin="lower", interpolation="nearest",
            extent=(0.5, epochs + 0.5, 0.5, count + 0.5),
        )  # fmt: skip
        _name_rows(axes, names)
        axes.tick_params(left=False)
        axes.spines[:].set(visible=True, linewidth=0.4)
        _whole(axes, epochs)
        if count <= NUMBERED:
            for row, value in enumerate(values[:, -1].tolist(), start=1):
                _beside(axes, row, _short(value, quantity))
    cells[-1].set_xlabel("epoch")
    bar = figure.colorbar(image, ax=list(cells), location="bottom", aspect=40, pad=0.04)
    bar.outline.set(linewidth=0.4)
    bar.minorticks_off()
    bar.set_label(HEADINGS[quantity])
    if quantity == SHARE:
        bar.ax.xaxis.set_major_formatter(PercentFormatter(1.0))


def _profiles(axes: Any, histories: Sequence[History], quantity: str, dark: bool) -> None:
    """One quantity after the last epoch: a line per group from the input, below, to the output, above."""
    from matplotlib.ticker import PercentFormatter

    deepest: tuple[str, ...] = ()
    for history, style in zip(histories, series(len(histories), dark), strict=True):
        if history.layers is not None:
            last = history.layers.values[quantity][:, -1]
            axes.plot(last, np.arange(1, len(last) + 1), **style, linewidth=1.6, markersize=5)
            deepest = max(deepest, history.layers.names, key=len)
    scale = _scale(histories, quantity)
    if quantity == SHARE:
        axes.set_xlim(-0.03, 1.03)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    else:
        axes.set(xscale="log", xlim=(scale.vmin / 2, scale.vmax * 2))
    _name_rows(axes, deepest)
    axes.set(xlabel=f"{HEADINGS[quantity]} after the last epoch", ylim=(0.5, len(deepest) + 0.5))
    axes.grid(alpha=0.25, linewidth=0.5)


def _name_rows(axes: Any, names: Sequence[str]) -> None:
    ticks = np.unique(np.linspace(1, len(names), min(len(names), NUMBERED)).astype(int))
    axes.set_yticks(ticks, [names[tick - 1] for tick in ticks], fontsize=9)
    axes.set_ylabel("layer", fontsize=9)


def _colours(quantity: str, ground: str, dark: bool) -> Any:
    """viridis for norms; for shares from the background, which is zero, to a colour."""
    from matplotlib.colors import LinearSegmentedColormap

    if quantity != SHARE:
        return "viridis"
    return LinearSegmentedColormap.from_list(quantity, [ground, series(2, dark)[1]["color"]])


def _scale(histories: Sequence[History], quantity: str) -> Any:
    """The limits of a quantity as a scale of colours."""
    from matplotlib.colors import LogNorm, Normalize

    view = layer_limits(histories, quantity)
    return LogNorm(view.low, view.high, clip=True) if view.log else Normalize(view.low, view.high)


def _short(value: float, quantity: str) -> str:
    """A value beside its row; nothing where there is none."""
    if np.isnan(value):
        return ""
    if quantity == SHARE:
        return f"{value:.0%}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+") if value else "0"
