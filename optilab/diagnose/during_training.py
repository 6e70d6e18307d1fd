"""Causes in the course of a training: what steps, schedule, eps, decay and data have done to the network.

Each has its thresholds above it.
"""

import math
import re
from itertools import takewhile

from optilab.diagnose.before_training import DEAD, GROWN, dead_from_the_start, loud
from optilab.diagnose.cause import (
    FALLING,
    INPUTS,
    TOO_HIGH,
    TOO_LOW,
    Symptom,
    cause,
    rate_times,
    remedy_sets,
    usual_rate,
)
from optilab.diagnose.evidence import FIRST_STEPS, TRIAL_BATCHES, Evidence
from optilab.words import percent, points

UNFIT = 0.75
"""Skill on the training images: above it, neither weight decay nor a decayed rate keeps a network from learning."""
LEARNT = 0.99
"""Training loss over the entropy of the labels: below it the network has begun to learn its training images."""
STILL = 3e-4
"""|dw|/|w| of one step: a layer that moves less stands still for thousands of steps."""


SHRUNK = 0.5
"""Norm of the weights over that of the initial weights, in some hidden layer."""
TRIAL_SHRUNK = 0.9
"""The same in a probe run, whose sixty steps take little of the weights of a network that learns."""
SHARE_OF_DECAY = 0.1
"""What decay by itself would have taken of the logarithm of the norm, over what is gone."""


@cause(
    "weight-decay-too-strong",
    measures="norm of a hidden layer's weights over the initial norm, with weight decay; skill on the training images",
    threshold=f"{SHRUNK:g} (in a probe run {TRIAL_SHRUNK:g}) or less; {UNFIT:g} or less",
    normal="1 or more; above 0.8",
    remedy="no weight decay",
)
def weight_decay_too_strong(e: Evidence) -> Symptom | None:
    decay = e.setup.weight_decay or getattr(e.rule, "weight_decay", 0.0)
    smallest = min(e.growth, default=1.0)
    bound = TRIAL_SHRUNK if e.trial else SHRUNK
    if not decay or smallest > bound or e.training_skill > UNFIT:
        return None
    key = "weight_decay" if e.setup.weight_decay else f"{e.setup.rule_key}.weight_decay"
    # A decay of the optimizer's own takes lr*decay of the weights in each step; gradients may have taken the rest.
    taken = getattr(e.rule, "lr", 1.0) * decay * e.steps
    if not e.setup.weight_decay and taken < SHARE_OF_DECAY * -math.log(max(smallest, 1e-12)):
        return None
    text = f"weight decay {decay:g} has shrunk the weights of a layer to {smallest:.2g} of their initial norm"
    remedies = ((f"{key}=0",), (f"{key}={decay / 1000:g}",))
    numbers = {"shrunk": smallest, "weight_decay": decay}
    return Symptom(text, numbers, remedies, f"{bound:g} or less", "1 or more", harm=True)


EPS = 0.5
"""Fraction of parameters whose sqrt(v) is below eps: there the method does not adapt."""
EPS_PATH = 0.02
"""`PATH` in a probe run: in one that moves further, eps does no harm if it has begun to learn."""


@cause(
    "eps-dominates",
    measures="fraction of the parameters whose sqrt(v) is below eps",
    threshold=f"{EPS:g} or more",
    normal="below 0.1",
    remedy="eps 1e-8",
)
def eps_dominates(e: Evidence) -> Symptom | None:
    shares = [record["eps_share"] for record in e.epochs if record.get("eps_share") is not None]
    eps = e.setup.eps
    if not shares or eps is None or shares[-1] < EPS or eps < 1e-6:
        return None
    if e.trial and e.knows and max(e.paths, default=math.inf) * e.steps > EPS_PATH:
        return None
    text = f"for {shares[-1]:.0%} of the parameters sqrt(v) is below eps ({eps:g})"
    return Symptom(text, {"share": shares[-1], "eps": eps}, (("optimizer.eps=1e-08",),))


IDLE = 0.5
"""Fraction of the epochs whose learning rate is below a hundredth of the largest."""


