"""`optilab runs diff`: what differs between two runs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from annotated_doc import Doc

from optilab import runs
from optilab.annotations import Argument
from optilab.answer.answer import SimpleAnswer
from optilab.numbers import exact
from optilab.request.options import (
    QUIET,
    FolderOptions,
    OutputOptions,
)
from optilab.request.request import Place
from optilab.runs import Record
from optilab.show.blocks import Block, Sentence
from optilab.show.table import Column, Table
from optilab.words import plural

if TYPE_CHECKING:
    from optilab.commands.runs.differences import Diff, Pairs


class DiffRuns(FolderOptions, OutputOptions):
    """Compare two runs to the last bit: config, data, environment, and the first epoch that differs."""

    EXAMPLES = ("optilab runs diff relu-1 latest", "optilab runs diff runs/lr-study/0.1-s42 latest")

    a: Annotated[str, Argument("RUN_A", complete="run"), Doc("Name of a run, a path, or `latest`")]
    b: Annotated[str, Argument("RUN_B", complete="run"), Doc("The run to compare it with")]
    quiet: Annotated[bool, QUIET, Doc("Print the number of equal rows and nothing else")] = False

    def run(self, place: Place) -> SimpleAnswer:
        from optilab.commands.runs.differences import diff_runs

        entries = [runs.read_entry(runs.locate(place.folder, name)) for name in (self.a, self.b)]
        diff = diff_runs(*entries)
        a, b = (entry for entry in entries if isinstance(entry, Record))
        first = diff.first
        facts = {
            "runs": [str(a.path), str(b.path)],
            "config": diff.config,
            "environment": diff.environment,
            "data": diff.data,
            "rows": diff.lengths,
            "equal_rows": diff.equal,
            "first": first and {"row": first.row, "values": first.values, "relative": first.relative},
            "edited": list(diff.edited),
            "causes": diff.causes,
        }
        return SimpleAnswer(list(_differences(a, b, diff)), facts, [str(diff.equal)])


def _differences(a: Record, b: Record, diff: "Diff") -> Iterator[Block]:
    """The differences, and the row at which the two runs part."""
    sections = {"config": diff.config, "data": diff.data, "environment": diff.environment}
    if rows := [row for section, pairs in sections.items() for row in _pairs(section, pairs)]:
        titles = {"key": "differs", "a": a.name, "b": b.name}
        yield Table([Column(key, title, left=True) for key, title in titles.items()], rows)
    if equal := [section for section, pairs in sections.items() if not pairs]:
        yield f"equal: {', '.join(equal)}"
    yield from (Sentence(text, "red") for text in diff.edited)
    yield ""
    yield rows_in_words(diff, a.is_training)
    yield from (Sentence(cause, "bold") for cause in diff.causes)


def rows_in_words(diff: "Diff", training: bool) -> str:
    """`rows: equal up to epoch 3; at epoch 4 train_loss 0.51234 and 0.51235, relative 2e-05`."""
    unit = "epoch" if training else "row"
    first, (rows, other_rows) = diff.first, diff.lengths
    if first is None:
        both = min(rows, other_rows)
        more = "" if rows == other_rows else f"; one has {plural(rows, unit)}, the other {other_rows}"
        equal = f"{'the' if both == 1 else 'all'} {plural(both, unit)}"
        return f"rows: equal in {equal} that both have{more}" if both else "rows: one of the runs has none"
    before = f"equal up to {unit} {first.row - 1}; " if first.row > 1 else ""
    pairs = [f"{key} {exact(a)} and {exact(b)}" for key, (a, b) in list(first.values.items())[:3]]
    size = "" if first.relative is None else f", relative difference {first.relative:.1g}"
    return f"rows: {before}at {unit} {first.row} {', '.join(pairs)}{size}"


def _pairs(section: str, pairs: "Pairs") -> list[dict[str, str]]:
    prefix = "config." if section == "config" else ""
    return [{"key": prefix + key, "a": _value(a), "b": _value(b)} for key, (a, b) in pairs.items()]


def _value(value: Any) -> str:
    from optilab.judge.groups import value_text

    words = "-" if value is None else value_text(value) if not isinstance(value, str) else value
    return words if len(words) <= 40 else f"{words[:37]}..."
