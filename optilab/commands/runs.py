"""`optilab runs`: what ran, in which state, and with which numbers."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_doc import Doc

from optilab import runs
from optilab.answer import comparison
from optilab.answer.answer import Answer, SimpleAnswer
from optilab.answer.results import LabRun, LabStudy
from optilab.call import Call, Command
from optilab.commands.compare import CompareRuns
from optilab.config.keys import is_within
from optilab.errors import ExitCode, RunError, UsageError, did_you_mean, printable, shell
from optilab.marks import Argument, Flag
from optilab.numbers import exact, percent
from optilab.request.comparison import Labels
from optilab.request.options import QUIET, FileOptions, FolderOptions, OutputOptions, RunNames, TableOptions
from optilab.request.request import Conflicts, Place
from optilab.runs import Record, Study
from optilab.runs.metrics import metric_of
from optilab.show import terminal
from optilab.show.blocks import Block, Sentence, Verbatim
from optilab.show.table import Column, Table, grid
from optilab.words import FEW, SEVERAL, duration, of_key, plural, some

if TYPE_CHECKING:
    from optilab.judge.curves import Curve, Histories
    from optilab.judge.groups import Selection
    from optilab.show.chart import Chart
    from optilab.study.diff import Diff, Pairs
    from optilab.study.listing import ListedRun

_RUN = "20261124-143512-sigmoid-1c2d9e05"  # a name as `train` makes them

RunName = Annotated[
    str, Argument("RUN", complete="run"), Doc("Name of a run or study, a path to one, or `latest`")
]


# --- ls ----------------------------------------------------------------------------------------------------


class ListRuns(TableOptions, FolderOptions, OutputOptions):
    """List runs and studies, oldest first: state, what each changed against its preset, result.

    Name a study to list its trials.
    """

    EXAMPLES = (
        "optilab runs ls",
        "optilab runs ls --where 'optimizer.lr>0.1' --where state=done --sort -val_acc",
        "optilab runs ls --format csv",
        "optilab runs ls 20261124-231207-sigmoid-sweep-91c07d4e --sort -val_acc",
    )

    names: Annotated[
        list[str] | None,
        Argument("[RUN...]", complete="run"),
        Doc("A study, to list its trials; or names and patterns such as '2026*' [everything]"),
    ] = None
    where: Annotated[
        list[str] | None,
        Flag("CONDITION"),
        Doc("KEY with = != < <= > >= or ~ (a pattern), and a value; may be repeated"),
    ] = None
    sort: Annotated[str | None, Flag("KEY"), Doc("Sort by a key of the config or a result; -KEY: descending")] = (
        None
    )
    quiet: Annotated[bool, QUIET, Doc("Print the names and nothing else")] = False

    def run(self, place: Place) -> Answer:
        names = self.names or []
        if self.runs_dir is not None and not place.folder.is_dir():
            near = did_you_mean(place.folder.name, [path.name for path in place.folder.parent.glob("*/")])
            raise RunError(f"no runs in {place.folder}: there is no such directory{near}", "--runs-dir")
        paths = runs.select(place.folder, names)
        from optilab.study import listing

        conditions = listing.read_conditions(self.where or [])
        entries, unreadable = runs.read_each(paths) if names else runs.entries(place.folder)
        if names and unreadable and not entries:
            raise next(iter(unreadable.values()))
        axes = None
        if names and len(entries) == 1 and isinstance(study := entries[0], Study):
            listed, axes = listing.trials(study)
            for note in study.notes if not self.quiet else ():
                terminal.note(note)
        else:
            listed = listing.lines(entries)
        lines = listing.filter_entries(listed, conditions, self.sort)
        if unreadable and not self.quiet:
            terminal.note(_skipped(unreadable, place.folder))
        empty = f"no runs in {place.folder}{'' if place.folder.exists() else ': there is no such directory'}"
        if listed and self.where:
            empty = f"no run in {place.folder} meets {' and '.join(self.where)}"
        return RunList(lines, axes, empty)


def _skipped(unreadable: Iterable[str], folder: Path) -> str:
    """One line about the directories that cannot be read as runs."""
    names = [repr(printable(name)) for name in unreadable]
    count, are = plural(len(names), "directory"), "are not readable runs" if names[1:] else "is not a readable run"
    return f"{folder}: {count} {are}: {some(names, FEW)}; `optilab runs show NAME` gives the reason"


@dataclass(frozen=True, repr=False)
class RunList(Answer):
    """A line per run and study; of one study's trials, with its axes as columns."""

    lines: "Sequence[ListedRun]"
    axes: Sequence[str] | None
    empty: str
    """The sentence for an empty list."""

    @property
    def headline(self) -> str:
        return plural(len(self.lines), "line") if self.lines else self.empty

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [line.facts for line in self.lines]

    def blocks(self) -> Iterable[Block]:
        yield self.table() if self.lines else self.empty

    def table(self) -> Table:
        if self.axes is not None:
            return _trials(self.lines, self.axes)
        return Table(_columns(self.lines), list(map(_row, self.lines)))

    def document(self) -> Mapping[str, Any]:
        return {"runs": list(map(_document, self.lines))}

    def short(self) -> Iterable[str]:
        return [Verbatim(line.about["run"]) for line in self.lines]


