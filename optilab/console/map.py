"""`optilab map`: the map as text, its numbers, and the theory."""

from collections.abc import Mapping
from functools import partial
from string import ascii_lowercase
from typing import Any

import numpy as np

from optilab.console import pictures
from optilab.optimize.objective import Floats
from optilab.show import terminal
from optilab.study.axes import Axis
from optilab.study.map import Map, summary
from optilab.words import setting


def show(found: Map, what: str) -> None:
    """The picture, then the numbers."""
    numbers = summary(found)
    over = f"{found.x.key} {_span(found.x)}   {found.y.key} {_span(found.y)}"
    terminal.say(f"{found.rule.name} on {found.function.name}   {over}   {found.steps} epochs", style="bold")
    if found.settings:
        terminal.say("   ".join(f"{name} {setting(value)}" for name, value in found.settings.items()))
    terminal.say()
    x, y = ((axis.key.removeprefix("algo."), axis.low, axis.high) for axis in (found.x, found.y))
    if found.of_starts:
        pictures.basins(found.basin, len(found.function.minima), x, y)
        terminal.say()
        _basins(found, numbers)
        return
    values, title = _shown(found, what)
    pictures.heat(values, found.diverged, partial(_stable, found), title, x, y)
    terminal.say()
    share = f"{numbers['diverged'] / numbers['cells']:.1%} diverged, {numbers['converged'] / numbers['cells']:.1%}"
    terminal.say(f"{numbers['cells']:,} cells: {share} converged (|grad| < {found.tolerance:g} at some epoch)")
    if numbers["best"]:
        terminal.say("lowest: " + "   ".join(f"{key} {value:.4g}" for key, value in numbers["best"].items()))
    if numbers["theory"]:
        terminal.say(
            "theory, in the long run: " + "   ".join(f"{k} {v:.4g}" for k, v in numbers["theory"].items())
        )


def _basins(found: Map, numbers: Mapping[str, Any]) -> None:
    """The share of the starts per minimum, and how many of their paths have settled there."""
    cells = numbers["cells"]
    terminal.say(f"{cells:,} starts by the minimum that is near the end of the path:")
    names = [
        f"{letter} ({', '.join(f'{value:.6g}' for value in minimum)})"
        for letter, minimum in zip(ascii_lowercase, found.function.minima, strict=False)
    ]
    rest = f". none ({numbers['diverged'] / cells:.1%} diverged)"
    for name, count in zip([*names, rest], numbers["basins"].values(), strict=True):
        terminal.say(f"  {name}: {count / cells:.1%}")
    if numbers["converged"] + numbers["diverged"] < cells:
        share = f"{numbers['converged'] / cells:.1%}"
        terminal.say(
            f"{share} had |grad| < {found.tolerance:g} by epoch {found.steps}; more --epochs would settle others"
        )


def _span(axis: Axis) -> str:
    return f"{axis.low:g} to {axis.high:g} ({axis.count}{', log' if axis.log else ''})"


def _shown(found: Map, what: str) -> tuple[Floats, str]:
    if what == "value":
        return found.height, f"log10 of {found.above}"
    return found.steps_to_tolerance, f"epochs to |grad| < {found.tolerance:g}"


def _stable(found: Map, rows: Any, columns: Any) -> Any:
    """Where these cells are stable by theory; None without one."""
    radius = found.radius(found.x.points[columns], found.y.points[rows])
    return None if radius is None else radius < 1


def document(found: Map) -> dict[str, Any]:
    """The JSON document: axes, summary, and per cell the final f, null where it diverged."""
    values = np.where(np.isfinite(found.ends.values) & ~found.diverged, found.ends.values, np.nan)
    return {
        "algo": found.rule.name,
        "function": found.function.name,
        "epochs": found.steps,
        "x": {"key": found.x.key, "values": found.x.points.tolist()},
        "y": {"key": found.y.key, "values": found.y.points.tolist()},
        **summary(found),
        "limit": None if found.limit is None else found.limit.tolist(),
        "f": values.tolist(),
        "first_below": found.first_below.tolist(),
        "basin": found.basin.tolist(),
    }
