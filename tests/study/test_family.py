"""The referee, tested itself: simulated families of equal candidates, and of unequal ones.

The model is that of a race: log cost = difficulty of the start, which all rules share, + the effect of the rule on the
function (standard deviation 0.5, mean 0) + noise (0.5); functions x 20 starts.
"""

import numpy as np
import pytest
from scipy import stats

from optilab.study.comparison import judge
from optilab.study.statistics import _largest_statistics

STARTS = 20
SETTINGS = [  # rules, functions, standard deviation of the effect of the rule on the function
    (2, 10, 0.5),
    (4, 10, 0.5),
    (10, 10, 0.5),
    (2, 3, 0.5),
    (4, 3, 0.5),
    (10, 3, 0.5),
    (2, 10, 0.0),
    (4, 10, 0.0),
    (10, 10, 0.0),
]


def races(count, rules, functions, effect, shifts=0.0, seed=0):
    """Log costs (count, rules, functions, starts); `shifts` are added to the rules' means."""
    generator = np.random.default_rng([seed, rules, functions, int(effect * 10)])
    difficulty = generator.normal(3, 1, (count, 1, functions, STARTS))
    effects = generator.normal(0, 1, (count, rules, functions, 1)) * np.broadcast_to(effect, rules)[:, None, None]
    noise = generator.normal(0, 0.5, (count, rules, functions, STARTS))
    return difficulty + effects + noise + np.broadcast_to(shifts, rules)[:, None, None]


def judged(measured):
    """The rows of candidates by their measured values (candidates, blocks), where lower is better."""
    return judge({number: dict(enumerate(own)) for number, own in enumerate(measured.tolist())}, higher=False).rows


def verdicts(logs):
    """Which rules are called worse, (count, rules)."""
    return np.array([[row.verdict == "worse" for row in judged(race.mean(axis=-1))] for race in logs])


def at_most(share, count):
    """The largest number of events, each with probability `share`, that is not surprising (1 in 10,000)."""
    return stats.binom.ppf(0.9999, count, share)


def bootstrap_verdicts(logs, generator):
    """The former procedure: mean ranks against the first, a percentile bootstrap over functions and starts."""
    rank = stats.rankdata(logs, axis=0)
    functions = generator.integers(0, rank.shape[1], (500, rank.shape[1], 1))
    starts = generator.integers(0, STARTS, (500, *rank.shape[1:]))
    draws = rank[:, functions, starts].mean(axis=(2, 3))
    first = np.argmin(rank.mean(axis=(1, 2)))
    return np.quantile(draws - draws[first], 0.025, axis=1) > 0


@pytest.mark.parametrize(("rules", "functions", "effect"), SETTINGS)
def test_equal_rules_are_rarely_called_slower(rules, functions, effect):
    count = 400
    wrong = verdicts(races(count, rules, functions, effect)).any(axis=1).sum()
    assert wrong <= at_most(0.05, count)


@pytest.mark.release
@pytest.mark.parametrize(("rules", "functions", "effect"), SETTINGS)
def test_equal_rules_are_rarely_called_slower_in_ten_thousand_races(rules, functions, effect):
    wrong = sum(verdicts(races(1000, rules, functions, effect, seed=i)).any(axis=1).sum() for i in range(1, 11))
    print(f"{rules} rules, {functions} functions, effect {effect}: {wrong / 100:.2f} of 100")
    assert wrong <= at_most(0.05, 10_000)


def test_this_simulation_catches_the_former_procedure():
    """The negative control: a percentile bootstrap against the first calls equal rules slower in most races."""
    generator = np.random.default_rng(0)
    wrong = sum(bootstrap_verdicts(race, generator).any() for race in races(60, 10, 10, 0.5))
    assert wrong > at_most(0.05, 60) * 2


@pytest.mark.parametrize("effect", [(1.5, *[0.3] * 9), (0.05, *[0.5] * 9), tuple(np.linspace(0.1, 1.5, 10))])
def test_rules_that_vary_differently_between_functions_are_rarely_called_slower(effect):
    logs = races_with(effect, 0.0)
    assert verdicts(logs).any(axis=1).sum() <= at_most(0.05, len(logs))


def races_with(effects, shifts, count=400):
    generator = np.random.default_rng(5)
    means = generator.normal(0, 1, (count, len(effects), 10, 1)) * np.array(effects)[:, None, None]
    return means + np.broadcast_to(shifts, len(effects))[:, None, None]


SHAPES = {  # of the effect of a rule on a function, all with mean 0 and standard deviation 0.5
    "heavy tails": lambda generator, size: generator.standard_t(3, size) / np.sqrt(12),
    "skewed": lambda generator, size: (generator.exponential(1, size) - 1) / 2,
    "skewed the other way": lambda generator, size: (1 - generator.exponential(1, size)) / 2,
    "rarely much worse": lambda generator, size: ((generator.random(size) < 0.1) - 0.1) / 0.6,
    "uniform": lambda generator, size: generator.uniform(-1, 1, size) * np.sqrt(0.75),
}


