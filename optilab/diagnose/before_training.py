"""Causes that stand before the first step: data, settings and initial weights. Each has its thresholds above it."""

from optilab.diagnose.cause import INPUTS, Sets, Symptom, cause, remedy_sets
from optilab.diagnose.evidence import Evidence
from optilab.words import plural, points


@cause(
    "one-class",
    measures="classes among the training labels",
    threshold="1",
    normal="2 or more",
    remedy="none; check the labels",
    advice="check the labels",
    silent="targets are not given",
)
def one_class(e: Evidence) -> Symptom | None:
    if e.start.get("classes", 2) > 1:
        return None
    text = f"all training {e.setup.sample}s have the same label, so there is nothing to distinguish"
    return Symptom(text, {"classes": 1}, (), harm=True)


FULLY = 0.8
"""Skill of a network to which the scale of its inputs does no harm that shows: it has learned nearly all."""


@cause(
    "inputs-out-of-scale",
    measures="root mean square of the first batch's inputs",
    threshold=f"below {INPUTS[0]:g} or above {INPUTS[1]:g}",
    normal="0.1 to 3",
    remedy="pixels divided by 255",
    silent=f"inputs are whole numbers, such as tokens; info in a network with a skill of {FULLY:g} or more",
)
def inputs_out_of_scale(e: Evidence) -> Symptom | None:
    size = e.start.get("input_rms")
    if size is None or INPUTS[0] <= size <= INPUTS[1]:
        return None
    text = f"the network's inputs have a root mean square of {size:.2g}"
    return Symptom(
        text, {"input_rms": size}, (("data.normalize={scale: 255}",),), harm=not e.trial and e.skill < FULLY
    )


ALIKE = 0.9
"""Fraction of the squares of a layer's weights that its units have in common; independent weights have 1/units."""
ONE = 0.95
"""The same, where a network that has learned has hardly more than one unit per layer."""
EQUAL = 0.99
"""The same, of units that are dead: they stay as they were drawn, and their death is the cause if they differ."""


@cause(
    "symmetric-init",
    measures="fraction of the squares of a hidden layer's weights that its units have in common",
    threshold=f"{ALIKE:g} or more ({ONE:g} if it has learned)",
    normal="near 1/units",
    remedy="random initial weights",
)
def symmetric_init(e: Evidence) -> Symptom | None:
    common = [(layer.get("common") or 0.0) for record in e.epochs[-1:] for layer in record["layers"][:-1]]
    same = [(layer.get("identical_units") or 0.0) for record in e.epochs[-1:] for layer in record["layers"][:-1]]
    shares = [max(pair) for pair in zip(common, same, strict=True)]
    share = max(shares, default=0.0)
    if share < (ALIKE if dead_units(e) is None else EQUAL):
        return None
    layer = shares.index(share) + 1
    first = e.start.get("first_common") or [layer.get("common") for layer in e.epochs[0]["layers"]]
    zero = not (e.start.get("first_weights") or [1.0] * layer)[layer - 1]
    # Otherwise large steps, or a weight decay, have made them alike, not the initial weights.
    if (first[layer - 1] or 0.0) < ALIKE and not zero:
        return None
    text = f"the units of {e.layer(layer)} have {share:.2%} of their squared weights in common and act as one unit"
    remedy = (("model.init=default",), *remedy_sets("xavier"))
    return Symptom(text, {"layer": layer, "common": share}, remedy, harm=share >= ONE)


DROPPED = 0.5
"""Fraction of the outputs that dropout sets to zero."""
HELD_BACK = 0.1
"""Validation accuracy, which knows no dropout, minus training accuracy: what dropout takes from a training."""


@cause(
    "dropout-too-strong",
    measures="fraction of a layer's outputs that dropout sets to zero, and, if it has learned, "
    "validation accuracy minus "
    "training accuracy",
    threshold=f"above {DROPPED:g}, and {HELD_BACK:g} or more",
    normal="0 to 0.5, and near 0",
    remedy="no dropout",
)
def dropout_too_strong(e: Evidence) -> Symptom | None:
    share = max(e.setup.dropouts.values(), default=0.0)
    if share <= DROPPED:
        return None
    sets = tuple(f"{key}=0" for key, dropped in e.setup.dropouts.items() if dropped)
    text = f"dropout sets {share:.0%} of a layer's outputs to zero"
    if harm := not e.trial and e.held_back >= HELD_BACK:
        text += f"; training accuracy is {points(e.held_back)} percentage points below validation accuracy"
    numbers = {"dropout": share, "held_back": e.held_back}
    remedy = (sets, ("model.dropout=0.2", "model.input_dropout=0"))
    return Symptom(text, numbers, remedy, f"above {DROPPED:g}", "0 to 0.5", harm=harm)


PAIRS = 2
"""Images over which batch statistics are taken: two become 1 and -1, and only their order is left."""
SMALL_BATCH = 4
"""The same, where the network has hardly learned: three or four images slow some networks down, and stop others."""
HARDLY = 0.25
"""Skill of a network that has hardly learned."""
NOISY = 0.2
"""Validation accuracy minus training accuracy: what the noise of so few images takes from a training."""


