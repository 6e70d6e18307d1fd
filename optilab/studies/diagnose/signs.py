"""The signs by which `optilab diagnose` knows a cause: one function each, over thresholds that are named here.

A sign returns what it has seen, as a text with its number, all its numbers, and the remedies that fit, best first, each
as the `--set`s of a command; None where the network does not show it.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from optilab.studies.diagnose.evidence import TRIAL_BATCHES, Evidence
from optilab.studies.remedies import remedies

LEARNED = 0.55
"""Skill, (accuracy - chance)/(1 - chance), above which a network has learned: what is odd about it does no harm."""
TRIAL_LEARNED = 0.25
"""The same after the sixty steps of a trial."""
INPUTS = (0.01, 10.0)
"""Root mean square of the inputs; pixels divided by 255 have 0.35, standardised ones 1."""
ALIKE = 0.95
"""Share of the squares of a layer's weights that its units have in common; independent weights have 1/units."""
LOUD = 2.0
"""First loss over the prior's entropy; initialisations in use begin at 1.0 to 1.3."""
SATURATED = 0.5
"""Share of outputs on a flat part of an activation that is flat on both sides."""
DEAD = 0.95
"""Share of a layer's units that are flat for every image of a batch."""
SILENT = 1e-4
"""Gradient of layer 1 over the output layer's, single images, before training."""
ABOVE = 1.03
"""Training loss over the prior's entropy: more than a network that ignores the images need lose."""
TRIAL_ABOVE = 2.0
"""The same in a trial whose first loss was not LOUD; a network that learns later may be a little above guessing."""
LOST = 0.15
"""Validation accuracy that a network has had and lost."""
GROWN = 3.0
"""Norm of a hidden layer's weights over that of its first weights, in a network that knows nothing."""
WILD = 0.05
"""|dw|/|w| of one step; about 1e-3 is usual, and above this the weights are new after twenty steps."""
SHRUNK = 0.5
"""Norm of the weights over that of the first weights, in some hidden layer."""
DROPPED = 0.5
"""Share of the outputs that dropout sets to zero."""
EPS = 0.5
"""Share of parameters whose sqrt(v) is below eps: there the method does not adapt."""
IDLE = 0.5
"""Share of the epochs whose learning rate is below a hundredth of the largest."""
VANISHING = 0.05
"""Gradient of the first hidden layer's weights over the last one's; healthy networks are within a factor ten."""
STILL = 3e-4
"""|dw|/|w| of one step: a layer that moves less stands still for thousands of steps."""
TRIAL_STILL = 5e-5
"""The same in a trial: some networks learn, slowly, whose first layer begins with 1e-4."""
FADING = 0.02
"""Spread of the last hidden layer's outputs over the first one's."""
PATH = 0.1
"""Sum of |dw|/|w| over all steps, of the layer that moves most: the way it could have gone."""
TRIAL_PATH = 0.003
"""The same in the sixty steps of a trial."""
SMALL_BATCH = 4
"""Images over which batch statistics are taken."""
FEW = 50
"""Training images per class."""
GAP = 0.15
"""Training accuracy minus validation accuracy."""
LEARNT_BY_HEART = 0.9
"""Training accuracy."""
RELATED = 0.95
"""Best validation loss over the entropy of the validation labels, where the accuracy is below twice chance."""
LEARNT = 0.98
"""Training loss over the prior's entropy: below it the network has begun to learn its training images."""
RISE = 0.5
"""The validation loss above its best value, as a share of it."""

Sets = tuple[str, ...]


class Seen(NamedTuple):
    """What a rule has seen; `threshold` and `normal` are of the bound that was crossed where the rule has several."""

    text: str
    numbers: dict[str, Any]
    remedies: Sequence[Sets]
    threshold: str = ""
    normal: str = ""


def _study(*names: str) -> tuple[Sets, ...]:
    """Remedies of the study, by name."""
    return tuple(remedies()[name].sets for name in names)


def _rate(e: Evidence, factor: float) -> tuple[Sets, ...]:
    """The optimizer's learning rate times a factor, where it has one."""
    rate = getattr(e.config.optimizer, "lr", None)
    return ((f"optimizer.lr={rate * factor:.2g}",),) if rate else ()


