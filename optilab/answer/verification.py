"""The comparison of an implementation with a rule as an answer."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from optilab.answer.answer import Answer
from optilab.config.load import load
from optilab.config.presets import usual_settings
from optilab.config.tree import Override
from optilab.errors import ExitCode, UsageError
from optilab.optimize import OBJECTIVES, RULES
from optilab.optimize.rule import is_formula, settings_of, with_settings
from optilab.optimize.user_rule import UserRule
from optilab.proposals import Call, Proposal
from optilab.show.blocks import Block, Details, Sentence
from optilab.show.table import grid
from optilab.study.paths import require_bare
from optilab.words import listed, plural

if TYPE_CHECKING:
    from optilab.config.optimize import OptimizeConfig
    from optilab.show.chart import Chart
    from optilab.verify import candidate as candidates
    from optilab.verify.compare import CodeComparison

STEPS_DRAWN = 40
"""Steps of the two paths in a picture."""


@dataclass(frozen=True)
class ComparisonSetup:
    """The rule, the function and the number of steps of a comparison, by the options of `verify`."""

    config: "OptimizeConfig"
    other: Any
    """The rule with other settings that count as equal, too; the rule itself where there are none."""
    named: str
    """The name of these other settings."""
    chosen: frozenset[str]
    """The keys that were set."""

    @classmethod
    def of(cls, against: str, changes: Sequence[Override], where: str) -> "ComparisonSetup":
        """The comparison with a reference, named at `where`, with `changes` of its config.

        ConfigError for a rule that does not exist, and for settings that it does not have.

        UsageError for something around the rule, and for a function where it works on matrices.
        """
        from optilab.config.optimize import OptimizeConfig
        from optilab.verify.candidate import STEPS

        spec = against.strip()
        overrides = [
            Override(where, "algo", spec.lower() if spec.lower() in RULES else spec),
            *(Override(where, f"algo.{name}", value) for name, value in usual_settings(spec).items()),
            Override("--epochs", "epochs", STEPS),
            *changes,
        ]
        config = load(OptimizeConfig, None, overrides, rules="literature")
        require_bare(config, "verify")
        rule: Any = config.algo[0]
        other, named = load(OptimizeConfig, None, overrides).algo[0], "the published exercise's settings"
        chosen = frozenset(change.key for change in changes)
        if rule.weights == "matrices":
            around = sorted(key for key in chosen if not key.startswith(("algo.", "epochs")))
            if around := around or [f"the {rule.name} around it"] * bool(rule.needs):
                problem = f"{rule.name} works on weight matrices, and is compared on its own matrices"
                raise UsageError(f"{problem}, without {', '.join(around)}")
        if hasattr(rule, "precision") and "algo.precision" not in chosen:  # NumPy has no bfloat16
            rule, named = replace(rule, precision="full"), "the iteration as on tensors"
            config = config.model_copy(update={"algo": (rule,)})
        return cls(config, other, named, chosen)

    @property
    def rule(self) -> Any:
        return self.config.algo[0]

    def overflow(self, verdict: "CodeComparison") -> str:
        """The step at which the code's point is not finite, with a guess of the cause; empty where none is."""
        if all(map(isfinite, verdict.point or ())):
            return ""
        from optilab.verify.candidate import MAX_MAGNITUDE

        counts = "^t" in self.rule.formula and verdict.first_step == 1 and not verdict.explanation
        guess = "; where it divides by 1 - beta^t, t begins with 1" * counts
        return f"returns nan, inf or a number beyond {MAX_MAGNITUDE:g} at step {verdict.first_step}{guess}"

    def unexplained(self, verdict: "CodeComparison") -> str:
        """What is known of a difference that has no explanation, besides an overflow; empty where nothing is."""
        if verdict.equal or verdict.explanation:
            return ""
        if verdict.statement:
            return f"no edit of the formula explains it; {verdict.statement}"
        advice = "no edit of the formula explains it: check the formula, term by term"
        return "" if self.overflow(verdict) else advice

    def compare(self, candidate: "candidates.Candidate") -> "CodeComparison":
        """Follow both step by step."""
        from optilab.verify.cause import find_cause
        from optilab.verify.compare import ProblemInstance, compare

        config, keys = self.config, self.chosen
        chosen = keys & {"function", "start"} or any(key.startswith("function.") for key in keys)
        problem = ProblemInstance(config.function, tuple(config.start or config.function.start))
        return compare(
            candidate,
            self.rule,
            [problem] if chosen else (),
            config.epochs,
            [key.removeprefix("algo.") for key in keys if key.startswith("algo.")],
            self.other if self.other != self.rule else None,
            self.named,
            find_cause,
        )