def _columns(lines: "Sequence[ListedRun]") -> list[Column]:
    """The columns of a list; for programs, each key of the config that differs has one, instead of words."""
    first = lines[0].facts if lines else {}
    keys = dict.fromkeys(key for line in lines for key in line.variant.changed)
    varying = [k for k in keys if k not in first or any(line.facts.get(k) != first[k] for line in lines)]
    return [
        Column("run", "run", left=True),
        Column("command", "command", left=True, detail=1),
        Column("state", "state", left=True),
        Column("config", "config", left=True, only="text"),
        *(Column(key, "", only="values") for key in ("preset", "changed", "created", "trials", *varying)),
        Column("result", "result", left=True),
        *(Column(key, "", only="values") for key in ("epoch", "val_acc", "best_val_acc", "best_epoch")),
    ]


def _row(line: "ListedRun") -> dict[str, Any]:
    from optilab.judge.groups import without_directory

    facts = {key: without_directory(value) for key, value in line.facts.items()}
    changed = _changes(line, limit=len(line.variant.changed))
    words = {
        "preset": line.variant.preset,
        "changed": changed,
        "config": _configured(line),
        "result": _result(line),
    }
    return {**facts, **words}


def _document(line: "ListedRun") -> dict[str, Any]:
    """A line in the document of `--json`."""
    if line.entry is None:
        return dict(line.facts)
    facts: dict[str, Any] = {
        "run": str(line.entry.path),
        "state": line.entry.state,
        "manifest": line.entry.manifest,
    }
    facts |= {"preset": line.variant.preset or None, "changed": dict(line.variant.changed)}
    if isinstance(line.entry, Study):
        facts |= {"study": True, "axes": dict(line.axes), "trials": dict(line.counts)}
    return facts | {"best_val_acc": line.about.get("best_val_acc")}


def _configured(line: "ListedRun") -> str:
    """`sigmoid, lr 0.1, norm batch`; of a study also its axes: `sigmoid, 9 values of lr x 3 seeds`, or before all
    of its trials have ended `sigmoid, over lr`."""
    from optilab.judge.groups import short_names

    if "stage" in line.axes:  # a benchmark: its settings and seeds depend on each other
        kinds = [key for key in ("rule", "network", "repeat", "setting") if key in line.axes]
        return " x ".join(plural(line.axes[key], "optimizer" if key == "rule" else key) for key in kinds)
    words = [line.variant.preset, _changes(line, SEVERAL)]
    # Trials that are missing may have other values.
    if sum(line.counts.values()) < line.about.get("trials", 0):
        axes = short_names([key for key in line.axes if key != "seed"]).values()
        words += [f"over {', '.join(axes)}"] if axes else []
    elif len(line.axes) > 1 or line.axes.get("seed", 0) > 1:
        names = short_names([key for key in line.axes if key != "seed"])
        counts = [of_key(line.axes[key], name) for key, name in names.items()]
        words.append(" x ".join([*counts, plural(line.axes.get("seed", 1), "seed")]))
    return ", ".join(filter(None, words))


