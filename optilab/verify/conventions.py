"""The conventions and slips in which implementations of momentum, RMSProp and Adam differ, as one lattice.

One point of the lattice is one implementation; `path` follows it with every choice written out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

import numpy as np

from optilab.optimize import Objective
from optilab.optimize.objective import Floats

MOMENTS = {
    "sgd": (False, False),
    "momentum": (True, False),
    "rmsprop": (False, True),
    "adam": (True, True),
    "adamw": (True, True),
}
"""Rule -> whether it has a first and a second moment."""
MOST_DIFFERENCES = 3
"""An explanation of more parts than this explains nothing."""


@dataclass(frozen=True)
class Convention:
    """One implementation: the choices of correct ones first, then the slips, which correct ones never make."""

    velocity: str
    eps: str
    corrected: str
    counted_from: int
    decay: str
    sign: str = "down"
    square: str = "squared"
    root: str = "root"
    betas: str = "own"
    order: str = "updated first"
    gradient: str = "here"

    def differences(self, other: "Convention") -> tuple[str, ...]:
        """What this implementation does that the other does not, in words."""
        return tuple(
            words[getattr(self, key)] for key, words in _WORDS.items() if getattr(self, key) != getattr(other, key)
        )

    def distance(self, other: "Convention") -> int:
        """The number of choices that differ."""
        return sum(getattr(self, f.name) != getattr(other, f.name) for f in fields(self))


_WORDS: dict[str, dict[Any, str]] = {
    "velocity": {
        "ema": "the gradient enters the velocity as (1 - beta)*g (ema)",
        "classic": "the gradient enters the velocity as g, not as (1 - beta)*g (classic)",
    },
    "eps": {
        "inside": "eps inside the root",
        "outside": "eps outside the root",
        "added": "eps added to the ratio",
    },
    "corrected": {
        "both": "bias correction",
        "first": "bias correction of the first moment only",
        "second": "bias correction of the second moment only",
        "none": "no bias correction",
    },
    "counted_from": {
        0: "t counted from 0, so the first correction divides by 1 - beta^0 = 0",
        1: "t counted from 1",
        2: "t counted from 2, so the first correction divides by 1 - beta^2",
    },
    "decay": {"coupled": "weight decay added to the gradient (coupled)", "decoupled": "decoupled weight decay"},
    "sign": {"down": "steps go downhill", "up": "the step is added to w, not subtracted: it goes uphill"},
    "square": {
        "squared": "the second moment averages g^2",
        "absolute": "the second moment averages |g|: the square is missing",
        "plain": "the second moment averages g: the square is missing",
    },
    "root": {"root": "the root of the second moment", "none": "the root of the second moment is missing"},
    "betas": {"own": "beta1 and beta2 in their places", "swapped": "beta1 and beta2 are swapped"},
    "order": {
        "updated first": "the moments are updated before they are used",
        "velocity late": "the velocity is used before it is updated",
        "second late": "the second moment is used before it is updated",
    },
    "gradient": {
        "here": "the gradient at w",
        "previous": "the gradient is that of the previous point",
        "ahead": "the gradient is taken at the look-ahead point, not at w (Nesterov)",
    },
}


def lattice(name: str, decays: bool) -> Iterator[Convention]:
    """Every implementation of the rule; without weight decay its two forms are one."""
    first, second = MOMENTS[name]
    moments = first or second
    corrections = [("none", 1)]
    if moments:
        corrections += [("both", 1), ("both", 0), ("both", 2)]
    if first and second:
        corrections += [("first", 1), ("second", 1)]
    choices = product(
        ("ema", "classic") if first else ("ema",),
        ("outside", "inside", "added") if second else ("outside",),
        corrections,
        ("decoupled", "coupled") if decays else ("decoupled",),
        ("down", "up"),
        ("squared", "absolute", "plain") if second else ("squared",),
        ("root", "none") if second else ("root",),
        ("own", "swapped") if first and second else ("own",),
        ("updated first", *["velocity late"] * first, *["second late"] * second),
        ("here", "previous", *["ahead"] * first),
    )
    for velocity, eps, (corrected, counted_from), *rest in choices:
        yield Convention(velocity, eps, corrected, counted_from, *rest)


def path(
    convention: Convention, rule: Any, strength: float, function: Objective, start: Sequence[float], steps: int
) -> Floats:
    """The points that an implementation visits, (steps + 1, d), with the rule's numbers.

    `strength` is that of the weight decay.
    """
    first, second = MOMENTS[rule.name]
    beta1 = getattr(rule, "beta1", getattr(rule, "beta", 0.0))
    beta2 = getattr(rule, "beta2", getattr(rule, "decay", 0.0))
    if convention.betas == "swapped":
        beta1, beta2 = beta2, beta1
    eps = getattr(rule, "eps", 0.0)
    sign = 1.0 if convention.sign == "up" else -1.0
    w = np.array(start, dtype=np.float64)
    points, V, S = [w], np.zeros_like(w), np.zeros_like(w)
    previous = function.gradient(w)
    with np.errstate(all="ignore"):
        for t in range(convention.counted_from, convention.counted_from + steps):
            at = w - rule.lr * beta1 * V if convention.gradient == "ahead" else w
            g = function.gradient(at)
            if convention.gradient == "previous":
                g, previous = previous, g
            if convention.decay == "coupled":
                g = g + strength * w
            stale_V, stale_S = V, S
            V = beta1 * V + (g if convention.velocity == "classic" else (1 - beta1) * g)
            power = {"squared": g**2, "absolute": np.abs(g), "plain": g}[convention.square]
            S = beta2 * S + (1 - beta2) * power
            v = (stale_V if convention.order == "velocity late" else V) if first else g
            s = stale_S if convention.order == "second late" else S
            if first and convention.corrected in ("both", "first"):
                v = v / (1 - beta1**t)
            if convention.corrected in ("both", "second"):
                s = s / (1 - beta2**t)
            root = np.sqrt if convention.root == "root" else np.positive
            if not second:
                ratio = v
            elif convention.eps == "outside":
                ratio = v / (root(s) + eps)
            elif convention.eps == "inside":
                ratio = v / root(s + eps)
            else:
                ratio = v / root(s) + eps
            decay = strength * w if convention.decay == "decoupled" else 0.0
            w = w + sign * rule.lr * ratio - rule.lr * decay
            points.append(w)
    return np.stack(points)
