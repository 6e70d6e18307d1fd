"""Error rates of races on functions, as docs/measured.md has them: simulated races of equal optimizers.

Log cost = difficulty of the start, which all optimizers share, + the effect of the optimizer on the function + noise
(0.5); functions x 20 starts.
"""

import numpy as np
import pytest
from scipy import stats

from optilab.judge.judge import judge

STARTS = 20
SETTINGS = [  # optimizers, functions, standard deviation of the effect of the optimizer on the function
    *[(optimizers, functions, 0.5) for functions in (10, 3) for optimizers in (2, 4, 10)],
    *[(optimizers, 10, 0.0) for optimizers in (2, 4, 10)],
]


def races(count, optimizers, functions, effect, shifts=0.0, seed=0):
    """Log costs (count, optimizers, functions, starts); `shifts` are added to the means of the optimizers."""
    generator = np.random.default_rng([seed, optimizers, functions, int(effect * 10)])
    difficulty = generator.normal(3, 1, (count, 1, functions, STARTS))
    effects = generator.normal(0, 1, (count, optimizers, functions, 1)) * effect
    noise = generator.normal(0, 0.5, (count, optimizers, functions, STARTS))
    return difficulty + effects + noise + np.broadcast_to(shifts, optimizers)[:, None, None]


def verdicts(logs):
    """Which optimizers are called worse, (count, optimizers); lower is better."""
    tables = [dict(enumerate(map(dict, map(enumerate, race.mean(axis=-1).tolist())))) for race in logs]
    return np.array(
        [[row.verdict == "worse" for row in judge(table, higher_is_better=False).rows] for table in tables]
    )


@pytest.mark.parametrize("parts", [1, pytest.param(25, marks=pytest.mark.release)])
@pytest.mark.parametrize(("optimizers", "functions", "effect"), SETTINGS)
def test_equal_optimizers_are_rarely_called_worse(optimizers, functions, effect, parts):
    """In 400 races, or in 10,000."""
    logs = (races(400, optimizers, functions, effect, seed=part) for part in range(parts))
    wrong = sum(verdicts(part).any(axis=1).sum() for part in logs)
    print(f"{optimizers} optimizers, {functions} functions, effect {effect}: {wrong / (4 * parts):.2f} of 100")
    assert wrong <= stats.binom.ppf(0.9999, 400 * parts, 0.05)


@pytest.mark.release
@pytest.mark.parametrize(
    ("optimizers", "functions", "factor", "measured"),
    [
        (2, 10, 1.5, 0.352), (4, 10, 1.5, 0.275), (10, 10, 1.5, 0.221), (10, 16, 1.5, 0.398), (10, 3, 1.5, 0.027),
        (2, 10, 2.0, 0.775), (4, 10, 2.0, 0.726), (10, 10, 2.0, 0.687), (10, 16, 2.0, 0.928), (10, 3, 2.0, 0.080),
    ],
)  # fmt: skip
def test_power(optimizers, functions, factor, measured):
    """How often one optimizer that is slower by a factor is called so, next to docs/measured.md."""
    shifts = np.array([np.log(factor)] + [0.0] * (optimizers - 1))
    power = verdicts(races(2000, optimizers, functions, 0.5, shifts, seed=9))[:, 0].mean()
    print(f"{optimizers} optimizers, {functions} functions, {factor} times slower: found in {power:.0%}")
    assert abs(power - measured) < 4 * np.sqrt(measured * (1 - measured) / 2000) + 0.01
