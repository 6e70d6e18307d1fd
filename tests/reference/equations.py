"""The equations of six forms that no library has, each written once more: as their papers print them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from optilab.optimize import OBJECTIVES, RULES, descend


def adan(gradient, w, rule, steps):
    """Xie et al. 2022, algorithm 1, with the corrections of its code; no-prox: the decay next to the step."""
    mean = change = square = previous = np.zeros_like(w)
    for t in range(1, steps + 1):
        g = gradient(w)
        c = g - previous if t > 1 else np.zeros_like(w)
        mean = rule.beta1 * mean + (1 - rule.beta1) * g
        change = rule.beta2 * change + (1 - rule.beta2) * c
        square = rule.beta3 * square + (1 - rule.beta3) * (g + rule.beta2 * c) ** 2
        eta = rule.lr / (np.sqrt(square / (1 - rule.beta3**t)) + rule.eps)
        step = eta * (mean / (1 - rule.beta1**t) + rule.beta2 * change / (1 - rule.beta2**t))
        if rule.form == "paper":
            w = (w - step) / (1 + rule.lr * rule.weight_decay)
        else:
            w = (1 - rule.lr * rule.weight_decay) * w - step
        previous = g
        yield w


def adamax(gradient, w, rule, steps):
    """Kingma & Ba 2015, algorithm 2, with eps as Keras adds it."""
    mean = largest = np.zeros_like(w)
    for t in range(1, steps + 1):
        g = gradient(w)
        mean = rule.beta1 * mean + (1 - rule.beta1) * g
        largest = np.maximum(rule.beta2 * largest, np.abs(g))
        w = w - rule.lr / (1 - rule.beta1**t) * mean / (largest + rule.eps)
        yield w


def yogi(gradient, w, rule, steps):
    """Zaheer et al. 2018, algorithm 2, which corrects nothing; TensorFlow Addons, which corrects both moments."""
    square = np.full_like(w, rule.initial_accumulator)
    mean = square if rule.accumulators == "both" else np.zeros_like(w)
    for t in range(1, steps + 1):
        g = gradient(w)
        mean = rule.beta1 * mean + (1 - rule.beta1) * g
        square = square - (1 - rule.beta2) * np.sign(square - g * g) * g * g
        rate = rule.lr
        if rule.bias_correction:
            rate = rule.lr * np.sqrt(1 - rule.beta2**t) / (1 - rule.beta1**t)
        w = w - rate * mean / (np.sqrt(square) + rule.eps)
        yield w


def prodigy(gradient, w, rule, steps):
    """Mishchenko & Defazio 2023, algorithm 4."""
    start, d, r = w, rule.d0, 0.0
    mean = square = total = np.zeros_like(w)
    for _ in range(steps):
        g, weight = gradient(w), d * d * rule.lr / rule.d0
        mean = rule.beta1 * mean + (1 - rule.beta1) * d * g
        square = rule.beta2 * square + (1 - rule.beta2) * d**2 * g**2
        r = np.sqrt(rule.beta2) * r + weight * np.sum(g * (start - w))
        total = np.sqrt(rule.beta2) * total + weight * g
        before, d = d, max(d, r / np.abs(total).sum())
        w = w - rule.lr * before * mean / (np.sqrt(square) + d * rule.eps)
        yield w


FORMS = [
    (adan, RULES["adan"](lr=0.05, weight_decay=0.1)),
    (adan, RULES["adan"](lr=0.05, weight_decay=0.1, form="no-prox")),
    (adamax, RULES["adamax"](lr=0.1, eps=0.01, eps_placement="outside")),
    (yogi, RULES["yogi"](lr=0.05, bias_correction=False)),
    (yogi, RULES["yogi"](lr=0.05, accumulators="second", eps_placement="uncorrected")),
    (prodigy, RULES["prodigy"](d0=0.01)),
]


@pytest.mark.parametrize(("equations", "rule"), FORMS, ids=[str(rule) for _, rule in FORMS])
@pytest.mark.parametrize("function", ["ravine", "himmelblau", "beale"])
def test_formula_is_the_equations(equations, rule, function):
    function = OBJECTIVES[function]()
    points = list(equations(function.gradient, np.array(function.start), rule, 60))
    assert_allclose(descend(rule, function, steps=60).points[1:], points, rtol=1e-9, atol=1e-9)