@cause(
    "learning-rate-decayed",
    measures="fraction of the last epochs with a learning rate below a hundredth of its largest; skill on the training "
    "images",
    threshold=f"{IDLE:g} or more; {UNFIT:g} or less",
    normal="below 0.2; above 0.8",
    remedy="a constant learning rate",
)
def learning_rate_decayed(e: Evidence) -> Symptom | None:
    rates = [record["lr"] for record in e.epochs if record.get("lr") is not None]
    top = max([getattr(e.rule, "lr", 0.0), *rates], default=0.0)
    idle = len(list(takewhile(lambda rate: rate < 0.01 * top, reversed(rates)))) / max(1, len(rates))
    if idle < IDLE or e.training_skill > UNFIT or e.divergence or e.trial:
        return None
    below = f"the learning rate has been below a hundredth of {top:.2g} for the last {idle:.0%} of the epochs"
    if idle == 1 and rates == sorted(rates):
        below = f"the learning rate is still below a hundredth of {top:.2g}: its warm-up does not end"
    text = f"{below}; it is now {rates[-1]:.2g}"
    sets = ("schedule=constant",) if not e.setup.plateau else ("schedule=constant", "plateau=null")
    return Symptom(text, {"idle": idle, "lr": rates[-1]}, (sets,), f"{IDLE:.0%} or more", "below 20%", harm=True)


FEW = 50
"""Training images per class."""
GAP = 0.15
"""Training accuracy minus validation accuracy."""


@cause(
    "too-few-images",
    measures="training images per class, and training accuracy minus validation accuracy",
    threshold=f"below {FEW}, and {GAP:g} or more",
    normal="hundreds or more",
    remedy="all images",
    advice="collect more images",
)
def too_few_images(e: Evidence) -> Symptom | None:
    count, classes = e.start.get("train_images"), e.start.get("classes", e.setup.classes)
    gap = -e.held_back
    # A sample of a loop may have several labels, as a sequence has.
    labels = math.prod(e.loop.get("target_shape", ())) / max(1, e.setup.batch_size)
    if count is None or not classes or count * max(1.0, labels) >= FEW * classes or gap < GAP:
        return None
    more = f"training accuracy is {points(gap)} percentage points above validation accuracy"
    text = f"{count / classes:.3g} training {e.setup.sample}s per class, and {more}"
    sets = (("data.images=null",),) if e.setup.fewer else ()
    return Symptom(text, {"train_images": count}, sets, harm=True)


ABOVE = 1.03
"""Training loss over the entropy of the labels: more than a network that ignores the images need lose."""
TRIAL_ABOVE = 2.0
"""The same in a probe run whose first loss was not LOUD; a network that learns later may be a little above the
chance level."""
TRIAL_FAR_ABOVE = 4.0
"""The same where the network is right about some images already."""
TRIAL_FAR = 5.0
"""FAR in a probe run whose loss is above the chance level. Rules that set the size of their steps multiply norms by as
much in sixty steps of a network that learns then, or soon after."""
LOST = 0.15
"""Validation accuracy that a network has had and lost; one that oscillates keeps its training accuracy."""
UNLEARNT = 0.05
"""Training accuracy lost with it."""
MOVED = 0.01
"""Change of some layer's norm, as a fraction of the first: without it, steps have not killed any units."""
FAR = 25.0
"""Norm of a hidden layer's weights over that of its initial weights, in a network that knows little."""
WILD = 0.05
"""|dw|/|w| of one step; about 1e-3 is usual, and above this the weights are new after twenty steps."""


