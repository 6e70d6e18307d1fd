"""`optilab runs ls`: one line per run and study, or per trial of a study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optilab.errors import printable
from optilab.runs import Study
from optilab.show import terminal
from optilab.show.table import Column, write
from optilab.study.groups import short, text
from optilab.study.listing import ListedRun

NAMED = 3
"""Directories that the line about unreadable ones names."""
_MANY = 6
"""Changes that a line lists."""


def skipped(unreadable: Mapping[str, str], folder: Path) -> None:
    """One line about all directories that are not readable runs."""
    if not unreadable:
        return
    names = [repr(printable(name)) for name in list(unreadable)[:NAMED]]
    more = [f"{len(unreadable) - NAMED} more"] if len(unreadable) > NAMED else []
    number = (
        "1 directory is not a readable run" if len(unreadable) == 1 else "{} directories are not readable runs"
    )
    listed = ", ".join([*names, *more])
    terminal.note(
        f"{folder}: {number.format(len(unreadable))}: {listed}; `optilab runs show NAME` gives the reason"
    )


def show(lines: Sequence[ListedRun], format: str = "table", axes: Sequence[str] | None = None) -> None:
    """The lines as a table; of one study's trials, with its `axes` as columns."""
    if format == "json":
        terminal.document({"runs": [document(line) for line in lines]})
    elif axes is None:
        values = format == "csv"
        row = _values if values else _words
        write(format, _run_columns(lines if values else ()), list(map(row, lines)))
    else:
        write(format, _trial_columns(axes), [line.facts for line in lines])


def document(line: ListedRun) -> dict[str, Any]:
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


# --- runs and studies --------------------------------------------------------------------------------------


def _run_columns(lines: Sequence[ListedRun]) -> list[Column]:
    """For people, the config in words; in CSV, a column for each key of the config that is not the same in all."""
    return [
        Column("run", "run", left=True),
        Column("command", "command", left=True, detail=1),
        Column("state", "state", left=True),
        Column("config", "config", left=True, only="text"),
        Column("preset", "", only="values"),
        Column("changed", "", only="values"),
        Column("created", "", only="values"),
        Column("trials", "", only="values"),
        *(Column(key, "", only="values") for key in _varying(lines)),
        Column("result", "result", left=True),
        *(Column(key, "", only="values") for key in ("epoch", "val_acc", "best_val_acc", "best_epoch")),
    ]


def _words(line: ListedRun) -> dict[str, Any]:
    facts = {key: line.about[key] for key in ("run", "command", "state")}
    return {**facts, "config": configured(line), "result": result(line)}


def _values(line: ListedRun) -> dict[str, Any]:
    changed = changes(line, many=len(line.variant.changed))
    return {**line.facts, "preset": line.variant.preset, "changed": changed, "result": result(line)}


def _varying(lines: Sequence[ListedRun]) -> list[str]:
    """The keys of the configs that are not the same in all lines."""
    first = lines[0].facts if lines else {}
    keys = dict.fromkeys(key for line in lines for key in line.variant.changed)
    return [k for k in keys if k not in first or any(line.facts.get(k) != first[k] for line in lines)]


def configured(line: ListedRun) -> str:
    """`sigmoid, lr 0.1, norm batch`; of a study also its axes: `sigmoid, 9 lr x 3 seeds`."""
    words = [line.variant.preset] if line.variant.preset else []
    if said := changes(line, _MANY):
        words.append(said)
    if len(line.axes) > 1 or line.axes.get("seed", 0) > 1:
        names = short([key for key in line.axes if key != "seed"])
        counts = [f"{line.axes[key]} {name}" for key, name in names.items()]
        seeds = line.axes.get("seed", 1)
        words.append(" x ".join([*counts, f"{seeds} seed{'s' * (seeds > 1)}"]))
    return ", ".join(words)


def changes(line: ListedRun, many: int) -> str:
    """What differs from the preset, at most so many settings: `lr 0.1, norm batch`. Not what an axis varies."""
    changed = {key: v for key, v in line.variant.changed.items() if not _is_varied(line, key)}
    names = short(list(changed))
    words = [f"{name} {text(changed[key])}" for key, name in list(names.items())[:many]]
    more = [f"{len(changed) - many} more"] if len(changed) > many else []
    return ", ".join([*words, *more])


def _is_varied(line: ListedRun, key: str) -> bool:
    """Whether it is an axis of a study, or set for all trials of one: they run on one thread."""
    fixed = ("threads", "device") if isinstance(line.entry, Study) else ()
    return key in fixed or any(key == axis or key.startswith(f"{axis}.") for axis in line.axes)


def result(line: ListedRun) -> str:
    """What came of it, in a few words."""
    if isinstance(line.entry, Study):
        return progress(line)
    if line.problem:
        return f"metrics.csv is damaged ({line.problem})"
    if line.about["command"] != "train" and line.entry is not None:
        results = list(map(str, line.entry.manifest.get("results", {}).values()))
        return results[0] if len(results) == 1 else f"{results.count('converged')} of {len(results)} converged"
    if not line.about.get("epoch"):
        return "no epoch yet"
    return f"epoch {line.about['epoch']}, best {line.about['best_val_acc']:.1%} at {line.about['best_epoch']}"


def progress(line: ListedRun) -> str:
    """`28 of 30 trials done, 1 failed, 1 diverged, best 84.1%`."""
    if line.problem:
        return f"trials.csv is damaged ({line.problem})"
    others = [f"{line.counts[s]} {s}" for s in ("stopped", "failed", "diverged") if line.counts.get(s)]
    best = [f"best {line.about['best_val_acc']:.1%}"] if "best_val_acc" in line.about else []
    done = f"{line.counts.get('done', 0):,} of {line.about['trials']:,} trials done"
    return ", ".join([done, *others, *best])


# --- trials ------------------------------------------------------------------------------------------------


def _trial_columns(axes: Sequence[str]) -> list[Column]:
    names = short(axes)
    return [
        Column("run", "trial", left=True),
        *(Column(key, names[key], text, left=True) for key in axes),
        Column("seed", "seed", detail=1),
        Column("state", "state", left=True),
        Column("epoch", "epoch", detail=2),
        *(Column(key, "", only="values") for key in ("train_loss", "train_acc")),
        Column("val_loss", "val_loss", "{:.4g}".format, detail=4),
        Column("val_acc", "val_acc", "{:.1%}".format),
        Column("best_val_acc", "best", "{:.1%}".format),
        Column("best_epoch", "at", detail=3),
        Column("reason", "reason", left=True, detail=5),
    ]
