"""The keys of `optilab optimize`."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from math import isfinite
from typing import Annotated, Any, ClassVar

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Len
from pydantic import Strict

from optilab.config.claims import PATH, Claims, measured
from optilab.config.section import OneOf, OneRule, ScalarOrList, Section
from optilab.optimize import OBJECTIVES, SCHEDULES, Objective, Regime, Rule, schedules
from optilab.optimize.objective import formula_of, label_of
from optilab.optimize.schedules import Constant
from optilab.words import plural, short_setting


def point_text(point: Sequence[float]) -> str:
    """A point as it is typed: `-5,-2`."""
    return ",".join(f"{w:g}" for w in point)


class OneFunction(OneOf):
    """A test function, or a function of Python, which is read as a formula."""

    def entry(self, name: Any, settings: dict[str, Any]) -> Any:
        if callable(name):
            return super().entry("expression", {"formula": formula_of(name)})
        return super().entry(name, settings)


class OptimizeConfig(Section):
    """`optilab optimize`: the paths of one or several optimizers on one function."""

    kind: ClassVar[str] = "optimize"

    algo: Annotated[
        tuple[Annotated[Rule, OneRule()], ...],
        Strict(False),
        Len(1, 100),
        ScalarOrList(),
        Doc("the optimizer, or a list of several to compare"),
    ]
    function: Annotated[Objective, OneFunction(OBJECTIVES, "function"), Doc("the test function")] = OBJECTIVES[
        "ravine"
    ]()
    start: Annotated[
        Annotated[tuple[float, ...], Strict(False), ScalarOrList((int, float))] | None,
        Doc("start point; by default the function's own"),
    ] = None
    epochs: Annotated[int, Ge(1), Le(1_000_000), Doc("number of steps")] = 30
    tolerance: Annotated[float, Gt(0), Doc("converged when the gradient's norm is below this")] = 1e-3

    schedule: Annotated[Any, OneOf(SCHEDULES, "schedule"), Doc("factor of the learning rate")] = Constant()
    weight_decay: schedules.DecayStrength = 0.0
    weight_decay_form: schedules.DecayForm = "coupled"
    clip_norm: schedules.Clip = None
    clip_value: schedules.ClipValue = None
    noise: schedules.Noise = 0.0
    seed: schedules.Seed = 0
    expect: Annotated[Claims, measured(PATH)] = ()

    @property
    def regime(self) -> Regime:
        """The schedule, decay, clipping and noise that all rules share."""
        return Regime(**{f.name: getattr(self, f.name) for f in fields(Regime)})

    @property
    def labels(self) -> list[str]:
        """Each rule's name, with the settings in which it differs from others of the name: `adam lr 0.2`."""
        labels: list[str] = []
        for rule in self.algo:
            same_name = [other for other in self.algo if other.name == rule.name]
            values = {f.name: getattr(rule, f.name) for f in fields(rule)}  # type: ignore[arg-type]
            differing = [key for key, value in values.items() if any(getattr(o, key) != value for o in same_name)]
            label = " ".join([rule.name, *(f"{key} {short_setting(values[key])}" for key in differing)])
            count = sum(label == other.partition(" #")[0] for other in labels) + 1
            labels.append(label if count == 1 else f"{label} #{count}")
        return labels

    @property
    def legend(self) -> list[str]:
        """The labels for a picture, which has no table of settings: with the learning rate, where there is one."""
        rates = [f" lr {rule.lr:g}" if hasattr(rule, "lr") else "" for rule in self.algo]
        names = [rule.name for rule in self.algo]
        labels = [label.removeprefix(name) for label, name in zip(self.labels, names, strict=True)]
        parts = zip(names, rates, labels, strict=True)
        return [f"{name}{rate * (' lr ' not in settings)}{settings}" for name, rate, settings in parts]

    def inconsistencies(self) -> Iterator[tuple[str, str]]:
        named = {rule.label: rule.original for rule in self.algo if rule.label}
        if twice := [
            rule.label for rule in self.algo if named.get(rule.label, rule.original) is not rule.original
        ]:
            yield f"two optimizers have the name {twice[0]}", "algo"
        dimension = len(self.function.start)
        if self.start is not None and len(self.start) != dimension:
            expected = f"expected {plural(dimension, 'coordinate')} for {label_of(self.function)}"
            yield f"{expected}, got {plural(len(self.start), 'number')}", "start"
            return
        import numpy as np

        start = self.function.start if self.start is None else self.start
        with np.errstate(all="ignore"):
            value = float(self.function.value(np.array(start, dtype=float)))
        if not isfinite(value):
            yield f"expected a start where f is finite; it is {value} at {point_text(start)}", "start"