@cause(
    "learning-rate-too-high",
    measures="training loss over the entropy of the labels; accuracy lost; units that died; growth of "
    "weights; |dw|/|w| of a "
    "step",
    threshold=f"{ABOVE:g} (in a probe run {TRIAL_ABOVE:g}, or {TRIAL_FAR_ABOVE:g} if it knows something), {LOST:g}, "
    f"{DEAD:g}, {GROWN:g} ({FAR:g} if it knows something; in a probe run {TRIAL_FAR:g}, with a loss above chance), "
    f"or {WILD:g}",
    normal="below 1; near 0; below 0.5; 1 to 2; near 0.001",
    remedy="a rate at which the first step has the usual size, or `optilab lr`",
)
def learning_rate_too_high(e: Evidence) -> Symptom | None:
    step = max([*e.of_hidden("update_to_weight"), e.now("update_to_weight", 0) or 0.0], default=0.0)
    layer, dead = e.worst("dead")
    (best, kept), (learnt, left) = e.peak(), e.peak("train_acc")
    lost, unlearnt = best - kept, learnt - left
    grown, moved = max(e.growth, default=1.0), max((abs(g - 1) for g in e.growth), default=0.0)
    decayed = weight_decay_too_strong(e) is not None  # which kills units by itself
    numbers = {"loss": e.loss, "update_to_weight": step, "lost": lost, "dead": dead, "grown": grown}
    smaller = (*rate_times(e, 0.1), *rate_times(e, 0.01)) if e.setup.loop else usual_rate(e, TOO_HIGH)
    remedy = (*smaller, ("clip_norm=1",))
    if e.divergence:
        text = f"the training diverged: {re.sub(r'^diverged:? ', '', e.divergence)}"
        return Symptom(text, numbers, remedy, "any divergence", "none")
    if not e.rows or not e.entropy:
        return None
    improves = e.knows and (e.fall or 0.0) >= FALLING
    harm, far = False, TRIAL_FAR if e.trial else _far(e)
    # In its first sixty batches a network that learns later may have grown weights and a loss a little above the
    # chance level.
    usual = at_chance(e)[1]
    above = usual if e.steps > TRIAL_BATCHES else usual - ABOVE + (TRIAL_FAR_ABOVE if e.knows else TRIAL_ABOVE)
    guessing = e.loop.get("reference", "guessing")
    if guessing == FIRST_STEPS:  # a loss of another kind may rise while the network learns
        above = math.inf
    # Where classes are rare, the loss begins above the chance level, and a slow network stays there for a while.
    if e.loss > above * e.untrained and step > STILL and not (e.trial and loud(e)):
        text = f"the training loss, {e.loss:.3g}, is {e.loss / e.untrained:.3g} times the chance-level loss"
        bound, normal, harm = above, "below 1", e.trial
    elif lost > LOST and unlearnt > UNLEARNT:
        text = f"validation accuracy fell from {percent(best)} to {percent(kept)}"
        bound, normal = LOST, "near 0"
    elif dead > DEAD and moved > MOVED and not (dead_from_the_start(e) or decayed or (e.trial and e.knows)):
        text = f"{dead:.0%} of the units of {e.layer(layer)} have died in training"
        bound, normal = DEAD, "below 0.5"
    elif grown > far and not (e.trial and (loud(e) or e.loss <= ABOVE * e.untrained)):
        text = f"the norm of a layer's weights has grown {grown:.3g}-fold"
        bound, normal, harm = far, "1 to 2", e.trial or e.worst_fall >= LOST
    elif step > WILD and e.steps > TRIAL_BATCHES and not (e.trial or improves or _vanishes(e)):
        text = f"a single step changes weights by {step:.1%}"
        remedy = remedy if e.setup.loop else remedy[-1:]  # the usual rate may be too low for a network that learns
        bound, normal, harm = WILD, "near 0.001", e.worst_fall >= LOST
    else:
        return None
    if harm and not e.trial:
        text += f"; from one epoch to the next, training accuracy once fell by {points(e.worst_fall)} percentage points"
    return Symptom(text, numbers, remedy, f"above {bound:g}", normal, harm=harm)


def _vanishes(e: Evidence) -> bool:
    seen = vanishing_gradient(e)
    return seen is not None and not seen.last


def _far(e: Evidence) -> float:
    """The growth of weights that is a sign: less in a network that has not begun to learn its training images."""
    return GROWN if not e.knows and e.loss > LEARNT * e.entropy else FAR


