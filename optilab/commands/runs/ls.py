"""`optilab runs ls`: what ran, in which state, and with which numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_doc import Doc

from optilab import runs
from optilab.annotations import Argument, Flag
from optilab.answer.answer import Answer
from optilab.config.keys import is_within
from optilab.errors import RunError, did_you_mean, printable
from optilab.numbers import percent
from optilab.request.options import (
    QUIET,
    FolderOptions,
    OutputOptions,
    TableOptions,
)
from optilab.request.request import Place
from optilab.runs import Study
from optilab.show import terminal
from optilab.show.blocks import Block, Verbatim
from optilab.show.table import Column, Table
from optilab.words import FEW, SEVERAL, of_key, plural, some

if TYPE_CHECKING:
    from optilab.commands.runs.listing import ListedRun


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
        from optilab.commands.runs import listing

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
            return table_of_trials(self.lines, self.axes)
        return Table(_columns(self.lines), list(map(_row, self.lines)))

    def document(self) -> Mapping[str, Any]:
        return {"runs": list(map(document_of, self.lines))}

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
        "result": result_of(line),
    }
    return {**facts, **words}


def document_of(line: "ListedRun") -> dict[str, Any]:
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


_RACED = {"algos": "optimizer", "functions": "function"}
"""The keys of what takes part in a race."""


def _configured(line: "ListedRun") -> str:
    """`sigmoid, lr 0.1, norm batch`; of a race `3 optimizers x 16 functions`; of a study also its axes: `sigmoid, 9
    values of lr x 3 seeds`, or before all of its trials have ended `sigmoid, over lr`."""
    from optilab.judge.groups import short_names

    if line.about["command"] == "race":
        return " x ".join(plural(len(line.config.get(key) or ()), noun) for key, noun in _RACED.items())
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


def result_of(line: "ListedRun") -> str:
    """The result of a run or study in a few words."""
    if line.problem:
        return f"damaged: {line.problem}"
    if isinstance(line.entry, Study):
        return _progress(line)
    if line.entry is not None and not line.entry.is_training:
        if line.entry.is_race:
            verdicts = line.entry.manifest.get("results", {}).items()
            return f"may be the best: {', '.join(rule for rule, verdict in verdicts if verdict != 'worse')}"
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


def table_of_trials(lines: "Sequence[ListedRun]", axes: Sequence[str]) -> Table:
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
