"""Checks of a network: effects of data, settings, initial weights and steps; thresholds stand above each check.

The order is that of causes: where two findings weigh the same, the earlier one explains the later. How often they are
right is measured on labeled trainings (tests/diagnosis, docs/measured.md).
"""

import math
import re
from itertools import pairwise, takewhile
from typing import Any

from optilab.diagnose import loop_checks
from optilab.diagnose.check import Check, Observation, Sets, check
from optilab.diagnose.evidence import FIRST_STEPS, MIN_FALL, PROBE_BATCHES, Evidence
from optilab.diagnose.remedies import REMEDIES
from optilab.optimize.rule import rules_with_lr
from optilab.optimize.user_code import UserRule
from optilab.words import percent, plural, points


def remedy_sets(*names: str) -> tuple[Sets, ...]:
    """The settings of remedies of the vanishing-gradient study, chosen by name."""
    return tuple(REMEDIES[name].sets for name in names)


def sees(evidence: Evidence, name: str) -> bool:
    """True if a check of that name sees something."""
    return any(candidate(evidence) is not None for candidate in NETWORK_CHECKS if candidate.name == name)


# --- learning rates that are likely to work ---


MIN_INPUT_RMS, MAX_INPUT_RMS = 0.01, 10.0
"""Root mean square of the inputs; pixels divided by 255 have 0.35, standardized ones 1."""
FIRST_STEP = 0.1
"""Learning rate times gradient, of single images, over weights, at initialization, of the layer where it is largest: of
networks that learn, half have 0.03 to 0.15; those whose rate was far too high have 2 and more."""
NORMED_FIRST_STEP = 0.5
"""`FIRST_STEP` of a layer that a normalization follows, which takes back what steps add to the size of the
weights.
"""
MAX_RATE = 0.45
"""Learning rate by the first step, of networks that learn. Above it the gradient is lost before training, and steps
grow with it."""
MIN_RISE, MAX_CUT = 30.0, 1 / 3
"""Default over present learning rate, from which the default is a remedy; nearer to it, the range test finds a rate."""


def rate_times(evidence: Evidence, factor: float) -> tuple[Sets, ...]:
    """The learning rates times a factor: the rate of the optimizer or the rule that it wraps, and of the rule for other
    weights; nothing without a rate."""
    rates = evidence.setup.rates
    return (tuple(f"{key}={rate * factor:.2g}" for key, rate in rates.items()),) if rates else ()


def default_rates(evidence: Evidence) -> dict[str, float]:
    """The learning rates with which the network is likely to learn, by key.

    If the length of a step is about the rate, whatever the gradient, or if inputs out of scale say nothing about
    gradients, that is the default of the optimizer. If the step is proportional to the gradient, it is the rate at
    which the first step has the usual size. A user's rule or loop, a run without its first gradients, and a typed
    formula whose step is about the rate have none.
    """
    from optilab.optimize.theory import is_scale_invariant, linear_step  # NumPy, which a refusal does not load

    rates = dict[str, float]()
    gradients, weights = evidence.start.get("sample_gradients") or [], evidence.start.get("first_weights") or []
    scaled = MIN_INPUT_RMS <= (evidence.start.get("input_rms") or 1.0) <= MAX_INPUT_RMS
    largest = max((g / w for g, w in zip(gradients, weights, strict=False) if g is not None and w), default=0.0)
    step = FIRST_STEP if evidence.setup.norm == "none" else NORMED_FIRST_STEP
    for key, rule in rules_with_lr(evidence.setup.config.optimizer).items() if evidence.setup.config else ():
        if isinstance(rule, UserRule):
            continue
        if not scaled or is_scale_invariant(rule):
            if (default := getattr(type(rule), "lr", None)) is not None:  # a typed formula has none
                rates[f"optimizer.{key}"] = default
        elif step <= MAX_RATE * largest:
            linear, gradients_of_step = linear_step(rule), 1.0
            if linear and linear.decay < 1:  # a velocity adds up 1/(1 - decay) gradients
                gradients_of_step = linear.gradient + linear.gain * linear.velocity / (1 - linear.decay)
            if gradients_of_step > 0:
                rates[f"optimizer.{key}"] = step / largest / gradients_of_step
    return rates


