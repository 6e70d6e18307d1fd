"""Checks of layers that act otherwise in training: dropout, and norms of batches."""

from optilab.diagnose.check import Observation, check, remedy_sets
from optilab.diagnose.evidence import Evidence
from optilab.numbers import points
from optilab.words import plural

MAX_DROPOUT = 0.5
"""Fraction of the outputs that dropout sets to zero."""


MAX_DROPOUT_GAP = 0.1
"""Validation accuracy, which knows no dropout, minus training accuracy: what dropout takes from a training."""


@check("dropout-too-strong", fix="no dropout")
def dropout_too_strong(evidence: Evidence) -> Observation | None:
    """Dropout sets more than {MAX_DROPOUT} of a layer's outputs to zero (info in a network that has learned, unless
    training accuracy is {MAX_DROPOUT_GAP} or more below validation accuracy)."""
    fraction = max(evidence.setup.dropouts.values(), default=0.0)
    if fraction <= MAX_DROPOUT:
        return None
    text = f"dropout sets {fraction:.0%} of a layer's outputs to zero"
    if certain := not evidence.probe_run and evidence.accuracy_gap >= MAX_DROPOUT_GAP:
        text += _gap(evidence)
    none = tuple(f"{key}=0" for key, dropped in evidence.setup.dropouts.items() if dropped)
    sets = none, ("model.dropout=0.2", "model.input_dropout=0")
    numbers = {"dropout": fraction, "held_back": evidence.accuracy_gap}
    return Observation(text, numbers, sets, f"above {MAX_DROPOUT:g}", "0 to 0.5", certain=certain)


def _gap(evidence: Evidence) -> str:
    return f"; training accuracy is {points(evidence.accuracy_gap)} percentage points below validation accuracy"


MAX_PAIR = 2
"""Samples over which batch statistics are taken: two become 1 and -1, and only their order is left."""


MAX_SMALL_BATCH = 4
"""`MAX_PAIR` in a network that has hardly learned: three or four samples slow some networks down, and stop others."""


MAX_HARDLY_SKILL = 0.25
"""Skill of a network that has hardly learned."""


MAX_NOISE_GAP = 0.2
"""Validation accuracy minus training accuracy: what the noise of so few samples takes from a training."""


@check("batch-norm-small-batch", fix="larger batches, or layer norm")
def batch_norm_small_batch(evidence: Evidence) -> Observation | None:
    """Batch norm computes mean and variance over {MAX_PAIR} samples or fewer; {MAX_SMALL_BATCH} where the network has
    hardly learned, or training accuracy is {MAX_NOISE_GAP} or more below validation accuracy."""
    size, norm = evidence.setup.normed_over, evidence.setup.norm
    # A probe run is too short to tell slow from faulty, and so is a network without an epoch.
    ended, gap = bool(evidence.rows) and not evidence.probe_run, evidence.accuracy_gap
    certain = ended and gap >= MAX_NOISE_GAP
    bound = MAX_SMALL_BATCH if certain or (ended and evidence.skill < MAX_HARDLY_SKILL) else MAX_PAIR
    if norm not in ("batch", "standardize") or size > bound:
        return None
    text = f"{norm} normalization computes mean and variance over {plural(size, evidence.setup.noun)}"
    text += _gap(evidence) if certain else ""
    sets, numbers = (*remedy_sets("layernorm"), ("data.batch_size=64",)), {"batch_size": size, "held_back": gap}
    return Observation(text, numbers, sets, f"{bound} or fewer", "16 or more", certain=certain)
