"""Range tests read: places on curves whose answer is known, and the rates around an answer."""

import numpy as np
import pytest

from optilab.optimize import RULES
from optilab.study import rates
from optilab.study.tuning_space import network_space

GUESSING = float(np.log(10))
STEPS = 600


def curve(start=-4.0, fall=-2.5, bottom=-1.0, cliff=-0.5, low=0.5, noise=0.0, scale=1.0):
    """Flat up to 10^fall, then straight down to `low` at 10^bottom, flat to 10^cliff, then up by 5 a decade."""
    ramp = rates.RateRamp("optimizer.lr", 0.01 * scale, scale * np.geomspace(10**start, 100.0, STEPS))
    u = np.log10(ramp.rates / scale)
    losses = np.interp(u, [fall, bottom, cliff, cliff + 1], [GUESSING, low, low, low + 5])
    return ramp, losses + noise * np.random.default_rng(0).standard_normal(STEPS)


def read(ramp, losses):
    return rates.read_range_test(ramp, list(losses), GUESSING)


def test_a_first_loss_that_is_not_finite_moves_nothing():
    assert read(curve()[0], [float("nan")]).status == "unmoved"


# --- the ramp ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sgd", "adam", "prodigy"])
def test_the_rates_are_those_of_a_race_and_a_decade_on_each_side(name):
    rule = RULES[name]()
    found, span = rates.rate_ramp(rule, 500), network_space(rule)["lr"]
    assert (found.key, found.lr, len(found.rates)) == ("optimizer.lr", rule.lr, 500)
    assert np.isclose(found.rates[[0, -1]], [span.low / 10, span.high * 10]).all()
    assert np.ptp(np.diff(np.log(found.rates))) < 1e-9


def test_a_rule_around_another_has_the_rate_of_that_one():
    muon = RULES["lookahead"](base=RULES["muon"](lr=0.02))
    at_rate = rates.at_rate(muon, rates.rate_ramp(muon, 100), 0.06)
    assert (at_rate.base.lr, at_rate.base.others.lr) == (0.06, 0.003)
    found = rates.rate_ramp(RULES["lookahead"](base=RULES["adam"](lr=0.003)), 100)
    assert (found.key, found.lr) == ("optimizer.base.lr", 0.003)


def test_the_sweep_that_confirms_varies_both_rates_of_a_rule():
    rule = RULES["muon"](lr=0.02, matrices="all")
    found = read(rates.rate_ramp(rule, STEPS), curve()[1])
    axes = rates.axes_near(rule, found)
    assert list(axes) == ["optimizer.lr", "optimizer.others.lr"]
    assert axes["optimizer.lr"][2] == found.rate
    assert axes["optimizer.lr"][::4] == pytest.approx([found.rate / 10, found.rate * 10], rel=0.05)
    assert axes["optimizer.others.lr"] == pytest.approx([rate / 20 for rate in axes["optimizer.lr"]], rel=0.05)


# --- where it ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "ends"),
    [
        ([2.3] * 50 + [0.5] * 50, False),
        ([2.3] * 50 + [0.5] * 40 + [2.1] * 10, True),  # more than four times the best
        ([2.3] * 50 + [1.0] * 40 + [2.4] * 10, True),  # all that was gained is lost
        ([2.3] * 50 + [2.2] * 40 + [2.4] * 10, False),  # nothing was gained
        ([2.3] * 90 + [99.0] * 4 + [2.3] * 6, False),  # a few bad batches
        ([12.0] * 100, False),  # large first weights: it starts far above guessing
    ],
)
def test_a_ramp_ends_where_the_loss_runs_away(losses, ends):
    assert rates.runs_away(losses, GUESSING) is ends


# --- the curve ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_places_of_a_curve_with_a_known_answer(noise):
    found = read(*curve(noise=noise))
    assert found.status == "found"
    assert np.log10(found.half) == pytest.approx(-1.75, abs=0.03)
    assert -2.6 < np.log10(found.steepest) < -0.9
    assert -1.1 < np.log10(found.lowest) < -0.4
    # 15 % of the gain of 1.8 nats is lost 0.054 decades after the cliff, which smoothing rounds
    assert np.log10(found.diverging) == pytest.approx(-0.446, abs=0.05)
    assert np.log10(found.rate) == pytest.approx((-1.75 - 0.446) / 2, abs=0.04)
    assert found.lowest_loss == pytest.approx(0.5, abs=0.05)


VALLEYS = {  # of a curve: its corners by log10 of the rate, and the places that are read, log10 too
    # beyond an instability a network may train again, lower than before, at rates that it would not survive
    "first": (
        ([-2.5, -1, -0.5, 0, 0.3, 1, 1.5], [GUESSING, 0.5, 0.5, 1.2, 0.4, 0.4, 9.0]),
        {"rate": (-1.1, 0.1), "lowest": (-0.75, 0.35)},
    ),
    # it falls by 2.5 in a decade between -2 and -1.8
    "steepest": (([-3, -2, -1.8, 0, 1], [GUESSING, 2, 1.5, 1, 6]), {"steepest": (-1.9, 0.15), "lowest": (0, 0.1)}),
}


@pytest.mark.parametrize("what", VALLEYS)
def test_places_of_other_valleys(what):
    (corners, losses), places = VALLEYS[what]
    ramp, _ = curve()
    found = read(ramp, np.interp(np.log10(ramp.rates), corners, losses))
    for place, (expected, tolerance) in places.items():
        assert np.log10(getattr(found, place)) == pytest.approx(expected, abs=tolerance)


def test_a_curve_that_never_rises_ends_with_the_ramp():
    ramp, losses = curve(cliff=3.0)
    found = read(ramp, losses)
    assert found.diverging is None
    assert np.log10(found.rate) == pytest.approx((-1.75 + 2) / 2, abs=0.03)


def test_the_unit_of_the_rate_does_not_matter():
    one, thousand = read(*curve(noise=0.05)), read(*curve(noise=0.05, scale=1000.0))
    for place in ("half", "steepest", "lowest", "diverging"):
        assert getattr(thousand, place) == pytest.approx(1000 * getattr(one, place), rel=1e-9)


def test_a_loss_that_is_not_finite_ends_the_curve():
    ramp, losses = curve()
    found = read(ramp, [*losses[:345], float("nan")])
    assert len(found.losses) == 345
    assert found.diverging == ramp.rates[345]
    assert found.lowest == pytest.approx(read(*curve()).lowest, rel=0.3)


def test_a_network_that_does_not_move_gets_no_rate():
    """It learns the shares of the labels, as a network of sigmoids does, and nothing of the images."""
    ramp, _ = curve()
    noise = 0.01 * np.random.default_rng(1).standard_normal(STEPS)
    u = np.log10(ramp.rates)
    found = read(ramp, np.interp(u, [-3, -2, 1, 2], [2.35, GUESSING, GUESSING, 12.0]) + noise)
    assert found.status == "unmoved"
    assert found.rate is found.half is found.steepest is found.lowest is found.diverging is None
