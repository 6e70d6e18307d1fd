"""Checks of the weights: as they were drawn, and as weight decay leaves them."""

import math

from optilab.diagnose.check import Observation, check, remedy_sets, sees
from optilab.diagnose.checks import loop
from optilab.diagnose.checks.inputs import MAX_INPUT_RMS
from optilab.diagnose.evidence import FIRST_STEPS, Evidence

MAX_UNFIT_SKILL = 0.75
"""Skill on the training samples: above it, neither weight decay nor a decayed rate keeps a network from learning."""


MAX_SHRUNK, MAX_PROBE_SHRUNK = 0.5, 0.9
"""Norm of the weights over that of the initial weights, in some hidden layer; in a probe run, whose sixty steps take
little of the weights of a network that learns."""


MIN_DECAY_FRACTION = 0.1
"""Decrease of the logarithm of the norm by decay alone, over the whole decrease."""


@check("weight-decay-too-strong", fix="no weight decay")
def weight_decay_too_strong(evidence: Evidence) -> Observation | None:
    """Weight decay has shrunk a hidden layer to {MAX_SHRUNK} (in a probe run {MAX_PROBE_SHRUNK}) of its initial norm or
    less, and the skill on the training samples is {MAX_UNFIT_SKILL} or less."""
    setup, smallest = evidence.setup, min(evidence.growth, default=1.0)
    decay = setup.weight_decay or setup.decoupled_decay
    bound = MAX_PROBE_SHRUNK if evidence.probe_run else MAX_SHRUNK
    if not decay or smallest > bound or evidence.training_skill > MAX_UNFIT_SKILL:
        return None
    # A decay by the optimizer takes lr*decay of the weights in each step; gradients may have taken the rest.
    decayed = (setup.lr or 1.0) * decay * evidence.steps
    if not setup.weight_decay and decayed < MIN_DECAY_FRACTION * -math.log(max(smallest, 1e-12)):
        return None
    key = "weight_decay" if setup.weight_decay else setup.decay_key
    text = f"weight decay {decay:g} has shrunk the weights of a layer to {smallest:.2g} of their initial norm"
    sets, numbers = ((f"{key}=0",), (f"{key}={decay / 1000:g}",)), {"shrunk": smallest, "weight_decay": decay}
    return Observation(text, numbers, sets, f"{bound:g} or less", "1 or more", certain=True)


MIN_COMMON = 0.9
"""Fraction of the squares of a layer's weights that its units have in common; independent weights have 1/units."""


MIN_COMMON_LEARNED = 0.95
"""`MIN_COMMON` in a network that has learned: it has hardly more than one unit per layer."""


MIN_COMMON_DEAD = 0.99
"""`MIN_COMMON` of dead units: they stay as they were drawn, and their death is the cause if they differ."""


@check("symmetric-init", fix="random initial weights")
def symmetric_init(evidence: Evidence) -> Observation | None:
    """The units of a hidden layer have {MIN_COMMON} ({MIN_COMMON_LEARNED} if the network has learned) of the squares of
    their weights in common, from the start."""
    common = [layer.get("common") or 0.0 for record in evidence.epochs[-1:] for layer in record["layers"][:-1]]
    fraction = max(common, default=0.0)
    if fraction < (MIN_COMMON_DEAD if sees(evidence, "dead-units") else MIN_COMMON):
        return None
    layer = common.index(fraction) + 1
    first = evidence.start.get("first_common") or [layer.get("common") for layer in evidence.epochs[0]["layers"]]
    zero = not (evidence.start.get("first_weights") or [1.0] * layer)[layer - 1]
    # Otherwise large steps, or a weight decay, have made them alike, not the initial weights.
    if (first[layer - 1] or 0.0) < MIN_COMMON and not zero:
        return None
    text = f"the units of {evidence.layer(layer)} have {fraction:.2%} of their squared weights in common "
    text += "and act as one unit"
    sets, numbers = (("model.init=default",), *remedy_sets("xavier")), {"layer": layer, "common": fraction}
    certain = fraction >= MIN_COMMON_LEARNED
    return Observation(text, numbers, sets, f"{MIN_COMMON:g} or more", "near 1/units", certain=certain)


MAX_FIRST_LOSS = 2.0
"""First loss over that of equal probabilities, the chance level of balanced classes; usual ones begin at 1.0 to 1.3."""


