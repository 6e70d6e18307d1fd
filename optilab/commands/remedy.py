"""`optilab remedy`: compares all remedies on one network."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

from annotated_doc import Doc

from optilab.annotations import ConfigKey, Flag
from optilab.answer.planned import PlannedStudy
from optilab.answer.results import LabStudy
from optilab.answer.sweeps import EndedSweep
from optilab.config.study import RemedyConfig
from optilab.request import studies
from optilab.request.options import (
    Config,
    LearningRate,
    Optimizer,
    StudyOptions,
)
from optilab.request.request import Place
from optilab.runs import read_timings
from optilab.show.blocks import Block, Sentence
from optilab.show.table import Column, Table
from optilab.words import duration

if TYPE_CHECKING:
    from optilab.study.remedy import RemedySpec, Variant


class TryRemedies(StudyOptions, RemedyConfig):  # type: ignore[misc]  # `set` is the option, not the file's key
    """Train a network with each known fix for vanishing gradients, one at a time, and compare the results.

    It is a sweep whose axis is the remedy; all start from the same random numbers, several run at once. The same
    command with the same --name, or --resume, continues a stopped study.
    """

    READS = "train"
    STUDY_KEYS = RemedyConfig
    EXAMPLES = (
        "optilab remedy sigmoid.yaml --epochs 5 --only batchnorm,adam",
        "optilab remedy sigmoid.yaml --seeds 3 --epochs 30",
        "optilab remedy sigmoid.yaml --only batchnorm,relu,unit-gain --over optimizer.lr=0.01:3:5:log --seeds 3 "
        "--epochs 10",
    )

    config: Config = None
    epochs: Annotated[int | None, ConfigKey("epochs"), Flag("N"), Doc("Epochs of each run")] = None
    optimizer: Optimizer = None
    lr: LearningRate = None

    def run(self, place: Place) -> "LabStudy | PlannedStudy":
        from optilab.study.remedy import spec_of

        tree, name = studies.tree_and_name("remedy", self, self.config, place)
        return studies.run_or_plan(self, place, tree, name, spec_of, "remedies", EndedRemedies)


CHANGES = (
    Column("remedy", "remedy", left=True),
    Column("change", "change", left=True),
    Column("gradient_ratio", "|g1|/|gL|", "{:.0e}".format),
    Column("seconds", "time", duration),
)
"""The columns of the changes."""


@dataclass(frozen=True, repr=False)
class EndedRemedies(EndedSweep):
    """Remedies at their end: the sweep over them, what each changes, and the smallest that fixes the network."""

    spec: "RemedySpec"

    @cached_property
    def fix(self) -> "Variant | None":
        """The smallest change that fixes the network."""
        from optilab.study.remedy import smallest_fix

        return smallest_fix(self.comparison.comparison, self.spec.variants) if self.completed else None

    @cached_property
    def changes(self) -> list[dict[str, Any]]:
        """What each remedy changes, and how its trainings went, in the order of the plan."""
        from optilab.diagnose import evidence_of

        records = {record.name: record for record in self.completed}
        statuses = {outcome.trial.name: outcome.status for outcome in self.ran.outcomes}
        rows = []
        for variant in self.spec.variants:
            trained = [record for trial in variant.trials if (record := records.get(trial.name))]
            ratios = [ratio for record in trained if (ratio := evidence_of(record).gradient_ratio()) is not None]
            timings = [row for record in trained for row in read_timings(record.path / "timings.csv")]
            states = sorted({statuses.get(trial.name, "not run") for trial in variant.trials})
            rows.append(
                {
                    "remedy": variant.name,
                    "change": variant.incompatibility or variant.sets,
                    "changes": dict(variant.remedy.changes),
                    "gradient_ratio": median(ratios) if ratios else None,
                    "seconds": sum(row["seconds"] for row in timings) if timings else None,
                    "state": variant.incompatibility or ", ".join(states),
                }
            )
        return rows

    def more(self) -> Iterable[Block]:
        """What each remedy changes, and the smallest change that fixes the network."""
        from optilab.diagnose import PROBE_BATCHES

        yield ""
        yield Table(CHANGES, self.changes)
        yield Sentence(
            "|g1|/|gL|: gradient of layer 1 over that of the last hidden layer, median of the run", "dim"
        )
        steps = self.spec.base.steps
        if self.fix:
            yield Sentence(f"smallest change that fixes it: {self.fix.name}: {self.fix.sets}", "green")
        elif self.completed and steps <= PROBE_BATCHES:
            yield Sentence(f"{steps} steps are too few to tell: raise --epochs", "yellow")

    def document(self) -> Mapping[str, Any]:
        remedies = [{key: row[key] for key in row if key != "change"} for row in self.changes]
        return {**super().document(), "remedies": remedies, "smallest_fix": self.fix and self.fix.name}


COMMAND = TryRemedies