@dataclass(frozen=True, repr=False)
class LabVerification(Answer):
    """The answer of `verify`: a comparison of an implementation with a rule."""

    schema_version = 2
    label: str
    setup: ComparisonSetup
    verdict: "CodeComparison"
    candidate: "candidates.Candidate | None" = None
    """The code, where it runs in this process."""
    kind: type[UserRule] | None = None
    """Its class as a rule."""
    function: Any = None
    """The function, where one was chosen."""

    @property
    def equal(self) -> bool:
        """True if the candidate takes the steps of the rule."""
        return self.verdict.equal

    @property
    def explanation(self) -> tuple[str, ...]:
        """The change that turns the rule into the candidate; empty where they are equal, or no known change does."""
        return self.verdict.explanation

    @property
    def code(self) -> ExitCode:
        return ExitCode.OK if self.equal else ExitCode.EXPECTATION

    @property
    def headline(self) -> str:
        return f"{self.label} against {self.setup.rule.name}: {in_words(self.verdict)}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Both points after the first step at which they differ, a row per coordinate; no rows if the two are
        equal.
        """
        verdict = self.verdict
        if verdict.point is None or verdict.expected is None:
            return []
        pairs = enumerate(zip(verdict.point, verdict.expected, strict=True), 1)
        return [
            {"step": verdict.first_step, "coordinate": f"w{i}", "yours": actual, self.setup.rule.name: expected}
            for i, (actual, expected) in pairs
        ]

    def chart(self) -> "Chart":
        """The two paths where they differ first, or on the first function."""
        from optilab.answer.charts.paths import paths_chart
        from optilab.optimize import descend

        verdict, config = self.verdict, self.setup.config
        on_matrices = self.setup.rule.weights == "matrices"
        if self.candidate is None or self.kind is None or on_matrices:
            return super().chart()
        is_configured = verdict.function in (None, config.function.name)
        objective = config.function if is_configured else OBJECTIVES[str(verdict.function)]()
        start = verdict.start or config.start or objective.start
        rule = with_settings(self.setup.rule, verdict.settings)
        rules = {rule.name: rule, self.label: self.kind(**self.candidate.values(verdict.settings))}
        steps = min(verdict.steps, STEPS_DRAWN)
        paths = {name: descend(rule, objective, start, steps) for name, rule in rules.items()}
        return paths_chart(objective, paths)

    def document(self) -> dict[str, Any]:
        facts = {"candidate": self.label, "against": self.setup.rule.name, "equal": self.equal}
        return {**facts, **asdict(self.verdict)}

    def blocks(self) -> Iterator[Block]:
        """The verdict; where the two differ, the first step that differs, the difference and its cause."""
        verdict, rule = self.verdict, self.setup.rule
        places = ", ".join(verdict.functions)
        yield Sentence(f"{self.label} against {rule.name}, {plural(verdict.steps, 'step')} on {places}", "bold")
        yield "   ".join(f"{key} {value:g}" for key, value in verdict.settings.items())
        yield self._rule.formula
        if verdict.fixed:
            yield f"your code takes no {', '.join(verdict.fixed)}: written in, and compared as above"
        if verdict.unchecked:
            yield self._unchecked
        yield ""
        yield Sentence(in_words(verdict), "green" if verdict.equal else "red")
        if verdict.point is None or verdict.expected is None:
            return
        yours, expected = distinct(verdict.point, verdict.expected)
        cells = [["yours", *yours], [rule.name, *expected]]
        yield grid(["", *(f"w{i + 1}" for i in range(len(cells[0]) - 1))], cells)
        yield ""
        if overflow := self.setup.overflow(verdict):
            yield f"your code {overflow}"
        if verdict.explanation:
            yield Sentence("explained by:", "bold")
            yield from (f"  {reason}" for reason in verdict.explanation)
        if unexplained := self.setup.unexplained(verdict):
            yield unexplained
        if verdict.equal_with:
            yield f"equal with {', '.join(verdict.equal_with)}"
        if self._by_hand:
            yield Details("Details", [self._by_hand], folded=True)

    @property
    def _rule(self) -> Any:
        """The variant that the verdict is about."""
        return self.setup.other if self.verdict.reading else self.setup.rule

    @property
    def _unchecked(self) -> str:
        names, several = listed(self.verdict.unchecked), len(self.verdict.unchecked) > 1
        subject = "them only your defaults were" if several else "it only your default was"
        return f"{self.setup.rule.name} has no {names}: of {subject} compared"

    @property
    def _by_hand(self) -> Proposal | None:
        """The call of `explain` with the settings of the comparison; --algo alone would take those of the preset."""
        from optilab.config.optimize import OptimizeConfig

        rule, verdict = self.setup.rule, self.verdict
        if verdict.start is None:
            return None
        named = [] if is_formula(rule.original.name) else [Override("--algo", "algo", rule.typed)]
        known = settings_of(load(OptimizeConfig, None, named).algo[0]) if named else {}
        compared = settings_of(with_settings(rule, verdict.settings))
        changed = {f"algo.{key}": value for key, value in compared.items() if value != known.get(key)}
        options = {"algo": rule.typed, "function": self.function or verdict.function}
        options |= {"start": tuple(map(float, verdict.start)), "set": changed, "step": verdict.first_step}
        return Proposal("the numbers of the step: ", Call("explain", options=options))


MAX_COORDINATES = 6
"""Coordinates of the two points that are shown."""
DIGITS = range(6, 13)


def distinct(point: Sequence[float], expected: Sequence[float]) -> tuple[list[str], list[str]]:
    """The coordinates of two points as texts, with the fewest of DIGITS that tell the points apart."""

    def texts(digits: int) -> tuple[list[str], list[str]]:
        first, second = ([f"{value:.{digits}g}" for value in w[:MAX_COORDINATES]] for w in (point, expected))
        return first, second

    for digits in DIGITS[:-1]:
        first, second = texts(digits)
        if first != second:
            return first, second
    return texts(DIGITS[-1])


def in_words(verdict: "CodeComparison") -> str:
    """The verdict in words: equal, or the first step that differs, with the difference and the coordinate."""
    from optilab.verify.compare import TOLERANCE

    if verdict.equal:
        reading = f", with {verdict.reading}" if verdict.reading else ""
        return "; ".join([f"equal to {TOLERANCE:g} at every step{reading}", *verdict.defaults])
    assert verdict.difference is not None
    finite = isfinite(verdict.difference)
    far = f"by {verdict.difference:.3g} of the path's size" if finite else "where it is not finite"
    if verdict.start is None:
        return f"differs from step {verdict.first_step} on, {far} ({verdict.function}, its numbers row by row)"
    start = ", ".join(f"{value:g}" for value in verdict.start)
    still = "; your code returns w as it was given" if verdict.point == verdict.start else ""
    return f"differs from step {verdict.first_step} on, {far} ({verdict.function} from ({start})){still}"
