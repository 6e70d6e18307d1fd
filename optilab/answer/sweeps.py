"""A sweep at its end as an answer."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from optilab.answer import comparison_tables as tables
from optilab.answer.comparison import LabComparison, drawn
from optilab.answer.results import EndedStudy, LabRun
from optilab.config.study import SweepConfig
from optilab.numbers import decimals
from optilab.runs import Record
from optilab.runs.metrics import EPOCH_METRICS
from optilab.show.blocks import Block, Hint, Sentence
from optilab.show.table import grid
from optilab.words import plural

if TYPE_CHECKING:
    from optilab.judge.comparison import RunComparison
    from optilab.judge.importance import Effect
    from optilab.study.sweep import SweepSpec


@dataclass(frozen=True, repr=False)
class EndedSweep(EndedStudy):
    """A sweep at its end."""

    schema_version: ClassVar[int] = 2

    spec: "SweepSpec"
    picture: bool | None = None
    """True to show the curves of a single group, False to hide them, None to show them where there is room."""

    @cached_property
    def completed(self) -> list[Record]:
        """The trials that ran to their end or diverged."""
        return self.entry.completed()

    @cached_property
    def comparison(self) -> LabComparison:
        """The comparison of the completed trainings by their settings."""
        from optilab.judge.comparison import compare_runs
        from optilab.judge.measure import Measure

        comparison = compare_runs(self.completed, Measure(self.spec.metric), looks=self.entry.earlier_looks)
        notes = (*comparison.notes, *self._choice_notes(comparison))
        return LabComparison(replace(comparison, notes=notes), [self.entry])

    @cached_property
    def effects(self) -> "list[Effect]":
        """The effects of the axes, largest first, and of pairs of them; empty for fewer than two axes."""
        from optilab.judge.importance import effects

        if len(self.spec.axes) < 2 or not self.completed:
            return []
        points = {outcome.trial.name: outcome.trial.settings for outcome in self.ran.outcomes}
        return effects(
            [
                (points[next(iter(group.runs.values())).name], candidate.outcomes.values)
                for candidate in self.comparison.comparison.candidates
                for group in candidate.groups
                if candidate.outcomes.values
            ]
        )

    def _choice_notes(self, comparison: "RunComparison") -> list[str]:
        """Limits of a figure that is the best of many, or was chosen on the images that it is measured on."""
        notes, points = [], self.spec.points
        if (
            points > 2
            and isinstance(self.spec.request, SweepConfig)
            and not self.ran.confirmation
            and comparison.judgment is not None
        ):
            notes.append(
                f"the best of {points} settings was chosen by these seeds, so its mean is too high; the option confirm "
                "trains the best again from new seeds"
            )
        if points > 1 and not self.spec.base.data.holdout:
            notes.append("the test set chose and measured the settings; the key data.holdout keeps it for the end")
        return notes

    @property
    def heading(self) -> str:
        """The number of trials by status."""
        counts = Counter(outcome.status for outcome in self.ran.all)
        ended = ", ".join(f"{counts[s]} {s}" for s in ("done", "stopped", "diverged", "failed") if counts[s])
        return f"{self.spec.base.name}: {self.spec.shape}, {plural(self.spec.base.epochs, 'epoch')}: {ended}"

    def blocks(self) -> Iterable[Block]:
        """The number of trials by status, and the comparison of those that ran to their end."""
        from optilab.answer.charts.settings import importance_table

        spec = self.spec
        yield Sentence(self.heading, "bold")
        if len(spec.ladder) > 1:
            yield _rungs(spec)
        if not self.completed:
            yield Sentence("no training has a result", "red")
        elif self.confirmation:
            yield ""
            yield (table := self.comparison.table())
            yield from ["", *table.notes, ""] if table.notes else [""]
            yield from self.confirmation.result_blocks()
        elif spec.axes:
            yield from self.comparison.result_blocks()
        else:
            yield from self._seeds()
        if self.effects:
            yield ""
            yield Sentence(f"which axis mattered, by {self.comparison.comparison.measure.name}", "bold")
            yield importance_table(self.effects, self.comparison.comparison.measure)
        yield from self.more()
        if spec.axes and self.completed and (step := self.answer.next_step):
            yield step
        yield Hint(self.ran.path)

    def _seeds(self) -> Iterable[Block]:
        """The last epoch of every seed of the only group, their mean and standard deviation, the curves, and why none
        learns."""
        from optilab.diagnose import evidence_of, verdict
        from optilab.judge.judge import summarize

        trained = [record for record in self.completed if record.last_row()]
        if trained:
            outcomes = {record.manifest["seed"]: record.outcome() for record in trained}
            metrics = (*EPOCH_METRICS, "best_val_acc")
            table = [[str(seed), *(decimals(row[key]) for key in metrics)] for seed, row in outcomes.items()]
            means = [summarize([row[key] for row in outcomes.values()]) for key in metrics]
            if len(trained) > 1:
                table += [["mean", *(decimals(each.mean) for each in means)]]
                table += [["std", *(decimals(each.std or 0.0) for each in means)]]
            yield ""
            yield grid(["seed", *metrics], table)
            yield from drawn(trained, self.picture)
        yield ""
        yield tables.verdict_of(self.comparison.comparison)
        yield from self.comparison.table().notes
        if trained and not any(verdict.learning(evidence_of(record))[1] for record in trained):
            if len(trained) > 1:
                yield f"no seed is better than chance; of the first, {trained[0].name}:"
            yield from LabRun(trained[0]).diagnosis.brief()

    def more(self) -> Iterable[Block]:
        """The blocks after the comparison."""
        return ()

    def document(self) -> Mapping[str, Any]:
        """The rows of trials.csv, of the confirmation last, and the comparisons of the completed trials."""
        return {
            "run": str(self.ran.path),
            "plan": self.spec.shape,
            "epochs": self.spec.base.epochs,
            "trials": [outcome.row for outcome in self.ran.all],
            "comparison": self.comparison.document() if self.completed else None,
            "importance": [asdict(effect) for effect in self.effects],
            "confirmation": self.confirmation and self.confirmation.document(),
        }


def _rungs(spec: "SweepSpec") -> str:
    """The number of points at each rung, and the metric that chose them."""
    steps = ", ".join(f"{points} to epoch {epochs}" for points, epochs in spec.ladder)
    return f"{steps}: at each rung the best by mean {spec.metric} went on"