@pytest.mark.release
@pytest.mark.parametrize(("rules", "functions"), [(2, 10), (10, 10), (4, 3)])
@pytest.mark.parametrize("shape", SHAPES)
def test_effects_that_are_not_normal_do_little_harm(shape, rules, functions):
    """Long tails make the verdicts more careful, short ones a little less."""
    generator, count = np.random.default_rng(3), 4000
    effects = SHAPES[shape](generator, (count, rules, functions))
    means = effects + generator.normal(0, 0.5 / np.sqrt(STARTS), effects.shape)
    wrong = sum(any(row.verdict == "worse" for row in judged(race)) for race in means)
    print(f"{shape}, {rules} rules, {functions} functions: {100 * wrong / count:.1f} of 100")
    assert wrong <= at_most(0.07 if shape == "uniform" else 0.05, count)


@pytest.mark.parametrize("slower", [0.3, 1.0, 5.0])
def test_of_several_best_rules_none_is_called_slower_while_others_are(slower):
    shifts = np.array([0.0] * 5 + [slower] * 5)
    wrong = verdicts(races(400, 10, 10, 0.5, shifts))[:, :5].any(axis=1).sum()
    assert wrong <= at_most(0.05, 400)


def test_the_intervals_hold_for_all_rules_at_once():
    shifts = np.linspace(0, 1.5, 6)
    missed = 0
    for race in races(400, 6, 10, 0.5, shifts):
        rows = judged(race.mean(axis=-1))
        first = next(i for i, row in enumerate(rows) if row.difference is None)
        missed += any(
            not row.difference.interval[0] <= shift - shifts[first] <= row.difference.interval[1]
            for row, shift in zip(rows, shifts, strict=True)
            if row.difference
        )
    assert missed <= at_most(0.05, 400)


@pytest.mark.release
@pytest.mark.parametrize(("rules", "functions"), [(2, 10), (4, 10), (10, 10), (10, 16), (10, 3)])
@pytest.mark.parametrize("factor", [1.5, 2.0])
def test_power(rules, functions, factor):
    """How often one rule that is slower by a factor is called so; the numbers of the docs."""
    shifts = np.array([np.log(factor)] + [0.0] * (rules - 1))
    power = verdicts(races(2000, rules, functions, 0.5, shifts, seed=9))[:, 0].mean()
    print(f"{rules} rules, {functions} functions, {factor} times slower: found in {power:.0%}")
    assert power > 0.05 or functions == 3


def test_a_clearly_slower_rule_is_found():
    shifts = np.array([np.log(10)] + [0.0] * 3)
    assert verdicts(races(100, 4, 10, 0.5, shifts))[:, 0].all()


@pytest.mark.parametrize("blocks", [2, 3, 10, 30])
def test_two_candidates_are_compared_by_students_t(blocks):
    measured = np.random.default_rng(blocks).normal(0, 1, (2, blocks))
    measured[1] += 1 + max(0, measured[0].mean() - measured[1].mean())
    reference = stats.ttest_rel(measured[1], measured[0])
    low, high = reference.confidence_interval(0.95)
    row = judged(measured)[1].difference
    assert row.difference == pytest.approx((measured[1] - measured[0]).mean())
    assert row.p == pytest.approx(reference.pvalue)
    assert row.interval == pytest.approx((low, high))


@pytest.mark.parametrize("candidates", [3, 10])
def test_with_many_blocks_the_critical_value_is_that_of_the_studentized_range(candidates):
    """Then all standard errors are known, and the largest difference is a range: Tukey's."""
    critical = np.quantile(_largest_statistics(candidates, 200), 0.95)
    exact = stats.studentized_range.ppf(0.95, candidates, np.inf) / np.sqrt(2)
    assert critical == pytest.approx(exact, rel=0.03)


def test_nothing_is_concluded_from_one_block_or_without_variation():
    lower, higher = judged(np.array([[1.0], [9.0]]))
    assert (lower.difference, lower.verdict) == (None, "cannot tell")
    found = higher.difference
    assert (found.difference, found.interval, found.p, found.verdict) == (8, None, 1, "cannot tell")
    for row in judged(np.full((3, 5), 2.0))[1:]:
        assert (row.difference.interval, row.difference.difference, row.verdict) == (None, 0, "cannot tell")


def test_verdict_interval_and_p_agree():
    for race in races(50, 5, 8, 0.5, np.linspace(0, 2, 5)):
        for row in judged(race.mean(axis=-1)):
            if row.difference is not None:
                worse = row.verdict == "worse"
                assert worse == (row.difference.p <= 0.05) == (row.difference.interval[0] > 0)
