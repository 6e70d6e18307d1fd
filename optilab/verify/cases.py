"""The update rules beside torch.optim, optax or their equations: 100 steps in float64 on three functions.

Each form of a rule equals the library's to 1e-12. Where a library implements another form, that form is compared
instead; where neither has the rule, it is compared with its equations written a second time. Differences are
relative to the largest coordinate of the path.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from optilab.optimize import OBJECTIVES, descend
from optilab.verify.case import Case, shown
from optilab.verify.correspondence import cases
from optilab.verify.matrices import MatrixProblem, follow
from optilab.verify.references import STEPS, Path, Reference

TOLERANCE = 1e-12
GROUNDS = ("ravine", "rosenbrock", "himmelblau")
LIBRARIES = ("torch", "optax")
NOT_INSTALLED = "not installed"


@dataclass(frozen=True)
class Row:
    """One form of a rule beside one library.

    `difference` is None where nothing was compared. Where the library implements another form, `reason` names it,
    `difference` is that form's, and `as_is` the difference of the rule itself.
    """

    rule: str
    form: str
    library: str
    reference: str
    difference: float | None
    as_is: float | None
    reason: str

    @property
    def holds(self) -> bool:
        """Equal, or the library's form is equal to ours of that form, or there is nothing to compare with."""
        return self.difference is None or self.difference <= TOLERANCE


def rows(names: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of the table, one per form and library, for the rules in `names` or for all, as they are computed."""
    for case in cases():
        if not names or case.name in names:
            yield from rows_of(case)


def rows_of(case: Case) -> Iterator[Row]:
    """The rows of one case."""
    form = shown(case.settings)
    for library in LIBRARIES:
        reference: Callable[[], Reference] | str = getattr(case, library)
        other = getattr(case, f"other_{library}")
        if isinstance(reference, str):
            yield Row(case.name, form, library, "", None, None, reference)
        elif find_spec(library) is None:
            yield Row(case.name, form, library, "", None, None, NOT_INSTALLED)
        else:
            known = reference()
            as_is = _difference(case.rule, known.path)
            instead = _difference(other.make(case.rule), known.path) if other else as_is
            reason = f"it has instead: {other.text}" if other else ""
            yield Row(case.name, form, library, known.text, instead, as_is, reason)
    for library, reference in case.also.items():
        if find_spec(library) is None:
            yield Row(case.name, form, library, "", None, None, NOT_INSTALLED)
        else:
            yield _compared(case, form, library, reference())
    if case.plain is not None:
        yield _compared(case, form, "plain", case.plain())


def _compared(case: Case, form: str, library: str, known: Reference) -> Row:
    difference = _difference(case.rule, known.path)
    return Row(case.name, form, library, known.text, difference, difference, "")


def _difference(rule: Any, path: Path) -> float:
    worst = 0.0
    of_matrices = rule.weights == "matrices"
    grounds: list[Any] = [MatrixProblem()] if of_matrices else [OBJECTIVES[name]() for name in GROUNDS]
    for ground in grounds:
        expected = path(ground)
        points = follow(rule, ground) if of_matrices else descend(rule, ground, steps=STEPS).points
        if points.shape != expected.shape or not np.isfinite(expected).all():
            return float("inf")
        worst = max(worst, float(np.abs(points - expected).max() / np.abs(expected).max()))
    return worst
