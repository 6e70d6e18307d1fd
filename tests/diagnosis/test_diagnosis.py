"""The stored trainings and loops, diagnosed again: no training is needed."""

from functools import cache
from typing import NamedTuple

import pytest

from optilab.diagnose import CHECKS, Finding, Severity, diagnose
from tests.diagnosis import stored

HALVES = ("held-out", "held-out, probe runs", "own-held-out", "loops-held-out", "edges")


class Diagnosed(NamedTuple):
    """A case, and what the diagnosis finds in it."""

    case: stored.Case
    findings: list[Finding]

    @property
    def named(self):
        """The findings that are more than a note."""
        return [finding.name for finding in self.findings if finding.severity > Severity.INFO]

    @property
    def right(self):
        """The first finding names the cause."""
        return self.findings[0].name in frozenset().union(*self.case.accepted)

    def __str__(self):
        names = [f"{finding.severity.name.lower()} {finding.name}" for finding in self.findings]
        remedy = (*self.findings[0].remedies, ())[0]
        return f"{self.case.name} -> {', '.join(names)}" + (f"; {' '.join(remedy)}" if remedy else "")


@cache
def diagnosed(half):
    """Every case of a half, or of its probe runs."""
    name, _, probe = half.partition(", ")
    recorded = stored.read(stored.HERE / f"{name}.json.gz")
    cases = stored.cases(name)
    assert [case.name for case in cases] == sorted(recorded)
    return [Diagnosed(case, diagnose(stored.evidence(case, recorded[case.name], bool(probe)))) for case in cases]


def of_truth(half, truth):
    return [result for result in diagnosed(half) if result.case.truth == truth]


def test_findings_are_as_recorded(recorded):
    """All findings of each case, and the first remedy; `--accept` writes them again."""
    lines = []
    for half in HALVES:
        lines += [f"# {half}", *sorted(str(result) for result in diagnosed(half) if result.findings), ""]
    now = "\n".join(lines)
    assert now == recorded("findings.txt", now)


@pytest.mark.parametrize(
    ("half", "flagged", "right", "clean"),
    [
        ("held-out", 0.98, 0.99, 0.99),
        ("held-out, probe runs", 0.76, 1.0, 0.99),
        ("own-held-out", 0.95, 1.0, 1.0),
        ("loops-held-out", 1.0, 1.0, 1.0),
    ],
)
def test_accuracy_of_the_diagnosis(half, flagged, right, clean):
    """Whatever is accepted as the findings: sensitivity, first causes and specificity do not fall."""
    faulty, healthy = of_truth(half, "faulty"), of_truth(half, "healthy")
    named = [result for result in faulty if result.named]
    assert len(named) >= flagged * len(faulty)
    assert sum(result.right for result in named) >= right * len(named)
    assert sum(not result.named for result in healthy) >= clean * len(healthy)


def test_probe_runs_show_what_they_can():
    visible = [result for result in of_truth("held-out, probe runs", "faulty") if result.case.visible]
    assert sum(bool(result.named) for result in visible) >= 0.98 * len(visible)
    assert all(result.right for result in visible if result.named)


@pytest.mark.parametrize("half", ["held-out", "held-out, probe runs"])
def test_two_causes_are_named_first(half):
    """Also where tiny inputs make the gradient of layer 1 small, and where weight decay hides that it vanishes."""
    both = [result for result in of_truth(half, "faulty") if len(result.case.accepted) == 2]
    assert len(both) == 20
    for result in both:
        assert all(accepted & {*result.named[:2]} for accepted in result.case.accepted), result


def test_learned_networks_with_harm_are_flagged():
    """Cases of the design half that learned and were harmed all the same, and a decay that is not to blame."""
    assert [result.named[:1] for result in sorted(diagnosed("edges"), key=lambda result: result.case.name)] == [
        ["batch-norm-small-batch"],
        ["learning-rate-too-high"],
        ["dropout-too-strong"],
        ["weights-too-large"],
        ["symmetric-init"],
    ]


def test_accepted_findings_exist():
    accepted = {
        name for half in HALVES for result in diagnosed(half) for names in result.case.accepted for name in names
    }
    assert accepted <= {check.name for check in CHECKS}
