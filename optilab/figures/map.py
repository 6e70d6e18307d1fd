"""Heat maps, with the theory drawn on top."""

from textwrap import wrap
from typing import Any

import numpy as np

from optilab.figures.style import look, new, series
from optilab.study.map import Map

FINE = 500  # points of an axis: more than the figure shows


def heat_map(found: Map, show: str = "value", dark: bool = False) -> Any:
    """Final value or steps over the grid, or the basins where both axes are coordinates of the start."""
    with look(dark) as (ink, ground):
        figure, axes = new(7.4, 5.2)
        if found.of_starts:
            _basins(axes, found, ink, ground, dark)
        else:
            _values(figure, axes, found, show, ink, ground, dark)
        axes.set_xscale("log" if found.x.log else "linear")
        axes.set_yscale("log" if found.y.log else "linear")
        axes.set(xlabel=_name(found.x.key), ylabel=_name(found.y.key))
        axes.set(xlim=(found.x.low, found.x.high), ylim=(found.y.low, found.y.high))
        settings = ", ".join(f"{name} {_short(value)}" for name, value in found.settings.items())
        headline = f"{found.rule.name} on {found.function.name}, {found.steps} epochs"
        axes.set_title("\n".join([headline, *wrap(settings, 70)]))
        handles, labels = axes.get_legend_handles_labels()
        if labels:
            figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(getattr(value, "name", value))


def _name(key: str) -> str:
    return f"$w_{{{key[1:]}}}$" if key.startswith("w") else key.removeprefix("algo.")


def _values(figure: Any, axes: Any, found: Map, show: str, ink: str, ground: str, dark: bool) -> None:
    from matplotlib.colors import ListedColormap

    if show == "value":
        above = "f - f_{min}" if found.function.minima else r"f - \mathrm{lowest}\ f"
        shown, label = found.height, rf"$\log_{{10}}({above})$ after the last epoch"
    else:
        shown, label = found.steps_to_tolerance, f"epochs to |gradient| < {found.tolerance:g}"
    axes.set_facecolor("#3a3a3a" if dark else "#d9d9d9")
    mesh = axes.pcolormesh(
        found.x.points, found.y.points, shown, cmap="viridis", rasterized=True, shading="nearest"
    )
    figure.colorbar(mesh, ax=axes, label=label, pad=0.02)
    axes.plot([], [], "s", color=axes.get_facecolor(), markeredgecolor=ink, label="diverged")
    moving = ~np.isfinite(shown) & ~found.diverged
    if moving.any():
        colour = "#6b4a4a" if dark else "#f2c6c2"
        layer = np.ma.masked_where(~moving, moving.astype(float))
        axes.pcolormesh(
            found.x.points,
            found.y.points,
            layer,
            cmap=ListedColormap([colour]),
            rasterized=True,
            shading="nearest",
        )
        axes.plot([], [], "s", color=colour, markeredgecolor=ink, label="not converged")
    edge = series(2, dark)[1]["color"]
    _edge(axes, found, edge)
    if found.optimum is not None:
        style = {"color": "white", "markeredgecolor": "black", "markersize": 15, "linestyle": ""}
        axes.plot(*found.optimum, marker="*", **style, label="best in the long run (theory)")


def _edge(axes: Any, found: Map, colour: str) -> None:
    """The limit of stability: in closed form where lr is an axis, else where the spectral radius is 1."""
    x, y = (axis.points[:: max(1, axis.count // FINE)] for axis in (found.x, found.y))
    if found.limit is not None:
        curve = (found.limit, found.y.points) if found.x.field == "lr" else (found.x.points, found.limit)
        axes.plot(*curve, color="white", linewidth=3.6)
        axes.plot(*curve, "--", color=colour, linewidth=2)
    elif (radius := found.radius(x, y)) is not None and radius.min() < 1 < radius.max():
        axes.contour(x, y, radius, levels=[1.0], colors="white", linewidths=3.6)
        axes.contour(x, y, radius, levels=[1.0], colors=colour, linewidths=2, linestyles="--")
    else:
        return
    axes.plot([], [], "--", color=colour, linewidth=2, label="limit of stability (theory)")


def _basins(axes: Any, found: Map, ink: str, ground: str, dark: bool) -> None:
    from matplotlib.colors import ListedColormap

    minima = found.function.minima
    colours = [style["color"] for style in series(len(minima), dark)]
    nothing = "#3a3a3a" if dark else "#d9d9d9"
    numbers = np.where(found.basin < 0, 0, found.basin + 1)
    axes.pcolormesh(
        found.x.points, found.y.points, numbers, cmap=ListedColormap([nothing, *colours]), vmin=-0.5,
        vmax=len(minima) + 0.5, rasterized=True, shading="nearest", alpha=0.85,
    )  # fmt: skip
    for minimum, colour in zip(minima, colours, strict=True):
        style = {"color": colour, "markeredgecolor": ink, "markersize": 13, "linestyle": ""}
        axes.plot(*minimum, marker="*", **style, label=f"({minimum[0]:.3g}, {minimum[1]:.3g})")
    if (found.basin < 0).any():
        axes.plot([], [], "s", color=nothing, markeredgecolor=ink, label="no minimum reached")
