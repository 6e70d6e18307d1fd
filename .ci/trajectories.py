"""The trajectory of each optimizer as a small SVG for docs/optimizers.md, in colors for light and dark pages."""

from dataclasses import replace

import numpy as np

from optilab.optimize import OBJECTIVES, RULES, descend
from optilab.optimize.path import Trajectory
from optilab.optimize.rule import Rule

STEPS = 40
RATES = np.geomspace(1e-3, 10, 24)
SCALE = 50
"""Pixels per unit of w."""
LEFT, RIGHT, BOTTOM, TOP = -6, 3, -2.3, 2.3
LEVELS = 10.0 ** np.arange(-2, 2, 0.5)

SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">
<marker id="dot" viewBox="-2 -2 4 4" markerWidth="3"><circle r="1.6" fill="#e8590c"/></marker>
<g fill="none" stroke="#999" stroke-width=".6">
{contours}
<polyline stroke="#888" stroke-width="1.5" points="{descent}"/>
</g>
<g fill="none" stroke="#e8590c" stroke-width="1.6">
<polyline marker-mid="url(#dot)" marker-end="url(#dot)" points="{points}"/>
</g>
<path stroke="#888" stroke-width="1.5" d="M{x:.0f} {y:.0f}m-5 0h10m-5-5v10"/>
<text x="8" y="{bottom:.0f}" fill="#888" font-family="sans-serif" font-size="13">{label}</text>
</svg>
"""


def pictures() -> dict[str, str]:
    """By the name of an optimizer: 40 steps on the ravine over those of gradient descent, at the rate with the lowest
    mean of f. Those that need matrices have no trajectory."""
    best = {name: _best(kind()) for name, kind in RULES.items() if kind().weights != "matrices"}
    descent = best["sgd"][1]
    return {name: _svg(name, rate, path, descent) for name, (rate, path) in best.items()}


def _best(rule: Rule) -> tuple[float | None, Trajectory]:
    function = OBJECTIVES["ravine"]()
    rates = RATES if hasattr(getattr(rule, "base", rule), "lr") else [None]
    paths = [(rate, descend(_at(rule, rate), function, steps=STEPS)) for rate in rates]
    return min((pair for pair in paths if pair[1].diverged_at is None), key=lambda pair: pair[1].values.mean())


def _at(rule: Rule, rate: float | None) -> Rule:
    if rate is None:
        return rule
    return replace(rule, base=replace(rule.base, lr=rate)) if hasattr(rule, "base") else replace(rule, lr=rate)


def _svg(name: str, rate: float | None, path: Trajectory, descent: Trajectory) -> str:
    x, y = -LEFT * SCALE, TOP * SCALE
    ellipses = [
        f'<ellipse cx="{x:.0f}" cy="{y:.0f}" rx="{SCALE * (f / 0.1) ** 0.5:.1f}" ry="{SCALE * (f / 2) ** 0.5:.1f}"/>'
        for f in LEVELS
    ]
    return SVG.format(
        width=(RIGHT - LEFT) * SCALE,
        height=(TOP - BOTTOM) * SCALE,
        bottom=(TOP - BOTTOM) * SCALE - 8,
        contours="\n".join(ellipses),
        descent=_points(descent),
        points=_points(path),
        x=x,
        y=y,
        label=name if rate is None else f"{name}, lr {rate:.2g}",
    )


def _points(path: Trajectory) -> str:
    return " ".join(f"{SCALE * (w1 - LEFT):.1f},{SCALE * (TOP - w2):.1f}" for w1, w2 in path.points)
