"""`optilab map`: the map as text, what it found, and what theory says about it."""

from functools import partial
from string import ascii_lowercase
from typing import Any

import numpy as np

from optilab import console
from optilab.console import pictures
from optilab.console.optimize import settings
from optilab.optimize.functions import Floats
from optilab.studies.map import Axis, Map, summary


def show(found: Map, what: str) -> None:
    """The picture, then the numbers."""
    said = summary(found)
    over = f"{found.x.key} {_span(found.x)}   {found.y.key} {_span(found.y)}"
    console.say(f"{found.rule.name} on {found.function.name}   {over}   {found.steps} epochs", style="bold")
    console.say(settings(found.rule))
    console.say()
    x, y = ((axis.key.removeprefix("algo."), axis.low, axis.high) for axis in (found.x, found.y))
    if found.of_starts:
        pictures.basins(found.basin, len(found.function.minima), x, y)
    else:
        values, title = _shown(found, what)
        pictures.heat(values, found.diverged, partial(_stable, found), title, x, y)
    console.say()
    share = f"{said['diverged'] / said['cells']:.1%} diverged, {said['converged'] / said['cells']:.1%} converged"
    console.say(f"{said['cells']:,} cells: {share} (|grad| < {found.tolerance:g} at some epoch)")
    if found.of_starts:
        names = [
            f"{letter} ({', '.join(f'{value:.6g}' for value in minimum)})"
            for letter, minimum in zip(ascii_lowercase, found.function.minima, strict=False)
        ]
        for name, count in zip([*names, ". none"], said["basins"].values(), strict=True):
            console.say(f"  {name}: {count / said['cells']:.1%}")
    if said["best"] and not found.of_starts:
        console.say("lowest: " + "   ".join(f"{key} {value:.4g}" for key, value in said["best"].items()))
    if said["theory"]:
        console.say("theory, in the long run: " + "   ".join(f"{k} {v:.4g}" for k, v in said["theory"].items()))


def _span(axis: Axis) -> str:
    return f"{axis.low:g} to {axis.high:g} ({axis.count}{', log' if axis.log else ''})"


def _shown(found: Map, what: str) -> tuple[Floats, str]:
    if what == "value":
        return found.height, f"log10 of {found.above}"
    first = found.first_below
    return np.where(first < 0, found.steps, first).astype(float), f"epochs to |grad| < {found.tolerance:g}"


def _stable(found: Map, rows: Any, columns: Any) -> Any:
    """Where theory says that these cells are stable; None where it is silent."""
    radius = found.radius(found.x.values[columns], found.y.values[rows])
    return None if radius is None else radius < 1