def _changes(line: "ListedRun", limit: int) -> str:
    """At most `limit` settings that differ from the preset and that no axis varies: `lr 0.1, norm batch`."""
    from optilab.judge.groups import short_names, value_text, without_directory

    fixed = ("threads", "device") if isinstance(line.entry, Study) else ()  # of all trials: they run on one thread
    varied = [key for key in line.variant.changed if any(is_within(key, axis) for axis in line.axes)]
    changed = {key: v for key, v in line.variant.changed.items() if key not in fixed and key not in varied}
    names = short_names(list(changed))
    return some([f"{without_directory(names[key])} {value_text(value)}" for key, value in changed.items()], limit)


def _result(line: "ListedRun") -> str:
    """The result of a run or study in a few words."""
    if line.problem:
        return f"damaged: {line.problem}"
    if isinstance(line.entry, Study):
        return _progress(line)
    if line.entry is not None and not line.entry.is_training:
        results = list(map(str, line.entry.manifest.get("results", {}).values()))
        return results[0] if len(results) == 1 else f"{results.count('converged')} of {len(results)} converged"
    if not line.about.get("epoch"):
        return "no epoch yet"
    best = f"{percent(line.about['best_val_acc'])} at" if "best_val_acc" in line.about else "at"
    return f"epoch {line.about['epoch']}, best {best} {line.about['best_epoch']}"


def _progress(line: "ListedRun") -> str:
    """`28 of 30 trials done, 1 failed, 1 diverged, best 84.1%`."""
    others = [f"{line.counts[s]} {s}" for s in ("stopped", "failed", "diverged") if line.counts.get(s)]
    best = [f"best {percent(line.about['best_val_acc'])}"] if "best_val_acc" in line.about else []
    done = f"{line.counts.get('done', 0):,} of {plural(line.about['trials'], 'trial')} done"
    return ", ".join([done, *others, *best])


def _trials(lines: "Sequence[ListedRun]", axes: Sequence[str]) -> Table:
    """The trials of a study."""
    from optilab.judge.groups import short_names, value_text

    def axis_text(value: Any) -> str:
        """The value of an axis as text; empty for null, a hyperparameter that an optimizer of a benchmark lacks."""
        return "" if value == "null" and "setting" in axes else value_text(value)

    names = short_names(axes)
    columns = [
        Column("run", "trial", left=True),
        *(Column(key, names[key], axis_text, left=True) for key in axes),
        Column("seed", "seed", detail=1),
        Column("state", "state", left=True),
        Column("epoch", "epoch", detail=2),
        *(Column(key, "", only="values") for key in ("train_loss", "train_acc")),
        Column("val_loss", "val_loss", "{:.4g}".format, detail=4),
        Column("val_acc", "val_acc", percent),
        Column("best_val_acc", "best", percent),
        Column("best_epoch", "at", detail=3),
        Column("reason", "reason", left=True, detail=5),
    ]
    return Table(columns, [line.facts for line in lines])


# --- show --------------------------------------------------------------------------------------------------


class ShowRun(TableOptions, FolderOptions, OutputOptions):
    """Show a run or a study: state, what it changed, last and best rows; of a study its trials."""

    EXAMPLES = (
        "optilab runs show latest",
        f"optilab runs show {_RUN} --config",
        "optilab runs show latest --format csv",
    )

    CONFLICTS: ClassVar[Conflicts] = (("config", "format"),)

    name: RunName
    config: Annotated[bool, Doc("Print every key of the config, too")] = False

    def run(self, place: Place) -> Answer:
        entry = runs.read_entry(runs.locate(place.folder, self.name))
        return ShownStudy(entry) if isinstance(entry, Study) else ShownRun(entry, self.config)


MAX_BYTES_READ = 10 << 20
"""Bytes of a table of which no more than the end is read."""


