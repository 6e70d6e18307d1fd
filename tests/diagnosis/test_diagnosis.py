"""The stored trainings, diagnosed again: no training is needed, and the figures of docs/diagnose.md stand on them."""

import pytest

from optilab.studies.diagnose import RULES
from tests.diagnosis import generate, measure
from tests.diagnosis.cases import ACCEPTED, SICK, cases


def test_every_case_is_stored_in_its_half():
    for half in measure.HALVES:
        stored = generate.read(generate.HERE / f"{half}.json.gz")
        assert stored.keys() == {case.name for case in cases() if case.half == half}


def test_causes_are_those_of_the_rules():
    assert ACCEPTED.keys() == SICK.keys()
    assert set().union(*ACCEPTED.values()) <= {rule.name for rule in RULES}


@pytest.mark.parametrize("half", measure.HALVES)
def test_a_whole_training_is_diagnosed_as_well_as_the_docs_say(half):
    n = measure.figures(measure.look(half))
    assert n["sick"] >= 100
    assert n["flagged"] / n["sick"] >= 0.94
    assert n["right"] / n["flagged"] >= 0.95
    assert n["clean"] / n["healthy"] >= 0.91


@pytest.mark.parametrize("half", measure.HALVES)
def test_a_trial_is_diagnosed_as_well_as_the_docs_say(half):
    n = measure.figures(measure.look(half, trial=True))
    assert n["flagged"] / n["sick"] >= 0.59
    assert n["right"] / n["flagged"] >= 0.93
    assert n["clean"] / n["healthy"] >= 0.91


def test_remedies_that_were_run_are_those_that_are_offered():
    stored = generate.read(measure.REMEDIES)
    offered = {measure.remedy_key(entry) for entry in measure.look("held-out") if entry.truth == "sick"}
    assert len(offered & stored.keys()) >= 0.9 * len(stored)
