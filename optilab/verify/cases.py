"""The update rules next to torch.optim, optax or their equations: 100 steps in float64 on three functions.

Each form of a rule equals the library's to 1e-12. Where a library implements another form, that form is compared
instead; where neither has the rule, it is compared with its equations written a second time. Differences are
relative to the largest coordinate of the path.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from optilab.optimize import OBJECTIVES
from optilab.optimize.objective import Floats
from optilab.verify.correspondence import CASES, Case, shown
from optilab.verify.references import FunctionProblem, Matrices, Problem

TOLERANCE = 1e-12
COMPARED_ON = ("ravine", "rosenbrock", "himmelblau")
LIBRARIES = ("torch", "optax")
NOT_INSTALLED = "not installed"


@dataclass(frozen=True)
class Row:
    """One form of a rule next to one library.

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
    for case in CASES:
        if not names or case.name in names:
            yield from rows_of(case)


def rows_of(case: Case) -> Iterator[Row]:
    """The rows of one case: of torch and optax always, of the others where there is a reference."""
    form = shown(case.settings)
    on: Sequence[Problem] = (
        [Matrices()]
        if case.rule.weights == "matrices"
        else [FunctionProblem(OBJECTIVES[n]()) for n in COMPARED_ON]
    )
    own = [problem.follow(case.rule) for problem in on]
    for library, reference in case.references.items():
        if reference is None:
            if library in LIBRARIES:
                yield Row(case.name, form, library, "", None, None, case.absent)
        elif library != "plain" and find_spec(library) is None:
            yield Row(case.name, form, library, "", None, None, NOT_INSTALLED)
        else:
            expected = [reference.path(case.rule, problem) for problem in on]
            other = case.others.get(library)
            as_is = instead = _difference(own, expected)
            if other:
                form_of_theirs = other.make(case.rule)
                instead = _difference([problem.follow(form_of_theirs) for problem in on], expected)
            reason = f"it has instead: {other.text}" if other else ""
            yield Row(case.name, form, library, reference.text, instead, as_is, reason)


def _difference(paths: Sequence[Floats], expected: Sequence[Floats]) -> float:
    worst = 0.0
    for points, path in zip(paths, expected, strict=True):
        if points.shape != path.shape or not np.isfinite(path).all():
            return float("inf")
        worst = max(worst, float(np.abs(points - path).max() / np.abs(path).max()))
    return worst
