"""What can be wrong with a training, the findings that name it, and whether it did harm."""

from typing import Any

ACCEPTED: dict[str, list[str]] = {
    "rate too high": ["learning-rate-too-high"],
    "rate too low": ["learning-rate-too-low"],
    "rate decayed to nothing": ["learning-rate-decayed"],
    "collapsed late": ["learning-rate-too-high"],
    "vanishing": ["vanishing-gradient"],
    "exploding": ["weights-too-large"],
    "saturated": ["weights-too-large"],
    "dead": ["dead-units"],
    "symmetric": ["symmetric-init"],
    "near-symmetric": ["symmetric-init"],
    "eps": ["eps-dominates"],
    "weight decay": ["weight-decay-too-strong"],
    "dropout": ["dropout-too-strong"],
    "memorised": ["overfitting"],
    "too few images": ["too-few-images"],
    "labels shuffled": ["labels-unrelated"],
    "prior only": ["inputs-out-of-scale"],
    "one class": ["one-class"],
    "batch norm, small batches": ["batch-norm-small-batch"],
    "validation labels": ["labels-unrelated"],
    "softmax twice": ["softmax-twice"],
    "graph cut": ["graph-cut"],
    "vanishing through time": ["vanishing-gradient", "vanishing-through-time"],
}
"""Cause -> the findings that name it. Of two causes at once, `one + other`, neither remedy helps without the other."""

VISIBLE = {"rate too high", "rate too low", "vanishing", "exploding", "saturated", "dead", "symmetric"}
VISIBLE |= {"near-symmetric", "eps", "weight decay", "prior only", "one class"}
"""Causes that sixty batches can show, alone or two of them; the others take longer, or are harmless at first."""

BY_CONSTRUCTION = {"labels shuffled", "one class", "validation labels", "softmax twice", "graph cut"}
"""They are faults whatever they cost."""

HARM = 0.05
"""Validation accuracy by which a change has to harm to be a fault; below half of it, it is harmless. The standard error
of a difference of two accuracies over 2,000 images is 0.013."""


def accepted_by(cause: str) -> dict[str, Any]:
    """What a case says of its cause: the findings that name it, and whether a probe run can show it."""
    parts = cause.split(" + ") if cause else []
    return {"accepted": [ACCEPTED[part] for part in parts], "visible": len(parts) > 1 or cause in VISIBLE}


def truth(case: Any, recorded: dict[str, Any]) -> str:
    """`faulty`, `healthy` or `unclear`: whether a change did harm in accuracy, by divergence, or in validation loss.

    Memorizing shows in the validation loss. A healthy case must have learned: one that does as badly as a twin that has
    not says nothing. A preset is its own twin.
    """
    rows = recorded["rows"]
    accuracy = rows["val_acc"][-1] if rows else 0.0
    if not case.cause:
        return "healthy" if accuracy > 0.5 else "unclear"
    if recorded["divergence"] or case.cause in BY_CONSTRUCTION:
        return "faulty"
    if case.cause == "memorised":
        return "faulty" if rows["val_loss"][-1] > 1.5 * min(rows["val_loss"]) else "unclear"
    if not case.network:
        return "faulty" if accuracy < 0.5 else "unclear"
    harm = recorded["twin"]["val_acc"] - accuracy
    return "faulty" if harm > HARM else "healthy" if harm < HARM / 2 and accuracy > 0.5 else "unclear"


def improves_on(recorded: dict[str, Any], remedied: dict[str, Any]) -> bool:
    """Whether a remedied training ends better: in accuracy by two standard errors, or in loss by a tenth at no worse
    accuracy. `remedied` is the last row of that training, empty if it diverged."""
    if not remedied:
        return False
    if recorded["divergence"] or not recorded["rows"]:
        return True
    accuracy, loss = recorded["rows"]["val_acc"][-1], recorded["rows"]["val_loss"][-1]
    gain: float = remedied["val_acc"] - accuracy
    return gain > 0.026 or (gain > -0.026 and remedied["val_loss"] < 0.9 * loss)
