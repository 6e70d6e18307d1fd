"""A race: the same conditions for all, the same bytes again, one measure in table and pictures."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from optilab.answer import races
from optilab.config.study import RaceConfig
from optilab.optimize import OBJECTIVES, RULES
from optilab.study.function_race import Race, expected_best, profile, run
from optilab.study.tuning import Tuning, tuned

CONDITIONS = RaceConfig(budget=7, starts=5, repeats=2, gradients=60)
CHOSEN_RULES = [RULES[name]() for name in ("sgd", "momentum", "adam")]
WHERE = [OBJECTIVES[name]() for name in ("ravine", "rosenbrock")]


def test_a_race_repeats_whatever_the_company():
    """Starts depend on the function and settings on the optimizer, whoever else takes part; another seed differs."""
    race = run(CHOSEN_RULES, WHERE, CONDITIONS)
    assert race == run(CHOSEN_RULES, WHERE, CONDITIONS)
    assert not {str(t) for t in run(CHOSEN_RULES, WHERE, CONDITIONS.model_copy(update={"seed": 1})).tunings} & {
        str(t) for t in race.tunings
    }
    assert run(CHOSEN_RULES[2:], WHERE[1:], CONDITIONS).tunings[0] in race.tunings


def test_the_expected_best_is_a_mean_over_choices():
    scores = np.array([[3.0, 1.0, 4.0, 1.5, 9.0, 2.6]])  # tuning prefers the first
    for k in range(1, 7):
        choices = [choice[0] for choice in itertools.combinations(scores[0], k)]
        assert expected_best(scores)[0, k - 1] == pytest.approx(np.mean(choices))


def test_curves_end_at_the_numbers_of_the_table():
    race = run(CHOSEN_RULES, WHERE, CONDITIONS)
    rows = {row["rule"]: row for row in race.standings}
    solved = profile(race.costs, np.array([1e9]))[:, 0]
    for rule, curve, fraction in zip(race.rules, race.best_of, solved, strict=True):
        assert curve[-1] == pytest.approx(rows[rule]["cost"])
        assert fraction == pytest.approx(rows[rule]["solved"])


def test_a_performance_profile_by_hand():
    costs = np.array([[10, 20, np.inf, np.inf], [20, 20, 5, np.inf]])
    shares = profile(costs, np.array([1.0, 1.9, 2.0, 100.0]))
    np.testing.assert_array_equal(shares, [[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.75, 0.75]])


def made(costs, gradients=200):
    """A race whose costs (rules, functions, starts) are given."""
    costs = np.asarray(costs)
    rules, functions = [f"r{i}" for i in range(len(costs))], [f"f{i}" for i in range(len(costs[0]))]
    tunings = [
        Tuning(rule, function, 0, {}, [1.0], row.tolist())
        for rule, table in zip(rules, costs, strict=True)
        for function, row in zip(functions, table, strict=True)
    ]
    return Race(
        RaceConfig(budget=1, starts=costs.shape[2], repeats=1, gradients=gradients),
        rules,
        functions,
        tunings,
    )


def test_a_clear_winner_and_a_draw():
    faster, slower = np.random.default_rng(0).integers(5, 20, (2, 8, 10))
    first, second = made([slower + 30, faster]).standings
    assert (first["rule"], first["verdict"], first["ratio"], first["interval"]) == ("r1", "best", 1.0, None)
    assert (second["rule"], second["verdict"]) == ("r0", "worse")
    assert second["interval"][0] > 1
    assert [row["verdict"] for row in made([slower, faster]).standings] == ["cannot tell", "cannot tell"]


def test_a_rate_at_an_end_is_a_tie():
    faster, slower = np.random.default_rng(0).integers(5, 20, (2, 8, 10))
    race = made([slower + 30, faster])
    for functions, verdicts in ((1, ["best", "worse"]), (8, ["cannot tell"] * 2)):
        ends = [replace(t, at_end=t.rule == "r0" and int(t.function[1:]) < functions) for t in race.tunings]
        found = replace(race, tunings=ends)
        assert [row["verdict"] for row in found.standings] == verdicts
        (note,) = races.race_notes(found, [], [])[2:]
        assert note.startswith("a better rate may lie beyond those that were tried")
    assert races.race_verdict(found)[1] == "may be the best: r1, r0"
    ends = [
        tuned(RULES["sgd"](), WHERE[0], repeat, CONDITIONS.model_copy(update={"budget": 3})) for repeat in range(6)
    ]
    assert {one.at_end for one in ends} == {True, False}
    assert not tuned(RULES["sgd"](), WHERE[0], 0, CONDITIONS.model_copy(update={"budget": 2})).at_end


def test_unsolved_problems_count_twice_in_the_cost():
    row = made([[[10, 40], [0, -1]]], gradients=50).standings[0]
    assert row["cost"] == pytest.approx((10 * 40 * 1 * 100) ** 0.25)
    assert row["solved"] == 0.75
    assert row["verdict"] == "cannot tell"  # alone


def test_a_rule_that_solved_nothing_is_never_the_best():
    rows = made(np.full((3, 8, 5), -1)).standings
    assert {row["verdict"] for row in rows} == {"cannot tell"}
    rows = made([np.full((8, 5), -1), np.random.default_rng(0).integers(5, 50, (8, 5))]).standings
    assert [(row["rule"], row["verdict"]) for row in rows] == [("r1", "best"), ("r0", "worse")]


def test_races_of_equal_rules_rarely_call_one_slower():
    """Whole races with rounded, limited costs: difficulty of the start, effect of the rule on the function, noise."""
    generator = np.random.default_rng(1)
    wrong = 0
    for _ in range(200):
        logs = generator.normal(3.5, 1, (1, 10, 20)) + generator.normal(0, 0.5, (4, 10, 1))
        costs = np.exp(logs + generator.normal(0, 0.5, (4, 10, 20))).round().astype(int)
        rows = made(np.where(costs > 200, -1, costs)).standings
        wrong += any(row["verdict"] == "worse" for row in rows)
    assert wrong <= 20  # 5 % and three standard errors