@dataclass(frozen=True, repr=False)
class ShownRun(LabRun):
    """A run in full: its facts, its last and its best row; in other formats every row."""

    config: bool = False

    def blocks(self) -> Iterator[Block]:
        last, results = self.entry.last_row(), self.entry.manifest.get("results", {})
        results = results if isinstance(results, Mapping) else {}
        yield from _facts(self.entry)
        if self.config:
            yield self.entry.config.decode("utf-8", "replace").rstrip()
            yield ""
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
            yield Command(f"{len(results)} optimizers: {listed}; every row: ", every)
        if self.entry.state == "interrupted":
            yield Command("continue with: ", runs.resume_command(self.entry.path))
        if not self.config:
            yield f"every key: {self.entry.path / 'config.yaml'}"

    def table(self) -> Table:
        return self._every_row

    def document(self) -> Mapping[str, Any]:
        return {**_entry_facts(self.entry), "rows": self.rows}


@dataclass(frozen=True, repr=False)
class ShownStudy(LabStudy):
    """A study in full: its facts and its trials."""

    def blocks(self) -> Iterator[Block]:
        from optilab.study.listing import lines

        yield from _facts(self.entry)
        if (table := self.table()).rows:
            yield table
        yield _result(*lines([self.entry]))
        yield from self.entry.notes

    def table(self) -> Table:
        from optilab.study.listing import trials

        return _trials(*trials(self.entry))

    def document(self) -> Mapping[str, Any]:
        records, left_out = self.entry.runs()
        return {**_entry_facts(self.entry), "runs": list(map(_entry_facts, records)), "left_out": left_out}


def _facts(entry: Record | Study) -> Iterator[Block]:
    from optilab.judge.groups import value_text
    from optilab.study.listing import lines

    manifest = entry.manifest
    (line,) = lines([entry])
    yield Sentence(f"{entry.name}   {entry.state}", "bold")
    watched = isinstance(entry, Record) and entry.is_watched
    typed = shell(*manifest.get("argv", [])[1:])
    command = "optilab.watch, in a loop of yours" if watched else typed
    facts: list[list[str]] = [["command", command]]
    facts += [[key, str(manifest[key])] for key in ("created", "finished", "seed", "reason") if key in manifest]
    if origin := manifest.get("fork"):
        facts.append(["fork of", f"{origin['run']} after epoch {origin['epoch']}: {', '.join(origin['changed'])}"])
    facts.append(["versions", ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())])
    facts.append(["git", str(manifest.get("git", {}).get("commit", "none"))])
    changed = [f"{key} {value_text(value)}" for key, value in line.variant.changed.items()]
    if line.variant.preset:
        facts.append(["preset", line.variant.preset])
    if line.variant.preset or changed:
        facts.append(["changed", ", ".join(changed) or "nothing"])
    yield grid(["", ""], facts, left=(0, 1), header=False)
    yield ""


def _entry_facts(entry: Record | Study) -> dict[str, Any]:
    from optilab.study.listing import lines

    return _document(*lines([entry]))


# --- plot --------------------------------------------------------------------------------------------------


class PlotRuns(FileOptions, FolderOptions, OutputOptions):
    """Draw runs of networks: loss, accuracy and layers; runs that differ in nothing but the seed as one curve.

    For a sweep of three settings or more, the outcome over them: a curve over one key, a heat map of two, the means
    over more. For a benchmark, the evaluated trainings.
    """

    EXAMPLES = (
        "optilab runs plot latest",
        "optilab runs plot lr-sweep --out lr.pdf",
        f"optilab runs plot {_RUN} --out curves.png",
        "optilab runs plot '2026*-sigmoid-*' '2026*-batchnorm-*' --out curves.svg --dark",
    )

    names: RunNames
    curves: Annotated[bool, Doc("For a sweep, draw the curves of its runs, as --panel and --label do")] = False
    panel: Annotated[
        Literal["loss", "accuracy", "curvature", "layers"] | None,
        Flag("PART"),
        Doc("Draw only the loss, accuracy, curvature or layers of the runs"),
    ] = None
    label: Labels = None
    title: Annotated[str | None, Flag("TEXT"), Doc("Title, '' for none [the settings that all runs share]")] = None
    quiet: Annotated[bool, QUIET, Doc("Print the plot's file and nothing else")] = False

    def run(self, place: Place) -> "Plot":
        from optilab.answer.charts.training import training_chart
        from optilab.judge.curves import histories
        from optilab.judge.groups import select_runs

        selection, file = select_runs(place.folder, self.names), next(iter(self.out or ()), None)
        for note in selection.notes:
            terminal.note(note)
        chart = None if self.curves or self.panel or self.label else _of_settings(selection)
        facts: dict[str, Any] = {"picture": file, "shared": chart.title if chart else "", "groups": []}
        left_out: Mapping[str, Sequence[Record]] = {}
        if chart is None:
            groups = histories(selection.records, self.label or ())
            if not groups.groups:
                raise comparison.missing_epoch(groups.without_epochs)
            chart, facts = training_chart(groups, self.panel), _plot_document(groups, file)
            left_out = {
                "no epoch yet": groups.without_epochs,
                "another run has the same settings and seed": groups.repeated,
            }
        if self.title is not None:
            chart = replace(chart, title=self.title)
        for reason, records in left_out.items():
            if records and not place.silent:
                terminal.note(f"not drawn: {some([record.name for record in records], FEW)}: {reason}")
        answer = Plot([] if file else [chart], facts, self.out or (), drawn=chart)
        self.save(answer)
        return answer


