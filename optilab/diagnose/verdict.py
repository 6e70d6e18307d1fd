"""The sentences that sum up a diagnosis: one verdict, and what the network has learned beyond chance."""

import math
from collections.abc import Sequence

from optilab.diagnose.evidence import TRIAL_BATCHES, Evidence
from optilab.diagnose.rules import Finding, Severity
from optilab.diagnose.sign import learned


def sick(findings: Sequence[Finding]) -> bool:
    """A finding matters: it is more than a note."""
    return any(finding.severity > Severity.INFO for finding in findings)


def sentence(e: Evidence, findings: Sequence[Finding]) -> str:
    """The verdict. Only a network that has learned is called healthy; a trial is too short to say so."""
    if sick(findings):
        others = sum(finding.severity > Severity.INFO for finding in findings) - 1
        more = f", and {others} more finding{'s' * (others > 1)}" if others else ""
        return f"{findings[0].severity.name.lower()}: {findings[0].rule}{more}"
    if e.trial:
        return f"no sign of trouble in {TRIAL_BATCHES} batches"
    if not e.rows:
        return "no epoch is recorded yet"
    accuracy = f"validation accuracy {e.accuracy:.1%} in the last epochs, chance {e.chance:.1%}"
    if learned(e):
        return f"healthy: {accuracy}"
    fell = (
        f"; the training loss fell by {e.fall:.0%} in the second half of the epochs" if e.fall is not None else ""
    )
    return f"no cause found: {accuracy}{fell}"


EDGE = (0.85, 1.5)
"""Sharpness over its limit at the edge of stability: the published trainings hover just above it."""
FAR = 0.5
"""Sharpness over its limit below which a larger learning rate is worth a mention."""


def stability(e: Evidence) -> str:
    """The curvature of the loss beside the limit of stability; empty where it was not measured."""
    if (now := e.stability) is None:
        return ""
    what = "preconditioned sharpness" if now.preconditioned else "sharpness"
    numbers = f"{what} {_short(now.sharpness)} against a limit of {_short(now.limit)}"
    if now.share > EDGE[1]:
        return f"{numbers}: above it, steps along the steepest direction grow"
    if now.share >= EDGE[0]:
        return f"{numbers}: training at the edge of stability"
    if now.share > FAR:
        return f"{numbers}: below it"
    if now.sharpness <= 0:
        return f"{numbers}: no direction curves upwards"
    return f"{numbers}: far below; the rate could be {1 / now.share:.2g} times larger before steps grow"


def _short(value: float) -> str:
    """Three digits, or all of a whole number of thousands."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def learning(e: Evidence) -> tuple[str, bool]:
    """(what the network knows of the validation images beyond chance, whether it knows anything).

    An accuracy at chance is not yet ignorance: a loss below that of guessing is knowledge that no accuracy shows.
    """
    if e.start.get("classes") == 1:
        return "all images have the same class: there is nothing to learn", False
    best, chance = e.best_accuracy, e.chance
    error = math.sqrt(chance * (1 - chance) / e.validation_images)
    nats = f"{abs(e.information):.3g} nats {'below' if e.information > 0 else 'above'} guessing"
    loss = f"over {e.validation_images:,} images the loss is {nats}"
    if best > chance + 4 * error:
        return f"beats chance: {best:.1%} against {chance:.1%}", True
    if e.knows:
        return f"has begun to learn: accuracy {best:.1%}, chance {chance:.1%}, but {loss}", True
    return f"does not beat chance: {best:.1%} against {chance:.1%}; {loss}", False
