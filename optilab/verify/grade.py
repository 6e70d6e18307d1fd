"""Whether an implementation is the rule it is meant to be: both followed in float64, point by point (`paths`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from optilab.errors import UsageError
from optilab.optimize import Regime
from optilab.optimize.objective import Floats
from optilab.verify.candidate import STEPS, Candidate
from optilab.verify.paths import (
    PLAIN,
    MatrixFunction,
    PathComparison,
    StartingPoint,
    biases,
    comparisons,
    hyperparameters,
    sizes,
)


@dataclass(frozen=True)
class Verdict:
    """The result of a comparison; `first_step` and what follows are None where the two agree.

    `settings` are the rule's numbers where the two differ first (where they agree: the first of the three settings),
    `fixed` the names of those that the candidate does not take (it has them written in), `unchecked` those of the
    candidate's own that the rule does not have, so that nothing but their defaults was compared, `reading` names
    the settings when they are not the textbook's, `on_biases` says what code that is equal on matrices does on a
    bias, if the rule does not. `point` and `expected` are where the candidate and the rule are after the first step
    at which they differ, on `function` from `start` (of a matrix None; the points row by row). `explanation` lists
    what turns the rule into the candidate, () where nothing known does; `equal_with` the settings, as
    `algo.eps=1e-06`, with which the two are equal, () where settings cannot say it.
    """

    settings: Mapping[str, Any]
    steps: int
    functions: tuple[str, ...]
    reading: str = ""
    on_biases: str = ""
    fixed: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    function: str | None = None
    start: tuple[float, ...] | None = None
    first_step: int | None = None
    point: tuple[float, ...] | None = None
    expected: tuple[float, ...] | None = None
    difference: float | None = None
    explanation: tuple[str, ...] = ()
    equal_with: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return self.first_step is None


def grade(
    candidate: Candidate,
    rule: Any,
    places: Sequence[StartingPoint] = (),
    steps: int = STEPS,
    regime: Regime = PLAIN,
    given: Sequence[str] = (),
    other: Any = None,
    named: str = "the published exercise's settings",
) -> Verdict:
    """Compare a candidate with `rule`, both in float64, on `places` (default: `starting_points()`, or `matrices()`).

    Differences are relative to the largest coordinate of the rule's path so far. Hyperparameters named in `given` are
    kept; the others get the values of `SETTINGS` if the candidate takes them. A candidate that equals the rule with
    `other` settings, which are `named` so, is equal too, and the verdict says so; as it does of one that is equal on
    matrices, and on a bias is not.
    """
    if regime.weight_decay and regime.weight_decay_form == "decoupled" and hasattr(rule, "weight_decay"):
        own_decay = {"weight_decay": regime.weight_decay}  # it is the rule's own then
        rule, other = (one and replace(one, **own_decay) for one in (rule, other))
        regime, given = replace(regime, weight_decay=0.0), [*given, *own_decay]
    elif regime.weight_decay:
        given = [*given, "weight_decay"]  # the candidate's is that around the rule
    verdicts, textbook = list[Verdict](), None
    for variant in (rule, *([] if other is None else [other])):
        compared = comparisons(candidate, variant, places, steps, regime, given)
        reading = "" if textbook is None else f"{named} ({_changed(textbook[0][0].rule, compared[0].rule)})"
        paths = [comparison.path_of(candidate) for comparison in compared]
        verdicts.append(replace(_verdict(candidate, compared, paths), reading=reading))
        if verdicts[-1].equal:
            return _with_biases(verdicts[-1], candidate, variant, steps, given)
        textbook = textbook or (compared, paths)
    from optilab.verify.explain import explain  # which a correct implementation does not need

    assert textbook is not None
    explanation = explain(candidate, *textbook)
    return replace(verdicts[0], explanation=explanation.words, equal_with=explanation.settings)


def _changed(rule: Any, variant: Any) -> str:
    """The settings with which the variant was followed, where those of the rule were others."""
    own = {f.name: getattr(variant, f.name) for f in fields(variant)}
    return ", ".join(f"{key} {value}" for key, value in own.items() if value != getattr(rule, key))


def _with_biases(verdict: Verdict, candidate: Candidate, rule: Any, steps: int, given: Sequence[str]) -> Verdict:
    """The verdict on code that is equal, with what it does on a bias where that is another rule."""
    if rule.weights != "matrices" or rule.for_weights([(1,)])[0] is not rule:
        return verdict
    try:
        compared = comparisons(candidate, rule, biases(), steps, PLAIN, given)
        parted = [step for one in compared if (step := one.differs(one.path_of(candidate)))]
        how = f"differs from step {min(parted)} on" if parted else ""
    except UsageError as error:
        how = f"fails: {error}"
    return replace(verdict, on_biases=how)


def _verdict(candidate: Candidate, compared: Sequence[PathComparison], paths: Sequence[Floats]) -> Verdict:
    """Without an explanation."""
    first = compared[0]
    usual = hyperparameters(first.rule)
    fixed = tuple(key for key in usual if usual[key] and not candidate.accepts(key, usual))
    unchecked = tuple(name for name in candidate.parameters if name not in candidate.named(usual))
    names = tuple(dict.fromkeys(comparison.place.function.name for comparison in compared))
    verdict = Verdict(usual, first.steps, names, fixed=fixed, unchecked=unchecked)
    parted = [
        (comparison, path, step)
        for comparison, path in zip(compared, paths, strict=True)
        if (step := comparison.differs(path))
    ]
    if not parted:
        return verdict
    comparison, path, step = min(parted, key=lambda item: item[2])
    on_matrix = isinstance(comparison.place.function, MatrixFunction)
    return replace(
        verdict,
        settings=hyperparameters(comparison.rule),
        function=comparison.place.function.name,
        start=None if on_matrix else tuple(np.array(comparison.place.start).tolist()),
        first_step=step,
        point=tuple(path[step].tolist()),
        expected=tuple(comparison.path[step].tolist()),
        difference=float(np.abs(path[step] - comparison.path[step]).max() / sizes(comparison.path)[step]),
    )