@dataclass(frozen=True, repr=False)
class Plot(SimpleAnswer):
    """The plot that a terminal shows where no file is written."""

    drawn: "Chart" = field(kw_only=True)

    @property
    def headline(self) -> str:
        return self.drawn.title or "runs"

    def chart(self) -> "Chart":
        return self.drawn


def _of_settings(chosen: "Selection") -> "Chart | None":
    """The chart over the settings of one sweep that has tried three or more, or that of a benchmark; else None."""
    from optilab.answer.charts.settings import settings_chart
    from optilab.judge.groups import request_of
    from optilab.judge.measure import Measure

    entries = chosen.entries
    if len(entries) != 1 or not isinstance(entries[0], Study):
        return None
    if view := comparison.benchmark_view(entries):
        return view.chart()
    if entries[0].manifest["command"] != "sweep":
        return None
    metric = str(request_of(entries[0]).get("metric", "val_acc"))
    return (
        settings_chart(comparison.compare_selection(chosen, Measure(metric)).comparison)
        if chosen.records
        else None
    )


def _plot_document(curves: "Histories", picture: str | None) -> dict[str, Any]:
    """The curves as numbers for `--json`; index 0 is epoch 1."""
    return {
        "picture": picture,
        "shared": curves.title,
        "groups": [
            {
                "group": history.label,
                "seeds": history.seeds,
                "best_epoch": history.best,
                "diverged": history.diverged,
                "metrics": {name: _numbers(curve) for name, curve in history.curves.items()},
                "curvature": history.curvature and asdict(history.curvature),
                "layers": history.layers and {"names": history.layers.names, **history.layers.values},
            }
            for history in curves.groups
        ],
        "without_epochs": [record.name for record in curves.without_epochs],
        "repeated": [record.name for record in curves.repeated],
    }


def _numbers(curve: "Curve") -> dict[str, Any]:
    low, high = curve.interval or (None, None)
    return {"mean": curve.mean, "low": low, "high": high, "runs": curve.runs}


# --- path, rm ----------------------------------------------------------------------------------------------


class FindRun(FolderOptions, OutputOptions):
    """Print the directory of a run or study."""

    EXAMPLES = ("optilab runs path latest", f"optilab runs path {_RUN}")

    name: RunName

    def run(self, place: Place) -> SimpleAnswer:
        path = runs.locate(place.folder, self.name)
        return SimpleAnswer([Verbatim(path)], {"run": str(path)}, [Verbatim(path)])


class RemoveRuns(FolderOptions, OutputOptions):
    """Delete runs and studies; asks first. Links inside a run are removed, never followed."""

    EXAMPLES = (f"optilab runs rm {_RUN}", "optilab runs rm '2026*-sgd-*' --older-than 30d")

    names: RunNames | None = None
    older_than: Annotated[
        str | None, Flag("AGE"), Doc("Only those that started longer ago than AGE: 90m, 12h, 30d, 8w")
    ] = None
    yes: Annotated[bool, Flag(names=("--yes", "-y")), Doc("Do not ask")] = False
    quiet: Annotated[bool, QUIET, Doc("Print nothing")] = False

    def run(self, place: Place) -> SimpleAnswer:
        if not self.names and self.older_than is None:
            raise UsageError("runs rm needs the name of a run, a pattern or --older-than AGE")
        names, text = self.names or [], self.older_than
        age = None if text is None else runs.parse_age(text, "--older-than")
        chosen = runs.select(place.folder, names, age)
        paths = [path for path in chosen if not {*chosen}.intersection(path.parents)]  # a study has its trials
        for path in paths:
            runs.require_made_by_optilab(path)
        if paths and not self.yes:
            _confirm(paths)
        for path in paths:
            runs.remove(path)
            if not place.silent:
                print(f"removed {path}", flush=True)
        if not paths and not place.silent:
            terminal.note("nothing to remove: no run is that old")
        return SimpleAnswer([], {"removed": [str(path) for path in paths]})


