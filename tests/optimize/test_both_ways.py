"""The formula that runs against the code that was written by hand: the same bits for every rule in every form."""

from dataclasses import fields, replace
from importlib import import_module

import numpy as np
import pytest

from optilab.optimize import OBJECTIVES, RULES
from optilab.optimize.rule import quantities_for
from tests.contracts import forms

MODULES = ("momentum", "adam", "adaptive", "wrappers", "second_order")
BY_HAND = {
    kind.name: kind
    for module in MODULES
    for kind in vars(import_module(f"optilab.optimize.handwritten.{module}")).values()
    if isinstance(kind, type) and isinstance(getattr(kind, "name", None), str) and hasattr(kind, "update")
}
GENERAL = {"lr": 0.01, "beta": 0.85, "beta1": 0.83, "beta2": 0.93, "beta3": 0.95, "eps": 1e-4, "weight_decay": 0.03}
GENERAL |= {"momentum": 0.7, "initial_accumulator": 0.2, "lr_decay": 0.1, "l1": 0.02, "l2": 0.03, "largest_norm": 2.0}
LAST_BITS = {("schedule-free-sgd", "rosenbrock"): 1e-13}
"""A path that diverges: w itself is calculated now, not the step to it."""


def by_hand(rule, function, steps):
    quantities = {
        "value": function.value,
        "hessian": function.hessian,
        "gradient_at": lambda x: lambda step: function.gradient(x + step),
        "hessian_diagonal": lambda x: lambda: function.hessian(x).diagonal(axis1=-2, axis2=-1),
        "function": lambda x: function,
    }
    x = np.array([function.start])
    state, points = rule.init(x), [x]
    for _ in range(steps):
        step, state = rule.update(function.gradient(x), state, **{name: quantities[name](x) for name in rule.needs})
        x = x + step
        points.append(x)
    return np.concatenate(points)


def by_formula(rule, function, steps):
    w = np.array([function.start])
    state, points = rule.init(w), [w]
    for t in range(1, steps + 1):
        w, state = rule.step(w, function.gradient(w), t, state, **quantities_for(rule, function, w))
        points.append(w)
    return np.concatenate(points)


@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize(
    "rule", [rule for kind in RULES.values() if kind.weights != "matrices" for rule in forms(kind)], ids=str
)
def test_formula_has_the_bits_of_the_code(rule, general):
    names = {field.name for field in fields(rule)}
    changed = {key: value for key, value in GENERAL.items() if key in names and (general or key == "lr")}
    rule = replace(rule, **changed)
    settings = {name: getattr(rule, name) for name in names - {"base"}}
    for name in ("ravine", "himmelblau", "rosenbrock"):
        function = OBJECTIVES[name]()
        with np.errstate(all="ignore"):
            expected = by_hand(BY_HAND[rule.name](**settings), function, 150)
            found = by_formula(rule, function, 150)
        if within := LAST_BITS.get((rule.name, name)):
            np.testing.assert_allclose(found, expected, rtol=within)
        else:
            assert np.array_equal(found, expected, equal_nan=True), name
