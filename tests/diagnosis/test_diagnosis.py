"""The stored trainings, diagnosed again: no training is needed, and the figures of docs/diagnose.md stand on them."""

import pytest
from scipy.stats import binomtest

from optilab.config.presets import presets
from optilab.optimize import ALGORITHMS
from optilab.studies.diagnose import RULES
from tests.diagnosis import generate, measure
from tests.diagnosis.cases import ACCEPTED, SICK
from tests.diagnosis.drawn import FAMILIES, OPTIMIZERS, drawn


def test_every_case_is_stored_in_its_half():
    for half, listed in measure.HALVES.items():
        stored = generate.read(generate.HERE / f"{half}.json.gz")
        assert stored.keys() == {case.name for case in listed()}


def test_the_held_out_half_has_every_cause_preset_and_optimizer():
    listed = drawn()
    assert {case.cause for case in listed} == {"", *SICK}
    drawn_presets = {case.name.removeprefix("preset ") for case in listed if case.name.startswith("preset")}
    assert drawn_presets <= {preset.name for preset in presets("train")}
    assert set(OPTIMIZERS) <= {name for name, kind in ALGORITHMS.items() if not kind.needs or name == "lookahead"}
    assert len(drawn_presets) >= 25
    assert len(OPTIMIZERS) >= 26
    assert "sgd" in {family.optimizer for family in FAMILIES.values()}


def test_causes_are_those_of_the_rules():
    assert ACCEPTED.keys() == SICK.keys()
    assert set().union(*ACCEPTED.values()) <= {rule.name for rule in RULES}


@pytest.mark.parametrize(
    ("half", "trial", "flagged", "right", "clean"),
    [
        ("design", False, 0.99, 0.99, 0.98),
        ("held-out", False, 0.90, 0.99, 0.98),
        ("design", True, 0.62, 0.99, 0.98),
        ("held-out", True, 0.65, 0.98, 0.99),
    ],
)
def test_networks_are_diagnosed_as_well_as_the_docs_say(half, trial, flagged, right, clean):
    n = measure.figures(measure.look(half, trial))
    assert n["sick"] >= 100
    assert n["healthy"] >= 80
    assert n["flagged"] / n["sick"] >= flagged
    assert n["right"] / n["flagged"] >= right
    assert n["clean"] / n["healthy"] >= clean


def test_intervals_are_those_of_wilson():
    for part, whole in ((0, 10), (9, 10), (101, 111), (83, 83)):
        expected = binomtest(part, whole).proportion_ci(method="wilson")
        assert measure.interval(part, whole) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_remedies_that_were_run_are_those_that_are_offered():
    stored = generate.read(measure.REMEDIES)
    offered = {measure.remedy_key(entry) for entry in measure.look("held-out") if entry.truth == "sick"}
    assert len(offered & stored.keys()) >= 0.9 * len(stored)
