"""An implementation against the rule that it is meant to be."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from optilab.show.table import Table
from optilab.verbs.answer import Answer

if TYPE_CHECKING:
    from optilab.config.load import Override
    from optilab.config.optimize import OptimizeConfig
    from optilab.show.chart import Chart
    from optilab.verify.candidate import Candidate
    from optilab.verify.grade import Verdict


@dataclass(frozen=True)
class Exam:
    """What a candidate is compared with: the rule, where and for how long, as the options of `verify` ask for."""

    settings: "OptimizeConfig"
    exercise: Any
    """The rule with the settings of the published exercise."""
    chosen: frozenset[str]
    """The keys that were set."""

    @classmethod
    def of(cls, against: str, changes: "list[Override]") -> "Exam":
        """ConfigError for a rule that does not exist, and for settings that it does not have."""
        from optilab.config.load import Override, load
        from optilab.config.optimize import OptimizeConfig
        from optilab.verify.grade import STEPS

        name = against.strip().lower()
        steps = [Override("--epochs", "epochs", STEPS)]
        asked = [Override("--against", "algo", name), *steps, *changes]
        settings = load(OptimizeConfig, None, asked, rules="literature")
        exercise = load(OptimizeConfig, None, asked).algo[0]
        return cls(settings, exercise, frozenset(item.key for item in changes))

    @property
    def rule(self) -> Any:
        return self.settings.algo[0]

    def grade(self, candidate: "Candidate") -> "Verdict":
        """Both followed step by step. UsageError where the candidate's code fails."""
        from optilab.verify.grade import StartingPoint, grade

        settings, keys = self.settings, self.chosen
        chosen = keys & {"function", "start"} or any(key.startswith("function.") for key in keys)
        place = StartingPoint(settings.function, tuple(settings.start or settings.function.start))
        return grade(
            candidate,
            self.rule,
            [place] if chosen else (),
            settings.epochs,
            settings.regime,
            [key.removeprefix("algo.") for key in keys if key.startswith("algo.")],
            self.exercise if self.exercise != self.rule else None,
        )


@dataclass(frozen=True, repr=False)
class LabVerification(Answer):
    """What `Lab.verify` found."""

    candidate: "Candidate"
    exam: Exam
    verdict: "Verdict"

    @property
    def equal(self) -> bool:
        """Whether the candidate is the rule."""
        return self.verdict.equal

    @property
    def explanation(self) -> tuple[str, ...]:
        """What turns the rule into the candidate; empty where they are equal, or nothing known does."""
        return self.verdict.explanation

    @property
    def headline(self) -> str:
        from optilab.console.verify import outcome

        return f"{self.candidate.kind.name} against {self.exam.rule.name}: {outcome(self.verdict)}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The point of both after the first step at which they differ, a row per coordinate; none where none does."""
        verdict = self.verdict
        if verdict.point is None or verdict.expected is None:
            return []
        pairs = enumerate(zip(verdict.point, verdict.expected, strict=True), 1)
        return [
            {"step": verdict.first_step, "coordinate": f"w{i}", "yours": own, self.exam.rule.name: expected}
            for i, (own, expected) in pairs
        ]

    def table(self) -> Table:
        shown, verdict = super().table(), self.verdict
        fixed = [f"your code takes no {', '.join(verdict.fixed)}: written in"] if verdict.fixed else []
        why = [f"explained by: {reason}" for reason in verdict.explanation]
        settings = [f"equal with {', '.join(verdict.equal_with)}"] if verdict.equal_with else []
        return Table(shown.columns, shown.rows, [self.exam.rule.formula, *fixed, *why, *settings])

    def chart(self) -> "Chart":
        """The two paths where they differ first, or on the first function."""
        from optilab.charts.paths import paths_chart
        from optilab.optimize import OBJECTIVES, descend

        verdict = self.verdict
        own = verdict.function in (None, self.exam.settings.function.name)
        function = self.exam.settings.function if own else OBJECTIVES[str(verdict.function)]()
        start = verdict.start or self.exam.settings.start or function.start
        rule = replace(self.exam.rule, **verdict.settings)
        rules = {rule.name: rule, self.candidate.kind.name: self.candidate.rule(verdict.settings)}
        paths = {
            name: descend(rule, function, start, min(verdict.steps, SHOWN), regime=self.exam.settings.regime)
            for name, rule in rules.items()
        }
        return paths_chart(function, paths)


SHOWN = 40
"""Steps of the two paths in a picture."""
