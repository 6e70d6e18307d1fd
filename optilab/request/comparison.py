"""Options that choose how groups of runs are compared."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from annotated_doc import Doc
from pydantic import BeforeValidator, model_validator

from optilab.annotations import Flag
from optilab.answer.comparison import compare_selection
from optilab.answer.results import own_result
from optilab.errors import UsageError, shown
from optilab.request.request import Request

if TYPE_CHECKING:
    from optilab.answer.benchmarks import BenchmarkView
    from optilab.answer.comparison import LabComparison
    from optilab.answer.races import LabRace
    from optilab.judge.groups import Selection
    from optilab.judge.measure import Measure

Metric = Annotated[
    str | None,
    Flag("NAME", named=True),
    Doc(
        "A column of metrics.csv, seconds, test_acc or test_loss [val_acc; of a sweep its own, of a benchmark test_acc]"
    ),
]


def _labels(label: Any) -> Any:
    """`LABEL=NAME` of each item of a mapping."""
    if not isinstance(label, Mapping):
        return label
    return [f"{old}={new}" if isinstance(new, str | int | float) else new for old, new in label.items()]


Labels = Annotated[
    list[str] | None,
    BeforeValidator(_labels),
    Flag("LABEL=NAME"),
    Doc("Another name for the group with such a label, or a part of it; may be repeated"),
]


class ComparisonOptions(Request):
    """Options that choose how groups of runs are compared."""

    GROUP: ClassVar[str] = "What to compare"
    NEEDS: ClassVar[Mapping[str, Sequence[str]]] = {"target": ("until",), "by": ("best",)}

    metric: Metric = "val_acc"
    at: Annotated[str, Flag("EPOCH"), Doc("last, best, an epoch, or area: the mean over the epochs")] = "last"
    target: Annotated[float | None, Flag("X"), Doc("Compare by when the metric first reaches X")] = None
    until: Annotated[Literal["epochs", "seconds"], Flag("UNIT"), Doc("With --target: epochs or seconds")] = (
        "epochs"
    )
    baseline: Annotated[
        str | None, Flag("NAME"), Doc("Compare with this group: its label, config or run [the best group]")
    ] = None
    by: Annotated[
        str | None, Flag("KEY,..."), Doc("Rows differ in these keys; average over the other settings")
    ] = None
    best: Annotated[bool, Doc("With --by: each row at its best other settings, which other seeds choose")] = False
    label: Labels = None

    @model_validator(mode="after")
    def _measure_is_known(self) -> Self:
        self._measure(self.metric or "val_acc")
        return self

    def _measure(self, metric: str) -> "Measure":
        from optilab.judge.measure import read_measure

        return read_measure(metric, str(self.at), self.target, self.until)

    @property
    def compares(self) -> bool:
        """True if an option says how to compare."""
        return bool(ComparisonOptions.model_fields.keys() & self.arguments.keys())

    def compare(self, selection: "Selection", metric: str) -> "LabComparison | BenchmarkView | LabRace":
        """The comparison that the options ask for; of a benchmark or a race, without them, its own result. UsageError
        for what they do not accept."""
        if not self.compares and (result := own_result(selection)):
            return result
        measure, keys = self._measure(metric), self.by or ()
        by = [key.strip() for key in keys.split(",")] if isinstance(keys, str) else list(keys)
        if "by" in self.arguments and (not all(by) or len(set(by)) < len(by) or not by):
            raise UsageError(f"expected keys, each once, got {shown(self.by)}", self.flag("by"))
        return compare_selection(selection, measure, self.baseline, by, self.best, self.label or ())
