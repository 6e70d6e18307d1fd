"""A study that was planned and not run, as an answer: its trials and their cost."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optilab.answer.answer import Answer
from optilab.show.table import Table
from optilab.words import duration, plural

if TYPE_CHECKING:
    from optilab.study.study import Cost


@dataclass(frozen=True, repr=False)
class PlannedStudy(Answer):
    """The answer of a dry run."""

    shape: str
    cost: "Cost"
    detectable: float | None
    """The smallest difference to the best that is found in 8 of 10 cases, in standard deviations over the seeds."""
    remarks: Sequence[str] = ()

    schema_version: ClassVar[int] = 2

    @property
    def headline(self) -> str:
        return announcement(self.shape, self.cost)

    @property
    def notes(self) -> list[str]:
        if self.detectable is None:
            return [*self.remarks]
        difference = f"a difference to the best setting of {self.detectable:.2g} standard deviations over seeds"
        return [*self.remarks, f"would find, with a probability of 80%, {difference}"]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [dict(self.document())]

    def blocks(self) -> Iterable[str]:
        return (self.headline, *self.notes)

    def table(self) -> Table:
        return Table([], [], self.notes)

    def document(self) -> Mapping[str, Any]:
        cost = {key: value for key, value in asdict(self.cost).items() if key != "problem"}
        return {"plan": self.shape, **cost, "detectable": self.detectable, "notes": self.notes}


def announcement(shape: str, cost: "Cost") -> str:
    """The trials of a study and their estimated cost: `54 trials: 9 values of optimizer.lr x 3 seeds, ...`."""
    same_length = cost.epochs == cost.longest * cost.trials
    each = (
        f"{plural(cost.longest, 'epoch')}{' each' * (cost.trials > 1)}"
        if same_length
        else f"up to {cost.longest:,} epochs"
    )
    parts = [f"{plural(cost.trials, 'trial')}: {shape}, {each}"]
    if cost.missing < cost.trials:
        parts.append(f"{cost.trials - cost.missing:,} done already")
    if cost.seconds is not None and cost.seconds_per_epoch is not None:
        at_once = f"{cost.at_once} at a time, {cost.seconds_per_epoch:.2g} s per epoch"
        parts.append(f"at least {duration(cost.seconds)} ({at_once})")  # measured alone: others slow it down
    if cost.bytes is not None:
        parts.append(f"about {max(0.1, cost.bytes / 2**20):,.1f} MiB on disk")
    return "; ".join(parts)