VANISHING = 0.05
"""Gradient of the first hidden layer's weights over the last one's; healthy networks are within a factor ten."""
FADING = 0.02
"""Spread of the last hidden layer's outputs over the first one's."""
FAINT = 1e-3
"""The same ratio, below which steps of the usual size, as Adam makes of any gradient, do not help."""
TRIAL_STILL = 5e-5
"""STILL in a probe run: some networks learn, slowly, whose first layer begins with 1e-4."""
DROWNED = 0.05
"""|dw|/|w| of the hidden layer that moves most over that of the output layer."""
LAGS = 0.05
"""|dw|/|w| of layer 1 over that of the layer that moves most, where no layer moves: above it they stand still alike."""


@cause(
    "vanishing-gradient",
    measures="gradient of layer 1 over the last hidden layer's, or spread of the outputs, and |dw|/|w| of layer 1",
    threshold=f"below {VANISHING:g}, or below {FADING:g}, and below {STILL:g} (in a probe run "
    f"{TRIAL_STILL:g}), and {LAGS:g} times that of the layer that moves most where no layer moves more; or below "
    f"{FAINT:g} alone",
    normal="0.1 to 10, 0.1 to 10, near 0.001",
    remedy="batch norm, unit-gain weights, another activation",
)
def vanishing_gradient(e: Evidence) -> Symptom | None:
    ratio, step = e.ratio, e.now("update_to_weight", 1) if e.hidden else None
    spreads = e.of_hidden("activation_std")
    fade = spreads[-1] / spreads[0] if len(spreads) > 1 and spreads[0] > 0 else 1.0
    # The gradient of layer 1 is proportional to its inputs: that of inputs far too small has not vanished on its way.
    size = e.start.get("input_rms") or 1.0
    weak = ratio is not None and ratio < VANISHING * (size if size < INPUTS[0] else 1.0)
    # Where all hidden layers get so little, the first one's gradient is not small next to the last one's.
    most, out = max(e.of_hidden("update_to_weight"), default=0.0), e.now("update_to_weight", 0) or 0.0
    drowned = e.trial and e.hidden > 1 and 0 < most < DROWNED * out
    numbers = {"gradient_ratio": ratio, "fading": fade, "first_layer_update": step}
    remedy = remedy_sets("batchnorm", "unit-gain", "tanh", "adam")
    if text := _hidden_by_decay(e):
        return Symptom(text, numbers, remedy, f"below {VANISHING:g} before training", "0.1 to 10")
    if not weak and not drowned and (e.trial or fade > FADING):
        return None
    still = TRIAL_STILL if e.trial else STILL
    # Where the rate is too low, layer 1 stands still as all layers do, whatever its gradient.
    alike = LAGS * max(most, out) if max(most, out) < still else still
    faint = step is not None and step > alike
    if faint and (not weak or ratio is None or ratio > FAINT or e.trial):
        return None
    text = (
        f"the gradient of {e.first_layers} is {ratio:.1e} times that of {e.layer(e.hidden)}"
        if weak
        else f"a step changes hidden layers by at most {most:.1e} of their weights, and the output layer by {out:.1e}"
        if drowned
        else f"the outputs of {e.layer(e.hidden)} vary {fade:.1e} times as much as those of {e.layer(1)}"
    )
    bound = VANISHING if weak else DROWNED if drowned else FADING
    threshold = f"below {bound:g}, and |dw|/|w| of layer 1 below {still:g}"
    if faint:
        return Symptom(text, numbers, remedy, f"below {FAINT:g}", "0.1 to 10", last=True)
    return Symptom(text, numbers, remedy, threshold, "0.1 to 10, and near 0.001")


def _hidden_by_decay(e: Evidence) -> str:
    """That the gradient was lost before training, where weight decay alone moves layer 1; empty otherwise.

    Its steps are as large as healthy ones then, and the gradients of weights that it has made small say nothing.
    """
    gradient, step = (e.now(name, 1) or 0.0 for name in ("gradient_to_weight", "update_to_weight"))
    own = getattr(e.rule, "weight_decay", 0.0) * getattr(e.rule, "lr", 1.0)
    gain = math.prod(e.start.get("predicted_gains") or ())
    if not (gradient < e.setup.weight_decay or step < 2 * own) or e.hidden < 2:
        return ""
    if e.first_ratio is not None and e.first_ratio < VANISHING:
        lost = f"the gradient of {e.layer(1)} was {e.first_ratio:.1e} times that of {e.layer(e.hidden)}"
    elif gain < FADING:
        lost = f"{e.layer(e.hidden)} was to pass on {gain:.1e} of its gradient to {e.layer(1)}"
    else:
        return ""
    return f"before training {lost}, and since then {e.layer(1)} is moved by weight decay alone"


