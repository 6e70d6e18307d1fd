"""`optilab remedy`: compares all remedies on one network."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from annotated_doc import Doc

from optilab.commands import studies
from optilab.commands.options import (
    Config,
    LearningRate,
    Optimizer,
    StudyOptions,
)
from optilab.commands.request import Place
from optilab.commands.results import EndedStudy, LabStudy
from optilab.commands.studies import PlannedStudy
from optilab.config.study import FINALISTS, RemedyConfig
from optilab.marks import ConfigKey, Flag
from optilab.show.blocks import Block, Hint, Sentence
from optilab.show.table import Column, Table
from optilab.words import FEW, duration, percent, plural, some

if TYPE_CHECKING:
    from optilab.study.remedy import RemedySpec, Result


class TryRemedies(StudyOptions, RemedyConfig):  # type: ignore[misc]  # `set` is the option, not the file's key
    """Train a network with each known fix for vanishing gradients, one at a time, and compare the results.

    All start from the same random numbers, several run at once; the table gives each change and its result. The same
    command with the same --name, or --resume, continues a stopped study.
    """

    CONFIG = "train"
    STUDY = RemedyConfig
    EXAMPLES = (
        "optilab remedy sigmoid.yaml --epochs 5 --only batchnorm,adam",
        "optilab remedy sigmoid.yaml --seeds 3 --epochs 30",
        "optilab remedy sigmoid.yaml --only batchnorm,relu,unit-gain --pairs --tune 5 --seeds 3 --epochs 10",
    )

    config: Config = None
    epochs: Annotated[int | None, ConfigKey("epochs"), Flag("N"), Doc("Epochs of each run")] = None
    optimizer: Optimizer = None
    lr: LearningRate = None

    def run(self, place: Place) -> "LabStudy | PlannedStudy":
        from optilab.commands.benchmark import EndedBenchmark
        from optilab.study.remedy import spec_of

        started = {"finalists": FINALISTS} if self.tune is not None else {}
        tree, name = studies.tree_and_name("remedy", self, self.config, place, **started)
        tuned = tree.values.get("tune") is not None or self.tune is not None
        answer = EndedBenchmark if tuned else EndedRemedies
        return studies.run_or_plan(self, place, tree, name, spec_of, "remedies", answer)


COLUMNS = (
    Column("remedy", "remedy", left=True),
    Column("val_acc", "val_acc", lambda value: value if isinstance(value, str) else percent(value)),
    Column("spread", "+-", percent, detail=1),
    Column("verdict", "verdict", left=True),
    Column("ratio", "|g1|/|gL|", "{:.0e}".format),
    Column("time", "time", duration),
    Column("change", "change", left=True),
)
"""The columns of the results."""


@dataclass(frozen=True, repr=False)
class EndedRemedies(EndedStudy):
    """Remedies at their end, each with the learning rate of the config."""

    spec: "RemedySpec"

    @staticmethod
    def planned_columns(spec: "RemedySpec") -> Sequence[Column]:
        return COLUMNS

    @property
    def _level(self) -> float:
        from optilab.study.judge import alpha

        return alpha(self.entry.earlier_looks)

    @cached_property
    def results(self) -> "list[Result]":
        """One per remedy, in the order of the plan."""
        from optilab.study.remedy import results

        return results(self.spec.variants, self.ran.outcomes, self.ran.path, self._level)

    @property
    def heading(self) -> str:
        request, remedies = self.spec.request, plural(len(self.results) - 1, "remedy")
        epochs = plural(self.spec.trials[0].config.epochs, "epoch")
        return f"{request.config.name}: {remedies}, {plural(request.seeds, 'seed')}, {epochs}"

    def blocks(self) -> Iterable[Block]:
        """The results, the best first, and the smallest change that fixes the network."""
        table = self.table()
        yield Sentence(self.heading, "bold")
        yield ""
        yield Table(table.columns, table.rows)
        yield Sentence("\n".join(map(str, table.notes)), "dim")
        yield ""
        style = "green" if self.fix else "yellow" if self._ended else "red"
        yield from (Sentence(text, style) for text in self._sentences)
        yield Hint(self.ran.path)

    def table(self) -> Table:
        """A row per remedy, the best first."""
        from optilab.study.comparison import looked_before

        ranked = sorted(self.results, key=lambda result: -(result.accuracy or 0.0))
        rows = [
            {
                "remedy": result.variant.name,
                "val_acc": result.state if result.accuracy is None else result.accuracy,
                "spread": result.row and result.row.summary.std,
                "verdict": result.verdict,
                "ratio": result.ratio,
                "time": result.seconds,
                "change": result.variant.incompatibility or result.variant.sets,
            }
            for result in ranked
        ]
        seen = "+-: standard deviation over the seeds; the verdicts are about the network as it is"
        if self.spec.request.seeds == 1:
            seen = "one seed: other seeds can differ by several percentage points, so there is no verdict"
        seen += "; |g1|/|gL|: gradient of layer 1 over that of the last hidden layer, the median of the run"
        chosen = "val_acc is the best epoch's, selected on the same images, so it is slightly optimistic"
        looks = self.entry.earlier_looks
        return Table(COLUMNS, rows, [chosen, seen, *([looked_before(looks)] if looks else [])])

    @property
    def verdict(self) -> str:
        return "; ".join(self._sentences)

    @cached_property
    def fix(self) -> "Result | None":
        """The smallest change that fixes the network."""
        from optilab.study.remedy import smallest_fix

        return smallest_fix(self.results, self._level)

    @property
    def _ended(self) -> "list[Result]":
        return [result for result in self.results if result.accuracy is not None]

    @property
    def _sentences(self) -> list[str]:
        """The smallest change that fixes the network, or why there is none."""
        from optilab.diagnose import PROBE_BATCHES

        if self.fix:
            return [f"smallest change that fixes it: {self.fix.variant.name}: {self.fix.variant.sets}"]
        if not self._ended:
            return ["no training has a result"]
        undecided = [result.variant.name for result in self._ended if result.verdict == "cannot tell"]
        sentences = ["no remedy is better than the network as it is"]
        if self.spec.request.seeds == 1:
            best = max(self._ended, key=lambda result: result.accuracy or 0.0).variant
            change = f": {best.sets}" if best.sets else ""
            sentences = [f"the most accurate is {best.name}{change}; one seed gives no verdict, three may"]
        elif undecided:
            sentences = [
                f"cannot tell whether {some(undecided, FEW)} {'is' if len(undecided) == 1 else 'are'} better"
            ]
        if (steps := self.spec.trials[0].config.steps) <= PROBE_BATCHES:
            sentences.append(f"{steps} steps are too few to tell: raise --epochs")
        return sentences

    def document(self) -> Mapping[str, Any]:
        return {
            "run": str(self.ran.path),
            "results": [
                {
                    "remedy": result.variant.name,
                    "changes": dict(result.variant.remedy.changes),
                    "val_acc": [*result.row.values.values()] if result.row else [],
                    "mean": result.accuracy,
                    "std": result.row and result.row.summary.std,
                    "verdict": result.verdict or None,
                    "gradient_ratio": result.ratio,
                    "seconds": result.seconds,
                    "state": result.variant.incompatibility or result.state,
                }
                for result in self.results
            ],
            "smallest_fix": self.fix and self.fix.variant.name,
        }


COMMAND = TryRemedies