def one_class(e: Evidence) -> Seen | None:
    if e.start.get("classes", 2) > 1:
        return None
    return Seen("all training images have the same label: there is nothing to tell apart", {"classes": 1}, ())


def inputs(e: Evidence) -> Seen | None:
    size = e.start.get("input_rms")
    if size is None or INPUTS[0] <= size <= INPUTS[1]:
        return None
    text = f"the network's inputs have a root mean square of {size:.2g}"
    return Seen(text, {"input_rms": size}, (("data.normalize={scale: 255}",),))


def alike(e: Evidence) -> Seen | None:
    common = [(layer.get("common") or 0.0) for record in e.epochs[-1:] for layer in record["layers"][:-1]]
    same = [(layer.get("identical_units") or 0.0) for record in e.epochs[-1:] for layer in record["layers"][:-1]]
    shares = [max(pair) for pair in zip(common, same, strict=True)]
    share = max(shares, default=0.0)
    if share < ALIKE:
        return None
    layer = shares.index(share) + 1
    text = f"{share:.2%} of the weights of layer {layer} are the same in all its units, which act as one unit"
    return Seen(text, {"layer": layer, "common": share}, (("model.init=default",), *_study("xavier")))


def weights_too_large(e: Evidence) -> Seen | None:
    loss = e.start.get("first_loss")
    ratio = None if loss is None else loss / e.entropy if e.entropy else None
    loud = _loud(e)
    bounded = e.config.model.activation.flat is not None and max(map(abs, e.config.model.activation.flat)) < 1e9
    layer, share = e.worst("saturated") if bounded else (0, 0.0)
    # A large first loss may fall and a saturated unit may recover: a trial is too short to blame them in a network that
    # has begun to learn.
    if e.trial and (e.knows or not loud):
        return None
    # Saturated by weights that have grown in training: the steps are to blame.
    if not loud and (share < SATURATED or max(e.growth, default=1.0) > GROWN):
        return None
    text = (
        f"with its first weights the network's loss is {loss:.3g}, {ratio:.3g} times that of guessing"
        if loud and loss is not None and ratio is not None
        else "with its first weights the network's loss is not finite"
        if loud
        else f"{share:.0%} of the outputs of layer {layer} lie where {e.config.model.activation.name} is flat"
    )
    numbers = {"first_loss": loss, "saturated": share}
    remedy = (*_study("xavier"), ("model.init=default",), *_study("batchnorm"))
    if loud:
        return Seen(text, numbers, remedy, f"above {LOUD:g}", "1.0 to 1.3")
    return Seen(text, numbers, remedy, f"{SATURATED:g} or more", "below 0.3")


def _loud(e: Evidence) -> bool:
    """The loss of the first weights is not finite, or LOUD times that of guessing."""
    if "first_loss" not in e.start:
        return False
    loss = e.start["first_loss"]
    return loss is None or (e.entropy > 0 and loss / e.entropy > LOUD)


def dead(e: Evidence) -> Seen | None:
    layer, share = e.worst("dead")
    if share < DEAD or not _dead_from_the_start(e):
        return None
    text = f"{share:.0%} of the units of layer {layer} give the same for every image since the first weights"
    bias = e.config.model.bias_init is not None
    first = (("model.bias_init=null",),) if bias else (("model.init=kaiming",),)
    return Seen(text, {"layer": layer, "share": share}, (*first, ("model.activation=leaky-relu",)))


def _dead_from_the_start(e: Evidence) -> bool:
    gradients = e.start.get("sample_gradients") or [1.0]
    last = gradients[-1] or 1.0
    return any(value is not None and value <= SILENT * last for value in gradients[:-1])


