"""The stored trainings, diagnosed again: no training is needed. docs/diagnosis-measured.md stands on these figures."""

from pathlib import Path

import pytest
from scipy.stats import binomtest

from optilab.config.presets import presets
from optilab.diagnose import CAUSES
from optilab.optimize import RULES
from tests.diagnosis import generate, measure
from tests.diagnosis.cases import ACCEPTED, SICK
from tests.diagnosis.drawn import FAMILIES, OPTIMIZERS, held_out


def test_every_case_is_stored_in_its_half():
    for half, listed in measure.HALVES.items():
        stored = generate.read(generate.HERE / f"{half}.json.gz")
        assert stored.keys() == {case.name for case in listed()}


def test_the_held_out_half_has_every_cause_preset_and_optimizer():
    listed = held_out()
    assert {case.cause for case in listed} == {"", *SICK}
    drawn_presets = {case.name.removeprefix("preset ") for case in listed if case.name.startswith("preset")}
    assert drawn_presets <= {preset.name for preset in presets("train")}
    assert set(OPTIMIZERS) <= {name for name, kind in RULES.items() if not kind.needs or name == "lookahead"}
    assert len(drawn_presets) == 25
    page = (Path(__file__).parents[2] / "docs" / "diagnosis-measured.md").read_text()
    assert f"{len(drawn_presets)} presets take part" in " ".join(page.split())
    assert len(OPTIMIZERS) >= 26
    assert "sgd" in {family.optimizer for family in FAMILIES.values()}


def test_causes_are_those_of_the_rules():
    assert ACCEPTED.keys() == SICK.keys()
    assert set().union(*ACCEPTED.values()) <= {rule.name for rule in CAUSES}


@pytest.mark.parametrize(
    ("half", "trial", "flagged", "right", "clean"),
    [
        ("design", False, 0.97, 0.99, 0.98),
        ("held-out", False, 0.98, 0.99, 0.99),
        ("design", True, 0.74, 0.99, 0.98),
        ("held-out", True, 0.76, 1.0, 0.99),
    ],
)
def test_networks_are_diagnosed_as_well_as_the_docs_say(half, trial, flagged, right, clean):
    n = measure.figures(measure.look(half, trial))
    assert n["sick"] >= 100
    assert n["healthy"] >= 80
    assert n["flagged"] / n["sick"] >= flagged
    assert n["right"] / n["flagged"] >= right
    assert n["clean"] / n["healthy"] >= clean


@pytest.mark.parametrize(("half", "flagged", "right"), [("own-design", 0.9, 0.95), ("own-held-out", 0.9, 0.95)])
def test_networks_of_the_user_are_diagnosed_as_well_as_the_docs_say(half, flagged, right):
    n = measure.figures(measure.look(half))
    assert n["sick"] >= 15
    assert n["healthy"] >= 8
    assert n["flagged"] / n["sick"] >= flagged
    assert n["right"] / n["flagged"] >= right
    assert n["clean"] / n["healthy"] >= 0.9


@pytest.mark.parametrize("half", ["design", "held-out"])
def test_a_trial_sees_what_sixty_batches_can_show(half):
    n = measure.figures(measure.visible(measure.look(half, trial=True)))
    assert n["sick"] >= 80
    assert n["flagged"] / n["sick"] >= 0.98
    assert n["right"] / n["flagged"] >= 0.99


@pytest.mark.parametrize(
    ("half", "trial", "cases", "named"),
    [("held-out", False, 20, 20), ("held-out", True, 20, 20), ("design", False, 30, 30), ("design", True, 30, 30)],
)
def test_two_causes_are_both_named_first(half, trial, cases, named):
    """Also where tiny inputs make the gradient of layer 1 small, and where weight decay hides that it vanishes."""
    assert measure.both_named(measure.look(half, trial)) == {"sick": cases, "named": named}


HARMED = {
    "dropout 4": (
        "dropout-too-strong",
        "dropout sets 78% of a layer's outputs to zero; training accuracy is 30.4 percentage points",
    ),
    "batch norm, small batches 3": (
        "batch-norm-small-batch",
        "over 3 images; training accuracy is 21.0 percentage points below",
    ),
    "collapsed late 1": ("learning-rate-too-high", "training accuracy once fell by 30.0 percentage points"),
}
"""Cases of the first draw that are right about most images, or were, and do harm all the same."""


@pytest.fixture(scope="module")
def design():
    """A judged case of the design half, by the start of its name."""
    entries = measure.look("design")
    return lambda name: next(entry for entry in entries if entry.case.name.startswith(f"{name}:"))


@pytest.mark.parametrize("name", HARMED)
def test_a_finding_that_shows_harm_matters_in_a_network_that_has_learned(name, design):
    entry = design(f"first draw, {name}")
    rule, text = HARMED[name]
    assert (entry.findings[0].rule, entry.flagged) == (rule, True)
    assert text in entry.findings[0].text


def test_a_loss_above_guessing_is_not_learning(design):
    entry = design("second draw, exploding 2")
    evidence = measure.evidence(entry.case, entry.recorded)
    assert evidence.skill > 0.6
    assert evidence.recent("val_loss", 0.0) > 2 * evidence.validation_entropy
    assert [(f.rule, f.severity.name) for f in entry.findings[:1]] == [("weights-too-large", "WARNING")]


def test_a_decay_too_weak_to_shrink_the_weights_is_not_blamed(design):
    entry = design("second draw, symmetric 6")
    assert min(measure.evidence(entry.case, entry.recorded).growth) < 0.3
    assert [f.rule for f in entry.findings] == ["symmetric-init"]


def test_intervals_are_those_of_wilson():
    for part, whole in ((0, 10), (9, 10), (101, 111), (83, 83)):
        expected = binomtest(part, whole).proportion_ci(method="wilson")
        assert measure.interval(part, whole) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_remedies_that_were_run_are_those_that_are_offered():
    stored = generate.read(measure.REMEDIES)
    offered = {measure.remedy_key(entry) for entry in measure.look("held-out") if entry.truth == "sick"}
    assert len(offered & stored.keys()) >= 0.9 * len(stored)
