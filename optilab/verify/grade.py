"""Is an implementation the rule it is meant to be, and if not, which convention explains the difference?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from optilab.optimize import Regime, TestFunction, descend
from optilab.optimize.functions import Floats
from optilab.verify.candidate import Candidate

TOLERANCE = 1e-11
TELLING = {"lr": 0.1, "eps": 1e-3}
"""Settings in which conventions differ visibly; a candidate that takes them gets them, unless others are given."""


@dataclass(frozen=True)
class Verdict:
    """What a comparison found; `first_step` and the rest are None where the two agree.

    `point` and `expected` are where the candidate and the rule are after the first step on which they differ, and
    `explanation` the conventions that turn the rule into the candidate: () where none of the known ones do.
    """

    settings: Mapping[str, Any]
    steps: int
    first_step: int | None = None
    point: tuple[float, ...] | None = None
    expected: tuple[float, ...] | None = None
    difference: float | None = None
    explanation: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return self.first_step is None


def grade(
    candidate: Candidate,
    rule: Any,
    function: TestFunction,
    start: Sequence[float] | None = None,
    steps: int = 30,
    regime: Regime | None = None,
    given: Sequence[str] = (),
) -> Verdict:
    """Compare a candidate with `rule`, both in float64 from the same start.

    Differences are relative to the largest coordinate of the rule's path. Settings named in `given` are kept, the
    others are moved to where conventions show (`TELLING`) if the candidate takes them.
    """
    regime = regime or Regime()
    decay = {} if hasattr(rule, "weight_decay") else {"weight_decay": regime.weight_decay}
    start = tuple(function.start if start is None else start)
    telling = {
        key: value
        for key, value in TELLING.items()
        if hasattr(rule, key) and key not in given and candidate.accepts(key, _settings(rule) | decay)
    }
    rule = replace(rule, **telling)
    settings = _settings(rule) | decay
    theirs = _padded(candidate.path(settings, function, start, steps), steps)
    ours = _padded(descend(rule, function, start, steps, regime=regime).points, steps)
    step = _first_difference(theirs, ours)
    if step is None:
        return Verdict(settings, steps)
    changes = [
        changed
        for changed, path in _variants(rule, function, start, steps, regime, ours)
        if _first_difference(theirs, path) is None
    ]
    scale = np.nanmax(np.abs(ours))
    return Verdict(
        settings,
        steps,
        step,
        tuple(theirs[step].tolist()),
        tuple(ours[step].tolist()),
        float(np.abs(theirs[step] - ours[step]).max() / scale),
        min(changes, key=len, default=()),
    )


def _settings(rule: Any) -> dict[str, Any]:
    return {f.name: v for f in fields(rule) if isinstance(v := getattr(rule, f.name), float | int)}


def _padded(points: Floats, steps: int) -> Floats:
    """The path, (steps + 1, d), with NaN from where it left the numbers."""
    left = ~np.isfinite(points).all(axis=1)
    end = int(np.argmax(left)) if left.any() else len(points)
    return np.concatenate([points[:end], np.full((steps + 1 - end, points.shape[1]), np.nan)])


def _first_difference(a: Floats, b: Floats) -> int | None:
    close = np.isclose(a, b, rtol=0.0, atol=TOLERANCE * np.nanmax(np.abs(b)), equal_nan=True).all(axis=1)
    return None if close.all() else int(np.argmin(close))


def _variants(
    rule: Any, function: TestFunction, start: Sequence[float], steps: int, regime: Regime, ours: Floats
) -> Iterator[tuple[tuple[str, ...], Floats]]:
    """Every known variant of a rule: what is changed, in words, and its path."""
    if rule.name in _MOMENTS:
        conventions = _lattice(*_MOMENTS[rule.name])
        lattice = [(c, _follow(c, rule, function, start, steps, regime)) for c in conventions]
        own = next((c for c, path in lattice if _first_difference(path, ours) is None), None)
        for convention, path in lattice:
            if own is not None:
                yield convention.differs_from(own), path
    hints = get_type_hints(type(rule))
    choices = {
        key: get_args(hint) if get_origin(hint) is Literal else (False, True)
        for key, hint in hints.items()
        if (get_origin(hint) is Literal or hint is bool) and hasattr(rule, key)
    }
    for values in product(*choices.values()):
        form = dict(zip(choices, values, strict=True))
        changed = tuple(f"{k} {v}".lower() for k, v in form.items() if v != getattr(rule, k))
        path = descend(replace(rule, **form), function, start, steps, regime=regime).points
        yield changed, _padded(path, steps)


_MOMENTS = {"momentum": (True, False), "rmsprop": (False, True), "adam": (True, True), "adamw": (True, True)}
"""Which moments a rule has: the first, the second."""


@dataclass(frozen=True)
class Convention:
    """One point of the lattice of conventions in which implementations of the same rule differ."""

    first: bool
    second: bool
    velocity: str
    eps: str
    corrected: str
    counted_from: int
    decay: str

    def differs_from(self, other: "Convention") -> tuple[str, ...]:
        """In words, what this one does that the other does not."""
        return tuple(
            words[getattr(self, key)] for key, words in _WORDS.items() if getattr(self, key) != getattr(other, key)
        )


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
    },
    "decay": {"coupled": "weight decay added to the gradient (coupled)", "decoupled": "decoupled weight decay"},
}


def _lattice(first: bool, second: bool) -> Iterator[Convention]:
    velocities = ("ema", "classic") if first else ("ema",)
    places = ("outside", "inside", "added") if second else ("outside",)
    corrections = [("both", 1), ("both", 0), ("none", 1)] + [("first", 1), ("second", 1)] * (first and second)
    for velocity, eps, (corrected, counted), decay in product(
        velocities, places, corrections, ("decoupled", "coupled")
    ):
        yield Convention(first, second, velocity, eps, corrected, counted, decay)


def _follow(
    convention: Convention,
    rule: Any,
    function: TestFunction,
    start: Sequence[float],
    steps: int,
    regime: Regime,
) -> Floats:
    """The path of a convention with the rule's numbers: Adam and its parts once more, with every choice open."""
    beta1 = getattr(rule, "beta1", getattr(rule, "beta", 0.0))
    beta2 = getattr(rule, "beta2", getattr(rule, "decay", 0.0))
    eps, strength = getattr(rule, "eps", 0.0), getattr(rule, "weight_decay", regime.weight_decay)
    w = np.array(start, dtype=np.float64)
    points, V, S = [w], np.zeros_like(w), np.zeros_like(w)
    with np.errstate(all="ignore"):
        for t in range(convention.counted_from, convention.counted_from + steps):
            g = function.gradient(w)
            if convention.decay == "coupled":
                g = g + strength * w
            V = beta1 * V + (g if convention.velocity == "classic" else (1 - beta1) * g)
            S = beta2 * S + (1 - beta2) * g**2
            v, s = (V if convention.first else g), S
            if convention.first and convention.corrected in ("both", "first"):
                v = v / (1 - beta1**t)
            if convention.corrected in ("both", "second"):
                s = s / (1 - beta2**t)
            if not convention.second:
                ratio = v
            elif convention.eps == "outside":
                ratio = v / (np.sqrt(s) + eps)
            elif convention.eps == "inside":
                ratio = v / np.sqrt(s + eps)
            else:
                ratio = v / np.sqrt(s) + eps
            decay = strength * w if convention.decay == "decoupled" else 0.0
            w = w - rule.lr * (ratio + decay)
            points.append(w)
    return _padded(np.stack(points), steps)
