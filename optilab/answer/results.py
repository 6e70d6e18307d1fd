"""Runs and studies as they are on disk: what a training, a sweep or a benchmark returns, and `Lab.load`."""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from optilab import runs
from optilab.answer.answer import Answer
from optilab.answer.comparison import (
    LabComparison,
    benchmark_view,
    compare_selection,
    curves,
    missing_epoch,
    trainings_and_metric,
)
from optilab.config.tree import yaml_bytes
from optilab.errors import DataError, ExitCode, OptilabError, RunError, UsageError, shell
from optilab.numbers import percent
from optilab.runs import Record, Study, best_column
from optilab.runs.metrics import metric_of
from optilab.runs.provenance import provenance
from optilab.runs.record import TUNINGS
from optilab.runs.tables import json_line
from optilab.show.blocks import Block, Verbatim
from optilab.show.table import Column, Table
from optilab.words import listed, plural

if TYPE_CHECKING:
    from optilab.answer.benchmarks import BenchmarkView
    from optilab.answer.diagnosis import Diagnosis
    from optilab.answer.races import LabRace
    from optilab.answer.trajectories import LabPaths
    from optilab.diagnose import Evidence
    from optilab.judge.claims import ClaimResult
    from optilab.judge.groups import Selection
    from optilab.show.chart import Chart
    from optilab.study.benchmark import BenchmarkResult
    from optilab.study.study import StudyResult


E = TypeVar("E", bound=Record | Study)


@dataclass(frozen=True, repr=False)
class LabEntry(Answer, Generic[E]):
    """An entry of a directory of runs."""

    entry: E

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def path(self) -> Path:
        """Its directory."""
        return self.entry.path

    @property
    def manifest(self) -> Mapping[str, Any]:
        """manifest.json: versions, host, times, status; of a run its config."""
        return self.entry.manifest

    @property
    def state(self) -> str:
        """running, interrupted, or how it ended: done, diverged, failed; a study has failed where a trial did."""
        return self.entry.state

    def short(self) -> Iterable[str]:
        return [Verbatim(self.path)]


