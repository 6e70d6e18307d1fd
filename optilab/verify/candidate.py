"""A user's own optimizer beside a rule: with the rule's settings where it takes them, followed step by step."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

import numpy as np

from optilab.errors import UsageError
from optilab.optimize import Objective
from optilab.optimize.objective import Floats
from optilab.optimize.own import ALIASES, OwnRule, kind_of


@dataclass(frozen=True)
class Candidate:
    """A class or function, such as FILE.py:NAME names, as the class of a rule."""

    kind: type[OwnRule]

    def accepts(self, setting: str, settings: Mapping[str, Any]) -> bool:
        """Whether the code takes this hyper-parameter."""
        return setting in self._named(settings).values()

    def path(self, settings: Mapping[str, Any], function: Objective, start: Any, steps: int) -> Floats:
        """The points it visits, (steps + 1, d).

        Raises UsageError, with the line in the user's file, if the code fails or does not return a point.
        """
        rule = self.rule(settings)
        state = rule.init(np.array(start, dtype=np.float64))
        points = [state.x]
        for _ in range(steps):
            with np.errstate(all="ignore"):
                gradient = function.gradient(points[-1])
            point, state = rule.advance(gradient, state)
            points.append(point)
        return np.stack(points)

    def rule(self, settings: Mapping[str, Any]) -> OwnRule:
        """The rule with the settings that it takes, and its own defaults."""
        values = {field: settings[key] for field, key in self._named(settings).items()}
        missing = [f.name for f in fields(self.kind) if f.default is MISSING and f.name not in values]
        if missing:
            advice = "give it a default in your code"
            raise UsageError(f"{self.kind.name}: the rule has no {', '.join(missing)} to pass on; {advice}")
        return self.kind(**values)

    def _named(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Field of the code -> setting of the rule; a setting's own name takes precedence over its aliases."""
        names = [f.name for f in fields(self.kind)]
        taken: dict[str, str] = {}
        for key in settings:
            for name in (key, *ALIASES.get(key, ())):
                if name in names and name not in taken and (name == key or name not in settings):
                    taken[name] = key
                    break
        return taken


def load(spec: str | Callable[..., Any]) -> Candidate:
    """The candidate FILE.py:NAME, whose file is executed, or a class or function of this process.

    Raises UsageError where there is no such file or name, or the file cannot be executed.
    """
    kind = kind_of(spec)
    _ = kind.origin.code
    return Candidate(kind)