def _confirm(paths: Sequence[Path]) -> None:
    """Ask on a terminal. UsageError without one, Abort for anything but yes."""
    if not sys.stdin.isatty():
        raise UsageError("runs rm asks before it deletes; without a terminal, add --yes")
    import typer

    typer.confirm(f"delete {', '.join(map(str, paths))}?", abort=True, err=True)


# --- diff --------------------------------------------------------------------------------------------------


class DiffRuns(FolderOptions, OutputOptions):
    """Compare two runs to the last bit: config, data, environment, and the first epoch that differs."""

    EXAMPLES = ("optilab runs diff relu-1 latest", "optilab runs diff runs/lr-study/0.1-s42 latest")

    a: Annotated[str, Argument("RUN_A", complete="run"), Doc("Name of a run, a path, or `latest`")]
    b: Annotated[str, Argument("RUN_B", complete="run"), Doc("The run to compare it with")]
    quiet: Annotated[bool, QUIET, Doc("Print the number of equal rows and nothing else")] = False

    def run(self, place: Place) -> SimpleAnswer:
        from optilab.study.diff import diff_runs

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


# --- export ------------------------------------------------------------------------------------------------


class ExportRuns(FolderOptions, OutputOptions):
    """Write all rows of runs with their settings: one table, or event files of TensorBoard."""

    EXAMPLES = (
        "optilab runs export latest --out rows.csv",
        "optilab runs export '2026*' --out rows.parquet",
        "optilab runs export relu-1 relu-2 --tensorboard logs",
    )

    names: RunNames
    out: Annotated[str | None, Flag("FILE", path=True), Doc("A .csv or .parquet file")] = None
    tensorboard: Annotated[
        str | None,
        Flag("DIR", path=True),
        Doc("Event files of TensorBoard, in a new directory or one of an earlier export"),
    ] = None
    force: Annotated[bool, Doc("Replace the file of --out")] = False
    quiet: Annotated[bool, QUIET, Doc("Do not name runs that are left out")] = False

    def run(self, place: Place) -> SimpleAnswer:
        from optilab.judge.groups import select_runs
        from optilab.study import export

        selection = select_runs(place.folder, self.names)
        if self.out is None and self.tensorboard is None:
            raise UsageError("expected --out FILE or --tensorboard DIR, as in --out rows.csv")
        table = None if self.out is None else export.table_file(self.out, self.force)
        if self.tensorboard is not None:
            export.require_own(Path(self.tensorboard))
        rows, damaged = export.gather(selection.records, selection.left_out)
        for note in selection._replace(left_out=damaged).notes if not self.quiet else ():
            terminal.note(note)
        if self.tensorboard is not None:
            export.tensorboard(Path(self.tensorboard), rows.runs)
        if table is not None:
            export.write(table, rows)
        written = [str(Path(path)) for path in (self.out, self.tensorboard) if path is not None]
        facts = {
            "written": written,
            "runs": [run.name for run in rows.runs],
            "left_out": {**damaged, **selection.others},
        }
        return SimpleAnswer(written, facts, written, ExitCode.DATA if damaged else ExitCode.OK)


PARTS = {
    "ls": ListRuns,
    "show": ShowRun,
    "plot": PlotRuns,
    "path": FindRun,
    "rm": RemoveRuns,
    "compare": CompareRuns,
    "diff": DiffRuns,
    "export": ExportRuns,
}
EXAMPLES = ("optilab runs ls", "optilab runs show latest", "optilab runs rm '2026*' --older-than 30d")
