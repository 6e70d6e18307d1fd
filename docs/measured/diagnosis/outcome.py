"""What became of a case, beside its healthy twin, and whether a remedy is better than the disease."""

from typing import Any

from tests.diagnosis.cases import Case
from tests.diagnosis.own import BUGS

HARM = 0.05
"""Validation accuracy by which a change has to harm to be called a cause; below half of it, it is harmless. The
standard error of a difference of two accuracies over 2,000 images is 0.013."""


def judged(case: Case, recorded: dict[str, Any]) -> str:
    """`sick`, `healthy` or `unclear`: whether the change did harm in accuracy, by divergence, or in validation loss.

    Shuffled labels, a single class and bugs of a network harm by construction, memorising shows in the validation
    loss. A healthy case must have learned: one that does as badly as a twin that has not says nothing. A preset is its
    own twin.
    """
    rows = recorded["rows"]
    accuracy = rows["val_acc"][-1] if rows else 0.0
    if not case.cause:
        return "healthy" if accuracy > 0.5 else "unclear"
    if recorded["divergence"] or case.cause in ("labels shuffled", "one class", "validation labels", *BUGS):
        return "sick"
    if case.cause == "memorised":
        return "sick" if rows["val_loss"][-1] > 1.5 * min(rows["val_loss"]) else "unclear"
    if case.network[0].startswith("preset "):
        return "sick" if accuracy < 0.5 else "unclear"
    harm = recorded["twin"]["val_acc"] - accuracy
    return "sick" if harm > HARM else "healthy" if harm < HARM / 2 and accuracy > 0.5 else "unclear"


def beats(recorded: dict[str, Any], remedied: dict[str, Any]) -> bool:
    """A remedied training ends better: in accuracy by two standard errors, or in loss by a tenth at no worse accuracy.

    `remedied` is the last row of that training, empty if it diverged.
    """
    if not remedied:
        return False
    if recorded["divergence"] or not recorded["rows"]:
        return True
    accuracy, loss = recorded["rows"]["val_acc"][-1], recorded["rows"]["val_loss"][-1]
    gain = remedied["val_acc"] - accuracy
    return gain > 0.026 or (gain > -0.026 and remedied["val_loss"] < 0.9 * loss)
