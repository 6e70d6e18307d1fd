"""Checks of gradients that vanish, through layers or through time."""

from optilab.diagnose.check import Observation, check, remedy_sets
from optilab.diagnose.checks.inputs import MIN_INPUT_RMS
from optilab.diagnose.checks.rates import MIN_STEP
from optilab.diagnose.evidence import Evidence

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