def rate_too_high(e: Evidence) -> Seen | None:
    step = max([*e.of_hidden("update_to_weight"), e.now("update_to_weight", 0) or 0.0], default=0.0)
    layer, dead = e.worst("dead")
    lost, grown = e.best_accuracy - e.accuracy, max(e.growth, default=1.0)
    numbers = {"loss": e.loss, "update_to_weight": step, "lost": lost, "dead": dead, "grown": grown}
    remedy = (*_rate(e, 0.1), *_rate(e, 0.01), ("clip_norm=1",))
    if e.divergence:
        text = f"the training diverged: {e.divergence.removeprefix('diverged ')}"
        return Seen(text, numbers, remedy, "any divergence", "none")
    if not e.rows or not e.entropy:
        return None
    if e.trial and e.knows:
        return None
    # In its first sixty batches a network that learns later may have grown weights and a loss a little above guessing.
    above = TRIAL_ABOVE if e.trial else ABOVE
    if e.loss > above * e.entropy and step > STILL and not (e.trial and _loud(e)):
        text = f"the training loss, {e.loss:.3g}, is {e.loss / e.entropy:.3g} times that of guessing"
        bound, normal = above, "below 1"
    elif lost > LOST:
        text = f"the validation accuracy was {e.best_accuracy:.1%} and is {e.accuracy:.1%}"
        bound, normal = LOST, "near 0"
    elif dead > DEAD and not _dead_from_the_start(e):
        text = f"{dead:.0%} of the units of layer {layer} have died in training"
        bound, normal = DEAD, "below 0.5"
    elif not e.trial and grown > GROWN and not e.knows:
        text = f"the norm of a layer's weights has grown {grown:.3g} times"
        bound, normal = GROWN, "1 to 2"
    elif step > WILD and not e.trial:
        text = f"one step changes weights by {step:.1%}"
        bound, normal = WILD, "near 0.001"
    else:
        return None
    return Seen(text, numbers, remedy, f"above {bound:g}", normal)


def decay(e: Evidence) -> Seen | None:
    decay = e.config.weight_decay or getattr(e.config.optimizer, "weight_decay", 0.0)
    smallest = min(e.growth, default=1.0)
    if not decay or smallest > SHRUNK:
        return None
    text = f"weight decay {decay:g} has shrunk the weights of a layer to {smallest:.2g} of their first norm"
    key = "weight_decay" if e.config.weight_decay else "optimizer.weight_decay"
    return Seen(text, {"shrunk": smallest, "weight_decay": decay}, ((f"{key}=0",), (f"{key}={decay / 1000:g}",)))


def dropout(e: Evidence) -> Seen | None:
    model = e.config.model
    share = max(model.dropout, model.input_dropout)
    if share <= DROPPED:
        return None
    sets = tuple(f"{key}=0" for key in ("model.dropout", "model.input_dropout") if getattr(model, key[6:]))
    text = f"dropout sets {share:.0%} of the outputs of a layer to zero"
    return Seen(text, {"dropout": share}, (sets, ("model.dropout=0.2", "model.input_dropout=0")))


def eps(e: Evidence) -> Seen | None:
    shares = [record["eps_share"] for record in e.epochs if record.get("eps_share") is not None]
    eps = getattr(e.config.optimizer, "eps", None)
    if not shares or eps is None or shares[-1] < EPS or eps < 1e-6 or (e.trial and e.knows):
        return None
    text = f"for {shares[-1]:.0%} of the parameters sqrt(v) is below eps ({eps:g})"
    return Seen(text, {"share": shares[-1], "eps": eps}, (("optimizer.eps=1e-08",),))


def rate_decayed(e: Evidence) -> Seen | None:
    rates = [record["lr"] for record in e.epochs if record.get("lr") is not None]
    top = max([getattr(e.config.optimizer, "lr", 0.0), *rates], default=0.0)
    idle = len(list(takewhile(lambda rate: rate < 0.01 * top, reversed(rates)))) / max(1, len(rates))
    if idle < IDLE or e.divergence or e.trial:
        return None
    below = f"the learning rate was below a hundredth of {top:.2g} in the last {idle:.0%} of the epochs"
    text = f"{below}; now it is {rates[-1]:.2g}"
    sets = ("schedule=constant",) if e.config.plateau is None else ("schedule=constant", "plateau=null")
    return Seen(text, {"idle": idle, "lr": rates[-1]}, (sets,))


def small_batch(e: Evidence) -> Seen | None:
    size, norm = e.config.data.batch_size, e.config.model.norm
    if norm.name not in ("batch", "standardize") or size > SMALL_BATCH:
        return None
    text = f"{norm.name} normalisation takes mean and variance of {size} image{'s' * (size > 1)}"
    return Seen(text, {"batch_size": size}, (*_study("layernorm"), ("data.batch_size=64",)))


