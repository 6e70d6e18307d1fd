"""What each check of the diagnosis, and each refinement of one, is worth: all stored cases are diagnosed without it.

A check is left out, or a threshold gets the value at which it changes nothing. What changes no row of the design half
goes.
"""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from docs.measured import figures, loops
from docs.measured.diagnosis import train
from optilab.diagnose import Evidence, checks, diagnose, verdict
from tests.diagnosis import stored

HALVES = {"design": ("design", "own-design"), "held-out": ("held-out", "own-held-out")}
REFINEMENTS: dict[str, tuple[str, float]] = {
    "labels: slow on both halves": ("MAX_UNSEEN", math.inf),
    "inputs: harm up to a skill": ("MIN_FULL_SKILL", 0.0),
    "decay, schedule: learned all the same": ("MAX_UNFIT_SKILL", math.inf),
    "decay: gradients took the rest": ("MIN_DECAY_FRACTION", 0.0),
    "symmetric: learned with one unit": ("MIN_COMMON_LEARNED", math.inf),
    "symmetric: dead units": ("MIN_COMMON_DEAD", checks.MIN_COMMON),
    "dropout: harm in a network that has learned": ("MAX_DROPOUT_GAP", math.inf),
    "batch norm: three or four samples": ("MAX_SMALL_BATCH", checks.MAX_PAIR),
    "batch norm: noise": ("MAX_NOISE_GAP", math.inf),
    "weights: a high loss that stays": ("MAX_PROBE_LOSS", math.inf),
    "weights: saturation that stays": ("MAX_PROBE_SATURATED", math.inf),
    "eps: a path in probe runs": ("MAX_EPS_PATH", math.inf),
    "rate: a loss above chance in probe runs": ("MAX_PROBE_CHANCE_LOSS", checks.MAX_CHANCE_LOSS),
    "rate: the same, of a network that knows something": ("MAX_PROBE_LATE_LOSS", checks.MAX_PROBE_CHANCE_LOSS),
    "rate: training accuracy lost, too": ("MAX_UNLEARNT", -math.inf),
    "rate: units died by steps": ("MIN_MOVED", -1.0),
    "rate: growth of a network that knows a little": ("MAX_LEARNING_GROWTH", checks.MAX_GROWTH),
    "rate: growth in probe runs": ("MAX_PROBE_GROWTH", checks.MAX_GROWTH),
    "vanishing: still in probe runs": ("MIN_PROBE_STEP", checks.MIN_STEP),
    "vanishing: still": ("MIN_STEP", math.inf),
    "too low: short trainings": ("PATH_STEPS", 1.0),
    "overfitting: a loss that rises": ("MIN_RISE_OF_LOSS", 0.0),
    "through time: lost in training": ("MIN_EARLY_THROUGH_TIME", math.inf),
}
"""What a threshold is for -> its name, and the value at which it changes nothing."""

Labeled = tuple[str, tuple[frozenset[str], ...], Evidence]
"""Truth, the findings that name each cause, evidence."""


def cases(half: str) -> Iterator[Labeled]:
    """Every stored training, probe run and loop of a half that is clearly faulty or healthy."""
    for name in HALVES[half]:
        folder = train.folder_of(name)
        recorded = stored.read(folder / f"{name}.json.gz")
        for case in stored.cases(name, folder):
            if case.truth != "unclear" and case.name in recorded:
                for probe in (False, True) if "trial" in recorded[case.name] else (False,):
                    yield case.truth, case.accepted, stored.evidence(case, recorded[case.name], probe)
    recorded = stored.read(loops.path_of(half))
    for loop in (loop for loop in loops.loops(half) if loop.name in recorded):
        entry, unchanged = recorded[loop.name], recorded[f"{loop.family}: unchanged"]["skill"]
        truth = loops.truth(loop, entry["skill"], unchanged)
        if truth != "unclear":
            case = stored.Case(loop.name, loop.change, truth, (frozenset(loop.accepted),))
            yield truth, case.accepted, stored.evidence(case, entry)


def counts(labeled: list[Labeled]) -> Counter[str]:
    """How many faulty ones are flagged, rightly, and of two causes both; and how many healthy ones are flagged."""
    counted: Counter[str] = Counter()
    for truth, accepted, evidence in labeled:
        with patch.object(
            verdict, "_changes", return_value=True
        ):  # which remedies are proposed does not matter here
            findings = diagnose(evidence)
        flagged, names = verdict.has_fault(findings), [finding.name for finding in findings[:2]]
        if truth == "healthy":
            counted["false"] += flagged
        else:
            counted["flagged"] += flagged
            counted["right"] += flagged and names[0] in frozenset().union(*accepted)
            counted["both"] += len(accepted) == 2 and all(causes & {*names} for causes in accepted)
    return counted


@contextmanager
def without(name: str) -> Iterator[None]:
    """The diagnosis without a check, or a refinement, of that name."""
    if name in REFINEMENTS:
        constant, neutral = REFINEMENTS[name]
        with patch.object(checks, constant, neutral):
            yield
        return
    left = tuple(check for check in verdict.CHECKS if title(check) != name)
    of_networks = tuple(check for check in checks.NETWORK_CHECKS if title(check) != name)
    with patch.object(verdict, "CHECKS", left), patch.object(checks, "NETWORK_CHECKS", of_networks):
        yield


def title(check: Any) -> str:
    """The name of a check, and of its function where several have one name."""
    several = sum(other.name == check.name for other in verdict.CHECKS) > 1
    return f"`{check.name}`: {check.run.__name__.replace('_', ' ')}" if several else f"`{check.name}`"


def main(arguments: list[str]) -> None:
    options = figures.parser("refinements", __doc__).parse_args(arguments)
    labeled = {half: [*cases(half)] for half in HALVES}
    base, rows = {half: counts(entries) for half, entries in labeled.items()}, list[figures.Row]()
    for name in (*map(title, verdict.CHECKS), *REFINEMENTS):
        row: figures.Row = [name]
        with without(name):
            for half, entries in labeled.items():
                now = counts(entries)
                row += [f"{now[key] - base[half][key]:+d}" for key in ("flagged", "right", "both", "false")]
        rows.append([cell if cell not in ("+0", "-0") else "0" for cell in row])
        print(*rows[-1], sep=" | ", flush=True)
    columns = [
        f"{half}: {what}" for half in HALVES for what in ("flagged", "first right", "both named", "false alarms")
    ]
    figures.record("refinements", "refinements", ["left out", *columns], rows, options.print)