class LabRun(LabEntry[Record]):
    """A run: a training, or the paths of `optimize` or the race that the command wrote."""

    @property
    def diagnosis(self) -> "Diagnosis":
        """The findings of `optilab diagnose`: causes that keep the network from learning, or that it is healthy."""
        from optilab.answer.diagnosis import Diagnosis
        from optilab.diagnose import diagnose, evidence_of

        if not self._is_training:
            raise RunError(f"{self.name} is a run of {self.manifest['command']}: only trainings have a diagnosis")
        evidence = evidence_of(self.entry)
        return Diagnosis(str(self.path), evidence, diagnose(evidence), str(self.path / "config.yaml"))

    @property
    def headline(self) -> str:
        return f"{self.name}: {self.state}{self._last}"

    @property
    def _last(self) -> str:
        try:
            rows = self.rows if self._is_training else []
        except DataError:
            return ", metrics.csv is damaged"
        if not rows:
            return ""
        count = plural(len(rows), "epoch")
        tested = f", test_acc {percent(acc)}" if isinstance(acc := self.manifest.get("test_acc"), float) else ""
        key = best_column(rows)
        return f", {count}, {key} {metric_of(key).text(rows[-1][key])}{tested}"

    @property
    def _is_training(self) -> bool:
        return self.entry.is_training

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.csv: one per epoch; in an `optimize` run one per optimizer and epoch, in a race one per
        optimizer."""
        return self.entry.rows()

    def chart(self) -> "Chart":
        """Loss, accuracy and layers of a training; the paths of an `optimize` run; speed and tuning of a race."""
        return curves([self.entry]) if self._is_training else self.answer.chart()

    def blocks(self) -> Iterable[Block]:
        """The epochs and a short diagnosis; for an `optimize` run its paths, for a race its standings."""
        if not self._is_training:
            yield from self.answer.blocks()
            return
        yield from (self.headline, "", self.table(), "")
        with suppress(OptilabError):  # a run that has not begun, or is damaged, has none
            yield from self.diagnosis.brief()

    def painted(self) -> list[Block]:
        """The numbers of the epochs come after the curves of a training."""
        if not self._is_training:
            return self.answer.painted()
        blocks = super().painted()
        epochs = [block for block in blocks if isinstance(block, Table)]
        return [*(block for block in blocks if block not in epochs), *epochs]

    def table(self) -> Table:
        """The epochs; the paths of an `optimize` run; the standings of a race."""
        return self._every_row if self._is_training else self.answer.table()

    @property
    def _every_row(self) -> Table:
        rows = self.rows
        last = rows[-1] if rows else {}
        return Table(
            [Column(key, key, metric_of(key).text, left=isinstance(value, str)) for key, value in last.items()],
            rows,
        )

    @property
    def question(self) -> str:
        return self.answer.question

    def details(self) -> Iterable[Block]:
        return self.answer.details()

    @property
    def answer(self) -> "LabComparison | LabPaths | LabRace":
        """The training alone, as a comparison of one group; the paths of an `optimize` run; or the race."""
        from optilab.judge.groups import Selection
        from optilab.judge.measure import Measure

        if not self._is_training:
            return self.race if self.entry.is_race else self._paths
        metric = "test_acc" if "test_acc" in self.manifest else best_column(self.rows)
        return compare_selection(Selection([self.entry], entries=[self.entry]), Measure(metric))

    @cached_property
    def _paths(self) -> "LabPaths":
        """The paths, from the rows, with the config of the start; a user's code is not executed."""
        from optilab.answer.trajectories import LabPaths
        from optilab.config.load import load
        from optilab.config.optimize import OptimizeConfig
        from optilab.config.section import handling_user_code
        from optilab.optimize.path import from_rows

        with handling_user_code("recorded"):
            config = load(OptimizeConfig, self.manifest.get("config") or str(self.path))
        rows: dict[str, list[Any]] = {label: [] for label in config.labels}
        try:
            for row in self.rows:
                rows[str(row["algo"])].append(row)
            paths = {
                label: from_rows(
                    rows[label], rule, config.function, config.epochs, config.tolerance, config.regime
                )
                for label, rule in zip(config.labels, config.algo, strict=True)
            }
        except (KeyError, TypeError, ValueError):
            expected = f"expected the points of {listed(config.labels)}"
            raise DataError(f"{self.path / 'metrics.csv'} is damaged: {expected}") from None
        return LabPaths(config, paths, formulas=self.manifest.get("formulas", {}))

    @cached_property
    def race(self) -> "LabRace":
        """The race, from its tunings, with the conditions and the search space of the start; a user's code is not
        executed. DataError where one of them is missing or damaged."""
        from optilab.answer.races import LabRace
        from optilab.config.load import load
        from optilab.config.optimize import OptimizeConfig
        from optilab.config.section import handling_user_code
        from optilab.config.study import RaceConfig
        from optilab.optimize import OBJECTIVES
        from optilab.runs.tables import read_lines
        from optilab.study.function_race import from_lines

        if not self.entry.is_race:
            raise RunError(f"{self.name} is a run of {self.manifest['command']}, not a race")
        manifest, file = self.manifest, self.path / TUNINGS
        conditions = load(RaceConfig, manifest.get("config") or str(self.path))
        with handling_user_code("recorded"):
            rules = load(OptimizeConfig, {"algo": manifest.get("rules", [])}, rules="literature").algo
        try:
            functions = [OBJECTIVES[name]() for name in conditions.functions or ()]
            race = from_lines(conditions, rules, functions, read_lines(file), manifest.get("search_space", {}))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{file} is damaged: {error}") from None
        again = shell(*manifest.get("argv", [])[1:])
        return LabRace(race, rules, functions, again, settings=None, run=str(self.path))


def own_result(selection: "Selection") -> "BenchmarkView | LabRace | None":
    """The result of a benchmark or a race, where nothing else is named; else None."""
    match [*selection.entries, *selection.on_functions]:
        case [Study()]:
            return benchmark_view(selection.entries)
        case [Record() as run] if run.is_race:
            return LabRun(run).race
    return None


