"""What a cause of a training's trouble is: a function of the evidence, with its threshold and its advice beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from optilab.diagnose.evidence import Evidence
from optilab.diagnose.remedies import remedies

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


LEARNED = 0.55
"""Skill, (accuracy - chance)/(1 - chance), of a network that has learned."""
TRIAL_LEARNED = 0.25
"""The same after the sixty steps of a trial."""


def learned(e: Evidence) -> bool:
    """Whether the skill is above the bound and the validation loss below that of guessing.

    A network that is right about most images and loudly wrong about the others has a loss far above guessing.
    """
    skilled = e.skill > (TRIAL_LEARNED if e.trial else LEARNED)
    return skilled and e.validation_loss < e.validation_entropy and not e.divergence


def remedy_sets(*names: str) -> tuple[Sets, ...]:
    """Remedies of the vanishing-gradient study, by name."""
    return tuple(remedies()[name].sets for name in names)


def rate_times(e: Evidence, factor: float) -> tuple[Sets, ...]:
    """The learning rates times a factor: that of the optimizer or the rule that it wraps, and that of the rule that it
    gives other weights to; nothing where it has none."""
    rates = e.setup.rates
    return (tuple(f"{key}={rate * factor:.2g}" for key, rate in rates.items()),) if rates else ()
