"""`optilab runs show`: one run or study in full."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from optilab.console import listing
from optilab.runs import Record, Row, Study, best, read_timings, resume_command
from optilab.show import terminal
from optilab.show.table import Column, write
from optilab.study.curves import Curve, Histories
from optilab.study.groups import text
from optilab.study.listing import lines, trials

NAMED = 3
"""Runs that the line about those left out names."""


def entry_facts(entry: Record | Study) -> dict[str, Any]:
    """A run or a study in the document of `--json`."""
    (line,) = lines([entry])
    return listing.document(line)


def show(entry: Record | Study, format: str = "table", config: bool = False) -> None:
    """One run or study: its facts and its table; in other formats the whole table alone, with every row."""
    if format == "json":
        whole = (
            {"rows": entry.rows()} if isinstance(entry, Record) else {"runs": list(map(entry_facts, entry.runs()))}
        )
        terminal.document({**entry_facts(entry), **whole})
    elif isinstance(entry, Study):
        _study(entry, format)
    elif format == "table":
        _run(entry, config)
    else:
        rows = entry.rows()
        write(format, [Column(key, key, _cell) for key in (rows[-1] if rows else ())], rows)


def _facts(entry: Record | Study) -> None:
    manifest = entry.manifest
    (line,) = lines([entry])
    terminal.say(f"{entry.name}   {entry.state}", style="bold")
    facts: list[list[str]] = [["command", " ".join(["optilab", *map(str, manifest.get("argv", [])[1:])])]]
    facts += [[key, str(manifest[key])] for key in ("created", "finished", "seed", "reason") if key in manifest]
    if origin := manifest.get("fork"):
        facts.append(["fork of", f"{origin['run']} after epoch {origin['epoch']}: {', '.join(origin['changed'])}"])
    facts.append(["versions", ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())])
    facts.append(["git", str(manifest.get("git", {}).get("commit", "none"))])
    if line.variant.preset:
        changed = [f"{key} {text(value)}" for key, value in line.variant.changed.items()]
        facts.append(["preset", line.variant.preset])
        facts.append(["changed", ", ".join(changed) or "nothing"])
    terminal.show(terminal.grid(["", ""], facts, left=(0, 1), show_header=False))
    terminal.say()


def _study(study: Study, format: str) -> None:
    if format == "table":
        _facts(study)
    found, axes = trials(study)
    if found or format != "table":
        listing.show(found, format, axes)
    if format == "table":
        (line,) = lines([study])
        terminal.say(listing.progress(line))


def _run(record: Record, config: bool) -> None:
    rows = record.rows()
    _facts(record)
    if config:
        terminal.say(record.config.decode("utf-8", "replace").rstrip())
        terminal.say()
    if rows:
        _ends(record, rows)
    if record.state == "interrupted":
        terminal.say(f"continue with: {resume_command(record.path)}")
    if not config:
        terminal.say(f"every key: {record.path / 'config.yaml'}")


def _ends(record: Record, rows: Sequence[Row]) -> None:
    """The last row, and the best of a training."""
    keys = list(rows[-1])
    shown = [("last", rows[-1])]
    if record.manifest["command"] == "train":
        shown.append(("best", best(rows)))
    cells = [[what, *(_cell(row[key]) for key in keys)] for what, row in shown]
    terminal.show(terminal.grid(["", *keys], cells))
    if timings := read_timings(record.path / "timings.csv"):
        terminal.say(f"{len(timings)} epochs in {terminal.duration(sum(row['seconds'] for row in timings))}")


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# --- runs plot ---------------------------------------------------------------------------------------------


def left_out(found: Histories) -> None:
    """A line about the runs that are not drawn."""
    for records, reason in (
        (found.without_epochs, "no epoch yet"),
        (found.repeated, "another run has the same settings and seed"),
    ):
        if records:
            names = ", ".join(record.name for record in records[:NAMED])
            more = f" and {len(records) - NAMED} more" if len(records) > NAMED else ""
            terminal.note(f"not drawn: {names}{more}: {reason}")


def plot_document(found: Histories, picture: str | None) -> dict[str, Any]:
    """The document of `runs plot --json`: what is drawn, as numbers; index 0 is epoch 1."""
    return {
        "picture": picture,
        "shared": found.title,
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
            for history in found.groups
        ],
        "without_epochs": [record.name for record in found.without_epochs],
        "repeated": [record.name for record in found.repeated],
    }


def _numbers(curve: Curve) -> dict[str, Any]:
    low, high = curve.interval or (None, None)
    return {"mean": curve.mean, "low": low, "high": high, "runs": curve.runs}
