"""What a cause of a training's trouble is: a function of the evidence, with its threshold and its advice next to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from optilab.diagnose.evidence import Evidence, Setup
from optilab.diagnose.remedies import remedies
from optilab.optimize.own import UserRule
from optilab.optimize.rule import rules_with_lr

Sets = tuple[str, ...]
"""A remedy as `KEY=VALUE` texts, as `--set` takes them."""


class Symptom(NamedTuple):
    """What the function of a cause has seen; `threshold` and `normal` are of the bound that was crossed where the cause
    has several.

    With `harm` it is a finding even in a network that has learned; without, it is a note there. A `note` is never more
    than one. What is `last` is named only where no other cause is.
    """

    text: str
    numbers: dict[str, Any]
    remedies: Sequence[Sets]
    threshold: str = ""
    normal: str = ""
    advice: str = ""
    harm: bool = False
    note: bool = False
    last: bool = False


@dataclass(frozen=True)
class Cause:
    """A cause, in the words of the docs' table; `look` returns None where the network does not show it."""

    name: str
    measures: str
    threshold: str
    normal: str
    remedy: str
    look: Callable[[Evidence], Symptom | None]
    advice: str = ""  # where no setting helps, or may not
    silent: str = ""  # of a loop: when it says nothing

    def __call__(self, e: Evidence) -> Symptom | None:
        return self.look(e)


def cause(
    name: str, *, measures: str, threshold: str, normal: str, remedy: str, advice: str = "", silent: str = ""
) -> Callable[[Callable[[Evidence], Symptom | None]], Cause]:
    """Make a function of the evidence the cause `name`; what each text says is said by `Cause`."""

    def of(look: Callable[[Evidence], Symptom | None]) -> Cause:
        return Cause(name, measures, threshold, normal, remedy, look, advice, silent)

    return of


MIN_SKILL = 0.55
"""Skill, (accuracy - chance)/(1 - chance), of a network that has learned; without accuracy, 1 - loss/chance level."""
MIN_TRIAL_SKILL = 0.25
"""The same after the sixty steps of a probe run."""
FALLING = 0.05
"""Fall of the training loss in the second half of the epochs, of a network that is still learning."""


def learned(e: Evidence) -> bool:
    """Whether the skill is above the bound and the validation loss below the chance level.

    A network that is right about most images and loudly wrong about the others has a loss far above the chance level.
    """
    skilled = e.skill > (MIN_TRIAL_SKILL if e.trial else MIN_SKILL)
    return skilled and e.validation_loss < e.validation_entropy and not e.divergence


def remedy_sets(*names: str) -> tuple[Sets, ...]:
    """Remedies of the vanishing-gradient study, by name."""
    return tuple(remedies()[name].sets for name in names)


def rate_times(e: Evidence, factor: float) -> tuple[Sets, ...]:
    """The learning rates times a factor: that of the optimizer or the rule that it wraps, and that of the rule that it
    gives other weights to; nothing where it has none."""
    rates = e.setup.rates
    return (tuple(f"{key}={rate * factor:.2g}" for key, rate in rates.items()),) if rates else ()


INPUTS = (0.01, 10.0)
"""Root mean square of the inputs; pixels divided by 255 have 0.35, standardized ones 1."""
FIRST_STEP = 0.1
"""Learning rate times gradient, of single images, over weights, at initialization, of the layer where it is largest: of
networks that learn, half have 0.03 to 0.15; those whose rate was far too high have 2 and more."""
FIRST_STEP_NORMED = 0.5
"""The same behind a normalization, which takes back what steps add to the size of the weights."""
MAX_USUAL = 0.45
"""Learning rate by the first step, of networks that learn. Above it the gradient is lost before training, and steps
grow with it."""


def usual_rates(e: Evidence) -> dict[str, float]:
    """A learning rate that the network is likely to learn with, for each key that has one.

    Where the length of a step is about the rate, whatever the gradient, that is the default of its optimizer, and also
    where inputs out of scale say nothing about gradients; where it is proportional to the gradient, the rate at which
    the first step has the usual size. A rule or a loop of the user's own, or a run without a record of its first
    gradients, has none.
    """
    from optilab.optimize.theory import scale_free

    if isinstance(e.config, Setup):
        return {}
    found, gradients, weights = {}, e.start.get("sample_gradients") or [], e.start.get("first_weights") or []
    scaled = INPUTS[0] <= (e.start.get("input_rms") or 1.0) <= INPUTS[1]
    sizes = [g / w for g, w in zip(gradients, weights, strict=False) if g is not None and w]
    for key, rule in rules_with_lr(e.config.optimizer).items():
        if isinstance(rule, UserRule):
            continue
        if not scaled or scale_free(rule):
            found[f"optimizer.{key}"] = type(rule)().lr
        elif (step := FIRST_STEP if e.setup.norm == "none" else FIRST_STEP_NORMED) <= MAX_USUAL * max(
            sizes, default=0
        ):
            # A velocity of this form adds up 1/(1 - beta) gradients.
            velocity = rule.name in ("momentum", "nesterov") and rule.form == "classic"
            found[f"optimizer.{key}"] = step * (1 - rule.beta if velocity else 1.0) / max(sizes)
    return found


TOO_LOW, TOO_HIGH = 30.0, 1 / 3
"""Usual over present learning rate, from which the usual one is a remedy; nearer to it, the range test finds a rate."""


def usual_rate(e: Evidence, times: float) -> tuple[Sets, ...]:
    """`usual_rates` where they are at least `times` what they are now (above 1), or at most (below 1); else nothing."""
    now = e.setup.rates
    wanted = {k: rate for k, rate in usual_rates(e).items() if (rate >= times * now[k]) == (times > 1)}
    return (tuple(f"{key}={rate:.2g}" for key, rate in wanted.items()),) if wanted else ()
