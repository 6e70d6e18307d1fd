"""The small words of sentences."""

import ast
from pathlib import Path

import pytest

from optilab import numbers
from optilab.answer.planned import announcement
from optilab.config.study import SweepConfig
from optilab.numbers import digits, percent, points
from optilab.study.study import Cost
from optilab.study.sweep import spec_of
from optilab.words import of_key, plural


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
    assert digits([-0.09999999999999998, 2]) == "(-0.1, 2)"


@pytest.mark.parametrize(
    ("samples", "text"), [(1, "1 setting of optimizer.lr"), (4, "4 settings of optimizer.lr")]
)
def test_a_sweep_counts_the_settings_that_are_drawn(samples, text):
    asked = SweepConfig(config="sigmoid", over={"optimizer.lr": "0.1:1:log"}, samples=samples)
    assert spec_of(asked).shape == f"{text} x 1 seed"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (numbers.digits(1e-08), "1e-08"),
        (numbers.digits("0.1"), "0.1"),
        (numbers.point([-5.0, 2, 0.5], most=2), "(-5, 2, ...)"),
        (numbers.exact(0.1 + 0.2), "0.30000000000000004"),
        (numbers.exact(2.0), "2"),
        (numbers.decimals(2.5e7), "2.5e+07"),
        (numbers.column(1e-4), "1.00000e-04"),
        (numbers.bound(1000), "1,000"),
        (numbers.thousands(31000.0), "31,000"),
        (numbers.exponent(None), "none"),
        (numbers.power(2e-05), "2e-5"),
        (numbers.ratio(1.0004), "1.0004"),
        (numbers.p_value(0.0004), "<0.001"),
        (numbers.brief("lr 0.001234, beta 0.9996"), "lr 0.00123, beta 0.9996"),
        (numbers.short_percent(0.95), "95%"),
        (numbers.whole_percents((0.1, 0.25)), "10 to 25"),
        (numbers.Units(is_fraction=True).differences((-0.0001, 0.052)), "0.0 to +5.2"),
        (numbers.Units(is_fraction=False).interval((0.5, 2.0)), "0.5 to 2"),
    ],
)
def test_a_number_is_written(text, expected):
    assert text == expected


def test_one_module_writes_numbers():
    """No other has a function that returns its value as text in a format of floats."""
    package = Path(numbers.__file__).parent
    writers = [
        f"{path.relative_to(package)}: {function.name}"
        for path in package.rglob("*.py")
        if path.name != "numbers.py"
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef) and _writes_a_number(function)
    ]
    assert not writers


def _writes_a_number(function):
    """True for a function of one value whose text has this value in a format of floats."""
    names = [argument.arg for argument in function.args.args if argument.arg != "self"]
    if len(names) != 1 or function.returns is None or ast.unparse(function.returns) != "str":
        return False
    formatted = (node for node in ast.walk(function) if isinstance(node, ast.FormattedValue) and node.format_spec)
    return any(
        ast.unparse(node.value) == names[0] and ast.unparse(node.format_spec).rstrip("'\"")[-1] in "efg%"
        for node in formatted
    )
