"""Checks of the labels: whether they belong to the inputs, and whether there is anything to distinguish."""

import math
from itertools import pairwise

from optilab.diagnose.check import Observation, check, sees
from optilab.diagnose.evidence import FIRST_STEPS, MIN_FALL, PROBE_BATCHES, Evidence
from optilab.numbers import percent

MIN_BATCHES = 3
"""Sampled batches whose targets are all the same."""


@check("one-class", fix="print y.unique() before the loss: labels are neither divided nor rounded")
def single_class(evidence: Evidence) -> Observation | None:
    """All training labels are the same."""
    loss = evidence.loop.entered
    same = loss is not None and loss.batches >= MIN_BATCHES and loss.target_low is not None
    if evidence.start.get("classes", 2) > 1 and not (loss and same and loss.target_low == loss.target_high):
        return None
    text = f"all training {evidence.setup.noun}s have the same label, so there is nothing to distinguish"
    return Observation(text, {"classes": 1}, bound="1", normal="2 or more", certain=True)


MAX_UNLEARNED_LOSS = 0.99
"""Training loss over the chance level: below it the network has begun to learn its training samples."""


MAX_CHANCE_LOSS = 1.03
"""Training loss over the chance level: above it, a network is worse than one that ignores the samples."""


MAX_CHANCE_BAND = 0.25
"""Width of the losses that are taken for the chance level, over that level, of which the targets give an estimate."""


MIN_PATH = 0.05
"""Sum of |dw|/|w| over all steps, of the layer that moves least, by which networks that can learn have begun to."""


MIN_UNRELATED_LOSS = 0.95
"""Best validation loss over the chance level, of a network that has learned nothing of the validation samples."""


MAX_UNSEEN = 0.5
"""Fraction of the chance-level loss that is gone: of the validation samples, over that of the training samples."""


MAX_WRONG_ACCURACY = 0.5
"""Validation accuracy over chance: only a network that has learned other names of the classes is wrong as often as
this.
"""


MIN_CLEAR_SKILL = 0.25
"""Skill on the training samples of a network that has clearly learned them."""


MAX_STEP = 0.02
"""Mean |dw|/|w| of a step, of the layer that moves least: a network that moves faster loses what it learns."""


LABELS = ("labels-unrelated", "check that inputs and labels belong together")


def at_chance(evidence: Evidence) -> tuple[float, float]:
    """The bounds of a training loss, over the chance level, of a network that knows nothing."""
    # What guessing loses in a regression is estimated from the targets of the sampled batches.
    error = 3 * evidence.start.get("prior_error", 0.0)
    return MAX_UNLEARNED_LOSS - error, MAX_CHANCE_LOSS + error


@check(*LABELS)
def nothing_learned_on_the_way(evidence: Evidence) -> Observation | None:
    """After more than {PROBE_BATCHES} steps every layer has moved by {MIN_PATH} times its weights' norm or more, by
    {MAX_STEP:.0%} a step at most, and the training loss is still {MAX_UNLEARNED_LOSS:.0%} to {MAX_CHANCE_LOSS:.0%} of
    the chance level (without another finding)."""
    step = min(evidence.relative_steps, default=0.0)
    path = step * evidence.steps
    low, high = (bound * evidence.chance_loss for bound in at_chance(evidence))
    known = (
        evidence.chance_loss_source != FIRST_STEPS
        and evidence.chance_loss
        and evidence.rows
        and not evidence.probe_run
    )
    if not known or evidence.beats_chance or not low < evidence.loss <= high:
        return None
    if (
        evidence.steps <= PROBE_BATCHES
        or path < MIN_PATH
        or step > MAX_STEP
        or sees(evidence, "vanishing-gradient")
    ):
        return None
    # A chance level that is hardly known says nothing about a loss near it.
    if high - low > MAX_CHANCE_BAND * evidence.chance_loss:
        return None
    # A loss that still falls has only reached the chance level on its way.
    if evidence.setup.loop and (evidence.late_fall or 0.0) >= MIN_FALL:
        return None
    text = (
        f"every layer has moved by {path:.2g} times its weights' norm in {evidence.steps} steps, and the training "
    )
    text += (
        f"loss, {evidence.loss:.3g}, is still {evidence.loss / evidence.chance_loss:.1%} of the chance-level loss"
    )
    # A network that is slow to begin looks the same.
    fix = f"check that {evidence.setup.noun}s and labels belong together; if they do, train longer"
    bound = f"{low / evidence.chance_loss:.0%} to {high / evidence.chance_loss:.0%}"
    return Observation(text, {"loss": evidence.loss, "path": path}, (), bound, "below 80%", fix, only_alone=True)


