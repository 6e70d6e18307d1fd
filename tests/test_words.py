"""The small words of sentences."""

import pytest

from optilab.commands.answer import cell
from optilab.commands.studies import announcement
from optilab.config.study import SweepConfig
from optilab.study.study import Cost
from optilab.study.sweep import spec_of
from optilab.words import of_key, percent, plural, points


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [(1, "seed", "1 seed"), (1000, "seed", "1,000 seeds"), (2, "remedy", "2 remedies"), (2, "key", "2 keys")],
)
def test_a_count(count, noun, text):
    assert plural(count, noun) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.5195, "52.0%"), (0.1005, "10.1%"), (0.2 + 0.3195, "52.0%"), (1, "100.0%"), (float("nan"), "nan%")],
)
def test_a_fraction_in_percent_is_rounded_as_by_hand(fraction, text):
    assert percent(fraction) == text
    assert points(-0.3525, "+") == "-35.3"


def test_an_axis_is_its_values():
    axes = {"optimizer": 3, "remedy": 19, "optimizer.lr": 3, "model.norm": 1}
    assert [of_key(count, key) for key, count in axes.items()] == [
        "3 optimizers",
        "19 remedies",
        "3 values of optimizer.lr",
        "1 value of model.norm",
    ]


@pytest.mark.parametrize(("trials", "text"), [(1, "1 trial: x, 2 epochs"), (2, "2 trials: x, 2 epochs each")])
def test_a_plan_of_one_trial_says_nothing_of_each(trials, text):
    assert announcement("x", Cost(trials, trials, 2 * trials, 2, 1, None, None, None)) == text


def test_a_point_in_a_table_has_the_digits_of_a_number():
    assert cell([-0.09999999999999998, 2]) == "(-0.1, 2)"


@pytest.mark.parametrize(
    ("samples", "text"), [(1, "1 setting of optimizer.lr"), (4, "4 settings of optimizer.lr")]
)
def test_a_sweep_counts_the_settings_that_are_drawn(samples, text):
    asked = SweepConfig(config="sigmoid", over={"optimizer.lr": "0.1:1:log"}, samples=samples)
    assert spec_of(asked).shape == f"{text} x 1 seed"
