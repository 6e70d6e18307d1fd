"""Paths on the contours of a function, and their loss curves."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from optilab.figures.style import look, new, series
from optilab.optimize import Status, Trajectory
from optilab.optimize.objective import Objective
from optilab.optimize.path import gaps, heights, span, view

MARKED = 60  # points of a path that are shown one by one


def paths(function: Objective, named: Mapping[str, Trajectory], dark: bool = False, note: str = "") -> Any:
    """Loss curves; beside them the contours, or the curve of a function of one variable, with all paths.

    `note` is a second line of the title.
    """
    flat = len(function.start) <= 2
    with look(dark) as (ink, ground):
        figure, axes = new(11 if flat else 6.5, 4.8, 2 if flat else 1, squeeze=False)
        *contour, losses = axes[0]
        if flat:
            draw_ground(contour[0], function, list(named.values()), ink, dark)
            draw_paths(contour[0], named, dark)
            draw_ends(contour[0], function, next(iter(named.values())), ink, ground)
        draw_losses(losses, function, named, dark)
        handles, labels = losses.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6))
        figure.suptitle(headline(function, flat, note), x=0.01, ha="left")
    return figure


def headline(function: Objective, wide: bool, note: str) -> str:
    """The title, and the note below it."""
    return title(function, 80 if wide else 40) + (f"\n{note}" if note else "")


def title(function: Objective, room: int) -> str:
    """The name, and the formula unless it is much longer than `room`: as mathematics, or as text where it has words."""
    formula = function.formula
    if len(formula) > 1.25 * room:
        return function.name
    if re.fullmatch(r"(w\d|\b([ab]|pi|exp|sin|cos|abs)\b|[0-9 .+*/^()-])+", formula):
        signs = re.sub(r"\b(pi|exp|sin|cos)\b", r"\\\1 ", formula.replace("abs", r"\mathrm{abs}"))
        powers = re.sub(r"\^(\d+)", r"^{\1}", re.sub(r"w(\d)", r"w_{\1}", signs))
        return f"{function.name}    $f(w) = {powers.replace('*', chr(92) + ',')}$"
    return f"{function.name}    f(w) = {formula}"


def draw_ground(axes: Any, function: Objective, found: list[Trajectory], ink: str, dark: bool) -> None:
    """Contours of a function of two variables, the curve of a function of one."""
    if len(function.start) == 2:
        draw_contour(axes, function, found, ink, dark)
        return
    (left, right), *_ = view(function, found)
    x = np.linspace(left, right, 481)
    with np.errstate(all="ignore"):
        axes.plot(x, function.value(x[:, None]), color=ink, linewidth=1, alpha=0.6)
    axes.set(xlim=(left, right), ylim=axes.get_ylim(), xlabel="$w_1$", ylabel="f")


def draw_contour(axes: Any, function: Objective, found: list[Trajectory], ink: str, dark: bool) -> None:
    """Filled contours, evenly spaced in log10 of the height above the minimum."""
    (left, right), (bottom, top) = view(function, found)
    x, y = np.linspace(left, right, 241), np.linspace(bottom, top, 241)
    above = heights(function, np.stack(np.meshgrid(x, y), axis=-1))
    lift = 1e-3 * float(np.nanmedian(above)) or 1e-9
    level = np.log10(np.maximum(above, 0) + lift)
    steps = np.linspace(np.nanmin(level), np.nanmax(level), 15)
    span = steps[-1] - steps[0]  # a pale part of the colour scale, so that the paths stand out
    axes.contourf(
        x,
        y,
        level,
        steps,
        cmap="bone" if dark else "bone_r",
        alpha=0.55,
        vmin=steps[0],
        vmax=steps[0] + 2.5 * span,
    )
    axes.contour(x, y, level, steps, colors=ink, linewidths=0.4, alpha=0.35, linestyles="solid")
    axes.set(xlim=(left, right), ylim=(bottom, top), xlabel="$w_1$", ylabel="$w_2$")


def draw_paths(axes: Any, named: Mapping[str, Trajectory], dark: bool) -> list[Any]:
    """Every path as a line, its steps as dots while they are few."""
    lines = []
    for (name, path), style in zip(named.items(), series(len(named), dark), strict=True):
        few = len(path.points) <= MARKED
        look_of = {**style, "marker": style["marker"] if few else ""}
        places = path.points.T if path.points.shape[1] == 2 else (path.points[:, 0], path.values)
        lines += axes.plot(*places, **look_of, markersize=3, linewidth=1.6, label=_label(name, path), alpha=0.95)
    return lines


def draw_ends(axes: Any, function: Objective, path: Trajectory, ink: str, ground: str) -> None:
    """The start and the minima, named in the picture where there is room."""
    text = {
        "textcoords": "offset points",
        "fontsize": 10,
        "bbox": {"facecolor": ground, "edgecolor": "none", "alpha": 0.75, "pad": 1.5},
    }
    start, *minima = _places(function, [path.points[0], *map(np.array, function.minima)])
    axes.plot(*start, "o", color=ground, markeredgecolor=ink, markersize=8, zorder=5)
    bottom, top = axes.get_ylim()
    low = start[1] < bottom + 0.1 * (top - bottom)  # a label below would lie on the axis
    axes.annotate("start", start, xytext=(8, 9 if low else -14), zorder=6, **text)
    for i, minimum in enumerate(minima):
        axes.plot(*minimum, "*", color=ground, markeredgecolor=ink, markersize=13, zorder=5)
        if i == 0:
            axes.annotate("minimum", minimum, xytext=(8, 9), zorder=6, **text)


def _places(function: Objective, points: list[Any]) -> list[Any]:
    """Points in the plane of the picture: (w1, w2), or (w1, f) of a function of one variable."""
    return points if len(function.start) == 2 else [(p[0], float(function.value(p))) for p in points]


def _label(name: str, path: Trajectory) -> str:
    return f"{name} (diverged)" if path.status is Status.DIVERGED else name


def draw_losses(axes: Any, function: Objective, named: Mapping[str, Trajectory], dark: bool) -> list[Any]:
    """f above its minimum, on a log scale, against the epoch."""
    curves, what = gaps(function, list(named.values()))
    low, high = span(curves, list(named.values()))
    every = max(1, max(map(len, curves)) // 12)  # markers tell the lines apart without colour
    lines = []
    names = [_label(name, path) for name, path in named.items()]
    for (name, curve), style in zip(zip(names, curves, strict=True), series(len(named), dark), strict=True):
        look_of = {**style, "markevery": every, "markersize": 5, "linewidth": 1.8}
        lines += axes.semilogy(np.arange(len(curve)), np.minimum(curve, 1e280), **look_of, label=name)
    if high < 2 * low:  # a log scale would write its ticks as 3.15 x 10^0
        axes.set_yscale("linear")
    margin = max(high / low, 1.1) ** 0.05
    axes.set(ylim=(low / margin, high * margin))
    axes.set(xlabel="epoch", ylabel="$f - f_{min}$" if what == "f - f_min" else what)
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.margins(x=0.01)
    return lines