PATH = 0.1
"""Sum of |dw|/|w| over all steps, of the layer that moves most: the way it could have gone."""
PATH_STEPS = 400
"""The steps of a training in which PATH is little; in fewer steps, it is a fraction of it."""
TRIAL_PATH = 0.005
"""The same in the sixty steps of a probe run."""


@cause(
    "learning-rate-too-low",
    measures="sum of |dw|/|w| over all steps, of the layer that moves most",
    threshold=f"{PATH:g} or less, before step {PATH_STEPS} in proportion (in a probe run {TRIAL_PATH:g}, and at "
    f"its pace {PATH:g} in the whole training)",
    normal="above 1",
    remedy="a rate at which the first step has the usual size, or `optilab lr`",
)
def learning_rate_too_low(e: Evidence) -> Symptom | None:
    steps = e.steps
    if not steps:
        return None
    path = max(e.paths, default=math.inf) * steps
    bound = TRIAL_PATH if e.trial else PATH * min(1.0, steps / PATH_STEPS)
    if path > bound or _warming(e) or (e.trial and path * e.planned_steps / steps > PATH):
        return None
    # Units that large steps have killed do not move either.
    if learning_rate_too_high(e) is not None:
        return None
    text = f"in {steps} steps no layer can have moved by more than {path:.1e} of its weights' norm"
    numbers = {"path": path, "update_to_weight": path / steps}
    larger = rate_times(e, 1e-3 / max(path / steps, 1e-12)) if e.setup.loop else usual_rate(e, TOO_LOW)
    remedy = (*larger, *remedy_sets("adam"))
    # Where no gradient reaches any layer, no rate makes it move.
    still = not any(e.now("gradient_norm", layer) for layer in range(e.hidden + 1))
    return Symptom(text, numbers, remedy, f"{bound:g} or less", "near 0.06" if e.trial else "above 1", last=still)


def _warming(e: Evidence) -> bool:
    """The rate has not yet been as large as the optimizer's: a warm-up has just begun."""
    rates = [record["lr"] for record in e.epochs if record.get("lr") is not None]
    return e.trial and bool(rates) and max(rates) < 0.5 * getattr(e.rule, "lr", 0.0)


WALKED = 0.05
"""Sum of |dw|/|w| over all steps, of the layer that moves least, by which networks that can learn have begun to."""
RELATED = 0.95
"""Best validation loss over the entropy of the validation labels, of a network that has learned nothing of them."""
RISE = 0.5
"""The validation loss above its best value, as a fraction of it."""
LEARNT_BY_HEART = 0.9
"""Training accuracy."""
BY_HEART = 0.12
"""Training accuracy minus validation accuracy of a network whose validation loss rises."""


@cause(
    "overfitting",
    measures="validation loss above its best value, and training accuracy minus validation accuracy",
    threshold=f"{RISE:g} or more, and {BY_HEART:g} or more",
    normal="below 0.1; below 0.05",
    remedy="early stopping, dropout, weight decay",
)
def overfitting(e: Evidence) -> Symptom | None:
    if len(e.rows) < 5 or e.training_accuracy < LEARNT_BY_HEART or -e.held_back < BY_HEART:
        return None
    validated = [row for row in e.rows if "val_loss" in row]
    if not validated:
        return None
    best = min(validated, key=lambda row: row["val_loss"])
    if best["val_loss"] >= RELATED * e.validation_entropy:  # nothing of the validation images was ever learned
        return None
    rise = e.recent("val_loss", 0.0) / best["val_loss"] - 1
    if rise < RISE:
        return None
    text = f"the validation loss has risen by {rise:.0%} since epoch {best['epoch']}"
    remedy = (("early_stopping={patience: 3}",), ("model.dropout=0.2",), ("weight_decay=0.0001",))
    return Symptom(text, {"rise": rise}, remedy, harm=True)


