"""One rule in one form, and its counterparts in other libraries."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from optilab.optimize import RULES
from optilab.verify.references import Reference

NO_SUCH_RULE = "not in this library"


@dataclass(frozen=True)
class Other:
    """The form that a library implements instead: in words, and how to make it from the rule."""

    text: str
    make: Callable[[Any], Any]


def form(settings: dict[str, Any]) -> Other:
    """The same rule with other settings."""
    return Other(shown(settings), lambda rule: replace(rule, **settings))


_NUMBERS = ("initial_accumulator", "lr_decay", "largest_norm", "l1", "interval", "largest_side")
"""Those that choose a form."""


def shown(settings: dict[str, Any]) -> str:
    """The settings that choose a form: texts, switches, and numbers that are 0 where a library has no such option."""
    chosen = {
        key: value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else f"{value:g}"
        for key, value in settings.items()
        if isinstance(value, str | bool) or key in _NUMBERS
    }
    return ", ".join(f"{key} {value}" for key, value in chosen.items())


@dataclass(frozen=True)
class Case:
    """A rule with the settings of the comparison, and for each library the reference or the reason for its absence.

    `other_torch` and `other_optax`: the form that the library implements instead. `plain`: the reference for forms
    that neither library has. `also`: references in further libraries, by the name of the package.
    """

    name: str
    settings: dict[str, Any]
    torch: Callable[[], Reference] | str
    optax: Callable[[], Reference] | str
    other_torch: Other | None = None
    other_optax: Other | None = None
    plain: Callable[[], Reference] | None = None
    also: Mapping[str, Callable[[], Reference]] = field(default_factory=dict)

    @property
    def rule(self) -> Any:
        kind: Any = RULES[self.name]
        return kind(**self.settings)
