"""What a sign returns, and the remedies that signs have in common.

A sign is a function of the evidence: it returns what it has seen, or None where the network does not show it.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from optilab.diagnose.evidence import Evidence
from optilab.diagnose.remedies import remedies

LEARNED = 0.55
"""Skill, (accuracy - chance)/(1 - chance), of a network that has learned."""
TRIAL_LEARNED = 0.25
"""The same after the sixty steps of a trial."""

Sets = tuple[str, ...]


def learned(e: Evidence) -> bool:
    """Whether the skill is above the bound and the validation loss below that of guessing.

    A network that is right about most images and loudly wrong about the others has a loss far above guessing.
    """
    skilled = e.skill > (TRIAL_LEARNED if e.trial else LEARNED)
    return skilled and e.recent("val_loss", math.inf) < e.validation_entropy and not e.divergence


class Seen(NamedTuple):
    """What a rule has seen; `threshold` and `normal` are of the bound that was crossed where the rule has several.

    With `harm` it is a finding even in a network that has learned; without, it is a note there.
    """

    text: str
    numbers: dict[str, Any]
    remedies: Sequence[Sets]
    threshold: str = ""
    normal: str = ""
    advice: str = ""
    harm: bool = False


def study(*names: str) -> tuple[Sets, ...]:
    """Remedies of the study, by name."""
    return tuple(remedies()[name].sets for name in names)


def rate(e: Evidence, factor: float) -> tuple[Sets, ...]:
    """The learning rate times a factor, where the optimizer, or the rule that it wraps, has one."""
    rate = getattr(e.rule, "lr", None)
    return ((f"{e.rule_key}.lr={rate * factor:.2g}",),) if rate else ()