@cause(
    "batch-norm-small-batch",
    measures="images over which batch norm computes mean and variance; validation accuracy minus training accuracy",
    threshold=f"{PAIRS} or fewer; {SMALL_BATCH} where the network has hardly learned, or with {NOISY:g} or more",
    normal="16 or more; near 0",
    remedy="larger batches, or layer norm",
    silent="there is no batch norm in training mode",
)
def batch_norm_small_batch(e: Evidence) -> Symptom | None:
    size, norm = e.setup.normed_over, e.setup.norm
    # A probe run is too short to tell slow from sick, and so is a network without an epoch.
    ended = bool(e.rows) and not e.trial
    harm = ended and e.held_back >= NOISY
    bound = SMALL_BATCH if harm or (ended and e.skill < HARDLY) else PAIRS
    if norm not in ("batch", "standardize") or size > bound:
        return None
    text = f"{norm} normalization computes mean and variance over {plural(size, e.setup.sample)}"
    if harm:
        text += f"; training accuracy is {points(e.held_back)} percentage points below validation accuracy"
    numbers = {"batch_size": size, "held_back": e.held_back}
    remedy = (*remedy_sets("layernorm"), ("data.batch_size=64",))
    return Symptom(text, numbers, remedy, f"{bound} or fewer", "16 or more", harm=harm)


LOUD = 2.0
"""First loss over that of equal probabilities, the chance level of balanced classes; usual ones begin at 1.0 to 1.3."""
SATURATED = 0.5
"""Fraction of outputs on a flat part of an activation that is flat on both sides."""
STILL_LOUD = 4.0
"""Training loss of a probe run over the entropy of the labels, where the first loss was LOUD."""
ALL_SATURATED = 0.9
"""SATURATED in such a probe run."""
GROWN = 3.0
"""Norm of a hidden layer's weights over that of its initial weights, in a network that knows nothing."""


@cause(
    "weights-too-large",
    measures=(
        "loss of the first batch divided by the entropy of the label distribution; fraction of "
        "saturated outputs in a hidden layer"
    ),
    threshold=f"above {LOUD:g}; {SATURATED:g} or more",
    normal="1.0 to 1.3; below 0.3",
    remedy="smaller initial weights",
)
def weights_too_large(e: Evidence) -> Symptom | None:
    loss = e.start.get("first_loss")
    ratio = None if loss is None else loss / e.untrained if e.entropy else None
    shouts = loud(e)
    layer, share = e.worst("saturated") if e.setup.saturates else (0, 0.0)
    # A large first loss may fall and a saturated unit may recover: a probe run is too short to blame them in a
    # network that has begun to learn, unless hardly anything of either has changed.
    if e.trial and (not shouts or (e.knows and e.loss < STILL_LOUD * e.untrained and share < ALL_SATURATED)):
        return None
    # Saturated by weights that have grown in training: the steps are to blame.
    if not shouts and (share < SATURATED or max(e.growth, default=1.0) > GROWN):
        return None
    text = (
        f"at initialization the loss is {loss:.3g}, {ratio:.3g} times the chance-level loss"
        if shouts and loss is not None and ratio is not None
        else "at initialization the loss is not finite"
        if shouts
        else f"{share:.0%} of the outputs of {e.layer(layer)} are where {e.setup.activation} is flat"
    )
    numbers = {"first_loss": loss, "saturated": share}
    xavier, batchnorm = remedy_sets("xavier", "batchnorm")
    remedy: list[Sets] = [xavier, ("model.init=default",), batchnorm]
    advice = ""
    # xavier assumes a slope of 1; that of a sigmoid is at most 1/4, of a hard sigmoid 1/6.
    if e.setup.activation in ("sigmoid", "hard-sigmoid") and e.setup.norm == "none":
        remedy = [(*xavier, *batchnorm), batchnorm]
        advice = "add batch norm: with xavier alone the gradient of sigmoids tends to vanish"
    if e.setup.bias_init:
        remedy.insert(0, ("model.bias_init=null",))
    if shouts:
        return Symptom(text, numbers, remedy, f"above {LOUD:g}", "1.0 to 1.3", advice)
    return Symptom(text, numbers, remedy, f"{SATURATED:g} or more", "below 0.3", advice)


def loud(e: Evidence) -> bool:
    """The loss of the initial weights is not finite, or LOUD times that of equal probabilities."""
    # The first loss of a regression is as far from the chance level as its targets are from zero.
    if "first_loss" not in e.start or e.loop.get("task") == "regression":
        return False
    loss = e.start["first_loss"]
    return loss is None or (e.entropy > 0 and loss / e.untrained > LOUD)


DEAD = 0.95
"""Fraction of a layer's units that are flat for every image of a batch; `learning-rate-too-high` asks for it, too."""
SILENT = 1e-4
"""Gradient of layer 1 over the output layer's, single images, before training."""


@cause(
    "dead-units",
    measures="fraction of units that are flat for every image; gradient of a layer over the output layer's, at "
    "initialization",
    threshold=f"{DEAD:g} or more; {SILENT:g} or less",
    normal="below 0.5; above 0.01",
    remedy="biases at zero, or leaky-relu",
)
def dead_units(e: Evidence) -> Symptom | None:
    layer, share = e.worst("dead")
    if share < DEAD or not dead_from_the_start(e):
        return None
    text = (
        f"{share:.0%} of the units of {e.layer(layer)} have been dead, the same for every {e.setup.sample}, since "
        "initialization"
    )
    bias = e.setup.bias_init
    first = (("model.bias_init=null",),) if bias else (("model.init=kaiming",),)
    return Symptom(text, {"layer": layer, "share": share}, (*first, ("model.activation=leaky-relu",)))


def dead_from_the_start(e: Evidence) -> bool:
    if "first_dead" in e.start:  # of a loop, in which no single sample's gradient is measured
        return any((share or 0.0) >= DEAD for share in e.start["first_dead"][:-1])
    gradients = e.start.get("sample_gradients") or [1.0]
    last = gradients[-1] or 1.0
    return any(value is not None and value <= SILENT * last for value in gradients[:-1])
