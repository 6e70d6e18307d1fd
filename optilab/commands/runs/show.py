"""`optilab runs show`: one run or study."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_doc import Doc

from optilab import runs
from optilab.answer.answer import Answer
from optilab.answer.results import LabRun, LabStudy
from optilab.commands.runs.ls import document_of, result_of, table_of_trials
from optilab.errors import shell
from optilab.proposals import Call, Proposal
from optilab.request.options import (
    DetailOptions,
    FolderOptions,
    RunName,
    TableOptions,
)
from optilab.request.request import Conflicts, Place
from optilab.runs import Record, Study
from optilab.runs.metrics import metric_of
from optilab.show.blocks import Block, Details, Sentence
from optilab.show.table import Table, grid
from optilab.words import duration, plural


class ShowRun(TableOptions, FolderOptions, DetailOptions):
    """Show a run or a study: state, what it changed, last and best rows; of a study its trials."""

    EXAMPLES = (
        "optilab runs show latest",
        "optilab runs show 20261124-143512-sigmoid-1c2d9e05 --config",
        "optilab runs show latest --format csv",
    )

    CONFLICTS: ClassVar[Conflicts] = (("config", "format"),)

    name: RunName
    config: Annotated[bool, Doc("Print every key of the config, too")] = False

    def run(self, place: Place) -> Answer:
        entry = runs.read_entry(runs.locate(place.folder, self.name))
        return ShownStudy(entry, self.config) if isinstance(entry, Study) else ShownRun(entry, self.config)


MAX_BYTES_READ = 10 << 20
"""Bytes of a table of which no more than the end is read."""


@dataclass(frozen=True, repr=False)
class ShownRun(LabRun):
    """A run in full: its facts, its last and its best row; in other formats every row."""

    config: bool = False

    def blocks(self) -> Iterator[Block]:
        # Read first: a damaged run is refused before anything of it is shown.
        result = [*(self.answer.blocks() if self.entry.is_race else self._rows_and_ends())]
        yield from _facts(self.entry)
        if self.config:
            yield self.entry.config.decode("utf-8", "replace").rstrip()
            yield ""
        yield from result
        if self.entry.state == "interrupted":
            yield Proposal("continue with: ", runs.resume_command(self.entry.path))
        if not self.config:
            yield f"every key: {self.entry.path / 'config.yaml'}"
        yield _origin(self.entry)

    def _rows_and_ends(self) -> Iterator[Block]:
        """The last and the best row of a training; the last of each optimizer of `optimize`."""
        last, results = self.entry.last_row(), self.entry.manifest.get("results", {})
        results = results if isinstance(results, Mapping) else {}
        if last:
            keys, ends = list(last), {"last": last}
            if self.entry.is_training:
                ends["best"] = runs.best(self.rows)
            if len(results) > 1 and (self.entry.path / "metrics.csv").stat().st_size < MAX_BYTES_READ:
                ends = {f"last {row['algo']}": row for row in self.rows}
                keys.remove("algo")
            yield grid(
                ["", *keys],
                [[name, *(metric_of(k).text(row.get(k, "")) for k in keys)] for name, row in ends.items()],
            )
            if not self.entry.manifest.get("marked", True):
                ended = self.entry.state == "done" and "reason" in self.entry.manifest
                why = "the watch ended before an epoch" if ended else "the loop marked no epochs (watch.epoch())"
                yield f"{why}; the rows are equal parts of its steps"
            # A kill may have come between the time of an epoch and its row.
            timings = runs.read_timings(self.entry.path / "timings.csv")
            if took := [row["seconds"] for row in timings if row["epoch"] <= last["epoch"]]:
                yield f"{plural(len(took), 'epoch')} in {duration(sum(took))}"
        if len(results) > 1:
            listed = ", ".join(f"{label} {status}" for label, status in results.items())
            every = Call("runs show", [self.entry.name], {"format": "csv"})
            yield Proposal(f"{len(results)} optimizers: {listed}; every row: ", every)

    def table(self) -> Table:
        return self.answer.table() if self.entry.is_race else self._every_row

    def document(self) -> Mapping[str, Any]:
        return {**_entry_facts(self.entry), "rows": self.rows}


@dataclass(frozen=True, repr=False)
class ShownStudy(LabStudy):
    """A study in full: its facts and its trials."""

    config: bool = False

    def blocks(self) -> Iterator[Block]:
        from optilab.commands.runs.listing import lines

        yield from _facts(self.entry)
        if self.config:
            yield self.entry.config.decode("utf-8", "replace").rstrip()
            yield ""
        if (table := self.table()).rows:
            yield table
        yield result_of(*lines([self.entry]))
        yield from self.entry.notes
        yield _origin(self.entry)

    def table(self) -> Table:
        from optilab.commands.runs.listing import trials

        return table_of_trials(*trials(self.entry))

    def document(self) -> Mapping[str, Any]:
        records, left_out = self.entry.runs()
        return {**_entry_facts(self.entry), "runs": list(map(_entry_facts, records)), "left_out": left_out}


def _facts(entry: Record | Study) -> Iterator[Block]:
    from optilab.commands.runs.listing import lines
    from optilab.judge.groups import value_text

    manifest = entry.manifest
    (line,) = lines([entry])
    yield Sentence(f"{entry.name}   {entry.state}", "bold")
    watched = isinstance(entry, Record) and entry.is_watched
    typed = shell(*manifest.get("argv", [])[1:])
    command = "optilab.watch, in a loop of yours" if watched else typed
    yield f"command    {command}"  # not in a column, which would cut it
    facts = [[key, str(manifest[key])] for key in ("created", "finished", "seed", "reason") if key in manifest]
    if origin := manifest.get("fork"):
        facts.append(["fork of", f"{origin['run']} after epoch {origin['epoch']}: {', '.join(origin['changed'])}"])
    changed = [f"{key} {value_text(value)}" for key, value in line.variant.changed.items()]
    if line.variant.preset:
        facts.append(["preset", line.variant.preset])
    if line.variant.preset or changed:
        facts.append(["changed", ", ".join(changed) or "nothing"])
    yield grid(["", ""], facts, left=(0, 1), header=False)
    yield ""


def _origin(entry: Record | Study) -> Details:
    """Versions and commit that made the entry."""
    versions = ", ".join(f"{name} {version}" for name, version in entry.manifest["versions"].items())
    facts = [["versions", versions], ["git", str(entry.manifest.get("git", {}).get("commit", "none"))]]
    return Details("Details", [grid(["", ""], facts, left=(0, 1), header=False)], folded=True)


def _entry_facts(entry: Record | Study) -> dict[str, Any]:
    from optilab.commands.runs.listing import lines

    return document_of(*lines([entry]))
