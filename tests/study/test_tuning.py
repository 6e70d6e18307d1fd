"""Tuning: the same starts for all rules, the scale of each function, and one measure for choice and judgment."""

from dataclasses import replace

import numpy as np
import pytest

from optilab.config.study import RaceConfig
from optilab.optimize import OBJECTIVES, RULES, descend
from optilab.optimize.user_rule import rule_class
from optilab.study import tuning, tuning_space
from optilab.study.tuning import tune, tuned

CONDITIONS = RaceConfig(budget=7, starts=5, repeats=2, gradients=60)


def cost_by_descend(rule, function, start, conditions):
    """The first step near a minimum in the box and 1000 times lower than the start, or -1."""
    path = descend(rule, function, start, steps=conditions.gradients)
    low, high = np.array(function.box).T
    floor = float(function.value(np.array(function.minima[0])))
    near = np.min(
        [np.abs((path.points - m) / (high - low)).max(axis=1) for m in np.array(function.minima)], axis=0
    )
    solved = np.flatnonzero((near <= 0.05) & (path.values - floor < 1e-3 * (path.values[0] - floor)))
    return solved[0] if solved.size else -1


def test_the_best_setting_and_its_costs_are_those_that_descend_finds():
    """One half of the starts decides the order, the other half the numbers."""
    rule, function = RULES["momentum"](), OBJECTIVES["rosenbrock"]()
    result = tuned(rule, function, 1, CONDITIONS)
    starts = tuning._starts(function, 1, 10, CONDITIONS)
    settings = tuning._settings(rule, function, 1, CONDITIONS)
    tried = [replace(rule, **{name: float(values[i]) for name, values in settings.items()}) for i in range(7)]
    costs = np.array([[cost_by_descend(one, function, start, CONDITIONS) for start in starts] for one in tried])
    logs = np.log(np.where(costs < 0, 120, np.maximum(costs, 1)))
    best = np.argmin(logs[:, :5].mean(axis=1))
    assert result.settings == {name: values[best] for name, values in settings.items()}
    assert result.costs == costs[best, 5:].tolist()
    assert result.scores[0] == pytest.approx(logs[best, 5:].mean())
    assert sorted(result.scores) == pytest.approx(sorted(logs[:, 5:].mean(axis=1)))


def test_every_rule_meets_the_same_starts_and_every_repeat_and_function_other_ones():
    ravine, booth = OBJECTIVES["ravine"](), OBJECTIVES["booth"]()
    starts = tuning._starts(ravine, 0, 5, CONDITIONS)
    assert (starts != tuning._starts(ravine, 1, 5, CONDITIONS)).all()
    unit = (starts + np.array([6, 3])) / np.array([9, 6])
    assert (unit != (tuning._starts(booth, 0, 5, CONDITIONS) + 10) / 20).all()
    draws = [
        tuning._settings(RULES["sgd"](), function, repeat, CONDITIONS)["lr"]
        for function, repeat in ((ravine, 0), (ravine, 1))
    ]
    assert (draws[0] != draws[1]).all()


def test_a_tuned_rule_is_better_than_its_default():
    rule, function = RULES["sgd"](), OBJECTIVES["ravine"]()
    better = tune(rule, function, RaceConfig(budget=30))
    cost = [cost_by_descend(one, function, np.array(function.start), RaceConfig()) for one in (rule, better)]
    assert 0 < cost[1] < 60
    assert cost[0] == -1
    assert tune(RULES["polyak"](), OBJECTIVES["goldstein-price"](), CONDITIONS).f_min == 3.0


@pytest.mark.parametrize("name", ["sam", "lookahead"])
def test_a_rule_around_another_is_tuned_in_that_one(name):
    rule = RULES[name]()
    better = tune(rule, OBJECTIVES["ravine"](), RaceConfig(budget=30))
    assert better.base != rule.base
    assert replace(better, base=rule.base) == rule


def test_where_no_minimum_is_known_the_lowest_final_value_decides():
    rule, function = RULES["sgd"](), OBJECTIVES["expression"](formula="0.1*w1^2 + 2*w2^2 + w1")
    conditions = RaceConfig(budget=20, gradients=30)
    start = np.array([[-5.0, -2.0]])
    chosen = tune(rule, function, conditions, start)
    tried = tuning._settings(rule, function, 0, conditions)["lr"]
    finals = [descend(replace(rule, lr=float(lr)), function, start[0], steps=30).values[-1] for lr in tried]
    assert chosen.lr == tried[np.nanargmin(finals)]


def test_an_escape_below_the_minimum_is_not_nearer_to_it():
    """McCormick's function is lower outside its box, and a path that ends there has not come near."""
    rule, function = RULES["lion"](), OBJECTIVES["mccormick"]()
    settings = {"lr": np.array([0.3, 1e-4])}  # one escapes, the other hardly moves
    costs, left = tuning._solve(rule, function, np.array([[3.0, -3.0]]), settings, RaceConfig())
    assert costs.tolist() == [[-1, -1]]
    assert left[0, 0] == 16
    assert -1 < left[0, 1] < 0
    assert tuning._best_first(costs, left, RaceConfig())[0] == 1


def test_a_rule_that_needs_the_hessian_pays_for_it():
    rule, function = RULES["newton"](), OBJECTIVES["booth"]()
    assert tuning.gradients_per_step(rule, function) == 3
    result = tuned(rule, function, 0, RaceConfig(budget=20, starts=5, gradients=60))
    assert all(cost % 3 == 0 and cost <= 60 for cost in result.costs)
    assert tuning.extra_knowledge(rule) == ["H"]
    assert tuning.extra_knowledge(RULES["polyak"]()) == ["f", "f_min"]
    assert tuning.extra_knowledge(RULES["adam"]()) == []


def test_the_largest_curvature_is_that_of_a_fine_grid():
    for name in ("ravine", "rosenbrock", "goldstein-price", "himmelblau"):
        function = OBJECTIVES[name]()
        axes = [np.linspace(low, high, 101) for low, high in function.box]
        grid = np.stack(np.meshgrid(*axes), axis=-1)
        exact = np.abs(np.linalg.eigvalsh(function.hessian(grid))).max()
        assert 0.8 * exact < tuning_space.largest_curvature(function) <= exact * (1 + 1e-9)


def test_the_order_of_the_parameters_of_a_class_changes_no_draw():
    def mine(w, g, lr=0.01, beta=0.9):
        return w - lr * beta * g

    def swapped(w, g, beta=0.9, lr=0.01):
        return w - lr * beta * g

    first, second = (
        tuning_space.draw(rule_class(code)(), OBJECTIVES["booth"](), 5, np.random.default_rng(0), {})
        for code in (mine, swapped)
    )
    assert {key: values.tolist() for key, values in first.items()} == {k: v.tolist() for k, v in second.items()}


@pytest.mark.parametrize("function", ["ravine", "goldstein-price"])
def test_every_rule_is_tuned_within_its_own_limits(function):
    """The space stays inside what the schema of a rule accepts."""
    from optilab.config.section import schema_of

    for name, kind in RULES.items():
        drawn = tuning_space.draw(kind(), OBJECTIVES[function](), 200, np.random.default_rng(0), {})
        for field, values in drawn.items():
            for value in (values.min(), values.max()):
                section, _, inner = field.rpartition(".")
                settings = {inner: float(value)}
                schema_of(kind).model_validate({section: settings} if section else settings)
        assert drawn or name in {"conjugate-gradient", "l-bfgs"}
