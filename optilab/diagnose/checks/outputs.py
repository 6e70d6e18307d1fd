"""Checks of the last layer, the loss and the targets: what enters the loss of a loop, and what it is compared with.

They see nothing where the watch has not seen the loss as it was computed. What they report is proved by the range of an
operation or the shape of a tensor, unless they say that they cannot tell.
"""

import math

from optilab.diagnose.check import Observation, check, sees
from optilab.diagnose.checks.inputs import MIN_FULL_SKILL
from optilab.diagnose.evidence import FIRST_STEPS, MIN_FALL, MIN_SKILL, Evidence
from optilab.words import plural

RANGES = {
    "Sigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Relu": (0.0, math.inf),
    "Softplus": (0.0, math.inf), "Exp": (0.0, math.inf), "Hardtanh": (-1.0, 1.0), "Hardsigmoid": (0.0, 1.0),
}  # fmt: skip
"""The values of the last operation of a network that bounds its outputs."""
REGRESSION = ("squared", "absolute")
CONSTANT = ("constant-outputs", "end the network so that its outputs depend on its inputs")


@check(*CONSTANT)
def softmax_of_one_output(evidence: Evidence) -> Observation | None:
    """The network ends in a softmax over an axis of size 1, which is 1 whatever the weights are."""
    loss = evidence.loop.entered
    if loss is None or loss.last != "Softmax" or loss.axis is None or loss.shape[loss.axis] != 1:
        return None
    text = "the network ends in a softmax over one output, which is 1 whatever the weights are"
    fix = (
        "put nn.Sigmoid() in its place, or remove it and use nn.BCEWithLogitsLoss() (then 1 is an output above 0)"
    )
    if loss.outside:
        fix = f"remove it: the targets are values, from {loss.target_low:.3g} to {loss.target_high:.3g}"
    return Observation(text, {"axis": loss.axis}, fix=fix, certain=True)


@check(*CONSTANT)
def softmax_over_the_batch(evidence: Evidence) -> Observation | None:
    """The network ends in a softmax over the samples of a batch: what it says of one depends on the others."""
    loss = evidence.loop.entered
    if loss is None or loss.last not in ("Softmax", "LogSoftmax") or loss.axis != 0:
        return None
    if len(loss.shape) != 2 or loss.shape[0] == loss.shape[1] or loss.shape[0] != evidence.loop.batch_size:
        return None
    text = f"the softmax is over the {plural(loss.shape[0], 'sample')} of a batch (dim=0), not over the classes"
    return Observation(text, {"axis": 0}, fix="take the softmax over the classes: dim=1", certain=True)


@check(*CONSTANT)
def outputs_at_zero(evidence: Evidence) -> Observation | None:
    """The network ends in a ReLU, and all outputs of the sampled batches are 0, so that no gradient passes it."""
    loss = evidence.loop.entered
    if loss is None or loss.last != "Relu" or loss.batches < 2 or loss.high != 0 or loss.low != 0:
        return None
    if loss.target_high == 0:
        return None
    text = "the network ends in a ReLU whose outputs are 0 for all samples, so that no gradient passes it"
    return Observation(text, {"high": 0}, fix="remove the ReLU after the last layer", certain=True)


@check(*CONSTANT)
def some_outputs_at_zero(evidence: Evidence) -> Observation | None:
    """The network ends in a ReLU, has not learned, and one of its outputs or more is 0 for all samples of every sampled
    batch."""
    loss = evidence.loop.entered
    if loss is None or loss.last != "Relu" or loss.batches < 2 or not loss.dead or evidence.learned:
        return None
    text = f"the network ends in a ReLU, and {loss.dead:.0%} of its outputs are 0 for all samples"
    return Observation(text, {"dead": loss.dead}, fix="remove the ReLU after the last layer", certain=True)


@check(*CONSTANT)
def outputs_are_equal(evidence: Evidence) -> Observation | None:
    """All samples of a batch have had the same outputs from the first batch on, and neither dead units nor equal ones
    explain it."""
    loss = evidence.loop.entered
    if loss is None or loss.batches < 2 or loss.spread != 0 or loss.shape[0] < 2:
        return None
    if any(sees(evidence, name) for name in ("symmetric-init", "dead-units")):
        return None
    fix = "check how the inputs are read: samples that are equal cannot be told apart"
    return Observation("all samples of a batch have the same outputs", {"spread": 0.0}, fix=fix, certain=True)


