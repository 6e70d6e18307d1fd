"""`optilab runs`: one line per run, one run or study in full."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optilab import console
from optilab.errors import OptilabError, printable
from optilab.runs import Record, Study, best, read_timings, resume_command

NAMED = 3
"""Directories that the line about unreadable ones names."""


def entry_facts(entry: Record | Study) -> dict[str, Any]:
    """A run or a study in the document of `--json`."""
    facts = {"run": str(entry.path), "state": entry.state, "manifest": entry.manifest}
    return {**facts, "study": True} if isinstance(entry, Study) else facts


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
    console.note(
        f"{folder}: {number.format(len(unreadable))}: {listed}; `optilab runs show NAME` gives the reason"
    )


def listing(entries: Sequence[Record | Study], folder: Path) -> None:
    """One line per run and study."""
    if not entries:
        console.say(f"no runs in {folder}")
        return
    console.show(_table(entries))


def _table(entries: Sequence[Record | Study]) -> Any:
    rows = [[entry.name, entry.manifest["command"], entry.state, _result(entry)] for entry in entries]
    return console.grid(["run", "command", "state", "result"], rows, left=(0, 1, 2, 3))


def _result(entry: Record | Study) -> str:
    if isinstance(entry, Study):
        states = [run.state for run in entry.runs()]
        return f"{states.count('done')} of {len(entry.manifest.get('runs', []))} runs done"
    if entry.manifest["command"] != "train":
        results = list(map(str, entry.manifest.get("results", {}).values()))
        return results[0] if len(results) == 1 else f"{results.count('converged')} of {len(results)} converged"
    try:
        rows = entry.rows()
    except OptilabError as error:  # a damaged table must not hide the other runs
        return f"metrics.csv is damaged ({error})"
    if not rows:
        return "no epoch yet"
    top = best(rows)
    return f"epoch {rows[-1]['epoch']}, best {top['val_acc']:.1%} at {top['epoch']}"


def show(entry: Record | Study) -> None:
    """One run or study in full."""
    if isinstance(entry, Study):
        _study(entry)
    else:
        _run(entry)


def _facts(entry: Record | Study) -> None:
    manifest = entry.manifest
    console.say(f"{entry.name}   {entry.state}", style="bold")
    facts: list[list[str]] = [["command", " ".join(["optilab", *map(str, manifest.get("argv", [])[1:])])]]
    facts += [[key, str(manifest[key])] for key in ("created", "finished", "seed", "reason") if key in manifest]
    facts.append(["versions", ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())])
    facts.append(["git", str(manifest.get("git", {}).get("commit", "none"))])
    console.show(console.grid(["", ""], facts, left=(0, 1), show_header=False))
    console.say()


def _study(study: Study) -> None:
    _facts(study)
    trials = study.runs()
    if trials:
        console.show(_table(trials))
    if missing := len(study.manifest.get("runs", [])) - len(trials):
        console.say(f"{missing} run{'s' * (missing > 1)} not started, or not readable")


def _run(record: Record) -> None:
    rows = record.rows()
    _facts(record)
    console.say(record.config.decode("utf-8", "replace").rstrip())
    if record.state == "interrupted":
        console.say()
        console.say(f"continue with: {resume_command(record.path)}")
    if not rows:
        return
    console.say()
    keys = list(rows[-1])
    shown = [("last", rows[-1])]
    if record.manifest["command"] == "train":
        shown.append(("best", best(rows)))
    cells = [[what, *(_cell(row[key]) for key in keys)] for what, row in shown]
    console.show(console.grid(["", *keys], cells))
    if timings := read_timings(record.path / "timings.csv"):
        console.say(f"{len(timings)} epochs in {console.duration(sum(row['seconds'] for row in timings))}")


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
