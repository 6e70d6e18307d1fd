"""The JavaScript of a rule on a function, one program for each of its forms."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, combinations, product
from typing import Any

from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, RULES, Objective, Rule
from optilab.optimize.emit import path_source, stability_source, switches
from optilab.optimize.trace import Untraceable
from optilab.pages.play.controls import Choice, choices, numbers

MOST_FORMS = 24
"""Programs of one rule; choices beyond them stay as they are."""


@dataclass
class Sources:
    """The programs of a page, each once."""

    sources: list[str] = field(default_factory=list)

    def place(self, source: str | None) -> int | None:
        """The index of a source, which is added if it is new."""
        if source is None:
            return None
        if source not in self.sources:
            self.sources.append(source)
        return self.sources.index(source)


@dataclass(frozen=True)
class Form:
    """The programs for one combination of a rule's choices, with the settings `off` at 0."""

    choices: dict[str, Any]
    off: tuple[str, ...]
    settings: tuple[str, ...]
    """The arguments of the programs, in order."""
    path: int | None
    stability: int | None


def forms(rule: Rule, function: Objective, sources: Sources) -> tuple[list[Form], list[Choice]]:
    """The forms of a rule, those with more settings at 0 first, and the choices that lead to them.

    Raises Untraceable where the rule as it is has no program; other options that have none are left out.
    """
    open_choices = choices(rule)
    while len(open_choices) and _count(open_choices) > MOST_FORMS:
        open_choices.pop()
    own = {choice.name: choice.value for choice in open_choices}
    found: list[Form] = []
    for values in product(*(choice.options for choice in open_choices)):
        chosen = dict(zip(own, values, strict=True))
        try:
            found += _forms_of(replace(rule, **chosen), function, chosen, sources)  # type: ignore[type-var]
        except Untraceable:
            if chosen == own:
                raise
    kept = [
        replace(
            choice, options=tuple(o for o in choice.options if any(f.choices[choice.name] == o for f in found))
        )
        for choice in open_choices
    ]
    return found, [choice for choice in kept if len(choice.options) > 1]


def _count(several: list[Choice]) -> int:
    count = 1
    for choice in several:
        count *= len(choice.options)
    return count


def _forms_of(rule: Rule, function: Objective, chosen: dict[str, Any], sources: Sources) -> Iterator[Form]:
    settings = numbers(rule)
    zero = switches(rule, function, settings)
    subsets = chain.from_iterable(combinations(zero, count) for count in range(len(zero), -1, -1))
    for off in subsets:
        at_zero = replace(rule, **dict.fromkeys(off, 0.0))  # type: ignore[type-var]
        moved = tuple(name for name in settings if name not in off)
        stability = stability_source(at_zero, len(function.start), moved)
        path = path_source(at_zero, function, moved)
        yield Form(chosen, off, moved, sources.place(path), sources.place(stability))


def obstacle(rule: Rule, function: Objective) -> str | None:
    """Why a rule on a function has no program in JavaScript; None where it has one."""
    if "hessian" in getattr(rule, "needs", ()):
        return "it needs the Hessian, which is computed with complex numbers"
    try:
        path_source(rule, function)
    except Untraceable as error:
        reason = str(error).removeprefix("Untraceable: ")  # which the code of a user's own rule passes on
        return reason if " " in reason else f"its code calls {reason}"  # the name of an attribute or a function
    return None


def require(rule: Rule, function: Objective) -> None:
    """UsageError where a rule on a function has no program in JavaScript: the reason, and what has one."""
    gradient_descent = RULES["sgd"]()
    if reason := obstacle(gradient_descent, function):
        flat = [other for other in (OBJECTIVES[name]() for name in OBJECTIVES) if len(other.start) <= 2]
        accepted = [other.name for other in flat if not obstacle(gradient_descent, other)]
        message = f"{function.name} cannot become JavaScript ({reason}); functions that can: {', '.join(accepted)}"
        raise UsageError(message)
    if reason := obstacle(rule, function):
        on_functions = [name for name, kind in RULES.items() if kind.weights != "matrices"]
        accepted = [name for name in on_functions if not obstacle(RULES[name](), function)]
        raise UsageError(f"{rule.name} cannot become JavaScript ({reason}); rules that can: {', '.join(accepted)}")