@check(*CONSTANT)
def inputs_are_constant(evidence: Evidence) -> Observation | None:
    """All columns of the inputs have the same value in all sampled batches."""
    columns = evidence.loop.columns
    if columns is None or columns.constant < columns.count or evidence.loop.samples < 2:
        return None
    text = f"all {plural(columns.count, 'column')} of the inputs have one value for all samples"
    fix = "check how the inputs are read and scaled: samples that are equal cannot be told apart"
    return Observation(text, {"columns": columns.count}, fix=fix, certain=True)


MIN_EXCESS, MIN_PART_EXCESS = 0.5, 0.02
"""Mean square of the part of the targets that outputs cannot reach, over the variance of the targets: of a network that
cannot learn, and of one that loses a part."""


@check(
    "targets-out-of-reach",
    fix="remove the activation after the last layer",
)
def targets_out_of_reach(evidence: Evidence) -> Observation | None:
    """The last operation bounds the outputs, and the mean square of what it cannot reach of the targets is
    {MIN_PART_EXCESS} of their variance or more (critical from {MIN_EXCESS}, or where nothing is learned)."""
    loss = evidence.loop.entered
    if loss is None or loss.kind not in REGRESSION or loss.last not in RANGES or not loss.excess:
        return None
    variance = max(loss.target_std or 0.0, 1e-12) ** 2
    if loss.excess < MIN_PART_EXCESS * variance:
        return None
    low, high = RANGES[loss.last]
    outputs = f"from {low:g} up" if high == math.inf else f"between {low:g} and {high:g}"
    text = f"the network ends in {loss.last.lower()}, so its outputs are {outputs}, and targets are between "
    text += f"{loss.target_low:.3g} and {loss.target_high:.3g}"
    numbers = {"excess": loss.excess / variance, "low": loss.target_low, "high": loss.target_high}
    return Observation(text, numbers, certain=loss.excess >= MIN_EXCESS * variance or not evidence.beats_chance)


MIN_SUM_ERROR = 0.1
"""Mean distance from 1 of the sum of a sample's targets, which are compared with a softmax."""


@check(
    "targets-out-of-reach",
    fix="replace the softmax by nn.Sigmoid(), or leave it out and use nn.BCEWithLogitsLoss()",
)
def targets_of_several_classes(evidence: Evidence) -> Observation | None:
    """The network ends in a softmax, whose outputs add up to 1, and the sum of a sample's targets is {MIN_SUM_ERROR} or
    more away from 1 in the mean."""
    loss = evidence.loop.entered
    if loss is None or loss.last != "Softmax" or loss.kind not in (*REGRESSION, "binary") or loss.whole != 1:
        return None
    if (loss.sum_error or 0.0) < MIN_SUM_ERROR or loss.axis != len(loss.shape) - 1 or loss.shape[-1] < 2:
        return None
    text = (
        "the network ends in a softmax, whose outputs add up to 1, and the targets of a sample do not: on average "
    )
    text += f"their sum is {loss.sum_error:.2g} away from 1"
    return Observation(text, {"sum_error": loss.sum_error}, certain=True)


@check(
    "labels-out-of-range", fix="give the loss labels from 0 to 1: y = y - y.min(), or one output for each class"
)
def labels_out_of_range(evidence: Evidence) -> Observation | None:
    """A binary loss gets targets below 0 or above 1."""
    loss = evidence.loop.entered
    if loss is None or loss.kind not in ("binary", "binary logits") or not loss.outside:
        return None
    text = f"a binary loss takes targets from 0 to 1, and gets {loss.target_low:.3g} to {loss.target_high:.3g}"
    return Observation(text, {"outside": loss.outside}, certain=True)


MAX_TARGET_RMS = 30.0
"""Root mean square of the targets of a regression; standardized ones have 1."""
MAX_REACHED = 0.5
"""Root mean square of the last outputs over that of the targets, of a network that is still far from them."""
MIN_DIVERGED_RMS = 1000.0
"""`MAX_TARGET_RMS` of a training that has diverged: for smaller targets a lower rate may be enough."""