class LabStudy(LabEntry[Study]):
    """A study: the trainings of a sweep, such as `train --seeds` or `remedy`, or of a benchmark."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of trials.csv: one per trial that has ended, with its settings, seed, status and last epoch."""
        return self.entry.rows()

    @property
    def runs(self) -> list[LabRun]:
        """The trainings, in the order of `rows`. DataError where one cannot be read; `comparison` leaves it out."""
        records, left_out = self.entry.runs()
        for name, reason in left_out.items():
            raise DataError(f"{name}: {reason}")
        return [LabRun(record) for record in records]

    @cached_property
    def comparison(self) -> LabComparison:
        """The comparison of the completed trainings by their settings; of a benchmark that of the evaluated ones."""
        from optilab.judge.measure import Measure

        selection, metric = trainings_and_metric(self.path.parent, [str(self.path)], None)
        ended = [record for record in selection.records if record.state in ("done", "diverged")]
        return compare_selection(selection._replace(records=ended), Measure(metric))

    @cached_property
    def confirmation(self) -> LabComparison | None:
        """The comparison of the best settings from new seeds; None where they were not trained."""
        again = self.entry.confirmation and runs.read_study(self.entry.confirmation)
        return LabStudy(again).comparison if again and again.completed() else None

    @property
    def answer(self) -> LabComparison:
        """The comparison that answers: of a sweep with a confirmation that of the new seeds."""
        return self.confirmation or self.comparison

    @cached_property
    def benchmark_result(self) -> "BenchmarkResult | None":
        """The result of a benchmark; None for another study."""
        from optilab.study import benchmark

        return benchmark.read(self.entry)

    @property
    def headline(self) -> str:
        return f"{self.name}: {self.verdict}"

    def __repr__(self) -> str:
        """The name and the state, without the verdict, for which all trainings would be read."""
        return f"<LabStudy: {self.name}: {self.state}, {plural(self.manifest.get('trials', 0), 'trial')}>"

    @cached_property
    def _view(self) -> "LabComparison | BenchmarkView | None":
        """The tables of a benchmark, or the comparison that answers; None where no training has a result."""
        if self.benchmark_result is not None:
            from optilab.answer.benchmarks import BenchmarkView

            return BenchmarkView(self.benchmark_result, self.entry)
        with suppress(UsageError):
            return self.answer
        return None

    @property
    def verdict(self) -> str:
        """The answer in one sentence; of a benchmark of several trainings that over all of them."""
        return self._view.verdict if self._view else f"{self.state}, no training has a result"

    def chart(self) -> "Chart":
        """The curves of the best settings; of a benchmark the curves of evaluation and tuning."""
        if self._view is not None and self.benchmark_result is not None:
            return self._view.chart()
        if not self.entry.runs()[0]:
            raise missing_epoch([])
        return self.comparison.chart()

    def table(self) -> Table:
        failed = [f"{row['trial']} failed: {row['reason']}" for row in self.rows if row["status"] == "failed"]
        return self._view.table() if self._view else Table([], [], failed)

    @property
    def question(self) -> str:
        return self._view.question if self._view else self.headline

    def blocks(self) -> Iterable[Block]:
        """The tables of a benchmark's networks; for another study the comparison that answers."""
        return self._view.blocks() if self._view else super().blocks()

    def details(self) -> Iterable[Block]:
        return self._view.details() if self._view else ()


@dataclass(frozen=True, repr=False)
class EndedStudy(LabStudy):
    """A study at the end of the command that ran it."""

    ran: "StudyResult"
    spec: Any
    """Its `study.StudySpec`."""
    judged: "Sequence[ClaimResult]" = field(default=(), kw_only=True)

    @property
    def code(self) -> ExitCode:
        return self.ran.code


def write_watched(
    evidence: "Evidence",
    config: Mapping[str, Any],
    seconds: Sequence[float],
    name: str | None,
    folder: str | os.PathLike[str] | None,
    overwrite: bool = False,
) -> LabRun:
    """The run directory of a loop that was watched. `seconds`: when each epoch that it marked ended, from its start.

    RunError where the name is taken; with `overwrite`, by anything but another such directory.
    """
    root, rows, start = runs.root(folder, "folder"), evidence.rows, evidence.start
    columns = dict.fromkeys(key for row in rows for key in row)
    ends = zip(seconds[: len(rows)], [0.0, *seconds], strict=False)
    timings = [{"epoch": n, "seconds": round(end - before, 6)} for n, (end, before) in enumerate(ends, 1)]
    files = {
        "config.yaml": yaml_bytes(config),
        "metrics.csv": runs.table([{key: row.get(key) for key in columns} for row in rows]),
        "timings.csv": runs.table(timings),
        "diagnostics.jsonl": b"".join(json_line(dict(record)) for record in evidence.diagnostics),
    }
    manifest = {
        "command": "watch",
        **provenance([], ["torch"]),
        "seed": config["seed"],
        "config": config,
        "data": {
            "train": int(start.get("train_images", 0)),
            "validation": int(start.get("validation_images", 0)),
            "classes": int(start.get("classes", 0)),
            "sha256": {},
        },
        "epoch": len(rows),
        "marked": bool(seconds),
        "status": "diverged" if evidence.divergence else "done",
        "finished": runs.timestamp(),
        **({"reason": reason} if (reason := evidence.divergence or evidence.loop.error) else {}),
    }
    label = runs.chosen_name(name, config["name"].lower())
    try:
        return LabRun(runs.read(runs.write(root, label, files, manifest, overwrite)))
    except RunError as error:
        only = "; overwrite=True replaces only a directory of watch.save without other files" if overwrite else ""
        other = "; overwrite=True replaces it" if runs.replaceable(root / label, manifest["command"]) else ""
        error.args = (f"{error}{only or other}",)
        raise


def entry(record_or_study: Record | Study) -> LabRun | LabStudy:
    """A run or a study as a result."""
    return LabRun(record_or_study) if isinstance(record_or_study, Record) else LabStudy(record_or_study)
