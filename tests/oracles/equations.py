"""Equations written a second time, as their papers print them, of the forms that torch.optim and optax lack.

Each gives the points after the first on a function, which has a `start`, a `gradient` and, on vectors, a `hessian`.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from optilab.optimize.functions import Expression
from optilab.optimize.objective import Floats

Points = Iterator[Floats]
STEPS = 100


def adan(rule: Any, function: Any) -> Points:
    """Xie et al. 2022, algorithm 1, with the corrections of its code, or with the decay next to the step."""
    w = np.array(function.start)
    mean = change = square = previous = np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = function.gradient(w)
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


def adamax(rule: Any, function: Any) -> Points:
    """Kingma & Ba 2015, algorithm 2, with eps as Keras adds it."""
    w = np.array(function.start)
    mean = largest = np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = function.gradient(w)
        mean = rule.beta1 * mean + (1 - rule.beta1) * g
        largest = np.maximum(rule.beta2 * largest, np.abs(g))
        w = w - rule.lr / (1 - rule.beta1**t) * mean / (largest + rule.eps)
        yield w


def yogi(rule: Any, function: Any) -> Points:
    """Zaheer et al. 2018, algorithm 2, which corrects nothing, or as TensorFlow Addons corrects both moments."""
    w = np.array(function.start)
    square = np.full_like(w, rule.initial_accumulator)
    mean = square if rule.accumulators == "both" else np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = function.gradient(w)
        mean = rule.beta1 * mean + (1 - rule.beta1) * g
        square = square - (1 - rule.beta2) * np.sign(square - g * g) * g * g
        rate = rule.lr
        if rule.bias_correction:
            rate = rule.lr * np.sqrt(1 - rule.beta2**t) / (1 - rule.beta1**t)
        w = w - rate * mean / (np.sqrt(square) + rule.eps)
        yield w


def prodigy(rule: Any, function: Any) -> Points:
    """Mishchenko & Defazio 2023, algorithm 4, with a decay that passes no moment."""
    w = np.array(function.start)
    start, d, r = w, rule.d0, 0.0
    mean = square = total = np.zeros_like(w)
    for _ in range(STEPS):
        g, weight = function.gradient(w), d * d * rule.lr / rule.d0
        mean = rule.beta1 * mean + (1 - rule.beta1) * d * g
        square = rule.beta2 * square + (1 - rule.beta2) * d**2 * g**2
        r = np.sqrt(rule.beta2) * r + weight * np.sum(g * (start - w))
        total = np.sqrt(rule.beta2) * total + weight * g
        before, d = d, max(d, r / np.abs(total).sum())
        w = w - rule.lr * before * (mean / (np.sqrt(square) + d * rule.eps) + rule.weight_decay * w)
        yield w


def barzilai_borwein(rule: Any, function: Any) -> Points:
    """Barzilai & Borwein 1988, summed in NumPy's order, because the method amplifies every rounding error."""
    w, size = np.array(function.start), rule.lr
    gradient = function.gradient(w)
    for _ in range(STEPS):
        step, before = -size * gradient, gradient
        w = w + step
        yield w
        gradient = function.gradient(w)
        change = gradient - before
        if (step * change).sum() > 0:
            above, below = (step, step * change) if rule.form == "long" else (change, change * change)
            size = float((step * above).sum() / below.sum())


def newton(rule: Any, function: Any) -> Points:
    """Nocedal & Wright 2006, with the Hessian of the function's formula, differentiated symbol by symbol."""
    w = np.array(function.start)
    hessian = Expression(
        re.sub(r"\b[ab]\b", lambda name: f"{getattr(function, name[0]):g}", function.formula)
    ).hessian
    for _ in range(STEPS):
        matrix = hessian(w)
        if rule.name == "damped-newton":
            matrix = matrix + (rule.damping + max(0.0, -np.linalg.eigvalsh(matrix)[0])) * np.eye(len(w))
        w = w - np.linalg.solve(matrix, function.gradient(w))
        yield w


def shampoo(rule: Any, function: Any) -> Points:
    """Gupta, Koren & Singer 2018, with SciPy's powers, of the diagonal alone where a matrix is large."""
    from scipy.linalg import fractional_matrix_power

    w = np.array(function.start)
    sums = [rule.eps * np.eye(length) for length in w.shape]
    for t in range(STEPS):
        g = function.gradient(w)
        for axis in range(w.ndim):
            rows = np.moveaxis(g, axis, 0).reshape(w.shape[axis], -1)
            sums[axis] = sums[axis] + rows @ rows.T
        if t % rule.interval == 0:
            masked = [np.diag(np.diag(s)) if len(s) > rule.largest_side else s for s in sums]
            powers = [np.real(fractional_matrix_power(s, -0.5 / w.ndim)) for s in masked]
        w = w - rule.lr * (powers[0] @ g @ powers[1] if w.ndim == 2 else powers[0] @ g)
        yield w


def line_search(rule: Any, function: Any) -> Points:
    """SciPy's results after 1, 2, 3, ... iterations."""
    from scipy.optimize import minimize

    method, options = {"l-bfgs": ("L-BFGS-B", {"ftol": 0.0}), "conjugate-gradient": ("CG", {})}[rule.name]
    for t in range(1, STEPS + 1):
        options = {**options, "gtol": 1e-12, "maxiter": t}
        yield minimize(function.value, function.start, jac=function.gradient, method=method, options=options).x