@check(
    "targets-out-of-scale",
    fix="standardize the targets, y = (y - y.mean())/y.std(), and scale predictions back: out*std + mean",
)
def targets_out_of_scale(evidence: Evidence) -> Observation | None:
    """The targets of a regression have a root mean square above {MAX_TARGET_RMS:g}, and the last outputs at most
    {MAX_REACHED} of it; or above {MIN_DIVERGED_RMS:g}, and the training has diverged (info at a skill of
    {MIN_FULL_SKILL} or more)."""
    loss = evidence.loop.entered
    if loss is None or loss.kind not in REGRESSION or (loss.target_rms or 0.0) <= MAX_TARGET_RMS:
        return None
    target, reached = loss.target_rms or 0.0, loss.rms or 0.0
    if reached > MAX_REACHED * target and not (evidence.divergence and target > MIN_DIVERGED_RMS):
        return None
    text = (
        f"the targets have a root mean square of {loss.target_rms:.3g}, and the first outputs {loss.first_rms:.3g}"
    )
    numbers = {"target_rms": loss.target_rms, "first_rms": loss.first_rms, "error": loss.error}
    bound = f"above {MAX_TARGET_RMS:g}"
    certain = not evidence.probe_run and evidence.skill < MIN_FULL_SKILL
    return Observation(text, numbers, (), bound, "0.1 to 3", certain=certain)


MAX_LABELS = 20
"""Whole numbers that may be the names of classes."""


@check(
    "regression-of-classes",
    fix="if the targets name classes, let the network have one output per class, and use nn.CrossEntropyLoss()",
)
def regression_of_classes(evidence: Evidence) -> Observation | None:
    """A squared or absolute error is taken of one output and of targets that are whole numbers from 0 to less than
    {MAX_LABELS} (always info)."""
    loss = evidence.loop.entered
    if loss is None or loss.kind not in REGRESSION or loss.whole != 1 or loss.target_low != 0:
        return None
    if math.prod(loss.shape[1:]) != 1 or not 1 < (loss.target_high or 0) < MAX_LABELS or evidence.learned:
        return None
    text = f"the loss is the error of one output, and all targets are whole numbers from 0 to {loss.target_high:g}"
    return Observation(text, {"high": loss.target_high}, informational=True)


@check("no-nonlinearity", fix="put an activation between the layers: nn.ReLU()")
def no_nonlinearity(evidence: Evidence) -> Observation | None:
    """The network has several layers, and no nonlinear operation between them, and has not learned (always info)."""
    if not evidence.loop.linear or not evidence.hidden or evidence.learned:
        return None
    text = "no activation stands between the layers, which therefore are one linear layer"
    return Observation(text, {"layers": evidence.hidden + 1}, informational=True)


MAX_TIMES = 10.0
"""Epochs that are advised, over those that were trained."""


@check("training-too-short", fix="train for more epochs")
def training_too_short(evidence: Evidence) -> Observation | None:
    """A loop has not learned much, and its training loss still fell by {MIN_FALL:.0%} or more in the second half of its
    epochs (info, without another finding)."""
    if not evidence.setup.loop or not evidence.rows or evidence.divergence or evidence.learned:
        return None
    if evidence.chance_loss_source == FIRST_STEPS or math.prod(evidence.loop.target_shape[1:]) > 1:
        return None  # what a sequence or an image has left is not known
    if evidence.loop.task == "binary" and evidence.loop.entered and evidence.loop.entered.whole != 1:
        return None
    fall = evidence.late_fall
    if fall is None or fall < MIN_FALL or evidence.loss >= evidence.chance_loss:
        return None
    losses = [row["train_loss"] for row in evidence.rows]
    aim, now = (1 - MIN_SKILL) * evidence.chance_loss, losses[-1]
    text = f"the training loss still fell by {fall:.0%} in the second half of the epochs, to {now:.3g}"
    fix = ""
    middle, late = len(losses) // 2, len(losses) * 3 // 4
    # The slope of the last quarter, which the one before has to support.
    if len(losses) >= 8 and losses[middle - 1] > losses[late - 1] > now > aim:
        before = math.log(losses[middle - 1] / losses[late - 1]) / max(1, late - middle)
        slope = math.log(losses[late - 1] / now) / max(1, len(losses) - late)
        times = 1 + math.log(now / aim) / slope / len(losses)
        if slope >= before / 2 and times <= MAX_TIMES:
            fix = f"train for about {times:.2g} times as long"
    numbers, bound = {"fall": fall}, f"{MIN_FALL:.0%} or more"
    return Observation(text, numbers, (), bound, "below 5%", fix, informational=True, only_alone=True)