@check(*LABELS)
def validation_labels_of_other_names(evidence: Evidence) -> Observation | None:
    """Validation accuracy is below {MAX_WRONG_ACCURACY} times chance, while the training samples are learned."""
    if not (losses := _unrelated(evidence)) or "val_acc" not in evidence.rows[-1]:
        return None
    error = math.sqrt(evidence.chance * (1 - evidence.chance) / evidence.validation_samples)
    if evidence.accuracy >= min(MAX_WRONG_ACCURACY * evidence.chance, evidence.chance - 4 * error):
        return None
    if (
        evidence.training_skill <= MIN_CLEAR_SKILL
        or min(losses) <= MIN_UNRELATED_LOSS * evidence.validation_chance_loss
    ):
        return None
    text = f"validation accuracy is {percent(evidence.accuracy)}, far below chance, and training accuracy "
    text += (
        f"{percent(evidence.training_accuracy)}: the validation labels have other names than the training labels"
    )
    numbers = {"best_val_loss": min(losses), "accuracy": evidence.accuracy}
    return Observation(text, numbers, (), f"below {MAX_WRONG_ACCURACY:g}", "above 2")


@check(*LABELS)
def accuracy_falls_with_loss(evidence: Evidence) -> Observation | None:
    """In a loop, the training loss has fallen, but also validation accuracy by more than {MAX_LOST}, and training
    accuracy by more than {MAX_UNLEARNT}."""
    if not evidence.setup.loop or not accuracy_is_lost(evidence):
        return None
    before = max((row for row in evidence.rows if "val_acc" in row), key=lambda row: row["val_acc"])["train_loss"]
    if evidence.loss >= MIN_UNRELATED_LOSS * before or _swings(evidence):
        return None
    best, latest = map(percent, evidence.best_and_latest())
    text = f"validation accuracy fell from {best} to {latest}, while the training loss fell from {before:.3g} to "
    text += f"{evidence.loss:.3g}: the loss has other labels than the accuracy"
    fix = "compute the loss from the labels that watch.step and the accuracy get"
    return Observation(
        text, {"loss": evidence.loss, "lost": lost(evidence, "val_acc")}, (), f"above {MAX_LOST:g}", "near 0", fix
    )


def _swings(evidence: Evidence) -> bool:
    """Validation accuracy has fallen before and come back, so that its last fall says little."""
    accuracies = [row["val_acc"] for row in evidence.rows if "val_acc" in row]
    return any(
        after - before > MAX_LOST for before, after in pairwise(accuracies[accuracies.index(max(accuracies)) :])
    )


@check(*LABELS)
def validation_never_learned(evidence: Evidence) -> Observation | None:
    """The best validation loss is {MIN_UNRELATED_LOSS:.0%} of the chance level or more, while the training samples are
    learned (without another finding)."""
    if not (losses := _unrelated(evidence)) or evidence.steps <= PROBE_BATCHES:
        return None
    fraction = min(losses) / evidence.validation_chance_loss
    # A network that has not learned its training samples either says nothing about the labels; nor does one that is
    # slow, and has learned as much of both.
    known = 1 - evidence.loss / evidence.chance_loss
    unseen = 1 - evidence.validation_loss / evidence.validation_chance_loss
    # Less than the error of the chance level of a regression, which few and far targets do not tell, is no knowledge.
    least = max(1 - MAX_UNLEARNED_LOSS, evidence.start.get("prior_error", 0.0))
    if fraction < MIN_UNRELATED_LOSS or known < least or unseen > MAX_UNSEEN * known:
        return None
    known_by_accuracy = evidence.setup.loop and evidence.accuracy_beats_chance(evidence.accuracy)
    if known_by_accuracy and (evidence.late_fall or 0.0) >= MIN_FALL:
        return None
    text = f"the best validation loss of any epoch, {min(losses):.3g}, is {fraction:.1%} of the chance-level loss"
    numbers = {"best_val_loss": min(losses), "accuracy": evidence.accuracy}
    return Observation(text, numbers, (), f"{MIN_UNRELATED_LOSS:g} or more", "below 0.8", only_alone=True)


def _unrelated(evidence: Evidence) -> list[float]:
    """The validation losses of a network that is hardly better than chance there; empty for another."""
    losses = [row["val_loss"] for row in evidence.rows if "val_loss" in row]
    if not losses or not evidence.validation_chance_loss or not evidence.chance_loss:
        return []
    if evidence.chance_loss_source == FIRST_STEPS:
        return []
    return losses if max(evidence.accuracy, evidence.rows[-1].get("val_acc", 0.0)) <= 2 * evidence.chance else []


MAX_LOST, MAX_UNLEARNT = 0.15, 0.05
"""Loss of validation accuracy since the best epoch, and of training accuracy, which a network that oscillates keeps."""


def lost(evidence: Evidence, column: str) -> float:
    best, latest = evidence.best_and_latest(column)
    return best - latest


def accuracy_is_lost(evidence: Evidence) -> bool:
    return lost(evidence, "val_acc") > MAX_LOST and lost(evidence, "train_acc") > MAX_UNLEARNT
