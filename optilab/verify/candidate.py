"""A user's optimizer next to a rule: with the rule's hyperparameters where it takes them, followed step by step."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

from optilab.errors import UsageError
from optilab.optimize.objective import Floats
from optilab.optimize.rule import ALIASES
from optilab.optimize.user_rule import UserRule, rule_class
from optilab.user_code import UserCode

STEPS = 100
"""Steps that are compared."""
MAX_MAGNITUDE = 1e30
"""A path ends where a coordinate is larger: its values and gradients overflow soon. Larger numbers in a source are
ignored."""

Start = tuple[float, ...] | tuple[tuple[float, ...], ...]
"""A point as a vector, or as the rows of a matrix."""


@dataclass(frozen=True)
class Walk:
    """A candidate under way: `advance` maps each gradient to the next point; `remembered` are the parts of its memory
    by their names in the code, each with a number for every coordinate."""

    advance: Callable[[Floats], Floats]
    remembered: Callable[[], Mapping[str, Sequence[float]]]


@dataclass(frozen=True)
class Candidate:
    """A user's class or function, in this process or in another one.

    `parameters`: its hyperparameters, and whether each has a default; `defaults`: those that are numbers in the
    code. `literals`: the numbers in its source. `begin` starts it with values of its parameters at a point; that
    and a step raise UsageError, with the line in the user's file, if the code fails or does not return a point.
    """

    name: str
    parameters: Mapping[str, bool]
    literals: Sequence[float]
    begin: Callable[[Mapping[str, Any], Floats], Walk]
    defaults: Mapping[str, float]

    def accepts(self, setting: str, settings: Mapping[str, Any]) -> bool:
        """True if the code has a parameter for this setting."""
        return setting in self.setting_by_parameter(settings).values()

    def path(
        self, settings: Mapping[str, Any], gradient: Callable[[Floats], Floats], start: Start, steps: int
    ) -> Floats:
        """The points it visits, (steps + 1, d), those of a matrix row by row; fewer where one of them is not finite or
        beyond `MAX_MAGNITUDE`."""
        import numpy as np

        points = [np.array(start, dtype=np.float64)]
        advance = self.begin(self.values(settings), points[0]).advance
        with np.errstate(all="ignore"):
            while len(points) <= steps and bool((np.abs(points[-1]) < MAX_MAGNITUDE).all()):
                points.append(advance(gradient(points[-1])))
        return np.stack(points).reshape(len(points), -1)

    def values(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The values of its parameters; those that the rule does not have keep their defaults."""
        values = {parameter: settings[key] for parameter, key in self.setting_by_parameter(settings).items()}
        missing = [name for name, default in self.parameters.items() if not default and name not in values]
        if missing:
            advice = "give it a default in your code"
            raise UsageError(f"{self.name}: the optimizer has no {', '.join(missing)} to pass on; {advice}")
        return values

    def setting_by_parameter(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Parameter of the code -> setting of the rule; a setting's own name takes precedence over its aliases."""
        short = {key: key.rpartition(".")[2] for key in settings}  # base.lr is lr
        keys: dict[str, str] = {}
        for key, setting in short.items():
            for name in (setting, *ALIASES.get(setting, ())):
                if (
                    name in self.parameters
                    and name not in keys
                    and (name == setting or name not in short.values())
                ):
                    keys[name] = key
                    break
        return keys


def load(code: str | Callable[..., Any] | UserCode) -> Candidate:
    """The candidate FILE.py:NAME, whose file is executed, or a class or function, in this process.

    Raises what `rule_class` raises.
    """
    kind = rule_class(code)
    parameters = {field.name: field.default is not MISSING for field in fields(kind)}
    written = {p.name for p in kind.interface.parameters if p.default is not p.empty}
    numbers = {field.name: field.default for field in fields(kind) if kind.parameters[field.name] in written}
    defaults: dict[str, Any] = {name: value for name, value in numbers.items() if type(value) in (int, float)}
    return Candidate(kind.name, parameters, _literals(kind.code), lambda *start: _walk(kind, *start), defaults)


def _walk(kind: type[UserRule], values: Mapping[str, Any], start: Floats) -> Walk:
    """The walk of the code from a point, which it sees whole and in its shape, as `Candidate.begin` returns it."""
    rule = kind(**values)
    w, t, arguments = start, 0, rule.arguments()
    memory = rule.begin(w, arguments)

    def advance(gradient: Floats) -> Any:
        nonlocal w, t, memory
        t += 1
        w, memory = rule.follow(w, gradient, t, memory, arguments)
        return w

    return Walk(advance, lambda: rule.interface.numbers(memory, w.shape))


def _literals(code: UserCode) -> tuple[float, ...]:
    """The numbers in a source, in order, each once; none where Python has no source of an object."""
    try:
        tree = ast.parse(code.source or textwrap.dedent(inspect.getsource(code.load())))
    except (OSError, TypeError, SyntaxError):
        return ()
    numbers = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    literals = (
        float(n)
        for n in numbers
        if isinstance(n, int | float) and not isinstance(n, bool) and abs(n) < MAX_MAGNITUDE
    )
    return tuple(dict.fromkeys(literals))