def at_chance(e: Evidence) -> tuple[float, float]:
    """The bounds of a training loss, over the chance level, of a network that knows nothing."""
    # What guessing loses in a regression is estimated from the targets of the sampled batches.
    error = 3 * e.start.get("prior_error", 0.0)
    return LEARNT - error, ABOVE + error


UNSEEN = 0.5
"""What is known of the validation images over what is known of the training images, as fractions of the entropies."""
WRONG = 0.5
"""Validation accuracy over chance: only a network that has learned other names of the classes is so often wrong."""
CLEARLY = 0.25
"""Skill on the training images of a network that has clearly learned them."""


@cause(
    "labels-unrelated",
    measures="best validation loss over the chance level, while the training images are learned; validation accuracy "
    "over chance; training loss over the chance level, and the sum of |dw|/|w| of the layer that moves least (the "
    "first and the last without another cause)",
    threshold=f"{RELATED:g} or more; below {WRONG:g}; {LEARNT:g} to {ABOVE:g}, and {WALKED:g} or more",
    normal="below 0.8; above 2; below 0.8",
    remedy="none; check the labels",
    advice="check that inputs and labels belong together",
    silent="the chance level is not known; nothing is validated, and the training samples are memorized; "
    f"at most {TRIAL_BATCHES} steps",
)
def labels_unrelated(e: Evidence) -> Symptom | None:
    way = min(e.paths, default=0.0) * e.steps
    unknown = e.loop.get("reference", "guessing") == FIRST_STEPS or not e.entropy or not e.rows
    low, high = (side * e.entropy for side in at_chance(e))
    ignorant = not (unknown or e.trial or e.knows) and low < e.loss <= high
    if ignorant and e.steps > TRIAL_BATCHES and way >= WALKED and vanishing_gradient(e) is None:
        text = f"every layer has moved by {way:.2g} times its weights' norm in {e.steps} steps, and the training loss, "
        text += f"{e.loss:.3g}, is still {e.loss / e.entropy:.1%} of the chance-level loss"
        threshold = f"{LEARNT:.0%} to {ABOVE:.0%}, after {WALKED:g} or more"
        # A network that is slow to begin looks the same.
        pairs = f"{e.setup.sample}s and labels"
        advice = f"check that {pairs} belong together; if they do, train longer, or at another rate"
        return Symptom(text, {"loss": e.loss, "path": way}, (), threshold, "below 80%", advice, last=True)
    losses = [row["val_loss"] for row in e.rows if "val_loss" in row]
    if not losses or not e.validation_entropy or not e.entropy:
        return None
    if max(e.accuracy, e.rows[-1].get("val_acc", 0.0)) > 2 * e.chance:
        return None
    share = min(losses) / e.validation_entropy
    numbers = {"best_val_loss": min(losses), "accuracy": e.accuracy}
    error = math.sqrt(e.chance * (1 - e.chance) / e.validation_images)
    wrong = "val_acc" in e.rows[-1] and e.accuracy < min(WRONG * e.chance, e.chance - 4 * error)
    if wrong and e.training_skill > CLEARLY and share > RELATED:
        text = f"validation accuracy is {percent(e.accuracy)}, far below chance, and training accuracy "
        text += f"{percent(e.training_accuracy)}: the validation labels have other names than the training labels"
        return Symptom(text, numbers, (), f"below {WRONG:g}", "above 2")
    if e.steps <= TRIAL_BATCHES:
        return None
    # A network that has not learned its training images either says nothing about the labels; nor does one that is
    # slow, and has learned as much of both.
    known, unseen = 1 - e.loss / e.entropy, 1 - e.validation_loss / e.validation_entropy
    if share < RELATED or known < 1 - LEARNT or unseen > UNSEEN * known:
        return None
    text = f"the best validation loss of any epoch, {min(losses):.3g}, is {share:.1%} of the chance-level loss"
    return Symptom(text, numbers, (), f"{RELATED:g} or more", "below 0.8", last=True)