def vanishing(e: Evidence) -> Seen | None:
    ratio, step = e.ratio, e.now("update_to_weight", 1) if e.hidden else None
    spreads = e.of_hidden("activation_std")
    fade = spreads[-1] / spreads[0] if len(spreads) > 1 and spreads[0] > 0 else 1.0
    weak = ratio is not None and ratio < VANISHING
    if not weak and (e.trial or fade > FADING):
        return None
    still = TRIAL_STILL if e.trial else STILL
    if step is not None and step > still:
        return None
    text = (
        f"the gradient of layer 1 is {ratio:.1e} of layer {e.hidden}'s"
        if weak
        else f"the outputs of layer {e.hidden} vary {fade:.1e} times as much as those of layer 1"
    )
    numbers = {"gradient_ratio": ratio, "fading": fade, "first_layer_update": step}
    threshold = f"below {VANISHING if weak else FADING:g}, and |dw|/|w| of layer 1 below {still:g}"
    return Seen(
        text, numbers, _study("batchnorm", "unit-gain", "tanh", "adam"), threshold, "0.1 to 10, and near 0.001"
    )


def rate_too_low(e: Evidence) -> Seen | None:
    steps = TRIAL_BATCHES if e.trial else len(e.epochs) * _batches(e)
    if e.trial and e.knows:
        return None
    rates = [median_step for n in range(e.hidden + 1) if (median_step := e.now("update_to_weight", n)) is not None]
    path = max(rates, default=1.0) * steps
    bound = TRIAL_PATH if e.trial else PATH
    if not rates or path > bound or e.divergence or _warming(e):
        return None
    text = f"in {steps} steps no layer can have moved by more than {path:.1e} of its weights"
    return Seen(
        text,
        {"path": path, "update_to_weight": max(rates)},
        (*_rate(e, 1e-3 / max(max(rates), 1e-12)), *_study("adam")),
        f"{bound:g} or less",
        "near 0.06" if e.trial else "above 1",
    )


def _warming(e: Evidence) -> bool:
    """The rate has not yet been as large as the optimizer's: a warm-up has just begun."""
    rates = [record["lr"] for record in e.epochs if record.get("lr") is not None]
    return e.trial and bool(rates) and max(rates) < 0.5 * getattr(e.config.optimizer, "lr", 0.0)


def _batches(e: Evidence) -> int:
    return max(1, int(e.start.get("train_images", 60_000)) // e.config.data.batch_size)


def few(e: Evidence) -> Seen | None:
    count, classes = e.start.get("train_images"), e.start.get("classes", 10)
    gap = e.training_accuracy - e.accuracy
    if count is None or count >= FEW * classes or gap < GAP:
        return None
    text = f"{count / classes:.3g} training images per class; training is {gap:.1%} more accurate"
    sets = (("data.images=null",),) if e.config.data.images else ()
    return Seen(text, {"train_images": count}, sets)


def overfitting(e: Evidence) -> Seen | None:
    if len(e.rows) < 5 or e.training_accuracy < LEARNT_BY_HEART or e.training_accuracy - e.accuracy < GAP:
        return None
    best = min(e.rows, key=lambda row: row["val_loss"])
    rise = e.recent("val_loss", 0.0) / best["val_loss"] - 1
    if rise < RISE:
        return None
    text = f"the validation loss has risen by {rise:.0%} since epoch {best['epoch']}"
    return Seen(
        text,
        {"rise": rise},
        (("early_stopping={patience: 3}",), ("model.dropout=0.2",), ("weight_decay=0.0001",)),
    )


def labels(e: Evidence) -> Seen | None:
    losses = [row["val_loss"] for row in e.rows]
    if e.trial or not losses or not e.validation_entropy or e.accuracy > 2 * e.chance:
        return None
    share = min(losses) / e.validation_entropy
    # A network that has not learned its training images either says nothing about the labels.
    if share < RELATED or e.loss > LEARNT * e.entropy:
        return None
    text = f"the best validation loss of any epoch, {min(losses):.3g}, is {share:.1%} of that of guessing"
    return Seen(text, {"best_val_loss": min(losses), "accuracy": e.accuracy}, ())
