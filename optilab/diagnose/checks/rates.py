"""Checks of the steps: learning rates that are too high, too low or decayed, and an eps that is too large."""

import math
import re
from itertools import takewhile
from typing import Any

from optilab.diagnose.check import Observation, Sets, check, remedy_sets, sees
from optilab.diagnose.checks import loop
from optilab.diagnose.checks.inputs import MAX_INPUT_RMS, MIN_FULL_SKILL, MIN_INPUT_RMS
from optilab.diagnose.checks.labels import (
    MAX_CHANCE_LOSS,
    MAX_LOST,
    MAX_UNLEARNED_LOSS,
    accuracy_falls_with_loss,
    accuracy_is_lost,
    at_chance,
    lost,
)
from optilab.diagnose.checks.weights import MAX_DEAD, MAX_UNFIT_SKILL, dead_from_the_start, first_loss_is_high
from optilab.diagnose.evidence import FIRST_STEPS, MIN_FALL, PROBE_BATCHES, Evidence
from optilab.numbers import percent, points
from optilab.optimize.rule import rules_with_lr
from optilab.optimize.user_rule import UserRule

FIRST_STEP = 0.1
"""Learning rate times gradient, of single images, over weights, at initialization, of the layer where it is largest: of
networks that learn, half have 0.03 to 0.15; those whose rate was far too high have 2 and more."""


MAX_FIRST_STEP = 0.01
"""|dw|/|w| of the first step of a loop that learns, of the layer where it is largest."""
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


MIN_STEPS_DECAYED = 20
"""Training steps from which a schedule is to blame; fewer teach little at any rate."""


@check("learning-rate-decayed", fix="a constant learning rate")
def learning_rate_decayed(evidence: Evidence) -> Observation | None:
    """The learning rate is below a hundredth of its largest for the last {MAX_IDLE:.0%} of the epochs or more, and the
    skill on the training samples is {MAX_UNFIT_SKILL} or less, after {MIN_STEPS_DECAYED} steps or more."""
    rates = evidence.probed_rates
    if evidence.steps < MIN_STEPS_DECAYED:
        return None
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


MAX_PROBE_CHANCE_LOSS, MAX_PROBE_LATE_LOSS = 2.0, 4.0
"""MAX_CHANCE_LOSS in a probe run, whose loss may be a little above the chance level in a network that learns later; and
where it is right about some samples already."""


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


def _too_high(evidence: Evidence, text: str, bound: str, normal: str, certain: bool = False) -> Observation:
    numbers: dict[str, Any] = {
        "loss": evidence.loss,
        "update_to_weight": _largest_step(evidence),
        "lost": lost(evidence, "val_acc"),
        "dead": evidence.worst("dead")[1],
        "grown": max(evidence.growth, default=1.0),
    }
    first = evidence.loop.first_step or 0.0
    factor = MAX_FIRST_STEP / first if first > MAX_FIRST_STEP else 0.1
    smaller = (
        (*rate_times(evidence, factor), *rate_times(evidence, 0.1 * factor))
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
    if not evidence.divergence or loop.loss_not_finite(evidence):
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
    # A network that has solved its task has no gradient left either; its loss is below that of its initial weights.
    if evidence.training_skill >= MIN_FULL_SKILL and evidence.loss < evidence.start.get("first_loss", math.inf):
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
    """Validation accuracy has fallen by more than {MAX_LOST}, and that of training as well."""
    if (
        not evidence.rows
        or not evidence.chance_loss
        or not accuracy_is_lost(evidence)
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


MIN_LARGEST_PATH, MIN_PROBE_PATH = 0.1, 0.005
"""Sum of |dw|/|w| over all steps, of the layer that moves most; in a probe run."""


PATH_STEPS = 400
"""Steps of a training for which MIN_LARGEST_PATH is small; for fewer steps, a fraction of it is, as in a probe run."""


@check("learning-rate-too-low", fix="a rate at which the first step has the usual size, or `optilab lr`")
def learning_rate_too_low(evidence: Evidence) -> Observation | None:
    """The sum of |dw|/|w| over all steps, of the layer that moves most, is {MIN_LARGEST_PATH} or less, before step
    {PATH_STEPS} in proportion; in a probe run of {PROBE_BATCHES} batches {MIN_PROBE_PATH}, and at its pace
    {MIN_LARGEST_PATH} in the whole training; or a loop learns nothing with steps below {MIN_STEP}; without inputs that
    are too large."""
    if not (steps := evidence.steps):
        return None
    path = max(evidence.relative_steps, default=math.inf) * steps
    least, usual = (MIN_PROBE_PATH, PROBE_BATCHES) if evidence.probe_run else (MIN_LARGEST_PATH, PATH_STEPS)
    bound = least * min(1.0, steps / usual)
    planned = evidence.setup.config.epochs * evidence.steps_per_epoch if evidence.setup.config else steps
    slow = evidence.setup.loop and steps > PROBE_BATCHES and path <= MIN_STEP * steps and not evidence.beats_chance
    if (path > bound and not slow) or _warming(evidence):
        return None
    if evidence.probe_run and path * planned / steps > MIN_LARGEST_PATH:
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
    changes, limit = (*larger, *remedy_sets("adam")), f"{bound:.4g} or less"
    if path > bound:
        text = (
            f"a step changes no layer by more than {path / steps:.1e} of its weights' norm, and nothing is learned"
        )
        limit, normal = f"{MIN_STEP:g} or less", "near 0.001"
    return Observation(text, numbers, changes, limit, normal, only_alone=path > bound)


def _warming(evidence: Evidence) -> bool:
    """The rate has not yet been as large as the optimizer's: a warm-up has just begun."""
    return (
        evidence.probe_run and bool(evidence.probed_rates) and max(evidence.probed_rates) < 0.5 * evidence.setup.lr
    )
