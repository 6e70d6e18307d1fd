"""What each check of the diagnosis, and each refinement of one, is worth: all stored cases are diagnosed without it.

A check is left out, or a threshold gets the value at which it changes nothing. What changes no row of the design half
goes.
"""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from docs.measured import figures, loops, paired_loops
from docs.measured.diagnosis import train
from optilab.diagnose import CHECKS, Evidence, checks, diagnose, verdict
from optilab.diagnose import check as check_module
from tests.diagnosis import stored

HALVES = {"design": ("design", "own-design"), "held-out": ("held-out", "own-held-out")}
REFINEMENTS: dict[str, tuple[str, float]] = {
    "labels: slow on both halves": ("MAX_UNSEEN", math.inf),
    "inputs: harm up to a skill": ("MIN_FULL_SKILL", 0.0),
    "decay, schedule: learned all the same": ("MAX_UNFIT_SKILL", math.inf),
    "decay: gradients took the rest": ("MIN_DECAY_FRACTION", 0.0),
    "symmetric: learned with one unit": ("MIN_COMMON_LEARNED", math.inf),
    "symmetric: dead units": ("MIN_COMMON_DEAD", checks.weights.MIN_COMMON),
    "dropout: harm in a network that has learned": ("MAX_DROPOUT_GAP", math.inf),
    "batch norm: three or four samples": ("MAX_SMALL_BATCH", checks.layers.MAX_PAIR),
    "batch norm: noise": ("MAX_NOISE_GAP", math.inf),
    "weights: a high loss that stays": ("MAX_PROBE_LOSS", math.inf),
    "weights: saturation that stays": ("MAX_PROBE_SATURATED", math.inf),
    "eps: a path in probe runs": ("MAX_EPS_PATH", math.inf),
    "rate: a loss above chance in probe runs": ("MAX_PROBE_CHANCE_LOSS", checks.labels.MAX_CHANCE_LOSS),
    "rate: the same, of a network that knows something": (
        "MAX_PROBE_LATE_LOSS",
        checks.rates.MAX_PROBE_CHANCE_LOSS,
    ),
    "rate: training accuracy lost, too": ("MAX_UNLEARNT", -math.inf),
    "rate: units died by steps": ("MIN_MOVED", -1.0),
    "rate: growth of a network that knows a little": ("MAX_LEARNING_GROWTH", checks.rates.MAX_GROWTH),
    "rate: growth in probe runs": ("MAX_PROBE_GROWTH", checks.rates.MAX_GROWTH),
    "vanishing: still in probe runs": ("MIN_PROBE_STEP", checks.rates.MIN_STEP),
    "vanishing: still": ("MIN_STEP", math.inf),
    "too low: short trainings": ("PATH_STEPS", 1.0),
    "overfitting: a loss that rises": ("MIN_RISE_OF_LOSS", 0.0),
    "through time: lost in training": ("MIN_EARLY_THROUGH_TIME", math.inf),
}
"""What a threshold is for -> its name, and the value at which it changes nothing."""

Labeled = tuple[str, tuple[frozenset[str], ...], Evidence]
"""Truth, the findings that name each cause, evidence."""


def cases(half: str) -> Iterator[Labeled]:
    """Every stored training, probe run and loop of a half that is clearly faulty or healthy.

    The loops for findings that no half has are of the design half.
    """
    for name in HALVES[half]:
        folder = train.folder_of(name)
        recorded = stored.read(folder / f"{name}.json.gz")
        for case in stored.cases(name, folder):
            if case.truth != "unclear" and case.name in recorded:
                for probe in (False, True) if "trial" in recorded[case.name] else (False,):
                    yield case.truth, case.accepted, stored.evidence(case, recorded[case.name], probe)
    for bare in (False, True):
        for loop, case, entry in loops.cases(half, bare):
            yield case.truth, (frozenset(loop.accepted),), stored.evidence(case, entry)
    for case, entry in paired_loops.stored_cases() if half == "design" else ():
        yield case.truth, case.accepted, stored.evidence(case, entry)


def outcome(truth: str, accepted: tuple[frozenset[str], ...], evidence: Evidence) -> Counter[str]:
    """Whether a faulty one is flagged, rightly, and of two causes both; or whether a healthy one is flagged."""
    with patch.object(verdict, "_changes", return_value=True):  # which remedies are proposed does not matter here
        findings = diagnose(evidence)
    flagged, names = verdict.has_fault(findings), [finding.name for finding in findings[:2]]
    if truth == "healthy":
        return Counter({"false alarms": flagged})
    right = flagged and names[0] in frozenset().union(*accepted)
    both = len(accepted) == 2 and all(causes & {*names} for causes in accepted)
    return Counter({"flagged": flagged, "first right": right, "both named": both})


@contextmanager
def without(name: str) -> Iterator[None]:
    """The diagnosis without a check, or a refinement, of that name."""
    if name in REFINEMENTS:
        constant, neutral = REFINEMENTS[name]
        with ExitStack() as patched:
            for subject in vars(checks).values():
                if hasattr(subject, constant):
                    patched.enter_context(patch.object(subject, constant, neutral))
            yield
        return
    left = tuple(entry for entry in CHECKS if title(entry) != name)
    with patch.object(verdict, "CHECKS", left), patch.object(check_module, "REGISTERED", [*left]):
        yield


def title(check: Any) -> str:
    """The name of a check, and of its function where several have one name."""
    several = sum(other.name == check.name for other in CHECKS) > 1
    return f"`{check.name}`: {check.run.__name__.replace('_', ' ')}" if several else f"`{check.name}`"


def main(arguments: list[str]) -> None:
    options = figures.parser("refinements", __doc__).parse_args(arguments)
    labeled = {half: [*cases(half)] for half in HALVES}
    base = {half: [outcome(*case) for case in entries] for half, entries in labeled.items()}
    quantities, rows = ("flagged", "first right", "both named", "false alarms"), list[figures.Row]()
    left_out = {**{title(check): check for check in CHECKS}, **dict.fromkeys(REFINEMENTS)}
    for name, check in left_out.items():
        row: figures.Row = [name]
        for half, entries in labeled.items():
            # Where a check sees nothing, leaving it out changes nothing.
            affected = [n for n, (*_, evidence) in enumerate(entries) if check is None or check(evidence)]
            with without(name):
                now = sum((outcome(*entries[n]) for n in affected), Counter[str]())
            before = sum((base[half][n] for n in affected), Counter[str]())
            row += [f"{now[key] - before[key]:+d}" for key in quantities]
        rows.append([cell if cell not in ("+0", "-0") else "0" for cell in row])
        print(*rows[-1], sep=" | ", flush=True)
    columns = ["left out", *(f"{half}: {quantity}" for half in HALVES for quantity in quantities)]
    figures.record("refinements", "refinements", columns, rows, options.print)
