"""A check: a function of the evidence that reports a cause, with its row in the docs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from optilab.diagnose.evidence import Evidence
from optilab.diagnose.remedies import REMEDIES

Sets = tuple[str, ...]
"""A remedy as `KEY=VALUE` texts, as `--set` takes them."""


class Observation(NamedTuple):
    """The result of a check: a sentence with its number, all numbers, changes that help, the bound crossed.

    A result that is `certain` is a finding even in a network that has learned; otherwise it is a note there. One that
    is `informational` is never more than a note. One that is `only_alone` counts only if no other check sees anything.
    """

    text: str
    numbers: dict[str, Any]
    changes: Sequence[Sets] = ()
    bound: str = ""
    normal: str = ""
    fix: str = ""
    """The advice in place of that of the check."""
    certain: bool = False
    informational: bool = False
    only_alone: bool = False


@dataclass(frozen=True)
class Check:
    """A check of that name; several may have one name, and the first that sees something answers.

    `fix` is what to do where no remedy is a setting. The docstring of `run`, with the thresholds of its module in the
    place of their names, is the check's row in the docs.
    """

    name: str
    fix: str
    run: Callable[[Evidence], Observation | None]

    def __call__(self, evidence: Evidence) -> Observation | None:
        return self.run(evidence)

    @property
    def text(self) -> str:
        """The check's row in the docs."""
        return " ".join((self.run.__doc__ or "").format(**self.run.__globals__).split())


REGISTERED: list[Check] = []
"""The checks of all modules that were imported, as they stand there."""


def check(name: str, fix: str) -> Callable[[Callable[[Evidence], Observation | None]], Check]:
    """Make a function of the evidence a check of that name."""

    def register(run: Callable[[Evidence], Observation | None]) -> Check:
        REGISTERED.append(Check(name, fix, run))
        return REGISTERED[-1]

    return register


def sees(evidence: Evidence, name: str) -> bool:
    """True if a check of that name sees something."""
    return any(entry(evidence) is not None for entry in REGISTERED if entry.name == name)


def remedy_sets(*names: str) -> tuple[Sets, ...]:
    """The settings of remedies of the vanishing-gradient study, chosen by name."""
    return tuple(REMEDIES[name].sets for name in names)
