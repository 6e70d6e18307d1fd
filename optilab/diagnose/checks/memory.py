"""Checks of what a network learns by heart."""

import math

from optilab.diagnose.check import Observation, Sets, check
from optilab.diagnose.checks.labels import MIN_UNRELATED_LOSS
from optilab.diagnose.evidence import Evidence
from optilab.numbers import points

MIN_IMAGES = 50
"""Training samples per class."""


MAX_GAP = 0.15
"""Training accuracy minus validation accuracy."""


@check("too-few-images", fix="collect more samples")
def too_few_images(evidence: Evidence) -> Observation | None:
    """There are fewer than {MIN_IMAGES} training images per class, and training accuracy is {MAX_GAP} or more above
    validation accuracy."""
    count, classes = evidence.start.get("train_images"), evidence.start.get("classes", evidence.setup.classes)
    gap = -evidence.accuracy_gap
    # A sample of a loop may have several labels, as a sequence has.
    labels = math.prod(evidence.loop.target_shape) / max(1, evidence.setup.batch_size)
    if count is None or not classes or count * max(1.0, labels) >= MIN_IMAGES * classes or gap < MAX_GAP:
        return None
    more = f"training accuracy is {points(gap)} percentage points above validation accuracy"
    text = f"{count / classes:.3g} training {evidence.setup.noun}s per class, and {more}"
    is_subset = evidence.setup.config and evidence.setup.config.data.images
    sets: tuple[Sets, ...] = (("data.images=null",),) if is_subset else ()
    return Observation(
        text, {"train_images": count}, sets, f"below {MIN_IMAGES}", "hundreds or more", certain=True
    )


MIN_EPOCHS = 5


MIN_RISE_OF_LOSS = 0.5
"""The validation loss above its best value, as a fraction of it."""


MIN_MEMORIZED = 0.9
"""Training accuracy of a network that has memorized its samples."""


MIN_MEMORIZED_GAP = 0.12
"""Training accuracy minus validation accuracy of a network whose validation loss rises."""


@check("overfitting", fix="early stopping, dropout, weight decay")
def overfitting(evidence: Evidence) -> Observation | None:
    """The validation loss has risen by {MIN_RISE_OF_LOSS:.0%} or more since its best epoch, and training accuracy is
    {MIN_MEMORIZED} or more, and {MIN_MEMORIZED_GAP} above validation accuracy."""
    if (
        len(evidence.rows) < MIN_EPOCHS
        or evidence.training_accuracy < MIN_MEMORIZED
        or -evidence.accuracy_gap < MIN_MEMORIZED_GAP
    ):
        return None
    best = min((row for row in evidence.rows if "val_loss" in row), key=lambda row: row["val_loss"], default=None)
    # Without a loss below the chance level, nothing of the validation samples was ever learned.
    if best is None or best["val_loss"] >= MIN_UNRELATED_LOSS * evidence.validation_chance_loss:
        return None
    if (rise := evidence.recent("val_loss", 0.0) / best["val_loss"] - 1) < MIN_RISE_OF_LOSS:
        return None
    text = f"the validation loss has risen by {rise:.0%} since epoch {best['epoch']}"
    sets = (("early_stopping={patience: 3}",), ("model.dropout=0.2",), ("weight_decay=0.0001",))
    return Observation(text, {"rise": rise}, sets, f"{MIN_RISE_OF_LOSS:g} or more", "below 0.1", certain=True)
