"""`optilab runs`: one line per run, and one run in full."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optilab import console
from optilab.runs import Record, best, read_table


def run_facts(record: Record) -> dict[str, Any]:
    """What `--json` tells of a run."""
    return {"run": str(record.path), "state": record.state, "manifest": record.manifest}


def runs(records: Sequence[Record], folder: Path) -> None:
    """One line per run."""
    if not records:
        console.say(f"no runs in {folder}")
        return
    rows = [[r.name, str(r.manifest.get("command", "?")), r.state, _result(r)] for r in records]
    console.show(console.grid(["run", "command", "state", "result"], rows, left=(0, 1, 2, 3)))


def _result(record: Record) -> str:
    if record.manifest.get("command") == "optimize":
        results = record.manifest.get("results", {})
        if len(results) == 1:
            return ", ".join(results.values())
        return f"{list(results.values()).count('converged')} of {len(results)} converged"
    try:
        rows = record.rows()
        if not rows:
            return "no epoch yet"
        top = best(rows)
        return f"epoch {rows[-1]['epoch']}, best {top['val_acc']:.1%} at {top['epoch']}"
    except Exception as error:  # a damaged table must not hide the other runs
        return f"metrics.csv is damaged ({error})"


def run(record: Record) -> None:
    """One run in full."""
    manifest = record.manifest
    console.say(f"{record.name}   {record.state}", style="bold")
    facts: list[list[str]] = [["command", " ".join(["optilab", *map(str, manifest.get("argv", [])[1:])])]]
    facts += [[key, str(manifest[key])] for key in ("created", "finished", "seed", "reason") if key in manifest]
    versions = manifest.get("versions", {})
    facts.append(["versions", ", ".join(f"{name} {version}" for name, version in versions.items())])
    facts.append(["git", str(manifest.get("git", {}).get("commit", "none"))])
    console.show(console.grid(["", ""], facts, left=(0, 1), show_header=False))
    console.say()
    console.say(record.config.decode("utf-8", "replace").rstrip())
    rows = record.rows()
    if not rows:
        return
    console.say()
    keys = list(rows[-1])
    shown = [("last", rows[-1])]
    if "val_acc" in keys:
        shown.append(("best", best(rows)))
    cells = [[what, *(_cell(row[key]) for key in keys)] for what, row in shown]
    console.show(console.grid(["", *keys], cells))
    timings = read_table(record.path / "timings.csv")
    if timings:
        console.say(f"{len(timings)} epochs in {console.duration(sum(row['seconds'] for row in timings))}")
    if record.state == "interrupted":
        console.say(f"continue with: optilab train --resume {record.name}")


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