def default_rate(evidence: Evidence, times: float) -> tuple[Sets, ...]:
    """`default_rates` that are at least `times` (above 1) or at most `times` (below 1) the present rates."""
    now = evidence.setup.rates
    wanted = {k: rate for k, rate in default_rates(evidence).items() if (rate >= times * now[k]) == (times > 1)}
    return (tuple(f"{key}={rate:.2g}" for key, rate in wanted.items()),) if wanted else ()


# --- labels and inputs ---


@check("one-class", fix="check the labels")
def single_class(evidence: Evidence) -> Observation | None:
    """All training labels are the same."""
    if evidence.start.get("classes", 2) > 1:
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
LABELS = ("labels-unrelated", "check that inputs and labels belong together")


def at_chance(evidence: Evidence) -> tuple[float, float]:
    """The bounds of a training loss, over the chance level, of a network that knows nothing."""
    # What guessing loses in a regression is estimated from the targets of the sampled batches.
    error = 3 * evidence.start.get("prior_error", 0.0)
    return MAX_UNLEARNED_LOSS - error, MAX_CHANCE_LOSS + error


@check(*LABELS)
def nothing_learned_on_the_way(evidence: Evidence) -> Observation | None:
    """After more than {PROBE_BATCHES} steps every layer has moved by {MIN_PATH} times its weights' norm or more, and
    the training loss is still {MAX_UNLEARNED_LOSS:.0%} to {MAX_CHANCE_LOSS:.0%} of the chance level (without another
    finding)."""
    path = min(evidence.relative_steps, default=0.0) * evidence.steps
    low, high = (bound * evidence.chance_loss for bound in at_chance(evidence))
    known = (
        evidence.chance_loss_source != FIRST_STEPS
        and evidence.chance_loss
        and evidence.rows
        and not evidence.probe_run
    )
    if not known or evidence.beats_chance or not low < evidence.loss <= high:
        return None
    if evidence.steps <= PROBE_BATCHES or path < MIN_PATH or sees(evidence, "vanishing-gradient"):
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
    if not evidence.setup.loop or not _accuracy_is_lost(evidence):
        return None
    before = max((row for row in evidence.rows if "val_acc" in row), key=lambda row: row["val_acc"])["train_loss"]
    if evidence.loss >= MIN_UNRELATED_LOSS * before or _swings(evidence):
        return None
    best, latest = map(percent, evidence.best_and_latest())
    text = f"validation accuracy fell from {best} to {latest}, while the training loss fell from {before:.3g} to "
    text += f"{evidence.loss:.3g}: the loss has other labels than the accuracy"
    fix = "compute the loss from the labels that watch.step and the accuracy get"
    return Observation(
        text, {"loss": evidence.loss, "lost": _lost(evidence, "val_acc")}, (), f"above {MAX_LOST:g}", "near 0", fix
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
    if fraction < MIN_UNRELATED_LOSS or known < 1 - MAX_UNLEARNED_LOSS or unseen > MAX_UNSEEN * known:
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
    return losses if max(evidence.accuracy, evidence.rows[-1].get("val_acc", 0.0)) <= 2 * evidence.chance else []


MIN_FULL_SKILL = 0.8
"""Skill of a network that the scale of its inputs does not harm: it has learned nearly all."""


@check("inputs-out-of-scale", fix="pixels divided by 255")
def inputs_out_of_scale(evidence: Evidence) -> Observation | None:
    """The root mean square of the first batch's inputs is below {MIN_INPUT_RMS} or above {MAX_INPUT_RMS:g} (info at a
    skill of {MIN_FULL_SKILL} or more)."""
    size = evidence.start.get("input_rms")
    if size is None or MIN_INPUT_RMS <= size <= MAX_INPUT_RMS:
        return None
    text = f"the network's inputs have a root mean square of {size:.2g}"
    bound = f"below {MIN_INPUT_RMS:g} or above {MAX_INPUT_RMS:g}"
    certain = not evidence.probe_run and evidence.skill < MIN_FULL_SKILL
    return Observation(
        text, {"input_rms": size}, (("data.normalize={scale: 255}",),), bound, "0.1 to 3", certain=certain
    )


# --- weights, dropout and norms ---


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


MAX_FIRST_LOSS = 2.0
"""First loss over that of equal probabilities, the chance level of balanced classes; usual ones begin at 1.0 to 1.3."""
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
    if "first_loss" not in evidence.start or evidence.loop.get("task") == "regression":
        return False
    if (loss := evidence.start["first_loss"]) is None:
        return not loop_checks.loss_not_finite(evidence)
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


# --- eps, schedule and data ---


MAX_BELOW_EPS = 0.5
"""Fraction of parameters whose sqrt(v) is below eps: there the method does not adapt."""
MAX_EPS_PATH = 0.02
"""Sum of |dw|/|w| in sixty steps: a probe run that moves further is not harmed by eps if it has begun to learn."""


@check("eps-dominates", fix="eps 1e-8")
def eps_dominates(evidence: Evidence) -> Observation | None:
    """sqrt(v) is below eps for {MAX_BELOW_EPS} of the parameters or more; v, where eps is added under the root."""
    fractions = [record["eps_share"] for record in evidence.epochs if record.get("eps_share") is not None]
    eps = evidence.setup.eps
    if not fractions or eps is None or fractions[-1] < MAX_BELOW_EPS or eps < 1e-6:
        return None
    if (
        evidence.probe_run
        and evidence.beats_chance
        and max(evidence.relative_steps, default=math.inf) * PROBE_BATCHES > MAX_EPS_PATH
    ):
        return None
    from optilab.optimize.theory import eps_exponent  # NumPy, which a refusal does not load

    config = evidence.setup.config
    moment = "v" if config and eps_exponent(config.optimizer) == 2 else "sqrt(v)"
    text = f"for {fractions[-1]:.0%} of the parameters {moment} is below eps ({eps:g})"
    numbers = {"share": fractions[-1], "eps": eps}
    return Observation(text, numbers, (("optimizer.eps=1e-08",),), f"{MAX_BELOW_EPS:g} or more", "below 0.1")


MAX_IDLE = 0.5
"""Fraction of the epochs whose learning rate is below a hundredth of the largest."""


@check("learning-rate-decayed", fix="a constant learning rate")
def learning_rate_decayed(evidence: Evidence) -> Observation | None:
    """The learning rate is below a hundredth of its largest for the last {MAX_IDLE:.0%} of the epochs or more, and the
    skill on the training samples is {MAX_UNFIT_SKILL} or less."""
    rates = evidence.probed_rates
    top = max([evidence.setup.lr, *rates])
    idle = len(list(takewhile(lambda rate: rate < 0.01 * top, reversed(rates)))) / max(1, len(rates))
    if idle < MAX_IDLE or evidence.training_skill > MAX_UNFIT_SKILL or evidence.divergence or evidence.probe_run:
        return None
    below = f"the learning rate has been below a hundredth of {top:.2g} for the last {idle:.0%} of the epochs"
    if idle == 1 and rates == sorted(rates):
        below = f"the learning rate is still below a hundredth of {top:.2g}: its warm-up does not end"
    plateau = evidence.setup.config and evidence.setup.config.plateau
    sets: Sets = ("schedule=constant", "plateau=null") if plateau else ("schedule=constant",)
    numbers, bound = {"idle": idle, "lr": rates[-1]}, f"{MAX_IDLE:.0%} or more"
    return Observation(f"{below}; it is now {rates[-1]:.2g}", numbers, (sets,), bound, "below 20%", certain=True)


MIN_IMAGES = 50
"""Training samples per class."""
MAX_GAP = 0.15
"""Training accuracy minus validation accuracy."""


@check("too-few-images", fix="collect more images")
def too_few_images(evidence: Evidence) -> Observation | None:
    """There are fewer than {MIN_IMAGES} training images per class, and training accuracy is {MAX_GAP} or more above
    validation accuracy."""
    count, classes = evidence.start.get("train_images"), evidence.start.get("classes", evidence.setup.classes)
    gap = -evidence.accuracy_gap
    # A sample of a loop may have several labels, as a sequence has.
    labels = math.prod(evidence.loop.get("target_shape", ())) / max(1, evidence.setup.batch_size)
    if count is None or not classes or count * max(1.0, labels) >= MIN_IMAGES * classes or gap < MAX_GAP:
        return None
    more = f"training accuracy is {points(gap)} percentage points above validation accuracy"
    text = f"{count / classes:.3g} training {evidence.setup.noun}s per class, and {more}"
    is_subset = evidence.setup.config and evidence.setup.config.data.images
    sets: tuple[Sets, ...] = (("data.images=null",),) if is_subset else ()
    return Observation(
        text, {"train_images": count}, sets, f"below {MIN_IMAGES}", "hundreds or more", certain=True
    )


MIN_THROUGH_TIME = 1e-5
"""Gradient by the inputs of the first quarter of the time steps over the largest of any step."""
MIN_EARLY_THROUGH_TIME = 0.01
"""`MIN_THROUGH_TIME` in the first epoch, for a layer that lost its gradient only by training."""


@check("vanishing-through-time", fix="nn.LSTM or nn.GRU, shorter sequences, or orthogonal recurrent weights")
def vanishing_through_time(evidence: Evidence) -> Observation | None:
    """The gradient by a recurrent layer's inputs of the first quarter of the time steps is below {MIN_THROUGH_TIME}
    times the largest (without another finding if it was above {MIN_EARLY_THROUGH_TIME} at first)."""
    numbers = [*range(1, evidence.hidden + 1), 0]
    ratios = [(ratio, n) for n in numbers if (ratio := evidence.latest("through_time", n)) is not None]
    ratio, layer = min(ratios, default=(1.0, 0))
    if ratio >= MIN_THROUGH_TIME:
        return None
    layers, name = evidence.epochs[0]["layers"], evidence.layer(layer or evidence.hidden + 1)
    # What was well at first has been lost in training, by steps that are too large.
    lost = layer <= len(layers) and (layers[layer - 1].get("through_time") or 0.0) > MIN_EARLY_THROUGH_TIME
    text = f"in {name} the gradient of the first time steps is {ratio:.1e} times the largest"
    facts = {"ratio": ratio, "layer": layer or evidence.hidden + 1}
    return Observation(text, facts, bound=f"below {MIN_THROUGH_TIME:g}", normal="above 0.01", only_alone=lost)


# --- steps that are too large ---


MAX_PROBE_CHANCE_LOSS, MAX_PROBE_LATE_LOSS = 2.0, 4.0
"""MAX_CHANCE_LOSS in a probe run, whose loss may be a little above the chance level in a network that learns later; and
where it is right about some samples already."""
MAX_LOST, MAX_UNLEARNT = 0.15, 0.05
"""Loss of validation accuracy since the best epoch, and of training accuracy, which a network that oscillates keeps."""
MIN_MOVED = 0.01
"""Change of some layer's norm, as a fraction of the first: without it, steps have not killed any units."""
MAX_GROWTH = 3.0
"""Norm of a hidden layer's weights over that of its initial weights, in a network that knows nothing."""
MAX_PROBE_GROWTH = 5.0
"""MAX_GROWTH in a probe run whose loss is above the chance level. Rules that set the size of their steps multiply norms
by as much in sixty steps of a network that learns then, or soon after."""
MAX_LEARNING_GROWTH = 25.0
"""MAX_GROWTH in a network that knows a little."""
MAX_STEP = 0.05
"""|dw|/|w| of one step; about 1e-3 is usual, and above this the weights are new after twenty steps."""
MIN_STEP = 3e-4
"""|dw|/|w| of one step: a layer that moves less stands still for thousands of steps."""
RATE = ("learning-rate-too-high", "a rate at which the first step has the usual size, or `optilab lr`")


def _largest_step(evidence: Evidence) -> float:
    return max([*evidence.of_hidden("update_to_weight"), evidence.latest("update_to_weight", 0) or 0.0])


def _lost(evidence: Evidence, column: str) -> float:
    best, latest = evidence.best_and_latest(column)
    return best - latest


def _accuracy_is_lost(evidence: Evidence) -> bool:
    return _lost(evidence, "val_acc") > MAX_LOST and _lost(evidence, "train_acc") > MAX_UNLEARNT


def _too_high(evidence: Evidence, text: str, bound: str, normal: str, certain: bool = False) -> Observation:
    numbers: dict[str, Any] = {
        "loss": evidence.loss,
        "update_to_weight": _largest_step(evidence),
        "lost": _lost(evidence, "val_acc"),
        "dead": evidence.worst("dead")[1],
        "grown": max(evidence.growth, default=1.0),
    }
    smaller = (
        (*rate_times(evidence, 0.1), *rate_times(evidence, 0.01))
        if evidence.setup.loop
        else default_rate(evidence, MAX_CUT)
    )
    return Observation(text, numbers, (*smaller, ("clip_norm=1",)), bound, normal, certain=certain)


def _once_fell(evidence: Evidence) -> str:
    fell = points(evidence.worst_fall)
    return f"; from one epoch to the next, training accuracy once fell by {fell} percentage points"


@check(*RATE)
def diverged(evidence: Evidence) -> Observation | None:
    """The training diverged."""
    if not evidence.divergence or loop_checks.loss_not_finite(evidence):
        return None
    text = f"the training diverged: {re.sub(r'^diverged:? ', '', evidence.divergence)}"
    return _too_high(evidence, text, "any divergence", "none")


MIN_LOSS = 1e-3
"""Training loss of a network that has not learned its samples to the last digit, where no gradient is left either."""


@check(*RATE)
def no_gradient_left(evidence: Evidence) -> Observation | None:
    """No layer has any gradient left, and no other finding explains it."""
    norms = [[layer["gradient_norm"] for layer in record["layers"]] for record in evidence.epochs]
    first, last = ([norm for norm in norms[at] if norm is not None] if norms else [] for at in (0, -1))
    # First of the checks of this name that are no divergence: the others are notes where the loss has fallen from a
    # much higher one, and seems to be well.
    if not last or any(last) or not any(first) or evidence.loss < MIN_LOSS:
        return None
    # A network that has solved its task has no gradient left either.
    if evidence.training_skill >= MIN_FULL_SKILL:
        return None
    if any(sees(evidence, name) for name in ("weight-decay-too-strong", "symmetric-init", "dead-units")):
        return None
    text = f"no layer has any gradient left, and the training loss is {evidence.loss:.3g}"
    return _too_high(evidence, text, "0 in all layers", "above 0", certain=True)


@check(*RATE)
def loss_above_chance(evidence: Evidence) -> Observation | None:
    """The training loss is above {MAX_CHANCE_LOSS} times the chance level; in a probe run {MAX_PROBE_CHANCE_LOSS:g}, or
    {MAX_PROBE_LATE_LOSS:g} if the network knows something."""
    # A loss of another kind may rise while the network learns.
    if not evidence.rows or not evidence.chance_loss or evidence.chance_loss_source == FIRST_STEPS:
        return None
    bound = at_chance(evidence)[1]
    if evidence.steps <= PROBE_BATCHES:
        bound += (MAX_PROBE_LATE_LOSS if evidence.beats_chance else MAX_PROBE_CHANCE_LOSS) - MAX_CHANCE_LOSS
    # Where classes are rare, the loss begins above the chance level, and a slow network stays there for a while.
    if (
        evidence.loss <= bound * evidence.uniform_loss
        or _largest_step(evidence) <= MIN_STEP
        or _starts_high(evidence)
    ):
        return None
    times = evidence.loss / evidence.uniform_loss
    text = f"the training loss, {evidence.loss:.3g}, is {times:.3g} times the chance-level loss"
    return _too_high(evidence, text, f"above {bound:g}", "below 1", certain=evidence.probe_run)


def _starts_high(evidence: Evidence) -> bool:
    """A probe run whose loss may still fall."""
    return evidence.probe_run and first_loss_is_high(evidence)


@check(*RATE)
def accuracy_lost(evidence: Evidence) -> Observation | None:
    """Validation accuracy has fallen by more than {MAX_LOST}, and training accuracy by more than {MAX_UNLEARNT}."""
    if (
        not evidence.rows
        or not evidence.chance_loss
        or not _accuracy_is_lost(evidence)
        or accuracy_falls_with_loss(evidence)
    ):
        return None
    best, latest = map(percent, evidence.best_and_latest())
    return _too_high(
        evidence, f"validation accuracy fell from {best} to {latest}", f"above {MAX_LOST:g}", "near 0"
    )


@check(*RATE)
def units_died(evidence: Evidence) -> Observation | None:
    """More than {MAX_DEAD} of a layer's units have died in training, and some layer has changed by more than
    {MIN_MOVED:.0%}; weight decay is not to blame."""
    layer, dead = evidence.worst("dead")
    change = max((abs(growth - 1) for growth in evidence.growth), default=0.0)
    if (
        not evidence.rows
        or not evidence.chance_loss
        or dead <= MAX_DEAD
        or change <= MIN_MOVED
        or dead_from_the_start(evidence)
    ):
        return None
    if sees(evidence, "weight-decay-too-strong") or (evidence.probe_run and evidence.beats_chance and dead < 1.0):
        return None
    text = f"{dead:.0%} of the units of {evidence.layer(layer)} have died in training"
    return _too_high(evidence, text, f"above {MAX_DEAD:g}", "below 0.5", certain=dead == 1.0)


@check(*RATE)
def weights_grew(evidence: Evidence) -> Observation | None:
    """The norm of a layer's weights has grown more than {MAX_GROWTH:g}-fold; {MAX_LEARNING_GROWTH:g}-fold if the
    network knows something; in a probe run {MAX_PROBE_GROWTH:g}-fold, with a loss above chance."""
    if not evidence.rows or not evidence.chance_loss:
        return None
    grown, no_better_than_chance = (
        max(evidence.growth, default=1.0),
        not evidence.beats_chance and evidence.loss > MAX_UNLEARNED_LOSS * evidence.chance_loss,
    )
    bound = (
        MAX_PROBE_GROWTH if evidence.probe_run else MAX_GROWTH if no_better_than_chance else MAX_LEARNING_GROWTH
    )
    if (
        grown <= bound
        or _starts_high(evidence)
        or (evidence.probe_run and evidence.loss <= MAX_CHANCE_LOSS * evidence.uniform_loss)
    ):
        return None
    certain = evidence.probe_run or evidence.worst_fall >= MAX_LOST
    text = f"the norm of a layer's weights has grown {grown:.3g}-fold"
    text += _once_fell(evidence) if certain and not evidence.probe_run else ""
    return _too_high(evidence, text, f"above {bound:g}", "1 to 2", certain)


@check(*RATE)
def steps_too_large(evidence: Evidence) -> Observation | None:
    """A single step changes a layer's weights by more than {MAX_STEP:.0%}, and the training loss does not fall."""
    step, improves = _largest_step(evidence), evidence.beats_chance and (evidence.late_fall or 0.0) >= MIN_FALL
    if not evidence.rows or not evidence.chance_loss or evidence.steps <= PROBE_BATCHES or evidence.probe_run:
        return None
    if step <= MAX_STEP or improves or sees(evidence, "vanishing-gradient"):
        return None
    certain = evidence.worst_fall >= MAX_LOST
    text = f"a single step changes weights by {step:.1%}{_once_fell(evidence) if certain else ''}"
    result = _too_high(evidence, text, f"above {MAX_STEP:g}", "near 0.001", certain)
    # The default rate may be too low for a network that learns.
    return result if evidence.setup.loop else result._replace(changes=result.changes[-1:])


# --- gradients that vanish, steps that are too small ---


MIN_GRADIENT_RATIO = 0.05
"""Gradient of the first hidden layer's weights over the last one's; healthy networks are within a factor ten."""
MIN_SPREAD_RATIO = 0.02
"""Spread of the last hidden layer's outputs over the first one's."""
MIN_PROBE_STEP = 5e-5
"""MIN_STEP in a probe run: some networks learn, slowly, whose first layer begins with 1e-4, such as the preset `lr`."""
MIN_STEP_RATIO = 0.05
"""|dw|/|w| of the hidden layer that moves most over that of the output layer."""
GRADIENT = ("vanishing-gradient", "batch norm, unit-gain weights, another activation")


def _vanished(evidence: Evidence, text: str, bound: str) -> Observation:
    step = evidence.latest("update_to_weight", 1)
    numbers = {"gradient_ratio": evidence.ratio, "fading": evidence.spread_ratio, "first_layer_update": step}
    return Observation(text, numbers, remedy_sets("batchnorm", "unit-gain", "tanh", "adam"), bound, "0.1 to 10")


def _stands_still(evidence: Evidence) -> bool:
    """True if a step hardly changes layer 1."""
    step = evidence.latest("update_to_weight", 1) if evidence.hidden else None
    return step is None or step <= (MIN_PROBE_STEP if evidence.probe_run else MIN_STEP)


@check(*GRADIENT)
def gradient_hidden_by_decay(evidence: Evidence) -> Observation | None:
    """Before training, the gradient of layer 1 was below {MIN_GRADIENT_RATIO} times the last hidden layer's, or the
    last one's outputs varied below {MIN_SPREAD_RATIO} times as much as its own, and weight decay alone moves it now."""
    # Its steps are as large as healthy ones, and the gradients of weights that decay has made small say nothing.
    gradient, step = (evidence.latest(name, 1) or 0.0 for name in ("gradient_to_weight", "update_to_weight"))
    decay = evidence.setup.decoupled_decay * (evidence.setup.lr or 1.0)
    if evidence.hidden < 2 or not (gradient < evidence.setup.weight_decay or step < 2 * decay):
        return None
    first, last = evidence.layer(1), evidence.layer(evidence.hidden)
    if evidence.first_ratio is not None and evidence.first_ratio < MIN_GRADIENT_RATIO:
        lost = f"the gradient of {first} was {evidence.first_ratio:.1e} times that of {last}"
    elif (ratio := evidence.first_spread_ratio) < MIN_SPREAD_RATIO:
        lost = f"the outputs of {last} varied {ratio:.1e} times as much as those of {first}"
    else:
        return None
    text = f"before training {lost}, and since then {first} is moved by weight decay alone"
    return _vanished(evidence, text, f"below {MIN_GRADIENT_RATIO:g} before training")


@check(*GRADIENT)
def gradient_vanishes(evidence: Evidence) -> Observation | None:
    """The gradient of layer 1 is below {MIN_GRADIENT_RATIO} times the last hidden layer's, and its |dw|/|w| below
    {MIN_STEP} (in a probe run {MIN_PROBE_STEP})."""
    # The gradient of layer 1 is proportional to its inputs: that of inputs far too small has not vanished on its way.
    size = evidence.start.get("input_rms") or 1.0
    bound = MIN_GRADIENT_RATIO * (size if size < MIN_INPUT_RMS else 1.0)
    if evidence.ratio is None or evidence.ratio >= bound or not _stands_still(evidence):
        return None
    last = evidence.layer(evidence.hidden)
    text = f"the gradient of {evidence.first_layers} is {evidence.ratio:.1e} times that of {last}"
    return _vanished(evidence, text, f"below {MIN_GRADIENT_RATIO:g}")


@check(*GRADIENT)
def hidden_layers_stand_still(evidence: Evidence) -> Observation | None:
    """In a probe run, all hidden layers move less than {MIN_STEP_RATIO} times as much as the output layer."""
    most = max(evidence.of_hidden("update_to_weight"), default=0.0)
    out = evidence.latest("update_to_weight", 0) or 0.0
    if (
        not evidence.probe_run
        or evidence.hidden < 2
        or not 0 < most < MIN_STEP_RATIO * out
        or not _stands_still(evidence)
    ):
        return None
    text = (
        f"a step changes hidden layers by at most {most:.1e} of their weights, and the output layer by {out:.1e}"
    )
    return _vanished(evidence, text, f"below {MIN_STEP_RATIO:g}")


@check(*GRADIENT)
def outputs_fade(evidence: Evidence) -> Observation | None:
    """The outputs of the last hidden layer vary {MIN_SPREAD_RATIO} times as much as those of layer 1 or less, which
    stands still."""
    ratio = evidence.spread_ratio
    if evidence.probe_run or ratio > MIN_SPREAD_RATIO or not _stands_still(evidence):
        return None
    first, last = evidence.layer(1), evidence.layer(evidence.hidden)
    text = f"the outputs of {last} vary {ratio:.1e} times as much as those of {first}"
    return _vanished(evidence, text, f"below {MIN_SPREAD_RATIO:g}")


MIN_LARGEST_PATH, MIN_PROBE_PATH = 0.1, 0.005
"""Sum of |dw|/|w| over all steps, of the layer that moves most; in a probe run."""
PATH_STEPS = 400
"""Steps of a training for which MIN_LARGEST_PATH is small; for fewer steps, a fraction of it is, as in a probe run."""


@check("learning-rate-too-low", fix="a rate at which the first step has the usual size, or `optilab lr`")
def learning_rate_too_low(evidence: Evidence) -> Observation | None:
    """The sum of |dw|/|w| over all steps, of the layer that moves most, is {MIN_LARGEST_PATH} or less, before step
    {PATH_STEPS} in proportion; in a probe run of {PROBE_BATCHES} batches {MIN_PROBE_PATH}, and at its pace
    {MIN_LARGEST_PATH} in the whole training; without inputs that are too large."""
    if not (steps := evidence.steps):
        return None
    path = max(evidence.relative_steps, default=math.inf) * steps
    least, usual = (MIN_PROBE_PATH, PROBE_BATCHES) if evidence.probe_run else (MIN_LARGEST_PATH, PATH_STEPS)
    bound = least * min(1.0, steps / usual)
    planned = evidence.setup.config.epochs * evidence.steps_per_epoch if evidence.setup.config else steps
    if path > bound or _warming(evidence) or (evidence.probe_run and path * planned / steps > MIN_LARGEST_PATH):
        return None
    # Units that large steps or large inputs have killed do not move either.
    if sees(evidence, "learning-rate-too-high") or (evidence.start.get("input_rms") or 1.0) > MAX_INPUT_RMS:
        return None
    text = f"in {steps} steps no layer can have moved by more than {path:.1e} of its weights' norm"
    # Where no gradient reaches any layer, no rate makes it move.
    if not any(evidence.latest("gradient_norm", layer) for layer in range(evidence.hidden + 1)):
        return None
    larger = (
        rate_times(evidence, 1e-3 / max(path / steps, 1e-12))
        if evidence.setup.loop
        else default_rate(evidence, MIN_RISE)
    )
    normal = f"near {1e-3 * steps:.2g}" if evidence.probe_run else "above 1"
    numbers = {"path": path, "update_to_weight": path / steps}
    return Observation(text, numbers, (*larger, *remedy_sets("adam")), f"{bound:.4g} or less", normal)


def _warming(evidence: Evidence) -> bool:
    """The rate has not yet been as large as the optimizer's: a warm-up has just begun."""
    return (
        evidence.probe_run and bool(evidence.probed_rates) and max(evidence.probed_rates) < 0.5 * evidence.setup.lr
    )


# --- memorized ---


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


NETWORK_CHECKS: tuple[Check, ...] = tuple(value for value in vars().values() if isinstance(value, Check))
"""All checks of this file, in its order, which is that of causes."""