LOGITS, MAX_LOGIT_RMS = ("classes", "binary logits"), 2.0
"""Losses of logits, and the root mean square of the first ones: larger weights are needed for larger ones."""
MAX_PROBE_LOSS, MAX_PROBE_SATURATED = 4.0, 0.9
"""Training loss over that of equal probabilities, in a probe run whose first loss was too high, and the fraction of
outputs on a flat part of an activation that is flat on both sides."""


@check("weights-too-large", fix="smaller initial weights")
def weights_too_large(evidence: Evidence) -> Observation | None:
    """The loss of the first batch is more than {MAX_FIRST_LOSS:g} times the chance level, without inputs that are too
    large."""
    if (
        not first_loss_is_high(evidence)
        or _may_recover(evidence)
        or (evidence.start.get("input_rms") or 1.0) > MAX_INPUT_RMS
    ):
        return None
    loss = evidence.start["first_loss"]
    if loss is None or not evidence.chance_loss:
        text = "at initialization the loss is not finite"
    else:
        times = loss / evidence.uniform_loss
        text = f"at initialization the loss is {loss:.3g}, {times:.3g} times the chance-level loss"
    xavier, batchnorm = remedy_sets("xavier", "batchnorm")
    sets, fix = [xavier, ("model.init=default",), batchnorm], ""
    # xavier assumes a slope of 1; that of a sigmoid is at most 1/4, of a hard sigmoid 1/6.
    if evidence.setup.activation in ("sigmoid", "hard-sigmoid") and evidence.setup.norm == "none":
        sets = [(*xavier, *batchnorm), batchnorm]
        fix = "add batch norm: with xavier alone the gradient of sigmoids tends to vanish"
    if evidence.setup.bias_init:
        sets.insert(0, ("model.bias_init=null",))
    numbers = {"first_loss": loss, "saturated": _saturated(evidence)[1]}
    return Observation(text, numbers, sets, f"above {MAX_FIRST_LOSS:g}", "1.0 to 1.3", fix)


def first_loss_is_high(evidence: Evidence) -> bool:
    """The loss of the initial weights is not finite, or MAX_FIRST_LOSS times that of equal probabilities."""
    # The first loss of a regression is as far from the chance level as its targets are from zero.
    if "first_loss" not in evidence.start or evidence.loop.task == "regression":
        return False
    if (loss := evidence.start["first_loss"]) is None:
        return not loop.loss_not_finite(evidence)
    # A level that the first steps have given says nothing of the first; and a weighted loss is high for small outputs.
    entered = evidence.loop.entered
    small = entered is not None and entered.kind in LOGITS and (entered.first_rms or 0.0) <= MAX_LOGIT_RMS
    if evidence.chance_loss_source == FIRST_STEPS or small:
        return False
    return bool(evidence.chance_loss > 0 and loss / evidence.uniform_loss > MAX_FIRST_LOSS)


def _may_recover(evidence: Evidence) -> bool:
    """A probe run is too short to blame a large first loss, which may fall, in a network that has begun to learn,
    unless hardly anything of it, or of saturated outputs, has changed."""
    falls = evidence.beats_chance and evidence.loss < MAX_PROBE_LOSS * evidence.uniform_loss
    return evidence.probe_run and falls and _saturated(evidence)[1] < MAX_PROBE_SATURATED


def _saturated(evidence: Evidence) -> tuple[int, float]:
    return evidence.worst("saturated") if evidence.setup.saturates else (0, 0.0)


MAX_DEAD = 0.95
"""Fraction of a layer's units that are flat for every sample of a batch."""


@check("dead-units", fix="biases at zero, or leaky-relu")
def dead_units(evidence: Evidence) -> Observation | None:
    """{MAX_DEAD} or more of a layer's units are flat for every sample, since initialization."""
    layer, fraction = evidence.worst("dead")
    if fraction < MAX_DEAD or not dead_from_the_start(evidence):
        return None
    text = f"{fraction:.0%} of the units of {evidence.layer(layer)} have been dead, "
    text += f"the same for every {evidence.setup.noun}"
    first = ("model.bias_init=null",) if evidence.setup.bias_init else ("model.init=kaiming",)
    sets, numbers = (first, ("model.activation=leaky-relu",)), {"layer": layer, "share": fraction}
    return Observation(
        f"{text}, since initialization",
        numbers,
        sets,
        f"{MAX_DEAD:g} or more",
        "below 0.5",
        certain=fraction == 1.0,
    )


def dead_from_the_start(evidence: Evidence) -> bool:
    """Some hidden layer was dead in the first batch."""
    return any((fraction or 0.0) >= MAX_DEAD for fraction in evidence.start.get("first_dead", [])[:-1])
